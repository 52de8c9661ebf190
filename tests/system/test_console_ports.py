# SPDX-License-Identifier: Apache-2.0
"""Named ports of our console, judged by Linux's driver: bytes both ways, a port plugged in and out while the guest runs."""
import json
import threading

import pytest
from beds import QEMUS, UML_FEATURES, connect_soon, run_qemu, run_uml, vhost_user

MULTIPORT = 1
TEXT = "".join(f"{number}\n" for number in range(1, 20001)).encode()


class Line:
    """One end of a socket, read up to marks."""

    def __init__(self, path):
        self.socket = connect_soon(path)
        self.socket.settimeout(60)
        self.heard = b""

    def hear(self, mark):
        """What came before the mark."""
        while mark not in self.heard:
            data = self.socket.recv(65536)
            assert data, f"the line was closed before {mark!r}: {self.heard[-200:]!r}"
            self.heard += data
        before, _, self.heard = self.heard.partition(mark)
        return before

    def say(self, text):
        self.socket.sendall(text)


class Host(threading.Thread):
    """The host's side of the test, beside the guest."""

    def __init__(self, folder):
        super().__init__(daemon=True)
        self.folder, self.failure, self.text = folder, None, b""
        self.start()

    def ask(self, op, name):
        line = Line(self.folder / "ctl")
        line.say(json.dumps({"v": 1, "op": op, "args": {"name": name}}).encode() + b"\n")
        answer = json.loads(line.hear(b"\n"))
        assert answer["ok"], answer

    def talk(self):
        first = Line(self.folder / "first")
        first.hear(b"hello host\n")
        first.say(b"hello guest\n")
        self.text = first.hear(b"end of text\n")
        first.say(b"plug\n")
        first.hear(b"waiting\n")
        self.ask("add-port", "org.example.later")
        later = Line(self.folder / "org.example.later")
        later.hear(b"hello from a later port\n")
        later.say(b"welcome\n")
        first.hear(b"unplug\n")
        self.ask("remove-port", "org.example.later")
        first.hear(b"still here\n")
        first.say(b"goodbye\n")

    def run(self):
        try:
            self.talk()
        except Exception as failure:  # told by the test
            self.failure = failure


def judge(backend, folder, boot, *options):
    console = backend("console", "--port=none", f"--log-file={folder}/log",
                      f"--named-port=org.example.first,path={folder}/first", "--ports-max=3", f"--ports-folder={folder}",
                      f"--control={folder}/ctl", *options)
    host = Host(folder)
    verdict = boot(console.socket_path)
    host.join(5)
    assert host.failure is None, host.failure
    assert host.text == TEXT
    assert MULTIPORT in verdict.features["console"]
    assert "and the console" in (folder / "log").read_text()
    assert not (folder / "org.example.later").exists(), "an unplugged port leaves its socket behind"
    assert console.poll() is None, "the backend did not outlive its guest"


def test_linux_under_uml(programs, backend, folder):
    judge(backend, folder, lambda path: run_uml(programs, "ports", [("console", path)]), UML_FEATURES)


@pytest.mark.parametrize("ring", ["split", "packed"])
def test_linux_under_qemu(programs, backend, folder, ring):
    def boot(path):
        return run_qemu(programs, QEMUS["qemu-11"](), "ports",
                        [word.replace("num_vqs=2", "num_vqs=8") for word in vhost_user("console", path, "qemu-11")])

    judge(backend, folder, boot, *(["--features=-packed"] if ring == "split" else []))
