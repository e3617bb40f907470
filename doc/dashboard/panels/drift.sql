-- Drift over 30 days
-- How much the leads' behaviour has changed (population stability index). From 0.1 on, watch it; above 0.25, learn
-- the model anew.
-- Empty: There is nothing to compare. The model needs weights and events of more than 30 days.
SELECT m.signal, m.measure, m.psi, m.verdict, m.mean_from, m.mean_to
FROM (
	-- (some 5,000 leads are enough; a signal may have several weights)
	SELECT DISTINCT ON (1, 2) coalesce(d.signal, d.rule, 'the score itself') AS signal, d.measure, d.psi, d.verdict, d.mean_from, d.mean_to
	FROM leadscore.stability_report(:'model', share => (SELECT least(1, 5000.0 / greatest(1, count(*))) FROM leadscore.lead_timeline)) d
	WHERE d.psi IS NOT NULL
	ORDER BY 1, 2, d.psi DESC
) m
ORDER BY m.psi DESC, m.signal, m.measure
LIMIT 10
