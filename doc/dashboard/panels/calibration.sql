-- Calibration
-- Leads in tenths by predicted probability. Dots on the diagonal: what was predicted came true. Below it, the model
-- promises too much.
-- Empty: Nothing could be compared yet. The model needs events of 60 days.
SELECT c.bin, c.predicted, c.observed, c.observed_low, c.observed_high, c.leads
FROM leadscore.calibration_table(leadscore.scorecard(:'fitted'), coalesce((SELECT c.signal FROM leadscore.conversion c WHERE c.model = :'fitted'), 'purchase'),
	'30 days', ARRAY[date_trunc('day', now(), 'UTC') - interval '30 days']) c
ORDER BY c.bin
