-- Flow between segments
-- Left: the segment 30 days ago; right: the segment now. A broad band between two names is many leads on the move.
-- Empty: No lead is in a segment, now or 30 days ago.
SELECT CASE WHEN f.is_new THEN '(new)' ELSE coalesce(f.from_segment, '(none)') END AS from_segment, coalesce(f.to_segment, '(none)') AS to_segment, f.leads
FROM leadscore.segment_flow(:'model') f
WHERE EXISTS (SELECT FROM leadscore.segment s WHERE s.model = :'model')
ORDER BY f.is_new DESC, f.from_position, f.to_position
