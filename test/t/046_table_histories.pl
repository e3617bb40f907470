# Random histories of what people do to tables: columns dropped, renamed, made again and changed, tables dropped, swapped, made again and renamed,
# triggers disabled, enabled and dropped, partitions that come and go, event triggers disabled, mixed with writes. After each step timelines
# equal events, or status says that something is to be done; and when that is done, all is well.
#
#   LEADSCORE_TABLE_HISTORIES=1000	how many histories, of 6 steps each
#   LEADSCORE_SEED=1

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use Test::More;
use Workload;

my $histories = $ENV{LEADSCORE_TABLE_HISTORIES} || 1000;
my $seed = $ENV{LEADSCORE_SEED} || 1 + time % 100000;
my $node = new_node('main');
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE shop');
note("LEADSCORE_SEED=$seed");

# What is done, with what fails passed over: %t is one of the tables, %c one of the columns.
my @steps = map { s/\s+/ /gr } (
	(q{INSERT INTO shop.%t (id, lead, at, total) SELECT i, 'l' || i % 3, '2026-01-01', i FROM generate_series(1, 3) i}) x 4,
	(q{UPDATE shop.%t SET id = id + 1}) x 2, q{UPDATE shop.%t SET total = total + 1 WHERE id % 2 = 0}, q{DELETE FROM shop.%t WHERE id % 3 = 0}, q{TRUNCATE shop.%t},
	q{ALTER TABLE shop.%t DROP %c}, q{ALTER TABLE shop.%t DROP total, ADD total numeric}, q{ALTER TABLE shop.%t ADD total int DEFAULT 3}, q{ALTER TABLE shop.%t ADD lead text DEFAULT 'dora'},
	q{ALTER TABLE shop.%t ADD at date DEFAULT '2026-01-03'}, q{ALTER TABLE shop.%t RENAME %c TO other}, q{ALTER TABLE shop.%t RENAME other TO %c}, q{ALTER TABLE shop.%t ALTER total TYPE int USING total * 2},
	q{ALTER TABLE shop.%t ALTER total TYPE numeric(8,2)}, q{ALTER TABLE shop.%t ALTER at TYPE timestamptz}, q{ALTER TABLE shop.%t ALTER lead TYPE varchar(30)}, q{ALTER TABLE shop.%t ALTER at TYPE text},
	q{ALTER TABLE shop.%t ADD extra int, DROP IF EXISTS extra_too}, q{DROP TABLE shop.%t}, q{SELECT shop.make('%t')}, q{CREATE TABLE shop.%t AS SELECT 1 AS id, 'l1' AS lead, date '2026-01-01' AS at, 4 AS total},
	q{ALTER TABLE shop.%t RENAME TO spare; ALTER TABLE shop.%o RENAME TO %t; ALTER TABLE shop.spare RENAME TO %o}, q{ALTER TABLE shop.%t RENAME TO spare}, q{ALTER TABLE shop.spare RENAME TO %t},
	q{ALTER TABLE shop.%t SET SCHEMA aside}, q{ALTER TABLE aside.%t SET SCHEMA shop}, q{DROP TABLE aside.%t}, q{DROP TABLE shop.spare},
	q{ALTER TABLE shop.%t DISABLE TRIGGER ALL}, q{ALTER TABLE shop.%t ENABLE TRIGGER ALL}, q{ALTER TABLE shop.%t DISABLE TRIGGER "LEADSCORE_1_update"}, q{ALTER TABLE shop.%t ENABLE TRIGGER USER},
	q{DROP TRIGGER "LEADSCORE_1_insert" ON shop.%t}, q{DROP TRIGGER "LEADSCORE_1_update" ON shop.%t}, q{DROP TRIGGER "LEADSCORE_1_before" ON shop.%t},
	q{ALTER EVENT TRIGGER leadscore_follow_children DISABLE}, q{ALTER EVENT TRIGGER leadscore_follow_children ENABLE}, q{ALTER EVENT TRIGGER leadscore_follow_drops DISABLE}, q{ALTER EVENT TRIGGER leadscore_follow_drops ENABLE},
	q{CREATE TABLE shop.p2 PARTITION OF shop.parted FOR VALUES FROM ('2026-02-01') TO ('2026-03-01')}, q{ALTER TABLE shop.parted DETACH PARTITION shop.p1}, q{DROP TABLE shop.p1}, q{ALTER TABLE shop.parted DROP total}, q{ALTER TABLE shop.parted ADD total int DEFAULT 2},
	q{ALTER TABLE shop.parted ATTACH PARTITION shop.p1 FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')}, q{INSERT INTO shop.p1 (lead, at) VALUES ('l1', '2026-01-05')}, q{INSERT INTO shop.parted (lead, at) VALUES ('l2', '2026-01-06'), ('l2', '2026-02-06')},
	q{ALTER TABLE shop.p1 DISABLE TRIGGER ALL}, q{ALTER TABLE shop.p1 ENABLE TRIGGER ALL}, q{DROP TRIGGER "LEADSCORE_1_insert" ON shop.p1}, q{DROP TYPE shop.kind CASCADE}, q{DROP TABLE shop.parted},
	q{SELECT leadscore.track('shop.%t', lead_id => 'lead', kind => 'purchase', occurred_at => 'at', value => 'total')}, q{SELECT leadscore.untrack('shop.%t')}, (q{SELECT leadscore.retrack('shop.%t')}) x 3, q{SELECT leadscore.retrack('shop.parted')},
	q{INSERT INTO leadscore.event (lead_id, kind) VALUES ('l1', 'purchase')}, q{ALTER TABLE leadscore.event DISABLE TRIGGER ALL}, q{ALTER TABLE leadscore.event ENABLE TRIGGER ALL},
	q{SELECT leadscore.fold()}, q{SELECT leadscore.identify('l1', 'l2')}, q{SELECT leadscore.unidentify('l1')});
my $array = join ",\n", map { q{'} . s/'/''/gr . q{'} } @steps;

$node->safe_psql('shop', qq{
	SET client_min_messages = warning;
	CREATE EXTENSION leadscore;
	INSERT INTO leadscore.signal (signal, kind) VALUES ('purchase', 'purchase');
	CREATE SCHEMA shop; CREATE SCHEMA aside;
	CREATE FUNCTION shop.make(name text) RETURNS void LANGUAGE plpgsql AS \$\$
	BEGIN
		EXECUTE format('CREATE TABLE shop.%1\$I (id int, lead text, at date DEFAULT ''2026-01-01'', total numeric(12,2));
			INSERT INTO shop.%1\$I VALUES (1, ''l1'', ''2026-01-01'', 10), (2, ''l2'', ''2026-01-02'', 12)', name);
	END \$\$;
	CREATE TYPE shop.kind AS ENUM ('purchase', 'visit');
	CREATE TABLE shop.step (n int GENERATED ALWAYS AS IDENTITY, command text);
	INSERT INTO shop.step (command) SELECT unnest(ARRAY[$array]);
	CREATE TABLE shop.failure (history int, commands text[], found text);

	CREATE PROCEDURE shop.begin_history() LANGUAGE plpgsql AS \$\$
	DECLARE
		t record;
	BEGIN
		ALTER EVENT TRIGGER leadscore_follow_children ENABLE; ALTER EVENT TRIGGER leadscore_follow_drops ENABLE; ALTER TABLE leadscore.event ENABLE TRIGGER ALL;
		FOR t IN SELECT c.oid::regclass AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname IN ('shop', 'aside') AND c.relkind IN ('r', 'p') AND c.relname NOT IN ('step', 'failure') AND NOT c.relispartition LOOP
			EXECUTE format('DROP TABLE %s', t.name);
		END LOOP;
		DELETE FROM leadscore.known_source;
		DELETE FROM leadscore.event;
		PERFORM leadscore.unidentify(a.alias) FROM leadscore.lead_alias a;
		IF to_regtype('shop.kind') IS NULL THEN CREATE TYPE shop.kind AS ENUM ('purchase', 'visit'); END IF;
		PERFORM shop.make('orders'), shop.make('returns');
		CREATE TABLE shop.parted (lead text, at date, total int, what shop.kind DEFAULT 'purchase') PARTITION BY RANGE (at);
		CREATE TABLE shop.p1 PARTITION OF shop.parted FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
		PERFORM leadscore.track('shop.orders', lead_id => 'lead', kind => 'purchase', occurred_at => 'at', value => 'total');
		PERFORM leadscore.track('shop.parted', lead_id => 'lead', kind_column => 'what', occurred_at => 'at', value => 'total');
		COMMIT;
		CALL leadscore.rebuild();
	END \$\$;

	-- (plans are kept: the view status takes longer to plan than to read)
	CREATE FUNCTION shop.is_told() RETURNS boolean LANGUAGE plpgsql AS \$\$
	BEGIN
		IF NOT EXISTS (SELECT FROM leadscore.verify()) THEN
			RETURN true;
		END IF;
		RETURN EXISTS (SELECT FROM leadscore.status WHERE object IN ('source', 'event_trigger', 'own_table'));
	END \$\$;

	CREATE PROCEDURE shop.histories(n int, seed float8) LANGUAGE plpgsql AS \$\$
	DECLARE
		command text;
		commands text[];
		tables CONSTANT text[] := '{orders,orders,returns}';
		columns CONSTANT text[] := '{lead,at,total}';
		chosen text;
		failure text;
	BEGIN
		PERFORM setseed(seed);
		FOR history IN 1 .. n LOOP
			CALL shop.begin_history();
			commands := '{}';
			FOR step IN 1 .. 6 LOOP
				chosen := tables[1 + floor(random() * 3)];
				command := (SELECT s.command FROM shop.step s ORDER BY random() LIMIT 1);
				command := replace(replace(replace(command, '%t', chosen), '%o', CASE chosen WHEN 'orders' THEN 'returns' ELSE 'orders' END), '%c', columns[1 + floor(random() * 3)]);
				BEGIN
					EXECUTE command;
					commands := commands || command;
				EXCEPTION WHEN OTHERS THEN
					-- a rename of what is not there, a column that is already there; but never an error of our own making
					IF SQLSTATE IN ('XX000', '42P01', '42883', '42702', '23505', '40001') AND SQLERRM ~ 'leadscore|known_source|known_' THEN
						INSERT INTO shop.failure VALUES (history, commands || command, SQLSTATE || ' ' || SQLERRM);
					END IF;
				END;
				COMMIT;
				IF NOT shop.is_told() THEN
					INSERT INTO shop.failure VALUES (history, commands, 'timelines differ, and status is empty');
					EXIT;
				END IF;
				COMMIT;
			END LOOP;
			CALL leadscore.rebuild();
			IF EXISTS (SELECT FROM leadscore.verify()) THEN
				INSERT INTO shop.failure VALUES (history, commands, 'timelines differ after a rebuild');
			ELSE
				WITH told AS MATERIALIZED (SELECT s.name, s.state, s.action FROM leadscore.status s WHERE s.object IN ('source', 'event_trigger'))
				SELECT string_agg(t.name || ' ' || t.state, ', ') INTO failure FROM told t
				WHERE t.action = 'CALL leadscore.rebuild()' AND NOT EXISTS (SELECT FROM told o WHERE o.action <> t.action);
				IF failure IS NOT NULL THEN
					INSERT INTO shop.failure VALUES (history, commands, 'after a rebuild, status says still: ' || failure);
				END IF;
			END IF;
			COMMIT;
		END LOOP;
	END \$\$});

# two sessions would get into each other's way; a new one every now and then, as caches of a session are part of what is tested
my $done = 0;
while ($done < $histories)
{
	my $n = $histories - $done < 250 ? $histories - $done : 250;
	my ($status, $out, $error) = $node->psql('shop', sprintf(q{SET client_min_messages = error; CALL shop.histories(%d, %.6f)}, $n, (($seed + $done) % 1000003) / 1000003), on_error_stop => 1);

	is($status, 0, "histories " . ($done + 1) . ' to ' . ($done + $n) . ' are gone through') or diag($error);
	$done += $n;
}
is($node->safe_psql('shop', q{SELECT found, array_to_string(commands, '; ') FROM shop.failure LIMIT 20}), '', 'timelines equal events, or status says that they do not') or diag("LEADSCORE_SEED=$seed");
$node->stop;
done_testing();
