"""What operators get of attribution: decnetctl observe tells the same events as the worker, decnetctl attribution shows and
mends. Prints TAP."""
import re
import uuid

from lab import SAMPLE, Lab, event_ids, expect, expect_equal, expect_same_dump, run_cases

NS_ATTACKER = uuid.uuid5(uuid.NAMESPACE_URL, "decnet:attacker:v1")
NS_IDENTITY = uuid.uuid5(uuid.NAMESPACE_URL, "decnet:identity:v1")
EVER = "--since=2000-01-01"
STATE_KEYS = {"primitive", "current_value", "state", "confidence", "observation_count", "last_change_ts",
              "last_observation_ts", "value_kind", "history"}
lab = Lab("attribution_tool")
live = {}


def attribute(*argv, **more):
    return lab.worker(*argv, name="attribution", **more)


def admin(*argv, wanted=0, **more):
    return lab.ctl(*argv, role="decnet_admin", wanted=wanted, **more)


def observe(*argv, wanted=0, **more):
    return admin("observe", "--json", *argv, wanted=wanted, **more)


def show(*argv):
    return admin("attribution", "show", "--json", *argv).json()


def attacker(ip):
    """Its uuid and that of the identity that it founds; the row is made if it is missing."""
    who = str(uuid.uuid5(NS_ATTACKER, ip))
    lab.sql(f"INSERT INTO attackers (uuid, ip, first_seen, last_seen) VALUES ('{who}', '{ip}', now(), now())"
            " ON CONFLICT DO NOTHING")
    return who, str(uuid.uuid5(NS_IDENTITY, who))


def feed(who, primitive, values, start=1000.0, ref="s", **more):
    lab.produce([{"topic": "attacker.observation", "key": who, "value": {
        "attacker_uuid": who, "primitive": primitive, "value": value, "ts": start + 60 * i, "evidence_ref": f"{ref}{i}",
        "confidence": 0.5, "source": "test", "v": 1} | more} for i, value in enumerate(values)])


def told():
    """Observations as they were published: what each says, under which id."""
    events = lab.events("attacker.observation")
    event_ids(events)
    return {e["payload"]["event_id"]: (e["key"], e["headers"]["decnet-topic"], e["payload"]) for e in events}


def history_tells_what_the_live_worker_told():
    lab.ingest(SAMPLE)
    attribute()
    live["told"], live["dump"] = told(), lab.dump()
    expect(len(live["told"]) > 1500, "observations:", len(live["told"]))
    lab.wipe()
    lab.ingest(SAMPLE)
    lab.broker_start()  # forgets what the ingester announced
    lab.sql("DELETE FROM consumer_position")
    counted = observe(EVER, "--dry-run").json()
    expect_equal([counted["new"], counted["dry_run"], counted["stored_already"]], [len(live["told"]), True, 0], "counted")
    expect_equal([lab.count("event_outbox"), lab.events("attacker.observation")], [0, []], "published by a dry run")
    report = observe(EVER).json()
    expect_equal({**report, "dry_run": True}, counted, "report")
    expect_equal(told(), live["told"], "events")
    expect_equal(lab.count("event_outbox"), 0, "left in the outbox")
    attribute()
    expect_same_dump(live["dump"], lab.dump(), "from history")


def what_is_stored_is_not_told_again():
    report = observe(EVER).json()
    expect_equal([report["new"], report["stored_already"]], [0, len(live["told"])], "second run")
    expect_equal(len(lab.events("attacker.observation")), len(live["told"]), "events")
    one, two = lab.rows("SELECT evidence_ref, primitive FROM observations ORDER BY id LIMIT 2")
    lab.sql(f"DELETE FROM observations WHERE (evidence_ref, primitive) = ('{one['evidence_ref']}', '{one['primitive']}');"
            f" UPDATE observations SET value = '\"other\"', ts = ts - 1"
            f" WHERE (evidence_ref, primitive) = ('{two['evidence_ref']}', '{two['primitive']}')")
    expect_equal(observe(EVER).json()["new"], 2, "one that is gone and one that is another")


def times_choose_sessions():
    ends = [row["ended_at"] for row in lab.rows(
        "SELECT ended_at FROM attacker_session WHERE parts_sent > 0 ORDER BY ended_at, sid")]
    middle = ends[len(ends) // 2]
    count = [observe(*words, "--dry-run").json()["sessions"]
             for words in ((EVER,), (EVER, f"--until={middle}"), (f"--since={middle}",), ("--since=2999-01-01",))]
    expect_equal([count[0], count[1] + count[2], count[3]], [len(ends), len(ends), 0], "sessions")
    expect_equal(count[1], sum(end < middle for end in ends), "sessions before the middle")
    for words in ((), ("--since=yesterday",), (EVER, "--until=2000-01-01"), (EVER, "--until=x"), (EVER, "more")):
        expect_equal(observe(*words, wanted=2).out, "", f"output of {words}")


def split_and_unannounced_sessions():
    lab.wipe()
    who, _ = attacker("203.0.113.1")

    def session(sid, commands, **columns):
        row = {"sid": f"'{sid}'", "attacker_uuid": f"'{who}'", "src_ip": "'203.0.113.1'", "decky": "'d'", "service": "'ssh'",
               "origin": "'o'", "origin_session": "'s'", "started_at": "'2026-01-01'", "last_event_at": "'2026-01-01 00:10'",
               "ended_at": "'2026-01-01 00:10'", "ended_reason": "'closed'", "duration_s": 600, "commands": commands,
               "parts_sent": 1, "pending": False} | columns
        lab.sql(f"INSERT INTO attacker_session ({', '.join(row)}) VALUES ({', '.join(map(str, row.values()))});"
                " INSERT INTO session_command (sid, ordinal, ts, command, source_event_id) SELECT"
                f" '{sid}', n, '2026-01-01'::timestamptz + n * interval '100 ms', 'uname -' || n, gen_random_uuid()"
                f" FROM generate_series(0, {commands} - 1) n")

    session(uuid.uuid4(), 2500, parts_sent=2)  # more than a page of commands
    session(uuid.uuid4(), 0, parts_sent=0)
    session(uuid.uuid4(), 3, pending=True)
    session(uuid.uuid4(), 3, ended_at="NULL", pending=True)
    report = observe(EVER).json()
    expect_equal(report["sessions"], 1, "sessions")
    seen = {topic.removeprefix("attacker.observation."): payload["value"] for _, topic, payload in told().values()}
    expect_equal([seen["temporal.session_duration"], seen["cognitive.inter_command_latency_class"],
                  seen["cognitive.exploration_style"]], ["long", "instant", "targeted"], "observations")


def many_pages_are_walked_once():
    lab.wipe()
    who, _ = attacker("203.0.113.2")
    lab.sql("INSERT INTO attacker_session (sid, attacker_uuid, src_ip, decky, service, origin, origin_session, started_at,"
            " last_event_at, ended_at, ended_reason, duration_s, parts_sent, pending) SELECT gen_random_uuid(),"
            f" '{who}', '203.0.113.2', 'd', 'ssh', 'o', 's', '2026-01-01', '2026-01-01 00:10', '2026-01-01 00:10', 'closed',"
            " 600, 1, false FROM generate_series(1, 1001)")
    report = observe(EVER).json()
    expect_equal([report["sessions"], report["new"]], [1001, 1001], "sessions that ended at the same time")
    expect_equal(len(told()), 1001, "events")


def no_broker_and_no_topic():
    lab.broker_stop()
    result = observe(EVER, wanted=1)
    expect("does not answer" in result.err and "Nothing was published" in result.err, result.err)
    expect_equal(lab.count("event_outbox"), 0, "outbox")
    observe(EVER, "--dry-run")
    lab.broker_start()
    result = observe(EVER, wanted=78, DECNET_KAFKA_TOPIC_PREFIX="other.")
    expect("no topic other.attacker.observation" in result.err and "topics create" in result.err, result.err)


def the_outbox_of_an_interrupted_run_goes_first():
    lab.wipe()
    lab.ingest(SAMPLE)
    lab.broker_start()
    observe(EVER)
    events = len(told())
    lab.broker_start()
    lab.sql("CREATE RULE kept AS ON DELETE TO event_outbox DO INSTEAD NOTHING")
    admin("observe", EVER)
    lab.sql("DROP RULE kept ON event_outbox")
    expect(lab.count("event_outbox", "producer = 'observe'") > 0, "rows of an interrupted run")
    lab.broker_start()
    report = observe("--since=2999-01-01").json()
    expect_equal([report["sessions"], len(told()), lab.count("event_outbox")], [0, events, 0], "relayed")


def one_identity_by_any_of_its_names():
    lab.wipe()
    who, identity = attacker("203.0.113.3")
    feed(who, "motor.input_modality", ["typed", "typed", "pasted", "typed", "typed"])
    feed(who, "toolchain.c2.beacon_interval_ms", [10, 20, "30", 90], ref="n")
    attribute()
    profiles = [show(word) for word in (identity, who, "203.0.113.3", "::ffff:203.0.113.3", who.upper(), who.replace("-", ""))]
    for profile in profiles:
        expect_equal(profile, profiles[0], "the same profile")
    profile = profiles[0]
    expect_equal(set(profile), {"merged_from", "identity_uuid", "attackers", "addresses", "primitives"}, "keys")
    expect_equal([profile["identity_uuid"], profile["merged_from"], profile["attackers"], profile["addresses"]],
                 [identity, None, 1, ["203.0.113.3"]], "profile")
    modality, interval = profile["primitives"]
    for state in profile["primitives"]:
        expect_equal(set(state), STATE_KEYS, "keys of a state")
    expect_equal([modality[k] for k in ("primitive", "state", "current_value", "confidence", "observation_count",
                                        "last_observation_ts", "value_kind")],
                 ["motor.input_modality", "stable", "typed", 0.8, 5, 1240.0, "categorical"], "state")
    expect_equal([(o["ts"], o["value"], o["evidence_ref"]) for o in modality["history"]][1:3],
                 [(1060.0, "typed", "s1"), (1120.0, "pasted", "s2")], "history, oldest first")
    expect_equal([o["value"] for o in interval["history"]], [10, 20, "30", 90], "values as they came")


def plots():
    text = admin("attribution", "show", "203.0.113.3", LC_ALL="C.UTF-8").out
    expect(re.search(r"motor\.input_modality +stable +0\.80 +5 +1970-01-01 00:20:40 +typed +AABAA +A typed, B pasted\n", text), text)
    expect(re.search(r"beacon_interval_ms .* ▁▂▃█ +10 to 90\n", text), text)
    text = admin("attribution", "show", "203.0.113.3", LC_ALL="C").out
    expect(re.search(r"beacon_interval_ms .* _\.:# +10 to 90\n", text) and text.isascii(), text)
    who, _ = attacker("203.0.113.4")
    feed(who, "x.text", ["\x1b[2J", "\u202e", "b" * 100], ref="e")
    attribute()
    text = admin("attribution", "show", "203.0.113.4", LC_ALL="C.UTF-8").out
    expect("\x1b" not in text and "\u202e" not in text and "b" * 30 not in text.replace("b" * 32 + "…", ""), repr(text))
    feed(who, "x.many", [str(i) for i in range(30)], ref="m")
    attribute()
    expect("ABCDEFGHIJKLMNOPQRST" in admin("attribution", "show", "203.0.113.4").out, "the newest twenty")


def merged_identities_are_followed():
    (a, ia), (b, ib) = attacker("203.0.113.3"), attacker("203.0.113.4")
    lab.sql(f"UPDATE attacker_identities SET merged_into_uuid = '{ia}' WHERE uuid = '{ib}';"
            f" INSERT INTO attribution_dirty (identity_uuid) VALUES ('{ia}')")
    attribute()
    for word in (ib, b, "203.0.113.4"):
        profile = show(word)
        expect_equal([profile["identity_uuid"], profile["merged_from"], profile["attackers"]], [ia, ib, 2], word)
    expect_equal(sorted(profile["addresses"]), ["203.0.113.3", "203.0.113.4"], "addresses")
    expect(f"{ib} was merged into the identity shown" in admin("attribution", "show", b).out, "said so")
    expect_equal([p["identity_uuid"] for p in show("--changed-since=1970-01-01")], [ia], "merged ones are in no list")


def who_changed_since():
    lab.wipe()
    people = [attacker(f"203.0.113.{n}") for n in (10, 11, 12)]
    for n, (who, _) in enumerate(people):
        feed(who, "motor.input_modality", ["typed"] * 4, start=1000.0 * (n + 1), ref=f"c{n}")
        feed(who, "motor.command_chunking", ["fluent"], start=100.0, ref=f"d{n}")
    attribute()
    newest_first = [identity for _, identity in reversed(people)]
    everything = show("--changed-since=1970-01-01")
    expect_equal([p["identity_uuid"] for p in everything], newest_first, "order")
    expect_equal([len(p["primitives"]) for p in everything], [2, 2, 2], "states")
    some = show("--changed-since=1970-01-01T00:35:20Z")  # 2120: when the second became stable
    expect_equal([(p["identity_uuid"], [s["primitive"] for s in p["primitives"]]) for p in some],
                 [(i, ["motor.input_modality"]) for i in newest_first[:2]], "changed since")
    expect_equal([p["identity_uuid"] for p in show("--changed-since=1970-01-01", "--limit=1")], newest_first[:1], "limit")
    expect("2 more: --limit=3" in admin("attribution", "show", "--changed-since=1970-01-01", "--limit=1").out, "said so")
    expect("No state changed since then" in admin("attribution", "show", "--changed-since=2030-01-01").out, "none")


def who_may_be_several():
    expect_equal(show("--multi-actor"), [], "nobody yet")
    expect("No identity was announced" in admin("attribution", "show", "--multi-actor").out, "said so")
    who, identity = attacker("203.0.113.10")
    for name in ("cognitive.planning_depth", "cognitive.tool_vocabulary"):
        feed(who, name, ["a", "b"] * 2, ref=name)
    attribute()
    profile, = show("--multi-actor")
    expect_equal(profile["announced"], ["cognitive.planning_depth", "cognitive.tool_vocabulary"], "announced")
    expect_equal([profile["identity_uuid"], [s["state"] for s in profile["primitives"]]],
                 [identity, ["multi_actor", "multi_actor", "unknown", "stable"]], "profile")
    expect(re.search(r"announced as the work of several hands: cognitive\.planning_depth, cog", admin("attribution", "show", "--multi-actor").out),
           "text")
    top = admin("attribution", "top", "--json", "--limit=2").json()
    expect_equal([top["identities"], top["states"], [p["identity_uuid"] for p in top["profiles"]][0], len(top["profiles"])],
                 [3, {"multi_actor": 2, "stable": 3, "unknown": 3}, identity, 2], "top")
    text = admin("attribution", "top").out
    expect("3 identities with states: 2 multi_actor, 3 stable, 3 unknown" in text, text)
    expect(re.search("tool_vocabulary +multi_actor.*\nbesides 1 stable, 1 unknown\n\n", text) and text.count("planning") == 1
           and text.count("all of it stable") == 2, text)


def rebuilding():
    who, identity = attacker("203.0.113.10")
    before = lab.dump()
    text = admin("attribution", "rebuild").out
    expect("3 identities marked" in text and "worker" in text, text)
    expect("0 identities marked" in admin("attribution", "rebuild").out, "marked already")
    lab.sql(f"UPDATE attribution_state SET state = 'conflicted' WHERE identity_uuid = '{identity}'")
    attribute()
    expect_equal(lab.count("attribution_dirty"), 0, "marks")
    expect_same_dump(before, lab.dump(), "judged anew")
    expect(identity in admin("attribution", "rebuild", "203.0.113.10").out, "one")
    stateless = "cognitive.planning_depth, motor.command_chunking"
    attribute(DECNET_STATELESS_PRIMITIVES=stateless)
    expect_equal([s["primitive"] for s in show(identity)["primitives"]],
                 ["cognitive.tool_vocabulary", "motor.input_modality"], "states that are not wanted any more are gone")
    expect_equal(lab.count("multi_actor_announced"), 0, "and so is the suspicion")
    admin("attribution", "rebuild", identity)
    attribute()
    expect_same_dump(before, lab.dump(), "with states again")


def a_mark_without_observations_makes_no_state():
    who, identity = attacker("203.0.113.10")
    lab.sql(f"INSERT INTO attribution_dirty (identity_uuid, primitive) VALUES ('{identity}', 'motor.motor_stability')")
    attribute()
    expect_equal(lab.count("attribution_state", "primitive = 'motor.motor_stability'"), 0, "states")


def bad_input_is_said():
    attacker("203.0.113.99")
    for words, code, text in (
            (("show",), 2, "one of IDENTITY"), (("show", "x", "y"), 2, "unexpected argument"), ((), 2, "missing"),
            (("show", "--multi-actor", "203.0.113.10"), 2, "one of IDENTITY"), (("sow",), 2, "did you mean 'show'"),
            (("show", "nobody"), 2, "neither a uuid nor an address"), (("show", "203.0.113.50"), 1, "is no identity"),
            (("show", str(uuid.uuid4())), 1, "is no identity"), (("show", "203.0.113.99"), 1, "has no identity yet"),
            (("show", "--changed-since=soon"), 2, "wants a time"), (("show", "--changed-since="), 2, "wants a time"),
            (("show", "--multi-actor", "--limit=0"), 2, "from 1 to"), (("top", "--limit=99999"), 2, "from 1 to"),
            (("top", "x"), 2, "unexpected argument"), (("top", "--multi-actor"), 2, "belong to show"),
            (("rebuild", "203.0.113.50"), 1, "is no identity"), (("rebuild", "x"), 2, "neither a uuid nor an address")):
        result = admin("attribution", *words, wanted=code)
        expect(text in result.err and result.out == "", words, result.err, result.out)


def an_attacker_without_identity_is_an_answer_to_programs():
    who, _ = attacker("203.0.113.99")
    for word in ("203.0.113.99", who):
        expect_equal(admin("attribution", "show", word, "--json").json(),
                     {"merged_from": None, "identity_uuid": None, "attackers": 1, "addresses": ["203.0.113.99"],
                      "primitives": []}, word)
    admin("attribution", "show", "203.0.113.50", "--json", wanted=1)


run_cases([history_tells_what_the_live_worker_told, what_is_stored_is_not_told_again, times_choose_sessions,
           split_and_unannounced_sessions, many_pages_are_walked_once, no_broker_and_no_topic,
           the_outbox_of_an_interrupted_run_goes_first, one_identity_by_any_of_its_names, plots,
           merged_identities_are_followed, who_changed_since, who_may_be_several, rebuilding,
           a_mark_without_observations_makes_no_state, bad_input_is_said,
           an_attacker_without_identity_is_an_answer_to_programs])
