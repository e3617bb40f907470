# A coordinator of Citus and its workers, in the workspace: after test/lib.sh. Their database is shop.

[ -e "$("$REAL_PG_CONFIG" --pkglibdir)/citus.so" ] || die "The server of $REAL_PG_CONFIG has no Citus. PG_CONFIG names the pg_config of one that has."
install_extension

export PGHOST=$WORKSPACE PGUSER=postgres PGOPTIONS='-c client_min_messages=warning'

port() { echo $((6000 + $1)); }
ask() { psql -X -q -A -t -v ON_ERROR_STOP=1 -p 6000 -d shop "$@"; }                # the coordinator
on() { psql -X -q -A -t -v ON_ERROR_STOP=1 -p "$(port "$1")" -d shop "${@:2}"; }   # a worker

node_settings=("shared_buffers = '32MB'")

# start_node N: 0 is the coordinator
start_node()
{
    local data=$WORKSPACE/node_$1

    if [ ! -e "$data" ]; then
        quietly initdb --pgdata="$data" --username=postgres --auth=trust --encoding=UTF8 --no-locale --no-sync
        printf '%s\n' "$every_server" "shared_preload_libraries = 'citus'" "listen_addresses = ''" "unix_socket_directories = '$WORKSPACE'" \
            "port = $(port "$1")" "fsync = off" "timezone = 'UTC'" "wal_level = logical" "max_connections = 60" "max_prepared_transactions = 60" \
            "max_worker_processes = 20" "citus.shard_count = 8" "citus.node_conninfo = 'sslmode=disable'" "citus.local_hostname = '$WORKSPACE'" \
            "citus.defer_shard_delete_interval = -1" "${node_settings[@]}" >> "$data/postgresql.conf"
        quietly pg_ctl start --pgdata="$data" --wait --log="$data.log"
        psql -X -q -p "$(port "$1")" -d postgres -c 'CREATE DATABASE shop'
        on "$1" -c 'CREATE EXTENSION citus'
    else
        quietly pg_ctl start --pgdata="$data" --wait --log="$data.log"
    fi
}
crash_node() { quietly pg_ctl stop --pgdata="$WORKSPACE/node_$1" --mode=immediate; }

# A coordinator and two workers.
start_cluster()
{
    local node

    for node in 0 1 2; do
        start_node $node
    done
    ask -c "SELECT citus_set_coordinator_host('$WORKSPACE', 6000)" -c "SELECT citus_add_node('$WORKSPACE', 6001), citus_add_node('$WORKSPACE', 6002)" > /dev/null
}
