# 28: a mapping of four expressions beside one of four columns: INSERT of one row and of 1,000. The columns hold what
# the expressions come to, so that both count the same.

sql <<'SQL'
CREATE TABLE bench.columns (lead text, kind text, at timestamptz, value numeric, email text, what text, ms bigint, cents bigint);
CREATE TABLE bench.expressions (LIKE bench.columns);
SELECT leadscore.track('bench.columns', lead_id => 'lead', kind_column => 'kind', occurred_at => 'at', value => 'value');
SELECT leadscore.track('bench.expressions', lead_id => 'lower(email)', kind_column => $$split_part(what, '.', 1)$$,
	occurred_at => 'to_timestamp(ms / 1000.0)', value => 'cents / 100.0');
SQL
# insert_mapped ROWS: into TABLE, of leads and times by chance
insert_mapped="INSERT INTO bench.TABLE SELECT 'lead' || n, 'purchase', to_timestamp(1750000000 + n), n / 100.0, 'LEAD' || n, 'purchase.online', 1000 * (1750000000 + n), n
	FROM (SELECT floor(1 + 100000 * random())::bigint FROM generate_series(1, ROWS)) r (n)"
before_each() { sql -c 'SELECT leadscore.fold()' -c 'TRUNCATE bench.columns, bench.expressions' > /dev/null; }
for rows in 1 1000; do
    for table in columns expressions; do
        statement=${insert_mapped/TABLE/$table}
        contest "insert $rows, four $table" "${statement/ROWS/$rows}"
    done
    race_clients 28 1
    leave_race
    verdict 28 "insert $rows row$([ $rows = 1 ] || echo s), four expressions" "insert $rows, four expressions, 1 client" "insert $rows, four columns, 1 client" 'at most' 1.3 computing
done
unset -f before_each
sql -c "SELECT leadscore.untrack('bench.columns'), leadscore.untrack('bench.expressions')" -c 'DROP TABLE bench.columns, bench.expressions' > /dev/null
