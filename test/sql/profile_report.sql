\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- The attributes that those who convert share, and weights for them.

SELECT publish('{"model": "shop", "signals": [{"signal": "visit", "kind": "visit"}, {"signal": "purchase", "kind": "purchase"}, {"signal": "german", "subject": "profile", "match": {"country": "DE"}}],
	"weights": [{"signal": "visit", "points": 1}]}');
-- 600 leads: of 200 in AT 120 buy, of 400 others 80; those who buy have 300 to 599 employees, the others 1 to 600; each has an e-mail of its own; a quarter has tags that mean
-- nothing, as ranks and flags do; what is nested or null is no attribute; and 60 have an empty profile.
SET client_min_messages = error;
CREATE TABLE example AS SELECT n, n % 3 = 0 AS at, n > 400 AS large, CASE WHEN n % 3 = 0 THEN n % 5 < 3 ELSE n % 5 < 1 END AS converted FROM generate_series(1, 600) n;
INSERT INTO lead SELECT n, jsonb_build_object('country', CASE WHEN at THEN 'AT' WHEN n % 2 = 0 THEN 'DE' ELSE 'CH' END, 'employees', CASE WHEN converted THEN 300 + n % 300 ELSE n END,
	'email', n || '@example.org', 'active', true, 'odd "name"', n % 7 = 0, 'rank', n % 4, 'tags', CASE WHEN n % 4 = 0 THEN '["x", "x", 7]'::jsonb ELSE '[]' END, 'nothing', NULL, 'nested', '{"a": 1}'::jsonb) FROM example;
UPDATE lead SET profile = '{}' WHERE lead_id::int > 540;
INSERT INTO event (lead_id, kind, occurred_at)
	SELECT n, 'visit', '2026-01-28 10:00Z'::timestamptz FROM example UNION ALL SELECT n, 'purchase', '2026-02-02 10:00Z' FROM example WHERE converted;
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('end', 'end', '2026-03-01');
SELECT attribute, value, at_least, below, leads, conversions, round(rate::numeric, 4) AS rate, round(rate_without::numeric, 4) AS without, round(lift::numeric, 3) AS lift, round(information_value::numeric, 3) AS information_value, round(p_value::numeric, 6) AS p, verdict, match, condition
FROM profile_report('purchase', '2 days', '{2026-02-01}');
-- counted by hand: rates, and z by the pooled variance
SELECT p.conversions = e.c AND p.leads = e.n AS counted, round((p.p_value - normal_tails((e.c::float8 / e.n - (200 - e.c) / (600 - e.n)::float8) / sqrt(1 / 3. * 2 / 3. * (1 / e.n::float8 + 1 / (600 - e.n)::float8))))::numeric, 12) AS p,
	round((p.lift - 3 * e.c / e.n::float8)::numeric, 12) AS lift
FROM profile_report('purchase', '2 days', '{2026-02-01}') p, (SELECT count(*) AS n, count(*) FILTER (WHERE converted) AS c FROM example WHERE at AND n <= 540) e WHERE p.value = '"AT"';
SELECT count(*) FILTER (WHERE leads < 100) AS few, count(*) FILTER (WHERE attribute = 'email') AS mails FROM profile_report('purchase', '2 days', '{2026-02-01}', min_leads => 100);
SELECT count(*) FILTER (WHERE attribute = 'email') AS mails FROM profile_report('purchase', '2 days', '{2026-02-01}', min_leads => 1);

-- in the fitted document: what tells, and is not there yet, with points of its own
CREATE TABLE fitted AS SELECT fit(scorecard(), 'purchase', '2 days', '{2026-02-01}', profile => true) AS card;
SELECT s FROM fitted, jsonb_array_elements(card -> 'signals') s WHERE s ->> 'subject' = 'profile';
SELECT w ->> 'signal' AS signal, w -> 'measure' AS measure, (w -> 'points')::float8 > 0 AS points FROM fitted, jsonb_array_elements(card -> 'weights') w;
SELECT p - '{match,condition,information_value,p_value,lift}'::text[] AS proposed FROM fitted, jsonb_array_elements(card #> '{report,profile}') p;
SELECT a.auc > b.auc + 0.1 AS better, abs(a.log_loss * a.leads + (card #>> '{report,log_likelihood}')::float8) < 1e-6 AS as_reported
FROM fitted, evaluate(card, 'purchase', '2 days', '{2026-02-01}') a, evaluate(fit(scorecard(), 'purchase', '2 days', '{2026-02-01}'), 'purchase', '2 days', '{2026-02-01}') b;
-- seven leads in ten choose for themselves: what the others do changes nothing that is judged by those
SELECT (card #> '{report,auc_in_sample}') AS before FROM fitted \gset
BEGIN;
DELETE FROM event WHERE kind = 'purchase' AND hashtextextended(lead_id, 0) & 1023 >= 717;
INSERT INTO event (lead_id, kind, occurred_at) SELECT n, 'purchase', '2026-02-02 10:00Z' FROM example WHERE hashtextextended(n::text, 0) & 1023 >= 717 AND NOT at AND n % 2 = 0;
SELECT (card #> '{report,auc_in_sample}') = :'before' AS same, jsonb_path_query_array(card, '$.report.profile[*].signal') AS proposed FROM (SELECT fit(scorecard(), 'purchase', '2 days', '{2026-02-01}', profile => true) AS card) f;
ROLLBACK;
-- published, it scores by them; fitted again, what was proposed is replaced; with a card without weights it is all
-- there is
SELECT publish(card) FROM fitted;
SELECT fit > 0 AS fits FROM lead_score WHERE lead_id = '405';
SELECT jsonb_path_query_array(fit(scorecard(), 'purchase', '2 days', '{2026-02-01}', profile => true), '$.weights[*].signal') = jsonb_path_query_array(scorecard(), '$.weights[*].signal') AS replaced;
SELECT jsonb_path_query_array(card, '$.report.profile[*].signal') AS others
FROM (SELECT fit('{"model": "m", "signals": [{"signal": "austrian", "subject": "profile", "match": {"country": "AT"}}, {"signal": "small", "subject": "profile", "condition": "$.employees < 284"}],
	"weights": [{"signal": "austrian", "points": 1}, {"signal": "small", "points": 1}]}', 'purchase', '2 days', '{2026-02-01}', profile => true) AS card) f;
SELECT jsonb_array_length(fit('{"model": "m"}', 'purchase', '2 days', '{2026-02-01}', profile => true) -> 'weights') AS weights;
SELECT count(*) FROM profile_report('purchase', '1 hour', '{2026-02-01}') WHERE verdict <> 'no evidence' OR p_value IS NOT NULL;
SELECT refused(ARRAY['SELECT profile_report(''purchase'', ''2 days'', ''{2026-02-01}'', min_leads => 0)', 'SELECT profile_report(''none'', ''2 days'', ''{2026-02-01}'')', 'SELECT profile_report(NULL, ''2 days'', ''{2026-02-01}'')']);

-- values that read the same are told apart; a number that is next to none is 0
UPDATE lead SET profile = jsonb_build_object('size', CASE WHEN NOT converted THEN '"none"'::jsonb WHEN n % 2 = 0 THEN '"5"' ELSE '5' END, 'tiny', CASE WHEN n = 7 THEN '1e-400'::jsonb ELSE to_jsonb(n) END)
FROM example WHERE lead_id = n::text;
SELECT jsonb_path_query_array(fit('{"model": "m"}', 'purchase', '2 days', '{2026-02-01}', profile => true), '$.report.profile[*].signal') AS signals;
