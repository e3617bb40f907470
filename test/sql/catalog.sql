\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- The configuration tables refuse nonsense at the door.
INSERT INTO model (model) VALUES ('m');
INSERT INTO signal (signal, kind) VALUES ('visit', 'visit'), ('order', 'order');
INSERT INTO signal (signal, subject, match) VALUES ('de', 'profile', '{"country": "DE"}');
INSERT INTO category (model, category) VALUES ('m', 'c');
INSERT INTO stage (model, stage, position) VALUES ('m', 's', 1);

\pset tuples_only on
\pset format unaligned
-- numbers that are none: NaN and the infinities, in every column that takes a number
SELECT refused(format('INSERT INTO weight (model, signal, measure, points) VALUES (''m'', ''visit'', ''count'', %L)', v)) FROM unnest('{NaN,Infinity,-Infinity}'::text[]) v;
SELECT refused(format('INSERT INTO weight (model, signal, measure, points, %I) VALUES (''m'', ''visit'', ''count'', 1, %L)', c, v))
FROM unnest('{at_least,below,min_points,max_points}'::text[]) WITH ORDINALITY c (c, n), unnest('{NaN,Infinity,-Infinity}'::text[]) WITH ORDINALITY v (v, m) ORDER BY n, m;
SELECT refused(format('UPDATE model SET %I = ''NaN''', c)) FROM unnest('{floor,ceiling,intercept,slope}'::text[]) c;
SELECT refused(format('UPDATE category SET %I = ''Infinity''', c)) FROM unnest('{min_points,max_points}'::text[]) c;
SELECT refused('INSERT INTO grade VALUES (''m'', ''A'', ''NaN'')');
SELECT refused(format('INSERT INTO segment (model, segment, position, %I) VALUES (''m'', ''x'', 1, ''-Infinity'')', c)) FROM unnest('{min_score,min_fit,min_engagement}'::text[]) c;

-- intervals must be above zero
SELECT refused(format('INSERT INTO weight (model, signal, measure, points, %I) VALUES (''m'', ''visit'', ''count'', 1, %L)', c, v))
FROM unnest('{half_life,fades_over,within}'::text[]) WITH ORDINALITY c (c, n), unnest('{0,-1 day}'::text[]) WITH ORDINALITY v (v, m) ORDER BY n, m;
SELECT refused('UPDATE stage SET within = ''0''');

-- bounds must be in order
SELECT refused(ARRAY[
	'INSERT INTO weight (model, signal, measure, points, at_least, below) VALUES (''m'', ''visit'', ''count'', 1, 3, 3)',
	'INSERT INTO weight (model, signal, measure, points, at_least, below) VALUES (''m'', ''visit'', ''count'', 1, 3, 2.5)',
	'INSERT INTO weight (model, signal, measure, points, min_points, max_points) VALUES (''m'', ''visit'', ''count'', 1, 3, 2)',
	'INSERT INTO weight (model, signal, measure, points, max_per_day) VALUES (''m'', ''visit'', ''count'', 1, 0)',
	'UPDATE category SET min_points = 3, max_points = 2',
	'UPDATE model SET floor = 5, ceiling = 5']);

-- words must be known, names not empty
SELECT refused(ARRAY[
	'INSERT INTO weight (model, signal, measure, points) VALUES (''m'', ''visit'', ''recency'', 1)',
	'INSERT INTO weight (model, signal, measure, points, curve) VALUES (''m'', ''visit'', ''count'', 1, ''cubic'')',
	'INSERT INTO signal (signal, subject) VALUES (''x'', ''person'')',
	'INSERT INTO signal (signal) VALUES ('''')', 'INSERT INTO signal (signal, kind) VALUES (''x'', '''')',
	'INSERT INTO model (model) VALUES ('''')', 'INSERT INTO category VALUES (''m'', '''')', 'INSERT INTO stage VALUES (''m'', '''', 2)',
	'INSERT INTO grade VALUES (''m'', '''')', 'INSERT INTO segment VALUES (''m'', '''', 1)']);

-- the measure must fit the signal's subject, in whichever table it is changed
SELECT refused(ARRAY[
	'INSERT INTO weight (model, signal, measure, points) VALUES (''m'', ''de'', ''count'', 1)',
	'INSERT INTO weight (model, signal, measure, points) VALUES (''m'', ''visit'', ''present'', 1)',
	'WITH w AS (INSERT INTO weight (model, signal, measure, points) VALUES (''m'', ''visit'', ''count'', 1)) SELECT 1; UPDATE weight SET signal = ''de''',
	'INSERT INTO weight (model, signal, points) VALUES (''m'', ''visit'', 1); UPDATE signal SET subject = ''profile'', kind = NULL WHERE signal = ''visit''']);

-- what is named must exist
SELECT refused(ARRAY['INSERT INTO weight (model, signal, points) VALUES (''m'', ''vist'', 1)', 'INSERT INTO weight (model, signal, points) VALUES (''m'', NULL, 1)']);
SELECT split_part(refused, ' ', 1) FROM unnest(ARRAY['INSERT INTO weight (model, signal, points) VALUES (''n'', ''visit'', 1)',
	'INSERT INTO weight (model, signal, points, category) VALUES (''m'', ''visit'', 1, ''d'')', 'INSERT INTO weight (model, signal, points, stage) VALUES (''m'', ''visit'', 1, ''d'')',
	'INSERT INTO segment (model, segment, position) VALUES (''n'', ''x'', 1)', 'DELETE FROM category; INSERT INTO weight (model, signal, points, category) VALUES (''m'', ''visit'', 1, ''c'')']) c,
	LATERAL (SELECT refused FROM refused(c) LIMIT 1) r;

-- ... and a weight's category and stage in its model: rows are told what documents are told; so are stages and segments without a position
INSERT INTO model (model) VALUES ('other');
INSERT INTO category (model, category) VALUES ('other', 'd');
SELECT refused(ARRAY['INSERT INTO weight (model, signal, points, category) VALUES (''m'', ''visit'', 1, ''d'')', 'INSERT INTO weight (model, signal, points, stage) VALUES (''m'', ''visit'', 1, ''d'')',
	'INSERT INTO weight (model, signal, points) VALUES (''m'', ''visit'', 1); UPDATE weight SET category = ''d''', 'INSERT INTO weight (model, signal, points) VALUES (''m'', ''visit'', 1); UPDATE weight SET stage = ''d''',
	'INSERT INTO weight (model, signal, points, stage) VALUES (''other'', ''visit'', 1, ''s'')',
	'INSERT INTO segment (model, segment) VALUES (''m'', ''x'')', 'INSERT INTO stage (model, stage) VALUES (''m'', ''x'')', 'UPDATE stage SET position = NULL', 'INSERT INTO segment VALUES (''m'', ''a'', 1); UPDATE segment SET position = NULL']);
SELECT refused(ARRAY['SELECT publish(''{"model": "m", "segments": [{"segment": "x"}]}'')', 'SELECT publish(''{"model": "m", "stages": [{"stage": "x"}]}'')']);
-- a renamed model takes them along, and so does a renamed category
BEGIN;
INSERT INTO weight (model, signal, points, category, stage) VALUES ('m', 'visit', 1, 'c', 's');
UPDATE category SET category = 'e' WHERE category = 'c'; UPDATE stage SET stage = 't'; UPDATE model SET model = 'n' WHERE model = 'm';
SELECT model, category, stage FROM weight;
ROLLBACK;
DELETE FROM model WHERE model = 'other';

-- match and condition
SELECT refused(ARRAY[
	'INSERT INTO signal (signal, match) VALUES (''x'', ''[]'')', 'INSERT INTO signal (signal, match) VALUES (''x'', ''null'')',
	'INSERT INTO signal (signal, condition) VALUES (''x'', ''$.price ? (@ > 100)'')',
	'INSERT INTO signal (signal, condition) VALUES (''x'', ''$.day.datetime() < $.due.datetime()'')',
	'INSERT INTO signal (signal, condition) VALUES (''x'', ''exists($.days[*] ? (@.from.datetime() < $.due))'')',
	'INSERT INTO signal (signal, subject, kind) VALUES (''x'', ''profile'', ''visit'')']);

-- two of a kind
SELECT split_part(refused, ' ', 1) FROM unnest(ARRAY['INSERT INTO stage VALUES (''m'', ''t'', 1)', 'INSERT INTO grade VALUES (''m'', ''A''), (''m'', ''B'')',
	'INSERT INTO grade VALUES (''m'', ''A'', 1), (''m'', ''B'', 1)', 'INSERT INTO segment VALUES (''m'', ''a'', 1), (''m'', ''b'', 1)',
	'INSERT INTO signal (signal) VALUES (''visit'')']) c, LATERAL (SELECT refused FROM refused(c) LIMIT 1) r;

-- a signal_id is assigned, and never used again
SELECT split_part(refused('INSERT INTO signal (signal, signal_id) VALUES (''x'', 1)'), ' ', 1) LIMIT 1;
\pset tuples_only off
\pset format aligned
CREATE TEMP TABLE gone AS SELECT max(signal_id) AS signal_id FROM signal;
DELETE FROM signal WHERE signal = 'order';
INSERT INTO signal (signal, kind) VALUES ('order', 'order');
SELECT s.signal_id > g.signal_id AS assigned_anew FROM signal s, gone g WHERE s.signal = 'order';

-- nothing of it all is there
SELECT (SELECT count(*) FROM weight) AS weights, (SELECT count(*) FROM signal) AS signals, (SELECT count(*) FROM grade) AS grades, (SELECT count(*) FROM segment) AS segments,
	(SELECT row_to_json(m) FROM model m) AS model;

-- the measure has a default by the signal's subject
INSERT INTO weight (model, signal, points) VALUES ('m', 'visit', 1), ('m', 'de', 2);
SELECT signal, measure, points, curve FROM weight ORDER BY weight_id;

-- positions may be swapped
INSERT INTO segment (model, segment, position) VALUES ('m', 'a', 1), ('m', 'b', 2);
UPDATE segment SET position = 3 - position;
SELECT segment FROM segment ORDER BY position;

-- renaming follows through
UPDATE model SET model = 'n';
UPDATE signal SET signal = 'call' WHERE signal = 'visit';
SELECT model, signal FROM weight ORDER BY weight_id;

-- signals() hands over the event signals only, in the order of their ids
SELECT jsonb_path_query_array(signals(), '$.signals[*].signal') AS names, jsonb_typeof(signals() #> '{signals,0,signal_id}') AS id_type;
DELETE FROM model;
SELECT count(*) FROM weight;
DELETE FROM signal;
SELECT signals();

-- Past events are to be counted for a signal if there are some of its kind, or if some are counted by a former definition.
CREATE FUNCTION waiting() RETURNS TABLE (signal text) LANGUAGE sql AS $$SELECT name FROM status WHERE state = 'past events are not yet counted' ORDER BY 1$$;
CREATE TABLE shop_order (customer text, placed timestamptz, total numeric);
CREATE TABLE no_refund (customer text, paid timestamptz);
SELECT track('shop_order', lead_id => 'customer', kind => 'order', occurred_at => 'placed', value => 'total'), track('no_refund', lead_id => 'customer', kind => 'refund', occurred_at => 'paid');
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('ann', 'visit', '2026-01-01');
INSERT INTO shop_order VALUES ('ann', '2026-01-02', 10);
SET client_min_messages = notice;
INSERT INTO signal (signal, kind) VALUES ('news', 'newsletter'), ('refund', 'refund'), ('basket', 'cart_abandoned');	-- none of these
INSERT INTO signal (signal, kind) VALUES ('look', 'visit'), ('order', 'order'), ('nothing', 'none');
INSERT INTO signal (signal) VALUES ('anything');
INSERT INTO signal (signal, subject) VALUES ('somebody', 'profile');
SELECT * FROM waiting();
-- what comes now has been counted from the start
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('ann', 'newsletter', '2026-01-03');
INSERT INTO no_refund VALUES ('ann', '2026-01-03');
SELECT * FROM waiting();
SELECT count(*) AS wrong FROM verify() v WHERE leadscore_internal.only(v.stored, ARRAY(SELECT signal_id FROM signal WHERE signal IN ('news', 'refund'))) <> leadscore_internal.only(v.expected, ARRAY(SELECT signal_id FROM signal WHERE signal IN ('news', 'refund')));
-- a signal that is changed to a kind of which there is nothing still has what it was: noted when it was counted, or only since
UPDATE signal SET kind = 'other' WHERE signal = 'news';
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('ann', 'visit', '2026-01-04');
UPDATE signal SET kind = 'other' WHERE signal = 'look';
UPDATE signal SET description = 'of nothing' WHERE signal = 'nothing';
UPDATE signal SET kind = 'nothing' WHERE signal = 'nothing';
SELECT * FROM waiting();
SET client_min_messages = warning;
CALL rebuild();
SELECT count(*) FROM waiting(); SELECT count(*) FROM verify();
-- rows that are no events do not count
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('ann', 'odd', '2026-01-01');
UPDATE event SET kind = 'even' WHERE kind = 'odd';
INSERT INTO shop_order VALUES (NULL, '2026-01-02', 10);
SET client_min_messages = notice;
INSERT INTO signal (signal, kind) VALUES ('odd', 'odd');
INSERT INTO signal (signal, kind) VALUES ('even', 'even');
SET client_min_messages = warning;
-- of a table with a column of kinds 10,000 rows are looked at: if these have none, and there are more, it is not known, and it waits
CALL rebuild();
CREATE TABLE log (lead text, kind text, at timestamptz);
INSERT INTO log SELECT 'bob', CASE WHEN n = 10001 THEN 'late' WHEN n = 9999 THEN 'early' ELSE 'click' END, '2026-01-01' FROM generate_series(1, 10001) n;
SELECT track('log', lead_id => 'lead', kind_column => 'kind', occurred_at => 'at');
INSERT INTO signal (signal, kind) VALUES ('early', 'early'), ('late', 'late'), ('never', 'never');
SELECT * FROM waiting();
DELETE FROM log WHERE kind = 'click' AND ctid < '(1,1)';
SELECT * FROM waiting();
SELECT untrack('log');
SELECT * FROM waiting();
SELECT untrack('shop_order'), untrack('no_refund');
DELETE FROM event; DELETE FROM signal;

-- no column, and no argument of a function, has an infinite default, which drivers cannot read; nor does a view show one
SELECT table_name, column_name, column_default FROM information_schema.columns
WHERE table_schema = 'leadscore' AND column_default ~* 'infinity' AND (table_name, column_name) <> ('offer', 'starts_at')
UNION ALL SELECT p.proname, NULL, pg_get_function_arguments(p.oid) FROM pg_proc p WHERE p.pronamespace IN ('leadscore'::regnamespace, 'leadscore_internal'::regnamespace) AND pg_get_function_arguments(p.oid) ~* 'infinity'
UNION ALL SELECT c.relname, NULL, pg_get_viewdef(c.oid) FROM pg_class c WHERE c.relnamespace IN ('leadscore'::regnamespace, 'leadscore_internal'::regnamespace) AND c.relkind IN ('v', 'm') AND pg_get_viewdef(c.oid) ~* 'infinity';

-- every table, view, column, function, aggregate, operator and type of the extension has a comment
SELECT pg_describe_object(d.classid, d.objid, 0) AS uncommented
FROM pg_depend d
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'leadscore')
AND (d.classid = 'pg_proc'::regclass OR d.classid = 'pg_operator'::regclass
	OR d.classid = 'pg_class'::regclass AND EXISTS (SELECT FROM pg_class c WHERE c.oid = d.objid AND c.relkind IN ('r', 'v', 'm'))
	OR d.classid = 'pg_type'::regclass AND EXISTS (SELECT FROM pg_type t WHERE t.oid = d.objid AND t.typelem = 0 AND t.typrelid = 0))
AND obj_description(d.objid, d.classid::regclass::name) IS NULL
UNION ALL
SELECT format('column %s.%s', a.attrelid::regclass, a.attname)
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
WHERE c.relnamespace IN ('leadscore'::regnamespace, 'leadscore_internal'::regnamespace) AND c.relkind IN ('r', 'v', 'm') AND a.attnum > 0 AND NOT a.attisdropped
AND col_description(a.attrelid, a.attnum) IS NULL
ORDER BY 1;
