\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- A timeline that is stored out of line is not written anew for each event: its deltas are appended, and fold() adds
-- them.
SELECT publish('{"model": "m",
	"signals": [{"signal": "visit", "kind": "visit"}],
	"weights": [{"signal": "visit", "points": 1}],
	"segments": [{"segment": "gold", "position": 1, "min_score": 3010}, {"segment": "silver", "position": 2, "min_score": 3005}]}');
CREATE FUNCTION visit(lead_id text, n integer DEFAULT 1) RETURNS void LANGUAGE sql
	AS 'INSERT INTO leadscore.event (lead_id, kind, occurred_at) SELECT lead_id, ''visit'', ''2026-01-01''::timestamptz + i * interval ''1 hour'' FROM generate_series(1, n) i';
-- of each lead: the visits in its row; whether the row is large, and written or locked by this transaction; deltas that
-- are pending; its score; how many leads are not what the events say
CREATE VIEW state AS
SELECT t.lead_id, (SELECT sum(occurrences) FROM timeline_entries(t.timeline)) AS stored, pg_column_size(t.timeline) > 2000 AS is_large, pg_current_xact_id_if_assigned()::xid IN (t.xmin, t.xmax) AS is_taken,
	(SELECT count(*) FROM pending_delta d WHERE d.lead_id = t.lead_id) AS pending, score(t.lead_id, 'm') AS score, (SELECT count(*) FROM verify()) AS wrong
FROM lead_timeline t ORDER BY 1;

SELECT visit('big', 3000), visit('small', 10);
SELECT * FROM state;
-- by itself, in a block, together with others; changed and taken back
SELECT visit('big');
SELECT visit('small');
BEGIN;
SELECT visit('big');
SELECT visit('small');
SELECT visit('big');
SELECT * FROM state;
COMMIT;
INSERT INTO event (lead_id, kind, occurred_at) SELECT l, 'visit', '2026-07-01' FROM unnest('{big,small,new}'::text[]) l;
UPDATE event SET occurred_at = '2026-07-02' WHERE occurred_at = '2026-07-01';
DELETE FROM event WHERE lead_id = 'big' AND occurred_at = '2026-07-02';
SELECT * FROM state;
-- everybody's scores count what is pending, and the events of an alias
SELECT lead_id, score FROM lead_score WHERE model = 'm' ORDER BY 1;
SELECT identify('cookie', 'big');
SELECT visit('cookie', 2);
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('cookie', 'visit', '2026-07-01');
SELECT * FROM state WHERE lead_id = 'big';
SELECT count(*) FROM pending_delta WHERE lead_id = 'cookie';
-- all together
SELECT fold() > 0 AS folded;
SELECT * FROM state;
SELECT unidentify('cookie');
SELECT fold() > 0 AS folded;
SELECT * FROM state;
-- rebuild() writes the row itself
SELECT set_config('session_replication_role', 'replica', false);
SELECT visit('big', 2);
SELECT set_config('session_replication_role', 'origin', false);
SELECT stored, pending, wrong FROM state WHERE lead_id = 'big';
CALL rebuild();
SELECT stored, pending, wrong FROM state WHERE lead_id = 'big';
DELETE FROM event WHERE event_id > (SELECT max(event_id) - 2 FROM event);
SELECT fold();

-- segments are compared at commit, and the row is locked for that only
CALL watch('m');
SELECT * FROM state WHERE lead_id = 'big';
SELECT visit('big', 2);
SELECT lead_id, from_segment, to_segment, score, cause FROM segment_change ORDER BY change_id;
SELECT * FROM state WHERE lead_id = 'big';
BEGIN;
SELECT visit('big', 5);
SELECT lead_id, is_taken, pending, score FROM state WHERE lead_id = 'big';
COMMIT;
SELECT lead_id, from_segment, to_segment, score, cause FROM segment_change ORDER BY change_id;
-- there and back
BEGIN;
SELECT visit('big', 50);
DELETE FROM event WHERE lead_id = 'big' AND event_id > (SELECT max(event_id) - 50 FROM event);
COMMIT;
SELECT count(*) FROM segment_change;
-- by events of an alias: in a statement, and in a block
DELETE FROM event WHERE event_id IN (SELECT event_id FROM event WHERE lead_id = 'big' ORDER BY 1 DESC LIMIT 5);
SELECT identify('cookie', 'big');
SELECT fold() > 0 AS folded;
INSERT INTO event (lead_id, kind, occurred_at) SELECT 'cookie', 'visit', '2026-07-01' FROM generate_series(1, 3);
SELECT lead_id, from_segment, to_segment, score, cause FROM segment_change ORDER BY change_id DESC LIMIT 1;
BEGIN;
SELECT visit('cookie', 2);
COMMIT;
DELETE FROM event WHERE lead_id = 'cookie';
SELECT lead_id, from_segment, to_segment, score, cause FROM segment_change ORDER BY change_id DESC LIMIT 2;
SELECT stored, pending, score, wrong FROM state WHERE lead_id = 'big';

-- what is stored out of line is a matter of the table
ALTER TABLE leadscore.lead_timeline SET (toast_tuple_target = 8160);
SELECT fold() > 0 AS folded;
SELECT visit('big');
SELECT stored, is_large, pending, score, wrong FROM state WHERE lead_id = 'big';
-- a lead that is forgotten leaves nothing
ALTER TABLE leadscore.lead_timeline RESET (toast_tuple_target);
CALL rebuild();
SELECT visit('big');
SELECT count(*) > 0 AS forgotten FROM forget('big');
SELECT lead_id, pending, wrong FROM state;
SELECT count(*) FROM pending_delta;
