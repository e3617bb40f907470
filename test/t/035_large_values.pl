# Values that are too large to be converted do not make a shop's statement fail: they are passed over, alike by the
# trigger, verify() and rebuild().

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use PostgreSQL::Test::Utils;
use Test::More;
use Workload;

my $node = new_node('main');
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE shop');
my $label = 'x' x 63;
$node->safe_psql('shop', qq{
	CREATE EXTENSION leadscore;
	INSERT INTO leadscore.signal (signal, kind, match) VALUES ('order', 'order', NULL), ('red', 'order', '{"colour": "red"}');
	CREATE TYPE label AS ENUM ('$label');
	CREATE TABLE purchase (lead text, at timestamptz DEFAULT '2026-01-01Z', total float8, colour text, note text, labels label[], tags bit varying);
	SELECT leadscore.track('purchase', lead_id => 'lead', kind => 'order', occurred_at => 'at', value => 'total', properties => '{colour,note,labels,tags}');
	CREATE TABLE customer (id text PRIMARY KEY, colour text, note text, labels label[]);
	SELECT leadscore.track_profile('customer', 'id', '{colour,note,labels}');
	CREATE TABLE scan (code bytea, at timestamptz DEFAULT '2026-01-01Z', kind bytea);
	SELECT leadscore.track('scan', lead_id => 'code', kind_column => 'kind', occurred_at => 'at')});

sub succeeds
{
	my ($command, $name) = @_;
	my ($status, undef, $error) = $node->psql('shop', $command, on_error_stop => 1);

	return is($status, 0, $name) || diag(substr $error, 0, 1000);
}
my $counts = q{SELECT string_agg(format('%s %s', signal, coalesce(n, 0)), ', ' ORDER BY signal) FROM leadscore.signal LEFT JOIN (
	SELECT signal_id, sum(occurrences) AS n FROM leadscore.current_timeline, leadscore.timeline_entries(timeline) GROUP BY 1) t USING (signal_id)};

succeeds(q{INSERT INTO purchase (lead, colour, note) VALUES ('a', 'red', repeat('x', 1000000))}, 'a megabyte');
is($node->safe_psql('shop', $counts), 'order 1, red 1', 'is read');
succeeds(q{INSERT INTO purchase (lead, colour, note) VALUES ('b', 'red', repeat('x', 268435456))}, 'a text that jsonb has no room for');
is($node->safe_psql('shop', $counts), 'order 2, red 1', 'the event counts, without properties');
succeeds(qq{INSERT INTO purchase (lead, colour, labels) VALUES ('c', 'red', array_fill('$label'::label, ARRAY[4500000]))}, 'an array that grows out of all proportion');
is($node->safe_psql('shop', $counts), 'order 3, red 1', 'the event counts, without properties');
succeeds(q{INSERT INTO purchase (lead, total, colour) VALUES ('d', 'Infinity', 'red'), ('e', 'NaN', 'red'), ('f', 1e308, 'red'), ('g', 4.9e-324, 'red')}, 'numbers that are none');
is($node->safe_psql('shop', $counts), 'order 4, red 2', 'only what is a value is read');
succeeds(q{UPDATE purchase SET colour = 'blue' WHERE lead IN ('a', 'b')}, 'an update of both');
is($node->safe_psql('shop', $counts), 'order 4, red 1', 'takes the one off that was counted');
succeeds(qq{INSERT INTO customer VALUES ('a', 'red', repeat('x', 1000), NULL), ('b', 'red', repeat('x', 100000000), NULL), ('c', 'red', NULL, array_fill('$label'::label, ARRAY[4500000]))}, 'profiles');
is($node->safe_psql('shop', q{SELECT string_agg(lead_id, ',' ORDER BY 1) FROM leadscore.lead}), 'a', 'are those that fit');
succeeds(q{INSERT INTO scan (code, kind) SELECT decode(repeat('00', n), 'hex'), decode(repeat('00', m), 'hex') FROM (VALUES (1, 1), (2000000, 1), (1, 2000000)) v (n, m)}, 'names and kinds of two megabytes');
is($node->safe_psql('shop', $Workload::differences), '', 'timelines equal events');
succeeds('CALL leadscore.rebuild()', 'a rebuild reads the same');
is($node->safe_psql('shop', $counts), 'order 4, red 1', 'and counts the same');

done_testing();
