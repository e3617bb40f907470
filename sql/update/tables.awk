# tables.awk: the install script, where the tables and the type of 0.1.0 are there already. A CREATE TABLE makes a
# pattern of the table (keep.sql); what else is there is left as it is.
#
# -v tables='signal model …': the tables

BEGIN { n = split(tables, name, " "); for (i = 1; i <= n; i++) kept[name[i]] }

/^CREATE TABLE leadscore/ {
	split($3, part, ".")
	if (part[2] in kept) {
		table = $3
		sub(part[1] "\\.", "leadscore_update.")
	}
}
/^CREATE (UNIQUE )?INDEX / { sub(/INDEX /, "INDEX IF NOT EXISTS ") }
/^CREATE SEQUENCE / { sub(/SEQUENCE /, "SEQUENCE IF NOT EXISTS ") }
/^CREATE FUNCTION leadscore(_internal\.timeline_(in|out|recv|send)|\.record|\.record_profile)\(/ { sub(/FUNCTION/, "OR REPLACE FUNCTION") }
/^CREATE TYPE leadscore\.timeline[ ;]/ { skipped = 1 }
!skipped { print }
/;/ { skipped = 0 }
table != "" && /^\)[^;]*;/ {
	printf "SELECT leadscore_update.adopt_columns('%s');\n", table
	table = ""
}
