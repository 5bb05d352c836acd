# shellcheck shell=bash
# Processes of a run: started so that they can be found again, ended so that none is left behind.
#
# Every process of a run carries a mark in its environment, RUN_MARK: the pid and start time of the run, or, if
# it serves a private folder and may outlive the run, that folder. So leftovers are found, also those of a run that was
# killed. PostgreSQL overwrites its environment: it is found by the pid and start time written to the private folder.

# The clock tick at which a process started (with the pid it names a process for ever); fails when it is gone.
process_started() { # PID
    local stat fields
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    read -ra fields <<<"${stat##*) }" # the name in brackets may hold anything
    [ "${fields[0]}" != Z ] || return 1
    printf '%s' "${fields[19]}"
}

process_is() { # PID STARTED: is it still that process?
    [ "$(process_started "$1")" = "$2" ]
}

RUN_ID=$$.$(process_started $$)
ATTENDED=    # pid of what attend() waits for
PRIVATE=     # the private folder in use
TO_REMOVE=() # private folders that go when this run ends, with what serves them

# Run this script again as one that carries its own mark (pid and start time stay as they are): then every child does,
# also in the moment between its birth and the program that it becomes.
mark_self() { # ARGUMENT...
    [ "${RUN_MARK:-}" = "$RUN_ID" ] || RUN_MARK=$RUN_ID exec "$BASH" "$0" "$@"
}

# Start COMMAND in the background, in a session of its own (a Ctrl-C is for ./run, which then ends it in order).
# Sets SPAWNED to its pid. Its output goes to NAME.log in the private folder.
spawn() { # NAME COMMAND...
    recorded "$@" </dev/null >"$PRIVATE/$1.log" 2>&1 3<&- 4>&- 8>&- &
    SPAWNED=$!
    until process_recorded "$SPAWNED" || ! process_started "$SPAWNED" >/dev/null; do
        sleep 0.01
    done
}

# Become COMMAND, known to the private folder: a signal to ./run never finds one running that is not written down.
recorded() { # NAME COMMAND...
    local pid=$BASHPID # in a $(…) it would be another
    printf '%s %s %s\n' "$pid" "$(process_started "$pid")" "$1" >>"$PRIVATE/processes"
    shift
    RUN_MARK=$PRIVATE exec setsid "$@"
}

# Run COMMAND (a program or a function) to its end with the caller's standard input. Unlike a plain call a signal to
# ./run is acted on at once and not when the command has ended.
attend() { # COMMAND...
    local status=0
    "$@" <&3 8>&- &
    ATTENDED=$!
    wait "$ATTENDED" || status=$?
    ATTENDED=
    return "$status"
}

process_recorded() { # PID
    grep -q "^$1 " "$PRIVATE/processes" 2>/dev/null
}

# The recorded process of that name, newest first, as "pid started"; fails if none is alive.
process_find() { # NAME
    local pid started name found=
    [ -f "$PRIVATE/processes" ] || return 1
    while read -r pid started name; do
        if [ "$name" = "$1" ] && process_is "$pid" "$started"; then
            found="$pid $started"
        fi
    done <"$PRIVATE/processes"
    [ -n "$found" ] && printf '%s' "$found"
}

# Wait until the processes are gone; fails after the time. A child that ended is reaped by bash on its own.
await_end() { # TENTHS PID...
    local tenths=$1 pid alive
    shift
    while :; do
        alive=0
        for pid in "$@"; do
            ! process_started "$pid" >/dev/null || alive=1
        done
        [ "$alive" -eq 1 ] || return 0
        [ "$tenths" -gt 0 ] || return 1
        tenths=$((tenths - 1))
        sleep 0.1
    done
}

end_processes() { # SIGNAL TENTHS PID...: ask, wait, insist
    local signal=$1 tenths=$2
    shift 2
    [ $# -gt 0 ] || return 0
    kill -s "$signal" -- "$@" 2>/dev/null || :
    await_end "$tenths" "$@" || {
        kill -s KILL -- "$@" 2>/dev/null || :
        await_end 50 "$@" || say "run: processes that would not end: $*"
    }
}

# The processes that carry a mark, but for this one. Those of other users cannot be read, and are not ours. Sets MARKED.
find_marked() { # MARK
    local file entries
    MARKED=()
    for file in /proc/[0-9]*/environ; do
        { mapfile -d '' -t entries <"$file"; } 2>/dev/null || continue
        file=${file#/proc/}
        if [[ " ${entries[*]} " == *" RUN_MARK=$1 "* && ${file%/environ} != "$$" ]]; then
            MARKED+=("${file%/environ}")
        fi
    done
}

end_marked() { # MARK: until none is found, since one may be born of another that is about to end
    local _
    for _ in {1..5}; do
        find_marked "$1"
        [ ${#MARKED[@]} -gt 0 ] || return 0
        end_processes TERM 50 "${MARKED[@]}"
    done
}

# End everything that serves a private folder: PostgreSQL first and at once, whose data nobody wants any more (asked
# politely it waits for its clients and writes its data), then what carries the folder's mark.
end_servers() { # FOLDER
    local pid started name servers=()

    if [ -f "$1/processes" ]; then
        while read -r pid started name; do
            if [ "$name" = postgres ] && process_is "$pid" "$started"; then
                servers+=("$pid")
            fi
        done <"$1/processes"
    fi
    end_processes QUIT 100 "${servers[@]}"
    end_marked "$1"
}

# Called once by main: whatever happens, nothing is left behind.
guard_exit() {
    trap 'leave $?' EXIT
    exit_at HUP 129
    exit_at INT 130
    exit_at TERM 143
}

# The lone ')' is never run. bash 5.2 also runs a trap when it is about to parse a $(…), and then reads the trap's text as
# if it stood in there: without the ')' that would be a syntax error and exit status 2.
exit_at() { # SIGNAL STATUS
    local end=$'\n)'
    # shellcheck disable=SC2064 # all of it is known now
    trap "exit $2$end" "$1"
}

leave() { # STATUS
    local folder
    trap '' HUP INT TERM
    trap - EXIT
    set +e
    [ -z "$ATTENDED" ] || end_processes TERM 50 "$ATTENDED"
    end_marked "$RUN_ID"
    for folder in "${TO_REMOVE[@]}"; do
        private_remove "$folder"
    done
    exit "$1"
}
