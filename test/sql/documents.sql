\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- A model comes in and goes out whole, as a document.
SELECT publish('{
	"model": "m", "description": "all there is", "floor": -5, "ceiling": 99.5, "intercept": -3, "slope": 0.05,
	"signals": [
		{"signal": "visit", "kind": "visit", "description": "came"},
		{"signal": "mobile", "match": {"device": "mobile", "x": null}},
		{"signal": "dear", "kind": "order", "condition": "$.price > 100", "match": {}},
		{"signal": "de", "subject": "profile", "match": {"country": "DE"}}
	],
	"weights": [
		{"signal": "visit", "points": 1, "curve": "log", "half_life": "1 mon", "fades_over": "36 hours", "within": "1 year 2 days", "max_per_day": 2,
			"min_points": 0, "max_points": 20, "category": "web", "stage": "aware"},
		{"signal": "mobile", "measure": "active_days", "points": -0.1, "at_least": 1e-3, "below": 1e6},
		{"signal": "dear", "measure": "value", "points": 1e-7},
		{"signal": "de", "points": 12345678.9}
	],
	"categories": [{"category": "web", "min_points": -1, "max_points": 10}, {"category": "all"}],
	"stages": [{"stage": "aware", "position": -1, "within": "90 days"}, {"stage": "customer", "position": 7}],
	"grades": [{"grade": "B"}, {"grade": "A", "min_fit": 30}],
	"segments": [{"segment": "high", "position": 1, "min_score": 80, "min_fit": 1, "min_engagement": 2.5}, {"segment": "low", "position": 2}]
}');
SELECT jsonb_pretty(scorecard('m'));

-- Out and in again, it is the same, ids included; publishing it twice changes nothing.
CREATE TEMP TABLE before AS SELECT scorecard('m') AS card;
SELECT publish(card) FROM before;
SELECT scorecard('m') = card AS equal FROM before;

-- The document without its ids comes to the same but for the weights' ids; signals keep theirs.
SELECT publish(jsonb_set(card, '{weights}', (SELECT jsonb_agg(w - 'weight_id' ORDER BY n) FROM jsonb_array_elements(card -> 'weights') WITH ORDINALITY e (w, n)))) FROM before;
SELECT scorecard('m') #- '{weights}' = card #- '{weights}' AS equal,
	(SELECT jsonb_agg(w - 'weight_id' ORDER BY n) FROM jsonb_array_elements(scorecard('m') -> 'weights') WITH ORDINALITY e (w, n))
	= (SELECT jsonb_agg(w - 'weight_id' ORDER BY n) FROM jsonb_array_elements(card -> 'weights') WITH ORDINALITY e (w, n)) AS equal_weights
FROM before;

-- Publishing replaces: what the document does not have is gone, a weight_id that belonged to the model stays, another is assigned anew.
SELECT publish('{"model": "m", "signals": [{"signal": "visit", "kind": "visit"}], "weights": [{"weight_id": 1, "signal": "visit", "points": 3}]}');
SELECT scorecard('m') #- '{weights,0,weight_id}' #- '{signals,0,signal_id}' AS card, (SELECT count(*) FROM weight w WHERE w.weight_id = 1) AS stolen;
SELECT signal FROM signal ORDER BY 1;
-- members that are null count as absent
SELECT publish('{"model": "n", "description": null, "floor": null, "weights": null, "categories": null, "stages": null, "grades": null, "segments": null}');
SELECT scorecard('n');
-- an empty model
SELECT publish('{"model": "empty"}');

\pset tuples_only on
\pset format unaligned
-- What is wrong is named by its path, and nothing is changed.
SELECT refused(format('SELECT publish(%L)', d)) FROM unnest(ARRAY['[]', '5', '{}', '{"model": 5}', '{"model": ""}', '{"model": "m", "wieghts": []}', '{"model": "m", "weights": {}}',
	'{"model": "m", "floor": "5"}', '{"model": "m", "ceiling": true}', '{"model": "m", "slope": 1e999}', '{"model": "m", "floor": 5, "ceiling": 5}', '{"model": "m", "description": 5}']) d;
SELECT refused('SELECT publish(NULL)');
-- signals
SELECT refused(format('SELECT publish(''{"model": "m", "signals": [{"signal": "a"}, %s]}'')', d)) FROM unnest(ARRAY['5', '{}', '{"signal": "a"}', '{"signal": "b", "subject": "person"}', '{"signal": "b", "kind": ["x"]}',
	'{"signal": "b", "kind": ""}', '{"signal": "b", "match": "x"}', '{"signal": "b", "condition": "$.a ? (@ > 1)"}', '{"signal": "b", "subject": "profile", "kind": "x"}', '{"signal": "b", "weight": 1}',
	'{"signal": "b", "signal_id": "x"}']) d;
-- weights
SELECT refused(format('SELECT publish(''{"model": "m", "signals": [{"signal": "a"}, {"signal": "p", "subject": "profile"}], "categories": [{"category": "c"}], "weights": [{"signal": "a", "points": 1}, {"signal": "a", "points": 1, %s}]}'')', d))
FROM unnest(ARRAY['"point": 1', '"points": "1"', '"points": null', '"points": -1e400', '"signal": "b"', '"signal": null', '"signal": "p", "measure": "count"', '"measure": "present"', '"measure": "sum"', '"measure": 5',
	'"curve": "cubic"', '"half_life": 14', '"half_life": "14 monkeys"', '"half_life": "0 days"', '"fades_over": "-1 day"', '"within": "100000 years"', '"within": "1 day -24 hours"',
	'"at_least": 3, "below": 3', '"at_least": 3, "below": 2', '"max_per_day": 0', '"max_per_day": 1.5', '"max_per_day": 3000000000', '"min_points": 2, "max_points": 1',
	'"category": "d"', '"category": 5', '"stage": "s"', '"weight_id": 0', '"weight_id": 1e10']) d;
SELECT refused('SELECT publish(''{"model": "m", "signals": [{"signal": "a"}], "weights": [{"signal": "a", "points": 1, "weight_id": 7}, {"signal": "a", "points": 2, "weight_id": 7}]}'')');
-- the others
SELECT refused(format('SELECT publish(''{"model": "m", %s}'')', d)) FROM unnest(ARRAY['"categories": [{"category": "c"}, {"category": "c"}]', '"categories": [{}]', '"categories": [{"category": "c", "min_points": 2, "max_points": 1}]',
	'"categories": [{"category": "c", "points": 2}]', '"stages": [{"stage": "s"}]', '"stages": [{"stage": "s", "position": 1}, {"stage": "t", "position": 1}]', '"stages": [{"stage": "s", "position": 1}, {"stage": "s", "position": 2}]',
	'"stages": [{"stage": "s", "position": 1.5}]', '"stages": [{"stage": "s", "position": 1, "within": "0"}]', '"grades": [{"grade": "A"}, {"grade": "B"}]', '"grades": [{"grade": "A", "min_fit": 1}, {"grade": "A"}]',
	'"grades": [{"grade": "A", "min_fit": "1"}]', '"segments": [{"segment": "a"}]', '"segments": [{"segment": "a", "position": 1}, {"segment": "b", "position": 1}]',
	'"segments": [{"segment": "a", "position": 1}, {"segment": "a", "position": 2}]', '"segments": [{"segment": "a", "position": 1, "max_score": 2}]', '"segments": [5]', '"segments": "x"']) d;
SELECT scorecard('m') #- '{weights,0,weight_id}' #- '{signals,0,signal_id}', (SELECT string_agg(signal, ' ' ORDER BY signal) FROM signal);

-- What the document cannot know: a signal that another model measures as an event does not become a profile signal.
-- All that came before the error is undone.
SELECT refused('SELECT publish(''{"model": "other", "floor": 1, "signals": [{"signal": "new"}, {"signal": "visit", "subject": "profile"}], "weights": [{"signal": "new", "points": 1}, {"signal": "visit", "points": 1}]}'')');
SELECT count(*) FROM model WHERE model = 'other';
SELECT count(*) FROM signal WHERE signal = 'new';

-- Scoring reads a document just as strictly; it wants the signals' ids.
SELECT refused(format('SELECT score(%L, ''{}'', NULL, ''2026-01-01'')', d)) FROM unnest(ARRAY['[]', '{"x": 1}', '{"signals": [{"signal": "a"}], "weights": [{"signal": "a", "points": 1}]}',
	'{"signals": [{"signal": "a", "signal_id": 1}, {"signal": "b", "signal_id": 1}], "weights": [{"signal": "a", "points": 1}, {"signal": "b", "points": 1}]}',
	'{"signals": [{"signal": "a", "signal_id": 1}], "weights": [{"signal": "a", "points": "1"}]}', '{"signals": [{"signal": "a", "signal_id": 1}], "weights": [{"signal": "a", "points": 1, "half_life": "x"}]}']) d;

-- What does not exist is named, with what there is.
DELETE FROM default_model;
SELECT refused(ARRAY['SELECT scorecard(''x'')', 'SELECT score(''lead'', ''x'')', 'SELECT * FROM explain(''lead'', ''x'')', 'SELECT * FROM score_history(''lead'', ''x'')', 'SELECT score(''lead'')', 'SELECT template(''x'')']);
\pset tuples_only off
\pset format aligned
DELETE FROM model;
\pset tuples_only on
\pset format unaligned
SELECT refused('SELECT scorecard()');
\pset tuples_only off
\pset format aligned

-- The templates are published as they are, and go out again as they came in, but for ids, defaults and order.
SELECT t.template, publish(template(t.template)), length(t.description) > 0 AS described FROM templates() t;
SELECT t.template, publish(scorecard(t.template)), scorecard(t.template) = o.card AS unchanged,
	(SELECT jsonb_agg(w - 'weight_id' - 'curve' ORDER BY n) FROM jsonb_array_elements(o.card -> 'weights') WITH ORDINALITY e (w, n))
		= (SELECT jsonb_agg(w - 'curve' ORDER BY n) FROM jsonb_array_elements(i.card -> 'weights') WITH ORDINALITY e (w, n)) AS equal_weights,
	(SELECT array_agg(s ->> 'signal' ORDER BY s ->> 'signal') FROM jsonb_array_elements(o.card -> 'signals') s)
		= (SELECT array_agg(s ->> 'signal' ORDER BY s ->> 'signal') FROM jsonb_array_elements(i.card -> 'signals') s) AS equal_signals,
	o.card -> 'categories' @> (i.card -> 'categories') AND o.card #- '{signals}' #- '{weights}' #- '{categories}'
		= i.card #- '{signals}' #- '{weights}' #- '{categories}' AS equal_others
FROM templates() t, LATERAL (SELECT template(t.template) AS card) i, LATERAL (SELECT scorecard(t.template) AS card OFFSET 0) o;
-- What publishing the three has left of the signals, as far as events go: shared by name.
SELECT count(*) AS signals, count(*) FILTER (WHERE subject = 'profile') AS profile_signals FROM signal WHERE signal NOT IN ('dear', 'mobile', 'de');
SELECT template(NULL) IS NULL AS nothing;

-- PL/pgSQL keeps an expression while its variables change: each document is read anew
DO $$
DECLARE
	card jsonb;
	total float8;
BEGIN
	FOR points IN 1..3 LOOP
		card := format('{"model": "m", "signals": [{"signal": "anybody", "subject": "profile"}], "weights": [{"signal": "anybody", "points": %s}]}', points);
		total := score(card, NULL::timeline, '{}'::jsonb, '2026-01-01'::timestamptz);
		RAISE WARNING 'points %, score %', points, total;
	END LOOP;
END
$$;

-- A signal has one definition for all models: a document that changes it for another model is refused, unless it is to be changed there, too.
DELETE FROM model; DELETE FROM signal;
SELECT publish('{"model": "a", "signals": [{"signal": "visit", "kind": "visit"}, {"signal": "buy", "kind": "buy"}, {"signal": "own", "kind": "own"}, {"signal": "de", "subject": "profile", "match": {"country": "DE"}}],
	"weights": [{"signal": "visit", "points": 1}, {"signal": "buy", "points": 1}, {"signal": "own", "points": 1}, {"signal": "de", "points": 1}]}');
SELECT publish('{"model": "b", "signals": [{"signal": "visit", "kind": "visit"}, {"signal": "buy", "kind": "buy"}], "weights": [{"signal": "visit", "points": 1}]}');
CREATE VIEW changed AS SELECT '{"model": "b", "signals": [{"signal": "buy", "kind": "purchase"}, {"signal": "visit", "kind": "visit", "match": {"page": "/"}}], "weights": [{"signal": "visit", "points": 1}]}'::jsonb AS card;
\pset tuples_only on
\pset format unaligned
SELECT refused(ARRAY['SELECT publish(card) FROM changed', 'SELECT publish(card, NULL) FROM changed',
	'SELECT publish(''{"model": "c", "signals": [{"signal": "visit"}]}'')', 'SELECT publish(''{"model": "c", "signals": [{"signal": "visit", "kind": "visit", "condition": "$.x > 1"}]}'')',
	'SELECT publish(''{"model": "c", "signals": [{"signal": "de", "subject": "profile", "match": {"country": "AT"}}]}'')', 'SELECT publish(''{"model": "c", "signals": [{"signal": "visit", "subject": "profile"}]}'', redefine => true)']);
\pset tuples_only off
\pset format aligned
-- nothing is left of them
SELECT count(*) FROM model; SELECT kind, match FROM signal WHERE signal IN ('visit', 'buy') ORDER BY signal;
-- what only this model uses, or nobody, may change; and so may a description
SELECT publish(jsonb_set(scorecard('a'), '{signals}', '[{"signal": "visit", "kind": "visit", "description": "a look"}, {"signal": "buy", "kind": "bought"}, {"signal": "own", "kind": "owned"}, {"signal": "de", "subject": "profile", "match": {"country": "AT"}}]'));
SELECT publish('{"model": "b", "signals": [{"signal": "visit", "kind": "visit"}, {"signal": "free", "kind": "x"}], "weights": [{"signal": "visit", "points": 1}]}');
SELECT publish('{"model": "c", "signals": [{"signal": "free", "kind": "y"}, {"signal": "visit", "subject": "event", "kind": "visit", "match": null}]}');
SELECT signal, kind, match, description FROM signal ORDER BY signal;
-- with redefine it counts for all
SELECT publish(card, redefine => true) FROM changed;
SELECT signal, kind, match FROM signal WHERE signal IN ('visit', 'buy') ORDER BY signal;
SELECT jsonb_path_query_array(scorecard('a'), '$.signals[*] ? (@.signal == "visit").match.page') AS of_a, (SELECT count(*) FROM model_version WHERE model = 'a') AS versions_of_a;
-- an earlier version redefines, too
SELECT split_part(refused('SELECT restore_version(''b'')'), ' ', 1) AS refused LIMIT 1;
SELECT restore_version('b', redefine => true);
SELECT match FROM signal WHERE signal = 'visit';
