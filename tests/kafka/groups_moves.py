"""Members come and go in order while 1,000 events a second flow: what stays goes on, what moves goes on soon, nothing is
lost or doubled. The figures are printed; only the last is judged, as a busy machine decides the others. Prints TAP.
DECNET_TEST_SCALE=10 makes 50 joins and leaves."""
import time

from kafka_support import (Feeder, KafkaLab, expect_each_once, expect_in_order, median, moves, say_median, scaled,
                           stays_and_moves)
from lab import expect, run_cases

ROUNDS, RATE, SETTLE_S = scaled(5, 50), 1000, 1
GAP_MS, RESUME_S, HANG_S = 250, 3, 20
lab = KafkaLab("gmoves")


def settle(members):
    lab.wait_shared(members)
    time.sleep(SETTLE_S)
    return lab.now()


def figures(history, times, what):
    found = [stays_and_moves(history, *span) for span in times]
    kept = say_median(f"{what}: longest gap between commits of a partition that stays", [k for k, _ in found])
    moved = say_median(f"{what}: moved partitions resume after, the slowest of each", [m for _, m in found])
    expect(len(moved) == len(times), f"{len(times) - len(moved)} of {len(times)} times nothing moved")
    expect(max(moved) < HANG_S, f"a moved partition stood still for {max(moved)} s")
    return kept, moved


def members_come_and_go():
    lab.attackers(500)
    base = [lab.member(session_ms=6000) for _ in range(2)]
    lab.wait_shared(base)
    feeder, joins, leaves = Feeder(lab, RATE, 500), [], []
    quiet = (settle(base), settle(base))
    for _ in range(ROUNDS):
        start = lab.now()
        guest = lab.member(session_ms=6000)
        joins.append((start, settle([*base, guest])))
        guest.terminate()
        leaves.append((joins[-1][1], settle(base)))
    n = feeder.stop()
    lab.wait_read(*base)
    for m in base:
        m.terminate()
    history = lab.history()
    lost = [m for b in base for m in moves(b) if m[1] == "lost"]
    print(f"# assignments that those who stayed lost as a whole: {len(lost)} (wanted: none)")
    print(f"# {n} events at {RATE}/s, {ROUNDS} joins and leaves")
    say_median("undisturbed: longest gap between commits of a partition in a second", [stays_and_moves(history, *quiet)[0]])
    kept, moved = figures(history, joins, "joins")
    figures(history, leaves, "leaves")
    print(f"# promises: {GAP_MS} ms as the median over joins ({1000 * median(kept):.0f}), moved ones within {RESUME_S} s"
          f" ({sum(m <= RESUME_S for m in moved)} of {len(moved)})")
    expect_in_order(history, lab.ends())
    expect_each_once(lab, n)


run_cases([members_come_and_go])
