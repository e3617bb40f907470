\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- Whatever way a row comes, changes or goes: timelines stay true.
INSERT INTO signal (signal, kind) VALUES ('visit', 'visit'), ('buy', 'buy'), ('any', NULL);
INSERT INTO signal (signal, match) VALUES ('mobile', '{"device": "mobile"}');
-- the timelines, and how many of them are not what the events say
CREATE FUNCTION state() RETURNS TABLE (lead_id text, timeline timeline, wrong bigint) LANGUAGE sql AS $$
	SELECT t.lead_id, t.timeline, (SELECT count(*) FROM verify()) FROM lead_timeline t
	UNION ALL SELECT NULL, NULL, count(*) FROM verify() HAVING NOT EXISTS (SELECT FROM lead_timeline) ORDER BY 1$$;

-- INSERT: one row, several, of several leads, out of order
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('a', 'visit', '2026-01-01 10:00');
INSERT INTO event (lead_id, kind, occurred_at, value, properties) VALUES ('b', 'buy', '2026-01-02', 9.5, NULL), ('a', 'visit', '2025-12-31', NULL, '{"device": "mobile"}'), ('a', 'visit', '2026-01-01 10:59', 1, NULL);
SELECT * FROM state();
-- nothing to insert, nothing that counts
INSERT INTO event (lead_id, kind, occurred_at) SELECT 'c', 'visit', '2026-01-01' WHERE false;
UPDATE signal SET kind = 'nothing' WHERE signal = 'any';
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('c', 'unknown', '2026-01-01');
UPDATE signal SET kind = NULL WHERE signal = 'any';
-- a changed signal counts from the next event on; rebuild() counts what was before
SELECT * FROM verify();
CALL rebuild();
SELECT * FROM state();
DELETE FROM event WHERE lead_id = 'c';

-- UPDATE: of each column, of several, of many rows, of none
UPDATE event SET lead_id = 'd' WHERE lead_id = 'b';
SELECT * FROM state();
UPDATE event SET kind = 'visit' WHERE lead_id = 'd';
SELECT * FROM state();
UPDATE event SET occurred_at = occurred_at + interval '90 minutes';
SELECT * FROM state();
UPDATE event SET value = coalesce(value, 0) + 0.000001;
SELECT * FROM state();
UPDATE event SET properties = CASE WHEN properties IS NULL THEN '{"device": "mobile"}'::jsonb END;
SELECT * FROM state();
UPDATE event SET dedup_key = event_id;
UPDATE event SET lead_id = lead_id || 'x', kind = 'buy', occurred_at = '2026-02-01', value = 2, properties = NULL;
SELECT * FROM state();
UPDATE event SET lead_id = 'z' WHERE false;
SELECT * FROM state();
-- an update that changes nothing that counts writes nothing
CREATE TEMP TABLE versions AS SELECT lead_id, xmin AS version FROM lead_timeline;
UPDATE event SET occurred_at = occurred_at + interval '1 minute', dedup_key = NULL;
SELECT count(*) FROM lead_timeline t JOIN versions v USING (lead_id) WHERE t.xmin <> v.version;

-- DELETE; a lead without anything left has no timeline
DELETE FROM event WHERE lead_id = 'dx';
DELETE FROM event WHERE event_id = (SELECT min(event_id) FROM event);
SELECT * FROM state();
DELETE FROM event;
SELECT * FROM state();

-- COPY
COPY event (lead_id, kind, occurred_at, value, properties) FROM stdin (FORMAT csv);
a,visit,2026-01-01 00:00,,"{""device"": ""mobile""}"
b,buy,2026-01-01 00:00,5,
a,visit,2026-01-01 00:30,,
\.
SELECT * FROM state();
-- a bad line takes the whole of it back
\set VERBOSITY terse
COPY event (lead_id, kind, occurred_at) FROM stdin (FORMAT csv);
a,visit,2026-01-01
,visit,2026-01-01
\.
SELECT * FROM state();

\set VERBOSITY default
-- ON CONFLICT: what is skipped does not count, what is updated counts anew
INSERT INTO event (lead_id, kind, occurred_at, dedup_key) VALUES ('a', 'visit', '2026-01-05', 'k1'), ('b', 'visit', '2026-01-05', 'k2'), ('a', 'visit', '2026-01-06', 'k1') ON CONFLICT (dedup_key) DO NOTHING;
SELECT * FROM state();
INSERT INTO event (lead_id, kind, occurred_at, dedup_key) VALUES ('c', 'buy', '2026-01-07', 'k1'), ('c', 'buy', '2026-01-07', 'k3')
	ON CONFLICT (dedup_key) DO UPDATE SET lead_id = excluded.lead_id, kind = excluded.kind;
SELECT * FROM state();

-- MERGE: inserts, updates and deletes in one statement
MERGE INTO event e USING (VALUES ('k1', 'x'), ('k2', 'gone'), ('k4', 'y')) n (key, lead_id) ON e.dedup_key = n.key
	WHEN MATCHED AND n.lead_id = 'gone' THEN DELETE
	WHEN MATCHED THEN UPDATE SET lead_id = n.lead_id
	WHEN NOT MATCHED THEN INSERT (lead_id, kind, occurred_at, dedup_key) VALUES (n.lead_id, 'visit', '2026-01-08', n.key);
SELECT * FROM state();

-- writable CTEs: several statements in one
WITH moved AS (DELETE FROM event WHERE lead_id = 'a' RETURNING *), changed AS (UPDATE event SET value = 100 WHERE lead_id = 'b' RETURNING *)
INSERT INTO event (lead_id, kind, occurred_at) SELECT 'from ' || lead_id, kind, occurred_at FROM moved;
SELECT * FROM state();

-- a function, a loop, a subtransaction that is undone
DO $$
BEGIN
	FOR i IN 1 .. 3 LOOP
		BEGIN
			INSERT INTO event (lead_id, kind, occurred_at) VALUES ('loop', 'visit', '2026-01-01');
			IF i = 2 THEN
				RAISE EXCEPTION 'undo';
			END IF;
		EXCEPTION WHEN raise_exception THEN NULL;
		END;
	END LOOP;
END
$$;
SELECT * FROM state() WHERE lead_id = 'loop';

-- a transaction that is undone leaves nothing; inside it everything is seen
BEGIN;
DELETE FROM event;
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('t', 'visit', '2026-01-01');
SELECT * FROM state();
ROLLBACK;
SELECT count(*) AS leads, max(wrong) AS wrong FROM state();

-- rows that go by a foreign key
CREATE TABLE customers (id int PRIMARY KEY);
CREATE TABLE orders (id int REFERENCES customers ON UPDATE CASCADE ON DELETE CASCADE, at timestamptz);
SELECT track('orders', 'id', 'buy', occurred_at => 'at');
INSERT INTO customers VALUES (1), (2);
INSERT INTO orders VALUES (1, '2026-01-01'), (1, '2026-01-02'), (2, '2026-01-01');
UPDATE customers SET id = 3 WHERE id = 1;
SELECT * FROM state() WHERE lead_id ~ '^[0-9]';
DELETE FROM customers WHERE id = 3;
SELECT * FROM state() WHERE lead_id ~ '^[0-9]';
TRUNCATE customers CASCADE;
SELECT * FROM state() WHERE lead_id ~ '^[0-9]';

-- TRUNCATE, undone and done; together with another tracked table
INSERT INTO customers VALUES (1);
INSERT INTO orders VALUES (1, '2026-01-01');
BEGIN;
TRUNCATE event;
SELECT * FROM state();
ROLLBACK;
SELECT count(*) AS leads, max(wrong) AS wrong FROM state();
TRUNCATE event, orders;
SELECT * FROM state();

-- many leads in one statement, more than are written at once; then again the same
INSERT INTO event (lead_id, kind, occurred_at, value) SELECT 'lead ' || n % 12000, 'visit', '2026-01-01'::timestamptz + n * interval '1 hour', n FROM generate_series(1, 24000) n;
UPDATE event SET value = -value;
SELECT count(*) AS leads, (SELECT count(*) FROM verify()) AS wrong FROM lead_timeline;
DELETE FROM event WHERE event_id % 2 = 0;
SELECT (SELECT count(*) FROM lead_timeline) = (SELECT count(DISTINCT lead_id) FROM event) AS as_many_leads, (SELECT count(*) FROM verify()) AS wrong;

-- a statement's rows that do not fit into work_mem
SET work_mem = '64kB';
TRUNCATE event;
INSERT INTO event (lead_id, kind, occurred_at, value, properties)
SELECT 'lead ' || n % 100, 'visit', '2026-01-01'::timestamptz + n * interval '1 hour', n, jsonb_build_object('device', CASE n % 2 WHEN 0 THEN 'mobile' ELSE 'tv' END, 'page', repeat('x', n % 50)) FROM generate_series(1, 6000) n;
SELECT (SELECT sum(occurrences) FROM lead_timeline t, timeline_entries(t.timeline) JOIN signal USING (signal_id) WHERE signal = 'mobile') AS mobile, (SELECT count(*) FROM verify()) AS wrong;
UPDATE event SET properties = properties || '{"device": "mobile"}';
SELECT (SELECT sum(occurrences) FROM lead_timeline t, timeline_entries(t.timeline) JOIN signal USING (signal_id) WHERE signal = 'mobile') AS mobile, (SELECT count(*) FROM verify()) AS wrong;
DELETE FROM event WHERE lead_id <> 'lead 7';
SELECT (SELECT sum(occurrences) FROM lead_timeline t, timeline_entries(t.timeline) JOIN signal USING (signal_id) WHERE signal = 'mobile') AS mobile, (SELECT count(*) FROM verify()) AS wrong;
RESET work_mem;
INSERT INTO event (lead_id, kind, occurred_at) SELECT 'lead ' || n, 'visit', '2026-01-01' FROM generate_series(1, 9) n;

-- rebuild() of some leads and of all mends what was damaged, and nothing else
UPDATE lead_timeline SET timeline = '{1: 2000-01-01T00Z 1}' WHERE lead_id IN ('lead 2', 'lead 3');
DELETE FROM lead_timeline WHERE lead_id = 'lead 5';
INSERT INTO lead_timeline VALUES ('nobody', '{1: 2000-01-01T00Z 1}');
SELECT lead_id, stored IS NOT NULL AS stored, expected IS NOT NULL AS expected FROM verify() ORDER BY lead_id;
CALL rebuild('{lead 2,nobody}');
SELECT lead_id FROM verify() ORDER BY lead_id;
CALL rebuild('{}');
SELECT count(*) FROM verify();
CALL rebuild();
SELECT count(*) FROM verify();

-- in a transaction that must not see what others write, rebuild() refuses
\set VERBOSITY terse
BEGIN ISOLATION LEVEL REPEATABLE READ;
CALL rebuild();
ROLLBACK;

-- what a session knows of our tables ends when they change, and when that is rolled back: a rule of this transaction is seen, and so is another table of the name
BEGIN;
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('before the rule', 'visit', '2026-01-01');
INSERT INTO derivation (behaviour) VALUES ('visit');
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('after the rule', 'visit', '2026-01-01');
SELECT lead_id FROM changed_lead WHERE lead_id IS NOT NULL;
ALTER TABLE changed_lead RENAME TO changed_before;
CREATE TABLE leadscore_internal.changed_lead (lead_id text);
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('in another table', 'visit', '2026-01-01');
SELECT lead_id FROM changed_lead;
ROLLBACK;
BEGIN;
INSERT INTO derivation (behaviour) VALUES ('visit');
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('in the first table', 'visit', '2026-01-01');
SELECT lead_id FROM changed_lead WHERE lead_id IS NOT NULL;
ROLLBACK;
