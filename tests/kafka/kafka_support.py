"""What the tests of worker groups share: a lab on an Apache Kafka, a broker of one's own that can be killed, sessions at
a given rate, and a history of all positions by which they see who committed what, and when. Needs what lab.py needs, and
DECNET_TEST_KAFKA (bootstrap servers of a broker that several tests share)."""
import json
import os
import re
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "chaos"))
from lab import ROOT, SAMPLE, TTP_TOPICS, Lab, Program, expect, expect_equal, wait_until  # noqa: E402
from wire import Broker, text  # noqa: E402

SCALE = float(os.environ.get("DECNET_TEST_SCALE", "1"))  # 1: a few minutes in all; 10: the counts of the promises
SESSIONS = "attacker.session.ended"
TOPICS = {SESSIONS: 12, "attacker.intel.enriched": 12, "attacker.observed": 12, "credential.captured": 6,
          "ttp.tagged": 12, "ttp.rule.fired": 6, "dlq.ttp": 3, "attacker.observation": 12, "identity.formed": 6,
          "attribution.profile.state_changed": 6, "attribution.profile.multi_actor_suspected": 3, "dlq.attribution": 3}
NS_ATTACKER = uuid.uuid5(uuid.NAMESPACE_URL, "decnet:attacker:v1")
START_S = 30  # a broker, a worker, a first assignment on a busy machine

# Every committed move of a position, in the order of its partition: the row's lock puts the entries in that order.
HISTORY = """
CREATE TABLE decnet.position_history (n bigserial, at timestamptz, topic text, part int, old bigint, new bigint, epoch bigint,
                                      who text);
CREATE FUNCTION decnet.position_moved() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
    INSERT INTO decnet.position_history (at, topic, part, old, new, epoch, who) VALUES (clock_timestamp(), NEW.topic,
        NEW.partition, CASE WHEN TG_OP = 'UPDATE' THEN OLD.next_offset ELSE NEW.next_offset END, NEW.next_offset,
        NEW.epoch, split_part(current_setting('application_name'), '@', 2));
    RETURN NULL; END $$;
CREATE TRIGGER history AFTER INSERT OR UPDATE ON decnet.consumer_position FOR EACH ROW EXECUTE FUNCTION decnet.position_moved();
"""


def scaled(small, full):
    """A count: @small in the suite, @full at DECNET_TEST_SCALE=10."""
    return round(small + (full - small) * min(max(SCALE - 1, 0) / 9, 1))


class Admin(Broker):
    """Requests with which the tests do to topics what operators and time do."""

    def settled(self, what, answer, name):
        answer.number("i")
        errors = answer.array(lambda: (answer.text(), answer.number("h"), answer.text()))
        expect_equal(errors, [(name, 0, None)], what)

    def delete_topic(self, name):
        answer = self.ask((20, 3), struct.pack(">i", 1) + text(name) + struct.pack(">i", 30000))
        answer.number("i")
        expect_equal(answer.array(lambda: (answer.text(), answer.number("h"))), [(name, 0)], "topic deleted")
        wait_until(lambda: name not in self.partitions(), f"{name} gone")

    def add_partitions(self, name, total):
        body = struct.pack(">i", 1) + text(name) + struct.pack(">iiib", total, -1, 30000, 0)
        self.settled("partitions added", self.ask((37, 1), body), name)

    def delete_records(self, name, before):
        """@before: {partition: first offset that stays}"""
        parts = b"".join(struct.pack(">iq", *pair) for pair in before.items())
        answer = self.ask((21, 1), struct.pack(">i", 1) + text(name) + struct.pack(">i", len(before)) + parts
                          + struct.pack(">i", 30000))
        answer.number("i")
        rows = answer.array(lambda: (answer.text(), answer.array(
            lambda: (answer.number("i"), answer.number("q"), answer.number("h")))))
        expect_equal({p: (low, error) for p, low, error in rows[0][1]}, {p: (o, 0) for p, o in before.items()}, "deleted")

    def ends(self, name, n):
        """{partition: offset behind its last record}"""
        parts = b"".join(struct.pack(">iq", p, -1) for p in range(n))
        answer = self.ask((2, 1), struct.pack(">i", -1) + struct.pack(">i", 1) + text(name) + struct.pack(">i", n) + parts)
        rows = answer.array(lambda: (answer.text(), answer.array(
            lambda: (answer.number("i"), answer.number("h"), answer.number("q"), answer.number("q")))))
        expect(all(error == 0 for _, error, _, _ in rows[0][1]), "ends of", name, rows)
        return {p: end for p, _, _, end in rows[0][1]}


def free_ports(n):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [s.getsockname()[1] for s in held]
    for s in held:
        s.close()
    return ports


def shell(function, *argv):
    """What a function of scripts/kafka.sh prints: the settings of `./run kafka` are those of the tests' own brokers."""
    script = 'TOP=$1 BUILD=$1/build; shift; . "$TOP/scripts/common.sh"; . "$TOP/scripts/kafka.sh"; "$@"'
    return subprocess.run(["bash", "-c", script, "-", ROOT, function, *map(str, argv)], check=True, capture_output=True,
                          text=True).stdout


# A node that was killed comes back in seconds. Only for those: a busy machine may stop any for as long, and one that has
# these settings would then be fenced by itself.
KILLABLE = {"broker.session.timeout.ms": 2000, "broker.heartbeat.interval.ms": 500}


class Apache:
    """A broker of one's own."""

    def __init__(self, lab, settings=lambda ports, folder: {}, n_ports=2, users=()):
        self.lab, self.folder = lab, lab.folder / f"kafka-{lab.n_programs}"
        self.folder.mkdir()
        self.libs = os.environ.get("DECNET_TEST_KAFKA_LIBS") or shell("kafka_libs")
        self.ports = free_ports(n_ports)
        self.address = f"127.0.0.1:{self.ports[0]}"
        plain = shell("kafka_properties", self.folder, *self.ports[:2])
        found = dict(line.split("=", 1) for line in plain.splitlines() if "=" in line)
        self.file = self.folder / "server.properties"
        self.file.write_text("".join(f"{k}={v}\n" for k, v in (found | settings(self.ports, self.folder)).items()))
        scram = [a for user, password in users for a in ("--add-scram", f"SCRAM-SHA-256=[name={user},password={password}]")]
        self.java("format", "kafka.tools.StorageTool", "format", "-t", "k" + uuid.uuid4().hex[:21], "-c", self.file,
                  *scram).end()
        self.start()

    def java(self, name, *argv):
        options = ["-Xms64m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData",
                   "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
        return Program(self.lab, name, ["java", *options, "-cp", f"{self.libs}/*", *argv], self.lab.clean)

    def start(self):
        self.program = self.java("kafka", "kafka.Kafka", self.file)
        self.lab.programs.remove(self.program)  # wipe() leaves it alone
        wait_until(self.answers, "an answer of the broker", 2 * START_S)
        return self

    def answers(self):
        expect(self.program.running(), "Kafka ended:", self.program.out[-2000:], self.program.err[-2000:])
        try:
            Admin(self.address).partitions()
            return True
        except (OSError, AssertionError):
            return False

    def kill(self):
        self.program.kill()

    def stop(self):
        self.program.terminate(None)


class KafkaLab(Lab):
    """wipe() makes the database empty and takes another prefix of topics, so that nothing old is read."""

    def __init__(self, name, address=None, **settings):
        self.n_prefixes, self.kafka, self.prefix = 0, address or os.environ["DECNET_TEST_KAFKA"], ""
        self.settings = settings  # of every program, as environment
        super().__init__(name)
        self.psql(f"dbname={self.database} user=postgres", HISTORY)

    def broker_start(self):
        self.address = self.kafka
        self.n_prefixes += 1
        self.prefix = f"{self.database}.{self.n_prefixes}."
        self.admin = Admin(self.address)
        for name, n in TOPICS.items():
            self.admin.create(self.prefix + name, n, {})

    def broker_stop(self):
        pass  # shared: our topics stay, unread

    def env(self, role="postgres", **more):
        return super().env(role, **({"DECNET_KAFKA_TOPIC_PREFIX": self.prefix} | self.settings | more))

    def member(self, *argv, name="ttp", session_ms=3000, **env):
        """A worker in the group; its log is read by machines, and PostgreSQL knows it by its number."""
        env = {"DECNET_LOG_FORMAT": "json", "DECNET_INSTANCE": str(self.n_programs)} | env
        worker = Program(self, name, [program_of(name, env), f"--kafka.session.timeout.ms={session_ms}",
                                      f"--kafka.heartbeat.interval.ms={min(500, session_ms // 3)}", *argv],
                         self.env(f"decnet_{name}", **env))
        worker.instance = env["DECNET_INSTANCE"]
        return worker

    def attackers(self, n):
        rows = ",".join(f"('{attacker(i)}', '{address(i)}', now(), now())" for i in range(n))
        self.sql(f"INSERT INTO attackers (uuid, ip, first_seen, last_seen) VALUES {rows}")

    def again(self):
        """The same topics from their beginnings, as if nothing had been derived from them."""
        self.sql("TRUNCATE ttp_tag, event_outbox, deferred_event, dead_letter, consumer_position, position_history CASCADE")

    def ends(self, topic=SESSIONS):
        return self.admin.ends(self.prefix + topic, self.admin.partitions()[self.prefix + topic])

    def positions(self, topic=SESSIONS):
        rows = self.rows(f"SELECT partition, next_offset FROM consumer_position WHERE topic = '{self.prefix}{topic}'")
        return {r["partition"]: r["next_offset"] for r in rows}

    def is_read(self, topic=SESSIONS):
        at, ends = self.positions(topic), self.ends(topic)
        return all(at.get(p, 0) == end for p, end in ends.items())

    def wait_read(self, *workers, topic=SESSIONS, timeout_s=60):
        def done():
            for w in workers:
                expect(w.running(), "a worker ended:", w.err[-2000:])
            return self.is_read(topic)
        try:
            wait_until(done, "everything read", timeout_s)
        except AssertionError as e:
            raise AssertionError(f"{e}; at {self.positions(topic)}, ends {self.ends(topic)}") from None

    def history(self, topic=SESSIONS, after=0):
        """Rows {n, at (s), part, old, new, epoch, who (instance)}, oldest first."""
        return self.rows("SELECT n, extract(epoch FROM at)::float8 AS at, part, old, new, epoch, who FROM position_history"
                         f" WHERE topic = '{self.prefix}{topic}' AND n > {after} ORDER BY n")

    def owners(self, topic=SESSIONS):
        """{partition: instance of whom took or moved its position last}: the log holds repetitions back, this does not."""
        return {r["part"]: r["who"] for r in self.rows("SELECT DISTINCT ON (part) part, who FROM position_history WHERE"
                                                       f" topic = '{self.prefix}{topic}' ORDER BY part, n DESC")}

    def shares(self, workers, topic=SESSIONS):
        owners = list(self.owners(topic).values())
        return sorted(owners.count(w.instance) for w in workers)

    def wait_shared(self, workers, topic=SESSIONS, timeout_s=START_S):
        """Until the partitions are shared evenly among these members."""
        n = self.admin.partitions()[self.prefix + topic]
        wanted = sorted(n // len(workers) + (i < n % len(workers)) for i in range(len(workers)))

        def done():
            for w in workers:
                expect(w.running(), "a worker ended:", w.err[-2000:])
            return self.shares(workers, topic) == wanted
        try:
            wait_until(done, "even shares", timeout_s)
        except AssertionError as e:
            raise AssertionError(f"shares {self.shares(workers, topic)} instead of {wanted}; {e}") from None

    def now(self):
        return self.value("SELECT extract(epoch FROM clock_timestamp())::float8 AS t")


def program_of(name, env):
    variable = f"{name.upper()}_PROGRAM"
    return env.pop(variable, None) or os.environ[f"DECNET_{variable}"]


def address(number):
    return f"198.18.{number // 250}.{number % 250 + 1}"


def attacker(number):
    return uuid.uuid5(NS_ATTACKER, address(number))


def session_event(number, n_attackers):
    """One command that is one of the tagging rules' commonest: the same number of tags for each."""
    ip, sid = address(number % n_attackers), str(uuid.uuid5(NS_ATTACKER, f"session {number}"))
    value = {"session_id": sid, "attacker_ip": ip, "decky_id": "edge-01", "service": "ssh",
             "ended_at": "2026-05-10T08:27:30.125000Z", "commands": [
                 {"id": f"{sid}#0", "command_text": "id", "ts": "2026-05-10T08:25:12.301Z", "user": "root", "src": ip}]}
    return {"topic": SESSIONS, "key": ip, "value": value}


class Feeder:
    """Session events at a steady rate, through the stand-in for publishers."""

    def __init__(self, lab, rate, n_attackers=200, first=0):
        self.lab, self.rate, self.n_attackers, self.n = lab, rate, n_attackers, first
        self.stopping, self.failure = threading.Event(), None
        self.process = subprocess.Popen([os.environ["DECNET_PRODUCE_PROGRAM"]], env=lab.env(), stdin=subprocess.PIPE,
                                        text=True)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        started, first = time.monotonic(), self.n
        while not self.stopping.is_set():
            due = first + int((time.monotonic() - started) * self.rate)
            lines = [json.dumps(session_event(i, self.n_attackers)) for i in range(self.n, due)]
            if lines:
                self.process.stdin.write("\n".join(lines) + "\n")
                self.process.stdin.flush()
            self.n = due
            time.sleep(0.02)

    def stop(self):
        """How many were produced, the broker having acknowledged all."""
        self.stopping.set()
        self.thread.join()
        self.process.stdin.close()
        expect_equal(self.process.wait(60), 0, "exit status of the feeder")
        return self.n


# --- logs of workers ---

def entries(worker, event=None):
    """Log entries, those of one kind if @event is given."""
    found = []
    for line in worker.err.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if event is None or entry.get("event") == event:
            found.append(entry)
    return found


def moves(worker, topic=SESSIONS):
    """[(number of partitions, 'assigned' or 'revoked' or 'lost')] of a topic."""
    found = []
    for e in entries(worker, "rebalance"):
        match = re.match(r"(\d+) partitions of (\S+) (\w+), ", e["message"])
        if match and match[2] == topic:
            found.append((int(match[1]), match[3]))
    return found


# --- the history of positions ---

def expect_in_order(history, ends):
    """Each partition was read once from its beginning to @ends[part], without a hole and without a repetition, and nobody
    committed after another had taken over."""
    at, epochs = {}, {}
    for row in history:
        part = row["part"]
        expect(row["epoch"] >= epochs.get(part, 0), "committed after another took over:", row)
        expect_equal(row["old"], at.get(part, row["old"]), f"where partition {part} went on, {row}")
        expect(row["new"] >= row["old"], "backwards:", row)
        at[part], epochs[part] = row["new"], row["epoch"]
    expect_equal({p: at.get(p, 0) for p in ends}, ends, "where the partitions end")


def expect_each_once(lab, n):
    """@n sessions of session_event(): all their tags, none twice, nothing refused, nothing left behind."""
    found = lab.rows("SELECT count(*) AS tags, count(DISTINCT source_id) AS sessions, count(DISTINCT (source_id, rule_id,"
                     " technique_id, sub_technique_id)) AS different FROM ttp_tag")[0]
    kinds = lab.count("(SELECT DISTINCT rule_id, technique_id, sub_technique_id FROM ttp_tag) k")
    expect(kinds > 0, "no tags at all")
    expect_equal(found, {"tags": n * kinds, "sessions": n, "different": n * kinds}, f"tags of {n} sessions")
    expect_equal([lab.count("dead_letter"), lab.count("deferred_event")], [0, 0], "dead letters and deferrals")


def advances(history, part):
    return [r for r in history if r["part"] == part and r["new"] > r["old"]]


def stays_and_moves(history, start, end):
    """Of a time with steady traffic: the longest gap between commits of any partition that kept its owner, and of any that
    changed it (from the last commit of the old to the first of the new); None where there is none."""
    kept, moved = [], []
    for part in {r["part"] for r in history}:
        rows = advances(history, part)
        inside = [i for i, r in enumerate(rows) if start <= r["at"] <= end]
        if not inside:
            continue
        pairs = [(rows[i - 1], rows[i]) for i in inside if i > 0]
        across = [b["at"] - a["at"] for a, b in pairs if a["epoch"] != b["epoch"]]
        moved += across
        if not across:
            kept += [b["at"] - a["at"] for a, b in pairs]
    return max(kept, default=None), max(moved, default=None)


def median(values):
    return statistics.median(values) if values else None


def say_median(what, values):
    values = [v for v in values if v is not None]
    if values:
        print(f"# {what}: median {1000 * median(values):.0f} ms, largest {1000 * max(values):.0f} ms, of {len(values)}")
    return values
