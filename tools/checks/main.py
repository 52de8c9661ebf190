# SPDX-License-Identifier: Apache-2.0
"""./check: every check of the tree, one step after the other, ending with one line that counts single tests."""
import argparse
import signal
import sys

import runner
from steps import STEPS


def main():
    listing = "\n".join(f"  {step.name:13}{step.help}{' (only with --full)' if step.full else ''}" for step in STEPS)
    parser = argparse.ArgumentParser(prog="./check", description=__doc__, epilog=f"steps:\n{listing}",
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", nargs="*", metavar="STEP", help="run only these (default: all that are not long)")
    parser.add_argument("--full", action="store_true", help="run the long steps and the whole test matrix too")
    parser.add_argument("--list", action="store_true", help="list the steps and stop")
    options = parser.parse_args()
    if options.list:
        print(listing)
        return 0
    known = {step.name: step for step in STEPS}
    for name in options.steps:
        if name not in known:
            parser.error(f"no step is called {name}; there are {', '.join(known)}")
    chosen = [step for step in STEPS if (step.name in options.steps if options.steps else options.full or not step.full)]
    runner.FULL = options.full
    for step in chosen:
        step.needs = tuple(name for name in step.needs if any(other.name == name for other in chosen))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    return runner.run_steps(chosen)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
