"""decnetctl topics on an Apache Kafka: what it makes, what it finds, what it leaves alone, and its words where it cannot.
Prints TAP. Needs DECNET_TEST_KAFKA (bootstrap servers); every case has a prefix of its own there."""
import json
import os
import subprocess
import tempfile
import time
import traceback
from pathlib import Path

from wire import Broker

ADDRESS = os.environ["DECNET_TEST_KAFKA"]
CTL, BROKER = os.environ["DECNET_CTL_PROGRAM"], os.environ["DECNET_BROKER_PROGRAM"]
DAY_MS = 86400000
CLEAN = {k: v for k, v in os.environ.items() if not k.startswith(("DECNET_", "PG"))} | {"DECNET_CONFIG": "/dev/null"}
wire = Broker(ADDRESS)


def expect(condition, *words):
    if not condition:
        raise AssertionError(" ".join(map(str, words)))


def expect_equal(got, wanted, what):
    expect(got == wanted, f"{what}: got {got!r}, wanted {wanted!r}")


def ctl(*argv, wanted=0, prefix="", address=ADDRESS):
    run = subprocess.run([CTL, "topics", *argv, f"--kafka.bootstrap.servers={address}", f"--kafka_topic_prefix={prefix}"],
                         capture_output=True, text=True, env=CLEAN, timeout=120)
    expect_equal(run.returncode, wanted, f"exit status of {' '.join(argv)} ({run.stderr}{run.stdout[-2000:]})")
    return run


def reports(*argv, **options):
    """{topic without prefix: report}"""
    rows = json.loads(ctl(*argv, "--json", **options).stdout)
    prefix = options.get("prefix", "")
    expect(all(row["topic"].startswith(prefix) for row in rows), "names begin with the prefix")
    return {row["topic"][len(prefix):]: row for row in rows}


def states(rows):
    return {row["state"] for row in rows.values()}


def ours(prefix):
    return {name[len(prefix):]: n for name, n in wire.partitions().items() if name.startswith(prefix)}


def check_names_what_is_missing(prefix):
    rows = reports("check", prefix=prefix, wanted=1)
    expect_equal(states(rows), {"missing"}, "states")
    expect_equal(rows["attacker.session.ended"],
                 {"topic": prefix + "attacker.session.ended", "state": "missing", "partitions": 0, "wanted_partitions": 12,
                  "replicas": 0, "why": None}, "report")
    expect_equal(ours(prefix), {}, "a check makes nothing")


def create_makes_the_table_and_again_nothing(prefix):
    rows = reports("create", prefix=prefix)
    expect_equal(states(rows), {"created"}, "states")
    made = ours(prefix)
    expect_equal(made, {name: row["wanted_partitions"] for name, row in rows.items()}, "partitions on the broker")
    expect_equal([made[t] for t in ("attacker.session.ended", "ttp.rule.fired", "dlq.ttp", "system.control")],
                 [12, 6, 3, 1], "partitions of the contract")
    for action in ("create", "check"):
        rows = reports(action, prefix=prefix)
        expect_equal(states(rows), {"there"}, action)
        expect_equal({row["replicas"] for row in rows.values()}, {1}, "replicas")
    expect_equal(ours(prefix), made, "partitions after it")


def settings_are_those_of_the_contract(prefix):
    ctl("create", prefix=prefix)
    wanted = {
        "attacker.session.ended": {"cleanup.policy": "delete", "retention.ms": str(30 * DAY_MS)},
        "dlq.ttp": {"cleanup.policy": "delete", "retention.ms": str(90 * DAY_MS)},
        "system.control": {"cleanup.policy": "delete", "retention.ms": "600000"},
        "system.health": {"cleanup.policy": "compact,delete", "retention.ms": "3600000", "segment.ms": "600000"},
        "ttp.rule.state": {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.1", "segment.ms": "3600000"},
    }
    for name, settings in wanted.items():
        found = wire.settings(prefix + name)
        expect_equal({k: v for k, (v, own) in found.items() if own}, settings, name)


def what_differs_is_told_and_left_alone(prefix):
    wire.create(prefix + "attacker.observed", 3, {"retention.ms": "1000"})
    wire.create(prefix + "attacker.scored", 24, {"retention.ms": str(DAY_MS)})
    wire.create(prefix + "ttp.rule.state", 1, {"cleanup.policy": "delete", "min.cleanable.dirty.ratio": "0.10",
                                               "segment.ms": "3600000"})
    wire.create(prefix + "system.health", 1, {"cleanup.policy": "delete,compact", "retention.ms": "3600000",
                                              "segment.ms": "600000"})
    differences = {
        "attacker.observed": "partitions is 3, should be 12; retention.ms is 1000, should be 259200000",
        "attacker.scored": "partitions is 24, should be 12",
        "ttp.rule.state": "cleanup.policy is delete, should be compact",
    }
    for action in ("create", "check"):
        rows = reports(action, prefix=prefix, wanted=1)
        expect_equal({name: row["why"] for name, row in rows.items() if row["state"] == "differs"}, differences, action)
        expect_equal(rows["system.health"]["state"], "there", "the order of policies means nothing")
        expect_equal(rows["dlq.ttp"]["state"], "created" if action == "create" else "there", "the others")
    expect_equal([ours(prefix)[t] for t in ("attacker.observed", "attacker.scored")], [3, 24], "partitions after it")
    expect_equal(wire.settings(prefix + "attacker.observed")["retention.ms"][0], "1000", "retention after it")
    table = ctl("check", prefix=prefix, wanted=1).stdout
    expect("cleanup.policy is delete, should be compact" in table and "3 to look at" in table, table)


def only_what_is_missing_is_made(prefix):
    wire.create(prefix + "dlq.ttp", 3, {"retention.ms": str(90 * DAY_MS)})
    rows = reports("create", prefix=prefix)
    expect_equal([name for name, row in rows.items() if row["state"] == "there"], ["dlq.ttp"], "there before")
    expect_equal(states(rows), {"there", "created"}, "states")


def installations_share_a_broker_by_their_prefixes(prefix):
    ctl("create", prefix=prefix + "a.")
    expect_equal(states(reports("check", prefix=prefix + "b.", wanted=1)), {"missing"}, "the other's topics")
    expect_equal(states(reports("create", prefix=prefix + "b.")), {"created"}, "the other's topics, made")
    expect_equal(ours(prefix + "a."), ours(prefix + "b."), "both")
    folded = reports("create", prefix=prefix.replace(".", "_") + "a_", wanted=1) # t_a_attacker.x beside t.a.attacker.x
    expect_equal(states(folded), {"refused"}, "names that differ only in '.' and '_'")
    expect("collide" in folded["dlq.ttp"]["why"], folded["dlq.ttp"])


def partitions_can_be_chosen(prefix):
    rows = reports("create", "--partitions=2", prefix=prefix)
    expect_equal(set(ours(prefix).values()), {2}, "partitions")
    expect_equal(states(reports("check", "--partitions=2", prefix=prefix)), {"there"}, "with the same number")
    rows = reports("check", prefix=prefix, wanted=1)
    expect_equal(rows["dlq.ttp"]["why"], "partitions is 2, should be 3", "without it")


def more_replicas_than_brokers_are_refused(prefix):
    rows = reports("create", "--replication=3", prefix=prefix, wanted=1)
    expect_equal(states(rows), {"refused"}, "states")
    expect("replication factor" in rows["dlq.ttp"]["why"].lower(), rows["dlq.ttp"])
    expect_equal(ours(prefix), {}, "nothing is made")
    ctl("create", "--replication=1", prefix=prefix)


def two_at_the_same_time_make_them_once(prefix):
    both = [subprocess.Popen([CTL, "topics", "create", f"--kafka.bootstrap.servers={ADDRESS}",
                              f"--kafka_topic_prefix={prefix}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             text=True, env=CLEAN) for _ in range(2)]
    for process in both:
        out, _ = process.communicate(timeout=120)
        expect_equal(process.returncode, 0, "exit status of " + out[-1000:])
    expect_equal(states(reports("check", prefix=prefix)), {"there"}, "states")


def no_broker_is_said_within_its_time(prefix):
    started = time.monotonic()
    run = ctl("check", address="127.0.0.1:1", wanted=1)
    expect("no broker answers" in run.stderr and "refused" in run.stderr and "bootstrap.servers" in run.stderr, run.stderr)
    expect(time.monotonic() - started < 30, "it took", time.monotonic() - started)
    expect_equal(run.stdout, "", "nothing is shown")


def the_embedded_broker_has_nothing_to_make(prefix):
    with tempfile.TemporaryDirectory(dir=os.environ.get("DECNET_TEST_TMP")) as folder:
        ready = Path(folder) / "ready"
        broker = subprocess.Popen([BROKER, "--ready-file", ready], env=CLEAN, stderr=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 30
            while not (ready.exists() and ready.read_text()) and time.monotonic() < deadline:
                time.sleep(0.02)
            for action in ("create", "check"):
                run = ctl(action, address=ready.read_text().strip(), wanted=78)
                expect("embedded broker" in run.stderr, run.stderr)
        finally:
            broker.terminate()
            broker.wait(10)


def wrong_command_lines(prefix):
    for argv in (("create", "--partitions=0"), ("create", "--replication=-1"), ("create", "--partitions=x"), ("make",), (),
                 ("check", "more")):
        ctl(*argv, wanted=2)
    unnamed = subprocess.run([CTL, "topics", "check"], capture_output=True, text=True, env=CLEAN, timeout=60)
    expect_equal(unnamed.returncode, 78, "no broker named")
    expect("kafka.bootstrap.servers" in unnamed.stderr, unnamed.stderr)


CASES = (check_names_what_is_missing, create_makes_the_table_and_again_nothing, settings_are_those_of_the_contract,
         what_differs_is_told_and_left_alone, only_what_is_missing_is_made, installations_share_a_broker_by_their_prefixes,
         partitions_can_be_chosen, more_replicas_than_brokers_are_refused, two_at_the_same_time_make_them_once,
         no_broker_is_said_within_its_time, the_embedded_broker_has_nothing_to_make, wrong_command_lines)


def main():
    print(f"1..{len(CASES)}", flush=True)
    for number, case in enumerate(CASES, 1):
        try:
            case(f"t{os.getpid()}.{number}.")
            result = "ok"
        except Exception: # a broken case must not hide the next one
            print("\n".join(f"# {line}" for line in traceback.format_exc().splitlines()))
            result = "not ok"
        print(f"{result} {number} - {case.__name__}", flush=True)


main()
