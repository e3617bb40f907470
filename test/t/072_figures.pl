# RFM, key figures and affinity of a shop against plain SQL over its transactions. Segments are those that could be known at
# the time: they are computed from what had happened by then, and from nothing else.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Without the real data, sales made by hashing serve.
my $data = ($ENV{SHARED_DATA} // '') . '/cdnow/transactions.csv.gz';
my $sales = -r $data
  ? "COPY sale FROM PROGRAM 'gzip -dc $data' (FORMAT csv, HEADER); DELETE FROM sale WHERE customer % 20 <> 1;"
  : q{
	INSERT INTO sale SELECT c, d.day, 1, abs(hashint4(c * 17 + k) % 5000) / 100.0
	FROM generate_series(1, 1500) c, generate_series(0, abs(hashint4(c)) % 6) k,
		LATERAL (SELECT date '1997-01-01' + abs(hashint4(c * 7) % 90) + k * (5 + abs(hashint4(c * 13 + k) % 90)) AS day) d
	WHERE d.day < '1998-07-01';
  };
note(-r $data ? 'a real shop' : 'a shop that was made up');

my $node = PostgreSQL::Test::Cluster->new('figures');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\ntimezone = 'America/New_York'\nsearch_path = 'public, leadscore, leadscore_internal'");
$node->start;

# The figures as of now, of all models.
my $now = join ';', map { qq{CREATE FUNCTION ${_}_now() RETURNS SETOF leadscore.$_ LANGUAGE sql AS 'SELECT r.* FROM leadscore.model m CROSS JOIN LATERAL leadscore_internal.${_}_rows(m.model, leadscore_internal.figures_of(m.model)) r'} } qw(monthly_figure sales_cycle funnel attribution);

sub query { return $node->safe_psql('postgres', $_[0]) }

query(<<"SQL");
CREATE EXTENSION leadscore;
$now;
CREATE TABLE sale (customer int, day date, quantity int, amount numeric);
$sales
CREATE INDEX ON sale ((customer::text));
SELECT publish('{"model": "cd", "signals": [{"signal": "order", "kind": "order"}], "weights": [{"signal": "order", "points": 10, "half_life": "60 days"}, {"signal": "order", "measure": "value", "points": 0.1, "within": "90 days"}],
	"segments": [{"segment": "high", "position": 1, "min_score": 12}, {"segment": "medium", "position": 2, "min_score": 4}, {"segment": "low", "position": 3}]}');
INSERT INTO conversion VALUES ('cd', 'order');
SELECT track('sale', lead_id => 'customer', kind => 'order', occurred_at => 'day', value => 'amount');
SQL

# ---------------------------------------------------------------- RFM

query(q{
	CREATE TABLE customer AS SELECT customer, max(day) AS last, count(*) AS n, sum(amount) AS money FROM sale WHERE day <= '1998-01-15' GROUP BY customer;
	CREATE TABLE tile AS SELECT *, (SELECT count(*) FROM customer w WHERE w.last < c.last) AS r, (SELECT count(*) FROM customer w WHERE w.n < c.n) AS f,
		(SELECT count(*) FROM customer w WHERE w.money < c.money) AS m, (SELECT count(*) FROM customer) AS all_of_them FROM customer c});
for my $n (1, 3, 5, 10)
{
	is(query(qq{SELECT count(*), count(*) FILTER (WHERE (x.last_at AT TIME ZONE 'UTC', x.frequency, x.monetary, x.recency_tile, x.frequency_tile, x.monetary_tile)
			IS NOT DISTINCT FROM (t.last::timestamp, t.n, t.money, (1 + r * $n / all_of_them)::int, (1 + f * $n / all_of_them)::int, (1 + m * $n / all_of_them)::int))
		FROM rfm('cd', '1998-01-15 00:30Z', $n) x FULL JOIN tile t ON t.customer::text = x.lead_id}), query('SELECT count(*), count(*) FROM customer'), "RFM in $n tiles");
}
is(query(q{SELECT count(DISTINCT rfm_group), count(*) FILTER (WHERE rfm_group IS NULL) FROM rfm('cd', '1998-01-15', 5)}), '6|0', 'every group has somebody, everybody a group');

# ---------------------------------------------------------------- months

query(q{
	CREATE TABLE month AS SELECT m::date AS month FROM generate_series(timestamp '1997-01-01', '1998-06-01', '1 month') m;
	CREATE TABLE known AS SELECT month, customer::text AS customer, leadscore.timeline_agg((SELECT signals()), 'order', day::timestamp AT TIME ZONE 'UTC', amount, NULL) AS timeline
		FROM month JOIN sale ON day < month GROUP BY month, customer;
	CREATE TABLE state AS
		SELECT month, customer, (appraise((SELECT scorecard('cd')), timeline, NULL, month::timestamp AT TIME ZONE 'UTC' - interval '1 microsecond')).segment, false AS is_new FROM known
		UNION ALL SELECT date_trunc('month', min(day)::timestamp)::date, customer::text, NULL, true FROM sale GROUP BY customer;
	CREATE TABLE expected AS
	SELECT s.month, s.segment, s.is_new, count(*) AS leads, count(b.n) AS customers, sum(b.n) AS orders, coalesce(sum(b.money), 0) AS revenue,
		count(*) FILTER (WHERE b.n > 0 AND (SELECT count(*) FROM sale o WHERE o.customer::text = s.customer AND o.day < (s.month + interval '1 month')) > 1) AS again
	FROM state s LEFT JOIN LATERAL (SELECT count(*) AS n, sum(amount) AS money FROM sale o WHERE o.customer::text = s.customer
		AND o.day >= s.month AND o.day < s.month + interval '1 month' HAVING count(*) > 0) b ON true
	GROUP BY s.month, s.segment, s.is_new});
# (the months go on up to today)
query(q{CREATE TABLE figure AS SELECT * FROM monthly_figure_now() WHERE month < '1998-07-01'});
is(query(q{SELECT count(*) FROM expected}), query(q{SELECT count(*) FROM figure}), 'as many months and segments');
is(query(q{
	SELECT count(*) FROM expected e LEFT JOIN figure f ON f.month = e.month AND f.segment IS NOT DISTINCT FROM e.segment AND f.is_new = e.is_new
	WHERE (f.leads, f.customers, f.orders, f.revenue, f.conversion_rate, f.repeat_rate, f.average_order_value, f.revenue_per_lead) IS DISTINCT FROM
		(e.leads, e.customers, coalesce(e.orders, 0)::bigint, e.revenue, round(e.customers::numeric / e.leads, 6), round(e.again::numeric / nullif(e.customers, 0), 6),
			round(e.revenue / nullif(e.orders, 0), 6), round(e.revenue / e.leads, 6))}), '0', 'and the same figures, to the last decimal');
is(query(q{SELECT count(DISTINCT segment) FROM expected}), '3', 'in all segments');
is(query(q{SELECT (SELECT sum(revenue) FROM figure) = (SELECT sum(amount) FROM sale), (SELECT sum(orders) FROM figure) = (SELECT count(*) FROM sale)}), 't|t', 'nothing is lost');
# later events change nothing about who was in which segment
query(q{CREATE TABLE before AS SELECT month, segment, leads FROM figure WHERE month <= '1997-12-01'; INSERT INTO sale SELECT customer, '1997-12-01', 1, 500 FROM sale WHERE day = '1997-01-15'});
is(query(q{SELECT count(*) FROM (TABLE before EXCEPT SELECT month, segment, leads FROM monthly_figure_now() WHERE month <= '1997-12-01') d}), '0', 'no hindsight');
# kept by the day, the figures are the same but for what decays by hours: here all is at 00:00
query(q{CREATE TABLE hours AS SELECT (to_jsonb(f) - 'computed_at') AS row FROM monthly_figure_now() f WHERE month < '1998-07-01'});
query(q{CALL compact('1998-03-10')});
is(query(q{SELECT count(*) FROM (TABLE hours EXCEPT SELECT to_jsonb(f) - 'computed_at' FROM monthly_figure_now() f WHERE month < '1998-07-01') d}), '0', 'the same when compacted');

# ---------------------------------------------------------------- what leads to the sales

# A database of its own, with visits by channels before and between the sales, hours and days ahead of them.
query('CREATE DATABASE web');
sub web { return $node->safe_psql('web', $_[0]) }
web(<<"SQL");
CREATE EXTENSION leadscore;
$now;
CREATE TABLE sale (customer int, day date, quantity int, amount numeric);
$sales
DELETE FROM sale WHERE customer % 3 = 0;
CREATE TABLE visit (customer int, at timestamptz, channel text);
INSERT INTO visit SELECT customer, day::timestamp AT TIME ZONE 'UTC' - abs(hashint4(customer + n + quantity * 31 + extract(day FROM day)::int)) % 1200 * interval '1 hour', (ARRAY['search', 'mail', 'shop window'])[1 + abs(hashint4(customer * 3 + n)) % 3]
FROM sale, generate_series(1, 3) n WHERE abs(hashint4(customer * 5 + n + extract(month FROM day)::int)) % 3 > 0;
-- two channels in one hour, and a visit in the hour of the sale
INSERT INTO visit SELECT customer, at + interval '10 minutes', 'mail' FROM visit WHERE customer % 7 = 0;
INSERT INTO visit SELECT customer, day::timestamp AT TIME ZONE 'UTC' + interval '20 minutes', 'search' FROM sale WHERE customer % 4 = 0;
-- and people who only look
INSERT INTO visit SELECT -customer, at, channel FROM visit WHERE customer % 5 = 0;
SELECT publish('{"model": "web", "signals": [{"signal": "order", "kind": "order"}, {"signal": "visit", "kind": "visit"}, {"signal": "search", "kind": "visit", "match": {"channel": "search"}}, {"signal": "mail", "kind": "visit", "match": {"channel": "mail"}}],
	"weights": [{"signal": "order", "points": 10, "half_life": "60 days", "stage": "buys"}, {"signal": "visit", "points": 3, "half_life": "10 days", "stage": "looks"}, {"signal": "mail", "points": 1, "stage": "reads"}],
	"stages": [{"stage": "looks", "position": 1}, {"stage": "reads", "position": 2}, {"stage": "buys", "position": 3}],
	"segments": [{"segment": "high", "position": 1, "min_score": 8}, {"segment": "medium", "position": 2, "min_score": 3}, {"segment": "low", "position": 3, "min_score": 1}]}');
INSERT INTO conversion VALUES ('web', 'order');
INSERT INTO channel VALUES ('search', 'search'), ('mail', 'mail'), ('mail again', 'mail');
INSERT INTO spend SELECT channel, month::date + 4, round(100 + 1 / extract(month FROM month), 6) FROM generate_series(timestamp '1997-01-01', '1998-07-01', '1 month') month, unnest(ARRAY['search', 'mail', 'radio']) channel;
SELECT track('sale', lead_id => 'customer', kind => 'order', occurred_at => 'day', value => 'amount');
SELECT track('visit', lead_id => 'customer', kind => 'visit', occurred_at => 'at', properties => '{channel}');
-- all that has happened, by hours
CREATE TABLE log AS SELECT customer::text AS lead_id, 'order' AS kind, day::timestamp AT TIME ZONE 'UTC' AS hour, amount, NULL AS channel, day::timestamp AT TIME ZONE 'UTC' AS at FROM sale
	UNION ALL SELECT customer::text, 'visit', date_trunc('hour', at, 'UTC'), NULL, channel, at FROM visit;
CREATE INDEX ON log (lead_id, hour);
-- the segment by what had happened before an instant, and by nothing else; none, if that was nothing
CREATE FUNCTION segment_before(who text, instant timestamptz) RETURNS text STABLE LANGUAGE sql AS \$\$
	SELECT CASE WHEN count(*) > 0 THEN (leadscore.appraise(leadscore.scorecard('web'),
		leadscore.timeline_agg((SELECT leadscore.signals()), kind, hour, amount, jsonb_build_object('channel', channel)), NULL, instant - interval '1 hour')).segment END
	FROM log WHERE lead_id = who AND hour < instant\$\$;
CREATE FUNCTION month_of_hour(hour timestamptz) RETURNS date IMMUTABLE LANGUAGE sql AS \$\$SELECT date_trunc('month', hour AT TIME ZONE 'UTC')::date\$\$;
CREATE TABLE bought AS SELECT lead_id, hour, count(*) AS orders, sum(amount) AS revenue, segment_before(lead_id, hour) AS segment FROM log WHERE kind = 'order' GROUP BY lead_id, hour;
SQL
cmp_ok(web(q{SELECT count(DISTINCT coalesce(segment, 'none')) FROM bought}), '>=', 3, 'sales in several segments');

# A view's rows are the expected ones, both ways.
sub same_rows
{
	my ($name, $view, $expected) = @_;

	is(web("CREATE TEMP TABLE found AS $view; CREATE TEMP TABLE wanted (LIKE found); INSERT INTO wanted $expected;
		SELECT (SELECT count(*) > 5 FROM wanted), (SELECT count(*) FROM (TABLE found EXCEPT ALL TABLE wanted) d), (SELECT count(*) FROM (TABLE wanted EXCEPT ALL TABLE found) d)"), 't|0|0', $name);
}
same_rows('sales cycle', 'SELECT month, segment, customers, lower_quartile, median, upper_quartile FROM sales_cycle_now() WHERE NOT all_segments', q{
	SELECT month_of_hour(f.hour), segment_before(f.lead_id, f.hour), count(*), percentile_cont(0.25) WITHIN GROUP (ORDER BY f.days), percentile_cont(0.5) WITHIN GROUP (ORDER BY f.days), percentile_cont(0.75) WITHIN GROUP (ORDER BY f.days)
	FROM (SELECT lead_id, min(hour) FILTER (WHERE kind = 'order') AS hour, (extract(epoch FROM min(hour) FILTER (WHERE kind = 'order') - min(hour)) / 86400)::float8 AS days FROM log GROUP BY lead_id) f
	WHERE f.hour IS NOT NULL GROUP BY 1, 2});
same_rows('funnel', 'SELECT month, segment, stage, leads, share, drop_off FROM funnel_now()', q{
	SELECT month, segment, s.stage, CASE s.stage WHEN 'looks' THEN looks WHEN 'reads' THEN reads ELSE buys END,
		CASE s.stage WHEN 'looks' THEN 1.000000 WHEN 'reads' THEN round(reads::numeric / looks, 6) ELSE round(buys::numeric / looks, 6) END,
		CASE s.stage WHEN 'reads' THEN round(1 - reads::numeric / looks, 6) WHEN 'buys' THEN round(1 - buys::numeric / nullif(reads, 0), 6) END
	FROM (SELECT month, segment_before(lead_id, (month + interval '1 month') AT TIME ZONE 'UTC') AS segment, count(*) AS looks, count(*) FILTER (WHERE reads OR buys) AS reads, count(*) FILTER (WHERE buys) AS buys
		FROM (SELECT lead_id, month_of_hour(min(hour))::timestamp AS month, bool_or(channel = 'mail') AS reads, bool_or(kind = 'order') AS buys FROM log GROUP BY lead_id) l GROUP BY 1, 2) f, stage s});
web(q{CREATE TABLE credited AS
	SELECT a.attribution, month_of_hour(b.hour) AS month, a.channel, b.segment, count(*) FILTER (WHERE NOT EXISTS (SELECT FROM bought p WHERE p.lead_id = b.lead_id AND p.hour < b.hour)) AS new_customers,
		sum(b.orders) AS orders, sum(b.revenue) AS revenue
	FROM bought b CROSS JOIN LATERAL (
		SELECT 'first' AS attribution, (SELECT t.channel FROM log t WHERE t.lead_id = b.lead_id AND t.at <= b.hour AND t.channel IN ('search', 'mail') ORDER BY t.at, t.channel LIMIT 1) AS channel
		UNION ALL SELECT 'last', (SELECT t.channel FROM log t WHERE t.lead_id = b.lead_id AND t.at <= b.hour AND t.channel IN ('search', 'mail') ORDER BY t.at DESC, t.channel LIMIT 1)) a
	GROUP BY 1, 2, 3, 4});
same_rows('attribution', 'SELECT attribution, month, channel, segment, new_customers, orders, revenue FROM attribution_now() WHERE orders > 0', 'SELECT attribution, month, channel, segment, new_customers, orders::bigint, revenue FROM credited');
same_rows('what was spent is there, once a rule', 'SELECT attribution, month, channel, sum(spend) FROM attribution_now() WHERE spend > 0 GROUP BY 1, 2, 3',
	q{SELECT a, date_trunc('month', day::timestamp)::date, channel, sum(amount) FROM spend, unnest(ARRAY['first', 'last']) a GROUP BY 1, 2, 3});
is(web(q{SELECT count(*) > 20, count(*) FILTER (WHERE abs(f.spend - s.amount * c.new_customers / t.new_customers) > 0.000001 OR f.acquisition_cost IS DISTINCT FROM round(f.spend / nullif(f.new_customers, 0), 6)
		OR f.return_on_spend IS DISTINCT FROM round(f.revenue / nullif(f.spend, 0), 6))
	FROM (SELECT * FROM attribution_now() WHERE orders > 0 OFFSET 0) f JOIN credited c USING (attribution, month, channel) JOIN spend s ON s.channel = f.channel AND date_trunc('month', s.day::timestamp)::date = f.month
	JOIN (SELECT attribution, month, channel, sum(new_customers) AS new_customers FROM credited GROUP BY 1, 2, 3) t ON t.attribution = f.attribution AND t.month = f.month AND t.channel = f.channel
	WHERE c.segment IS NOT DISTINCT FROM f.segment AND t.new_customers > 0}), 't|0', '... each segment has its share of new customers');
is(web(q{WITH event AS (SELECT lead_id, channel, power(2, - extract(epoch FROM timestamptz '1998-01-01 00:00Z' - hour) / 86400 / 20)::float8 AS w FROM log WHERE channel IS NOT NULL AND hour <= '1998-01-01 00:30Z')
	SELECT count(*) > 100, count(*) FILTER (WHERE abs(a.weight - e.w) > 1e-9 * e.w OR abs(a.affinity - (e.w + 2 * e.shop) / (e.total + 2) / e.shop) > 1e-9) , count(*) FILTER (WHERE a.lead_id IS NULL OR e.lead_id IS NULL)
	FROM affinity('channel', '1998-01-01 00:30Z', '20 days', '{visit}', 2) a FULL JOIN (
		SELECT lead_id, channel, sum(w) AS w, sum(sum(w)) OVER (PARTITION BY lead_id) AS total, sum(sum(w)) OVER (PARTITION BY channel) / sum(sum(w)) OVER () AS shop FROM event
		WHERE w > power(2::float8, -100) GROUP BY 1, 2) e ON e.lead_id = a.lead_id AND e.channel = a.value}), 't|0|0', 'affinity');
# a touch of each of 30,000 leads is not compared with an order of each
web(q{INSERT INTO leadscore.event (lead_id, kind, occurred_at, properties) SELECT 'many ' || n, k, '1998-02-01', '{"channel": "search"}' FROM generate_series(1, 30000) n, unnest(ARRAY['visit', 'order']) k});
is(web(q{SET statement_timeout = '300s'; SELECT sum(orders) FROM attribution_now() WHERE attribution = 'last' AND month = '1998-02-01' AND channel = 'search'}) >= 30000, 1, 'attribution is linear');

done_testing();
