# 4: timelines from nothing, beside the best plain-SQL rescoring and a bare GROUP BY, serial and with 2 workers. And what
# is left of it if timelines came from nowhere: the events are read, and the timelines that are there written.

runs=(serial '2 workers')
[ -z "$QUICK" ] || runs=(serial)
reset='RESET enable_indexscan; RESET enable_indexonlyscan; RESET enable_hashagg; RESET enable_sort'
sql -c 'CREATE TABLE IF NOT EXISTS bench.written (lead_id text PRIMARY KEY, timeline leadscore.timeline NOT NULL)'
for how in "${runs[@]}"; do
    contest "count(*) by lead, hash, $how" 'SELECT sum(n) FROM (SELECT lead_id, count(*) AS n FROM leadscore.event GROUP BY lead_id) AS g' \
        "$reset; SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_sort = off"
    contest "count(*) by lead, index, $how" 'SELECT sum(n) FROM (SELECT lead_id, count(*) AS n FROM leadscore.event GROUP BY lead_id) AS g' \
        "$reset; SET enable_hashagg = off; SET enable_sort = off"
    contest "rebuild(), $how" 'CALL leadscore.rebuild()' "$reset; TRUNCATE leadscore.lead_timeline"
    contest "beside rebuild(): plain flat, $how" 'SELECT sum(score) FROM bench.plain_flat'
    [ -n "$QUICK" ] || contest "beside rebuild(): plain by kind, $how" 'SELECT sum(score) FROM bench.plain_by_kind'
done
contest 'events read, timelines written' 'DO $$ BEGIN
    PERFORM count(occurred_at), count(value), count(properties) FROM leadscore.event;
    INSERT INTO bench.written SELECT lead_id, timeline FROM leadscore.lead_timeline;
END $$' 'TRUNCATE bench.written'
race 4
sql -c 'VACUUM ANALYZE leadscore.lead_timeline'

for how in "${runs[@]}"; do
    verdict 4 "timelines from nothing, $how" "rebuild(), $how" "beside rebuild(): plain%$how" 'at most' 1
    verdict 4 "timelines from nothing, $how" "rebuild(), $how" "count(*) by lead, %$how" 'at most' 2.5
done
verdict 4 'events read, timelines written' 'events read, timelines written' 'count(*) by lead, %serial' 'at most'
