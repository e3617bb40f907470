\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- Expressions over a row instead of columns, and a filter: what they may be, and that the timeline follows them.
CREATE SCHEMA shop;
CREATE TYPE shop.state AS ENUM ('cart', 'paid', 'shipped');
CREATE DOMAIN shop.money AS numeric CHECK (value >= 0);
CREATE EXTENSION citext SCHEMA public;

INSERT INTO signal (signal, subject, kind) VALUES ('any', 'event', NULL);
INSERT INTO signal (signal, subject, match) VALUES ('mobile', 'event', '{"device": "mobile"}'), ('dear', 'event', '{"dear": true}');

CREATE FUNCTION timelines() RETURNS TABLE (lead_id text, signal text, hour text, occurrences bigint, value numeric) LANGUAGE sql AS $$
	SELECT t.lead_id, s.signal, to_char(e.hour, 'YYYY-MM-DD HH24'), e.occurrences, e.value
	FROM current_timeline t CROSS JOIN LATERAL timeline_entries(t.timeline) e JOIN signal s USING (signal_id) ORDER BY 1, 2, 3
$$;

-- A shop's orders: state, cents, local time, a lead that is written in two ways, the price within json.
CREATE TABLE shop.orders (
	id int PRIMARY KEY,
	email text,
	customer_id int,
	state shop.state NOT NULL DEFAULT 'paid',
	total_cents int,
	placed_at timestamp,
	placed_ms bigint,
	deleted_at timestamptz,
	payload json
);
INSERT INTO shop.orders VALUES
	(1, 'Anna@x', 7, 'paid', 1250, '2025-07-01 10:30', 1751358600000, NULL, '{"price": "12.5", "device": "mobile"}'),
	(2, 'anna@X', 7, 'shipped', 100, '2025-01-01 10:30', 1751358600000, NULL, '{"price": "1"}'),
	(3, 'bob@x', 0, 'paid', 300, '2025-07-01 10:30', 1751358600000, '2025-07-02', '{"price": "3"}'),
	(4, 'bob@x', 0, 'cart', 400, '2025-07-01 10:30', 1751358600000, NULL, '{"price": "4"}'),
	(5, 'carl@x', NULL, 'paid', 500, '2025-07-01 10:30', NULL, NULL, '{"price": "five"}');

SET client_min_messages = notice;
SELECT track('shop.orders', lead_id => 'lower(email)', kind => 'purchase', occurred_at => 'placed_at AT TIME ZONE ''Europe/Berlin''',
	value => '(payload ->> ''price'')::numeric', properties => ARRAY['device => payload ->> ''device''', 'dear => total_cents / 100.0 > 10', 'id'],
	filter => 'deleted_at IS NULL AND state IN (''paid'', ''shipped'')');
SET client_min_messages = warning;
SELECT * FROM timelines();
SELECT source, feeds, lead_id, kind, occurred_at, value, properties, alias, filter, latest_by FROM source WHERE source <> 'event'::regclass;

-- The delta is f(new) - f(old): in and out of the filter, another lead, an expression that begins to fail and is
-- mended.
UPDATE shop.orders SET deleted_at = NULL WHERE id = 3;
UPDATE shop.orders SET email = 'ANNA@x' WHERE id = 3;
UPDATE shop.orders SET payload = '{"price": "5"}' WHERE id = 5;
UPDATE shop.orders SET payload = '{"price": "?"}' WHERE id = 2;
UPDATE shop.orders SET state = 'cart' WHERE id = 1;
SELECT * FROM timelines();
SELECT * FROM verify();
DELETE FROM shop.orders WHERE id = 1;

-- Of many rows in one statement those that fail are left out, and the statement goes through; COPY likewise.
INSERT INTO shop.orders (id, email, total_cents, placed_at, payload)
SELECT n, 'many@x', n, '2025-03-01 12:00', CASE WHEN n % 3 = 0 THEN '{"price": "x"}' ELSE '{"price": "1"}' END::json FROM generate_series(100, 399) n;
COPY shop.orders (id, email, total_cents, placed_at, payload) FROM stdin;
401	many@x	1	2025-03-01 12:00	{"price": "1"}
402	many@x	1	infinity	{"price": "1"}
403	\N	1	2025-03-01 12:00	{"price": "1"}
404	many@x	1	2025-03-01 12:00	{"price": "1e13"}
405	many@x	1	2025-03-01 12:00	{"price": ""}
\.
SELECT * FROM timelines() WHERE lead_id = 'many@x';
SELECT * FROM verify();
UPDATE shop.orders SET payload = '{"price": "2"}' WHERE id BETWEEN 100 AND 399;
SELECT * FROM timelines() WHERE lead_id = 'many@x';
SELECT * FROM verify();

-- What is skipped can be seen, by reason, and status tells of it; a row without a lead or time is nothing wrong.
SELECT source, reason, rows, last_at > now() - interval '1 hour' AS is_new FROM skipped_row ORDER BY reason;
SELECT name, state FROM status WHERE object = 'source' ORDER BY 2;

-- fold() makes one row of many.
DO $$ BEGIN FOR n IN 1..101 LOOP INSERT INTO shop.orders (id, email, placed_at) VALUES (1000 + n, NULL, '2025-03-01'); END LOOP; END $$;
SELECT count(*) FROM leadscore_internal.skipped WHERE reason = 'no lead';
SELECT fold();
SELECT count(*), sum(rows) FROM leadscore_internal.skipped WHERE reason = 'no lead';

-- TRUNCATE and rebuild() read rows in the same way, some leads alone, too.
CALL rebuild();
SELECT count(*) FROM verify();
CALL rebuild(ARRAY['many@x']);
SELECT count(*) FROM verify();
CREATE INDEX ON shop.orders (lower(email));
CALL rebuild(ARRAY['many@x']);
SELECT count(*) FROM verify();
TRUNCATE shop.orders;
SELECT * FROM timelines();
SELECT * FROM verify();
SELECT untrack('shop.orders');
SELECT count(*) FROM skipped_row;

-- The expressions of the guide, each as what it is for.
CREATE TABLE shop.thing (
	id int PRIMARY KEY, customer_id int, user_id text, anonymous_id text, email citext, price shop.money, quantity int, at timestamptz NOT NULL DEFAULT '2025-07-01 10:30Z', day date,
	local timestamp, ms bigint, state shop.state, tag text, payload jsonb, written text, is_paid boolean, f float8, u uuid, tags text[]);
CREATE FUNCTION reads(lead_id text DEFAULT 'id', occurred_at text DEFAULT 'at', value text DEFAULT NULL, kind_column text DEFAULT NULL, filter text DEFAULT NULL,
	properties text[] DEFAULT NULL) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM track('shop.thing', lead_id => reads.lead_id, kind => CASE WHEN kind_column IS NULL THEN 'k' END, kind_column => reads.kind_column, occurred_at => reads.occurred_at,
		value => reads.value, filter => reads.filter, properties => reads.properties);
	RETURN QUERY SELECT concat_ws(' ', e.lead_id, e.kind, to_char(e.occurred_at, 'YYYY-MM-DD HH24:MI'), trim_scale(e.value), e.properties)
		FROM leadscore_internal.source_events(ARRAY['shop.thing'::regclass], ARRAY(SELECT s.mapping FROM source s WHERE s.source = 'shop.thing'::regclass), NULL, NULL) e ORDER BY 1;
	PERFORM untrack('shop.thing');
END
$$;
INSERT INTO shop.thing (id, customer_id, user_id, anonymous_id, email, price, quantity, day, local, ms, state, tag, payload, written, is_paid, f, u, tags) VALUES
	(1, 0, 'u1', 'a1', 'A@x', 2.5, 3, '2025-07-02', '2025-07-01 10:30', 1751358600000, 'paid', 'order.placed', '{"at": "2025-07-01T10:30:00", "n": {"m": 1}}', '2025-07-01 10:30', true, 0.1, '00000000-0000-0000-0000-00000000000a', '{a,b}'),
	(2, 12, NULL, 'a2', 'B@x', 1, 1, '2025-07-02', '2025-01-01 10:30', 1751358600500, 'cart', 'order', '{"at": "today"}', 'tomorrow', NULL, 1e300, NULL, NULL);
SELECT * FROM reads(lead_id => '''customer:'' || id');
SELECT * FROM reads(lead_id => 'nullif(customer_id, 0)');
SELECT * FROM reads(lead_id => 'coalesce(user_id, anonymous_id)');
SELECT * FROM reads(lead_id => 'lower(email)');
SELECT * FROM reads(lead_id => 'u', value => 'price * quantity');
SELECT * FROM reads(occurred_at => 'local AT TIME ZONE ''Europe/Berlin''');
SELECT * FROM reads(occurred_at => 'to_timestamp(ms / 1000.0)');
SELECT * FROM reads(occurred_at => 'day + 1');
SELECT * FROM reads(occurred_at => '(payload ->> ''at'')::timestamp AT TIME ZONE ''UTC''');
SELECT * FROM reads(occurred_at => 'written::date');
SELECT * FROM reads(kind_column => 'split_part(tag, ''.'', 1)');
SELECT * FROM reads(kind_column => 'CASE state WHEN ''paid'' THEN ''bought'' ELSE ''looked'' END', filter => 'state <> ''shipped''');
SELECT * FROM reads(filter => 'is_paid');
SELECT * FROM reads(filter => 'email = ''A@x''');
SELECT * FROM reads(filter => '''b'' = ANY (tags)');
SELECT * FROM reads(filter => 'tag <> ''today'' AND payload <> ''{"at": "now"}''');
SELECT * FROM reads(lead_id => 'f::text', filter => 'at > ''2025-01-01''');
SELECT * FROM reads(properties => ARRAY['payload']);
SELECT * FROM reads(properties => ARRAY['p => payload']);
SELECT * FROM reads(properties => ARRAY['tag', 'net => price / 1.25', 'n => payload -> ''n'' -> ''m''', 'day => day + 1']);
-- the text means the same, whatever the session's settings are
DO $$
BEGIN
	IF current_setting('server_version_num')::integer < 190000 THEN	-- later servers have one kind of literals
		SET standard_conforming_strings = off;
		SET escape_string_warning = off;
	END IF;
END
$$;
SET DateStyle = 'German';
SET TimeZone = 'Asia/Tokyo';
SET extra_float_digits = -15;
SET transform_null_equals = on;
SELECT * FROM reads(lead_id => 'f::text', occurred_at => '(payload ->> ''at'')::timestamp', filter => 'tag <> ''\o''');
SELECT count(*) FROM reads(filter => 'user_id = NULL');
DO $$
BEGIN
	IF current_setting('server_version_num')::integer < 190000 THEN
		RESET standard_conforming_strings;
		RESET escape_string_warning;
	END IF;
END
$$;
RESET transform_null_equals;
SET DateStyle = 'ISO, MDY';
SET TimeZone = 'UTC';
SET extra_float_digits = 1;

-- Columns with odd names are still columns, and what looks like a name is one.
CREATE TABLE shop.odd ("Customer Id" int, "lower(email)" text, "a => b" int, email text, at timestamptz);
SELECT track('shop.odd', lead_id => 'Customer Id', kind => 'k', occurred_at => 'at', properties => ARRAY['a => b', 'lower(email)']);
SELECT track('shop.odd', lead_id => 'lower(email)', kind => 'k', occurred_at => 'at');
SELECT track('shop.odd', lead_id => '"Customer Id" + 1', kind => 'k', occurred_at => 'at', maintenance => 'deferred');
INSERT INTO shop.odd VALUES (7, 'Low', 3, 'LOW', '2025-07-01Z');
SELECT * FROM timelines();
SELECT count(*) FROM verify();

-- One mapping of several goes, and takes its events with it.
SELECT trigger_prefix, lead_id FROM source WHERE source = 'shop.odd'::regclass ORDER BY 1;
SELECT untrack('shop.odd', 'LEADSCORE_2');
SELECT * FROM timelines();
SELECT count(*) FROM verify();
SELECT refused('SELECT untrack(''shop.odd'', ''LEADSCORE_2'')');
SELECT untrack('shop.odd', trigger_prefix => 'LEADSCORE_3');
SELECT untrack('shop.odd');
SELECT refused('SELECT untrack(''shop.odd'')');
SELECT * FROM timelines();

-- Bad input: a clear error, and nothing has changed.
CREATE FUNCTION shop.rank(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE FUNCTION shop.spy(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RAISE EXCEPTION ''a function of others was run''; END';
CREATE DOMAIN shop.trap AS int CHECK (shop.spy(value));
SELECT refused(ARRAY(SELECT format('SELECT track(''shop.thing'', kind => ''k'', lead_id => %L, occurred_at => %L, value => %L, filter => %L, properties => %L)',
	coalesce(l, 'id'), coalesce(t, 'at'), v, f, p) FROM (VALUES
	('emial', NULL, NULL, NULL, NULL::text[]),
	('lower(emial)', NULL, NULL, NULL, NULL),
	('lower(email', NULL, NULL, NULL, NULL),
	('id, email', NULL, NULL, NULL, NULL),
	('email FROM shop.thing', NULL, NULL, NULL, NULL),
	('payload', NULL, NULL, NULL, NULL),
	('payload -> ''n''', NULL, NULL, NULL, NULL),
	('tags', NULL, NULL, '''x''', NULL),
	('tags || ''x''::text', NULL, NULL, NULL, NULL),
	('''customer''', NULL, NULL, NULL, NULL),
	('state::text', NULL, NULL, NULL, NULL),
	('concat(id, tag)', NULL, NULL, NULL, NULL),
	('concat(id, email)', NULL, NULL, NULL, NULL),
	('at::text', NULL, NULL, NULL, NULL),
	('current_user::text', NULL, NULL, NULL, NULL),
	('ctid::text', NULL, NULL, NULL, NULL),
	('thing::text', NULL, NULL, NULL, NULL),
	('thing.id', NULL, NULL, NULL, NULL),
	('$1', NULL, NULL, NULL, NULL),
	(NULL, 'written::timestamptz', NULL, NULL, NULL),
	(NULL, 'local::timestamptz', NULL, NULL, NULL),
	(NULL, 'now()', NULL, NULL, NULL),
	(NULL, 'coalesce(local, ''now'')', NULL, NULL, NULL),
	(NULL, 'upper(tsrange(local, local) + ''[today,)'')', NULL, NULL, NULL),
	(NULL, 'ms / 1000', NULL, NULL, NULL),
	(NULL, NULL, 'email || ''x''', NULL, NULL),
	(NULL, NULL, '(SELECT 1)', NULL, NULL),
	(NULL, NULL, 'sum(price)', NULL, NULL),
	(NULL, NULL, 'row_number() OVER ()', NULL, NULL),
	(NULL, NULL, 'generate_series(1, 2)', NULL, NULL),
	(NULL, NULL, 'shop.rank(id)', NULL, NULL),
	(NULL, NULL, 'random()', NULL, NULL),
	(NULL, NULL, '1 / (1 - 1)', NULL, NULL),
	(NULL, NULL, 'id::shop.money', NULL, NULL),
	(NULL, NULL, NULL, 'quantity', NULL),
	(NULL, NULL, NULL, 'quantity + 1', NULL),
	(NULL, NULL, NULL, 'email OPERATOR(public.=) ''x''', NULL),
	(NULL, NULL, NULL, '''{1}''::shop.money[] = ''{2}''', NULL),
	(NULL, NULL, NULL, 'coalesce(tags, ''{a}''::shop.money[]::text[]) IS NULL', NULL),
	(NULL, NULL, NULL, 'shop.rank(''1'') = 1', NULL),
	(NULL, NULL, NULL, '''{1}''::shop.trap[] IS NULL', NULL),
	(NULL, NULL, NULL, '(id, 1) < (2, 3)', NULL),
	(NULL, NULL, NULL, NULL, '{price * quantity}'),
	(NULL, NULL, NULL, NULL, '{=> price * quantity}'),
	(NULL, NULL, NULL, NULL, '{price,price => 2 * price}'),
	(NULL, NULL, NULL, NULL, '{p => row(1)}')
	) v (l, t, v, f, p)));
SELECT count(*) FROM source WHERE source = 'shop.thing'::regclass;
-- a text that is not immutable by what a constant says
SELECT refused('SELECT track(''shop.thing'', ''id'', ''k'', occurred_at => ''at'', filter => ''at > ''''yesterday'''''')');
DROP TABLE shop.odd;

-- A local time that is read as UTC lies in the future: track() has the expression that mends it, and status, too.
CREATE TABLE shop.late (who text, at timestamp);
INSERT INTO shop.late VALUES ('w', now() AT TIME ZONE 'UTC' + interval '2 hours');
SET client_min_messages = notice;
SELECT track('shop.late', 'who', 'k', occurred_at => 'at');
SET client_min_messages = warning;
INSERT INTO shop.late VALUES ('w', now() AT TIME ZONE 'UTC' + interval '2 hours'), ('w', now() AT TIME ZONE 'UTC');
SELECT reason, rows FROM skipped_row;
SELECT name, state, action FROM status WHERE object = 'source';
SELECT track('shop.late', 'who', 'local', occurred_at => 'at AT TIME ZONE ''Asia/Tokyo''');
SELECT count(*) FROM verify();
SELECT untrack('shop.late');
DROP TABLE shop.late;

-- A column that an expression reads is renamed, dropped or gets another type: the session that does it is told, and
-- status says what to do.
CREATE TABLE shop.change (id int, email text, cents int, at timestamptz);
SELECT track('shop.change', lead_id => 'lower(email)', kind => 'k', occurred_at => 'at', value => 'cents / 100.0', filter => 'cents > 0');
INSERT INTO shop.change VALUES (1, 'Ann', 150, '2025-07-01Z');
ALTER TABLE shop.change RENAME email TO mail;
INSERT INTO shop.change VALUES (2, 'Bea', 250, '2025-07-01Z');
SELECT name, state FROM status WHERE object = 'source';
ALTER TABLE shop.change RENAME mail TO email;
CALL rebuild();
SELECT * FROM timelines();
SELECT * FROM status;
ALTER TABLE shop.change ALTER cents TYPE numeric USING cents / 100.0;
SELECT name, state FROM status WHERE object = 'source';
CALL rebuild();
SELECT * FROM timelines();
ALTER TABLE shop.change ALTER cents TYPE text;
SELECT name, state FROM status WHERE object = 'source';
INSERT INTO shop.change VALUES (3, 'Cid', '1', '2025-07-01Z');
ALTER TABLE shop.change ALTER cents TYPE int USING cents::numeric::int, ADD COLUMN other int, DROP COLUMN id;
CALL rebuild();
SELECT * FROM timelines();
ALTER TABLE shop.change DROP COLUMN cents;
ALTER TABLE shop.change ADD COLUMN cents int DEFAULT 700;
SELECT name, state FROM status WHERE object = 'source';
CALL rebuild();
SELECT * FROM timelines();
SELECT * FROM verify();
SELECT * FROM status;
SELECT untrack('shop.change');
DROP TABLE shop.change;

-- Partitions and children are read by the same expressions, and forget() finds the rows.
CREATE TABLE shop.part (email text, n text, at timestamptz) PARTITION BY RANGE (at);
CREATE TABLE shop.part_1 PARTITION OF shop.part FOR VALUES FROM ('2025-01-01Z') TO ('2025-07-01Z');
SELECT track('shop.part', lead_id => 'lower(email)', kind => 'k', occurred_at => 'at', value => 'n::int');
CREATE TABLE shop.part_2 (at timestamptz, n text, email text);
INSERT INTO shop.part_2 VALUES ('2025-07-02Z', '1', 'P@x'), ('2025-07-02Z', 'x', 'P@x');
ALTER TABLE shop.part ATTACH PARTITION shop.part_2 FOR VALUES FROM ('2025-07-01Z') TO ('2026-01-01Z');
INSERT INTO shop.part VALUES ('p@X', '2', '2025-02-01Z'), ('q@x', '2', '2025-07-01Z');
INSERT INTO shop.part_2 VALUES ('2025-07-03Z', '4', 'P@X');
SELECT * FROM timelines();
SELECT * FROM verify();
SELECT removed, remaining FROM forget('p@x', tracked => true) WHERE source = 'shop.part'::regclass;
SELECT * FROM shop.part;
SELECT * FROM timelines();
SELECT * FROM verify();
SELECT untrack('shop.part');
DROP TABLE shop.part;

-- Profiles: expressions, a filter for those who are gone, several tables by attribute.
CREATE TABLE shop.customer (id int PRIMARY KEY, born date, country text, deleted_at timestamptz);
CREATE TABLE shop.consent (n int PRIMARY KEY, customer int, at timestamptz, given text);
INSERT INTO shop.customer VALUES (1, '1990-05-01', 'de', NULL), (2, '1980-05-01', 'fr', '2025-01-01');
SELECT refused(ARRAY['SELECT track_profile(''shop.customer'', ''country || id'', ''{born}'')', 'SELECT track_profile(''shop.customer'', ''id / 2'', ''{born}'')',
	'SELECT track_profile(''shop.consent'', ''''''customer:'''' || customer'', ''{given}'', latest_by => ''at'')',
	'SELECT track_profile(''shop.consent'', ''customer'', ''{given}'', latest_by => ''at + interval ''''1 day'''''')',
	'SELECT track_profile(''shop.customer'', ''id'', ''{born}'', filter => ''born'')']);
SELECT track_profile('shop.customer', '''customer:'' || id', ARRAY['country => upper(country)', 'born_in => extract(year FROM born)'], filter => 'deleted_at IS NULL');
CREATE INDEX ON shop.consent (('customer:' || customer), at);
SET client_min_messages = notice;
SELECT track_profile('shop.consent', '''customer:'' || customer', ARRAY['newsletter => given::boolean'], latest_by => 'at');
CREATE TABLE shop.address (customer int PRIMARY KEY, country text);
SELECT track_profile('shop.address', '''customer:'' || customer', ARRAY['country']);
SELECT untrack('shop.address');
DROP TABLE shop.address;
SET client_min_messages = warning;
INSERT INTO shop.consent VALUES (1, 1, '2025-01-01', 'yes'), (2, 1, '2025-01-02', 'no'), (3, 2, '2025-01-01', 'true'), (4, 1, '2025-01-03', 'perhaps');
SELECT * FROM current_profile ORDER BY 1;
UPDATE shop.customer SET deleted_at = CASE WHEN deleted_at IS NULL THEN now() END;
SELECT * FROM current_profile ORDER BY 1;
DELETE FROM shop.consent WHERE n = 2;
UPDATE shop.consent SET given = 'x' WHERE n = 3;
SELECT * FROM current_profile ORDER BY 1;
UPDATE shop.customer SET deleted_at = NULL, country = 'it';
TRUNCATE shop.consent;
SELECT * FROM current_profile ORDER BY 1;
SELECT source, reason, rows FROM skipped_row;
DELETE FROM shop.customer;
SELECT * FROM current_profile ORDER BY 1;

-- A statement that is cancelled while an expression is evaluated, which would take years: the block that catches it
-- has done nothing.
CREATE TABLE shop.mark (id text, at timestamptz DEFAULT '2026-01-01');
SELECT track('shop.mark', lead_id => 'regexp_replace(id, ''^(a+)(a+)(a+)(a+)b\1\2\3\4\1\2\3\4$'', '''')', kind => 'order', occurred_at => 'at');
CREATE FUNCTION shop.be_cancelled(OUT error text, OUT rows bigint) LANGUAGE plpgsql AS $$
BEGIN
	BEGIN
		INSERT INTO shop.mark VALUES (repeat('a', 1000) || 'b' || repeat('a', 1001));
	EXCEPTION WHEN query_canceled THEN
		error := SQLERRM;
	END;
	rows := (SELECT count(*) FROM shop.mark);
END
$$;
SET statement_timeout = '1s';
SELECT * FROM shop.be_cancelled();
RESET statement_timeout;
SELECT count(*) FROM shop.mark;
SELECT * FROM verify();
