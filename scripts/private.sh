# shellcheck shell=bash
# The private folder of a run: everything that a run keeps outside the build and cache folders.
#
#   decnet-<uid>-<random>/owner       "pid started" of the ./run that made it, or of the last one that added to it
#                         kept        there while --keep holds it: the path of its tree
#                         processes   "pid started name" of what serves it
#                         environment shell assignments that lead programs to it
#                         broker      address of its Kafka or embedded broker
#                         kafka/      settings, data and address of Apache Kafka
#                         pg/ s/      data folder and socket folder of PostgreSQL (the postgres user's, when root)
#                         NAME.log    output of the processes

SOCKET_PATH_MAX=107 # bytes of a UNIX socket's path (sockaddr_un.sun_path without its NUL)

# Can a private folder live here? Names the obstacle. Commas and quotes would split libpq's host and server settings.
private_base_obstacle() { # FOLDER
    local name=/decnet-$EUID-XXXXXX/s/.s.PGSQL.5432 path=$1

    case $path in
    /*) ;;
    *) echo "is not an absolute path" && return ;;
    esac
    case $path in
    *[,\'\"\\]* | *$'\n'*) echo "has a comma, quote or backslash in its name" && return ;;
    esac
    if [ "$(printf '%s' "$path$name" | wc -c)" -gt "$SOCKET_PATH_MAX" ]; then
        echo "is too long for a socket's path"
    elif ! [ -d "$path" ] || ! [ -w "$path" ]; then
        echo "is not a folder that can be written"
    elif ! as_server test -x "$path" 2>/dev/null; then
        echo "cannot be reached by the postgres user"
    fi
}

private_base() { # where private folders of this call go
    local base=${TMPDIR:-/tmp} obstacle
    obstacle=$(private_base_obstacle "$base")
    if [ -n "$obstacle" ]; then
        step folder "TMPDIR=$base $obstacle; using /tmp"
        base=/tmp
    fi
    printf '%s' "$base"
}

# Make the private folder of this run. Sets PRIVATE. The parent may be given; it must suit.
private_make() { # [PARENT]
    local base=${1:-}
    [ -n "$base" ] || base=$(private_base)

    private_remove_stale "$base"
    PRIVATE=$(mktemp -du "$base/decnet-$EUID-XXXXXX")
    TO_REMOVE+=("$PRIVATE") # before it is there, so that a signal between the two leaves nothing
    mkdir -m 711 -- "$PRIVATE"
    private_own
}

private_own() { # this run is the one that works with it; what a killed one still had running there ends
    private_end_owner "$PRIVATE"
    printf '%s %s\n' "${RUN_ID%.*}" "${RUN_ID#*.}" >"$PRIVATE/owner"
}

private_end_owner() { # FOLDER
    local pid started
    if read -r pid started 2>/dev/null <"$1/owner" && [ "$pid.$started" != "$RUN_ID" ]; then
        end_marked "$pid.$started"
    fi
}

# Folders of runs that were killed: the owner is gone and nobody keeps them, or the server that was kept is gone.
private_remove_stale() { # PARENT
    local folder
    for folder in "$1"/decnet-"$EUID"-??????; do
        if [ -d "$folder" ] && ! [ -L "$folder" ] && [ -O "$folder" ] && private_is_stale "$folder"; then
            step folder "removing $folder, left by a run that was killed"
            private_remove "$folder"
        fi
    done
}

private_is_stale() { # FOLDER
    local pid started
    if ! read -r pid started 2>/dev/null <"$1/owner"; then # being made just now, unless it is old
        [ -n "$(find "$1" -maxdepth 0 -mmin +10)" ]
        return
    fi
    if process_is "$pid" "$started"; then
        return 1
    fi
    [ ! -f "$1/kept" ] || ! private_serves "$1"
}

# Does what a folder was made for still run? That is what was started first in it.
private_serves() { # FOLDER
    local name
    read -r _ _ name 2>/dev/null <"$1/processes" && (PRIVATE=$1 process_find "$name" >/dev/null)
}

private_is_kept() { # FOLDER: for this tree?
    [ -d "$1" ] && [ -O "$1" ] && [ "$(cat "$1/kept" 2>/dev/null)" = "$TOP" ]
}

# From now on the private folder and what serves it outlive this run.
private_keep() { # POINTER: the file that names it
    printf '%s\n' "$TOP" >"$PRIVATE/kept"
    printf '%s\n' "$PRIVATE" >"$1"
    TO_REMOVE=()
}

# End what serves a private folder and remove it.
private_remove() { # FOLDER
    private_end_owner "$1"
    end_servers "$1"
    postgres_forget "$1"
    rm -rf -- "$1"
}
