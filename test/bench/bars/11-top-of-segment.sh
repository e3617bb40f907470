# 11: the top 100 of a segment from the snapshot, beside a look-up by primary key; and where 100 deltas are pending.

sql -c 'SELECT leadscore.refresh_segments(false)' -c 'VACUUM ANALYZE leadscore.lead_segment' > /dev/null
for pending in '' ', 100 deltas pending'; do
    [ -z "$pending" ] || wait_for 100 1
    contest "top 100 of a segment$pending" "SELECT lead_id, score FROM leadscore.lead_segment WHERE model = 'bench' AND segment = 'high' ORDER BY score DESC LIMIT 100"
    contest "look-up by key$pending" '\set lead random(1, :leads)
SELECT timeline FROM leadscore.lead_timeline WHERE lead_id = :lead::text'
    race_clients 11 1
    leave_race
    verdict 11 "top 100 of a segment$pending" "top 100 of a segment$pending, 1 client" "look-up by key$pending, 1 client" 'at most' 3
done
wait_no_more
