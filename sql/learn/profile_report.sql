-- profile_report.sql: the attributes that those who convert share

-- private functions

CREATE FUNCTION leadscore_internal.normal_tails(z float8) RETURNS float8
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.student_tails(t float8, degrees float8) RETURNS float8
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.student_bound(probability float8, degrees float8) RETURNS float8
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION leadscore_internal.normal_tails(float8) IS 'how often a normal variable lies as far from 0 as z, or farther';
COMMENT ON FUNCTION leadscore_internal.student_tails(float8, float8) IS 'how often a variable of Student''s distribution lies as far from 0 as t, or farther';
COMMENT ON FUNCTION leadscore_internal.student_bound(float8, float8) IS 'what a variable of Student''s distribution exceeds, up or down, with a probability';

CREATE FUNCTION leadscore_internal.profile_values(q leadscore_internal.question, min_leads integer)
	RETURNS TABLE (attribute text, value jsonb, at_least float8, below float8, leads bigint, conversions bigint, rate float8, rate_without float8, lift float8,
		information_value float8, p_value float8, verdict text, match jsonb, condition text, all_leads bigint)
	LANGUAGE sql STABLE PARALLEL SAFE ROWS 100 SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1 SET jit = off
	SET enable_sort = off	-- values are grouped by hash: to compare two jsonb costs far more
AS $$
	WITH example AS MATERIALIZED (
		SELECT CASE WHEN jsonb_typeof(e.profile) = 'object' THEN e.profile END AS profile, e.outcome < 'infinity' AS converted FROM leadscore_internal.examples(q) e
	), total AS (
		SELECT count(*) AS leads, count(*) FILTER (WHERE e.converted) AS converted FROM example e
	), attribute AS MATERIALIZED (
		SELECT e.converted, a.key, a.value, jsonb_typeof(a.value) AS type, CASE jsonb_typeof(a.value) WHEN 'number' THEN a.value::numeric END AS number
		FROM example e CROSS JOIN LATERAL jsonb_each(e.profile) a
	), counted AS MATERIALIZED (
		SELECT a.key, a.value, false AS element, min(a.number) AS number, count(*) AS leads, count(*) FILTER (WHERE a.converted) AS converted
		FROM attribute a WHERE a.type IN ('string', 'number', 'boolean') GROUP BY a.key, a.value
		UNION ALL
		SELECT a.key, v.value, true, NULL, count(*), count(*) FILTER (WHERE a.converted)
		FROM attribute a CROSS JOIN LATERAL (
			SELECT DISTINCT e.value FROM jsonb_array_elements(CASE a.type WHEN 'array' THEN a.value END) e WHERE jsonb_typeof(e.value) IN ('string', 'number', 'boolean')) v
		WHERE a.type = 'array' GROUP BY a.key, v.value
	), number AS (
		-- a number that takes many values is told in bands
		SELECT a.key, leadscore_internal.merge_bands(leadscore_internal.fine_bands(CASE WHEN abs(a.number) < 1e-300 THEN 0 ELSE a.number::float8 END, a.converted)) AS bands
		FROM attribute a
		WHERE abs(a.number) < 1e300 AND a.key IN (SELECT c.key FROM counted c WHERE abs(c.number) < 1e300 GROUP BY c.key HAVING count(*) > 12)
		GROUP BY a.key
	), found AS (
		SELECT c.key, c.value, NULL::float8 AS at_least, NULL::float8 AS below, c.leads, c.converted,
			jsonb_build_object(c.key, CASE WHEN c.element THEN jsonb_build_array(c.value) ELSE c.value END) AS match, NULL AS condition
		FROM counted c WHERE c.number IS NULL OR c.key NOT IN (SELECT n.key FROM number n)
		UNION ALL
		SELECT n.key, NULL, b.at_least, b.below, (n.bands[i][1] + n.bands[i][2])::bigint, n.bands[i][2]::bigint, NULL,
			concat_ws(' && ', '$.' || to_json(n.key) || ' >= ' || b.at_least, '$.' || to_json(n.key) || ' < ' || b.below)
		FROM number n CROSS JOIN LATERAL generate_series(1, array_length(n.bands, 1)) i
		CROSS JOIN LATERAL (SELECT CASE WHEN i > 1 THEN n.bands[i][3] END AS at_least, n.bands[i + 1][3] AS below) b
		WHERE array_length(n.bands, 1) > 1
	), judged AS (
		SELECT f.*, t.leads AS all_leads, t.converted AS all_converted, count(*) OVER () AS tests,
			leadscore_internal.normal_tails((f.converted / f.leads::float8 - (t.converted - f.converted) / nullif(t.leads - f.leads, 0)::float8)
				/ nullif(sqrt(t.converted / t.leads::float8 * (1 - t.converted / t.leads::float8) * (1 / f.leads::float8 + 1 / nullif(t.leads - f.leads, 0)::float8)), 0)) AS p
		FROM found f CROSS JOIN total t WHERE f.leads >= profile_values.min_leads
	)
	SELECT j.key, j.value, j.at_least, j.below, j.leads, j.converted, j.converted / j.leads::float8, (j.all_converted - j.converted) / nullif(j.all_leads - j.leads, 0)::float8,
		j.converted / j.leads::float8 / nullif(j.all_converted / j.all_leads::float8, 0),
		leadscore_internal.information_value(ARRAY[ARRAY[j.leads - j.converted, j.converted]]::float8[], (j.all_leads - j.leads)::float8, (j.all_converted - j.converted)::float8), j.p,
		-- as many tests as there are values: C. E. Bonferroni, 1936
		CASE WHEN j.p * j.tests < 0.05 THEN CASE WHEN j.converted * j.all_leads > j.all_converted * j.leads THEN 'more likely' ELSE 'less likely' END ELSE 'no evidence' END,
		j.match, j.condition, j.all_leads
	FROM judged j
	ORDER BY j.p, j.key, j.value, j.at_least NULLS FIRST
$$;

COMMENT ON FUNCTION leadscore_internal.profile_values(leadscore_internal.question, integer)
	IS 'values of profile attributes, and what they say about a conversion';

CREATE FUNCTION leadscore_internal.with_profile(scorecard jsonb, q leadscore_internal.question, OUT card jsonb, OUT proposed jsonb)
	LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
	WITH proposal AS MATERIALIZED (
		SELECT row_number() OVER (ORDER BY p.p_value, p.attribute, p.value, p.at_least NULLS FIRST) AS n, p.*, format('%s: %s', p.attribute, CASE WHEN p.condition IS NULL THEN p.value #>> '{}'
				ELSE concat_ws(' ', 'from ' || p.at_least, 'below ' || p.below) END) AS shown
		FROM (
			SELECT v.*, row_number() OVER attribute AS place, v.all_leads - sum(v.leads) OVER (PARTITION BY v.attribute) AS others
			FROM leadscore_internal.profile_values(q, 20) v WINDOW attribute AS (PARTITION BY v.attribute ORDER BY v.leads DESC, v.value, v.at_least NULLS FIRST)
		) p
		WHERE p.verdict <> 'no evidence'
		-- where each lead has one of the values, the commonest is what the others are compared with
		AND NOT (p.place = 1 AND p.others BETWEEN 0 AND 19)
		AND NOT EXISTS (
			SELECT FROM jsonb_to_recordset(nullif(scorecard -> 'signals', 'null')) AS s (signal text, subject text, match jsonb, condition text)
			WHERE s.subject = 'profile' AND (s.match = p.match AND s.condition IS NULL OR nullif(s.match, 'null') IS NULL AND s.condition::jsonpath::text = p.condition::jsonpath::text))
		ORDER BY n
		LIMIT 50
	), fresh AS (
		SELECT p.n, jsonb_strip_nulls(jsonb_build_object('signal', p.name, 'subject', 'profile', 'match', p.match, 'condition', p.condition,
				-- a signal of the shop's own keeps what it is described as
				'description', CASE WHEN o.signal IS NULL THEN 'proposed: ' || p.shown ELSE o.description END)) AS signal,
			jsonb_build_object('signal', p.name, 'measure', 'present', 'points', 0) AS weight, p
		-- what reads the same, such as the text "5" and the number 5, is told apart by what it matches
		FROM (SELECT r.*, CASE WHEN count(*) OVER (PARTITION BY r.shown) > 1 THEN coalesce(r.match::text, r.condition) ELSE r.shown END AS name FROM proposal r) p
		LEFT JOIN leadscore.signal o ON o.signal = p.name
		WHERE NOT EXISTS (SELECT FROM jsonb_to_recordset(nullif(scorecard -> 'signals', 'null')) AS s (signal text) WHERE s.signal = p.name)
		AND (o.signal IS NULL OR o.subject = 'profile' AND o.match IS NOT DISTINCT FROM p.match AND o.condition::text IS NOT DISTINCT FROM p.condition::jsonpath::text)
	)
	SELECT scorecard || jsonb_build_object(
			'signals', coalesce(nullif(scorecard -> 'signals', 'null'), '[]') || coalesce((SELECT jsonb_agg(f.signal ORDER BY f.n) FROM fresh f), '[]'),
			'weights', coalesce(nullif(scorecard -> 'weights', 'null'), '[]') || coalesce((SELECT jsonb_agg(f.weight ORDER BY f.n) FROM fresh f), '[]')),
		coalesce((SELECT jsonb_agg(f.signal || jsonb_build_object('leads', (f.p).leads, 'conversions', (f.p).conversions, 'lift', (f.p).lift,
			'information_value', (f.p).information_value, 'p_value', (f.p).p_value) ORDER BY f.n) FROM fresh f), '[]')
$$;

COMMENT ON FUNCTION leadscore_internal.with_profile(jsonb, leadscore_internal.question)
	IS 'a scorecard with weights for the profile values that tell, without points as yet';

-- which profiles convert

CREATE FUNCTION leadscore.profile_report(conversion text, horizon interval, cutoffs timestamptz[], active_within interval DEFAULT '90 days', min_leads integer DEFAULT 20)
	RETURNS TABLE (attribute text, value jsonb, at_least float8, below float8, leads bigint, conversions bigint, rate float8, rate_without float8, lift float8,
		information_value float8, p_value float8, verdict text, match jsonb, condition text)
	LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 100 SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	q leadscore_internal.question;
BEGIN
	q := leadscore_internal.check_outcome('{"model": "profile"}'::jsonb, conversion, horizon, cutoffs, active_within);
	IF min_leads IS NULL OR min_leads < 1 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'min_leads is below one',
			DETAIL = format('The value is %s.', coalesce(min_leads::text, 'NULL')), HINT = 'Write a whole number such as 20.';
	END IF;
	PERFORM leadscore_internal.warn_of_censoring(q);
	q.profiles := true;
	RETURN QUERY
		SELECT p.attribute, p.value, p.at_least, p.below, p.leads, p.conversions, p.rate, p.rate_without, p.lift, p.information_value, p.p_value, p.verdict, p.match, p.condition
		FROM leadscore_internal.profile_values(q, profile_report.min_leads) p;
END
$$;

COMMENT ON FUNCTION leadscore.profile_report(text, interval, timestamptz[], interval, integer)
	IS 'the profile attributes that converting leads share and others do not';
