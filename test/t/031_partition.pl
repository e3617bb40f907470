# lead_timeline split into tables, put together again, and split otherwise: while writers write, for queries with older
# snapshots, in dumps, after a crash. Every timeline stays what the events say.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Workload;

my $node = new_node('main');
$node->start;
setup_shop($node);
$node->safe_psql('shop', 'CREATE EXTENSION amcheck; CREATE SCHEMA check_it');

sub query { return $node->safe_psql('shop', $_[0]); }
sub split_into { my ($n) = @_; return query("SELECT leadscore.partition_timelines($n)"); }
sub tables { return query(q{SELECT coalesce(string_agg(inhrelid::regclass::text, ' ' ORDER BY inhrelid::regclass::text COLLATE "C"), '')
	FROM pg_inherits WHERE inhparent = 'leadscore.lead_timeline'::regclass}); }
sub session { return $node->background_psql('shop', on_error_stop => 0); }

# Each row lies where its lead belongs, once; heap and index agree; and the base of archived hours is split alike.
sub in_order
{
	my ($name) = @_;

	is(query(q{
		SELECT tableoid::regclass, lead_id FROM leadscore.lead_timeline
		WHERE tableoid <> leadscore_internal.table_of_lead(lead_id) LIMIT 5}), '', "$name: each lead is where it belongs");
	is(query('SELECT lead_id FROM leadscore.lead_timeline GROUP BY 1 HAVING count(*) > 1 LIMIT 5'), '', '... once');
	is(query(q{
		SELECT c.oid::regclass, v.msg FROM pg_class c, verify_heapam(c.oid::regclass) v
		WHERE c.relnamespace = 'leadscore'::regnamespace AND c.relname ~ '^lead_timeline(_[0-9]+)?$'}), '', '... in sound heaps');
	is(query(q{
		SELECT count(bt_index_check(c.oid::regclass, true)) > 0 FROM pg_class c
		WHERE c.relnamespace = 'leadscore'::regnamespace AND c.relname ~ '^lead_timeline(_[0-9]+)?_pkey$'}), 't', '... with sound indexes');
	is(query(q{SELECT count(*), (SELECT greatest(count(*), 1) FROM leadscore_internal.base_tables()) - least(leadscore.partitions(), 64),
		count(*) FILTER (WHERE (tableoid = 'leadscore_internal.timeline_base_whole'::regclass) <> (leadscore.partitions() = 1)) FROM leadscore_internal.timeline_base}),
		'1003|0|0', '... and so is the base of archived hours');
	is(query('SELECT * FROM leadscore.status WHERE object = $$lead_timeline$$'), '', '... and nothing to be done');
	return is(query($Workload::differences), '', '... and timelines equal events');
}

# ---------- what it makes ----------

query(q{
	CREATE ROLE reader; CREATE ROLE admin; CREATE ROLE columns;
	SELECT leadscore.grant_reader('reader'); SELECT leadscore.grant_admin('admin');
	GRANT SELECT (lead_id) ON leadscore.lead_timeline TO columns WITH GRANT OPTION;
	GRANT USAGE ON SCHEMA shop TO admin; GRANT SELECT ON ALL TABLES IN SCHEMA shop TO admin;
	ALTER TABLE leadscore.lead_timeline SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, toast.autovacuum_enabled = off);
	ALTER TABLE leadscore.lead_timeline ALTER timeline SET STORAGE extended;
	CREATE STATISTICS leadscore.own ON lead_id, (length(lead_id)) FROM leadscore.lead_timeline;
	INSERT INTO leadscore.event (lead_id, kind, occurred_at) SELECT 'lead ' || i % 1000, 'visit', timestamptz '2026-01-01' + i * interval '1 hour' FROM generate_series(1, 2000) i;
	INSERT INTO leadscore.event (lead_id, kind, occurred_at) SELECT 'lead ' || i, 'visit', '2000-06-01' FROM generate_series(0, 999) i;
	-- out of line
	INSERT INTO leadscore.event (lead_id, kind, occurred_at, value) SELECT 'bot ' || i % 3, 'visit', timestamptz '2000-01-01' + i * interval '5 hours', i * 0.37 FROM generate_series(1, 4000) i;
	INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('Zoë', 'visit', '2026-01-01'), ('顧客', 'visit', '2026-01-01'), (repeat('x', 1024), 'visit', '2026-01-01');
	CREATE TABLE shop.kept AS TABLE leadscore.lead_timeline});
query(q{CALL leadscore.archive('2001-01-01')});
query(q{DELETE FROM leadscore.event WHERE occurred_at < '2001-01-01'});
my $changed = q{SELECT count(*) FROM shop.kept k FULL JOIN leadscore.lead_timeline t USING (lead_id) WHERE (k.timeline OPERATOR(leadscore.=) t.timeline) IS NOT TRUE};
my $scores = q{SELECT sum(leadscore.score(lead_id, 'ecommerce', '2026-02-01')) FROM (SELECT lead_id FROM shop.kept UNION ALL VALUES ('nobody')) k};
my $score = query($scores);
is(query('SELECT leadscore.partitions()'), '1', 'it is whole at first');
is(split_into(4), '', 'split into four');
is(query('SELECT leadscore.partitions()'), '4', '... four');
is(tables(), join(' ', map { "leadscore.lead_timeline_$_" } 0 .. 3), '... tables');
is(query(q{SELECT count(*), min(number), max(number) FROM leadscore_internal.base_tables()}), '4|0|3', '... the base, too');
is(query('SELECT count(*) FROM ONLY leadscore.lead_timeline'), '0', '... lead_timeline itself is empty');
is(query($changed), '0', '... all rows are there, as they were');
is(query($scores), $score, '... score() finds them');
is(query('SELECT count(*) FROM (SELECT tableoid FROM leadscore.lead_timeline GROUP BY 1 HAVING count(*) BETWEEN 200 AND 300) t'), '4', '... evenly');
in_order('split');

# The hash is FNV-1a with the last steps of MurmurHash3; figures worked out by another program.
is(query(q{SELECT string_agg(leadscore.timeline_partition(l, 1024)::text, ' ') FROM unnest('{a,anna,Zoë}'::text[]) l}), '603 441 953', 'the hash is what it always was');
is(query('SELECT leadscore.timeline_partition(NULL, 3) IS NULL AND leadscore.timeline_partition($$a$$, NULL) IS NULL'), 't', 'NULL for NULL');
like(($node->psql('shop', q{SELECT leadscore.timeline_partition('a', 0)}))[2], qr/must be at least 1/, 'but not without a table');

my $like = q{SELECT string_agg(DISTINCT format($$%s %s %s %s$$, c.reloptions, t.reloptions, a.attstorage, c.relpersistence), ' ')
	FROM pg_class c JOIN pg_class t ON t.oid = c.reltoastrelid JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'timeline'
	WHERE c.relnamespace = 'leadscore'::regnamespace AND c.relname ~ '^lead_timeline};
is(query("$like(_[0-9])?\$'"), query("$like\$'"), 'storage, fillfactor and autovacuum settings are those of lead_timeline');
is(query(q{SELECT string_agg(DISTINCT relacl::text, ' ') FROM pg_class WHERE relnamespace = 'leadscore'::regnamespace AND relname ~ '^lead_timeline(_[0-9])?$'}),
	query(q{SELECT relacl::text FROM pg_class WHERE oid = 'leadscore.lead_timeline'::regclass}), '... and rights');
is(query(q{SELECT has_column_privilege('columns', 'leadscore.lead_timeline_3', 'lead_id', 'SELECT WITH GRANT OPTION') AND NOT has_column_privilege('columns', 'leadscore.lead_timeline_3', 'timeline', 'SELECT')}),
	't', '... to columns, too');
is(query(q{SELECT count(*) FROM pg_depend WHERE objid IN ('leadscore.lead_timeline_0'::regclass, 'leadscore_internal.timeline_base_0'::regclass) AND deptype = 'e'}), '0', 'they are no members of the extension');
is(query(q{SELECT string_agg(DISTINCT format('%s %s %s', c.relacl, c.relreplident, (SELECT count(*) FROM pg_index i WHERE i.indrelid = c.oid)), ' ') FROM pg_class c WHERE c.oid = 'leadscore_internal.timeline_base_whole'::regclass OR c.oid IN (SELECT name FROM leadscore_internal.base_tables())}),
	query(q{SELECT format('%s f 1', relacl) FROM pg_class WHERE oid = 'leadscore_internal.timeline_base_whole'::regclass}), '... and those of the base are all alike');

# ---------- plans ----------

my $parallel = 'SET max_parallel_workers_per_gather = 4; SET min_parallel_table_scan_size = 0; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; EXPLAIN (COSTS off)';
for my $query ('SELECT count(*) FROM leadscore.lead_timeline', q{SELECT max(leadscore.score((SELECT leadscore.scorecard('ecommerce')), timeline, NULL, now())) FROM leadscore.lead_timeline})
{
	my $plan = query("$parallel $query");
	my @scans = $plan =~ /Parallel Seq Scan on lead_timeline_\d/g;

	ok($plan =~ /Gather/ && $plan =~ /Parallel Append/ && @scans == 4, "in parallel: $query") or diag($plan);
}
like(query('EXPLAIN (COSTS off) SELECT * FROM leadscore.lead_score'), qr/Scan on lead_timeline_0 .*Scan on lead_timeline_3 /s, 'the view reads them, too');
like(query("SET enable_seqscan = off; SET enable_bitmapscan = off; EXPLAIN (COSTS off) SELECT timeline FROM leadscore.lead_timeline WHERE lead_id = 'a'"), qr/Append\n(.*Index Scan using lead_timeline(_\d)?_pkey .*\n.*Index Cond.*\n?){5}/, 'a look-up by key looks into each table');

# ---------- what it refuses ----------

for my $case ([ '0', qr/must be between 1 and 1024.*It is 0/s ], [ '-1', qr/must be between 1 and 1024/ ], [ '1025', qr/must be between 1 and 1024/ ], [ 'NULL', qr/the number of partitions is NULL/ ])
{
	like(($node->psql('shop', "SELECT leadscore.partition_timelines($case->[0])"))[2], $case->[1], "refused: $case->[0]");
}
like(($node->psql('shop', "BEGIN ISOLATION LEVEL $_; SELECT leadscore.partition_timelines(2)"))[2], qr/must run at the isolation level read committed/, "refused: $_") for 'REPEATABLE READ', 'SERIALIZABLE';
like(($node->psql('shop', 'SET ROLE reader; SELECT leadscore.partition_timelines(2)'))[2], qr/permission denied for function partition_timelines/, 'refused: a reader');
like(($node->psql('shop', q{INSERT INTO leadscore.lead_timeline VALUES ('new', '{}')}))[2], qr/lead_timeline is split into 4 tables.*timeline_partition/s, 'refused: a row in lead_timeline itself');
like(($node->psql('shop', q{INSERT INTO leadscore.lead_timeline_0 SELECT l, '{}' FROM unnest('{a,b,c,d,e,f,g,h}'::text[]) l}))[2], qr/violates check constraint "lead_timeline_\d_leads"/, 'refused: a row in the wrong table');
like(($node->psql('shop', 'SELECT leadscore.partition_timelines(2) FROM leadscore.lead_timeline'))[2], qr/being used by active queries/, 'refused: in a query that reads it');
query(q{CREATE FUNCTION shop.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER t AFTER INSERT OR UPDATE ON leadscore.lead_timeline FOR EACH ROW EXECUTE FUNCTION shop.nothing()});
like(($node->psql('shop', 'SELECT leadscore.partition_timelines(2)'))[2], qr/has triggers or foreign keys/, 'refused: with a trigger');
query('DROP TRIGGER t ON leadscore.lead_timeline; CREATE TABLE shop.refers (lead text REFERENCES leadscore.lead_timeline)');
like(($node->psql('shop', 'SELECT leadscore.partition_timelines(2)'))[2], qr/has triggers or foreign keys/, 'refused: with a foreign key');
query('DROP TABLE shop.refers; CREATE VIEW shop.depends AS SELECT * FROM leadscore.lead_timeline_1');
like(($node->psql('shop', 'SELECT leadscore.partition_timelines(2)'))[2], qr/because other objects depend on/, 'refused: with a view of one of the tables');
query('DROP VIEW shop.depends');
is(tables(), join(' ', map { "leadscore.lead_timeline_$_" } 0 .. 3), 'nothing has changed');
is(query('SET ROLE admin; SELECT leadscore.partition_timelines(4)'), '', 'an administrator may; it is so already');
in_order('after all that');

# ---------- otherwise ----------

for my $n (7, 2, 1, 130, 3)
{
	split_into($n);
	is(query('SELECT leadscore.partitions()'), $n, "into $n");
	is(query($changed), '0', '... all rows are there');
	is(query($scores), $score, '... and found');
	in_order("into $n");
}
query(q{ALTER TABLE leadscore.lead_timeline ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON leadscore.lead_timeline USING (lead_id <> 'lead 1')});
split_into(2);
like(($node->psql('shop', 'SET ROLE reader; SELECT * FROM leadscore.lead_timeline_0'))[2], qr/permission denied/, 'nobody gets past a policy on lead_timeline');
is(query(q{SET ROLE reader; SELECT count(*) FROM leadscore.lead_timeline WHERE lead_id IN ('lead 1', 'lead 2')}), '1', '... which holds');
query('ALTER TABLE leadscore.lead_timeline DISABLE ROW LEVEL SECURITY; DROP POLICY p ON leadscore.lead_timeline');

# ---------- the same transaction, and one that is given up ----------

query(q{
	BEGIN; INSERT INTO leadscore.event (lead_id, kind, occurred_at) SELECT x, 'visit', '2026-01-01' FROM unnest('{one,zero}'::text[]) x;
	SAVEPOINT s; INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('zero', 'visit', '2026-01-02'); ROLLBACK TO s; SAVEPOINT s;
	SELECT count(*) FROM (SELECT FROM leadscore.lead_timeline WHERE lead_id IN ('one', 'lead 4') FOR UPDATE) l;
	INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('one', 'visit', '2026-01-02'), ('lead 1', 'visit', '2026-01-01'); ROLLBACK TO s;
	INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('two', 'visit', '2026-01-02'); SELECT leadscore.partition_timelines(5);
	INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('one', 'visit', '2026-01-02'), ('three', 'visit', '2026-01-01'), ('lead 2', 'visit', '2026-01-01'); COMMIT});
in_order('split in a transaction that has written');
query(q{BEGIN; SELECT leadscore.partition_timelines(1); INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('four', 'visit', '2026-01-02'), ('lead 3', 'visit', '2026-01-01'); ROLLBACK});
is(query('SELECT leadscore.partitions()'), '5', 'given up');
in_order('given up');

# ---------- our tables, changed by somebody ----------

my $write = q{INSERT INTO leadscore.event (lead_id, kind, occurred_at) SELECT 'w' || i % 20, 'visit', timestamptz '2026-01-01' + i * interval '1 day' FROM generate_series(1, 100) i;
	SELECT leadscore.identify('w1', 'w2'), leadscore.identify('new', 'w3'), leadscore.unidentify('w1'), leadscore.unidentify('new'); DELETE FROM leadscore.event WHERE lead_id LIKE 'w%'};
query("CREATE TRIGGER t AFTER INSERT OR UPDATE ON leadscore.lead_timeline_2 FOR EACH ROW EXECUTE FUNCTION shop.nothing(); $write");
in_order('a table has a trigger');
is(query(q{SELECT count(*) FROM leadscore.lead_timeline WHERE lead_id LIKE 'w%'}), '0', '... and nothing empty stays');
split_into(1);
query(q{ALTER TABLE leadscore.lead_timeline ADD gone int, ADD note text DEFAULT 'x', ADD n int NOT NULL DEFAULT 7; ALTER TABLE leadscore.lead_timeline DROP gone; CREATE INDEX extra ON leadscore.lead_timeline (n)});
split_into(3);
query($write);
is(query('SELECT count(*) FROM leadscore.lead_timeline WHERE n IS DISTINCT FROM 7 OR note IS DISTINCT FROM $$x$$'), '0', 'other columns are moved, too');
is(query(q{SELECT count(*) FROM pg_indexes WHERE tablename ~ '^lead_timeline_\d$' AND indexdef LIKE '% (n)'}), '3', '... and have their index');
in_order('with other columns');
split_into(1);
query('ALTER TABLE leadscore.lead_timeline DROP note, DROP n');
in_order('without them');

query(q{CREATE TABLE shop.mine () INHERITS (leadscore.lead_timeline); CREATE TABLE leadscore.lead_timeline_x () INHERITS (leadscore.lead_timeline)});
is(query("$write; SELECT leadscore.partitions(), count(*) FROM leadscore.verify()"), "w2|w3|w2|w3\n1|0", 'a child of somebody else is nothing to us');
split_into(2);
in_order('also when it is split');
query('DROP TABLE shop.mine, leadscore.lead_timeline_x');

query('DROP TABLE leadscore.lead_timeline_0');
like(query('SELECT state, action FROM leadscore.status'), qr/some of its tables are missing\|SELECT leadscore.partition_timelines\(1\); CALL leadscore.rebuild\(\)/, 'a table that is missing is noticed');
like(($node->psql('shop', q{INSERT INTO leadscore.event (lead_id, kind) VALUES ('n', 'visit')}))[2], qr/the table leadscore.lead_timeline_0 is missing/, '... by writers');
like(($node->psql('shop', q{SELECT leadscore.score('n', 'ecommerce')}))[2], qr/the table leadscore.lead_timeline_0 is missing/, '... and readers');
query('SELECT leadscore.partition_timelines(1); CALL leadscore.rebuild()');
in_order('what is to be done mends it');
split_into(2);
query('DROP TABLE leadscore.lead_timeline_1; SELECT leadscore.partition_timelines(1); CALL leadscore.rebuild()');
in_order('the last one, too');
split_into(2);
query(q{ALTER TABLE leadscore.lead_timeline DISABLE TRIGGER guard_timelines; INSERT INTO leadscore.lead_timeline VALUES ('stray', '{1: 2026-01-01T00Z 1}'); ALTER TABLE leadscore.lead_timeline ENABLE TRIGGER guard_timelines});
like(query('SELECT state FROM leadscore.status'), qr/is split, but has rows itself/, 'a row that is in lead_timeline itself is noticed');
like(($node->psql('shop', 'SELECT leadscore.partition_timelines(1)'))[2], qr/is split, but has rows itself.*DELETE FROM ONLY/s, '... and not overwritten');
query('DELETE FROM ONLY leadscore.lead_timeline; CALL leadscore.rebuild()');
in_order('mended');

# ---------- those who wait ----------

for my $case ([ 1, 4 ], [ 4, 6 ], [ 6, 1 ], [ 1, 3 ])
{
	my ($from, $to) = @$case;
	my $what = "from $from to $to";

	split_into($from);
	query(q{SELECT leadscore.identify('lead 20', 'lead 21')});
	my ($one, $writer, $reader, $caller, $rebuild, $verify, $old) = map { session() } 1 .. 7;
	$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM leadscore.signal');
	query(q{INSERT INTO leadscore.event (lead_id, kind, occurred_at) SELECT l, 'visit', '2026-01-09' FROM unnest('{lead 1,lead 2,lead 3,lead 4,just born,bot 1}'::text[]) l;
		INSERT INTO leadscore.event (lead_id, kind, occurred_at) SELECT l, 'visit', '2026-01-10' FROM unnest('{lead 1,lead 2,lead 3,lead 4,just born,bot 1}'::text[]) l;
		DELETE FROM leadscore.event WHERE lead_id = 'lead ' || 100 + ascii('} . $to . q{')});
	$one->query_safe("BEGIN; SELECT leadscore.partition_timelines($to)");
	$writer->query_until(qr/started/, "\\echo started\nINSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('lead 5', 'visit', '2026-01-11'), ('lead 6', 'visit', '2026-01-11'), ('new $what', 'visit', '2026-01-11');\n");
	$reader->query_until(qr/started/, "\\echo started\nSELECT 'score ' || (leadscore.score('lead 7', 'ecommerce', '2026-02-01') > 0);\n");
	$caller->query_until(qr/started/, "\\echo started\nSELECT leadscore.partition_timelines($to + 1);\n");
	$rebuild->query_until(qr/started/, "\\echo started\nCALL leadscore.rebuild();\n");
	$verify->query_until(qr/started/, "\\echo started\nSELECT 'differences ' || count(*) FROM leadscore.verify();\n");
	ok($node->poll_query_until('shop', q{SELECT count(*) = 5 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND pid <> pg_backend_pid()}), "$what: all wait");
	$one->query_safe('COMMIT');
	# rather an error than a table that looks empty
	for my $query ('SELECT count(*) FROM leadscore.current_timeline', 'SELECT count(*) FROM leadscore.lead_score', 'SELECT * FROM leadscore.top(3)',
		q{SELECT leadscore.score('lead 7', 'ecommerce', '2026-02-01')}, q{SELECT * FROM leadscore.explain('lead 7')}, 'SELECT count(*) FROM leadscore.verify()', q{SELECT * FROM leadscore.forget('lead 22')})
	{
		$old->{stderr} = '';
		$old->query("SAVEPOINT s; $query; ROLLBACK TO s");
		like($old->{stderr}, qr/could not serialize access due to concurrent update/, "$what: with an older snapshot: $query");
		$old->query('ROLLBACK TO s');
	}
	$old->{stderr} = '';
	$old->query(q{INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('lead 7', 'visit', '2026-01-11'), ('new old', 'visit', '2026-01-11')});
	is($old->{stderr}, '', '... but a writer writes');
	$old->query(q{SELECT leadscore.unidentify('lead 20'); COMMIT});
	like($old->{stderr}, qr/^\S+ NOTICE:  the change of "lead 20" waits/, '... and a name that is given back, of whose base it sees nothing, waits');
	like($reader->query('SELECT 1'), qr/score true/, "$what: a reader who has waited finds the lead");
	like($verify->query('SELECT 1'), qr/differences 0/, '... verify() no difference');
	$_->query('SELECT 1') for $writer, $caller, $rebuild;
	is(join('', map { $_->{stderr} } $one, $writer, $caller, $rebuild), '', '... and nobody an error');
	$_->quit for $one, $writer, $reader, $caller, $rebuild, $verify, $old;
	is(query('SELECT leadscore.partitions()'), $to + 1, 'two at once: the second goes on from the first');
	in_order($what);
}
split_into(1);
{
	my ($one, $writer) = (session(), session());

	$one->query_safe('BEGIN; SELECT leadscore.partition_timelines(4)');
	$writer->query_until(qr/started/, "\\echo started\nINSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('lead 5', 'visit', '2026-01-12'), ('not split', 'visit', '2026-01-12');\n");
	$one->query_safe('ROLLBACK');
	$writer->query('SELECT 1');
	is($writer->{stderr}, '', 'given up, while a writer waits');
	$_->quit for $one, $writer;
	in_order('given up, while a writer waits');
}

# ---------- while writers write ----------

for my $level ('read committed', 'repeatable read', 'serializable')
{
	my $load = start_load($node, int(seconds('LEADSCORE_LOAD_SECONDS', 18) / 3) || 1, level => $level);
	my ($splits, $wrong) = (0, '');

	for my $n (4, 8, 1, 3)
	{
		split_into($n);
		$splits++;
		$wrong ||= query($Workload::differences =~ s/except/small/r);
		select undef, undef, undef, 0.5;
	}
	finish_load($load);
	is($wrong, '', "$level: timelines equal events, while they are split $splits times");
	in_order($level);
}
is(query(q{SELECT deadlocks FROM pg_stat_database WHERE datname = 'shop'}), '0', 'there was no deadlock');

# ---------- dump and restore ----------

my @connection = ('-h', $node->host, '-p', $node->port);
my $dumps = $node->basedir;
my $state = q{SELECT tableoid::regclass, lead_id, timeline FROM leadscore.lead_timeline UNION ALL SELECT tableoid::regclass, lead_id, timeline FROM leadscore_internal.timeline_base ORDER BY 2, 1};
split_into(4);
query(q{INSERT INTO shop.clicks VALUES (0, 'pending', '2026-01-01')});
my $rows = query($state);
command_ok([ 'pg_dump', @connection, '-Fc', '-f', "$dumps/split.dump", 'shop' ], 'dump of a split store');
command_ok([ 'pg_dump', @connection, '-f', "$dumps/split.sql", 'shop' ], '... as plain SQL');
my %restore = (
	restored => [ 'pg_restore', @connection, '--exit-on-error', '-d', 'restored', "$dumps/split.dump" ],
	plain => [ 'psql', @connection, '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', 'plain', '-f', "$dumps/split.sql" ]);
for my $database (sort keys %restore)
{
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	command_ok($restore{$database}, "$database: restored without an error");
	ok($node->safe_psql($database, $state) eq $rows, '... each row is in its table');
	is($node->safe_psql($database, 'SELECT leadscore.partitions()'), '4', '... of four');
	is($node->safe_psql($database, 'SELECT * FROM leadscore.status WHERE object NOT IN ($$pending_delta$$, $$lead_alias$$)'), 'lead_segment|lead_segment|is empty, as after a restore|SELECT leadscore.refresh_segments()', '... only the snapshot is due');
	is_true($node, $database, $database);
	is($node->safe_psql($database, q{
		INSERT INTO leadscore.event (lead_id, kind, occurred_at) SELECT 'lead ' || i, 'visit', '2026-01-01' FROM generate_series(900, 1100) i;
		SELECT count(*) FROM leadscore.lead_timeline WHERE tableoid <> leadscore_internal.table_of_lead(lead_id)}), '0', '... and it goes on counting');
	like(($node->psql($database, q{INSERT INTO leadscore.lead_timeline VALUES ('new', '{}')}))[2], qr/lead_timeline is split into 4 tables/, '... refuses rows in lead_timeline itself');
	is($node->safe_psql($database, 'SELECT leadscore.partition_timelines(6); SELECT leadscore.partition_timelines(1); SELECT leadscore.partitions()'), "\n\n1", '... and can be split otherwise');
	is_true($node, "$database, whole", $database);
}
is($node->safe_psql('restored', 'DROP EXTENSION leadscore CASCADE; SELECT count(*) FROM pg_class WHERE relname LIKE $$lead_timeline%$$'), '0', 'the tables go with the extension');

# Another encoding: the hash is that of the letters.
$node->safe_psql('postgres', q{CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'});
is($node->safe_psql('latin', q{CREATE EXTENSION leadscore; SET client_encoding = 'UTF8'; SELECT leadscore.timeline_partition('Zoë', 1024)}),
	query(q{SELECT leadscore.timeline_partition('Zoë', 1024)}), 'the hash is the same in another encoding');

# ---------- a crash ----------

query(q{INSERT INTO leadscore.event (lead_id, kind, occurred_at) SELECT 'crash ' || i, 'visit', '2026-01-01' FROM generate_series(1, 500) i; CHECKPOINT});
split_into(5);
query(q{INSERT INTO leadscore.event (lead_id, kind, occurred_at) SELECT 'crash ' || i, 'visit', '2026-01-02' FROM generate_series(1, 600) i});
$node->stop('immediate');
$node->start;
in_order('after a crash');
split_into(1);
$node->stop('immediate');
$node->start;
in_order('after another');
query('VACUUM (FREEZE) leadscore.lead_timeline');
in_order('frozen');
unlike(slurp_file($node->logfile), qr/XX00[012]|PANIC|TRAP|terminated by signal/, 'no internal error in the log');

$node->stop;
done_testing();
