# Timelines are small, and aggregating them stays within the memory that the planner was promised.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('memory');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nmax_parallel_workers_per_gather = 2\nparallel_setup_cost = 0\nparallel_tuple_cost = 0.005\nmin_parallel_table_scan_size = 0");
$node->start;

# 300,000 events of 50,000 leads: 6 a lead, of two signals, over half a year
$node->safe_psql('postgres', q{
CREATE EXTENSION leadscore;
INSERT INTO leadscore.signal (signal, kind) VALUES ('visit', 'visit'), ('cart', 'cart'), ('buy', 'buy');
CREATE TABLE happened AS
SELECT 'lead-' || (n::bigint * 7919 % 50000) AS lead_id, CASE n % 5 WHEN 0 THEN 'buy' ELSE 'visit' END AS kind,
	'2026-01-01'::timestamptz + (n::bigint * 104729 % 4320) * interval '1 hour' AS occurred_at, CASE n % 5 WHEN 0 THEN 49.90 END AS value
FROM generate_series(1, 300000) n;
ANALYZE happened;
});

my $query = 'SELECT lead_id, leadscore.timeline_agg((SELECT leadscore.signals()), kind, occurred_at, value, NULL) FROM happened GROUP BY lead_id';

# What the server's own accounting says of the hash aggregates of a plan: the peak of one process in kB, and batches.
sub aggregate_memory
{
	my ($setting) = @_;
	my @found = split /\|/, $node->safe_psql('postgres', qq{
SET work_mem = '$setting'; SET hash_mem_multiplier = 1; SET enable_sort = off;
CREATE TEMP TABLE plan (j jsonb);
DO \$\$ DECLARE j json; BEGIN EXECUTE 'EXPLAIN (ANALYZE, FORMAT JSON) $query' INTO j; INSERT INTO plan VALUES (j); END \$\$;
SELECT max(m::text::int), max((SELECT max(b::text::int) FROM plan, jsonb_path_query(j, 'strict \$.**."HashAgg Batches"') b)),
	bool_or((SELECT j::text ~ '"Partial Mode": "Partial"' FROM plan)), max((SELECT (j #>> '{0,Plan,Actual Rows}')::float8 FROM plan))
FROM plan, jsonb_path_query(j, 'strict \$.**."Peak Memory Usage"') m});
	return @found;
}

# Enough memory: up to 50,000 groups in a process at no more than 900 bytes each, the key and the hash table included;
# the planner reckons with 512 for the state alone (SSPACE).
my ($peak, $batches, $partial, $rows) = aggregate_memory('256MB');
is($partial, 't', 'the plan is parallel');
is($rows, 50000, 'as many timelines as leads');
cmp_ok($peak, '<', 50000 * 900 / 1024, "peak of one process: $peak kB");
is($batches, 1, 'nothing is spilled where there is enough memory');

# Little memory: the states are accounted for, so the aggregate spills and stays near work_mem.
($peak, $batches, $partial, $rows) = aggregate_memory('4MB');
is($rows, 50000, 'as many timelines as leads with little memory');
cmp_ok($batches, '>', 1, "batches: $batches");
cmp_ok($peak, '<', 2 * 4096, "peak of one process at a work_mem of 4 MB: $peak kB");
is($node->safe_psql('postgres', qq{
SET max_parallel_workers_per_gather = 0; CREATE TEMP TABLE serial AS $query;
SET max_parallel_workers_per_gather = 2; SET work_mem = '4MB'; SET hash_mem_multiplier = 1; CREATE TEMP TABLE parallel AS $query;
SELECT count(*) FROM serial s FULL JOIN parallel p USING (lead_id) WHERE s.timeline_agg OPERATOR(leadscore.=) p.timeline_agg}), '50000', 'spilled or not, the timelines are the same');

# One group of 300,000 events: memory grows with the hours, not with the events.
my $large = $node->safe_psql('postgres', q{
SELECT pg_column_size(leadscore.timeline_agg((SELECT leadscore.signals()), kind, occurred_at, value, NULL)) FROM happened});
cmp_ok($large, '<', 2 * 4320 * 9, "4,320 hours of two signals in $large bytes");

# The stored timeline of a lead with 20 events in 3 signals is at most 100 bytes.
my $stored = $node->safe_psql('postgres', q{
SELECT setseed(0.5);
INSERT INTO leadscore.event (lead_id, kind, occurred_at, value)
SELECT 'twenty-' || l, CASE WHEN n <= 13 THEN 'visit' WHEN n <= 17 THEN 'cart' ELSE 'buy' END, '2025-01-01'::timestamptz + random() * interval '2 years',
	CASE WHEN n > 17 THEN round((random() * 1000)::numeric, 2) END
FROM generate_series(1, 2000) l, generate_series(1, 20) n;
SELECT max(pg_column_size(timeline)), count(*) FROM leadscore.lead_timeline WHERE lead_id LIKE 'twenty-%'});
my ($size, $leads) = split /\|/, (split /\n/, $stored)[-1];
is($leads, 2000, '2,000 leads with 20 events in 3 signals');
cmp_ok($size, '<=', 100, "the largest of them takes $size bytes");

# On a model that is watched a statement compares each timeline with that of before, and keeps neither: 2,000 leads of some
# 20 kB. How much it has is looked up when it writes down the one that has changed its segment, at its end.
$node->safe_psql('postgres', q{
SELECT leadscore.publish('{"model": "m", "signals": [{"signal": "buy", "kind": "buy"}], "weights": [{"signal": "buy", "points": 1}], "segments": [{"segment": "s", "position": 1, "min_score": 1}]}');
INSERT INTO leadscore.event (lead_id, kind, occurred_at, value) SELECT 'long-1', 'buy', '2000-01-01'::timestamptz + n * interval '7 hours', n * 1.37 FROM generate_series(1, 5000) n;
INSERT INTO leadscore.lead_timeline SELECT 'long-' || l, timeline FROM leadscore.lead_timeline, generate_series(2, 2000) l WHERE lead_id = 'long-1'});
$node->safe_psql('postgres', 'CALL leadscore.watch()');
my ($bytes, $length) = split /\|/, $node->safe_psql('postgres', q{
CREATE TABLE memory (bytes bigint);
CREATE FUNCTION note_memory() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.memory SELECT sum(total_bytes) FROM pg_backend_memory_contexts; RETURN NULL; END';
CREATE TRIGGER note_memory AFTER INSERT ON leadscore.segment_change FOR EACH STATEMENT EXECUTE FUNCTION note_memory();
INSERT INTO leadscore.event (lead_id, kind) VALUES ('first', 'buy');
INSERT INTO leadscore.event (lead_id, kind) SELECT 'long-' || l, 'buy' FROM generate_series(1, 2000) l UNION ALL VALUES ('second', 'buy');
SELECT max(bytes) - min(bytes), (SELECT length(leadscore_internal.timeline_send(timeline)) FROM leadscore.lead_timeline WHERE lead_id = 'long-7') FROM memory HAVING count(*) = 2});
cmp_ok($length, '>', 20000, "a long timeline: $length bytes");
cmp_ok($bytes, '<', 8 * 1024 * 1024, "compared with 2,000 of them, a statement has $bytes bytes more than one that has one lead");

$node->stop;
done_testing();
