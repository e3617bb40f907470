# 5: a durable insert of one row. 6: the same, not waiting for the disk. Beside a table without a trigger, those with a
# row trigger in PL/pgSQL, a statement trigger that does nothing, and a view of pg_ivm; and beside the older version.

make_writers
make_base
before_each() { fold_before "$1"; }
for bar in 5 6; do
    wanted $bar || continue
    [ $bar = 5 ] && commit=durable setting=synchronous_commit=on || commit='not durable' setting=synchronous_commit=off
    for table in no_trigger nothing immediate deferred row_trigger $ivm; do
        contest "insert, $commit, $table" "${insert_row/TABLE/$table}" $setting
        if [ -n "$base" ] && [[ $table =~ ^(no_trigger|immediate|deferred)$ ]]; then
            contest "insert, $commit, $table, before" "${insert_row/TABLE/$table}" $setting "$base"
        fi
    done
    for clients in 1 $([ -n "$QUICK" ] || echo 2); do
        race_clients $bar $clients
        of="$clients client$([ $clients = 1 ] || echo s)"
        beside="insert, $commit, no_trigger, $of"
        verdict $bar "insert one row, $commit, a trigger that does nothing, $of" "insert, $commit, nothing, $of" "$beside" 'at most'
        verdict $bar "insert one row, $commit, immediate, $of" "insert, $commit, immediate, $of" "$beside" 'at most' "$([ $bar = 5 ] && echo 1.20 || echo 1.5)"
        verdict $bar "insert one row, $commit, deferred, $of" "insert, $commit, deferred, $of" "$beside" 'at most' "$([ $bar = 5 ] && echo 1.10 || echo 1.3)"
        beside_base $bar "insert one row, $commit, no trigger, beside the older version, $of" "insert, $commit, no_trigger, $of"
        for table in immediate deferred; do
            beside_base $bar "insert one row, $commit, $table, beside the older version, $of" "insert, $commit, $table, $of" 1.10
        done
        if [ $bar = 6 ]; then
            verdict 6 "insert one row, $commit, beside a row trigger, $of" "insert, $commit, immediate, $of" "insert, $commit, row_trigger, $of" 'at least' 1
            beside_ivm 6 "insert one row, $commit, beside pg_ivm, $of" "insert, $commit, immediate, $of" "insert, $commit, pg_ivm, $of"
        fi
    done
    leave_race
done
unset -f before_each
