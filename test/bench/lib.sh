# Functions of the benchmark: sourced by test/goals/bench and used by the files in test/bench/bars.
#
# A bar is a race: contestants do the same work in turn, REPEATS times over; what counts is the median of the ratios of
# each turn. Times go to the table bench.measurement as they are taken, verdicts to bench.verdict. Beside the time by the
# clock, which depends on what else the machine does, stand what the sessions have computed and what was written to the log.

sql() { PGOPTIONS="-c client_min_messages=warning ${PGOPTIONS:-}" psql -X --quiet --no-align --tuples-only --set ON_ERROR_STOP=1 "$@" || die "the benchmark failed in: psql $*"; }

contestants=() statements=() preparations=() servers=() connect=

# contest NAME STATEMENT [PREPARATION [SERVER]]: enters the next race. Only the one statement is timed. A NAME that ends in
# "2 workers" runs in parallel. A name means the same race everywhere. A SERVER is the host of another one than ours.
contest()
{
    contestants+=("$1") statements+=("$2") preparations+=("${3:-}") servers+=("${4:-$PGHOST}")
}

# everyone [MODEL]: the statement that scores everybody by the model of the benchmark or another. The scorecard is a
# constant, as the parameter of an application is.
everyone()
{
    sql -c "SELECT format('SELECT sum(leadscore.score(%L, timeline, NULL, %L)) FROM leadscore.lead_timeline', leadscore.scorecard('${1:-bench}'), at) FROM bench.clock"
}

# The model with rules is there only while it is raced: views and snapshots show every model.
make_rules() { sql -f test/bench/rules.sql > /dev/null; }
drop_rules() { sql -c "DELETE FROM leadscore.model WHERE model = 'bench_rules'"; }

# The same with what is pending.
everyone_now() { everyone | sed 's/leadscore\.lead_timeline$/leadscore.current_timeline/'; }

# race BAR [DATABASE]: all that have entered, in turn, in one session on each server.
race()
{
    local bar=$1 database=${2:-$PGDATABASE} i repeat server=$PGHOST

    {
        echo '\o /dev/null'
        for ((repeat = 0; repeat < REPEATS; repeat++)); do
            for i in "${!contestants[@]}"; do
                if [ "${servers[i]}" != "$server" ]; then
                    server=${servers[i]}
                    printf '\\connect - - %s\n' "$server"
                fi
                printf '%s;\n' "${preparations[i]}"
                printf 'SET max_parallel_workers_per_gather = %d;\n' "$([[ ${contestants[i]} == *'2 workers' ]] && echo 2 || echo 0)"
                printf '%s\n' 'SELECT computed, logged FROM bench.reading() \gset' "\\echo @${contestants[i]}" '\timing on' "${statements[i]};" '\timing off' \
                    'SELECT computed - :computed AS computed, logged - :logged AS logged FROM bench.reading() \gset' '\echo #:computed :logged'
            done
        done
    } > "$WORKSPACE/race.sql"
    sql -d "$database" -f "$WORKSPACE/race.sql" > "$WORKSPACE/race.out"
    awk -v bar="$bar" '/^@/ { name = substr($0, 2) } /^Time: / { ms = $2 } /^#/ { printf "%s\t%s\t%s\t%s\t%s\n", bar, name, ms, substr($1, 2), $2 }' \
        "$WORKSPACE/race.out" | sql -c 'COPY bench.measurement (bar, contestant, ms, computed, logged) FROM STDIN'
    leave_race
    progress "$bar"
}

# race_clients BAR CLIENTS [DATABASE]: each that has entered, in turn, runs its statement as transactions of that many clients
# for SECONDS_EACH. The preparation is a setting (name=value). Names get ", N clients"; measured are milliseconds a transaction.
# A function before_each, where a bar has one, is called with the name first; it must print nothing. Where "percentiles" is set,
# ", 99th percentile" is measured, too. Where "connect" is set, each transaction has a connection of its own,
# and what is computed is all that the connection computes.
race_clients()
{
    local bar=$1 clients=$2 database=${3:-$PGDATABASE} i repeat name

    for ((repeat = 0; repeat < REPEATS; repeat++)); do
        for i in "${!contestants[@]}"; do
            name="${contestants[i]}, $clients client$([ "$clients" = 1 ] || echo s)"
            if declare -F before_each > /dev/null; then
                before_each "$name"
            fi
            # a session's first transaction reads catalogs; marks get rare, so that they cost nothing
            if [ -n "$connect" ]; then
                printf '%s\n' "${statements[i]};" 'SELECT bench.mark(1);'
            else
                printf '%s\n' "${statements[i]};" '\set turn :turn + 1' '\if :turn >= :next' '\set next :turn * 5 / 4 + 8' \
                    'SELECT bench.mark(:turn);' '\endif'
            fi > "$WORKSPACE/transaction.sql"
            PGHOST=${servers[i]} PGDATABASE=$database PGOPTIONS=${preparations[i]:+-c ${preparations[i]}} run_clients "$name" "$clients" $((repeat + 1))
        done
    done > "$WORKSPACE/race.out"    # no COPY that waits: while it lasts, nothing that was updated could be cleaned up
    sed "s/^/$bar\t/" "$WORKSPACE/race.out" | sql -c "COPY bench.measurement (bar, contestant, ms, computed, logged) FROM STDIN"
    progress "$bar"
}

# run_clients NAME CLIENTS SEED: one turn of a contestant; writes its measurements.
run_clients()
{
    local from to

    from=$(sql -c 'TRUNCATE bench.mark' -c 'SELECT logged FROM bench.reading()')
    pgbench --no-vacuum --protocol=prepared --client="$2" --jobs="$(($2 < 2 ? 1 : 2))" --time="$SECONDS_EACH" --file="$WORKSPACE/transaction.sql" ${connect:+--connect} \
        --define=leads="$leads" --define=turn=0 --define=next=1 --random-seed="$3" ${percentiles:+--log --log-prefix="$WORKSPACE/latency"} \
        > "$WORKSPACE/pgbench.out" 2>&1 || { cat "$WORKSPACE/pgbench.out" >&2; die "the benchmark failed in pgbench: $1"; }
    to=$(sql -F ' ' -c "SELECT r.logged - $from, coalesce(m.computed::text, '\\N') FROM bench.reading() r,
        $([ -n "$connect" ] && echo '(SELECT avg(computed) AS computed FROM bench.mark)' || echo bench.marked) m")
    awk -v name="$1" -v to="$to" '/^number of transactions actually processed/ { split($NF, n, "/") } /^latency average/ {
        split(to, t, " "); printf "%s\t%s\t%s\t%s\n", name, $4, t[2], t[1] / n[1] }' "$WORKSPACE/pgbench.out"
    if [ -n "${percentiles:-}" ]; then
        cat "$WORKSPACE"/latency.* | awk '{ print $3 }' | sort -n |
            awk -v name="$1" '{ us[NR] = $1 } END { printf "%s, 99th percentile\t%s\t\\N\t\\N\n", name, us[int(NR * 0.99 + 0.5)] / 1000 }'
        rm "$WORKSPACE"/latency.*
    fi
}

leave_race() { contestants=() statements=() preparations=() servers=(); }    # after the last of several race_clients

# verdict BAR WHAT OURS BESIDE "at most"|"at least" [LIMIT [MEASURE]]
# "at most": ours takes at most so many times what BESIDE does; "at least": it is at least so many times faster.
# BESIDE is a pattern (LIKE); of several the fastest counts. Without a LIMIT nothing is asked: the row says how far the
# bar can go on this machine. MEASURE: time; computing (what the sessions have computed); work (that and what was written
# to the log: the worse of the two counts).
verdict()
{
    sql -v bar="$1" -v what="$2" -v ours="$3" -v beside="$4" -v sense="$5" -v bound="${6:-NULL}" -v measure="${7:-time}" <<'SQL'
INSERT INTO bench.verdict (bar, what, ours, beside, ratio, wanted, met, noise, time_ratio, computed_ratio, logged_ratio)
SELECT :'bar', :'what', bench.duration(CASE :'measure' WHEN 'time' THEN o.ms ELSE o.computed END),
	format('%s (%s)', bench.duration(CASE :'measure' WHEN 'time' THEN b.ms ELSE b.computed END), b.contestant),
	round(r.ratio::numeric, 2),
	coalesce(:'sense' || ' ' || :bound, 'the limit here') || CASE :'measure' WHEN 'time' THEN '' ELSE ', ' || :'measure' END,
	CASE :'sense' WHEN 'at most' THEN r.ratio <= :bound ELSE r.ratio >= :bound END,
	CASE :'measure' WHEN 'time' THEN format('%s %% / %s %%', o.spread, b.spread) ELSE format('%s %% / %s %%', o.computed_spread, b.computed_spread) END,
	round(p.ms::numeric, 2), round(p.computed::numeric, 2), round(p.logged::numeric, 2)
FROM bench.median o,
	(SELECT * FROM bench.median WHERE contestant LIKE :'beside' ORDER BY ms LIMIT 1) b,
	LATERAL bench.ratios(o.contestant, b.contestant) p,
	LATERAL (SELECT CASE :'measure' WHEN 'time' THEN p.ms WHEN 'computing' THEN p.computed ELSE greatest(p.computed, p.logged) END) AS m (ratio),
	LATERAL (SELECT CASE :'sense' WHEN 'at most' THEN m.ratio ELSE 1 / m.ratio END) AS r (ratio)
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
SELECT rpad(contestant, 54), lpad(bench.duration(ms), 10), rpad(lpad('spread ' || spread || ' %', 14), 15),
	coalesce(lpad(bench.duration(computed), 10) || ' computed ' || lpad('spread ' || computed_spread || ' %', 14) || lpad(round(logged::numeric) || ' bytes', 18), '')
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
    fill_bench
}

fill_bench()
{
    start_server 'fsync = on' 'shared_buffers = 4GB' 'work_mem = 256MB' 'maintenance_work_mem = 1GB' \
        'max_wal_size = 64GB' 'min_wal_size = 8GB' 'checkpoint_timeout = 1h' 'min_parallel_table_scan_size = 0' 'max_parallel_workers_per_gather = 0'
    PGDATABASE=postgres sql -c 'CREATE DATABASE bench'
    export PGDATABASE=bench

    heading "making $EVENTS events of $leads leads"
    sql -f test/bench/schema.sql
    make_workload "$EVENTS"
    sql -c 'CALL leadscore.rebuild()' -c 'VACUUM ANALYZE'
}

# An older version on a second server, beside ours, with the same workload and the same tables of writers. "base" is its host;
# empty: there is none.
base= base_made=
make_base()
{
    [ -z "$base_made" ] && [ -d "$WORKSPACE/base/tree" ] || return 0
    base_made=1
    heading "the older version: $BASE"
    (
        ours=$PWD WORKSPACE=$WORKSPACE/base writers_made=
        cd "$WORKSPACE/tree"
        install_extension
        cd "$ours"
        fill_bench
        make_writers
    )
    base=$WORKSPACE/base
}

# fold_before NAME: what a contestant with deferred maintenance has left pending is not for one with immediate maintenance to take along.
fold_before()
{
    case $1 in
        *immediate*before*) PGHOST=$base fold_all ;;
        *immediate*) fold_all ;;
    esac
}

# beside_base BAR WHAT OURS [LIMIT]: what a contestant takes beside the same in the older version, whose name has ", before"
# in it, ahead of the clients
beside_base()
{
    if [ -n "$base" ]; then
        verdict "$1" "$2" "$3" "$(sed -E 's/(, [0-9]+ clients?)?$/, before\1/' <<< "$3")" 'at most' "${4:-}" work
    else
        skipped "$1" "$2" 'no older version'
    fi
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

# wait_for LEADS TIMES: so many deltas for each of so many leads are pending, of a tracked table of their own.
wait_for()
{
    local i

    if [ "$(sql -c "SELECT to_regclass('bench.waiting') IS NULL")" = t ]; then
        event_table waiting
        sql -c "SELECT leadscore.track('bench.waiting', lead_id => 'lead_id', kind_column => 'kind', occurred_at => 'occurred_at',
            value => 'value', properties => '{properties}', maintenance => 'deferred')" > /dev/null
    fi
    for ((i = 0; i < $2; i++)); do
        sql -c "INSERT INTO bench.waiting (lead_id, kind) SELECT n::text, 'page_view' FROM generate_series(1, $1) n"
    done
}

# Nothing is pending, and the table is as if nothing had ever been.
fold_all()
{
    sql -c 'SELECT leadscore.fold()' > /dev/null
    sql -c 'VACUUM leadscore.pending_delta'
}

# Nor have there been the events that deltas were pending of.
wait_no_more()
{
    sql -c 'DELETE FROM bench.waiting'
    fold_all
    sql -c 'VACUUM leadscore.lead_timeline'
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
