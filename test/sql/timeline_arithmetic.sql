\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- Timelines add and subtract hour by hour, exactly.

SELECT '{1: 2026-01-01T00Z 1 5, 2026-01-01T02Z 1; 3: 2026-01-01T00Z 1}'::timeline
	+ '{1: 2026-01-01T00Z 2 -7, 2026-01-01T01Z 1; 2: 2025-12-31T23Z 4}' AS sum;
SELECT '{1: 2026-01-01T00Z 1 5, 2026-01-01T02Z 1}'::timeline - '{1: 2026-01-01T00Z 1 4, 2026-01-01T02Z 1, 2026-01-01T03Z 2}' AS difference;

-- a later hour, or an earlier one, of any of several signals or of one between them
SELECT bool_and(o.t + n.t = (SELECT timeline_sum(x) FROM unnest(ARRAY[o.t, n.t]) x)) AS equal, count(*)
FROM (VALUES ('{2: 2026-01-01T00Z 1 5; 4: 2026-01-01T00Z 3, 2026-01-02T00Z 1; 6: 2026-01-03T00Z 1}'::timeline)) o (t),
	(SELECT format('{%s: 2026-01-0%sT00Z 1 7}', signal, day)::timeline FROM generate_series(1, 7) signal, generate_series(1, 4) day) n (t);

-- signs
SELECT + '{1: 2026-01-01T00Z 1 5}'::timeline AS plus, - '{1: 2026-01-01T00Z 1 5}'::timeline AS minus, - '{}'::timeline AS nothing;

-- values that binary fractions cannot hold: 0.1 + 0.2 = 0.3
SELECT '{1: 2026-01-01T00Z 1 0.1}'::timeline + '{1: 2026-01-01T00Z 1 0.2}' = '{1: 2026-01-01T00Z 2 0.3}' AS exact;

-- NULL in, NULL out
SELECT NULL::timeline + '{}' AS sum, '{}'::timeline - NULL AS difference, - NULL::timeline AS minus, NULL::timeline = '{}' AS equal;

-- the laws of a group, on every pair and triple of these
CREATE TEMP TABLE sample (t timeline);
INSERT INTO sample VALUES ('{}'), ('{1: 2026-01-01T00Z 1}'), ('{1: 2026-01-01T00Z -1 0.5}'), ('{1: 1970-01-01T00Z 3 9; 2: 2026-01-01T00Z 1}'),
	('{0: 2026-01-01T00Z 1000000 123456.789012; 7: 2026-05-01T00Z 1, 9999-12-31T23Z -2 -3}');
SELECT bool_and(a.t + b.t = b.t + a.t) AS commutes,
	bool_and((a.t + b.t) + c.t = a.t + (b.t + c.t)) AS associates,
	bool_and(a.t + b.t - b.t = a.t) AS inverts,
	bool_and(a.t - a.t = '{}' AND a.t + '{}' = a.t AND - (- a.t) = a.t AND a.t - b.t = a.t + (- b.t)) AS has_zero,
	count(*)
FROM sample a, sample b, sample c;

-- timeline_sum adds any number, NULLs left out; no timeline at all is NULL, and a sum may be empty
SELECT timeline_sum(t) FROM sample;
SELECT timeline_sum(t) FROM (SELECT t FROM sample UNION ALL SELECT - t FROM sample UNION ALL SELECT NULL) s;
SELECT timeline_sum(t) IS NULL AS nothing FROM sample WHERE false;
SELECT timeline_sum(NULL::timeline) IS NULL AS nothing FROM sample;

-- in a moving window it subtracts what leaves
SELECT t, timeline_sum(t) OVER (ORDER BY n ROWS 1 PRECEDING)
FROM (VALUES (1, '{1: 2026-01-01T00Z 1 2}'::timeline), (2, '{1: 2026-01-01T00Z 1 3}'), (3, NULL), (4, NULL), (5, '{1: 2026-01-01T01Z 1}')) v (n, t);

-- an hour that cannot hold the sum
\pset tuples_only on
\pset format unaligned
SELECT refused(ARRAY[
	$$SELECT '{1: 2026-01-01T00Z 9223372036854775807}'::timeline + '{1: 2026-01-01T00Z 1}'$$,
	$$SELECT '{1: 2026-01-01T00Z 1 -9223372036854.775808}'::timeline + '{1: 2026-01-01T00Z 1 -0.000001}'$$,
	$$SELECT '{1: 2026-01-01T00Z -9223372036854775808}'::timeline - '{1: 2026-01-01T00Z 1}'$$,
	$$SELECT - '{1: 2026-01-01T00Z -9223372036854775808}'::timeline$$,
	$$SELECT timeline_sum('{7: 2026-01-01T00Z 1 9223372036854}') FROM generate_series(1, 2)$$]);
