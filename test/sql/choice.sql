\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- What fit() chooses by cross-validation, who counts, and what it replaces when it is called again.

-- 1,200 leads that convert by their visits, their country, their size, and by a second download of those who visit a
-- lot.
SET client_min_messages = error;
CREATE TABLE example AS
SELECT n, n % 8 AS visits, CASE n % 5 WHEN 0 THEN 'AT' WHEN 1 THEN 'CH' ELSE 'DE' END AS country, n * 7919 % 100 AS employees, n * 31 % 11 < 4 AS downloads,
	n * 104729 % 9973 / 9973.0 < 1 / (1 + exp(3 - 0.2 * (n % 8) - CASE n % 5 WHEN 0 THEN 1.2 ELSE 0 END - CASE WHEN n * 7919 % 100 BETWEEN 30 AND 70 THEN 1.5 ELSE 0 END
		- CASE WHEN n * 31 % 11 < 4 AND n % 8 >= 4 THEN 2.5 ELSE 0 END)) AS converted
FROM generate_series(1, 1200) n;
SELECT publish('{"model": "shop", "segments": [{"segment": "all", "position": 1}],
	"signals": [{"signal": "visit", "kind": "visit"}, {"signal": "download", "kind": "download"}, {"signal": "hello", "kind": "hello"}, {"signal": "purchase", "kind": "purchase"}],
	"weights": [{"signal": "visit", "points": 2}, {"signal": "download", "points": 1}, {"signal": "hello", "points": 1}]}');
INSERT INTO lead SELECT n, jsonb_build_object('country', country, 'employees', employees) FROM example;
INSERT INTO event (lead_id, kind, occurred_at)
	SELECT n, 'visit', '2026-01-20 10:00Z'::timestamptz + i * interval '1 day' FROM example, generate_series(1, visits) i
	UNION ALL SELECT n, 'hello', '2026-01-10 10:00Z' FROM example
	UNION ALL SELECT n, 'download', '2026-01-25 10:00Z' FROM example, generate_series(1, 1 + downloads::int)
	UNION ALL SELECT n, 'purchase', '2026-02-02 10:00Z' FROM example WHERE converted;
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('end', 'hello', '2026-03-01');

-- The penalty: the mean log loss, over four folds of leads, of fits to the other three. Each figure is computed here
-- once more.
CREATE TABLE fitted AS SELECT fit(scorecard('shop'), 'purchase', '2 days', '{2026-02-01}', l2 => NULL) AS card;
CREATE TABLE training AS SELECT features, converted, hashtextextended(lead_id, 0) & 3 AS fold FROM training_set(scorecard('shop'), 'purchase', '2 days', '{2026-02-01}');
CREATE FUNCTION logit(r regression, features float8[]) RETURNS float8 LANGUAGE sql RETURN r.intercept + (SELECT coalesce(sum(c * f), 0) FROM unnest(r.coefficients, features) u (c, f));
SELECT c -> 'l2' AS l2, round((c -> 'log_loss')::numeric - t.log_loss::numeric, 9) AS log_loss, round((c -> 'auc')::numeric - t.auc::numeric, 9) AS auc, round((c -> 'auc_error')::numeric - t.error::numeric, 9) AS error
FROM fitted, jsonb_array_elements(card #> '{report,choices}') c, LATERAL (
	SELECT sum(f.loss * f.n) / sum(f.n) AS log_loss, avg(f.auc) AS auc, sqrt(sum(f.error ^ 2)) / 4 AS error
	FROM generate_series(0, 3) i, LATERAL (SELECT logistic_regression(features, converted, (c -> 'l2')::float8, NULL) AS r FROM training WHERE fold <> i OFFSET 0) g,
		LATERAL (SELECT count(*) AS n, log_loss(1 / (1 + exp(-logit(r, features))), converted) AS loss, roc_auc(logit(r, features), converted) AS auc, roc_auc_error(logit(r, features), converted) AS error FROM training WHERE fold = i) f) t;
SELECT (card #> '{report,l2}') = (SELECT c -> 'l2' FROM jsonb_array_elements(card #> '{report,choices}') c ORDER BY (c -> 'log_loss')::float8 LIMIT 1) AS best,
	(card #>> '{report,log_loss_cross_validated}')::float8 = (SELECT min((c -> 'log_loss')::float8) FROM jsonb_array_elements(card #> '{report,choices}') c) AS least,
	card #> '{weights}' = fit(scorecard('shop'), 'purchase', '2 days', '{2026-02-01}', l2 => (card #>> '{report,l2}')::float8) -> 'weights' AS as_if_given FROM fitted;

-- All of it: each fold has half-lives, bands, profile values and pairs of its own. What is given is not chosen; what
-- does worse is reported, and not taken.
CREATE TABLE chosen AS SELECT fit(scorecard('shop'), 'purchase', '2 days', '{2026-02-01}', l2 => NULL, bins => NULL, decay => NULL, pairs => NULL, profile => true) AS card;
SELECT c -> 'bins' AS bins, c -> 'decay' AS decay, c -> 'pairs' AS pairs, count(*) AS penalties FROM chosen, jsonb_array_elements(card #> '{report,choices}') c GROUP BY 1, 2, 3 ORDER BY min((c -> 'log_loss')::float8) DESC;
SELECT jsonb_typeof(card #> '{report,pairs}') AS pairs, (card #>> '{report,log_loss_cross_validated}')::float8 = (SELECT min((c -> 'log_loss')::float8) FROM jsonb_array_elements(card #> '{report,choices}') c) AS least,
	(card #>> '{report,auc_cross_validated}')::float8 > (f.fitted #>> '{report,auc_cross_validated}')::float8 + 0.02 AS better FROM chosen, (SELECT card AS fitted FROM fitted) f;
-- the pair that there is has been found
SELECT count(*) > 0 AS pair FROM chosen, jsonb_array_elements(card -> 'rules') r WHERE r::text LIKE '%download%' AND r::text LIKE '%visit%';
SELECT DISTINCT c -> 'l2' AS l2 FROM jsonb_array_elements(fit(scorecard('shop'), 'purchase', '2 days', '{2026-02-01}', l2 => 7, bins => NULL) #> '{report,choices}') c;
-- a fold is judged by bands and profile values that the others have chosen: once more by hand
CREATE TABLE asked AS SELECT jsonb_populate_record(check_outcome(scorecard('shop'), 'purchase', '2 days', '{2026-02-01}', '90 days'), '{"profiles": true}') AS q;
CREATE TABLE example_of AS SELECT e.*, e.outcome < 'infinity' AS converted, hashtextextended(e.lead_id, 0) & 3 AS fold FROM asked, examples(q) e;
SELECT round((fit(scorecard('shop'), 'purchase', '2 days', '{2026-02-01}', l2 => NULL, bins => true, profile => true) #> '{report,choices}' -> 7 -> 'log_loss')::numeric - (sum(f.loss * f.n) / sum(f.n))::numeric, 9) AS log_loss, count(DISTINCT bare) AS cards
FROM asked, generate_series(0, 3) i, LATERAL (SELECT unbounded((chosen_card(scorecard('shop'), jsonb_populate_record(q, jsonb_build_object('part', i)), 'purchase', 1, true, true, 'keep', 0)).card) AS bare OFFSET 0) c,
	LATERAL (SELECT logistic_regression(past_points(bare, timeline, profile, cutoff), converted, 1, NULL) AS r FROM example_of WHERE fold <> i OFFSET 0) g,
	LATERAL (SELECT count(*) AS n, log_loss(1 / (1 + exp(-logit(r, past_points(bare, timeline, profile, cutoff)))), converted) AS loss FROM example_of WHERE fold = i) f;

-- Learned again, what was proposed is replaced; what the shop wrote stays. The commonest country is what the others
-- are compared with.
SELECT s -> 'signal' AS signal, s -> 'description' AS description FROM chosen, jsonb_array_elements(card -> 'signals') s WHERE s ->> 'subject' = 'profile' AND s ->> 'signal' LIKE 'country%' ORDER BY 1;
SELECT publish(card) FROM chosen;
CREATE TABLE again AS SELECT fit(scorecard('shop'), 'purchase', '2 days', '{2026-02-01}', l2 => (card #>> '{report,l2}')::float8, bins => (card #>> '{report,bins}') <> 'false', decay => 'keep', pairs => 5, profile => true) AS card FROM chosen;
SELECT jsonb_array_length(a.card -> 'weights') - jsonb_array_length(c.card -> 'weights') AS more_weights, jsonb_array_length(a.card -> 'rules') - jsonb_array_length(c.card -> 'rules') AS more_rules, jsonb_array_length(a.card -> 'signals') - jsonb_array_length(c.card -> 'signals') AS more_signals FROM again a, chosen c;
-- what was proposed and has no points is not there; what the shop wrote is
SELECT w -> 'signal' AS signal, r.dropped FROM chosen, jsonb_array_elements(card -> 'weights') w, LATERAL (SELECT d ->> 'dropped' AS dropped FROM jsonb_array_elements(card #> '{report,weights}') d WHERE d -> 'signal' = w -> 'signal' LIMIT 1) r WHERE (w -> 'points')::float8 = 0;
-- rounded points have a line that is not shrunk, however strong the penalty is
SELECT abs(sum(leads * predicted) / sum(leads * observed) - 1) < 0.001 AS as_many, max(predicted) > 0.45 AS spread
FROM (SELECT fit(scorecard('shop'), 'purchase', '2 days', '{2026-02-01}', l2 => 3000, round_to => 1) AS card) f, calibration_table(card, 'purchase', '2 days', '{2026-02-01}');
-- what fit() has proposed is a card of the shop's own for propose()
SELECT bool_or(w ->> 'signal' = 'country: AT' AND w ->> 'category' IS NULL) AS kept FROM jsonb_array_elements(propose('purchase', '2 days', '{2026-02-01}', 'shop', pairs => 0, events => false, max_weights => 5) -> 'weights') w;
-- with other outcomes other bands come, and the old ones go
UPDATE event SET lead_id = lead_id::int % 1200 + 1 WHERE kind = 'purchase';
SELECT count(*) FILTER (WHERE s IN (SELECT e -> 'condition' FROM chosen, jsonb_array_elements(chosen.card -> 'signals') e)) AS old, count(*) < 8 AS few
FROM (SELECT fit(scorecard('shop'), 'purchase', '2 days', '{2026-02-01}', profile => true, pairs => 1) AS card) f, jsonb_array_elements(card -> 'signals') e, LATERAL (SELECT e -> 'condition' AS s) c WHERE e ->> 'subject' = 'profile';
UPDATE event SET lead_id = (lead_id::int + 1198) % 1200 + 1 WHERE kind = 'purchase';

-- Few weights: those go whose loss, with all others adapted, is least. Of a step more or less the first to go has the
-- smallest coefficient beside its error.
SELECT d - 'weak' AS others, d ? 'weak' AS weak, n AS kept, loss BETWEEN 0 AND 0.05 AS loss FROM (
	SELECT jsonb_object_agg(coalesce(w ->> 'dropped', 'kept'), true) AS d, count(*) FILTER (WHERE w ->> 'dropped' IS NULL) AS n, (min(card #>> '{report,loss_of_coarsening}'))::float8 AS loss
	FROM (SELECT fit(scorecard('shop'), 'purchase', '2 days', '{2026-02-01}', max_weights => 4, round_to => 1) AS card) f, jsonb_array_elements((card #> '{report,weights}') || coalesce(card #> '{report,rules}', '[]')) w) x;
CREATE TABLE wide AS SELECT ARRAY[(n % 8)::float8, (n % 5 = 0)::int, n % 13, n * 7919 % 100, (n * 31 % 11 < 4)::int, n % 17] AS x, converted AS y FROM example;
SELECT f.dropped, i = (SELECT k FROM unnest(w.coefficients, w.standard_errors) WITH ORDINALITY u (c, e, k) ORDER BY abs(c / e) LIMIT 1) AS weakest
FROM (SELECT (short_regression(x, y, 1, NULL, 5)).* FROM wide) f, (SELECT (logistic_regression(x, y, 1, NULL)).* FROM wide) w, unnest(f.dropped) WITH ORDINALITY d (reason, i) WHERE reason = 'weak';
-- those that are left are fitted without the others
SELECT max(abs(a - b)) < 1e-9 AS same FROM (SELECT (short_regression(x, y, 1, NULL, 5)).* FROM wide) f, (SELECT (logistic_regression(ARRAY[x[1], x[2], x[4], x[5], CASE WHEN d = 3 THEN x[6] ELSE x[3] END], y, 1, NULL)).*
	FROM wide, (SELECT array_position((short_regression(x, y, 1, NULL, 5)).dropped, 'weak') AS d FROM wide) w) g, unnest(array_remove(f.coefficients, 0)) WITH ORDINALITY u (a, i) JOIN unnest(g.coefficients) WITH ORDINALITY v (b, j) ON i = j;

-- Who counts. A condition on the lead, its own cutoff after its first event, and no lead that has converted before.
SELECT (fit(scorecard('shop'), 'purchase', '2 days', '{2026-02-01}', lead_filter => 'profile ->> ''country'' = ''AT''') #> '{report,leads}') AS fitted, (SELECT count(*) FROM example WHERE country = 'AT') AS austrian,
	(SELECT leads FROM evaluate(scorecard('shop'), 'purchase', '2 days', '{2026-02-01}', lead_filter => 'lead_id <> ''end'' AND lead_id::int % 10 < 7')) AS evaluated, (SELECT count(*) FROM example WHERE n % 10 < 7) AS seven_in_ten,
	(SELECT sum(leads) FROM lift_table(scorecard('shop'), 'purchase', '2 days', '{2026-02-01}', lead_filter => 'profile ->> ''country'' = ''AT''')) AS lift,
	(SELECT sum(leads) FROM fitted, calibration_table(card, 'purchase', '2 days', '{2026-02-01}', lead_filter => 'profile ->> ''country'' = ''AT''')) AS calibration;
SELECT (fit(scorecard('shop'), 'purchase', '2 days', '{2026-02-01,2026-02-03}', once => o) #> '{report,leads}')::int - 2 * (SELECT count(*) FROM example) AS fitted,
	(SELECT count(*) FROM training_set(scorecard('shop'), 'purchase', '2 days', '{2026-02-01,2026-02-03}', once => o)) - 2 * (SELECT count(*) FROM example) AS trained FROM (VALUES (false), (true)) v (o);
SELECT count(*) FILTER (WHERE converted) AS converted FROM example;
SELECT count(*) AS leads, count(*) FILTER (WHERE converted) = (SELECT count(*) FROM example WHERE converted) AS conversions, min(cutoff) AS first, max(cutoff) AS last
FROM training_set(scorecard('shop'), 'purchase', '2 days', NULL, cutoff_after => '22 days');
-- the data end on 1 March: those who came on 10 January have had 49 days by then, and the one who came at the end none
SELECT (SELECT count(*) FROM training_set(scorecard('shop'), 'purchase', '27 days', NULL, cutoff_after => '22 days')) AS closed, (SELECT count(*) FROM training_set(scorecard('shop'), 'purchase', '29 days', NULL, cutoff_after => '22 days')) AS open;

-- (evaluate(...)).* is one call, which reads timelines once, whether the horizon is over or not
SET track_functions = 'all';
CREATE FUNCTION reads() RETURNS bigint LANGUAGE sql VOLATILE AS $$ SELECT seq_scan FROM pg_stat_xact_all_tables WHERE relid = 'leadscore.lead_timeline'::regclass $$;
SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off;
BEGIN;
SELECT reads() AS before \gset
SELECT leads, conversions > 100 AS conversions, auc > 0.5 AS auc FROM (SELECT (evaluate(scorecard('shop'), 'purchase', '2 days', '{2026-02-01}')).*) e;
SELECT reads() - :before AS reads, (SELECT calls FROM pg_stat_xact_user_functions WHERE funcid = 'evaluate(jsonb,text,interval,timestamptz[],interval,boolean,interval,text)'::regprocedure) AS calls;
COMMIT;
BEGIN;
SELECT reads() AS before \gset
SELECT leads FROM evaluate(scorecard('shop'), 'purchase', '90 days', '{2026-02-01}');
SELECT reads() - :before AS reads;
COMMIT;
RESET track_functions; RESET enable_indexscan; RESET enable_bitmapscan; RESET enable_indexonlyscan;

-- The end of the data, where they have hours, and where they have days: the last of these is over.
SET client_min_messages = warning;
SELECT leads FROM evaluate(scorecard('shop'), 'purchase', '2 days', '{2026-02-01,2026-02-27 12:00Z}', '365 days');
DELETE FROM event WHERE lead_id = 'end';
UPDATE event SET occurred_at = date_trunc('day', occurred_at, 'UTC');
SELECT leads FROM evaluate(scorecard('shop'), 'purchase', '2 days', '{2026-02-01}');
SELECT leads FROM evaluate(scorecard('shop'), 'purchase', '49 hours', '{2026-02-01}');
SELECT count(*) FROM training_set(scorecard('shop'), 'purchase', '2 days', '{2026-02-01}');
SELECT count(*) FROM training_set(scorecard('shop'), 'purchase', '49 hours', '{2026-02-01}');
UPDATE event SET occurred_at = occurred_at - interval '1 hour';		-- midnight in Berlin
SELECT leads FROM evaluate(scorecard('shop'), 'purchase', '2 days', '{2026-01-31 23:00Z}');
UPDATE model SET time_zone = 'Europe/Berlin';
SELECT leads FROM evaluate(scorecard('shop'), 'purchase', '2 days', '{2026-01-31 23:00Z}');

SELECT refused(ARRAY[
	$$SELECT fit(scorecard('shop'), 'purchase', '2 days', '{2026-01-31}', pairs => -1)$$,
	$$SELECT fit(scorecard('shop'), 'purchase', '2 days', '{2026-01-31}', pairs => 11)$$,
	$$SELECT fit(scorecard('shop'), 'purchase', '2 days', '{2026-01-31}', max_weights => 0)$$,
	$$SELECT fit(scorecard('shop'), 'purchase', '2 days', '{2026-01-31}', lead_filter => 'lead_id IN (SELECT ''1'')')$$,
	$$SELECT fit(scorecard('shop'), 'purchase', '2 days', '{2026-01-31}', lead_filter => 'country = ''AT''')$$,
	$$SELECT * FROM evaluate(scorecard('shop'), 'purchase', '2 days', '{2026-01-31}', lead_filter => 'profile')$$,
	$$SELECT * FROM training_set(scorecard('shop'), 'purchase', '2 days', '{2026-01-31}', lead_filter => 'true; DROP TABLE example')$$,
	$$SELECT * FROM lift_table(scorecard('shop'), 'purchase', '2 days', '{2026-01-31}', cutoff_after => '1 day')$$,
	$$SELECT * FROM lift_table(scorecard('shop'), 'purchase', '2 days', NULL)$$,
	$$SELECT * FROM calibration_table(scorecard('shop'), 'purchase', '2 days', NULL, cutoff_after => '-1 day')$$,
	$$SELECT fit(scorecard('shop'), 'purchase', '2 days', '{2026-01-31}', l2 => NULL, lead_filter => 'lead_id::int <= 20')$$,
	$$SELECT fit(scorecard('shop'), 'hello', '2 days', '{2026-01-31}', bins => NULL)$$,
	$$SELECT fit(scorecard('shop'), 'nothing', '2 days', '{2026-01-31}', bins => NULL)$$]);
