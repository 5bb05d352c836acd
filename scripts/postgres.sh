# shellcheck shell=bash
# A private PostgreSQL: own data folder, own socket, no port. As root it runs as the postgres user, which it must.

postgres_bin() { # folder of the newest installed server's programs
    local initdb
    initdb=$(find /usr/lib/postgresql/*/bin -maxdepth 1 -name initdb 2>/dev/null | sort -V | tail -n 1)
    [ -n "$initdb" ] || initdb=$(command -v initdb) || die "PostgreSQL's server programs are not installed"
    dirname -- "$initdb"
}

# Run COMMAND as the user who runs the server.
as_server() { # COMMAND...
    if is_root; then
        setpriv --reuid=postgres --regid=postgres --init-groups -- "$@"
    else
        "$@"
    fi
}

# A libpq connection string for the private server.
postgres_conninfo() { # USER DATABASE
    printf "host='%s' user=%s dbname=%s" "$PRIVATE/s" "$1" "$2"
}

# Start the server of the private folder. "durable" is a server as operators run it; "fast" forgets the disk.
postgres_start() { # durable | fast
    local bin data=$PRIVATE/pg started settings=()

    started=$(now_us)
    bin=$(postgres_bin)
    mkdir -m 700 "$data" "$PRIVATE/s"
    if is_root; then
        chown postgres:postgres "$data" "$PRIVATE/s"
    fi
    # The postgres user may not be allowed to stand in the caller's folder.
    (cd "$PRIVATE" && as_server "$bin/initdb" -D "$data" -U postgres --auth=trust --encoding=UTF8 --locale=C.UTF-8 \
        --no-sync) >"$PRIVATE/initdb.log" 2>&1 || { show_log initdb && die "initdb failed"; }
    # mmap: its dynamic shared memory lies in the data folder, so that nothing stays in /dev/shm after a kill.
    settings=(-c listen_addresses= -c "unix_socket_directories=$PRIVATE/s" -c unix_socket_permissions=0700 -c port=5432
        -c dynamic_shared_memory_type=mmap -c timezone=UTC -c log_timezone=UTC -c max_connections=200
        -c shared_buffers=256MB -c max_wal_size=2GB -c log_parameter_max_length_on_error=0)
    if [ "$1" = fast ]; then
        settings+=(-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c wal_level=minimal -c max_wal_senders=0)
    fi
    if is_root; then
        spawn postgres setpriv --reuid=postgres --regid=postgres --init-groups -- \
            env -C "$data" "$bin/postgres" -D "$data" "${settings[@]}"
    else
        spawn postgres "$bin/postgres" -D "$data" "${settings[@]}"
    fi
    postgres_await "$bin" "$SPAWNED"
    step PostgreSQL "$("$bin/postgres" --version | awk '{ print $3 }'), private, ready after $(seconds_since "$started") s"
}

postgres_await() { # BIN PID
    local tenths
    for ((tenths = 0; tenths < 600; tenths++)); do
        if "$1/pg_isready" -q -h "$PRIVATE/s" -p 5432; then
            return 0
        fi
        process_started "$2" >/dev/null || break
        sleep 0.1
    done
    show_log postgres
    die "PostgreSQL did not start"
}

private_psql() { # OPTION...: as superuser on database postgres, or another with -d
    attend "$(postgres_bin)/psql" -X -q -v ON_ERROR_STOP=1 -h "$PRIVATE/s" -p 5432 -U postgres "$@"
}

# What a killed server leaves outside its data folder: one small System V segment, made by it and attached by nobody.
postgres_forget() { # FOLDER
    local pid id
    [ -f "$1/processes" ] || return 0 # killed before it started anything
    pid=$(awk '$3 == "postgres" { print $1 }' "$1/processes" | tail -n 1)
    [ -n "$pid" ] || return 0
    awk -v pid="$pid" '$5 == pid && $7 == 0 { print $2 }' /proc/sysvipc/shm 2>/dev/null | while read -r id; do
        ipcrm -m "$id" || :
    done
}

show_log() { # NAME: the end of a process's output
    say "run: the last lines of $1:"
    tail -n 20 -- "$PRIVATE/$1.log" | sed 's/^/    /' >&2
}
