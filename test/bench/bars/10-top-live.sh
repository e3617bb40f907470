# 10: the top 100 now, live, beside everyone's score; by a model with rules and all else; and where 100 deltas are
# pending, beside the same.

make_rules
for pending in '' ', 100 deltas pending'; do
    [ -z "$pending" ] || wait_for 100 1
    contest "top 100, live$pending" "SELECT * FROM leadscore.top(100, 'bench')"
    [ -n "$pending" ] || contest 'top 100, live, by rules and all else' "SELECT * FROM leadscore.top(100, 'bench_rules')"
    contest "score everyone for the top$pending" "$(everyone)"
    race 10
    verdict 10 "top 100 now, live$pending" "top 100, live$pending" "score everyone for the top$pending" 'at most' 1.3
done
verdict 10 'by rules and all else' 'top 100, live, by rules and all else' 'top 100, live' 'at most' 1.5
wait_no_more
drop_rules
