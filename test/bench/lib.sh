# Functions of the benchmark: sourced by test/goals/bench and used by the files in test/bench/bars.
#
# A bar is a race: contestants do the same work in turn, REPEATS times over; what counts is the ratio of medians.
# Times go to the table bench.measurement as they are taken, verdicts to bench.verdict.

sql() { PGOPTIONS="-c client_min_messages=warning ${PGOPTIONS:-}" psql -X --quiet --no-align --tuples-only --set ON_ERROR_STOP=1 "$@" || die "the benchmark failed in: psql $*"; }

contestants=() statements=() preparations=()

# contest NAME STATEMENT [PREPARATION]: enters the next race. Only the one statement is timed. A NAME that ends in
# "2 workers" runs in parallel. A name means the same race everywhere.
contest()
{
    contestants+=("$1") statements+=("$2") preparations+=("${3:-}")
}

# The statement that scores everybody by the model of the benchmark. The scorecard is a constant, as the parameter of an application is.
everyone()
{
    sql -c "SELECT format('SELECT sum(leadscore.score(%L, timeline, NULL, %L)) FROM leadscore.lead_timeline', leadscore.scorecard('bench'), at) FROM bench.clock"
}

# race BAR [DATABASE]: all that have entered, in turn, in one session.
race()
{
    local bar=$1 i repeat

    {
        echo '\o /dev/null'
        for ((repeat = 0; repeat < REPEATS; repeat++)); do
            for i in "${!contestants[@]}"; do
                printf '%s;\n' "${preparations[i]}"
                printf 'SET max_parallel_workers_per_gather = %d;\n' "$([[ ${contestants[i]} == *'2 workers' ]] && echo 2 || echo 0)"
                printf '\\echo @%s\n\\timing on\n%s;\n\\timing off\n' "${contestants[i]}" "${statements[i]}"
            done
        done
    } > "$WORKSPACE/race.sql"
    sql -d "${2:-$PGDATABASE}" -f "$WORKSPACE/race.sql" > "$WORKSPACE/race.out"
    awk -v bar="$bar" '/^@/ { name = substr($0, 2) } /^Time: / { printf "%s\t%s\t%s\n", bar, name, $2 }' "$WORKSPACE/race.out" |
        sql -c 'COPY bench.measurement (bar, contestant, ms) FROM STDIN'
    contestants=() statements=() preparations=()
    progress "$bar"
}

# race_clients BAR CLIENTS: each that has entered, in turn, runs its statement as transactions of that many clients for
# SECONDS_EACH. The preparation is a setting (name=value). Names get ", N clients"; measured are milliseconds a transaction.
# A function before_each, where a bar has one, is called with the name first; it must print nothing.
race_clients()
{
    local bar=$1 clients=$2 i repeat name

    for ((repeat = 0; repeat < REPEATS; repeat++)); do
        for i in "${!contestants[@]}"; do
            name="${contestants[i]}, $clients client$([ "$clients" = 1 ] || echo s)"
            if declare -F before_each > /dev/null; then
                before_each "$name"
            fi
            printf '%s;\n' "${statements[i]}" > "$WORKSPACE/transaction.sql"
            PGOPTIONS=${preparations[i]:+-c ${preparations[i]}} pgbench --no-vacuum --protocol=prepared --client="$clients" \
                --jobs="$((clients < 2 ? 1 : 2))" --time="$SECONDS_EACH" --file="$WORKSPACE/transaction.sql" --define=leads="$leads" \
                --random-seed="$((repeat + 1))" > "$WORKSPACE/pgbench.out" 2>&1 ||
                { cat "$WORKSPACE/pgbench.out"; die "the benchmark failed in pgbench: ${contestants[i]}"; }
            awk -v bar="$bar" -v name="$name" '/^latency average/ { printf "%s\t%s\t%s\n", bar, name, $4 }' "$WORKSPACE/pgbench.out"
        done
    done > "$WORKSPACE/race.out"    # no COPY that waits: while it lasts, nothing that was updated could be cleaned up
    sql -c 'COPY bench.measurement (bar, contestant, ms) FROM STDIN' < "$WORKSPACE/race.out"
    progress "$bar"
}

leave_race() { contestants=() statements=() preparations=(); }    # after the last of several race_clients

# verdict BAR WHAT OURS BESIDE "at most"|"at least" [LIMIT]
# "at most": ours takes at most so many times the time of BESIDE; "at least": it is at least so many times faster.
# BESIDE is a pattern (LIKE); of several the fastest counts. Without a LIMIT nothing is asked: the row says how far the
# bar can go on this machine.
verdict()
{
    sql -v bar="$1" -v what="$2" -v ours="$3" -v beside="$4" -v sense="$5" -v bound="${6:-NULL}" <<'SQL'
INSERT INTO bench.verdict (bar, what, ours, beside, ratio, wanted, met, noise)
SELECT :'bar', :'what', bench.duration(o.ms), format('%s (%s)', bench.duration(b.ms), b.contestant),
	round(r.ratio::numeric, 2), coalesce(:'sense' || ' ' || :bound, 'the limit here'),
	CASE :'sense' WHEN 'at most' THEN r.ratio <= :bound ELSE r.ratio >= :bound END,
	format('%s %% / %s %%', o.spread, b.spread)
FROM bench.median o,
	(SELECT * FROM bench.median WHERE contestant LIKE :'beside' ORDER BY ms LIMIT 1) b,
	LATERAL (SELECT CASE :'sense' WHEN 'at most' THEN o.ms / b.ms ELSE b.ms / o.ms END) AS r (ratio)
WHERE o.contestant = :'ours';
SQL
}

# beside_ivm BAR WHAT OURS BESIDE: faster than pg_ivm, where that is installed
beside_ivm()
{
    if [ -n "$ivm" ]; then
        verdict "$@" 'at least' 1
    else
        skipped "$1" "$2" 'pg_ivm is not installed'
    fi
}

# figure BAR WHAT EXPRESSION UNIT "at most"|"at least" LIMIT: a number that is no ratio of times
figure()
{
    sql -v bar="$1" -v what="$2" -v unit="$4" -v sense="$5" -v bound="$6" <<SQL
INSERT INTO bench.verdict (bar, what, ratio, wanted, met)
SELECT :'bar', :'what', round(f::numeric, 3), format('%s %s%s', :'sense', :'bound', :'unit'),
	CASE :'sense' WHEN 'at most' THEN f <= :bound ELSE f >= :bound END
FROM (SELECT ($3)::float8) AS e (f);
SQL
}

# skipped BAR WHAT WHY
skipped()
{
    printf '  %s: skipped: %s\n' "$2" "$3"
    sql -c "INSERT INTO bench.verdict (bar, what, wanted) VALUES ($1, '$2', 'skipped: $3')"
}

# What the last race has measured, for whoever waits.
progress()
{
    sql -F '  ' -v bar="$1" <<'SQL' | sed 's/^/  /'
SELECT rpad(contestant, 44), lpad(bench.duration(ms), 10), lpad('spread ' || spread || ' %', 14)
FROM bench.median WHERE bar = :'bar' AND NOT shown ORDER BY first;
UPDATE bench.measurement SET shown = true;
SQL
}

# Whether EVENTS and REPEATS are numbers that make sense; sets leads.
check_sizes()
{
    [[ $EVENTS =~ ^[1-9][0-9]{3,8}$ ]] || die "EVENTS must be a number from 1000 to 999999999, not: $EVENTS"
    [[ $REPEATS =~ ^[1-9][0-9]{0,2}$ ]] || die "REPEATS must be a number from 1 to 999, not: $REPEATS"
    leads=$((EVENTS / 20))
}

# A server of its own, and in the database bench the workload with its timelines.
open_bench()
{
    install_extension
    start_server 'fsync = on' 'shared_buffers = 4GB' 'work_mem = 256MB' 'maintenance_work_mem = 1GB' \
        'max_wal_size = 64GB' 'min_wal_size = 8GB' 'checkpoint_timeout = 1h' 'min_parallel_table_scan_size = 0' 'max_parallel_workers_per_gather = 0'
    sql -c 'CREATE DATABASE bench'
    export PGDATABASE=bench

    heading "making $EVENTS events of $leads leads"
    sql -f test/bench/schema.sql
    make_workload "$EVENTS"
    sql -c 'CALL leadscore.rebuild()' -c 'VACUUM ANALYZE'
}

# make_workload EVENTS: the extension, the model and the events, without timelines, in the database PGDATABASE
make_workload()
{
    sql -c 'CREATE EXTENSION leadscore' > /dev/null
    sql -f test/bench/model.sql > /dev/null
    sql -v events="$1" -f test/bench/workload.sql
    sql -c 'VACUUM ANALYZE'
}

# An empty table of events as a user would have it: bench.NAME.
event_table()
{
    sql -v ON_ERROR_STOP=1 <<SQL
CREATE TABLE IF NOT EXISTS bench.$1 (
	event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	lead_id text NOT NULL, kind text NOT NULL, occurred_at timestamptz NOT NULL DEFAULT now(), value numeric, properties jsonb);
CREATE INDEX IF NOT EXISTS $1_lead_id_idx ON bench.$1 (lead_id, occurred_at);
SQL
}

# The tables that the write bars fill: without a trigger, ours (immediate and deferred), and those of peers.sql. "ivm" is
# the last of them, where pg_ivm is installed.
writers_made= ivm=
make_writers()
{
    local table

    [ -z "$writers_made" ] || return 0
    writers_made=1
    for table in no_trigger nothing immediate deferred row_trigger statement_trigger pg_ivm; do
        event_table "$table"
    done
    for table in immediate deferred; do
        sql -c "SELECT leadscore.track('bench.$table', lead_id => 'lead_id', kind_column => 'kind', occurred_at => 'occurred_at',
            value => 'value', properties => '{properties}', maintenance => '$table')" > /dev/null
    done
    sql -f test/bench/peers.sql > /dev/null
    ivm=$(sql -c "SELECT extname FROM pg_extension WHERE extname = 'pg_ivm'")
    sql -c CHECKPOINT    # from here on the log is written to files that are there, as on a server that has run for a while
}

# What is written to TABLE: a row of any lead or of one of ten, and what make_batches() prepares, a thousand rows or a file.
insert_row=$(cat <<'SQL'
\set lead random(1, :leads)
INSERT INTO bench.TABLE (lead_id, kind, occurred_at, properties)
VALUES (:lead::text, 'page_view', now(), '{"url": "/pricing", "device": "mobile", "category": "shoes"}')
SQL
)
insert_hot=$(cat <<'SQL'
\set lead random(1, 10)
INSERT INTO bench.TABLE (lead_id, kind, occurred_at, properties) VALUES (:lead::text, 'page_view', now(), '{"url": "/pricing"}')
SQL
)
insert_batch=$(cat <<'SQL'
\set batch random(0, 99)
INSERT INTO bench.TABLE (lead_id, kind, occurred_at, value, properties)
SELECT lead_id, kind, now(), value, properties FROM bench.batch WHERE batch = :batch
SQL
)
copy_file="COPY bench.TABLE (lead_id, kind, occurred_at, value, properties) FROM '$WORKSPACE/copied'"

# 100 batches of 1,000 rows in bench.batch, and a file of a tenth of the events.
make_batches()
{
    sql <<SQL
DROP TABLE IF EXISTS bench.batch;
CREATE TABLE bench.batch AS
SELECT (row_number() OVER ()) / 1000 AS batch, lead_id, kind, value, properties
FROM (SELECT * FROM leadscore.event WHERE event_id % greatest($EVENTS / 100000, 1) = 0 LIMIT 100000) e;
CREATE INDEX ON bench.batch (batch);
VACUUM ANALYZE bench.batch;
COPY (SELECT lead_id, kind, occurred_at, value, properties FROM leadscore.event ORDER BY event_id DESC LIMIT greatest($EVENTS / 10, 1)) TO '$WORKSPACE/copied';
SQL
}
