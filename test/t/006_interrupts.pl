# Whatever documents and timelines hold, every function of the core ends: with a result, with an error that says what is
# wrong, or when it is cancelled.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $generous = 30;    # seconds, after a statement_timeout of one: to end at all is what matters

my $node = PostgreSQL::Test::Cluster->new('interrupts');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nmax_connections = 20");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION leadscore;
	-- what a call comes to: true, or its SQLSTATE (a cancel is not caught)
	CREATE FUNCTION outcome(command text) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE
		fine text;
	BEGIN
		EXECUTE command INTO fine;
		RETURN fine;
	EXCEPTION WHEN OTHERS THEN
		RETURN SQLSTATE;
	END $$;
	CREATE TABLE card (name text PRIMARY KEY, document jsonb);
	CREATE TABLE history (name text PRIMARY KEY, timeline leadscore.timeline);
	GRANT SELECT ON card, history TO PUBLIC;
	CREATE ROLE anybody LOGIN;

	INSERT INTO history VALUES
		('hours', (SELECT ('{1: ' || string_agg(to_char(timestamp '1990-01-01' + n * interval '1 hour', 'YYYY-MM-DD"T"HH24"Z 1"'), ', ' ORDER BY n) || '}')::leadscore.timeline FROM generate_series(1, 200000) n)),
		('signals', (SELECT ('{' || string_agg(n || ': 2026-01-01T00Z 1', '; ' ORDER BY n) || '}')::leadscore.timeline FROM generate_series(1, 200000) n)),
		('extremes', '{0: 1970-01-01T00Z 9223372036854775807 9223372036854.775807, 9999-12-31T23Z -9223372036854775808 -9223372036854.775808; 2147483647: 1970-01-01T00Z 0 0.000001}'),
		('empty', '{}');

	INSERT INTO card
	SELECT 'half-lives', jsonb_build_object('signals', '[{"signal": "s", "signal_id": 1}]'::jsonb, 'weights',
		jsonb_agg(jsonb_build_object('signal', 's', 'points', 1, 'half_life', n || ' hours', 'max_points', 5, 'min_points', -5))) FROM generate_series(1, 14000) n
	UNION ALL SELECT 'windows', jsonb_build_object('signals', '[{"signal": "s", "signal_id": 1}]'::jsonb, 'weights',
		jsonb_agg(jsonb_build_object('signal', 's', 'points', 1, 'within', n || ' hours', 'max_per_day', n, 'at_least', n, 'below', n + 1))) FROM generate_series(1, 12000) n
	UNION ALL SELECT 'categories', jsonb_build_object('signals', '[{"signal": "s", "signal_id": 1}]'::jsonb,
		'categories', jsonb_agg(jsonb_build_object('category', 'c' || n, 'max_points', n)),
		'weights', jsonb_agg(jsonb_build_object('signal', 's', 'points', 1, 'category', 'c' || n))) FROM generate_series(1, 40000) n
	UNION ALL SELECT 'positions', jsonb_build_object('signals', '[]'::jsonb, 'weights', '[]'::jsonb,
		'stages', jsonb_agg(jsonb_build_object('stage', 's' || n, 'position', n)),
		'grades', jsonb_agg(jsonb_build_object('grade', 'g' || n, 'min_fit', n)),
		'segments', jsonb_agg(jsonb_build_object('segment', 's' || n, 'position', n, 'min_score', 1e300, 'hysteresis', 1e-300))) FROM generate_series(1, 60000) n
	UNION ALL SELECT 'signals', jsonb_build_object(
		'signals', jsonb_agg(jsonb_build_object('signal', 's' || n, 'signal_id', n, 'match', jsonb_build_object('k' || n, n), 'condition', '$.a > ' || n)),
		'weights', jsonb_agg(jsonb_build_object('signal', 's' || n, 'points', 1))) FROM generate_series(1, 20000) n
	UNION ALL SELECT 'profiles', jsonb_build_object(
		'signals', jsonb_agg(jsonb_build_object('signal', 's' || n, 'subject', 'profile', 'condition', '$.a.** like_regex "(x+x+)+y"')),
		'weights', jsonb_agg(jsonb_build_object('signal', 's' || n, 'points', 1))) FROM generate_series(1, 2000) n
	UNION ALL SELECT 'long strings', jsonb_build_object('model', repeat('m', 1000000),
		'signals', jsonb_build_array(jsonb_build_object('signal', repeat('s', 5000000), 'signal_id', 1, 'kind', repeat('k', 5000000))),
		'weights', jsonb_build_array(jsonb_build_object('signal', repeat('s', 5000000), 'points', 1)))
	UNION ALL SELECT 'unknown members', jsonb_build_object('signals', '[]'::jsonb, 'weights', jsonb_build_array((SELECT jsonb_object_agg('k' || n, n) FROM generate_series(1, 100000) n)))
	UNION ALL SELECT 'deep', jsonb_build_object('signals', jsonb_build_array(jsonb_build_object('signal', 's', 'subject', 'profile',
		'match', (repeat('{"a":', 3000) || '1' || repeat('}', 3000))::jsonb)), 'weights', '[{"signal": "s", "points": 1}]'::jsonb)
	UNION ALL SELECT 'extreme numbers ' || points, jsonb_build_object('intercept', 1e308::numeric, 'slope', -1e308::numeric, 'floor', -1e308::numeric, 'ceiling', 1e308::numeric,
		'signals', '[{"signal": "s", "signal_id": 0}, {"signal": "t", "signal_id": 2147483647}]'::jsonb,
		'weights', (SELECT jsonb_agg(jsonb_build_object('signal', s, 'measure', m, 'points', points::numeric, 'half_life', h, 'curve', c))
			FROM unnest('{s,t}'::text[]) s, unnest('{count,value,average_value,active_days,days_since_last,days_since_first}'::text[]) m,
			unnest('{1 hour,31000 years}'::text[]) h, unnest('{linear,log}'::text[]) c))
	FROM unnest('{1e308,-1e308,1e-307,-1e-307,0}'::text[]) points;
	VACUUM ANALYZE card, history});

# Run a statement as anybody, with a timeout of a second; it ends, and not because the server has.
sub ends
{
	my ($name, $command) = @_;
	my ($timed_out, $out, $error);

	my $status = $node->psql('postgres', "SET ROLE anybody; SET search_path = leadscore, leadscore_internal, public; SET statement_timeout = '1s'; $command",
		stdout => \$out, stderr => \$error, timeout => $generous, timed_out => \$timed_out, on_error_stop => 1);
	ok(!$timed_out, "$name ends") or BAIL_OUT("$name goes on after a cancel");
	unlike($error // '', qr/server closed|FATAL|PANIC|XX000/, "$name: no crash") or diag($error);
	return $out // '';
}

# ---------- scoring ----------

for my $card (split /\n/, $node->safe_psql('postgres', 'SELECT name FROM card ORDER BY 1'))
{
	for my $history (qw(hours signals extremes))
	{
		my $arguments = "(SELECT document FROM card WHERE name = '$card'), (SELECT timeline FROM history WHERE name = '$history'), profile, '2026-01-01Z'";
		my $from = q{FROM (SELECT jsonb_build_object('a', jsonb_build_array(repeat('x', 5000)))) AS p (profile)};

		ends("$_ of '$card' and '$history'", "SELECT sum(length($_($arguments)::text)) $from") for $history eq 'hours' ? qw(appraise features) : 'appraise';
	}
	my $arguments = "(SELECT document FROM card WHERE name = '$card'), (SELECT timeline FROM history WHERE name = 'hours'), NULL, '2026-01-01Z'";
	ends("score of '$card'", "SELECT score($arguments)");
	ends("contributions of '$card'", "SELECT count(*) FROM contributions($arguments)");
	ends("next_segment of '$card'", "SELECT next_segment($arguments, 's1', '2025-01-01Z')");
	ends("check_scorecard of '$card'", "SELECT check_scorecard(document) FROM card WHERE name = '$card'");
}

# what is compiled in time that grows with the document: nothing is cancelled (it took half a minute of each)
is(ends("compiling '$_'", "SET statement_timeout = '20s'; SELECT score(document, NULL, NULL, now()) FROM card WHERE name = '$_'"), '0', "'$_' is compiled")
  for 'half-lives', 'categories', 'positions';

# ---------- timelines ----------

for my $history (qw(hours signals extremes))
{
	my $one = "(SELECT timeline FROM history WHERE name = '$history')";

	ends("$_->[0] of '$history'", "SELECT $_->[1]")
	  for [ 'text', "length($one\::text)" ], [ 'adding', "length(($one OPERATOR(leadscore.+) (SELECT timeline FROM history WHERE name = 'signals'))::text)" ],
	  [ 'negating', "length((OPERATOR(leadscore.-) $one)::text)" ], [ 'entries', "(SELECT count(*) FROM timeline_entries($one))" ],
	  [ 'coarsening', "length(coarsen($one, '9999-01-01Z')::text)" ], [ 'picking', "length(only($one, ARRAY[1, 2, 2147483647])::text)" ],
	  [ 'summing', "length((SELECT timeline_sum(timeline) FROM history CROSS JOIN generate_series(1, 20))::text)" ];
}
ends('counting by 20,000 signals', q{SELECT length(timeline_agg((SELECT jsonb_build_object('signals', document -> 'signals') FROM card WHERE name = 'signals'),
	'k', '2026-01-01Z', 1, '{"a": 1}')::text) FROM generate_series(1, 5000)});

# ---------- customer value ----------

# Every combination of extreme parameters gives a sensible result or is refused: a probability, and at most what is
# expected of a customer who never leaves, (r + x) t / (alpha + T).
my $grid = q{
	WITH value AS (SELECT unnest('{1e-30,1e-18,1e-6,0.3,1,40,1e7,1e13,1e15,1e16,1e30}'::float8[]) AS v),
	customer AS (SELECT * FROM (VALUES (0, 13149, '{1: 1990-01-01T00Z 1}'::leadscore.timeline), (2, 13149, '{1: 1990-01-01T00Z 1, 1990-02-01T00Z 1 5, 2025-01-01T00Z 1 7}')) c (x, t, timeline))
	SELECT count(*), count(*) FILTER (WHERE k.probability_alive BETWEEN 0 AND 1 AND k.expected_purchases BETWEEN 0
		AND (r.v + c.x) * (h.hours / 24.0 / 7) / (alpha.v + c.t / 7.0) * (1 + 1e-6))
	FROM value r, value alpha, value a, value b, customer c, unnest('{1,876600}'::int[]) AS h (hours)
	CROSS JOIN LATERAL leadscore.clv(c.timeline, jsonb_build_object('signal_id', 1, 'bg_nbd', jsonb_build_object('r', r.v, 'alpha', alpha.v, 'a', a.v, 'b', b.v)),
		h.hours * interval '1 hour', '2026-01-01Z') k};
is(ends('clv() of extreme parameters', "SET statement_timeout = '300s'; $grid WHERE alpha.v >= 1e-6 AND r.v <= 1e16"), join('|', ((9 * 10 * 11 * 11) * 4) x 2), 'clv() is sensible for each');
my $clv = q{clv('{1: 1990-01-01T00Z 1}'::leadscore.timeline, '{"signal_id": 1, "bg_nbd": {"r": %s, "alpha": %s, "a": %s, "b": %s}, "gamma_gamma": {"p": %s, "q": %s, "gamma": %s}}', '1 hour', '2026-01-01Z')};
for my $values ([ '1e16', '1e-100', '1e15', '1e100', 1, 1, 1 ], [ 1, 1, 1, 1, '1e300', 1, 1 ], [ 1, 1, 1, 1, 1, '1e-300', 1 ], [ 1, 1, '4.9e-324', 1, 1, 1, 1 ], [ 1, 1, 1, '1e308', 1, 1, 1 ])
{
	my $call = sprintf($clv, @$values);

	ends("EXPLAIN of clv() (@$values)", "EXPLAIN SELECT $call");
	is(ends("clv() (@$values)", "SELECT public.outcome(\$\$SELECT $call IS NULL\$\$)"), '22023', "clv() (@$values): refused");
}

# ---------- fits, and what measures them ----------

my $extremes = q{unnest('{1e308,-1e308,1e-308,5e-324,0,1,-1,Infinity,-Infinity,NaN}'::float8[])};
ends("$_ of extreme scores", "SELECT public.outcome('SELECT $_(s, n % 2 = 0)::text IS NULL FROM unnest(''{1e308,-1e308,1e-308,5e-324,0,1,-1}''::float8[]) s, generate_series(1, 20000) n')")
  for qw(roc_auc ks gains);
ends('fit_clv() of extreme customers', q{SELECT public.outcome($$SELECT fit_clv(('{1: 1990-01-01T00Z 1, ' || CASE WHEN n % 3 = 0 THEN '1990-01-02T00Z 1 0.000001' WHEN n % 3 = 1 THEN '2025-01-02T00Z 1 900000000000' ELSE '1990-01-01T01Z 1' END || '}')::leadscore.timeline,
	1, '2026-01-01Z', CASE WHEN true THEN '1 hour'::interval END) IS NULL FROM generate_series(1, 20000) n$$)});
ends('logistic_regression() of extreme features', q{SELECT public.outcome($$SELECT logistic_regression(ARRAY[a, b, a * n, 1e-300, random()], n % 3 = 0, 0) IS NULL
	FROM unnest('{1e150,-1e150,1e-300,0}'::float8[]) a, unnest('{1e150,5e-324,1}'::float8[]) b, generate_series(1, 3000) n$$)});

# ---------- a cancel from elsewhere ----------

my $running = $node->background_psql('postgres', on_error_stop => 0);
$running->query_safe(q{SET search_path = leadscore, leadscore_internal, public; SET application_name = 'endless'});
$running->query_until(qr/begun/, q{\echo begun
	SELECT sum(score((SELECT document FROM card WHERE name = 'half-lives'), timeline, NULL, '2026-01-01Z')) FROM history, generate_series(1, 100) WHERE name = 'hours';
	\echo ended
});
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'endless' AND state = 'active'}) or die 'it does not run';
$node->safe_psql('postgres', q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'endless'});
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'endless' AND state = 'active'}), 'pg_cancel_backend() ends a score');
$running->quit;

# ---------- how soon ----------

# propose() notices a cancel within a second of its own processor time, at ten moments that lie as far apart.
SKIP:
{
	skip 'the system does not tell how long a process has computed', 1 unless -r "/proc/$$/schedstat";

	$running = $node->background_psql('postgres', on_error_stop => 0);
	my $pid = $running->query_safe('SELECT pg_backend_pid()');
	my $asking = $node->background_psql('postgres');
	my $computed = sub { return (split ' ', slurp_file("/proc/$pid/schedstat"))[0] / 1e9 };
	my $is_active = sub { return $asking->query_safe("SELECT state = 'active' FROM pg_stat_activity WHERE pid = $pid") eq 't' };
	my $from;
	my $start = sub {
		$from = $computed->();
		$running->query_until(qr/begun/, q{\echo begun
			SELECT length(leadscore.propose('buy', '2 days', '{2026-01-02Z}', active_within => '2 days')::text);
		});
		usleep(20000) until $is_active->();
	};

	# 20,000 leads, of which two numbers tell together what neither tells alone, and one whose profile is very large
	$node->safe_psql('postgres', q{
		INSERT INTO leadscore.lead SELECT n, (SELECT jsonb_object_agg('x' || i, n::bigint * (7919 + 104729 * i) % 9973) FROM generate_series(1, 12) i) FROM generate_series(1, 20000) n;
		INSERT INTO leadscore.lead SELECT 'large', jsonb_build_object('many', (SELECT jsonb_agg(n) FROM generate_series(1, 3000000) n));
		INSERT INTO leadscore.event (lead_id, kind, occurred_at) SELECT lead_id, 'kind ' || i, timestamptz '2026-01-01 12:00Z' - i * interval '1 hour' FROM leadscore.lead, generate_series(1, 3) i
			UNION ALL SELECT lead_id, 'buy', '2026-01-02 12:00Z' FROM leadscore.lead WHERE lead_id = 'large' OR ((profile -> 'x1')::int < 4986) = ((profile -> 'x2')::int < 4986) AND hashtext(lead_id) % 3 = 0});
	$start->();
	usleep(50000) while $is_active->();
	my $whole = $computed->() - $from;
	for my $part (1 .. 10)
	{
		$start->();
		usleep(20000) until $computed->() - $from > $whole * $part / 11 || !$is_active->();
		kill 'INT', $pid;
		my $cancelled = $computed->();    # not before it was: other work cannot make the rest longer
		usleep(50000) while $is_active->();
		cmp_ok($computed->() - $cancelled, '<', 1, sprintf 'propose() that is cancelled after %.1f of %.1f s goes on for less than a second', $whole * $part / 11, $whole);
	}
	$asking->quit;
	$running->quit;
	like($running->{stderr}, qr/canceling statement due to user request/, '... and was cancelled');
}
done_testing();
