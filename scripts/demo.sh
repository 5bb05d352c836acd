# shellcheck shell=bash
# ./run demo: the whole way of an event on the user's own machine, from a Cowrie log to technique tags and
# profiles of behaviour.

SAMPLE=$TOP/tests/samples/cowrie.jsonl.gz

run_demo() {
    local json='' keep='' kafka='' files=() started

    while [ $# -gt 0 ]; do
        case $1 in
        --json) json=1 ;;
        --keep) keep=1 ;;
        --kafka) kafka=1 ;;
        --) shift && files+=("$@") && break ;;
        -?*) usage "demo has no option $1 (it has --kafka, --json and --keep)" ;;
        *) files+=("$1") ;;
        esac
        shift
    done
    [ ${#files[@]} -gt 0 ] || files=("$SAMPLE")
    demo_check_files "${files[@]}"
    if [ -n "$json" ]; then
        exec 4>&1 1>&2 # only the object may reach standard output
    fi

    say "decnet-workers: from Cowrie logs to ATT&CK techniques and profiles of behaviour"
    started=$(now_us)
    packages_ensure build
    build_programs decnet-broker decnet-ttp decnet-attribution decnetctl
    DEMO_SECONDS=(build "$(seconds_since "$started")")
    demo_open "$keep" "$kafka"
    demo_process "${files[@]}"
    DEMO_SECONDS+=(total "$(seconds_since "$started")")
    demo_report "$json"
    if [ -n "$keep" ]; then
        private_keep "$KEPT_POINTER"
    fi
    demo_what_next "$keep"
}

demo_check_files() { # FILE...: before anything is installed or started
    local file
    case $TOP in
    *:*) die "the folder $TOP has ':' in its name, which separates folders in rules_path; move the project" ;;
    esac
    for file in "$@"; do
        if [ "$file" != - ] && [ ! -r "$file" ]; then
            die "cannot read '$file'"
        fi
    done
}

# A fresh environment, or with --keep the one that is running; the schema and the roles as this tree wants them.
demo_open() { # KEEP-or-empty KAFKA-or-empty
    local started
    started=$(now_us)
    if [ -n "$1" ]; then
        environment_lock
    fi
    if [ -n "$1" ] && environment_find; then
        if [ -n "$2" ] && ! environment_has_kafka; then
            die "what --keep left running uses the embedded broker; ./run stop ends it"
        fi
        step folder "$PRIVATE, kept by an earlier run: adding to it"
        private_own
    else
        environment_start "$2"
    fi
    environment_enter
    attend "$(program decnetctl)" migrate >"$PRIVATE/migrate.log"
    step schema "$(tail -n 1 "$PRIVATE/migrate.log" | tr -s ' ')"
    private_psql -d decnet -f "$TOP/deploy/roles.sql" >"$PRIVATE/roles.log" 2>&1 || {
        show_log roles
        die "deploy/roles.sql failed"
    }
    if environment_has_kafka; then
        demo_topics
    fi
    DEMO_SECONDS+=(start "$(seconds_since "$started")")
}

demo_topics() {
    attend "$(program decnetctl)" topics create >"$PRIVATE/topics.log" 2>&1 || {
        show_log topics
        die "the topics could not be made"
    }
    step topics "$(tail -n 1 "$PRIVATE/topics.log")"
}

demo_process() { # FILE...
    local started
    started=$(now_us)
    attend "$(program decnetctl)" summary --json >"$PRIVATE/before.json"
    workers_start
    workers_await
    demo_ingest "$@"
    DEMO_SECONDS+=(ingest "$(seconds_since "$started")")
    demo_catch_up
    attend "$(program decnetctl)" summary --json >"$PRIVATE/after.json"
    attend "$(program decnetctl)" attribution top --limit=3 --json >"$PRIVATE/profiles.json"
}

# The workers beside the ingester: they work while lines are read. On Apache Kafka the ttp workers are a group of two and
# attribution is a group of one; on the embedded broker each takes all. Kept ones make room first.
workers_start() {
    workers_stop
    WORKERS=()
    if environment_has_kafka; then
        WORKER_OPTIONS=()
        worker_spawn ttp 2
    else
        WORKER_OPTIONS=(--solo)
    fi
    worker_spawn ttp 1
    worker_spawn attribution 1
}

worker_spawn() { # GROUP INSTANCE
    local name=$1-$2
    rm -f -- "$PRIVATE/metrics-$name"
    DECNET_METRICS_LISTEN=127.0.0.1:0 DECNET_METRICS_PORT_FILE=$PRIVATE/metrics-$name \
        as_role "decnet_$1" spawn "$name" "$(program "decnet-$1")" "${WORKER_OPTIONS[@]}" --instance="$2"
    WORKERS+=("$SPAWNED")
}

# Until both groups have taken their partitions: from then on the ingester knows whom to wait for. One that dies before is
# noticed by demo_ingest.
workers_await() {
    local tenths pid
    for ((tenths = 0; tenths < 300; tenths++)); do
        if [ "$(private_psql -d decnet -At -c 'SELECT count(DISTINCT group_name) FROM decnet.consumer_position')" = 2 ]; then
            return 0
        fi
        for pid in "${WORKERS[@]}"; do
            process_started "$pid" >/dev/null || return 0
        done
        sleep 0.1
    done
    show_log ttp-1
    show_log attribution-1
    die "the workers did not get ready"
}

workers_stop() {
    local name found pids=()
    for name in ttp-1 ttp-2 attribution-1; do
        if found=$(process_find "$name"); then
            pids+=("${found% *}")
        fi
    done
    end_processes TERM 300 "${pids[@]}"
}

# What the workers have not read yet, both at once.
demo_catch_up() {
    local started attribution
    started=$(now_us)
    workers_stop
    step tagging "until the workers have caught up"
    worker_once attribution 8>&- &
    attribution=$!
    attend worker_once ttp || worker_failed ttp
    DEMO_SECONDS+=(tagging "$(seconds_since "$started")")
    wait "$attribution" || worker_failed attribution
    DEMO_SECONDS+=(attribution "$(seconds_since "$started")")
}

worker_once() { # GROUP
    as_role "decnet_$1" "$(program "decnet-$1")" "${WORKER_OPTIONS[@]}" --once >"$PRIVATE/once-$1.log" 2>&1
}

worker_failed() { # GROUP
    show_log "once-$1"
    die "the $1 worker failed"
}

# Read the files; a worker that dies meanwhile ends it too, since nobody would drain the broker.
demo_ingest() { # FILE...
    local status=0 ended ingest

    step reading "$*"
    as_role decnet_ingest "$(program decnetctl)" ingest cowrie --idle-timeout 0 --json -- "$@" \
        <&3 >"$PRIVATE/ingest.json" 8>&- &
    ingest=$!
    ATTENDED=$ingest
    wait -n -p ended "$ingest" "${WORKERS[@]}" || status=$?
    if [ "$ended" != "$ingest" ]; then
        ended=$(worker_name "$ended")
        show_log "$ended"
        die "the worker $ended ended (exit status $status)"
    fi
    ATTENDED=
    [ "$status" -eq 0 ] || die "reading failed (exit status $status)"
}

worker_name() { # PID
    awk -v pid="$1" '$1 == pid { name = $3 } END { print name }' "$PRIVATE/processes"
}

demo_report() { # JSON-or-empty
    if [ -n "$1" ]; then
        python3 -B "$TOP/scripts/report.py" json "$PRIVATE" "${DEMO_SECONDS[@]}" >&4
        exec 4>&-
        return
    fi
    attend "$(program decnetctl)" summary
    printf '\nHow the attackers behave\n'
    attend "$(program decnetctl)" attribution top --limit=3
    echo
    python3 -B "$TOP/scripts/report.py" text "$PRIVATE" "${DEMO_SECONDS[@]}"
}

demo_what_next() { # KEEP-or-empty
    if [ -n "$1" ]; then
        workers_start
        cat >&2 <<'END'

Left running. What to try next:
  ./run demo --keep FILE…                    add your own Cowrie logs to it
  ./run decnetctl tags ADDRESS               what one attacker showed, and which rule saw it
  ./run decnetctl attribution show ADDRESS   how that one behaves, and what changed
  eval "$(./run env)"                        so that psql, kcat and decnetctl reach it
  ./run stop                                 end it and remove its data
END
    else
        cat >&2 <<'END'

What to try next:
  ./run demo FILE…                           your own Cowrie logs (plain, .gz, or - for standard input)
  ./run demo --kafka                         the same on Apache Kafka, with a group of two ttp workers
  ./run demo --keep                          leave it running, to look around with psql, kcat and decnetctl
  docs/rules.md                              write a rule of your own
END
    fi
}
