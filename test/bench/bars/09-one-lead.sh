# 9: one lead's live score by key, beside reading its timeline; by a model with rules and all else; and where 100 deltas
# of other leads are pending.

make_rules
for pending in '' ', 100 deltas of others pending'; do
    [ -z "$pending" ] || wait_for 100 1
    contest "one lead: score$pending" "\\set lead random(101, :leads)
SELECT leadscore.score(:lead::text, 'bench')"
    contest "one lead: timeline$pending" '\set lead random(101, :leads)
SELECT timeline FROM leadscore.lead_timeline WHERE lead_id = :lead::text'
    [ -n "$pending" ] || contest 'one lead: score by rules and all else' '\set lead random(101, :leads)
SELECT leadscore.score(:lead::text, '"'bench_rules')"
    race_clients 9 1
    leave_race
    verdict 9 "one lead's live score$pending" "one lead: score$pending, 1 client" "one lead: timeline$pending, 1 client" 'at least' 0.6
done
verdict 9 'by rules and all else' 'one lead: score by rules and all else, 1 client' 'one lead: score, 1 client' 'at most' 1.5
wait_no_more
drop_rules
