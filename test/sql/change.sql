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

-- anna: a visit, 32 / 2 and 5 are 22; five days later another visit, for the first has left its window, 32 / 4 and 5
-- are 14. ben and dora come, carla and emil stay.
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

-- ---------- why ----------

DELETE FROM experiment;
SELECT publish('{"model": "why", "floor": 0, "ceiling": 100,
	"signals": [{"signal": "visit", "kind": "visit"}, {"signal": "purchase", "kind": "purchase"}, {"signal": "refund", "kind": "refund"}, {"signal": "mail", "kind": "mail", "label": "Opened a mail"}, {"signal": "german", "subject": "profile", "match": {"country": "DE"}}],
	"categories": [{"category": "web", "max_points": 4}],
	"weights": [{"signal": "visit", "points": 1, "within": "10 days", "category": "web"}, {"signal": "mail", "points": 1, "category": "web"},
		{"signal": "purchase", "points": 32, "half_life": "5 days"}, {"signal": "purchase", "measure": "value", "points": 0.5, "max_points": 10},
		{"signal": "purchase", "points": 20, "at_least": 2, "within": "90 days"}, {"signal": "purchase", "points": 0, "if_none": -3, "within": "5 days"},
		{"signal": "visit", "measure": "days_since_last", "points": -0.5}, {"signal": "visit", "measure": "active_days", "points": 0.25, "since_signal": "purchase"}, {"signal": "german", "points": 5}],
	"rules": [{"rule": "comes and buys", "all_of": [{"signal": "visit", "within": "7 days"}, {"signal": "purchase", "within": "7 days"}], "points": 7}]}');
INSERT INTO event (lead_id, kind, occurred_at, value) VALUES
	('eva', 'visit', '2026-01-01 10:00Z', NULL), ('eva', 'visit', '2026-01-02 10:00Z', NULL), ('eva', 'visit', '2026-01-09 10:00Z', NULL), ('eva', 'mail', '2026-01-03 10:00Z', NULL), ('eva', 'mail', '2026-01-09 10:00Z', NULL), ('eva', 'mail', '2026-01-10 10:00Z', NULL),
	('eva', 'purchase', '2026-01-01 10:00Z', 15), ('eva', 'purchase', '2026-01-10 10:00Z', 8);
INSERT INTO lead VALUES ('eva', '{"country": "DE"}');
SELECT signal, measure, rule, round(points_before::numeric, 3) AS before, round(points::numeric, 3) AS after, round(change::numeric, 3) AS change, reason FROM explain_change('eva', 'why', '2026-01-05 10:00Z', '2026-01-11 10:00Z');
SELECT signal, measure, rule, round(change::numeric, 3) AS change, reason FROM explain_change('eva', 'why', '2026-01-11 10:00Z', '2026-01-25 10:00Z');
-- in German, with the shop's own nouns
UPDATE signal SET label = CASE signal WHEN 'visit' THEN 'Besuch|Besuche' WHEN 'purchase' THEN 'Kauf|K' || chr(228) || 'ufe' END WHERE signal IN ('visit', 'purchase');
SET leadscore.language = 'de';
SELECT signal, measure, rule, round(change::numeric, 3) AS change, reason FROM explain_change('eva', 'why', '2026-01-05 10:00Z', '2026-01-11 10:00Z');
RESET leadscore.language;
-- from nothing to the ceiling, and a limit that no longer applies
UPDATE model SET ceiling = 40 WHERE model = 'why';
SELECT signal, measure, rule, round(change::numeric, 3) AS change, reason FROM explain_change('eva', 'why', '2025-12-31', '2026-01-11 10:00Z');
SELECT signal, measure, rule, round(change::numeric, 3) AS change, reason FROM explain_change('eva', 'why', '2026-01-11 10:00Z', '2026-03-11 10:00Z');
-- nothing has moved; an experiment gives the lead another model in between
SELECT count(*) AS lines FROM explain_change('eva', 'why', '2026-01-11 10:10Z', '2026-01-11 10:50Z');
INSERT INTO experiment VALUES ('try', 'why', 'other', 1, '2026-01-10', NULL, 'salt');
SELECT sum(change) = score('eva', 'try', '2026-01-11 10:00Z') - score('eva', 'try', '2026-01-05 10:00Z') AS sums, array_agg(DISTINCT reason) AS reasons FROM explain_change('eva', 'try', '2026-01-05 10:00Z', '2026-01-11 10:00Z');
DELETE FROM experiment;
-- an alias, and who has nothing to explain
SELECT identify('eva cookie', 'eva');
SELECT count(*) > 0 AS alias FROM explain_change('eva cookie', 'why', '2026-01-05 10:00Z', '2026-01-11 10:00Z');
SELECT (SELECT count(*) FROM explain_change(NULL)) AS none, (SELECT count(*) FROM explain_change('eva', NULL)) AS no_model, (SELECT count(*) FROM explain_change('eva', 'why', NULL)) AS no_since, (SELECT count(*) FROM explain_change('eva', 'why', until => NULL)) AS no_until,
	(SELECT count(*) FROM explain_change(17, 'why', '2026-01-01', '2026-02-01')) = (SELECT count(*) FROM explain_change('17', 'why', '2026-01-01', '2026-02-01')) AS number,
	(SELECT count(*) FROM explain_change('00000000-0000-0000-0000-000000000001'::uuid, 'why', '2026-01-01', '2026-02-01')) > 0 AS uuid;
INSERT INTO excluded_lead VALUES ('eva');
SELECT count(*) AS excluded FROM explain_change('eva', 'why', '2026-01-05 10:00Z', '2026-01-11 10:00Z');
DELETE FROM excluded_lead;
SELECT refused(ARRAY['SELECT * FROM explain_change(''eva'', ''why'', ''2026-01-02'', ''2026-01-01'')', 'SELECT * FROM explain_change(''eva'', ''none'')']);

-- Random cards with all that there is, and random histories: the changes sum to the difference, and each has a reason.
SELECT setseed(0.4711);
CREATE FUNCTION one_of(VARIADIC choices text[]) RETURNS text LANGUAGE sql VOLATILE AS $$ SELECT choices[1 + floor(random() * cardinality(choices))::integer] $$;
CREATE FUNCTION random_weight() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	s text := one_of('s1', 's2', 's3', 'p1', 'p2');
	at_least numeric := CASE WHEN random() < 0.4 THEN floor(random() * 4) END;
	most numeric := CASE WHEN random() < 0.3 THEN round((random() * 20)::numeric, 2) END;
BEGIN
	RETURN jsonb_strip_nulls(jsonb_build_object('signal', s, 'points', round((random() * 40 - 12)::numeric, 3), 'category', one_of('a', 'b', NULL, NULL),
		'max_points', most, 'min_points', CASE WHEN random() < 0.2 THEN -round((random() * 9)::numeric, 2) END) || CASE WHEN s LIKE 'p%' THEN '{}' ELSE jsonb_build_object(
		'measure', one_of('count', 'count', 'value', 'average_value', 'active_days', 'days_since_last', 'days_since_first'), 'curve', one_of('linear', 'linear', 'log'),
		'half_life', one_of('3 days', '20 days', NULL, NULL), 'fades_over', one_of('9 days', NULL, NULL, NULL), 'within', one_of('2 days', '10 days', '30 days', NULL, NULL),
		'at_least', at_least, 'below', CASE WHEN at_least IS NOT NULL AND random() < 0.5 THEN at_least + 3 END, 'max_per_day', one_of('1', '2', NULL, NULL)::integer,
		'if_none', CASE WHEN random() < 0.2 THEN round((random() * 10 - 5)::numeric, 2) END, 'since_signal', CASE WHEN random() < 0.15 THEN one_of(VARIADIC array_remove('{s1,s2,s3}', s)) END) END);
END
$$;
CREATE FUNCTION random_card(name text) RETURNS jsonb LANGUAGE sql VOLATILE AS $$
	SELECT jsonb_strip_nulls(jsonb_build_object('model', name, 'floor', one_of('0', '-10', NULL)::float8, 'ceiling', one_of('20', '60', NULL)::float8, 'time_zone', one_of('Europe/Berlin', NULL))) || jsonb_build_object(
		'signals', '[{"signal": "s1", "kind": "k1"}, {"signal": "s2", "kind": "k2", "label": "Did the second"}, {"signal": "s3", "kind": "k3", "label": "third thing|third things"},
			{"signal": "p1", "subject": "profile", "match": {"a": 1}}, {"signal": "p2", "subject": "profile", "match": {"b": 1}}]'::jsonb,
		'categories', (SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('category', c, 'max_points', one_of('5', '25', NULL)::float8, 'min_points', one_of('-5', '1', NULL)::float8))) FROM unnest('{a,b}'::text[]) c),
		'weights', (SELECT jsonb_agg(random_weight()) FROM generate_series(1, 3 + floor(random() * 8)::integer)),
		'rules', (SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('rule', 'r' || i, 'points', round((random() * 30 - 10)::numeric, 2), 'category', one_of('a', NULL),
			'all_of', jsonb_build_array(jsonb_strip_nulls(jsonb_build_object('signal', one_of('s1', 's2'), 'within', one_of('5 days', NULL)))),
			'none_of', CASE WHEN random() < 0.5 THEN '[{"signal": "s3", "within": "12 days"}]'::jsonb END))) FROM generate_series(1, 2) i))
$$;
SELECT count(publish(random_card('card ' || n))) FROM generate_series(1, 60) n;
INSERT INTO event (lead_id, kind, occurred_at, value)
	SELECT 'random ' || ceil(random() * 12), one_of('k1', 'k2', 'k3'), '2026-02-01Z'::timestamptz + random() * interval '60 days', CASE WHEN random() < 0.7 THEN round((random() * 100 - 20)::numeric, 2) END FROM generate_series(1, 400);
INSERT INTO lead SELECT 'random ' || n, one_of('{"a": 1}', '{"b": 1}', '{"a": 1, "b": 1}', '{}')::jsonb FROM generate_series(1, 12) n;
CALL rebuild();
CREATE TABLE change AS SELECT m.model, l.lead_id, i.since, i.until, x.*, score(l.lead_id, m.model, i.until) - score(l.lead_id, m.model, i.since) AS difference
FROM (SELECT 'card ' || n AS model FROM generate_series(1, 60) n) m CROSS JOIN (SELECT 'random ' || n AS lead_id FROM generate_series(1, 12, 3) n) l
CROSS JOIN LATERAL (SELECT t AS since, t + random() * interval '25 days' + d AS until FROM (SELECT '2026-02-03Z'::timestamptz + random() * interval '50 days' AS t, CASE WHEN m.model || l.lead_id IS NULL THEN interval '1 day' ELSE interval '0' END AS d OFFSET 0) r) i
LEFT JOIN LATERAL (SELECT 1 AS lead, e.* FROM explain_change(l.lead_id, m.model, i.since, i.until) e) x ON true;
SELECT count(DISTINCT (model, lead_id)) AS histories, count(*) > 500 AS lines, count(DISTINCT (model, lead_id)) FILTER (WHERE difference <> 0) > 100 AS moved, count(DISTINCT since) > 200 AS instants FROM change;
SELECT count(*) AS wrong FROM (SELECT model, lead_id, difference FROM change GROUP BY 1, 2, 3 HAVING abs(coalesce(sum(change), 0) - difference) > 1e-9) w;
SELECT count(*) AS wrong FROM (SELECT model, lead_id, since, until FROM change GROUP BY 1, 2, 3, 4 HAVING abs(coalesce(sum(points_before), 0) - coalesce(sum(points), 0) + min(difference)) > 1e-9) w;
SELECT * FROM change WHERE lead IS NOT NULL AND (reason IS NULL OR reason = '' OR change = 0 OR reason ~ '%' OR abs(points - points_before - change) > 1e-9);
