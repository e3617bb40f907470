# The server, or one of its processes, dies in mid-load. After recovery timelines equal events. LEADSCORE_CRASHES is
# how often.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use Test::More;
use Time::HiRes qw(sleep);
use Workload;

my $node = new_node('main');
$node->start;
setup_shop($node);

# An unlogged table is empty after a crash, and no trigger sees that: it cannot be tracked.
my ($status) = $node->psql('shop', q{
	CREATE UNLOGGED TABLE shop.unlogged (lead text, happened date DEFAULT '2026-01-01');
	SELECT leadscore.track('shop.unlogged', lead_id => 'lead', kind => 'visit', occurred_at => 'happened');
	}, on_error_stop => 1);
isnt($status, 0, 'an unlogged table is refused');
$node->safe_psql('shop', 'DROP TABLE shop.unlogged');

my $crashes = seconds('LEADSCORE_CRASHES', 3);
my $transactions = 0;
for my $n (1 .. $crashes)
{
	my $how = $n % 2 ? 'kill -9 of a backend' : 'pg_ctl stop -m immediate';
	my $load = start_load($node, 60);

	sleep(1.2 + rand 1.5);
	if ($n % 2)
	{
		my $backend;
		until ($backend = $node->safe_psql('shop', q{SELECT pid FROM pg_stat_activity WHERE datname = 'shop' AND backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1}))
		{
			sleep 0.1;
		}
		kill 'KILL', $backend;
	}
	else
	{
		$node->stop('immediate');
	}
	finish_load($load, server_goes_down => 1);
	$transactions += $load->{transactions} // 0;
	if ($n % 2)
	{
		wait_until_up($node);
	}
	else
	{
		$node->start;
	}
	is_true($node, "crash $n, $how");
}
cmp_ok($node->safe_psql('shop', 'SELECT count(*) FROM leadscore.event'), '>', 100, 'events survived');

# and it goes on
run_load($node, 2);
is_true($node, 'afterwards');
note("$crashes crashes");
$node->stop;

done_testing();
