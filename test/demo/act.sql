-- The simulated shop learns, tries the learnt model on half its leads, and brings leads back with vouchers. What took
-- weeks is made up: the experiment and the vouchers are dated back, and the orders that they led to are inserted.

\ir chance.sql
\set model ecommerce
\pset footer off
\pset null ''

\echo
\echo '== a model learnt from who bought, and how well either would have predicted the last 30 days'
SELECT leadscore.publish(leadscore.fit(leadscore.scorecard(:'model') || '{"model": "learnt", "description": "Learnt from conversions"}',
	'purchase', '30 days', ARRAY(SELECT date_trunc('day', now(), 'UTC') - n * interval '15 days' FROM generate_series(4, 2, -1) AS n), keep_signs => true)) \g /dev/null

SELECT m.model, e.leads, e.conversions AS bought, round(e.auc::numeric, 3) AS auc, round(e.lift_10::numeric, 2) AS "lift of the best tenth"
FROM leadscore.model AS m,
	leadscore.evaluate(leadscore.scorecard(m.model), 'purchase', '30 days', ARRAY[date_trunc('day', now(), 'UTC') - interval '30 days']) AS e
ORDER BY m.model;

\echo '== half of the leads are served by the learnt model, for four weeks'
INSERT INTO leadscore.experiment (experiment, control, treatment, starts_at, salt)
VALUES ('autumn', :'model', 'learnt', date_trunc('day', now(), 'UTC') - interval '28 days', 'autumn');
-- one of sixty of the leads that the learnt model reaches buys once more
INSERT INTO leadscore.event (lead_id, kind, occurred_at, value)
SELECT lead_id, 'purchase', now() - interval '20 days' * pg_temp.chance(n, 41), round((20 + 60 * pg_temp.chance(n, 42))::numeric, 2)
FROM leadscore.lead, LATERAL (SELECT lead_id::bigint) AS l (n)
WHERE leadscore.arm('autumn', lead_id) = 'treatment' AND pg_temp.chance(n, 43) < 1.0 / 60;

SELECT control_leads, round(100 * control_rate::numeric, 1) AS "bought, %", treatment_leads, round(100 * treatment_rate::numeric, 1) AS "bought, %",
	round(100 * rate_low::numeric, 1) || ' to ' || round(100 * rate_high::numeric, 1) AS "difference, 95 %", round(rate_p::numeric, 4) AS p
FROM leadscore.experiment_result('autumn', 'purchase');

\echo '== a voucher for 1,400 leads of the segment medium, and none for a fifth, to compare with'
CALL leadscore.watch(:'model');
INSERT INTO leadscore.offer (offer, model, segment, kind, discount, valid_for, budget, holdout_share)
VALUES ('comeback', :'model', 'medium', 'percent', 10, '30 days', 2000, 0.2);
SELECT leadscore.issue_offer('comeback', 1400) \g /dev/null
UPDATE leadscore.voucher SET issued_at = issued_at - interval '14 days', expires_at = expires_at - interval '14 days', already = NULL;
-- one of eight with a voucher redeems it
CREATE TEMPORARY TABLE comeback AS
SELECT voucher_id AS n, code, lead_id, round((25 + 90 * pg_temp.chance(voucher_id, 52))::numeric, 2) AS total
FROM leadscore.voucher
WHERE code IS NOT NULL AND pg_temp.chance(voucher_id, 51) < 0.125;
INSERT INTO leadscore.event (lead_id, kind, occurred_at, value)
SELECT lead_id, 'purchase', now() - interval '12 days' * pg_temp.chance(n, 53), total FROM comeback;
SELECT leadscore.redeem(code, lead_id, 'order ' || n, total) FROM comeback \g /dev/null
SELECT arm, leads, redeemed, round(100 * conversion_rate, 1) AS "bought, %", round(revenue_per_lead, 2) AS "revenue a lead", discount AS discounts, round(earned, 2) AS earned
FROM leadscore.offer_result('comeback', 'purchase');
SELECT leadscore.refresh_segments(), leadscore.refresh_figures() \g /dev/null

\echo '== how far leads have come'
\pset format unaligned
\pset tuples_only on
SELECT format('%15s  %s %s', stage, repeat('#', (60 * sum(leads) / max(sum(leads)) OVER ())::int), sum(leads))
FROM leadscore.funnel
WHERE model = :'model'
GROUP BY stage, position
ORDER BY position;
