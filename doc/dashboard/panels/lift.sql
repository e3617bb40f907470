-- Lift
-- Leads in tenths by their score 30 days ago, best first. A bar of 3 bought three times as often as the average; the
-- line adds up the buyers.
-- Empty: Nothing could be compared yet. The model needs events of 60 days.
SELECT l.decile, l.lift, l.captured, l.leads, l.conversions, l.rate
FROM leadscore.lift_table(leadscore.scorecard(:'fitted'), coalesce((SELECT c.signal FROM leadscore.conversion c WHERE c.model = :'fitted'), 'purchase'),
	'30 days', ARRAY[date_trunc('day', now(), 'UTC') - interval '30 days']) l
ORDER BY l.decile
