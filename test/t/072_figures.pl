# RFM and key figures of a real shop against plain SQL over its transactions. Segments are those that could be known at
# the time: they are computed from what had happened by then, and from nothing else.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $data = $ENV{SHARED_DATA};
plan skip_all => 'SHARED_DATA does not name the folder of the real data' unless defined $data && -r "$data/cdnow/transactions.csv.gz";

my $node = PostgreSQL::Test::Cluster->new('figures');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\njit = off\ntimezone = 'America/New_York'\nsearch_path = 'public, leadscore'");
$node->start;

sub query { return $node->safe_psql('postgres', $_[0]) }

query(<<"SQL");
CREATE EXTENSION leadscore;
CREATE TABLE sale (customer int, day date, quantity int, amount numeric);
COPY sale FROM PROGRAM 'gzip -dc $data/cdnow/transactions.csv.gz' (FORMAT csv, HEADER);
DELETE FROM sale WHERE customer % 10 <> 1;
CREATE INDEX ON sale (customer);
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
is(query(q{SELECT count(*) FROM expected}), query(q{SELECT count(*) FROM monthly_figure WHERE month < '1998-07-01'}), 'as many months and segments');
is(query(q{
	SELECT count(*) FROM expected e LEFT JOIN monthly_figure f ON f.month = e.month AND f.segment IS NOT DISTINCT FROM e.segment AND f.is_new = e.is_new
	WHERE (f.leads, f.customers, f.orders, f.revenue, f.conversion_rate, f.repeat_rate, f.average_order_value, f.revenue_per_lead) IS DISTINCT FROM
		(e.leads, e.customers, coalesce(e.orders, 0)::bigint, e.revenue, round(e.customers::numeric / e.leads, 6), round(e.again::numeric / nullif(e.customers, 0), 6),
			round(e.revenue / nullif(e.orders, 0), 6), round(e.revenue / e.leads, 6))}), '0', 'and the same figures, to the last decimal');
is(query(q{SELECT count(DISTINCT segment) FROM expected}), '3', 'in all segments');
is(query(q{SELECT (SELECT sum(revenue) FROM monthly_figure) = (SELECT sum(amount) FROM sale), (SELECT sum(orders) FROM monthly_figure) = (SELECT count(*) FROM sale)}), 't|t', 'nothing is lost');
# later events change nothing about who was in which segment
query(q{CREATE TABLE before AS SELECT month, segment, leads FROM monthly_figure WHERE month <= '1997-12-01'; INSERT INTO sale SELECT customer, '1997-12-01', 1, 500 FROM sale WHERE day = '1997-01-15'});
is(query(q{SELECT count(*) FROM (TABLE before EXCEPT SELECT month, segment, leads FROM monthly_figure) d}), '0', 'no hindsight');
# kept by the day, the figures are the same but for what decays by hours: here all is at 00:00
query(q{CREATE TABLE hours AS SELECT * FROM monthly_figure});
query(q{CALL compact('1998-03-10')});
is(query(q{SELECT count(*) FROM (TABLE hours EXCEPT SELECT * FROM monthly_figure) d}), '0', 'the same when compacted');

done_testing();
