# Two shards and a coordinator, made and used by the very commands of doc/scale-out.md: the core runs on the shards, and
# timelines and scores of thousands of events are those of one machine, to the bit.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use Test::More;
use Workload;
use PostgreSQL::Test::Utils;

my @shards = map { new_node("shard_$_") } 0, 1;
my $coordinator = new_node('coordinator');

for my $node (@shards, $coordinator)
{
	$node->start;
	$node->safe_psql('postgres', 'CREATE DATABASE shop');
}

sub ask { return $coordinator->safe_psql('shop', $_[0]); }

# ---------- the document ----------

my @blocks;		# its fenced blocks, up to what is not run here: [kind, text, line]
{
	my ($text) = slurp_file('doc/scale-out.md') =~ /(.*?)^## With Citus/ms or die 'the document has lost its section on Citus';
	push @blocks, [ $1, $2, 1 + (substr($text, 0, $-[0]) =~ tr/\n//) ] while $text =~ /^```(\w+)\n(.*?)^```$/msg;
	@blocks = grep { $_->[0] ne 'pgsql' } @blocks;		# those are not run
}

# The hosts of the document are ours.
sub here
{
	my ($sql) = @_;

	$sql =~ s/host 'shard-(\d)'/sprintf "host '%s', port '%s'", $shards[$1]->host, $shards[$1]->port/ge;
	return $sql;
}

# psql as a person sees it.
sub run_block
{
	my ($node, $sql, @options) = @_;
	my ($out, $err);
	local $ENV{PGOPTIONS} = '-c lc_messages=C -c client_min_messages=warning';

	IPC::Run::run([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', @options, '-h', $node->host, '-p', $node->port, 'shop' ],
		'<', \$sql, '>', \$out, '2>', \$err);
	$out =~ s/[ \t]+$//mg;
	$out =~ s/\n+\z/\n/;
	return ($out, $err);
}

sub run_document
{
	my ($from, $to) = @_;
	my ($sql, $output) = ('', '');

	for (@blocks[ $from .. $to ])
	{
		my ($kind, $text, $line) = @$_;

		if ($kind eq 'sql' && $text =~ /^-- on each shard\n/)
		{
			for my $i (0, 1)
			{
				my (undef, $err) = run_block($shards[$i], $text, '-v', "shard=$i");
				is($err, '', "line $line: shard $i");
			}
		}
		elsif ($kind eq 'sql')
		{
			like($text, qr/^-- on the coordinator\n/, "line $line says where it runs");
			$sql = here($text);
			($output, my $err) = run_block($coordinator, $sql);
			is($err, '', "line $line: the coordinator");
		}
		elsif ($kind eq 'text')
		{
			is($output =~ s/(\.\d{9})\d+/$1/gr =~ s/ +/ /gr =~ s/-+/-/gr, $text =~ s/(\.\d{9})\d+/$1/gr =~ s/ +/ /gr =~ s/-+/-/gr,
				"line $line: the output that is printed");
		}
		elsif ($kind eq 'plan')
		{
			# of the last query of the block, on both shards
			my ($query) = $sql =~ /.*^((?:SELECT|CREATE MATERIALIZED VIEW).*?);/ms;
			$query = $1 if $text =~ /appraise/ && $sql =~ /VIEW \S+ AS\n(.*?);/s;
			chomp $text;
			my @remote = remote(run_block($coordinator, "EXPLAIN (VERBOSE, COSTS OFF) $query;", '-A', '-t'));
			ok((grep { $_ eq $text } @remote), "line $line: the plan that is printed") or diag(join "\n", @remote);
		}
		else
		{
			fail("line $line: a block of the unknown kind $kind");
		}
	}
}

sub remote { return map { s/^\s+//r } grep { /Remote SQL/ } split /\n/, $_[0]; }

run_document(0, $#blocks);
is(ask('SELECT count(*) FROM shop.signals WHERE document = leadscore.signals()'), 2, 'both shards have the signals, numbers included');

# ---------- thousands of events, here and on one machine ----------

# The one machine is another database of the coordinator's.
my $events = q{
	SELECT 'lead ' || i * 7 % 613 AS lead_id,
		(ARRAY['visit', 'visit', 'visit', 'email_open', 'product_view', 'add_to_cart', 'purchase', 'return', 'unknown'])[1 + i * 31 % 9] AS kind,
		timestamptz '2024-03-01Z' + i * interval '29 minutes' AS occurred_at,
		CASE WHEN i % 9 IN (0, 4, 7) THEN i % 97 + 0.000001 * (i % 1009) END AS value,
		CASE WHEN i % 4 = 0 THEN '{"device": "mobile"}'::jsonb WHEN i % 4 = 1 THEN '{"page": "home"}' END AS properties
	FROM generate_series(1, 5000) i};
my $customers = q{SELECT 'lead ' || i, (ARRAY['DE', 'FR', 'AT'])[1 + i % 3] FROM generate_series(0, 400) i};
my $at = q{'2024-06-17 09:00Z'};

ask("INSERT INTO shop.events $events");
ask("INSERT INTO shop.customers $customers");
for my $i (0, 1)
{
	cmp_ok($shards[$i]->safe_psql('shop', 'SELECT count(*) FROM leadscore.lead_timeline'), '>', 200, "shard $i has leads of its own");
	is_true($shards[$i], "shard $i");
}

$coordinator->safe_psql('postgres', 'CREATE DATABASE single');
$coordinator->safe_psql('single', qq{
	CREATE EXTENSION leadscore;
	SELECT leadscore.publish(leadscore.template('ecommerce'));
	INSERT INTO leadscore.signal (signal, kind, match) VALUES ('mobile_visit', 'visit', '{"device": "mobile"}');
	CREATE TABLE events (lead_id text, kind text, occurred_at timestamptz, value numeric, properties jsonb);
	CREATE TABLE customers (lead_id text PRIMARY KEY, country text);
	SELECT leadscore.track('events', 'lead_id', kind_column => 'kind', occurred_at => 'occurred_at', value => 'value', properties => '{properties}');
	SELECT leadscore.track_profile('customers', 'lead_id', '{country}');
	CREATE VIEW scores AS
	SELECT lead_id, timeline, leadscore.score((SELECT leadscore.scorecard()), timeline, profile, $at) AS score,
		leadscore.score((SELECT leadscore.scorecard()), timeline, NULL, $at) AS engagement,
		leadscore.appraise((SELECT leadscore.scorecard()), timeline, profile, $at)::text AS appraisal
	FROM leadscore.current_timeline LEFT JOIN leadscore.lead USING (lead_id)});
ask(sprintf q{
	CREATE SERVER single FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '%s', port '%s', dbname 'single', extensions 'leadscore');
	CREATE USER MAPPING FOR CURRENT_USER SERVER single;
	CREATE SCHEMA single;
	IMPORT FOREIGN SCHEMA public FROM SERVER single INTO single;
	INSERT INTO single.events SELECT * FROM shop.events;
	INSERT INTO single.customers SELECT * FROM shop.customers}, $coordinator->host, $coordinator->port);
is(ask('SELECT count(*) FROM single.events'), 5004, 'one machine has all events');

# Both sides in the same order, compared on the coordinator: how many leads there are, and how many are not the same.
sub same_as_single
{
	my ($name, $query, $same) = @_;

	is(ask(qq{SELECT count(*) >= 500, count(*) FILTER (WHERE ($same) IS NOT TRUE)
		FROM ($query) m FULL JOIN single.scores s ON s.lead_id = m.lead_id}), 't|0', $name);
}

# So is the query shipped: each function stands in the statements of both shards, and nothing is left to the coordinator.
sub shipped
{
	my ($name, $query, @functions) = @_;
	my $plan = ask("EXPLAIN (VERBOSE, COSTS OFF) $query");
	my @remote = remote($plan);

	is(scalar @remote, 2, "$name: two shards are asked");
	for my $function (@functions)
	{
		is(scalar(grep { /leadscore\.\Q$function\E\(/ } @remote), 2, "$name: both run $function()");
	}
	unlike($plan, qr/Aggregate$|Group$|Join$/m, "$name: the coordinator only appends") or diag($plan);
}

my $timelines = 'SELECT lead_id, leadscore.timeline_agg((SELECT leadscore.signals()), kind, occurred_at, value, properties) AS timeline
	FROM shop.events GROUP BY lead_id';
my $from_events = "SELECT lead_id, leadscore.score((SELECT leadscore.scorecard()),
	leadscore.timeline_agg((SELECT leadscore.signals()), kind, occurred_at, value, properties), NULL, $at) AS engagement
	FROM shop.events GROUP BY lead_id";
my $scores = "SELECT lead_id, leadscore.score((SELECT leadscore.scorecard()), leadscore.timeline_sum(timeline), profile, $at) AS score
	FROM shop.leads GROUP BY lead_id, profile";
my $appraisals = "SELECT lead_id, leadscore.appraise((SELECT leadscore.scorecard()), leadscore.timeline_sum(timeline), profile, $at) AS appraisal
	FROM shop.leads GROUP BY lead_id, profile";

# The plans hold for tables without statistics and for those that have them.
for my $statistics ('without statistics', 'with statistics')
{
	ask('ANALYZE shop.events') if $statistics eq 'with statistics';
	shipped("timelines, $statistics", $timelines, 'timeline_agg');
	shipped("scores of events, $statistics", $from_events, 'timeline_agg', 'score');
	shipped("scores, $statistics", $scores, 'timeline_sum', 'score');
	shipped("scores as of now, $statistics", $scores =~ s/\Q$at\E/(SELECT now())/r, 'timeline_sum', 'score');
	shipped("appraisals, $statistics", $appraisals, 'timeline_sum', 'appraise');
	shipped("a condition, $statistics",
		"SELECT lead_id FROM shop.leads WHERE leadscore.score((SELECT leadscore.scorecard()), timeline, profile, $at) >= 50", 'score');
}

same_as_single('timelines aggregated on the shards equal those of one machine', $timelines, 'm.timeline OPERATOR(leadscore.=) s.timeline');
same_as_single('timelines kept by the shards do, too', 'SELECT * FROM shop.leads', 'm.timeline OPERATOR(leadscore.=) s.timeline');
same_as_single('scores computed on the shards equal those of one machine to the bit', $scores, 'float8send(m.score) = float8send(s.score)');
same_as_single('so do scores straight from the events', $from_events, 'float8send(m.engagement) = float8send(s.engagement)');
same_as_single('and appraisals', $appraisals, 'm.appraisal::text = s.appraisal');
is(ask("SELECT count(DISTINCT score) > 300 FROM ($scores) s"), 't', 'the scores differ from lead to lead');

# ---------- a signal is changed; what a shard may do wrong is seen ----------

# What the coordinator says of the shards: signals that are not its own, what waits, differences by shard, and by its own reckoning.
my ($verify) = grep { $_->[1] =~ /FULL JOIN/ } @blocks;
my @verify = $verify->[1] =~ /^(SELECT .*?);/msg;
is(scalar @verify, 4, 'the document verifies in four ways');
sub verify { return join ' ', map { ask("SELECT count(*) FROM ($_) v") } @verify; }

is(verify(), '0 0 0 0', 'nothing differs');

my $send = 'INSERT INTO shop.signals SELECT shard, leadscore.signals() FROM generate_series(0, 1) AS shard';
ask(q{UPDATE leadscore.signal SET signal = 'phone_visit', kind = 'product_view' WHERE signal = 'mobile_visit'});
like(verify(), qr/^2 0 0 [1-9]\d*$/, 'a signal that was not sent is seen');
ask($send);
like(verify(), qr/^0 2 [1-9]\d* [1-9]\d*$/, 'a signal that was sent is taken by the shards, who have not counted the past');
$_->safe_psql('shop', 'CALL leadscore.rebuild()') for @shards;
is(verify(), '0 0 0 0', 'when they have, nothing differs');
$coordinator->safe_psql('single', q{
	UPDATE leadscore.signal SET signal = 'phone_visit', kind = 'product_view' WHERE signal = 'mobile_visit';
	CALL leadscore.rebuild()});
same_as_single('with the changed signal timelines equal those of one machine', 'SELECT * FROM shop.leads', 'm.timeline OPERATOR(leadscore.=) s.timeline');
for my $database ('shop', 'single')
{
	$coordinator->safe_psql($database, q{DELETE FROM leadscore.signal WHERE signal = 'phone_visit'});
}
ask($send);
$_->safe_psql('shop', 'CALL leadscore.rebuild()') for @shards;
is(verify(), '0 0 0 0', 'a signal that was removed is gone');

$shards[1]->safe_psql('shop', q{
	SET session_replication_role = replica;
	DELETE FROM shop.events WHERE ctid = (SELECT min(ctid) FROM shop.events WHERE kind = 'purchase' AND lead_id LIKE 'lead%')});
is(verify(), '0 0 1 1', 'a row that was deleted past the triggers of a shard is seen');
is(ask('SELECT shard FROM shop.differences'), 1, '... and where');
$shards[1]->safe_psql('shop', 'CALL leadscore.rebuild()');
is(verify(), '0 0 0 0', '... until it is rebuilt');

# ---------- writes through the coordinator ----------

ask(q{UPDATE shop.events SET value = value + 1 WHERE lead_id IN ('lead 7', 'lead 8', 'lead 9');
	DELETE FROM shop.events WHERE lead_id = 'lead 10'});
is(verify(), '0 0 0 0', 'updates and deletes through the coordinator count');

my $elsewhere = ask(q{SELECT lead_id FROM shop.leads
	WHERE tableoid <> (SELECT tableoid FROM shop.leads WHERE lead_id = 'lead 7') ORDER BY lead_id LIMIT 1});
my ($status, $out, $error) = $coordinator->psql('shop',
	"\\set VERBOSITY sqlstate\nUPDATE shop.events SET lead_id = '$elsewhere' WHERE lead_id = 'lead 7'");
like($error, qr/23514/, 'a lead cannot move to another shard: the shard refuses it');
is(verify(), '0 0 0 0', '... and nothing has changed');

# ---------- identities ----------

# Names that live on both shards, on one machine.
my $identify = q{SELECT leadscore.identify('lead ' || i, 'lead ' || i + 300) FROM generate_series(100, 140) i};
ask($identify);
ask('DELETE FROM single.events; INSERT INTO single.events SELECT * FROM shop.events');
$coordinator->safe_psql('single', "$identify; SELECT leadscore.identify('cookie:7f3a', 'ben')");
my ($joined) = $blocks[-2]->[1] =~ /^(SELECT coalesce.*?);/ms;
same_as_single('scores of joined identities equal those of one machine to the bit', $joined, 'float8send(m.score) = float8send(s.score)');

# ---------- hours before a day are kept by the day ----------

my @compact = map { $_->[1] =~ s/2024-01-01/2024-05-20/r } grep { $_->[1] =~ /compact\(/ } @blocks;
is(scalar @compact, 2, 'the document compacts the coordinator and the shards');
my $by_the_hour = q{SELECT count(*) FROM leadscore.lead_timeline t, leadscore.timeline_entries(t.timeline) e
	WHERE e.hour < '2024-05-20Z' AND e.hour <> date_trunc('day', e.hour)};
cmp_ok($_->safe_psql('shop', $by_the_hour), '>', 500, 'there are hours to compact') for @shards;
ask($compact[0]);
like(verify(), qr/^2 0 0 [1-9]\d*$/, 'shards that have not compacted are seen');
$_->safe_psql('shop', $compact[1]) for @shards;
is($_->safe_psql('shop', $by_the_hour), 0, 'hours have become days') for @shards;
is(verify(), '0 0 0 0', 'nothing differs');
$coordinator->safe_psql('single', $compact[0]);
same_as_single('compacted, scores equal those of one machine to the bit', $joined, 'float8send(m.score) = float8send(s.score)');

# ---------- old events are archived, and deleted ----------

my @archive = map { $_->[1] =~ s/2024-01-01/2024-05-25/r } grep { $_->[1] =~ /archive\(/ } @blocks;
is(scalar @archive, 2, 'the document archives on the coordinator and the shards');
ask($archive[0]);
like(verify(), qr/^2 0 0 [1-9]\d*$/, 'shards that have not archived are seen');
$_->safe_psql('shop', $archive[1]) for @shards;
cmp_ok(ask(q{WITH gone AS (DELETE FROM shop.events WHERE occurred_at < '2024-05-25Z' RETURNING 1) SELECT count(*) FROM gone}), '>', 500, 'there are events to delete');
my ($since) = slurp_file('doc/scale-out.md') =~ /: `(l\.timeline OPERATOR[^`]*)` in\s/;
$verify[3] =~ s/l\.timeline\b/$since/g;
$verify[3] =~ s/2024-01-01/2024-05-25Z/g;
is(verify(), '0 0 0 0', 'nothing differs');
same_as_single('archived, scores equal those of one machine to the bit', $joined, 'float8send(m.score) = float8send(s.score)');

$_->stop for $coordinator, @shards;
done_testing();
