"""Is what the documents say still true? Prints TAP. Compares docs/configuration.md and the service units with the table
of configuration keys, and follows the links between documents.

usage: check_docs.py PROJECT"""
import re
import sys
from pathlib import Path

KEY_ROW = re.compile(r'^    \{"(\w+)", KEY_\w+, offsetof\(Config, \w+\), "([^"]*)"', re.M)
DOC_ROW = re.compile(r"^\| `(\w+)` \| (?:`([^`]*)`|empty) \|", re.M)
LINK = re.compile(r"\]\((?!https?://)([^)#]+)[^)]*\)")
UNIT_VARIABLE = re.compile(r"^Environment=\"?DECNET_(\w+)=", re.M)


def documented_keys(top):
    table = dict(KEY_ROW.findall((top / "lib/base/config.c").read_text()))
    rows = dict(DOC_ROW.findall((top / "docs/configuration.md").read_text()))
    if not table:
        yield "lib/base/config.c: no key found"
    for key in table.keys() | rows.keys():
        if table.get(key) != rows.get(key):
            yield f"{key}: default {table.get(key)!r} in the table, {rows.get(key)!r} in docs/configuration.md"


def unit_keys(top):
    known = {key for key, _ in KEY_ROW.findall((top / "lib/base/config.c").read_text())}
    for unit in (top / "deploy").glob("*.service"):
        for name in UNIT_VARIABLE.findall(unit.read_text()):
            if name.lower() not in known:
                yield f"{unit.name}: DECNET_{name} is no key"


def broken_links(top):
    for page in [*top.glob("*.md"), *top.glob("docs/*.md")]:
        for target in LINK.findall(page.read_text()):
            if not (page.parent / target).exists():
                yield f"{page.relative_to(top)}: {target} does not exist"


def main(top):
    checks = (documented_keys, unit_keys, broken_links)
    print(f"1..{len(checks)}")
    for number, check in enumerate(checks, 1):
        faults = list(check(top))
        print("\n".join(f"# {fault}" for fault in faults), end="\n" if faults else "")
        print(f"{'not ok' if faults else 'ok'} {number} - {check.__name__}")


main(Path(sys.argv[1]))
