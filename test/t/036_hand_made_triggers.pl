# The triggers of tracked tables are the registry of sources, and whoever may call record() can make one by hand, with any argument, on any
# table of his. That is his own affair: everybody else makes tables, verifies, rebuilds, tracks and forgets as before.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use PostgreSQL::Test::Utils;
use Test::More;
use Workload;

my $node = new_node('main');
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE shop');
$node->safe_psql('shop', q{
	SET client_min_messages = warning;
	CREATE EXTENSION leadscore;
	SELECT leadscore.publish(leadscore.template('ecommerce'));
	CREATE ROLE anybody; CREATE ROLE admin; SELECT leadscore.grant_admin('admin');
	CREATE SCHEMA own AUTHORIZATION admin; CREATE SCHEMA shop; GRANT ALL ON SCHEMA shop TO anybody; GRANT USAGE ON SCHEMA shop TO admin;
	CREATE TABLE shop.orders (lead text, placed timestamptz) PARTITION BY RANGE (placed);
	CREATE TABLE shop.orders_1 PARTITION OF shop.orders FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
	SELECT leadscore.track('shop.orders', lead_id => 'lead', kind => 'purchase', occurred_at => 'placed');
	GRANT SELECT ON shop.orders TO admin;
	INSERT INTO shop.orders VALUES ('anna', '2026-01-05');
	CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw});

my $good = '"lead_id": "lead", "kind": "purchase", "occurred_at": "placed"';
my $many = join ', ', map { '"lead"' } 1 .. 60;
my $new = 'REFERENCING NEW TABLE AS n FOR EACH STATEMENT';
my @arguments = (
	'not json', '', ' ', '[]', '"lead"', '5', 'null', 'true', '{}', '{', '{"lead_id": "lead"', "{$good}}", "{$good} {", "{$good,}", '{"lead_id"}', '{"lead_id": }', q({'lead_id': 'lead'}), "[{$good}]",
	'{"kind": "purchase", "occurred_at": "placed"}', '{"lead_id": ""}', '{"lead_id": 5}', '{"lead_id": null}', '{"lead_id": ["lead"]}', '{"lead_id": {"a": "b"}}', '{"lead_id": true}',
	'{"lead_id": "lead", "kind": ""}', '{"lead_id": "lead", "kind": 1}', '{"lead_id": "lead", "kind_column": []}', '{"lead_id": "lead", "occurred_at": true}', '{"lead_id": "lead", "value": 1e1000000}', "{$good, \"value\": 12}",
	"{$good, \"maintenance\": \"whenever\"}", "{$good, \"maintenance\": []}", "{$good, \"partition\": \"yes\"}",
	(map { "{$good, \"properties\": $_}" } '"placed"', '{"a": "b"}', '[1, 2]', '[["lead"]]', '[null]', '5', "[$many]", '["lead"', '["lead",]'),
	'{"lead_id": "\u0000"}', '{"lead_id": "\ud800"}', '{"lead_id": "\u00zz"}', '{"lead_id": "a\q"}', "{\"lead_id\": \"\x01\"}", "{\"lead_id\": \"a\nb\"}", '{"lead_id": "open', '{"lead_id": "open\\',
	'[' x 100000, '{"a":' x 100000, '{"lead_id": ' . '[' x 100000 . ']' x 100000 . '}', "{$good, \"a\": " . '9' x 200000 . '}', "{$good, \"a\": \"" . 'x' x 2000000 . '"}',
);
# of the right shape, but not of this table
my @strange = ('{"lead_id": "nobody", "kind": "purchase", "occurred_at": "placed"}', '{"lead_id": "lead", "kind": "purchase", "occurred_at": "never"}', '{"lead_id": "lead", "kind": "purchase", "occurred_at": "lead"}',
	"{$good, \"value\": \"lead\"}", "{$good, \"properties\": [\"missing\"]}", '{"lead_id": "lead"}', '{"lead_id": "lead", "lead_id": "placed", "unheard": "of"}', 
	"{$good, \"properties\": []}", "{$good, \"partition\": true}", '{"lead_id": "Ünï\"\\\\\u001f", "kind_column": "kind"}');
my @tables;

# Make a table of the administrator's, or whatever it is, with a trigger.
sub make
{
	my ($trigger, %options) = @_;
	my $name = 't' . @tables;
	my $relation = $options{relation} // 'CREATE TABLE %s (lead text, placed timestamptz)';
	my $file = $node->basedir . "/$name.sql";		# some are too long for a command line

	unlink $file;
	append_to_file($file, ($options{role} eq 'admin' ? "SET ROLE admin;\n" : '') . sprintf($relation, "own.$name") . ";\n" . sprintf($trigger, "own.$name") . ";\n");
	my ($status, $out, $error) = $node->psql('shop', "\\i $file\n");
	ok($status == 0, "made by $options{role}: " . substr($trigger, 0, 150)) or diag(substr $error, 0, 500);
	push @tables, $name;
	return $name;
}
sub quote { return q{'} . ($_[0] =~ s/'/''/gr) . q{'} }

for my $argument (@arguments, @strange)
{
	make("CREATE TRIGGER x_insert AFTER INSERT ON %s $new EXECUTE FUNCTION leadscore.record(" . (quote($argument) =~ s/%/%%/gr) . ')', role => 'admin');
}
make("CREATE TRIGGER x_insert AFTER INSERT ON %s $new EXECUTE FUNCTION leadscore.record_profile(" . quote($_) . ')', role => 'admin') for @arguments[0 .. 10], @strange;
make("CREATE TRIGGER x_insert AFTER INSERT ON %s $new EXECUTE FUNCTION leadscore.record($_)", role => 'admin') for '', q{'{}', '{}'}, quote("{$good}") . ", ''", "'" . "', '" x 30 . "'";

my $record = 'EXECUTE FUNCTION leadscore.record(' . quote("{$good}") . ')';
my $orphan = 'EXECUTE FUNCTION leadscore.record(' . quote("{$good, \"partition\": true}") . ')';
for my $function ($record, $orphan)
{
	make("CREATE TRIGGER x_insert $_ ON %s $function", role => 'admin') for 'AFTER UPDATE', 'AFTER DELETE', 'AFTER INSERT', 'BEFORE INSERT', 'BEFORE TRUNCATE', 'AFTER TRUNCATE', 'AFTER INSERT OR UPDATE OR DELETE', 'BEFORE INSERT OR DELETE';
	make("CREATE TRIGGER x_insert $_ ON %s FOR EACH ROW $function", role => 'admin') for 'AFTER INSERT', 'BEFORE INSERT', 'BEFORE UPDATE';
	make("CREATE TRIGGER x_insert AFTER INSERT ON %s REFERENCING NEW TABLE AS n FOR EACH ROW $function", role => 'admin');
	make("CREATE CONSTRAINT TRIGGER x_insert AFTER INSERT ON %s DEFERRABLE INITIALLY DEFERRED FOR EACH ROW $function", role => 'admin');
	make("CREATE TRIGGER $_ AFTER INSERT ON %s $new $function", role => 'admin')
	  for '_insert', 'leadscore_99999999999999999999_insert', q{"Odd ""name"" 'x'; --_insert"}, '"_insert_insert"', 'leadscore_1_insert', '"insert"', '"%%s_insert"', 'leadscore_0_insert', '"leadscore_-1_insert"';
	make("CREATE TRIGGER x_insert AFTER INSERT ON %s $new $function", role => 'admin', relation => $_) for
		'CREATE UNLOGGED TABLE %s (lead text, placed timestamptz)',
		'CREATE TABLE %s (lead text, placed timestamptz) PARTITION BY LIST (lead)',
		'CREATE TABLE %1$s_child (lead text, placed timestamptz); CREATE TABLE %1$s (lead text, placed timestamptz); ALTER TABLE %1$s_child INHERIT %1$s',
		'CREATE TABLE %1$s_parent (lead text, placed timestamptz); CREATE TABLE %1$s () INHERITS (%1$s_parent)',
		'CREATE TABLE %1$s_one (lead text, placed timestamptz); CREATE TABLE %1$s_two (lead text, placed timestamptz); CREATE TABLE %1$s () INHERITS (%1$s_one, %1$s_two)';
	make("CREATE TRIGGER x_insert INSTEAD OF INSERT ON %s FOR EACH ROW $function", role => 'admin', relation => q{CREATE VIEW %s AS SELECT ''::text AS lead, now() AS placed});
	make("CREATE TRIGGER x_insert AFTER INSERT ON %s FOR EACH STATEMENT $function", role => 'admin', relation => q{CREATE VIEW %s AS SELECT ''::text AS lead, now() AS placed});
	make("CREATE TRIGGER x_insert AFTER INSERT ON %s FOR EACH STATEMENT $function", role => 'superuser', relation => q{CREATE FOREIGN TABLE %s (lead text, placed timestamptz) SERVER files OPTIONS (filename '/dev/null')});
	make("CREATE TRIGGER x_insert AFTER INSERT ON %s FOR EACH ROW $function", role => 'admin',
		relation => q{CREATE TABLE %1$s (lead text, placed timestamptz) PARTITION BY LIST (lead); CREATE TABLE %1$s_partition PARTITION OF %1$s DEFAULT});
	# as long as the session lasts
	make("CREATE TEMP TABLE passing (lead text, placed timestamptz); CREATE TRIGGER x_insert AFTER INSERT ON passing $new $function; CREATE TABLE %s_beside (a int); SELECT * FROM leadscore.verify()", role => 'admin');
	# a source whose child is another
	make("CREATE TRIGGER x_insert AFTER INSERT ON %1\$s $new $function; CREATE TRIGGER x_insert AFTER INSERT ON %1\$s_child $new $function", role => 'admin',
		relation => q{CREATE TABLE %1$s (lead text, placed timestamptz); CREATE TABLE %1$s_child () INHERITS (%1$s)});
}
# names of ours that are taken by others
make("CREATE FUNCTION own.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER leadscore_1_update AFTER UPDATE ON %1\$s EXECUTE FUNCTION own.nothing(); CREATE TRIGGER leadscore_1_insert AFTER INSERT ON %1\$s $new $record", role => 'admin');

# ---------- everybody else ----------

# The administrator has tables in use that look like partitions which have lost their parent.
$node->safe_psql('shop', q{SET ROLE admin; CREATE TABLE own.busy (lead text, placed timestamptz); CREATE TRIGGER x_insert AFTER INSERT ON own.busy REFERENCING NEW TABLE AS n FOR EACH STATEMENT } . $orphan
	  . q{; BEGIN; LOCK TABLE own.busy IN ACCESS EXCLUSIVE MODE; PREPARE TRANSACTION 'busy'});

sub goes_on
{
	my ($role, $command, $expected) = @_;
	my ($status, $out, $error) = $node->psql('shop', ($role eq 'superuser' ? '' : "SET ROLE $role; ") . "SET lock_timeout = '10s'; SET client_min_messages = warning; $command");

	is(join("\n", grep { /ERROR|FATAL|connection to server/ } split /\n/, $error), '', "$role: $command");		# (not warnings)
	is($out, $expected, '... with the right result') if defined $expected;
}
goes_on('anybody', $_) for 'CREATE TABLE shop.new (a int)', 'ALTER TABLE shop.new ADD b int', 'CREATE TABLE shop.copy AS SELECT * FROM shop.new', 'CREATE TABLE shop.child () INHERITS (shop.new)', 'ALTER TABLE shop.child NO INHERIT shop.new',
	'CREATE TABLE shop.part (a int) PARTITION BY LIST (a); CREATE TABLE shop.part_1 PARTITION OF shop.part DEFAULT; ALTER TABLE shop.part DETACH PARTITION shop.part_1; DROP TABLE shop.part, shop.part_1, shop.child, shop.new, shop.copy';
$node->safe_psql('shop', q{ROLLBACK PREPARED 'busy'});
goes_on('superuser', q{SELECT count(*) FROM leadscore.source WHERE source::text NOT LIKE 'own.%'}, 2);
goes_on('superuser', q{SELECT count(*) > 0 FROM leadscore_internal.source_trigger WHERE source::text LIKE 'own.%'}, 't');
goes_on('superuser', q{SELECT count(*) FROM leadscore.source WHERE jsonb_typeof(mapping) <> 'object' OR lead_id IS NULL OR properties IS NULL}, 0);
goes_on('superuser', q{SELECT count(*) FROM leadscore.status WHERE name LIKE 'own.%' AND state LIKE 'column "nobody" of table own.% does not exist'}, 2);
goes_on('superuser', 'SELECT count(*) FROM leadscore.verify()', 0);
goes_on('superuser', $_) for 'CALL leadscore.rebuild()', q{CALL leadscore.rebuild(ARRAY['anna'])}, q{SELECT leadscore.identify('visitor', 'anna')}, q{SELECT leadscore.unidentify('visitor')}, 'SELECT * FROM leadscore.derive()',
	q{SELECT count(*) FROM leadscore.affinity('colour')}, q{INSERT INTO leadscore.signal (signal, kind) VALUES ('new', 'new')}, 'SELECT * FROM leadscore.status', 'CALL leadscore.compact(\'2020-01-01\')',
	q{CREATE TABLE shop.visit (lead text, placed timestamptz); SELECT leadscore.track('shop.visit', lead_id => 'lead', kind => 'visit', occurred_at => 'placed'); SELECT leadscore.untrack('shop.visit')};
# tracked partitions come and go
goes_on('superuser', q{
	INSERT INTO shop.orders_1 VALUES ('anna', '2026-01-06');
	CREATE TABLE shop.orders_2 PARTITION OF shop.orders FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
	INSERT INTO shop.orders_2 VALUES ('anna', '2026-02-06');
	SET search_path = shop; ALTER TABLE orders DETACH PARTITION orders_1; RESET search_path});
goes_on('superuser', q{SELECT count(*) FROM leadscore.verify()}, 0);
goes_on('superuser', q{SELECT timeline::text LIKE '{%: 2026-02-06T00Z 1}' FROM leadscore.lead_timeline WHERE lead_id = 'anna'}, 't');
goes_on('superuser', q{SELECT count(*) FROM leadscore_internal.source_trigger WHERE source IN ('shop.orders_1'::regclass, 'shop.orders_2'::regclass)}, 1);
my $forgotten = q{SELECT removed FROM leadscore.forget('anna', tracked => true) WHERE source = 'shop.orders'::regclass};
goes_on('superuser', $forgotten, 1);
goes_on('superuser', 'SELECT count(*) FROM leadscore.verify()', 0);
like(($node->psql('shop', $forgotten))[2], qr/WARNING:  the rows of own\.t\d+ stay as they are/, 'forget() says where it cannot look');

# ---------- those tables themselves ----------

# a statement trigger says what is the matter; the statement goes on, and nothing is counted
my ($status, $out, $error) = $node->psql('shop', q{SET ROLE admin; INSERT INTO own.t0 VALUES ('bea', '2026-01-01'); UPDATE own.t0 SET lead = 'cleo'; DELETE FROM own.t0; TRUNCATE own.t0});
is($status, 0, 'whoever writes there can do so');
like($error, qr/WARNING:  leadscore cannot read table "t0": its rows are not counted\nDETAIL:  The trigger was not made by leadscore\.track\(\)\./, '... and is told');
$node->psql('shop', "SET client_min_messages = error; SET ROLE admin; INSERT INTO own.$_ (lead, placed) VALUES ('bea', '2026-01-01'); UPDATE own.$_ SET lead = 'cleo'; TRUNCATE own.$_", on_error_stop => 0) for @tables;
unlike(slurp_file($node->logfile), qr/terminated by signal|PANIC|XX000/, 'no trigger ends the server');

# what such triggers have counted is not what they should have, but verify() says so and rebuild() mends it
goes_on('superuser', 'SELECT count(*) >= 0 FROM leadscore.verify()', 't');
goes_on('superuser', 'CALL leadscore.rebuild()');
goes_on('superuser', 'SELECT count(*) FROM leadscore.verify()', 0);
goes_on('superuser', 'SET client_min_messages = error; DROP SCHEMA own CASCADE');
goes_on('superuser', 'SELECT count(*) FROM leadscore.verify()', 0);
goes_on('superuser', q{SELECT count(*) FROM leadscore.source}, 2);
$node->stop;

done_testing();
