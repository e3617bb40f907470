# Eight clients write in every way that there is, at each isolation level. Timelines equal events at the end and in
# every snapshot meanwhile. LEADSCORE_LOAD_SECONDS is how long it lasts.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use Test::More;
use Workload;

my $node = new_node('main');
$node->append_conf('postgresql.conf', 'log_lock_waits = off');
$node->start;
setup_shop($node);

my $seconds = int(seconds('LEADSCORE_LOAD_SECONDS', 30) / 3) || 1;
my $transactions = 0;

for my $level ('read committed', 'repeatable read', 'serializable')
{
	my $load = start_load($node, $seconds, level => $level);
	my $until = time + $seconds - 2;
	my ($looked, $wrong) = (0, '');

	# (TRUNCATE is not seen by snapshots as other statements are, so the table that is truncated has leads of its own.)
	while ($wrong eq '' && time < $until)
	{
		$wrong = $node->safe_psql('shop', $Workload::differences =~ s/except/small/r);
		$looked++;
	}
	is($wrong, '', "$level: timelines equal events in $looked snapshots meanwhile");
	finish_load($load);
	$transactions += $load->{transactions} // 0;
	is_true($node, $level);
	is($node->safe_psql('shop', q{SELECT count(*) FROM leadscore.lead_timeline WHERE timeline OPERATOR(leadscore.=) '{}'::leadscore.timeline}), '0', "$level: no timeline is empty");
}

is($node->safe_psql('shop', q{SELECT deadlocks FROM pg_stat_database WHERE datname = 'shop'}), '0', 'there was no deadlock');
is($node->safe_psql('shop', q{
	SELECT count(*) FROM shop.customer c LEFT JOIN leadscore.lead l ON l.lead_id = c.lead
	WHERE l.profile ->> 'country' IS DISTINCT FROM c.country}), '0', 'profiles equal the customers');
my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile);
unlike($log, qr/XX000|PANIC|TRAP|terminated by signal/, 'no internal error in the log');
note("$transactions transactions, " . $node->safe_psql('shop', 'SELECT count(*) FROM leadscore.lead_timeline') . ' leads');
$node->stop;

done_testing();
