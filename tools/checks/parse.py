# SPDX-License-Identifier: Apache-2.0
"""Reads what meson, cmocka and pytest say of single tests, so that the closing line counts tests and not programs."""
import json
import re
import xml.etree.ElementTree as ElementTree

from runner import Results

_CMOCKA = re.compile(r"^\[\s*(RUN|OK|FAILED|SKIPPED|ERROR)\s*\] (?:\d+ )?(\S+?)(?: .*)?$", re.MULTILINE)


def cmocka(program, output, verdict):
    """The tests of one cmocka program by its output; a program that prints none counts as one test."""
    started, ends = [], {}
    for kind, name in _CMOCKA.findall(output):
        if kind == "RUN":
            started.append(name)
        elif name in started:
            ends[name] = kind
    results = Results()
    for name in started:
        full, end = f"{program}.{name}", ends.get(name, "none")
        if end == "OK":
            results.passed.append(full)
        elif end == "SKIPPED":
            results.skipped.append((full, "the test says that it cannot run here"))
        else:
            results.failed.append((full, "it failed" if end != "none" else "the program ended within it"))
    if verdict == "SKIP":
        lines = output.strip().splitlines()
        results.skipped.append((program, lines[-1] if lines else "the program gave no reason"))
    elif verdict not in ("OK", "EXPECTEDFAIL") and not results.failed:
        results.failed.append((program, f"meson calls it {verdict}"))
    elif not started and verdict in ("OK", "EXPECTEDFAIL"):
        results.passed.append(program)
    return results


def meson(folder):
    """The results of the last `meson test` in a build folder."""
    results = Results()
    path = folder / "meson-logs" / "testlog.json"
    if not path.exists():
        return results
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        test = json.loads(line)
        results.add(cmocka(test["name"], test.get("stdout", "") + "\n" + test.get("stderr", ""), test["result"]))
    return results


def junit(path):
    """The results that pytest wrote as JUnit XML."""
    results = Results()
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        name = f"{case.get('classname', '').rpartition('.')[2]}.{case.get('name')}"
        bad = case.find("failure") if case.find("failure") is not None else case.find("error")
        skip = case.find("skipped")
        if bad is not None:
            results.failed.append((name, (bad.get("message") or "failed").splitlines()[0][:200]))
        elif skip is not None:
            results.skipped.append((name, skip.get("message") or "no reason given"))
        else:
            results.passed.append(name)
    return results
