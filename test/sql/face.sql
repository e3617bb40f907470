\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- What people look at: by lead_id, live, and as a snapshot. (Models here know no decay, so that scores stand still.)
SELECT publish('{"model": "shop", "ceiling": 100,
	"signals": [{"signal": "visit", "kind": "visit"}, {"signal": "buy", "kind": "buy"}, {"signal": "de", "subject": "profile", "match": {"country": "DE"}}],
	"weights": [{"signal": "visit", "points": 3, "max_points": 12, "category": "web"}, {"signal": "visit", "measure": "active_days", "points": 2, "category": "web"},
		{"signal": "buy", "points": 25}, {"signal": "buy", "measure": "value", "points": 0.5, "max_points": 30}, {"signal": "de", "points": 10}],
	"categories": [{"category": "web", "max_points": 14}],
	"segments": [{"segment": "high", "position": 1, "min_score": 60}, {"segment": "medium", "position": 2, "min_score": 20}, {"segment": "low", "position": 3, "min_score": 0}, {"segment": "best", "position": 0, "min_score": 100}]}');
INSERT INTO event (lead_id, kind, occurred_at, value) VALUES ('ann', 'visit', '2026-01-01', NULL), ('ann', 'visit', '2026-01-02', NULL), ('bob', 'buy', '2026-01-01', 20), ('cyd', 'buy', '2026-01-01', 100), ('cyd', 'buy', '2026-01-05', 100), ('cyd', 'buy', '2026-01-09', 100),
	('dan', 'visit', '2026-01-01', NULL), ('dan', 'visit', '2026-01-01', NULL), ('dan', 'visit', '2026-01-02', NULL), ('dan', 'visit', '2026-01-03', NULL), ('dan', 'visit', '2026-01-04', NULL);
INSERT INTO lead VALUES ('bob', '{"country": "DE"}'), ('eve', '{"country": "DE"}'), ('fay', NULL);

-- ann: 2 * 3 + 2 * 2 = 10.  bob: 25 + 20 * 0.5 + 10 = 45.  cyd: 75 + 30 (of 150) = 105, at most 100.
-- dan: 12 (of 15) + 4 days * 2 = 20, at most 14.  eve: 10.  fay and leads that nobody knows: 0.
SELECT lead_id, score(lead_id), score(lead_id, 'shop', '2026-01-01 12:00') AS on_the_first FROM unnest('{ann,bob,cyd,dan,eve,fay,nobody}'::text[]) lead_id;
SELECT score(NULL) IS NULL AS nobody, score('ann', NULL) IS NULL AS no_model, score('ann', 'shop', NULL) IS NULL AS no_instant;
SELECT model, lead_id, score, engagement, fit, probability, grade, stage, segment, last_active FROM lead_score ORDER BY lead_id;

-- top(): the leads with the highest scores, appraised; equal scores by name
SELECT * FROM top(3);
SELECT lead_id, score FROM top(4, 'shop', '2026-01-01 12:00');
SELECT count(*) AS all_of_them, bool_and(t = (v.lead_id, v.score, v.engagement, v.fit, v.probability, v.grade, v.stage, v.segment, v.last_active, v.segment_position)) AS as_in_lead_score
FROM top(NULL) t JOIN lead_score v USING (lead_id);
-- without profiles, and with nothing pending, a lead is a row of lead_timeline; the same leads come in the same order
BEGIN;
DELETE FROM lead;
SELECT n, array_agg(t.lead_id ORDER BY t.position) AS leads, bool_and((t.lead_id, t.score, t.engagement, t.fit, t.probability, t.grade, t.stage, t.segment, t.last_active, t.segment_position)
	IS NOT DISTINCT FROM (v.lead_id, v.score, v.engagement, v.fit, v.probability, v.grade, v.stage, v.segment, v.last_active, v.segment_position)) AS as_in_lead_score
FROM (VALUES (2), (NULL)) AS few (n) CROSS JOIN LATERAL top(n) WITH ORDINALITY AS t (lead_id, score, engagement, fit, probability, grade, stage, segment, last_active, segment_position, position)
JOIN lead_score v USING (lead_id) GROUP BY n;
INSERT INTO pending_delta SELECT 'cyd', -timeline FROM lead_timeline WHERE lead_id = 'cyd';
SELECT lead_id, score FROM top(2);
-- what is pending lifts leads up, and adds some: of their own names and of aliases, with a row and without one
SELECT identify('bo', 'bob'), identify('gu', 'gus');
INSERT INTO lead_timeline SELECT 'bo', timeline FROM lead_timeline WHERE lead_id = 'dan';
INSERT INTO pending_delta SELECT n, timeline FROM unnest('{bo,gu,hal,ann}'::text[]) n, lead_timeline WHERE lead_id = 'bob';
SELECT n, t.leads, t.leads = (SELECT array_agg((v.lead_id, v.score)::text ORDER BY v.score DESC, v.lead_id) FROM (SELECT * FROM lead_score ORDER BY score DESC, lead_id LIMIT n) v) AS as_in_lead_score
FROM generate_series(1, 7) n CROSS JOIN LATERAL (SELECT array_agg((t.lead_id, t.score)::text ORDER BY t.score DESC, t.lead_id) AS leads FROM top(n) t) t;
ROLLBACK;
SELECT count(*) FROM top(0);
SELECT count(*) FROM top(3, 'shop', NULL);
SELECT refused('SELECT * FROM top(-1)');
SELECT refused('SELECT * FROM top(1, ''nowhere'')');

-- explain(): line by line, net of what categories limit, and the score's limits as a row of their own; the points add
-- up to the score
SELECT signal, measure, measured, points, uncapped_points, category, last_at, reason FROM explain('cyd');
SELECT signal, measure, measured, points, uncapped_points, category, last_at, reason FROM explain('dan', 'shop');
SELECT signal, measure, measured, points, reason FROM explain('bob', 'shop', '2026-01-01');
SELECT count(*) FROM explain('nobody');
SELECT count(*) FROM explain(NULL);
SELECT l, (SELECT coalesce(sum(points), 0) FROM explain(l)) = score(l) AS adds_up FROM unnest('{ann,bob,cyd,dan,eve,fay,nobody}'::text[]) l;

-- Leads that are numbers or UUIDs, without a cast. An untyped literal, NULL and columns of text mean the text.
BEGIN;
CREATE TEMP TABLE customer AS SELECT 4711 AS id, 4711::smallint AS small, 4711::bigint AS big, uuid 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11' AS key,
	'4711'::text AS name, '4711'::varchar AS short, '4711'::char(4) AS padded;
INSERT INTO event (lead_id, kind, occurred_at) SELECT unnest(ARRAY[id::text, key::text]), 'buy', '2026-01-01' FROM customer;
SELECT score(4711), score('4711') AS literal, score(4711, 'shop', '2025-12-31') AS before, score(-4711) AS unknown, score('A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11') AS another_name;
SELECT score(id) AS int, score(small) AS small, score(big, 'shop') AS big, score(key, 'shop', '2026-01-02') AS uuid, score(name) AS text, score(short) AS varchar, score(padded) AS padded FROM customer;
SELECT score(NULL) IS NULL AS untyped, score(NULL::bigint) IS NULL AS number, score(NULL::uuid) IS NULL AS uuid, score(4711, NULL) IS NULL AS no_model, score(key, 'shop', NULL) IS NULL AS no_instant FROM customer;
SELECT e = x AS same, x.points FROM customer c, explain('4711', 'shop', '2026-01-02') x, explain(c.id, 'shop', '2026-01-02') e;
SELECT e = x AS same, x.points FROM customer c, explain(c.key::text, 'shop', '2026-01-02') x, explain(c.key, 'shop', '2026-01-02') e;
SELECT (SELECT count(*) FROM explain(NULL::bigint)) AS of_no_number, (SELECT count(*) FROM explain(NULL::uuid)) AS of_no_uuid, (SELECT count(*) FROM explain('4711')) AS literal, (SELECT count(*) FROM explain(4711)) AS number;
-- the planner sees through them
EXPLAIN (VERBOSE, COSTS off) SELECT score(big) FROM customer;
-- all of a kind cost and promise the same
SELECT p.proname, count(*) AS functions, count(DISTINCT (p.procost, p.prorows, p.proparallel, p.provolatile, p.proisstrict, p.proretset, p.prorettype, p.pronargdefaults)) AS kinds
FROM pg_proc p WHERE p.oid::regprocedure::text ~ '^(score|explain)\((text|bigint|uuid),' GROUP BY 1 ORDER BY 1;
PREPARE by_number(int) AS SELECT score($1);
EXECUTE by_number(4711);
ROLLBACK;
DEALLOCATE by_number;

-- the same of the three templates, for 30 leads of all kinds of events
SELECT publish(template(template)) FROM templates();
INSERT INTO event (lead_id, kind, occurred_at, value, properties)
SELECT 'lead ' || n % 30, kinds[1 + n * 7 % cardinality(kinds)], '2026-01-01'::timestamptz + n * interval '157 minutes', n % 200, CASE n % 3 WHEN 0 THEN '{"device": "mobile"}' WHEN 1 THEN '{"page": "pricing"}' END::jsonb
FROM generate_series(1, 1500) n, (SELECT array_agg(DISTINCT kind ORDER BY kind) AS kinds FROM signal WHERE kind IS NOT NULL) k;
INSERT INTO lead SELECT 'lead ' || n, jsonb_build_object('country', CASE n % 2 WHEN 0 THEN 'DE' END, 'age', n * 2, 'employees', n * 50, 'job_role', CASE n % 3 WHEN 0 THEN 'decision_maker' WHEN 1 THEN 'student' END) FROM generate_series(0, 35) n;
SELECT model, count(*), count(DISTINCT e.score) > 3 AS differ, bool_and(abs(e.score - e.explained) < 1e-9) AS adds_up,
	count(*) FILTER (WHERE e.clamps > 0) > 0 AS some_are_clamped
FROM (SELECT m.model, score(l.lead_id, m.model, at) AS score, x.*
	FROM model m, lead l, unnest(ARRAY['2026-01-20', '2026-07-01', '2027-06-01']::timestamptz[]) at,
		LATERAL (SELECT coalesce(sum(points), 0) AS explained, count(*) FILTER (WHERE signal IS NULL OR reason ~ ' counts? .* at (most|least) ') AS clamps FROM explain(l.lead_id, m.model, at)) x
	WHERE l.lead_id LIKE 'lead%' AND m.model <> 'shop') e
GROUP BY model ORDER BY model;
DELETE FROM event WHERE lead_id LIKE 'lead%';
DELETE FROM lead WHERE lead_id LIKE 'lead%';
DELETE FROM model WHERE model <> 'shop';
CALL rebuild();		-- the templates' signals count the events above, too

-- score_history(): the score at instants of the past and future
SELECT * FROM score_history('cyd', 'shop', '2025-12-31', '2026-01-10', '2 days');
SELECT * FROM score_history('nobody', 'shop', '2026-01-01', '2026-01-02');
SELECT count(*) AS days, min(score) = max(score) AS constant, max(at) = now() AS ends_now FROM score_history('ann');

-- The snapshot is as of the last refresh, in either way of refreshing; the live view always of now.
SELECT count(*) FROM lead_segment;
SELECT refresh_segments(concurrently => false);
SELECT model, lead_id, score, segment, scored_at <= now() AND scored_at > now() - interval '2 hours' AS fresh FROM lead_segment ORDER BY lead_id;
INSERT INTO event (lead_id, kind, occurred_at, value) VALUES ('ann', 'buy', '2026-01-03', 60);
SELECT v.lead_id, s.score AS snapshot, s.segment, v.score AS live, v.segment AS live_segment FROM lead_score v JOIN lead_segment s USING (model, lead_id) WHERE v.score <> s.score;
SELECT refresh_segments();
SELECT score, segment FROM lead_segment WHERE lead_id = 'ann';
SELECT model, segment, position, leads, share, average_score, lowest_score, highest_score FROM segment_summary;

-- Changing a weight, a half-life, a window or a segment changes the next read, with no rebuild.
CREATE FUNCTION ann() RETURNS TABLE (score float8, segment text) LANGUAGE sql AS $$SELECT score, segment FROM score_history('ann', 'shop', '2026-01-03', '2026-01-03')$$;
SELECT * FROM ann();												-- 6 + 4 + 25 + 30 = 65
UPDATE weight SET points = 20 WHERE signal = 'buy' AND measure = 'count';
SELECT * FROM ann();												-- 60
UPDATE weight SET half_life = '1 day' WHERE signal = 'visit' AND measure = 'count';
SELECT * FROM ann();												-- the visits 1 and 2 days ago: 3 * (0.25 + 0.5) = 2.25: 56.25
UPDATE weight SET within = '24 hours' WHERE signal = 'visit';
SELECT * FROM ann();												-- none of them: 50
UPDATE weight SET fades_over = '1 day', half_life = NULL, within = NULL, max_per_day = 1 WHERE signal = 'visit';
SELECT * FROM ann();												-- active days only: 54
UPDATE segment SET min_score = 50 WHERE segment = 'high';
SELECT * FROM ann();
DELETE FROM segment WHERE segment = 'high';
SELECT * FROM ann();
UPDATE model SET ceiling = 5;
SELECT * FROM ann();
SELECT count(*) FROM verify();

-- "default" is the model of that name, else the one that was set, else the only one. The first model is set by itself: a second one breaks no call.
CREATE FUNCTION default_model() RETURNS TABLE (scorecard text, chosen text) LANGUAGE sql AS $$SELECT scorecard() ->> 'model', (SELECT d.model FROM default_model d)$$;
SELECT publish('{"model": "second"}');
SELECT score('ann', 'second'), score('ann') = score('ann', 'shop') AS first_stays, d.* FROM default_model() d;
SELECT set_default_model('second');
SELECT score('ann'), (SELECT count(*) FROM explain('ann')) AS lines, (SELECT max(score) FROM top(1)) AS top, (SELECT max(score) FROM score_history('ann')) AS history, d.* FROM default_model() d;
-- renaming follows, and what is deleted is no default
UPDATE model SET model = 'renamed' WHERE model = 'second';
SELECT * FROM default_model();
DELETE FROM model WHERE model = 'renamed';
SELECT * FROM default_model();
-- so the only one was meant, and goes on being so
SELECT publish('{"model": "third"}');
SELECT * FROM default_model();
INSERT INTO model (model) VALUES ('fourth');
DELETE FROM model WHERE model = 'shop';
\pset tuples_only on
\pset format unaligned
SELECT refused(ARRAY['SELECT score(''ann'')', 'SELECT scorecard()', 'SELECT set_default_model(''nowhere'')', 'SELECT set_default_model(NULL)', 'INSERT INTO experiment (experiment, control, treatment) VALUES (''default'', ''third'', ''fourth'')']);
\pset tuples_only off
\pset format aligned
SELECT object, name, state, action FROM status WHERE object = 'model';
-- where nothing is set and there are several, one more is none of them either
INSERT INTO model (model) VALUES ('fifth');
SELECT count(*) FROM default_model;
SELECT set_default_model('fourth');
SELECT d.*, (SELECT count(*) FROM status WHERE object = 'model') AS problems FROM default_model() d;
-- the first of several that come at once
DELETE FROM model;
INSERT INTO model (model) VALUES ('q'), ('p');
SELECT * FROM default_model();
-- what is rolled back leaves none
BEGIN; DELETE FROM model; SELECT publish('{"model": "gone"}'); ROLLBACK;
SELECT * FROM default_model();
-- a model of the name is meant all the same
SELECT publish('{"model": "default", "signals": [{"signal": "buy", "kind": "buy"}], "weights": [{"signal": "buy", "points": 1000}]}');
SELECT score('ann'), (SELECT count(*) FROM explain('ann')) AS lines, scorecard() ->> 'model' AS model;
SET client_min_messages = notice;
SELECT set_default_model('p'), set_default_model('default');
SET client_min_messages = warning;
SELECT * FROM default_model();
SELECT set_default_model('p');
SELECT * FROM default_model();
SELECT model, count(*) FROM lead_score GROUP BY model ORDER BY model;
DELETE FROM model;
SELECT count(*) FROM lead_score;
SELECT refresh_segments();
SELECT count(*) FROM lead_segment;
SELECT * FROM segment_summary;

-- A join with the shop's customers finds its way to the index of their leads, and scores them alone: tables that were
-- never analyzed, and compiling as it is by default.
BEGIN;
CREATE TABLE customers (id integer PRIMARY KEY, email text UNIQUE);
INSERT INTO customers SELECT n, 'c' || n || '@example.com' FROM generate_series(1, 3000) n;
INSERT INTO lead SELECT n::text, '{"country": "DE"}' FROM generate_series(1, 3000) n;
INSERT INTO event (lead_id, kind) SELECT n::text, 'visit' FROM generate_series(1, 3000, 2) n;
SELECT publish(template('ecommerce'));
SET LOCAL jit = on;
-- rows that a node of the plan has read, at the most
CREATE FUNCTION most_rows(query text) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE 'EXPLAIN (ANALYZE, TIMING OFF, SUMMARY OFF, FORMAT json) ' || query INTO plan;
	RETURN (SELECT max(((m.node)[1])::numeric) FROM regexp_matches(plan::text, '"(?:Actual Rows|Rows Removed by Filter|Rows Removed by Join Filter)": ([0-9.]+)', 'g') AS m (node));
END $$;
SELECT most_rows($$SELECT s.score FROM customers c JOIN leadscore.lead_score s ON s.lead_id = c.id::text WHERE c.email = 'c7@example.com'$$) < 20 AS with_a_timeline,
	most_rows($$SELECT s.score FROM customers c JOIN leadscore.lead_score s ON s.lead_id = c.id::text WHERE c.email = 'c8@example.com'$$) < 20 AS with_a_profile_only,
	most_rows($$SELECT s.reason_1 FROM customers c JOIN leadscore.crm_lead s ON s.lead_id = c.id::text WHERE c.email = 'c7@example.com'$$) < 20 AS for_a_crm;
SELECT (SELECT count(*) FROM customers c JOIN leadscore.lead_score s ON s.lead_id = c.id::text WHERE c.email IN ('c7@example.com', 'c8@example.com')) = 2 * (SELECT count(*) FROM model) AS found;
-- as does a condition on the model to the rows of the snapshot
SELECT refresh_segments(false);
SELECT most_rows($$SELECT * FROM leadscore.segment_summary WHERE model = 'none'$$) < 20 AS of_a_model;
ROLLBACK;
