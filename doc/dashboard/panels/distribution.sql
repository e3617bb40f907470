-- Score distribution
-- How many leads have which score. Each bar is a range of scores; the first and the last one take all that lies
-- beyond.
-- Empty: The snapshot has no leads of this model. Run SELECT leadscore.refresh_segments();
WITH score AS (
	SELECT s.score, s.segment, s.segment_position FROM leadscore.lead_segment s WHERE s.model = :'model'
), middle AS (
	SELECT percentile_disc(0.005) WITHIN GROUP (ORDER BY s.score) AS low, percentile_disc(0.995) WITHIN GROUP (ORDER BY s.score) AS high
	FROM score s
), scale AS (
	SELECT w.width, floor(m.low / w.width) AS first, floor(m.high / w.width) AS last
	FROM middle m CROSS JOIN unnest('{0.01,0.02,0.05,0.1,0.2,0.5,1,2,5,10,20,50,100,200,500,1000,10000,100000,1000000}'::float8[]) AS w (width)
	WHERE w.width * 30 >= m.high - m.low
	ORDER BY w.width
	LIMIT 1
)
SELECT greatest(c.first, least(c.last, floor(s.score / c.width))) * c.width AS score_from, c.width, coalesce(s.segment, '(none)') AS segment,
	s.segment_position, count(*) AS leads
FROM score s CROSS JOIN scale c
GROUP BY 1, 2, 3, 4
ORDER BY 1, 4
