\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- How many leads each segment had: by hand, against each lead's own appraisal, and as days that stay.
SELECT publish('{"model": "m", "signals": [{"signal": "visit", "kind": "visit"}, {"signal": "purchase", "kind": "purchase"}],
	"weights": [{"signal": "visit", "points": 1}, {"signal": "purchase", "points": 10, "within": "2 days"}],
	"segments": [{"segment": "hot", "position": 1, "min_score": 10}, {"segment": "warm", "position": 2, "min_score": 1.5}]}');
-- anna comes on the 1st and is in no segment; on the 2nd she is warm; on the 3rd at noon she buys and is hot, until
-- the 5th at noon. ben comes and buys on the 4th.
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('anna', 'visit', '2026-03-01 09:00Z'), ('anna', 'visit', '2026-03-02 09:00Z'), ('anna', 'purchase', '2026-03-03 12:00Z'),
	('ben', 'purchase', '2026-03-04 08:00Z');
SELECT * FROM segment_history('m', '2026-02-28 23:00Z', '2026-03-06 23:00Z');
-- the hour of an instant counts whole, as for score()
SELECT * FROM segment_history('m', '2026-03-03 11:59Z', '2026-03-03 12:01Z', '1 minute');
SELECT * FROM segment_flow('m', '2026-03-02 23:00Z', '2026-03-04 23:00Z');
SELECT * FROM segment_flow('m', '2026-03-04 23:00Z', '2026-03-06 23:00Z');
-- a lead without a timeline is there at all instants: nothing is known of when it came
INSERT INTO lead VALUES ('carl', '{"country": "DE"}');
SELECT * FROM segment_history('m', '2026-02-28 23:00Z', '2026-03-01 23:00Z');
DELETE FROM lead;

-- days are those of the model's zone: of its calendar, whatever the session's zone is; a step of hours is one by the
-- clock
UPDATE model SET time_zone = 'Europe/Berlin' WHERE model = 'm';
SET timezone = 'America/New_York';
SELECT array_agg(DISTINCT at AT TIME ZONE 'Europe/Berlin' ORDER BY at AT TIME ZONE 'Europe/Berlin') AS days FROM segment_history('m', '2026-03-27 23:00Z', '2026-03-30 22:00Z');
SELECT array_agg(DISTINCT at AT TIME ZONE 'Europe/Berlin' ORDER BY at AT TIME ZONE 'Europe/Berlin') AS hours FROM segment_history('m', '2026-03-28 23:00Z', '2026-03-29 22:00Z', '12 hours');
SELECT array_agg(DISTINCT at AT TIME ZONE 'Europe/Berlin' ORDER BY at AT TIME ZONE 'Europe/Berlin') AS both FROM segment_history('m', '2026-03-27 23:00Z', '2026-03-31 22:00Z', '1 day 6 hours');
SET timezone = 'UTC';
UPDATE model SET time_zone = NULL WHERE model = 'm';

-- what is no span, no step, or too much of it
\pset tuples_only on
\pset format unaligned
SELECT refused(ARRAY[$$SELECT segment_history('m', '2026-03-02', '2026-03-01')$$, $$SELECT segment_history('m', '-infinity', '2026-03-01')$$, $$SELECT segment_history('m', '2026-03-01', 'infinity')$$,
	$$SELECT segment_history('m', NULL)$$, $$SELECT segment_history('m', until => NULL)$$, $$SELECT segment_history('m', step => NULL)$$, $$SELECT segment_history('m', step => '0')$$, $$SELECT segment_history('m', step => '-1 day')$$,
	$$SELECT segment_history('m', step => '2 days -1 hour')$$, $$SELECT segment_history('m', step => '1 month')$$, $$SELECT segment_history('m', step => '1 year 2 days')$$, $$SELECT segment_history('m', '1960-01-01', '2026-03-01')$$,
	$$SELECT segment_history('m', '2026-03-01', '2026-03-02', '0.08 seconds')$$, $$SELECT segment_history('m', '1970-01-01', '9999-12-30')$$, $$SELECT segment_history('nobody')$$, $$SELECT segment_flow('nobody')$$,
	$$SELECT segment_flow('m', '2026-03-02', '2026-03-01')$$, $$SELECT segment_flow('m', '-infinity', '2026-03-01')$$, $$SELECT segment_flow('m', NULL, '2026-03-01')$$]);
\pset tuples_only off
\pset format aligned
-- as many instants as there may be
SELECT count(DISTINCT at) FROM segment_history('m', '2026-03-02 00:00Z', '2026-03-02 00:00Z'::timestamptz + 9999 * interval '6 hours', '6 hours');
SELECT count(*) FROM segment_history('m', '2026-03-02 00:00Z', '2026-03-02 00:00Z');
-- nobody was there
SELECT * FROM segment_history('m', '2020-01-01', '2020-02-01');
SELECT * FROM segment_flow('m', '2020-01-01', '2020-02-01');

-- An experiment: each lead by the model of its arm, while it runs.
SELECT publish('{"model": "n", "signals": [{"signal": "visit", "kind": "visit"}], "weights": [{"signal": "visit", "points": 100}], "segments": [{"segment": "hot", "position": 1, "min_score": 10}, {"segment": "cool", "position": 2}]}');
INSERT INTO event (lead_id, kind, occurred_at) SELECT 'lead ' || n, 'visit', '2026-03-01 10:00Z' FROM generate_series(1, 40) n;
INSERT INTO experiment (experiment, control, treatment, starts_at, ends_at, salt) VALUES ('try', 'm', 'n', '2026-03-02 00:00Z', '2026-03-04 00:00Z', 'salt');
SELECT count(*) AS treated FROM visible_lead WHERE arm('try', lead_id) = 'treatment';
SELECT * FROM segment_history('try', '2026-03-01 12:00Z', '2026-03-04 12:00Z');
SELECT * FROM segment_flow('try', '2026-03-01 12:00Z', '2026-03-03 12:00Z');

-- Random histories of a model that has everything, against appraise() for each lead at each instant, to the bit.
SELECT publish('{"model": "all of it", "time_zone": "Asia/Kolkata", "floor": -20, "ceiling": 90,
	"signals": [{"signal": "visit", "kind": "visit"}, {"signal": "view", "kind": "view"}, {"signal": "cart", "kind": "cart"}, {"signal": "purchase", "kind": "purchase"}, {"signal": "mail", "kind": "mail"}, {"signal": "other", "kind": "other"},
		{"signal": "german", "subject": "profile", "match": {"country": "DE"}}, {"signal": "adult", "subject": "profile", "condition": "$.age >= 18"}],
	"weights": [
		{"signal": "visit", "points": 1, "half_life": "3 days", "max_points": 15, "category": "web"},
		{"signal": "visit", "points": 2, "measure": "active_days", "within": "20 days", "category": "web"},
		{"signal": "visit", "points": -7, "within": "30 days", "at_least": 1, "below": 4, "if_none": -3},
		{"signal": "view", "points": 0.3, "max_per_day": 2, "fades_over": "40 days", "category": "web"},
		{"signal": "view", "points": 4, "curve": "log", "half_life": "9 days", "since_signal": "purchase"},
		{"signal": "view", "points": 0.7, "within": "7 days"},
		{"signal": "cart", "measure": "value", "points": 0.05, "half_life": "5 days"},
		{"signal": "cart", "measure": "average_value", "points": 0.1, "within": "25 days", "max_points": 5},
		{"signal": "cart", "points": 3, "since_signal": "purchase", "within": "10 days", "if_none": 1},
		{"signal": "purchase", "measure": "days_since_last", "points": 10, "below": 14},
		{"signal": "purchase", "measure": "days_since_first", "points": 0.1, "max_points": 4},
		{"signal": "purchase", "measure": "value", "points": 0.02},
		{"signal": "mail", "measure": "count", "points": -0.5, "half_life": "14 days", "fades_over": "60 days", "category": "mail", "if_none": 2},
		{"signal": "german", "points": 5, "category": "who"}, {"signal": "adult", "points": 2}],
	"categories": [{"category": "web", "max_points": 30}, {"category": "mail", "min_points": -4}, {"category": "who", "max_points": 6}],
	"rules": [
		{"rule": "looks and leaves", "all_of": [{"signal": "view", "within": "6 days", "at_least": 2}], "none_of": [{"signal": "purchase", "within": "20 days"}], "points": 8, "category": "web"},
		{"rule": "german adult", "all_of": [{"signal": "german"}, {"signal": "adult"}], "points": 3, "category": "who"},
		{"rule": "engaged", "any_of": [{"signal": "cart", "measure": "value", "within": "12 days", "at_least": 60}, {"signal": "visit", "measure": "active_days", "within": "9 days", "at_least": 3}]}],
	"segments": [{"segment": "best", "position": 1, "min_score": 35, "min_fit": 2}, {"segment": "engaged", "position": 3, "rules": ["engaged"], "min_engagement": 4},
		{"segment": "good", "position": 4, "above_score": 12}, {"segment": "some", "position": 7, "min_score": 0}]}');
INSERT INTO lead SELECT 'r' || n, jsonb_build_object('country', (ARRAY['DE', 'FR'])[1 + n % 2], 'age', 10 + n % 20) FROM generate_series(1, 170) n WHERE n % 3 > 0;
INSERT INTO event (lead_id, kind, occurred_at, value)
SELECT 'r' || (1 + mod(hashint8extended(i, 1) & 1023, 150)), (ARRAY['visit', 'visit', 'view', 'view', 'view', 'cart', 'mail', 'other', 'purchase'])[1 + mod(hashint8extended(i, 2) & 1023, 9)],
	'2026-01-01 00:00Z'::timestamptz + (mod(hashint8extended(i, 3) & 1048575, 100 * 24 * 60)) * interval '1 minute', mod(hashint8extended(i, 4) & 1023, 100)
FROM generate_series(1, 4000) i;
SELECT identify('r1', 'r2'), identify('r149', 'r150');
INSERT INTO excluded_lead VALUES ('r7');
-- many in one hour
INSERT INTO event (lead_id, kind, occurred_at, value) SELECT 'r5', 'visit', '2026-02-02 10:30Z', NULL FROM generate_series(1, 30);
-- pending, for leads that have a row and that have none
INSERT INTO pending_delta (lead_id, delta) SELECT l, timeline_agg((SELECT signals()), 'cart', '2026-02-10 11:00Z'::timestamptz + n * interval '50 hours', 70, NULL) FROM unnest('{r3,new,r1}'::text[]) l, generate_series(1, 5) n GROUP BY l;
CREATE FUNCTION differences(model text, since timestamptz, until timestamptz, step interval) RETURNS TABLE (instants bigint, segments bigint, missing bigint, superfluous bigint) LANGUAGE sql AS $$
	WITH found AS MATERIALIZED (SELECT h.at, h.segment, h.segment_position, h.leads, round(h.average_score::numeric, 9) AS average FROM segment_history(model, since, until, step) h),
	wanted AS MATERIALIZED (
		SELECT i.at, (a.x).segment, (a.x).segment_position, count(*) AS leads, round(avg((a.x).score)::numeric, 9) AS average
		FROM generate_series(since, until, step) i (at), visible_lead v, LATERAL (SELECT appraise((SELECT scorecard(model)), v.timeline, v.profile, i.at) AS x OFFSET 0) a
		WHERE v.timeline IS NULL OR EXISTS (SELECT FROM timeline_entries(v.timeline) e WHERE e.hour <= i.at)
		GROUP BY 1, 2, 3)
	SELECT (SELECT count(DISTINCT at) FROM wanted), (SELECT count(DISTINCT coalesce(segment, 'none')) FROM wanted),
		(SELECT count(*) FROM (TABLE wanted EXCEPT ALL TABLE found) d), (SELECT count(*) FROM (TABLE found EXCEPT ALL TABLE wanted) d)
$$;
SELECT * FROM differences('all of it', '2025-12-30 12:00Z', '2026-04-20 12:00Z', '1 day');
SELECT * FROM differences('all of it', '2026-02-01 00:00Z', '2026-02-05 00:00Z', '1 hour');
SELECT * FROM differences('all of it', '2026-03-01 00:20Z', '2029-03-01 00:00Z', '35 days');
-- each score to the bit
SELECT count(*) AS scores, count(*) FILTER (WHERE s.score IS DISTINCT FROM c.f[k][4]) AS different
FROM (SELECT ARRAY(SELECT generate_series('2026-01-15 05:00Z'::timestamptz, '2026-04-15 05:00Z', '3 days 7 hours')) AS instants OFFSET 0) i
CROSS JOIN visible_lead v
CROSS JOIN LATERAL (SELECT census(scorecard('all of it'), t.timeline, v.profile, i.instants) AS f FROM (VALUES (v.timeline)) t (timeline)) c
CROSS JOIN generate_series(1, array_length(c.f, 1)) k
CROSS JOIN LATERAL (SELECT score(scorecard('all of it'), v.timeline, v.profile, i.instants[(c.f[k][1])::int]) AS score) s
WHERE c.f[k][3] = 1;
-- the same without rules, and without weights that are worth something in absence: all instants are finished at once
SELECT count(*) AS scores, count(*) FILTER (WHERE s.score IS DISTINCT FROM c.f[k][4]) AS different
FROM (SELECT ARRAY(SELECT generate_series('2026-01-15 05:00Z'::timestamptz, '2026-04-15 05:00Z', '3 days 7 hours')) AS instants,
	(SELECT scorecard('all of it') - 'rules' || jsonb_build_object('segments', '[]'::jsonb, 'weights', jsonb_agg(w - 'if_none'))
		FROM jsonb_array_elements(scorecard('all of it') -> 'weights') w) AS plain OFFSET 0) i
CROSS JOIN visible_lead v
CROSS JOIN LATERAL (SELECT census(i.plain, t.timeline, v.profile, i.instants) AS f FROM (VALUES (v.timeline)) t (timeline)) c
CROSS JOIN generate_series(1, array_length(c.f, 1)) k
CROSS JOIN LATERAL (SELECT score(i.plain, v.timeline, v.profile, i.instants[(c.f[k][1])::int]) AS score) s
WHERE c.f[k][3] = 1;

-- the flow against each lead's two segments
SELECT count(*) AS flows, count(*) FILTER (WHERE f.leads IS DISTINCT FROM w.leads) AS different
FROM segment_flow('all of it', '2026-02-01 00:00Z', '2026-04-01 00:00Z') f FULL JOIN (
	SELECT b.segment AS from_segment, a.segment AS to_segment, n.is_new, count(*) AS leads
	FROM visible_lead v CROSS JOIN LATERAL (SELECT coalesce(timeline_start(v.timeline) > '2026-02-01 00:00Z', false) AS is_new) n
	CROSS JOIN LATERAL (SELECT CASE WHEN NOT n.is_new THEN (appraise(scorecard('all of it'), v.timeline, v.profile, '2026-02-01 00:00Z')).segment END AS segment OFFSET 0) b
	CROSS JOIN LATERAL (SELECT (appraise(scorecard('all of it'), v.timeline, v.profile, '2026-04-01 00:00Z')).segment OFFSET 0) a
	WHERE v.timeline IS NULL OR timeline_start(v.timeline) <= '2026-04-01 00:00Z' GROUP BY 1, 2, 3) w
ON w.from_segment IS NOT DISTINCT FROM f.from_segment AND w.to_segment IS NOT DISTINCT FROM f.to_segment AND w.is_new = f.is_new;
-- as states of parallel workers add up
BEGIN;
SET LOCAL parallel_setup_cost = 0; SET LOCAL parallel_tuple_cost = 0; SET LOCAL min_parallel_table_scan_size = 0; SET LOCAL max_parallel_workers_per_gather = 2;
CREATE TABLE copied AS SELECT v.* FROM visible_lead v, generate_series(1, 20);
ANALYZE copied;
CREATE FUNCTION plan_has(query text, node text) RETURNS boolean LANGUAGE plpgsql AS $$ DECLARE line text; BEGIN FOR line IN EXECUTE 'EXPLAIN ' || query LOOP IF line LIKE '%' || node || '%' THEN RETURN true; END IF; END LOOP; RETURN false; END $$;
SELECT plan_has('SELECT census((SELECT scorecard(''all of it'')), timeline, profile, ARRAY[''2026-02-01''::timestamptz]) FROM copied', 'Partial Aggregate') AS in_parts;
SELECT array_agg(f[i][3]::bigint ORDER BY f[i][1], f[i][2]) AS leads FROM (SELECT census((SELECT scorecard('all of it')), timeline, profile, ARRAY['2026-02-01 00:00Z', '2026-03-01 00:00Z']::timestamptz[]) AS f FROM copied) c, generate_series(1, array_length(f, 1)) i
EXCEPT SELECT array_agg(20 * leads ORDER BY at, coalesce(segment_position, 0)) FROM segment_history('all of it', '2026-02-01 00:00Z', '2026-03-01 00:00Z', '28 days');
ROLLBACK;

-- Days. The first refresh writes those of the past, by the model of now.
DELETE FROM model WHERE model <> 'm' AND model <> 'n';
TRUNCATE event, lead, lead_timeline, pending_delta, excluded_lead;
DELETE FROM lead_alias; DELETE FROM alias_edge; DELETE FROM alias_path;
INSERT INTO event (lead_id, kind, occurred_at) SELECT 'a', 'visit', date_trunc('day', now()) - n * interval '1 day' + interval '1 hour' FROM generate_series(1, 5) n;
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('b', 'visit', date_trunc('day', now()) - interval '2 days'), ('b', 'purchase', date_trunc('day', now()) - interval '1 day');
SELECT refresh_figures();
CREATE VIEW days AS SELECT current_date - day AS days_ago, segment, segment_position AS "position", leads, entered, departed, average_score, backfilled FROM segment_day WHERE model = 'm' ORDER BY 1 DESC, 3;
TABLE days;
-- a past day stays as it is, whatever becomes of model and events; today, and the last day that was written, are
-- computed again
UPDATE segment SET min_score = 4 WHERE model = 'm' AND segment = 'warm';
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('c', 'visit', date_trunc('day', now()) - interval '3 days');
SELECT refresh_figures();
TABLE days;
-- nothing was refreshed for two days
DELETE FROM segment_day WHERE day >= current_date - 1;
SELECT refresh_figures();
TABLE days;
SELECT count(DISTINCT day) AS days, count(*) FILTER (WHERE backfilled) AS backfilled FROM segment_day WHERE model = 'n';
DELETE FROM experiment;
DELETE FROM model WHERE model = 'n';
UPDATE model SET model = 'renamed' WHERE model = 'm';
SELECT DISTINCT model FROM segment_day;
