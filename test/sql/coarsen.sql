\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- Hours before a day are kept by the day: coarsen() of a timeline, signals() that counts so, and compact().

-- 09Z and 23Z of the 1st become its 00Z: 1 + 2 occurrences, 5 + 0.5; the 2nd stays by the hour
SELECT coarsen('{1: 2024-01-01T09Z 1 5, 2024-01-01T23Z 2 0.5, 2024-01-02T00Z 1, 2024-01-02T01Z 1; 7: 2024-01-01T13Z 1, 2024-01-02T13Z 1}', '2024-01-02 00:00Z');

-- an instant stands for its UTC day: a microsecond less, and nothing of the 1st is touched
SELECT b AS before, coarsen('{1: 2024-01-01T09Z 1, 2024-01-01T23Z 2}', b)
FROM unnest('{2024-01-01 23:59:59.999999Z,2024-01-02 00:00Z,2024-01-02 00:30+01,2024-01-02 23:00Z}'::timestamptz[]) b;

-- of an hour that was already there at 00Z, and of two that come to nothing; a middle one of three may
SELECT coarsen('{1: 2024-01-01T00Z 3 1, 2024-01-01T01Z -1, 2024-01-01T02Z 1 2; 2: 2024-01-01T03Z 1 4, 2024-01-01T04Z -1 -4; 3: 2024-01-01T03Z 1, 2024-01-01T04Z -1, 2024-01-01T05Z 2}', '2025-01-01Z');
SELECT coarsen('{2: 2024-01-01T03Z 1 4, 2024-01-01T04Z -1 -4}', '2025-01-01Z') = '{}' AS nothing_left;

-- no hour and all hours, the first and the last that there are
SELECT coarsen(t, '-infinity') = t AS same, coarsen(t, '1970-01-01Z') = t AS same, coarsen(t, '1900-06-01 12:00Z') = t AS same,
	coarsen(t, 'infinity') AS by_the_day
FROM (SELECT '{0: 1970-01-01T00Z 1, 1970-01-01T23Z 1; 2147483647: 9999-12-31T00Z 1, 9999-12-31T23Z 1}'::timeline) v (t);
SELECT coarsen('{}', 'infinity') = '{}' AS empty, coarsen(NULL, 'infinity') IS NULL AS "null", coarsen('{}', NULL) IS NULL AS "null";

-- the laws, on random timelines (deltas too, and values that cancel out): a + b is coarsened alike before and after it
-- is added; once is enough; the later of two instants holds
SELECT setseed(0.29);
CREATE TEMP TABLE sample AS
SELECT n, coalesce(timeline_sum(format('{%s: %sZ %s %s}', trunc(random() * 3), to_char(timestamp '2023-12-25' + random() * interval '20 days', 'YYYY-MM-DD"T"HH24'),
	1 - 2 * round(random()), trunc(random() * 5) - 2)::timeline) FILTER (WHERE e > 0), '{}') AS t
FROM generate_series(1, 60) n, generate_series(0, n % 40) e
GROUP BY n;
CREATE TEMP TABLE instant AS
SELECT timestamptz '2023-12-24 12:00Z' + n * interval '25 hours' AS i FROM generate_series(1, 22) n UNION ALL SELECT unnest('{-infinity,infinity}'::timestamptz[]);
SELECT bool_and(coarsen(a.t + b.t, i) = coarsen(a.t, i) + coarsen(b.t, i)) AS adds,
	bool_and(coarsen(a.t - b.t, i) = coarsen(a.t, i) - coarsen(b.t, i)) AS subtracts,
	bool_or(coarsen(a.t, i) <> a.t) AS does_something, count(*)
FROM sample a, sample b, instant;
SELECT bool_and(coarsen(coarsen(t, x.i), y.i) = coarsen(t, greatest(x.i, y.i))) AS later_holds, count(*)
FROM sample, instant x, instant y;
SELECT bool_and(coarsen(t, i) = coalesce(by_entries, '{}')) AS as_its_entries_say, bool_and(coarsen(t, i)::text::timeline = coarsen(t, i)) AS canonical, count(*)
FROM sample, instant, LATERAL (
	SELECT timeline_sum(format('{%s: %sZ %s %s}', signal_id,
		to_char(CASE WHEN i = 'infinity' OR hour < date_trunc('day', i) THEN date_trunc('day', hour) ELSE hour END, 'YYYY-MM-DD"T"HH24'), occurrences, value)::timeline)
	FROM timeline_entries(t)) e (by_entries);

-- timeline_agg() counts so where the document says so: as if what it gives without were coarsened
CREATE TEMP TABLE happened AS
SELECT e % 7 AS lead, (ARRAY['visit', 'purchase'])[1 + e % 2] AS kind, timestamptz '2023-12-25' + random() * interval '20 days' AS at, e % 5 AS value
FROM generate_series(1, 2000) e;
CREATE TEMP TABLE document AS
SELECT '{"signals": [{"signal_id": 1, "kind": "visit"}, {"signal_id": 2}]}'::jsonb AS fine;
SELECT bool_and(timeline_agg = coarsen(fine_agg, day)) AS agrees, bool_or(timeline_agg <> fine_agg) AS does_something, count(*)
FROM generate_series(timestamptz '2023-12-20', '2024-01-20', '1 day') day, LATERAL (
	SELECT lead, timeline_agg((SELECT fine || jsonb_build_object('compacted_before', to_char(day, 'YYYY-MM-DD"T00:00:00Z"')) FROM document), kind, at, value, NULL),
		timeline_agg((SELECT fine FROM document), kind, at, value, NULL) AS fine_agg
	FROM happened GROUP BY lead) a;

-- what it changes in scores is age, by 23 hours at the most. An event of the 1st, 12Z, as of the 3rd, 00Z: 36 hours, by the
-- day 48. Half-life 1 day: 2^-1.5 = 0.3536, 2^-2 = 0.25. Within 2 days: in, out. Days since: 1.5, 2.
-- Counts, values and active days of whole days are as before: 3 + 2 occurrences on two days, at most 2 a day: 4.
SELECT w ->> 'measure' AS measure, w - 'signal' - 'points' - 'measure' AS weight, round(fine[n]::numeric, 4) AS fine, round(coarse[n]::numeric, 4) AS coarse
FROM (SELECT '{"model": "m", "signals": [{"signal": "v", "signal_id": 1}, {"signal": "w", "signal_id": 2}], "weights": [
		{"signal": "v", "measure": "count", "points": 1, "half_life": "1 day"}, {"signal": "v", "measure": "count", "points": 1, "within": "2 days"},
		{"signal": "v", "measure": "days_since_last", "points": 1},
		{"signal": "w", "measure": "count", "points": 1}, {"signal": "w", "measure": "count", "points": 1, "max_per_day": 2},
		{"signal": "w", "measure": "value", "points": 1}, {"signal": "w", "measure": "average_value", "points": 1}, {"signal": "w", "measure": "active_days", "points": 1}]}'::jsonb) c (card),
	LATERAL (SELECT '{1: 2024-01-01T12Z 1; 2: 2024-01-01T05Z 1 10, 2024-01-01T06Z 2 5, 2024-01-02T07Z 2}'::timeline) t (t),
	LATERAL features(card, t, NULL, '2024-01-03 00:00Z') AS fine, LATERAL features(card, coarsen(t, '2024-01-03Z'), NULL, '2024-01-03 00:00Z') AS coarse,
	LATERAL jsonb_array_elements(card -> 'weights') WITH ORDINALITY AS e (w, n)
ORDER BY n;

-- compact(): what is stored, what is pending, and what is still to come
INSERT INTO signal (signal, kind) VALUES ('visit', 'visit'), ('any', NULL);
CREATE TABLE clicks (lead text, at timestamptz);
SELECT track('clicks', lead_id => 'lead', kind => 'click', occurred_at => 'at', maintenance => 'deferred');
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('a', 'visit', '2024-01-01 09:00Z'), ('a', 'visit', '2024-01-01 11:00Z'), ('a', 'visit', '2024-01-02 11:00Z'),
	('b', 'visit', '2024-01-02 12:00Z'), ('c', 'purchase', '2024-01-01 00:30Z');
INSERT INTO clicks VALUES ('a', '2024-01-01 05:00Z'), ('d', '2024-01-01 06:00Z'), ('d', '2024-01-01 07:00Z');
SELECT signals() ? 'compacted_before' AS "before";
CALL compact('2024-01-02 18:00Z');
SELECT signals() ->> 'compacted_before' AS compacted_before;
TABLE compaction;
SELECT * FROM current_timeline ORDER BY lead_id;
SELECT count(*) AS differences FROM verify();
SELECT fold();
TABLE lead_timeline ORDER BY lead_id;

-- late events, changed ones and deleted ones; the session that counts is told at once
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('a', 'visit', '2024-01-01 23:00Z'), ('e', 'visit', '2023-05-05 05:05Z');
UPDATE event SET occurred_at = occurred_at + interval '3 hours' WHERE lead_id = 'c';
DELETE FROM event WHERE lead_id = 'a' AND occurred_at = '2024-01-01 09:00Z';
INSERT INTO clicks VALUES ('d', '2024-01-01 09:00Z');
SELECT * FROM current_timeline ORDER BY lead_id;
SELECT count(*) AS differences FROM verify();

-- a rebuild finds nothing to do, of all or of one signal, but mends what is not so
UPDATE lead_timeline SET timeline = '{1: 2024-01-01T09Z 5}' WHERE lead_id = 'e';
CALL rebuild(signals => '{visit}');
SELECT lead_id, stored, expected FROM verify();
CALL rebuild();
SELECT * FROM current_timeline WHERE lead_id = 'e';
SELECT count(*) AS differences FROM verify();

-- whole tables are read so, too: untrack() and TRUNCATE leave nothing behind, identities move what is theirs
SELECT identify('d', 'a');
SELECT timeline FROM current_timeline WHERE lead_id = 'a';
SELECT unidentify('d');
SELECT count(*) AS differences FROM verify();
SELECT untrack('clicks');
TRUNCATE event;
SELECT * FROM current_timeline;
SELECT fold();

-- not in a transaction block: writers would have to wait for its end
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('a', 'visit', '2024-01-03 09:00Z');
BEGIN;
CALL compact('2024-01-04Z');
ROLLBACK;
SELECT refused(ARRAY['CALL compact(''2024-01-04Z'')']);
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('a', 'visit', '2024-01-03 10:00Z');
TABLE lead_timeline;
CALL compact('2024-01-04Z');
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('a', 'visit', '2024-01-03 11:00Z');
TABLE lead_timeline;
TABLE compaction;

-- hours come back from events, where these are still there
DELETE FROM compaction;
SELECT count(*) AS differences FROM verify();
CALL rebuild();
TABLE lead_timeline;

-- one that was broken off is named, until it or a rebuild has done the rest
INSERT INTO compaction VALUES ('2024-01-04Z');
SELECT * FROM status;
CALL compact('2024-01-04Z');
SELECT * FROM status;
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('a', 'visit', '2024-01-20 12:00Z');
UPDATE compaction SET compacted_before = '2024-02-01Z', finished = false;
SELECT stored, expected FROM verify();
CALL rebuild();
SELECT * FROM status;
TABLE lead_timeline;

-- what is refused
\pset tuples_only on
\pset format unaligned
SELECT refused(ARRAY[
	$$CALL leadscore.compact(NULL)$$,
	$$CALL leadscore.compact('2999-01-01 00:00Z')$$,
	$$CALL leadscore.compact('infinity')$$,
	$$CALL leadscore.compact('-infinity')$$,
	$$CALL leadscore.compact('2024-01-31 12:00Z')$$,
	$$INSERT INTO leadscore.compaction VALUES ('2024-05-05 00:00Z')$$,
	$$UPDATE leadscore.compaction SET compacted_before = '2024-05-05 01:00Z'$$,
	$$UPDATE leadscore.compaction SET compacted_before = 'infinity'$$]);

-- a day's sum that does not fit, though each hour's does: refused before anything has changed
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('large', 'visit', '2024-03-01 01:00Z'), ('large', 'visit', '2024-03-01 02:00Z');
UPDATE lead_timeline SET timeline = '{1: 2024-03-01T01Z 1 9000000000000, 2024-03-01T02Z 1 9000000000000}' WHERE lead_id = 'large';
SELECT refused($$SELECT coarsen(timeline, '2024-03-02Z') FROM lead_timeline WHERE lead_id = 'large'$$);
\set SHOW_CONTEXT never
CALL compact('2024-03-02Z');
SELECT compacted_before FROM compaction;

-- the member of the document
SELECT refused(ARRAY(
	SELECT format($$SELECT timeline_agg('{"compacted_before": %s, "signals": []}', 'visit', '2024-01-01Z', NULL, NULL)$$, v)
	FROM unnest('{"\"2024-01-01T01:00:00Z\"","\"2024-01-01\"","\"2024-01-01T00:00:00+00\"","\"2024-02-30T00:00:00Z\"","\"2023-02-29T00:00:00Z\"","\"2024-13-01T00:00:00Z\"","\"2024-00-01T00:00:00Z\"",
		"\"1969-12-31T00:00:00Z\"","\"+024-01-01T00:00:00Z\"","\"2024-1 -01T00:00:00Z\"","\"now\"","\"\"",20240101,true,[]}'::text[]) v));
SELECT v, timeline_agg(format('{"compacted_before": %s, "signals": [{"signal_id": 1}]}', v)::jsonb, 'visit', '2024-02-29 12:00Z', NULL, NULL)
FROM unnest('{"null","\"1970-01-01T00:00:00Z\"","\"2024-02-29T00:00:00Z\"","\"2024-03-01T00:00:00Z\"","\"9999-12-31T00:00:00Z\""}'::text[]) v
GROUP BY v ORDER BY v COLLATE "C";
