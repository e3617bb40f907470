\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- The measures of quality: small figures worked out by hand.

-- three who converted (2, 3, 5), three who did not (1, 2, 4)
CREATE TABLE judged (score float8, outcome boolean);
INSERT INTO judged VALUES (1, false), (2, true), (2, false), (3, true), (4, false), (5, true);

-- pairs in order: 1 1/2 for the 2, 2 for the 3, 3 for the 5: 6 1/2 of 9
SELECT roc_auc(score, outcome) = 6.5 / 9 AS roc_auc FROM judged;

-- each conversion's share of pairs in order: 1/2, 2/3, 1, with the variance 7/108; the others': 1, 5/6, 1/3, with 13/108
SELECT round((roc_auc_error(score, outcome) ^ 2)::numeric, 12) = round((7 / 108. + 13 / 108.) / 3, 12) AS roc_auc_error FROM judged;

-- precision 1 at the 5, 2/3 at the 3, 3/5 at the 2: each a third of the recall
SELECT round(average_precision(score, outcome)::numeric, 12) = round((1 + 2 / 3. + 3 / 5.) / 3, 12) AS average_precision FROM judged;

-- up to 1: 1/3 of those who did not convert, and none of the others
SELECT round(ks(score, outcome)::numeric, 12) = round(1 / 3., 12) AS ks FROM judged;

-- the mean of ln 2 and ln 4
SELECT round(log_loss(p, o)::numeric, 12) = round(1.5 * ln(2.0), 12) AS log_loss FROM (VALUES (0.5, true), (0.75, false)) v (p, o);

-- the mean of 1/4 and 9/16
SELECT brier(p, o) = 13 / 32. AS brier FROM (VALUES (0.5, true), (0.75, false)) v (p, o);

-- tenths of 20 rows: rows, conversions, lowest, highest and mean score; the eight rows of score 7, two of which converted,
-- are shared out over five tenths
SELECT gains(CASE WHEN n = 1 THEN 9 WHEN n <= 9 THEN 7 ELSE -n END, n <= 3) FROM generate_series(1, 20) n;

-- the order of rows, and what a monotone function does to the scores, mean nothing
SELECT count(DISTINCT roc_auc) = 1 AS same
FROM (
	SELECT roc_auc(score, outcome ORDER BY score) FROM judged
	UNION ALL SELECT roc_auc(score, outcome ORDER BY score DESC) FROM judged
	UNION ALL SELECT roc_auc(score, outcome ORDER BY outcome, score) FROM judged
	UNION ALL SELECT roc_auc(exp(score) - 100, outcome) FROM judged
	UNION ALL SELECT 1 - roc_auc(-score, outcome) FROM judged
) x;

-- a perfect score, the reverse, and none at all
SELECT roc_auc(n, n > 5) AS best, average_precision(n, n > 5), ks(n, n > 5), roc_auc_error(n, n > 5) FROM generate_series(1, 10) n;
SELECT roc_auc(-n, n > 5) AS worst, ks(-n, n > 5) FROM generate_series(1, 10) n;
SELECT roc_auc(0, n > 8) AS none, average_precision(0, n > 8), ks(0, n > 8) FROM generate_series(1, 10) n;

-- infinite scores rank, and zero is zero
SELECT roc_auc(s, o) FROM (VALUES ('-Infinity'::float8, false), (0, false), ('-0', true), ('Infinity', true)) v (s, o);

-- rows with NULL are passed over
SELECT roc_auc(score, outcome) = 6.5 / 9 AS roc_auc, ks(score, outcome) IS NOT NULL AS ks, brier(score / 10, outcome) = 0.265 AS brier,
	log_loss(score / 10, outcome) IS NOT NULL AS log_loss
FROM (TABLE judged UNION ALL VALUES (NULL, true), (NULL, false), (100, NULL), (NULL, NULL)) x;

-- nothing, only conversions, no conversions
SELECT roc_auc(score, outcome), roc_auc_error(score, outcome), average_precision(score, outcome), ks(score, outcome), gains(score, outcome),
	log_loss(score, outcome), brier(score, outcome) FROM judged WHERE false;
SELECT roc_auc(score, NULL), roc_auc_error(NULL, outcome), average_precision(NULL, NULL), ks(score, NULL), gains(NULL, outcome),
	log_loss(score, NULL), brier(NULL, outcome) FROM judged;
SELECT outcome, roc_auc(score, outcome), roc_auc_error(score, outcome), average_precision(score, outcome), ks(score, outcome),
	round(log_loss(score / 10, outcome)::numeric, 6) AS log_loss, round(brier(score / 10, outcome)::numeric, 6) AS brier
FROM judged GROUP BY outcome ORDER BY outcome;

-- one of either: an area, but nothing to take its error from
SELECT roc_auc(score, outcome), roc_auc_error(score, outcome) FROM judged WHERE score IN (1, 5);

-- certainty: nothing is lost where it is right, all where it is wrong
SELECT log_loss(p, o), brier(p, o) FROM (VALUES (1, true), (0, false)) v (p, o);
SELECT log_loss(p, o), brier(p, o) FROM (VALUES (0, true), (0.5, true), (0, true)) v (p, o);

-- probabilities next to 0 lose next to nothing, without being rounded away
SELECT log_loss(1e-20, false), brier(1e-20, false);

-- in a window: the state goes on after each figure
SELECT score, outcome, round((roc_auc(score, outcome) OVER w)::numeric, 6) AS roc_auc, round((brier(score / 10, outcome) OVER w)::numeric, 6) AS brier
FROM judged WINDOW w AS (ORDER BY score, outcome ROWS UNBOUNDED PRECEDING) ORDER BY score, outcome;

-- in parallel: the states are sent and merged
SET max_parallel_workers_per_gather = 2; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
CREATE TABLE many AS SELECT n % 2 = 0 AS half, floor(sqrt(n))::float8 AS score, n % 7 = 0 OR n % 50 > 45 AS outcome FROM generate_series(1, 5000) n;
ANALYZE many;
EXPLAIN (COSTS OFF) SELECT roc_auc(score, outcome), brier(score / 100, outcome) FROM many;
CREATE TABLE each AS SELECT half, roc_auc(score, outcome), roc_auc_error(score, outcome), average_precision(score, outcome), ks(score, outcome), gains(score, outcome),
	round(log_loss(score / 100, outcome)::numeric, 12) AS log_loss, round(brier(score / 100, outcome)::numeric, 12) AS brier FROM many GROUP BY half;
CREATE TABLE whole AS SELECT roc_auc(score, outcome), roc_auc_error(score, outcome), average_precision(score, outcome), ks(score, outcome), gains(score, outcome),
	round(log_loss(score / 100, outcome)::numeric, 12) AS log_loss, round(brier(score / 100, outcome)::numeric, 12) AS brier FROM many;
SELECT roc_auc(score, outcome), brier(score / 100, outcome) FROM many WHERE score < 0;
SET max_parallel_workers_per_gather = 0;
SELECT half, e = s AS same FROM each e JOIN (SELECT half, roc_auc(score, outcome), roc_auc_error(score, outcome), average_precision(score, outcome), ks(score, outcome), gains(score, outcome),
	round(log_loss(score / 100, outcome)::numeric, 12) AS log_loss, round(brier(score / 100, outcome)::numeric, 12) AS brier FROM many GROUP BY half) s USING (half) ORDER BY half;
SELECT w = s AS same FROM whole w, (SELECT roc_auc(score, outcome), roc_auc_error(score, outcome), average_precision(score, outcome), ks(score, outcome), gains(score, outcome),
	round(log_loss(score / 100, outcome)::numeric, 12) AS log_loss, round(brier(score / 100, outcome)::numeric, 12) AS brier FROM many) s;
RESET max_parallel_workers_per_gather; RESET parallel_setup_cost; RESET parallel_tuple_cost; RESET min_parallel_table_scan_size;

-- what cannot be ranked, or is no probability
SELECT refused(ARRAY[
	$$SELECT roc_auc('NaN', true)$$,
	$$SELECT average_precision('NaN', true)$$,
	$$SELECT ks('NaN', false)$$,
	$$SELECT log_loss('NaN', true)$$,
	$$SELECT log_loss(1.5, true)$$,
	$$SELECT brier(-0.000001, true)$$,
	$$SELECT brier('Infinity', false)$$
]);

-- but a NaN without an outcome is passed over
SELECT roc_auc('NaN', NULL), log_loss('NaN', NULL);
