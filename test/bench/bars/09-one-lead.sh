# 9: one lead's live score by key, beside reading its timeline.

contest 'one lead: score' "\\set lead random(1, :leads)
SELECT leadscore.score(:lead::text, 'bench')"
contest 'one lead: timeline' '\set lead random(1, :leads)
SELECT timeline FROM leadscore.lead_timeline WHERE lead_id = :lead::text'
race_clients 9 1
leave_race
verdict 9 "one lead's live score" 'one lead: score, 1 client' 'one lead: timeline, 1 client' 'at least' 0.6
