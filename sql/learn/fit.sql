-- fit.sql: points from what happened

-- regression

CREATE TYPE leadscore.regression AS (
	rows bigint,
	conversions bigint,
	intercept float8,
	intercept_error float8,
	coefficients float8[],
	standard_errors float8[],
	dropped text[],
	separated boolean[],
	log_likelihood float8,
	iterations integer
);

COMMENT ON TYPE leadscore.regression IS 'a fitted logistic regression: ln(p / (1 - p)) = intercept + sum of coefficient * feature';
COMMENT ON COLUMN leadscore.regression.rows IS 'rows that it was fitted to';
COMMENT ON COLUMN leadscore.regression.conversions IS 'how many of them converted';
COMMENT ON COLUMN leadscore.regression.intercept IS 'the logarithm of the odds where all features are 0';
COMMENT ON COLUMN leadscore.regression.intercept_error IS 'its standard error';
COMMENT ON COLUMN leadscore.regression.coefficients IS 'what one unit of each feature adds; 0 if it was dropped';
COMMENT ON COLUMN leadscore.regression.standard_errors IS 'of the coefficients; 0 if the feature was dropped';
COMMENT ON COLUMN leadscore.regression.dropped IS 'why a feature was dropped: constant, collinear, separated, sign; NULL: it was not';
COMMENT ON COLUMN leadscore.regression.separated IS 'whether a feature alone separates the outcomes, so that only the penalty bounds its coefficient';
COMMENT ON COLUMN leadscore.regression.log_likelihood IS 'at the coefficients, without the penalty';
COMMENT ON COLUMN leadscore.regression.iterations IS 'Newton steps';

CREATE FUNCTION leadscore_internal.regression_transition(internal, float8[], boolean, float8, float8[]) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.regression_merge(internal, internal) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.regression_serialize(internal) RETURNS bytea
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.regression_deserialize(bytea, internal) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE FUNCTION leadscore_internal.regression_final(internal) RETURNS leadscore.regression
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION leadscore_internal.regression_transition(internal, float8[], boolean, float8, float8[]) IS 'aggregate transition function';
COMMENT ON FUNCTION leadscore_internal.regression_merge(internal, internal) IS 'aggregate combine function';
COMMENT ON FUNCTION leadscore_internal.regression_serialize(internal) IS 'aggregate serial function';
COMMENT ON FUNCTION leadscore_internal.regression_deserialize(bytea, internal) IS 'aggregate deserial function';
COMMENT ON FUNCTION leadscore_internal.regression_final(internal) IS 'aggregate final function';

CREATE AGGREGATE leadscore.logistic_regression(features float8[], outcome boolean, l2 float8, signs float8[]) (
	SFUNC = leadscore_internal.regression_transition,
	STYPE = internal,
	SSPACE = 8192,
	FINALFUNC = leadscore_internal.regression_final,
	COMBINEFUNC = leadscore_internal.regression_merge,
	SERIALFUNC = leadscore_internal.regression_serialize,
	DESERIALFUNC = leadscore_internal.regression_deserialize,
	PARALLEL = safe
);

COMMENT ON AGGREGATE leadscore.logistic_regression(float8[], boolean, float8, float8[])
	IS 'regularised logistic regression; NULL if the rows are not of both outcomes';

-- private functions

CREATE FUNCTION leadscore_internal.regression_transition(internal, float8[], boolean, float8, float8[], integer) RETURNS internal
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION leadscore_internal.regression_transition(internal, float8[], boolean, float8, float8[], integer) IS 'aggregate transition function';

CREATE AGGREGATE leadscore_internal.short_regression(features float8[], outcome boolean, l2 float8, signs float8[], most integer) (
	SFUNC = leadscore_internal.regression_transition,
	STYPE = internal,
	SSPACE = 8192,
	FINALFUNC = leadscore_internal.regression_final,
	COMBINEFUNC = leadscore_internal.regression_merge,
	SERIALFUNC = leadscore_internal.regression_serialize,
	DESERIALFUNC = leadscore_internal.regression_deserialize,
	PARALLEL = safe
);

COMMENT ON AGGREGATE leadscore_internal.short_regression(float8[], boolean, float8, float8[], integer)
	IS 'logistic_regression() with so many features at most, NULL: any number';

CREATE FUNCTION leadscore_internal.past_points(scorecard jsonb, timeline leadscore.timeline, profile jsonb, cutoff timestamptz) RETURNS float8[]
	AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 20;

COMMENT ON FUNCTION leadscore_internal.past_points(jsonb, leadscore.timeline, jsonb, timestamptz) IS 'what each weight was worth by what was known before the hour of the cutoff';

-- What can bring points: weights, then rules. A factor multiplies all that it is worth, also where nothing happened.
CREATE FUNCTION leadscore_internal.card_terms(scorecard jsonb)
	RETURNS TABLE (n bigint, term jsonb, rule text, unit float8)
	LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 30 SET search_path = pg_catalog, pg_temp
AS $$
	SELECT w.n, w.weight, NULL::text, coalesce(nullif((w.weight ->> 'points')::float8, 0), nullif((w.weight ->> 'if_none')::float8, 0), 0)
	FROM jsonb_array_elements(nullif(scorecard -> 'weights', 'null')) WITH ORDINALITY AS w (weight, n)
	UNION ALL
	SELECT coalesce(jsonb_array_length(nullif(scorecard -> 'weights', 'null')), 0) + r.n, r.rule, r.rule ->> 'rule', (r.rule ->> 'points')::float8
	FROM jsonb_array_elements(nullif(scorecard -> 'rules', 'null')) WITH ORDINALITY AS r (rule, n)
$$;

COMMENT ON FUNCTION leadscore_internal.card_terms(jsonb)
	IS 'weights and rules of a scorecard in the order of features(), with the points of one unit; NULL: a rule that brings none';

-- Points add up without bounds on sums of them; a weight of no points gets one, and no bounds of its own. So does a
-- rule, but for one that only segments name.
CREATE FUNCTION leadscore_internal.unbounded(scorecard jsonb) RETURNS jsonb
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT scorecard - '{floor,ceiling}'::text[]
		|| jsonb_build_object('weights', (SELECT coalesce(jsonb_agg(CASE WHEN (w.weight -> 'points')::float8 = 0 AND coalesce((w.weight ->> 'if_none')::float8, 0) = 0
				THEN w.weight - '{min_points,max_points}'::text[] || '{"points": 1}' ELSE w.weight END ORDER BY w.n), '[]')
			FROM jsonb_array_elements(nullif(scorecard -> 'weights', 'null')) WITH ORDINALITY AS w (weight, n)))
		|| CASE WHEN jsonb_typeof(scorecard -> 'categories') = 'array'
			THEN jsonb_build_object('categories', (SELECT coalesce(jsonb_agg(c.category - '{min_points,max_points}'::text[] ORDER BY c.n), '[]')
				FROM jsonb_array_elements(scorecard -> 'categories') WITH ORDINALITY AS c (category, n)))
			ELSE '{}' END
		|| CASE WHEN jsonb_typeof(scorecard -> 'rules') = 'array'
			THEN jsonb_build_object('rules', (SELECT coalesce(jsonb_agg(CASE WHEN (r.rule ->> 'points')::float8 = 0 THEN r.rule || '{"points": 1}' ELSE r.rule END ORDER BY r.n), '[]')
				FROM jsonb_array_elements(scorecard -> 'rules') WITH ORDINALITY AS r (rule, n)))
			ELSE '{}' END
$$;

COMMENT ON FUNCTION leadscore_internal.unbounded(jsonb) IS 'a scorecard without floor, ceiling and bounds of categories, and without weights and rules of no points';

CREATE FUNCTION leadscore_internal.rounded(points float8, round_to float8) RETURNS float8
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN round_to IS NULL THEN points ELSE (round((points / round_to)::numeric) * round_to::numeric)::float8 END
$$;

COMMENT ON FUNCTION leadscore_internal.rounded(float8, float8) IS 'points, rounded to a multiple; NULL: as they are';

CREATE FUNCTION leadscore_internal.with_points(scorecard jsonb, factors float8[], round_to float8) RETURNS jsonb
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT scorecard || jsonb_build_object('weights', (
		SELECT coalesce(jsonb_agg(w.weight - '{min_points,max_points}'::text[]
			|| jsonb_strip_nulls(jsonb_build_object('points', p.points, 'if_none', p.if_none))
			-- bounds keep their place on what is measured, and change ends with the sign
			|| CASE WHEN p.factor = 0 THEN '{}' ELSE jsonb_strip_nulls(jsonb_build_object(
				'min_points', CASE WHEN p.factor > 0 THEN b.min_points ELSE b.max_points END * p.factor,
				'max_points', CASE WHEN p.factor > 0 THEN b.max_points ELSE b.min_points END * p.factor)) END
			ORDER BY w.n), '[]')
		FROM jsonb_array_elements(scorecard -> 'weights') WITH ORDINALITY AS w (weight, n)
		CROSS JOIN LATERAL jsonb_to_record(w.weight) AS b (points float8, if_none float8, min_points float8, max_points float8)
		CROSS JOIN LATERAL (SELECT r.points, r.if_none, CASE WHEN b.points <> 0 THEN r.points / b.points ELSE r.if_none / b.if_none END AS factor
			FROM (SELECT leadscore_internal.rounded(b.points * factors[w.n], round_to) AS points, leadscore_internal.rounded(b.if_none * factors[w.n], round_to) AS if_none) r) p))
		|| CASE WHEN jsonb_typeof(scorecard -> 'rules') = 'array' THEN jsonb_build_object('rules', (
				SELECT coalesce(jsonb_agg(t.term || jsonb_strip_nulls(jsonb_build_object('points', leadscore_internal.rounded(t.unit * factors[t.n], round_to))) ORDER BY t.n), '[]')
				FROM leadscore_internal.card_terms(scorecard) t WHERE t.rule IS NOT NULL))
			ELSE '{}' END
$$;

COMMENT ON FUNCTION leadscore_internal.with_points(jsonb, float8[], float8) IS 'a scorecard whose weights'' and rules'' points are multiplied, and rounded';

CREATE FUNCTION leadscore_internal.with_coefficients(scorecard jsonb, regression leadscore.regression, slope float8, round_to float8) RETURNS jsonb
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1
AS $$
	SELECT CASE WHEN (regression).rows IS NOT NULL THEN leadscore_internal.with_points(scorecard,
		ARRAY(SELECT f.b / slope FROM unnest((regression).coefficients) WITH ORDINALITY AS f (b, i) ORDER BY f.i), round_to) END
$$;

COMMENT ON FUNCTION leadscore_internal.with_coefficients(jsonb, leadscore.regression, float8, float8) IS 'a scorecard with fitted points; NULL: nothing was fitted';

-- fit

CREATE FUNCTION leadscore_internal.check_fitting(l2 float8, points_to_double_odds float8, round_to float8, decay text, pairs integer, max_weights integer) RETURNS void
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT (l2 >= 0 AND l2 < 'Infinity') THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'l2 is below zero, or no number',
			DETAIL = format('The penalty is %s.', l2), HINT = 'Write a number such as 1; 0 is no penalty, NULL lets cross-validation choose.';
	END IF;
	IF NOT (points_to_double_odds > 0 AND points_to_double_odds < 'Infinity') OR points_to_double_odds IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'points_to_double_odds is not above zero, or no number',
			DETAIL = format('The value is %s.', coalesce(points_to_double_odds::text, 'NULL')), HINT = 'Write a number such as 20.';
	END IF;
	IF NOT (round_to > 0 AND round_to < 'Infinity') THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'round_to is not above zero, or no number',
			DETAIL = format('The value is %s.', round_to), HINT = 'Write a number such as 1, or NULL to leave points as they are.';
	END IF;
	IF decay NOT IN ('keep', 'learn') THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'decay is unknown',
			DETAIL = format('The value is %s.', decay), HINT = 'Write keep or learn, or NULL to let cross-validation choose.';
	END IF;
	IF pairs NOT BETWEEN 0 AND 10 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'pairs is out of range',
			DETAIL = format('The value is %s.', pairs), HINT = 'Write a number from 0 to 10, or NULL to let cross-validation choose.';
	END IF;
	IF max_weights < 1 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'max_weights is below one',
			DETAIL = format('The value is %s.', max_weights), HINT = 'Write a whole number such as 30, or NULL for any number.';
	END IF;
END
$$;

COMMENT ON FUNCTION leadscore_internal.check_fitting(float8, float8, float8, text, integer, integer) IS 'refuses arguments of fit() that make no sense';

CREATE FUNCTION leadscore_internal.report_terms(card jsonb, bare jsonb, fitted jsonb, regression leadscore.regression) RETURNS jsonb
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1
AS $$
	SELECT jsonb_build_object('weights', coalesce(jsonb_agg(t.item ORDER BY t.n) FILTER (WHERE t.rule IS NULL), '[]'))
		|| CASE WHEN count(t.rule) > 0 THEN jsonb_build_object('rules', jsonb_agg(t.item ORDER BY t.n) FILTER (WHERE t.rule IS NOT NULL)) ELSE '{}' END
	FROM (
		SELECT c.n, c.rule, CASE WHEN c.rule IS NULL THEN jsonb_build_object('weight_id', c.term -> 'weight_id', 'signal', c.term -> 'signal', 'measure', c.term -> 'measure')
				ELSE jsonb_build_object('rule', c.rule) END
			|| jsonb_build_object('points_before', c.term -> 'points', 'points', f.term -> 'points',
				'coefficient', (regression).coefficients[c.n] * b.unit, 'standard_error', (regression).standard_errors[c.n] * abs(b.unit),
				'dropped', (regression).dropped[c.n], 'separated', (regression).separated[c.n])
			|| CASE WHEN c.term ->> 'if_none' IS NULL THEN '{}' ELSE jsonb_build_object('if_none_before', c.term -> 'if_none', 'if_none', f.term -> 'if_none') END AS item
		FROM leadscore_internal.card_terms(card) c JOIN leadscore_internal.card_terms(bare) b USING (n) JOIN leadscore_internal.card_terms(fitted) f USING (n)
		WHERE b.unit IS NOT NULL
	) t
$$;

COMMENT ON FUNCTION leadscore_internal.report_terms(jsonb, jsonb, jsonb, leadscore.regression) IS 'what the report of fit() says of each weight and rule';

CREATE FUNCTION leadscore_internal.fit_points(q leadscore_internal.question, bare jsonb, bare_part jsonb, l2 float8, signs float8[], signs_part float8[], max_weights integer,
	OUT leads bigint, OUT conversions bigint, OUT whole leadscore.regression, OUT fine leadscore.regression, OUT part leadscore.regression)
	LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	read record;
BEGIN
	SELECT count(*) AS leads, count(*) FILTER (WHERE x.converted) AS conversions,
		leadscore_internal.short_regression(x.points, x.converted, l2, signs, max_weights) AS whole,
		leadscore.logistic_regression(x.points, x.converted, l2, signs) FILTER (WHERE max_weights IS NOT NULL) AS fine,
		leadscore_internal.short_regression(coalesce(x.points_part, x.points), x.converted, l2, signs_part, max_weights) FILTER (WHERE x.learned) AS part
	INTO read
	FROM (
		SELECT leadscore_internal.past_points(bare, e.timeline, e.profile, e.cutoff) AS points,
			CASE WHEN bare_part <> bare THEN leadscore_internal.past_points(bare_part, e.timeline, e.profile, e.cutoff) END AS points_part, e.outcome < 'infinity' AS converted,
			leadscore_internal.takes_part(e.lead_id, -1, NULL::float8) AS learned
		FROM leadscore_internal.examples(q) e OFFSET 0
	) x;
	leads := read.leads;
	conversions := read.conversions;
	whole := read.whole;
	fine := read.fine;
	part := read.part;
END
$$;

COMMENT ON FUNCTION leadscore_internal.fit_points(leadscore_internal.question, jsonb, jsonb, float8, float8[], float8[], integer)
	IS 'the regressions of fit(): of all leads, of all without a limit on the weights, and of seven leads in ten';

CREATE FUNCTION leadscore_internal.judge_points(q leadscore_internal.question, fitted jsonb, fine_card jsonb, trial jsonb, scale_l2 float8,
	OUT scale leadscore.regression, OUT whole float8, OUT fine float8, OUT in_sample float8, OUT out_of_sample float8)
	LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	read record;
BEGIN
	SELECT leadscore.logistic_regression(ARRAY[x.score], x.converted, scale_l2, NULL::float8[]) FILTER (WHERE scale_l2 IS NOT NULL) AS scale,
		leadscore.roc_auc(x.score, x.converted) AS whole, leadscore.roc_auc(x.fine, x.converted) AS fine,
		leadscore.roc_auc(x.trial, x.converted) FILTER (WHERE x.learned) AS in_sample, leadscore.roc_auc(x.trial, x.converted) FILTER (WHERE NOT x.learned) AS out_of_sample
	INTO read
	FROM (
		SELECT leadscore_internal.past_score(fitted, e.timeline, e.profile, e.cutoff) AS score,
			leadscore_internal.past_score(fine_card, e.timeline, e.profile, e.cutoff) AS fine,
			leadscore_internal.past_score(trial, e.timeline, e.profile, e.cutoff) AS trial,
			e.outcome < 'infinity' AS converted, leadscore_internal.takes_part(e.lead_id, -1, NULL::float8) AS learned
		FROM leadscore_internal.examples(q) e OFFSET 0
	) x;
	scale := read.scale;
	whole := read.whole;
	fine := read.fine;
	in_sample := read.in_sample;
	out_of_sample := read.out_of_sample;
END
$$;

COMMENT ON FUNCTION leadscore_internal.judge_points(leadscore_internal.question, jsonb, jsonb, jsonb, float8)
	IS 'how good fitted points are, as they would be used: rounded ones with the line that gives their probability, the part by what it has not seen';

CREATE FUNCTION leadscore.fit(scorecard jsonb, conversion text, horizon interval, cutoffs timestamptz[],
	l2 float8 DEFAULT 1, points_to_double_odds float8 DEFAULT 20, keep_signs boolean DEFAULT false, round_to float8 DEFAULT NULL,
	active_within interval DEFAULT '90 days', bins boolean DEFAULT false, decay text DEFAULT 'keep', profile boolean DEFAULT false,
	once boolean DEFAULT false, cutoff_after interval DEFAULT NULL, lead_filter text DEFAULT NULL, pairs integer DEFAULT 0, max_weights integer DEFAULT NULL) RETURNS jsonb
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1 SET IntervalStyle = 'postgres' SET TimeZone = 'UTC' SET jit = off
AS $$
DECLARE
	steps CONSTANT bigint := 4;		-- as the view progress tells
	slope float8;
	q leadscore_internal.question;
	own jsonb;			-- without what was proposed before
	choice record;
	chosen jsonb := '{}';
	card jsonb;			-- with the bands and half-lives that are chosen
	card_part jsonb;	-- with those that the part would have
	bare jsonb;
	bare_part jsonb;
	r record;
	intercept float8;
	fitted jsonb;
	fine jsonb;			-- with all weights, and points not rounded
	trial jsonb;
	judged record;
BEGIN
	q := leadscore_internal.check_outcome(scorecard, conversion, horizon, cutoffs, active_within, once, cutoff_after, lead_filter);
	PERFORM leadscore_internal.check_fitting(l2, points_to_double_odds, round_to, decay, pairs, max_weights);
	PERFORM leadscore_internal.begin_progress('fit'::text, q.signal_id::oid), leadscore_internal.report_progress('fit'::text, 'choosing'::text, 0::bigint, steps);
	PERFORM leadscore_internal.warn_of_censoring(q);
	slope := ln(2::float8) / points_to_double_odds;
	profile := coalesce(profile, false);
	keep_signs := coalesce(keep_signs, false);
	q.profiles := q.profiles OR profile;
	own := leadscore_internal.without_fitted(scorecard, profile, pairs IS DISTINCT FROM 0);
	IF l2 IS NULL OR bins IS NULL OR decay IS NULL OR pairs IS NULL THEN
		choice := leadscore_internal.choose(own, q, conversion, keep_signs, profile, l2, bins, decay, pairs);
		l2 := choice.l2;
		bins := choice.bins;
		decay := choice.decay;
		pairs := choice.pairs;
		chosen := choice.report;
	END IF;
	PERFORM leadscore_internal.report_progress('fit'::text, 'choosing'::text, 1::bigint, steps);
	choice := leadscore_internal.chosen_card(own, q, conversion, l2, profile, bins, decay, pairs);
	card := choice.card;
	bare := leadscore_internal.unbounded(card);
	chosen := chosen || choice.chosen;
	IF NOT EXISTS (SELECT FROM leadscore_internal.card_terms(bare) t WHERE t.unit IS NOT NULL) THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'the scorecard has no weights',
			DETAIL = 'There are no points to fit.', HINT = 'Add weights to the document; their points may be 0.';
	END IF;
	-- what is chosen by the outcomes is chosen again for the part, which is judged by other leads
	card_part := card;
	IF choice.chosen <> '{}' THEN
		q.part := -1;
		card_part := (leadscore_internal.chosen_card(own, q, conversion, l2, profile, bins, decay, pairs)).card;
		q.part := NULL;
	END IF;
	bare_part := leadscore_internal.unbounded(card_part);

	PERFORM leadscore_internal.report_progress('fit'::text, 'fitting'::text, 2::bigint, steps);
	r := leadscore_internal.fit_points(q, bare, bare_part, l2, CASE WHEN keep_signs THEN leadscore_internal.wanted_signs(card) END,
		CASE WHEN keep_signs THEN leadscore_internal.wanted_signs(card_part) END, max_weights);
	IF (r.whole).rows IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'there is nothing to learn from',
			DETAIL = format('Of %s leads at the cutoffs %s converted within the horizon.', r.leads, r.conversions),
			HINT = 'Fitting needs leads that converted and leads that did not: choose other cutoffs, another horizon or another conversion.';
	END IF;
	fitted := leadscore_internal.with_coefficients(bare, r.whole, slope, round_to);
	trial := leadscore_internal.with_coefficients(bare_part, r.part, slope, round_to);
	IF max_weights IS NOT NULL OR round_to IS NOT NULL THEN
		fine := leadscore_internal.with_coefficients(bare, CASE WHEN max_weights IS NULL THEN r.whole ELSE r.fine END, slope, NULL::float8);
	END IF;

	PERFORM leadscore_internal.report_progress('fit'::text, 'judging'::text, 3::bigint, steps);
	judged := leadscore_internal.judge_points(q, fitted, fine, trial, CASE WHEN round_to IS NOT NULL THEN least(l2, 1) END);
	PERFORM leadscore_internal.end_progress('fit'::text);
	intercept := coalesce((judged.scale).intercept, (r.whole).intercept);
	-- where rounding has left no points, the base rate is all there is
	IF (judged.scale).rows IS NOT NULL AND (judged.scale).dropped[1] IS NULL THEN
		slope := (judged.scale).coefficients[1];
	END IF;

	RETURN leadscore_internal.without_dropped(fitted, coalesce(bins, false)) || jsonb_build_object('intercept', intercept, 'slope', slope, 'report', jsonb_build_object(
		'conversion', conversion, 'horizon', horizon, 'cutoffs', to_jsonb(cutoffs), 'active_within', active_within,
		'l2', l2, 'points_to_double_odds', points_to_double_odds, 'keep_signs', keep_signs, 'round_to', round_to, 'bins', coalesce(bins, false), 'decay', coalesce(decay, 'keep'), 'profile', profile,
		'leads', r.leads, 'conversions', r.conversions, 'iterations', (r.whole).iterations, 'log_likelihood', (r.whole).log_likelihood,
		'auc_in_sample', judged.in_sample, 'auc_out_of_sample', judged.out_of_sample, 'separated', judged.whole = 1)
		|| jsonb_strip_nulls(jsonb_build_object('once', nullif(q.once, false), 'cutoff_after', cutoff_after, 'lead_filter', lead_filter, 'max_weights', max_weights,
			'pairs', nullif(pairs, 0), 'loss_of_coarsening', judged.fine - judged.whole))
		|| leadscore_internal.report_terms(card, bare, fitted, r.whole) || chosen);
END
$$;

COMMENT ON FUNCTION leadscore.fit(jsonb, text, interval, timestamptz[], float8, float8, boolean, float8, interval, boolean, text, boolean, boolean, interval, text, integer, integer)
	IS 'the scorecard with the points, intercept and slope that predict a conversion best, and a report';

-- which signals tell

CREATE FUNCTION leadscore_internal.information_value(bands float8[], without float8, without_converted float8) RETURNS float8
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	-- half a lead more of each outcome in a band keeps the logarithm of an empty one finite
	SELECT sum((b.converted / t.converted - b.others / t.others)
		* ln(((b.converted + 0.5) / t.converted) / ((b.others + 0.5) / t.others)))
	FROM (
		SELECT bands[i][1] AS others, bands[i][2] AS converted FROM generate_series(1, coalesce(array_length(bands, 1), 0)) i
		UNION ALL SELECT without - without_converted, without_converted WHERE without > 0
	) b
	CROSS JOIN (
		SELECT nullif(coalesce(sum(bands[i][1]), 0) + without - without_converted, 0) AS others, nullif(coalesce(sum(bands[i][2]), 0) + without_converted, 0) AS converted
		FROM generate_series(1, coalesce(array_length(bands, 1), 0)) i
	) t
$$;

COMMENT ON FUNCTION leadscore_internal.information_value(float8[], float8, float8)
	IS 'how much bands say about an outcome: the sum of (share of conversions - share of others) * weight of evidence';

CREATE FUNCTION leadscore.signal_report(scorecard jsonb, conversion text, horizon interval, cutoffs timestamptz[],
	l2 float8 DEFAULT 1, active_within interval DEFAULT '90 days')
	RETURNS TABLE (weight_id integer, signal text, measure text, leads_with bigint, leads_without bigint, rate_with float8, rate_without float8, lift float8,
		correlation float8, information_value float8, points float8, fitted_points float8, verdict text, rule text)
	LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 30 SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
DECLARE
	q leadscore_internal.question;
	report CONSTANT jsonb := leadscore.fit(scorecard, conversion, horizon, cutoffs, l2, active_within => signal_report.active_within) -> 'report';
	bare CONSTANT jsonb := leadscore_internal.unbounded(scorecard);
BEGIN
	q := leadscore_internal.check_outcome(scorecard, conversion, horizon, cutoffs, active_within);
	RETURN QUERY
		WITH weight AS MATERIALIZED (
			SELECT t.n, t.rule, s.weight_id::integer AS weight_id, s.signal, s.measure, t.rule IS NOT NULL OR s.at_least IS NOT NULL OR s.below IS NOT NULL AS banded,
				t.unit AS bare_points, (f.fitted -> 'points_before')::float8 AS points, (f.fitted -> 'points')::float8 AS fitted,
				f.fitted ->> 'dropped' IS NULL AND abs((f.fitted -> 'coefficient')::float8) > 1.96 * (f.fitted -> 'standard_error')::float8 AS evident
			FROM (SELECT t.*, row_number() OVER (ORDER BY t.n) AS place FROM leadscore_internal.card_terms(bare) t WHERE t.unit IS NOT NULL) t
			JOIN jsonb_array_elements((report -> 'weights') || coalesce(report -> 'rules', '[]')) WITH ORDINALITY AS f (fitted, place) USING (place)
			CROSS JOIN LATERAL jsonb_to_record(t.term) AS s (weight_id numeric, signal text, measure text, at_least float8, below float8)
		), tally AS (
			SELECT u.n, count(*) AS leads, count(*) FILTER (WHERE h.has) AS having, count(*) FILTER (WHERE x.converted) AS converted,
				count(*) FILTER (WHERE h.has AND x.converted) AS having_converted,
				corr(u.worth / w.bare_points, x.converted::integer) AS correlation, stddev_pop(u.worth / w.bare_points) AS deviation,
				leadscore_internal.bands(u.worth / w.bare_points, x.converted) FILTER (WHERE h.has) AS bands
			FROM (
				SELECT leadscore_internal.past_points(bare, e.timeline, e.profile, e.cutoff) AS worths, leadscore_internal.past_features(bare, e.timeline, e.profile, e.cutoff) AS features,
					e.outcome < 'infinity' AS converted
				FROM leadscore_internal.examples(q) e OFFSET 0
			) x
			CROSS JOIN LATERAL unnest(x.worths, x.features) WITH ORDINALITY AS u (worth, feature, n)
			JOIN weight w ON w.n = u.n
			CROSS JOIN LATERAL (SELECT u.feature IS NOT NULL AND (NOT w.banded OR u.worth <> 0) AS has) h
			GROUP BY u.n
		), scale AS (
			-- a card without points gets the fitted ones as they are
			SELECT coalesce(nullif(sum(abs(w.points) * t.deviation), 0) / nullif(sum(abs(w.fitted) * t.deviation), 0), 1) AS factor FROM weight w JOIN tally t USING (n)
		)
		SELECT w.weight_id, w.signal, CASE WHEN w.rule IS NULL THEN coalesce(w.measure, (
				SELECT CASE c.subject WHEN 'profile' THEN 'present' ELSE 'count' END
				FROM jsonb_to_recordset(scorecard -> 'signals') AS c (signal text, subject text) WHERE c.signal = w.signal), 'count') END,
			t.having, t.leads - t.having, t.having_converted / nullif(t.having, 0)::float8,
			(t.converted - t.having_converted) / nullif(t.leads - t.having, 0)::float8,
			t.having_converted / nullif(t.having, 0)::float8 / (t.converted / t.leads::float8),
			t.correlation, leadscore_internal.information_value(t.bands, (t.leads - t.having)::float8, (t.converted - t.having_converted)::float8),
			w.points, w.fitted * scale.factor,
			CASE WHEN NOT w.evident THEN 'no evidence'
				WHEN w.points * w.fitted < 0 OR abs(w.fitted * scale.factor) < 0.8 * abs(w.points) THEN 'overweighted'
				WHEN abs(w.fitted * scale.factor) > 1.25 * abs(w.points) THEN 'underweighted'
				ELSE 'about right' END,
			w.rule
		FROM weight w JOIN tally t USING (n) CROSS JOIN scale
		ORDER BY w.n;
END
$$;

COMMENT ON FUNCTION leadscore.signal_report(jsonb, text, interval, timestamptz[], float8, interval)
	IS 'how much each weight and rule says about a conversion, and whether its points are right';
