\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- Logistic regression, and scorecards with points from what happened.

-- Of 40 that have it 30 convert, of 60 that do not 15: the intercept is ln(15 / 45), the coefficient ln 3 - ln(1 / 3), and the
-- variances are 1/15 + 1/45 and 1/30 + 1/10 + 1/15 + 1/45.
CREATE TABLE example AS SELECT n, n <= 40 AS has, CASE WHEN n <= 40 THEN n <= 30 ELSE n <= 55 END AS converted FROM generate_series(1, 100) n;
SELECT rows, conversions, round((intercept - ln(15 / 45::float8))::numeric, 9) AS intercept, round((coefficients[1] - ln(9::float8))::numeric, 9) AS coefficient,
	round((intercept_error ^ 2 - (1 / 15. + 1 / 45.))::numeric, 9) AS intercept_error, round((standard_errors[1] ^ 2 - (1 / 30. + 1 / 10. + 1 / 15. + 1 / 45.))::numeric, 9) AS standard_error,
	dropped, round((log_likelihood - (30 * ln(0.75) + 10 * ln(0.25) + 15 * ln(0.25) + 45 * ln(0.75)))::numeric, 9) AS log_likelihood, iterations < 10 AS quick
FROM (SELECT (logistic_regression(ARRAY[has::int], converted, 0, NULL)).* FROM example) r;

-- a unit of another size, another origin, and NULL for 0: the same model
SELECT round((coefficients[1] * 250 - ln(9::float8))::numeric, 9) AS coefficient, round((intercept + coefficients[1] * 1e6 - ln(1 / 3::float8))::numeric, 6) AS intercept
FROM (SELECT (logistic_regression(ARRAY[1e6 + 250 * has::int], converted, 0, NULL)).* FROM example) r;
SELECT round((coefficients[1] - ln(9::float8))::numeric, 9) AS coefficient FROM (SELECT (logistic_regression(ARRAY[CASE WHEN has THEN 1 END], converted, 0, NULL)).* FROM example) r;

SELECT round((a.coefficients[1] / b.coefficients[1] - 1)::numeric, 9) AS differs
FROM (SELECT (logistic_regression(ARRAY[1e12 + n], converted, 0, NULL)).* FROM example) a, (SELECT (logistic_regression(ARRAY[n], converted, 0, NULL)).* FROM example) b;

-- a penalty shrinks; the stronger, the more
SELECT l2, round(coefficients[1]::numeric, 4) AS coefficient FROM (VALUES (0), (1), (10), (100), (10000)) p (l2),
	LATERAL (SELECT (logistic_regression(ARRAY[has::int], converted, l2, NULL)).* FROM example) r ORDER BY l2;

-- no features: the base rate
SELECT round((intercept - ln(45 / 55::float8))::numeric, 9) AS intercept, coefficients, dropped FROM (SELECT (logistic_regression('{}', converted, 0, NULL)).* FROM example) r;

-- what is constant, or a combination of features before it, is left out: here 0.1, a sum, and the last of a set of classes
SELECT round((a.coefficients[2] - b.coefficients[1])::numeric, 9) AS first, round((a.coefficients[4] - b.coefficients[2])::numeric, 9) AS second, a.coefficients[1], a.dropped
FROM (SELECT (logistic_regression(ARRAY[0.1, has::int, 3 - 2 * has::int, n % 2, has::int - 4 * (n % 2), 1 - n % 2], converted, 0, NULL)).* FROM example) a,
	(SELECT (logistic_regression(ARRAY[has::int, n % 2], converted, 0, NULL)).* FROM example) b;

-- signs that are wanted: those that come out otherwise are left out
SELECT sign, round(coefficients[1]::numeric, 4) AS coefficient, standard_errors[1] > 0 AS error, dropped FROM (VALUES (1), (0), (-1), (NULL)) s (sign),
	LATERAL (SELECT (logistic_regression(ARRAY[has::int, n % 2], converted, 0, ARRAY[sign, 0])).* FROM example) r;

-- no rows, only conversions, none, NULLs
SELECT logistic_regression(ARRAY[1], true, 0, NULL) FROM example WHERE false;
SELECT logistic_regression(ARRAY[n], true, 1, NULL) AS only, logistic_regression(ARRAY[n], false, 1, NULL) AS none FROM example;
SELECT (logistic_regression(CASE WHEN n <> 7 THEN ARRAY[n] END, CASE WHEN n <> 90 THEN converted END, 1, NULL)).rows FROM example;

-- in parallel: the rows are sent and put together
SET max_parallel_workers_per_gather = 2; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
CREATE TABLE many AS SELECT ARRAY[n % 7, sqrt(n), CASE WHEN n % 3 = 0 THEN n % 11 END] AS features, n % 7 > 3 OR n % 50 > 45 AS outcome FROM generate_series(1, 5000) n;
ANALYZE many;
EXPLAIN (COSTS OFF) SELECT logistic_regression(features, outcome, 1, NULL) FROM many;
CREATE TABLE parallel AS SELECT logistic_regression(features, outcome, 1, '{1, 1, 0}') AS r FROM many;
SET max_parallel_workers_per_gather = 0;
INSERT INTO parallel SELECT logistic_regression(features, outcome, 1, '{1, 1, 0}') FROM many;
SELECT rows, conversions, dropped, count(*), max(coefficients[1]) - min(coefficients[1]) < 1e-12 AS first, max(standard_errors[3]) - min(standard_errors[3]) < 1e-12 AS third FROM parallel, LATERAL (SELECT (r).*) x GROUP BY rows, conversions, dropped;
RESET max_parallel_workers_per_gather; RESET parallel_setup_cost; RESET parallel_tuple_cost; RESET min_parallel_table_scan_size;

-- perfectly separated data converge thanks to the penalty
SELECT coefficients[1] BETWEEN 0.1 AND 10 AS bounded FROM (SELECT (logistic_regression(ARRAY[n], n > 50, 1, NULL)).* FROM example) r;

-- what tells them apart alone, if only with equality, is named; without a penalty it is left out
SELECT l2, coefficients[1] > 0 AS kept, dropped, separated FROM (VALUES (0), (1)) p (l2),
	LATERAL (SELECT (logistic_regression(ARRAY[CASE WHEN n IN (3, 7, 50) THEN 1 END, has::int, CASE WHEN n > 55 THEN 2 ELSE 3 END], converted, l2, NULL)).* FROM example) r ORDER BY l2;

-- far from the rest: an exponential would overflow
SELECT abs(coefficients[1]) < 1 AS bounded, log_likelihood BETWEEN -100 AND 0 AS finite
FROM (SELECT (logistic_regression(ARRAY[CASE WHEN n = 100 THEN 1e6 ELSE n END], n = 100 OR converted, 1e-6, NULL)).* FROM example) r;

-- large and small numbers
SELECT abs(coefficients[1] * 1e150 - ln(9::float8)) < 0.1 AS large, abs(coefficients[2] / 1e100) BETWEEN 0.1 AND 1 AS small, dropped
FROM (SELECT (logistic_regression(ARRAY[has::int * 1e150::float8, CASE WHEN n IN (20, 30, 98) THEN 1e-100::float8 END], converted, 1e-9, NULL)).* FROM example) r;

SELECT refused(ARRAY[
	$$SELECT logistic_regression(ARRAY[n, 3 * (n % 7)], n + 3 * (n % 7) > 60, 0, NULL) FROM example$$,
	$$SELECT logistic_regression(ARRAY[n], converted, -1, NULL) FROM example$$,
	$$SELECT logistic_regression(ARRAY[n], converted, 'NaN', NULL) FROM example$$,
	$$SELECT logistic_regression(ARRAY[n, 'NaN'::float8], converted, 1, NULL) FROM example$$,
	$$SELECT logistic_regression(ARRAY['Infinity'::float8], converted, 1, NULL) FROM example$$,
	$$SELECT logistic_regression(ARRAY[-1e151::float8], converted, 1, NULL) FROM example$$,
	$$SELECT logistic_regression(CASE WHEN n < 5 THEN ARRAY[n] ELSE ARRAY[n, n] END, converted, 1, NULL) FROM example$$,
	$$SELECT logistic_regression(ARRAY[[n, n], [n, n]], converted, 1, NULL) FROM example$$,
	$$SELECT logistic_regression(array_fill(1, ARRAY[1001]), converted, 1, NULL) FROM example$$,
	$$SELECT logistic_regression(ARRAY[n], converted, 1, ARRAY[1, 1]) FROM example$$
]);

-- A model, and the same hundred as leads: those that have it visited three days before the cutoff, all looked at something.
SELECT publish('{"model": "shop", "floor": 0, "ceiling": 10,
	"signals": [{"signal": "visit", "kind": "visit"}, {"signal": "view", "kind": "view"}, {"signal": "purchase", "kind": "purchase"}, {"signal": "german", "subject": "profile", "match": {"country": "DE"}}],
	"weights": [{"signal": "visit", "points": 2, "max_points": 4, "category": "c"}, {"signal": "view", "points": 1}, {"signal": "purchase", "measure": "days_since_last", "points": -1}, {"signal": "german", "points": 0, "max_points": 3}],
	"categories": [{"category": "c", "max_points": 3}], "segments": [{"segment": "all", "position": 1}]}');
INSERT INTO lead SELECT n, jsonb_build_object('country', CASE n % 4 WHEN 0 THEN 'DE' ELSE 'AT' END) FROM example;
INSERT INTO event (lead_id, kind, occurred_at)
	SELECT n, 'visit', '2026-01-29 10:00Z'::timestamptz + i * interval '1 hour' FROM example, generate_series(1, CASE n % 2 WHEN 0 THEN 2 ELSE 5 END) i WHERE has
	UNION ALL SELECT n, 'view', '2026-01-28 10:00Z' FROM example
	UNION ALL SELECT n, 'purchase', '2026-02-02 10:00Z' FROM example WHERE converted;
CREATE FUNCTION cutoffs() RETURNS timestamptz[] IMMUTABLE LANGUAGE sql RETURN ARRAY['2026-02-01 00:00Z']::timestamptz[];

-- without a penalty the visit, capped at two, is what it was above: 2 * points * slope = ln 9, and twenty points double the odds
SET client_min_messages = error;	-- nothing happens after 2 February
CREATE TABLE fitted AS SELECT fit(jsonb_set(scorecard(), '{weights}', (scorecard() -> 'weights') - 3), 'purchase', '2 days', cutoffs(), l2 => 0) AS card;
SELECT round((card -> 'intercept')::numeric, 6) AS intercept, round((card -> 'slope')::numeric, 9) AS slope, jsonb_path_query_array(card, '$.weights[*].signal') AS signals,
	round((card #> '{weights,0,points}')::numeric, 6) AS visit, round((card #> '{weights,0,max_points}')::numeric, 6) AS at_most, card #> '{weights,1,points}' AS view, card #> '{weights,2,points}' AS purchase FROM fitted;
SELECT round((20 * ln(9) / ln(2) / 2)::numeric, 6) AS visit, round((20 * ln(9) / ln(2))::numeric, 6) AS at_most;

-- sums are without bounds; what else the card had, it keeps
SELECT card -> 'floor' AS floor, card -> 'ceiling' AS ceiling, card -> 'categories' AS categories, card -> 'segments' AS segments, card -> 'model' AS model FROM fitted;

-- its report
SELECT jsonb_pretty((card -> 'report') - '{weights,log_likelihood,auc_in_sample,auc_out_of_sample,iterations}'::text[]) AS report FROM fitted;
SELECT w -> 'signal' AS signal, w -> 'points_before' AS before, round((w -> 'points')::numeric, 4) AS points, round((w -> 'coefficient')::numeric, 6) AS coefficient,
	round((w -> 'standard_error')::numeric, 6) AS error, w ->> 'dropped' AS dropped
FROM fitted, jsonb_array_elements(card #> '{report,weights}') w;
SELECT (card #>> '{report,auc_in_sample}')::float8 BETWEEN 0.5 AND 1 AS in_sample, (card #>> '{report,auc_out_of_sample}')::float8 BETWEEN 0.5 AND 1 AS out_of_sample,
	(card #>> '{report,iterations}')::int BETWEEN 2 AND 10 AS iterations FROM fitted;

-- its probabilities are the observed rates, and its likelihood is that of the report
SELECT DISTINCT round((appraise(card, timeline, NULL, '2026-01-31 23:00Z')).probability::numeric, 6) AS probability FROM fitted, lead_timeline ORDER BY 1;
SELECT round((log_loss * leads + (card #>> '{report,log_likelihood}')::float8)::numeric, 6) AS difference FROM fitted, evaluate(card, 'purchase', '2 days', cutoffs());

-- nothing is changed until it is published; then the report is gone
SELECT count(*) FROM model WHERE slope IS NOT NULL;
SELECT publish(card) FROM fitted;
SELECT scorecard() -> 'report' AS report, round((scorecard() -> 'slope')::numeric, 9) AS slope;

-- points of a profile signal that had none; rounded points, with the intercept and slope that fit them; another scale
SELECT round((card #> '{weights,3,points}')::numeric, 3) <> 0 AS german, card #> '{weights,3,max_points}' AS at_most
FROM (SELECT fit('{"model": "m", "signals": [{"signal": "visit", "signal_id": 1}, {"signal": "view", "signal_id": 2}, {"signal": "german", "subject": "profile", "match": {"country": "DE"}}],
	"weights": [{"signal": "visit", "points": 1}, {"signal": "view", "points": 1}, {"signal": "view", "points": 0}, {"signal": "german", "points": 0, "max_points": 3}]}', 'purchase', '2 days', cutoffs()) AS card) f;
SELECT round((card #> '{weights,0,points}')::numeric, 6) AS visit, round((card #> '{weights,0,max_points}')::numeric, 6) AS at_most, round((card -> 'slope')::numeric, 5) AS slope, round((card -> 'intercept')::numeric, 3) AS intercept
FROM (VALUES (20, 5), (20, 0.1), (50, NULL)) s (odds, round_to), LATERAL (SELECT fit(jsonb_set(scorecard(), '{weights}', (scorecard() -> 'weights') - 3), 'purchase', '2 days', cutoffs(), 0, odds, round_to => s.round_to) AS card) f;

-- a weight that ought to have had another sign: its bounds change ends with it; or it is dropped
SELECT w -> 'points' > '0' AS positive, round(((w -> 'min_points')::numeric / (w -> 'points')::numeric), 3) AS min_points, w -> 'max_points' AS max_points
FROM (SELECT fit('{"model": "m", "signals": [{"signal": "visit", "signal_id": 1}], "weights": [{"signal": "visit", "points": -5, "max_points": -2.5}]}', 'purchase', '2 days', cutoffs()) #> '{weights,0}' AS w) f;
SELECT card #> '{weights,0}' AS weight, card #> '{report,weights,0,dropped}' AS dropped
FROM (SELECT fit('{"model": "m", "signals": [{"signal": "visit", "signal_id": 1}], "weights": [{"signal": "visit", "points": -5, "max_points": -2.5}]}', 'purchase', '2 days', cutoffs(), keep_signs => true) AS card) f;

-- What each weight tells: 40 visited, 30 of them bought, 15 of the 60 others. The correlation is (30 * 45 - 10 * 15) / sqrt(40 * 60 * 45 * 55).
CREATE TABLE report AS SELECT * FROM signal_report('{"model": "m", "signals": [{"signal": "visit", "signal_id": 1}, {"signal": "view", "signal_id": 2}, {"signal": "german", "subject": "profile", "match": {"country": "DE"}}],
	"weights": [{"weight_id": 7, "signal": "visit", "points": 2, "max_points": 4}, {"signal": "view", "points": 1}, {"signal": "visit", "at_least": 3, "points": 0}, {"signal": "german", "points": 10, "measure": "present"}]}', 'purchase', '2 days', cutoffs());
SELECT weight_id, signal, measure, leads_with, leads_without, round(rate_with::numeric, 4) AS rate_with, round(rate_without::numeric, 4) AS rate_without, round(lift::numeric, 4) AS lift, points, verdict FROM report;
SELECT round((correlation - 1200 / sqrt(40 * 60 * 45 * 55))::numeric, 9) AS correlation,
	round((information_value - (30 / 45. - 10 / 55.) * ln((30.5 / 45) / (10.5 / 55)) - (15 / 45. - 45 / 55.) * ln((15.5 / 45) / (45.5 / 55)))::numeric, 9) AS information_value
FROM report WHERE weight_id = 7;
SELECT signal, correlation, information_value FROM report WHERE signal = 'view';
-- the fitted points move the score as much, all together
SELECT round(sum(abs(points) * d)::numeric, 6) = round(sum(abs(fitted_points) * d)::numeric, 6) AS as_much
FROM (SELECT *, sqrt(leads_with * leads_without) * CASE weight_id WHEN 7 THEN 2 ELSE 1 END AS d FROM report WHERE signal <> 'view') r;
SELECT signal, verdict FROM signal_report('{"model": "m", "signals": [{"signal": "visit", "signal_id": 1}], "weights": [{"signal": "visit", "points": -2}]}', 'purchase', '2 days', cutoffs());
SELECT signal, verdict FROM signal_report('{"model": "m", "signals": [{"signal": "visit", "signal_id": 1}], "weights": [{"signal": "visit", "points": 2}]}', 'purchase', '2 days', cutoffs());
-- bands of like size: rows of one score stay together
SELECT bands(n, n > 8), bands(n / 4, n > 8), bands(0, n > 8), bands(CASE WHEN n > 2 THEN 1 END, n > 8) FROM generate_series(1, 10) n;
SELECT refused('SELECT * FROM signal_report(scorecard(), ''purchase'', ''1 hour'', cutoffs())');

-- a card without event weights
SELECT round((card #> '{weights,0,points}')::numeric, 1) < 0 AS german, (card #> '{report,leads}') AS leads
FROM (SELECT fit('{"model": "m", "signals": [{"signal": "german", "subject": "profile", "match": {"country": "DE"}}], "weights": [{"signal": "german", "points": 5}]}', 'purchase', '2 days', cutoffs(), active_within => NULL) AS card) f;

-- perfectly separated: it says so
INSERT INTO event (lead_id, kind, occurred_at) SELECT n, 'secret', '2026-01-30 10:00Z' FROM example WHERE converted;
INSERT INTO signal (signal, kind) VALUES ('secret', 'secret');
CALL rebuild();
SELECT l2, card #> '{report,separated}' AS separated, (card #>> '{weights,0,points}')::float8 BETWEEN 50 AND 500 AS bounded, card #> '{report,weights,0,separated}' AS alone, card #> '{report,weights,0,dropped}' AS dropped
FROM (VALUES (0), (1)) p (l2), LATERAL (SELECT fit(jsonb_build_object('model', 'm', 'signals', jsonb_build_array(jsonb_build_object('signal', 'secret', 'signal_id', (SELECT signal_id FROM signal WHERE signal = 'secret'))),
	'weights', '[{"signal": "secret", "points": 1}]'::jsonb), 'purchase', '2 days', cutoffs(), p.l2) AS card) f ORDER BY l2;

-- rounding that leaves no points leaves the base rate
SELECT round((card -> 'intercept')::numeric, 6) = round(ln(45 / 55.), 6) AS base_rate, jsonb_path_query_array(card, '$.weights[*].points') AS points
FROM (SELECT fit(jsonb_set(scorecard(), '{weights}', (scorecard() -> 'weights') - 3), 'purchase', '2 days', cutoffs(), round_to => 1e6) AS card) f;
-- a card without points asks for some
SELECT signal, points, fitted_points > 0 AS some, verdict FROM signal_report('{"model": "m", "signals": [{"signal": "visit", "signal_id": 1}], "weights": [{"signal": "visit", "points": 0}]}', 'purchase', '2 days', cutoffs());

SELECT refused(ARRAY[
	$$SELECT fit(scorecard(), 'purchase', '2 days', cutoffs(), -1)$$,
	$$SELECT fit(scorecard(), 'purchase', '2 days', cutoffs(), points_to_double_odds => NULL)$$,
	$$SELECT fit(scorecard(), 'purchase', '2 days', cutoffs(), 'NaN')$$,
	$$SELECT fit(scorecard(), 'purchase', '2 days', cutoffs(), 'Infinity')$$,
	$$SELECT fit(scorecard(), 'purchase', '2 days', cutoffs(), points_to_double_odds => 0)$$,
	$$SELECT fit(scorecard(), 'purchase', '2 days', cutoffs(), round_to => -1)$$,
	$$SELECT fit(scorecard(), 'purchase', '1 hour', cutoffs())$$,
	$$SELECT fit(scorecard(), 'purchase', '2 days', '{2001-01-01}')$$,
	$$SELECT fit('{"model": "m"}', 'purchase', '2 days', cutoffs())$$,
	$$SELECT fit(scorecard(), 'nothing', '2 days', cutoffs())$$,
	$$SELECT fit(NULL, 'purchase', '2 days', cutoffs())$$
]);
DELETE FROM event WHERE kind <> 'purchase' AND lead_id::int IN (SELECT n FROM example WHERE NOT converted);
SELECT refused('SELECT fit(scorecard(), ''purchase'', ''2 days'', cutoffs())');
