"""What fails around the programs: PostgreSQL restarted, broker away, no migrations, two ingesters at once, a worker that
is slow or not there. Prints TAP."""
import gzip
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from lab import (INGEST_TOPICS, SAMPLE, TTP_TOPICS, Lab, die_with_parent, event_ids, expect, expect_equal,
                 expect_same_dump, run_cases, wait_until)
from logs import Log

BACKLOG_BYTES = 4 * 1024 * 1024  # LIMIT_BACKLOG_BYTES
content = gzip.decompress(SAMPLE.read_bytes())
lab = Lab("faults")
plain = lab.file("plain.json", content)


class Server:
    """A PostgreSQL of our own, to be stopped and started; on disk settings as operators have them."""

    def __init__(self):
        self.bin = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
        self.folder = Path(tempfile.mkdtemp(prefix="pg-", dir=lab.folder.parent))
        if os.geteuid() == 0:
            subprocess.run(["chown", "postgres:", self.folder], check=True)
        subprocess.run([*self.user(), self.bin / "initdb", "-D", self.folder / "d", "-U", "postgres", "--auth=trust",
                        "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"], check=True, capture_output=True, cwd="/")
        self.start()

    def user(self):
        return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"] if os.geteuid() == 0 else []

    def start(self):
        with open(lab.folder / "postgres.log", "ab") as log:
            self.process = subprocess.Popen(
                [*self.user(), self.bin / "postgres", "-D", self.folder / "d", "-c", "listen_addresses=", "-c",
                 f"unix_socket_directories={self.folder}", "-c", "dynamic_shared_memory_type=mmap", "-c", "timezone=UTC",
                 "-c", "max_connections=50"], stdout=log, stderr=log, preexec_fn=die_with_parent, cwd="/")
        ready = [self.bin / "pg_isready", "-q", "-h", self.folder]
        wait_until(lambda: subprocess.run(ready, check=False).returncode == 0, "PostgreSQL being ready", 30)

    def stop(self, how=signal.SIGINT):
        """SIGINT: fast shutdown; SIGQUIT: immediate, like a crash."""
        self.process.send_signal(how)
        self.process.wait(30)

    def conninfo(self):
        return f"host='{self.folder}' user=postgres dbname=postgres"


def reference_run():
    lab.ingest(plain)
    lab.worker()
    reference["dump"] = lab.dump()
    reference["events"] = event_ids(lab.events(*INGEST_TOPICS, *TTP_TOPICS))


reference = {}


def database_that_restarts_while_ingester_and_worker_run():
    """Shut down, crashed, and away for a while: both go on by themselves."""
    reference_run()
    server = Server()
    try:
        other = Lab("restarts", server=server.conninfo())
        worker = other.worker_spawn(DECNET_BATCH_RECORDS=5)
        ingest = other.ingest_spawn("--idle-timeout", "0", "--batch", "3", plain)
        for how, away_s in ((signal.SIGINT, 0), (signal.SIGQUIT, 0), (signal.SIGINT, 1.5)):
            seen = other.count("logs")
            wait_until(lambda: other.count("logs") > seen, "lines being stored", program=ingest)
            server.stop(how)
            time.sleep(away_s)
            server.start()
        ingest.end()
        expect("nothing is lost meanwhile" in ingest.err, "the ingester saw nothing of it:", ingest.err)
        worker.terminate()
        other.worker()
        expect_same_dump(reference["dump"], other.dump(), "after restarts of the database")
        missing = reference["events"] - event_ids(other.events(*INGEST_TOPICS, *TTP_TOPICS))
        expect_equal(len(missing), 0, "events that are missing")
        expect_equal(other.count("dead_letter"), 0, "dead letters")
        server.stop()
        ended = other.ingest(plain, wanted=1)
        expect("database" in ended.err and str(server.folder) in ended.err, "what is away is not named:", ended.err)
        other.worker_spawn().said("trying again").terminate()
        other.broker_stop()
    finally:
        server.process.kill()
        server.process.wait()


def schema_that_is_missing():
    fresh = Lab("unmigrated", migrate=False)
    for ended in (fresh.ingest(plain, wanted=78), fresh.worker(wanted=78)):
        expect("decnetctl migrate" in ended.err, "no remedy:", ended.err)
    fresh.broker_stop()


def database_that_does_not_exist():
    ended = lab.ingest("--database", f"{lab.server} dbname=no_such_database", plain, wanted=None)
    expect(ended.process.returncode in (1, 78) and "no_such_database" in ended.err, ended.process.returncode, ended.err)


def broker_that_is_away_during_the_whole_ingest():
    lab.wipe()
    lab.broker_stop()
    started = time.monotonic()
    ended = lab.ingest(plain, wanted=1)
    expect("kafka.bootstrap.servers" in ended.err, "no hint:", ended.err)
    expect(time.monotonic() - started < 40, "it took", time.monotonic() - started)
    expect_equal(ended.json()["new_lines"], len(content.splitlines()), "lines stored")
    lab.broker_start()
    lab.ingest(plain)
    lab.worker()
    expect_same_dump(reference["dump"], lab.dump(), "published later")
    ids = event_ids(lab.events(*INGEST_TOPICS, *TTP_TOPICS))
    expect_equal(len(reference["events"] ^ ids), 0, "event ids that differ")


def broker_that_falls_silent_in_the_middle():
    lab.wipe()
    ingest = lab.ingest_spawn("--idle-timeout", "0", "--batch", "7", plain)
    time.sleep(0.5)
    lab.broker.process.send_signal(signal.SIGSTOP)
    time.sleep(2)
    lab.broker.process.send_signal(signal.SIGCONT)
    ingest.end()
    lab.worker()
    expect_same_dump(reference["dump"], lab.dump(), "a broker that was silent for 2 s")


def ended_by_sigterm_and_begun_again():
    lab.wipe()
    for _ in range(3):
        ingest = lab.ingest_spawn("--idle-timeout", "0", "--batch", "7", plain)
        time.sleep(0.4)
        ingest.terminate(wanted=None)
        expect(ingest.process.returncode in (0, 1), "exit status", ingest.process.returncode, ingest.err)
    lab.ingest(plain)
    lab.worker()
    expect_same_dump(reference["dump"], lab.dump(), "ended three times")


def two_ingesters_on_two_files_with_common_attackers():
    lab.wipe()
    paths = []
    for name in ("a", "b"):
        log = Log(f"edge-{name}")
        for i in range(400):
            log.session(f"198.51.100.{(i * (7 if name == 'a' else 11)) % 50}", "uname -a", f"wget http://203.0.113.{i % 9}/{name}")
        paths.append((lab.file(f"{name}.json", log.bytes()), len(log.lines)))
    both = [lab.ingest_spawn("--idle-timeout", "0", "--batch", "20", p) for p, _ in paths]
    for ingest in both:
        ingest.end()
        expect("deadlock" not in ingest.err, ingest.err)
    expect_equal(lab.value("SELECT sum(event_count) FROM attackers"), sum(n for _, n in paths), "events of all attackers")
    expect_equal(lab.value("SELECT count(*) FROM attackers a WHERE event_count <> (SELECT count(*) FROM logs l WHERE"
                           " l.attacker_ip = a.ip AND event_type <> 'session_recorded')"), 0, "attackers with another count")
    expect_equal(lab.value("SELECT sum(attempt_count) FROM credentials"), 800, "login attempts")
    at_once = lab.dump()
    lab.wipe()
    for path, _ in paths:
        lab.ingest(path)
    expect_same_dump(lab.dump(), at_once, "at once and one after the other")


def two_ingesters_on_one_file():
    lab.wipe()
    first = lab.ingest_spawn("--follow", plain)
    wait_until(lambda: lab.count("ingest_source"), "the first one")
    wait_until(lambda: lab.count("logs") > 0, "its lines")
    second = lab.ingest(plain, wanted=1)
    expect("another ingester is reading this log" in second.err, second.err)
    first.terminate()
    lab.ingest(plain)


def two_ingesters_on_two_copies_of_one_file():
    """No lock of a file can see that. Whoever finds a session changed by the other says so and ends; reading both again
    gives what one reading gives. In equal and in different steps."""
    copy = lab.file("copy.json", content)
    for steps in ((50, 50), (50, 7)):
        lab.wipe()
        both = [lab.ingest_spawn("--idle-timeout", "0", "--batch", n, p) for n, p in zip(steps, (plain, copy))]
        for ingest in both:
            ingest.end(None)
            expect(ingest.process.returncode == 0 or "another ingester reads the same lines" in ingest.err, ingest.err)
        for path in (plain, copy):
            lab.ingest(path)
        lab.worker()
        expect_same_dump(reference["dump"], lab.dump(), "two copies at once")


def big_log(n_sessions, ips):
    log = Log()
    for i in range(n_sessions):
        log.session(ips[i % len(ips)], *(f"echo {'z' * 3000} {i} {k}; uname -a" for k in range(10)))
    return lab.file("many.json", log.bytes())


def unread_bytes():
    """Of each partition of the sessions' topic, behind the worker's position."""
    at = {r["partition"]: r["next_offset"] for r in lab.rows(
        "SELECT partition, next_offset FROM consumer_position WHERE topic = 'attacker.session.ended'")}
    sizes = {}
    for e in lab.events("attacker.session.ended"):
        if e["offset"] >= at.get(e["partition"], 0):
            sizes[e["partition"]] = sizes.get(e["partition"], 0) + len(e["value"])
    return sizes


def ingest_stops_before_the_broker_forgets():
    """One partition, over 8 MiB, and a worker that has registered and then stands still."""
    lab.wipe()
    path = big_log(300, ["198.51.100.1"])
    worker = lab.worker_spawn().said("started")
    worker.process.send_signal(signal.SIGSTOP)
    ingest = lab.ingest_spawn("--idle-timeout", "0", path).said("waiting for the workers")
    time.sleep(2)
    held = unread_bytes()
    expect(ingest.running(), "it did not wait")
    expect_equal(len(held), 1, "partitions with unread records")
    expect(BACKLOG_BYTES * 0.7 < max(held.values()) <= BACKLOG_BYTES, "unread bytes", held)
    worker.process.send_signal(signal.SIGCONT)
    ingest.end()
    wait_until(lambda: lab.count("ttp_tag") == 3000, "the tags", program=worker)
    worker.terminate()
    expect_equal([lab.count("ttp_tag"), lab.count("event_outbox"), lab.count("dead_letter")], [3000, 0, 0], "in the end")


def log_without_a_reader_is_warned_about():
    lab.wipe()
    expect("no worker has registered" in lab.ingest(plain).err, "no warning")
    lab.worker()
    log = Log("edge-9")
    log.session("198.51.100.250", "id")
    expect("no worker has registered" not in lab.ingest(lab.file("more.json", log.bytes())).err, "a warning although a worker has registered")


run_cases([database_that_restarts_while_ingester_and_worker_run, schema_that_is_missing, database_that_does_not_exist,
           broker_that_is_away_during_the_whole_ingest, broker_that_falls_silent_in_the_middle,
           ended_by_sigterm_and_begun_again, two_ingesters_on_two_files_with_common_attackers, two_ingesters_on_one_file,
           two_ingesters_on_two_copies_of_one_file, ingest_stops_before_the_broker_forgets,
           log_without_a_reader_is_warned_about])
