\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- archive(): events before an instant may be deleted, by the shop's own statements, and timelines stay as they are.
SELECT publish('{"model": "m", "signals": [{"signal": "visit", "kind": "visit"}, {"signal": "purchase", "kind": "purchase"}], "weights": [{"signal": "visit", "points": 1}, {"signal": "purchase", "measure": "value", "points": 0.1, "half_life": "30 days"}]}');
CREATE SCHEMA shop;
CREATE TABLE shop.orders (customer text, placed_at timestamptz NOT NULL, total numeric, status text) PARTITION BY RANGE (placed_at);
CREATE TABLE shop.orders_1 PARTITION OF shop.orders FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE shop.orders_2 PARTITION OF shop.orders FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
CREATE TABLE shop.orders_3 PARTITION OF shop.orders FOR VALUES FROM ('2026-03-01') TO ('2026-04-01');
SELECT track('shop.orders', lead_id => 'customer', kind => 'purchase', occurred_at => 'placed_at', value => 'total');
INSERT INTO shop.orders SELECT 'lead ' || i % 5, timestamptz '2026-01-01 12:00' + i * interval '1 day', i, 'paid' FROM generate_series(0, 80) i;
INSERT INTO event (lead_id, kind, occurred_at) SELECT 'lead ' || i % 7, 'visit', timestamptz '2026-01-01 06:00' + i * interval '6 hours' FROM generate_series(0, 300) i;
SELECT identify('lead 6', 'lead 0');

CREATE FUNCTION first_hour(timeline, signal_id integer) RETURNS timestamptz LANGUAGE sql AS $$SELECT min(e.hour) FROM timeline_entries($1) e WHERE e.signal_id = $2$$;
CREATE FUNCTION last_hour(timeline, signal_id integer) RETURNS timestamptz LANGUAGE sql AS $$SELECT max(e.hour) FROM timeline_entries($1) e WHERE e.signal_id = $2$$;

-- what changes of timelines and scores from now on, and what verify() finds
CREATE TABLE was (lead_id text, timeline timeline, score float8);
CREATE PROCEDURE remember() LANGUAGE sql AS $$
	DELETE FROM was;
	INSERT INTO was SELECT t.lead_id, t.timeline, score(t.lead_id, 'm', '2026-04-01') FROM current_timeline t$$;
CREATE FUNCTION changed() RETURNS TABLE (changed bigint, differences bigint) LANGUAGE sql AS $$
	SELECT (SELECT count(*) FROM was w FULL JOIN current_timeline t ON t.lead_id = w.lead_id
		WHERE t.timeline IS DISTINCT FROM w.timeline OR score(t.lead_id, 'm', '2026-04-01') IS DISTINCT FROM w.score), (SELECT count(*) FROM verify())$$;
CALL remember();
SELECT * FROM health WHERE name = 'archive';
-- a day of four events: 31 * 4 - 1 of 301 are of January, 123 / 301 = 0.41; all of the orders of its partition are
VACUUM ANALYZE event, shop.orders;
SELECT * FROM health WHERE name = 'archive';

-- the instant is the beginning of its day
CALL archive('2026-02-01 17:30');
TABLE archive;
SELECT source, bytes > 0 AS bytes, oldest, round(share::numeric, 2) AS share FROM archived_shares() ORDER BY 1::text;
SELECT value > 0 AS bytes, regexp_replace(detail, ': [^,;]*', ': …', 'g') AS detail FROM health WHERE name = 'archive';
SELECT * FROM changed();
SELECT lead_id, archived_before, first_hour(timeline, 1) AS first, timeline_last_hour(timeline) AS last FROM timeline_base ORDER BY 1;

-- what is learned from, with cutoffs before the instant
CREATE TABLE learned AS SELECT * FROM training_set(scorecard('m'), 'purchase', '7 days', '{2026-01-12,2026-01-26,2026-02-20}', NULL);
-- a purge by DELETE, of a partition, by TRUNCATE: the past is no longer there, and nothing has changed; nor does a
-- rebuild change it
DELETE FROM event WHERE occurred_at < '2026-01-15';
SELECT * FROM changed();
DROP TABLE shop.orders_1;
SELECT * FROM changed();
ALTER TABLE shop.orders DETACH PARTITION shop.orders_2;
ALTER TABLE shop.orders ATTACH PARTITION shop.orders_2 FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
SELECT * FROM changed();
CALL rebuild();
SELECT * FROM changed();
CALL rebuild(signals => '{visit}');
CALL rebuild(ARRAY['lead 0', 'lead 1', 'lead 6']);
SELECT * FROM changed();
SELECT count(*), count(*) FILTER (WHERE converted) AS converted FROM learned;
SELECT count(*) FROM (TABLE learned EXCEPT ALL SELECT * FROM training_set(scorecard('m'), 'purchase', '7 days', '{2026-01-12,2026-01-26,2026-02-20}', NULL)) l;
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('lead 1', 'not counted', '2026-03-01');
SELECT fresh_signals();
DELETE FROM event WHERE kind = 'not counted';
-- what no archive covers is subtracted, as ever
DELETE FROM event WHERE occurred_at < '2026-02-02';
SELECT lead_id, t.timeline = w.timeline AS same FROM was w LEFT JOIN current_timeline t USING (lead_id) ORDER BY 1;
BEGIN;
DELETE FROM event WHERE lead_id = 'lead 3';
SELECT last_hour(timeline, 1) FROM current_timeline WHERE lead_id = 'lead 3';
ROLLBACK;
SELECT * FROM verify();
CALL remember();

-- late events, and corrections: a warning, unless they would not have counted or change nothing that counts
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('lead 1', 'visit', '2026-01-20'), ('late', 'visit', '2026-01-31 23:59:59'), ('lead 1', 'unknown', '2026-01-20');
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('lead 1', 'unknown', '2026-01-20');
UPDATE event SET properties = '{"seen": true}' WHERE occurred_at < '2026-02-01';
UPDATE event SET kind = 'purchase' WHERE occurred_at < '2026-02-01' AND kind = 'visit';
UPDATE event SET lead_id = 'lead 2' WHERE occurred_at < '2026-02-01' AND kind = 'purchase';
DELETE FROM event WHERE occurred_at < '2026-02-01';
SELECT source, reason, rows FROM skipped_row;
SELECT object, name, state, action FROM status;
SELECT * FROM changed();
-- one that moves out of the archived past counts from then on; what it has counted for stays
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('mover', 'visit', '2026-01-20');
UPDATE event SET occurred_at = '2026-03-01' WHERE lead_id = 'mover';
SELECT timeline FROM current_timeline WHERE lead_id = 'mover';
DELETE FROM event WHERE lead_id = 'mover';
SELECT * FROM changed();
SELECT forget_skipped('event'::regclass);
SELECT * FROM skipped_row;

-- a table whose rows are archived: tracking it does not count them, and untracking one leaves what they counted for
CREATE TABLE shop.old_orders (customer text, placed_at timestamptz);
INSERT INTO shop.old_orders VALUES ('lead 1', '2026-01-05'), ('lead 1', '2026-03-05');
SET client_min_messages = notice;
SELECT track('shop.old_orders', lead_id => 'customer', kind => 'purchase', occurred_at => 'placed_at');
SET client_min_messages = warning;
SELECT untrack('shop.old_orders');
SELECT * FROM changed();
SELECT untrack('shop.orders');
SELECT last_hour(timeline, 2) FROM current_timeline WHERE lead_id = 'lead 1';
SELECT * FROM verify();
SELECT track('shop.orders', lead_id => 'customer', kind => 'purchase', occurred_at => 'placed_at', value => 'total');
SELECT * FROM changed();

-- the base is split with the timelines; from here on all that reads it reads its tables
CREATE VIEW base_tables_used AS
SELECT b.tableoid::regclass AS base, count(*) > 0 AS used, bool_and(b.tableoid::regclass::text ~ ('_' || timeline_partition(b.lead_id, 1024) * partitions() / 1024 || '$')) AS in_place
FROM timeline_base b GROUP BY 1 ORDER BY 1;
SELECT base, used FROM base_tables_used;
SELECT partition_timelines(2);
SELECT * FROM base_tables_used;
SELECT * FROM changed();
CALL rebuild();
SELECT * FROM changed();

-- names: what was archived under a name goes where that name goes
SELECT unidentify('lead 6');
SELECT lead_id, first_hour(timeline, 1) AS first FROM current_timeline WHERE lead_id IN ('lead 0', 'lead 6') ORDER BY 1;
SELECT * FROM verify();
SELECT identify('lead 6', 'lead 5');
SELECT * FROM verify();
CALL rebuild();
SELECT unidentify('lead 6'), identify('lead 6', 'lead 0');
SELECT * FROM changed();
CREATE TABLE shop.accounts (guest text PRIMARY KEY, account text);
CREATE INDEX ON shop.orders (customer);
SELECT track_alias('shop.accounts', alias => 'guest', lead_id => 'account');
INSERT INTO shop.accounts VALUES ('lead 4', 'account');
SELECT lead_id, first_hour(timeline, 1) AS first FROM current_timeline WHERE lead_id IN ('lead 4', 'account') ORDER BY 1;
SELECT * FROM verify();
UPDATE shop.accounts SET account = 'lead 3';
SELECT * FROM verify();
DELETE FROM shop.accounts;
SELECT * FROM changed();

-- a second archive takes what has come since, and the first one's; compacting does not mind
CALL archive('2026-02-15');
DELETE FROM event WHERE occurred_at < '2026-02-15';
DELETE FROM shop.orders WHERE placed_at < '2026-02-15';
SELECT * FROM changed();
SELECT count(*), count(DISTINCT lead_id) AS names, min(archived_before) AS archived_before FROM timeline_base;
SELECT * FROM base_tables_used;
SELECT partition_timelines(4);
SELECT * FROM base_tables_used;
SELECT * FROM changed();
CALL compact('2026-01-20', 'Europe/Berlin');
SELECT * FROM verify();
CALL compact('2026-03-01', 'Europe/Berlin');
SELECT * FROM verify();
CALL remember();
CALL archive('2026-02-20 12:00');
TABLE archive;
SELECT * FROM changed();
DELETE FROM event WHERE occurred_at < '2026-02-20 00:00 Europe/Berlin';
CALL rebuild();
SELECT * FROM changed();
-- the same again does nothing
CALL archive('2026-02-20 12:00');
SELECT * FROM changed();

-- a new signal, and one that is redefined, count from the archive on; past ones have to be counted before the next
SET client_min_messages = notice;
INSERT INTO signal (signal, kind) VALUES ('any visit', 'visit');
CALL archive('2026-02-25');
CALL rebuild(signals => '{any visit}');
SELECT signal, min(hour) > '2026-02-19' AS since_archive FROM signal JOIN current_timeline t ON true, timeline_entries(t.timeline) e WHERE e.signal_id = signal.signal_id GROUP BY 1 ORDER BY 1;
UPDATE signal SET match = '{"big": true}' WHERE signal = 'visit';
UPDATE signal SET label = 'a visit' WHERE signal = 'visit';
SET client_min_messages = warning;
CALL rebuild();
SELECT * FROM verify();
SELECT max(hour) FROM current_timeline t, timeline_entries(t.timeline) e WHERE e.signal_id = 1;
-- of one that is deleted nothing stays
DELETE FROM signal WHERE signal = 'any visit';
CALL rebuild();
SELECT * FROM verify();
SELECT count(*) FROM current_timeline t, timeline_entries(t.timeline) e WHERE e.signal_id = 3;

-- to forget is to forget the archived past, too, under all names
SELECT count(*) FROM timeline_base WHERE lead_id IN ('lead 0', 'lead 6');
SELECT everything_about('lead 6') -> 'archived_timelines' IS NOT NULL AS listed;
SELECT * FROM forget('lead 0', tracked => true);
SELECT count(*) FROM timeline_base WHERE lead_id IN ('lead 0', 'lead 6');
SELECT * FROM current_timeline WHERE lead_id IN ('lead 0', 'lead 6');
SELECT * FROM verify();

-- put together again, and split once more
SELECT partition_timelines(1);
SELECT base, used FROM base_tables_used;
SELECT * FROM verify();
SELECT partition_timelines(4);
SELECT * FROM base_tables_used;
SELECT * FROM verify();

-- events that were purged before, unseen by triggers: what timelines hold is kept
SET session_replication_role = replica;
DELETE FROM shop.orders WHERE customer = 'lead 2' AND placed_at < '2026-03-05';
RESET session_replication_role;
SELECT lead_id FROM verify();
CALL remember();
SET client_min_messages = notice;
CALL archive('2026-03-06');
SET client_min_messages = warning;
SELECT * FROM changed();

-- while events are there, an archive can be taken back
CALL archive('2026-03-10');
INSERT INTO shop.orders VALUES ('lead 1', '2026-03-08', 5, 'late');
DELETE FROM archive;
SELECT lead_id FROM verify() WHERE lead_id = 'lead 1';
CALL rebuild();
SELECT * FROM verify();
SELECT count(*) FROM timeline_base;
CALL archive('2026-03-10');
SELECT * FROM verify();

-- one that was broken off: writers count as ever, and what they write is kept for the next
INSERT INTO archiving VALUES ('2026-03-15 Z');
INSERT INTO shop.orders VALUES ('lead 1', '2026-03-12', 5, 'late'), ('lead 1', '2026-03-20', 5, 'new');
DELETE FROM shop.orders WHERE customer = 'lead 3' AND placed_at < '2026-03-15';
SELECT lead_id, timeline FROM timeline_base WHERE archived_before = '2026-03-15 Z' ORDER BY 1;
SELECT * FROM verify();
SELECT object, name, state, action FROM status;
CALL remember();
CALL archive('2026-03-14');
SELECT * FROM status;
SELECT * FROM changed();
SELECT count(*) FROM timeline_base WHERE archived_before <> (SELECT archived_before FROM archive);

SELECT partition_timelines(1);
SELECT * FROM verify();
SELECT * FROM changed();

-- without events, and what is refused
TRUNCATE shop.orders, event;
SELECT * FROM verify();
CALL archive('2026-04-01');
SELECT * FROM verify();
BEGIN;
CALL archive('2026-04-04');
ROLLBACK;
\pset tuples_only on
\pset format unaligned
SELECT refused(ARRAY[
	$$CALL leadscore.archive(NULL)$$,
	$$CALL leadscore.archive('9999-01-01')$$,
	$$CALL leadscore.archive('infinity')$$,
	$$CALL leadscore.archive('1969-12-31')$$,
	$$CALL leadscore.archive('2026-03-31 12:00')$$,
	$$CALL leadscore.archive('2026-04-04')$$,
	$$UPDATE leadscore.archive SET archived_before = '2026-04-04 12:34'$$,
	$$UPDATE leadscore.archive SET archived_before = 'infinity'$$,
	$$INSERT INTO leadscore.archive VALUES ('2026-04-05')$$]);
-- documents of old hours
SELECT refused(ARRAY(
	SELECT format($$SELECT timeline_agg('{"%s": %s, "signals": []}', 'visit', '2024-01-01Z', NULL, NULL)$$, m, v)
	FROM unnest('{archived_before,archiving_before}'::text[]) m, unnest('{1,"\"2024-01-01\"","\"2024-02-30T00:00:00Z\"","\"2024-01-01T00:30:00Z\""}'::text[]) v));
SELECT timeline_agg('{"archived_before": "2024-01-02T00:00:00Z", "signals": [{"signal_id": 1}]}', 'visit', at, NULL, NULL)
FROM unnest('{2024-01-01 23:59:59Z,2024-01-02 00:00Z}'::timestamptz[]) at;
\pset tuples_only off
\pset format aligned

-- What derive() finds of the time from the archive on may follow from events before it: they are known, also when
-- they are gone. Lead by lead: a visit that goes on, a return after a silence, a cart that is left, a second step,
-- and a page whose end is not known yet.
DELETE FROM archive;
DELETE FROM compaction;
CALL rebuild();
INSERT INTO derivation (derivation, behaviour, delay, kinds, then_kinds) VALUES ('visit', 'visit', NULL, NULL, NULL), ('dwell', 'dwell', NULL, NULL, NULL),
	('cart', 'cart_abandoned', '3 days', '{add_to_cart}', NULL), ('returned_visit', 'returned_visit', '30 days', '{visit}', NULL),
	('sequence', 'sequence', '7 days', '{newsletter}', '{purchase}');
INSERT INTO signal (signal, kind) SELECT 'derived ' || k, k FROM unnest('{visit,dwell,cart_abandoned,returned_visit,sequence}'::text[]) k WHERE k <> 'visit';
INSERT INTO event (lead_id, kind, occurred_at) VALUES
	('goes on', 'product_view', '2026-03-31 23:50'), ('goes on', 'product_view', '2026-04-01 00:05'), ('goes on', 'visit', '2026-04-01 00:10'),
	('back', 'visit', '2026-01-01'), ('back', 'purchase', '2026-02-20'), ('back', 'visit', '2026-04-05'),
	('cart', 'add_to_cart', '2026-03-29 20:00'), ('cart', 'add_to_cart', '2026-03-30 20:00'), ('bought', 'add_to_cart', '2026-03-30 20:00'), ('bought', 'purchase', '2026-04-02'),
	('step', 'newsletter', '2026-03-28'), ('step', 'purchase', '2026-04-03'), ('too late', 'newsletter', '2026-03-20'), ('too late', 'purchase', '2026-04-03'),
	('guest', 'newsletter', '2026-03-30');
SELECT * FROM derive('2026-04-30');
SELECT lead_id, derivation, occurred_at, value FROM derived_event WHERE occurred_at >= '2026-04-01' ORDER BY 1, 2, 3;
CALL remember();
CREATE TABLE derived AS SELECT lead_id, derivation, occurred_at, value, properties FROM derived_event WHERE occurred_at >= '2026-04-01';
CALL archive('2026-04-01');
SELECT * FROM archived_event ORDER BY 1, 2;
SELECT * FROM derive('2026-04-30', everybody => true);
DELETE FROM event WHERE occurred_at < '2026-04-01';
SELECT * FROM derive('2026-04-30');
SELECT * FROM derive('2026-04-30', everybody => true);
DELETE FROM derived_event WHERE occurred_at < '2026-04-01';
SELECT * FROM derive('2026-04-30', everybody => true);
SELECT count(*) FROM (TABLE derived EXCEPT ALL SELECT lead_id, derivation, occurred_at, value, properties FROM derived_event) d;
SELECT * FROM changed();
-- the last events go with their names
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('known', 'purchase', '2026-04-02');
SELECT identify('guest', 'known');
SELECT * FROM derive('2026-04-30');
SELECT lead_id, derivation, occurred_at, value FROM derived_event WHERE lead_id = 'known' ORDER BY 2;
SELECT * FROM forget('known');
SELECT count(*) FROM archived_event WHERE lead_id IN ('guest', 'known');
SELECT * FROM verify();
