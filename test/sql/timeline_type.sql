\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- The type timeline: its text and binary form, equality, hashing, and what it refuses.

-- text: signal: hour occurrences [value], ...; ...
SELECT t::timeline FROM (VALUES
	('{}'),
	('{1: 2026-11-21T13Z 2 49.9, 2026-11-21T15Z 1; 4: 2026-11-22T00Z 1}'),
	(E'  {\t1 :2026-11-21T13Z  2   49.900000 ,\n2026-11-21T15Z 1;4:2026-11-22T00Z 1 } '),	-- blanks do not count
	('{0: 1970-01-01T00Z 1; 2147483647: 9999-12-31T23Z 1}'),	-- the first and the last hour and signal
	('{1: 2024-02-29T23Z -3 -0.000001}'),		-- a delta may be negative
	('{1: 2026-01-01T00Z 0 5}'),				-- or have a value without occurrences
	('{1: 2026-01-01T00Z 9223372036854775807 9223372036854.775807}'),
	('{1: 2026-01-01T00Z -9223372036854775808 -9223372036854.775808}'),
	('{1: 2026-01-01T00Z 5 0}')					-- a value of zero is no value
) v (t);

-- what goes out comes in again, the same
SELECT bool_and(t::timeline::text::timeline = t::timeline) AS same
FROM unnest(ARRAY['{}', '{1: 2026-11-21T13Z 2 49.9, 2026-11-21T15Z 1; 4: 2026-11-22T00Z 1}',
	'{0: 1970-01-01T00Z 1; 2147483647: 9999-12-31T23Z -9223372036854775808 0.1}']) t;

-- Bytes. Version 1; hour 100 as base; signal 3 with 2 entries: at distance 0 once (0 << 2 = 00),
-- 31 hours later once (31 << 2 = 7c); one signal further (01), one entry (01): distance 1 << 2 | 3 = 07,
-- 2 occurrences, zigzagged 04, value 0.000001, one millionth, zigzagged 02. Hour 100 is 1970-01-05T04Z.
SELECT timeline_send('{3: 1970-01-05T04Z 1, 1970-01-06T11Z 1; 4: 1970-01-05T05Z 2 0.000001}');
SELECT timeline_send('{}');

-- through the wire and back: COPY BINARY calls send and recv (psql's files: the server's user may have no right here)
CREATE TEMP TABLE binary_copy (t timeline);
INSERT INTO binary_copy VALUES ('{}'), (NULL), ('{1: 2026-11-21T13Z 2 49.9, 2026-11-21T15Z 1; 4: 2026-11-22T00Z 1}'),
	('{0: 1970-01-01T00Z 1; 2147483647: 9999-12-31T23Z -9223372036854775808 9223372036854.775807}');
\getenv abs_builddir PG_ABS_BUILDDIR
\set file :abs_builddir '/results/timeline_type.bin'
\set copy_back '\\copy binary_copied FROM ' :'file' ' (FORMAT binary)'
COPY binary_copy TO STDOUT (FORMAT binary) \g :file
CREATE TEMP TABLE binary_copied (t timeline);
:copy_back
SELECT count(*) AS rows, count(c.t) AS equal FROM binary_copy b LEFT JOIN binary_copied c ON b.t = c.t;

-- Equal timelines are equal bytes, however they came about: text with blanks, sums, aggregates.
SELECT a = b AS equal, a <> b AS unequal, timeline_hash(a) = timeline_hash(b) AS same_hash,
	timeline_hash_extended(a, 0) = timeline_hash_extended(b, 0) AS same_extended,
	timeline_hash_extended(a, 1) = timeline_hash_extended(b, 2) AS same_for_other_seed
FROM (VALUES
	('{1: 2026-01-01T00Z 2}'::timeline, '{1: 2026-01-01T00Z 1}'::timeline + '{1: 2026-01-01T00Z 1}'),
	('{1: 2026-01-01T00Z 2}', '{1: 2026-01-01T00Z 2 0.000001}'),
	('{1: 2026-01-01T00Z 2}', '{2: 2026-01-01T00Z 2}'),
	('{1: 2026-01-01T00Z 2}', '{1: 2026-01-01T01Z 2}'),
	('{}', '{1: 2026-01-01T00Z 2}'::timeline - '{1: 2026-01-01T00Z 2}')
) v (a, b);

-- so timelines can be grouped, hashed and joined
SELECT t, count(*) FROM unnest(ARRAY['{}', '{1: 2026-01-01T00Z 2}', '{}']::timeline[]) t GROUP BY t ORDER BY count(*);

-- They have an order, that of the bytes, as bytea has it: all six operators and the comparison agree.
CREATE TEMP TABLE ordered AS
SELECT t::timeline FROM unnest(ARRAY['{}', '{}', '{1: 2026-01-01T00Z 2}', '{1: 2026-01-01T00Z 2 0.5}', '{1: 2026-01-01T00Z 2, 2026-01-01T01Z 1}',
	'{2: 2026-01-01T00Z 2}', '{1: 1970-01-01T00Z 1}', '{300: 2026-01-01T00Z -2}', NULL]) t
UNION ALL
-- (one that is stored out of line)
SELECT timeline_agg('{"signals": [{"signal_id": 1, "signal": "s"}]}', 'x', timestamptz '2020-01-01Z' + n * interval '2 hours', n, NULL) FROM generate_series(1, 3000) n;
SELECT count(*) AS pairs, bool_and((a.t < b.t) = (timeline_send(a.t) < timeline_send(b.t))) AS lt, bool_and((a.t <= b.t) = (timeline_send(a.t) <= timeline_send(b.t))) AS le,
	bool_and((a.t > b.t) = (timeline_send(a.t) > timeline_send(b.t))) AS gt, bool_and((a.t >= b.t) = (timeline_send(a.t) >= timeline_send(b.t))) AS ge,
	bool_and((a.t = b.t) = (timeline_cmp(a.t, b.t) = 0)) AS eq, bool_and(sign(timeline_cmp(a.t, b.t)) = - sign(timeline_cmp(b.t, a.t))) AS cmp
FROM ordered a, ordered b WHERE a.t IS NOT NULL AND b.t IS NOT NULL;
SELECT array_agg(t ORDER BY t) = array_agg(t ORDER BY timeline_send(t)) AS sorted FROM ordered;
SELECT array_agg(t ORDER BY t DESC) = array_agg(t ORDER BY timeline_send(t) DESC) AS descending FROM ordered;

-- DISTINCT by sorting, a merge join, and a B-tree index
SET enable_hashagg = off; SET enable_hashjoin = off; SET enable_nestloop = off;
EXPLAIN (COSTS off) SELECT DISTINCT t FROM ordered;
SELECT count(*) FROM (SELECT DISTINCT t FROM ordered) d;
EXPLAIN (COSTS off) SELECT count(*) FROM ordered a JOIN ordered b ON a.t = b.t;
SELECT count(*) FROM ordered a JOIN ordered b ON a.t = b.t;
DELETE FROM ordered WHERE octet_length(timeline_send(t)) > 2000;	-- (too large for an index entry)
CREATE INDEX ON ordered (t);
SET enable_seqscan = off;
EXPLAIN (COSTS off) SELECT count(*) FROM ordered WHERE t > '{}';
SELECT count(*) FILTER (WHERE t > '{}') AS greater, count(*) FILTER (WHERE t <= '{}') AS not_greater FROM ordered;
SELECT count(*) FROM ordered WHERE t >= '{1: 2026-01-01T00Z 2}' AND t <= '{1: 2026-01-01T00Z 2}';
CREATE UNIQUE INDEX ON ordered (t);
RESET enable_hashagg; RESET enable_hashjoin; RESET enable_nestloop; RESET enable_seqscan;
-- the operator classes are whole
SELECT amvalidate(oid) AS valid, a.amname FROM (SELECT c.oid, c.opcmethod FROM pg_opclass c WHERE c.opcintype = 'timeline'::regtype) c, LATERAL (SELECT amname FROM pg_am WHERE oid = c.opcmethod) a ORDER BY 2;

-- the entries of a timeline as rows
SELECT * FROM timeline_entries('{1: 2026-11-21T13Z 2 49.9, 2026-11-21T15Z 1; 4: 1970-01-01T00Z -1 -0.000001, 9999-12-31T23Z 9223372036854775807 1200}');
SELECT * FROM timeline_entries('{}');
SELECT * FROM timeline_entries(NULL);

-- refused text: SQLSTATE 22P02, where it stands and what was expected there
\pset tuples_only on
\pset format unaligned
SELECT refused(format('SELECT %L::timeline', t)) FROM unnest(ARRAY['', '{', '}', 'x', '{}x', '{1}', '{1:}', '{1: }',
	'{1: 2026-01-01T00Z}', '{1: 2026-01-01T00Z 1', '{1: 2026-01-01T00Z 1,}', '{1: 2026-01-01T00Z 1;}',
	'{-1: 2026-01-01T00Z 1}', '{2147483648: 2026-01-01T00Z 1}',
	'{1: 2026-01-01 00Z 1}', '{1: 2026-1-01T00Z 1}', '{1: 2026-02-30T00Z 1}', '{1: 2026-02-29T00Z 1}', '{1: 2026-13-01T00Z 1}',
	'{1: 2026-01-00T00Z 1}', '{1: 2026-01-01T24Z 1}', '{1: 1969-12-31T23Z 1}', '{1: 10000-01-01T00Z 1}', '{1: 2026-01-01T00 1}',
	'{1: 2026-01-01T00Z 0}', '{1: 2026-01-01T00Z 0 0}', '{1: 2026-01-01T00Z 1.5}', '{1: 2026-01-01T00Z 1 .5}',
	'{1: 2026-01-01T00Z 1 0.1234567}', '{1: 2026-01-01T00Z 1 1.}', '{1: 2026-01-01T00Z 1 1e3}', '{1: 2026-01-01T00Z 1 NaN}', '{1: 2026-01-01T00Z 1 1 1}']) t;
-- out of order, or twice
SELECT refused(format('SELECT %L::timeline', t)) FROM unnest(ARRAY['{1: 2026-01-01T01Z 1, 2026-01-01T00Z 1}',
	'{1: 2026-01-01T01Z 1, 2026-01-01T01Z 1}', '{2: 2026-01-01T01Z 1; 1: 2026-01-01T01Z 1}', '{2: 2026-01-01T01Z 1; 2: 2026-01-01T02Z 1}']) t;
-- too large: SQLSTATE 22003
SELECT refused(format('SELECT %L::timeline', t)) FROM unnest(ARRAY['{1: 2026-01-01T00Z 9223372036854775808}',
	'{1: 2026-01-01T00Z -9223372036854775809}', '{1: 2026-01-01T00Z 1 9223372036854.775808}', '{1: 2026-01-01T00Z 1 99999999999999}']) t;

-- Refused bytes: SQLSTATE 22P03. (They come in through a binary COPY of one column: its header of 19 bytes, the
-- number of columns, the length and the bytes, the end.)
CREATE TABLE bytes_in (t timeline);
CREATE FUNCTION refused_bytes(bytes bytea) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	message bytea := '\x5047434f50590aff0d0a00'::bytea || int4send(0) || int4send(0)
		|| int2send(1::int2) || int4send(octet_length(bytes)) || bytes || int2send((-1)::int2);
	octal text := (SELECT string_agg('\0' || b / 64 || b / 8 % 8 || b % 8, '' ORDER BY i)
		FROM generate_series(0, octet_length(message) - 1) i, get_byte(message, i) b);
BEGIN
	RETURN QUERY SELECT * FROM refused(format('COPY bytes_in FROM PROGRAM %L (FORMAT binary)', format('printf %%b ''%s''', octal)));
END
$$;
SELECT b || ' ' || refused_bytes(b::bytea) FROM unnest(ARRAY[
	'\x',						-- nothing
	'\x00', '\x02',				-- an unknown version
	'\x0164',					-- a first hour and no signal
	'\x01e4',					-- cut short: in the first hour
	'\x016403',					-- after a signal
	'\x01640301',				-- in an entry
	'\x0164030102',				-- in the occurrences
	'\x0164030101',				-- in the value
	'\x016403020000',			-- the second hour equals the first
	'\x0164030000',				-- a signal without entries
	'\x01640301000001',			-- the second signal equals the first
	'\x016403010004',			-- more than the signal's entries
	'\x0164030104',				-- no entry in the first hour
	'\x01e4000301 00',			-- a number that is not of minimal length
	'\x016403010202',			-- one occurrence is never written
	'\x0164030103040080',		-- a value of no minimal length
	'\x01640301010002',			-- a value of zero
	'\x0164030102 00',			-- neither occurrences nor value
	'\x0164ffffffff0f0100',		-- a signal above 2147483647
	'\x01ffffffff0f030100',		-- an hour after the year 9999
	'\x016403ffffffff0f00',		-- more entries than there are bytes
	'\x01640301ffffffffffffffffff01',	-- an hour far away
	'\x01640301ffffffffffffffffffff01'	-- a number of more than 64 bits
	]) b;
-- nothing was taken
SELECT count(*) FROM bytes_in;
