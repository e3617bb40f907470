\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- affinity(): what leads lean to, decayed, against the shop; and a signal of each category.
-- anna: two shoes of today, two books of 30 days ago, which count half: weights 2 and 1. ben: a book of today. Views are events, purchases a table of the shop's.
INSERT INTO event (lead_id, kind, occurred_at, properties) VALUES
	('anna', 'view', '2026-01-31 10:00Z', '{"category": "shoes", "size": 42}'),
	('anna', 'view', '2026-01-01 10:00Z', '{"category": "books"}'), ('visitor', 'view', '2026-01-01 10:30Z', '{"category": "books"}'),
	('ben', 'view', '2026-01-31 10:59:59Z', '{"category": "books"}'), ('ben', 'view', '2026-01-31 11:00Z', '{"category": "shoes"}'), ('ben', 'view', '2026-01-31 10:00Z', NULL),
	('old', 'view', '1970-01-01 10:00Z', '{"category": "hats"}');
CREATE TABLE sale (customer text, at timestamptz, category text);
INSERT INTO sale VALUES ('anna', '2026-01-31 10:30Z', 'shoes');
SELECT track('sale', lead_id => 'customer', kind => 'buy', occurred_at => 'at', properties => '{category}');
SELECT identify('visitor', 'anna');
-- the shop: shoes 2 of 4, books 2 of 4. anna's share of shoes is 2/3: she leans to them 4/3 as much. With a prior of one event
-- of the shop's mixture: (2 + 0.5) / (3 + 1) / 0.5 = 1.25.
SELECT lead_id, value, weight, round(share::numeric, 6) AS share, shop_share, round(affinity::numeric, 6) AS affinity FROM affinity('category', '2026-01-31 10:10Z', '30 days', prior => 0);
SELECT lead_id, value, round(affinity::numeric, 6) AS affinity FROM affinity('category', '2026-01-31 10:10Z', '30 days');
-- some kinds; a number as a value; a property that nobody has
SELECT lead_id, value, affinity FROM affinity('category', '2026-01-31 10:10Z', kinds => '{buy}');
SELECT lead_id, value FROM affinity('size', '2026-01-31 10:10Z');
SELECT * FROM affinity('colour');
SELECT count(*) FROM affinity('category', '2020-01-01', kinds => '{buy}');
-- a signal of each category, in one call; made once
SELECT * FROM make_signals('category', 'view', 2);
SELECT * FROM make_signals('category', 'view', 3);
SELECT signal, kind, match, description FROM signal ORDER BY signal_id;
SELECT * FROM make_signals('size');
SELECT signal, value, made FROM make_signals('category', 'buy');
-- 42 and "42", true and "true" are values of their own; what is long is none
INSERT INTO event (lead_id, kind, occurred_at, properties) SELECT 'carla', 'view', '2026-01-01', jsonb_build_object('code', v) FROM jsonb_array_elements('["42", "42", 42, "true", true, "4 2", ""]') v;
INSERT INTO event (lead_id, kind, occurred_at, properties) VALUES ('carla', 'view', '2026-01-01', jsonb_build_object('code', repeat('long ', 1000)));
SELECT * FROM make_signals('code');
SELECT * FROM make_signals('code', n => 2);
DELETE FROM signal WHERE signal LIKE 'code: %';
SELECT publish('{"model": "m", "signals": [{"signal": "view category: books", "kind": "view", "match": {"category": "books"}}], "weights": [{"signal": "view category: books", "points": 1}]}');
INSERT INTO weight (model, signal, measure, points, half_life) SELECT 'm', signal, 'count', 2, '30 days' FROM signal WHERE signal LIKE 'view category: %' AND signal <> 'view category: books' ORDER BY signal;
CALL rebuild();
-- shoes 2 points, books 2 of 1 point each
SELECT score('anna', 'm', '2026-01-31 10:10Z');
\pset tuples_only on
\pset format unaligned
UPDATE signal SET match = '{"category": "hat"}' WHERE signal = 'view category: hats';
SELECT refused(ARRAY[$$SELECT * FROM make_signals('category', 'view')$$, $$SELECT * FROM make_signals('category', n => 0)$$, $$SELECT * FROM make_signals(NULL)$$, $$SELECT * FROM affinity('')$$,
	$$SELECT * FROM affinity('category', now(), '-1 day')$$, $$SELECT * FROM affinity('category', now(), prior => -1)$$, $$SELECT * FROM affinity('category', now(), NULL)$$,
	$$SELECT * FROM affinity('category', kinds => '{veiw,buys}')$$, $$SELECT * FROM make_signals('category', 'veiw')$$]);
