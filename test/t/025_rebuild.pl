# Rebuilding online: nothing is lost and nobody waits while writers write, it can be broken off and run again, and a
# new signal reads only the tables that can have it.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use Workload;

my $node = new_node('main');
$node->start;
setup_shop($node);
my $leads = 20000;
$node->safe_psql('shop', qq{
	INSERT INTO leadscore.event (lead_id, kind, occurred_at)
	SELECT 'many ' || i % $leads, 'visit', timestamptz '2026-01-01' + i % 700 * interval '1 hour' FROM generate_series(1, 4 * $leads) i;
	INSERT INTO shop.orders (client, lead, total) SELECT 100, 1 + i % 60, 1 FROM generate_series(1, 1000) i;
	ANALYZE});

# ---------- while writers write ----------

for my $n (1 .. 2)
{
	my $load = start_load($node, 5, without => 'rebuild');		# (one at a time)

	$node->safe_psql('shop', qq{INSERT INTO leadscore.signal (signal, kind) VALUES ('new $n', 'visit')});
	is($node->safe_psql('shop', q{SELECT name FROM leadscore.status WHERE state LIKE '%not yet%'}), "new $n", 'status tells that history waits');
	my $began = time;
	$node->safe_psql('shop', $n == 1 ? "CALL leadscore.rebuild(signals => ARRAY['new $n'])" : 'CALL leadscore.rebuild()');
	note(sprintf '%d leads in %.1f s', $leads, time - $began);
	finish_load($load);
	is($node->safe_psql('shop', q{SELECT name FROM leadscore.status WHERE object = 'signal'}), '', '... and no longer');
	is_true($node, "rebuild $n under load");
}

# ---------- nobody waits for longer than a batch ----------

# A long transaction that has written keeps the rebuild waiting; writers go on.
{
	my $writer = $node->background_psql('shop');
	$writer->query_safe(q{BEGIN; INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('slow', 'visit', '2026-01-01')});
	my ($out, $err) = ('', '');
	my $rebuild = IPC::Run::start([ 'psql', '-X', '-h', $node->host, '-p', $node->port, '-c', 'CALL leadscore.rebuild()', 'shop' ],
		'>', \$out, '2>', \$err);
	ok($node->poll_query_until('shop', q{SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'CALL leadscore.rebuild%'}),
		'a rebuild waits for a transaction that has written');
	my ($status) = $node->psql('shop', q{SET lock_timeout = '1s'; INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('quick', 'visit', '2026-01-01');
		INSERT INTO shop.visits VALUES (1, 'quick', 'visit', '2026-01-01', NULL); UPDATE shop.orders SET total = 2 WHERE client = 100 AND lead = 3;
		SELECT leadscore.identify('quicker', 'quick'); SELECT leadscore.fold()});
	is($status, 0, '... and nobody waits for the rebuild');
	$writer->query_safe('COMMIT');
	$writer->quit;
	ok($rebuild->finish, '... which then ends');
	is_true($node, 'rebuild after a long transaction');
}

# ---------- names that change meanwhile ----------

# A visitor that lacks something is made an alias, given back and made an alias of another lead, all while what was
# found to lack is not added yet: unidentify() has counted it, too, and it is the third lead that has it twice.
$node->safe_psql('shop', q{
	INSERT INTO leadscore.event (lead_id, kind, occurred_at) SELECT 'moves', 'visit', '2026-01-01' FROM generate_series(1, 3);
	INSERT INTO leadscore.signal (signal, kind) VALUES ('while it moves', 'visit')});
{
	my $writer = $node->background_psql('shop');
	my $names = $node->background_psql('shop');
	my ($out, $err) = ('', '');
	my $waiting = q{SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE '%s' AND wait_event = '%s'};

	$writer->query_safe(q{BEGIN; INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('slow', 'visit', '2026-01-01')});
	my $rebuild = IPC::Run::start([ 'psql', '-X', '-h', $node->host, '-p', $node->port, '-c', 'CALL leadscore.rebuild()', 'shop' ],
		'>', \$out, '2>', \$err);
	ok($node->poll_query_until('shop', sprintf $waiting, 'CALL leadscore.rebuild%', 'virtualxid'), 'a rebuild waits for a writer');
	# whoever keeps writers of timelines out lets the rebuild look, but not add
	$names->query_until(qr/begun/, "\\echo begun\nBEGIN; LOCK leadscore.lead_timeline IN SHARE MODE;\n");
	ok($node->poll_query_until('shop', sprintf $waiting, '%LOCK leadscore%', 'relation'), '... and somebody for the same');
	$writer->query_safe('COMMIT');
	ok($node->poll_query_until('shop', sprintf $waiting, 'CALL leadscore.rebuild%', 'relation'), '... it has found what timelines lack');
	$names->query_safe(q{SELECT leadscore.identify('moves', 'first'); SELECT leadscore.unidentify('moves'); SELECT leadscore.identify('moves', 'second'); COMMIT});
	ok($rebuild->finish, '... and adds it');
	$_->quit for $writer, $names;
	is_true($node, 'names that moved meanwhile');
}

# ---------- broken off ----------

$node->safe_psql('shop', q{INSERT INTO leadscore.signal (signal, kind) VALUES ('broken off', 'visit')});
for my $how ('pg_cancel_backend', 'pg_terminate_backend', 'kill -9')
{
	my ($out, $err) = ('', '');
	my $rebuild = IPC::Run::start([ 'psql', '-X', '-h', $node->host, '-p', $node->port, '-c', 'CALL leadscore.rebuild()', 'shop' ],
		'>', \$out, '2>', \$err);
	sleep(0.1 + rand 0.4);
	my $who = q{FROM pg_stat_activity WHERE query LIKE 'CALL leadscore.rebuild%' AND state = 'active' AND backend_type = 'client backend'};
	if ($how eq 'kill -9')
	{
		my $pid = $node->safe_psql('shop', "SELECT pid $who");
		kill 'KILL', $pid if $pid;
	}
	else
	{
		$node->safe_psql('shop', "SELECT $how(pid) $who");
	}
	$rebuild->finish;
	note("$how: ", $err =~ s/\n.*//sr);
	wait_until_up($node);
}
is($node->safe_psql('shop', q{SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CALL%' AND state = 'active'}), '0', 'it was broken off');
$node->safe_psql('shop', 'CALL leadscore.rebuild()');
is_true($node, 'broken off, and run again');
is($node->safe_psql('shop', q{SELECT count(*) FROM leadscore.status WHERE object = 'signal'}), '0', 'nothing waits');

# It can be run within a transaction, too, and then commits nothing.
$node->safe_psql('shop', q{
	UPDATE leadscore.lead_timeline SET timeline = timeline OPERATOR(leadscore.+) timeline WHERE lead_id < 'many 2';
	BEGIN; CALL leadscore.rebuild(); ROLLBACK});
isnt($node->safe_psql('shop', 'SELECT count(*) FROM leadscore.verify()'), '0', 'rolled back');
$node->safe_psql('shop', 'BEGIN; CALL leadscore.rebuild(); COMMIT');
is_true($node, 'in a transaction');
my ($status, undef, $error) = $node->psql('shop', q{SET default_transaction_isolation = 'repeatable read'; CALL leadscore.rebuild()});
like($error, qr/must run at the isolation level read committed/, 'at another isolation level it is refused');

# ---------- what it reads ----------

$node->safe_psql('shop', q{INSERT INTO leadscore.signal (signal, kind) VALUES ('only refunds', 'refund')});
sub scans
{
	$node->safe_psql('shop', 'SELECT pg_stat_force_next_flush()');
	return $node->safe_psql('shop', "SELECT coalesce(seq_scan, 0) + coalesce(idx_scan, 0) FROM pg_stat_all_tables WHERE relid = '$_[0]'::regclass");
}
my %before = map { $_ => scans($_) } qw(shop.orders shop.refund shop.clicks shop.small);
$node->safe_psql('shop', q{CALL leadscore.rebuild(signals => '{only refunds}'); SELECT pg_stat_force_next_flush()});
sleep 0.5;
cmp_ok(scans('shop.refund'), '>', $before{'shop.refund'}, 'rebuild(signals) reads the table that has events of the kind');
is(scans($_), $before{$_}, "... and not $_") for qw(shop.orders shop.clicks shop.small);
is_true($node, 'one signal');

# ---------- its progress ----------

# It is seen while it waits for a writer, and gone with the process.
$node->safe_psql('shop', q{BEGIN; INSERT INTO leadscore.event (lead_id, kind) VALUES ('writer', 'visit'); PREPARE TRANSACTION 'writer'});
my %rebuild;
my $handle = IPC::Run::start([ 'psql', '-XAtq', '-h', $node->host, '-p', $node->port, '-d', 'shop', '-c', 'CALL leadscore.rebuild()' ], '<', \undef, '>', \$rebuild{out}, '2>', \$rebuild{err});
ok($node->poll_query_until('shop', q{SELECT count(*) = 1 FROM leadscore.progress WHERE command = 'rebuild' AND phase = 'waiting for writers'}), 'other sessions see what a rebuild does');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid > 255 AND mode <> 'AccessShareLock'}), '0', '... by locks that nobody waits for');
$node->safe_psql('shop', 'SELECT pg_terminate_backend(pid) FROM leadscore.progress');
$handle->finish;
like($rebuild{err}, qr/terminating connection/, 'its process is ended');
ok($node->poll_query_until('shop', 'SELECT count(*) = 0 FROM leadscore.progress'), '... and nothing stays');
$node->safe_psql('shop', q{ROLLBACK PREPARED 'writer'});
$node->stop;

done_testing();
