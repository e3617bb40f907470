\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- Names of what a user writes and reads: none needs quotes, and a segment never comes without its place
CREATE VIEW public_column AS
-- columns of tables and views, and of what functions return
SELECT c.oid::regclass::text AS object, a.attname::text AS name, c.relkind IN ('v', 'm') AS is_result
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = 'leadscore'::regnamespace AND c.relkind IN ('r', 'v', 'm', 'c') AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT p.oid::regprocedure::text, n.name, true
FROM pg_proc p, ROWS FROM (unnest(p.proargnames), unnest(p.proargmodes)) AS n (name, mode)
WHERE p.pronamespace = 'leadscore'::regnamespace AND n.mode IN ('o', 'b', 't');

CREATE VIEW public_parameter AS
SELECT p.oid::regprocedure::text AS object, n.name
FROM pg_proc p, ROWS FROM (unnest(p.proargnames), unnest(p.proargmodes)) AS n (name, mode)
WHERE p.pronamespace = 'leadscore'::regnamespace AND coalesce(n.mode, 'i') IN ('i', 'b', 'v') AND n.name <> '';

SELECT count(*) > 300 AS columns FROM public_column;
SELECT count(*) > 150 AS parameters FROM public_parameter;
-- a column may not be a word of the categories R and T, a named argument not one of R and C
SELECT c.object, c.name FROM public_column c JOIN pg_get_keywords() k ON k.word = c.name WHERE k.catcode IN ('R', 'T');
SELECT p.object, p.name FROM public_parameter p JOIN pg_get_keywords() k ON k.word = p.name WHERE k.catcode IN ('R', 'C');
-- in views and in what functions return
SELECT c.object FROM public_column c
WHERE c.is_result AND c.name = 'segment' AND NOT EXISTS (SELECT FROM public_column p WHERE p.object = c.object AND p.name = 'segment_position');
-- infinite defaults, which clients' types lack
SELECT a.attrelid::regclass, a.attname, pg_get_expr(d.adbin, d.adrelid)
FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
WHERE a.attrelid IN (SELECT c.oid FROM pg_class c WHERE c.relnamespace = 'leadscore'::regnamespace) AND pg_get_expr(d.adbin, d.adrelid) ~* 'infinity';
SELECT publish('{"model": "m", "signals": [{"signal": "a", "kind": "a"}], "weights": [{"signal": "a", "points": 1}],
	"segments": [{"segment": "hot", "position": 7, "min_score": 2}, {"segment": "warm", "position": 9, "min_score": 1}]}');
INSERT INTO event (lead_id, kind) VALUES ('anna', 'a'), ('anna', 'a'), ('ben', 'a');
INSERT INTO lead (lead_id) VALUES ('carl');
SELECT lead_id, segment, segment_position FROM lead_score ORDER BY lead_id;
SELECT lead_id, segment, segment_position FROM top(3);
SELECT segment, segment_position FROM score_history('anna', 'm', now(), now());
SELECT refresh_segments();
SELECT lead_id, segment, segment_position FROM lead_segment ORDER BY lead_id;
SELECT segment, position, segment_position, leads FROM segment_summary ORDER BY segment_position;
-- a segment that has moved is another row to a CRM
SELECT refresh_crm();
UPDATE segment SET position = 8 WHERE segment = 'hot';
SELECT refresh_crm();
SELECT lead_id, segment, segment_position FROM crm_changes();
SELECT lead_id, segment, segment_position FROM crm_lead ORDER BY lead_id;
INSERT INTO offer (offer, model, segment, discount, valid_for, budget, starts_at, ends_at) VALUES ('ever', 'm', 'hot', 10, '1 day', 5, '-infinity', 'infinity');
SELECT starts_at IS NULL AS starts, ends_at IS NULL AS ends FROM offer;
-- two untyped literals are two names to the parser: those that look like arrays are refused, rather than taken for a
-- lead's
SELECT refused($$SELECT identify('{a,b}', '{c,d}')$$);
SELECT identify('{a,b}'::text[], '{c,d}'), identify('{6F9619FF-8B86-D011-B42D-00CF4FC964FF}', '{x}') AS in_braces, identify(ARRAY['{a,b}'], ARRAY['{c,d}']) AS with_commas;
SELECT alias, lead_id FROM lead_alias ORDER BY alias COLLATE "C";
