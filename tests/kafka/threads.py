"""What the suite `threads` adds to the tests of groups that it runs with programs built with ThreadSanitizer: that it sees,
that it looks at what it should, and what those tests leave out. Prints TAP."""
import os
import threading
import urllib.request
from pathlib import Path

from kafka_support import Feeder, KafkaLab, expect_each_once, expect_in_order
from lab import Program, expect, program, run_cases, wait_until

ATTACKERS, RATE, JOINS = 100, 300, 2
lab = KafkaLab("threads")


def race_is_reported():
    """With the suppressions of the suite; its report goes to a file of its own, as all others fail the run."""
    log = lab.folder / "race"
    options = f"{os.environ['TSAN_OPTIONS']}:log_path='{log}'"
    racer = Program(lab, "race", [program("RACE")], lab.env(TSAN_OPTIONS=options)).end(66)
    report = log.with_name(f"race.{racer.process.pid}").read_text()
    expect("data race" in report and "race.c" in report, report[:2000])


def members_are_watched():
    for name in ("ttp", "attribution"):
        member = lab.member(name=name).said('"event":"started"')
        maps = Path(f"/proc/{member.process.pid}/maps").read_text()
        expect(program(name.upper()) in maps and "/libtsan.so" in maps and "/libc11_threads.so" in maps, maps)
        member.terminate()


class Scraper:
    """Reads a worker's metrics all the time."""

    def __init__(self, url):
        self.url, self.n, self.failure, self.stopping = url, 0, None, threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.stopping.wait(0.02):
            try:
                with urllib.request.urlopen(self.url, timeout=10) as answer:
                    expect(b"\ndecnet_records_total" in answer.read(), "no metrics at", self.url)
                self.n += 1
            except (AssertionError, OSError) as e:
                self.failure = e
                return

    def stop(self):
        self.stopping.set()
        self.thread.join()
        expect(not self.failure and self.n > 0, self.n, "reads, then", self.failure)


def metrics_are_read_while_members_come_and_go():
    lab.wipe()
    lab.attackers(ATTACKERS)
    port = lab.folder / "port"
    worker = lab.member(DECNET_METRICS_LISTEN="127.0.0.1:0", DECNET_METRICS_PORT_FILE=port)
    wait_until(lambda: port.exists() and port.read_text().endswith("\n"), "the port of the metrics", program=worker)
    lab.wait_shared([worker])
    feeder, scraper = Feeder(lab, RATE, ATTACKERS), Scraper(f"http://127.0.0.1:{port.read_text().strip()}/metrics")
    for _ in range(JOINS):
        guest = lab.member()
        lab.wait_shared([worker, guest])
        guest.terminate()
        lab.wait_shared([worker])
    n = feeder.stop()
    lab.wait_read(worker)
    scraper.stop()
    worker.terminate()
    print(f"# {scraper.n} reads of the metrics, {n} events")
    expect_in_order(lab.history(), lab.ends())
    expect_each_once(lab, n)


run_cases([race_is_reported, members_are_watched, metrics_are_read_while_members_come_and_go])
