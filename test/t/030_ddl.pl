# Tracked tables and their partitions come, go and change, also while others are at it. Timelines equal events
# afterwards, what could not be kept so is refused, and what the shop may do it still may.

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
	CREATE EXTENSION leadscore;
	INSERT INTO leadscore.signal (signal, kind) VALUES ('visit', 'visit'), ('order', 'order');
	CREATE SCHEMA shop;
	CREATE FUNCTION shop.track(source regclass) RETURNS void LANGUAGE sql AS $$ SELECT leadscore.track(source, lead_id => 'lead', kind => 'visit', occurred_at => 'at') $$;
	CREATE FUNCTION shop.partitioned(source text) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		EXECUTE format('CREATE TABLE %1$s (id int, lead text, at date DEFAULT ''2026-01-01'') PARTITION BY RANGE (id);
			CREATE TABLE %1$s1 PARTITION OF %1$s FOR VALUES FROM (0) TO (10)', source);
	END $$});
my $nothing = q{SELECT count(*) FROM leadscore.current_timeline};

# Run statements; timelines equal events afterwards.
sub right
{
	my ($name, $command) = @_;
	my ($status, undef, $error) = $node->psql('shop', $command, on_error_stop => 1);

	is($status, 0, "$name: the statements succeed") or diag($error);
	return is($node->safe_psql('shop', $Workload::differences), '', "$name: timelines equal events");
}
sub refused
{
	my ($name, $command, $message) = @_;

	like(($node->psql('shop', $command, on_error_stop => 1))[2], $message, "$name is refused");
	return is($node->safe_psql('shop', $Workload::differences), '', "$name: timelines equal events");
}

# ---------- families of tables ----------

right('a partition whose parent is not tracked', q{SELECT shop.partitioned('shop.a')});
refused('tracking it', q{SELECT shop.track('shop.a1')}, qr/cannot be tracked as a partition or child of shop.a/);
right('a table of its own', q{CREATE TABLE shop.a2 (LIKE shop.a INCLUDING DEFAULTS); SELECT shop.track('shop.a2'); INSERT INTO shop.a2 VALUES (11, 'x')});
refused('attaching it to a parent that is not tracked', q{ALTER TABLE shop.a ATTACH PARTITION shop.a2 FOR VALUES FROM (10) TO (20)}, qr/cannot be tracked as a partition or child of shop.a/);
right('attached to a parent that is', q{SELECT shop.track('shop.a'); ALTER TABLE shop.a ATTACH PARTITION shop.a2 FOR VALUES FROM (10) TO (20); INSERT INTO shop.a VALUES (12, 'x'), (1, 'y')});
right('dropped with its parent', 'DROP TABLE shop.a');
is($node->safe_psql('shop', $nothing), '0', 'nothing stays');

right('a tracked tree is attached to a tracked parent', q{SELECT shop.partitioned('shop.b'), shop.partitioned('shop.c'); ALTER TABLE shop.c1 RENAME TO c0; ALTER TABLE shop.c DETACH PARTITION shop.c0;
	ALTER TABLE shop.c ATTACH PARTITION shop.c0 FOR VALUES FROM (10) TO (20); SELECT shop.track('shop.b'), shop.track('shop.c'); INSERT INTO shop.c VALUES (11, 'x');
	ALTER TABLE shop.b ATTACH PARTITION shop.c FOR VALUES FROM (10) TO (20); INSERT INTO shop.b VALUES (12, 'x'); INSERT INTO shop.c0 VALUES (13, 'x')});
right('its parts are dropped', 'DROP TABLE shop.c0; DROP TABLE shop.b');
is($node->safe_psql('shop', $nothing), '0', 'nothing stays');

right('a parent with two mappings', q{SELECT shop.partitioned('shop.d'); CREATE TABLE shop.d2 (LIKE shop.d INCLUDING DEFAULTS); INSERT INTO shop.d2 VALUES (11, 'x');
	SELECT shop.track('shop.d'), leadscore.track('shop.d', lead_id => 'lead', kind => 'order', occurred_at => 'at'), shop.track('shop.d2');
	ALTER TABLE shop.d ATTACH PARTITION shop.d2 FOR VALUES FROM (10) TO (20); INSERT INTO shop.d2 VALUES (12, 'y')});
right('dropped', 'DROP TABLE shop.d CASCADE');
right('a table beside a parent', q{SELECT shop.partitioned('shop.p'); SELECT shop.track('shop.p'); CREATE TABLE shop.p2 (LIKE shop.p INCLUDING DEFAULTS); INSERT INTO shop.p2 VALUES (11, 'x');
	SELECT shop.track('shop.p2')});
refused('a partition that brings profiles, where its parent does not', q{CREATE UNIQUE INDEX ON shop.p2 (lead); SELECT leadscore.track_profile('shop.p2', 'lead', '{id}'); ALTER TABLE shop.p ATTACH PARTITION shop.p2 FOR VALUES FROM (10) TO (20)},
	qr/cannot be tracked as a partition or child of shop.p/);
is($node->safe_psql('shop', q{SELECT count(*) FROM leadscore.source WHERE source = 'shop.p2'::regclass}), '2', '... and goes on as it was');
right('where it does', q{SELECT leadscore.untrack('shop.p2'), shop.track('shop.p2'); CREATE INDEX ON shop.p (lead, at); CREATE INDEX ON shop.p2 (lead); SELECT leadscore.track_profile('shop.p', 'lead', '{id}', latest_by => 'at'); ALTER TABLE shop.p ATTACH PARTITION shop.p2 FOR VALUES FROM (10) TO (20); INSERT INTO shop.p2 VALUES (12, 'y')});
is($node->safe_psql('shop', q{SELECT string_agg(lead_id || profile::text, ',' ORDER BY lead_id) FROM leadscore.lead}), 'x{"id": 11},y{"id": 12}', 'profiles go on');
right('dropped, with what it brought', 'DROP TABLE shop.p');
is($node->safe_psql('shop', 'SELECT count(*) FROM leadscore.lead'), '0', 'no profile stays');

right('a partition made with its schema', q{SELECT shop.partitioned('shop.e'); SELECT shop.track('shop.e'); CREATE SCHEMA part CREATE TABLE e2 PARTITION OF shop.e FOR VALUES FROM (10) TO (20); INSERT INTO part.e2 VALUES (11, 'x')});
right('and dropped with it', 'DROP SCHEMA part CASCADE; DROP TABLE shop.e');

# ---------- what does not last ----------

$node->safe_psql('shop', q{CREATE TABLE shop.f (id int, lead text, at date DEFAULT '2026-01-01'); SELECT shop.track('shop.f'); SELECT shop.partitioned('shop.g'); SELECT shop.track('shop.g')});
refused('a temporary child', 'CREATE TEMP TABLE temporary () INHERITS (shop.f)', qr/cannot be temporary or unlogged/);
refused('an unlogged partition', 'CREATE UNLOGGED TABLE shop.g2 PARTITION OF shop.g FOR VALUES FROM (10) TO (20)', qr/cannot be temporary or unlogged/);
refused('SET UNLOGGED', 'ALTER TABLE shop.f SET UNLOGGED', qr/cannot be temporary or unlogged/);

# ---------- triggers that somebody has changed ----------

right('a trigger dropped by hand, and the table', q{DROP TRIGGER "LEADSCORE_1_truncate" ON shop.f; INSERT INTO shop.f VALUES (1, 'x'); DROP TABLE shop.f});
right('a trigger renamed', q{CREATE TABLE shop.f (id int, lead text, at date DEFAULT '2026-01-01'); SELECT shop.track('shop.f'); ALTER TRIGGER "LEADSCORE_1_insert" ON shop.f RENAME TO mine_insert;
	INSERT INTO shop.f VALUES (1, 'x'); DROP TABLE shop.f, shop.g});
is($node->safe_psql('shop', $nothing), '0', 'nothing stays');

# ---------- rights ----------

$node->safe_psql('shop', q{
	CREATE ROLE owner; CREATE ROLE admin; SELECT leadscore.grant_admin('admin'); GRANT TEMPORARY ON DATABASE shop TO admin;
	CREATE TABLE shop.h (id int, lead text, at date DEFAULT '2026-01-01'); ALTER TABLE shop.h OWNER TO owner; SELECT shop.track('shop.h'); INSERT INTO shop.h VALUES (1, 'x'), (2, 'y')});
right('the owner may not use the schema: a rebuild of one lead', q{CALL leadscore.rebuild('{x}'); SELECT leadscore.identify('x', 'y'), leadscore.unidentify('x')});
$node->safe_psql('shop', q{ALTER TABLE shop.h ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON shop.h USING (lead = 'x'); GRANT SELECT ON shop.h TO admin; GRANT USAGE ON SCHEMA shop TO admin});
refused('what a policy hides', q{SET ROLE admin; SELECT * FROM leadscore.verify()}, qr/row-level security hides rows/);
refused('what a policy hides, asked for directly', q{SET ROLE admin; SELECT * FROM leadscore_internal.gather('{shop.h}', '{"{\"lead_id\": \"lead\", \"kind\": \"visit\", \"occurred_at\": \"at\"}"}', leadscore.signals(), NULL, NULL, 0, 1)}, qr/row-level security hides rows/);
$node->safe_psql('shop', q{CREATE VIEW shop.view AS SELECT 'a'::text AS lead, now() AS at});
refused('a view', qq{SELECT $_}, qr/"view" is not a table/) for
  q{* FROM leadscore_internal.gather('{shop.view}', '{"{\"lead_id\": \"lead\", \"kind\": \"visit\", \"occurred_at\": \"at\"}"}', leadscore.signals(), NULL, NULL, 0, 1)},
  q{leadscore_internal.add_source('shop.view', '{"lead_id": "lead", "kind": "visit", "occurred_at": "at"}', true, false)},
  q{leadscore_internal.add_profiles('shop.view', '{"lead_id": "lead", "properties": ["at"]}', true, false)};
right('another owns the schema', q{CREATE SCHEMA leaver AUTHORIZATION owner; CREATE TABLE leaver.t (id int, lead text, at date DEFAULT '2026-01-01'); SELECT shop.track('leaver.t'); INSERT INTO leaver.t VALUES (1, 'z');
	DROP OWNED BY owner CASCADE});
is($node->safe_psql('shop', $nothing), '0', 'nothing stays');

# ---------- while others are at it ----------

# One does something and waits; another drops; the first commits.
sub race
{
	my ($name, $level, $prepare, $first, $drop) = @_;

	$node->safe_psql('shop', $prepare);
	my $one = $node->background_psql('shop');
	my $other = $node->background_psql('shop', on_error_stop => 0);
	$other->query_safe("BEGIN ISOLATION LEVEL $level; SELECT count(*) FROM leadscore.source") if $level ne 'READ COMMITTED';
	$one->query_safe("SET client_min_messages = error; BEGIN; $first");
	$one->query_safe('COMMIT') if $level ne 'READ COMMITTED';
	$other->query_until(qr/started/, "\\echo started\n$drop;\n");
	select undef, undef, undef, 0.3;
	$one->query_safe('COMMIT') if $level eq 'READ COMMITTED';
	$other->query('COMMIT') if $level ne 'READ COMMITTED';
	$other->query('SELECT 1');
	$_->quit for $one, $other;
	return is($node->safe_psql('shop', $Workload::differences), '', "$name, at $level: timelines equal events");
}
my $table = q{CREATE TABLE shop.r (id int, lead text, at date DEFAULT '2026-01-01'); INSERT INTO shop.r VALUES (11, 'x');};
for my $level ('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE')
{
	race('tracked, and dropped', $level, "DROP TABLE IF EXISTS shop.r; $table", q{SELECT shop.track('shop.r')}, 'DROP TABLE shop.r');
	race('attached, and dropped', $level, "DROP TABLE IF EXISTS shop.r, shop.s; $table SELECT shop.partitioned('shop.s'); SELECT shop.track('shop.s')",
		'ALTER TABLE shop.s ATTACH PARTITION shop.r FOR VALUES FROM (10) TO (20)', 'DROP TABLE shop.r');
	race('a partition is made, and the parent dropped', $level, "DROP TABLE IF EXISTS shop.s; SELECT shop.partitioned('shop.s'); SELECT shop.track('shop.s')",
		q{CREATE TABLE shop.s2 PARTITION OF shop.s FOR VALUES FROM (10) TO (20); INSERT INTO shop.s2 VALUES (11, 'x')}, 'DROP TABLE shop.s');
	race('a table is made, and its schema dropped', $level, 'DROP SCHEMA IF EXISTS made CASCADE; CREATE SCHEMA made',
		q{CREATE TABLE made.t (id int, lead text, at date DEFAULT '2026-01-01'); SELECT shop.track('made.t'); INSERT INTO made.t VALUES (1, 'x')}, 'DROP SCHEMA made CASCADE');
}
$node->safe_psql('shop', "DROP TABLE IF EXISTS shop.r, shop.s; $table SELECT shop.track('shop.r')");
my $session = $node->background_psql('shop', on_error_stop => 0);
$session->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM leadscore.source');
$node->safe_psql('shop', 'DROP TABLE shop.r');
$session->query('SELECT count(*) FROM leadscore.verify()');
like($session->{stderr}, qr/could not serialize access/, 'verify() from before a source was dropped says so');
$session->quit;

# As many sources as before, but not the same.
for my $level ('REPEATABLE READ', 'SERIALIZABLE')
{
	$node->safe_psql('shop', q{DROP TABLE IF EXISTS shop.x, shop.q, shop.p, shop.y; CREATE TABLE shop.x (id int, lead text, at date DEFAULT '2026-01-01'); CREATE TABLE shop.q (LIKE shop.x INCLUDING DEFAULTS);
		INSERT INTO shop.q VALUES (11, 'q'); CREATE TABLE shop.y (LIKE shop.q INCLUDING DEFAULTS); INSERT INTO shop.y VALUES (1, 'y'); SELECT shop.partitioned('shop.p'); SELECT shop.track('shop.x')});
	for my $case ([ 'shop.p', 'ALTER TABLE shop.p ATTACH PARTITION shop.q FOR VALUES FROM (10) TO (20)' ], [ 'shop.y', 'DROP TABLE shop.y' ])
	{
		my ($other, $command) = @$case;

		$session = $node->background_psql('shop', on_error_stop => 0);
		$session->query_safe("BEGIN ISOLATION LEVEL $level; SELECT count(*) FROM leadscore.source");
		$node->safe_psql('shop', "SELECT leadscore.untrack('shop.x'); SELECT shop.track('$other')");
		$session->query("$command; COMMIT");
		$session->quit;
		is($node->safe_psql('shop', $Workload::differences), '', "$command, at $level, where other tables are tracked by now: timelines equal events");
		$node->safe_psql('shop', "SELECT leadscore.untrack('$other'); SELECT shop.track('shop.x')");
	}
}

# A name that becomes an alias while somebody gives it one.
for my $level ('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE')
{
	$node->safe_psql('shop', q{SELECT leadscore.identify('l', 'x')});
	my $one = $node->background_psql('shop');
	$session = $node->background_psql('shop', on_error_stop => 0);
	$session->query_safe("BEGIN ISOLATION LEVEL $level; SELECT count(*) FROM leadscore.lead_alias");
	$one->query_safe(q{BEGIN; SELECT leadscore.identify('x', 'z')});
	$session->query_until(qr/started/, "\\echo started\nSELECT leadscore.identify('a', 'l');\n");
	select undef, undef, undef, 0.3;
	$one->query_safe('COMMIT');
	$session->query('COMMIT');
	$_->quit for $one, $session;
	is($node->safe_psql('shop', q{SELECT count(*) FROM leadscore.lead_alias a JOIN leadscore.lead_alias b ON b.alias = a.lead_id}), '0', "identify(), at $level, makes no chain");
	right('... and all is given back', 'SELECT leadscore.unidentify(alias) FROM leadscore.lead_alias');
}

# ---------- our own tables, changed by somebody ----------

my $write = q{INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('one', 'visit', '2026-01-01'), ('two', 'visit', '2026-01-01'); INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('one', 'visit', '2026-01-02');
	CREATE TABLE shop.own (lead text, at date DEFAULT '2026-01-01'); SELECT leadscore.track('shop.own', lead_id => 'lead', kind => 'visit', occurred_at => 'at', maintenance => 'deferred');
	INSERT INTO shop.own VALUES ('one'), ('three'); SELECT leadscore.score('one'), leadscore.fold(); UPDATE shop.own SET lead = lead || '+'; DROP TABLE shop.own; SELECT leadscore.fold(); DELETE FROM leadscore.event};
$node->safe_psql('shop', q{INSERT INTO leadscore.model (model) VALUES ('m'); INSERT INTO leadscore.derivation (behaviour, derived_kind) VALUES ('visit', 'session')});
# who has changed is noted as before
sub noted
{
	is($node->safe_psql('shop', q{SELECT count(*) FROM leadscore.derive(); INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('one', 'visit', '2026-01-01'), ('two', 'visit', '2026-01-01');
		SELECT sum(added) FROM leadscore.derive(); SELECT sum(added), sum(removed) FROM leadscore.derive(everybody => true); DELETE FROM leadscore.event}), "1\n2\n0|0", "$_[0]: what follows is derived");
}
for my $table (qw(leadscore.lead_timeline leadscore.pending_delta leadscore_internal.changed_lead))
{
	right("$table has another column", "ALTER TABLE $table ADD note text, ADD n int NOT NULL DEFAULT 7; $write");
	noted("$table has another column");
	right("... which is dropped", "ALTER TABLE $table DROP note, DROP n; $write");
	right("$table has another index", "CREATE INDEX extra ON $table (lower(lead_id)); $write");
	noted("$table has another index");
	right("... which is dropped", "DROP INDEX " . ($table =~ s/\.\w+$/.extra/r) . "; $write");
	right("$table has a check", "ALTER TABLE $table ADD CONSTRAINT short CHECK (length(lead_id) < 100); $write; ALTER TABLE $table DROP CONSTRAINT short");
	right("$table has a trigger", "CREATE FUNCTION shop.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER t AFTER INSERT OR UPDATE ON $table FOR EACH ROW EXECUTE FUNCTION shop.nothing();
		$write; DROP TRIGGER t ON $table; DROP FUNCTION shop.nothing()");
}
$node->safe_psql('shop', q{CREATE UNIQUE INDEX extra ON leadscore.lead_timeline (lower(lead_id))});
$node->safe_psql('shop', q{INSERT INTO leadscore.event (lead_id, kind) VALUES ('n', 'visit'), ('N', 'visit')});
refused('a duplicate by an index of the DBA\'s', q{SET statement_timeout = '10s'; SELECT leadscore.fold()}, qr/duplicate key value violates unique constraint "extra"/);
$node->safe_psql('shop', q{DELETE FROM leadscore.event WHERE lead_id = 'N'; SELECT leadscore.fold()});
right('another column, and one lead after the other', "$write; DROP INDEX leadscore.extra");
$node->safe_psql('shop', 'ALTER TABLE leadscore.lead_timeline DROP CONSTRAINT lead_timeline_pkey');
$node->safe_psql('shop', q{INSERT INTO leadscore.event (lead_id, kind) VALUES ('n', 'visit')});
refused('folding without the primary key', 'SELECT leadscore.fold()', qr/no unique or exclusion constraint matching the ON CONFLICT/);
right('it comes back', "ALTER TABLE leadscore.lead_timeline ADD PRIMARY KEY (lead_id); $write");
unlike(slurp_file($node->logfile), qr/terminated by signal|PANIC/, 'no crash in the log');

$node->stop;
done_testing();
