# 14: how time and size grow with the number of events: the exponent of a power law through some sizes. 1 is linear.

sql -c 'DROP TABLE IF EXISTS bench.growth; CREATE TABLE bench.growth (events float8, measure text, figure float8)'
for events in $([ -n "$QUICK" ] && echo $((EVENTS / 30)) $((EVENTS / 10)) $((EVENTS * 3 / 10)) ||
    echo $((EVENTS / 10)) $((EVENTS * 3 / 10)) "$EVENTS" $((EVENTS * 3))); do
    sql -c 'CREATE DATABASE growth'
    {
        PGDATABASE=growth make_workload "$events"
        at=$(PGDATABASE=growth sql -c 'SELECT at FROM bench.clock')
        for i in 1 2 3; do
            printf '%s\n' '\o /dev/null' '\timing off' 'TRUNCATE leadscore.lead_timeline;' '\timing on' '\echo @rebuild' 'CALL leadscore.rebuild();' '\echo @score' \
                "SELECT sum(leadscore.score((SELECT leadscore.scorecard('bench')), timeline, NULL, '$at')) FROM leadscore.lead_timeline;"
        done | PGDATABASE=growth sql
        printf '@size\nTime: %s\n' "$(PGDATABASE=growth sql -c "SELECT pg_total_relation_size('leadscore.lead_timeline')")"
    } | awk -v events="$events" '/^@/ { name = substr($0, 2) } /^Time: / { printf "%s\t%s\t%s\n", events, name, $2 }' |
        sql -c 'COPY bench.growth FROM STDIN'
    sql -c 'DROP DATABASE growth'
done
sql -F '  ' <<'SQL' | sed 's/^/  /'
SELECT events, measure, CASE measure WHEN 'size' THEN pg_size_pretty(max(figure)::bigint)
	ELSE bench.duration(percentile_cont(0.5) WITHIN GROUP (ORDER BY figure)) END
FROM bench.growth GROUP BY 1, 2 ORDER BY 2, 1;
SQL
for measure in rebuild score size; do
    figure 14 "growth with the events, exponent: $measure" "SELECT regr_slope(ln(median), ln(events)) FROM (
        SELECT events, percentile_cont(0.5) WITHIN GROUP (ORDER BY figure) AS median
        FROM bench.growth WHERE measure = '$measure' GROUP BY events) AS g" '' 'at most' 1.05
done
