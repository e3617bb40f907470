-- Model quality
-- AUC: how often a lead that bought had a higher score 30 days earlier than one that did not. 0.5 is chance, 1 is perfect.
-- Empty: No purchase could have been predicted yet. Wait until there are events of 60 days.
SELECT :'fitted' AS model, e.auc, e.auc_low, e.auc_high, e.lift_10, e.leads, e.conversions
FROM leadscore.evaluate(leadscore.scorecard(:'fitted'), coalesce((SELECT c.signal FROM leadscore.conversion c WHERE c.model = :'fitted'), 'purchase'),
	'30 days', ARRAY[date_trunc('day', now(), 'UTC') - interval '30 days']) e
WHERE e.auc IS NOT NULL
