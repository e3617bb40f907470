\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- leadscore.event split by time: older events move into tables of their month, and nothing else changes; what is not
-- to be kept is archived, and dropped as a whole
SELECT publish('{"model": "m", "signals": [{"signal": "visit", "kind": "visit"}, {"signal": "purchase", "kind": "purchase"}], "weights": [{"signal": "visit", "points": 1}, {"signal": "purchase", "points": 10}]}');

-- an event every 6 hours of 2024, from the 1st of January to the 30th of April
INSERT INTO event (lead_id, kind, occurred_at, dedup_key, properties)
SELECT 'lead ' || i % 7, CASE i % 5 WHEN 0 THEN 'purchase' ELSE 'visit' END, timestamptz '2024-01-01' + i * interval '6 hours', 'key ' || i,
	jsonb_build_object('text', repeat(md5(i::text), CASE i % 100 WHEN 0 THEN 300 ELSE 1 END))
FROM generate_series(0, 483) i;
SELECT identify('lead 6', 'lead 0');

CREATE TABLE was AS SELECT lead_id, timeline, score(lead_id, 'm', '2024-06-01') FROM current_timeline;
CREATE TABLE had AS TABLE event;
-- what has changed: of events, of timelines and scores, by verify(); and where the events are
CREATE FUNCTION changed() RETURNS TABLE (events bigint, timelines bigint, differences bigint, tables text) LANGUAGE sql AS $$
	SELECT (SELECT count(*) FROM ((TABLE had EXCEPT ALL TABLE event) UNION ALL (TABLE event EXCEPT ALL TABLE had)) e),
		(SELECT count(*) FROM was w FULL JOIN current_timeline t ON t.lead_id = w.lead_id
			WHERE t.timeline IS DISTINCT FROM w.timeline OR score(t.lead_id, 'm', '2024-06-01') IS DISTINCT FROM w.score),
		(SELECT count(*) FROM verify()),
		(SELECT string_agg(format('%s %s', e.of_table, e.n), ', ') FROM (SELECT e.tableoid::regclass AS of_table, count(*) AS n FROM event e GROUP BY 1 ORDER BY e.tableoid::regclass::text) e)$$;

-- nothing is moved that nobody has asked for
CALL move_events('2024-04-10');
SELECT * FROM changed();
SELECT partition_events();
TABLE event_partitioning;
SELECT j.command, s.schedule FROM jobs() j JOIN schedule() s ON s.job = j.job WHERE j.job = 'leadscore events';

-- the running month and the one before it stay; no timeline is touched
CREATE TABLE places AS SELECT lead_id, xmin AS written, ctid AS place FROM lead_timeline;
CALL move_events('2024-04-10');
SELECT * FROM changed();
SELECT count(*) FROM (SELECT lead_id, xmin, ctid FROM lead_timeline EXCEPT TABLE places) t;
SELECT count(*) AS pending, (SELECT count(*) FROM archive) AS archives FROM pending_delta;
SELECT * FROM event_tables();
SELECT a.attname, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull, pg_get_expr(d.adbin, d.adrelid) AS "default"
FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = 'event_2024_01'::regclass AND a.attnum > 0 ORDER BY a.attnum;
SELECT pg_get_indexdef(indexrelid) AS index, indisprimary FROM pg_index WHERE indrelid = 'event_2024_01'::regclass ORDER BY 1;
SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'event_2024_01'::regclass AND contype = 'c' ORDER BY 1;
SELECT pg_get_triggerdef(oid) AS trigger FROM pg_trigger WHERE tgrelid = 'event_2024_01'::regclass ORDER BY tgname;
SELECT inhparent::regclass FROM pg_inherits WHERE inhrelid = 'event_2024_01'::regclass;
CALL move_events('2024-04-10');
SELECT * FROM changed();

-- each is written through leadscore.event, and by itself, as ever
BEGIN;
UPDATE event SET kind = 'purchase', occurred_at = occurred_at + interval '40 days' WHERE occurred_at < '2024-01-05' AND lead_id = 'lead 1';
DELETE FROM event WHERE occurred_at < '2024-02-10' AND lead_id = 'lead 2';
INSERT INTO event_2024_01 (event_id, lead_id, kind, occurred_at) VALUES (-1, 'lead 3', 'purchase', '2024-01-20'), (-2, 'new', 'visit', '2024-02-20');
UPDATE event_2024_02 SET lead_id = 'lead 4' WHERE lead_id = 'lead 5';
DELETE FROM event_2024_02 WHERE lead_id = 'lead 3';
SELECT events > 0 AS events, timelines, differences FROM changed();
SELECT everything_about('lead 1') -> 'events' @> '[{"kind": "purchase"}]' AS listed;
SELECT source, removed FROM forget('lead 0');
SELECT * FROM verify();
SELECT count(*) FROM event WHERE lead_id IN ('lead 0', 'lead 6');
SAVEPOINT before;
TRUNCATE event_2024_01;
SELECT * FROM verify();
ROLLBACK TO before;
DROP TABLE event_2024_02;
SELECT * FROM verify();
TRUNCATE event;
SELECT count(*) FROM current_timeline;
SELECT * FROM verify();
ROLLBACK;
CALL rebuild();
SELECT * FROM changed();
SELECT unidentify('lead 6');
SELECT * FROM verify();
SELECT identify('lead 6', 'lead 0');
SELECT * FROM changed();

-- a key is unique among the events that are not yet moved; late ones join those of their month
INSERT INTO event (lead_id, kind, occurred_at, dedup_key) VALUES ('late', 'visit', '2024-01-15', 'key 1'), ('late', 'visit', '2024-04-15', 'key 400')
ON CONFLICT (dedup_key) DO NOTHING RETURNING lead_id, dedup_key;
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('late', 'visit', '2023-12-31 23:59:59'), ('late', 'visit', '2024-04-15');
CALL move_events('2024-04-10');
SELECT tableoid::regclass, dedup_key FROM event WHERE lead_id = 'late' ORDER BY 1;
DELETE FROM event WHERE lead_id = 'late';
SELECT * FROM changed();

-- a new definition of a signal reads them, and so does derive()
INSERT INTO signal (signal, kind) VALUES ('again', 'visit');
CALL rebuild(signals => '{again}');
SELECT count(*), min(e.hour) FROM current_timeline t, timeline_entries(t.timeline) e WHERE e.signal_id = (SELECT signal_id FROM signal WHERE signal = 'again');
DELETE FROM signal WHERE signal = 'again';
CALL rebuild();
INSERT INTO derivation (derivation, behaviour, delay, kinds) VALUES ('returned_visit', 'returned_visit', '30 hours', '{visit}');
SELECT * FROM derive('2024-04-30');
SELECT count(*) AS changed FROM changed_lead;
SELECT min(occurred_at) FROM derived_event;
-- a move tells derive() of nobody
CALL move_events('2024-05-10');
SELECT count(*) AS changed FROM changed_lead;
SELECT * FROM derive('2024-04-30', everybody => true);
DELETE FROM derivation;
SELECT * FROM derive('2024-04-30') \g /dev/null
SELECT * FROM changed();

-- what is not to be kept: archived, deleted and dropped; a month that is used, or has a later event, stays
SELECT partition_events('1 month', keep => '2 months');
UPDATE event SET occurred_at = '2024-04-20' WHERE event_id = (SELECT min(event_id) FROM event_2024_02);
DELETE FROM had;
INSERT INTO had TABLE event;
DELETE FROM was;
INSERT INTO was SELECT lead_id, timeline, score(lead_id, 'm', '2024-06-01') FROM current_timeline;
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('lead 1', 'not counted', '2024-01-02');
CALL move_events('2024-05-10');
TABLE archive;
SELECT timelines, differences, tables FROM changed();
SELECT min(occurred_at) FROM event;
CALL rebuild();
SELECT timelines, differences FROM changed();
VACUUM ANALYZE event, event_2024_02;
SELECT regexp_replace(detail, ': [^,;]*', ': …', 'g') AS detail FROM health WHERE name = 'archive';
UPDATE event SET occurred_at = '2024-02-20' WHERE event_id = (SELECT min(event_id) FROM event_2024_02);
CALL move_events('2024-05-10');
SELECT timelines, differences, tables FROM changed();
-- a day of another time zone
CALL compact('2024-03-01', 'Europe/Berlin');
CALL move_events('2024-06-10');
TABLE archive;
SELECT differences, tables FROM changed();

-- days, weeks and years
SELECT partition_events(NULL);
TABLE event_partitioning;
INSERT INTO event (lead_id, kind, occurred_at) SELECT 'lead 1', 'visit', day FROM generate_series(timestamptz '2024-05-01', '2024-05-20', '1 day') day;
CALL move_events();
SELECT tables FROM changed();
SELECT partition_events('1 week');
CALL move_events('2024-05-20');
SELECT tables FROM changed();
SELECT partition_events('1 day');
CALL move_events('2024-05-16');
SELECT partition_events('1 year');
CALL move_events('2026-01-01');
SELECT differences, tables FROM changed();

-- what is refused
\set SHOW_CONTEXT never
BEGIN;
CALL move_events();
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
CALL move_events();
ROLLBACK;
CALL move_events('9999-01-01');
CALL move_events(NULL);
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;
\pset tuples_only on
\pset format unaligned
SELECT refused(ARRAY[
	$$SELECT leadscore.partition_events('1 hour')$$,
	$$SELECT leadscore.partition_events('30 days')$$,
	$$SELECT leadscore.partition_events('1 month', keep => '20 days')$$,
	$$SELECT leadscore.partition_events('1 month', keep => '-1 year')$$]);
SET client_min_messages = error;
CREATE PUBLICATION p FOR TABLE event;
SET client_min_messages = warning;
SELECT refused(ARRAY[$$SELECT leadscore.partition_events()$$]);
DROP PUBLICATION p;
CREATE TRIGGER other AFTER DELETE ON event FOR EACH ROW EXECUTE FUNCTION nothing();
SELECT refused(ARRAY[$$SELECT leadscore.partition_events()$$]);
DROP TRIGGER other ON event;
CREATE TABLE refers (event_id bigint REFERENCES event);
SELECT regexp_replace(refused(ARRAY[$$SELECT leadscore.partition_events()$$]), '_\d+', '_…');
DROP TABLE refers;
CREATE RULE other AS ON DELETE TO event DO ALSO NOTIFY deleted;
SELECT refused(ARRAY[$$SELECT leadscore.partition_events()$$]);
DROP RULE other ON event;
CREATE TRIGGER other BEFORE INSERT ON event_2024 FOR EACH ROW EXECUTE FUNCTION nothing();
SELECT refused(ARRAY[$$SELECT leadscore.partition_events()$$]);
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('lead 1', 'visit', '2024-05-15');
CALL move_events('2026-01-01');
