\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- Bands, curves and half-lives, chosen by what happened.

-- Fine bands: {rows without a conversion, with one, lower border}. A value that a twentieth of the rows have is a band by itself; the others are divided among
-- themselves; borders are the shortest decimal numbers that divide the values.
SELECT fine_bands(n, n > 8) FROM generate_series(1, 10) n;
SELECT fine_bands(CASE WHEN n <= 70 THEN 5 ELSE n END, n % 2 = 0) FROM generate_series(1, 100) n;
SELECT array_length(fine_bands(n, n % 3 = 0), 1) AS bands, (fine_bands(n, n % 3 = 0))[1:2] AS first FROM generate_series(1, 1000) n;
-- what stands before a frequent value is a band of its own, however small
SELECT (fine_bands(CASE WHEN n = 1 THEN 1 WHEN n <= 150 THEN 2 ELSE n END, false))[1:4] FROM generate_series(1, 200) n;
SELECT fine_bands(x, false) FROM (VALUES (-3.14159), (0.1234), (0.12349), (12.75), (13.2), (4711)) v (x);
SELECT fine_bands(n, true) FROM generate_series(1, 0) n;
SELECT fine_bands(NULL::float8, true), fine_bands(1, true), fine_bands('Infinity', true);

-- Merged: three steps of 10, 30 and 60 %, each of four fine bands, are three bands.
SELECT merge_bands(ARRAY[[90,10,0],[91,9,1],[89,11,2],[90,10,3],[70,30,4],[69,31,5],[71,29,6],[70,30,7],[40,60,8],[41,59,9],[40,60,10],[38,62,11]]);
-- nothing to tell apart: one
SELECT merge_bands(ARRAY[[90,10,0],[91,9,1],[89,11,2],[90,10,3]]);
-- a dent that chance may have made is smoothed away; where rates truly rise and fall, the bands do
SELECT merge_bands(ARRAY[[90,10,0],[80,20,1],[70,30,2],[72,28,3],[60,40,4],[40,60,5]]) AS rising, merge_bands(ARRAY[[90,10,0],[40,60,1],[90,10,2]]) AS both_ways;
-- a dent that chance alone would hardly make is smoothed as well where what it tells is next to nothing beside the rise
SELECT merge_bands(ARRAY[[900,100,0],[700,300,1],[770,230,2],[300,700,3]]);
-- fewer than ten rows, or one in a hundred, are no band
SELECT merge_bands(ARRAY[[0,9,0],[1000,0,1]]) AS few, merge_bands(ARRAY[[0,12,0],[1000,0,1]]) AS enough, merge_bands(ARRAY[[0,12,0],[2000,0,1]]) AS small_share;
-- one outcome
SELECT merge_bands(ARRAY[[0,50,0],[0,50,1]]) AS converted, merge_bands(ARRAY[[50,0,0],[50,0,1]]) AS others;
SELECT refused(ARRAY[
	$$SELECT merge_bands(ARRAY[[1,2],[3,4]])$$,
	$$SELECT merge_bands(ARRAY[1,2,3])$$,
	$$SELECT merge_bands('{}')$$,
	$$SELECT merge_bands(ARRAY[[1,2,NULL]])$$,
	$$SELECT merge_bands(ARRAY[[0,0,1]])$$,
	$$SELECT merge_bands(ARRAY[[-1,5,1]])$$,
	$$SELECT merge_bands(ARRAY[['NaN'::float8,5,1]])$$,
	$$SELECT merge_bands(array_fill(1::float8, ARRAY[201, 3]))$$]);

-- 1,200 leads with 0 to 11 views each; of those with 0 to 2 one in ten buys, with 3 to 7 half of them, with 8 or more one in ten again.
-- What they spend on visits, 0 to 1000, tells by its logarithm; nobody clicked.
SELECT publish('{"model": "shop", "signals": [{"signal": "view", "kind": "view"}, {"signal": "visit", "kind": "visit"}, {"signal": "click", "kind": "click"}, {"signal": "purchase", "kind": "purchase"}, {"signal": "german", "subject": "profile", "match": {"country": "DE"}}],
	"categories": [{"category": "c", "max_points": 5}], "stages": [{"stage": "s", "position": 1}],
	"weights": [{"signal": "view", "points": 2, "max_points": 4, "category": "c"}, {"signal": "view", "at_least": 3, "points": 5, "stage": "s"}, {"signal": "visit", "measure": "value", "points": 1},
		{"signal": "view", "measure": "days_since_last", "points": -1}, {"signal": "click", "points": 1}, {"signal": "german", "points": 3}]}');
CREATE TABLE example AS SELECT n, n % 12 AS views, exp((n / 12) % 7) AS spent, CASE WHEN n % 12 BETWEEN 3 AND 7 THEN (n / 12) % 2 = 0 ELSE (n / 12) % 10 = 0 END OR (n / 12) % 7 > (n / 84) % 9 + 2 AS converted FROM generate_series(0, 1199) n;
INSERT INTO lead SELECT n, jsonb_build_object('country', CASE n % 5 WHEN 0 THEN 'DE' ELSE 'AT' END) FROM example;
INSERT INTO event (lead_id, kind, occurred_at, value)
	SELECT n, 'view', '2026-01-28 10:00Z'::timestamptz, NULL::numeric FROM example, generate_series(1, views)
	UNION ALL SELECT n, 'visit', '2026-01-28 10:00Z', round(spent::numeric, 2) FROM example
	UNION ALL SELECT n, 'purchase', '2026-02-02 10:00Z', NULL FROM example WHERE converted;
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('end', 'end', '2026-03-01');
SET client_min_messages = error;
CREATE TABLE fitted AS SELECT fit(scorecard(), 'purchase', '2 days', '{2026-02-01}', bins => true) AS card;

-- one set of bands for each thing that is measured, in the place of its first weight, with its category and stage; what could not be measured stays as it is
SELECT w - 'points' AS weight, (w -> 'points')::float8 = 0 AS no_points FROM fitted, jsonb_array_elements(card -> 'weights') w;
SELECT b ->> 'signal' AS signal, b ->> 'measure' AS measure, b ->> 'curve' AS curve, b ->> 'direction' AS direction, round((b -> 'information_value')::numeric, 3) AS information_value,
	round((b -> 'information_value')::numeric / nullif((b -> 'fine_information_value')::numeric, 0), 2) AS kept, b -> 'missing' -> 'leads' AS missing
FROM fitted, jsonb_array_elements(card #> '{report,bins}') b;

-- leads, conversions and weight of evidence of each band, counted by hand
SELECT b - 'weight_of_evidence' AS band, round((b -> 'weight_of_evidence')::numeric - ln(((e.c + 0.5) / a.c) / ((e.n - e.c + 0.5) / (a.n - a.c))), 9) AS difference
FROM fitted, jsonb_array_elements(card #> '{report,bins,0,bands}') b, (SELECT count(*) AS n, count(*) FILTER (WHERE converted) AS c FROM example) a,
	LATERAL (SELECT count(*) AS n, count(*) FILTER (WHERE converted) AS c FROM example WHERE views > 0 AND (views >= (b ->> 'at_least')::float8) IS NOT FALSE AND (views < (b ->> 'below')::float8) IS NOT FALSE) e;
SELECT card #> '{report,bins,0,missing}' ->> 'conversions' AS missing, (SELECT count(*) FROM example WHERE views = 0 AND converted) AS counted FROM fitted;

-- it does better than lines, is a scorecard like any other, and says how well it did on leads that had no say in its bands
SELECT b.auc > a.auc + 0.02 AS better, abs(b.log_loss * b.leads + (card #>> '{report,log_likelihood}')::float8) < 1e-6 AS as_reported, (card #>> '{report,auc_out_of_sample}')::float8 BETWEEN 0.6 AND 1 AS out_of_sample
FROM fitted, evaluate(fit(scorecard(), 'purchase', '2 days', '{2026-02-01}'), 'purchase', '2 days', '{2026-02-01}') a, evaluate(card, 'purchase', '2 days', '{2026-02-01}') b;
BEGIN;
SELECT publish(card) FROM fitted;
SELECT count(*) AS weights, count(DISTINCT weight_id) AS numbers FROM weight;
ROLLBACK;
-- the outcomes of the 30 % change neither the bands nor the points of the model that they judge
SELECT (fit(scorecard(), 'purchase', '2 days', '{2026-02-01}', bins => true) #> '{report,auc_in_sample}') AS before \gset
BEGIN;
DELETE FROM event WHERE kind = 'purchase' AND hashtextextended(lead_id, 0) & 1023 >= 717;
INSERT INTO event (lead_id, kind, occurred_at) SELECT n, 'purchase', '2026-02-02 10:00Z' FROM example WHERE hashtextextended(n::text, 0) & 1023 >= 717 AND views IN (1, 5, 6, 11);
SELECT (fit(scorecard(), 'purchase', '2 days', '{2026-02-01}', bins => true) #> '{report,auc_in_sample}') = :'before' AS same;
ROLLBACK;

-- Half-lives: 2,000 leads with one visit each, 1 to 40 days ago, and 2,000 with a download; the odds follow visits with a half-life of four days, and downloads with none.
TRUNCATE event, lead;
SELECT publish('{"model": "shop", "signals": [{"signal": "visit", "kind": "visit"}, {"signal": "download", "kind": "download"}, {"signal": "purchase", "kind": "purchase"}],
	"weights": [{"signal": "visit", "points": 5, "half_life": "30 days"}, {"signal": "download", "points": 5, "half_life": "30 days"}, {"signal": "visit", "measure": "days_since_first", "points": 0, "at_least": 1000}]}');
INSERT INTO event (lead_id, kind, occurred_at)
	SELECT 'v' || n, 'visit', '2026-02-01'::timestamptz - (1 + n % 40) * interval '1 day' FROM generate_series(1, 2000) n
	UNION ALL SELECT 'd' || n, 'download', '2026-02-01'::timestamptz - (1 + n % 40) * interval '1 day' FROM generate_series(1, 2000) n
	UNION ALL SELECT 'v' || n, 'purchase', '2026-02-02' FROM generate_series(1, 2000) n WHERE ((n / 40) + 0.5) / 50 < 1 / (1 + exp(3 - 6 * 2 ^ (-(1 + n % 40) / 4.0)))
	UNION ALL SELECT 'd' || n, 'purchase', '2026-02-02' FROM generate_series(1, 2000) n WHERE (n / 40) % 5 < 2;
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('end', 'end', '2026-03-01');
CREATE TABLE learned AS SELECT fit(scorecard(), 'purchase', '2 days', '{2026-02-01}', decay => 'learn') AS card;
SELECT jsonb_path_query_array(card, '$.weights[*].half_life') AS half_lives, card #> '{report,decay,half_lives}' AS report, card #> '{report,decay,leads}' AS leads, card #> '{report,decay,kept}' AS kept,
	(card #> '{report,decay,log_likelihood}')::float8 > (card #> '{report,decay,log_likelihood_before}')::float8 + 10 AS likelier, jsonb_array_length(card #> '{report,decay,grid}') AS tried FROM learned;
-- the likelihoods are those of cards with these half-lives
SELECT round((card #> '{report,decay,log_likelihood}')::numeric - (card #> '{report,log_likelihood}')::numeric, 6) AS learned,
	round((card #> '{report,decay,log_likelihood_before}')::numeric - (fit(scorecard(), 'purchase', '2 days', '{2026-02-01}') #> '{report,log_likelihood}')::numeric, 6) AS before FROM learned;
-- seven leads in ten choose for themselves: what the others do changes nothing that is judged by those
SELECT (fit(scorecard(), 'purchase', '2 days', '{2026-02-01}', decay => 'learn') #> '{report,auc_in_sample}') AS before \gset
BEGIN;
DELETE FROM event WHERE kind = 'purchase' AND hashtextextended(lead_id, 0) & 1023 >= 717;
INSERT INTO event (lead_id, kind, occurred_at) SELECT 'v' || n, 'purchase', '2026-02-02 10:00Z' FROM generate_series(1, 2000) n WHERE hashtextextended('v' || n, 0) & 1023 >= 717 AND n % 40 > 30;
SELECT (fit(scorecard(), 'purchase', '2 days', '{2026-02-01}', decay => 'learn') #> '{report,auc_in_sample}') = :'before' AS same,
	fit(scorecard(), 'purchase', '2 days', '{2026-02-01}', decay => 'learn') #> '{report,decay,half_lives}' <> card #> '{report,decay,half_lives}' AS other_half_lives FROM learned;
ROLLBACK;
-- with bands as well
SELECT card #> '{report,decay,half_lives}' AS half_lives, jsonb_path_query_array(card, '$.report.bins[*].curve') AS curves FROM (SELECT fit(scorecard(), 'purchase', '2 days', '{2026-02-01}', bins => true, decay => 'learn') AS card) f;
-- what cannot be likelier is kept, and so is fading
SELECT card #> '{report,decay,kept}' AS kept, jsonb_path_query_array(card, '$.weights[*].half_life') AS half_lives FROM (SELECT fit(jsonb_set(scorecard(), '{weights}', (SELECT jsonb_agg(CASE w ->> 'signal' WHEN 'visit' THEN w || '{"half_life": "100 hours"}' ELSE w - 'half_life' END) FROM jsonb_array_elements(scorecard() -> 'weights') w)), 'purchase', '2 days', '{2026-02-01}', decay => 'learn') AS card) f;
SELECT card #> '{report,decay}' AS decay, jsonb_path_query_array(card, '$.weights[*].fades_over') AS fades_over FROM (SELECT fit(jsonb_set(scorecard(), '{weights}', (SELECT jsonb_agg(w || '{"fades_over": "30 days"}') FROM jsonb_array_elements(scorecard() -> 'weights') w)), 'purchase', '2 days', '{2026-02-01}', decay => 'learn') AS card) f;
SELECT refused(ARRAY[$$SELECT fit(scorecard(), 'purchase', '2 days', '{2026-02-01}', decay => 'guess')$$,
	$$SELECT fit(scorecard(), 'purchase', '1 hour', '{2026-02-01}', decay => 'learn', bins => true)$$,
	$$SELECT fit(scorecard(), 'purchase', '2 days', '{2001-01-01}', decay => 'learn')$$,
	$$SELECT fit(scorecard(), 'purchase', '2 days', '{2001-01-01}', decay => 'learn', bins => true, profile => true)$$]);
