# A source that pg_partman partitions by time: it makes partitions ahead, and drops those that are over.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use Test::More;
use Workload;

my $node = new_node('main');
$node->start;
if ($node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_partman'}) == 0)
{
	$node->stop;
	plan skip_all => 'pg_partman is not installed';
}
$node->safe_psql('postgres', 'CREATE DATABASE shop');
$node->safe_psql('shop', q{
	CREATE EXTENSION leadscore;
	CREATE SCHEMA partman; CREATE EXTENSION pg_partman SCHEMA partman;
	INSERT INTO leadscore.signal (signal, kind) VALUES ('visit', 'visit');
	CREATE SCHEMA shop; CREATE TABLE shop.click (visitor text NOT NULL, at timestamptz NOT NULL) PARTITION BY RANGE (at);
	SELECT leadscore.track('shop.click', lead_id => 'visitor', kind => 'visit', occurred_at => 'at')});

# version 4 asks for a kind of partitioning, too
my $old = $node->safe_psql('shop', q{SELECT extversion LIKE '4%' FROM pg_extension WHERE extname = 'pg_partman'}) eq 't';
$node->safe_psql('shop', sprintf(q{SELECT partman.create_parent(p_parent_table => 'shop.click', p_control => 'at', %s)},
	$old ? q{p_type => 'native', p_interval => 'daily', p_start_partition => (now() - interval '6 days')::text} : q{p_interval => '1 day', p_start_partition => (now() - interval '6 days')::text}));
my $partitions = q{SELECT count(*) FROM pg_inherits WHERE inhparent = 'shop.click'::regclass};
my $before = $node->safe_psql('shop', $partitions);
cmp_ok($before, '>', 6, 'pg_partman makes partitions');
is($node->safe_psql('shop', q{SELECT count(*) FROM leadscore_internal.source_trigger WHERE mapping ? 'partition'}), $before, '... and each is tracked');

$node->safe_psql('shop', q{INSERT INTO shop.click SELECT 'v' || i % 50, now() - i * interval '9 minutes' FROM generate_series(0, 900) i});
is_true($node, 'rows of six days');
is($node->safe_psql('shop', q{SELECT sum(e.occurrences) FROM leadscore.lead_timeline t, leadscore.timeline_entries(t.timeline) e}), '901', 'all are counted');

$node->safe_psql('shop', q{UPDATE partman.part_config SET retention = '3 days', retention_keep_table = false WHERE parent_table = 'shop.click'; SELECT partman.run_maintenance('shop.click')});
cmp_ok($node->safe_psql('shop', $partitions), '<', $before, 'it drops partitions that are over');
is_true($node, 'rows that are dropped');
my ($rows, $counted) = split /\|/, $node->safe_psql('shop', q{SELECT (SELECT count(*) FROM shop.click), sum(e.occurrences) FROM leadscore.lead_timeline t, leadscore.timeline_entries(t.timeline) e});
cmp_ok($rows, '<', 901, 'with their rows');
is($counted, $rows, '... which no longer count');

$node->safe_psql('shop', q{UPDATE partman.part_config SET premake = 9 WHERE parent_table = 'shop.click'; SELECT partman.run_maintenance('shop.click'); INSERT INTO shop.click VALUES ('v1', now() + interval '8 days')});
is_true($node, 'a partition made ahead');
$node->stop;

done_testing();
