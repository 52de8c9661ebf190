# SPDX-License-Identifier: Apache-2.0
"""What the devices of a running system count: `bulkhead stat`, and Prometheus' page, read by Prometheus' own parser."""
import http.client
import json
import os
import re
import select
import signal
import socket
import subprocess
import time

import pytest
from systems import CONSOLE, description, domain

DISK = 'disk { compatible = "bulkhead,blk"; ram-size = "16M"; features = "-packed"; };'

# Debian's python3, whose module this is, and not the one that runs the tests.
PARSER = """
import json, sys
from prometheus_client.parser import text_string_to_metric_families
print(json.dumps([[s.name, s.labels, s.value] for f in text_string_to_metric_families(sys.stdin.read()) for s in f.samples]))
"""


@pytest.fixture
def system(runs, folder):
    up = runs.run("up", "--detach", description(folder, "one", domain("linux-a", 1, CONSOLE + DISK)))
    assert up.returncode == 0, up.stderr
    return runs


def until(stream, mark, seconds=60):
    """What comes, as it comes: lines may never end."""
    seen, deadline = b"", time.monotonic() + seconds
    while mark.encode() not in seen:
        assert time.monotonic() < deadline, seen
        if select.select([stream], [], [], 0.2)[0]:
            got = os.read(stream.fileno(), 4096)
            assert got, seen
            seen += got


def read_disk(runs, kilobytes):
    """Past the guest's cache, as the guest reads ahead: a little more than that, in requests of its own choice."""
    command = ("echo 3 > /proc/sys/vm/drop_caches; "
               f"dd if=/dev/vda of=/dev/null bs=1k count={kilobytes}; echo $((6 * 7))-read\n")
    console = runs.start("console", "linux-a", stdin=subprocess.PIPE)
    try:
        # What is typed before the guest's shell is there, its terminal forgets.
        for mark, typed in (("linux-a:~# ", command), ("42-read", "")):
            until(console.stdout, mark)
            console.stdin.write(typed)
            console.stdin.flush()
    finally:
        console.kill()
        console.communicate()


def counters(runs, name):
    report = json.loads(runs.run("stat", "--json", name).stdout)
    return next(device["counters"] for device in report["devices"] if device["name"] == name)


def test_stat_counts_what_the_guest_does(system):
    before = counters(system, "linux-a.disk")
    read_disk(system, 4096)
    after = counters(system, "linux-a.disk")
    one, two = before["queues"][0], after["queues"][0]
    reads, requests = after["class"]["reads"] - before["class"]["reads"], two["requests"] - one["requests"]
    assert 8 <= reads <= requests <= 1100, "requests of 4 KiB to 512 KiB, and a few of the file system's"
    assert 0 <= two["bytes_in"] - one["bytes_in"] - requests - (4 << 20) < 1 << 20, "the data, and a status each"
    assert 0 < two["kicks"] - one["kicks"] <= requests + 1
    assert two["notifications"] + two["suppressed"] > one["notifications"] + one["suppressed"]
    assert two["broken"] == {} and after["connection"]["malformed"] == 0

    table = system.run("stat").stdout.splitlines()
    assert table[0].split()[:2] == ["DEVICE", "QUEUE"]
    rows = [line for line in table if line.startswith("linux-a.disk ")]
    assert [row.split()[1] for row in rows] == ["0"]
    assert int(rows[0].split()[2]) >= two["requests"]
    assert [line.split()[0] for line in system.run("stat", "linux-a/disk").stdout.splitlines()] == ["DEVICE", "linux-a.disk"]
    assert "\033" not in system.run("stat").stdout, "colour only on a terminal"
    assert system.run("stat", "linux-x").returncode == 3


def test_stat_watch_shows_rates_until_the_system_ends(system):
    watching = system.start("stat", "--watch", "linux-a.disk")
    read_disk(system, 2048)
    time.sleep(2)
    assert system.run("down").returncode == 0
    shown, _ = watching.communicate(timeout=20)
    assert watching.returncode == 3
    assert shown.startswith("DEVICE") and shown.count("EACH SECOND") >= 2
    blocks = shown.split("EACH SECOND")[1:]
    rates = [float(re.search(r"^linux-a\.disk +0 +(\d+)", block, re.M)[1]) for block in blocks]
    assert max(rates) > 0 and min(rates) == 0, rates


def test_a_device_that_does_not_answer_says_so(system):
    report = system.report()
    pid = next(unit["pid"] for unit in report["units"] if unit["name"] == "linux-a.disk")
    handle = system.handles()[pid]
    handle.signal(signal.SIGSTOP)
    try:
        stat = json.loads(system.run("stat", "--json").stdout)
        assert {d["name"]: d.get("error", "") for d in stat["devices"]} == {
            "linux-a.console": "", "linux-a.disk": "it does not answer in time"}
    finally:
        handle.signal(signal.SIGCONT)
    assert counters(system, "linux-a.disk")["queues"]


def test_prometheus_reads_the_page(system):
    path = system.run_dir / "one" / "metrics.sock"
    if not path.exists():
        pytest.skip("built without libmicrohttpd")

    def get(target, method="GET"):
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(20)
        connection.sock.connect(str(path))
        connection.request(method, target)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Type"), answer.read().decode()

    status, kind, text = get("/metrics")
    assert (status, kind) == (200, "text/plain; version=0.0.4")
    assert [get("/")[0], get("/metrics", "POST")[0]] == [404, 405]
    parsed = subprocess.run(["/usr/bin/python3", "-c", PARSER], input=text, capture_output=True, text=True)
    if "No module named" in parsed.stderr:
        pytest.skip("Debian's python3-prometheus-client is not here")
    assert parsed.returncode == 0, parsed.stderr
    samples = json.loads(parsed.stdout)
    disk = {name: value for name, labels, value in samples if labels.get("device") == "linux-a.disk"}
    now = counters(system, "linux-a.disk")
    assert 0 < disk["bulkhead_queue_requests_total"] <= now["queues"][0]["requests"]
    assert 0 < disk["bulkhead_blk_reads_total"] <= now["class"]["reads"]
    assert disk["bulkhead_device_answers"] == 1
    assert {labels["name"]: value for name, labels, value in samples if name == "bulkhead_unit_ready"} == {
        "linux-a": 1, "linux-a.console": 1, "linux-a.disk": 1}
