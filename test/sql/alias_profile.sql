\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- identify() brings an alias's profile along, and unidentify() gives it back: a lead has the attributes of all its names, its own first.
CREATE SCHEMA shop;
CREATE TABLE shop.customer (id text PRIMARY KEY, country text, vip bool);
CREATE TABLE shop.address (id text PRIMARY KEY, city text);
SELECT track_profile('shop.customer', 'id', '{country,vip}'), track_profile('shop.address', 'id', '{city}');
SELECT publish('{"model": "m", "signals": [{"signal": "visit", "kind": "visit"}, {"signal": "de", "subject": "profile", "match": {"country": "DE"}}, {"signal": "at", "subject": "profile", "match": {"country": "AT"}},
	{"signal": "vip", "subject": "profile", "match": {"vip": true}}, {"signal": "berlin", "subject": "profile", "match": {"city": "Berlin"}}, {"signal": "rome", "subject": "profile", "match": {"city": "Rome"}}],
	"weights": [{"signal": "visit", "points": 0}, {"signal": "de", "points": 1}, {"signal": "at", "points": 2}, {"signal": "vip", "points": 4}, {"signal": "berlin", "points": 8}, {"signal": "rome", "points": 16}],
	"segments": [{"segment": "high", "position": 1, "min_score": 10}, {"segment": "low", "position": 2}]}');
INSERT INTO shop.customer VALUES ('anna', 'DE', NULL), ('cookie 1', 'AT', true);
INSERT INTO shop.address VALUES ('cookie 1', 'Rome'), ('cookie 2', 'Berlin'), ('ben', 'Bonn');
SELECT score('anna'), score('cookie 1'), score('cookie 2');
SELECT identify('cookie 2', 'anna'), identify('cookie 1', 'anna');
-- of one attribute the lead's own counts, then that of the alias that comes first
SELECT * FROM current_profile ORDER BY lead_id COLLATE "C";
SELECT score('anna'), score('cookie 1'), score('cookie 2');
SELECT lead_id, profile FROM visible_lead ORDER BY 1;
SELECT signal, points FROM explain('cookie 1', 'm') ORDER BY 1;
SELECT lead_id, fit FROM lead_score WHERE lead_id = 'anna';
SELECT unidentify('cookie 1');
SELECT * FROM current_profile ORDER BY lead_id COLLATE "C";
SELECT unidentify('cookie 2');
SELECT * FROM current_profile ORDER BY lead_id COLLATE "C";
-- a lead that has nothing but its alias's profile is one
SELECT identify('cookie 1', 'new');
SELECT lead_id, profile FROM visible_lead ORDER BY 1;
SELECT score('new'), refresh_segments();
SELECT lead_id, score FROM lead_segment WHERE model = 'm' ORDER BY 1;
SELECT unidentify('cookie 1');

-- Whatever is written, pending, merged and renamed: all who read profiles see those of all names.
CREATE FUNCTION shop.expected() RETURNS TABLE (lead_id text, profile jsonb) LANGUAGE sql AS $$
	SELECT coalesce(a.lead_id, n.lead_id), jsonb_object_agg(e.key, e.value ORDER BY a.alias IS NULL, a.alias COLLATE "C" DESC)
	FROM (SELECT c.id AS lead_id, jsonb_build_object('country', c.country, 'vip', c.vip) AS own FROM shop.customer c UNION ALL SELECT d.id, jsonb_build_object('city', d.city) FROM shop.address d) n
	LEFT JOIN lead_alias a ON a.alias = n.lead_id CROSS JOIN jsonb_each(n.own) e
	GROUP BY 1 $$;
CREATE FUNCTION shop.wrong() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN (SELECT string_agg(format('%s %s: %s, not %s', w.reader, w.lead_id, w.found, w.expected), '; ') FROM (
		SELECT 'current_profile' AS reader, lead_id, c.profile::text AS found, e.profile::text AS expected FROM shop.expected() e
			FULL JOIN (SELECT * FROM current_profile p WHERE p.lead_id NOT IN (SELECT alias FROM lead_alias)) c USING (lead_id) WHERE c.profile IS DISTINCT FROM e.profile
		UNION ALL
		SELECT 'visible_lead', lead_id, c.profile::text, e.profile::text FROM shop.expected() e FULL JOIN (SELECT * FROM visible_lead v WHERE v.profile IS NOT NULL) c USING (lead_id) WHERE c.profile IS DISTINCT FROM e.profile
		UNION ALL
		SELECT 'examples', lead_id, c.profile::text, e.profile::text FROM shop.expected() e FULL JOIN (SELECT * FROM examples((SELECT jsonb_populate_record(check_outcome('{"model": "m"}', 'visit', '1 day', ARRAY[now()], NULL), '{"profiles": true}'))) x WHERE x.profile IS NOT NULL) c USING (lead_id)
			WHERE c.profile IS DISTINCT FROM e.profile
		UNION ALL
		SELECT 'one by one', n.lead_id, n.found::text, e.profile::text FROM (SELECT x AS lead_id, (SELECT p.profile FROM current_profile p WHERE p.lead_id = x) AS found FROM unnest('{a,b,c,d,e,f}'::text[]) x WHERE x NOT IN (SELECT alias FROM lead_alias)) n
			LEFT JOIN shop.expected() e USING (lead_id) WHERE n.found IS DISTINCT FROM e.profile
		UNION ALL
		SELECT 'score', x.name, score(x.name)::text, e.score::text FROM unnest('{a,b,c,d,e,f}'::text[]) x (name) LEFT JOIN lead_alias a ON a.alias = x.name
			CROSS JOIN LATERAL (SELECT score(scorecard('m'), NULL, (SELECT p.profile FROM shop.expected() p WHERE p.lead_id = coalesce(a.lead_id, x.name)), now()) AS score) e WHERE score(x.name) <> e.score
		UNION ALL
		SELECT 'explain', x.name, s.points::text, score(x.name)::text FROM unnest('{a,b,c,d,e,f}'::text[]) x (name) CROSS JOIN LATERAL (SELECT coalesce(sum(l.points), 0) AS points FROM explain(x.name, 'm') l) s WHERE s.points <> score(x.name)
	) w);
END $$;
CREATE PROCEDURE shop.history(steps integer) LANGUAGE plpgsql AS $$
DECLARE
	commands CONSTANT text[] := ARRAY[
		'INSERT INTO shop.customer VALUES (%1$L, ''DE'') ON CONFLICT (id) DO UPDATE SET country = ''AT''', 'INSERT INTO shop.address VALUES (%1$L, ''Berlin'') ON CONFLICT (id) DO UPDATE SET city = ''Rome''',
		'UPDATE shop.customer SET vip = NOT coalesce(vip, false) WHERE id = %1$L', 'DELETE FROM shop.customer WHERE id = %1$L', 'DELETE FROM shop.address WHERE id = %1$L', 'UPDATE shop.address SET id = %2$L WHERE id = %1$L AND NOT EXISTS (SELECT FROM shop.address WHERE id = %2$L)',
		'SELECT leadscore.identify(%1$L, %2$L)', 'SELECT leadscore.identify(%1$L, %2$L)', 'SELECT leadscore.unidentify(%1$L)', 'SELECT leadscore.fold()',
		'INSERT INTO leadscore.event (lead_id, kind) VALUES (%1$L, ''visit'')',
		'CREATE TRIGGER busy BEFORE INSERT ON leadscore.lead FOR EACH ROW WHEN (false) EXECUTE FUNCTION leadscore.record()', 'DROP TRIGGER IF EXISTS busy ON leadscore.lead'];
	names CONSTANT text[] := '{a,b,c,d,e,f}';
	command text;
	wrong text;
BEGIN
	FOR i IN 1 .. steps LOOP
		command := format(commands[1 + floor(random() * cardinality(commands))], names[1 + floor(random() * 6)], names[1 + floor(random() * 6)]);
		BEGIN
			EXECUTE command;
		EXCEPTION WHEN OTHERS THEN
			-- names that are aliases of others, or of nobody
			IF SQLSTATE !~ '^(22|23505|42|55)' OR SQLERRM !~ 'alias|trigger' THEN
				RAISE;
			END IF;
		END;
		COMMIT;
		wrong := shop.wrong();
		IF wrong IS NOT NULL THEN
			RAISE WARNING '% after %', wrong, command;
			RETURN;
		END IF;
		COMMIT;
	END LOOP;
END $$;
TRUNCATE shop.customer, shop.address;
DELETE FROM lead;
SELECT setseed(0.2);
CALL watch('m', notify => false);
-- (of so many leads that profiles are read at once, not looked up)
INSERT INTO shop.address SELECT 'more ' || i, 'Oslo' FROM generate_series(1, 12) i;
CALL shop.history(50);
SELECT count(*) > 0 AS has_aliases FROM lead_alias;
-- ... and segments follow
CALL see_changes();
SELECT s.lead_id, s.segment, score(s.lead_id) FROM lead_state s WHERE s.segment IS DISTINCT FROM CASE WHEN score(s.lead_id) >= 10 THEN 'high' ELSE 'low' END AND s.lead_id NOT IN (SELECT alias FROM lead_alias) AND s.segment IS NOT NULL;
BEGIN;
DELETE FROM shop.customer; DELETE FROM shop.address;
SELECT unidentify(alias) IS NULL AS done FROM lead_alias LIMIT 0;
INSERT INTO shop.customer VALUES ('p', 'DE', true); INSERT INTO shop.address VALUES ('p', 'Berlin');
COMMIT;
SELECT identify('p', 'q');
SELECT lead_id, segment FROM lead_state WHERE lead_id IN ('p', 'q') AND segment IS NOT NULL;
SELECT unidentify('p');
CALL see_changes();
SELECT lead_id, segment FROM lead_state WHERE lead_id IN ('p', 'q') AND segment IS NOT NULL;
