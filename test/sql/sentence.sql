\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
SELECT setseed(0.27) \gset
CREATE FUNCTION pick(VARIADIC choices jsonb[]) RETURNS jsonb LANGUAGE sql VOLATILE AS 'SELECT choices[1 + floor(random() * cardinality(choices))::integer]';
-- a member of a document, in a share of all cases
CREATE FUNCTION perhaps(share float8, name text, value jsonb) RETURNS jsonb LANGUAGE sql VOLATILE AS $$ SELECT CASE WHEN random() < share THEN jsonb_build_object(name, value) ELSE '{}' END $$;
CREATE FUNCTION random_band(share float8) RETURNS jsonb LANGUAGE sql VOLATILE AS $$
	SELECT CASE WHEN random() < share THEN perhaps(0.7, 'at_least', pick('0', '1', '2', '4', '2.5', '-3')) || perhaps(0.7, 'below', pick('5', '6', '12', '100', '7.5')) ELSE '{}' END $$;
CREATE FUNCTION random_measure() RETURNS jsonb LANGUAGE sql VOLATILE AS $$
	SELECT CASE WHEN random() < 0.15 THEN jsonb_build_object('signal', pick('"german"', '"boss"'))
	ELSE jsonb_build_object('signal', pick('"visit"', '"add_to_cart"', '"order"', '"call"', '"nothing"'),
		'measure', pick('"count"', '"count"', '"value"', '"average_value"', '"active_days"', '"days_since_last"', '"days_since_first"'))
		|| perhaps(0.4, 'within', pick('"90 days"', '"1 day"', '"1 hour"', '"36 hours"', '"1 year"', '"2 years"', '"1 mon 2 days"')) END $$;
CREATE FUNCTION random_weight(n integer) RETURNS jsonb LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	w jsonb := random_measure() || random_band(0.4);
BEGIN
	w := w || jsonb_build_object('weight_id', n, 'points', pick('1', '3', '-2', '20', '0.01', '0.0001', '-15', '1234.5')) || perhaps(0.15, 'min_points', pick('-10', '0', '2')) || perhaps(0.2, 'max_points', pick('20', '50', '2'))
		|| perhaps(0.4, 'category', pick('"web"', '"all"', '"minimum"')) || perhaps(0.2, 'stage', '"buys"');
	IF w ? 'measure' THEN
		w := w || perhaps(0.3, 'half_life', pick('"14 days"', '"1 year"', '"5 hours"')) || perhaps(0.15, 'fades_over', '"30 days"') || perhaps(0.2, 'max_per_day', pick('1', '3'))
			|| perhaps(0.2, 'curve', '"log"') || perhaps(0.25, 'if_none', pick('-10', '5', '0')) || CASE WHEN w ->> 'signal' IN ('visit', 'call') THEN perhaps(0.2, 'since_signal', pick('"order"', '"add_to_cart"', '"nothing"')) ELSE '{}' END;
	END IF;
	RETURN w;
END $$;
CREATE FUNCTION random_rule(n integer) RETURNS jsonb LANGUAGE sql VOLATILE AS $$
	SELECT jsonb_build_object('rule', 'rule ' || n) || perhaps(0.8, 'points', pick('5', '-7', '0.5')) || perhaps(0.3, 'category', '"all"') || perhaps(0.3, 'description', '"Visits and calls"')
		|| jsonb_build_object(CASE n % 3 WHEN 0 THEN 'all_of' WHEN 1 THEN 'any_of' ELSE 'none_of' END, (SELECT jsonb_agg(random_measure() || random_band(0.5)) FROM generate_series(1, 1 + floor(random() * 3)::integer + n - n) i))
		|| perhaps(0.4, 'all_of', jsonb_build_array(random_measure() || random_band(0.5), random_measure())) || perhaps(0.3, 'none_of', jsonb_build_array(random_measure(), random_measure() || random_band(0.5))) $$;
CREATE FUNCTION random_card(n integer) RETURNS jsonb LANGUAGE sql VOLATILE AS $$
	SELECT jsonb_build_object('model', 'm' || n, 'signals', '[{"signal": "visit", "signal_id": 1, "kind": "visit"}, {"signal": "add_to_cart", "signal_id": 2, "kind": "add"},
			{"signal": "order", "signal_id": 3, "kind": "order", "label": "purchase|purchases"}, {"signal": "call", "signal_id": 4, "kind": "call", "label": "talked to us"}, {"signal": "nothing", "signal_id": 5, "kind": "nothing", "label": "complaint"},
			{"signal": "german", "subject": "profile", "match": {"country": "DE"}}, {"signal": "boss", "subject": "profile", "match": {"boss": true}, "label": "is a boss"}]'::jsonb,
		'weights', (SELECT jsonb_agg(random_weight(i)) FROM generate_series(1, 6 + n % 3) i), 'rules', (SELECT jsonb_agg(random_rule(i)) FROM generate_series(1, n % 3) i),
		'categories', jsonb_build_array('{"category": "web"}'::jsonb || perhaps(0.8, 'max_points', pick('10', '3', '-1')), '{"category": "all"}'::jsonb || perhaps(0.5, 'max_points', pick('30', '5')) || perhaps(0.5, 'min_points', pick('-3', '1')), '{"category": "minimum", "min_points": 2}'::jsonb),
		'stages', '[{"stage": "buys", "position": 1}]'::jsonb, 'segments', '[{"segment": "high", "position": 1, "min_score": 10, "hysteresis": 1, "cool_down": "1 day"}, {"segment": "low", "position": 2}]'::jsonb)
		|| perhaps(0.3, 'floor', pick('0', '-5')) || perhaps(0.3, 'ceiling', pick('20', '100')) || perhaps(0.3, 'time_zone', '"Europe/Berlin"') $$;
CREATE FUNCTION random_timeline(card jsonb) RETURNS timeline LANGUAGE sql VOLATILE AS $$
	SELECT timeline_agg(jsonb_build_object('signals', (SELECT jsonb_agg(s - 'label') FROM jsonb_array_elements(card -> 'signals') s WHERE s ? 'signal_id')), (ARRAY['visit', 'visit', 'add', 'order', 'call', 'else'])[1 + floor(random() * 6)::integer],
		'2026-06-01Z'::timestamptz - random() ^ 4 * interval '500 days', round((random() * 100)::numeric, 2), NULL) FROM generate_series(1, floor(random() * 20)::integer) $$;
CREATE TABLE card AS SELECT n, random_card(n) AS card FROM generate_series(1, 600) n;
CREATE TABLE lead_of_card AS SELECT n, card, random_timeline(card) AS timeline, CASE n % 3 WHEN 0 THEN '{"country": "DE"}'::jsonb WHEN 1 THEN '{"boss": true}' END AS profile FROM card;
-- what no sentence has: a placeholder, a zero that was rounded to, an empty piece, and spaces and commas that stand
-- where one was
CREATE FUNCTION broken(sentence text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
	SELECT sentence IS NULL OR sentence ~ '%|^$|^ | $|  | [,;:.)]|[,;:(] ?[,;:)]|\( |0[.,]00(?![0-9])|"" |\mNaN\M|Infinity|\me[+-]?[0-9]' $$;
\set ECHO all
-- Explanations as sentences. Each combination of measure, window, decay, band, curve, limit, category, rule, if_none
-- and since_signal says something, in English and in German: 600 random models (of helpers that are not shown), each
-- with a lead.
SELECT bool_and(broken(b)) AS broken FROM unnest('{a %points b,NULL,"",-0.00 points,"a, : b",a  b,"a (: b",NaN points,1e+20 points}'::text[]) b;
SELECT broken('12 visits: 28.7 points; these 3 (the "x"): 0.05') AS broken;
SELECT count(*) > 2000 AS many, count(DISTINCT e.reason) > 1500 AS different, count(*) FILTER (WHERE broken(e.reason)) AS broken, count(*) FILTER (WHERE e.points IS NULL) AS no_points,
	count(*) FILTER (WHERE e.label IS NULL AND (e.signal IS NOT NULL OR e.rule IS NOT NULL)) AS no_label
FROM lead_of_card l, explained(l.card, l.timeline, l.profile, '2026-06-01 10:00Z', (SELECT wording())) e;
SELECT e.reason FROM lead_of_card l, explained(l.card, l.timeline, l.profile, '2026-06-01 10:00Z', (SELECT wording())) e WHERE broken(e.reason) LIMIT 5;
-- the lines add up to the score
SELECT count(*) AS leads, count(*) FILTER (WHERE abs(e.points - (a).score) > 1e-9) AS wrong, count(*) FILTER (WHERE abs((a).score - (a).fit - (a).engagement) > 1) > 50 AS some_are_limited
FROM (SELECT l.*, appraise(l.card, l.timeline, l.profile, '2026-06-01 10:00Z') AS a FROM lead_of_card l) l,
	LATERAL (SELECT coalesce(sum(points), 0) AS points FROM explained(l.card, l.timeline, l.profile, '2026-06-01 10:00Z', (SELECT wording()))) e;
-- without a limit of its own or of its category, a line is worth what the weight is
SELECT count(*) > 1000 AS many, count(*) FILTER (WHERE e.points <> c.points) > 100 AS limited, count(*) FILTER (WHERE e.points <> c.points AND e.category IS NULL) AS wrong,
	count(*) FILTER (WHERE e.points <> c.points AND e.reason !~ ' (most|least)( |$)') AS unexplained
FROM lead_of_card l, explained(l.card, l.timeline, l.profile, '2026-06-01 10:00Z', (SELECT wording())) e, contributions(l.card, l.timeline, l.profile, '2026-06-01 10:00Z') c WHERE c.weight_id = e.weight_id;
-- the three that weigh most, with whole points
SELECT count(*) > 1000 AS many, count(*) FILTER (WHERE broken(r)) AS broken, count(*) FILTER (WHERE r ~ ': -?0 points') AS worth_nothing
FROM lead_of_card l, unnest(crm_reasons(l.card, l.timeline, l.profile, '2026-06-01 10:00Z', (SELECT wording()))) r;
-- the models as pages
SELECT count(*) > 8000 AS many, count(*) FILTER (WHERE broken(d.text) OR broken(d.item) OR broken(d.section)) AS broken FROM card c, described(c.card, (SELECT wording())) d;
SET leadscore.language = 'de';
SELECT count(*) > 2000 AS many, count(*) FILTER (WHERE broken(e.reason)) AS broken, count(*) FILTER (WHERE e.reason ~ '\m(points?|in the|last|times|worth|less|or more|so far|together|most|least)\M') AS english
FROM lead_of_card l, explained(l.card, l.timeline, l.profile, '2026-06-01 10:00Z', (SELECT wording())) e;
SELECT e.reason FROM lead_of_card l, explained(l.card, l.timeline, l.profile, '2026-06-01 10:00Z', (SELECT wording())) e WHERE broken(e.reason) LIMIT 5;
SELECT count(*) > 8000 AS many, count(*) FILTER (WHERE broken(d.text) OR broken(d.item) OR broken(d.section)) AS broken FROM card c, described(c.card, (SELECT wording())) d;
RESET leadscore.language;

-- by hand
SELECT publish('{"model": "shop", "ceiling": 100, "signals": [{"signal": "visit", "kind": "visit"}, {"signal": "view", "kind": "view"}, {"signal": "search", "kind": "search"}, {"signal": "purchase", "kind": "purchase"},
		{"signal": "add_to_cart", "kind": "add", "label": "put something in the cart"}, {"signal": "call", "kind": "call", "label": "talk|talks"}, {"signal": "de", "subject": "profile", "match": {"country": "DE"}, "label": "lives in Germany"}, {"signal": "b2b", "subject": "profile", "match": {"b2b": true}}],
	"weights": [{"signal": "visit", "points": 4, "half_life": "30 days", "category": "interest"}, {"signal": "view", "points": 2, "category": "interest"}, {"signal": "search", "points": 1, "category": "interest"},
		{"signal": "purchase", "points": 20, "within": "90 days", "at_least": 4}, {"signal": "purchase", "measure": "value", "points": 0.1, "max_points": 15}, {"signal": "purchase", "measure": "average_value", "points": 2, "at_least": 50, "below": 100},
		{"signal": "purchase", "measure": "days_since_last", "points": -0.5}, {"signal": "add_to_cart", "points": 3, "max_per_day": 2, "since_signal": "purchase"}, {"signal": "add_to_cart", "measure": "active_days", "points": 1, "within": "1 year"},
		{"signal": "call", "points": 5, "if_none": -7}, {"signal": "call", "measure": "days_since_first", "points": 1, "if_none": -1, "within": "30 days"}, {"signal": "purchase", "points": 6, "curve": "log"}, {"signal": "de", "points": 10}, {"signal": "b2b", "points": 1}],
	"rules": [{"rule": "ready", "all_of": [{"signal": "visit", "at_least": 3, "within": "60 days"}, {"signal": "add_to_cart"}], "none_of": [{"signal": "call"}], "points": 8}, {"rule": "known", "any_of": [{"signal": "de"}, {"signal": "call", "at_least": 2, "below": 3}], "points": 1, "description": "Somebody we know"},
		{"rule": "idle", "none_of": [{"signal": "visit", "within": "1 hour"}, {"signal": "purchase", "at_least": 9}], "category": "interest"}],
	"categories": [{"category": "interest", "max_points": 30}], "stages": [{"stage": "buys", "position": 1}], "grades": [{"grade": "A", "min_fit": 10}, {"grade": "B"}], "time_zone": "Europe/Berlin", "intercept": -1.5, "slope": 0.02,
	"segments": [{"segment": "high", "position": 1, "min_score": 60, "rules": ["ready"], "hysteresis": 5}, {"segment": "mid", "position": 2, "above_score": 20, "min_engagement": 3.5, "cool_down": "2 days"}, {"segment": "rest", "position": 3}]}');
INSERT INTO event (lead_id, kind, occurred_at, value)
SELECT 'ann', 'visit', '2026-06-01Z'::timestamptz - i * interval '3 days', NULL::numeric FROM generate_series(0, 11) i
UNION ALL SELECT 'ann', 'view', '2026-06-01Z', NULL UNION ALL SELECT 'ann', 'search', '2026-05-01Z', NULL FROM generate_series(1, 3)
UNION ALL SELECT 'ann', 'purchase', '2026-05-20Z'::timestamptz - i * interval '1 day', 60 FROM generate_series(0, 4) i
UNION ALL SELECT 'ann', 'add', '2026-05-30 09:00Z'::timestamptz + i * interval '1 hour', NULL FROM generate_series(0, 4) i;
INSERT INTO lead VALUES ('ann', '{"country": "DE", "b2b": true}');
SELECT weight_id IS NOT NULL AS numbered, label, reason FROM explain('ann', 'shop', '2026-06-01 12:00Z');
SELECT abs(sum(points) - score('ann', 'shop', '2026-06-01 12:00Z')) < 1e-9 AS adds_up FROM explain('ann', 'shop', '2026-06-01 12:00Z');
SELECT unnest(crm_reasons(scorecard('shop'), timeline_of('ann'), '{"country": "DE"}', '2026-06-01 12:00Z', wording())) AS reason;
SELECT * FROM describe('shop') WHERE section <> 'Versions';
SELECT item, regexp_replace(text, '[0-9]+ \w+ [0-9]{4}', 'today') ~ '^since today, by \w+$' AS told FROM describe('shop') WHERE section = 'Versions';
SELECT date_in_words(wording(), '2026-03-01 12:00Z'), (SELECT count(*) FROM describe(NULL)) AS of_none;
SELECT refused('SELECT describe(''nowhere'')');
SET leadscore.language = 'de_AT';
UPDATE signal SET label = 'Einkauf|Eink' || chr(228) || 'ufe' WHERE signal = 'purchase';
UPDATE signal SET label = 'Besuch|Besuche' WHERE signal = 'visit';
SELECT reason FROM explain('ann', 'shop', '2026-06-01 12:00Z');
SELECT section, text FROM describe('shop') WHERE section NOT IN ('Signale', 'Versionen');
SELECT date_in_words(wording(), '2026-03-01 12:00Z');

-- words of one's own: a language, a dialect of it, and what English has where they have nothing
INSERT INTO sentence VALUES ('de_AT', 'points.many', '%n Punkterl'), ('fr', 'points.many', '%n points, 100 %%'), ('fr', 'count.many', '%n fois "%label"');
SELECT say('points', '{"n": 1234.56}'), say('points', '{"n": 1}'), say('count', '{"n": 2, "nouns": "x"}');
SET leadscore.language = 'fr';
SELECT say('points', '{"n": 3}'), say('points', '{"n": 1}'), say('count', '{"n": 2, "label": "visite", "nouns": "visites"}');
SET leadscore.language = 'tlh';
SELECT say('points', '{"n": -0.001}'), say('points', '{"n": 0}'), say('points', '{"n": 0.96}'), say('points', '{"n": 1e40}'), say('line', '{"what": null, "points": true, "limit": "%points", "category": [1, {"a": 2}]}'), say('points');
UPDATE sentence SET template = '%n pts' WHERE language = 'en' AND name = 'points.many';
SELECT say('points', '{"n": 3}');
DELETE FROM sentence WHERE name = 'points.many';
SELECT say('points', '{"n": 3}') AS as_delivered, (SELECT count(*) FROM wording_document WHERE language = 'de_AT') AS gone;
TRUNCATE sentence;
SELECT say('points', '{"n": 3}') AS as_delivered, (SELECT string_agg(language, ' ' ORDER BY language) FROM wording_document) AS languages;
RESET leadscore.language;
SELECT refused(c) FROM unnest(ARRAY[$$SET leadscore.language = 'd e'$$, $$SET leadscore.language = 'de; DROP'$$, $$SELECT say('nothing of the kind')$$,
	$$INSERT INTO sentence VALUES ('de', 'line', '%what: %punkte')$$, $$INSERT INTO sentence VALUES ('de', 'line', '%what: 100 % sure')$$, $$INSERT INTO sentence VALUES ('de', 'line', '%what%')$$,
	$$INSERT INTO sentence VALUES ('de', 'number.decimal', '%n')$$, $$INSERT INTO sentence VALUES ('de', 'lime', 'x')$$, $$INSERT INTO sentence VALUES ('d', 'line', 'x')$$, $$INSERT INTO sentence VALUES ('', 'line', 'x')$$,
	$$INSERT INTO sentence VALUES ('de', 'line', NULL)$$, $$INSERT INTO sentence VALUES ('de', 'line', 'a'), ('de', 'line', 'b')$$]) c;

-- labels
SELECT refused(format('UPDATE signal SET label = %L WHERE signal = ''visit''', l)) FROM unnest(ARRAY['', '  ', 'a|', '|b', 'a|b|c', E'a\nb', E'a\x7f']) l;
SELECT refused($$SELECT publish(jsonb_set(template('funnel'), '{signals,0,label}', '"a|"'))$$);
SELECT refused($$SELECT publish(jsonb_set(template('funnel'), '{signals,0,label}', '7'))$$);
SELECT publish(jsonb_set(scorecard('shop'), '{signals,1,label}', '"look|looks"'));
SELECT label, scorecard('shop') #>> '{signals,1,label}' AS in_the_document FROM signal WHERE signal = 'view';
SELECT count(*) = count(s ->> 'label') AS all_of_the_templates FROM templates() t, jsonb_array_elements(template(t.template) -> 'signals') s;
UPDATE signal SET label = 'look|looks' WHERE signal = 'search';
SELECT object, problem FROM lint('shop') WHERE problem ~ 'label';
-- a document without labels leaves those that there are
SELECT publish(jsonb_set(scorecard('shop'), '{signals}', (SELECT jsonb_agg(s - 'label') FROM jsonb_array_elements(scorecard('shop') -> 'signals') s)));
SELECT signal, label FROM signal ORDER BY signal_id;

-- the setting is defined when a session first reads it: what was set before counts, also in a parallel query, unless it is no code
\c -
SET leadscore.language = 'de';
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SELECT count(*) > 0 AS in_a_parallel_query FROM leadscore_internal.delivered_sentence WHERE language = leadscore_internal.chosen_language();
SELECT leadscore_internal.chosen_language();
\c -
SET leadscore.language = 'd e';
SELECT leadscore_internal.chosen_language();
