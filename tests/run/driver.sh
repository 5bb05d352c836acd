#!/usr/bin/env bash
# ./run with its own scripts and real PostgreSQL, but without building: the programs are tests/run/fake_program.sh under
# their names in a folder. usage: driver.sh PROJECT SCRATCH COMMAND...
set -euo pipefail

TOP=$1
BUILD=$2/build
FAKES=$2/fakes
mkdir -p "$BUILD" "$FAKES"
for name in decnet-broker decnet-ttp decnet-attribution decnetctl java kcat; do
    ln -sf "$TOP/tests/run/fake_program.sh" "$FAKES/$name"
done
for part in common processes packages build private postgres kafka environment demo tests tools; do
    # shellcheck source=/dev/null
    . "$TOP/scripts/$part.sh"
done

mark_self "$@"
shift 2

packages_ensure() { :; }
build_programs() { :; }
program() { printf '%s' "$FAKES/$1"; }
kafka_ensure() { :; }
PATH=$FAKES:$PATH # java and kcat: a Kafka that only listens

command=$1
shift
guard_exit
"run_$command" "$@"
