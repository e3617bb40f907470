\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- timeline_agg: events in, a timeline out.

-- An event counts for every signal whose kind, match and condition fit.
CREATE FUNCTION test_signals() RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$SELECT '{"signals": [
	{"signal_id": 1, "signal": "visit", "kind": "visit"},
	{"signal_id": 2, "signal": "anything"},
	{"signal_id": 3, "signal": "mobile", "match": {"device": "mobile"}},
	{"signal_id": 4, "signal": "dear", "kind": "purchase", "condition": "$.price > 100"},
	{"signal_id": 5, "signal": "nested", "kind": "purchase", "match": {"cart": {"gift": true}}},
	{"signal_id": 6, "signal": "both", "kind": "purchase", "match": {"device": "mobile"}, "condition": "$.price > 100"},
	{"signal_id": 7, "signal": "tagged", "match": {"tags": ["sale"]}}
]}'::jsonb$$;

-- each event by itself
SELECT n, timeline_agg(test_signals(), kind, '2026-01-01 10:30', value, properties) AS timeline
FROM (VALUES
	(1, 'visit', NULL::numeric, NULL::jsonb),			-- signals 1 and 2
	(2, 'Visit', NULL, NULL),							-- kinds are compared exactly: 2
	(3, 'visit', NULL, '{"device": "mobile", "x": 1}'),	-- 1, 2, 3
	(4, 'visit', NULL, '{"device": ["mobile"]}'),		-- 1, 2: an array is no string
	(5, 'purchase', 99.5, '{"price": 100}'),			-- 2: not above 100
	(6, 'purchase', 99.5, '{"price": 100.01}'),			-- 2, 4
	(7, 'purchase', 99.5, '{"price": "dear"}'),			-- 2: a condition that cannot be judged does not hold
	(8, 'purchase', 99.5, '{"cart": {"gift": true, "n": 2}}'),	-- 2, 5
	(9, 'purchase', 99.5, '{"price": 1e3, "device": "mobile"}'),	-- 2, 3, 4, 6
	(10, 'view', NULL, '{"tags": ["new", "sale"]}')		-- 2, 7
) v (n, kind, value, properties)
GROUP BY n ORDER BY n;

-- Hours are UTC, values are kept to six decimals: 0.0000005 becomes 0.000001, 0.00000049 nothing.
SELECT timeline_agg('{"signals": [{"signal_id": 1}]}', 'x', at, value, NULL)
FROM (VALUES ('2026-01-01 00:59:59.999999+00'::timestamptz, 0.0000005), ('2026-01-01 02:00+02', 1), ('2026-01-01 01:00+00', 0.00000049),
	('1970-01-01 00:00+00', -2.5), ('9999-12-31 23:59:59.999999+00', 999999999999.999999)) v (at, value);

-- Nothing that counts: NULL, like sum().
SELECT timeline_agg(test_signals(), 'visit', '2026-01-01', NULL, NULL) IS NULL AS no_rows FROM generate_series(1, 0);
SELECT timeline_agg('{"signals": [{"signal_id": 1, "kind": "visit"}]}', 'view', '2026-01-01', NULL, NULL) IS NULL AS no_signal;
SELECT timeline_agg('{}', 'view', '2026-01-01', NULL, NULL) IS NULL AS no_signals;
SELECT timeline_agg('{"signals": null}', 'view', '2026-01-01', NULL, NULL) IS NULL AS no_signals;

-- Rows without a kind or a time count for nothing.
SELECT timeline_agg(test_signals(), kind, at, 1, NULL)
FROM (VALUES (NULL, '2026-01-01'::timestamptz), ('visit', NULL), ('visit', '2026-01-01')) v (kind, at);

-- A moving window, which subtracts what leaves it: rows 1 to 2, 2 to 3, ...
SELECT n, timeline_agg(test_signals(), 'visit', at, n, NULL) OVER (ORDER BY n ROWS 1 PRECEDING) AS last_two
FROM (VALUES (1, '2026-01-01 00:00'::timestamptz), (2, '2026-01-01 00:30'), (3, '2026-01-01 03:00'), (4, NULL), (5, NULL)) v (n, at);

-- Rows that make no sense are errors, each with its SQLSTATE; scorable() tells them beforehand.
CREATE TEMP TABLE bad (n int, kind text, at timestamptz, value numeric, properties jsonb);
INSERT INTO bad VALUES (1, 'x', '2026-01-01', 1, '{}'), (2, '', '2026-01-01', 1, '{}'), (3, 'x', 'infinity', 1, '{}'), (4, 'x', '-infinity', 1, '{}'),
	(5, 'x', '1969-12-31 23:59:59+00', 1, '{}'), (6, 'x', '10000-01-01 00:00+00', 1, '{}'), (7, 'x', '2026-01-01', 'NaN', '{}'),
	(8, 'x', '2026-01-01', 'Infinity', '{}'), (9, 'x', '2026-01-01', '-Infinity', '{}'), (10, 'x', '2026-01-01', 1e12, '{}'), (11, 'x', '2026-01-01', -1e12, '{}'),
	(12, 'x', '2026-01-01', 1, '[]'), (13, 'x', '2026-01-01', 1, '"x"'), (14, 'x', '2026-01-01', 1, 'null'), (15, NULL, '2026-01-01', 1, '{}'),
	(16, 'x', NULL, 1, '{}'), (17, 'x', '2026-01-01', NULL, NULL);
SELECT array_agg(n ORDER BY n) FILTER (WHERE scorable(kind, at, value, properties)) AS scorable,
	timeline_agg('{"signals": [{"signal_id": 1}]}', kind, at, value, properties) FILTER (WHERE scorable(kind, at, value, properties)) AS timeline
FROM bad;
\pset tuples_only on
\pset format unaligned
SELECT refused(format($$SELECT timeline_agg('{"signals": [{"signal_id": 1}]}', kind, at, value, properties) FROM bad WHERE n = %s$$, n))
FROM generate_series(2, 14) n;
SELECT refused($$SELECT timeline_agg(NULL, 'x', '2026-01-01', 1, NULL)$$);

-- an hour that overflows: ten events of 10^12 - 1 in one hour are more than 9.2 * 10^12
SELECT refused($$SELECT timeline_agg('{"signals": [{"signal_id": 1}]}', 'x', '2026-01-01', 999999999999, NULL) FROM generate_series(1, 10)$$);

-- signals documents are read strictly
SELECT refused(format('SELECT timeline_agg(%L, ''x'', ''2026-01-01'', 1, NULL)', d)) FROM unnest(ARRAY['[]', '5', 'null', '{"signal": []}', '{"signals": {}}', '{"signals": 5}',
	'{"signals": [5]}', '{"signals": [null]}', '{"signals": [{}]}', '{"signals": [{"signal_id": "1"}]}', '{"signals": [{"signal_id": 1.5}]}',
	'{"signals": [{"signal_id": -1}]}', '{"signals": [{"signal_id": 2147483648}]}', '{"signals": [{"signal_id": 1}, {"signal_id": 2}, {"signal_id": 1}]}',
	'{"signals": [{"signal_id": 1, "kind": 5}]}', '{"signals": [{"signal_id": 1, "kind": ""}]}', '{"signals": [{"signal_id": 1, "match": []}]}',
	'{"signals": [{"signal_id": 1, "condition": true}]}', '{"signals": [{"signal_id": 1, "condition": "$.t.datetime() < $.u"}]}',
	'{"signals": [{"signal_id": 1, "condition": "$.a ? (@ > 1)"}]}', '{"signals": [{"signal_id": 1, "points": 1}]}']) d;
\pset tuples_only off
\pset format aligned

-- Parallel workers build parts, which are merged: the plan says so, and the result is the same.
CREATE TABLE many AS
SELECT n, n % 997 AS lead, CASE n % 3 WHEN 0 THEN 'visit' WHEN 1 THEN 'purchase' ELSE 'view' END AS kind,
	'2026-01-01'::timestamptz + n * interval '17 minutes' AS at, CASE n % 3 WHEN 1 THEN n / 7.0 END AS value,
	CASE n % 4 WHEN 0 THEN '{"device": "mobile", "price": 150}' WHEN 1 THEN '{"price": 50}' END::jsonb AS properties
FROM generate_series(1, 20000) n;
ANALYZE many;
CREATE FUNCTION plan_has(command text, wanted text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || command LOOP
		IF line LIKE '%' || wanted || '%' THEN
			RETURN true;
		END IF;
	END LOOP;
	RETURN false;
END
$$;
SET max_parallel_workers_per_gather = 0;
CREATE TABLE serial AS SELECT lead, timeline_agg((SELECT test_signals()), kind, at, value, properties) AS timeline FROM many GROUP BY lead;
CREATE TABLE serial_total AS SELECT timeline_agg((SELECT test_signals()), kind, at, value, properties) AS timeline FROM many;
SET max_parallel_workers_per_gather = 2;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SELECT plan_has('SELECT timeline_agg((SELECT test_signals()), kind, at, value, properties) FROM many', 'Partial Aggregate') AS partial,
	plan_has('SELECT lead, timeline_agg((SELECT test_signals()), kind, at, value, properties) FROM many GROUP BY lead', 'Partial HashAggregate') AS partial_groups,
	plan_has('SELECT timeline_sum(timeline) FROM serial', 'Partial Aggregate') AS partial_sum;
CREATE TABLE parallel AS SELECT lead, timeline_agg((SELECT test_signals()), kind, at, value, properties) AS timeline FROM many GROUP BY lead;
SELECT count(*) AS leads, count(*) FILTER (WHERE s.timeline = p.timeline) AS equal FROM serial s FULL JOIN parallel p USING (lead);
SELECT (SELECT timeline_agg((SELECT test_signals()), kind, at, value, properties) FROM many) = timeline AS equal,
	(SELECT timeline_sum(timeline) FROM serial) = timeline AS sum_equal
FROM serial_total;
-- a worker may find no row at all, or none that counts
SELECT timeline_agg((SELECT test_signals()), kind, at, value, properties) FROM many WHERE n = 3;
SELECT timeline_agg((SELECT test_signals()), kind, at, value, properties) IS NULL AS nothing FROM many WHERE n < 0;
SELECT timeline_sum(timeline) IS NULL AS nothing FROM serial WHERE lead < 0;

-- A condition counts what jsonpath says, and a match what @> says, however they are compiled: each comparison with each
-- constant, random conjunctions, and conditions that are more than these, of each pair of values.
CREATE TEMP TABLE value AS SELECT n - 1 AS n, nullif(v, 'none')::jsonb AS value
FROM unnest(ARRAY['none', 'null', 'true', 'false', '0', '-1', '1', '1.00', '100', '99.995', '1e2', '""', '"a"', '"ab"', '"b"', '"/docs/a"', '"ä"', '"100"',
	'[]', '["/docs"]', '[1, "ab"]', '[null]', '[[1]]', '[{"a": 1}, true, 100]', '{}', '{"a": 1}']) WITH ORDINALITY v (v, n);
CREATE TEMP TABLE properties AS
SELECT a.n * 100 + b.n AS n, '{"x": 1}'::jsonb || CASE WHEN a.value IS NULL THEN '{}' ELSE jsonb_build_object('a', a.value) END ||
	CASE WHEN b.value IS NULL THEN '{}' ELSE jsonb_build_object('b c', b.value) END AS properties
FROM value a, value b;
SELECT setseed(0.5);
CREATE TEMP TABLE comparison AS
SELECT format('%s %s %s', p, o, c) AS condition
FROM unnest('{$.a,"$.\"b c\""}'::text[]) p, unnest('{==,!=,<>,<,<=,>,>=,starts with}'::text[]) o,
	unnest(ARRAY['null', 'true', 'false', '0', '-1', '1.0', '100', '99.99', '""', '"a"', '"ab"', '"/docs"', '"ä"', '"100"']) c
WHERE o <> 'starts with' OR c LIKE '"%';
CREATE TEMP TABLE said AS
SELECT row_number() OVER () AS signal_id, c.condition, c.match
FROM (
	SELECT condition, NULL::jsonb AS match FROM comparison
	UNION ALL SELECT 'strict ' || condition, NULL FROM comparison
	UNION ALL (SELECT x.condition || ' && ' || y.condition, NULL FROM comparison x, comparison y ORDER BY random() LIMIT 300)
	UNION ALL (SELECT x.condition || ' || ' || y.condition, NULL FROM comparison x, comparison y ORDER BY random() LIMIT 50)
	UNION ALL (SELECT format('!(%s) && %s', x.condition, y.condition), NULL FROM comparison x, comparison y ORDER BY random() LIMIT 50)
	UNION ALL SELECT c, NULL FROM unnest(ARRAY['1 == $.a', '$.a == $."b c"', '$.a.a == 1', '$.a[*] == 1', '$[*].a == 1', '$.* == 1', '$.a + 1 == 2', '-$.a == 1',
		'$ == 1', '($.a == 1) is unknown', 'exists($.a)', '$.a.size() == 2', '($.a == 1 && $.x == 1)',
		'$.a == 1 && ($.x == 1 && $.x < 2)', '$.a like_regex "^a"', '"ab" starts with "a" && $.x == 1', '$.a == -(-1)', '$.nothing != null']) c
	UNION ALL SELECT NULL, jsonb_build_object('a', v.value) FROM value v WHERE v.value IS NOT NULL
	UNION ALL SELECT '$."b c" != "a"', jsonb_build_object('a', v.value, 'x', 1) FROM value v WHERE v.value IS NOT NULL
) c;
CREATE TEMP TABLE says AS
SELECT p.n, s.signal_id FROM properties p, said s
WHERE (s.condition IS NULL OR p.properties @@ s.condition::jsonpath) AND (s.match IS NULL OR p.properties @> s.match);
CREATE TEMP TABLE counts AS
SELECT t.n, e.signal_id
FROM (SELECT p.n, timeline_agg((SELECT jsonb_build_object('signals', jsonb_agg(jsonb_strip_nulls(jsonb_build_object('signal_id', signal_id, 'condition', condition)) ||
		CASE WHEN match IS NULL THEN '{}' ELSE jsonb_build_object('match', match) END)) FROM said), 'x', '2026-01-01', NULL, p.properties) AS timeline
	FROM properties p GROUP BY p.n) t, timeline_entries(t.timeline) e;
SELECT (SELECT count(*) FROM says) > 50000 AS many, (SELECT count(*) FROM (TABLE says EXCEPT ALL TABLE counts) x) AS missing,
	(SELECT count(*) FROM (TABLE counts EXCEPT ALL TABLE says) x) AS too_many;
