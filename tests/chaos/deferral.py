"""Events that come before their attacker, attackers that go, events delivered again, and what is announced of tags.
Prints TAP."""
import threading
import time
import uuid

from lab import TTP_TOPICS, Lab, Session, event_ids, expect, expect_equal, run_cases, wait_until

NS_ATTACKER = uuid.uuid5(uuid.NAMESPACE_URL, "decnet:attacker:v1")
SESSION = "7c1f2a9e-4b6d-4d0f-8000-000000000001"
lab = Lab("deferral")


def session_event(sid, ip, commands):
    """attacker.session.ended as another producer may write it, with the keys it must have."""
    return {"topic": "attacker.session.ended", "key": ip, "value": {
        "session_id": sid, "attacker_uuid": None, "attacker_ip": ip, "decky_id": "omega-decky", "service": "ssh",
        "ended_at": "2026-05-10T08:31:07.000000Z", "duration_s": 142.6, "shard_path": None,
        "commands": [{"id": f"{sid}#{i}", "command_text": text, "ts": "2026-05-10T08:30:00Z"}
                     for i, text in enumerate(commands)]}}


def attacker_row(ip):
    lab.sql(f"INSERT INTO attackers (uuid, ip, first_seen, last_seen) VALUES ('{uuid.uuid5(NS_ATTACKER, ip)}', '{ip}', now(), now())")


def announced():
    events = lab.events(*TTP_TOPICS)
    event_ids(events)
    return [e for e in events if e["topic"] == "ttp.tagged"], [e for e in events if e["topic"] == "ttp.rule.fired"]


def unknown_attacker_is_deferred_and_tagged_once_the_row_is_there():
    lab.produce([session_event(SESSION, "203.0.113.45", ["id", "uname -a"]), session_event("another", "203.0.113.46", ["id"])])
    ended = lab.worker()
    expect("2 deferred events are not yet due" in ended.err, "no word on what waits:", ended.err)
    expect_equal([lab.count("deferred_event"), lab.count("ttp_tag"), lab.count("dead_letter")], [2, 0, 0], "before the row")
    worker = lab.worker_spawn().said("started")
    time.sleep(3)  # one more try, after 2 s, that fails
    expect_equal([lab.count("deferred_event"), lab.count("ttp_tag")], [2, 0], "still without the row")
    attacker_row("203.0.113.45")
    started = time.monotonic()
    wait_until(lambda: lab.count("ttp_tag") == 2, "the tags of the deferred session", 10)
    print(f"# tagged {time.monotonic() - started:.1f} s after the row appeared")
    expect(time.monotonic() - started < 4, "it took longer than a look every second")
    worker.terminate()
    expect_equal([lab.count("deferred_event"), lab.count("dead_letter")], [1, 0], "the other one still waits")
    lab.worker()
    expect_equal([lab.count("ttp_tag"), len(announced()[0])], [2, 1], "tags and announcements in the end")


def waiting_for_ever_ends_as_a_dead_letter():
    """The clock of the database is turned forward through all tries."""
    lab.sql("CREATE OR REPLACE FUNCTION decnet_now() RETURNS timestamptz LANGUAGE sql VOLATILE PARALLEL SAFE AS"
            " $$ SELECT clock_timestamp() + interval '2 hours' * (SELECT coalesce(max(attempts), 0) + 1 FROM deferred_event) $$")
    lab.sql("GRANT SELECT ON deferred_event TO PUBLIC")
    for _ in range(7):
        lab.worker()
    dead = lab.rows("SELECT reason, attempts, encode(key, 'escape') AS key FROM dead_letter")
    expect_equal([(d["reason"], d["key"]) for d in dead], [("unresolved_attacker", "203.0.113.46")], "dead letters")
    expect_equal(lab.count("deferred_event"), 0, "deferred events")
    letters = lab.events("dlq.ttp")
    expect_equal([(e["key"], e["headers"]["decnet-error"], e["payload"]["attacker_ip"]) for e in letters],
                 [("203.0.113.46", "unresolved_attacker", "203.0.113.46")], "dlq.ttp")
    lab.sql("CREATE OR REPLACE FUNCTION decnet_now() RETURNS timestamptz LANGUAGE sql VOLATILE PARALLEL SAFE AS"
            " 'SELECT clock_timestamp()'")


def attacker_that_comes_and_goes_is_never_a_dead_letter():
    """Rows of attackers are deleted and made again while their sessions are tagged: between look-up and insert too."""
    lab.wipe()
    ips = [f"198.18.9.{i}" for i in range(1, 41)]
    for ip in ips:
        attacker_row(ip)
    lab.produce([session_event(f"s-{n}-{ip}", ip, ["id", "uname -a"]) for n in range(15) for ip in ips])
    stop = threading.Event()

    def come_and_go():
        while not stop.is_set():
            lab.sql("DELETE FROM attackers WHERE ctid IN (SELECT ctid FROM attackers ORDER BY random() LIMIT 20)")
            lab.sql("INSERT INTO attackers (uuid, ip, first_seen, last_seen) SELECT uuid, ip, now(), now() FROM (VALUES "
                    + ",".join(f"('{uuid.uuid5(NS_ATTACKER, ip)}'::uuid, '{ip}')" for ip in ips)
                    + ") v (uuid, ip) ON CONFLICT DO NOTHING")

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        lab.worker(DECNET_BATCH_RECORDS=5)
    finally:
        stop.set()
        thread.join()
    lab.sql("INSERT INTO attackers (uuid, ip, first_seen, last_seen) SELECT uuid, ip, now(), now() FROM (VALUES "
            + ",".join(f"('{uuid.uuid5(NS_ATTACKER, ip)}'::uuid, '{ip}')" for ip in ips) + ") v (uuid, ip)"
            " ON CONFLICT DO NOTHING")
    lab.worker()
    expect_equal([lab.count("dead_letter"), lab.count("deferred_event")], [0, 0], "dead letters and deferrals")
    # Tags of an attacker that was deleted went with it; one that stays is tagged by what is delivered now.
    lab.produce([session_event(f"last-{ip}", ip, ["id"]) for ip in ips])
    lab.worker()
    expect_equal(lab.count("ttp_tag", "source_id LIKE 'last-%'"), len(ips), "tags of what came last")


def row_that_goes_between_look_up_and_insert():
    """Deterministic: the delete is held open while the worker inserts, so the foreign key is what notices."""
    lab.wipe()
    attacker_row("203.0.113.47")
    holder = Session(lab)
    lab.produce([session_event(SESSION, "203.0.113.47", ["id"])])
    holder.run("BEGIN; DELETE FROM attackers WHERE ip = '203.0.113.47'")
    worker = lab.worker_spawn("--once")
    looker = Session(lab)
    wait_until(lambda: looker.run("SELECT 1 FROM pg_locks WHERE NOT granted"), "the worker waiting for the row")
    holder.run("COMMIT")
    worker.end()
    expect_equal([lab.count("dead_letter"), lab.count("ttp_tag"), lab.count("deferred_event")], [0, 0, 1], "after the delete")
    attacker_row("203.0.113.47")
    lab.worker()
    expect_equal([lab.count("dead_letter"), lab.count("ttp_tag"), lab.count("deferred_event")], [0, 1, 0], "after it is back")
    holder.close()
    looker.close()


def five_deliveries_one_announcement():
    lab.wipe()
    attacker_row("203.0.113.45")
    event = session_event(SESSION, "203.0.113.45", ["id", "cat /etc/passwd", "history -c", "ls"])
    lab.produce([event, event])
    lab.worker(DECNET_BATCH_RECORDS=1)
    lab.produce([event])
    lab.worker()
    lab.produce([event, event])
    lab.worker()
    expect_equal(lab.value("SELECT sum(next_offset) FROM consumer_position"), 5, "records that were read")
    tagged, fired = announced()
    expect_equal(len(tagged), 1, "ttp.tagged")
    p, ip_uuid = tagged[0]["payload"], str(uuid.uuid5(NS_ATTACKER, "203.0.113.45"))
    tags = lab.rows("SELECT * FROM ttp_tag")
    expect_equal(sorted(p["tag_uuids"]), sorted(t["uuid"] for t in tags), "tag_uuids")
    expect_equal(p["techniques_added"], sorted({t["technique_id"] for t in tags}), "techniques_added")
    expect_equal([p["attacker_uuid"], p["identity_uuid"], p["session_id"], tagged[0]["key"]],
                 [ip_uuid, None, SESSION, ip_uuid], "anchors and key")
    expect_equal([e["payload"]["technique_id"] for e in sorted(fired, key=lambda e: e["payload"]["technique_id"])],
                 p["techniques_added"], "one ttp.rule.fired for each technique")
    by_id = {t["uuid"]: t for t in tags}
    for e in fired:
        f = e["payload"]
        expect_equal([e["key"], e["headers"]["decnet-topic"], e["headers"]["decnet-event-type"]],
                     [f["technique_id"], "ttp.rule.fired." + f["technique_id"], "ttp.rule.fired"], "key and topic")
        expect_equal([f["attacker_uuid"], f["session_id"]], [ip_uuid, SESSION], "anchors")
        expect_equal(sorted(t["tag_uuid"] for t in f["tags"]), sorted(f["tag_uuids"]), "details and ids")
        for t in f["tags"]:
            row = by_id[t["tag_uuid"]]
            expect_equal([t.get(k) for k in ("rule_id", "tactic", "technique_id", "sub_technique_id", "confidence")],
                         [row[k] for k in ("rule_id", "tactic", "technique_id", "sub_technique_id", "confidence")], "detail")


def one_more_command_announces_only_its_own_tags():
    first = {t["uuid"] for t in lab.rows("SELECT uuid FROM ttp_tag")}
    lab.produce([session_event(SESSION, "203.0.113.45", ["id", "cat /etc/passwd", "history -c", "ls", "uname -a"])])
    lab.worker()
    new = {t["uuid"] for t in lab.rows("SELECT uuid FROM ttp_tag")} - first
    tagged, _ = announced()
    expect(new, "no new tag")
    expect_equal([set(e["payload"]["tag_uuids"]) for e in tagged if not set(e["payload"]["tag_uuids"]) <= first], [new],
                 "tags of the second announcement")


def more_than_a_thousand_tags_are_split():
    lab.wipe()
    attacker_row("203.0.113.45")
    lab.produce([session_event(SESSION, "203.0.113.45", ["uname -a"] * 2500)])
    lab.worker()
    tags = {t["uuid"] for t in lab.rows("SELECT uuid FROM ttp_tag")}
    expect_equal(len(tags), 2500, "tags")
    tagged, fired = announced()
    for events in (tagged, fired):
        sizes = sorted(len(e["payload"]["tag_uuids"]) for e in events)
        expect_equal(sizes, [500, 1000, 1000], "tags in each event")
        listed = [u for e in events for u in e["payload"]["tag_uuids"]]
        expect(set(listed) == tags and len(listed) == len(tags), "each tag in one event")
        expect(all(len(e["value"]) < 900 * 1024 for e in events), "an event is too large")
        expect_equal(len({e["payload"]["event_id"] for e in events}), 3, "ids")


run_cases([unknown_attacker_is_deferred_and_tagged_once_the_row_is_there, waiting_for_ever_ends_as_a_dead_letter,
           row_that_goes_between_look_up_and_insert, attacker_that_comes_and_goes_is_never_a_dead_letter,
           five_deliveries_one_announcement, one_more_command_announces_only_its_own_tags,
           more_than_a_thousand_tags_are_split])
