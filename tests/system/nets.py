# SPDX-License-Identifier: Apache-2.0
"""What the network tests stand on: a network namespace of their own, and a host's side that checks what goes both ways."""
import ctypes
import fcntl
import hashlib
import http.server
import os
import shutil
import struct
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

import pytest

CLONE_NEWNET = 0x40000000
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000


class Namespace:
    """A network namespace that lives as long as the test; it has no name, and leaves nothing behind."""

    def __init__(self, programs):
        self.holder = programs.start(["unshare", "--net", "sleep", "infinity"], "namespace")
        self.path = f"/proc/{self.holder.pid}/ns/net"
        own, deadline = os.readlink("/proc/self/ns/net"), time.monotonic() + 5
        while not self.is_made(own):
            if self.holder.poll() is not None:
                pytest.skip(f"no network namespace here: {programs.log('namespace').strip()}")
            assert time.monotonic() < deadline
            time.sleep(0.01)
        self.before = ["nsenter", f"--net={self.path}", "--"]
        self.run("ip", "link", "set", "lo", "up")

    def is_made(self, own):
        try:
            return os.readlink(self.path) != own and Path(f"/proc/{self.holder.pid}/comm").read_text() == "sleep\n"
        except OSError:  # unshare was refused, and is gone
            return False

    def run(self, *command):
        done = subprocess.run([*self.before, *command], capture_output=True, text=True)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def tap(self, name, address, pairs=1, offloads=True):
        """An interface for a guest's other end, up and with an address."""
        words = (["multi_queue"] if pairs > 1 else []) + (["vnet_hdr"] if offloads else [])
        made = subprocess.run([*self.before, "ip", "tuntap", "add", "dev", name, "mode", "tap", *words],
                              capture_output=True, text=True)
        if made.returncode:
            pytest.skip(f"no tap here: {made.stderr.strip()}")
        self.run("ip", "addr", "add", address, "dev", name)
        self.run("ip", "link", "set", name, "up")

    def open_tap(self, name, flags):
        """A descriptor onto a tap of the namespace, as a program would hand it over."""
        result = []

        def open_it():
            self.enter()
            fd = os.open("/dev/net/tun", os.O_RDWR)
            fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
            result.append(fd)

        thread = threading.Thread(target=open_it)
        thread.start()
        thread.join()
        return result[0]

    def frame_bytes(self, interface):
        """The mean length of the frames that came in on the interface and of those that went out."""
        with open(f"/proc/{self.holder.pid}/net/dev", encoding="ascii") as file:
            words = file.read().split(f"{interface}:")[1].split("\n")[0].split()
        return [int(words[at]) / max(1, int(words[at + 1])) for at in (0, 8)]

    def enter(self):
        """Moves the calling thread, and those that it starts, into the namespace."""
        fd = os.open(self.path, os.O_RDONLY)
        try:
            assert ctypes.CDLL(None, use_errno=True).setns(fd, CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        finally:
            os.close(fd)


def need(program):
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")


class Host:
    """Serves a file, and says `whole` only when it has fetched the guest's file from `guest` ("ADDRESS:PORT")."""

    def __init__(self, guest, address="127.0.0.1", namespace=None):
        self.data = os.urandom(8 << 20)
        self.fetched = False
        self.guest = guest
        host = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                answer = {"/down": lambda: host.data, "/down.sha256": lambda: host.digest(host.data),
                          "/verdict": host.verdict}[self.path]()
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        started = threading.Event()

        def serve():
            if namespace is not None:
                namespace.enter()
            self.server = http.server.ThreadingHTTPServer((address, 0), Handler)
            self.port = self.server.server_address[1]
            started.set()
            self.server.serve_forever()

        threading.Thread(target=serve, daemon=True).start()
        assert started.wait(10), f"nothing can listen on {address}"

    @staticmethod
    def digest(data):
        return hashlib.sha256(data).hexdigest().encode()

    def verdict(self):
        up = urllib.request.urlopen(f"http://{self.guest}/up", timeout=20).read()
        wanted = urllib.request.urlopen(f"http://{self.guest}/up.sha256", timeout=20).read().strip()
        self.fetched = len(up) == 4 << 20 and self.digest(up) == wanted
        return b"whole" if self.fetched else b"torn"

    def end(self):
        self.server.shutdown()
        self.server.server_close()
