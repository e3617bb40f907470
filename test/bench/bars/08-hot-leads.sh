# 8: 16 clients who all write to the same 10 leads.

make_writers
for table in no_trigger nothing immediate deferred; do
    [ $table = immediate ] && [ -n "$QUICK" ] && continue    # to look at: no bar asks for it
    contest "hot leads, $table" "${insert_hot/TABLE/$table}"
done
race_clients 8 16
leave_race
verdict 8 '16 clients on 10 leads, a trigger that does nothing' 'hot leads, nothing, 16 clients' 'hot leads, no_trigger, 16 clients' 'at least'
verdict 8 '16 clients on 10 leads, deferred' 'hot leads, deferred, 16 clients' 'hot leads, no_trigger, 16 clients' 'at least' 0.9
