# pg_upgrade to a cluster of the same version: everything is there, and goes on counting.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use PostgreSQL::Test::Utils;
use Test::More;
use Workload;

my $old = new_node('old');
$old->start;
setup_shop($old);
run_load($old, 2);
$old->safe_psql('shop', 'SELECT leadscore.refresh_segments()');
my %state = map { $_ => $old->safe_psql('shop', $_) } (
	'SELECT lead_id, timeline FROM leadscore.lead_timeline ORDER BY 1', 'SELECT * FROM leadscore.lead_alias ORDER BY 1',
	'SELECT * FROM leadscore.source_trigger ORDER BY source::text, trigger_prefix', 'SELECT model, lead_id, last_active FROM leadscore.lead_segment ORDER BY 1, 2',
	'SELECT * FROM leadscore.signal ORDER BY 1', q{SELECT leadscore.scorecard('default')}, 'SELECT * FROM leadscore.counted_signal ORDER BY 1',
	q{SELECT last_value, is_called FROM leadscore.signal_signal_id_seq});
# pg_upgrade cannot make the snapshot of an extension: it is emptied before, and filled after.
$old->safe_psql('shop', 'REFRESH MATERIALIZED VIEW leadscore.lead_segment WITH NO DATA');
$old->stop;

my $new = new_node('new');
my $bindir = $old->config_data('--bindir');
chomp(my $here = qx(pwd));
chdir $new->basedir;	# pg_upgrade leaves its log there
my ($program) = grep { -x } map { "$_/pg_upgrade" } split /:/, $ENV{PATH};
$bindir = $program =~ s{/pg_upgrade$}{}r;
command_ok([ $program, '--no-sync', '-d', $old->data_dir, '-D', $new->data_dir, '-b', $bindir, '-B', $bindir,
	'-s', $new->host, '-p', $old->port, '-P', $new->port ], 'pg_upgrade');
chdir $here;

$new->start;
$new->safe_psql('shop', 'SELECT leadscore.refresh_segments()');
is($new->safe_psql('shop', $_), $state{$_}, s/.*FROM leadscore\.(\w+).*/$1/r) for sort keys %state;
is_true($new, 'upgraded');
run_load($new, 2);
is_true($new, 'written');
$new->stop;

done_testing();
