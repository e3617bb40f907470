# What goes wrong leaves nothing half done, and never makes the shop's statement fail: tables that change, statements
# that are broken off, full disks, hostile input.

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
	CREATE EXTENSION leadscore;
	INSERT INTO leadscore.signal (signal, kind) VALUES ('visit', 'visit'), ('order', 'order');
	CREATE SCHEMA shop;
	CREATE FUNCTION shop.track(source regclass) RETURNS void LANGUAGE sql AS $$
		SELECT leadscore.track(source, lead_id => 'lead', kind => 'order', occurred_at => 'placed', value => 'total', properties => '{properties}') $$;
	CREATE TABLE shop.template (lead text, placed timestamptz DEFAULT '2026-01-01', total numeric, properties jsonb)});

# A statement that must succeed; returns what the server said to it.
sub succeeds
{
	my ($command, $name) = @_;
	my ($status, $out, $error) = $node->psql('shop', $command, on_error_stop => 1);

	is($status, 0, $name) or diag($error);
	return $error;
}
sub table { my ($name) = @_; $node->safe_psql('shop', "CREATE TABLE shop.$name (LIKE shop.template INCLUDING ALL); SELECT shop.track('shop.$name')"); }

# ---------- columns of the mapping that go, or change ----------

for my $case (
	[ 'lead_renamed', 'ALTER TABLE shop.T RENAME lead TO who', q{INSERT INTO shop.T (who) VALUES ('x')} ],
	[ 'time_dropped', 'ALTER TABLE shop.T DROP placed', q{INSERT INTO shop.T (lead) VALUES ('x')} ],
	[ 'value_renamed', 'ALTER TABLE shop.T RENAME total TO amount', q{INSERT INTO shop.T (lead) VALUES ('x')} ],
	[ 'property_dropped', 'ALTER TABLE shop.T DROP properties', q{INSERT INTO shop.T (lead) VALUES ('x')} ],
	[ 'time_is_text', 'ALTER TABLE shop.T ALTER placed TYPE text', q{INSERT INTO shop.T (lead, placed) VALUES ('x', 'whenever that may have been')} ],
	[ 'time_is_a_number', q{ALTER TABLE shop.T ALTER placed DROP DEFAULT, ALTER placed TYPE bigint USING 0}, q{INSERT INTO shop.T (lead, placed) VALUES ('x', 1)} ],
	[ 'value_is_text', 'ALTER TABLE shop.T ALTER total TYPE text', q{INSERT INTO shop.T (lead, total) VALUES ('x', 'a lot')} ],
	[ 'property_is_json', 'ALTER TABLE shop.T ALTER properties TYPE json', q{INSERT INTO shop.T (lead, properties) VALUES ('x', '{"a": "\u0000"}')} ])
{
	my ($name, $change, $insert) = @$case;

	table($name);
	$node->safe_psql('shop', "INSERT INTO shop.$name (lead) VALUES ('before')");
	$node->safe_psql('shop', q{INSERT INTO leadscore.signal (signal, kind, match) VALUES ('a', 'order', '{"a": "b"}'); CALL leadscore.rebuild()}) if $name eq 'property_is_json';
	# (told once, to whom it concerns)
	like(succeeds($change =~ s/\bT\b/$name/r, "$name: the change is made"), qr/WARNING:.*shop\.$name/, '... with a warning');
	unlike(succeeds($insert =~ s/\bT\b/$name/r, '... an insert succeeds'), qr/WARNING/, '... without one');
	like($node->safe_psql('shop', q{SELECT name, state FROM leadscore.status WHERE object = 'source'}), qr/$name/, '... and status tells');
	succeeds("UPDATE shop.$name SET total = NULL", '... an update, too') if $name !~ /^value/;
	succeeds("TRUNCATE shop.$name", '... a truncate, too');
	my ($status, undef, $error) = $node->psql('shop', 'SELECT count(*) FROM leadscore.verify()');
	ok($status == 0 || $error =~ /column "\w+" of table shop.$name|shop.$name.*column/s && $error =~ /untrack/, '... verify() answers, or names the column and what to do') or diag($error);
	succeeds("SELECT leadscore.untrack('shop.$name')", '... it can be untracked');
	$node->safe_psql('shop', "DROP TABLE shop.$name; CALL leadscore.rebuild()");
	is($node->safe_psql('shop', 'SELECT count(*) FROM leadscore.verify()'), '0', '... and rebuilt');
}

# A column of another type that can be read is read.
table('altered');
succeeds(q{INSERT INTO shop.altered (lead, total) VALUES ('1', 2); ALTER TABLE shop.altered ALTER lead TYPE int USING lead::int, ALTER total TYPE float8;
	INSERT INTO shop.altered (lead, total) VALUES (1, 2.5), (7, 3)}, 'columns of other types');
is_true($node, 'columns of other types');

# ---------- statements that do not end ----------

table('broken');
my $many = q{INSERT INTO shop.broken (lead, total) SELECT 'lead ' || i % 5000, i FROM generate_series(1, 60000) i};
for my $ms (20, 60, 120, 180, 250, 350)
{
	$node->psql('shop', "SET statement_timeout = $ms; $many");
}
is_true($node, 'statement_timeout in mid-statement');
for my $n (1 .. 4)
{
	my ($out, $err) = ('', '');
	my $client = IPC::Run::start([ 'psql', '-X', '-h', $node->host, '-p', $node->port, '-c', $many, 'shop' ], '>', \$out, '2>', \$err);
	Time::HiRes::sleep(0.05 + rand 0.25);
	$node->safe_psql('shop', q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'INSERT INTO shop.broken%' AND state = 'active' AND pid <> pg_backend_pid()});
	$client->finish;
}
is_true($node, 'pg_cancel_backend() in mid-statement');
succeeds(q{BEGIN; SAVEPOINT a; INSERT INTO shop.broken (lead) VALUES ('sub'); ROLLBACK TO a; INSERT INTO shop.broken (lead) VALUES ('sub 2'); SAVEPOINT b;
	DELETE FROM shop.broken WHERE lead LIKE 'lead 1%'; TRUNCATE shop.broken; ROLLBACK TO b; INSERT INTO shop.broken (lead) VALUES ('sub 3'); COMMIT}, 'subtransactions that are rolled back');
is_true($node, 'subtransactions');
succeeds(q{BEGIN; SAVEPOINT a; INSERT INTO leadscore.signal (signal) VALUES ('never'); INSERT INTO shop.broken (lead) VALUES ('n'); SELECT leadscore.identify('n', 'm');
	INSERT INTO shop.broken (lead) VALUES ('n'); ROLLBACK TO a; INSERT INTO shop.broken (lead) VALUES ('n'); COMMIT}, 'signals and aliases of a subtransaction that is rolled back');
is_true($node, 'they were never there');
succeeds(q{BEGIN; INSERT INTO shop.broken (lead) VALUES ('p'); PREPARE TRANSACTION 'p'}, 'a prepared transaction');
is_true($node, 'prepared');
succeeds(q{COMMIT PREPARED 'p'}, 'committed');
is_true($node, 'committed');

# The disk is full: there is no small file system without privileges, but what the server meets is the same error (53100
# or 53400) that temp_file_limit raises when rows spill, and any error from lead_timeline, such as a trigger of the
# DBA's raises that stands for a full tablespace.
my ($status, $out, $error) = $node->psql('shop', "SET work_mem = '64kB'; SET temp_file_limit = '100kB'; $many");
like($error, qr/temporary file size exceeds/, 'no space for what spills: the statement fails as a whole');
is_true($node, 'no space for what spills');
$node->safe_psql('shop', q{
	CREATE FUNCTION shop.full() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF NEW.lead_id > 'lead 3' THEN
			RAISE disk_full;
		END IF;
		RETURN NEW;
	END $$;
	CREATE TRIGGER a BEFORE INSERT OR UPDATE ON leadscore.lead_timeline FOR EACH ROW EXECUTE FUNCTION shop.full()});
succeeds($many, 'no space for timelines, behind a trigger: the statement appends');
succeeds(q{INSERT INTO shop.broken (lead) VALUES ('lead 9')}, '... of one row, too');
is($node->safe_psql('shop', 'SELECT count(*) FROM leadscore.verify()'), '0', '... timelines equal events');
($status, $out, $error) = $node->psql('shop', 'SELECT leadscore.fold()');
like($error, qr/disk_full/, '... and fold() fails as a whole');
$node->safe_psql('shop', 'DROP TRIGGER a ON leadscore.lead_timeline; DROP FUNCTION shop.full()');
is_true($node, 'no space for timelines');
$node->safe_psql('shop', 'DROP TABLE shop.altered; TRUNCATE shop.broken; CALL leadscore.rebuild()');

# ---------- hostile input ----------

table('hostile');
my $log_offset = -s $node->logfile;
succeeds(q{INSERT INTO shop.hostile (lead) VALUES (repeat('x', 1000000)), (''), (NULL), (repeat('ä', 512)), (repeat('ä', 513)), (E'\u0001'), ('"'), ('{}'), ('null'), ('🛒')}, 'lead ids of all sorts');
is($node->safe_psql('shop', q{SELECT count(*) FROM leadscore.current_timeline}), '6', 'those of 1 to 1024 bytes are counted');
succeeds(q{INSERT INTO shop.hostile (lead, placed) VALUES ('t', NULL), ('t', '-infinity'), ('t', 'infinity'), ('t', '4713-01-01 BC'), ('t', '294276-01-01'), ('t', '1969-12-31 23:59:59+00'),
	('t', '1970-01-01 00:00:00+00'), ('t', '9999-12-31 23:00:00+00'), ('t', '10000-01-01 00:00:00+00'), ('t', now() + interval '10 years')}, 'clocks in the future and in the past');
is($node->safe_psql('shop', q{SELECT sum(e.occurrences) FROM leadscore.current_timeline t, leadscore.timeline_entries(t.timeline) e WHERE lead_id = 't' AND signal_id = 2}), '3', 'the years 1970 to 9999 are counted');
succeeds(q{INSERT INTO shop.hostile (lead, total) VALUES ('n', 'NaN'), ('n', 'Infinity'), ('n', '-Infinity'), ('n', 1e12), ('n', 1e1000), ('n', 0.0000001), ('n', -999999999999.999999)}, 'values of all sorts');
is_true($node, 'hostile rows');
succeeds(q{UPDATE shop.hostile SET lead = 'u', placed = '2026-01-01', total = 1; DELETE FROM shop.hostile}, 'hostile rows change and go');
is_true($node, 'hostile rows are gone');
is($node->safe_psql('shop', 'SELECT count(*) FROM leadscore.current_timeline'), '0', 'nothing stays');

succeeds(q{INSERT INTO shop.hostile (lead, total) SELECT 'rich', 999999999999 FROM generate_series(1, 9)}, 'values near the limit');
succeeds(q{INSERT INTO shop.hostile (lead, total) SELECT 'rich', 999999999999 FROM generate_series(1, 9)}, 'sums beyond 64 bits, over statements');
succeeds(q{INSERT INTO shop.hostile (lead, total) SELECT 'richer', 999999999999 FROM generate_series(1, 30)}, 'sums beyond 64 bits, within a statement');
is_true($node, 'sums beyond 64 bits');
succeeds(q{INSERT INTO leadscore.event (lead_id, kind, occurred_at, value) VALUES ('rich', 'order', '2026-01-01 01:00', 1); DELETE FROM leadscore.event WHERE lead_id = 'rich'}, 'an event of such a lead');
$node->safe_psql('shop', q{CREATE TABLE shop.copied (LIKE shop.hostile INCLUDING DEFAULTS); INSERT INTO shop.copied SELECT * FROM shop.hostile;
	SELECT leadscore.identify('rich', 'richer'); CALL leadscore.rebuild(); SELECT leadscore.unidentify('rich')});
is_true($node, 'they move to another lead and back');
succeeds(q{TRUNCATE shop.hostile}, 'they go at once');
is_true($node, 'they are gone');
is($node->safe_psql('shop', q{SELECT count(*) FROM leadscore.lead_timeline WHERE lead_id LIKE 'rich%'}), '0', 'without a trace');
succeeds(q{INSERT INTO shop.hostile SELECT * FROM shop.copied}, 'they come back');
$node->safe_psql('shop', 'TRUNCATE leadscore.lead_timeline; CALL leadscore.rebuild()');
is_true($node, 'what is rebuilt overflows in the same way');
succeeds(q{DELETE FROM shop.hostile}, 'they go one by one');
is_true($node, 'they are gone again');

$node->safe_psql('shop', q{
	INSERT INTO leadscore.signal (signal, kind, condition) VALUES ('divides', 'order', '10 / $.a > 2'), ('deep', 'order', '$.** == 7'), ('matches', 'order', '$.a like_regex "^(x+x+)+y"');
	INSERT INTO leadscore.signal (signal, kind, match) VALUES ('nested', 'order', '{"a": {"a": {"a": 1}}}')});
$node->safe_psql('shop', 'CALL leadscore.rebuild()');
succeeds(q{INSERT INTO shop.hostile (lead, properties) VALUES ('c', '{"a": 0}'), ('c', '{"a": 1}'), ('c', '{"a": "x"}'), ('c', '{}'), ('c', '[1]'), ('c', '7'), ('c', 'null'), ('c', NULL), ('c', '{"a": [1, 2]}')},
	'a condition that raises an error on some rows');
succeeds(q{INSERT INTO shop.hostile (lead, properties) SELECT 'd', (repeat('{"a":', n) || '7' || repeat('}', n))::jsonb FROM unnest(ARRAY[3, 200, 5000]) n}, 'objects nested 200 and 5000 levels deep');
succeeds(q{INSERT INTO shop.hostile (lead, properties) SELECT 'w', jsonb_object_agg('k' || i, i) FROM generate_series(1, 20000) i}, 'an object with 20000 members');
is_true($node, 'hostile properties');
succeeds(q{CREATE TABLE shop.deep AS SELECT (repeat('{"a":', 4000) || '7' || repeat('}', 4000))::jsonb AS p;
	SET max_stack_depth = '100kB'; INSERT INTO shop.hostile (lead, properties) SELECT 's', p FROM shop.deep; RESET max_stack_depth; DELETE FROM shop.hostile WHERE lead = 's'},
	'an object too deep for the stack');
$node->safe_psql('shop', q{CALL leadscore.rebuild()});
$node->safe_psql('shop', 'DELETE FROM shop.hostile; DELETE FROM leadscore.signal WHERE condition IS NOT NULL OR match IS NOT NULL; CALL leadscore.rebuild()');

# An array or a composite type of json is made jsonb only when a signal looks: text that is no jsonb must not make the row fail.
$node->safe_psql('shop', q{
	INSERT INTO leadscore.signal (signal, kind, match) VALUES ('looks', 'order', '{"a": "b"}');
	CREATE TYPE shop.pair AS (x json, y int)});
for my $type ('json[]', 'shop.pair')
{
	my $name = $type =~ s/\W//gr;
	my ($status) = $node->psql('shop', qq{CREATE TABLE shop.p_$name (lead text, placed date DEFAULT '2026-01-01', properties $type);
		SELECT leadscore.track('shop.p_$name', lead_id => 'lead', kind => 'order', occurred_at => 'placed', properties => '{properties}')}, on_error_stop => 1);
	if ($status)
	{
		pass("a property of type $type is refused");
		next;
	}
	my $value = $type eq 'json[]' ? q(ARRAY['{"a": "\u0000"}'::json]) : q(ROW('{"a": "\u0000"}', 1)::shop.pair);
	succeeds("INSERT INTO shop.p_$name (lead, properties) VALUES ('j', $value)", "json within a property of type $type");
}

# 100,000 signals.
$node->safe_psql('shop', q{INSERT INTO leadscore.signal (signal, kind) SELECT 'many ' || i, 'kind ' || i % 1000 FROM generate_series(1, 100000) i});
succeeds(q{SET statement_timeout = '180s'; INSERT INTO leadscore.event (lead_id, kind, occurred_at) SELECT 'm' || i % 10, 'kind ' || i, '2026-01-01' FROM generate_series(1, 200) i}, '100,000 signals');
succeeds(q{SET statement_timeout = '180s'; INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('m', 'order', '2026-01-01')}, '... and another event');
is_true($node, '100,000 signals');

unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile, $log_offset), qr/PANIC|TRAP|terminated by signal|just written is gone/, 'the server never crashed');
$node->stop;

done_testing();
