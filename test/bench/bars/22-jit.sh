# 22: what compiling (jit, on by default) costs: each public view, and each function that reads the leads or the log, with jit on
# beside jit off, in turn, each time in a new session, which has no plans yet. A shop of 20,000 leads, as it has just been filled
# and was never analyzed, and after autovacuum: the worst of them counts. (A millisecond more is nothing, whatever the ratio.)
# Then all leads of the benchmark, once: no limit.

# calls DATABASE: enters every view and function for the race, named "SIZE: NAME, jit on" and "…, jit off"
calls()
{
    local name statement jit

    {
        sql -d "$1" -c "SELECT 'view ' || relname || ': SELECT * FROM leadscore.' || relname FROM pg_class
            WHERE relnamespace = 'leadscore'::regnamespace AND relkind IN ('v', 'm') ORDER BY 1"
        echo 'scores counted: SELECT count(score) FROM leadscore.lead_score'
        echo 'the ten best: SELECT * FROM leadscore.lead_score ORDER BY score DESC LIMIT 10'
        cat test/bench/calls
    } > "$WORKSPACE/calls"
    while IFS=: read -r name statement; do
        for jit in on off; do
            contest "$2: $name, jit $jit" "$statement" "\\connect -
SET jit = $jit"
        done
    done < "$WORKSPACE/calls"
}

# worst SIZE LIMIT: the verdict on those of a size
worst()
{
    local pairs="(SELECT replace(replace(n.contestant, ', jit on', ''), '$1: ', '') AS name, (n.ms + 1) / (f.ms + 1) AS ratio
        FROM bench.median n JOIN bench.median f ON f.bar = 22 AND f.contestant = replace(n.contestant, ', jit on', ', jit off')
        WHERE n.bar = 22 AND n.contestant LIKE '$1: %, jit on')"

    sql -F ' ' -c "SELECT '  ' || name, round(ratio::numeric, 2) FROM $pairs p ORDER BY ratio DESC LIMIT 5"
    figure 22 "$1: the worst of $(sql -c "SELECT count(*) || ', ' || (array_agg(name ORDER BY ratio DESC))[1] FROM $pairs p")" \
        "SELECT max(ratio) FROM $pairs p" '' 'at most' "$2"
}

sql -c 'DROP DATABASE IF EXISTS shop' -c 'CREATE DATABASE shop'
sql -d shop -c "ALTER DATABASE shop SET min_parallel_table_scan_size = '8MB'" -c "ALTER DATABASE shop SET work_mem = '4MB'" \
    -c 'CREATE EXTENSION leadscore' > /dev/null
for file in schema model workload shop; do
    sql -d shop -v events=400000 -f "test/bench/$file.sql" > /dev/null
done

for state in 'never analyzed' analyzed; do
    if [ "$state" = analyzed ]; then
        sql -d shop -c 'VACUUM ANALYZE'
    fi
    calls shop "20000 leads, $state"
    race 22 shop
    worst "20000 leads, $state" 1.3
done

if [ -z "$QUICK" ]; then
    sql -v events="$EVENTS" -f test/bench/shop.sql > /dev/null
    sql -c 'VACUUM ANALYZE'
    calls bench "$leads leads"
    REPEATS=1 race 22
    sql -F '|' <<SQL | while IFS='|' read -r name; do
SELECT replace(contestant, ', jit on', '') FROM bench.median WHERE bar = 22 AND contestant LIKE '$leads leads: %, jit on' AND ms > 100 ORDER BY first
SQL
        verdict 22 "$name" "$name, jit on" "$name, jit off" 'at most'
    done
fi
