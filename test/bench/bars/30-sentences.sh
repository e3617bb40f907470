# 30: sentences: crm_lead for ten leads beside top(10); for the first ten by score, with reasons and without; and one
# lead explained, beside the figures that the sentences are made of.

contest 'crm_lead, the first ten' "SELECT * FROM leadscore.crm_lead WHERE model = 'bench' ORDER BY score DESC LIMIT 10"
contest 'crm_lead, the first ten, no reasons' "SELECT model, lead_id, score, grade, segment, stage, probability FROM leadscore.crm_lead WHERE model = 'bench' ORDER BY score DESC LIMIT 10"
contest 'crm_lead, ten by name' "SELECT * FROM leadscore.crm_lead WHERE model = 'bench' AND lead_id IN (SELECT i::text FROM generate_series(101, 110) i)"
contest 'top 10, live' "SELECT * FROM leadscore.top(10, 'bench')"
race 30
verdict 30 'crm_lead for ten leads' 'crm_lead, ten by name' 'top 10, live' 'at most' 1.5 computing
verdict 30 'reasons of the first ten' 'crm_lead, the first ten' 'crm_lead, the first ten, no reasons' 'at most' 1.25 computing
verdict 30 'crm_lead for the first ten' 'crm_lead, the first ten' 'top 10, live' 'at most' '' computing

contest 'explain one lead' "\\set lead random(101, :leads)
SELECT * FROM leadscore.explain(:lead::text, 'bench')"
contest 'one lead, its figures' "\\set lead random(101, :leads)
SELECT c.* FROM leadscore.current_timeline t, leadscore.contributions((SELECT leadscore.scorecard('bench')), t.timeline, NULL, now()) c WHERE t.lead_id = :lead::text"
race_clients 30 1
leave_race
figure 30 'explain one lead, more than its figures, computed' "SELECT e.computed - f.computed FROM bench.median e, bench.median f
	WHERE e.bar = 30 AND f.bar = 30 AND e.contestant = 'explain one lead, 1 client' AND f.contestant = 'one lead, its figures, 1 client'" ' ms' 'at most' 1
