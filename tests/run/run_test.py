"""./run demo, env and stop: what they leave behind, and what signals, kills and neighbours do to them. Prints TAP.
Real PostgreSQL and real scripts, stand-ins for our programs (driver.sh).

usage: run_test.py PROJECT"""
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(sys.argv[1])


class Place:
    """A scratch folder that is TMPDIR and build folder of the runs of one case."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.chmod(0o711)
        self.tmp = self.folder / "t"
        self.tmp.mkdir(mode=0o777)
        self.log = self.folder / "log"
        self.log.write_text("three\nlines\nhere\n")
        self.marks = [f"RUN_MARK={self.tmp}/".encode()]

    def start(self, *command, tmp=None, stdin=subprocess.DEVNULL, **env):
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("DECNET_", "PG"))}
        process = subprocess.Popen(
            [PROJECT / "tests/run/driver.sh", PROJECT, self.folder, *command], stdin=stdin, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, start_new_session=True, env=clean | {"TMPDIR": str(tmp or self.tmp)} | env,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        self.marks.append(f"RUN_MARK={process.pid}.".encode())
        return process

    def run(self, *command, **options):
        process = self.start(*command, **options)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    def left(self):
        """Private folders and processes that still belong to this place."""
        found = [str(p) for p in self.tmp.glob("decnet-*")]
        for command in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                text = command.read_bytes().decode(errors="replace").replace("\0", " ")
                environ = (command.parent / "environ").read_bytes()
            except OSError:
                continue
            if f"-D {self.tmp}" in text or any(mark in environ for mark in self.marks):
                found.append(text)
        return found

    def settles(self, wanted, seconds=20):
        """True once what is left is as wanted: a stand-in forks now and then on its way to being quiet."""
        end = time.monotonic() + seconds
        while not wanted(self.left()):
            if time.monotonic() > end:
                return False
            time.sleep(0.1)
        return True


def expect(condition, *words):
    if not condition:
        raise AssertionError(" ".join(map(str, words)))


def demo_prints_one_object_and_leaves_nothing(place):
    status, out, err = place.run("demo", "--json", place.log)
    expect(status == 0, err)
    told = json.loads(out)
    expect(told["lines"] == 3, out)
    expect(told["attribution"] == {"identities": 1, "states": {"stable": 1}, "profiles": [
        {"identity_uuid": "i", "attackers": 1, "addresses": ["a"], "primitives": [
            {"primitive": "p", "state": "stable", "confidence": 1, "observation_count": 3, "current_value": "v",
             "last_change_ts": 1.5}]}]}, out)
    expect(set(told["seconds"]) == {"build", "start", "ingest", "tagging", "attribution", "total"}, out)
    expect(not place.left(), place.left())


def demo_tells_a_person_how_attackers_behave(place):
    status, out, err = place.run("demo", place.log)
    expect(status == 0 and "How the attackers behave" in out and "attribution 0." in out, out, err)


def standard_input_reaches_the_ingester(place):
    with open(place.log) as stdin:
        status, out, err = place.run("demo", "--json", "-", stdin=stdin)
    expect(status == 0 and json.loads(out)["lines"] == 3, out, err)


def a_worker_that_ends_fails_the_demo(place):
    for group in ("ttp", "attribution"):
        status, _, err = place.run("demo", place.log, FAKE_WORKER_FAILS=group, FAKE_SECONDS="30")
        expect(status == 1 and "a broken rule" in err and f"the worker {group}-1 ended" in err, status, err)
        expect(not place.left(), place.left())
        status, _, err = place.run("demo", place.log, FAKE_ONCE_FAILS=group)
        expect(status == 1 and "a broken end" in err and f"the {group} worker failed" in err, status, err)
        expect(not place.left(), place.left())


def a_file_that_is_not_there_fails_at_once(place):
    status, _, err = place.run("demo", place.folder / "nothing")
    expect(status == 1 and "cannot read" in err, status, err)


def kept_is_added_to_and_stopped(place):
    for want in (3, 6):
        status, out, err = place.run("demo", "--json", "--keep", place.log)
        expect(status == 0 and json.loads(out)["lines"] == want, out, err)
    expect(len(place.left()) > 3, "something runs:", place.left())
    status, out, err = place.run("demo", "--json", place.log)
    expect(json.loads(out)["lines"] == 3, "a demo beside it starts from nothing:", out)
    text = place.run("env")[1]
    expect(text.count("fakes") and "attribution show" in text, text)
    script = text + "\npsql -XAt -c 'SELECT count(*) FROM logs'"
    seen = subprocess.run(["bash", "-c", script], stdout=subprocess.PIPE, text=True, check=True).stdout
    expect(seen.strip() == "6", "psql through ./run env:", seen)
    expect(place.run("stop")[0] == 0)
    expect(not place.left(), place.left())
    expect(place.run("env")[0] == 1, "env after stop")


def demo_on_kafka_runs_a_group_and_leaves_nothing(place):
    status, out, err = place.run("demo", "--kafka", "--json", place.log)
    expect(status == 0 and json.loads(out)["lines"] == 3, out, err)
    expect("Apache Kafka" in err and "37 created" in err, err)
    expect(not place.left(), place.left())
    status, _, err = place.run("demo", "--kafka", place.log, FAKE_WORKER_FAILS="ttp", FAKE_SECONDS="30")
    expect(status == 1 and "a broken rule" in err and not place.left(), status, err, place.left())


def kept_on_kafka_has_its_workers(place):
    expect(place.run("demo", "--kafka", "--keep", place.log)[0] == 0)
    expect(place.settles(lambda left: sum("fakes/decnet-" in p or "sleep 1000" in p for p in left) == 3), place.left())
    status, out, err = place.run("demo", "--keep", "--json", place.log)
    expect(status == 0 and json.loads(out)["lines"] == 6 and "kept by an earlier run" in err, err)
    expect(place.run("stop")[0] == 0 and not place.left(), place.left())
    expect(place.run("demo", "--keep", place.log)[0] == 0)
    status, _, err = place.run("demo", "--kafka", "--keep", place.log)
    expect(status == 1 and "uses the embedded broker" in err, err)
    expect(place.run("stop")[0] == 0 and not place.left(), place.left())


def kafka_starts_once_and_stops(place):
    expect(place.run("kafka", "status")[0] == 1, "nothing runs yet")
    status, line, err = place.run("kafka", "start")
    expect(status == 0 and line.startswith("kafka.bootstrap.servers = 127.0.0.1:"), line, err)
    for command in ("start", "status"):
        expect(place.run("kafka", command)[:2] == (0, line), command, "again")
    status, _, err = place.run("demo", place.log)
    expect(status == 0 and "removing" not in err, "a demo beside it:", err)
    expect(place.run("kafka", "status")[:2] == (0, line), "after the demo")
    expect(place.run("kafka", "stop")[0] == 0 and not place.left(), place.left())
    expect(place.run("kafka", "stop")[0] == 0, "stop when nothing runs")
    expect(place.run("kafka", "begin")[0] == 64 and place.run("kafka")[0] == 64, "wrong words")


def kafka_that_fails_or_dies_leaves_nothing(place):
    status, out, err = place.run("kafka", "start", FAKE_KAFKA_FAILS="1")
    expect(status == 1 and out == "" and "a broken property" in err and not place.left(), err, place.left())
    expect(place.run("kafka", "start")[0] == 0)
    (processes,) = place.tmp.glob("decnet-*/processes")
    os.kill(int(processes.read_text().split()[0]), signal.SIGKILL)
    status, out, err = place.run("kafka", "start")
    expect(status == 0 and "left by a run that was killed" in err, err)
    expect(len(list(place.tmp.glob("decnet-*"))) == 1, place.left())
    expect(place.run("kafka", "stop")[0] == 0 and not place.left(), place.left())


def signals_leave_nothing(place):
    moments = ((signal.SIGINT, 0.3), (signal.SIGTERM, 0.8), (signal.SIGINT, 1.3), (signal.SIGHUP, 1.8), (signal.SIGTERM, 3))
    for number, delay in moments: # from before the first process until the log is being read
        process = place.start("demo", place.log, FAKE_SECONDS="60")
        time.sleep(delay)
        process.send_signal(number)
        process.communicate(timeout=30)
        # On a busy machine the first one may come before bash has a handler: then it dies of it, and has made nothing.
        expect(process.returncode in (128 + number, -number), number, delay, process.returncode)
        expect(place.settles(lambda left: not left), number, delay, place.left())


def a_signal_finds_bash_anywhere(place):
    """Between two commands, while one runs, before a substitution (where bash 5.2 parses a trap wrongly)."""
    moments = ("kill -{0} $$; echo no", "(sleep 0.1; kill -{0} $$) & sleep 0.3; echo no", "(sleep 0.1; kill -{0} $$) & wait; echo no",
               "x=$(kill -{0} $$; sleep 0.1)$(echo no)")
    for name, number in (("HUP", 1), ("INT", 2), ("TERM", 15)):
        for moment in moments:
            script = 'set -euo pipefail; . "$0"/common.sh; . "$0"/processes.sh; guard_exit; ' + moment.format(name)
            done = subprocess.run(["bash", "-c", script, PROJECT / "scripts"], stdin=subprocess.DEVNULL, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30, check=False)
            expect(done.returncode == 128 + number and done.stdout == "", name, moment, done)


def the_next_start_cleans_up_after_a_kill(place):
    process = place.start("demo", place.log, FAKE_SECONDS="60")
    deadline = time.monotonic() + 30
    while len(place.left()) < 4 and time.monotonic() < deadline:
        time.sleep(0.1)
    process.kill()
    process.communicate()
    expect(place.left(), "a killed run leaves things")
    status, _, err = place.run("demo", place.log)
    expect(status == 0 and "left by a run that was killed" in err, err)
    expect(place.settles(lambda left: not left), place.left())


def the_next_start_cleans_up_after_an_early_kill(place):
    folder = place.tmp / f"decnet-{os.getuid()}-killed"
    folder.mkdir()
    (folder / "owner").write_text("999999999 1\n")
    status, _, err = place.run("stop")
    expect(status == 0 and "left by a run that was killed" in err and not place.left(), status, err, place.left())


def two_at_once_do_not_disturb_each_other(place):
    both = [place.start("demo", "--json", place.log, FAKE_SECONDS="1") for _ in range(2)]
    for process in both:
        out, err = process.communicate(timeout=120)
        expect(process.returncode == 0 and json.loads(out)["lines"] == 3, out, err)
    expect(not place.left(), place.left())


def odd_folders_for_temporary_files(place):
    spaced = place.tmp / "a b"
    spaced.mkdir(mode=0o777)
    expect(place.run("demo", place.log, tmp=spaced)[0] == 0, "a folder with spaces")
    long = place.tmp / ("long" * 25)
    long.mkdir(mode=0o777)
    status, _, err = place.run("demo", place.log, tmp=long)
    expect(status == 0 and "too long" in err, err)
    for folder in (spaced, long):
        expect(not list(folder.iterdir()), folder)


CASES = (demo_prints_one_object_and_leaves_nothing, demo_tells_a_person_how_attackers_behave,
         standard_input_reaches_the_ingester, a_worker_that_ends_fails_the_demo, a_file_that_is_not_there_fails_at_once,
         kept_is_added_to_and_stopped, demo_on_kafka_runs_a_group_and_leaves_nothing, kept_on_kafka_has_its_workers,
         kafka_starts_once_and_stops, kafka_that_fails_or_dies_leaves_nothing, signals_leave_nothing,
         a_signal_finds_bash_anywhere, the_next_start_cleans_up_after_a_kill,
         the_next_start_cleans_up_after_an_early_kill, two_at_once_do_not_disturb_each_other,
         odd_folders_for_temporary_files)


def main():
    os.umask(0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # in the background or under nohup some are ignored,
        signal.signal(number, signal.SIG_DFL)  # and would be by what is tested
    print(f"1..{len(CASES)}", flush=True)
    for number, case in enumerate(CASES, 1):
        with tempfile.TemporaryDirectory(prefix="run", dir=os.environ.get("DECNET_TEST_TMP")) as folder:
            place = Place(folder)
            try:
                case(place)
                result = "ok"
            except (AssertionError, ValueError, subprocess.SubprocessError) as fault:
                print("\n".join(f"# {line}" for line in f"{type(fault).__name__}: {fault}".splitlines()))
                result = "not ok"
            place.run("stop")
            place.run("kafka", "stop")
        print(f"{result} {number} - {case.__name__}", flush=True)


main()
