# 16: bar 1's work in DuckDB, from a table of its own in which the properties are columns already, which favours it.

why=
[ -n "$DUCKDB" ] || why='needs DUCKDB=1 and npm'
[ -n "$why" ] || command -v npm > /dev/null || why='there is no npm'
[ -n "$why" ] || { mkdir -p "$WORKSPACE/duckdb" && npm install --prefix "$WORKSPACE/duckdb" --silent --no-fund --no-audit @duckdb/node-api > "$WORKSPACE/npm.log" 2>&1; } ||
    why='npm could not install @duckdb/node-api'
if [ -n "$why" ]; then
    skipped 16 'score everyone, beside DuckDB' "$why"
    return
fi

sql -c "COPY (SELECT lead_id, kind, floor(date_part('epoch', occurred_at) / 3600)::int AS hour, value, properties ->> 'url' AS url, properties ->> 'device' AS device,
    properties ->> 'category' AS category FROM leadscore.event ORDER BY event_id) TO '$WORKSPACE/events.csv' (FORMAT csv, HEADER)"
for how in serial '2 workers'; do
    contest "score everyone beside DuckDB, $how" "$(everyone)"
done
race 16
NODE_PATH="$WORKSPACE/duckdb/node_modules" node test/bench/duckdb.js "$WORKSPACE/events.csv" "$(sql -c 'SELECT hour FROM bench.clock')" "$REPEATS" \
    > "$WORKSPACE/duckdb.out" || die 'the benchmark failed in DuckDB'
grep '^16' "$WORKSPACE/duckdb.out" | sql -c 'COPY bench.measurement (bar, contestant, ms) FROM STDIN'
rm "$WORKSPACE/events.csv"
[ "$(sql -c "SELECT abs($(sed -n 's/^sum //p' "$WORKSPACE/duckdb.out") / ($(everyone)) - 1) < 1e-9")" = t ] || die 'DuckDB and leadscore do not agree.'
progress 16
verdict 16 'score everyone, serial' 'score everyone beside DuckDB, serial' 'DuckDB, 1 thread' 'at least' 3
verdict 16 'score everyone, 2 workers' 'score everyone beside DuckDB, 2 workers' 'DuckDB, 2 threads' 'at least' 3
