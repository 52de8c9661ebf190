# SPDX-License-Identifier: Apache-2.0
"""Our devices behind QEMU's SMMUv3: every address is the guest's IOMMU's, asked for over the back-end channel."""
import pytest
from beds import EVENT_IDX, QEMUS, RING_PACKED, need_qemu, run_qemu, vhost_user
from migration import IOTLB_MSG, Between
from test_blk import check_image, image  # noqa: F401 (a fixture)
from test_net import host  # noqa: F401 (a fixture)

ACCESS_PLATFORM = 33
IOMMU = ["-M", "iommu=smmuv3"]
PROPERTIES = ",iommu_platform=on,disable-legacy=on"
OFFER = "--features=+access_platform"
RUNS = [pytest.param(version, ring, marks=() if (version, ring) == ("qemu-11", "split") else pytest.mark.full)
        for version in QEMUS for ring in ("split", "packed")]


def behind(programs, folder, version, ring, device_class, path, words=""):
    qemu = need_qemu(version)
    options = PROPERTIES + (",packed=on" if ring == "packed" else "")
    seen = Between(folder / "seen.sock", path)
    try:
        devices = vhost_user(device_class, folder / "seen.sock", version, options)
        verdict = run_qemu(programs, qemu, device_class, [*IOMMU, *devices], words=words, limit=240)
    finally:
        seen.end()
    assert seen.requests[IOTLB_MSG] > 100, "the guest's IOMMU was not asked"
    assert ACCESS_PLATFORM in verdict.features[device_class]
    assert (RING_PACKED in verdict.features[device_class]) == (ring == "packed")
    return verdict


@pytest.mark.parametrize("version,ring", RUNS)
def test_a_disk_behind_an_iommu(programs, backend, folder, image, version, ring):  # noqa: F811
    disk = backend("blk", f"--blk-file={image}", OFFER)
    verdict = behind(programs, folder, version, ring, "blk", disk.socket_path)
    assert EVENT_IDX in verdict.features["blk"]
    check_image(image)
    assert disk.poll() is None


@pytest.mark.full
@pytest.mark.parametrize("version,ring", RUNS)
def test_a_network_card_behind_an_iommu(programs, backend, folder, host, version, ring):  # noqa: F811
    net = backend("net", host.forward, OFFER)
    behind(programs, folder, version, ring, "net", net.socket_path, words=f"bulkhead.hostport={host.port}")
    assert host.fetched
    assert net.poll() is None
