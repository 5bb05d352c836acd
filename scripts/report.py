"""What ./run demo reports at its end, from the files of its private folder: ingest.json (what the ingester read),
before.json and after.json (what the database knew), profiles.json (whose behaviour says most), and the seconds of its
stages as NAME VALUE pairs.

usage: report.py json|text FOLDER NAME VALUE..."""
import json
import sys
from pathlib import Path

COUNTS = ("lines", "attackers", "sessions", "announced", "commands", "tags")
STATE = ("primitive", "state", "confidence", "observation_count", "current_value", "last_change_ts")
TECHNIQUE = ("technique_id", "sub_technique_id", "tactic", "tags", "attackers")


def load(folder, name):
    return json.loads((folder / f"{name}.json").read_text())


def rates(ingest, before, after, seconds):
    """Per second: lines while reading; sessions and tags until they were committed."""
    work = seconds["ingest"] + seconds["tagging"]
    announced = after["announced"] - before["announced"]
    return {
        "lines": round(ingest["lines"] / max(seconds["ingest"], 0.001), 1),
        "sessions": round(announced / max(work, 0.001), 1),
        "tags": round((after["tags"] - before["tags"]) / max(work, 0.001), 1),
    }


def behaviour(profiles):
    """How many states of each kind there are, and the profiles that say most, without their histories."""
    most = [{key: p[key] for key in ("identity_uuid", "attackers", "addresses")} |
            {"primitives": [{key: state[key] for key in STATE} for state in p["primitives"]]} for p in profiles["profiles"]]
    return {"identities": profiles["identities"], "states": profiles["states"], "profiles": most}


def as_json(ingest, after, profiles, seconds, per_second):
    out = {key: after[key] for key in COUNTS}
    out["bad_lines"] = ingest["bad_lines"]
    out["techniques"] = [{key: t.get(key) for key in TECHNIQUE} for t in after["techniques"]]
    out["attribution"] = behaviour(profiles)
    return json.dumps(out | {"seconds": seconds, "rates": per_second})


def as_text(ingest, seconds, per_second):
    return "\n".join((
        f"Read {ingest['lines']:,} lines ({ingest['bad_lines']:,} bad) in {seconds['ingest']:.1f} s while tagging, "
        f"caught up {seconds['tagging']:.1f} s later, attribution {seconds['attribution']:.1f} s later.",
        f"Per second: {per_second['lines']:,.0f} lines, {per_second['sessions']:,.0f} announced sessions, "
        f"{per_second['tags']:,.0f} tags, all committed.",
        f"Time: build {seconds['build']:.1f} s, start of PostgreSQL and broker {seconds['start']:.1f} s, "
        f"in all {seconds['total']:.1f} s.",
    ))


def main(form, folder, *pairs):
    folder = Path(folder)
    seconds = {name: float(value) for name, value in zip(pairs[::2], pairs[1::2])}
    ingest, before, after, profiles = (load(folder, name) for name in ("ingest", "before", "after", "profiles"))
    per_second = rates(ingest, before, after, seconds)
    print(as_json(ingest, after, profiles, seconds, per_second) if form == "json" else as_text(ingest, seconds, per_second))


main(*sys.argv[1:])
