-- Offers
-- Leads with a voucher beside those that were held out. Earned is the revenue that the vouchers brought beyond the holdout's, less their discounts.
-- Empty: There is no offer of this model. Make one: INSERT INTO leadscore.offer (offer, model, segment, discount, valid_for, budget, holdout_share) VALUES (...);
SELECT o.offer, r.arm, r.leads, r.redeemed, r.buyers, r.conversion_rate, r.revenue_per_lead, r.discount, r.earned
FROM leadscore.offer o
CROSS JOIN LATERAL leadscore.offer_result(o.offer, coalesce((SELECT c.signal FROM leadscore.conversion c WHERE c.model = o.model), 'purchase')) r
WHERE o.model = :'model'
ORDER BY 1, 2
