# Random and mutated input, as text, as bytes and as documents: it is refused or it is taken, and what is taken
# goes out and in again the same. The server never crashes.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{SEED} || 20261121;
note "SEED=$seed";

my $node = PostgreSQL::Test::Cluster->new('hostile');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nmax_locks_per_transaction = 512");
$node->start;

$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION leadscore;
CREATE TABLE valid (n int GENERATED ALWAYS AS IDENTITY, t leadscore.timeline);
INSERT INTO valid (t)
SELECT '{}'::leadscore.timeline UNION ALL SELECT '{1: 2026-11-21T13Z 2 49.9, 2026-11-21T15Z 1; 4: 2026-11-22T00Z 1}'
UNION ALL SELECT '{0: 1970-01-01T00Z 9223372036854775807 -9223372036854.775808; 2147483647: 9999-12-31T23Z -9223372036854775808}'
UNION ALL SELECT (SELECT leadscore.timeline_agg('{"signals": [{"signal_id": 1, "kind": "a"}, {"signal_id": 3}]}', CASE i % 3 WHEN 0 THEN 'a' ELSE 'b' END,
	'2026-01-01'::timestamptz + (i * i * n) * interval '1 hour', CASE i % 4 WHEN 0 THEN i * 1.1 END, NULL) FROM generate_series(1, n) i) FROM generate_series(1, 28, 2) n;

CREATE FUNCTION random_bytes(length int) RETURNS bytea LANGUAGE sql AS
	$$SELECT coalesce(string_agg(decode(lpad(to_hex(floor(random() * 256)::int), 2, '0'), 'hex'), ''), '') FROM generate_series(1, length)$$;

-- one of: change, insert or remove a byte; cut short; random bytes altogether; a head of valid ones with a random tail
CREATE FUNCTION mutate(valid bytea, as_text boolean) RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE
	at int := floor(random() * octet_length(valid));
	byte bytea := set_byte('\x00', 0, CASE WHEN as_text THEN 1 + floor(random() * 127)::int ELSE floor(random() * 256)::int END);
BEGIN
	RETURN CASE floor(random() * 6)
		WHEN 0 THEN substring(valid FROM 1 FOR at)
		WHEN 1 THEN substring(valid FROM 1 FOR at) || byte || substring(valid FROM at + 1)
		WHEN 2 THEN substring(valid FROM 1 FOR at) || substring(valid FROM at + 2)
		WHEN 3 THEN substring(valid FROM 1 FOR at) || byte || byte || byte
		WHEN 4 THEN substring(valid FROM 1 FOR at) || substring(valid FROM 1 + floor(random() * octet_length(valid))::int)
		ELSE substring(valid FROM 1 FOR at) || byte || substring(valid FROM at + 2) END;
END
$$;
SQL

# ---------------------------------------------------------------- text

my $text = $node->safe_psql('postgres', <<'SQL' =~ s/:seed/$seed/r);
SELECT setseed(:seed / 2147483648.0);
DO $$
DECLARE
	input text;
	taken leadscore.timeline;
	accepted int := 0;
	refused int := 0;
	letters constant text := '{}:;, -.0123456789TZ2026-01-01T00Z';
BEGIN
	FOR i IN 1 .. 3000 LOOP
		IF i % 3 = 0 THEN
			SELECT '{1: ' || string_agg(substr(letters, 1 + floor(random() * length(letters))::int, 1), '') INTO input FROM generate_series(1, floor(random() * 40)::int);
		ELSE
			SELECT convert_from(mutate(convert_to(t::text, 'UTF8'), true), 'UTF8') INTO input FROM valid WHERE n = 1 + i % 17;
		END IF;
		BEGIN
			taken := input::leadscore.timeline;
			accepted := accepted + 1;
			IF taken::text::leadscore.timeline OPERATOR(leadscore.<>) taken THEN
				RAISE EXCEPTION 'does not come back: %', input;
			END IF;
		EXCEPTION WHEN invalid_text_representation OR numeric_value_out_of_range THEN
			refused := refused + 1;
		END;
	END LOOP;
	CREATE TABLE text_result AS SELECT accepted, refused;
END
$$;
SELECT accepted > 50, refused > 1000, accepted, refused FROM text_result;
SQL
$text =~ s/^\s+//;
like($text, qr/^t\|t\|/, "text: accepted and refused, $text");

# ---------------------------------------------------------------- bytes, by COPY BINARY

my $file = $node->data_dir . '/hostile.bin';
my $bytes = $node->safe_psql('postgres', <<'SQL' =~ s/:seed/$seed/r =~ s/:file/$file/gr);
SELECT setseed(:seed / 2147483648.0);
CREATE TABLE taken (t leadscore.timeline);
DO $$
DECLARE
	input bytea;
	accepted int := 0;
	refused int := 0;
	large oid;
BEGIN
	FOR i IN 1 .. 1600 LOOP
		SELECT CASE i % 4 WHEN 0 THEN '\x01'::bytea || random_bytes(floor(random() * 20)::int) ELSE mutate(leadscore_internal.timeline_send(t), false) END INTO input
		FROM valid WHERE n = 1 + i % 17;
		large := lo_from_bytea(0, '\x5047434f50590aff0d0a00'::bytea || int4send(0) || int4send(0)
			|| int2send(1::int2) || int4send(octet_length(input)) || input || int2send((-1)::int2));
		PERFORM lo_export(large, ':file');
		PERFORM lo_unlink(large);
		BEGIN
			EXECUTE 'COPY taken FROM '':file'' (FORMAT binary)';
			accepted := accepted + 1;
			-- the bytes were canonical: they are what goes out, and text and arithmetic agree with them
			IF (SELECT leadscore_internal.timeline_send(t) <> input OR t::text::leadscore.timeline OPERATOR(leadscore.<>) t
					OR (SELECT count(*) FROM leadscore.timeline_entries(t)) <> (SELECT count(*) FROM leadscore.timeline_entries(t::text::leadscore.timeline))
				FROM taken) THEN
				RAISE EXCEPTION 'does not come back: %', input;
			END IF;
			DELETE FROM taken;
		EXCEPTION WHEN invalid_binary_representation THEN
			refused := refused + 1;
		END;
	END LOOP;
	CREATE TABLE bytes_result AS SELECT accepted, refused;
END
$$;
SELECT accepted > 50, refused > 800, accepted, refused FROM bytes_result;
SQL
$bytes =~ s/^\s+//;
like($bytes, qr/^t\|t\|/, "bytes: accepted and refused, $bytes");

# every prefix of valid bytes is refused, or is itself valid
my $prefixes = $node->safe_psql('postgres', <<'SQL' =~ s/:file/$file/gr);
DO $$
DECLARE
	v record;
	large oid;
BEGIN
	FOR v IN SELECT substring(leadscore_internal.timeline_send(t) FROM 1 FOR l) AS input, t FROM valid, generate_series(0, octet_length(leadscore_internal.timeline_send(t)) - 1) l LOOP
		large := lo_from_bytea(0, '\x5047434f50590aff0d0a00'::bytea || int4send(0) || int4send(0)
			|| int2send(1::int2) || int4send(octet_length(v.input)) || v.input || int2send((-1)::int2));
		PERFORM lo_export(large, ':file');
		PERFORM lo_unlink(large);
		BEGIN
			EXECUTE 'COPY taken FROM '':file'' (FORMAT binary)';
		EXCEPTION WHEN invalid_binary_representation THEN NULL;
		END;
	END LOOP;
END
$$;
SELECT count(*) > 0 AND bool_and(t::text::leadscore.timeline OPERATOR(leadscore.=) t) FROM taken
SQL
is($prefixes, 't', 'prefixes of valid bytes');

# ---------------------------------------------------------------- documents

# Every member of every template, replaced by something else: publish() takes the document or says what is wrong
# with SQLSTATE 22023 (23514 where only the tables can know); what it has taken can be read, scored and published again.
my $documents = $node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION paths(document jsonb, at text[] DEFAULT '{}') RETURNS SETOF text[] LANGUAGE plpgsql AS $$
BEGIN
	RETURN NEXT at;
	IF jsonb_typeof(document) = 'object' THEN
		RETURN QUERY SELECT p FROM jsonb_each(document) e, paths(e.value, at || e.key) p;
	ELSIF jsonb_typeof(document) = 'array' THEN
		RETURN QUERY SELECT p FROM jsonb_array_elements(document) WITH ORDINALITY e (value, n), paths(e.value, at || (n - 1)::text) p;
	END IF;
END
$$;
DO $$
DECLARE
	d record;
	state text;
	accepted int := 0;
	refused int := 0;
BEGIN
	FOR d IN
		SELECT row_number() OVER () AS n, jsonb_set(t.card, p, r.value) AS card
		FROM (SELECT leadscore.template(x) AS card FROM unnest('{ecommerce,funnel,fit_and_engagement}'::text[]) x) t, paths(t.card) p,
			jsonb_array_elements('[null, true, "x", "", "3 days", "-1 day", -1, 0, 1.5, 1e300, 1e400, {}, [], [null], {"x": 1}]') r
		WHERE cardinality(p) > 0
	LOOP
		CONTINUE WHEN d.n % 7 <> 0;
		BEGIN
			PERFORM leadscore.publish(d.card);
			PERFORM leadscore.score(leadscore.scorecard(d.card ->> 'model'), '{1: 2026-01-01T00Z 1 5}', '{"age": 30}', '2026-02-01');
			PERFORM leadscore.publish(leadscore.scorecard(d.card ->> 'model'));
			accepted := accepted + 1;
			RAISE EXCEPTION USING ERRCODE = 'LS000';
		EXCEPTION WHEN invalid_parameter_value OR check_violation THEN
			refused := refused + 1;
		WHEN SQLSTATE 'LS000' THEN NULL;
		END;
	END LOOP;
	CREATE TABLE documents_result AS SELECT accepted, refused, (SELECT count(*) FROM leadscore.model) AS left_behind;
END
$$;
SELECT accepted > 100, refused > 1000, left_behind = 0, accepted, refused FROM documents_result;
SQL
like($documents, qr/^t\|t\|t\|/, "documents: accepted and refused, $documents");

is($node->safe_psql('postgres', 'SELECT count(*) FROM leadscore.verify()'), '0', 'the server is well');
unlike(slurp_file($node->logfile), qr/was terminated by signal|server process .* exited/, 'no server process has crashed');

$node->stop;
done_testing();
