# Vouchers under concurrency: sixteen redeem one code and one wins; a budget is never overspent, nor lost; nobody who
# writes waits for a budget.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use Workload;

my $node = new_node('main');
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE shop');
$node->safe_psql('shop', q{
	CREATE EXTENSION leadscore;
	SELECT leadscore.publish('{"model": "m", "signals": [{"signal": "order", "kind": "order"}], "weights": [{"signal": "order", "points": 1}],
		"segments": [{"segment": "buyer", "position": 1, "min_score": 1}]}');
	CREATE TABLE attempt (n int, outcome text);
	CREATE FUNCTION attempt(code text, lead_id text, n int) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM leadscore.redeem(code, lead_id, 'order ' || n, 100);
		INSERT INTO attempt VALUES (n, 'won');
	EXCEPTION WHEN OTHERS THEN
		INSERT INTO attempt VALUES (n, SQLSTATE);
	END
	$$});
$node->safe_psql('shop', 'CALL leadscore.watch()');

# run a script by many clients at once
my $scripts = 0;
sub clients
{
	my ($clients, $transactions, $script, $level) = @_;
	my $file = $node->basedir . '/offer_' . $scripts++ . '.sql';
	my ($out, $err) = ('', '');

	append_to_file($file, "$script\n");
	local $ENV{PGOPTIONS} = '-c default_transaction_isolation=' . (($level // 'read committed') =~ s/ /\\ /r) . ' -c client_min_messages=warning';
	my $ok = IPC::Run::run([ 'pgbench', '-n', '-h', $node->host, '-p', $node->port, '-c', $clients, '-j', 2, '-t', $transactions, '--max-tries=1000', '-f', $file, 'shop' ],
		'<', \undef, '>', \$out, '2>', \$err);
	ok($ok && $out =~ /number of failed transactions: 0 /, "$clients clients: none failed") or diag($out, $err);
	return;
}

# ---------- one code ----------

$node->safe_psql('shop', q{INSERT INTO leadscore.offer (offer, model, segment, discount, valid_for, unlimited) VALUES ('one', 'm', 'buyer', 10, '1 day', true);
	INSERT INTO leadscore.event (lead_id, kind) SELECT 'lead ' || i, 'order' FROM generate_series(1, 20) i});
is($node->safe_psql('shop', q{SELECT count(*), count(DISTINCT code) FROM leadscore.voucher WHERE offer = 'one'}), '20|20', 'each lead gets a code');
for my $i (1, 2)
{
	my $code = $node->safe_psql('shop', "SELECT code FROM leadscore.voucher WHERE lead_id = 'lead $i'");
	my @sessions = map { $node->background_psql('shop') } 1 .. ($i == 1 ? 16 : 0);

	if (@sessions)
	{
		# all wait for the same instant
		$node->safe_psql('shop', 'CREATE TABLE gate ()');
		my $gate = $node->background_psql('shop');
		$gate->query_safe('BEGIN; LOCK TABLE gate');
		my $n = 0;
		$_->query_until(qr/ready/, sprintf("\\echo ready\nBEGIN; LOCK TABLE gate IN ACCESS SHARE MODE; SELECT attempt('%s', 'lead 1', %d); COMMIT;\n", $code, ++$n)) for @sessions;
		$node->poll_query_until('shop', q{SELECT count(*) = 16 FROM pg_locks WHERE relation = 'gate'::regclass AND NOT granted});
		$gate->query_safe('COMMIT');
		$_->quit for @sessions, $gate;
	}
	else
	{
		clients(16, 1, "SELECT attempt('$code', 'lead $i', 100 + :client_id);");
	}
}
is($node->safe_psql('shop', q{SELECT outcome, count(*) FROM attempt WHERE n < 100 GROUP BY 1 ORDER BY 1}), "23505|15\nwon|1", 'sixteen sessions redeem one code: one wins');
is($node->safe_psql('shop', q{SELECT outcome, count(*) FROM attempt WHERE n >= 100 GROUP BY 1 ORDER BY 1}), "23505|15\nwon|1", '... and again');
is($node->safe_psql('shop', q{SELECT count(*), sum(discount) FROM leadscore.voucher WHERE redeemed_at IS NOT NULL}), '2|20.00', 'the order of each is settled');

# ---------- a budget ----------

my $account = q{SELECT o.budget - (SELECT count(*) FROM leadscore.voucher v WHERE v.offer = o.offer AND v.code IS NOT NULL AND NOT v.expired)
	- (SELECT coalesce(sum(sign(s.slot)), 0) FROM leadscore_internal.offer_slot s WHERE s.offer = o.offer) FROM leadscore.offer o WHERE o.offer = '%s'};
for my $level ('read committed', 'repeatable read', 'serializable')
{
	(my $offer = $level) =~ s/ /_/;
	$node->safe_psql('shop', qq{UPDATE leadscore.offer SET ends_at = now() WHERE ends_at IS NULL;
		INSERT INTO leadscore.offer (offer, model, segment, kind, discount, valid_for, budget, holdout_share) VALUES ('$offer', 'm', 'buyer', 'amount', 5, '1 day', 100, 0.2)});
	# some statements bring several leads, some are rolled back
	clients(16, 12, qq{\\set a random(1, 1000000)
		\\set fate random(1, 5)
		BEGIN;
		INSERT INTO leadscore.event (lead_id, kind) SELECT '$offer ' || :a + i, 'order' FROM generate_series(1, 3) i;
		\\if :fate = 1
		ROLLBACK;
		\\else
		COMMIT;
		\\endif}, $level);
	# (writers at SERIALIZABLE leave their leads to the next look)
	$node->safe_psql('shop', 'CALL leadscore.see_changes()') if $level eq 'serializable';
	is($node->safe_psql('shop', sprintf $account, $offer), '0', "$level: what is issued and what is left are the budget");
	is($node->safe_psql('shop', qq{SELECT count(*) FILTER (WHERE code IS NOT NULL) FROM leadscore.voucher WHERE offer = '$offer'}), '100', "$level: all of it is issued, and no more");
	is($node->safe_psql('shop', qq{SELECT count(*) FROM leadscore.voucher WHERE offer = '$offer' AND leadscore_internal.is_held_out(offer, lead_id, 0.2) <> (code IS NULL)}), '0', "$level: who is held out is decided by the hash");

	# what expires comes back while others take it
	$node->safe_psql('shop', qq{UPDATE leadscore.voucher SET expires_at = now() WHERE offer = '$offer' AND voucher_id % 3 = 0});
	clients(8, 8, qq{\\set a random(1, 1000000)
		SELECT leadscore.expire_vouchers();
		INSERT INTO leadscore.event (lead_id, kind) VALUES ('$offer again ' || :a, 'order');}, $level);
	$node->safe_psql('shop', 'SELECT leadscore.expire_vouchers()');
	is($node->safe_psql('shop', sprintf $account, $offer), '0', "$level: vouchers that expire give back what they took");
}

# ---------- a budget that changes meanwhile ----------

# One client sets it up, down and to no limit; others issue, expire, and are rolled back.
{
	$node->safe_psql('shop', q{UPDATE leadscore.offer SET ends_at = now() WHERE ends_at IS NULL;
		INSERT INTO leadscore.offer (offer, model, segment, discount, valid_for, budget) VALUES ('moving', 'm', 'buyer', 5, '1 day', 40)});
	clients(8, 60, q{\set a random(1, 100000000)
		\set budget random(0, 60)
		\if :client_id = 0
		UPDATE leadscore.offer SET budget = nullif(:budget, 0), unlimited = :budget = 0 WHERE offer = 'moving';
		\elif :client_id = 1
		UPDATE leadscore.voucher SET expires_at = now() WHERE voucher_id IN (SELECT voucher_id FROM leadscore.voucher WHERE offer = 'moving' AND NOT expired ORDER BY 1 LIMIT 3 FOR UPDATE SKIP LOCKED);
		SELECT leadscore.expire_vouchers();
		\else
		BEGIN;
		INSERT INTO leadscore.event (lead_id, kind) SELECT 'moving ' || :a + i, 'order' FROM generate_series(1, 2) i;
		\if :budget < 10
		ROLLBACK;
		\else
		COMMIT;
		\endif
		\endif});
	$node->safe_psql('shop', q{UPDATE leadscore.offer SET budget = 30, unlimited = false WHERE offer = 'moving'});
	is($node->safe_psql('shop', sprintf $account, 'moving'), '0', 'a budget that changes under load: what is issued and what is left are the budget');
	my $open = q{SELECT count(*) FROM leadscore.voucher WHERE offer = 'moving' AND code IS NOT NULL AND NOT expired};
	my $before = $node->safe_psql('shop', $open);
	clients(8, 20, q{\set a random(1, 100000000)
		\if :client_id = 1
		UPDATE leadscore.voucher SET expires_at = now() WHERE voucher_id IN (SELECT voucher_id FROM leadscore.voucher WHERE offer = 'moving' AND NOT expired ORDER BY 1 LIMIT 3 FOR UPDATE SKIP LOCKED);
		SELECT leadscore.expire_vouchers();
		\else
		INSERT INTO leadscore.event (lead_id, kind) SELECT 'moved ' || :a + i, 'order' FROM generate_series(1, 2) i;
		\endif});
	cmp_ok($node->safe_psql('shop', $open), '<=', $before > 30 ? $before : 30, 'from then on it is never overspent');
	is($node->safe_psql('shop', sprintf $account, 'moving'), '0', '... nor lost');
}

# from no limit to one: who has waited for the change knows of it
{
	$node->safe_psql('shop', q{UPDATE leadscore.offer SET ends_at = now() WHERE ends_at IS NULL;
		INSERT INTO leadscore.offer (offer, model, segment, discount, valid_for, unlimited) VALUES ('limited', 'm', 'buyer', 5, '1 day', true)});
	my $admin = $node->background_psql('shop');
	$admin->query_safe(q{BEGIN; UPDATE leadscore.offer SET budget = 1, unlimited = false WHERE offer = 'limited'});
	$node->safe_psql('shop', q{SET lock_timeout = '5s'; INSERT INTO leadscore.event (lead_id, kind) SELECT 'limited ' || i, 'order' FROM generate_series(1, 8) i});
	is($node->safe_psql('shop', q{SELECT count(*) FROM leadscore.lead_state WHERE lead_id LIKE 'limited %'}), '0', 'a writer does not wait for who limits a budget');
	$admin->query_safe('COMMIT');
	$admin->quit;
	$node->safe_psql('shop', 'CALL leadscore.see_changes()');
	is($node->safe_psql('shop', q{SELECT count(*) FROM leadscore.lead_state WHERE lead_id LIKE 'limited %'}), '8', '... eight leads enter');
	is($node->safe_psql('shop', q{SELECT count(code) FROM leadscore.voucher WHERE offer = 'limited'}), '1', '... and one voucher is issued');
}
cmp_ok($node->safe_psql('shop', q{SELECT count(*) FROM leadscore.voucher WHERE expired}), '>', 20, 'some have expired');
is($node->safe_psql('shop', q{SELECT count(*) FROM generate_series(1, 20000) i WHERE leadscore_internal.is_held_out('x', i::text, 0.2)}) =~ /^(39|40|41)\d\d$/, 1, 'the share of the held out is what was asked for');

# ---------- nobody waits ----------

{
	$node->safe_psql('shop', q{UPDATE leadscore.offer SET ends_at = now() WHERE ends_at IS NULL OR ends_at > now();
		INSERT INTO leadscore.offer (offer, model, segment, kind, discount, valid_for, budget) VALUES ('two', 'm', 'buyer', 'gift', 5, '1 day', 2)});
	my $slow = $node->background_psql('shop');
	$slow->query_safe(q{BEGIN; INSERT INTO leadscore.event (lead_id, kind) VALUES ('slow', 'order')});
	is($node->safe_psql('shop', q{SET lock_timeout = '1s'; INSERT INTO leadscore.event (lead_id, kind) VALUES ('fast', 'order'), ('fast 2', 'order'); SELECT count(*) FROM leadscore.voucher WHERE offer = 'two'}), '2',
		'who enters meanwhile does not wait, and gets what there is: a transaction takes its share when it commits');
	$slow->query_safe('COMMIT');
	is($node->safe_psql('shop', q{INSERT INTO leadscore.event (lead_id, kind) VALUES ('next', 'order'); SELECT count(*) FROM leadscore.voucher WHERE offer = 'two'}), '2', '... and there is no more for the next');
	$slow->quit;
}
is($node->safe_psql('shop', q{SELECT deadlocks FROM pg_stat_database WHERE datname = 'shop'}), '0', 'there was no deadlock');
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/XX000|PANIC|TRAP|terminated by signal/, 'no internal error in the log');
$node->stop;

done_testing();
