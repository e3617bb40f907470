\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- Key figures of a small shop, worked out by hand.
SELECT publish('{"model": "shop",
	"signals": [{"signal": "visit", "kind": "visit"}, {"signal": "from search", "kind": "visit", "match": {"channel": "search"}}, {"signal": "from mail", "kind": "visit", "match": {"channel": "mail"}},
		{"signal": "add_to_cart", "kind": "add_to_cart"}, {"signal": "purchase", "kind": "purchase"}],
	"weights": [{"signal": "visit", "points": 1, "stage": "looks"}, {"signal": "add_to_cart", "points": 10, "stage": "chooses"}, {"signal": "purchase", "points": 100, "stage": "buys"}],
	"stages": [{"stage": "looks", "position": 1}, {"stage": "chooses", "position": 2}, {"stage": "buys", "position": 3}],
	"segments": [{"segment": "customer", "position": 1, "min_score": 100}, {"segment": "warm", "position": 2, "min_score": 10}, {"segment": "cold", "position": 3}]}');
INSERT INTO channel VALUES ('search', 'from search'), ('mail', 'from mail');
-- anna comes by search in January, chooses, and buys in February, twice, and in March. ben comes by mail in January and buys in
-- the first hour of February, after a visit by search. carla only looks. dora comes and buys in February, without a channel.
INSERT INTO event (lead_id, kind, occurred_at, value, properties) VALUES
	('anna', 'visit', '2026-01-10 12:00Z', NULL, '{"channel": "search"}'), ('anna', 'add_to_cart', '2026-01-31 23:59Z', NULL, NULL),
	('anna', 'purchase', '2026-02-10 12:00Z', 0.10, NULL), ('anna', 'visit', '2026-02-15 12:00Z', NULL, '{"channel": "mail"}'), ('anna', 'purchase', '2026-02-20 12:00Z', 0.20, NULL),
	('anna', 'purchase', '2026-03-01 00:00Z', 100.000001, NULL),
	('ben', 'visit', '2026-01-30 18:00Z', NULL, '{"channel": "mail"}'), ('ben', 'add_to_cart', '2026-02-01 00:10Z', NULL, NULL),
	('ben', 'visit', '2026-02-01 00:20Z', NULL, '{"channel": "search"}'), ('ben', 'purchase', '2026-02-01 00:30Z', 50, NULL),
	('carla', 'visit', '2026-01-20 09:00Z', NULL, NULL),
	('dora', 'visit', '2026-02-03 09:00Z', NULL, NULL), ('dora', 'purchase', '2026-02-03 21:00Z', 7, NULL);
INSERT INTO spend VALUES ('search', '2026-01-10', 30), ('search', '2026-02-01', 10.5), ('search', '2026-02-02', 9.5), ('mail', '2026-02-01', 5);

-- In February anna is warm: she has put something in the cart by then. ben is cold: what he did in the first hour of February was
-- not known when the month began, though it lies in the hour that his score at the month's beginning counts.
-- In March anna, ben and dora are customers, and of them anna buys: it is her third order.
SELECT refresh_figures();
SELECT month, segment, is_new, leads, customers, conversion_rate, orders, revenue, revenue_per_lead, average_order_value, repeat_rate
	FROM monthly_figure WHERE month < '2026-04-01' ORDER BY month, segment, is_new;
-- money adds up to the last decimal
SELECT (SELECT sum(revenue) FROM monthly_figure) = (SELECT sum(value) FROM event WHERE kind = 'purchase') AS months,
	(SELECT bool_and(revenue = (SELECT sum(value) FROM event)) FROM (SELECT sum(revenue) AS revenue FROM attribution GROUP BY attribution) a) AS channels;
-- days from the first touch to the first purchase: anna 31; ben 1.25 and dora 0.5, who were cold just before
SELECT model, month, segment, customers, lower_quartile, median, upper_quartile, segment_position, all_segments FROM sales_cycle ORDER BY month, segment, all_segments;
-- of the three who came in January, two have chosen, and both have bought: anna, who was warm at its end, and ben, who was cold, as was carla.
-- dora was a customer when February ended
SELECT month, segment, stage, leads, share, drop_off FROM funnel ORDER BY month, segment, position;
-- first touch: anna's orders are search's, ben's are mail's; last touch: anna's later ones are mail's, ben's is search's; dora's is nobody's.
-- anna was warm when she bought first, then a customer. By last touch search has brought anna and ben for 20, who count for half of it each, she warm, he cold.
SELECT attribution, month, channel, segment, new_customers, orders, revenue, spend, acquisition_cost, return_on_spend, leads FROM attribution ORDER BY attribution, month, channel, segment;
SELECT attribution, month, channel, round(sum(spend) / nullif(sum(new_customers), 0), 6) AS acquisition_cost FROM attribution WHERE spend > 0 GROUP BY attribution, month, channel ORDER BY attribution, month, channel;
-- thirds of a cent: what is shared out adds up to what was spent
BEGIN;
INSERT INTO event (lead_id, kind, occurred_at, value, properties) SELECT l, k, t::timestamptz, 1, '{"channel": "mail"}' FROM unnest('{x,y,z}'::text[]) l, (VALUES ('visit', '2026-05-01 12:00Z'), ('purchase', '2026-05-02 12:00Z')) e (k, t);
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('y', 'add_to_cart', '2026-05-01 12:00Z'), ('z', 'purchase', '2026-05-01 11:00Z');
INSERT INTO spend VALUES ('mail', '2026-05-03', 0.01), ('mail', '2026-05-04', 0.000001);
SELECT refresh_figures();
SELECT attribution, channel, segment, new_customers, orders, spend FROM attribution WHERE month = '2026-05-01' ORDER BY attribution, channel, segment;
ROLLBACK;
-- what lies in the future has not happened
BEGIN;
INSERT INTO event (lead_id, kind, occurred_at, value) VALUES ('anna', 'purchase', now() + interval '3 hours', 1000), ('eve', 'purchase', now() + interval '1 year', 1000);
SELECT refresh_figures();
SELECT (SELECT sum(revenue) FROM monthly_figure) AS months, (SELECT sum(revenue) FROM attribution WHERE attribution = 'last') AS channels, (SELECT sum(customers) FROM sales_cycle WHERE NOT all_segments) AS buyers,
	(SELECT sum(leads) FROM funnel WHERE stage = 'looks') AS leads;
ROLLBACK;

-- a model of another conversion, and one without any
SELECT publish('{"model": "carts", "signals": [{"signal": "add_to_cart", "kind": "add_to_cart"}], "weights": [{"signal": "add_to_cart", "points": 1}]}');
INSERT INTO conversion VALUES ('carts', 'add_to_cart');
SELECT refresh_figures();
SELECT model, month, customers, orders, revenue, average_order_value FROM monthly_figure WHERE month < '2026-04-01' AND orders > 0 ORDER BY model, month, segment;

-- money with more than six decimals is rounded, and that is said
SET client_min_messages = notice;
INSERT INTO spend VALUES ('search', '2026-03-01', 0.1234565), ('search', '2026-03-02', 1.0000000);
UPDATE spend SET amount = amount / 3 WHERE day = '2026-03-02';
SET client_min_messages = warning;
SELECT * FROM spend WHERE day >= '2026-03-01' ORDER BY day;
\pset tuples_only on
\pset format unaligned
SELECT refused(ARRAY[$$INSERT INTO spend VALUES ('search', '2026-03-03', -1)$$, $$INSERT INTO spend VALUES ('search', '2026-03-03', 'NaN')$$, $$INSERT INTO spend VALUES ('search', '2026-03-03', 1e12)$$,
	$$INSERT INTO spend VALUES ('', '2026-03-03', 1)$$, $$INSERT INTO spend VALUES ('search', 'infinity', 1)$$, $$INSERT INTO channel VALUES ('search', 'nothing')$$]);
INSERT INTO signal (signal, subject, match) VALUES ('in Germany', 'profile', '{"country": "DE"}');
SELECT refused(ARRAY[$$INSERT INTO channel VALUES ('search', 'in Germany')$$, $$UPDATE channel SET signal = 'in Germany'$$, $$INSERT INTO conversion VALUES ('shop', 'in Germany')$$, $$UPDATE signal SET subject = 'profile' WHERE signal = 'from mail'$$]);
