# SPDX-License-Identifier: Apache-2.0
"""Whole systems by the command: up, ps, console, logs, restart, down, in the foreground and detached."""
import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import termios
import time
from pathlib import Path

import pytest
from beds import BUILD
from systems import COMMAND, CONSOLE, EARLY, description, domain


def until_ready(up):
    for line in up.stdout:
        if "Ctrl-C stops it" in line:
            return
    raise AssertionError("up ended before the system was ready")


def test_one_domain_comes_up_is_seen_and_leaves_nothing(runs, folder):
    system = description(folder, "one", domain("linux-a", 1, CONSOLE + 'rng { compatible = "bulkhead,rng"; };'))
    up = runs.run("up", "--detach", system.name, cwd=folder)
    assert up.returncode == 0, up.stderr
    assert re.search(r"linux-a +ready after", up.stdout)
    report = runs.report()
    assert report["state"] == "ready"
    assert {unit["name"]: unit["state"] for unit in report["units"]} == {
        "linux-a": "ready", "linux-a.console": "ready", "linux-a.rng": "ready"}
    pids = {unit["pid"] for unit in report["units"]} | {report["pid"]}
    assert pids == set(runs.handles()), "ps names every process, and no other"
    again = runs.run("up", "--detach", system)
    assert again.returncode == 1 and f"the system one runs already: from {system}, daemon {report['pid']}" in again.stderr
    assert report["source"] == str(system)
    history = runs.run("logs").stdout
    for line in (f"system one of {system} on engine qemu, daemon {report['pid']}", "linux-a: planned: 1 CPU, 256 MiB",
                 *(f"{unit['name']}: ready after [0-9.]+ s, process {unit['pid']}" for unit in report["units"]),
                 "linux-a.rng: started: .*bulkhead-rng --fd=3", "[0-9] ready after"):
        assert re.search(line, history), f"{line}: not in\n{history}"
    assert "Linux version" in runs.run("logs", "linux-a").stdout
    assert "bulkhead: ready" in runs.run("logs", "--output", "linux-a/console").stdout
    assert "bulkhead: ready" in runs.run("logs", "--output", "linux-a").stdout
    for words, said in ((("logs", "linux-c"), 'did you mean "linux-a"?'),
                        (("logs", "--output", "linux-a.rng"), "linux-a.rng has no console"),
                        (("console", "linux-a.rng"), "linux-a.rng has no console"),
                        (("restart", "linux-a.rgn"), 'did you mean "linux-a.rng"?'),
                        (("blk", "limit", "linux-a.rng", "--iops=1"), "linux-a.rng is a rng, and no blk")):
        wrong = runs.run(*words)
        assert wrong.returncode in (1, 3) and said in wrong.stderr, wrong
    said = runs.run("console", "linux-a", stdin=None, input="echo $((40 + 2))-is-it\n").stdout
    assert "42-is-it" in said
    down = runs.run("down")
    assert down.returncode == 0 and "nothing is left" in down.stdout
    assert runs.left(2) == []
    assert os.listdir(runs.run_dir) == []
    assert runs.run("down").returncode == 3


def test_console_on_a_terminal_is_left_by_its_key(runs, folder):
    assert runs.run("up", "--detach", description(folder, "one", domain("linux-a", 1, CONSOLE))).returncode == 0
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    attached = subprocess.Popen(runs.words("console", "linux-a"), stdin=slave, stdout=slave, stderr=slave,
                                start_new_session=True)
    shown = b""

    def until(text, seconds=20):
        nonlocal shown
        deadline = time.monotonic() + seconds
        while text not in shown:
            assert time.monotonic() < deadline, shown
            if select.select([master], [], [], 0.2)[0]:
                shown += os.read(master, 4096)

    until(b"Ctrl-] leaves")
    until(b"linux-a:~# ")  # what is typed before the guest's shell is there, its terminal forgets
    os.write(master, b"echo $((6 * 7))-typed\r")
    until(b"42-typed")
    os.write(master, b"\x03\x1d")  # Ctrl-C is the guest's, Ctrl-] ours
    assert attached.wait(10) == 0
    assert termios.tcgetattr(slave) == before
    assert runs.report()["state"] == "ready"


def test_console_of_a_guest_that_powers_off_says_so_and_ends(runs, folder):
    system = description(folder, "one", domain("linux-a", 1, CONSOLE), domain("linux-b", 2, EARLY))
    assert runs.run("up", "--detach", system).returncode == 0
    deadline = time.monotonic() + 60
    while "linux-a:~# " not in runs.run("logs", "--output", "linux-a.console").stdout:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    attached = runs.start("console", "linux-a", stdin=subprocess.PIPE)
    attached.stdin.write("poweroff -f\n")  # and stdin stays open
    attached.stdin.flush()
    assert attached.wait(60) == 0
    assert "linux-a has ended: the guest powered itself off" in attached.stdout.read()
    attached.stdin.close()
    again = runs.run("console", "linux-a.console", stdin=None, input="")
    assert again.returncode == 3
    assert "linux-a does not run: the guest powered itself off" in again.stderr
    assert "bulkhead restart linux-a" in again.stderr
    assert "linux-a: stopped (the guest powered itself off)" in runs.run("logs").stdout
    assert runs.run("console", "linux-b").returncode == 3, "it has no console"


def test_console_tells_the_guest_the_size_of_the_terminal(runs, folder):
    """hvc0's size is the terminal's: at first, after each change of the window, and for who attaches later."""
    pexpect = pytest.importorskip("pexpect")
    assert runs.run("up", "--detach", description(folder, "one", domain("linux-a", 1, CONSOLE))).returncode == 0

    def attach(rows, columns):
        words = runs.words("console", "linux-a")
        terminal = pexpect.spawn(words[0], words[1:], env=runs.environment, dimensions=(rows, columns), timeout=60)
        terminal.expect_exact("Ctrl-] leaves")
        terminal.expect_exact("linux-a:~# ")  # what is typed before the shell is there, its terminal forgets
        return terminal

    def has_size(terminal, rows, columns):
        # The driver hears of it by an interrupt, the shell a moment later.
        terminal.sendline("until stty size </dev/hvc0 | grep -x '%d %d'; do sleep 0.2; done; echo $((6 * 7))-seen"
                          % (rows, columns))
        terminal.expect_exact("42-seen")

    first = attach(31, 97)
    has_size(first, 31, 97)
    for rows, columns in ((50, 132), (24, 80), (25, 80)):
        first.setwinsize(rows, columns)
        has_size(first, rows, columns)
    second = attach(40, 100)
    has_size(second, 40, 100)
    for terminal in (first, second):
        terminal.send("\x1d")
        terminal.expect(pexpect.EOF)
        terminal.close()
        assert terminal.exitstatus == 0
    answers = json.loads(runs.run("stat", "--json", "linux-a.console").stdout)
    assert answers["devices"][0]["counters"]["device"]["config_refused"] == 0


def test_interrupt_in_the_foreground_stops_everything(runs, folder):
    up = runs.start("up", description(folder, "one", domain("linux-a", 1, EARLY)))
    until_ready(up)
    assert runs.report()["state"] == "ready"
    up.send_signal(signal.SIGINT)
    assert up.wait(30) == 130
    assert runs.left(2) == []
    assert os.listdir(runs.run_dir) == []


def test_killed_foreground_command_takes_the_system_along(runs, folder):
    up = runs.start("up", description(folder, "one", domain("linux-a", 1, EARLY)))
    until_ready(up)
    assert len(runs.handles()) == 2
    up.kill()
    up.wait()
    assert runs.left() == []


def test_second_interrupt_does_not_wait_for_the_guest(runs, folder):
    # This guest has no power button to press: in good order it would be waited for.
    up = runs.start("up", description(folder, "one", domain("linux-a", 1, EARLY)))
    until_ready(up)
    up.send_signal(signal.SIGINT)
    assert any("once more stops at once" in line for line in up.stdout)
    up.send_signal(signal.SIGINT)
    assert "stopping at once" in up.stdout.read()
    assert up.wait(30) == 130
    assert runs.left(2) == []
    assert os.listdir(runs.run_dir) == []


def test_sigterm_to_the_daemon_stops_the_system(runs, folder):
    up = runs.start("up", description(folder, "one", domain("linux-a", 1, EARLY + 'rng { compatible = "bulkhead,rng"; };')))
    until_ready(up)
    daemon = runs.report()["pid"]
    runs.handles()[daemon].signal(signal.SIGTERM)
    assert up.wait(30) != 0, "the system ended, and nobody had asked the command"
    assert runs.left(2) == []
    assert os.listdir(runs.run_dir) == []


def test_image_that_its_device_refuses_fails_up_in_words(runs, folder):
    (folder / "disk.img").write_bytes(bytes(1536))  # whole sectors: `check` lets it pass
    body = EARLY + f'disk {{ compatible = "bulkhead,blk"; blk-file = "{folder}/disk.img"; block-size = "4096"; }};'
    up = runs.run("up", "--detach", description(folder, "one", domain("linux-a", 1, body)))
    assert up.returncode == 1
    assert "--block-size must" in up.stderr and "divide the disk's size" in up.stderr
    assert runs.left(2) == []
    assert os.listdir(runs.run_dir) == []


def test_host_port_that_is_taken_fails_up_in_words(runs, folder):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        body = EARLY + f'net {{ compatible = "bulkhead,net"; forward = "tcp:127.0.0.1:{port}:22"; }};'
        system = description(folder, "one", domain("linux-a", 1, body))
        up = runs.run("up", "--detach", system)
    assert up.returncode == 1
    where = 1 + next(i for i, line in enumerate(system.read_text().splitlines()) if "forward" in line)
    assert f"{system}:{where}: linux-a.net: error: it cannot be started" in up.stderr
    assert f"tcp port {port} of 127.0.0.1 is taken by another program" in up.stderr
    assert up.stderr.count("\n") == 1, "it is said once, and not tried again"
    assert runs.left(2) == []
    assert os.listdir(runs.run_dir) == []


def test_domain_that_is_not_ready_in_time_fails_up_and_leaves_nothing(runs, folder):
    body = 'bulkhead,ready-pattern = "never said"; bulkhead,ready-timeout = "2s"; console { compatible = "bulkhead,console"; };'
    up = runs.run("up", "--detach", description(folder, "one", domain("linux-a", 1, body, policy="on-failure")))
    assert up.returncode == 1
    # Tried once, whatever the policy says of a domain that was ready before.
    assert "started again" not in up.stdout + up.stderr
    assert 'linux-a is not ready: "never said" did not come out of its console within 2.0 s' in up.stderr
    assert re.search(r"^\[ +\d+\.\d+\] ", up.stderr, re.MULTILINE), "the end of its log is shown"
    assert runs.left(2) == []
    assert os.listdir(runs.run_dir) == []


def test_domain_that_fails_on_its_way_up_is_told_with_what_its_devices_said(runs, folder):
    image = folder / "disk.img"
    image.write_bytes(bytes(1 << 20))
    body = f'''bulkhead,ready-pattern = "never said"; bulkhead,ready-timeout = "100s";
              disk {{ compatible = "bulkhead,blk"; blk-file = "{image}"; }};'''
    with image.open("r+b") as other:
        fcntl.lockf(other, fcntl.LOCK_EX)  # the guest's reads of the disk wait for it
        up = runs.start("up", description(folder, "one", domain("linux-a", 1, body, policy="never")))
        deadline = time.monotonic() + 90
        while "in use by another process" not in runs.run("logs", "linux-a.disk").stdout:
            assert time.monotonic() < deadline and up.poll() is None
            time.sleep(0.2)
        guest = next(unit for unit in runs.report()["units"] if unit["name"] == "linux-a")
        assert runs.kill(guest["pid"])
        said = up.communicate(timeout=60)[0]
    assert up.returncode == 1
    assert "linux-a: error: failed" in said
    devices_said = said.partition("what its linux-a.disk said last:")[2]
    assert f"{image}: error: the image is in use by another process" in devices_said, said


def refuse_to_go_on(runs, folder, device_class):
    """Puts a program before the class's that ends instead of going on from what was kept."""
    libexec = folder / "libexec"
    libexec.mkdir()
    for program in (BUILD / "programs").glob("bulkhead-*"):
        (libexec / program.name).symlink_to(program)
    wrapper = libexec / f"bulkhead-{device_class}"
    wrapper.unlink()
    wrapper.write_text(f"""#!/bin/sh
[ "$LISTEN_FDS" = 2 ] || exit 1
exec {BUILD / "programs" / wrapper.name} "$@"
""")
    wrapper.chmod(0o755)
    runs.environment["BULKHEAD_LIBEXEC"] = str(libexec)


def test_dead_device_that_cannot_go_on_restarts_with_its_domain(runs, folder):
    refuse_to_go_on(runs, folder, "rng")
    body = EARLY + 'rng { compatible = "bulkhead,rng"; };'
    system = description(folder, "one", domain("linux-a", 1, body), domain("linux-b", 2, body))
    assert runs.run("up", "--detach", system).returncode == 0
    before = {unit["name"]: unit["pid"] for unit in runs.report()["units"]}
    assert runs.kill(before["linux-a.rng"])
    deadline = time.monotonic() + 30
    while True:
        now = {unit["name"]: (unit["pid"], unit["state"]) for unit in runs.report()["units"]}
        if now["linux-a"][1] == "ready" and now["linux-a"][0] != before["linux-a"]:
            break
        assert time.monotonic() < deadline, now
        time.sleep(0.1)
    assert now["linux-a.rng"][0] != before["linux-a.rng"]
    assert now["linux-b"] == (before["linux-b"], "ready"), "the other domain never noticed"
    assert "linux-a is stopped" in runs.run("logs").stdout
    restarted = runs.run("restart", "linux-b")
    assert restarted.returncode == 0, restarted.stderr
    assert runs.report()["state"] == "ready"


def test_two_systems_side_by_side_one_of_them_from_its_plan(runs, folder):
    one, two = (description(folder, name, domain("linux-a", 1, EARLY)) for name in ("one", "two"))
    planned = subprocess.run([COMMAND, "plan", "--json", two], capture_output=True, text=True, check=True)
    plan = Path(folder) / "two.json"
    plan.write_text(planned.stdout)
    two.unlink()
    for system in (one, plan):
        assert runs.run("up", "--detach", system).returncode == 0
    assert runs.run("down").returncode == 1  # which one?
    assert runs.run("down", "--system=one").returncode == 0
    assert runs.report()["system"] == "two"
    assert runs.run("down").returncode == 0
    assert runs.left(2) == []


def test_unknown_engine_is_the_command_line_s_fault(runs, folder):
    up = runs.run("up", "--engine=xen", description(folder, "one", domain("linux-a", 1, EARLY)))
    assert up.returncode == 2
    assert '"xen"' in up.stderr and "engines: qemu, auto" in up.stderr


def test_socket_path_that_does_not_fit_is_refused(runs, folder):
    runs.run_dir = folder / ("long-" * 20)
    up = runs.run("up", "--detach", description(folder, "one", domain("linux-a", 1, EARLY)))
    assert up.returncode == 1
    assert "107 bytes" in up.stderr and "--run-dir" in up.stderr


def test_device_process_sees_its_own_part_of_the_run_directory_alone(runs, folder):
    """What a net that its guest took over could reach there: not the daemon's socket, not the other links' ends."""
    net = '{} {{ compatible = "bulkhead,net"; bulkhead,link = <&{}>; mac = "02:00:00:00:00:0{}"; }};'
    system = description(folder, "two", *(domain(name, number, EARLY + net.format("net", "cable", number) +
                                                 net.format("net-too", "second", number + 2))
                                          for number, name in enumerate(("linux-a", "linux-b"), 1)),
                         'cable: cable { compatible = "bulkhead,link"; };', 'second: second { compatible = "bulkhead,link"; };')
    up = runs.run("up", "--detach", system)
    assert up.returncode == 0, up.stderr
    report = runs.report()
    seen, links = {}, {}
    for unit in report["units"]:
        if unit["kind"] == "device":
            seen[unit["name"]] = sorted(os.listdir(f"/proc/{unit['pid']}/root{report['run_dir']}"))
            words = Path(f"/proc/{unit['pid']}/cmdline").read_text(encoding="utf-8").split("\0")
            path = next(word for word in words if word.startswith("--link-path="))
            links[unit["name"]] = path.removeprefix("--link-path=").split("/")[0]
    assert links["linux-a.net"] == links["linux-b.net"] != links["linux-a.net-too"] == links["linux-b.net-too"]
    for name, link in links.items():
        assert os.stat(f"{report['run_dir']}/{link}").st_mode & 0o777 == 0o700
        assert link in seen[name] and not set(links.values()) - {link} & set(seen[name]), f"{name} sees {seen[name]}"
        assert not any("control" in entry or entry.endswith((".log", ".ctl", ".sock")) for entry in seen[name]), seen[name]
    assert "control.sock" in os.listdir(report["run_dir"])
    assert runs.run("down").returncode == 0
    assert runs.left(2) == []
