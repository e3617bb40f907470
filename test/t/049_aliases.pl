# Tables of aliases: random transactions on customers, accounts, orders, lines, payments and identities, by eight
# clients at three levels of isolation, changing either side. No statement fails or waits because of us, and then
# verify() is empty, lead_alias has what the tables say, and what each lead has is the join in plain SQL.
#
#   LEADSCORE_ALIAS_SECONDS=4

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use PostgreSQL::Test::Utils;
use Test::More;
use Workload;

my $seconds = $ENV{LEADSCORE_ALIAS_SECONDS} || 4;
my $node = new_node('main');
$node->append_conf('postgresql.conf', "max_connections = 60\ndeadlock_timeout = 200ms");
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE shop');
$node->safe_psql('shop', q{
	SET client_min_messages = warning;
	CREATE EXTENSION leadscore;
	INSERT INTO leadscore.signal (signal, kind) VALUES ('line', 'line'), ('payment', 'payment'), ('visit', 'visit');
	CREATE SCHEMA shop;
	CREATE TABLE shop.customer (id int PRIMARY KEY, account int);
	CREATE TABLE shop.orders (id int PRIMARY KEY, customer int, state text DEFAULT 'open');
	CREATE TABLE shop.line (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, order_id int, at timestamptz DEFAULT '2026-01-01', price int);
	CREATE TABLE shop.payment (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, order_id int, at date DEFAULT '2026-01-02', amount int);
	CREATE TABLE shop.seen (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, visitor int, customer int, received_at timestamptz DEFAULT clock_timestamp());
	CREATE INDEX ON shop.line (('order:' || order_id));
	CREATE INDEX ON shop.payment (('order:' || order_id));
	CREATE INDEX ON shop.seen (('visitor:' || visitor));
	INSERT INTO shop.customer SELECT i, 1 + i % 5 FROM generate_series(1, 15) i;
	INSERT INTO shop.orders SELECT i, 1 + i % 20 FROM generate_series(1, 20) i;
	INSERT INTO shop.line (order_id, price) SELECT 1 + i % 40, i FROM generate_series(1, 200) i;
	SELECT leadscore.track('shop.line', lead_id => '''order:'' || order_id', kind => 'line', occurred_at => 'at', value => 'price');
	SELECT leadscore.track('shop.payment', lead_id => '''order:'' || order_id', kind => 'payment', occurred_at => 'at', value => 'amount', maintenance => 'deferred');
	SELECT leadscore.track_alias('shop.orders', alias => '''order:'' || id', lead_id => '''customer:'' || customer', filter => 'state <> ''void''');
	SELECT leadscore.track_alias('shop.customer', alias => '''customer:'' || id', lead_id => '''account:'' || account');
	SELECT leadscore.track_alias('shop.seen', alias => '''visitor:'' || visitor', lead_id => '''customer:'' || customer', latest_by => 'received_at');

	-- one random statement of a transaction
	CREATE FUNCTION shop.act() RETURNS void LANGUAGE plpgsql AS $$
	DECLARE
		o CONSTANT int := 1 + floor(random() * 40);
		c CONSTANT int := 1 + floor(random() * 20);
		p float8 := random() * 100;
	BEGIN
		CASE
			WHEN p < 25 THEN INSERT INTO shop.line (order_id, price) SELECT 1 + (o + i) % 40, i FROM generate_series(1, 3) i;
			WHEN p < 30 THEN INSERT INTO shop.payment (order_id, amount) VALUES (o, c);
			WHEN p < 35 THEN INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('visitor:' || o, 'visit', '2026-01-03');
			WHEN p < 45 THEN INSERT INTO shop.orders VALUES (o, c) ON CONFLICT (id) DO UPDATE SET customer = excluded.customer;
			WHEN p < 55 THEN UPDATE shop.orders SET customer = c WHERE id = o;
			WHEN p < 58 THEN UPDATE shop.orders SET state = CASE state WHEN 'void' THEN 'paid' ELSE 'void' END WHERE id = o;
			WHEN p < 63 THEN DELETE FROM shop.orders WHERE id = o;
			WHEN p < 70 THEN UPDATE shop.customer SET account = 1 + c % 5 WHERE id = 1 + c % 15;
			WHEN p < 73 THEN DELETE FROM shop.customer WHERE id = 1 + c % 15;
			WHEN p < 78 THEN INSERT INTO shop.customer VALUES (1 + c % 15, 1 + o % 5) ON CONFLICT (id) DO NOTHING;
			WHEN p < 84 THEN INSERT INTO shop.seen (visitor, customer) VALUES (o, c);
			WHEN p < 86 THEN DELETE FROM shop.seen WHERE visitor = o;
			WHEN p < 90 THEN DELETE FROM shop.line WHERE id % 97 = o;
			WHEN p < 93 THEN UPDATE shop.line SET order_id = o WHERE id % 97 = c;
			WHEN p < 94 THEN UPDATE shop.orders SET customer = 1 + (customer + 1) % 20 WHERE id % 3 = 0;
			WHEN p < 95 THEN PERFORM leadscore.fold();
			WHEN p < 97 THEN PERFORM leadscore.identify('visitor:' || o, 'customer:' || c) WHERE NOT EXISTS (SELECT FROM leadscore.lead_alias a WHERE a.alias = 'visitor:' || o);
			WHEN p < 98 THEN PERFORM leadscore.unidentify(a.alias) FROM leadscore.lead_alias a WHERE a.alias = 'visitor:' || o AND NOT a.tracked;
			WHEN p < 99 THEN
				BEGIN
					DELETE FROM shop.orders WHERE id % 7 = 0;
					RAISE EXCEPTION 'rolled back';
				EXCEPTION WHEN raise_exception THEN
					NULL;
				END;
			ELSE
				-- reloaded: as it was, but for one row
				CREATE TEMPORARY TABLE kept ON COMMIT DROP AS SELECT * FROM shop.orders;
				DELETE FROM shop.orders;
				INSERT INTO shop.orders SELECT k.id, CASE WHEN k.id = o THEN c ELSE k.customer END, k.state FROM kept k ON CONFLICT (id) DO NOTHING;
				DROP TABLE kept;
		END CASE;
	EXCEPTION WHEN unique_violation THEN
		-- identify(), of an alias that has been made meanwhile
		IF SQLERRM NOT LIKE '%is already an alias%' THEN
			RAISE;
		END IF;
	END
	$$;

	-- the edges that the tables and identify() say, and where they lead to
	CREATE VIEW shop.edge AS
	SELECT DISTINCT ON (e.alias) e.alias, e.lead_id FROM (
		SELECT a.alias, coalesce(i.lead_id, a.lead_id) AS lead_id, 1 AS wins FROM leadscore.lead_alias a LEFT JOIN leadscore_internal.alias_edge i ON i.alias = a.alias AND i.identified WHERE NOT a.tracked
		UNION ALL SELECT 'order:' || o.id, 'customer:' || o.customer, 2 FROM shop.orders o WHERE o.state <> 'void'
		UNION ALL SELECT 'customer:' || c.id, 'account:' || c.account, 2 FROM shop.customer c
		UNION ALL (SELECT DISTINCT ON (s.visitor) 'visitor:' || s.visitor, 'customer:' || s.customer, 2 FROM shop.seen s ORDER BY s.visitor, s.received_at DESC, ('customer:' || s.customer) COLLATE "C")) e
	WHERE e.lead_id IS NOT NULL ORDER BY e.alias, e.wins;
	CREATE VIEW shop.closure AS
	WITH RECURSIVE way AS (
		SELECT e.alias, e.lead_id FROM shop.edge e
		UNION
		SELECT w.alias, e.lead_id FROM way w JOIN shop.edge e ON e.alias = w.lead_id
	)
	SELECT w.alias, w.lead_id FROM way w WHERE NOT EXISTS (SELECT FROM shop.edge e WHERE e.alias = w.lead_id);
	CREATE VIEW shop.expected AS
	SELECT coalesce(c.lead_id, e.name) AS lead_id, leadscore.timeline_agg((SELECT leadscore.signals()), e.kind, e.at, e.value, NULL::jsonb) AS timeline
	FROM (SELECT 'order:' || l.order_id AS name, 'line' AS kind, l.at, l.price::numeric AS value FROM shop.line l
		UNION ALL SELECT 'order:' || p.order_id, 'payment', p.at, p.amount FROM shop.payment p
		UNION ALL SELECT v.lead_id, v.kind, v.occurred_at, v.value FROM leadscore.event v) e
	LEFT JOIN shop.closure c ON c.alias = e.name GROUP BY 1;
	-- what is wrong, if anything
	CREATE VIEW shop.wrong AS
	SELECT 'verify ' || v.lead_id AS wrong FROM leadscore.verify() v
	UNION ALL SELECT format('names: %s counts for %s, not %s', coalesce(c.alias, a.alias), a.lead_id, c.lead_id)
	FROM shop.closure c FULL JOIN leadscore.lead_alias a ON a.alias = c.alias WHERE c.lead_id IS DISTINCT FROM a.lead_id
	UNION ALL SELECT format('timeline of %s: %s, not %s', coalesce(t.lead_id, e.lead_id), t.timeline, e.timeline)
	FROM leadscore.current_timeline t FULL JOIN shop.expected e ON e.lead_id = t.lead_id WHERE coalesce(t.timeline, '{}') OPERATOR(leadscore.<>) coalesce(e.timeline, '{}')});

my @files;
for my $level ('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE')
{
	my $file = $node->basedir . '/' . lc($level =~ s/ /_/r) . '.sql';
	append_to_file($file, "SET client_min_messages = warning;\nBEGIN ISOLATION LEVEL $level;\n" . "SELECT shop.act();\n" x 3 . "COMMIT;\n");
	push @files, '-f', $file;
}

is($node->safe_psql('shop', 'TABLE shop.wrong'), '', 'what is there is right before');
my $before = $node->safe_psql('shop', q{SELECT count(*) FROM shop.edge});
my ($out, $err) = ('', '');
for my $round (1 .. ($seconds > 20 ? $seconds / 10 : 2))
{
	my $ok = IPC::Run::run([ 'pgbench', '-n', '-h', $node->host, '-p', $node->port, '-c', 8, '-j', 2, '-T', $seconds > 20 ? 10 : $seconds / 2, '--max-tries=1000', @files, 'shop' ],
		'<', \undef, '>', \$out, '2>', \$err);
	ok($ok, "round $round: every client went on") or diag($err);
	my ($n) = $out =~ /number of transactions actually processed: (\d+)/;
	cmp_ok($n // 0, '>', 20, "round $round: they wrote");
	is($node->safe_psql('shop', 'SELECT * FROM leadscore.verify()'), '', "round $round: verify() is empty, whatever waits");
	$node->safe_psql('shop', 'SELECT leadscore.fold()');
	is($node->safe_psql('shop', 'SELECT count(*) FROM leadscore_internal.pending_identity'), 0, "round $round: nothing waits");
	is($node->safe_psql('shop', 'TABLE shop.wrong'), '', "round $round: names and timelines are those of the join") or last;
}
unlike(slurp_file($node->logfile), qr/(cannot be moved|brought up to date|carried out)[^:]*: (?!could not serialize)|was terminated by signal|TRAP/, 'nothing failed on the way, but in transactions that could not be serialized');
unlike(slurp_file($node->logfile), qr/ERROR:(?!.*(could not serialize|deadlock detected|rolled back|is already an alias|recovery))/, 'no error of ours');

done_testing();
