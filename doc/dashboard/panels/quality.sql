-- Model quality
-- AUC: how often a lead that bought had the higher score a month before than one that did not. 0.5 is chance, 1 is
-- perfect.
-- Empty: Nothing could be compared yet. The model needs events of two months, and purchases among them.
SELECT q.model, q.auc, q.auc_low, q.auc_high, q.lift_10, q.leads, q.conversions, q.cutoff
FROM leadscore.model_quality q
WHERE q.model = :'fitted' AND q.auc IS NOT NULL
ORDER BY q.cutoff DESC
LIMIT 1
