-- Flow between segments
-- Left: the segment 30 days ago; right: the segment today. A broad band between two names is many leads on the move.
-- Empty: No lead is in a segment, today or 30 days ago.
SELECT CASE WHEN l.started_at < now() - interval '30 days' THEN coalesce((leadscore.appraise(c.card, l.timeline, l.profile, now() - interval '30 days')).segment, '(none)') ELSE '(new)' END AS from_segment,
	coalesce((leadscore.appraise(c.card, l.timeline, l.profile, now())).segment, '(none)') AS to_segment, count(*) AS leads
FROM (SELECT leadscore.scorecard(:'model') AS card OFFSET 0) c CROSS JOIN leadscore_internal.lead_start l
WHERE EXISTS (SELECT FROM leadscore.segment s WHERE s.model = :'model')
GROUP BY 1, 2
ORDER BY 1, 2
