# SPDX-License-Identifier: Apache-2.0
"""A program of others in a system of ours: QEMU's virtiofsd serves a folder into a domain, by the description alone."""
import os
import time
from pathlib import Path

import pytest
from systems import CONSOLE, description, domain

VIRTIOFSD = Path("/usr/lib/qemu/virtiofsd")


def pid_of(runs, name):
    return next(unit["pid"] for unit in runs.report()["units"] if unit["name"] == name)


def until(what, condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def copied(runs, share, source, target):
    """Has the guest mount the folder and copy a file in it; True once the host sees the whole copy."""
    runs.run("console", "linux-a", stdin=None, input=f"mkdir -p /m; mount -t virtiofs share /m; cp /m/{source} /m/{target}\n")
    path = share / target
    until(f"the guest does not copy {source} to {target}", lambda: path.exists() and path.read_text() == WORDS)


WORDS = "said by the host\n"


@pytest.mark.skipif(not VIRTIOFSD.exists(), reason="QEMU's virtiofsd is not installed")
@pytest.mark.skipif(os.geteuid() != 0, reason="QEMU 7.2's virtiofsd runs as root only")
def test_virtiofsd_serves_a_folder_and_is_restarted_with_its_domain(runs, folder):
    share = folder / "share"
    share.mkdir()
    (share / "a").write_text(WORDS)
    files = f'share {{ compatible = "bulkhead,fs"; tag = "share"; bulkhead,arguments = "-o", "source={share}"; }};'
    system = description(folder, "one", domain("linux-a", 1, CONSOLE + files))
    up = runs.run("up", "--detach", system)
    assert up.returncode == 0, up.stdout + up.stderr
    copied(runs, share, "a", "b")
    before = {name: pid_of(runs, name) for name in ("linux-a", "linux-a.share")}
    assert "NoNewPrivs:\t1" in Path(f"/proc/{before['linux-a.share']}/status").read_text()
    assert os.readlink(f"/proc/{before['linux-a.share']}/ns/ipc") != os.readlink("/proc/self/ns/ipc")
    os.kill(before["linux-a.share"], 9)
    until("the domain does not come back with its file system",
          lambda: runs.report()["state"] == "ready" and pid_of(runs, "linux-a.share") not in (0, before["linux-a.share"]))
    assert pid_of(runs, "linux-a") != before["linux-a"]
    assert "its front-end cannot reconnect" in runs.run("logs").stdout
    copied(runs, share, "b", "c")
    down = runs.run("down")
    assert down.returncode == 0, down.stderr
    assert runs.left(2) == []
    assert os.listdir(runs.run_dir) == []
