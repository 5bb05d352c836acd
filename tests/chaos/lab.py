"""What the end-to-end and chaos tests share: a database of their own, an embedded broker, our programs under the roles
that operators give them, what they printed, and TAP. Needs the environment that meson sets: DECNET_TEST_PG (conninfo of
a superuser), DECNET_TEST_TMP (scratch folder), DECNET_*_PROGRAM and DECNET_SOURCE_ROOT; DECNET_TEST_PRELOAD names a library
that our programs need before all others. Names of cases on the command line choose among those of a file."""
import ctypes
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

ROOT = Path(os.environ["DECNET_SOURCE_ROOT"])
SAMPLE = ROOT / "tests/samples/cowrie.jsonl.gz"
INGEST_TOPICS = ("attacker.observed", "credential.captured", "attacker.session.ended")
TTP_TOPICS = ("ttp.tagged", "ttp.rule.fired")
ATTRIBUTION_TOPICS = ("attacker.observation", "attribution.profile.state_changed",
                      "attribution.profile.multi_actor_suspected", "identity.formed")
WAIT_S = 60
SANITIZER = re.compile(r"runtime error: .*|(ERROR|WARNING): (Address|Leak|Undefined|Thread)\w*Sanitizer.*")
PRELOAD = {"LD_PRELOAD": os.environ["DECNET_TEST_PRELOAD"]} if os.environ.get("DECNET_TEST_PRELOAD") else {}
libc = ctypes.CDLL(None)


def expect(condition, *words):
    if not condition:
        raise AssertionError(" ".join(map(str, words)))


def expect_equal(got, wanted, what):
    expect(got == wanted, f"{what}: got {got!r}, wanted {wanted!r}")


def program(name):
    return os.environ[f"DECNET_{name}_PROGRAM"]


def wait_until(condition, what, timeout_s=WAIT_S, program=None):
    """@program is what makes it come true: no need to wait once it has ended."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        was_running = not program or program.running()
        value = condition()
        if value:
            return value
        expect(was_running, f"{what} did not happen:", program and program.err[-2000:])
        time.sleep(0.02)
    raise AssertionError(f"{what} did not happen within {timeout_s} s")


def die_with_parent():
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Program:
    """A running program of ours; its output goes to files, so that nothing ever waits for a reader."""

    def __init__(self, lab, name, argv, env, stdin=None):
        self.name = name
        lab.n_programs += 1
        lab.programs.append(self)
        self.base = lab.folder / f"{lab.n_programs:03d}-{name}"
        self.out_path, self.err_path = self.base.with_suffix(".out"), self.base.with_suffix(".err")
        with open(self.out_path, "wb") as out, open(self.err_path, "wb") as err:
            self.process = subprocess.Popen([str(a) for a in argv], env=env, stdout=out, stderr=err,
                                            stdin=stdin or subprocess.DEVNULL, preexec_fn=die_with_parent)

    def running(self):
        return self.process.poll() is None

    @property
    def out(self):
        return self.out_path.read_text(errors="replace")

    @property
    def err(self):
        return self.err_path.read_text(errors="replace")

    def said(self, text, timeout_s=WAIT_S):
        """Wait until it has written @text to standard error."""
        wait_until(lambda: text in self.err or not self.running(), f"{self.name} saying {text!r}", timeout_s)
        expect(text in self.err, f"{self.name} ended without saying {text!r}:", self.err[-2000:])
        return self

    def end(self, wanted=0, timeout_s=120):
        """Wait for its end; @wanted is the exit status that is right, None for any."""
        try:
            status = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"{self.name} did not end within {timeout_s} s: {self.err[-2000:]}") from None
        report = SANITIZER.search(self.err)
        expect(not report, f"{self.name}: {report and report.group()}")
        expect(wanted is None or status == wanted, f"{self.name} ended with {status} instead of {wanted}:",
               self.err[-2000:])
        return self

    def terminate(self, wanted=0):
        self.process.send_signal(signal.SIGTERM)
        return self.end(wanted)

    def kill(self):
        """True if it was still running; what it said until then is judged all the same."""
        was_running = self.running()
        self.process.kill()
        self.process.wait()
        report = SANITIZER.search(self.err)
        expect(not report, f"{self.name}: {report and report.group()}")
        return was_running

    def json(self):
        return json.loads(self.out)


class Session:
    """A connection of ours that stays open: for locks held, and for looking without a process in between."""

    def __init__(self, lab, role="postgres"):
        self.process = subprocess.Popen(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", lab.conninfo(role)], env=lab.clean,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        preexec_fn=die_with_parent)
        self.run("SET search_path = decnet")

    def run(self, sql):
        self.process.stdin.write(f"{sql};\n\\echo END\n")
        self.process.stdin.flush()
        lines = []
        while (line := self.process.stdout.readline()) not in ("END\n", ""):
            lines.append(line.rstrip("\n"))
        expect(line, "psql ended in", sql)
        return lines

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def lz4_block(data):
    """What an LZ4 block holds: runs of bytes as they are, each followed by a copy of what came before."""
    def length(n):
        nonlocal at
        more = n == 15
        while more:
            n, more, at = n + data[at], data[at] == 255, at + 1
        return n

    at, out = 0, bytearray()
    while at < len(data):
        token, at = data[at], at + 1
        n = length(token >> 4)
        out += data[at:at + n]
        at += n
        if at < len(data):
            back, at = int.from_bytes(data[at:at + 2], "little"), at + 2
            for _ in range(length(token & 15) + 4):
                out.append(out[-back])
    return bytes(out)


def unpack(stored):
    """Events of a row of event_outbox (lib/worker/pack.h has the layout), in order."""
    pack = lz4_block(stored[8:]) if stored[:4] == b"\xff" * 4 else stored

    def number(n):
        nonlocal at
        at += n
        return int.from_bytes(pack[at - n:at], "little")

    def sized(n):
        nonlocal at
        size = number(n)
        if n == 4 and size == 0xffffffff:
            return None
        at += size
        return pack[at - size:at].decode()

    at, events = 0, []
    while at < len(pack):
        number(4)
        event = {"topic": sized(2), "key": sized(4), "value": sized(4)}
        event["headers"] = {sized(2): sized(4) for _ in range(number(2))}
        events.append(event | {"payload": json.loads(event["value"])})
    return events


class Lab:
    """One database and one broker at a time; wipe() makes both new for the next case."""

    def __init__(self, name, server=None, migrate=True):
        self.folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=os.environ["DECNET_TEST_TMP"]))
        self.server = server or os.environ["DECNET_TEST_PG"]
        self.database = f"{name}_{os.getpid()}"
        self.n_programs = 0
        self.programs = []
        self.broker = self.address = None
        self.clean = {k: v for k, v in os.environ.items() if not k.startswith(("DECNET_", "PG"))}
        self.psql("dbname=postgres", f'CREATE DATABASE "{self.database}"')
        if migrate:
            self.migrate()
        self.broker_start()

    # --- programs ---

    def conninfo(self, role="postgres"):
        return f"{self.server} dbname={self.database} user={role}"

    def env(self, role="postgres", **more):
        return self.clean | PRELOAD | {
            "DECNET_CONFIG": "/dev/null", "DECNET_DATABASE": self.conninfo(role),
            "DECNET_KAFKA_BOOTSTRAP_SERVERS": self.address or "127.0.0.1:1",
            "DECNET_RULES_PATH": str(ROOT / "workers/ttp/rules"),
            "DECNET_ATTACK_CATALOG": str(ROOT / "workers/ttp/attack/enterprise-attack.json"),
            "DECNET_CACHE_DIR": str(self.folder.parent / "cache"),
        } | {k: str(v) for k, v in more.items()}

    def ctl_spawn(self, *argv, role="decnet_ingest", stdin=None, **env):
        return Program(self, argv[0], [program("CTL"), *argv], self.env(role, **env), stdin)

    def ctl(self, *argv, role="postgres", wanted=0, stdin=None, **env):
        return self.ctl_spawn(*argv, role=role, stdin=stdin, **env).end(wanted)

    def ingest_spawn(self, *argv, stdin=None, **env):
        return self.ctl_spawn("ingest", "cowrie", *argv, stdin=stdin, **env)

    def ingest(self, *argv, wanted=0, stdin=None, **env):
        """Read to the end, no idle time-out unless told."""
        if "--idle-timeout" not in argv:
            argv = ("--idle-timeout", "0", *argv)
        return self.ingest_spawn("--json", *argv, stdin=stdin, **env).end(wanted)

    def worker_spawn(self, *argv, name="ttp", **env):
        return Program(self, name, [program(name.upper()), "--solo", *argv], self.env(f"decnet_{name}", **env))

    def worker(self, *argv, name="ttp", wanted=0, **env):
        return self.worker_spawn("--once", *argv, name=name, **env).end(wanted)

    def produce(self, records):
        path = self.folder / "produce.jsonl"
        path.write_text("".join(json.dumps(r) + "\n" for r in records))
        with open(path, "rb") as lines:
            Program(self, "produce", [program("PRODUCE")], self.env(), stdin=lines).end()

    def events(self, *topics):
        """All that these topics hold; payload is the parsed value."""
        lines = Program(self, "consume", [program("CONSUME"), *topics], self.env()).end().out.splitlines()
        records = [json.loads(line) for line in lines]
        for r in records:
            r["payload"] = json.loads(r["value"])
        return records

    def broker_start(self):
        ready = self.folder / f"broker-{self.n_programs}"
        self.broker = Program(self, "broker", [program("BROKER"), "--ready-file", ready], self.env())
        wait_until(lambda: ready.exists() and ready.read_text(), "the embedded broker's ready file")
        self.address = ready.read_text().strip()

    def broker_stop(self):
        self.broker.kill()

    # --- database ---

    def psql(self, where, sql):
        result = subprocess.run(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", f"{self.server} {where}"], input=sql,
                                capture_output=True, text=True, env=self.clean)
        expect(result.returncode == 0, "psql:", result.stderr, "in", sql[:300])
        return result.stdout.strip()

    def migrate(self):
        self.ctl("migrate")
        roles = (ROOT / "deploy/roles.sql").read_text()
        for left in range(20, -1, -1):  # roles belong to the server: other tests set them up at the same time
            try:
                return self.psql(f"dbname={self.database} user=postgres", roles)
            except AssertionError as e:
                if not left or not re.search("concurrently|duplicate key|already exists", str(e)):
                    raise
                time.sleep(0.1)

    def sql(self, sql):
        return self.psql(f"dbname={self.database} user=postgres options='-c search_path=decnet'", sql)

    def rows(self, sql):
        return json.loads(self.sql(f"SELECT coalesce(json_agg(row_), '[]') FROM ({sql}) row_"))

    def value(self, sql):
        rows = self.rows(sql)
        expect(len(rows) == 1, "one row wanted:", sql, rows)
        return next(iter(rows[0].values()))

    def count(self, table, where="true"):
        return self.value(f"SELECT count(*) FROM {table} WHERE {where}")

    def outbox(self):
        """Events that wait in the outbox, in the order in which they would be published."""
        packs = self.rows("SELECT encode(events, 'hex') AS pack FROM event_outbox ORDER BY id")
        return [event for row in packs for event in unpack(bytes.fromhex(row["pack"]))]

    def dump(self):
        return self.ctl("dump").out

    def wipe(self):
        """An empty database and an empty broker; what a failed case left running ends."""
        for left in self.programs:
            left.process.kill()
            left.process.wait()
        self.programs = []
        self.sql("DO $$ BEGIN EXECUTE (SELECT 'TRUNCATE ' || string_agg(quote_ident(tablename), ', ') || ' CASCADE'"
                 " FROM pg_tables WHERE schemaname = 'decnet' AND tablename <> 'schema_version'); END $$")
        self.broker_start()

    def file(self, name, content):
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path


def first_difference(a, b):
    """Where two dumps differ, in words; None when they are equal."""
    if a == b:
        return None
    x, y = a.splitlines(), b.splitlines()
    for i in range(max(len(x), len(y))):
        left, right = (lines[i] if i < len(lines) else "nothing" for lines in (x, y))
        if left != right:
            return f"{len(x)} and {len(y)} lines; line {i + 1}:\n  {left[:1500]}\n  {right[:1500]}"
    return "only the ends of lines"


def expect_same_dump(a, b, what):
    difference = first_difference(a, b)
    expect(difference is None, f"{what}: the dumps differ:", difference)


def natural(event):
    """What an event says, without what names this telling of it."""
    said = {k: v for k, v in event["payload"].items() if k != "event_id"}
    return json.dumps([event["topic"], event["key"], said], sort_keys=True)


def event_ids(events):
    """Ids of these events, having checked that no event goes under two ids, no id says two things, and that header and
    payload agree."""
    by_said, by_id = {}, {}
    for e in events:
        id = e["payload"]["event_id"]
        expect_equal(e["headers"]["decnet-event-id"], id, "event id in header and payload")
        expect(by_said.setdefault(natural(e), id) == id, "one event under two ids:", natural(e), id)
        expect(by_id.setdefault(id, natural(e)) == natural(e), "two events under one id:", by_id[id], natural(e))
    return set(by_id)


def run_cases(cases):
    """Print TAP for functions without arguments; their names say what is true when they pass."""
    if wanted := sys.argv[1:]:
        expect(set(wanted) <= {case.__name__ for case in cases}, "no such case:", *wanted)
        cases = [case for case in cases if case.__name__ in wanted]
    print(f"1..{len(cases)}", flush=True)
    failed = 0
    for number, case in enumerate(cases, 1):
        started = time.monotonic()
        try:
            case()
            word = "ok"
        except Exception as e:
            word, failed = "not ok", failed + 1
            text = str(e) if isinstance(e, AssertionError) else traceback.format_exc()
            print("".join(f"# {line}\n" for line in text.splitlines()), end="")
            print("# at " + " < ".join(f"{f.name}:{f.lineno}" for f in reversed(traceback.extract_tb(e.__traceback__))))
        print(f"{word} {number} - {case.__name__}", flush=True)
        print(f"# {case.__name__}: {time.monotonic() - started:.1f} s", file=sys.stderr)
    sys.exit(1 if failed else 0)
