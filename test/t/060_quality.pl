# The measures of quality: the same as the definitions, written out over all pairs of rows; the same as scikit-learn to 1e-12, where
# it is there; and the same in parallel.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Python;
use Test::More;

my $seed = $ENV{SEED} || 20261122;
note "SEED=$seed";

my $node = PostgreSQL::Test::Cluster->new('quality');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\ntimezone = 'UTC'");
$node->start;

sub query { return $node->safe_psql('postgres', "SET search_path = public, leadscore, leadscore_internal; $_[0]") }
sub near { my ($x, $y) = @_; return abs($x - $y) <= 1e-12 * (abs($x) > 1 ? abs($x) : 1) }

# Each set: what a score is, of r in 0..1 and of the outcome o; and how many convert. Probabilities lie strictly between 0 and 1.
my %sets = (
	'two scores' => [ 'floor(2 * r + 0.3 * o)', 0.3, 3000 ],
	'ten scores' => [ 'floor(10 * r * r) + o', 0.5, 3000 ],
	'a hundred scores, rare conversions' => [ 'floor(100 * r) - 30 + 20 * o', 0.01, 3000 ],
	'no ties' => [ 'r + 0.2 * o', 0.2, 3000 ],
	'one score' => [ '7.5', 0.4, 500 ],
	'upside down' => [ 'round(3 * r - 2 * o)', 0.6, 3000 ],
	'large and small scores' => [ '(r - 0.5) * 10 ^ floor(600 * random() - 300)', 0.3, 3000 ],
	'few rows' => [ 'floor(4 * r + o)', 0.5, 11 ],
	'many rows' => [ 'floor(50 * r * r * r + 3 * o)', 0.05, 200000 ]);
my @names = sort keys %sets;

my $sql = 'CREATE EXTENSION leadscore; CREATE TABLE judged (data int, score float8, probability float8, outcome boolean);'
	. sprintf('SELECT setseed(%.9f);', ($seed % 1000003) / 1000003);
for my $i (0 .. $#names)
{
	my ($score, $share, $rows) = @{ $sets{ $names[$i] } };

	$sql .= "INSERT INTO judged SELECT $i, $score, 0.001 + 0.998 * round((0.7 * random() + 0.3 * o)::numeric, 3), o = 1"
		. " FROM (SELECT random() AS r, CASE WHEN random() < $share OR n = 1 THEN 1 ELSE 0 END AS o FROM generate_series(1, $rows) n WHERE n > 0 OFFSET 0) x;";
}
query($sql . 'VACUUM ANALYZE judged');
is(query('SELECT count(*) FROM (SELECT data FROM judged GROUP BY data HAVING bool_or(outcome) AND NOT bool_and(outcome)) x'),
	scalar @names, 'every set has both outcomes');

my $figures = 'roc_auc(score, outcome), roc_auc_error(score, outcome), average_precision(score, outcome), ks(score, outcome), log_loss(probability, outcome), brier(probability, outcome)';
my @figures = qw(roc_auc roc_auc_error average_precision ks log_loss brier);
my @ours = map { [ split /\|/ ] } split /\n/, query("SELECT $figures FROM judged GROUP BY data ORDER BY data");

sub compare
{
	my ($theirs, $name) = @_;

	for my $i (0 .. $#$theirs)
	{
		my @differ = grep { defined $theirs->[$i][$_] && $theirs->[$i][$_] ne '' && !near($ours[$i][$_], $theirs->[$i][$_]) } 0 .. $#figures;

		ok(!@differ, "$names[$i]: $name") or diag(map { "$figures[$_]: $ours[$i][$_], not $theirs->[$i][$_]\n" } @differ);
	}
}

# ---------------------------------------------------------------- the definitions, over pairs

my @pairs = map { [ split /\|/ ] } split /\n/, query(<<'SQL');
WITH bought AS (SELECT data, score, count(*) AS n FROM judged WHERE outcome GROUP BY data, score),
other AS (SELECT data, score, count(*) AS n FROM judged WHERE NOT outcome GROUP BY data, score),
size AS (SELECT data, count(*) FILTER (WHERE outcome)::float8 AS bought, count(*) FILTER (WHERE NOT outcome)::float8 AS other FROM judged GROUP BY data),
pair AS (
	SELECT bought.data, bought.score AS a, other.score AS b, bought.n AS na, other.n AS nb, CASE WHEN bought.score > other.score THEN 1 WHEN bought.score = other.score THEN 0.5 ELSE 0 END AS won
	FROM bought JOIN other USING (data)),
auc AS (SELECT data, sum(won * na * nb)::float8 / (bought * other) AS auc FROM pair JOIN size USING (data) GROUP BY data, bought, other),
of_bought AS (SELECT data, a, na, sum(won * nb)::float8 / other AS share FROM pair JOIN size USING (data) GROUP BY data, a, na, other),
of_left AS (SELECT data, b, nb, sum(won * na)::float8 / bought AS share FROM pair JOIN size USING (data) GROUP BY data, b, nb, bought)
SELECT auc.auc, sqrt((SELECT sum(na * (share - auc) ^ 2) FROM of_bought s WHERE s.data = auc.data) / (bought - 1) / bought
	+ (SELECT sum(nb * (share - auc) ^ 2) FROM of_left n WHERE n.data = auc.data) / (other - 1) / other)
FROM auc JOIN size USING (data) ORDER BY auc.data
SQL
is(scalar @pairs, scalar @names, 'areas over all pairs');
compare(\@pairs, 'the area and its error are what all pairs say');

my @plain = map { [ '', '', '', '', split /\|/ ] } split /\n/, query(<<'SQL');
SELECT -sum(CASE WHEN outcome THEN ln(probability::numeric) ELSE ln(1 - probability::numeric) END) / count(*),
	sum((probability::numeric - CASE WHEN outcome THEN 1 ELSE 0 END) ^ 2) / count(*)
FROM judged GROUP BY data ORDER BY data
SQL
compare(\@plain, 'the losses are what exact arithmetic says');

# ---------------------------------------------------------------- in parallel

my $parallel = 'SET max_parallel_workers_per_gather = 2; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;';
for my $by ('', ' GROUP BY data')
{
	my $query = "FROM judged$by ORDER BY 1";
	my $listed = $by ? 'data' : '0';

	like(query("$parallel EXPLAIN SELECT $listed, $figures $query"), qr/Partial .*Aggregate/, "the plan is parallel$by");
	my @serial = split /\n/, query("SET max_parallel_workers_per_gather = 0; SELECT $listed, $figures $query");
	my @workers = split /\n/, query("$parallel SELECT $listed, $figures $query");
	my $same = @serial == @workers;
	for my $i (0 .. $#serial)
	{
		my @a = split /\|/, $serial[$i];
		my @b = split /\|/, $workers[$i];
		# what is counted is the same to the last bit, what is added up to the last digits
		$same &&= "@a[0 .. 4]" eq "@b[0 .. 4]" && near($a[5], $b[5]) && near($a[6], $b[6]);
	}
	ok($same, "parallel and serial figures are the same$by") or diag("@serial\n@workers");
}
is(query("$parallel SELECT roc_auc(score, outcome) IS NULL, log_loss(probability, outcome) IS NULL FROM judged WHERE data < 0"), 't|t', 'no rows in parallel: NULL');

# ---------------------------------------------------------------- scikit-learn

SKIP:
{
	my $python = python_with('sklearn', 'scipy') or skip 'there is no python3 with scikit-learn (Debian: python3-sklearn)', scalar @names;
	my $file = PostgreSQL::Test::Utils::tempdir() . '/judged.csv';

	append_to_file($file, query('COPY (SELECT data, score, probability, outcome::int FROM judged ORDER BY data) TO STDOUT (FORMAT csv)'));
	my @theirs = map { [ split ] } split /\n/, run_python($python, <<'PYTHON', $file);
import csv, sys
import numpy as np
from scipy.stats import ks_2samp
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

rows = np.array([[float(x) for x in row] for row in csv.reader(open(sys.argv[1]))])
for data in np.unique(rows[:, 0]):
    score, probability, outcome = rows[rows[:, 0] == data, 1:].T
    print(*map(repr, map(float, (
        roc_auc_score(outcome, score), float('nan'), average_precision_score(outcome, score),
        ks_2samp(score[outcome == 1], score[outcome == 0], mode='asymp').statistic,
        log_loss(outcome, probability), brier_score_loss(outcome, probability)))))
PYTHON
	$_->[1] = '' for @theirs;    # it has no standard error
	compare(\@theirs, 'as scikit-learn has it');
	is(scalar @theirs, scalar @names, 'all sets were compared');

	my $largest = 0;
	for my $i (0 .. $#theirs)
	{
		for my $j (grep { $theirs[$i][$_] ne '' } 0 .. $#figures)
		{
			my $difference = abs($theirs[$i][$j] - $ours[$i][$j]);
			$largest = $difference if $difference > $largest;
		}
	}
	note "the largest difference is $largest";
}

$node->stop;
done_testing();
