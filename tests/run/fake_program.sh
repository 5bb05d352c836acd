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

attribution() { # top --limit=N [--json]
    printf '{"identities": 1, "states": {"stable": 1}, "profiles": [{"identity_uuid": "i", "attackers": 1, "addresses": ["a"],
        "primitives": [{"primitive": "p", "state": "stable", "confidence": 1, "observation_count": 3, "current_value": "v",
        "last_change_ts": 1.5, "last_observation_ts": 2.5, "history": []}]}]}\n'
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

topics() {
    echo '37 topics: 37 created, 0 to look at'
}

kafka() { # the last argument is server.properties
    [ -z "${FAKE_KAFKA_FAILS:-}" ] || { echo 'a broken property' >&2 && exit 1; }
    exec python3 -c '
import re, socket, sys, time
port = re.search(r"^listeners=PLAINTEXT://127.0.0.1:(\d+)", open(sys.argv[1]).read(), re.M)[1]
s = socket.create_server(("127.0.0.1", int(port)))
time.sleep(1000)' "${!#}"
}

case $(basename "$0") in
java)
    case "$*" in
    *StorageTool*) exit 0 ;;
    esac
    kafka "$@"
    ;;
kcat) exit 0 ;;
decnet-broker) # --ready-file FILE
    echo 127.0.0.1:9 >"$2"
    exec sleep 1000
    ;;
decnet-ttp | decnet-attribution)
    group=$(basename "$0")
    group=${group#decnet-}
    [ "${FAKE_WORKER_FAILS:-}" != "$group" ] || { echo 'a broken rule' >&2 && exit 78; }
    [ "$(ask 'SELECT current_user')" = "decnet_$group" ]
    case "$*" in
    *--once*)
        [ "${FAKE_ONCE_FAILS:-}" != "$group" ] || { echo 'a broken end' >&2 && exit 1; }
        exit 0
        ;;
    esac
    ask "INSERT INTO decnet.consumer_position (group_name, topic, partition, next_offset, cluster_id)
         VALUES ('$group', 'attacker.session.ended', 0, 0, 'c') ON CONFLICT DO NOTHING"
    exec sleep 1000
    ;;
decnetctl)
    "$@"
    ;;
esac
