# 37: what jobs do in the background, and what a person waits for once: each beside a scoring of everyone, or beside
# plain SQL for the same. (The key figures and a history are bar 31.)
#
# A look at everyone scores, finds each lead's state and compares the two, and so does refresh_crm(), by each column
# that the CRM has. What is derived is compared with what is there, row by row, where the SQL beside it only counts. A
# name is looked up, locked, and linked in two tables with two indexes each, where SQL fills one. A proposal is some
# hundred fits (bar 18: 14 scorings each): one for each choice and fold.

# as many events as an hour has
hour=$((EVENTS / 2160 + 1)) names=$((EVENTS / 10 < 1000000 ? EVENTS / 10 : 1000000))
sql -c "CALL leadscore.watch('bench', notify => false)" -c 'SELECT leadscore.refresh_crm()' > /dev/null
sql <<'SQL'
INSERT INTO leadscore.derivation (behaviour, derived_kind, gap) VALUES ('visit', 'session', '30 minutes');
SELECT * FROM leadscore.derive() \g /dev/null
CREATE TABLE bench.name (alias text PRIMARY KEY, lead_id text NOT NULL);
CREATE INDEX ON bench.name (lead_id);
SQL
another_hour="INSERT INTO leadscore.event (lead_id, kind) SELECT e.lead_id, e.kind FROM leadscore.event e WHERE e.event_id % $((EVENTS / hour)) = 1 LIMIT $hour"
named="SELECT 'name ' || n AS alias, (1 + n % $leads)::text AS lead_id FROM generate_series(1, $names) n"

contest 'score everyone beside jobs' "$(everyone)"
contest 'see_changes() of everyone' 'CALL leadscore.see_changes()'
contest 'refresh_crm()' 'SELECT leadscore.refresh_crm()'
contest 'derive() after an hour' 'SELECT * FROM leadscore.derive()' "$another_hour"
contest 'sessions of the same leads, plain SQL' "SELECT count(*) FILTER (WHERE s.begins)
FROM (SELECT (e.occurred_at - lag(e.occurred_at) OVER (PARTITION BY e.lead_id ORDER BY e.occurred_at) < interval '30 minutes') IS NOT TRUE AS begins
	FROM leadscore.event e WHERE e.lead_id IN (SELECT l.lead_id FROM leadscore.event l ORDER BY l.event_id DESC LIMIT $hour)) s"
race 37
verdict 37 'see_changes() of everyone' 'see_changes() of everyone' 'score everyone beside jobs' 'at most' 8 computing
verdict 37 'refresh_crm()' 'refresh_crm()' 'score everyone beside jobs' 'at most' 8 computing
verdict 37 'derive() after an hour of events' 'derive() after an hour' 'sessions of the same leads, plain SQL' 'at most' 20 computing
sql -c "DELETE FROM leadscore.derivation" -c 'SELECT * FROM leadscore.derive()' -c "SELECT leadscore.unwatch('bench')" > /dev/null

# once each: a second time there is nothing left to do, and a proposal takes long enough to tell
turns=$REPEATS REPEATS=1
contest 'names, plain SQL' "INSERT INTO bench.name $named"
contest 'identify() of names' "SELECT leadscore.identify(array_agg(i.alias), array_agg(i.lead_id)) FROM ($named) i"
contest 'propose()' "SELECT leadscore.propose('purchase', '14 days', model => 'bench')"
race 37
REPEATS=$turns
verdict 37 "identify() of $names names" 'identify() of names' 'names, plain SQL' 'at most' 30 computing
verdict 37 'propose()' 'propose()' 'score everyone beside jobs' 'at most' 1500 computing
sql -c 'DROP TABLE bench.name'
