# Nobody gets the rights of the extension's owner: not by a schema that was his before, not by functions and operators
# in our schema that match our calls better than ours do, and not by code of his in the tables that we read.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use PostgreSQL::Test::Utils;
use Test::More;
use Workload;

my $node = new_node('main');
$node->start;
$node->safe_psql('postgres', q{CREATE ROLE owner; CREATE ROLE attacker; CREATE ROLE writer; CREATE ROLE shop; CREATE ROLE dba SUPERUSER});

# ---------- the schema that we are installed into ----------

sub install
{
	my ($before) = @_;

	$node->safe_psql('postgres', 'DROP DATABASE IF EXISTS shop');
	$node->safe_psql('postgres', 'CREATE DATABASE shop');
	$node->safe_psql('shop', $before) if $before;
	my ($status, $out, $error) = $node->psql('shop', 'CREATE EXTENSION leadscore');
	$node->psql('shop', 'SELECT leadscore.publish(leadscore.template(\'ecommerce\'))') if $status == 0;
	return $status == 0 ? 'installed' : $error =~ s/^psql:<stdin>:\d+: ERROR:  |\nCONTEXT:.*//sgr;
}

sub refused { my ($before, $expected, $name) = @_; return like(install($before), $expected, "refused: $name"); }

refused('CREATE SCHEMA leadscore AUTHORIZATION owner', qr/^schema leadscore belongs to role "owner"\nDETAIL:.*\nHINT:  ALTER SCHEMA leadscore OWNER TO CURRENT_USER/, 'a schema of somebody else');
refused(q{CREATE SCHEMA leadscore AUTHORIZATION owner; SET ROLE owner; CREATE FUNCTION leadscore.follow_drop(oid) RETURNS void LANGUAGE sql AS 'ALTER ROLE owner SUPERUSER'},
	qr/^schema leadscore belongs to role "owner"/, '... with a function in it that matches a call of ours');
refused('CREATE SCHEMA leadscore AUTHORIZATION pg_database_owner', qr/^schema leadscore belongs to role "pg_database_owner"/, 'a schema of the owner of the database')
  if $node->safe_psql('postgres', 'SHOW server_version_num') >= 140000;
refused('CREATE SCHEMA leadscore; GRANT CREATE ON SCHEMA leadscore TO PUBLIC', qr/^others may create objects in schema leadscore\nDETAIL:.*PUBLIC.*\nHINT:.*REVOKE CREATE ON SCHEMA leadscore FROM PUBLIC/, 'a schema in which everybody may create objects');
refused('CREATE SCHEMA leadscore; GRANT CREATE ON SCHEMA leadscore TO attacker, dba', qr/^others may create objects in schema leadscore\nDETAIL:  The privilege CREATE is granted to attacker,/, '... or one role');
refused('ALTER DEFAULT PRIVILEGES GRANT CREATE ON SCHEMAS TO attacker', qr/^others may create objects in schema leadscore/, '... or by default privileges of the installer');
refused("CREATE SCHEMA leadscore AUTHORIZATION owner; SET ROLE owner; $_; RESET ROLE; ALTER SCHEMA leadscore OWNER TO postgres", qr/^schema leadscore is not empty\nDETAIL:  It has: .*\nHINT:  Move these objects/, $_)
  for ('CREATE FUNCTION leadscore.follow_drop(oid) RETURNS void LANGUAGE sql AS \'\'', 'CREATE PROCEDURE leadscore.look(name) LANGUAGE sql AS \'\'', 'CREATE AGGREGATE leadscore.stored_sum(text) (SFUNC = pg_catalog.textcat, STYPE = text)',
	'CREATE TABLE leadscore.lead_timeline_0 (lead_id text)', 'CREATE VIEW leadscore.anything AS SELECT 1', 'CREATE SEQUENCE leadscore.s', 'CREATE TYPE leadscore.mood AS ENUM ()', 'CREATE DOMAIN leadscore.text AS pg_catalog.text',
	'CREATE OPERATOR leadscore.= (LEFTARG = text, RIGHTARG = text, FUNCTION = pg_catalog.texteq)');
refused('CREATE SCHEMA leadscore_internal AUTHORIZATION owner', qr/^schema "leadscore_internal" already exists/, 'a schema of the other name');
refused('CREATE SCHEMA leadscore; ALTER DEFAULT PRIVILEGES GRANT CREATE ON SCHEMAS TO attacker', qr/^others may create objects in schema leadscore_internal\nDETAIL:.*attacker/, '... which default privileges open');
refused('CREATE SCHEMA leadscore; ALTER DEFAULT PRIVILEGES IN SCHEMA leadscore GRANT ALL ON TABLES TO attacker', qr/^schema leadscore is not empty\nDETAIL:  It has: default privileges/, 'default privileges');

is(install('CREATE SCHEMA leadscore; GRANT USAGE ON SCHEMA leadscore TO PUBLIC; GRANT CREATE ON SCHEMA leadscore TO dba'), 'installed', 'an empty schema of ours will do, as a restore makes it');
is(install('CREATE SCHEMA leadscore AUTHORIZATION dba'), 'installed', '... and one of another superuser');

# ---------- overloads of every function of ours ----------

# One argument at a time is of another type, or the elements of a variadic one come singly. Whoever's function is called
# that way is written to the server's log.
is(install(''), 'installed', 'a schema that the extension makes');
my $make_overloads = q{
	-- (no name of more than a word, which some versions do not take for the type of an argument without a name)
	CREATE FUNCTION public.type_name(type oid) RETURNS text LANGUAGE sql AS 'SELECT format(''%I.%I'', n.nspname, t.typname) FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.oid = type';
	CREATE FUNCTION public.make_overloads() RETURNS bigint LANGUAGE plpgsql AS $make$
	DECLARE
		types CONSTANT oid[] := ARRAY(SELECT t::regtype::oid FROM unnest(string_to_array(
			'text varchar bpchar name oid regclass regtype regrole regprocedure int2 int4 int8 numeric float4 float8 bool date timestamp timestamptz interval time json jsonb jsonpath bytea uuid tid'
			' anyelement anynonarray anyarray anycompatible anycompatiblearray'
			' text[] varchar[] name[] int2[] int4[] int8[] float8[] numeric[] oid[] regclass[] bool[] jsonb[] timestamptz[] interval[] leadscore.timeline leadscore.timeline[]', ' ')) t);
		f record;
		overload oid[];
		signature text;
		made bigint := 0;
	BEGIN
		FOR f IN
			SELECT p.proname AS name, p.pronamespace::regnamespace AS schema, p.prokind AS kind, p.proargtypes::oid[] AS types, p.pronargs AS n, p.provariadic AS variadic, p.proargnames AS names, o.args AS out_args,
				CASE WHEN p.proretset AND o.args IS NOT NULL THEN 'RETURNS TABLE (' || o.args || ')' WHEN o.args IS NULL AND p.prokind <> 'p'
					THEN 'RETURNS ' || CASE WHEN p.proretset THEN 'SETOF ' ELSE '' END || public.type_name(p.prorettype) END AS result, p.proretset AS set
			FROM pg_proc p
			JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
			CROSS JOIN LATERAL (SELECT string_agg(format('%s %I %s', CASE WHEN NOT p.proretset THEN 'OUT' END, a.name, public.type_name(a.type)), ', ' ORDER BY a.i) AS args
				FROM ROWS FROM (unnest(p.proallargtypes), unnest(p.proargmodes), unnest(p.proargnames)) WITH ORDINALITY AS a (type, mode, name, i) WHERE a.mode IN ('o', 't')) o
			WHERE p.pronamespace IN ('leadscore'::regnamespace, 'leadscore_internal'::regnamespace) AND NOT p.proargtypes::oid[] && ARRAY['internal', 'cstring']::regtype[]::oid[]
			AND p.prorettype <> ALL (ARRAY['trigger', 'event_trigger', 'internal', 'cstring']::regtype[])
		LOOP
			FOR overload IN
				SELECT ARRAY(SELECT CASE i WHEN place THEN t ELSE f.types[i - 1] END FROM generate_series(1, f.n) i ORDER BY i)	-- (proargtypes counts from 0)
				FROM generate_series(1, f.n) place, unnest(types) t
				UNION
				SELECT array_fill(f.variadic, ARRAY[n]) FROM generate_series(1, 3) n WHERE f.variadic <> 0 AND f.n = 1
			LOOP
				CONTINUE WHEN EXISTS (SELECT FROM pg_proc p WHERE p.pronamespace IN ('leadscore'::regnamespace, 'leadscore_internal'::regnamespace) AND p.proname = f.name AND p.proargtypes::text = array_to_string(overload, ' '));
				signature := (SELECT string_agg(format('%s %s', CASE WHEN i <= f.n AND f.names[i] <> '' THEN quote_ident(f.names[i]) END, public.type_name(t)), ', ' ORDER BY i)
					FROM unnest(overload) WITH ORDINALITY AS a (t, i));
				EXECUTE format('CREATE %s %s.%I(%s) %s LANGUAGE plpgsql AS %L', CASE f.kind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END,
					f.schema, f.name, concat_ws(', ', signature, CASE WHEN NOT f.set THEN f.out_args END), f.result,
					format('BEGIN RAISE LOG $$hostile function %s(%s)$$; RAISE EXCEPTION $$hostile$$; END', f.name, signature));
				made := made + 1;
			END LOOP;
		END LOOP;
		RETURN made;
	END
	$make$;
	-- and operators of timelines with anything else
	CREATE FUNCTION public.make_operators() RETURNS void LANGUAGE plpgsql AS $make$
	DECLARE
		o text;
		t text;
	BEGIN
		FOREACH t IN ARRAY ARRAY['text', 'anyelement', 'anycompatible', 'record', 'jsonb'] LOOP
			EXECUTE format('CREATE FUNCTION leadscore.hostile_operator(a leadscore.timeline, b %1$s) RETURNS boolean LANGUAGE plpgsql AS %2$L', t, 'BEGIN RAISE LOG $$hostile operator$$; RETURN NULL; END');
			EXECUTE format('CREATE FUNCTION leadscore.hostile_operator(a %1$s, b leadscore.timeline) RETURNS boolean LANGUAGE plpgsql AS %2$L', t, 'BEGIN RAISE LOG $$hostile operator$$; RETURN NULL; END');
			FOREACH o IN ARRAY ARRAY['=', '<>', '+', '-'] LOOP
				EXECUTE format('CREATE OPERATOR leadscore.%s (LEFTARG = leadscore.timeline, RIGHTARG = %s, FUNCTION = leadscore.hostile_operator)', o, t);
				EXECUTE format('CREATE OPERATOR leadscore.%s (LEFTARG = %s, RIGHTARG = leadscore.timeline, FUNCTION = leadscore.hostile_operator)', o, t);
			END LOOP;
		END LOOP;
	END
	$make$};
$node->safe_psql('shop', qq{
	$make_overloads;
	CREATE SCHEMA shop AUTHORIZATION shop;
	SELECT leadscore.grant_writer('writer'), leadscore.grant_identifier('writer');
	GRANT CREATE ON SCHEMA leadscore, leadscore_internal TO attacker;
	SET ROLE shop;
	CREATE TABLE shop.orders (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, lead text, placed timestamptz, total numeric, colour text);
	CREATE TABLE shop.visits (lead text, happened timestamptz, kind text) PARTITION BY RANGE (happened);
	CREATE TABLE shop.visits_1 PARTITION OF shop.visits FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
	CREATE TABLE shop.customer (lead text PRIMARY KEY, country text)});
cmp_ok($node->safe_psql('shop', 'SET ROLE attacker; SELECT public.make_overloads()'), '>', 10000, 'functions are made that match any inexact call');
$node->safe_psql('shop', 'SET ROLE attacker; SELECT public.make_operators()');

# What is in the log since the last call.
my $seen = -s $node->logfile;
sub logged
{
	my ($pattern) = @_;
	my $log = slurp_file($node->logfile, $seen);

	$seen = -s $node->logfile;
	return join "\n", sort keys %{ { map { $_ => 1 } $log =~ /$pattern/g } };
}

# The attacker's functions do get called where a call is not exact: this test can see it.
$node->psql('shop', q{SELECT leadscore_internal.known('things'::text, '{a,b}'::name[])});
is(logged(qr/hostile function.*/), 'hostile function known(things pg_catalog.text, names pg_catalog._name)', 'a call that is not exact is seen');

# Not only what is executed below: no statement of a function of ours would call one of them.
my $ours = q{(SELECT d.objid FROM pg_depend d JOIN pg_extension x ON x.oid = d.refobjid AND x.extname = 'leadscore' WHERE d.classid = 'pg_proc'::regclass AND d.deptype = 'e')};
my ($status, $out, $error) = $node->psql('shop', qq{
	CREATE SCHEMA copy;
	DO \$do\$
	DECLARE
		f record;
	BEGIN
		SET LOCAL search_path = pg_catalog, pg_temp;
		FOR f IN SELECT p.oid, p.proname FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang WHERE p.oid IN $ours AND l.lanname = 'sql' AND p.prosqlbody IS NULL LOOP
			-- the server notes what a body that is parsed when it is made depends on (but takes no LOCK there)
			EXECUTE regexp_replace(regexp_replace(regexp_replace(regexp_replace(pg_get_functiondef(f.oid), 'FUNCTION leadscore(_internal)?[.]', 'FUNCTION copy.'),
				'\\sAS \\\$function\\\$', ' BEGIN ATOMIC '), ';?\\s*\\\$function\\\$\\s*\$', E'\\n; END'), 'LOCK TABLE [^;]*;', '', 'g');
		END LOOP;
	END
	\$do\$;
	SELECT count(*) FROM pg_proc WHERE pronamespace = 'copy'::regnamespace});
is($error, '', 'every function in SQL can be looked at');
cmp_ok($out || 0, '>', 30, '... and there are some');
is($node->safe_psql('shop', qq{
	SELECT p.proname, d.refobjid::regprocedure FROM pg_proc p
	JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.refclassid = 'pg_proc'::regclass
	JOIN pg_proc c ON c.oid = d.refobjid AND c.pronamespace IN ('leadscore'::regnamespace, 'leadscore_internal'::regnamespace)
	WHERE p.pronamespace = 'copy'::regnamespace AND c.oid NOT IN $ours ORDER BY 1, 2}), '', 'no function in SQL would call one of the attacker\'s');
$node->safe_psql('shop', 'SET client_min_messages = error; DROP SCHEMA IF EXISTS copy CASCADE');
SKIP:
{
	skip 'plpgsql_check is not installed', 1 if !$node->safe_psql('shop', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'plpgsql_check'});

	is($node->safe_psql('shop', qq{
		CREATE EXTENSION plpgsql_check;
		WITH f AS MATERIALIZED (
			SELECT p.oid, p.proname, coalesce((SELECT t.tgrelid FROM pg_trigger t WHERE t.tgfoid = p.oid ORDER BY 1 LIMIT 1), 0)::regclass AS source
			FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang WHERE p.oid IN $ours AND l.lanname = 'plpgsql'
		)
		SELECT f.proname, d.name || d.params FROM f CROSS JOIN LATERAL plpgsql_show_dependency_tb(f.oid, f.source) d
		WHERE d.schema = 'leadscore' AND d.type IN ('FUNCTION', 'PROCEDURE') AND d.oid NOT IN $ours ORDER BY 1, 2}), '', 'no function in PL/pgSQL would call one of the attacker\'s');
	$node->safe_psql('shop', 'DROP EXTENSION plpgsql_check');
}

# As much of the product as there is, called exactly.
my $card = q{leadscore.scorecard('ecommerce'::text)};
my $learn = qq{($card || '{"intercept": 0, "slope": 1}'), 'purchase'::text, '5 days'::interval, ARRAY['2026-01-10', '2026-01-15']::timestamptz[]};
my @product = (
	q{SELECT leadscore.publish(leadscore.template(t.template)) FROM leadscore.templates() t},
	q{SELECT leadscore.track('shop.orders'::regclass, 'lead'::text, 'purchase'::text, NULL::text, 'placed'::text, 'total + 0'::text, '{colour}'::text[], 'immediate'::text, NULL::text, true)},
	q{SELECT leadscore.track('shop.visits'::regclass, 'lead'::text, NULL::text, 'kind'::text, 'happened'::text, NULL::text, NULL::text[], 'deferred'::text, NULL::text, true)},
	q{SELECT leadscore.track_profile('shop.customer'::regclass, 'lead'::text, '{country}'::text[], 'lead IS NOT NULL'::text, NULL::text)},
	q{CALL leadscore.watch('ecommerce'::text, true)},
	q{INSERT INTO leadscore.derivation (behaviour, kinds) VALUES ('visit', NULL), ('dwell', '{product_view}')},
	q{INSERT INTO leadscore.rfm_group SELECT * FROM leadscore.rfm_groups()}, q{UPDATE leadscore.rfm_group SET position = position + 1000 WHERE false},
	q{INSERT INTO leadscore.offer (offer, model, segment, discount, valid_for, budget, holdout_share) SELECT 'o', model, segment, 1, '100 years', 50, 0.2 FROM leadscore.segment WHERE model = 'ecommerce' AND position = 1},
	q{UPDATE leadscore.offer SET budget = 40}, q{INSERT INTO leadscore.experiment VALUES ('e', 'ecommerce', 'funnel', 0.5, '2026-01-01')},
	q{INSERT INTO leadscore.channel SELECT 'c', signal FROM leadscore.signal WHERE subject = 'event' LIMIT 1}, q{INSERT INTO leadscore.spend VALUES ('c', '2026-01-01', 1)},
	q{INSERT INTO shop.orders (lead, placed, total, colour) SELECT 'l' || i % 120, '2026-01-01'::timestamptz + (i * interval '97 minutes'), i, 'blue' FROM generate_series(1, 400) i},
	q{INSERT INTO shop.visits SELECT 'l' || i % 150, '2026-01-01'::timestamptz + (i * interval '41 minutes'), CASE i % 3 WHEN 0 THEN 'product_view' WHEN 1 THEN 'visit' ELSE 'add_to_cart' END FROM generate_series(1, 900) i},
	q{UPDATE shop.orders SET total = total + 1}, q{DELETE FROM shop.orders WHERE id % 50 = 0}, q{INSERT INTO shop.customer SELECT 'l' || i, CASE i % 2 WHEN 0 THEN 'DE' ELSE 'FR' END FROM generate_series(1, 100) i},
	q{UPDATE shop.customer SET country = 'ES' WHERE lead = 'l1'}, q{DELETE FROM shop.customer WHERE lead = 'l1'},
	q{INSERT INTO leadscore.event (lead_id, kind, occurred_at, value) SELECT 'hot', 'purchase', now() - interval '1 hour', 100 FROM generate_series(1, 20)},
	q{INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('anonymous', 'visit', '2026-01-05')}, q{UPDATE leadscore.event SET value = 5 WHERE lead_id = 'anonymous'}, q{DELETE FROM leadscore.event WHERE lead_id = 'nobody'},
	q{SELECT leadscore.identify('anonymous'::text, 'hot'::text)}, q{SELECT leadscore.unidentify('anonymous'::text)}, q{SELECT leadscore.identify('anonymous'::text, 'hot'::text)},
	q{SELECT leadscore.redeem(v.code, v.lead_id, 'order'::text, 50::numeric) FROM leadscore.voucher v WHERE v.code IS NOT NULL LIMIT 1}, q{SELECT leadscore.expire_vouchers()}, q{SELECT leadscore.offer_result('o'::text, 'purchase'::text)},
	q{INSERT INTO leadscore.signal (signal, kind) VALUES ('new', 'visit')}, q{CALL leadscore.rebuild(NULL::text[], ARRAY['new'])}, q{CALL leadscore.rebuild(NULL::text[], NULL::text[])}, q{CALL leadscore.rebuild(ARRAY['hot'], NULL::text[])}, q{SELECT * FROM leadscore.verify()},
	q{SELECT leadscore.fold(NULL::bigint)}, q{SELECT * FROM leadscore.derive(NULL::timestamptz, true)}, q{SELECT * FROM leadscore.derive(NULL::timestamptz, false)},
	q{SELECT leadscore.refresh_segments(false)}, q{SELECT leadscore.refresh_segments(true)}, q{CALL leadscore.see_changes()}, q{SELECT leadscore.refresh_crm()}, q{SELECT leadscore.crm_forget(0::bigint)},
	q{SELECT * FROM leadscore.take_changes('crm'::text, 5)}, q{SELECT leadscore.acknowledge_changes('crm'::text, max(c.change_id)) FROM leadscore.take_changes('crm'::text, 5) c}, q{SELECT leadscore.prune_changes(now())}, q{SELECT leadscore.drop_consumer('crm'::text)},
	q{SELECT leadscore.score('hot'::text, 'ecommerce'::text, now()), leadscore.score('hot'::text, 'e'::text, now())}, q{SELECT * FROM leadscore.explain('hot'::text, 'ecommerce'::text, now())},
	q{SELECT * FROM leadscore.score_history('hot'::text, 'ecommerce'::text, now() - interval '2 days', now(), interval '1 day')}, q{SELECT * FROM leadscore.top(5, 'ecommerce'::text, now())}, q{SELECT * FROM leadscore.top(5, 'e'::text, now())},
	q{SELECT * FROM leadscore.rfm(ARRAY['purchase'], now(), 5)}, q{SELECT * FROM leadscore.affinity('colour'::text, now(), interval '30 days', ARRAY['purchase'], 1::float8)}, q{SELECT * FROM leadscore.make_signals('colour'::text, 'purchase'::text, 1)},
	qq{SELECT leadscore.preview($card, 'ecommerce'::text, now())}, qq{SELECT * FROM leadscore.diff($card, '{}'::jsonb)}, q{SELECT leadscore.restore_version('ecommerce'::text, 1)}, q{SELECT leadscore.arm('e'::text, 'hot'::text)}, q{SELECT leadscore.experiment_result('e'::text, 'purchase'::text, 0.05::float8, now())},
	q{SELECT * FROM leadscore.stability_report('ecommerce'::text, '2026-01-10'::timestamptz, '2026-01-20'::timestamptz, NULL::interval)}, q{SELECT * FROM leadscore.profile_report('purchase'::text, '5 days'::interval, ARRAY['2026-01-10']::timestamptz[], '90 days'::interval, 10)},
	(map { "SELECT leadscore.$_($learn, NULL::interval)" } qw(training_set evaluate lift_table calibration_table)),
	qq{SELECT leadscore.signal_report($learn, 1::float8, NULL::interval)}, map({ qq{SELECT leadscore.fit($learn, $_)} }
		q{1::float8, 20::float8, true, 1::float8, '90 days'::interval, true, 'learn'::text, true}, q{1::float8, 20::float8, false, NULL::float8, '90 days'::interval, false, 'keep'::text, true}),
	q{SELECT leadscore.schedule('1 minute'::interval)}, q{SELECT leadscore.unschedule()}, q{SELECT leadscore.partition_timelines(4)}, q{INSERT INTO shop.orders (lead, placed, total) VALUES ('l1', '2026-01-30', 1), ('l2', '2026-01-30', 1)},
	q{SELECT leadscore.identify('l7'::text, 'l8'::text)}, q{SELECT leadscore.partition_timelines(1)}, q{CALL leadscore.compact('2026-01-05'::timestamptz)},
	q{SELECT leadscore.partition_events('1 day'::interval, '2 days'::interval)}, 'CALL leadscore.rebuild()', q{CALL leadscore.move_events('2026-01-20'::timestamptz)},
	(map { "SELECT count(*) FROM leadscore.$_" } qw(lead_score segment_summary status monthly_figure sales_cycle funnel attribution crm_lead source current_timeline)), q{SELECT * FROM leadscore.crm_changes(0::bigint, NULL::integer)},
	q{CREATE TABLE shop.visits_2 PARTITION OF shop.visits FOR VALUES FROM ('2026-02-01') TO ('2026-03-01')}, q{ALTER TABLE shop.visits DETACH PARTITION shop.visits_2}, q{DROP TABLE shop.visits_2}, q{TRUNCATE shop.visits_1}, q{DROP TABLE shop.visits}, q{TRUNCATE shop.customer},
	q{UPDATE leadscore.model SET model = 'renamed' WHERE model = 'ecommerce'}, q{SELECT leadscore.unwatch('renamed'::text)}, q{DELETE FROM leadscore.experiment}, q{DELETE FROM leadscore.model WHERE model = 'funnel'},
	q{SELECT * FROM leadscore.forget('hot'::text, true)}, q{SELECT leadscore.untrack('shop.customer'::regclass, NULL::text)}, q{DELETE FROM leadscore.derivation}, q{TRUNCATE shop.orders}, q{DROP SCHEMA shop CASCADE});
for my $command (@product)
{
	my ($status, $out, $error) = $node->psql('shop', "SET client_min_messages = error; $command");

	is($error, '', "works: $command");
}
is(logged(qr/hostile (?:function|operator).*/), '', 'no function and no operator of the attacker\'s was called');

# ---------- code of the shop's in the tables that we read ----------

# Tables of the shop's are read with its rights. What it does then to the settings of the session ends with that, too:
# the rest of a function of ours must not look for operators in its search_path.
is(install(q{
	CREATE SCHEMA shop AUTHORIZATION shop;
	SET ROLE shop;
	CREATE FUNCTION shop.code(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
	BEGIN
		RAISE LOG 'code of the shop, as %', current_user;
		IF current_query() ~ 'leadscore' THEN
			PERFORM set_config('search_path', 'shop, pg_catalog', false);
		END IF;
		RETURN n;
	END $$;
	CREATE FUNCTION shop.equal(text, text) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE LOG 'operator of the shop, as %', current_user; RETURN $1 OPERATOR(pg_catalog.=) $2; END $$;
	CREATE OPERATOR shop.= (LEFTARG = text, RIGHTARG = text, FUNCTION = shop.equal);
	CREATE FUNCTION shop.now() RETURNS timestamptz LANGUAGE plpgsql AS $$BEGIN RAISE LOG 'function of the shop, as %', current_user; RETURN pg_catalog.now(); END $$;
	CREATE FUNCTION shop.after() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM shop.code(3); RETURN NULL; END $$;
	CREATE DOMAIN shop.colour AS text CHECK (shop.code(4) = 4);
	CREATE TABLE shop.orders (id int GENERATED ALWAYS AS IDENTITY, lead text, placed date DEFAULT '2026-01-01', colour shop.colour, twice int GENERATED ALWAYS AS (shop.code(5)) STORED, CHECK (shop.code(6) = 6));
	CREATE TABLE shop.customer (lead text PRIMARY KEY, country text, CHECK (shop.code(1) = 1));
	CREATE TABLE shop.visits (lead text, happened date, CHECK (shop.code(7) = 7)) PARTITION BY RANGE ((happened + shop.code(0)));
	CREATE TABLE shop.visits_1 PARTITION OF shop.visits (CHECK (shop.code(8) = 8)) FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
	CREATE INDEX ON shop.orders ((shop.code(1))); CREATE INDEX ON shop.orders (lead); CREATE INDEX ON shop.orders (id) WHERE shop.code(2) = 2;
	CREATE INDEX ON shop.visits (lead, (shop.code(1))); CREATE INDEX ON shop.customer ((shop.code(1)), lead);
	CREATE STATISTICS shop.of_orders ON (shop.code(1) + id) FROM shop.orders;
	CREATE POLICY p ON shop.orders USING (shop.code(1) = 1); ALTER TABLE shop.orders ENABLE ROW LEVEL SECURITY;
	INSERT INTO shop.orders (lead, colour) SELECT 'l' || i, 'blue' FROM generate_series(1, 5) i; INSERT INTO shop.visits SELECT 'l' || i, '2026-01-05' FROM generate_series(1, 5) i; INSERT INTO shop.customer SELECT 'l' || i, 'DE' FROM generate_series(1, 5) i;
	RESET ROLE}), 'installed', 'a shop whose tables are full of functions of its own');
$node->safe_psql('shop', q{SELECT leadscore.grant_writer('writer'), leadscore.grant_identifier('writer')});
logged(qr/./);
for my $command (q{SELECT leadscore.track('shop.orders', 'lead', 'purchase', occurred_at => 'placed', properties => '{colour}')}, q{SELECT leadscore.track('shop.visits', 'lead', 'visit', occurred_at => 'happened')}, q{SELECT leadscore.track_profile('shop.customer', 'lead', '{country}')},
	q{INSERT INTO leadscore.derivation (behaviour, kinds) VALUES ('visit', NULL)}, q{SELECT leadscore.verify()}, q{CALL leadscore.rebuild()}, q{CALL leadscore.rebuild(ARRAY['l1'])}, q{SELECT * FROM leadscore.derive()}, q{CALL leadscore.watch('ecommerce')},
	q{SET SESSION AUTHORIZATION shop; INSERT INTO shop.orders (lead) VALUES ('l6'); UPDATE shop.orders SET lead = 'l7' WHERE lead = 'l6'; TRUNCATE shop.customer; CREATE TABLE shop.visits_2 PARTITION OF shop.visits FOR VALUES FROM ('2026-02-01') TO ('2026-03-01')},
	q{SET SESSION AUTHORIZATION writer; SELECT leadscore.identify('l1', 'known')}, q{SET SESSION AUTHORIZATION writer; SELECT leadscore.unidentify('l1')}, q{SELECT leadscore.identify('l2', 'known'); SELECT * FROM leadscore.forget('known')}, q{SELECT * FROM leadscore.derive()}, q{SELECT * FROM leadscore.affinity('colour')},
	q{SELECT leadscore.refresh_segments(), leadscore.refresh_crm(), leadscore.fold()}, q{INSERT INTO leadscore.signal (signal, kind) VALUES ('another', 'visit')}, q{CALL leadscore.compact('2026-01-03')},
	q{SELECT leadscore.untrack('shop.customer')}, q{SET SESSION AUTHORIZATION shop; TRUNCATE shop.orders; ALTER TABLE shop.visits DETACH PARTITION shop.visits_1; DROP TABLE shop.visits}, q{DROP SCHEMA shop CASCADE})
{
	my ($status, $out, $error) = $node->psql('shop', "SET client_min_messages = error; $command");

	is($error, '', "works: $command");
	is(join("\n", grep { !/^code of the shop, as shop$/ } split /\n/, logged(qr/(?:code|operator|function) of the shop, as \w+/)), '', '... and none of the shop\'s code runs with rights other than its own');
}

# ---------- a search_path of the caller's ----------

# Functions find what they name in pg_catalog, and what is ours by its schema. Those that commit, and so cannot SET anything, and those that must be fast name
# the schema of everything.
is(install(q{CREATE ROLE trapper; CREATE SCHEMA trap AUTHORIZATION trapper}), 'installed', 'a schema of traps');
is($node->safe_psql('shop', q{
	SELECT string_agg(p.proname, ' ' ORDER BY p.proname) FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
	WHERE p.pronamespace IN ('leadscore'::regnamespace, 'leadscore_internal'::regnamespace) AND l.lanname IN ('sql', 'plpgsql') AND p.prosqlbody IS NULL
	AND NOT coalesce(p.proconfig && '{"search_path=pg_catalog, pg_temp"}', false)}), 'add_corrections archive compact correct_parted in_restore is_visible look move_events rebuild refresh_queries score_by_query see_changes watch', 'these functions name all schemas');
is($node->safe_psql('shop', q{
	SELECT p.proname FROM pg_proc p WHERE p.pronamespace IN ('leadscore'::regnamespace, 'leadscore_internal'::regnamespace) AND p.prosecdef
	AND NOT coalesce(p.proconfig && '{"search_path=pg_catalog, pg_temp"}', false)}), '', '... and none of them runs as the owner');
$node->safe_psql('shop', q{
	SET ROLE trapper;
	DO $$
	DECLARE
		types CONSTANT regtype[] := '{boolean,integer,bigint,numeric,float8,text,name,oid,jsonb,timestamptz,interval,anyarray,anycompatible,anycompatiblearray}';
		o record;
	BEGIN
		FOR o IN SELECT DISTINCT r.oprname AS name, r.oprleft::regtype AS l, r.oprright::regtype AS r, r.oprresult::regtype AS result FROM pg_operator r
			WHERE r.oprnamespace = 'pg_catalog'::regnamespace AND r.oprname IN ('=', '<>', '<', '>', '<=', '>=', '+', '-', '*', '/', '||') AND r.oprleft = ANY (types) AND r.oprright = ANY (types)
		LOOP
			EXECUTE format('CREATE FUNCTION trap.%I(%s, %s) RETURNS %s LANGUAGE plpgsql AS %L', 'operator ' || o.name, o.l, o.r, o.result, 'BEGIN RAISE LOG $_$hostile operator ' || o.name || '$_$; RETURN NULL; END');
			EXECUTE format('CREATE OPERATOR trap.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = trap.%I)', o.name, o.l, o.r, 'operator ' || o.name);
		END LOOP;
		FOR o IN SELECT p.proname AS name, pg_get_function_identity_arguments(p.oid) AS args, format_type(p.prorettype, NULL) AS result FROM pg_proc p
			WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f' AND NOT p.proretset AND p.provariadic = 0 AND p.prorettype <> ALL ('{internal,trigger,cstring,record}'::regtype[])
			AND p.proname IN ('current_setting', 'clock_timestamp', 'now', 'pg_relation_size', 'pg_total_relation_size', 'cardinality', 'round', 'row_security_active', 'array_cat', 'floor')
		LOOP
			EXECUTE format('CREATE FUNCTION trap.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L', o.name, o.args, o.result, format('BEGIN RAISE LOG $_$hostile function %s$_$; RETURN NULL; END', o.name));
		END LOOP;
		FOREACH o.name IN ARRAY '{text,jsonb,timestamptz,name,oid,int8,float8}'::name[] LOOP
			EXECUTE format('CREATE FUNCTION trap.checked(pg_catalog.%1$I) RETURNS boolean LANGUAGE plpgsql AS %2$L', o.name, format('BEGIN RAISE LOG $_$hostile function of type %s$_$; RETURN true; END', o.name));
			EXECUTE format('CREATE DOMAIN trap.%1$I AS pg_catalog.%1$I CHECK (trap.checked(VALUE))', o.name);
		END LOOP;
	END
	$$});
my $trapped = 'SET client_min_messages = error; SET search_path = trap, pg_catalog, leadscore, public, pg_temp;';
logged(qr/./);
$node->psql('shop', "$trapped SELECT 1 = 1, current_setting('port'), 'x'::text");
is(logged(qr/hostile (?:function|operator).*/), "hostile function current_setting\nhostile function of type text\nhostile operator =", 'the traps work');
for my $command (q{INSERT INTO leadscore.event (lead_id, kind, occurred_at, value) SELECT 'lead', 'purchase', '2026-01-01 12:34', 10 FROM generate_series(1, 3)}, q{CALL leadscore.watch('ecommerce', true)}, q{INSERT INTO leadscore.lead (lead_id, profile) VALUES ('p', '{"country": "DE"}')},
	q{CREATE TABLE shop_orders (lead varchar, placed date, country varchar); INSERT INTO shop_orders VALUES ('lead', '2026-01-01', 'DE'); CREATE INDEX ON shop_orders (lead); SELECT leadscore.track('shop_orders', 'lead', 'purchase', occurred_at => 'placed', maintenance => 'deferred'); SELECT leadscore.track_profile('shop_orders', 'lead', '{country}', latest_by => 'placed')},
	q{INSERT INTO shop_orders VALUES ('lead', '2026-01-02', 'FR'); UPDATE shop_orders SET country = 'ES'}, q{DELETE FROM leadscore.event; INSERT INTO leadscore.event (lead_id, kind) VALUES ('lead', 'visit')}, q{CALL leadscore.rebuild()}, q{CALL leadscore.rebuild(ARRAY['lead'])}, q{CALL leadscore.compact('2026-01-02')},
	q{INSERT INTO leadscore.model (model) VALUES ('other')}, q{CALL leadscore.see_changes()}, q{SELECT leadscore.score('lead', 'ecommerce'), leadscore.score('nobody', 'ecommerce')}, q{SELECT leadscore.refresh_segments(), leadscore.refresh_crm(), leadscore.fold()}, q{SELECT leadscore.identify('a', 'lead'); SELECT leadscore.unidentify('a')},
	q{UPDATE leadscore.lead_timeline SET timeline = '{}' WHERE lead_id LIKE 'lead'; CALL leadscore.rebuild()}, q{SELECT leadscore.partition_timelines(2); INSERT INTO leadscore.event (lead_id, kind) VALUES ('lead 2', 'visit')}, q{DROP TABLE shop_orders},
	q{CREATE TABLE public.bill (id bigint, paid numeric); INSERT INTO public.bill VALUES (1, 10), (2, 20); SELECT leadscore.track_query('public.paid', 'SELECT * FROM public.bill', '{id}'); UPDATE public.bill SET paid = 30 WHERE id OPERATOR(pg_catalog.=) 1; CALL leadscore.refresh_queries('public.paid')},
	q{INSERT INTO public.bill VALUES (1, 40); CALL leadscore.refresh_queries()}, q{DROP TABLE public.bill, public.paid})
{
	my ($status, $out, $error) = $node->psql('shop', "$trapped $command");

	is($error, '', "works: $command");
	is(logged(qr/hostile (?:function|operator).*/), '', '... without a trap');
}

# ---------- trigger functions that run as the owner, on a table of somebody else ----------

# Whoever may execute one can put it on a table of his own, with columns of a type whose cast is a function of his.
is(install(q{
	CREATE SCHEMA shop AUTHORIZATION attacker;
	SET ROLE attacker;
	CREATE TYPE shop.mood AS ENUM ('a', 'b');
	CREATE FUNCTION shop.text(shop.mood) RETURNS text LANGUAGE plpgsql AS $$BEGIN RAISE LOG 'code of the shop, as %', current_user; RETURN 'a'; END $$;
	CREATE CAST (shop.mood AS text) WITH FUNCTION shop.text(shop.mood) AS IMPLICIT;
	CREATE TABLE shop.trap (model shop.mood, alias shop.mood, lead_id shop.mood, signal shop.mood, derivation shop.mood, behaviour shop.mood, derived_kind shop.mood, kinds text[], until_kinds text[], gap interval, delay interval, cap interval);
	INSERT INTO shop.trap SELECT 'b';
	RESET ROLE}), 'installed', 'tables with columns of any type');
$node->safe_psql('shop', q{INSERT INTO leadscore.event (lead_id, kind) VALUES ('x', 'visit'); INSERT INTO leadscore.derivation (behaviour) VALUES ('visit');
	GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA leadscore, leadscore_internal TO attacker});
my @functions = split /\n/, $node->safe_psql('shop', q{SELECT pronamespace::regnamespace || '.' || proname FROM pg_proc WHERE pronamespace IN ('leadscore'::regnamespace, 'leadscore_internal'::regnamespace) AND prorettype = 'trigger'::regtype AND prosecdef ORDER BY 1});
cmp_ok(scalar @functions, '>=', 6, 'there are such functions');
logged(qr/./);
for my $function (@functions)
{
	for my $when ('BEFORE INSERT ON shop.trap FOR EACH ROW', 'AFTER UPDATE ON shop.trap FOR EACH ROW', 'AFTER INSERT ON shop.trap REFERENCING NEW TABLE AS changed_signals FOR EACH STATEMENT')
	{
		my ($status, $out, $error) = $node->psql('shop', "SET SESSION AUTHORIZATION attacker; SET client_min_messages = error; BEGIN; CREATE TRIGGER t $when EXECUTE FUNCTION $function();"
			  . q{INSERT INTO shop.trap (model, alias, lead_id, signal, derivation, behaviour) VALUES ('a', 'a', 'a', 'a', 'a', 'a'); UPDATE shop.trap SET model = 'a', alias = 'b', lead_id = 'b'});

		like($error, qr/ERROR:  the trigger function is for leadscore(_internal)?\.\w+ alone/, "refused: $when: $function()");
	}
}
is(logged(qr/code of the shop, as (?!attacker)\w+/), '', 'no cast was called with the owner\'s rights');
$node->stop;

done_testing();
