# SPDX-License-Identifier: Apache-2.0
"""Our net backend on QEMU's own socket protocols: against passt, and against a guest whose QEMU serves its net itself."""
import threading
import time

import pytest
from beds import UML_FEATURES, need_qemu, run_qemu, run_uml
from nets import Host, Namespace, need


def test_passt_serves_the_guest(programs, backend, folder):
    """passt gives the guest its host's address, and leads the gateway's to the host's loopback and a port back in."""
    need("passt")
    namespace = Namespace(programs)
    namespace.run("ip", "link", "add", "outside", "type", "veth", "peer", "name", "far")
    namespace.run("ip", "link", "set", "far", "up")
    namespace.run("ip", "addr", "add", "192.0.2.2/24", "dev", "outside")
    namespace.run("ip", "link", "set", "outside", "up")
    namespace.run("ip", "route", "add", "default", "via", "192.0.2.1")
    path = folder / "passt.socket"
    passt = programs.start([*namespace.before, "passt", "--foreground", "--runas", "0", "--socket", path, "-4",
                            "--tcp-ports", "8080"], "passt")
    deadline = time.monotonic() + 10
    while not path.exists():
        if passt.poll() is not None:
            pytest.skip(f"passt does not run here: {programs.log('passt')[-300:]}")
        assert time.monotonic() < deadline, programs.log("passt")
        time.sleep(0.05)
    host = Host("127.0.0.1:8080", "127.0.0.1", namespace)
    net = backend("net", f"--stream-path={path}", UML_FEATURES)
    try:
        run_uml(programs, "net", [("net", net.socket_path)],
                arguments=[f"bulkhead.hostport={host.port}", "bulkhead.gateway=192.0.2.1"])
    finally:
        host.end()
    assert host.fetched, "nobody came through passt's port"
    assert net.poll() is None, "the backend did not outlive its guest"


@pytest.mark.parametrize("version,kind", [
    ("qemu-11", "connects"), pytest.param("qemu-11", "listens", marks=pytest.mark.full), ("qemu-7.2", "dgram"),
    pytest.param("qemu-7.2", "connects", marks=pytest.mark.full), pytest.param("qemu-11", "dgram", marks=pytest.mark.full)])
def test_guest_of_another_qemu(programs, backend, folder, version, kind):
    qemu = need_qemu(version)
    ours, theirs = folder / "ours", folder / "theirs"
    options, netdev = {
        "connects": ([f"--stream-path={theirs}"], f"stream,server=on,addr.type=unix,addr.path={theirs}"),
        "listens": ([f"--stream-path={ours}", "--stream-listen"], f"stream,server=off,addr.type=unix,addr.path={ours}"),
        "dgram": ([f"--dgram-local={ours}", f"--dgram-path={theirs}"],
                  f"dgram,local.type=unix,local.path={theirs},remote.type=unix,remote.path={ours}"),
    }[kind]
    net = backend("net", *options, "--mac=02:00:00:00:00:02", UML_FEATURES)
    failures = []

    def boot(guest, *arguments, **how):
        try:
            guest(programs, "link", *arguments, **how)
        except AssertionError as error:
            failures.append(str(error))

    device = ["-netdev", f"{netdev},id=n", "-device", "virtio-net-pci,netdev=n,mac=02:00:00:00:00:01,romfile="]
    guests = [
        threading.Thread(target=boot, args=(lambda p, test: run_qemu(p, qemu, test, device, words="bulkhead.end=1"),)),
        threading.Thread(target=boot, args=(run_uml, [("net", net.socket_path)]),
                         kwargs={"arguments": ["bulkhead.end=2"]})]
    for guest in guests:
        guest.start()
    for guest in guests:
        guest.join()
    assert not failures, "\n".join(failures)
    assert net.poll() is None, "the backend did not outlive its guest"
