# The benchmark and what it cannot do: sizes that are none, a disk that is too small or fills up, a run that is killed.
# It says so in a clear word, and leaves no server and no folder.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use IPC::Run;
use Test::More;
use Time::HiRes qw(sleep time);

plan skip_all => 'the test looks into /proc' unless -r "/proc/$$/environ";

# what a run starts is known by its environment (the tests have a WORKSPACE of their own, which is not the run's)
my $runs = 0;

sub begin_run
{
	my ($settings, @limit) = @_;
	my %run = (mark => "LEADSCORE_RUN=$$." . ++$runs);
	my @variables = map { "$_=$settings->{$_}" } sort keys %$settings;

	$run{handle} = IPC::Run::start(
		[ @limit, 'env', (map { ('-u', $_) } qw(WORKSPACE KEEP QUICK BARS REPEATS EVENTS DUCKDB BASE)), $run{mark}, "PG_CONFIG=$ENV{REAL_PG_CONFIG}", 'SHARED_DATA=none', 'BUILD=with_llvm=no COPT=-O0', @variables, "$FindBin::Bin/../run", 'bench' ],
		'<', \undef, '>', \$run{out}, '2>&1');
	return \%run;
}

# its processes, with the folder that they work in
sub processes
{
	my ($run) = @_;
	my %found;

	for my $file (glob '/proc/[0-9]*/environ')
	{
		open my $handle, '<', $file or next;
		local $/;
		my $environment = "\0" . (readline($handle) // '') . "\0";
		next if index($environment, "\0$run->{mark}\0") < 0;
		$file =~ /(\d+)/;
		$found{$1} = $environment =~ /\0WORKSPACE=([^\0]+)/ ? $1 : '';
	}
	return %found;
}

sub ends_with
{
	my ($run, $word, $name) = @_;

	$run->{handle}->finish;
	cmp_ok($run->{handle}->full_result, '!=', 0, "$name: fails");
	like($run->{out}, $word, "$name: says why");
	my %left = processes($run);
	is(join(' ', keys %left), '', "$name: nothing is left running");
	ok(!-e $run->{folder}, "$name: nor its folder") if $run->{folder};
	return;
}

for my $bad ([ EVENTS => '0', qr/^EVENTS must be a number from 1000 to 999999999, not: 0$/m ],
	[ EVENTS => 'abc', qr/^EVENTS must be a number .* not: abc$/m ],
	[ REPEATS => '0', qr/^REPEATS must be a number from 1 to 999, not: 0$/m ],
	[ BARS => '1,99', qr/^BARS must name bars .* not: 1,99$/m ],
	[ BASE => 'nonsense', qr/^BASE must be a commit, a folder or none, not: nonsense$/m ],
	[ EVENTS => '999999999', qr/^The benchmark needs \d+ GB in .*; \d+ GB are free\. Try fewer EVENTS\.$/m ])
{
	my ($name, $value, $word) = @$bad;
	ends_with(begin_run({ $name => $value }), $word, "$name=$value");
}

# a file can have 24 MB at most, or a little more than the server's largest program: the events do not fit
my ($most) = sort { $b <=> $a } 25165824, map { 1048576 + -s } glob((split /:/, $ENV{PATH})[0] . '/*');
ends_with(begin_run({ EVENTS => int($most / 80), BARS => 13 }, 'prlimit', "--fsize=$most"), qr/could not (extend|write).*the benchmark failed in: psql/s, 'a full disk');

# killed while it works
my $run = begin_run({ EVENTS => 1000000, BARS => 13 });
my $until = time + 600;
while ($run->{out} !~ /== making/ && time < $until)
{
	$run->{handle}->pump_nb;
	sleep 0.2;
}
sleep 1;
my %working = processes($run);
($run->{folder}) = grep { $_ } values %working;
ok($run->{folder} && -e "$run->{folder}/data_directory/postmaster.pid", 'killed: it has a server by then');
$run->{handle}->signal('TERM');
ends_with($run, qr/^make bench was stopped; its server is shut down and its folder removed\.$/m, 'killed');

done_testing();
