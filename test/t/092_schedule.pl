# pg_cron runs what schedule() has given it: behaviours are derived, deltas are folded, the snapshot is refreshed, vouchers expire.

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
$node->safe_psql('shop', 'CREATE EXTENSION pg_cron');
is($node->safe_psql('shop', 'SELECT bool_and(scheduled), count(*) FROM leadscore.schedule()'), 't|7', 'the jobs are scheduled');
$node->safe_psql('shop', q{SELECT cron.schedule('leadscore of mine', '0 0 1 1 *', 'SELECT 1')});
my $jobs = $node->safe_psql('shop', q{SELECT count(*) FROM cron.job});
$node->safe_psql('shop', q{SELECT leadscore.schedule('1 minute')});
is($node->safe_psql('shop', q{SELECT count(*) FROM cron.job}), $jobs, 'scheduled again, they are the same');

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
is($node->safe_psql('shop', q{SELECT DISTINCT command, return_message FROM cron.job_run_details WHERE status = 'failed'}), '', 'none has failed');
is($node->safe_psql('shop', q{SELECT segment FROM leadscore.lead_state WHERE lead_id = 'anna'}), 'hot', 'and the lead has entered its segment');

is($node->safe_psql('shop', 'SELECT leadscore.unschedule()'), $jobs - 1, 'unscheduled, our jobs are gone');
is($node->safe_psql('shop', 'SELECT jobname FROM cron.job'), 'leadscore of mine', '... and others stay');
$node->stop;

done_testing();
