-- Experiments
-- Two models, each for its share of the leads. The difference counts once its interval does not contain 0; before,
-- wait for the leads that are missing.
-- Empty: There is no experiment. Begin one: INSERT INTO leadscore.experiment (experiment, control, treatment) VALUES
-- (...);
SELECT e.experiment, e.control, e.treatment, e.control_leads, e.treatment_leads, e.control_rate, e.treatment_rate,
	e.rate_difference, e.rate_low, e.rate_high, e.rate_p, e.leads_missing
FROM leadscore.experiment_figure e
ORDER BY e.starts_at DESC
LIMIT 6
