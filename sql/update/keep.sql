-- keep.sql: tables that stay
--
-- tables.awk makes the install script create these tables in leadscore_update, as
-- patterns. adopt_columns() and adopt_constraints() change the real ones to be like
-- them.

DO $$
DECLARE
	name text;
BEGIN
	FOREACH name IN ARRAY ARRAY['change_clock', 'changed_lead', 'counted_signal', 'crm_state', 'derivation_due', 'derivation_state',
		'offer_slot', 'snapshot_state'] LOOP
		EXECUTE format('ALTER TABLE leadscore.%I SET SCHEMA leadscore_internal', name);
	END LOOP;
END
$$;

-- Columns and constraints are compared, indexes are not: this one has another condition now.
DROP INDEX leadscore.voucher_open_idx;
ALTER TABLE leadscore.voucher DROP CONSTRAINT voucher_offer_lead_id_key;

ALTER SEQUENCE leadscore.offer_slot_seq SET SCHEMA leadscore_internal;
ALTER FUNCTION leadscore.timeline_in(cstring) SET SCHEMA leadscore_internal;
ALTER FUNCTION leadscore.timeline_out(leadscore.timeline) SET SCHEMA leadscore_internal;
ALTER FUNCTION leadscore.timeline_recv(internal) SET SCHEMA leadscore_internal;
ALTER FUNCTION leadscore.timeline_send(leadscore.timeline) SET SCHEMA leadscore_internal;

CREATE FUNCTION leadscore_update.column_default(of_table oid, of_column smallint) RETURNS text
	LANGUAGE sql STABLE
AS $$
	SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d WHERE d.adrelid = of_table AND d.adnum = of_column
$$;

CREATE FUNCTION leadscore_update.adopt_columns(kept regclass) RETURNS void
	LANGUAGE plpgsql
AS $$
DECLARE
	pattern CONSTANT regclass := (SELECT format('leadscore_update.%I', c.relname) FROM pg_class c WHERE c.oid = kept);
	options CONSTANT text := (SELECT array_to_string(c.reloptions, ', ') FROM pg_class c WHERE c.oid = pattern);
	wanted record;
BEGIN
	FOR wanted IN
		SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS not_null, k.attnotnull AS had_not_null, k.attname IS NULL AS is_new,
			leadscore_update.column_default(a.attrelid, a.attnum) AS value, leadscore_update.column_default(k.attrelid, k.attnum) AS had_value
		FROM pg_attribute a LEFT JOIN pg_attribute k ON k.attrelid = kept AND k.attname = a.attname
		WHERE a.attrelid = pattern AND a.attnum > 0 ORDER BY a.attnum
	LOOP
		IF wanted.is_new THEN
			EXECUTE format('ALTER TABLE %s ADD %I %s %s %s', kept, wanted.name, wanted.type,
				'DEFAULT ' || wanted.value, CASE WHEN wanted.not_null THEN 'NOT NULL' END);
		ELSIF wanted.not_null IS DISTINCT FROM wanted.had_not_null OR wanted.value IS DISTINCT FROM wanted.had_value THEN
			EXECUTE format('ALTER TABLE %1$s ALTER %2$I %3$s NOT NULL, ALTER %2$I %4$s', kept, wanted.name, CASE WHEN wanted.not_null THEN 'SET' ELSE 'DROP' END,
				coalesce('SET DEFAULT ' || wanted.value, 'DROP DEFAULT'));
		END IF;
	END LOOP;
	IF options <> '' THEN
		EXECUTE format('ALTER TABLE %s SET (%s)', kept, options);
	END IF;
END
$$;

-- A constraint that the pattern lacks may be a user's.
CREATE FUNCTION leadscore_update.adopt_constraints(kept regclass, pattern regclass) RETURNS void
	LANGUAGE plpgsql
AS $$
DECLARE
	wanted record;
BEGIN
	FOR wanted IN
		SELECT w.conname AS name, pg_get_constraintdef(w.oid) AS definition, h.conname IS NOT NULL AS was_there
		FROM pg_constraint w LEFT JOIN pg_constraint h ON h.conrelid = kept AND h.conname = w.conname
		WHERE w.conrelid = pattern AND w.contype IN ('c', 'f', 'p', 'u') AND pg_get_constraintdef(w.oid) IS DISTINCT FROM pg_get_constraintdef(h.oid)
		ORDER BY w.conname
	LOOP
		IF wanted.was_there THEN
			EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', kept, wanted.name);
		END IF;
		EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I %s', kept, wanted.name, wanted.definition);
	END LOOP;
END
$$;
