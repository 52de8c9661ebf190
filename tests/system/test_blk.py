# SPDX-License-Identifier: Apache-2.0
"""Our blk backend, judged by Linux's driver under User-mode Linux and QEMU, by fio, and by U-Boot's driver."""
from concurrent.futures import ThreadPoolExecutor

import pytest
from bedlib import pieces
from beds import (EVENT_IDX, FEATURES, INDIRECT_DESC, QEMUS, RING_PACKED, Programs, accepted, features_option, machine,
                  matrix, need_qemu, run_qemu, run_uml, vhost_user)

MIB = 1 << 20

def pattern(text):
    return (text.encode() + b"\n") * (MIB // (len(text) + 1) + 1)


@pytest.fixture
def image(folder):
    """A disk of 64 MiB with the host's pattern at 60 MiB."""
    path = folder / "disk.img"
    with open(path, "wb") as file:
        file.truncate(64 * MIB)
        file.seek(60 * MIB)
        file.write(pattern("from the host")[:MIB])
    return path


def check_image(path):
    with open(path, "rb") as file:
        file.seek(56 * MIB)
        assert file.read(MIB) == pattern("from the guest")[:MIB], "what the guest wrote is not in the image"


@pytest.mark.parametrize("features", FEATURES)
def test_linux_under_uml(programs, backend, image, features):
    # virtio_uml accepts packed rings, then starts them as if both wrap counters were 0 (SET_VRING_BASE 0).
    without, expected = FEATURES[features]
    disk = backend("blk", f"--blk-file={image}", *features_option("-packed", *without))
    verdict = run_uml(programs, "blk", [("blk", disk.socket_path)])
    assert verdict.features["blk"] & {EVENT_IDX, INDIRECT_DESC} == expected
    check_image(image)
    assert disk.poll() is None, "the backend did not outlive its guest"


@pytest.mark.parametrize("options", [("--aio=threads",), ("--cache=none",), ("--cache=directsync", "--aio=threads"),
                                     ("--num-queues=4", "--block-size=4096")], ids=" ".join)
def test_each_way_to_the_file(programs, backend, image, options):
    disk = backend("blk", f"--blk-file={image}", *features_option("-packed"), *options)
    run_uml(programs, "blk", [("blk", disk.socket_path)])
    check_image(image)


def test_two_guests_use_an_image_one_after_the_other(programs, backend, image, folder):
    """The second guest's I/O waits until the first one has ended; which comes first is theirs to decide."""
    disks = [backend("blk", f"--blk-file={image}", *features_option("-packed"), name=name) for name in ("one", "two")]
    guests = []
    for name in ("uml-one", "uml-two"):
        (folder / name).mkdir()
        guests.append(Programs(folder / name))
    try:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda guest, disk: run_uml(guest, "blk", [("blk", disk.socket_path)]), guests, disks))
    finally:
        for guest in guests:
            guest.end()
    check_image(image)
    logs = programs.log("one") + programs.log("two")
    # One that waited for less than half a second says nothing.
    assert logs.count("the image is in use by another process") == logs.count("free now") <= 1, logs


@pytest.mark.parametrize("version,ring,features", matrix(QEMUS, (("qemu-7.2", "split", "all"), ("qemu-11", "packed", "all"))))
def test_linux_under_qemu(programs, backend, image, version, ring, features):
    qemu = need_qemu(version)
    disk = backend("blk", f"--blk-file={image}", *features_option(*FEATURES[features][0]))
    device = vhost_user("blk", disk.socket_path, version, ",packed=on" if ring == "packed" else "")
    verdict = run_qemu(programs, qemu, "blk", device)
    assert verdict.features["blk"] & {EVENT_IDX, INDIRECT_DESC, RING_PACKED} == accepted(ring, features)
    check_image(image)
    assert disk.poll() is None, "the backend did not outlive its guest"


@pytest.mark.parametrize("ring", [pytest.param("split", marks=pytest.mark.full), "packed"])
def test_fio_verifies_in_a_guest(programs, backend, image, ring):
    disk = backend("blk", f"--blk-file={image}")
    device = vhost_user("blk", disk.socket_path, "qemu-11", ",packed=on" if ring == "packed" else "")
    run_qemu(programs, QEMUS["qemu-11"](), "fio", device, extra=[pieces.get("fio-arm64")], limit=300)


def test_u_boot_lists_and_reads_a_disk(programs, backend, image, folder):
    pexpect = pytest.importorskip("pexpect")
    with open(image, "r+b") as file:  # an MBR with one partition of type 0x83, 2048 sectors from sector 2048 on
        file.seek(446)
        file.write(bytes([0x80, 0, 0, 0, 0x83, 0, 0, 0]) + (2048).to_bytes(4, "little") * 2)
        file.seek(510)
        file.write(b"\x55\xaa")
        file.seek(2048 * 512)
        file.write(b"read by U-Boot\0\0")
    disk = backend("blk", f"--blk-file={image}")
    command = machine(QEMUS["qemu-11"]()) + ["-serial", "stdio", "-bios", pieces.get("u-boot-arm64") / "u-boot.bin",
                                             *vhost_user("blk", disk.socket_path, "qemu-11", ",disable-legacy=on")]
    command = [str(word) for word in command]
    with open(folder / "u-boot.log", "wb") as log:
        shell = pexpect.spawn(command[0], command[1:], timeout=30, logfile=log)
        try:
            shell.expect("Hit any key")
            shell.send("\r")
            shell.expect("=> ")
            for line, answer in (("virtio scan", "=> "), ("virtio info", "Type: Hard Disk"),
                                 ("part list virtio 0", "2048.*2048.*83"),
                                 ("virtio read 0x44000000 0x800 1", "1 blocks read: OK"),
                                 ("md.b 0x44000000 10", "read by U-Boot")):
                shell.sendline(line)
                shell.expect(answer)
        finally:
            shell.close(force=True)
