# SPDX-License-Identifier: Apache-2.0
"""Our net backend, judged by Linux's driver: DHCP, bulk data both ways, a port forward, and a link between guests."""
import socket
import threading
import time

import pytest
from beds import (EVENT_IDX, FEATURES, INDIRECT_DESC, QEMUS, RING_PACKED, UML_FEATURES, accepted, features_option,
                  matrix, need_qemu, run_qemu, run_uml, vhost_user)
from nets import Host


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def host():
    forwarded = free_port()
    host = Host(f"127.0.0.1:{forwarded}")
    host.forward = f"--forward=tcp:127.0.0.1:{forwarded}:8080"
    yield host
    host.end()


def test_user_network_under_uml(programs, backend, host):
    net = backend("net", host.forward, "--mac=02:00:00:00:00:01", UML_FEATURES)
    run_uml(programs, "net", [("net", net.socket_path)], arguments=[f"bulkhead.hostport={host.port}"])
    assert host.fetched, "nobody came through the port forward"
    assert net.poll() is None, "the backend did not outlive its guest"


@pytest.mark.parametrize("version,ring,features", matrix(QEMUS, (("qemu-7.2", "split", "all"), ("qemu-11", "packed", "all"))))
def test_user_network_under_qemu(programs, backend, host, version, ring, features):
    qemu = need_qemu(version)
    net = backend("net", host.forward, *features_option(*FEATURES[features][0]))
    device = vhost_user("net", net.socket_path, version, ",packed=on" if ring == "packed" else "")
    verdict = run_qemu(programs, qemu, "net", device, words=f"bulkhead.hostport={host.port}")
    assert verdict.features["net"] & {EVENT_IDX, INDIRECT_DESC, RING_PACKED} == accepted(ring, features)
    assert host.fetched, "nobody came through the port forward"
    assert net.poll() is None, "the backend did not outlive its guest"


def test_link_joins_two_guests(programs, backend, folder):
    cable = folder / "cable"
    nets = [backend("net", f"--link-path={cable}", f"--mac=02:00:00:00:00:0{end}", UML_FEATURES, name=f"net{end}")
            for end in (1, 2)]
    failures = []

    def boot(end, net):
        try:
            run_uml(programs, "link", [("net", net.socket_path)], arguments=[f"bulkhead.end={end}"], name=f"uml{end}",
                    limit=60)
        except AssertionError as error:
            failures.append(f"guest {end}: {error}")

    guests = [threading.Thread(target=boot, args=(end, net)) for end, net in zip((1, 2), nets)]
    for guest in guests:
        guest.start()
        time.sleep(0.2)
    for guest in guests:
        guest.join()
    assert not failures, "\n".join(failures)
