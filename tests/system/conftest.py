# SPDX-License-Identifier: Apache-2.0
"""What the system tests stand on: a folder of their own, our backends, and guests that judge them.

Each test gets a short temporary folder (socket paths must be short) and starts programs through `run`, which ends them
by their handle when the test is over, however it ends. Guests are the judges: Linux's own drivers under User-mode Linux
or QEMU, and U-Boot's.
"""
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "testbeds"), str(TOP / "tests" / "system")]

from beds import FULL, QEMUS, Programs, backend_program  # noqa: E402 (the path must be set first)
from systems import Runs  # noqa: E402


@pytest.fixture
def folder():
    path = Path(tempfile.mkdtemp(prefix="bh-t."))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def runs(folder):
    """The command, with a run and a state directory of the test's own; what it left running is ended."""
    made = Runs(folder)
    yield made
    made.end()


@pytest.fixture
def programs(folder):
    """Starts programs and ends each of them, with all that it started, when the test is over."""
    started = Programs(folder)
    yield started
    started.end()


@pytest.fixture(params=sorted(QEMUS))
def qemu(request):
    """The path of a QEMU: the system's 7.2 and the cache's 11."""
    path = QEMUS[request.param]()
    if path is None:
        pytest.skip(f"{request.param} is not here")
    return path


@pytest.fixture
def backend(programs):
    """backend("blk", "--blk-file=...") starts one of our device processes and returns it with its socket's path."""

    def start(device_class, *options, name=None, **how):
        program = backend_program(device_class)
        assert program.exists(), f"{program} is not built"
        return programs.start_backend(program, *options, name=name or device_class, **how)

    return start


def pytest_collection_modifyitems(config, items):
    """Tests marked `full` make up the whole matrix; they run only when that is asked for."""
    if FULL:
        return
    long = [item for item in items if item.get_closest_marker("full")]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in long]


def pytest_configure(config):
    config.addinivalue_line("markers", "full: runs only with ./check --full")
    os.environ.setdefault("LC_ALL", "C.UTF-8")
    # Ended from outside, pytest must still end what the tests have started: as if by Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
