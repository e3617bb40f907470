# Customer value: the fit of BG/NBD and Gamma-Gamma, and what clv() forecasts by it, against published figures of real
# customers, against other methods (a search without derivatives, equations as they are printed, integration), and against
# simulated customers whose parameters are known.

use strict;
use warnings FATAL => 'all';

use FindBin;
use JSON::PP;
use List::Util qw(sum max);
use POSIX qw(lgamma);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('clv');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\ntimezone = 'UTC'");
$node->start;
$node->safe_psql('postgres', q{CREATE EXTENSION leadscore; INSERT INTO leadscore.signal (signal, kind) VALUES ('browse', 'browse'), ('purchase', 'purchase')});

sub query { return $node->safe_psql('postgres', "SET search_path = public, leadscore, leadscore_internal; $_[0]") }
sub document { return decode_json(query($_[0])) }

# Equal but for a relative difference.
sub near
{
	my ($got, $expected, $relative, $name) = @_;
	return ok(abs($got - $expected) <= $relative * abs($expected), "$name: $got, expected $expected");
}

# ---------------------------------------------------------------- other methods

# BG/NBD, equation (6) of Fader, Hardie and Lee (2005); customers are [x, t_x, T, how many]
sub bg_nbd
{
	my ($customers, $r, $alpha, $a, $b) = @_;
	my $sum = 0;

	for my $c (@$customers)
	{
		my ($x, $t, $T, $n) = @$c;
		my $ln = lgamma($r + $x) - lgamma($r) + $r * log($alpha) + lgamma($a + $b) + lgamma($b + $x) - lgamma($b) - lgamma($a + $b + $x);
		my @parts = (-($r + $x) * log($alpha + $T));
		push @parts, log($a) - log($b + $x - 1) - ($r + $x) * log($alpha + $t) if $x > 0;
		my $most = max(@parts);
		$sum += $n * ($ln + $most + log(sum(map { exp($_ - $most) } @parts)));
	}
	return $sum;
}

# Gamma-Gamma, equation (1a) of Fader and Hardie (2013); customers are [x, mean value]
sub gamma_gamma
{
	my ($customers, $p, $q, $g) = @_;
	my $sum = 0;

	for my $c (@$customers)
	{
		my ($x, $z) = @$c;
		$sum += lgamma($p * $x + $q) - lgamma($p * $x) - lgamma($q) + $q * log($g) + ($p * $x - 1) * log($z) + $p * $x * log($x) - ($p * $x + $q) * log($g + $x * $z);
	}
	return $sum;
}

# The maximum of a function of logarithms, by Nelder and Mead (1965): no derivative, nothing in common with ours.
sub search
{
	my ($f, @start) = @_;
	my $n = @start;
	my @simplex = map { my $i = $_; [ map { $start[$_] + ($_ == $i ? 0.5 : 0) } 0 .. $n - 1 ] } -1 .. $n - 1;
	my @points = sort { $b->[0] <=> $a->[0] } map { [ $f->(map { exp } @$_), $_ ] } @simplex;

	for (1 .. 2000)
	{
		last if $points[0][0] - $points[-1][0] < 1e-9;
		my @centre = map { my $i = $_; sum(map { $_->[1][$i] } @points[ 0 .. $n - 1 ]) / $n } 0 .. $n - 1;
		my $at = sub { my $k = shift; my @p = map { $centre[$_] + $k * ($points[-1][1][$_] - $centre[$_]) } 0 .. $n - 1; [ $f->(map { exp } @p), \@p ] };
		my $new = $at->(-1);

		if ($new->[0] > $points[0][0]) { my $far = $at->(-2); $new = $far if $far->[0] > $new->[0] }
		elsif ($new->[0] <= $points[-2][0]) { my $close = $at->($new->[0] > $points[-1][0] ? -0.5 : 0.5); $new = $close }
		if ($new->[0] > $points[-1][0]) { $points[-1] = $new }
		else
		{
			for my $p (@points[ 1 .. $n ])
			{
				my @p = map { ($points[0][1][$_] + $p->[1][$_]) / 2 } 0 .. $n - 1;
				$p = [ $f->(map { exp } @p), \@p ];
			}
		}
		@points = sort { $b->[0] <=> $a->[0] } @points;
	}
	return ($points[0][0], map { exp } @{ $points[0][1] });
}

# Standard errors: the inverse of minus the second differences.
sub standard_errors
{
	my ($f, @p) = @_;
	my $n = @p;
	my @m;

	for my $i (0 .. $n - 1)
	{
		for my $j (0 .. $n - 1)
		{
			my $difference = 0;
			for my $s ([ 1, 1 ], [ 1, -1 ], [ -1, 1 ], [ -1, -1 ])
			{
				my @q = @p;
				$q[$i] += 5e-4 * $s->[0] * $p[$i];
				$q[$j] += 5e-4 * $s->[1] * $p[$j];
				$difference += $s->[0] * $s->[1] * $f->(@q);
			}
			$m[$i][$j] = -$difference / (4 * 25e-8 * $p[$i] * $p[$j]);
		}
		$m[$i][ $n + $_ ] = $i == $_ ? 1 : 0 for 0 .. $n - 1;
	}
	for my $i (0 .. $n - 1)    # Gauss and Jordan
	{
		my $pivot = $m[$i][$i];
		$_ /= $pivot for @{ $m[$i] };
		for my $j (grep { $_ != $i } 0 .. $n - 1)
		{
			my $factor = $m[$j][$i];
			$m[$j][$_] -= $factor * $m[$i][$_] for 0 .. 2 * $n - 1;
		}
	}
	return map { sqrt $m[$_][ $n + $_ ] } 0 .. $n - 1;
}

sub alive
{
	my ($r, $alpha, $a, $b, $x, $t, $T) = @_;
	return $x == 0 ? 1 : 1 / (1 + $a / ($b + $x - 1) * (($alpha + $T) / ($alpha + $t))**($r + $x));
}

# Expected purchases as they are printed: equation (10), with the series of 2F1. Needs a other than 1.
sub equation_10
{
	my ($r, $alpha, $a, $b, $x, $t_x, $T, $t) = @_;
	my ($z, $term, $f) = ($t / ($alpha + $T + $t), 1, 1);

	for (my $k = 0; $term > 1e-17 * $f && $k < 1e6; $k++)
	{
		$term *= ($r + $x + $k) * ($b + $x + $k) / ($a + $b + $x - 1 + $k) / ($k + 1) * $z;
		$f += $term;
	}
	return ($a + $b + $x - 1) / ($a - 1) * (1 - (($alpha + $T) / ($alpha + $T + $t))**($r + $x) * $f) * alive($r, $alpha, $a, $b, $x, $t_x, $T);
}

# Expected purchases by integration over the probability p to leave, which is Beta(a, b + x) for who is alive: with the rate
# integrated out, E = (1 - (1 + p t / (alpha + T))^-(r + x)) / p. The substitution p = 1 / (1 + exp(-pi sinh(u))) (Takahasi and
# Mori 1974) takes the ends, where the density may be infinite, to infinity.
sub integrated
{
	my ($r, $alpha, $a, $b, $x, $t_x, $T, $t) = @_;
	my $h = 1 / 64;
	my $sum = 0;
	my $ln_beta = lgamma($a) + lgamma($b + $x) - lgamma($a + $b + $x);

	for my $i (-64 * 9 .. 64 * 9)
	{
		my $u = $i * $h;
		my $e = 3.14159265358979323846 * (exp($u) - exp(-$u)) / 2;
		my $ln_p = $e > 0 ? -log(1 + exp(-$e)) : $e - log(1 + exp($e));
		my $ln_1_p = $ln_p - $e;
		my $p = exp($ln_p);
		my $y = $p * $t / ($alpha + $T);
		my $ln = ($r + $x) * ($y < 1e-8 ? $y - $y * $y / 2 : log(1 + $y));
		my $bought = $p < 1e-290 ? ($r + $x) * $t / ($alpha + $T) : ($ln < 1e-8 ? $ln - $ln * $ln / 2 : 1 - exp(-$ln)) / $p;
		# the density, dp/du = p (1 - p) pi cosh(u)
		$sum += exp($a * $ln_p + ($b + $x) * $ln_1_p - $ln_beta) * $bought * 3.14159265358979323846 * (exp($u) + exp(-$u)) / 2 * $h;
	}
	return $sum * alive($r, $alpha, $a, $b, $x, $t_x, $T);
}

# ---------------------------------------------------------------- single forecasts

# A customer of x repeat purchases, the last t_x and the first T days ago, as a timeline: at is 2024-01-01.
sub timeline_sql
{
	my ($x, $t_x, $T) = @_;
	my @days = (0, map { int($t_x * $_ / $x) } 1 .. $x);

	return "(SELECT timeline_sum(format('{2: %sT%sZ 1 %s}', date '2024-01-01' - $T + d, lpad((d % 24)::text, 2, '0'), 10 + d)::timeline) FROM unnest('{" . join(',', @days) . "}'::int[]) d)";
}

sub forecast
{
	my ($p, $x, $t_x, $T, $t, $unit) = @_;
	my $params = sprintf '{"signal_id": 2, "unit": "%s", "bg_nbd": {"r": %s, "alpha": %s, "a": %s, "b": %s}}', $unit // '1 day', @$p;

	return split /\|/, query("SELECT purchases, probability_alive, expected_purchases FROM clv(" . timeline_sql($x, $t_x, $T) . ", '$params', '$t days', '2024-01-01 23:59Z')");
}

my @published = (0.243, 4.414, 0.793, 2.426);
for my $c (
	[ \@published, 26, 216, 217, 364, 7 ],    # in weeks
	[ \@published, 0, 0, 0, 364, 7 ], [ \@published, 0, 0, 273, 364, 7 ], [ \@published, 2, 213, 272, 273, 7 ], [ \@published, 5, 5, 3000, 30, 7 ],
	[ [ 2, 50, 1.5, 4 ], 7, 300, 400, 10000, 1 ], [ [ 0.05, 0.5, 3, 0.2 ], 1, 1, 1, 36000, 1 ], [ [ 30, 900, 0.01, 0.02 ], 3, 90, 100, 365, 1 ],
	[ [ 1, 10, 200, 3000 ], 40, 80, 100, 365, 1 ], [ [ 0.5, 20, 0.9999, 2 ], 4, 100, 150, 365, 1 ], [ [ 0.5, 20, 1.0001, 2 ], 4, 100, 150, 365, 1 ],
	[ [ 3, 1, 0.3, 5 ], 1500, 1600, 1601, 8000, 1 ])
{
	my ($p, $x, $t_x, $T, $t, $unit) = @$c;
	my @case = (@$p, $x, map { $_ / $unit } $t_x, $T, $t);
	my $name = join ' ', @case[ 0 .. 4 ], map { sprintf '%.4g', $_ } @case[ 5 .. 7 ];
	my ($purchases, $alive, $expected) = forecast($p, $x, $t_x, $T, $t, "$unit days");

	is($purchases, $x + 1, "$name: purchases");
	near($alive, alive(@case[ 0 .. 6 ]), 1e-12, "$name: alive");
	near($expected, integrated(@case), 1e-9, "$name: expected, by integration");
	# as it is printed the equation loses digits where a is near 1, or 1 - … is near 0
	near($expected, equation_10(@case), abs($p->[2] - 1) < 0.01 || $x > 1000 ? 1e-4 : 1e-8, "$name: expected, as it is printed") if $x < 1000 && $p->[2] != 1;
}
# a = 1 is 0 / 0 in the equation, and nothing special for us
my ($below, $one, $above) = map { (forecast([ 0.5, 20, $_, 2 ], 4, 100, 150, 365))[2] } 1 - 1e-6, 1, 1 + 1e-6;
near($one, ($below + $above) / 2, 1e-11, 'a = 1: between its neighbours');
near($one, integrated(0.5, 20, 1, 2, 4, 100, 150, 365), 1e-9, 'a = 1: by integration');

# ---------------------------------------------------------------- simulated customers

# Drawn in units of 1000 days, so that days tell all purchases apart.
srand(2);
sub gamma_drawn    # Marsaglia and Tsang (2000)
{
	my ($shape) = @_;
	return gamma_drawn($shape + 1) * rand()**(1 / $shape) if $shape < 1;
	my $d = $shape - 1 / 3;
	while (1)
	{
		my $normal = sqrt(-2 * log(1 - rand())) * cos(2 * 3.14159265358979323846 * rand());
		my $v = (1 + $normal / sqrt(9 * $d))**3;
		return $d * $v if $v > 0 && log(1 - rand()) < $normal * $normal / 2 + $d - $d * $v + $d * log($v);
	}
}

my %true = (r => 0.8, alpha => 3, a => 0.7, b => 3, p => 4, q => 5, gamma => 40);
my ($horizon, $lasting) = (6, 0);
my @lines;
my %future;
for my $lead (1 .. 40000)
{
	my $age = 4 + 8 * rand();
	my $rate = gamma_drawn($true{r}) / $true{alpha};
	my ($g, $h) = (gamma_drawn($true{a}), gamma_drawn($true{b}));
	my $leaves = $g / ($g + $h);
	my $nu = gamma_drawn($true{q}) / $true{gamma};
	my $start = 20000 - int($age * 1000);
	my ($time, $day) = (0, $start);

	push @lines, "$lead\tpurchase\t$start\t" . gamma_drawn($true{p}) / $nu;
	while (1)
	{
		$time += -log(1 - rand()) / $rate;
		last if $time > 20 - $start / 1000 + $horizon;
		my $this = $start + int($time * 1000) + 1;
		if ($this <= 20000) { push @lines, "$lead\tpurchase\t$this\t" . gamma_drawn($true{p}) / $nu if $this > $day; $day = $this }
		else { $future{$lead}++ }
		last if rand() < $leaves;
	}
	$lasting++ if $time > 20 - $start / 1000;    # still a customer on day 20000, or would have been back by then
}
append_to_file("$PostgreSQL::Test::Utils::tmp_check/simulated", join "\n", @lines, '');
query(qq{
	CREATE TABLE simulated (lead text, kind text, day int, value float8);
	COPY simulated FROM '$PostgreSQL::Test::Utils::tmp_check/simulated';
	CREATE TABLE timelines AS
	SELECT lead, timeline_agg((SELECT signals()), kind, date '1970-01-01' + day, value::numeric, NULL) AS timeline FROM simulated GROUP BY lead;
	ANALYZE timelines});
my $until = query(q{SELECT date '1970-01-01' + 20000});
my $fit = document("SELECT fit_clv(timeline, 2, '$until', '1000 days') FROM timelines");
is($fit->{bg_nbd}{customers}, 40000, 'simulated customers');
for my $model ([ bg_nbd => qw(r alpha a b) ], [ gamma_gamma => qw(p q gamma) ])
{
	my ($name, @parameters) = @$model;
	for (@parameters)
	{
		my ($got, $error) = ($fit->{$name}{$_}, $fit->{$name}{standard_errors}{$_});
		ok(abs($got - $true{$_}) < 3.5 * $error, "simulated: $_ is $got ± $error, was $true{$_}");
	}
}
# how many they buy later, by the true parameters: the sum has a spread of some 0.5 %
my $true = encode_json({ signal_id => 2, unit => '1000 days', bg_nbd => { map { $_ => $true{$_} } qw(r alpha a b) }, gamma_gamma => { map { $_ => $true{$_} } qw(p q gamma) } });
my ($expected, $value, $alive) = split /\|/, query("SELECT sum(expected_purchases), sum(expected_value), sum(probability_alive) FROM timelines, clv(timeline, '$true', '6000 days', '$until')");
near(sum(values %future), $expected, 0.02, 'simulated: future purchases');
near($alive, $lasting, 0.01, 'simulated: customers who are still there');

# the median wait: half of those who are alive buy within it; r + x = 1.8, so (alpha + T)(2^(1/1.8) - 1)
is(query(sprintf "SELECT next_order - date '2024-01-01' FROM clv(%s, '$true', '1 year', '2024-01-01')", timeline_sql(1, 500, 2000)),
	POSIX::ceil((3000 + 2000) * (2**(1 / 1.8) - 1)), 'the next order');
# p (gamma + the value of the repeats) / (p x + q - 1), where the repeats are worth 10 + 250 and 10 + 500
is(query(sprintf "SELECT round(average_value::numeric, 9) FROM clv(%s, '$true', '1 year', '2024-01-01')", timeline_sql(2, 500, 2000)),
	sprintf('%.9f', 4 * (40 + 770) / (4 * 2 + 5 - 1)), 'the average value');

# the same bits in any order, and by parallel workers
my $serial = query("SELECT fit_clv(timeline, 2, '$until', '1000 days') FROM timelines");
is(query("SELECT fit_clv(timeline, 2, '$until', '1000 days' ORDER BY md5(lead)) FROM timelines"), $serial, 'the order does not matter');
my $parallel = q{SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET max_parallel_workers_per_gather = 2;};
like(query("$parallel EXPLAIN SELECT fit_clv(timeline, 2, '$until', '1000 days') FROM timelines"), qr/Finalize Aggregate.*Partial Aggregate/s, 'a parallel plan');
is(query("$parallel SELECT fit_clv(timeline, 2, '$until', '1000 days') FROM timelines"), $serial, 'parallel workers do not matter');

# ---------------------------------------------------------------- real customers

my $data = $ENV{SHARED_DATA};
SKIP:
{
	skip 'SHARED_DATA does not name the folder of the real data' unless defined $data && -r "$data/cdnow/transactions.csv.gz";

	query(qq{
		CREATE TABLE orders (customer_id int, order_date date, quantity int, amount numeric);
		COPY orders FROM PROGRAM 'gzip -dc $data/cdnow/transactions.csv.gz' (FORMAT csv, HEADER);
		SELECT track('orders', lead_id => 'customer_id', kind => 'purchase', occurred_at => 'order_date', value => 'amount');
		CREATE TABLE sample AS SELECT unnest('{@{[ join ',', split ' ', slurp_file("$FindBin::Bin/cdnow_sample.txt") ]}}'::int[]) AS customer_id;
		CREATE VIEW sampled AS SELECT lead_id, timeline FROM lead_timeline JOIN sample ON lead_id = customer_id::text});
	is(query('SELECT count(*) FROM lead_timeline'), 23570, 'all customers are there');

	# The 1/10 sample of the paper, to the end of week 39; the parameters of its table 2. Errors: lifetimes 0.11 (Davidson-Pilon).
	$fit = document("SELECT fit_clv(timeline, 2, '1997-09-30', '7 days') FROM sampled");
	my %paper = (r => [ 0.243, 0.012557 ], alpha => [ 4.414, 0.378221 ], a => [ 0.793, 0.185719 ], b => [ 2.426, 0.705345 ]);
	is($fit->{bg_nbd}{customers}, 2357, 'the published sample');
	for (sort keys %paper)
	{
		near($fit->{bg_nbd}{$_}, $paper{$_}[0], 0.01, "the published $_");
		near($fit->{bg_nbd}{standard_errors}{$_}, $paper{$_}[1], 0.01, "its published standard error");
	}
	cmp_ok(abs($fit->{bg_nbd}{log_likelihood} + 9582.4), '<', 0.1, 'the published log likelihood');
	# Fader and Hardie (2013)
	my %note = (p => 6.25, q => 3.74, gamma => 15.44);
	is($fit->{gamma_gamma}{customers}, 946, 'the published customers who bought again');
	near($fit->{gamma_gamma}{$_}, $note{$_}, 0.01, "the published $_") for sort keys %note;

	# the same by plain SQL and the search without derivatives
	my $summary = sub {
		my ($from) = @_;
		return qq{SELECT x, t_x, t, value FROM (
			SELECT customer_id, count(*) - 1 AS x, (max(order_date) - min(order_date)) / 7.0 AS t_x, ('1997-09-30' - min(order_date)) / 7.0 AS t,
				sum(amount) FILTER (WHERE order_date > first) AS value
			FROM (SELECT customer_id, order_date, sum(amount) AS amount, min(order_date) OVER (PARTITION BY customer_id) AS first
				FROM $from WHERE order_date <= '1997-09-30' GROUP BY 1, 2) d
			GROUP BY 1) c};
	};
	my @customers = map { [ split /\|/ ] } split /\n/, query('SELECT x, t_x, t, count(*) FROM (' . $summary->('orders JOIN sample USING (customer_id)') . ') s GROUP BY 1, 2, 3');
	my $f = sub { bg_nbd(\@customers, @_) };
	my ($likelihood, @found) = search($f, 0, 0, 0, 0);
	cmp_ok(abs($fit->{bg_nbd}{log_likelihood} - $likelihood), '<', 1e-5, "another search: $likelihood");
	my @fitted = @{ $fit->{bg_nbd} }{qw(r alpha a b)};
	near($fitted[$_], $found[$_], 2e-4, "another search: parameter $_") for 0 .. 3;
	my @errors = standard_errors($f, @fitted);
	near($fit->{bg_nbd}{standard_errors}{ (qw(r alpha a b))[$_] }, $errors[$_], 1e-3, "second differences: standard error $_") for 0 .. 3;

	my @values = map { [ split /\|/ ] } split /\n/, query('SELECT x, value / x FROM (' . $summary->('orders JOIN sample USING (customer_id)') . ') s WHERE x > 0 AND value > 0');
	$f = sub { gamma_gamma(\@values, @_) };
	($likelihood, @found) = search($f, 0, 1, 3);
	cmp_ok(abs($fit->{gamma_gamma}{log_likelihood} - $likelihood), '<', 1e-5, "another search: $likelihood");
	@fitted = @{ $fit->{gamma_gamma} }{qw(p q gamma)};
	near($fitted[$_], $found[$_], 2e-4, "another search: parameter $_") for 0 .. 2;
	@errors = standard_errors($f, @fitted);
	near($fit->{gamma_gamma}{standard_errors}{ (qw(p q gamma))[$_] }, $errors[$_], 1e-3, "second differences: standard error $_") for 0 .. 2;

	# The holdout, weeks 40 to 78: forecast and actual purchases of each customer have the published correlation 0.626. The
	# actual ones by repeat purchases of weeks 1 to 39 are those of its figure; beside them equation (10), summed up here.
	query(q{CREATE TABLE params AS SELECT fit_clv(timeline, 2, '1997-09-30', '7 days') AS params FROM sampled;
		CREATE TABLE holdout AS SELECT lead_id, c.*, coalesce(o.days, 0) AS actual
		FROM sampled s LEFT JOIN (SELECT customer_id::text AS lead_id, count(DISTINCT order_date) AS days FROM orders WHERE order_date > '1997-09-30' GROUP BY 1) o USING (lead_id),
			clv(s.timeline, (SELECT params FROM params), '39 weeks', '1997-09-30') c});
	is(query('SELECT round(corr(actual, expected_purchases)::numeric, 3) FROM holdout'), '0.626', 'the published correlation with the holdout');
	is(query('SELECT string_agg(round, chr(32) ORDER BY x) FROM (SELECT least(purchases - 1, 7) AS x, round(avg(actual), 2)::text FROM holdout GROUP BY 1) a'),
		'0.24 0.70 1.39 1.56 2.53 2.95 3.86 6.36', 'actual purchases in the holdout, by repeat purchases before');
	my $sum = 0;
	$sum += $_->[3] * equation_10(@{ $fit->{bg_nbd} }{qw(r alpha a b)}, @$_[ 0 .. 2 ], 39) for @customers;
	near(query('SELECT sum(expected_purchases) FROM holdout'), $sum, 1e-9, 'the forecast of the holdout');

	# everybody, by the lead's name and by the signal's, as of any day; another unit of time changes alpha and nothing else
	my $all = document(q{SELECT fit_clv('purchase', '1997-09-30')});
	is($all->{bg_nbd}{customers}, 23570, 'everybody');
	@customers = map { [ split /\|/ ] } split /\n/, query('SELECT x, t_x, t, count(*) FROM (' . $summary->('orders') . ') s GROUP BY 1, 2, 3');
	near($all->{bg_nbd}{log_likelihood}, bg_nbd(\@customers, @{ $all->{bg_nbd} }{qw(r alpha a b)}), 1e-12, 'everybody: the log likelihood');
	my $hourly = document(q{SELECT fit_clv('purchase', '1997-09-30', '1 hour')});
	near($hourly->{bg_nbd}{$_}, $all->{bg_nbd}{$_} * ($_ eq 'alpha' ? 168 : 1), 1e-8, "in hours: $_") for qw(r alpha a b);
	is(query(q{SELECT count(*) FROM lead_timeline l, params, clv(l.lead_id, params, '39 weeks', '1997-09-30') a, clv(l.timeline, params, '39 weeks', '1997-09-30') b WHERE lead_id < '2' AND a IS DISTINCT FROM b}),
		'0', 'by the lead, and by the timeline');
	# purchases of later do not matter: what was known on a day is what is seen as of it
	query(q{CALL compact('1998-06-01')});
	is_deeply(document(q{SELECT fit_clv('purchase', '1997-09-30')}), $all, 'compacted timelines give the same');
	query(q{DELETE FROM orders WHERE order_date > '1997-09-30'});
	is_deeply(document(q{SELECT fit_clv('purchase', '1997-09-30')}), $all, 'later purchases do not matter');
}

done_testing();
