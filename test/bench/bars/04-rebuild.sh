# 4: timelines from nothing, beside the best plain-SQL rescoring and a bare GROUP BY.

for plan in hash index parallel; do
    case $plan in
        hash) set='SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_sort = off' ;;
        index) set='SET enable_hashagg = off; SET enable_sort = off' ;;
        parallel) set= ;;
    esac
    contest "count(*) by lead, $([ "$plan" = parallel ] && echo 2 workers || echo "$plan")" \
        'SELECT sum(n) FROM (SELECT lead_id, count(*) AS n FROM leadscore.event GROUP BY lead_id) AS g' "RESET ALL; $set"
done
contest 'rebuild()' 'CALL leadscore.rebuild()' 'RESET ALL; TRUNCATE leadscore.lead_timeline'
contest 'beside rebuild(): plain flat' 'SELECT sum(score) FROM bench.plain_flat'
contest 'beside rebuild(): plain by kind' 'SELECT sum(score) FROM bench.plain_by_kind'
race 4
sql -c 'VACUUM ANALYZE leadscore.lead_timeline'

verdict 4 'timelines from nothing' 'rebuild()' 'beside rebuild(): plain%' 'at most' 1
verdict 4 'timelines from nothing' 'rebuild()' 'count(*) by lead, %' 'at most' 2.5
