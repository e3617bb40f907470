# derive() among writers of every kind, and among others of itself: in the end what is derived is what follows from the
# log, and a pass over everybody finds nothing to mend.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use PostgreSQL::Test::Utils;
use Test::More;
use Derived;
use Workload;

my $node = new_node('main');
$node->start;
setup_shop($node);
$node->safe_psql('shop', q{
	INSERT INTO leadscore.signal (signal, kind) VALUES ('derived visit', 'session'), ('derived time', 'dwell'), ('derived return', 'returned_visit')});
# (the cart's purchases are orders; visits of days lie at midnight)
my @rules = (
	q{('browsing', 'visit', 'session', NULL, NULL, '30 minutes', NULL)}, q{('dwell', 'dwell', 'dwell', '{visit}', NULL, '1 hour', NULL)},
	q{('left', 'cart_abandoned', 'left', '{click}', '{order}', '30 minutes', '5 hours')}, q{('returned', 'returned_visit', 'returned_visit', NULL, NULL, '1 hour', '2 days')});
sub add_rule { $node->safe_psql('shop', "INSERT INTO leadscore.derivation (derivation, behaviour, derived_kind, kinds, until_kinds, gap, delay) VALUES $_[0]") }

make_oracle($node, 'shop', q{SELECT lead_id, kind, occurred_at, properties FROM leadscore.event
	UNION ALL SELECT lead::text, 'order', placed, jsonb_build_object('items', items, 'colour', colour) FROM shop.orders
	UNION ALL SELECT lead::text, 'refund', refunded AT TIME ZONE 'UTC', NULL FROM shop.refund
	UNION ALL SELECT lead, kind, day::timestamp AT TIME ZONE 'UTC', properties FROM shop.visits
	UNION ALL SELECT lead, 'click', happened, NULL FROM shop.clicks
	UNION ALL SELECT lead, 'visit', happened, NULL FROM shop.small});

# A pass over everybody makes good what the passes before it have missed. So it is written down which of them were.
$node->safe_psql('shop', 'CREATE TABLE pass (level text, everybody boolean)');

sub derive_under_load
{
	my ($seconds, $meanwhile, %options) = @_;
	my $level = $options{level} // 'read committed';
	my $script = $node->basedir . '/derive.sql';
	my ($out, $err) = ('', '');

	unlink $script;
	append_to_file($script, "INSERT INTO pass SELECT '$level', count(*) > 0 FROM leadscore_internal.changed_lead WHERE lead_id IS NULL;\nSELECT * FROM leadscore.derive('2027-01-01');\n\\sleep 50 ms\n");
	# on a busy machine there are few passes in that time: again, then
	for (1 .. 10)
	{
		my $load = start_load($node, $seconds, %options);
		my $derive = IPC::Run::start([ 'pgbench', '-n', '-h', $node->host, '-p', $node->port, '-c', 2, '-T', $seconds + 1, '-f', $script, 'shop' ], '<', \undef, '>', \$out, '2>', \$err);
		$meanwhile->();
		finish_load($load);
		ok($derive->finish, "$level: two sessions derive all the while") or diag($err);
		last if $node->safe_psql('shop', 'SELECT count(*) FROM pass') > 10;
	}

	$node->safe_psql('shop', q{SELECT leadscore.derive('2027-01-01')});
	my $n = is_derived($node, 'shop', '2027-01-01', "$level: after the load");
	is(scalar keys %$n, 4, "$level: every rule has derived something") or diag(explain($n));
	is($node->safe_psql('shop', q{SELECT sum(added), sum(removed) FROM leadscore.derive('2027-01-01', true)}), '0|0', "$level: a pass over everybody finds nothing more");
	return split /\|/, $node->safe_psql('shop', 'SELECT count(*) FILTER (WHERE NOT everybody), count(*) FILTER (WHERE everybody) FROM pass; TRUNCATE pass');
}

# rules come, and tables are truncated, while they write
my ($some, $all) = derive_under_load(8, sub { while (my $rule = shift @rules) { add_rule($rule); sleep 1; } });
cmp_ok($all, '>', 0, "passes over everybody: $all of " . ($some + $all));

# nothing that has everybody looked at: what a pass misses stays missed
for my $level ('read committed', 'repeatable read')
{
	($some, $all) = derive_under_load(5, sub { }, level => $level, without => 'TRUNCATE');
	cmp_ok($some, '>', 10, "$level: passes over leads that have changed");
	is($all, 0, "$level: none over everybody");
}

# A dump brings what was derived, and how far derive() had come.
my $state = q{SELECT (SELECT jsonb_agg(d ORDER BY derived_event_id) FROM leadscore.derived_event d), (SELECT jsonb_agg(r ORDER BY derivation) FROM leadscore.derivation r),
	(SELECT jsonb_agg(s) FROM leadscore_internal.derivation_state s), (SELECT jsonb_agg(f ORDER BY lead_id) FROM leadscore_internal.derivation_due f), (SELECT jsonb_agg(c) FROM leadscore_internal.changed_lead c),
	(SELECT jsonb_agg(c) FROM leadscore.conversion c), (SELECT jsonb_agg(g ORDER BY position) FROM leadscore.rfm_group g), (SELECT jsonb_agg(s) FROM leadscore.spend s),
	(SELECT jsonb_agg(h) FROM leadscore.channel h), (SELECT jsonb_agg(c ORDER BY change_id) FROM leadscore_internal.crm_state c)};
$node->safe_psql('shop', q{INSERT INTO leadscore.conversion SELECT model, 'load order' FROM leadscore.model; INSERT INTO leadscore.rfm_group SELECT * FROM leadscore.rfm_groups() WHERE position < 4;
	INSERT INTO leadscore.spend VALUES ('search', '2026-01-01', 0.000001); INSERT INTO leadscore.channel VALUES ('search', 'load click'); SELECT leadscore.refresh_crm()});
# (changes of names that wait would be made by the first fold())
$node->safe_psql('shop', q{SELECT leadscore.fold(); SELECT leadscore.derive('2027-01-01'); INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('late', 'visit', '2026-01-01')});
command_ok([ 'pg_dump', '-h', $node->host, '-p', $node->port, '-Fc', '-f', $node->basedir . '/dump', 'shop' ], 'dump');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
command_ok([ 'pg_restore', '-h', $node->host, '-p', $node->port, '--exit-on-error', '-d', 'restored', $node->basedir . '/dump' ], 'restore');
ok($node->safe_psql('restored', $state) eq $node->safe_psql('shop', $state), 'the restored database has it all');
is_true($node, 'restored', 'restored');
is($node->safe_psql('restored', q{CREATE TEMP TABLE before AS SELECT max(change_id) AS last FROM leadscore_internal.crm_state; INSERT INTO leadscore.lead VALUES ('new'); SELECT count(leadscore.refresh_crm());
	SELECT change_id > last FROM leadscore_internal.crm_state, before WHERE lead_id = 'new' LIMIT 1}), "1\nt", 'changes go on being numbered');
is($node->safe_psql('restored', q{SELECT sum(added), sum(removed) FROM leadscore.derive('2027-01-01')}), '1|0', 'it goes on where it was');
is($node->safe_psql('restored', q{SELECT sum(added), sum(removed) FROM leadscore.derive('2027-01-01', true)}), '0|0', 'and finds nothing more');

done_testing();
