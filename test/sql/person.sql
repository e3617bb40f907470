\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- The right of access: all that is held on a person, and that forget() knows it all.

-- A column that may name a lead is one of a table that both know.
SELECT c.oid::regclass AS source, a.attname AS column
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace IN ('leadscore'::regnamespace, 'leadscore_internal'::regnamespace) AND c.relkind IN ('r', 'p', 'm', 'f') AND NOT c.relispartition
AND a.attname ~ '(^|_)(lead|alias|person|customer|visitor|contact|user)s?(_|$)' AND a.atttypid NOT IN ('bigint'::regtype, 'numeric'::regtype)
EXCEPT
SELECT p.source, unnest(p.columns) FROM person_tables() p
ORDER BY 1, 2;
SELECT p.source, p.columns FROM person_tables() p WHERE EXISTS (SELECT FROM unnest(p.columns) n WHERE NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = p.source AND a.attname::text = n));

-- ---------- a person who is everywhere ----------

SELECT publish('{"model": "m", "signals": [{"signal": "visit", "kind": "visit", "description": "Came to the shop"}, {"signal": "purchase", "kind": "purchase"}, {"signal": "german", "subject": "profile", "match": {"country": "DE"}}],
	"weights": [{"signal": "visit", "points": 1}, {"signal": "purchase", "measure": "value", "points": 1}, {"signal": "german", "points": 2}],
	"segments": [{"segment": "hot", "position": 1, "min_score": 5}, {"segment": "cold", "position": 2}]}');
CALL watch('m', notify => false);
INSERT INTO offer (offer, model, segment, kind, discount, valid_for, unlimited) VALUES ('o', 'm', 'hot', 'amount', 5, '7 days', true);
INSERT INTO experiment VALUES ('e', 'm', 'm', 0.5, now(), NULL, 'salt');
INSERT INTO derivation (behaviour, kinds) VALUES ('visit', '{visit}');
CREATE SCHEMA shop;
CREATE TYPE shop.colour AS ENUM ('red', 'green');
CREATE TABLE shop.orders (id integer PRIMARY KEY, mail text, placed timestamptz, total numeric, colour shop.colour, note text);
CREATE TABLE shop.customers (mail text PRIMARY KEY, country text);
CREATE TABLE shop.logins (visitor text PRIMARY KEY, mail text);
CREATE INDEX ON shop.orders (lower(mail));
SELECT track('shop.orders', lead_id => 'lower(mail)', kind => 'purchase', occurred_at => 'placed', value => 'total'), track_profile('shop.customers', lead_id => 'mail', properties => '{country}'), track_alias('shop.logins', alias => 'visitor', lead_id => 'mail');
SELECT everything_about('anna@x') IS NULL AS nothing;
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('anna@x', 'visit', '2026-01-01 10:10Z'), ('anna@x', 'visit', '2026-01-01 10:20Z'), ('cookie', 'visit', '2026-01-02 10:00Z'), ('tablet', 'visit', '2026-01-03 10:00Z'), ('other', 'visit', '2026-01-03 10:00Z');
INSERT INTO shop.orders VALUES (1, 'Anna@X', now(), 79.9, 'green', NULL), (2, 'other', now(), 1, 'red', 'not hers');
INSERT INTO shop.customers VALUES ('anna@x', 'DE'), ('other', 'FR');
INSERT INTO shop.logins VALUES ('cookie', 'anna@x'), ('cookie of old', 'cookie'), ('c2', 'other');
SELECT identify('tablet', 'anna@x'), identify('phone', 'other');
SELECT discount FROM redeem((SELECT code FROM voucher WHERE lead_id = 'anna@x'), 'anna@x', 'order 1', 79.9);
SELECT count(*) > 0 AS derived FROM derive();
SELECT refresh_segments(false), refresh_crm() > 0 AS told;
INSERT INTO excluded_lead (lead_id, reason) VALUES ('tablet', 'objects to profiles');
-- what waits somewhere is put there by hand
INSERT INTO seen_profile VALUES ('anna@x', '{"country": "DE"}') ON CONFLICT DO NOTHING;
SET session_replication_role = replica;
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('cookie', 'visit', '2026-01-04 10:00Z');
RESET session_replication_role;
INSERT INTO pending_delta SELECT 'cookie', timeline_agg(signals(), 'visit', '2026-01-04 10:00Z', NULL, NULL);
INSERT INTO pending_profile (lead_id, attributes, removed) VALUES ('anna@x', '{"city": "Bonn"}', '{}');
INSERT INTO parted_lead VALUES ('cookie');
INSERT INTO timeline_base VALUES ('cookie', '2020-01-01Z', '{1: 2019-06-01T00Z 1}');
INSERT INTO archived_event VALUES ('cookie', 'visit', '2019-06-01Z');
INSERT INTO derivation_due VALUES ('cookie', now());
INSERT INTO leadscore_internal.split_lead VALUES ('anna@x'), ('other');
INSERT INTO leadscore_internal.split_segment (model, lead_id, score, scored_at) VALUES ('m', 'anna@x', 1, now()), ('m', 'other', 1, now());
INSERT INTO rfm_lead VALUES ('m', 'anna@x', now(), 1, 79.9, 5, 1, 1, NULL, NULL, now()), ('m', 'other', now(), 1, 1, 5, 1, 1, NULL, NULL, now());
INSERT INTO changed_lead VALUES ('anna@x');
INSERT INTO pending_identity (alias, lead_id, look_again) VALUES ('watch', 'anna@x', false);

CREATE TABLE held AS SELECT everything_about('tablet') AS d;
-- the time zone and the formats of the session do not matter
SET TimeZone = 'America/New_York'; SET DateStyle = 'SQL, DMY'; SET bytea_output = 'escape';
SELECT everything_about('anna@x') - 'at' = d - 'at' AS same FROM held;
RESET TimeZone; RESET DateStyle; RESET bytea_output;
-- each table is read once for each column that names leads
BEGIN;
SET LOCAL track_functions = 'all';
SELECT everything_about('anna@x') IS NOT NULL AS found;
SELECT f.calls FROM pg_stat_xact_user_functions f WHERE f.funcname = 'rows_of_person';
ROLLBACK;
-- each of our tables has something of hers, and all of it is there; nothing of others is
SELECT p.part FROM person_tables() p, held WHERE NOT d ? p.part OR jsonb_array_length(d -> p.part) = 0 ORDER BY 1;
SELECT d::text ~ '"(other|c2|phone)"|not hers' AS others FROM held;
SELECT d -> 'names' AS names, d ->> 'lead_id' AS lead, d -> 'aliases' AS aliases, d -> 'profile' AS profile, d -> 'exclusions' -> 0 ->> 'reason' AS excluded FROM held;
SELECT s ->> 'source' AS source, s ->> 'feeds' AS feeds, s ->> 'lead' AS lead, (SELECT jsonb_agg(r - 'placed') FROM jsonb_array_elements(s -> 'rows') r) AS rows FROM held, jsonb_array_elements(d -> 'sources') s;
SELECT e - 'hour' AS entry, e ->> 'hour' LIKE '2026-01-0%' AS past FROM held, jsonb_array_elements(d -> 'timeline') e ORDER BY e ->> 'hour', 1;
SELECT d -> 'experiments' AS experiments, jsonb_array_length(d -> 'vouchers') AS vouchers, d -> 'vouchers' -> 0 ->> 'order_ref' AS order_ref, d ? 'scores' AS scored FROM held;
-- scores, of who is not excluded, with reasons that say it
DELETE FROM excluded_lead;
SELECT s ->> 'model' AS model, s -> 'score' AS score, s ->> 'segment' AS segment, jsonb_array_length(s -> 'reasons') AS reasons FROM jsonb_array_elements(everything_about('cookie') -> 'scores') s;
INSERT INTO excluded_lead (lead_id, reason) VALUES ('tablet', 'objects to profiles');

-- ---------- the rights of forget() ----------

CREATE ROLE regress_person_admin;
CREATE ROLE regress_person_reader;
SELECT grant_admin('regress_person_admin'), grant_reader('regress_person_reader');
SET ROLE regress_person_reader;
SELECT refused('SELECT leadscore.everything_about(''anna@x'')');
SET ROLE regress_person_admin;
SELECT refused('SELECT leadscore.everything_about(''anna@x'')');
RESET ROLE;
GRANT USAGE ON SCHEMA shop TO regress_person_admin;
GRANT SELECT ON ALL TABLES IN SCHEMA shop TO regress_person_admin;
SET ROLE regress_person_admin;
SELECT jsonb_array_length(leadscore.everything_about('anna@x') -> 'sources') AS sources;
RESET ROLE;
-- a policy that hides rows is no answer
ALTER TABLE shop.orders ENABLE ROW LEVEL SECURITY;
SET ROLE regress_person_admin;
SELECT refused('SELECT leadscore.everything_about(''anna@x'')');
RESET ROLE;
ALTER TABLE shop.orders DISABLE ROW LEVEL SECURITY;
DROP OWNED BY regress_person_admin, regress_person_reader;
DROP ROLE regress_person_admin, regress_person_reader;
-- a cast to json is a function of somebody else's, and is not called
CREATE FUNCTION shop.to_json(shop.colour) RETURNS json LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'called'; END $$;
CREATE CAST (shop.colour AS json) WITH FUNCTION shop.to_json(shop.colour);
SELECT s -> 'rows' -> 0 -> 'colour' AS colour FROM jsonb_array_elements(everything_about('anna@x') -> 'sources') s WHERE s ->> 'source' = 'shop.orders';
-- a source that cannot be read any more is told
ALTER TABLE shop.customers RENAME COLUMN mail TO email;
SELECT s FROM jsonb_array_elements(everything_about('anna@x') -> 'sources') s WHERE s ->> 'source' = 'shop.customers';
ALTER TABLE shop.customers RENAME COLUMN email TO mail;
SELECT refused(ARRAY['SELECT everything_about(NULL)', 'SELECT everything_about('''')']);

-- ---------- forgotten ----------

CREATE FUNCTION left_over() RETURNS TABLE (source regclass, n bigint) LANGUAGE plpgsql AS $$
BEGIN
	FOR source IN SELECT p.source FROM person_tables() p LOOP
		EXECUTE format('SELECT count(*) FROM %s t WHERE t::text ~ ''anna@x|cookie|tablet|watch''', source) INTO n;
		IF n > 0 THEN
			RETURN NEXT;
		END IF;
	END LOOP;
END
$$;
SELECT source, removed > 0 AS removed, remaining FROM forget('anna@x', tracked => true) WHERE removed + remaining > 0 ORDER BY source::text;
-- what the next pass of derive() and the next refresh take away
SELECT source FROM left_over() ORDER BY source::text;
SELECT count(*) > 0 AS derived FROM derive();
SELECT refresh_segments(false);
-- exclusions stay, and a CRM is still to be told
SELECT n, jsonb_object_keys(everything_about(n)) AS held FROM unnest('{anna@x,cookie,tablet,watch}'::text[]) n ORDER BY 1, 2;
SELECT * FROM left_over() ORDER BY source::text;
SELECT crm_forget(1000) > 0 AS told;
DELETE FROM excluded_lead;
SELECT * FROM left_over();
SELECT everything_about('anna@x') - '{at,forgotten_at}'::text[] AS known, drop_tombstone('anna@x');
SELECT everything_about('anna@x') IS NULL AS nothing;
SELECT everything_about('other') -> 'names' AS others;
