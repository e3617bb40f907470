\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- refresh_segments() writes what differs, and nothing else.
SELECT publish('{"model": "shop", "signals": [{"signal": "visit", "kind": "visit"}, {"signal": "german", "subject": "profile", "match": {"country": "DE"}}],
	"weights": [{"signal": "visit", "points": 1}, {"signal": "german", "points": 3}],
	"segments": [{"segment": "high", "position": 1, "min_score": 4}, {"segment": "some", "position": 2, "min_score": 2}]}');
SELECT publish('{"model": "other", "signals": [{"signal": "visit", "kind": "visit"}], "weights": [{"signal": "visit", "points": 10}]}');
INSERT INTO event (lead_id, kind, occurred_at) SELECT 'l' || i % 5, 'visit', '2026-01-01' FROM generate_series(1, 8) i;
INSERT INTO lead VALUES ('l1', '{"country": "DE"}'), ('only a profile', '{"country": "DE"}');
CREATE VIEW differs AS
(SELECT 'gone' AS what, s.* FROM (TABLE lead_segment EXCEPT TABLE leadscore_internal.lead_segment_now) s)
UNION ALL (SELECT 'new', s.* FROM (TABLE leadscore_internal.lead_segment_now EXCEPT TABLE lead_segment) s);
CREATE TABLE before (place tid, model text, lead_id text);
CREATE VIEW written AS
SELECT count(*) FILTER (WHERE b.place IS NULL) AS inserted, count(*) FILTER (WHERE s.place IS NULL) AS deleted, count(*) FILTER (WHERE b.place <> s.place) AS updated, count(*) FILTER (WHERE b.place = s.place) AS untouched
FROM before b FULL JOIN (SELECT ctid AS place, model, lead_id FROM lead_segment) s USING (model, lead_id);
SELECT refresh_segments();
TABLE differs;
INSERT INTO before SELECT ctid, model, lead_id FROM lead_segment;
SELECT refresh_segments();
TABLE written;
-- a row is updated, inserted or deleted
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('l2', 'visit', '2026-01-02'), ('fresh', 'visit', '2026-01-02');
DELETE FROM event WHERE lead_id = 'l3';
SELECT refresh_segments();
TABLE differs;
TABLE written;
-- the indexes lead to the rows as they are now, also those that a DBA has added
CREATE INDEX by_half ON lead_segment ((floor(score / 2))) WHERE segment IS NOT NULL;
CREATE UNIQUE INDEX by_words ON lead_segment (lower(lead_id), lower(model));
CREATE FUNCTION by_index(query text) RETURNS SETOF text LANGUAGE plpgsql SET enable_seqscan = off AS $$ BEGIN RETURN QUERY EXECUTE query; END $$;
INSERT INTO event (lead_id, kind, occurred_at) SELECT 'l' || i % 5, 'visit', '2026-01-01' FROM generate_series(1, 12) i;
SELECT refresh_segments();
TABLE differs;
SELECT by_index($$SELECT lead_id FROM leadscore.lead_segment WHERE floor(score / 2) = 2 AND segment IS NOT NULL ORDER BY 1$$) EXCEPT SELECT lead_id FROM lead_segment WHERE floor(score / 2) = 2 AND segment IS NOT NULL;
SELECT lead_id FROM lead_segment WHERE floor(score / 2) = 2 AND segment IS NOT NULL EXCEPT SELECT by_index($$SELECT lead_id FROM leadscore.lead_segment WHERE floor(score / 2) = 2 AND segment IS NOT NULL ORDER BY 1$$);
SELECT by_index($$SELECT model || ' ' || segment || ' ' || score FROM leadscore.lead_segment WHERE model = 'shop' AND segment = 'high' ORDER BY score DESC LIMIT 3$$);
SELECT by_index($$SELECT score::text FROM leadscore.lead_segment WHERE lower(lead_id) = 'l2' AND lower(model) = 'other'$$);
-- names whose order differs with the collation, and one that an index of the DBA refuses: nothing is written
INSERT INTO event (lead_id, kind, occurred_at) SELECT unnest('{a b,ab,A c,"ä",é,ab.}'::text[]), 'visit', '2026-01-01';
SELECT refresh_segments();
TABLE differs;
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('AB', 'visit', '2026-01-01');
SELECT refresh_segments();
SELECT what, lead_id FROM differs WHERE model = 'shop' ORDER BY 1, 2;
-- (the other one is gone)
DELETE FROM event WHERE lead_id = 'ab';
SELECT refresh_segments();
TABLE differs;
DROP INDEX by_words;
SELECT refresh_segments();
TABLE differs;
-- twice in one transaction, and taken back
BEGIN;
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('l2', 'visit', '2026-01-02');
SELECT refresh_segments();
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('l2', 'visit', '2026-01-02');
SAVEPOINT s;
SELECT refresh_segments();
TABLE differs;
ROLLBACK TO s;
SELECT what, lead_id, model FROM differs ORDER BY 1, 2, 3;
SELECT refresh_segments();
TABLE differs;
ROLLBACK;
TABLE differs;
-- nobody is left
TRUNCATE event;
DELETE FROM lead;
SELECT refresh_segments();
SELECT count(*) FROM lead_segment;
