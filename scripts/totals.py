"""Adds up the test results of all runs: FOLDER holds NAME.json (meson's log, one program per line) and NAME.xml (JUnit,
every case), and the list `failed` of what no such log names. Prints failing cases by name and, as the last line,
`N passed, N failed`. Exit status 1 when anything failed or nothing ran.

usage: totals.py FOLDER"""
import json
import sys
import xml.etree.ElementTree as xml
from pathlib import Path

GOOD = ("OK", "EXPECTEDFAIL")


def plain(name):
    """Meson puts project and suite before a name when there are several suites: "project:suite / name"."""
    return name.split(" / ")[-1]


def programs(log):
    """What meson says of each program: name to (good, words). JUnit shows a time-out or a crash as if nothing were wrong."""
    runs = [json.loads(line) for line in log.read_text().splitlines()]
    return {plain(run["name"]):
            (run["result"] in GOOD, f"{run['result'].lower()}, exit status {run['returncode']}") for run in runs}


def cases(junit, known):
    """(program, case, good) of a JUnit file. A skipped case is not good: a test that did not run shows nothing."""
    for case in xml.parse(junit).getroot().iter("testcase"):
        good = all(case.find(tag) is None for tag in ("failure", "error", "skipped"))
        _, _, program = case.get("classname").partition(".")
        if program:
            yield plain(program), case.get("name"), good
        else: # a program that reported no cases is one itself
            program = plain(case.get("name"))
            yield program, known[program][1], good and known[program][0]


def main(folder):
    passed, failed = 0, []
    for junit in sorted(Path(folder).glob("*.xml")):
        known = programs(junit.with_suffix(".json"))
        found = list(cases(junit, known))
        bad = [(program, case) for program, case, good in found if not good]
        # Programs that ended badly although each of their cases was good.
        bad += [(program, words) for program, (good, words) in known.items()
                if not good and program not in (name for name, _ in bad)]
        passed += sum(good for _, _, good in found)
        failed += [f"{junit.stem} {program}: {case}" for program, case in bad]
    failed += (Path(folder) / "failed").read_text().splitlines()
    for name in failed:
        print(f"FAILED {name}")
    print(f"{passed} passed, {len(failed)} failed")
    return 1 if failed or not passed else 0


sys.exit(main(sys.argv[1]))
