# SPDX-License-Identifier: Apache-2.0
"""Live migration of a working guest between two QEMUs of one version, with our blk and net on both sides."""
import hashlib
import http.server
import os
import threading
import time

import pytest
from beds import QEMUS, guest_command, need_qemu, read_verdict, vhost_user
from migration import CHECK_DEVICE_STATE, GPA_ADDRESSES, LOG_ALL, SET_DEVICE_STATE_FD, Between, Monitor, migrate

MIB = 1 << 20
KNOWN = 40 * MIB  # what the guest reads into its cache


class Files:
    """What the guest fetches over its network: a file, its checksum, and whether it has been moved."""

    def __init__(self):
        data = os.urandom(MIB // 4)
        answers = {"/down": data, "/sum": hashlib.sha256(data).hexdigest().encode(), "/where": b"here"}
        self.answers = answers

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Length", str(len(answers[self.path])))
                self.end_headers()
                self.wfile.write(answers[self.path])

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def end(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def files():
    made = Files()
    yield made
    made.end()


class Move:
    """A guest on one side, and the other side waiting for it. `lose`: the source's disk never hears of LOG_ALL."""

    def __init__(self, programs, backend, folder, files, version, options="", lose=None):
        qemu = need_qemu(version)
        self.programs, self.folder, self.files = programs, folder, files
        self.image = folder / "disk.img"
        self.known = os.urandom(KNOWN)
        with open(self.image, "wb") as file:
            file.write(self.known)
            file.truncate(64 * MIB)
        words = f"init_on_alloc=0 bulkhead.hostport={files.port} bulkhead.sum={hashlib.sha256(self.known).hexdigest()}"
        self.between = None
        self.seen = []  # by whom the network cards are asked, one on each side
        self.monitors = []
        self.processes = {}
        self.backends = []
        for side in ("from", "to"):
            disk = backend("blk", f"--blk-file={self.image}", name=f"blk-{side}")
            net = backend("net", name=f"net-{side}")
            self.backends += [disk, net]
            disk_path = disk.socket_path
            net_path = folder / f"seen-{side}.sock"
            self.seen.append(Between(net_path, net.socket_path))
            if side == "from" and lose is not None:
                disk_path = folder / "between.sock"
                self.between = Between(disk_path, disk.socket_path, lose)
            monitor = folder / f"{side}.qmp"
            command = guest_command(programs, qemu, "migrate", words=words, arguments=[
                *vhost_user("blk", disk_path, version, options), *vhost_user("net", net_path, version, options),
                "-qmp", f"unix:{monitor},server=on,wait=off",
                *(["-incoming", f"unix:{folder}/move.sock"] if side == "to" else [])])
            self.processes[side] = programs.start(command, side)
            self.monitors.append(Monitor(monitor))

    def log(self, side):
        return self.programs.log(side).replace("\r", "")

    def wait_for(self, side, words, limit):
        deadline = time.monotonic() + limit
        while words not in self.log(side):
            assert time.monotonic() < deadline, f"no '{words}' within {limit} s:\n{self.log(side)[-3000:]}"
            assert self.processes[side].poll() is None or words in self.log(side), self.log(side)[-3000:]
            time.sleep(0.1)

    def run(self, limit):
        """Moves the guest while it works, tells it so, and waits for its end on the other side."""
        self.wait_for("from", "bulkhead-migrate: working", 90)
        self.account = migrate(self.monitors[0], self.folder / "move.sock")
        self.monitors[0].ask("quit")
        self.processes["from"].wait(20)
        self.files.answers["/where"] = b"arrived"
        self.wait_for("to", "bulkhead-test: migrate: ", limit)
        self.processes["to"].wait(20)

    def end(self):
        for monitor in self.monitors:
            monitor.close()
        for between in self.seen + ([self.between] if self.between else []):
            between.end()


@pytest.fixture
def move(programs, backend, folder, files):
    made = []

    def make(*arguments, **options):
        made.append(Move(programs, backend, folder, files, *arguments, **options))
        return made[-1]

    yield make
    for one in made:
        one.end()


RUNS = [pytest.param(version, ring, marks=() if (version, ring) in (("qemu-7.2", "split"), ("qemu-11", "packed"))
                     else pytest.mark.full) for version in QEMUS for ring in ("split", "packed")]


@pytest.mark.parametrize("version,ring", RUNS)
def test_a_working_guest_moves(move, version, ring):
    guest = move(version, ",packed=on" if ring == "packed" else "")
    guest.run(60)
    read_verdict("migrate", guest.log("to"))
    assert "bulkhead-migrate: arrived" in guest.log("to")
    assert guest.account["ram"]["dirty-sync-count"] > 1, guest.account
    if version != "qemu-7.2":  # this one's network card moves its back-end's own state too
        assert all({SET_DEVICE_STATE_FD, CHECK_DEVICE_STATE} <= set(seen.requests) for seen in guest.seen)
        assert all(seen.protocol >> GPA_ADDRESSES & 1 for seen in guest.seen)
    assert all(backend.poll() is None for backend in guest.backends)
    # The image changed hands: the other side took its lock without having to wait for the first one's end.
    assert "is in use by" not in guest.programs.log("blk-to")
    assert guest.image.read_bytes()[:KNOWN] == guest.known


@pytest.mark.parametrize("lose", [pytest.param(0, id="kept", marks=pytest.mark.full), pytest.param(LOG_ALL, id="lost")])
def test_lost_marks_are_seen(move, lose):
    """The same through a peer that keeps LOG_ALL from the disk: if it does so the guest must not pass."""
    guest = move("qemu-11", lose=lose)
    try:
        guest.run(60 if not lose else 25)
    except AssertionError:  # it may also hang, when what it waits for was lost
        assert lose
    passed = "bulkhead-test: migrate: passed" in guest.log("to")
    assert bool(guest.between.stripped) == bool(lose)
    assert passed == (not lose), guest.log("to")[-3000:]
