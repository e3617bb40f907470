-- check.sql: rows and constraints of the tables that stay

-- Triggers of users, and ours, do not fire: nothing has happened.
SET LOCAL session_replication_role = replica;

UPDATE leadscore.offer SET unlimited = true WHERE budget IS NULL;
UPDATE leadscore.offer SET starts_at = NULL WHERE starts_at = '-infinity';

SET LOCAL session_replication_role = origin;

SELECT leadscore_update.adopt_constraints(k.oid, p.oid)
FROM pg_catalog.pg_class p
JOIN pg_catalog.pg_class k ON k.relname = p.relname AND k.relnamespace = ANY (leadscore_internal.our_schemas())
WHERE p.relnamespace = 'leadscore_update'::pg_catalog.regnamespace AND p.relkind = 'r'
ORDER BY p.oid;
