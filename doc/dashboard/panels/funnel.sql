-- Funnel
-- How many leads have ever reached each stage, and what share of the stage before that is. The largest drop is where
-- to look first.
-- Empty: No lead has reached a stage. Give weights a stage: UPDATE leadscore.weight SET stage = ...;
SELECT f.stage, f.position, sum(f.leads) AS leads, round(sum(f.leads) / nullif(first_value(sum(f.leads)) OVER (ORDER BY f.position), 0), 4) AS share,
	round(sum(f.leads) / nullif(lag(sum(f.leads)) OVER (ORDER BY f.position), 0), 4) AS went_on
FROM leadscore.funnel f
WHERE f.model = :'model'
GROUP BY f.stage, f.position
ORDER BY f.position
