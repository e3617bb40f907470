# What packagers run: make, make install, make installcheck; in a plain checkout, and in a folder beside it (VPATH).
#
#   LEADSCORE_INSTALLCHECK=1   all SQL tests; else every third, as "make check" has run all of them before

use strict;
use warnings FATAL => 'all';

use Cwd;
use FindBin;
use lib $FindBin::Bin;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use Workload;

my $checkout = PostgreSQL::Test::Utils::tempdir();
my $beside = PostgreSQL::Test::Utils::tempdir();
my $root = PostgreSQL::Test::Utils::tempdir();
my @make = ('make', '--silent', "PG_CONFIG=$ENV{REAL_PG_CONFIG}");

# Runs a command in a folder; its output is shown if it fails.
sub succeeds
{
	my ($folder, $name, @command) = @_;
	my $output;
	my $before = getcwd();

	chdir $folder or die "$folder: $!";
	my $done = IPC::Run::run(\@command, '<', \undef, '>', \$output, '2>&1');
	chdir $before or die "$before: $!";
	ok($done, $name) or diag($output);
	return $output;
}

# the files of a folder, and below it
sub files { my $folder = shift; return join ' ', sort split /\n/, `cd '$folder' && find . -type f -o -type l`; }

system("tar --exclude=./.git --exclude='*.o' --exclude='*.bc' --exclude='*.so' --exclude='./sql/leadscore--*--*.sql' --exclude='./sql/leadscore--[1-9]*.sql' -cf - . | tar -C '$checkout' -xf -") == 0 or die;
my $clean = files($checkout);

# The server is one of the machine's: as its distribution, its DBA and its users want it.
my $node = new_node('main', extra => [ '--encoding=LATIN1', '--locale=C' ]);
$node->append_conf('postgresql.conf', "datestyle = 'German'\nintervalstyle = 'iso_8601'\nextra_float_digits = 0\nbytea_output = 'escape'");
$node->start;
is($node->safe_psql('postgres', q{SELECT setting, source FROM pg_settings WHERE name = 'jit'}), 'on|configuration file', 'servers of the tests have jit on, and say so');
$ENV{PGHOST} = $node->host;
$ENV{PGPORT} = $node->port;

my @tests = map { s,.*/,,r =~ s/\.sql$//r } sort glob "$checkout/test/sql/*.sql";
my @some = $ENV{LEADSCORE_INSTALLCHECK} ? @tests : @tests[ grep { $_ % 3 == 0 } 0 .. $#tests ];
like(succeeds($checkout, 'make says what installcheck would do', @make, '--dry-run', 'installcheck'), qr/ @tests$/m, '... which is to run all SQL tests');
my $output = succeeds($checkout, 'make installcheck in a plain checkout', @make, 'installcheck', @some == @tests ? () : "REGRESS=@some");
is(() = $output =~ /^(?:test .*|ok \d+ .*)$/mg, @some, '... runs them') or diag($output);
succeeds($checkout, '... and once more, with the roles that are there', @make, 'installcheck', 'REGRESS=derivation');
unlink "$checkout/test/expected" or die;
append_to_file("$checkout/test/expected", '../expected');
succeeds($checkout, '... and where a link has become a file, as PGXN\'s client leaves it', @make, 'installcheck', 'REGRESS=timeline_type');
succeeds($checkout, 'make clean', @make, 'clean');
is(files($checkout), $clean, '... leaves nothing that was not there before');

succeeds($beside, 'make beside the checkout', @make, '-j2', '-f', "$checkout/Makefile", 'COPT=-O0', 'with_llvm=no');
succeeds($beside, 'make install', @make, '-f', "$checkout/Makefile", 'install', 'with_llvm=no', "DESTDIR=$root");
is(join(' ', map { s,.*/,,r } split / /, files($root)), 'leadscore-1.so leadscore.so leadscore--0.1.0--1.0.0.sql leadscore--0.1.0.control leadscore--0.1.0.sql leadscore--1.0.0.sql leadscore.control',
	'... installs the libraries, the scripts and the control files');
succeeds($beside, 'make installcheck', @make, '-f', "$checkout/Makefile", 'installcheck', 'REGRESS=fit timeline_type');
succeeds($beside, 'make clean', @make, '-f', "$checkout/Makefile", 'clean');
is(files($beside), '', '... leaves nothing there');
is(files($checkout), $clean, '... and has put nothing into the checkout');
$node->stop;

done_testing();
