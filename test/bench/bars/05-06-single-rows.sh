# 5: a durable insert of one row. 6: the same, not waiting for the disk. Beside a table without a trigger, those with a
# row trigger in PL/pgSQL, a statement trigger that does nothing, and a view of pg_ivm.

make_writers
for bar in 5 6; do
    wanted $bar || continue
    [ $bar = 5 ] && commit=durable setting=synchronous_commit=on || commit='not durable' setting=synchronous_commit=off
    for table in no_trigger nothing immediate deferred row_trigger $ivm; do
        contest "insert, $commit, $table" "${insert_row/TABLE/$table}" $setting
    done
    for clients in 1 $([ -n "$QUICK" ] || echo 2); do
        race_clients $bar $clients
        of="$clients client$([ $clients = 1 ] || echo s)"
        beside="insert, $commit, no_trigger, $of"
        verdict $bar "insert one row, $commit, a trigger that does nothing, $of" "insert, $commit, nothing, $of" "$beside" 'at most'
        verdict $bar "insert one row, $commit, immediate, $of" "insert, $commit, immediate, $of" "$beside" 'at most' "$([ $bar = 5 ] && echo 1.20 || echo 1.5)"
        verdict $bar "insert one row, $commit, deferred, $of" "insert, $commit, deferred, $of" "$beside" 'at most' "$([ $bar = 5 ] && echo 1.10 || echo 1.3)"
        if [ $bar = 6 ]; then
            verdict 6 "insert one row, $commit, beside a row trigger, $of" "insert, $commit, immediate, $of" "insert, $commit, row_trigger, $of" 'at least' 1
            beside_ivm 6 "insert one row, $commit, beside pg_ivm, $of" "insert, $commit, immediate, $of" "insert, $commit, pg_ivm, $of"
        fi
    done
    leave_race
done
