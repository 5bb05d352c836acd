"""A group of attribution workers on an Apache Kafka: eight at once on the series of a few identities, and members that are
killed, end in the states of one that worked alone. Prints TAP. DECNET_TEST_SEED repeats a run's choices,
DECNET_TEST_SCALE=10 makes 50 kills."""
import os
import random
import time
import uuid

from kafka_support import SAMPLE, KafkaLab, address, attacker, scaled
from lab import ATTRIBUTION_TOPICS, event_ids, expect, expect_equal, expect_same_dump, natural, run_cases

OBSERVED = "attacker.observation"
ATTACKERS, IDENTITIES, SESSIONS, MEMBERS = 48, 3, 30, 8
KILLS, SESSION_MS = scaled(10, 50), 1500
NS_IDENTITY = uuid.uuid5(uuid.NAMESPACE_URL, "decnet:identity:v1")
PRIMITIVES = {"motor.input_modality": ["typed", "pasted"], "cognitive.planning_depth": ["deep", "shallow", "reactive"],
              "toolchain.c2.beacon_interval_ms": [5000, 5050, 9000], "toolchain.ssh.hassh_client": ["a", "b", "c", "d"]}
seed = int(os.environ.get("DECNET_TEST_SEED", time.time_ns() % 1000000))
choices = random.Random(seed)
lab = KafkaLab("gattribution")
reference = {}


def identities():
    """Few identities with many attackers each: every member meets all of them."""
    lab.attackers(ATTACKERS)
    lab.sql("UPDATE attackers SET first_seen = '2026-05-10', last_seen = '2026-05-11'")
    lab.sql(f"INSERT INTO attacker_identities (uuid) SELECT DISTINCT '{identity(0)}'::uuid"
            + "".join(f" UNION SELECT '{identity(i)}'::uuid" for i in range(1, IDENTITIES)))
    for i in range(ATTACKERS):
        lab.sql(f"UPDATE attackers SET identity_id = '{identity(i % IDENTITIES)}' WHERE ip = '{address(i)}'")


def identity(number):
    return uuid.uuid5(NS_IDENTITY, str(attacker(number)))


def observations():
    """Of every attacker and session, some in two versions; in no order of time."""
    told = []
    for i in range(ATTACKERS):
        for k in range(SESSIONS):
            for primitive, values in PRIMITIVES.items():
                for version in range(1 + (choices.random() < 0.2)):
                    ts = 1e9 + 600.0 * k + 3 * i + version
                    told.append({"topic": OBSERVED, "key": str(attacker(i)), "value": {
                        "attacker_uuid": str(attacker(i)), "primitive": primitive, "value": choices.choice(values), "ts": ts,
                        "evidence_ref": f"s{i}-{k}", "confidence": 0.5, "source": "test", "v": 1}})
    choices.shuffle(told)
    return told


def deadlocks():
    return lab.value("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")


def consistent():
    """A state's length and end are those of its series."""
    expect_equal(lab.rows(
        "SELECT s.identity_uuid, s.primitive, s.observation_count, o.n FROM attribution_state s FULL JOIN (SELECT"
        " a.identity_id, primitive, count(*)::int AS n, max(ts) AS last FROM observations o JOIN attackers a"
        " ON a.uuid = o.attacker_uuid GROUP BY 1, 2) o ON o.identity_id = s.identity_uuid AND o.primitive = s.primitive"
        " WHERE (s.observation_count, s.last_observation_ts) IS DISTINCT FROM (o.n, o.last)"), [], "states beside their series")


def one_alone_is_the_reference():
    print(f"# seed {seed}")
    identities()
    told = observations()
    reference["told"] = told
    lab.produce(told)
    lab.worker(name="attribution")
    expect_equal(lab.count("observations"), ATTACKERS * SESSIONS * len(PRIMITIVES), "observations")
    expect_equal(lab.count("attribution_state"), IDENTITIES * len(PRIMITIVES), "states")
    consistent()
    reference["dump"] = lab.dump()


def eight_on_the_same_series():
    lab.wipe()
    identities()
    before = deadlocks()
    members = [lab.member(name="attribution", DECNET_BATCH_RECORDS=20, DECNET_BATCH_AGE_MS=5) for _ in range(MEMBERS)]
    lab.wait_shared(members, OBSERVED, timeout_s=60)
    lab.produce(reference["told"])
    lab.wait_read(*members, topic=OBSERVED)
    for m in members:
        m.process.terminate()
    for m in members:
        m.end()
    lab.worker(name="attribution")
    consistent()
    expect_same_dump(reference["dump"], lab.dump(), "eight members")
    expect_equal(deadlocks() - before, 0, "deadlocks")
    expect_equal(lab.count("dead_letter") + lab.count("deferred_event"), 0, "dead letters and deferred events")


def sessions_alone():
    lab.wipe()
    lab.ingest(SAMPLE)
    lab.worker(name="attribution")
    reference["sessions"] = lab.dump()
    reference["observed"] = event_ids(lab.events(OBSERVED))


def member():
    return lab.member(name="attribution", session_ms=SESSION_MS, DECNET_BATCH_RECORDS=3, DECNET_BATCH_AGE_MS=5)


def members_that_are_killed():
    lab.wipe()
    lab.ingest(SAMPLE)
    members = [member() for _ in range(3)]
    for _ in range(KILLS):
        time.sleep(choices.uniform(0, 2 * SESSION_MS / 1000))
        victim = choices.randrange(len(members))
        expect(members[victim].kill(), "a worker ended by itself:", members[victim].err[-2000:])
        members[victim] = member()
    for topic in ("attacker.session.ended", OBSERVED):
        lab.wait_read(*members, topic=topic)
    for m in members:
        m.terminate()
    lab.worker(name="attribution")  # alone: what the killed left in the outbox is published now, and read
    expect_same_dump(reference["sessions"], lab.dump(), f"{KILLS} kills")
    expect_equal(event_ids(lab.events(OBSERVED)), reference["observed"], "observations published")
    chains = {}
    for e in sorted({natural(e): e for e in lab.events("attribution.profile.state_changed")}.values(),
                    key=lambda e: (e["payload"]["observation_count"], e["payload"]["ts"])):
        chains.setdefault((e["payload"]["identity_uuid"], e["payload"]["primitive"]), []).append(e["payload"]["new_state"])
    stored = {(r["identity_uuid"], r["primitive"]): r["state"]
              for r in lab.rows("SELECT identity_uuid, primitive, state FROM attribution_state")}
    expect_equal({k: v[-1] for k, v in chains.items()}, stored, "last announcement and stored state")
    event_ids(lab.events(*ATTRIBUTION_TOPICS))


run_cases([one_alone_is_the_reference, eight_on_the_same_series, sessions_alone, members_that_are_killed])
