\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- A table of customers keeps profiles true.
CREATE FUNCTION profiles() RETURNS SETOF lead LANGUAGE sql AS 'SELECT * FROM lead ORDER BY lead_id';
CREATE SCHEMA shop;
CREATE TABLE shop.customers (id bigint PRIMARY KEY, country text, born date, vip bool, note text);
INSERT INTO lead VALUES ('1', '{"score of old": 7}'), ('other', '{"x": 1}');
INSERT INTO shop.customers VALUES (1, 'DE', '1990-05-01', true, 'a'), (2, NULL, NULL, false, 'b');
SELECT track_profile('shop.customers', 'id', '{country,born,vip}');
-- the rows of today are there, merged with what profiles hold already
SELECT * FROM profiles();
SELECT source, feeds, lead_id, properties FROM source ORDER BY source::text;

INSERT INTO shop.customers VALUES (3, 'FR', '2000-01-01', NULL, 'c'), (4, 'DE', NULL, true, 'd');
SELECT * FROM profiles();
-- an update writes the columns anew; one of a column that is not mapped changes nothing
UPDATE shop.customers SET country = 'AT' WHERE id IN (1, 4);
UPDATE shop.customers SET note = 'x';
SELECT * FROM profiles();
-- another key: the profile goes with it, what others put there stays
UPDATE shop.customers SET id = 11 WHERE id = 1;
SELECT * FROM profiles();
-- several rows with new keys in one statement
UPDATE shop.customers SET id = 100 + id WHERE id IN (2, 3);
SELECT * FROM profiles();
DELETE FROM shop.customers WHERE id = 4;
SELECT * FROM profiles();
INSERT INTO shop.customers VALUES (11, 'CH', NULL, true, '') ON CONFLICT (id) DO UPDATE SET country = excluded.country;
SELECT * FROM profiles() WHERE lead_id = '11';
TRUNCATE shop.customers;
SELECT * FROM profiles();

-- profiles are scored
SELECT publish('{"model": "m", "signals": [{"signal": "de", "subject": "profile", "match": {"country": "DE"}}], "weights": [{"signal": "de", "points": 7}]}');
INSERT INTO shop.customers VALUES (5, 'DE');
SELECT score('5'), score('5', 'm', '1970-01-01'), score('6');
UPDATE shop.customers SET country = 'FR';
SELECT score('5');

-- text depends on the value, not on the session
SET TimeZone = 'Asia/Tokyo';
SET DateStyle = 'German';
UPDATE shop.customers SET born = '01.02.2003';
SELECT * FROM profiles() WHERE lead_id = '5';
RESET TimeZone;
SET DateStyle = 'ISO, MDY';

-- one jsonb column is the profile itself; rows without a lead or an object are passed over
CREATE TABLE people (who text UNIQUE, data jsonb);
SELECT track_profile('people', 'who', '{data}');
INSERT INTO people VALUES ('p', '{"country": "DE", "age": 30}'), (NULL, '{"country": "DE"}'), ('', '{}'), ('q', '[1]'), ('r', NULL), (repeat('x', 1025), '{"a": 1}');
SELECT * FROM profiles() WHERE lead_id !~ '[0-9]';
UPDATE people SET data = '{"age": 31}' WHERE who = 'p';
SELECT * FROM profiles() WHERE lead_id = 'p';

-- what others do to a table before it is truncated is gone, like its rows
CREATE TABLE swept (who text PRIMARY KEY, country text);
CREATE FUNCTION sweep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM swept WHERE who = 'swept 1'; INSERT INTO swept VALUES ('swept 3', 'DE'); RETURN NULL; END $$;
CREATE TRIGGER sweep BEFORE TRUNCATE ON swept FOR EACH STATEMENT EXECUTE FUNCTION sweep();
SELECT track_profile('swept', 'who', '{country}');
INSERT INTO swept VALUES ('swept 1', 'DE'), ('swept 2', 'FR');
TRUNCATE swept;
SELECT lead_id FROM lead WHERE lead_id LIKE 'swept%';
INSERT INTO swept VALUES ('swept 4', 'DE');
SELECT lead_id FROM lead WHERE lead_id LIKE 'swept%';
DROP TABLE swept;

-- untrack() leaves profiles as they are, and no more is written
SELECT untrack('people');
UPDATE people SET data = '{"age": 99}';
DELETE FROM people;
SELECT * FROM profiles() WHERE lead_id = 'p';

-- a lead's own constraints, and what track_profile() refuses
\pset tuples_only on
\pset format unaligned
SELECT refused(ARRAY[
	'INSERT INTO lead VALUES (''a'', ''[]'')', 'INSERT INTO lead VALUES (''a'', ''"x"'')', 'INSERT INTO lead VALUES ('''', NULL)', 'INSERT INTO lead VALUES (repeat(''x'', 1025), NULL)',
	'SELECT track_profile(''people'', NULL, ''{data}'')', 'SELECT track_profile(''people'', ''who'', NULL)', 'SELECT track_profile(''people'', ''who'', ''{}'')', 'SELECT track_profile(''people'', ''whom'', ''{data}'')',
	'SELECT track_profile(''people'', ''who'', ''{date}'')', 'SELECT track_profile(''leadscore.lead'', ''lead_id'', ''{profile}'')', 'SELECT track_profile(''shop.customers'', ''id'', ''{country,born,vip}'')']);
SELECT source FROM source ORDER BY source::text;
