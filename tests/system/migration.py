# SPDX-License-Identifier: Apache-2.0
"""Two QEMUs and a guest that moves from one to the other: their monitors. And a peer between QEMU and a backend, which
sees what is said."""
import array
import collections
import json
import os
import selectors
import socket
import struct
import threading
import time

from beds import connect_soon

SET_FEATURES, SET_PROTOCOL_FEATURES, IOTLB_MSG, SET_DEVICE_STATE_FD, CHECK_DEVICE_STATE = 2, 16, 22, 42, 43
GPA_ADDRESSES = 21
LOG_ALL = 1 << 26


class Monitor:
    """QEMU's QMP on a Unix socket."""

    def __init__(self, path, patience=20):
        self.socket = connect_soon(path, patience)
        self.socket.settimeout(20)
        self.lines = self.socket.makefile("r")
        json.loads(self.lines.readline())
        self.ask("qmp_capabilities")

    def ask(self, command, **arguments):
        """The answer to a command; events that come before it are skipped."""
        self.socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        while True:
            line = self.lines.readline()
            assert line, f"QEMU is gone in {command}"
            answer = json.loads(line)
            if "error" in answer:
                raise AssertionError(f"{command}: {answer['error']}")
            if "return" in answer:
                return answer["return"]

    def close(self):
        self.lines.close()
        self.socket.close()


def migrate(source, path, patience=60, bandwidth=24 << 20):
    """Moves the guest to whoever waits at `path`. Returns QEMU's account of it."""
    source.ask("migrate-set-parameters", **{"max-bandwidth": bandwidth})
    source.ask("migrate", uri=f"unix:{path}")
    deadline = time.monotonic() + patience
    while True:
        state = source.ask("query-migrate")
        if state.get("status") == "completed":
            return state
        assert state.get("status") not in ("failed", "cancelled"), state
        assert time.monotonic() < deadline, f"the migration does not end: {state}"
        if time.monotonic() > deadline - patience / 2:
            source.ask("migrate-set-parameters", **{"max-bandwidth": 1 << 32})
        time.sleep(0.05)


class Between:
    """Stands between a front-end and a backend. Passes each message and its fds on, less `without` in SET_FEATURES."""

    def __init__(self, path, backend_path, without=0):
        self.without = without
        self.backend_path = backend_path
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(1)
        self.stop_ends = socket.socketpair()
        self.stripped = 0
        self.requests = collections.Counter()  # that the front-end made
        self.protocol = 0  # the features that it chose
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    @staticmethod
    def _message(sock):
        """One message, whole, and its fds; None when the peer has left."""
        data, fds = b"", array.array("i")
        wanted = 12
        while len(data) < wanted:
            part, ancillary, _, _ = sock.recvmsg(wanted - len(data), socket.CMSG_SPACE(4 * 16))
            if not part:
                return None, fds
            for level, kind, payload in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    fds.frombytes(payload[:len(payload) - len(payload) % 4])
            data += part
            if len(data) == 12:
                wanted += struct.unpack("=III", data)[2]
        return data, fds

    def _pass_on(self, one, other, from_front):
        data, fds = self._message(one)
        if data is None:
            return False
        request = struct.unpack_from("=I", data)[0]
        if from_front:
            self.requests[request] += 1
            if request == SET_PROTOCOL_FEATURES:
                self.protocol = struct.unpack_from("=Q", data, 12)[0]
        if from_front and request == SET_FEATURES:
            features = struct.unpack_from("=Q", data, 12)[0]
            self.stripped += bool(features & self.without)
            data = data[:12] + struct.pack("=Q", features & ~self.without)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)] if fds else []
        sent = other.sendmsg([data], rights)
        other.sendall(data[sent:])
        for fd in fds:
            os.close(fd)
        return True

    def _run(self):
        with selectors.DefaultSelector() as waiting, socket.socket(socket.AF_UNIX) as back:
            waiting.register(self.stop_ends[1], selectors.EVENT_READ)
            waiting.register(self.listener, selectors.EVENT_READ)
            if any(key.fileobj is self.stop_ends[1] for key, _ in waiting.select()):
                return
            front, _ = self.listener.accept()
            waiting.unregister(self.listener)
            back.connect(str(self.backend_path))
            with front:
                waiting.register(front, selectors.EVENT_READ, (front, back, True))
                waiting.register(back, selectors.EVENT_READ, (back, front, False))
                while True:
                    for key, _ in waiting.select():
                        try:
                            if key.data is None or not self._pass_on(*key.data):
                                return
                        except OSError:
                            return

    def end(self):
        self.stop_ends[0].send(b"x")
        self.thread.join(5)
        self.listener.close()
        for end in self.stop_ends:
            end.close()
