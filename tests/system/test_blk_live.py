# SPDX-License-Identifier: Apache-2.0
"""A disk that changes while Linux uses it: another size, a rate limit, the write cache; several queues. About 15 s."""
import json
import re
import socket
import subprocess
import time

import pytest
from beds import BUILD, UML_FEATURES, need_qemu, run_qemu, run_uml, vhost_user
from systems import EARLY, Runs, description, domain

MIB = 1 << 20
SECURE_ERASE = 16
COMMAND = str(BUILD / "cli" / "bulkhead")


def wait_for(programs, text, process, seconds=100):
    """Until the guest has said it. `process` is its QEMU."""
    deadline = time.monotonic() + seconds
    while text not in programs.log("qemu"):
        assert process.poll() is None and time.monotonic() < deadline, programs.log("qemu")[-3000:]
        time.sleep(0.05)


def ask(path, op):
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(str(path))
        control.sendall(json.dumps({"v": 1, "op": op}).encode() + b"\n")
        return json.loads(control.makefile().readline())


@pytest.mark.parametrize("version,ring", [("qemu-11", "packed"), pytest.param("qemu-7.2", "split", marks=pytest.mark.full)])
def test_linux_sees_its_disk_change(programs, backend, folder, version, ring):
    qemu = need_qemu(version)
    image, control = folder / "disk.img", folder / "ctl"
    with open(image, "wb") as file:
        file.truncate(64 * MIB)
    disk = backend("blk", f"--blk-file={image}", "--num-queues=4", f"--control={control}")
    device = vhost_user("blk", disk.socket_path, version, ",num-queues=4" + (",packed=on" if ring == "packed" else ""))

    def tell(*words):
        said = subprocess.run([COMMAND, "blk", *words, f"--control={control}"], capture_output=True, text=True, timeout=20)
        assert said.returncode == 0, said.stderr

    def during(process):
        wait_for(programs, "blk-live: resize me", process)
        before = image.stat().st_blocks * 512
        assert before < MIB // 2, "what the guest discarded takes room on the host"
        tell("resize", "128M")
        assert image.stat().st_size == 128 * MIB
        wait_for(programs, "blk-live: limit me", process)
        tell("limit", "--bandwidth=1M")
        process.stdin.write(b"go\n")
        process.stdin.flush()

    verdict = run_qemu(programs, qemu, "blk-live", [*device, "-smp", "4"], during=during)
    queues = int(re.search(r"blk-live: (\d+) queues", verdict.output)[1])
    assert queues == 4
    before, after = map(float, re.search(r"blk-live: ([\d.]+) to ([\d.]+)", verdict.output).groups())
    assert after - before > 2.5, "3 MiB at 1 MiB a second, a tenth of one at once"
    counters = ask(control, "counters")
    assert all(queue["requests"] >= 64 for queue in counters["queues"]), counters["queues"]
    assert counters["class"]["limited"] > 0 and counters["class"]["discards"] > 0
    assert counters["class"]["write_zeroes"] > 0 and counters["class"]["io_errors"] == 0
    assert disk.poll() is None, "the backend did not outlive its guest"


def test_linux_erases_a_disk_for_good(programs, backend, folder):
    # QEMU's vhost-user-blk masks SECURE_ERASE; virtio_uml hides nothing. Linux lays the range where the device writes.
    control = folder / "ctl"
    disk = backend("blk", "--ram-size=16M", UML_FEATURES, f"--control={control}")
    verdict = run_uml(programs, "blk-erase", [("blk", disk.socket_path)])
    assert SECURE_ERASE in verdict.features["blk"]
    counters = ask(control, "counters")["class"]
    assert counters["secure_erases"] > 0 and counters["refused"] == 0


def test_a_disk_of_a_running_system_is_resized_by_name(folder):
    runs = Runs(folder)
    body = EARLY + 'disk { compatible = "bulkhead,blk"; blk-file = "state:disk.img"; bulkhead,create-size = "4M"; };'
    try:
        assert runs.run("up", "--detach", description(folder, "one", domain("linux-a", 1, body))).returncode == 0
        told = runs.run("blk", "resize", "linux-a.disk", "8M")
        assert told.returncode == 0, told.stderr
        assert (runs.state_dir / "disk.img").stat().st_size == 8 * MIB
        refused = runs.run("blk", "resize", "linux-a.disk", "1M")
        assert refused.returncode == 1 and "would be lost" in refused.stderr
        assert runs.run("blk", "resiz", "linux-a.disk").returncode == 2
        unknown = runs.run("blk", "resize", "linux-a.dusk", "8M")
        assert unknown.returncode == 3 and 'the name "linux-a.dusk"' in unknown.stderr and 'did you mean "linux-a.disk"?' in unknown.stderr
        assert runs.run("blk", "limit", "linux-a.disk", "--iops=x").returncode == 2
        assert runs.run("restart", "linux-a/dusk").returncode == 3
        for name in ("linux-a.disk", "linux-a/disk"):
            restarted = runs.run("restart", "--timeout=30", name)
            assert restarted.returncode == 0 and "linux-a.disk is ready" in restarted.stdout, restarted
    finally:
        runs.end()
