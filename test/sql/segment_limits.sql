\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- Limits of segments that follow from the shares of the leads that they are to have.

-- 100 leads with 1 to 100 visits; every fourth one is German
INSERT INTO event (lead_id, kind, occurred_at) SELECT 'lead ' || n, 'visit', '2026-01-01' FROM generate_series(1, 100) n, generate_series(1, n);
INSERT INTO lead SELECT 'lead ' || n, '{"country": "DE"}' FROM generate_series(4, 100, 4) n;
SELECT publish('{"model": "m", "signals": [{"signal": "visit", "kind": "visit"}, {"signal": "german", "subject": "profile", "match": {"country": "DE"}}],
	"weights": [{"signal": "visit", "points": 1}, {"signal": "german", "points": 0.25}],
	"segments": [{"segment": "high", "position": 1, "min_score": 71}, {"segment": "medium", "position": 2, "above_score": 50.5}, {"segment": "low", "position": 3}]}');
CALL rebuild();
CREATE FUNCTION limits(document jsonb, shares jsonb DEFAULT NULL, at timestamptz DEFAULT '2026-02-01') RETURNS TABLE (segment text, min_score text, above_score text, leads bigint) LANGUAGE sql AS $$
	WITH made AS MATERIALIZED (SELECT leadscore.segment_limits(document, shares, at) AS card)
	SELECT s ->> 'segment', s ->> 'min_score', s ->> 'above_score',
		(SELECT count(*) FROM leadscore_internal.visible_lead v WHERE (leadscore.appraise(leadscore_internal.with_signal_ids(card), v.timeline, v.profile, at)).segment = s ->> 'segment')
	FROM made, jsonb_array_elements(card -> 'segments') s
$$;

-- Of 100 leads the ten with the most visits, then the next thirty. What has no limit and comes last takes the rest,
-- also if it has a share.
SELECT * FROM limits(scorecard('m'), '{"high": 0.1, "medium": 0.3}');
SELECT * FROM limits(scorecard('m'), '{"high": 0.1, "medium": 0.3, "low": 0.6}');
-- what is not named stays as it is, and so does all else of the document
SELECT * FROM limits(scorecard('m'), '{"high": 0.1}');
SELECT segment_limits(scorecard('m'), '{"high": 0.1}') - '{segments}'::text[] = scorecard('m') - '{segments}'::text[] AS same;

-- The shares of today: 30 are high, 20 medium. A document with points times a thousand, where all would be high, keeps
-- them; the model's own limits come out as the scores of its leads.
SELECT * FROM limits(scorecard('m'));
SELECT segment, count(*) FROM visible_lead v, LATERAL appraise(scorecard('m'), v.timeline, v.profile, '2026-02-01') a GROUP BY 1 ORDER BY 1;
SELECT * FROM limits(jsonb_set(scorecard('m'), '{weights,0,points}', '1000'));
-- decay: as of an hour of the past, or of the future
SELECT * FROM limits(jsonb_set(scorecard('m'), '{weights,0,half_life}', '"31 days"'), '{"high": 0.1, "medium": 0.3}');
SELECT * FROM limits(scorecard('m'), '{"high": 0.1, "medium": 0.3}', '2025-01-01');

-- Other conditions stay. Of the 25 Germans the best five are "german", those of the others with most visits "high";
-- nobody has the fit of "none".
SELECT * FROM limits(scorecard('m') || '{"segments": [{"segment": "german", "position": 1, "min_fit": 0.25, "min_score": 0}, {"segment": "none", "position": 2, "min_fit": 5, "min_score": 3},
	{"segment": "high", "position": 3, "min_engagement": 1}, {"segment": "low", "position": 4}]}', '{"german": 0.05, "none": 0.1, "high": 0.2}');
-- by a rule
SELECT * FROM limits(scorecard('m') || '{"rules": [{"rule": "busy", "all_of": [{"signal": "visit", "at_least": 11}], "none_of": [{"signal": "german"}]}],
	"segments": [{"segment": "busy", "position": 1, "rules": ["busy"], "min_score": 1}, {"segment": "low", "position": 2}]}', '{"busy": 0.02}');
-- the order is that of positions
SELECT * FROM limits(scorecard('m') || '{"segments": [{"segment": "low", "position": 30}, {"segment": "medium", "position": 20, "min_score": 2}, {"segment": "high", "position": 10, "min_score": 1}]}', '{"high": 0.1, "medium": 0.3}');

-- Equal scores stay together, where they come nearest: a ceiling of 90 makes eleven leads equal; a floor of 60 makes
-- sixty. A share of nobody is a score above all.
SELECT * FROM limits(scorecard('m') || '{"ceiling": 90}', '{"high": 0.04, "medium": 0.06}');
SELECT * FROM limits(scorecard('m') || '{"ceiling": 90}', '{"high": 0.06, "medium": 0.06}');
SELECT * FROM limits(scorecard('m') || '{"floor": 60}', '{"high": 0.1, "medium": 0.3}');
SELECT * FROM limits(scorecard('m') || '{"floor": 60}', '{"high": 0.1, "medium": 0.8}');
SELECT * FROM limits(scorecard('m'), '{"high": 0, "medium": 1}');

-- digits are kept whatever the session prints
SET extra_float_digits = 0;
SELECT * FROM limits(jsonb_set(scorecard('m'), '{weights,0,points}', '0.1'), '{"high": 0.98}');
RESET extra_float_digits;

-- who is excluded does not count
INSERT INTO excluded_lead SELECT 'lead ' || n FROM generate_series(51, 100) n;
SELECT * FROM limits(scorecard('m'), '{"high": 0.1, "medium": 0.3}');
TRUNCATE excluded_lead;

-- published as it comes
SELECT publish(segment_limits(scorecard('m'), '{"high": 0.1, "medium": 0.3}', '2026-02-01'));
SELECT segment, position, min_score, above_score FROM segment ORDER BY position;

-- no segments: nothing to limit
SELECT segment_limits('{"model": "x", "weights": []}', '{}') AS nothing;

SELECT refused(ARRAY['SELECT segment_limits(NULL)', 'SELECT segment_limits(scorecard(''m''), at => NULL)', 'SELECT segment_limits(''{"model": 1}'')',
	'SELECT segment_limits(scorecard(''m''), ''[]'')', 'SELECT segment_limits(scorecard(''m''), ''{"hot": 0.1}'')', 'SELECT segment_limits(scorecard(''m''), ''{"high": "0.1"}'')',
	'SELECT segment_limits(scorecard(''m''), ''{"high": -0.1}'')', 'SELECT segment_limits(scorecard(''m''), ''{"high": 10}'')', 'SELECT segment_limits(scorecard(''m''), ''{"high": 0.7, "medium": 0.4}'')',
	'SELECT segment_limits(scorecard(''m'') || ''{"model": "other"}'')', 'SELECT segment_limits(scorecard(''m'') || ''{"segments": [{"segment": "hot", "position": 1, "min_score": 1}]}'')']);
TRUNCATE event, lead;
SELECT refused('SELECT segment_limits(scorecard(''m''))');
