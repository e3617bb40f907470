# 7: INSERT of 1,000 rows and COPY of many, beside a table without a trigger, those with a statement trigger in PL/pgSQL
# and with one that does nothing, and a view of pg_ivm; and beside the older version.

make_writers
make_base
[ -z "$base" ] || PGHOST=$base make_batches
make_batches
before_each() { fold_before "$1"; }
for table in no_trigger nothing immediate deferred statement_trigger $ivm; do
    contest "insert 1000, $table" "${insert_batch/TABLE/$table}"
    if [ -n "$base" ] && [[ $table =~ ^(no_trigger|immediate|deferred)$ ]]; then
        contest "insert 1000, $table, before" "${insert_batch/TABLE/$table}" '' "$base"
    fi
done
race_clients 7 1
[ -n "$QUICK" ] || race_clients 7 2
leave_race
unset -f before_each
for table in no_trigger immediate deferred statement_trigger; do
    fold=$([ $table != immediate ] || printf '%s\n' 'SELECT leadscore.fold();' 'VACUUM leadscore.pending_delta')
    contest "copy, $table" "${copy_file/TABLE/$table}" "$fold"
    if [ -n "$base" ] && [ $table != statement_trigger ]; then
        contest "copy, $table, before" "${copy_file/TABLE/$table}" "$fold" "$base"
    fi
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
    for table in no_trigger immediate deferred; do
        beside_base 7 "${said/TABLE/${table/_/ }, beside the older version}" "${what/TABLE/$table}" "$([ $table = no_trigger ] || echo 1.10)"
    done
done
