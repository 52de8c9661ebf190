# SPDX-License-Identifier: Apache-2.0
"""The cache in which foreign pieces (kernels, emulators, ramdisks) are kept between runs.

Theory of operation
-------------------
A piece is a directory. It is built under objects/.NAME-XXXX, and only when it is complete, with its manifest, is it
renamed to objects/NAME-XXXX; then the symlink NAME is swapped to it by one rename. So whoever follows NAME sees the old
piece whole or the new piece whole, however a build ends. One flock per name lets one builder work while others wait.

The manifest has a line per file: sha256, size, mtime in ns, path. At each use sizes and mtimes are compared, which costs
a stat per file; a file that differs there is read and its sha256 compared; a real difference means that the piece is
built again. A fingerprint of the recipe (and of the local files that go into it) is kept beside: another recipe means
another piece.
"""
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

MANIFEST = ".manifest"
RECIPE = ".recipe"


def root():
    """The cache's folder: $XDG_CACHE_HOME/bulkhead or ~/.cache/bulkhead, made when it is missing."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    path = Path(base) / "bulkhead"
    path.mkdir(parents=True, exist_ok=True)
    return path


def say(text):
    """One line of progress, on stderr so that stdout stays for results."""
    print(f"bulkhead: {text}", file=sys.stderr, flush=True)


def sha256_file(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def fingerprint(*parts):
    """A short hash over strings, JSON values and the contents of Paths."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.read_bytes() if isinstance(part, Path) else json.dumps(part, sort_keys=True).encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()[:24]


@contextlib.contextmanager
def lock(name):
    """Holds the lock of one name; says so when it has to wait for another process."""
    folder = root() / "locks"
    folder.mkdir(exist_ok=True)
    with open(folder / name, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"{name}: waiting for another process that builds it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_manifest(folder):
    lines = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and path.name != MANIFEST:
            stat = path.stat()
            lines.append(f"{sha256_file(path)} {stat.st_size} {stat.st_mtime_ns} {path.relative_to(folder)}\n")
    (folder / MANIFEST).write_text("".join(lines))


def damage(folder, thorough=False):
    """None when every file is as the manifest has it, else a sentence about the first one that is not."""
    try:
        lines = (folder / MANIFEST).read_text().splitlines()
    except OSError:
        return "it has no manifest"
    for line in lines:
        digest, size, mtime_ns, name = line.split(" ", 3)
        path = folder / name
        try:
            stat = path.stat()
        except OSError:
            return f"{name} is missing"
        same = stat.st_size == int(size) and stat.st_mtime_ns == int(mtime_ns)
        if (thorough or not same) and sha256_file(path) != digest:
            return f"{name} is not what was stored"
    return None


def usable(name, print_, thorough=False):
    """The piece's folder when it can be used as it is, else None (and the reason is said when it was damaged)."""
    link = root() / name
    try:
        recipe = json.loads((link / RECIPE).read_text())
    except (OSError, ValueError):
        return None
    if recipe.get("fingerprint") != print_:
        return None
    reason = damage(link, thorough)
    if reason:
        say(f"{name}: {reason}: building it again")
        return None
    return link


def publish(name, print_, build, thorough=False):
    """Returns the folder of piece `name`, building it with build(folder) -> dict first when that is needed.

    build() fills an empty folder and returns what the recipe shall record (package versions, sources).
    """
    if folder := usable(name, print_, thorough):
        return folder
    with lock(name):
        if folder := usable(name, print_, thorough):
            return folder
        objects = root() / "objects"
        objects.mkdir(exist_ok=True)
        for stale in objects.glob(f".{name}~*"):
            shutil.rmtree(stale, ignore_errors=True)
        started = time.monotonic()
        work = Path(tempfile.mkdtemp(prefix=f".{name}~", dir=objects))
        try:
            work.chmod(0o755)
            record = build(work) or {}
            record["fingerprint"] = print_
            (work / RECIPE).write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
            write_manifest(work)
            final = objects / work.name[1:]
            work.rename(final)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
        link = root() / name
        fresh = root() / f".{name}~link"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(final.relative_to(root()))
        fresh.rename(link)
        for old in objects.glob(f"{name}~*"):
            if old != final:
                shutil.rmtree(old, ignore_errors=True)
        say(f"{name}: ready after {time.monotonic() - started:.1f} s")
        return link
