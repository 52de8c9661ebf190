# SPDX-License-Identifier: Apache-2.0
"""Three domains at a switch that their description has: they reach each other through it, it is seen and told by its name,
no domain takes over another's address, and killed under their traffic it comes back without their being restarted. And
a domain that leaves the machine by a tap of its switch."""
import json
import os
import re
import select
import subprocess
import sys
import time

import pytest
from bedlib import pieces
from beds import ramdisk
from nets import Namespace
from systems import CONSOLE, description, domain

NET = 'lan { compatible = "bulkhead,net"; bulkhead,link = <&lan>; };'


class Shell:
    """A domain's console, by the command: what is typed there, and what comes of it."""

    def __init__(self, runs, name):
        self.name = name
        self.command = runs.start("console", name, stdin=subprocess.PIPE)
        self.count = 1000
        self.said = ""

    def type(self, command):
        """Types it; wait() hears the end. The mark is reckoned by the guest, so that its echo is none."""
        self.count += 1
        self.command.stdin.write(f"{command}; echo status-$?-of-$(({self.count} - 1))-\n")
        self.command.stdin.flush()

    def wait(self, seconds=60):
        """(status, all that was printed)."""
        mark = re.compile(rf"status-(\d+)-of-{self.count - 1}-")
        deadline = time.monotonic() + seconds
        while not mark.search(self.said):
            left = deadline - time.monotonic()
            assert left > 0, f"{self.name} says only:\n{self.said[-2000:]}"
            if select.select([self.command.stdout], [], [], left)[0]:
                came = os.read(self.command.stdout.fileno(), 4096)
                assert came, f"{self.name}'s console has ended:\n{self.said[-2000:]}"
                self.said += came.decode(errors="replace").replace("\r", "")
        status, said = int(mark.search(self.said)[1]), self.said
        self.said = ""
        return status, said

    def run(self, command, seconds=60):
        self.type(command)
        return self.wait(seconds)

    def must(self, command, seconds=60):
        status, said = self.run(command, seconds)
        assert status == 0, f"{self.name}: {command}: {status}\n{said}"
        return said

    def end(self):
        self.command.kill()
        self.command.communicate()


@pytest.fixture
def trio(runs, folder):
    """The system `trio`, up, and its domains' shells, each with an address: 10.9.0.1, .2, .3."""
    disk = ramdisk("arm64", folder, [pieces.get("net-tools-arm64")])
    domains = [domain(f"linux-{letter}", number, CONSOLE + NET, disk=disk) for number, letter in enumerate("abc", 1)]
    system = description(folder, "trio", *domains,
                         f'lan: lan {{ compatible = "bulkhead,switch"; capture = "{folder}/lan.pcap"; capture-limit = "4M"; }};')
    up = runs.run("up", "--detach", system)
    assert up.returncode == 0, up.stdout + up.stderr
    shells = [Shell(runs, f"linux-{letter}") for letter in "abc"]
    for number, shell in enumerate(shells, 1):
        shell.must(f"ip link set eth0 up && ip addr add 10.9.0.{number}/24 dev eth0")
    yield shells
    for shell in shells:
        shell.end()


def unit(runs, name):
    return next(unit for unit in runs.report()["units"] if unit["name"] == name)


def ports(runs):
    """The switch's counters, by port."""
    devices = json.loads(runs.run("stat", "--json", "lan").stdout)["devices"]
    assert [device["class"] for device in devices] == ["switch"]
    return {port["name"]: port for port in devices[0]["counters"]["ports"]}


def test_domains_at_a_switch_reach_each_other_and_outlive_it(trio, runs, folder):
    a, b, c = trio
    lan = unit(runs, "lan")
    assert (lan["kind"], lan["class"], lan["state"], lan["status"]) == ("switch", "switch", "ready", "3 of 3 ports are up")
    for shell, others in ((a, (2, 3)), (b, (1, 3)), (c, (1, 2))):
        for other in others:
            shell.must(f"ping -q -c 3 -W 5 10.9.0.{other}")
    # Told by its name.
    assert runs.run("net", "capture", "lan", "off").returncode == 0
    size = (folder / "lan.pcap").stat().st_size
    assert size > 1000
    b.must("ping -q -c 3 -W 5 10.9.0.1")
    assert (folder / "lan.pcap").stat().st_size == size
    b.must("iperf3 -s -D")
    assert "receiver" in a.must("iperf3 -c 10.9.0.2 -t 2")
    counted = ports(runs)
    assert set(counted) == {"linux-a.lan", "linux-b.lan", "linux-c.lan"}
    assert counted["linux-a.lan"]["bytes_in"] > 1 << 20 and counted["linux-b.lan"]["bytes_out"] > 1 << 20
    assert counted["linux-c.lan"]["bytes_out"] < 1 << 20, "what is for b goes to c too"
    assert re.search(r"lan, PORT +FRAMES IN", runs.run("stat").stdout)

    # Killed under load: the same domains and nets go on, and the connection that was open ends well.
    before = {one["name"]: one["pid"] for one in runs.report()["units"]}
    a.type("iperf3 -c 10.9.0.2 -t 8")
    c.type("ping -q -c 40 -i 0.2 10.9.0.1")
    time.sleep(2)
    assert runs.kill(lan["pid"])
    status, said = a.wait(90)
    assert status == 0 and "receiver" in said, said
    status, said = c.wait(90)
    assert int(re.search(r"(\d+) packets received", said)[1]) >= 20, said
    after = {one["name"]: one["pid"] for one in runs.report()["units"]}
    assert after.pop("lan") != before.pop("lan") and after == before
    lan = unit(runs, "lan")
    assert (lan["state"], lan["restarts"], lan["status"]) == ("ready", 1, "3 of 3 ports are up")
    b.must("ping -q -c 3 -W 5 10.9.0.3")
    assert "lan: warning: it ended by itself (killed by signal 9" in runs.run("logs").stdout

    # c as a: what comes from there is dropped, and a is still reached.
    mac = re.search(r"([0-9a-f]{2}:){5}[0-9a-f]{2}", a.must("cat /sys/class/net/eth0/address"))[0]
    c.must(f"ip link set eth0 down && ip link set eth0 address {mac} && ip link set eth0 up")
    assert c.run("ping -q -c 3 -W 1 10.9.0.2")[0] != 0
    b.must("ping -q -c 3 -W 5 10.9.0.1")
    assert ports(runs)["linux-c.lan"]["foreign_mac"] > 0 and ports(runs)["linux-a.lan"]["moved"] == 0
    assert runs.run("restart", "lan").returncode == 0
    b.must("ping -q -c 3 -W 5 10.9.0.1")
    down = runs.run("down")
    assert down.returncode == 0 and "nothing is left" in down.stdout
    assert runs.left(2) == []


def test_a_tap_at_a_switch_leads_out_of_the_machine_also_after_the_switch_died(programs, runs, folder):
    outside = Namespace(programs)
    outside.tap("up0", "10.9.0.9/24")
    system = description(folder, "up", domain("linux-a", 1, CONSOLE + NET),
                         'lan: lan { compatible = "bulkhead,switch"; port = "tap:up0"; };')
    up = subprocess.run([*outside.before, *runs.words("up", "--detach", system)], env=runs.environment, capture_output=True,
                        text=True, timeout=120, stdin=subprocess.DEVNULL)
    assert up.returncode == 0, up.stdout + up.stderr
    shell = Shell(runs, "linux-a")
    try:
        shell.must("ip link set eth0 up && ip addr add 10.9.0.1/24 dev eth0")
        fetch = "import urllib.request; print(urllib.request.urlopen('http://10.9.0.1:8080/', timeout=20).read().decode())"
        assert outside.run(sys.executable, "-c", fetch).strip() == "linux-a"
        assert set(ports(runs)) == {"tap:up0", "linux-a.lan"}
        assert runs.kill(unit(runs, "lan")["pid"])
        deadline = time.monotonic() + 20
        while unit(runs, "lan")["status"] != "2 of 2 ports are up":
            assert time.monotonic() < deadline, unit(runs, "lan")
            time.sleep(0.1)
        assert outside.run(sys.executable, "-c", fetch).strip() == "linux-a"
        assert unit(runs, "lan")["restarts"] == 1 and unit(runs, "linux-a")["restarts"] == 0
    finally:
        shell.end()
