# Every function that there is, called as nobody would: with NULLs, with arrays that hold one, with tables that do not exist, and at an
# isolation level where a snapshot stays. The server survives, and whoever calls is told what is the matter in words.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use PostgreSQL::Test::Utils;
use Test::More;
use Workload;

my $node = new_node('main');
$node->append_conf('postgresql.conf', 'restart_after_crash = on');
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE shop');
$node->safe_psql('shop', q{
	SET client_min_messages = warning;
	CREATE EXTENSION leadscore;
	SELECT leadscore.publish(leadscore.template('ecommerce'));
	CALL leadscore.watch('ecommerce');
	CREATE TABLE public.orders (lead text, placed timestamptz, colour text);
	INSERT INTO public.orders VALUES ('a', '2026-01-01', 'blue');
	INSERT INTO leadscore.event (lead_id, kind, occurred_at, value) VALUES ('a', 'purchase', '2026-01-01', 5), ('b', 'visit', '2026-01-02', NULL);
	INSERT INTO leadscore.lead VALUES ('a', '{"country": "DE"}');
	SELECT leadscore.identify('alias', 'a'), leadscore.refresh_segments(false);
	INSERT INTO leadscore.offer (offer, model, segment, discount, valid_for, budget) SELECT 'a', model, segment, 10, '1 day', 9 FROM leadscore.segment WHERE model = 'ecommerce' AND position = 1;
	INSERT INTO leadscore.event (lead_id, kind, value) SELECT 'a', 'purchase', 100 FROM generate_series(1, 30);
	CREATE ROLE somebody;
});

# A value of each type, and of some arguments by their names, that a function can do something with.
my %of_type = (
	text => q{'a'}, name => q{'lead'}, jsonb => q{'{"model": "m", "signals": [], "weights": []}'}, jsonpath => q{'$.a > 1'}, boolean => 'true',
	integer => '1', bigint => '1', numeric => '1', 'double precision' => '1', interval => q{'1 day'}, date => q{'2026-01-01'},
	'timestamp with time zone' => q{'2026-01-02Z'}, 'timestamp without time zone' => q{'2026-01-02'}, regclass => q{'public.orders'}, oid => q{'public.orders'::regclass},
	regtype => q{'text'}, regrole => q{'somebody'}, bytea => q{'\x01'}, uuid => q{'00000000-0000-0000-0000-000000000001'}, cstring => q{'{}'}, 'leadscore.timeline' => q{'{1: 2026-01-01T00Z 1}'},
	'double precision[]' => q{'{1,2}'}, 'double precision[][]' => q{'{{1,2},{3,4}}'}, 'oid[]' => q{ARRAY['public.orders'::regclass]}, 'timestamp with time zone[]' => q{'{2026-01-02Z}'}, 'text[]' => q{'{a}'}, 'name[]' => q{'{colour}'},
	'integer[]' => q{'{1}'}, 'bigint[]' => q{'{1}'}, 'interval[]' => q{'{1 day}'}, 'numeric[]' => q{'{1}'},
	'leadscore_internal.question' => q{(SELECT leadscore_internal.check_outcome(leadscore.scorecard('ecommerce'), 'purchase', '1 day', '{2026-01-02Z}', '90 days'))},
	'leadscore.regression' => q{(SELECT leadscore.logistic_regression(ARRAY[n::float8], n % 3 = 0) FROM generate_series(1, 20) n)},
	'leadscore_internal.assessment' => q{'(10,1,0.5,0.1,0.5,0.5,,,)'}, 'leadscore_internal.comparison' => q{'(1,"{{1,1,1,2,3}}","{{1,2}}",{a},"{{1,2}}")'},
	'leadscore_internal.figures' => q{(SELECT leadscore_internal.figures_of('ecommerce'))},
	'leadscore.offer' => '(SELECT o FROM leadscore.offer o)', 'leadscore_internal.crm_state' => q{'(m,a,1,,,,,,,,f,1,2026-01-01,1)'}, 'leadscore.voucher' => '(SELECT v FROM leadscore.voucher v LIMIT 1)', 'boolean[]' => q{'{true}'}, 'jsonb[]' => q{ARRAY['{"lead_id": "lead", "kind": "v", "occurred_at": "placed"}'::jsonb]},
	'regclass[]' => q{'{public.orders}'}, 'leadscore.timeline[]' => q{ARRAY['{1: 2026-01-01T00Z 1}'::leadscore.timeline]},
);
my %of_name = (
	model => q{'ecommerce'}, conversion => q{'purchase'}, signal => q{'purchase'}, query => q{'SELECT ''x'' WHERE $1 IS NULL'}, function => q{'record'}, feeds => q{'timeline'},
	cause => q{'time'}, mapping => q{'{"lead_id": "lead", "kind": "v", "occurred_at": "placed"}'}, counting => q{'{"all": false, "definitions": {}}'},
	signals => undef, name => undef,
);

# The calls of a function: as it is meant, all NULL, each argument NULL in turn, and arrays and tables of nothing.
sub calls
{
	my ($oid, $name, $kind, $variadic, $arguments) = @_;
	my @arguments = map { [ split /=/, $_, 2 ] } split /;/, $arguments;
	my $pseudo = qr/^(internal|pg_ddl_command)$/;
	my $value_of = sub {
		my ($argument, $type) = @_;
		return 'NULL' if $type =~ $pseudo;
		my $value = $of_name{$argument} && $type =~ /text|name|jsonb/ && $type !~ /\[\]/ ? $of_name{$argument} : $of_type{$type};
		die "no value for $argument $type of $name" if !defined $value;
		return "$value\::$type";
	};
	my $null_of = sub { return $_[0] =~ $pseudo ? 'NULL' : "NULL::$_[0]" };
	my $call = sub {
		my @values = @_;
		$values[-1] = "VARIADIC $values[-1]" if $variadic;
		return ($kind eq 'p' ? 'CALL ' : 'SELECT ') . "$name(" . join(', ', @values) . ')' . ($kind eq 'w' ? ' OVER ()' : '');
	};
	my @plausible = map { $value_of->(@$_) } @arguments;
	my @calls = ($call->(@plausible), $call->(map { $null_of->($_->[1]) } @arguments));

	for my $i (0 .. $#arguments)
	{
		my $type = $arguments[$i][1];
		my @instead = ($null_of->($type));

		push @instead, "ARRAY[NULL]::$type", "'{}'::$type" if $type =~ /\[\]$/;
		push @instead, "0::oid::$type", "4294967295::oid::$type" if $type =~ /^reg/;
		push @instead, "ARRAY[0::oid::regclass]" if $type eq 'regclass[]';
		for my $value (@instead)
		{
			my @values = @plausible;
			$values[$i] = $value;
			push @calls, $call->(@values);
		}
	}
	my %seen;
	return grep { !$seen{$_}++ } @calls;
}

my @functions = map { [ split /\|/, $_, -1 ] } split /\n/, $node->safe_psql('shop', q{
	SELECT p.oid, p.oid::regproc, p.prokind, p.provariadic <> 0,
		coalesce((SELECT string_agg(coalesce(p.proargnames[a.n], '') || '=' || format_type(a.type, NULL), ';' ORDER BY a.n)
			FROM unnest(p.proargtypes) WITH ORDINALITY AS a (type, n)), '')
	FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
	JOIN pg_extension x ON x.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass AND x.extname = 'leadscore'
	ORDER BY p.oid::regprocedure::text});
cmp_ok(scalar @functions, '>', 250, 'there are functions to call');

my @calls = map { calls($_->[0], $_->[1], $_->[2], $_->[3] eq 't', $_->[4]) } @functions;
cmp_ok(scalar @calls, '>', 3 * @functions, 'each is called in several ways: ' . @calls);

for my $level ('READ COMMITTED', 'REPEATABLE READ')
{
	# nothing is left of a call, so that the next one finds what it should
	my $file = $node->basedir . '/calls.sql';
	unlink $file;
	# (to compile what is run once would take minutes, and has nothing to do with NULLs)
	append_to_file($file, "SET client_min_messages = error; SET jit = off; SET statement_timeout = '60s'; SET lock_timeout = '60s';\n\\set VERBOSITY verbose\n"
	  . join '', map { "BEGIN ISOLATION LEVEL $level;\n$_;\nROLLBACK;\n" } @calls);
	my ($status, $out, $error) = $node->psql('shop', "\\i $file\n", on_error_stop => 0);
	my $log = slurp_file($node->logfile);

	cmp_ok(() = $error =~ /^psql:\S+: ERROR: /mg, '>', @functions, "$level: much of that is refused");
	is($status, 0, "$level: the session survives every call");
	unlike($log, qr/terminated by signal|PANIC/, "$level: no call ends the server") or diag($log =~ /(server process .*? was terminated.*?\n.*?\n)/s);
	my @unworded = $error =~ /^psql:\S+: ERROR:  ((?:XX000|XX001|57014|55P03|08\w+)[^\n]*)/mg;
	is(join("\n", @unworded), '', "$level: each error is one that a user can read");
}

# ---------- triggers on tables and events that they are not for ----------

my @trigger_functions = map { $_->[1] } grep { $node->safe_psql('shop', "SELECT prorettype = 'trigger'::regtype FROM pg_proc WHERE oid = $_->[0]") eq 't' } @functions;
my $script = '';

cmp_ok(scalar @trigger_functions, '>', 15, 'there are functions of triggers');
for my $function (@trigger_functions)
{
	for my $when (map { my $time = $_; ("$time INSERT OR UPDATE OR DELETE ON strange FOR EACH ROW", "$time INSERT OR UPDATE OR DELETE OR TRUNCATE ON strange FOR EACH STATEMENT") } qw(BEFORE AFTER))
	{
		for my $arguments ('', "'{}'", "'{\"lead_id\": \"lead\"}'")
		{
			$script .= "BEGIN; CREATE TABLE strange (lead text, model text, offer text, placed timestamptz); INSERT INTO strange VALUES ('a', 'ecommerce', 'o', now());"
			  . "CREATE TRIGGER x_insert $when EXECUTE FUNCTION $function($arguments);\n"
			  . join('', map { "SAVEPOINT s; $_;\nROLLBACK TO s;\n" } q{INSERT INTO strange VALUES (NULL, NULL, NULL, NULL)}, q{UPDATE strange SET lead = NULL, model = NULL, offer = NULL}, 'DELETE FROM strange', 'TRUNCATE strange')
			  . "ROLLBACK;\n";
		}
	}
}
$script .= "BEGIN; CREATE EVENT TRIGGER strange ON $_->[1] EXECUTE FUNCTION leadscore_internal.$_->[0](); CREATE TABLE strange (a int); ALTER TABLE strange ALTER a TYPE text; DROP TABLE strange; ROLLBACK;\n"
  for map { my $function = $_; map { [ $function, $_ ] } qw(ddl_command_start ddl_command_end sql_drop table_rewrite) } qw(follow_drops follow_children);
append_to_file($node->basedir . '/triggers.sql', "SET client_min_messages = error;\n\\set VERBOSITY verbose\n$script");
my ($status, $out, $error) = $node->psql('shop', '\i ' . $node->basedir . "/triggers.sql\n", on_error_stop => 0);
is($status, 0, 'triggers: the session survives them');
unlike(slurp_file($node->logfile), qr/terminated by signal|PANIC/, '... and so does the server');
is(join("\n", $error =~ /ERROR:  ((?:XX000|XX001)[^\n]*)/g), '', '... and each error is one that a user can read');
is($node->safe_psql('shop', 'SELECT count(*) FROM leadscore.verify()'), '0', 'and nothing has changed');
$node->stop;

done_testing();
