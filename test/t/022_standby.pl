# A standby answers every read while the primary writes, and is promoted in mid-load.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use Test::More;
use Workload;

my $primary = new_node('primary', allows_streaming => 1);
# A query that waits for a table which replay has truncated, and holds a snapshot that replay waits for, must be cancelled.
$primary->append_conf('postgresql.conf', 'max_standby_streaming_delay = 10s');
$primary->start;
setup_shop($primary);
run_load($primary, 1);
$primary->safe_psql('shop', q{INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('1', 'visit', '2026-01-01')});
$primary->safe_psql('shop', 'SELECT leadscore.refresh_segments()');

$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;

# As on any standby, a query that is in the way of replay is cancelled, and asked again. Replay that lags behind lets no
# query wait, so it is halted every other time.
sub standby_psql
{
	my ($query) = @_;

	for my $attempt (1 .. 60)
	{
		$standby->safe_psql('postgres', 'SELECT pg_wal_replay_pause(), pg_sleep(0.2)') if $attempt % 2 == 0;
		my ($status, $out, $error) = $standby->psql('shop', "SET lock_timeout = '2s'; $query");
		$standby->safe_psql('postgres', 'SELECT pg_wal_replay_resume()') if $attempt % 2 == 0;
		return ($status, $out, $error) if $status == 0 || $error !~ /conflict with recovery|lock timeout/;
	}
	die 'every query was in the way of replay';
}

# The load lasts longer than the primary.
my $load = start_load($primary, 60);
my %read = (
	'score()' => q{SELECT leadscore.score('1')},
	'explain()' => q{SELECT sum(points) FROM leadscore.explain('1')},
	'score_history()' => q{SELECT count(*) FROM leadscore.score_history('1')},
	'lead_score' => q{SELECT count(*) > 0 FROM leadscore.lead_score},
	'lead_segment' => q{SELECT count(*) > 0 FROM leadscore.lead_segment},
	'segment_summary' => q{SELECT sum(leads) > 0 FROM leadscore.segment_summary},
	'status' => q{SELECT count(*) >= 0 FROM leadscore.status},
	'health' => q{SELECT name, state FROM leadscore.health WHERE name IN ('jobs', 'lint', 'version')},
	'metrics()' => q{SELECT leadscore.metrics()},
	'progress' => q{SELECT count(*) >= 0 FROM leadscore.progress},
	'scorecard()' => q{SELECT leadscore.scorecard('default') IS NOT NULL},
	'source' => q{SELECT count(*) FROM leadscore.source});
for my $name (sort keys %read)
{
	my ($status, $out, $error) = standby_psql($read{$name});

	is($error, '', "the standby answers $name");
	isnt($out, '', '... with something');
}
my $until = time + seconds('LEADSCORE_STANDBY_SECONDS', 4);
my ($looked, $wrong) = (0, '');
while ($wrong eq '' && time < $until)
{
	my ($status, $out, $error) = standby_psql($Workload::differences =~ s/except/small/r);
	$wrong = $status == 0 ? $out : $error;
	$looked++;
}
is($wrong, '', "timelines equal events in $looked snapshots of the standby");

$standby->promote;
$primary->stop('immediate');
finish_load($load, server_goes_down => 1);
is_true($standby, 'the promoted standby');
run_load($standby, 2);
is_true($standby, 'when it is written');
$standby->stop;

done_testing();
