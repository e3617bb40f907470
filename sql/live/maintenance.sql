-- maintenance.sql: timelines against events: verify, rebuild, fold, status

-- what is stored: timelines with what is pending

CREATE FUNCTION leadscore_internal.has_pending(lead_id text) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C STABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION leadscore_internal.has_pending(text)
	IS 'whether something is pending for a lead, so that its row of lead_timeline is not all, or for an alias, whose row counts for its lead';

CREATE FUNCTION leadscore_internal.timeline_of(lead_id text) RETURNS leadscore.timeline
	AS 'MODULE_PATHNAME' LANGUAGE C STABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION leadscore_internal.timeline_of(text) IS 'the timeline of a lead with what is pending for it; NULL: it has none, or is an alias';

CREATE VIEW leadscore_internal.pending_timeline AS
SELECT n.lead_id, c.timeline
FROM (
	SELECT p.lead_id FROM leadscore.pending_delta p
	UNION
	SELECT a.lead_id FROM leadscore.lead_alias a
	WHERE EXISTS (SELECT FROM leadscore.pending_delta p WHERE p.lead_id = a.alias)
) n
CROSS JOIN LATERAL (
	SELECT leadscore_internal.timeline_of(n.lead_id) AS timeline OFFSET 0
) c
WHERE c.timeline IS NOT NULL;

COMMENT ON VIEW leadscore_internal.pending_timeline IS 'the timelines of the leads that have something pending';
COMMENT ON COLUMN leadscore_internal.pending_timeline.lead_id IS 'the lead';
COMMENT ON COLUMN leadscore_internal.pending_timeline.timeline IS 'what it did';

-- the condition is on both together: a branch with a condition of its own does not become part of the query that
-- reads the view, and its rows go through two more nodes of the plan. That it reads both columns takes a row apart
-- once, not twice. (The second branch is read, too, where a snapshot that is older than a move of the rows finds none
-- in the first.)
CREATE VIEW leadscore.current_timeline AS
SELECT c.lead_id, c.timeline
FROM (
	SELECT t.lead_id, t.timeline, false AS is_whole FROM leadscore.lead_timeline t
	UNION ALL
	SELECT p.lead_id, p.timeline, true FROM leadscore_internal.pending_timeline p WHERE (SELECT leadscore_internal.check_timelines_seen())
) c
WHERE c.timeline IS NOT NULL AND ((SELECT NOT EXISTS (SELECT FROM leadscore.pending_delta)) OR c.is_whole OR NOT leadscore_internal.has_pending(c.lead_id));

COMMENT ON VIEW leadscore.current_timeline IS 'the present timeline of each lead: lead_timeline with pending changes';
COMMENT ON COLUMN leadscore.current_timeline.lead_id IS 'the lead';
COMMENT ON COLUMN leadscore.current_timeline.timeline IS 'what it did';

-- profiles with what is pending

CREATE FUNCTION leadscore_internal.with_pending_profile(lead_id text, profile jsonb, is_there boolean) RETURNS jsonb
	AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL SAFE;

COMMENT ON FUNCTION leadscore_internal.with_pending_profile(text, jsonb, boolean)
	IS 'a row of lead, if it is there, with what is pending for the lead and what its aliases have; NULL: there is no row then; JSON null: it has no profile';

CREATE VIEW leadscore_internal.alias_profile AS
SELECT a.lead_id, a.alias, l.profile, true AS is_there
FROM leadscore.lead_alias a JOIN leadscore.lead l ON l.lead_id = a.alias
UNION ALL
SELECT a.lead_id, a.alias, NULL, false
FROM leadscore.lead_alias a JOIN (SELECT DISTINCT p.lead_id FROM leadscore.pending_profile p) n ON n.lead_id = a.alias
WHERE NOT EXISTS (SELECT FROM leadscore.lead l WHERE l.lead_id = a.alias);

COMMENT ON VIEW leadscore_internal.alias_profile IS 'the rows of lead of aliases, which may have profiles, or that have something pending';
COMMENT ON COLUMN leadscore_internal.alias_profile.lead_id IS 'the lead';
COMMENT ON COLUMN leadscore_internal.alias_profile.alias IS 'its alias';
COMMENT ON COLUMN leadscore_internal.alias_profile.profile IS 'who that is, without what is pending';
COMMENT ON COLUMN leadscore_internal.alias_profile.is_there IS 'whether it has a row of lead';

CREATE FUNCTION leadscore_internal.alias_profiles() RETURNS SETOF leadscore_internal.alias_profile
	LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
	SELECT p.* FROM leadscore_internal.alias_profile p ORDER BY p.alias COLLATE "C"
$$;

COMMENT ON FUNCTION leadscore_internal.alias_profiles() IS 'the rows of alias_profile, in the order in which aliases count';

CREATE VIEW leadscore.current_profile AS
SELECT l.lead_id, CASE WHEN (SELECT EXISTS (SELECT FROM leadscore.pending_profile) OR EXISTS (SELECT FROM leadscore.lead_alias))
	THEN nullif(leadscore_internal.with_pending_profile(l.lead_id, l.profile, true), 'null') ELSE l.profile END AS profile
FROM leadscore.lead l
WHERE NOT (SELECT EXISTS (SELECT FROM leadscore.pending_profile)) OR leadscore_internal.with_pending_profile(l.lead_id, l.profile, true) IS NOT NULL
UNION ALL
-- leads that have no row yet, or none of their own
SELECT n.lead_id, nullif(leadscore_internal.with_pending_profile(n.lead_id, NULL, false), 'null')
FROM (SELECT p.lead_id FROM leadscore.pending_profile p UNION SELECT a.lead_id FROM leadscore_internal.alias_profile a) n
WHERE NOT EXISTS (SELECT FROM leadscore.lead l WHERE l.lead_id = n.lead_id)
AND leadscore_internal.with_pending_profile(n.lead_id, NULL, false) IS NOT NULL;

COMMENT ON VIEW leadscore.current_profile IS 'the present profile of each name: lead with pending changes and, for leads, the attributes of their aliases';
COMMENT ON COLUMN leadscore.current_profile.lead_id IS 'the lead';
COMMENT ON COLUMN leadscore.current_profile.profile IS 'its attributes; NULL: none';

-- These are empty most of the time. Until it is told so, the planner takes an empty table for 600 to 900 rows, and a
-- look at them for dearer than one at all leads.
ANALYZE leadscore.pending_delta, leadscore.pending_profile, leadscore.lead_alias;

-- private functions

CREATE FUNCTION leadscore_internal.in_transaction_block() RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;

CREATE FUNCTION leadscore_internal.transaction_name(process integer, virtual_transaction text) RETURNS text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	-- what is prepared has no process, but holds the lock on itself
	SELECT coalesce((SELECT 'prepared transaction ' || quote_literal(p.gid) FROM pg_locks x JOIN pg_prepared_xacts p ON p.transaction = x.transactionid
			WHERE process IS NULL AND x.pid IS NULL AND x.virtualtransaction = virtual_transaction AND x.locktype = 'transactionid' AND x.mode = 'ExclusiveLock'),
		(SELECT format('process %s', process) || coalesce(format(' (%s, for %s)', a.state, date_trunc('second', clock_timestamp() - a.xact_start)), '') FROM pg_stat_activity a WHERE a.pid = process),
		format('process %s', process))
$$;

COMMENT ON FUNCTION leadscore_internal.transaction_name(integer, text) IS 'whose a transaction in pg_locks is, for people';

CREATE FUNCTION leadscore_internal.writers(of_table regclass) RETURNS text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT string_agg(DISTINCT leadscore_internal.transaction_name(l.pid, l.virtualtransaction), ', ')
	FROM pg_locks l
	WHERE l.locktype = 'relation' AND l.relation = of_table AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
	AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid() AND l.mode IN ('RowExclusiveLock', 'ShareUpdateExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
$$;

COMMENT ON FUNCTION leadscore_internal.writers(regclass) IS 'who is writing a table';

CREATE FUNCTION leadscore_internal.rebuilders(key bigint) RETURNS text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT string_agg(DISTINCT leadscore_internal.transaction_name(l.pid, l.virtualtransaction), ', ')
	FROM pg_locks l
	WHERE l.locktype = 'advisory' AND l.objsubid = 3 AND l.classid::bigint = key >> 32 AND l.objid::bigint = key & 4294967295
	AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()) AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
$$;

COMMENT ON FUNCTION leadscore_internal.rebuilders(bigint) IS 'the transactions that hold the lock of that key, which a rebuild takes';

CREATE FUNCTION leadscore_internal.wait_for_writers() RETURNS void
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;

CREATE FUNCTION leadscore_internal.only(timeline leadscore.timeline, signal_ids integer[]) RETURNS leadscore.timeline
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION leadscore_internal.in_transaction_block() IS 'whether a procedure must not commit';
COMMENT ON FUNCTION leadscore_internal.wait_for_writers() IS 'waits for the transactions that are writing timelines now';
COMMENT ON FUNCTION leadscore_internal.only(leadscore.timeline, integer[]) IS 'the part of a timeline that belongs to some signals';

CREATE FUNCTION leadscore_internal.difference(timeline leadscore.timeline, other leadscore.timeline) RETURNS leadscore.timeline
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION leadscore_internal.difference(leadscore.timeline, leadscore.timeline)
	IS 'timeline - other, where NULL is empty, and an hour that overflows wraps around';

-- costly, so that several are run in parallel
CREATE FUNCTION leadscore_internal.gather(sources regclass[], mappings jsonb[], signals jsonb, lead_ids text[], kinds text[], part integer, parts integer,
	OUT lead_id text, OUT timeline leadscore.timeline) RETURNS SETOF record
	AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL SAFE COST 100000000 ROWS 100000;

-- the same: a worker cannot catch an error, and an expression may fail
CREATE FUNCTION leadscore_internal.gather_alone(sources regclass[], mappings jsonb[], signals jsonb, lead_ids text[], kinds text[], part integer, parts integer,
	OUT lead_id text, OUT timeline leadscore.timeline) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'gather' LANGUAGE C STABLE COST 100000000 ROWS 100000;

COMMENT ON FUNCTION leadscore_internal.gather_alone(regclass[], jsonb[], jsonb, text[], text[], integer, integer)
	IS 'gather(), not in a parallel worker, as mappings with expressions need it';

CREATE FUNCTION leadscore_internal.has_expression(source oid, mapping jsonb) RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C STABLE STRICT;

COMMENT ON FUNCTION leadscore_internal.has_expression(oid, jsonb) IS 'whether a mapping has an expression, which may fail';

COMMENT ON FUNCTION leadscore_internal.gather(regclass[], jsonb[], jsonb, text[], text[], integer, integer)
	IS 'the timelines of the rows of some tables, for one of some parts of the leads; lead_ids and kinds say which are wanted, but more may come';

-- As PostgreSQL plans a scan: a worker more for three times the size. Sizes are those of the last vacuum or analyze:
-- to ask for today's would take locks, and wait for them.
CREATE FUNCTION leadscore_internal.gather_parts(sources regclass[]) RETURNS integer
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	WITH RECURSIVE family AS (
		SELECT s::oid AS oid FROM unnest(gather_parts.sources) s
		UNION
		SELECT i.inhrelid FROM pg_inherits i JOIN family f ON i.inhparent = f.oid
	), size AS (
		SELECT sum(greatest(c.relpages, 0)) * current_setting('block_size')::numeric
			/ greatest(pg_size_bytes(current_setting('min_parallel_table_scan_size')), 1) AS times
		FROM family f JOIN pg_class c ON c.oid = f.oid
	)
	SELECT CASE WHEN s.times >= 1
		THEN 1 + least(current_setting('max_parallel_workers_per_gather')::integer, 1 + floor(log(3, s.times))::integer)
		ELSE 1 END
	FROM size s;
END;

COMMENT ON FUNCTION leadscore_internal.gather_parts(regclass[]) IS 'how many processes are worth while to gather the timelines of some tables';

CREATE FUNCTION leadscore_internal.rows_estimated(sources regclass[]) RETURNS bigint
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT sum(greatest(c.reltuples, 0))::bigint
	FROM unnest(leadscore_internal.family_below(sources::oid[])) f JOIN pg_class c ON c.oid = f
	WHERE c.relkind <> 'p'		-- (an ANALYZE writes the sum of its partitions there)
$$;

COMMENT ON FUNCTION leadscore_internal.rows_estimated(regclass[]) IS 'about how many rows some tables have, as of the last VACUUM or ANALYZE';

CREATE FUNCTION leadscore_internal.source_timelines(lead_ids text[] DEFAULT NULL, signals jsonb DEFAULT NULL, resolve boolean DEFAULT true)
	RETURNS TABLE (lead_id text, timeline leadscore.timeline)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET row_security = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	document CONSTANT jsonb := coalesce(signals, leadscore.signals());
	-- the kinds that some signals take; NULL: any
	kinds CONSTANT text[] := (SELECT CASE WHEN source_timelines.signals IS NOT NULL AND bool_and(s ? 'kind') THEN array_agg(s ->> 'kind') END
		FROM jsonb_array_elements(document -> 'signals') s);
	aliases CONSTANT boolean := resolve AND EXISTS (SELECT FROM leadscore.lead_alias);
	base CONSTANT boolean := EXISTS (SELECT FROM leadscore_internal.timeline_base);
	names CONSTANT text[] := CASE WHEN aliases AND source_timelines.lead_ids IS NOT NULL
		THEN source_timelines.lead_ids || ARRAY(SELECT a.alias FROM leadscore.lead_alias a WHERE a.lead_id = ANY (source_timelines.lead_ids))
		ELSE source_timelines.lead_ids END;
	sources regclass[];
	mappings jsonb[];
	parts integer := 1;
	alone boolean;
	gathered text;
BEGIN
	SELECT array_agg(s.source), array_agg(s.mapping) INTO sources, mappings
	FROM leadscore_internal.source_trigger s
	WHERE s.feeds = 'timeline' AND NOT s.mapping ? 'partition' AND (kinds IS NULL OR s.kind IS NULL OR s.kind = ANY (kinds));
	IF sources IS NULL AND NOT base OR document -> 'signals' = '[]' THEN
		RETURN;
	END IF;
	alone := (SELECT bool_or(leadscore_internal.has_expression(s::oid, m)) FROM unnest(sources, mappings) t (s, m));
	IF names IS NULL AND kinds IS NULL AND NOT alone THEN
		parts := leadscore_internal.gather_parts(sources);
	END IF;
	gathered := (SELECT string_agg(format('SELECT * FROM leadscore_internal.%I($1, $2, $3, $4, $5, %s, %s)',
			CASE WHEN alone THEN 'gather_alone' ELSE 'gather' END, part, parts), ' UNION ALL ')
		FROM generate_series(0, parts - 1) part WHERE sources IS NOT NULL);
	IF base THEN
		gathered := concat_ws(' UNION ALL ', gathered, 'SELECT b.lead_id, leadscore_internal.counted(b.timeline, $3) FROM leadscore_internal.timeline_base b '
			'WHERE b.archived_before = (SELECT a.archived_before FROM leadscore.archive a) AND ($4 IS NULL OR b.lead_id = ANY ($4))');
	END IF;
	IF aliases OR base THEN
		gathered := format('SELECT * FROM (SELECT %s AS lead_id, leadscore_internal.stored_sum(g.timeline) AS timeline FROM (%s) g %s GROUP BY 1) r WHERE r.timeline OPERATOR(leadscore.<>) ''{}''',
			CASE WHEN aliases THEN 'coalesce(a.lead_id, g.lead_id)' ELSE 'g.lead_id' END, gathered,
			CASE WHEN aliases THEN 'LEFT JOIN leadscore.lead_alias a ON a.alias = g.lead_id' END);
	END IF;
	RETURN QUERY EXECUTE 'SELECT * FROM (' || gathered || ') t WHERE $6 IS NULL OR t.lead_id = ANY ($6)'
		USING sources, mappings, document, names, kinds, source_timelines.lead_ids;
END
$$;

COMMENT ON FUNCTION leadscore_internal.source_timelines(text[], jsonb, boolean) IS 'timelines gathered from the rows of all sources, and the base of what is archived';

-- TRUNCATE, ATTACH and DETACH PARTITION do not obey snapshots: the sources are
-- locked against them before the snapshot is taken that they are read with.

CREATE FUNCTION leadscore_internal.lock_sources() RETURNS void
	LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
	SELECT leadscore_internal.lock_source(t.source)
	FROM (SELECT DISTINCT s.source FROM leadscore_internal.source_trigger s WHERE s.feeds = 'timeline' AND NOT s.mapping ? 'partition' ORDER BY 1) t
$$;

COMMENT ON FUNCTION leadscore_internal.lock_sources() IS 'keeps the sources from being truncated, dropped or detached until the transaction ends';

-- (in PL/pgSQL, for the sake of its kept plan: an alias that changes its lead asks for it)
CREATE FUNCTION leadscore_internal.try_sources() RETURNS boolean
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN (SELECT coalesce(bool_and(leadscore_internal.try_table(t.source, t.written)), true)
		FROM (
			-- a rebuild waits for transactions that count with the former signals
			SELECT 'leadscore.lead_timeline'::regclass AS source, true AS written
			UNION ALL
			SELECT * FROM (SELECT DISTINCT s.source, false FROM leadscore_internal.source_trigger s WHERE s.feeds = 'timeline' AND NOT s.mapping ? 'partition' ORDER BY 1) s
		) t);
END
$$;

COMMENT ON FUNCTION leadscore_internal.try_sources() IS 'lock_sources(), and lead_timeline as a writer locks it, if nobody keeps us waiting';

-- verify

CREATE FUNCTION leadscore.verify() RETURNS TABLE (lead_id text, stored leadscore.timeline, expected leadscore.timeline)
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET row_security = off SET jit = off
AS $$
#variable_conflict use_column
BEGIN
	PERFORM leadscore_internal.lock_sources();
	IF leadscore_internal.aliases_differ() THEN
		RETURN QUERY
		SELECT coalesce(t.lead_id, e.lead_id), t.timeline, e.timeline
		FROM leadscore.current_timeline t FULL JOIN (
			SELECT coalesce(c.lead_id, s.lead_id) AS lead_id, leadscore_internal.stored_sum(s.timeline) AS timeline
			FROM leadscore_internal.source_timelines(NULL::text[], NULL::jsonb, false) s LEFT JOIN leadscore_internal.alias_closure(true) c ON c.alias = s.lead_id
			GROUP BY 1) e ON t.lead_id = e.lead_id
		WHERE coalesce(t.timeline, '{}') OPERATOR(leadscore.<>) coalesce(e.timeline, '{}');
		RETURN QUERY SELECT w.lead_id, w.stored, w.expected FROM leadscore_internal.verify_workers() w;
		RETURN;
	END IF;
	RETURN QUERY
	SELECT coalesce(t.lead_id, e.lead_id), t.timeline, e.timeline
	FROM leadscore.current_timeline t FULL JOIN leadscore_internal.source_timelines(NULL::text[], NULL::jsonb, true) e ON t.lead_id = e.lead_id
	WHERE coalesce(t.timeline, '{}') OPERATOR(leadscore.<>) coalesce(e.timeline, '{}');
	RETURN QUERY SELECT w.lead_id, w.stored, w.expected FROM leadscore_internal.verify_workers() w;
END
$$;

COMMENT ON FUNCTION leadscore.verify() IS 'the leads whose stored timeline differs from the one aggregated from the events; should be none';

-- rebuild
--
-- Every writer commits its events together with what they add to timelines. So
-- what a timeline lacks is the same in every snapshot, whatever is written
-- meanwhile: it is found in one snapshot and added later, in batches, without
-- keeping a writer out. Only writers that still count with former signals
-- must have ended first.

CREATE FUNCTION leadscore_internal.lock_rebuild(shared boolean DEFAULT false) RETURNS void
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;

CREATE FUNCTION leadscore_internal.unlock_rebuild() RETURNS void
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;

CREATE FUNCTION leadscore_internal.rebuild_is_at_work() RETURNS boolean
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;

CREATE FUNCTION leadscore_internal.add_deltas(lead_ids text[], deltas leadscore.timeline[]) RETURNS void
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT;

COMMENT ON FUNCTION leadscore_internal.lock_rebuild(boolean) IS 'waits for rebuilds of other sessions, and keeps them waiting';
COMMENT ON FUNCTION leadscore_internal.unlock_rebuild() IS 'lets the next rebuild begin';
COMMENT ON FUNCTION leadscore_internal.rebuild_is_at_work() IS 'whether a rebuild is at work, in any session';
COMMENT ON FUNCTION leadscore_internal.add_deltas(text[], leadscore.timeline[]) IS 'adds to timelines, aliases resolved';

-- in the snapshot of the query that asks: a name that was given may have become an alias meanwhile
CREATE FUNCTION leadscore_internal.leads_named(names text[]) RETURNS text[]
	LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(array_agg(DISTINCT coalesce(a.lead_id, n)), '{}') FROM unnest(names) n LEFT JOIN leadscore.lead_alias a ON a.alias = n
$$;

COMMENT ON FUNCTION leadscore_internal.leads_named(text[]) IS 'the leads that some names count for; NULL: all';

CREATE FUNCTION leadscore_internal.find_corrections(names text[], signals jsonb) RETURNS bigint
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET row_security = off SET client_min_messages = 'warning' SET jit = off
AS $$
DECLARE
	signal_ids CONSTANT integer[] := ARRAY(SELECT (s ->> 'signal_id')::integer FROM jsonb_array_elements(signals -> 'signals') s);
	n bigint;
BEGIN
	PERFORM leadscore_internal.report_progress('rebuild'::text, 'reading'::text, 0::bigint, (
		SELECT leadscore_internal.rows_estimated(array_agg(s.source)) FROM leadscore_internal.source_trigger s WHERE s.feeds = 'timeline' AND NOT s.mapping ? 'partition'));
	PERFORM leadscore_internal.lock_sources();
	-- before the snapshot is taken that it is read with
	LOCK TABLE leadscore.lead_timeline IN ACCESS SHARE MODE;
	DROP TABLE IF EXISTS pg_temp.leadscore_correction;
	CREATE TEMP TABLE leadscore_correction AS
	SELECT coalesce(t.lead_id, e.lead_id) AS lead_id,
		leadscore_internal.difference(e.timeline, t.timeline) AS correction
	FROM leadscore_internal.source_timelines((SELECT leadscore_internal.leads_named(names)), signals, true) e
	FULL JOIN (
		SELECT c.lead_id, CASE WHEN signals IS NULL THEN c.timeline ELSE leadscore_internal.only(c.timeline, signal_ids) END AS timeline
		FROM leadscore.current_timeline c
		WHERE names IS NULL OR c.lead_id = ANY ((SELECT leadscore_internal.leads_named(names))::text[])
	) t ON t.lead_id = e.lead_id
	WHERE coalesce(t.timeline, '{}'::leadscore.timeline) OPERATOR(leadscore.<>) coalesce(e.timeline, '{}'::leadscore.timeline)
	ORDER BY coalesce(t.lead_id, e.lead_id) COLLATE "C";
	GET DIAGNOSTICS n = ROW_COUNT;
	RETURN n;
END
$$;

COMMENT ON FUNCTION leadscore_internal.find_corrections(text[], jsonb) IS 'puts what timelines lack into the temporary table leadscore_correction, and says how many there are';

CREATE FUNCTION leadscore_internal.apply_corrections(first_page bigint, pages bigint) RETURNS bigint
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	lead_ids text[];
	corrections leadscore.timeline[];
BEGIN
	-- the table is in order, so a batch is some of its pages
	SELECT array_agg(c.lead_id), array_agg(c.correction) INTO lead_ids, corrections
	FROM pg_temp.leadscore_correction c
	WHERE c.ctid >= format('(%s,0)', first_page)::tid AND c.ctid < format('(%s,0)', first_page + pages)::tid;
	PERFORM leadscore_internal.add_deltas(lead_ids, corrections);
	RETURN coalesce(cardinality(lead_ids), 0);
END
$$;

COMMENT ON FUNCTION leadscore_internal.apply_corrections(bigint, bigint) IS 'adds the corrections of some pages of their table to the timelines, and says how many';

CREATE FUNCTION leadscore_internal.signals_named(names text[]) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	document CONSTANT jsonb := leadscore.signals();
	missing text;
BEGIN
	SELECT n INTO missing FROM unnest(names) n
	WHERE n IS NULL OR NOT EXISTS (SELECT FROM jsonb_array_elements(document -> 'signals') s WHERE s ->> 'signal' = n)
	LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('event signal "%s" does not exist', missing),
			DETAIL = 'There is no row with that signal and the subject event in leadscore.signal.',
			HINT = leadscore_internal.known('event signals'::text, ARRAY(SELECT s ->> 'signal' FROM jsonb_array_elements(document -> 'signals') s ORDER BY 1));
	END IF;
	RETURN document || jsonb_build_object('signals', (
		SELECT jsonb_agg(s) FROM jsonb_array_elements(document -> 'signals') s WHERE s ->> 'signal' = ANY (names)));
END
$$;

COMMENT ON FUNCTION leadscore_internal.signals_named(text[]) IS 'signals() cut down to some';

CREATE FUNCTION leadscore_internal.check_read_committed(procedure text, otherwise text) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	level CONSTANT text := current_setting('transaction_isolation');
BEGIN
	IF level NOT IN ('read committed', 'read uncommitted') THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_transaction_state',
			MESSAGE = format('%s must run at the isolation level read committed', procedure),
			DETAIL = format('The level is %s.', level),
			HINT = format('Events written since the transaction began could be %s. SET default_transaction_isolation = ''read committed'' first.', otherwise);
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.check_read_committed(text, text) IS 'refuses the stricter levels of isolation';

CREATE FUNCTION leadscore_internal.refuse_block(procedure text) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RAISE EXCEPTION USING ERRCODE = 'active_sql_transaction', MESSAGE = format('%s cannot run inside a transaction block', procedure),
		DETAIL = 'Writers need to see its effect while it runs, and would wait for the end of the transaction.',
		HINT = 'CALL it as a statement of its own: not after BEGIN, nor in a function or trigger.';
END
$$;

COMMENT ON FUNCTION leadscore_internal.refuse_block(text) IS 'the error of a procedure that has to commit';

-- A procedure that commits must not SET anything: every name is qualified.

CREATE PROCEDURE leadscore_internal.add_corrections(what text, total bigint, may_commit boolean)
	LANGUAGE plpgsql
AS $$
DECLARE
	pages CONSTANT bigint := pg_catalog.pg_relation_size('pg_temp.leadscore_correction')
		OPERATOR(pg_catalog./) pg_catalog.current_setting('block_size')::bigint;
	-- some 16,000 leads, or 32 MB
	batch CONSTANT bigint := greatest(1, least(200, (33554432 OPERATOR(pg_catalog.*) pages)
		OPERATOR(pg_catalog./) greatest(1, pg_catalog.pg_total_relation_size('pg_temp.leadscore_correction'))));
	page bigint := 0;
	done bigint := 0;
	began CONSTANT pg_catalog.timestamptz := pg_catalog.clock_timestamp();
	reported pg_catalog.timestamptz := began;
BEGIN
	PERFORM leadscore_internal.report_progress(what, 'correcting'::pg_catalog.text, 0::pg_catalog.int8, total);
	WHILE page OPERATOR(pg_catalog.<) pages LOOP
		IF may_commit THEN
			COMMIT;
		END IF;
		done := done OPERATOR(pg_catalog.+) leadscore_internal.apply_corrections(page, batch);
		page := page OPERATOR(pg_catalog.+) batch;
		PERFORM leadscore_internal.report_progress(what, 'correcting'::pg_catalog.text, done, total);
		IF pg_catalog.clock_timestamp() OPERATOR(pg_catalog.>) (reported OPERATOR(pg_catalog.+) '1 second'::interval) THEN
			reported := pg_catalog.clock_timestamp();
			RAISE NOTICE '%: % of % leads corrected, % a second', what, done, total,
				pg_catalog.round((done OPERATOR(pg_catalog./) extract(epoch FROM (reported OPERATOR(pg_catalog.-) began)))::numeric);
		END IF;
	END LOOP;
	IF may_commit THEN
		COMMIT;
	END IF;
END
$$;

COMMENT ON PROCEDURE leadscore_internal.add_corrections(text, bigint, boolean) IS 'adds the corrections that were found to the timelines, in batches, and reports';

CREATE FUNCTION leadscore_internal.wait_for_partings() RETURNS void
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE;

COMMENT ON FUNCTION leadscore_internal.wait_for_partings() IS 'waits for the transactions that are parting names now';

CREATE FUNCTION leadscore_internal.take_parted() RETURNS text[]
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	WITH taken AS (DELETE FROM leadscore_internal.parted_lead p RETURNING p.lead_id)
	SELECT coalesce(array_agg(DISTINCT t.lead_id), '{}') FROM taken t
$$;

COMMENT ON FUNCTION leadscore_internal.take_parted() IS 'the names that unidentify() has parted since this was last asked';

-- What was found to lack before an alias was made, and is added after it was parted again, has been counted by
-- unidentify() as well. So the leads that are parted meanwhile are looked at once more, until there are none.

CREATE PROCEDURE leadscore_internal.correct_parted(what text, document jsonb, may_commit boolean)
	LANGUAGE plpgsql
AS $$
DECLARE
	names text[];
BEGIN
	LOOP
		PERFORM leadscore_internal.wait_for_partings();
		names := leadscore_internal.take_parted();
		EXIT WHEN pg_catalog.cardinality(names) OPERATOR(pg_catalog.=) 0;
		CALL leadscore_internal.add_corrections(what, leadscore_internal.find_corrections(names, document), may_commit);
	END LOOP;
END
$$;

COMMENT ON PROCEDURE leadscore_internal.correct_parted(text, jsonb, boolean) IS 'corrects leads that have been parted while a rebuild was at work';

CREATE PROCEDURE leadscore.rebuild(lead_ids text[] DEFAULT NULL, signals text[] DEFAULT NULL)
	LANGUAGE plpgsql
AS $$
DECLARE
	may_commit CONSTANT boolean := NOT leadscore_internal.in_transaction_block();
	document pg_catalog.jsonb;
	counting pg_catalog.jsonb;
	sources pg_catalog.jsonb;
BEGIN
	PERFORM leadscore_internal.check_read_committed('rebuild()'::pg_catalog.text, 'lost'::pg_catalog.text);
	PERFORM leadscore_internal.refuse_block('rebuild()'::pg_catalog.text) WHERE NOT may_commit AND leadscore_internal.has_distributed();
	IF leadscore_internal.postpone_rebuild(lead_ids, signals) THEN
		RETURN;
	END IF;
	PERFORM leadscore_internal.begin_progress('rebuild'::pg_catalog.text, 0::pg_catalog.oid);
	PERFORM leadscore_internal.merge_duplicates() WHERE lead_ids IS NULL AND signals IS NULL;
	IF may_commit THEN
		COMMIT;
	END IF;
	PERFORM leadscore_internal.report_progress('rebuild'::pg_catalog.text, 'folding'::pg_catalog.text, NULL::pg_catalog.int8, NULL::pg_catalog.int8);
	PERFORM leadscore.fold(NULL::pg_catalog.int8);
	PERFORM leadscore_internal.correct_edges() WHERE lead_ids IS NULL;
	IF signals IS NOT NULL THEN
		document := leadscore_internal.signals_named(signals);
	END IF;
	IF may_commit THEN
		COMMIT;
	END IF;
	PERFORM leadscore_internal.report_progress('rebuild'::pg_catalog.text, 'waiting for another rebuild'::pg_catalog.text, NULL::pg_catalog.int8, NULL::pg_catalog.int8);
	PERFORM leadscore_internal.lock_rebuild(false);
	IF may_commit THEN
		COMMIT;
	END IF;
	-- of signals that change while we wait, somebody may still count with the former ones
	counting := leadscore_internal.signal_definitions(signals);
	sources := leadscore_internal.sources_due();
	PERFORM leadscore_internal.take_parted();
	IF may_commit THEN
		COMMIT;
	END IF;
	PERFORM leadscore_internal.report_progress('rebuild'::pg_catalog.text, 'waiting for writers'::pg_catalog.text, NULL::pg_catalog.int8, NULL::pg_catalog.int8);
	PERFORM leadscore_internal.wait_for_writers();
	CALL leadscore_internal.add_corrections('rebuild'::pg_catalog.text, leadscore_internal.find_corrections(lead_ids, document), may_commit);
	CALL leadscore_internal.correct_parted('rebuild'::pg_catalog.text, document, may_commit);
	IF lead_ids IS NULL THEN
		PERFORM leadscore_internal.signals_counted(counting);
		PERFORM leadscore_internal.keep_documents(NULL::pg_catalog.text[]), leadscore_internal.keep_wordings();
		IF signals IS NULL THEN
			PERFORM leadscore_internal.compaction_finished(), leadscore_internal.drop_former_base();
			PERFORM leadscore_internal.sources_counted(sources);
		END IF;
	END IF;
	DROP TABLE pg_temp.leadscore_correction;
	PERFORM leadscore_internal.unlock_rebuild();
	PERFORM leadscore_internal.on_workers(pg_catalog.format('CALL leadscore.rebuild(%L::text[], %L::text[])', lead_ids, signals));
	PERFORM leadscore_internal.end_progress('rebuild'::pg_catalog.text);
END
$$;

COMMENT ON PROCEDURE leadscore.rebuild(text[], text[])
	IS 'corrects timelines by the tracked tables, for the given leads and signals or all, while writers go on';

-- compact
--
-- From the moment that the instant is committed, writers count hours before it
-- by the day (signals()); those who may still count otherwise are waited for.
-- Then each timeline lacks the difference to its coarsened form, whatever is
-- written meanwhile: what is added is coarse already, and what fold(),
-- identify() and rebuild() move or add is on both sides. So it is found and
-- added as a rebuild's corrections are.

CREATE FUNCTION leadscore_internal.compaction_zone(named text) RETURNS text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	present CONSTANT text := (SELECT coalesce(c.time_zone, 'UTC') FROM leadscore.compaction c);
	zones CONSTANT text[] := ARRAY(SELECT DISTINCT coalesce(m.time_zone, 'UTC') FROM leadscore.model m ORDER BY 1);
BEGIN
	IF NOT leadscore_internal.is_time_zone(named) THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'time_zone is unknown',
			DETAIL = format('It is "%s".', named), HINT = 'Pass a name from pg_timezone_names, such as ''Europe/Berlin''.';
	END IF;
	IF named <> present THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'timelines are compacted by the days of another time zone already',
			DETAIL = format('They are those of %s, and the hours of compacted days are not known any more.', present),
			HINT = 'While the events still exist, DELETE FROM leadscore.compaction and CALL leadscore.rebuild() count their hours again.';
	END IF;
	IF coalesce(named, present) IS NULL AND cardinality(zones) > 1 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'models have different time zones',
			DETAIL = 'Hours would be kept by the days of one of them, for all models and for good.',
			HINT = format('Name it, such as by CALL leadscore.compact(..., time_zone => %L). ', zones[1]) || leadscore_internal.known('time zones'::text, zones);
	END IF;
	RETURN coalesce(named, present, zones[1], 'UTC');
END
$$;

COMMENT ON FUNCTION leadscore_internal.compaction_zone(text) IS 'the time zone by whose days to compact: the one named, the one that there is, that of all models; or an error';

CREATE FUNCTION leadscore_internal.check_before(before timestamptz, command text, what text, future text, example text) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF before IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'before is NULL', DETAIL = what,
			HINT = format('For example: CALL leadscore.%s(now() - interval ''%s'').', command, example);
	END IF;
	IF before > clock_timestamp() THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('%s() must not reach into the future', command),
			DETAIL = format('The instant is %s.', before), HINT = format('%s, such as now() - interval ''%s''.', future, example);
	END IF;
	IF before < '1970-01-01 00:00Z' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('%s() must not begin before 1970', command),
			DETAIL = format('The instant is %s.', before), HINT = 'Timelines hold the years 1970 to 9999.';
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.check_before(timestamptz, text, text, text, text) IS 'refuses an instant that compact() or archive() cannot reach to';

CREATE FUNCTION leadscore_internal.check_compaction(before timestamptz, time_zone text) RETURNS timestamptz
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	zone CONSTANT text := leadscore_internal.compaction_zone(time_zone);
	day timestamptz;
	present CONSTANT timestamptz := (SELECT c.compacted_before FROM leadscore.compaction c);
BEGIN
	PERFORM leadscore_internal.check_before(before, 'compact'::text, 'Hours before an instant are to be kept by the day.'::text,
		'New events would be counted by the day at once. Pass an instant that is old enough for your scores'::text, '90 days'::text);
	day := leadscore_internal.day_start(before, zone);
	IF day < present THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'timelines are compacted to a later instant already',
			DETAIL = format('Hours before %s are kept by the day, and cannot come back from timelines.', present),
			HINT = 'While the events still exist, DELETE FROM leadscore.compaction and CALL leadscore.rebuild() count their hours again.';
	END IF;
	RETURN day;
END
$$;

CREATE FUNCTION leadscore_internal.begin_compaction(before timestamptz, time_zone text) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET row_security = off SET jit = off
AS $$
DECLARE
	day CONSTANT timestamptz := leadscore_internal.check_compaction(before, time_zone);
	zone CONSTANT text := leadscore_internal.compaction_zone(time_zone);
BEGIN
	-- a day's sum that does not fit is found before anything has changed
	PERFORM FROM leadscore.current_timeline t WHERE leadscore.coarsen(t.timeline, day, zone) IS NULL;
	INSERT INTO leadscore.compaction AS c (compacted_before, time_zone) VALUES (day, nullif(zone, 'UTC'))
	ON CONFLICT ((true)) DO UPDATE SET compacted_before = excluded.compacted_before, finished = false;
END
$$;

CREATE FUNCTION leadscore_internal.find_hours() RETURNS bigint
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET row_security = off SET client_min_messages = 'warning' SET jit = off
AS $$
DECLARE
	n bigint;
BEGIN
	LOCK TABLE leadscore.lead_timeline IN ACCESS SHARE MODE;
	DROP TABLE IF EXISTS pg_temp.leadscore_correction;
	CREATE TEMP TABLE leadscore_correction AS
	SELECT t.lead_id, leadscore_internal.difference(t.coarse, t.timeline) AS correction
	FROM (
		SELECT c.lead_id, c.timeline, leadscore.coarsen(c.timeline, (SELECT compacted_before FROM leadscore.compaction),
			(SELECT coalesce(time_zone, 'UTC') FROM leadscore.compaction)) AS coarse
		FROM leadscore.current_timeline c
		OFFSET 0
	) t
	WHERE t.coarse OPERATOR(leadscore.<>) t.timeline
	ORDER BY t.lead_id COLLATE "C";
	GET DIAGNOSTICS n = ROW_COUNT;
	RETURN n;
END
$$;

CREATE FUNCTION leadscore_internal.compaction_finished() RETURNS void
	LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	UPDATE leadscore.compaction SET finished = true WHERE NOT finished
$$;

COMMENT ON FUNCTION leadscore_internal.check_compaction(timestamptz, text) IS 'the first hour of the day to compact before, or an error';
COMMENT ON FUNCTION leadscore_internal.begin_compaction(timestamptz, text) IS 'sets the day before which hours are kept by the day';
COMMENT ON FUNCTION leadscore_internal.find_hours() IS 'puts what compacting adds to timelines into the temporary table leadscore_correction, and says how many there are';
COMMENT ON FUNCTION leadscore_internal.compaction_finished() IS 'notes that all timelines have been compacted';

CREATE PROCEDURE leadscore.compact(before timestamptz, time_zone text DEFAULT NULL)
	LANGUAGE plpgsql
AS $$
BEGIN
	PERFORM leadscore_internal.check_compaction(before, time_zone);
	PERFORM leadscore_internal.check_read_committed('compact()'::pg_catalog.text, 'passed over'::pg_catalog.text);
	IF leadscore_internal.in_transaction_block() THEN
		PERFORM leadscore_internal.refuse_block('compact()'::pg_catalog.text);
	END IF;
	COMMIT;
	PERFORM leadscore_internal.begin_progress('compact'::pg_catalog.text, 0::pg_catalog.oid),
		leadscore_internal.report_progress('compact'::pg_catalog.text, 'waiting for another rebuild'::pg_catalog.text, NULL::pg_catalog.int8, NULL::pg_catalog.int8);
	PERFORM leadscore_internal.lock_rebuild(false);
	COMMIT;
	PERFORM leadscore_internal.begin_compaction(before, time_zone);
	COMMIT;
	PERFORM leadscore_internal.take_parted();
	COMMIT;
	PERFORM leadscore_internal.report_progress('compact'::pg_catalog.text, 'waiting for writers'::pg_catalog.text, NULL::pg_catalog.int8, NULL::pg_catalog.int8);
	PERFORM leadscore_internal.wait_for_writers();
	PERFORM leadscore_internal.report_progress('compact'::pg_catalog.text, 'reading'::pg_catalog.text, NULL::pg_catalog.int8, NULL::pg_catalog.int8);
	CALL leadscore_internal.add_corrections('compact'::pg_catalog.text, leadscore_internal.find_hours(), true);
	CALL leadscore_internal.correct_parted('compact'::pg_catalog.text, NULL::pg_catalog.jsonb, true);
	PERFORM leadscore_internal.compaction_finished();
	DROP TABLE pg_temp.leadscore_correction;
	PERFORM leadscore_internal.unlock_rebuild();
	PERFORM leadscore_internal.end_progress('compact'::pg_catalog.text);
END
$$;

COMMENT ON PROCEDURE leadscore.compact(timestamptz, text)
	IS 'keeps hours before the day of an instant by the day, in all timelines and for later events, while writers go on';

-- what history has been counted with

CREATE TABLE leadscore_internal.counted_signal (
	signal_id integer PRIMARY KEY,
	definition jsonb NOT NULL
);

COMMENT ON TABLE leadscore_internal.counted_signal IS 'the signals that past events have been counted for, as they were then';
COMMENT ON COLUMN leadscore_internal.counted_signal.signal_id IS 'the signal';
COMMENT ON COLUMN leadscore_internal.counted_signal.definition IS 'its kind, match and condition';

CREATE VIEW leadscore_internal.signal_definition AS
SELECT s.signal, s.signal_id, jsonb_build_object('kind', s.kind, 'match', s.match, 'condition', s.condition) AS definition
FROM leadscore.signal s
WHERE s.subject = 'event';

COMMENT ON VIEW leadscore_internal.signal_definition IS 'the event signals as they are now';
COMMENT ON COLUMN leadscore_internal.signal_definition.signal IS 'name';
COMMENT ON COLUMN leadscore_internal.signal_definition.signal_id IS 'number in timelines';
COMMENT ON COLUMN leadscore_internal.signal_definition.definition IS 'its kind, match and condition';

CREATE FUNCTION leadscore_internal.signal_definitions(signals text[]) RETURNS jsonb
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT jsonb_build_object(
		'all', signals IS NULL,
		'definitions', coalesce(jsonb_object_agg(d.signal_id, d.definition), '{}'))
	FROM leadscore_internal.signal_definition d
	WHERE signals IS NULL OR d.signal IN (SELECT unnest(signals))
$$;

COMMENT ON FUNCTION leadscore_internal.signal_definitions(text[]) IS 'what a rebuild counts with, for signals_counted()';

CREATE FUNCTION leadscore_internal.signals_counted(counting jsonb) RETURNS void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF counting -> 'all' = 'true' THEN
		DELETE FROM leadscore_internal.counted_signal c WHERE NOT counting -> 'definitions' ? c.signal_id::text;
	END IF;
	INSERT INTO leadscore_internal.counted_signal AS c (signal_id, definition)
	SELECT d.key::integer, d.value FROM jsonb_each(counting -> 'definitions') d ORDER BY 1
	ON CONFLICT (signal_id) DO UPDATE SET definition = excluded.definition WHERE c.definition <> excluded.definition;
END
$$;

COMMENT ON FUNCTION leadscore_internal.signals_counted(jsonb) IS 'notes that past events have been counted';

CREATE FUNCTION leadscore_internal.history_exists() RETURNS boolean
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT EXISTS (SELECT FROM leadscore.source s WHERE s.feeds = 'timeline' AND leadscore_internal.has_rows(s.source))
$$;

COMMENT ON FUNCTION leadscore_internal.history_exists() IS 'whether any source has a row';

-- This runs in a trigger, so it must be cheap: tables of another fixed kind are skipped, of the others only the first rows
-- are read, and tables that are locked are not waited for.

CREATE FUNCTION leadscore_internal.log_has(kinds text[], derived boolean) RETURNS TABLE (kind text, is_there boolean)
	LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 10 SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	missing text[] := kinds;
	unknown text[] := '{}';
	s record;
	k text;
	found_there boolean;
BEGIN
	FOR s IN
		SELECT t.source, t.mapping, t.kind FROM leadscore_internal.source_trigger t
		WHERE t.feeds = 'timeline' AND NOT t.mapping ? 'partition' AND (derived OR t.source <> 'leadscore.derived_event'::regclass)
	LOOP
		-- (rows of such a table are not counted at all)
		CONTINUE WHEN leadscore_internal.source_problem(s.source, s.mapping) IS NOT NULL;
		FOREACH k IN ARRAY missing
		LOOP
			CONTINUE WHEN s.kind <> k;
			found_there := CASE WHEN leadscore_internal.try_table(s.source, false) THEN leadscore_internal.has_events(s.source, s.mapping, k) END;
			IF found_there THEN
				missing := array_remove(missing, k);
				RETURN QUERY SELECT k, true;
			ELSIF found_there IS NULL THEN
				unknown := unknown || k;
			END IF;
		END LOOP;
	END LOOP;
	RETURN QUERY SELECT m.m, CASE WHEN array_position(unknown, m.m) IS NULL THEN false END FROM unnest(missing) m;
END
$$;

COMMENT ON FUNCTION leadscore_internal.log_has(text[], boolean)
	IS 'whether there are events of some kinds (NULL: any), with or without those that are derived; NULL: it would take long to tell';

CREATE FUNCTION leadscore_internal.log_has(kind text, derived boolean) RETURNS boolean
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT h.is_there FROM leadscore_internal.log_has(ARRAY[kind], derived) h
$$;

COMMENT ON FUNCTION leadscore_internal.log_has(text, boolean) IS 'the same of one kind';

-- (as jsonb, for which NULL is a kind like any other)
CREATE FUNCTION leadscore_internal.logged_kinds(kinds text[]) RETURNS TABLE (kind jsonb)
	LANGUAGE sql STABLE SECURITY DEFINER ROWS 10 SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(to_jsonb(h.kind), 'null') FROM leadscore_internal.log_has(kinds, true) h WHERE h.is_there IS NOT FALSE
$$;

COMMENT ON FUNCTION leadscore_internal.logged_kinds(text[]) IS 'the kinds, of some, of which there are events or may be';

CREATE FUNCTION leadscore_internal.signals_waiting(names text[]) RETURNS TABLE (signal text)
	LANGUAGE sql STABLE SECURITY DEFINER ROWS 10 SET search_path = pg_catalog, pg_temp
AS $$
	WITH changed AS MATERIALIZED (
		SELECT d.signal, coalesce(d.definition -> 'kind', 'null') AS kind, CASE WHEN c.definition IS NOT NULL THEN coalesce(c.definition -> 'kind', 'null') END AS former_kind
		FROM leadscore_internal.signal_definition d LEFT JOIN leadscore_internal.counted_signal c ON c.signal_id = d.signal_id
		WHERE (names IS NULL OR d.signal IN (SELECT unnest(names))) AND c.definition IS DISTINCT FROM d.definition
	-- each kind is looked for once, however many signals it has
	), logged AS MATERIALIZED (
		SELECT l.kind
		FROM leadscore_internal.logged_kinds(ARRAY(SELECT h.kind #>> '{}' FROM changed h UNION SELECT h.former_kind #>> '{}' FROM changed h WHERE h.former_kind IS NOT NULL)) l
	)
	-- there are events to count, or events that a former definition has counted
	SELECT h.signal FROM changed h
	WHERE h.kind IN (SELECT l.kind FROM logged l) OR h.former_kind IN (SELECT l.kind FROM logged l)
	ORDER BY 1
$$;

COMMENT ON FUNCTION leadscore_internal.signals_waiting(text[]) IS 'the signals, of some names or all, that past events are not yet counted for';

CREATE FUNCTION leadscore_internal.note_signals() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	waiting text[];
	redefined text[];
	archived_before CONSTANT timestamptz := (SELECT a.archived_before FROM leadscore.archive a);
BEGIN
	PERFORM leadscore_internal.check_trigger(TG_RELID, 'leadscore.signal'::regclass);
	IF leadscore_internal.in_restore() THEN
		RETURN NULL;
	END IF;
	PERFORM set_config('leadscore.signals_noted', '', true);		-- see note_uncounted_signals()
	IF TG_OP = 'UPDATE' THEN
		-- timelines hold what the former definition has counted since: a definition that no signal has keeps the signal waiting
		WITH changed AS MATERIALIZED (
			SELECT n.signal_id, f.kind
			FROM changed_signals n JOIN former_signals f ON f.signal_id = n.signal_id
			WHERE f.subject = 'event' AND (n.subject, n.kind, n.match, n.condition::text) IS DISTINCT FROM (f.subject, f.kind, f.match, f.condition::text)
		)
		INSERT INTO leadscore_internal.counted_signal (signal_id, definition)
		SELECT c.signal_id, '{}' FROM changed c
		WHERE coalesce(to_jsonb(c.kind), 'null') IN (SELECT l.kind FROM leadscore_internal.logged_kinds(ARRAY(SELECT DISTINCT d.kind FROM changed d)) l)
		ON CONFLICT (signal_id) DO NOTHING;
		redefined := ARRAY(SELECT n.signal FROM changed_signals n JOIN former_signals f ON f.signal_id = n.signal_id
			WHERE n.subject = 'event' AND (n.subject, n.kind, n.match, n.condition::text) IS DISTINCT FROM (f.subject, f.kind, f.match, f.condition::text) ORDER BY 1);
	ELSIF TG_OP = 'INSERT' THEN
		redefined := ARRAY(SELECT n.signal FROM changed_signals n WHERE n.subject = 'event' ORDER BY 1);
	END IF;
	IF redefined <> '{}' AND archived_before IS NOT NULL THEN
		RAISE NOTICE USING MESSAGE = format('events from %s on are counted for %s', archived_before, array_to_string(redefined, ', ')),
			DETAIL = 'Earlier ones are archived: what they counted for stays as it is.';
	END IF;
	IF TG_OP <> 'DELETE' THEN
		waiting := ARRAY(SELECT w.signal FROM leadscore_internal.signals_waiting(ARRAY(SELECT n.signal FROM changed_signals n)) w ORDER BY 1);
		IF waiting <> '{}' THEN
			RAISE NOTICE USING MESSAGE = format('past events are not yet counted for %s', array_to_string(waiting, ', ')),
				HINT = format('CALL leadscore.rebuild(signals => %L) counts them; see leadscore.status.', waiting);
		END IF;
	END IF;
	RETURN NULL;
END
$$;

COMMENT ON FUNCTION leadscore_internal.note_signals() IS 'trigger: says that history waits for a rebuild';

-- A signal of whose kind there is no event has nothing to be counted for. That is certain only with writers locked out, as
-- one may be writing the first such event with the former signals. So SHARE ROW EXCLUSIVE on lead_timeline is tried at
-- commit, never waited for, and held to the end of the transaction. A transaction that has written events itself does not
-- try: its commit may take long, and would keep other writers out.

CREATE FUNCTION leadscore_internal.note_uncounted_signals() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	-- once for all rows
	IF current_setting('leadscore.signals_noted', true) = 'yes' THEN
		RETURN NULL;
	END IF;
	PERFORM leadscore_internal.check_trigger(TG_RELID, 'leadscore.signal'::regclass);
	PERFORM set_config('leadscore.signals_noted', 'yes', true);
	IF leadscore_internal.in_restore() OR current_setting('transaction_isolation') <> 'read committed'
		OR NOT EXISTS (SELECT FROM leadscore_internal.signal_definition d FULL JOIN leadscore_internal.counted_signal c ON c.signal_id = d.signal_id
			WHERE d.definition IS DISTINCT FROM c.definition
			AND CASE WHEN d.signal IS NULL THEN NOT leadscore_internal.history_exists() ELSE d.signal NOT IN (SELECT w.signal FROM leadscore_internal.signals_waiting(NULL::text[]) w) END)
		OR EXISTS (SELECT FROM pg_locks l WHERE l.relation = 'leadscore.lead_timeline'::regclass AND l.pid = pg_backend_pid() AND l.mode = 'RowExclusiveLock') THEN
		RETURN NULL;
	END IF;
	LOCK TABLE leadscore.lead_timeline IN SHARE ROW EXCLUSIVE MODE NOWAIT;
	PERFORM leadscore_internal.signals_counted(leadscore_internal.signal_definitions(CASE WHEN leadscore_internal.history_exists() THEN
		ARRAY(SELECT d.signal FROM leadscore_internal.signal_definition d WHERE d.signal NOT IN (SELECT w.signal FROM leadscore_internal.signals_waiting(NULL::text[]) w)) END));
	RETURN NULL;
EXCEPTION WHEN lock_not_available THEN
	RETURN NULL;
END
$$;

COMMENT ON FUNCTION leadscore_internal.note_uncounted_signals() IS 'trigger, at commit: notes that signals of whose kinds there is no event have nothing to be counted for';

CREATE TRIGGER note_signals_insert AFTER INSERT ON leadscore.signal REFERENCING NEW TABLE AS changed_signals
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.note_signals();
CREATE TRIGGER note_signals_update AFTER UPDATE ON leadscore.signal REFERENCING NEW TABLE AS changed_signals OLD TABLE AS former_signals
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.note_signals();
CREATE TRIGGER note_signals_delete AFTER DELETE ON leadscore.signal
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.note_signals();
CREATE CONSTRAINT TRIGGER note_uncounted_signals AFTER INSERT OR UPDATE OR DELETE ON leadscore.signal
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION leadscore_internal.note_uncounted_signals();

-- status

CREATE FUNCTION leadscore_internal.transition_problem() RETURNS TABLE (object text, name text, state text, action text)
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY
	SELECT 'watched_model', w.model, 'is watched, but not every lead has been looked at', format('CALL leadscore.watch(%L, notify => %s)', w.model, w.notify::text)
	FROM leadscore.watched_model w WHERE w.active AND NOT w.seen ORDER BY 2;
	IF EXISTS (SELECT FROM leadscore.segment_change c WHERE c.tick >= leadscore_internal.change_horizon() AND c.changed_at < now() - interval '10 minutes')
		AND EXISTS (SELECT FROM leadscore.change_consumer) THEN
		RETURN QUERY
		SELECT 'segment_change', t.name, 'consumers wait for a transaction that is older than the changes', t.action
		FROM (
			SELECT format('process %s', a.pid) AS name, format('SELECT pg_terminate_backend(%s) -- or end its transaction', a.pid) AS action, age(a.backend_xid) AS age
			FROM pg_stat_activity a WHERE a.backend_xid IS NOT NULL AND a.pid <> pg_backend_pid()
			UNION ALL
			SELECT format('prepared transaction %L', p.gid), format('ROLLBACK PREPARED %L -- or COMMIT PREPARED, in database %I', p.gid, p.database), age(p.transaction)
			FROM pg_prepared_xacts p
		) t
		ORDER BY t.age DESC LIMIT 1;
	END IF;
	RETURN QUERY
	SELECT 'offer', o.offer, format('model "%s" has no segment "%s": nobody gets a voucher', o.model, o.segment), format('UPDATE leadscore.offer SET ends_at = now() WHERE offer = %L -- or give it another segment', o.offer)
	FROM leadscore.offer o
	WHERE (o.ends_at > now()) IS NOT FALSE AND NOT EXISTS (SELECT FROM leadscore.segment s WHERE s.model = o.model AND s.segment = o.segment)
	ORDER BY 2;
	RETURN QUERY
	SELECT 'offer', o.offer, format('model "%s" is not watched: nobody gets a voucher', o.model), format('CALL leadscore.watch(%L) -- or set ends_at', o.model)
	FROM leadscore.offer o
	WHERE (o.ends_at > now()) IS NOT FALSE AND NOT EXISTS (SELECT FROM leadscore.watched_model w WHERE w.model = o.model AND w.active)
	ORDER BY 2;
	RETURN QUERY
	SELECT 'offer', o.offer, format('has stopped: more than %s vouchers were due within an hour', o.brake),
		format('SELECT leadscore.resume_offer(%L) -- revoke_vouchers() takes vouchers back', o.offer)
	FROM leadscore.offer o
	WHERE EXISTS (SELECT FROM leadscore_internal.offer_stop s WHERE s.offer = o.offer)
	ORDER BY 2;
END
$$;

COMMENT ON FUNCTION leadscore_internal.transition_problem() IS 'problems with transitions and offers';

-- A dump has this row, but not the snapshot.
CREATE TABLE leadscore_internal.snapshot_state (
	only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
	first_refreshed_at timestamptz NOT NULL,
	refreshed_at timestamptz
);

COMMENT ON TABLE leadscore_internal.snapshot_state IS 'whether lead_segment is used: one row, or none before the first refresh_segments()';
COMMENT ON COLUMN leadscore_internal.snapshot_state.only_row IS 'true';
COMMENT ON COLUMN leadscore_internal.snapshot_state.first_refreshed_at IS 'when refresh_segments() was first called';
COMMENT ON COLUMN leadscore_internal.snapshot_state.refreshed_at IS 'when it was last called; NULL: before it was noted';

-- What status lists, each with the check of health that it belongs to. An action is a statement as it can be
-- executed; what else is to be said stands behind it as a comment.

CREATE VIEW leadscore_internal.task AS
SELECT 'signals' AS health, 'signal' AS object, w.signal AS name, 'past events are not yet counted' AS state,
	format('CALL leadscore.rebuild(signals => %L)', ARRAY[w.signal]) AS action
FROM leadscore_internal.signals_waiting(NULL::text[]) w
UNION ALL
SELECT 'signals', 'signal', 'number ' || c.signal_id, 'was deleted, but is still in timelines', 'CALL leadscore.rebuild()'
FROM leadscore_internal.counted_signal c
WHERE NOT EXISTS (SELECT FROM leadscore_internal.signal_definition d WHERE d.signal_id = c.signal_id)
UNION ALL
SELECT 'models', 'model', 'default', 'there are several models, and none of them is the default: calls without a model fail',
	format('SELECT leadscore.set_default_model(%L) -- or another model', min(m.model))
FROM leadscore.model m
HAVING count(*) > 1 AND NOT EXISTS (SELECT FROM leadscore.default_model) AND NOT bool_or(m.model = 'default')
UNION ALL
SELECT 'sources', 'source', s.source::text, p.problem, format('SELECT leadscore.untrack(%L) -- then track() it again', s.source)
FROM leadscore.source s CROSS JOIN leadscore_internal.source_problem(s.source, s.mapping) AS p (problem)
WHERE p.problem IS NOT NULL
UNION ALL
SELECT CASE k.reason WHEN 'in the future' THEN 'future_rows' ELSE 'skipped_rows' END, 'source', k.source::text,
	format(CASE k.reason WHEN 'in the future' THEN 'rows in the future: %2$s' ELSE 'skipped rows (%s): %s' END, k.reason, k.rows),
	format('SELECT leadscore.forget_skipped(%L) -- ', k.source::text) || CASE k.reason
		WHEN 'in the future' THEN coalesce((SELECT leadscore_internal.hint_of_future(k.source, s.occurred_at) FROM leadscore.source s WHERE s.source = k.source AND s.feeds = 'timeline' LIMIT 1), '')
		WHEN 'archived' THEN 'such rows stay as they are: leadscore.archive has the instant'
		ELSE 'after you have mended the rows by UPDATE, or tracked the table with an expression that reads them' END
FROM leadscore.skipped_row k
-- a row without a lead, kind or time is nothing wrong: a guest, or what has not come to pass
WHERE k.reason NOT IN ('no lead', 'no kind', 'no time') AND k.last_at > now() - interval '7 days'
UNION ALL
SELECT 'sources', 'source', c.child::text, format('is a partition or child of %s, but has no triggers', s.source),
	format('SELECT leadscore.untrack(%L) -- then track() it again', s.source)
FROM leadscore.source s CROSS JOIN LATERAL leadscore_internal.children(s.source) AS c (child)
WHERE NOT EXISTS (SELECT FROM leadscore_internal.source_trigger t
	WHERE t.source = c.child AND t.feeds = s.feeds AND t.mapping = s.mapping || '{"partition": true}')
UNION ALL
SELECT 'timelines', 'compaction', d.day, 'some timelines still hold hours before that day',
	format('CALL leadscore.compact(%L)', CASE WHEN c.time_zone IS NULL THEN d.day ELSE to_jsonb(c.compacted_before AT TIME ZONE 'UTC') #>> '{}' END || 'Z')
FROM leadscore.compaction c
CROSS JOIN LATERAL (SELECT to_jsonb((c.compacted_before AT TIME ZONE coalesce(c.time_zone, 'UTC'))::date) #>> '{}' AS day) d
WHERE NOT c.finished
UNION ALL
SELECT 'timelines', 'archive', leadscore_internal.hour_text(a.archiving_before), 'an archive() to that instant was not completed, or is at work',
	format('CALL leadscore.archive(%L)', leadscore_internal.hour_text(a.archiving_before))
FROM leadscore_internal.archiving a
UNION ALL
SELECT 'timelines', 'lead_timeline', 'lead_timeline', p.state, p.action
FROM leadscore_internal.split_problem() p
UNION ALL
SELECT 'queries', 'query', q.target::text, format('is not refreshed: its query has failed since %s, and its rows are those of %s', date_trunc('second', q.failed_at),
	coalesce(date_trunc('second', q.refreshed_at)::text, 'no time')), format('CALL leadscore.refresh_queries(%L) -- says why', q.target::text)
FROM leadscore.tracked_query q
WHERE q.failed_at IS NOT NULL
UNION ALL
SELECT CASE p.object WHEN 'own_table' THEN 'timelines' ELSE 'sources' END, p.object, p.name, p.state, p.action
FROM leadscore_internal.table_problem() p
UNION ALL
SELECT CASE p.object WHEN 'offer' THEN 'offers' ELSE 'transitions' END, p.object, p.name, p.state, p.action
FROM leadscore_internal.transition_problem() p
UNION ALL
SELECT 'pending', 'pending_delta', p.leads || ' leads', 'deltas wait to be merged; reads include them', 'SELECT leadscore.fold()'
FROM (SELECT count(DISTINCT lead_id) AS leads FROM leadscore.pending_delta) p
WHERE p.leads > 0
UNION ALL
SELECT 'pending', 'pending_profile', p.leads || ' leads', 'profiles wait to be merged; reads include them', 'SELECT leadscore.fold()'
FROM (SELECT count(DISTINCT lead_id) AS leads FROM leadscore.pending_profile) p
WHERE p.leads > 0
UNION ALL
SELECT 'pending', 'lead_alias', format('%s changes of names', p.changes), 'wait for a transaction that changed the same names', 'SELECT leadscore.fold()'
FROM (SELECT count(*) AS changes FROM leadscore_internal.pending_identity) p
WHERE p.changes > 0
UNION ALL
SELECT 'pending', 'changed_lead', CASE WHEN c.everybody THEN 'all leads' ELSE c.leads || ' leads' END,
	'what follows from their events is not yet derived', 'SELECT * FROM leadscore.derive()'
FROM (SELECT count(DISTINCT lead_id) AS leads, bool_or(lead_id IS NULL) AS everybody FROM leadscore_internal.changed_lead) c
WHERE c.leads > 0 OR c.everybody
UNION ALL
SELECT 'snapshot', 'lead_segment', 'lead_segment', CASE WHEN c.relispopulated THEN 'is empty, as after a restore' ELSE 'cannot be read before it is refreshed' END,
	'SELECT leadscore.refresh_segments()'
FROM pg_class c
WHERE c.relnamespace = 'leadscore'::regnamespace AND c.relname = 'lead_segment'
AND (NOT c.relispopulated
	OR pg_relation_size(c.oid) = 0 AND EXISTS (SELECT FROM leadscore_internal.snapshot_state) AND EXISTS (SELECT FROM leadscore.model)
		AND (EXISTS (SELECT FROM leadscore.lead_timeline) OR EXISTS (SELECT FROM leadscore.pending_delta) OR EXISTS (SELECT FROM leadscore.lead)
			OR EXISTS (SELECT FROM leadscore.pending_profile)));

COMMENT ON VIEW leadscore_internal.task IS 'the rows of status, with the check of health that each belongs to';
COMMENT ON COLUMN leadscore_internal.task.health IS 'the row of health';
COMMENT ON COLUMN leadscore_internal.task.object IS 'see status';
COMMENT ON COLUMN leadscore_internal.task.name IS 'see status';
COMMENT ON COLUMN leadscore_internal.task.state IS 'see status';
COMMENT ON COLUMN leadscore_internal.task.action IS 'see status';

CREATE VIEW leadscore.status AS
SELECT t.object, t.name, t.state, t.action FROM leadscore_internal.task t;

COMMENT ON VIEW leadscore.status IS 'open tasks for the DBA; empty if there are none';
COMMENT ON COLUMN leadscore.status.object IS 'signal, model, source, query, event_trigger, own_table, compaction, archive, lead_timeline, watched_model, segment_change, offer, pending_delta, pending_profile, lead_alias, changed_lead or lead_segment';
COMMENT ON COLUMN leadscore.status.name IS 'which';
COMMENT ON COLUMN leadscore.status.state IS 'what is wrong or pending';
COMMENT ON COLUMN leadscore.status.action IS 'the statement that settles it';

-- fold

CREATE FUNCTION leadscore_internal.fold_rows(max_rows bigint) RETURNS bigint
	AS 'MODULE_PATHNAME', 'fold' LANGUAGE C;

COMMENT ON FUNCTION leadscore_internal.fold_rows(bigint) IS 'implementation of fold(), as the owner';

CREATE FUNCTION leadscore_internal.fold_profiles(max_rows bigint) RETURNS bigint
	AS 'MODULE_PATHNAME' LANGUAGE C;

COMMENT ON FUNCTION leadscore_internal.fold_profiles(bigint) IS 'merges pending profiles into lead, at most so many rows, and says how many; as the owner';

CREATE FUNCTION leadscore_internal.merge_profile(name text, attributes jsonb, removed text[]) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF removed IS NOT NULL THEN
		UPDATE leadscore.lead l SET profile = l.profile - removed WHERE l.lead_id = merge_profile.name AND l.profile ?| removed;
	END IF;
	IF attributes IS NOT NULL THEN
		INSERT INTO leadscore.lead AS l (lead_id, profile) VALUES (merge_profile.name, attributes)
		ON CONFLICT (lead_id) DO UPDATE SET profile = coalesce(l.profile, '{}') || excluded.profile;
	END IF;
	IF removed IS NOT NULL THEN
		DELETE FROM leadscore.lead l WHERE l.lead_id = merge_profile.name AND l.profile = '{}';
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.merge_profile(text, jsonb, text[]) IS 'takes keys out of a lead''s profile, then puts attributes in';

CREATE FUNCTION leadscore_internal.look_up_again(name text, stale jsonb) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	source record;
	latest record;
BEGIN
	PERFORM leadscore_internal.merge_profile(name, NULL::jsonb, ARRAY(SELECT jsonb_object_keys(stale)));
	FOR source IN SELECT s.source, s.mapping FROM leadscore.source s WHERE s.feeds = 'profile' AND s.latest_by IS NOT NULL LOOP
		latest := leadscore_internal.latest_profile(source.source, source.mapping, name);
		PERFORM leadscore_internal.merge_profile(name, latest.attributes, ARRAY(SELECT k FROM jsonb_object_keys(latest.keys) k WHERE NOT coalesce(latest.attributes ? k, false)));
	END LOOP;
END
$$;

COMMENT ON FUNCTION leadscore_internal.look_up_again(text, jsonb) IS 'has the rows of a lead count that are the latest, after attributes that are stale have been put in';

-- Where somebody has changed lead or pending_profile, such as by a trigger. What he does not let be written stays pending.
CREATE FUNCTION leadscore_internal.fold_profile(name text) RETURNS bigint
	-- (plans are kept while the tables grow)
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS $$
DECLARE
	pending record;
	look_again boolean := false;
	stale jsonb := '{}';
	n bigint := 0;
BEGIN
	-- the row that counts is looked up while the lead's row is locked
	PERFORM FROM leadscore.lead l WHERE l.lead_id = fold_profile.name FOR UPDATE;
	FOR pending IN
		WITH taken AS (DELETE FROM leadscore.pending_profile p WHERE p.lead_id = fold_profile.name RETURNING p.*)
		SELECT t.attributes, t.removed, t.look_again FROM taken t ORDER BY t.change_id
	LOOP
		PERFORM leadscore_internal.merge_profile(fold_profile.name, pending.attributes, pending.removed);
		IF pending.look_again THEN
			look_again := true;
			stale := stale || coalesce(pending.attributes, '{}');
		END IF;
		n := n + 1;
	END LOOP;
	IF look_again THEN
		PERFORM leadscore_internal.look_up_again(fold_profile.name, stale);
	END IF;
	RETURN n;
EXCEPTION WHEN OTHERS THEN
	-- a rollback of the transaction, and what has nothing to do with the row, are no such failure
	IF SQLSTATE ~ '^(40|53|57|58|XX)' THEN
		RAISE;
	END IF;
	RAISE WARNING USING MESSAGE = format('the profile of lead "%s" cannot be written: %s', fold_profile.name, SQLERRM),
		ERRCODE = SQLSTATE, HINT = 'It stays pending. Check what was added to leadscore.lead, such as a trigger or an index.';
	RETURN 0;
END
$$;

COMMENT ON FUNCTION leadscore_internal.fold_profile(text) IS 'merges what is pending for a lead''s profile, where somebody has changed the tables; waits for others who write the same row';

CREATE FUNCTION leadscore.fold(max_rows bigint DEFAULT NULL) RETURNS bigint
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	merged bigint;
BEGIN
	PERFORM leadscore_internal.carry_out(NULL::bigint, max_rows);
	PERFORM leadscore_internal.condense_skipped();
	merged := leadscore_internal.fold_rows(max_rows);
	RETURN merged + CASE WHEN pg_relation_size('leadscore.pending_profile'::regclass) > 0 THEN leadscore_internal.fold_profiles(max_rows - merged) ELSE 0 END;
END
$$;

COMMENT ON FUNCTION leadscore.fold(bigint) IS 'merges pending deltas into timelines and pending profiles into lead, at most max_rows, and returns how many';

SELECT pg_catalog.pg_extension_config_dump('leadscore_internal.counted_signal', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore_internal.snapshot_state', '');
