# Functions of the harness: sourced by test/run and by the goals in test/goals.

heading() { printf '\n== %s\n' "$*"; }

die() { printf '%s\n' "$*" >&2; exit 1; }

# ---------------------------------------------------------------- as the caller

as_root()
{
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# provide_server PACKAGES PACKAGES_IF_AVAILABLE
# Sets PG_CONFIG, after installing what Debian packages are missing, the named ones included. (Debian's server package
# makes and starts a cluster of its own when it is first installed; that one is left alone.)
provide_server()
{
    if [ -n "${PG_CONFIG:-}" ]; then
        return
    fi
    PGMAJOR=${PGMAJOR:-$(newest_installed)}
    PGMAJOR=${PGMAJOR:-$(newest_available)}
    provide_packages build-essential libipc-run-perl "postgresql-$PGMAJOR" "postgresql-server-dev-$PGMAJOR" ${1//PGMAJOR/$PGMAJOR}
    provide_available_packages "postgresql-$PGMAJOR-jit" ${2//PGMAJOR/$PGMAJOR}    # (before 18, the server's package compiles queries itself)
    PG_CONFIG=/usr/lib/postgresql/$PGMAJOR/bin/pg_config
}

is_installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

missing_commands()
{
    local command

    for command in "$@"; do
        command -v "$command" > /dev/null || echo "$command"
    done
}

# Installs those of the named packages that are missing and to be had: a fresh major version of PostgreSQL lacks some.
provide_available_packages()
{
    local package

    for package in "$@"; do
        if is_installed "$package"; then
            continue
        fi
        if [ -z "${lists_updated:-}" ] && ! apt-cache show "$package" > /dev/null 2>&1; then
            as_root apt-get -qq update > /dev/null 2>&1 || true
            lists_updated=1
        fi
        if apt-cache show "$package" > /dev/null 2>&1; then
            provide_packages "$package"
        fi
    done
}

# Unpacks packages into a folder without installing them, for what depends on other packages than the machine has.
unpack_packages()
{
    local folder=$1 package

    mkdir -p "$folder"
    (
        cd "$folder"
        for package in "${@:2}"; do
            apt-get -qq download "$package" > /dev/null 2>&1 || { as_root apt-get -qq update && apt-get -qq download "$package"; } || exit 1
        done
        for package in *.deb; do
            dpkg -x "$package" .
        done
    )
    chmod -R a+rX "$folder"
}

# Installs those of the named packages that are missing.
provide_packages()
{
    local package missing=()

    for package in "$@"; do
        if ! is_installed "$package"; then
            missing+=("$package")
        fi
    done
    if [ ${#missing[@]} -gt 0 ]; then
        heading "installing ${missing[*]}"
        as_root true 2>/dev/null || die "Not root, and no sudo without a password. As root: apt-get install ${missing[*]}"
        install_packages "${missing[@]}" > /dev/null 2>&1 ||
            { as_root apt-get -qq update && install_packages "${missing[@]}" > /dev/null; }
    fi
}

install_packages()
{
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3 install --no-install-recommends -y "$@"
}

newest() { grep -o '[0-9][0-9]*' | sort -n | tail -n 1; }

newest_installed()
{
    { ls -d /usr/lib/postgresql/*/bin/postgres 2>/dev/null || true; } | newest || true
}

newest_available()
{
    local pattern='^postgresql-server-dev-[0-9]+$'

    apt-cache search --names-only "$pattern" | newest ||
        { as_root apt-get -qq update >&2 && apt-cache search --names-only "$pattern" | newest; } ||
        die "No package postgresql-server-dev-NN is to be had. Install a PostgreSQL server, or set PG_CONFIG."
}

# The server refuses to run as root.
unprivileged_user()
{
    if [ "$(id -u)" != 0 ]; then id -un; elif id postgres > /dev/null 2>&1; then echo postgres; else echo nobody; fi
}

own_workspace()
{
    chmod -R u+rwX "$workspace"
    if [ "$(id -u)" = 0 ]; then
        chown -R "$(unprivileged_user):" "$workspace"
    fi
}

# Runs a goal's script in the workspace, with nothing of the caller's PostgreSQL or make settings.
unprivileged()
{
    local as=() user

    if [ "$(id -u)" = 0 ]; then
        user=$(unprivileged_user)
        as=(setpriv --reuid "$user" --regid "$(id -g "$user")" --init-groups)
    fi
    (
        cd "$workspace/tree"
        export WORKSPACE=$workspace REAL_PG_CONFIG=$PG_CONFIG HOME=$workspace TMPDIR=$workspace LC_ALL=C.UTF-8
        unset "${!PG@}" "${!MAKE@}" MFLAGS SHARED_DATA
        if [ -d "$workspace/data" ]; then
            export SHARED_DATA=$workspace/data
        fi
        exec "${as[@]}" "$@"
    )
}

# ---------------------------------------------------------------- as the worker, in the workspace

# Runs a command whose output matters only when it fails.
quietly()
{
    "$@" > "$WORKSPACE/quietly.log" 2>&1 || { cat "$WORKSPACE/quietly.log"; die "failed: $*"; }
}

# Builds the extension and installs it into a copy of the server's installation. (A server finds its files relative
# to where its program lies, so the copy needs real programs; everything else is links. BUILD has more arguments for make.)
install_extension()
{
    local copy=$WORKSPACE/server directory

    heading "building with $("$REAL_PG_CONFIG" --version)"
    bindir=$copy$("$REAL_PG_CONFIG" --bindir)
    pgxs_tests=$(dirname "$("$REAL_PG_CONFIG" --pgxs)")/../test
    for directory in "$("$REAL_PG_CONFIG" --pkglibdir)" "$("$REAL_PG_CONFIG" --sharedir)"; do
        mkdir -p "$copy$directory"
        cp -rs "$directory/." "$copy$directory"
        find "$copy$directory" -mindepth 1 -depth -name 'leadscore*' -exec rm -r {} +    # the machine may have one installed
    done
    mkdir -p "$bindir"
    cp -L "$("$REAL_PG_CONFIG" --bindir)"/* "$bindir"
    quietly make --silent --jobs="$(nproc)" install PG_CONFIG="$REAL_PG_CONFIG" DESTDIR="$copy" ${BUILD:-} "$@"
    PATH=$bindir:$PATH
}

# Settings of every server that we start: those that users run with, whatever the distribution has in its sample file.
every_server='jit = on'

# Starts a server in the workspace and points libpq at it. Arguments are settings: name=value.
start_server()
{
    export PGDATA=$WORKSPACE/data_directory PGHOST=$WORKSPACE PGUSER=postgres

    quietly initdb --username=postgres --auth=trust --encoding=UTF8 --no-locale --no-sync
    printf '%s\n' "$every_server" "listen_addresses = ''" "unix_socket_directories = '$WORKSPACE'" "fsync = off" "timezone = 'UTC'" \
        "$@" >> "$PGDATA/postgresql.conf"
    quietly pg_ctl start --wait --log="$WORKSPACE/server.log"
}

# pg_regress and pg_isolation_regress are alike in their options and in how they report.
run_regress()
{
    local program=$1 output=$2
    shift 2

    mkdir -p "$output"
    "$program" --bindir="$bindir" --outputdir="$output" --load-extension=leadscore "$@" 2>&1 |
        tee "$output/summary" | grep -vxE 'SET|(CREATE|ALTER|DROP) (DATABASE|EXTENSION)|=+ .* =+' ||
        cat "$output/regression.diffs" || true
}

# Adds up their tests in the variables passed and failed.
# Their summary: "All 3 tests passed" or "1 of 3 tests failed"; with neither, they could not run at all.
count_regress()
{
    local output=$1 total=1 bad=1

    if [[ $(< "$output/summary") =~ All\ ([0-9]+)\ tests\ passed ]]; then
        total=${BASH_REMATCH[1]} bad=0
    elif [[ $(< "$output/summary") =~ ([0-9]+)\ of\ ([0-9]+)\ tests\ failed ]]; then
        total=${BASH_REMATCH[2]} bad=${BASH_REMATCH[1]}
    fi
    passed=$((passed + total - bad)) failed=$((failed + bad))
}

regress() { run_regress "$@"; count_regress "$2"; }

names() { basename --multiple --suffix="$1" "${@:2}"; }

# Runs files of test/sql, against expected/.
sql_tests()
{
    touch $(names .sql "$@" | sed 's,.*,test/expected/&.out,')    # a missing output is a difference like others
    names .sql "$@" | xargs -n 20 echo test: > "$WORKSPACE/schedule"
    regress "$pgxs_tests/regress/pg_regress" "$WORKSPACE/sql" --inputdir=test --dbname=contrib_regression \
        --launcher=test/own_database --schedule="$WORKSPACE/schedule" --max-connections=4
}

stop_server() { quietly pg_ctl stop --wait --mode=fast; }

# ---------------------------------------------------------------- sanitizers

# Only the extension is instrumented; the server is made ready to load it by start_sanitized.
install_sanitized()
{
    sanitized=(with_llvm=no PG_CPPFLAGS="-include $PWD/test/guarded_memory.h"
        PG_CFLAGS="-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=address -fno-omit-frame-pointer")
    install_extension "${sanitized[@]}"
}

# Leaks are the memory contexts' business. The server measures its stack by addresses, so stack frames stay where they are.
start_sanitized()
{
    local cc library

    reports=$WORKSPACE/reports
    mkdir -p "$reports"
    cc=$(make --silent --no-print-directory --eval 'compiler: ; @echo $(CC)' compiler PG_CONFIG="$REAL_PG_CONFIG")
    library=$($cc -print-file-name=libasan.so)
    [ -e "$library" ] || die "The compiler $cc has no libasan.so."
    # libasan starts when memory is first allocated; must that be inside a constructor of the server's libraries that
    # holds a lock of the C library, it waits for ever. So something allocates before them all.
    $cc -O0 -shared -fPIC -Wl,-z,initfirst -x c -o "$WORKSPACE/first.so" - <<< \
        '#include <stdlib.h>
        static void __attribute__((constructor)) first(void) { free(malloc(1)); }'
    LD_PRELOAD=$library:$WORKSPACE/first.so \
        ASAN_OPTIONS=detect_leaks=0:halt_on_error=1:abort_on_error=1:detect_stack_use_after_return=0:quarantine_size_mb=64:log_path=$reports/asan \
        UBSAN_OPTIONS=print_stacktrace=1:log_path=$reports/ubsan \
        start_server "$@"
}

# Counts as a failed test if there is a report about our code, or a crash.
sanitizer_reports()
{
    local report bad=0

    for report in "$reports"/*; do
        if [ -e "$report" ] && grep -qE 'leadscore(-1|_fuzz)?\.so|src/([a-z]+/)?[a-z_]+\.[ch]:' "$report"; then
            head -n 60 "$report"
            bad=1
        fi
    done
    if grep -E 'was terminated by signal' "$WORKSPACE/server.log"; then
        bad=1
    fi
    [ "$bad" = 1 ] || echo none
    passed=$((passed + 1 - bad)) failed=$((failed + bad))
}
