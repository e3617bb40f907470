# 7: INSERT of 1,000 rows and COPY of many, beside a table without a trigger, those with a statement trigger in PL/pgSQL
# and with one that does nothing, and a view of pg_ivm.

make_writers
make_batches
for table in no_trigger nothing immediate deferred statement_trigger $ivm; do
    contest "insert 1000, $table" "${insert_batch/TABLE/$table}"
done
race_clients 7 1
[ -n "$QUICK" ] || race_clients 7 2
leave_race
for table in no_trigger immediate deferred statement_trigger; do
    contest "copy, $table" "${copy_file/TABLE/$table}"
done
race 7

for what in 'insert 1000, TABLE, 1 client' 'insert 1000, TABLE, 2 clients' 'copy, TABLE'; do
    [ -n "$QUICK" ] && [[ $what = *'2 clients' ]] && continue
    said=${what/copy/copy $((EVENTS / 10))}
    if [[ $what != copy* ]]; then
        verdict 7 "${said/TABLE/a trigger that does nothing}" "${what/TABLE/nothing}" "${what/TABLE/no_trigger}" 'at most'
        beside_ivm 7 "${said/TABLE/beside pg_ivm}" "${what/TABLE/immediate}" "${what/TABLE/pg_ivm}"
    fi
    verdict 7 "${said/TABLE/immediate}" "${what/TABLE/immediate}" "${what/TABLE/no_trigger}" 'at most' 2.3
    verdict 7 "${said/TABLE/immediate}" "${what/TABLE/immediate}" "${what/TABLE/statement_trigger}" 'at least' 1
    verdict 7 "${said/TABLE/deferred}" "${what/TABLE/deferred}" "${what/TABLE/no_trigger}" 'at most' 1.3
done
