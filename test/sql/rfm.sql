\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- rfm(): tiles that keep equals together, exact money, and groups from a table.
SELECT publish('{"model": "shop", "signals": [{"signal": "purchase", "kind": "purchase"}, {"signal": "booking", "kind": "booking"}, {"signal": "visit", "kind": "visit"}],
	"weights": [{"signal": "purchase", "points": 1}, {"signal": "visit", "points": 1}]}');
INSERT INTO signal (signal, subject, match) VALUES ('german', 'profile', '{"country": "DE"}');
-- ten leads; the last purchases of c, d and e are of the same hour; f to j have bought once
INSERT INTO event (lead_id, kind, occurred_at, value)
SELECT l, 'purchase', t::timestamptz, v FROM (VALUES
	('a', '2026-01-01 10:00', 0.1), ('a', '2026-03-01 10:00', 0.2), ('a', '2026-05-01 10:00', 0.3), ('a', '2026-06-01 10:00', 999.400001),
	('b', '2026-01-02 10:00', 50), ('b', '2026-05-20 10:00', 50), ('b', '2026-05-21 10:00', 50),
	('c', '2026-01-02 10:00', 10), ('c', '2026-04-01 10:00', 10), ('d', '2026-01-02 10:00', 10), ('d', '2026-04-01 10:10', 10),
	('e', '2026-04-01 10:59', 20), ('f', '2026-02-01 10:00', 20), ('g', '2026-02-02 10:00', 5), ('h', '2026-02-03 10:00', 5), ('i', '2026-01-05 10:00', 1),
	('j', '2026-05-05 10:00', 300)) e (l, t, v);
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('nobody', 'visit', '2026-06-01 10:00');
-- recency: i f g h | c d e (4 are worse: 1 + 4 * 5 / 10 = 3) | j (7: 4) | b (8: 5) | a (9: 5)
-- frequency: e to j (1) | c d (6: 4) | b (8: 5) | a (9: 5)
-- money: i 1 | g h 5 (1: 1) | c d e f 20 (3: 2) | b 150 (7: 4) | j 300 (8: 5) | a 1000.000001 (9: 5)
SELECT * FROM rfm('shop', '2026-06-02');
-- as of an earlier instant, what came later has not happened; whole hours count
SELECT lead_id, last_at, frequency, monetary, rfm_group FROM rfm('default', '2026-04-01 10:00', 2);
-- thirds; any signals
SELECT lead_id, recency_tile, frequency_tile, monetary_tile FROM rfm(ARRAY['purchase', 'visit'], '2026-06-02', 3);
-- as many tiles as leads: ties leave tiles empty
SELECT lead_id, recency_tile, frequency_tile FROM rfm('shop', '2026-06-02', 10);
SELECT * FROM rfm('shop', '2020-01-01');
-- groups of one's own
SELECT * FROM rfm_groups();
SET client_min_messages = notice;
UPDATE rfm_group SET min_monetary = NULL;
DELETE FROM rfm_group;
INSERT INTO rfm_group SELECT * FROM rfm_groups();
UPDATE rfm_group SET rfm_group = 'stars', min_monetary = NULL WHERE rfm_group = 'champions';
DELETE FROM rfm_group WHERE rfm_group = 'lost';
SET client_min_messages = warning;
SELECT lead_id, rfm_group FROM rfm('shop', '2026-06-02');
-- cut points of the model's conversion: an order within 10, 30, 60 or 150 days; 2, 3, 4 or 5 orders; 5, 20, 100 or
-- 1,000 of money. a: a day ago, 4 orders, 1000.000001; b: 12 days ago, 3, 150; c, d: 62 days ago, 2, 20; e: 62, 1,
-- 20; f, g, h: some 120, 1, 20, 5, 5; i: 148, 1, 1; j: 28, 1, 300. Groups are by the cut points, too
INSERT INTO conversion (model, signal, recency_cuts, frequency_cuts, monetary_cuts) VALUES ('shop', 'purchase', '{150 days,60 days,30 days,10 days}', '{2,3,4,5}', '{5,20,100,1000}');
SELECT lead_id, recency_tile, frequency_tile, monetary_tile, rfm_group FROM rfm('shop', '2026-06-02');
-- other numbers of tiles are of equal size, and so are those of signals
SELECT count(*) AS leads, count(*) FILTER (WHERE (c.recency_tile, c.frequency_tile, c.monetary_tile) IS DISTINCT FROM (s.recency_tile, s.frequency_tile, s.monetary_tile)) AS different,
	count(*) FILTER (WHERE c.rfm_group IS DISTINCT FROM f.rfm_group) AS in_another_group
FROM rfm('shop', '2026-06-02', 3) c JOIN rfm(ARRAY['purchase'], '2026-06-02', 3) s USING (lead_id) JOIN rfm('shop', '2026-06-02') f USING (lead_id);
-- with cut points, five tiles do not need five leads
SELECT lead_id, recency_tile, frequency_tile, monetary_tile FROM rfm('shop', '2026-01-03');
-- only some of them: recency by its cut points, the others in quintiles
UPDATE conversion SET frequency_cuts = NULL, monetary_cuts = NULL;
SELECT lead_id, recency_tile, frequency_tile, monetary_tile FROM rfm('shop', '2026-06-02');
DELETE FROM conversion;
-- another conversion
INSERT INTO conversion VALUES ('shop', 'booking');
SELECT * FROM rfm('shop', '2026-06-02');
DELETE FROM conversion;
\pset tuples_only on
\pset format unaligned
SELECT refused(ARRAY[$$SELECT * FROM rfm('shop', '2026-06-02', 11)$$, $$SELECT * FROM rfm('shop', '2026-06-02', 2147483647)$$, $$SELECT * FROM rfm('shop', now(), 0)$$, $$SELECT * FROM rfm('shop', now(), -5)$$, $$SELECT * FROM rfm('shop', now(), NULL)$$,
	$$SELECT * FROM rfm(ARRAY['purchase', 'nothing'])$$, $$SELECT * FROM rfm('shops')$$,
	$$UPDATE rfm_group SET min_recency = 6 WHERE rfm_group = 'stars'$$, $$UPDATE rfm_group SET max_recency = 3 WHERE rfm_group = 'stars'$$,
	$$INSERT INTO conversion VALUES ('shop', 'nothing')$$, $$INSERT INTO conversion VALUES ('shop', 'german')$$,
	$$WITH s AS (UPDATE signal SET signal = 'order' WHERE signal = 'purchase' RETURNING 1) SELECT * FROM s$$, $$SELECT * FROM rfm('shop')$$]);
