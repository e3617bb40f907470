# Every way that PostgreSQL has of changing rows, on tables of every shape. verify() is asked after each.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use Test::More;
use Workload;

my $node = new_node('main', allows_streaming => 'logical');
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE shop');
$node->safe_psql('shop', q{
	CREATE EXTENSION leadscore;
	INSERT INTO leadscore.signal (signal, kind) VALUES ('visit', 'visit'), ('order', 'order'), ('refund', 'refund');
	INSERT INTO leadscore.signal (signal, match) VALUES ('blue', '{"colour": "blue"}'), ('long', '{"length": 5}');
	CREATE SCHEMA shop});

# Run statements; timelines equal events afterwards.
sub right
{
	my ($name, $command) = @_;
	my ($status, undef, $error) = $node->psql('shop', $command, on_error_stop => 1);

	is($status, 0, "$name: the statements succeed") or diag($error);
	return is($node->safe_psql('shop', $Workload::differences), '', "$name: timelines equal events");
}
# They differ, as is documented; a rebuild mends it.
sub mended
{
	my ($name, $command) = @_;

	$node->safe_psql('shop', $command);
	isnt($node->safe_psql('shop', 'SELECT count(*) FROM leadscore.verify()'), '0', "$name: verify() finds it");
	$node->safe_psql('shop', 'CALL leadscore.rebuild()');
	is($node->safe_psql('shop', $Workload::differences), '', "$name: rebuild() mends it");
}

# ---------- partitions ----------

right('a partitioned source', q{
	CREATE TABLE shop.v (lead text, day date, kind text DEFAULT 'visit', p jsonb) PARTITION BY RANGE (day);
	CREATE TABLE shop.v1 PARTITION OF shop.v FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
	CREATE TABLE shop.v2 PARTITION OF shop.v FOR VALUES FROM ('2026-02-01') TO ('2026-03-01') PARTITION BY HASH (lead);
	CREATE TABLE shop.v2a PARTITION OF shop.v2 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
	CREATE TABLE shop.v2b PARTITION OF shop.v2 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
	INSERT INTO shop.v SELECT 'l' || i % 7, date '2026-01-01' + i FROM generate_series(0, 57) i;
	SELECT leadscore.track('shop.v', lead_id => 'lead', kind_column => 'kind', occurred_at => 'day', properties => '{p}')});
right('rows through the parent', q{INSERT INTO shop.v SELECT 'l' || i % 7, date '2026-01-01' + i FROM generate_series(0, 57) i});
right('rows into leaves and between', q{INSERT INTO shop.v1 VALUES ('m', '2026-01-02'); INSERT INTO shop.v2 VALUES ('m', '2026-02-02'), ('n', '2026-02-02'); INSERT INTO shop.v2a SELECT * FROM shop.v2a});
right('rows that move between partitions', q{UPDATE shop.v SET day = day + 31 WHERE day < '2026-01-20'; UPDATE shop.v2 SET lead = lead || 'x'; UPDATE shop.v SET day = '2026-01-31' WHERE lead LIKE 'm%'});
right('rows that go', q{DELETE FROM shop.v WHERE lead = 'l1'; DELETE FROM shop.v1 WHERE lead = 'l2'; DELETE FROM shop.v2 WHERE lead = 'l3x'});
right('a new partition, a default', q{CREATE TABLE shop.v3 PARTITION OF shop.v FOR VALUES FROM ('2026-03-01') TO ('2026-04-01'); CREATE TABLE shop.vd PARTITION OF shop.v DEFAULT;
	INSERT INTO shop.v3 VALUES ('n', '2026-03-01'); INSERT INTO shop.vd VALUES ('n', '2027-03-01'); INSERT INTO shop.v VALUES ('n', '2026-03-01'), ('n', '2027-03-01'), ('n', NULL)});
right('attached with rows, other order of columns, a dropped one', q{CREATE TABLE shop.v4 (dropped int, p jsonb, kind text, day date, lead text); ALTER TABLE shop.v4 DROP dropped;
	INSERT INTO shop.v4 VALUES ('{"colour": "blue"}', 'visit', '2026-04-02', 'o'); ALTER TABLE shop.v ATTACH PARTITION shop.v4 FOR VALUES FROM ('2026-04-01') TO ('2026-05-01');
	INSERT INTO shop.v4 VALUES (NULL, 'order', '2026-04-02', 'o'); INSERT INTO shop.v (lead, day, kind) VALUES ('o', '2026-04-03', 'refund'); UPDATE shop.v SET day = '2026-04-05' WHERE lead = 'n'});
right('a subtree attached', q{CREATE TABLE shop.v5 (LIKE shop.v) PARTITION BY LIST (lead); CREATE TABLE shop.v5a PARTITION OF shop.v5 DEFAULT; INSERT INTO shop.v5 VALUES ('q', '2026-05-01', 'visit');
	ALTER TABLE shop.v ATTACH PARTITION shop.v5 FOR VALUES FROM ('2026-05-01') TO ('2026-06-01'); INSERT INTO shop.v5 VALUES ('q', '2026-05-01', 'visit'); INSERT INTO shop.v5a VALUES ('q', '2026-05-01', 'visit')});
right('a partition made in the subtree', q{CREATE TABLE shop.v5b PARTITION OF shop.v5 FOR VALUES IN ('r'); INSERT INTO shop.v5b VALUES ('r', '2026-05-01', 'visit')});
right('detached', q{ALTER TABLE shop.v DETACH PARTITION shop.v1; INSERT INTO shop.v1 VALUES ('m', '2026-01-02')});
right('a subtree detached', q{ALTER TABLE shop.v DETACH PARTITION shop.v5; INSERT INTO shop.v5 VALUES ('q', '2026-05-01', 'visit'); INSERT INTO shop.v5a VALUES ('q', '2026-05-01', 'visit'); TRUNCATE shop.v5});
right('detached concurrently', q{DROP TABLE shop.vd; CALL leadscore.rebuild(); ALTER TABLE shop.v DETACH PARTITION shop.v4 CONCURRENTLY; INSERT INTO shop.v4 VALUES (NULL, 'order', '2026-04-02', 'o')});
right('attached again', q{ALTER TABLE shop.v ATTACH PARTITION shop.v1 FOR VALUES FROM ('2026-01-01') TO ('2026-02-01'); INSERT INTO shop.v1 VALUES ('m', '2026-01-03')});
right('truncated: a leaf, a level, all', q{TRUNCATE shop.v1; TRUNCATE shop.v2; INSERT INTO shop.v VALUES ('z', '2026-02-02'), ('z', '2026-03-02'); TRUNCATE shop.v; INSERT INTO shop.v VALUES ('z', '2026-02-02')});
right('rolled back', q{BEGIN; ALTER TABLE shop.v DETACH PARTITION shop.v3; TRUNCATE shop.v; ROLLBACK; INSERT INTO shop.v3 VALUES ('y', '2026-03-03')});
right('a partition that is dropped', q{INSERT INTO shop.v3 VALUES ('gone', '2026-03-03'); DROP TABLE shop.v3});
is($node->safe_psql('shop', q{SELECT count(*) FROM leadscore.lead_timeline WHERE lead_id = 'gone'}), '0', '... and its rows with it');
right('a tracked table is attached to a tracked parent', q{CREATE TABLE shop.v6 (LIKE shop.v); SELECT leadscore.track('shop.v6', lead_id => 'lead', kind_column => 'kind', occurred_at => 'day');
	INSERT INTO shop.v6 VALUES ('six', '2026-06-01', 'visit'); DO $$BEGIN ALTER TABLE shop.v ATTACH PARTITION shop.v6 FOR VALUES FROM ('2026-06-01') TO ('2026-07-01'); END$$;
	INSERT INTO shop.v6 VALUES ('six', '2026-06-02', 'visit'); INSERT INTO shop.v SELECT 'six', '2026-06-02', 'visit' WHERE EXISTS (SELECT FROM pg_inherits WHERE inhrelid = 'shop.v6'::regclass)});
is($node->safe_psql('shop', q{SELECT timeline::text LIKE '%2026-06-01T00Z 1, 2026-06-02T00Z 2%' FROM leadscore.lead_timeline WHERE lead_id = 'six'}), 't', '... and counts once');
$node->safe_psql('shop', q{DELETE FROM shop.v WHERE lead = 'six'});
is($node->safe_psql('shop', q{SELECT count(*) FROM leadscore.source WHERE source = 'shop.v6'::regclass}), '0', '... through its parent');

# Somebody begins, another tracks the parent, the first attaches.
$node->safe_psql('shop', q{CREATE TABLE shop.w (LIKE shop.v) PARTITION BY RANGE (day); CREATE TABLE shop.w1 (LIKE shop.v); INSERT INTO shop.w1 VALUES ('early', '2026-01-01', 'visit')});
for my $level ('REPEATABLE READ', 'SERIALIZABLE', 'READ COMMITTED')
{
	my $session = $node->background_psql('shop', on_error_stop => 0);

	$session->query_safe("BEGIN ISOLATION LEVEL $level; SELECT count(*) FROM shop.w1");
	$node->safe_psql('shop', q{SELECT leadscore.track('shop.w', lead_id => 'lead', kind_column => 'kind', occurred_at => 'day')});
	$session->query(q{ALTER TABLE shop.w ATTACH PARTITION shop.w1 FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')});
	is($session->query('SELECT 1'), $level eq 'READ COMMITTED' ? '1' : '', "a partition is attached at $level where track() has come between");
	$session->query('COMMIT');
	$session->quit;
	right('... and nothing is missed', $level eq 'READ COMMITTED' ? 'SELECT 1' : q{SELECT leadscore.untrack('shop.w')});
}
right('tables that are dropped at once', q{DROP TABLE shop.v, shop.w1, shop.w});
is($node->safe_psql('shop', 'SELECT count(*) FROM leadscore.lead_timeline'), '0', '... leave nothing');

# ---------- inheritance ----------

right('inheritance', q{
	CREATE TABLE shop.p (lead text, at timestamptz DEFAULT '2026-01-01'); CREATE TABLE shop.c (extra int) INHERITS (shop.p); CREATE TABLE shop.g () INHERITS (shop.c);
	INSERT INTO shop.g VALUES ('g'); SELECT leadscore.track('shop.p', lead_id => 'lead', kind => 'visit', occurred_at => 'at');
	INSERT INTO shop.p VALUES ('p'); INSERT INTO shop.c VALUES ('c'); INSERT INTO shop.g VALUES ('g'); UPDATE shop.p SET lead = lead || '2'; UPDATE shop.c SET lead = lead || '3'; UPDATE ONLY shop.p SET lead = 'only'; DELETE FROM shop.c WHERE lead LIKE 'c%'});
right('children that come and go', q{CREATE TABLE shop.k (at timestamptz DEFAULT '2026-01-01', lead text); INSERT INTO shop.k (lead) VALUES ('k'); ALTER TABLE shop.k INHERIT shop.p; INSERT INTO shop.k (lead) VALUES ('k'), ('k');
	UPDATE shop.p SET lead = 'k2' WHERE lead = 'k'; ALTER TABLE shop.g NO INHERIT shop.c; INSERT INTO shop.g (lead) VALUES ('g')});
right('truncate only the parent, then all', q{TRUNCATE ONLY shop.p; INSERT INTO shop.p VALUES ('p'); TRUNCATE shop.p});
right('a child of two sources is refused', q{CREATE TABLE shop.p2 (lead text, at timestamptz DEFAULT '2026-01-01'); SELECT leadscore.track('shop.p2', lead_id => 'lead', kind => 'visit', occurred_at => 'at');
	DO $$BEGIN CREATE TABLE shop.both () INHERITS (shop.p, shop.p2); RAISE 'made'; EXCEPTION WHEN feature_not_supported THEN NULL; END$$});
right('... also when the second is tracked later', q{SELECT leadscore.untrack('shop.p2'); CREATE TABLE shop.both () INHERITS (shop.p, shop.p2); INSERT INTO shop.both VALUES ('b'); UPDATE shop.p2 SET lead = lead;
	DO $$BEGIN PERFORM leadscore.track('shop.p2', lead_id => 'lead', kind => 'visit', occurred_at => 'at'); RAISE 'tracked'; EXCEPTION WHEN feature_not_supported THEN NULL; END$$});
right('a child that is dropped', q{INSERT INTO shop.k (lead) VALUES ('k'); DROP TABLE shop.k});
right('parents that are dropped', q{DROP TABLE shop.p, shop.p2, shop.g CASCADE});
right('a source that is dropped', q{CREATE TABLE shop.d (lead text, at timestamptz DEFAULT '2026-01-01'); SELECT leadscore.track('shop.d', lead_id => 'lead', kind => 'visit', occurred_at => 'at'); INSERT INTO shop.d VALUES ('d'); DROP TABLE shop.d});
is($node->safe_psql('shop', 'SELECT count(*) FROM leadscore.lead_timeline'), '0', '... leaves nothing');

# ---------- foreign partitions ----------

# A statement with triggers like ours fails on them.
$node->safe_psql('shop', q{CREATE EXTENSION postgres_fdw; CREATE SERVER elsewhere FOREIGN DATA WRAPPER postgres_fdw; CREATE TABLE shop.f (lead text, at timestamptz DEFAULT '2026-01-01') PARTITION BY LIST (lead);
	CREATE TABLE shop.f1 PARTITION OF shop.f FOR VALUES IN ('here'); CREATE FOREIGN TABLE shop.f2 PARTITION OF shop.f FOR VALUES IN ('there') SERVER elsewhere});
my $track = q{SELECT leadscore.track('shop.f', lead_id => 'lead', kind => 'visit', occurred_at => 'at')};
like(($node->psql('shop', $track))[2], qr/cannot have the foreign table shop.f2/, 'a table with a foreign partition is not tracked');
right('without it', "DROP FOREIGN TABLE shop.f2; $track; INSERT INTO shop.f VALUES ('here')");
like(($node->psql('shop', $_))[2], qr/cannot have the foreign table shop.f[23]/, "refused: $_")
  for q{CREATE FOREIGN TABLE shop.f2 PARTITION OF shop.f FOR VALUES IN ('there') SERVER elsewhere},
  q{CREATE FOREIGN TABLE shop.f3 (lead text, at timestamptz) SERVER elsewhere; ALTER TABLE shop.f ATTACH PARTITION shop.f3 FOR VALUES IN ('there')};
right('and the shop goes on', q{INSERT INTO shop.f VALUES ('here'); DROP TABLE shop.f; DROP FOREIGN TABLE shop.f3});

# ---------- dropped ----------

my $dropped = q{CREATE SCHEMA gone; CREATE TABLE gone.d (lead text PRIMARY KEY, at timestamptz DEFAULT '2026-01-01'); CREATE TABLE gone.other (lead text REFERENCES gone.d);
	SELECT leadscore.track('gone.d', lead_id => 'lead', kind => 'visit', occurred_at => 'at'), leadscore.track('gone.d', lead_id => 'lead', kind => 'order', occurred_at => 'at', maintenance => 'deferred');
	INSERT INTO gone.d VALUES ('d'), ('e'); SELECT leadscore.track_profile('gone.d', 'lead', '{lead}');};
my $nothing = q{DO $$BEGIN ASSERT (SELECT count(*) FROM leadscore.current_timeline) + (SELECT count(*) FROM leadscore.lead) = 0, 'something is left'; END$$};
right('a schema that is dropped', "$dropped DROP SCHEMA gone CASCADE; $nothing");
right('a table that is dropped, and the drop rolled back', "$dropped BEGIN; DROP TABLE gone.d CASCADE; $nothing; ROLLBACK; INSERT INTO gone.d VALUES ('f')");
isnt(($node->psql('shop', 'DROP TABLE gone.d'))[0], 0, 'a table that others refer to is not dropped');
right('... and still counts', q{INSERT INTO gone.d VALUES ('g')});
$node->safe_psql('shop', 'CREATE ROLE stranger; CREATE ROLE leaver; GRANT USAGE ON SCHEMA gone TO stranger');
like(($node->psql('shop', 'SET ROLE stranger; DROP TABLE gone.d CASCADE'))[2], qr/must be owner of table d/, 'nor by somebody who does not own it');
right('... and still counts', q{DROP TABLE IF EXISTS gone.nowhere, nowhere.d; DELETE FROM gone.d WHERE lead = 'g'});
right('what somebody owns is dropped', "ALTER TABLE gone.d OWNER TO leaver; DROP OWNED BY leaver CASCADE; $nothing; DROP SCHEMA gone CASCADE");

# ---------- names and columns ----------

right('awkward names', q{
	CREATE SCHEMA "My ""Shop""; DROP TABLE x";
	CREATE TYPE shop.colour AS ENUM ('blue', 'red');
	CREATE TABLE "My ""Shop""; DROP TABLE x"."Order's %s table" ("the lead's ""id""" varchar(20), "select" timestamp DEFAULT '2026-01-01', "%I" float4, "colour" shop.colour, "1" char(5), "length" int GENERATED ALWAYS AS (coalesce(length("1"), 5)) STORED);
	SELECT leadscore.track('"My ""Shop""; DROP TABLE x"."Order''s %s table"', lead_id => 'the lead''s "id"', kind => 'o''rder %s "x" \', occurred_at => 'select', value => '%I', properties => '{colour,length}');
	INSERT INTO leadscore.signal (signal, kind) VALUES ('awkward', 'o''rder %s "x" \');
	CALL leadscore.rebuild();
	INSERT INTO "My ""Shop""; DROP TABLE x"."Order's %s table" VALUES ('a', DEFAULT, 1.5, 'blue', 'x'), ('b', DEFAULT, 0.1, 'red', NULL), ('c', DEFAULT, NULL, NULL, '12345');
	UPDATE "My ""Shop""; DROP TABLE x"."Order's %s table" SET "%I" = 2.3, "1" = 'abcde'; DELETE FROM "My ""Shop""; DROP TABLE x"."Order's %s table" WHERE colour = 'red'});
right('columns that come and go', q{
	ALTER TABLE "My ""Shop""; DROP TABLE x"."Order's %s table" DROP "1" CASCADE, ADD added int DEFAULT 7;
	ALTER TABLE "My ""Shop""; DROP TABLE x"."Order's %s table" ADD length int DEFAULT 5;
	INSERT INTO "My ""Shop""; DROP TABLE x"."Order's %s table" ("the lead's ""id""", "length", added) VALUES ('d', 5, 1);
	ALTER TABLE "My ""Shop""; DROP TABLE x"."Order's %s table" RENAME TO "renamed";
	ALTER TABLE "My ""Shop""; DROP TABLE x"."renamed" SET SCHEMA shop;
	UPDATE shop.renamed SET added = 2; TRUNCATE shop.renamed; INSERT INTO shop.renamed ("the lead's ""id""") VALUES ('e')});
right('lead ids of many types', join '; ', map {
	my ($n, $type, @values) = @$_;
	"CREATE TABLE shop.t$n (lead $type, at timestamptz DEFAULT '2026-01-01'); SELECT leadscore.track('shop.t$n', lead_id => 'lead', kind => 'visit', occurred_at => 'at');"
	  . "SET TimeZone = 'Asia/Tokyo'; SET DateStyle = 'SQL, DMY'; SET IntervalStyle = 'iso_8601'; SET extra_float_digits = -3; SET bytea_output = 'escape';"
	  . join ';', map({ "INSERT INTO shop.t$n (lead) VALUES ('$_')" } @values), "UPDATE shop.t$n SET at = '2026-01-02'"
} ([ 1, 'int', 1, -5 ], [ 2, 'bigint', '-9223372036854775808' ], [ 3, 'smallint', 7 ], [ 4, 'numeric(9,2)', '1', '-2.50' ], [ 5, 'numeric', '1.500', 'NaN', '1e30' ], [ 6, 'uuid', '00000000-0000-0000-0000-00000000000A' ],
	[ 7, 'char(8)', 'x  ', '' ], [ 8, 'varchar(8)', 'x  ' ], [ 9, 'name', 'n' ], [ 10, 'bytea', '\x00ff41' ], [ 11, 'timestamptz', '2026-01-01 12:00' ], [ 12, 'date', '2026-02-01' ], [ 13, 'interval', '1 day 2 hours' ],
	[ 14, 'float8', '0.1', '1e-300' ], [ 15, 'inet', '10.0.0.1/8', '::1' ], [ 16, 'boolean', 't' ], [ 17, 'text[]', '{a,"b c"}' ], [ 18, 'shop.colour', 'blue' ], [ 19, 'tstzrange', '[2026-01-01,2026-02-01)' ], [ 20, 'oid', 5 ],
	[ 21, '"char"', 'c' ], [ 22, 'money', '12.50' ], [ 23, 'xml', '<a/>' ], [ 24, 'point', '(1,2.5)' ], [ 25, 'bit(3)', '101' ]));
right('a lead id whose text depends on the search path', q{CREATE TABLE shop.path (lead regclass, at timestamptz DEFAULT '2026-01-01');
	DO $$BEGIN PERFORM leadscore.track('shop.path', lead_id => 'lead', kind => 'visit', occurred_at => 'at'); EXCEPTION WHEN datatype_mismatch THEN NULL; END$$;
	SET search_path = shop; INSERT INTO path VALUES ('shop.path')});
$node->safe_psql('shop', 'DROP TABLE shop.path; CALL leadscore.rebuild()');

# ---------- statements ----------

$node->safe_psql('shop', q{
	CREATE TABLE shop.o (id int PRIMARY KEY, lead text, at timestamptz DEFAULT '2026-01-01', total numeric, colour text);
	CREATE TABLE shop.r (id int PRIMARY KEY, o int REFERENCES shop.o ON DELETE CASCADE ON UPDATE CASCADE, lead text, at timestamptz DEFAULT '2026-01-02');
	CREATE TABLE shop.n (o int REFERENCES shop.o ON DELETE SET NULL ON UPDATE SET NULL, lead text DEFAULT 'n', at timestamptz DEFAULT '2026-01-02');
	SELECT leadscore.track('shop.o', lead_id => 'lead', kind => 'order', occurred_at => 'at', value => 'total', properties => '{colour}');
	SELECT leadscore.track('shop.o', lead_id => 'colour', kind => 'visit', occurred_at => 'at', maintenance => 'deferred');
	SELECT leadscore.track('shop.r', lead_id => 'lead', kind => 'refund', occurred_at => 'at');
	SELECT leadscore.track('shop.n', lead_id => 'o', kind => 'refund', occurred_at => 'at')});
right('rows of a query', q{INSERT INTO shop.o SELECT i, 'l' || i % 5, '2026-01-01', i, CASE i % 3 WHEN 0 THEN 'blue' END FROM generate_series(1, 30) i; INSERT INTO shop.r SELECT i, i, 'l' || i % 4 FROM generate_series(1, 20) i; INSERT INTO shop.n SELECT i FROM generate_series(1, 20) i});
right('cascades', q{DELETE FROM shop.o WHERE id < 5; UPDATE shop.o SET id = id + 100 WHERE id < 10; DELETE FROM shop.o WHERE id > 105});
right('ON CONFLICT', q{INSERT INTO shop.o VALUES (12, 'x'), (200, 'y') ON CONFLICT (id) DO UPDATE SET lead = excluded.lead, total = 9; INSERT INTO shop.o VALUES (12, 'zz'), (201, 'z') ON CONFLICT DO NOTHING});
right('MERGE', q{MERGE INTO shop.o USING (VALUES (12, 'm'), (13, NULL), (300, 'new')) v (id, lead) ON o.id = v.id WHEN MATCHED AND v.lead IS NULL THEN DELETE WHEN MATCHED THEN UPDATE SET lead = v.lead WHEN NOT MATCHED THEN INSERT VALUES (v.id, v.lead)});
right('writable CTEs, two tables of one lead', q{
	WITH a AS (INSERT INTO shop.o VALUES (400, 'cte', DEFAULT, 1, 'blue') RETURNING lead), b AS (INSERT INTO leadscore.event (lead_id, kind, occurred_at) SELECT lead, 'visit', '2026-01-01' FROM a), c AS (UPDATE shop.r SET lead = 'cte' WHERE id = 15), d AS (DELETE FROM shop.o WHERE id = 14)
	SELECT * FROM a;
	WITH d AS (DELETE FROM shop.o WHERE id = 400 RETURNING *) INSERT INTO shop.o SELECT id + 1, lead, at, total, colour FROM d});
right('COPY', q{COPY shop.o (id, lead) FROM PROGRAM 'printf "500\tcopy\n501\tcopy\n502\t\\\\\\\\N\n"'});
right('a cursor', q{BEGIN; DECLARE c CURSOR FOR SELECT * FROM shop.o FOR UPDATE; MOVE 3 IN c; UPDATE shop.o SET lead = 'cursor' WHERE CURRENT OF c; DELETE FROM shop.o WHERE CURRENT OF c; COMMIT});
right('a view, a rule and a function that write', q{CREATE VIEW shop.view AS SELECT id, lead FROM shop.o; INSERT INTO shop.view VALUES (600, 'view'); UPDATE shop.view SET lead = 'view 2' WHERE id = 600;
	CREATE TABLE shop.in (id int, lead text); CREATE RULE r AS ON INSERT TO shop.in DO INSTEAD INSERT INTO shop.o VALUES (NEW.id, NEW.lead); INSERT INTO shop.in VALUES (601, 'rule');
	CREATE FUNCTION shop.f() RETURNS int LANGUAGE sql AS $$INSERT INTO shop.o VALUES (602, 'function'); SELECT 1$$; SELECT shop.f()});
right('triggers of the user\'s that change, skip and add rows', q{
	CREATE FUNCTION shop.before() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
		IF NEW.lead = 'skip' THEN RETURN NULL; END IF;
		NEW.lead := upper(NEW.lead); NEW.at := NEW.at + interval '5 days';
		INSERT INTO shop.r (id, lead) VALUES (1000 + NEW.id, NEW.lead) ON CONFLICT (id) DO UPDATE SET lead = excluded.lead || '+';
		RETURN NEW;
	END$$;
	CREATE TRIGGER before BEFORE INSERT OR UPDATE ON shop.o FOR EACH ROW EXECUTE FUNCTION shop.before();
	CREATE FUNCTION shop.after() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN UPDATE shop.o SET total = 5 WHERE id = NEW.id AND total IS NULL; RETURN NULL; END$$;
	CREATE TRIGGER a_row AFTER INSERT ON shop.o FOR EACH ROW EXECUTE FUNCTION shop.after();
	CREATE TRIGGER z_row AFTER INSERT ON shop.o FOR EACH ROW EXECUTE FUNCTION shop.after();
	INSERT INTO shop.o VALUES (700, 'skip'), (701, 'low'), (702, 'er'); UPDATE shop.o SET lead = 'new' WHERE id > 600; COPY shop.o (id, lead) FROM PROGRAM 'printf "703\tcopy\n704\tskip\n"';
	DROP TRIGGER before ON shop.o; DROP TRIGGER a_row ON shop.o; DROP TRIGGER z_row ON shop.o});
right('TRUNCATE CASCADE, with what pends', q{INSERT INTO shop.n (o) SELECT min(id) FROM shop.o; TRUNCATE shop.o CASCADE; INSERT INTO shop.o VALUES (1, 'again', DEFAULT, 1, 'blue'); SELECT leadscore.fold()});
is($node->safe_psql('shop', q{SELECT count(*) FROM leadscore.lead_timeline WHERE timeline OPERATOR(leadscore.=) '{}'::leadscore.timeline}), '0', 'no timeline is empty');
right('the event table in every column', q{INSERT INTO leadscore.event (lead_id, kind, occurred_at, value, properties, dedup_key) VALUES ('e', 'visit', '2026-01-01', 1, '{"colour": "blue"}', 'k'), ('f', 'order', '2026-01-01', 2, NULL, 'l');
	UPDATE leadscore.event SET lead_id = 'e2' WHERE dedup_key = 'k'; UPDATE leadscore.event SET kind = 'refund'; UPDATE leadscore.event SET occurred_at = occurred_at + interval '1 hour'; UPDATE leadscore.event SET value = NULL;
	UPDATE leadscore.event SET properties = '{"length": 5}'; UPDATE leadscore.event SET dedup_key = dedup_key || '2'; DELETE FROM leadscore.event WHERE lead_id = 'f'});
right('more rows than one batch has, spilled', q{SET work_mem = '64kB'; INSERT INTO leadscore.event (lead_id, kind, occurred_at, value, properties) SELECT 'many ' || i % 25000, 'visit', '2026-01-01', i, CASE WHEN i % 10 = 0 THEN '{"colour": "blue"}'::jsonb END FROM generate_series(1, 40000) i;
	UPDATE leadscore.event SET lead_id = lead_id || 'x' WHERE lead_id LIKE 'many 1%'; DELETE FROM leadscore.event WHERE lead_id LIKE 'many 2%'});
right('tracked once more, and no longer', q{SELECT leadscore.track('shop.o', lead_id => 'lead', kind => 'refund', occurred_at => 'at'); INSERT INTO shop.o VALUES (2, 'x'); SELECT leadscore.untrack('shop.o'); INSERT INTO shop.o VALUES (3, 'x'); DELETE FROM shop.o});
right('in a session that sets what dumps set', q{SET check_function_bodies = off; SET row_security = off; INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('settings', 'visit', '2026-01-01')});
$node->safe_psql('shop', 'CALL leadscore.rebuild()');
right('a temporary table is no source', q{CREATE TEMP TABLE t (lead text, at timestamptz DEFAULT '2026-01-01'); DO $$BEGIN PERFORM leadscore.track('t', lead_id => 'lead', kind => 'visit', occurred_at => 'at'); INSERT INTO t VALUES ('t'); EXCEPTION WHEN wrong_object_type THEN NULL; END$$;
	SELECT pg_sleep(0)});
$node->safe_psql('shop', 'CALL leadscore.rebuild()');

# ---------- PostgreSQL 19 ----------

if ($node->safe_psql('shop', 'SHOW server_version_num') >= 190000)
{
	right('ON CONFLICT DO SELECT', q{
		CREATE TABLE shop.once (id int PRIMARY KEY, lead text, at timestamptz DEFAULT '2026-01-01');
		SELECT leadscore.track('shop.once', lead_id => 'lead', kind => 'visit', occurred_at => 'at');
		INSERT INTO shop.once VALUES (1, 'selected'), (2, 'selected');
		INSERT INTO shop.once VALUES (2, 'other'), (3, 'selected') ON CONFLICT (id) DO SELECT RETURNING *;
		INSERT INTO shop.once VALUES (3, 'other'), (4, 'selected') ON CONFLICT (id) DO SELECT FOR UPDATE RETURNING *});
	is($node->safe_psql('shop', q{SELECT sum(e.occurrences) FROM leadscore.lead_timeline t, leadscore.timeline_entries(t.timeline) e WHERE t.lead_id = 'selected'}), '4', '... what is selected is not counted again');
	right('REPACK', q{REPACK shop.once; INSERT INTO shop.once VALUES (5, 'selected'); REPACK leadscore.lead_timeline; REPACK leadscore.event USING INDEX event_pkey;
		INSERT INTO shop.once VALUES (6, 'selected'); DELETE FROM shop.once WHERE id < 3});
	right('REPACK CONCURRENTLY', q{REPACK (CONCURRENTLY) shop.once; INSERT INTO shop.once VALUES (7, 'selected'); UPDATE shop.once SET lead = lead || '!'});
}

# ---------- aliases ----------

right('aliases, of aliases, and back', q{INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('v1', 'visit', '2026-01-01'), ('v2', 'visit', '2026-01-01'), ('l', 'visit', '2026-01-01');
	SELECT leadscore.identify('v2', 'v1'); SELECT leadscore.identify('v1', 'l'); INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('v1', 'order', '2026-01-01'), ('v2', 'order', '2026-01-01'), ('l', 'order', '2026-01-01'), ('v3', 'order', '2026-01-01')});
is($node->safe_psql('shop', q{SELECT string_agg(alias || '=' || lead_id, ' ' ORDER BY alias) FROM leadscore.lead_alias}), 'v1=l v2=l', 'aliases of an alias go with it');
right('given back', q{SELECT leadscore.unidentify('v1'); INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('v1', 'order', '2026-01-01'); SELECT leadscore.forget('v2'); INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('v2', 'order', '2026-01-01')});
for my $self ([ 'a', 'a' ], [ 'l', 'v4' ])
{
	my ($status, undef, $error) = $node->psql('shop', "SELECT leadscore.identify('v4', 'l'); SELECT leadscore.identify('$self->[0]', '$self->[1]')", on_error_stop => 1);
	like($error, qr/cannot be an alias of itself/, "no circle: $self->[0], $self->[1]");
}
is_true($node, 'aliases');

# ---------- what statement triggers cannot see ----------

mended('session_replication_role = replica', q{SET session_replication_role = replica; INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('replica', 'visit', '2026-01-01')});
mended('disabled triggers', q{ALTER TABLE shop.r DISABLE TRIGGER USER; INSERT INTO shop.r (id, lead) VALUES (5000, 'disabled'); ALTER TABLE shop.r ENABLE TRIGGER USER});
mended('an enum value that is renamed', q{INSERT INTO shop.t18 (lead) VALUES ('red'); ALTER TYPE shop.colour RENAME VALUE 'red' TO 'crimson'});

# Logical replication applies rows one by one, and fires no statement triggers.
{
	my $subscriber = new_node('subscriber');
	$subscriber->start;
	$subscriber->safe_psql('postgres', 'CREATE DATABASE shop');
	$subscriber->safe_psql('shop', q{CREATE EXTENSION leadscore; INSERT INTO leadscore.signal (signal, kind) VALUES ('visit', 'visit'), ('refund', 'refund'); CREATE SCHEMA shop;
		CREATE TABLE shop.l (id int PRIMARY KEY, lead text, at timestamptz DEFAULT '2026-01-01'); SELECT leadscore.track('shop.l', lead_id => 'lead', kind => 'visit', occurred_at => 'at')});
	$node->safe_psql('shop', q{CREATE TABLE shop.l (id int PRIMARY KEY, lead text, at timestamptz DEFAULT '2026-01-01'); INSERT INTO shop.l VALUES (1, 'a'); CREATE PUBLICATION p FOR TABLE shop.l});
	my $connection = $node->connstr('shop');
	$subscriber->safe_psql('shop', "CREATE SUBSCRIPTION s CONNECTION \$\$$connection\$\$ PUBLICATION p");
	$subscriber->wait_for_subscription_sync($node, 's');
	$node->safe_psql('shop', q{INSERT INTO shop.l SELECT i, 'b' FROM generate_series(2, 10) i; UPDATE shop.l SET lead = 'c' WHERE id = 3; DELETE FROM shop.l WHERE id = 4});
	# (to wait for the position is not enough: it may be told before the rows are there)
	$subscriber->poll_query_until('shop', q{SELECT count(*) = 9 AND bool_and(lead = 'c') FILTER (WHERE id = 3) FROM shop.l}) or die 'the rows do not arrive';
	isnt($subscriber->safe_psql('shop', 'SELECT count(*) FROM leadscore.verify()'), '0', 'logical replication: verify() finds what was applied');
	$subscriber->safe_psql('shop', 'CALL leadscore.rebuild()');
	is_true($subscriber, 'logical replication, rebuilt');
	$subscriber->safe_psql('shop', q{INSERT INTO shop.l VALUES (100, 'here'); UPDATE shop.l SET lead = 'd'});
	is_true($subscriber, 'rows of the subscriber\'s own');
	$subscriber->safe_psql('shop', 'DROP SUBSCRIPTION s');
	$subscriber->stop;
}
$node->stop;

done_testing();
