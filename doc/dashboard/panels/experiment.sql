-- Experiments
-- Two models, each for its share of the leads. The difference counts once its interval does not contain 0; before, wait for the leads that are missing.
-- Empty: There is no experiment. Begin one: INSERT INTO leadscore.experiment (experiment, control, treatment) VALUES (...);
SELECT e.experiment, e.control, e.treatment, r.control_leads, r.treatment_leads, r.control_rate, r.treatment_rate,
	r.rate_difference, r.rate_low, r.rate_high, r.rate_p, r.leads_missing
FROM leadscore.experiment e
CROSS JOIN LATERAL leadscore.experiment_result(e.experiment, coalesce((SELECT c.signal FROM leadscore.conversion c WHERE c.model = e.control), 'purchase')) r
ORDER BY e.starts_at DESC
