\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all

-- Durations are counted in whole hours, so nobody means less than one: a number without a unit is seconds.

SELECT publish('{"model": "m", "signals": [{"signal": "visit", "kind": "visit"}], "weights": [{"signal": "visit", "points": 1}], "stages": [{"stage": "s", "position": 1}],
	"segments": [{"segment": "a", "position": 1}]}');

-- in documents
SELECT refused(format('SELECT publish(''{"model": "n", "signals": [{"signal": "visit"}], "weights": [{"signal": "visit", "points": 1, %s}]}'')', d))
FROM unnest(ARRAY['"half_life": "14"', '"fades_over": "1"', '"within": "1800"', '"half_life": "0.5"', '"half_life": "30 minutes"', '"half_life": "59 minutes 59.999999 seconds"', '"half_life": "PT14S"']) d;
SELECT refused(ARRAY['SELECT publish(''{"model": "n", "stages": [{"stage": "s", "position": 1, "within": "90"}]}'')',
	'SELECT publish(''{"model": "n", "segments": [{"segment": "a", "position": 1, "cool_down": "7"}]}'')',
	'SELECT score(''{"signals": [{"signal": "visit", "signal_id": 1}], "weights": [{"signal": "visit", "points": 1, "half_life": "14"}]}'', NULL, NULL, now())',
	'SELECT clv(''{}''::timeline, ''{"signal_id": 1, "unit": "7", "bg_nbd": {"r": 1, "alpha": 1, "a": 1, "b": 1}}'')']);

-- in tables
SELECT refused(format('UPDATE weight SET %I = %L', c, v)) FROM unnest('{half_life,fades_over,within}'::text[]) WITH ORDINALITY c (c, n), unnest('{14,365,30 minutes}'::text[]) WITH ORDINALITY v (v, m) ORDER BY n, m;
SELECT refused(ARRAY['UPDATE stage SET within = ''1''', 'UPDATE segment SET cool_down = ''7''']);

-- in functions
SELECT refused(format('SELECT * FROM %s(scorecard(), ''visit'', ''30'', ''{2026-01-01Z}'')', f)) FROM unnest('{training_set,evaluate,lift_table,calibration_table,signal_report,fit}'::text[]) f;
SELECT refused(ARRAY['SELECT * FROM training_set(scorecard(), ''visit'', ''30 days'', ''{2026-01-01Z}'', ''90'')', 'SELECT * FROM profile_report(''visit'', ''30'', ''{2026-01-01Z}'')',
	'SELECT * FROM stability_report(''m'', ''2026-01-01Z'', ''2026-01-02Z'', ''90'')', 'SELECT * FROM affinity(''category'', half_life => ''30'')',
	'SELECT fit_clv(''visit'', ''2026-01-01Z'', ''7'')', 'SELECT clv(''{1: 2026-01-01T00Z 1}''::timeline, ''{"signal_id": 1, "bg_nbd": {"r": 1, "alpha": 1, "a": 1, "b": 1}}'', ''30'', ''2026-02-01Z'')']);

-- an hour is enough, and whatever the interval style: the words of a document mean the same
UPDATE weight SET half_life = '1 hour', within = '1 hour 30 minutes';
UPDATE stage SET within = '1 hour';
SET IntervalStyle = 'sql_standard';
SELECT publish('{"model": "n", "signals": [{"signal": "visit", "kind": "visit"}], "weights": [{"signal": "visit", "points": 1, "half_life": "-1 day 36 hours", "within": "1 mon -1 day"}]}');
SELECT score(scorecard('n'), '{1: 2026-01-01T00Z 1}'::timeline, NULL, '2026-01-01 12:30Z'), scorecard('n') #> '{weights,0}' AS weight;
SELECT refused('UPDATE weight SET half_life = ''14''');
SELECT * FROM diff(scorecard('n'), jsonb_set(scorecard('n'), '{weights,0,half_life}', '"12:00"'));
SET IntervalStyle = 'iso_8601';
SELECT score(scorecard('n'), '{1: 2026-01-01T00Z 1}'::timeline, NULL, '2026-01-01 12:30Z'), scorecard('n') #> '{weights,0}' AS weight;
SELECT refused('UPDATE weight SET half_life = ''14''');
