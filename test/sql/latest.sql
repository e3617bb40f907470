\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- Tables of customers in which several rows may name one lead: the one with the greatest latest_by counts.
CREATE FUNCTION profiles() RETURNS SETOF lead LANGUAGE sql AS 'SELECT * FROM lead ORDER BY lead_id COLLATE "C"';
CREATE SCHEMA shop;
CREATE TABLE shop.contact (id text, at date, country text, vip bool);
INSERT INTO lead VALUES ('a', '{"city": "Ulm"}');
INSERT INTO shop.contact VALUES ('a', '2026-01-01', 'DE'), ('a', '2026-01-03', 'FR'), ('a', NULL, 'IT'), ('b', NULL, 'ES'), ('b', NULL, 'CH'), ('', NULL, 'x'), (NULL, '2026-01-01', 'x');

-- Which row counts must be known, and found: a unique key, or latest_by and an index.
\pset tuples_only on
\pset format unaligned
SELECT refused(ARRAY['SELECT track_profile(''shop.contact'', ''id'', ''{country,vip}'')', 'SELECT track_profile(''shop.contact'', ''id'', ''{country,vip}'', latest_by => ''at'')']);
CREATE INDEX contact_at ON shop.contact (at, id);
CREATE INDEX contact_some ON shop.contact (id) WHERE vip;
CREATE INDEX contact_hash ON shop.contact USING hash (id);
CREATE UNIQUE INDEX contact_two ON shop.contact (at, id, country);
SELECT refused(ARRAY['SELECT track_profile(''shop.contact'', ''id'', ''{country,vip}'')', 'SELECT track_profile(''shop.contact'', ''id'', ''{country,vip}'', latest_by => ''at'')']);
CREATE INDEX contact_id ON shop.contact (id, at);
SELECT refused(ARRAY['SELECT track_profile(''shop.contact'', ''id'', ''{country,vip}'')', 'SELECT track_profile(''shop.contact'', ''id'', ''{country,vip}'', latest_by => ''vip'')',
	'SELECT track_profile(''shop.contact'', ''id'', ''{country,vip}'', latest_by => ''since'')']);
CREATE TABLE shop.deferred (id text UNIQUE DEFERRABLE, country text);
CREATE TABLE shop.parent (id text PRIMARY KEY, country text);
CREATE TABLE shop.child () INHERITS (shop.parent);
CREATE TABLE shop.parted (id text, day date, country text, UNIQUE (id, day)) PARTITION BY RANGE (day);
SELECT refused(ARRAY['SELECT track_profile(''shop.deferred'', ''id'', ''{country}'')', 'SELECT track_profile(''shop.parent'', ''id'', ''{country}'')', 'SELECT track_profile(''shop.parted'', ''id'', ''{country}'')',
	'SELECT track_profile(''shop.parent'', ''id'', ''{country}'', latest_by => ''country'')']);
\pset tuples_only off
\pset format aligned
SELECT track_profile('shop.contact', 'id', '{country,vip}', latest_by => 'at');
SELECT source, feeds, lead_id, properties, latest_by FROM source WHERE feeds = 'profile';
-- a NULL is below all; of equal ones, the one whose attributes are the smaller jsonb; what others know of the lead stays
SELECT * FROM profiles();
-- the next one counts when the latest goes, or is another's
DELETE FROM shop.contact WHERE country = 'FR';
SELECT * FROM profiles();
UPDATE shop.contact SET id = 'b' WHERE country = 'DE';
SELECT * FROM profiles();
UPDATE shop.contact SET at = '2027-01-01' WHERE country = 'CH';
SELECT * FROM profiles();
-- one that is older changes nothing
INSERT INTO shop.contact VALUES ('b', '2025-01-01', 'AT'), ('c', '2025-01-01', 'AT');
SELECT * FROM profiles();
DELETE FROM shop.contact WHERE id = 'b' AND at >= '2026-01-01';
SELECT * FROM profiles();
-- the same mapping with or without latest_by is one
\pset tuples_only on
\pset format unaligned
SELECT refused(ARRAY['SELECT track_profile(''shop.contact'', ''id'', ''{country,vip}'', latest_by => ''at'')', 'SELECT track_profile(''shop.contact'', ''id'', ''{country,vip}'', latest_by => ''country'')']);
\pset tuples_only off
\pset format aligned
TRUNCATE shop.contact;
SELECT * FROM profiles();

-- An index that goes: nothing fails, what is written waits for it, and status says so.
INSERT INTO shop.contact VALUES ('d', '2026-01-01', 'DE');
DROP INDEX shop.contact_id;
UPDATE shop.contact SET country = 'SE';
SELECT fold();
SELECT * FROM profiles() WHERE lead_id = 'd';
SELECT name, state, action FROM status WHERE object IN ('source', 'pending_profile') ORDER BY 1;
CREATE INDEX contact_id ON shop.contact (id);
SELECT fold();
SELECT * FROM profiles() WHERE lead_id = 'd';
SELECT name, state, action FROM status WHERE object IN ('source', 'pending_profile');

-- A unique key that goes: status says so.
CREATE TABLE shop.person (id bigint PRIMARY KEY, country text);
SELECT track_profile('shop.person', 'id', '{country}');
ALTER TABLE shop.person DROP CONSTRAINT person_pkey;
SELECT name, state, action FROM status WHERE object = 'source';
DROP TABLE shop.person, shop.contact;
DELETE FROM known_source;

-- Partitions, with keys of their own in each row: what the latest row lacks is not in the profile.
CREATE TABLE shop.visit (id bigint, at timestamptz, about jsonb) PARTITION BY RANGE (at);
CREATE INDEX ON shop.visit (id, at DESC);
CREATE TABLE shop.january PARTITION OF shop.visit FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE shop.february PARTITION OF shop.visit FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
INSERT INTO shop.visit VALUES (7, '2026-01-02', '{"x": 1, "y": 2}'), (7, '2026-02-02', '{"y": 3, "z": 4}'), (7, '2026-02-03', '[]'), (8, '2026-02-02', '{"u": 1}');
SELECT track_profile('shop.visit', 'id', '{about}', latest_by => 'at');
SELECT * FROM profiles();
BEGIN;
ALTER TABLE shop.visit DETACH PARTITION shop.february;
SELECT * FROM profiles();
ALTER TABLE shop.visit ATTACH PARTITION shop.february FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
SELECT * FROM profiles();
TRUNCATE shop.february;
SELECT * FROM profiles();
ROLLBACK;
BEGIN;
DROP TABLE shop.february;
SELECT * FROM profiles();
DROP TABLE shop.visit;
SELECT * FROM profiles();
ROLLBACK;
BEGIN;
DELETE FROM shop.february;
INSERT INTO shop.january VALUES (8, '2026-01-05', '{"v": 1}');
SELECT * FROM profiles();
TRUNCATE shop.visit;
SELECT * FROM profiles();
ROLLBACK;
SELECT untrack('shop.visit');
DELETE FROM lead;

-- Random statements: each lead's profile is that of its latest row.
CREATE FUNCTION random_history(source regclass, expected text, steps integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	commands CONSTANT text[] := ARRAY[
		'INSERT INTO %1$s SELECT floor(random() * 5), date ''2026-01-01'' + floor(random() * 6)::int, floor(random() * 3), jsonb_build_object(chr(97 + floor(random() * 3)::int), floor(random() * 3)) FROM generate_series(1, 3)',
		'DELETE FROM %1$s WHERE random() < 0.2', 'UPDATE %1$s SET id = floor(random() * 5) WHERE random() < 0.2', 'UPDATE %1$s SET at = CASE WHEN random() < 0.2 THEN NULL ELSE date ''2026-01-01'' + floor(random() * 6)::int END WHERE random() < 0.3',
		'UPDATE %1$s SET about = ''[]'' WHERE random() < 0.1', 'UPDATE %1$s SET n = floor(random() * 3)', 'WITH d AS (DELETE FROM %1$s WHERE random() < 0.3 RETURNING *) INSERT INTO %1$s SELECT id + 1, at, n, about FROM d',
		'MERGE INTO %1$s t USING generate_series(0, 2) i ON t.id = i AND t.n = 1 WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (i, ''2026-01-03'', 0, ''{"m": 1}'')'];
	command text;
	done text := '';
	wrong text;
BEGIN
	FOR i IN 1 .. steps LOOP
		command := format(commands[1 + floor(random() * cardinality(commands))], source);
		done := done || E'\n' || command;
		EXECUTE command;
		EXECUTE format('SELECT string_agg(format(''%%s: %%s, not %%s'', lead_id, l.profile, e.profile), '', '') FROM lead l FULL JOIN (%s) e USING (lead_id) WHERE l.profile IS DISTINCT FROM e.profile', expected) INTO wrong;
		IF wrong IS NOT NULL OR EXISTS (SELECT FROM pending_profile) THEN
			RETURN format('%s, after %s', wrong, done);
		END IF;
	END LOOP;
	RETURN 'right';
END $$;
SELECT setseed(0.4);
CREATE TABLE shop.t (id integer, at date, n integer, about jsonb);
CREATE INDEX ON shop.t (id);
SELECT track_profile('shop.t', 'id', '{n,at}', latest_by => 'at');
SELECT random_history('shop.t', 'SELECT DISTINCT ON (id) id::text AS lead_id, jsonb_build_object(''n'', n, ''at'', at) AS profile FROM shop.t ORDER BY id, at DESC NULLS LAST, 2', 300);
CREATE INDEX ON shop.t (id, at DESC NULLS LAST);
SELECT random_history('shop.t', 'SELECT DISTINCT ON (id) id::text AS lead_id, jsonb_build_object(''n'', n, ''at'', at) AS profile FROM shop.t ORDER BY id, at DESC NULLS LAST, 2', 300);
DROP TABLE shop.t;
SELECT count(*) FROM lead;
-- the same of a single jsonb column, in partitions, one of which has another order of columns
CREATE TABLE shop.t (id integer, at date, n integer, about jsonb) PARTITION BY LIST (n);
CREATE INDEX ON shop.t (id, at);
CREATE TABLE shop.t0 PARTITION OF shop.t FOR VALUES IN (0);
CREATE TABLE shop.t1 (gone text, about jsonb, n integer, at date, id integer);
ALTER TABLE shop.t1 DROP gone;
ALTER TABLE shop.t ATTACH PARTITION shop.t1 FOR VALUES IN (1);
CREATE TABLE shop.t2 PARTITION OF shop.t DEFAULT;
SELECT track_profile('shop.t', 'id', '{about}', latest_by => 'at');
SELECT random_history('shop.t', 'SELECT DISTINCT ON (id) id::text AS lead_id, about AS profile FROM shop.t WHERE jsonb_typeof(about) = ''object'' ORDER BY id, at DESC NULLS LAST, 2', 300);
