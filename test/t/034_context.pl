# An error in what we do inside a shop's statement shows what was going on in a few short lines, not our queries.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use PostgreSQL::Test::Utils;
use Test::More;
use Workload;

# A call of ours from another shows two lines; a statement is a line or two.
my $most_lines = 9;
my $most_bytes = 1200;
my $longest_statement = 500;

my $node = new_node('main');
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE shop');
$node->safe_psql('shop', q{
	CREATE EXTENSION leadscore;
	SELECT leadscore.publish('{"model": "m", "signals": [{"signal": "order", "kind": "order"}, {"signal": "german", "subject": "profile", "match": {"country": "DE"}}],
		"weights": [{"signal": "order", "points": 1}, {"signal": "german", "points": 5}],
		"segments": [{"segment": "buyer", "position": 1, "min_score": 1}, {"segment": "other", "position": 2}]}');
	CALL leadscore.watch('m');
	INSERT INTO leadscore.offer (offer, model, segment, discount, valid_for, budget, issue_on) VALUES ('spring', 'm', 'buyer', 10, '1 day', 100, '{event,load}');
	CREATE TABLE customer (id text PRIMARY KEY, country text);
	SELECT leadscore.track_profile('customer', 'id', '{country}');
	CREATE TABLE visit (id int, lead text, at timestamptz DEFAULT now()) PARTITION BY RANGE (id);
	SELECT leadscore.track('visit', lead_id => 'lead', kind => 'order', occurred_at => 'at');
	CREATE TABLE unlogged_child (id int, lead text, at timestamptz DEFAULT now());
	INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('anna', 'order', '2020-01-01'), ('bert', 'order', '2020-01-01');
	CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
	CREATE FUNCTION refuse_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$});

# The CONTEXT of a statement's error is short, and tells that it was us.
sub short
{
	my ($name, $command, $named) = @_;
	my ($status, undef, $error) = $node->psql('shop', "\\set VERBOSITY verbose\n$command", on_error_stop => 1);
	my ($context) = ($error // '') =~ /ERROR:.*?^CONTEXT:\s+(.*?)(?:^(?:SCHEMA NAME|TABLE NAME|CONSTRAINT NAME|LOCATION|STATEMENT):|\z)/ms;
	my @statements = ($context // '') =~ /SQL statement "(.*?)"\n(?=PL|SQL|\z)/gs;

	isnt($status, 0, "$name: an error");
	like($context // '', $named, "$name: the context tells where") or diag($error);
	cmp_ok(($context // '') =~ tr/\n//, '<=', $most_lines, "$name: few lines") or diag($context);
	cmp_ok(length($context // ''), '<=', $most_bytes, "$name: few bytes") or diag($context);
	is_deeply([ grep { length > $longest_statement } @statements ], [], "$name: no long statement");
	return;
}

# Run something with a constraint or trigger of the shop's in our way.
sub with
{
	my ($table, $name, $command, $named) = @_;

	$node->safe_psql('shop', "ALTER TABLE leadscore.$table ADD CONSTRAINT in_the_way CHECK (false) NOT VALID");
	short($name, $command, $named);
	return $node->safe_psql('shop', "ALTER TABLE leadscore.$table DROP CONSTRAINT in_the_way");
}
my $event = q{INSERT INTO leadscore.event (lead_id, kind) VALUES ('new', 'order')};

# What fails at commit is a warning of a few lines: the order stands.
sub stands
{
	my ($name, $command, $named) = @_;
	my ($status, undef, $error) = $node->psql('shop', "\\set VERBOSITY verbose\n$command", on_error_stop => 1);

	is($status, 0, "$name: the order stands");
	like($error // '', qr/WARNING: .*$named/, "$name: a warning tells what was in the way");
	unlike($error // '', qr/CONTEXT|ERROR/, "$name: and none of our queries");
	cmp_ok(($error // '') =~ tr/\n//, '<=', $most_lines, "$name: few lines") or diag($error);
	return;
}
for ([ 'segment_change', 'a change of a segment' ], [ 'lead_state', 'a state' ], [ 'voucher', 'a voucher' ])
{
	my ($table, $name) = @$_;
	$node->safe_psql('shop', "ALTER TABLE leadscore.$table ADD CONSTRAINT in_the_way CHECK (false) NOT VALID");
	stands($name, $event, qr/segment changes could not be logged: new row for relation "$table" violates check constraint "in_the_way"/);
	$node->safe_psql('shop', "ALTER TABLE leadscore.$table DROP CONSTRAINT in_the_way");
}
$node->safe_psql('shop', 'CREATE TRIGGER in_the_way BEFORE DELETE ON leadscore_internal.offer_slot FOR EACH ROW EXECUTE FUNCTION refuse()');
stands('a slot of a budget', $event, qr/segment changes could not be logged: no/);
$node->safe_psql('shop', 'DROP TRIGGER in_the_way ON leadscore_internal.offer_slot');

$node->safe_psql('shop', q{UPDATE leadscore.voucher SET expires_at = '2020-01-02' WHERE lead_id = 'anna'});
with('voucher', 'a voucher that expires', 'SELECT leadscore.expire_vouchers()', qr/expire_vouchers/);
$node->safe_psql('shop', q{UPDATE leadscore.voucher SET expires_at = 'infinity'});

with('lead', 'a profile', q{INSERT INTO customer VALUES ('anna', 'DE')}, qr/\A\z/);
$node->safe_psql('shop', q{SELECT leadscore.fold(); CREATE TRIGGER in_the_way BEFORE INSERT ON leadscore.lead_timeline FOR EACH ROW EXECUTE FUNCTION refuse();
	INSERT INTO leadscore.event (lead_id, kind) VALUES ('another', 'order')});
short('a timeline that a statement writes', 'SELECT leadscore.fold()', qr/leadscore_internal\.add_by_statement/);
$node->safe_psql('shop', 'DROP TRIGGER in_the_way ON leadscore.lead_timeline');

with('lead_alias', 'an alias', q{SELECT leadscore.identify('cookie', 'anna')}, qr/leadscore\.identify/);
my $other = $node->background_psql('shop');
$other->query_safe(q{BEGIN; SELECT leadscore.identify('anna', 'somebody')});
short('a name that somebody has', q{SET lock_timeout = '100ms'; SELECT leadscore.identify('cookie', 'anna')}, qr/leadscore\.identify/);
$other->query_safe('ROLLBACK');
$other->quit;

short('a partition that cannot be tracked', 'CREATE UNLOGGED TABLE visit1 PARTITION OF visit FOR VALUES FROM (0) TO (10)', qr/leadscore_internal\.follow_tables/);
$node->safe_psql('shop', q{CREATE EVENT TRIGGER in_the_way ON ddl_command_start WHEN TAG IN ('CREATE TRIGGER') EXECUTE FUNCTION refuse_ddl()});
short('triggers that cannot be made', 'CREATE TABLE visit1 PARTITION OF visit FOR VALUES FROM (0) TO (10)', qr/leadscore_internal\.follow_tables/);
$node->safe_psql('shop', 'DROP EVENT TRIGGER in_the_way; CREATE TABLE visit1 PARTITION OF visit FOR VALUES FROM (0) TO (10)');
$node->safe_psql('shop', q{CREATE EVENT TRIGGER in_the_way ON sql_drop EXECUTE FUNCTION refuse_ddl()});
short('triggers that cannot be dropped', 'DROP TABLE visit1', qr/leadscore_internal\.follow_drop/);
$node->safe_psql('shop', 'DROP EVENT TRIGGER in_the_way');

# what was in the way has gone, and all works
$node->safe_psql('shop', $event);
is($node->safe_psql('shop', q{SELECT string_agg(format('%s %s %s', from_segment, to_segment, cause), ';') FROM leadscore.segment_change WHERE lead_id = 'new'}), ' buyer event', 'the change is logged');
is($node->safe_psql('shop', q{SELECT count(code), (SELECT count(*) FROM leadscore_internal.offer_slot) FROM leadscore.voucher WHERE lead_id = 'new'}), '1|97', 'and the voucher issued, from the budget');

done_testing();
