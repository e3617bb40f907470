\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- crm_lead: leads as a CRM takes them over, and what has changed since a change.
SELECT publish('{"model": "shop", "intercept": -2, "slope": 0.1, "floor": 0, "ceiling": 100, "crm_step": 0,
	"signals": [{"signal": "visit", "kind": "visit"}, {"signal": "order", "kind": "order", "label": "order|orders"}, {"signal": "complaint", "kind": "complaint", "label": "complaint|complaints"},
		{"signal": "german", "subject": "profile", "match": {"country": "DE"}, "label": "lives in Germany"}, {"signal": "tiny", "kind": "visit"}],
	"weights": [{"signal": "visit", "points": 1, "stage": "looks"}, {"signal": "order", "points": 20, "stage": "buys"}, {"signal": "order", "measure": "value", "points": 0.1}, {"signal": "complaint", "points": -15},
		{"signal": "german", "points": 10}, {"signal": "tiny", "points": 0.1}],
	"stages": [{"stage": "looks", "position": 1}, {"stage": "buys", "position": 2}],
	"grades": [{"grade": "A", "min_fit": 10}, {"grade": "B"}],
	"segments": [{"segment": "high", "position": 1, "min_score": 20}, {"segment": "low", "position": 2}]}');
INSERT INTO event (lead_id, kind, occurred_at, value) VALUES ('anna', 'visit', '2026-01-01', NULL), ('anna', 'order', '2026-01-02', 54), ('anna', 'complaint', '2026-01-03', NULL),
	('ben', 'visit', '2026-01-01', NULL), ('ben', 'visit', '2026-01-02', NULL);
INSERT INTO lead VALUES ('anna', '{"country": "DE"}'), ('carla', NULL);
-- anna: 1 + 20 + 5.4 - 15 + 10 + 0.1 = 21.5; the reasons are the three lines of explain() that weigh most; what is
-- less than half a point is none
SELECT model, lead_id, score, grade, segment, stage, probability, reason_1, reason_2, reason_3 FROM crm_lead ORDER BY lead_id;
SELECT refresh_crm(), refresh_crm();
SELECT change_id, model, lead_id, score, segment, reason_1, deleted FROM crm_changes();
SELECT lead_id, l.changed_at = c.changed_at AS same FROM crm_lead l JOIN crm_changes() c USING (lead_id) ORDER BY 1;
-- since a change: ben orders, carla goes, dora comes
INSERT INTO event (lead_id, kind, occurred_at, value) VALUES ('ben', 'order', '2026-01-02', 0), ('dora', 'visit', '2026-01-02', NULL);
DELETE FROM lead WHERE lead_id = 'carla';
SELECT lead_id, changed_at = now() AS is_new FROM crm_lead ORDER BY 1;
SELECT refresh_crm();
SELECT change_id, lead_id, score, segment, stage, reason_1, reason_2, deleted FROM crm_changes(3);
SELECT change_id, lead_id FROM crm_changes(3, 2);
SELECT count(*) FROM crm_changes(6);
-- a weight changes, and only whom it changes is told
UPDATE weight SET points = -16 WHERE signal = 'complaint';
SELECT refresh_crm();
SELECT change_id, lead_id, score, reason_2 FROM crm_changes(6);
-- who comes back is told again
INSERT INTO lead VALUES ('carla', NULL);
SELECT refresh_crm();
SELECT change_id, lead_id, score, deleted FROM crm_changes(7);
-- what was told, with the deleted ones taken away, is what there is
DELETE FROM lead WHERE lead_id = 'carla';
SELECT refresh_crm();
CREATE TABLE told AS SELECT model, lead_id, score, grade, segment, stage, probability, reason_1, reason_2, reason_3 FROM crm_changes() WHERE NOT deleted;
CREATE TABLE live AS SELECT model, lead_id, score, grade, segment, stage, probability, reason_1, reason_2, reason_3 FROM crm_lead;
SELECT (SELECT count(*) FROM live) AS leads, (SELECT count(*) FROM (TABLE told EXCEPT ALL TABLE live) d) AS too_many, (SELECT count(*) FROM (TABLE live EXCEPT ALL TABLE told) d) AS missing;
-- NULL: all
SELECT count(*) FROM crm_changes(NULL, NULL);
-- who is forgotten: nothing but the name remains, until all CRMs have been told
SELECT * FROM forget('ben') WHERE source = 'leadscore_internal.crm_state'::regclass;
SELECT change_id, model, lead_id, score, grade, segment, stage, probability, reason_1, reason_2, reason_3, deleted FROM crm_changes(9);
SELECT refresh_crm();
SELECT crm_forget(9), crm_forget(10), crm_forget(NULL);
SELECT lead_id, deleted FROM crm_changes();
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT refresh_crm();
ROLLBACK;

-- The rhythm: what only decays moves when it has gone a whole step. Points halve in 30 days: 100 becomes 50, in 30
-- steps of some points each; 40 becomes 20, and 4 becomes 2.
TRUNCATE event, lead;
SELECT refresh_crm();
SELECT crm_forget(1000);
SELECT publish('{"model": "shop", "signals": [{"signal": "order", "kind": "order"}, {"signal": "german", "subject": "profile", "match": {"country": "DE"}}],
	"weights": [{"signal": "order", "points": 1, "measure": "value", "half_life": "30 days"}, {"signal": "german", "points": 10}],
	"grades": [{"grade": "A", "min_fit": 10}, {"grade": "B"}], "segments": [{"segment": "high", "position": 1, "min_score": 45}, {"segment": "low", "position": 2}]}');
INSERT INTO event (lead_id, kind, occurred_at, value) SELECT l, 'order', date_trunc('hour', now(), 'UTC'), v FROM (VALUES ('hot', 100), ('warm', 40), ('cold', 4)) AS x (l, v);
CREATE TABLE seen (change_id bigint PRIMARY KEY, lead_id text, score numeric);
CREATE FUNCTION days(step float8) RETURNS TABLE (lead_id text, changes bigint, told text) LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM crm_state;
	DELETE FROM seen;
	UPDATE model SET crm_step = step;
	FOR day IN 0 .. 30 LOOP
		PERFORM refresh_crm_at(date_trunc('hour', now(), 'UTC') + day * interval '1 day');
		INSERT INTO seen SELECT s.change_id, s.lead_id, s.score FROM crm_state s ON CONFLICT DO NOTHING;
	END LOOP;
	RETURN QUERY SELECT s.lead_id, count(*), string_agg(s.score::text, ' ' ORDER BY s.change_id) FROM seen s GROUP BY 1;
END
$$;
-- by 5, the default: at most 50 / 5, 20 / 5 and no steps after the first; by 0 each whole point; by 1000 none
SELECT * FROM days(NULL) ORDER BY 1;
SELECT * FROM days(0) ORDER BY 1;
SELECT * FROM days(20) ORDER BY 1;
SELECT * FROM days(1000) ORDER BY 1;
-- a segment changes it, however little the score moves
UPDATE segment SET min_score = 90 WHERE segment = 'high';
SELECT * FROM days(1000) WHERE lead_id = 'hot';
-- the view shows what was told until the row moves, and is live from then on
DELETE FROM crm_state;
UPDATE model SET crm_step = NULL;
SELECT refresh_crm();
INSERT INTO event (lead_id, kind, occurred_at, value) SELECT l, 'order', date_trunc('hour', now(), 'UTC'), v FROM (VALUES ('warm', 4), ('cold', 5)) AS x (l, v);
SELECT lead_id, score, reason_1, changed_at < now() AS told FROM crm_lead ORDER BY 1;
SELECT refresh_crm();
SELECT lead_id, score, reason_1, changed_at < clock_timestamp() AS told FROM crm_lead ORDER BY 1;
-- so do a grade and a stage
UPDATE weight SET points = 0.001 WHERE signal = 'german';
UPDATE grade SET min_fit = 0.001 WHERE grade = 'A';
INSERT INTO lead VALUES ('warm', '{"country": "DE"}');
SELECT lead_id, score, grade FROM crm_lead WHERE lead_id = 'warm';
SELECT refresh_crm(), refresh_crm();
INSERT INTO stage (model, stage, position) VALUES ('shop', 'buys', 1);
UPDATE weight SET stage = 'buys' WHERE signal = 'order';
SELECT refresh_crm(), refresh_crm(), count(*), count(stage) FROM crm_lead;
-- in documents, and out of them
SELECT refused(ARRAY['UPDATE model SET crm_step = -1', 'UPDATE model SET crm_step = ''Infinity''', 'UPDATE model SET crm_step = ''NaN''', 'SELECT publish(scorecard(''shop'') || ''{"crm_step": -1}'')', 'SELECT publish(scorecard(''shop'') || ''{"crm_step": "5"}'')']);
SELECT publish(scorecard('shop') || '{"crm_step": 7.5}');
SELECT scorecard('shop') -> 'crm_step' AS step, (SELECT crm_step FROM model), (SELECT array_agg(d) FROM diff(scorecard('shop'), scorecard('shop') || '{"crm_step": 8}') d) AS differs;
SELECT publish(scorecard('shop') - 'crm_step');
SELECT scorecard('shop') ? 'crm_step' AS step, crm_step FROM model;
-- a step below a point is one of a point, and one above the range is never reached
SELECT s.step, l.problem, l.hint FROM unnest('{0.5,150,100,1,0}'::float8[]) AS s (step), lint_crm_step(jsonb_build_object('model', 'm', 'floor', 0, 'ceiling', 100, 'crm_step', s.step,
	'signals', '[{"signal": "a", "kind": "a"}]'::jsonb, 'weights', '[{"signal": "a", "points": 1}]'::jsonb)) l;
UPDATE model SET crm_step = 0.5;
SELECT problem FROM lint('shop') WHERE problem LIKE 'crm_step%';
