# SPDX-License-Identifier: Apache-2.0
"""Our console backend, judged by Linux's driver: both directions, and much text at once without a byte lost."""
import threading

import pytest
from beds import (EVENT_IDX, FEATURES, INDIRECT_DESC, QEMUS, RING_PACKED, UML_FEATURES, accepted, connect_soon,
                  features_option, matrix, run_qemu, run_uml, vhost_user)

TEXT = "".join(f"{number}\n" for number in range(1, 20001)).encode()


class Talker(threading.Thread):
    """The host's end of the console: answers the guest's greeting, then takes its text until the end mark."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.socket = connect_soon(path)
        self.socket.settimeout(60)
        self.heard = b""
        self.start()

    def hear(self, mark):
        while mark not in self.heard:
            data = self.socket.recv(65536)
            if not data:
                return False
            self.heard += data
        return True

    def run(self):
        try:
            if self.hear(b"hello host\n"):
                self.socket.sendall(b"hello guest\n")
            if self.hear(b"end of text\n"):
                self.socket.sendall(b"goodbye\n")
        except OSError:
            pass  # the guest's verdict tells


def judge(backend, folder, boot, *options):
    path = folder / "talk"
    console = backend("console", "--port=socket", f"--console-socket={path}", *options)
    talker = Talker(path)
    boot(console.socket_path)
    talker.join(5)
    start = talker.heard.index(b"hello host\n") + len(b"hello host\n")
    end = talker.heard.index(b"end of text\n")
    assert talker.heard[start:end] == TEXT
    assert console.poll() is None, "the backend did not outlive its guest"


def test_linux_under_uml(programs, backend, folder):
    judge(backend, folder, lambda path: run_uml(programs, "console", [("console", path)]), UML_FEATURES)


@pytest.mark.parametrize("version,ring,features", matrix(["qemu-11"], (("qemu-11", "packed", "all"),)))
def test_linux_under_qemu(programs, backend, folder, version, ring, features):
    packed = () if ring == "packed" else ("-packed",)

    def boot(path):
        verdict = run_qemu(programs, QEMUS[version](), "console", vhost_user("console", path, version))
        assert verdict.features["console"] & {EVENT_IDX, INDIRECT_DESC, RING_PACKED} == accepted(ring, features)

    judge(backend, folder, boot, *features_option(*packed, *FEATURES[features][0]))
