# derive() on a click stream: each behaviour is what its slow and obvious definition says, with late events,
# corrections and re-runs, incremental or whole.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Derived;

# Without the real data, a stream made by hashing serves.
my $data = ($ENV{SHARED_DATA} // '') . '/taobao_userbehavior/events.csv.gz';
my $stream = -r $data
  ? "COPY stream FROM PROGRAM 'gzip -dc $data' (FORMAT csv, HEADER); DELETE FROM stream WHERE user_id % 4 <> 2;"	# (the definitions are slow)
  : q{
	CREATE FUNCTION dice(n int, VARIADIC seed int[]) RETURNS int LANGUAGE sql IMMUTABLE AS $$SELECT mod(abs(hash_array_extended(seed, 1)), n)::int$$;
	INSERT INTO stream
	SELECT u, dice(500, u, v, e, 1), dice(40, u, v, e, 2), CASE dice(10, u, v, e, 3) WHEN 0 THEN 'cart' WHEN 1 THEN 'fav' WHEN 2 THEN 'buy' ELSE 'pv' END,
		timestamptz '2017-11-24 16:00Z' + (dice(9 * 86400, u, v) + sum(dice(600, u, v, e, 4)) OVER (PARTITION BY u, v ORDER BY e)) * interval '1 second'
	FROM generate_series(2, 802, 4) u, generate_series(1, 8) v, generate_series(0, 9) e
	WHERE dice(9, u, v, 5) >= e;
  };
note(-r $data ? 'a real click stream' : 'a click stream that was made up');

my $node = PostgreSQL::Test::Cluster->new('derive');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\ntimezone = 'UTC'");
$node->start;

sub query { return $node->safe_psql('postgres', $_[0]) }

# The sum of what came and went.
sub derive
{
	my ($until, $everybody) = @_;

	return query(qq{SELECT sum(added), sum(removed) FROM leadscore.derive('$until', } . ($everybody ? 'true' : 'false') . ')');
}

# The stream: page views and favourites in leadscore.event, carts and purchases in tables of the shop's.
query(<<"SQL");
CREATE EXTENSION leadscore;
CREATE TABLE stream (user_id bigint, item_id bigint, category_id bigint, event_type text, event_time timestamptz);
$stream
CREATE TABLE cart (customer bigint, item_id bigint, at timestamp);
CREATE TABLE purchase (customer text, item_id bigint, at timestamptz);
SELECT leadscore.track('cart', lead_id => 'customer', kind => 'cart', occurred_at => 'at', properties => '{item_id}');
SELECT leadscore.track('purchase', lead_id => 'customer', kind => 'buy', occurred_at => 'at', properties => '{item_id}', maintenance => 'deferred');
INSERT INTO leadscore.signal (signal, kind, match) VALUES ('visit', 'visit', NULL), ('dwell', 'dwell', NULL), ('left cart', 'cart_abandoned', NULL), ('came back', 'returned_visit', NULL),
	('pv', 'pv', NULL), ('one category', 'dwell', '{"category_id": 4756105}');
INSERT INTO leadscore.derivation (derivation, behaviour, kinds, until_kinds, gap, delay, cap) VALUES
	('visit', 'visit', NULL, NULL, '30 minutes', NULL, NULL), ('browsing', 'visit', '{pv,fav}', NULL, '10 minutes', NULL, NULL),
	('dwell', 'dwell', '{pv}', NULL, '30 minutes', NULL, '5 minutes'), ('dwell among pages', 'dwell', '{pv}', '{fav}', '5 minutes', NULL, '1 day'),
	('cart_abandoned', 'cart_abandoned', '{cart}', '{buy}', '30 minutes', '1 hour', NULL), ('cart, a day', 'cart_abandoned', '{cart,fav}', '{buy}', '30 minutes', '1 day', NULL),
	('returned_visit', 'returned_visit', NULL, NULL, '30 minutes', '2 days', NULL);
INSERT INTO leadscore.derivation (derivation, behaviour, kinds, then_kinds, delay) VALUES ('bought after it', 'sequence', '{pv}', '{buy}', '2 hours'), ('wanted, then taken', 'sequence', '{fav,pv}', '{cart,buy}', '3 days');
CREATE FUNCTION load(rows text) RETURNS void LANGUAGE plpgsql AS \$\$
BEGIN
	EXECUTE format('INSERT INTO leadscore.event (lead_id, kind, occurred_at, properties) SELECT user_id, event_type, event_time, jsonb_build_object(''item_id'', item_id, ''category_id'', category_id)
		FROM stream WHERE event_type IN (''pv'', ''fav'') AND (%s)', rows);
	EXECUTE format('INSERT INTO cart SELECT user_id, item_id, event_time FROM stream WHERE event_type = ''cart'' AND (%s)', rows);
	EXECUTE format('INSERT INTO purchase SELECT user_id, item_id, event_time FROM stream WHERE event_type = ''buy'' AND (%s)', rows);
END
\$\$;
SQL
make_oracle($node, 'postgres', q{SELECT lead_id, kind, occurred_at, properties FROM leadscore.event
	UNION ALL SELECT customer::text, 'cart', at AT TIME ZONE 'UTC', jsonb_build_object('item_id', item_id) FROM cart
	UNION ALL SELECT customer, 'buy', at, jsonb_build_object('item_id', item_id) FROM purchase});

# ---------------------------------------------------------------- what comes in time, day by day, but for one event in nine

my $late = q{hashtext(concat(user_id, item_id, event_time)) % 9 = 0};
query(qq{SELECT load(\$\$event_time < '2017-11-27 16:00Z' AND NOT $late\$\$)});
my $until = '2017-11-27 12:00Z';
isnt(derive($until), '0|0', 'the first pass derives');
my $n = is_derived($node, 'postgres', $until, 'first pass, events to come');
is(scalar keys %$n, 9, 'every rule has derived something') or diag(explain($n));
is(derive($until), '0|0', 'a second pass adds nothing');
is(query('SELECT count(*) FROM leadscore_internal.changed_lead'), '0', 'nobody is left to be looked at');

# time passes: what was to come has come, carts are given up
for $until ('2017-11-27 12:20Z', '2017-11-27 13:00Z', '2017-11-28 20:00Z')
{
	isnt(derive($until), '0|0', "until $until: time alone brings something");
	is_derived($node, 'postgres', $until, "until $until");
	is(derive($until, 1), '0|0', "until $until: a pass over everybody finds nothing more");
}

# the rest of the stream, in an order of its own, in steps
for my $part (0 .. 2)
{
	query(qq{SELECT load(\$\$event_time >= '2017-11-27 16:00Z' AND NOT $late AND abs(hashtext(user_id::text)) % 3 = $part\$\$)});
	derive('2017-12-05');
}
is_derived($node, 'postgres', '2017-12-05', 'the rest of the stream');
is(derive('2017-12-05', 1), '0|0', 'a pass over everybody finds nothing more');

# ---------------------------------------------------------------- late events

my ($before) = query('SELECT count(*) FROM leadscore.derived_event');
query(qq{SELECT load('$late')});
my $changes = derive('2017-12-05');
like($changes, qr/^[1-9]\d*\|[1-9]\d*$/, "late events correct what was derived (added|removed: $changes)");
$n = is_derived($node, 'postgres', '2017-12-05', 'late events');
is(derive('2017-12-05', 1), '0|0', 'late events: a pass over everybody finds nothing more');
note(explain($n));

# a purchase that is told late takes an abandoned cart back, and nothing else of that rule
my ($lead, $at) = split /\|/, query(q{SELECT lead_id, occurred_at - interval '10 minutes' FROM leadscore.derived_event WHERE derivation = 'cart_abandoned' ORDER BY lead_id LIMIT 1});
query(qq{INSERT INTO purchase VALUES ('$lead', 1, '$at')});
is(query(q{SELECT removed, added FROM leadscore.derive('2017-12-05') WHERE derivation = 'cart_abandoned'}), '1|0', 'the cart was not abandoned after all');
is_derived($node, 'postgres', '2017-12-05', 'a late purchase');

# a pass reads what belongs to the leads that have changed, by indexes, and an idle one nothing
my $scans = join ', ', map { "pg_stat_get_xact_numscans('$_'::regclass)" } qw(leadscore.event leadscore.derived_event leadscore_internal.derivation_due leadscore.lead_alias);
query('ANALYZE leadscore.event, leadscore.derived_event');
is(query(qq{SET enable_seqscan = off; BEGIN; INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('$lead', 'pv', '2017-12-01'); SELECT sum(added) > 0 FROM leadscore.derive('2017-12-05');
	SELECT $scans; ROLLBACK}), "t\n0|0|0|0", 'a pass for one lead scans no table');
is(query(qq{BEGIN; SELECT sum(added) FROM leadscore.derive('2017-12-05'); 
	SELECT }.join(', ', map { "pg_stat_get_xact_numscans('leadscore.$_'::regclass)" } qw(event event_lead_id_idx derived_event derived_event_lead_id_idx)).q{; ROLLBACK}),
	"0\n0|0|0|0", 'a pass for nobody reads no events');

# ---------------------------------------------------------------- updates, deletes, truncation, aliases

query(q{
	UPDATE leadscore.event SET occurred_at = occurred_at + interval '7 minutes' WHERE event_id % 13 = 0;
	UPDATE leadscore.event SET lead_id = lead_id || 'x' WHERE event_id % 101 = 0;
	UPDATE leadscore.event SET properties = properties || '{"changed": true}' WHERE event_id % 17 = 0;
	UPDATE cart SET at = at - interval '1 hour' WHERE item_id % 5 = 0;
	DELETE FROM leadscore.event WHERE event_id % 11 = 0;
	DELETE FROM purchase WHERE item_id % 3 = 0;
	-- duplicates, and what happens within an hour that a timeline does not see
	INSERT INTO leadscore.event (lead_id, kind, occurred_at, properties) SELECT lead_id, kind, occurred_at, properties FROM leadscore.event WHERE event_id % 19 = 0;
	UPDATE leadscore.event SET occurred_at = date_trunc('hour', occurred_at) WHERE event_id % 23 = 0});
derive('2017-12-05');
is_derived($node, 'postgres', '2017-12-05', 'updates and deletes');
is(derive('2017-12-05', 1), '0|0', 'updates and deletes: a pass over everybody finds nothing more');

my @leads = split /\n/, query('SELECT DISTINCT user_id FROM stream ORDER BY 1 LIMIT 40');
query(join '', map { "SELECT leadscore.identify('$leads[$_]', '" . $leads[ $_ + 20 ] . "');" } 0 .. 19);
query(q{SELECT leadscore.identify(lead_id, rtrim(lead_id, 'x')) FROM (SELECT DISTINCT lead_id FROM leadscore.event WHERE lead_id LIKE '%x') e});
is(query('SELECT count(*) FROM leadscore.verify()'), '0', 'aliases, before the next pass: timelines equal events');
derive('2017-12-05');
is_derived($node, 'postgres', '2017-12-05', 'aliases');
query(join '', map { "SELECT leadscore.unidentify('$leads[$_]');" } 0 .. 9);
derive('2017-12-05');
is_derived($node, 'postgres', '2017-12-05', 'aliases that are none any more');
is(derive('2017-12-05', 1), '0|0', 'aliases: a pass over everybody finds nothing more');

query(q{TRUNCATE cart});
derive('2017-12-05');
is_derived($node, 'postgres', '2017-12-05', 'a source that was truncated');
query(q{SELECT leadscore.untrack('purchase'); ALTER TABLE purchase RENAME TO bought; CREATE VIEW purchase AS SELECT * FROM bought WHERE false});
query(q{CREATE OR REPLACE FUNCTION oracle.read_log(until timestamptz) RETURNS void LANGUAGE sql AS $$
	TRUNCATE oracle.log;
	INSERT INTO oracle.log SELECT coalesce(a.lead_id, l.lead_id), l.kind, l.occurred_at, l.properties FROM leadscore.event l LEFT JOIN leadscore.lead_alias a ON a.alias = l.lead_id WHERE l.occurred_at <= until$$});
derive('2017-12-05');
is_derived($node, 'postgres', '2017-12-05', 'a source that is tracked no more');

# ---------------------------------------------------------------- back in time, other rules, none

derive('2017-11-28');
is_derived($node, 'postgres', '2017-11-28', 'an earlier instant');
query(q{UPDATE leadscore.derivation SET gap = '45 minutes', delay = CASE WHEN delay IS NOT NULL THEN interval '90 minutes' END;
	UPDATE leadscore.derivation SET derived_kind = 'session' WHERE derivation = 'browsing'; DELETE FROM leadscore.derivation WHERE derivation = 'cart, a day'});
derive('2017-11-28');
is_derived($node, 'postgres', '2017-11-28', 'changed rules');
query(q{SELECT leadscore.forget(lead_id) FROM (SELECT DISTINCT lead_id FROM leadscore.derived_event ORDER BY 1 LIMIT 5) l});
is_derived($node, 'postgres', '2017-11-28', 'forgotten leads, before the next pass');
derive('2017-11-28');
is_derived($node, 'postgres', '2017-11-28', 'forgotten leads');
query('DELETE FROM leadscore.derivation');
derive('2017-11-28');
is(query('SELECT (SELECT count(*) FROM leadscore.derived_event), (SELECT count(*) FROM leadscore.verify())'), '0|0', 'no rules, nothing derived');

# ---------------------------------------------------------------- session_number

is(query(q{
	WITH few AS MATERIALIZED (SELECT DISTINCT user_id, event_time FROM stream WHERE user_id IN (SELECT user_id FROM stream GROUP BY 1 ORDER BY count(*) LIMIT 60)),
	start AS MATERIALIZED (SELECT * FROM few f WHERE NOT EXISTS (SELECT FROM few p
		WHERE p.user_id = f.user_id AND p.event_time < f.event_time AND p.event_time >= f.event_time - interval '30 minutes'))
	SELECT count(*) > 100, count(*) FILTER (WHERE n <> (SELECT count(*) FROM start f WHERE f.user_id = s.user_id AND f.event_time <= s.event_time))
	FROM (SELECT user_id, event_time, leadscore.session_number(event_time, '30 minutes') OVER (PARTITION BY user_id ORDER BY event_time) AS n FROM few) s}),
	't|0', 'session_number() counts the sessions that have begun');

done_testing();
