# SPDX-License-Identifier: Apache-2.0
"""Our net backend on a tap, in a network namespace of the test: ping, files, iperf3; offloads on, off and not offered;
one and four pairs of queues. Judged by Linux's driver, and by what the host's end of the tap has counted."""
import os

import pytest
from bedlib import pieces
from beds import RING_PACKED, UML_FEATURES, need_qemu, run_qemu, run_uml, vhost_user
from nets import IFF_NO_PI, IFF_TAP, Host, Namespace, need

CSUM, GUEST_CSUM, GUEST_TSO4, HOST_TSO4, MQ = 0, 1, 7, 11, 22
FRAME = 1514


@pytest.fixture
def namespace(programs):
    need("iperf3")
    return Namespace(programs)


@pytest.fixture
def start(programs, backend, namespace):
    """start(pairs): a tap, a host behind it, our backend on it. With headers=False the tap has no vnet_hdr and is handed
    over as an open descriptor."""
    hosts, fds = [], []

    def begin(*options, pairs=1, headers=True):
        namespace.tap("tap0", "10.77.0.1/24", pairs, headers)
        hosts.append(Host("10.77.0.2:8080", "10.77.0.1", namespace))
        programs.start([*namespace.before, "iperf3", "-s"], "iperf3")
        if headers:
            return backend("net", "--tap=tap0", f"--queue-pairs={pairs}", *options, before=namespace.before), hosts[0]
        fds.append(namespace.open_tap("tap0", IFF_TAP | IFF_NO_PI))
        return backend("net", f"--tap-fd={fds[0]}", *options, pass_fds=fds), hosts[0]

    yield begin
    for host in hosts:
        host.end()
    for fd in fds:
        os.close(fd)


def judge(namespace, host, net, from_guest, to_guest):
    """The guest has said that all is well: did segments or whole packets pass the host's end, in each direction?"""
    assert host.fetched
    assert net.poll() is None, "the backend did not outlive its guest"
    means = namespace.frame_bytes("tap0")
    assert [mean > FRAME for mean in means] == [from_guest, to_guest], f"frames of {means} bytes in the mean"


@pytest.mark.parametrize("offload", ["on", "off"])
def test_tap_under_uml(programs, namespace, start, offload):
    net, host = start(UML_FEATURES)
    verdict = run_uml(programs, "tap", [("net", net.socket_path)], extra=[pieces.get("net-tools-host")],
                      arguments=[f"bulkhead.hostport={host.port}", f"bulkhead.offload={offload}"])
    assert {CSUM, GUEST_CSUM, GUEST_TSO4, HOST_TSO4} <= verdict.features["net"]
    judge(namespace, host, net, offload == "on", True)


# 7.2 adds each memory region once for every pair of queues.
@pytest.mark.parametrize("version,ring,pairs,offload", [
    ("qemu-7.2", "split", 4, "on"), ("qemu-11", "packed", 4, "on"),
    pytest.param("qemu-7.2", "packed", 4, "on", marks=pytest.mark.full),
    pytest.param("qemu-7.2", "split", 1, "off", marks=pytest.mark.full),
    pytest.param("qemu-11", "split", 4, "off", marks=pytest.mark.full)])
def test_tap_under_qemu(programs, namespace, start, version, ring, pairs, offload):
    qemu = need_qemu(version)
    net, host = start(pairs=pairs)
    device = vhost_user("net", net.socket_path, version, ",packed=on" if ring == "packed" else "", pairs=pairs)
    words = f"bulkhead.hostport={host.port} bulkhead.pairs={min(pairs, 2)} bulkhead.offload={offload}"
    verdict = run_qemu(programs, qemu, "tap", device, extra=[pieces.get("net-tools-arm64")], words=words)
    assert {CSUM, GUEST_CSUM, GUEST_TSO4, HOST_TSO4} <= verdict.features["net"]
    assert (RING_PACKED in verdict.features["net"]) == (ring == "packed")
    assert (MQ in verdict.features["net"]) == (pairs > 1)
    judge(namespace, host, net, offload == "on", True)


def test_tap_without_headers_offers_no_offloads(programs, namespace, start):
    net, host = start(UML_FEATURES, headers=False)
    verdict = run_uml(programs, "tap", [("net", net.socket_path)], extra=[pieces.get("net-tools-host")],
                      arguments=[f"bulkhead.hostport={host.port}", "bulkhead.offered=no"])
    assert not {CSUM, GUEST_CSUM, GUEST_TSO4, HOST_TSO4} & verdict.features["net"]
    judge(namespace, host, net, False, False)
