# What follows from a log, by the slow and obvious definition of each behaviour, for tests of derive().

package Derived;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use Test::More;

our @EXPORT = qw(make_oracle is_derived);

# $log: a query for (lead_id, kind, occurred_at, properties), with the names that the events have.
sub make_oracle
{
	my ($node, $database, $log) = @_;

	$node->safe_psql($database, qq{
		CREATE SCHEMA oracle;
		CREATE TABLE oracle.log (lead_id text, kind text, occurred_at timestamptz, properties jsonb);
		CREATE INDEX ON oracle.log (lead_id, occurred_at);
		CREATE FUNCTION oracle.read_log(until timestamptz) RETURNS void LANGUAGE sql AS \$\$
			TRUNCATE oracle.log;
			INSERT INTO oracle.log SELECT coalesce(a.lead_id, l.lead_id), l.kind, l.occurred_at, l.properties
			FROM ($log) l LEFT JOIN leadscore.lead_alias a ON a.alias = l.lead_id WHERE l.occurred_at <= until;
			ANALYZE oracle.log;
		\$\$;
	} . q{
		CREATE VIEW oracle.expected AS
		-- a visit begins with an event that no other precedes within the gap, and ends with the first that no other follows within the gap
		SELECT r.derivation, r.derived_kind AS kind, s.lead_id, s.occurred_at, trim_scale(extract(epoch FROM z.occurred_at - s.occurred_at)) AS value,
			(SELECT jsonb_build_object('events', count(*)) FROM oracle.log m WHERE m.lead_id = s.lead_id AND m.occurred_at BETWEEN s.occurred_at AND z.occurred_at
				AND (m.kind = ANY (r.kinds)) IS NOT FALSE) AS properties
		FROM leadscore.derivation r
		CROSS JOIN LATERAL (SELECT DISTINCT e.lead_id, e.occurred_at FROM oracle.log e WHERE (e.kind = ANY (r.kinds)) IS NOT FALSE
			AND NOT EXISTS (SELECT FROM oracle.log p WHERE p.lead_id = e.lead_id AND (p.kind = ANY (r.kinds)) IS NOT FALSE
				AND p.occurred_at < e.occurred_at AND p.occurred_at >= e.occurred_at - r.gap)) s
		CROSS JOIN LATERAL (SELECT min(e.occurred_at) AS occurred_at FROM oracle.log e WHERE e.lead_id = s.lead_id AND e.occurred_at >= s.occurred_at
			AND (e.kind = ANY (r.kinds)) IS NOT FALSE
			AND NOT EXISTS (SELECT FROM oracle.log f WHERE f.lead_id = e.lead_id AND (f.kind = ANY (r.kinds)) IS NOT FALSE
				AND f.occurred_at > e.occurred_at AND f.occurred_at <= e.occurred_at + r.gap)) z
		WHERE r.behaviour = 'visit'
		UNION ALL
		-- a page is looked at until the next event, if that comes within the gap
		SELECT r.derivation, r.derived_kind, e.lead_id, e.occurred_at, trim_scale(extract(epoch FROM least(n.occurred_at - e.occurred_at, r.cap))), e.properties
		FROM leadscore.derivation r JOIN oracle.log e ON e.kind = ANY (r.kinds)
		CROSS JOIN LATERAL (SELECT min(f.occurred_at) AS occurred_at FROM oracle.log f WHERE f.lead_id = e.lead_id AND f.occurred_at > e.occurred_at
			AND (r.until_kinds IS NULL OR f.kind = ANY (r.until_kinds) OR f.kind = ANY (r.kinds))) n
		WHERE r.behaviour = 'dwell' AND n.occurred_at <= e.occurred_at + r.gap
		UNION ALL
		-- a cart is abandoned if within the delay nothing is bought or put in
		SELECT DISTINCT r.derivation, r.derived_kind, e.lead_id, e.occurred_at + r.delay, NULL::numeric, NULL::jsonb
		FROM leadscore.derivation r JOIN oracle.log e ON e.kind = ANY (r.kinds)
		WHERE r.behaviour = 'cart_abandoned' AND e.occurred_at + r.delay <= oracle.until()
		AND NOT EXISTS (SELECT FROM oracle.log p WHERE p.lead_id = e.lead_id AND p.kind = ANY (r.until_kinds) AND p.occurred_at BETWEEN e.occurred_at AND e.occurred_at + r.delay)
		AND NOT EXISTS (SELECT FROM oracle.log c WHERE c.lead_id = e.lead_id AND c.kind = ANY (r.kinds) AND c.occurred_at > e.occurred_at AND c.occurred_at <= e.occurred_at + r.delay)
		UNION ALL
		-- a lead returns with the first event after a silence that is longer than the delay
		SELECT DISTINCT r.derivation, r.derived_kind, e.lead_id, e.occurred_at, trim_scale(extract(epoch FROM e.occurred_at - p.occurred_at)), NULL::jsonb
		FROM leadscore.derivation r JOIN oracle.log e ON (e.kind = ANY (r.kinds)) IS NOT FALSE
		CROSS JOIN LATERAL (SELECT max(f.occurred_at) AS occurred_at FROM oracle.log f WHERE f.lead_id = e.lead_id AND (f.kind = ANY (r.kinds)) IS NOT FALSE
			AND f.occurred_at < e.occurred_at) p
		WHERE r.behaviour = 'returned_visit' AND p.occurred_at < e.occurred_at - r.delay
		UNION ALL
		-- a sequence ends with a second event, at most the delay after the last first event before it, if no
		-- other second event comes between these
		SELECT DISTINCT r.derivation, r.derived_kind, e.lead_id, e.occurred_at, trim_scale(extract(epoch FROM e.occurred_at - p.occurred_at)), NULL::jsonb
		FROM leadscore.derivation r JOIN oracle.log e ON e.kind = ANY (r.then_kinds)
		CROSS JOIN LATERAL (SELECT max(f.occurred_at) AS occurred_at FROM oracle.log f WHERE f.lead_id = e.lead_id AND f.kind = ANY (r.kinds)
			AND f.occurred_at < e.occurred_at) p
		WHERE r.behaviour = 'sequence' AND p.occurred_at >= e.occurred_at - r.delay
		AND NOT EXISTS (SELECT FROM oracle.log o WHERE o.lead_id = e.lead_id AND o.kind = ANY (r.then_kinds) AND o.occurred_at > p.occurred_at AND o.occurred_at < e.occurred_at);
	} =~ s/CREATE VIEW/CREATE FUNCTION oracle.until() RETURNS timestamptz LANGUAGE sql AS \$\$SELECT current_setting('oracle.until')::timestamptz\$\$;\nCREATE VIEW/r);
	return;
}

# derived_event is what follows from the log as of an instant, and timelines count it; returns how many of each rule there are.
sub is_derived
{
	my ($node, $database, $until, $name) = @_;
	my $actual = 'SELECT derivation, kind, lead_id, occurred_at, value, properties FROM leadscore.derived_event';

	is($node->safe_psql($database, qq{
		SET jit = off; SET enable_hashjoin = off; SET enable_mergejoin = off;
		SET oracle.until = '$until';
		DO \$\$BEGIN PERFORM oracle.read_log('$until'); END\$\$;
		CREATE TEMPORARY TABLE expected AS SELECT derivation, kind, lead_id, occurred_at, value, properties FROM oracle.expected;
		SELECT * FROM (
			(SELECT 'missing', e.* FROM (TABLE expected EXCEPT ALL $actual) e)
			UNION ALL
			(SELECT 'too much', a.* FROM ($actual EXCEPT ALL TABLE expected) a)) d
		LIMIT 10}), '', "$name: what is derived is what follows from the log");
	is($node->safe_psql($database, 'SELECT count(*) FROM leadscore.verify()'), '0', "$name: timelines equal events");
	return { map { split /\|/ } split /\n/, $node->safe_psql($database, 'SELECT derivation, count(*) FROM leadscore.derived_event GROUP BY 1') };
}

1;
