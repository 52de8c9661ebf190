# SPDX-License-Identifier: Apache-2.0
"""Guests on a link of two and on our switch: files, ping and iperf3 between them, with offloads that both, one or none of
them have, and one or four pairs of queues; VLANs; counters; and captures as tcpdump and tshark read them."""
import json
import shutil
import socket
import subprocess
import threading
import time

import pytest
from bedlib import pieces
from beds import BUILD, UML_FEATURES, run_uml
from nets import need


def boot_all(programs, guests):
    """Boots a guest for each (name, net, arguments), all at once; fails with what each of them said."""
    failures, outputs = [], {}

    def boot(name, net, arguments):
        try:
            outputs[name] = run_uml(programs, "peers", [("net", net.socket_path)], arguments=arguments, name=name,
                                    extra=[pieces.get("net-tools-host")], limit=120).output
        except AssertionError as error:
            failures.append(f"{name}: {error}")

    threads = [threading.Thread(target=boot, args=guest) for guest in guests]
    for thread in threads:
        thread.start()
        time.sleep(0.2)
    for thread in threads:
        thread.join()
    assert not failures, "\n".join(failures)
    assert all(net.poll() is None for _, net, _ in guests), "a backend did not outlive its guest"
    return outputs


# Expressions for a capture, and the same in tshark's words.
DISPLAY = {"icmp[0] == 8": "icmp.type == 8",
           "icmp[0] == 8 and src 10.9.0.2": "icmp.type == 8 && ip.src == 10.9.0.2",
           "tcp and greater 1600": "ip.proto == 6 && frame.len >= 1600"}


def packets(file, expression):
    """How many packets of a capture match, as tcpdump sees it; and tshark the same, where it is installed."""
    tools = [["tcpdump", "-n", "-r", str(file), expression]]
    if shutil.which("tshark"):
        tools.append(["tshark", "-n", "-2", "-r", str(file), "-R", DISPLAY[expression]])
    counts = []
    for tool in tools:
        done = subprocess.run(tool, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        counts.append(len(done.stdout.splitlines()))
    assert len(set(counts)) == 1, counts
    return counts[0]


@pytest.mark.parametrize("offloads,pairs", [
    (("on", "off"), 4), pytest.param(("on", "on"), 1, marks=pytest.mark.full),
    pytest.param(("off", "off"), 4, marks=pytest.mark.full)])
def test_link_passes_offloads(programs, backend, folder, offloads, pairs):
    """With them off in the backend too, what the other guest left undone is done on the way."""
    need("tcpdump")
    nets = []
    for end, offload in enumerate(offloads, 1):
        less = "" if offload == "on" else ",-1,-7,-8,-9,-54,-55" # this guest takes nothing that is not finished
        nets.append(backend("net", f"--link-path={folder}/cable", f"--mac=02:00:00:00:00:0{end}", UML_FEATURES + less,
                            f"--queue-pairs={pairs}", f"--capture={folder}/{end}.pcap", name=f"net{end}"))
    boot_all(programs, [(f"uml{end}", net, [f"bulkhead.end={end}", f"bulkhead.offload={offload}", f"bulkhead.pairs={pairs}"])
                        for end, (net, offload) in enumerate(zip(nets, offloads), 1)])
    assert packets(folder / "1.pcap", "icmp[0] == 8") >= 16
    whole = [packets(folder / f"{end}.pcap", "tcp and greater 1600") > 0 for end in (1, 2)]
    assert whole[0] == ("on" in offloads)
    assert whole[1] == (offloads[1] == "on")


def test_switch_joins_guests_and_keeps_vlans_apart(programs, backend, folder):
    need("tcpdump")
    ports = [f"--port=link:{folder}/{end}.link,vlan={vlan}" for end, vlan in ((1, 10), (2, 10), (3, 20))]
    switch = programs.start_ready(BUILD / "programs" / "bulkhead-switch", *ports, f"--control={folder}/ctl",
                                         f"--capture={folder}/all.pcap", "--capture-limit=256M", name="switch")
    nets = [backend("net", f"--link-path={folder}/{end}.link", f"--mac=02:00:00:00:00:0{end}", UML_FEATURES,
                    name=f"net{end}") for end in (1, 2, 3)]
    words = [[f"bulkhead.end={end}"] for end in (1, 2, 3)]
    words[2].append("bulkhead.alone=yes")
    boot_all(programs, [(f"uml{end}", net, word) for end, (net, word) in enumerate(zip(nets, words), 1)])
    with socket.socket(socket.AF_UNIX) as asked:
        asked.connect(f"{folder}/ctl")
        asked.sendall(b'{"v": 1, "op": "status"}\n{"v": 1, "op": "counters"}\n')
        answers = asked.makefile()
        assert all(port["link_up"] for port in json.loads(answers.readline())["ports"])
        counters = json.loads(answers.readline())["ports"]
    assert [port["malformed"] for port in counters] == [0, 0, 0]
    assert counters[0]["bytes_in"] > 8 << 20 and counters[1]["bytes_out"] > 8 << 20
    assert counters[2]["frames_in"] > 0 and counters[2]["frames_out"] == 0, "a frame crossed between VLANs"
    assert packets(folder / "all.pcap", "icmp[0] == 8 and src 10.9.0.2") >= 16
    assert packets(folder / "all.pcap", "tcp and greater 1600") > 0, "no segments passed whole"
    assert switch.poll() is None
