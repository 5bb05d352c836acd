# shellcheck shell=bash
# Commands for those who work on the project: vectors, compare, bench, fuzz, lint, fmt.

run_vectors() { # FILE...
    [ $# -gt 0 ] || usage "vectors needs files: golden vectors of tag ids, of rules and commands, or of attribution"
    packages_ensure build
    build_programs decnet-vectors
    tree_settings
    DECNET_CACHE_DIR=$(cache_folder) attend "$(program decnet-vectors)" "$@"
}

# The derived tables of two databases, line by line. Exit status 0 equal, 1 different, 2 trouble.
run_compare() { # A B
    local status=0
    [ $# -eq 2 ] || usage "compare needs two libpq connection strings"
    packages_ensure build
    build_programs decnetctl
    private_make
    attend "$(program decnetctl)" dump --database="$1" >"$PRIVATE/a" || exit 2
    attend "$(program decnetctl)" dump --database="$2" >"$PRIVATE/b" || exit 2
    attend diff --label A --label B -U 1 "$PRIVATE/a" "$PRIVATE/b" >"$PRIVATE/diff" || status=$?
    case $status in
    0) step equal "$(wc -l <"$PRIVATE/a") lines" ;;
    1)
        head -n 40 -- "$PRIVATE/diff" | cut -c 1-400
        step different "$(grep -c '^[-+]' "$PRIVATE/diff") lines; the first are shown"
        ;;
    esac
    exit "$status"
}

# Benchmarks: NAME, what it needs, what it shows. The program is tests/bench/NAME_bench, which tells its options.
bench_table() {
    cat <<'END'
ttp     postgres  [--kafka [--processes N]]: ingest and tagging to committed rows, beside plain COPY
latency postgres  from a session event to its rows at half the full load; memory, drain, start (--kafka SERVERS)
attribution postgres  [--kafka]: observations to committed states beside plain COPY; what a long series costs
repo    postgres  the methods: rows stored beside plain COPY, and how long reading takes on a million logs (--json)
engine  -         COMMANDS [RULES]: the rule engine alone on a file of commands, beside bare hs_scan
END
}

run_bench() { # [NAME] [OPTION...]
    local name=${1:-} needs
    needs=$(bench_table | awk -v name="$name" '$1 == name { print $2 }')
    if [ -z "$needs" ]; then
        [ -z "$name" ] || say "run: there is no benchmark '$name'"
        bench_table | awk '{ name = $1; $1 = $2 = ""; printf "  %-12s%s\n", name, $0 }' >&2
        [ -z "$name" ] || exit 64
        return 0
    fi
    shift
    packages_ensure build
    environment_forget
    build release
    private_make
    mkdir -m 711 "$PRIVATE/scratch"
    export DECNET_TEST_TMP=$PRIVATE/scratch DECNET_SOURCE_ROOT=$TOP
    DECNET_BROKER_PROGRAM=$(program decnet-broker)
    DECNET_TTP_PROGRAM=$(program decnet-ttp)
    DECNET_ATTRIBUTION_PROGRAM=$(program decnet-attribution)
    DECNET_CTL_PROGRAM=$(program decnetctl)
    export DECNET_BROKER_PROGRAM DECNET_TTP_PROGRAM DECNET_ATTRIBUTION_PROGRAM DECNET_CTL_PROGRAM
    if [ "$needs" = postgres ]; then
        postgres_start durable
        DECNET_TEST_PG=$(postgres_conninfo postgres postgres)
        export DECNET_TEST_PG
    fi
    if [ "${1:-}" = --kafka ]; then # an Apache Kafka of its own, instead of the embedded broker
        kafka_start "$PRIVATE/kafka"
        shift
        set -- --kafka "$KAFKA_ADDRESS" "$@"
    fi
    attend "$BUILD/release/tests/bench/${name}_bench" "$@"
}

run_fuzz() { # [NAME] [--seconds N]
    local seconds=60 only='' name programs=()
    while [ $# -gt 0 ]; do
        case $1 in
        --seconds) seconds=${2:-} && shift ;;
        --seconds=*) seconds=${1#*=} ;;
        -*) usage "fuzz has one option, --seconds N" ;;
        *) only=${1#fuzz_} ;;
        esac
        shift
    done
    [[ $seconds =~ ^[1-9][0-9]*$ ]] || usage "--seconds needs a whole number above 0"
    packages_ensure build test
    mapfile -t programs < <(cd "$TOP" && find tests/fuzz -name "fuzz_${only:-*}.c" | sed 's/\.c$//' | sort)
    [ ${#programs[@]} -gt 0 ] || die "there is no fuzz target '$only'; they are tests/fuzz/fuzz_*.c"
    build fuzz "${programs[@]}"
    private_make
    for name in "${programs[@]}"; do
        fuzz_one "$(basename "$name")" "$BUILD/fuzz/$name" "$seconds"
    done
}

# New inputs go to build/, never into the committed corpus: what is worth keeping is copied there by hand.
fuzz_one() { # NAME PROGRAM SECONDS
    local found=$BUILD/fuzz-corpus/${1#fuzz_} seeds=$TOP/tests/fuzz/corpus/${1#fuzz_} dirs
    mkdir -p "$found" "$BUILD/fuzz-crashes"
    dirs=("$found")
    [ ! -d "$seeds" ] || dirs+=("$seeds")
    step fuzz "${1#fuzz_} for $3 s"
    if ! attend "$2" -max_total_time="$3" -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$BUILD/fuzz-crashes/${1#fuzz_}-" "${dirs[@]}" >"$PRIVATE/$1.log" 2>&1; then
        show_log "$1"
        die "$1 found something; the input is in $BUILD/fuzz-crashes"
    fi
    grep -E 'stat::(number_of_executed_units|new_units_added)' "$PRIVATE/$1.log" | sed 's/^/    /' >&2 || :
}

c_sources() { # NUL-separated
    find "$TOP/include" "$TOP/lib" "$TOP/workers" "$TOP/tools" "$TOP/tests" -name '*.[ch]' -print0
}

run_fmt() {
    packages_ensure test
    c_sources | xargs -0 -r clang-format -i
}

run_lint() {
    local failed=0
    packages_ensure build test
    build clang || failed=1 # clang-tidy must see clang's command lines and the generated sources
    lint_step clang-format lint_format || failed=1
    lint_step shellcheck lint_shell || failed=1
    lint_step mandoc lint_manuals || failed=1
    lint_step clang-tidy lint_tidy || failed=1
    exit "$failed"
}

lint_step() { # NAME FUNCTION
    if attend "$2" >&2; then
        step "$1" ok
    else
        step "$1" FAILED
        return 1
    fi
}

lint_format() {
    c_sources | xargs -0 -r clang-format --dry-run -Werror
}

lint_shell() {
    (cd "$TOP" && shellcheck -x run .ci/run tests/live/library/build.sh) # run brings in all of scripts/
}

lint_manuals() {
    mandoc -T lint -W warning "$TOP"/docs/man/*.[1-8]
}

lint_tidy() {
    run-clang-tidy -quiet -p "$BUILD/clang" -j "$(nproc)" "^$TOP/(lib|workers|tools)/" 2>/dev/null |
        sed '/^clang-tidy-[0-9]* /d' # a line for each file says nothing
}
