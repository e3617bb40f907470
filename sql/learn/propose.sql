-- propose.sql: a whole card from events and profiles, in one call

-- private functions

CREATE FUNCTION leadscore_internal.learn_transition(internal, jsonb, leadscore.timeline, jsonb, timestamptz, boolean, bigint, float8, integer, integer, float8, integer, float8, boolean) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 20;

CREATE FUNCTION leadscore_internal.learn_final(internal) RETURNS jsonb
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION leadscore_internal.learn_transition(internal, jsonb, leadscore.timeline, jsonb, timestamptz, boolean, bigint, float8, integer, integer, float8, integer, float8, boolean)
	IS 'aggregate transition function';
COMMENT ON FUNCTION leadscore_internal.learn_final(internal) IS 'aggregate final function';

CREATE AGGREGATE leadscore_internal.learn(measures jsonb, timeline leadscore.timeline, profile jsonb, cutoff timestamptz, converted boolean, hash bigint, own_points float8,
	max_weights integer, pairs integer, l2 float8, bins integer, slope float8, whole_points boolean) (
	SFUNC = leadscore_internal.learn_transition,
	STYPE = internal,
	SSPACE = 1000000,
	FINALFUNC = leadscore_internal.learn_final,
	PARALLEL = safe
);

COMMENT ON AGGREGATE leadscore_internal.learn(jsonb, leadscore.timeline, jsonb, timestamptz, boolean, bigint, float8, integer, integer, float8, integer, float8, boolean)
	IS 'terms that predict a conversion, chosen by cross-validation, and how they were chosen';

-- (A document of new signals that has a "share" comes from the workers of Citus, which have the events.)
CREATE FUNCTION leadscore_internal.fresh_timelines(fresh_signals jsonb) RETURNS TABLE (lead_id text, timeline leadscore.timeline)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
	SELECT s.lead_id, s.timeline FROM leadscore_internal.source_timelines(NULL::text[], fresh_signals, true) s
	WHERE fresh_signals IS NOT NULL AND NOT fresh_signals ? 'share' AND leadscore_internal.is_visible(s.lead_id) AND NOT leadscore_internal.is_excluded(s.lead_id)
	UNION ALL
	SELECT w.lead_id, w.timeline FROM leadscore_internal.fresh_timelines_of_workers(fresh_signals) w WHERE fresh_signals ? 'share'
$$;

COMMENT ON FUNCTION leadscore_internal.fresh_timelines(jsonb) IS 'what signals that are not there yet would have counted, of leads that count; NULL: nothing';

-- The filter sees a lead's name and profile, and nothing else.
CREATE FUNCTION leadscore_internal.fresh_pasts(fresh_signals jsonb, everybody boolean, lead_filter text)
	RETURNS TABLE (lead_id text, timeline leadscore.timeline, profile jsonb)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
BEGIN
	RETURN QUERY EXECUTE format('SELECT p.lead_id, p.timeline, p.profile FROM %s p WHERE (SELECT (%s) FROM (SELECT p.lead_id, p.profile) lead)',
		CASE WHEN fresh_signals IS NULL THEN 'leadscore_internal.pasts(true, $1)'
			ELSE '(SELECT coalesce(o.lead_id, f.lead_id) AS lead_id, CASE WHEN f.timeline IS NULL THEN o.timeline WHEN o.timeline IS NULL THEN f.timeline ELSE o.timeline OPERATOR(leadscore.+) f.timeline END AS timeline, o.profile
				FROM leadscore_internal.pasts(true, true) o FULL JOIN leadscore_internal.fresh_timelines($2) f ON f.lead_id = o.lead_id)' END,
		coalesce(lead_filter, 'true'))
	USING everybody, fresh_signals;
END
$$;

COMMENT ON FUNCTION leadscore_internal.fresh_pasts(jsonb, boolean, text)
	IS 'pasts() of the leads that a condition holds for, with what signals that are not there yet would have counted';

CREATE FUNCTION leadscore_internal.fresh_examples(q leadscore_internal.question, fresh_signals jsonb)
	RETURNS TABLE (lead_id text, cutoff timestamptz, timeline leadscore.timeline, profile jsonb, outcome timestamptz)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	SELECT x.lead_id, x.cutoff, x.timeline, x.profile, x.outcome
	FROM (
		SELECT p.lead_id, o.cutoff, p.timeline, p.profile, o.outcome
		FROM leadscore_internal.fresh_pasts(fresh_signals, (q).active_hours IS NULL, (q).lead_filter) p
		CROSS JOIN LATERAL leadscore_internal.outcomes_at(q, p.timeline) o
		OFFSET 0
	) x
	WHERE x.outcome IS NOT NULL;
END;

COMMENT ON FUNCTION leadscore_internal.fresh_examples(leadscore_internal.question, jsonb) IS 'examples(), with what signals that are not there yet would have counted';

CREATE FUNCTION leadscore_internal.data_range(fresh_signals jsonb, OUT data_start timestamptz, OUT data_end timestamptz)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	zone CONSTANT text := leadscore_internal.default_time_zone();
	only_days boolean;
BEGIN
	-- a few strays from long ago say nothing of how long the data are
	SELECT percentile_disc(0.05) WITHIN GROUP (ORDER BY leadscore_internal.timeline_start(t.timeline)), max(leadscore.timeline_last_hour(t.timeline)),
		bool_and(leadscore_internal.is_midnight(leadscore.timeline_last_hour(t.timeline), zone))
	INTO data_start, data_end, only_days
	FROM (
		SELECT p.timeline FROM leadscore_internal.pasts(false, false) p
		UNION ALL
		SELECT f.timeline FROM leadscore_internal.fresh_timelines(data_range.fresh_signals) f
	) t;
	IF data_end IS NOT NULL THEN
		data_end := leadscore_internal.end_of(data_end, only_days);
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.data_range(jsonb, OUT timestamptz, OUT timestamptz) IS 'from when to when there are events of leads that count, but for strays at the beginning';

CREATE FUNCTION leadscore_internal.event_counts(at_least bigint, share float8 DEFAULT NULL, wanted jsonb DEFAULT NULL)
	RETURNS TABLE (kind text, key text, value jsonb, events bigint)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
	SELECT e.kind, NULL::text, NULL::jsonb, count(*) FROM leadscore_internal.log_events(NULL::text[]) e
	WHERE NOT leadscore_internal.is_excluded(e.lead_id) AND leadscore_internal.takes_part(e.lead_id, NULL::integer, share)
	GROUP BY e.kind
	UNION ALL
	SELECT e.kind, p.key, p.value, count(*)
	FROM leadscore_internal.log_events(NULL::text[]) e
	CROSS JOIN LATERAL jsonb_each(CASE WHEN jsonb_typeof(e.properties) = 'object' THEN e.properties END) p
	WHERE jsonb_typeof(p.value) IN ('string', 'number', 'boolean') AND octet_length(p.value::text) <= 100
	AND NOT leadscore_internal.is_excluded(e.lead_id) AND leadscore_internal.takes_part(e.lead_id, NULL::integer, share)
	AND (wanted IS NULL OR (e.kind, p.key, p.value) IN (SELECT w.kind, w.key, w.value FROM jsonb_to_recordset(wanted) AS w (kind text, key text, value jsonb)))
	GROUP BY e.kind, p.key, p.value
	HAVING count(*) >= at_least
$$;

COMMENT ON FUNCTION leadscore_internal.event_counts(bigint, float8, jsonb)
	IS 'how many events of leads that count there are of each kind (key NULL), and with each value of a property, if there are so many; of a share of the leads, of some values';

-- What no signal counts yet: each kind, anything at all, and the commonest values of properties. Their numbers are
-- none that timelines have. (share NULL: of the events of this server.)
CREATE FUNCTION leadscore_internal.fresh_signals(share float8 DEFAULT NULL) RETURNS jsonb
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
	WITH counted AS MATERIALIZED (
		SELECT c.* FROM leadscore_internal.event_counts(20::bigint, NULL::float8, NULL::jsonb) c WHERE share IS NULL
		UNION ALL
		SELECT w.* FROM leadscore_internal.event_counts_of_workers(20::bigint, share) w WHERE share IS NOT NULL
	), kind AS MATERIALIZED (
		SELECT c.kind, c.events FROM counted c WHERE c.key IS NULL
	), value AS (
		SELECT c.* FROM counted c WHERE c.key IS NOT NULL
	), common AS (
		SELECT v.kind, jsonb_build_object(v.key, v.value) AS match, concat(v.kind, ' ', v.key, ': ', v.value #>> '{}') AS reads, v.events, row_number() OVER (PARTITION BY v.kind, v.key ORDER BY v.events DESC, v.value) AS place
		FROM value v JOIN kind k ON k.kind = v.kind
		WHERE v.events < k.events
	), definition AS (
		(SELECT 1 AS family, NULL::text AS kind, NULL::jsonb AS match, 'any event' AS reads, 0::bigint AS events)
		UNION ALL (SELECT 2, k.kind, NULL, k.kind, k.events FROM kind k ORDER BY k.events DESC, k.kind LIMIT 100)
		UNION ALL (SELECT 3, c.kind, c.match, c.reads, c.events FROM common c WHERE c.place <= 10 ORDER BY c.events DESC, c.reads LIMIT 50)
	), fresh AS (
		SELECT d.*, row_number() OVER (ORDER BY d.family, d.events DESC, d.reads, d.match) AS n
		FROM definition d
		WHERE EXISTS (SELECT FROM kind)
		-- (of what nothing has counted, archived events are not known)
		AND NOT EXISTS (SELECT FROM leadscore.archive)
		AND NOT EXISTS (SELECT FROM leadscore.signal s WHERE s.subject = 'event' AND s.kind IS NOT DISTINCT FROM d.kind AND s.match IS NOT DISTINCT FROM d.match AND s.condition IS NULL)
	)
	SELECT jsonb_build_object('signals', jsonb_agg(jsonb_strip_nulls(jsonb_build_object('signal_id', 2147480000 + f.n, 'kind', f.kind, 'match', f.match,
		-- 42 and "42" are two values
		'signal', CASE WHEN EXISTS (SELECT FROM leadscore.signal s WHERE s.signal = f.reads) OR EXISTS (SELECT FROM fresh o WHERE o.reads = f.reads AND o.n < f.n) THEN concat_ws(' ', 'kind', f.kind, f.match) ELSE f.reads END)) ORDER BY f.n)) || CASE WHEN share IS NULL THEN '{}' ELSE jsonb_build_object('share', share) END
	FROM fresh f
	HAVING count(*) > 0
$$;

COMMENT ON FUNCTION leadscore_internal.fresh_signals(float8) IS 'signals for the most frequent kinds of events, and values of their properties, that none counts yet; NULL: there are none';

CREATE FUNCTION leadscore_internal.measures_document(signals jsonb, span interval) RETURNS jsonb
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	WITH signal AS (
		SELECT s.n, s.signal -> 'signal' AS name, s.signal ->> 'kind' IS NULL AND NOT s.signal ?| '{match,condition}' AS is_any,
			-- values of properties that nobody has asked for are counted as a whole
			s.signal ? 'match' AND (s.signal -> 'signal_id')::bigint > 2147480000 AS is_value
		FROM jsonb_array_elements(signals) WITH ORDINALITY AS s (signal, n)
	), window_length AS (
		-- the longest that are not longer than half of what is known
		SELECT w.length, row_number() OVER (ORDER BY w.length::interval DESC) AS n
		FROM unnest('{6 hours,1 day,3 days,7 days,30 days,90 days,180 days}'::text[]) AS w (length)
		WHERE w.length::interval <= span / 2
	), measure AS (
		SELECT s.n, s.name, 1 AS family, m.measure, NULL::text AS within, NULL::text AS half_life FROM signal s CROSS JOIN unnest('{count,value,active_days,days_since_last,days_since_first}'::text[]) AS m (measure)
			WHERE CASE WHEN s.is_any THEN m.measure IN ('days_since_last', 'days_since_first') WHEN s.is_value THEN m.measure IN ('count', 'days_since_last') ELSE m.measure <> 'days_since_first' END
		UNION ALL SELECT s.n, s.name, 2, 'count', w.length, NULL FROM signal s JOIN window_length w ON w.n <= 4 WHERE NOT s.is_value AND NOT s.is_any AND (SELECT count(*) FROM signal o WHERE NOT o.is_value) <= 80
		UNION ALL SELECT s.n, s.name, 3, 'count', NULL, w.length FROM signal s JOIN window_length w ON w.n <= 3 WHERE NOT s.is_value AND NOT s.is_any AND (SELECT count(*) FROM signal o WHERE NOT o.is_value) <= 80
	)
	SELECT jsonb_build_object('model', 'measures', 'signals', signals,
		'weights', coalesce((SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('signal', m.name, 'measure', m.measure, 'within', m.within, 'half_life', m.half_life, 'points', 1)) ORDER BY m.n, m.family, m.within::interval, m.half_life::interval, m.measure)
			FROM measure m), '[]'))
$$;

COMMENT ON FUNCTION leadscore_internal.measures_document(jsonb, interval) IS 'a scorecard that measures signals in all the ways that may tell';

-- What was proposed is of this category, and its signals are described so.
CREATE FUNCTION leadscore_internal.without_proposed(document jsonb) RETURNS jsonb
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT leadscore_internal.without_unused(document || jsonb_build_object(
		'weights', (SELECT coalesce(jsonb_agg(w.weight ORDER BY w.n), '[]') FROM jsonb_array_elements(nullif(document -> 'weights', 'null')) WITH ORDINALITY AS w (weight, n)
			WHERE w.weight ->> 'category' IS DISTINCT FROM 'learned'),
		'rules', (SELECT coalesce(jsonb_agg(r.rule ORDER BY r.n), '[]') FROM jsonb_array_elements(nullif(document -> 'rules', 'null')) WITH ORDINALITY AS r (rule, n)
			WHERE r.rule ->> 'category' IS DISTINCT FROM 'learned'),
		'categories', (SELECT coalesce(jsonb_agg(c.category ORDER BY c.n), '[]') FROM jsonb_array_elements(nullif(document -> 'categories', 'null')) WITH ORDINALITY AS c (category, n)
			WHERE c.category ->> 'category' <> 'learned')))
$$;

COMMENT ON FUNCTION leadscore_internal.without_proposed(jsonb) IS 'a scorecard document without what propose() has put into it';

CREATE FUNCTION leadscore_internal.proposed_name(reads text) RETURNS jsonb
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	-- behind a bar a label has a plural
	SELECT jsonb_strip_nulls(jsonb_build_object('label', CASE WHEN strpos(reads, '|') = 0 AND leadscore_internal.label_fault(reads) IS NULL THEN reads END, 'description', 'proposed: ' || reads))
$$;

COMMENT ON FUNCTION leadscore_internal.proposed_name(text) IS 'label and description of a signal that is proposed';

-- The signal of a test of a profile: what it looks for, and how it reads.
CREATE FUNCTION leadscore_internal.profile_test(test jsonb, OUT match jsonb, OUT condition text, OUT reads text)
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN test ? 'value' THEN jsonb_build_object(test ->> 'attribute', test -> 'value')
			WHEN test ? 'element' THEN jsonb_build_object(test ->> 'attribute', jsonb_build_array(test -> 'element')) END,
		CASE WHEN test ? 'absent' THEN format('!exists($.%s)', to_json(test ->> 'attribute')) WHEN test ? 'at_least' THEN format('$.%s >= %s', to_json(test ->> 'attribute'), test -> 'at_least') END,
		format('%s: %s', test ->> 'attribute', CASE WHEN test ? 'absent' THEN 'none' WHEN test ? 'at_least' THEN 'from ' || (test ->> 'at_least') ELSE coalesce(test ->> 'value', test ->> 'element') END)
$$;

COMMENT ON FUNCTION leadscore_internal.profile_test(jsonb, OUT jsonb, OUT text, OUT text) IS 'a profile signal''s definition, from a test that was learned';

-- Names of signals for tests of profiles: one that looks for the same is used again, a name that is taken gives way.
CREATE FUNCTION leadscore_internal.profile_test_signals(tests jsonb) RETURNS TABLE (test jsonb, signal text, document jsonb)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT t.test, n.signal, jsonb_strip_nulls(jsonb_build_object('signal', n.signal, 'subject', 'profile', 'match', d.match, 'condition', d.condition) || leadscore_internal.proposed_name(d.reads))
	FROM (SELECT DISTINCT e.test - '{points,leads}'::text[] AS test FROM jsonb_array_elements(tests) AS e (test)) t
	CROSS JOIN LATERAL leadscore_internal.profile_test(t.test) d
	CROSS JOIN LATERAL (SELECT coalesce(
		(SELECT min(s.signal) FROM leadscore.signal s WHERE s.subject = 'profile' AND s.match IS NOT DISTINCT FROM d.match AND s.condition::text IS NOT DISTINCT FROM d.condition::jsonpath::text AND s.description = 'proposed: ' || d.reads),
		CASE WHEN EXISTS (SELECT FROM leadscore.signal s WHERE s.signal = d.reads) OR d.reads ~ '^.*: ([0-9.eE+-]+|true|false)$' AND jsonb_typeof(t.test -> 'value') = 'string'
			THEN coalesce(d.match::text, d.condition) ELSE d.reads END) AS signal) n
$$;

COMMENT ON FUNCTION leadscore_internal.profile_test_signals(jsonb) IS 'signals for tests of profiles that were learned';

CREATE FUNCTION leadscore_internal.learned_document(card jsonb, measures jsonb, learned jsonb, conversion text) RETURNS jsonb
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH term AS MATERIALIZED (
		SELECT t.n, t.term FROM jsonb_array_elements(learned -> 'terms') WITH ORDINALITY AS t (term, n)
	), part AS MATERIALIZED (
		SELECT t.n, b.n AS place, coalesce(b.test, t.term) AS test FROM term t LEFT JOIN LATERAL jsonb_array_elements(t.term -> 'both') WITH ORDINALITY AS b (test, n) ON true
	), profile AS MATERIALIZED (
		SELECT * FROM leadscore_internal.profile_test_signals((SELECT coalesce(jsonb_agg(p.test), '[]') FROM part p WHERE p.test ? 'attribute'))
	), condition AS MATERIALIZED (
		SELECT p.n, p.place, p.test, f.signal AS profile_signal, (measures -> 'weights' -> ((p.test -> 'measure')::integer - 1)) - 'points' AS measure
		FROM part p LEFT JOIN profile f ON f.test = p.test - '{points,leads}'::text[]
	), weight AS (
		SELECT c.n, CASE WHEN c.profile_signal IS NOT NULL THEN jsonb_build_object('signal', c.profile_signal, 'measure', 'present', 'points', t.term -> 'points')
			WHEN t.term ? 'absent' THEN c.measure || jsonb_build_object('at_least', 0, 'points', 0, 'if_none', t.term -> 'points')
			ELSE c.measure || jsonb_build_object('at_least', t.term -> 'at_least', 'points', t.term -> 'points') END || '{"category": "learned"}' AS weight
		FROM term t JOIN condition c USING (n) WHERE NOT t.term ? 'both'
	), rule AS (
		SELECT t.n, jsonb_build_object('rule', string_agg(CASE WHEN c.profile_signal IS NOT NULL THEN c.profile_signal
					ELSE concat_ws(' ', c.measure ->> 'signal', c.measure ->> 'measure', 'from', c.test ->> 'at_least', 'within ' || (c.measure ->> 'within')) END, ' and ' ORDER BY c.place),
				'all_of', jsonb_agg(CASE WHEN c.profile_signal IS NOT NULL THEN jsonb_build_object('signal', c.profile_signal) ELSE c.measure || jsonb_build_object('at_least', c.test -> 'at_least') END ORDER BY c.place),
				'points', t.term -> 'points', 'category', 'learned') AS rule
		FROM term t JOIN condition c USING (n) WHERE t.term ? 'both' GROUP BY t.n, t.term
	)
	SELECT card || jsonb_build_object('intercept', learned -> 'intercept', 'slope', learned -> 'slope',
		'signals', (SELECT coalesce(jsonb_agg(s.signal ORDER BY s.from_card DESC, s.n), '[]') FROM (
			SELECT DISTINCT ON (u.signal ->> 'signal') u.signal, u.from_card, u.n FROM (
				SELECT s.signal, true AS from_card, s.n FROM jsonb_array_elements(nullif(card -> 'signals', 'null')) WITH ORDINALITY AS s (signal, n)
				UNION ALL SELECT m.signal - CASE WHEN (m.signal -> 'signal_id')::bigint > 2147480000 THEN 'signal_id' ELSE '' END, false, m.n
				FROM jsonb_array_elements(measures -> 'signals') WITH ORDINALITY AS m (signal, n) WHERE m.signal ->> 'signal' = conversion OR m.signal ->> 'signal' IN (SELECT c.measure ->> 'signal' FROM condition c)
				UNION ALL SELECT f.document, false, 1000000 + row_number() OVER (ORDER BY f.signal) FROM profile f
			) u ORDER BY u.signal ->> 'signal', u.from_card DESC) s),
		'weights', coalesce(nullif(card -> 'weights', 'null'), '[]') || (SELECT coalesce(jsonb_agg(w.weight ORDER BY w.n), '[]') FROM weight w),
		'rules', coalesce(nullif(card -> 'rules', 'null'), '[]') || (SELECT coalesce(jsonb_agg(r.rule ORDER BY r.n), '[]') FROM rule r),
		'categories', coalesce(nullif(card -> 'categories', 'null'), '[]') || '[{"category": "learned"}]')
$$;

COMMENT ON FUNCTION leadscore_internal.learned_document(jsonb, jsonb, jsonb, text) IS 'a scorecard document with the terms that were learned';

CREATE FUNCTION leadscore_internal.report_text(conversion text, horizon interval, learned jsonb, document jsonb) RETURNS text
	LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT concat_ws(E'\n',
		format('Learned from %s leads, of which %s had "%s" within %s.', learned -> 'leads', learned -> 'conversions', conversion, horizon),
		format('Of two leads, one of which converts, the model ranks that one higher in %s %% of cases (+/- %s): judged by leads that it had not seen.',
			round((learned -> 'auc_cross_validated')::numeric * 100, 1), round((learned -> 'auc_error')::numeric * 196, 1)),
		format('The card has %s weights and %s %s; to tell the model in so few whole points costs %s %% of cases.', jsonb_array_length(document -> 'weights'), jsonb_array_length(document -> 'rules'),
			CASE WHEN jsonb_array_length(document -> 'rules') = 1 THEN 'rule' ELSE 'rules' END,
			round(greatest((learned -> 'auc_fine')::numeric - (learned -> 'auc_card')::numeric, 0) * 100, 2)),
		(SELECT 'What brings most points: ' || string_agg(format('%s (%s)', x.reads, x.points), ', ' ORDER BY abs(x.points) DESC, x.reads) || '.'
			FROM (
				SELECT t.reads, t.points
				FROM (
					SELECT concat_ws(' ', w ->> 'signal', nullif(w ->> 'measure', 'present'), 'from ' || (w ->> 'at_least'), 'within ' || (w ->> 'within')) AS reads, (w -> 'points')::numeric AS points
					FROM jsonb_array_elements(document -> 'weights') w
					UNION ALL SELECT r ->> 'rule', (r -> 'points')::numeric FROM jsonb_array_elements(document -> 'rules') r
				) t
				ORDER BY abs(t.points) DESC, t.reads
				LIMIT 5
			) x),
		(SELECT 'Left out: ' || string_agg(format('%s (%s)', l ->> 'attribute', l ->> 'reason'), ', ' ORDER BY l ->> 'attribute') || '.' FROM jsonb_array_elements(learned -> 'left_out') l))
$$;

COMMENT ON FUNCTION leadscore_internal.report_text(text, interval, jsonb, jsonb) IS 'the report of propose() for people';

-- What is new here has no timelines yet: its limits are those of the leads that it was learned from.
CREATE FUNCTION leadscore_internal.with_segments(document jsonb, limits jsonb, at timestamptz) RETURNS jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	counted CONSTANT boolean := NOT EXISTS (SELECT FROM leadscore_internal.document_signals(document) d WHERE d.subject = 'event' AND NOT EXISTS (SELECT FROM leadscore.signal s WHERE s.signal = d.signal))
		AND EXISTS (SELECT FROM leadscore_internal.visible_lead);
	proposed CONSTANT jsonb := jsonb_build_array(jsonb_build_object('segment', 'high', 'position', 1, 'min_score', limits -> 0),
		jsonb_build_object('segment', 'medium', 'position', 2, 'min_score', limits -> 1), jsonb_build_object('segment', 'low', 'position', 3));
BEGIN
	IF EXISTS (SELECT FROM jsonb_array_elements(nullif(document -> 'segments', 'null'))) THEN
		RETURN CASE WHEN counted THEN leadscore.segment_limits(document, NULL::jsonb, at) ELSE document END;
	END IF;
	document := document || jsonb_build_object('segments', proposed);
	RETURN CASE WHEN counted THEN leadscore.segment_limits(document, '{"high": 0.1, "medium": 0.3}'::jsonb, at) ELSE document END;
END
$$;

COMMENT ON FUNCTION leadscore_internal.with_segments(jsonb, jsonb, timestamptz) IS 'a proposed document with segments, or new limits for those that it has';

-- propose

CREATE FUNCTION leadscore_internal.proposed(conversion text, horizon interval, cutoffs timestamptz[], model text, active_within interval, once boolean, cutoff_after interval,
	events boolean, profile boolean, pairs integer, lead_filter text, max_weights integer, share float8) RETURNS jsonb
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1 SET IntervalStyle = 'postgres' SET TimeZone = 'UTC' SET jit = off
AS $$
DECLARE
	slope CONSTANT float8 := ln(2::float8) / 20;	-- of a point: twenty double the odds
	fresh jsonb;
	data record;
	q leadscore_internal.question;
	instants timestamptz[] := cutoffs;
	own jsonb;
	bare jsonb;
	measured jsonb;
	measures jsonb;
	learned jsonb;
	document jsonb;
BEGIN
	IF pairs < 0 OR max_weights < 1 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = CASE WHEN pairs < 0 THEN 'pairs is below zero' ELSE 'max_weights is below one' END,
			DETAIL = format('The value is %s.', CASE WHEN pairs < 0 THEN pairs ELSE max_weights END), HINT = 'Write a whole number such as 5 pairs, or 60 weights; NULL weights are any number.';
	END IF;
	fresh := leadscore_internal.fresh_signals(share);
	data := leadscore_internal.data_range(fresh);
	IF data.data_end IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = 'there are no events',
			DETAIL = 'A conversion is an event.', HINT = 'Track a table, or insert events, first.';
	END IF;
	IF instants IS NULL AND cutoff_after IS NULL THEN
		instants := ARRAY(SELECT date_trunc('hour', data.data_end, 'UTC') - n * horizon FROM generate_series(3, 1, -1) n
			WHERE n = 1 OR date_trunc('hour', data.data_end, 'UTC') - n * horizon > data.data_start ORDER BY 1);
	END IF;
	own := CASE WHEN EXISTS (SELECT FROM leadscore.model m WHERE m.model = proposed.model) THEN leadscore_internal.without_proposed(leadscore.scorecard(model)) - '{floor,ceiling}'::text[]
		ELSE jsonb_build_object('model', model) END;
	measured := coalesce((SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('signal', s.signal, 'signal_id', s.signal_id, 'kind', s.kind, 'match', s.match, 'condition', s.condition, 'label', s.label, 'description', s.description)) ORDER BY s.signal_id)
			FROM leadscore.signal s WHERE s.subject = 'event'), '[]') || coalesce((
			SELECT jsonb_agg(f.signal || CASE WHEN f.signal ? 'match' OR NOT f.signal ? 'kind' THEN leadscore_internal.proposed_name(f.signal ->> 'signal') ELSE '{}' END ORDER BY f.n)
			FROM jsonb_array_elements(fresh -> 'signals') WITH ORDINALITY AS f (signal, n)), '[]');
	q := leadscore_internal.check_outcome(own || jsonb_build_object('signals', coalesce(nullif(own -> 'signals', 'null'), '[]') || coalesce((
			SELECT jsonb_agg(f) FROM jsonb_array_elements(fresh -> 'signals') f WHERE f ->> 'signal' = conversion), '[]')), conversion, horizon, instants, active_within,
		once, cutoff_after, lead_filter);
	q.data_end := data.data_end;
	PERFORM leadscore_internal.warn_of_censoring(q);
	measures := leadscore_internal.measures_document(CASE WHEN events THEN measured ELSE '[]' END, data.data_end - data.data_start) || jsonb_build_object('signals', measured);
	bare := CASE WHEN EXISTS (SELECT FROM jsonb_array_elements(own -> 'weights') w WHERE (w -> 'points')::float8 <> 0) THEN leadscore_internal.unbounded(own) END;

	PERFORM leadscore_internal.begin_progress('propose'::text, q.signal_id::oid), leadscore_internal.report_progress('propose'::text, 'reading'::text, 0::bigint, NULL::bigint);
	learned := (
		SELECT leadscore_internal.learn(measures, e.timeline, CASE WHEN proposed.profile THEN e.profile END, e.cutoff, e.outcome < 'infinity', hashtextextended(e.lead_id, 0),
			leadscore_internal.past_score(bare, e.timeline, e.profile, e.cutoff), max_weights, pairs, NULL::float8, NULL::integer, slope, true)
		-- in one order, wherever the rows lie: what is chosen depends on the last digits of sums
		FROM (SELECT x.* FROM leadscore_internal.fresh_examples(q, fresh) x ORDER BY x.lead_id COLLATE "C", x.cutoff) e);
	IF learned -> 'terms' IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'there is too little to learn from',
			DETAIL = format('Of %s leads at the cutoffs %s converted within the horizon.', coalesce(learned -> 'leads', '0'), coalesce(learned -> 'conversions', '0')),
			HINT = 'At least 20 conversions are wanted, and leads that did not convert: choose other cutoffs, a longer horizon or another conversion.';
	END IF;
	PERFORM leadscore_internal.report_progress('propose'::text, 'writing'::text, NULL::bigint, NULL::bigint);
	document := leadscore_internal.learned_document(CASE WHEN bare IS NULL THEN own
			ELSE leadscore_internal.with_points(bare, array_fill(coalesce((learned -> 'own')::float8 / slope, 0), ARRAY[(SELECT count(*)::integer FROM leadscore_internal.card_terms(bare))]), NULL) END,
		measures, learned, conversion);
	document := leadscore_internal.with_segments(document, learned -> 'limits', data.data_end);
	PERFORM leadscore_internal.end_progress('propose'::text);
	RETURN document || jsonb_build_object('report', (learned - '{terms,intercept,slope,limits}'::text[]) || jsonb_build_object('conversion', conversion, 'horizon', horizon,
		'cutoffs', instants, 'cutoff_after', cutoff_after, 'active_within', active_within, 'once', q.once, 'lead_filter', lead_filter,
		'loss_of_coarsening', (learned -> 'auc_fine')::float8 - (learned -> 'auc_card')::float8,
		'text', leadscore_internal.report_text(conversion, horizon, learned, document)));
END
$$;

COMMENT ON FUNCTION leadscore_internal.proposed(text, interval, timestamptz[], text, interval, boolean, interval, boolean, boolean, integer, text, integer, float8)
	IS 'propose() of the leads that are here, and of the events here or (share of leads not NULL) on the workers of Citus';

CREATE FUNCTION leadscore.propose(conversion text, horizon interval DEFAULT '30 days', cutoffs timestamptz[] DEFAULT NULL, model text DEFAULT 'default', active_within interval DEFAULT '90 days',
	once boolean DEFAULT false, cutoff_after interval DEFAULT NULL, events boolean DEFAULT true, profile boolean DEFAULT true, pairs integer DEFAULT 5,
	lead_filter text DEFAULT NULL, max_weights integer DEFAULT 60) RETURNS jsonb
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT leadscore_internal.proposed(conversion, horizon, cutoffs, model, active_within, once, cutoff_after, events, profile, pairs, lead_filter, max_weights, NULL::float8)
$$;

COMMENT ON FUNCTION leadscore.propose(text, interval, timestamptz[], text, interval, boolean, interval, boolean, boolean, integer, text, integer)
	IS 'a scorecard document that predicts a conversion, from all that events and profiles say, with a report';
