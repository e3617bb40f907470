\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- session_number(): a new session where a row is more than the gap from the row before.
CREATE TABLE hit (visitor text, at timestamptz);
-- anna: 30 minutes is still the same visit, a microsecond more is not; two hits at once; across midnight.
INSERT INTO hit VALUES ('anna', '2026-01-01 23:20'), ('anna', '2026-01-01 23:50'), ('anna', '2026-01-02 00:20'), ('anna', '2026-01-02 00:20'),
	('anna', '2026-01-02 00:50:00.000001'), ('ben', '2026-01-01 23:55'), ('ben', NULL), ('ben', '2026-01-01 23:59'), ('ben', 'infinity'), ('ben', '-infinity');
SELECT visitor, at, session_number(at, '30 minutes') OVER (PARTITION BY visitor ORDER BY at) FROM hit ORDER BY visitor, at;
-- the last session first: the numbers run the other way
SELECT visitor, at, session_number(at, '30 minutes') OVER (PARTITION BY visitor ORDER BY at DESC) FROM hit WHERE visitor = 'anna' ORDER BY visitor, at;
-- no gap: NULL; a gap of zero: every instant is a session; without end: one session; a month is 30 days; a gap of its own for each row
SELECT session_number(at, NULL) OVER w AS none, session_number(at, '0') OVER w AS zero, session_number(at, '200000 years') OVER w AS endless FROM hit
	WHERE visitor = 'anna' WINDOW w AS (ORDER BY at) ORDER BY at;
SELECT session_number(t, '1 month') OVER (ORDER BY t), session_number(t, '1 year') OVER (ORDER BY t), session_number(t, g) OVER (ORDER BY t)
	FROM (VALUES (timestamp '2026-01-01 00:00', interval '0'), ('2026-01-31 00:00', NULL), ('2026-03-02 00:00:01', '1 month'), ('2027-03-02 06:00:01', '1 year'), ('2028-03-02 06:00:02', '1 year')) v (t, g);
-- rows that have got their number are let go: nothing is written to temporary files
CREATE FUNCTION temporary_blocks(query text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, FORMAT json) ' || query INTO plan;
	RETURN plan -> 0 -> 'Plan' -> 'Temp Written Blocks';
END
$$;
SET work_mem = '64kB';
SELECT temporary_blocks($$SELECT session_number('2026-01-01'::timestamptz + n * interval '1 minute', '1 hour') OVER () FROM (SELECT generate_series(1, 20000) AS n) s$$);
RESET work_mem;
\pset tuples_only on
\pset format unaligned
SELECT refused(ARRAY[$$SELECT session_number(at, '-1 second') OVER (ORDER BY at) FROM hit$$, $$SELECT session_number(now(), '1 day -25 hours') OVER ()$$, $$SELECT session_number(now(), '1 day')$$]);
