# 1: everyone's score after a change of weights, beside the best plain SQL over the events, serial and with 2 workers.
# 2: beside a bare scan of the same table; and by a model with rules and all else, beside the one without.
# 1 and 2 again where 100 deltas are pending, which are read, too.
# 3: 2 workers beside one, and what the processors give.

# The join with a table of weights is not timed: it takes twice as long as the flat pass. That it agrees is seen below.

for how in serial '2 workers'; do
    contest "score everyone, $how" "$(everyone)"
    contest "bare scan of timelines, $how" "SELECT sum(pg_column_size(timeline)) FROM leadscore.lead_timeline"
    if wanted 1; then
        contest "plain flat, $how" "SELECT sum(score) FROM bench.plain_flat"
    fi
    if wanted 1 && [ -z "$QUICK" ]; then    # never the fastest of a million events
        contest "plain by kind, $how" "SELECT sum(score) FROM bench.plain_by_kind"
        contest "uncapped by kind, $how" "SELECT sum(score) FROM bench.plain_uncapped"
    fi
done
make_rules
contest 'score everyone by rules and all else, serial' "$(everyone bench_rules)"
drop_rules
race 1
if wanted 1 || wanted 2; then
    wait_for 100 1
    for how in serial '2 workers'; do
        contest "score everyone, 100 deltas pending, $how" "$(everyone_now)"
        contest "score everyone, 100 deltas that are not read, $how" "$(everyone)"
        contest "bare scan, 100 deltas pending, $how" "SELECT sum(pg_column_size(timeline)) FROM leadscore.lead_timeline"
    done
    race 1
    wait_no_more
fi

if wanted 1; then
    sql -F ': ' -c 'CREATE TABLE bench.agreement AS SELECT * FROM bench.deviation' -c 'SELECT contestant, deviation FROM bench.agreement ORDER BY 1' |
        sed 's/^/  largest deviation from ours, /'
    [ "$(sql -c 'SELECT count(*) FROM bench.agreement WHERE NOT deviation < 1e-6')" = 0 ] || die 'Plain SQL and leadscore do not agree.'
    verdict 1 'score everyone, serial' 'score everyone, serial' 'plain%serial' 'at least' 40
    verdict 1 'score everyone, 2 workers' 'score everyone, 2 workers' 'plain%2 workers' 'at least' 40
    verdict 1 'score everyone, 100 deltas pending, serial' 'score everyone, 100 deltas pending, serial' 'plain%serial' 'at least' 40
    verdict 1 'score everyone, 100 deltas pending, 2 workers' 'score everyone, 100 deltas pending, 2 workers' 'plain%2 workers' 'at least' 40
fi
if wanted 2; then
    verdict 2 'score everyone' 'score everyone, serial' 'bare scan of timelines, serial' 'at most' 5
    verdict 2 'score everyone by rules and all else' 'score everyone by rules and all else, serial' 'score everyone, serial' 'at most' 1.5
    verdict 2 'score everyone, 100 deltas pending' 'score everyone, 100 deltas pending, serial' 'bare scan, 100 deltas pending, serial' 'at most' 5
    verdict 2 'the same, by the rows of lead_timeline' 'score everyone, 100 deltas that are not read, serial' 'bare scan, 100 deltas pending, serial' 'at most'
fi
if wanted 3; then
    verdict 3 '2 workers' 'score everyone, 2 workers' 'score everyone, serial' 'at least' 1.7
    # what two processors do at once, where nothing is read or shared: they may be two threads of one core
    if [ -z "$QUICK" ]; then
        contest 'adding up numbers' 'SELECT sum(i) FROM generate_series(1, 100000) AS i'
        race_clients 3 1
        leave_race
        contest 'half of them each' 'SELECT sum(i) FROM generate_series(1, 50000) AS i'
        race_clients 3 2
        leave_race
        verdict 3 'two sessions that only compute' 'half of them each, 2 clients' 'adding up numbers, 1 client' 'at least'
    fi
fi
