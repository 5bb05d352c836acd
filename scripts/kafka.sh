# shellcheck shell=bash
# A private Apache Kafka (one node, KRaft) for trying and testing. Java and Maven come from Debian, the jars from Maven
# Central, once, into the cache folder. Its data lies in the folder that kafka_start is given.

KAFKA_VERSION=4.3.1
MAVEN_DEPENDENCY_VERSION=2.8
KAFKA_POINTER=$BUILD/kafka # names the private folder of what `./run kafka start` left running for this tree
KAFKA_ADDRESS=             # of the broker that kafka_start started last

kafka_libs() { # folder of the jars
    printf '%s/kafka-%s/libs' "$(cache_folder)" "$KAFKA_VERSION"
}

# Java and the jars; says and does nothing when both are there.
kafka_ensure() {
    local libs
    command -v java >/dev/null || packages_ensure kafka
    libs=$(kafka_libs)
    if ! [ -d "$libs" ]; then
        command -v mvn >/dev/null || packages_ensure kafka-fetch
        attend kafka_fetch "${libs%/libs}" || exit 1
    fi
}

# Fetch into a folder of another name, which gets its own when it is whole. Two runs take turns.
kafka_fetch() { # FOLDER
    local started work=$1.new
    started=$(now_us)
    (
        flock 9
        [ ! -d "$1" ] || exit 0
        step Kafka "fetching Apache Kafka $KAFKA_VERSION from Maven Central (44 MB, kept in $1)"
        rm -rf -- "$work"
        mkdir -p -- "$work" && kafka_pom >"$work/pom.xml" || die "cannot write $work"
        # A repository of its own, so that nothing stays in the user's; checksums that do not match are an error.
        if ! mvn -q -B -C -Dstyle.color=never -f "$work/pom.xml" "-Dmaven.repo.local=$work/repository" \
            "org.apache.maven.plugins:maven-dependency-plugin:$MAVEN_DEPENDENCY_VERSION:copy-dependencies" \
            -DincludeScope=runtime "-DoutputDirectory=$work/libs" >"$work/log" 2>&1; then
            grep -m 1 ERROR "$work/log" | sed 's/\x1b\[[0-9;]*m//g; s/^/    /' | cut -c 1-400 >&2
            die "cannot fetch Apache Kafka $KAFKA_VERSION from Maven Central (Maven's words are in $work/log).
     A mirror goes into ~/.m2/settings.xml. Without Kafka: ./run test --no-kafka leaves out what needs it, and
     ./run demo without --kafka uses the embedded broker"
        fi
        rm -rf -- "$work/repository" "$work/log"
        mv -T -- "$work" "$1" || die "cannot make $1"
        step Kafka "fetched in $(seconds_since "$started") s"
    ) 9>"$1.lock"
}

kafka_pom() {
    cat <<END_OF_POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>decnet</groupId>
  <artifactId>kafka</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>$KAFKA_VERSION</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId>
      <artifactId>slf4j-simple</artifactId>
      <version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
END_OF_POM
}

free_ports() { # N: ports of 127.0.0.1 that are free at this moment
    python3 -B -c '
import socket, sys
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(s.getsockname()[1] for s in held))' "$1"
}

# The last line keeps a small node small.
kafka_properties() { # FOLDER PORT CONTROLLER_PORT
    cat <<END_OF_PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$3
listeners=PLAINTEXT://127.0.0.1:$2,CONTROLLER://127.0.0.1:$3
advertised.listeners=PLAINTEXT://127.0.0.1:$2
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$1/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
num.partitions=4
auto.create.topics.enable=false
log.cleaner.dedupe.buffer.size=16777216
END_OF_PROPERTIES
}

kafka_tool() { # COMMAND...: of Kafka's StorageTool
    java -Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=warn \
        -cp "$(kafka_libs)/*" kafka.tools.StorageTool "$@"
}

kafka_cluster_id() { # random; a '-' in front would be taken for an option
    printf 'k%s' "$(head -c 16 /dev/urandom | basenc --base64url | cut -c 2-22)"
}

# Start a broker whose data lies in FOLDER (made new) and wait until it answers. It serves $PRIVATE: it ends with it, and
# its output is kafka.log there. Sets KAFKA_ADDRESS and SPAWNED, and writes the address to FOLDER/address.
kafka_start() { # FOLDER
    local started ports attempt
    started=$(now_us)
    kafka_ensure
    for attempt in 1 2 3; do # whoever else takes a port in between makes it start over
        read -ra ports <<<"$(free_ports 2)"
        KAFKA_ADDRESS=127.0.0.1:${ports[0]}
        rm -rf -- "$1"
        mkdir -m 700 -- "$1"
        kafka_properties "$1" "${ports[@]}" >"$1/server.properties"
        attend kafka_tool format -t "$(kafka_cluster_id)" -c "$1/server.properties" >"$PRIVATE/kafka.log" 2>&1 || { show_log kafka && die "Kafka could not format $1"; }
        kafka_spawn "$1"
        if kafka_await "$SPAWNED" "${ports[0]}"; then
            printf '%s\n' "$KAFKA_ADDRESS" >"$1/address"
            step Kafka "Apache Kafka $KAFKA_VERSION, $KAFKA_ADDRESS, ready after $(seconds_since "$started") s"
            return 0
        fi
        grep -q BindException "$PRIVATE/kafka.log" || break
    done
    show_log kafka
    die "Apache Kafka did not start (attempt $attempt)"
}

# The broker of a folder, as kafka_start left it or after its end: its settings and data stay.
kafka_spawn() { # FOLDER
    spawn kafka java -Xms128m -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData \
        -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$(kafka_libs)/*" kafka.Kafka "$1/server.properties"
    printf '%s %s\n' "$SPAWNED" "$(process_started "$SPAWNED" || echo gone)" >"$1/pid"
}

# Until it answers a client. Its port opens before that.
kafka_await() { # PID PORT
    local tenths
    for ((tenths = 0; tenths < 600; tenths++)); do
        process_started "$1" >/dev/null || return 1
        if (: <>"/dev/tcp/127.0.0.1/$2") 2>/dev/null &&
            attend timeout 5 kcat -L -b "127.0.0.1:$2" -m 2 >/dev/null 2>&1; then
            return 0
        fi
        sleep 0.1
    done
    return 1
}

kafka_stop() { # FOLDER: in order, as long as that takes; its data stay
    local pid started
    read -r pid started 2>/dev/null <"$1/pid" || return 0
    if process_is "$pid" "$started"; then
        end_processes TERM 200 "$pid"
    fi
}

# --- ./run kafka ---

# What `./run kafka start` left running for this tree. Sets PRIVATE and KAFKA_ADDRESS.
kafka_find() {
    local folder
    folder=$(cat "$KAFKA_POINTER" 2>/dev/null) || return 1
    if ! private_is_kept "$folder" || ! (PRIVATE=$folder process_find kafka >/dev/null); then
        return 1
    fi
    KAFKA_ADDRESS=$(cat "$folder/kafka/address" 2>/dev/null) && PRIVATE=$folder
}

run_kafka() { # start | stop | status
    [ $# -eq 1 ] || usage "kafka needs one word: start, stop or status"
    first_writable "$BUILD" >/dev/null || die "cannot write $BUILD"
    exec 8>"$KAFKA_POINTER.lock"
    flock 8
    case $1 in
    start | stop | status) "kafka_command_$1" ;;
    *) usage "kafka knows start, stop and status, not '$1'" ;;
    esac
}

kafka_command_start() {
    if kafka_find; then
        step Kafka "was running, data in $PRIVATE"
    else
        command -v kcat >/dev/null || packages_ensure build
        kafka_ensure
        private_make
        kafka_start "$PRIVATE/kafka"
        private_keep "$KAFKA_POINTER"
        step Kafka "data in $PRIVATE; ./run kafka stop ends it and removes them"
    fi
    printf 'kafka.bootstrap.servers = %s\n' "$KAFKA_ADDRESS"
}

kafka_command_status() {
    local found
    kafka_find || die "no Kafka of this tree is running; ./run kafka start"
    found=$(process_find kafka)
    step Kafka "running, pid ${found% *}, data in $PRIVATE, log $PRIVATE/kafka.log"
    printf 'kafka.bootstrap.servers = %s\n' "$KAFKA_ADDRESS"
}

kafka_command_stop() {
    if ! kafka_find; then
        private_remove_stale "${TMPDIR:-/tmp}"
        private_remove_stale /tmp
        step Kafka "was not running"
        return 0
    fi
    kafka_stop "$PRIVATE/kafka"
    private_remove "$PRIVATE"
    rm -f -- "$KAFKA_POINTER"
    step Kafka "ended, its data are removed"
}
