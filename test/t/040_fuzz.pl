# Damaged documents at the core: scorecards to score(), appraise(), contributions() and features(), signals to
# timeline_agg(). They are refused with SQLSTATE 22023, or taken, and then all four functions agree.
# (A thousand here; `make fuzz` tries millions, and what only C can call.)

use strict;
use warnings FATAL => 'all';

use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{SEED} || 20261121;
my $inputs = $ENV{FUZZ_INPUTS} || 1000;
srand $seed;
note "SEED=$seed";

my $json = JSON::PP->new->canonical->allow_nonref->allow_bignum;
my $node = PostgreSQL::Test::Cluster->new('fuzz');
$node->init;
$node->append_conf('postgresql.conf', 'fsync = off');
$node->start;

$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION leadscore;

-- what becomes of a scorecard: the SQLSTATE that it is refused with, or whether the functions agree
CREATE FUNCTION try_card(document text, at timestamptz) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	card jsonb;
	t leadscore.timeline := '{1: 2026-01-01T00Z 2 49.9, 2026-01-02T13Z 1; 2: 2025-06-01T00Z 1 7; 3: 2024-01-01T00Z -1 1; 2147483647: 9999-12-31T23Z 1}';
	profile jsonb := '{"age": 30, "a": {"b": [1]}, "employees": 1000}';
BEGIN
	card := document;
	RETURN (leadscore.appraise(card, t, profile, at)).score IS NOT DISTINCT FROM leadscore.score(card, t, profile, at)
		AND (SELECT count(*) FROM leadscore.contributions(card, t, profile, at)) = cardinality(leadscore.features(card, t, profile, at));
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END
$$;

CREATE FUNCTION try_signals(document text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	t leadscore.timeline;
BEGIN
	SELECT leadscore.timeline_agg(document::jsonb, kind, '2026-01-01'::timestamptz + i * interval '1 hour', i, p) INTO t
	FROM unnest('{visit,purchase,x}'::text[]) kind, generate_series(1, 3) i, (VALUES (NULL::jsonb), ('{"a": {"b": [1, null]}, "price": 1e300}'), ('{}')) v (p);
	RETURN t IS NULL OR t::text::leadscore.timeline OPERATOR(leadscore.=) t;
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END
$$;
SQL

# documents to begin with: the templates with the ids that publish() would give
my @cards = map { $json->decode($_) } split /\n/, $node->safe_psql('postgres', <<'SQL');
SELECT jsonb_set(t, '{signals}', (SELECT jsonb_agg(s || jsonb_build_object('signal_id', n)) FROM jsonb_array_elements(t -> 'signals') WITH ORDINALITY e (s, n)))
FROM (SELECT leadscore.template(x) AS t FROM unnest('{ecommerce,funnel,fit_and_engagement}'::text[]) x) t
SQL
my @signals = ($json->decode('{"signals": [{"signal_id": 1, "signal": "visit", "kind": "visit"}, {"signal_id": 2, "kind": "purchase",
	"match": {"a": {"b": [1]}}, "condition": "$.price > 0"}, {"signal_id": 3, "kind": null}]}'));

my $deep = '[' x 300 . ']' x 300;
my @values = map { $json->decode($_) } 'null', 'true', '""', '"x"', '"1 hour"', '"-1 day"', '"1000000 years"', '"$.a"', '"$.a > 1"', '"$.** == 1"', '"$.a / 0 == 1"',
	'"$.a.datetime() > $.b"', '"$.a like_regex \"(\""', '-1', '0', '1', '0.5', '2147483648', '1e308', '-1e308', '1e400', '9' x 200, '{}', '[]', '[null]', '[{}]', '{"a": {"b": [1]}}',
	'{"signal": "visit", "points": 1}', $deep, "{\"a\": $deep}", '"' . 'é€🎈' x 60 . '"';

sub pick { return $_[ int rand @_ ] }

# Change something somewhere in a document.
sub damage
{
	my ($value) = @_;

	if (ref $value eq 'HASH' && %$value && rand() < 0.9)
	{
		my $key = pick(sort keys %$value);
		my $choice = rand;
		if ($choice < 0.1) { delete $value->{$key} }
		elsif ($choice < 0.15) { $value->{"$key "} = $value->{$key} }
		else { $value->{$key} = damage($value->{$key}) }
		return $value;
	}
	if (ref $value eq 'ARRAY' && @$value && rand() < 0.95)
	{
		my $i = int rand @$value;
		my $choice = rand;
		if ($choice < 0.1) { splice @$value, $i, 1 }
		elsif ($choice < 0.2) { push @$value, $value->[$i] }
		elsif ($choice < 0.21) { push @$value, ($value->[$i]) x 2000 }
		else { $value->[$i] = damage($value->[$i]) }
		return $value;
	}
	return pick(@values);
}

sub damaged
{
	my $copy = $json->decode($json->encode(pick(@_)));
	$copy = damage($copy) for 1 .. 1 + int rand(3);
	return $json->encode($copy);
}

sub literal { my ($text) = @_; $text =~ s/'/''/g; return "'$text'" }

my $script = "SET client_min_messages = error;\n";
for my $i (1 .. $inputs)
{
	my $at = pick('2026-02-01', 'infinity', '-infinity', '1970-01-01', '9999-12-31 23:59 UTC');
	$script .= $i % 3 ? 'SELECT try_card(' . literal(damaged(@cards)) . ", '$at');\n" : 'SELECT try_signals(' . literal(damaged(@signals)) . ");\n";
}
my ($status, $output, $errors) = $node->psql('postgres', $script);
is($status, 0, 'the session goes through');
is($errors, '', 'without an error');

my %count;
$count{$_}++ for split /\n/, $output;
note join ', ', map { "$_: $count{$_}" } sort keys %count;
cmp_ok($count{true} // 0, '>', $inputs / 20, 'some documents are taken');
cmp_ok($count{22023} // 0, '>', $inputs / 4, 'some are refused');
is(join(' ', grep { $_ ne 'true' && $_ ne '22023' } sort keys %count), '', 'and nothing else happens');
unlike(slurp_file($node->logfile), qr/was terminated by signal/, 'no server process has crashed');

$node->stop;
done_testing();
