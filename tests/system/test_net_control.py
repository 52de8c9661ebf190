# SPDX-License-Identifier: Apache-2.0
"""Our net backend's control queue, hashes and verbs. The judges' drivers have the control queue for themselves: User-mode
Linux's, and one behind QEMU 11's test device, which passes a backend's features through (its own net keeps the queue)."""
import json
import socket
import threading
import time

import pytest
from bedlib import pieces
from beds import QEMUS, UML_FEATURES, run_qemu, run_uml
from keeper import Keeper
from nets import Host, Namespace, need

CTRL_VQ, CTRL_RX, CTRL_VLAN, GUEST_ANNOUNCE, MQ, CTRL_MAC_ADDR, HASH_REPORT, RSS = 17, 18, 19, 21, 22, 23, 57, 60


def ask(path, op, **args):
    """One request on a device process's control socket."""
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(10)
        control.connect(str(path))
        control.sendall(json.dumps({"v": 1, "op": op, **({"args": args} if args else {})}).encode() + b"\n")
        answer = json.loads(control.makefile().readline())
    assert answer["ok"], answer
    return answer


class Operator:
    """Does what belongs to each step that the guest tells of, in a thread; what it saw is in `seen`."""

    def __init__(self, programs, namespace, control, log):
        self.seen, self.failure = {}, None
        self.programs, self.namespace, self.control, self.log = programs, namespace, control, log
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def step(self, name):
        deadline = time.monotonic() + 120
        while f"bulkhead-step: {name}" not in self.programs.log(self.log):
            assert time.monotonic() < deadline, f"the guest never came to '{name}'"
            time.sleep(0.05)

    def counter(self, name):
        return ask(self.control, "counters")["class"][name]

    def run(self):
        try:
            self.namespace.enter()
            self.step("filter")
            before = self.counter("rx_filtered")
            self.namespace.run("ip", "neigh", "add", "10.77.0.99", "lladdr", "02:00:00:00:00:99", "dev", "tap0")
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                for _ in range(3):
                    stranger.sendto(b"for somebody else", ("10.77.0.99", 9))
            time.sleep(0.5)
            self.seen["filtered"] = self.counter("rx_filtered") - before
            self.seen["received"] = [queue["bytes_in"] for queue in ask(self.control, "counters")["queues"]]
            self.step("link")
            ask(self.control, "link", state="down")
            self.step("plug")
            ask(self.control, "link", state="up")
            self.step("announce")
            commands = self.counter("commands")
            ask(self.control, "announce")
            deadline = time.monotonic() + 5
            while self.counter("commands") == commands:
                assert time.monotonic() < deadline, "the guest does not acknowledge the announcement"
                time.sleep(0.05)
            self.seen["refused"] = self.counter("commands_refused")
        except Exception as error:  # told by the test's own thread
            self.failure = error


@pytest.fixture
def stage(programs, backend, folder):
    """stage(pairs, options): a tap with iperf3 behind it, our backend on it; returns it and its control socket."""
    need("iperf3")
    namespace = Namespace(programs)

    def begin(*options, pairs=1):
        namespace.tap("tap0", "10.77.0.1/24", pairs)
        programs.start([*namespace.before, "iperf3", "-s"], "iperf3")
        control = folder / "control"
        net = backend("net", "--tap=tap0", f"--queue-pairs={pairs}", f"--control={control}", *options,
                      before=namespace.before)
        return net, control

    begin.namespace = namespace
    return begin


def judge(operator, net, verdict, features):
    operator.thread.join()
    assert operator.failure is None, operator.failure
    assert operator.seen["filtered"] >= 3, "frames for another address reached the guest"
    assert operator.seen["refused"] == 0
    assert {CTRL_VQ, CTRL_RX, CTRL_MAC_ADDR, GUEST_ANNOUNCE, *features} <= verdict.features["net"]
    assert net.poll() is None, "the backend did not outlive its guest"


def test_control_queue_under_uml(programs, stage):
    net, control = stage(UML_FEATURES)
    operator = Operator(programs, stage.namespace, control, "uml")
    verdict = run_uml(programs, "netctl", [("net", net.socket_path)], extra=[pieces.get("net-tools-host")])
    judge(operator, net, verdict, {CTRL_VLAN})


@pytest.mark.parametrize("rss", [False, True])
def test_control_queue_under_qemu(programs, stage, rss):
    qemu = QEMUS["qemu-11"]()
    net, control = stage(*(["--rss", "--hash-report"] if rss else []), pairs=4)
    device = ["-chardev", f"socket,id=netc,path={net.socket_path}", "-device",
              "vhost-user-test-device-pci,chardev=netc,virtio-id=1,num_vqs=9,config_size=24"]
    operator = Operator(programs, stage.namespace, control, "qemu")
    verdict = run_qemu(programs, qemu, "netctl", device, extra=[pieces.get("net-tools-arm64")],
                       words=f"bulkhead.pairs=4 bulkhead.rss={'yes' if rss else 'no'}")
    judge(operator, net, verdict, {MQ, RSS, HASH_REPORT} if rss else {MQ})
    received = operator.seen["received"][0:8:2]
    assert sum(count > 100000 for count in received) >= 2, f"receive queues got {received} bytes"


def test_what_commands_set_outlives_a_killed_backend(programs):
    net = Keeper(programs, "net", "--mac=02:00:00:00:00:01", UML_FEATURES)

    class Killer(Host):
        def verdict(self):
            net.kill_and_wait()
            return b"killed"

    host = Killer("nobody")
    try:
        verdict = run_uml(programs, "netkill", [("net", net.socket_path)], arguments=[f"bulkhead.hostport={host.port}"])
        assert net.starts >= 2, "nothing was killed"
        assert CTRL_MAC_ADDR in verdict.features["net"]
        net.check()
    finally:
        host.end()
        net.end()
