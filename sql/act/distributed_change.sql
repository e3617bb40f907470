-- distributed_change.sql: leads of several workers of Citus that change their segment
--
-- Each worker watches, and has lead_state and segment_change of the leads that lie there; the coordinator has those of
-- leads with aliases, whose events may lie on several workers. It compares them at each look, with what all workers
-- have. When a lead goes from one server to another, because its shard moves or it gets an alias, its state goes along,
-- and nothing is logged. A worker keeps the state of a lead that has nothing there any more: whether it has moved or is
-- gone is known to the coordinator, at the next look or distribute().

CREATE FUNCTION leadscore_internal.take_watching(has_shards boolean, models jsonb) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	name text;
BEGIN
	IF NOT has_shards THEN
		DELETE FROM leadscore_internal.worker;
		RETURN;
	END IF;
	INSERT INTO leadscore_internal.worker VALUES (true) ON CONFLICT DO NOTHING;
	-- (on a worker that is new; its leads bring their states)
	FOR name IN SELECT m FROM jsonb_array_elements_text(models) m
		WHERE NOT EXISTS (SELECT FROM leadscore.watched_model w WHERE w.model = m AND w.active) LOOP
		PERFORM leadscore_internal.begin_watching(name, false);
		PERFORM leadscore_internal.finish_watching(name, leadscore_internal.watched_documents());
	END LOOP;
END
$$;

COMMENT ON FUNCTION leadscore_internal.take_watching(boolean, jsonb) IS 'on a worker: watches what the coordinator watches';

-- states that go along

-- (what is pending may cancel what is stored)
CREATE FUNCTION leadscore_internal.is_here(lead_id text) RETURNS boolean
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(leadscore_internal.timeline_of(lead_id), '{}') OPERATOR(leadscore.<>) '{}'::leadscore.timeline
		OR EXISTS (SELECT FROM leadscore.current_profile p WHERE p.lead_id = is_here.lead_id)
$$;

COMMENT ON FUNCTION leadscore_internal.is_here(text) IS 'on a worker: whether it has events or a profile of a lead';

CREATE FUNCTION leadscore_internal.give_states_here(request jsonb)
	RETURNS TABLE (lead_id text, model text, segment text, since timestamptz, cause text, edition bigint)
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	names CONSTANT text[] := CASE WHEN jsonb_typeof(request -> 'names') = 'array' THEN ARRAY(SELECT jsonb_array_elements_text(request -> 'names')) END;
	gone text[];
	held text[];
BEGIN
	IF names IS NULL THEN
		gone := ARRAY(
			SELECT s.lead_id FROM leadscore.lead_state s WHERE EXISTS (SELECT FROM leadscore.lead_alias a WHERE a.lead_id = s.lead_id)
			UNION
			SELECT s.lead_id FROM leadscore.lead_state s
			WHERE s.segment IS NOT NULL
			AND NOT EXISTS (SELECT FROM leadscore.current_timeline t WHERE t.lead_id = s.lead_id AND t.timeline OPERATOR(leadscore.<>) '{}'::leadscore.timeline)
			AND NOT EXISTS (SELECT FROM leadscore.current_profile p WHERE p.lead_id = s.lead_id)
			AND NOT EXISTS (SELECT FROM leadscore.lead_alias a WHERE a.alias = s.lead_id));
	ELSE
		gone := ARRAY(SELECT DISTINCT a.lead_id FROM leadscore.lead_alias a WHERE a.lead_id = ANY (names));
	END IF;
	-- only the holder of a lead's row writes its state
	held := leadscore_internal.lock_lead_rows(gone, false);
	RETURN QUERY DELETE FROM leadscore.lead_state s WHERE s.lead_id = ANY (held)
		RETURNING s.lead_id, s.model, s.segment, s.since, s.cause, s.edition;
	PERFORM leadscore_internal.release_timelines(VARIADIC held);
END
$$;

CREATE FUNCTION leadscore_internal.take_states_here(request jsonb) RETURNS TABLE (lead_id text, model text)
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	held CONSTANT text[] := leadscore_internal.lock_lead_rows(ARRAY(
		SELECT DISTINCT s.lead_id FROM jsonb_to_recordset(request) AS s (lead_id text) WHERE leadscore_internal.is_here(s.lead_id)), false);
BEGIN
	RETURN QUERY INSERT INTO leadscore.lead_state AS n (lead_id, model, segment, since, tick, cause, edition)
		SELECT s.lead_id, s.model, s.segment, s.since, 0, s.cause, s.edition
		FROM jsonb_to_recordset(request) AS s (lead_id text, model text, segment text, since timestamptz, cause text, edition bigint)
		WHERE s.lead_id = ANY (held)
		ON CONFLICT (lead_id, model) DO UPDATE SET segment = excluded.segment, since = excluded.since, cause = excluded.cause, edition = excluded.edition
			WHERE n.segment IS NULL
		RETURNING n.lead_id, n.model;
	PERFORM leadscore_internal.release_timelines(VARIADIC held);
END
$$;

COMMENT ON FUNCTION leadscore_internal.give_states_here(jsonb) IS 'on a worker: the states of leads that are not compared here any more, which are removed';
COMMENT ON FUNCTION leadscore_internal.take_states_here(jsonb) IS 'on a worker: keeps the states of leads that lie here, and says which';

CREATE FUNCTION leadscore_internal.hand_over_states(names text[]) RETURNS void
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	after text := '';
	page record;
BEGIN
	IF NOT leadscore_internal.has_distributed() OR NOT EXISTS (SELECT FROM leadscore.watched_model w WHERE w.active) THEN
		RETURN;
	END IF;
	PERFORM leadscore_internal.begin_sending();
	-- (a lead that has left and is back has a state of no segment)
	INSERT INTO leadscore.lead_state AS n (lead_id, model, segment, since, tick, cause, edition)
	SELECT g.lead_id, g.model, g.segment, g.since, 0, g.cause, g.edition
	FROM leadscore_internal.ask('give_states_here(d.request)'::text, jsonb_build_object('names', names))
		AS g (lead_id text, model text, segment text, since timestamptz, cause text, edition bigint)
	WHERE g.segment IS NOT NULL
	ON CONFLICT (lead_id, model) DO UPDATE SET segment = excluded.segment, since = excluded.since, cause = excluded.cause, edition = excluded.edition
		WHERE n.segment IS NULL;
	LOOP
		SELECT count(*) AS n, max(s.lead_id COLLATE "C") AS up_to, jsonb_agg(to_jsonb(s)) AS states INTO page
		FROM (
			SELECT l.lead_id, l.model, l.segment, l.since, l.cause, l.edition FROM leadscore.lead_state l
			WHERE l.lead_id COLLATE "C" > after AND (names IS NULL OR l.lead_id = ANY (names)) AND l.segment IS NOT NULL
			AND NOT EXISTS (SELECT FROM leadscore.lead_alias a WHERE a.lead_id = l.lead_id OR a.alias = l.lead_id)
			ORDER BY l.lead_id COLLATE "C" FETCH FIRST 100000 ROWS WITH TIES
		) s;
		EXIT WHEN page.n = 0;
		DELETE FROM leadscore.lead_state o
		USING leadscore_internal.ask('take_states_here(d.request)'::text, page.states) AS t (lead_id text, model text)
		WHERE o.lead_id = t.lead_id AND o.model = t.model;
		after := page.up_to;
	END LOOP;
END
$$;

COMMENT ON FUNCTION leadscore_internal.hand_over_states(text[])
	IS 'has the state of each lead that was handed over, or of these, be where the lead is compared: on its worker, or here if it has aliases';

-- looking
--
-- The leads with aliases are in the coordinator's tables as long as look() compares them. It does not commit meanwhile,
-- so nobody else sees them.

CREATE FUNCTION leadscore_internal.borrow_split_leads() RETURNS text[]
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	borrowed text[];
BEGIN
	PERFORM leadscore_internal.check_no_leads();
	WITH split AS MATERIALIZED (
		SELECT l.lead_id, l.timeline, l.profile FROM leadscore_internal.joined_leads() l
	), timelines AS (
		INSERT INTO leadscore.lead_timeline (lead_id, timeline) SELECT s.lead_id, s.timeline FROM split s WHERE s.timeline IS NOT NULL
	), profiles AS (
		INSERT INTO leadscore.lead (lead_id, profile) SELECT s.lead_id, s.profile FROM split s WHERE s.profile IS NOT NULL
	)
	SELECT coalesce(array_agg(s.lead_id), '{}') INTO borrowed FROM split s;
	RETURN borrowed;
END
$$;

CREATE FUNCTION leadscore_internal.return_split_leads(borrowed text[]) RETURNS void
	LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	DELETE FROM leadscore.lead_timeline t WHERE t.lead_id = ANY (borrowed);
	DELETE FROM leadscore.lead l WHERE l.lead_id = ANY (borrowed);
$$;

COMMENT ON FUNCTION leadscore_internal.borrow_split_leads() IS 'on a coordinator: has the leads with aliases in its tables, to be compared, and says which';
COMMENT ON FUNCTION leadscore_internal.return_split_leads(text[]) IS 'removes what borrow_split_leads() has borrowed';

-- consumers

CREATE FUNCTION leadscore_internal.node_here() RETURNS integer
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	node integer := 0;
BEGIN
	IF to_regclass('pg_catalog.pg_dist_local_group') IS NOT NULL THEN
		EXECUTE 'SELECT l.groupid FROM pg_catalog.pg_dist_local_group l' INTO node;
	END IF;
	RETURN node;
END
$$;

CREATE TYPE leadscore_internal.taken_change AS (
	node integer,
	place bigint,
	change_id bigint,
	model text,
	lead_id text,
	from_segment text,
	to_segment text,
	score float8,
	changed_at timestamptz,
	cause text
);

COMMENT ON TYPE leadscore_internal.taken_change IS 'a change that take_changes() gives on one server';
COMMENT ON COLUMN leadscore_internal.taken_change.node IS 'the server, as node_here() numbers it';
COMMENT ON COLUMN leadscore_internal.taken_change.place IS 'its place among those that were given at once';
COMMENT ON COLUMN leadscore_internal.taken_change.change_id IS 'number, on that server';
COMMENT ON COLUMN leadscore_internal.taken_change.model IS 'the model';
COMMENT ON COLUMN leadscore_internal.taken_change.lead_id IS 'the lead';
COMMENT ON COLUMN leadscore_internal.taken_change.from_segment IS 'the segment that it was in; NULL: none';
COMMENT ON COLUMN leadscore_internal.taken_change.to_segment IS 'the segment that it is in; NULL: none';
COMMENT ON COLUMN leadscore_internal.taken_change.score IS 'its score then';
COMMENT ON COLUMN leadscore_internal.taken_change.changed_at IS 'when it was found';
COMMENT ON COLUMN leadscore_internal.taken_change.cause IS 'why';

CREATE FUNCTION leadscore_internal.changes_here(request jsonb) RETURNS SETOF leadscore_internal.taken_change
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT leadscore_internal.node_here(), row_number() OVER (), t.change_id, t.model, t.lead_id, t.from_segment, t.to_segment, t.score, t.changed_at, t.cause
	FROM leadscore.take_changes(request ->> 'consumer', (request ->> 'n')::integer) t
$$;

CREATE FUNCTION leadscore_internal.acknowledge_here(document jsonb) RETURNS boolean
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	last CONSTANT bigint := document -> 'changes' ->> leadscore_internal.node_here()::text;
BEGIN
	IF last IS NOT NULL THEN
		PERFORM leadscore.acknowledge_changes(document ->> 'consumer', last);
	END IF;
	RETURN true;
END
$$;

COMMENT ON FUNCTION leadscore_internal.node_here() IS 'the number that Citus gives this server; 0: the coordinator';
COMMENT ON FUNCTION leadscore_internal.changes_here(jsonb) IS 'take_changes() of one server, in its order';
COMMENT ON FUNCTION leadscore_internal.acknowledge_here(jsonb) IS 'acknowledge_changes() of one server';

CREATE FUNCTION leadscore.distributed_take_changes(consumer text, n integer DEFAULT 100)
	RETURNS TABLE (node integer, change_id bigint, model text, lead_id text, from_segment text, to_segment text, score float8, changed_at timestamptz, cause text)
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	request CONSTANT jsonb := jsonb_build_object('consumer', consumer, 'n', n);
	own leadscore_internal.taken_change[];
	given leadscore_internal.taken_change[];
BEGIN
	PERFORM leadscore_internal.cluster_state(), leadscore_internal.begin_sending();
	-- (first here, where another session that takes for the same consumer waits)
	own := ARRAY(SELECT c FROM leadscore_internal.changes_here(request) c);
	WITH taken AS MATERIALIZED (
		SELECT c.* FROM unnest(own) c
		UNION ALL
		SELECT w.* FROM leadscore_internal.ask('changes_here(d.request)'::text, request)
			AS w (node integer, place bigint, change_id bigint, model text, lead_id text, from_segment text, to_segment text, score float8, changed_at timestamptz, cause text)
	), known AS (
		-- a server that has more has them after this
		SELECT min(f.up_to) AS up_to FROM (SELECT max(t.changed_at) AS up_to FROM taken t GROUP BY t.node HAVING count(*) = distributed_take_changes.n) f
	), first AS (
		SELECT t.*, bool_and((t.changed_at <= k.up_to) IS NOT FALSE) OVER (PARTITION BY t.node ORDER BY t.place) AS comes FROM taken t CROSS JOIN known k
	)
	SELECT array_agg((f.node, f.place, f.change_id, f.model, f.lead_id, f.from_segment, f.to_segment, f.score, f.changed_at, f.cause)::leadscore_internal.taken_change)
	INTO given FROM first f WHERE f.comes;
	PERFORM set_config('leadscore.given_changes', (coalesce(nullif(current_setting('leadscore.given_changes', true), ''), '{}')::jsonb
		|| jsonb_build_object(consumer, (SELECT coalesce(jsonb_object_agg(l.node, l.change_id), '{}') FROM (SELECT DISTINCT ON (g.node) g.node, g.change_id FROM unnest(given) g ORDER BY g.node, g.place DESC) l)))::text, true);
	RETURN QUERY SELECT g.node, g.change_id, g.model, g.lead_id, g.from_segment, g.to_segment, g.score, g.changed_at, g.cause
		FROM unnest(given) g ORDER BY g.changed_at, g.node, g.place;
END
$$;

COMMENT ON FUNCTION leadscore.distributed_take_changes(text, integer)
	IS 'the next changes on all workers that a consumer has not acknowledged, those of a lead in their order; again and again until it does';

CREATE FUNCTION leadscore.distributed_acknowledge_changes(consumer text, changes jsonb DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	document CONSTANT jsonb := jsonb_build_object('consumer', consumer, 'changes',
		coalesce(changes, nullif(current_setting('leadscore.given_changes', true), '')::jsonb -> consumer));
BEGIN
	IF jsonb_typeof(document -> 'changes') IS DISTINCT FROM 'object' THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = 'no changes to acknowledge were named',
			DETAIL = format('Consumer "%s" was not given any in this transaction.', consumer),
			HINT = 'Pass the last change_id of each node that distributed_take_changes() has returned, such as {"0": 17, "1": 203}.';
	END IF;
	PERFORM leadscore_internal.cluster_state();
	PERFORM leadscore_internal.send('acknowledge_here(d.document)'::text, document), leadscore_internal.acknowledge_here(document);
END
$$;

COMMENT ON FUNCTION leadscore.distributed_acknowledge_changes(text, jsonb)
	IS 'a consumer has dealt with these changes, the last of each node, and those that it was given before; NULL: with all that it was given in this transaction';
