-- count.sql: tables are tracked again, and all their rows counted

DO $$
DECLARE
	tracked record;
BEGIN
	FOR tracked IN
		SELECT s.source, s.feeds, s.mapping, leadscore_internal.trigger_function(s.feeds) AS function FROM leadscore_update.source s
		WHERE NOT s.mapping ? 'partition' AND s.source NOT IN ('leadscore.event', 'leadscore.derived_event')
		ORDER BY s.source::text, s.trigger_prefix
	LOOP
		PERFORM leadscore_internal.create_triggers(tracked.source, tracked.mapping, tracked.function);
		PERFORM leadscore_internal.create_triggers(c.child, tracked.mapping || '{"partition": true}', tracked.function)
		FROM leadscore_internal.children(tracked.source) AS c (child);
		PERFORM leadscore_internal.look_at_source(tracked.source);
		PERFORM leadscore_internal.add_profiles(tracked.source, tracked.mapping, true, false) WHERE tracked.feeds = 'profile';
	END LOOP;
END
$$;

SELECT leadscore.partition_timelines(p.tables) FROM leadscore_update.split_into p WHERE p.tables > 0;

CALL leadscore.rebuild();

SELECT leadscore_internal.note_everybody() WHERE EXISTS (SELECT FROM leadscore.derivation);

INSERT INTO leadscore.default_model (model) SELECT min(m.model) FROM leadscore.model m HAVING count(*) = 1;

SELECT leadscore.refresh_segments(false) FROM leadscore_update.was_refreshed r WHERE r.refreshed;

-- What is a user's is no part of the extension.

DO $$
DECLARE
	made record;
	statement text;
BEGIN
	FOR made IN SELECT * FROM leadscore_update.users_view ORDER BY level, name LOOP
		EXECUTE format('CREATE VIEW %s %s AS %s', made.name, 'WITH (' || array_to_string(made.options, ', ') || ')', made.definition);
		EXECUTE format('ALTER VIEW %s OWNER TO %s', made.name, made.owner);
		EXECUTE format('COMMENT ON VIEW %s IS %L', made.name, made.comment);
		FOR statement IN
			SELECT format('GRANT %s ON %s TO %s', a.privilege_type, made.name, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END)
				|| CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
			FROM aclexplode(made.privileges) a WHERE a.grantee <> made.owner
		LOOP
			EXECUTE statement;
		END LOOP;
		EXECUTE format('ALTER EXTENSION leadscore DROP VIEW %s', made.name);
	END LOOP;
	FOR made IN SELECT t.name FROM leadscore_internal.split_tables() t UNION ALL SELECT b.name FROM leadscore_internal.base_tables() b LOOP
		EXECUTE format('ALTER EXTENSION leadscore DROP TABLE %s', made.name);
	END LOOP;
END
$$;

SET LOCAL client_min_messages = notice;

DO $$
DECLARE
	statements text;
BEGIN
	SELECT string_agg(DISTINCT format('SELECT leadscore.%s(%L)', g.class, g.role), '; ') INTO statements FROM leadscore_update.grantee g;
	IF statements IS NOT NULL THEN
		RAISE WARNING USING MESSAGE = 'roles have lost their rights on functions and views of leadscore, which are new',
			HINT = format('%s.', statements);
	END IF;
END
$$;

SET LOCAL client_min_messages = warning;
DROP SCHEMA leadscore_update CASCADE;
