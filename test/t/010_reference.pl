# The documents match the code: every object of the schema has a comment, a heading and a place in the index of
# doc/reference.md, nothing stands there that does not exist, links lead somewhere, and all examples run, with the
# output that is printed.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $reference = slurp_file('doc/reference.md');

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\ntimezone = 'UTC'");
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE catalog');
$node->safe_psql('catalog', 'CREATE EXTENSION leadscore');

sub rows { return split /\n/, $node->safe_psql('catalog', $_[0]); }

# Two lists have the same elements, whatever their order.
sub same
{
	my ($got, $expected, $name) = @_;
	my %got = map { $_ => 1 } @$got;
	my %expected = map { $_ => 1 } @$expected;

	ok(!(grep { !$expected{$_} } @$got) && !(grep { !$got{$_} } @$expected), $name)
	  or diag(map({ "missing: $_\n" } grep { !$got{$_} } @$expected), map { "too much: $_\n" } grep { !$expected{$_} } @$got);
}

# ---------- (a) comments ----------

my $objects = q{
	SELECT classid, objid, pg_describe_object(classid, objid, 0) AS name
	FROM pg_depend
	WHERE refclassid = 'pg_extension'::regclass
	AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'leadscore') AND deptype = 'e'
	AND NOT (classid = 'pg_type'::regclass AND EXISTS (
		SELECT FROM pg_type t WHERE t.oid = objid AND (t.typelem <> 0 OR t.typtype = 'c' AND t.typrelid IN (
			SELECT oid FROM pg_class WHERE relkind <> 'c'))))
	AND NOT (classid = 'pg_class'::regclass AND EXISTS (
		SELECT FROM pg_class c WHERE c.oid = objid AND c.relkind NOT IN ('r', 'v', 'm')))
	AND classid NOT IN ('pg_namespace'::regclass, 'pg_opfamily'::regclass)
};
same(
	[ rows("SELECT name FROM ($objects) o WHERE obj_description(objid, classid::regclass::text::name) IS NULL ORDER BY 1") ],
	[], 'every object has a comment');

my $columns = q{
	SELECT c.oid, c.relkind, c.relname, a.attnum, a.attname
	FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
	WHERE c.relnamespace = 'leadscore'::regnamespace AND c.relkind IN ('r', 'v', 'm', 'c')
};

same(
	[
		rows(
			"SELECT relname || '.' || attname FROM ($columns) c WHERE col_description(oid, attnum) IS NULL ORDER BY 1")
	],
	[],
	'every column has a comment');

# ---------- (a) entries in the reference ----------

# Headings such as "### `score(lead_id text, ...) → float8`": functions, by names, types and defaults of their
# arguments.
my @headings = map { s/ → .*//r =~ s/[`\\]//gr } $reference =~ /^### (`\w+\(.*)$/mg;
my @public = map { s/::[\w ]+(\[\])?(?=[,)])//gr =~ s/DEFAULT \(([^()]*\(\)[^()]*)\)/DEFAULT $1/gr =~ s/'00:01:00'/'1 minute'/r } rows(q{
	SELECT p.proname || '(' || replace(replace(replace(regexp_replace(pg_get_function_arguments(p.oid), ',? ?OUT .*|IN ', '', 'g'),
		'timestamp with time zone', 'timestamptz'), 'double precision', 'float8'), 'leadscore.', '') || ')'
	FROM pg_proc p
	WHERE p.pronamespace = 'leadscore'::regnamespace
	ORDER BY 1
});
same(\@headings, \@public, 'the reference has every public function, aggregate and procedure, with its defaults');

cmp_ok(scalar @public, '<=', 151, 'the schema leadscore is short enough to be a table of contents');

# Sections such as "### Table `lead`", each with a table of its columns.
my %kind = (r => 'Table', v => 'View', m => 'Materialized view', c => 'Type');
my (@in_catalog, @in_reference);
for (rows("SELECT relkind, relname, attname FROM ($columns) c"))
{
	my ($kind, $relation, $column) = split /\|/;
	push @in_catalog, "$kind{$kind} $relation: $column";
}
while ($reference =~ /^### (Table|View|Materialized view|Type) `(\w+)`\n(.*?)(?=^##)/msg)
{
	my ($kind, $relation, $section) = ($1, $2, $3);

	next if $relation eq 'timeline';
	my ($table) = $section =~ /^\| column \|.*\n\|[-|]+\n((?:\|.*\n)+)/m;
	push @in_reference, map { "$kind $relation: $_" } ($table // '') =~ /^\| `(\w+)` \|/mg;
}
same(\@in_reference, \@in_catalog, 'it has every column of every table, view and composite type');

my @types = rows(q{SELECT typname FROM pg_type
	WHERE typnamespace = 'leadscore'::regnamespace AND typtype IN ('b', 'd', 'e', 'r') AND typelem = 0});
same([ grep { $reference !~ /^### Type `$_`$/m } @types ], [], 'it has every type');

my @operators = rows(q{SELECT concat_ws(' ', nullif(oprleft::regtype::text, '-'), oprname, oprright::regtype)
	FROM pg_operator WHERE oprnamespace = 'leadscore'::regnamespace});
same([ grep { index($reference, '| `' . s/leadscore\.//gr . '` |') < 0 } @operators ], [], 'it has every operator');

my @classes = rows(q{SELECT opcname FROM pg_opclass WHERE opcnamespace = 'leadscore'::regnamespace});
same([ grep { index($reference, "`$_`") < 0 } @classes ], [], 'it has every operator class');

# The index has each name once, and is in order.
my ($index) = $reference =~ /^## Index\n(.*)/ms;
my @in_index = ($index // '') =~ /\[`([\w()]+)`\]/g;
my @names = rows(q{
	SELECT DISTINCT proname || '()' FROM pg_proc WHERE pronamespace = 'leadscore'::regnamespace
	UNION SELECT relname FROM pg_class WHERE relnamespace = 'leadscore'::regnamespace AND relkind IN ('r', 'v', 'm', 'c')
	UNION SELECT typname FROM pg_type WHERE typnamespace = 'leadscore'::regnamespace AND typtype IN ('b', 'd', 'e', 'r') AND typelem = 0});
my %key = map { $_ => (s{\(\)}{}r =~ tr{_}{ }r) . "\t$_" } @in_index;
same(\@in_index, \@names, 'the index has every function, table, view and type');
is("@in_index", join(' ', sort { $key{$a} cmp $key{$b} } @in_index), 'each name once, in the order of the alphabet');

# ---------- (a) links, and lines ----------

# What a link may name: headings, as GitHub makes anchors of them, and anchors of our own.
my @documents = ('README.md', 'CHANGELOG.md', sort glob 'doc/*.md');
my %text = map { $_ => slurp_file($_) } @documents;
my %anchors;
for my $path (@documents)
{
	$anchors{$path}{ lc($_) =~ s/[^\w\- ]//gar =~ tr/ /-/r } = 1 for $text{$path} =~ /^#+ (.*)$/mg;
	$anchors{$path}{$_} = 1 for $text{$path} =~ /<a id="([^"]+)">/g;
}

my (@astray, @long);
for my $path (@documents)
{
	my ($folder) = $path =~ m{^(.*/)?};
	for ($text{$path} =~ /\]\(([^()\s]+)\)/g)
	{
		next if /^https?:/;
		my ($file, $anchor) = /^([^#]*)#?(.*)$/;
		my $target = $file eq '' ? $path : ($folder // '') . $file;
		$target =~ s{^doc/\.\./}{};
		push @astray, "$path: $_" if !-e $target || $anchor ne '' && !$anchors{$target}{$anchor};
	}

	# tables, headings, drawings and examples have lines of their own length
	my $prose = $text{$path} =~ s/^```.*?^```$//gmsr;
	push @long, map { "$path: $_" } grep { length > 120 && !m{^(?:[|#]|    )} } split /\n/, $prose;
}
is("@astray", '', 'every link leads to a heading');
is(join("\n", @long), '', 'lines of prose have at most 120 bytes');

# ---------- (b) examples ----------

# Sums of floats may differ in their last digits between machines, and with them the width of a column.
sub rounded { return $_[0] =~ s/(\.\d{9})\d+/$1/gr =~ s/ +/ /gr =~ s/-+/-/gr; }

for my $path ('README.md', 'doc/reference.md', 'doc/guide.md', 'doc/internals.md')
{
	my $database = lc($path =~ s/\W/_/gr);
	my ($document, $errors);

	# the README scores what has happened just now, and scores change with the hour
	sleep 1 while time % 3600 > 3600 - 30;
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	local %ENV = (%ENV, PGHOST => $node->host, PGPORT => $node->port, PGDATABASE => $database);
	ok(IPC::Run::run([ $^X, 'test/examples', $path ], '>', \$document, '2>', \$errors), "$path: the examples run");
	diag($errors) if $errors ne '';

	my @expected = split /^/, slurp_file($path);
	my @got = split /^/, $document;
	my @differences = map { "line " . ($_ + 1) . ": $expected[$_]  now: " . ($got[$_] // '') }
	  grep { rounded($expected[$_]) ne rounded($got[$_] // '') } 0 .. $#expected;
	ok(@expected == @got && !@differences, "$path: they have the output that is printed")
	  or diag(@differences[ 0 .. ($#differences < 9 ? $#differences : 9) ]);
}

# ---------- one version ----------

my ($version) = slurp_file('leadscore.control') =~ /^default_version = '(.*)'/m;
is_deeply([ slurp_file('META.json') =~ /"version": "(.*)"/g ], [ $version, $version, '1.0.0' ],
	'META.json has the version of the control file');
like(slurp_file('CHANGELOG.md'), qr/^## \Q$version\E\b/m, 'the changelog has it, too');

done_testing();
