-- Key figures
-- The month is the present one, up to now. The line below it is the whole of the month before.
-- Empty: Nothing is in the snapshot yet. Run SELECT leadscore.refresh_segments();
WITH month AS (
	SELECT f.month, sum(f.leads) AS leads, sum(f.customers) AS customers, sum(f.orders) AS orders, sum(f.revenue) AS revenue,
		row_number() OVER (ORDER BY f.month DESC) AS back
	FROM leadscore.monthly_figure f
	WHERE f.model = :'model'
	GROUP BY f.month
), figure AS (
	SELECT n.revenue, round(n.customers / nullif(n.leads, 0), 4) AS conversion_rate, round(n.revenue / nullif(n.orders, 0), 2) AS order_value,
		p.revenue AS revenue_before, round(p.customers / nullif(p.leads, 0), 4) AS conversion_rate_before, round(p.revenue / nullif(p.orders, 0), 2) AS order_value_before
	FROM month n LEFT JOIN month p ON p.back = 2
	WHERE n.back = 1
), summary AS (
	SELECT s.segment, s.segment_position, s.leads, s.share, sum(s.leads) OVER () AS all_leads
	FROM leadscore.segment_summary s
	WHERE s.model = :'model'
)
SELECT t.tile, t.value, t.format, t.before, t.note
FROM (
	SELECT 1 AS position, 'Leads' AS tile, max(s.all_leads) AS value, 'count' AS format, NULL::numeric AS before, 'with a score on ' || :'model' AS note
	FROM summary s HAVING max(s.all_leads) > 0
	UNION ALL
	(SELECT 2, 'In ' || s.segment, s.leads, 'count', NULL, round(100 * s.share, 1) || ' % of all leads'
		FROM summary s WHERE s.segment IS NOT NULL ORDER BY s.segment_position LIMIT 1)
	UNION ALL
	SELECT 3, 'Revenue this month', f.revenue, 'money', f.revenue_before, NULL FROM figure f
	UNION ALL
	SELECT 4, 'Leads that bought this month', f.conversion_rate, 'share', f.conversion_rate_before, NULL FROM figure f
	UNION ALL
	SELECT 5, 'Average order this month', f.order_value, 'money', f.order_value_before, NULL FROM figure f
) t
ORDER BY t.position
