# SPDX-License-Identifier: Apache-2.0
"""Random kill -9 of one of our processes while a system comes up, runs, or goes down: nothing stays, nothing blocks."""
import os
import random
import time

from beds import FULL
from systems import EARLY, description, domain

KILLS = 100 if FULL else 9
SEED = int(os.environ.get("BULKHEAD_SEED", "1"))
DEVICES = """rng { compatible = "bulkhead,rng"; };
             disk { compatible = "bulkhead,blk"; blk-file = "state:disk.img"; bulkhead,create-size = "4M"; };
             net { compatible = "bulkhead,net"; };"""


def kill_one(runs, dice, command=None):
    """Kills one process of the system, or the command that works on it. Returns what it was."""
    victims = sorted(runs.handles())
    if command and command.poll() is None:
        victims.append(command.pid)
    if not victims:
        return "nothing was there"
    victim = dice.choice(victims)
    if command and victim == command.pid:
        command.kill()
        return "the command"
    try:
        with open(f"/proc/{victim}/comm") as name:
            what = name.read().strip()
    except OSError:
        what = "a process that was gone"
    runs.kill(victim)
    return what


def test_random_kills_leave_nothing_and_block_nothing(runs, folder):
    dice = random.Random(SEED)
    system = description(folder, "one", domain("linux-a", 1, EARLY + DEVICES))
    for kill in range(KILLS):
        phase = ("up", "run", "down")[kill % 3]
        if phase == "up":
            command = runs.start("up", "--detach", "--quiet", system)
            time.sleep(dice.uniform(0, 2))
            what = kill_one(runs, dice, command)
            command.communicate(timeout=60)
        else:
            up = runs.run("up", "--detach", "--quiet", system)
            assert up.returncode == 0, f"kill {kill - 1} of seed {SEED} blocks the next up: {up.stderr}"
            if phase == "run":
                what = kill_one(runs, dice)
                time.sleep(dice.uniform(0, 1))
            else:
                command = runs.start("down", "--quiet")
                time.sleep(dice.uniform(0, 1.5))
                what = kill_one(runs, dice, command)
                command.communicate(timeout=60)
        assert runs.run("down", "--now", "--quiet").returncode in (0, 3)
        assert runs.left() == [], f"left after kill {kill} of seed {SEED} in {phase}: {what}"
    up = runs.run("up", "--detach", system)
    assert up.returncode == 0, up.stderr
    assert runs.run("down").returncode == 0
    assert runs.left() == [] and os.listdir(runs.run_dir) == []
