-- distributed.sql: learning from, and reporting on, leads that lie on several workers of Citus
--
-- An aggregate's state travels from a worker to the coordinator as it does from a parallel worker to its leader:
-- X_part() returns the serialised state, X_parts() adds up such parts. Leads with aliases may have events on several
-- workers; the coordinator adds up their timelines, and makes a part of them itself.

-- what both sides need

CREATE FUNCTION leadscore_internal.joined_leads() RETURNS TABLE (lead_id text, timeline leadscore.timeline, profile jsonb)
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT s.lead_id, leadscore_internal.stored_sum(s.timeline), leadscore_internal.joined_profile(s.profile ORDER BY s.name = s.lead_id, s.name COLLATE "C" DESC)
	FROM leadscore_internal.ask('split_leads()'::text, NULL::jsonb) AS s (lead_id text, name text, timeline leadscore.timeline, profile jsonb)
	GROUP BY s.lead_id HAVING bool_or(s.name = s.lead_id)
$$;

COMMENT ON FUNCTION leadscore_internal.joined_leads() IS 'the leads with aliases, of all workers';

-- rfm

CREATE FUNCTION leadscore_internal.whole_buyers_here(request jsonb) RETURNS TABLE (lead_id text, last_at timestamptz, frequency bigint, monetary numeric)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	signal_ids CONSTANT integer[] := ARRAY(SELECT s::integer FROM jsonb_array_elements_text(request -> 'signal_ids') s);
	at CONSTANT timestamptz := request ->> 'at';
BEGIN
	RETURN QUERY SELECT b.lead_id, b.last_at, b.frequency, b.monetary FROM leadscore_internal.buyers_here(signal_ids, at) b
		WHERE NOT EXISTS (SELECT FROM leadscore.lead_alias a WHERE a.lead_id = b.lead_id);
END
$$;

COMMENT ON FUNCTION leadscore_internal.whole_buyers_here(jsonb) IS 'on a worker: its leads that have bought';

CREATE FUNCTION leadscore.distributed_rfm(model text DEFAULT 'default', at timestamptz DEFAULT now(), n integer DEFAULT 5)
	RETURNS TABLE (lead_id text, last_at timestamptz, frequency bigint, monetary numeric,
		recency_tile integer, frequency_tile integer, monetary_tile integer, rfm_group text)
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET max_parallel_workers_per_gather = 0
AS $$
BEGIN
	RETURN QUERY SELECT r.* FROM leadscore_internal.conversion_of(distributed_rfm.model) c
		CROSS JOIN LATERAL leadscore_internal.rfm_checked(ARRAY[c.signal], at, n, c.recency_cuts, c.frequency_cuts, c.monetary_cuts, true) r;
END
$$;

COMMENT ON FUNCTION leadscore.distributed_rfm(text, timestamptz, integer) IS 'rfm() of the leads of all workers: tiles over all of them';

-- evaluate

CREATE FUNCTION leadscore_internal.assess_end_part(internal) RETURNS bytea
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE AGGREGATE leadscore_internal.assess_part(scorecard jsonb, timeline leadscore.timeline, profile jsonb, cutoff timestamptz, converted boolean) (
	SFUNC = leadscore_internal.assess_transition,
	STYPE = internal,
	SSPACE = 8192,
	FINALFUNC = leadscore_internal.assess_end_part,
	COMBINEFUNC = leadscore_internal.assess_merge,
	SERIALFUNC = leadscore_internal.assess_serialize,
	DESERIALFUNC = leadscore_internal.assess_deserialize,
	PARALLEL = safe
);

CREATE FUNCTION leadscore_internal.assess_add_part(internal, bytea) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE AGGREGATE leadscore_internal.assess_parts(part bytea) (
	SFUNC = leadscore_internal.assess_add_part,
	STYPE = internal,
	SSPACE = 8192,
	FINALFUNC = leadscore_internal.assess_final
);

CREATE AGGREGATE leadscore_internal.tallies(tally bigint[]) (
	SFUNC = leadscore_internal.tally_merge,
	STYPE = bigint[],
	INITCOND = '{}'
);

COMMENT ON AGGREGATE leadscore_internal.assess_part(jsonb, leadscore.timeline, jsonb, timestamptz, boolean) IS 'a part of assess(), as bytes';
COMMENT ON FUNCTION leadscore_internal.assess_end_part(internal) IS 'aggregate final function';
COMMENT ON FUNCTION leadscore_internal.assess_add_part(internal, bytea) IS 'aggregate transition function';
COMMENT ON AGGREGATE leadscore_internal.assess_parts(bytea) IS 'assess() of parts';
COMMENT ON AGGREGATE leadscore_internal.tallies(bigint[]) IS 'several results of tally() added up';

CREATE FUNCTION leadscore_internal.assess_here(request jsonb) RETURNS TABLE (part bytea, last_hour timestamptz, only_days boolean, open bigint[])
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	scorecard CONSTANT jsonb := request -> 'scorecard';
	zone CONSTANT text := leadscore_internal.default_time_zone();
	q leadscore_internal.question;
BEGIN
	q := jsonb_populate_record(NULL::leadscore_internal.question, request -> 'question');
	RETURN QUERY
	SELECT leadscore_internal.assess_part(scorecard, p.timeline, p.profile, p.cutoff, p.outcome < 'infinity') FILTER (WHERE p.outcome IS NOT NULL),
		max(p.last_hour), bool_and(leadscore_internal.is_midnight(p.last_hour, zone)), leadscore_internal.tally(p.place) FILTER (WHERE p.outcome = 'infinity')
	FROM leadscore_internal.pasts_at(q) p
	WHERE NOT EXISTS (SELECT FROM leadscore.lead_alias a WHERE a.lead_id = p.lead_id);
END
$$;

COMMENT ON FUNCTION leadscore_internal.assess_here(jsonb) IS 'on a worker: how its leads have been predicted, and where the data end';

CREATE FUNCTION leadscore_internal.filtered_names(lead_filter text, names text[], profiles jsonb[]) RETURNS TABLE (lead_id text)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY EXECUTE format('SELECT lead.lead_id FROM unnest($1, $2) AS lead (lead_id, profile) WHERE (%s)', coalesce(lead_filter, 'true')) USING names, profiles;
END
$$;

COMMENT ON FUNCTION leadscore_internal.filtered_names(text, text[], jsonb[]) IS 'filtered_leads() of these';

CREATE FUNCTION leadscore_internal.end_here(request jsonb) RETURNS TABLE (last_hour timestamptz, only_days boolean)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
	SELECT max(t.last_hour), bool_and(leadscore_internal.is_midnight(t.last_hour, request ->> 'time_zone'))
	FROM (SELECT leadscore.timeline_last_hour(c.timeline) AS last_hour FROM leadscore.current_timeline c OFFSET 0) t
$$;

COMMENT ON FUNCTION leadscore_internal.end_here(jsonb) IS 'on a worker: up to when it has events';

CREATE FUNCTION leadscore_internal.assessed_everywhere(scorecard jsonb, q leadscore_internal.question) RETURNS leadscore_internal.assessment
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	zone CONSTANT text := leadscore_internal.default_time_zone();
	read record;
BEGIN
	IF q.after_hours IS NOT NULL THEN
		q.data_end := (SELECT leadscore_internal.end_of(max(e.last_hour), bool_and(e.only_days))
			FROM leadscore_internal.ask('end_here(d.request)'::text, jsonb_build_object('time_zone', zone)) AS e (last_hour timestamptz, only_days boolean));
	END IF;
	WITH lead AS MATERIALIZED (
		SELECT l.lead_id, l.timeline, l.profile FROM leadscore_internal.joined_leads() l
	), counts AS MATERIALIZED (
		SELECT f.lead_id FROM (SELECT array_agg(l.lead_id) AS names, array_agg(l.profile) AS profiles FROM lead l) a
		CROSS JOIN LATERAL leadscore_internal.filtered_names(q.lead_filter, a.names, a.profiles) f
	), past AS MATERIALIZED (
		SELECT l.timeline, l.profile, o.place, o.cutoff, CASE WHEN l.lead_id IN (SELECT c.lead_id FROM counts c) THEN o.outcome END AS outcome,
			CASE WHEN o.place = 1 THEN leadscore.timeline_last_hour(l.timeline) END AS last_hour
		FROM lead l CROSS JOIN LATERAL leadscore_internal.outcomes_at(q, l.timeline) o
	)
	SELECT leadscore_internal.assess_parts(a.part) AS assessment, leadscore_internal.end_of(max(a.last_hour), bool_and(a.only_days)) AS data_end,
		leadscore_internal.tallies(a.open) AS open
	INTO read
	FROM (
		SELECT w.part, w.last_hour, w.only_days, w.open
		FROM leadscore_internal.ask('assess_here(d.request)'::text, jsonb_build_object('scorecard', scorecard, 'question', to_jsonb(q)))
			AS w (part bytea, last_hour timestamptz, only_days boolean, open bigint[])
		UNION ALL
		SELECT leadscore_internal.assess_part(scorecard, p.timeline, p.profile, p.cutoff, p.outcome < 'infinity') FILTER (WHERE p.outcome IS NOT NULL),
			max(p.last_hour), bool_and(leadscore_internal.is_midnight(p.last_hour, zone)), leadscore_internal.tally(p.place) FILTER (WHERE p.outcome = 'infinity')
		FROM past p
	) a;
	PERFORM leadscore_internal.warn_of_censoring(q, read.data_end, (read.assessment).leads, read.open);
	RETURN read.assessment;
END
$$;

COMMENT ON FUNCTION leadscore_internal.assessed_everywhere(jsonb, leadscore_internal.question) IS 'assessed() of the leads of all workers';

CREATE FUNCTION leadscore.distributed_evaluate(scorecard jsonb, conversion text, horizon interval, cutoffs timestamptz[], active_within interval DEFAULT '90 days',
	once boolean DEFAULT false, cutoff_after interval DEFAULT NULL, lead_filter text DEFAULT NULL)
	RETURNS TABLE (leads bigint, conversions bigint, base_rate float8, auc float8, auc_low float8, auc_high float8,
		average_precision float8, log_loss float8, brier float8, ks float8, lift_10 float8)
	LANGUAGE plpgsql VOLATILE ROWS 1 SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
BEGIN
	RETURN QUERY SELECT e.* FROM leadscore_internal.evaluation(leadscore_internal.assessed_everywhere(scorecard,
		leadscore_internal.check_outcome(scorecard, conversion, horizon, cutoffs, active_within, once, cutoff_after, lead_filter))) e;
END
$$;

COMMENT ON FUNCTION leadscore.distributed_evaluate(jsonb, text, interval, timestamptz[], interval, boolean, interval, text)
	IS 'evaluate() of the leads of all workers';

-- preview

CREATE FUNCTION leadscore_internal.compare_end_part(internal) RETURNS bytea
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE AGGREGATE leadscore_internal.compare_part(before jsonb, after jsonb, lead_id text, timeline leadscore.timeline, profile jsonb, at timestamptz) (
	SFUNC = leadscore_internal.compare_transition,
	STYPE = internal,
	SSPACE = 8192,
	FINALFUNC = leadscore_internal.compare_end_part,
	COMBINEFUNC = leadscore_internal.compare_merge,
	SERIALFUNC = leadscore_internal.compare_serialize,
	DESERIALFUNC = leadscore_internal.compare_deserialize,
	PARALLEL = safe
);

CREATE FUNCTION leadscore_internal.compare_add_part(internal, bytea) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE AGGREGATE leadscore_internal.compare_parts(part bytea) (
	SFUNC = leadscore_internal.compare_add_part,
	STYPE = internal,
	SSPACE = 8192,
	FINALFUNC = leadscore_internal.compare_final
);

COMMENT ON AGGREGATE leadscore_internal.compare_part(jsonb, jsonb, text, leadscore.timeline, jsonb, timestamptz) IS 'a part of compare(), as bytes';
COMMENT ON FUNCTION leadscore_internal.compare_end_part(internal) IS 'aggregate final function';
COMMENT ON FUNCTION leadscore_internal.compare_add_part(internal, bytea) IS 'aggregate transition function';
COMMENT ON AGGREGATE leadscore_internal.compare_parts(bytea) IS 'compare() of parts';

CREATE FUNCTION leadscore_internal.compare_here(request jsonb) RETURNS TABLE (part bytea)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	before CONSTANT jsonb := request -> 'before';
	after CONSTANT jsonb := request -> 'after';
	at CONSTANT timestamptz := request ->> 'at';
BEGIN
	RETURN QUERY SELECT leadscore_internal.compare_part(before, after, v.lead_id, v.timeline, v.profile, at)
		FROM leadscore_internal.whole_lead v;
END
$$;

COMMENT ON FUNCTION leadscore_internal.compare_here(jsonb) IS 'on a worker: the scores of its leads by two scorecards';

-- Each server issues vouchers of its own offers, to the leads that it compares.

CREATE FUNCTION leadscore_internal.vouchers_here(request jsonb)
	RETURNS TABLE (offer text, segment text, kind text, discount numeric, leads bigint, vouchers bigint)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
	SELECT v.offer, v.segment, v.kind, v.discount, v.leads, v.vouchers
	FROM leadscore_internal.voucher_preview(request -> 'after', request ->> 'model', (request ->> 'at')::timestamptz) v
$$;

CREATE FUNCTION leadscore_internal.vouchers_of_split_leads(document jsonb, model text, at timestamptz)
	RETURNS TABLE (offer text, segment text, kind text, discount numeric, leads bigint, vouchers bigint)
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
	SELECT v.offer, v.segment, v.kind, v.discount, v.leads, v.vouchers
	FROM (
		SELECT array_agg(n.lead_id) AS lead_ids, array_agg(n.segment) AS segments, array_agg(n.profile) AS profiles
		FROM (
			SELECT l.lead_id, l.profile, s.segment AS segment_before, leadscore.next_segment(document, l.timeline, l.profile, at, s.segment, s.since) AS segment
			FROM leadscore_internal.joined_leads() l LEFT JOIN leadscore.lead_state s ON s.lead_id = l.lead_id AND s.model = vouchers_of_split_leads.model
			OFFSET 0
		) n
		WHERE n.segment IS DISTINCT FROM n.segment_before
	) e
	CROSS JOIN LATERAL leadscore_internal.vouchers_for_entering(vouchers_of_split_leads.model, at, e.lead_ids, e.segments, e.profiles) v
	WHERE EXISTS (SELECT FROM leadscore.offer o WHERE o.model = vouchers_of_split_leads.model)
$$;

COMMENT ON FUNCTION leadscore_internal.vouchers_here(jsonb) IS 'on a worker: voucher_preview()';
COMMENT ON FUNCTION leadscore_internal.vouchers_of_split_leads(jsonb, text, timestamptz) IS 'voucher_preview() of a coordinator, for the leads with aliases of all workers';

CREATE FUNCTION leadscore.distributed_preview(document jsonb, model text DEFAULT 'default', at timestamptz DEFAULT now())
	RETURNS TABLE (part text, segment_before text, segment_after text, quantile float8, lead_id text, leads bigint,
		score_before float8, score_after float8, change float8, offer text, vouchers bigint, cost numeric)
	LANGUAGE plpgsql VOLATILE ROWS 50 SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	before CONSTANT jsonb := leadscore.scorecard(model);
	after CONSTANT jsonb := leadscore_internal.with_signal_ids(document);
	c leadscore_internal.comparison;
BEGIN
	PERFORM leadscore_internal.check_preview(document, model, at);
	c := (SELECT leadscore_internal.compare_parts(a.part) FROM (
			SELECT w.part FROM leadscore_internal.ask('compare_here(d.request)'::text, jsonb_build_object('before', before, 'after', after, 'at', distributed_preview.at)) AS w (part bytea)
			UNION ALL
			SELECT leadscore_internal.compare_part(before, after, l.lead_id, l.timeline, l.profile, distributed_preview.at) FROM leadscore_internal.joined_leads() l) a);
	RETURN QUERY
		SELECT r.*, NULL::text, NULL::bigint, NULL::numeric FROM leadscore_internal.comparison_rows(before, after, c) r
		UNION ALL (
			SELECT 'voucher', NULL, v.segment, NULL, NULL, sum(v.leads)::bigint, NULL, NULL, NULL, v.offer, sum(v.vouchers)::bigint,
				CASE WHEN bool_and(v.kind <> 'percent' OR v.vouchers = 0) THEN sum(v.vouchers * v.discount) END
			FROM (
				SELECT w.* FROM leadscore_internal.ask('vouchers_here(d.request)'::text, jsonb_build_object('after', after, 'model', before -> 'model', 'at', distributed_preview.at))
					AS w (offer text, segment text, kind text, discount numeric, leads bigint, vouchers bigint)
				UNION ALL
				SELECT l.* FROM leadscore_internal.vouchers_of_split_leads(after, before ->> 'model', distributed_preview.at) l
			) v
			GROUP BY v.offer, v.segment
			ORDER BY v.offer, v.segment
		);
END
$$;

COMMENT ON FUNCTION leadscore.distributed_preview(jsonb, text, timestamptz) IS 'preview() of the leads of all workers';

-- fit_clv

CREATE FUNCTION leadscore_internal.fit_clv_end_part(internal) RETURNS bytea
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE AGGREGATE leadscore_internal.fit_clv_part(timeline leadscore.timeline, signal_id integer, until timestamptz, unit interval, time_zone text) (
	SFUNC = leadscore_internal.fit_clv_transition,
	STYPE = internal,
	SSPACE = 2048,
	FINALFUNC = leadscore_internal.fit_clv_end_part,
	COMBINEFUNC = leadscore_internal.fit_clv_merge,
	SERIALFUNC = leadscore_internal.fit_clv_serialize,
	DESERIALFUNC = leadscore_internal.fit_clv_deserialize,
	PARALLEL = safe
);

CREATE FUNCTION leadscore_internal.fit_clv_add_part(internal, bytea) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE AGGREGATE leadscore_internal.fit_clv_parts(part bytea) (
	SFUNC = leadscore_internal.fit_clv_add_part,
	STYPE = internal,
	SSPACE = 2048,
	FINALFUNC = leadscore_internal.fit_clv_final
);

COMMENT ON AGGREGATE leadscore_internal.fit_clv_part(leadscore.timeline, integer, timestamptz, interval, text) IS 'a part of fit_clv(), as bytes';
COMMENT ON FUNCTION leadscore_internal.fit_clv_end_part(internal) IS 'aggregate final function';
COMMENT ON FUNCTION leadscore_internal.fit_clv_add_part(internal, bytea) IS 'aggregate transition function';
COMMENT ON AGGREGATE leadscore_internal.fit_clv_parts(bytea) IS 'fit_clv() of parts';

CREATE FUNCTION leadscore_internal.fit_clv_here(request jsonb) RETURNS TABLE (part bytea)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	signal_id CONSTANT integer := request ->> 'signal_id';
	until CONSTANT timestamptz := request ->> 'until';
	unit CONSTANT interval := request ->> 'unit';
	zone CONSTANT text := request ->> 'time_zone';
BEGIN
	RETURN QUERY SELECT leadscore_internal.fit_clv_part(v.timeline, signal_id, until, unit, zone)
		FROM leadscore_internal.whole_lead v;
END
$$;

COMMENT ON FUNCTION leadscore_internal.fit_clv_here(jsonb) IS 'on a worker: the purchases of its leads';

CREATE FUNCTION leadscore.distributed_fit_clv(signal text, until timestamptz DEFAULT now(), unit interval DEFAULT '7 days') RETURNS jsonb
	LANGUAGE plpgsql VOLATILE STRICT SET search_path = pg_catalog, pg_temp SET IntervalStyle = 'postgres' SET jit = off
AS $$
DECLARE
	signal_id CONSTANT integer := leadscore_internal.check_fit(signal, until);
	zone CONSTANT text := leadscore_internal.default_time_zone();
BEGIN
	RETURN jsonb_build_object('signal', signal) || (SELECT leadscore_internal.fit_clv_parts(a.part) FROM (
			SELECT w.part FROM leadscore_internal.ask('fit_clv_here(d.request)'::text,
				jsonb_build_object('signal_id', signal_id, 'until', until, 'unit', unit, 'time_zone', zone)) AS w (part bytea)
			UNION ALL
			-- (a row at least, whose arguments are checked)
			SELECT leadscore_internal.fit_clv_part(l.timeline, signal_id, distributed_fit_clv.until, distributed_fit_clv.unit, zone)
			FROM (SELECT) one LEFT JOIN leadscore_internal.joined_leads() l ON true) a);
END
$$;

COMMENT ON FUNCTION leadscore.distributed_fit_clv(text, timestamptz, interval) IS 'fit_clv() of the leads of all workers';

-- fit and propose
--
-- They read their examples several times, in ways that depend on what they have found. So the leads, or a sample of
-- them, come to the coordinator: into its own tables, in a subtransaction that is rolled back when they have been read.
-- Nobody else sees them, and nothing of them stays but space that vacuum reclaims.

CREATE FUNCTION leadscore_internal.check_no_leads() RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF EXISTS (SELECT FROM leadscore.lead_timeline) OR EXISTS (SELECT FROM leadscore.lead) OR EXISTS (SELECT FROM leadscore.pending_delta) OR EXISTS (SELECT FROM leadscore.pending_profile) THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = 'the coordinator has leads of its own',
			DETAIL = 'Those of the workers are to be read in their place.',
			HINT = 'Distribute its tables, too. To learn, you can copy the leads of distributed_leads() into another database.';
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.check_no_leads() IS 'refuses a coordinator that has leads itself';

CREATE FUNCTION leadscore_internal.borrow_leads(share float8) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
BEGIN
	PERFORM leadscore_internal.check_no_leads();
	WITH borrowed AS MATERIALIZED (
		SELECT l.lead_id, l.timeline, l.profile FROM leadscore.distributed_leads(share) l
	), timelines AS (
		INSERT INTO leadscore.lead_timeline (lead_id, timeline) SELECT b.lead_id, b.timeline FROM borrowed b WHERE b.timeline IS NOT NULL
	)
	INSERT INTO leadscore.lead (lead_id, profile) SELECT b.lead_id, b.profile FROM borrowed b WHERE b.profile IS NOT NULL;
END
$$;

COMMENT ON FUNCTION leadscore_internal.borrow_leads(float8) IS 'has the leads of all workers, or a share of them, in this server''s tables, until the subtransaction is rolled back';

-- Only the events, which stay where they are, tell what no signal counts yet. What is common on all workers
-- together is, on one of them, at least as common as on the average.

CREATE FUNCTION leadscore_internal.event_counts_here(request jsonb) RETURNS TABLE (kind text, key text, value jsonb, events bigint)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
	SELECT c.kind, c.key, c.value, c.events
	FROM leadscore_internal.event_counts((request -> 'at_least')::bigint, (request ->> 'share')::float8, nullif(request -> 'wanted', 'null')) c
	UNION ALL
	SELECT NULL, NULL, NULL, NULL WHERE EXISTS (SELECT FROM leadscore.archive)
$$;

CREATE FUNCTION leadscore_internal.event_counts_of_workers(at_least bigint, share float8)
	RETURNS TABLE (kind text, key text, value jsonb, events bigint)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	workers CONSTANT bigint := (SELECT count(DISTINCT p.group_id) FROM leadscore_internal.placements() p);
	at_least_here CONSTANT bigint := (at_least + workers - 1) / workers;
	request CONSTANT jsonb := jsonb_build_object('at_least', at_least_here, 'share', nullif(share, 1));
	archived boolean;
	wanted jsonb;
BEGIN
	-- the ten commonest of each property, and those that may be
	WITH answer AS MATERIALIZED (
		SELECT a.* FROM leadscore_internal.ask('event_counts_here(d.request)'::text, request) AS a (kind text, key text, value jsonb, events bigint)
	), bound AS (
		SELECT a.kind, a.key, a.value, sum(a.events) AS events, sum(a.events) + (workers - count(*)) * (at_least_here - 1) AS most
		FROM answer a WHERE a.key IS NOT NULL GROUP BY a.kind, a.key, a.value
	), ranked AS (
		SELECT b.*, nth_value(b.events, 10) OVER (PARTITION BY b.kind, b.key ORDER BY b.events DESC ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS tenth
		FROM bound b
	)
	SELECT (SELECT bool_or(a.events IS NULL) FROM answer a), coalesce(jsonb_agg(jsonb_build_object('kind', r.kind, 'key', r.key, 'value', r.value)), '[]')
	INTO archived, wanted FROM ranked r WHERE r.most >= greatest(at_least, r.tenth);
	IF archived THEN
		RETURN;
	END IF;
	RETURN QUERY
	SELECT a.kind, a.key, a.value, sum(a.events)::bigint
	FROM leadscore_internal.ask('event_counts_here(d.request)'::text, request || jsonb_build_object('at_least', 1, 'wanted', wanted))
		AS a (kind text, key text, value jsonb, events bigint)
	GROUP BY a.kind, a.key, a.value
	HAVING a.key IS NULL OR sum(a.events) >= at_least;
END
$$;

CREATE FUNCTION leadscore_internal.fresh_timelines_here(request jsonb) RETURNS TABLE (lead_id text, timeline leadscore.timeline)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
	SELECT f.lead_id, f.timeline FROM leadscore_internal.fresh_timelines(request - 'share') f
	WHERE leadscore_internal.takes_part(f.lead_id, NULL::integer, nullif((request -> 'share')::float8, 1))
$$;

CREATE FUNCTION leadscore_internal.fresh_timelines_of_workers(fresh_signals jsonb) RETURNS TABLE (lead_id text, timeline leadscore.timeline)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY
	SELECT w.lead_id, leadscore_internal.stored_sum(w.timeline)
	FROM leadscore_internal.ask('fresh_timelines_here(d.request)'::text, fresh_signals) AS w (lead_id text, timeline leadscore.timeline)
	GROUP BY w.lead_id;
END
$$;

COMMENT ON FUNCTION leadscore_internal.event_counts_here(jsonb) IS 'on a worker: event_counts(); a row without a count: some events are archived, and not known';
COMMENT ON FUNCTION leadscore_internal.event_counts_of_workers(bigint, float8) IS 'event_counts() of the leads of all workers, or of a share of them: of each property, the ten commonest values at least';
COMMENT ON FUNCTION leadscore_internal.fresh_timelines_here(jsonb) IS 'on a worker: fresh_timelines() of its leads, or of a share of them';
COMMENT ON FUNCTION leadscore_internal.fresh_timelines_of_workers(jsonb) IS 'fresh_timelines() of all workers';

CREATE FUNCTION leadscore.distributed_fit(scorecard jsonb, conversion text, horizon interval, cutoffs timestamptz[],
	l2 float8 DEFAULT 1, points_to_double_odds float8 DEFAULT 20, keep_signs boolean DEFAULT false, round_to float8 DEFAULT NULL,
	active_within interval DEFAULT '90 days', bins boolean DEFAULT false, decay text DEFAULT 'keep', profile boolean DEFAULT false,
	once boolean DEFAULT false, cutoff_after interval DEFAULT NULL, lead_filter text DEFAULT NULL, pairs integer DEFAULT 0, max_weights integer DEFAULT NULL,
	share float8 DEFAULT 1) RETURNS jsonb
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	document jsonb;
BEGIN
	BEGIN
		PERFORM leadscore_internal.borrow_leads(share);
		document := leadscore.fit(scorecard, conversion, horizon, cutoffs, l2, points_to_double_odds, keep_signs, round_to, active_within, bins, decay, profile,
			once, cutoff_after, lead_filter, pairs, max_weights);
		RAISE SQLSTATE 'LS001';
	EXCEPTION WHEN SQLSTATE 'LS001' THEN
		RETURN document;
	END;
END
$$;

COMMENT ON FUNCTION leadscore.distributed_fit(jsonb, text, interval, timestamptz[], float8, float8, boolean, float8, interval, boolean, text, boolean, boolean, interval, text, integer, integer, float8)
	IS 'fit() of the leads of all workers, or of a share of them';

CREATE FUNCTION leadscore.distributed_propose(conversion text, horizon interval DEFAULT '30 days', cutoffs timestamptz[] DEFAULT NULL, model text DEFAULT 'default',
	active_within interval DEFAULT '90 days', once boolean DEFAULT false, cutoff_after interval DEFAULT NULL, events boolean DEFAULT true, profile boolean DEFAULT true,
	pairs integer DEFAULT 5, lead_filter text DEFAULT NULL, max_weights integer DEFAULT 60, share float8 DEFAULT 1) RETURNS jsonb
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	document jsonb;
BEGIN
	BEGIN
		PERFORM leadscore_internal.borrow_leads(share);
		document := leadscore_internal.proposed(conversion, horizon, cutoffs, model, active_within, once, cutoff_after, events, profile, pairs, lead_filter, max_weights, share);
		RAISE SQLSTATE 'LS001';
	EXCEPTION WHEN SQLSTATE 'LS001' THEN
		RETURN document;
	END;
END
$$;

COMMENT ON FUNCTION leadscore.distributed_propose(text, interval, timestamptz[], text, interval, boolean, interval, boolean, boolean, integer, text, integer, float8)
	IS 'propose() of the leads of all workers, or of a share of them';
