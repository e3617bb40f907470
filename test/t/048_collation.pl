# A changed collation (an upgrade of ICU or libc) leaves indexes in an order in which nothing is found: leads get second rows. status says so when
# the version has changed, and a rebuild mends it.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use Test::More;
use Workload;

my $node = new_node('main');
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE shop');
$node->safe_psql('shop', q{
	SET client_min_messages = warning;
	CREATE EXTENSION leadscore;
	CREATE SCHEMA shop;
	INSERT INTO leadscore.signal (signal, kind) VALUES ('visit', 'visit');
	SELECT leadscore.publish('{"model": "m", "signals": [{"signal": "purchase", "kind": "purchase"}], "weights": [{"signal": "purchase", "measure": "value", "points": 1}],
		"segments": [{"segment": "high", "position": 1, "min_score": 5}, {"segment": "low", "position": 2}]}');
	CALL leadscore.rebuild()});

# Run statements, and give back what the session was told.
sub told
{
	my ($name, $command) = @_;
	my ($status, undef, $error) = $node->psql('shop', $command, on_error_stop => 1);

	is($status, 0, "$name: the statements succeed") or diag($error);
	return $error =~ s/^psql:\S+: //gmr;
}
sub is_right { return is($node->safe_psql('shop', $Workload::differences), '', "$_[0]: timelines equal events"); }
# What status says of all objects but signals, as object|name|state|action.
sub all_status { return $node->safe_psql('shop', q{SELECT object, name, state, action FROM leadscore.status WHERE object NOT IN ('signal', 'lead_segment') ORDER BY 1, 2, 3}); }

# What a changed collation leaves: two rows of a lead. (The index is kept from seeing the second one.)
$node->safe_psql('shop', q{INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('twice', 'visit', '2026-01-01');
	UPDATE pg_index SET indisready = false, indisvalid = false WHERE indexrelid = 'leadscore.lead_timeline_pkey'::regclass});
$node->safe_psql('shop', q{INSERT INTO leadscore.lead_timeline SELECT lead_id, timeline FROM leadscore.lead_timeline WHERE lead_id = 'twice'});
$node->safe_psql('shop', q{UPDATE pg_index SET indisready = true, indisvalid = true WHERE indexrelid = 'leadscore.lead_timeline_pkey'::regclass});
is($node->safe_psql('shop', q{SET enable_indexscan = off; SET enable_bitmapscan = off; SELECT count(*) FROM leadscore.lead_timeline WHERE lead_id = 'twice'}), '2', 'a lead has two rows');
like(told('rebuild() of it', 'CALL leadscore.rebuild()'), qr/NOTICE:  the indexes of leadscore's tables are rebuilt for the present version of the collation.*\nDETAIL:  Leads with two rows in leadscore.lead_timeline now have one\./, '... which is said');
is($node->safe_psql('shop', q{SET enable_indexscan = off; SET enable_bitmapscan = off; SELECT count(*) FROM leadscore.lead_timeline WHERE lead_id = 'twice'}), '1', '... and mended');
is_right('two rows');

# The same as it comes about: indexes in an order that is no longer that of the collation, here such as are read backwards, find nothing. So writers make second rows, of
# timelines, profiles, names and segments. status says so when the version has changed, whatever the database's own entry says.
for my $tables (1, 3)
{
	my $indexes = q{SELECT i.indexrelid FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid
		WHERE c.relnamespace = 'leadscore'::regnamespace AND (c.relname IN ('lead', 'lead_alias', 'lead_state', 'pending_delta', 'event') OR c.relname LIKE 'lead_timeline%') AND i.indcollation[0] <> 0};
	my $twice = q{SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off; SELECT
		(SELECT count(*) FROM (SELECT FROM leadscore.lead_timeline GROUP BY lead_id HAVING count(*) > 1) t) || ' ' || (SELECT count(*) FROM (SELECT FROM leadscore.lead GROUP BY lead_id HAVING count(*) > 1) t)
		|| ' ' || (SELECT count(*) FROM (SELECT FROM leadscore.lead_alias GROUP BY alias HAVING count(*) > 1) t) || ' ' || (SELECT count(*) FROM (SELECT FROM leadscore.lead_state GROUP BY lead_id, model HAVING count(*) > 1) t)};

	$node->safe_psql('shop', q{SET client_min_messages = error; DROP TABLE IF EXISTS shop.customers; DELETE FROM leadscore.event; DELETE FROM leadscore.lead; DELETE FROM leadscore.known_source WHERE dropped; SELECT leadscore.unidentify(alias) FROM leadscore.lead_alias; CALL leadscore.rebuild()});
	$node->safe_psql('shop', qq{SELECT leadscore.partition_timelines($tables)});
	$node->safe_psql('shop', q{CALL leadscore.watch('m', false)});
	$node->safe_psql('shop', q{CREATE TABLE shop.customers (id text PRIMARY KEY, country text); SELECT leadscore.track_profile('shop.customers', 'id', '{country}');
		INSERT INTO leadscore.event (lead_id, kind, value) SELECT 'l' || i, 'purchase', 3 FROM generate_series(1, 40) i; INSERT INTO leadscore.lead SELECT 'l' || i, '{"city": "Ulm"}' FROM generate_series(1, 40) i;
		INSERT INTO shop.customers SELECT 'l' || i, 'DE' FROM generate_series(1, 40) i; SELECT leadscore.identify('x' || i, 'l' || i) FROM generate_series(1, 40) i; UPDATE leadscore_internal.known_collation SET version = '0.1'});
	like(all_status(), qr/^own_table\|lead_timeline\|was sorted by another version of the database's collation \(0\.1, now [^)]*\): there may be two rows of a lead\|CALL leadscore.rebuild\(\) -- mends our tables; REINDEX DATABASE/, '... of the collation');
	$node->safe_psql('shop', "UPDATE pg_index SET indoption = CASE WHEN indoption[0] = 0 THEN CASE indnkeyatts WHEN 1 THEN '3' ELSE '3 3' END ELSE CASE indnkeyatts WHEN 1 THEN '0' ELSE '0 0' END END::int2vector WHERE indexrelid IN ($indexes)");
	$node->safe_psql('shop', q{SET client_min_messages = error; INSERT INTO leadscore.event (lead_id, kind, value) SELECT 'l' || i, 'purchase', 3 FROM generate_series(1, 40) i; UPDATE shop.customers SET country = 'AT';
		INSERT INTO leadscore.lead_alias SELECT 'x' || i, 'l' || i FROM generate_series(1, 40) i ON CONFLICT DO NOTHING});
	my @twice = split / /, $node->safe_psql('shop', $twice);
	ok(!(grep { $_ < 5 } @twice), "leads have two rows of timelines, profiles, names and segments, in $tables tables: @twice");
	like(told('rebuild() of it', 'CALL leadscore.rebuild()'), qr/NOTICE:  the indexes of leadscore's tables are rebuilt for the present version of the collation.*\nDETAIL:  Leads with two rows in leadscore.lead, leadscore.lead_alias, leadscore.lead_state, leadscore.lead_timeline/, '... which is said');
	is($node->safe_psql('shop', $twice), '0 0 0 0', '... and mended');
	is_right('... and timelines');
	is($node->safe_psql('shop', q{SELECT DISTINCT profile FROM leadscore.lead}), '{"city": "Ulm", "country": "AT"}', '... profiles have what both rows said, of one attribute the younger');
	is($node->safe_psql('shop', q{SELECT count(*) || ' ' || count(DISTINCT lead_id) FROM leadscore.lead_alias WHERE lead_id = 'l' || substr(alias, 2)}), '40 40', '... and names are as they were');
	told('... writers go on', q{INSERT INTO leadscore.event (lead_id, kind, value) SELECT 'x' || i, 'purchase', 3 FROM generate_series(1, 40) i; SELECT leadscore.fold()});
	is_right('... with one row');
	is(all_status(), '', '... and status is empty');
	is(told('a rebuild of what is in order', 'CALL leadscore.rebuild()'), '', '... of which nothing is said');
	$node->safe_psql('shop', q{UPDATE leadscore_internal.known_collation SET version = '0.1'});
	like(told('another version', 'CALL leadscore.rebuild()'), qr/NOTICE:  the indexes of leadscore's tables are rebuilt for the present version of the collation.*\nDETAIL:  No lead had two rows\./, 'another version, and no second rows: the indexes are made anew');
	is(all_status(), '', '... and status is empty');
	$node->safe_psql('shop', q{SELECT leadscore.partition_timelines(1); SELECT leadscore.unwatch('m')});
}

$node->stop;
done_testing();
