#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The device processes as a manager starts them [vhost-user.rst, "Backend program conventions"]: sockets made, handed
over listening or connected, capabilities, readiness, SIGTERM, and one clear message for each wrong start.

Usage: test_programs.py BULKHEAD-CLASS...
"""
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

PROGRAMS = [Path(word) for word in sys.argv[1:]]
WAIT = 20
GET_FEATURES, VERSION, REPLY = 1, 1, 4


def extra(program):
    """What a class cannot do without."""
    return {"bulkhead-blk": ["--ram-size=1M"], "bulkhead-net": ["--port=null"],
            "bulkhead-console": ["--port=none"]}.get(program.name, [])


def features_of(peer):
    """GET_FEATURES, as a front-end asks it."""
    peer.settimeout(WAIT)
    peer.sendall(struct.pack("=III", GET_FEATURES, VERSION, 0))
    request, flags, size, bits = struct.unpack("=IIIQ", peer.recv(20, socket.MSG_WAITALL))
    assert (request, flags, size) == (GET_FEATURES, VERSION | REPLY, 8), (request, flags, size)
    return bits


class Program(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="bh-p.")
        self.addCleanup(self.folder.cleanup)
        self.path = str(Path(self.folder.name) / "s")
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.manager.close)
        self.manager.bind(str(Path(self.folder.name) / "n"))
        self.manager.settimeout(WAIT)

    def start(self, program, *options, fds=(), **more):
        environment = dict(os.environ, NOTIFY_SOCKET=str(Path(self.folder.name) / "n"))
        process = subprocess.Popen([program, *extra(program), *options], pass_fds=fds, env=environment,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)

        def end():
            if process.poll() is None:
                process.kill()
            process.communicate()

        self.addCleanup(end)
        return process

    def wait_for(self, word):
        """Until the manager is told it."""
        while word not in self.manager.recv(4096).decode().split("\n"):
            pass

    def ends(self, process, status):
        said = process.communicate(timeout=WAIT)[1]
        self.assertEqual(process.returncode, status, said)
        return said

    def test_a_socket_of_its_own_serves_one_after_the_other_until_sigterm(self):
        for program in PROGRAMS:
            process = self.start(program, f"--socket-path={self.path}")
            self.wait_for("READY=1")
            for _ in range(2):
                with socket.socket(socket.AF_UNIX) as peer:
                    peer.connect(self.path)
                    self.assertTrue(features_of(peer) >> 30 & 1)
            process.send_signal(signal.SIGTERM)
            self.wait_for("STOPPING=1")
            self.ends(process, 0)
            self.assertFalse(os.path.exists(self.path))

    def test_a_listening_socket_that_is_handed_over(self):
        for program in PROGRAMS:
            with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as peer:
                listener.bind(self.path)
                listener.listen()
                peer.connect(self.path)  # before there is anybody: it waits
                process = self.start(program, f"--fd={listener.fileno()}", fds=(listener.fileno(),))
                features_of(peer)
                process.terminate()
                self.ends(process, 0)
            self.assertTrue(os.path.exists(self.path))  # not its own to remove
            os.unlink(self.path)

    def test_a_connected_socket_ends_it_with_its_peer(self):
        for program in PROGRAMS:
            ours, theirs = socket.socketpair(socket.AF_UNIX)
            process = self.start(program, f"--fd={theirs.fileno()}", fds=(theirs.fileno(),))
            theirs.close()
            features_of(ours)
            ours.close()
            self.ends(process, 0)

    def test_features_are_withheld(self):
        for program in PROGRAMS:
            ours, theirs = socket.socketpair(socket.AF_UNIX)
            self.start(program, f"--fd={theirs.fileno()}", "--features=-packed,-event_idx,-28", fds=(theirs.fileno(),))
            theirs.close()
            bits = features_of(ours)
            ours.close()
            self.assertEqual([bits >> bit & 1 for bit in (34, 29, 28, 32)], [0, 0, 0, 1])

    def test_capabilities_win_over_everything(self):
        for program in PROGRAMS:
            process = self.start(program, "--print-capabilities", "--no-such-option", "--fd=99")
            said = json.loads(process.communicate(timeout=WAIT)[0])
            self.assertEqual(process.returncode, 0)
            self.assertEqual(said["type"], {"bulkhead-blk": "block"}.get(program.name, program.name.removeprefix("bulkhead-")))
            self.assertIsInstance(said["features"], list)

    def test_a_stale_socket_is_replaced_and_one_in_use_is_not(self):
        program = PROGRAMS[0]
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(self.path)
        first = self.start(program, f"--socket-path={self.path}")
        self.wait_for("READY=1")
        self.assertIn("another process serves this socket", self.ends(self.start(program, f"--socket-path={self.path}"), 2))
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(self.path)
            features_of(peer)
        first.terminate()
        self.ends(first, 0)

    def test_a_wrong_start_gets_one_message_and_status_2(self):
        program = PROGRAMS[0]
        plain = Path(self.folder.name) / "file"
        plain.write_text("x")
        read, write = os.pipe()
        for options, message in (
                ([], "there is no socket to serve on"),
                (["--soket-path=x"], "did you mean --socket-path?"),
                (["--fd=99"], "--fd=99 is no open file descriptor"),
                (["--fd=2"], "out of range"),
                ([f"--fd={read}"], "it must be a Unix stream socket"),
                (["--fd=4", "--socket-path=x"], "exclude each other"),
                (["--socket-path=" + "x" * 108], "too long"),
                ([f"--socket-path={plain}"], "is no socket"),
                (["--socket-path=x", "--features=packed"], "did you mean -packed?"),
                (["--socket-path=x", "--features=-32"], "takes no feature away"),
                (["word"], "there is no use for 'word'")):
            with self.subTest(options):
                said = self.ends(self.start(program, *options, fds=(read,)), 2)
                self.assertIn(message, said)
                self.assertEqual(said.count("error: "), 1, said)
        self.assertEqual(plain.read_text(), "x")
        os.close(read)
        os.close(write)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
