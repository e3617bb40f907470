# Changes of names beside other changes of names: in bulk they take time in proportion to their number and few locks; one that
# meets another waits and is carried out, in its order, whatever becomes of the transactions; forget() leaves nothing of a
# person, or says that it could not.
#
#   LEADSCORE_PAIRS   how many pairs a statement makes in the largest test (twice as many as in the one that it is compared with)

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use PostgreSQL::Test::Utils;
use Test::More;
use Workload;

my $node = new_node('main');
# (16 MB, so that the pages that a backend has touched do not pass for memory of its own)
$node->append_conf('postgresql.conf', "log_lock_waits = on\ndeadlock_timeout = 100ms\nlock_timeout = 20s\nautovacuum = off\nshared_buffers = 16MB");
$node->start;
setup_orders($node, gold => 2, silver => 1);
$node->safe_psql('shop', q{
	CREATE TABLE shop.sale (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, lead text, at date DEFAULT '2026-01-01');
	CREATE INDEX ON shop.sale (lead);
	SELECT leadscore.track('shop.sale', lead_id => 'lead', kind => 'order', occurred_at => 'at');
	-- in which of our tables there is anything of a person
	CREATE FUNCTION shop.traces(person text) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE
		source regclass;
		n bigint;
		found text := '';
	BEGIN
		FOR source IN SELECT c.oid FROM pg_class c WHERE c.relkind IN ('r', 'm') AND c.relnamespace IN ('leadscore'::regnamespace, 'leadscore_internal'::regnamespace) ORDER BY c.relname LOOP
			EXECUTE format('SELECT count(*) FROM %s t WHERE t::text LIKE %L', source, '%' || person || '%') INTO n;
			found := found || CASE WHEN n > 0 THEN format('%s %s ', source, n) ELSE '' END;
		END LOOP;
		RETURN found;
	END
	$$});
$node->safe_psql('shop', q{CALL leadscore.watch('m', notify => false)});

sub session { my $s = $node->background_psql('shop', on_error_stop => 0); $s->query_safe($_) for ('SET client_min_messages = warning', @_); return $s; }
# what a session answers: rows, or an error or warning
sub answer
{
	my ($s, $query) = @_;
	my ($out, $error) = $s->query($query);
	return $out unless $error;
	my $text = $s->{stderr};
	$s->{stderr} = '';
	return $text;
}
sub one { my ($query) = @_; return $node->safe_psql('shop', $query); }
sub aliases { return one(q{SELECT coalesce(string_agg(alias || ' ' || lead_id, ', ' ORDER BY alias), '') FROM leadscore.lead_alias WHERE alias LIKE '} . shift() . q{%'}); }
sub waiting { return one('SELECT count(*) FROM leadscore_internal.pending_identity'); }
sub start_over { one(q{SELECT leadscore.fold(); DELETE FROM leadscore.event; TRUNCATE shop.sale; SELECT leadscore.unidentify(alias) FROM leadscore.lead_alias; SELECT leadscore.fold()}); is(waiting(), 0, 'nothing waits any more'); return; }

# ---------------------------------------------------------------- many names

# The processor time, in seconds, that a session takes for a statement. (Eight times as many names may take 20 times as
# much, where a cost that grows with the square would take 64 times: so a busy machine is not taken for one.)
sub cpu
{
	my ($s, $query) = @_;
	my $pid = answer($s, 'SELECT pg_backend_pid()');
	my $used = sub { my @stat = split ' ', slurp_file("/proc/$pid/stat") =~ s/.*\) //sr; return ($stat[11] + $stat[12]) / 100; };
	my $before = $used->();
	my $answer = answer($s, $query);
	return ($used->() - $before, $answer);
}
sub locks { my ($s) = @_; return answer($s, 'SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid()'); }

my $pairs = $ENV{LEADSCORE_PAIRS} || 20000;
my %forms = (
	'one by one' => sub { my ($n, $p) = @_; return "SELECT count(leadscore.identify('$p visitor ' || i, '$p known ' || i)) FROM generate_series(1, $n) i" },
	'as arrays' => sub { my ($n, $p) = @_; return "SELECT leadscore.identify(array_agg('$p visitor ' || i), array_agg('$p known ' || i)) >= 0 FROM generate_series(1, $n) i" });
my %beside = (
	'alone' => '',
	'beside identify()' => q{SELECT leadscore.identify('other visitor', 'other')},
	'beside unidentify()' => q{SELECT leadscore.unidentify('parted visitor')},
	'beside another bulk' => q{SELECT count(leadscore.identify('bulk visitor ' || i, 'bulk known ' || i)) FROM generate_series(1, 2000) i});
SKIP:
{
	skip 'no /proc', 1 unless -r '/proc/self/stat';
	for my $form (sort keys %forms)
	{
		for my $where (sort keys %beside)
		{
			my $name = "$form, $where";
			my $most = $beside{$where} ? $pairs / 2 : $pairs;		# (locks that grow with the pairs would be too many of these, too)
			one(q{INSERT INTO leadscore.event (lead_id, kind) SELECT 'a visitor ' || i, 'order' FROM generate_series(1, 1000) i; INSERT INTO leadscore.event (lead_id, kind) VALUES ('parted visitor', 'order');
				SELECT leadscore.identify('parted visitor', 'parted')});
			my ($bulk, $other) = (session(), session());
			answer($other, "BEGIN; $beside{$where}") if $beside{$where};
			answer($bulk, 'BEGIN');
			my ($first) = cpu($bulk, $forms{$form}->($most / 8, 'a'));
			answer($bulk, 'COMMIT; BEGIN');
			my ($second, $answer) = cpu($bulk, $forms{$form}->($most, 'b'));
			unlike($answer, qr/ERROR/, "$name: $most pairs are no error");
			cmp_ok($second, '<', 20 * $first + 0.5, sprintf '%s: %d pairs take %.2f s, an eighth of them %.2f s', $name, $most, $second, $first);
			cmp_ok(locks($bulk), '<', 3000, "$name: few locks are held");
			# others meanwhile
			my ($status, undef, $error) = $node->psql('shop', q{SET lock_timeout = '1s'; BEGIN; SELECT leadscore.identify('third visitor', 'third'); SELECT leadscore.identify('third visitor ' || i, 'third') FROM generate_series(1, 300) i; COMMIT;
				DO $$BEGIN FOR i IN 1 .. 300 LOOP EXECUTE format($f$CREATE TABLE shop.t%s (i int PRIMARY KEY)$f$, i); END LOOP; FOR i IN 1 .. 300 LOOP EXECUTE format($f$DROP TABLE shop.t%s$f$, i); END LOOP; END$$}, on_error_stop => 1);
			is($status, 0, "$name: other sessions go on");
			is(answer($bulk, 'COMMIT'), '', "$name: committed");
			answer($other, 'COMMIT') if $beside{$where};
			is(one('SELECT count(*) FROM leadscore.verify()'), '0', "$name: timelines equal events, though some wait");
			one('SELECT leadscore.fold()');
			is(waiting(), 0, "$name: nothing waits any more");
			is(one(q{SELECT count(*) FROM leadscore.lead_alias WHERE replace(alias, 'visitor', 'known') = lead_id AND alias ~ '^[ab] '}), 9 * $most / 8, "$name: all pairs are made");
			is(one(q{SELECT count(*) FROM leadscore.lead_alias WHERE alias LIKE 'third%'}), 301, "$name: and those of others");
			is(one(q{SELECT leadscore.score('a known 7', 'm'), leadscore.score('a visitor 8', 'm')}), '1|1', "$name: and count");
			is_true($node, $name);
			$_->quit for $bulk, $other;
			one('DELETE FROM leadscore.event; TRUNCATE leadscore.lead_alias; SELECT leadscore.fold()');
		}
	}

	# what waits is carried out in time in proportion to its number
	my @took;
	for my $n ($pairs / 8, $pairs)
	{
		my ($holder, $bulk, $folder) = map { session() } 1 .. 3;
		answer($holder, "BEGIN; SELECT count(leadscore.identify('held ' || i, 'x')) FROM generate_series(1, 300) i; SELECT count(leadscore.identify('h' || i, 'hot')) FROM generate_series(1, 3000) i");
		answer($bulk, 'BEGIN');
		my ($appended) = cpu($bulk, $forms{'one by one'}->($n, 'c'));
		is(answer($bulk, 'COMMIT'), '', "$n pairs beside one who has all the stripes");
		cmp_ok(waiting(), '>', $n / 2, '... wait');
		is(one(q{SELECT count(*) FROM leadscore.status WHERE object = 'lead_alias'}), 1, '... and status tells');
		answer($holder, 'COMMIT');
		my ($carried_out) = cpu($folder, 'SELECT leadscore.fold()');
		is(waiting(), 0, '... until they are carried out');
		push @took, [ $appended, $carried_out ];
		is_true($node, "$n pairs that waited");
		$_->quit for $holder, $bulk, $folder;
		one('TRUNCATE leadscore.lead_alias; SELECT leadscore.fold()');
	}
	cmp_ok($took[1][$_], '<', 20 * $took[0][$_] + 0.5, sprintf '%s: %.2f s and %.2f s', (qw(leaving carrying-out))[$_], $took[0][$_], $took[1][$_]) for 0, 1;

	# many aliases of one lead, made in one transaction at each level
	for my $level ('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE')
	{
		@took = ();
		for my $n (1000, 8000)
		{
			my $s = session();
			answer($s, "BEGIN ISOLATION LEVEL $level");
			push @took, (cpu($s, "SELECT count(leadscore.identify('hot ' || i, 'hot')) FROM generate_series(1, $n) i"))[0];
			is(answer($s, 'COMMIT'), '', "$n aliases of one lead, $level");
			is(one(q{SELECT count(*) FROM leadscore.lead_alias WHERE lead_id = 'hot'}), $n, '... are made');
			$s->quit;
			one('TRUNCATE leadscore.lead_alias');
		}
		cmp_ok($took[1], '<', 20 * $took[0] + 0.5, sprintf '... in proportion to their number: %.2f s and %.2f s', @took);
	}

	# inside a statement that writes a source: in proportion, too, and in bounded memory
	@took = ();
	for my $n ($pairs / 8, $pairs / 2, $pairs)
	{
		my $s = session();
		my ($time, $answer) = cpu($s, "WITH i AS (INSERT INTO shop.sale (lead) SELECT 'in ' || i FROM generate_series(1, $n) i RETURNING leadscore.identify(lead, 'of ' || lead)) SELECT count(*) FROM i");
		my $status = slurp_file('/proc/' . answer($s, 'SELECT pg_backend_pid()') . '/status');
		my $kb = ($status =~ /^VmHWM:\s+(\d+) kB/m)[0] - ($status =~ /^RssShmem:\s+(\d+) kB/m)[0];
		push @took, [ $time, $kb ];
		is(one(q{SELECT count(*) FROM leadscore.lead_alias WHERE 'of ' || alias = lead_id}), $n, "$n pairs inside a statement that writes a source");
		$s->quit;
		is_true($node, '... and they count');
		one('TRUNCATE shop.sale; SELECT leadscore.fold(); TRUNCATE leadscore.lead_alias');
	}
	cmp_ok($took[2][0], '<', 20 * $took[0][0] + 0.5, sprintf '... in proportion to their number: %.2f s and %.2f s', map { $_->[0] } @took[0, 2]);
	cmp_ok($took[2][1] - $took[1][1], '<', 0.4 * $pairs + 4096, sprintf '... which take %d and %d kB', map { $_->[1] } @took[1, 2]);

	# a lead with many aliases that becomes an alias itself
	@took = ();
	for my $n (1250, 10000)
	{
		one("SELECT count(leadscore.identify('many ' || i, 'middle')) FROM generate_series(1, $n) i");
		my $s = session();
		answer($s, 'BEGIN');
		push @took, (cpu($s, q{SELECT leadscore.identify('middle', 'end')}))[0];
		cmp_ok(locks($s), '<', 3000, "a lead with $n aliases becomes one: few locks");
		answer($s, 'COMMIT');
		is(one(q{SELECT count(*) FROM leadscore.lead_alias WHERE lead_id = 'end'}), $n + 1, '... and all its aliases go with it');
		$s->quit;
		one('TRUNCATE leadscore.lead_alias');
	}
	cmp_ok($took[1], '<', 20 * $took[0] + 0.5, sprintf 'in proportion to their number: %.2f s and %.2f s', @took);
}

# a pair that cannot be is a warning among many, and an error alone
{
	my $s = session();
	one(q{SELECT leadscore.identify('taken', 'owner')});
	like(answer($s, q{SELECT leadscore.identify(ARRAY['p1', 'p2', 'taken', NULL, '', 'p3', 'owner'], ARRAY['q', 'p2', 'q', 'q', 'q', 'p1', 'taken'])}),
		qr/"p2" cannot be an alias of itself.*"taken" is already an alias of another lead.*alias is NULL.*alias is empty.*"owner" cannot be an alias of itself/s, 'pairs that cannot be are warnings');
	is(aliases('p'), 'p1 q, p3 q', '... and the others are made');
	like(answer($s, "SELECT leadscore.identify('$_->[0]', '$_->[1]')"), qr/^psql:<stdin>:\d+: ERROR/, "alone it is an error: @$_") for [ 'p2', 'p2' ], [ 'taken', 'q' ], [ 'owner', 'taken' ];
	like(answer($s, q{SELECT leadscore.unidentify('nobody')}), qr/ERROR: +"nobody" is not an alias/, 'and so is what is no alias');
	$s->quit;
	start_over();
}

# ---------------------------------------------------------------- forgetting

my ($a, $b, $c) = map { session() } 1 .. 3;
my $buys = q{INSERT INTO leadscore.event (lead_id, kind) VALUES ('person9', 'order'), ('person9', 'order'), ('cookie9', 'order')};
my $forget = q{SELECT count(*) > 0 FROM leadscore.forget('person9', tracked => true)};
my $refused = qr/ERROR: +the (?:names|events) of "(?:person9|cookie9)" are being changed by another transaction.*HINT/s;
sub forgotten { my ($what) = @_; is(one(q{SELECT shop.traces('person9') || shop.traces('cookie9')}), '', "$what: nothing is left"); is_true($node, $what); start_over(); return; }

for my $who ('person9', 'cookie9')
{
	my $forget = $forget =~ s/person9/$who/r;
	for my $case (
		[ 'an identify()', '', q{SELECT leadscore.identify('cookie9', 'person9')} ],
		[ 'an unidentify()', q{SELECT leadscore.identify('cookie9', 'person9')}, q{SELECT leadscore.unidentify('cookie9')} ],
		[ 'a lead that becomes an alias', q{SELECT leadscore.identify('cookie9', 'person9')}, q{SELECT leadscore.identify('person9', 'another')} ])
	{
		for my $end ('COMMIT', 'ROLLBACK')
		{
			my $name = "forget() of $who beside $case->[0], $end";
			one($buys);
			one($case->[1]) if $case->[1];
			answer($a, "BEGIN; $case->[2]");
			answer($b, 'BEGIN');
			like(answer($b, $forget), $refused, "$name: it says that it cannot");
			answer($b, 'ROLLBACK');
			is(one('SELECT count(*) FROM leadscore.event'), 3, "$name: and has done nothing");
			answer($a, $end);
			one($forget =~ s/$who/$_/r) for 'person9', 'cookie9';
			forgotten($name);
		}
	}
}

# a change that waits and that nobody can see yet: its names are free, once they are
one($buys);
answer($c, q{BEGIN; SELECT leadscore.identify('cookie9', 'somebody')});
answer($a, q{BEGIN; SELECT leadscore.identify('cookie9', 'person9')});
answer($c, 'ROLLBACK');
like(answer($b, $forget), $refused, 'forget() beside a change that waits, uncommitted: it says that it cannot');
like(answer($b, $forget =~ s/person9/cookie9/r), $refused, '... of either name');
answer($a, 'COMMIT');
is(aliases('cookie9'), 'cookie9 person9', '... it is tried once more before it is committed');
is(answer($b, $forget), 't', '... and then it can');
forgotten('a change that waits, uncommitted');
# ... of many names
one($buys);
answer($c, q{BEGIN; SELECT leadscore.identify('cookie9', 'somebody'); SELECT count(leadscore.identify('s' || i, 'somebody')) FROM generate_series(1, 3000) i});
answer($a, q{BEGIN; SELECT count(leadscore.identify('u' || i, 'u')) FROM generate_series(1, 1000) i; SELECT leadscore.identify('cookie9', 'person9')});
answer($c, 'ROLLBACK');
like(answer($b, $forget), $refused, 'the same of one who has many names');
answer($a, 'COMMIT');
is(answer($b, $forget), 't', '... and then it can');
forgotten('a change that waits, uncommitted, of many');

# a change that waits and is committed
one($buys);
answer($c, q{BEGIN; SELECT leadscore.identify('cookie9', 'somebody')});
answer($a, q{BEGIN; SELECT leadscore.identify('cookie9', 'person9'); COMMIT});
is(waiting(), 1, 'a change waits');
like(answer($b, $forget), $refused, 'forget() beside it says that it cannot');
answer($c, 'ROLLBACK');
is(answer($b, $forget), 't', '... and when it can be carried out, it is');
forgotten('a change that waits');

# a writer has the lead's row, or that of an alias
for my $who ('person9', 'cookie9')
{
	for my $level ('READ COMMITTED', 'REPEATABLE READ')
	{
		one($buys);
		one(q{SELECT leadscore.identify('cookie9', 'person9')}) if $who eq 'person9';
		answer($a, "BEGIN; INSERT INTO leadscore.event (lead_id, kind) VALUES ('$who', 'order')");
		my $before = one('SELECT count(*) FROM leadscore.segment_change');
		answer($b, "BEGIN ISOLATION LEVEL $level");
		like(answer($b, $forget =~ s/person9/$who/r), $refused, "forget() of $who beside a writer, $level: it says that it cannot");
		answer($b, 'ROLLBACK');
		is(one('SELECT count(*) FROM leadscore.segment_change'), $before, '... and has written nothing of the segment');
		answer($a, 'COMMIT');
		one($forget =~ s/person9/$_/r) for 'person9', 'cookie9';
		forgotten("$who beside a writer, $level");
	}
}
# somebody changes the profile, and will delete events
one($buys);
one(q{INSERT INTO leadscore.lead VALUES ('person9', '{"country": "DE"}')});
answer($a, q{BEGIN; UPDATE leadscore.lead SET profile = '{"country": "FR"}' WHERE lead_id = 'person9'});
like(answer($b, $forget), qr/ERROR: +the profile of "person9" is being changed by another transaction/, 'forget() beside who changes the profile: it says that it cannot');
is(answer($a, q{DELETE FROM leadscore.event WHERE lead_id = 'person9'; COMMIT}), '', '... and keeps nobody waiting');
one($forget =~ s/person9/$_/r) for 'person9', 'cookie9';
forgotten('a profile');
# a writer who comes while it is being forgotten finds the row taken, and what he does is new
one($buys);
answer($b, "BEGIN; $forget");
answer($a, q{SET lock_timeout = '3s'; INSERT INTO leadscore.event (lead_id, kind) VALUES ('person9', 'order')});
answer($b, 'COMMIT');
is(one(q{SELECT leadscore.fold() >= 0, leadscore.score('person9', 'm')}), 't|1', 'what is written meanwhile is new');
one(q{CALL leadscore.see_changes()});
is(one(q{SELECT string_agg(format('%s %s', from_segment, to_segment), ',') FROM leadscore.segment_change WHERE lead_id = 'person9'}), ' silver', '... and so is the segment');
one($forget);
one($forget =~ s/person9/cookie9/r);
forgotten('a writer who comes meanwhile');

# names that have changed since the snapshot
one($buys);
for my $level ('REPEATABLE READ', 'SERIALIZABLE')
{
	answer($b, "BEGIN ISOLATION LEVEL $level; SELECT count(*) FROM leadscore.lead");
	one(q{SELECT leadscore.identify('cookie9', 'person9')});
	like(answer($b, $forget), qr/could not serialize access/, "$level: forget() does not miss an alias that it cannot see");
	answer($b, 'ROLLBACK');
	one(q{SELECT leadscore.unidentify('cookie9')});
}
start_over();

# ---------------------------------------------------------------- in line

# unidentify() of what another is making an alias
one($buys);
answer($a, q{BEGIN; SELECT leadscore.identify('cookie9', 'person9')});
is(answer($b, q{BEGIN; SELECT leadscore.unidentify('cookie9') IS NULL; COMMIT}), 't', 'unidentify() beside an identify() that is not committed gets in line');
is(waiting(), 1, '... and waits');
answer($a, 'COMMIT');
is(aliases('cookie9'), 'cookie9 person9', '... the alias is made');
one('SELECT leadscore.fold()');
is(aliases('cookie9') . one(q{SELECT leadscore.score('person9', 'm'), leadscore.score('cookie9', 'm')}), '2|1', '... and given back');
# outside of a block it waits itself
answer($a, q{BEGIN; SELECT leadscore.identify('cookie9', 'person9')});
$b->query_until(qr/begun/, "\\echo begun\nSELECT leadscore.unidentify('cookie9');\n");
ok($node->poll_query_until('shop', q{SELECT count(*) > 0 FROM pg_stat_activity WHERE query ~ 'unidentify' AND wait_event_type = 'Lock'}), 'outside of a block it waits');
answer($a, 'COMMIT');
like(answer($b, 'SELECT 1'), qr/^person9$/m, '... and is then carried out');
is(aliases('cookie9') . waiting(), '0', '... at once');
# of what is no alias after all
answer($a, q{BEGIN; SELECT leadscore.identify('cookie9', 'person9')});
answer($b, q{BEGIN; SELECT leadscore.unidentify('cookie9'); COMMIT});
answer($a, 'ROLLBACK');
like(answer($b, 'SELECT leadscore.fold()'), qr/WARNING: +"cookie9" is not an alias/, 'what cannot be carried out any more is a warning');
is(waiting(), 0, '... and gone');
start_over();

# the order of one session's changes
for my $case (
	[ q{SELECT leadscore.identify('x', 'y'), leadscore.unidentify('x')}, '' ],
	[ q{SELECT leadscore.identify('x', 'y'), leadscore.unidentify('x'), leadscore.identify('x', 'z')}, 'x z' ],
	[ q{SELECT leadscore.identify('x', 'y'), leadscore.identify('y', 'z')}, 'x z, y z' ],
	[ q{SELECT leadscore.identify('y', 'z'), leadscore.identify('x', 'y'), leadscore.unidentify('y')}, 'x z' ],
	[ q{INSERT INTO shop.sale (lead) VALUES ('x'), ('y') RETURNING leadscore.identify('x', 'y'), leadscore.unidentify('x')}, '' ],
	[ q{INSERT INTO shop.sale (lead) VALUES ('x') RETURNING leadscore.identify('x', 'y'), leadscore.unidentify('x'), leadscore.identify('x', 'z')}, 'x z' ])
{
	my ($change, $expected) = @$case;
	for my $held ('', 'x', 'y', 'z')
	{
		one(q{INSERT INTO leadscore.event (lead_id, kind) VALUES ('x', 'order'), ('y', 'order'), ('z', 'order')});
		answer($a, "BEGIN; SELECT leadscore.identify('$held', 'somebody')") if $held;
		unlike(answer($b, "BEGIN; $change; COMMIT"), qr/ERROR|WARNING/, "$change, where somebody has '$held'");
		is(one('SELECT count(*) FROM leadscore.verify()'), '0', '... timelines equal events');
		answer($a, 'ROLLBACK') if $held;
		one('SELECT leadscore.fold()');
		is(one(q{SELECT coalesce(string_agg(alias || ' ' || lead_id, ', ' ORDER BY alias), '') FROM leadscore.lead_alias}) . waiting(), "${expected}0", '... all is done in its order');
		is_true($node, '... and right');
		start_over();
	}
}

# one that fails whatever is tried keeps nobody else's from being carried out
one(q{INSERT INTO leadscore.event (lead_id, kind) VALUES ('bad', 'order'), ('good', 'order');
	CREATE FUNCTION shop.refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN IF NEW.alias = 'bad' THEN RAISE 'no'; END IF; RETURN NEW; END$$;
	CREATE TRIGGER refuse BEFORE INSERT ON leadscore.lead_alias FOR EACH ROW EXECUTE FUNCTION shop.refuse()});
answer($a, q{BEGIN; SELECT leadscore.identify('bad', 'somebody else'), leadscore.identify('good', 'somebody')});
answer($a, q{ROLLBACK; BEGIN; SELECT leadscore.identify('good', 'somebody')});
one(q{INSERT INTO leadscore_internal.pending_identity (alias, lead_id) VALUES ('bad', 'person9')});
answer($b, q{BEGIN; SELECT leadscore.identify('good', 'somebody'); COMMIT});
answer($a, 'ROLLBACK');
like(answer($b, q{SELECT leadscore.identify('third', 'somebody')}), qr/WARNING: +the change of "bad" waits: no/, 'a change that fails is a warning');
is(aliases('') . ' ' . waiting(), 'good somebody, third somebody 1', '... it goes on waiting, and the others are made');
one(q{DROP TRIGGER refuse ON leadscore.lead_alias; SELECT leadscore.fold()});
is(aliases('bad'), 'bad person9', '... until its cause is mended');
start_over();

# ---------------------------------------------------------------- savepoints, exceptions, two phases

for my $held (0, 1)
{
	for my $case (
		[ 'rolled back to a savepoint', q{SAVEPOINT s; INSERT INTO shop.sale (lead) VALUES ('x') RETURNING leadscore.identify('x', 'y'); ROLLBACK TO s}, '' ],
		[ 'a savepoint that is released', q{SAVEPOINT s; INSERT INTO shop.sale (lead) VALUES ('x') RETURNING leadscore.identify('x', 'y'); RELEASE s}, 'x y' ],
		[ 'an exception', q{DO $$BEGIN WITH i AS (INSERT INTO shop.sale (lead) VALUES ('x') RETURNING lead) INSERT INTO shop.sale (lead) SELECT leadscore.identify(lead, 'y') FROM i; RAISE 'undo'; EXCEPTION WHEN raise_exception THEN NULL; END$$}, '' ],
		[ 'one change of two undone', q{SELECT leadscore.identify('w', 'y'); SAVEPOINT s; SELECT leadscore.identify('x', 'y'); ROLLBACK TO s}, 'w y' ])
	{
		my ($what, $commands, $expected) = @$case;
		for my $end ('COMMIT', q{PREPARE TRANSACTION 'p'})
		{
			my $name = "$what, " . ($held ? 'names held, ' : '') . $end;
			answer($a, q{BEGIN; SELECT leadscore.identify('x', 'somebody'), leadscore.identify('w', 'somebody')}) if $held;
			answer($b, "BEGIN; $commands; $end");
			answer($a, 'ROLLBACK') if $held;
			one(q{COMMIT PREPARED 'p'}) if $end ne 'COMMIT';
			one('SELECT leadscore.fold()');
			is(aliases('') . waiting(), "${expected}0", $name);
			is_true($node, $name);
			start_over();
		}
	}
}
# where somebody has disabled the trigger that would have counted the statement
one(q{ALTER TABLE shop.sale DISABLE TRIGGER "LEADSCORE_1_insert"});
for my $end ('COMMIT', q{PREPARE TRANSACTION 'p'})
{
	answer($b, "BEGIN; INSERT INTO shop.sale (lead) VALUES ('x'); SELECT leadscore.identify('x', 'y'); $end");
	one(q{COMMIT PREPARED 'p'}) if $end ne 'COMMIT';
	one('SELECT leadscore.fold()');
	is(aliases('') . waiting(), 'x y0', "a trigger is disabled, $end");
	one(q{SELECT leadscore.unidentify('x'); DELETE FROM shop.sale; CALL leadscore.rebuild()});
}
one(q{ALTER TABLE shop.sale ENABLE TRIGGER "LEADSCORE_1_insert"});
# a prepared transaction keeps its names
one(q{BEGIN; SELECT leadscore.identify('x', 'y'); PREPARE TRANSACTION 'p'});
answer($b, q{BEGIN; SELECT leadscore.identify('x', 'z'); COMMIT});
is(waiting(), 1, 'a prepared transaction keeps its names');
one(q{ROLLBACK PREPARED 'p'; SELECT leadscore.fold()});
is(aliases(''), 'x z', '... until it ends');
start_over();

# ---------------------------------------------------------------- stricter levels

for my $level ('REPEATABLE READ', 'SERIALIZABLE')
{
	# what waits is carried out by another since the snapshot
	answer($c, q{BEGIN; SELECT leadscore.identify('w1', 'somebody')});
	one(q{BEGIN; SELECT leadscore.identify('w1', 'w'), leadscore.identify('w2', 'w'); COMMIT; INSERT INTO leadscore_internal.pending_identity (alias, lead_id) VALUES ('w3', 'w')});
	answer($c, 'ROLLBACK');
	answer($_, "BEGIN ISOLATION LEVEL $level; SELECT count(*) FROM leadscore.lead") for $a, $b;
	one('SELECT leadscore.fold()');
	is(aliases('w'), 'w1 w, w2 w, w3 w', "$level: what waits is carried out by another");
	is(answer($a, q{SELECT leadscore.identify('u1', 'u'); SELECT leadscore.fold() >= 0; COMMIT}), "u\nt", "$level: who has an older snapshot makes a change of other names, and folds");
	# ... of the names in question
	is(answer($b, q{SELECT leadscore.unidentify('w1'); SELECT leadscore.identify('w9', 'w'); COMMIT}), "w\nw", "$level: and of these");
	one('SELECT leadscore.fold()');
	is(aliases('w') . waiting(), 'w2 w, w3 w, w9 w0', '... which are left to the next');
	is_true($node, $level);
	start_over();

	# unrelated changes beside each other, also while others wait
	answer($c, q{BEGIN; SELECT leadscore.identify('w1', 'somebody')});
	one(q{BEGIN; SELECT leadscore.identify('w1', 'w'); COMMIT});
	answer($_, "BEGIN ISOLATION LEVEL $level; SELECT count(*) FROM shop.sale WHERE id < 0") for $a, $b;
	is(answer($a, q{SELECT leadscore.identify('a1', 'a'), leadscore.identify('a2', 'a')}), 'a|a', "$level: one identifies");
	is(answer($b, q{SELECT leadscore.identify('b1', 'b'), leadscore.identify('w1', 'b')}), 'b|b', "$level: so does another, also a name that somebody has");
	is(answer($a, q{SELECT leadscore.identify('a3', 'a')}), 'a', "$level: and the first again");
	is(answer($_, 'COMMIT'), '', "$level: both commit") for $a, $b;
	answer($c, 'ROLLBACK');
	my ($out, $error) = ($node->psql('shop', 'SELECT leadscore.fold()'))[1, 2];
	like($error, qr/"w1" is already an alias of another lead/, "$level: of two that waited the first was made");
	is(one(q{SELECT count(*) FROM leadscore.lead_alias}) . waiting(), '50', '... and the others, too');
	start_over();
}

# ---------------------------------------------------------------- waiting for nobody

# Who has read a table waits for no name: DDL may queue for the table, and behind it who has the name.
my $offset = -s $node->logfile;
one(q{INSERT INTO leadscore.event (lead_id, kind) VALUES ('pa', 'order'), ('pb', 'order'); SELECT leadscore.identify('pa', 'pb')});
for my $table (map({ "leadscore.$_" } qw(lead_timeline lead_alias pending_delta event)), 'leadscore_internal.pending_identity')
{
	answer($a, q{BEGIN; SELECT leadscore.identify('pa', 'pb')});
	is(answer($b, "SELECT leadscore.unidentify('pa') FROM (SELECT count(*) FROM $table) t"), 'pb', "who has read $table leaves the change waiting");
	my $ddl = session();
	$ddl->query_until(qr/begun/, "\\echo begun\n" . ($table eq 'leadscore.lead_timeline' ? 'SELECT leadscore.partition_timelines(2);' : "BEGIN; LOCK TABLE $table IN ACCESS EXCLUSIVE MODE; COMMIT;") . "\n");
	is(answer($a, q{INSERT INTO leadscore.event (lead_id, kind) VALUES ('pc', 'order'); COMMIT}), '', "... and who has the name goes on");
	answer($ddl, 'SELECT 1');
	$ddl->quit;
	one(q{SELECT leadscore.fold(); SELECT leadscore.identify('pa', 'pb')});
}
# ... nor who has any other lock
answer($a, q{BEGIN; SELECT leadscore.identify('pa', 'pb')});
answer($b, q{SELECT pg_advisory_lock(77)});
is(answer($b, q{SELECT leadscore.unidentify('pa')}), 'pb', 'who has a lock of his own leaves the change waiting');
$a->query_until(qr/begun/, "\\echo begun\nSELECT pg_advisory_lock(77);\n");
answer($b, q{SELECT pg_advisory_unlock_all()});
answer($a, q{SELECT pg_advisory_unlock_all(); COMMIT});
one('SELECT leadscore.fold()');
is(aliases('pa'), '', '... and it is made');
unlike(slurp_file($node->logfile, $offset), qr/deadlock detected/, 'no deadlock');
start_over();

# ---------------------------------------------------------------- what rebuilds are told

one(q{INSERT INTO leadscore.event (lead_id, kind) SELECT 'n' || i, 'order' FROM generate_series(1, 30) i; SELECT leadscore.identify('n' || i, 'n') FROM generate_series(1, 30) i; SELECT leadscore.unidentify('n' || i) FROM generate_series(1, 30) i});
is(one('SELECT count(*) FROM leadscore_internal.parted_lead'), 0, 'where no rebuild is at work, nothing is left for one');
one(q{SELECT leadscore.identify('n1', 'n')});
answer($a, 'SELECT leadscore_internal.lock_rebuild()');
one(q{SELECT leadscore.unidentify('n1')});
is(one('SELECT count(*) FROM leadscore_internal.parted_lead'), 2, 'while one is at work, the names are left for it');
answer($a, 'SELECT leadscore_internal.unlock_rebuild()');
one(q{SELECT leadscore.identify('n2', 'n'), leadscore.unidentify('n2')});
is(one('SELECT count(*) FROM leadscore_internal.parted_lead'), 0, 'what one has left behind that failed goes with the next');
start_over();

$_->quit for $a, $b, $c;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal|XX000|out of shared memory/, 'the server never crashed, nor ran out of locks');
$node->stop;

done_testing();
