# What packagers and CI read is true: META.json keeps to the specification of PGXN, every package has the version of the
# control file, YAML, TOML and the Dockerfile can be read, and what they name exists.

use strict;
use warnings FATAL => 'all';

use FindBin;
use JSON::PP;
use lib $FindBin::Bin;
use PostgreSQL::Test::Utils;
use Python;
use Test::More;

my $python = python_with('yaml', 'tomllib') or plan skip_all => 'Python with yaml and tomllib is missing';
my ($version) = slurp_file('leadscore.control') =~ /^default_version = '(.*)'/m;
my $semver = qr/^\d+\.\d+\.\d+(?:-[0-9A-Za-z-]+)?$/;

# ---------------------------------------------------------------- META.json, by https://pgxn.org/spec/

# What a member must be: a pattern of its value, or a routine that gives its faults.
my $text = qr/\S/;
my $url = qr{^https?://[^\s/]+\.[^\s/]+(?:/\S*)?$};
my $address = qr/^[^\s@]+@[^\s@]+\.[^\s@]+$/;

sub faults
{
	my ($path, $value, $plan) = @_;

	return $plan->($path, $value) if ref $plan eq 'CODE';
	return (ref $value || !defined $value || $value !~ $plan) ? "$path: not as it must be" : () if ref $plan eq 'Regexp';
	return "$path: no object" if ref $value ne 'HASH';
	my %known = map { s/\?$//r => $_ } keys %$plan;
	return map({ "$path: unknown $_" } grep { !$known{$_} && !/^x_/i } sort keys %$value),
	  map({ "$path: lacks $_" } grep { !exists $value->{$_} } grep { !/\?$/ } sort keys %$plan),
	  map { faults("$path.$_", $value->{$_}, $plan->{ $known{$_} }) } grep { $known{$_} } sort keys %$value;
}

# A list of at least one, or an object with any names.
sub list_of
{
	my $plan = shift;

	return sub {
		my ($path, $list) = @_;
		return "$path: no list" if ref $list ne 'ARRAY' || !@$list;
		return map { faults("$path\[$_]", $list->[$_], $plan) } 0 .. $#$list;
	};
}

sub map_of
{
	my $plan = shift;

	return sub {
		my ($path, $map) = @_;
		return "$path: no object" if ref $map ne 'HASH' || !%$map;
		return map { faults("$path.$_", $map->{$_}, $plan) } sort keys %$map;
	};
}

my $relations = { map { ("$_?" => map_of(qr/^(?:0|\d+\.\d+\.\d+.*)$/)) } qw(requires recommends suggests conflicts) };
my %meta = (
	name => qr{^[^/\\\s]{2,}$}, version => $semver, abstract => $text, 'description?' => $text, 'generated_by?' => $text,
	maintainer => list_of(qr/^[^<>]+ <[^\s<>@]+@[^\s<>@]+\.[^\s<>@]+>$/),
	license => qr/^postgresql$/, 'release_status?' => qr/^(?:stable|testing|unstable)$/,
	provides => map_of({ file => sub { -f $_[1] ? () : "$_[0]: no file" }, version => $semver, 'abstract?' => $text, 'docfile?' => sub { -f $_[1] ? () : "$_[0]: no file" } }),
	'prereqs?' => { map { ("$_?" => $relations) } qw(configure build test runtime develop) },
	'resources?' => {
		'homepage?' => $url, 'bugtracker?' => { 'web?' => $url, 'mailto?' => $address },
		'repository?' => { 'url?' => $url, 'web?' => $url, 'type?' => qr/^[a-z]+$/ } },
	'tags?' => list_of(qr{^[^/\\]{1,255}$}), 'meta-spec' => { version => qr/^1\.\d+\.\d+$/, 'url?' => $url });

my $meta = decode_json(slurp_file('META.json'));
is(join("\n", faults('META.json', $meta, \%meta)), '', 'META.json keeps to the specification');
is(join(' ', grep { !exists $meta->{$_} } qw(description release_status resources prereqs tags)), '', '... and has what an index shows');
is(join(' ', sort map { s/.*: //r } faults('', { %$meta, version => '0.1', licence => 1, maintainer => 'nobody', resources => { homepage => 'here' } }, \%meta)),
	'no list not as it must be not as it must be unknown licence', '... which is looked at');

# ---------------------------------------------------------------- versions

my %said = map { $_->[0] => slurp_file("doc/packaging/$_->[0]") =~ $_->[1] ? $1 : 'none' } (
	[ 'debian/changelog', qr/\Aleadscore \((\S+)-\d+\)/ ], [ 'leadscore.spec', qr/^Version: +(\S+)$/m ], [ 'leadscore.nix', qr/version = "(.*)";/ ],
	[ 'pgxman.yaml', qr/^version: "(.*)"$/m ], [ 'Trunk.toml', qr/^version = "(.*)"$/m ]);
is(join(' ', map { "$_ $said{$_}" } grep { $said{$_} ne $version } sort keys %said), '', 'every package has the version of the control file');

# ---------------------------------------------------------------- what can be read

my @yaml = ('.github/workflows/ci.yml', 'doc/packaging/docker/compose.yaml', 'doc/packaging/pgxman.yaml');
my %read = %{ decode_json(run_python($python, <<'SCRIPT', @yaml, 'doc/packaging/Trunk.toml')) };
import json, sys, tomllib, yaml
print(json.dumps({name: tomllib.load(open(name, 'rb')) if name.endswith('.toml') else yaml.load(open(name), yaml.BaseLoader) for name in sys.argv[1:]}))
SCRIPT
is_deeply([ sort keys %{ $read{'doc/packaging/pgxman.yaml'} } ], [ sort qw(apiVersion name version homepage source description license keywords arch maintainers build pgVersions) ], 'the buildkit has the members of a buildkit');
is_deeply([ sort keys %{ $read{'doc/packaging/Trunk.toml'} } ], [ sort qw(extension dependencies build) ], 'Trunk.toml its tables');

# ---------------------------------------------------------------- CI

my $jobs = $read{'.github/workflows/ci.yml'}{jobs};
my @commands = grep { defined } map { $_->{run} } map { @{ $_->{steps} } } values %$jobs;
my %goals = map { s/.*\///r => 1 } glob 'test/goals/*';
my %called = map { $_ => 1 } map { /^(?:pg_virtualenv .* )?make (?:[A-Z_]+=\S* )*([a-z-]+)(?: |$)/ } @commands;
is(join(' ', grep { !$goals{$_} && !/^(?:install|installcheck)$/ } sort keys %called), '', 'each target that CI names exists');
is(join(' ', grep { !$called{$_} } qw(check-assert check-sanitize check-dist deb installcheck lint)), '', '... and those that it must run are among them');
ok((grep { $_ eq '.ci/run' } @commands), '... as is .ci/run');
is("@{ $jobs->{check}{strategy}{matrix}{version} }", '15 16 17 18 19', '... on every server');
my ($harness) = slurp_file('Makefile') =~ /^HARNESS = ((?:.*\\\n)*.*)$/m;
is_deeply([ sort grep { $_ ne '\\' } split ' ', $harness ], [ sort keys %goals ], 'make knows each goal');

# ---------------------------------------------------------------- Docker

my $dockerfile = slurp_file('doc/packaging/docker/Dockerfile');
my %stages = map { $_ => 1 } $dockerfile =~ /^FROM \S+ AS (\w+)$/mg;
is(join(' ', grep { !$stages{$_} } $dockerfile =~ /^COPY --from=(\w+) /mg), '', 'stages that are copied from exist');
is(join(' ', grep { !-e } $dockerfile =~ /^COPY (?!--)(\S+) /mg), '', 'files that are copied exist');
is(join(' ', grep { !/^(?:ARG|FROM|RUN|COPY|ENV|USER|CMD|#.*|)$/ } map { s/^([A-Z]+) .*/$1/r } split /\n/, $dockerfile), '', 'the Dockerfile has a known instruction in each line');
for my $service (values %{ $read{'doc/packaging/docker/compose.yaml'}{services} })
{
	my ($build, $target) = ($service->{build}, $service->{build}{target} // '');
	ok(-e "doc/packaging/docker/$build->{context}/$build->{dockerfile}" && ($target eq '' || $stages{$target}), "compose builds what is there: $target");
	is(join(' ', grep { !/^127\.0\.0\.1:/ } @{ $service->{ports} }), '', '... and publishes it on loopback only');
}

done_testing();
