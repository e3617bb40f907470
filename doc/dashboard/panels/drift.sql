-- Drift over 30 days
-- How much the leads' behaviour has changed (population stability index). From 0.1 on, watch it; above 0.25, learn the model anew.
-- Empty: There is nothing to compare. The model needs weights and events of more than 30 days.
SELECT coalesce(d.signal, d.rule, 'the score itself') AS signal, d.measure, max(d.psi) AS psi, max(d.verdict) AS verdict, max(d.mean_from) AS mean_from, max(d.mean_to) AS mean_to
FROM leadscore.stability_report(:'model') d
WHERE d.psi IS NOT NULL
GROUP BY 1, 2
ORDER BY 3 DESC, 1, 2
LIMIT 10
