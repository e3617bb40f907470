# Names in the encodings of the server: what a hash decides is the same in all of them, and no name fails a statement.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use Test::More;
use Workload;

my $node = new_node('main');
my %made;
$node->start;

# A database with a split store, a tracked table, a watched model, an offer and an experiment; made once.
sub database
{
	my ($encoding) = @_;
	my $database = lc $encoding;

	return $database if $made{$encoding}++;
	$node->safe_psql('postgres', "CREATE DATABASE $database TEMPLATE template0 ENCODING '$encoding' LOCALE 'C'");
	$node->safe_psql($database, q{
		CREATE EXTENSION leadscore;
		SELECT leadscore.publish('{"model": "m", "signals": [{"signal": "visit", "kind": "visit"}], "weights": [{"signal": "visit", "points": 1}],
			"segments": [{"segment": "hot", "position": 1, "min_score": 1}]}');
		SELECT leadscore.publish(leadscore.scorecard('m') || '{"model": "n"}');
		INSERT INTO leadscore.offer (offer, model, segment, discount, valid_for, holdout_share, unlimited) VALUES ('spring', 'm', 'hot', 10, '1 day', 0.5, true);
		INSERT INTO leadscore.experiment (experiment, control, treatment, salt) VALUES ('x', 'm', 'n', 'salt');
		SELECT leadscore.partition_timelines(7);
		CREATE TABLE visits (lead text, kind text DEFAULT 'visit', at timestamptz DEFAULT now(), page text);
		CREATE INDEX ON visits (lead);
		SELECT leadscore.track('visits', lead_id => 'lead', kind_column => 'kind', occurred_at => 'at', properties => '{page}');
		CALL leadscore.watch('m')});
	return $database;
}

# What hashes decide of a name, which is given as UTF-8.
sub decided
{
	my ($encoding, $name) = @_;

	return $node->safe_psql(database($encoding), "SET client_encoding = 'UTF8';\nSELECT leadscore.timeline_partition('$name', 1000), leadscore_internal.is_held_out('spring', '$name', 0.5),"
		  . " leadscore.arm('x', '$name'), leadscore_internal.is_held_out('o', '$name', 0.9)");
}

# The lead that a name stands for is written, scored, identified and forgotten; the name is an expression.
sub lives
{
	my ($encoding, $name, $what) = @_;
	my $database = database($encoding);
	my ($status, undef, $error) = $node->psql($database, qq{
		INSERT INTO visits (lead, page) VALUES ($name, $name);
		INSERT INTO leadscore.event (lead_id, kind) VALUES ($name, 'visit');
		INSERT INTO leadscore.lead VALUES ($name, '{}');
		SELECT leadscore.identify('visitor', $name), leadscore.refresh_segments()});

	is("$status $error", '0 ', "$what: it is written");
	is($node->safe_psql($database, qq{
		SELECT (SELECT count(*) FROM leadscore.segment_change WHERE lead_id = $name), (SELECT count(*) FROM leadscore.voucher WHERE lead_id = $name),
			leadscore.score($name, 'm'), leadscore.score($name, 'x'), (SELECT count(*) FROM leadscore.lead_score WHERE lead_id = $name AND model = 'x'),
			(SELECT points FROM leadscore.explain($name, 'm')), (SELECT count(*) FROM leadscore.crm_lead WHERE lead_id = $name AND reason_1 <> '')}),
		'1|1|2|2|1|2|3', "$what: its segment, voucher and scores");
	is_true($node, $what, $database);
	is($node->safe_psql($database, qq{SELECT sum(remaining) FILTER (WHERE source IN ('visits'::regclass, 'leadscore.event', 'leadscore.lead_timeline')) FROM leadscore.forget($name, tracked => true)}), '0', "$what: it is forgotten");
}

my %name = (EUC_JP => "\xe6\x97\xa5\xe6\x9c\xac", EUC_KR => "\xed\x95\x9c\xea\xb5\xad", EUC_CN => "\xe4\xb8\xad\xe5\x9b\xbd", EUC_TW => "\xe4\xb8\xad\xe5\x9c\x8b",
	LATIN1 => "J\xc3\xbcrgen", WIN1252 => "\xe2\x82\xac \xc3\xa9t\xc3\xa9", SQL_ASCII => "J\xc3\xbcrgen");
for my $encoding (sort keys %name)
{
	is(decided($encoding, $name{$encoding}), decided('UTF8', $name{$encoding}), "$encoding: hashes decide what they do in UTF8");
	lives($encoding, "convert_from('\\x" . unpack('H*', $name{$encoding}) . "', 'UTF8')", "$encoding: a name in UTF8") unless $encoding eq 'SQL_ASCII';
}
# names that have no form in UTF-8: any bytes, codes that a character set leaves free
lives('SQL_ASCII', q{convert_from('\x4ae9ff80', 'SQL_ASCII')}, 'SQL_ASCII: bytes that are no UTF-8');
lives('WIN1252', q{convert_from('\x8141', 'WIN1252')}, 'WIN1252: a code without a character');
lives('EUC_JP', q{convert_from('\xa9a1', 'EUC_JP')}, 'EUC_JP: a code without a character');
lives('EUC_KR', q{convert_from('\xc9a1', 'EUC_KR')}, 'EUC_KR: a code without a character');
SKIP: {
	skip('the server has no MULE_INTERNAL', 5) if $node->safe_psql('postgres', q{SELECT pg_char_to_encoding('MULE_INTERNAL')}) < 0;
	lives('MULE_INTERNAL', q{convert_from('\x81e9', 'MULE_INTERNAL')}, 'MULE_INTERNAL, which the server cannot convert to UTF-8');
}
$node->stop;

done_testing();
