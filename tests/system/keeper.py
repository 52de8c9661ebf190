# SPDX-License-Identifier: Apache-2.0
"""A service manager of one device process: keeps what it leaves by sd_notify's FDSTORE, and starts it again with that by
sd_listen_fds' protocol, as systemd or our daemon would. Written from the manual pages, and strict about them: what a
real manager might forget is an error here."""
import array
import fcntl
import os
import select
import signal
import socket
import struct
import threading
import time

from beds import backend_program

LISTEN_FDS_START, HIGH = 3, 200  # kept fds live at high numbers, out of the way of those that a child gets
RUN = """export LISTEN_PID=$$; exec "$@" """


def dup_high(fd):
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, HIGH)


class Keeper:
    """The process is started at once; `kill` ends it as hard as can be, and it is started again by itself."""

    def __init__(self, programs, device_class, *options, name=None, program=None, stream=None):
        self.programs, self.options = programs, options
        self.streams = {"stdin": stream, "stdout": stream} if stream else {}
        self.program = program or backend_program(device_class)
        self.name = name or device_class
        self.socket_path = programs.folder / f"{self.name}.sock"
        self.store = {}  # name: fd
        self.starts = 0
        self.complaints = []  # what the process did wrong
        self.ends = []  # how each process ended
        self.is_ready = threading.Event()
        self.stopping = False
        self.listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listening.bind(str(self.socket_path))
        self.listening.listen(4)
        self.notify_path = programs.folder / f"{self.name}.notify"
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.notify.bind(str(self.notify_path))
        self.process = None
        self.lock = threading.Lock()
        self.start()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        self.wait_ready()

    # --- the manager's side ---

    def start(self):
        fds = [self.listening.fileno(), *self.store.values()]
        high = []
        try:
            for fd in fds:
                high.append(dup_high(fd))
            moves = " ".join(f"{LISTEN_FDS_START + place}<&{fd}" for place, fd in enumerate(high))
            closes = " ".join(f"{fd}<&-" for fd in high)
            self.is_ready.clear()
            with self.lock:
                self.process = self.programs.start(
                    ["bash", "-c", f"{RUN} {moves} {closes}", "bash", self.program, *self.options], self.name, pass_fds=high,
                    env={**os.environ, "NOTIFY_SOCKET": str(self.notify_path), "LISTEN_FDS": str(len(fds)),
                         "LISTEN_FDNAMES": ":".join(["listen", *self.store])},
                    **self.streams)
                self.starts += 1
                self.pidfd = os.pidfd_open(self.process.pid)
        finally:
            for fd in high:
                os.close(fd)

    def run(self):
        while not self.stopping:
            try:
                readable = select.select([self.notify, self.pidfd], [], [], 0.2)[0]
            except (OSError, ValueError):
                return
            while self.hear():
                pass
            if self.pidfd in readable:
                while self.hear():  # what it said with its last breath counts
                    pass
                os.close(self.pidfd)
                self.ends.append(self.process.wait())
                self.programs.started.remove(self.process)
                if self.stopping:
                    return
                if self.ends[-1] != -signal.SIGKILL:
                    self.complaints.append(f"it ended by itself with {self.ends[-1]}")
                    return
                self.start()

    def hear(self):
        try:
            data, control, flags, _ = self.notify.recvmsg(65536, socket.CMSG_SPACE(64 * 4) + socket.CMSG_SPACE(12),
                                                          socket.MSG_DONTWAIT)
        except (BlockingIOError, OSError):
            return False
        fds, pid = [], 0
        for level, kind, content in control:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds = array.array("i", content[:len(content) // 4 * 4]).tolist()
            elif level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
                pid = struct.unpack("3i", content)[0]
        if pid != self.process.pid:
            self.complaints.append(f"pid {pid} speaks for {self.process.pid}")
        words = dict(line.split("=", 1) for line in data.decode().split("\n") if "=" in line)
        self.take(words, fds)
        return True

    def take(self, words, fds):
        name = words.get("FDNAME", "stored")
        if words.get("FDSTORE") == "1":
            self.keep(name, fds, words)
        elif fds:
            self.complaints.append(f"an fd without FDSTORE: {words}")
        if words.get("FDSTOREREMOVE") == "1" and name in self.store:
            os.close(self.store.pop(name))
        if words.get("READY") == "1":
            self.is_ready.set()

    def keep(self, name, fds, words):
        if len(fds) != 1 or name in self.store or not name.isascii() or ":" in name or words.get("FDPOLL") != "0":
            self.complaints.append(f"{words} with {len(fds)} fds, while {sorted(self.store)} are kept")
        for fd in fds[1:]:
            os.close(fd)
        if fds:
            old = self.store.pop(name, None)
            if old is not None:
                os.close(old)
            self.store[name] = dup_high(fds[0])
            os.close(fds[0])

    # --- the test's side ---

    def wait_ready(self, seconds=60):
        assert self.is_ready.wait(seconds), f"{self.name} does not become ready: {self.complaints} {self.log()}"

    def kill(self):
        """kill -9, at whatever the process is doing. False: it is gone already."""
        with self.lock:
            process = self.process
        try:
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        except OSError:
            return False
        return process.pid > 0

    def kill_twice(self, after):
        """Kill it, and its successor on its way back, so many seconds after its start."""
        starts = self.starts
        self.kill()
        while self.starts == starts:
            time.sleep(0.001)
        time.sleep(after)
        self.kill_and_wait()

    def kill_and_wait(self, seconds=60):
        starts = self.starts
        self.kill()
        deadline = time.monotonic() + seconds
        while self.starts == starts or not self.is_ready.is_set():
            assert time.monotonic() < deadline, f"{self.name} does not come back: {self.complaints} {self.log()}"
            time.sleep(0.002)

    def check(self):
        """No process of ours may have ended by itself, or have misused its keeper."""
        assert not self.complaints, f"{self.complaints}\n{self.log()}"

    def log(self):
        return self.programs.log(self.name)[-4000:]

    def end(self):
        self.stopping = True
        self.kill()
        self.thread.join(5)
        for fd in self.store.values():
            os.close(fd)
        self.store.clear()
        self.listening.close()
        self.notify.close()
