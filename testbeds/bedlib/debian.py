# SPDX-License-Identifier: Apache-2.0
"""Debian packages of any suite and architecture, fetched by apt without touching the system's own package state.

Theory of operation
-------------------
apt is given a folder of its own for lists, archives and sources, and an empty dpkg status file: with nothing installed
it downloads the whole closure of what is asked for, after checking the archive's signature and each file's hash as
always. It needs no privilege. The mirror, proxies and credentials are the system's: its apt tells where it would fetch
its own suite from, and the other suites lie beside that one. Nothing is installed: packages are only unpacked.
"""
import os
import re
import subprocess
from pathlib import Path

from . import cache

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
TRIPLETS = {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}
LOADERS = {"amd64": "ld-linux-x86-64.so.2", "arm64": "ld-linux-aarch64.so.1"}


class FetchError(Exception):
    """Packages could not be had; the text says which and why."""


def host_architecture():
    return subprocess.run(["dpkg", "--print-architecture"], check=True, capture_output=True, text=True).stdout.strip()


def mirror():
    """The address of the Debian archive that this system's own apt uses (or $BULKHEAD_MIRROR)."""
    if os.environ.get("BULKHEAD_MIRROR"):
        return os.environ["BULKHEAD_MIRROR"].rstrip("/")
    nowhere = cache.root() / "apt" / "none"
    nowhere.mkdir(parents=True, exist_ok=True)
    result = subprocess.run(
        ["apt-get", "update", "--print-uris", "-o", f"Dir::State={nowhere}"], capture_output=True, text=True)
    for address in re.findall(r"'([^']+)/dists/[^/']+/InRelease'", result.stdout):
        if "security" not in address:
            return address
    raise FetchError("no Debian archive in the system's apt sources (/etc/apt/sources.list*)")


class Archive:
    """One suite and architecture of the Debian archive, as a private apt sees it."""

    def __init__(self, suite, architecture, keyring=None):
        self.suite = suite
        self.architecture = architecture
        self.keyring = keyring or os.environ.get("BULKHEAD_KEYRING", KEYRING)
        self.folder = cache.root() / "apt" / f"{suite}-{architecture}"
        self.updated = False

    def _configure(self):
        for part in ("lists/partial", "archives/partial"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        (self.folder / "status").write_text("")
        (self.folder / "sources.list").write_text(
            f"deb [arch={self.architecture} signed-by={self.keyring}] {mirror()} {self.suite} main\n")
        (self.folder / "apt.conf").write_text(
            "#clear APT::Update;\n#clear DPkg::Pre-Install-Pkgs;\n#clear APT::Architectures;\n"
            f'APT::Architecture "{self.architecture}";\n'
            f'APT::Architectures {{ "{self.architecture}"; }};\n'
            # A mirror may be a snapshot whose period of validity is over; its signature is checked all the same.
            'Acquire::Check-Valid-Until "false";\n'
            'APT::Sandbox::User "root";\nAcquire::Languages "none";\nAcquire::Retries "3";\n'
            'APT::Install-Recommends "false";\n'
            f'Dir::State "{self.folder}";\nDir::State::lists "{self.folder}/lists";\n'
            f'Dir::State::status "{self.folder}/status";\n'
            f'Dir::Cache "{self.folder}";\nDir::Cache::archives "{self.folder}/archives";\n'
            'Dir::Cache::pkgcache "";\nDir::Cache::srcpkgcache "";\n'
            f'Dir::Etc::sourcelist "{self.folder}/sources.list";\nDir::Etc::sourceparts "/dev/null";\n'
            'Dir::Etc::preferences "/dev/null";\nDir::Etc::preferencesparts "/dev/null";\n')

    def _apt(self, tool, *arguments, cwd=None):
        command = [tool, "-c", str(self.folder / "apt.conf"), "-q", *arguments]
        environment = dict(os.environ, LC_ALL="C.UTF-8", DEBIAN_FRONTEND="noninteractive")
        result = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment,
                                stdin=subprocess.DEVNULL)
        if result.returncode != 0:
            errors = [line for line in result.stderr.splitlines() if line.startswith(("E:", "W:"))]
            raise FetchError(f"{tool} {arguments[0]} ({self.suite}, {self.architecture}): "
                             + ("; ".join(errors[:4]) or f"exit status {result.returncode}"))
        return result

    def update(self):
        """Reads the suite's package index; once per process."""
        if self.updated:
            return
        self._configure()
        cache.say(f"reading the package index of {self.suite} ({self.architecture})")
        result = self._apt("apt-get", "update")
        if "Failed to fetch" in result.stderr or "W: GPG error" in result.stderr:
            raise FetchError(f"index of {self.suite}: {result.stderr.strip().splitlines()[0]}")
        self.updated = True

    def dependency(self, package):
        """The first package that `package` depends on: what a meta package stands for."""
        output = self._apt("apt-cache", "depends", "--important", package).stdout
        match = re.search(r"Depends: (\S+)", output)
        if not match:
            raise FetchError(f"{package} ({self.suite}) depends on nothing")
        return match.group(1)

    def download(self, packages, closure):
        """Fetches packages (with all they depend on when `closure`); returns the paths of the .deb files."""
        if closure:
            arguments = ["install", "--yes", "--download-only", *packages]
            listing = self._apt("apt-get", "install", "--print-uris", "--yes", *packages).stdout
        else:
            arguments = ["download", *packages]
            listing = self._apt("apt-get", "download", "--print-uris", *packages).stdout
        wanted = re.findall(r"^'[^']+' (\S+\.deb) (\d+) ", listing, re.MULTILINE)
        if not wanted:
            raise FetchError(f"nothing to fetch for {' '.join(packages)} ({self.suite})")
        archives = self.folder / "archives"
        total = sum(int(size) for _, size in wanted)
        cache.say(f"fetching {len(wanted)} package(s), {total / 1e6:.1f} MB, from {self.suite} ({self.architecture})")
        self._apt("apt-get", *arguments, cwd=archives)
        paths = [archives / name for name, _ in wanted]
        for path in paths:
            if not path.is_file():
                raise FetchError(f"apt did not deliver {path.name}")
        return paths


_archives = {}


def archive(suite, architecture):
    """The Archive of a suite, its index read. A keyring too old for the suite is replaced by a newer, checked one."""
    key = (suite, architecture)
    if key not in _archives:
        found = Archive(suite, architecture)
        try:
            found.update()
        except FetchError as error:
            if "NO_PUBKEY" not in str(error) and "not available" not in str(error):
                raise
            cache.say(f"the system's keyring does not know {suite}: fetching Debian's newer one")
            found = Archive(suite, architecture, keyring=newer_keyring(suite))
            found.update()
        _archives[key] = found
    return _archives[key]


def newer_keyring(suite):
    """Debian's current archive keyring, taken from a release that the system's keyring can vouch for."""
    last = None
    for trusted in ("bookworm", "trixie"):
        if trusted == suite:
            break
        source = Archive(trusted, host_architecture())
        try:
            source.update()
            paths = source.download(["debian-archive-keyring"], closure=False)
        except FetchError as error:
            last = error
            continue
        folder = cache.root() / "apt" / "keyring"
        unpack(paths, folder)
        drop(paths)
        return str(folder) + KEYRING
    raise FetchError(f"no keyring for {suite}: {last}")


def unpack(paths, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        subprocess.run(["dpkg-deb", "-x", str(path), str(folder)], check=True)


def drop(paths):
    """Removes downloaded archives that have been unpacked."""
    for path in paths:
        path.unlink(missing_ok=True)


def fetch(suite, architecture, packages, folder, closure=True):
    """Fetches and unpacks packages into folder; returns a record of what they were: name -> sha256."""
    with cache.lock(f"apt-{suite}-{architecture}"):
        source = archive(suite, architecture)
        names = [source.dependency(name[1:]) if name.startswith("*") else name for name in packages]
        paths = source.download(names, closure)
        record = {path.name: cache.sha256_file(path) for path in paths}
        unpack(paths, Path(folder))
        drop(paths)
    return record
