# Random histories: in whatever order and grouping events come, change and go, timelines are equal to the bit.

use strict;
use warnings FATAL => 'all';

use List::Util qw(shuffle);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{SEED} || 20261121;
note "SEED=$seed";
srand($seed);
my $histories = $ENV{HISTORIES} || 1000;

my $node = PostgreSQL::Test::Cluster->new('histories');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\ntimezone = 'UTC'");
$node->start;

$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION leadscore;
INSERT INTO leadscore.signal (signal, kind, match, condition) VALUES ('a', 'a', NULL, NULL), ('b', 'b', NULL, NULL), ('any', NULL, NULL, NULL),
	('mobile', NULL, '{"device": "mobile"}', NULL), ('nested', 'a', '{"x": {"y": 1}}', NULL), ('dear', 'b', NULL, '$.price > 50');
-- the oracle: what happened, and when it has been changed or deleted, what is left of it
CREATE TABLE happened (n int PRIMARY KEY, history int, kind text, occurred_at timestamptz, value numeric, properties jsonb);
-- a way per lead: the history's number with the way's letter before it
CREATE FUNCTION differing(OUT history int, OUT way text) RETURNS SETOF record LANGUAGE sql SET search_path = leadscore, leadscore_internal, public AS $$
	WITH expected AS (SELECT history, timeline_agg((SELECT signals()), kind, occurred_at, value, properties ORDER BY n) AS timeline FROM happened GROUP BY history)
	SELECT substr(lead_id, 2)::int, left(lead_id, 1) FROM lead_timeline t WHERE NOT EXISTS (SELECT FROM expected e WHERE e.history = substr(lead_id, 2)::int AND e.timeline = t.timeline)
	UNION ALL
	SELECT e.history, w FROM expected e, unnest('{r,m,c,o,g,t}'::text[]) w
	WHERE e.timeline IS NOT NULL AND NOT EXISTS (SELECT FROM lead_timeline t WHERE t.lead_id = w || e.history)
$$;
CREATE TABLE tracked (n int, who text, what text, at timestamp, amount numeric, data jsonb);
SELECT leadscore.track('tracked', 'who', kind_column => 'what', occurred_at => 'at', value => 'amount', properties => '{data}');
SQL

# ---------------------------------------------------------------- the histories

# Few kinds and hours, so that events often meet in one hour; values with up to nine decimals, which are rounded to six.
sub random_event
{
	my $kind = (qw(a b c a b))[rand 5];
	my $at = sprintf '2026-%02d-%02d %02d:%02d:%02d.%06d', 1 + rand 2, 1 + rand 3, rand 24, rand 60, rand 60, rand 1e6;
	$at = ('1970-01-01 00:00:00', '9999-12-31 23:59:59.999999')[rand 2] if rand() < 0.02;
	my $value = rand() < 0.5 ? undef : sprintf '%.*f', int(rand 10), (rand() < 0.1 ? 1e11 : 100) * (rand() - 0.3);
	my $properties = (undef, '{}', '{"device": "mobile"}', '{"device": "tv", "price": 51}', '{"price": 50.5, "x": {"y": 1, "z": 2}}', '{"device": "mobile", "price": "60"}')[rand 6];
	return [ $kind, $at, $value, $properties ];
}

my (@events, @history_of);
for my $history (1 .. $histories)
{
	for (1 .. 1 + rand 10)
	{
		push @events, random_event();
		push @history_of, $history;
	}
}

sub literal { return defined $_[0] ? "'$_[0]'" : 'NULL' }

# An event's columns for a way of writing, as SQL.
sub row
{
	my ($way, $n) = @_;
	my ($kind, $at, $value, $properties) = @{ $events[$n] };
	return sprintf "('%s%d', '%s', '%s', %s::numeric, %s::jsonb, '%s%d')", $way, $history_of[$n], $kind, $at, $value // 'NULL', literal($properties), $way, $n;
}

# The numbers of all events, shuffled, in groups of random size.
sub groups
{
	my ($most) = @_;
	my @order = shuffle(0 .. $#events);
	my @groups;
	push @groups, [ splice @order, 0, 1 + rand $most ] while @order;
	return @groups;
}

my $columns = '(lead_id, kind, occurred_at, value, properties, dedup_key)';
my $sql = "BEGIN;\n";
$sql .= 'INSERT INTO happened VALUES ' . join(', ', map { sprintf "(%d, %d, '%s', '%s', %s, %s)", $_, $history_of[$_], $events[$_][0], $events[$_][1], $events[$_][2] // 'NULL', literal($events[$_][3]) } 0 .. $#events) . ";\n";
# r: row by row; m: several rows a statement; c: COPY
$sql .= 'INSERT INTO leadscore.event ' . $columns . ' VALUES ' . row('r', $_->[0]) . ";\n" for groups(1);
$sql .= 'INSERT INTO leadscore.event ' . $columns . ' VALUES ' . join(', ', map { row('m', $_) } @$_) . ";\n" for groups(200);
for my $group (groups(3000))
{
	$sql .= "COPY leadscore.event $columns FROM stdin;\n";
	$sql .= join("\t", "c$history_of[$_]", @{ $events[$_] }[0, 1], map({ $_ // '\N' } @{ $events[$_] }[2, 3]), "c$_") . "\n" for @$group;
	$sql .= "\\.\n";
}
# o: ON CONFLICT, with rows that were there already, and others written wrongly first
for my $group (groups(300))
{
	my @again = map { $group->[ rand @$group ] } 1 .. 5;
	$sql .= "INSERT INTO leadscore.event $columns VALUES " . join(', ', map { my $r = row('o', $_); $r =~ s/'(\w)'/'x'/ if $_ % 3 == 0; $r } @$group) . ";\n";
	$sql .= "INSERT INTO leadscore.event $columns VALUES " . join(', ', map { row('o', $_) } @again) . " ON CONFLICT (dedup_key) DO NOTHING;\n";
	my @wrong = grep { $_ % 3 == 0 } @$group;
	$sql .= "INSERT INTO leadscore.event AS e $columns VALUES " . join(', ', map { row('o', $_) } @wrong) . " ON CONFLICT (dedup_key) DO UPDATE SET kind = excluded.kind;\n" if @wrong;
}
# g: MERGE, which inserts, corrects what was inserted wrongly, and removes what should not be there
my $merge = $node->pg_version >= 15;
for my $group (groups(300))
{
	my @wrong = grep { $_ % 4 == 0 } @$group;
	$sql .= "INSERT INTO leadscore.event $columns VALUES " . join(', ', map { my $r = row('g', $_); $r =~ s/^\('g\d+'/('g0'/; $r } @wrong) . ";\n" if @wrong;
	$sql .= "INSERT INTO leadscore.event (lead_id, kind, dedup_key) VALUES ('g0', 'a', 'gtoo much');\n";
	$sql .= $merge
		? "MERGE INTO leadscore.event e USING (VALUES " . join(', ', map { row('g', $_) } @$group) . ", ('g0', 'a', NULL, NULL, NULL, 'gtoo much')) v $columns ON e.dedup_key = v.dedup_key"
		. " WHEN MATCHED AND v.lead_id = 'g0' THEN DELETE WHEN MATCHED THEN UPDATE SET lead_id = v.lead_id"
		. " WHEN NOT MATCHED THEN INSERT $columns VALUES (v.lead_id, v.kind, v.occurred_at::timestamptz, v.value, v.properties, v.dedup_key);\n"
		: "DELETE FROM leadscore.event WHERE dedup_key = 'gtoo much';\nINSERT INTO leadscore.event $columns VALUES " . join(', ', map { row('g', $_) } @$group) . " ON CONFLICT (dedup_key) DO UPDATE SET lead_id = excluded.lead_id;\n";
}
# t: a table of the user's that is tracked, in one statement
$sql .= "INSERT INTO tracked SELECT n, 't' || history, kind, occurred_at AT TIME ZONE 'UTC', value, properties FROM happened ORDER BY hashint4(n);\nCOMMIT;\n";
$node->safe_psql('postgres', $sql);

sub all_equal
{
	my ($when) = @_;
	is($node->safe_psql('postgres', 'SELECT * FROM differing() LIMIT 5'), '', "$when: every way has come to the same timelines");
	is($node->safe_psql('postgres', 'SELECT count(*) FROM leadscore.verify()'), '0', "$when: verify() finds nothing");
}

cmp_ok(scalar(@events), '>', 3 * $histories, scalar(@events) . " events in $histories histories");
all_equal('inserted');

# ---------------------------------------------------------------- plans

my $agg = 'leadscore.timeline_agg((SELECT leadscore.signals()), kind, occurred_at, value, properties)';
$node->safe_psql('postgres', <<"SQL");
ALTER TABLE happened ADD half int;
UPDATE happened SET half = hashint4(n + $seed) & 1;
CREATE TABLE serial AS SELECT history, $agg AS t FROM happened GROUP BY history;
CREATE TABLE halves AS SELECT history, half, $agg AS t FROM happened GROUP BY history, half;
ANALYZE happened; ANALYZE halves;
SET max_parallel_workers_per_gather = 3; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0.005; SET min_parallel_table_scan_size = 0;
CREATE TABLE parallel_hashed AS SELECT history, $agg AS t FROM happened GROUP BY history;
SET enable_hashagg = off;
CREATE TABLE parallel_sorted AS SELECT history, $agg AS t FROM happened GROUP BY history;
RESET enable_hashagg;
CREATE TABLE parallel_sum AS SELECT history, leadscore.timeline_sum(t) AS t FROM halves GROUP BY history;
SQL
is($node->safe_psql('postgres', <<'SQL'), "$histories|$histories|$histories|$histories|$histories", 'serial, parallel, and the sum of two halves');
SELECT count(*), count(*) FILTER (WHERE h.t OPERATOR(leadscore.=) s.t), count(*) FILTER (WHERE o.t OPERATOR(leadscore.=) s.t),
	count(*) FILTER (WHERE u.t OPERATOR(leadscore.=) s.t),
	count(*) FILTER (WHERE coalesce(a.t, '{}') OPERATOR(leadscore.+) coalesce(b.t, '{}') OPERATOR(leadscore.=) s.t)
FROM serial s JOIN parallel_hashed h USING (history) JOIN parallel_sorted o USING (history) JOIN parallel_sum u USING (history)
	LEFT JOIN (SELECT * FROM halves WHERE half <> 0) a USING (history) LEFT JOIN (SELECT * FROM halves WHERE half = 0) b USING (history)
SQL
like($node->safe_psql('postgres', "SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0.005; SET min_parallel_table_scan_size = 0; EXPLAIN SELECT history, $agg FROM happened GROUP BY history"),
	qr/Partial (Hash|Group)?Aggregate/, 'the parallel plan was one');

# a + b - b = a and a + b = b + a, for timelines of unlike histories; hashes follow
is($node->safe_psql('postgres', <<'SQL'), "$histories|t|t|t|t", 'a + b - b = a');
SET search_path = leadscore, leadscore_internal, public;
SELECT count(*), bool_and(a.t + b.t - b.t = a.t), bool_and(a.t + b.t = b.t + a.t), bool_and(- (a.t - b.t) = b.t - a.t),
	bool_and(timeline_hash_extended(a.t + b.t, 7) = timeline_hash_extended(b.t + a.t, 7))
FROM serial a JOIN serial b ON b.history = a.history % (SELECT max(history) FROM serial) + 1
SQL

# text and entries give the timeline back
is($node->safe_psql('postgres', <<'SQL'), 't|t', 'text and entries');
SELECT bool_and(t::text::leadscore.timeline OPERATOR(leadscore.=) t),
	bool_and(t::text = (SELECT '{' || string_agg(signal_id || ': ' || hours, '; ' ORDER BY signal_id) || '}' FROM (
		SELECT signal_id, string_agg(to_char(hour AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24"Z"') || ' ' || occurrences || CASE WHEN value <> 0 THEN ' ' || value ELSE '' END, ', ' ORDER BY hour) AS hours
		FROM leadscore.timeline_entries(t) GROUP BY signal_id) s))
FROM serial
SQL

# a moving window equals an aggregate of its rows
is($node->safe_psql('postgres', <<"SQL"), 't', 'moving windows');
SELECT bool_and(w.t OPERATOR(leadscore.=) e.t OR w.t IS NULL AND e.t IS NULL)
FROM (SELECT n, $agg OVER (ORDER BY n ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING) AS t FROM happened WHERE n < 1000) w,
	LATERAL (SELECT $agg AS t FROM happened h WHERE h.n BETWEEN w.n - 3 AND w.n - 1) e
SQL

# ---------------------------------------------------------------- updates and deletes

for my $round (1 .. 3)
{
	my $change = "BEGIN;\nCREATE TEMP TABLE change (n int, what text, kind text, occurred_at timestamptz, value numeric, properties jsonb);\nINSERT INTO change VALUES ";
	$change .= join ', ', map {
		my ($kind, $at, $value, $properties) = @{ random_event() };
		my $what = (qw(delete delete kind occurred_at value properties all))[rand 7];
		sprintf "(%d, '%s', '%s', '%s', %s::numeric, %s::jsonb)", $_, $what, $kind, $at, $value // 'NULL', literal($properties);
	} grep { rand() < 0.3 } 0 .. $#events;
	$change .= ";\nDELETE FROM change c WHERE NOT EXISTS (SELECT FROM happened h WHERE h.n = c.n);\n";
	for my $target (['happened', 't.n = c.n', 'kind', 'occurred_at', 'value', 'properties', 'c.occurred_at'],
		['leadscore.event', "substr(t.dedup_key, 2)::int = c.n", 'kind', 'occurred_at', 'value', 'properties', 'c.occurred_at'],
		['tracked', 't.n = c.n', 'what', 'at', 'amount', 'data', "c.occurred_at AT TIME ZONE 'UTC'"])
	{
		my ($table, $join, $kind, $at, $value, $properties, $new_at) = @$target;
		$change .= <<"SQL";
UPDATE $table t SET $kind = c.kind FROM change c WHERE $join AND c.what = 'kind';
UPDATE $table t SET $at = $new_at FROM change c WHERE $join AND c.what = 'occurred_at';
UPDATE $table t SET $value = c.value, $properties = c.properties FROM change c WHERE $join AND c.what IN ('value', 'properties');
UPDATE $table t SET $kind = c.kind, $at = $new_at, $value = c.value, $properties = c.properties FROM change c WHERE $join AND c.what = 'all';
DELETE FROM $table t USING change c WHERE $join AND c.what = 'delete';
SQL
	}
	# leads swap all their events: history n becomes n + 1
	$change .= "UPDATE happened SET history = history % $histories + 1;\nUPDATE leadscore.event SET lead_id = left(lead_id, 1) || substr(lead_id, 2)::int % $histories + 1;\n"
		. "UPDATE tracked SET who = 't' || substr(who, 2)::int % $histories + 1;\n" if $round == 2;
	$change .= "COMMIT;\n";
	$node->safe_psql('postgres', $change);
	all_equal("changed, round $round");
}

$node->safe_psql('postgres', 'DELETE FROM happened; DELETE FROM leadscore.event; TRUNCATE tracked');
is($node->safe_psql('postgres', 'SELECT count(*) FROM leadscore.lead_timeline'), '0', 'all deleted: no timeline is left');

$node->stop;
done_testing();
