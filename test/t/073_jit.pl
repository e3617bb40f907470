# jit is on by default, and compiling a query takes far longer than running it on a shop of 20,000 leads. So no view, no query that
# users write on views, and no statement inside a function may be estimated so high that it is compiled: neither in a database
# that has just been filled and was never analyzed, nor after autovacuum has been there.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('jit');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\ntimezone = 'UTC'\njit = on\nautovacuum = off\nshared_preload_libraries = 'pg_stat_statements'\npg_stat_statements.track = all");
$node->start;
plan skip_all => 'the server cannot compile queries' if $node->safe_psql('postgres', 'SELECT pg_jit_available()') eq 'f';

# ---------------------------------------------------------------- a shop of 20,000 leads

$node->safe_psql('postgres', 'CREATE DATABASE shop');
sub run_file { $node->command_ok([ 'psql', '-X', '-q', '-o', '/dev/null', '-v', 'ON_ERROR_STOP=1', '-v', 'events=400000', '-f', "test/bench/$_[0].sql", $node->connstr('shop') ], "the file $_[0]") }
sub query { return $node->safe_psql('shop', $_[0]) }

query('CREATE EXTENSION leadscore; CREATE EXTENSION pg_stat_statements');
run_file($_) for 'schema', 'model', 'workload', 'shop';
is(query('SELECT count(*) FROM leadscore.lead_score'), '60000', 'every lead has a score of two models and an experiment');

# ---------------------------------------------------------------- what is run

# Views are found in the catalog; beside each whole view, queries as users write them.
my @queries = (
	(map { "SELECT * FROM leadscore.$_" } split /\n/, query(q{SELECT relname FROM pg_class WHERE relnamespace = 'leadscore'::regnamespace AND relkind IN ('v', 'm') ORDER BY 1})),
	(map { my $view = $_; map { "$_" =~ s/VIEW/leadscore.$view/r } (
		'SELECT count(*) FROM VIEW',
		'SELECT count(score) FROM VIEW',
		q{SELECT * FROM VIEW WHERE lead_id = '17'},
		q{SELECT * FROM VIEW WHERE model = 'bench' AND score > 50},
		'SELECT * FROM VIEW ORDER BY score DESC LIMIT 10',
		'SELECT model, segment, count(*), avg(score) FROM VIEW GROUP BY model, segment',
		q{SELECT c.name, s.score FROM customer c JOIN VIEW s ON s.lead_id = c.id AND s.model = 'bench'},
		q{SELECT count(*) FROM customer c LEFT JOIN VIEW s ON s.lead_id = c.id WHERE s.segment = 'high'}) } 'lead_score', 'crm_lead', 'lead_segment'),
	q{SELECT month, sum(revenue) FROM leadscore.monthly_figure WHERE model = 'bench' GROUP BY month},
	q{SELECT month, sum(spend) FROM leadscore.attribution WHERE model = 'bench' AND attribution = 'first' GROUP BY month},
	q{SELECT stage, sum(leads) FROM leadscore.funnel GROUP BY stage ORDER BY 2 DESC});

# Functions that read the leads or the log: those that make bench times, and those that write, which are rolled back or come to nothing.
my %call = (
	map({ /^(.*?): (.*)$/ or die $_; ($1 => $2) } split /\n/, slurp_file('test/bench/calls')),
	make_signals => q{BEGIN; SELECT * FROM leadscore.make_signals('category'); ROLLBACK},
	rebuild => 'CALL leadscore.rebuild()',
	watch => q{CALL leadscore.watch('bench'); CALL leadscore.see_changes(); BEGIN;
		INSERT INTO leadscore.offer (offer, model, segment, kind, discount, valid_for, budget) VALUES ('test', 'bench', 'high', 'percent', 10, '7 days', 1000);
		INSERT INTO leadscore.event (lead_id, kind, occurred_at, value) SELECT n::text, 'purchase', now(), 1000 FROM generate_series(1, 5000) n;
		SELECT leadscore.expire_vouchers(); SELECT * FROM leadscore.offer_result('test', 'purchase'); ROLLBACK},
	take_changes => q{BEGIN; SELECT * FROM leadscore.take_changes('test', 1000); SELECT leadscore.acknowledge_changes('test'); COMMIT},
	prune_changes => q{SELECT leadscore.prune_changes(now())},
	offer_result => q{BEGIN; INSERT INTO leadscore.offer (offer, model, segment, kind, discount, valid_for, budget) VALUES ('test', 'bench', 'high', 'percent', 10, '7 days', 1000);
		SELECT * FROM leadscore.offer_result('test', 'purchase'); ROLLBACK},
	derive => q{BEGIN; INSERT INTO leadscore.derivation (derivation, behaviour, gap) VALUES ('visits', 'visit', '30 minutes'); SELECT * FROM leadscore.derive(); ROLLBACK},
	# (rebuilds have left a page of rows that are dead)
	identify => q{INSERT INTO leadscore_internal.parted_lead VALUES ('gone'); DELETE FROM leadscore_internal.parted_lead; BEGIN; SELECT leadscore.identify('18', '17'); SELECT leadscore.unidentify('18'); SELECT leadscore.fold(); ROLLBACK},
	forget => q{BEGIN; SELECT * FROM leadscore.forget('17'); ROLLBACK},
	compact => q{CALL leadscore.compact(now() - interval '80 days'); DELETE FROM leadscore.compaction; CALL leadscore.rebuild()});
# These return rows of a document, of the catalog or of one timeline.
my @others = qw(contributions timeline_entries diff templates rfm_groups schedule partitions);
# These ask the workers of a cluster.
push @others, grep { /^distributed_/ } split /\n/, query(q{SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'leadscore'::regnamespace ORDER BY 1});

my $reference = slurp_file('doc/reference.md');
my @tables = grep { $reference =~ /^### `\Q$_\E\(/m } split /\n/, query(q{SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'leadscore'::regnamespace AND proretset ORDER BY 1});
my @forgotten = grep { my $name = $_; !$call{$name} && !grep { $name eq $_ } @others } @tables;
is("@forgotten", '', 'every public function that returns rows is looked at');

# ---------------------------------------------------------------- what is compiled

# A script's statements, with those inside functions, of which something was compiled.
sub compiled
{
	my ($script) = @_;

	query('SELECT pg_stat_statements_reset()');
	my $status = $node->psql('shop', "$script;", on_error_stop => 1, stderr => \my $errors);
	return $status ? "it failed: $errors" : query('SELECT query FROM pg_stat_statements WHERE jit_functions > 0');
}

like(compiled('SET jit_above_cost = 0; SELECT leadscore.refresh_crm(); SELECT 1'), qr/^SELECT \$1$/m, 'what is compiled is found');
like(compiled(q{SET jit_above_cost = 0; DO $$BEGIN PERFORM count(*) FROM leadscore.model; END$$}), qr/count/, '... in a function, too');

like(query('SET jit_above_cost = 0; EXPLAIN SELECT * FROM leadscore.lead_score'), qr/^JIT:/m, '... and in a plan that is not run');

for my $state ('never analyzed', 'after autovacuum')
{
	query('VACUUM ANALYZE') if $state eq 'after autovacuum';
	for my $query (@queries)
	{
		# EXPLAIN itself does without what a client does: it is the same plan, and need not be run a second time
		my $plan = query(sprintf 'EXPLAIN %s %s', $state eq 'never analyzed' ? '(ANALYZE, TIMING OFF)' : '', $query);
		ok($plan !~ /^JIT:/m, "$state: $query") or diag((split /\n/, $plan)[0]);
	}
	for my $name (sort keys %call)
	{
		is(compiled($call{$name}), '', "$state: $name()");
	}
}

# ---------------------------------------------------------------- what is computed, and how often

# How often a function is called while a query runs.
sub calls
{
	my ($function, $query) = @_;
	my @lines = split /\n/, query(qq{BEGIN; SET LOCAL track_functions = 'all'; $query;
		SELECT coalesce(sum(calls), 0) FROM pg_stat_xact_user_functions WHERE schemaname IN ('leadscore', 'leadscore_internal') AND funcname = '$function'; ROLLBACK});
	return $lines[-1];
}

# three reasons a row, and three again where the row is compared with what a CRM has been told
my $first = 'SELECT * FROM leadscore.crm_lead ORDER BY score DESC LIMIT 10';
my $untold = 'DELETE FROM leadscore_internal.crm_state';
cmp_ok(calls('crm_reasons', "$untold; $first"), '<=', 60, 'reasons are worded for the rows that are returned');
cmp_ok(calls('crm_reasons', "$untold; $first"), '>=', 30, '... and for all of these');
is(calls('crm_reasons', $first), '0', '... not where a CRM has been told');
is(calls('crm_reasons', 'SELECT leadscore.refresh_crm()'), '0', '... nor for rows that stay as they were told');
cmp_ok(calls('crm_appraise', "$untold; $first"), '<=', 50, 'no column but the score is computed for rows that are not returned');
is(calls('crm_reasons', 'SELECT lead_id, score FROM leadscore.crm_lead'), '0', '... not where nobody asks for them');
my $result = q{SELECT control_leads + treatment_leads FROM leadscore.experiment_result('try', 'purchase')};
is(calls('treated', $result), query($result), 'experiment_result() assigns each lead once');

done_testing();
