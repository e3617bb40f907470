-- alias.sql: tables whose rows say whose a name is
--
-- Each row that names an alias and a lead has an edge, which the trigger
-- record_alias() writes with it. Names are then settled: lead_alias gets the end of
-- their way. src/live/alias.c and src/live/closure.c tell how.

CREATE TABLE leadscore_internal.alias_edge (
	alias text NOT NULL,
	lead_id text NOT NULL,
	latest text,
	identified boolean NOT NULL DEFAULT false
);

-- (in the order of bytes, in which names are added and looked up, whatever the collation of the database)
CREATE INDEX alias_edge_alias_idx ON leadscore_internal.alias_edge (alias text_pattern_ops);

ALTER TABLE leadscore_internal.alias_edge REPLICA IDENTITY FULL;

-- Which names count for a name directly stands in lead_alias, unless that name is itself an alias, or is in a circle.
CREATE TABLE leadscore_internal.alias_path (
	alias text NOT NULL,
	lead_id text NOT NULL
);

CREATE UNIQUE INDEX alias_path_alias_idx ON leadscore_internal.alias_path (alias text_pattern_ops);
CREATE INDEX alias_path_lead_id_idx ON leadscore_internal.alias_path (lead_id text_pattern_ops);

ALTER TABLE leadscore_internal.alias_path REPLICA IDENTITY FULL;

COMMENT ON TABLE leadscore_internal.alias_edge IS 'which lead a name counts for, one step each: a row for each row of a tracked table that says so, and what identify() says where the lead is itself an alias';
COMMENT ON COLUMN leadscore_internal.alias_edge.alias IS 'the name';
COMMENT ON COLUMN leadscore_internal.alias_edge.lead_id IS 'the lead that it counts for, which may itself be an alias';
COMMENT ON COLUMN leadscore_internal.alias_edge.latest IS 'of several rows the one with the greatest bytes counts; NULL is below all';
COMMENT ON COLUMN leadscore_internal.alias_edge.identified IS 'whether identify() says so, which wins';
COMMENT ON TABLE leadscore_internal.alias_path IS 'names whose edge leads to another name than the lead that they count for, as they were settled last';
COMMENT ON COLUMN leadscore_internal.alias_path.alias IS 'the name';
COMMENT ON COLUMN leadscore_internal.alias_path.lead_id IS 'the name that its edge leads to';

-- writing edges

CREATE FUNCTION leadscore_internal.add_edges(aliases text[], lead_ids text[], latest text[]) RETURNS void
	LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	INSERT INTO leadscore_internal.alias_edge (alias, lead_id, latest) SELECT * FROM unnest(aliases, lead_ids, latest)
$$;

CREATE FUNCTION leadscore_internal.add_aliases(source regclass, mapping jsonb, with_children boolean, subtract boolean) RETURNS void
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;

CREATE FUNCTION leadscore_internal.alias_rows(source regclass, mapping jsonb) RETURNS TABLE (alias text, lead_id text, latest text)
	AS 'MODULE_PATHNAME' LANGUAGE C STABLE STRICT ROWS 10000;

COMMENT ON FUNCTION leadscore_internal.add_edges(text[], text[], text[]) IS 'adds the edges of new rows of tracked tables';
COMMENT ON FUNCTION leadscore_internal.add_aliases(regclass, jsonb, boolean, boolean) IS 'adds the edges of the rows of a table, or takes them away, and settles the names';
COMMENT ON FUNCTION leadscore_internal.alias_rows(regclass, jsonb) IS 'the edges that the rows of a table and its children say';

-- settling names

CREATE FUNCTION leadscore_internal.settle(names text[], wait boolean) RETURNS text[]
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;

CREATE FUNCTION leadscore_internal.append_look_again(names text[]) RETURNS bigint
	LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	WITH added AS (INSERT INTO leadscore_internal.pending_identity (alias, look_again) SELECT n, true FROM unnest(names) n RETURNING change_id)
	SELECT min(a.change_id) FROM added a
$$;

COMMENT ON FUNCTION leadscore_internal.settle(text[], boolean) IS 'brings lead_alias up to date for some names and for all whose way leads through them; returns those that have to wait and, where asked, leaves them waiting';
COMMENT ON FUNCTION leadscore_internal.append_look_again(text[]) IS 'leaves names to be looked at again, and gives the first number';

CREATE FUNCTION leadscore_internal.make_aliases(aliases text[], lead_ids text[], tracked boolean[]) RETURNS void
	LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	INSERT INTO leadscore.lead_alias (alias, lead_id, tracked) SELECT * FROM unnest(aliases, lead_ids, tracked)
$$;

-- (One look-up a name. A join is planned by what lead_alias held when the session planned it, and of few rows it would
-- read all of them for each name.)
CREATE FUNCTION leadscore_internal.point_aliases(aliases text[], lead_ids text[], tracked boolean[]) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off
AS $$
DECLARE
	n record;
BEGIN
	FOR n IN SELECT u.alias, u.lead_id, u.tracked FROM unnest(aliases, lead_ids, tracked) u (alias, lead_id, tracked) LOOP
		IF n.lead_id = n.alias THEN
			DELETE FROM leadscore.lead_alias a WHERE a.alias = n.alias;
		ELSE
			UPDATE leadscore.lead_alias a SET lead_id = n.lead_id, tracked = n.tracked WHERE a.alias = n.alias;
		END IF;
	END LOOP;
END
$$;

CREATE FUNCTION leadscore_internal.keep_edges(aliases text[], roots text[], tracked boolean[], lead_ids text[]) RETURNS void
	LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	INSERT INTO leadscore_internal.alias_edge (alias, lead_id, identified) SELECT n.alias, n.lead_id, true FROM unnest(aliases, lead_ids) n (alias, lead_id)
$$;

CREATE FUNCTION leadscore_internal.add_paths(aliases text[], lead_ids text[]) RETURNS void
	LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	INSERT INTO leadscore_internal.alias_path (alias, lead_id) SELECT * FROM unnest(aliases, lead_ids)
$$;

CREATE FUNCTION leadscore_internal.remove_paths(aliases text[]) RETURNS void
	LANGUAGE sql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS $$
	DELETE FROM leadscore_internal.alias_path p WHERE p.alias = ANY (aliases)
$$;

COMMENT ON FUNCTION leadscore_internal.make_aliases(text[], text[], boolean[]) IS 'makes names aliases that were leads';
COMMENT ON FUNCTION leadscore_internal.point_aliases(text[], text[], boolean[]) IS 'changes whose aliases names are; one of itself is none any more';
COMMENT ON FUNCTION leadscore_internal.keep_edges(text[], text[], boolean[], text[]) IS 'keeps what identify() has said of names whose leads have become aliases';
COMMENT ON FUNCTION leadscore_internal.add_paths(text[], text[]) IS 'notes where the edges of names lead to, where that is not the lead that they count for';
COMMENT ON FUNCTION leadscore_internal.remove_paths(text[]) IS 'removes what add_paths() has noted';

-- What the old leads' rows hold of the names is given to the new ones: left pending, so that no row has to be taken.
CREATE FUNCTION leadscore_internal.move_names(aliases text[], lead_ids text[], tracked boolean[], old_lead_ids text[]) RETURNS boolean
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS $$
DECLARE
	moved record;
BEGIN
	IF NOT leadscore_internal.begin_parting(aliases, lead_ids || old_lead_ids) THEN
		RETURN false;
	END IF;
	FOR moved IN
		SELECT n.lead_id, n.old_lead_id, m.timeline
		FROM leadscore_internal.moved_timelines(aliases) m JOIN unnest(aliases, lead_ids, old_lead_ids) n (alias, lead_id, old_lead_id) ON n.alias = m.name
		WHERE m.timeline OPERATOR(leadscore.<>) '{}'
	LOOP
		PERFORM leadscore_internal.append_delta(moved.old_lead_id, leadscore_internal.difference('{}'::leadscore.timeline, moved.timeline));
		PERFORM leadscore_internal.append_delta(moved.lead_id, moved.timeline);
	END LOOP;
	PERFORM leadscore_internal.point_aliases(aliases, lead_ids, tracked);
	RETURN true;
END
$$;

COMMENT ON FUNCTION leadscore_internal.move_names(text[], text[], boolean[], text[]) IS 'gives names to other leads, with what they have done; false: they have to wait';

-- tracking

CREATE FUNCTION leadscore_internal.index_key(source regclass, term text) RETURNS text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN leadscore_internal.is_term_for_column(source::oid, term) THEN quote_ident(term) ELSE format('(%s)', term) END
$$;

COMMENT ON FUNCTION leadscore_internal.index_key(regclass, text) IS 'a column or expression as it stands in CREATE INDEX';

CREATE FUNCTION leadscore_internal.reads_one_unique_column(source regclass, term text) RETURNS boolean
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT cardinality(c.names) = 1 AND leadscore_internal.has_lead_index(source::oid, c.names[1], true)
	FROM (SELECT CASE WHEN NOT leadscore_internal.is_term_for_column(source::oid, term) THEN leadscore_internal.expression_columns(term) END AS names) c
$$;

COMMENT ON FUNCTION leadscore_internal.reads_one_unique_column(regclass, text)
	IS 'whether an expression reads one column, which is unique: two rows of the same value are possible, as of lower(email), and a WARNING';

-- Of two rows of an alias one counts. So there must be but one, or it must be known which.
CREATE FUNCTION leadscore_internal.alias_key_problem(source regclass, mapping jsonb, OUT state text, OUT action text)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	members CONSTANT oid[] := leadscore_internal.family_below(ARRAY[source::oid]);
	alias CONSTANT text := mapping ->> 'alias';
	bare regclass;
BEGIN
	IF mapping ? 'latest_by' THEN
		SELECT c.oid INTO bare FROM pg_class c WHERE c.oid = ANY (members) AND c.relkind = 'r' AND NOT leadscore_internal.has_lead_index(c.oid, alias, false)
		ORDER BY c.oid LIMIT 1;
		IF FOUND THEN
			state := format('has no index to look up the rows of an alias: none of %s begins with %s', bare, alias);
			action := format('CREATE INDEX ON %s (%s)', bare, leadscore_internal.index_key(source, alias));
		END IF;
	ELSIF NOT leadscore_internal.has_lead_index(source::oid, alias, true) AND NOT leadscore_internal.reads_one_unique_column(source, alias) THEN
		state := format('can have two rows of one alias: %s has no unique key', alias);
		action := CASE WHEN (SELECT c.relkind FROM pg_class c WHERE c.oid = source) = 'r' THEN format('CREATE UNIQUE INDEX ON %s (%s), or ', source, leadscore_internal.index_key(source, alias)) ELSE '' END
			|| 'track_alias() it with latest_by';
	ELSIF cardinality(members) > 1 AND (SELECT c.relkind FROM pg_class c WHERE c.oid = source) = 'r' THEN
		state := 'can have two rows of one alias: a key says nothing of its children';
		action := 'track_alias() it with latest_by';
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.alias_key_problem(regclass, jsonb) IS 'why it is not known which row of an alias counts in a table, and what to do; NULL: it is known';

-- To give an alias to another lead is to find its events.
CREATE FUNCTION leadscore_internal.event_index_problem(source regclass, lead_id text, OUT state text, OUT action text)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	bare CONSTANT regclass := (SELECT min(c.oid) FROM pg_class c WHERE c.oid = ANY (leadscore_internal.family_below(ARRAY[source::oid])) AND c.relkind = 'r'
		AND NOT leadscore_internal.has_lead_index(c.oid, event_index_problem.lead_id, false));
BEGIN
	IF bare IS NOT NULL THEN
		state := format('No index of %s begins with %s', bare, lead_id);
		action := format('CREATE INDEX ON %s (%s)', bare, leadscore_internal.index_key(source, lead_id));
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.event_index_problem(regclass, text) IS 'why the events of an alias cannot be found by an index in a table, and what to do; NULL: they can';

CREATE FUNCTION leadscore_internal.check_event_index(source regclass, lead_id text) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	problem CONSTANT record := leadscore_internal.event_index_problem(source, lead_id);
BEGIN
	IF problem.state IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = format('the events of an alias cannot be found in table %s', source),
			DETAIL = problem.state || '. Where a tracked table names aliases, one that changes its lead takes its events along.', HINT = problem.action || '.';
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.check_event_index(regclass, text) IS 'refuses a table of events that has no index to find those of an alias';

CREATE FUNCTION leadscore.track_alias(source regclass, alias text, lead_id text, filter text DEFAULT NULL, latest_by text DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	mapping CONSTANT jsonb := jsonb_strip_nulls(jsonb_build_object('alias', alias, 'lead_id', lead_id, 'filter', filter, 'latest_by', latest_by));
	problem record;
BEGIN
	PERFORM leadscore_internal.check_source(source);
	PERFORM leadscore_internal.check_not_distributed(source);
	IF alias IS NULL OR lead_id IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'track_alias() needs alias and lead_id',
			DETAIL = 'A row says whose a name is.',
			HINT = 'For example: SELECT leadscore.track_alias(''shop.orders'', alias => ''''''order:'''' || id'', lead_id => ''customer_id'').';
	END IF;
	PERFORM leadscore_internal.term_type(source, alias, 'name'::text), leadscore_internal.term_type(source, lead_id, 'name'::text),
		leadscore_internal.term_type(source, filter, 'condition'::text);
	IF latest_by IS NOT NULL AND NOT leadscore_internal.is_ordered(leadscore_internal.column_type(source, latest_by)) THEN
		RAISE EXCEPTION USING ERRCODE = 'datatype_mismatch', MESSAGE = format('column "%s" does not say which row is the latest', latest_by),
			DETAIL = format('It is of type %s.', leadscore_internal.column_type(source, latest_by)), HINT = 'Name a column of a time, a number or a text.';
	END IF;
	SELECT p.* INTO problem FROM leadscore_internal.alias_key_problem(source, mapping) p;
	IF problem.state IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = format('table %s %s', source, problem.state),
			DETAIL = 'One row says whose the alias is, and it has to be known which.', HINT = problem.action || '.';
	END IF;
	PERFORM leadscore_internal.check_event_index(s.source, s.lead_id) FROM leadscore.source s WHERE s.feeds = 'timeline' AND s.source <> 'leadscore.event'::regclass;
	IF leadscore_internal.begin_tracking(source, mapping, 'record_alias'::text) THEN
		PERFORM leadscore_internal.add_aliases(source, mapping, with_children => true, subtract => false);
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore.track_alias(regclass, text, text, text, text)
	IS 'keeps aliases true to a table whose rows say whose a name is: existing rows and new ones';

-- checking

CREATE FUNCTION leadscore_internal.lock_alias_sources() RETURNS boolean
	LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	SELECT count(leadscore_internal.lock_source(t.source)) > 0
	FROM (SELECT DISTINCT s.source FROM leadscore.source s WHERE s.feeds = 'alias' ORDER BY 1) t
$$;

CREATE FUNCTION leadscore_internal.said_edges() RETURNS TABLE (alias text, lead_id text, latest text)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT r.* FROM leadscore.source s CROSS JOIN LATERAL leadscore_internal.alias_rows(s.source, s.mapping) r WHERE s.feeds = 'alias'
$$;

CREATE FUNCTION leadscore_internal.edge_differences() RETURNS TABLE (alias text, lead_id text, latest text, rows bigint)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT e.alias, e.lead_id, e.latest, sum(e.n)
	FROM (SELECT s.alias, s.lead_id, s.latest, 1 AS n FROM leadscore_internal.said_edges() s
		UNION ALL SELECT a.alias, a.lead_id, a.latest, -1 FROM leadscore_internal.alias_edge a WHERE NOT a.identified) e
	GROUP BY e.alias COLLATE "C", e.lead_id COLLATE "C", e.latest COLLATE "C", e.alias, e.lead_id, e.latest HAVING sum(e.n) <> 0
$$;

-- In a circle the smallest name is the lead: it is there, too, and counts for itself.
CREATE FUNCTION leadscore_internal.alias_closure(said boolean) RETURNS TABLE (alias text, lead_id text, first_step text)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
	WITH RECURSIVE edge AS MATERIALIZED (
		SELECT DISTINCT ON (e.alias) e.alias, e.lead_id
		FROM (SELECT a.alias, coalesce(i.lead_id, a.lead_id) AS lead_id, NULL::text AS latest, 1 AS place
				FROM leadscore.lead_alias a LEFT JOIN leadscore_internal.alias_edge i ON i.alias = a.alias AND i.identified WHERE NOT a.tracked
			UNION ALL SELECT s.alias, s.lead_id, s.latest, 2 FROM leadscore_internal.said_edges() s WHERE said
			UNION ALL SELECT a.alias, a.lead_id, a.latest, 2 FROM leadscore_internal.alias_edge a WHERE NOT a.identified AND NOT said) e
		ORDER BY e.alias, e.place, e.latest COLLATE "C" DESC NULLS LAST, e.lead_id COLLATE "C"
	), way AS (
		SELECT e.alias, e.lead_id, e.lead_id AS first_step, ARRAY[e.alias] AS passed FROM edge e
		UNION ALL
		SELECT w.alias, e.lead_id, w.first_step, w.passed || e.alias FROM way w JOIN edge e ON e.alias = w.lead_id WHERE w.lead_id <> ALL (w.passed)
	), finish AS (
		SELECT w.alias, w.first_step, CASE WHEN w.lead_id = ANY (w.passed)
			THEN (SELECT min(p COLLATE "C") FROM unnest(w.passed[array_position(w.passed, w.lead_id):]) p) ELSE w.lead_id END AS lead_id
		FROM way w WHERE w.lead_id = ANY (w.passed) OR NOT EXISTS (SELECT FROM edge e WHERE e.alias = w.lead_id)
	)
	SELECT f.alias, f.lead_id, f.first_step FROM finish f WHERE f.alias <> f.first_step
$$;

CREATE FUNCTION leadscore_internal.unsettled_names() RETURNS TABLE (name text)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH closure AS MATERIALIZED (SELECT * FROM leadscore_internal.alias_closure(false))
	SELECT coalesce(c.alias, a.alias) FROM closure c FULL JOIN leadscore.lead_alias a ON a.alias = c.alias
	WHERE a.lead_id IS DISTINCT FROM nullif(c.lead_id, c.alias)
	UNION
	SELECT coalesce(c.alias, p.alias) FROM closure c FULL JOIN leadscore_internal.alias_path p ON p.alias = c.alias
	WHERE p.lead_id IS DISTINCT FROM nullif(c.first_step, c.lead_id)
$$;

COMMENT ON FUNCTION leadscore_internal.lock_alias_sources() IS 'keeps the tables of aliases from being truncated, dropped or detached until the transaction ends; says whether there are any';
COMMENT ON FUNCTION leadscore_internal.said_edges() IS 'the edges that the rows of tracked tables say';
COMMENT ON FUNCTION leadscore_internal.edge_differences() IS 'edges of which alias_edge has fewer (rows > 0) or more than the tracked tables say: none';
COMMENT ON FUNCTION leadscore_internal.alias_closure(boolean) IS 'which leads aliases count for, as the rows of tracked tables say or else as alias_edge has it';
COMMENT ON FUNCTION leadscore_internal.unsettled_names() IS 'names of which lead_alias or alias_path say something else than alias_edge: those that wait';

CREATE FUNCTION leadscore_internal.aliases_differ() RETURNS boolean
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
BEGIN
	IF NOT leadscore_internal.lock_alias_sources() AND NOT EXISTS (SELECT FROM leadscore_internal.alias_edge) THEN
		RETURN false;
	END IF;
	-- a name that waits counts as lead_alias has it
	RETURN EXISTS (SELECT FROM leadscore_internal.edge_differences())
		OR NOT EXISTS (SELECT FROM leadscore_internal.pending_identity) AND EXISTS (SELECT FROM leadscore_internal.unsettled_names());
END
$$;

COMMENT ON FUNCTION leadscore_internal.aliases_differ() IS 'whether aliases are not those that the tracked tables say';

-- What edges lack is the same in every snapshot, as what timelines lack is: see rebuild().
CREATE FUNCTION leadscore_internal.apply_edges(aliases text[], lead_ids text[], latest text[], rows bigint[]) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS $$
BEGIN
	INSERT INTO leadscore_internal.alias_edge (alias, lead_id, latest)
	SELECT n.alias, n.lead_id, n.latest FROM unnest(aliases, lead_ids, apply_edges.latest, apply_edges.rows) n (alias, lead_id, latest, rows) CROSS JOIN generate_series(1, n.rows);
	DELETE FROM leadscore_internal.alias_edge e WHERE e.ctid = ANY (ARRAY(
		SELECT x.ctid FROM unnest(aliases, lead_ids, apply_edges.latest, apply_edges.rows) n (alias, lead_id, latest, rows)
		CROSS JOIN LATERAL (SELECT a.ctid FROM leadscore_internal.alias_edge a
			WHERE a.alias = n.alias AND a.lead_id = n.lead_id AND a.latest IS NOT DISTINCT FROM n.latest AND NOT a.identified LIMIT -n.rows) x
		WHERE n.rows < 0));
	PERFORM leadscore_internal.settle(ARRAY(SELECT u.name FROM leadscore_internal.unsettled_names() u), true);
END
$$;

CREATE FUNCTION leadscore_internal.correct_edges() RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
BEGIN
	IF leadscore_internal.aliases_differ() THEN
		PERFORM leadscore_internal.apply_edges(coalesce(array_agg(d.alias), '{}'), coalesce(array_agg(d.lead_id), '{}'), coalesce(array_agg(d.latest), '{}'), coalesce(array_agg(d.rows), '{}'))
		FROM leadscore_internal.edge_differences() d;
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.apply_edges(text[], text[], text[], bigint[]) IS 'adds edges that are missing, or removes surplus ones, and settles all names that are not';
COMMENT ON FUNCTION leadscore_internal.correct_edges() IS 'makes aliases those that the tracked tables say';

SELECT pg_catalog.pg_extension_config_dump('leadscore_internal.alias_edge', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore_internal.alias_path', '');
