\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- What a change would do, what has changed, and how far scores have moved.

SELECT publish('{"model": "shop", "signals": [{"signal": "visit", "kind": "visit"}, {"signal": "german", "subject": "profile", "match": {"country": "DE"}}],
	"weights": [{"signal": "visit", "points": 1}, {"signal": "german", "points": 2}],
	"segments": [{"segment": "hot", "position": 1, "min_score": 8}, {"segment": "warm", "position": 2, "min_score": 4}]}');
-- leads with 1 to 10 visits, and one of whom only the profile is known
INSERT INTO event (lead_id, kind, occurred_at) SELECT 'v' || n, 'visit', '2026-01-01' FROM generate_series(1, 10) n, generate_series(1, n);
INSERT INTO lead VALUES ('p', '{"country": "DE"}');

-- Two points a visit, none for the country, segments of other names: scores were 1 to 10 and 2, and would be 2 to 20 and 0.
CREATE VIEW change AS SELECT jsonb_set(jsonb_set(scorecard() - 'model', '{weights,0,points}', '2'), '{weights,1,points}', '0') || '{"model": "new",
	"segments": [{"segment": "rest", "position": 30}, {"segment": "best", "position": 10, "min_score": 18}, {"segment": "good", "position": 20, "min_score": 6}]}' AS card;
-- the whole matrix: hot were 8 to 10, warm 4 to 7, none 1 to 3 and the profile; best would be 9 and 10, good 3 to 8
SELECT segment_before, segment_after, leads, score_before, score_after, change FROM change, preview(card, 'shop', '2026-01-02') WHERE part = 'move';
-- the scores of 11 leads: the lowest, those that a tenth, two tenths … have at most, the highest
SELECT quantile, leads, score_before, score_after, change FROM change, preview(card, 'shop', '2026-01-02') WHERE part = 'distribution';
SELECT part, lead_id, score_before, score_after, change FROM change, preview(card, 'shop', '2026-01-02') WHERE part IN ('gain', 'loss');
-- of eleven that lose, and of eleven that gain, the ten that do most; of equal ones, by name
SELECT part, count(*), array_agg(lead_id ORDER BY change, lead_id) AS leads FROM (VALUES ('-1', '-1'), ('2', '3')) v (visit, german), preview(jsonb_set(jsonb_set(scorecard(), '{weights,0,points}', visit::jsonb), '{weights,1,points}', german::jsonb), 'shop', '2026-01-02') WHERE part IN ('gain', 'loss') GROUP BY 1;
-- the same scores as the model itself gives once it is published, and no table is touched before
SELECT bool_and(p.score_after = score(card, t.timeline, NULL, '2026-01-02')) FROM change, preview(card, 'shop', '2026-01-02') p JOIN lead_timeline t USING (lead_id);
SELECT count(*) FROM model_version; SELECT count(*) FROM model;
-- of a document that has no numbers for its signals, those of here
SELECT count(*) AS moves FROM (SELECT * FROM preview('{"model": "shop", "signals": [{"signal": "visit", "kind": "visit"}, {"signal": "german", "subject": "profile", "match": {"country": "DE"}}],
	"weights": [{"signal": "visit", "points": 1}, {"signal": "german", "points": 2}], "segments": [{"segment": "hot", "position": 1, "min_score": 8}, {"segment": "warm", "position": 2, "min_score": 4}]}', 'shop', '2026-01-02')
	WHERE part IN ('gain', 'loss') OR leads > 0 AND segment_before IS DISTINCT FROM segment_after) p;
-- as of an earlier instant nothing was known
SELECT part, segment_before, segment_after, leads, score_before, score_after FROM preview(scorecard(), 'shop', '2025-01-01') WHERE part <> 'distribution' AND leads > 0;
-- the default: the only model, now
SELECT count(*) FROM preview(scorecard()) WHERE part IN ('gain', 'loss');
SELECT refused(ARRAY['SELECT preview(NULL)', 'SELECT preview(''{}'')', 'SELECT preview(scorecard(), ''none'')', 'SELECT preview(scorecard(), ''shop'', NULL)']);

-- what past events are not counted for: signals that are not here, that count otherwise here, or that wait; of whose kind there is nothing, nothing is missing
SET client_min_messages = notice;
INSERT INTO signal (signal, kind) VALUES ('waiting', 'visit');
SELECT count(*) FROM preview(scorecard('shop'), 'shop', '2026-01-02') WHERE part = 'gain';
SELECT count(*) FROM preview('{"model": "m", "signals": [{"signal": "new", "kind": "visit"}, {"signal": "waiting", "kind": "visit"}, {"signal": "visit", "kind": "visit", "match": {"page": "/"}},
	{"signal": "nothing", "kind": "none"}, {"signal": "german", "subject": "profile", "match": {"country": "FR"}}]}', 'shop', '2026-01-02') WHERE part = 'gain';
CALL rebuild(signals => '{waiting}');
SELECT count(*) FROM preview('{"model": "m", "signals": [{"signal": "waiting", "kind": "visit", "description": "any words"}]}', 'shop', '2026-01-02') WHERE part = 'gain';
DELETE FROM signal WHERE signal = 'waiting'; CALL rebuild();
SET client_min_messages = warning;

-- What differs: members, whole weights, and nothing where only the writing does.
SELECT part, name, change, member, value_before AS before, value_after AS after FROM change, diff(scorecard(), card);
SELECT * FROM diff('{"model": "m", "weights": [{"signal": "a", "half_life": "336 hours", "points": 1.0}], "signals": [{"signal": "a"}], "floor": null}',
	'{"weights": [{"signal": "a", "measure": "count", "half_life": "14 days", "curve": "linear", "points": 1}], "signals": [{"signal": "a", "subject": "event", "signal_id": 7}], "model": "m", "report": {}, "stages": null}');
SELECT part, name, change, member, value_before AS before, value_after AS after FROM diff(
	'{"model": "m", "floor": 1, "signals": [{"signal": "a", "kind": "x"}], "weights": [{"weight_id": 1, "signal": "a", "points": 1}, {"weight_id": 2, "signal": "a", "points": 2}, {"weight_id": 3, "signal": "a", "points": 3, "half_life": "1 day"}],
	"segments": [{"segment": "s", "position": 1}], "grades": [{"grade": "A"}]}',
	'{"model": "m", "ceiling": 9, "signals": [{"signal": "a", "kind": "y"}], "weights": [{"weight_id": 2, "signal": "a", "points": 2}, {"weight_id": 1, "signal": "a", "points": 4}, {"signal": "a", "points": 3, "half_life": "2 days"}, {"signal": "a", "measure": "value", "points": 5}],
	"segments": [{"segment": "s", "position": 2}, {"segment": "t", "position": 1}]}');
SELECT count(*) FROM diff(NULL, '{}'); SELECT count(*) FROM diff('{}', '{}');

-- Every publish is kept, with its report; restoring is publishing again.
SELECT publish(card || '{"model": "shop", "report": {"by": "hand"}}') FROM change;
SELECT model, version, document #> '{weights,0,points}' AS points, report, published_by = session_user AS by, published_at BETWEEN now() - interval '1 hour' AND clock_timestamp() AS at FROM model_version;
SELECT document = scorecard() AS current FROM model_version WHERE version = 2;
SELECT restore_version('shop'); SELECT scorecard() = document AS restored FROM model_version WHERE version = 1;
SELECT restore_version('shop', 2); SELECT scorecard() #> '{weights,0,points}' AS points;
SELECT version, document #> '{weights,0,points}' AS points, report FROM model_version ORDER BY version;
DELETE FROM model; SELECT restore_version('shop', 1); SELECT score('v3', at => '2026-01-02');
SELECT publish('{"model": "other"}'); SELECT model, max(version) FROM model_version GROUP BY 1 ORDER BY 1;
SELECT refused(ARRAY['SELECT restore_version(''shop'', 9)', 'SELECT restore_version(''other'')', 'SELECT restore_version(''none'')', 'SELECT restore_version(NULL)']);

-- Edited rows make a version, one a transaction and model, at commit; restoring takes the last change back.
CREATE FUNCTION versions(name text) RETURNS TABLE (n bigint, points text, report jsonb) LANGUAGE sql AS
	$$SELECT row_number() OVER (ORDER BY version), jsonb_path_query_array(document, '$.weights[*].points')::text, report FROM model_version WHERE model = name ORDER BY version$$;
INSERT INTO model (model) VALUES ('edited');
INSERT INTO weight (model, signal, points) VALUES ('edited', 'visit', 1), ('edited', 'visit', 2);
UPDATE weight SET points = points + 10 WHERE model = 'edited';
BEGIN;
UPDATE weight SET points = points + 100 WHERE model = 'edited';
UPDATE weight SET points = points + 1000 WHERE model = 'edited';
SELECT * FROM versions('edited');
COMMIT;
SELECT * FROM versions('edited');
SELECT restore_version('edited');
SELECT n, points, (SELECT jsonb_path_query_array(scorecard('edited'), '$.weights[*].points')) AS now FROM versions('edited') WHERE n > 3;
-- in the transaction of the edit, too; and what changes nothing, or comes to nothing, makes none
BEGIN; UPDATE weight SET points = 0 WHERE model = 'edited'; SELECT restore_version('edited'); COMMIT;
UPDATE weight SET points = points WHERE model = 'edited';
UPDATE model SET model = model WHERE model = 'edited';
BEGIN; UPDATE weight SET points = points + 1 WHERE model = 'edited'; UPDATE weight SET points = points - 1 WHERE model = 'edited'; COMMIT;
BEGIN; UPDATE weight SET points = 7 WHERE model = 'edited'; ROLLBACK;
SELECT publish(scorecard('edited'));
SELECT max(n) FROM versions('edited');
-- publish() and edits in one transaction are one version, with its report, in whatever order; what is rolled back to a savepoint is none
BEGIN;
UPDATE weight SET points = 3 WHERE model = 'edited';
SELECT publish(jsonb_set(scorecard('edited'), '{weights,0,points}', '4') || '{"report": {"by": "fit"}}');
UPDATE weight SET points = 5 WHERE model = 'edited' AND points = 3;
SAVEPOINT s; SELECT publish(jsonb_set(scorecard('edited'), '{weights,0,points}', '40')); UPDATE weight SET points = 50 WHERE model = 'edited'; ROLLBACK TO s;
COMMIT;
SELECT * FROM versions('edited') WHERE n > 5;
-- each transaction its own; a report alone is worth one
SELECT publish(scorecard('edited') || '{"report": {"by": "hand"}}');
SELECT publish(scorecard('edited') || '{"report": {"by": "hand"}}');
SELECT * FROM versions('edited') WHERE n > 6;
-- a signal is part of the document of each model that uses it, and of no other; so is whatever a model is made of
UPDATE signal SET description = 'a look' WHERE signal = 'visit';
SELECT m.model, (SELECT document = scorecard(m.model) FROM model_version v WHERE v.model = m.model ORDER BY version DESC LIMIT 1) AS kept, (SELECT max(version) FROM model_version v WHERE v.model = m.model) AS last FROM model m ORDER BY 1;
INSERT INTO segment (model, segment, position) VALUES ('edited', 'all', 1);
SELECT max(n), (SELECT document #>> '{segments,0,segment}' FROM model_version WHERE model = 'edited' ORDER BY version DESC LIMIT 1) AS segment FROM versions('edited');
-- a renamed model begins anew, and a deleted one comes back as it was
UPDATE model SET model = 'renamed' WHERE model = 'edited';
SELECT count(*) FROM versions('renamed');
DELETE FROM model WHERE model = 'renamed';
SELECT restore_version('renamed');
SELECT points, (SELECT count(*) FROM model WHERE model = 'renamed') AS models FROM versions('renamed');
DELETE FROM model WHERE model IN ('other', 'renamed');
UPDATE signal SET description = NULL WHERE signal = 'visit';

-- Stability: on 1 March, of 100 leads active lately, 50 had one visit, 30 two and 20 three; on 1 May 20, 30 and 50 of 100 others. Each of the three values is a band.
TRUNCATE event, lead;
INSERT INTO event (lead_id, kind, occurred_at)
	SELECT 'm' || n, 'visit', '2026-02-20'::timestamptz FROM generate_series(1, 100) n, generate_series(1, CASE WHEN n <= 50 THEN 1 WHEN n <= 80 THEN 2 ELSE 3 END)
	UNION ALL SELECT 'a' || n, 'visit', '2026-04-20' FROM generate_series(1, 100) n, generate_series(1, CASE WHEN n <= 20 THEN 1 WHEN n <= 50 THEN 2 ELSE 3 END);
SELECT weight_id, signal, measure, leads_from, leads_to, measured_from, measured_to, mean_from, mean_to, round(psi::numeric, 9) AS psi, verdict FROM stability_report('shop', '2026-03-01', '2026-05-01', '30 days');
SELECT round(2 * 0.3 * ln(2.5), 9) AS psi;
-- against itself nothing moves; without a window all count, at both instants
SELECT signal, psi, verdict FROM stability_report('shop', '2026-03-01', '2026-03-02', '30 days');
SELECT signal, leads_from, leads_to, measured_from, measured_to, psi > 1 AS psi FROM stability_report('shop', '2026-03-01', '2026-05-01', NULL);
-- a band with nobody in it counts as half a lead: (0.5 - 1) ln 0.5 + 0.5 ln(0.5 / (0.5 / 4))
SELECT round((stability_index('{{4, 2}, {0, 2}}', 0, 0) - (-0.5 * ln(0.5) + 0.5 * ln(0.5 / 0.125)))::numeric, 9) AS difference, round((stability_index('{{4, 2}, {0, 2}}', 0, 0) - stability_index('{{2, 4}, {2, 0}}', 0, 0))::numeric, 9) AS mirrored, stability_index('{{4, 0}}', 0, 0) AS nobody, stability_index(NULL, 0, 0) AS nothing, stability_index(NULL, 8, 4) AS missing;
SELECT count(*) FROM stability_report('shop', '2020-03-01', '2020-05-01');
-- of a share of the leads, always the same
SELECT a.leads_to AS of_all, s.leads_to = (SELECT count(*) FROM visible_lead v WHERE hashtextextended(v.lead_id, 0) & (1::bigint << 51) = 0 AND timeline_start(v.timeline) < '2026-05-01') AS of_a_half
FROM stability_report('shop', '2026-03-01', '2026-05-01', NULL) a, stability_report('shop', '2026-03-01', '2026-05-01', NULL, 0.5) s WHERE a.signal IS NULL AND a.rule IS NULL AND s.signal IS NULL AND s.rule IS NULL;
SELECT refused(ARRAY['SELECT stability_report(''shop'', share => 0)', 'SELECT stability_report(''shop'', share => 1.1)', 'SELECT stability_report(''shop'', share => NULL)', 'SELECT stability_report(''shop'', share => ''NaN'')']);
SELECT refused(ARRAY['SELECT stability_report(''shop'', ''2026-03-01'', ''2026-03-01'')', 'SELECT stability_report(''none'')', 'SELECT stability_report(NULL)', 'SELECT stability_report(''shop'', NULL)',
	'SELECT stability_report(''shop'', ''2026-03-01'', ''2026-03-02'', ''-1 day'')', 'SELECT stability_report(''shop'', ''-infinity'', ''2026-03-01'')']);

-- In parallel: each worker's moves, movers and scores are sent and put together, for preview() and for evaluate().
SELECT publish('{"model": "shop", "intercept": -3, "slope": 0.2, "signals": [{"signal": "visit", "kind": "visit"}, {"signal": "german", "subject": "profile", "match": {"country": "DE"}}],
	"weights": [{"signal": "visit", "points": 1}, {"signal": "german", "points": 2}], "segments": [{"segment": "hot", "position": 1, "min_score": 8}, {"segment": "warm", "position": 2, "min_score": 4}]}');
TRUNCATE event, lead;
INSERT INTO event (lead_id, kind, occurred_at) SELECT 'm' || n, 'visit', date '2026-01-01' + n % 40 FROM generate_series(1, 3000) n, generate_series(1, n % 10);
INSERT INTO lead SELECT 'm' || n, jsonb_build_object('country', CASE WHEN n % 3 = 0 THEN 'DE' ELSE 'FR' END) FROM generate_series(1, 3000) n;
ANALYZE lead_timeline; ANALYZE lead;
CREATE TABLE figures AS SELECT 'serial' AS way, to_jsonb(p) AS figure FROM change, preview(card, 'shop', '2026-02-01') p
	UNION ALL SELECT 'serial', to_jsonb(e) FROM evaluate(scorecard('shop'), 'visit', '10 days', '{2026-01-15Z, 2026-01-25Z}') e;
SET max_parallel_workers_per_gather = 2; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET parallel_leader_participation = off;
EXPLAIN (COSTS OFF) SELECT compare(scorecard('shop'), scorecard('shop'), lead_id, timeline, NULL, '2026-02-01') FROM lead_timeline;
EXPLAIN (COSTS OFF) SELECT assess(scorecard('shop'), timeline, NULL, '2026-02-01', hashtext(lead_id) > 0) FROM lead_timeline;
CREATE TABLE many AS SELECT 'parallel' AS way, to_jsonb(c) || to_jsonb(a) AS figure FROM (
	SELECT compare(scorecard('shop'), (SELECT card FROM change), lead_id, timeline, NULL, '2026-02-01') AS c, assess(scorecard('shop'), timeline, NULL, '2026-02-01', hashtext(lead_id) > 0) AS a FROM lead_timeline) x;
INSERT INTO figures SELECT 'parallel', to_jsonb(p) FROM change, preview(card, 'shop', '2026-02-01') p
	UNION ALL SELECT 'parallel', to_jsonb(e) FROM evaluate(scorecard('shop'), 'visit', '10 days', '{2026-01-15Z, 2026-01-25Z}') e;
SET max_parallel_workers_per_gather = 0;
INSERT INTO many SELECT 'serial' AS way, to_jsonb(c) || to_jsonb(a) AS figure FROM (
	SELECT compare(scorecard('shop'), (SELECT card FROM change), lead_id, timeline, NULL, '2026-02-01') AS c, assess(scorecard('shop'), timeline, NULL, '2026-02-01', hashtext(lead_id) > 0) AS a FROM lead_timeline) x;
-- sums of losses may differ in the last digit
SELECT count(DISTINCT m.figure - '{log_loss,brier}'::text[]) AS figures, max((m.figure -> 'leads')::int) AS leads, count(m.figure ->> 'log_loss') = 2 AND max((m.figure ->> 'log_loss')::float8) - min((m.figure ->> 'log_loss')::float8) < 1e-14 AS log_loss,
	count(m.figure ->> 'brier') = 2 AND max((m.figure ->> 'brier')::float8) - min((m.figure ->> 'brier')::float8) < 1e-14 AS brier FROM many m;
SELECT count(*) AS differ FROM (SELECT figure - '{log_loss,brier}'::text[] FROM figures WHERE way = 'serial' EXCEPT ALL SELECT figure - '{log_loss,brier}'::text[] FROM figures WHERE way = 'parallel') d;
SELECT way, count(*) > 30 AS lines FROM figures GROUP BY 1 ORDER BY 1;
RESET max_parallel_workers_per_gather; RESET parallel_setup_cost; RESET parallel_tuple_cost; RESET min_parallel_table_scan_size; RESET parallel_leader_participation;

-- a signal that is not known here has counted nothing, whatever number it has where it comes from
SELECT sum(leads) AS leads FROM preview('{"model": "m", "signals": [{"signal": "not here", "kind": "z", "signal_id": 1}], "weights": [{"signal": "not here", "points": 9}],
	"segments": [{"segment": "some", "position": 1, "min_score": 1}]}', 'shop', '2026-02-01') WHERE part = 'move' AND segment_after = 'some';
SELECT refused('SELECT * FROM stability_report(''shop'', ''2026-03-01'', ''2026-03-02'', ''100000000 years'')');

-- The log is asked once a kind, not once a signal: when signals are written, and by preview() about those that are not
-- counted.
BEGIN;
SET LOCAL track_functions = 'all';
SET LOCAL client_min_messages = warning;
INSERT INTO signal (signal, kind) SELECT 'many ' || i, 'kind ' || i % 3 FROM generate_series(1, 200) i;
UPDATE signal SET match = '{"a": 1}' WHERE signal LIKE 'many %';
SELECT count(*) > 0 AS previewed FROM preview(jsonb_set(scorecard('shop'), '{signals}', scorecard('shop') -> 'signals'
	|| (SELECT jsonb_agg(jsonb_build_object('signal', s.signal, 'kind', s.kind, 'match', s.match)) FROM signal s WHERE s.signal LIKE 'many %')), 'shop');
SELECT f.calls BETWEEN 1 AND 40 AS few FROM pg_stat_xact_user_functions f WHERE f.funcname = 'has_events';
ROLLBACK;
