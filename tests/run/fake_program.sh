#!/usr/bin/env bash
# Stands in for our programs where ./run itself is tested: touches the database as they do, counts lines, waits.
set -euo pipefail

ask() {
    psql -X -q -A -t -v ON_ERROR_STOP=1 "$DECNET_DATABASE" -c "$1"
}

ingest() { # the last argument is the file
    local lines
    lines=$(if [ "${!#}" = - ]; then cat; else cat "${!#}"; fi | wc -l)
    ask "INSERT INTO decnet.logs (decky, service, event_type, attacker_ip, raw_line)
         SELECT 'd', 's', 'e', '192.0.2.1', n FROM generate_series(1, $lines) n"
    sleep "${FAKE_SECONDS:-0}"
    printf '{"lines": %d, "bad_lines": 0}\n' "$lines"
}

summary() { # [--json]
    local lines
    lines=$(ask 'SELECT count(*) FROM decnet.logs')
    printf '{"lines": %d, "attackers": 1, "sessions": 1, "announced": 1, "commands": 1, "tags": %d, "techniques": []}\n' \
        "$lines" "$lines"
}

migrate() { # the real tables, so that deploy/roles.sql can be run
    local project
    project=$(dirname -- "$(readlink -f -- "$0")")/../..
    [ -z "$(ask "SELECT to_regnamespace('decnet')")" ] || return 0
    {
        echo 'CREATE SCHEMA decnet; SET search_path = decnet; CREATE TABLE schema_version (version integer);'
        cat "$project"/lib/repo/migrations/*.sql
    } | psql -X -q -v ON_ERROR_STOP=1 "$DECNET_DATABASE"
}

case $(basename "$0") in
decnet-broker) # --ready-file FILE
    echo 127.0.0.1:9 >"$2"
    exec sleep 1000
    ;;
decnet-ttp)
    [ -z "${FAKE_WORKER_FAILS:-}" ] || { echo 'a broken rule' >&2 && exit 78; }
    [ "$(ask 'SELECT current_user')" = decnet_ttp ]
    case "$*" in *--once*) exit 0 ;; esac
    ask "INSERT INTO decnet.consumer_position (group_name, topic, partition, next_offset, cluster_id)
         VALUES ('ttp', 'attacker.session.ended', 0, 0, 'c') ON CONFLICT DO NOTHING"
    exec sleep 1000
    ;;
decnetctl)
    "$@"
    ;;
esac
