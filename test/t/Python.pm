# Comparisons with Python's libraries: the interpreter that has them, and scripts run by it.
package Python;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use IPC::Run;

our @EXPORT = qw(python_with run_python);

# The first interpreter that can import the modules, or undef (an error where LEADSCORE_NEEDS_PYTHON is set). Debian's own comes first: that is where its packages are.
sub python_with
{
	my $import = 'import ' . join ', ', @_;

	for my $python ('/usr/bin/python3', 'python3')
	{
		my ($out, $error);

		return $python if eval { IPC::Run::run([ $python, '-c', $import ], '>', \$out, '2>', \$error) };
	}
	die "no python3 can $import\n" if $ENV{LEADSCORE_NEEDS_PYTHON};
	return undef;
}

# What a script prints; its arguments follow it.
sub run_python
{
	my ($python, $script, @arguments) = @_;
	my ($out, $error);

	IPC::Run::run([ $python, '-c', $script, @arguments ], '>', \$out, '2>', \$error) or die "python: $error";
	return $out;
}

1;
