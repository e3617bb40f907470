\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- A session remembers where it has found the rows of leads: they are written right, wherever they have gone since.
INSERT INTO signal (signal, kind) VALUES ('visit', 'visit');
INSERT INTO event (lead_id, kind, occurred_at) SELECT lead_id, 'visit', '2026-01-01' FROM unnest('{ann,bob,cyd,dan,eve}'::text[]) lead_id;
INSERT INTO event (lead_id, kind, occurred_at) SELECT lead_id, 'visit', '2026-01-01' FROM unnest('{ann,bob,cyd,dan,eve}'::text[]) lead_id;
SELECT lead_id, timeline FROM lead_timeline ORDER BY lead_id;

-- another lead's row is there: the table was rewritten without one
DELETE FROM event WHERE lead_id = 'ann';
VACUUM FULL lead_timeline;
INSERT INTO event (lead_id, kind, occurred_at) SELECT lead_id, 'visit', '2026-01-01' FROM unnest('{ann,bob,cyd,dan,eve}'::text[]) lead_id;
SELECT lead_id, timeline FROM lead_timeline ORDER BY lead_id;
SELECT * FROM verify();

-- or a new lead got the room of one that has gone
INSERT INTO event (lead_id, kind, occurred_at) SELECT lead_id, 'visit', '2026-01-02' FROM unnest('{ann,bob,cyd,dan,eve}'::text[]) lead_id;
DELETE FROM event WHERE lead_id IN ('bob', 'cyd');
VACUUM lead_timeline;
INSERT INTO event (lead_id, kind, occurred_at) SELECT lead_id, 'visit', '2026-01-03' FROM unnest('{fay,gus,hal}'::text[]) lead_id;
INSERT INTO event (lead_id, kind, occurred_at) SELECT lead_id, 'visit', '2026-01-04' FROM unnest('{ann,bob,cyd,dan,eve,fay,gus,hal}'::text[]) lead_id;
SELECT lead_id, timeline FROM lead_timeline ORDER BY lead_id;
SELECT * FROM verify();

-- no such page any more
TRUNCATE event;
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('eve', 'visit', '2026-01-05');
DELETE FROM event;
VACUUM lead_timeline;
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('eve', 'visit', '2026-01-06');
SELECT lead_id, timeline FROM lead_timeline ORDER BY lead_id;
SELECT * FROM verify();

-- a row that was made and found in a transaction that has not ended well
BEGIN;
SAVEPOINT before;
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('ida', 'visit', '2026-01-07');
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('ida', 'visit', '2026-01-07');
ROLLBACK TO before;
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('joe', 'visit', '2026-01-07'), ('ida', 'visit', '2026-01-07');
COMMIT;
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('joe', 'visit', '2026-01-08'), ('ida', 'visit', '2026-01-08');
SELECT lead_id, timeline FROM lead_timeline ORDER BY lead_id;
SELECT * FROM verify();

-- leads that have no row come one after the other: the next one is taken to have none either, whether it has one or not
INSERT INTO event (lead_id, kind, occurred_at) SELECT format('%s%s', first, lpad(n::text, 4, '0')), 'visit', '2026-01-09'
FROM (VALUES ('c', 150), ('p', 150)) AS v (first, leads), generate_series(1, v.leads) AS n;
INSERT INTO event (lead_id, kind, occurred_at) SELECT format('%s%s', first, lpad(n::text, 4, '0')), 'visit', '2026-01-09'
FROM (VALUES ('b', 250), ('c', 150), ('d', 250), ('p', 150)) AS v (first, leads), generate_series(1, v.leads) AS n;
SELECT left(lead_id, 1) AS first, timeline, count(*) FROM lead_timeline WHERE lead_id LIKE '_0%' GROUP BY 1, 2 ORDER BY 1;
SELECT * FROM verify();

-- a reader of all leads finds the same as a reader of one: names of all lengths, some of them with something
-- pending, some without a row
CREATE TABLE visited (lead text, at timestamptz);
SELECT track('visited', 'lead', kind => 'visit', occurred_at => 'at', maintenance => 'deferred');
CREATE TABLE named AS SELECT n, CASE WHEN n % 3 = 0 THEN repeat('x', n % 9) || n ELSE format('customer %s@example.com', n) END AS lead FROM generate_series(1, 300) n;
INSERT INTO event (lead_id, kind, occurred_at) SELECT lead, 'visit', '2026-01-10' FROM named WHERE n % 5 > 0;
INSERT INTO visited SELECT lead, '2026-01-11' FROM named WHERE n % 7 = 0;
SELECT count(*) AS leads, count(*) FILTER (WHERE leadscore_internal.has_pending(n.lead)) AS pending,
	count(*) FILTER (WHERE t.timeline IS DISTINCT FROM leadscore_internal.timeline_of(n.lead)) AS differ
FROM named n LEFT JOIN current_timeline t ON t.lead_id = n.lead;
-- and the rows of lead_timeline go through no more nodes than that: they become part of the query
CREATE FUNCTION first_branch(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	plan jsonb;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO plan;
	RETURN jsonb_path_query_first(plan, '$.**."Plans"[*] ? (@."Parent Relationship" == "Member")."Node Type"') #>> '{}';
END
$$;
SET enable_indexscan = off;
SET enable_bitmapscan = off;
SELECT first_branch('SELECT sum(score(''{"model": "m"}''::jsonb, timeline, NULL::jsonb, now())) FROM leadscore.current_timeline');
RESET enable_indexscan;
RESET enable_bitmapscan;

-- a row that is written at once is not locked: the log has a record for the event and one for the lead's new version,
-- and the lock on the tuple is released with it; an event that is taken off again, in a savepoint too, leaves none
CREATE TABLE noted (lead text, at timestamptz DEFAULT '2026-01-12');
SELECT track('noted', 'lead', kind => 'visit', occurred_at => 'at');
CREATE FUNCTION records(lead text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	plan jsonb;
BEGIN
	EXECUTE format('EXPLAIN (ANALYZE, WAL, FORMAT json) SELECT note(%L)', lead) INTO plan;
	RETURN jsonb_path_query_first(plan, '$[0]."Plan"."WAL Records"') #>> '{}';
END
$$;
CREATE FUNCTION note(lead text) RETURNS void LANGUAGE sql VOLATILE AS 'INSERT INTO public.noted VALUES (lead)';
INSERT INTO noted VALUES ('w1'), ('w2');
BEGIN;
SELECT records('w1') AS "not locked";
SELECT leadscore_internal.lock_lead_rows('{w2}', false);
SELECT records('w2') AS "locked before";
SELECT records('w1') AS "written before";
SAVEPOINT s;
SELECT records('w1') AS "written before, in a savepoint";
ROLLBACK TO s;
SELECT records('w1') AS "after that was rolled back";
SELECT count(*) AS tuples FROM pg_locks WHERE locktype = 'tuple' AND pid = pg_backend_pid();
COMMIT;
DELETE FROM noted;
SELECT lead_id FROM lead_timeline WHERE lead_id IN ('w1', 'w2');
SELECT * FROM verify();
