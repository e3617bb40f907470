\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- A table is kept equal to a query by differences, and tracked like any other.
CREATE SCHEMA shop;
CREATE TABLE shop.orders (id integer PRIMARY KEY, customer text, total numeric(10, 2), currency text, day date, notes json);
CREATE TABLE shop.rate (currency text, rate numeric);
INSERT INTO shop.orders VALUES (1, 'anna', 10, 'EUR', '2026-01-05', '{"gift": true}'), (2, 'ben', 20, 'USD', '2026-01-06', NULL), (3, NULL, 5, 'EUR', '2026-01-07', NULL);
INSERT INTO shop.rate VALUES ('EUR', 1), ('USD', 0.9);
INSERT INTO signal (signal, kind) VALUES ('purchase', 'purchase');

-- names mean what they mean to the caller, and then always the same
SET search_path = shop, public;
SELECT leadscore.track_query('paid', 'SELECT o.id, customer, round(total * rate, 2) AS total, day, notes FROM orders o JOIN rate USING (currency)', '{id}');
SET search_path = public, leadscore, leadscore_internal;
\d shop.paid
TABLE shop.paid ORDER BY id;
SELECT target, query, key, refreshed_at <= now(), failed_at FROM tracked_query;
SELECT track('shop.paid', lead_id => 'customer', kind => 'purchase', occurred_at => 'day', value => 'total');
CREATE VIEW counted AS SELECT lead_id, hour, value FROM lead_timeline, timeline_entries(timeline) ORDER BY 1, 2;
TABLE counted;

-- what is the same is not written; what a refresh does is one statement, and triggers see the difference
CREATE TABLE written (n integer GENERATED ALWAYS AS IDENTITY, command text, rows bigint);
CREATE FUNCTION note_written() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP = 'DELETE' THEN
		INSERT INTO public.written (command, rows) SELECT TG_OP, count(*) FROM old_rows;
	ELSE
		INSERT INTO public.written (command, rows) SELECT TG_OP, count(*) FROM new_rows;
	END IF;
	RETURN NULL;
END
$$;
CREATE TRIGGER note_insert AFTER INSERT ON shop.paid REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION note_written();
CREATE TRIGGER note_update AFTER UPDATE ON shop.paid REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION note_written();
CREATE TRIGGER note_delete AFTER DELETE ON shop.paid REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION note_written();
CALL refresh_queries();
SELECT command, rows FROM written ORDER BY command;
TRUNCATE written;
-- one row comes, one goes, one changes by another table, one by nothing but how its json is written
INSERT INTO shop.orders VALUES (4, 'cleo', 1, 'EUR', '2026-01-08', NULL), (5, 'ben', 3, 'EUR', '2026-01-06', '{"a": 1}');
DELETE FROM shop.orders WHERE id = 3;
UPDATE shop.rate SET rate = 0.8 WHERE currency = 'USD';
UPDATE shop.orders SET notes = '{"gift":  true}' WHERE id = 1;
CALL refresh_queries('shop.paid');
SELECT command, rows FROM written ORDER BY command;
TABLE shop.paid ORDER BY id;
TABLE counted;
SELECT * FROM verify();
-- two rows that change their places
UPDATE shop.orders SET id = id + 100 WHERE id IN (1, 2);
UPDATE shop.orders SET id = CASE id WHEN 101 THEN 2 ELSE 1 END WHERE id IN (101, 102);
CALL refresh_queries();
TABLE counted;
SELECT * FROM verify();
-- in a transaction, with what that has written
BEGIN;
INSERT INTO shop.orders VALUES (6, 'dora', 7, 'EUR', '2026-01-08', NULL);
CALL refresh_queries();
SELECT count(*) FROM shop.paid;
ROLLBACK;
SELECT count(*) FROM shop.paid;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT refused('CALL refresh_queries()');
ROLLBACK;

-- what is equal, but not the same: the bytes count, for a lead is its bytes
CREATE TABLE shop.person (id numeric, weight numeric);
INSERT INTO shop.person VALUES (1, 1.0), (2, 2);
SELECT track_query('shop."Per son"', 'SELECT id AS "I D", weight FROM shop.person', '{I D}');
UPDATE shop.person SET id = 1.00 WHERE id = 1;
UPDATE shop.person SET id = 2.0, weight = 2.00 WHERE weight = 2;
CALL refresh_queries('shop."Per son"');
TABLE shop."Per son" ORDER BY 1;

-- a key of several columns, a row of nothing else, a view, a function, an empty result
CREATE VIEW shop.lines AS SELECT 1 AS order_id, n AS line FROM generate_series(1, 3) n;
SELECT track_query('shop.line', 'TABLE shop.lines', '{order_id,line}'), track_query('shop.nothing', 'SELECT 1 AS a, now() AS b WHERE false', '{a}'), track_query('shop.both', 'VALUES (1), (2) ORDER BY 1 LIMIT 1', '{column1}');
CREATE OR REPLACE VIEW shop.lines AS SELECT 1 AS order_id, n AS line FROM generate_series(2, 4) n;
CALL refresh_queries();
TABLE shop.line ORDER BY line;

-- settings of the session mean nothing
SET TimeZone = 'Asia/Tokyo';
SELECT track_query('shop.local', $$SELECT 1 AS id, '2026-01-01 00:00+00'::timestamptz::text AS at, to_char('2026-01-01 00:00+00'::timestamptz, 'HH24') AS hour$$, '{id}');
TABLE shop.local;
SET TimeZone = 'UTC';
DROP TABLE shop.local, shop.both, shop.nothing, shop.line, shop."Per son";
SELECT target FROM tracked_query;

-- random changes of lines, orders and rates, several of them before each refresh: the table is equal to its query, and
-- timelines to the table
SELECT setseed(0.18);
CREATE TABLE shop.bill (id integer PRIMARY KEY, lead text, currency text, day date);
CREATE TABLE shop.bill_line (bill integer, price numeric);
CREATE VIEW shop.bill_total AS SELECT b.id, b.lead, b.day, round(sum(l.price * r.rate), 2) AS total FROM shop.bill b JOIN shop.bill_line l ON l.bill = b.id JOIN shop.rate r USING (currency) GROUP BY b.id;
SELECT track_query('shop.billed', 'TABLE shop.bill_total', '{id}');
SELECT track('shop.billed', lead_id => 'lead', kind => 'purchase', occurred_at => 'day', value => 'total');
CREATE FUNCTION change_something() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	n CONSTANT integer := random() * 20;
BEGIN
	CASE (random() * 6)::integer
	WHEN 0 THEN INSERT INTO shop.bill VALUES (n, 'lead ' || n % 5, 'EUR', date '2026-01-01' + n % 3) ON CONFLICT (id) DO UPDATE SET currency = 'USD';
	WHEN 1, 2 THEN INSERT INTO shop.bill_line VALUES (n, round((random() * 100)::numeric, 2));
	WHEN 3 THEN UPDATE shop.rate SET rate = round(random()::numeric, 3) WHERE currency = CASE WHEN n < 10 THEN 'USD' ELSE 'EUR' END;
	WHEN 4 THEN DELETE FROM shop.bill_line WHERE bill = n;
	WHEN 5 THEN UPDATE shop.bill SET lead = NULLIF('lead ' || n % 6, 'lead 5') WHERE id = n OR id = n + 1;
	ELSE DELETE FROM shop.bill WHERE id = n;
	END CASE;
END
$$;
DO $$
BEGIN
	FOR i IN 1 .. 300 LOOP
		PERFORM public.change_something() FROM generate_series(1, (random() * 4)::integer);
		CALL leadscore.refresh_queries('shop.billed');
		IF EXISTS (SELECT FROM ((TABLE shop.billed EXCEPT ALL TABLE shop.bill_total) UNION ALL (TABLE shop.bill_total EXCEPT ALL TABLE shop.billed)) d) THEN
			RAISE EXCEPTION 'not equal after % refreshes', i;
		ELSIF i % 20 = 0 AND EXISTS (SELECT FROM leadscore.verify()) THEN
			RAISE EXCEPTION 'timelines differ after % refreshes', i;
		END IF;
	END LOOP;
END
$$;
SELECT count(*) > 0 AS "there are rows" FROM shop.billed;
SELECT untrack('shop.billed');
DROP TABLE shop.billed;

-- one that fails leaves its table as it is, and the others go on
SELECT track_query('shop.share', 'SELECT id, 100 / total AS share FROM shop.orders', '{id}');
UPDATE shop.orders SET total = 0 WHERE id = 5;
CALL refresh_queries();
SELECT total FROM shop.paid WHERE id = 5;
SELECT target, failed_at > refreshed_at AS failed FROM tracked_query ORDER BY target::text;
SELECT object, name, regexp_replace(state, '\d{4}[^, ]+ [^, ]+', '(instant)', 'g') AS state, action FROM status WHERE object = 'query';
SELECT refused('CALL refresh_queries(''shop.share'')');
UPDATE shop.orders SET total = 3 WHERE id = 5;
CALL refresh_queries();
SELECT object, name FROM status;

-- rows that the key does not tell apart: nothing is changed
SELECT ctid, * FROM shop.share WHERE id = 1;
ALTER TABLE shop.orders DROP CONSTRAINT orders_pkey;
ALTER TABLE shop.orders ALTER id DROP NOT NULL;
INSERT INTO shop.orders (id, total) VALUES (1, 10);
SELECT refused('CALL refresh_queries(''shop.share'')');
UPDATE shop.orders SET id = NULL WHERE customer IS NULL;
SELECT refused('CALL refresh_queries(''shop.share'')');
DELETE FROM shop.orders WHERE id IS NULL;
SELECT ctid, * FROM shop.share WHERE id = 1;

-- tables that change: new columns do not matter, nor does one of ours; others are told
ALTER TABLE shop.orders ADD COLUMN more text;
ALTER TABLE shop.share ADD COLUMN ours text DEFAULT 'ours';
CALL refresh_queries('shop.share');
SELECT DISTINCT ours FROM shop.share;
ALTER TABLE shop.orders ALTER id TYPE bigint;
SELECT refused('CALL refresh_queries(''shop.share'')');
ALTER TABLE shop.share ALTER id TYPE bigint;
CALL refresh_queries('shop.share');
ALTER TABLE shop.share DROP COLUMN share;
SELECT refused('CALL refresh_queries(''shop.share'')');
ALTER TABLE shop.share ADD COLUMN share numeric;
ALTER TABLE shop.orders RENAME total TO amount;
SELECT refused('CALL refresh_queries(''shop.share'')');
ALTER TABLE shop.orders RENAME amount TO total;
ALTER TABLE shop.share DROP CONSTRAINT share_pkey;
SELECT refused('CALL refresh_queries(''shop.share'')');
CREATE UNIQUE INDEX ON shop.share (id);
CALL refresh_queries('shop.share');
SELECT count(share) FROM shop.share;
ALTER TABLE shop.share RENAME TO part;
SELECT refused('CALL refresh_queries(''shop.part'')');
ALTER TABLE shop.part RENAME TO share;
CALL refresh_queries('shop.share');

-- what makes no sense
CREATE TEMP TABLE mine (id integer);
SELECT refused(ARRAY[
	$$SELECT track_query(NULL, 'SELECT 1 AS a', '{a}')$$, $$SELECT track_query('t', NULL, '{a}')$$, $$SELECT track_query('t', 'SELECT 1 AS a', NULL)$$,
	$$SELECT track_query('t', 'SELECT 1 AS a', '{}')$$, $$SELECT track_query('t', 'SELECT 1 AS a', '{a,a}')$$, $$SELECT track_query('t', 'SELECT 1 AS a', '{a,NULL}')$$,
	$$SELECT track_query('t', 'SELECT 1 AS a', '{b}')$$, $$SELECT track_query('t', 'SELECT ''1''::json AS a', '{a}')$$,
	$$SELECT track_query('shop.paid', 'SELECT 1 AS a', '{a}')$$, $$SELECT track_query('nowhere.t', 'SELECT 1 AS a', '{a}')$$, $$SELECT track_query('a.b.c', 'SELECT 1 AS a', '{a}')$$, $$SELECT track_query('a b', 'SELECT 1 AS a', '{a}')$$, $$SELECT track_query('pg_temp.t', 'SELECT 1 AS a', '{a}')$$,
	$$SELECT track_query('t', '', '{a}')$$, $$SELECT track_query('t', 'SELECT 1 AS a; SELECT 2 AS a', '{a}')$$, $$SELECT track_query('t', 'DELETE FROM shop.orders RETURNING id', '{id}')$$,
	$$SELECT track_query('t', 'WITH d AS (DELETE FROM shop.orders RETURNING id) SELECT id FROM d', '{id}')$$, $$SELECT track_query('t', 'SELECT 1 AS a INTO u', '{a}')$$, $$SELECT track_query('t', 'DROP TABLE shop.orders', '{id}')$$,
	$$SELECT track_query('t', 'SELECT $1 AS a', '{a}')$$, $$SELECT track_query('t', 'SELECT a FROM', '{a}')$$, $$SELECT track_query('t', 'SELECT nothing FROM shop.orders', '{nothing}')$$,
	$$SELECT track_query('t', 'SELECT id FROM mine', '{id}')$$, $$SELECT track_query('t', 'SELECT 1 AS a, 2 AS a', '{a}')$$,
	$$SELECT track_query('t', 'SELECT day FROM shop.orders', '{day}')$$, $$SELECT track_query('t', 'VALUES (NULL::integer)', '{column1}')$$, $$SELECT track_query('t', 'SELECT 1 / 0 AS a', '{a}')$$,
	$$CALL refresh_queries('shop.orders')$$, $$CALL refresh_queries('nothing')$$]);
SELECT to_regclass('t'), (SELECT count(*) FROM tracked_query);

-- a table that is dropped has no query any more
DROP TABLE shop.share;
SELECT target FROM tracked_query;
DROP SCHEMA shop CASCADE;
SELECT count(*) FROM query_table;
TABLE counted;
CALL refresh_queries();
SELECT * FROM verify();
