# Random statements on tables that are tracked by expressions, some of which fail, against plain SQL: after each
# transaction the timelines and profiles are those that a query makes of the rows, and verify() finds nothing. Then the
# same after a dump and a restore, which brings the expressions along.
#
#   TRANSACTIONS=n   how many
#   SEED=n

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use PostgreSQL::Test::Utils;
use Test::More;
use Workload;

my $seed = $ENV{SEED} || 20261130;
my $transactions = $ENV{TRANSACTIONS} || 250;

my $node = new_node('main');
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE shop');
$node->safe_psql('shop', q{
CREATE EXTENSION leadscore;
INSERT INTO leadscore.signal (signal, subject, kind) VALUES ('any', 'event', NULL);
INSERT INTO leadscore.signal (signal, subject, match) VALUES ('big', 'event', '{"big": true}');
CREATE SCHEMA shop;
CREATE TYPE shop.state AS ENUM ('cart', 'paid', 'shipped');
CREATE TABLE shop.orders (id int, email text, state shop.state, amount text, placed timestamp, payload json, deleted boolean) PARTITION BY LIST (id);
CREATE TABLE shop.orders_0 (deleted boolean, payload json, placed timestamp, gone int, amount text, state shop.state, email text, id int);
ALTER TABLE shop.orders_0 DROP COLUMN gone;
ALTER TABLE shop.orders ATTACH PARTITION shop.orders_0 FOR VALUES IN (0, 1, 2, 3, 4);
CREATE TABLE shop.orders_1 PARTITION OF shop.orders DEFAULT;
CREATE TABLE shop.customers (id int PRIMARY KEY, born text, country text, deleted boolean);
SELECT leadscore.track('shop.orders', lead_id => 'lower(email)', kind_column => $$'order:' || coalesce(payload ->> 'channel', 'none')$$,
	occurred_at => $$placed AT TIME ZONE 'Europe/Berlin'$$, value => 'amount::numeric * 2', properties => ARRAY['big => amount::numeric > 100', 'since => payload'],
	filter => $$NOT deleted AND state IN ('paid', 'shipped')$$);
SELECT leadscore.track('shop.orders', lead_id => $$'state:' || CASE state WHEN 'paid' THEN 1 / (id % 3) ELSE 7 END$$, kind => 'second', occurred_at => 'placed', maintenance => 'deferred');
SELECT leadscore.track_profile('shop.customers', $$'c' || id$$, ARRAY['age => 2025 - born::int', 'country => upper(country)'], filter => 'deleted IS NOT TRUE');

-- what plain SQL makes of the rows; of what fails, it has to look first
CREATE VIEW shop.expected AS
WITH event AS (
	SELECT lower(email) AS lead_id, placed AT TIME ZONE 'Europe/Berlin' AS at, amount, payload ->> 'channel' AS kind
	FROM shop.orders WHERE CASE WHEN NOT deleted AND state IN ('paid', 'shipped') THEN amount IS NULL OR amount ~ '^-?[0-9]+([.][0-9]+)?$' END
), entry AS (
	SELECT lead_id, 'any' AS signal, date_trunc('hour', at, 'UTC') AS hour, CASE WHEN lead_id <> '' THEN amount::numeric * 2 END AS value FROM event
	UNION ALL
	SELECT lead_id, 'big', date_trunc('hour', at, 'UTC'), amount::numeric * 2 FROM event WHERE amount::numeric > 100
	UNION ALL
	SELECT 'state:' || CASE state WHEN 'paid' THEN 1 / (id % 3) ELSE 7 END, 'any', date_trunc('hour', placed AT TIME ZONE 'UTC', 'UTC'), 0
	FROM shop.orders WHERE CASE WHEN state = 'paid' AND id % 3 = 0 THEN false ELSE true END
)
SELECT lead_id, signal, hour, count(*) AS occurrences, coalesce(sum(value), 0) AS value FROM entry
WHERE lead_id <> '' AND isfinite(hour) GROUP BY 1, 2, 3;

CREATE VIEW shop.counted AS
SELECT t.lead_id, s.signal, e.hour, e.occurrences, e.value
FROM leadscore.current_timeline t CROSS JOIN LATERAL leadscore.timeline_entries(t.timeline) e JOIN leadscore.signal s USING (signal_id);

CREATE VIEW shop.expected_profile AS
SELECT 'c' || id AS lead_id, jsonb_build_object('age', 2025 - born::int, 'country', upper(country)) AS profile
FROM shop.customers WHERE CASE WHEN deleted IS NOT TRUE THEN born IS NULL OR born ~ '^[0-9]+$' END;

CREATE VIEW shop.difference AS
SELECT 'too much' AS what, lead_id, to_jsonb(d) AS it FROM (SELECT * FROM shop.counted EXCEPT ALL SELECT * FROM shop.expected) d
UNION ALL SELECT 'missing', lead_id, to_jsonb(d) FROM (SELECT * FROM shop.expected EXCEPT ALL SELECT * FROM shop.counted) d
UNION ALL SELECT 'profile too much', lead_id, profile FROM (SELECT lead_id, profile FROM leadscore.current_profile EXCEPT ALL SELECT * FROM shop.expected_profile) d
UNION ALL SELECT 'profile missing', lead_id, profile FROM (SELECT * FROM shop.expected_profile EXCEPT ALL SELECT lead_id, profile FROM leadscore.current_profile) d;
});

srand $seed;
sub one_of { return $_[ int rand @_ ]; }

# literals, of which some make an expression fail
sub email { return one_of('NULL', "''", map { "'$_'" } qw(Ann@x ann@X bea@x Bea@x cid@x)); }
sub state { return one_of('NULL', "'cart'", "'paid'", "'paid'", "'shipped'"); }
sub amount { return one_of('NULL', "'n/a'", "''", "'12,50'", "'1.25'", "'100.5'", "'-3'", "'" . int(rand 300) . "'"); }
sub placed { return one_of('NULL', "'infinity'", "'2025-03-30 02:30'", "'2025-10-26 02:30'", sprintf("'2025-%02d-%02d %02d:15'", 1 + rand 12, 1 + rand 28, rand 24)); }
sub payload { return one_of('NULL', q('{"channel": "web"}'), q('{"channel": "app", "n": 1}'), q('[1]'), q('{"channel": null}')); }
sub deleted { return one_of('NULL', 'true', 'false', 'false', 'false'); }
sub order { return join ', ', int(rand 12), email(), state(), amount(), placed(), payload(), deleted(); }
sub customer { return join ', ', one_of('NULL', "'1990'", "'old'", "'" . (1950 + int rand 60) . "'"), one_of('NULL', "'de'", "'fr'"), one_of('NULL', 'true', 'false'); }
sub some_rows { return 'id IN (' . join(', ', map { int rand 12 } 1 .. 1 + rand 3) . ')' . one_of('', ' AND state = ' . state(), ' AND random() < 0.5'); }

my @statements = (
	sub { return 'INSERT INTO shop.orders (id, email, state, amount, placed, payload, deleted) VALUES ' . join ', ', map { '(' . order() . ')' } 1 .. 1 + rand 8; },
	sub { return "INSERT INTO shop.orders_1 (id, email, state, amount, placed, payload, deleted) VALUES (" . (20 + int rand 5) . substr(order(), 0) =~ s/^[^,]*//r . ')'; },
	sub { return 'UPDATE shop.orders SET ' . one_of('email = ' . email(), 'amount = ' . amount(), 'state = ' . state(), 'placed = ' . placed(), 'payload = ' . payload(), 'deleted = ' . deleted(), 'id = ' . int(rand 12)) . ' WHERE ' . some_rows(); },
	sub { return 'UPDATE shop.orders_0 SET amount = ' . amount() . ', deleted = ' . deleted() . ' WHERE ' . some_rows(); },
	sub { return 'DELETE FROM shop.orders WHERE ' . some_rows(); },
	sub { return one_of('TRUNCATE shop.orders_0', 'TRUNCATE shop.orders', 'ALTER TABLE shop.orders DETACH PARTITION shop.orders_1; ALTER TABLE shop.orders ATTACH PARTITION shop.orders_1 DEFAULT') if rand() < 0.2; return 'SELECT leadscore.fold()'; },
	sub { return "COPY shop.orders (id, email, state, amount, placed, payload, deleted) FROM stdin;\n" . join('', map { join("\t", map { s/^NULL$/\\N/r =~ s/^'(.*)'$/$1/r } int(rand 12), email(), state(), amount(), placed(), payload(), deleted()) . "\n" } 1 .. 1 + rand 5) . '\\.'; },
	sub { return 'WITH gone AS (DELETE FROM shop.orders WHERE ' . some_rows() . ' RETURNING *) INSERT INTO shop.orders SELECT g.* FROM gone g, generate_series(1, 2)'; },
	sub { return 'INSERT INTO shop.customers VALUES (' . int(rand 6) . ', ' . customer() . ') ON CONFLICT (id) DO UPDATE SET born = excluded.born, country = excluded.country, deleted = excluded.deleted'; },
	sub { return 'UPDATE shop.customers SET (born, country, deleted) = (' . customer() . ') WHERE id = ' . int rand 6; },
	sub { return one_of('DELETE FROM shop.customers WHERE id = ' . int(rand 6), 'DELETE FROM shop.customers WHERE deleted', rand() < 0.1 ? 'TRUNCATE shop.customers' : 'SELECT 1'); },
);

sub statement { return one_of(@statements)->() =~ s/(?<!\\\.)\z/;/r . "\n"; }

my $script = "SET client_min_messages = warning;\n";
for my $n (1 .. $transactions)
{
	my $transaction = 'BEGIN ISOLATION LEVEL ' . one_of('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE') . ";\n" . statement();
	$transaction .= one_of('', "SAVEPOINT s;\n" . statement() . one_of("ROLLBACK TO s;\n", "RELEASE s;\n")) . (rand() < 0.5 ? statement() : '');
	$transaction .= one_of(('COMMIT') x 5, 'ROLLBACK') . ";\n";
	$script .= $transaction;
	$script .= "SELECT $n, * FROM shop.difference;\n";
	$script .= "SELECT $n, 'verify', v FROM leadscore.verify() v;\n" if $n % 8 == 0;
	$script .= "SELECT $n, 'rebuild', count(*) FROM (SELECT leadscore_internal.find_corrections(NULL, NULL) AS n) c WHERE n > 0 HAVING count(*) > 0;\n" if $n % 50 == 0;
}
my $file = $node->basedir . '/script.sql';
append_to_file($file, $script);
my ($status, $out, $error) = $node->psql('shop', '', extra_params => [ '-f', $file ], on_error_stop => 1);
is($status, 0, "$transactions transactions (SEED=$seed)") or diag $error;
is(join("\n", grep { /^\d+\|/ } split /\n/, $out), '', '... after each of which timelines and profiles are those of the rows');
cmp_ok($node->safe_psql('shop', 'SELECT count(*) FROM shop.counted'), '>', 5, '... of which there are some');
cmp_ok($node->safe_psql('shop', q{SELECT sum(rows) FROM leadscore.skipped_row WHERE reason LIKE 'an expression fails%'}), '>', $transactions / 5, '... and some were skipped because an expression fails');

# ---------- a dump and a restore ----------

my $sources = 'SELECT source, feeds, lead_id, kind_column, occurred_at, value, properties, filter FROM leadscore.source ORDER BY source::text, feeds, lead_id';
my $dump = $node->basedir . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, $node->connstr('shop') ], 'a dump');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, $node->connstr('restored') ], '... is restored');
is($node->safe_psql('restored', $sources), $node->safe_psql('shop', $sources), '... with the expressions');
is($node->safe_psql('restored', 'SELECT * FROM shop.difference'), '', '... and the timelines and profiles of the rows');
is($node->safe_psql('restored', 'SELECT * FROM leadscore.verify()'), '', '... as verify() says, too');
$node->safe_psql('restored', q{INSERT INTO shop.orders VALUES (1, 'NEW@x', 'paid', '7', '2025-05-05 12:00', NULL, false), (2, 'NEW@x', 'paid', '?', '2025-05-05 12:00', NULL, false)});
is($node->safe_psql('restored', 'SELECT * FROM shop.difference'), '', '... which go on to be followed');

# ---------- who may what ----------

# A shop's role has no rights in leadscore, and its statement no failure for an expression; its settings change nothing.
my $old_strings = $node->safe_psql('postgres', 'SHOW server_version_num') < 190000 ? 'SET standard_conforming_strings = off;' : '';
$node->safe_psql('shop', qq{
	CREATE ROLE shopkeeper; GRANT USAGE ON SCHEMA shop TO shopkeeper; GRANT ALL ON ALL TABLES IN SCHEMA shop TO shopkeeper;
	CREATE ROLE owner; GRANT ALL ON SCHEMA shop TO owner; ALTER TABLE shop.orders OWNER TO owner; ALTER TABLE shop.orders_0 OWNER TO owner; ALTER TABLE shop.orders_1 OWNER TO owner;
	SET ROLE shopkeeper; SET TimeZone = 'Asia/Tokyo'; SET DateStyle = 'German'; SET search_path = shop; $old_strings SET extra_float_digits = -15;
	INSERT INTO shop.orders VALUES (1, 'KEEPER\@x', 'paid', '70', '2025-05-05 12:00', NULL, false), (2, 'KEEPER\@x', 'paid', '?', '2025-05-05 12:00', NULL, false);
	UPDATE shop.orders SET amount = '80' WHERE email = 'KEEPER\@x';
	CREATE TEMP TABLE lower (x int)});
is($node->safe_psql('shop', 'SELECT * FROM shop.difference'), '', 'a role without rights in leadscore, with settings of its own');

done_testing();
