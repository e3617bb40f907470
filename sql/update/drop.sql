-- drop.sql: what version 0.1.0 made, but for its tables, gives way to the install script
--
-- The update script from 0.1.0 is joined from these files and those of the install
-- script (UPDATE_PARTS in the Makefile). Tables and the type timeline stay, with their
-- rows, indexes, policies and grants. All else is dropped and made anew. Users' views
-- are, too. If anything else of a user's depends on what is dropped, such as an index
-- on a function, the update fails, and names it.

SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL client_min_messages = warning;

CREATE SCHEMA leadscore_update;

CREATE FUNCTION leadscore_update.is_member(class regclass, object oid) RETURNS boolean
	LANGUAGE sql STABLE
AS $$
	SELECT EXISTS (SELECT FROM pg_depend d JOIN pg_extension x ON x.oid = d.refobjid AND x.extname = 'leadscore'
		WHERE d.classid = class AND d.objid = object AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e')
$$;

-- From here on nobody reads or writes tracked tables, nor ours. All locks are waited for, together, less than
-- deadlock_timeout, then given up and asked for again: the server would else look for deadlocks, and could end a
-- transaction of the shop's.

DO $$
DECLARE
	tables CONSTANT text[] := ARRAY(SELECT s.source::text FROM leadscore.source_trigger s
		UNION SELECT c.oid::regclass::text FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'leadscore'::regnamespace ORDER BY 1);
	patience CONSTANT text := current_setting('lock_timeout');
BEGIN
	PERFORM set_config('lock_timeout', greatest(s.setting::integer / cardinality(tables), 1)::text, true) FROM pg_settings s WHERE s.name = 'deadlock_timeout';
	FOR trial IN 1 .. 200 LOOP
		BEGIN
			EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', array_to_string(tables, ', '));
			EXIT;
		EXCEPTION WHEN lock_not_available THEN
			IF trial = 200 THEN
				RAISE EXCEPTION USING ERRCODE = 'lock_not_available', MESSAGE = 'tracked tables are in use',
					DETAIL = 'The update needs a moment in which no transaction has read or written tracked tables or those of leadscore.',
					HINT = 'Try again when long transactions have ended; see pg_locks.';
			END IF;
			PERFORM pg_sleep(0.05);
		END;
	END LOOP;
	PERFORM set_config('lock_timeout', patience, true);
END
$$;

-- What there is to be made again.

CREATE TABLE leadscore_update.source AS
SELECT s.source, s.feeds, s.mapping, s.trigger_prefix FROM leadscore.source_trigger s;

CREATE TABLE leadscore_update.split_into AS
SELECT count(*)::integer AS tables FROM leadscore.split_tables();

CREATE TABLE leadscore_update.was_refreshed AS
SELECT c.relispopulated AND EXISTS (SELECT FROM leadscore.snapshot_state) AS refreshed
FROM pg_class c WHERE c.oid = 'leadscore.lead_segment'::regclass;

DO $$
DECLARE
	statement text;
BEGIN
	FOR statement IN
		SELECT format('DROP EVENT TRIGGER %I', e.evtname) FROM pg_event_trigger e
		WHERE leadscore_update.is_member('pg_event_trigger', e.oid)
		UNION ALL
		SELECT format('DROP TRIGGER %I ON %s', t.tgname, t.tgrelid::regclass)
		FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid AND leadscore_update.is_member('pg_proc', p.oid)
		JOIN pg_class c ON c.oid = t.tgrelid
		WHERE NOT t.tgisinternal AND (c.relnamespace = 'leadscore'::regnamespace
			OR EXISTS (SELECT FROM leadscore_update.source s WHERE s.source = c.oid AND starts_with(t.tgname, s.trigger_prefix || '_')))
		UNION ALL
		SELECT format('DROP TABLE %s', t.name) FROM leadscore.split_tables() t
	LOOP
		EXECUTE statement;
	END LOOP;
END
$$;

-- count.sql counts them anew
TRUNCATE leadscore.lead_timeline, leadscore.pending_delta;

ALTER TABLE leadscore.segment_change RENAME "from" TO from_segment;
ALTER TABLE leadscore.segment_change RENAME "to" TO to_segment;

-- What is dropped, and what depends on it. Whatever depends on something has a higher level.

CREATE TABLE leadscore_update.doomed AS
WITH RECURSIVE doomed (class, object, level) AS (
	SELECT d.classid, d.objid, 0 FROM pg_depend d JOIN pg_extension x ON x.oid = d.refobjid AND x.extname = 'leadscore'
	LEFT JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
	LEFT JOIN pg_type t ON d.classid = 'pg_type'::regclass AND t.oid = d.objid
	LEFT JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
	WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
	AND (c.relkind IN ('v', 'm') OR t.typtype = 'c' OR d.classid = 'pg_operator'::regclass
		OR p.proname NOT IN ('timeline_in', 'timeline_out', 'timeline_recv', 'timeline_send', 'record', 'record_profile'))
	UNION
	-- a view is known by its rule
	SELECT CASE WHEN r.oid IS NULL THEN d.classid ELSE 'pg_class'::regclass END, coalesce(r.ev_class, d.objid), m.level + 1
	FROM doomed m JOIN pg_depend d ON d.refclassid = m.class AND d.refobjid = m.object
	LEFT JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
	WHERE r.ev_class IS DISTINCT FROM m.object
)
SELECT class, object, max(level) AS level FROM doomed GROUP BY class, object;

CREATE TABLE leadscore_update.users_view AS
SELECT c.oid::regclass::text AS name, d.level, pg_get_viewdef(c.oid) AS definition, c.reloptions AS options,
	c.relowner::regrole AS owner, c.relacl AS privileges, obj_description(c.oid, 'pg_class') AS comment
FROM leadscore_update.doomed d JOIN pg_class c ON d.class = 'pg_class'::regclass AND c.oid = d.object AND c.relkind = 'v'
WHERE NOT leadscore_update.is_member('pg_class', c.oid);

-- Roles with rights on what is dropped.

CREATE TABLE leadscore_update.grantee AS
SELECT DISTINCT a.grantee::regrole AS role, CASE
	WHEN c.relname = 'signal' THEN 'grant_admin' WHEN c.relname = 'event' THEN 'grant_writer' ELSE 'grant_reader' END AS class
FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a
WHERE c.relnamespace = 'leadscore'::regnamespace AND a.grantee NOT IN (0, c.relowner)
AND (c.relname, a.privilege_type) IN (('signal', 'INSERT'), ('event', 'INSERT'), ('lead_score', 'SELECT'))
UNION
SELECT DISTINCT a.grantee::regrole, CASE p.proname WHEN 'identify' THEN 'grant_identifier' ELSE 'grant_redeemer' END
FROM pg_proc p CROSS JOIN LATERAL aclexplode(p.proacl) a
WHERE p.pronamespace = 'leadscore'::regnamespace AND p.proname IN ('identify', 'redeem') AND a.grantee NOT IN (0, p.proowner);

DO $$
DECLARE
	statement text;
BEGIN
	FOR statement IN
		SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', k.conrelid::regclass, k.conname)
		FROM pg_constraint k
		WHERE k.contype = 'c' AND leadscore_update.is_member('pg_class', k.conrelid)
		AND EXISTS (SELECT FROM pg_depend d JOIN pg_proc p ON d.refclassid = 'pg_proc'::regclass AND d.refobjid = p.oid
			WHERE d.classid = 'pg_constraint'::regclass AND d.objid = k.oid AND p.pronamespace = 'leadscore'::regnamespace
			AND p.proname IN ('refuse', 'check_event', 'check_condition', 'check_duration'))
		UNION ALL
		SELECT 'DROP OPERATOR FAMILY leadscore.timeline_ops USING hash'
	LOOP
		EXECUTE statement;
	END LOOP;
	FOR statement IN
		SELECT format(CASE WHEN c.relkind = 'v' THEN 'DROP VIEW %s' WHEN c.relkind = 'm' THEN 'DROP MATERIALIZED VIEW %s' WHEN c.relkind = 'c' THEN 'DROP TYPE %s'
			WHEN o.oid IS NOT NULL THEN 'DROP OPERATOR %s' ELSE 'DROP ROUTINE %s' END,
			coalesce(c.oid::regclass::text, o.oid::regoperator::text, p.oid::regprocedure::text))
		FROM leadscore_update.doomed d
		LEFT JOIN pg_type t ON d.class = 'pg_type'::regclass AND t.oid = d.object
		LEFT JOIN pg_class c ON c.relkind IN ('v', 'm') AND d.class = 'pg_class'::regclass AND c.oid = d.object OR c.relkind = 'c' AND c.oid = t.typrelid
		LEFT JOIN pg_operator o ON d.class = 'pg_operator'::regclass AND o.oid = d.object
		LEFT JOIN pg_proc p ON d.class = 'pg_proc'::regclass AND p.oid = d.object
		WHERE num_nonnulls(c.oid, o.oid, p.oid) = 1 AND (leadscore_update.is_member(d.class, d.object) OR c.relkind = 'v')
		ORDER BY d.level DESC
	LOOP
		EXECUTE statement;
	END LOOP;
END
$$;

SET LOCAL search_path = leadscore, pg_temp;
