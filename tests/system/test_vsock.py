# SPDX-License-Identifier: Apache-2.0
"""Our vsock backend, judged by Linux's driver and by programs that nobody here wrote: socat in the guest, socat and ncat
on the host; and by vsock_peer.c where those are too slow or cannot do it."""
import os
import random
import re
import selectors
import shutil
import socket
import subprocess
import threading
import time

import pytest
from beds import (BUILD, FULL, RING_PACKED, TOP, UML_FEATURES, VSOCK_SEQPACKET, build_ramdisk, need_qemu, ramdisk,
                  run_qemu, run_uml, vhost_user)
from bedlib import pieces
from keeper import Keeper
from systems import Runs, description, domain

SYSTEM = TOP / "tests" / "system"
SOCAT_PEER = SYSTEM / "guest" / "vsock-peer"
BULK = (1 << 30) if FULL else (64 << 20)
CHURN = 10000 if FULL else 2000
KILLS = 20 if FULL else 6
SEED = int(os.environ.get("BULKHEAD_SEED", "1"))


def talk(programs, folder, size, path):
    """socat and ncat beside the guest's `vsock` test. Returns what judges its output: the sums of both ways are the same."""
    programs.start(["socat", "-U", f"UNIX-LISTEN:{path}_5000,fork", "EXEC:echo hello guest"], "socat-hello")
    socat = programs.start([SOCAT_PEER, str(size), folder / "out", f"UNIX-LISTEN:{path}_5001"], "socat")
    # The guest's listener is there a moment after its system is up: until then nobody takes the connection.
    ncat = programs.start(["sh", "-c", f"""
        until {{ printf 'CONNECT 1025\\n'; head -c {size} /dev/urandom | tee {folder}/in.data; }} | ncat -U {path} |
            {{ read -r ok && echo "$ok" >{folder}/in.ok && sha256sum >{folder}/in.got; }}
        do sleep 0.1; done
        sha256sum <{folder}/in.data >{folder}/in.sent"""], "ncat")

    def judge(output):
        assert socat.wait(60) == 0
        assert ncat.wait(60) == 0
        assert re.fullmatch(r"OK \d+\n", (folder / "in.ok").read_text())
        for name in ("in", "out"):
            sent, got = ((folder / f"{name}.{end}").read_text().split()[0] for end in ("sent", "got"))
            assert f"bulkhead-sums: {name} {got} {sent}\n" in output, f"{name}: {sent} {got}"

    return judge


def judge_by_socat(programs, backend, folder, size, boot, *options):
    vsock = backend("vsock", "--guest-cid=3", f"--host-path={folder / 'v'}", *options)
    judge = talk(programs, folder, size, folder / "v")
    verdict = boot(vsock.socket_path)
    judge(verdict.output)
    assert VSOCK_SEQPACKET in verdict.features["vsock"]
    assert vsock.poll() is None, "the backend did not outlive its guest"
    return verdict


def test_socat_and_ncat_under_uml(programs, backend, folder):
    size = 4 << 20
    judge_by_socat(programs, backend, folder, size,
                   lambda path: run_uml(programs, "vsock", [("vsock", path)], arguments=[f"bulkhead.bytes={size}"],
                                        extra=[pieces.get("socat-host")]), UML_FEATURES)


@pytest.mark.parametrize("version,ring", [
    ("qemu-7.2", "packed"), ("qemu-11", "split"),
    pytest.param("qemu-7.2", "split", marks=pytest.mark.full),
    pytest.param("qemu-11", "packed", marks=pytest.mark.full)])
def test_socat_and_ncat_under_qemu(programs, backend, folder, version, ring):
    qemu = need_qemu(version)
    size = 1 << 20
    verdict = judge_by_socat(
        programs, backend, folder, size,
        lambda path: run_qemu(programs, qemu, "vsock",
                              vhost_user("vsock", path, version, ",packed=on" if ring == "packed" else ""),
                              words=f"bulkhead.bytes={size}", extra=[pieces.get("socat-arm64")]))
    assert (RING_PACKED in verdict.features["vsock"]) == (ring == "packed")


class Many:
    """A guest under User-mode Linux that runs one part of `vsock-many`, and the host's side of it."""

    def __init__(self, programs, backend, folder):
        self.programs, self.backend, self.folder, self.path = programs, backend, folder, folder / "v"
        self.peer = folder / "root" / "tests" / "vsock_peer"
        self.peer.parent.mkdir(parents=True)
        self.compile("gcc")
        self.vsock = None  # a process, or its keeper

    def compile(self, compiler):
        subprocess.run([compiler, "-O2", "-static", "-o", self.peer, SYSTEM / "vsock_peer.c"], check=True)

    def start(self, *options):
        self.vsock = self.backend("vsock", "--guest-cid=3", f"--host-path={self.path}", UML_FEATURES, *options)
        return self.vsock

    def boot(self, part, *arguments, name="uml", limit=120, vsock=None):
        verdict = run_uml(self.programs, "vsock-many", [("vsock", (vsock or self.vsock).socket_path)],
                          arguments=[f"bulkhead.part={part}", *arguments], limit=limit, name=name,
                          extra=[pieces.get("socat-host"), self.folder / "root"])
        backend = vsock or self.vsock
        assert isinstance(backend, Keeper) or backend.poll() is None, "the backend did not outlive its guest"
        return verdict

    def flow(self, size, name="flow"):
        """The other end of the guest's `flow 2 5001 stream 1 2`, a socat between two pipes. Returns how it is waited for."""
        process = self.programs.start(
            ["sh", "-c", f"{self.peer} gen 2 {size} | socat -b 65536 -t 600 - UNIX-LISTEN:{self.path}_5001,unlink-early | "
             f"{self.peer} check 1 {size}"], name)
        return lambda: process.wait(600) == 0

    def listen(self, port, kind=socket.SOCK_STREAM):
        listener = socket.socket(socket.AF_UNIX, kind)
        listener.bind(f"{self.path}_{port}")
        listener.listen(64)
        listener.settimeout(60)
        return listener

    def connect(self, port, kind=socket.SOCK_STREAM):
        """A connection to the guest's port, once somebody listens there."""
        deadline = time.monotonic() + 30
        while True:
            client = socket.socket(socket.AF_UNIX, kind)
            client.settimeout(30)
            client.connect(str(self.path) + (".seqpacket" if kind == socket.SOCK_SEQPACKET else ""))
            client.sendall(f"CONNECT {port}\n".encode())
            answer = b""
            try:
                while not answer.endswith(b"\n"):
                    byte = client.recv(64 if kind == socket.SOCK_SEQPACKET else 1)
                    if not byte:
                        break
                    answer += byte
            except ConnectionResetError:
                pass
            if answer.startswith(b"OK "):
                return client
            client.close()
            assert time.monotonic() < deadline, f"the guest does not take connections to port {port}"
            time.sleep(0.02)

    def state(self):
        """Open files of the backend, and kB of its memory that are its own."""
        status = open(f"/proc/{self.vsock.pid}/status").read()
        own = sum(int(value) for value in re.findall(r"^(?:RssAnon):\s+(\d+)", status, re.MULTILINE))
        return len(os.listdir(f"/proc/{self.vsock.pid}/fd")), own


@pytest.fixture
def many(programs, backend, folder):
    return Many(programs, backend, folder)


class Background(threading.Thread):
    """Runs the host's side in a thread that keeps nobody from ending."""

    def __init__(self, work):
        super().__init__(daemon=True)
        self.work, self.error = work, None
        self.start()

    def run(self):
        try:
            self.work()
        except Exception as error:  # it is raised again by who waits
            self.error = error

    def done(self):
        self.join(60)
        assert not self.is_alive(), "the host's side did not end"
        if self.error:
            raise self.error


def test_bulk_both_ways_at_once(many):
    """64 MiB (1 GiB in the full run) each way on one connection, every byte compared."""
    many.start()
    done = many.flow(BULK)
    many.boot("both", f"bulkhead.bytes={BULK}", limit=600)
    assert done()


def exchange(connection, answer):
    """Takes what came and answers it. False: the connection is over, or its other end was killed."""
    try:
        data = connection.recv(64)
        connection.sendall(answer or data)
        return bool(data)
    except (ConnectionResetError, BrokenPipeError):
        return False


class Echo:
    """Answers connections with what they send, or with a word that says stop."""

    def __init__(self, listener):
        self.listener, self.watch, self.ended, self.stop = listener, selectors.DefaultSelector(), 0, False
        self.watch.register(listener, selectors.EVENT_READ)

    def serve(self, count):
        """Until so many have ended since the start."""
        while self.ended < count:
            ready = self.watch.select(60)
            assert ready, f"the guest has made {self.ended} of {count} connections, and no more"
            for key, _ in ready:
                if key.fileobj is self.listener:
                    self.watch.register(self.listener.accept()[0], selectors.EVENT_READ)
                elif not exchange(key.fileobj, b"\xff" * 8 if self.stop else None):
                    self.watch.unregister(key.fileobj)
                    key.fileobj.close()
                    self.ended += 1


def test_many_connections_leave_nothing_behind(many):
    many.start()
    before = {}

    def host():
        echo, gate, first = Echo(many.listen(5002)), many.listen(5009), 200
        echo.serve(first)
        before["out"] = many.state()
        echo.serve(CHURN)
        held = gate.accept()[0]  # the guest goes on when this one ends
        for number in range(CHURN):
            client = many.connect(1024)
            client.sendall(b"%08d" % number)
            assert client.recv(64) == b"%08d" % number
            client.close()
            if number == first:
                before["in"] = many.state()
        time.sleep(0.5)
        before["end"] = many.state()
        held.close()

    background = Background(host)
    many.boot("churn", f"bulkhead.count={CHURN}", limit=600)
    background.done()
    for name in ("out", "in"):
        assert abs(before["end"][0] - before[name][0]) <= 2, f"open files: {before}"
        assert before["end"][1] - before[name][1] <= 256, f"memory grew: {before}"


def test_reader_that_stops_stops_only_itself(many):
    many.start()
    size = 8 << 20
    stuck = []

    def host():
        listener, gate = many.listen(5003), many.listen(5009)
        stuck.append(listener.accept()[0])  # and nothing is read from it
        assert many.flow(size, "flow-1")()
        client = many.connect(1026)
        client.settimeout(2)
        sent = 0
        try:
            while True:
                sent += client.send(b"x" * 65536)
        except TimeoutError:
            pass
        assert sent > 65536
        stuck.append(client)
        done = many.flow(size, "flow-2")
        gate.accept()[0].close()
        assert done()

    background = Background(host)
    verdict = many.boot("stall", f"bulkhead.bytes={size}")
    background.done()
    taken = int(re.search(r"^taken (\d+)", verdict.output, re.MULTILINE)[1])
    assert 256 << 10 <= taken < 4 << 20, "what was taken of it is bounded"


def test_messages_stay_whole(many):
    many.start()

    def host():
        gate = many.listen(5009)
        held = gate.accept()[0]
        client = many.connect(1027, socket.SOCK_SEQPACKET)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 18)
        for size in (1, 2, 100, 4051, 4052, 4053, 8192, 65535, 30000, 250000):
            message = os.urandom(size)
            client.sendall(message)
            assert client.recv(1 << 18) == message
        for number in range(100):  # several under way
            client.sendall(b"%d" % number)
        assert [client.recv(100) for _ in range(100)] == [b"%d" % number for number in range(100)]
        client.close()
        held.close()

    background = Background(host)
    many.boot("messages")
    background.done()


def test_guest_to_guest(many):
    size = 4 << 20
    vsocks = [many.backend("vsock", f"--guest-cid={cid}", f"--sibling-dir={many.folder}", f"--peer={7 - cid}", UML_FEATURES,
                           name=f"vsock{cid}") for cid in (3, 4)]
    failures = []

    def run(end):
        try:
            many.boot("sibling", f"bulkhead.end={end}", f"bulkhead.bytes={size}", name=f"uml{end}", vsock=vsocks[end - 1])
        except AssertionError as error:
            failures.append(error)

    guests = [threading.Thread(target=run, args=(end,)) for end in (1, 2)]
    for guest in guests:
        guest.start()
    for guest in guests:
        guest.join()
    assert not failures, failures[0]


class Killed:
    """The host's side of "recover": the device process is killed -9 at random moments under traffic, and goes on."""

    def __init__(self, many):
        self.many, self.keeper = many, Keeper(many.programs, "vsock", "--guest-cid=3", f"--host-path={many.path}", *many.features)
        many.vsock = self.keeper
        self.gate, self.echo = many.listen(5009), Echo(many.listen(5002))
        threading.Thread(target=self.echo.serve, args=(1 << 30,), daemon=True).start()

    def kill(self, log):
        """While the guest runs, whose early console is `log`."""
        dice = random.Random(SEED)
        deadline = time.monotonic() + 60
        while "bulkhead-begun" not in self.many.programs.log(log):
            assert time.monotonic() < deadline, f"the guest does not begin: {self.many.programs.log(log)[-4000:]}"
            time.sleep(0.05)
        held = self.gate.accept()[0]
        for number in range(KILLS):
            time.sleep(dice.expovariate(1 / 0.15))
            if dice.random() < 0.25:
                self.keeper.kill_twice(dice.uniform(0, 0.02))
            else:
                self.keeper.kill_and_wait()
            client = self.many.connect(1024)  # the guest's listener has remained
            client.sendall(b"%08d" % number)
            assert client.recv(64) == b"%08d" % number
            client.close()
        self.echo.stop = True
        held.close()

    def judge(self, verdict):
        words, ends = map(int, re.search(r"^words (\d+) ends (\d+)", verdict.output, re.MULTILINE).groups())
        assert words > KILLS and 0 < ends <= 2 * KILLS
        assert self.keeper.starts > KILLS
        self.keeper.check()


def test_connections_end_and_new_ones_begin_when_the_process_is_killed(many):
    many.features = [UML_FEATURES]
    killed = Killed(many)
    try:
        background = Background(lambda: killed.kill("uml"))
        verdict = many.boot("recover")
        background.done()
        killed.judge(verdict)
    finally:
        killed.keeper.end()


@pytest.mark.parametrize("version,ring", [
    ("qemu-11", "packed"), *(pytest.param(*row, marks=pytest.mark.full) for row in
                             (("qemu-7.2", "split"), ("qemu-7.2", "packed"), ("qemu-11", "split")))])
def test_the_same_under_qemu_which_keeps_the_event_queue(many, version, ring):
    qemu = need_qemu(version)
    many.compile("aarch64-linux-gnu-gcc")
    many.features = []
    killed = Killed(many)
    device = vhost_user("vsock", killed.keeper.socket_path, version, ",packed=on" if ring == "packed" else "")
    try:
        killed.judge(run_qemu(many.programs, qemu, "vsock-many", device, words="bulkhead.part=recover",
                              extra=[pieces.get("socat-arm64"), many.folder / "root"],
                              during=lambda process: killed.kill("qemu")))
    finally:
        killed.keeper.end()


def test_guests_of_one_description_talk(many, folder):
    """`bulkhead up` of two domains whose vsocks name each other; nothing else is told where the other one is."""
    many.compile("aarch64-linux-gnu-gcc")
    disk = ramdisk("arm64", folder, [pieces.get("socat-arm64"), folder / "root"])
    runs = Runs(folder)
    domains = []
    for end, name in enumerate(("linux-a", "linux-b"), 1):
        text = domain(name, end, f'vsock {{ compatible = "bulkhead,vsock"; guest-cid = <{end + 2}>; '
                      f'peer = "{5 - end}"; }};', "never")
        text = text.replace(str(build_ramdisk("arm64")), str(disk))
        domains.append(text.replace(f"bulkhead.name={name}", f"quiet bulkhead.test=vsock-many bulkhead.part=sibling "
                                    f"bulkhead.end={end} bulkhead.bytes=300000"))
    try:
        up = runs.run("up", "--detach", description(folder, "pair", *domains))
        assert up.returncode == 0, up.stderr
        assert (runs.run_dir / "pair" / "vsock" / "linux-a.vsock" / "host").is_socket()
        assert {path.name for path in (runs.run_dir / "pair" / "vsock" / "3-4").iterdir()} == {"3-4", "4-3"}
        logs = [runs.start("logs", "--follow", name) for name in ("linux-a", "linux-b")]
        for log in logs:  # the system ends with its last domain, and the logs with it
            said = log.communicate(timeout=60)[0]
            assert "bulkhead-test: vsock-many: passed" in said, said[-4000:]
        assert runs.left() == []
    finally:
        runs.end()


def test_host_that_has_af_vsock(programs, folder):
    """AF_VSOCK's own loopback is in few kernels: User-mode Linux is the host here, and our device forwards to its sockets."""
    loopback, uml = pieces.get("uml-vsock-loopback"), pieces.get("uml")
    release = next((uml / "modules").iterdir()).name
    if not (loopback / "loopback" / release).exists():
        pytest.skip(f"there is no vsock_loopback for UML {release}: testbeds/fetch made the two pieces at different times")
    test = BUILD / "tests" / "unit" / "test-vsock-forward"
    tree = folder / "root" / "forward"
    tree.mkdir(parents=True)
    shutil.copy2(test, tree / "test")
    for line in subprocess.run(["ldd", test], capture_output=True, text=True, check=True).stdout.splitlines():
        for word in line.split():
            if word.startswith("/"):
                shutil.copy2(word, tree / ("loader" if "/ld-" in word else os.path.basename(word)))
    verdict = run_uml(programs, "vsock-forward", [], extra=[loopback, folder / "root"])
    assert re.search(r"\[  PASSED  \] [0-9]+ test\(s\)", verdict.output)
