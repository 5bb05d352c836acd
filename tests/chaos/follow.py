"""A log followed while it grows, is rotated, truncated, or not there: the same as if it had been read as a whole.
Prints TAP."""
import gzip
import random
import time

from lab import INGEST_TOPICS, SAMPLE, Lab, Session, event_ids, expect, expect_equal, expect_same_dump, run_cases, wait_until
from logs import Log

IDLE = ("--idle-timeout", "600", "--grace", "30")
content = gzip.decompress(SAMPLE.read_bytes())
lab = Lab("follow")
looker = Session(lab)
path = lab.folder / "cowrie.json"
reference = {}


def stored():
    return int(looker.run("SELECT count(*) FROM logs WHERE raw_line <> ''")[0])


def wait_stored(n):
    wait_until(lambda: stored() >= n, f"{n} stored lines", program=lab.programs[-1])
    expect_equal(stored(), n, "stored lines")


def follow(*more):
    return lab.ingest_spawn("--follow", *IDLE, "--batch", "50", "--batch-wait-ms", "50", *more, path)


def finish(dump=None):
    """End what is open as the end of a file does, so that dumps can be compared."""
    lab.ingest(*IDLE, path)
    expect_same_dump(dump or reference["dump"], lab.dump(), "followed and read as a whole")


def fresh():
    for old in lab.folder.glob("cowrie.json*"):
        old.unlink()
    lab.wipe()


def whole_file_at_once():
    path.write_bytes(content)
    lab.ingest(*IDLE, path)
    reference["dump"] = lab.dump()
    reference["events"] = event_ids(lab.events(*INGEST_TOPICS))
    reference["lines"] = len(content.splitlines())


def grows_in_pieces_cut_anywhere():
    """Also in the middle of a character of several bytes; a piece without a line end is not a line yet."""
    fresh()
    log = Log()
    for i in range(40):
        log.session(f"198.51.100.{i}", "echo @", "id")
    text = content + log.bytes().replace(b"@", ("é☃\U0001f600" * 20).encode())
    cuts = random.Random(11)
    path.write_bytes(b"")
    ingest = follow()
    at = 0
    with open(path, "ab", buffering=0) as f:
        while at < len(text):
            n = cuts.choice((1, 2, 3, 700, 5000, 40000, 90000))
            f.write(text[at:at + n])
            at += n
            time.sleep(cuts.choice((0, 0, 0.01)))
        wait_stored(len(text.splitlines()))
    ingest.terminate()
    lab.ingest(*IDLE, path)
    grown = lab.dump()
    fresh()
    path.write_bytes(text)
    lab.ingest(*IDLE, path)
    expect_same_dump(lab.dump(), grown, "grown in pieces and read at once")


def line_without_its_end_waits():
    fresh()
    lines = content.splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:10]) + lines[10][:-5])
    ingest = follow()
    wait_stored(10)
    time.sleep(1.5)
    expect_equal(stored(), 10, "stored lines before the end of the line came")
    with open(path, "ab") as f:
        f.write(lines[10][-5:])
    wait_stored(11)
    ingest.terminate()


def rotated_by_rename_in_the_middle():
    """Twice; the writer still writes to the old file for a moment after the new one is there."""
    fresh()
    lines = content.splitlines(keepends=True)
    a, b = len(lines) // 3, 2 * len(lines) // 3
    path.write_bytes(b"".join(lines[:a - 20]))
    ingest = follow()
    wait_stored(a - 20)
    for begin, end, name in ((a, b, "cowrie.json.1"), (b, len(lines), "cowrie.json.2")):
        old = open(path, "ab")
        path.rename(lab.folder / name)
        path.write_bytes(b"".join(lines[begin:end - 20 if end < len(lines) else end]))
        time.sleep(0.3)
        old.write(b"".join(lines[begin - 20:begin]))
        old.close()
        wait_stored(end - 20 if end < len(lines) else end)
    ingest.terminate()
    finish()
    ids = event_ids(lab.events(*INGEST_TOPICS))
    expect_equal(len(reference["events"] ^ ids), 0, "event ids that differ")


def rotated_while_nobody_followed():
    fresh()
    lines = content.splitlines(keepends=True)
    half = len(lines) // 2
    path.write_bytes(b"".join(lines[:half - 300]))
    ingest = follow()
    wait_stored(half - 300)
    ingest.terminate()
    with open(path, "ab") as f:
        f.write(b"".join(lines[half - 300:half]))
    path.rename(lab.folder / "cowrie.json.2026-05-11")
    path.write_bytes(b"".join(lines[half:]))
    ingest = follow()
    wait_stored(len(lines))
    expect("finishing that first" in ingest.err, "no word on the rotated file:", ingest.err)
    ingest.terminate()
    finish()


def rotated_several_times_while_nobody_followed():
    """One file half read, two never read (one of them packed), and the new one is not there yet at the start."""
    fresh()
    lines = content.splitlines(keepends=True)
    cuts = [len(lines) * i // 4 for i in range(5)]
    path.write_bytes(b"".join(lines[:cuts[1] - 200]))
    ingest = follow()
    wait_stored(cuts[1] - 200)
    ingest.terminate()
    with open(path, "ab") as f:
        f.write(b"".join(lines[cuts[1] - 200:cuts[1]]))
    path.rename(lab.folder / "cowrie.json.2026-05-10")
    (lab.folder / "cowrie.json.2026-05-11.gz").write_bytes(gzip.compress(b"".join(lines[cuts[1]:cuts[2]])))
    (lab.folder / "cowrie.json.2026-05-12").write_bytes(b"".join(lines[cuts[2]:cuts[3]]))
    ingest = follow().said("waiting for it")
    lab.file("new", b"".join(lines[cuts[3]:])).rename(path)
    wait_stored(len(lines))
    expect("was never read" in ingest.err, "no word on files that were missed:", ingest.err)
    ingest.terminate()
    finish()


def followed_file_that_is_gone_is_named():
    fresh()
    lines = content.splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:500]))
    ingest = follow()
    wait_stored(500)
    ingest.terminate()
    path.unlink()
    path.write_bytes(b"".join(lines[500:700]))
    ingest = follow().said("not beside it any more")
    wait_stored(700)
    ingest.terminate()


def killed_and_followed_again():
    fresh()
    lines = content.splitlines(keepends=True)
    path.write_bytes(b"")
    for part in range(6):
        ingest = follow()
        with open(path, "ab") as f:
            f.write(b"".join(lines[part * len(lines) // 6:(part + 1) * len(lines) // 6]))
        wait_until(lambda: stored() > part * len(lines) // 6 + 20, "some lines")
        expect(ingest.kill(), "the follower ended by itself:", ingest.err)
    ingest = follow()
    wait_stored(len(lines))
    ingest.terminate()
    finish()
    expect_equal(len(reference["events"] ^ event_ids(lab.events(*INGEST_TOPICS))), 0, "event ids that differ")


def truncated_in_place_is_warned_about():
    fresh()
    lines = content.splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:1000]))
    ingest = follow()
    wait_stored(1000)
    with open(path, "wb") as f:
        f.write(b"".join(lines[1000:1400]))
    ingest.said("copytruncate")
    wait_stored(1400)
    with open(path, "ab") as f:
        f.write(b"".join(lines[1400:1500]))
    wait_stored(1500)
    ingest.terminate()


def file_that_does_not_exist_yet():
    fresh()
    ingest = follow().said("waiting for it")
    path.write_bytes(b"")
    time.sleep(0.3)
    path.write_bytes(content[:50000].rpartition(b"\n")[0] + b"\n")
    wait_stored(content[:50000].count(b"\n"))
    ingest.terminate()
    missing = lab.ingest_spawn("--follow", lab.folder / "no" / "folder" / "cowrie.json").said("waiting for it")
    missing.terminate()


def idle_sessions_are_announced_while_it_follows():
    fresh()
    log = Log()
    session = log.open("198.51.100.9")
    log.command(session, "198.51.100.9", "id").wait(700)
    log.session("198.51.100.10", "id")
    path.write_bytes(log.bytes())
    ingest = follow()
    wait_until(lambda: looker.run("SELECT 1 FROM attacker_session WHERE ended_reason = 'idle' AND parts_sent = 1"), "it ending")
    wait_until(lambda: lab.events("attacker.session.ended"), "its event")
    started = time.monotonic()
    ingest.terminate()
    expect(time.monotonic() - started < 5, "SIGTERM took more than 5 s")
    expect_equal(lab.count("event_outbox"), 0, "rows left in the outbox")


run_cases([whole_file_at_once, grows_in_pieces_cut_anywhere, line_without_its_end_waits, rotated_by_rename_in_the_middle,
           rotated_while_nobody_followed, rotated_several_times_while_nobody_followed,
           followed_file_that_is_gone_is_named, killed_and_followed_again, truncated_in_place_is_warned_about,
           file_that_does_not_exist_yet, idle_sessions_are_announced_while_it_follows])
