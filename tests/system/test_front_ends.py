# SPDX-License-Identifier: Apache-2.0
"""Front-ends that come and go: one after the other, killed in between, and ones that listen themselves."""
import random
import time

import pytest
from beds import (FULL, QEMUS, UML_FEATURES, VIRTIO_ID, Programs, backend_program, need_qemu, pieces, ramdisk,
                  run_qemu, run_uml, vhost_user)
from test_blk import check_image, image  # noqa: F401 (a fixture)
from test_console import TEXT, Talker
from test_net import host  # noqa: F401 (a fixture)

KILLS = 20 if FULL else 3


def kill_in_the_middle(programs, folder, device_class, path, dice, turn):
    """Boots a guest with the device and kills it at a random moment, its requests in flight."""
    own = Programs(folder / f"killed-{turn}")
    own.folder.mkdir()
    try:
        guest = own.start([pieces.get("uml") / "linux.uml", "mem=256M", f"initrd={ramdisk('uml', own.folder)}",
                           f"uml_dir={own.folder}", "con=null", "con0=fd:0,fd:1", "quiet", "panic=1",
                           f"bulkhead.test={device_class}", f"virtio_uml.device={path}:{VIRTIO_ID[device_class]}"], "uml")
        time.sleep(dice.uniform(0.2, 2))
        guest.kill()
        guest.wait(10)
    finally:
        own.end()


def test_a_disk_outlives_its_front_ends(programs, backend, image, folder):  # noqa: F811
    disk = backend("blk", f"--blk-file={image}", UML_FEATURES)
    dice = random.Random(1)
    for turn in range(KILLS):
        kill_in_the_middle(programs, folder, "blk", disk.socket_path, dice, turn)
        assert disk.poll() is None, programs.log("blk")
    run_uml(programs, "blk", [("blk", disk.socket_path)])
    check_image(image)


def test_a_network_card_outlives_its_front_ends(programs, backend, host, folder):  # noqa: F811
    net = backend("net", host.forward, "--mac=02:00:00:00:00:01", UML_FEATURES)
    dice = random.Random(2)
    for turn in range(KILLS):
        kill_in_the_middle(programs, folder, "net", net.socket_path, dice, turn)
        assert net.poll() is None, programs.log("net")
    run_uml(programs, "net", [("net", net.socket_path)], arguments=[f"bulkhead.hostport={host.port}"])
    assert host.fetched


def test_a_console_outlives_its_front_ends(programs, backend, folder):
    path = folder / "talk"
    console = backend("console", "--port=socket", f"--console-socket={path}", UML_FEATURES)
    dice = random.Random(3)
    for turn in range(KILLS):
        kill_in_the_middle(programs, folder, "console", console.socket_path, dice, turn)
        assert console.poll() is None, programs.log("console")
    talker = Talker(path)
    run_uml(programs, "console", [("console", console.socket_path)])
    talker.join(5)
    assert TEXT in talker.heard


CONNECTING = [pytest.param(version, device_class,
                           marks=() if (version, device_class) in (("qemu-7.2", "rng"), ("qemu-11", "blk"))
                           else pytest.mark.full)
              for version in QEMUS for device_class in ("rng", "blk", "console")
              if (version, device_class) != ("qemu-7.2", "console")]


@pytest.mark.parametrize("version,device_class", CONNECTING)
def test_a_device_connects_to_a_front_end_that_listens(programs, image, folder, version, device_class):  # noqa: F811
    """QEMU's chardev with server=on; the device is there before it, and is asked for until both have met."""
    qemu = need_qemu(version)
    path = folder / "front.sock"
    options = {"blk": [f"--blk-file={image}"], "rng": [],
               "console": ["--port=socket", f"--console-socket={folder}/talk"]}[device_class]
    device = programs.start([backend_program(device_class), f"--connect={path}", *options], device_class)
    talker = Talker(folder / "talk") if device_class == "console" else None
    run_qemu(programs, qemu, device_class, vhost_user(device_class, f"{path},server=on", version))
    if device_class == "blk":
        check_image(image)
    if talker:
        talker.join(5)
        assert TEXT in talker.heard
    assert device.poll() is None, "the device did not outlive its guest"
    assert "no front-end to connect to" in programs.log(device_class)
