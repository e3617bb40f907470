-- track_alias(): tables whose rows say whose a name is
\set VERBOSITY terse
SET client_min_messages = warning;
INSERT INTO leadscore.signal (signal, kind) VALUES ('line', 'line'), ('visit', 'visit');
CREATE SCHEMA shop;
CREATE TABLE shop.customers (id int PRIMARY KEY, email text UNIQUE, account int);
CREATE TABLE shop.orders (id int PRIMARY KEY, customer_id int, state text DEFAULT 'paid');
CREATE TABLE shop.lines (id int PRIMARY KEY, order_id int, at date DEFAULT '2026-01-01', price int);
CREATE TABLE shop.identifies (anonymous_id text, user_id int, received_at timestamptz);
SELECT leadscore.track('shop.lines', lead_id => '''order:'' || order_id', kind => 'line', occurred_at => 'at', value => 'price');
CREATE VIEW names AS SELECT string_agg(format('%s %s%s', alias, lead_id, CASE WHEN NOT tracked THEN ' (identified)' END), ', ' ORDER BY alias COLLATE "C") AS names FROM leadscore.lead_alias;
-- lead: sum of its lines, and visits
CREATE VIEW sums AS SELECT string_agg(format('%s %s', lead_id, value), ', ' ORDER BY lead_id COLLATE "C") AS sums,
	(SELECT count(*) FROM leadscore.verify()) AS differences, (SELECT count(*) FROM leadscore_internal.pending_identity) AS waiting
FROM (SELECT t.lead_id, sum(e.value + CASE e.signal_id WHEN 2 THEN e.occurrences / 10.0 ELSE 0 END)::numeric(9, 1) AS value
	FROM leadscore.current_timeline t CROSS JOIN leadscore.timeline_entries(t.timeline) e GROUP BY 1) s;

-- what is missing is said, with the statement that makes it
SELECT leadscore.track_alias('shop.orders', NULL, 'customer_id');
SELECT leadscore.track_alias('shop.orders', 'id', NULL);
SELECT leadscore.track_alias('shop.orders', 'number', 'customer_id');
SELECT leadscore.track_alias('shop.orders', 'id + random()', 'customer_id');
SELECT leadscore.track_alias('shop.orders', 'id', 'customer_id', filter => 'state');
SELECT leadscore.track_alias('shop.orders', 'id', 'customer_id', latest_by => 'nothing');
\set VERBOSITY default
SELECT leadscore.track_alias('shop.orders', '''order:'' || id', '''customer:'' || customer_id');
CREATE INDEX ON shop.lines (('order:' || order_id));
SELECT leadscore.track_alias('shop.identifies', 'anonymous_id', '''customer:'' || user_id');
SELECT leadscore.track_alias('shop.identifies', 'anonymous_id', '''customer:'' || user_id', latest_by => 'received_at');
\set VERBOSITY terse
SELECT count(*) FROM leadscore.source WHERE feeds = 'alias';

-- existing rows, new ones, and changes of either side
INSERT INTO shop.orders VALUES (1, 1), (2, 1), (3, NULL);
INSERT INTO shop.lines VALUES (1, 1, DEFAULT, 5), (2, 1, DEFAULT, 6), (3, 2, DEFAULT, 7), (4, 3, DEFAULT, 8), (5, 9, DEFAULT, 9);
SELECT leadscore.track_alias('shop.orders', alias => '''order:'' || id', lead_id => '''customer:'' || customer_id', filter => 'state <> ''void''');
TABLE names; TABLE sums;
CREATE TABLE shop.payments (order_id int, at date, amount int);
SELECT leadscore.track('shop.payments', lead_id => '''order:'' || order_id', kind => 'payment', occurred_at => 'at', value => 'amount');
DROP TABLE shop.payments;
INSERT INTO shop.lines VALUES (6, 1, DEFAULT, 10);
INSERT INTO shop.orders VALUES (9, 2);
UPDATE shop.orders SET customer_id = 2 WHERE id = 1;
TABLE names; TABLE sums;
UPDATE shop.orders SET customer_id = 2 WHERE id = 3;
UPDATE shop.orders SET state = 'void' WHERE id = 2;
UPDATE shop.lines SET order_id = 1 WHERE id = 3;
DELETE FROM shop.orders WHERE id = 9;
TABLE names; TABLE sums;
UPDATE shop.orders SET state = 'paid';
-- two rows change places
UPDATE shop.orders SET customer_id = 3 - customer_id WHERE id IN (1, 2);
TABLE names; TABLE sums;
-- a row that its expression fails for, or that names itself, says nothing
INSERT INTO shop.orders VALUES (4, NULL), (5, 5);
SELECT leadscore.fold() > 0 AS folded;
TABLE names; TABLE sums;

-- chains, changed in the middle
SELECT leadscore.track_alias('shop.customers', alias => '''customer:'' || id', lead_id => '''account:'' || account');
INSERT INTO shop.customers VALUES (1, 'a@x', 1), (2, 'b@x', 1);
TABLE names; TABLE sums;
UPDATE shop.customers SET account = 2 WHERE id = 2;
TABLE names; TABLE sums;
DELETE FROM shop.customers WHERE id = 1;
TABLE names; TABLE sums;
SELECT leadscore.fold() >= 0 AS folded;
TABLE names; TABLE sums;

-- several rows of an alias: the latest counts, whatever its type
CREATE INDEX ON shop.identifies (anonymous_id);
SELECT leadscore.track_alias('shop.identifies', 'anonymous_id', '''customer:'' || user_id', latest_by => 'received_at');
INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('v', 'visit', '2026-01-01');
INSERT INTO shop.identifies VALUES ('v', 1, '2026-01-02'), ('v', 2, '2026-01-01'), ('v', 3, NULL);
TABLE names; TABLE sums;
DELETE FROM shop.identifies WHERE user_id = 1;
TABLE names; TABLE sums;
DELETE FROM shop.identifies WHERE user_id = 2;
TABLE names; TABLE sums;
CREATE TABLE shop.latest (n int, i bigint, num numeric, f float8, t text, d date, u uuid);
INSERT INTO shop.latest VALUES (1, -5, '-Infinity', '-Infinity', '', '1969-12-31', '00000000-0000-0000-0000-000000000001'), (2, 0, -12000, -2.5, 'a', '1970-01-01', '0fffffff-0000-0000-0000-000000000001'),
	(3, 3, -11999.5, -0.5, 'ab', '1970-01-02', '10000000-0000-0000-0000-000000000001'), (4, 20, -0.02, 0, 'b', '2026-01-01', '90000000-0000-0000-0000-000000000001'),
	(5, 100, 0, 1e-9, 'ba', '2026-01-02', 'a0000000-0000-0000-0000-000000000001'), (6, 9223372036854775807, 0.0019, 3, 'é', 'infinity', 'f0000000-0000-0000-0000-000000000001'),
	(7, NULL, 0.002, 'NaN', NULL, NULL, NULL), (8, NULL, 9.99, NULL, NULL, NULL, NULL), (9, NULL, 10, NULL, NULL, NULL, NULL), (10, NULL, 'NaN', NULL, NULL, NULL, NULL);
CREATE FUNCTION latest_in_order(type text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	RETURN (SELECT string_agg(a.lead_id, ' ' ORDER BY a.latest COLLATE "C") = (SELECT string_agg(n::text, ' ' ORDER BY n) FROM shop.latest l WHERE to_jsonb(l) ->> type IS NOT NULL)
		FROM leadscore_internal.alias_rows('shop.latest', jsonb_build_object('alias', 't2', 'lead_id', 'n', 'latest_by', type)) a WHERE a.latest IS NOT NULL);
END $$;
ALTER TABLE shop.latest ADD t2 text DEFAULT 'x';
SELECT c, latest_in_order(c) FROM unnest('{i,num,f,t,d,u}'::text[]) c;

-- rows that coincide all the same
SELECT leadscore.track_alias('shop.customers', alias => 'lower(email)', lead_id => '''customer:'' || id');
INSERT INTO shop.customers VALUES (7, 'N@x', NULL), (8, 'n@x', NULL);
SELECT lead_id FROM leadscore.lead_alias WHERE alias = 'n@x';
DELETE FROM shop.customers WHERE id = 7;
SELECT lead_id FROM leadscore.lead_alias WHERE alias = 'n@x';
DELETE FROM shop.customers WHERE id = 8;

-- a name whose path leads through one that has lost its edge, and is settled only before the commit, does not wait
INSERT INTO shop.customers VALUES (30, NULL, 31);
BEGIN;
DELETE FROM shop.customers WHERE id = 30;
INSERT INTO shop.orders VALUES (30, 30);
SELECT a.lead_id, (SELECT count(*) FROM leadscore_internal.pending_identity) AS waiting FROM leadscore.lead_alias a WHERE a.alias = 'order:30';
ROLLBACK;
DELETE FROM shop.customers WHERE id = 30;

-- a circle is told of, and mended
INSERT INTO shop.customers VALUES (20, NULL, 21);
SELECT leadscore.track_alias('shop.identifies', 'user_id', 'anonymous_id', latest_by => 'received_at');
CREATE INDEX ON shop.identifies (user_id);
SELECT leadscore.track_alias('shop.identifies', 'user_id', 'anonymous_id', latest_by => 'received_at');
INSERT INTO shop.identifies VALUES ('account:21', 20, '2026-01-03');
TABLE names; TABLE sums;
UPDATE shop.customers SET account = 2 WHERE id = 20;
TABLE names; TABLE sums;
DELETE FROM shop.identifies WHERE user_id = 20;
DELETE FROM shop.customers WHERE id = 20;
SELECT leadscore.untrack('shop.identifies', trigger_prefix) FROM leadscore.source WHERE source = 'shop.identifies'::regclass AND alias = 'user_id';

-- identify() wins; what is tracked cannot be taken away
SELECT leadscore.unidentify('order:1');
SELECT leadscore.identify('order:1', 'boss');
UPDATE shop.orders SET customer_id = 5 WHERE id = 1;
TABLE names; TABLE sums;
SELECT leadscore.unidentify('order:1');
TABLE names; TABLE sums;
-- whom identify() makes an alias of an alias follows it
SELECT leadscore.identify('w', 'order:1'), leadscore.identify('x', 'customer:5');
UPDATE shop.orders SET customer_id = 6 WHERE id = 1;
INSERT INTO shop.customers VALUES (5, NULL, 7);
TABLE names; TABLE sums;
DELETE FROM shop.customers WHERE id = 5;
SELECT leadscore.unidentify('w'), leadscore.unidentify('x');
TABLE names; TABLE sums;

-- a table that is emptied and loaded again, in one transaction: leads whose rows say the same are not touched
CREATE TABLE before AS SELECT a.alias, a.xmin::text AS version FROM leadscore.lead_alias a;
BEGIN;
TRUNCATE shop.orders;
INSERT INTO shop.orders VALUES (1, 6), (2, 2), (3, 2), (5, 5);
COMMIT;
SELECT count(*) AS moved FROM leadscore.lead_alias a JOIN before b USING (alias) WHERE a.xmin::text <> b.version;
TABLE names; TABLE sums;
BEGIN;
DELETE FROM shop.orders;
INSERT INTO shop.orders VALUES (1, 6), (2, 1), (3, 2);
SAVEPOINT s;
TRUNCATE shop.orders;
ROLLBACK TO s;
COMMIT;
TABLE names; TABLE sums;

-- statements that read and write, triggers of the shop, and rollback
WITH o AS (INSERT INTO shop.orders VALUES (10, 1) RETURNING id) INSERT INTO shop.lines SELECT 10, o.id, '2026-01-01', 50 FROM o;
WITH o AS (UPDATE shop.orders SET customer_id = 2 WHERE id = 10 RETURNING id) UPDATE shop.lines l SET price = 51 FROM o WHERE l.order_id = o.id;
TABLE names; TABLE sums;
BEGIN;
DELETE FROM shop.orders WHERE id = 10;
UPDATE shop.orders SET customer_id = 9;
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
UPDATE shop.orders SET customer_id = 1 WHERE id = 10;
TABLE names; TABLE sums;
COMMIT;
TABLE names; TABLE sums;
BEGIN ISOLATION LEVEL SERIALIZABLE;
UPDATE shop.orders SET customer_id = 2 WHERE id = 10;
INSERT INTO shop.orders VALUES (11, 1);
COMMIT;
TABLE names; TABLE sums;
SELECT object, name, state FROM leadscore.status;
SELECT leadscore.fold() >= 0 AS folded;
TABLE names; TABLE sums;
DELETE FROM shop.orders WHERE id > 9;
DELETE FROM shop.lines WHERE order_id > 9;

-- triggers that were disabled: verify() sees it, rebuild() mends it
ALTER TABLE shop.orders DISABLE TRIGGER ALL;
UPDATE shop.orders SET customer_id = 8 WHERE id = 1;
DELETE FROM shop.orders WHERE id = 2;
INSERT INTO shop.orders VALUES (6, 8);
ALTER TABLE shop.orders ENABLE TRIGGER ALL;
SELECT lead_id FROM leadscore.verify() ORDER BY 1;
CALL leadscore.rebuild();
TABLE names; TABLE sums;

-- partitions come and go
CREATE TABLE shop.seen (visitor text, customer_id int, at date) PARTITION BY RANGE (at);
CREATE TABLE shop.seen_1 PARTITION OF shop.seen FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE shop.seen_2 (visitor text, customer_id int, at date);
CREATE INDEX ON shop.seen (visitor);
CREATE INDEX ON shop.seen_2 (visitor);
SELECT leadscore.track_alias('shop.seen', 'visitor', '''customer:'' || customer_id', latest_by => 'at');
INSERT INTO shop.seen VALUES ('v2', 1, '2026-01-01');
INSERT INTO shop.seen_1 VALUES ('v2', 2, '2026-01-02');
INSERT INTO shop.seen_2 VALUES ('v2', 3, '2026-02-02');
SELECT lead_id FROM leadscore.lead_alias WHERE alias = 'v2';
ALTER TABLE shop.seen ATTACH PARTITION shop.seen_2 FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
SELECT lead_id FROM leadscore.lead_alias WHERE alias = 'v2';
ALTER TABLE shop.seen DETACH PARTITION shop.seen_2;
SELECT lead_id FROM leadscore.lead_alias WHERE alias = 'v2';
TRUNCATE shop.seen;
SELECT count(*) FROM leadscore.lead_alias WHERE alias = 'v2';
TABLE sums;

-- swapped, dropped
INSERT INTO shop.seen VALUES ('v2', 1, '2026-01-01');
CREATE TABLE shop.new_orders (LIKE shop.orders INCLUDING ALL);
INSERT INTO shop.new_orders SELECT id, CASE id WHEN 1 THEN 9 ELSE customer_id END FROM shop.orders;
BEGIN;
ALTER TABLE shop.orders RENAME TO old_orders;
ALTER TABLE shop.new_orders RENAME TO orders;
SELECT leadscore.retrack('shop.orders');
COMMIT;
DROP TABLE shop.seen, shop.old_orders;
TABLE names; TABLE sums;

-- a person is forgotten
SELECT * FROM leadscore.forget('order:1') WHERE source = 'leadscore.lead_alias'::regclass;
TABLE names; TABLE sums;
SELECT * FROM leadscore.forget('order:1', tracked => true) WHERE source::text ~ 'shop|lead_alias';
TABLE names; TABLE sums;

SELECT leadscore.untrack('shop.orders'), leadscore.untrack('shop.customers'), leadscore.untrack('shop.identifies');
TABLE names; TABLE sums;
SELECT count(*) FROM leadscore_internal.alias_edge;

-- how the rows of an alias are found follows the table: its index, its children, its name
CREATE SCHEMA kept;
CREATE TABLE kept.lines (n int, at date DEFAULT '2026-01-01', price int);
CREATE INDEX of_part ON kept.lines (('part:' || 100 / n));
CREATE TABLE kept.parts (id int PRIMARY KEY, customer_id int);
SELECT leadscore.track('kept.lines', lead_id => '''part:'' || 100 / n', kind => 'line', occurred_at => 'at', value => 'price');
SELECT leadscore.track_alias('kept.parts', alias => '''part:'' || id', lead_id => '''customer:'' || customer_id');
INSERT INTO kept.lines VALUES (1, DEFAULT, 3), (2, DEFAULT, 4);
INSERT INTO kept.parts VALUES (100, 1), (50, 2);
UPDATE kept.parts SET customer_id = 3;
TABLE sums;
-- a row that the expression fails for, since the index is gone
DROP INDEX kept.of_part;
INSERT INTO kept.lines VALUES (0, DEFAULT, 5);
UPDATE kept.parts SET customer_id = 4;
TABLE sums;
-- (a row that is deleted is read by CREATE INDEX while others may see it)
CREATE TABLE kept.copy AS SELECT * FROM kept.lines WHERE n <> 0;
TRUNCATE kept.lines;
INSERT INTO kept.lines TABLE kept.copy;
CREATE INDEX of_part ON kept.lines (('part:' || 100 / n));
UPDATE kept.parts SET customer_id = 5;
-- another such row in a child
CREATE TABLE kept.more_lines () INHERITS (kept.lines);
INSERT INTO kept.more_lines VALUES (0, DEFAULT, 5), (1, DEFAULT, 6);
UPDATE kept.parts SET customer_id = 6;
TABLE sums;
DROP TABLE kept.more_lines;
UPDATE kept.parts SET customer_id = 7;
-- another table of the old name
ALTER SCHEMA kept RENAME TO renamed;
CREATE SCHEMA kept;
CREATE TABLE kept.lines (n int, at date DEFAULT '2026-01-01', price int);
CREATE INDEX ON kept.lines (('part:' || 100 / n));
INSERT INTO kept.lines VALUES (1, DEFAULT, 1000);
UPDATE renamed.parts SET customer_id = 8;
TABLE sums;
-- another type
ALTER TABLE renamed.lines ALTER n TYPE bigint;
UPDATE renamed.parts SET customer_id = 9;
TABLE sums;
SELECT leadscore.untrack('renamed.parts'), leadscore.untrack('renamed.lines');
SELECT count(*) FROM leadscore_internal.alias_edge;

-- A statement that is a transaction by itself adds to the row of an alias's lead, once, whatever names it has of it,
-- and appends nothing. One of a transaction block appends, as it could not keep the aliases as they are until that
-- ends.
CREATE SCHEMA direct;
CREATE TABLE direct.lines (name text, at date DEFAULT '2026-01-01', price int);
CREATE INDEX ON direct.lines (name);
CREATE TABLE direct.orders (name text PRIMARY KEY, customer text);
SELECT leadscore.track('direct.lines', lead_id => 'name', kind => 'line', occurred_at => 'at', value => 'price');
SELECT leadscore.track_alias('direct.orders', alias => 'name', lead_id => 'customer');
INSERT INTO direct.orders SELECT 'o' || i, 'c' || i % 7 FROM generate_series(1, 400) i;
SELECT leadscore.fold() >= 0 AS folded;
TRUNCATE leadscore.pending_delta;
CREATE VIEW direct.state AS
SELECT (SELECT sum(e.value) FROM leadscore.lead_timeline t CROSS JOIN leadscore.timeline_entries(t.timeline) e WHERE t.lead_id ~ '^[co][0-9]') AS in_rows,
	(SELECT count(*) FROM leadscore.pending_delta) AS pending, pg_relation_size('leadscore.pending_delta') > 0 AS appended, (SELECT count(*) FROM leadscore.verify()) AS differences;
-- few names, of a lead and of its aliases; many, of which some are no aliases; all of them, far apart
INSERT INTO direct.lines VALUES ('o1', DEFAULT, 1), ('c1', DEFAULT, 1), ('o8', '2026-01-02', 1), ('o15', DEFAULT, 1), ('o500', DEFAULT, 1);
INSERT INTO direct.lines SELECT 'o' || i, '2026-01-01', 1 FROM generate_series(1, 1000) i;
INSERT INTO direct.lines SELECT 'o' || i, '2026-01-01', 1 FROM generate_series(1, 4000, 11) i;
UPDATE direct.lines SET name = 'o' || price + 1, price = 2 WHERE name IN ('o1', 'c1');
UPDATE direct.lines SET name = 'o' || 1 + substr(name, 2)::int WHERE name ~ 'o[1-9]';
DELETE FROM direct.lines WHERE name = 'o8';
TABLE direct.state;
BEGIN;
INSERT INTO direct.lines VALUES ('o1', DEFAULT, 1);
TABLE direct.state;
COMMIT;
TABLE direct.state;
DO $$
BEGIN
	INSERT INTO direct.lines VALUES ('o1', DEFAULT, 1);
	ASSERT EXISTS (SELECT FROM leadscore.pending_delta);
END $$;
-- but a transaction that has made the alias keeps it anyway
TRUNCATE leadscore.pending_delta;
BEGIN;
INSERT INTO direct.orders VALUES ('o9999', 'c1');
INSERT INTO direct.lines VALUES ('o9999', DEFAULT, 1);
TABLE direct.state;
UPDATE direct.orders SET customer = 'c2' WHERE name = 'o9999';
TABLE direct.state;
COMMIT;
SELECT leadscore.fold() >= 0 AS folded;
TABLE direct.state;
SELECT leadscore.untrack('direct.orders'), leadscore.untrack('direct.lines');

-- many at once: names of which some have edges, timelines, or aliases of their own, beside others that lie between them
CREATE SCHEMA many;
CREATE TABLE many.visits (name text, at date DEFAULT '2026-01-01');
CREATE INDEX ON many.visits (name);
CREATE TABLE many.first (name text PRIMARY KEY, lead_id text);
CREATE TABLE many.second (name text PRIMARY KEY, lead_id text);
SELECT leadscore.track('many.visits', lead_id => 'name', kind => 'visit', occurred_at => 'at');
SELECT leadscore.track_alias('many.first', alias => 'name', lead_id => 'lead_id');
SELECT leadscore.track_alias('many.second', alias => 'name', lead_id => 'lead_id');
-- names that count for others than they did before, and rows that lead_timeline has under an alias
CREATE VIEW wrong AS
WITH RECURSIVE edge AS (SELECT name, min(lead_id COLLATE "C") AS lead_id FROM (TABLE many.first UNION ALL TABLE many.second) e GROUP BY 1),
	way AS (SELECT name, lead_id FROM edge UNION ALL SELECT w.name, e.lead_id FROM way w JOIN edge e ON e.name = w.lead_id),
	finish AS (SELECT name, lead_id FROM way w WHERE NOT EXISTS (SELECT FROM edge e WHERE e.name = w.lead_id))
SELECT (SELECT count(*) FROM (TABLE finish EXCEPT ALL SELECT alias, lead_id FROM leadscore.lead_alias) d) AS missing,
	(SELECT count(*) FROM (SELECT alias, lead_id FROM leadscore.lead_alias EXCEPT ALL TABLE finish) d) AS surplus,
	(SELECT count(*) FROM leadscore.verify()) AS differences;
INSERT INTO many.visits SELECT 'n' || i FROM generate_series(1, 12000, 5) i;
INSERT INTO many.first SELECT 'n' || i, 'to' || i % 10 FROM generate_series(1, 12000, 7) i;
INSERT INTO many.first SELECT 'm' || i, 'n' || i FROM generate_series(1, 12000, 11) i;
INSERT INTO many.second SELECT 'n' || i, 'to' || i % 9 FROM generate_series(1, 12000) i WHERE i % 7 <> 1;
TABLE wrong;
DELETE FROM many.second WHERE length(name) = 4;
UPDATE many.second SET lead_id = 'p' || name WHERE name LIKE '%9';
TABLE wrong;
SET client_min_messages = error;
INSERT INTO many.second SELECT 'n' || i, 'p' || i FROM generate_series(1, 12000) i ON CONFLICT (name) DO UPDATE SET lead_id = excluded.lead_id;
SET client_min_messages = warning;
TABLE wrong;

-- what others have made of our tables is seen to, and rules of derive() learn of names
CREATE TABLE many.seen (n bigint);
CREATE FUNCTION many.see() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO many.seen SELECT count(*) FROM new_rows; RETURN NULL; END';
CREATE TRIGGER see AFTER INSERT ON leadscore.lead_alias REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION many.see();
ALTER TABLE leadscore_internal.alias_edge ADD CHECK (alias <> 'refused');
INSERT INTO many.first VALUES ('extra', 'to1'), ('extra2', 'to2');
DROP TRIGGER see ON leadscore.lead_alias;
INSERT INTO many.first VALUES ('refused', 'to1');
ALTER TABLE leadscore_internal.alias_edge DROP CONSTRAINT alias_edge_alias_check;
CREATE UNIQUE INDEX of_others ON leadscore.lead_alias (lower(alias)) WHERE alias LIKE 'x%';
INSERT INTO many.first VALUES ('x', 'to1'), ('y', 'to2');
TABLE wrong;
INSERT INTO many.first VALUES ('X', 'to1'), ('xa', 'to1');
INSERT INTO many.first VALUES ('xA', 'to1');
DROP INDEX leadscore.of_others;
TABLE many.seen;
INSERT INTO leadscore.derivation (derivation, behaviour) VALUES ('come again', 'returned_visit');
SELECT count(*) FROM leadscore_internal.changed_lead WHERE lead_id IN ('z', 'to3');
INSERT INTO many.first VALUES ('z', 'to3');
SELECT count(*) FROM leadscore_internal.changed_lead WHERE lead_id IN ('z', 'to3');
SELECT leadscore.untrack('many.first'), leadscore.untrack('many.second'), leadscore.untrack('many.visits');
SELECT count(*) FROM leadscore_internal.alias_edge;

-- an index that is dropped afterwards
CREATE SCHEMA bare;
CREATE TABLE bare.lines (order_id int, at date);
CREATE INDEX of_order ON bare.lines (('order:' || order_id));
CREATE TABLE bare.orders (id int PRIMARY KEY, customer_id int);
CREATE TABLE bare.seen (visitor text, customer_id int, at date);
CREATE INDEX of_visitor ON bare.seen (visitor);
SELECT leadscore.track('bare.lines', lead_id => '''order:'' || order_id', kind => 'line', occurred_at => 'at');
DROP INDEX bare.of_order;
SELECT name, state, action FROM leadscore.status WHERE name LIKE 'bare%';
CREATE INDEX of_order ON bare.lines (('order:' || order_id));
SELECT leadscore.track_alias('bare.orders', alias => '''order:'' || id', lead_id => '''customer:'' || customer_id');
SELECT leadscore.track_alias('bare.seen', 'visitor', '''customer:'' || customer_id', latest_by => 'at');
SELECT name, state, action FROM leadscore.status WHERE name LIKE 'bare%';
DROP INDEX bare.of_order, bare.of_visitor;
ALTER TABLE bare.orders DROP CONSTRAINT orders_pkey;
\x on
SELECT name, state, action FROM leadscore.status WHERE name LIKE 'bare%';
\x off
SELECT action || ';' FROM leadscore.status WHERE name LIKE 'bare%' AND action LIKE 'CREATE INDEX%' \gexec
SELECT name FROM leadscore.status WHERE name LIKE 'bare%';
-- it still counts
INSERT INTO bare.lines VALUES (1, '2026-01-01');
INSERT INTO bare.orders VALUES (1, 1);
UPDATE bare.orders SET customer_id = 2;
SELECT alias, lead_id FROM leadscore.lead_alias;
SELECT count(*) FROM leadscore.verify();
SELECT leadscore.untrack('bare.orders'), leadscore.untrack('bare.seen'), leadscore.untrack('bare.lines');

-- a name is never identified with itself, whatever rows say of it
CREATE TABLE bare.account (guest text PRIMARY KEY, account text);
SELECT leadscore.track_alias('bare.account', alias => 'guest', lead_id => 'account');
INSERT INTO bare.account VALUES ('c', 'a');
\set VERBOSITY terse
SELECT leadscore.identify('c', 'c');
DELETE FROM bare.account;
SELECT leadscore.identify('a', 'c');
INSERT INTO bare.account VALUES ('c', 'a');
SELECT leadscore.identify('c', 'a');
\set VERBOSITY default
SELECT alias, lead_id, identified FROM leadscore_internal.alias_edge WHERE alias IN ('a', 'c') ORDER BY 1, 2, 3;
SELECT leadscore_internal.aliases_differ();
SELECT * FROM leadscore.verify();
