# SPDX-License-Identifier: Apache-2.0
"""The probes of a device process, used by a tracer that is not ours: gdb counts what the process counts itself."""
import json
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest
from beds import UML_FEATURES, backend_program, run_uml
from test_blk import image  # noqa: F401 (a fixture)

COUNTED = {"kick": "kicks", "call": "notifications"}
SCRIPT = """
set pagination off
set confirm off
set $chains = 0
set breakpoint pending off
handle SIGTERM nostop noprint pass
break -probe-stap bulkhead:pop
break -probe-stap bulkhead:push
break -probe-stap bulkhead:kick
break -probe-stap bulkhead:call
commands 1
silent
set $queue = $_probe_arg0
set $chains = $chains + $_probe_arg1
continue
end
ignore 2 1000000
ignore 3 1000000
ignore 4 1000000
echo tracing\\n
continue
info breakpoints
printf "queue %d chains %d\\n", $queue, $chains
"""


def test_gdb_counts_at_the_probes_what_the_counters_say(programs, backend, image, folder):
    if not shutil.which("gdb"):
        pytest.skip("gdb is not here")
    notes = subprocess.run(["readelf", "-n", backend_program("blk")], capture_output=True, text=True).stdout
    if "stapsdt" not in notes:
        pytest.skip("built without <sys/sdt.h>")
    script, control = folder / "gdb.script", folder / "control"
    script.write_text(SCRIPT)
    disk = backend("blk", f"--blk-file={image}", UML_FEATURES, f"--control={control}")
    # The process sees no files in its sandbox: gdb is told where they are.
    gdb = programs.start(["gdb", "-q", "-batch", "-nx", "-iex", "set sysroot /", "-p", str(disk.pid), "-x", str(script),
                          str(backend_program("blk"))], "gdb")
    deadline = time.monotonic() + 20
    while "tracing" not in programs.log("gdb"):
        assert gdb.poll() is None, programs.log("gdb")
        if "ptrace: Operation not permitted" in programs.log("gdb"):
            pytest.skip("processes may not be traced here")
        assert time.monotonic() < deadline, programs.log("gdb")
        time.sleep(0.1)
    run_uml(programs, "blk", [("blk", disk.socket_path)])

    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(control))
        client.sendall(b'{"v": 1, "op": "counters"}\n')
        queue = json.loads(client.makefile().readline())["queues"][0]
    disk.send_signal(signal.SIGTERM)
    assert gdb.wait(20) == 0
    said = programs.log("gdb")
    hits = {}
    for probe, count in re.findall(r"-probe-stap bulkhead:(\w+)\s*(?:breakpoint already hit (\d+) time)?", said):
        hits[probe] = int(count or 0)
    assert f"queue 0 chains {queue['requests']}\n" in said and queue["requests"] > 100
    assert {probe: hits[probe] for probe in COUNTED} == {probe: queue[name] for probe, name in COUNTED.items()}
    assert 0 < hits["push"] <= queue["requests"]
