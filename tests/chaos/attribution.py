"""From sessions to states of behaviour: the same states whatever the order, the batches and what was read anew; what is
put off, refused and announced. Prints TAP."""
import random
import urllib.request
import uuid

from lab import (ATTRIBUTION_TOPICS, SAMPLE, Lab, event_ids, expect, expect_equal, expect_same_dump, run_cases,
                 wait_until)

NS_ATTACKER = uuid.uuid5(uuid.NAMESPACE_URL, "decnet:attacker:v1")
NS_IDENTITY = uuid.uuid5(uuid.NAMESPACE_URL, "decnet:identity:v1")
lab = Lab("attribution")
reference = {}


def attribute(records=1000, **more):
    return lab.worker(name="attribution", DECNET_BATCH_RECORDS=records, **more)


def attacker(ip):
    """Its uuid; the row is made if it is missing."""
    lab.sql(f"INSERT INTO attackers (uuid, ip, first_seen, last_seen) VALUES ('{uuid.uuid5(NS_ATTACKER, ip)}', '{ip}', now(),"
            " now()) ON CONFLICT DO NOTHING")
    return str(uuid.uuid5(NS_ATTACKER, ip))


def observation(who, primitive, value, ts, ref, **more):
    return {"topic": "attacker.observation", "key": who, "value": {
        "attacker_uuid": who, "primitive": primitive, "value": value, "ts": ts, "evidence_ref": ref, "confidence": 0.5,
        "window": {"start_ts": ts - 10, "end_ts": ts}, "source": "test", "v": 1} | more}


def series(who, primitive, values, start=1000.0, step=60, ref="s", **more):
    return [observation(who, primitive, value, start + step * i, f"{ref}{i}", **more) for i, value in enumerate(values)]


def states(columns="primitive, state"):
    rows = lab.rows(f"SELECT {columns} FROM attribution_state ORDER BY identity_uuid, primitive")
    return [tuple(row.values()) for row in rows]


def feed(told, **more):
    lab.produce(told)
    return attribute(**more)


def read_all_anew():
    """Every series from its observations, as if its packed end were lost."""
    lab.sql("INSERT INTO attribution_dirty (identity_uuid) SELECT uuid FROM attacker_identities")
    attribute()
    expect_equal(lab.count("attribution_dirty"), 0, "marks left")


def sessions_become_states():
    lab.ingest(SAMPLE)
    attribute()
    expect(lab.count("observations") > 1500, "observations:", lab.count("observations"))
    expect_equal({"stable", "unknown", "conflicted"} - {s for _, s in states()}, set(), "states that do not occur")
    wrong = lab.rows("SELECT s.primitive, s.observation_count, s.last_observation_ts, o.n, o.last FROM attribution_state s"
                     " FULL JOIN (SELECT a.identity_id, primitive, count(*) AS n, max(ts) AS last FROM observations o"
                     "  JOIN attackers a ON a.uuid = o.attacker_uuid GROUP BY 1, 2) o ON o.identity_id = s.identity_uuid"
                     "  AND o.primitive = s.primitive WHERE (s.observation_count, s.last_observation_ts)"
                     "  IS DISTINCT FROM (o.n::int, o.last)")
    expect_equal(wrong, [], "states that are not of their series")
    reference["dump"] = lab.dump()
    reference["events"] = lab.events(*ATTRIBUTION_TOPICS)
    event_ids(reference["events"])
    wrong = [e["headers"] for e in reference["events"] if e["headers"].get("decnet-primitive") != (
        e["payload"]["primitive"] if e["topic"] == "attacker.observation" else None)]
    expect_equal(wrong[:1], [], "headers that name another primitive or none")
    expect_equal(lab.count("event_outbox") + lab.count("dead_letter") + lab.count("deferred_event"), 0, "left behind")


def changes_of_a_series_follow_each_other():
    stands = {}
    for e in reference["events"]:
        if e["topic"] != "attribution.profile.state_changed":
            continue
        p = e["payload"]
        key = (p["identity_uuid"], p["primitive"])
        expect_equal(p["old_state"], stands.get(key), f"old state of {key}")
        expect(p["old_state"] != p["new_state"], "no change:", p)
        stands[key] = p["new_state"]
    stored = {(row["identity_uuid"], row["primitive"]): row["state"]
              for row in lab.rows("SELECT identity_uuid, primitive, state FROM attribution_state")}
    expect_equal(stands, stored, "last announcement and stored state")


def identities_are_the_founders_own():
    formed = [e["payload"] for e in reference["events"] if e["topic"] == "identity.formed"]
    expect_equal(len(formed), lab.count("attacker_identities"), "identities announced")
    expect_equal(len({f["seq"] for f in formed}), len(formed), "numbers in the order of identities")
    for f in formed:
        founder, = f["observation_uuids"]
        expect_equal(f["identity_uuid"], str(uuid.uuid5(NS_IDENTITY, founder)), "identity")


def reading_again_publishes_nothing():
    lab.sql("DELETE FROM consumer_position WHERE group_name = 'attribution'")
    attribute()
    expect_same_dump(reference["dump"], lab.dump(), "read again")
    expect_equal(len(lab.events(*ATTRIBUTION_TOPICS)), len(reference["events"]), "events")


def series_read_anew_say_the_same():
    read_all_anew()
    expect_same_dump(reference["dump"], lab.dump(), "read from the observations")
    lab.sql("UPDATE attribution_state SET series = NULL")
    read_all_anew()
    expect_same_dump(reference["dump"], lab.dump(), "without packed ends")
    lab.sql("UPDATE attribution_state SET series = '\\x0102', state = 'no such state'")
    read_all_anew()
    expect_same_dump(reference["dump"], lab.dump(), "with damaged rows")


def a_state_that_another_program_wrote_is_set_right():
    lab.wipe()
    records = series(attacker("203.0.113.94"), "motor.input_modality", ["typed"] * 5)
    feed(records[:4])
    lab.sql("UPDATE attribution_state SET observation_count = 0, state = 'drifting', current_value = '7'")
    feed(records)
    expect_equal(states("state, observation_count, current_value"), [("stable", 5, "typed")], "states")


def other_batches_and_orders_end_the_same():
    told = [{"topic": e["topic"], "key": e["key"], "value": e["payload"]} for e in reference["events"]
            if e["topic"] == "attacker.observation"]
    for records, shuffled in ((1, False), (7, True), (1000, True)):
        lab.wipe()
        lab.ingest(SAMPLE)
        if shuffled:  # observations first, in any order; the sessions' own then come as repetitions
            random.Random(records).shuffle(told)
            lab.produce(told)
        attribute(records=records)
        expect_same_dump(reference["dump"], lab.dump(), f"batches of {records}, shuffled: {shuffled}")


def typical_series():
    """Contract attribution 6.3: which states a series goes through."""
    lab.wipe()
    for i, (values, wanted) in enumerate((
            (["typed"] * 6, ["unknown", "stable"]),
            (["typed"] * 5 + ["pasted"] * 10, ["unknown", "stable", "conflicted", "drifting", "stable"]),
            (["typed", "pasted"] * 2, ["unknown", "conflicted", "multi_actor"]))):
        who = attacker(f"203.0.113.{i + 1}")
        feed(series(who, "motor.input_modality", values, ref=f"a{i}-"), records=1)
        changes = [e["payload"]["new_state"] for e in lab.events("attribution.profile.state_changed")
                   if e["payload"]["identity_uuid"] == str(uuid.uuid5(NS_IDENTITY, who))]
        expect_equal(changes, wanted, f"states of {values}")


def metrics_of(worker, port):
    """{name: value} of those that count anything, and the worker's end."""
    wait_until(lambda: port.exists() and port.read_text().endswith("\n"), "the port of the metrics", program=worker)
    with urllib.request.urlopen(f"http://127.0.0.1:{port.read_text().strip()}/metrics") as answer:
        pairs = (line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if not line.startswith("#"))
        found = {name: float(value) for name, value in pairs}
    worker.terminate()
    return found


def what_of_sessions_is_left_out_is_counted():
    lab.wipe()
    attacker("198.51.100.23")
    port = lab.folder / "metrics-port"
    lab.produce([session("198.51.100.23", ended_at=None), session("198.51.100.23", ended_at="1969-12-31T23:59:59Z"),
                 session("198.51.100.23", commands=["id"] * 10007)])
    worker = lab.worker_spawn(name="attribution", DECNET_METRICS_LISTEN="127.0.0.1:0", DECNET_METRICS_PORT_FILE=port)
    wait_until(lambda: lab.count("observations") > 0, "observations", program=worker)
    metrics = metrics_of(worker, port)
    expect_equal([metrics.get(f"decnet_attribution_{name}_total") for name in ("sessions_without_end", "commands_over_limit")],
                 [2, 7], "counters")


def several_hands_are_announced_once_for_each_set():
    lab.wipe()
    who = attacker("203.0.113.9")
    names = ["cognitive.planning_depth", "motor.input_modality"]
    turns = [record for name in names for record in series(who, name, ["a", "b"] * 2)]
    feed(turns)
    told = lab.events("attribution.profile.multi_actor_suspected")
    expect_equal([(e["payload"]["primitives"], e["payload"]["distinct_sessions"], e["payload"]["confidence"]) for e in told],
                 [(names, 4, 0.6)], "suspicions")
    feed(turns + series(who, "motor.command_chunking", ["x"] * 4))
    expect_equal(len(lab.events("attribution.profile.multi_actor_suspected")), 1, "nothing new: told again")
    feed(series(who, names[0], ["b"] * 10, start=5000, ref="t"))
    expect_equal(lab.count("multi_actor_announced"), 0, "taken back, so that it can be told again")
    feed(series(who, names[0], ["a", "b"] * 5, start=9000, ref="u"))
    expect_equal(len(lab.events("attribution.profile.multi_actor_suspected")), 2, "told again")


def session(ip, **more):
    """As the reference sends it: without a beginning, and its name may be missing."""
    return {"topic": "attacker.session.ended", "key": ip, "value": {
        "session_id": None, "attacker_uuid": None, "attacker_ip": ip, "decky_id": "edge-01", "service": "ssh",
        "ended_at": "2026-05-10T08:27:30.125000+00:00", "duration_s": 149.12, "commands": ["uname -a", "ls"]} | more}


def sessions_of_other_producers_become_observations():
    lab.wipe()
    a, b = attacker("198.51.100.23"), attacker("198.51.100.24")
    feed([session("198.51.100.23"), session("198.51.100.24"), session("198.51.100.23", ended_at="2026-05-10T09:27:30Z"),
          session("198.51.100.23", decky_id="edge-02"), session("198.51.100.23")])
    rows = lab.rows("SELECT attacker_uuid, ts, window_start_ts, count(DISTINCT evidence_ref) AS n FROM observations"
                    " WHERE primitive = 'temporal.session_duration' GROUP BY 1, 2, 3 ORDER BY ts, attacker_uuid")
    expect_equal([tuple(row.values()) for row in rows],
                 [(a, 1778401650.125, 1778401501.005, 2), (b, 1778401650.125, 1778401501.005, 1),
                  (a, 1778405250, 1778405100.88, 1)], "sessions")


def unknown_attacker_waits_for_its_row():
    lab.wipe()
    who = str(uuid.uuid5(NS_ATTACKER, "203.0.113.77"))
    feed(series(who, "motor.input_modality", ["typed"] * 3))
    expect_equal([lab.count("observations"), lab.count("attacker_identities"), lab.count("deferred_event")], [0, 0, 3], "before")
    worker = lab.worker_spawn(name="attribution").said("started")
    attacker("203.0.113.77")
    wait_until(lambda: lab.count("deferred_event") == 0, "deferred observations", 20, worker)
    worker.terminate()
    expect_equal(states(), [("motor.input_modality", "stable")], "states")


def what_cannot_be_used_is_a_dead_letter():
    lab.wipe()
    who = attacker("203.0.113.80")
    good = observation(who, "motor.input_modality", "typed", 1000.0, "s")

    def bad(**more):
        return {**good, "value": {**good["value"], **more}}

    feed([bad(attacker_uuid=None), bad(primitive=None), bad(primitive="../x y"), bad(ts="soon"), bad(evidence_ref=7), bad(v=2),
          bad(value="x" * 65536), bad(evidence_ref="r" * 65536), {"topic": "attacker.observation", "key": who, "value": "NaN"}, good])
    reasons = {r["reason"]: r["n"] for r in lab.rows("SELECT reason, count(*) AS n FROM dead_letter GROUP BY 1")}
    expect_equal(reasons, {"no_anchor": 1, "malformed": 5, "schema": 1, "oversize": 2}, "dead letters")
    expect_equal([lab.count("observations"), states()], [1, [("motor.input_modality", "unknown")]], "the good one")


def one_evidence_a_thousand_times_counts_once():
    lab.wipe()
    who = attacker("203.0.113.81")
    feed([observation(who, "motor.input_modality", "typed", 1000.0, "s")] * 1000)
    expect_equal(states("state, observation_count"), [("unknown", 1)], "states")


def later_version_of_an_observation_replaces_the_earlier_one():
    for turned in (False, True):
        lab.wipe()
        who = attacker("203.0.113.82")
        first = series(who, "toolchain.ssh.hassh_client", ["a", "b", "c", "d"])
        later = [observation(who, "toolchain.ssh.hassh_client", "a", 2000.0 + i, f"s{i}") for i in range(4)]
        for records in ((later, first) if turned else (first, later)):
            feed(records)
        expect_equal(states("state, current_value, observation_count, last_observation_ts"),
                     [("stable", "a", 4, 2003.0)], f"states, turned: {turned}")


def versions_that_differ_in_little_end_the_same_in_any_order():
    one, other = (str(uuid.uuid5(NS_ATTACKER, ip)) for ip in ("203.0.113.89", "203.0.113.90"))
    versions = [observation(who, "motor.input_modality", "typed", 1000.0, "s", **more) for who, more in (
        (one, {}), (other, {}), (one, {"confidence": 0.9}), (one, {"confidence": 0.9, "source": "z"}),
        (one, {"confidence": 0.9, "window": {"start_ts": 1.0, "end_ts": 1000.0}}), (one, {"value_kind": "hash"}))]

    def dump():
        return "".join(lab.ctl("dump", f"--table={table}").out for table in ("observations", "attribution_state"))

    dumps = []
    for shift in range(0, len(versions), 2):
        lab.wipe()
        attacker("203.0.113.89"), attacker("203.0.113.90")
        for version in versions[shift:] + versions[:shift]:
            feed([version])
        dumps.append(dump())
        lab.sql("DELETE FROM consumer_position")
        attribute()
        expect_same_dump(dumps[-1], dump(), f"again, from {shift} on")
    for shift, other_dump in enumerate(dumps):
        expect_same_dump(dumps[0], other_dump, f"order {shift}")


def a_hash_that_becomes_another_kind_is_none_any_more():
    who = attacker("203.0.113.88")
    hashes = series(who, "x.kind", ["a", "b", "c"], value_kind="hash")
    other = observation(who, "x.kind", "a", 1010.0, "s0", value_kind="categorical")
    for told in ([hashes, [other]], [hashes + [other]], [[other], hashes]):
        lab.wipe()
        attacker("203.0.113.88")
        for records in told:
            feed(records)
        expect_equal(states("state, confidence"), [("drifting", 0.5)], "two hashes left")
        before = lab.dump()
        read_all_anew()
        expect_same_dump(before, lab.dump(), "read from the observations")


def kinds_of_values():
    lab.wipe()
    who = attacker("203.0.113.83")
    feed(series(who, "toolchain.c2.beacon_interval_ms", [5000, 5050, 4970.0, "5020", 5010]) +
         series(who, "toolchain.ssh.kex_algorithm_order", [["a", "b"]] * 3) +
         series(who, "x.object", [{"a": 1, "b": [2]}, {"b": [2], "a": 1.0}, {"a": 1, "b": [2]}]) +
         series(who, "x.hash", ["1", "2", "3", "4"], value_kind="hash") +
         series(who, "x.null", [None] * 3) +
         series(who, "motor.digraph_simhash", ["0123456789abcdef"] * 3))
    expect_equal(states(), [("toolchain.c2.beacon_interval_ms", "stable"), ("toolchain.ssh.kex_algorithm_order", "stable"),
                            ("x.hash", "conflicted"), ("x.null", "stable"), ("x.object", "stable")], "states")
    interval = lab.value("SELECT current_value FROM attribution_state WHERE primitive LIKE '%beacon%'")
    expect(abs(interval - 5007.935) < 1e-9, "mean of the interval:", interval)
    expect_equal(lab.count("observations", "primitive = 'motor.digraph_simhash'"), 3, "kept without a state")
    before = lab.dump()
    read_all_anew()
    expect_same_dump(before, lab.dump(), "kinds, read from the observations")


def times_from_the_future_are_as_good_as_others():
    lab.wipe()
    who = attacker("203.0.113.84")
    records = series(who, "motor.input_modality", ["typed"] * 4) + [observation(who, "motor.input_modality", "typed", 9e9, "z")]
    for order in (records, records[::-1]):
        lab.sql("DELETE FROM attribution_state; DELETE FROM observations")
        feed(order, records=1)
        expect_equal(states("state, observation_count, last_observation_ts"), [("stable", 5, 9e9)], "states")


def merged_identities_are_one_series():
    lab.wipe()
    a, b = attacker("203.0.113.85"), attacker("203.0.113.86")
    feed(series(a, "motor.input_modality", ["typed"] * 3) + series(b, "motor.input_modality", ["pasted"] * 3, start=1030, ref="t"))
    expect_equal(states("state, observation_count"), [("stable", 3), ("stable", 3)], "before")
    ia, ib = (str(uuid.uuid5(NS_IDENTITY, x)) for x in (a, b))
    lab.sql(f"UPDATE attacker_identities SET merged_into_uuid = '{ia}' WHERE uuid = '{ib}';"
            f" INSERT INTO attribution_dirty (identity_uuid) VALUES ('{ia}'), ('{ib}')")
    attribute()
    row = f"SELECT state, observation_count AS n FROM attribution_state WHERE identity_uuid = '{ia}'"
    expect_equal(lab.rows(row), [{"state": "multi_actor", "n": 6}], "merged")
    feed([observation(b, "motor.input_modality", "pasted", 5000.0, "u")])
    expect_equal(lab.rows(row)[0]["n"], 7, "an observation of the merged one")
    lab.sql(f"UPDATE attacker_identities SET merged_into_uuid = NULL WHERE uuid = '{ib}';"
            f" INSERT INTO attribution_dirty (identity_uuid) VALUES ('{ia}'), ('{ib}')")
    attribute()
    expect_equal(sorted(states("state, observation_count")), [("stable", 3), ("stable", 4)], "parted again")


def what_others_stored_is_found_by_its_hint():
    lab.wipe()
    who = attacker("203.0.113.87")
    lab.sql("INSERT INTO observations (primitive, value, confidence, window_start_ts, window_end_ts, source, evidence_ref,"
            f" envelope_v, ts, attacker_uuid) SELECT 'motor.input_modality', '\"typed\"', 1, i, i, 'x', 'e' || i, 1, i, '{who}'"
            " FROM generate_series(1, 4) i")
    feed([{"topic": "attacker.observation", "key": who, "value": {"attacker_uuid": who, "primitive": "motor.input_modality"}}] * 3)
    expect_equal(states("state, observation_count"), [("stable", 4)], "states")


def store_row(who, i, kind="NULL"):
    lab.sql("INSERT INTO observations (primitive, value, value_kind, confidence, window_start_ts, window_end_ts, source,"
            f" evidence_ref, envelope_v, ts, attacker_uuid) VALUES ('motor.input_modality', '\"typed\"', {kind}, 0.5,"
            f" {990 + 60 * i}, {1000 + 60 * i}, 'test', 's{i}', 1, {1000 + 60 * i}, '{who}')")


def rows_that_their_producer_stored_itself_are_judged():
    told = range(4)
    for kind in ("NULL", "'categorical'"):  # another one than the event's, which changes the row, and the same
        for before in ((), (0,), told):  # what the worker has seen before
            lab.wipe()
            who = attacker("203.0.113.91")
            records = series(who, "motor.input_modality", ["typed"] * 4)
            feed([records[i] for i in before])
            for i in set(told) - set(before):
                store_row(who, i, kind)
            feed(records)
            if before == (0,):  # the next observation of the series, or a mark, would do
                read_all_anew()
            expect_equal(states("state, observation_count"), [("stable", 4)], f"states, {kind}, {before}")
            expect_equal(lab.count("attribution_dirty"), 0, "marks left")


def states_that_were_lost_come_back_with_a_replay():
    lab.wipe()
    who, other = attacker("203.0.113.92"), attacker("203.0.113.93")
    feed(series(who, "motor.input_modality", ["typed"] * 4) + series(other, "motor.input_modality", ["typed"], ref="t"))
    lab.sql(f"UPDATE attacker_identities SET merged_into_uuid = '{uuid.uuid5(NS_IDENTITY, who)}'"
            f" WHERE uuid = '{uuid.uuid5(NS_IDENTITY, other)}'")
    lab.sql("DELETE FROM attribution_state; DELETE FROM consumer_position")
    attribute()
    expect_equal(states("state, observation_count"), [("stable", 5)], "states")
    marks = lab.value("SELECT last_value FROM attribution_dirty_id_seq")
    lab.sql("DELETE FROM consumer_position")
    attribute()
    expect_equal(lab.value("SELECT last_value FROM attribution_dirty_id_seq"), marks, "marks of what is judged")


run_cases([sessions_become_states, changes_of_a_series_follow_each_other, identities_are_the_founders_own,
           reading_again_publishes_nothing, series_read_anew_say_the_same,
           a_state_that_another_program_wrote_is_set_right, other_batches_and_orders_end_the_same, typical_series,
           sessions_of_other_producers_become_observations, what_of_sessions_is_left_out_is_counted,
           several_hands_are_announced_once_for_each_set, unknown_attacker_waits_for_its_row,
           what_cannot_be_used_is_a_dead_letter, one_evidence_a_thousand_times_counts_once,
           later_version_of_an_observation_replaces_the_earlier_one,
           versions_that_differ_in_little_end_the_same_in_any_order,
           a_hash_that_becomes_another_kind_is_none_any_more, kinds_of_values,
           times_from_the_future_are_as_good_as_others, merged_identities_are_one_series,
           what_others_stored_is_found_by_its_hint, rows_that_their_producer_stored_itself_are_judged,
           states_that_were_lost_come_back_with_a_replay])
