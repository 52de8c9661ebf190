# SPDX-License-Identifier: Apache-2.0
"""Whole systems for the tests of `bulkhead up` and its kin: descriptions that boot fast, and a look at what is left."""
import json
import os
import signal
import subprocess
import time
from pathlib import Path

from bedlib import pieces
from beds import BUILD, TOP, build_ramdisk

COMMAND = BUILD / "cli" / "bulkhead"
BOARD = TOP / "examples" / "two-domains" / "board.dtsi"

# Ready as soon as the kernel says its first word on the early console: most tests need no more of the guest.
EARLY = 'bulkhead,ready-pattern = "Linux version"; bulkhead,ready-timeout = "100s";'
CONSOLE = 'bulkhead,ready-pattern = "bulkhead: ready"; bulkhead,ready-timeout = "100s"; console { compatible = "bulkhead,console"; };'


def domain(name, number, body, policy="on-failure", disk=None):
    """`disk`: another ramdisk than the guests' own."""
    return f"""
        {name.replace("-", "_")}: {name} {{
            compatible = "openamp,domain-v1";
            id = <{number}>;
            os,type = "linux";
            cpus = <&cpus_a72 {1 << (number - 1):#x} 0x1>;
            memory = <0x0 {0x48000000 + 0x10000000 * (number - 1):#x} 0x0 0x10000000>;
            bulkhead,kernel = "{pieces.get("kernel-arm64")}/Image";
            bulkhead,ramdisk = "{disk or build_ramdisk("arm64")}";
            bulkhead,restart = "{policy}";
            {body}
            chosen {{ bootargs = "earlycon console=ttyAMA0 panic=-1 bulkhead.name={name}"; }};
        }};"""


def description(folder, name, *domains):
    path = Path(folder) / f"{name}.dts"
    path.write_text(f"""/dts-v1/;
/include/ "{BOARD}"
/ {{
    domains {{
        #address-cells = <2>;
        #size-cells = <2>;
        bulkhead,system = "{name}";
        {"".join(domains)}
    }};
}};
""")
    return path


class Handle:
    """A process, which stays the one that is meant as long as this is held: numbers are given anew."""

    def __init__(self, pid):
        self.fd = os.pidfd_open(pid)

    def __del__(self):
        if hasattr(self, "fd"):
            os.close(self.fd)

    def signal(self, number):
        signal.pidfd_send_signal(self.fd, number)


class Runs:
    """The command, with a run and a state directory of the test's own."""

    def __init__(self, folder):
        self.run_dir = Path(folder) / "run"
        self.state_dir = Path(folder) / "state"
        self.environment = {**os.environ, "BULKHEAD_LIBEXEC": str(BUILD / "programs")}

    def words(self, verb, *words):
        more = [f"--state-dir={self.state_dir}"] if verb == "up" else []
        return [str(COMMAND), verb, f"--run-dir={self.run_dir}", *more, *map(str, words)]

    def run(self, verb, *words, **options):
        return subprocess.run(self.words(verb, *words), env=self.environment, capture_output=True, text=True, timeout=120,
                              **{"stdin": subprocess.DEVNULL, **options})

    def start(self, verb, *words, **options):
        return subprocess.Popen(self.words(verb, *words), env=self.environment, text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, **{"stdin": subprocess.DEVNULL, **options})

    def report(self):
        found = json.loads(self.run("ps", "--json").stdout)
        return found[0] if found else None

    def handles(self):
        """Every process of the systems here: each works in its run directory. {pid: Handle}

        In a chroot, the link of a process in a mount namespace of its own begins at the host's root: hence `in`."""
        found = {}
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                handle = Handle(int(entry))
            except OSError:
                continue
            try:
                mine = f"{self.run_dir}/" in os.readlink(f"/proc/{entry}/cwd")
            except OSError:
                mine = False
            if mine:
                found[int(entry)] = handle
        return found

    def kill(self, pid):
        """False: it is gone already."""
        handle = self.handles().get(pid)
        if handle is None:
            return False
        handle.signal(signal.SIGKILL)
        return True

    def left(self, seconds=15):
        """What is still there after so long: pids, and entries of the run directory."""
        deadline = time.monotonic() + seconds
        while True:
            pids = sorted(self.handles())
            if not pids or time.monotonic() > deadline:
                return pids
            time.sleep(0.05)

    def end(self):
        self.run("down", "--now")
        for handle in self.handles().values():
            handle.signal(signal.SIGKILL)
