# SPDX-License-Identifier: Apache-2.0
"""How the steps of a check run: commands with logs and limits, results that are counted, progress with elapsed time."""
import concurrent.futures
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
PLACE = Path(os.environ.get("BULKHEAD_PLACE", TOP))
WORK = PLACE / "build-check"
BUILD = PLACE / "build"
LOGS = WORK / "logs"
JOBS = os.cpu_count() or 2
FULL = False  # set by main: the whole matrix is wanted


class Failed(Exception):
    """The step (or one test of it) failed; the text says what to look at."""


class Skipped(Exception):
    """The step cannot run here; the text is the reason."""


@dataclass
class Results:
    """What a step found: names of passed tests, failed ones with a reason, skipped ones with a reason."""

    passed: list = field(default_factory=list)
    failed: list = field(default_factory=list)
    skipped: list = field(default_factory=list)
    notes: list = field(default_factory=list)

    def add(self, other):
        for name in ("passed", "failed", "skipped", "notes"):
            getattr(self, name).extend(getattr(other, name))


@dataclass
class Step:
    name: str
    help: str
    run: callable
    full: bool = False  # runs only with --full or when named
    needs: tuple = ()


class Log:
    """The log file of a step; run() is the one way in which steps start programs."""

    def __init__(self, step):
        LOGS.mkdir(parents=True, exist_ok=True)
        self.path = LOGS / f"{step}.log"
        self.path.write_text("")

    def write(self, text):
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(text if text.endswith("\n") else text + "\n")

    def run(self, *command, limit=900, cwd=TOP, environment=None, check=True):
        """Runs a command in a process group of its own, its output going to the log; returns its exit status."""
        command = [str(word) for word in command]
        self.write(f"$ {' '.join(command)}")
        with open(self.path, "ab") as file:
            process = subprocess.Popen(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                                       env={**os.environ, **(environment or {})}, start_new_session=True)
            try:
                status = process.wait(limit)
            except subprocess.TimeoutExpired:
                end_group(process)
                raise Failed(f"{command[0]} was still running after {limit} s") from None
            except BaseException:
                end_group(process)
                raise
        if check and status != 0:
            raise Failed(f"{Path(command[0]).name} ended with status {status}")
        return status

    def tail(self, count=25):
        return self.path.read_text(encoding="utf-8", errors="replace").splitlines()[-count:]


def end_group(process):
    """Ends a process that Log.run started together with what it started itself: SIGTERM, then SIGKILL."""
    for number, patience in ((signal.SIGTERM, 10), (signal.SIGKILL, 5)):
        try:
            os.killpg(process.pid, number)
            process.wait(patience)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def in_parallel(function, items):
    """function(item) -> (ok, text) for each item on all processors; returns the texts of those that were not ok."""
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        return [text for ok, text in pool.map(function, items) if not ok]


def tracked(*patterns):
    """The files of the tree that git knows and that match, as Paths relative to the top; all files without git."""
    result = subprocess.run(["git", "-C", str(TOP), "-c", f"safe.directory={TOP}", "ls-files", "--cached", "--others",
                             "--exclude-standard", "--", *patterns], capture_output=True, text=True)
    if result.returncode == 0:
        return sorted(path for line in result.stdout.splitlines() if (TOP / (path := Path(line))).is_file())
    return sorted({path.relative_to(TOP) for pattern in patterns for path in TOP.rglob(pattern)
                   if not path.relative_to(TOP).parts[0].startswith(("build", "."))})


def elapsed(since):
    seconds = int(time.monotonic() - since)
    return f"{seconds // 60}:{seconds % 60:02}"


def run_steps(steps):
    """Runs the steps in order, going on after a failure; prints the closing line; returns the exit status."""
    started = time.monotonic()
    total, broken = Results(), set()
    for number, step in enumerate(steps, start=1):
        begun = time.monotonic()
        print(f"[{elapsed(started)}] {number}/{len(steps)} {step.name}: {step.help}", flush=True)
        log, results = Log(step.name), Results()
        try:
            if lacking := [name for name in step.needs if name in broken]:
                raise Failed(f"it needs the step {lacking[0]}, which failed")
            found = step.run(log)
            results.add(found if isinstance(found, Results) else Results(passed=[step.name], notes=found or []))
        except Skipped as reason:
            results.skipped.append((step.name, str(reason)))
        except Failed as reason:
            results.failed.append((step.name, str(reason)))
        except Exception as error:  # a fault of the check itself is a failure like any other
            results.failed.append((step.name, f"{type(error).__name__}: {error}"))
        report(step, log, results, begun)
        if results.failed:
            broken.add(step.name)
        total.add(results)
    print(f"[{elapsed(started)}] logs are in {LOGS}")
    print(f"{len(total.passed)} passed, {len(total.failed)} failed, {len(total.skipped)} skipped", flush=True)
    return 1 if total.failed else 0


def report(step, log, results, begun):
    for note in results.notes:
        print(f"    {note}")
    for name, reason in results.skipped:
        print(f"    skipped {name}: {reason}")
    for name, reason in results.failed:
        print(f"    FAILED {name}: {reason}")
    if results.failed:
        for line in log.tail():
            print(f"    | {line}")
        print(f"    whole log: {log.path}")
    print(f"    {step.name}: {len(results.passed)} passed, {len(results.failed)} failed, {len(results.skipped)} skipped "
          f"in {elapsed(begun)}", flush=True)
    sys.stdout.flush()
