-- Segment sizes over time
-- How many leads each segment had at the end of each day. A band that widens is a segment that grows.
-- Empty: There is no day yet that has ended. The first one is written tomorrow.
SELECT d.day, coalesce(d.segment, '(none)') AS segment, d.segment_position, d.leads
FROM leadscore.segment_day d
WHERE d.model = :'model' AND d.day >= current_date - 91 AND d.leads > 0
ORDER BY d.day, d.segment_position
