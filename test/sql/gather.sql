\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- Timelines gathered in parallel are those that one process gathers.
INSERT INTO signal (signal, kind, match) VALUES ('view', 'view', NULL), ('mobile', NULL, '{"device": "mobile"}');
CREATE TABLE visit (customer text, happened_at timestamptz, page jsonb) PARTITION BY LIST (customer);
CREATE TABLE visit_a PARTITION OF visit FOR VALUES IN ('a', 'b', 'c', 'd', 'e');
CREATE TABLE visit_others PARTITION OF visit DEFAULT;
SELECT track('visit', lead_id => 'customer', kind => 'view', occurred_at => 'happened_at', properties => '{page}');
INSERT INTO visit
SELECT CASE WHEN n % 7 < 3 THEN chr(97 + n % 5) ELSE 'lead ' || n % 500 END, '2026-01-01'::timestamptz + n * interval '7 minutes',
	jsonb_build_object('device', CASE WHEN n % 3 = 0 THEN 'mobile' ELSE 'desktop' END)
FROM generate_series(1, 5000) n;
ANALYZE visit;

SET max_parallel_workers_per_gather = 0;
SELECT gather_parts('{visit}');
CREATE TABLE serial AS SELECT * FROM source_timelines();

SET max_parallel_workers_per_gather = 3;
SELECT gather_parts('{visit}') AS too_small;
SET min_parallel_table_scan_size = '64kB';
SELECT gather_parts('{visit}');
SET min_parallel_table_scan_size = '16kB';
SELECT gather_parts('{visit}');
CREATE TABLE parallel AS SELECT * FROM source_timelines();
SELECT count(*) AS leads, count(*) FILTER (WHERE s.timeline = p.timeline) AS equal FROM serial s FULL JOIN parallel p USING (lead_id);
SELECT count(*) FROM verify();

-- So are those that are put together from parts, because memory is full before all rows are read.
BEGIN;
INSERT INTO visit SELECT customer, happened_at + n * interval '1 year', page FROM visit, generate_series(1, 6) n;
CREATE TABLE whole AS SELECT * FROM source_timelines();
SET LOCAL maintenance_work_mem = '1MB';
SET LOCAL max_parallel_workers_per_gather = 0;
CREATE TABLE parts AS SELECT * FROM source_timelines();
SELECT count(*) AS leads, count(*) FILTER (WHERE w.timeline = p.timeline) AS equal FROM whole w FULL JOIN parts p USING (lead_id);
ROLLBACK;

-- Each lead is in one part.
SELECT mapping FROM source WHERE source = 'visit'::regclass \gset
EXPLAIN (COSTS OFF) SELECT * FROM gather('{visit}', ARRAY[:'mapping'::jsonb], signals(), NULL, NULL, 0, 2)
UNION ALL SELECT * FROM gather('{visit}', ARRAY[:'mapping'::jsonb], signals(), NULL, NULL, 1, 2);
SELECT parts, sum(leads) AS leads, min(leads) > 0 AS each_has_some
FROM generate_series(1, 4) parts, generate_series(0, parts - 1) part,
	LATERAL (SELECT count(*) AS leads FROM gather('{visit}', ARRAY[:'mapping'::jsonb], signals(), NULL, NULL, part, parts)) g
GROUP BY parts ORDER BY parts;

-- Workers see the rows of this transaction. Aliases are resolved.
BEGIN;
INSERT INTO visit VALUES ('cookie', '2026-02-01', '{"device": "mobile"}');
SELECT identify('cookie', 'a');
SELECT identify('lead 77', 'b');
TRUNCATE lead_timeline;
CALL rebuild();
SELECT count(*) FROM verify();
SELECT count(*) FROM lead_timeline WHERE lead_id IN ('cookie', 'lead 77');
ROLLBACK;

-- A source that cannot be read is named once.
ALTER TABLE visit RENAME customer TO client;
SELECT count(*) FROM source_timelines();
ALTER TABLE visit RENAME client TO customer;
