# 34: a connection that inserts one row: the library, the signals and all else that a session reads first, beside a
# table without triggers.

make_writers
connect=1
for table in no_trigger nothing immediate; do
    contest "connect and insert, $table" "${insert_row/TABLE/$table}" synchronous_commit=off
done
race_clients 34 1
leave_race
connect=
for table in nothing immediate; do
    figure 34 "connect and insert one row, $table, more than without triggers, computed" "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY o.computed - b.computed)
        FROM bench.turn o JOIN bench.turn b USING (turn)
        WHERE o.contestant = 'connect and insert, $table, 1 client' AND b.contestant = 'connect and insert, no_trigger, 1 client'" ' ms' 'at most' 1
done
