-- RFM grid
-- Customers by recency (5: bought latest) and frequency (5: bought most often). Top right are the best, bottom left the lost.
-- Empty: Nobody has bought yet.
SELECT r.recency_tile AS recency, r.frequency_tile AS frequency, count(*) AS customers, sum(r.monetary) AS revenue
FROM leadscore.rfm(:'model') r
GROUP BY 1, 2
ORDER BY 1, 2
