# Hours of long ago kept by the day: nothing is lost while writers write, in whichever state a compaction is; it can be
# broken off and run again; and a bot with five years of hours stays small.

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

my $timelines = 'SELECT lead_id, timeline FROM leadscore.current_timeline ORDER BY 1';

# How many leads have an hour that should have been moved to the beginning of its day.
sub hours_left
{
	return $node->safe_psql('shop', q{
		SELECT count(DISTINCT t.lead_id) FROM leadscore.current_timeline t, leadscore.timeline_entries(t.timeline) e, leadscore.compaction c
		WHERE e.hour < c.compacted_before AND e.hour <> date_trunc('day', e.hour)});
}

sub start_call
{
	my ($command) = @_;
	my ($out, $err) = ('', '');

	return IPC::Run::start([ 'psql', '-X', '-h', $node->host, '-p', $node->port, '-v', 'ON_ERROR_STOP=1', '-c', $command, 'shop' ], '>', \$out, '2>', \$err);
}

# Wait until a CALL waits for a lock; of a kind, such as "advisory".
sub waits
{
	my ($command, $for) = @_;
	return $node->poll_query_until('shop', "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'CALL leadscore.$command%'"
		  . ($for ? " AND wait_event = '$for'" : ''));
}

# ---------- while writers write ----------

for my $level ('read committed', 'repeatable read')
{
	my $load = start_load($node, 6, level => $level);
	my @before = $level eq 'read committed' ? ('2026-01-02', '2026-01-03 17:00Z') : ('2026-01-04', '2026-01-05');

	sleep 1;
	$node->safe_psql('shop', "CALL leadscore.compact('$_')") for @before;
	finish_load($load);
	is_true($node, "compacted under load, $level");
	is(hours_left(), '0', 'no hour is left before the instant');
	my $compacted = $node->safe_psql('shop', $timelines);
	$node->safe_psql('shop', 'CALL leadscore.rebuild()');
	ok($node->safe_psql('shop', $timelines) eq $compacted, 'a rebuild gives the same timelines');
}
cmp_ok($node->safe_psql('shop', q{SELECT count(*) FROM leadscore.lead_timeline t, leadscore.timeline_entries(t.timeline) e WHERE e.hour > '2026-01-05Z' AND e.hour <> date_trunc('day', e.hour)}),
	'>', 0, 'there are hours after it');
isnt($node->safe_psql('shop', 'SELECT count(*) FROM leadscore.lead_alias'), '0', 'there are aliases');

# ---------- who still counts with the former instant ----------

$node->safe_psql('shop', q{INSERT INTO leadscore.event (lead_id, kind, occurred_at) SELECT 'late ' || i % 9, 'visit', timestamptz '2026-01-20 00:30Z' + i * interval '1 hour' FROM generate_series(1, 300) i});
{
	# one that has written is waited for, and keeps nobody else waiting
	my $writer = $node->background_psql('shop');
	$writer->query_safe(q{BEGIN; INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('late 1', 'visit', '2026-01-06 05:00Z')});
	# one that has an older snapshot, and writes after
	my $old_snapshot = $node->background_psql('shop');
	$old_snapshot->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM leadscore.lead_timeline');
	my $compact = start_call(q{CALL leadscore.compact('2026-01-08')});
	ok(waits('compact'), 'compact() waits for a transaction that has written');
	$node->safe_psql('shop', q{SET lock_timeout = '1s'; INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('late 2', 'visit', '2026-01-06 05:00Z');
		INSERT INTO shop.clicks VALUES (1, 'late 2', '2026-01-06 06:00Z'); SELECT leadscore.fold()});
	$writer->query_safe(q{INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('late 1', 'visit', '2026-01-06 07:00Z'); COMMIT});
	$writer->quit;
	ok($compact->finish, '... which then ends');
	$old_snapshot->query_safe(q{INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('old snapshot', 'visit', '2026-01-06 05:00Z'); COMMIT});
	$old_snapshot->quit;
	is_true($node, 'old instants');
	is(hours_left(), '0', 'all have come to count by the day');
}

# ---------- broken off ----------

# Leads of two batches: the first is written, the second stops at a lead, before it has come to those after it.
$node->safe_psql('shop', q{
	CREATE FUNCTION shop.gate(lead_id text) RETURNS boolean LANGUAGE plpgsql AS $$
	BEGIN
		IF lead_id = 'many 24900' THEN
			PERFORM pg_advisory_xact_lock_shared(7);
		END IF;
		RETURN true;
	END
	$$;
	ALTER TABLE leadscore.lead_timeline ADD CONSTRAINT gate CHECK (shop.gate(lead_id));
	INSERT INTO leadscore.event (lead_id, kind, occurred_at)
	SELECT 'many ' || to_char(i % 25000, 'FM00000'), 'visit', timestamptz '2026-01-10 05:00Z' + i / 25000 * interval '1 hour' FROM generate_series(0, 49999) i;
	INSERT INTO shop.clicks SELECT 0, 'many pending', timestamptz '2026-01-10 05:00Z' + i * interval '1 hour' FROM generate_series(0, 2) i;
	INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('visitor', 'visit', '2026-01-10 05:00Z');
	SELECT leadscore.identify('visitor', 'many 24999')});
# what shops do, to leads that are compacted, and to some that are not yet
my $life = q{
	SET lock_timeout = '10s';
	INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('many 00001', 'visit', '2026-01-10 09:00Z'), ('many 24998', 'visit', '2026-01-10 09:00Z');
	DELETE FROM leadscore.event WHERE lead_id IN ('many 00002', 'many 24997');
	UPDATE leadscore.event SET occurred_at = occurred_at + interval '7 hours' WHERE lead_id IN ('many 00003', 'many 24996');
	UPDATE leadscore.event SET lead_id = 'many 00004' WHERE lead_id = 'many 24995';
	INSERT INTO shop.clicks VALUES (0, 'many 24994', '2026-01-10 11:00Z');
	DELETE FROM shop.clicks WHERE lead = 'many pending' AND happened = '2026-01-10 06:00Z';
	SELECT leadscore.identify('many 24993', 'many 00005'), leadscore.identify('many 00006', 'many 24992'), leadscore.fold();
	INSERT INTO shop.small VALUES ('many 24991', '2026-01-10 05:00Z');
	TRUNCATE shop.small};
for my $how ('pg_cancel_backend', 'pg_terminate_backend', 'rebuild')
{
	my $holder = $node->background_psql('shop');
	my $first = $how eq 'pg_cancel_backend';
	my $next = $first ? '2026-01-11' : $how eq 'rebuild' ? '2026-01-13' : '2026-01-12';

	$node->safe_psql('shop', "UPDATE leadscore.event SET occurred_at = occurred_at + interval '1 day' WHERE lead_id LIKE 'many %'") if !$first;
	$holder->query_safe('BEGIN; SELECT pg_advisory_xact_lock(7)');
	my $compact = start_call("CALL leadscore.compact('$next')");
	ok(waits('compact', 'advisory'), "$how: it has come to the second batch");
	# (unidentify() waits for no compaction)
	$node->safe_psql('shop', $life . q{; SELECT leadscore.unidentify('visitor'), leadscore.identify('visitor', 'many 24999')}) if $first;
	my $stop = $how eq 'rebuild' ? 'pg_cancel_backend' : $how;
	$node->safe_psql('shop', "SELECT $stop(pid) FROM pg_stat_activity WHERE query LIKE 'CALL leadscore.compact%' AND pid <> pg_backend_pid()");
	ok(!$compact->finish, '... and is broken off');
	$holder->query_safe('COMMIT');
	$holder->quit;

	my $left = hours_left();
	cmp_ok($left, '>', 0, '... when some leads were not yet compacted');
	cmp_ok($left, '<', 10000, '... but others were') if $first;
	is($node->safe_psql('shop', q{SELECT name FROM leadscore.status WHERE object = 'compaction'}), $next, 'status tells so');
	$node->safe_psql('shop', q{
		INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('many 24990', 'visit', '2026-01-10 19:00Z');
		DELETE FROM leadscore.event WHERE lead_id = 'many 24989';
		SELECT leadscore.unidentify('visitor'), leadscore.unidentify('many 24993');
		SELECT leadscore.fold(1)}) if $first;
	$node->safe_psql('shop', $how eq 'rebuild' ? 'CALL leadscore.rebuild()' : "CALL leadscore.compact('$next')");
	is_true($node, "$how, and run again");
	is(hours_left(), '0', 'no hour is left');
	is($node->safe_psql('shop', q{SELECT name FROM leadscore.status WHERE object = 'compaction'}), '', 'status tells nothing more');
	is($node->safe_psql('shop', q{SELECT count(*) FROM leadscore.lead_timeline WHERE timeline OPERATOR(leadscore.=) '{}'}), '0', 'nothing empty is left');
}
$node->safe_psql('shop', 'ALTER TABLE leadscore.lead_timeline DROP CONSTRAINT gate');
my (undef, undef, $error) = $node->psql('shop', q{SET default_transaction_isolation = 'repeatable read'; CALL leadscore.compact('2026-01-14')});
like($error, qr/compact\(\) must run at the isolation level read committed/, 'at another isolation level it is refused');

# ---------- a lead that somebody has ----------
{
	my $writer = $node->background_psql('shop');
	my $fill = q{INSERT INTO leadscore.event (lead_id, kind, occurred_at) SELECT 'held', 'visit', timestamptz '2026-01-14 05:00Z' + i * interval '1 hour' FROM generate_series(0, 2) i};
	$node->safe_psql('shop', $fill);
	$writer->query_safe(q{BEGIN; SELECT FROM leadscore.lead_timeline WHERE lead_id = 'held' FOR UPDATE});
	$node->safe_psql('shop', q{SET lock_timeout = '5s'; CALL leadscore.compact('2026-01-15')});
	is_true($node, 'a lead that is held is compacted without waiting');
	is(hours_left(), '0', '... to the last hour');
	$writer->query_safe('COMMIT');
	$writer->quit;
	is_true($node, '... nor after');
}

# ---------- dump and restore ----------

$node->safe_psql('postgres', 'CREATE DATABASE restored');
my $dump = $node->basedir . '/dump';
command_ok([ 'pg_dump', '-h', $node->host, '-p', $node->port, '-Fc', '-f', $dump, 'shop' ], 'dump');
command_ok([ 'pg_restore', '-h', $node->host, '-p', $node->port, '--exit-on-error', '-d', 'restored', $dump ], 'restore');
is($node->safe_psql('restored', 'TABLE leadscore.compaction'), $node->safe_psql('shop', 'TABLE leadscore.compaction'), 'the instant comes back');
ok($node->safe_psql('restored', $timelines) eq $node->safe_psql('shop', $timelines), '... and the timelines');
is_true($node, 'restored', 'restored');

# ---------- events that are gone ----------

# Timelines of events that were removed past the triggers can be compacted, too; verify() does not know of these events.
$node->safe_psql('shop', q{
	INSERT INTO leadscore.event (lead_id, kind, occurred_at) SELECT 'gone', 'visit', timestamptz '2026-01-16 00:00Z' + i * interval '5 hours' FROM generate_series(0, 9) i;
	SET session_replication_role = replica;
	DELETE FROM leadscore.event WHERE lead_id = 'gone';
	RESET session_replication_role;
	CALL leadscore.compact('2026-01-17')});
is($node->safe_psql('shop', q{SELECT string_agg(e.occurrences::text, ' ' ORDER BY hour) FROM leadscore.lead_timeline t, leadscore.timeline_entries(t.timeline) e
	WHERE lead_id = 'gone' AND signal_id = (SELECT signal_id FROM leadscore.signal WHERE signal = 'load visit')}), '5 1 1 1 1 1', 'what has no events any more is compacted');
is($node->safe_psql('shop', 'SELECT lead_id, expected IS NULL FROM leadscore.verify()'), 'gone|t', '... and verify() tells that it has none');

# A partition that is dropped past the event trigger.
$node->safe_psql('shop', q{
	CREATE TABLE shop.visits_9 PARTITION OF shop.visits FOR VALUES FROM ('2026-09-01') TO ('2026-10-01');
	INSERT INTO shop.visits VALUES (1, 'kept', 'visit', '2026-09-03');
	BEGIN;
	SET LOCAL session_replication_role = replica;
	DROP TABLE shop.visits_9;
	COMMIT});
is($node->safe_psql('shop', q{SELECT count(*) FROM leadscore.lead_timeline WHERE lead_id = 'kept'}), '1', 'what is dropped past the event trigger stays on the timelines');
is($node->safe_psql('shop', 'SELECT lead_id FROM leadscore.verify() ORDER BY 1'), "gone\nkept", '... and verify() says so');

# ---------- a bot ----------

# Five years of a search, a visit and a purchase of 49.99 in each hour, for four signals, of which two have values. By the day, 1,736
# days: 2 bytes for each without a value, 7 or 8 with one; 90 days by the hour: 1 byte, 5 or 6 with a value. Together 61 kB.
$node->safe_psql('postgres', 'CREATE DATABASE bots');
$node->safe_psql('bots', q{
	CREATE EXTENSION leadscore;
	INSERT INTO leadscore.signal (signal, kind) VALUES ('search', 'search'), ('visit', 'visit'), ('purchase', 'purchase'), ('any', NULL);
	INSERT INTO leadscore.event (lead_id, kind, occurred_at, value)
	SELECT 'bot', k, h, CASE k WHEN 'purchase' THEN 49.99 END
	FROM generate_series(now() - interval '5 years', now(), '1 hour') h, unnest('{search,visit,purchase}'::text[]) k;
	INSERT INTO leadscore.event (lead_id, kind, occurred_at) SELECT 'person ' || i % 1000, 'visit', now() - i * interval '3 minutes' FROM generate_series(1, 20000) i});
my $size = q{SELECT octet_length(leadscore_internal.timeline_send(timeline)) FROM leadscore.lead_timeline WHERE lead_id = 'bot'};
# (writers leave what is large to fold())
my $by_the_hour = $node->safe_psql('bots', "SELECT FROM leadscore.fold(); $size") =~ s/^\n//r;

# Milliseconds of a statement, on average, and on average when the bot's updates run beside it.
sub latency
{
	my ($seconds, %scripts) = @_;
	my @files = map {
		my $file = $node->basedir . "/bot_$_.sql";
		unlink $file;
		append_to_file($file, "\\set n random(0, 999)\nINSERT INTO leadscore.event (lead_id, kind, value) VALUES ($scripts{$_}, 'purchase', 49.99);\n");
		$file
	} sort keys %scripts;
	my @runs = map { my ($out, $err) = ('', ''); my $file = $_;
		{ out => \$out, run => IPC::Run::start([ 'pgbench', '-n', '-h', $node->host, '-p', $node->port, '-c', 1, '-T', $seconds, '-f', $file, 'bots' ], '<', \undef, '>', \$out, '2>', \$err) } } @files;
	return map { $_->{run}->finish; ${ $_->{out} } =~ /latency average = ([\d.]+) ms/ ? $1 : die "no latency: ${ $_->{out} }" } @runs;
}
sub report
{
	my ($what) = @_;
	my ($person) = latency(2, person => q{'person :n'});
	my ($bot) = latency(2, bot => q{'bot'});
	my (undef, $beside) = latency(2, bot => q{'bot'}, person => q{'person :n'});
	note(sprintf '%s: an event of a person takes %.2f ms, of the bot %.2f ms, %.1f times as long; of a person beside the bot %.2f ms',
		$what, $person, $bot, $bot / $person, $beside);
}
report("by the hour, $by_the_hour bytes");
$node->safe_psql('bots', q{CALL leadscore.compact(now() - interval '90 days')});
my $compacted = $node->safe_psql('bots', "SELECT FROM leadscore.fold(); $size") =~ s/^\n//r;
report("by the day but for 90 days, $compacted bytes");
cmp_ok($by_the_hour, '>', 500_000, 'by the hour a bot would be large');
cmp_ok($compacted, '<', 64 * 1024, "compacted it is not: $compacted bytes");
cmp_ok($compacted, '>', 50_000, '... as it was worked out');
is_true($node, 'the bot', 'bots');
$node->stop;

done_testing();
