# Several sessions write events of the same leads: none waits for another because of us, none fails because of us, and what goes
# wrong while transitions are written takes nothing along. Memory is bounded, and identify() takes many pairs.
#
#   LEADSCORE_NEVER_WAIT_SECONDS   how long the loads last, together
#   LEADSCORE_MEMORY_LEADS         how many leads a statement writes, LEADSCORE_PAIRS: how many pairs are identified

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use Workload;

my $node = new_node('main');
# (16 MB, so that the pages that a backend has touched do not pass for memory of its own; waits are logged soon)
$node->append_conf('postgresql.conf', "log_lock_waits = on\ndeadlock_timeout = 100ms\nshared_buffers = 16MB");
$node->start;
setup_orders($node, gold => 12, silver => 5);
$node->safe_psql('shop', q{
	CREATE TABLE shop.cust (id int PRIMARY KEY, country text);
	CREATE TABLE shop.address (id int PRIMARY KEY, city text);
	CREATE TABLE shop.ord (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, client int NOT NULL, customer int NOT NULL REFERENCES shop.cust, at timestamptz NOT NULL DEFAULT '2025-05-01', total int NOT NULL DEFAULT 1);
	CREATE TABLE shop.line (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, ord bigint NOT NULL REFERENCES shop.ord ON DELETE CASCADE, customer int NOT NULL, at timestamptz NOT NULL DEFAULT '2025-05-01');
	CREATE TABLE shop.payment (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, ord bigint NOT NULL REFERENCES shop.ord ON DELETE CASCADE, customer int NOT NULL REFERENCES shop.cust, at timestamptz NOT NULL DEFAULT '2025-05-01');
	CREATE INDEX ON shop.ord (client, customer);
	CREATE INDEX ON shop.line (ord);
	CREATE INDEX ON shop.payment (ord);
	SELECT leadscore.track('shop.' || t, lead_id => 'customer', kind => CASE t WHEN 'ord' THEN 'order' ELSE t END, occurred_at => 'at') FROM unnest('{ord,line,payment}'::text[]) t;
	SELECT leadscore.track_profile('shop.cust', 'id', '{country}'), leadscore.track_profile('shop.address', 'id', '{city}');
	INSERT INTO shop.cust SELECT i, 'DE' FROM generate_series(1, 10) i;
	INSERT INTO shop.address SELECT i, 'Berlin' FROM generate_series(1, 10) i;
	INSERT INTO shop.ord (client, customer) SELECT c, 1 + (c + i) % 10 FROM generate_series(0, 7) c, generate_series(1, 12) i;
	INSERT INTO leadscore.offer (offer, model, segment, discount, valid_for, budget) VALUES ('gold', 'm', 'gold', 10, '7 days', 5);
	-- profiles that are not what the tables say
	CREATE FUNCTION shop.wrong_profiles() RETURNS TABLE (lead_id text, has jsonb, expected jsonb) LANGUAGE plpgsql AS $$
	DECLARE
		parts text := (SELECT string_agg(format('SELECT lead::text, jsonb_build_object(%L, %I) FROM shop.who_%s', 'k' || c, 'k' || c, c), ' UNION ALL ') FROM generate_series(0, 7) c);
	BEGIN
		RETURN QUERY EXECUTE 'WITH part (lead_id, profile) AS (SELECT id::text, jsonb_build_object(''country'', country) FROM shop.cust UNION ALL SELECT id::text, jsonb_build_object(''city'', city) FROM shop.address UNION ALL ' || parts || ')
			SELECT coalesce(l.lead_id, e.lead_id), l.profile, e.profile
			FROM leadscore.current_profile l FULL JOIN (SELECT p.lead_id, jsonb_object_agg(x.key, x.value) AS profile FROM part p, jsonb_each(p.profile) x GROUP BY 1) e ON e.lead_id = l.lead_id
			WHERE l.profile IS DISTINCT FROM e.profile';
	END
	$$;
	-- what a transaction sees of its own is right
	CREATE FUNCTION shop.right() RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		ASSERT NOT EXISTS (SELECT FROM leadscore.verify()), 'timelines are wrong in a transaction';
		ASSERT NOT EXISTS (SELECT FROM shop.wrong_profiles()), 'profiles are wrong in a transaction';
	END
	$$;
	-- for each client tables of its own, of the same leads: without triggers, no two clients have anything in common
	DO $do$
	BEGIN
		FOR c IN 0 .. 7 LOOP
			EXECUTE format('CREATE TABLE shop.apart_%1$s (id int PRIMARY KEY, lead int NOT NULL, at timestamptz NOT NULL DEFAULT $$2025-05-01$$); CREATE TABLE shop.who_%1$s (lead int PRIMARY KEY, "k%1$s" int);
				INSERT INTO shop.apart_%1$s SELECT i, 1 + i %% 10 FROM generate_series(1, 30) i; INSERT INTO shop.who_%1$s SELECT i, 0 FROM generate_series(1, 10) i', c);
			PERFORM leadscore.track('shop.apart_' || c, lead_id => 'lead', kind => 'order', occurred_at => 'at');
			PERFORM leadscore.track_profile(('shop.who_' || c)::regclass, 'lead', ARRAY['k' || c]);
		END LOOP;
	END
	$do$});
# (nor is it ours when a vacuum gives back the last pages of a table)
$node->safe_psql('shop', q{DO $$DECLARE t regclass; BEGIN FOR t IN SELECT c.oid FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace IN ('leadscore'::regnamespace, 'leadscore_internal'::regnamespace) LOOP
	EXECUTE format('ALTER TABLE %s SET (vacuum_truncate = off)', t); END LOOP; END$$});
$node->safe_psql('shop', q{CALL leadscore.watch('m', notify => false)});

# ---------------------------------------------------------------- loads

my $scripts = 0;
my @levels = ('read committed', 'repeatable read', 'serializable');
my $seconds = int(seconds('LEADSCORE_NEVER_WAIT_SECONDS', 26) / 13) || 1;

# Clients run scripts for some time; returns the transactions, how many failed, and the part of the log that they wrote.
sub load
{
	my ($level, $tries, @what) = @_;
	my ($out, $err, $offset) = ('', '', -s $node->logfile);
	my @files;
	for (@what)
	{
		my $file = $node->basedir . '/load_' . $scripts++ . '.sql';
		append_to_file($file, '\set a random(1, 9)' . "\n" . '\set b random(:a, 10)' . "\n" . '\set n random(1, 30)' . "\n" . '\set k random(1, 9)' . "\n" . join('', map { "$_;\n" } split /;\s*/, $_));
		push @files, '-f', $file;
	}
	local $ENV{PGOPTIONS} = '-c default_transaction_isolation=' . ($level =~ s/ /\\ /r) . ' -c client_min_messages=error';
	my $ok = IPC::Run::run([ 'pgbench', '-n', '-h', $node->host, '-p', $node->port, '-c', 8, '-j', 2, '-T', $seconds, "--max-tries=$tries", '--failures-detailed', @files, 'shop' ],
		'<', \undef, '>', \$out, '2>', \$err);
	diag($err) unless $ok;
	my ($transactions) = $out =~ /number of transactions actually processed: (\d+)/;
	my ($failed) = $out =~ /number of failed transactions: (\d+)/;
	return ($transactions, $ok ? $failed : 'some', PostgreSQL::Test::Utils::slurp_file($node->logfile, $offset));
}
# Reports of the log about waits, deadlocks and conflicts that name an object of ours. (A table that grows is the server's
# matter: where a disk is slow, its extension takes longer than what is a wait here.)
my $ours = qr/leadscore|lead_timeline|lead_state|lead_alias|pending_|segment_change|voucher|offer_slot|relation "lead"/;
sub reports
{
	my ($log, $what) = @_;
	return grep { /$what/ && !/ on extension of relation / } $log =~ /^(\d{4}-\d\d-\d\d [^\n]*(?:LOG|ERROR): .*?)(?=^\d{4}-\d\d-\d\d [^\n]*(?:LOG|ERROR|WARNING|FATAL|NOTICE): |\z)/gms;
}
sub is_right
{
	my ($name) = @_;
	is($node->safe_psql('shop', 'SELECT count(*) FROM leadscore.verify()'), '0', "$name: timelines equal events");
	is($node->safe_psql('shop', 'SELECT * FROM shop.wrong_profiles()'), '', "$name: profiles are what the tables say");
	$node->safe_psql('shop', 'SELECT leadscore.fold()');
	is($node->safe_psql('shop', 'SELECT count(*) FROM leadscore.verify()'), '0', "$name: also when folded");
	is($node->safe_psql('shop', 'SELECT * FROM shop.wrong_profiles()'), '', "$name: profiles, too");
	is($node->safe_psql('shop', 'SELECT count(*) FROM leadscore.pending_profile'), '0', "$name: and no profile is pending");
	is($node->safe_psql('shop', q{SELECT count(*) FROM leadscore.lead_score l FULL JOIN (SELECT p.lead_id, 'm' AS model,
			(SELECT count(*) FROM shop.ord o WHERE o.customer::text = p.lead_id)} . join('', map { " + (SELECT count(*) FROM shop.apart_$_ a WHERE a.lead::text = p.lead_id)" } 0 .. 7)
		  . q{ AS score FROM (SELECT id::text AS lead_id, country FROM shop.cust) p) e USING (lead_id, model) WHERE coalesce(l.score, 0) <> coalesce(e.score, 0) AND lead_id ~ '^\d+$'}), '0', "$name: scores are those of the tables");
	$node->safe_psql('shop', 'CALL leadscore.see_changes()');
	is($node->safe_psql('shop', q{SELECT count(*) FROM leadscore.lead_score l FULL JOIN leadscore.lead_state s USING (lead_id, model) WHERE l.segment IS DISTINCT FROM s.segment}), '0', "$name: states are where the scores are");
	# (the ticks of two transactions can be the same, where the later has the smaller number)
	is($node->safe_psql('shop', q{SELECT count(*) FROM (SELECT FROM leadscore.segment_change GROUP BY model, lead_id, xmin HAVING count(*) > 1) c}), '0', "$name: one change of a lead in a transaction");
	is($node->safe_psql('shop', q{SELECT count(*) FROM (SELECT from_segment, to_segment, lag(to_segment) OVER (PARTITION BY model, lead_id ORDER BY change_id) AS before FROM leadscore.segment_change) c WHERE from_segment IS DISTINCT FROM before OR from_segment IS NOT DISTINCT FROM to_segment}),
		'0', "$name: the changes follow one another");
	is($node->safe_psql('shop', q{SELECT (SELECT count(*) FROM leadscore.voucher WHERE code IS NOT NULL) + (SELECT count(*) FROM leadscore_internal.offer_slot)}), '5', "$name: the budget is kept");
	return;
}

# A transaction changes orders of its own, and customers in their order, before or after: nobody's locks make a circle
# but those that we would add.
my @ordered = (
	q{BEGIN; UPDATE shop.ord SET total = total + 1 WHERE client = :client_id AND customer = :a; UPDATE shop.cust SET country = CASE country WHEN 'DE' THEN 'FR' ELSE 'DE' END WHERE id = :a; END},
	q{BEGIN; UPDATE shop.cust SET country = 'DE' WHERE id = :a; UPDATE shop.ord SET at = at + interval '1 hour' WHERE client = :client_id AND customer = :b; UPDATE shop.ord SET at = at + interval '1 hour' WHERE client = :client_id AND customer = :a; END},
	q{BEGIN; INSERT INTO shop.ord (client, customer) VALUES (:client_id, :b); INSERT INTO shop.line (ord, customer) SELECT max(id), :a FROM shop.ord WHERE client = :client_id; INSERT INTO shop.payment (ord, customer) SELECT max(id), :b FROM shop.ord WHERE client = :client_id;
		UPDATE shop.ord SET at = at + interval '1 day' WHERE id = (SELECT max(id) FROM shop.ord WHERE client = :client_id); UPDATE shop.address SET city = 'Rome' WHERE id = :a; UPDATE shop.address SET city = 'Berlin' WHERE id = :b; END},
	q{BEGIN; DELETE FROM shop.ord WHERE id IN (SELECT id FROM shop.ord WHERE client = :client_id ORDER BY id LIMIT 2); UPDATE shop.cust SET country = 'FR' WHERE id = :b; INSERT INTO shop.ord (client, customer) VALUES (:client_id, :a); END},
	q{BEGIN; UPDATE shop.ord SET customer = :a WHERE id = (SELECT max(id) FROM shop.ord WHERE client = :client_id); UPDATE shop.ord SET customer = :b WHERE id = (SELECT min(id) FROM shop.ord WHERE client = :client_id); SELECT shop.right(); END});
# (rows of customers are locked by foreign keys, too, at commit where they are deferred)
for my $constraints ('not deferrable', 'deferrable initially deferred')
{
	$node->safe_psql('shop', qq{ALTER TABLE shop.ord DROP CONSTRAINT ord_customer_fkey, ADD CONSTRAINT ord_customer_fkey FOREIGN KEY (customer) REFERENCES shop.cust $constraints;
		ALTER TABLE shop.payment DROP CONSTRAINT payment_customer_fkey, ADD CONSTRAINT payment_customer_fkey FOREIGN KEY (customer) REFERENCES shop.cust $constraints});
	for my $level (@levels)
	{
		my $name = "own locks in order, $level, foreign keys $constraints";
		# (what looks at all leads conflicts with who writes them, as it should, at SERIALIZABLE)
		my ($transactions, $failed, $log) = load($level, $level eq 'read committed' ? 1 : 1000, $level eq 'serializable' ? @ordered[ 0 .. 3 ] : @ordered);
		is($failed, '0', "$name: no transaction failed");
		is(scalar(reports($log, qr/deadlock detected/)), 0, "$name: no deadlock");
		# (nobody writes signals: a session that reads them for the first time is told of a conflict that it has already)
		is(join('', grep { /$ours/ && !/statement "SELECT leadscore\.signals\(\)"/ } reports($log, qr/still waiting for|could not serialize/)), '', "$name: nobody waited for us, or failed because of us");
		note("$name: $transactions transactions");
	}
}
is_right('own locks in order');

# Clients that have nothing in common without us have none of their transactions fail, at any level; nor with us.
my @apart = (
	q{BEGIN; UPDATE shop.apart_:client_id SET at = at + interval '1 hour' WHERE id = :n; UPDATE shop.who_:client_id SET k:client_id = :n WHERE lead = :a; END},
	q{BEGIN; UPDATE shop.who_:client_id SET k:client_id = :n WHERE lead = :b; UPDATE shop.apart_:client_id SET lead = :a WHERE id = :n; UPDATE shop.apart_:client_id SET lead = :b WHERE id = 31 - :n; END},
	q{BEGIN; DELETE FROM shop.apart_:client_id WHERE id = :n; INSERT INTO shop.apart_:client_id VALUES (:n, :k); INSERT INTO shop.apart_:client_id SELECT i, 11 - :a FROM generate_series(31, 33) i; DELETE FROM shop.apart_:client_id WHERE id > 30; END});
for my $level (@levels)
{
	for my $triggers ('DISABLE', 'ENABLE')
	{
		$node->safe_psql('shop', join ';', map { ("ALTER TABLE shop.apart_$_ $triggers TRIGGER USER", "ALTER TABLE shop.who_$_ $triggers TRIGGER USER") } 0 .. 7);
		my ($transactions, $failed, $log) = load($level, 1, @apart);
		my $name = "nothing in common, $level, triggers " . lc($triggers) . 'd';
		is($failed, '0', "$name: no transaction failed");
		is(join('', reports($log, qr/deadlock detected|still waiting for|could not serialize/)), '', "$name: none waited");
		note("$name: $transactions transactions");
		$node->safe_psql('shop', 'CALL leadscore.rebuild()') if $triggers eq 'DISABLE';
	}
}
# what was written while triggers were disabled is no matter of theirs
$node->safe_psql('shop', q{DO $$BEGIN FOR c IN 0 .. 7 LOOP EXECUTE format('UPDATE shop.who_%1$s SET k%1$s = k%1$s + 1', c); END LOOP; END$$; CALL leadscore.rebuild()});
is_right('nothing in common');

# Rows of everybody in any order: their own deadlocks are theirs.
my ($transactions, $failed, $log) = load('read committed', 1000,
	q{BEGIN; UPDATE shop.cust SET country = 'FR' WHERE id = :a; UPDATE shop.ord SET total = total + 1 WHERE customer = :k; UPDATE shop.address SET city = 'Oslo' WHERE id = :k; END},
	q{BEGIN; UPDATE shop.ord SET at = at + interval '1 hour' WHERE customer = :b; UPDATE shop.cust SET country = 'DE' WHERE id = :k; INSERT INTO shop.ord (client, customer) VALUES (:client_id, :a); END},
	q{BEGIN; UPDATE shop.address SET city = 'Rome' WHERE id = :a; UPDATE shop.ord SET customer = :k WHERE id = (SELECT min(id) FROM shop.ord WHERE customer = :b); UPDATE shop.cust SET country = 'DE' WHERE id = :b; END},
	q{BEGIN; DELETE FROM shop.ord WHERE id = (SELECT max(id) FROM shop.ord WHERE customer = :k); INSERT INTO shop.ord (client, customer) VALUES (:client_id, :k); UPDATE shop.ord SET total = 0 WHERE customer = :a; END});
is($failed, '0', 'a random load: pgbench got everything done');
is(join('', grep { /$ours/ } reports($log, qr/deadlock detected|still waiting for/)), '', 'a random load: no deadlock and no wait that names an object of ours');
note("a random load: $transactions transactions, " . scalar(reports($log, qr/deadlock detected/)) . ' deadlocks of its own');
is_right('a random load');

# Checkouts of one customer, who writes orders of its own and the customer's row, in either order.
($transactions, $failed, $log) = load('read committed', 1,
	q{BEGIN; INSERT INTO shop.ord (client, customer) VALUES (:client_id, 1); INSERT INTO shop.line (ord, customer) SELECT max(id), 1 FROM shop.ord, generate_series(1, 3) WHERE client = :client_id; INSERT INTO shop.payment (ord, customer) SELECT max(id), 1 FROM shop.ord WHERE client = :client_id;
		UPDATE shop.ord SET total = 3 WHERE id = (SELECT max(id) FROM shop.ord WHERE client = :client_id); UPDATE shop.cust SET country = 'FR' WHERE id = 1; END},
	q{BEGIN; UPDATE shop.cust SET country = 'DE' WHERE id = 1; INSERT INTO shop.ord (client, customer) VALUES (:client_id, 1); UPDATE shop.ord SET total = 4 WHERE id = (SELECT max(id) FROM shop.ord WHERE client = :client_id); END});
is($failed, '0', 'checkouts of one customer: none failed');
is(join('', reports($log, qr/deadlock detected/)), '', 'checkouts of one customer: no deadlock');
is_right('checkouts of one customer');

# Names that become aliases of each other, in both directions and several in a statement or a transaction: whoever is too
# late is told so, and nobody is in a deadlock.
my $pair = q{SELECT shop.try(format('SELECT leadscore.%s', c)) FROM unnest(ARRAY['identify($$p:a$$, $$p:b$$)', 'unidentify($$p:k$$)', 'identify($$p:b$$, $$p:k$$)', 'unidentify($$p:a$$)']) c};
$node->safe_psql('shop', q{CREATE FUNCTION shop.try(command text) RETURNS void LANGUAGE plpgsql AS $$BEGIN EXECUTE command; EXCEPTION WHEN unique_violation OR undefined_object OR invalid_parameter_value THEN END$$;
	INSERT INTO leadscore.event (lead_id, kind, occurred_at) SELECT 'p' || i, 'order', '2025-05-01' FROM generate_series(1, 10) i});
($transactions, $failed, $log) = load('read committed', 1,
	$pair, $pair =~ s/:a/:x/gr =~ s/:b/:a/gr =~ s/:x/:b/gr, "BEGIN; $pair; " . q{SELECT shop.try('SELECT leadscore.identify($$p:k$$, $$p:a$$)'); END},
	q{INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('p:a', 'order', '2025-05-01'), ('p:b', 'order', '2025-05-01')});
is($failed, '0', 'pairs in both directions: no transaction failed');
is(join('', reports($log, qr/deadlock detected/)), '', 'pairs in both directions: no deadlock');
note("pairs in both directions: $transactions transactions");
$node->safe_psql('shop', q{SELECT leadscore.fold(); SELECT leadscore.unidentify(alias) FROM leadscore.lead_alias; DELETE FROM leadscore.event});
is_right('pairs in both directions');

# ---------------------------------------------------------------- an idle transaction

sub session { my $s = $node->background_psql('shop', on_error_stop => 0); $s->query_safe($_) for @_; return $s; }
# what a session answers; an error is one, and its transaction is over
sub answer
{
	my ($s, $query) = @_;
	my ($out, $error) = $s->query($query);
	return $out unless $error;
	my $text = $s->{stderr};
	$s->{stderr} = '';
	return $text;
}
sub score { my ($s, $lead) = @_; return answer($s, "SELECT leadscore.score('$lead', 'm')"); }

for my $level (@levels)
{
	for my $case ([ 'a lead that has a row', '1' ], [ 'a lead that has none yet', "new at $level" ])
	{
		my ($what, $lead) = @$case;
		my $name = "$what is held by an idle transaction, $level";
		my $event = "INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('$lead', 'order', '2025-05-01')";
		my ($customer, $address) = $lead eq '1' ? ("UPDATE shop.cust SET country = country || '+' WHERE id = 1", "UPDATE shop.address SET city = city || '+' WHERE id = 1")
		  : ('INSERT INTO shop.cust SELECT max(id) + 1, $$IT$$ FROM shop.cust', 'INSERT INTO shop.address SELECT max(id) + 1, $$Rome$$ FROM shop.address');
		my ($idle, $writer) = map { session("SET lock_timeout = '5s'", "SET default_transaction_isolation = '$level'") } 1, 2;
		my $before = score($idle, $lead);

		is(answer($idle, "BEGIN; $event; $customer; UPDATE shop.ord SET total = total + 1 WHERE customer = 1"), '', "$name: one writes");
		is(answer($writer, "BEGIN; $event; $event; $address"), '', "$name: another writes");
		# (at SERIALIZABLE two transactions that each read what the other writes are in conflict, and rightly)
		my @readers = $level eq 'serializable' ? ($writer) : ($idle, $writer);
		is(score($idle, $lead), $before + 1, "$name: it sees its own event") if @readers == 2;
		is(score($writer, $lead), $before + 2, "$name: the other its own two");
		is(answer($_, 'SELECT count(*) FROM leadscore.verify()'), '0', "$name: timelines equal events in the transaction") for @readers;
		is($node->safe_psql('shop', "SELECT leadscore.score('$lead', 'm')"), $before, "$name: nobody else sees any");
		is(answer($writer, 'COMMIT'), '', "$name: and commits");
		is($node->safe_psql('shop', "SELECT leadscore.score('$lead', 'm')"), $before + 2, "$name: which all see");
		is(answer($idle, 'SELECT count(*) FROM leadscore.verify()'), '0', "$name: still so in the idle one") if @readers == 2;
		is(answer($idle, 'COMMIT'), '', "$name: which commits, too");
		is($node->safe_psql('shop', "SELECT leadscore.score('$lead', 'm')"), $before + 3, "$name: all is counted");
		$_->quit for $idle, $writer;
		is_true($node, $name);
		is($node->safe_psql('shop', q{SELECT (SELECT count(*) FROM leadscore.pending_delta) + (SELECT count(*) FROM leadscore.pending_profile)}), '0', "$name: nothing stays pending");
		is($node->safe_psql('shop', 'SELECT * FROM shop.wrong_profiles()'), '', "$name: profiles are what the tables say");
	}
}

# ---------------------------------------------------------------- what goes wrong at commit

my %ending = (
	'in autocommit' => [ '', '' ],
	'at COMMIT' => [ 'BEGIN;', 'COMMIT;' ],
	'at PREPARE' => [ 'BEGIN;', "PREPARE TRANSACTION 'p'; COMMIT PREPARED 'p';" ]);
my $leads = 0;
# what was written, stands as a whole, and is seen later, or nothing does
sub all_or_nothing
{
	my ($name, $lead, $events) = @_;
	is($node->safe_psql('shop', "SELECT (SELECT count(*) FROM leadscore.event WHERE lead_id = '$lead'), leadscore.score('$lead', 'm')"), "$events|$events", "$name: events and score are there, or neither");
	is($node->safe_psql('shop', 'SELECT count(*) FROM leadscore.verify()'), '0', "$name: timelines equal events");
	$node->safe_psql('shop', 'CALL leadscore.see_changes()');
	is($node->safe_psql('shop', "SELECT string_agg(format('%s -> %s', from_segment, to_segment), ', ') FROM leadscore.segment_change WHERE lead_id = '$lead'"), $events ? ' -> silver' : '', "$name: it is seen later, once");
	is($node->safe_psql('shop', "SELECT count(*) FROM leadscore.voucher WHERE lead_id = '$lead'"), $events ? '1' : '0', "$name: as is its voucher");
	return;
}
$node->safe_psql('shop', q{
	INSERT INTO leadscore.offer (offer, model, segment, discount, valid_for, unlimited) VALUES ('silver', 'm', 'silver', 5, '7 days', true);
	CREATE TABLE shop.busy (i int);
	CREATE FUNCTION shop.broken() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION USING ERRCODE = TG_ARGV[0], MESSAGE = $$broken$$; END';
	CREATE FUNCTION shop.wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN LOCK TABLE shop.busy; RETURN NULL; END';
	CREATE FUNCTION shop.sleep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(600); RETURN NULL; END'});
my @broken = (
	[ 'a trigger on vouchers that raises', 'CREATE TRIGGER broken BEFORE INSERT ON leadscore.voucher FOR EACH ROW EXECUTE FUNCTION shop.broken($$P0001$$)', 'DROP TRIGGER broken ON leadscore.voucher' ],
	[ 'a constraint of vouchers', 'ALTER TABLE leadscore.voucher ADD CONSTRAINT broken CHECK (false) NOT VALID', 'ALTER TABLE leadscore.voucher DROP CONSTRAINT broken' ],
	[ 'a full disk of the log', 'CREATE TRIGGER broken AFTER INSERT ON leadscore.segment_change FOR EACH STATEMENT EXECUTE FUNCTION shop.broken($$53100$$)', 'DROP TRIGGER broken ON leadscore.segment_change' ],
	[ 'a state that cannot be written', 'CREATE TRIGGER broken BEFORE INSERT OR UPDATE ON leadscore.lead_state FOR EACH ROW EXECUTE FUNCTION shop.broken($$22000$$)', 'DROP TRIGGER broken ON leadscore.lead_state' ]);
for my $ending (sort keys %ending)
{
	my ($begin, $commit) = @{ $ending{$ending} };
	my $insert = sub { return "$begin INSERT INTO leadscore.event (lead_id, kind) SELECT '$_[0]', 'order' FROM generate_series(1, 5); $commit"; };

	for my $case (@broken)
	{
		my ($what, $break, $mend) = @$case;
		my $lead = 'lead ' . ++$leads;
		$node->safe_psql('shop', $break);
		my ($status, $out, $error) = $node->psql('shop', $insert->($lead), on_error_stop => 1);
		is($status, 0, "$what, $ending: the order stands") or diag($error);
		like($error, qr/WARNING:/, "$what, $ending: with a warning") if $ending ne 'at PREPARE';
		is($node->safe_psql('shop', "SELECT count(*) FROM leadscore.segment_change WHERE lead_id = '$lead'"), '0', "$what, $ending: nothing is half written");
		$node->safe_psql('shop', $mend);
		all_or_nothing("$what, $ending", $lead, 5);
	}

	# a lock that cannot be got, and a cancel
	my $lead = 'lead ' . ++$leads;
	my $holder = session('BEGIN; LOCK TABLE shop.busy');
	$node->safe_psql('shop', 'CREATE TRIGGER wait AFTER INSERT ON leadscore.segment_change FOR EACH STATEMENT EXECUTE FUNCTION shop.wait()');
	my ($status, $out, $error) = $node->psql('shop', "SET lock_timeout = '100ms'; " . $insert->($lead), on_error_stop => 1);
	note("lock_timeout, $ending: $error");
	$holder->quit;
	$node->safe_psql('shop', 'DROP TRIGGER wait ON leadscore.segment_change');
	all_or_nothing("lock_timeout, $ending", $lead, $status ? 0 : 5);

	$lead = 'lead ' . ++$leads;
	$node->safe_psql('shop', 'CREATE TRIGGER sleep AFTER INSERT ON leadscore.segment_change FOR EACH STATEMENT EXECUTE FUNCTION shop.sleep()');
	my $sleeper = session(q{SET application_name = 'sleeper'});
	$sleeper->query_until(qr/begun/, '\echo begun' . "\n" . $insert->($lead) . "\nSELECT 'over';\n");
	# (a transaction that is prepared may leave its leads to the next look, and never sleep)
	$node->poll_query_until('postgres', q{SELECT CASE WHEN wait_event = 'PgSleep' THEN pg_cancel_backend(pid) ELSE state = 'idle' AND query ~ 'over' END FROM pg_stat_activity WHERE application_name = 'sleeper'});
	$error = answer($sleeper, 'SELECT 1') =~ s/^over\n1$//r;
	$sleeper->quit;
	note("a cancel, $ending: $error");
	$node->safe_psql('shop', 'DROP TRIGGER sleep ON leadscore.segment_change');
	all_or_nothing("a cancel, $ending", $lead, $error =~ /ERROR/ ? 0 : 5);
}
is_true($node, 'what goes wrong at commit');

# ---------------------------------------------------------------- many names

my $pairs = $ENV{LEADSCORE_PAIRS} || 5000;
$node->safe_psql('shop', qq{INSERT INTO leadscore.event (lead_id, kind, occurred_at) SELECT 'visitor ' || i, 'order', '2025-05-01' FROM generate_series(1, $pairs) i});
{
	my $bulk = session();
	my ($out, $error) = $bulk->query("BEGIN; SELECT count(leadscore.identify('visitor ' || i, 'known ' || i)) FROM generate_series(1, $pairs) i");
	is("$out|$error", "$pairs|0", "$pairs pairs are identified in one statement");
	my ($status) = $node->psql('shop', 'DO $$BEGIN FOR i IN 1 .. 300 LOOP EXECUTE format($f$CREATE TABLE shop.t%s (i int PRIMARY KEY)$f$, i); END LOOP; END$$', on_error_stop => 1);
	is($status, 0, '... and leave locks for other sessions');
	$bulk->query('COMMIT');
	$bulk->quit;
	is($node->safe_psql('shop', q{SELECT count(*) FROM leadscore.lead_alias WHERE alias = replace(lead_id, 'known', 'visitor')}), $pairs, '... all of them');
	is($node->safe_psql('shop', q{SELECT leadscore.score('known 1', 'm'), leadscore.score('visitor 7', 'm')}), '1|1', '... and their events count');
	is_true($node, 'many pairs');
}

# ---------------------------------------------------------------- memory

# The most memory that a backend of its own has had, in MB, when it has run a statement.
sub peak
{
	my ($statement, @before) = @_;
	my $session = session(@before);
	my $pid = $session->query_safe('SELECT pg_backend_pid()');
	my ($out, $error) = $session->query($statement);
	die "$statement failed" if $error;
	my ($kb) = PostgreSQL::Test::Utils::slurp_file("/proc/$pid/status") =~ /^VmHWM:\s+(\d+) kB/m;
	$session->quit;
	return $kb / 1024;
}
SKIP:
{
	skip 'no /proc', 10 unless -r '/proc/self/status';
	my $n = $ENV{LEADSCORE_MEMORY_LEADS} || 60000;
	my $some = int($n * 0.6);
	for my $maintenance ('immediate', 'deferred')
	{
		for my $watched (0, 1)
		{
			my $name = "$maintenance, " . ($watched ? 'watched' : 'not watched');
			$node->safe_psql('shop', qq{CREATE TABLE shop.bulk (lead text, at timestamptz DEFAULT '2025-05-01');
				SELECT leadscore.track('shop.bulk', lead_id => 'lead', kind => 'order', occurred_at => 'at', maintenance => '$maintenance')});
			$node->safe_psql('shop', $watched ? q{CALL leadscore.watch('m', notify => false)} : q{SELECT leadscore.unwatch('m')});
			my $insert = "INSERT INTO shop.bulk (lead) SELECT 'a rather long name of a lead ' || i FROM generate_series(1, $n) i";
			my $update = "UPDATE shop.bulk SET at = at + interval '1 day' WHERE ctid < '(" . int($some / 80) . ",1)'";
			my $without = peak("SET session_replication_role = replica; BEGIN; $insert; ROLLBACK");
			my $with = peak($insert);
			cmp_ok($with, '<', $without + 64, sprintf '%s: an INSERT of %d leads takes %d MB, %d without us', $name, $n, $with, $without);
			$without = peak("SET session_replication_role = replica; BEGIN; $update; ROLLBACK");
			$with = peak($update);
			cmp_ok($with, '<', $without + 64, sprintf '%s: an UPDATE of some %d leads takes %d MB, %d without us', $name, $some, $with, $without);
			is($node->safe_psql('shop', 'SELECT count(*) FROM leadscore.verify()'), '0', "$name: timelines equal events");
			$node->safe_psql('shop', 'DROP TABLE shop.bulk; SELECT leadscore.fold()');
		}
	}
}
SKIP:
{
	skip 'no /proc', 24 unless -r '/proc/self/status';
	my $n = $ENV{LEADSCORE_MEMORY_LEADS} || 60000;
	my $insert = "INSERT INTO shop.people SELECT 'a rather long name of a person ' || i, 'an attribute of ' || i, i FROM generate_series(1, $n) i";
	my $lead = q{leadscore.current_profile WHERE lead_id LIKE 'a rather long%'};
	# where somebody has put a trigger on lead, all of it is pending
	for my $where ('lead as made', 'lead with a trigger')
	{
		$node->safe_psql('shop', q{CREATE TABLE shop.people (who text PRIMARY KEY, attribute text, n int); SELECT leadscore.track_profile('shop.people', 'who', '{attribute,n}')});
		$node->safe_psql('shop', 'CREATE TRIGGER nothing BEFORE TRUNCATE ON leadscore.lead FOR EACH STATEMENT EXECUTE FUNCTION shop.sleep()') if $where =~ /trigger/;
		for my $case ([ 'an INSERT', $insert, $n ], [ 'an UPDATE', 'UPDATE shop.people SET n = n + 1', $n ], [ 'an UPDATE of names', "UPDATE shop.people SET who = who || '.'", $n ],
			[ 'a DELETE', 'DELETE FROM shop.people', 0 ], [ 'a TRUNCATE', "BEGIN; $insert; TRUNCATE shop.people; COMMIT", 0 ])
		{
			my ($what, $statement, $expected) = @$case;
			my $without = peak("SET session_replication_role = replica; BEGIN; " . ($statement =~ s/^BEGIN; |; COMMIT$//gr) . '; ROLLBACK');
			my $with = peak($statement);
			cmp_ok($with, '<', $without + 64, sprintf '%s: %s of %d profiles takes %d MB, %d without us', $where, $what, $n, $with, $without);
			is($node->safe_psql('shop', "SELECT count(*) FROM $lead"), $expected, '... and they are there');
		}
		$node->safe_psql('shop', 'DROP TABLE shop.people');
	}
	# (with a trigger statements fold it, which takes longer)
	my $some = $node->safe_psql('shop', q{DELETE FROM leadscore.pending_profile WHERE lead_id !~ '9999'; SELECT count(*) FROM leadscore.pending_profile});
	is($node->safe_psql('shop', 'SELECT leadscore.fold()'), $some, "some are folded by statements");
	is($node->safe_psql('shop', 'SELECT * FROM shop.wrong_profiles()'), '', '... rightly');
	$node->safe_psql('shop', qq{DROP TRIGGER nothing ON leadscore.lead; INSERT INTO leadscore.pending_profile (lead_id, attributes) SELECT 'a rather long name of a person ' || i, '{"n": 1}' FROM generate_series(1, $n) i});
	my $folds = peak('SELECT leadscore.fold()');
	is($node->safe_psql('shop', 'SELECT count(*) FROM leadscore.pending_profile'), '0', '... all by the table access methods');
	cmp_ok($folds, '<', 128, sprintf '... in %d MB', $folds);
	$node->safe_psql('shop', "DELETE FROM $lead" =~ s/current_profile/lead/r);
}
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal|XX000/, 'the server never crashed');
$node->stop;

done_testing();
