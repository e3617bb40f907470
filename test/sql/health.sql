-- What a monitor reads. Each check is broken on purpose, and mended by the very statement that it names.

SET client_min_messages = error;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SET search_path = public, leadscore;
CREATE SCHEMA shop;
CREATE ROLE monitor_of_health;
SELECT grant_monitor('monitor_of_health');

-- what is not well, as the monitor sees it
CREATE FUNCTION ill() RETURNS TABLE (name text, state text, value numeric, detail text, action text) LANGUAGE plpgsql AS $$
BEGIN
	SET LOCAL ROLE monitor_of_health;
	RETURN QUERY SELECT h.name, h.state, h.value, h.detail, h.action FROM leadscore.health h WHERE h.state <> 'ok' ORDER BY h.name;
	RESET ROLE;
END
$$;

-- ... and its statements, as they are
\set look 'SELECT action AS mend FROM leadscore.health WHERE state <> ''ok'''

-- nothing is there but the extension: there is no model
SELECT * FROM ill();
:look \gset
:mend
;
SELECT * FROM ill();
SELECT name, state, value FROM health WHERE name NOT IN ('size', 'version') ORDER BY name;

-- several models, and none is the default
SELECT publish('{"model": "other"}');
DELETE FROM default_model;
SELECT * FROM ill();
:look \gset
:mend
;
SELECT * FROM ill();
DELETE FROM model WHERE model = 'other';

-- a model that has lost its power: even the upper end of its last interval has lost a quarter of what its areas had
-- above a half
BEGIN;
SELECT publish('{"model": "tired", "signals": [{"signal": "order", "kind": "order"}, {"signal": "visit", "kind": "visit"}], "weights": [{"signal": "visit", "points": 1}]}');
INSERT INTO conversion (model, signal, horizon) VALUES ('tired', 'order', '30 days');
INSERT INTO model_quality SELECT 'tired', 1, '2026-01-01'::timestamptz + n * interval '1 month', 1000, 100, auc, auc - 0.02, auc + 0.02, 2, NULL, NULL, now() FROM (VALUES (0, 0.80), (1, 0.78), (2, 0.79), (3, 0.70)) q (n, auc);
SELECT name, state, value, detail FROM health WHERE name = 'quality';
UPDATE model_quality SET auc = 0.68, auc_high = 0.70 WHERE cutoff = '2026-04-01';
SELECT name, state, value, detail, action FROM health WHERE name = 'quality';
-- another version is judged by its own areas
INSERT INTO model_quality SELECT 'tired', 2, cutoff, 1000, 100, 0.68, 0.66, 0.70, 2, NULL, NULL, now() FROM model_quality;
SELECT name, state, value, detail FROM health WHERE name = 'quality';
ROLLBACK;

-- a source that is lost: a column
CREATE TABLE shop.orders (id bigint PRIMARY KEY, customer text, placed timestamptz DEFAULT '2026-01-01', total numeric);
SELECT track('shop.orders', lead_id => 'customer', kind => 'purchase', occurred_at => 'placed', value => 'total');
ALTER TABLE shop.orders RENAME customer TO buyer;
SELECT * FROM ill();
:look \gset
:mend
;
SELECT * FROM ill();
:look \gset
:mend
;
SELECT * FROM ill();
-- ... disabled
SELECT track('shop.orders', lead_id => 'buyer', kind => 'purchase', occurred_at => 'placed', value => 'total');
ALTER TABLE shop.orders DISABLE TRIGGER USER;
SELECT * FROM ill();
:look \gset
:mend
;
SELECT * FROM ill();
-- ... swapped
ALTER TABLE shop.orders RENAME TO orders_old;
CREATE TABLE shop.orders (LIKE shop.orders_old INCLUDING ALL);
SELECT * FROM ill();
:look \gset
:mend
;
SELECT * FROM ill();
-- ... and an event trigger that is disabled
ALTER EVENT TRIGGER leadscore_follow_drops DISABLE;
SELECT * FROM ill();
:look \gset
:mend
;
SELECT * FROM ill();

-- rows that cannot be read, and rows of the future
INSERT INTO shop.orders VALUES (1, 'anna', DEFAULT, 'NaN'), (2, 'anna', '9000-01-01', 1);
SELECT * FROM ill();
SELECT action AS mend FROM leadscore.health WHERE name = 'skipped_rows' \gset
:mend
;
SELECT * FROM ill();
INSERT INTO shop.orders VALUES (3, 'anna', '9000-01-01', 1);
:look \gset
:mend
;
SELECT * FROM ill();

-- a query that fails: what it lacks comes back, and the statement is run
CREATE TABLE shop.bill (id int PRIMARY KEY, customer text, at timestamptz DEFAULT '2026-01-01');
SELECT track_query('shop.bills', 'SELECT id, customer, at FROM shop.bill', '{id}');
ALTER TABLE shop.bill RENAME customer TO buyer;
CALL refresh_queries();
SELECT name, state, value, regexp_replace(detail, '[0-9-]{10} [^,]*', '(instant)', 'g') AS detail, action FROM ill();
ALTER TABLE shop.bill RENAME buyer TO customer;
:look \gset
:mend
;
SELECT * FROM ill();

-- a signal that the past is not counted for
INSERT INTO signal (signal, kind) VALUES ('order', 'purchase');
SELECT * FROM ill();
:look \gset
:mend
;
SELECT * FROM ill();

-- our own tables: unlogged, another column, compaction that was broken off
ALTER TABLE leadscore.pending_delta SET UNLOGGED;
ALTER TABLE leadscore.event ADD note text;
INSERT INTO leadscore.compaction VALUES ('2025-01-01 00:00Z', false);
SELECT * FROM ill();
:look \gset
:mend
;
SELECT * FROM ill();

-- a watched model that was not looked at, offers that issue nothing
SELECT publish('{"model": "m", "signals": [{"signal": "order", "kind": "purchase"}], "weights": [{"signal": "order", "points": 1}],
	"segments": [{"segment": "buyer", "position": 1, "min_score": 1}]}');
CALL watch('m');
UPDATE watched_model SET seen = false;
SELECT * FROM ill();
:look \gset
:mend
;
INSERT INTO offer (offer, model, segment, discount, valid_for, budget) VALUES ('o', 'm', 'buyer', 5, '1 day', 10);
SELECT unwatch('m');
SELECT * FROM ill();
:look \gset
:mend
;
SELECT * FROM ill();
UPDATE offer SET ends_at = NULL WHERE offer = 'o';
DELETE FROM segment WHERE model = 'm';
SELECT * FROM ill();
:look \gset
:mend
;
SELECT * FROM ill();

INSERT INTO leadscore_internal.offer_stop VALUES ('o', now());
UPDATE offer SET ends_at = 'infinity' WHERE offer = 'o';
INSERT INTO segment (model, segment, position, min_score) VALUES ('m', 'buyer', 1, 1);
SELECT * FROM ill();
:look \gset
:mend
;
SELECT * FROM ill();

-- what lint finds: the last version without a finding comes back
INSERT INTO segment (model, segment, position, min_score) VALUES ('m', 'all', 0, NULL);
SELECT * FROM ill();
:look \gset
:mend
;
SELECT * FROM ill();
UPDATE model SET crm_step = 0.5 WHERE model = 'm';
SELECT * FROM ill();
:look \gset
:mend
;
SELECT * FROM ill();

-- kinds that nothing counts: of a table, and by the statistics of a column; a signal that takes all counts them
INSERT INTO leadscore.event (lead_id, kind) SELECT 'lead ' || i % 7, CASE WHEN i % 2 = 0 THEN 'it''s' ELSE 'purchase' END FROM generate_series(1, 100) i;
SELECT fold();
ANALYZE leadscore.event;
CREATE TABLE shop.click (lead text, at timestamptz);
SELECT track('shop.click', lead_id => 'lead', kind => 'click', occurred_at => 'at');
SELECT * FROM ill();
DELETE FROM model WHERE model = 'ecommerce';
DELETE FROM signal WHERE signal <> 'order';
CALL rebuild();
SELECT * FROM ill();
:look \gset
:mend
;
SELECT * FROM ill();

-- ages: of the snapshot, and of the oldest delta that is pending
SELECT refresh_segments();
SELECT name, state, value BETWEEN 0 AND 60 AS is_fresh, action FROM health WHERE name IN ('snapshot', 'pending');
UPDATE leadscore_internal.snapshot_state SET refreshed_at = now() - interval '3 days';
INSERT INTO leadscore.pending_delta (lead_id, delta, since) SELECT 'anna', '{}', now() - interval '3 days';
SELECT name, state, value BETWEEN 259200 AND 259260 AS is_right, regexp_replace(detail, '[0-9]{6,}', '(seconds)') AS detail, action FROM ill();
SELECT action AS mend FROM leadscore.health WHERE name = 'pending' \gset
:mend
;
SELECT name FROM ill();
:look \gset
:mend
;
SELECT * FROM ill();
REFRESH MATERIALIZED VIEW leadscore.lead_segment WITH NO DATA;
SELECT name, state, detail, action FROM ill();
:look \gset
:mend
;
SELECT * FROM ill();

-- rows that are dead
ALTER TABLE leadscore.lead SET (autovacuum_enabled = off);
INSERT INTO leadscore.lead (lead_id, profile) SELECT 'many ' || i, '{}' FROM generate_series(1, 10100) i;
UPDATE leadscore.lead SET profile = NULL;
UPDATE leadscore.lead SET profile = '{}';
SELECT pg_stat_force_next_flush();
SELECT * FROM ill();
:look \gset
:mend
;
SELECT pg_stat_force_next_flush();
SELECT * FROM ill();
DELETE FROM leadscore.lead;

-- an update of the extension that is due (there is no other version to update to)
BEGIN;
UPDATE pg_extension SET extversion = '0.0.1' WHERE extname = 'leadscore';
SELECT * FROM ill();
ROLLBACK;

-- a delta says since when it is pending, however it was appended
CREATE TABLE shop.page (lead text, at timestamptz DEFAULT '2026-01-01');
SELECT track('shop.page', lead_id => 'lead', kind => 'purchase', occurred_at => 'at', maintenance => 'deferred');
BEGIN;
INSERT INTO shop.page VALUES ('ben'), ('cyd');
SELECT lead_id, since = now() AS is_now FROM pending_delta ORDER BY 1;
COMMIT;
SELECT fold();

-- a role without rights: an error, and not a monitor that knows of nothing
CREATE ROLE nobody_of_health;
SET ROLE nobody_of_health;
SELECT * FROM leadscore.health;
SELECT leadscore.metrics();
SELECT * FROM leadscore.progress;
RESET ROLE;

-- neither events nor timelines are read
SELECT pg_stat_force_next_flush();
SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) AS rows_read FROM pg_stat_all_tables WHERE relid IN ('event'::regclass, 'lead_timeline'::regclass) \gset
SELECT count(*) FROM health;
SELECT count(*) > 30 AS there_are_lines FROM regexp_split_to_table(metrics(), E'\n');
SELECT pg_stat_force_next_flush();
SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) - :rows_read AS rows_read FROM pg_stat_all_tables WHERE relid IN ('event'::regclass, 'lead_timeline'::regclass);

-- metrics: each line, and names that are to be escaped
CREATE TABLE shop."a ""b"" \ c" (lead text, at timestamptz, value numeric);
SELECT track('shop."a ""b"" \ c"', lead_id => 'lead', kind => 'purchase', occurred_at => 'at', value => 'value');
INSERT INTO shop."a ""b"" \ c" VALUES ('x', '2026-01-01', 'NaN');
SET ROLE monitor_of_health;
SELECT l AS lines FROM regexp_split_to_table(leadscore.metrics(), E'\n') l WHERE l ~ 'skipped|info|check="models"';
SELECT right(leadscore.metrics(), 1) = E'\n' AS ends_with_a_line, right(leadscore.metrics(), 2) = E'\n\n' AS has_empty_line;
-- nothing but HELP, TYPE and samples; each metric has one block, in which HELP and TYPE come first; no sample twice
CREATE TEMP TABLE line AS SELECT l.line, l.n, substring(l.line FROM '^(?:# (?:HELP|TYPE) )?([a-zA-Z_:][a-zA-Z0-9_:]*)[ {]') AS metric
FROM regexp_split_to_table(rtrim(leadscore.metrics(), E'\n'), E'\n') WITH ORDINALITY AS l (line, n);
SELECT line FROM line
WHERE line !~ '^# HELP [a-zA-Z_:][a-zA-Z0-9_:]* ([^\\]|\\\\|\\n)+$' AND line !~ '^# TYPE [a-zA-Z_:][a-zA-Z0-9_:]* (counter|gauge|histogram|summary|untyped)$'
AND line !~ '^[a-zA-Z_:][a-zA-Z0-9_:]*([{][a-zA-Z_][a-zA-Z0-9_]*="([^"\\]|\\["\\n])*"(,[a-zA-Z_][a-zA-Z0-9_]*="([^"\\]|\\["\\n])*")*[}])? [-+]?[0-9]+([.][0-9]+)?$';
SELECT metric, array_agg(CASE WHEN line ^@ '# ' THEN split_part(line, ' ', 2) END ORDER BY n) AS head FROM line GROUP BY metric
HAVING (array_agg(line ORDER BY n))[1] !~ '^# HELP' OR (array_agg(line ORDER BY n))[2] !~ '^# TYPE' OR count(*) FILTER (WHERE line ^@ '# ') <> 2 OR count(*) = 2 OR max(n) - min(n) <> count(*) - 1;
SELECT substring(line FROM '^[^ ]* ') FROM line WHERE line !~ '^#' GROUP BY 1 HAVING count(*) > 1;
SELECT count(*) > 30 AS there_are_lines FROM line;
SELECT * FROM leadscore.progress;
RESET ROLE;
SELECT leadscore_internal.metric_label(E'a\\b"c\nd');

-- progress: the names of commands and phases, of which none is without a number
SELECT leadscore_internal.progress_names(256 + 16 * 4 + 11), leadscore_internal.progress_names(255), leadscore_internal.progress_names(400), leadscore_internal.progress_names(-2147483648);
SELECT leadscore_internal.begin_progress('nothing', 0);
SELECT leadscore_internal.begin_progress('rebuild', 0), leadscore_internal.report_progress('rebuild', 'nothing', 1, 1);
SELECT count(*) FROM progress;
-- it is there while the command runs, with what is inside it as part of it, and gone after an error of its own
-- transaction
BEGIN;
SELECT leadscore_internal.begin_progress('track', 'shop.page'::regclass);
SAVEPOINT inside;
SELECT leadscore_internal.report_progress('track', 'reading', 5000000000, 3), leadscore_internal.begin_progress('fit', 1), leadscore_internal.report_progress('fit', 'judging', 1, 1);
SELECT pid = pg_backend_pid() AS mine, command, object, phase, done, total, started_at BETWEEN now() - interval '1 minute' AND clock_timestamp() AS just_begun FROM progress;
ROLLBACK TO inside;
SELECT leadscore_internal.end_progress('fit'), leadscore_internal.report_progress('track', 'writing', NULL, NULL);
SELECT command, phase, done, total FROM progress;
ROLLBACK;
SELECT * FROM progress;
BEGIN;
SAVEPOINT began;
SELECT leadscore_internal.begin_progress('fit', s.signal_id::oid) FROM signal s WHERE s.signal = 'order';
SELECT command, object, phase, done FROM progress;
ROLLBACK TO began;
SELECT * FROM progress;
COMMIT;

-- rows that are read are counted
BEGIN;
SELECT leadscore_internal.begin_progress('rebuild', 0), leadscore_internal.report_progress('rebuild', 'reading', 0, leadscore_internal.rows_estimated('{leadscore.event,shop.orders}'));
SELECT count(*) FROM leadscore_internal.source_timelines();
SELECT command, phase, done = (SELECT count(*) FROM leadscore.event) + (SELECT count(*) FROM shop.orders) + (SELECT count(*) FROM shop.page) + (SELECT count(*) FROM shop."a ""b"" \ c") AS all_rows, total > 0 AS has_total FROM progress;
COMMIT;
SELECT leadscore_internal.end_progress('rebuild');
SELECT * FROM progress;

-- the same of commands that end
SELECT refresh_segments();
CALL rebuild();
CALL compact('2025-06-01');
SELECT * FROM progress;
SELECT * FROM verify();

DROP SCHEMA shop CASCADE;
DROP OWNED BY monitor_of_health;
DROP FUNCTION ill();
DROP ROLE monitor_of_health, nobody_of_health;
