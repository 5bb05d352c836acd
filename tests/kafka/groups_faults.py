"""What goes wrong with a group: a member that sleeps over the loss of its partitions, a broker that is killed, topics that
change under the readers, an end before there was a beginning. Prints TAP."""
import signal
import socket
import time

from kafka_support import (KILLABLE, SESSIONS, TOPICS, Apache, Feeder, KafkaLab, entries, expect_each_once, expect_in_order,
                           scaled, session_event)
from lab import Session, expect, expect_equal, run_cases, wait_until

SESSION_MS, N, ATTACKERS = 3000, 300, 60
FIRST = 1  # epoch of whoever takes a partition first
lab = KafkaLab("gfaults")


def sessions(first, n):
    lab.produce([session_event(i, ATTACKERS) for i in range(first, first + n)])


def waiting_for_the_lock():
    """Connections that wait to insert tags."""
    return lab.value("SELECT count(*) FROM pg_locks WHERE relation = 'ttp_tag'::regclass AND NOT granted")


class Sleeper:
    """One of two members is stopped in the middle of its transaction, and the group gives all it has to the other."""

    def __init__(self):
        lab.wipe()
        lab.attackers(ATTACKERS)
        self.door = Session(lab)
        self.door.run("SET idle_in_transaction_session_timeout = '60s'; BEGIN; LOCK TABLE ttp_tag IN SHARE MODE")
        sessions(0, N)
        self.zombie = lab.member(session_ms=SESSION_MS)
        wait_until(lambda: waiting_for_the_lock() == 1, "the first member in its transaction")
        self.epochs = self.read_epochs()
        expect(self.epochs and set(self.epochs.values()) == {FIRST}, self.epochs)
        self.zombie.process.send_signal(signal.SIGSTOP)
        self.owner = lab.member(session_ms=SESSION_MS)
        wait_until(lambda: waiting_for_the_lock() == 2, "the second member in its transaction", SESSION_MS / 1000 + 20)
        expect_equal(set(self.read_epochs().values()), {FIRST + 1}, "epochs after the take-over")

    def read_epochs(self):
        return {r["partition"]: r["epoch"] for r in
                lab.rows(f"SELECT partition, epoch FROM consumer_position WHERE topic = '{lab.prefix}{SESSIONS}'")}

    def wake(self):
        self.door.run("COMMIT")
        self.door.close()
        self.zombie.process.send_signal(signal.SIGCONT)

    def moved_by_zombie(self):
        return [r for r in lab.history() if r["who"] == self.zombie.instance and r["new"] > r["old"] and r["epoch"] == FIRST]

    def end(self):
        self.zombie.terminate()
        self.owner.terminate()


def zombie_is_refused_and_goes_on_with_what_it_gets():
    sleeper = Sleeper()
    sleeper.wake()
    sleeper.zombie.said("transaction was refused")
    lab.wait_read(sleeper.zombie, sleeper.owner)
    expect_equal(sleeper.moved_by_zombie(), [], "commits of the zombie with what it had before")
    lab.wait_shared([sleeper.zombie, sleeper.owner])
    sessions(N, N)
    lab.wait_read(sleeper.zombie, sleeper.owner)
    expect(any(r["who"] == sleeper.zombie.instance and r["new"] > r["old"] for r in lab.history()),
           "the one that slept committed nothing more")
    sleeper.end()
    expect_in_order(lab.history(), lab.ends())
    expect_each_once(lab, 2 * N)


def without_the_fence_the_zombie_would_commit_and_be_seen():
    """The epochs are put back behind the workers' backs, which is what having none would mean: the zombie commits, and the
    check that all other cases end with says so."""
    sleeper = Sleeper()
    lab.sql("UPDATE consumer_position SET epoch = epoch - 1")
    sleeper.wake()
    wait_until(sleeper.moved_by_zombie, "a commit of the zombie")
    try:
        expect_in_order(lab.history(), {})
    except AssertionError as e:
        expect("after another took over" in str(e), e)
    else:
        raise AssertionError("the check did not notice the zombie")
    sleeper.end()


def broker_is_killed_and_comes_back():
    broker = Apache(lab, lambda ports, folder: KILLABLE)
    other = KafkaLab("gbroker", broker.address)
    other.attackers(200)
    workers = [other.member(session_ms=SESSION_MS) for _ in range(2)]
    other.wait_shared(workers)
    feeder = Feeder(other, 200)
    for _ in range(scaled(1, 3)):
        time.sleep(2)
        broker.kill()
        time.sleep(2)
        started = time.monotonic()
        broker.start()
        before = max(r["n"] for r in other.history())
        wait_until(lambda: any(r["new"] > r["old"] for r in other.history(after=before)), "work after the outage")
        print(f"# {time.monotonic() - started:.1f} s from the start of the broker to a commit")
    n = feeder.stop()
    other.admin = type(other.admin)(broker.address)
    other.wait_read(*workers)
    for w in workers:
        w.terminate()
    expect_in_order(other.history(), other.ends())
    expect_each_once(other, n)
    broker.stop()


def retention_overtook_a_position():
    lab.wipe()
    lab.attackers(ATTACKERS)
    sessions(0, N)
    worker = lab.member()
    lab.wait_read(worker)
    worker.terminate()
    at = lab.positions()
    sessions(N, N)
    victim, end = next((p, e) for p, e in lab.ends().items() if e > at.get(p, 0) > 0)
    lab.admin.delete_records(lab.prefix + SESSIONS, {victim: end})
    refused = lab.member().end(78)
    expect("retention overtook" in refused.err and f"{SESSIONS}/{victim}" in refused.err, refused.err[-2000:])
    remedy = f"decnetctl positions set {lab.prefix}ttp {lab.prefix}{SESSIONS} {victim} {end}"
    expect(remedy in refused.err, "the remedy:", remedy, refused.err[-2000:])
    lab.ctl(*remedy.split()[1:])
    worker = lab.member()
    lab.wait_read(worker)
    worker.terminate()
    expect_equal(lab.count("(SELECT DISTINCT source_id FROM ttp_tag) s"), 2 * N - (end - at[victim]), "sessions that were left")


def topic_was_made_anew():
    lab.wipe()
    lab.attackers(ATTACKERS)
    sessions(0, N)
    worker = lab.member()
    lab.wait_read(worker)
    worker.terminate()
    lab.admin.delete_topic(lab.prefix + SESSIONS)
    lab.admin.create(lab.prefix + SESSIONS, TOPICS[SESSIONS], {})
    sessions(N, 1)  # the broker knows it now, with its leaders
    refused = lab.member().end(78)
    expect("made anew" in refused.err, refused.err[-2000:])
    remedy = f"decnetctl positions forget {lab.prefix}ttp {lab.prefix}{SESSIONS}"
    expect(remedy in refused.err, "the remedy:", remedy, refused.err[-2000:])
    lab.ctl(*remedy.split()[1:])
    sessions(N + 1, N - 1)
    worker = lab.member()
    lab.wait_read(worker)
    worker.terminate()
    expect_each_once(lab, 2 * N)


def partitions_are_added_while_members_run():
    lab.wipe()
    lab.attackers(ATTACKERS)
    refresh = () if scaled(0, 1) else ("--kafka.topic.metadata.refresh.interval.ms=3000",)  # 30 s if nobody says so
    workers = [lab.member(*refresh) for _ in range(2)]
    lab.wait_shared(workers)
    sessions(0, N)
    lab.admin.add_partitions(lab.prefix + SESSIONS, 16)
    started = time.monotonic()
    lab.wait_shared(workers, timeout_s=35)
    noticed = time.monotonic() - started
    print(f"# four more partitions noticed and shared after {noticed:.1f} s")
    expect(noticed <= (35 if not refresh else 10), "it took", noticed)
    sessions(N, N)
    lab.wait_read(*workers)
    for w in workers:
        w.terminate()
    ends = lab.ends()
    expect(sum(ends[p] for p in range(12, 16)) > 0, "nothing came to the new partitions:", ends)
    expect_in_order(lab.history(), ends)
    expect_each_once(lab, 2 * N)


def ends_within_6_s(worker, why):
    started = time.monotonic()
    worker.terminate()
    took = time.monotonic() - started
    print(f"# {why}: ended after {took:.2f} s")
    expect(took <= 6, why, "took", took)


def end_before_a_first_assignment():
    lab.wipe()
    first = lab.member(session_ms=6000)
    lab.wait_shared([first])
    first.process.send_signal(signal.SIGSTOP)  # the group waits for it, and a second member for the group
    waits = lab.member(session_ms=6000)
    waits.said('"event":"started"')
    time.sleep(0.5)
    expect_equal(entries(waits, "rebalance"), [], "moves of the one that waits")
    ends_within_6_s(waits, "a group that is slow")
    at_once = lab.member(session_ms=6000)
    at_once.said("joining")
    ends_within_6_s(at_once, "right after the start")
    first.process.send_signal(signal.SIGCONT)
    first.terminate()


def members_that_end_while_their_group_forms_are_not_waited_for():
    """Whatever the group is about when its members end: the next one does not wait for their session time-out."""
    lab.wipe()
    for tenths in range(0, 24, scaled(3, 1)):  # two members with two topics each: four joins, one a second
        pair = [lab.member(session_ms=10000) for _ in range(2)]
        pair[0].said('"event":"rebalance"')
        time.sleep(tenths / 10)
        for w in pair:
            w.process.terminate()
        for w in pair:
            w.end()
        started = time.monotonic()
        lab.member("--once", session_ms=10000).end()
        took = time.monotonic() - started
        expect(took < 6, f"ended {tenths / 10} s after the first assignment; the next one had to wait {took:.1f} s")


def end_while_no_broker_answers():
    for why, listen in (("nobody listens", False), ("somebody listens and is silent", True)):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            address = f"127.0.0.1:{silent.getsockname()[1]}"
            if not listen:
                silent.close()
            worker = lab.member(DECNET_KAFKA_BOOTSTRAP_SERVERS=address)
            worker.said('"event":"started"')
            time.sleep(1)
            ends_within_6_s(worker, why)


run_cases([zombie_is_refused_and_goes_on_with_what_it_gets, without_the_fence_the_zombie_would_commit_and_be_seen,
           broker_is_killed_and_comes_back, retention_overtook_a_position, topic_was_made_anew,
           partitions_are_added_while_members_run, end_before_a_first_assignment,
           members_that_end_while_their_group_forms_are_not_waited_for, end_while_no_broker_answers])
