\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- Any table can be a source of events.
INSERT INTO signal (signal, kind) VALUES ('purchase', 'purchase'), ('refund', 'refund');
INSERT INTO signal (signal, kind, match) VALUES ('mobile', 'purchase', '{"device": "mobile"}');
INSERT INTO signal (signal, kind, condition) VALUES ('large', 'purchase', '$.total >= 100 && $.channel == "web"');
CREATE FUNCTION timelines() RETURNS TABLE (lead_id text, signal text, hour text, occurrences bigint, value numeric) LANGUAGE sql AS $$
	SELECT t.lead_id, s.signal, to_char(e.hour, 'YYYY-MM-DD HH24'), e.occurrences, e.value
	FROM lead_timeline t, timeline_entries(t.timeline) e JOIN signal s USING (signal_id) ORDER BY 1, 2, 3$$;

-- A shop's orders as they are: a bigint key, a time, a numeric total, columns as properties. Rows that are there already count.
CREATE SCHEMA shop;
CREATE TABLE shop.orders (order_id bigint GENERATED ALWAYS AS IDENTITY, customer_id bigint, placed_at timestamptz NOT NULL, total numeric(12, 2), device text, channel text);
INSERT INTO shop.orders (customer_id, placed_at, total, device, channel) VALUES (17, '2026-01-01 10:15', 150, 'mobile', 'web'), (9223372036854775807, '2026-01-01 10:45', 20, NULL, 'shop');
SELECT track('shop.orders', lead_id => 'customer_id', kind => 'purchase', occurred_at => 'placed_at', value => 'total', properties => '{device,channel,total}');
SELECT * FROM timelines();
INSERT INTO shop.orders (customer_id, placed_at, total, device, channel) VALUES (17, '2026-01-01 10:59', 99.99, 'desktop', 'web'), (-5, '2026-01-02 00:00', NULL, 'mobile', 'web');
UPDATE shop.orders SET total = 200 WHERE customer_id = -5;
DELETE FROM shop.orders WHERE customer_id > 1000;
SELECT * FROM timelines();
SELECT * FROM verify();

-- A second mapping on the same table stands beside the first; the same one does not.
SELECT track('shop.orders', lead_id => 'channel', kind => 'refund', occurred_at => 'placed_at');
SELECT source, feeds, lead_id, kind, kind_column, occurred_at, value, properties, trigger_prefix, mapping FROM source ORDER BY source::text, trigger_prefix;
INSERT INTO shop.orders (customer_id, placed_at, total, device, channel) VALUES (18, '2026-01-03', 1, NULL, 'web');
SELECT * FROM timelines() WHERE lead_id IN ('18', 'web');
SELECT * FROM verify();
\pset tuples_only on
\pset format unaligned
SELECT refused('SELECT track(''shop.orders'', lead_id => ''channel'', kind => ''refund'', occurred_at => ''placed_at'')');
\pset tuples_only off
\pset format aligned

-- untrack() takes the table's rows out of the timelines again and leaves other events alone.
INSERT INTO event (lead_id, kind, occurred_at) VALUES ('17', 'purchase', '2026-01-01 10:00');
SELECT untrack('shop.orders');
SELECT * FROM timelines();
INSERT INTO shop.orders (customer_id, placed_at) VALUES (19, '2026-01-03');
SELECT count(*) FROM verify();
SELECT source FROM source;
DELETE FROM event;

-- Key, kind and value columns of other types, below domains too. bool is t or f, char(n) is without its padding,
-- a timestamp and a date are read as UTC, whatever the session's time zone.
SET TimeZone = 'America/New_York';
CREATE TYPE level AS ENUM ('purchase', 'refund', 'other kind');
CREATE DOMAIN kind_name AS char(12);
CREATE DOMAIN amount AS real CHECK (VALUE < 1000);
CREATE TABLE t_char (who char(8), what kind_name, day date, amount amount);
CREATE TABLE t_enum (who level, what level, at timestamp, amount integer);
CREATE TABLE t_bool (who bool, at timestamptz(0), amount float8);
CREATE TABLE t_uuid (who uuid, what varchar(20), at timestamp, amount smallint);
CREATE TABLE t_date (who date, at timestamptz, amount bigint);
CREATE TABLE t_numeric (who numeric, at date, amount numeric);
SELECT track('t_char', 'who', kind_column => 'what', occurred_at => 'day', value => 'amount'), track('t_enum', 'who', kind_column => 'what', occurred_at => 'at', value => 'amount'),
	track('t_bool', 'who', 'purchase', occurred_at => 'at', value => 'amount'), track('t_uuid', 'who', kind_column => 'what', occurred_at => 'at', value => 'amount'),
	track('t_date', 'who', 'purchase', occurred_at => 'at', value => 'amount'), track('t_numeric', 'who', 'purchase', occurred_at => 'at', value => 'amount');
INSERT INTO t_char VALUES ('ann', 'purchase', '2026-03-08', 0.1), ('ann', 'refund', '1970-01-01', 7), ('ann', 'purchase', '9999-12-31', NULL);
INSERT INTO t_enum VALUES ('other kind', 'purchase', '2026-03-08 02:30', 3);		-- a time that New York skips
INSERT INTO t_bool VALUES (true, '2026-03-08 02:30+00', 1e-7), (false, '2026-03-08 02:30+00', 2.5e-6);
INSERT INTO t_uuid VALUES ('00000000-0000-0000-0000-00000000000A', 'purchase', '2026-03-08 02:30', -3);
INSERT INTO t_date VALUES ('2026-03-08', '2026-03-08 02:30+00', 999999999999);
INSERT INTO t_numeric VALUES (7.0, '2026-03-08', 0.0000015), (7, '2026-03-08', 1);
SET DateStyle = 'German';
INSERT INTO t_date VALUES ('2026-03-08', '2026-03-08 02:30+00', 1);
SELECT * FROM verify();
RESET DateStyle;
SET DateStyle = 'ISO, MDY';
SET TimeZone = 'UTC';
SELECT * FROM timelines();
SELECT * FROM verify();

-- Rows that cannot be scored are passed over, and the statement goes through: no lead, no kind, no time or one outside 1970 to 9999,
-- a value that is no number below 10^12. They may become scorable, and cease to be.
DO $$ BEGIN PERFORM untrack(source) FROM source WHERE source <> 'event'::regclass; END $$;
CREATE TABLE visits (id serial, who text, what text, at timestamp, day date, amount float8);
SELECT track('visits', 'who', kind_column => 'what', occurred_at => 'at', value => 'amount');
INSERT INTO visits (who, what, at, amount) VALUES (NULL, 'purchase', '2026-01-01', 1), ('', 'purchase', '2026-01-01', 1), (repeat('x', 1025), 'purchase', '2026-01-01', 1),
	('no kind', NULL, '2026-01-01', 1), ('empty kind', '', '2026-01-01', 1), ('no time', 'purchase', NULL, 1), ('late', 'purchase', 'infinity', 1), ('early', 'purchase', '-infinity', 1),
	('1969', 'purchase', '1969-12-31 23:59:59', 1), ('10000', 'purchase', '10000-01-01', 1), ('BC', 'purchase', '4713-01-01 BC', 1),
	('nan', 'purchase', '2026-01-01', 'NaN'), ('infinite', 'purchase', '2026-01-01', 'Infinity'), ('large', 'purchase', '2026-01-01', 1e12), ('very large', 'purchase', '2026-01-01', -1e300),
	('good', 'purchase', '2026-01-01', 1), (repeat('y', 1024), 'purchase', '2026-01-01', 999999999999);
SELECT left(lead_id, 10) AS lead_id, signal, hour, occurrences, value FROM timelines();
UPDATE visits SET amount = 5, at = '2026-01-02', what = 'refund', who = 'was ' || coalesce(nullif(who, ''), 'nobody') WHERE who IS NULL OR length(who) < 1024;
SELECT * FROM timelines() WHERE length(lead_id) < 1024;
SELECT * FROM verify();
UPDATE visits SET at = 'infinity' WHERE who LIKE 'was%';
SELECT left(lead_id, 10) AS lead_id, signal, hour, occurrences, value FROM timelines();
SELECT * FROM verify();
TRUNCATE visits;
SELECT * FROM timelines();

-- dates far out
SELECT untrack('visits'), track('visits', 'who', 'purchase', occurred_at => 'day');
INSERT INTO visits (who, day) VALUES ('a', '4713-01-01 BC'), ('b', '5874897-12-31'), ('c', 'infinity'), ('d', '1969-12-31'), ('e', '10000-01-01'), ('f', '1970-01-01'), ('g', '9999-12-31');
SELECT * FROM timelines();
SELECT * FROM verify();
SELECT untrack('visits');

-- Properties: one jsonb column is the object itself (what is no object has none), below a domain too ...
CREATE DOMAIN document AS jsonb;
CREATE TABLE clicks (who text, at timestamptz, data document);
SELECT track('clicks', 'who', 'purchase', occurred_at => 'at', properties => '{data}');
INSERT INTO clicks VALUES ('a', '2026-01-01', '{"device": "mobile"}'), ('b', '2026-01-01', '{"data": {"device": "mobile"}}'), ('c', '2026-01-01', '["mobile"]'), ('d', '2026-01-01', NULL), ('e', '2026-01-01', 'null');
SELECT * FROM timelines();
SELECT * FROM verify();
SELECT untrack('clicks');
-- ... several columns, or one of another type, are members of an object, each as jsonb shows its type
CREATE TABLE sales (who text, at timestamptz, b bool, n numeric, f float8, t timestamp, z timestamptz, i interval, a int[], y bytea, j jsonb, c char(3), m money);
SELECT track('sales', 'who', 'purchase', occurred_at => 'at', properties => '{b,n,f,t,z,i,a,y,j,c,m}');
INSERT INTO signal (signal, kind, match) VALUES ('all of it', 'purchase', '{"b": true, "n": 1.50, "f": 0.1, "t": "2026-01-01T00:00:00", "z": "2025-12-31T23:00:00+00:00", "i": "1 day 02:00:00", "a": [1, null], "y": "\\x00ff", "j": {"x": [1]}, "c": "x  ", "m": "$1.00"}');
SET TimeZone = 'Asia/Kolkata';
SET IntervalStyle = 'iso_8601';
SET bytea_output = 'escape';
INSERT INTO sales VALUES ('a', '2026-01-01', true, 1.5, 0.1, '2026-01-01', '2026-01-01 00:00+01', '1 day 2 hours', '{1,null}', '\x00ff', '{"x": [1]}', 'x', 1), ('b', '2026-01-01', false, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
SET TimeZone = 'UTC';
SET IntervalStyle = 'postgres';
RESET bytea_output;
SELECT lead_id, signal FROM timelines();
SELECT * FROM verify();
DELETE FROM signal WHERE signal = 'all of it';
SELECT untrack('sales');
CALL rebuild();

-- Names that need quoting everywhere
CREATE SCHEMA "sch""ema.x";
CREATE TABLE "sch""ema.x"."T %s '$1"" \x" ("le ad""%I" text, "ki'nd" text, "At\t" date, "val%" int, "pr""op" text, "ü:x" int, "CASE" int);
SELECT track('"sch""ema.x"."T %s ''$1"" \x"', 'le ad"%I', kind_column => 'ki''nd', occurred_at => 'At\t', value => 'val%', properties => ARRAY['pr"op', 'ü:x', 'CASE']);
INSERT INTO signal (signal, kind, match) VALUES ('it''s "it"', 'k''%s"$1\', '{"pr\"op": "a''\"\\%s", "ü:x": 1, "CASE": 2}');
INSERT INTO "sch""ema.x"."T %s '$1"" \x" VALUES ('l''ead"%s$1\', 'k''%s"$1\', '2026-01-01', 5, 'a''"\%s', 1, 2), ('other', 'k', '2026-01-01', 5, 'a', 1, 2);
SELECT * FROM timelines();
UPDATE "sch""ema.x"."T %s '$1"" \x" SET "At\t" = '2026-01-02';
SELECT * FROM timelines();
SELECT * FROM verify();
CALL rebuild(ARRAY['l''ead"%s$1\']);
SELECT source, lead_id, kind_column, occurred_at, value, properties FROM source WHERE source <> 'event'::regclass;
ALTER TABLE "sch""ema.x"."T %s '$1"" \x" RENAME TO plain;
INSERT INTO "sch""ema.x".plain SELECT * FROM "sch""ema.x".plain;
SELECT * FROM timelines();
TRUNCATE "sch""ema.x".plain;
SELECT * FROM timelines();
SELECT untrack('"sch""ema.x".plain');

-- Columns may be added and dropped beside those that are mapped. One that is renamed is missed: a warning, and the statement goes through.
CREATE TABLE calls (junk int, who text, at timestamptz, amount int);
SELECT track('calls', 'who', 'purchase', occurred_at => 'at', value => 'amount');
INSERT INTO calls VALUES (1, 'a', '2026-01-01', 1);
ALTER TABLE calls DROP COLUMN junk, ADD COLUMN more int DEFAULT 7;
INSERT INTO calls VALUES ('a', '2026-01-01', 2);
SELECT * FROM timelines();
SELECT * FROM verify();
ALTER TABLE calls RENAME COLUMN amount TO price;
INSERT INTO calls VALUES ('a', '2026-01-01', 4);
UPDATE calls SET who = 'b' WHERE price = 4;
DELETE FROM calls WHERE price = 1;
SELECT * FROM calls ORDER BY price;
SELECT * FROM timelines();
ALTER TABLE calls RENAME COLUMN price TO amount;
INSERT INTO calls VALUES ('a', '2026-01-01', 8);
CALL rebuild();
SELECT * FROM timelines();
SELECT untrack('calls');

-- A partitioned table
CREATE TABLE parted (who text, at timestamptz) PARTITION BY RANGE (at);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
SELECT track('parted', 'who', 'purchase', occurred_at => 'at');
INSERT INTO parted VALUES ('a', '2026-01-05'), ('a', '2026-02-05'), ('b', '2026-02-06');
UPDATE parted SET at = at + interval '1 month' WHERE at < '2026-02-01';
SELECT * FROM timelines();
SELECT * FROM verify();
TRUNCATE parted;
SELECT * FROM timelines();
SELECT untrack('parted');

-- what track() refuses
CREATE VIEW a_view AS SELECT * FROM calls;
CREATE TYPE pair AS (a int, b int);
CREATE TABLE wrong (who text, at text, amount text, j pair, t timestamptz);
\pset tuples_only on
\pset format unaligned
SELECT refused(ARRAY[
	'SELECT track(NULL, ''who'', ''k'', occurred_at => ''at'')', 'SELECT track(''a_view'', ''who'', ''k'', occurred_at => ''at'')', 'SELECT track(''leadscore.event'', ''lead_id'', ''k'', occurred_at => ''occurred_at'')',
	'SELECT track(''calls'', NULL, ''k'', occurred_at => ''at'')', 'SELECT track(''calls'', ''who'', ''k'')', 'SELECT track(''calls'', ''who'', occurred_at => ''at'')', 'SELECT track(''calls'', ''who'', '''', occurred_at => ''at'')',
	'SELECT track(''calls'', ''who'', ''k'', kind_column => ''who'', occurred_at => ''at'')',
	'SELECT track(''calls'', ''whom'', ''k'', occurred_at => ''at'')', 'SELECT track(''calls'', ''who'', kind_column => ''kind'', occurred_at => ''at'')', 'SELECT track(''calls'', ''who'', ''k'', occurred_at => ''when'')',
	'SELECT track(''calls'', ''who'', ''k'', occurred_at => ''at'', value => ''cost'')', 'SELECT track(''calls'', ''who'', ''k'', occurred_at => ''at'', properties => ''{more,less}'')',
	'SELECT track(''calls'', ''ctid'', ''k'', occurred_at => ''at'')',
	'SELECT track(''wrong'', ''who'', ''k'', occurred_at => ''at'')', 'SELECT track(''wrong'', ''who'', ''k'', occurred_at => ''t'', value => ''amount'')', 'SELECT track(''wrong'', ''who'', ''k'', occurred_at => ''t'', properties => ''{j}'')',
	'SELECT untrack(''calls'')', 'SELECT untrack(NULL)', 'CREATE TRIGGER t AFTER INSERT ON calls FOR EACH ROW EXECUTE FUNCTION record(); INSERT INTO calls VALUES (''a'')']);
SELECT source FROM source;
SELECT tgname FROM pg_trigger WHERE tgrelid IN ('calls'::regclass, 'wrong'::regclass);

-- what an array of a domain holds is looked at, too: a cast of a shop's would be called for each row
CREATE TYPE shade AS ENUM ('red');
CREATE TYPE paint AS (shade shade);
CREATE DOMAIN paints AS paint[];
CREATE DOMAIN shades AS shade[];
CREATE TABLE boxes (who text, t timestamptz, a paints, b paints[], c shades[]);
SELECT * FROM refused(ARRAY['SELECT track(''boxes'', ''who'', ''k'', occurred_at => ''t'', properties => ''{a}'')', 'SELECT track(''boxes'', ''who'', ''k'', occurred_at => ''t'', properties => ''{b}'')']);
SELECT track('boxes', 'who', 'k', occurred_at => 't', properties => '{c}');
