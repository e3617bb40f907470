-- follow.sql: what tracked tables were like when they were last looked at
--
-- The triggers are the registry of sources. But a trigger says nothing when its
-- table is swapped for another one, when a column is dropped and made again
-- under its name, or when it is disabled or dropped itself. So what was seen of
-- each tracked table is kept beside: status compares it with what there is.
-- Where there is no row, as after an update or a restore of some tables,
-- nothing is known, and nothing is wrong.

CREATE TABLE leadscore.known_source (
	source oid PRIMARY KEY,
	schema_name name NOT NULL,
	table_name name NOT NULL,
	mappings jsonb NOT NULL,
	columns jsonb NOT NULL,
	due text,
	dropped boolean NOT NULL DEFAULT false
);

CREATE INDEX known_source_name_idx ON leadscore.known_source (table_name);

COMMENT ON TABLE leadscore.known_source IS 'the last known state of tracked tables, with which status compares their present state';
COMMENT ON COLUMN leadscore.known_source.source IS 'the table, by its OID';
COMMENT ON COLUMN leadscore.known_source.schema_name IS 'its schema, when it was tracked';
COMMENT ON COLUMN leadscore.known_source.table_name IS 'its name, when it was tracked';
COMMENT ON COLUMN leadscore.known_source.mappings IS 'its mappings: an array of {"feeds", "mapping"}; empty: it is no longer tracked';
COMMENT ON COLUMN leadscore.known_source.columns IS 'the columns that these name: their numbers (NULL: missing) and types, by name';
COMMENT ON COLUMN leadscore.known_source.due IS 'why timelines may differ from its rows, until a rebuild; NULL: they do not';
COMMENT ON COLUMN leadscore.known_source.dropped IS 'whether it was dropped, and its rows taken out of the timelines';

CREATE TABLE leadscore_internal.known_event_trigger (
	only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
	state text NOT NULL
);

COMMENT ON TABLE leadscore_internal.known_event_trigger IS 'our event triggers as they were at the last rebuild of all leads: one row';
COMMENT ON COLUMN leadscore_internal.known_event_trigger.only_row IS 'true';
COMMENT ON COLUMN leadscore_internal.known_event_trigger.state IS 'it differs when one of them has been disabled since';

CREATE FUNCTION leadscore_internal.event_trigger_state() RETURNS text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	-- a row that was changed has been written by another transaction; pg_upgrade makes another cluster
	SELECT string_agg(format('%s %s', e.evtname, e.xmin), ', ' ORDER BY e.evtname) || format(' (%s)', (SELECT c.system_identifier FROM pg_control_system() c))
	FROM pg_event_trigger e JOIN pg_proc p ON p.oid = e.evtfoid AND p.pronamespace = 'leadscore_internal'::regnamespace
$$;

COMMENT ON FUNCTION leadscore_internal.event_trigger_state() IS 'something that changes when one of our event triggers is disabled or enabled';

INSERT INTO leadscore_internal.known_event_trigger (state) SELECT leadscore_internal.event_trigger_state();

-- kept here, too: the database's own entry may be renewed without a thought of our indexes
CREATE TABLE leadscore_internal.known_collation (
	only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
	version text
);

COMMENT ON TABLE leadscore_internal.known_collation IS 'the collation that our indexes were made with, or were last seen to be in the order of: one row';
COMMENT ON COLUMN leadscore_internal.known_collation.only_row IS 'true';
COMMENT ON COLUMN leadscore_internal.known_collation.version IS 'its version; NULL: it has none';

CREATE FUNCTION leadscore_internal.collation_version() RETURNS text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_database_collation_actual_version(d.oid) FROM pg_database d WHERE d.datname = current_database()
$$;

COMMENT ON FUNCTION leadscore_internal.collation_version() IS 'the version of the database''s collation that the server has now';

INSERT INTO leadscore_internal.known_collation (version) SELECT leadscore_internal.collation_version();

-- what a table is like now

CREATE FUNCTION leadscore_internal.mapped_columns(source oid, mappings jsonb) RETURNS jsonb
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
AS $$
	SELECT coalesce(jsonb_object_agg(n.name, jsonb_build_object('number', a.attnum, 'type', format_type(a.atttypid, a.atttypmod))), '{}')
	FROM (
		SELECT DISTINCT c AS name
		FROM jsonb_array_elements(mappings) e CROSS JOIN LATERAL leadscore_internal.terms(mapped_columns.source, e -> 'mapping') t
		CROSS JOIN LATERAL unnest(CASE WHEN leadscore_internal.is_term_for_column(mapped_columns.source, t.term) THEN ARRAY[t.term]
			ELSE coalesce(leadscore_internal.expression_columns(t.term), ARRAY[t.term]) END) c
	) n
	LEFT JOIN pg_attribute a ON a.attrelid = mapped_columns.source AND a.attname::text = n.name AND a.attnum > 0 AND NOT a.attisdropped
	WHERE n.name IS NOT NULL
$$;

COMMENT ON FUNCTION leadscore_internal.mapped_columns(oid, jsonb) IS 'the columns that mappings name or their expressions read, as they are now';

CREATE FUNCTION leadscore_internal.present_mappings(source oid) RETURNS jsonb
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(jsonb_agg(jsonb_build_object('feeds', s.feeds, 'mapping', s.mapping) ORDER BY s.feeds, s.mapping), '[]')
	FROM leadscore.source s WHERE s.source::oid = present_mappings.source
$$;

COMMENT ON FUNCTION leadscore_internal.present_mappings(oid) IS 'the mappings of a table, by its triggers';

-- Our triggers, also those that lack the one by which the registry knows them.
CREATE VIEW leadscore_internal.trigger_set AS
SELECT t.tgrelid::regclass AS source, CASE p.proname WHEN 'record' THEN 'timeline' WHEN 'record_profile' THEN 'profile' ELSE 'alias' END AS feeds, m.mapping,
	regexp_replace(t.tgname, '_(insert|update|delete|truncate|before)$', '') AS trigger_prefix,
	bool_or(t.tgtype = 4) AS registered,
	-- one before and four after each statement; those of 0.1.0 had the latter only
	count(*) >= CASE WHEN min(t.tgname) LIKE 'LEADSCORE%' THEN 5 ELSE 4 END AS complete,
	bool_or(t.tgenabled IN ('D', 'R')) AS disabled
FROM pg_trigger t
JOIN pg_class c ON c.oid = t.tgrelid AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
JOIN pg_proc p ON p.oid = t.tgfoid AND p.pronamespace = 'leadscore'::regnamespace AND p.proname IN ('record', 'record_profile', 'record_alias')
CROSS JOIN LATERAL (SELECT leadscore_internal.trigger_mapping(t.tgargs) AS mapping OFFSET 0) m
WHERE NOT t.tgisinternal AND t.tgname ~ '_(insert|update|delete|truncate|before)$' AND m.mapping IS NOT NULL
GROUP BY t.tgrelid, p.proname, m.mapping, 4;

COMMENT ON VIEW leadscore_internal.trigger_set IS 'the triggers of each mapping of a tracked table, of its partitions and children: whether they are all there, and enabled';
COMMENT ON COLUMN leadscore_internal.trigger_set.source IS 'the table';
COMMENT ON COLUMN leadscore_internal.trigger_set.feeds IS 'timeline, profile or alias';
COMMENT ON COLUMN leadscore_internal.trigger_set.mapping IS 'the argument of the triggers';
COMMENT ON COLUMN leadscore_internal.trigger_set.trigger_prefix IS 'how their names begin';
COMMENT ON COLUMN leadscore_internal.trigger_set.registered IS 'whether the one is there by which source knows the mapping';
COMMENT ON COLUMN leadscore_internal.trigger_set.complete IS 'whether they are all there';
COMMENT ON COLUMN leadscore_internal.trigger_set.disabled IS 'whether one of them is disabled';

CREATE FUNCTION leadscore_internal.keeps_values(old_type text, new_type text) RETURNS boolean
	LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	-- whether each value has the text and the number that it had: a wider integer, or a text without or with a greater length
	SELECT old_type = new_type
		OR coalesce(array_position(ARRAY['smallint', 'integer', 'bigint'], old_type) < array_position(ARRAY['smallint', 'integer', 'bigint'], new_type), false)
		OR old_type ~ '^(character varying([(][0-9]+[)])?|text)$' AND (new_type IN ('text', 'character varying')
			OR new_type ~ '^character varying[(]' AND substring(old_type FROM '[(]([0-9]+)')::integer <= substring(new_type FROM '[(]([0-9]+)')::integer) IS TRUE
$$;

COMMENT ON FUNCTION leadscore_internal.keeps_values(text, text) IS 'whether a change of a column''s type leaves its values as they were, for sure';

-- looking at a table

CREATE FUNCTION leadscore_internal.note_due(source oid, reason text) RETURNS void
	LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	UPDATE leadscore.known_source k SET due = reason WHERE k.source = note_due.source AND k.due IS NULL
$$;

CREATE FUNCTION leadscore_internal.note_subscribed() RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	source oid;
BEGIN
	FOR source IN
		SELECT DISTINCT s.source::oid FROM pg_subscription_rel r CROSS JOIN LATERAL unnest(leadscore_internal.family_above(ARRAY[r.srrelid])) a JOIN leadscore.source s ON s.source::oid = a
	LOOP
		PERFORM leadscore_internal.look_at_source(source::regclass);
		PERFORM leadscore_internal.note_due(source, 'a subscription has written to it'::text);
	END LOOP;
END
$$;

COMMENT ON FUNCTION leadscore_internal.note_subscribed() IS 'notes that subscriptions, of which one may be about to end, have written past our triggers';
COMMENT ON FUNCTION leadscore_internal.note_due(oid, text) IS 'notes why timelines may differ from a table''s rows, until a rebuild';

CREATE FUNCTION leadscore_internal.look_at_columns(source regclass, known jsonb, present jsonb) RETURNS text
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	name text;
	old_number integer;
	new_number integer;
	new_name text;
	what text;
	reason text;
BEGIN
	FOR name IN SELECT k FROM jsonb_object_keys(known) k WHERE present ? k ORDER BY 1 LOOP
		old_number := known #>> ARRAY[name, 'number'];
		new_number := present #>> ARRAY[name, 'number'];
		what := NULL;
		IF new_number IS NULL AND old_number IS NOT NULL THEN
			new_name := (SELECT a.attname FROM pg_attribute a WHERE a.attrelid = source AND a.attnum = old_number AND NOT a.attisdropped);
			what := CASE WHEN new_name IS NULL THEN 'was dropped' ELSE format('is called "%s" now', new_name) END;
			RAISE WARNING USING ERRCODE = 'undefined_column', MESSAGE = format('the rows of %s are no longer counted: its column "%s" %s', source, name, what),
				DETAIL = 'leadscore reads that column of the tracked table. Statements on the table go on as before.',
				HINT = format('Undo it, or SELECT leadscore.untrack(%L), track() the table with the columns of today, then CALL leadscore.rebuild().', source::text);
		ELSIF new_number IS DISTINCT FROM old_number THEN
			what := CASE WHEN old_number IS NULL THEN 'is there again' ELSE 'is another column now' END;
		ELSIF NOT leadscore_internal.keeps_values(known #>> ARRAY[name, 'type'], present #>> ARRAY[name, 'type']) THEN
			what := 'has changed its type';
		END IF;
		CONTINUE WHEN what IS NULL;
		reason := coalesce(reason, format('column "%s" %s', name, what));
		IF new_number IS NOT NULL THEN
			RAISE WARNING USING MESSAGE = format('timelines may differ from the rows of %s: its column "%s" %s', source, name, what),
				DETAIL = 'Existing rows were counted with its former values.', HINT = 'CALL leadscore.rebuild() counts them again.';
		END IF;
	END LOOP;
	RETURN reason;
END
$$;

COMMENT ON FUNCTION leadscore_internal.look_at_columns(regclass, jsonb, jsonb) IS 'tells of the columns of a tracked table that have changed, and gives the first reason to count its rows anew';

CREATE FUNCTION leadscore_internal.look_at_source(source regclass) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	known leadscore.known_source;
	mappings_now jsonb := leadscore_internal.present_mappings(source::oid);
	columns_now jsonb;
	reason text;
BEGIN
	SELECT k.* INTO known FROM leadscore.known_source k WHERE k.source = look_at_source.source;
	IF known.source IS NULL AND mappings_now = '[]' THEN
		RETURN;
	END IF;
	-- a mapping whose triggers somebody has dropped is still one
	mappings_now := coalesce((SELECT jsonb_agg(DISTINCT m) FROM jsonb_array_elements(mappings_now || coalesce(known.mappings, '[]')) m), '[]');
	columns_now := leadscore_internal.mapped_columns(source::oid, mappings_now);
	reason := leadscore_internal.look_at_columns(source, coalesce(known.columns, columns_now), columns_now);
	IF EXISTS (SELECT FROM leadscore_internal.trigger_set t WHERE t.disabled AND t.source::oid = ANY (leadscore_internal.family_below(ARRAY[look_at_source.source::oid]))) THEN
		RAISE WARNING USING MESSAGE = format('the rows of %s are not counted: triggers of leadscore are disabled', source),
			HINT = format('ALTER TABLE %s ENABLE TRIGGER USER, then CALL leadscore.rebuild().', source);
		reason := coalesce(reason, 'triggers of leadscore were disabled');
	END IF;
	INSERT INTO leadscore.known_source AS k (source, schema_name, table_name, mappings, columns, due)
	SELECT c.oid, n.nspname, c.relname, mappings_now, columns_now, reason
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = look_at_source.source
	ON CONFLICT ON CONSTRAINT known_source_pkey DO UPDATE SET mappings = excluded.mappings, columns = excluded.columns, due = coalesce(k.due, excluded.due)
	WHERE excluded.due IS NOT NULL OR k.mappings <> excluded.mappings OR k.columns <> excluded.columns;
END
$$;

COMMENT ON FUNCTION leadscore_internal.look_at_source(regclass) IS 'tells what has changed of a tracked table since it was last looked at, and notes what it is like now';

CREATE FUNCTION leadscore_internal.look_at_names(tables oid[]) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	taken record;
BEGIN
	FOR taken IN
		SELECT c.oid::regclass AS name, k.source::regclass::text AS tracked, k.dropped OR NOT EXISTS (SELECT FROM pg_class o WHERE o.oid = k.source) AS gone
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		JOIN leadscore.known_source k ON k.schema_name = n.nspname AND k.table_name = c.relname AND k.source <> c.oid
		WHERE c.oid = ANY (tables) AND c.relkind IN ('r', 'p') AND NOT EXISTS (SELECT FROM leadscore_internal.source_trigger s WHERE s.source::oid = c.oid)
	LOOP
		RAISE WARNING USING MESSAGE = format('%s is not tracked: it has the name of a table that %s', taken.name,
				CASE WHEN taken.gone THEN 'was tracked, and dropped' ELSE format('is tracked, and is now %s', taken.tracked) END),
			HINT = format('SELECT leadscore.retrack(%L) moves the tracking to it.', taken.name::text);
	END LOOP;
END
$$;

COMMENT ON FUNCTION leadscore_internal.look_at_names(oid[]) IS 'tells of tables that have taken the names of tracked ones';

CREATE FUNCTION leadscore_internal.forget_mapping(source oid, feeds text, mapping jsonb) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	UPDATE leadscore.known_source k
	SET mappings = coalesce((SELECT jsonb_agg(m) FROM jsonb_array_elements(k.mappings) m
		WHERE m <> jsonb_build_object('feeds', forget_mapping.feeds, 'mapping', forget_mapping.mapping)), '[]')
	WHERE k.source = forget_mapping.source;
	-- what has been counted wrongly is still in the timelines
	DELETE FROM leadscore.known_source k WHERE k.source = forget_mapping.source AND k.mappings = '[]' AND k.due IS NULL;
END
$$;

COMMENT ON FUNCTION leadscore_internal.forget_mapping(oid, text, jsonb) IS 'a table is no longer tracked in one way';

CREATE FUNCTION leadscore_internal.note_dropped(source regclass) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	UPDATE leadscore.known_source k SET dropped = true WHERE k.source = note_dropped.source AND k.mappings <> '[]';
	IF FOUND THEN
		RAISE WARNING USING MESSAGE = format('the rows of %s no longer count: it is tracked, and is being dropped', source),
			HINT = format('If another table takes its name, SELECT leadscore.retrack(%L) moves the tracking to it. To keep scores in the meantime, do so before this table is dropped.', source::text);
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.note_dropped(regclass) IS 'a tracked table is being dropped';

-- In a dump, a table has its name; in the restored database it has another OID, and its columns may have other numbers.

CREATE FUNCTION leadscore_internal.source_restored() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM leadscore_internal.check_trigger(TG_RELID, 'leadscore.known_source'::regclass);
	IF leadscore_internal.in_restore() AND NOT NEW.dropped THEN
		NEW.source := to_regclass(format('%I.%I', NEW.schema_name, NEW.table_name));
		IF NEW.source IS NULL OR EXISTS (SELECT FROM leadscore.known_source k WHERE k.source = NEW.source) THEN
			RETURN NULL;
		END IF;
		NEW.columns := leadscore_internal.mapped_columns(NEW.source, NEW.mappings);
	END IF;
	RETURN NEW;
END
$$;

COMMENT ON FUNCTION leadscore_internal.source_restored() IS 'trigger: looks up again what a dump knows by its name';

CREATE TRIGGER source_restored BEFORE INSERT ON leadscore.known_source
	FOR EACH ROW EXECUTE FUNCTION leadscore_internal.source_restored();

-- what is wrong with them

CREATE FUNCTION leadscore_internal.table_problem() RETURNS TABLE (object text, name text, state text, action text)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY
	SELECT 'event_trigger', e.evtname::text, 'is disabled: tables that change are not followed', format('ALTER EVENT TRIGGER %I ENABLE; CALL leadscore.rebuild()', e.evtname)
	FROM pg_event_trigger e JOIN pg_proc p ON p.oid = e.evtfoid AND p.pronamespace = 'leadscore_internal'::regnamespace
	WHERE e.evtenabled NOT IN ('O', 'A') ORDER BY 2;
	IF NOT FOUND THEN
		RETURN QUERY
		SELECT 'event_trigger', 'leadscore', 'event triggers have been disabled for a while, in which tables may have changed', 'CALL leadscore.rebuild()'
		FROM leadscore_internal.known_event_trigger k
		WHERE k.state <> leadscore_internal.event_trigger_state() AND substring(k.state FROM '[(][0-9]+[)]$') = substring(leadscore_internal.event_trigger_state() FROM '[(][0-9]+[)]$');
	END IF;
	RETURN QUERY
	SELECT 'source', t.source::text, CASE WHEN bool_or(t.disabled) THEN 'triggers of leadscore are disabled: its rows are not counted' ELSE 'triggers of leadscore are missing: its rows are not all counted' END,
		CASE WHEN bool_or(t.disabled) THEN format('ALTER TABLE %s ENABLE TRIGGER USER; CALL leadscore.rebuild()', t.source)
			ELSE format('SELECT leadscore.retrack(%L); CALL leadscore.rebuild()', coalesce(r.source, t.source)::text) END
	FROM leadscore_internal.trigger_set t
	LEFT JOIN leadscore.source r ON t.mapping ? 'partition' AND r.source::oid = ANY (leadscore_internal.family_above(ARRAY[t.source::oid]))
	WHERE t.disabled OR NOT t.complete GROUP BY t.source, r.source ORDER BY 2;
	RETURN QUERY
	SELECT 'source', s.source::text, p.state, CASE WHEN s.latest_by IS NULL THEN format('SELECT leadscore.untrack(%L) -- then %s', s.source::text, p.action) ELSE p.action END
	FROM leadscore.source s CROSS JOIN LATERAL leadscore_internal.lead_key_problem(s.source, s.mapping) p
	WHERE s.feeds = 'profile' AND p.state IS NOT NULL AND leadscore_internal.source_problem(s.source, s.mapping) IS NULL ORDER BY 2;
	-- an index that was there when the table was tracked
	RETURN QUERY
	SELECT 'source', s.source::text, p.state, CASE WHEN s.latest_by IS NULL THEN format('%s (after SELECT leadscore.untrack(%L))', p.action, s.source::text) ELSE p.action END
	FROM leadscore.source s CROSS JOIN LATERAL leadscore_internal.alias_key_problem(s.source, s.mapping) p
	WHERE s.feeds = 'alias' AND p.state IS NOT NULL AND leadscore_internal.source_problem(s.source, s.mapping) IS NULL ORDER BY 2;
	RETURN QUERY
	SELECT DISTINCT 'source', s.source::text, format('is read whole whenever an alias changes its lead: %s', lower(left(p.state, 1)) || substr(p.state, 2)), p.action
	FROM leadscore.source s CROSS JOIN LATERAL leadscore_internal.event_index_problem(s.source, s.lead_id) p
	WHERE s.feeds = 'timeline' AND p.state IS NOT NULL AND EXISTS (SELECT FROM leadscore.source a WHERE a.feeds = 'alias')
	AND leadscore_internal.source_problem(s.source, s.mapping) IS NULL ORDER BY 2, 3;
	RETURN QUERY
	SELECT DISTINCT 'source', t.source::text, 'is filled by a subscription, whose rows fire no statement trigger',
		'CALL leadscore.rebuild() -- from a schedule, and after the subscription has ended; or track the table on the publisher'
	FROM pg_subscription_rel r JOIN leadscore_internal.trigger_set t ON t.source::oid = r.srrelid ORDER BY 2;
	RETURN QUERY
	SELECT 'source', k.name, k.state, k.action FROM leadscore_internal.known_source_problem() k;
	RETURN QUERY
	SELECT 'source', u.source::text, format('shards that are new or have moved are not tracked: %s', u.shards), 'SELECT leadscore.distribute()' FROM leadscore_internal.untracked_shards() u;
	RETURN QUERY
	SELECT 'own_table', o.name, o.state, o.action FROM leadscore_internal.own_problem() o;
END
$$;

COMMENT ON FUNCTION leadscore_internal.table_problem() IS 'problems with tracked tables, and with what follows them';

CREATE FUNCTION leadscore_internal.known_source_problem() RETURNS TABLE (name text, state text, action text)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH known AS MATERIALIZED (
		SELECT k.*, format('%I.%I', k.schema_name, k.table_name) AS known_name, c.oid IS NOT NULL AS there, nullif(o.oid, k.source)::regclass AS namesake,
			EXISTS (SELECT FROM leadscore_internal.source_trigger s WHERE s.source::oid = o.oid) AS namesake_tracked
		FROM leadscore.known_source k
		LEFT JOIN pg_class c ON c.oid = k.source
		LEFT JOIN pg_namespace n ON n.nspname = k.schema_name
		LEFT JOIN pg_class o ON o.relnamespace = n.oid AND o.relname = k.table_name AND o.relkind IN ('r', 'p')
	)
	SELECT CASE WHEN k.there THEN k.source::regclass::text ELSE k.known_name END, p.state, p.action
	FROM known k
	CROSS JOIN LATERAL (
		SELECT CASE WHEN k.namesake IS NULL THEN 'was dropped: its rows no longer count' ELSE 'was dropped and made again, and is not tracked' END AS state,
			CASE WHEN k.namesake IS NULL THEN format('DELETE FROM leadscore.known_source WHERE source = %s', k.source) ELSE format('SELECT leadscore.retrack(%L)', k.namesake::text) END AS action
		WHERE NOT k.there AND NOT k.namesake_tracked AND k.mappings <> '[]'
		UNION ALL
		SELECT 'is gone, but its rows may still be counted', 'CALL leadscore.rebuild()'
		WHERE NOT k.there AND (NOT k.dropped OR k.due IS NOT NULL)
		UNION ALL
		SELECT format('is tracked; %s, which has its former name, is not', k.namesake), format('SELECT leadscore.retrack(%L) -- or, to leave it so, retrack(%L)', k.namesake::text, k.source::regclass::text)
		WHERE k.there AND k.namesake IS NOT NULL AND NOT k.namesake_tracked AND k.mappings <> '[]'
		UNION ALL
		SELECT 'has no triggers of leadscore any more: its rows are not counted', format('SELECT leadscore.retrack(%L); CALL leadscore.rebuild()', k.source::regclass::text)
		WHERE k.there AND EXISTS (SELECT FROM jsonb_array_elements(k.mappings) m WHERE NOT EXISTS (SELECT FROM leadscore_internal.trigger_set t
			WHERE t.source::oid = k.source AND t.feeds = m ->> 'feeds' AND t.mapping = m -> 'mapping'))
		UNION ALL
		SELECT format('timelines may differ from its rows: %s', coalesce(k.due, 'a column is another one, or has changed its type')), 'CALL leadscore.rebuild()'
		WHERE k.there AND (k.due IS NOT NULL OR EXISTS (SELECT FROM jsonb_each(leadscore_internal.mapped_columns(k.source, k.mappings)) c
			WHERE c.value -> 'number' IS DISTINCT FROM k.columns #> ARRAY[c.key, 'number']
			OR NOT leadscore_internal.keeps_values(k.columns #>> ARRAY[c.key, 'type'], c.value ->> 'type')))
		AND NOT EXISTS (SELECT FROM jsonb_array_elements(k.mappings) m WHERE leadscore_internal.source_problem(k.source::regclass, m -> 'mapping') IS NOT NULL)
	) p
	ORDER BY 1, 2
$$;

COMMENT ON FUNCTION leadscore_internal.known_source_problem() IS 'how tracked tables differ from what was last seen of them';

-- our own tables, as somebody has changed them

-- filled when all of them are there, in privileges.sql
CREATE TABLE leadscore_internal.own_column (
	table_name name,
	column_name name,
	PRIMARY KEY (table_name, column_name)
);

COMMENT ON TABLE leadscore_internal.own_column IS 'the columns that our tables are made with';
COMMENT ON COLUMN leadscore_internal.own_column.table_name IS 'the table';
COMMENT ON COLUMN leadscore_internal.own_column.column_name IS 'its column';

CREATE FUNCTION leadscore_internal.own_problem() RETURNS TABLE (name text, state text, action text)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT c.relname::text, 'is unlogged: a crash empties it', format('ALTER TABLE %s SET LOGGED', c.oid::regclass)
	FROM pg_class c WHERE c.relnamespace = ANY (leadscore_internal.our_schemas()) AND c.relkind = 'r' AND c.relpersistence = 'u'
	UNION ALL
	-- pg_dump writes all columns of a table, but a restore begins with those that CREATE EXTENSION makes
	SELECT c.relname::text, format('has the column "%s", which is not ours: all rows would be lost when a dump is restored', a.attname),
		format('ALTER TABLE %s DROP COLUMN %I -- after copying it to a table of your own', c.oid::regclass, a.attname)
	FROM pg_extension x CROSS JOIN unnest(x.extconfig) e JOIN pg_class c ON c.oid = e AND c.relkind = 'r'
	JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
	WHERE x.extname = 'leadscore' AND NOT EXISTS (SELECT FROM leadscore_internal.own_column o WHERE o.table_name = c.relname AND o.column_name = a.attname)
	UNION ALL
	SELECT 'lead_timeline', format('was sorted by another version of the database''s collation (%s, now %s): there may be two rows of a lead', k.version, leadscore_internal.collation_version()),
		format('CALL leadscore.rebuild() -- mends our tables; REINDEX DATABASE and ALTER DATABASE %I REFRESH COLLATION VERSION are for those of others', current_database())
	FROM leadscore_internal.known_collation k WHERE k.version IS DISTINCT FROM leadscore_internal.collation_version()
	ORDER BY 1, 2
$$;

COMMENT ON FUNCTION leadscore_internal.own_problem() IS 'changes to tables of the extension';

CREATE FUNCTION leadscore_internal.look_at_own(tables oid[]) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	problem record;
BEGIN
	IF EXISTS (SELECT FROM unnest(tables) t WHERE t = 'leadscore.lead_timeline'::regclass OR EXISTS (SELECT FROM pg_index i WHERE i.indexrelid = t AND i.indrelid = 'leadscore.lead_timeline'::regclass)) THEN
		PERFORM leadscore_internal.follow_tablespace();
	END IF;
	FOR problem IN
		SELECT p.*, c.oid::regclass AS source FROM leadscore_internal.own_problem() p JOIN pg_class c ON c.relnamespace = ANY (leadscore_internal.our_schemas()) AND c.relname::text = p.name
		WHERE c.oid = ANY (tables)
	LOOP
		RAISE WARNING USING MESSAGE = format('the table %s %s', problem.source, problem.state), HINT = problem.action || '.';
	END LOOP;
END
$$;

COMMENT ON FUNCTION leadscore_internal.look_at_own(oid[]) IS 'warns of the consequences of changing a table of the extension';

-- An index whose order is no longer that of the collation does not find what is there: then a lead gets a second row.

CREATE FUNCTION leadscore_internal.keyed_by_lead() RETURNS TABLE (name regclass, key text)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT t.name, t.key
	FROM (VALUES ('leadscore.lead'::regclass, 'lead_id'), ('leadscore.lead_alias', 'alias'), ('leadscore.lead_state', 'lead_id, model'), ('leadscore.lead_timeline', 'lead_id')) t (name, key)
	UNION ALL
	SELECT p.name, 'lead_id' FROM leadscore_internal.split_tables() p
$$;

COMMENT ON FUNCTION leadscore_internal.keyed_by_lead() IS 'our tables with a row for each lead, and their keys';

CREATE FUNCTION leadscore_internal.merge_duplicates() RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET row_security = off SET enable_indexscan = off SET enable_indexonlyscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
	changed CONSTANT boolean := EXISTS (SELECT FROM leadscore_internal.known_collation k WHERE k.version IS DISTINCT FROM leadscore_internal.collation_version());
	present record;
	is_doubled boolean;
	doubled text[] := '{}';
BEGIN
	-- before the snapshot is taken that its tables are looked for with
	LOCK TABLE leadscore.lead_timeline IN ACCESS SHARE MODE;
	FOR present IN SELECT k.* FROM leadscore_internal.keyed_by_lead() k LOOP
		EXECUTE format('SELECT EXISTS (SELECT FROM ONLY %s GROUP BY %s HAVING count(*) > 1)', present.name, leadscore_internal.by_bytes(present.key)) INTO is_doubled;
		doubled := doubled || CASE WHEN is_doubled THEN ARRAY[present.name::text] ELSE '{}' END;
	END LOOP;
	IF doubled = '{}' AND NOT changed THEN
		RETURN;
	END IF;
	-- (that what an index holds is in order proves nothing: what is gone has left its place in the tree)
	FOR present IN
		SELECT c.oid::regclass AS name, k.key FROM pg_class c LEFT JOIN leadscore_internal.keyed_by_lead() k ON k.name = c.oid
		WHERE c.relnamespace = ANY (leadscore_internal.our_schemas()) AND c.relkind = 'r' ORDER BY c.oid
	LOOP
		-- from here on to the end of the transaction nobody writes or reads it
		EXECUTE format('LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE', present.name);
		PERFORM leadscore_internal.merge_rows(present.name, present.key) WHERE present.key IS NOT NULL;
		EXECUTE format('REINDEX TABLE %s', present.name);
	END LOOP;
	RAISE NOTICE USING MESSAGE = 'the indexes of leadscore''s tables are rebuilt for the present version of the collation',
		DETAIL = CASE WHEN doubled = '{}' THEN 'No lead had two rows.' ELSE format('Leads with two rows in %s now have one.', array_to_string(doubled, ', ')) END,
		HINT = 'REINDEX DATABASE rebuilds those of other tables.';
	UPDATE leadscore_internal.known_collation k SET version = leadscore_internal.collation_version() WHERE changed;
END
$$;

COMMENT ON FUNCTION leadscore_internal.merge_duplicates() IS 'if the collation has changed, or leads have two rows: rebuilds the indexes, and merges such rows';

CREATE FUNCTION leadscore_internal.by_bytes(key text) RETURNS text
	LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT replace(key, ', ', ' COLLATE "C", ') || ' COLLATE "C"'
$$;

COMMENT ON FUNCTION leadscore_internal.by_bytes(text) IS 'some columns, to be compared by their bytes';

CREATE FUNCTION leadscore_internal.merge_rows(source regclass, key text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET row_security = off SET enable_indexscan = off SET enable_indexonlyscan = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
	lead_ids text[];
	profiles jsonb[];
BEGIN
	-- what the younger row says of a lead holds
	IF source = 'leadscore.lead'::regclass THEN
		SELECT array_agg(m.lead_id), array_agg(m.profile) INTO lead_ids, profiles
		FROM (
			SELECT min(l.lead_id COLLATE "C") AS lead_id, jsonb_object_agg(e.key, e.value ORDER BY age(l.xmin) DESC, l.ctid) FILTER (WHERE e.key IS NOT NULL) AS profile
			FROM leadscore.lead l LEFT JOIN LATERAL jsonb_each(l.profile) e ON true
			GROUP BY l.lead_id COLLATE "C" HAVING count(DISTINCT l.ctid) > 1
		) m;
	END IF;
	EXECUTE format('DELETE FROM ONLY %1$s WHERE ctid IN (SELECT d.ctid FROM (SELECT t.ctid, row_number() OVER (PARTITION BY %2$s ORDER BY age(t.xmin), t.ctid DESC) AS n'
		' FROM ONLY %1$s t) d WHERE d.n > 1)', source, leadscore_internal.by_bytes(key));
	UPDATE leadscore.lead l SET profile = m.profile FROM unnest(lead_ids, profiles) m (lead_id, profile) WHERE l.lead_id COLLATE "C" = m.lead_id;
END
$$;

COMMENT ON FUNCTION leadscore_internal.merge_rows(regclass, text) IS 'leaves one row of those of a table that have the same key, by its bytes: the youngest, of profiles with what older ones have besides';

-- what a rebuild of all leads has counted

CREATE FUNCTION leadscore_internal.sources_due() RETURNS jsonb
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT jsonb_build_object('event_triggers', leadscore_internal.event_trigger_state(),
		'sources', (SELECT jsonb_object_agg(k.source, jsonb_build_object('row', k.xmin::text, 'columns', leadscore_internal.mapped_columns(k.source, k.mappings)))
			FROM leadscore.known_source k))
$$;

COMMENT ON FUNCTION leadscore_internal.sources_due() IS 'what a rebuild of all leads begins with, for sources_counted()';

CREATE FUNCTION leadscore_internal.sources_counted(noted jsonb) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	-- what has been written since the rebuild began is due for the next one
	DELETE FROM leadscore.known_source k
	WHERE k.xmin::text = noted #>> ARRAY['sources', k.source::text, 'row']
	AND (k.mappings = '[]' OR NOT k.dropped AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = k.source));
	UPDATE leadscore.known_source k
	SET due = NULL, columns = noted #> ARRAY['sources', k.source::text, 'columns']
	WHERE k.xmin::text = noted #>> ARRAY['sources', k.source::text, 'row']
	AND (k.due IS NOT NULL OR k.columns <> noted #> ARRAY['sources', k.source::text, 'columns'])
	AND NOT EXISTS (SELECT FROM jsonb_array_elements(k.mappings) m WHERE NOT k.dropped AND (leadscore_internal.source_problem(k.source::regclass, m -> 'mapping') IS NOT NULL
		OR NOT EXISTS (SELECT FROM leadscore_internal.trigger_set t WHERE t.source::oid = k.source AND t.feeds = m ->> 'feeds' AND t.mapping = m -> 'mapping' AND t.complete)))
	AND NOT EXISTS (SELECT FROM leadscore_internal.trigger_set t WHERE t.disabled AND t.source::oid = ANY (leadscore_internal.family_below(ARRAY[k.source])));
	PERFORM leadscore_internal.look_at_source(s.source) FROM (SELECT DISTINCT s.source FROM leadscore.source s) s
	WHERE NOT EXISTS (SELECT FROM leadscore.known_source k WHERE k.source = s.source::oid);
	UPDATE leadscore_internal.known_event_trigger k SET state = noted ->> 'event_triggers' WHERE k.state <> noted ->> 'event_triggers';
END
$$;

COMMENT ON FUNCTION leadscore_internal.sources_counted(jsonb) IS 'notes that a rebuild of all leads has counted the tracked tables as they were when it began';

-- moving the tracking

CREATE FUNCTION leadscore_internal.drop_trigger_sets(source regclass, mapping jsonb, feeds text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	present record;
BEGIN
	FOR present IN
		SELECT t.source, t.trigger_prefix FROM leadscore_internal.trigger_set t
		WHERE t.source::oid = ANY (leadscore_internal.family_below(ARRAY[drop_trigger_sets.source::oid])) AND t.feeds = drop_trigger_sets.feeds
		AND t.mapping - 'partition' = drop_trigger_sets.mapping
	LOOP
		PERFORM leadscore_internal.drop_triggers(present.source, present.trigger_prefix);
	END LOOP;
END
$$;

COMMENT ON FUNCTION leadscore_internal.drop_trigger_sets(regclass, jsonb, text) IS 'drops whatever triggers a table, its partitions and children have for a mapping';

CREATE FUNCTION leadscore.retrack(source regclass) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	known leadscore.known_source;
	mappings jsonb;
	one record;
BEGIN
	PERFORM leadscore_internal.check_source(source);
	EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', source);
	SELECT k.* INTO known
	FROM leadscore.known_source k JOIN pg_class c ON c.oid = retrack.source JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE k.source = c.oid OR k.schema_name = n.nspname AND k.table_name = c.relname
	ORDER BY k.source <> c.oid LIMIT 1;
	IF NOT FOUND OR known.mappings = '[]' THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('no table of the name %s was tracked', source),
			DETAIL = 'Tracking is moved to a table that has the name of one that was tracked.',
			HINT = leadscore_internal.known('tracked tables'::text, ARRAY(SELECT DISTINCT format('%I.%I', k.schema_name, k.table_name) FROM leadscore.known_source k ORDER BY 1));
	END IF;
	IF known.source = source::oid THEN
		PERFORM leadscore_internal.repair_triggers(source, known.mappings);
		PERFORM leadscore_internal.rename_source(source);
		RETURN;
	END IF;

	mappings := leadscore_internal.present_mappings(known.source);
	IF mappings = '[]' THEN
		mappings := known.mappings;
	END IF;
	PERFORM leadscore_internal.end_tracking(known.source::regclass, '{timeline,profile,alias}'::text[], NULL::jsonb) WHERE EXISTS (SELECT FROM pg_class c WHERE c.oid = known.source);
	PERFORM leadscore_internal.replace_source(known.source);
	FOR one IN SELECT m ->> 'feeds' AS feeds, m -> 'mapping' AS mapping FROM jsonb_array_elements(mappings) m LOOP
		PERFORM leadscore_internal.check_mapping(source, one.mapping);
		IF NOT leadscore_internal.begin_tracking(source, one.mapping, leadscore_internal.trigger_function(one.feeds)) THEN
			CONTINUE;
		ELSIF one.feeds = 'timeline' THEN
			PERFORM leadscore_internal.add_source(source, one.mapping, with_children => true, subtract => false);
		ELSIF one.feeds = 'alias' THEN
			PERFORM leadscore_internal.add_aliases(source, one.mapping, with_children => true, subtract => false);
		ELSE
			PERFORM leadscore_internal.add_profiles(source, one.mapping, with_children => true, subtract => false);
		END IF;
	END LOOP;
	PERFORM leadscore_internal.look_at_source(source);
END
$$;

COMMENT ON FUNCTION leadscore.retrack(regclass)
	IS 'moves the tracking to a table that has taken the name of a tracked one, or mends the triggers of one that is tracked';

CREATE FUNCTION leadscore_internal.check_mapping(source regclass, mapping jsonb) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	problem CONSTANT text := leadscore_internal.source_problem(source, mapping);
BEGIN
	IF problem IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'datatype_mismatch', MESSAGE = format('%s cannot be tracked as its predecessor was', source),
			DETAIL = problem || '.', HINT = 'leadscore.track() it with the columns of today.';
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.check_mapping(regclass, jsonb) IS 'refuses a table whose rows cannot be read as a mapping says';

CREATE FUNCTION leadscore_internal.repair_triggers(source regclass, mappings jsonb) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	one record;
BEGIN
	FOR one IN
		SELECT m ->> 'feeds' AS feeds, m -> 'mapping' AS mapping FROM jsonb_array_elements(mappings) m
		WHERE (SELECT count(*) FILTER (WHERE NOT t.complete) > 0 OR count(*) < cardinality(leadscore_internal.family_below(ARRAY[repair_triggers.source::oid]))
			FROM leadscore_internal.trigger_set t
			WHERE t.source::oid = ANY (leadscore_internal.family_below(ARRAY[repair_triggers.source::oid])) AND t.feeds = m ->> 'feeds'
			AND t.mapping - 'partition' = m -> 'mapping')
	LOOP
		PERFORM leadscore_internal.begin_tracking(source, one.mapping, leadscore_internal.trigger_function(one.feeds));
	END LOOP;
END
$$;

COMMENT ON FUNCTION leadscore_internal.repair_triggers(regclass, jsonb) IS 'makes triggers anew where some are missing';

CREATE FUNCTION leadscore_internal.rename_source(source regclass) RETURNS void
	LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	UPDATE leadscore.known_source k SET schema_name = n.nspname, table_name = c.relname
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE k.source = rename_source.source AND c.oid = k.source
$$;

COMMENT ON FUNCTION leadscore_internal.rename_source(regclass) IS 'notes the name that a tracked table has now';

CREATE FUNCTION leadscore_internal.replace_source(source oid) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	-- what was due stays so
	DELETE FROM leadscore.known_source k WHERE k.source = replace_source.source AND k.due IS NULL AND (k.dropped OR EXISTS (SELECT FROM pg_class c WHERE c.oid = k.source));
	UPDATE leadscore.known_source k SET mappings = '[]', columns = '{}', due = coalesce(k.due, 'it was dropped') WHERE k.source = replace_source.source;
END
$$;

COMMENT ON FUNCTION leadscore_internal.replace_source(oid) IS 'another table is tracked in the place of one';

SELECT pg_catalog.pg_extension_config_dump('leadscore.known_source', '');
