# 33: what an event adds to the server's log, beside the same table without triggers: single rows, and blocks of five.
# Whole pages, which are logged after a checkpoint, are no part of it.

make_writers
sql -c 'ALTER SYSTEM SET full_page_writes = off' -c 'SELECT pg_reload_conf()' > /dev/null
before_each() { fold_before "$1"; }
for table in no_trigger immediate row_trigger; do
    row=${insert_row/TABLE/$table}
    contest "log: $table" "$row" synchronous_commit=off
    contest "log: blocks, $table" "BEGIN;
$(for i in 1 2 3 4 5; do echo "$row;"; done)
COMMIT" synchronous_commit=off
done
race_clients 33 1
leave_race
unset -f before_each
sql -c 'ALTER SYSTEM RESET full_page_writes' -c 'SELECT pg_reload_conf()' > /dev/null
for blocks in '' 'blocks, '; do
    for table in immediate row_trigger; do
        figure 33 "log of an event, ${blocks}${table/_/ }, times that without triggers" \
            "SELECT logged FROM bench.ratios('log: $blocks$table, 1 client', 'log: ${blocks}no_trigger, 1 client')" '' 'at most' 1.4
    done
done
