# 15: many single-row updates of leads that follow Zipf's law: how many are HOT, and how far the table swells under the
# default autovacuum.

make_writers
updates=$((EVENTS / 10 > 0 ? EVENTS / 10 : 1))
sql -c 'CALL leadscore.rebuild()' -c 'VACUUM FULL leadscore.lead_timeline' -c 'VACUUM ANALYZE leadscore.lead_timeline' \
    -c "SELECT pg_stat_reset_single_table_counters('leadscore.lead_timeline'::regclass)" > /dev/null
printf '%s\n' '\set lead random_zipfian(1, :leads, 1.01)' "INSERT INTO bench.immediate (lead_id, kind, occurred_at, properties)
VALUES (:lead::text, 'page_view', now(), '{\"url\": \"/pricing\", \"device\": \"mobile\"}');" > "$WORKSPACE/transaction.sql"
PGOPTIONS='-c synchronous_commit=off' pgbench --no-vacuum --protocol=prepared --client=2 --jobs=2 --transactions=$((updates / 2 + 1)) \
    --define=leads="$leads" --file="$WORKSPACE/transaction.sql" > "$WORKSPACE/pgbench.out" 2>&1 || { cat "$WORKSPACE/pgbench.out"; die 'the benchmark failed in pgbench'; }
sleep 2
sql -c 'CREATE TABLE bench.compact AS TABLE leadscore.lead_timeline'
figure 15 "HOT updates, of $updates" "SELECT 100.0 * n_tup_hot_upd / nullif(n_tup_upd, 0) FROM pg_stat_user_tables
    WHERE relid = 'leadscore.lead_timeline'::regclass" ' %' 'at least' 95
figure 15 'the table beside its compact size' "pg_relation_size('leadscore.lead_timeline') / pg_relation_size('bench.compact')::float8" '' 'at most' 2
sql -c 'DROP TABLE bench.compact'
