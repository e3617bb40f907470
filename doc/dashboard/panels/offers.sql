-- Offers
-- Leads with a voucher beside those that were held out. Earned is what the vouchers brought beyond the holdout, less
-- their discounts.
-- Empty: There is no offer of this model. Make one: INSERT INTO leadscore.offer (offer, model, segment, discount,
-- valid_for, budget, holdout_share) VALUES (...);
SELECT o.offer, o.arm, o.leads, o.redeemed, o.conversion_rate, o.revenue_per_lead, o.discount, o.earned
FROM leadscore.offer_figure o
WHERE o.model = :'model'
ORDER BY o.last_issued_at DESC NULLS LAST, o.offer, o.arm DESC
LIMIT 12
