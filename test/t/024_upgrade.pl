# pg_upgrade to a cluster of the same version, with no step before it: everything is there, scores what it did, and
# goes on counting.

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
$old->safe_psql('shop', q{
	SELECT leadscore.partition_timelines(4);
	INSERT INTO shop.clicks VALUES (0, 'pending', '2026-01-01');
	SELECT shop.try($$SELECT leadscore.identify('v1', '5')$$);
	INSERT INTO leadscore.derivation (behaviour, kinds) VALUES ('visit', '{visit,click}');
	SELECT count(*) FROM leadscore.derive();
	INSERT INTO leadscore.offer (offer, model, segment, discount, valid_for, budget, holdout_share)
		SELECT 'offer', model, segment, 10, '1 day', 50, 0.5 FROM leadscore.segment WHERE position = 1 AND model = 'ecommerce'});
$old->safe_psql('shop', q{CALL leadscore.watch('ecommerce', notify => false)});
$old->safe_psql('shop', q{INSERT INTO leadscore.event (lead_id, kind, occurred_at) SELECT 'old ' || i, 'visit', '2023-12-31' FROM generate_series(1, 20) i});
$old->safe_psql('shop', q{CALL leadscore.archive('2024-01-01')});
$old->safe_psql('shop', q{DELETE FROM leadscore.event WHERE occurred_at < '2024-01-01'});
$old->safe_psql('shop', q{
	SELECT leadscore.partition_events();
	INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('old', 'visit', '2024-01-03'), ('old', 'visit', '2024-02-03')});
$old->safe_psql('shop', q{CALL leadscore.move_events('2024-06-01')});
$old->safe_psql('shop', q{
	INSERT INTO leadscore.event (lead_id, kind, value) SELECT 'hot ' || i % 9, 'purchase', 100 FROM generate_series(1, 60) i;
	SELECT leadscore.refresh_segments()});
# a database with an extension that is not used, and one whose snapshot cannot be read
$old->safe_psql('postgres', 'CREATE DATABASE fresh');
$old->safe_psql('fresh', 'CREATE EXTENSION leadscore');
$old->safe_psql('postgres', 'CREATE DATABASE unread');
$old->safe_psql('unread', 'CREATE EXTENSION leadscore; REFRESH MATERIALIZED VIEW leadscore.lead_segment WITH NO DATA');

my %state = map { $_ => $old->safe_psql('shop', $_) } (
	'SELECT lead_id, timeline FROM leadscore.lead_timeline ORDER BY 1', 'SELECT * FROM leadscore.lead_alias ORDER BY 1',
	'SELECT tableoid::regclass, * FROM leadscore_internal.timeline_base ORDER BY lead_id', 'TABLE leadscore.archive',
	'SELECT tableoid::regclass, * FROM leadscore.event ORDER BY event_id', 'TABLE leadscore_internal.event_partitioning',
	'SELECT * FROM leadscore_internal.source_trigger ORDER BY source::text, trigger_prefix', 'SELECT * FROM leadscore.lead_segment ORDER BY 1, 2',
	'SELECT * FROM leadscore.signal ORDER BY 1', q{SELECT leadscore.scorecard('default') FROM leadscore.model}, 'SELECT * FROM leadscore_internal.counted_signal ORDER BY 1',
	q{SELECT last_value, is_called FROM leadscore.signal_signal_id_seq}, 'SELECT * FROM leadscore.derived_event ORDER BY 1', 'SELECT * FROM leadscore.watched_model',
	'SELECT * FROM leadscore.segment_change ORDER BY 1', 'SELECT * FROM leadscore.voucher ORDER BY 1', 'SELECT * FROM leadscore_internal.offer_slot ORDER BY 1, 2',
	'SELECT * FROM leadscore.model_version ORDER BY 1, 2', 'SELECT * FROM leadscore_internal.split_tables() ORDER BY 1', 'SELECT * FROM leadscore.status ORDER BY 1, 2, 3',
	q{SELECT lead_id, leadscore.score(lead_id, 'ecommerce', '2026-02-01') FROM leadscore_internal.visible_lead ORDER BY 1});
$old->stop;

my $new = new_node('new');
chomp(my $here = qx(pwd));
chdir $new->basedir;	# pg_upgrade leaves its log there
my ($program) = grep { -x } map { "$_/pg_upgrade" } split /:/, $ENV{PATH};
my $bindir = $program =~ s{/pg_upgrade$}{}r;
my @pg_upgrade = ($program, '--no-sync', '-d', $old->data_dir, '-D', $new->data_dir, '-b', $bindir, '-B', $bindir,
	'-s', $new->host, '-p', $old->port, '-P', $new->port);
command_ok([ @pg_upgrade, '--check' ], 'pg_upgrade --check');
command_ok(\@pg_upgrade, 'pg_upgrade');
chdir $here;

$new->start;
is($new->safe_psql('shop', $_), $state{$_}, s/.*FROM leadscore\.(\w+).*/$1/r) for sort keys %state;
is_true($new, 'upgraded');
is($new->safe_psql('fresh', 'SELECT * FROM leadscore.status'), '', 'what was not used waits for nothing');
is($new->safe_psql('unread', 'SELECT object, action FROM leadscore.status'), 'lead_segment|SELECT leadscore.refresh_segments()', 'a snapshot that could not be read waits for its refresh');
run_load($new, 2);
is_true($new, 'written');
$new->safe_psql('shop', q{
	SELECT count(*) FROM leadscore.derive();
	SELECT leadscore.refresh_segments();
	INSERT INTO leadscore.event (lead_id, kind, value) SELECT 'new', 'purchase', 100 FROM generate_series(1, 9)});
is($new->safe_psql('shop', q{SELECT count(*) > 0 FROM leadscore.segment_change WHERE lead_id = 'new'}), 't', 'transitions go on');
is_true($new, 'derived');
$new->stop;

done_testing();
