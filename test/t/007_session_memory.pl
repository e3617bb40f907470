# What a session keeps between statements has a limit, and is forgotten when what it was made from changes.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use PostgreSQL::Test::Utils;
use Test::More;
use Workload;

# ---------- the server's ten slots ----------

# Of the callbacks that a server has few places for, the library takes one each.
my $sources = join '', map { slurp_file($_) } glob("$FindBin::Bin/../../src/*.c"), glob("$FindBin::Bin/../../src/*/*.c");
for my $registration (qw(CacheRegisterRelcacheCallback CacheRegisterSyscacheCallback))
{
	my @calls = $sources =~ /^\s+$registration\(/mg;

	is(scalar(@calls), 1, "$registration() is called in one place");
}

my $node = new_node('main');
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE shop');
$node->safe_psql('shop', q{
	CREATE EXTENSION leadscore;
	CREATE ROLE anybody LOGIN;
	CREATE TABLE history AS SELECT ('{1: ' || string_agg(to_char(timestamp '2000-01-01' + n * interval '1 hour', 'YYYY-MM-DD"T"HH24"Z 1"'), ', ' ORDER BY n) || '}')::leadscore.timeline AS timeline
		FROM generate_series(0, 65000, 10) n;
	CREATE FUNCTION card(half_lives int[], other text DEFAULT '') RETURNS jsonb LANGUAGE sql AS $$
		SELECT jsonb_build_object('description', other, 'signals', '[{"signal": "s", "signal_id": 1}]'::jsonb,
			'weights', jsonb_agg(jsonb_build_object('signal', 's', 'points', 1, 'half_life', h || ' hours') ORDER BY h)) FROM unnest(half_lives) h $$;
	CREATE TABLE card AS SELECT card(array_agg(n)) AS document FROM generate_series(1, 3000) n;
	GRANT SELECT ON ALL TABLES IN SCHEMA public TO anybody});

# ---------- memory ----------

my $kept = 'SELECT pg_size_bytes(pg_size_pretty(sum(total_bytes))) FROM pg_backend_memory_contexts';
my $score = q{SELECT 0 FROM leadscore.score((SELECT document FROM card), (SELECT timeline FROM history), NULL, '2007-05-01Z') s WHERE s IS NULL};

# How many bytes more a session keeps after statements that give no rows than after one of the kind.
sub grows
{
	my ($name, $most, @commands) = @_;
	my @bytes = split /\n/, $node->safe_psql('shop', join ";\n", q{SET client_min_messages = 'error'}, 'SET ROLE anybody', $commands[0], 'RESET ROLE', $kept,
		'SET ROLE anybody', @commands[ 1 .. $#commands ], 'RESET ROLE', $kept);

	return cmp_ok($bytes[1] - $bytes[0], '<', $most, "$name: $bytes[0] bytes before, $bytes[1] after");
}
my $small = q{SELECT 0 FROM leadscore.score(card('{24}'), (SELECT timeline FROM history), NULL, '2007-05-01Z') s WHERE s IS NULL};
grows('3,000 half-lives', 8e6, $small, $score, $score);
grows('many cards', 12e6, $small, map { qq{SELECT 0 FROM leadscore.score(card(ARRAY(SELECT generate_series(1, 400)), repeat('x', $_)), (SELECT timeline FROM history), NULL, '2007-05-01Z') s WHERE s IS NULL} } 1 .. 30);
grows('large cards', 12e6, $small, map { qq{SELECT 0 FROM leadscore.score(card(ARRAY(SELECT generate_series(1, 30000)), repeat('x', $_)), NULL, NULL, '2007-05-01Z') s WHERE s IS NULL} } 1 .. 4);
grows('customer values', 2e6, $small, map { qq{SELECT 0 FROM leadscore.clv((SELECT timeline FROM history), '{"signal_id": 1, "bg_nbd": {"r": $_, "alpha": 1, "a": 1, "b": 1}}', '1 day', '2007-05-01Z') c WHERE c IS NULL} } 1 .. 50);

# A table, or none for lack of room, makes no difference to the last bit.
is($node->safe_psql('shop', q{
	WITH f AS MATERIALIZED (SELECT leadscore.features((SELECT document FROM card), (SELECT timeline FROM history), NULL, '2007-05-01Z') AS features)
	SELECT count(*), count(*) FILTER (WHERE f.features[h] = (leadscore.features(card(ARRAY[h]), timeline, NULL, '2007-05-01Z'))[1])
	FROM history, f, generate_series(1, 3000, 97) h}),
	'31|31', 'the same bits');

# ---------- models ----------

$node->safe_psql('shop', q{
	SELECT leadscore.publish(jsonb_set(jsonb_set(card(ARRAY(SELECT generate_series(1, 100))), '{model}', to_jsonb('m' || n)), '{signals}', '[{"signal": "s", "kind": "visit"}]')) FROM generate_series(1, 12) n;
	ALTER TABLE leadscore.lead_timeline ALTER timeline SET STORAGE EXTERNAL;
	INSERT INTO leadscore.event (lead_id, kind, occurred_at) SELECT 'anna', 'visit', timestamptz '2000-01-01Z' + n * interval '13 hours' FROM generate_series(1, 5000) n;
	SELECT leadscore.grant_reader('anybody')});
grows('scores of twelve models', 12e6, q{SELECT 0 WHERE leadscore.score('anna', 'm1') IS NULL}, map { ("SELECT 0 WHERE leadscore.score('anna', 'm$_', '2007-06-01Z') IS NULL") x 2 } 1 .. 12);

# ---------- sources ----------

$node->safe_psql('shop', q{
	CREATE TABLE visit (id int, who text, at timestamptz DEFAULT '2026-01-01Z') PARTITION BY LIST (id);
	DO $$ BEGIN FOR i IN 1 .. 300 LOOP EXECUTE format('CREATE TABLE visit%1$s PARTITION OF visit FOR VALUES IN (%1$s)', i); END LOOP; END $$;
	SELECT leadscore.track('visit', lead_id => 'who', kind => 'visit', occurred_at => 'at')});
is($node->safe_psql('shop', q{
	DO $$ BEGIN FOR pass IN 1 .. 2 LOOP FOR i IN 1 .. 300 LOOP EXECUTE format('INSERT INTO visit%1$s VALUES (%1$s, ''bert'')', i); END LOOP; END LOOP; END $$;
	SELECT count(*) <= 256 FROM pg_backend_memory_contexts c WHERE ident = 'leadscore source' AND coalesce(to_jsonb(c) ->> 'parent', 'TopMemoryContext') = 'TopMemoryContext'}), 't', 'mappings are kept of at most 256 triggers');
is($node->safe_psql('shop', q{SELECT occurrences FROM leadscore.lead_timeline, leadscore.timeline_entries(timeline) WHERE lead_id = 'bert' LIMIT 1}), '600', 'all were counted');

# ---------- what has changed is looked up again ----------

my $session = $node->background_psql('shop', on_error_stop => 0);
$session->query_safe(q{SET client_min_messages = 'error'});
my $counted = q{SELECT coalesce(sum(occurrences), 0) FROM leadscore.current_timeline, leadscore.timeline_entries(timeline) WHERE lead_id = 'carl'};
$session->query_safe(q{INSERT INTO visit VALUES (1, 'carl')});
is($node->safe_psql('shop', $counted), '1', 'a row is counted');
$node->safe_psql('shop', q{INSERT INTO leadscore.signal (signal, kind) VALUES ('again', 'visit'); CALL leadscore.rebuild()});
$session->query_safe(q{INSERT INTO visit VALUES (2, 'carl')});
is($node->safe_psql('shop', $counted), '4', 'a session counts by new signals');
$node->safe_psql('shop', 'ALTER TABLE visit ADD COLUMN lead text; ALTER TABLE visit RENAME who TO former; ALTER TABLE visit RENAME lead TO who');
$session->query_safe(q{INSERT INTO visit VALUES (3, 'nobody', DEFAULT, 'carl')});
is($node->safe_psql('shop', $counted), '6', 'a session finds columns anew');
$session->query_safe(q{BEGIN; ALTER TABLE visit RENAME at TO later; INSERT INTO visit VALUES (4, 'nobody', DEFAULT, 'carl'); ROLLBACK; INSERT INTO visit VALUES (4, 'nobody', DEFAULT, 'carl')});
is($node->safe_psql('shop', $counted), '8', 'and what is rolled back has not changed');

$node->safe_psql('shop', q{SELECT leadscore.partition_timelines(4)});
$session->query_safe(q{INSERT INTO visit VALUES (5, 'nobody', DEFAULT, 'carl')});
is($node->safe_psql('shop', $counted), '10', 'a session writes to tables that timelines were split into');
$node->safe_psql('shop', q{SELECT leadscore.partition_timelines(1)});
$session->query_safe(q{INSERT INTO visit VALUES (6, 'nobody', DEFAULT, 'carl')});
is($node->safe_psql('shop', $counted), '12', 'and to the one that they were put together in');

$node->safe_psql('shop', q{SELECT leadscore.publish('{"model": "w", "signals": [{"signal": "s", "kind": "visit"}], "weights": [{"signal": "s", "points": 1}], "segments": [{"segment": "any", "position": 1, "min_score": 1}]}');
	CALL leadscore.watch('w')});
$session->query_safe(q{INSERT INTO visit VALUES (7, 'nobody', DEFAULT, 'dora')});
is($node->safe_psql('shop', q{SELECT to_segment FROM leadscore.segment_change WHERE lead_id = 'dora'}), 'any', 'a session sees that a model is watched');
$node->safe_psql('shop', q{SELECT leadscore.unwatch('w')});
$session->query_safe(q{INSERT INTO visit VALUES (8, 'nobody', DEFAULT, 'emil')});
is($node->safe_psql('shop', q{SELECT count(*) FROM leadscore.segment_change WHERE lead_id = 'emil'}), '0', 'and that it is no longer');
$session->quit;

done_testing();
