#!/usr/bin/env python3
"""Make the compact ATT&CK catalogue that the tagging worker loads.

usage: make_catalog.py STIX_DERIVED_JSON > workers/ttp/attack/enterprise-attack.json

The input is one JSON object with `attack_version`, `terms`, `tactics[]` (id, name, shortname, domain) and `techniques[]`
(id, name, domain, parent, tactics as short names, revoked, revoked_by, deprecated): a flattened STIX bundle. Only
what rules are checked against and what is shown to people goes into the output, one entry a line and sorted, so that
two releases can be compared with diff.
"""
import json
import sys

DOMAIN = "enterprise-attack"

# MITRE asks that its designation and this licence go with every copy.
LICENSE = (
    "The MITRE Corporation (MITRE) hereby grants you a non-exclusive, royalty-free license to use ATT&CK(R) for "
    "research, development, and commercial purposes. Any copy you make for such purposes is authorized provided that "
    "you reproduce MITRE's copyright designation and this license in any such copy."
)


def technique_row(technique, tactic_ids):
    row = {"id": technique["id"], "name": technique["name"]}
    if technique.get("parent"):
        row["parent"] = technique["parent"]
    row["tactics"] = sorted(tactic_ids[name] for name in technique.get("tactics") or [] if name in tactic_ids)
    if technique.get("revoked"):
        row["revoked"] = True
        if technique.get("revoked_by"):
            row["successor"] = technique["revoked_by"]
    if technique.get("deprecated"):
        row["deprecated"] = True
    return row


def write_list(out, key, rows, last):
    lines = ",\n".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows)
    out.write(f'"{key}":[\n{lines}\n]{"" if last else ","}\n')


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with open(sys.argv[1], encoding="utf-8") as f:
        source = json.load(f)

    tactics = [t for t in source["tactics"] if t["domain"] == DOMAIN]
    tactic_ids = {t["shortname"]: t["id"] for t in tactics}
    techniques = [t for t in source["techniques"] if t["domain"] == DOMAIN]

    head = {"catalog": DOMAIN, "release": "v" + source["attack_version"], "notice": source["terms"], "license": LICENSE}
    out = sys.stdout
    out.write("{\n")
    for key, value in head.items():
        out.write(f"{json.dumps(key)}:{json.dumps(value, ensure_ascii=False)},\n")
    write_list(out, "tactics", [{"id": t["id"], "name": t["name"]} for t in sorted(tactics, key=lambda t: t["id"])], False)
    write_list(out, "techniques", [technique_row(t, tactic_ids) for t in sorted(techniques, key=lambda t: t["id"])], True)
    out.write("}\n")


if __name__ == "__main__":
    main()
