\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- Rules of derive(): what is left out is filled in, what makes no sense is refused.
INSERT INTO derivation (behaviour) VALUES ('visit'), ('dwell'), ('cart_abandoned'), ('returned_visit');
SELECT * FROM derivation;
-- whose kind is in the log already, is told
BEGIN;
DELETE FROM derivation;
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('anna', 'visit', '2026-01-01');
INSERT INTO derived_event (lead_id, kind, occurred_at, derivation) VALUES ('anna', 'dwell', '2026-01-01', 'dwell');
SET LOCAL client_min_messages = notice;
INSERT INTO derivation (behaviour) VALUES ('visit'), ('dwell');
UPDATE derivation SET derived_kind = 'derived_visit' WHERE derivation = 'visit';
UPDATE derivation SET gap = '20 minutes' WHERE derivation = 'visit';
UPDATE derivation SET derived_kind = 'visit' WHERE derivation = 'visit';
ROLLBACK;
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
	$$INSERT INTO derivation (behaviour, kinds) VALUES ('sequence', '{download}')$$,
	$$INSERT INTO derivation (behaviour, then_kinds) VALUES ('sequence', '{purchase}')$$,
	$$INSERT INTO derivation (behaviour, kinds, then_kinds) VALUES ('sequence', '{download}', '{}')$$,
	$$INSERT INTO derivation (behaviour, kinds, then_kinds) VALUES ('sequence', '{download,visit}', '{purchase,visit}')$$,
	$$INSERT INTO derivation (behaviour, kinds, then_kinds, delay) VALUES ('sequence', '{download}', '{purchase}', '0')$$,
	$$INSERT INTO derivation (behaviour, kinds, then_kinds, delay) VALUES ('sequence', '{download}', '{purchase}', '5000 years')$$,
	$$INSERT INTO derivation (behaviour, derivation, kinds, then_kinds) VALUES ('visit', 'v', '{download}', '{purchase}')$$,
	$$SELECT derive(everybody => NULL)$$, $$SELECT derive('infinity')$$, $$SELECT derive('-infinity')$$]);
\pset tuples_only off
\pset format aligned

-- A visit across midnight with a cart that nobody bought; then the purchase, told late.
INSERT INTO signal (signal, kind) VALUES ('visit', 'visit'), ('time', 'dwell'), ('left cart', 'cart_abandoned'), ('came back', 'returned_visit');
SELECT publish('{"model": "m", "signals": [{"signal": "visit", "kind": "visit"}], "weights": [{"signal": "visit", "points": 1}]}');
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
-- derived events are merged by fold(), and read before, too
SELECT score('anna', 'm', '2026-03-05 13:00');
SELECT fold() > 0 AS folded;
SELECT score('anna', 'm', '2026-03-05 13:00');
SELECT lead_id, timeline FROM lead_timeline;
SELECT count(*) FROM verify();
-- nothing is derived from what is derived; a stricter level of isolation is refused
SELECT * FROM changed_lead;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT * FROM derive();
ROLLBACK;
-- what waits for a pass; NULL is now
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('anna', 'other', '2026-01-02'), ('ben', 'other', '2026-01-02');
SELECT * FROM status WHERE object = 'changed_lead';
SELECT sum(added) FROM derive(NULL);
SELECT count(*) FROM status WHERE object = 'changed_lead';
-- kinds that no event has are named by a pass over everybody; what such a rule has said before goes with it
SET client_min_messages = notice;
INSERT INTO derivation (derivation, behaviour, kinds) VALUES ('typo', 'cart_abandoned', '{ad_to_cart}'), ('typos', 'dwell', '{product_views,product_view,pages}');
SELECT * FROM status WHERE object = 'changed_lead';
SELECT * FROM derive('2026-04-01');
SELECT sum(added) FROM derive('2026-04-01');
SET client_min_messages = warning;
-- a rule is made by whoever may insert it
CREATE ROLE regress_rules;
GRANT INSERT ON derivation TO regress_rules;
SET ROLE regress_rules;
INSERT INTO leadscore.derivation (derivation, behaviour) VALUES ('by another', 'returned_visit');
RESET ROLE;
REVOKE INSERT ON derivation FROM regress_rules;
DROP ROLE regress_rules;
-- where all tables are published, our own can be written all the same
SET client_min_messages = error;	-- of wal_level, in each version's words
CREATE PUBLICATION everything FOR ALL TABLES;
SET client_min_messages = warning;
DELETE FROM derivation WHERE derivation IN ('typo', 'typos', 'by another');
SELECT * FROM derive('2026-04-02');
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('ben', 'purchase', '2026-01-02');
SELECT * FROM derive('2026-04-02');
SELECT fold() > 0 AS folded;
DROP PUBLICATION everything;
-- a source whose rows could not be subtracted is a source no more, and what followed from it goes
CREATE TABLE cart (customer text, at timestamptz, size text);
INSERT INTO cart VALUES ('carla', '2026-02-01', 'big');
SELECT track('cart', lead_id => 'customer', kind => 'add_to_cart', occurred_at => 'at', properties => '{size}');
SELECT * FROM derive('2026-04-02');
CREATE ROLE regress_cart;
GRANT regress_cart TO current_user;
SELECT grant_admin('regress_cart');
ALTER TABLE cart OWNER TO regress_cart;
REVOKE SELECT ON cart FROM regress_cart;
SET ROLE regress_cart;
SELECT leadscore.untrack('public.cart');
RESET ROLE;
SELECT * FROM derive('2026-04-02');
DROP TABLE cart;
DROP OWNED BY regress_cart;
DROP ROLE regress_cart;
-- A sequence: a purchase within a day after a download. dora downloads twice, buys twice: the first purchase follows
-- the second download by two hours; before the other
-- one comes no download. eve buys at once, and a second later; fay a day and a second after it. What comes later is not
-- known before.
DELETE FROM derivation;
INSERT INTO derivation (behaviour, derived_kind, kinds, then_kinds, delay) VALUES ('sequence', 'bought soon', '{download}', '{purchase,order}', '1 day');
INSERT INTO event (lead_id, kind, occurred_at) VALUES
	('dora', 'download', '2026-02-01 08:00'), ('dora', 'download', '2026-02-01 09:00'), ('dora', 'purchase', '2026-02-01 11:00'), ('dora', 'order', '2026-02-01 12:00'),
	('eve', 'download', '2026-02-01 09:00'), ('eve', 'purchase', '2026-02-01 09:00'), ('eve', 'purchase', '2026-02-01 09:00:01.5'), ('eve', 'order', '2026-02-01 09:00:01.5'),
	('fay', 'download', '2026-02-01 09:00'), ('fay', 'purchase', '2026-02-02 09:00:01');
SELECT * FROM derive('2026-02-01 10:59:59');
SELECT * FROM derive('2026-02-10');
SELECT lead_id, kind, occurred_at, value, properties FROM derived_event ORDER BY lead_id;
-- told late: a download within fay's day, an order of dora's before her purchase
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('fay', 'download', '2026-02-01 20:00'), ('dora', 'order', '2026-02-01 10:00');
SELECT * FROM derive('2026-02-10');
SELECT lead_id, occurred_at, value FROM derived_event ORDER BY lead_id;
SELECT * FROM derive('2026-02-10', everybody => true);
DELETE FROM event WHERE occurred_at >= '2026-02-01' AND lead_id <> 'anna';
SELECT * FROM derive('2026-02-10');
-- while there are no rules nothing is derived, and events are noted until the table is vacuumed
DELETE FROM derivation;
SELECT * FROM derive('2026-04-02');
SELECT count(*) FROM derived_event;
VACUUM derivation;
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('ben', 'purchase', '2026-01-02');
SELECT count(*) FROM changed_lead;
