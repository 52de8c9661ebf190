# SPDX-License-Identifier: Apache-2.0
"""Our rng backend, judged by Linux's hw_random driver: what a guest reads is what the backend was given, and fresh."""
import os
import re

import pytest
from beds import (EVENT_IDX, FEATURES, INDIRECT_DESC, QEMUS, RING_PACKED, accepted, features_option, matrix, need_qemu,
                  run_qemu, vhost_user)


@pytest.mark.parametrize("version,ring,features", matrix(QEMUS, (("qemu-7.2", "split", "all"), ("qemu-11", "packed", "all"))))
def test_linux_reads_what_the_source_gives(programs, backend, folder, version, ring, features):
    qemu = need_qemu(version)
    source = folder / "entropy"
    source.write_bytes(os.urandom(4 << 20))
    words = FEATURES[features][0] if ring == "packed" else ("-packed", *FEATURES[features][0])
    rng = backend("rng", f"--rng-file={source}", *features_option(*words))
    properties = ""
    if version == "qemu-7.2":  # it decides by its own properties; 11 passes through what the backend offers
        properties = "".join(f",{word[1:]}=off" for word in words) + (",packed=on" if ring == "packed" else "")
    verdict = run_qemu(programs, qemu, "rng", vhost_user("rng", rng.socket_path, version, properties))
    assert verdict.features["rng"] & {EVENT_IDX, INDIRECT_DESC, RING_PACKED} == accepted(ring, features)
    given = source.read_bytes()
    chunks = [bytes.fromhex(text) for text in re.findall(r"^bulkhead-bytes: ([0-9a-f]{32})$", verdict.output, re.MULTILINE)]
    assert len(chunks) == 16
    assert len(set(chunks)) == 16, "the same bytes came twice"
    assert all(chunk in given for chunk in chunks), "the guest read bytes that the source never gave"
    assert "never offered" not in programs.log("rng")
    assert rng.poll() is None, "the backend did not outlive its guest"


def test_feature_that_was_never_offered_is_taken_and_said(programs, backend, folder):
    """QEMU 7.2 brings EVENT_IDX and INDIRECT_DESC whether or not they were offered, and its driver uses them."""
    qemu = need_qemu("qemu-7.2")
    rng = backend("rng", *features_option("-packed", "-event_idx", "-indirect_desc"))
    verdict = run_qemu(programs, qemu, "rng", vhost_user("rng", rng.socket_path, "qemu-7.2"))
    assert verdict.features["rng"] & {EVENT_IDX, INDIRECT_DESC, RING_PACKED} == {EVENT_IDX, INDIRECT_DESC}
    assert "SET_FEATURES brings bits that were never offered: 0x30000000" in programs.log("rng")
    assert rng.poll() is None, "the backend did not outlive its guest"
