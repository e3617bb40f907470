\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- A trigger of the shop's fires before ours and writes the same table: that statement is counted first, though it is
-- the later one. Profiles and aliases are those of the rows that there are in the end.
CREATE SCHEMA shop;
CREATE TABLE shop.cust (id int PRIMARY KEY, lead text UNIQUE, country text, city text);
CREATE INDEX ON shop.cust (('cust:' || id));
SELECT track_profile('shop.cust', 'lead', '{country,city}');
SELECT track_alias('shop.cust', alias => '''cust:'' || id', lead_id => 'lead');
CREATE FUNCTION shop.react() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF pg_trigger_depth() <= TG_ARGV[0]::int THEN
		EXECUTE TG_ARGV[1];
	END IF;
	RETURN NULL;
END
$$;
-- What differs from the table: profiles that are not its rows, aliases that are not.
CREATE FUNCTION shop.differences() RETURNS SETOF text LANGUAGE sql AS $$
	SELECT format('profile of %s: %s instead of %s', lead_id, l.profile, c.profile)
	FROM (SELECT lead AS lead_id, jsonb_strip_nulls(jsonb_build_object('country', country, 'city', city)) AS profile FROM shop.cust WHERE lead IS NOT NULL) c
	FULL JOIN (SELECT lead_id, nullif(jsonb_strip_nulls(profile), '{}') AS profile FROM current_profile) l USING (lead_id)
	WHERE l.profile IS DISTINCT FROM nullif(c.profile, '{}')
	UNION ALL
	SELECT format('alias %s: %s instead of %s', alias, a.lead_id, c.lead_id)
	FROM (SELECT 'cust:' || id AS alias, lead AS lead_id FROM shop.cust WHERE lead IS NOT NULL) c
	FULL JOIN leadscore_internal.alias_edge a USING (alias, lead_id) WHERE a.lead_id IS NULL OR c.lead_id IS NULL
	UNION ALL
	SELECT format('alias %s counts for %s instead of %s', alias, a.lead_id, c.lead_id)
	FROM (SELECT 'cust:' || id AS alias, lead AS lead_id FROM shop.cust WHERE lead IS NOT NULL) c
	FULL JOIN lead_alias a USING (alias) WHERE a.lead_id IS DISTINCT FROM c.lead_id
$$;
-- One statement, with a trigger before ours that runs another one.
CREATE PROCEDURE shop.try(command text, reaction text, depth int DEFAULT 1, timings text[] DEFAULT '{AFTER STATEMENT,AFTER ROW,BEFORE STATEMENT}') LANGUAGE plpgsql AS $$
DECLARE
	timing text;
	difference text;
BEGIN
	FOREACH timing IN ARRAY timings LOOP
		DELETE FROM shop.cust;
		INSERT INTO shop.cust VALUES (1, 'a', 'DE', 'Ulm'), (2, 'b', 'FR', NULL);
		EXECUTE format('CREATE TRIGGER "Aa" %s INSERT OR UPDATE OR DELETE ON shop.cust FOR EACH %s EXECUTE FUNCTION shop.react(%s, %L)',
			split_part(timing, ' ', 1), split_part(timing, ' ', 2), depth, reaction);
		EXECUTE command;
		DROP TRIGGER "Aa" ON shop.cust;
		COMMIT;		-- (a name that has lost its row is settled before the commit)
		FOR difference IN SELECT shop.differences() LOOP
			RAISE WARNING '%, then % (%): %', command, reaction, timing, difference;
		END LOOP;
	END LOOP;
END
$$;
CALL shop.try('INSERT INTO shop.cust VALUES (3, ''c'', ''IT'', ''Rome'')', 'DELETE FROM shop.cust WHERE id = 3');
CALL shop.try('INSERT INTO shop.cust VALUES (3, ''c'', ''IT'', ''Rome'')', 'UPDATE shop.cust SET country = ''CH'', city = NULL WHERE id = 3');
CALL shop.try('INSERT INTO shop.cust VALUES (3, ''c'', ''IT'', ''Rome'')', 'UPDATE shop.cust SET lead = lead || lead');
CALL shop.try('INSERT INTO shop.cust VALUES (3, ''c'', ''IT'', ''Rome''), (4, NULL, ''AT'', NULL)', 'UPDATE shop.cust SET lead = CASE id WHEN 4 THEN ''d'' END WHERE id >= 3');
CALL shop.try('UPDATE shop.cust SET country = ''AT'', city = ''Graz'' WHERE id = 1', 'UPDATE shop.cust SET country = ''CH'', city = NULL', timings => '{AFTER STATEMENT,AFTER ROW}');
CALL shop.try('UPDATE shop.cust SET lead = ''c'' WHERE id = 1', 'UPDATE shop.cust SET lead = ''a'' WHERE lead = ''c''');
CALL shop.try('UPDATE shop.cust SET lead = ''c'' WHERE id = 1', 'INSERT INTO shop.cust VALUES (5, ''a'', ''ES'', NULL)', timings => '{AFTER STATEMENT,AFTER ROW}');
CALL shop.try('DELETE FROM shop.cust WHERE id = 1', 'INSERT INTO shop.cust VALUES (1, ''a'', ''ES'', NULL) ON CONFLICT (lead) DO UPDATE SET country = ''PT''', timings => '{AFTER STATEMENT,AFTER ROW}');
CALL shop.try('INSERT INTO shop.cust VALUES (1, ''a'', ''IT'', ''Rome''), (3, ''c'', ''IT'', ''Rome'') ON CONFLICT (id) DO UPDATE SET country = excluded.country', 'DELETE FROM shop.cust WHERE country = ''IT''');
CALL shop.try('MERGE INTO shop.cust c USING (VALUES (1), (3)) v (id) ON c.id = v.id WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (v.id, ''c'', ''IT'', NULL)', 'DELETE FROM shop.cust WHERE id = 3');
-- Deeper, and several of them.
CALL shop.try('INSERT INTO shop.cust VALUES (3, ''c'', ''IT'', NULL)', 'UPDATE shop.cust SET country = country || country', 3, '{AFTER STATEMENT}');
CALL shop.try('INSERT INTO shop.cust VALUES (3, ''c'', ''IT'', NULL)', 'UPDATE shop.cust SET lead = lead || lead', 2, '{AFTER STATEMENT}');
CALL shop.try('INSERT INTO shop.cust VALUES (3, ''c'', ''IT'', NULL)', 'DELETE FROM shop.cust WHERE id = 3; INSERT INTO shop.cust VALUES (3, ''e'', ''SE'', NULL) ON CONFLICT DO NOTHING; UPDATE shop.cust SET country = ''NO'' WHERE id = 3', timings => '{AFTER STATEMENT,AFTER ROW}');
-- What is undone takes its share along.
CALL shop.try('INSERT INTO shop.cust VALUES (3, ''c'', ''IT'', NULL)', 'DO $x$ BEGIN DELETE FROM shop.cust WHERE id = 3; RAISE division_by_zero; EXCEPTION WHEN division_by_zero THEN END $x$');
CALL shop.try('INSERT INTO shop.cust VALUES (3, ''c'', ''IT'', NULL)', 'DO $x$ BEGIN DELETE FROM shop.cust WHERE id = 3; EXCEPTION WHEN division_by_zero THEN END $x$');
SELECT count(*) FROM shop.differences();
