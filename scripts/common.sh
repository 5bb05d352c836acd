# shellcheck shell=bash
# What all parts of ./run share: messages, times, the list of commands.

export LC_ALL=C.UTF-8

# The caller's standard input as descriptor 3: background commands get /dev/null otherwise.
{ exec 3<&0; } 2>/dev/null || exec 3</dev/null

# Without the folders of PATH that this user may not enter, as runuser and sudo leave them: Meson looks for a program that
# is not installed, meets one of these and fails.
path_usable() {
    local folder usable=
    while IFS= read -rd: folder; do
        [ ! -x "$folder" ] || usable+=${usable:+:}$folder
    done <<<"$PATH:"
    printf '%s' "$usable"
}
PATH=$(path_usable)

# Everything that is not a result goes to standard error.
say() {
    printf '%s\n' "$*" >&2
}

die() {
    say "run: $*"
    exit 1
}

usage() { # MESSAGE: a wrong command line
    say "run: $*"
    exit 64
}

# One step of a longer command: a word, then what there is to know about it.
step() { # NAME TEXT
    printf '  %-12s %s\n' "$1" "$2" >&2
}

now_us() {
    printf '%s' "${EPOCHREALTIME/./}"
}

seconds_since() { # START_US: seconds with three digits
    local us=$((${EPOCHREALTIME/./} - $1))
    printf '%d.%03d' $((us / 1000000)) $((us / 1000 % 1000))
}

is_root() {
    [ "$EUID" -eq 0 ]
}

# The first folder of @... that can be made and written; HOME may belong to somebody else (runuser, sudo).
first_writable() {
    local folder
    for folder in "$@"; do
        if mkdir -p -- "$folder" 2>/dev/null && [ -w "$folder" ]; then
            printf '%s' "$folder"
            return 0
        fi
    done
    return 1
}

cache_folder() { # compiled rules and fetched parts, shared by all checkouts of a user
    local home
    home=$(getent passwd "$EUID" | cut -d: -f6)
    first_writable "${XDG_CACHE_HOME:-${HOME:-$home}/.cache}/decnet-workers" "$home/.cache/decnet-workers" "$BUILD/cache"
}

list_commands() {
    cat <<'END'
  demo [--kafka] [--json] [--keep] [FILE…]
                                  read Cowrie JSON logs (plain, .gz, - for standard input), tag them, show what
                                  was found; without FILE the sample log; --kafka: on Apache Kafka with a group of
                                  two ttp workers; --keep leaves everything running
  env                             shell assignments that lead psql, kcat and our programs to what --keep left running
  decnetctl …                     the operator's tool, against what --keep left running, if anything
  stop                            end what --keep left running and remove it
  kafka start|stop|status         a private Apache Kafka (one node) for trying and testing
  test [--quick] [--no-kafka]     build and run every test (--quick: without clang, kill tests, ThreadSanitizer
                                  and coverage; --no-kafka: without those that need Apache Kafka)
  test --large | --with-large     the plans of all methods on a million logs, alone or after every other test
  vectors FILE…                   check golden vectors of tags, rules and attribution
  compare A B                     compare the derived tables of two databases (libpq connection strings)
  bench [NAME] [OPTION…]          measure; without NAME the list
  fuzz [NAME] [--seconds N]       fuzz all targets or one (clang, libFuzzer)
  lint                            clang-tidy, clang-format, shellcheck, mandoc
  fmt                             format the C sources
END
}

free_space() { # FOLDER: what df says is left, like 12G
    df -Ph -- "$1" 2>/dev/null | awk 'NR == 2 { print $4 }'
}

run_help() {
    cat <<END
decnet-workers: honeypot events in, MITRE ATT&CK techniques out.

usage: ./run COMMAND

$(list_commands)

Installs   what is missing of these Debian packages, as root or through sudo, after saying so:
$(packages_wanted build | fmt -w 100 | sed 's/^/           /')
           for test, fuzz and lint also:
$(packages_wanted test | fmt -w 100 | sed 's/^/           /')
           for kafka, demo --kafka and test also (Apache Kafka itself comes from Maven Central, 44 MB):
           $(packages_wanted kafka) $(packages_wanted kafka-fetch)
Disk       packages about 1 GB, build folder $DISK_BUILD_DEMO for demo and $DISK_BUILD_TEST for test, a running demo $DISK_DEMO.
           Free: $(free_space "$TOP") in $TOP, $(free_space "${TMPDIR:-/tmp}") in ${TMPDIR:-/tmp}
Ports      none fixed: the private PostgreSQL listens on a socket only, the embedded broker, Apache Kafka and the
           metrics endpoint pick free ports on 127.0.0.1
Files      $BUILD: programs, by kind of build
           ${TMPDIR:-/tmp}/decnet-$EUID-…: data of a run, removed when it ends
           ${XDG_CACHE_HOME:-${HOME:-~}/.cache}/decnet-workers: compiled rules, Apache Kafka
           Remove the first and the last by hand when you no longer want them.
END
}

DISK_BUILD_DEMO='20 MB' # measured: du of build/release, build/* and of a private folder
DISK_BUILD_TEST='300 MB'
DISK_DEMO='100 MB'
