"""kill -9 of random members of a group of three while a log flows: the rows as if nothing had happened, every event
published, none under two ids. Prints TAP. DECNET_TEST_SEED repeats a run's choices, DECNET_TEST_SCALE=10 makes 50 kills."""
import gzip
import os
import random
import subprocess
import time

from kafka_support import SAMPLE, KafkaLab, expect_in_order, scaled
from lab import TTP_TOPICS, event_ids, expect, expect_equal, expect_same_dump, program, run_cases

KILLS, MEMBERS, SESSION_MS = scaled(10, 50), 3, 1500
RECORDS = 3  # in a transaction: far more moments than kills
seed = int(os.environ.get("DECNET_TEST_SEED", time.time_ns() % 1000000))
moments = random.Random(seed)
lab = KafkaLab("gkills")
lines = gzip.decompress(SAMPLE.read_bytes()).splitlines(keepends=True)
reference = {}


class Flow:
    """The log through a pipe, as much at a time as there are kills to come."""

    def __init__(self):
        self.at = 0
        self.process = subprocess.Popen([program("CTL"), "ingest", "cowrie", "--idle-timeout", "0", "--batch", "20", "-"],
                                        env=lab.env("decnet_ingest"), stdin=subprocess.PIPE, stderr=subprocess.PIPE)

    def on(self, share):
        end = len(lines) if share >= 1 else int(len(lines) * share)
        self.process.stdin.write(b"".join(lines[self.at:end]))
        self.process.stdin.flush()
        self.at = end

    def end(self):
        self.on(1)
        said = self.process.communicate(timeout=120)[1]
        expect_equal(self.process.returncode, 0, f"exit status of ingest ({said.decode()[-1000:]})")


def uninterrupted():
    print(f"# seed {seed}")
    flow = Flow()
    flow.end()
    lab.worker(DECNET_BATCH_RECORDS=RECORDS)
    reference["dump"], reference["tagged"] = lab.dump(), event_ids(lab.events(*TTP_TOPICS))
    expect(len(reference["tagged"]) > 100, len(reference["tagged"]), "events")


def member():
    return lab.member(session_ms=SESSION_MS, DECNET_BATCH_RECORDS=RECORDS, DECNET_BATCH_AGE_MS=5)


def kill_one(members):
    """Some are killed while they start or wait for the group, most in the middle of their work."""
    time.sleep(moments.uniform(0, 2 * SESSION_MS / 1000))
    victim = moments.randrange(len(members))
    expect(members[victim].kill(), "a worker ended by itself:", members[victim].err[-2000:])
    members[victim] = member()


def random_members_are_killed_while_a_log_flows():
    lab.wipe()
    flow, started = Flow(), time.monotonic()
    members = [member() for _ in range(MEMBERS)]
    for killed in range(KILLS):
        flow.on(killed / KILLS)
        kill_one(members)
    flow.end()
    left = sum(lab.ends().values()) - sum(lab.positions().values())
    lab.wait_read(*members)
    lab.wait_shared(members)
    for m in members:
        m.terminate()
    lab.worker()  # alone: what the killed left in the outbox is published now and not after 30 s
    history = lab.history()
    takes = sum(r["old"] == r["new"] for r in history)
    print(f"# {KILLS} kills in {time.monotonic() - started:.1f} s; partitions taken {takes} times, commits of positions"
          f" {len(history) - takes}; {left} records unread after the last kill")
    expect(takes > 12 + KILLS, takes, "takes: the kills hit nothing")
    expect_in_order(history, lab.ends())
    expect_same_dump(reference["dump"], lab.dump(), "after the kills")
    ids = event_ids(lab.events(*TTP_TOPICS))
    expect_equal((len(reference["tagged"] - ids), len(ids - reference["tagged"])), (0, 0), "events missing, events too many")
    expect_equal([lab.count("event_outbox"), lab.count("dead_letter")], [0, 0], "rows of the outbox, dead letters")


run_cases([uninterrupted, random_members_are_killed_while_a_log_flows])
