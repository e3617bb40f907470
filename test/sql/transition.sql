\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- Transitions of leads between segments: by an event, by time, with hysteresis and cool-down; consumers.

SELECT publish('{"model": "m",
	"signals": [{"signal": "visit", "kind": "visit"}, {"signal": "german", "subject": "profile", "match": {"country": "DE"}}],
	"weights": [{"signal": "visit", "points": 1}, {"signal": "german", "points": 5}],
	"segments": [{"segment": "hot", "position": 1, "min_score": 10}, {"segment": "warm", "position": 2, "min_score": 5}]}');

CREATE FUNCTION visits(lead_id text, n integer) RETURNS void LANGUAGE sql
	AS 'INSERT INTO leadscore.event (lead_id, kind) SELECT lead_id, ''visit'' FROM generate_series(1, n)';
CREATE VIEW log AS SELECT change_id, model, lead_id, from_segment, to_segment, round(score::numeric, 1) AS score, cause FROM segment_change ORDER BY change_id;

-- nothing is written down unless it is watched
SELECT visits('anna', 6), visits('ben', 1);
SELECT * FROM log;

-- watched, the log begins with where everybody is; ben is in no segment, and dora only has a profile
INSERT INTO lead VALUES ('dora', '{"country": "DE"}');
CALL watch();
SELECT * FROM log;

-- an event that changes nothing, one that does, and one that is taken back
SELECT visits('anna', 1);
SELECT visits('anna', 3);
SELECT visits('ben', 12);
DELETE FROM event WHERE lead_id = 'ben';
SELECT * FROM log WHERE change_id > 2;

-- what is rolled back has not happened
BEGIN;
SELECT visits('carl', 5);
SELECT lead_id, to_segment FROM log WHERE lead_id = 'carl';
ROLLBACK;
SELECT lead_id, to_segment FROM log WHERE lead_id = 'carl';

-- a statement of several leads, several changes in a transaction
INSERT INTO event (lead_id, kind) SELECT l, 'visit' FROM unnest('{eva,fay}'::text[]) l, generate_series(1, 5);
BEGIN;
SELECT visits('eva', 5);
DELETE FROM event WHERE lead_id = 'eva';
COMMIT;
SELECT * FROM log WHERE lead_id IN ('eva', 'fay');

-- by weights: seen by refresh_segments()
UPDATE weight SET points = 0.5 WHERE signal = 'visit';
SELECT lead_id, to_segment FROM log WHERE cause = 'model';
SELECT refresh_segments();
SELECT lead_id, from_segment, to_segment, score FROM log WHERE cause = 'model';
SELECT refresh_segments();
SELECT count(*) FROM log WHERE cause = 'model';
UPDATE weight SET points = 1 WHERE signal = 'visit';
SELECT refresh_segments();

-- deferred deltas: seen by fold()
CREATE TABLE click (lead text, at timestamptz DEFAULT now());
SELECT track('click', lead_id => 'lead', kind => 'visit', occurred_at => 'at', maintenance => 'deferred');
INSERT INTO click SELECT 'gus' FROM generate_series(1, 7);
SELECT count(*) FROM log WHERE lead_id = 'gus';
SELECT fold();
SELECT from_segment, to_segment, cause FROM log WHERE lead_id = 'gus';

-- an alias is no lead, and gives its events to one
SELECT visits('cookie', 9);
SELECT identify('cookie', 'gus');
SELECT unidentify('cookie');
SELECT lead_id, from_segment, to_segment, cause FROM log WHERE lead_id IN ('cookie', 'gus') ORDER BY change_id;

-- the log, replayed, is the state, and the live view has the same
SELECT coalesce(s.lead_id, l.lead_id) AS lead_id, s.segment, l.segment
FROM lead_state s FULL JOIN lead_score l ON l.model = s.model AND l.lead_id = s.lead_id WHERE s.segment IS DISTINCT FROM l.segment;
SELECT s.lead_id, s.segment FROM lead_state s
WHERE s.segment IS DISTINCT FROM (SELECT to_segment FROM segment_change c WHERE c.lead_id = s.lead_id ORDER BY change_id DESC LIMIT 1);

-- not watched for a while: the log goes on without a gap when it is again
SELECT unwatch();
SELECT visits('fay', 5);
SELECT to_segment FROM log WHERE lead_id = 'fay';
CALL watch('m');
SELECT from_segment, to_segment, cause FROM log WHERE lead_id = 'fay';

-- forgotten: nothing is left
SELECT source, removed FROM forget('fay') WHERE removed > 0;
SELECT count(*) FROM log WHERE lead_id = 'fay';
SELECT count(*) FROM lead_state WHERE lead_id = 'fay';

-- of whom tracked tables still have events is still a lead, and its log goes on
INSERT INTO click SELECT 'lou' FROM generate_series(1, 6);
SELECT fold();
SELECT source, removed, remaining FROM forget('lou') WHERE removed + remaining > 0;
SELECT refresh_segments();
SELECT from_segment, to_segment, cause FROM log WHERE lead_id = 'lou';
SELECT source, removed, remaining FROM forget('lou', tracked => true) WHERE removed + remaining > 0;
SELECT count(*) FROM log WHERE lead_id = 'lou';

-- a restore may have kept the documents of models from being made
DELETE FROM model_document;
SELECT visits('mia', 5);
SELECT from_segment, to_segment, cause FROM log WHERE lead_id = 'mia';
UPDATE model SET description = 'made again';

-- named twice, seen once
UPDATE weight SET points = 2 WHERE signal = 'visit';
SELECT see_batch('{mia,mia}', 'time', true);
SELECT from_segment, to_segment, cause FROM log WHERE lead_id = 'mia';
UPDATE weight SET points = 1 WHERE signal = 'visit';
SELECT refresh_segments();

-- a profile that goes after an edit, and comes again after the look at another one
SELECT visits('ole', 3);
INSERT INTO lead VALUES ('ole', '{"country": "DE"}');
SELECT refresh_segments();
UPDATE weight SET points = 1.5 WHERE signal = 'visit';
DELETE FROM lead WHERE lead_id = 'ole';
SELECT refresh_segments();
UPDATE weight SET points = 1.6 WHERE signal = 'visit';
SELECT refresh_segments();
INSERT INTO lead VALUES ('ole', '{"country": "DE"}');
SELECT refresh_segments();
SELECT from_segment, to_segment, cause FROM log WHERE lead_id = 'ole';
DELETE FROM lead WHERE lead_id = 'ole';
UPDATE weight SET points = 1 WHERE signal = 'visit';
SELECT refresh_segments();

-- while lead_timeline is split
SELECT partition_timelines(4);
SELECT visits('nora', 10), visits('nora', 1);
DELETE FROM event WHERE lead_id = 'nora';
SELECT visits('nora', 5);
INSERT INTO event (lead_id, kind) SELECT 'split ' || i, 'visit' FROM generate_series(1, 20) i, generate_series(1, 5);
SELECT to_segment, count(*) FROM log WHERE lead_id LIKE 'split %' GROUP BY 1;
UPDATE weight SET points = 2 WHERE signal = 'visit';
SELECT refresh_segments();
SELECT from_segment, to_segment, cause FROM log WHERE lead_id = 'nora';
SELECT from_segment, to_segment, count(*) FROM log WHERE lead_id LIKE 'split %' GROUP BY 1, 2 ORDER BY 1 NULLS FIRST;
SELECT identify('cookie', 'nora');
UPDATE weight SET points = 1 WHERE signal = 'visit';
CALL see_changes();
SELECT lead_id, from_segment, to_segment, cause FROM log WHERE lead_id IN ('cookie', 'nora') ORDER BY change_id DESC LIMIT 2;
SELECT unidentify('cookie');
SELECT visits('cookie', 1);
SELECT unwatch();
CALL watch();
SELECT coalesce(s.lead_id, l.lead_id) AS lead_id, s.segment, l.segment
FROM lead_state s FULL JOIN lead_score l ON l.model = s.model AND l.lead_id = s.lead_id WHERE s.segment IS DISTINCT FROM l.segment;
SELECT partition_timelines(1);

-- what a watch() that was cancelled leaves is said
SELECT unwatch();
SELECT begin_watching('m', true);
SELECT object, name, state, action FROM status WHERE object <> 'signal';
CALL watch('m');
SELECT object, name, state, action FROM status WHERE object <> 'signal';

-- hysteresis: high is entered at 10, and left below 10 - 3; nothing holds who moves up
SELECT publish('{"model": "edge",
	"signals": [{"signal": "visit", "kind": "visit"}], "weights": [{"signal": "visit", "points": 1}],
	"segments": [{"segment": "top", "position": 1, "min_score": 20}, {"segment": "high", "position": 2, "min_score": 10, "hysteresis": 3}, {"segment": "low", "position": 3, "cool_down": "2 hours"}]}');
SELECT scorecard('edge') -> 'segments';
SELECT at, next_segment(scorecard('edge'), t, NULL, '2026-01-01 12:00Z', 'high', '2026-01-01 00:00Z')
FROM (VALUES ('{1: 2026-01-01T00Z 20}'), ('{1: 2026-01-01T00Z 7}'), ('{1: 2026-01-01T00Z 6}')) v (at), LATERAL (SELECT at::timeline AS t) x;
-- cool-down: from b nobody falls to c within 2 hours, but whoever rises does so at once
SELECT since, next_segment('{"model": "c", "signals": [{"signal": "visit", "kind": "visit", "signal_id": 1}], "weights": [{"signal": "visit", "points": 1}],
	"segments": [{"segment": "a", "position": 1, "min_score": 9}, {"segment": "b", "position": 2, "min_score": 5, "cool_down": "2 hours"}, {"segment": "c", "position": 3}]}',
	t::timeline, NULL, '2026-01-01 12:00Z', 'b', since::timestamptz)
FROM (VALUES ('{1: 2026-01-01T00Z 1}', '2026-01-01 10:00:01Z'), ('{1: 2026-01-01T00Z 1}', '2026-01-01 10:00:00Z'), ('{1: 2026-01-01T00Z 9}', '2026-01-01 11:00:00Z')) v (t, since);
-- for ever: no cool-down holds it
SELECT at, since, next_segment('{"model": "c", "segments": [{"segment": "b", "position": 1, "min_score": 5, "cool_down": "2 hours"}, {"segment": "c", "position": 2}]}',
	NULL, NULL, at::timestamptz, 'b', since::timestamptz) FROM (VALUES ('2026-01-01', '-infinity'), ('infinity', '2026-01-01'), ('infinity', '-infinity'), ('2026-01-01', 'infinity'), ('2026-01-01', NULL)) v (at, since);
CALL watch('edge', notify => false);
SELECT visits('edgar', 9);
SELECT visits('edgar', 1);
DELETE FROM event WHERE event_id IN (SELECT event_id FROM event WHERE lead_id = 'edgar' LIMIT 3);
INSERT INTO event (lead_id, kind) VALUES ('edgar', 'visit');
DELETE FROM event WHERE event_id IN (SELECT event_id FROM event WHERE lead_id = 'edgar' LIMIT 2);
SELECT from_segment, to_segment, score FROM log WHERE lead_id = 'edgar' AND model = 'edge';

-- consumers: again and again until acknowledged, each its own
-- (when transactions of before have ended, also those of other databases)
DO $$BEGIN
	WHILE (SELECT max(tick) >= change_horizon() FROM segment_change) LOOP
		PERFORM pg_sleep(0.01);
	END LOOP;
END$$;
SELECT change_id, lead_id, to_segment FROM take_changes('crm', 2);
SELECT change_id, lead_id, to_segment FROM take_changes('crm', 3);
SELECT acknowledge_changes('crm', 1);
BEGIN;
SELECT change_id, lead_id, to_segment FROM take_changes('crm', 2);
SELECT acknowledge_changes('crm');
COMMIT;
SELECT change_id, lead_id, to_segment FROM take_changes('crm', 1);
-- what another transaction was given may be another worker's: it must be named
SELECT acknowledge_changes('crm');
SELECT change_id, lead_id, to_segment FROM take_changes('mail', 1);
SELECT count(*) > 10 AS many, max(change_id) AS last FROM take_changes('crm', 1000)
\gset
-- who takes few meanwhile takes nothing away from who has taken many
BEGIN;
SELECT count(*) FROM take_changes('crm', 1);
SELECT acknowledge_changes('crm');
COMMIT;
SELECT :'many', acknowledge_changes('crm', :last);
-- there is nothing more, and that is dealt with
BEGIN;
SELECT count(*) FROM take_changes('crm', 1);
SELECT acknowledge_changes('crm');
COMMIT;
SELECT count(*) FROM take_changes('crm', 1000);
SELECT prune_changes(now());
BEGIN;
SELECT count(*) > 10 FROM take_changes('mail', 1000);
SELECT acknowledge_changes('mail');
COMMIT;
SELECT prune_changes(now() + '1 hour') > 10;
SELECT count(*) - count(DISTINCT (model, lead_id)) AS more_than_the_last FROM segment_change;
SELECT drop_consumer('mail');

-- a model that has another name, and one that is gone
UPDATE model SET model = 'border' WHERE model = 'edge';
SELECT DISTINCT model FROM segment_change UNION SELECT model FROM lead_state ORDER BY 1;
SELECT visits('edgar', 10);
SELECT model, from_segment, to_segment FROM log WHERE lead_id = 'edgar' ORDER BY change_id DESC LIMIT 2;
DELETE FROM model WHERE model = 'border';
SELECT DISTINCT model FROM segment_change UNION SELECT model FROM lead_state ORDER BY 1;
SELECT visits('edgar', 1);

-- not in a transaction block: writers would have to wait for its end
SELECT unwatch();
SELECT visits('hal', 20);
BEGIN;
CALL watch();
ROLLBACK;
SELECT refused('CALL watch()');
SELECT from_segment, to_segment, cause FROM log WHERE lead_id = 'hal';
CALL watch();
SELECT from_segment, to_segment, cause FROM log WHERE lead_id = 'hal';

-- refused
SELECT refused(ARRAY[
	'CALL watch(''nobody'')',
	'CALL watch(NULL)',
	'SELECT unwatch(''nobody'')',
	'SELECT unwatch(), unwatch()',
	'INSERT INTO segment (model, segment, position, hysteresis) VALUES (''m'', ''x'', 9, -1)',
	'INSERT INTO segment (model, segment, position, cool_down) VALUES (''m'', ''x'', 9, ''-1 hour'')',
	'SELECT publish(''{"model": "x", "segments": [{"segment": "a", "position": 1, "hysteresis": -1}]}'')',
	'SELECT publish(''{"model": "x", "segments": [{"segment": "a", "position": 1, "cool_down": "soon"}]}'')',
	'SELECT take_changes(NULL)',
	'SELECT take_changes(''crm'', 0)',
	'SELECT take_changes('''', 1)',
	'SELECT acknowledge_changes(''nobody'')',
	'SELECT acknowledge_changes(''crm'', 999999)',
	'SELECT acknowledge_changes(''crm'')',
	'SELECT drop_consumer(''nobody'')']);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT refused('CALL watch()');
ROLLBACK;

-- an experiment is served by models, and these are watched
SELECT publish('{"model": "other"}');
INSERT INTO experiment (experiment, control, treatment) VALUES ('trial', 'm', 'other');
SELECT refused('CALL watch(''trial'')');
-- More leads than one batch, and than work_mem holds, in the order of their names.
SELECT publish('{"model": "many", "signals": [{"signal": "many", "kind": "many"}], "weights": [{"signal": "many", "points": 1}], "segments": [{"segment": "some", "position": 1, "min_score": 1}]}');
CALL watch('many', notify => false);
SET work_mem = '64kB';
SET hash_mem_multiplier = 1000;
INSERT INTO event (lead_id, kind) SELECT 'one of many ' || i, 'many' FROM generate_series(1, 12000) i;
SELECT count(*) FROM segment_change WHERE model = 'many';
RESET work_mem;
RESET hash_mem_multiplier;
