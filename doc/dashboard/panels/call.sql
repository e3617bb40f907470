-- Who to call today, and why
-- The 10 highest scores of the last refresh. The reasons are what weighs most, with the points that each is still worth
-- now.
-- Empty: No lead has a score above zero. Track a table of orders or visits: SELECT leadscore.track(...);
SELECT t.lead_id AS lead, coalesce(p.profile ->> 'name', p.profile ->> 'company') AS name, round(t.score::numeric) AS score, t.segment, t.stage, t.last_active,
	concat_ws(' · ', l.reason_1, l.reason_2, l.reason_3) AS because
FROM (SELECT s.* FROM leadscore.lead_segment s WHERE s.model = :'model' AND s.score > 0 ORDER BY s.score DESC, s.lead_id LIMIT 10) t
CROSS JOIN LATERAL (SELECT c.reason_1, c.reason_2, c.reason_3 FROM leadscore.crm_lead c WHERE c.lead_id = t.lead_id AND c.model = :'model' OFFSET 0) l
LEFT JOIN LATERAL (SELECT c.profile FROM leadscore.current_profile c WHERE c.lead_id = t.lead_id OFFSET 0) p ON true
ORDER BY t.score DESC, t.lead_id
