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
refused('CREATE SCHEMA leadscore; ALTER DEFAULT PRIVILEGES IN SCHEMA leadscore GRANT ALL ON TABLES TO attacker', qr/^schema leadscore is not empty\nDETAIL:  It has: default privileges/, 'default privileges');

is(install('CREATE SCHEMA leadscore; GRANT USAGE ON SCHEMA leadscore TO PUBLIC; GRANT CREATE ON SCHEMA leadscore TO dba'), 'installed', 'an empty schema of ours will do, as a restore makes it');
is(install('CREATE SCHEMA leadscore AUTHORIZATION dba'), 'installed', '... and one of another superuser');

# ---------- overloads of every function of ours ----------

# One argument at a time is of another type, or the elements of a variadic one come singly. Whoever's function is called
# that way is written to the server's log.
is(install(''), 'installed', 'a schema that the extension makes');
my $make_overloads = q{
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
			SELECT p.proname AS name, p.prokind AS kind, p.proargtypes::oid[] AS types, p.pronargs AS n, p.provariadic AS variadic, p.proargnames AS names, o.args AS out_args,
				CASE WHEN p.proretset AND o.args IS NOT NULL THEN 'RETURNS TABLE (' || o.args || ')' WHEN o.args IS NULL AND p.prokind <> 'p'
					THEN 'RETURNS ' || CASE WHEN p.proretset THEN 'SETOF ' ELSE '' END || format_type(p.prorettype, NULL) END AS result, p.proretset AS set
			FROM pg_proc p
			JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
			CROSS JOIN LATERAL (SELECT string_agg(format('%s %I %s', CASE WHEN NOT p.proretset THEN 'OUT' END, a.name, format_type(a.type, NULL)), ', ' ORDER BY a.i) AS args
				FROM ROWS FROM (unnest(p.proallargtypes), unnest(p.proargmodes), unnest(p.proargnames)) WITH ORDINALITY AS a (type, mode, name, i) WHERE a.mode IN ('o', 't')) o
			WHERE p.pronamespace = 'leadscore'::regnamespace AND NOT p.proargtypes::oid[] && ARRAY['internal', 'cstring']::regtype[]::oid[]
			AND p.prorettype <> ALL (ARRAY['trigger', 'event_trigger', 'internal', 'cstring']::regtype[])
		LOOP
			FOR overload IN
				SELECT ARRAY(SELECT CASE i WHEN place THEN t ELSE f.types[i - 1] END FROM generate_series(1, f.n) i ORDER BY i)	-- (proargtypes counts from 0)
				FROM generate_series(1, f.n) place, unnest(types) t
				UNION
				SELECT array_fill(f.variadic, ARRAY[n]) FROM generate_series(1, 3) n WHERE f.variadic <> 0 AND f.n = 1
			LOOP
				CONTINUE WHEN EXISTS (SELECT FROM pg_proc p WHERE p.pronamespace = 'leadscore'::regnamespace AND p.proname = f.name AND p.proargtypes::text = array_to_string(overload, ' '));
				signature := (SELECT string_agg(format('%s %s', CASE WHEN i <= f.n AND f.names[i] <> '' THEN quote_ident(f.names[i]) END, format_type(t, NULL)), ', ' ORDER BY i)
					FROM unnest(overload) WITH ORDINALITY AS a (t, i));
				EXECUTE format('CREATE %s leadscore.%I(%s) %s LANGUAGE plpgsql AS %L', CASE f.kind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END,
					f.name, concat_ws(', ', signature, CASE WHEN NOT f.set THEN f.out_args END), f.result,
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
	SELECT leadscore.grant_writer('writer');
	GRANT CREATE ON SCHEMA leadscore TO attacker;
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
$node->psql('shop', q{SELECT leadscore.known('things'::text, '{a,b}'::name[])});
like(logged(qr/hostile.*/), qr/^hostile function known\(things text, names name\[\]\)/, 'a call that is not exact is seen');

# As much of the product as there is, called exactly.
my $card = q{leadscore.scorecard('ecommerce'::text)};
my $learn = qq{($card || '{"intercept": 0, "slope": 1}'), 'purchase'::text, '5 days'::interval, ARRAY['2026-01-10', '2026-01-15']::timestamptz[]};
my @product = (
	q{SELECT leadscore.publish(leadscore.template(t.template)) FROM leadscore.templates() t},
	q{SELECT leadscore.track('shop.orders'::regclass, 'lead'::name, 'purchase'::text, NULL::name, 'placed'::name, 'total'::name, '{colour}'::name[], 'immediate'::text)},
	q{SELECT leadscore.track('shop.visits'::regclass, 'lead'::name, NULL::text, 'kind'::name, 'happened'::name, NULL::name, NULL::name[], 'deferred'::text)},
	q{SELECT leadscore.track_profile('shop.customer'::regclass, 'lead'::name, '{country}'::name[])},
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
		q{1::float8, NULL::float8, true, NULL::float8, NULL::interval, true, 'learn'::text, true}, q{1::float8, NULL::float8, false, 1::float8, NULL::interval, false, NULL::text, false}),
	q{SELECT leadscore.schedule('1 minute'::interval)}, q{SELECT leadscore.unschedule()}, q{SELECT leadscore.partition_timelines(4)}, q{INSERT INTO shop.orders (lead, placed, total) VALUES ('l1', '2026-01-30', 1), ('l2', '2026-01-30', 1)},
	q{SELECT leadscore.identify('l7'::text, 'l8'::text)}, q{SELECT leadscore.partition_timelines(1)}, q{CALL leadscore.compact('2026-01-05'::timestamptz)},
	(map { "SELECT count(*) FROM leadscore.$_" } qw(lead_score segment_summary status monthly_figure sales_cycle funnel attribution crm_lead source current_timeline)), q{SELECT * FROM leadscore.crm_changes(0::bigint, NULL::integer)},
	q{CREATE TABLE shop.visits_2 PARTITION OF shop.visits FOR VALUES FROM ('2026-02-01') TO ('2026-03-01')}, q{ALTER TABLE shop.visits DETACH PARTITION shop.visits_2}, q{DROP TABLE shop.visits_2}, q{TRUNCATE shop.visits_1}, q{DROP TABLE shop.visits}, q{TRUNCATE shop.customer},
	q{UPDATE leadscore.model SET model = 'renamed' WHERE model = 'ecommerce'}, q{SELECT leadscore.unwatch('renamed'::text)}, q{DELETE FROM leadscore.experiment}, q{DELETE FROM leadscore.model WHERE model = 'funnel'},
	q{SELECT * FROM leadscore.forget('hot'::text, true)}, q{SELECT leadscore.untrack('shop.customer'::regclass)}, q{DELETE FROM leadscore.derivation}, q{TRUNCATE shop.orders}, q{DROP SCHEMA shop CASCADE});
for my $command (@product)
{
	my ($status, $out, $error) = $node->psql('shop', "SET client_min_messages = error; $command");

	# (there may be nothing to learn; what matters is that it is by our functions that it is found)
	like($error, qr/^$|ERROR:  (there is|there are|too few|no|model|template|conversion)/, "works: $command");
	unlike($error, qr/hostile|is not unique/, '... without them') if $error;
}
is(logged(qr/hostile.*/), '', 'no function and no operator of the attacker\'s was called');
done_testing();
