# Who may do what, and what nobody can make us do.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use Test::More;
use Workload;

my $node = new_node('main');
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE shop');

sub as
{
	my ($role, $command) = @_;
	my ($status, $out, $error) = $node->psql('shop', "SET SESSION AUTHORIZATION $role;\n$command");

	return $status == 0 ? $out : 'ERROR ' . ($error =~ s/^psql:<stdin>:\d+: (ERROR:  )?//r =~ s/\n.*//sr);
}
sub may { my ($role, $command, $name) = @_; my $out = as($role, $command); unlike($out, qr/^ERROR/, "$role may: " . ($name // $command)); return $out; }
sub may_not { my ($role, $command, $name) = @_; return like(as($role, $command), qr/^ERROR permission denied|^ERROR must be owner/, "$role may not: " . ($name // $command)); }

# Everything that a user can make is made before the extension is: names in public and in front of pg_catalog.
$node->safe_psql('shop', q{
	CREATE ROLE anybody; CREATE ROLE reader; CREATE ROLE writer; CREATE ROLE identifier; CREATE ROLE redeemer; CREATE ROLE admin; CREATE ROLE shop; CREATE ROLE attacker;
	CREATE TABLE public.caught (who text DEFAULT current_user, what text, command text DEFAULT current_query());
	GRANT INSERT, SELECT ON public.caught TO PUBLIC;
	GRANT CREATE ON SCHEMA public TO attacker;
	CREATE EXTENSION leadscore;
	SELECT leadscore.publish(leadscore.template('ecommerce'));
	INSERT INTO leadscore.signal (signal, kind) VALUES ('v', 'v');
	INSERT INTO leadscore.signal (signal, kind, match) VALUES ('v blue', 'v', '{"colour": "blue"}');
	INSERT INTO leadscore.weight (model, signal, measure, points) VALUES ('ecommerce', 'v', 'count', 1);
	INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('a', 'v', '2026-01-01'), ('b', 'v', '2026-01-01');
	INSERT INTO leadscore.lead VALUES ('a', '{"country": "DE"}'), ('b', '{}');
	SELECT leadscore.refresh_segments(false);
	SELECT leadscore.grant_reader('reader'), leadscore.grant_writer('writer'), leadscore.grant_identifier('identifier'), leadscore.grant_redeemer('redeemer'), leadscore.grant_admin('admin');
	CREATE SCHEMA shop AUTHORIZATION shop;
	SET ROLE shop;
	CREATE TABLE shop.orders (id int GENERATED ALWAYS AS IDENTITY, lead text, placed date DEFAULT '2026-01-01', colour text);
	CREATE TABLE shop.customer (lead text PRIMARY KEY, colour text);
	RESET ROLE;
	SELECT leadscore.track('shop.orders', lead_id => 'lead', kind => 'v', occurred_at => 'placed', properties => '{colour}');
	SELECT leadscore.track_profile('shop.customer', lead_id => 'lead', properties => '{colour}');
});

# ---------- PUBLIC: the core and nothing else ----------

may('anybody', $_) for (
	q{SELECT leadscore.timeline_agg('{"signals": [{"signal_id": 1, "signal": "v", "kind": "v"}]}', 'v', '2026-01-01', NULL, NULL)},
	q{SELECT leadscore.score('{"model": "m", "signals": [], "weights": []}', NULL, NULL, now())},
	q{SELECT leadscore.coarsen('{1: 2026-01-01T00Z 1}'::leadscore.timeline, now())}, q{SELECT * FROM leadscore.diff('{"model": "a"}', '{"model": "b"}')},
	q{SELECT leadscore.roc_auc(n, n > 2), leadscore.roc_auc_error(n, n > 2), leadscore.average_precision(n, n > 2), leadscore.ks(n, n > 2), leadscore.log_loss(n / 10.0, n > 2), leadscore.brier(n / 10.0, n > 2), leadscore.logistic_regression(ARRAY[n], n > 2, 1, NULL) FROM generate_series(1, 5) n},
	q{SELECT leadscore.timeline_before('{}', now()), leadscore.timeline_first_hour('{}', 1, NULL, NULL), leadscore.timeline_last_hour('{}')},
	q{SELECT '{1: 2026-01-01T00Z 1}'::leadscore.timeline},
	q{SELECT leadscore.clv('{1: 2026-01-01T00Z 1}'::leadscore.timeline, '{"signal_id": 1, "bg_nbd": {"r": 1, "alpha": 1, "a": 1, "b": 1}}')},
	q{SELECT leadscore.fit_clv(format('{1: 2026-01-01T00Z 1, 2026-01-%sT00Z 1, 2026-01-%sT00Z 1}', 10 + n % 7, 18 + n % 11)::leadscore.timeline, 1, '2026-02-01', '7 days') FROM generate_series(1, 60) n});
may_not('anybody', $_) for (
	'SELECT * FROM leadscore.lead_score', 'SELECT * FROM leadscore.event', 'SELECT * FROM leadscore.lead_segment', 'SELECT * FROM leadscore.signal',
	'SELECT leadscore.verify()', 'CALL leadscore.rebuild()', q{CALL leadscore.compact('2020-01-01')}, 'SELECT leadscore.partition_events()', 'CALL leadscore.move_events()', 'SELECT leadscore.fold()', 'SELECT leadscore_internal.fold_rows(NULL)', q{SELECT leadscore.score('a')},
	q{SELECT * FROM leadscore.evaluate('{"model": "m"}', 'v', '1 day', '{2026-01-02Z}')}, q{SELECT * FROM leadscore_internal.examples(ROW(1, 1, 1, false, '{2026-01-02Z}', false, NULL, NULL, NULL, NULL, NULL)::leadscore_internal.question)}, q{SELECT * FROM leadscore.preview('{"model": "m"}')},
	'SELECT * FROM leadscore.stability_report()', q{SELECT * FROM leadscore.profile_report('v', '1 day', '{2026-01-02Z}')}, q{SELECT leadscore.arm('x', 'y')}, q{SELECT leadscore.restore_version('ecommerce')}, 'SELECT * FROM leadscore.model_version',
	q{SELECT leadscore.fit_clv('v')}, q{SELECT leadscore.clv('a', '{}')}, q{SELECT leadscore_internal.check_fit('v', now())},
	q{SELECT leadscore.identify('x', 'y')}, q{SELECT leadscore.forget('a')}, q{SELECT leadscore.track('shop.orders', 'lead', 'v', occurred_at => 'placed')},
	q{CALL leadscore.watch()}, q{SELECT leadscore.unwatch()}, q{SELECT leadscore.take_changes('x')}, q{SELECT leadscore.acknowledge_changes('x') FROM (SELECT count(*) FROM leadscore.take_changes('x')) t}, q{SELECT leadscore_internal.see_leads('{a}', 'event')},
	q{SELECT leadscore.redeem('x', 'a', 'o')}, 'SELECT leadscore.expire_vouchers()', 'SELECT leadscore.schedule()', 'SELECT leadscore.unschedule()', 'SELECT * FROM leadscore.voucher', 'SELECT * FROM leadscore.segment_change',
	'SELECT leadscore.refresh_segments()', q{SELECT leadscore.grant_admin('anybody')}, q{SELECT leadscore_internal.signals_counted('{}')}, 'SELECT leadscore_internal.history_exists()',
	q{SELECT leadscore_internal.add_source('leadscore.event', '{}', false, false)}, q{SELECT leadscore_internal.gather('{leadscore.event}', '{"{}"}', '{"signals": []}', NULL, NULL, 0, 1)}, q{SELECT leadscore_internal.follow_drop('leadscore.event')},
	q{CREATE TEMP TABLE t (lead text); CREATE TRIGGER t AFTER INSERT ON t REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION leadscore.record('{}')},
	q{CREATE TEMP TABLE t (lead text); CREATE TRIGGER t AFTER INSERT ON t FOR EACH STATEMENT EXECUTE FUNCTION leadscore.record_profile('{}')},
	q{CREATE TEMP TABLE t (lead text); CREATE TRIGGER t AFTER INSERT ON t FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.signals_changed()});
# whatever is there: nothing that reads or writes a table is left to PUBLIC
is($node->safe_psql('shop', q{
	SELECT p.oid::regprocedure FROM pg_proc p
	WHERE p.pronamespace IN ('leadscore'::regnamespace, 'leadscore_internal'::regnamespace) AND has_function_privilege('anybody', p.oid, 'EXECUTE') AND p.provolatile = 'v'
	AND p.proname NOT IN ('refuse') ORDER BY 1}), '', 'PUBLIC may call no volatile function');
is($node->safe_psql('shop', q{
	SELECT c.oid::regclass FROM pg_class c WHERE c.relnamespace IN ('leadscore'::regnamespace, 'leadscore_internal'::regnamespace) AND relkind IN ('r', 'v', 'm')
	AND has_table_privilege('anybody', c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER, REFERENCES')}), '', 'PUBLIC has no right to a table');

# ---------- reader, writer, admin ----------

may('reader', $_) for ('SELECT * FROM leadscore.lead_score', 'SELECT * FROM leadscore.lead_segment', 'SELECT * FROM leadscore.segment_summary',
	q{SELECT leadscore.score('a', 'ecommerce')}, q{SELECT * FROM leadscore.explain('a', 'ecommerce')}, q{SELECT * FROM leadscore.score_history('a', 'ecommerce')},
	'SELECT * FROM leadscore.status', q{SELECT leadscore.clv('a', '{"signal_id": 1, "bg_nbd": {"r": 1, "alpha": 1, "a": 1, "b": 1}}')}, q{SELECT leadscore.scorecard('ecommerce')}, 'SELECT * FROM leadscore.source',
	map { qq{SELECT * FROM leadscore.$_(leadscore.scorecard('ecommerce') || '{"intercept": 0, "slope": 1}', 'purchase', '1 day', '{2026-01-02Z}')} } qw(training_set evaluate lift_table calibration_table));
may('reader', $_) for (q{SELECT * FROM leadscore.preview(leadscore.scorecard('ecommerce'), 'ecommerce')}, q{SELECT * FROM leadscore.stability_report('ecommerce')},
	q{SELECT * FROM leadscore.profile_report('purchase', '1 day', '{2026-01-02Z}')}, 'SELECT * FROM leadscore.model_version', 'SELECT * FROM leadscore.experiment');
like(as('reader', $_), qr/^ERROR experiment "x" does not exist/, "reader may: $_, but there is no experiment") for (q{SELECT leadscore.arm('x', 'y')}, q{SELECT leadscore.experiment_result('x', 'purchase')});
may_not('reader', $_) for (q{SELECT leadscore.restore_version('ecommerce')}, q{SELECT leadscore.set_default_model('ecommerce')}, 'DELETE FROM leadscore.default_model', 'DELETE FROM leadscore.model_version', q{INSERT INTO leadscore.experiment VALUES ('x', 'ecommerce', 'ecommerce')});
like(as('reader', qq{SET client_min_messages = error; SELECT leadscore.$_(leadscore.scorecard('ecommerce'), 'purchase', '1 day', '{2026-01-02Z}')}), qr/^ERROR there is nothing to learn from/, "reader may: $_, but here is nothing to learn from") for qw(fit signal_report);
like(as('reader', q{SELECT leadscore.fit_clv('v')}), qr/^ERROR too few customers/, 'reader may: fit, where there are enough customers');
may('reader', $_) for ('SELECT * FROM leadscore.segment_change', 'SELECT * FROM leadscore.lead_state');
may_not('reader', $_) for ('SELECT code FROM leadscore.voucher', q{SELECT leadscore.take_changes('x')}, q{SELECT leadscore.redeem('x', 'a', 'o')}, 'CALL leadscore.watch()');
may_not('reader', $_) for ('SELECT * FROM leadscore.event', q{INSERT INTO leadscore.event (lead_id, kind) VALUES ('x', 'v')}, 'DELETE FROM leadscore.weight',
	'SELECT leadscore.fold()', 'CALL leadscore.rebuild()', 'DELETE FROM leadscore.lead_timeline');

may('writer', $_) for (q{INSERT INTO leadscore.event (lead_id, kind, occurred_at, dedup_key) VALUES ('x', 'v', '2026-01-01', 'k') ON CONFLICT (dedup_key) DO NOTHING RETURNING event_id},
	q{SELECT leadscore.take_changes('x')}, q{SELECT leadscore.acknowledge_changes('x') FROM (SELECT count(*) FROM leadscore.take_changes('x')) t}, q{COPY leadscore.event (lead_id, kind, occurred_at) FROM stdin;
y	v	2026-01-01
\.
});
may_not('writer', $_) for ('SELECT lead_id FROM leadscore.event', 'DELETE FROM leadscore.event', 'TRUNCATE leadscore.event', 'SELECT * FROM leadscore.lead_timeline',
	q{INSERT INTO leadscore.lead_timeline VALUES ('x', '{}')}, 'UPDATE leadscore.signal SET kind = NULL', q{SELECT leadscore.forget('a')});

# A name of one's own could be made another of any customer, whose vouchers it could then redeem: each is a right of its own.
may_not('writer', $_) for (q{SELECT leadscore.identify('x', 'a')}, q{SELECT leadscore.unidentify('x')}, q{SELECT leadscore.redeem('x', 'a', 'o')}, q{INSERT INTO leadscore.lead_alias VALUES ('x', 'a')});
may('identifier', $_) for (q{SELECT leadscore.identify('x', 'a')}, q{SELECT leadscore.unidentify('x')});
may_not('identifier', $_) for (q{SELECT leadscore.redeem('x', 'a', 'o')}, q{INSERT INTO leadscore.event (lead_id, kind) VALUES ('x', 'v')}, 'SELECT * FROM leadscore.lead_alias', q{SELECT leadscore.forget('a')});
like(as('redeemer', q{SELECT leadscore.redeem('x', 'a', 'o')}), qr/^ERROR there is no such voucher/, 'redeemer may: redeem, but there is no voucher');
may_not('redeemer', $_) for (q{SELECT leadscore.identify('x', 'a')}, 'SELECT code FROM leadscore.voucher', q{INSERT INTO leadscore.event (lead_id, kind) VALUES ('x', 'v')});

# behaviours, figures and hand-over
$node->safe_psql('shop', q{SET client_min_messages = warning; INSERT INTO leadscore.derivation (behaviour, derived_kind) VALUES ('visit', 'session'); INSERT INTO leadscore.rfm_group SELECT * FROM leadscore.rfm_groups(); SELECT leadscore.refresh_crm()});
may('anybody', q{SELECT leadscore.session_number(now(), '1 hour') OVER ()});
may_not('anybody', $_) for ('SELECT * FROM leadscore.derive()', 'SELECT * FROM leadscore.derived_event', q{SELECT * FROM leadscore_internal.source_events('{leadscore.event}', '{"{}"}', NULL, NULL)}, q{SELECT * FROM leadscore_internal.log_events(NULL)},
	q{SELECT * FROM leadscore.rfm()}, q{SELECT * FROM leadscore.affinity('colour')}, q{SELECT * FROM leadscore.make_signals('colour')}, 'SELECT leadscore.refresh_crm()', 'SELECT * FROM leadscore.crm_changes()', 'SELECT leadscore.crm_forget(0)',
	'SELECT leadscore_internal.note_everybody()', 'SELECT leadscore_internal.lock_derivations()', 'SELECT leadscore_internal.lock_crm_numbers()', map { "SELECT * FROM $_" } qw(leadscore_internal.crm_state leadscore_internal.changed_lead), map { "leadscore.$_" } qw(monthly_figure sales_cycle funnel attribution segment_day rfm_lead rfm_grid offer_figure experiment_figure model_quality crm_lead derivation conversion spend));
may('reader', $_) for (q{SELECT * FROM leadscore.rfm(ARRAY['purchase'])}, 'SELECT * FROM leadscore.rfm_groups()', 'SELECT * FROM leadscore.crm_changes()',
	map { "SELECT * FROM leadscore.$_" } qw(monthly_figure sales_cycle funnel attribution segment_day rfm_lead rfm_grid offer_figure experiment_figure model_quality crm_lead derivation conversion rfm_group spend channel));
may_not('reader', $_) for ('SELECT * FROM leadscore.derive()', 'SELECT * FROM leadscore.derived_event', q{SELECT * FROM leadscore.affinity('colour')}, q{SELECT * FROM leadscore.make_signals('colour')}, 'SELECT leadscore.refresh_crm()',
	'SELECT leadscore.crm_forget(0)', 'DELETE FROM leadscore_internal.changed_lead', 'DELETE FROM leadscore.derivation', q{INSERT INTO leadscore.spend VALUES ('x', '2026-01-01', 1)});
may_not('writer', $_) for ('SELECT * FROM leadscore.derive()', 'SELECT * FROM leadscore_internal.changed_lead', 'SELECT * FROM leadscore.crm_changes()');
may('admin', $_) for ('SELECT * FROM leadscore.crm_changes()', 'SELECT leadscore.refresh_crm(), leadscore.crm_forget(0)', q{INSERT INTO leadscore.spend VALUES ('x', '2026-01-01', 1); DELETE FROM leadscore.spend});
may_not('admin', 'SELECT * FROM leadscore.derive()', 'to read a tracked table that it may not read');

# an administrator reads the tracked tables, when rebuilding and forgetting, with rights of his own
$node->safe_psql('shop', 'GRANT USAGE ON SCHEMA shop TO admin; GRANT SELECT ON ALL TABLES IN SCHEMA shop TO admin');
may('admin', $_) for (q{SELECT leadscore.publish(leadscore.template('funnel'))}, q{SELECT leadscore.set_default_model('funnel'), leadscore.set_default_model('ecommerce')}, q{UPDATE leadscore.weight SET points = 2 WHERE model = 'ecommerce'}, 'CALL leadscore.rebuild(ARRAY[]::text[])', q{CALL leadscore.compact('2020-01-01')},
	q{INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('old', 'visit', '2020-01-01'), ('old', 'visit', '2020-02-01')}, q{SELECT leadscore.partition_events('1 month', keep => '2 months')}, q{CALL leadscore.move_events('2020-04-10')},
	q{CALL leadscore.watch('ecommerce')}, q{INSERT INTO leadscore.offer (offer, model, segment, discount, valid_for, budget) SELECT 'o', model, segment, 1, '1 day', 5 FROM leadscore.segment WHERE model = 'ecommerce' AND position = 1},
	q{INSERT INTO leadscore.event (lead_id, kind, value) SELECT 'hot', 'purchase', 100 FROM generate_series(1, 20)}, q{SELECT leadscore.redeem(code, 'hot', 'order') FROM leadscore.voucher},
	q{SELECT leadscore.expire_vouchers(), leadscore.prune_changes(now()), leadscore.unwatch('ecommerce')}, q{SELECT * FROM leadscore.schedule()}, q{SELECT * FROM leadscore.offer_result('o', 'purchase')},
	'SELECT leadscore.fold()', 'SELECT leadscore.refresh_segments()', 'CALL leadscore.see_changes()', q{SELECT leadscore.identify('x', 'a'); SELECT leadscore.forget('x')}, 'SELECT * FROM leadscore.derive()', q{SELECT * FROM leadscore.affinity('colour')}, q{SELECT * FROM leadscore.make_signals('colour')});
may_not('admin', q{SELECT leadscore.track('shop.orders', 'lead', 'w', occurred_at => 'placed')}, 'to track a table of somebody else');
may('admin', q{CREATE TEMP TABLE own (lead text, happened date)}, 'to make a table');

# ---------- the shop has rights on its tables alone ----------

may('shop', q{
	INSERT INTO shop.orders (lead, colour) VALUES ('s', 'blue'), ('t', NULL); UPDATE shop.orders SET lead = 'u' WHERE lead = 't'; DELETE FROM shop.orders WHERE lead = 'u';
	INSERT INTO shop.customer VALUES ('s', 'red'); UPDATE shop.customer SET colour = 'green'; INSERT INTO shop.orders (lead) VALUES ('w'); TRUNCATE shop.customer}, 'to write its tables, and so ours');
like($node->safe_psql('shop', q{SELECT string_agg(lead_id, ' ' ORDER BY lead_id) FROM leadscore.current_timeline}), qr/\bs w\b/, 'it is counted');
may_not('shop', $_) for ('SELECT * FROM leadscore.lead_timeline', 'SELECT * FROM leadscore.event');
is_true($node, 'after all that');

# ---------- a search path full of traps ----------

my @traps;
for my $schema ('public', 'pg_temp')
{
	for my $function ('octet_length(text) RETURNS int', 'format(text, VARIADIC "any") RETURNS text', 'coalesce_text(text, text) RETURNS text', 'now() RETURNS timestamptz',
		'jsonb_build_object(VARIADIC "any") RETURNS jsonb', 'array_agg_finalfn(text) RETURNS text', 'unnest(text[]) RETURNS SETOF text', 'hashtextextended(text, bigint) RETURNS bigint',
		'scorable(text, timestamptz, numeric, jsonb) RETURNS boolean', 'round(numeric, int) RETURNS numeric', 'clock_timestamp() RETURNS timestamptz', 'current_setting(text) RETURNS text')
	{
		next if $function =~ /"any"/;		# only C functions can take any
		push @traps, qq{CREATE FUNCTION $schema.$function LANGUAGE plpgsql AS \$\$BEGIN INSERT INTO public.caught (what) VALUES ('$schema.$function'); RETURN }
		  . ($function =~ /SETOF/ ? '' : 'NULL') . q{; END$$};
	}
}
push @traps, map { my ($type, $operator) = @$_;
	qq{CREATE FUNCTION public.trap_$type() RETURNS void LANGUAGE sql AS ''},
	qq{CREATE FUNCTION public.trap($type, $type) RETURNS boolean LANGUAGE plpgsql AS \$\$BEGIN INSERT INTO public.caught (what) VALUES ('$operator $type'); RETURN NULL; END\$\$},
	qq{CREATE OPERATOR public.= (LEFTARG = $type, RIGHTARG = $type, FUNCTION = public.trap)},
	qq{CREATE OPERATOR public.<> (LEFTARG = $type, RIGHTARG = $type, FUNCTION = public.trap)}
} ([ 'text', '=' ], [ 'bigint', '=' ], [ 'timestamptz', '=' ]);
push @traps, map {; "CREATE TABLE public.$_ (lead_id text, alias text, timeline text, delta text, signal text, signal_id int, kind text, match jsonb, condition jsonpath, subject text)",
	"CREATE TEMP TABLE $_ (lead_id text, alias text, timeline text, delta text, signal text, signal_id int, kind text, match jsonb, condition jsonpath, subject text)" }
	qw(lead_timeline lead_alias pending_delta signal event lead pg_class pg_trigger pg_proc);
my $path = 'SET search_path = public, pg_temp, leadscore, pg_catalog';
my $trapped = join ";\n", @traps, $path, q{INSERT INTO shop.orders (lead, colour) VALUES ('trap', 'blue'), ('trap 2', 'red')}, q{UPDATE shop.orders SET lead = 'trap 3' WHERE lead = 'trap 2'},
	q{INSERT INTO shop.customer VALUES ('trap', 'x')}, q{DELETE FROM shop.customer}, q{INSERT INTO leadscore.event (lead_id, kind) VALUES ('trap', 'v')},
	q{SELECT leadscore.identify('trapped', 'trap')}, q{SELECT leadscore.unidentify('trapped')}, q{TRUNCATE shop.orders}, '';
$node->safe_psql('shop', q{GRANT ALL ON shop.orders, shop.customer TO attacker; GRANT USAGE ON SCHEMA shop TO attacker; SELECT leadscore.grant_writer('attacker'), leadscore.grant_identifier('attacker')});
may('attacker', $trapped, 'to write, with traps in public, pg_temp and its search_path');
is($node->safe_psql('shop', q{SELECT who, what FROM public.caught WHERE who <> 'attacker'}), '', 'no trap is called with rights other than its owner\'s');
$node->safe_psql('shop', "DELETE FROM public.caught; SET search_path = public, pg_temp; SELECT leadscore.verify(); CALL leadscore.rebuild(); SELECT leadscore.fold(); SELECT leadscore.refresh_segments();"
	  . "SELECT leadscore.untrack('shop.customer'); SELECT leadscore.track_profile('shop.customer', lead_id => 'lead', properties => '{colour}'); SELECT * FROM leadscore.forget('trap', true);"
	  . q{SELECT leadscore.publish(leadscore.template('ecommerce')); INSERT INTO leadscore.signal (signal) VALUES ('any'); CALL leadscore.rebuild()});
is($node->safe_psql('shop', q{SELECT who, what FROM public.caught}), '', '... nor by an administrator');
is_true($node, 'with traps');

# ---------- a type whose cast to json is the shop's ----------

# The shop changes a property to a type of its own after the table was tracked. Its cast is never executed for us: the
# table cannot be read any more.
$node->safe_psql('shop', q{
	SET ROLE shop;
	CREATE TYPE shop.colour AS ENUM ('blue', 'red');
	CREATE FUNCTION shop.to_json(shop.colour) RETURNS json LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO public.caught (what) VALUES ('cast');
		RETURN to_json($1::text);
	END $$;
	CREATE CAST (shop.colour AS json) WITH FUNCTION shop.to_json(shop.colour);
	TRUNCATE shop.orders, shop.customer;
	ALTER TABLE shop.orders ALTER colour TYPE shop.colour USING colour::shop.colour;
	ALTER TABLE shop.customer ALTER colour TYPE shop.colour USING colour::shop.colour;
});
my %attempt = (
	'the trigger of orders' => [ 'shop', q{INSERT INTO shop.orders (lead, colour) VALUES ('c', 'blue'); UPDATE shop.orders SET colour = 'red'; TRUNCATE shop.orders; INSERT INTO shop.orders (lead, colour) VALUES ('c', 'blue')} ],
	'the trigger of customers' => [ 'shop', q{INSERT INTO shop.customer VALUES ('c', 'blue'); UPDATE shop.customer SET colour = 'red'; TRUNCATE shop.customer; INSERT INTO shop.customer VALUES ('c', 'blue')} ],
	'unidentify()' => [ 'identifier', q{SELECT leadscore.identify('c', 'd'); SELECT leadscore.unidentify('c')} ],
	'verify()' => [ 'postgres', 'SELECT leadscore.verify()' ],
	'rebuild()' => [ 'postgres', 'CALL leadscore.rebuild()' ],
	'forget()' => [ 'postgres', q{SELECT leadscore.forget('c', true); INSERT INTO shop.orders (lead, colour) VALUES ('c', 'blue'); INSERT INTO shop.customer VALUES ('c', 'blue')} ],
	'untrack(), track()' => [ 'postgres', q{SELECT leadscore.untrack('shop.orders'); SELECT leadscore.track('shop.orders', lead_id => 'lead', kind => 'v', occurred_at => 'placed', properties => '{colour}')} ],
	'untrack(), track_profile()' => [ 'postgres', q{SELECT leadscore.untrack('shop.customer'); SELECT leadscore.track_profile('shop.customer', lead_id => 'lead', properties => '{colour}')} ],
	'a new signal' => [ 'postgres', q{INSERT INTO leadscore.signal (signal, kind) VALUES ('more', 'v')} ],
);
for my $name ('the trigger of orders', 'the trigger of customers', sort grep { !/trigger/ } keys %attempt)
{
	my ($role, $command) = @{ $attempt{$name} };

	$node->safe_psql('shop', 'DELETE FROM public.caught');
	as($role, $command);
	is($node->safe_psql('shop', 'SELECT DISTINCT who FROM public.caught'), '', "$name: the cast is not executed");
}
is_true($node, 'a type of the shop\'s');

# rights to columns are enough for what reads them
$node->safe_psql('shop', q{CREATE ROLE columns; SELECT leadscore.grant_reader('columns'); REVOKE SELECT ON leadscore.lead_timeline FROM columns; GRANT SELECT (lead_id, timeline) ON leadscore.lead_timeline TO columns});
may('columns', q{SELECT leadscore.score('a', 'ecommerce')});
$node->safe_psql('shop', q{REVOKE SELECT (lead_id, timeline) ON leadscore.lead_timeline FROM columns});
may_not('columns', q{SELECT leadscore.score('a', 'ecommerce')});

# ---------- row-level security ----------

my $scored = q{SELECT count(*) FROM leadscore.lead_score WHERE model = 'ecommerce'};
my $previewed = q{SELECT sum(leads) FROM leadscore.preview(leadscore.scorecard('ecommerce'), 'ecommerce') WHERE part = 'move'};
my $training = q{SELECT lead_id FROM leadscore.training_set(leadscore.scorecard('ecommerce'), 'v', '1 day', '{2026-01-02Z}', NULL)};

$node->safe_psql('shop', q{
	INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('seen', 'v', '2026-01-01'), ('hidden', 'v', '2026-01-01'), ('visitor', 'v', '2026-01-01');
	INSERT INTO leadscore.lead VALUES ('seen', NULL), ('hidden', NULL);
	SELECT leadscore.identify('visitor', 'hidden');
	INSERT INTO leadscore.weight (model, signal, measure, points) VALUES ('ecommerce', 'v', 'count', 1000);
	GRANT USAGE ON SCHEMA shop TO admin; GRANT SELECT ON shop.orders, shop.customer TO admin;
	CREATE ROLE analyst; SELECT leadscore.grant_reader('analyst'); GRANT SELECT ON leadscore.event TO analyst, reader;
	ALTER TABLE leadscore.lead ENABLE ROW LEVEL SECURITY;
	CREATE POLICY p ON leadscore.lead TO analyst USING (lead_id <> 'hidden');
	CREATE POLICY q ON leadscore.lead TO reader, admin USING (true)});
unlike(may('analyst', 'SELECT lead_id FROM leadscore.lead_score'), qr/hidden|visitor/, 'row-level security on lead hides scores');
like(may('reader', 'SELECT lead_id FROM leadscore.lead_score'), qr/hidden/, '... from whom it should');
sub single_leads_hidden
{
	my $what = shift;

	is(may('analyst', q{SELECT greatest(leadscore.score('hidden', 'ecommerce'), leadscore.score('visitor', 'ecommerce')) = leadscore.score('nobody', 'ecommerce')}), 't', "$what: score() hides them, too");
	is(may('analyst', q{SELECT count(*) FROM leadscore.explain('hidden', 'ecommerce') WHERE signal = 'v'}), '0', '... and explain()');
	is(may('analyst', q{SELECT max(score) FROM leadscore.score_history('hidden', 'ecommerce', '2026-01-01', '2026-01-02')}), '0', '... and score_history()');
	is(may('reader', q{SELECT leadscore.score('hidden', 'ecommerce') > 0 AND leadscore.score('visitor', 'ecommerce') > 0}), 't', '... from whom they should');
}
single_leads_hidden('policies on lead');
sub changes_hidden
{
	my $what = shift;

	unlike(may('analyst', 'SELECT lead_id FROM leadscore.crm_changes() UNION SELECT lead_id FROM leadscore.crm_lead UNION SELECT lead_id FROM leadscore.rfm(ARRAY[(SELECT signal FROM leadscore.signal WHERE subject = \'event\' AND kind IS NULL LIMIT 1)])'),
		qr/hidden|visitor/, "$what: ... and what CRMs are told");
	like(may('reader', 'SELECT lead_id FROM leadscore.crm_changes()'), qr/hidden/, '... but not from whom it should not');
}
$node->safe_psql('shop', 'SELECT leadscore.refresh_crm()');
changes_hidden('policies on lead');
unlike(may('analyst', $training), qr/hidden|visitor/, '... and training sets');
is(may('analyst', $previewed), may('analyst', $scored), '... and previews');
cmp_ok(may('reader', $previewed), '>', may('analyst', $previewed), '... of whom others see more');
like(may('reader', $training), qr/hidden/, '... from whom it should');
$node->safe_psql('shop', q{
	ALTER TABLE leadscore.lead DISABLE ROW LEVEL SECURITY;
	ALTER TABLE leadscore.event ENABLE ROW LEVEL SECURITY;
	CREATE POLICY p ON leadscore.event TO analyst, admin USING (lead_id NOT IN ('hidden', 'visitor'));
	CREATE POLICY q ON leadscore.event TO reader USING (true);
	CREATE POLICY r ON leadscore.event FOR INSERT TO writer WITH CHECK (true)});
unlike(may('analyst', 'SELECT lead_id FROM leadscore.lead_score'), qr/hidden|visitor/, 'row-level security on event hides scores');
like(may('reader', 'SELECT lead_id FROM leadscore.lead_score'), qr/hidden/, '... from whom it should');
single_leads_hidden('policies on event');
changes_hidden('policies on event');
unlike(may('analyst', $training), qr/hidden|visitor/, '... and training sets');
is(may('analyst', $previewed), may('analyst', $scored), '... and previews');
cmp_ok(may('reader', $previewed), '>', may('analyst', $previewed), '... of whom others see more');
like(may('reader', $training), qr/hidden/, '... from whom it should');
as('admin', 'CALL leadscore.rebuild()');
is_true($node, 'a rebuild by somebody who does not see all events');
as('admin', q{SELECT leadscore.unidentify('visitor')});
is_true($node, 'and unidentify()');

# The owner of a table can put it under row-level security himself.
$node->safe_psql('shop', q{
	INSERT INTO shop.orders (lead) VALUES ('seen'), ('hidden');
	SET ROLE shop; ALTER TABLE shop.orders ENABLE ROW LEVEL SECURITY; ALTER TABLE shop.orders FORCE ROW LEVEL SECURITY;
	CREATE POLICY p ON shop.orders USING (lead <> 'hidden')});
as('shop', q{INSERT INTO shop.orders (lead) VALUES ('seen')});
is_true($node, 'a source whose owner does not see all rows');
as('shop', q{TRUNCATE shop.orders});
is_true($node, '... truncated');
as('shop', q{INSERT INTO shop.orders (lead) VALUES ('seen'); RESET ROLE; INSERT INTO shop.orders (lead) VALUES ('hidden'); DROP TABLE shop.orders});
is_true($node, '... dropped');
$node->stop;

done_testing();
