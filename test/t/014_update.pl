# A database of version 0.1.0, restored from a dump: until it is updated no statement of its shop fails; ALTER EXTENSION
# leadscore UPDATE counts all rows, keeps what is a user's, and leaves the same catalogs as CREATE EXTENSION.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use Workload;

my $dump = slurp_file('test/update/shop-0.1.0.sql');
my $catalog = slurp_file('test/update/catalog.sql');

my $node = new_node('main');
$node->start;

# A database as version 0.1.0 left it.
sub restore
{
	my $database = shift;

	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, q{CREATE EXTENSION leadscore VERSION '0.1.0'});
	my ($status, $out, $error) = $node->psql($database, $dump, on_error_stop => 0);
	like($error, qr/\A\S+ ERROR:  schema "leadscore" already exists\n\S+ WARNING:  this database still has version 0\.1\.0 .*HINT:  As a superuser: ALTER EXTENSION leadscore UPDATE\.\Z/s, "$database: the dump is restored into version 0.1.0");
}

# What the extension has made, as sorted lines; without the tables that lead_timeline is split into.
sub catalog
{
	my $database = shift;

	return join "\n", sort grep { !/lead_timeline_\d|^rows.*[|]shop/ } split /\n/, $node->safe_psql($database, $catalog);
}

sub refused
{
	my ($database, $statement, $error, $name) = @_;
	my ($status, $out, $message) = $node->psql($database, $statement);

	isnt($status, 0, $name) and like($message, $error, '... in words');
}

my @same = (
	q{SELECT model, lead_id, score - leadscore.score(lead_id, model, '2026-07-01') FROM shop.score_of_old WHERE score <> leadscore.score(lead_id, model, '2026-07-01')},
	q{SELECT * FROM shop.timeline_of_old EXCEPT SELECT lead_id, timeline::text FROM leadscore.current_timeline},
	q{SELECT lead_id, timeline::text FROM leadscore.current_timeline EXCEPT SELECT * FROM shop.timeline_of_old});

# ---------------------------------------------------------------- nothing is written before the update

restore('quiet');
$node->safe_psql('quiet', q{
	CREATE ROLE dashboard; CREATE ROLE tracker; CREATE ROLE analyst;
	SELECT leadscore.grant_reader('dashboard'), leadscore.grant_writer('tracker'), leadscore.grant_redeemer('tracker');
	-- what users make
	COMMENT ON VIEW shop.best IS 'the best';
	GRANT USAGE ON SCHEMA shop TO analyst; GRANT SELECT ON shop.best, leadscore.segment_change TO analyst;
	ALTER VIEW shop.best_gold OWNER TO analyst;
	CREATE INDEX by_kind ON leadscore.event (kind);
	ALTER TABLE leadscore.event ADD CONSTRAINT known_kind CHECK (kind <> ''), ADD UNIQUE (lead_id, event_id);
	CREATE POLICY own_leads ON leadscore.lead USING (lead_id <> 'x');
	CREATE TABLE shop.campaign (model text REFERENCES leadscore.model);
	CREATE TABLE shop.kept (lead_id text, history leadscore.timeline);
	INSERT INTO shop.kept VALUES ('a', '{1: 2026-06-01T00Z 1}');
	CREATE PUBLICATION changes FOR TABLE leadscore.segment_change;
	CREATE FUNCTION shop.noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
	CREATE TRIGGER noted AFTER INSERT ON leadscore.segment_change FOR EACH ROW EXECUTE FUNCTION shop.noted();
	CREATE TABLE shop.by_hand (lead text, kind text, at timestamptz);
	CREATE TRIGGER by_hand AFTER INSERT ON shop.by_hand REFERENCING NEW TABLE AS leadscore_new FOR EACH STATEMENT
		EXECUTE FUNCTION leadscore.record('{"lead_id": "lead", "kind_column": "kind", "occurred_at": "at"}');
	CREATE TABLE shop.scored (lead_id text);
	CREATE INDEX scored_partition ON shop.scored (leadscore.timeline_partition(lead_id, 8))});
refused('quiet', 'ALTER EXTENSION leadscore UPDATE', qr/cannot drop function leadscore\.timeline_partition.*depend.*scored_partition/s, 'an index on a function of 0.1.0 is in the way of the update');
is($node->safe_psql('quiet', q{SELECT extversion FROM pg_extension WHERE extname = 'leadscore'}), '0.1.0', '... which changes nothing then');

$node->safe_psql('quiet', 'DROP INDEX shop.scored_partition; DROP TABLE leadscore.lead_timeline_0, leadscore.lead_timeline_1');
my ($status, $out, $told) = $node->psql('quiet', 'ALTER EXTENSION leadscore UPDATE');
is($status, 0, 'the update') or diag($told);
is($told =~ s/.*HINT:  //sr, q{SELECT leadscore.grant_reader('dashboard'); SELECT leadscore.grant_redeemer('tracker'); SELECT leadscore.grant_writer('tracker').},
	'... says which rights are to be granted again');
is($node->safe_psql('quiet', $_), '', '... leaves each score and timeline as it was') for @same;
is_true($node, 'updated', 'quiet');
is($node->safe_psql('quiet', q{SELECT object FROM leadscore.status}), "model\nchanged_lead", '... with nothing to be done but for what it says');
is($node->safe_psql('quiet', q{SELECT string_agg(lead_id, ' ' ORDER BY lead_id) FROM shop.best; SELECT DISTINCT "to" FROM shop.best_gold WHERE lead_id = 'c0' AND "from" IS NULL}),
	"by hand c0 c1 c2 c3 c4 c5 x\ngold", 'users\' views are there');
is($node->safe_psql('quiet', q{
	SELECT obj_description('shop.best'::regclass), has_table_privilege('analyst', 'shop.best', 'SELECT'), (SELECT relowner::regrole FROM pg_class WHERE oid = 'shop.best_gold'::regclass),
		to_regclass('leadscore.by_kind'), (SELECT count(*) FROM pg_constraint WHERE conname IN ('known_kind', 'event_lead_id_event_id_key')), (SELECT count(*) FROM pg_policies WHERE policyname = 'own_leads'), (SELECT count(*) FROM pg_constraint WHERE conname = 'campaign_model_fkey'),
		(SELECT history FROM shop.kept), (SELECT count(*) FROM pg_publication_tables WHERE pubname = 'changes'), (SELECT count(*) FROM pg_trigger WHERE tgname IN ('noted', 'by_hand')),
		has_table_privilege('tracker', 'leadscore.event', 'INSERT')}),
	'the best|t|analyst|leadscore.by_kind|2|1|1|{1: 2026-06-01T00Z 1}|1|2|t', '... with their comments, rights and owners, as are indexes, constraints, policies, references, columns, publications and triggers');
is($node->safe_psql('quiet', q{SELECT count(*) FROM pg_depend d JOIN pg_extension x ON x.oid = d.refobjid WHERE x.extname = 'leadscore'
	AND (pg_identify_object(d.classid, d.objid, 0)).schema = 'shop'}), '0', '... and no part of the extension');

$node->safe_psql('postgres', 'CREATE DATABASE fresh');
$node->safe_psql('fresh', 'CREATE EXTENSION leadscore');
$node->safe_psql('quiet', q{
	DROP SCHEMA shop CASCADE; DROP PUBLICATION changes; DROP INDEX leadscore.by_kind; ALTER TABLE leadscore.event DROP CONSTRAINT known_kind, DROP CONSTRAINT event_lead_id_event_id_key; DROP POLICY own_leads ON leadscore.lead;
	DROP OWNED BY dashboard, tracker, analyst});
my %lines;
$lines{$_}++ for split /\n/, catalog('fresh');
$lines{$_}-- for split /\n/, catalog('quiet');
cmp_ok(scalar(keys %lines), '>', 6000, 'catalogs are compared');
is(join("\n", map { ($lines{$_} > 0 ? 'created: ' : 'updated: ') . $_ } grep { $lines{$_} } sort keys %lines), '', '... and are the same as of CREATE EXTENSION');

# ---------------------------------------------------------------- the shop goes on before the update

restore('busy');
$node->safe_psql('busy', $_, on_error_die => 1) for (
	q{INSERT INTO shop.orders VALUES (100, 'c3', '2026-05-01', 50, 4), (101, 'new', '2026-05-01', 50, 4)},
	q{UPDATE shop.orders SET total = 11 WHERE id = 1}, q{DELETE FROM shop.orders WHERE id = 2},
	"COPY shop.orders FROM stdin;\n102\tc4\t2026-05-03\t5\t1\n\\.\n", 'TRUNCATE shop.visit_1',
	q{INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('y', 'purchase', '2026-05-05')},
	q{UPDATE shop.customer SET country = 'DE' WHERE id = 'c1'}, q{INSERT INTO shop.customer VALUES ('c4', 'DE')},
	q{CREATE TABLE shop.visit_3 PARTITION OF shop.visit FOR VALUES FROM ('2027-01-01') TO ('2027-02-01')},
	q{INSERT INTO shop.visit VALUES ('c4', '2027-01-05')}, 'CREATE TABLE shop.other (); DROP TABLE shop.other', 'CREATE TABLE shop.other_orders (LIKE shop.orders)');
pass('statements of the shop go on before the update');
is($node->safe_psql('busy', $_), '', 'each score and timeline of 0.1.0 is read before the update') for @same;
is($node->safe_psql('busy', q{
	SELECT count(*) FROM leadscore.lead_score WHERE score IS DISTINCT FROM leadscore.score(lead_id, model);
	SELECT count(*) FROM (SELECT lead_id FROM leadscore.lead_score WHERE model = 'orders') l WHERE abs(leadscore.score(lead_id, 'orders') - (SELECT sum(points) FROM leadscore.explain(lead_id, 'orders'))) > 1e-9;
	SELECT count(*) FROM leadscore.score_history('c1', 'orders', '2026-05-01', '2026-05-03') WHERE score = leadscore.score('c1', 'orders', at);
	SELECT leadscore.refresh_segments(false); SELECT leadscore.refresh_segments();
	SELECT sum(leads) = (SELECT count(*) FROM leadscore.lead_score) FROM leadscore.segment_summary;
	SELECT lead_id = (SELECT lead_id FROM leadscore.lead_score WHERE model = 'orders' ORDER BY score DESC LIMIT 1) FROM leadscore.top(1, 'orders')}),
	"0\n0\n3\n\n\nt\nt", '... as are views, explanations, histories and snapshots');
is($node->safe_psql('busy', q{
	SELECT leadscore.identify('late visitor', 'c3'), leadscore.fold();
	BEGIN; SELECT leadscore.identify('c4', 'c5'); SELECT leadscore.score('c4', 'orders') = leadscore.score('c5', 'orders'); ROLLBACK;
	BEGIN; SELECT (leadscore.redeem(code, lead_id, 'order 7', 10)).discount FROM leadscore.voucher; ROLLBACK}),
	"c3|0\nc5\nt\n1.000000", '... names are joined, and vouchers redeemed');
for my $statement (q{INSERT INTO shop.orders VALUES (103, 'c0', '2026-05-01', 5, 1); DELETE FROM shop.orders WHERE id = 103}, q{SELECT count(*) FROM leadscore.lead_score; SELECT leadscore.score('c1', 'orders')})
{
	my (undef, undef, $message) = $node->psql('busy', $statement);
	is(() = $message =~ /WARNING:  this database still has version 0\.1\.0 of leadscore.*?not counted.*?HINT:  As a superuser: ALTER EXTENSION leadscore UPDATE/gs, 1, 'a session is told once that counting stands still');
}
refused('busy', $_, qr/ERROR:  this database still has version 0\.1\.0 of leadscore.*HINT:  As a superuser: ALTER EXTENSION leadscore UPDATE/s, "$_ is refused")
  for ('CALL leadscore.rebuild()', q{SELECT leadscore.track('shop.other_orders', 'customer', kind => 'order', occurred_at => 'placed_at')}, 'SELECT * FROM leadscore.verify()');

# A transaction that has written one tracked table, and then writes another, is not waited for with locks held.
my $shop = $node->background_psql('busy', on_error_stop => 1);
$shop->query_safe('SET client_min_messages = error');		# (any message would be taken for a failure)
$shop->query_safe('BEGIN');
$shop->query_safe('UPDATE shop.orders SET total = total WHERE id = 3');
my $update = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('busy'), '-c', 'ALTER EXTENSION leadscore UPDATE' ], '<', \undef, '2>&1', '>', \my $complaint);
$node->poll_query_until('busy', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE 'ALTER EXTENSION%' AND wait_event IN ('relation', 'PgSleep')}) or die;
$shop->query_safe(q{UPDATE shop.customer SET country = country WHERE id = 'c0'});
$shop->query_safe('COMMIT');
$shop->quit;
ok(IPC::Run::finish($update), 'the update waits until nobody writes') or diag($complaint);
is_true($node, 'updated after writes', 'busy');
is($node->safe_psql('busy', q{SELECT lead_id, round(leadscore.score(lead_id, 'orders', '2026-05-10')::numeric, 3) FROM (VALUES ('c3'), ('new'), ('c4'), ('y')) l (lead_id)}),
	"c3|12.763\nnew|4.625\nc4|3.201\ny|0.000", '... and what was written counts');		# c4: 2 × 2^(−7/30) + 1.5
is($node->safe_psql('busy', q{SELECT string_agg(lead_id || ' ' || profile, ', ' ORDER BY lead_id) FROM leadscore.lead}),
	'by hand {"vip": true, "country": "DE"}, c0 {"country": "DE"}, c1 {"country": "DE"}, c2 {"country": "DE"}, c3 {"vip": true}, c4 {"country": "DE"}', '... as do profiles');
is($node->safe_psql('busy', q{SELECT leadscore.partitions(), (SELECT count(*) FROM ONLY leadscore.lead_timeline), (SELECT count(*) > 0 FROM leadscore.lead_timeline_1)}), '2|0|t', 'split timelines are split again');
is($node->safe_psql('busy', q{SELECT b.name FROM leadscore_internal.base_tables() b WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = b.name AND d.deptype = 'e')}),
	"leadscore_internal.timeline_base_0\nleadscore_internal.timeline_base_1", '... and so is the base of archived hours, into tables that are no members');
is($node->safe_psql('busy', q{SELECT source, count(*) FROM leadscore_internal.trigger_set WHERE complete AND NOT disabled GROUP BY source ORDER BY source::text}),
	"leadscore.derived_event|1\nleadscore.event|1\nshop.customer|1\nshop.orders|1\nshop.visit|1\nshop.visit_1|1\nshop.visit_2|1\nshop.visit_3|1", 'all tracked tables and partitions have triggers');

$node->safe_psql('busy', q{
	INSERT INTO shop.orders VALUES (200, 'c9', '2026-05-01', 50, 4); DELETE FROM shop.orders WHERE id = 100;
	INSERT INTO shop.visit VALUES ('c9', '2027-01-06'); UPDATE shop.customer SET country = 'FR' WHERE id = 'c4';
	INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('c9', 'purchase', '2026-05-05');
	SELECT leadscore.identify('c9', 'c4');
	SELECT leadscore.refresh_segments(); SELECT count(*) FROM leadscore.derive('2026-08-01'); CALL leadscore.compact('2026-03-03')});
is_true($node, 'written after the update', 'busy');
is($node->safe_psql('busy', q{SELECT profile FROM leadscore.lead WHERE lead_id = 'c4'}), '{"country": "FR"}', '... and profiles follow');
is($node->safe_psql('busy', q{SELECT offer, unlimited, budget, starts_at IS NULL FROM leadscore.offer ORDER BY 1; SELECT count(*) FROM leadscore_internal.offer_slot; SELECT code IS NOT NULL FROM leadscore.voucher}),
	"free|t||t\nten|f|5|t\n4\nt", 'offers have their budgets and vouchers');
$node->stop;

done_testing();
