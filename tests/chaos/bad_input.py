"""Input as attackers, broken disks and old versions write it: what is good of it is stored, what is bad is named with
file and line, nothing crashes. Prints TAP."""
import gzip
import json
import random
from datetime import timedelta

from lab import Lab, event_ids, expect, expect_equal, expect_same_dump, run_cases
from logs import START, Log

IP = "198.51.100.77"
lab = Lab("badinput")


def line(**more):
    event = {"eventid": "cowrie.session.connect", "session": "0123456789ab", "src_ip": IP, "sensor": "edge-01",
             "protocol": "ssh", "timestamp": "2026-05-10T08:25:01.000000Z"}
    return json.dumps({k: v for k, v in (event | more).items() if v is not None}).encode()


def read(name, content, wanted=0, **options):
    return lab.ingest(lab.file(name, content), wanted=wanted, **options)


# Each: the line, and why it is refused.
BAD = (
    (b'{"eventid":"cowrie.session.connect","session":"0123', "not_json"),
    (b"plain text", "not_json"),
    (b'["cowrie.session.connect"]', "not_json"),
    (b"{} {}", "not_json"),
    (b"\x00" * 20, "not_json"),
    (b'{"a":' * 3000 + b"1" + b"}" * 3000, "not_json"),
    (line(eventid=None), "no_eventid"),
    (line(eventid=17), "no_eventid"),
    (line(eventid=""), "no_eventid"),
    (line(session=None), "no_session"),
    (line(session=["x"]), "no_session"),
    (line(timestamp="yesterday"), "bad_time"),
    (line(timestamp=None), "bad_time"),
    (line(timestamp=1778401501), "bad_time"),
    (line(timestamp="2026-13-40T08:25:01Z"), "bad_time"),
    (line(src_ip=None), "no_address"),
    (line(src_ip="not an address"), "no_address"),
    (line(src_ip={"ip": IP}), "no_address"),
    (line(input="x" * (1 << 20)), "too_long"),
)


def every_bad_line_is_named_and_the_good_ones_are_stored():
    good = [line(eventid="cowrie.login.failed", username=f"u{i}", password="p") for i in range(len(BAD) + 1)]
    content = b"".join(g + b"\n" + (BAD[i][0] + b"\n" if i < len(BAD) else b"") for i, g in enumerate(good))
    ended = read("bad.json", content)
    report = ended.json()
    expect_equal([report["lines"], report["new_lines"], report["bad_lines"]], [len(good), len(good), len(BAD)], "lines")
    for reason in {r for _, r in BAD}:
        expect_equal(report["bad"][reason], sum(r == reason for _, r in BAD), reason)
    for i, (_, reason) in enumerate(BAD):
        expect(f"bad.json: line {2 * i + 2}: bad line: {reason}" in ended.err, f"line {2 * i + 2} ({reason}) is not named:",
               ended.err)
    expect_equal(lab.count("logs", "event_type = 'auth_attempt'"), len(good), "rows")
    expect("yesterday" not in ended.err and "plain text" not in ended.err, "the content of a line is in the messages")


def only_the_first_bad_lines_of_a_kind_are_shown():
    ended = read("many.json", b"nonsense\n" * 25)
    expect_equal(ended.json()["bad"]["not_json"], 25, "counted")
    expect_equal(ended.err.count("bad line: not_json"), 10, "shown")
    expect("only counted" in ended.err, "no word on the rest:", ended.err)


# Text that arrives broken: as bytes of the line's string, and as what is to be stored.
REPAIRED = (
    (rb'a\u0000b', "a\ufffdb"), (b"a\x00b", "a\ufffdb"), (b"a\xffb", "a\ufffdb"), (b"a\xc3", "a\ufffd"),
    (rb"a\ud800b", "a\ufffdb"), (rb"a\udc00b", "a\ufffdb"), (b"a\xed\xa0\x80b", None), (rb"\ud83d\ude00", "\U0001f600"),
    (b"\xf0\x9f\x98\x80", "\U0001f600"), (rb"a\nb\tc", "a\nb\tc"), (b"\xc0\xafx", None), (b"' OR 1=1; --", "' OR 1=1; --"),
    (rb"\\x41 %s %n $1", r"\x41 %s %n $1"), ("\u202e\ufeffid".encode(), "\u202e\ufeffid"),
)


def broken_text_is_repaired_everywhere():
    lab.wipe()
    lines = [line()]
    for i, (raw, _) in enumerate(REPAIRED):
        lines.append(line(eventid="cowrie.command.input", input="@", timestamp=f"2026-05-10T08:26:{i:02d}Z").replace(b"@", raw))
        lines.append(line(eventid="cowrie.login.success", username="@", password="@", n=i,
                          timestamp=f"2026-05-10T08:27:{i:02d}Z").replace(b"@", raw))
        lines.append(line(eventid="cowrie.something.new", message="@", other="@", url="@", n=i,
                          timestamp=f"2026-05-10T08:28:{i:02d}Z").replace(b"@", raw))
    lines.append(line(eventid="cowrie.session.closed", timestamp="2026-05-10T08:29:00Z", duration=1.5))
    ended = read("text.json", b"\n".join(lines) + b"\n")
    bad = ended.json()["bad_lines"]
    stored = [r["command"] for r in lab.rows("SELECT command FROM session_command ORDER BY ordinal")]
    expect_equal(len(stored) * 3 + 2 + bad, len(lines), "lines stored and refused")
    expect_equal(bad % 3, 0, "the same text is taken or refused everywhere")
    for _, text in REPAIRED:
        expect(text is None or text in stored, f"{text!r} is not among {stored!r}")
    lab.worker()
    expect_equal([lab.count("dead_letter"), lab.count("event_outbox")], [0, 0], "dead letters, outbox rows")
    expect_equal(len(lab.events("attacker.session.ended")), 1, "events")


def addresses_and_times_in_all_forms():
    lab.wipe()
    forms = (("::ffff:198.51.100.23", "198.51.100.23"), ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"), ("fe80::1%eth0", "fe80::1"),
             ("198.51.100.24", "198.51.100.24"))
    for i, (given, _) in enumerate(forms):
        read(f"ip{i}.json", line(src_ip=given, session=f"{i:012x}", eventid="cowrie.command.input", input="id"))
    expect_equal({r["ip"] for r in lab.rows("SELECT ip FROM attackers")}, {c for _, c in forms}, "addresses")
    expect_equal({e["key"] for e in lab.events("attacker.session.ended")}, {c for _, c in forms}, "keys of the events")
    times = (("2026-05-10T10:25:01.5+0200", "2026-05-10T08:25:01.5+00:00"), ("2026-05-10T10:25:02+02:00", "2026-05-10T08:25:02+00:00"),
             ("2026-05-10T08:25:03.123456789Z", "2026-05-10T08:25:03.123456+00:00"), ("2026-05-10T08:25:04", "2026-05-10T08:25:04+00:00"))
    read("times.json", b"".join(line(timestamp=t, session="abcdefabcdef") + b"\n" for t, _ in times))
    got = lab.rows("SELECT \"timestamp\" AS t FROM logs WHERE raw_line LIKE '%abcdefabcdef%' AND raw_line <> '' ORDER BY 1")
    expect_equal([r["t"] for r in got], [t for _, t in times], "times")


def odd_but_right_lines_are_taken():
    lab.wipe()
    lines = (line(message=[]), line(eventid="cowrie.unheard.of", extra={"a": [1, 2]}), line(src_port="many", dst_port=-5),
             line(eventid="cowrie.session.closed", duration="12.5"), line(eventid="cowrie.session.closed", duration=[1]),
             line(eventid="cowrie.login.failed", username=None, password=5), line(eventid="cowrie.command.input", input=7),
             line(eventid="cowrie.command.input", input="   "), line(eventid="cowrie.session.file_download", shasum="zz", url=9),
             line(eventid="cowrie.client.kex", hassh=[], kexAlgs="x"), line(sensor=None), line(sensor="Ünï cöde/\u0001"),
             line(protocol="gopher"), b"", b"   ", line(eventid="cowrie.direct-tcpip.request", dst_ip="h" * 100000))
    report = read("odd.json", b"\r\n".join(lines)).json()
    expect_equal([report["bad_lines"], report["lines"]], [0, len(lines) - 2], "lines")
    expect_equal(lab.count("logs", "raw_line <> ''"), len(lines) - 2, "rows")
    lab.worker()


def command_of_almost_a_mebibyte():
    lab.wipe()
    long = "uname -a; " + "é" * 500000
    read("long.json", line() + b"\n" + line(eventid="cowrie.command.input", input="@").replace(b"@", long.encode()) + b"\n")
    row = lab.rows("SELECT octet_length(command) AS n, truncated, command FROM session_command")[0]
    expect(65533 <= row["n"] <= 65536 and row["truncated"] and row["command"] == long[:len(row["command"])], row["n"])
    lab.worker()
    tag = lab.rows("SELECT evidence, technique_id FROM ttp_tag")
    expect_equal([t["technique_id"] for t in tag], ["T1082"], "tags of the long command")
    expect(tag[0]["evidence"]["truncated"] is True and len(json.dumps(tag[0]["evidence"])) < 17000 * 6, "evidence")


def session_with_thirty_thousand_commands():
    lab.wipe()
    n, log = 30000, Log()
    session = log.open(IP)
    for i in range(n):
        log.command(session, IP, f"echo {'x' * (2000 if i < 1500 else 3)} {i}; uname -a")
    log.close(session, IP)
    read("big.json", log.bytes())
    expect_equal(lab.count("session_command"), n, "commands")
    parts = sorted((e for e in lab.events("attacker.session.ended")), key=lambda e: e["payload"]["part"])
    expect_equal(len(event_ids(parts)), len(parts), "event ids")
    expect_equal([p["payload"]["part"] for p in parts], list(range(1, len(parts) + 1)), "parts")
    expect_equal({p["payload"]["parts"] for p in parts}, {len(parts)}, "number of parts")
    expect(all(len(p["payload"]["commands"]) <= 5000 and len(p["value"].encode()) <= 900 * 1024 for p in parts), "too large")
    expect(min(len(p["payload"]["commands"]) for p in parts) < 1000, "the long commands did not split a part")
    ids = [c["id"] for p in parts for c in p["payload"]["commands"]]
    sid = parts[0]["payload"]["session_id"]
    expect_equal(ids, [f"{sid}#{i}" for i in range(n)], "ordinals over the parts")
    lab.worker()
    got = lab.rows("SELECT source_id FROM ttp_tag WHERE technique_id = 'T1082'")
    expect_equal({t["source_id"] for t in got}, set(ids), "commands that are tagged")
    expect_equal(lab.count("dead_letter"), 0, "dead letters")


def lines_in_any_order_and_twice():
    """Nobody promises order: nothing is lost, nothing counted twice, nothing crashes when clocks jump."""
    lab.wipe()
    log = Log()
    for i in range(60):
        log.session(f"203.0.113.{i % 7 + 1}", "uname -a", f"echo {i}")
        log.wait(-7200 if i % 10 == 5 else 86400 * 400 if i == 31 else -86400 * 400 if i == 33 else 3)
    shuffled = log.lines[:]
    random.Random(4).shuffle(shuffled)
    doubled = [text for text in shuffled for _ in range(2)]
    report = read("order.json", "".join(t + "\n" for t in doubled), **{}).json()
    expect_equal([report["lines"], report["new_lines"]], [len(doubled), len(shuffled)], "lines")
    expect_equal(lab.count("logs", "raw_line <> ''"), len(shuffled), "rows")
    expect_equal(lab.count("session_command"), 120, "commands")
    expect_equal(lab.value("SELECT sum(event_count) FROM attackers"), len(shuffled), "events of attackers")
    expect_equal(lab.count("attacker_session", "pending OR commands_sent < commands"), 0, "sessions left behind")
    events = lab.events("attacker.session.ended")
    event_ids(events)
    told = [c["id"] for e in events for c in e["payload"]["commands"]]
    expect(len(told) == len(set(told)) == 120, "commands announced", len(told), len(set(told)))
    lab.worker()
    expect(lab.count("ttp_tag") >= 60, "tags", lab.count("ttp_tag"))


def session_that_comes_back():
    """A line for a session that was announced: a further part, with only what is new."""
    lab.wipe()
    log = Log()
    session = log.session(IP, "id")
    first = log.bytes()
    log.lines.clear()
    log.wait(5000)
    log.command(session, IP, "uname -a").close(session, IP)
    read("first.json", first)
    read("second.json", log.bytes())
    parts = [e["payload"] for e in lab.events("attacker.session.ended")]
    sid = parts[0]["session_id"]
    expect_equal(sorted(c["id"] for p in parts for c in p["commands"]), [f"{sid}#0", f"{sid}#1"], "commands over both")
    expect_equal(len(parts), 2, "events")
    lab.worker()
    expect_equal(sorted(t["source_id"] for t in lab.rows("SELECT DISTINCT source_id FROM ttp_tag")), [f"{sid}#0", f"{sid}#1"],
                 "tagged commands")


def files_that_are_none():
    lab.wipe()
    log = Log()
    for i in range(300):
        log.session(IP, f"echo {i}")
    packed = gzip.compress(log.bytes())
    cut = read("cut.json.gz", packed[:len(packed) * 2 // 3], wanted=1)
    expect("cut.json.gz: cannot be read on behind byte" in cut.err and "gzip" in cut.err, cut.err)
    stored = lab.count("logs")
    expect(stored > 0, "nothing of the whole part was stored")
    (lab.folder / "cut.json.gz").write_bytes(packed)  # the copy was still running; now it is whole
    lab.ingest(lab.folder / "cut.json.gz")
    dump = lab.dump()
    lab.wipe()
    read("whole.json", log.bytes())
    expect_same_dump(dump, lab.dump(), "a cut file read again when it is whole")
    damaged = bytearray(packed)
    damaged[len(packed) // 2] ^= 0xff
    expect("gzip" in read("damaged.json.gz", bytes(damaged), wanted=1).err, "damaged data")
    for content, name in ((b"", "empty.json"), (gzip.compress(b""), "empty.json.gz"), (b"\n\n\n", "lines.json")):
        expect_equal(read(name, content).json()["lines"], 0, name)
    missing = lab.ingest(lab.folder / "missing.json", wanted=1)
    expect("missing.json: No such file" in missing.err, missing.err)
    empty = lab.folder / "empty-folder"
    empty.mkdir()
    expect("no *.json" in lab.ingest(empty, wanted=1).err, "an empty folder")
    for argv in (("--batch", "0", "x"), ("--idle-timeout", "soon", "x"), ("--session-events", "some", "x"), (), ("--follow", "a", "b")):
        expect(lab.ingest_spawn(*argv).end(2).err.startswith("decnetctl ingest:"), argv)


def whole_file_without_its_last_line_end():
    lab.wipe()
    log = Log()
    log.session(IP, "id")
    read("noend.json", log.bytes()[:-1])
    expect_equal(lab.count("logs", "raw_line <> ''"), len(log.lines), "rows")
    expect_equal(len(lab.events("attacker.session.ended")), 1, "events")


def hours_apart():
    """Idle sessions end by the log's time, not by ours."""
    lab.wipe()
    log = Log()
    silent = log.open(IP)
    log.command(silent, IP, "id")
    log.now = START + timedelta(hours=5)
    log.session("203.0.113.200", "id")
    report = lab.ingest("--idle-timeout", "3600", lab.file("idle.json", log.bytes())).json()
    expect_equal([report["sessions"], report["announced"]], [2, 2], "sessions")
    ended = lab.rows("SELECT ended_reason FROM attacker_session ORDER BY started_at")
    expect_equal([r["ended_reason"] for r in ended], ["idle", "closed"], "why they ended")


run_cases([every_bad_line_is_named_and_the_good_ones_are_stored, only_the_first_bad_lines_of_a_kind_are_shown,
           broken_text_is_repaired_everywhere, addresses_and_times_in_all_forms, odd_but_right_lines_are_taken,
           command_of_almost_a_mebibyte, session_with_thirty_thousand_commands, lines_in_any_order_and_twice,
           session_that_comes_back, files_that_are_none, whole_file_without_its_last_line_end, hours_apart])
