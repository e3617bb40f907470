# Random scorecards on random leads: the same as a slow and obvious calculation in PL/pgSQL, written from the
# definition of what a weight or rule is worth and of nothing else.

use strict;
use warnings FATAL => 'all';

use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{SEED} || 20261121;
note "SEED=$seed";
srand($seed);
my $cards = $ENV{CARDS} || 50;
my $leads = 8;

my $node = PostgreSQL::Test::Cluster->new('oracle');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\ntimezone = 'UTC'");
$node->start;

# ---------------------------------------------------------------- the oracle

$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION leadscore;
CREATE TABLE card (card_id int PRIMARY KEY, card jsonb);
-- each lead is scored at some instant, and at an hour of its past
CREATE TABLE lead (card_id int, lead int, timeline leadscore.timeline, profile jsonb, at timestamptz);
-- the hours of a lead, as they were made up
CREATE TABLE hour (card_id int, lead int, signal_id int, hour timestamptz, occurrences bigint, value numeric);

CREATE FUNCTION hours(duration text) RETURNS float8 LANGUAGE sql AS
	$$SELECT ceil(extract(epoch FROM duration::interval) / 3600)::float8$$;

CREATE FUNCTION clamp(x float8, low float8, high float8) RETURNS float8 LANGUAGE sql AS
	$$SELECT least(greatest(x, coalesce(low, '-Infinity')), coalesce(high, 'Infinity'))$$;

CREATE FUNCTION signal_of(card jsonb, name text) RETURNS jsonb LANGUAGE sql AS
	$$SELECT s FROM jsonb_array_elements(card -> 'signals') s WHERE s ->> 'signal' = name$$;

-- whether a profile has a signal: what is not known of it is no attribute
CREATE FUNCTION has(profile jsonb, s jsonb) RETURNS boolean LANGUAGE sql AS $$
	SELECT CASE WHEN s ? 'match' OR s ? 'condition' THEN (s -> 'match' IS NULL OR p.known @> (s -> 'match')) AND (s ->> 'condition' IS NULL OR coalesce(p.known @@ (s ->> 'condition')::jsonpath, false))
		ELSE profile IS NOT NULL END
	FROM (SELECT coalesce(jsonb_object_agg(e.key, e.value) FILTER (WHERE e.value <> 'null'), '{}') AS known FROM jsonb_each(profile) e) p
$$;

-- what a weight or condition measures (power() knows no underflow, so it stops at 2^-900)
CREATE FUNCTION measured(lead lead, card jsonb, w jsonb) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
	s jsonb := signal_of(card, w ->> 'signal');
	since timestamptz := (SELECT max(h.hour) FROM hour h WHERE h.card_id = lead.card_id AND h.lead = lead.lead AND h.hour <= lead.at
		AND h.signal_id = (signal_of(card, w ->> 'since_signal') ->> 'signal_id')::int);
	result float8;
BEGIN
	IF s ->> 'subject' = 'profile' THEN
		RETURN CASE WHEN has(lead.profile, s) THEN 1 END;
	END IF;
	WITH aged AS (
		SELECT h.occurrences, h.value::float8 AS value, (h.hour AT TIME ZONE coalesce(card ->> 'time_zone', 'UTC'))::date AS day, h.hour,
			(extract(epoch FROM date_trunc('hour', lead.at AT TIME ZONE 'UTC') - h.hour AT TIME ZONE 'UTC') / 3600)::float8 AS age
		FROM hour h WHERE h.card_id = lead.card_id AND h.lead = lead.lead AND h.signal_id = (s ->> 'signal_id')::int AND (since IS NULL OR h.hour > since)
	), counted AS (
		SELECT a.*, a.occurrences AS counted,
			CASE WHEN w ->> 'half_life' IS NULL THEN 1 ELSE power(0.5::float8, least(a.age / hours(w ->> 'half_life'), 900)) END
				* CASE WHEN w ->> 'fades_over' IS NULL THEN 1 ELSE greatest(0::float8, 1 - a.age / hours(w ->> 'fades_over')) END AS factor
		FROM aged a WHERE a.age >= 0 AND (w ->> 'within' IS NULL OR a.age < hours(w ->> 'within'))
	), limited AS (
		-- the occurrences of a day, earliest first, as far as the limit goes
		SELECT c.*, greatest(0, least(c.occurrences, (w ->> 'max_per_day')::int
			- coalesce(sum(c.occurrences) OVER (PARTITION BY c.day ORDER BY c.hour ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)))::float8 AS allowed
		FROM counted c
	)
	SELECT CASE coalesce(w ->> 'measure', 'count')
		WHEN 'count' THEN sum(CASE WHEN w ->> 'max_per_day' IS NULL THEN l.occurrences ELSE l.allowed END * l.factor)
		WHEN 'value' THEN sum(l.value * l.factor)
		WHEN 'average_value' THEN sum(l.value) / sum(l.occurrences)
		WHEN 'active_days' THEN nullif(count(DISTINCT l.day), 0)
		WHEN 'days_since_last' THEN min(l.age) / 24
		WHEN 'days_since_first' THEN max(l.age) / 24 END
	INTO result FROM limited l;
	RETURN result;
END
$$;

CREATE FUNCTION in_band(w jsonb, measured float8) RETURNS boolean LANGUAGE sql AS
	$$SELECT measured IS NOT NULL AND (w ->> 'at_least' IS NULL OR measured >= (w ->> 'at_least')::float8) AND (w ->> 'below' IS NULL OR measured < (w ->> 'below')::float8)$$;

CREATE FUNCTION holds(lead lead, card jsonb, rule jsonb) RETURNS boolean LANGUAGE sql AS $$
	SELECT NOT EXISTS (SELECT FROM jsonb_array_elements(rule -> 'all_of') c WHERE NOT in_band(c, measured(lead, card, c)))
		AND (coalesce(rule -> 'any_of', '[]') = '[]' OR EXISTS (SELECT FROM jsonb_array_elements(rule -> 'any_of') c WHERE in_band(c, measured(lead, card, c))))
		AND NOT EXISTS (SELECT FROM jsonb_array_elements(rule -> 'none_of') c WHERE in_band(c, measured(lead, card, c)))
$$;

CREATE FUNCTION worth(w jsonb, measured float8) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
	points float8 := w ->> 'points';
BEGIN
	IF measured IS NULL THEN
		RETURN coalesce((w ->> 'if_none')::float8, 0);
	END IF;
	IF w ->> 'at_least' IS NOT NULL OR w ->> 'below' IS NOT NULL THEN
		RETURN CASE WHEN in_band(w, measured) THEN points ELSE 0 END;
	ELSIF w ->> 'curve' = 'log' THEN
		RETURN points * ln(1 + greatest(0, measured));
	END IF;
	RETURN points * measured;
END
$$;

CREATE FUNCTION oracle_contributions(lead lead) RETURNS TABLE (n bigint, signal text, rule text, profile boolean, category text, stage text, measured float8, uncapped float8, points float8, last_at timestamptz)
LANGUAGE sql AS $$
	SELECT x.n, x.w ->> 'signal', NULL, coalesce(x.s ->> 'subject' = 'profile', false), x.w ->> 'category', x.w ->> 'stage', m.measured, worth(x.w, m.measured),
		CASE WHEN m.measured IS NULL AND NOT x.w ? 'if_none' THEN 0 ELSE clamp(worth(x.w, m.measured), (x.w ->> 'min_points')::float8, (x.w ->> 'max_points')::float8) END,
		(SELECT max(h.hour) FROM hour h WHERE h.card_id = lead.card_id AND h.lead = lead.lead AND h.signal_id = (x.s ->> 'signal_id')::int AND h.hour <= lead.at)
	FROM (SELECT w.n, w.w, c.card, signal_of(c.card, w.w ->> 'signal') AS s
		FROM card c, jsonb_array_elements(c.card -> 'weights') WITH ORDINALITY w (w, n) WHERE c.card_id = lead.card_id) x,
		LATERAL (SELECT measured(lead, x.card, x.w) AS measured OFFSET 0) m
	UNION ALL
	SELECT jsonb_array_length(c.card -> 'weights') + r.n, NULL, r.r ->> 'rule',
		NOT EXISTS (SELECT FROM jsonb_array_elements(coalesce(r.r -> 'all_of', '[]') || coalesce(r.r -> 'any_of', '[]') || coalesce(r.r -> 'none_of', '[]')) d WHERE d ->> 'signal' LIKE 'e%'),
		r.r ->> 'category', NULL, h.holds::int, CASE WHEN h.holds THEN coalesce((r.r ->> 'points')::float8, 0) ELSE 0 END, CASE WHEN h.holds THEN coalesce((r.r ->> 'points')::float8, 0) ELSE 0 END, NULL
	FROM card c, jsonb_array_elements(c.card -> 'rules') WITH ORDINALITY r (r, n), LATERAL (SELECT holds(lead, c.card, r.r) AS holds OFFSET 0) h
	WHERE c.card_id = lead.card_id
$$;

CREATE TABLE expected (card_id int, lead int, at timestamptz, n bigint, signal text, rule text, profile boolean, category text, stage text, measured float8, uncapped float8, points float8, last_at timestamptz);
CREATE FUNCTION oracle(lead lead, OUT score float8, OUT engagement float8, OUT fit float8, OUT probability float8, OUT grade text, OUT stage text, OUT segment text, OUT last_active timestamptz)
LANGUAGE plpgsql AS $$
DECLARE
	card jsonb := (SELECT c.card FROM card c WHERE c.card_id = lead.card_id);
	total float8;
BEGIN
	WITH part AS (
		SELECT k.profile, k.category, CASE WHEN c.c IS NULL THEN sum(k.points) ELSE clamp(sum(k.points), (c.c ->> 'min_points')::float8, (c.c ->> 'max_points')::float8) END AS points
		FROM expected k LEFT JOIN jsonb_array_elements(card -> 'categories') c (c) ON c.c ->> 'category' = k.category
		WHERE (k.card_id, k.lead, k.at) = (lead.card_id, lead.lead, lead.at)
		GROUP BY k.profile, k.category, c.c
	)
	SELECT coalesce(sum(p.points) FILTER (WHERE NOT p.profile), 0), coalesce(sum(p.points) FILTER (WHERE p.profile), 0) INTO engagement, fit FROM part p;
	total := engagement + fit;
	score := clamp(total, (card ->> 'floor')::float8, (card ->> 'ceiling')::float8);
	probability := (card ->> 'intercept')::float8 + (card ->> 'slope')::float8 * total;
	probability := CASE WHEN probability IS NOT NULL THEN 1 / (1 + exp(clamp(-probability, -700, 700))) END;
	SELECT g ->> 'grade' INTO grade FROM jsonb_array_elements(card -> 'grades') g
	WHERE g ->> 'min_fit' IS NULL OR fit >= (g ->> 'min_fit')::float8 ORDER BY (g ->> 'min_fit')::float8 DESC NULLS LAST LIMIT 1;
	SELECT g ->> 'segment' INTO segment FROM jsonb_array_elements(card -> 'segments') g
	WHERE (g ->> 'min_score' IS NULL OR score >= (g ->> 'min_score')::float8) AND (g ->> 'min_fit' IS NULL OR fit >= (g ->> 'min_fit')::float8)
		AND (g ->> 'min_engagement' IS NULL OR engagement >= (g ->> 'min_engagement')::float8) AND (g ->> 'above_score' IS NULL OR score > (g ->> 'above_score')::float8)
		AND NOT EXISTS (SELECT FROM expected k WHERE (k.card_id, k.lead, k.at) = (lead.card_id, lead.lead, lead.at) AND g -> 'rules' ? k.rule AND k.measured = 0)
	ORDER BY (g ->> 'position')::int LIMIT 1;
	SELECT t ->> 'stage' INTO stage FROM jsonb_array_elements(card -> 'stages') t JOIN expected k ON k.stage = t ->> 'stage'
	WHERE (k.card_id, k.lead, k.at) = (lead.card_id, lead.lead, lead.at) AND CASE WHEN k.profile THEN k.measured IS NOT NULL ELSE k.last_at IS NOT NULL AND (t ->> 'within' IS NULL
		OR extract(epoch FROM date_trunc('hour', lead.at AT TIME ZONE 'UTC') - k.last_at AT TIME ZONE 'UTC') / 3600 < hours(t ->> 'within')) END
	ORDER BY (t ->> 'position')::int DESC LIMIT 1;
	SELECT max(h.hour) INTO last_active FROM hour h WHERE h.card_id = lead.card_id AND h.lead = lead.lead AND h.hour <= lead.at;
END
$$;

CREATE FUNCTION near(a float8, b float8) RETURNS boolean LANGUAGE sql AS
	$$SELECT a IS NOT DISTINCT FROM b OR coalesce(abs(a - b) <= 1e-9 * greatest(1, abs(b)), false)$$;
SQL

# ---------------------------------------------------------------- random models and leads

my $json = JSON::PP->new->canonical->allow_nonref;

sub pick { return $_[rand @_] }
sub maybe { my ($chance, $value) = @_; return rand() < $chance ? $value->() : undef }
sub number { my ($low, $high, $decimals) = @_; return 0 + sprintf '%.*f', $decimals // pick(0, 1, 3), $low + rand($high - $low) }
sub duration { return pick(int(1 + rand 90) . ' days', int(1 + rand 200) . ' hours', int(1 + rand 14) . ' months', '1 year', '90 minutes', '3 days 00:00:01', '2 years 1 month 5 days', '1 week') }
sub two { my ($low, $high) = sort { $a <=> $b } number(-20, 60, 3), number(-20, 60, 3); return ($low, $high + 0.0005) }
sub object { my %o = @_; delete $o{$_} for grep { !defined $o{$_} } keys %o; return \%o }

# a condition of a rule: a figure of an event signal, or a profile signal
sub condition
{
	my $profile = rand() < 0.25;
	my ($from, $to) = sort { $a <=> $b } number(-1, 20), number(-1, 20);
	return object(signal => $profile ? 'p' . int rand 6 : 'e' . int rand 4, measure => $profile ? undef : maybe(0.7, sub { pick(@main::measures) }),
		within => $profile ? undef : maybe(0.5, \&duration), at_least => maybe(0.3, sub { $profile ? 1 : $from }), below => maybe(0.3, sub { $profile ? 1.5 : $to + 0.5 }));
}
sub conditions { my ($chance, $least) = @_; return maybe($chance, sub { [ map { condition() } 1 .. 1 + rand 2 ] }) }

our @measures = qw(count value average_value active_days days_since_last days_since_first);
my $sql = "BEGIN;\n";
my %used;
for my $card (1 .. $cards)
{
	my @ids = map { $_ * 3 + int rand 3 } 1 .. 4;
	my @signals = map { { signal => "e$_", signal_id => $ids[$_] } } 0 .. 3;
	push @signals, { signal => 'p0', subject => 'profile', match => { country => 'DE' } }, { signal => 'p1', subject => 'profile', condition => '$.age >= 30 && $.age < 50' },
		{ signal => 'p2', subject => 'profile', match => { role => { boss => JSON::PP::true } }, condition => '$.age > 20' }, { signal => 'p3', subject => 'profile' },
		{ signal => 'p4', subject => 'profile', condition => '!exists($.country)' }, { signal => 'p5', subject => 'profile', condition => '!($.country == "DE")' };
	my @categories = map { my ($low, $high) = two(); object(category => "c$_", min_points => maybe(0.4, sub { $low }), max_points => maybe(0.6, sub { $high })) } 0 .. 2;
	my @positions = sort { rand() <=> 0.5 } -2 .. 5;
	my @stages = map { object(stage => "s$_", position => pop @positions, within => maybe(0.7, \&duration)) } 0 .. 2;
	my @weights;
	for my $n (1 .. 4 + rand 16)
	{
		my $profile = rand() < 0.2;
		my ($low, $high) = two();
		my ($from, $to) = sort { $a <=> $b } number(-1, 60), number(-1, 60);
		my $banded = rand() < 0.3;
		my $measure = $profile ? 'present' : pick(@measures, 'count', 'value');
		$used{$measure}++;
		my $event = int rand 4;
		push @weights, object(
			weight_id => $n, signal => $profile ? 'p' . int rand 6 : "e$event",
			if_none => $profile ? undef : maybe(0.3, sub { number(-10, 10) }), since_signal => $profile ? undef : maybe(0.3, sub { 'e' . ($event + 1 + int rand 3) % 4 }), measure => $measure,
			points => number(-10, 20), curve => maybe(0.3, sub { pick('log', 'linear') }),
			half_life => maybe(0.4, \&duration), fades_over => maybe(0.3, \&duration), within => maybe(0.4, \&duration),
			at_least => $banded && rand() < 0.8 ? $from : undef, below => $banded && rand() < 0.8 ? $to + 0.5 : undef,
			max_per_day => maybe(0.3, sub { 1 + int rand 4 }), min_points => maybe(0.2, sub { $low }), max_points => maybe(0.3, sub { $high }),
			category => maybe(0.5, sub { 'c' . int rand 3 }), stage => maybe(0.3, sub { 's' . int rand 3 }));
	}
	my @rules = map { object(rule => "r$_", all_of => conditions(0.6), any_of => conditions(0.4), none_of => conditions(0.4), points => maybe(0.8, sub { number(-10, 20) }), category => maybe(0.4, sub { 'c' . int rand 3 })) } 0 .. int rand 5;
	for (@rules) { $_->{none_of} = [ condition() ] unless $_->{all_of} || $_->{any_of} || $_->{none_of} }
	my ($floor, $ceiling) = two();
	my @order = sort { rand() <=> 0.5 } 1 .. 4;
	my $document = object(
		model => "m$card", time_zone => maybe(0.7, sub { pick('Europe/Berlin', 'America/Los_Angeles', 'America/St_Johns', 'Asia/Kolkata', 'Australia/Lord_Howe', 'Pacific/Auckland') }),
		rules => \@rules, floor => maybe(0.3, sub { $floor }), ceiling => maybe(0.3, sub { $ceiling + 50 }), intercept => maybe(0.8, sub { number(-3, 3, 3) }), slope => maybe(0.8, sub { number(-0.1, 0.1, 3) }),
		signals => [ sort { rand() <=> 0.5 } @signals ], weights => \@weights, categories => \@categories, stages => \@stages,
		grades => [ map { object(grade => "g$_", min_fit => $_ == 1 ? undef : number(-20, 30, 3) + $_ / 1e5) } 1 .. 3 ],
		segments => [ map { object(segment => "x$_", position => shift @order, min_score => maybe(0.6, sub { number(-30, 80, 3) + 0.00007 }), above_score => maybe(0.3, sub { number(-30, 60) }), rules => maybe(0.4, sub { [ map { $_->{rule} } grep { rand() < 0.5 } @rules ] }), min_fit => maybe(0.3, sub { number(-10, 30, 3) + 0.00007 }), min_engagement => maybe(0.3, sub { number(-10, 60, 3) + 0.00007 })) } 1 .. 3 ]);
	(my $text = $json->encode($document)) =~ s/'/''/g;
	$sql .= "INSERT INTO card VALUES ($card, '$text');\n";

	for my $lead (1 .. $leads)
	{
		# hours of the signals, and of one that no weight knows, most of them in a few days
		my %hours;
		for my $id (@ids, 99)
		{
			next if rand() < 0.25;
			$hours{$id}{ int rand(pick(30, 200, 3000, 20000)) } = [ pick(1, 1, 2, 5, 40), pick('0', '0', sprintf('%.2f', rand 500), sprintf('%.6f', -5 + rand 10)) ] for 1 .. 1 + rand 20;
		}
		my $profile = maybe(0.8, sub { object(country => maybe(0.7, sub { pick('DE', 'FR', 'NULL') }), age => maybe(0.8, sub { pick(int(15 + rand 50), 'old') }), role => maybe(0.5, sub { { boss => pick(JSON::PP::true, JSON::PP::false), x => 1 } })) });
		my $at = sprintf '2026-06-15 12:00 UTC';
		my $later = pick(0, 0, int rand 500, -int(rand 300), 9000) * 3600 + int rand 3600;
		$sql .= sprintf "INSERT INTO lead VALUES (%d, %d, NULL, %s, '%s'::timestamptz + %d * interval '1 second');\n", $card, $lead, defined $profile ? "'" . ($json->encode($profile) =~ s/"NULL"/null/gr) . "'" : 'NULL', $at, $later;
		for my $id (keys %hours)
		{
			$sql .= "INSERT INTO hour VALUES " . join(', ', map { sprintf "(%d, %d, %d, '%s'::timestamptz - %d * interval '1 hour', %d, %s)", $card, $lead, $id, $at, $_, @{ $hours{$id}{$_} } } keys %{ $hours{$id} }) . ";\n";
		}
	}
}
$sql .= <<'SQL';
CREATE INDEX ON hour (card_id, lead, signal_id);
INSERT INTO lead SELECT l.card_id, l.lead, NULL, l.profile, (SELECT h.hour + interval '30 minutes' FROM hour h WHERE h.card_id = l.card_id AND h.lead = l.lead AND h.hour < l.at - interval '1 hour' ORDER BY md5(h.hour::text) LIMIT 1) FROM lead l;
DELETE FROM lead WHERE at IS NULL;
UPDATE lead l SET timeline = (SELECT ('{' || string_agg(s, '; ' ORDER BY signal_id) || '}')::leadscore.timeline FROM (
	SELECT signal_id, signal_id || ': ' || string_agg(to_char(hour AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24"Z"') || ' ' || occurrences || ' ' || value, ', ' ORDER BY hour) AS s
	FROM hour h WHERE h.card_id = l.card_id AND h.lead = l.lead GROUP BY signal_id) x);
COMMIT;
ANALYZE;
INSERT INTO expected SELECT l.card_id, l.lead, l.at, e.* FROM lead l, oracle_contributions(l) e;
CREATE INDEX ON expected (card_id, lead, at);
ANALYZE expected;
SQL
$node->safe_psql('postgres', $sql);
is(join(' ', sort keys %used), join(' ', sort @measures, 'present'), 'every measure is tried');

# ---------------------------------------------------------------- the comparison

# the documents are good models, too
is($node->safe_psql('postgres', 'SELECT count(leadscore.publish(card)) FROM card'), $cards, 'the models can be published');

my $wrong = $node->safe_psql('postgres', <<'SQL');
SELECT 'card ' || l.card_id || ' lead ' || l.lead, e, a
FROM lead l, LATERAL (SELECT oracle(l) AS e OFFSET 0) o, LATERAL (SELECT leadscore.appraise((SELECT card FROM card c WHERE c.card_id = l.card_id), l.timeline, l.profile, l.at) AS a OFFSET 0) x
WHERE NOT (near((a).score, (e).score) AND near((a).engagement, (e).engagement) AND near((a).fit, (e).fit) AND near((a).probability, (e).probability))
	OR ((a).grade, (a).stage, (a).segment, (a).last_active) IS DISTINCT FROM ((e).grade, (e).stage, (e).segment, (e).last_active)
	OR NOT near(leadscore.score((SELECT card FROM card c WHERE c.card_id = l.card_id), l.timeline, l.profile, l.at), (e).score)
SQL
is($wrong, '', 'appraise() and score() are what the definition says, for ' . $node->safe_psql('postgres', 'SELECT count(*) FROM lead') . ' appraisals');

$wrong = $node->safe_psql('postgres', <<'SQL');
SELECT 'card ' || l.card_id || ' lead ' || l.lead || ' weight ' || e.n, e.*, a.*
FROM lead l JOIN expected e USING (card_id, lead, at)
	JOIN LATERAL leadscore.contributions((SELECT card FROM card c WHERE c.card_id = l.card_id), l.timeline, l.profile, l.at) a ON coalesce(a.weight_id = e.n, a.rule = e.rule)
WHERE NOT (near(a.measured, e.measured) AND near(a.points, e.points) AND near(a.uncapped_points, e.uncapped)
		AND near((leadscore.features((SELECT card FROM card c WHERE c.card_id = l.card_id), l.timeline, l.profile, l.at))[e.n], e.measured))
	OR (a.signal, a.rule, a.category, a.stage) IS DISTINCT FROM (e.signal, e.rule, e.category, e.stage)
	OR a.last_at IS DISTINCT FROM CASE WHEN e.measured IS NOT NULL THEN e.last_at END
LIMIT 10
SQL
is($wrong, '', 'so are contributions() and features()');
is($node->safe_psql('postgres', q{SELECT count(*) FROM lead l, LATERAL leadscore.contributions((SELECT card FROM card c WHERE c.card_id = l.card_id), l.timeline, l.profile, l.at)}),
	$node->safe_psql('postgres', 'SELECT count(*) FROM expected'), 'for each weight and rule');

# random models meet all there is
is($node->safe_psql('postgres', <<'SQL'), 't|t|t|t', 'grades, stages and segments differ, and scores are clamped');
SELECT count(DISTINCT (e).grade) = 3, count(DISTINCT (e).stage) = 3, count(DISTINCT (e).segment) = 3, bool_or((e).score <> (e).engagement + (e).fit)
FROM (SELECT oracle(l) AS e FROM lead l OFFSET 0) x
SQL

$node->stop;
done_testing();
