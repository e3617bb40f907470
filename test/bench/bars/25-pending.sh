# 25: the score of a lead that has 10 deltas pending, among 10,000, beside the same lead when nothing is pending; and when all
# has been folded and nothing vacuumed yet. And everybody's scores while a delta is pending for every fifth lead
# (100,000 with 10 million events), beside the same while nothing is pending.

sql -c 'ALTER TABLE leadscore.pending_delta SET (autovacuum_enabled = off)'
wait_for 1000 0
before_each()
{
    case $1 in
        'score, nothing pending'*) wait_no_more ;;
        'score, pending'*) wait_for 1000 10 ;;
        'score, folded'*) sql -c 'SELECT leadscore.fold()' > /dev/null ;;
    esac
}
for state in 'nothing pending' pending folded; do
    contest "score, $state" '\set lead random(1, 1000)
SELECT leadscore.score(:lead::text, '"'bench')"
done
race_clients 25 1
leave_race
unset -f before_each
wait_no_more
sql -c 'ALTER TABLE leadscore.pending_delta RESET (autovacuum_enabled)'
verdict 25 'score() of a lead with 10 deltas pending, of 10000' 'score, pending, 1 client' 'score, nothing pending, 1 client' 'at most' 2 computing
verdict 25 'score() after a fold without vacuum' 'score, folded, 1 client' 'score, nothing pending, 1 client' 'at most' 1.2 computing

contest 'score everyone now, nothing pending' "$(everyone_now)"
race 25
wait_for $((leads / 5)) 1
contest 'score everyone now, every fifth pending' "$(everyone_now)"
race 25
wait_no_more
verdict 25 'everyone, a delta pending for every fifth lead' 'score everyone now, every fifth pending' 'score everyone now, nothing pending' 'at most' 1.5 computing
