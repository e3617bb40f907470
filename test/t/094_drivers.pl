# The drivers that shops use read every view, and every table of key figures: psycopg2, node-postgres and JDBC, each as
# a reader, and each value as the driver's own type. None meets an error or an infinite timestamp, for which the
# languages have no value.
#
# A driver that is missing is passed over with a word, unless LEADSCORE_NEEDS_DRIVERS is set.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use PostgreSQL::Test::Utils;
use Test::More;
use Workload;

my $folder = PostgreSQL::Test::Utils::tempdir;
my ($jar) = grep { -e } glob '/usr/share/java/postgresql.jar';
$ENV{NODE_PATH} = join ':', grep { $_ } $ENV{NODE_PATH}, '/usr/share/nodejs';

# Each is given host, port and the names of views; it prints "view rows" or "view infinite column" for each.
my %drivers = (
	'psycopg2' => {
		command => [ '/usr/bin/python3', "$folder/views.py" ],
		there => [ '/usr/bin/python3', '-c', 'import psycopg2' ],
		file => 'views.py',
		script => q{
import sys, datetime, psycopg2
connection = psycopg2.connect(host=sys.argv[1], port=sys.argv[2], dbname='shop', user='reader')
# (what it makes of infinity differs by version)
def infinite(value):
    return isinstance(value, (datetime.datetime, datetime.date)) and value.year in (1, 9999)
for view in sys.argv[3:]:
    cursor = connection.cursor()
    cursor.execute('SELECT * FROM leadscore.' + view)
    rows = cursor.fetchall()
    found = [c.name for i, c in enumerate(cursor.description) if any(infinite(r[i]) for r in rows)]
    print(view, 'infinite ' + found[0] if found else len(rows))
    connection.commit()
} },
	'node-postgres' => {
		command => [ 'node', "$folder/views.js" ],
		there => [ 'node', '-e', 'require("pg")' ],
		file => 'views.js',
		script => q{
const { Client } = require('pg');
const [host, port, ...views] = process.argv.slice(2);
(async () => {
  const client = new Client({ host, port, database: 'shop', user: 'reader' });
  await client.connect();
  for (const view of views) {
    const { rows, fields } = await client.query('SELECT * FROM leadscore.' + view);
    const times = fields.filter(f => [1082, 1114, 1184].includes(f.dataTypeID));
    const found = times.find(f => rows.some(r => /infinity|invalid/i.test(String(r[f.name]))));
    console.log(view, found ? 'infinite ' + found.name : rows.length);
  }
  await client.end();
})().catch(error => { console.error(error); process.exit(1); });
} },
	'JDBC' => {
		command => [ 'java', '-cp', $jar // '', "$folder/Views.java" ],
		there => [ 'java', '-cp', $jar // '', "$folder/Views.java" ],
		file => 'Views.java',
		script => q{
import java.sql.*;
public class Views {
  public static void main(String[] arguments) throws Exception {
    Class.forName("org.postgresql.Driver");
    if (arguments.length == 0) return;
    try (Connection connection = DriverManager.getConnection("jdbc:postgresql://" + arguments[0] + ":" + arguments[1] + "/shop", "reader", "")) {
      for (int i = 2; i < arguments.length; i++) read(connection, arguments[i]);
    }
  }
  static void read(Connection connection, String view) throws SQLException {
    String found = null;
    int rows = 0;
    try (Statement statement = connection.createStatement(); ResultSet result = statement.executeQuery("SELECT * FROM leadscore." + view)) {
      ResultSetMetaData columns = result.getMetaData();
      for (; result.next(); rows++)
        for (int i = 1; i <= columns.getColumnCount(); i++) {
          Object value = result.getObject(i);
          long infinity = org.postgresql.PGStatement.DATE_POSITIVE_INFINITY, minus = org.postgresql.PGStatement.DATE_NEGATIVE_INFINITY;
          if (value instanceof java.util.Date && (((java.util.Date) value).getTime() == infinity || ((java.util.Date) value).getTime() == minus))
            found = columns.getColumnName(i);
        }
    }
    System.out.println(view + " " + (found != null ? "infinite " + found : rows));
  }
}
} });

my $node = new_node('main');
$node->append_conf('postgresql.conf', q{listen_addresses = '127.0.0.1'});
$node->start;
setup_shop($node);
$node->safe_psql('shop', q{
	CREATE ROLE reader LOGIN;
	SELECT leadscore.grant_reader('reader');
	SELECT leadscore.publish(leadscore.template('ecommerce') || '{"model": "other"}');
	INSERT INTO leadscore.experiment (experiment, control, treatment, starts_at, ends_at) VALUES ('e', 'ecommerce', 'other', now(), 'infinity');
	INSERT INTO leadscore.offer (offer, model, segment, discount, valid_for, budget, ends_at) VALUES ('o', 'ecommerce', 'low', 5, '1 day', 100, 'infinity');
	INSERT INTO leadscore.conversion (model, signal) VALUES ('ecommerce', 'load order');
	INSERT INTO leadscore.spend (channel, day, amount) VALUES ('mail', '2026-01-01', 100);
	INSERT INTO leadscore.channel (signal, channel) VALUES ('load visit', 'mail');
	CALL leadscore.watch('ecommerce');
	SELECT leadscore.track_query('shop.totals', 'SELECT lead, sum(total) AS total, max(placed) AS placed FROM shop.orders GROUP BY lead', '{lead}');
	INSERT INTO leadscore.derivation (behaviour) VALUES ('visit')});
$node->safe_psql('shop', q{
	INSERT INTO leadscore.event (lead_id, kind, occurred_at) SELECT i % 30, 'visit', now() - i * interval '7 hours' FROM generate_series(1, 500) i;
	INSERT INTO shop.orders (client, lead, placed, total, items) SELECT 1, i % 20, now() - i * interval '1 day', i, i % 9 FROM generate_series(1, 100) i;
	INSERT INTO shop.customer VALUES (1, 'DE'), (2, NULL);
	SELECT leadscore.identify('v1', '1');
	INSERT INTO leadscore.event (lead_id, kind, occurred_at, value, properties) VALUES ('2', 'purchase', now(), 5, '{"channel": "mail"}'), ('2', 'page_view', now() + interval '1 year', NULL, NULL);
	INSERT INTO shop.clicks VALUES (0, '', now());
	SELECT * FROM leadscore.derive();
	SELECT leadscore.refresh_segments(), leadscore.refresh_figures()});

my @views = split /\n/, $node->safe_psql('shop', q{
	SELECT c.relname FROM pg_class c
	WHERE c.relnamespace = 'leadscore'::regnamespace AND (c.relkind IN ('v', 'm') OR c.relname = 'segment_day'
		OR c.relkind = 'r' AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'computed_at'))
	ORDER BY 1});
cmp_ok(scalar @views, '>', 10, 'there are views');
my $expected = join "\n", map { "$_ " . $node->safe_psql('shop', "SELECT count(*) FROM leadscore.$_", extra_params => [ '-U', 'reader' ]) } @views;
my @empty = grep { $expected =~ /^\Q$_\E 0$/m } @views;
note("without rows: @empty");
cmp_ok(scalar @empty, '<', 5, 'most have rows');
$node->safe_psql('shop', q{
	CREATE VIEW leadscore.broken AS SELECT 1 AS one, 'infinity'::timestamptz AS never; GRANT SELECT ON leadscore.broken TO reader;
	CREATE VIEW leadscore.broken_day AS SELECT '-infinity'::date AS day; GRANT SELECT ON leadscore.broken_day TO reader});

for my $name (sort keys %drivers)
{
	my $driver = $drivers{$name};
	my ($out, $error);

	append_to_file("$folder/$driver->{file}", $driver->{script});
  SKIP:
	{
		my $there = eval { IPC::Run::run($driver->{there}, '<', \undef, '>', \$out, '2>', \$error) };

		die "$name is missing: $error" if !$there && $ENV{LEADSCORE_NEEDS_DRIVERS};
		skip "$name is missing", 2 if !$there;
		IPC::Run::run([ @{ $driver->{command} }, '127.0.0.1', $node->port, @views ], '<', \undef, '>', \$out, '2>', \$error);
		is($out . $error, "$expected\n", "$name reads every view");
		IPC::Run::run([ @{ $driver->{command} }, '127.0.0.1', $node->port, 'broken', 'broken_day' ], '<', \undef, '>', \$out, '2>', \$error);
		is($out . $error, "broken infinite never\nbroken_day infinite day\n", '... and would have found an infinite timestamp');
	}
}
$node->stop;

done_testing();
