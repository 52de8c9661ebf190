# SPDX-License-Identifier: Apache-2.0
"""Our rng backend, judged by Linux's hw_random driver: what a guest reads is what the backend was given, and fresh."""
import os
import re

import pytest
from beds import QEMUS, run_qemu, vhost_user


@pytest.mark.parametrize("version", QEMUS)
def test_linux_reads_what_the_source_gives(programs, backend, folder, version):
    qemu = QEMUS[version]()
    if qemu is None:
        pytest.skip(f"{version} is not installed")
    source = folder / "entropy"
    source.write_bytes(os.urandom(4 << 20))
    rng = backend("rng", f"--rng-file={source}")
    verdict = run_qemu(programs, qemu, "rng", vhost_user("rng", rng.socket_path, version))
    given = source.read_bytes()
    chunks = [bytes.fromhex(text) for text in re.findall(r"^bulkhead-bytes: ([0-9a-f]{32})$", verdict.output, re.MULTILINE)]
    assert len(chunks) == 16
    assert len(set(chunks)) == 16, "the same bytes came twice"
    assert all(chunk in given for chunk in chunks), "the guest read bytes that the source never gave"
    assert rng.poll() is None, "the backend did not outlive its guest"
