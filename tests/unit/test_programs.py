#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The device processes as a manager starts them [vhost-user.rst, "Backend program conventions"]: sockets made, handed
over listening or connected, capabilities, readiness, SIGTERM, and one clear message for each wrong start.

Usage: test_programs.py BULKHEAD-CLASS...
"""
import contextlib
import fcntl
import json
import os
import pty
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest
from pathlib import Path

PROGRAMS = [Path(word) for word in sys.argv[1:]]
SWITCH = PROGRAMS[0].parent / "bulkhead-switch"
WAIT = 20
GET_FEATURES, VERSION, REPLY = 1, 1, 4


def extra(program):
    """What a class cannot do without."""
    return {"bulkhead-blk": ["--ram-size=1M"], "bulkhead-net": ["--port=null"],
            "bulkhead-console": ["--port=none"], "bulkhead-vsock": ["--guest-cid=3"]}.get(program.name, [])


def features_of(peer):
    """GET_FEATURES, as a front-end asks it."""
    peer.settimeout(WAIT)
    peer.sendall(struct.pack("=III", GET_FEATURES, VERSION, 0))
    request, flags, size, bits = struct.unpack("=IIIQ", peer.recv(20, socket.MSG_WAITALL))
    assert (request, flags, size) == (GET_FEATURES, VERSION | REPLY, 8), (request, flags, size)
    return bits


def connect_once_it_listens(path):
    deadline = time.monotonic() + WAIT
    while True:
        peer = socket.socket(socket.AF_UNIX)
        try:
            peer.connect(path)
            return peer
        except (FileNotFoundError, ConnectionRefusedError):  # not yet bound, or not yet listening
            peer.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


class Client:
    """Of a control socket."""

    def __init__(self, path, test):
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.socket.settimeout(WAIT)
        self.lines = self.socket.makefile("rb")
        test.addCleanup(self.socket.close)
        test.addCleanup(self.lines.close)

    def read(self):
        """The next answer; None when the other end has closed."""
        line = self.lines.readline()
        return json.loads(line) if line else None

    def line(self, line):
        self.socket.sendall(line + b"\n")
        return self.read()

    def ask(self, **request):
        return self.line(json.dumps({"v": 1, **request}).encode())


class Program(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="bh-p.")
        self.addCleanup(self.folder.cleanup)
        self.path = str(Path(self.folder.name) / "s")
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.manager.close)
        self.manager.bind(str(Path(self.folder.name) / "n"))
        self.manager.settimeout(WAIT)

    def start(self, program, *options, fds=(), bare=False, **more):
        self.hear_all()  # a full queue would take no READY=1
        environment = dict(os.environ, NOTIFY_SOCKET=str(Path(self.folder.name) / "n"))
        process = subprocess.Popen([program, *([] if bare else extra(program)), *options], pass_fds=fds, env=environment,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)

        def end():
            if process.poll() is None:
                process.kill()
            process.communicate()

        self.addCleanup(end)
        return process

    def hear_all(self):
        """What earlier programs have said, and left unread."""
        self.manager.settimeout(0)
        try:
            while True:
                self.manager.recv(4096)
        except BlockingIOError:
            self.manager.settimeout(WAIT)

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

    def test_a_sandbox_that_is_required_is_there_or_nobody_is_served(self):
        for program in PROGRAMS:
            process = self.start(program, f"--socket-path={self.path}", "--sandbox=required")
            served = False
            while not served and process.poll() is None:
                self.manager.settimeout(0.1)
                with contextlib.suppress(TimeoutError):
                    self.wait_for("READY=1")
                    served = True
            self.manager.settimeout(WAIT)
            process.terminate()
            said = self.ends(process, 0 if served else 5)
            self.assertEqual("the host refused" in said or "no sandbox" in said, not served, said)

    def test_a_client_of_a_front_end_asks_until_it_listens_and_comes_again(self):
        for program in PROGRAMS:
            process = self.start(program, f"--connect={self.path}")
            self.wait_for("READY=1")
            self.wait_for(f"STATUS=waiting for a front-end to listen at {self.path}")
            with socket.socket(socket.AF_UNIX) as front:
                front.settimeout(WAIT)
                front.bind(self.path)  # there, but nobody listens yet
                time.sleep(0.3)
                front.listen()
                for _ in range(2):
                    peer, _ = front.accept()
                    with peer:
                        self.assertTrue(features_of(peer) >> 30 & 1)
            self.wait_for(f"STATUS=waiting for a front-end to listen at {self.path}")  # both gone: it asks again
            process.terminate()
            said = self.ends(process, 0)
            self.assertLessEqual(said.count("no front-end to connect to"), 4, said)  # once for each reason
            os.unlink(self.path)

    def test_a_front_end_that_hangs_up_at_once_is_not_asked_any_faster(self):
        with socket.socket(socket.AF_UNIX) as front:
            front.bind(self.path)
            front.listen()
            front.settimeout(WAIT)
            process = self.start(PROGRAMS[0], f"--connect={self.path}")
            self.wait_for("READY=1")
            begin = time.monotonic()
            for _ in range(4):
                front.accept()[0].close()
            self.assertGreater(time.monotonic() - begin, 0.5)
            process.terminate()
            self.ends(process, 0)

    @unittest.skipUnless(shutil.which("systemd-socket-activate"), "no systemd here")
    def test_a_socket_that_systemd_made(self):
        for program in PROGRAMS:
            process = self.start(Path(shutil.which("systemd-socket-activate")), "-l", self.path, program, *extra(program))
            for _ in range(2):  # the first one starts it; then it serves one after the other
                with connect_once_it_listens(self.path) as peer:
                    self.assertTrue(features_of(peer) >> 30 & 1)
            process.terminate()  # it has become the device process
            self.ends(process, 0)
            self.assertTrue(os.path.exists(self.path))  # systemd's to remove
            os.unlink(self.path)

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
        self.assertIn("another process serves this socket", self.ends(self.start(program, f"--socket-path={self.path}"), 5))
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(self.path)
            features_of(peer)
        first.terminate()
        self.ends(first, 0)

    def test_a_file_that_is_no_socket_is_left_alone(self):
        file = Path(self.folder.name) / "file"
        file.write_text("precious")
        programs = {program.name: program for program in PROGRAMS}
        for name, *options in (("bulkhead-console", "--port=socket", f"--console-socket={file}"),
                               ("bulkhead-net", "--port=stream", "--stream-listen", f"--stream-path={file}"),
                               ("bulkhead-net", "--port=dgram", f"--dgram-local={file}", f"--dgram-path={self.path}.peer")):
            process = self.start(programs[name], f"--socket-path={self.path}", *options)
            said = process.communicate(timeout=WAIT)[1]
            self.assertIn(process.returncode, (1, 5), said)
            self.assertEqual(file.read_text(), "precious")
        link = self.start(programs["bulkhead-net"], f"--socket-path={self.path}", "--port=link", f"--link-path={file}")
        self.wait_for("READY=1")
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(self.path)
            features_of(peer)  # by then it has tried
        link.terminate()
        self.ends(link, 0)
        self.assertEqual(file.read_text(), "precious")

    def test_a_switch_has_all_its_links_in_sight(self):
        links = [f"--port=link:{self.folder.name}/{number}.link,name=p{number}" for number in range(64)]
        switch = self.start(SWITCH, *links, f"--control={self.path}")
        self.wait_for("READY=1")
        ports = Client(self.path, self).ask(op="counters")["ports"]
        self.assertEqual([port["name"] for port in ports], [f"p{number}" for number in range(64)])
        switch.terminate()
        self.ends(switch, 0)
        self.assertFalse(Path(self.path).exists())

    def test_a_switch_tells_of_its_ports_and_pauses_its_capture(self):
        ports = [f"--port=link:{self.folder.name}/a,vlan=10,trunk=20+30,rate=2K,mac=02:00:00:00:00:01+02:00:00:00:00:02",
                 f"--port=link:{self.folder.name}/b,mac=any"]
        switch = self.start(SWITCH, *ports, f"--control={self.path}", f"--capture={self.folder.name}/pcap")
        self.wait_for("READY=1")
        client = Client(self.path, self)
        self.assertEqual(client.ask(op="status")["ports"], [
            {"index": 0, "name": f"link:{self.folder.name}/a", "place": f"link:{self.folder.name}/a", "link_up": False,
             "addresses": 0, "vlan": 10, "trunk": [20, 30], "rate": 2000, "mac": ["02:00:00:00:00:01", "02:00:00:00:00:02"]},
            {"index": 1, "name": f"link:{self.folder.name}/b", "place": f"link:{self.folder.name}/b", "link_up": False,
             "addresses": 0, "vlan": 1, "trunk": [], "rate": 0, "mac": []}])
        info = client.ask(op="info")
        self.assertEqual((info["class"], info["options"]["port"]), ("switch", [port.split("=", 1)[1] for port in ports]))
        self.assertTrue(client.ask(op="capture", args={"state": "off"})["ok"])
        self.assertIn("has no \"op\"", client.ask(op="announce")["error"])
        switch.terminate()
        self.ends(switch, 0)

    def test_a_switch_says_what_is_wrong_with_a_port(self):
        for word, said in (("vlna=1", "did you mean vlan?"), ("vlan=4095", "from 1 to 4094"), ("vlan", "no WORD=VALUE"),
                           ("trunk=1+", "no list of VLANs"), ("rate=10Q", "no rate"), ("mac=01:00:00:00:00:01", "no list of MAC"),
                           ("mac=02:00:00:00:00:1", "no list of MAC"), ("mac=+2:00:00:00:00:01", "no list of MAC")):
            switch = self.start(SWITCH, f"--port=link:{self.folder.name}/a", f"--port=link:{self.folder.name}/b,{word}")
            self.assertIn(said, self.ends(switch, 2))
        self.assertIn("link:PATH or tap:NAME", self.ends(self.start(SWITCH, "--port=lnk:a", "--port=tap:b"), 2))

    def test_a_switch_explains_itself_and_the_words_of_a_port_in_80_columns(self):
        said = subprocess.run([SWITCH, "--help"], capture_output=True, text=True, check=True).stdout
        self.assertEqual([line for line in said.splitlines() if len(line) > 80], [])
        for word in ("  --port=", "  --control=", "  vlan=N ", "  mac=MAC+MAC...|any "):
            self.assertIn(f"\n{word}", said)

    def test_a_switch_that_cannot_be_made_tells_the_service_manager_why(self):
        plain = Path(self.folder.name) / "plain"
        plain.write_text("")
        for option, status, message in ((f"--control={plain}", 5, "it is there already and is no socket"),
                                        ("--port=tap:a-name-that-is-too-long", 2, "1 to 15 characters")):
            with self.subTest(option):
                switch = self.start(SWITCH, f"--port=link:{self.folder.name}/a", f"--port=link:{self.folder.name}/b", option)
                self.assertIn(message, self.ends(switch, status))
                told = self.manager.recv(4096).decode()
                self.assertTrue(told.startswith("STATUS="), told)
                self.assertIn(message, told)

    # --- the control socket ---

    def control(self, program, *options):
        """A device with a control socket, served on a connection that waits; and a client of the socket."""
        ours, theirs = socket.socketpair(socket.AF_UNIX)
        self.addCleanup(ours.close)
        path = str(Path(self.folder.name) / program.name)
        process = self.start(program, f"--fd={theirs.fileno()}", f"--control={path}", *options, fds=(theirs.fileno(),))
        theirs.close()
        self.wait_for("READY=1")
        return process, ours, Client(path, self)

    def test_control_tells_what_it_is_how_it_is_and_what_it_counts(self):
        for program in PROGRAMS:
            process, front_end, client = self.control(program, "--features=-packed")
            info = client.ask(op="info")
            self.assertEqual((info["class"], info["pid"]), (program.name.removeprefix("bulkhead-"), process.pid))
            self.assertEqual(info["options"]["features"], "-packed")
            for word in extra(program):
                name, value = word.removeprefix("--").split("=")
                self.assertEqual(info["options"][name], {"1M": 1 << 20, "3": 3}.get(value, value))
            status = client.ask(op="status")
            self.assertTrue(status["connected"])
            self.assertNotIn(34, status["offered"])
            self.assertIn(29, status["offered"])
            self.assertEqual({queue["state"] for queue in status["queues"]}, {"stopped"})
            features_of(front_end)
            counters = client.ask(op="counters")
            self.assertEqual(len(counters["queues"]), len(status["queues"]))
            self.assertEqual(counters["connection"]["messages"], 1)
            self.assertEqual((counters["transport"]["connections"], counters["transport"]["messages"]), (1, 1))
            front_end.close()
            self.ends(process, 0)
            self.assertFalse(os.path.exists(client.path))

    def test_control_counts_what_each_connection_did_wrong(self):
        program = PROGRAMS[0]
        path = str(Path(self.folder.name) / "c")
        self.start(program, f"--socket-path={self.path}", f"--control={path}")
        self.wait_for("READY=1")
        client = Client(path, self)
        for turn in (1, 2):
            with socket.socket(socket.AF_UNIX) as peer:
                peer.connect(self.path)
                features_of(peer)
                self.assertEqual(client.ask(op="counters")["connection"],
                                 {"messages": 1, "malformed": 0, "refused": 0, "unasked_features": 0})
                peer.sendall(struct.pack("=III", GET_FEATURES, 7, 0))  # a version that there is not
                self.assertEqual(peer.recv(1), b"")
            counters = client.ask(op="counters")
            self.assertEqual(counters["transport"]["malformed"], turn)
            self.assertEqual((counters["connection"], counters["device"]["resets"]), ({}, turn))

    def test_control_counts_sockets_of_a_vsock_that_say_nothing_clear(self):
        program = next(each for each in PROGRAMS if each.name == "bulkhead-vsock")
        path = str(Path(self.folder.name) / "host")
        _, front_end, client = self.control(program, f"--host-path={path}")
        features_of(front_end)
        for turn in (1, 2):
            with socket.socket(socket.AF_UNIX) as host:
                host.connect(path)
                host.sendall(b"GET / HTTP/1.1\n")
                self.assertEqual(host.recv(64), b"")
            counters = client.ask(op="counters")["class"]
            self.assertEqual((counters["sockets_accepted"], counters["sockets_unclear"]), (turn, turn))

    def test_control_refuses_what_is_no_request_and_lives_on(self):
        for program in PROGRAMS:
            _, _, client = self.control(program)
            for line, why in (
                    (b"", "one JSON object a line"), (b"[]", "one JSON object a line"), (b"{", "one JSON object a line"),
                    (b"\xff\xfe", "one JSON object a line"), (b"[" * 4000, "one JSON object a line"),
                    (b'{"v": 1}', "one JSON object a line"), (b'{"op": "info"}', "version 1"),
                    (b'{"v": 2, "op": "info"}', "version 1"), (b'{"v": 1, "op": "inf"}', 'did you mean "info"?'),
                    (b'{"v": 1, "op": "info", "op": "status"}', "one JSON object a line"),
                    (b'{"v": 1, "op": "info", "args": []}', '"args" is an object'),
                    (b'{"v": 1, "op": "info", "args": {"a": 1}}', 'takes no "args"')):
                with self.subTest(line=line[:40]):
                    answer = client.line(line)
                    self.assertIs(answer["ok"], False)
                    self.assertIn(why, answer["error"])
            self.assertTrue(client.ask(op="info")["ok"])

    def test_control_runs_the_verbs_of_the_class_with_checked_arguments(self):
        program = next(each for each in PROGRAMS if each.name == "bulkhead-console")
        _, _, client = self.control(program)
        verbs = {verb["name"]: verb for verb in client.ask(op="info")["verbs"]}
        self.assertEqual([argument["name"] for argument in verbs["resize"]["arguments"]], ["cols", "rows"])
        before = client.ask(op="status")["config_generation"]
        for args, why in (({"cols": 80}, "rows is missing"), ({"cols": 80, "rows": 65536}, "out of range"),
                          ({"cols": 80, "rows": -1}, "not allowed"), ({"cols": 80, "rows": None}, "a string, an integer"),
                          ({"cols": 80, "rows": 25, "rowz": 1}, "no option 'rowz'; did you mean rows?")):
            answer = client.ask(op="resize", args=args)
            self.assertIs(answer["ok"], False)
            self.assertIn(why, answer["error"])
        self.assertEqual(client.ask(op="status")["config_generation"], before)
        self.assertTrue(client.ask(op="resize", args={"cols": 100, "rows": "30"})["ok"])
        self.assertEqual(client.ask(op="status")["config_generation"], before + 1)

    def test_control_bounds_lines_and_clients(self):
        _, _, client = self.control(PROGRAMS[0])
        others = [Client(client.path, self) for _ in range(7)]
        for other in others:
            self.assertTrue(other.ask(op="status")["ok"])
        ninth = Client(client.path, self)
        self.assertIn("too many clients", ninth.read()["error"])
        self.assertIsNone(ninth.read())
        client.socket.sendall(b"x" * 4096)
        self.assertIn("too long", client.read()["error"])
        self.assertIsNone(client.read())
        with self.assertRaises(OSError):  # asks, and never reads: dropped, not waited for
            for _ in range(100000):
                others[0].socket.sendall(b'{"v": 1, "op": "counters"}\n')
        self.assertTrue(others[1].ask(op="status")["ok"])

    def test_control_on_a_socket_that_is_handed_over(self):
        with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as front:
            path = str(Path(self.folder.name) / "c")
            listener.bind(path)
            listener.listen()
            front.bind(self.path)
            front.listen()
            fds = (front.fileno(), listener.fileno())
            process = self.start(PROGRAMS[0], f"--fd={fds[0]}", f"--control-fd={fds[1]}", fds=fds)
            self.assertTrue(Client(path, self).ask(op="info")["ok"])
            process.terminate()
            self.ends(process, 0)
            self.assertTrue(os.path.exists(path))  # not its own to remove

    def test_control_on_a_socket_of_a_service_manager(self):
        """LISTEN_FDNAMES tells which of the two is the control socket [sd_listen_fds(3)]."""
        with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as front:
            path = str(Path(self.folder.name) / "c")
            listener.bind(path)
            listener.listen()
            front.bind(self.path)
            front.listen()
            script = ('exec 3<&"$1" 4<&"$2"; shift 2; '
                      'LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=control:vhost exec "$@"')
            fds = (listener.fileno(), front.fileno())
            process = subprocess.Popen(["bash", "-c", script, "bash", *map(str, fds), PROGRAMS[0], *extra(PROGRAMS[0])],
                                       pass_fds=fds, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            self.addCleanup(lambda: process.poll() is None and process.kill())
            self.assertTrue(Client(path, self).ask(op="info")["ok"])
            with socket.socket(socket.AF_UNIX) as peer:
                peer.connect(self.path)
                features_of(peer)
            process.terminate()
            self.ends(process, 0)

    def test_console_on_stdio_takes_the_terminal_and_gives_it_back(self):
        """Raw while it runs, its size followed, Ctrl-C not a signal, Ctrl-] and SIGTERM the ways out [termios(3)]."""
        program = next(each for each in PROGRAMS if each.name == "bulkhead-console")
        for way_out in (b"\x03\x1d", signal.SIGTERM):
            master, slave = pty.openpty()
            self.addCleanup(os.close, master)
            self.addCleanup(os.close, slave)
            before, flags = termios.tcgetattr(slave), fcntl.fcntl(slave, fcntl.F_GETFL)
            termios.tcsetwinsize(slave, (30, 90))
            path = str(Path(self.folder.name) / "c")
            process = subprocess.Popen(
                [program, "--port=stdio", f"--socket-path={self.path}", f"--control={path}"], stdin=slave, stdout=slave,
                stderr=subprocess.PIPE, text=True, start_new_session=True,
                preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
                env=dict(os.environ, NOTIFY_SOCKET=str(Path(self.folder.name) / "n")))
            self.addCleanup(lambda process=process: process.poll() is None and process.kill())
            self.wait_for("READY=1")
            client = Client(path, self)
            during = termios.tcgetattr(slave)
            self.assertEqual(during[3] & (termios.ECHO | termios.ICANON | termios.ISIG), 0)
            self.assertEqual(during[1] & termios.OPOST, 0)
            self.assertEqual(client.ask(op="status")["config_generation"], 0)
            for generation, size in enumerate(((40, 100), (41, 100)), 1):
                termios.tcsetwinsize(master, size)  # the kernel sends SIGWINCH to the foreground
                deadline = time.monotonic() + WAIT
                while client.ask(op="status")["config_generation"] != generation:
                    self.assertLess(time.monotonic(), deadline, "the size was not followed")
                    time.sleep(0.01)
            if way_out == signal.SIGTERM:
                process.send_signal(way_out)
            else:
                os.write(master, way_out)
            self.assertIn("Ctrl-] ends the program", self.ends(process, 0))
            self.assertEqual(termios.tcgetattr(slave), before)
            self.assertEqual(fcntl.fcntl(slave, fcntl.F_GETFL), flags)

    def test_a_wrong_start_gets_one_message_and_a_status_that_tells_whose_fault_it_is(self):
        program = PROGRAMS[0]
        plain = Path(self.folder.name) / "file"
        plain.write_text("x")
        read, write = os.pipe()
        wrong, unavailable = 2, 5
        for options, message, *status in (
                ([], "there is no socket to serve on"),
                (["--soket-path=x"], "did you mean --socket-path?"),
                (["--fd=99"], "--fd=99 is no open file descriptor"),
                (["--fd=2"], "out of range"),
                ([f"--fd={read}"], "it must be a Unix stream socket"),
                (["--fd=4", "--socket-path=x"], "exclude each other"),
                (["--connect=x", f"--socket-path={self.path}"], "--connect excludes --socket-path"),
                (["--connect=" + "x" * 108], "too long"),
                (["--socket-path=x", "--control=y", "--control-fd=4"], "exclude each other"),
                ([f"--socket-path={self.path}", f"--control-fd={read}"], "a Unix stream socket that listens"),
                ([f"--socket-path={self.path}", f"--control={self.path}"], "another process serves this socket", unavailable),
                (["--socket-path=" + "x" * 108], "too long"),
                ([f"--socket-path={plain}"], "is no socket", unavailable),
                ([f"--socket-path={plain}/x"], "cannot listen on it", unavailable),
                (["--socket-path=x", "--features=packed"], "did you mean -packed?"),
                (["--socket-path=x", "--features=-32"], "takes no feature away"),
                (["word"], "there is no use for 'word'")):
            with self.subTest(options):
                said = self.ends(self.start(program, *options, fds=(read,)), *(status or [wrong]))
                self.assertIn(message, said)
                self.assertEqual(said.count("error: "), 1, said)
        self.assertEqual(plain.read_text(), "x")
        os.close(read)
        os.close(write)

    def test_a_device_that_cannot_be_made_says_so_and_whether_trying_again_may_help(self):
        busy = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(busy.close)
        port = busy.getsockname()[1]
        programs = {program.name.removeprefix("bulkhead-"): program for program in PROGRAMS}
        for name, options, status, message in (
                ("blk", ["--ram-size=1M", f"--blk-file={__file__}"], 2, "exactly one of"),
                ("blk", ["--ram-size=1000"], 2, "no multiple of 512"),
                ("blk", ["--blk-file=/nonexistent/disk.img"], 5, "/nonexistent/disk.img"),
                ("net", [f"--forward=tcp:127.0.0.1:{port}:22"], 5, f"tcp port {port} of 127.0.0.1 is taken"),
                ("net", [f"--forward=udp:192.0.2.1:{port}:22"], 5, f"udp port {port} of 192.0.2.1"),
                ("net", ["--tap=a-name-that-is-too-long"], 2, "1 to 15 characters"),
                ("rng", ["--rng-file=/nonexistent"], 5, "cannot open /nonexistent")):
            if name not in programs:
                continue
            with self.subTest(options):
                process = self.start(programs[name], f"--socket-path={self.path}", *options, bare=True)
                self.assertIn(message, self.ends(process, status))
                told = self.manager.recv(4096).decode()
                self.assertTrue(told.startswith("STATUS="), told)
                self.assertIn(message, told)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
