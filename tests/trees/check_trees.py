#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The trees beside this file through `bulkhead check`, with the real classes: exit codes, one error a tree, its place.

The exact texts are the unit test's business (test_plan_trees.c); this one sees that the command and the classes'
real option tables agree with it.
"""
import json
import pathlib
import re
import subprocess
import sys

bulkhead = pathlib.Path(sys.argv[1]).resolve()
folder = pathlib.Path(__file__).resolve().parent
example = folder.parent.parent / "examples" / "two-domains" / "system.dts"
wrong = []


def run(*words):
    result = subprocess.run([bulkhead, *map(str, words)], cwd=folder, capture_output=True, text=True, timeout=60)
    return result.returncode, result.stdout, result.stderr


def expect(holds, tree, text):
    if not holds:
        wrong.append(f"{tree}: {text}")


for tree in sorted(folder.glob("*.dts")):
    code, out, err = run("check", tree.name)
    errors = re.findall(r"^bulkhead: (\S+?\.dtsi?)(:\d+:\d+)?:.* error: ", err, re.M)
    count = 0 if tree.name.startswith("good") else {"many.dts": 4}.get(tree.name, 1)
    expect(code == (0 if count == 0 else 1), tree.name, f"exit code {code}\n{err}")
    expect(len(errors) == count and err.count("error: ") == count, tree.name, f"not {count} errors:\n{err}")
    expect(all(place for _, place in errors) or tree.name == "include-missing.dts", tree.name, f"no line:\n{err}")

    code, out, err = run("check", "--json", tree.name)
    report = json.loads(out)
    expect(report["errors"] == count and report["ok"] == (count == 0) and code == (0 if count == 0 else 1), tree.name,
           f"--json says otherwise:\n{out}")

# A blob names nodes, not lines; half a blob says so.
blob = subprocess.run(["dtc", "-q", "-O", "dtb", "id-duplicate.dts"], cwd=folder, capture_output=True, check=True).stdout
for name, data, text in (("id-duplicate", blob, ".dtb: /domains/b: error: id 1 is that of both"),
                         ("truncated", blob[:-9], ".dtb: error: the blob is truncated")):
    path = pathlib.Path(sys.argv[2]) / f"{name}.dtb"
    path.write_bytes(data)
    code, out, err = run("check", path)
    expect(code == 1 and text in err, path.name, err)
    path.unlink()

# The example: whatever its images, the plan of what is checked must be one JSON and the same each time.
first, second = run("plan", "--json", "good.dts"), run("plan", "--json", "good.dts")
expect(first == second and first[0] == 0 and json.loads(first[1])["bulkhead-plan"] == 2, "good.dts", f"plan --json: {first}")
# A plan is taken in the place of its description, and is not believed.
path = pathlib.Path(sys.argv[2]) / "good.json"
path.write_text(first[1])
expect(run("plan", "--json", path) == first and run("check", path)[0] == 0, "good.json", "it is not what it was made of")
path.write_text(first[1].replace('"start-order"', '"order"'))
code, out, err = run("check", path)
expect(code == 1 and "good.json: " in err and "this is no plan" in err, "good.json", err)
path.unlink()
code, out, err = run("check", path)
expect(code == 1 and "cannot read the plan: No such file" in err, "good.json", err)

code, out, err = run("check", "--json", example)
others = [d for d in json.loads(out)["diagnostics"] if "No such file" not in d["what"]]
expect(others == [], "two-domains", others)
expect(run("check")[0] == 2 and run("check", "no-such.dts")[0] == 1, "usage", "exit codes of a wrong command line, a missing file")

print("\n".join(wrong) if wrong else "every tree is refused in one clear sentence")
sys.exit(bool(wrong))
