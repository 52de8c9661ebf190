# SPDX-License-Identifier: Apache-2.0
"""bulkhead conform over a socket: ours fail nothing, in either ring layout and every feature set, and strangers fail what
docs/conform-peers.md says and nothing else. About 30 s."""
import json
import shutil
import subprocess
import time

import pytest
from bedlib import pieces
from beds import BUILD

RINGS = ("split", "packed")
SETS = ("plain", "event_idx", "indirect", "in_order", "all")
EVERY = {(ring, features) for ring in RINGS for features in SETS}


def judge(device_class, path, *options):
    """What the suite says of who listens there: {(ring, features, case): verdict}."""
    ended = subprocess.run([BUILD / "cli" / "bulkhead", "conform", f"--class={device_class}", f"--socket-path={path}",
                            "--json", *options], capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode in (0, 1), ended.stderr
    report = json.loads(ended.stdout)
    verdicts = {(result["ring"], result["features"], result["case"]): result for result in report["results"]}
    assert len(verdicts) == len(report["results"]), "a case has run twice"
    assert (ended.returncode == 1) == (report["failed"] > 0)
    return verdicts


def of(verdicts, verdict):
    return {key for key, result in verdicts.items() if result["verdict"] == verdict}


def told(verdicts, keys):
    return "\n".join(f"{' '.join(key)}: {verdicts[key]['why']}" for key in sorted(keys))


# --- ours ---------------------------------------------------------------------------------------------------------

OURS = {"rng": [], "blk": ["--ram-size=8M"], "net": ["--port=user", "--restrict"], "console": ["--port=none"],
        "vsock": ["--guest-cid=3", "--host-path={folder}/host"]}


@pytest.mark.parametrize("device_class", OURS)
def test_ours_fail_nothing(backend, folder, device_class):
    device = backend(device_class, *(word.format(folder=folder) for word in OURS[device_class]))
    words = [f"--host-path={folder}/host"] if device_class == "vsock" else []
    verdicts = judge(device_class, device.socket_path, *words)
    failed = of(verdicts, "failed")
    assert not failed, told(verdicts, failed)
    ran = {key[:2] for key in of(verdicts, "passed") if key[2] == "every_legal_queue_size_works"}
    assert ran == EVERY
    assert device.poll() is None


# --- strangers ----------------------------------------------------------------------------------------------------

# docs/conform-peers.md has each case with its cause. Cases without a ring fail in every set, the others in those that are
# offered; `sometimes`: a race.
DAEMON = {"always": {"config_reads_in_pieces_are_the_whole"}, "offered": set(), "sometimes": {"reset_under_load"},
          "sets": {("split", "plain"), ("split", "event_idx"), ("split", "indirect")}}
VSOCK = {"always": {"no_implied_stream_is_offered"}, "sometimes": set(),
         "offered": {"unknown_type_is_answered_by_rst", "request_to_nobody_is_answered_by_rst",
                     "answers_wait_for_receive_buffers", "data_arrives_however_it_is_cut", "shutdown_hints_are_permanent"},
         "sets": {("split", "plain"), ("split", "event_idx")}}


def system_daemon():
    path = shutil.which("qemu-storage-daemon")
    return path and [path]


def start_daemon(programs, folder, command):
    image = folder / "disk.img"
    with image.open("wb") as file:
        file.truncate(8 << 20)
    programs.start([*command, "--blockdev", f"driver=file,node-name=disk,filename={image},discard=unmap", "--export",
                    "type=vhost-user-blk,id=disk,node-name=disk,writable=on,addr.type=unix,"
                    f"addr.path={folder}/peer"], "peer")


def start_vsock(programs, folder, command):
    programs.start([*command, "--guest-cid=3", f"--socket={folder}/peer", f"--uds-path={folder}/host"], "peer")


PEERS = {"qemu-7.2": ("blk", system_daemon, start_daemon, DAEMON,
                      ["--patience=1000"]),
         "qemu-11": ("blk", lambda: pieces.command("qemu-storage-daemon", "bin/qemu-storage-daemon"), start_daemon, DAEMON,
                    ["--patience=1000"]),
         "vhost-device-vsock": ("vsock", lambda: pieces.command("vhost-device-vsock", "bin/vhost-device-vsock"), start_vsock,
                                VSOCK, ["--host-path={folder}/host", "--patience=500"])}


@pytest.mark.parametrize("peer", PEERS)
def test_a_stranger_fails_what_is_known_of_it(programs, folder, peer):
    device_class, find, start, known, words = PEERS[peer]
    command = find()
    if command is None:
        pytest.skip(f"{peer} is not here")
    start(programs, folder, command)
    deadline = time.monotonic() + 20
    while not (folder / "peer").exists():
        assert time.monotonic() < deadline, programs.log("peer")
        time.sleep(0.05)
    verdicts = judge(device_class, folder / "peer", *(word.format(folder=folder) for word in words))
    expected = {(*key, case) for key in EVERY for case in known["always"]}
    expected |= {(*key, case) for key in known["sets"] for case in known["offered"]}
    races = {(*key, case) for key in known["sets"] for case in known["sometimes"]}
    failed = of(verdicts, "failed")
    # What is new is judged once more, with more patience: the peer may just have been slow.
    for key in failed - races - expected:
        again = judge(device_class, folder / "peer", *(word.format(folder=folder) for word in words if "patience" not in word),
                      f"--case={key[2]}", f"--ring={key[0]}", f"--features={key[1]}", "--patience=10000")
        failed -= {key} - of(again, "failed")
    assert failed - races == expected, told(verdicts, failed - races ^ expected & failed)
    passed = of(verdicts, "passed")
    assert {key[:2] for key in passed if key[2] == "every_legal_queue_size_works"} == known["sets"]
