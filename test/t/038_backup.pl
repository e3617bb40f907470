# The owner of a database who is no superuser dumps it: with grant_backup(), and with nothing more than that.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use PostgreSQL::Test::Utils;
use Test::More;
use Workload;

my $node = new_node('main');
my $dump = $node->basedir . '/dump';
my @connection = ('-h', $node->host, '-p', $node->port);
my @pg_dump = ('pg_dump', @connection, '-U', 'shop_owner', '-Fc', '-f', $dump, 'shop');

$node->start;
$node->safe_psql('postgres', 'CREATE ROLE shop_owner LOGIN; CREATE DATABASE shop OWNER shop_owner');
$node->safe_psql('shop', q{
	CREATE EXTENSION leadscore;
	SELECT leadscore.publish(leadscore.template('ecommerce'));
	SET ROLE shop_owner;
	CREATE SCHEMA shop;
	CREATE TABLE shop.orders (lead text, placed timestamptz, total numeric);
	INSERT INTO shop.orders SELECT i % 20, timestamptz '2026-01-01' + i * interval '1 hour', i FROM generate_series(1, 100) i;
	RESET ROLE;
	SELECT leadscore.track('shop.orders', lead_id => 'lead', kind => 'purchase', occurred_at => 'placed', value => 'total');
	INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('visitor', 'visit', '2026-01-01'), ('anna', 'visit', '2026-01-02');
	INSERT INTO leadscore.lead VALUES ('anna', '{"country": "DE"}');
	INSERT INTO leadscore.derivation (behaviour) VALUES ('visit');
	SELECT count(*) FROM leadscore.derive();
	SELECT leadscore.identify('visitor', 'anna');
	SELECT leadscore.refresh_segments();
});

sub may_dump { my ($name) = @_; return command_ok(\@pg_dump, $name); }

command_fails_like(\@pg_dump, qr/permission denied for (sequence|table)|lack SELECT privilege on the sequence/, 'without a grant, the owner of the database cannot dump it');
$node->safe_psql('shop', q{SELECT leadscore.grant_backup('shop_owner')});
may_dump('with grant_backup() he can');

# nothing but reading, and only what a dump has
is($node->safe_psql('shop', q{
	SELECT c.oid::regclass, a.privilege_type FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a
	WHERE a.grantee = 'shop_owner'::regrole AND c.relnamespace IN ('leadscore'::regnamespace, 'leadscore_internal'::regnamespace)
	AND (a.privilege_type <> 'SELECT' OR NOT c.oid = ANY (SELECT unnest(extconfig) FROM pg_extension WHERE extname = 'leadscore'))}), '', 'he may read what is dumped, and no more');
is($node->safe_psql('shop', q{
	SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace IN ('leadscore'::regnamespace, 'leadscore_internal'::regnamespace)
	AND has_function_privilege('shop_owner', p.oid, 'EXECUTE') AND NOT has_function_privilege('pg_monitor', p.oid, 'EXECUTE')}), '', '... nor call what others may not');
my (undef, undef, $error) = $node->psql('shop', q{SET ROLE shop_owner; SELECT leadscore.grant_backup('shop_owner')});
like($error, qr/permission denied for function grant_backup/, '... nor grant it');
(undef, undef, $error) = $node->psql('shop', 'SELECT leadscore.grant_backup(NULL)');
like($error, qr/role is NULL/, 'there must be a role');

# a split store, before and after the grant
my $expected = 'SELECT lead_id, timeline FROM leadscore.lead_timeline ORDER BY 1';
$node->safe_psql('shop', 'SELECT leadscore.partition_timelines(4)');
may_dump('a store that is split after the grant');
$node->safe_psql('shop', 'REVOKE ALL ON ALL TABLES IN SCHEMA leadscore, leadscore_internal FROM shop_owner; REVOKE ALL ON ALL SEQUENCES IN SCHEMA leadscore, leadscore_internal FROM shop_owner');
command_fails(\@pg_dump, 'revoked, he cannot');
$node->safe_psql('shop', q{SELECT leadscore.grant_backup('shop_owner')});
may_dump('a store that is split before the grant');

# what he has dumped is the whole
my $timelines = $node->safe_psql('shop', $expected);
$node->safe_psql('postgres', 'CREATE DATABASE restored');
command_ok([ 'pg_restore', @connection, '--exit-on-error', '-d', 'restored', $dump ], 'restored');
is($node->safe_psql('restored', $expected), $timelines, 'timelines are the same');
is_true($node, 'restored', 'restored');
is($node->safe_psql('restored', q{SELECT leadscore.score('visitor', at => '2026-02-01') > 0, leadscore.scorecard() = leadscore_internal.make_document('ecommerce')}), 't|t', 'it scores');
is($node->safe_psql('restored', q{SELECT state, action FROM leadscore.status WHERE object = 'lead_segment'}),
	'is empty, as after a restore|SELECT leadscore.refresh_segments()', 'status says that the snapshot is to be refreshed');
$node->safe_psql('restored', $node->safe_psql('restored', q{SELECT action FROM leadscore.status WHERE object = 'lead_segment'}));
is($node->safe_psql('restored', q{SELECT count(*) FROM leadscore.status WHERE object = 'lead_segment'}), '0', '... and is silent when it is');
is($node->safe_psql('restored', 'SELECT count(*) > 0 FROM leadscore.lead_segment'), 't', '... and filled');

# a snapshot that cannot be read stops nobody who does not ask for it
$node->safe_psql('restored', 'REFRESH MATERIALIZED VIEW leadscore.lead_segment WITH NO DATA');
is($node->safe_psql('restored', q{SELECT state, action FROM leadscore.status WHERE object = 'lead_segment'}),
	'cannot be read before it is refreshed|SELECT leadscore.refresh_segments()', 'WITH NO DATA: status says so');
is($node->safe_psql('restored', q{SELECT source, remaining FROM leadscore.forget('anna') WHERE source::text = 'leadscore.lead_segment'}), 'leadscore.lead_segment|0', '... a lead is forgotten');
$node->safe_psql('restored', 'SELECT leadscore.refresh_segments(concurrently => true)');
is($node->safe_psql('restored', q{SELECT count(*) > 0 FROM leadscore.lead_segment}), 't', '... and it is refreshed, also concurrently');

# who never asked for a snapshot is not told to refresh it
$node->safe_psql('postgres', 'CREATE DATABASE live');
$node->safe_psql('live', q{
	CREATE EXTENSION leadscore;
	SELECT leadscore.publish(leadscore.template('ecommerce'));
	INSERT INTO leadscore.event (lead_id, kind) VALUES ('anna', 'visit')});
is($node->safe_psql('live', 'SELECT * FROM leadscore.status'), '', 'without a first refresh, status has nothing to say');
$node->stop;

done_testing();
