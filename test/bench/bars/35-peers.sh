# 35: what keeps a number a lead besides us: a row trigger and a statement trigger in PL/pgSQL, and pg_ivm where it is
# installed. One lead is read; and the points of one kind change, and then everybody's number is read. (Inserts: bars
# 6 and 7.)

make_writers
sql <<'SQL'
CREATE TABLE bench.peer_score (lead_id text PRIMARY KEY, score float8 NOT NULL);
CREATE FUNCTION bench.change_weights() RETURNS float8
	LANGUAGE plpgsql
AS $$
BEGIN
	UPDATE leadscore.weight SET points = points * 1.01 WHERE model = 'bench' AND signal = 'purchase';
	RETURN (SELECT sum(leadscore.score((SELECT leadscore.scorecard('bench')), timeline, NULL, c.at)) FROM leadscore.current_timeline, bench.clock c);
END
$$;
SQL
contest 'read a lead, ours' "\\set lead random(1, :leads)
SELECT leadscore.score(:lead::text, 'bench')"
contest 'read a lead, row trigger' '\set lead random(1, :leads)
SELECT score FROM bench.row_trigger_score WHERE lead_id = :lead::text'
[ -z "$ivm" ] || contest 'read a lead, pg_ivm' '\set lead random(1, :leads)
SELECT score FROM bench.pg_ivm_score WHERE lead_id = :lead::text'
race_clients 35 1
leave_race
# one half-life for all, no caps: what the peers' number says, gathered from all events
contest 'change of weights, ours' 'SELECT bench.change_weights()'
contest 'change of weights, rescan' 'INSERT INTO bench.peer_score SELECT lead_id, sum(bench.points(kind, occurred_at, value, properties)) FROM leadscore.event GROUP BY lead_id' \
    'TRUNCATE bench.peer_score'
race 35
verdict 35 'read one lead, beside the number of a trigger' 'read a lead, ours, 1 client' 'read a lead, row trigger, 1 client' 'at most' 1.5 computing
beside_ivm 35 'read one lead, beside pg_ivm' 'read a lead, ours, 1 client' 'read a lead, pg_ivm, 1 client'
verdict 35 'change of weights, then everybody' 'change of weights, ours' 'change of weights, rescan' 'at least' 10 computing
sql -c "UPDATE leadscore.weight SET points = 20 WHERE model = 'bench' AND signal = 'purchase'" -c 'DROP TABLE bench.peer_score' -c 'DROP FUNCTION bench.change_weights()'
