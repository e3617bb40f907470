# Random histories with archives and purges between, events that move into tables of a week each, and timelines that are
# split into tables, beside a database in which nothing is ever archived, purged, moved or split. After each step the
# timelines are the same in both: all of them but for what is derived, of which what is found from the archive on.

use strict;
use warnings FATAL => 'all';

use FindBin;
use List::Util qw(shuffle sum);
use lib $FindBin::Bin;
use PostgreSQL::Test::Utils;
use Test::More;
use Workload;

my $seed = $ENV{SEED} || 20261130;
note "SEED=$seed";
srand($seed);
my $histories = $ENV{HISTORIES} || 1000;
my $phases = 3;

my $node = new_node('main');
$node->append_conf('postgresql.conf', 'synchronous_commit = off');
$node->start;

my $tables = q{
	CREATE EXTENSION leadscore;
	INSERT INTO leadscore.signal (signal, kind, match) VALUES ('visit', 'visit', NULL), ('purchase', 'purchase', NULL), ('any', NULL, NULL), ('mobile', NULL, '{"device": "mobile"}');
	CREATE TABLE orders (who text, at timestamptz, amount numeric) PARTITION BY RANGE (at);
	SELECT format('CREATE TABLE orders_%s PARTITION OF orders FOR VALUES FROM (%L) TO (%L)', n, date '2026-01-01' + 10 * (n - 1), date '2026-01-01' + 10 * n) FROM generate_series(1, 8) n \gexec
	CREATE INDEX ON orders (who);
	CREATE TABLE clicks (who text, at timestamptz);
	CREATE INDEX ON clicks (who);
	SELECT leadscore.track('orders', lead_id => 'who', kind => 'purchase', occurred_at => 'at', value => 'amount');
	SELECT leadscore.track('clicks', lead_id => 'who', kind => 'visit', occurred_at => 'at', maintenance => 'deferred');
	CREATE TABLE accounts (guest text PRIMARY KEY, account text);
	SELECT leadscore.track_alias('accounts', alias => 'guest', lead_id => 'account');
	INSERT INTO leadscore.derivation (derivation, behaviour, derived_kind, delay, kinds, until_kinds, then_kinds) VALUES
		('session', 'visit', 'session', NULL, NULL, NULL, NULL), ('cart', 'cart_abandoned', 'cart', '3 days', '{other}', '{purchase}', NULL),
		('back', 'returned_visit', 'back', '5 days', '{visit,purchase}', NULL, NULL), ('sequence', 'sequence', 'sequence', '7 days', '{visit}', NULL, '{purchase}');
	INSERT INTO leadscore.signal (signal, kind) SELECT 'derived ' || d.derivation, d.derived_kind FROM leadscore.derivation d;
	-- what cannot be done is not done in either database
	CREATE PROCEDURE attempt(command text) LANGUAGE plpgsql AS $$
	BEGIN
		EXECUTE command;
	EXCEPTION WHEN OTHERS THEN
		NULL;
	END
	$$;
	CALL leadscore.rebuild();
};
for my $database ('oracle', 'shop')
{
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, $tables);
}

# ---------- the histories ----------

my %script;		# what comes next in each database
my $key = 0;

sub both { my ($sql) = @_; $script{$_} .= "$sql;\n" for 'oracle', 'shop'; }
sub shop { my ($sql) = @_; $script{shop} .= "$sql;\n"; }
sub oracle { my ($sql) = @_; $script{oracle} .= "$sql;\n"; }

sub day { my ($phase) = @_; return sprintf "'%s'", ('2026-01-01', '2026-01-11', '2026-01-21', '2026-01-31', '2026-02-10')[$phase]; }
# a time from the archive on: the days that are archived next, or those after
sub at { my ($phase) = @_; return sprintf "%s::timestamptz + %d * interval '1 minute'", day($phase - 1), rand 28000; }
sub late { my ($phase) = @_; return sprintf "%s::timestamptz - %d * interval '1 minute' - interval '1 second'", day($phase - 1), rand 12000; }
sub name { my ($history) = @_; return sprintf "'%s%d'", ('a' .. 'c')[rand 3], $history; }
sub value { return rand() < 0.5 ? 'NULL' : sprintf '%.2f', rand 100; }

sub row
{
	my ($history, $at) = @_;
	return sprintf "(%s, '%s', %s, %s, %s, 'k%d')", name($history), (qw(visit purchase other))[rand 3], $at, value(), (q('{"device": "mobile"}'), 'NULL')[rand 2], ++$key;
}

my $columns = '(lead_id, kind, occurred_at, value, properties, dedup_key)';

# One thing that happens in each history; what is of one kind is one statement, so that statements have rows of many
# leads.
sub round_of_steps
{
	my ($phase) = @_;
	my $since = day($phase - 1);
	my %rows;
	my %chances = (insert => 30, update => 10, delete => 5, delete_all => 4, order => 12, update_order => 5, click => 8, identify => 12, unidentify => 6, forget => 1, account => 8, no_account => 3,
		$phase > 1 ? (late => 6, correct => 4) : ());

	for my $history (1 .. $histories)
	{
		my $left = rand sum(values %chances);
		my ($what) = grep { ($left -= $chances{$_}) < 0 } sort keys %chances;
		my ($name, $other) = (name($history), name($history));

		push @{ $rows{$what} },
			$what eq 'insert' ? map({ row($history, at($phase)) } 1 .. 1 + rand 3)
		  : $what eq 'late' ? row($history, late($phase))
		  : $what =~ /identify|forget/ ? [ $name, $other ]
		  : sprintf '(%s, %s, %s, %s)', $name, $other, at($phase), value();
	}
	for my $what (shuffle sort keys %rows)
	{
		my $values = join ', ', @{ $rows{$what} };
		my $v = "(VALUES $values) v (name, other, at, value) WHERE";

		both("INSERT INTO leadscore.event $columns VALUES $values") if $what eq 'insert';
		both("UPDATE leadscore.event e SET occurred_at = v.at, lead_id = v.other, value = v.value FROM $v lead_id = v.name AND occurred_at >= $since AND kind = 'visit'") if $what eq 'update';
		both("DELETE FROM leadscore.event e USING $v lead_id = v.name AND occurred_at >= $since AND kind = 'purchase'") if $what eq 'delete';
		both("INSERT INTO orders SELECT v.name, v.at, v.value FROM $v true") if $what eq 'order';
		both("UPDATE orders o SET amount = amount + 1, at = v.at FROM $v who = v.name AND o.at >= $since") if $what eq 'update_order';
		both("INSERT INTO clicks SELECT v.name, v.at FROM $v true") if $what eq 'click';
		both("INSERT INTO accounts SELECT v.name, v.other FROM $v true ON CONFLICT (guest) DO UPDATE SET account = excluded.account") if $what eq 'account';
		both("DELETE FROM accounts a USING $v guest = v.name") if $what eq 'no_account';
		both(join ";\n", map { "CALL attempt(\$\$SELECT leadscore.$what($_->[0]" . ($what eq 'identify' ? ", $_->[1]" : $what eq 'forget' ? ', tracked => true' : '') . ')$$)' } @{ $rows{$what} })
		  if $what =~ /identify|forget/;
		# what is of the archived past, a database without an archive must not do
		shop("INSERT INTO leadscore.event $columns VALUES $values") if $what eq 'late';
		shop("UPDATE leadscore.event e SET kind = 'visit', value = 7, lead_id = v.other FROM $v lead_id = v.name AND occurred_at < $since") if $what eq 'correct';
		shop("DELETE FROM leadscore.event e USING $v lead_id = v.name"), oracle("DELETE FROM leadscore.event e USING $v lead_id = v.name AND occurred_at >= $since") if $what eq 'delete_all';
	}
}

# ---------- both databases ----------

my $shop = 'shop';
my $tables_of_weeks = q{SELECT string_agg(name::text, ', ') FROM leadscore_internal.event_tables()};
shop(q{SELECT leadscore.partition_events('1 week')});
my $instant = q('2000-01-01');
# What the signals visit, purchase and mobile count, and what all of them count from the archive on: derived events
# before it stay as they are.
sub timelines
{
	return qq{SELECT t.lead_id, leadscore_internal.only(t.timeline, '{1,2,4}') || ' ' || (t.timeline OPERATOR(leadscore.-) leadscore.timeline_before(t.timeline, $instant))
		FROM leadscore.current_timeline t WHERE leadscore_internal.only(t.timeline, '{1,2,4}') OPERATOR(leadscore.<>) '{}' OR leadscore.timeline_before(t.timeline, $instant) OPERATOR(leadscore.<>) t.timeline};
}
my $derived = q{SELECT count(*) FROM leadscore.derived_event d WHERE d.occurred_at >= };
sub split_into { my ($n) = @_; return shop("SELECT leadscore.partition_timelines($n)"); }

sub go_on
{
	for my $database ('oracle', 'shop')
	{
		next if !$script{$database};
		my (undef, undef, $error) = $node->psql($database eq 'shop' ? $shop : 'oracle', "SET client_min_messages = error;\n$script{$database}");
		is($error, '', 'each statement is valid') if $error;
	}
	%script = ();
}

sub same
{
	my ($what) = @_;
	go_on();
	my %oracle = map { split /\|/ } split /\n/, $node->safe_psql('oracle', timelines());
	my %shop = map { split /\|/ } split /\n/, $node->safe_psql($shop, timelines());
	my @differ = grep { ($oracle{$_} // '') ne ($shop{$_} // '') } sort keys %{ { %oracle, %shop } };
	is("@differ[0 .. ($#differ > 9 ? 9 : $#differ)]", '', "$what: timelines are those of the oracle")
	  or diag(join "\n", map { sprintf "%s: %s\noracle: %s", $_, $shop{$_} // '', $oracle{$_} // '' } $differ[0]);
	is($node->safe_psql($shop, 'SELECT count(*) FROM leadscore.verify()'), '0', "$what: verify() finds nothing");
	return scalar keys %oracle;
}

for my $phase (1 .. $phases)
{
	my $day = day($phase);
	my $later = day($phase + 1);
	my $derive = sprintf 'SELECT count(*) FROM leadscore.derive(%s::timestamptz, everybody => %s)', (day($phase), $later)[rand 2], ('true', 'false')[rand 2];

	round_of_steps($phase);
	both($derive);
	round_of_steps($phase);
	same("phase $phase");
	split_into((1, 2, 3, 5)[rand 4]) if rand() < 0.7;
	shop("CALL leadscore.move_events($later)");
	both($derive) if rand() < 0.7;
	shop("CALL leadscore.archive($day)");
	$instant = $day;
	same('archived');
	both("SELECT count(*) FROM leadscore.derive($later)");
	same('derived');
	cmp_ok($node->safe_psql($shop, "$derived $day"), '>', $histories / 10, 'there are derived events');
	# purged in every way that there is
	shop("DELETE FROM leadscore.event WHERE occurred_at < $day AND (event_id % 3 = 0 OR $phase % 2 = 0)");
	shop("DELETE FROM leadscore.derived_event WHERE occurred_at < $day") if rand() < 0.5;
	shop("DROP TABLE orders_$phase") if $phase != 2;
	shop('ALTER TABLE orders DETACH PARTITION orders_2') if $phase == 2;
	if ($phase == 3)
	{
		shop('TRUNCATE clicks');
		oracle("DELETE FROM clicks WHERE at >= $day");
		is($node->safe_psql($shop, $tables_of_weeks), join(', ', map { "leadscore.event_$_" } qw(2025_12_29 2026_01_05 2026_01_12 2026_01_19 2026_01_26)), 'events have moved');
		# some of the second week are of a later time by now
		shop(q{SELECT leadscore.partition_events('1 week', keep => '10 days')}), shop("CALL leadscore.move_events($later)");
	}
	same('purged');
	split_into($phase == 2 ? 3 : (1, 2, 3, 5)[rand 4]);
	both(q{CALL leadscore.compact('2026-01-15 12:00')}) if $phase == 2;
	shop('CALL leadscore.rebuild()') if $phase % 2;
	shop(q{SELECT leadscore.untrack('orders')}), shop(q{SELECT leadscore.track('orders', lead_id => 'who', kind => 'purchase', occurred_at => 'at', value => 'amount')}) if $phase == 3;
	both('SELECT leadscore.fold()') if $phase != 3;
	cmp_ok(same('and compacted, rebuilt or tracked again'), '>', $histories / 2, 'there are leads');
	next if $phase != 2;

	my $dump = $node->basedir . '/dump';
	$node->safe_psql('postgres', 'CREATE DATABASE restored');
	command_ok([ 'pg_dump', '-h', $node->host, '-p', $node->port, '-Fc', '-f', $dump, 'shop' ], 'dump');
	command_ok([ 'pg_restore', '-h', $node->host, '-p', $node->port, '--exit-on-error', '-d', 'restored', $dump ], 'restore');
	$shop = 'restored';
	same('restored');
}
like($node->safe_psql($shop, $tables_of_weeks), qr/^(leadscore.event_2026_01_05, )?leadscore.event_2026_01_26$/, 'old weeks are dropped');
cmp_ok($node->safe_psql($shop, q{SELECT count(*) FROM leadscore_internal.timeline_base}), '>', $histories / 2, 'there is a base');
cmp_ok($node->safe_psql($shop, q{SELECT sum(rows) FROM leadscore.skipped_row WHERE reason = 'archived'}), '>', $histories / 100, '... and what came too late');
cmp_ok($node->safe_psql($shop, q{SELECT count(*) FROM leadscore.lead_alias}), '>', $histories / 20, '... and aliases');

# ---------- a table that is in use for a moment, by autovacuum or a query, is dropped all the same ----------

$node->safe_psql('postgres', 'CREATE DATABASE used');
$node->safe_psql('used', q{
	CREATE EXTENSION leadscore;
	INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('anna', 'visit', '2024-01-10'), ('anna', 'visit', '2024-04-10');
	SELECT leadscore.partition_events('1 month', keep => '2 months');
	CALL leadscore.move_events('2024-03-01');
});
is($node->safe_psql('used', $tables_of_weeks), 'leadscore.event_2024_01', 'a month has moved');
my $reader = IPC::Run::start([ 'psql', '-X', '-d', $node->connstr('used'), '-c', 'BEGIN', '-c', 'TABLE leadscore.event_2024_01', '-c', 'SELECT pg_sleep(0.5)', '-c', 'COMMIT' ], '>', \my $read);
$node->poll_query_until('used', q{SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'leadscore.event_2024_01'::regclass)});
$node->safe_psql('used', q{CALL leadscore.move_events('2024-05-20')});
is($node->safe_psql('used', $tables_of_weeks), '', 'and is dropped once the query has ended');
$reader->finish;

done_testing();
