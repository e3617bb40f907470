\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- Two models, each for its share of the leads.

SELECT publish('{"model": "a", "signals": [{"signal": "visit", "kind": "visit"}, {"signal": "purchase", "kind": "purchase"}], "weights": [{"signal": "visit", "points": 1}], "segments": [{"segment": "all", "position": 1}]}');
SELECT publish('{"model": "b", "signals": [{"signal": "visit", "kind": "visit"}], "weights": [{"signal": "visit", "points": 100}]}');
INSERT INTO event (lead_id, kind, occurred_at) SELECT 'lead ' || n, 'visit', now() - interval '2 days' FROM generate_series(1, 1000) n;
INSERT INTO experiment VALUES ('spring', 'a', 'b', 0.3, now() - interval '1 day', NULL, 'salt');

-- The arm is a hash's: the first 32 bits of sha256('salt:lead 1') as a share, on every machine. Of 1000 leads 30 % are treated, give or take 3.3 standard deviations of 14.5.
SELECT count(*) FILTER (WHERE arm('spring', 'lead ' || n) <> CASE WHEN ('x' || left(encode(sha256(convert_to('salt:lead ' || n, 'UTF8')), 'hex'), 8))::bit(32)::bigint / 4294967296.0 < 0.3 THEN 'treatment' ELSE 'control' END) AS wrong
FROM generate_series(1, 5000) n;
SELECT arm('spring', 'lead 1') AS one, arm('spring', 'lead 3') AS three, arm('spring', 'lead 4') AS four, arm('spring', 'ä€') AS other, arm('spring', NULL) AS none;
SELECT count(*) FILTER (WHERE arm('spring', lead_id) = 'treatment') BETWEEN 252 AND 348 AS share, count(DISTINCT arm('spring', lead_id)) AS arms FROM lead_timeline;
-- an alias is of the arm of its lead; who is treated by a small share is by a larger; another salt assigns otherwise
SELECT count(*) FILTER (WHERE arm('spring', 'visitor ' || n) <> arm('spring', 'lead ' || n)) > 0 AS before FROM generate_series(1, 20) n;
SELECT count(identify('visitor ' || n, 'lead ' || n)) FROM generate_series(1, 20) n;
SELECT count(*) FILTER (WHERE arm('spring', 'visitor ' || n) <> arm('spring', 'lead ' || n)) AS differ FROM generate_series(1, 20) n;
SELECT count(*) FILTER (WHERE treated('salt', 0.3, lead_id) AND NOT treated('salt', 0.5, lead_id)) AS lost, bool_or(treated('salt', 0, lead_id)) AS at_0, bool_and(treated('salt', 1, lead_id)) AS at_1,
	count(*) FILTER (WHERE treated('salt', 0.3, lead_id) AND treated('pepper', 0.3, lead_id)) BETWEEN 40 AND 140 AS independent FROM lead_timeline;

-- lead_score serves each lead by its arm's model, under the experiment's name, and the models as ever
SELECT model, score, count(*) = (SELECT count(*) FROM lead_timeline l WHERE model IN ('a', 'b') OR arm('spring', l.lead_id) = CASE score WHEN 100 THEN 'treatment' ELSE 'control' END) AS as_many, min(segment) AS segment FROM lead_score GROUP BY 1, 2 ORDER BY 1, 2;
SELECT count(*) AS wrong FROM lead_score WHERE model = 'spring' AND score <> CASE arm('spring', lead_id) WHEN 'treatment' THEN 100 ELSE 1 END;
-- and so do the functions by lead_id, also for an alias: lead 1 has the control, lead 9 the treatment
SELECT count(*) AS leads, count(*) FILTER (WHERE score <> score(lead_id, 'spring')) AS differ FROM lead_score WHERE model = 'spring';
SELECT l AS lead, arm('spring', l), score(l, 'spring'), (SELECT sum(points) FROM explain(l, 'spring')) AS explained, score(l, 'spring', now() - interval '30 hours') AS before FROM unnest('{lead 1,lead 9,visitor 1,visitor 9,nobody}'::text[]) l;
SELECT array_agg(score ORDER BY at) AS lead_1 FROM score_history('lead 1', 'spring', now() - interval '36 hours', now(), '12 hours');
SELECT array_agg(score ORDER BY at) AS lead_9 FROM score_history('visitor 9', 'spring', now() - interval '36 hours', now(), '12 hours');
SELECT count(*) AS leads, bool_and(t.score = s.score AND t.segment IS NOT DISTINCT FROM s.segment) AS same, min(t.score) AS lowest, max(t.score) AS highest FROM top(NULL, 'spring') t JOIN lead_score s USING (lead_id) WHERE s.model = 'spring';
SELECT count(*) FILTER (WHERE score = 100) AS treated FROM top(1000, 'spring', now() - interval '30 hours');
SELECT refused(ARRAY['SELECT score(''lead 1'', ''winter'')', 'SELECT explain(''lead 1'', ''winter'')', 'SELECT top(1, ''winter'')', 'SELECT score_history(''lead 1'', ''winter'')', 'SELECT scorecard(''spring'')', 'SELECT preview(scorecard(''a''), ''spring'')', 'CALL watch(''spring'')']);
SELECT refresh_segments(false);
SELECT model, count(*), count(DISTINCT lead_id) FROM lead_segment GROUP BY 1 ORDER BY 1;
-- before it starts and after it ends all get the control
UPDATE experiment SET starts_at = now() + interval '1 hour';
SELECT score, count(*) FROM lead_score WHERE model = 'spring' GROUP BY 1;
UPDATE experiment SET starts_at = now() - interval '2 hours', ends_at = now() - interval '1 hour';
SELECT score, count(*) FROM lead_score WHERE model = 'spring' GROUP BY 1;
UPDATE experiment SET ends_at = now() + interval '1 hour';
SELECT count(DISTINCT score) FROM lead_score WHERE model = 'spring';

-- Results. Of 300 treated leads 60 buy for 30, of 700 others 105 buy for 20, in the week of the experiment.
TRUNCATE event; DELETE FROM lead_alias;
UPDATE experiment SET starts_at = '2026-01-05 00:00Z', ends_at = '2026-01-12 00:00Z';
CREATE TABLE taker AS SELECT lead_id, treated, row_number() OVER (PARTITION BY treated ORDER BY n) AS number FROM (SELECT n, 'lead ' || n AS lead_id, treated('salt', 0.3, 'lead ' || n) FROM generate_series(1, 2000) n) t;
DELETE FROM taker WHERE number > CASE WHEN treated THEN 300 ELSE 700 END;
INSERT INTO event (lead_id, kind, occurred_at, value)
	SELECT lead_id, 'visit', '2026-01-06 10:00Z'::timestamptz, NULL::numeric FROM taker
	UNION ALL SELECT lead_id, 'purchase', '2026-01-07 10:00Z', CASE WHEN treated THEN 30 ELSE 20 END FROM taker WHERE number <= CASE WHEN treated THEN 60 ELSE 105 END
	-- before and after the experiment nothing counts, and neither do leads that were not there
	UNION ALL SELECT lead_id, 'purchase', '2026-01-04 23:00Z', 1000 FROM taker
	UNION ALL SELECT lead_id, 'purchase', '2026-01-12 00:00Z', 1000 FROM taker
	UNION ALL SELECT 'late ' || n, 'visit', '2026-01-13', NULL FROM generate_series(1, 50) n;
CREATE TABLE result AS SELECT * FROM experiment_result('spring', 'purchase');
SELECT control_leads, treatment_leads, sample_ratio_p, control_conversions, treatment_conversions, control_rate, treatment_rate, control_revenue, treatment_revenue, control_mean, treatment_mean FROM result;
-- z = 0.05 / sqrt(0.165 * 0.835 * (1 / 300 + 1 / 700)); the interval by the two variances
SELECT round(rate_difference::numeric, 9) AS difference, round((rate_p - normal_tails(0.05 / sqrt(0.165 * 0.835 * (1 / 300. + 1 / 700.))))::numeric, 12) AS p,
	round((rate_high - 0.05 - 1.959963984540054 * sqrt(0.2 * 0.8 / 300 + 0.15 * 0.85 / 700))::numeric, 12) AS high, round((rate_low + rate_high)::numeric, 12) AS twice, round(rate_p::numeric, 6) AS rate_p FROM result;
-- Welch: means 6 and 3, variances 300 / 299 * 0.2 * 0.8 * 900 and 700 / 699 * 0.15 * 0.85 * 400
SELECT round(mean_difference::numeric, 9) AS difference, round((mean_p - student_tails(3 / error, degrees))::numeric, 12) AS p, round((mean_high - 3 - student_bound(0.05, degrees) * error)::numeric, 9) AS high, round((mean_low + mean_high)::numeric, 9) AS twice,
	round(degrees::numeric, 4) AS degrees, round((mean_p * 1e6)::numeric, 4) AS millionths
FROM result, (SELECT sqrt(a + b) AS error, (a + b) ^ 2 / (a ^ 2 / 299 + b ^ 2 / 699) AS degrees FROM (SELECT 0.16 * 900 / 299::float8 AS a, 0.1275 * 400 / 699::float8 AS b) v) w;
-- to see 15 % become 16.5 % with a power of 80 %; and to see them become 20 %
SELECT leads_needed, leads_missing FROM result;
SELECT leads_needed, leads_missing, ceil((1.959963984540054 * sqrt(0.165 * 0.835 / 0.21) + 0.8416212335729143 * sqrt(0.15 * 0.85 / 0.7 + 0.2 * 0.8 / 0.3)) ^ 2 / 0.05 ^ 2) AS by_hand FROM experiment_result('spring', 'purchase', 0.05);
-- as of an earlier instant
SELECT control_leads, treatment_leads, control_conversions, treatment_conversions FROM experiment_result('spring', 'purchase', at => '2026-01-07 10:00Z');
SELECT * FROM experiment_result('spring', 'purchase', at => '2026-01-01') \gx
-- compacted days count by their first hour
CALL compact('2026-01-06');
SELECT control_leads, treatment_leads, control_conversions, treatment_conversions FROM experiment_result('spring', 'purchase');
DELETE FROM compaction;
CALL rebuild();
-- half the treated are lost: a warning
BEGIN; DELETE FROM event WHERE lead_id IN (SELECT lead_id FROM taker WHERE treated AND number % 2 = 0);
SELECT control_leads, treatment_leads, sample_ratio_p < 0.001 AS odd FROM experiment_result('spring', 'purchase'); ROLLBACK;

-- Probabilities: of the normal distribution, and of Student's as tables have them (0.05 at these)
SELECT round(normal_tails(1.959963984540054)::numeric, 12) AS normal, round(normal_tails(-3)::numeric, 12) AS minus, normal_tails(0) AS zero, normal_tails('Infinity') AS never;
SELECT degrees, round(student_bound(0.05, degrees)::numeric, 4) AS bound, round(student_tails(student_bound(0.05, degrees), degrees)::numeric, 12) AS back FROM (VALUES (1), (2), (5), (10), (30.5), (1000), (1e8)) d (degrees);
-- with one degree 1 - 2 / pi * atan(t), with two 1 - t / sqrt(2 + t * t)
SELECT t, round((student_tails(t, 1) - (1 - 2 / pi() * atan(t)))::numeric, 14) AS one, round((student_tails(-t, 2) - (1 - t / sqrt(2 + t ^ 2)))::numeric, 14) AS two FROM (VALUES (0.01), (0.7), (1), (3.3), (50)) v (t);
SELECT round((student_tails(1.96, 1e15) - normal_tails(1.96))::numeric, 12) AS as_normal;
SELECT student_tails(0, 3) AS zero, student_tails('Infinity', 3) AS never, student_tails(1, 0) AS none, student_tails('NaN', 1) AS nan, student_bound(0, 3) AS p_0, student_bound(0.05, -1) AS no_degrees;

SELECT refused(ARRAY['SELECT arm(''none'', ''x'')', 'SELECT experiment_result(''none'', ''purchase'')', 'SELECT experiment_result(''spring'', ''none'')', 'SELECT experiment_result(''spring'', NULL)', 'SELECT experiment_result(''spring'', ''purchase'', 0)', 'SELECT experiment_result(''spring'', ''purchase'', 2)', 'SELECT experiment_result(''spring'', ''purchase'', at => NULL)',
	'INSERT INTO experiment VALUES (''a'', ''a'', ''b'')', 'INSERT INTO experiment VALUES ('''', ''a'', ''b'')', 'INSERT INTO experiment VALUES (''x'', ''a'', ''none'')',
	'INSERT INTO experiment VALUES (''x'', ''a'', ''b'', 1.5)', 'INSERT INTO experiment VALUES (''x'', ''a'', ''b'', 0.5, ''2026-01-02'', ''2026-01-01'')', 'INSERT INTO experiment VALUES (''x'', ''a'', ''b'', 0.5, ''-infinity'')',
	'SELECT publish(''{"model": "spring"}'')', 'DELETE FROM model WHERE model = ''a''']);

-- Visitors who crossed: of 2000, each an alias of the lead of its number, about 2 * 0.5 * 0.5 have a hash that gives
-- the other arm
TRUNCATE event; DELETE FROM lead_alias; DELETE FROM experiment;
-- the same model twice: the arms differ in what the shop does with them, and in nothing else
INSERT INTO experiment VALUES ('call', 'a', 'a', 0.5, '2026-01-05', NULL, 'salt');
INSERT INTO event (lead_id, kind, occurred_at) SELECT 'lead ' || n, 'visit', '2026-01-06' FROM generate_series(1, 2000) n;
SELECT arm('call', 'lead 1') AS one, arm('call', 'lead 2') AS two, score('lead 1', 'call') AS score_1, score('lead 2', 'call') AS score_2, count(*) AS leads, count(DISTINCT score) AS scores FROM lead_score WHERE model = 'call';
SELECT crossed FROM experiment_result('call', 'purchase');
SELECT count(identify('visitor ' || n, 'lead ' || n)) FROM generate_series(1, 2000) n;
-- two visitors of one lead are one lead that crossed; a lead that was not there during the experiment has not crossed
SELECT count(identify('other ' || n, 'lead ' || n)) FROM generate_series(1, 100) n;
DELETE FROM event WHERE lead_id = 'lead 7';
SELECT control_leads + treatment_leads AS leads, crossed BETWEEN 900 AND 1150 AS about_half, crossed - (SELECT count(DISTINCT n) FROM generate_series(1, 2000) n, LATERAL (VALUES ('visitor ' || n), ('other ' || n)) v (name)
	WHERE n <> 7 AND (n <= 100 OR name LIKE 'v%') AND treated('salt', 0.5, name) <> treated('salt', 0.5, 'lead ' || n)) AS differs FROM experiment_result('call', 'purchase');
