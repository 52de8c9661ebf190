# SPDX-License-Identifier: Apache-2.0
"""The steps of ./check, from cheap to dear. Each is a function that gets its log and returns Results or raises."""
import os
import re
import subprocess
import sys

import parse
import runner
from runner import BUILD, TOP, WORK, Failed, Results, Skipped, Step, in_parallel, tracked


def tool(log, name):
    """One program under tools/ that is a check by itself; what it prints last is worth seeing."""
    log.run(TOP / "tools" / name)
    return [line for line in log.tail(40) if not line.startswith("$")]


def layers(log):
    tool(log, "layers")


def conformance(log):
    return tool(log, "conformance")


def size(log):
    return tool(log, "size")


def style(log):
    files = tracked("*.c", "*.h")

    def formatted(path):
        result = subprocess.run(["clang-format", "--dry-run", "-Werror", str(path)], cwd=TOP, capture_output=True, text=True)
        return result.returncode == 0, f"{result.stderr}\nclang-format -i {path}"

    bad = in_parallel(formatted, files)
    for text in bad:
        log.write(text)
    if bad:
        names = ", ".join(text.rpartition(" ")[2] for text in bad[:20])
        raise Failed(f"{len(bad)} of {len(files)} files are not as clang-format would write them: {names}")


def scripts(log):
    shell = []
    for path in tracked("run", "check", ".ci/*", "tools/*", "testbeds/*", "tests/*"):
        first = (TOP / path).read_bytes()[:80].split(b"\n")[0]
        if path.suffix == ".sh" or (first.startswith(b"#!") and first.rstrip().endswith((b"sh",))):
            shell.append(path)
    guest = [path for path in shell if b"/bash" not in (TOP / path).read_bytes()[:80] and path.parts[0] != "tools"]
    other = [path for path in shell if path not in guest]
    if other:
        log.run("shellcheck", "-x", "-P", "SCRIPTDIR", *other)
    if guest:  # busybox ash knows local and read -t; sourced files are named by their place in the guest
        log.run("shellcheck", "-s", "dash", "-e", "SC1091,SC2013,SC2154,SC3043,SC3045", *guest)
    for path in tracked("*.py", "testbeds/fetch", "testbeds/ramdisk"):
        compile((TOP / path).read_bytes(), str(path), "exec")


def headers(log):
    flags = subprocess.run(["pkg-config", "--cflags", "slirp"], capture_output=True, text=True).stdout.split()

    def alone(path):
        result = subprocess.run(
            ["gcc", "-std=gnu17", "-D_GNU_SOURCE", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter",
             "-Wno-unused-function", "-Iinclude", "-I.", *flags, "-include", str(path), "-x", "c", "/dev/null"],
            cwd=TOP, capture_output=True, text=True)
        return result.returncode == 0, f"{path}\n{result.stderr}"

    found = tracked("*.h")
    bad = in_parallel(alone, found)
    for text in bad:
        log.write(text)
    if bad:
        raise Failed(f"{len(bad)} of {len(found)} headers do not compile alone")


def compile_tree(log, folder, compiler, *options):
    """Sets a build folder up once, and again when its options change; then builds all of it."""
    wanted = " ".join((compiler, *options))
    stamp = folder / ".check-options"
    if not (folder / "build.ninja").exists() or not stamp.exists() or stamp.read_text() != wanted:
        wipe = ["--wipe"] if (folder / "meson-private").exists() else []
        log.run("meson", "setup", *wipe, folder, TOP, *options, environment={"CC": compiler})
        stamp.write_text(wanted)
    log.run("ninja", "-C", folder, f"-j{runner.JOBS}")


def run_meson_tests(log, folder, *arguments, environment=None):
    log.run("meson", "test", "-C", folder, "--no-rebuild", "--print-errorlogs", *arguments, check=False, limit=1500,
            environment=environment)
    results = parse.meson(folder)
    if not (results.passed or results.failed):
        raise Failed("meson ran no test")
    return results


def fuzz_option():
    """The tree's fuzz targets are behind a meson option once there are any."""
    options = TOP / "meson_options.txt"
    return ["-Dfuzz=true"] if options.exists() and "'fuzz'" in options.read_text() else []


def build(log):
    compile_tree(log, BUILD, "gcc")


def clang(log):
    compile_tree(log, WORK / "clang", "clang")


def unit(log):
    return run_meson_tests(log, BUILD, environment={"BULKHEAD_FULL": "1"} if runner.FULL else None)


def instructions(log):
    """What core/ and blk spend on a request, counted, against the figures in bench/."""
    log.run(TOP / "tools" / "instructions", BUILD)
    return [line for line in log.tail(40) if not line.startswith("$")]


SANITIZED = {"ASAN_OPTIONS": "abort_on_error=1:detect_stack_use_after_return=1:strict_string_checks=1",
             "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"}


def sanitize(log):
    folder = WORK / "sanitize"
    compile_tree(log, folder, "clang", "-Db_sanitize=address,undefined", "-Db_lundef=false", *fuzz_option())
    return run_meson_tests(log, folder, "-t", "4", environment=SANITIZED)


def fuzz_targets():
    """(name, program, folder of its corpus) of every fuzz target that the sanitized build made."""
    for program in sorted((WORK / "sanitize" / "tests" / "fuzz").glob("fuzz[-_]*")):
        if program.is_file() and os.access(program, os.X_OK):
            name = re.sub("^fuzz[-_]", "", program.name)
            yield name, program, TOP / "tests" / "fuzz" / "corpus" / name


def fuzz(log):
    results = Results()
    for name, program, corpus in fuzz_targets():
        inputs = sorted(corpus.iterdir()) if corpus.is_dir() else []
        if not inputs:
            results.failed.append((f"fuzz.{name}", f"it has no corpus in {corpus}"))
        elif log.run(program, "-runs=0", *inputs, environment=SANITIZED, check=False) == 0:
            results.passed.append(f"fuzz.{name}")
        else:
            results.failed.append((f"fuzz.{name}", "an input of its corpus makes it fail"))
    if not (results.passed or results.failed):
        raise Failed("there is no fuzz target: the step sanitize builds them")
    return results


def fuzz_more(log):
    """Each target gets 10 minutes; what it finds beyond the corpus is kept in the work folder."""
    results, seconds = Results(), int(os.environ.get("BULKHEAD_FUZZ_SECONDS", "600"))
    for name, program, corpus in fuzz_targets():
        grown = WORK / "corpus" / name
        grown.mkdir(parents=True, exist_ok=True)
        status = log.run(program, f"-max_total_time={seconds}", "-rss_limit_mb=2048", "-print_final_stats=1",
                         f"-artifact_prefix={grown.parent}/{name}-", grown, *([corpus] if corpus.is_dir() else []),
                         limit=seconds + 120, environment=SANITIZED, check=False)
        if status == 0:
            results.passed.append(f"fuzz-more.{name}")
        else:
            results.failed.append((f"fuzz-more.{name}", f"see {grown.parent}/{name}-*"))
    if not (results.passed or results.failed):
        raise Failed("there is no fuzz target: the step sanitize builds them")
    return results


WALKS = {"rng": (), "console": ("--port=none",), "blk": ("--ram-size=1M", "--num-queues=4"), "net": ("--port=null",),
         "vsock": ("--guest-cid=3",)}


def walk(log):
    """A hostile front-end's random walk, 10 minutes a class, against the sanitized programs."""
    results, folder = Results(), WORK / "sanitize"
    # What is freed is kept by the sanitizer, 256 MiB of it by itself, and the walk watches a process's memory.
    environment = {**SANITIZED, "ASAN_OPTIONS": SANITIZED["ASAN_OPTIONS"] + ":quarantine_size_mb=16"}
    seconds = int(os.environ.get("BULKHEAD_FUZZ_SECONDS", "600"))
    for name, options in WALKS.items():
        program = folder / "programs" / f"bulkhead-{name}"
        if not program.exists():
            continue
        status = log.run(folder / "tests" / "fault" / "walk", seconds, name, program, "--features=+access_platform", *options,
                         limit=seconds + 120, environment=environment, check=False)
        if status == 0:
            results.passed.append(f"walk.{name}")
        else:
            results.failed.append((f"walk.{name}", "see the log; BULKHEAD_SEED repeats it"))
    if not (results.passed or results.failed):
        raise Failed("there is no program: the step sanitize builds them")
    return results


def coverage(log):
    folder = WORK / "coverage"
    compile_tree(log, folder, "gcc", "-Db_coverage=true", "-Doptimization=0")
    for path in folder.rglob("*.gcda"):
        path.unlink()
    run_meson_tests(log, folder, "-t", "4")
    output = subprocess.run(["gcovr", "--root", str(TOP), "--filter", f"{TOP}/core/", "--branches", "--exclude-throw-branches",
                             str(folder)], capture_output=True, text=True, cwd=TOP)
    log.write(output.stdout + output.stderr)
    if output.returncode != 0:
        raise Failed("gcovr could not read the coverage")
    lines = [line for line in output.stdout.splitlines() if line.startswith(("core/", "TOTAL")) or line.startswith("File")]
    return [re.sub(r"\s{2,}", "  ", line)[:100] for line in lines] or ["core/ has no code that is measured"]


def tidy(log):
    sources = [path for path in tracked("*.c") if path.parts[0] not in ("tests",)]
    database = (WORK / "clang" / "compile_commands.json").read_text()
    sources = [path for path in sources if str(path) in database]

    def clean(path):
        result = subprocess.run(["clang-tidy", "-p", str(WORK / "clang"), "--quiet", "--warnings-as-errors=*", str(path)],
                                cwd=TOP, capture_output=True, text=True)
        return result.returncode == 0, result.stdout

    bad = in_parallel(clean, sources)
    for text in bad:
        log.write(text)
    if bad:
        raise Failed(f"clang-tidy has something to say of {len(bad)} of {len(sources)} files")


def system(log):
    if not any((TOP / "tests" / "system").glob("test_*.py")):
        raise Skipped("there are no system tests")
    report = WORK / "system.xml"
    report.unlink(missing_ok=True)
    log.run(sys.executable, "-B", "-m", "pytest", "-p", "no:cacheprovider", "-q", "-rs", f"--junitxml={report}",
            "tests/system", check=False, limit=10800 if runner.FULL else 1500,
            environment={"BULKHEAD_BUILD": str(BUILD), "BULKHEAD_FULL": "1" if runner.FULL else ""})
    if not report.exists():
        raise Failed("pytest did not come to its end")
    return parse.junit(report)


def minroot(log):
    if os.geteuid() != 0:
        raise Skipped("it makes a chroot, which only root can")
    log.run(TOP / "testbeds" / "minroot", "./run", limit=1800)


STEPS = [
    Step("layers", "include lines follow the layers", layers),
    Step("style", "every C file is as clang-format writes it", style),
    Step("scripts", "shellcheck, and every Python file compiles", scripts),
    Step("conformance", "docs/conformance.md names tests that are there, and misses no section", conformance),
    Step("headers", "every header compiles alone", headers),
    Step("size", "freestanding parts for Cortex-R5 and bare AArch64, and their size", size),
    Step("build", "gcc, warnings are errors", build),
    Step("unit", "unit and conformance tests", unit, needs=("build",)),
    Step("instructions", "what core/ and blk spend on a request, against bench/instructions.txt", instructions, needs=("build",)),
    Step("clang", "clang, warnings are errors", clang),
    Step("tidy", "clang-tidy", tidy, needs=("clang",)),
    Step("sanitize", "the same tests under ASan and UBSan", sanitize),
    Step("fuzz", "every fuzz target over its corpus", fuzz),
    Step("coverage", "branch coverage of core/", coverage),
    Step("system", "backends driven by Linux, QEMU and U-Boot", system, needs=("build",)),
    Step("fuzz-more", "every fuzz target for 10 minutes", fuzz_more, full=True),
    Step("walk", "hostile front-ends for 10 minutes a class", walk, full=True),
    Step("minroot", "./run in a minimal Debian 12 root", minroot, full=True),
]
