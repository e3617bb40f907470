# Real tables are reloaded, swapped, migrated, disabled and dropped, by people who do not think of us. What can be followed is followed, what
# cannot is told: to whoever does it, and by status, with the statement that mends it. Nothing goes wrong without a word.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use PostgreSQL::Test::Utils;
use Test::More;
use Workload;

my $node = new_node('main', allows_streaming => 'logical');
$node->append_conf('postgresql.conf', "track_functions = pl\nmax_connections = 40");
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE shop');
$node->safe_psql('shop', q{
	SET client_min_messages = warning;
	CREATE EXTENSION leadscore;
	INSERT INTO leadscore.signal (signal, kind) VALUES ('purchase', 'purchase'), ('visit', 'visit');
	CREATE SCHEMA shop;
	CREATE FUNCTION shop.make(name text) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		EXECUTE format('CREATE TABLE shop.%1$I (id int, lead text, at date DEFAULT ''2026-01-01'', total numeric(12,2));
			INSERT INTO shop.%1$I VALUES (1, ''anna'', ''2026-01-01'', 10), (2, ''ben'', ''2026-01-02'', 12)', name);
	END $$;
	CREATE FUNCTION shop.track(name regclass) RETURNS void LANGUAGE sql AS $$
		SELECT leadscore.track(name, lead_id => 'lead', kind => 'purchase', occurred_at => 'at', value => 'total') $$});

# Run statements, and give back what the session was told.
sub told
{
	my ($name, $command) = @_;
	my ($status, undef, $error) = $node->psql('shop', $command, on_error_stop => 1);

	is($status, 0, "$name: the statements succeed") or diag($error);
	return $error =~ s/^psql:\S+: //gmr;
}
sub is_right { return is($node->safe_psql('shop', $Workload::differences), '', "$_[0]: timelines equal events"); }

# ---------- tables of others ----------

# Whoever makes and changes tables that have nothing to do with us calls nothing of ours, however many are tracked.
{
	my $calls = q{SELECT coalesce(sum(calls), 0) FROM pg_stat_user_functions WHERE schemaname = 'leadscore_internal' AND funcname IN ('follow_tables', 'follow_drop')};
	my $flush = q{SELECT pg_stat_force_next_flush()};

	$node->safe_psql('shop', q{SELECT shop.make('mine'); SELECT shop.track('shop.mine');
		CREATE TABLE shop.parted (lead text, at date) PARTITION BY RANGE (at); SELECT leadscore.track('shop.parted', lead_id => 'lead', kind => 'visit', occurred_at => 'at')});
	my $before = $node->safe_psql('shop', $calls);
	$node->safe_psql('shop', qq{
		CREATE TABLE shop.other (id int PRIMARY KEY); ALTER TABLE shop.other ADD name text; CREATE TEMP TABLE t (i int); CREATE TABLE shop.many (i int) PARTITION BY LIST (i);
		CREATE TABLE shop.one PARTITION OF shop.many FOR VALUES IN (1); ALTER TABLE shop.many DETACH PARTITION shop.one; CREATE FUNCTION shop.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
		CREATE TRIGGER record AFTER INSERT ON shop.other FOR EACH STATEMENT EXECUTE FUNCTION shop.f(); ALTER TABLE shop.other RENAME TO others; CREATE SCHEMA more CREATE TABLE x (i int);
		DROP TABLE shop.others, shop.many, shop.one; DROP SCHEMA more CASCADE; $flush});
	is($node->safe_psql('shop', $calls), $before, 'tables of others: nothing of ours is called');
	$node->safe_psql('shop', qq{CREATE TABLE shop.parted_1 PARTITION OF shop.parted FOR VALUES FROM ('2026-01-01') TO ('2026-02-01'); $flush});
	cmp_ok($node->safe_psql('shop', $calls), '>', $before, '... but for a partition of a tracked one');
	$node->safe_psql('shop', q{SET client_min_messages = error; DROP TABLE shop.parted, shop.mine; DROP FUNCTION shop.f});
	is_right('dropped');
}

# A lock on our tables keeps nobody from making tables, or dropping them.
$node->safe_psql('shop', q{BEGIN; LOCK TABLE leadscore.lead_timeline IN ACCESS EXCLUSIVE MODE; PREPARE TRANSACTION 'holder'});
is(told('while lead_timeline is locked', q{SET lock_timeout = '2s'; CREATE TABLE shop.other (i int); ALTER TABLE shop.other ADD j int; DROP TABLE shop.other}), '', '... and they wait for nobody');
$node->safe_psql('shop', q{ROLLBACK PREPARED 'holder'});

# ---------- names that are swapped while somebody drops ----------

for my $level ('READ COMMITTED', 'REPEATABLE READ')
{
	$node->safe_psql('shop', q{SELECT shop.make('orders'), shop.make('returns'); INSERT INTO shop.returns VALUES (3, 'carl'); SELECT shop.track('shop.orders'), shop.track('shop.returns')});
	my $swap = $node->background_psql('shop');
	my $drop = $node->background_psql('shop', on_error_stop => 0);

	$swap->query_safe('BEGIN; ALTER TABLE shop.orders RENAME TO x; ALTER TABLE shop.returns RENAME TO orders; ALTER TABLE shop.x RENAME TO returns');
	$drop->query_until(qr/started/, "\\echo started\nBEGIN ISOLATION LEVEL $level; DROP TABLE shop.orders;\n");
	$node->poll_query_until('shop', q{SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND relation = 'shop.orders'::regclass}) or die;
	$swap->query_safe('COMMIT');
	$drop->query('COMMIT');
	$_->quit for $swap, $drop;
	is_right("names were swapped while one was dropped, at $level");
	is($node->safe_psql('shop', q{SELECT string_agg(source::text, ',') FROM leadscore.source WHERE source::text LIKE 'shop%'}), 'shop.returns', '... the other is tracked as before');
	is($node->safe_psql('shop', q{SELECT count(*) FROM shop.returns}), '2', '... and it is the one that was called orders');
	$node->safe_psql('shop', 'SET client_min_messages = error; DROP TABLE shop.returns');
}

# the same of a schema
{
	$node->safe_psql('shop', q{CREATE SCHEMA one; CREATE SCHEMA two; SELECT shop.make('orders'), shop.make('returns'); ALTER TABLE shop.orders SET SCHEMA one; ALTER TABLE shop.returns SET SCHEMA two;
		SELECT shop.track('one.orders'), shop.track('two.returns')});
	my $swap = $node->background_psql('shop');
	my $drop = $node->background_psql('shop', on_error_stop => 0);

	$swap->query_safe('BEGIN; ALTER SCHEMA one RENAME TO x; ALTER SCHEMA two RENAME TO one; ALTER SCHEMA x RENAME TO two; LOCK TABLE two.orders IN ACCESS EXCLUSIVE MODE');
	$drop->query_until(qr/started/, "\\echo started\nDROP SCHEMA one CASCADE;\n");
	$node->poll_query_until('shop', q{SELECT count(*) > 0 FROM pg_locks WHERE NOT granted}) or die;
	$swap->query_safe('COMMIT');
	$drop->query('SELECT 1');
	$_->quit for $swap, $drop;
	is_right('schemas were swapped while one was dropped');
	$node->safe_psql('shop', 'SET client_min_messages = error; DROP SCHEMA IF EXISTS one CASCADE; DROP SCHEMA IF EXISTS two CASCADE');
	is_right('both are dropped');
}

# ---------- columns ----------

# What status says of tables, as name|state|action.
sub status { return $node->safe_psql('shop', q{SELECT name, state, action FROM leadscore.status WHERE object IN ('source', 'event_trigger', 'lead_timeline') ORDER BY 1, 2}); }
sub fresh { return $node->safe_psql('shop', q{SET client_min_messages = error; DROP TABLE IF EXISTS shop.orders, shop.orders_old, shop.orders_new CASCADE; DELETE FROM leadscore.known_source; SELECT shop.make('orders'); SELECT shop.track('shop.orders'); CALL leadscore.rebuild()}); }
sub rebuilt
{
	my ($name) = @_;

	$node->safe_psql('shop', 'CALL leadscore.rebuild()');
	is_right("$name, rebuilt");
	return is(status(), '', "$name, rebuilt: status is empty");
}
my $rebuild = 'CALL leadscore.rebuild()';

# An ORM's change of type, in two commands or one; renamed away and another one made.
for my $change (q{ALTER TABLE shop.orders DROP total; ALTER TABLE shop.orders ADD total numeric}, q{ALTER TABLE shop.orders DROP total, ADD total numeric DEFAULT 5},
	q{ALTER TABLE shop.orders RENAME total TO old_total; ALTER TABLE shop.orders ADD total numeric}, q{ALTER TABLE shop.orders RENAME lead TO l; ALTER TABLE shop.orders RENAME id TO lead})
{
	fresh();
	my $said = told($change, $change);
	like($said, qr/WARNING:  (?:the rows of shop.orders are no longer counted: its column "(?:total|lead)" (?:was dropped|is called)|timelines may differ from the rows of shop.orders: its column "total" is another column now)/, '... and whoever does it is warned');
	is(status(), q{shop.orders|timelines may differ from its rows: column "} . ($change =~ /lead/ ? 'lead' : 'total') . q{" } . ($change =~ /RENAME (total|lead) TO (\w+)/ ? qq{is called "$2" now} : $change =~ /;/ ? 'was dropped' : 'is another column now') . qq{|$rebuild}, '... and status says so');
	is(told('writing', q{UPDATE shop.orders SET at = at; INSERT INTO shop.orders (at) VALUES ('2026-01-01')}), '', '... but not whoever writes');
	isnt(status(), '', '... status still');
	rebuilt($change);
	is(told('a write', q{UPDATE shop.orders SET total = 1; INSERT INTO shop.orders VALUES (3, '3', '2026-01-01', 1)}), '', '... nothing more is said') if $change !~ /lead/;
	is_right('... and it goes on');
}

# One that is missing: one WARNING to whoever did it, none to those who write.
for my $change ([ 'ALTER TABLE shop.orders DROP total', 'column "total" of table shop.orders does not exist' ], [ 'ALTER TABLE shop.orders RENAME at TO placed', 'column "at" of table shop.orders does not exist' ])
{
	fresh();
	my $size = -s $node->logfile;
	my $said = told($change->[0], $change->[0]);
	is(() = $said =~ /WARNING/g, 1, '... with one WARNING');
	is(told('writing', q{INSERT INTO shop.orders (id, lead) SELECT i, 'x' FROM generate_series(1, 3) i; UPDATE shop.orders SET id = 1; DELETE FROM shop.orders WHERE id = 2}), '', '... and none for writers');
	$node->safe_psql('shop', "INSERT INTO shop.orders (id) VALUES ($_)") for 1 .. 20;
	cmp_ok((-s $node->logfile) - $size, '<', 3000, '... nor in the log');
	is(status(), qq{shop.orders|$change->[1]|SELECT leadscore.untrack('shop.orders') -- then track() it again}, '... status has it');
	# undone: what was written meanwhile has not been counted
	$node->safe_psql('shop', q{SET client_min_messages = error; ALTER TABLE shop.orders RENAME placed TO at}) if $change->[0] =~ /RENAME/;
	$node->safe_psql('shop', q{SET client_min_messages = error; ALTER TABLE shop.orders ADD total int}) if $change->[0] =~ /DROP/;
	like(status(), qr/^shop.orders\|timelines may differ from its rows: .*\|\Q$rebuild\E$/, '... undone, the past is due');
	rebuilt('undone');
}

# Even where our event trigger did not see it.
fresh();
$node->safe_psql('shop', q{ALTER EVENT TRIGGER leadscore_follow_children DISABLE; ALTER TABLE shop.orders DROP total, ADD total numeric; ALTER TABLE shop.orders ADD x int});
like(status(), qr/^leadscore_follow_children\|is disabled: tables that change are not followed\|ALTER EVENT TRIGGER leadscore_follow_children ENABLE; CALL leadscore.rebuild\(\)$/m, 'an event trigger that is disabled');
like(status(), qr/^shop.orders\|timelines may differ from its rows: a column is another one/m, 'a column, unseen');
$node->safe_psql('shop', q{ALTER EVENT TRIGGER leadscore_follow_children ENABLE});
like(status(), qr/^leadscore\|event triggers have been disabled for a while/, 'enabled again: nobody knows what was done meanwhile');
rebuilt('event triggers');

# Types: what keeps its values is no matter.
for my $change ([ 'id', 'total TYPE numeric(12,0)', 1 ], [ 'rounded, with USING', 'total TYPE int USING total + 1', 1 ], [ 'text', 'lead TYPE varchar(50)', 1 ], [ 'shorter', 'lead TYPE varchar(2) USING left(lead, 2)', 1 ],
	[ 'time', 'at TYPE timestamptz', 1 ], [ 'no time', q{at TYPE text}, 2 ])
{
	my ($name, $command, $is_due) = @$change;

	fresh();
	$node->safe_psql('shop', q{ALTER TABLE shop.orders ALTER lead TYPE varchar(20)}) if $name eq 'text';
	$node->safe_psql('shop', $rebuild);
	is(status(), '', 'before');
	my $said = told($command, "ALTER TABLE shop.orders ALTER $command");
	if ($name eq 'text') { is($said . status(), '', "$command: nothing is said"); is_right($command); next; }
	like($said, qr/WARNING:  timelines may differ/, "$command: warned");
	like(status(), $is_due == 1 ? qr/^shop.orders\|timelines may differ from its rows: column "\w+" has changed its type\|/ : qr/^shop.orders\|column "at" is of type text, no time/, '... and status says so');
	rebuilt($command) if $is_due == 1;
}

# ---------- triggers ----------

for my $name ('shop.orders', 'leadscore.event')
{
	fresh();
	like(told("$name: disabled", "ALTER TABLE $name DISABLE TRIGGER ALL"), qr/WARNING:  the rows of $name are not counted: triggers of leadscore are disabled/, '... warned');
	$node->safe_psql('shop', $name eq 'shop.orders' ? q{INSERT INTO shop.orders VALUES (5, 'dora', '2026-01-01', 1)} : q{INSERT INTO leadscore.event (lead_id, kind) VALUES ('dora', 'purchase')});
	like(status(), qr/^$name\|triggers of leadscore are disabled: its rows are not counted\|ALTER TABLE $name ENABLE TRIGGER USER; CALL leadscore.rebuild\(\)$/m, '... status says so');
	$node->safe_psql('shop', "SET client_min_messages = error; $rebuild");
	like(status(), qr/^$name\|triggers of leadscore are disabled/m, '... a rebuild is not enough');
	$node->safe_psql('shop', "ALTER TABLE $name ENABLE TRIGGER ALL");
	like(status(), qr/^$name\|timelines may differ from its rows: triggers of leadscore were disabled\|CALL leadscore.rebuild\(\)$/m, '... enabled again, the past is due');
	rebuilt($name);
}
# of a partition
$node->safe_psql('shop', q{CREATE TABLE shop.parted (lead text, at date) PARTITION BY RANGE (at); CREATE TABLE shop.parted_1 PARTITION OF shop.parted FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
	SELECT leadscore.track('shop.parted', lead_id => 'lead', kind => 'visit', occurred_at => 'at')});
like(told('a partition: disabled', 'ALTER TABLE shop.parted_1 DISABLE TRIGGER "LEADSCORE_1_insert"'), qr/WARNING:  the rows of shop.parted are not counted/, '... warned');
$node->safe_psql('shop', q{INSERT INTO shop.parted_1 VALUES ('p', '2026-01-05')});
like(status(), qr/^shop.parted_1\|triggers of leadscore are disabled/m, '... status says so');
$node->safe_psql('shop', 'ALTER TABLE shop.parted_1 ENABLE TRIGGER ALL');
like(status(), qr/^shop.parted\|timelines may differ/m, '... enabled again, the past is due');
rebuilt('a partition');
$node->safe_psql('shop', q{DROP TRIGGER "LEADSCORE_1_update" ON shop.parted_1});
is(status(), q{shop.parted_1|triggers of leadscore are missing: its rows are not all counted|SELECT leadscore.retrack('shop.parted'); CALL leadscore.rebuild()}, 'a trigger of a partition is dropped');
$node->safe_psql('shop', q{SET client_min_messages = warning; SELECT leadscore.retrack('shop.parted')});
rebuilt('... mended');
$node->safe_psql('shop', q{UPDATE shop.parted_1 SET lead = 'q'; SET client_min_messages = error; DROP TABLE shop.parted; DELETE FROM leadscore.known_source});
is_right('... and dropped');

# Any of them dropped: track(), untrack() and retrack() mend it.
for my $trigger (qw(insert update delete truncate before_insert before_update before_truncate all))
{
	for my $mend (q{SELECT leadscore.untrack('shop.orders')}, q{SELECT shop.track('shop.orders')}, q{SELECT leadscore.retrack('shop.orders')}, q{SELECT leadscore.untrack('shop.orders'); SELECT shop.track('shop.orders')})
	{
		fresh();
		$node->safe_psql('shop', qq{DROP TRIGGER "LEADSCORE_1_$_" ON shop.orders}) for $trigger eq 'all' ? qw(insert update delete truncate before_insert before_update before_delete before_truncate) : $trigger;
		$node->safe_psql('shop', q{INSERT INTO shop.orders VALUES (7, 'eve', '2026-01-01', 3); UPDATE shop.orders SET total = 4; DELETE FROM shop.orders WHERE id = 1});
		isnt(status(), '', "$trigger dropped: status says so");
		told("$trigger dropped, $mend", $mend);
		my $told = $node->safe_psql('shop', 'SELECT count(*) FROM leadscore.verify()') eq '0' || status() ne '';
		ok($told, '... timelines equal events, or status says that they do not');
		rebuilt("... $trigger, $mend");
		my $tracked = $mend eq q{SELECT leadscore.untrack('shop.orders')} ? '' : 'shop.orders';
		is($node->safe_psql('shop', q{SELECT string_agg(source::text, ',') FROM leadscore.source WHERE source::text LIKE 'shop%'}), $tracked, '... it is tracked, or not');
		$node->safe_psql('shop', q{UPDATE shop.orders SET total = 9; INSERT INTO shop.orders VALUES (8, 'fay', '2026-01-01', 3); DELETE FROM shop.orders WHERE id = 2});
		is_right('... and goes on');
		is($node->safe_psql('shop', q{SELECT count(*) FROM pg_trigger WHERE tgrelid = 'shop.orders'::regclass}), $tracked ? 8 : 0, '... with all triggers, or none');
	}
}

# The same of a table of customers.
$node->safe_psql('shop', q{SET client_min_messages = error; CREATE TABLE shop.customers (lead text PRIMARY KEY, country text); INSERT INTO shop.customers VALUES ('anna', 'DE'); SELECT leadscore.track_profile('shop.customers', 'lead', '{country}')});
is(status() =~ s/^shop.orders.*\n?//gmr, '', 'a table of customers');
$node->safe_psql('shop', q{DROP TRIGGER "LEADSCORE_1_before_update" ON shop.customers});
is(status() =~ s/^shop.orders.*\n?//gmr, q{shop.customers|triggers of leadscore are missing: its rows are not all counted|SELECT leadscore.retrack('shop.customers'); CALL leadscore.rebuild()}, '... a trigger of it dropped');
$node->safe_psql('shop', q{SET client_min_messages = error; SELECT leadscore.retrack('shop.customers'); CALL leadscore.rebuild(); UPDATE shop.customers SET country = 'AT'});
is(status() =~ s/^shop.orders.*\n?//gmr, '', '... mended');
is($node->safe_psql('shop', q{SELECT leadscore.fold(); SELECT profile FROM leadscore.lead WHERE lead_id = 'anna'}) =~ s/^\d+\n//r, '{"country": "AT"}', '... and goes on');
$node->safe_psql('shop', q{SELECT leadscore.untrack('shop.customers'); DROP TABLE shop.customers});

# ---------- tables ----------

# Dropped: whoever does it is warned, and status says it until somebody has seen to it.
fresh();
like(told('dropped', 'DROP TABLE shop.orders'), qr/WARNING:  the rows of shop.orders no longer count: it is tracked, and is being dropped/, '... warned');
is_right('dropped');
like(status(), qr/^shop.orders\|was dropped: its rows no longer count\|DELETE FROM leadscore.known_source WHERE source = \d+$/, '... and status says so');
like(told('made again', q{SELECT shop.make('orders')}), qr/WARNING:  shop.orders is not tracked: it has the name of a table that was tracked, and dropped\nHINT:  SELECT leadscore.retrack\('shop.orders'\)/, '... warned');
is(status(), q{shop.orders|was dropped and made again, and is not tracked|SELECT leadscore.retrack('shop.orders')}, '... and status says so');
$node->safe_psql('shop', q{SELECT leadscore.retrack('shop.orders')});
is(status(), '', '... tracked again');
is_right('tracked again');
is($node->safe_psql('shop', q{SELECT count(*) FROM leadscore.lead_timeline WHERE lead_id IN ('anna', 'ben')}), '2', '... its rows count');
like(told('made again by a query', q{DROP TABLE shop.orders; CREATE TABLE shop.orders AS SELECT 1 AS id, 'anna' AS lead, date '2026-01-01' AS at, 7.5 AS total}), qr/WARNING:  shop.orders is not tracked/, '... warned');
$node->safe_psql('shop', q{SELECT leadscore.retrack('shop.orders')});
rebuilt('made again by a query');

# Swapped: dbt, Airbyte, pgslice, pg-osc. The tracking moves without a transition, before the old one goes or after.
$node->safe_psql('shop', q{SELECT leadscore.publish('{"model": "m", "signals": [{"signal": "purchase", "kind": "purchase"}], "weights": [{"signal": "purchase", "measure": "value", "points": 1}],
	"segments": [{"segment": "high", "position": 1, "min_score": 5}, {"segment": "low", "position": 2}]}')});
fresh();
$node->safe_psql('shop', q{CALL leadscore.watch('m', false)});
my $changes = q{SELECT count(*) FROM leadscore.segment_change};
my $before = $node->safe_psql('shop', $changes);
$node->safe_psql('shop', q{SELECT shop.make('orders_new'); INSERT INTO shop.orders_new VALUES (3, 'cleo', '2026-01-03', 1)});
my $said = told('swapped', q{BEGIN; ALTER TABLE shop.orders RENAME TO orders_old; ALTER TABLE shop.orders_new RENAME TO orders; COMMIT});
like($said, qr/WARNING:  shop.orders is not tracked: it has the name of a table that is tracked, and is now shop.orders_old\nHINT:  SELECT leadscore.retrack\('shop.orders'\)/, '... warned');
is(status(), q{shop.orders_old|is tracked; shop.orders, which has its former name, is not|SELECT leadscore.retrack('shop.orders') -- or, to leave it so, retrack('shop.orders_old')}, '... and status says so');
is(told('moved', q{SELECT leadscore.retrack('shop.orders'); DROP TABLE shop.orders_old}), '', 'retrack() says nothing, nor does the drop of the old one');
is(status(), '', '... and status is empty');
is_right('moved');
is($node->safe_psql('shop', qq{SELECT leadscore.refresh_segments(); CALL leadscore.see_changes(); $changes}) =~ s/^\n//r, $before + 1, '... the one transition is that of a new lead');
is($node->safe_psql('shop', q{SELECT string_agg(source::text, ',') FROM leadscore.source WHERE source::text LIKE 'shop%'}), 'shop.orders', '... the new one is tracked');
# in one transaction with the swap
$node->safe_psql('shop', q{SET client_min_messages = error; CREATE TABLE shop.orders_new AS TABLE shop.orders; BEGIN; ALTER TABLE shop.orders RENAME TO orders_old; ALTER TABLE shop.orders_new RENAME TO orders;
	SELECT leadscore.retrack('shop.orders'); DROP TABLE shop.orders_old; COMMIT});
rebuilt('swapped and moved in one transaction');
is($node->safe_psql('shop', $changes), $before + 1, '... without a transition');
# what stays as it is
$node->safe_psql('shop', q{SET client_min_messages = error; ALTER TABLE shop.orders RENAME TO orders_old; SELECT shop.make('orders'); SELECT leadscore.retrack('shop.orders_old')});
is(status(), '', 'retrack() of the renamed one leaves it so');
$node->safe_psql('shop', q{SET client_min_messages = error; DROP TABLE shop.orders});
is(status(), '', '... and the other is nobody\'s');
like(($node->psql('shop', q{SELECT shop.make('orders'); SELECT leadscore.retrack('shop.orders')}))[2], qr/no table of the name shop.orders was tracked/, 'retrack() of any other is refused');
$node->safe_psql('shop', q{SET client_min_messages = error; SELECT leadscore.unwatch('m')});

# one that has not the columns
fresh();
$node->safe_psql('shop', q{SET client_min_messages = error; ALTER TABLE shop.orders RENAME TO orders_old; CREATE TABLE shop.orders (id int)});
like(($node->psql('shop', q{SELECT leadscore.retrack('shop.orders')}))[2], qr/ERROR:  shop.orders cannot be tracked as its predecessor was\nDETAIL:  column "\w+" of table shop.orders does not exist\./, 'a table with other columns is refused');
is_right('... and nothing has changed');

# ---------- our own tables ----------

$node->safe_psql('shop', q{SET client_min_messages = error; DROP TABLE shop.orders, shop.orders_old; DELETE FROM leadscore.known_source; CALL leadscore.rebuild()});
# What status says of all objects but signals, as object|name|state|action.
sub all_status { return $node->safe_psql('shop', q{SELECT object, name, state, action FROM leadscore.status WHERE object NOT IN ('signal', 'lead_segment') ORDER BY 1, 2, 3}); }
is(all_status(), '', 'status is empty');
for my $case ([ 'ALTER TABLE leadscore.lead_timeline SET UNLOGGED', 'own_table|lead_timeline|is unlogged: a crash empties it|ALTER TABLE leadscore.lead_timeline SET LOGGED', 'ALTER TABLE leadscore.lead_timeline SET LOGGED' ],
	[ 'ALTER TABLE leadscore.pending_delta SET UNLOGGED', 'own_table|pending_delta|is unlogged: a crash empties it|ALTER TABLE leadscore.pending_delta SET LOGGED', 'ALTER TABLE leadscore.pending_delta SET LOGGED' ],
	[ 'ALTER TABLE leadscore.event ADD campaign text', 'own_table|event|has the column "campaign", which is not ours: all rows would be lost when a dump is restored|ALTER TABLE leadscore.event DROP COLUMN campaign -- after copying it to a table of your own', 'ALTER TABLE leadscore.event DROP campaign' ],
	[ 'ALTER TABLE leadscore.weight ADD "my note" text', 'own_table|weight|has the column "my note", which is not ours: all rows would be lost when a dump is restored|ALTER TABLE leadscore.weight DROP COLUMN "my note" -- after copying it to a table of your own', 'ALTER TABLE leadscore.weight DROP "my note"' ])
{
	my ($do, $says, $undo) = @$case;

	like(told($do, $do), qr/WARNING:  the table leadscore\.\w+ (?:is unlogged|has the column)/, '... warned');
	is(all_status(), $says, '... and status says so');
	is(told($undo, $undo), '', '... undone without a word');
	is(all_status(), '', '... status is empty');
}

# A second unique index of the definition of the primary key, as REINDEX CONCURRENTLY makes it, changes nothing.
{
	my $pending = q{BEGIN; INSERT INTO leadscore.event (lead_id, kind) VALUES ('anna', 'visit'), ('new ' || random(), 'visit'); SELECT count(*) FROM leadscore.pending_delta; COMMIT};

	is($node->safe_psql('shop', qq{CREATE UNIQUE INDEX again ON leadscore.lead_timeline (lead_id); $pending}), '0', 'a second unique index of the same definition: rows are written as before');
	is($node->safe_psql('shop', qq{DROP INDEX leadscore.again; CREATE UNIQUE INDEX other ON leadscore.lead_timeline (lower(lead_id)); $pending}), '2', '... one of another definition: deltas are appended');
	$node->safe_psql('shop', q{DROP INDEX leadscore.other; SELECT leadscore.fold()});

	append_to_file($node->basedir . '/reindex.sql', "\\set lead random(1, 3000)\nINSERT INTO leadscore.event (lead_id, kind) VALUES ('r' || :lead, 'visit');\n");
	my %load;
	local $ENV{PGOPTIONS} = '-c client_min_messages=warning';
	my $handle = IPC::Run::start([ 'pgbench', '-n', '-h', $node->host, '-p', $node->port, '-c', 16, '-j', 2, '-T', 4, '-f', $node->basedir . '/reindex.sql', 'shop' ], '<', \undef, '>', \$load{out}, '2>', \$load{err});
	$node->safe_psql('shop', 'REINDEX INDEX CONCURRENTLY leadscore.lead_timeline_pkey') for 1 .. 4;
	ok($handle->finish, '16 writers beside REINDEX CONCURRENTLY: none fails') or diag(substr $load{err}, 0, 2000);
	is_right('... reindexed');
}

# Publications.
$node->safe_psql('shop', q{CREATE PUBLICATION everything FOR ALL TABLES});
is($node->safe_psql('shop', q{SELECT string_agg(c.oid::regclass::text, ',') FROM pg_class c WHERE c.relnamespace IN ('leadscore'::regnamespace, 'leadscore_internal'::regnamespace) AND c.relkind = 'r' AND c.relreplident <> 'f'
	AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)}), '', 'every table of ours has a replica identity');
told('all tables are published', q{INSERT INTO leadscore.event (lead_id, kind) VALUES ('p', 'visit'); CALL leadscore.compact('2026-01-01'); CALL leadscore.compact('2026-01-02'); CALL leadscore.rebuild(); SELECT leadscore.fold(); DELETE FROM leadscore.compaction; CALL leadscore.rebuild();
	CALL leadscore.watch('m', false); INSERT INTO leadscore.event (lead_id, kind, value) VALUES ('p', 'purchase', 100); BEGIN; SELECT leadscore.acknowledge_changes('c', max(change_id)) FROM leadscore.take_changes('c'); COMMIT; SELECT leadscore.identify('q', 'p'); SELECT leadscore.unidentify('q'); SELECT leadscore.unwatch('m')});
for my $publication ('FOR ALL TABLES', 'FOR TABLE leadscore.lead_timeline', 'FOR TABLES IN SCHEMA leadscore')
{
	$node->safe_psql('shop', "SET client_min_messages = error; DROP PUBLICATION IF EXISTS everything; CREATE PUBLICATION everything $publication");
	like(($node->psql('shop', 'SELECT leadscore.partition_timelines(2)'))[2], qr/ERROR:  lead_timeline is published\nDETAIL:  Subscribers of everything/, "partition_timelines() is refused, $publication");
}
$node->safe_psql('shop', 'DROP PUBLICATION everything; SELECT leadscore.partition_timelines(2); SELECT leadscore.partition_timelines(1)');

# A subscriber: what it is sent fires no statement trigger.
fresh();
$node->safe_psql('postgres', 'CREATE DATABASE publisher');
$node->safe_psql('publisher', q{CREATE SCHEMA shop; CREATE TABLE shop.orders (id int, lead text, at date, total numeric(12,2)); CREATE PUBLICATION orders FOR ALL TABLES; SELECT pg_create_logical_replication_slot('orders', 'pgoutput')});
my $connection = $node->connstr('publisher') =~ s/'/''/gr;
$node->safe_psql('shop', qq{SET client_min_messages = error; CREATE SUBSCRIPTION orders CONNECTION '$connection' PUBLICATION orders WITH (create_slot = false, slot_name = 'orders', copy_data = false)});
$node->safe_psql('publisher', q{INSERT INTO shop.orders VALUES (10, 'sent', '2026-01-01', 5)});
$node->poll_query_until('shop', q{SELECT count(*) = 1 FROM shop.orders WHERE lead = 'sent'}) or die;
like(status(), qr/^shop.orders\|is filled by a subscription, whose rows fire no statement trigger\|CALL leadscore.rebuild\(\) from a schedule/, 'status says so on a subscriber');
$node->safe_psql('shop', q{SET client_min_messages = error; ALTER SUBSCRIPTION orders DISABLE; ALTER SUBSCRIPTION orders SET (slot_name = NONE); DROP SUBSCRIPTION orders});
is(status(), q{shop.orders|timelines may differ from its rows: a subscription has written to it|CALL leadscore.rebuild()}, '... and when it has ended');
rebuilt('promoted');

# ---------- who waits for whom ----------

$node->safe_psql('shop', q{INSERT INTO leadscore.model (model) VALUES ('unwatched'); BEGIN; DELETE FROM leadscore.model WHERE model = 'unwatched'; PREPARE TRANSACTION 'd'});
is(told('a model that nobody watches is being deleted', q{SET lock_timeout = '2s'; INSERT INTO leadscore.event (lead_id, kind) VALUES ('x', 'purchase'); CALL leadscore.watch('m', false); INSERT INTO leadscore.event (lead_id, kind) VALUES ('x', 'purchase')}), '', '... and writers do not wait');
$node->safe_psql('shop', q{ROLLBACK PREPARED 'd'; SELECT leadscore.unwatch('m'); DELETE FROM leadscore.model WHERE model = 'unwatched'});
for my $command ('CALL leadscore.rebuild()', 'SELECT count(*) FROM leadscore.derive(everybody => true)')
{
	$node->safe_psql('shop', q{BEGIN; INSERT INTO leadscore.event (lead_id, kind) VALUES ('y', 'visit'); PREPARE TRANSACTION 'left open'});
	my $idle = $node->background_psql('shop');
	my $waiting = $node->background_psql('shop', on_error_stop => 0);
	$idle->query_safe(q{BEGIN; INSERT INTO leadscore.event (lead_id, kind) VALUES ('z', 'visit')});
	my $pid = $idle->query_safe('SELECT pg_backend_pid()') =~ s/\D//gr;
	$waiting->query_until(qr/started/, "\\echo started\n$command;\n");
	select undef, undef, undef, 2.5;
	$node->safe_psql('shop', q{COMMIT PREPARED 'left open'});
	$idle->query_safe('COMMIT');
	$waiting->query('SELECT 1');
	like($waiting->{stderr}, qr/NOTICE:  waiting for transactions that began to write before\nDETAIL:  They are of (?=.*prepared transaction 'left open')(?=.*process $pid \(idle in transaction, for )/, "$command says for whom it waits");
	$_->quit for $idle, $waiting;
}
is_right('... and has waited');

# One rebuild waits for another, and says for whom.
{
	my $idle = $node->background_psql('shop');
	my @rebuild = map { $node->background_psql('shop', on_error_stop => 0) } 1 .. 2;

	$idle->query_safe(q{BEGIN; INSERT INTO leadscore.event (lead_id, kind) VALUES ('z', 'visit')});
	my $pid = $rebuild[0]->query_safe('SELECT pg_backend_pid()') =~ s/\D//gr;
	$rebuild[0]->query_until(qr/started/, "\\echo started\nCALL leadscore.rebuild();\n");
	$node->poll_query_until('shop', q{SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 3 AND mode = 'ExclusiveLock'}) or die;
	$rebuild[1]->query_until(qr/started/, "\\echo started\nCALL leadscore.rebuild();\n");
	$node->poll_query_until('shop', q{SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 3 AND NOT granted}) or die;
	$idle->query_safe('COMMIT');
	$_->query('SELECT 1') for @rebuild;
	like($rebuild[1]->{stderr}, qr/NOTICE:  waiting for rebuilds of other sessions\nDETAIL:  They are of process $pid \(active, for /, 'a rebuild says for whose rebuild it waits');
	$_->quit for $idle, @rebuild;
}
is_right('... and has waited');

# ---------- tables that lead_timeline is split into ----------

{
	my $place = $node->basedir . '/place';

	mkdir $place;
	$node->safe_psql('shop', "CREATE TABLESPACE place LOCATION '$place'");
	my $where = q{SELECT string_agg(DISTINCT coalesce(s.spcname, 'default'), ',') FROM pg_class c LEFT JOIN pg_tablespace s ON s.oid = c.reltablespace WHERE c.relname ~ '^lead_timeline_[0-9]+(_pkey)?$'};
	$node->safe_psql('shop', q{SET default_tablespace = place; SELECT leadscore.partition_timelines(2)});
	is($node->safe_psql('shop', $where), 'default', 'split tables are where lead_timeline is, whatever default_tablespace is');
	$node->safe_psql('shop', q{SELECT leadscore.partition_timelines(1); ALTER TABLE leadscore.lead_timeline SET TABLESPACE place; ALTER INDEX leadscore.lead_timeline_pkey SET TABLESPACE place; SELECT leadscore.partition_timelines(3)});
	is($node->safe_psql('shop', $where), 'place', '... there, too');
	is($node->safe_psql('shop', q{SET quote_all_identifiers = on; SELECT string_agg(number || '/' || of, ',') FROM leadscore_internal.split_tables()}), '0/3,1/3,2/3', 'split_tables() under quote_all_identifiers');
	told('split anew under quote_all_identifiers', q{SET quote_all_identifiers = on; SELECT leadscore.partition_timelines(2); SELECT leadscore.partition_timelines(1); ALTER TABLE leadscore.lead_timeline SET TABLESPACE pg_default; ALTER INDEX leadscore.lead_timeline_pkey SET TABLESPACE pg_default});
	is_right('split and together again');

	# later: they go where lead_timeline goes, and its index with theirs
	my $apart = q{SELECT string_agg(DISTINCT relkind::text || ' ' || coalesce(s.spcname, 'default'), ', ') FROM pg_class c LEFT JOIN pg_tablespace s ON s.oid = c.reltablespace WHERE c.relname ~ '^lead_timeline_[0-9]+(_pkey)?$'};
	told('moved later', q{SELECT leadscore.partition_timelines(3); ALTER TABLE leadscore.lead_timeline SET TABLESPACE place});
	is($node->safe_psql('shop', $apart), 'i default, r place', 'split tables follow lead_timeline into another tablespace');
	told('the index moved later', q{ALTER INDEX leadscore.lead_timeline_pkey SET TABLESPACE place});
	is($node->safe_psql('shop', $apart), 'i place, r place', '... and their indexes its index');
	is_right('moved');
	told('moved back', q{ALTER TABLE leadscore.lead_timeline SET TABLESPACE pg_default; ALTER INDEX leadscore.lead_timeline_pkey SET TABLESPACE pg_default});
	is($node->safe_psql('shop', $apart), 'i default, r default', '... and back');
	$node->safe_psql('shop', 'SELECT leadscore.partition_timelines(1)');
	is_right('moved back');
}

# ---------- tables of many partitions ----------

# What is looked at follows the number of partitions, not its square, also when the catalog has been analyzed.
$node->safe_psql('shop', q{
	CREATE TABLE shop.many (id int, lead text, at date DEFAULT '2026-01-01') PARTITION BY LIST (id);
	DO $$BEGIN FOR i IN 1 .. 120 LOOP EXECUTE format('CREATE TABLE shop.many_%1$s PARTITION OF shop.many FOR VALUES IN (%1$s)', i); END LOOP; END$$;
	SELECT leadscore.track('shop.many', lead_id => 'lead', kind => 'visit', occurred_at => 'at');
	ANALYZE});
cmp_ok($node->safe_psql('shop', q{BEGIN; SET LOCAL track_functions = 'all'; ALTER TABLE shop.many ADD extra int;
	SELECT calls FROM pg_stat_xact_user_functions WHERE schemaname = 'leadscore_internal' AND funcname = 'family_above'; ROLLBACK}), '<', 1000, 'an ALTER TABLE looks a few times for what is above each of 120 partitions');
$node->safe_psql('shop', 'DROP TABLE shop.many');

# ---------- large tables, and those that compare otherwise ----------

$node->safe_psql('shop', q{SET client_min_messages = error; DROP TABLE shop.orders; DELETE FROM leadscore.known_source; CALL leadscore.rebuild(); SELECT shop.make('orders');
	SELECT leadscore.track('shop.orders', lead_id => 'lead', kind => 'purchase', occurred_at => 'at', past => false)});
is($node->safe_psql('shop', q{SELECT count(*) FROM leadscore.lead_timeline WHERE lead_id IN ('ben')}), '0', 'past => false: nothing is counted');
is(status(), 'shop.orders|timelines may differ from its rows: the rows that were there when it was tracked are not yet counted|CALL leadscore.rebuild()', '... status says so');
$node->safe_psql('shop', q{DELETE FROM shop.orders WHERE lead = 'anna'; INSERT INTO shop.orders VALUES (7, 'ben')});
rebuilt('past => false');
is(told('past => false of an empty table', q{CREATE TABLE shop.empty (lead text, at date); SELECT leadscore.track('shop.empty', lead_id => 'lead', kind => 'purchase', occurred_at => 'at', past => false)}) . status(), '', '... there is nothing to say');
# What track() says of the rows that are there: how many count, and why others do not.
$node->safe_psql('shop', q{CREATE TABLE shop.mixed (lead text, what text, at timestamptz, total float8) PARTITION BY LIST (what);
	CREATE TABLE shop.mixed_1 PARTITION OF shop.mixed FOR VALUES IN ('purchase', 'visit', ''); CREATE TABLE shop.mixed_2 PARTITION OF shop.mixed DEFAULT;
	INSERT INTO shop.mixed VALUES ('a', 'purchase', '2026-01-01', 1), ('a', 'visit', '2026-01-01', NULL), ('b', 'visit', now() + interval '1 day', 1), ('c', 'purchase', now() + interval '1 year', 1),
		(NULL, 'visit', '2026-01-01', 1), ('', 'visit', '2026-01-01', 1), (repeat('x', 1025), 'visit', '2026-01-01', 1), ('a', '', '2026-01-01', 1), ('a', NULL, '2026-01-01', 1),
		('a', 'visit', NULL, 1), ('a', 'visit', '1969-12-31', 1), ('a', 'visit', 'infinity', 1), ('a', 'visit', '2026-01-01', 'NaN'), ('a', 'refund', '2026-01-01', 1), ('a', 'purchse', '2026-01-01', 1)});
is(told('track() of rows of all kinds', q{SELECT leadscore.track('shop.mixed', lead_id => 'lead', kind_column => 'what', occurred_at => 'at', value => 'total')}),
	"NOTICE:  rows of shop.mixed that are counted: 4\n"
	. 'DETAIL:  Skipped for a lead that is NULL, empty or over 1024 bytes: 3, such as ctid (0,5) of shop.mixed_1. Skipped for a kind that is NULL or empty: 2, such as ctid (0,8) of shop.mixed_1. '
	. 'Skipped for a time that is NULL or not in the years 1970 to 9999: 3, such as ctid (0,9) of shop.mixed_1. Skipped for a value that is no number below 10^12: 1, such as ctid (0,12) of shop.mixed_1. '
	. "Taken by no signal: 2, such as ctid (0,2) of shop.mixed_2. In the future: 2, such as ctid (0,3) of shop.mixed_1.\n"
	. 'HINT:  Rows that are skipped count once an UPDATE has corrected them. Rows that no signal takes count once there is a signal for them, and after CALL leadscore.rebuild(). '
	. 'Scores take rows of the future into account when their time has come.', 'track() says how many rows are counted, and why others are not');
is_right('... and counts these');
is(told('track() of rows that all count', q{CREATE TABLE shop.plain AS SELECT 'a' AS lead, date '2026-01-01' AS at FROM generate_series(1, 3); SELECT leadscore.track('shop.plain', lead_id => 'lead', kind => 'visit', occurred_at => 'at')}),
	'NOTICE:  rows of shop.plain that are counted: 3', '... in one line where they all are');
$node->safe_psql('shop', q{SET client_min_messages = error; DROP TABLE shop.mixed, shop.plain});

like(told('a large table', q{SET client_min_messages = error; CREATE TABLE shop.large AS SELECT i AS lead, date '2026-01-01' AS at FROM generate_series(1, 150000) i; ANALYZE shop.large; RESET client_min_messages;
	SELECT leadscore.track('shop.large', lead_id => 'lead', kind => 'visit', occurred_at => 'at', past => false)}),
	qr/^\s*NOTICE:  no row of shop.large is counted yet\nHINT:  CALL leadscore.rebuild\(\) counts them while writers go on.\s*$/, 'past => false of a large table: nothing is counted yet');
like(told('a large table', q{SELECT leadscore.track('shop.large', lead_id => 'lead', kind => 'nothing', occurred_at => 'at')}), qr/NOTICE:  counting some 150000 rows of shop.large; writers of the table wait in the meantime/, '... else a NOTICE');
$node->safe_psql('shop', q{SET client_min_messages = error; DROP TABLE shop.large, shop.empty; DELETE FROM leadscore.known_source WHERE dropped; CALL leadscore.rebuild()});

SKIP:
{
	skip 'no ICU', 4 if $node->psql('shop', q{CREATE COLLATION shop.any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false)});
	like(told('a nondeterministic collation', q{CREATE TABLE shop.people (lead text COLLATE shop.any_case, at date DEFAULT '2026-01-01'); INSERT INTO shop.people VALUES ('Zoe'), ('zoe'), ('ZOE');
		SELECT leadscore.track('shop.people', lead_id => 'lead', kind => 'visit', occurred_at => 'at')}), qr/NOTICE:  texts in column "lead" of shop.people can be equal and have other bytes/, 'track() tells of a nondeterministic collation');
	is($node->safe_psql('shop', q{SELECT removed || '/' || remaining FROM leadscore.forget('zoe', tracked => true) WHERE source = 'shop.people'::regclass}), '1/0', 'forget() takes the one of these bytes');
	is($node->safe_psql('shop', q{SELECT string_agg(lead, ',' ORDER BY lead COLLATE "C") FROM shop.people}), 'ZOE,Zoe', '... and no other');
	is_right('forgotten');
}

$node->stop;
done_testing();
