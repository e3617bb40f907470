\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- From the worth of weights to a score, and from that to grade, stage and segment.

-- Signals 1 (email), 2 (web) and 3 (orders), two profile signals. Seen from 2026-02-01T00Z, the lead has
--   email 6 times, 10 days ago; web 3 times, 2 days ago; orders 2 worth 50, 31 days ago.
CREATE FUNCTION history() RETURNS timeline LANGUAGE sql AS $$SELECT
	'{1: 2026-01-22T00Z 6; 2: 2026-01-30T00Z 3; 3: 2026-01-01T00Z 2 50; 9: 2026-01-31T05Z 1}'::timeline$$;
CREATE FUNCTION card(more jsonb) RETURNS jsonb LANGUAGE sql AS $$SELECT '{
	"signals": [{"signal": "email", "signal_id": 1}, {"signal": "web", "signal_id": 2}, {"signal": "order", "signal_id": 3},
		{"signal": "de", "subject": "profile", "match": {"country": "DE"}}, {"signal": "young", "subject": "profile", "condition": "$.age < 30"}],
	"weights": [{"weight_id": 1, "signal": "email", "points": 2}, {"weight_id": 2, "signal": "web", "points": 3},
		{"weight_id": 3, "signal": "order", "points": 10}, {"weight_id": 4, "signal": "order", "measure": "value", "points": 0.1},
		{"weight_id": 5, "signal": "de", "points": 20}, {"weight_id": 6, "signal": "young", "points": -4}]}'::jsonb || more$$;
CREATE FUNCTION appraised(more jsonb, profile jsonb DEFAULT '{"country": "DE", "age": 25}', at timestamptz DEFAULT '2026-02-01') RETURNS appraisal
	LANGUAGE sql AS $$SELECT appraise(card(more), history(), profile, at)$$;

-- engagement: 6*2 + 3*3 + 2*10 + 50*0.1 = 12 + 9 + 20 + 5 = 46; fit: 20 - 4 = 16; score 62.
-- last_active is the last hour of any signal, of 9 too, though no weight knows it.
SELECT (appraised('{}')).*;
-- without a profile, or with one that matches nothing, there is no fit
SELECT (appraised('{}', NULL)).*;
SELECT (appraised('{}', '{}')).*;
SELECT (appraised('{}', '{"country": "DE"}')).fit;
-- no timeline and no profile: a score of 0
SELECT (appraise(card('{}'), NULL, NULL, '2026-02-01')).*;
-- score() is the same score; without a scorecard or an instant there is none
SELECT score(card('{}'), history(), '{"country": "DE"}', '2026-02-01'), score(NULL, history(), NULL, '2026-02-01') IS NULL AS no_card,
	score(card('{}'), history(), NULL, NULL) IS NULL AS no_instant, appraise(NULL, history(), NULL, '2026-02-01') IS NULL AS no_appraisal,
	features(NULL, history(), NULL, '2026-02-01') IS NULL AS no_features, (SELECT count(*) FROM contributions(NULL, history(), NULL, '2026-02-01')) AS no_contributions;
SELECT (appraise('{}', history(), '{}', '2026-02-01')).*;

-- A category clamps its weights together, event and profile weights each for themselves:
--   mail = email 12, limited to 10; all = web 9 + order 20, limited to 25, and de 20 - young 4 = 16, below 25.
--   engagement = 10 + 25 + 5 = 40, fit = 16.
-- A least of 30 lifts both parts: engagement = 10 + 30 (from 29) + 5 = 45, fit = 30 (from 16).
CREATE FUNCTION categorised(all_min text, all_max text) RETURNS jsonb LANGUAGE sql AS $$SELECT jsonb_set(jsonb_set(jsonb_set(jsonb_set(jsonb_set(card('{}'),
	'{weights,0,category}', '"mail"'), '{weights,1,category}', '"all"'), '{weights,2,category}', '"all"'), '{weights,4,category}', '"all"'), '{weights,5,category}', '"all"')
	|| format('{"categories": [{"category": "mail", "max_points": 10}, {"category": "all", "min_points": %s, "max_points": %s}]}', all_min, all_max)::jsonb$$;
SELECT c.*, (a).engagement, (a).fit FROM (VALUES ('null', '25'), ('30', 'null'), ('null', 'null'), ('-5', '5')) c (min, max),
	LATERAL (SELECT appraise(categorised(min, max), history(), '{"country": "DE", "age": 25}', '2026-02-01') AS a OFFSET 0) x;
-- even without any activity a category's least holds
SELECT (appraise(categorised('30', 'null'), NULL, NULL, '2026-02-01')).*;

-- floor and ceiling clamp the score, not its parts
SELECT more, (appraised(more)).score, (appraised(more)).engagement, (appraised(more)).fit
FROM unnest(ARRAY['{"ceiling": 50}', '{"floor": 100}', '{"floor": 0, "ceiling": 100}', '{"floor": 62, "ceiling": 63}', '{"floor": -10, "ceiling": -5}']::jsonb[]) more;

-- probability = 1 / (1 + exp(-(intercept + slope * 62))), whatever the ceiling; -6.2 + 0.1 * 62 = 0 gives 0.5,
-- -4 + 0.05 * 62 = -0.9 gives 0.289050497; with only one of the two there is none
SELECT more, round((appraised(more)).probability::numeric, 9) AS probability
FROM unnest(ARRAY['{"intercept": -6.2, "slope": 0.1}', '{"intercept": -4, "slope": 0.05, "ceiling": 1}', '{"intercept": 1}', '{"slope": 1}',
	'{"intercept": 10000, "slope": 1}', '{"intercept": -10000, "slope": 1}']::jsonb[]) more;

-- Stages: the highest position whose weights' signals occurred within its window. Ages: web 2 days, email 10, order 31.
CREATE FUNCTION staged(web text, email text, orders text) RETURNS text LANGUAGE sql AS $$
	SELECT (appraise(jsonb_set(jsonb_set(jsonb_set(card('{}'), '{weights,1,stage}', '"aware"'), '{weights,0,stage}', '"interested"'), '{weights,2,stage}', '"customer"')
		|| jsonb_build_object('stages', jsonb_build_array(
			jsonb_build_object('stage', 'customer', 'position', 9, 'within', orders),
			jsonb_build_object('stage', 'aware', 'position', -1, 'within', web),
			jsonb_build_object('stage', 'interested', 'position', 2, 'within', email))), history(), NULL, '2026-02-01')).stage$$;
SELECT staged(NULL, NULL, NULL) AS ever, staged('3 days', '11 days', '32 days') AS all_within, staged('3 days', '11 days', '31 days') AS order_too_old,
	staged('3 days', '10 days', '1 day') AS only_web, staged('2 days', '10 days', '31 days') AS none;
-- a weight's own window, band and points have no say in it
SELECT (appraise('{"signals": [{"signal": "email", "signal_id": 1}], "stages": [{"stage": "x", "position": 1}],
	"weights": [{"signal": "email", "points": 0, "within": "1 day", "at_least": 100, "stage": "x"}]}', history(), NULL, '2026-02-01')).stage;
-- a profile signal reaches its stage while the profile matches
SELECT p, (appraise('{"signals": [{"signal": "de", "subject": "profile", "match": {"country": "DE"}}], "stages": [{"stage": "x", "position": 1, "within": "1 hour"}],
	"weights": [{"signal": "de", "points": 0, "stage": "x"}]}', NULL, p, '2026-02-01')).stage FROM unnest(ARRAY['{"country": "DE"}', '{}']::jsonb[]) p;

-- Grades: the highest min_fit that the fit of 16 reaches, in whatever order they stand. Without a min_fit it always holds.
SELECT more, (appraised(more)).grade FROM unnest(ARRAY[
	'{"grades": [{"grade": "C"}, {"grade": "A", "min_fit": 16.001}, {"grade": "B", "min_fit": 16}]}',
	'{"grades": [{"grade": "C"}, {"grade": "A", "min_fit": 17}, {"grade": "B", "min_fit": -3}]}',
	'{"grades": [{"grade": "A", "min_fit": 17}, {"grade": "D"}]}', '{"grades": [{"grade": "A", "min_fit": 17}]}']::jsonb[]) more;

-- Segments: the first by position whose conditions all hold, for a score of 62, engagement 46, fit 16.
SELECT more, (appraised(more)).segment FROM unnest(ARRAY[
	'{"segments": [{"segment": "low", "position": 3}, {"segment": "high", "position": 1, "min_score": 62.5}, {"segment": "medium", "position": 2, "min_score": 62}]}',
	'{"segments": [{"segment": "low", "position": 3}, {"segment": "fits", "position": 1, "min_score": 10, "min_fit": 16.1}, {"segment": "active", "position": 2, "min_score": 10, "min_engagement": 46}]}',
	'{"segments": [{"segment": "all", "position": -7, "min_score": 62, "min_fit": 16, "min_engagement": 46}]}',
	'{"segments": [{"segment": "high", "position": 1, "min_score": 100}]}']::jsonb[]) more;
-- segments look at the clamped score
SELECT (appraised('{"ceiling": 50, "segments": [{"segment": "high", "position": 1, "min_score": 51}, {"segment": "low", "position": 2}]}')).segment;

-- Time is a parameter: the same timeline as of earlier hours. On 2026-01-21T23Z there were the orders only.
SELECT at, (appraised('{}', NULL, at)).score, (appraised('{}', NULL, at)).last_active
FROM unnest(ARRAY['2025-12-31 23:59', '2026-01-01 00:00', '2026-01-21 23:59', '2026-01-22 00:00', '2026-01-30 00:00', '2026-01-31 05:00']::timestamptz[]) at;

-- Several scorecards in one query, each its own: 9 cards, more than are kept compiled.
SELECT n, (appraise(jsonb_set(card('{}'), '{weights,0,points}', to_jsonb(n)), history(), NULL, '2026-02-01')).engagement
FROM generate_series(1, 9) n, generate_series(1, 2) again WHERE again = 2 ORDER BY n;
