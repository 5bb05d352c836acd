"""Adds up the test results of all runs: FOLDER holds NAME.json (meson's log, one program per line) and NAME.xml (JUnit,
every case), and the list `failed` of what no such log names. Prints failing cases by name and, as the last line,
`N passed, N failed`. Exit status 1 when anything failed or nothing ran.

usage: totals.py FOLDER"""
import json
import sys
import xml.etree.ElementTree as xml
from pathlib import Path

GOOD = ("OK", "EXPECTEDFAIL")


def cases(junit):
    """(suite, case, passed) of a JUnit file. A skipped case counts as failed: a test that did not run shows nothing."""
    for suite in xml.parse(junit).getroot().iter("testsuite"):
        for case in suite.iter("testcase"):
            passed = all(case.find(tag) is None for tag in ("failure", "error", "skipped"))
            yield case.get("classname") or suite.get("name"), case.get("name"), passed


def silent_failures(log, failed):
    """Programs that failed although each of their cases passed, or without any: a crash before or after the cases."""
    for line in log.read_text().splitlines():
        run = json.loads(line)
        program = run["name"].split(" / ")[-1]
        if run["result"] not in GOOD and not any(program in case for case in failed):
            yield f"{program} ({run['result'].lower()}, exit status {run['returncode']})"


def main(folder):
    passed, failed = 0, []
    for junit in sorted(Path(folder).glob("*.xml")):
        here = []
        for suite, case, good in cases(junit):
            if good:
                passed += 1
            else:
                here.append(f"{suite}: {case}")
        here += silent_failures(junit.with_suffix(".json"), here)
        failed += [f"{junit.stem}: {name}" for name in here]
    failed += (Path(folder) / "failed").read_text().splitlines()
    for name in failed:
        print(f"FAILED {name}")
    print(f"{passed} passed, {len(failed)} failed")
    return 1 if failed or not passed else 0


sys.exit(main(sys.argv[1]))
