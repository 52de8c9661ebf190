# SPDX-License-Identifier: Apache-2.0
"""systemd as the holder of a backend that runs as its unit, as docs/recovery.md shows it: the disk under fio --verify is
killed by us and restarted by systemctl, and systemd's own store and start bring it back. About 25 s.

The systemd is one of the test's own, the first process of a pid, mount and cgroup namespace, with no other unit than
ours. It needs root, and a cgroup of its own in the unified hierarchy.
"""
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from bedlib import pieces
from beds import FULL, backend_program, need_qemu, run_qemu, vhost_user
from test_recovery import image, wait_for  # noqa: F401 (a fixture)

KILLS = 40 if FULL else 6
BINARY = "/lib/systemd/systemd"
INSIDE = """
set -e
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
umount -l /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
exec env -i container=other "PATH=$PATH" "SYSTEMD_UNIT_PATH=$1" {binary} --system --unit=bulkhead.target \\
    --log-target=console --show-status=0 --default-standard-output=null
"""


class Systemd:
    """Units in `folder`; `bulkhead.target` is what is started."""

    def __init__(self, programs, units):
        unified = Path("/sys/fs/cgroup/unified")
        root = unified if unified.is_dir() else Path("/sys/fs/cgroup")
        self.cgroup = root / f"bulkhead-test-{os.getpid()}"
        self.cgroup.mkdir()
        inside = INSIDE.format(binary=BINARY)
        self.process = programs.start(
            ["sh", "-c", f'echo $$ >"{self.cgroup}/cgroup.procs" && exec unshare -m -p -C -i -u --fork --kill-child '
                         'sh -c "$0" sh "$1"', inside, units], "systemd")

    def pids(self, unit):
        try:
            return [int(pid) for pid in (self.cgroup / "system.slice" / unit / "cgroup.procs").read_text().split()]
        except OSError:
            return []

    def first_process(self):
        return int((self.cgroup / "init.scope" / "cgroup.procs").read_text().split()[0])

    def systemctl(self, *words):
        return subprocess.run(["nsenter", "-a", "-t", str(self.first_process()), "systemctl", *words], capture_output=True,
                              text=True, timeout=30)

    def end(self):
        try:
            os.kill(self.first_process(), signal.SIGKILL)  # and with it all of its namespace
        except (OSError, IndexError):
            self.process.kill()
        self.process.wait(10)
        deadline = time.monotonic() + 10
        while self.cgroup.exists():
            for folder in sorted(self.cgroup.glob("**/"), reverse=True):
                try:
                    folder.rmdir()
                except OSError:
                    assert time.monotonic() < deadline, f"{folder} stays"
                    time.sleep(0.05)


@pytest.fixture
def disk_unit(folder, programs, image):  # noqa: F811
    """A systemd that runs bulkhead-blk as its unit, with a socket unit before it."""
    if os.geteuid() or not shutil.which(BINARY) or not shutil.which("nsenter"):
        pytest.skip("it takes root and systemd")
    units = folder / "units"
    units.mkdir()
    (units / "bulkhead.target").write_text("[Unit]\nRequires=bulkhead-blk.socket\nAfter=bulkhead-blk.socket\n")
    (units / "bulkhead-blk.socket").write_text(
        f"[Unit]\nDefaultDependencies=no\n[Socket]\nListenStream={folder}/blk.sock\n")
    (units / "bulkhead-blk.service").write_text(f"""
[Unit]
DefaultDependencies=no
StartLimitIntervalSec=0
[Service]
Type=notify
ExecStart={backend_program("blk")} --blk-file={image} --num-queues=2
FileDescriptorStoreMax=1400
KillSignal=SIGKILL
Restart=on-failure
RestartPreventExitStatus=2 5
RestartSec=0
StandardOutput=append:{folder}/blk.log
StandardError=append:{folder}/blk.log
""")
    systemd = Systemd(programs, units)
    try:
        deadline = time.monotonic() + 20
        while not (folder / "blk.sock").exists():
            assert systemd.process.poll() is None and time.monotonic() < deadline, programs.log("systemd")[-2000:]
            time.sleep(0.05)
        yield systemd
    finally:
        systemd.end()


@pytest.mark.parametrize("version", ["qemu-7.2", pytest.param("qemu-11", marks=pytest.mark.full)])
def test_systemd_keeps_what_a_disk_needs(programs, disk_unit, folder, version):
    qemu = need_qemu(version)
    dice = random.Random(1)
    unit = "bulkhead-blk.service"

    def next_process(former):
        deadline = time.monotonic() + 20
        while not set(disk_unit.pids(unit)) - {former}:
            assert time.monotonic() < deadline, programs.log("systemd")[-2000:] + programs.log("blk")[-2000:]
            time.sleep(0.01)
        return disk_unit.pids(unit)[0]

    def during(process):
        wait_for(programs, process, "bulkhead-begun")
        pid = next_process(0)
        for kill in range(KILLS):
            time.sleep(dice.expovariate(1 / 0.3))
            if kill % 3 == 2:
                restarted = disk_unit.systemctl("restart", unit)
                assert restarted.returncode == 0, restarted.stderr
            else:
                os.kill(pid, signal.SIGKILL)
            pid = next_process(pid)
        shown = disk_unit.systemctl("show", unit, "--property=NFileDescriptorStore,NRestarts,SubState")
        process.stdin.write(b"enough\n")
        process.stdin.flush()
        values = dict(line.split("=") for line in shown.stdout.split())
        assert values["SubState"] == "running" and int(values["NFileDescriptorStore"]) > 4, shown.stdout + shown.stderr

    device = vhost_user("blk", folder / "blk.sock", version, ",num-queues=2")
    run_qemu(programs, qemu, "recover-blk", device, extra=[pieces.get("fio-arm64")], limit=300, during=during)
