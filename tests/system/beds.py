# SPDX-License-Identifier: Apache-2.0
"""The machines of the system tests: device processes, User-mode Linux, QEMU. One class or function for each."""
import importlib.machinery
import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from bedlib import cpio, pieces

TOP = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("BULKHEAD_BUILD", TOP / "build"))
FULL = bool(os.environ.get("BULKHEAD_FULL"))
VIRTIO_ID = {"net": 1, "blk": 2, "console": 3, "rng": 4, "vsock": 19}
RING_PACKED, EVENT_IDX, INDIRECT_DESC = 34, 29, 28
VSOCK_SEQPACKET = 1
# What a backend withholds, and what a driver may then accept of the features that change how a ring is used.
FEATURES = {"all": ((), {EVENT_IDX, INDIRECT_DESC}),
            "no-event-idx": (("-event_idx",), {INDIRECT_DESC}),
            "no-indirect": (("-indirect_desc",), {EVENT_IDX}),
            "neither": (("-event_idx", "-indirect_desc"), set())}


def system_qemu():
    return shutil.which("qemu-system-aarch64")


def cached_qemu():
    return str(pieces.get("qemu") / "bin" / "qemu-system-aarch64")


QEMUS = {"qemu-7.2": system_qemu, "qemu-11": cached_qemu}


def need_qemu(version):
    qemu = QEMUS[version]()
    if qemu is None:
        pytest.skip(f"{version} is not installed")
    return qemu


def connect_soon(path, patience=5):
    """A connection to a Unix socket that somebody is about to listen on."""
    deadline = time.monotonic() + patience
    while True:
        peer = socket.socket(socket.AF_UNIX)
        try:
            peer.connect(str(path))
            return peer
        except OSError:
            peer.close()
            assert time.monotonic() < deadline, f"nobody listens on {path}"
            time.sleep(0.05)


def matrix(versions, in_short=()):
    """(version, ring, features) for every front-end, ring layout and feature set; all but `in_short` are long."""
    return [pytest.param(version, ring, features,
                         marks=() if (version, ring, features) in in_short else pytest.mark.full)
            for version in versions for ring in ("split", "packed") for features in FEATURES]


def features_option(*words):
    """The option that withholds these, as a list of none or one."""
    return ["--features=" + ",".join(words)] if words else []


def accepted(ring, features):
    """Which of RING_PACKED, EVENT_IDX and INDIRECT_DESC Linux accepts then."""
    return FEATURES[features][1] | ({RING_PACKED} if ring == "packed" else set())


def backend_program(device_class):
    return BUILD / "programs" / f"bulkhead-{device_class}"


class Programs:
    """Programs of one test. Each is a process group of its own, so that what it started ends with it."""

    def __init__(self, folder):
        self.folder = folder
        self.started = []

    def start(self, command, name, **options):
        log = open(self.folder / f"{name}.log", "ab")
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("stdout", log)
        process = subprocess.Popen([str(word) for word in command], stderr=log, start_new_session=True, **options)
        log.close()
        self.started.append(process)
        return process

    def start_backend(self, program, *options, name, before=(), pass_fds=()):
        """Starts a device process on a socket of its own, which it returns with it.

        `before` are words in front of its command, such as nsenter's.
        """
        path = self.folder / f"{name}.sock"
        process = self.start_ready(program, f"--socket-path={path}", *options, name=name, before=before,
                                   pass_fds=pass_fds)
        process.socket_path = path
        return process

    def start_ready(self, program, *options, name, before=(), pass_fds=()):
        """Starts a program of ours and waits until it says by sd_notify's protocol that it is ready."""
        notify = self.folder / f"{name}.notify"
        notify.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
            ready.bind(str(notify))
            ready.settimeout(0.2)
            process = self.start([*before, program, *options], name,
                                 env={**os.environ, "NOTIFY_SOCKET": str(notify)}, pass_fds=pass_fds)
            deadline = time.monotonic() + 10
            while True:
                try:
                    if "READY=1" in ready.recv(4096).decode().split("\n"):
                        break
                except TimeoutError:
                    pass
                assert process.poll() is None, f"{program.name} ended at once: {self.log(name)}"
                assert time.monotonic() < deadline, f"{program.name} does not become ready: {self.log(name)}"
        return process

    def log(self, name):
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def end(self):
        for process in reversed(self.started):
            for number, patience in ((signal.SIGTERM, 3), (signal.SIGKILL, 3)):
                try:
                    os.killpg(process.pid, number)
                except ProcessLookupError:
                    break
                try:
                    process.wait(patience)
                    break
                except subprocess.TimeoutExpired:
                    continue


@dataclass
class Verdict:
    """What a guest's test said: all it printed, and the features its driver accepted, by device class."""

    output: str
    features: dict


def read_verdict(test, output):
    """Raises unless the guest said that the test passed; returns what else it said."""
    assert f"bulkhead-test: {test}: passed" in output, output[-4000:]
    features = {}
    for device_class, bits in re.findall(r"^bulkhead-features: (\S+) ([01]+)", output, re.MULTILINE):
        features[device_class] = {index for index, bit in enumerate(bits) if bit == "1"}
    return Verdict(output, features)


def build_ramdisk(flavour):
    """The path of the flavour's ramdisk in the cache."""
    loader = importlib.machinery.SourceFileLoader("ramdisk", str(TOP / "testbeds" / "ramdisk"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("ramdisk", loader))
    loader.exec_module(module)
    return module.build(flavour)


def ramdisk(flavour, folder, extra=()):
    """The flavour's ramdisk with the guests' tests (and further roots, such as fio's) appended."""
    tests = cpio.Ramdisk()
    for path in sorted((TOP / "tests" / "system" / "guest").iterdir()):
        tests.add_file(f"tests/{path.name}", path.read_bytes(), 0o755)
    for tree in extra:
        tests.add_tree(tree)
    descriptor, path = tempfile.mkstemp(".cpio", f"{flavour}-", folder)  # of this guest alone: others boot at the same time
    base = build_ramdisk(flavour).read_bytes()
    # Linux looks for a further archive at a multiple of four bytes only, and skips zeros.
    with open(descriptor, "wb") as file:
        file.write(base + b"\0" * (-len(base) % 4) + tests.bytes(compress=False))
    return path


# Linux's virtio_uml takes the packed layout but announces each ring at position 0 with both wrap counters 0, where a
# fresh packed ring stands at 1: such a ring never moves. So backends that it judges offer no packed ring.
UML_FEATURES = "--features=-packed"


def run_uml(programs, test, devices, limit=90, arguments=(), name="uml", extra=()):
    """Boots User-mode Linux with vhost-user devices [(class, socket)], runs one test in it, returns its Verdict.

    The devices must have been started with UML_FEATURES (and more words after it, if need be).
    """
    folder = programs.folder
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else str(folder)
    command = [pieces.get("uml") / "linux.uml", "mem=256M", f"initrd={ramdisk('uml', folder, extra)}", f"uml_dir={folder}",
               f"umid={name}", "con=null", "con0=fd:0,fd:1", "quiet", "panic=1", f"bulkhead.test={test}",
               *arguments]
    command += [f"virtio_uml.device={path}:{VIRTIO_ID[device_class]}" for device_class, path in devices]
    process = programs.start(command, name, env={**os.environ, "TMPDIR": memory})
    try:
        process.wait(limit)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"the guest did not end within {limit} s:\n{programs.log(name)[-4000:]}") from None
    return read_verdict(test, programs.log(name))


def machine(qemu, memory="256M"):
    """QEMU's arguments for a machine whose memory backends can map, with nothing on it."""
    return [qemu, "-M", "virt,memory-backend=m", "-object", f"memory-backend-memfd,id=m,size={memory},share=on",
            "-m", memory, "-cpu", "cortex-a72", "-smp", "2", "-display", "none", "-nodefaults", "-no-reboot"]


def vhost_user(device_class, path, version, options="", pairs=1):
    """QEMU's arguments for one vhost-user device, `options` being properties such as ",packed=on".

    `pairs`: of a net's queues.
    """
    arguments = ["-chardev", f"socket,id={device_class}c,path={path}"]
    if device_class == "net":
        # 7.2 crashes under TCG once the driver starts this device with MSI-X.
        vectors = ",vectors=0" if version == "qemu-7.2" else ""
        if pairs > 1:
            options += ",mq=on" + ("" if vectors else f",vectors={2 * pairs + 2}")
        return arguments + ["-netdev", f"vhost-user,id=netn,chardev=netc,queues={pairs}", "-device",
                            f"virtio-net-pci,netdev=netn,mac=02:00:00:00:00:01,romfile={vectors}{options}"]
    if device_class == "console":
        return arguments + ["-device", "vhost-user-test-device-pci,chardev=consolec,virtio-id=3,num_vqs=2,config_size=12"
                            + options]
    if device_class == "blk" and "num-queues" not in options:
        options += ",num-queues=1"
    return arguments + ["-device", f"vhost-user-{device_class}-pci,chardev={device_class}c{options}"]


def guest_command(programs, qemu, test, arguments, extra=(), words=""):
    """The command that boots Debian's arm64 kernel under a QEMU with the given devices and runs one test in it."""
    return machine(qemu, "1G" if extra else "256M") + [
        "-serial", "stdio", "-kernel", pieces.get("kernel-arm64") / "Image", "-initrd",
        ramdisk("arm64", programs.folder, extra), "-append",
        f"console=ttyAMA0 quiet panic=-1 bulkhead.test={test} {words}", *arguments]


def run_qemu(programs, qemu, test, arguments, extra=(), limit=120, words="", during=None):
    """Boots that guest and returns its Verdict.

    `during` is called with the process while it runs; the guest's early console is its stdin.
    """
    process = programs.start(guest_command(programs, qemu, test, arguments, extra, words), "qemu",
                             stdin=subprocess.PIPE if during else subprocess.DEVNULL)
    try:
        if during:
            during(process)
        process.wait(limit)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"the guest did not end within {limit} s:\n{programs.log('qemu')[-4000:]}") from None
    return read_verdict(test, programs.log("qemu").replace("\r", ""))
