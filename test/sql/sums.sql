\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- Sums are added up while the hours of their signal are read, and so is what is counted by the day, from the last hour
-- of another signal on, or for a condition. If a signal has a weight of another kind, its hours are unpacked first.
-- Both give the same figures to the bit, in tables of factors or without.

CREATE FUNCTION chance(n bigint, salt bigint) RETURNS float8 LANGUAGE sql AS $$SELECT (hashint8extended(n, salt) & 1048575) / 1048576.0$$;

-- 200 leads of 40 entries: hours next to each other and years apart, occurrences and values of one to ten bytes, and
-- some below zero
CREATE TABLE sample AS
SELECT n / 40 AS lead, timeline_sum(format('{%s: %s %s %s}', 1 + floor(7 * chance(n, 1)),
	to_char('2026-01-01'::timestamp - interval '1 hour' * floor(exp(11 * chance(n, 2))), 'YYYY-MM-DD"T"HH24"Z"'),
	CASE WHEN chance(n, 3) < 0.7 THEN 1 ELSE ((-1) ^ (n % 2) * exp(40 * chance(n, 4)))::bigint END,
	CASE WHEN chance(n, 5) < 0.5 THEN 0 ELSE round(((-1) ^ (n % 3) * exp(28 * chance(n, 6)))::numeric, 6) END)::timeline) AS timeline
FROM generate_series(0::bigint, 7999) AS n
GROUP BY 1;
SELECT count(*), max(pg_column_size(timeline)) < 2000 AS short FROM sample;

-- three counts; a value, a count and the days; a value in a window; the days alone; four counts and two values, which
-- are unpacked; a signal that is worth nothing if there is none; by the day of a time zone, some after another signal
CREATE FUNCTION card(more jsonb) RETURNS jsonb LANGUAGE sql AS $$SELECT jsonb_build_object(
	'signals', (SELECT jsonb_agg(jsonb_build_object('signal', 's' || i, 'signal_id', i)) FROM generate_series(1, 6) AS i),
	'time_zone', 'America/New_York', 'categories', '[{"category": "some", "max_points": 1e20}]'::jsonb,
	'rules', '[
		{"rule": "often", "all_of": [{"signal": "s1", "at_least": 2, "within": "30 days"}], "points": 1},
		{"rule": "little", "any_of": [{"signal": "s3", "measure": "value", "below": 10}, {"signal": "s2", "measure": "active_days", "at_least": 5}],
			"none_of": [{"signal": "s4", "measure": "days_since_last", "below": 20}, {"signal": "s5"}], "points": 2}]'::jsonb,
	'stages', '[{"stage": "early", "position": 1}, {"stage": "late", "position": 2, "within": "30 days"}]'::jsonb,
	'weights', '[
		{"signal": "s1", "points": 1, "half_life": "3 days", "category": "some"},
		{"signal": "s1", "points": 0.1, "half_life": "30 days", "max_points": 10, "stage": "late"},
		{"signal": "s1", "points": 5, "within": "30 days", "at_least": 2, "category": "some"},
		{"signal": "s1", "points": 3, "within": "30 days", "below": 2, "if_none": -1},
		{"signal": "s2", "points": 0.01, "measure": "value", "fades_over": "60 days", "stage": "early"},
		{"signal": "s2", "points": 1},
		{"signal": "s2", "points": 7, "measure": "days_since_last", "below": 100},
		{"signal": "s3", "points": 0.001, "measure": "value", "half_life": "10 days", "within": "90 days", "if_none": 2},
		{"signal": "s4", "points": -0.5, "measure": "days_since_last"},
		{"signal": "s5", "points": 1, "half_life": "1 day"}, {"signal": "s5", "points": 1, "half_life": "2 days"},
		{"signal": "s5", "points": 1, "half_life": "4 days"}, {"signal": "s5", "points": 1, "half_life": "8 days", "curve": "log"},
		{"signal": "s6", "points": 1e-3, "measure": "value"}, {"signal": "s6", "points": 1e-3, "measure": "value", "within": "1 year"},
		{"signal": "s3", "points": 1, "max_per_day": 2, "half_life": "5 days"}, {"signal": "s3", "points": 1e-3, "max_per_day": 2},
		{"signal": "s3", "points": 1, "measure": "active_days", "within": "1 year", "category": "some"},
		{"signal": "s4", "points": 0.01, "max_per_day": 3, "within": "2 years", "since_signal": "s3"},
		{"signal": "s4", "points": 1, "measure": "active_days", "since_signal": "s6", "if_none": -3},
		{"signal": "s4", "points": 0.1, "half_life": "90 days", "since_signal": "s3", "stage": "late"},
		{"signal": "s1", "points": 1, "half_life": "3 days", "since_signal": "s2", "if_none": 1},
		{"signal": "s5", "points": 1, "measure": "value", "since_signal": "s1"}]'::jsonb || more)$$;

CREATE FUNCTION unpacked() RETURNS jsonb LANGUAGE sql AS $$SELECT card((SELECT jsonb_agg(jsonb_build_object(
	'signal', 's' || i, 'measure', 'days_since_first', 'points', 0)) FROM generate_series(1, 6) AS i))$$;

-- at the last hour, and at two when many hours are still to come
SELECT at, count(*), count(*) FILTER (WHERE a.score <> 0) > 100 AS scored,
	count(*) FILTER (WHERE float8send(a.score) <> float8send(b.score) OR a IS DISTINCT FROM b) AS differing,
	count(*) FILTER (WHERE (features((SELECT card('[]')), timeline, NULL, at))[:23]::text
		IS DISTINCT FROM (features((SELECT unpacked()), timeline, NULL, at))[:23]::text) AS differing_figures,
	count(*) FILTER (WHERE (features((SELECT card('[]')), timeline, NULL, at))[24:]
		IS DISTINCT FROM (features((SELECT unpacked()), timeline, NULL, at))[30:]) AS differing_rules
FROM (VALUES ('2026-01-01 00:30+00'::timestamptz), ('2025-12-24 12:00+00'), ('2024-06-01 00:00+00')) AS instant (at), sample,
	appraise((SELECT card('[]')), timeline, NULL, at) AS a, appraise((SELECT unpacked()), timeline, NULL, at) AS b
GROUP BY 1 ORDER BY 1;

-- the same occurrences and values as timeline_entries() lists
SELECT count(*) FILTER (WHERE figures[6] IS DISTINCT FROM listed.occurrences) AS other_counts,
	count(*) FILTER (WHERE NOT abs(figures[14] - listed.value) <= 1e-9 * listed.size) AS other_values, count(figures[14]) > 100 AS measured
FROM sample, features((SELECT card('[]')), timeline, NULL, '2026-01-01 00:30+00') AS figures,
	LATERAL (SELECT sum(occurrences::float8 ORDER BY hour) FILTER (WHERE signal_id = 2) AS occurrences,
		sum(value::float8) FILTER (WHERE signal_id = 6) AS value, sum(abs(value::float8)) AS size FROM timeline_entries(timeline)) AS listed;

-- a single lead, for which no table is built, and the figures by hand: 3 hours of signal 2, 10, 20 and 30 days ago
--   value fading over 60 days: 100 * 5/6 + 10 * 4/6 + 1 * 3/6 = 90.5; count: 3; days since the last: 10
SELECT cardinality(figures), figures FROM features(card('[]'), '{2: 2025-12-02T00Z 1 1, 2025-12-12T00Z 1 10, 2025-12-22T00Z 1 100}', NULL, '2026-01-01 00:00+00') AS figures;
