# The recipes of doc/recipes.md do what they say: for each layout the tables of test/recipes are made, the statements of
# its section are run, and what is counted is what was worked out by hand: of the rows that are there, of the same rows
# when they come afterwards, and after inserts, updates and deletes.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use PostgreSQL::Test::Utils;
use Test::More;
use Workload;

my $node = new_node('main');
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE recipe');
$node->safe_psql('recipe', 'CREATE EXTENSION leadscore');

# The statements of each section of the page, by the name of its file.
my %statements;
for my $section (split /^(?=## )/m, slurp_file('doc/recipes.md'))
{
	my ($title) = $section =~ /^## (.*)$/m or next;

	$statements{ lc($title) =~ tr/ /_/r } = join "\n", $section =~ /^```sql\n(.*?)^```$/msg;
}
$node->safe_psql('recipe', delete $statements{what_they_have_in_common});

# What a file has: tables, rows and what is expected, then changes and what is expected.
sub parts
{
	my ($name) = @_;
	my ($first, $later) = split /^-- afterwards.*$/m, slurp_file("test/recipes/$name.sql");
	my ($begin, $expected) = split /^-- expected.*$/m, $first;
	my ($tables, $rows) = split /^(?=INSERT )/m, $begin, 2;
	my ($changes, $expected_later) = split /^-- expected.*$/m, $later;

	return ($tables, $rows, [ $expected =~ /^-- (.*)$/mg ], $changes, [ $expected_later =~ /^-- (.*)$/mg ]);
}

# Run statements, and say what is the matter with them.
sub works
{
	my ($database, $commands, $name) = @_;

	return is(($node->psql($database, "SET client_min_messages = warning; $commands", on_error_stop => 1))[2], '', "$database: $name");
}

my $counted = q{
	SELECT concat_ws(' | ', t.lead_id, s.signal, sum(e.occurrences), trim_scale(sum(coalesce(e.value, 0))))
	FROM leadscore.current_timeline t CROSS JOIN leadscore.timeline_entries(t.timeline) e JOIN leadscore.signal s USING (signal_id)
	GROUP BY t.lead_id, s.signal ORDER BY t.lead_id COLLATE "C", s.signal};

# What is counted is as expected, and nothing differs from the rows.
sub counts
{
	my ($database, $expected, $when) = @_;

	is($node->safe_psql($database, $counted), join("\n", grep { !/^status \| | \| profile \| / } @$expected), "$database, $when: what is counted");
	for (@$expected)
	{
		my ($lead, $profile) = /^(.*) \| profile \| (.*)$/ or next;
		is($node->safe_psql($database, "SELECT profile FROM leadscore.current_profile WHERE lead_id = '$lead'"), $profile, "$database, $when: the profile of $lead");
	}
	is($node->safe_psql($database, 'SELECT count(*) FROM leadscore.verify()'), '0', "$database, $when: nothing differs");
	return;
}

# The layout's own tables.
my $own_tables = q{
	SELECT c.oid::regclass FROM pg_class c
	WHERE c.relkind = 'r' AND c.relnamespace <> ALL ('{leadscore,leadscore_internal,pg_catalog,information_schema}'::regnamespace[])
	AND NOT EXISTS (SELECT FROM leadscore.tracked_query q WHERE q.target = c.oid)};

my @files = sort map { m{([^/]+)\.sql$} } glob 'test/recipes/*.sql';
is(join(' ', @files), join(' ', sort keys %statements), 'each layout has its section');
for my $name (@files)
{
	my ($tables, $rows, $expected, $changes, $expected_later) = parts($name);

	$node->safe_psql('postgres', "CREATE DATABASE $name TEMPLATE recipe");
	works($name, "$tables; $rows", 'there are tables with rows');
	works($name, $statements{$name}, 'the statements of its section are run');
	counts($name, $expected, 'at first');

	works($name, join('; ', map { "DELETE FROM $_" } split /\n/, $node->safe_psql($name, $own_tables)) . '; CALL leadscore.refresh_queries()', 'all rows are deleted');
	counts($name, [], 'without rows');
	is($node->safe_psql($name, 'SELECT count(*) FROM leadscore.lead_alias'), '0', "$name, without rows: nor aliases");

	works($name, "$rows; CALL leadscore.refresh_queries()", 'the same rows come in');
	counts($name, $expected, 'tracked before');
	works($name, "$changes; CALL leadscore.refresh_queries()", 'they change');
	counts($name, $expected_later, 'afterwards');
	works($name, 'CALL leadscore.rebuild()', 'a rebuild');
	counts($name, $expected_later, 'counted anew');
	is($node->safe_psql($name, q{SELECT concat_ws(' | ', 'status', object, name, state) FROM leadscore.status WHERE object NOT IN ('pending_delta', 'pending_profile', 'lead_segment')}),
		join("\n", grep { /^status \| / } @$expected_later), "$name: status");
}
$node->stop;

done_testing();
