\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- What a weight measures, and what that is worth.

-- One signal, seen from 2026-01-11 00:30, that is, from the hour 2026-01-11T00Z:
--
--   hour               occurrences  value  age in hours
--   2026-01-01T00Z               4    100           240
--   2026-01-06T00Z               2     30           120
--   2026-01-06T12Z               3      0           108
--   2026-01-10T00Z               1     10            24
--   2026-01-11T00Z               2      0             0
--   2026-01-11T01Z               9      9            -1  (not yet)
CREATE FUNCTION history() RETURNS timeline LANGUAGE sql AS $$SELECT
	'{1: 2026-01-01T00Z 4 100, 2026-01-06T00Z 2 30, 2026-01-06T12Z 3, 2026-01-10T00Z 1 10, 2026-01-11T00Z 2, 2026-01-11T01Z 9 9}'::timeline$$;

-- what one weight comes to; figures are rounded to twelve decimals
CREATE FUNCTION weigh(weight jsonb, timeline timeline DEFAULT history(), at timestamptz DEFAULT '2026-01-11 00:30',
	OUT measured numeric, OUT uncapped_points numeric, OUT points numeric, OUT last_at timestamptz)
LANGUAGE sql AS $$
	SELECT trim_scale(round(c.measured::numeric, 12)), trim_scale(round(c.uncapped_points::numeric, 12)), trim_scale(round(c.points::numeric, 12)), c.last_at
	FROM contributions(jsonb_build_object('signals', '[{"signal": "s", "signal_id": 1}]'::jsonb,
		'weights', jsonb_build_array('{"signal": "s", "points": 1}' || weight)), timeline, NULL, at) c
$$;

-- count: 4 + 2 + 3 + 1 + 2 = 12.  value: 100 + 30 + 10 = 140.  average_value: 140 / 12 = 11.666...
-- active_days: the 1st, 6th, 10th and 11th.  days_since_last: 0.  days_since_first: 240 / 24 = 10.
SELECT weight, (weigh(weight)).* FROM unnest(ARRAY['{}', '{"measure": "count"}', '{"measure": "value"}', '{"measure": "average_value"}',
	'{"measure": "active_days"}', '{"measure": "days_since_last"}', '{"measure": "days_since_first"}']::jsonb[]) weight;

-- half_life of 12 hours: factors 2^-20, 2^-10, 2^-9, 2^-2, 1.
--   count: 4/1048576 + 2/1024 + 3/512 + 1/4 + 2 = 2.257816314697265625; value: 100/1048576 + 30/1024 + 10/4 = 2.529392242431640625
-- fades_over 10 days = 240 hours: factors 0, 0.5, 0.55, 0.9, 1.
--   count: 0 + 1 + 1.65 + 0.9 + 2 = 5.55; value: 0 + 15 + 9 = 24
-- both: 0 + 2/1024*0.5 + 3/512*0.55 + 1/4*0.9 + 2 = 2.22919921875
-- The other measures are plain figures, whatever the decay.
SELECT weight, (weigh(weight)).* FROM unnest(ARRAY['{"half_life": "12 hours"}', '{"half_life": "12 hours", "measure": "value"}',
	'{"fades_over": "10 days"}', '{"fades_over": "10 days", "measure": "value"}', '{"half_life": "12 hours", "fades_over": "10 days"}',
	'{"half_life": "12 hours", "measure": "average_value"}', '{"half_life": "12 hours", "measure": "active_days"}',
	'{"fades_over": "1 hour", "measure": "days_since_first"}']::jsonb[]) weight;

-- within: hours younger than that. Below 120 hours (5 days) lie 108, 24 and 0: 3 + 1 + 2 = 6, value 10, average 10 / 6,
-- on the 6th, 10th and 11th, first 108 / 24 = 4.5 days ago. 121 hours take in the hour of age 120.
SELECT weight, (weigh(weight)).* FROM unnest(ARRAY['{"within": "5 days"}', '{"within": "121 hours"}', '{"within": "5 days", "measure": "value"}',
	'{"within": "5 days", "measure": "average_value"}', '{"within": "5 days", "measure": "active_days"}',
	'{"within": "5 days", "measure": "days_since_last"}', '{"within": "5 days", "measure": "days_since_first"}',
	'{"within": "5 days", "half_life": "12 hours"}']::jsonb[]) weight;

-- Intervals are rounded up to whole hours; a month has 30 days, a year 365.25: 720 and 8766 hours.
SELECT w AS within, (weigh(jsonb_build_object('within', w), timeline)).measured
FROM (SELECT timeline_agg('{"signals": [{"signal_id": 1}]}', 'x', '2026-01-11 00:00'::timestamptz - age * interval '1 hour', NULL, NULL) AS timeline
	FROM unnest(ARRAY[0, 24, 719, 720, 8765, 8766]) age) t,
	unnest(ARRAY['1 hour', '24 hours', '24 hours 1 second', '1 month', '1 month 1 second', '12 months', '1 year', '1 year 1 second']) WITH ORDINALITY w (w, n)
ORDER BY n;

-- max_per_day 3, the earliest first: the 1st 3 (of 4), the 6th 2 + 1 (of 2 + 3), the 10th 1, the 11th 2: 9.
-- With a half_life of 12 hours: 3/1048576 + 2/1024 + 1/512 + 1/4 + 2 = 2.253909111022949...
-- With 1 a day within 5 days, the hour of age 120 lies outside: the 6th 1 (of the 3 at noon), the 10th 1, the 11th 1.
SELECT weight, (weigh(weight)).* FROM unnest(ARRAY['{"max_per_day": 3}', '{"max_per_day": 3, "half_life": "12 hours"}',
	'{"max_per_day": 1}', '{"max_per_day": 1, "within": "5 days"}', '{"max_per_day": 100}']::jsonb[]) weight;

-- Bands: at_least is included, below is not. In the band the weight is worth its points, outside 0.
SELECT weight, (weigh(weight)).* FROM unnest(ARRAY['{"at_least": 12, "points": 7}', '{"at_least": 12.001, "points": 7}', '{"below": 12, "points": 7}',
	'{"below": 12.001, "points": -7}', '{"at_least": 3, "below": 20, "points": 7}', '{"at_least": 0, "below": 1, "points": 7}',
	'{"at_least": 0, "below": 1, "points": 7, "measure": "days_since_last"}', '{"at_least": 12, "curve": "log", "points": 7}']::jsonb[]) weight;
-- adjoining bands on one signal: exactly one of them holds
SELECT (weigh('{"below": 5, "points": 1}')).points + (weigh('{"at_least": 5, "below": 12, "points": 2}')).points
	+ (weigh('{"at_least": 12, "points": 4}')).points AS binned;

-- log: points * ln(1 + measured): 10 * ln(13) = 25.649493574615...; 2 * ln(141) = 9.897519780756...; below 0 it is 0
SELECT weight, (weigh(weight)).* FROM unnest(ARRAY['{"curve": "log", "points": 10}', '{"curve": "log", "points": 2, "measure": "value"}',
	'{"curve": "linear", "points": 2}']::jsonb[]) weight;
SELECT (weigh('{"curve": "log", "points": 10, "measure": "value"}', '{1: 2026-01-01T00Z 1 -3}')).*;

-- min_points and max_points clamp what the weight is worth
SELECT weight, (weigh(weight)).* FROM unnest(ARRAY['{"points": 5, "max_points": 20}', '{"points": -5, "min_points": -15}',
	'{"points": 1, "min_points": 15}', '{"points": 1, "min_points": 2, "max_points": 12}']::jsonb[]) weight;

-- No activity: measured is NULL and worth 0, clamps or not. A silence of days_since_last begins with the first event.
SELECT weight, (weigh(weight, t)).* FROM unnest(ARRAY['{}', '{"min_points": 15}', '{"measure": "days_since_last", "at_least": 0, "points": 7}',
	'{"measure": "average_value"}', '{"below": 5}']::jsonb[]) weight,
	unnest(ARRAY[NULL, '{}', '{2: 2026-01-01T00Z 1}', '{1: 2026-01-11T01Z 1}']::timeline[]) t
ORDER BY weight, t::text;

-- features(): what each weight measured, in the document's order
SELECT features('{"signals": [{"signal": "b", "signal_id": 2}, {"signal": "a", "signal_id": 1}, {"signal": "p", "subject": "profile", "match": {"x": 1}}, {"signal": "q", "subject": "profile", "match": {"x": 2}}],
	"weights": [{"signal": "a", "points": 1, "measure": "value"}, {"signal": "b", "points": 1}, {"signal": "a", "points": 1}, {"signal": "p", "points": 1}, {"signal": "q", "points": 1}]}',
	history(), '{"x": 1}', '2026-01-11 00:30');

-- present: a profile that matches measures 1
SELECT (c).signal, (c).measure, (c).measured, (c).points, (c).last_at
FROM (SELECT contributions('{"signals": [{"signal": "de", "subject": "profile", "match": {"country": "DE"}},
		{"signal": "adult", "subject": "profile", "condition": "$.age >= 18"}, {"signal": "known", "subject": "profile"},
		{"signal": "fr", "subject": "profile", "match": {"country": "FR"}}],
	"weights": [{"signal": "de", "points": 10}, {"signal": "adult", "points": 5, "curve": "log"}, {"signal": "known", "points": 1, "at_least": 2}, {"signal": "fr", "points": 100}]}',
	NULL, '{"country": "DE", "age": 30}', '2026-01-11') AS c) s;

-- The instant may lie anywhere: in the same hour nothing changes; one hour on, the next hour's 9 are there.
SELECT at, (weigh('{}', at => at)).measured FROM unnest(ARRAY['-infinity', '2026-01-01 00:00', '2026-01-11 00:00', '2026-01-11 00:59:59.999999',
	'2026-01-11 01:00', '2026-01-11 02:00+01', 'infinity']::timestamptz[]) at;
