"""Groups of ttp workers on an Apache Kafka: any number of members, any batch size, the same rows; even shares; who takes
over from a member that was killed, and from whom a static member takes nothing. Prints TAP."""
import time

from kafka_support import (SAMPLE, Feeder, KafkaLab, expect_each_once, expect_in_order, moves)
from lab import TTP_TOPICS, event_ids, expect, expect_equal, expect_same_dump, run_cases

SESSION_MS, INTEL = 3000, "attacker.intel.enriched"
lab = KafkaLab("groups")
reference = {}


def read_by(members, batch):
    """The whole log by a group; members that have no share yet get one while records wait."""
    lab.again()
    workers = [lab.member(DECNET_BATCH_RECORDS=batch) for _ in range(members)]
    lab.wait_shared(workers)
    lab.wait_read(*workers)
    for w in workers:
        w.process.terminate()
    for w in workers:
        w.end()
    lab.worker()  # whoever was ended while the others took over left nothing: nothing new may come of this
    expect_in_order(lab.history(), lab.ends())
    expect_equal([lab.count("dead_letter"), lab.count("event_outbox")], [0, 0], "dead letters and rows of the outbox")


def one_alone_is_the_reference():
    lab.ingest(SAMPLE)
    lab.worker()
    reference["dump"] = lab.dump()
    reference["events"] = event_ids(lab.events(*TTP_TOPICS))
    expect(lab.count("ttp_tag") > 100 and len(reference["events"]) > 100, lab.count("ttp_tag"), "tags")


def same_dump(members, batch):
    read_by(members, batch)
    expect_same_dump(reference["dump"], lab.dump(), f"{members} members, batches of {batch}")


def one_member_batches_of_1():
    same_dump(1, 1)


def one_member_batches_of_1000():
    same_dump(1, 1000)


def three_members_batches_of_1():
    same_dump(3, 1)


def three_members_batches_of_1000():
    same_dump(3, 1000)


def eight_members_batches_of_1():
    same_dump(8, 1)


def eight_members_batches_of_1000():
    same_dump(8, 1000)


def all_of_them_told_the_same_events():
    expect_equal(event_ids(lab.events(*TTP_TOPICS)), reference["events"], "events of all runs")


def members_that_come_while_records_wait():
    """The first takes all; the others come in the middle of its work."""
    lab.again()
    workers = []
    for _ in range(3):
        workers.append(lab.member(DECNET_BATCH_RECORDS=1))
        workers[-1].said('"event":"rebalance"')
    lab.wait_shared(workers)
    lab.wait_read(*workers)
    for w in workers:
        w.terminate()
    expect_in_order(lab.history(), lab.ends())
    expect_same_dump(reference["dump"], lab.dump(), "members that came later")


def killed_member_is_replaced_within_its_session_time():
    lab.wipe()
    lab.attackers(200)
    feeder = Feeder(lab, 300)
    stays, goes = [lab.member(session_ms=SESSION_MS) for _ in range(2)]
    lab.wait_shared([stays, goes])
    time.sleep(1)
    killed_at = lab.now()
    goes.kill()
    lab.wait_shared([stays])
    history = lab.history()
    taken = max(r["at"] for r in history if r["old"] == r["new"])
    print(f"# taken {taken - killed_at:.2f} s after the kill, session time-out {SESSION_MS / 1000} s")
    expect(0 < taken - killed_at <= SESSION_MS / 1000 + 2, f"taken after {taken - killed_at} s")
    n = feeder.stop()
    lab.wait_read(stays)
    stays.terminate()
    expect_in_order(lab.history(), lab.ends())
    expect_each_once(lab, n)


def static_member_comes_back_and_nothing_moves():
    lab.wipe()
    lab.attackers(200)
    feeder = Feeder(lab, 100)
    peer = lab.member("--kafka.group.instance.id=a", session_ms=10000)
    other = lab.member("--kafka.group.instance.id=b", session_ms=10000)
    lab.wait_shared([peer, other])
    lab.wait_shared([peer, other], INTEL)
    before = moves(peer), moves(peer, INTEL)
    other.terminate()
    back = lab.member("--kafka.group.instance.id=b", session_ms=10000)
    lab.wait_shared([peer, back])
    lab.wait_shared([peer, back], INTEL)
    n = feeder.stop()
    lab.wait_read(peer, back)
    expect_equal((moves(peer), moves(peer, INTEL)), before, "moves of the peer")
    peer.terminate()
    back.terminate()
    expect_in_order(lab.history(), lab.ends())
    expect_each_once(lab, n)


run_cases([one_alone_is_the_reference, one_member_batches_of_1, one_member_batches_of_1000, three_members_batches_of_1,
           three_members_batches_of_1000, eight_members_batches_of_1, eight_members_batches_of_1000,
           all_of_them_told_the_same_events, members_that_come_while_records_wait,
           killed_member_is_replaced_within_its_session_time, static_member_comes_back_and_nothing_moves])
