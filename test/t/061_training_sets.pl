# Training sets from a real click stream: the same as what plain SQL says from the raw events, and nothing of the future in them.

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $data = $ENV{SHARED_DATA};
plan skip_all => 'SHARED_DATA does not name the folder of the real data'
	unless defined $data && -r "$data/taobao_userbehavior/events.csv.gz";

my $node = PostgreSQL::Test::Cluster->new('training');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\ntimezone = 'UTC'");
$node->start;

sub query { return $node->safe_psql('postgres', "SET search_path = public, leadscore, leadscore_internal; SET client_min_messages = error; $_[0]") }

query(<<"SQL");
CREATE EXTENSION leadscore;
CREATE TABLE taobao (user_id bigint, item_id bigint, category_id bigint, event_type text, event_time timestamptz);
COPY taobao FROM PROGRAM 'gzip -dc $data/taobao_userbehavior/events.csv.gz' (FORMAT csv, HEADER);
SELECT publish('{"model": "taobao", "intercept": -2, "slope": 0.04, "ceiling": 60,
	"signals": [{"signal": "pv", "kind": "pv"}, {"signal": "fav", "kind": "fav"}, {"signal": "cart", "kind": "cart"}, {"signal": "buy", "kind": "buy"},
		{"signal": "even", "subject": "profile", "match": {"even": true}}],
	"weights": [
		{"signal": "pv", "points": 0.5, "half_life": "2 days", "max_per_day": 20}, {"signal": "pv", "points": -3, "measure": "days_since_last"},
		{"signal": "fav", "points": 2, "fades_over": "5 days"}, {"signal": "cart", "points": 4, "half_life": "1 day"},
		{"signal": "cart", "points": 2, "within": "36 hours", "curve": "log"}, {"signal": "buy", "points": 5, "measure": "active_days"},
		{"signal": "buy", "points": 3, "measure": "days_since_last", "below": 2}, {"signal": "buy", "points": 0.1, "measure": "value"},
		{"signal": "even", "points": 1}]}');
INSERT INTO event (lead_id, kind, occurred_at, value) SELECT user_id::text, event_type, event_time, CASE event_type WHEN 'buy' THEN item_id % 100 END FROM taobao;
INSERT INTO lead SELECT DISTINCT user_id::text, jsonb_build_object('even', user_id % 2 = 0) FROM taobao;
CREATE TABLE cutoff (cutoff timestamptz);
INSERT INTO cutoff VALUES ('2017-11-27 16:00Z'), ('2017-11-29 03:00Z'), ('2017-12-01 16:00Z');
CREATE FUNCTION cutoffs() RETURNS timestamptz[] STABLE LANGUAGE sql AS 'SELECT array_agg(cutoff ORDER BY cutoff) FROM public.cutoff';
ANALYZE;
SQL

# ---------------------------------------------------------------- plain SQL over the raw events

my $call = "training_set(scorecard('taobao'), 'buy', '40 hours', cutoffs(), '3 days')";
query(<<"SQL");
CREATE TABLE learned AS SELECT * FROM $call;
CREATE TABLE plain AS
SELECT e.lead_id, c.cutoff, min(date_trunc('hour', e.occurred_at)) FILTER (WHERE e.kind = 'buy' AND e.occurred_at >= c.cutoff AND e.occurred_at < c.cutoff + interval '40 hours') AS converted_at,
	timeline_agg((SELECT signals()), e.kind, e.occurred_at, e.value, NULL) FILTER (WHERE e.occurred_at < c.cutoff) AS known
FROM event e, cutoff c GROUP BY e.lead_id, c.cutoff
HAVING bool_or(e.occurred_at >= c.cutoff - interval '3 days' AND e.occurred_at < c.cutoff);
SQL
cmp_ok(query('SELECT count(*) FROM learned'), '>', 1000, 'there is something to learn from');
is(query(<<'SQL'), '0', 'leads, conversions, features and scores are what the raw events say');
SELECT count(*) FROM learned l FULL JOIN (
	SELECT p.*, features((SELECT scorecard('taobao')), known, profile, cutoff), score((SELECT scorecard('taobao')), known, profile, cutoff)
	FROM plain p JOIN lead USING (lead_id)) p ON (l.lead_id, l.cutoff) = (p.lead_id, p.cutoff)
WHERE (l.converted, l.converted_at, l.features, l.score) IS DISTINCT FROM (p.converted_at IS NOT NULL, p.converted_at, p.features, p.score)
SQL

# ---------------------------------------------------------------- the same rows, judged by the aggregates

my $judged = query(<<'SQL');
WITH row AS (
	SELECT l.converted, l.score, (appraise((SELECT scorecard('taobao')), known, profile, cutoff)).probability
	FROM learned l JOIN plain USING (lead_id, cutoff) JOIN lead USING (lead_id))
SELECT count(*), count(*) FILTER (WHERE converted), avg(converted::int)::float8, roc_auc(score, converted),
	roc_auc(score, converted) - 1.959963984540054 * roc_auc_error(score, converted), roc_auc(score, converted) + 1.959963984540054 * roc_auc_error(score, converted),
	average_precision(score, converted), log_loss(probability, converted), brier(probability, converted), ks(score, converted) FROM row
SQL
my $evaluated = query("SELECT leads, conversions, base_rate, auc, auc_low, auc_high, average_precision, log_loss, brier, ks FROM evaluate(scorecard('taobao'), 'buy', '40 hours', cutoffs(), '3 days')");
is(join('|', map { sprintf '%.12g', $_ } split /\|/, $evaluated), join('|', map { sprintf '%.12g', $_ } split /\|/, $judged), 'evaluate() is what the aggregates say of the training set');

is(query(<<'SQL'), '10|t|t|t|t', 'the tenths add up, begin with the lift of evaluate(), and descend');
SELECT count(*), abs(sum(t.leads) - min(e.leads)) < 1e-6, abs(sum(t.conversions) - min(e.conversions)) < 1e-6, abs(max(t.lift) FILTER (WHERE decile = 1) - min(e.lift_10)) < 1e-12,
	bool_and(t.min_score >= coalesce(next, '-Infinity'))
FROM (SELECT *, lead(max_score) OVER (ORDER BY decile) AS next FROM lift_table(scorecard('taobao'), 'buy', '40 hours', cutoffs(), '3 days')) t, evaluate(scorecard('taobao'), 'buy', '40 hours', cutoffs(), '3 days') e
SQL
is(query(<<'SQL'), '10|t|t|t', 'so do the bins of probability');
SELECT count(*), abs(sum(t.leads) - min(e.leads)) < 1e-6, abs(sum(t.leads * t.observed) - min(e.conversions)) < 1e-6,
	bool_and(t.observed_low <= t.observed AND t.observed <= t.observed_high AND t.predicted BETWEEN t.min_probability AND t.max_probability)
FROM calibration_table(scorecard('taobao'), 'buy', '40 hours', cutoffs(), '3 days') t, evaluate(scorecard('taobao'), 'buy', '40 hours', cutoffs(), '3 days') e
SQL

# ---------------------------------------------------------------- no leak

# Each cutoff by itself: whatever comes at it or later is moved, changed, added to or taken away.
for my $cutoff (split /\n/, query('SELECT cutoff FROM cutoff'))
{
	my $same = sub {
		my ($change, $name) = @_;
		is(query(<<"SQL"), 't', "$cutoff: $name");
BEGIN;
$change;
SELECT NOT EXISTS (
	SELECT FROM (SELECT * FROM training_set(scorecard('taobao'), 'buy', '40 hours', ARRAY['$cutoff'::timestamptz], '3 days')) n
	FULL JOIN (SELECT * FROM learned WHERE cutoff = '$cutoff') o ON n.lead_id = o.lead_id
	WHERE (n.lead_id, n.features, n.score) IS DISTINCT FROM (o.lead_id, o.features, o.score));
ROLLBACK;
SQL
	};
	$same->("UPDATE event SET occurred_at = occurred_at + interval '7 hours' WHERE occurred_at >= '$cutoff'", 'moving all that came after changes no feature');
	$same->("UPDATE event SET kind = 'buy', value = 1e6 WHERE occurred_at >= '$cutoff'", 'nor does changing it');
	$same->("DELETE FROM event WHERE occurred_at >= '$cutoff'", 'nor does taking it away');
	$same->("INSERT INTO event (lead_id, kind, occurred_at, value) SELECT lead_id, 'buy', '$cutoff', 5 FROM learned", 'nor does adding to it, in the very first second');
}

# ---------------------------------------------------------------- what is pending counts

query(<<'SQL');
CREATE TABLE log (who text, what text, at timestamptz, worth numeric);
SELECT track('log', lead_id => 'who', kind_column => 'what', occurred_at => 'at', value => 'worth', maintenance => 'deferred');
WITH moved AS (DELETE FROM event WHERE event_id % 2 = 0 RETURNING *) INSERT INTO log SELECT lead_id, kind, occurred_at, value FROM moved;
SQL
is(query(<<"SQL"), 't|0', 'events whose counting is deferred are seen');
SELECT EXISTS (SELECT FROM pending_delta), count(*) FROM learned l FULL JOIN $call n ON (l.lead_id, l.cutoff) = (n.lead_id, n.cutoff) WHERE l IS DISTINCT FROM n
SQL

$node->stop;
done_testing();
