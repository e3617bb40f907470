\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- What is probably not meant in a model: each finding, and models without any.

CREATE FUNCTION published(document jsonb) RETURNS text LANGUAGE sql AS $$
	SELECT leadscore.publish('{"model": "m", "signals": [{"signal": "visit", "kind": "visit"}, {"signal": "order", "kind": "order"}, {"signal": "german", "subject": "profile", "match": {"country": "DE"}}]}' || document)
$$;
CREATE VIEW found AS SELECT * FROM lint('m');

-- clean: the templates, and a model with bands, decay, limits, rules, stages and segments that all can be reached
SELECT t.template, (SELECT count(*) FROM lint(publish(template(t.template)))) AS findings FROM templates() t;
SELECT published('{"floor": 0, "ceiling": 100, "time_zone": "Europe/Berlin",
	"categories": [{"category": "interest", "min_points": -20, "max_points": 60}],
	"stages": [{"stage": "looks", "position": 1}, {"stage": "buys", "position": 2}], "grades": [{"grade": "A", "min_fit": 10}, {"grade": "B"}],
	"weights": [{"signal": "visit", "points": 2, "half_life": "14 days", "max_per_day": 3, "max_points": 40, "category": "interest", "stage": "looks", "if_none": -5},
		{"signal": "visit", "measure": "active_days", "points": 1, "within": "30 days"}, {"signal": "visit", "points": 5, "within": "7 days"},
		{"signal": "order", "measure": "count", "points": 10, "at_least": 1, "below": 3, "stage": "buys"}, {"signal": "order", "measure": "count", "points": 25, "at_least": 3},
		{"signal": "order", "measure": "count", "points": 5, "at_least": 1, "within": "7 days"}, {"signal": "order", "measure": "value", "points": 0.1, "max_points": 30, "fades_over": "1 year"},
		{"signal": "order", "measure": "count", "points": 80, "curve": "log", "max_points": 60}, {"signal": "german", "points": 10}],
	"rules": [{"rule": "looked only", "all_of": [{"signal": "visit"}], "none_of": [{"signal": "order"}], "points": -5, "category": "interest"}],
	"segments": [{"segment": "looked only", "position": 1, "min_score": 20, "rules": ["looked only"]}, {"segment": "german", "position": 2, "min_fit": 10, "min_score": 50},
		{"segment": "high", "position": 3, "above_score": 50}, {"segment": "medium", "position": 4, "min_score": 50}, {"segment": "busy", "position": 5, "min_engagement": 10}, {"segment": "low", "position": 6}]}');
SELECT * FROM found;

-- segments: one for everybody before others, be it by the floor; one whose leads are taken before; one that asks for
-- more than there is
SELECT published('{"weights": [{"signal": "visit", "points": 1}], "segments": [{"segment": "low", "position": 1}, {"segment": "high", "position": 2, "min_score": 10}, {"segment": "rest", "position": 3}]}');
SELECT severity, object, problem, hint FROM found;
SELECT published('{"floor": 0, "weights": [{"signal": "visit", "points": 1}], "segments": [{"segment": "low", "position": 1, "min_score": 0}, {"segment": "high", "position": 2, "min_score": 10}]}');
SELECT object, problem FROM found;
SELECT published('{"weights": [{"signal": "visit", "points": 1}, {"signal": "german", "points": 20}], "rules": [{"rule": "r", "all_of": [{"signal": "order"}]}, {"rule": "q", "all_of": [{"signal": "visit"}]}],
	"segments": [{"segment": "medium", "position": 1, "min_score": 50}, {"segment": "high", "position": 2, "min_score": 70}, {"segment": "above", "position": 3, "above_score": 50},
		{"segment": "fits", "position": 4, "min_fit": 10, "min_score": 20}, {"segment": "fits more", "position": 5, "min_fit": 15, "min_score": 20}, {"segment": "fits less", "position": 6, "min_fit": 15, "min_score": 19},
		{"segment": "rule", "position": 7, "rules": ["r"]}, {"segment": "two rules", "position": 8, "rules": ["q", "r"], "min_score": 3}, {"segment": "other rule", "position": 9, "rules": ["q"], "min_engagement": 5},
		{"segment": "busy", "position": 10, "min_engagement": 10}, {"segment": "busier", "position": 11, "min_engagement": 10}]}');
SELECT object, problem FROM found;
SELECT published('{"ceiling": 100, "categories": [{"category": "c", "max_points": 15}], "weights": [{"signal": "visit", "points": 1}, {"signal": "german", "points": 10, "category": "c"}],
	"segments": [{"segment": "a", "position": 1, "min_score": 101}, {"segment": "b", "position": 2, "above_score": 100}, {"segment": "c", "position": 3, "min_fit": 12}, {"segment": "d", "position": 4, "min_score": 100, "min_fit": 10}, {"segment": "e", "position": 5}]}');
SELECT object, problem, hint FROM found;
SELECT published('{"weights": [{"signal": "visit", "points": 5, "at_least": 3}, {"signal": "order", "points": 2, "max_points": 6}, {"signal": "order", "points": -2}],
	"rules": [{"rule": "r", "all_of": [{"signal": "order"}], "points": 4}], "segments": [{"segment": "a", "position": 1, "min_engagement": 15.5}, {"segment": "b", "position": 2, "min_engagement": 15}, {"segment": "c", "position": 3}]}');
SELECT object, problem FROM found;

-- weights: the same twice, of whatever words the duration is; decay and limits that the measure does not know; bands
-- that overlap
SELECT published('{"weights": [{"signal": "visit", "points": 1, "within": "7 days"}, {"signal": "visit", "points": 1, "within": "1 week", "curve": "linear"}, {"signal": "visit", "points": 2, "within": "7 days"}, {"signal": "visit", "points": 1, "within": "168 hours"}]}');
SELECT regexp_replace(object, '\d+', 'N') AS object, regexp_replace(problem, 'weight \d+', 'weight N') AS problem, hint FROM found;
SELECT published('{"weights": [{"signal": "visit", "measure": "active_days", "points": 1, "half_life": "7 days"}, {"signal": "visit", "measure": "days_since_last", "points": -1, "fades_over": "7 days"}, {"signal": "order", "measure": "value", "points": 1, "max_per_day": 3}]}');
SELECT regexp_replace(object, '\d+', 'N') AS object, problem, hint FROM found;
SELECT published('{"weights": [{"signal": "visit", "points": 1, "below": 5}, {"signal": "visit", "points": 2, "at_least": 5, "below": 10}, {"signal": "visit", "points": 3, "at_least": 9}, {"signal": "visit", "points": 4, "at_least": 20, "within": "7 days"}]}');
SELECT regexp_replace(object, '\d+', 'N') AS object, regexp_replace(problem, 'weight \d+', 'weight N') AS problem, hint FROM found;

-- points that a limit makes vain: of the weight, of its category, below zero, of a rule
SELECT published('{"categories": [{"category": "c", "min_points": -5, "max_points": 20}], "weights": [{"signal": "visit", "points": 50, "max_points": 30}, {"signal": "order", "points": 50, "max_points": 30, "category": "c"}, {"signal": "german", "points": 5, "max_points": -1},
	{"signal": "order", "measure": "value", "points": -10, "min_points": -7, "category": "c"}, {"signal": "visit", "measure": "active_days", "points": 20, "category": "c"}], "rules": [{"rule": "r", "all_of": [{"signal": "order"}], "points": 21, "category": "c"}]}');
SELECT regexp_replace(object, '\d+', 'N') AS object, problem, hint FROM found;

-- names
INSERT INTO experiment VALUES ('M ', 'ecommerce', 'funnel', 0.5, now(), NULL, 'salt');
SELECT object, problem, hint FROM found WHERE object LIKE 'model%';
DELETE FROM experiment;

-- signals that take all; when a lead did anything may be asked
SELECT publish('{"model": "m", "signals": [{"signal": "anything", "kind": null, "match": {}}, {"signal": "whenever", "kind": null}, {"signal": "everybody", "subject": "profile"}],
	"weights": [{"signal": "anything", "points": 1}, {"signal": "whenever", "measure": "days_since_last", "points": -1}, {"signal": "everybody", "points": 1}]}');
SELECT * FROM found;

-- Signals that have never counted anything. Without events there is nothing to say;
CREATE TABLE sale (customer text, at timestamptz, size text, pieces integer, note text);
SELECT track('sale', lead_id => 'customer', kind => 'sale', occurred_at => 'at', properties => '{size,pieces,note}');
SELECT publish('{"model": "m", "signals": [{"signal": "view", "kind": "view"}, {"signal": "viewed", "kind": "veiw"}, {"signal": "pricing", "kind": "view", "match": {"page": "pricing"}}, {"signal": "misspelt property", "kind": "view", "match": {"pgae": "home"}},
		{"signal": "misspelt condition", "kind": "view", "condition": "$.dwel > 10"}, {"signal": "text with number", "kind": "view", "condition": "$.seconds >= 10"}, {"signal": "number with text", "kind": "sale", "match": {"pieces": "3"}},
		{"signal": "large", "kind": "sale", "condition": "$.size == 44 && $.pieces > 1"}, {"signal": "pieces", "kind": "sale", "condition": "$.pieces >= 2"}, {"signal": "no note", "kind": "sale", "match": {"note": "x"}}, {"signal": "never so many", "kind": "sale", "condition": "$.pieces > 100"},
		{"signal": "any red", "kind": null, "match": {"colour": "red"}},
		{"signal": "grown up", "subject": "profile", "condition": "$.age >= 18"}, {"signal": "french", "subject": "profile", "match": {"country": "FR"}}, {"signal": "german", "subject": "profile", "match": {"country": "DE"}}, {"signal": "countrie", "subject": "profile", "match": {"countrie": "DE"}}],
	"weights": [{"signal": "view", "points": 1}, {"signal": "viewed", "points": 1}, {"signal": "pricing", "points": 1}, {"signal": "misspelt property", "points": 1}, {"signal": "misspelt condition", "points": 1}, {"signal": "text with number", "points": 1}, {"signal": "number with text", "points": 1},
		{"signal": "large", "points": 1}, {"signal": "pieces", "points": 1}, {"signal": "no note", "points": 1}, {"signal": "never so many", "points": 1}, {"signal": "any red", "points": 1}, {"signal": "grown up", "points": 1}, {"signal": "french", "points": 1}, {"signal": "german", "points": 1}, {"signal": "countrie", "points": 1}]}');
SELECT * FROM found;
-- then each that no event has met, with what is seen of why; those that have counted are not named.
INSERT INTO event (lead_id, kind, occurred_at, properties) VALUES ('anna', 'view', '2026-01-01', '{"page": "home", "seconds": "42"}'), ('anna', 'view', '2026-01-01', '{"page": "pricing", "seconds": "7"}');
INSERT INTO sale VALUES ('anna', '2026-01-01', '44', 3, NULL);
INSERT INTO lead VALUES ('anna', '{"age": "42", "country": "DE"}');
SELECT * FROM found;
-- one that waits for a rebuild is not among them
UPDATE signal SET kind = 'view' WHERE signal = 'viewed';
SELECT object FROM found WHERE object LIKE '%viewed%';
CALL rebuild();
SELECT object FROM found WHERE object LIKE '%viewed%';

-- publish() says it, one NOTICE for what is to be mended in the same way
SET client_min_messages = notice;
SELECT publish('{"model": "m", "signals": [{"signal": "a", "kind": "a"}, {"signal": "b", "kind": "b"}, {"signal": "c", "kind": "c"}, {"signal": "d", "kind": "d"}, {"signal": "view", "kind": "view"}],
	"weights": [{"signal": "a", "points": 1}, {"signal": "b", "points": 1}, {"signal": "c", "points": 1}, {"signal": "d", "points": 1}, {"signal": "view", "points": 1}], "segments": [{"segment": "all", "position": 1}, {"segment": "none", "position": 2}]}');
SELECT publish('{"model": "m", "signals": [{"signal": "view", "kind": "view"}], "weights": [{"signal": "view", "points": 1}], "segments": [{"segment": "all", "position": 1}]}');
SET client_min_messages = warning;
SELECT * FROM found;

-- an administrator may, who cannot read the tables; a reader may not
CREATE ROLE regress_lint_admin;
CREATE ROLE regress_lint_reader;
SELECT grant_admin('regress_lint_admin'), grant_reader('regress_lint_reader');
SET ROLE regress_lint_admin;
SELECT count(*) FROM leadscore.lint('m');
SELECT leadscore.publish('{"model": "mine", "signals": [{"signal": "huge", "kind": "sale", "match": {"size": 44}}], "weights": [{"signal": "huge", "points": 1}]}');
RESET ROLE;
CALL rebuild();
SET ROLE regress_lint_admin;
SELECT object, problem FROM leadscore.lint('mine');
SET ROLE regress_lint_reader;
SELECT refused('SELECT leadscore.lint(''m'')');
RESET ROLE;
DROP OWNED BY regress_lint_admin, regress_lint_reader;
DROP ROLE regress_lint_admin, regress_lint_reader;
SELECT * FROM lint(NULL);
SELECT refused('SELECT lint(''nosuch'')');

-- signals that have never counted: the timelines are read once for all of them, and the profiles, too
SELECT publish(jsonb_build_object('model', 'wide', 'signals', jsonb_agg(jsonb_build_object('signal', 'never ' || n, 'kind', 'never ' || n)) || jsonb_agg(jsonb_build_object('signal', 'nobody ' || n, 'subject', 'profile', 'match', jsonb_build_object('x', n)))
	|| '[{"signal": "view", "kind": "view"}, {"signal": "late", "kind": "late"}, {"signal": "rare", "subject": "profile", "match": {"y": 1}}]',
	'weights', jsonb_agg(jsonb_build_object('signal', 'never ' || n, 'points', 1)) || jsonb_agg(jsonb_build_object('signal', 'nobody ' || n, 'points', 1)) || '[{"signal": "view", "points": 1}, {"signal": "late", "points": 1}, {"signal": "rare", "points": 1}]')) FROM generate_series(1, 30) n;
-- what is late or rare is past the first rows
INSERT INTO event (lead_id, kind) SELECT 'l' || n, 'view' FROM generate_series(1, 2000) n;
INSERT INTO event (lead_id, kind) VALUES ('last', 'late');
INSERT INTO lead SELECT 'l' || n, '{"z": 1}' FROM generate_series(1, 2000) n;
INSERT INTO lead VALUES ('last', '{"y": 1}');
CALL rebuild();
BEGIN;
SELECT count(*), count(*) FILTER (WHERE object LIKE 'signal "never %'), count(*) FILTER (WHERE object LIKE 'signal "nobody %') FROM lint('wide');
-- (of profiles each finding reads the first 1000 once more)
SELECT relname, seq_tup_read < CASE relname WHEN 'lead' THEN 30 * 1000 + 10000 ELSE 10000 END AS few_rows FROM pg_stat_xact_user_tables WHERE relname IN ('lead_timeline', 'lead') ORDER BY 1;
COMMIT;
