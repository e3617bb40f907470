-- person.sql: all that is held on a person

-- A table of ours with a column that names leads stands here, and forget() empties it: test/sql/person.sql reads the
-- catalog.
CREATE FUNCTION leadscore_internal.person_tables() RETURNS TABLE (part text, source regclass, columns text[])
	LANGUAGE sql STABLE ROWS 20 SET search_path = pg_catalog, pg_temp
AS $$
	VALUES ('aliases', 'leadscore.lead_alias'::regclass, '{alias,lead_id}'::text[]), ('alias_steps', 'leadscore_internal.alias_edge', '{alias,lead_id}'),
		('alias_paths', 'leadscore_internal.alias_path', '{alias,lead_id}'),
		('pending_aliases', 'leadscore_internal.pending_identity', '{alias,lead_id}'), ('profiles', 'leadscore.lead', '{lead_id}'),
		('pending_profiles', 'leadscore.pending_profile', '{lead_id}'), ('seen_profiles', 'leadscore_internal.seen_profile', '{lead_id}'),
		('timelines', 'leadscore.lead_timeline', '{lead_id}'), ('pending_timelines', 'leadscore.pending_delta', '{lead_id}'),
		('archived_timelines', 'leadscore_internal.timeline_base', '{lead_id}'), ('archived_events', 'leadscore_internal.archived_event', '{lead_id}'),
		('parted_leads', 'leadscore_internal.parted_lead', '{lead_id}'), ('events', 'leadscore.event', '{lead_id}'),
		('derived_events', 'leadscore.derived_event', '{lead_id}'), ('changed_leads', 'leadscore_internal.changed_lead', '{lead_id}'),
		('derivations_due', 'leadscore_internal.derivation_due', '{lead_id}'), ('exclusions', 'leadscore.excluded_lead', '{lead_id}'),
		('segments', 'leadscore.lead_state', '{lead_id}'), ('segment_changes', 'leadscore.segment_change', '{lead_id}'),
		('snapshots', 'leadscore.lead_segment', '{lead_id}'), ('split_snapshots', 'leadscore_internal.split_segment', '{lead_id}'),
		('split_leads', 'leadscore_internal.split_lead', '{lead_id}'), ('crm', 'leadscore_internal.crm_state', '{lead_id}'),
		('rfm', 'leadscore.rfm_lead', '{lead_id}'), ('vouchers', 'leadscore.voucher', '{lead_id}'), ('voucher_orders', 'leadscore_internal.voucher_order', '{lead_id}')
$$;

COMMENT ON FUNCTION leadscore_internal.person_tables() IS 'our tables that name leads, in which columns, and what everything_about() calls their rows';

-- Casts to json may be functions of others: a column of a type of theirs is read as it is printed.
CREATE FUNCTION leadscore_internal.row_as_json(source regclass) RETURNS text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('jsonb_strip_nulls(''{}''::jsonb%s)', string_agg(format(
		CASE WHEN y.typnamespace = 'pg_catalog'::regnamespace THEN ' || jsonb_build_object(%1$L, t.%2$I)' ELSE ' || jsonb_build_object(%1$L, CASE WHEN NOT t.%2$I IS NULL THEN format(''%%s'', t.%2$I) END)' END,
		a.attname, a.attname), '' ORDER BY a.attnum))
	FROM pg_attribute a JOIN pg_type y ON y.oid = a.atttypid
	WHERE a.attrelid = source AND a.attnum > 0 AND NOT a.attisdropped
$$;

COMMENT ON FUNCTION leadscore_internal.row_as_json(regclass) IS 'an expression for a row "t" of a table as a document, without NULLs';

-- (as the caller)
CREATE FUNCTION leadscore_internal.rows_of_person(source regclass, key text, names text[]) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	mapping CONSTANT jsonb := jsonb_build_object('lead_id', key);
	problem CONSTANT text := leadscore_internal.source_problem(source, mapping);
	held jsonb;
BEGIN
	IF problem IS NOT NULL THEN
		RAISE WARNING USING MESSAGE = format('the rows of %s are not listed', source), DETAIL = problem || '.', HINT = 'Look there yourself.';
		RETURN jsonb_build_object('problem', problem);
	END IF;
	-- (policies that hide rows are an error of this)
	IF leadscore_internal.count_rows(source, mapping, names) > 0 THEN
		EXECUTE format('SELECT jsonb_agg(%s ORDER BY t.tableoid, t.ctid) FROM %s t JOIN leadscore_internal.find_rows($1, $2, $3) f ON f.of_table = t.tableoid AND f.place = t.ctid',
			leadscore_internal.row_as_json(source), source) INTO held USING source, mapping, names;
	END IF;
	RETURN jsonb_build_object('rows', held);
END
$$;

COMMENT ON FUNCTION leadscore_internal.rows_of_person(regclass, text, text[]) IS 'the rows of a tracked table that belong to some names by a column or expression, as documents, or why they cannot be read';

CREATE FUNCTION leadscore_internal.scores_of_person(lead_id text) RETURNS jsonb
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT jsonb_agg(jsonb_strip_nulls(to_jsonb(s) - 'lead_id' || jsonb_build_object('reasons',
		(SELECT jsonb_agg(x.reason) FROM leadscore.explain(scores_of_person.lead_id, s.model, now()) x))) ORDER BY s.model)
	FROM leadscore.lead_score s WHERE s.lead_id = scores_of_person.lead_id
$$;

COMMENT ON FUNCTION leadscore_internal.scores_of_person(text) IS 'how each model scores a lead now, and why';

CREATE FUNCTION leadscore_internal.timeline_of_person(lead_id text) RETURNS jsonb
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('hour', e.hour, 'signal', coalesce(g.signal, e.signal_id::text), 'description', g.description,
		'occurrences', e.occurrences, 'value', nullif(e.value, 0))) ORDER BY e.hour, e.signal_id)
	FROM leadscore.timeline_entries(leadscore_internal.timeline_of(timeline_of_person.lead_id)) e LEFT JOIN leadscore.signal g ON g.signal_id = e.signal_id
$$;

COMMENT ON FUNCTION leadscore_internal.timeline_of_person(text) IS 'what a lead has done, hour by hour, by the names of the signals';

CREATE FUNCTION leadscore.everything_about(lead_id text) RETURNS jsonb
	-- as forget() reads the columns of leads
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET TimeZone = 'UTC' SET DateStyle = 'ISO, MDY' SET IntervalStyle = 'postgres'
	SET extra_float_digits = 1 SET bytea_output = 'hex' SET lc_monetary = 'C' SET quote_all_identifiers = off
AS $$
DECLARE
	names text[];
	lead text;
	t record;
	held jsonb;
	found jsonb := '{}';
BEGIN
	PERFORM leadscore_internal.check_lead_id(lead_id, 'lead_id'::text);
	names := leadscore_internal.names_of(lead_id);
	lead := names[cardinality(names)];
	-- (each table is read once: a condition on what is held must not be asked before names of a table are made one)
	WITH key AS MATERIALIZED (
		SELECT DISTINCT r.source, r.feeds, c.key FROM leadscore.source r CROSS JOIN LATERAL (VALUES (r.lead_id), (r.alias)) c (key)
		WHERE c.key IS NOT NULL AND r.source <> 'leadscore.event'::regclass
		ORDER BY 1, 3
	), there AS MATERIALIZED (
		SELECT k.source, k.key, k.feeds, leadscore_internal.rows_of_person(k.source, k.key, names) AS held FROM key k
	)
	SELECT jsonb_agg(jsonb_build_object('source', s.source, 'feeds', s.feeds, 'lead', s.key) || s.held ORDER BY s.source::text, s.key) INTO held
	FROM there s
	WHERE s.held <> '{"rows": null}';
	found := jsonb_build_object('sources', held, 'profile', (SELECT p.profile FROM leadscore.current_profile p WHERE p.lead_id = lead),
		'timeline', leadscore_internal.timeline_of_person(lead), 'scores', leadscore_internal.scores_of_person(lead),
		'forgotten_at', leadscore_internal.forgotten_at(names));
	FOR t IN SELECT * FROM leadscore_internal.person_tables() LOOP
		-- (before its first refresh the snapshot cannot be read)
		CONTINUE WHEN NOT (SELECT c.relispopulated FROM pg_class c WHERE c.oid = t.source);
		EXECUTE format('SELECT jsonb_agg(jsonb_strip_nulls(to_jsonb(t))) FROM %s t WHERE %s', t.source,
			(SELECT string_agg(format('t.%I = ANY ($1)', c), ' OR ') FROM unnest(t.columns) c)) INTO held USING names;
		found := found || jsonb_build_object(t.part, held);
	END LOOP;
	found := jsonb_strip_nulls(found);
	IF found = '{}' THEN
		RETURN NULL;
	END IF;
	RETURN jsonb_build_object('lead_id', lead, 'names', to_jsonb(names), 'at', now()) || found
		|| coalesce((SELECT jsonb_build_object('experiments', jsonb_agg(jsonb_build_object('experiment', e.experiment, 'arm', leadscore.arm(e.experiment, lead)) ORDER BY e.experiment))
			FROM leadscore.experiment e HAVING count(*) > 0), '{}');
END
$$;

COMMENT ON FUNCTION leadscore.everything_about(text)
	IS 'all that is held on a person, under all names, as one document; NULL: nothing';
