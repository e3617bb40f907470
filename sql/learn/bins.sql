-- bins.sql: what fit() may choose beside points: bands, curves and half-lives

-- private functions

CREATE FUNCTION leadscore_internal.merge_bands(fine float8[]) RETURNS float8[]
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION leadscore_internal.merge_bands(float8[]) IS 'the fewest bands that explain as much as those of fine_bands()';

CREATE FUNCTION leadscore_internal.likelihood(others float8, converted float8) RETURNS float8
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN others > 0 THEN others * ln(others / (others + converted)) ELSE 0 END
		+ CASE WHEN converted > 0 THEN converted * ln(converted / (others + converted)) ELSE 0 END
$$;

COMMENT ON FUNCTION leadscore_internal.likelihood(float8, float8) IS 'the log likelihood of so many outcomes of each kind at their own rate';

-- One weight for each thing that is measured, without bands and bounds, in the place of the first.
CREATE FUNCTION leadscore_internal.measured_once(scorecard jsonb) RETURNS jsonb
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT scorecard || jsonb_build_object('weights', (
		SELECT coalesce(jsonb_agg(m.weight ORDER BY m.n), '[]')
		FROM (
			SELECT min(w.n) AS n, CASE WHEN w.subject = 'profile' THEN (array_agg(w.weight))[1] ELSE
				((array_agg(w.weight ORDER BY w.n))[1] - '{at_least,below,min_points,max_points,category,stage,if_none}'::text[])
				|| '{"curve": "log"}' || jsonb_build_object('measure', w.key -> 1, 'points', CASE WHEN count(*) > 1 OR bool_or(w.banded) THEN 0 ELSE min((w.weight -> 'points')::float8) END)
				|| jsonb_strip_nulls(jsonb_build_object(
					'category', (array_agg(w.weight ->> 'category' ORDER BY w.n) FILTER (WHERE w.weight ->> 'category' IS NOT NULL))[1],
					'stage', (array_agg(w.weight ->> 'stage' ORDER BY w.n) FILTER (WHERE w.weight ->> 'stage' IS NOT NULL))[1])) END AS weight
			FROM (
				SELECT u.n, u.weight, s.subject, coalesce(u.weight ->> 'at_least', u.weight ->> 'below') IS NOT NULL AS banded,
					CASE WHEN s.subject = 'profile' THEN to_jsonb(u.n) ELSE jsonb_build_array(u.weight ->> 'signal', coalesce(u.weight ->> 'measure', 'count'),
						u.weight ->> 'half_life', u.weight ->> 'fades_over', u.weight ->> 'within', u.weight -> 'max_per_day', u.weight ->> 'since_signal') END AS key
				FROM jsonb_array_elements(nullif(scorecard -> 'weights', 'null')) WITH ORDINALITY AS u (weight, n)
				LEFT JOIN jsonb_to_recordset(nullif(scorecard -> 'signals', 'null')) AS s (signal text, subject text) ON s.signal = u.weight ->> 'signal'
			) w
			GROUP BY w.key, w.subject
		) m))
$$;

COMMENT ON FUNCTION leadscore_internal.measured_once(jsonb) IS 'a scorecard with one weight for each thing that is measured, without bands';

CREATE FUNCTION leadscore_internal.with_bands(scorecard jsonb, q leadscore_internal.question, OUT card jsonb, OUT bins jsonb)
	LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1 SET jit = off
AS $$
	WITH weight AS MATERIALIZED (
		SELECT w.n, w.weight, s.subject IS DISTINCT FROM 'profile' AS measured
		FROM jsonb_array_elements(nullif(scorecard -> 'weights', 'null')) WITH ORDINALITY AS w (weight, n)
		LEFT JOIN jsonb_to_recordset(nullif(scorecard -> 'signals', 'null')) AS s (signal text, subject text) ON s.signal = w.weight ->> 'signal'
	), plain AS MATERIALIZED (
		SELECT leadscore_internal.unbounded(scorecard || jsonb_build_object('weights', jsonb_agg((w.weight - 'curve') || '{"points": 1}' ORDER BY w.n))) AS card FROM weight w
	), tally AS MATERIALIZED (
		SELECT u.n, count(*) AS leads, count(*) FILTER (WHERE x.converted) AS converted, count(*) FILTER (WHERE u.measured IS NULL AND NOT x.converted) AS missing_others,
			count(*) FILTER (WHERE u.measured IS NULL AND x.converted) AS missing_converted, leadscore_internal.fine_bands(u.measured, x.converted) AS fine,
			leadscore.logistic_regression(ARRAY[u.measured], x.converted, 1::float8, NULL::float8[]) AS linear,
			leadscore.logistic_regression(ARRAY[ln(1 + greatest(u.measured, 0))], x.converted, 1::float8, NULL::float8[]) AS log
		FROM (
			SELECT leadscore_internal.past_features((SELECT p.card FROM plain p), e.timeline, e.profile, e.cutoff) AS features, e.outcome < 'infinity' AS converted
			FROM leadscore_internal.examples(q) e OFFSET 0
		) x
		CROSS JOIN LATERAL unnest(x.features) WITH ORDINALITY AS u (measured, n)
		WHERE u.n IN (SELECT w.n FROM weight w WHERE w.measured)
		GROUP BY u.n
		HAVING count(u.measured) > 0 AND count(*) FILTER (WHERE x.converted) BETWEEN 1 AND count(*) - 1
	), merged AS MATERIALIZED (
		SELECT t.*, leadscore_internal.merge_bands(t.fine) AS bands FROM tally t
	), judged AS MATERIALIZED (
		-- G. Schwarz, The Annals of Statistics 6, 1978: each parameter beside the base rate has its price
		SELECT m.*, j.in_bands, j.in_line, j.in_log, CASE WHEN j.in_bands >= greatest(j.in_line, j.in_log) THEN 'bands' WHEN j.in_log >= j.in_line THEN 'log' ELSE 'linear' END AS curve
		FROM merged m
		CROSS JOIN LATERAL (
			SELECT leadscore_internal.likelihood(m.missing_others::float8, m.missing_converted::float8) - b.base
					- ln(m.leads::float8) / 2 * (array_length(m.bands, 1) - CASE WHEN m.missing_others + m.missing_converted > 0 THEN 0 ELSE 1 END)
					+ (SELECT sum(leadscore_internal.likelihood(m.bands[i][1], m.bands[i][2])) FROM generate_series(1, array_length(m.bands, 1)) i) AS in_bands,
				(m.linear).log_likelihood - b.base - ln(m.leads::float8) / 2 AS in_line,
				(m.log).log_likelihood - b.base - ln(m.leads::float8) / 2 AS in_log
			FROM (SELECT leadscore_internal.likelihood((m.leads - m.converted)::float8, m.converted::float8) AS base) b
		) j
	), band AS MATERIALIZED (
		SELECT j.n, i, CASE WHEN i > 1 THEN j.bands[i][3] WHEN array_length(j.bands, 1) = 1 THEN least(j.bands[1][3], 0) END AS at_least, j.bands[i + 1][3] AS below,
			j.bands[i][1] + j.bands[i][2] AS leads, j.bands[i][2] AS converted,
			ln(((j.bands[i][2] + 0.5) / j.converted) / ((j.bands[i][1] + 0.5) / (j.leads - j.converted))) AS evidence
		FROM judged j CROSS JOIN LATERAL generate_series(1, array_length(j.bands, 1)) i
	)
	SELECT scorecard || jsonb_build_object('weights', coalesce((
			SELECT jsonb_agg(CASE WHEN j.n IS NULL OR j.curve <> 'bands' THEN w.weight || jsonb_build_object('curve', CASE WHEN w.measured THEN coalesce(j.curve, 'linear') ELSE coalesce(w.weight ->> 'curve', 'linear') END)
				ELSE (w.weight - 'curve' - CASE WHEN b.i = 1 THEN '' ELSE 'weight_id' END) || '{"points": 0}'
					|| jsonb_strip_nulls(jsonb_build_object('at_least', b.at_least, 'below', b.below)) END ORDER BY w.n, b.i)
			FROM weight w LEFT JOIN judged j USING (n) LEFT JOIN band b ON b.n = w.n AND j.curve = 'bands'), '[]')),
		coalesce((SELECT jsonb_agg(jsonb_build_object('signal', w.weight -> 'signal', 'measure', w.weight -> 'measure', 'curve', j.curve,
				'direction', (SELECT CASE WHEN count(*) FILTER (WHERE r.step > 0) = count(r.step) THEN 'rising' WHEN count(*) FILTER (WHERE r.step < 0) = count(r.step) THEN 'falling' ELSE 'mixed' END
					FROM (SELECT b.converted / b.leads - lag(b.converted / b.leads) OVER (ORDER BY b.i) AS step FROM band b WHERE b.n = j.n) r HAVING count(r.step) > 0),
				'gain', jsonb_build_object('bands', j.in_bands, 'linear', j.in_line, 'log', j.in_log),
				'fine_information_value', leadscore_internal.information_value(j.fine, (j.missing_others + j.missing_converted)::float8, j.missing_converted::float8),
				'information_value', leadscore_internal.information_value(j.bands, (j.missing_others + j.missing_converted)::float8, j.missing_converted::float8),
				'bands', (SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('at_least', b.at_least, 'below', b.below, 'leads', b.leads, 'conversions', b.converted, 'weight_of_evidence', b.evidence)) ORDER BY b.i)
					FROM band b WHERE b.n = j.n),
				'missing', CASE WHEN j.missing_others + j.missing_converted > 0 THEN jsonb_build_object('leads', j.missing_others + j.missing_converted, 'conversions', j.missing_converted,
					'weight_of_evidence', ln(((j.missing_converted + 0.5) / j.converted) / ((j.missing_others + 0.5) / (j.leads - j.converted)))) END) ORDER BY j.n)
			FROM judged j JOIN weight w USING (n)), '[]')
$$;

COMMENT ON FUNCTION leadscore_internal.with_bands(jsonb, leadscore_internal.question)
	IS 'a scorecard whose measured signals have bands or the curve that tells most, and how they were chosen';

-- half-lives

CREATE FUNCTION leadscore_internal.with_half_lives(scorecard jsonb, signals text[], half_life text) RETURNS jsonb
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT scorecard || jsonb_build_object('weights', (SELECT coalesce(jsonb_agg(
			CASE WHEN w.weight ->> 'signal' = ANY (signals) AND coalesce(w.weight ->> 'measure', 'count') IN ('count', 'value') AND w.weight ->> 'fades_over' IS NULL
				THEN (w.weight - 'half_life') || jsonb_strip_nulls(jsonb_build_object('half_life', half_life)) ELSE w.weight END ORDER BY w.n), '[]')
		FROM jsonb_array_elements(nullif(scorecard -> 'weights', 'null')) WITH ORDINALITY AS w (weight, n)))
$$;

COMMENT ON FUNCTION leadscore_internal.with_half_lives(jsonb, text[], text) IS 'a scorecard with one half-life for what some signals count and sum up; NULL: no decay';

CREATE FUNCTION leadscore_internal.sample_likelihood(scorecard jsonb, timelines leadscore.timeline[], profiles jsonb[], cutoffs timestamptz[], outcomes boolean[], l2 float8) RETURNS float8
	LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT (leadscore.logistic_regression(leadscore_internal.past_points((SELECT leadscore_internal.unbounded(scorecard)), u.timeline, u.profile, u.cutoff), u.outcome, greatest(l2, 0.001)::float8, NULL::float8[])).log_likelihood
	FROM unnest(timelines, profiles, cutoffs, outcomes) AS u (timeline, profile, cutoff, outcome)
$$;

COMMENT ON FUNCTION leadscore_internal.sample_likelihood(jsonb, leadscore.timeline[], jsonb[], timestamptz[], boolean[], float8)
	IS 'the log likelihood of examples, after their points are fitted';

CREATE FUNCTION leadscore_internal.learn_decay(scorecard jsonb, q leadscore_internal.question, l2 float8, OUT card jsonb, OUT decay jsonb)
	LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	most CONSTANT integer := 20000;	-- examples that are tried
	grid CONSTANT text[] := '{1 day,2 days,4 days,7 days,14 days,30 days,60 days,90 days,180 days,365 days}'::text[] || NULL::text;
	signals CONSTANT text[] := ARRAY(
		SELECT w.weight ->> 'signal'
		FROM jsonb_array_elements(nullif(scorecard -> 'weights', 'null')) WITH ORDINALITY AS w (weight, n)
		LEFT JOIN jsonb_to_recordset(nullif(scorecard -> 'signals', 'null')) AS s (signal text, subject text) ON s.signal = w.weight ->> 'signal'
		WHERE s.subject IS DISTINCT FROM 'profile' AND coalesce(w.weight ->> 'measure', 'count') IN ('count', 'value') AND w.weight ->> 'fades_over' IS NULL
		GROUP BY 1 ORDER BY min(w.n));
	n bigint;
	sample record;
	own float8;
	trial jsonb;
	trial_likelihood float8;
	best float8;
	likelihoods float8[] := '{}';
	common integer;
	chosen integer[];
	tried integer;
BEGIN
	card := scorecard;
	IF cardinality(signals) = 0 THEN
		RETURN;
	END IF;
	SELECT count(*) INTO n FROM leadscore_internal.examples(q) e;
	SELECT array_agg(e.timeline) AS timelines, array_agg(e.profile) AS profiles, array_agg(e.cutoff) AS cutoffs, array_agg(e.outcome < 'infinity') AS outcomes, count(*) AS n INTO sample
	FROM leadscore_internal.examples(q) e
	WHERE hashtextextended(e.lead_id, 1) & 1048575 < 1048576.0 * most / greatest(n, 1);
	own := leadscore_internal.sample_likelihood(scorecard, sample.timelines, sample.profiles, sample.cutoffs, sample.outcomes, l2);
	IF own IS NULL THEN
		RETURN;		-- no examples of both outcomes
	END IF;

	-- one half-life for all
	FOR i IN 1 .. cardinality(grid) LOOP
		trial := leadscore_internal.with_half_lives(scorecard, signals, grid[i]);
		trial_likelihood := leadscore_internal.sample_likelihood(trial, sample.timelines, sample.profiles, sample.cutoffs, sample.outcomes, l2);
		likelihoods := likelihoods || trial_likelihood;
		IF common IS NULL OR trial_likelihood > best THEN
			common := i;
			best := trial_likelihood;
			card := trial;
		END IF;
	END LOOP;

	-- then signal by signal, step by step, as long as it gains more than one parameter more would by chance
	chosen := array_fill(common, ARRAY[cardinality(signals)]);
	IF cardinality(signals) > 1 THEN
		FOR s IN 1 .. cardinality(signals) LOOP
			FOREACH tried IN ARRAY ARRAY[-1, 1] LOOP
				WHILE chosen[s] + tried BETWEEN 1 AND cardinality(grid) LOOP
					trial := leadscore_internal.with_half_lives(card, signals[s:s], grid[chosen[s] + tried]);
					trial_likelihood := leadscore_internal.sample_likelihood(trial, sample.timelines, sample.profiles, sample.cutoffs, sample.outcomes, l2);
					EXIT WHEN NOT trial_likelihood > best + CASE WHEN chosen[s] = common THEN ln(sample.n::float8) / 2 ELSE 0 END;
					chosen[s] := chosen[s] + tried;
					best := trial_likelihood;
					card := trial;
				END LOOP;
				EXIT WHEN chosen[s] <> common;
			END LOOP;
		END LOOP;
	END IF;
	IF own >= best THEN
		card := scorecard;
	END IF;
	decay := jsonb_build_object('leads', sample.n, 'log_likelihood_before', own, 'log_likelihood', greatest(own, best), 'kept', own >= best,
		'grid', (SELECT jsonb_agg(jsonb_build_object('half_life', grid[i], 'log_likelihood', likelihoods[i]) ORDER BY i) FROM generate_series(1, cardinality(grid)) i),
		'half_lives', (SELECT jsonb_object_agg(signals[i], CASE WHEN own >= best THEN (
				SELECT w -> 'half_life' FROM jsonb_array_elements(scorecard -> 'weights') w WHERE w ->> 'signal' = signals[i] LIMIT 1) ELSE to_jsonb(grid[chosen[i]]) END)
			FROM generate_series(1, cardinality(signals)) i));
END
$$;

COMMENT ON FUNCTION leadscore_internal.learn_decay(jsonb, leadscore_internal.question, float8)
	IS 'a scorecard with the half-lives of a grid that make what happened most likely, and how they were chosen';
