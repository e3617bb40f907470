\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- A whole card from events and profiles, in one call.

-- 2,000 leads. What tells: pages (an event kind that no signal counts), the country, the number of employees, whether
-- there is a website, and a download together with a large company.
SET client_min_messages = error;
CREATE TABLE example AS
SELECT n, n % 7 AS pages, CASE n % 5 WHEN 0 THEN 'AT' WHEN 1 THEN 'CH' ELSE 'DE' END AS country, n * 7919 % 1000 AS employees, n % 4 > 0 AS website, n * 31 % 11 < 4 AS download,
	n * 104729 % 9973 / 9973.0 < 1 / (1 + exp(4 - 0.35 * (n % 7) - CASE n % 5 WHEN 0 THEN 1.2 ELSE 0 END - n * 7919 % 1000 / 600.0 + CASE WHEN n % 4 > 0 THEN 0 ELSE 1 END
		- CASE WHEN n * 31 % 11 < 4 AND n * 7919 % 1000 >= 500 THEN 2 ELSE 0 END)) AS converted
FROM generate_series(1, 2000) n;
INSERT INTO lead SELECT n, jsonb_strip_nulls(jsonb_build_object('country', country, 'employees', employees, 'email', n || '@example.org', 'download', download, 'website', CASE WHEN website THEN 'w' END)) FROM example;
INSERT INTO event (lead_id, kind, properties, occurred_at)
	SELECT n, 'page', CASE WHEN n % 5 = 0 THEN '{"topic": "prices"}'::jsonb ELSE '{"topic": "news"}' END, '2026-01-20 10:00Z'::timestamptz + i * interval '1 day' FROM example, generate_series(1, pages) i
	UNION ALL SELECT n, 'hello', NULL, '2026-01-10 10:00Z' FROM example
	UNION ALL SELECT n, 'purchase', NULL, '2026-02-02 10:00Z' FROM example WHERE converted;
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('end', 'end', '2026-03-01');
CREATE TABLE proposed AS SELECT propose('purchase', '2 days', '{2026-02-01}', 'shop') AS card;

-- while it runs the view progress shows it, and no longer
SELECT count(*) FROM progress;
BEGIN;
SELECT leadscore_internal.begin_progress('propose', 0), leadscore_internal.report_progress('propose', 'choosing', NULL, NULL);
SELECT command, phase, done FROM progress;
ROLLBACK;

-- nothing is learned from excluded leads, though no signal counts their events yet
BEGIN;
INSERT INTO excluded_lead (lead_id, reason) SELECT n, 'staff' FROM example WHERE n <= 500;
SELECT propose('purchase', '2 days', '{2026-02-01}', 'shop', pairs => 0, max_weights => 5) #> '{report,leads}' AS leads;
ROLLBACK;

-- their events are no candidates, and not the end of the data
BEGIN;
INSERT INTO event (lead_id, kind, properties, occurred_at) SELECT 'bot ' || n, 'crawl', '{"engine": "x"}', '2026-03-15' FROM generate_series(1, 30) n;
INSERT INTO excluded_lead (lead_id, reason) SELECT 'bot ' || n, 'bot' FROM generate_series(1, 30) n;
SELECT data_end, (SELECT string_agg(DISTINCT s ->> 'kind', ', ' ORDER BY s ->> 'kind') FROM jsonb_array_elements(fresh -> 'signals') s) AS kinds
FROM (SELECT leadscore_internal.fresh_signals() AS fresh) f, leadscore_internal.data_range(fresh);
ROLLBACK;

-- it looks at all of these, and says what it found
SELECT count(*) FILTER (WHERE s ->> 'kind' = 'page' AND NOT s ? 'match') AS page, count(*) FILTER (WHERE s #>> '{match,country}' = 'AT') AS austria, count(*) FILTER (WHERE s ->> 'condition' LIKE '$."employees" >= %') > 1 AS employees,
	count(*) FILTER (WHERE s ->> 'condition' = '!exists($."website")') AS website FROM proposed, jsonb_array_elements(card -> 'signals') s;
SELECT jsonb_array_length(card -> 'weights') + jsonb_array_length(card -> 'rules') BETWEEN 10 AND 60 AS short, (SELECT bool_and((w -> 'points')::numeric % 1 = 0) FROM jsonb_array_elements(card -> 'weights') w) AS whole_points,
	card #> '{report,left_out}' AS left_out, card #> '{report,leads}' AS leads, (card #> '{report,conversions}')::int = (SELECT count(*) FROM example WHERE converted) AS conversions,
	(card #> '{report,auc_cross_validated}')::float8 BETWEEN 0.7 AND 0.9 AS auc, (card #> '{report,loss_of_coarsening}')::float8 < 0.005 AS loss, jsonb_array_length(card #> '{report,choices}') > 5 AS choices FROM proposed;
SELECT regexp_replace(card #>> '{report,text}', '-?[0-9.]+( %)?', 'n', 'g') AS text FROM (SELECT jsonb_set(card, '{report,text}', to_jsonb(regexp_replace(card #>> '{report,text}', 'What brings[^\n]*\n', ''))) AS card FROM proposed) p;
-- download and large company are more than their sum
SELECT count(*) > 0 AS rules FROM proposed, jsonb_array_elements(card -> 'rules') r WHERE r::text LIKE '%download%' AND r::text LIKE '%employees%';

-- it is a scorecard like any other; published and counted it predicts, and its probabilities are right on the whole
SELECT publish(card) FROM proposed;
CALL rebuild();
SELECT auc > 0.75 AS auc, abs(log_loss - (card #> '{report,log_loss_cross_validated}')::float8) < 0.03 AS log_loss FROM proposed, evaluate(scorecard('shop'), 'purchase', '2 days', '{2026-02-01}');
SELECT abs(sum(leads * predicted) / sum(leads * observed) - 1) < 0.02 AS as_many FROM calibration_table(scorecard('shop'), 'purchase', '2 days', '{2026-02-01}');
SELECT s ->> 'segment' AS segment, s ? 'min_score' AS has_limit FROM jsonb_array_elements(scorecard('shop') -> 'segments') s ORDER BY (s -> 'position')::int;

-- steps add up, and are no mistake
SELECT count(*) FROM lint('shop') WHERE problem LIKE '%overlaps%';

-- learned again, it replaces what was learned, and a weight of the shop's own counts
SELECT jsonb_array_length(again -> 'weights') <= 60 AS short, (SELECT count(*) FROM jsonb_array_elements(again -> 'weights') w WHERE w ->> 'category' IS NULL) AS own, (again #> '{report,own}')::float8 = 0 AS no_own
FROM (SELECT propose('purchase', '2 days', '{2026-02-01}', 'shop') AS again) a;
BEGIN;
DELETE FROM weight WHERE model = 'shop';
INSERT INTO weight (model, signal, measure, points) VALUES ('shop', 'page', 'count', 10);
SELECT (again #> '{report,own}')::float8 > 0 AS own, (SELECT (w -> 'points')::float8 > 5 FROM jsonb_array_elements(again -> 'weights') w WHERE w ->> 'category' IS NULL) AS points
FROM (SELECT propose('purchase', '2 days', '{2026-02-01}', 'shop') AS again) a;
-- as many as the card expects convert, its own points among those that were learned
SELECT abs(sum(leads * predicted) / sum(leads * observed) - 1) < 0.02 AS as_many
FROM (SELECT propose('purchase', '2 days', '{2026-02-01}', 'shop', events => false) AS again) a, calibration_table(again - 'report', 'purchase', '2 days', '{2026-02-01}');
ROLLBACK;

-- who counts
SELECT f, (propose('purchase', '2 days', c, active_within => NULL, lead_filter => f, once => o, cutoff_after => a, pairs => 0) #>> '{report,leads}') AS leads
FROM (VALUES ('{2026-02-01}'::timestamptz[], 'profile ->> ''country'' = ''DE''', false, NULL::interval), ('{2026-02-01}', 'length(lead_id) < 4', false, NULL), (NULL, 'lead_id <> ''end''', false, '22 days'), ('{2026-02-01,2026-02-02 11:00Z}', NULL, true, NULL)) v (c, f, o, a);
SELECT count(*) FILTER (WHERE country = 'DE') AS german, count(*) FILTER (WHERE n < 1000) + 1 AS short, count(*) AS everybody, 2 * count(*) + 2 - count(*) FILTER (WHERE converted) AS once FROM example;
-- of events, the values of properties tell, too, and have names for people
SELECT count(*) > 0 AS topics, min(s ->> 'label') AS label FROM jsonb_array_elements(propose('purchase', '2 days', '{2026-02-01}', 'other', profile => false) -> 'signals') s WHERE s ? 'match';
SELECT count(*) FILTER (WHERE NOT s ? 'label') AS unnamed, min(s ->> 'label') FILTER (WHERE s #>> '{match,country}' = 'AT') AS austria FROM proposed, jsonb_array_elements(card -> 'signals') s WHERE s ->> 'subject' = 'profile';
-- events alone, profiles alone
SELECT (SELECT count(*) FROM jsonb_array_elements(propose('purchase', '2 days', '{2026-02-01}', 'other', profile => false) -> 'signals') s WHERE s ->> 'subject' = 'profile') AS profiles,
	(SELECT count(*) FROM jsonb_array_elements(propose('purchase', '2 days', '{2026-02-01}', 'other', events => false) -> 'weights') w WHERE w ->> 'measure' <> 'present') AS measures;

SELECT refused(ARRAY[
	$$SELECT propose('purchase', '2 days', '{2026-02-01}', lead_filter => 'lead_id IN (SELECT ''1'')')$$,
	$$SELECT propose('purchase', '2 days', '{2026-02-01}', lead_filter => 'country = ''DE''')$$,
	$$SELECT propose('purchase', '2 days', '{2026-02-01}', lead_filter => 'lead_id')$$,
	$$SELECT propose('purchase', '2 days', '{2026-02-01}', lead_filter => 'lead_id = ''1'' AND')$$,
	$$SELECT propose('purchase', '2 days', '{2026-02-01}', lead_filter => 'lead_id::int < 40')$$,
	$$SELECT propose('purchase', '2 days', '{2026-02-01}', pairs => -1)$$,
	$$SELECT propose('purchase', '2 days', '{2026-02-01}', max_weights => 0)$$,
	$$SELECT propose('purchase', '2 days', '{2026-02-01}', cutoff_after => '1 day')$$,
	$$SELECT propose('nothing', '2 days', '{2026-02-01}')$$,
	$$SELECT propose(NULL, '2 days', '{2026-02-01}')$$,
	$$SELECT propose('hello', '2 days', '{2026-02-01}')$$]);
