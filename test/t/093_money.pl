# Money in random histories: eight clients write events of today and of long ago, edit the model, profiles and budgets,
# log customers in, redeem, cancel, let vouchers expire, revoke and forget, at two levels of isolation. At every moment:
# no budget is exceeded, in pieces or in money, and no order gives more than it is worth. In the end: no voucher without
# a change of a cause that was asked for, none twice within again_after, also for who was forgotten, and what is left of
# budgets is what was not taken. LEADSCORE_MONEY_ROUNDS is how many rounds there are at each level at least; there are
# more until all that can happen has happened.

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
	SELECT leadscore.publish('{"model": "m",
		"signals": [{"signal": "visit", "kind": "visit"}, {"signal": "german", "subject": "profile", "match": {"country": "DE"}}, {"signal": "mail", "subject": "profile", "match": {"mail": true}}],
		"weights": [{"signal": "visit", "points": 1}, {"signal": "german", "points": 2}, {"signal": "mail", "points": 0}],
		"segments": [{"segment": "hot", "position": 1, "min_score": 4}]}');
	CREATE TABLE parted (lead_id text, at timestamptz);		-- names of one person, which may be several from then on: events of somebody else's transaction keep forget() from all
	CREATE TABLE forgotten (lead_id text, offer text, at timestamptz);
	CREATE TABLE issue (change_id bigint, offer text, cause text, segment text, lead_id text);	-- what was logged, also of those who are forgotten
	CREATE TABLE outcome (action text, outcome text);
	-- nothing happens to these but what an administrator does
	INSERT INTO leadscore.event (lead_id, kind, occurred_at) SELECT 'still ' || i, 'visit', now() - interval '1 hour' FROM generate_series(1, 30) i, generate_series(1, 3);
	INSERT INTO leadscore.event (lead_id, kind) SELECT 'watched', 'visit' FROM generate_series(1, 9)});
$node->safe_psql('shop', 'CALL leadscore.watch()');
$node->safe_psql('shop', q{
	INSERT INTO leadscore.offer (offer, model, segment, kind, discount, valid_for, budget, max_cost, unlimited, again_after, condition, issue_on, brake, holdout_share) VALUES
		('pieces', 'm', 'hot', 'amount', 5, '1 day', 40, NULL, false, NULL, NULL, '{event,time}', NULL, 0.2),
		('money', 'm', 'hot', 'amount', 7.25, '1 day', NULL, 200, false, '1 second', NULL, '{event}', NULL, 0),
		('percent', 'm', 'hot', 'percent', 30, '1 day', 60, 150, false, '2 seconds', 'mail', '{event,load,identity}', NULL, 0),
		('gift', 'm', 'hot', 'gift', 3.5, '1 day', NULL, NULL, true, NULL, NULL, '{event}', NULL, 0.1),
		('moving', 'm', 'hot', 'amount', 2, '1 day', 30, NULL, false, '1 second', NULL, '{event,time,model,profile,load,identity}', NULL, 0),
		('braked', 'm', 'hot', 'amount', 20, '1 day', NULL, NULL, true, NULL, NULL, '{event}', 5, 0);
	-- what an order is worth
	CREATE FUNCTION worth(order_ref text) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$ SELECT 1 + (hashtext(order_ref) & 31) * 0.77 $$;
	CREATE FUNCTION pick(n integer) RETURNS integer LANGUAGE sql VOLATILE AS $$ SELECT 1 + floor(random() * n)::integer $$;
	CREATE FUNCTION shop(action integer) RETURNS void LANGUAGE plpgsql AS $$
	DECLARE
		name text := 'lead ' || pick(40);
		voucher leadscore.voucher;
		ref text;
		names text[];
	BEGIN
		CASE
		WHEN action < 8 THEN
			INSERT INTO leadscore.event (lead_id, kind) SELECT 'lead ' || pick(40), 'visit' FROM generate_series(1, pick(6));
		WHEN action < 10 THEN
			INSERT INTO leadscore.event (lead_id, kind) SELECT name, 'visit' FROM generate_series(1, 4);
		WHEN action < 14 THEN
			DELETE FROM leadscore.event WHERE event_id IN (SELECT event_id FROM leadscore.event WHERE lead_id = name FOR UPDATE SKIP LOCKED);
		WHEN action = 14 THEN
			INSERT INTO leadscore.event (lead_id, kind, occurred_at) SELECT name, 'visit', now() - interval '3 days' FROM generate_series(1, 4);
		WHEN action = 15 THEN
			INSERT INTO leadscore.lead VALUES (name, jsonb_build_object('country', (ARRAY['DE','FR'])[pick(2)], 'mail', random() < 0.7)) ON CONFLICT (lead_id) DO UPDATE SET profile = excluded.profile;
		WHEN action = 16 THEN
			PERFORM leadscore.identify('lead ' || pick(8), 'person ' || pick(8));
		WHEN action < 25 THEN
			-- mostly one that is open: most are not any more after a while
			SELECT v.* INTO voucher FROM leadscore.voucher v WHERE v.code IS NOT NULL AND v.lead_id IS NOT NULL
			ORDER BY v.redeemed_at IS NULL AND NOT v.expired AND v.revoked_at IS NULL AND random() < 0.8 DESC, random() LIMIT 1;
			ref := 'order ' || coalesce((SELECT a.lead_id FROM leadscore.lead_alias a WHERE a.alias = voucher.lead_id), voucher.lead_id) || ' ' || pick(4);
			ref := CASE WHEN random() < 0.1 THEN 'order of somebody' ELSE ref END;
			PERFORM leadscore.redeem(CASE WHEN random() < 0.5 THEN lower(replace(voucher.code, '-', ' ')) ELSE voucher.code END, voucher.lead_id, ref, worth(ref)) WHERE voucher.code IS NOT NULL;
		WHEN action < 28 THEN
			SELECT v.* INTO voucher FROM leadscore.voucher v WHERE v.redeemed_at IS NOT NULL AND v.order_ref IS NOT NULL ORDER BY random() LIMIT 1;
			PERFORM leadscore.unredeem(voucher.code, voucher.order_ref) WHERE voucher.code IS NOT NULL;
		WHEN action = 28 THEN
			UPDATE leadscore.voucher SET expires_at = clock_timestamp() WHERE voucher_id IN (SELECT voucher_id FROM leadscore.voucher WHERE redeemed_at IS NULL AND NOT expired ORDER BY random() LIMIT 5 FOR UPDATE SKIP LOCKED);
			PERFORM leadscore.expire_vouchers();
		WHEN action = 29 THEN
			names := leadscore_internal.names_of(name);
			INSERT INTO issue SELECT v.change_id, v.offer, c.cause, c.to_segment, v.lead_id FROM leadscore.voucher v JOIN leadscore.segment_change c USING (change_id) WHERE v.lead_id = ANY (names);
			INSERT INTO forgotten SELECT n, v.offer, clock_timestamp() FROM unnest(names) n, leadscore.voucher v WHERE v.lead_id = ANY (names) AND v.revoked_at IS NULL;
			PERFORM leadscore.forget(name);
			INSERT INTO parted SELECT unnest(names), clock_timestamp();
		ELSE
			PERFORM leadscore.refresh_segments(false);
		END CASE;
	END
	$$;
	CREATE FUNCTION administrator(action integer) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		CASE action
		WHEN 0 THEN UPDATE leadscore.weight SET points = (ARRAY[1, 2, 0.5])[pick(3)] WHERE signal = 'visit';
		WHEN 1 THEN UPDATE leadscore.segment SET min_score = 3 + pick(2);
		WHEN 2 THEN UPDATE leadscore.segment SET segment = CASE segment WHEN 'hot' THEN 'burning' ELSE 'hot' END;
		WHEN 3 THEN UPDATE leadscore.offer SET budget = 10 * pick(5) WHERE offer = 'moving';
		WHEN 4 THEN PERFORM leadscore.revoke_vouchers('gift', clock_timestamp() - interval '0.2 seconds');
		WHEN 5 THEN PERFORM leadscore.resume_offer('braked');
		WHEN 6 THEN INSERT INTO leadscore.lead SELECT 'still ' || pick(30), '{"country": "DE"}' ON CONFLICT (lead_id) DO UPDATE SET profile = excluded.profile;
		WHEN 7 THEN DELETE FROM leadscore.lead WHERE lead_id LIKE 'still%' AND random() < 0.3;
		WHEN 8 THEN PERFORM leadscore.issue_offer('moving', pick(5));
		WHEN 9 THEN UPDATE leadscore.weight SET points = 2 WHERE signal = 'visit'; UPDATE leadscore.weight SET points = 1 WHERE signal = 'visit';
		ELSE PERFORM leadscore.refresh_segments(false);
		END CASE;
	END
	$$;
	-- a refusal is an outcome; what else happens is an error
	CREATE FUNCTION act(who text, action integer) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		IF who = 'administrator' THEN
			PERFORM administrator(action);
		ELSE
			PERFORM shop(action);
		END IF;
		INSERT INTO outcome VALUES (who || ' ' || action, 'done');
	EXCEPTION WHEN unique_violation OR object_not_in_prerequisite_state OR insufficient_privilege OR configuration_limit_exceeded OR undefined_object OR lock_not_available
		OR invalid_parameter_value OR invalid_transaction_state THEN
		INSERT INTO outcome VALUES (who || ' ' || action, SQLSTATE || ' ' || regexp_replace(SQLERRM, '"[^"]*"', '…', 'g'));
	END
	$$});

# What holds at any moment, seen by one snapshot.
my $exceeded = q{
	WITH counted AS (SELECT v.*, v.code IS NOT NULL AND NOT v.expired AND v.revoked_at IS NULL AS counts FROM leadscore.voucher v)
	SELECT * FROM (
		SELECT 'pieces of ' || o.offer, count(*), o.budget::numeric FROM leadscore.offer o JOIN counted v USING (offer) WHERE v.counts AND o.offer IN ('pieces', 'percent') GROUP BY o.offer HAVING count(*) > o.budget
		UNION ALL
		SELECT 'money of ' || o.offer, sum(v.terms), o.max_cost FROM leadscore.offer o JOIN counted v USING (offer) WHERE v.counts AND o.offer = 'money' GROUP BY o.offer HAVING sum(v.terms) > o.max_cost
		UNION ALL
		SELECT 'money of ' || o.offer, sum(v.discount), o.max_cost FROM leadscore.offer o JOIN counted v USING (offer) WHERE v.counts AND o.offer = 'percent' GROUP BY o.offer HAVING sum(v.discount) > o.max_cost
		UNION ALL
		SELECT v.order_ref, sum(v.discount), worth(v.order_ref) FROM counted v WHERE v.order_ref IS NOT NULL GROUP BY 1 HAVING sum(v.discount) > worth(v.order_ref)
		UNION ALL
		SELECT 'leads of ' || v.order_ref, count(DISTINCT coalesce(a.lead_id, v.lead_id)), 1 FROM counted v LEFT JOIN leadscore.lead_alias a ON a.alias = v.lead_id WHERE v.order_ref IS NOT NULL
		AND NOT EXISTS (SELECT FROM parted p WHERE p.lead_id = v.lead_id AND p.at > v.redeemed_at) GROUP BY v.order_ref HAVING count(DISTINCT coalesce(a.lead_id, v.lead_id)) > 1
		UNION ALL
		SELECT 'twice ' || v.code, count(*), 1 FROM counted v WHERE v.code IS NOT NULL GROUP BY v.code HAVING count(*) > 1
	) e LIMIT 5};

my $file = $node->basedir . '/money.sql';
append_to_file($file, q{\set shop random(1, 30)
	\set administrator random(0, 12)
	\if :client_id = 0
	SELECT act('administrator', :administrator);
	\else
	SELECT act('shop', :shop);
	\endif
});

# A round of eight clients; returns what went wrong, and how often somebody has looked.
sub play
{
	my ($level) = @_;
	my ($out, $err, $looks, @broken) = ('', '', 0);

	local $ENV{PGOPTIONS} = '-c default_transaction_isolation=' . ($level =~ s/ /\\ /r) . ' -c client_min_messages=warning';
	my $clients = IPC::Run::start([ 'pgbench', '-n', '-h', $node->host, '-p', $node->port, '-c', 8, '-j', 2, '-t', 150, '--max-tries=1000', '-f', $file, 'shop' ],
		'<', \undef, '>', \$out, '2>', \$err);
	while ($clients->pumpable && !@broken)
	{
		my $now = $node->safe_psql('shop', $exceeded);
		push @broken, $now if $now ne '';
		$looks++;
		$clients->pump_nb;
	}
	$clients->finish;
	push @broken, $out . $err if $out !~ /number of failed transactions: 0 / || $err =~ /could not be/;
	return ($looks, @broken);
}

# What the histories are about: each action with its outcomes, and each cause of a change.
my @wanted = ('the order is too small', 'the order belongs to another lead', 'has been redeemed already', 'has expired', map { "cause $_:" } qw(event identity load model profile watch));
sub tally
{
	return $node->safe_psql('shop', q{SELECT string_agg(format('%s: %s', what, n), E'\n' ORDER BY what) FROM (SELECT action || ' ' || outcome AS what, count(*) AS n FROM outcome GROUP BY 1
		UNION ALL SELECT 'cause ' || cause, count(*) FROM leadscore.segment_change GROUP BY 1) t});
}

my $rounds = $ENV{LEADSCORE_MONEY_ROUNDS} // 4;
my ($looks, $tally, @missing, @broken) = (0, '');
for (my $round = 0; ($round < $rounds || @missing) && $round < $rounds + 30 && !@broken; $round++)
{
	(my $n, @broken) = play($round % 2 ? 'repeatable read' : 'read committed');
	$looks += $n;
	$tally = tally();
	@missing = grep { $tally !~ /\Q$_\E/ } @wanted;
	push @missing, 'looks' if $looks <= 10;
	push @missing, 'forgotten' if $node->safe_psql('shop', 'SELECT count(*) FROM forgotten') == 0;
	push @missing, 'moved' if $node->safe_psql('shop', q{SELECT count(*) FROM leadscore.segment_change WHERE lead_id LIKE 'still%'}) <= 10;
	push @missing, 'redeemed' if $node->safe_psql('shop', q{SELECT count(*) FROM leadscore.voucher WHERE redeemed_at IS NOT NULL}) == 0;
}
is("@broken", '', 'no transaction fails, nothing that is done before commit does, and at no moment is a budget exceeded, nor an order');
note("looked at $looks times\n$tally");
is("@missing", '', 'the histories had all that they are about');

# ---------- in the end ----------

# a budget may change only at read committed; the slots are what was not taken
$node->safe_psql('shop', q{CALL leadscore.see_changes(); SELECT leadscore.expire_vouchers()});
is($node->safe_psql('shop', $exceeded), '', 'nothing is exceeded');
is($node->safe_psql('shop', q{
	SELECT o.offer, o.budget, count(v.voucher_id) AS taken, (SELECT coalesce(sum(sign(s.slot)), 0) FROM leadscore_internal.offer_slot s WHERE s.offer = o.offer) AS left
	FROM leadscore.offer o LEFT JOIN leadscore.voucher v ON v.offer = o.offer AND v.code IS NOT NULL AND NOT v.expired AND v.revoked_at IS NULL
	WHERE o.budget IS NOT NULL GROUP BY o.offer
	HAVING o.budget <> count(v.voucher_id) + (SELECT coalesce(sum(sign(s.slot)), 0) FROM leadscore_internal.offer_slot s WHERE s.offer = o.offer)}), '', 'of pieces, what is left is what was not taken');
is($node->safe_psql('shop', q{
	SELECT o.max_cost - coalesce(sum(v.discount), 0) - (SELECT coalesce(sum(m.amount), 0) FROM leadscore_internal.offer_money m WHERE m.offer = o.offer)
	FROM leadscore.offer o LEFT JOIN leadscore.voucher v ON v.offer = o.offer WHERE o.offer = 'percent' GROUP BY o.offer}) + 0, 0, 'of money, too');
is($node->safe_psql('shop', q{
	SELECT order_ref, o.discount, s.discount FROM leadscore_internal.voucher_order o FULL JOIN (SELECT order_ref, sum(discount) AS discount FROM leadscore.voucher WHERE order_ref IS NOT NULL GROUP BY 1) s USING (order_ref)
	WHERE o.discount IS DISTINCT FROM s.discount LIMIT 5}), '', 'each order knows what its vouchers are worth');

$node->safe_psql('shop', q{INSERT INTO issue SELECT v.change_id, v.offer, c.cause, c.to_segment, v.lead_id FROM leadscore.voucher v LEFT JOIN leadscore.segment_change c USING (change_id) WHERE v.lead_id IS NOT NULL});
is($node->safe_psql('shop', q{
	SELECT i.* FROM issue i JOIN leadscore.offer o USING (offer)
	WHERE CASE WHEN i.change_id IS NULL THEN i.offer <> 'moving' ELSE (i.cause = ANY (o.issue_on)) IS NOT TRUE OR i.segment NOT IN ('hot', 'burning') END LIMIT 5}), '', 'each voucher has a change of a cause that was asked for');
is($node->safe_psql('shop', q{
	SELECT v.offer, v.lead_id, c.cause FROM leadscore.voucher v LEFT JOIN leadscore.segment_change c USING (change_id) WHERE v.lead_id LIKE 'still%' AND v.offer <> 'moving' LIMIT 5}), '', 'who has done nothing gets nothing')
  or diag($node->safe_psql('shop', q{SELECT c.change_id, c.lead_id, c.from_segment, c.to_segment, c.score, c.cause, c.changed_at::time, c.tick FROM leadscore.segment_change c
	WHERE c.lead_id IN (SELECT v.lead_id FROM leadscore.voucher v JOIN leadscore.segment_change d USING (change_id) WHERE v.lead_id LIKE 'still%' AND v.offer <> 'moving') ORDER BY c.lead_id, c.change_id}));
is($node->safe_psql('shop', q{
	SELECT * FROM (SELECT v.offer, v.lead_id, v.issued_at - lag(v.issued_at) OVER (PARTITION BY v.offer, v.lead_id ORDER BY v.issued_at) AS after FROM leadscore.voucher v WHERE v.lead_id IS NOT NULL AND v.revoked_at IS NULL) l
	JOIN leadscore.offer o USING (offer) WHERE l.after < coalesce(o.again_after, '1000 years') LIMIT 5}), '', 'no lead gets one twice within again_after');
is($node->safe_psql('shop', q{
	SELECT f.lead_id, f.offer, v.issued_at FROM forgotten f JOIN leadscore.voucher v ON v.lead_id = f.lead_id AND v.offer = f.offer AND v.issued_at > f.at AND v.revoked_at IS NULL
	JOIN leadscore.offer o ON o.offer = f.offer AND o.again_after IS NULL AND o.offer <> 'gift' LIMIT 5}), '', '... nor who was forgotten and has come again');

cmp_ok($node->safe_psql('shop', q{SELECT count(*) FROM leadscore.voucher WHERE offer IN ('pieces', 'money') AND code IS NOT NULL}), '>', 40, 'budgets were used up');
is($node->safe_psql('shop', q{SELECT deadlocks FROM pg_stat_database WHERE datname = 'shop'}), '0', 'there was no deadlock');
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/XX000|PANIC|TRAP|terminated by signal/, 'no internal error in the log');
$node->stop;

done_testing();
