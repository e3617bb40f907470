# 4: timelines from nothing, beside the best plain-SQL rescoring and a bare GROUP BY, serial and with 2 workers.

runs=(serial '2 workers')
[ -z "$QUICK" ] || runs=(serial)
reset='RESET enable_indexscan; RESET enable_indexonlyscan; RESET enable_hashagg; RESET enable_sort'
for how in "${runs[@]}"; do
    contest "count(*) by lead, hash, $how" 'SELECT sum(n) FROM (SELECT lead_id, count(*) AS n FROM leadscore.event GROUP BY lead_id) AS g' \
        "$reset; SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_sort = off"
    contest "count(*) by lead, index, $how" 'SELECT sum(n) FROM (SELECT lead_id, count(*) AS n FROM leadscore.event GROUP BY lead_id) AS g' \
        "$reset; SET enable_hashagg = off; SET enable_sort = off"
    contest "rebuild(), $how" 'CALL leadscore.rebuild()' "$reset; TRUNCATE leadscore.lead_timeline"
    contest "beside rebuild(): plain flat, $how" 'SELECT sum(score) FROM bench.plain_flat'
    [ -n "$QUICK" ] || contest "beside rebuild(): plain by kind, $how" 'SELECT sum(score) FROM bench.plain_by_kind'
done
race 4
sql -c 'VACUUM ANALYZE leadscore.lead_timeline'

for how in "${runs[@]}"; do
    verdict 4 "timelines from nothing, $how" "rebuild(), $how" "beside rebuild(): plain%$how" 'at most' 1
    verdict 4 "timelines from nothing, $how" "rebuild(), $how" "count(*) by lead, %$how" 'at most' 2.5
done
