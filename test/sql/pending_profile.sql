\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- Profiles of two tables of customers, merged at once and pending: whoever reads sees what the tables say.
CREATE SCHEMA shop;
CREATE TABLE shop.customer (id text PRIMARY KEY, country text, vip bool);
CREATE TABLE shop.address (who text CONSTRAINT one UNIQUE, city text);
SELECT track_profile('shop.customer', 'id', '{country,vip}'), track_profile('shop.address', 'who', '{city}');
-- (leads change their names with each other in one statement, which the constraint would not let them do)
ALTER TABLE shop.address DROP CONSTRAINT one;
SELECT publish('{"model": "m", "signals": [{"signal": "visit", "kind": "visit"}, {"signal": "buy", "kind": "buy"}, {"signal": "de", "subject": "profile", "match": {"country": "DE"}},
	{"signal": "berlin", "subject": "profile", "match": {"city": "Berlin"}}, {"signal": "homeless", "subject": "profile", "condition": "!exists($.city)"}],
	"weights": [{"signal": "visit", "points": 1}, {"signal": "de", "points": 10}, {"signal": "berlin", "points": 100}, {"signal": "homeless", "points": 1000}],
	"segments": [{"segment": "near", "position": 1, "min_score": 100}, {"segment": "far", "position": 2, "min_score": 0}]}');
CREATE VIEW shop.expected AS
SELECT lead_id, CASE WHEN c.id IS NULL THEN '{}' ELSE jsonb_build_object('country', c.country, 'vip', c.vip) END || CASE WHEN a.who IS NULL THEN '{}' ELSE jsonb_build_object('city', a.city) END
	|| CASE lead_id WHEN 'hand' THEN '{"by hand": 1}' ELSE '{}' END::jsonb AS profile
FROM (SELECT id FROM shop.customer UNION SELECT who FROM shop.address UNION SELECT 'hand') l (lead_id) LEFT JOIN shop.customer c ON c.id = lead_id LEFT JOIN shop.address a ON a.who = lead_id;
CREATE FUNCTION shop.wrong() RETURNS TABLE (lead_id text, has jsonb, expected jsonb) LANGUAGE sql AS $$
	SELECT lead_id, p.profile, e.profile FROM current_profile p FULL JOIN shop.expected e USING (lead_id) WHERE p.profile IS DISTINCT FROM e.profile ORDER BY 1 $$;
-- what statements do; each is judged by itself
CREATE PROCEDURE shop.try(VARIADIC commands text[]) LANGUAGE plpgsql AS $$
DECLARE
	command text;
	wrong text;
BEGIN
	FOREACH command IN ARRAY commands LOOP
		EXECUTE command;
		wrong := (SELECT string_agg(w::text, ', ') FROM shop.wrong() w);
		IF wrong <> '' THEN
			RAISE WARNING '%: %', command, wrong;
		END IF;
		wrong := (SELECT string_agg(format('%s: %s is not %s', lead_id, leadscore.score(lead_id, 'm'), s), ', ') FROM shop.expected e,
			LATERAL (SELECT (CASE WHEN profile @> '{"country": "DE"}' THEN 10 ELSE 0 END + CASE WHEN profile @> '{"city": "Berlin"}' THEN 100 WHEN profile ? 'city' THEN 0 ELSE 1000 END)::float8 AS s) x
			WHERE leadscore.score(lead_id, 'm') <> s);
		IF wrong <> '' THEN
			RAISE WARNING '%: %', command, wrong;
		END IF;
	END LOOP;
END
$$;
CREATE PROCEDURE shop.all() LANGUAGE sql AS $all$
	CALL shop.try('INSERT INTO shop.customer VALUES (''a'', ''DE'', true), (''b'', ''FR'', NULL), (''c'', ''DE'', false), (''d'', NULL, NULL)',
		'INSERT INTO shop.address VALUES (''a'', ''Berlin''), (''c'', ''Rome''), (''x'', ''Berlin''), (''hand'', ''Bonn'')',
		'UPDATE shop.customer SET country = ''AT'' WHERE id IN (''a'', ''b'')',
		'UPDATE shop.customer SET vip = vip',
		'UPDATE shop.address SET city = ''Berlin'', who = CASE who WHEN ''a'' THEN ''c'' WHEN ''c'' THEN ''a'' ELSE who END',
		'UPDATE shop.customer SET id = CASE id WHEN ''d'' THEN ''e'' WHEN ''c'' THEN ''x'' ELSE id END',
		'UPDATE shop.customer SET id = id || ''1'' WHERE id IN (''a'', ''b'')', 'UPDATE shop.customer SET id = CASE id WHEN ''a1'' THEN ''b'' WHEN ''b1'' THEN ''a'' ELSE id END',
		'INSERT INTO shop.customer VALUES (''x'', ''DE'', true), (''y'', ''DE'', true) ON CONFLICT (id) DO UPDATE SET country = ''CH''',
		'MERGE INTO shop.customer c USING (VALUES (''x''), (''z'')) v (id) ON c.id = v.id WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (v.id, ''DE'', false)',
		'DO $$ BEGIN BEGIN UPDATE shop.customer SET country = ''XX''; DELETE FROM shop.address; INSERT INTO shop.customer VALUES (''no''); RAISE division_by_zero; EXCEPTION WHEN division_by_zero THEN UPDATE shop.customer SET country = ''DE'' WHERE id = ''b''; END; END $$',
		'WITH d AS (DELETE FROM shop.address WHERE who = ''x'' RETURNING who) INSERT INTO shop.customer SELECT who || ''2'', ''DE'' FROM d',
		'DELETE FROM shop.customer WHERE id = ''z''',
		'TRUNCATE shop.address',
		'INSERT INTO shop.address SELECT id, ''Berlin'' FROM shop.customer',
		'UPDATE shop.customer SET id = id || ''!''', 'UPDATE shop.customer SET id = rtrim(id, ''!'')',
		'DELETE FROM shop.address');
$all$;
INSERT INTO lead VALUES ('hand', '{"by hand": 1}');
CALL shop.all();
SELECT count(*) AS pending FROM pending_profile;
SELECT * FROM lead ORDER BY 1;
COPY shop.address FROM stdin;
a	Berlin
hand	Rome
new	\N
\.
SELECT * FROM shop.wrong();
SELECT * FROM lead ORDER BY 1;
TRUNCATE shop.customer, shop.address;
SELECT * FROM lead ORDER BY 1;

-- A trigger on lead: everything is pending, and reads the same; fold() fires the trigger.
CREATE TABLE shop.log (n int GENERATED ALWAYS AS IDENTITY, operation text, lead_id text);
CREATE FUNCTION shop.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO shop.log (operation, lead_id) VALUES (TG_OP, (coalesce(NEW, OLD)).lead_id); RETURN NULL; END $$;
CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON lead FOR EACH ROW EXECUTE FUNCTION shop.note();
CALL shop.all();
SELECT count(*) AS written FROM shop.log;
SELECT count(*) > 0 AS pending FROM pending_profile;
SELECT lead_id, attributes, removed FROM pending_profile WHERE lead_id IN ('x', 'a') ORDER BY change_id;
SELECT * FROM current_profile ORDER BY 1;
SELECT lead_id, profile FROM current_profile WHERE lead_id IN ('b', 'x2', 'nobody') ORDER BY 1;
SELECT object, state, action FROM status WHERE object LIKE 'pending%';
SELECT fold() = (SELECT count(*) FROM pending_profile) AS folded;
SELECT count(*) AS pending FROM pending_profile;
SELECT lead_id, string_agg(operation, ', ' ORDER BY n) AS operations FROM shop.log GROUP BY 1 ORDER BY 1;
SELECT * FROM shop.wrong();

-- whoever reads, reads the same before and after: of one lead, of many, of all; leads that have a row, or none, or have it no longer
INSERT INTO event (lead_id, kind, occurred_at) SELECT 'lead ' || i % 40, CASE i % 3 WHEN 0 THEN 'buy' ELSE 'visit' END, '2026-01-01'::timestamptz + i * interval '5 hours' FROM generate_series(1, 200) i;
INSERT INTO shop.customer SELECT 'lead ' || i, CASE i % 3 WHEN 0 THEN 'DE' ELSE 'FR' END, i % 2 = 0 FROM generate_series(10, 70) i;
SELECT fold() > 0 AS folded;
UPDATE shop.customer SET country = CASE country WHEN 'DE' THEN 'FR' ELSE 'DE' END WHERE id < 'lead 40';
UPDATE shop.customer SET id = replace(id, 'lead 5', 'lead 105') WHERE id LIKE 'lead 5%';
DELETE FROM shop.customer WHERE id LIKE 'lead 6%';
INSERT INTO shop.customer SELECT 'lead ' || i, 'DE' FROM generate_series(1, 9) i;
INSERT INTO shop.address SELECT id, 'Berlin' FROM shop.customer WHERE id < 'lead 3';
INSERT INTO shop.address SELECT 'visitor ' || i, 'Berlin' FROM generate_series(1, 5) i;
SELECT identify('visitor 1', 'lead 1');
CREATE FUNCTION shop.read() RETURNS TABLE (what text, answer text) LANGUAGE sql AS $$
	SELECT 'profiles', string_agg(p::text, '|' ORDER BY lead_id) FROM current_profile p
	UNION ALL SELECT 'one by one', string_agg((SELECT p::text FROM current_profile p WHERE p.lead_id = l.lead_id), '|' ORDER BY lead_id) FROM (SELECT 'lead ' || i AS lead_id FROM generate_series(1, 110) i) l
	UNION ALL SELECT 'visible_lead', string_agg(v::text, '|' ORDER BY lead_id) FROM visible_lead v
	UNION ALL SELECT 'lead_score', string_agg(s::text, '|' ORDER BY lead_id) FROM lead_score s
	UNION ALL SELECT 'lead_score of a lead', string_agg(s::text, '|' ORDER BY lead_id) FROM lead_score s WHERE lead_id = 'lead 1'
	UNION ALL SELECT 'score()', string_agg(score('lead ' || i, 'm')::text, '|' ORDER BY i) FROM generate_series(1, 110) i
	UNION ALL SELECT 'score_by_query()', string_agg(score_by_query('lead ' || i, 'm', '2026-03-01')::text, '|' ORDER BY i) FROM generate_series(1, 110) i
	UNION ALL SELECT 'score() of aliases', string_agg(score('visitor ' || i, 'm')::text, '|' ORDER BY i) FROM generate_series(1, 5) i
	UNION ALL SELECT 'explain()', string_agg(e::text, '|' ORDER BY i, e) FROM generate_series(1, 110) i, explain('lead ' || i) e
	UNION ALL SELECT 'score_history()', string_agg(h::text, '|' ORDER BY i, h) FROM generate_series(1, 70, 3) i, score_history('lead ' || i, 'm', '2026-01-01', '2026-02-01', '10 days') h
	UNION ALL SELECT 'top()', string_agg(t::text, '|') FROM top(30) t
	UNION ALL SELECT 'leads_to_see()', leads_to_see('', 1000)::text
	UNION ALL SELECT 'preview()', string_agg(p::text, '|' ORDER BY p::text) FROM preview(scorecard('m') || '{"weights": [{"weight_id": 1, "signal": "berlin", "points": 500}]}') p
	UNION ALL SELECT 'crm_row()', string_agg(c::text, '|' ORDER BY c::text) FROM served_lead l, crm_row(l.served, l.timeline, l.profile, '2026-03-01') c
	UNION ALL SELECT 'training_set()', string_agg(s::text, '|' ORDER BY s::text) FROM training_set(scorecard('m'), 'buy', '3 days', '{2026-01-10}', NULL) s
	UNION ALL SELECT 'profile_report()', string_agg(r::text, '|' ORDER BY r::text) FROM profile_report('buy', '3 days', '{2026-01-10}', NULL, 1) r
$$;
CALL watch('m', notify => false);
UPDATE shop.customer SET country = CASE country WHEN 'DE' THEN 'FR' ELSE 'DE' END WHERE id > 'lead 3' AND id < 'lead 45';
CREATE TABLE shop.before AS SELECT * FROM shop.read();
SELECT count(DISTINCT lead_id) > 50 AS pending FROM pending_profile;
SELECT fold() > 50 AS folded;
SELECT what, answer <> '' AS is_there, answer = (SELECT r.answer FROM shop.read() r WHERE r.what = b.what) AS same FROM shop.before b;
SELECT * FROM shop.wrong();
-- a touched lead is compared with what is pending for its profile
UPDATE shop.address SET city = 'Rome' WHERE who = 'lead 1';
UPDATE shop.customer SET country = 'FR' WHERE id = 'lead 2';
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('lead 1', 'visit', '2026-01-01'), ('lead 2', 'visit', '2026-01-01');
SELECT lead_id, from_segment, to_segment, score = score(lead_id, 'm') AS as_scored, cause FROM segment_change WHERE cause <> 'watch' ORDER BY lead_id;
SELECT unwatch('m');

-- forget() leaves nothing pending
UPDATE shop.customer SET vip = NOT coalesce(vip, false) WHERE id LIKE 'lead 1%';
SELECT count(*) > 0 AS pending FROM pending_profile WHERE lead_id = 'lead 10';
SELECT source, removed FROM forget('lead 10', tracked => true) WHERE source IN ('leadscore.lead'::regclass, 'shop.customer'::regclass) ORDER BY 1;
SELECT count(*) AS pending FROM pending_profile WHERE lead_id = 'lead 10';
SELECT count(*) AS leads FROM current_profile WHERE lead_id = 'lead 10';
-- a lead that exists only by what is pending is forgotten, too
INSERT INTO shop.address VALUES ('only', 'Berlin');
SELECT score('only'), (SELECT count(*) FROM lead WHERE lead_id = 'only') AS rows;
SELECT source, removed FROM forget('only', tracked => true) WHERE source = 'leadscore.lead'::regclass;
SELECT count(*) FROM lead_score WHERE lead_id = 'only';
SELECT * FROM shop.wrong();

-- some at a time
SELECT fold() > 0 AS folded;
DROP TRIGGER note ON lead;
INSERT INTO pending_profile (lead_id, attributes, removed) SELECT 'p' || i % 3, jsonb_build_object('n', i), CASE WHEN i > 3 THEN '{n}'::text[] END FROM generate_series(1, 12) i;
SELECT fold(5), (SELECT count(*) FROM pending_profile) AS pending;
SELECT fold(4), (SELECT count(*) FROM pending_profile) AS pending;
SELECT * FROM current_profile WHERE lead_id ~ '^p\d$' ORDER BY 1;
SELECT fold(), (SELECT count(*) FROM pending_profile) AS pending;
SELECT * FROM lead WHERE lead_id ~ '^p\d$' ORDER BY 1;
-- what is pending comes first: a change of the same attribute takes it along
INSERT INTO pending_profile (lead_id, attributes, removed) VALUES ('q', '{"city": "old"}', NULL), ('q', '{"city": "older"}', '{city}');
INSERT INTO shop.address VALUES ('q', 'new');
SELECT profile, (SELECT count(*) FROM pending_profile) AS pending FROM lead WHERE lead_id = 'q';
-- ... and is appended where there is more than a writer takes along
INSERT INTO pending_profile (lead_id, attributes) SELECT 'q', jsonb_build_object('city', i) FROM generate_series(1, 150) i;
BEGIN;
UPDATE shop.address SET city = 'newest' WHERE who = 'q';
SELECT profile, (SELECT profile FROM lead WHERE lead_id = 'q') AS stored, (SELECT count(*) FROM pending_profile) AS pending FROM current_profile WHERE lead_id = 'q';
-- (before it commits, the transaction tries once more)
COMMIT;
SELECT (SELECT count(*) FROM pending_profile) AS pending, (SELECT profile FROM lead WHERE lead_id = 'q') AS stored;
DELETE FROM shop.address;
DELETE FROM shop.customer;
DELETE FROM lead;
-- a row without a profile stays one; one that is made empty goes
INSERT INTO lead VALUES ('hand', '{"by hand": 1}'), ('null', NULL), ('empty', '{}');
INSERT INTO pending_profile (lead_id, attributes, removed) VALUES ('null', NULL, '{a}'), ('empty', NULL, '{a}'), ('nobody', NULL, '{a}'), ('none', '{}', NULL);
SELECT * FROM current_profile ORDER BY 1;
SELECT lead_id FROM visible_lead WHERE timeline IS NULL ORDER BY 1;
SELECT fold();
SELECT * FROM lead ORDER BY 1;
DELETE FROM lead WHERE lead_id <> 'hand';

-- Whatever somebody does to the two tables: profiles are right, before and after fold().
CREATE FUNCTION shop.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN coalesce(NEW, OLD); END';
CREATE TABLE shop.referring (lead_id text REFERENCES lead, other text);
CREATE PROCEDURE shop.all_and_fold(what text) LANGUAGE plpgsql AS $$
DECLARE
	wrong text;
BEGIN
	EXECUTE what;
	CALL shop.all();
	PERFORM leadscore.fold();
	wrong := (SELECT string_agg(w::text, ', ') FROM shop.wrong() w);
	RAISE WARNING '%: % wrong, % pending', what, coalesce(wrong, 'nothing'), (SELECT count(*) FROM leadscore.pending_profile);
	TRUNCATE shop.customer, shop.address;
	PERFORM leadscore.fold();
END
$$;
CALL shop.all_and_fold('COMMENT ON TABLE shop.referring IS ''a foreign key to lead''');
DROP TABLE shop.referring;
CALL shop.all_and_fold('CREATE INDEX extra ON leadscore.lead (lower(lead_id))');
CALL shop.all_and_fold('DROP INDEX leadscore.extra');
CALL shop.all_and_fold('CREATE UNIQUE INDEX extra ON leadscore.lead (md5(lead_id))');
CALL shop.all_and_fold('DROP INDEX leadscore.extra');
CALL shop.all_and_fold('CREATE INDEX extra ON leadscore.lead USING gin (profile)');
CALL shop.all_and_fold('ALTER TABLE leadscore.lead ENABLE ROW LEVEL SECURITY');
CALL shop.all_and_fold('ALTER TABLE leadscore.lead FORCE ROW LEVEL SECURITY');
CALL shop.all_and_fold('ALTER TABLE leadscore.lead NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY');
CALL shop.all_and_fold('CREATE TRIGGER nothing BEFORE INSERT OR UPDATE OR DELETE ON leadscore.pending_profile FOR EACH ROW EXECUTE FUNCTION shop.nothing()');
CALL shop.all_and_fold('DROP TRIGGER nothing ON leadscore.pending_profile');
CALL shop.all_and_fold('ALTER TABLE leadscore.pending_profile ADD note text DEFAULT 7');
CALL shop.all_and_fold('CREATE INDEX another ON leadscore.pending_profile (change_id, lead_id)');
-- (a dropped column leaves its place, so from here on everything is pending)
CALL shop.all_and_fold('ALTER TABLE leadscore.lead ADD note text, ADD n int NOT NULL DEFAULT 7');
CALL shop.all_and_fold('ALTER TABLE leadscore.lead DROP note, DROP n');
-- without its index, one lead cannot be looked up
INSERT INTO pending_profile (lead_id, attributes) VALUES ('q', '{"a": 1}');
DROP INDEX leadscore.pending_profile_lead_id_idx;
SELECT refused('SELECT profile FROM leadscore.current_profile WHERE lead_id = ''q''');
INSERT INTO shop.address VALUES ('q', 'new');
SELECT fold();
CREATE INDEX ON leadscore.pending_profile (lead_id);
SELECT * FROM lead WHERE lead_id = 'q';
DELETE FROM shop.address;
DELETE FROM lead WHERE lead_id = 'q';

-- What lead does not take stays pending, with a warning; all else is folded.
CREATE UNIQUE INDEX extra2 ON leadscore.lead ((profile ->> 'city'));
INSERT INTO shop.address VALUES ('a', 'Berlin'), ('b', 'Berlin'), ('c', 'Rome');
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('a', 'visit', '2026-01-01');
SELECT fold();
SELECT lead_id, profile FROM lead WHERE profile ? 'city' ORDER BY 1;
SELECT * FROM shop.wrong();
UPDATE shop.address SET city = 'Oslo' WHERE who = 'a';
SELECT fold(), fold(), (SELECT count(*) FROM pending_profile) AS pending;
SELECT * FROM shop.wrong();
DROP INDEX leadscore.extra2;

-- Row-level security: whom policies on lead bind is shown its rows, and nothing that is pending.
CREATE ROLE regress_leadscore_reader;
SELECT grant_reader('regress_leadscore_reader');
INSERT INTO pending_profile (lead_id, attributes) VALUES ('a', '{"country": "DE"}'), ('pending', '{"country": "DE"}');
SET ROLE regress_leadscore_reader;
SELECT lead_id, profile FROM current_profile ORDER BY 1;
SELECT score('a'), score('pending'), (SELECT count(*) FROM lead_score) AS leads;
SELECT refused('SELECT attributes FROM leadscore.pending_profile');
RESET ROLE;
ALTER TABLE lead ENABLE ROW LEVEL SECURITY;
CREATE POLICY part ON lead FOR SELECT TO regress_leadscore_reader USING (lead_id < 'b');
SET ROLE regress_leadscore_reader;
SELECT lead_id, profile FROM current_profile ORDER BY 1;
SELECT score('a'), score('pending'), score('b'), (SELECT count(*) FROM lead_score) AS leads;
SELECT with_pending_profile('pending', NULL, false) IS NULL AS hidden, with_pending_profile('a', '{}', true) AS as_stored;
RESET ROLE;
DROP POLICY part ON lead;
ALTER TABLE lead DISABLE ROW LEVEL SECURITY;
REVOKE SELECT ON lead FROM regress_leadscore_reader;
SET ROLE regress_leadscore_reader;
SELECT refused('SELECT leadscore_internal.with_pending_profile(''a'', NULL, false)');
RESET ROLE;
DROP OWNED BY regress_leadscore_reader;
DROP ROLE regress_leadscore_reader;
SELECT with_pending_profile(NULL, '{}', true) IS NULL AS no_lead, with_pending_profile('nobody', '{"a": 1}', NULL) IS NULL AS no_row;
