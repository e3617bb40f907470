# Real click streams: stored timelines equal aggregated ones, and scores equal an independent calculation in plain SQL
# over the raw events.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $data = $ENV{SHARED_DATA};
plan skip_all => 'SHARED_DATA does not name the folder of the real data'
	unless defined $data && -r "$data/taobao_userbehavior/events.csv.gz" && -r "$data/rees46_multicategory_3h/events.csv.gz";

my $node = PostgreSQL::Test::Cluster->new('streams');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\ntimezone = 'UTC'");
$node->start;

sub query { return $node->safe_psql('postgres', "SET search_path = public, leadscore, leadscore_internal; $_[0]") }

# ---------------------------------------------------------------- the streams as they are

query(<<"SQL");
CREATE EXTENSION leadscore;
CREATE TABLE taobao (user_id bigint, item_id bigint, category_id bigint, event_type text, event_time timestamptz);
COPY taobao FROM PROGRAM 'gzip -dc $data/taobao_userbehavior/events.csv.gz' (FORMAT csv, HEADER);
CREATE TABLE rees46 (event_time timestamptz, event_type text, product_id bigint, category_id bigint, category_code text, brand text, price numeric, user_id bigint, user_session uuid);
COPY rees46 FROM PROGRAM 'gzip -dc $data/rees46_multicategory_3h/events.csv.gz' (FORMAT csv, HEADER);
SQL
is(query('SELECT (SELECT count(*) FROM taobao), (SELECT count(*) FROM rees46)'), '48473|17434', 'the streams are there');

# Models for their kinds, with all that a weight can have. The first stream goes through leadscore.event, the second
# stays in its table, which is tracked.
query(<<'SQL');
SELECT publish('{"model": "taobao", "floor": 0, "ceiling": 150,
	"signals": [
		{"signal": "pv", "kind": "pv"}, {"signal": "fav", "kind": "fav"}, {"signal": "cart", "kind": "cart"}, {"signal": "buy", "kind": "buy"}, {"signal": "any"},
		{"signal": "fashion", "match": {"category_id": 4756105}},
		{"signal": "new_item_in_cart", "kind": "cart", "condition": "$.item_id > 2500000"}],
	"weights": [
		{"signal": "pv", "points": 1, "half_life": "2 days", "max_per_day": 20, "max_points": 40, "category": "browsing"},
		{"signal": "fav", "points": 3, "fades_over": "5 days", "category": "browsing"},
		{"signal": "cart", "points": 5, "half_life": "3 days", "fades_over": "8 days", "within": "7 days", "max_points": 60},
		{"signal": "buy", "points": 20, "curve": "log"},
		{"signal": "buy", "measure": "days_since_last", "points": 15, "below": 1},
		{"signal": "buy", "measure": "days_since_last", "points": 7, "at_least": 1, "below": 3},
		{"signal": "buy", "measure": "days_since_first", "points": 0.25},
		{"signal": "pv", "measure": "active_days", "points": 4, "curve": "log", "within": "6 days"},
		{"signal": "fashion", "points": 0.5, "within": "3 days", "max_points": 10, "category": "browsing"},
		{"signal": "new_item_in_cart", "points": 2, "half_life": "1 day"},
		{"signal": "pv", "points": -10, "at_least": 300},
		{"signal": "any", "measure": "days_since_last", "points": -3, "max_points": 0, "min_points": -12}],
	"categories": [{"category": "browsing", "max_points": 45}],
	"segments": [{"segment": "hot", "position": 1, "min_score": 80}, {"segment": "warm", "position": 2, "min_score": 30}, {"segment": "cold", "position": 3}]}');
SELECT publish('{"model": "rees46",
	"signals": [
		{"signal": "view", "kind": "view"}, {"signal": "cart3h", "kind": "cart"}, {"signal": "purchase", "kind": "purchase"},
		{"signal": "phone", "match": {"category_code": "electronics.smartphone"}},
		{"signal": "dear_view", "kind": "view", "match": {"brand": "apple"}, "condition": "$.price >= 500"}],
	"weights": [
		{"signal": "view", "points": 1, "half_life": "90 minutes", "max_per_day": 15},
		{"signal": "view", "measure": "average_value", "points": 6, "at_least": 100, "below": 400},
		{"signal": "view", "measure": "average_value", "points": 9, "at_least": 400},
		{"signal": "cart3h", "points": 10},
		{"signal": "purchase", "measure": "value", "points": 8, "curve": "log", "half_life": "1 day"},
		{"signal": "purchase", "points": 25, "max_points": 60},
		{"signal": "phone", "measure": "value", "points": 0.001, "fades_over": "5 hours", "max_points": 20},
		{"signal": "dear_view", "points": 2, "within": "2 hours"}]}');
INSERT INTO event (lead_id, kind, occurred_at, properties)
SELECT 't' || user_id, event_type, event_time, jsonb_build_object('item_id', item_id, 'category_id', category_id) FROM taobao;
SELECT track('rees46', lead_id => 'user_id', kind_column => 'event_type', occurred_at => 'event_time', value => 'price', properties => '{category_code,brand,price}');
SQL

# ---------------------------------------------------------------- timelines

is(query('SELECT count(*) FROM verify()'), '0', 'verify() finds nothing');
is(query(<<'SQL'), '473|473|4504|4504', 'stored timelines equal aggregated ones');
WITH expected AS (
	SELECT 't' || user_id AS lead_id, timeline_agg((SELECT signals()), event_type, event_time, NULL, jsonb_build_object('item_id', item_id, 'category_id', category_id)) AS timeline FROM taobao GROUP BY user_id
	UNION ALL
	SELECT user_id::text, timeline_agg((SELECT signals()), event_type, event_time, price, jsonb_build_object('category_code', category_code, 'brand', brand, 'price', price)) FROM rees46 GROUP BY user_id
)
SELECT count(*) FILTER (WHERE lead_id LIKE 't%'), count(*) FILTER (WHERE lead_id LIKE 't%' AND t.timeline = e.timeline),
	count(*) FILTER (WHERE lead_id NOT LIKE 't%'), count(*) FILTER (WHERE lead_id NOT LIKE 't%' AND t.timeline = e.timeline)
FROM expected e FULL JOIN lead_timeline t USING (lead_id)
SQL
# what they hold, against counts of the raw rows
is(query(<<'SQL'), '43714|2480|1299|980|48473|17055|165|214|59442.63', 'timelines hold every event, and every price');
SELECT sum(e.occurrences) FILTER (WHERE signal = 'pv'), sum(e.occurrences) FILTER (WHERE signal = 'cart' AND lead_id LIKE 't%'), sum(e.occurrences) FILTER (WHERE signal = 'fav'),
	sum(e.occurrences) FILTER (WHERE signal = 'buy'), sum(e.occurrences) FILTER (WHERE signal = 'any' AND lead_id LIKE 't%'), sum(e.occurrences) FILTER (WHERE signal = 'view'),
	sum(e.occurrences) FILTER (WHERE signal = 'cart3h' AND lead_id NOT LIKE 't%'), sum(e.occurrences) FILTER (WHERE signal = 'purchase'), sum(e.value) FILTER (WHERE signal = 'purchase')
FROM lead_timeline t, timeline_entries(t.timeline) e JOIN signal s USING (signal_id)
SQL

# ---------------------------------------------------------------- scores, from the raw events

# The age of an event is a difference of whole UTC hours. An event of the instant's own hour counts, one of the next does not.
query(<<'SQL');
CREATE FUNCTION taobao_score(instant timestamptz) RETURNS TABLE (user_id bigint, score float8, segment text) LANGUAGE sql SET search_path = public AS $$
	WITH aged AS (
		SELECT *, (extract(epoch FROM date_trunc('hour', instant) - date_trunc('hour', event_time)) / 3600)::float8 AS age, event_time::date AS day FROM taobao
	), e AS (
		SELECT *, row_number() OVER (PARTITION BY user_id, event_type, day ORDER BY event_time) AS of_the_day FROM aged WHERE age >= 0
	), measured AS (
		SELECT u.user_id,
			sum(power(0.5, age / 48)) FILTER (WHERE event_type = 'pv' AND of_the_day <= 20) AS pv,
			sum(greatest(0, 1 - age / 120)) FILTER (WHERE event_type = 'fav') AS fav,
			sum(power(0.5, age / 72) * greatest(0, 1 - age / 192)) FILTER (WHERE event_type = 'cart' AND age < 168) AS cart,
			count(*) FILTER (WHERE event_type = 'buy') AS buys,
			min(age) FILTER (WHERE event_type = 'buy') / 24 AS last_buy,
			max(age) FILTER (WHERE event_type = 'buy') / 24 AS first_buy,
			count(DISTINCT day) FILTER (WHERE event_type = 'pv' AND age < 144) AS days,
			count(*) FILTER (WHERE category_id = 4756105 AND age < 72) AS fashion,
			sum(2 * power(0.5, age / 24)) FILTER (WHERE event_type = 'cart' AND item_id > 2500000) AS new_items,
			count(*) FILTER (WHERE event_type = 'pv') AS all_pv,
			min(age) / 24 AS silent
		FROM (SELECT DISTINCT user_id FROM taobao) u LEFT JOIN e USING (user_id) GROUP BY u.user_id
	), total AS (
		SELECT user_id, least(150, greatest(0,
			least(45, least(40, coalesce(pv, 0)) + coalesce(3 * fav, 0) + least(10, 0.5 * fashion))
			+ least(60, coalesce(5 * cart, 0))
			+ 20 * ln(1 + buys::float8)
			+ CASE WHEN last_buy < 1 THEN 15 WHEN last_buy < 3 THEN 7 ELSE 0 END
			+ coalesce(0.25 * first_buy, 0)
			+ 4 * ln(1 + days::float8)
			+ coalesce(new_items, 0)
			- CASE WHEN all_pv >= 300 THEN 10 ELSE 0 END
			+ greatest(-12, coalesce(-3 * silent, 0)))) AS score
		FROM measured
	)
	SELECT user_id, score, CASE WHEN score >= 80 THEN 'hot' WHEN score >= 30 THEN 'warm' ELSE 'cold' END FROM total
$$;
CREATE FUNCTION rees46_score(instant timestamptz) RETURNS TABLE (user_id bigint, score float8) LANGUAGE sql SET search_path = public AS $$
	WITH aged AS (
		SELECT *, (extract(epoch FROM date_trunc('hour', instant) - date_trunc('hour', event_time)) / 3600)::float8 AS age FROM rees46
	), e AS (
		SELECT *, row_number() OVER (PARTITION BY user_id, event_type, event_time::date ORDER BY event_time) AS of_the_day FROM aged WHERE age >= 0
	), measured AS (
		SELECT u.user_id,
			sum(power(0.5, age / 2)) FILTER (WHERE event_type = 'view' AND of_the_day <= 15) AS views,	-- 90 minutes are rounded up to 2 hours
			avg(price) FILTER (WHERE event_type = 'view') AS viewed,
			count(*) FILTER (WHERE event_type = 'cart') AS carts,
			sum(price * power(0.5, age / 24)) FILTER (WHERE event_type = 'purchase') AS spent,
			count(*) FILTER (WHERE event_type = 'purchase') AS purchases,
			sum(price::float8 * greatest(0, 1 - age / 5)) FILTER (WHERE category_code = 'electronics.smartphone') AS phones,
			count(*) FILTER (WHERE event_type = 'view' AND brand = 'apple' AND price >= 500 AND age < 2) AS apples
		FROM (SELECT DISTINCT user_id FROM rees46) u LEFT JOIN e USING (user_id) GROUP BY u.user_id
	)
	SELECT user_id, coalesce(views, 0) + CASE WHEN viewed >= 400 THEN 9 WHEN viewed >= 100 THEN 6 ELSE 0 END + 10 * carts
		+ coalesce(8 * ln(1 + spent), 0) + least(60, 25 * purchases) + least(20, coalesce(0.001 * phones, 0)) + 2 * apples
	FROM measured
$$;
SQL

my @instants = map { "'$_'::timestamptz" } '2017-09-12 00:00', '2017-11-25 00:00', '2017-11-27 10:30', '2017-12-01 23:59:59', '2017-12-03 16:00', '2017-12-31 00:00', '2019-01-01 00:00';
for my $instant (@instants)
{
	my ($leads, $agree, $segments, $distinct) = split /\|/, query(<<"SQL");
SELECT count(*), count(*) FILTER (WHERE abs(x.score - s.score) <= 1e-9), count(*) FILTER (WHERE x.segment = (a).segment), count(DISTINCT x.score)
FROM taobao_score($instant) x, LATERAL (SELECT score('t' || user_id, 'taobao', $instant)) s,
	LATERAL (SELECT appraise((SELECT scorecard('taobao')), (SELECT timeline FROM lead_timeline WHERE lead_id = 't' || user_id), NULL, $instant) AS a OFFSET 0) p
SQL
	is("$leads|$agree|$segments", '473|473|473', "taobao at $instant: all leads' scores and segments ($distinct different ones) agree with plain SQL");
}
for my $instant (map { "'$_'::timestamptz" } '2019-09-30 23:59', '2019-10-01 00:30', '2019-10-01 01:20', '2019-10-01 02:50', '2019-10-01 07:00', '2019-10-05 12:00')
{
	my ($leads, $agree, $distinct) = split /\|/, query(<<"SQL");
SELECT count(*), count(*) FILTER (WHERE abs(x.score - s.score) <= 1e-9), count(DISTINCT x.score)
FROM rees46_score($instant) x, LATERAL (SELECT score((SELECT scorecard('rees46')), (SELECT timeline FROM lead_timeline WHERE lead_id = user_id::text), NULL, $instant)) s
SQL
	is("$leads|$agree", '4504|4504', "rees46 at $instant: all leads' scores ($distinct different ones) agree with plain SQL");
}

# ---------------------------------------------------------------- days of a time zone, absence, since, rules

query(<<'SQL');
SELECT publish('{"model": "marketer", "time_zone": "Pacific/Auckland",
	"signals": [{"signal": "pv", "kind": "pv"}, {"signal": "fav", "kind": "fav"}, {"signal": "cart", "kind": "cart"}, {"signal": "buy", "kind": "buy"}],
	"weights": [
		{"signal": "pv", "points": 1, "max_per_day": 5},
		{"signal": "pv", "measure": "active_days", "points": 2, "within": "5 days"},
		{"signal": "buy", "points": 3, "within": "3 days", "if_none": -20},
		{"signal": "fav", "measure": "days_since_last", "points": 1, "if_none": 11, "max_points": 9},
		{"signal": "pv", "points": 0.5, "since_signal": "buy", "max_points": 30}],
	"rules": [
		{"rule": "hesitates", "points": 7, "all_of": [{"signal": "cart", "within": "2 days"}], "none_of": [{"signal": "buy", "within": "2 days"}]},
		{"rule": "keen", "any_of": [{"signal": "cart", "at_least": 3}, {"signal": "pv", "measure": "active_days", "at_least": 7}]}],
	"segments": [{"segment": "call", "position": 1, "above_score": 20, "rules": ["hesitates"]}, {"segment": "keen", "position": 2, "rules": ["keen"]}, {"segment": "other", "position": 3}]}');
CREATE FUNCTION marketer_score(instant timestamptz) RETURNS TABLE (user_id bigint, score float8, segment text) LANGUAGE sql SET search_path = public AS $$
	WITH e AS (
		SELECT t.user_id, t.event_type, date_trunc('hour', t.event_time) AS hour, (date_trunc('hour', t.event_time) AT TIME ZONE 'Pacific/Auckland')::date AS day,
			(extract(epoch FROM date_trunc('hour', instant) - date_trunc('hour', t.event_time)) / 3600)::float8 AS age,
			max(date_trunc('hour', t.event_time)) FILTER (WHERE t.event_type = 'buy') OVER (PARTITION BY t.user_id) AS last_buy
		FROM taobao t WHERE date_trunc('hour', t.event_time) <= instant
	), capped AS (
		SELECT d.user_id, sum(least(5, d.n)) AS pv FROM (SELECT user_id, count(*) AS n FROM e WHERE event_type = 'pv' GROUP BY user_id, day) d GROUP BY 1
	), measured AS (
		SELECT u.user_id, (SELECT c.pv FROM capped c WHERE c.user_id = u.user_id) AS pv,
			count(DISTINCT day) FILTER (WHERE event_type = 'pv' AND age < 120) AS days,
			count(DISTINCT day) FILTER (WHERE event_type = 'pv') AS all_days,
			count(*) FILTER (WHERE event_type = 'buy' AND age < 72) AS buys,
			count(*) FILTER (WHERE event_type = 'buy' AND age < 48) AS buys_of_two_days,
			min(age) FILTER (WHERE event_type = 'fav') / 24 AS fav,
			count(*) FILTER (WHERE event_type = 'cart') AS carts,
			count(*) FILTER (WHERE event_type = 'cart' AND age < 48) AS carts_of_two_days,
			count(*) FILTER (WHERE event_type = 'pv' AND (hour > last_buy OR last_buy IS NULL)) AS since
		FROM (SELECT DISTINCT user_id FROM taobao) u LEFT JOIN e USING (user_id) GROUP BY u.user_id
	), judged AS (
		SELECT *, carts_of_two_days > 0 AND buys_of_two_days = 0 AS hesitates, carts >= 3 OR all_days >= 7 AS keen FROM measured
	), total AS (
		SELECT *, coalesce(pv, 0) + 2 * days + CASE WHEN buys > 0 THEN 3 * buys ELSE -20 END + least(9, coalesce(fav, 11)) + least(30, 0.5 * since) + CASE WHEN hesitates THEN 7 ELSE 0 END AS score FROM judged
	)
	SELECT user_id, score, CASE WHEN score > 20 AND hesitates THEN 'call' WHEN keen THEN 'keen' ELSE 'other' END FROM total
$$;
SQL
for my $instant (@instants)
{
	my ($leads, $agree, $segments, $explained, $distinct) = split /\|/, query(<<"SQL");
SELECT count(*), count(*) FILTER (WHERE abs(x.score - (a).score) <= 1e-9), count(*) FILTER (WHERE x.segment = (a).segment),
	count(*) FILTER (WHERE abs(x.score - (SELECT sum(points) FROM explain('t' || x.user_id, 'marketer', $instant))) <= 1e-9), count(DISTINCT x.score)
FROM marketer_score($instant) x,
	LATERAL (SELECT appraise((SELECT scorecard('marketer')), (SELECT timeline FROM lead_timeline WHERE lead_id = 't' || user_id), NULL, $instant) AS a OFFSET 0) p
SQL
	is("$leads|$agree|$segments|$explained", '473|473|473|473', "a marketer's model at $instant: scores ($distinct different ones), segments and explanations agree with plain SQL");
}

# ---------------------------------------------------------------- the past

# A score as of a past hour equals the score of only the events up to that hour, at that hour and ever after.
for my $hour ('2017-11-25 03:00', '2017-11-28 12:00', '2017-12-02 20:00')
{
	is(query(<<"SQL"), '473|473', "the past as of $hour");
SELECT count(*), count(*) FILTER (WHERE appraise((SELECT scorecard('taobao')), t.timeline, NULL, '$hour') IS NOT DISTINCT FROM appraise((SELECT scorecard('taobao')), p.timeline, NULL, '$hour'))
FROM lead_timeline t LEFT JOIN (
	SELECT lead_id, timeline_agg((SELECT signals()), kind, occurred_at, value, properties) AS timeline FROM event WHERE occurred_at < '$hour'::timestamptz + interval '1 hour' GROUP BY lead_id) p USING (lead_id)
WHERE lead_id LIKE 't%'
SQL
}

# ---------------------------------------------------------------- explanations, and what a change does

is(query(<<'SQL'), '473|473', 'explain() adds up to score() for every lead');
SELECT count(*), count(*) FILTER (WHERE abs(score(lead_id, 'taobao', '2017-12-03 16:00') - (SELECT coalesce(sum(points), 0) FROM explain(lead_id, 'taobao', '2017-12-03 16:00'))) <= 1e-9)
FROM lead_timeline WHERE lead_id LIKE 't%'
SQL
query('CREATE TABLE kept AS SELECT * FROM lead_timeline');
is(query(<<'SQL'), '473|473', 'a changed half-life counts at the next read, with no rebuild');
UPDATE weight SET half_life = '48 hours', max_per_day = NULL, max_points = NULL, points = 1000, category = NULL WHERE model = 'taobao' AND signal = 'pv' AND measure = 'count' AND at_least IS NULL;
DELETE FROM weight WHERE model = 'taobao' AND (signal <> 'pv' OR measure <> 'count' OR at_least IS NOT NULL);
UPDATE model SET ceiling = NULL WHERE model = 'taobao';
SELECT count(*), count(*) FILTER (WHERE abs(s.score - x.score) <= 1e-9 * x.score)
FROM (SELECT user_id, coalesce(sum(1000 * power(0.5, extract(epoch FROM date_trunc('hour', '2017-12-03 16:00'::timestamptz) - date_trunc('hour', event_time))::float8 / 3600 / 48))
		FILTER (WHERE event_type = 'pv' AND event_time < '2017-12-03 17:00'), 0) AS score FROM taobao GROUP BY user_id) x,
	LATERAL (SELECT score('t' || user_id, 'taobao', '2017-12-03 16:00')) s
SQL
is(query('SELECT count(*) FROM kept k FULL JOIN lead_timeline t USING (lead_id) WHERE k.timeline IS DISTINCT FROM t.timeline'), '0', 'and changes no timeline');

# ---------------------------------------------------------------- other ways in

# tracked as it is, the first stream comes to the same timelines as through the table event
query(<<'SQL');
ALTER TABLE taobao ADD lead text;
UPDATE taobao SET lead = 'u' || user_id;
SELECT track('taobao', lead_id => 'lead', kind_column => 'event_type', occurred_at => 'event_time', properties => '{item_id,category_id}');
SQL
is(query(<<'SQL'), '473|473', 'a tracked table and the table event come to the same');
SELECT count(*), count(*) FILTER (WHERE t.timeline = u.timeline) FROM lead_timeline t FULL JOIN lead_timeline u ON u.lead_id = 'u' || substr(t.lead_id, 2) WHERE t.lead_id LIKE 't%'
SQL
is(query('TRUNCATE rees46; DELETE FROM taobao; DELETE FROM event; SELECT count(*) FROM lead_timeline'), '0', 'all taken away: no timeline is left');

$node->stop;
done_testing();
