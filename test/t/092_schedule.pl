# pg_cron runs what schedule() has given it: behaviours are derived, deltas are folded, the snapshot is refreshed,
# vouchers expire. What keeps a job from running is said by schedule() and health, with the statement that mends it.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use Test::More;
use Workload;

my $node = new_node('main');
$node->start;
if ($node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_cron'}) == 0)
{
	$node->stop;
	plan skip_all => 'pg_cron is not installed';
}
$node->append_conf('postgresql.conf', sprintf "shared_preload_libraries = 'pg_cron'\ncron.database_name = 'shop'\ncron.use_background_workers = on\nmax_worker_processes = 20\n");
$node->safe_psql('postgres', 'CREATE DATABASE shop');
$node->safe_psql('postgres', q{CREATE DATABASE "other's"});
$node->restart;
$node->safe_psql('shop', q{
	CREATE EXTENSION leadscore;
	SELECT leadscore.publish('{"model": "m", "signals": [{"signal": "visit", "kind": "visit"}], "weights": [{"signal": "visit", "points": 1}],
		"segments": [{"segment": "hot", "position": 1, "min_score": 1}]}');
	CREATE TABLE click (lead text, at timestamptz DEFAULT now());
	SELECT leadscore.track('click', lead_id => 'lead', kind => 'visit', occurred_at => 'at', maintenance => 'deferred')});

# without pg_cron: what to put into a crontab, and it runs
my $crontab = $node->safe_psql('shop', 'SET client_min_messages = warning; SELECT schedule, command, scheduled FROM leadscore.schedule()');
like($crontab, qr/^\* \* \* \* \*\|psql -X -q -p \d+ -d 'shop' -c 'SELECT leadscore\.fold\(\)'\|f$/m, 'without pg_cron: lines for a crontab');
is($node->safe_psql('shop', 'SELECT leadscore.unschedule()'), '0', '... and nothing to end');
$node->safe_psql(q{other's}, 'CREATE EXTENSION leadscore');
for my $line (split /\n/, $node->safe_psql(q{other's}, 'SET client_min_messages = warning; SELECT command FROM leadscore.schedule()'))
{
	local $ENV{PGHOST} = $node->host;
	local $ENV{PGPORT} = $node->port;
	is(system("$line > /dev/null"), 0, "a shell runs $line");
}
$node->safe_psql('postgres', q{CREATE DATABASE "100%"});
$node->safe_psql('100%', 'CREATE EXTENSION leadscore');
like($node->safe_psql('100%', 'SET client_min_messages = warning; SELECT command FROM leadscore.schedule()'), qr/ -d '100\\%' /, 'a % is escaped, for it ends a line of a crontab');
my ($status, $out, $error) = $node->psql('shop', q{SELECT leadscore.schedule('7 minutes')});
like($error, qr/cron cannot run jobs at that interval/, 'seven minutes do not divide an hour');

# with it
$node->safe_psql('shop', 'CREATE ROLE monitor LOGIN; CREATE ROLE clerk LOGIN');
$node->safe_psql('shop', q{SELECT leadscore.grant_monitor('monitor')});
# the checks of jobs that are not well, as a monitor sees them, and their statements
sub ill { return $node->safe_psql('shop', q{SELECT name, state, value, detail FROM leadscore.health WHERE name IN ('jobs', 'job_setup', 'job_runs') AND state <> 'ok'} . ($_[0] ? " AND name = '$_[0]'" : ''), extra_params => ['-U', 'monitor']); }
sub mend { return $node->safe_psql('shop', $node->safe_psql('shop', "SELECT action FROM leadscore.health WHERE name = '$_[0]'", extra_params => ['-U', 'monitor'])); }
is(ill(), '', 'without pg_cron nothing is wrong with jobs');
$node->safe_psql('shop', 'CREATE EXTENSION pg_cron');
like(ill(), qr/^jobs\|warning\|8\|job "leadscore changes" is not scheduled; job "leadscore derive" is not scheduled/, 'with pg_cron, jobs that are not scheduled are missed');
# (none of them is to run before it is looked at, every five minutes, at noon or at midnight: there is a minute left for that)
sleep 1 while time % 300 >= 240;
mend('jobs');
is(ill(), '', '... scheduled, they have yet to run');
my $daily = q{SELECT leadscore.schedule('1 day')};
my $scheduled = 'UPDATE leadscore_internal.scheduled_job SET scheduled_at = now() - interval';
$node->safe_psql('shop', $daily);
like($node->safe_psql('shop', q{SELECT detail FROM leadscore.health WHERE name = 'job_runs'}), qr/^job "leadscore changes" waits for its first run; job "leadscore derive" waits/, '... and wait for their first run');
$node->safe_psql('shop', "$scheduled '1 day 1 minute'; $daily");
like(ill(), qr/^job_runs\|warning\|8\|job "leadscore changes" has never run/, '... for as long as is between two runs, which scheduling them again does not prolong');
$node->safe_psql('shop', "SELECT leadscore.schedule('12 hours'); $daily");
is(ill(), '', '... but another interval does');
is($node->safe_psql('shop', q{SELECT bool_and(scheduled), count(*) FROM leadscore.schedule('1 day')}), 't|8', 'the jobs are scheduled');
$node->safe_psql('shop', q{SELECT cron.alter_job(jobid, active => false) FROM cron.job WHERE jobname = 'leadscore fold'});
is(ill('jobs'), 'jobs|error|1|job "leadscore fold" is not active', 'a job that is not active is missed');
mend('jobs');
is(ill('jobs'), '', '... it is active again');

# what keeps a job from running
for my $case ([ 'ALTER DATABASE shop SET default_transaction_isolation = serializable', qr/^default_transaction_isolation is "serializable" for the role "\w+" of the jobs, which need "read committed"$/, 'an isolation level' ],
	[ 'ALTER SYSTEM SET default_transaction_read_only = on; SELECT pg_reload_conf()', qr/^default_transaction_read_only is "on"/, 'a setting of the server' ])
{
	my ($do, $says, $name) = @$case;

	$node->psql('shop', $_) for split /; /, $do;
	my ($status, $out, $error) = $node->psql('shop', "BEGIN READ WRITE; $daily; COMMIT");
	my ($warned) = $error =~ /WARNING:  scheduled jobs cannot run: (.*)/;
	like($warned, $says, "$name: schedule() warns");
	is(ill('job_setup'), "job_setup|error|1|$warned", '... health says so');
	my $mend = $node->safe_psql('shop', q{SELECT action FROM leadscore.health WHERE name = 'job_setup'});
	like($error, qr/^HINT:  \Q$mend\E$/m, '... with the same statement');
	$node->psql('shop', "BEGIN READ WRITE; $mend; COMMIT");
	is(ill('job_setup'), '', '... which mends it');
}
$node->safe_psql('shop', 'BEGIN READ WRITE; ALTER DATABASE shop RESET default_transaction_isolation; COMMIT');
$node->psql('shop', $_) for 'ALTER SYSTEM RESET default_transaction_read_only', 'SELECT pg_reload_conf()';
$node->safe_psql('shop', q{UPDATE cron.job SET username = 'clerk' WHERE jobname = 'leadscore fold'});
is(ill('job_setup'), 'job_setup|error|1|the role "clerk" may not do what its jobs do', 'a role without rights');
mend('job_setup');
is(ill('job_setup'), '', '... has them');
$node->safe_psql('shop', 'ALTER ROLE clerk NOLOGIN');
is(ill('job_setup'), 'job_setup|error|1|the role "clerk" of the jobs may not log in', 'a role that may not log in');
mend('job_setup');
is(ill('job_setup'), '', '... may');
$node->safe_psql('shop', q{UPDATE cron.job SET username = 'gone' WHERE jobname = 'leadscore fold'});
is(ill('job_setup'), q{job_setup|error|1|the role "gone" of the job "leadscore fold" does not exist}, 'a role that was dropped');
mend('job_setup');
is(ill('job_setup'), '', '... has no job any more');
$node->safe_psql('shop', $daily);
# (these three need a restart, so only what is said is looked at)
for my $case ([ 'cron.use_background_workers', 'off', qr/^pg_cron connects to "localhost", where the server does not listen$/, 'ALTER SYSTEM SET cron.use_background_workers = on' ],
	[ 'cron.database_name', 'postgres', qr/^pg_cron reads the jobs of another database: postgres$/, q{ALTER SYSTEM SET cron.database_name = 'shop'} ],
	[ 'shared_preload_libraries', q{''}, qr/^pg_cron does not run: it is not among shared_preload_libraries$/, 'ALTER SYSTEM SET shared_preload_libraries = pg_cron' ])
{
	my ($setting, $value, $says, $mend) = @$case;

	$node->append_conf('postgresql.conf', "$setting = $value");
	$node->restart;
	like(ill('job_setup') =~ s/^job_setup\|error\|1\|//r, $says, "$setting = $value: health says what is wrong");
	is($node->safe_psql('shop', q{SELECT action FROM leadscore.health WHERE name = 'job_setup'}), "$mend -- then restart the server", '... with the statement that mends it');
	mend('job_setup');
	$node->restart;
	is(ill('job_setup'), '', '... which does');
}

$node->safe_psql('shop', q{SELECT cron.schedule('leadscore of mine', '0 0 1 1 *', 'SELECT 1')});
my $jobs = $node->safe_psql('shop', q{SELECT count(*) FROM cron.job});
$node->safe_psql('shop', $daily);
is($node->safe_psql('shop', q{SELECT count(*) FROM cron.job}), $jobs, 'scheduled again, they are the same');

# a job that fails is seen, with what it says, until a run of it succeeds; its log is kept for two days
$node->safe_psql('shop', q{
	INSERT INTO cron.job_run_details (jobid, runid, database, username, command, status, return_message, start_time, end_time)
	SELECT j.jobid, nextval('cron.runid_seq'), j.database, j.username, j.command, 'failed', 'ERROR:  broken', now(), now() FROM cron.job j WHERE j.jobname = 'leadscore fold'
	UNION ALL SELECT j.jobid, nextval('cron.runid_seq'), j.database, j.username, j.command, 'succeeded', '1 row', now() - interval '4 days', now() - interval '4 days' FROM cron.job j WHERE j.jobname = 'leadscore derive'
	UNION ALL SELECT 0, nextval('cron.runid_seq'), current_database(), current_user, 'SELECT 1', 'succeeded', '1 row', now() - interval '3 days', now() - interval '3 days'});
$node->safe_psql('shop', "$scheduled '2 days'");
like(ill('job_runs'), qr/^job_runs\|error\|8\|.*job "leadscore derive" has not run since [^()]* \(0 failures within a day\);.* job "leadscore fold" failed at [^()]*: ERROR:  broken \(1 failures within a day\)/, 'a run that failed, and one that is long ago');
like($node->safe_psql('shop', q{SELECT action FROM leadscore.health WHERE name = 'job_runs'}), qr/SELECT leadscore.derive\(\);.* SELECT leadscore.fold\(\)/, '... are run by hand, to see why, until pg_cron runs them');

$node->safe_psql('shop', q{SELECT leadscore.schedule('1 minute')});
$node->safe_psql('shop', 'CALL leadscore.watch()');
$node->safe_psql('shop', q{INSERT INTO leadscore.derivation (behaviour) VALUES ('visit')});
is($node->safe_psql('shop', q{BEGIN; INSERT INTO click (lead) VALUES ('anna'); SELECT count(*) FROM leadscore.pending_delta; COMMIT}), '1', 'a delta waits');
$node->safe_psql('shop', q{
	INSERT INTO leadscore.offer (offer, model, segment, discount, valid_for, budget) VALUES ('o', 'm', 'hot', 5, '1 day', 1);
	INSERT INTO leadscore.event (lead_id, kind) VALUES ('ben', 'visit');
	UPDATE leadscore.voucher SET expires_at = now()});
ok($node->poll_query_until('shop', q{
	SELECT (SELECT count(*) = 0 FROM leadscore.pending_delta) AND EXISTS (SELECT FROM leadscore.voucher WHERE expired)
	AND EXISTS (SELECT FROM leadscore.derived_event WHERE lead_id = 'anna')
	AND (SELECT relispopulated FROM pg_class WHERE oid = 'leadscore.lead_segment'::regclass)}), 'within two minutes: derived, folded, refreshed, expired')
  or diag($node->safe_psql('shop', 'SELECT command, status, return_message FROM cron.job_run_details'));
ok($node->poll_query_until('shop', q{SELECT count(*) FILTER (WHERE status = 'succeeded') > 5 FROM cron.job_run_details}), 'the jobs say so');
is($node->safe_psql('shop', q{SELECT DISTINCT command, return_message FROM cron.job_run_details WHERE status = 'failed' AND return_message <> 'ERROR:  broken'}), '', 'none has failed');
ok($node->poll_query_until('shop', q{SELECT count(*) = 0 FROM leadscore.health WHERE name IN ('jobs', 'job_setup', 'job_runs') AND state <> 'ok'}), '... and so does health, though the hour of one has not come');
is($node->safe_psql('shop', 'SELECT leadscore.refresh_figures(); SELECT count(*) FROM leadscore.offer_figure'), "\n2", 'figures of an offer whose model has no conversion');
like($node->safe_psql('shop', 'SELECT leadscore.metrics()', extra_params => ['-U', 'monitor']), qr/^leadscore_job_failures\{job="leadscore fold",role="\w+"\} 1$/m, '... and metrics()');

ok($node->poll_query_until('shop', q{SELECT count(*) = 1 FROM cron.job_run_details WHERE end_time < now() - interval '2 days'}), 'what is old of our jobs was removed from the log by one of them, and what is of others is left');
is($node->safe_psql('shop', q{SELECT leadscore.prune_runs('0') > 0, count(*) FROM cron.job_run_details WHERE command = 'SELECT 1'}), 't|1', 'all can be');
($status, $out, $error) = $node->psql('shop', 'SELECT leadscore.prune_runs(NULL)');
like($error, qr/keep is NULL or below zero/, '... for no duration it cannot');

is($node->safe_psql('shop', q{SELECT segment FROM leadscore.lead_state WHERE lead_id = 'anna'}), 'hot', 'and the lead has entered its segment');

is($node->safe_psql('shop', 'SELECT leadscore.unschedule()'), $jobs - 1, 'unscheduled, our jobs are gone');
is($node->safe_psql('shop', 'SELECT jobname FROM cron.job'), 'leadscore of mine', '... and others stay');
$node->stop;

done_testing();
