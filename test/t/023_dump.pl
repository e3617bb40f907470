# Dump and restore, in each format, gives back everything: timelines, configuration, sequences and triggers; status says
# that the snapshot is to be refreshed; and the restored database goes on counting.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use PostgreSQL::Test::Utils;
use Test::More;
use Workload;

my $node = new_node('main');
$node->start;
setup_shop($node);
run_load($node, 2);
# what is archived
$node->safe_psql('shop', q{INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('old', 'visit', '2023-12-31'), ('hot 1', 'visit', '2023-12-31')});
$node->safe_psql('shop', q{CALL leadscore.archive('2024-01-01')});
$node->safe_psql('shop', q{DELETE FROM leadscore.event WHERE occurred_at < '2024-01-01'});
# no alias, so that every alias is new to the restored database, and then one
$node->safe_psql('shop', q{
	INSERT INTO shop.clicks VALUES (0, 'pending', '2026-01-01');
	INSERT INTO leadscore.excluded_lead VALUES ('hot 3', 'staff', '2026-01-01'), ('nobody yet', NULL, '2026-01-02');
	-- sentences: a changed one, and those of a dialect and of a language of the shop's own
	UPDATE leadscore.sentence SET template = '%n Pkt.' WHERE language = 'de' AND name = 'points.many';
	INSERT INTO leadscore.sentence VALUES ('de_AT', 'points.many', '%n Punkterl'), ('fr', 'points.many', '%n points');
	UPDATE leadscore.signal SET label = 'look|looks' WHERE signal = 'visit';
	INSERT INTO leadscore.derivation (derivation, behaviour, kinds, then_kinds) VALUES ('soon', 'sequence', '{visit}', '{order}');
	SELECT shop.try($$SELECT leadscore.identify('v1', '5')$$);
	-- versions of a model, and an experiment with it
	SELECT leadscore.publish(leadscore.scorecard('ecommerce') || '{"model": "challenger", "report": {"by": "hand"}}');
	SELECT leadscore.publish(leadscore.scorecard('challenger') || '{"floor": -10, "time_zone": "Asia/Kolkata", "rules": [{"rule": "r", "any_of": [{"signal": "visit", "within": "30 days"}], "points": 2}],
		"segments": [{"segment": "s", "position": 1, "above_score": 3, "rules": ["r"]}, {"segment": "t", "position": 2}]}');
	UPDATE leadscore.weight SET if_none = -1, since_signal = 'purchase' WHERE model = 'challenger' AND signal = 'visit';
	INSERT INTO leadscore.experiment VALUES ('spring', 'ecommerce', 'challenger', 0.3, '2026-01-01', NULL, 'salt', 'tried in spring');
	SELECT leadscore.refresh_segments();
	-- a signal that is gone, whose number must not come again, and one whose history waits
	INSERT INTO leadscore.signal (signal, kind) VALUES ('gone', 'visit');
	CALL leadscore.rebuild();
	DELETE FROM leadscore.signal WHERE signal = 'gone';
	CALL leadscore.rebuild();
	INSERT INTO leadscore.signal (signal, kind) VALUES ('waiting', 'visit');
	INSERT INTO leadscore.offer (offer, model, segment, discount, valid_for, budget, holdout_share) SELECT 'offer', model, segment, 10, '1 day', 50, 0.5 FROM leadscore.segment WHERE position = 1 AND model = 'ecommerce';
});
# a change of a profile that somebody else was writing, and one of a lead that has none
$node->safe_psql('shop', q{INSERT INTO leadscore.pending_profile (lead_id, attributes, removed) VALUES ((SELECT min(lead_id) FROM leadscore.lead), '{"colour": "blue"}', '{country}'), ('only pending', '{"country": "DE"}', NULL)});
# transitions and vouchers, some of them taken
$node->safe_psql('shop', q{CALL leadscore.watch('ecommerce', notify => false)});
$node->safe_psql('shop', q{
	INSERT INTO leadscore.event (lead_id, kind, value) SELECT 'hot ' || i % 9, 'purchase', 100 FROM generate_series(1, 60) i});
wait_for_changes($node, 'shop');
$node->safe_psql('shop', q{
	BEGIN; SELECT count(*) FROM leadscore.take_changes('crm', 5); SELECT leadscore.acknowledge_changes('crm'); COMMIT;
	SELECT leadscore_internal.leave_tombstones('{gone}');
	UPDATE leadscore.model SET crm_step = 7 WHERE model = 'challenger';
	SELECT count(leadscore.redeem(code, lead_id, 'order of ' || lead_id, 10)) FROM leadscore.voucher WHERE code IS NOT NULL AND voucher_id < 5});
is($node->safe_psql('shop', q{SELECT count(*) FROM leadscore_internal.tombstone CROSS JOIN leadscore_internal.tombstone_salt CROSS JOIN leadscore.model WHERE crm_step = 7}), '1', 'somebody was forgotten');
cmp_ok($node->safe_psql('shop', 'SELECT count(*) FROM leadscore.voucher WHERE redeemed_at IS NOT NULL'), '>', 0, 'a voucher is redeemed');

# events that have moved into tables of their month
$node->safe_psql('shop', q{
	SELECT leadscore.partition_events('1 month', keep => '100 years');
	INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('old', 'visit', '2024-01-03'), ('old', 'visit', '2024-02-03')});
$node->safe_psql('shop', q{CALL leadscore.move_events('2024-06-01')});

# What must come back the same.
my %state = (
	timelines => 'SELECT lead_id, timeline FROM leadscore.lead_timeline ORDER BY 1',
	base => 'SELECT tableoid::regclass, * FROM leadscore_internal.timeline_base ORDER BY 2',
	'the instant of the archive' => 'TABLE leadscore.archive',
	pending => 'SELECT lead_id, delta::text FROM leadscore.pending_delta ORDER BY 1, 2',
	aliases => 'SELECT * FROM leadscore.lead_alias ORDER BY 1',
	leads => 'SELECT * FROM leadscore.lead ORDER BY 1',
	sentences => 'SELECT * FROM leadscore.sentence ORDER BY 1, 2',
	wordings => 'SELECT * FROM leadscore_internal.wording_document ORDER BY 1',
	exclusions => 'SELECT * FROM leadscore.excluded_lead ORDER BY 1',
	rules => 'SELECT * FROM leadscore.derivation ORDER BY 1',
	'pending profiles' => 'SELECT * FROM leadscore.pending_profile ORDER BY 1',
	profiles => 'SELECT * FROM leadscore.current_profile ORDER BY 1',
	events => 'SELECT tableoid::regclass, * FROM leadscore.event ORDER BY event_id',
	'what is moved' => 'TABLE leadscore_internal.event_partitioning',
	signals => 'SELECT * FROM leadscore.signal ORDER BY 1',
	scorecard => q{SELECT leadscore.scorecard('ecommerce')},
	'default model' => q{SELECT model, leadscore.scorecard() ->> 'model' FROM leadscore.default_model},
	weights => 'SELECT * FROM leadscore.weight ORDER BY weight_id',
	rules => 'SELECT * FROM leadscore.rule ORDER BY 1, 2',
	segments => 'SELECT * FROM leadscore.segment ORDER BY 1, 2',
	challenger => q{SELECT leadscore.scorecard('challenger')},
	'scores of it' => q{SELECT lead_id, leadscore.score(lead_id, 'challenger', '2026-02-01') FROM leadscore_internal.visible_lead ORDER BY 1},
	versions => 'SELECT * FROM leadscore.model_version ORDER BY 1, 2',
	experiments => 'SELECT * FROM leadscore.experiment',
	'arms' => q{SELECT lead_id, leadscore.arm('spring', lead_id), leadscore.score(lead_id, 'spring', '2026-02-01') FROM leadscore.lead_timeline ORDER BY 1 LIMIT 20},
	'counted signals' => 'SELECT * FROM leadscore_internal.counted_signal ORDER BY 1',
	status => q{SELECT * FROM leadscore.status WHERE object <> 'lead_segment' ORDER BY 1, 2, 3},
	watched => 'SELECT * FROM leadscore.watched_model ORDER BY 1',
	states => 'SELECT * FROM leadscore.lead_state ORDER BY 1, 2',
	changes => 'SELECT * FROM leadscore.segment_change ORDER BY 1',
	consumers => 'SELECT * FROM leadscore.change_consumer ORDER BY 1',
	offers => 'SELECT * FROM leadscore.offer ORDER BY 1',
	slots => 'SELECT * FROM leadscore_internal.offer_slot ORDER BY 1, 2',
	vouchers => 'SELECT * FROM leadscore.voucher ORDER BY 1',
	money => 'SELECT * FROM leadscore_internal.offer_money ORDER BY 1, 2',
	stops => 'SELECT * FROM leadscore_internal.offer_stop ORDER BY 1, 2',
	orders => 'SELECT * FROM leadscore_internal.voucher_order ORDER BY 1',
	'tombstones' => 'SELECT t.*, s.salt FROM leadscore_internal.tombstone t CROSS JOIN leadscore_internal.tombstone_salt s ORDER BY 1',
	'seen profiles' => 'SELECT * FROM leadscore_internal.seen_profile ORDER BY 1',
	'known sources' => 'SELECT source::regclass, mappings, due, dropped FROM leadscore.known_source ORDER BY schema_name, table_name',
	'sources' => 'SELECT * FROM leadscore_internal.source_trigger ORDER BY source::text, trigger_prefix',
	'triggers' => q{SELECT tgrelid::regclass, tgname, tgenabled, tgargs FROM pg_trigger WHERE tgname LIKE 'leadscore%' ORDER BY tgrelid::regclass::text, tgname},
	'sequences' => q{SELECT s.oid::regclass, nextval(s.oid) FROM pg_class s
		WHERE relkind = 'S' AND relnamespace IN ('leadscore'::regnamespace, 'leadscore_internal'::regnamespace, 'shop'::regnamespace) ORDER BY s.oid::regclass::text},
	differences => $Workload::differences);

# The result of a query, or its error; never the death of the test.
sub result
{
	my ($database, $query) = @_;
	my ($status, $out, $error) = $node->psql($database, $query);

	return $status == 0 ? $out : $error;
}

sub state_of { my ($database) = @_; return { map { $_ => result($database, $state{$_}) } grep { $_ ne 'sequences' } keys %state }; }

# Like is(), for long texts: says only where they begin to differ.
sub same
{
	my ($got, $expected, $name) = @_;
	my ($n) = grep { substr($got, $_, 1) ne substr($expected, $_, 1) } 0 .. (length $got < length $expected ? length $got : length $expected) - 1;

	ok($got eq $expected, $name) or diag('from ', ($n // 'the end'), ': ', substr($got, $n // length $expected, 200), "\nexpected: ",
		substr($expected, $n // length $got, 200));
}

my $dumps = $node->basedir;
my @connection = ('-h', $node->host, '-p', $node->port);
my $expected = state_of('shop');

command_ok([ 'pg_dump', @connection, '-Fc', '-f', "$dumps/custom", 'shop' ], 'dump in the custom format');
command_ok([ 'pg_dump', @connection, '-Fd', '-j2', '-f', "$dumps/directory", 'shop' ], 'dump in the directory format, in parallel');
command_ok([ 'pg_dump', @connection, '-f', "$dumps/plain.sql", 'shop' ], 'dump as plain SQL');
$expected->{sequences} = $node->safe_psql('shop', $state{sequences});

# In parallel in the four steps of the guide: an extension's tables refer to each other, which parallel workers do not heed.
sub four_steps
{
	my ($database, $dump) = @_;
	my @restore = ('pg_restore', @connection, '--exit-on-error', '-d', $database);

	return [ @restore, '--section=pre-data', $dump ], [ @restore, '--section=data', '--schema=leadscore', $dump ],
	  [ @restore, '--section=data', '--exclude-schema=leadscore', '-j2', $dump ], [ @restore, '--section=post-data', '-j2', $dump ];
}

my %restore = (
	custom => [ [ 'pg_restore', @connection, '--exit-on-error', '-d', 'custom', "$dumps/custom" ] ],
	parallel => [ four_steps('parallel', "$dumps/custom") ],
	# or simply so
	jobs => [ [ 'pg_restore', @connection, '--exit-on-error', '-j4', '-d', 'jobs', "$dumps/directory" ] ],
	directory => [ four_steps('directory', "$dumps/directory") ],
	single => [ [ 'pg_restore', @connection, '--exit-on-error', '--single-transaction', '-d', 'single', "$dumps/custom" ] ],
	plain => [ [ 'psql', @connection, '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', 'plain', '-f', "$dumps/plain.sql" ] ]);

for my $database (sort keys %restore)
{
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	command_ok($_, "$database: restored without an error") for @{ $restore{$database} };
	my $got = state_of($database);
	$got->{sequences} = result($database, $state{sequences});
	same($got->{$_}, $expected->{$_}, "$database: $_") for sort keys %state;
	is(result($database, q{SELECT (SELECT count(*) FROM leadscore.lead_segment), state, action FROM leadscore.status WHERE object = 'lead_segment'}),
		'0|is empty, as after a restore|SELECT leadscore.refresh_segments()', "$database: the snapshot waits for its refresh, and status says so");
	result($database, 'SELECT leadscore.refresh_segments()');
	is(result($database, q{SELECT (SELECT count(*) > 0 FROM leadscore.lead_segment), (SELECT count(*) FROM leadscore.status WHERE object = 'lead_segment')}), 't|0', "$database: refreshed, it is filled");

	is(result($database, q{WITH next AS (INSERT INTO leadscore.event (lead_id, kind, value) SELECT 'new', 'purchase', 100 FROM generate_series(1, 9)) SELECT}), '', "$database: a lead enters a segment");
	wait_for_changes($node, $database);
	is(result($database, q{SELECT (SELECT count(*) FROM leadscore.take_changes('crm', 100000)) - (SELECT count(*) FROM leadscore.segment_change) + 5}), '0', "$database: consumers go on where they were");
	is(result($database, q{SELECT o.budget - (SELECT count(*) FROM leadscore.voucher v WHERE v.code IS NOT NULL) - (SELECT count(*) FROM leadscore_internal.offer_slot s) FROM leadscore.offer o}), '0', "$database: so do offers");
	result($database, 'CALL leadscore.rebuild()');
	is_true($node, $database, $database);
	is(result($database, q{
		INSERT INTO leadscore.event (lead_id, kind, occurred_at) VALUES ('v1', 'visit', '2026-01-01');
		INSERT INTO shop.orders (client, lead, total) VALUES (1, 1, 1);
		INSERT INTO shop.visits_1 SELECT * FROM shop.visits_1 LIMIT 5;
		UPDATE shop.visits SET lead = '7' WHERE lead = '8';
		INSERT INTO shop.clicks VALUES (1, 'v1', '2026-01-01');
		TRUNCATE shop.small;
		CREATE TABLE shop.visits_3 PARTITION OF shop.visits FOR VALUES FROM ('2027-01-01') TO ('2028-01-01');
		INSERT INTO shop.visits_3 VALUES (1, '1', 'visit', '2027-01-01');
		INSERT INTO leadscore.signal (signal, kind) VALUES ('next', 'visit');
		CALL leadscore.rebuild();
		SELECT leadscore.restore_version('challenger', 1);
	}) =~ s/.*(NOTICE|HINT|DETAIL).*\n?//gr, 'challenger', "$database: can be written, and a version restored");
	is($node->safe_psql($database, q{SELECT bool_and(n.signal_id > s.signal_id) FROM leadscore.signal n, leadscore.signal s WHERE n.signal = 'next' AND s.signal <> 'next'}),
		't', "$database: a signal's number is not used again");
	is_true($node, "$database, written", $database);
}

# Restored as a table of contents may have it: the triggers of a partitioned table come before those of its
# partitions, and constraints of other tables are made in between.
{
	my ($list) = run_command([ 'pg_restore', '-l', "$dumps/custom" ]);
	my @lines = grep { !/^;/ } split /\n/, $list;
	my @triggers = grep { / TRIGGER / } @lines;
	my @foreign_keys = grep { / FK CONSTRAINT / } @lines;
	my @others = grep { !/ TRIGGER | FK CONSTRAINT / } @lines;
	my @parents = grep { / TRIGGER shop visits leadscore/ } @triggers;
	my @children = grep { !/ TRIGGER shop visits leadscore/ } @triggers;

	append_to_file("$dumps/list", join "\n", @others, @parents, @foreign_keys, @children, '');
	$node->safe_psql('postgres', 'CREATE DATABASE reordered');
	command_ok([ 'pg_restore', @connection, '--exit-on-error', '-L', "$dumps/list", '-d', 'reordered', "$dumps/custom" ],
		'parents first: restored without an error');
	same(result('reordered', $state{$_}), $expected->{$_}, "parents first: $_") for qw(timelines sources triggers versions experiments differences);
}

# Data without the schema, into a database that has it. Triggers of the tracked tables would count again what the
# timelines in the dump have counted already, so they are off.
{
	$node->safe_psql('postgres', 'CREATE DATABASE data_only');
	command_ok([ 'pg_dump', @connection, '-Fc', '--schema-only', '-f', "$dumps/schema", 'shop' ], 'dump of the schema');
	command_ok([ 'pg_restore', @connection, '--exit-on-error', '-d', 'data_only', "$dumps/schema" ], 'restore of the schema');
	$node->safe_psql('data_only', 'TRUNCATE leadscore_internal.counted_signal, leadscore.sentence');
	command_ok([ 'pg_restore', @connection, '--exit-on-error', '--data-only', '--disable-triggers', '-d', 'data_only', "$dumps/custom" ],
		'restore of the data alone');
	same(result('data_only', $state{$_}), $expected->{$_}, "data alone: $_") for qw(timelines signals versions experiments differences);
}

# A trigger that is enabled ALWAYS or REPLICA, or disabled, comes with an ALTER TABLE of its own: the event trigger
# fires in the middle of a restore, when some triggers are there and others are not yet.
{
	$node->safe_psql('shop', q{
		ALTER TABLE shop.visits ENABLE ALWAYS TRIGGER "LEADSCORE_1_insert";
		ALTER TABLE shop.visits_1 ENABLE ALWAYS TRIGGER "LEADSCORE_1_insert";
		ALTER TABLE shop.visits_1 ENABLE ALWAYS TRIGGER "LEADSCORE_1_delete"});
	command_ok([ 'pg_dump', @connection, '-Fc', '-f', "$dumps/always", 'shop' ], 'dump with ALWAYS triggers');
	$node->safe_psql('postgres', 'CREATE DATABASE always');
	command_ok([ 'pg_restore', @connection, '--exit-on-error', '-d', 'always', "$dumps/always" ], 'ALWAYS triggers: restored without an error');
	same(result('always', $state{$_}), result('shop', $state{$_}), "ALWAYS triggers: $_") for qw(timelines sources triggers differences);
}
$node->stop;

done_testing();
