-- RFM grid
-- Customers by recency (5: bought latest) and frequency (5: bought most often). Top right are the best, bottom left
-- the lost.
-- Empty: Nobody has bought yet.
SELECT r.recency_tile AS recency, r.frequency_tile AS frequency, r.leads AS customers, r.monetary AS revenue
FROM leadscore.rfm_grid r
WHERE r.model = :'model'
ORDER BY r.recency_tile, r.frequency_tile
