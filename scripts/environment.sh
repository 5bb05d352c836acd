# shellcheck shell=bash
# A running environment in a private folder: PostgreSQL, the embedded broker, the schema, and how programs reach them.

KEPT_POINTER=$BUILD/environment # names the private folder that --keep left running for this tree

# The environment that --keep left running for this tree, if it is still there. Sets PRIVATE.
environment_find() {
    local folder
    folder=$(cat "$KEPT_POINTER" 2>/dev/null) || return 1
    private_is_kept "$folder" || return 1
    (PRIVATE=$folder process_find postgres >/dev/null) || return 1
    (PRIVATE=$folder && { process_find broker || process_find kafka; } >/dev/null) || return 1
    PRIVATE=$folder
}

# Only one ./run at a time may change a kept environment.
environment_lock() {
    exec 8>"$KEPT_POINTER.lock"
    flock -n 8 || {
        step waiting "for another ./run that uses the kept environment"
        flock 8
    }
}

environment_has_kafka() { # or the embedded broker
    process_find kafka >/dev/null
}

environment_start() { # KAFKA-or-empty
    private_make
    step folder "$PRIVATE"
    postgres_start durable
    if [ -n "$1" ]; then
        kafka_start "$PRIVATE/kafka"
        cp -- "$PRIVATE/kafka/address" "$PRIVATE/broker"
    else
        broker_start
    fi
    environment_write >"$PRIVATE/environment"
    attend "$(postgres_bin)/createdb" -h "$PRIVATE/s" -p 5432 -U postgres decnet
}

broker_start() {
    local tenths
    spawn broker "$(program decnet-broker)" --ready-file "$PRIVATE/broker"
    for ((tenths = 0; tenths < 100; tenths++)); do
        if [ -s "$PRIVATE/broker" ]; then
            step broker "embedded, $(head -n 1 "$PRIVATE/broker")"
            return 0
        fi
        process_started "$SPAWNED" >/dev/null || break
        sleep 0.1
    done
    show_log broker
    die "the embedded broker did not start"
}

# The settings of all our programs, as NAME VALUE pairs: rules and catalogue of the tree, nothing of the host's.
environment_pairs() {
    local cache
    cache=$(cache_folder)
    printf '%s\n' \
        DECNET_CONFIG /dev/null \
        DECNET_DATABASE "$(postgres_conninfo postgres decnet)" \
        DECNET_KAFKA_BOOTSTRAP_SERVERS "$(head -n 1 "$PRIVATE/broker")" \
        DECNET_RULES_PATH "$TOP/workers/ttp/rules" \
        DECNET_ATTACK_CATALOG "$TOP/workers/ttp/attack/enterprise-attack.json" \
        DECNET_CACHE_DIR "$cache"
}

environment_write() { # shell assignments
    local name value
    environment_pairs | while read -r name && read -r value; do
        printf 'export %s=%q\n' "$name" "$value"
    done
}

# Take the environment's settings into this shell, and no others: a user's own must not lead a demo elsewhere.
environment_enter() {
    environment_forget
    # shellcheck source=/dev/null
    . "$PRIVATE/environment"
}

environment_forget() { # the caller's settings of libpq and of our programs
    local name
    for name in ${!DECNET_@} ${!PG@}; do
        unset "$name"
    done
}

# Rules and catalogue of the tree, unless the caller names others.
tree_settings() {
    export DECNET_RULES_PATH=${DECNET_RULES_PATH:-$TOP/workers/ttp/rules}
    export DECNET_ATTACK_CATALOG=${DECNET_ATTACK_CATALOG:-$TOP/workers/ttp/attack/enterprise-attack.json}
}

# Give COMMAND the rights of a role instead of the superuser's.
as_role() { # ROLE COMMAND...
    local role=$1
    shift
    DECNET_DATABASE=$(postgres_conninfo "$role" decnet) "$@"
}

run_env() {
    local file
    [ $# -eq 0 ] || usage "env takes no arguments"
    environment_find || die "nothing is running: start it with ./run demo --keep"
    cat <<END
# eval "\$(./run env)" and then, for example:
#   psql -c 'SELECT technique_id, count(*) FROM ttp_tag GROUP BY 1 ORDER BY 2 DESC'
#   kcat -b "\$DECNET_KAFKA_BOOTSTRAP_SERVERS" -C -t ttp.tagged -e | head
#   decnetctl positions
#   decnetctl attribution show --multi-actor
END
    for file in "$PRIVATE"/metrics-*; do
        if [ -s "$file" ]; then
            printf '#   curl http://127.0.0.1:%s/metrics   # %s\n' "$(cat "$file")" "${file##*/metrics-}"
        fi
    done
    printf 'export PGHOST=%q PGPORT=5432 PGUSER=postgres PGDATABASE=decnet\n' "$PRIVATE/s"
    printf 'export PGOPTIONS=%q\n' '-c search_path=decnet,public'
    cat "$PRIVATE/environment"
    # shellcheck disable=SC2016
    printf 'export PATH=%q:%q:%q:%q:%q:"$PATH"\n' \
        "$(dirname "$(program decnetctl)")" "$(dirname "$(program decnet-ttp)")" \
        "$(dirname "$(program decnet-attribution)")" "$(dirname "$(program decnet-broker)")" "$(postgres_bin)"
}

run_stop() {
    [ $# -eq 0 ] || usage "stop takes no arguments"
    if ! environment_find; then
        private_remove_stale "${TMPDIR:-/tmp}"
        private_remove_stale /tmp
        step stop "nothing was running"
        return 0
    fi
    environment_lock
    private_remove "$PRIVATE"
    rm -f -- "$KEPT_POINTER"
    step stop "ended what was running in $PRIVATE and removed it"
}

# The operator's tool: against the kept environment, else with the user's own settings.
run_decnetctl() {
    packages_ensure build
    build_programs decnetctl
    if environment_find; then
        environment_enter
    else
        tree_settings
    fi
    trap - EXIT
    exec "$(program decnetctl)" "$@" <&3 3<&-
}
