# Whatever a session or a database is set to, and in every encoding of the server: the extension can be created, and its
# functions give what they give at the defaults. Each result is kept in a table as the setting has it, with the types that it
# has, and read at the defaults: so what differs is what was computed, not how it is shown.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use PostgreSQL::Test::Utils;
use Test::More;
use Workload;

# the script is read in the encoding of the database
is_deeply([ grep { slurp_file($_) =~ /[^\x00-\x7f]/ } glob('sql/*.sql'), glob('sql/*/*.sql') ], [], 'the script is plain ASCII');
# with standard_conforming_strings off, a backslash is one in E'...' alone
is_deeply([ map { my $file = $_; map { "$file: $_" } grep { s/(?<![\w'])--.*//r =~ /(?<![E'])'(?:[^'\\]|'')*\\/ } split /\n/, slurp_file($file) } grep { !/--0/ } glob('sql/*.sql'), glob('sql/*/*.sql') ], [], 'no plain literal has a backslash');
is_deeply([ grep { slurp_file($_) =~ /"[^"\n]*[^\x00-\x7f][^"\n]*"/ } glob('src/*.c'), glob('src/*/*.c') ], [], 'so are messages');

my $node = new_node('main');
$node->start;

# What is written, at the isolation that procedures ask for.
my $setup = <<'SQL';
	SET client_min_messages = warning;
	SET default_transaction_isolation = 'read committed';
	SELECT leadscore.publish(leadscore.template(t)) FROM pg_catalog.unnest('{ecommerce,funnel,fit_and_engagement}'::text[]) t;
	SELECT leadscore.publish(E'{"model": "m", "floor": -1e5, "ceiling": 123456.789, "intercept": -1.25, "slope": 0.0123456789012345,
		"signals": [{"signal": "visit", "kind": "visit"}, {"signal": "purchase", "kind": "purchase"}, {"signal": "blue", "kind": "visit", "match": {"colour": "blue\\\\s"}},
			{"signal": "dear", "kind": "purchase", "condition": "$.price > 12.5"}, {"signal": "german", "subject": "profile", "match": {"country": "DE"}}],
		"weights": [{"signal": "visit", "points": 0.1, "half_life": "1 mon 2 days 3 hours", "max_per_day": 3, "category": "web", "stage": "one"},
			{"signal": "purchase", "measure": "value", "points": 1.123456789, "fades_over": "1 year 5 days", "within": "36 hours 30 minutes"},
			{"signal": "purchase", "measure": "days_since_last", "points": 12.5, "at_least": 0.25, "below": 1234567.125},
			{"signal": "blue", "measure": "active_days", "points": 2, "max_points": 12.5}, {"signal": "dear", "points": 3}, {"signal": "german", "points": 7}],
		"categories": [{"category": "web", "max_points": 0.123456789}], "stages": [{"stage": "one", "position": 1, "within": "1 day 12 hours"}],
		"segments": [{"segment": "hot", "position": 1, "min_score": 12.125, "hysteresis": 0.5, "cool_down": "1 day 1 hour"}, {"segment": "cold", "position": 2}]}');
	INSERT INTO leadscore.weight (model, signal, measure, points, half_life) VALUES ('m', 'purchase', 'count', 0.7, '2 mons -3 days +04:05:06');
	CREATE SCHEMA shop;
	CREATE TABLE shop.orders (lead pg_catalog.date, placed timestamp, total float8, "a 'colour' \" pg_catalog.text, lasted interval, born pg_catalog.timestamptz);
	SELECT leadscore.track('shop.orders', lead_id => 'lead', kind => E'o''rder\\', occurred_at => 'placed', value => 'total', properties => ARRAY[E'a ''colour'' \\', 'lasted', 'born']);
	INSERT INTO leadscore.signal (signal, kind, match) VALUES ('long order', E'o''rder\\', '{"lasted": "1 day 02:00:00"}'), ('born', E'o''rder\\', '{"born": "2026-01-01T10:00:00+00:00"}');
	INSERT INTO shop.orders VALUES ('2026-01-02', '2026-01-03 04:05', 12345.678901, 'blue', '1 day 2 hours', '2026-01-01 10:00Z'), ('2026-01-04', '2026-01-05', 0.1, 'red', '3 hours', NULL);
	CREATE TABLE shop.visits (lead pg_catalog.text, at pg_catalog.timestamptz, colour pg_catalog.text) PARTITION BY RANGE (at);
	CREATE TABLE shop.visits_1 PARTITION OF shop.visits DEFAULT;
	SELECT leadscore.track('shop.visits', lead_id => 'lead', kind => 'visit', occurred_at => 'at', properties => '{colour}', maintenance => 'deferred');
	CREATE TABLE shop.customer (lead pg_catalog.text PRIMARY KEY, country pg_catalog.text, age pg_catalog.int4);
	SELECT leadscore.track_profile('shop.customer', 'lead', '{country,age}');
	INSERT INTO shop.customer SELECT 'lead ' || i, CASE WHEN i % 3 = 0 THEN 'DE' ELSE 'FR' END, 20 + i % 40 FROM pg_catalog.generate_series(1, 90) i;
	INSERT INTO shop.visits SELECT 'lead ' || i % 90, pg_catalog.timestamptz '2026-01-01 00:00Z' + i * 37 * interval '1 minute', CASE WHEN i % 2 = 0 THEN E'blue\\s' ELSE 'red' END FROM pg_catalog.generate_series(1, 500) i;
	INSERT INTO leadscore.event (lead_id, kind, occurred_at, value, properties)
		SELECT 'lead ' || i * 7 % 90, 'purchase', pg_catalog.timestamptz '2026-01-05 00:00Z' + i * 97 * interval '1 minute', i / 7.0, pg_catalog.jsonb_build_object('price', i / 8.0, 'category', 'c' || i % 5) FROM pg_catalog.generate_series(1, 300) i;
	INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('visitor', 'visit', '2026-01-02 03:04Z'), (E'a''b\\c"d', 'visit', '2026-03-29 01:30Z');
	SELECT leadscore.identify('visitor', 'lead 1'), leadscore.identify(E'o''hara\\', 'lead 2');
	INSERT INTO leadscore.conversion VALUES ('m', 'purchase');
	INSERT INTO leadscore.spend VALUES ('search', '2026-01-10', 123.456);
	INSERT INTO leadscore.channel VALUES ('search', 'visit');
	INSERT INTO leadscore.derivation (behaviour, gap) VALUES ('visit', '30 minutes'), ('dwell', '20 minutes');
	INSERT INTO leadscore.derivation (behaviour, kinds, until_kinds, delay) VALUES ('cart_abandoned', '{visit}', '{purchase}', '1 day 1 hour');
	INSERT INTO leadscore.experiment (experiment, control, treatment, starts_at, salt) VALUES ('x', 'm', 'funnel', '2026-01-01 00:00Z', 'salt');
	INSERT INTO leadscore.offer (offer, model, segment, discount, valid_for, budget, holdout_share) VALUES ('o', 'm', 'hot', 10, '7 days', 100, 0.3);
	SELECT count(*) FROM leadscore.derive('2026-04-01 00:00Z');
	SELECT leadscore.partition_timelines(3);
	CALL leadscore.watch('m', notify => false);
	INSERT INTO leadscore.event (lead_id, kind, value) SELECT 'hot ' || i, 'purchase', 1000 FROM pg_catalog.generate_series(1, 9) i;
	SELECT leadscore.fold(), leadscore.refresh_segments(), leadscore.refresh_crm();
	CALL leadscore.compact('2026-01-03 05:00Z');
	CALL leadscore.rebuild();
SQL


my $fit = q{leadscore.scorecard('m'), 'purchase', '14 days 12 hours', '{2026-01-10 00:00Z,2026-01-16 00:00Z}'};
my @queries = (
	map({ "SELECT leadscore.scorecard('$_') AS card, leadscore.publish(leadscore.scorecard('$_'))" } qw(m ecommerce funnel fit_and_engagement)),
	q{SELECT leadscore.scorecard('m') AS card, leadscore.signals(), leadscore_internal.check_scorecard(leadscore.scorecard('m'))},
	q{SELECT * FROM leadscore.diff((SELECT document FROM leadscore.model_version WHERE model = 'm' AND version = 1), leadscore.scorecard('m'))},
	q{SELECT lead_id, timeline::text FROM leadscore.current_timeline WHERE lead_id NOT LIKE 'hot%' ORDER BY 1},
	q{SELECT * FROM leadscore.verify()}, 'SELECT * FROM leadscore.lead WHERE lead_id < \'lead 2\'',
	q{SELECT * FROM leadscore.timeline_entries((SELECT timeline FROM leadscore.current_timeline WHERE lead_id = 'lead 1'))},
	q{SELECT lead_id, leadscore.score(lead_id, 'm', '2026-02-01 00:00Z'), leadscore.score(lead_id, 'ecommerce', '2026-02-01 00:00Z') AS e, leadscore.score(lead_id, 'x', '2026-02-01 00:00Z') AS x, leadscore.arm('x', lead_id) FROM leadscore_internal.visible_lead ORDER BY 1},
	q{SELECT v.lead_id, (leadscore.appraise(leadscore.scorecard('m'), v.timeline, v.profile, '2026-02-01 00:00Z')).* FROM leadscore_internal.visible_lead v ORDER BY 1},
	q{SELECT * FROM leadscore.explain('lead 1', 'm', '2026-02-01 00:00Z')}, q{SELECT * FROM leadscore.explain('lead 3', 'm', '2026-02-01 00:00Z')}, q{SELECT * FROM leadscore.explain('lead 9', 'ecommerce', '2026-02-01 00:00Z')}, q{SELECT * FROM leadscore.explain('lead 9', 'funnel', '2026-02-01 00:00Z')},
	q{SELECT signal, points, reason FROM leadscore.explain('hot 1', 'm')}, q{SELECT * FROM leadscore.top(5, 'm', '2026-02-01 00:00Z')},
	q{SELECT * FROM leadscore.score_history('lead 1', 'm', '2026-02-01 00:00Z', '2026-02-03 00:00Z', '6 hours')},
	q{SELECT source::oid::regclass::text = 'shop.orders' OR true, kind, properties, maintenance, mapping FROM leadscore.source ORDER BY trigger_prefix, mapping},
	q{SELECT object, state, action FROM leadscore.status ORDER BY 1, 2, 3}, 'SELECT number, of FROM leadscore_internal.split_tables()', 'SELECT * FROM leadscore_internal.split_problem()',
	q{SELECT lead_id, kind, occurred_at, value, properties FROM leadscore.derived_event ORDER BY 1, 2, 3},
	q{SELECT * FROM leadscore.rfm('m', '2026-02-01 00:00Z')}, 
	(map { "SELECT pg_catalog.to_jsonb(f) - 'computed_at' AS figure FROM leadscore_internal.${_}_rows('m', leadscore_internal.figures_of('m')) f ORDER BY 1" } qw(monthly_figure funnel attribution)),
	# (what a float is printed with is the caller's)
	q{SELECT f.month, f.segment, f.all_segments, f.customers, f.lower_quartile::numeric, f.median::numeric, f.upper_quartile::numeric FROM leadscore_internal.sales_cycle_rows('m', leadscore_internal.figures_of('m')) f ORDER BY 1, 2, 3},
	q{SELECT * FROM leadscore.segment_history('m', '2026-01-01 00:00Z', '2026-03-01 00:00Z', '1 day 3 hours')}, q{SELECT * FROM leadscore.segment_flow('x', '2025-12-30 00:00Z', '2026-02-01 00:00Z')},
	q{SELECT * FROM leadscore.affinity('category', '2026-02-01 00:00Z') ORDER BY 1, 2}, q{SELECT * FROM leadscore.make_signals('category', 'purchase')},
	map({ "SELECT * FROM leadscore.$_($fit)" } qw(training_set evaluate lift_table calibration_table signal_report)),
	"SELECT leadscore.fit($fit) AS fitted", "SELECT leadscore.fit($fit, bins => true, decay => 'learn', profile => true, round_to => 0.1) AS fitted",
	q{SELECT * FROM leadscore.profile_report('purchase', '14 days', '{2026-01-10 00:00Z}')},
	q{SELECT part, segment_before, segment_after, quantile, leads, score_before, score_after, change FROM leadscore.preview(leadscore.scorecard('funnel') || '{"model": "m"}', 'm', '2026-02-01 00:00Z')},
	q{SELECT * FROM leadscore.stability_report('m', '2026-01-10 00:00Z', '2026-01-20 00:00Z')},
	q{SELECT leadscore.fit_clv('purchase', '2026-02-20 00:00Z')}, q{SELECT v.lead_id, (leadscore.clv(v.timeline, leadscore.fit_clv_of('purchase'), '30 days', '2026-02-20 00:00Z')).* FROM leadscore_internal.visible_lead v ORDER BY 1},
	q{SELECT * FROM leadscore.experiment_result('x', 'purchase', at => '2026-02-20 00:00Z')},
	q{SELECT l.model, l.lead_id, r.score, r.reason_1, r.reason_2, r.reason_3 FROM leadscore_internal.served_lead l, leadscore_internal.crm_row(l.served, l.timeline, l.profile, '2026-02-01 00:00Z') r ORDER BY 1, 2},
	q{SELECT model, lead_id, from_segment, to_segment, cause FROM leadscore.segment_change WHERE lead_id LIKE 'lead%' OR lead_id LIKE 'hot%' ORDER BY 1, 2},
	q{SELECT lead_id, code IS NULL AS held_out, expires_at - issued_at AS valid FROM leadscore.voucher ORDER BY 1}, q{SELECT leadscore_internal.is_held_out('o', 'lead ' || i, 0.5) FROM pg_catalog.generate_series(1, 50) i},
	q{SELECT leadscore.timeline_partition('lead ' || i, 1000) FROM pg_catalog.generate_series(1, 50) i},
	q{SELECT arm, leads, redeemed, buyers, revenue, discount FROM leadscore.offer_result('o', 'purchase')},
	q{SELECT job, schedule FROM leadscore.schedule('5 minutes')}, q{SELECT leadscore_internal.shell_word('it''s')}, 'SELECT job, command AS statement FROM leadscore_internal.jobs()',
	q{SELECT leadscore.session_number(t, '30 minutes') OVER (ORDER BY t) FROM pg_catalog.unnest('{2026-01-01 00:00Z,2026-01-01 00:20Z,2026-01-01 02:00Z}'::pg_catalog.timestamptz[]) t},
	q{SELECT source::oid::regclass::text LIKE '%' AS one, removed, remaining FROM leadscore.forget('2026-01-02', tracked => true)},
	q{SELECT leadscore.unidentify('visitor'), leadscore.restore_version('m', 1)}, q{SELECT leadscore.partition_timelines(1)::pg_catalog.text}, 'SELECT * FROM leadscore.verify()',
	'SELECT model, lead_id, score > 0 AS score FROM leadscore.lead_segment ORDER BY 1, 2', 'SELECT model, segment, leads FROM leadscore.segment_summary', q{SELECT leadscore.untrack('shop.orders')::pg_catalog.text}, 'SELECT count(*) FROM leadscore_internal.visible_lead',
	# what is refused
	map({ my $refused = $_ =~ s/'/''/gr; "SELECT result.refused('$refused')" }
		q{INSERT INTO leadscore.weight (model, signal, measure, points, half_life) VALUES ('m', 'visit', 'count', 1, '14')}, q{SELECT leadscore.publish('{"model": "z", "stages": [{"stage": "s", "position": 1, "within": "14"}]}')},
		q{SELECT leadscore.publish('{"model": "z", "floor": 1.5, "ceiling": 0.25}')}, q{SELECT leadscore.score('x', 'nobody')}, q{SELECT leadscore.identify('a', 'a')}, q{SELECT leadscore.logistic_regression(ARRAY[1], true, 1, NULL) FROM pg_catalog.generate_series(1, 2)},
		q{SELECT leadscore.preview(NULL)}, q{SELECT leadscore.redeem(NULL, NULL, NULL)}, q{SELECT * FROM leadscore.rfm('m', n => 0)}, q{SELECT leadscore.untrack('shop.orders')}));

my $n = 0;

# The results of all queries in a database of its own, with settings: what it has, it has by ALTER DATABASE.
sub results
{
	my ($template, $prepare, @settings) = @_;
	my $database = 'settings_' . $n++;
	my ($status, $out, $error);

	$node->safe_psql('postgres', "CREATE DATABASE $database $template");
	$node->safe_psql($database, $prepare) if $prepare;
	$node->safe_psql('postgres', "ALTER DATABASE $database SET $_") for @settings;
	($status, $out, $error) = $node->psql($database, 'SET default_transaction_isolation = \'read committed\'; CREATE EXTENSION leadscore');
	return { 'CREATE EXTENSION' => $error } if $status || $error ne '';
	# (read back at the defaults, whatever the database is set to)
	$node->safe_psql($database, q{
		SET search_path = pg_catalog; SET standard_conforming_strings = on; SET check_function_bodies = off;
		CREATE SCHEMA result;
		CREATE FUNCTION result.refused(command text) RETURNS text LANGUAGE plpgsql AS $$
		DECLARE
			detail text;
			hint text;
		BEGIN
			EXECUTE command;
			RETURN 'ACCEPTED';
		EXCEPTION WHEN OTHERS THEN
			GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
			RETURN concat_ws('|', SQLSTATE, SQLERRM, detail, hint);
		END
		$$;
		CREATE FUNCTION leadscore.fit_clv_of(signal text) RETURNS jsonb LANGUAGE sql STABLE AS $$SELECT leadscore.fit_clv(signal, '2026-02-20 00:00Z')$$});
	# strings with backslashes are E'' strings, so the test reads the same
	($status, $out, $error) = $node->psql($database, $setup);
	return { setup => $error } if $status;
	(undef, undef, $error) = $node->psql($database, join('', "SET default_transaction_isolation = 'read committed'; SET client_min_messages = warning;\n",
		map { "\\warn query $_\nCREATE TABLE result.r$_ AS $queries[$_];\n" } 0 .. $#queries), on_error_stop => 0);
	my %result = map { /^(\d+)\n(.*)/s ? ("$1: $queries[$1]" => $2) : () } split /^query /m, $error;
	local $ENV{PGOPTIONS} = '-c DateStyle=ISO -c TimeZone=UTC -c IntervalStyle=postgres -c extra_float_digits=1 -c quote_all_identifiers=off -c search_path=public -c bytea_output=hex';
	(undef, $out) = $node->psql($database, join('', "SET client_encoding = 'UTF8';\n", map { "\\echo query $_\nSELECT * FROM result.r$_;\n" } 0 .. $#queries), on_error_stop => 0);
	for (split /^query /m, $out)
	{
		$result{"$1: $queries[$1]"} .= $2 if /^(\d+)\n(.*)/s;
	}
	$node->safe_psql('postgres', "DROP DATABASE $database");
	return \%result;
}

my $expected = results("TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'", '');
is($expected->{'CREATE EXTENSION'} // $expected->{setup}, undef, 'at the defaults') or BAIL_OUT('nothing to compare with');
is_deeply([ map { "$_: $expected->{$_}" } grep { $expected->{$_} =~ /ERROR:/ } sort keys %$expected ], [], 'at the defaults all queries run');
cmp_ok(scalar(grep { $expected->{$_} ne '' } keys %$expected), '>', 55, '... and nearly all of them give something');

sub same_results
{
	my ($name, $got) = @_;
	my @different = grep { comparable($got->{$_} // '') ne comparable($expected->{$_}) } sort keys %$expected;

	for my $failed (grep { !exists $expected->{$_} } keys %$got)		# the creation or the preparation
	{
		return is("$failed: $got->{$failed}", "$failed: ", $name);
	}
	ok(@different == 0, $name) or diag(map { "$_\n" . difference(comparable($got->{$_} // ''), comparable($expected->{$_} // '')) } splice @different, 0, 12);
}

# Sums of floats may differ in their last digits, as rows are added in another order, and rows may come in another order.
# Names of tables in messages are quoted where quote_all_identifiers asks for it.
sub comparable { return join "\n", sort split /\n/, $_[0] =~ s/(\.\d{9})\d+/$1/gr =~ s/"(\w+)"/$1/gr; }

# Where two texts begin to differ.
sub difference
{
	my ($got, $expected) = @_;
	my $i = 0;

	$i++ while $i < length $got && substr($got, $i, 1) eq substr($expected . "\0", $i, 1);
	return '  got:      ' . substr($got, $i > 40 ? $i - 40 : 0, 160) . "\n  expected: " . substr($expected, $i > 40 ? $i - 40 : 0, 160) . "\n";
}

my $hostile = q{
	CREATE SCHEMA evil;
	CREATE FUNCTION evil.now() RETURNS timestamptz LANGUAGE sql AS $$SELECT '2000-01-01 00:00Z'::timestamptz$$;
	CREATE FUNCTION evil.format(text, VARIADIC text[]) RETURNS text LANGUAGE sql AS $$SELECT 'evil'$$;
	CREATE FUNCTION evil.round(numeric, int) RETURNS numeric LANGUAGE sql AS $$SELECT 0.0$$;
	CREATE FUNCTION evil.octet_length(text) RETURNS int LANGUAGE sql AS $$SELECT 0$$;
	CREATE TABLE evil.pg_class (oid oid, relname text)};
# what goes together, so that few databases are to be made
my @locales = map { my $locale = $_; map { "$_ = '$locale'" } qw(lc_numeric lc_monetary lc_time) }
  grep { defined } (grep { /^(de|fr|hi)_/ } split /\n/, $node->safe_psql('postgres', q{SELECT collname FROM pg_collation WHERE collprovider = 'c' ORDER BY 1}))[0];
my @settings = (
	[ 'standard_conforming_strings = off', 'quote_all_identifiers = on', 'IntervalStyle = postgres_verbose', "DateStyle = 'German'", "TimeZone = 'Asia/Kolkata'",
		'extra_float_digits = -15', 'bytea_output = escape', 'array_nulls = off', @locales ],
	[ 'standard_conforming_strings = off', 'escape_string_warning = off', 'backslash_quote = off', 'IntervalStyle = sql_standard', "DateStyle = 'SQL, DMY'", "TimeZone = 'America/New_York'",
		'extra_float_digits = 0', 'row_security = off', 'transform_null_equals = on', "default_transaction_isolation = 'serializable'", "search_path = ''", 'xmlbinary = hex' ],
	[ 'IntervalStyle = iso_8601', "DateStyle = 'Postgres, DMY'", "TimeZone = 'Australia/Lord_Howe'", 'extra_float_digits = 3', 'check_function_bodies = off',
		"default_transaction_isolation = 'repeatable read'", 'search_path = evil, pg_catalog', "client_encoding = 'LATIN1'", 'bytea_output = escape' ]);
# 19 has no such strings any more
my $old_strings = $node->safe_psql('postgres', 'SHOW server_version_num') < 190000;
for my $settings (map { [ grep { $old_strings || !/^(standard_conforming_strings|escape_string_warning) / } @$_ ] } @settings)
{
	same_results(join(', ', @$settings), results("TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'", "@$settings" =~ /evil/ ? $hostile : '', @$settings));
}
for my $encoding (qw(EUC_JP EUC_KR EUC_CN EUC_TW LATIN1 WIN1252 SQL_ASCII MULE_INTERNAL))
{
	SKIP: {
		skip("the server has no $encoding", 1) if $node->safe_psql('postgres', "SELECT pg_char_to_encoding('$encoding')") < 0;
		same_results("the encoding $encoding", results("TEMPLATE template0 ENCODING '$encoding' LOCALE 'C'", ''));
	}
}
$node->stop;

done_testing();
