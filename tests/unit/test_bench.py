#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`bulkhead bench` from end to end with samples of some milliseconds: every workload runs against our own devices and what
it says of them holds together; reports are written; wrong command lines and peers are named; an interrupt stops all.
Nothing here looks at how fast anything is.

Usage: test_bench.py BULKHEAD-BENCH BULKHEAD-BLK...
"""
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import xml.etree.ElementTree as ElementTree
import zlib
from html.parser import HTMLParser
from pathlib import Path

BENCH, BLK = (Path(word).resolve() for word in sys.argv[1:3])
SHORT = ["--rounds=2", "--duration=10", "--warm-up=5", "--foreign-load=100000", "--no-known-peers", "--store-size=16M"]
ENVIRONMENT = {**os.environ, "BULKHEAD_LIBEXEC": str(BLK.parent)}


def left_behind(pid):
    """What a run made and did not remove; its names have its pid in them, since other runs may be under way."""
    return [path for folder in ("/tmp", "/dev/shm") for path in Path(folder).glob(f"bulkhead-bench-{pid}-*")]


def bench(*words):
    with subprocess.Popen([BENCH, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT) as run:
        try:
            out, err = run.communicate(timeout=100)
        finally:
            run.kill()
    assert not left_behind(run.pid), left_behind(run.pid)
    return subprocess.CompletedProcess(words, run.returncode, out, err)


def cases(*words):
    """The cases of a short run, which must have measured our device in each."""
    done = bench(*SHORT, "--json", *words)
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    return json.loads(done.stdout)["cases"]


class Page(HTMLParser):
    """Collects what a report's page is made of; it must not fetch anything."""

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        assert tag not in ("script", "link", "img"), tag
        assert not any(name in ("src", "href") for name, _ in attrs), attrs


class Workloads(unittest.TestCase):
    def test_every_workload_measures_our_device(self):
        names = [line.split()[0] for line in bench("--list").stdout.splitlines()]
        self.assertGreater(len(names), 5)
        found = cases(*names, "--wait=sleep", "--rounds=1")
        self.assertEqual({case["workload"] for case in found}, set(names))
        for case in found:
            result = case["results"][0]
            self.assertEqual(result["name"], "bulkhead")
            self.assertTrue(result["figures"], case)
            self.assertNotIn("note", result)

    def test_what_is_said_of_a_disk_holds_together(self):
        words = ("blk-randread", "--store=ram", "--depth=1,8", "--block=512,4K", "--ring=split,packed")
        found = cases(*words)
        self.assertEqual(len(found), 2 * 2 * 2 * 2)
        for case in found:
            figures = case["results"][0]["figures"]
            for name, figure in figures.items():
                self.assertLessEqual(figure["least"], figure["median"], (name, case))
                self.assertLessEqual(figure["median"], figure["most"], (name, case))
                self.assertEqual(figure["samples"], 2)
            self.assertLessEqual(figures["p50_us"]["median"], figures["p99_us"]["median"])
            self.assertLessEqual(figures["p99_us"]["median"], figures["p99_9_us"]["median"])
            bytes_each = figures["bandwidth"]["median"] / figures["rate"]["median"]
            self.assertAlmostEqual(bytes_each, case["block"], delta=case["block"] / 100)
            self.assertGreater(figures["rate"]["least"], 0)

    def test_queues_and_what_is_left_out(self):
        case, = cases("blk-mixed", "--store=ram", "--depth=4", "--queues=2", "--wait=sleep", "--without=event_idx,in_order")
        self.assertEqual(case["queues"], 2)
        self.assertEqual(case["results"][0]["features"], "indirect")

    def test_a_disk_that_forgets_fails_verification(self):
        case_words = ("blk-verify", "--store=ram", "--depth=4", "--wait=sleep")
        forgets = f"forgets={BLK} --socket-path={{socket}} --null-size={{size}}"
        done = bench(*SHORT, "--json", *case_words, f"--peer={forgets}")
        ours, theirs = json.loads(done.stdout)["cases"][0]["results"]
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(ours["figures"])
        self.assertFalse(theirs["figures"])
        self.assertIn("wrong or missing answers", theirs["note"])


class Contestants(unittest.TestCase):
    def test_a_command_and_a_variant_take_part(self):
        words = (f"--peer=same={BLK} --socket-path={{socket}} --blk-file={{file}} --num-queues={{queues}}",
                 "--variant=threads=--aio=threads")
        case, = cases("blk-randwrite", "--store=file", "--depth=4", "--wait=sleep", *words)
        self.assertEqual([result["name"] for result in case["results"]], ["bulkhead", "threads", "same"])
        for result in case["results"]:
            self.assertGreater(result["figures"]["rate"]["least"], 0, result)
        self.assertIn("verdict", case)

    def test_a_socket_that_somebody_listens_on_takes_part_and_lives_on(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "socket"
            with subprocess.Popen([BLK, f"--socket-path={path}", "--ram-size=16M"]) as there:
                while not path.exists():
                    time.sleep(0.01)
                case, = cases("blk-randread", "--store=ram", "--depth=4", "--wait=sleep", f"--peer=there={path}")
                self.assertGreater(case["results"][1]["figures"]["rate"]["least"], 0)
                self.assertIsNone(there.poll())
                there.terminate()

    def test_a_peer_that_does_not_start_is_named_and_the_others_go_on(self):
        case, = cases("blk-randread", "--store=null", "--depth=1", "--wait=sleep",
                      "--peer=broken=echo I am broken {socket} >&2; exit 1")
        ours, broken = case["results"]
        self.assertTrue(ours["figures"])
        self.assertFalse(broken["figures"])
        self.assertIn("I am broken", broken["note"])


class Reports(unittest.TestCase):
    def test_the_page_stands_alone_and_shows_each_case(self):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "out"
            done = bench(*SHORT, "blk-randread", "--store=null", f"--out={out}",
                         f"--peer=a<b>&c={BLK} --socket-path={{socket}} --null-size={{size}}")
            self.assertEqual(done.returncode, 0, done.stderr)
            found = json.loads((out / "bench.json").read_text())
            text = (out / "bench.html").read_text()
        page = Page(text)
        self.assertEqual(len(found["cases"]), 4)
        self.assertEqual(page.tags.count("h3"), 4)
        pictures = text.split("<svg")[1:]
        self.assertEqual(len(pictures), 1 + 3 * 4)
        for picture in pictures:
            ElementTree.fromstring("<svg" + picture.split("</svg>")[0] + "</svg>")
        self.assertIn("a&lt;b&gt;&amp;c", text)
        self.assertNotIn("a<b>", text)
        self.assertIn("blk-randread", done.stdout)
        self.assertTrue(found["machine"]["cpu"])


def picture(path):
    """The pixels of an 8-bit PNG, as a list of rows of (red, green, blue)."""
    data, at, packed = path.read_bytes(), 8, b""
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + size]
        if kind == b"IHDR":
            width, height, depth, colours = struct.unpack(">IIBB", body[:10])
            assert depth == 8 and colours in (2, 6), (depth, colours)
        elif kind == b"IDAT":
            packed += body
        at += size + 12
    step = 4 if colours == 6 else 3
    raw, rows, above = zlib.decompress(packed), [], bytearray(width * step)
    for y in range(height):
        start = y * (width * step + 1)
        row = bytearray(raw[start + 1:start + 1 + width * step])
        unfilter(raw[start], row, above, step)
        rows.append([tuple(row[x:x + 3]) for x in range(0, len(row), step)])
        above = row
    return rows


def unfilter(kind, row, above, step):
    """PNG's five filters."""
    for x in range(len(row) if kind else 0):
        left = row[x - step] if x >= step else 0
        corner = above[x - step] if x >= step else 0
        if kind == 4:
            guess = left + above[x] - corner
            near = min((left, above[x], corner), key=lambda value: abs(guess - value))
        else:
            near = (left, above[x], (left + above[x]) // 2)[kind - 1]
        row[x] = (row[x] + near) & 255


class Browser(unittest.TestCase):
    COLOURS = ((0x0b, 0x7a, 0x75), (0xc2, 0x57, 0x1a))  # of the first two contestants

    @unittest.skipUnless(shutil.which("chromium"), "there is no chromium")
    def test_plots_are_seen_in_a_browser(self):
        with tempfile.TemporaryDirectory() as folder:
            out, shot = Path(folder) / "out", Path(folder) / "page.png"
            done = bench(*SHORT, "blk-randread", "--store=null", "--depth=4", f"--out={out}",
                         f"--peer=same={BLK} --socket-path={{socket}} --null-size={{size}}")
            self.assertEqual(done.returncode, 0, done.stderr)
            subprocess.run(["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/profile",
                            "--hide-scrollbars", "--window-size=1000,1000", f"--screenshot={shot}", f"file://{out}/bench.html"],
                           check=True, capture_output=True, timeout=120)
            rows = picture(shot)
        self.assertEqual((len(rows), len(rows[0])), (1000, 1000))
        for colour in self.COLOURS:
            # however fast it was, it has a dot in the plot of latency, a dozen rows of pixels high
            seen = [y for y, row in enumerate(rows) if row.count(colour) >= 4]
            self.assertGreaterEqual(len(seen), 8, f"nothing of colour {colour}")
        paper = rows[0][0]
        self.assertTrue(all(row[0] == paper and row[-1] == paper for row in rows), "the page runs over its edge")


class CommandLine(unittest.TestCase):
    def test_wrong_words_are_named(self):
        for words, said in ((["blk-randred"], 'did you mean "blk-randread"'), ([], "name a workload"),
                            (["--all", "blk-verify"], "--all takes no words"), (["blk-verify", "--depth=x"], '"x" is no number'),
                            (["blk-verify", "--depth=0"], "from 1 to"), (["blk-verify", "--store=tape"], 'no "tape"'),
                            (["blk-verify", "--store=null"], "nothing fits"), (["blk-verify", "--block=64"], "nothing fits"), (["blk-verify", "--store=disk"], "needs a disk"),
                            (["blk-verify", "--peer=x=/nowhere"], "is neither"), (["blk-verify", "--qsd=/bin/true"], "qemu-storage-daemon"),
                            (["blk-verify", "--spdk=/nowhere"], "is no program"), (["blk-verify", "--peer=bulkhead=x {socket}"], "two contestants"),
                            (["blk-verify", "--out=/proc/nowhere"], "no such folder")):
            done = bench(*SHORT, *words)
            self.assertEqual(done.returncode, 2, words)
            self.assertIn(said, done.stderr, words)

    def test_help_names_every_workload(self):
        text = bench("--help").stdout
        self.assertGreater(len(bench("--list").stdout.splitlines()), 15)
        for line in bench("--list").stdout.splitlines():
            self.assertIn(line, text)

    def test_an_interrupt_shows_what_there_is_and_leaves_nothing(self):
        words = ["blk-randread", "--store=null,file", "--depth=1", "--wait=sleep", "--duration=5000", "--rounds=9", "--json"]
        with subprocess.Popen([BENCH, *SHORT, *words], stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as running:
            children = Path(f"/proc/{running.pid}/task/{running.pid}/children")
            while not children.read_text():
                time.sleep(0.01)
            started = [int(pid) for pid in children.read_text().split()]
            self.assertTrue(left_behind(running.pid))
            running.send_signal(signal.SIGINT)
            answer = json.loads(running.communicate(timeout=60)[0])
        self.assertEqual(running.returncode, 130)
        self.assertTrue(answer["interrupted"])
        self.assertTrue(started)
        self.assertFalse([pid for pid in started if Path(f"/proc/{pid}").exists()])
        self.assertEqual(left_behind(running.pid), [])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
