\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- How scores have moved, why, and where a lead stands among all.

SELECT publish('{"model": "shop", "floor": 0, "ceiling": 100,
	"signals": [{"signal": "visit", "kind": "visit"}, {"signal": "purchase", "kind": "purchase"}, {"signal": "german", "subject": "profile", "match": {"country": "DE"}}],
	"weights": [{"signal": "visit", "points": 1, "within": "10 days"}, {"signal": "purchase", "points": 32, "half_life": "5 days"}, {"signal": "german", "points": 5}]}');
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('anna', 'visit', '2026-01-01 10:00Z'), ('anna', 'visit', '2026-01-09 10:00Z'), ('anna', 'purchase', '2026-01-01 10:00Z'),
	('ben', 'purchase', '2026-01-11 09:00Z'), ('carla', 'visit', '2026-01-02 10:00Z'), ('dora', 'visit', '2026-01-10 10:00Z');
INSERT INTO lead VALUES ('anna', '{"country": "DE"}'), ('emil', '{"country": "DE"}');

-- ---------- everybody ----------

-- anna: a visit, 32 / 2 and 5 are 22; five days later another visit, for the first has left its window, 32 / 4 and 5 are 14. ben and dora come, carla and emil stay.
SELECT * FROM score_change('shop', '5 days', '2026-01-11 10:00Z') ORDER BY lead_id;
SELECT count(*) AS differ FROM score_change('shop', '5 days', '2026-01-11 10:00Z') c
WHERE c.score <> score(c.lead_id, 'shop', '2026-01-11 10:00Z') OR c.score_before <> score(c.lead_id, 'shop', '2026-01-06 10:00Z') OR c.change <> c.score - c.score_before;
-- who rose by 20 in a day
SELECT lead_id, round(change::numeric, 6) AS change FROM score_change('shop', at => '2026-01-11 10:00Z') WHERE change >= 20;
SELECT (SELECT count(*) FROM score_change(NULL)) AS no_model, (SELECT count(*) FROM score_change('shop', NULL)) AS no_span, (SELECT count(*) FROM score_change('shop', at => NULL)) AS no_instant;
SELECT refused(ARRAY['SELECT * FROM score_change(''shop'', ''0'')', 'SELECT * FROM score_change(''shop'', ''-1 day'')', 'SELECT * FROM score_change(''none'')']);

-- an experiment that has begun in between: each lead by the model that it had
SELECT publish(scorecard('shop') || '{"model": "other", "ceiling": null, "weights": [{"signal": "visit", "points": 100}]}');
INSERT INTO experiment VALUES ('try', 'shop', 'other', 0.5, '2026-01-10', '2026-01-20', 'salt');
SELECT c.*, arm('try', lead_id) FROM score_change('try', '5 days', '2026-01-11 10:00Z') c ORDER BY lead_id;
SELECT count(*) AS differ FROM score_change('try', '5 days', '2026-01-11 10:00Z') c
WHERE c.score <> score(c.lead_id, 'try', '2026-01-11 10:00Z') OR c.score_before <> score(c.lead_id, 'try', '2026-01-06 10:00Z');

-- ---------- rank ----------

-- of five leads none is below carla and dora, and half of the two of them is one
SELECT l.lead_id, score(l.lead_id, 'shop', '2026-01-11 10:00Z'), percentile_rank(l.lead_id, 'shop', '2026-01-11 10:00Z') FROM unnest('{anna,ben,carla,dora,emil}'::text[]) l (lead_id) ORDER BY 3;
-- those with the same score share a place
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('fred', 'visit', '2026-01-10 12:00Z');
SELECT l.lead_id, percentile_rank(l.lead_id, 'shop', '2026-01-11 10:00Z') FROM unnest('{carla,dora,fred}'::text[]) l (lead_id);
-- an alias stands for its lead; who is none, or excluded, has no rank, and is not among the others
SELECT identify('cookie', 'dora');
SELECT percentile_rank('cookie', 'shop', '2026-01-11 10:00Z') AS alias, percentile_rank('nobody', 'shop') AS nobody, percentile_rank(NULL, 'shop') AS none, percentile_rank('dora', NULL) AS no_model, percentile_rank('dora', 'shop', NULL) AS no_instant;
INSERT INTO excluded_lead VALUES ('carla');
SELECT percentile_rank('carla', 'shop', '2026-01-11 10:00Z') AS excluded, percentile_rank('dora', 'shop', '2026-01-11 10:00Z') AS dora, (SELECT count(*) FROM score_change('shop')) AS leads;
DELETE FROM excluded_lead;
-- in an experiment among the leads of both arms
SELECT l.lead_id, score(l.lead_id, 'try', '2026-01-11 10:00Z'), percentile_rank(l.lead_id, 'try', '2026-01-11 10:00Z') FROM unnest('{anna,ben,carla,dora,emil,fred}'::text[]) l (lead_id) ORDER BY 3, 1;
SELECT refused(ARRAY['SELECT percentile_rank(''anna'', ''none'')']);
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('17', 'visit', '2026-01-10 12:00Z'), ('00000000-0000-0000-0000-000000000001', 'visit', '2026-01-10 12:00Z');
SELECT percentile_rank(17, 'shop', '2026-01-11 10:00Z') = percentile_rank('17', 'shop', '2026-01-11 10:00Z') AS number, percentile_rank('00000000-0000-0000-0000-000000000001'::uuid, 'shop', '2026-01-11 10:00Z') = percentile_rank('17', 'shop', '2026-01-11 10:00Z') AS uuid;
