\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- Rules of derive(): what is left out is filled in, what makes no sense is refused.
INSERT INTO derivation (behaviour) VALUES ('visit'), ('dwell'), ('cart_abandoned'), ('returned_visit');
SELECT * FROM derivation;
INSERT INTO derivation (derivation, behaviour, gap) VALUES ('slow shop', 'cart_abandoned', '3 hours');
SELECT delay FROM derivation WHERE derivation = 'slow shop';
DELETE FROM derivation WHERE derivation = 'slow shop';
\pset tuples_only on
\pset format unaligned
SELECT refused(ARRAY[
	$$INSERT INTO derivation (behaviour, derivation, gap) VALUES ('visit', 'v', '-1 minute')$$,
	$$INSERT INTO derivation (behaviour, derivation, gap) VALUES ('visit', 'v', '0')$$,
	$$INSERT INTO derivation (behaviour, derivation, delay) VALUES ('cart_abandoned', 'c', '29 minutes')$$,
	$$UPDATE derivation SET gap = '2 hours' WHERE derivation = 'cart_abandoned'$$,
	$$INSERT INTO derivation (behaviour, derivation) VALUES ('visits', 'v')$$,
	$$INSERT INTO derivation (behaviour, derivation, kinds) VALUES ('visit', 'v', '{}')$$,
	$$INSERT INTO derivation (behaviour, derivation, kinds) VALUES ('visit', 'v', '{visit,NULL}')$$,
	$$INSERT INTO derivation (behaviour, derivation, until_kinds) VALUES ('visit', 'v', '{visit}')$$,
	$$INSERT INTO derivation (behaviour, derivation, delay) VALUES ('visit', 'v', '1 hour')$$,
	$$INSERT INTO derivation (behaviour, derivation, cap) VALUES ('visit', 'v', '1 hour')$$,
	$$INSERT INTO derivation (behaviour, derivation, cap) VALUES ('dwell', 'd', '-1 hour')$$,
	$$UPDATE derivation SET until_kinds = NULL WHERE derivation = 'cart_abandoned'$$,
	$$INSERT INTO derivation (derivation) VALUES ('v')$$,
	$$SELECT derive(NULL)$$, $$SELECT derive('infinity')$$]);
\pset tuples_only off
\pset format aligned

-- A visit across midnight with a cart that nobody bought; then the purchase, told late.
INSERT INTO signal (signal, kind) VALUES ('visit', 'visit'), ('time', 'dwell'), ('left cart', 'cart_abandoned'), ('came back', 'returned_visit');
INSERT INTO event (lead_id, kind, occurred_at, properties) VALUES
	('anna', 'product_view', '2026-01-01 23:50', '{"product": "p1"}'), ('anna', 'product_view', '2026-01-01 23:55', '{"product": "p2"}'),
	('anna', 'add_to_cart', '2026-01-02 00:20', NULL), ('anna', 'product_view', '2026-03-05 12:00', '{"product": "p3"}');
-- ten minutes after the cart: 300 s on p1, 25 min on p2 are capped at 10; what is still to come is not seen
SELECT * FROM derive('2026-01-02 00:30');
SELECT lead_id, kind, occurred_at, value, properties FROM derived_event ORDER BY occurred_at, kind;
SELECT * FROM derivation_due;
SELECT * FROM derive('2026-01-02 01:20');
SELECT * FROM derive('2026-04-01');
SELECT * FROM derive('2026-04-01');
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('anna', 'purchase', '2026-01-02 01:20');
SELECT * FROM derive('2026-04-01');
SELECT lead_id, kind, occurred_at, value, properties FROM derived_event ORDER BY occurred_at, kind;
SELECT lead_id, timeline FROM lead_timeline;
SELECT count(*) FROM verify();
-- nothing is derived from what is derived; a stricter level of isolation is refused
SELECT * FROM changed_lead;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT * FROM derive();
ROLLBACK;
