# What pg_stat_statements and EXPLAIN show of our work: nothing of it seems to be a statement of the user, and what a statement costs is his own.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use Test::More;
use Workload;

my $node = new_node('main');
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_stat_statements'\nmax_prepared_transactions = 5");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION pg_stat_statements;
	CREATE EXTENSION leadscore;
	SELECT leadscore.publish('{"model": "m", "signals": [{"signal": "purchase", "kind": "purchase"}], "weights": [{"signal": "purchase", "points": 1}],
		"segments": [{"segment": "high", "position": 1, "min_score": 2}, {"segment": "low", "position": 2}]}');
	CREATE TABLE customer (id text PRIMARY KEY, country text);
	SELECT leadscore.track_profile('customer', 'id', '{country}');
	CREATE TABLE orders (id int, lead text, at timestamptz DEFAULT now());
	SELECT leadscore.track('orders', lead_id => 'lead', kind => 'purchase', occurred_at => 'at')});
$node->safe_psql('postgres', q{CALL leadscore.watch('m', notify => false)});

# The statements that are counted, of those that name something of ours: those at the top, or those inside.
sub counted
{
	my ($toplevel, $setting, $commands) = @_;

	$node->safe_psql('postgres', qq{SELECT pg_stat_statements_reset(); SET pg_stat_statements.track = '$setting';\n$commands});
	return $node->safe_psql('postgres', qq{SELECT string_agg(DISTINCT left(query, 41), E'\\n') FROM pg_stat_statements WHERE toplevel = $toplevel AND query !~ 'pg_stat_statements'});
}

# What our triggers and the work before a commit run is nested: of the transaction of an INSERT, of a COPY, of a block, of one that is prepared.
my %commands = (
	'an INSERT' => q{INSERT INTO orders (lead) SELECT 'a%' FROM generate_series(1, 3)},
	'a COPY' => qq{COPY orders (lead) FROM stdin;\nb%\nb%\n\\.\n},
	'a transaction' => qq{BEGIN;\nINSERT INTO orders (lead) VALUES ('c%'), ('c%');\nINSERT INTO customer VALUES ('c%');\nCOMMIT;},
	'one that repeats its reads' => qq{BEGIN ISOLATION LEVEL REPEATABLE READ;\nINSERT INTO orders (lead) VALUES ('d%'), ('d%');\nCOMMIT;},
	'names' => qq{BEGIN;\nINSERT INTO orders (lead) VALUES ('e%'), ('e%');\nSELECT leadscore.identify('f%', 'e%');\nCOMMIT;});
my $n = 0;
for my $name (sort keys %commands)
{
	my $before = $node->safe_psql('postgres', 'SELECT count(*) FROM leadscore.segment_change');

	unlike(counted('true', 'top', $commands{$name} =~ s/%/$n/gr), qr/lead_state|segment_change|pending_|lead_alias/, "$name: nothing of ours is at the top");
	cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM leadscore.segment_change'), '>', $before, '... though a transition was logged');
	$n++;
	unlike(counted('true', 'all', $commands{$name} =~ s/%/$n/gr), qr/lead_state|segment_change|pending_|lead_alias/, '... nor if all statements are counted');
	$n++;
	like(counted('false', 'all', $commands{$name} =~ s/%/$n/gr), qr/^INSERT INTO leadscore.segment_change/m, '... when it is among those inside');
	$n++;
}
is(counted('true', 'top', q{INSERT INTO orders (lead) SELECT 'x' FROM generate_series(1, 3)}), q{INSERT INTO orders (lead) SELECT $1 FROM }, 'of an INSERT, that is all');
like(counted('true', 'top', qq{BEGIN;\nSELECT leadscore.identify('y', 'x');\nPREPARE TRANSACTION 'p';}) =~ s{\n}{|}gr, qr{^BEGIN\|PREPARE TRANSACTION [^|]*\|SELECT leadscore.identify\(\$1, \$2\)$}, 'nor where it is prepared');
$node->safe_psql('postgres', q{COMMIT PREPARED 'p'});

# What fails before a commit is rolled back alone, and the next transaction is counted as ever.
$node->safe_psql('postgres', q{CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$; CREATE TRIGGER fail BEFORE INSERT ON leadscore.segment_change FOR EACH ROW EXECUTE FUNCTION fail()});
is(counted('true', 'top', q{INSERT INTO orders (lead) SELECT 'failed' FROM generate_series(1, 3)}), q{INSERT INTO orders (lead) SELECT $1 FROM }, 'where it fails, too');
$node->safe_psql('postgres', 'DROP TRIGGER fail ON leadscore.segment_change');
is(counted('true', 'top', qq{INSERT INTO orders (lead) VALUES ('failed');\nSELECT 1;}), q{INSERT INTO orders (lead) VALUES ($1)} . "\nSELECT \$1", '... and afterwards');

# EXPLAIN ANALYZE shows what our triggers take; their pages and WAL belong to the INSERT in pg_stat_statements.
my $plan = $node->safe_psql('postgres', q{EXPLAIN (ANALYZE, BUFFERS, WAL, COSTS OFF) INSERT INTO orders (lead) SELECT 'g' || i FROM generate_series(1, 500) i});
like($plan, qr/^Trigger LEADSCORE_1_insert: time=\d+\.\d+ calls=1$/m, 'EXPLAIN ANALYZE has the time of the trigger') or diag($plan);
my ($time) = $plan =~ /^Trigger LEADSCORE_1_insert: time=([0-9.]+)/m;
cmp_ok($time, '>', 0, '... which is the work on 500 leads, inside the statement');
my ($wal) = $plan =~ /WAL: .*bytes=(\d+)/;
counted('true', 'top', q{INSERT INTO orders (lead) SELECT 'h' || i FROM generate_series(1, 500) i});
cmp_ok($node->safe_psql('postgres', q{SELECT wal_bytes FROM pg_stat_statements WHERE query LIKE 'INSERT INTO orders%'}), '>', 2 * $wal, 'in pg_stat_statements the WAL of the timelines is the INSERT\'s, of which EXPLAIN shows the rows alone');

$node->stop;
done_testing();
