-- Segment sizes over time
-- How many leads each segment had at the end of each week, by the model of today. A band that widens is a segment that grows.
-- Empty: There is no history yet. It begins with the first event.
SELECT d.at::date AS day, coalesce(a.segment, '(none)') AS segment, g.position AS segment_position, count(*) AS leads
FROM (SELECT leadscore.scorecard(:'model') AS card OFFSET 0) c
CROSS JOIN generate_series(date_trunc('day', now()) - interval '91 days', date_trunc('day', now()), '7 days') AS d (at)
JOIN leadscore_internal.lead_start l ON l.started_at < d.at
CROSS JOIN LATERAL (SELECT (leadscore.appraise(c.card, l.timeline, l.profile, d.at - interval '1 hour')).segment OFFSET 0) a
LEFT JOIN leadscore.segment g ON g.model = :'model' AND g.segment = a.segment
WHERE EXISTS (SELECT FROM leadscore.segment s WHERE s.model = :'model')
GROUP BY 1, 2, 3
ORDER BY 1, 3
