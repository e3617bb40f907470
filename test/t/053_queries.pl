# Tables of track_query(): the query runs as the owner of its table, and nobody gets other rights by it; dump and
# restore.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use PostgreSQL::Test::Utils;
use Test::More;
use Workload;

my $node = new_node('main');
$node->start;
$node->safe_psql('postgres', q{CREATE ROLE marketing; CREATE ROLE other; CREATE ROLE nobody; CREATE ROLE attacker; CREATE DATABASE shop});
$node->safe_psql('shop', q{
	CREATE EXTENSION leadscore;
	INSERT INTO leadscore.signal (signal, kind) VALUES ('purchase', 'purchase');
	SELECT leadscore.grant_admin('marketing'), leadscore.grant_admin('other'), leadscore.grant_reader('attacker');
	CREATE SCHEMA marketing AUTHORIZATION marketing;
	CREATE SCHEMA other AUTHORIZATION other;
	CREATE TABLE public.orders (id integer PRIMARY KEY, customer text, total numeric, day date);
	INSERT INTO orders SELECT i, 'customer ' || i % 7, i, date '2026-01-01' + i % 5 FROM generate_series(1, 50) i;
	CREATE TABLE public.secret (id integer PRIMARY KEY, word text);
	INSERT INTO secret VALUES (1, 'word');
	GRANT SELECT ON orders TO marketing, other;
	GRANT CREATE ON SCHEMA public TO attacker});

# What a role's statements say: their errors, or what they give.
sub as
{
	my ($role, $commands) = @_;
	my ($status, $out, $error) = $node->psql('shop', "SET client_min_messages = warning; SET SESSION AUTHORIZATION $role; $commands", on_error_stop => 1);

	return $status == 0 && $error eq '' ? $out : $error;
}

# ---------- whose rights ----------

is(as('marketing', q{SELECT leadscore.track_query('marketing.paid', 'SELECT id, customer, sum(total) AS total, min(day) AS day FROM orders GROUP BY 1, 2', '{id}');
	SELECT leadscore.track('marketing.paid', lead_id => 'customer', kind => 'purchase', occurred_at => 'day', value => 'total')}), "paid\n", 'an administrator without other rights makes a table, and tracks it');
is($node->safe_psql('shop', q{SELECT tableowner FROM pg_tables WHERE tablename = 'paid'}), 'marketing', '... which is his own');
like(as('marketing', q{SELECT leadscore.track_query('marketing.word', 'SELECT * FROM secret', '{id}')}), qr/permission denied for table secret/, 'a query reads what its author may read');
like(as('marketing', q{SELECT leadscore.track_query('other.paid', 'SELECT * FROM orders', '{id}')}), qr/permission denied for schema other/, 'a table is made where he may make one');
like(as('nobody', q{SELECT leadscore.track_query('paid', 'SELECT 1 AS a', '{a}')}), qr/permission denied for function track_query/, 'others may not call it');
like(as('attacker', q{CALL leadscore.refresh_queries()}), qr/permission denied for procedure refresh_queries/, '... nor refresh');
is(as('attacker', q{SELECT target, key, failed_at FROM leadscore.tracked_query}), 'marketing.paid|{id}|', 'readers see which there are');
for my $command (q{INSERT INTO leadscore_internal.query_table VALUES ('public.secret'::regclass, 'public', 'secret', 'SELECT 1 AS id, ''x'' AS word', '{id}')}, q{UPDATE leadscore_internal.query_table SET query = 'TABLE public.secret'},
	q{DELETE FROM leadscore_internal.query_table}, q{SELECT leadscore_internal.note_query('public.secret'::regclass, 'SELECT 1 AS id', '{id}')}, q{SELECT leadscore_internal.note_query((SELECT oid FROM pg_class WHERE relname = 'paid'), 'TABLE public.secret', '{id}')})
{
	like(as('other', $command), qr/permission denied for table query_table|must be owner of table (secret|paid)/, "refused: $command");
}

# by any role that refreshes
$node->safe_psql('shop', q{UPDATE orders SET total = total + 1 WHERE id <= 10; DELETE FROM orders WHERE id > 45});
is(as('other', 'CALL leadscore.refresh_queries()'), '', 'another administrator refreshes');
my $differences = q{SELECT count(*) FROM (
	(SELECT id, customer, sum(total), min(day) FROM orders GROUP BY 1, 2 EXCEPT ALL TABLE marketing.paid) UNION ALL
	(TABLE marketing.paid EXCEPT ALL SELECT id, customer, sum(total), min(day) FROM orders GROUP BY 1, 2)) d};
is($node->safe_psql('shop', $differences), '0', '... and the table is equal to its query');
is($node->safe_psql('shop', 'SELECT count(*) FROM leadscore.verify()'), '0', '... and timelines to the table');
$node->safe_psql('shop', 'REVOKE SELECT ON orders FROM marketing; UPDATE orders SET total = 0');
like(as('postgres', 'CALL leadscore.refresh_queries()'), qr/WARNING:  marketing\.paid is not refreshed.*\nDETAIL:  permission denied for table orders/, 'a superuser refreshes with the rights of the owner, too');
like($node->safe_psql('shop', q{SELECT state FROM leadscore.status WHERE object = 'query' AND name = 'marketing.paid'}), qr/^is not refreshed: its query has failed since/, '... and status tells');
$node->safe_psql('shop', 'GRANT SELECT ON orders TO marketing');
is(as('postgres', 'CALL leadscore.refresh_queries()') . $node->safe_psql('shop', 'SELECT count(*) FROM leadscore.status'), '0', '... until it succeeds');

# policies bind the owner, whatever the one who refreshes has set
$node->safe_psql('shop', q{CREATE POLICY p ON orders USING (id <= 20); ALTER TABLE orders ENABLE ROW LEVEL SECURITY});
is(as('postgres', 'SET row_security = off; CALL leadscore.refresh_queries(); SELECT count(*) FROM marketing.paid'), '20', 'policies bind the owner');
$node->safe_psql('shop', 'ALTER TABLE orders DISABLE ROW LEVEL SECURITY; CALL leadscore.refresh_queries()');
is($node->safe_psql('shop', $differences), '0', '... while they are there');

# autovacuum, which has such a lock for a moment
$node->safe_psql('shop', 'UPDATE orders SET total = 7');
my $vacuum = IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('shop'), '-c', 'BEGIN; LOCK TABLE marketing.paid IN SHARE UPDATE EXCLUSIVE MODE; SELECT pg_sleep(0.3); COMMIT' ], '>', \my $nothing);
$node->poll_query_until('shop', q{SELECT count(*) > 0 FROM pg_locks WHERE relation = 'marketing.paid'::regclass AND mode = 'ShareUpdateExclusiveLock' AND granted});
is(as('postgres', 'CALL leadscore.refresh_queries()'), '', 'a lock that is released soon is waited for');
$vacuum->finish;
is($node->safe_psql('shop', $differences), '0', '... and the table refreshed');

# ---------- escalation ----------

# in the query, and in a trigger of the table
$node->safe_psql('shop', q{
	CREATE TABLE public.seen (who text, what text);
	GRANT INSERT, SELECT ON seen TO PUBLIC;
	SET SESSION AUTHORIZATION marketing;
	CREATE FUNCTION marketing.become(name text) RETURNS integer LANGUAGE plpgsql AS $$
	BEGIN
		BEGIN
			EXECUTE 'RESET ROLE'; INSERT INTO public.seen VALUES (current_user, name || ' reset');
		EXCEPTION WHEN OTHERS THEN
			INSERT INTO public.seen VALUES (current_user, name || ': ' || SQLERRM);
		END;
		BEGIN
			EXECUTE 'SET SESSION AUTHORIZATION postgres'; INSERT INTO public.seen VALUES (current_user, name || ' set');
		EXCEPTION WHEN OTHERS THEN NULL;
		END;
		BEGIN
			EXECUTE 'CREATE TEMP TABLE trap (a integer)'; INSERT INTO public.seen VALUES (current_user, name || ' temp');
		EXCEPTION WHEN OTHERS THEN NULL;
		END;
		RETURN 1;
	END $$;
	CREATE FUNCTION marketing.become() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM marketing.become('trigger'); RETURN NULL; END $$;
	SELECT leadscore.track_query('marketing.trap', 'SELECT id, marketing.become(''query'') AS n, total FROM public.orders WHERE id = 1', '{id}');
	CREATE TRIGGER become AFTER UPDATE ON marketing.trap FOR EACH ROW EXECUTE FUNCTION marketing.become();
	RESET SESSION AUTHORIZATION;
	TRUNCATE seen;
	UPDATE orders SET total = total + 1 WHERE id = 1;
	CALL leadscore.refresh_queries()});
is($node->safe_psql('shop', 'SELECT DISTINCT who, what FROM seen ORDER BY what'), qq{marketing|query: cannot set parameter "role" within security-definer function\nmarketing|trigger: cannot set parameter "role" within security-definer function},
	'neither the query nor a trigger of the table gets the rights of the one who refreshes');
$node->safe_psql('shop', q{SET SESSION AUTHORIZATION marketing; DROP TRIGGER become ON marketing.trap;
	CREATE CONSTRAINT TRIGGER become AFTER UPDATE ON marketing.trap DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION marketing.become();
	RESET SESSION AUTHORIZATION; TRUNCATE seen; UPDATE orders SET total = total + 1 WHERE id = 1});
like(as('postgres', 'CALL leadscore.refresh_queries()'), qr/cannot fire deferred trigger within security-restricted operation/, '... nor one that is deferred');
is($node->safe_psql('shop', q{SELECT count(*) FROM seen WHERE what LIKE 'trigger%'}), '0', '... which is not run');
$node->safe_psql('shop', 'DROP TABLE marketing.trap');

# objects that others make where the author's search_path finds them do not come into a query that is there
$node->safe_psql('shop', q{
	SET SESSION AUTHORIZATION marketing;
	SET search_path = public, marketing;
	SELECT leadscore.track_query('marketing.lowered', 'SELECT id, lower(customer::varchar) AS customer, total + 1 AS more FROM orders', '{id}');
	RESET SESSION AUTHORIZATION;
	TRUNCATE seen;
	SET SESSION AUTHORIZATION attacker;
	CREATE FUNCTION public.lower(varchar) RETURNS text LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.seen VALUES (current_user, 'lower'); RETURN $1; END $$;
	CREATE FUNCTION public.plus(numeric, integer) RETURNS numeric LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.seen VALUES (current_user, 'plus'); RETURN 0; END $$;
	CREATE OPERATOR public.+ (LEFTARG = numeric, RIGHTARG = integer, FUNCTION = public.plus);
	RESET SESSION AUTHORIZATION;
	UPDATE orders SET total = total + 1::numeric WHERE id = 2});
is(as('postgres', 'SET search_path = public, pg_catalog; CALL leadscore.refresh_queries(); SELECT count(*) FROM seen'), '0', 'functions and operators that come later are not called');
is($node->safe_psql('shop', 'SELECT l.more - o.total FROM orders o JOIN marketing.lowered l USING (id) WHERE id = 2'), '1', '... and the query means what it meant');

# ---------- dump and restore ----------

my @connection = ('-h', $node->host, '-p', $node->port);
my $dump = $node->basedir . '/dump';
my $state = q{SELECT target, query, key, refreshed_at, failed_at FROM leadscore.tracked_query ORDER BY target::text};
command_ok([ 'pg_dump', @connection, '-Fc', '-f', $dump, 'shop' ], 'dump');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
# other OIDs
$node->safe_psql('restored', 'CREATE TABLE filler_1 (); CREATE TABLE filler_2 (); DROP TABLE filler_1, filler_2');
command_ok([ 'pg_restore', @connection, '--exit-on-error', '-d', 'restored', $dump ], 'restore');
isnt($node->safe_psql('restored', q{SELECT 'marketing.paid'::regclass::oid}), $node->safe_psql('shop', q{SELECT 'marketing.paid'::regclass::oid}), 'tables have other numbers');
is($node->safe_psql('restored', $state), $node->safe_psql('shop', $state), '... and their queries');
$node->safe_psql('restored', 'UPDATE orders SET total = total * 2; DELETE FROM orders WHERE id = 7; CALL leadscore.refresh_queries()');
is($node->safe_psql('restored', $differences), '0', 'a refresh goes on');
is($node->safe_psql('restored', q{SELECT (SELECT count(*) FROM leadscore.verify()), (SELECT count(*) FROM leadscore.status WHERE object = 'query')}), '0|0', '... and timelines follow');

# without its table, a query is left out
$node->safe_psql('postgres', 'CREATE DATABASE partly');
command_ok([ 'pg_dump', @connection, '-Fc', '-T', 'marketing.lowered', '-f', "$dump.partly", 'shop' ], 'dump without a table');
command_ok([ 'pg_restore', @connection, '--exit-on-error', '-d', 'partly', "$dump.partly" ], '... can be restored');
is($node->safe_psql('partly', 'SELECT target FROM leadscore.tracked_query'), 'marketing.paid', '... and has the queries of the others');

# rows that were loaded with triggers off name other tables by their numbers: nothing is written there
$node->safe_psql('partly', q{ALTER TABLE leadscore_internal.query_table DISABLE TRIGGER query_restored;
	CREATE TABLE public.victim (id integer PRIMARY KEY, customer text, total numeric, day date); INSERT INTO victim VALUES (-1);
	UPDATE leadscore_internal.query_table SET target = 'victim'::regclass});
my ($status, $out, $error) = $node->psql('partly', 'CALL leadscore.refresh_queries()');
like($error, qr/victim is not refreshed.*\nDETAIL:  public\.victim has another name than track_query\(\) gave it/, 'a table of another name is not written');
is($node->safe_psql('partly', 'SELECT * FROM victim'), '-1|||', '... not at all');
$node->stop;

done_testing();
