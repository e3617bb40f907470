\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- The table event refuses what makes no sense, with what is wrong and what to do; nothing is changed.
INSERT INTO signal (signal) VALUES ('any');
\pset tuples_only on
\pset format unaligned
SELECT refused('INSERT INTO event (lead_id, kind, occurred_at, value, properties) VALUES (' || v || ')') FROM unnest(ARRAY[
	$$'', 'visit', '2026-01-01', 1, NULL$$,
	$$repeat('x', 1025), 'visit', '2026-01-01', 1, NULL$$,
	$$repeat('ü', 513), 'visit', '2026-01-01', 1, NULL$$,
	$$'a', '', '2026-01-01', 1, NULL$$,
	$$'a', 'visit', 'infinity', 1, NULL$$,
	$$'a', 'visit', '-infinity', 1, NULL$$,
	$$'a', 'visit', '1969-12-31 23:59:59.999999', 1, NULL$$,
	$$'a', 'visit', '10000-01-01 00:00', 1, NULL$$,
	$$'a', 'visit', '0044-03-15 BC', 1, NULL$$,
	$$'a', 'visit', '2026-01-01', 'NaN', NULL$$,
	$$'a', 'visit', '2026-01-01', 'Infinity', NULL$$,
	$$'a', 'visit', '2026-01-01', '-Infinity', NULL$$,
	$$'a', 'visit', '2026-01-01', 1000000000000, NULL$$,
	$$'a', 'visit', '2026-01-01', -1000000000000.000001, NULL$$,
	$$'a', 'visit', '2026-01-01', 1e30, NULL$$,
	$$'a', 'visit', '2026-01-01', 1, '[]'$$,
	$$'a', 'visit', '2026-01-01', 1, '"mobile"'$$,
	$$'a', 'visit', '2026-01-01', 1, 'null'$$,
	$$'a', 'visit', '2026-01-01', 1, '5'$$]) v;
-- what must not be missing
SELECT (SELECT refused FROM refused(c) LIMIT 1) FROM unnest(ARRAY[
	$$INSERT INTO event (lead_id, kind) VALUES (NULL, 'visit')$$, $$INSERT INTO event (lead_id, kind) VALUES ('a', NULL)$$, $$INSERT INTO event (lead_id, kind, occurred_at) VALUES ('a', 'visit', NULL)$$]) c;
-- several rows of which one is bad: none is taken
SELECT (SELECT refused FROM refused(c) LIMIT 1) FROM unnest(ARRAY[$$INSERT INTO event (lead_id, kind) VALUES ('a', 'visit'), ('b', 'visit'), ('', 'visit')$$]) c;
-- an hour that overflows: the statement that would do it fails, those before it stay
INSERT INTO event (lead_id, kind, occurred_at, value) SELECT 'rich', 'buy', '2026-01-01', 999999999999 FROM generate_series(1, 9);
SELECT refused($$INSERT INTO event (lead_id, kind, occurred_at, value) VALUES ('rich', 'buy', '2026-01-01 00:59', 999999999999), ('poor', 'buy', '2026-01-01', 1)$$);
SELECT refused($$UPDATE event SET value = NULL, occurred_at = 'infinity' WHERE lead_id = 'rich'$$);
\pset tuples_only off
\pset format aligned
SELECT lead_id, count(*), sum(value) FROM event GROUP BY lead_id;
SELECT lead_id, timeline FROM lead_timeline;
SELECT count(*) FROM verify();
TRUNCATE event;

-- what lies just within the bounds
INSERT INTO event (lead_id, kind, occurred_at, value, properties) VALUES
	(repeat('ü', 512), 'visit', '1970-01-01 00:00', 999999999999.999999, '{}'), ('b', ' ', '9999-12-31 23:59:59.999999', -999999999999.9999991, '{"a": [null]}'), ('c', 'v', '2026-01-01', NULL, NULL);
SELECT left(lead_id, 3) AS lead_id, timeline FROM lead_timeline ORDER BY timeline::text;
-- the time is now, where none is given
INSERT INTO event (lead_id, kind) VALUES ('now', 'visit');
SELECT occurred_at BETWEEN now() - interval '1 minute' AND now() AS now FROM event WHERE lead_id = 'now';
-- a dedup_key takes an event once
INSERT INTO event (lead_id, kind, dedup_key) VALUES ('c', 'visit', 'x') ON CONFLICT (dedup_key) DO NOTHING;
INSERT INTO event (lead_id, kind, dedup_key) VALUES ('c', 'visit', 'x') ON CONFLICT (dedup_key) DO NOTHING;
SELECT count(*) FROM event WHERE lead_id = 'c';
SELECT count(*) FROM verify();
