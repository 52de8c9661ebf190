# SPDX-License-Identifier: Apache-2.0
"""Backends that are killed -9 at random moments and go on, on the same connection, the guest unaware.

The keeper is keeper.py, a manager written from the manual pages, so that any QEMU can be the front-end; the last test
is our daemon's. About 20 s a guest, 130 s in all; BULKHEAD_FULL=1 kills each disk a hundred times and the others
twenty times, in 10 minutes.
"""
import os
import random
import re
import shutil
import socket
import subprocess
import threading
import time

import pytest
from bedlib import pieces
from beds import BUILD, FULL, QEMUS, RING_PACKED, backend_program, need_qemu, run_qemu, vhost_user
from keeper import Keeper
from nets import Host, Namespace, need as need_program
from systems import CONSOLE, description, domain
from test_iommu import ACCESS_PLATFORM
from test_net import host  # noqa: F401 (a fixture)

KILLS = 100 if FULL else 8
KILLS_OF_OTHERS = 20 if FULL else 6
SEED = int(os.environ.get("BULKHEAD_SEED", "1"))


@pytest.fixture
def keep(programs):
    """keep("blk", "--blk-file=...") starts one of our device processes under a keeper."""
    kept = []

    def start(*arguments, **options):
        kept.append(Keeper(programs, *arguments, **options))
        return kept[-1]

    yield start
    for keeper in kept:
        keeper.end()


@pytest.fixture
def image(folder):
    path = folder / "disk.img"
    with open(path, "wb") as file:
        file.truncate(64 << 20)
    return path


def wait_for(programs, process, mark, seconds=120):
    deadline = time.monotonic() + seconds
    while mark not in programs.log("qemu"):
        assert process.poll() is None, programs.log("qemu")[-4000:]
        assert time.monotonic() < deadline, f"the guest does not say {mark!r}: {programs.log('qemu')[-4000:]}"
        time.sleep(0.05)


def kill_under_load(programs, keeper, kills, enough=lambda process: process.stdin.write(b"enough\n"), each_time=None):
    """For run_qemu's `during`: once the guest works, kill so often, each time after a while of work, then say enough.

    `each_time`: what the guest must have said once more after a kill, before the next one.
    """
    dice = random.Random(SEED)

    def wait_for_another(process, count):
        deadline = time.monotonic() + 60
        while programs.log("qemu").count(each_time) <= count:
            assert process.poll() is None and time.monotonic() < deadline, \
                f"the guest says no other {each_time!r}: {programs.log('qemu')[-4000:]}"
            time.sleep(0.02)

    def during(process):
        wait_for(programs, process, "bulkhead-begun")
        for _ in range(kills):
            time.sleep(dice.expovariate(1 / 0.15))
            if dice.random() < 0.25:
                keeper.kill_twice(dice.uniform(0, 0.02))
            else:
                keeper.kill_and_wait()
            if each_time:
                wait_for_another(process, programs.log("qemu").count(each_time))
        enough(process)
        if process.stdin:
            process.stdin.flush()

    return during


def matrix(*short):
    """Every QEMU and ring layout; those not in `short` run only in the whole matrix."""
    return [pytest.param(version, ring, marks=() if (version, ring) in short else pytest.mark.full)
            for version in QEMUS for ring in ("split", "packed")]


@pytest.mark.parametrize("version,ring", matrix(("qemu-7.2", "split"), ("qemu-11", "packed")))
def test_disk_loses_nothing(programs, keep, image, version, ring):
    qemu = need_qemu(version)
    disk = keep("blk", f"--blk-file={image}", "--num-queues=2")
    device = vhost_user("blk", disk.socket_path, version, ",num-queues=2" + (",packed=on" if ring == "packed" else ""))
    verdict = run_qemu(programs, qemu, "recover-blk", device, extra=[pieces.get("fio-arm64")], limit=300,
                       during=kill_under_load(programs, disk, KILLS))
    assert (RING_PACKED in verdict.features["blk"]) == (ring == "packed")
    assert disk.starts > KILLS
    disk.check()


@pytest.mark.parametrize("version,ring", matrix(("qemu-11", "packed")))
def test_disk_behind_an_iommu_loses_nothing(programs, keep, image, version, ring):
    """Translations die with the process, and so do its questions; its successor asks again."""
    qemu = need_qemu(version)
    disk = keep("blk", f"--blk-file={image}", "--features=+access_platform")
    options = ",iommu_platform=on,disable-legacy=on" + (",packed=on" if ring == "packed" else "")
    device = ["-M", "iommu=smmuv3", *vhost_user("blk", disk.socket_path, version, options)]
    verdict = run_qemu(programs, qemu, "recover-blk", device, extra=[pieces.get("fio-arm64")], limit=300,
                       during=kill_under_load(programs, disk, KILLS))
    assert ACCESS_PLATFORM in verdict.features["blk"] and (RING_PACKED in verdict.features["blk"]) == (ring == "packed")
    assert disk.starts > KILLS
    disk.check()


@pytest.mark.parametrize("version", ["qemu-7.2", pytest.param("qemu-11", marks=pytest.mark.full)])
def test_entropy_keeps_coming(programs, keep, version):
    qemu = need_qemu(version)
    rng = keep("rng")
    verdict = run_qemu(programs, qemu, "recover-rng", vhost_user("rng", rng.socket_path, version),
                       during=kill_under_load(programs, rng, KILLS_OF_OTHERS))
    chunks = re.findall(r"^bulkhead-bytes: ([0-9a-f]*)$", verdict.output, re.MULTILINE)
    assert len(chunks) >= 16 and all(len(chunk) == 128 for chunk in chunks)
    assert len(set(chunks)) == len(chunks), "the same bytes came twice"
    assert rng.starts > KILLS_OF_OTHERS
    rng.check()


class Talk:
    """The host's end of a console: sends numbered lines, a few at a time, and keeps what it hears."""

    def __init__(self):
        self.ours, self.theirs = socket.socketpair()
        self.heard, self.sent = b"", []
        self.enough = threading.Event()
        self.threads = [threading.Thread(target=run, daemon=True) for run in (self.hear, self.send)]
        for thread in self.threads:
            thread.start()

    def hear(self):
        while not re.search(rb"\nlines: \d+\r?\n", self.heard):
            data = self.ours.recv(65536)
            if not data:
                return
            self.heard += data

    def send(self):
        while not self.heard:
            time.sleep(0.05)
        while not self.enough.wait(0.02):
            self.sent.append(f"{len(self.sent)} from the host to the guest")
            self.ours.sendall(self.sent[-1].encode() + b"\n")
        self.ours.sendall(b"enough\n")

    def whole(self):
        for thread in self.threads:
            thread.join(30)
        count = int(re.search(rb"\nlines: (\d+)", self.heard).group(1))
        said = [f"line {number} of a text that is long enough to be cut somewhere" for number in range(1, count + 1)]
        return "\n".join([*said, f"lines: {count}", ""])


def test_console_loses_nothing(programs, keep):
    qemu = need_qemu("qemu-11")
    talk = Talk()
    console = keep("console", "--port=stdio", stream=talk.theirs)
    verdict = run_qemu(programs, qemu, "recover-console", vhost_user("console", console.socket_path, "qemu-11"),
                       during=kill_under_load(programs, console, KILLS_OF_OTHERS, lambda process: talk.enough.set()))
    whole = talk.whole()
    heard = re.findall(r"^bulkhead-heard: (.*)$", verdict.output, re.MULTILINE)
    assert talk.heard.decode() == whole, "what the guest said did not come whole"
    assert heard == talk.sent, "what the host said did not come whole"
    assert console.starts > KILLS_OF_OTHERS
    console.check()


@pytest.mark.parametrize("version,ring", matrix(("qemu-11", "packed")))
def test_net_goes_on(programs, keep, host, version, ring):
    qemu = need_qemu(version)
    host.server.handle_error = lambda *_: None  # connections that end in the midst are what is tried
    net = keep("net", host.forward)
    device = vhost_user("net", net.socket_path, version, ",packed=on" if ring == "packed" else "")
    verdict = run_qemu(programs, qemu, "recover-net", device, words=f"bulkhead.hostport={host.port}",
                       during=kill_under_load(programs, net, KILLS_OF_OTHERS, each_time="bulkhead-fetched"))
    assert (RING_PACKED in verdict.features["net"]) == (ring == "packed")
    assert net.starts > KILLS_OF_OTHERS
    net.check()


def on_tap(programs, keep, namespace):
    return keep("net", f"--net={namespace.path}", "--", backend_program("net"), "--tap=tap0", program="nsenter")


def on_link(programs, keep, namespace):
    """The link's other end is a port of our switch, whose other port is the tap."""
    cable = programs.folder / "cable"
    programs.start_ready(BUILD / "programs" / "bulkhead-switch", "--port=tap:tap0", f"--port=link:{cable}",
                         name="switch", before=namespace.before)
    return keep("net", f"--link-path={cable}")


def on_stream(programs, keep, namespace):
    """The other end is passt, which waits for the next one when its client is gone."""
    need_program("passt")
    path = programs.folder / "passt.socket"
    programs.start([*namespace.before, "passt", "--foreground", "--runas", "0", "--socket", path, "-4", "--interface", "tap0",
                    "--gateway", "10.77.0.9", "--address", "10.77.0.2", "--tcp-ports", "none", "--udp-ports", "none"], "passt")
    deadline = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < deadline, programs.log("passt")
        time.sleep(0.05)
    return keep("net", f"--stream-path={path}")


@pytest.mark.parametrize("outside,version,ring,words", [
    (on_tap, "qemu-11", "packed", "bulkhead.address=10.77.0.2/24 bulkhead.gateway=10.77.0.1"),
    pytest.param(on_link, "qemu-7.2", "split", "bulkhead.address=10.77.0.2/24 bulkhead.gateway=10.77.0.1",
                 marks=pytest.mark.full),
    pytest.param(on_stream, "qemu-11", "split", "bulkhead.address=10.77.0.2/24 bulkhead.gateway=10.77.0.9",
                 marks=pytest.mark.full)])
def test_net_goes_on_whatever_is_behind_it(programs, keep, outside, version, ring, words):
    """The host's connections live outside of the process here: those that were open may go on."""
    qemu = need_qemu(version)
    namespace = Namespace(programs)
    namespace.tap("tap0", "10.77.0.1/24")
    server = Host("10.77.0.2:8080", "127.0.0.1" if outside is on_stream else "10.77.0.1", namespace)
    server.server.handle_error = lambda *_: None
    try:
        net = outside(programs, keep, namespace)
        device = vhost_user("net", net.socket_path, version, ",packed=on" if ring == "packed" else "")
        verdict = run_qemu(programs, qemu, "recover-net", device, words=f"bulkhead.hostport={server.port} {words}",
                           during=kill_under_load(programs, net, KILLS_OF_OTHERS, each_time="bulkhead-fetched"))
    finally:
        server.end()
    assert (RING_PACKED in verdict.features["net"]) == (ring == "packed")
    assert net.starts > KILLS_OF_OTHERS
    net.check()


@pytest.mark.parametrize("version,ring", matrix(("qemu-7.2", "packed")))
def test_sockets_end_by_a_reset_and_new_ones_are_taken(programs, keep, folder, version, ring):
    """Connections are not kept, as their sockets died with the process: the guest gets an RST for each."""
    qemu = need_qemu(version)
    vsock = keep("vsock", "--guest-cid=3", f"--host-path={folder / 'v'}")
    programs.start(["socat", "-U", f"UNIX-LISTEN:{folder}/v_5000,fork", "EXEC:echo hello guest"], "hello")
    programs.start(["socat", "-U", f"UNIX-LISTEN:{folder}/v_5001,fork", "SYSTEM:while echo a line; do sleep 0.05; done"], "endless")
    device = vhost_user("vsock", vsock.socket_path, version, ",packed=on" if ring == "packed" else "")
    verdict = run_qemu(programs, qemu, "recover-vsock", device, extra=[pieces.get("socat-arm64")],
                       during=kill_under_load(programs, vsock, KILLS_OF_OTHERS, each_time="bulkhead-answered"))
    assert (RING_PACKED in verdict.features["vsock"]) == (ring == "packed")
    assert int(re.search(r"^bulkhead-ended: (\d+)", verdict.output, re.MULTILINE).group(1)) > 0, "none that lasted was seen to end"
    assert vsock.starts > KILLS_OF_OTHERS
    vsock.check()


@pytest.mark.parametrize("version,ring", matrix(("qemu-7.2", "split")))
def test_disk_is_killed_all_through_the_set_up(programs, keep, image, version, ring):
    """From QEMU's first message on, through the guest's driver's start: each kill as soon as the backend is back."""
    qemu = need_qemu(version)
    disk = keep("blk", f"--blk-file={image}", "--num-queues=2")
    dice = random.Random(SEED)
    device = vhost_user("blk", disk.socket_path, version, ",num-queues=2" + (",packed=on" if ring == "packed" else ""))

    def during(process):
        while "bulkhead-begun" not in programs.log("qemu"):
            assert process.poll() is None, programs.log("qemu")[-4000:]
            disk.kill_and_wait()
            time.sleep(dice.choice((0, 0.002, 0.02, 0.1)))
        process.stdin.write(b"enough\n")
        process.stdin.flush()

    run_qemu(programs, qemu, "recover-blk", device, extra=[pieces.get("fio-arm64")], limit=300, during=during)
    assert disk.starts > 10
    disk.check()


# --- with our daemon ---------------------------------------------------------------------------------------------------

DEVICES = CONSOLE + """rng { compatible = "bulkhead,rng"; };
                       disk { compatible = "bulkhead,blk"; blk-file = "state:disk.img"; bulkhead,create-size = "64M"; };
                       net { compatible = "bulkhead,net"; };"""
WORK = ("dd if=/dev/urandom of=/tmp/data bs=1M count=16",
        "dd if=/tmp/data of=/data/copy bs=64k conv=fsync",
        "dd if=/tmp/data of=/data/copy bs=4k conv=fsync",
        "echo 3 >/proc/sys/vm/drop_caches; cmp /tmp/data /data/copy && echo the $((1 + 1)) are the same",
        "dd if=/dev/hwrng bs=64 count=16 | wc -c",
        "echo $((40 + 2)) is it")


class Shell(threading.Thread):
    """Works in the guest, over the console that is among what is killed."""

    def __init__(self, runs):
        super().__init__(daemon=True)
        self.console = runs.start("console", "linux-a", stdin=subprocess.PIPE)
        self.said = ""
        self.start()

    def run(self):
        if not self.wait_for("linux-a:~# "):  # what is typed before the shell is there, its terminal forgets
            return
        for work in WORK:
            self.console.stdin.write(f"{work}; echo done-$?\n")
            self.console.stdin.flush()
            if not self.wait_for(r"done-[0-9]+"):
                return

    def wait_for(self, pattern):
        here = len(self.said)
        while not re.search(pattern, self.said[here:]):
            text = os.read(self.console.stdout.fileno(), 4096).decode(errors="replace")
            if not text:
                return False
            self.said += text
        return True


def install(runs, libexec, programs):
    """The programs that the daemon finds from now on: links, as an installation's upgrade would change them."""
    libexec.mkdir(exist_ok=True)
    for program in programs.glob("bulkhead-*"):
        if program.is_file():
            link = libexec / f".{program.name}"
            link.symlink_to(program)
            link.rename(libexec / program.name)
    runs.environment["BULKHEAD_LIBEXEC"] = str(libexec)


def newer_programs(folder):
    """Another compiler's build of the same programs, where there is one; else copies, which are other files at least."""
    other = BUILD.parent / "build-check" / "clang" / "programs"
    if not (other / "bulkhead-blk").exists():
        other = folder / "newer"
        other.mkdir()
        for program in (BUILD / "programs").glob("bulkhead-*"):
            if program.is_file():
                shutil.copy2(program, other)
    return other


def units_of(runs):
    return {unit["name"]: unit for unit in runs.report()["units"]}


def wait_until_back(runs, name, old_pid):
    deadline = time.monotonic() + 30
    while True:
        unit = units_of(runs)[name]
        if unit["state"] == "ready" and unit["pid"] != old_pid:
            return
        assert time.monotonic() < deadline, f"{unit}\n{runs.run('logs').stdout}"
        time.sleep(0.05)


def test_domain_does_not_notice_that_its_devices_are_killed_and_replaced(runs, folder):
    policy = "bulkhead,restart-limit = <1000>; bulkhead,restart-window = \"1s\";"
    system = description(folder, "one", domain("linux-a", 1, policy + DEVICES))
    install(runs, folder / "libexec", BUILD / "programs")
    up = runs.run("up", "--detach", system)
    assert up.returncode == 0, up.stderr
    before = units_of(runs)
    shell = Shell(runs)
    dice = random.Random(SEED)
    devices = [name for name in before if "." in name]
    for kill in range(40 if FULL else 8):
        name = devices[kill % len(devices)]
        pid = units_of(runs)[name]["pid"]
        assert runs.kill(pid)
        wait_until_back(runs, name, pid)
        time.sleep(dice.uniform(0, 0.3))
    newer = newer_programs(folder)
    install(runs, folder / "libexec", newer)
    for name in devices:
        pid = units_of(runs)[name]["pid"]
        restarted = runs.run("restart", name)
        assert restarted.returncode == 0 and "ready after" in restarted.stdout, restarted.stderr
        wait_until_back(runs, name, pid)
        running = os.readlink(f"/proc/{units_of(runs)[name]['pid']}/exe")
        assert running.startswith(f"{newer}/"), f"{name} is still {running}"
    shell.join(60)
    after = units_of(runs)
    assert "the 2 are the same" in shell.said and "42 is it" in shell.said, shell.said
    shell.console.kill()
    shell.console.wait()
    assert after["linux-a"]["pid"] == before["linux-a"]["pid"] and after["linux-a"]["restarts"] == 0
    assert "goes on from what was kept, and linux-a runs on" in runs.run("logs").stdout
    assert runs.run("down").returncode == 0
    assert runs.left(2) == []
