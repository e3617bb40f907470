\set ECHO none
\getenv abs_srcdir PG_ABS_SRCDIR
\set helper :abs_srcdir '/helper.sql'
\i :helper
\set ECHO all
-- The snapshots that refresh_figures() writes, beside what they are snapshots of.
-- Before there is anything, all are empty.
SELECT refresh_figures();
SELECT (SELECT count(*) FROM segment_day) + (SELECT count(*) FROM monthly_figure) + (SELECT count(*) FROM sales_cycle) + (SELECT count(*) FROM funnel) + (SELECT count(*) FROM attribution)
	+ (SELECT count(*) FROM rfm_lead) + (SELECT count(*) FROM rfm_grid) + (SELECT count(*) FROM offer_figure) + (SELECT count(*) FROM experiment_figure) + (SELECT count(*) FROM model_quality) AS rows;
SELECT publish('{"model": "shop", "intercept": -2, "slope": 0.1,
	"signals": [{"signal": "visit", "kind": "visit"}, {"signal": "from search", "kind": "visit", "match": {"channel": "search"}}, {"signal": "from mail", "kind": "visit", "match": {"channel": "mail"}}, {"signal": "purchase", "kind": "purchase"}],
	"weights": [{"signal": "visit", "points": 1}, {"signal": "purchase", "points": 5, "half_life": "30 days"}],
	"segments": [{"segment": "customer", "position": 1, "min_score": 5}, {"segment": "visitor", "position": 2}]}');
SELECT publish('{"model": "empty"}');
-- a model and no leads
SELECT refresh_figures();
SELECT count(*) FROM segment_day;

-- A look-back window: anna came by search 10 days before her order, and by mail 40 days before; ben only 40 days
-- before.
BEGIN;
INSERT INTO channel VALUES ('search', 'from search'), ('mail', 'from mail');
INSERT INTO event (lead_id, kind, occurred_at, value, properties) VALUES ('anna', 'visit', '2026-02-08 12:00Z', NULL, '{"channel": "mail"}'), ('anna', 'visit', '2026-03-10 12:00Z', NULL, '{"channel": "search"}'),
	('anna', 'purchase', '2026-03-20 12:30Z', 100, NULL), ('ben', 'visit', '2026-02-08 12:00Z', NULL, '{"channel": "mail"}'), ('ben', 'purchase', '2026-03-20 12:00Z', 50, NULL);
SELECT refresh_figures();
SELECT attribution, channel, sum(orders) AS orders, sum(revenue) AS revenue FROM attribution WHERE model = 'shop' AND month = '2026-03-01' GROUP BY 1, 2 HAVING sum(orders) > 0 ORDER BY 1, 2;
INSERT INTO conversion (model, signal, look_back) VALUES ('shop', 'purchase', '30 days');
SELECT refresh_figures();
SELECT attribution, channel, sum(orders) AS orders, sum(revenue) AS revenue FROM attribution WHERE model = 'shop' AND month = '2026-03-01' GROUP BY 1, 2 HAVING sum(orders) > 0 ORDER BY 1, 2;
-- the touch lies 240 hours before the hour of the order: a window of 10 days has the hours that are younger
UPDATE conversion SET look_back = '10 days';
SELECT refresh_figures();
SELECT attribution, channel, sum(orders) AS orders FROM attribution WHERE model = 'shop' AND month = '2026-03-01' GROUP BY 1, 2 HAVING sum(orders) > 0 ORDER BY 1, 2;
UPDATE conversion SET look_back = '10 days 1 hour';
-- what is left of revenue: of days whose margins differ, each has the weight of what it has cost; where a channel
-- costs nothing, all have the same
INSERT INTO spend (channel, day, amount, margin) VALUES ('search', '2026-03-01', 30, 0.5), ('search', '2026-03-02', 10, 0.3), ('search', '2026-03-03', 5, NULL), ('mail', '2026-02-01', 0, 0.4), ('mail', '2026-02-02', 0, 0.2), ('radio', '2026-03-01', 7, NULL);
SELECT refresh_figures();
SELECT month, channel, segment, new_customers, orders, revenue, spend, leads, margin, profit FROM attribution WHERE model = 'shop' AND attribution = 'last' ORDER BY 1, 2, 3;
-- a channel by its leads
SELECT channel, sum(leads) AS leads FROM attribution WHERE model = 'shop' AND attribution = 'first' GROUP BY 1 HAVING sum(leads) > 0 ORDER BY 1;
ROLLBACK;

-- RFM: by quintiles the same as rfm(), by cut points as they say
INSERT INTO event (lead_id, kind, occurred_at, value) SELECT 'l' || n, 'purchase', now() - (n * 7 % 100) * interval '1 day' - k * interval '1 hour', n % 13 FROM generate_series(1, 60) n, generate_series(0, n % 5) k;
INSERT INTO event (lead_id, kind, occurred_at) SELECT 'l' || n, 'visit', now() - (n * 11 % 100) * interval '1 day' FROM generate_series(1, 90) n;
SELECT refresh_figures();
SELECT count(*) AS leads, count(*) FILTER (WHERE (s.last_at, s.frequency, s.monetary, s.recency_tile, s.frequency_tile, s.monetary_tile, s.rfm_group)
	IS DISTINCT FROM (r.last_at, r.frequency, r.monetary, r.recency_tile, r.frequency_tile, r.monetary_tile, r.rfm_group)) AS different,
	count(*) FILTER (WHERE g.position IS DISTINCT FROM s.rfm_position) AS out_of_place
FROM rfm('shop') r FULL JOIN (SELECT * FROM rfm_lead WHERE model = 'shop') s USING (lead_id) LEFT JOIN rfm_groups() g ON g.rfm_group = r.rfm_group;
SELECT count(*) AS tiles, sum(leads) AS leads, sum(monetary) = (SELECT sum(value) FROM event) AS all_the_money FROM rfm_grid WHERE model = 'shop';
INSERT INTO conversion (model, signal, recency_cuts, frequency_cuts, monetary_cuts) VALUES ('shop', 'purchase', '{90 days,60 days,30 days,10 days}', '{2,3,4,5}', '{5,10,20,40}')
	ON CONFLICT (model) DO UPDATE SET recency_cuts = excluded.recency_cuts, frequency_cuts = excluded.frequency_cuts, monetary_cuts = excluded.monetary_cuts;
SELECT refresh_figures();
SELECT count(*) AS leads, count(*) FILTER (WHERE (recency_tile, frequency_tile, monetary_tile) IS DISTINCT FROM (
	CASE WHEN now() - last_at < '10 days' THEN 5 WHEN now() - last_at < '30 days' THEN 4 WHEN now() - last_at < '60 days' THEN 3 WHEN now() - last_at < '90 days' THEN 2 ELSE 1 END,
	least(frequency, 5)::int, CASE WHEN monetary >= 40 THEN 5 WHEN monetary >= 20 THEN 4 WHEN monetary >= 10 THEN 3 WHEN monetary >= 5 THEN 2 ELSE 1 END)) AS different FROM rfm_lead WHERE model = 'shop';
SELECT count(*) AS different FROM (SELECT lead_id, last_at, frequency, monetary, recency_tile, frequency_tile, monetary_tile, rfm_group FROM rfm_lead WHERE model = 'shop' EXCEPT SELECT * FROM rfm('shop')) d;
SELECT frequency_tile, min(lowest_frequency) AS lowest, max(highest_frequency) AS highest, sum(leads) AS leads FROM rfm_grid WHERE model = 'shop' GROUP BY 1 ORDER BY 1;
-- one customer is less than five tiles
BEGIN;
DELETE FROM event WHERE kind = 'purchase' AND lead_id <> 'l3';
DELETE FROM conversion;
SELECT refresh_figures();
SELECT lead_id, recency_tile, frequency_tile, monetary_tile, rfm_group FROM rfm_lead WHERE model = 'shop';
ROLLBACK;

-- an experiment as a row, and where a model's name stands
INSERT INTO experiment (experiment, control, treatment, starts_at, salt) VALUES ('try', 'shop', 'empty', now() - interval '50 days', 'salt'), ('later', 'shop', 'empty', now() + interval '50 days', 'salt');
SELECT refresh_figures(), refresh_segments();
SELECT count(*) AS experiments, bool_and(to_jsonb(f) @> to_jsonb(r)) AS same, min(f.conversion) AS conversion FROM experiment_figure f CROSS JOIN LATERAL experiment_result(f.experiment, 'purchase') r;
SELECT segment, position, segment_position, leads FROM segment_summary WHERE model = 'try' ORDER BY position;
SELECT count(*) AS leads, count(*) FILTER (WHERE c.segment IS DISTINCT FROM s.segment) AS different FROM crm_lead c JOIN lead_score s USING (model, lead_id) WHERE model = 'try';
SELECT count(*) FROM (SELECT * FROM rfm('try') EXCEPT SELECT * FROM rfm('shop')) d;
-- uneven arms are a figure, and no warning in every refresh
SET client_min_messages = warning;
INSERT INTO event (lead_id, kind, occurred_at) SELECT 'u' || n, 'visit', now() - interval '2 hours' FROM generate_series(1, 400) n WHERE arm('try', 'u' || n) = 'control';
SELECT refresh_figures();
UPDATE experiment SET ends_at = 'infinity' WHERE experiment = 'try';
SELECT refresh_figures();
SELECT sample_ratio_p < 0.001 AS uneven, ends_at FROM experiment_figure;
DELETE FROM experiment;

-- offers, without names
CALL watch('shop');
INSERT INTO offer (offer, model, segment, kind, discount, valid_for, budget, holdout_share, starts_at) VALUES ('ten', 'shop', 'customer', 'amount', 10, '7 days', 100, 0.5, NULL), ('idle', 'shop', 'visitor', 'amount', 10, '7 days', 100, 0, now() + interval '1 year');
INSERT INTO event (lead_id, kind, value) SELECT 'new ' || n, 'purchase', 5 FROM generate_series(1, 30) n;
SELECT redeem(code, lead_id, 'order ' || voucher_id, 50) IS NOT NULL AS redeemed FROM voucher WHERE code IS NOT NULL ORDER BY voucher_id LIMIT 1;
UPDATE voucher SET issued_at = now() - interval '9 days', expires_at = now() - interval '2 days' WHERE voucher_id IN (SELECT voucher_id FROM voucher WHERE code IS NOT NULL AND redeemed_at IS NULL ORDER BY voucher_id LIMIT 2);
SELECT refresh_figures();
SELECT count(*) AS arms, bool_and(to_jsonb(f) @> (to_jsonb(r) - 'redeemed')) AS same FROM offer_figure f JOIN LATERAL offer_result('ten', 'purchase') r ON r.arm = f.arm WHERE f.offer = 'ten';
SELECT arm, vouchers = (SELECT count(*) FROM voucher v WHERE v.offer = 'ten' AND (v.code IS NOT NULL) = (arm = 'voucher')) AS vouchers, redeemed, expired, revoked, vouchers - redeemed - expired - open AS others FROM offer_figure WHERE offer = 'ten' ORDER BY arm DESC;
SELECT offer, arm, vouchers, leads, earned, first_issued_at FROM offer_figure WHERE offer = 'idle' ORDER BY arm DESC;

-- how good the published model was at the beginnings of months, once for each version, three in a refresh
SELECT count(*) > 0 AS cutoffs, count(*) FILTER (WHERE (q.leads, q.conversions, q.auc, q.auc_low, q.auc_high, q.lift_10, q.log_loss, q.brier)
		IS DISTINCT FROM (e.leads, e.conversions, e.auc, e.auc_low, e.auc_high, e.lift_10, e.log_loss, e.brier)) AS different,
	bool_and(q.cutoff = date_trunc('month', q.cutoff, 'UTC') AND q.cutoff + interval '30 days' <= now()) AS closed, count(q.log_loss) = count(*) AS with_probability
FROM model_quality q CROSS JOIN LATERAL evaluate(scorecard(q.model), 'purchase', '30 days', ARRAY[q.cutoff]) e WHERE q.model = 'shop';
CREATE TEMP TABLE before AS SELECT * FROM model_quality;
INSERT INTO event (lead_id, kind, occurred_at) SELECT 'old ' || n, 'purchase', now() - interval '200 days' + n * interval '1 day' FROM generate_series(1, 190) n;
SELECT refresh_figures();
SELECT count(*) - (SELECT count(*) FROM before) AS more, (SELECT count(*) FROM (TABLE before EXCEPT TABLE model_quality) d) AS changed FROM model_quality;
UPDATE weight SET points = 7 WHERE model = 'shop' AND signal = 'purchase';
SELECT refresh_figures(), refresh_figures(), refresh_figures();
SELECT version, count(*) >= 4 AS cutoffs FROM model_quality WHERE model = 'shop' AND version > 1 GROUP BY 1;

-- a refresh is one instant, and replaces the one before
SELECT count(DISTINCT computed_at) FROM (SELECT computed_at FROM monthly_figure UNION ALL SELECT computed_at FROM sales_cycle UNION ALL SELECT computed_at FROM funnel UNION ALL SELECT computed_at FROM attribution
	UNION ALL SELECT computed_at FROM rfm_lead UNION ALL SELECT computed_at FROM offer_figure UNION ALL SELECT computed_at FROM rfm_grid) f;
-- who is forgotten is gone from the table that names leads
SELECT source, removed, remaining FROM forget('l3') WHERE source = 'rfm_lead'::regclass;
SELECT count(*) FROM rfm_lead WHERE lead_id = 'l3';

\pset tuples_only on
\pset format unaligned
SELECT refused(ARRAY[$$INSERT INTO conversion (model, signal, look_back) VALUES ('empty', 'purchase', '-1 day')$$, $$INSERT INTO conversion (model, signal, horizon) VALUES ('empty', 'purchase', '0')$$,
	$$INSERT INTO conversion (model, signal, recency_cuts) VALUES ('empty', 'purchase', '{10 days,30 days,60 days,90 days}')$$, $$INSERT INTO conversion (model, signal, recency_cuts) VALUES ('empty', 'purchase', '{10 days,5 days}')$$,
	$$INSERT INTO conversion (model, signal, frequency_cuts) VALUES ('empty', 'purchase', '{1,2,2,4}')$$, $$INSERT INTO conversion (model, signal, frequency_cuts) VALUES ('empty', 'purchase', '{1,2,NULL,4}')$$,
	$$INSERT INTO conversion (model, signal, monetary_cuts) VALUES ('empty', 'purchase', '{{1,2},{3,4}}')$$, $$INSERT INTO spend VALUES ('search', '2026-03-01', 1, 1.5)$$, $$INSERT INTO spend VALUES ('search', '2026-03-01', 1, 'NaN')$$]);
