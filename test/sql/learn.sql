\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- What was known, and what came after it: parts of timelines, training sets, and how good a model would have been.

-- the part of a timeline before an hour: the hour itself is not in it
SELECT at, timeline_before('{1: 2026-01-01T10Z 2 5, 2026-01-03T00Z 1; 4: 2026-01-03T01Z 1}', at)
FROM unnest(ARRAY['2026-01-01 10:59Z', '2026-01-01 11:00Z', '2026-01-03 00:30Z', '2026-01-03 01:00Z', '2026-01-03 02:00Z', 'infinity', '-infinity']::timestamptz[]) at;
SELECT timeline_before(NULL, now()), timeline_before('{}', now()), timeline_before('{1: 2026-01-01T10Z 1}', NULL);

-- the first hour of a signal from one hour on and before another
SELECT signal_id, since, until, timeline_first_hour('{1: 2026-01-01T10Z 2 5, 2026-01-03T00Z 1; 4: 2026-01-02T01Z 1}', signal_id, since, until) AS first_hour
FROM (VALUES (1, '2026-01-01 10:30Z'::timestamptz, '2026-01-05Z'::timestamptz), (1, '2026-01-01 11:00Z', '2026-01-05Z'), (1, '2026-01-01 11:00Z', '2026-01-03 00:59Z'),
	(1, '2026-01-01 11:00Z', '2026-01-03 01:00Z'), (NULL, '2026-01-01 11:00Z', '2026-01-05Z'), (4, NULL, NULL), (1, NULL, NULL), (NULL, NULL, '2026-01-01 10:00Z'),
	(2, NULL, NULL), (1, '2026-01-05Z', '2026-01-01Z'), (1, '-infinity', 'infinity')) v (signal_id, since, until);
-- an hour with a value but no occurrence, or fewer than none, is none in which it occurred
SELECT timeline_first_hour('{1: 2026-01-01T10Z 0 5, 2026-01-02T10Z -1, 2026-01-03T10Z 1}', 1, NULL, NULL), timeline_first_hour(NULL, 1, NULL, NULL), timeline_first_hour('{}', NULL, NULL, NULL);

-- timeline_total(): what sum() gives for the entries of a signal within bounds, to the last digit, beyond 64 bits too; timeline_start(): the hour of the first entry
SELECT t.n, b.since, b.until, x.occurrences, x.value, (x.occurrences::text, x.value::text) = (coalesce(s.occurrences, 0)::text, coalesce(s.value, 0)::text) AS as_sum
FROM (VALUES (1, '{1: 2026-01-01T00Z 1 0.5, 2026-01-01T05Z 2 1.5, 2026-02-01T00Z -3 -0.000001; 2: 2025-01-01T00Z 7 9}'::timeline),
		(2, '{1: 2026-01-01T00Z 9223372036854775807 9223372036854.775807, 2026-01-02T00Z 9223372036854775807 9223372036854.775807, 2026-01-03T00Z 9223372036854775807 9223372036854.775807}'), (3, '{}'), (4, NULL)) t (n, timeline)
CROSS JOIN (VALUES (NULL::timestamptz, NULL::timestamptz), ('2026-01-01 05:30Z', NULL), (NULL, '2026-01-02 00:59Z')) b (since, until)
CROSS JOIN LATERAL timeline_total(t.timeline, 1, b.since, b.until) x
CROSS JOIN LATERAL (SELECT sum(e.occurrences) AS occurrences, sum(e.value) AS value FROM timeline_entries(t.timeline) e
	WHERE e.signal_id = 1 AND (e.hour >= date_trunc('hour', b.since, 'UTC')) IS NOT FALSE AND (e.hour < date_trunc('hour', b.until, 'UTC')) IS NOT FALSE) s
ORDER BY 1, 2 NULLS FIRST, 3 NULLS FIRST;
SELECT timeline_start('{1: 2026-01-01T05Z 0 5; 2: 2025-01-01T00Z -1}'), timeline_start('{}'), timeline_start(NULL);
SELECT timeline_last_hour('{1: 2026-01-01T10Z 1, 2026-01-03T00Z 1; 4: 2026-01-02T01Z 1}'), timeline_last_hour('{}'), timeline_last_hour(NULL);

-- A model, and six leads. The cutoff is 2026-02-01 00:00, the horizon ten days.
SELECT publish('{"model": "shop", "intercept": -1, "slope": 0.1,
	"signals": [{"signal": "visit", "kind": "visit"}, {"signal": "purchase", "kind": "purchase"}, {"signal": "german", "subject": "profile", "match": {"country": "DE"}}],
	"weights": [{"signal": "visit", "points": 2, "half_life": "10 days"}, {"signal": "purchase", "measure": "value", "points": 1}, {"signal": "german", "points": 5}]}');
INSERT INTO lead VALUES ('a', '{"country": "DE"}'), ('quiet', '{"country": "DE"}');
INSERT INTO event (lead_id, kind, occurred_at, value) VALUES
	('a', 'visit', '2026-01-22 00:00Z', NULL),		-- one half-life before the cutoff
	('a', 'purchase', '2026-02-05 10:20Z', 10),		-- converts, and again
	('a', 'purchase', '2026-02-07 10:20Z', 10),
	('b', 'visit', '2026-01-31 23:59Z', NULL),		-- in the last hour before the cutoff
	('b', 'purchase', '2026-02-11 00:00Z', 10),		-- in the first hour after the horizon
	('c', 'purchase', '2026-01-31 12:00Z', 7),		-- had bought before
	('c', 'purchase', '2026-02-10 23:59Z', 7),		-- in the last hour of the horizon
	('d', 'visit', '2025-11-02 23:59Z', NULL),		-- silent for more than 90 days
	('d', 'purchase', '2026-02-02 10:00Z', 1),
	('e', 'visit', '2025-11-03 00:00Z', NULL),		-- for 90 days, just about
	('f', 'purchase', '2026-02-01 00:00Z', 1);		-- was not there before the cutoff
CREATE FUNCTION cutoffs() RETURNS timestamptz[] IMMUTABLE LANGUAGE sql RETURN ARRAY['2026-02-01 00:00Z']::timestamptz[];
SELECT * FROM training_set(scorecard(), 'purchase', '10 days', cutoffs()) ORDER BY lead_id;

-- all leads, those without events, too
SELECT lead_id, converted, features, score FROM training_set(scorecard(), 'purchase', '10 days', cutoffs(), NULL) ORDER BY lead_id;
-- or fewer
SELECT lead_id FROM training_set(scorecard(), 'purchase', '10 days', cutoffs(), '1 day') ORDER BY lead_id;

-- every cutoff by itself; within an hour, it is the hour's beginning that divides
SELECT * FROM training_set(scorecard(), 'purchase', '10 days', '{2026-01-31 13:30Z, 2026-02-01 00:59Z}') WHERE lead_id IN ('b', 'c') ORDER BY cutoff, lead_id;

-- what was not known changes nothing: neither other events after the cutoff, nor none
CREATE TABLE known AS SELECT lead_id, features, score FROM training_set(scorecard(), 'purchase', '10 days', cutoffs());
UPDATE event SET occurred_at = occurred_at + interval '3 days 5 hours', value = value * 2 WHERE occurred_at >= '2026-02-01 00:00Z';
SELECT count(*) AS changed FROM known FULL JOIN training_set(scorecard(), 'purchase', '10 days', cutoffs()) t USING (lead_id) WHERE (known.features, known.score) IS DISTINCT FROM (t.features, t.score);
UPDATE event SET occurred_at = occurred_at - interval '3 days 5 hours', value = value / 2 WHERE occurred_at >= '2026-02-01 00:00Z';

-- an alias is its lead, and what is pending counts
SELECT identify('a', 'b');
SELECT lead_id, converted, features FROM training_set(scorecard(), 'purchase', '10 days', cutoffs()) ORDER BY lead_id;
SELECT unidentify('a');

-- a and c convert, and have the highest scores
SELECT leads, conversions, base_rate, auc, auc_low, auc_high, average_precision, round(log_loss::numeric, 6) AS log_loss, round(brier::numeric, 6) AS brier, ks, lift_10
FROM evaluate(scorecard(), 'purchase', '10 days', cutoffs());
SELECT round(-avg(ln(CASE WHEN converted THEN p ELSE 1 - p END))::numeric, 6) AS log_loss, round(avg((p - converted::int) ^ 2)::numeric, 6) AS brier
FROM (SELECT 1 / (1 + exp(1 - 0.1 * score)) AS p, converted FROM training_set(scorecard(), 'purchase', '10 days', cutoffs())) x;

-- four leads in ten tenths
SELECT decile, leads, conversions, rate, lift, captured, round(min_score::numeric, 3) AS min_score, round(max_score::numeric, 3) AS max_score
FROM lift_table(scorecard(), 'purchase', '10 days', cutoffs());
SELECT bin, leads, round(predicted::numeric, 3) AS predicted, observed, round(observed_low::numeric, 3) AS low, round(observed_high::numeric, 3) AS high
FROM calibration_table(scorecard(), 'purchase', '10 days', cutoffs());

-- without intercept and slope there are no probabilities
SELECT auc, log_loss, brier FROM evaluate(scorecard() - 'slope', 'purchase', '10 days', cutoffs());

-- no lead, no conversion, only conversions
SELECT * FROM evaluate(scorecard(), 'purchase', '10 days', '{2001-01-01}');
SELECT * FROM lift_table(scorecard(), 'purchase', '10 days', '{2001-01-01}');
SELECT * FROM calibration_table(scorecard(), 'purchase', '10 days', '{2001-01-01}');
SELECT leads, conversions, base_rate, auc, auc_low, average_precision, ks, lift_10, log_loss IS NULL AS log_loss FROM evaluate(scorecard(), 'purchase', '1 hour', cutoffs());
SELECT decile, conversions, rate, lift, captured FROM lift_table(scorecard(), 'purchase', '1 hour', cutoffs()) LIMIT 1;
SELECT leads, conversions, base_rate, auc, auc_low, average_precision, ks, lift_10 FROM evaluate(scorecard(), 'purchase', '10 days', cutoffs(), '12 hours');

-- cards without event weights, and without any
SELECT leads, conversions, auc FROM evaluate(jsonb_set(scorecard(), '{weights}', '[{"signal": "german", "points": 5}]'), 'purchase', '10 days', cutoffs());
SELECT leads, auc, auc_low, auc_high, lift_10 FROM evaluate('{"model": "none"}', 'purchase', '10 days', cutoffs());
SELECT features FROM training_set('{"model": "none"}', 'purchase', '10 days', cutoffs()) LIMIT 1;

-- the conversion by the scorecard's own number, or by the catalog's
SELECT conversions FROM evaluate(jsonb_build_object('model', 'm', 'signals', jsonb_build_array(jsonb_build_object('signal', 'bought', 'signal_id',
	(SELECT signal_id FROM signal WHERE signal = 'purchase')))), 'bought', '10 days', cutoffs());
SELECT conversions FROM evaluate('{"model": "m", "signals": [{"signal": "purchase"}]}', 'purchase', '10 days', cutoffs());

-- the end of the data: two of the leads may yet convert
SET client_min_messages = notice;
SELECT lead_id FROM training_set(scorecard(), 'purchase', '11 days', cutoffs(), '12 hours');
SELECT leads, conversions FROM evaluate(scorecard(), 'purchase', '30 days', cutoffs());
SELECT count(*) FROM lift_table(scorecard(), 'purchase', '10 days 1 hour', cutoffs());
SELECT count(*) FROM calibration_table(scorecard(), 'purchase', '10 days 2 hours', cutoffs());
SELECT count(*) FROM training_set(scorecard(), 'purchase', '30 days', cutoffs());
SELECT count(*) FROM lift_table(scorecard(), 'purchase', '30 days', cutoffs());
SELECT jsonb_array_length(fit(scorecard(), 'purchase', '30 days', cutoffs()) -> 'weights') AS weights;
SELECT count(*) FROM profile_report('purchase', '30 days', cutoffs());
SET client_min_messages = warning;

-- what makes no sense
SELECT refused(ARRAY[
	$$SELECT * FROM training_set(NULL, 'purchase', '10 days', cutoffs())$$,
	$$SELECT * FROM training_set(scorecard(), NULL, '10 days', cutoffs())$$,
	$$SELECT * FROM evaluate(scorecard(), 'purchase', NULL, cutoffs())$$,
	$$SELECT * FROM evaluate(scorecard(), 'purchase', '10 days', NULL)$$,
	$$SELECT * FROM evaluate('{"model": "m", "weight": []}', 'purchase', '10 days', cutoffs())$$,
	$$SELECT * FROM evaluate(scorecard(), 'sale', '10 days', cutoffs())$$,
	$$SELECT * FROM evaluate(scorecard(), 'german', '10 days', cutoffs())$$,
	$$SELECT * FROM lift_table(scorecard(), 'purchase', '0', cutoffs())$$,
	$$SELECT * FROM lift_table(scorecard(), 'purchase', '-1 day', cutoffs())$$,
	$$SELECT * FROM lift_table(scorecard(), 'purchase', '100000 years', cutoffs())$$,
	$$SELECT * FROM training_set(scorecard(), 'purchase', '10 days', cutoffs(), '-1 day')$$,
	$$SELECT * FROM evaluate(scorecard(), 'purchase', '10 days', '{}')$$,
	$$SELECT * FROM evaluate(scorecard(), 'purchase', '10 days', '{2026-02-01Z, NULL}')$$,
	$$SELECT * FROM evaluate(scorecard(), 'purchase', '10 days', '{2026-02-01Z, 2026-01-01Z}')$$,
	$$SELECT * FROM evaluate(scorecard(), 'purchase', '10 days', '{2026-02-01Z, 2026-02-01Z}')$$,
	$$SELECT * FROM evaluate(scorecard(), 'purchase', '10 days', '{2026-02-01Z, 9999-01-01Z}')$$,
	$$SELECT * FROM evaluate(scorecard(), 'purchase', '10 days', '{infinity}')$$,
	$$SELECT * FROM evaluate(scorecard(), 'purchase', '10 days', '{-infinity}')$$,
	$$SELECT * FROM calibration_table(scorecard() - 'intercept', 'purchase', '10 days', cutoffs())$$
]);

-- a compacted day stands at its first hour: what came after a cutoff within it could be taken for known
CALL compact('2026-01-31');
SELECT leads FROM evaluate(scorecard(), 'purchase', '10 days', '{2026-01-30Z, 2026-01-31 10:00Z}');
SELECT refused(ARRAY[$$SELECT * FROM evaluate(scorecard(), 'purchase', '10 days', '{2026-01-30 10:00Z}')$$, $$SELECT * FROM evaluate(scorecard(), 'purchase', '36 hours', '{2026-01-28Z}')$$]);
DELETE FROM compaction;
CALL rebuild();
