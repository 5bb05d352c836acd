# shellcheck shell=bash
# ./run test: every test there is, under sanitizers and with a second compiler, and one line of totals at the end.

run_test() {
    local quick='' kafka=1 large='' rest=1
    while [ $# -gt 0 ]; do
        case $1 in
        --quick) quick=1 ;;
        --no-kafka) kafka='' ;;
        --with-large) large=1 ;;
        --large) large=1 rest='' kafka='' ;;
        *) usage "test has the options --quick, --no-kafka, --large and --with-large" ;;
        esac
        shift
    done
    environment_forget
    test_open "$kafka" "$large"
    [ -n "$kafka" ] || [ -z "$rest" ] || TEST_LEFT_OUT+=("what needs Apache Kafka: suites kafka and threads (--no-kafka)")
    if test_build asan; then
        [ -z "$rest" ] || test_most "$kafka" "$quick"
        [ -z "$large" ] || test_suite asan large fast
    fi
    if [ -n "$rest" ] && [ -z "$quick" ]; then
        if test_build clang; then
            test_suite clang unit
        fi
        test_coverage
    fi
    test_totals
}

test_most() { # KAFKA-or-empty QUICK-or-empty
    test_suite asan unit
    test_suite asan fuzz-replay
    test_suite asan live fast
    [ -z "$1" ] || test_kafka asan "$2"
    [ -n "$2" ] || test_suite asan chaos durable
}

# What may still be written to a memory file system: its own limit, and the memory that is really there.
memory_room_kib() { # FOLDER
    { df -Pk "$1" | awk 'NR == 2 { print $4 }' && awk '$1 == "MemAvailable:" { print $2 }' /proc/meminfo; } | sort -n | head -n 1
}

test_open() { # KAFKA-or-empty LARGE-or-empty
    local base=/dev/shm room_kib=2097152
    [ -z "$2" ] || room_kib=12582912 # the large repository, and as much again while it is made; measured: 8.5 GiB
    packages_ensure build test
    [ -z "$1" ] || kafka_ensure # first of all: without it there is no full run
    TEST_STARTED=$(now_us)
    TEST_TIMES=()
    # A memory file system makes databases 5 to 20 times faster; without room there the usual folder does.
    if ! [ -w $base ] || [ "$(memory_room_kib "$base")" -lt "$room_kib" ]; then
        base=$(private_base)
    fi
    private_make "$base"
    TEST_FOLDER=$PRIVATE
    declare -gA TEST_SERVERS=()
    mkdir "$PRIVATE/results" "$PRIVATE/san"
    TEST_LEFT_OUT=()
    : >"$PRIVATE/results/failed" # cases that no test log names: builds, sanitizer reports
}

test_time() { # NAME START_US
    TEST_TIMES+=("$(printf '%8s s  %s' "$(seconds_since "$2")" "$1")")
}

test_failed() { # NAME
    printf '%s\n' "$1" >>"$PRIVATE/results/failed"
}

test_build() { # KIND [TARGET...]
    local started
    started=$(now_us)
    if ! build "$@"; then
        test_failed "build $1"
        return 1
    fi
    test_time "build $1" "$started"
}

# One suite of one build; its results are added to the totals. Sanitizers write reports that no test framework sees.
test_suite() { # KIND SUITE [fast|durable: it needs PostgreSQL]
    local kind=$1 suite=$2 started log status=0 under=()
    started=$(now_us)
    [ "$kind" != tsan ] || mapfile -t under < <(threads_under)
    [ $# -lt 3 ] || test_server "$3"
    log=$BUILD/$kind/meson-logs/$suite
    rm -f -- "$log.json" "$log.junit.xml" "$log.txt"
    say "== $suite, $kind"
    test_sanitized "$kind-$suite" attend "${under[@]}" meson test -C "$BUILD/$kind" --no-rebuild \
        --suite "decnet-workers:$suite" --logbase "$suite" --print-errorlogs || status=$?
    if [ -f "$log.json" ]; then
        cp -- "$log.json" "$PRIVATE/results/$kind-$suite.json"
        cp -- "$log.junit.xml" "$PRIVATE/results/$kind-$suite.xml"
    elif [ "$status" -ne 0 ]; then
        test_failed "$kind $suite: meson test ended with $status"
    fi
    test_reports "$kind-$suite" "$log.txt"
    test_time "$suite, $kind" "$started"
}

# What needs an Apache Kafka: on one of its own, fresh for these suites.
test_kafka() { # KIND QUICK-or-empty
    local started folder
    started=$(now_us)
    private_make
    folder=$PRIVATE/kafka
    kafka_start "$folder"
    export DECNET_TEST_KAFKA=$KAFKA_ADDRESS
    PRIVATE=$TEST_FOLDER
    test_time "start of Kafka" "$started"
    test_suite "$1" kafka fast
    if [ -z "$2" ]; then
        test_threads
    else
        TEST_LEFT_OUT+=("what ThreadSanitizer sees: suite threads (--quick)")
    fi
    kafka_stop "$folder"
}

# Races with the threads of librdkafka, the only ones there are: a part of the tests of groups, by programs built with
# ThreadSanitizer, beside the others on the same Kafka.
test_threads() {
    test_build tsan threads_programs || return 0
    if threads_start; then
        test_suite tsan threads fast
    else
        TEST_LEFT_OUT+=("what ThreadSanitizer sees: suite threads (it dies of this kernel's vm.mmap_rnd_bits; 28 would do)")
    fi
}

# gcc 12's ThreadSanitizer dies at its start when the kernel puts something where it does not expect it, by chance.
threads_under() { # the command that keeps the kernel from it, a word a line; nothing where it is forbidden (containers)
    ! setarch -R true 2>/dev/null || printf '%s\n' setarch -R
}

threads_start() { # as often as it takes to be sure; whatever else is wrong is for the tests to find
    local under=() said
    mapfile -t under < <(threads_under)
    for _ in {1..10}; do
        said=$("${under[@]}" "$BUILD/tsan/$(program_target decnet-ttp)" --version 2>&1) || :
        case $said in
        *'unexpected memory mapping'*) return 1 ;;
        esac
    done
}

test_sanitized() { # NAME COMMAND...
    local log="log_path=\"$PRIVATE/san/$1\""
    shift
    ASAN_OPTIONS=$log UBSAN_OPTIONS=$log:print_stacktrace=1 LSAN_OPTIONS=$log \
        TSAN_OPTIONS=$log:suppressions="\"$TOP/tests/kafka/threads.supp\"" "$@"
}

test_reports() { # NAME LOG: every report is a failure, whatever the test that caused it said
    local report line
    for report in "$PRIVATE/san/$1".*; do
        if [ -f "$report" ]; then
            say "-- sanitizer report of $1:"
            head -n 60 -- "$report" >&2
            line=$(grep -m 1 -o 'ERROR: .*\|SUMMARY: Thread.*\|runtime error: .*' "$report" | cut -c 1-120) || :
            test_failed "$1: sanitizer report $line"
        fi
    done
    # gcc's libubsan beside libasan ignores log_path: its lines stand in the logs of meson and of the programs.
    while read -r line; do
        test_failed "$1: $line"
    done < <(grep -rhsoE '[^ ]+:[0-9]+:[0-9]+: runtime error: .{1,120}' "$2" "${DECNET_TEST_TMP:-$2}" | sort -u)
}

# The server that a suite asks for, started once: on a real disk for kill tests, forgetful and fast for all others.
test_server() { # fast | durable
    local folder=${TEST_SERVERS[$1]:-}
    if [ -n "$folder" ]; then
        PRIVATE=$folder
    else
        [ "$1" = fast ] || private_make
        postgres_start "$1"
        mkdir -m 711 "$PRIVATE/scratch"
        TEST_SERVERS[$1]=$PRIVATE
    fi
    DECNET_TEST_PG=$(postgres_conninfo postgres postgres)
    DECNET_TEST_TMP=$PRIVATE/scratch
    export DECNET_TEST_PG DECNET_TEST_TMP
    PRIVATE=$TEST_FOLDER
}

# Cases that no log names are counted by the totals as well; the last line is the one that machines read.
test_totals() {
    local status=0
    printf '\n'
    printf '%s\n' "${TEST_TIMES[@]}"
    printf '%8s s  in all\n' "$(seconds_since "$TEST_STARTED")"
    [ ${#TEST_LEFT_OUT[@]} -eq 0 ] || printf 'LEFT OUT %s\n' "${TEST_LEFT_OUT[@]}"
    python3 -B "$TOP/scripts/totals.py" "$PRIVATE/results" || status=$?
    exit "$status"
}

test_coverage() { # informs; cannot fail the run, its tests ran already
    local started
    started=$(now_us)
    if ! build coverage; then
        return 0
    fi
    find "$BUILD/coverage" -name '*.gcda' -delete
    test_server fast
    attend meson test -C "$BUILD/coverage" --no-rebuild --suite decnet-workers:unit --suite decnet-workers:live \
        --logbase coverage --quiet >"$PRIVATE/coverage.log" 2>&1 || :
    say "== coverage of the suites unit and live"
    gcovr -r "$TOP" --filter "$TOP/lib/" --filter "$TOP/workers/" --filter "$TOP/tools/" --object-directory "$BUILD/coverage" \
        -s -o "$PRIVATE/coverage.txt" "$BUILD/coverage" 2>/dev/null | sed 's/^/  /' || : # gcovr unlinks its output file first
    test_time "coverage" "$started"
}
