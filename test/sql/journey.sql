\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- Attribution within the hour: touches and orders count in the order of their events.
SELECT publish('{"model": "shop",
	"signals": [{"signal": "visit", "kind": "visit"}, {"signal": "from search", "kind": "visit", "match": {"channel": "search"}}, {"signal": "from mail", "kind": "visit", "match": {"channel": "mail"}}, {"signal": "purchase", "kind": "purchase"}],
	"weights": [{"signal": "visit", "points": 1}, {"signal": "purchase", "points": 5}]}');
INSERT INTO channel VALUES ('search', 'from search'), ('mail', 'from mail');
CREATE TABLE click (lead text, at timestamptz, channel text);
CREATE TABLE sale (lead text, at timestamptz, amount numeric);
CREATE INDEX ON click (lead);
CREATE INDEX ON sale (lead);
SELECT track('click', lead_id => 'lead', kind => 'visit', occurred_at => 'at', properties => '{channel}'), track('sale', lead_id => 'lead', kind => 'purchase', occurred_at => 'at', value => 'amount');
CREATE VIEW found AS SELECT attribution, month, channel, sum(orders) AS orders, sum(revenue) AS revenue, sum(new_customers) AS new_customers, sum(leads) AS leads
	FROM attribution WHERE model = 'shop' GROUP BY 1, 2, 3;

-- Each lead has an order of its own amount in the hour of 10. Who is credited, by the first and by the last touch:
INSERT INTO click VALUES ('before', '2026-03-02 10:10Z', 'search'),	-- 1: search
	('after', '2026-03-02 10:40Z', 'search'),	-- 2: nobody
	('between', '2026-03-02 10:10Z', 'mail'), ('between', '2026-03-02 10:40Z', 'search'),	-- 4: mail
	('long before', '2026-03-01 10:00Z', 'mail'), ('long before', '2026-03-02 10:40Z', 'search'),	-- 8: mail
	('both', '2026-03-02 10:10Z', 'search'), ('both', '2026-03-02 10:15Z', 'mail'),	-- 16: first search, last mail, though mail comes first by name
	('at once', '2026-03-02 10:20Z', 'search'), ('at once', '2026-03-02 10:20Z', 'mail'),	-- 32: mail, the first by name
	('twice', '2026-03-02 10:10Z', 'search'), ('twice', '2026-03-02 10:25Z', 'mail'),	-- 64: search; 128: first search, last mail
	('v1', '2026-03-02 10:30Z', 'mail'), ('v2', '2026-03-02 10:19Z', 'search'),	-- 256, by its aliases: search
	('other day', '2026-03-01 09:10Z', 'search'), ('other day', '2026-03-01 09:05Z', 'mail');	-- 512: first mail, last search
INSERT INTO sale SELECT lead, '2026-03-02 10:20Z', 2 ^ (n - 1) FROM unnest('{before,after,between,long before,both,at once,twice}'::text[]) WITH ORDINALITY AS l (lead, n);
INSERT INTO sale VALUES ('twice', '2026-03-02 10:30Z', 128), ('named', '2026-03-02 10:20Z', 256), ('other day', '2026-03-02 10:20Z', 512);
SELECT identify('v1', 'named'), identify('v2', 'named');
SELECT refresh_figures();
-- first: 1 + 16 + 64 + 128 + 256 = 465, 4 + 8 + 32 + 512 = 556, 2; last: 1 + 64 + 256 + 512 = 833, 4 + 8 + 16 + 32 +
-- 128 = 188, 2
SELECT attribution, channel, orders, revenue, new_customers FROM found WHERE orders > 0 ORDER BY 1, 2;
-- leads by the first and last touch of the month in which they came, whether before or after their order
SELECT attribution, channel, leads FROM found WHERE leads > 0 ORDER BY 1, 2;
-- nothing else depends on it
SELECT sum(orders) AS orders, sum(revenue) AS revenue FROM monthly_figure WHERE month = '2026-03-01';

-- Events that are gone, or are not what has been counted, tell nothing: then the hours count, as if touches began them
-- and orders ended them. 2 is for search now, 4 for mail, the first by name; the hour of 64 and 128 ends with mail.
SET session_replication_role = replica;
UPDATE click SET at = '2026-03-02 11:40Z' WHERE lead = 'after';
DELETE FROM click WHERE lead = 'between';
UPDATE sale SET amount = 65 WHERE amount = 64;
RESET session_replication_role;
SELECT refresh_figures();
SELECT attribution, channel, orders, revenue FROM found WHERE orders > 0 ORDER BY 1, 2;
CALL rebuild();
TRUNCATE click, sale;

-- Hundreds of leads with touches and orders in the same few hours, beside plain SQL
INSERT INTO click SELECT 'lead ' || abs(hashint8(n)) % 300, timestamptz '2026-04-01 08:00Z' + abs(hashint8(n * 5)) % 3 * interval '1 day' + abs(hashint8(n * 3)) % 180 * interval '1 minute',
	(ARRAY['search', 'mail', 'none'])[1 + abs(hashint8(n * 7)) % 3] FROM generate_series(1, 1500) n;
INSERT INTO sale SELECT 'lead ' || abs(hashint8(n * 11)) % 300, timestamptz '2026-04-01 08:00Z' + abs(hashint8(n * 13)) % 3 * interval '1 day' + abs(hashint8(n * 17)) % 180 * interval '1 minute', n FROM generate_series(1, 600) n;
CREATE FUNCTION wanted(look_back interval) RETURNS TABLE (attribution text, month date, channel text, orders numeric, revenue numeric, new_customers numeric) LANGUAGE sql AS $$
	SELECT a.attribution, '2026-04-01'::date, a.channel, count(*)::numeric, sum(s.amount), count(DISTINCT s.lead) FILTER (WHERE NOT EXISTS (SELECT FROM sale e WHERE e.lead = s.lead AND e.at < s.at))::numeric
	FROM sale s CROSS JOIN LATERAL (
		WITH before AS (
			SELECT c.at, c.channel FROM click c WHERE c.lead = s.lead AND c.channel IN ('search', 'mail') AND c.at <= s.at
			AND (date_trunc('hour', c.at) > date_trunc('hour', s.at) - look_back) IS NOT FALSE
		)
		SELECT 'first' AS attribution, (SELECT b.channel FROM before b ORDER BY b.at, b.channel LIMIT 1) AS channel
		UNION ALL
		SELECT 'last', (SELECT b.channel FROM before b ORDER BY b.at DESC, b.channel LIMIT 1)) a
	GROUP BY a.attribution, a.channel $$;
CREATE FUNCTION different(look_back interval) RETURNS TABLE (found bigint, wanted bigint, missing bigint, surplus bigint) LANGUAGE sql AS $$
	WITH f AS MATERIALIZED (SELECT attribution, month, channel, orders, revenue, new_customers FROM found WHERE orders > 0), w AS MATERIALIZED (SELECT * FROM wanted(look_back))
	SELECT (SELECT count(*) FROM f), (SELECT count(*) FROM w), (SELECT count(*) FROM (TABLE w EXCEPT TABLE f) m), (SELECT count(*) FROM (TABLE f EXCEPT TABLE w) s) $$;
SELECT refresh_figures();
SELECT * FROM different(NULL);
INSERT INTO conversion (model, signal, look_back) VALUES ('shop', 'purchase', '1 day');
SELECT refresh_figures();
SELECT * FROM different('1 day');
DELETE FROM conversion;
-- days that are kept by the day are in order as long as there are events
CALL compact('2026-04-03');
SELECT refresh_figures();
SELECT * FROM different(NULL);
