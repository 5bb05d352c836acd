"""kill -9 of ingester and worker at random moments: the rows as if nothing had happened, every event published, none
under two ids. Prints TAP. DECNET_TEST_SEED repeats a run's moments as far as the machine lets it."""
import gzip
import os
import random
import signal
import threading
import time

from lab import (INGEST_TOPICS, SAMPLE, TTP_TOPICS, Lab, Session, event_ids, expect, expect_equal, expect_same_dump, run_cases)

KILLS = 50
CHUNK, RECORDS = 7, 5  # lines and records in a transaction: far more moments than kills
seed = int(os.environ.get("DECNET_TEST_SEED", time.time_ns() % 1000000))
moments = random.Random(seed)
lab = Lab("kills")
looker = Session(lab)
plain = lab.file("plain.json", gzip.decompress(SAMPLE.read_bytes()))
reference = {}


def spawn_ingest():
    return lab.ingest_spawn("--idle-timeout", "0", "--batch", CHUNK, plain)


def position():
    return int(looker.run("SELECT coalesce(max(position), 0) FROM ingest_source")[0])


def applied():
    return int(looker.run("SELECT coalesce(sum(next_offset), 0) FROM consumer_position WHERE topic = 'attacker.session.ended'")[0])


def uninterrupted():
    print(f"# seed {seed}")
    spawn_ingest().end()
    reference["ingest_dump"] = lab.dump()
    lab.worker(DECNET_BATCH_RECORDS=RECORDS)
    reference["dump"] = lab.dump()
    reference["ingested"] = event_ids(lab.events(*INGEST_TOPICS))
    reference["tagged"] = event_ids(lab.events(*TTP_TOPICS))
    expect(len(reference["ingested"]) > 500 and len(reference["tagged"]) > 100, "events:", len(reference["ingested"]))
    started = time.monotonic()
    lab.ctl("ingest", "cowrie", plain, role="decnet_ingest")
    reference["start_s"] = time.monotonic() - started


def wait_for_moment(program, reached, end, kills_left, further_s):
    """Mostly in the middle of the work, so much further on that the last kill still finds some, and up to @further_s; now and
    then while it starts. However quick the program is, half of what is left stays for the kills to come."""
    at = reached()
    rest = end - at
    goal, seconds = at + moments.uniform(0, 2) * rest / (kills_left + 2), moments.uniform(0, further_s)
    if moments.random() < 0.2:
        goal, seconds = 0, moments.uniform(0, reference["start_s"])
    while reached() <= goal and program.running():
        time.sleep(0.001)
    until = time.monotonic() + seconds
    while time.monotonic() < until and reached() < at + rest / 2:
        time.sleep(0.001)


def kill_ingester(times, further=0):
    """Run and kill; the same command again each time. @further: kills that will follow this call, for which lines must
    be left."""
    for killed in range(times):
        ingest = spawn_ingest()
        wait_for_moment(ingest, position, plain.stat().st_size, times - killed + further, 0.02)
        expect(ingest.kill() or ingest.process.returncode == 0, "the ingester failed:", ingest.err)
        expect(ingest.process.returncode != 0, f"the log was read to its end after {killed} kills: too few moments left")


def kill_worker_until(done, failures):
    """Runs in a thread of its own; at least KILLS times."""
    killed = 0
    try:
        while killed < KILLS or not done.is_set():
            worker = lab.worker_spawn(DECNET_BATCH_RECORDS=RECORDS, DECNET_BATCH_AGE_MS=5)
            time.sleep(moments.uniform(0, 2 * reference["start_s"] + 0.2))
            expect(worker.kill(), "the worker ended by itself:", worker.err)
            killed += 1
    except Exception as e:
        failures.append(e)


def expect_as_uninterrupted(events, wanted):
    expect_same_dump(reference["dump"], lab.dump(), "after the kills")
    ids = event_ids(events)
    expect_equal((len(wanted - ids), len(ids - wanted)), (0, 0), "events that are missing, and events too many")
    expect_equal(lab.count("event_outbox"), 0, "rows left in the outbox")


def ingester_and_worker_killed():
    lab.wipe()
    done, failures = threading.Event(), []
    worker = threading.Thread(target=kill_worker_until, args=(done, failures))
    worker.start()
    try:
        kill_ingester(KILLS)
        spawn_ingest().end()
    finally:
        done.set()
        worker.join()
    expect(not failures, failures and failures[0])
    lab.worker(DECNET_BATCH_RECORDS=RECORDS)
    expect_as_uninterrupted(lab.events(*INGEST_TOPICS, *TTP_TOPICS), reference["ingested"] | reference["tagged"])


def worker_alone_killed_while_it_has_much_to_do():
    """All is announced already: each moment of the worker's run is one of work."""
    lab.wipe()
    lab.ingest(plain)
    started, hits = time.monotonic(), 0
    announced = lab.value("SELECT count(*) FROM attacker_session WHERE parts_sent > 0")
    for left in range(KILLS // 2, 0, -1):
        if applied() == announced:  # a busy machine looks late
            break
        worker = lab.worker_spawn(DECNET_BATCH_RECORDS=1, DECNET_BATCH_AGE_MS=0)
        wait_for_moment(worker, applied, announced, left, 0.002)
        expect(worker.kill(), "the worker ended by itself:", worker.err)
        hits += 0 < applied() < announced
    done = applied()
    expect(hits > KILLS // 4, f"only {hits} kills hit it at work; {done} of {announced} sessions after them")
    lab.worker()
    expect_as_uninterrupted(lab.events(*INGEST_TOPICS, *TTP_TOPICS), reference["ingested"] | reference["tagged"])
    print(f"# {time.monotonic() - started:.1f} s, {hits} kills; {done} of {announced} sessions were done after the last")


def ingester_killed_while_the_broker_does_not_answer():
    """A stopped broker keeps what it has: nothing may be missing in the end."""
    lab.wipe()
    for further in range(12, -1, -4):
        kill_ingester(2, further + 2)
        lab.broker.process.send_signal(signal.SIGSTOP)
        kill_ingester(2, further)
        lab.broker.process.send_signal(signal.SIGCONT)
    spawn_ingest().end()
    lab.worker()
    expect_as_uninterrupted(lab.events(*INGEST_TOPICS, *TTP_TOPICS), reference["ingested"] | reference["tagged"])


def ingester_killed_before_during_and_after_an_outage_of_the_broker():
    """A new embedded broker is empty: what the first had is read before it goes."""
    lab.wipe()
    kill_ingester(5, 10)
    events = lab.events(*INGEST_TOPICS)
    lab.broker_stop()
    kill_ingester(5, 5)
    lab.broker_start()
    kill_ingester(5)
    spawn_ingest().end()
    events += lab.events(*INGEST_TOPICS)
    ids = event_ids(events)
    expect_equal((len(reference["ingested"] - ids), len(ids - reference["ingested"])), (0, 0), "missing, too many")
    expect_same_dump(reference["ingest_dump"], lab.dump(), "after the outage")


run_cases([uninterrupted, ingester_and_worker_killed, worker_alone_killed_while_it_has_much_to_do,
           ingester_killed_while_the_broker_does_not_answer,
           ingester_killed_before_during_and_after_an_outage_of_the_broker])
