# SPDX-License-Identifier: Apache-2.0
"""The command as it is typed, where nothing runs: help, man pages, completion, and what is typed wrong.

    test_command.py BULKHEAD BULKHEAD-PAGES
"""
import os
import re
import subprocess
import sys
import tempfile
import unittest

COMMAND, PAGES = map(os.path.abspath, sys.argv[1:3])
WIDTH = 80


def run(*words, **more):
    with tempfile.TemporaryDirectory(prefix="bh-c.") as folder:
        return subprocess.run([COMMAND, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60,
                              env={**os.environ, "XDG_RUNTIME_DIR": folder, "NO_COLOR": "1"}, cwd=folder, **more)


def page(name):
    return subprocess.run([PAGES, name], capture_output=True, text=True, check=True).stdout


def verbs():
    return re.findall(r"^  ([a-z]+) ", run("help").stdout, re.MULTILINE)


class Help(unittest.TestCase):
    def test_every_verb_explains_itself_in_80_columns(self):
        self.assertGreater(len(verbs()), 10)
        for verb in ("", *verbs()):
            with self.subTest(verb):
                helped = run("help", *([verb] if verb else []))
                self.assertEqual((helped.returncode, helped.stderr), (0, ""))
                self.assertTrue(helped.stdout.startswith("usage: bulkhead "), helped.stdout)
                self.assertEqual([line for line in helped.stdout.splitlines() if len(line) > WIDTH], [])
                if verb:
                    self.assertEqual(run(verb, "--help").stdout, helped.stdout)

    def test_every_class_explains_itself_in_80_columns(self):
        classes = re.search(r"^Classes: (.*)$", run("help", "device").stdout, re.MULTILINE).group(1).split()
        self.assertIn("blk", classes)
        for name in classes:
            with self.subTest(name):
                helped = run("help", "device", name)
                self.assertEqual(helped.returncode, 0)
                self.assertIn(f"usage: bulkhead-{name} ", helped.stdout)
                self.assertEqual([line for line in helped.stdout.splitlines() if len(line) > WIDTH], [])

    def test_every_verb_and_option_has_its_place_in_man_page_and_completion(self):
        man = page("man").replace("\\-", "-")
        completion = page("completion")
        offered = re.search(r'^ +verbs\) echo "(.*)";;', completion, re.MULTILINE).group(1).split()
        for verb in verbs():
            with self.subTest(verb):
                self.assertIn(verb, offered)
                section = re.search(rf'^\.SS "bulkhead {verb}\b.*?(?=^\.S)', man, re.MULTILINE | re.DOTALL)
                self.assertIsNotNone(section, "it has no section of the man page")
                if verb in ("device", "conform"):
                    continue  # their options are a program's
                words = re.search(rf'^ +{verb}\) echo "(.*)";;', completion, re.MULTILINE).group(1)
                for option in re.findall(r"^  --([a-z-]+)", run("help", verb).stdout, re.MULTILINE):
                    self.assertIn(f"--{option}", section.group(0))
                    self.assertIn(f"--{option}", words)

    def test_the_verbs_that_are_programs_find_them_in_a_build_folder(self):
        for verb, option, said in (("bench", "--list", "blk-randread"), ("conform", "--help", "--class=CLASS")):
            answer = run(verb, option)
            self.assertEqual((answer.returncode, answer.stderr), (0, ""))
            self.assertIn(said, answer.stdout)

    def test_the_version_is_told(self):
        for word in ("--version", "-V"):
            self.assertRegex(run(word).stdout, r"^bulkhead \d")


class Wrong(unittest.TestCase):
    def test_what_is_typed_wrong_is_told_with_what_may_have_been_meant(self):
        for words, status, said in (
                ([], 2, "usage: bulkhead VERB"),
                (["pss"], 2, 'did you mean "ps"?'),
                (["help", "pss"], 2, 'did you mean "ps"?'),
                (["--versoin"], 2, 'did you mean "--version"?'),
                (["version"], 2, 'did you mean "--version"?'),
                (["--json", "ps"], 2, "options stand behind the verb"),
                (["ps", "--jsn"], 2, "did you mean --json?"),
                (["device", "blkk"], 2, 'did you mean "blk"?'),
                (["device", "blk", "--blk-fil=x"], 2, "did you mean --blk-file?"),
                (["device", "--socket-path=s", "blk"], 2, "the class comes first"),
                (["device", "switch"], 2, "bulkhead-switch --help"),
                (["device", "fs"], 2, "another's program serves it"),
                (["device", "blk", "--socket-path=s", "--blk-file=/"], 5, "Is a directory"),
                (["device", "rng", "--socket-path=s", "--rng-file=/"], 5, "Is a directory"),
                (["check", "-j", "a.dts"], 2, "did you mean --json?"),
                (["check", "-json", "a.dts"], 2, "did you mean --json?"),
                (["check", "-x", "a.dts"], 2, "options begin with --"),
                (["check", "--", "-x.dts"], 1, "-x.dts: error: cannot open"),
                (["up", "--run-dir=", "a.dts"], 2, "--run-dir: '' is not allowed"),
                (["logs", "--output"], 2, "logs --output needs NAME"),
                (["help", "up", "down"], 2, 'one word too many: "down"'),
                (["up"], 2, "up needs SYSTEM.dts"),
                (["up", "a.dts", "b.dts"], 2, 'one word too many: "b.dts"'),
                (["check", "missing.dts"], 1, "missing.dts"),
                (["down"], 3, "no system is running"),
                (["console", "linux-a"], 3, "no system is running"),
                (["ps", "--system=one"], 3, 'no system "one" is running')):
            with self.subTest(words):
                answer = run(*words)
                self.assertEqual(answer.returncode, status, answer.stderr)
                self.assertIn(said, answer.stderr)
                self.assertEqual(answer.stdout, "")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
