# SPDX-License-Identifier: Apache-2.0
"""A killed backend that nobody keeps: what QEMU's own reconnecting chardev gives, for each class, QEMU and ring layout.
docs/recovery.md has this table; here it is run. About 15 s each; all but one only in the whole matrix, 5 minutes.
"""
import re
import time

import pytest
from bedlib import pieces
from beds import QEMUS, backend_program, machine, need_qemu, ramdisk, vhost_user

GOES_ON, STUCK, NO_START, ABORTS = "goes on", "stuck", "QEMU does not start", "QEMU aborts"
# reconnect: the chardev connects again; server: the chardev listens, and the backend connects.
EXPECTED = {
    ("blk", "reconnect"): {"*": GOES_ON},
    ("blk", "server"): {"*": GOES_ON},
    ("net", "reconnect"): {"split": GOES_ON, "packed": STUCK},
    ("net", "server"): {"split": GOES_ON, "packed": STUCK},
    ("rng", "reconnect"): {"*": NO_START},
    ("rng", "server"): {"qemu-7.2": STUCK, "qemu-11": ABORTS},
    ("vsock", "reconnect"): {"*": NO_START},
    ("vsock", "server"): {"*": STUCK},
    ("console", "reconnect"): {"qemu-11": NO_START},
    ("console", "server"): {"qemu-11": ABORTS},
}


def cases():
    for (device_class, way), outcomes in EXPECTED.items():
        for version in QEMUS:
            for ring in ("split", "packed") if device_class in ("blk", "net") else ("split",):
                outcome = outcomes.get("*") or outcomes.get(version) or outcomes.get(ring)
                if outcome:
                    short = (device_class, way, version, ring) == ("blk", "reconnect", "qemu-11", "packed")
                    yield pytest.param(device_class, way, version, ring, outcome, id=f"{device_class}-{way}-{version}-{ring}",
                                       marks=() if short else pytest.mark.full)


class Bed:
    """One guest that uses the device over and over, and says so each time."""

    def __init__(self, programs, folder, device_class, way, version, ring):
        self.programs, self.device_class, self.way = programs, device_class, way
        self.path = folder / f"{device_class}.sock"
        self.options = {"blk": [f"--blk-file={folder}/disk.img"], "console": ["--port=none"],
                        "vsock": ["--guest-cid=3", f"--host-path={folder}/v"]}.get(device_class, [])
        if device_class == "blk":
            with open(folder / "disk.img", "wb") as file:
                file.truncate(64 << 20)
        if device_class == "vsock":
            programs.start(["socat", "-U", f"UNIX-LISTEN:{folder}/v_5000,fork", "EXEC:echo hello guest"], "hello")
        extra = [pieces.get("socat-arm64")] if device_class == "vsock" else []
        self.backend = self.start_backend() if way == "reconnect" else None
        device = vhost_user(device_class, self.path, version, ",packed=on" if ring == "packed" else "")
        again = ",reconnect=1" if version == "qemu-7.2" else ",reconnect-ms=1000"
        device[1] += again if way == "reconnect" else ",server=on"
        self.qemu = programs.start(
            machine(QEMUS[version]()) + ["-serial", "stdio", "-kernel", pieces.get("kernel-arm64") / "Image", "-initrd",
                                         ramdisk("arm64", folder, extra), "-append", "console=ttyAMA0 quiet panic=-1 "
                                         f"bulkhead.test=beat bulkhead.class={device_class}", *device], "qemu")
        if not self.backend:
            self.until(self.path.exists)
            self.backend = self.start_backend()

    def start_backend(self):
        program = backend_program(self.device_class)
        if self.way == "server":
            return self.programs.start([program, f"--connect={self.path}", *self.options], self.device_class)
        return self.programs.start_backend(program, *self.options, name=self.device_class)

    def beats(self):
        return len(re.findall("^bulkhead-beat: ", self.programs.log("qemu"), re.MULTILINE))

    def until(self, done, seconds=60):
        """False: it never was, or QEMU has ended."""
        deadline = time.monotonic() + seconds
        while not done() and self.qemu.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        return bool(done())

    def outcome(self):
        if not self.until(lambda: self.beats() >= 3):
            return NO_START if self.qemu.poll() is not None else "the guest never used it"
        self.backend.kill()
        self.backend.wait()
        before = self.beats()
        time.sleep(0.3)
        self.start_backend()
        # Linux serves some 5 reads of /dev/hwrng out of what it has fetched before.
        if self.until(lambda: self.beats() > before + 15, 30):
            return GOES_ON
        return STUCK if self.qemu.poll() is None else ABORTS


@pytest.mark.parametrize("device_class,way,version,ring,expected", cases())
def test_what_a_reconnecting_chardev_gives(programs, folder, device_class, way, version, ring, expected):
    need_qemu(version)
    bed = Bed(programs, folder, device_class, way, version, ring)
    assert bed.outcome() == expected, programs.log("qemu")[-2000:] + programs.log(device_class)[-1000:]
