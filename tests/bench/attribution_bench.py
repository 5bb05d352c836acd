#!/usr/bin/env python3
"""attribution_bench: observations from the broker to committed states, beside plain COPY of the same observation rows.

    attribution_bench [--kafka SERVERS] [--observations N] [--pairs N] [--batch N] [--json]

Observations lie on the broker (sessions of 12 primitives each, of attackers that come back), one worker reads them to the
end; its own clock counts from the first record to the last commit. Then the observation rows that came out are COPYed
into a fresh table of identical definition, indexes and foreign key, the same rows per commit, by one connection. Pairs
are interleaved, medians are printed.

Then the same number of observations is given to series that are 10 and 100,000 rows long already; the ratio of their
times is what the length of a series costs. Needs DECNET_TEST_PG, DECNET_SOURCE_ROOT, DECNET_*_PROGRAM; `./run bench
attribution` sets them."""
import argparse
import json
import os
import random
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(os.environ["DECNET_SOURCE_ROOT"])
sys.path[:0] = [str(ROOT / "tests/chaos"), str(ROOT / "tests/kafka")]
for name in ("PRODUCE", "CONSUME"):
    os.environ.setdefault(f"DECNET_{name}_PROGRAM", str(Path(__file__).resolve().parent.parent / f"fakes/decnet-{name.lower()}"))
os.environ.setdefault("DECNET_TEST_KAFKA", "")
from kafka_support import KafkaLab, address, attacker  # noqa: E402
from lab import Lab, expect, expect_equal  # noqa: E402

PRIMITIVES = {
    "temporal.session_duration": ["short", "medium", "long"], "temporal.escalation_pattern": ["bursty", "erratic", "sustained"],
    "temporal.lifecycle_markers.landing_ritual": ["present", "absent"],
    "temporal.lifecycle_markers.exit_behavior": ["graceful", "abrupt", "cleanup"],
    "cognitive.inter_command_latency_class": ["instant", "typing_speed", "deliberate", "long"],
    "cognitive.planning_depth": ["deep", "shallow", "reactive"],
    "cognitive.command_branch_diversity": ["linear_playbook", "adaptive_branching", "unknown"],
    "cognitive.exploration_style": ["methodical", "chaotic", "targeted"],
    "cognitive.tool_vocabulary": ["narrow", "moderate", "broad"],
    "operational.opsec_discipline": ["careful", "careless", "learning"],
    "operational.cleanup_behavior": ["thorough", "partial", "none"],
    "toolchain.c2.beacon_interval_ms": [5000, 5050, 4970, 8000]}
ATTACKERS, BAR, BAR_LENGTH, SHORT, LONG = 400, 0.5, 1.2, 10, 100000
COLUMNS = "id, primitive, value, confidence, window_start_ts, window_end_ts, source, evidence_ref, envelope_v, ts, attacker_uuid"
choices = random.Random(20261128)


def observation(who, primitive, value, ts, ref):
    return json.dumps({"topic": "attacker.observation", "key": who, "value": {
        "event_id": None, "schema_version": 1, "attacker_uuid": who, "primitive": primitive, "value": value, "ts": ts,
        "value_kind": None, "evidence_ref": ref, "confidence": 0.4, "window": {"start_ts": ts - 60, "end_ts": ts},
        "source": "decnet-ingest", "v": 1}}) + "\n"


def session(number, n_attackers=ATTACKERS):
    """Most attackers do as they always do, one in ten times something else."""
    who, ts = str(attacker(number % n_attackers)), 1.77e9 + 7.0 * number
    ref = f"cowrie:edge-01/ssh/2026-05-10#{number:08x}-0000-4000-8000-000000000000"
    return "".join(observation(who, p, values[number % n_attackers % len(values)] if choices.random() < 0.9
                               else choices.choice(values), ts, ref) for p, values in PRIMITIVES.items())


class Bench:
    def __init__(self, options):
        self.options = options
        self.lab = KafkaLab("attrbench", options.kafka) if options.kafka else Lab("attrbench")

    def fresh(self, n_attackers):
        self.lab.wipe()
        rows = ",".join(f"('{attacker(i)}', '{address(i)}', now(), now())" for i in range(n_attackers))
        self.lab.sql(f"INSERT INTO attackers (uuid, ip, first_seen, last_seen) VALUES {rows}")

    def produce(self, text):
        publisher = subprocess.Popen([os.environ["DECNET_PRODUCE_PROGRAM"]], env=self.lab.env(), stdin=subprocess.PIPE, text=True)
        publisher.communicate(text)
        expect(publisher.returncode == 0, "the publisher failed")

    def work(self):
        """Seconds of one worker until it has read all."""
        env = {"DECNET_BATCH_RECORDS": self.options.batch}
        if self.options.kafka:
            worker = self.lab.member("--once", name="attribution", session_ms=6000, **env)
        else:
            worker = self.lab.worker_spawn("--once", name="attribution", **env)
        said = worker.end(timeout_s=600).err
        self.said = re.search(r"(busy [\d.]+ s from the first record[^\"\n]*)", said)[1]
        return float(re.search(r"busy ([\d.]+) s from the first record", said)[1])

    def copy(self):
        """Seconds of COPY for the rows of observations, so many per commit."""
        path = self.lab.folder / "observations.copy"
        self.lab.sql(f"\\copy (SELECT {COLUMNS} FROM observations ORDER BY ts, primitive) TO '{path}'")
        rows = path.read_text().splitlines(keepends=True)
        self.lab.sql("DROP TABLE IF EXISTS fresh; CREATE TABLE fresh (LIKE observations INCLUDING ALL);"
                     " ALTER TABLE fresh ADD FOREIGN KEY (attacker_uuid) REFERENCES attackers (uuid) ON DELETE CASCADE")
        script = "".join(f"COPY decnet.fresh ({COLUMNS}) FROM STDIN;\n" + "".join(rows[i:i + self.options.batch]) + "\\.\n"
                         for i in range(0, len(rows), self.options.batch))
        started = time.monotonic()
        self.lab.psql(f"dbname={self.lab.database} user=postgres", script)
        seconds = time.monotonic() - started
        expect_equal(self.lab.count("fresh"), len(rows), "rows copied")
        return seconds

    def pair(self):
        n = self.options.observations // len(PRIMITIVES)
        self.fresh(ATTACKERS)
        self.produce("".join(session(i) for i in range(n)))
        worker = self.work()
        expect_equal(self.lab.count("observations"), n * len(PRIMITIVES), "observations")
        return n * len(PRIMITIVES) / worker, n * len(PRIMITIVES) / self.copy()

    def with_history(self, length, n=24000):
        """Seconds for @n observations of two series that are @length rows long already. The table has as many rows in any
        case, those of others being the rest."""
        names, per_series, who, others = list(PRIMITIVES)[:2], length, str(attacker(0)), 1000
        self.fresh(1 + others)
        self.lab.sql(f"INSERT INTO observations ({COLUMNS.replace('id, ', '', 1)}) SELECT p, '\"x\"', 0.5, i, i, 'bench',"
                     f" 'o' || i || '/' || a.ip, 1, i, a.uuid FROM unnest(ARRAY{names}) p,"
                     f" generate_series(1, {(LONG - length) // others}) i, attackers a WHERE a.uuid <> '{who}'")
        self.lab.sql(f"INSERT INTO observations ({COLUMNS.replace('id, ', '', 1)}) SELECT p, '\"x\"', 0.5, i, i, 'bench', 'h' || i, 1, i, '{who}'"
                     f" FROM unnest(ARRAY{names}) p, generate_series(1, {per_series}) i;"
                     f" INSERT INTO attribution_dirty (attacker_uuid) VALUES ('{who}'); ANALYZE")
        self.lab.worker(name="attribution") if not self.options.kafka else self.work_quietly()
        self.produce("".join(observation(who, names[i % 2], choices.choice("ab"), 1.77e9 + i, f"n{i}") for i in range(n)))
        seconds = self.work()
        expect_equal(self.lab.value("SELECT min(observation_count) FROM attribution_state"), per_series + n // 2, "length")
        return seconds

    def work_quietly(self):
        self.lab.member("--once", name="attribution", session_ms=6000).end(timeout_s=600)


def main():
    parser = argparse.ArgumentParser(description="Observations to states, beside plain COPY.")
    parser.add_argument("--kafka", help="bootstrap servers; without: the embedded broker")
    parser.add_argument("--observations", type=int, default=60000)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--batch", type=int, default=4000)  # the worker's own default
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    bench = Bench(options)
    rates = []
    for i in range(options.pairs):
        rates.append(bench.pair())
        print(f"pair {i + 1}: worker {rates[-1][0]:,.0f} observations/s, COPY {rates[-1][1]:,.0f} rows/s, ratio"
              f" {rates[-1][0] / rates[-1][1]:.2f}; {bench.said}", file=sys.stderr, flush=True)
    costs = [(bench.with_history(SHORT), bench.with_history(LONG)) for _ in range(3)]
    result = {"worker_observations_s": statistics.median(w for w, _ in rates), "copy_rows_s": statistics.median(c for _, c in rates),
              "ratio": statistics.median(w / c for w, c in rates), "ratio_bar": BAR,
              "length_cost": statistics.median(long / short for short, long in costs), "length_cost_bar": BAR_LENGTH}
    bench.lab.broker_stop()
    if options.json:
        print(json.dumps(result))
        return
    print(f"observations to committed states: {result['worker_observations_s']:,.0f}/s, plain COPY {result['copy_rows_s']:,.0f} rows/s:"
          f" ratio {result['ratio']:.2f} (bar {BAR:.2f})")
    print(f"series of {LONG:,} rows beside series of {SHORT}: {result['length_cost']:.2f} times the time (bar {BAR_LENGTH:.2f})")


main()
