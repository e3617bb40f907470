# The rooms of src/: a file includes headers of its own room and of those that the plan in doc/internals.md allows, by the
# name of the room; and a subject has the same name in src/, sql/, test/sql/ and expected/.

use strict;
use warnings FATAL => 'all';

use File::Basename;
use PostgreSQL::Test::Utils;
use Test::More;

# room => the rooms that it may include; what lies in src/ itself is for all, and includes nothing of theirs
my %plan = (
	timeline => [],
	model => ['timeline'],
	live => [ 'model', 'act', 'timeline' ],
	act => [ 'model', 'timeline' ],
	learn => [ 'model', 'math', 'timeline' ],
	face => [ 'learn', 'model', 'timeline' ],
	customer => [ 'learn', 'math', 'model', 'timeline' ],
	math => [],
	update => [],
	'' => []);

my @files = sort (glob('src/*.[ch]'), glob('src/*/*.[ch]'));
cmp_ok(scalar @files, '>', 80, 'there are files');
my (@arrows, @unknown, @unnamed, %room_of);
$room_of{ basename($_) } = dirname($_) =~ s{^src/?}{}r for grep { /\.h$/ } @files;
for my $file (@files)
{
	my $room = dirname($file) =~ s{^src/?}{}r;

	push @unknown, $file if !$plan{$room};
	for my $included (slurp_file($file) =~ /^#\s*include\s+"([^"]+)"/mg)
	{
		my $theirs = dirname($included) =~ s/^\.$//r;

		if (!-e "src/$included")
		{
			push @unnamed, "$file: $included" if exists $room_of{$included};
			next;
		}
		push @arrows, "$file -> $included" if $theirs ne '' && $theirs ne $room && !grep { $_ eq $theirs } @{ $plan{$room} // [] };
	}
}
is(join("\n", @unknown), '', 'each file lies in a room of the plan');
is(join("\n", @unnamed), '', 'an include names the room');
is(join("\n", @arrows), '', 'no include goes against the plan');

my ($in_docs) = slurp_file('doc/internals.md') =~ /^## Rooms\n(.*?)^## /ms;
is(join("\n", grep { ($in_docs // '') !~ /^\| `\Q$_\E` \|/m } grep { $_ ne '' } sort keys %plan), '', 'the internals name each room');

# SQL: each file of sql/ is joined, and lies in a room
my %parts = map { $_ => 1 } map { /([a-z_\/]+)/g } slurp_file('Makefile') =~ /^(?:SQL|UPDATE)_PARTS\s*=((?:.*\\\n)*.*)$/mg;
is(join("\n", grep { !$parts{$_} } map { s{^sql/|\.sql$}{}gr } glob 'sql/*/*.sql'), '', 'each file of sql/ is part of the script');
my @tests = map { basename($_, '.sql') } glob 'test/sql/*.sql';
is(join("\n", grep { !-e "expected/$_.out" } @tests), '', 'each SQL test has its expected output');

done_testing();
