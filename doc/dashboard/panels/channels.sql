-- Channels, last touch
-- What each channel has brought and cost in the last three months. CAC is the cost of a new customer, ROAS the
-- revenue for each unit spent.
-- Empty: No order could be credited. Say which signals show a channel: INSERT INTO leadscore.channel (channel,
-- signal) VALUES ('email', 'email_click');
SELECT coalesce(a.channel, '(no touch)') AS channel, sum(a.new_customers) AS new_customers, sum(a.orders) AS orders, sum(a.revenue) AS revenue, sum(a.spend) AS spend,
	round(sum(a.spend) / nullif(sum(a.new_customers), 0), 2) AS cac, round(sum(a.revenue) / nullif(sum(a.spend), 0), 2) AS roas
FROM leadscore.attribution a
WHERE a.model = :'model' AND a.attribution = 'last' AND a.month >= date_trunc('month', now()) - interval '2 months'
GROUP BY a.channel
ORDER BY sum(a.revenue) DESC, 1
