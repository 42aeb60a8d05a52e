"""Whether the tests notice plausible mistakes: the mutants of mutants.yaml, each a line that gives wrong numbers.

    python tools/mutants.py [--verify] [--only ID ...] [--jobs N]

Each mutant is put into a copy of the working tree, where one of the tests that it names must fail; without it that one
must pass. Status 1 where a mutant survives or could not be tried: its text is not found once, or its tests do not run.
With --verify they are those of mutants_verify.yaml, each of which the miniature of a small network must show, by more
than processors differ (tests/launch/test_behaviour.py).
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue

import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
LIST = Path(__file__).with_suffix(".yaml")
OF_VERIFY = Path(__file__).with_name("mutants_verify.yaml")
BEHAVES = "tests/launch/test_behaviour.py::test_small_networks_behave_as_recorded"
SECONDS = 600
PASSED, FAILED = 0, 1
"""Exit statuses of pytest. With every other one there was no test to fail, or it could not be run."""
PRELOADED = ("pytest", "torchvision", "scipy.stats", "pandas", "av", "cv2", "fvcore.nn", "matplotlib.figure")
"""Imported once for all mutants: it takes longer than most of their tests."""


@dataclass(frozen=True)
class Mutant:
    """One mistake: `old` stands once in `file`, and where it reads `new`, one of `tests` (files or ids) must fail."""

    id: str
    says: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def found(self, root: Path) -> int:
        """How often a tree has the text."""
        path = root / self.file
        return path.read_text().count(self.old) if path.is_file() else 0


def read_mutants() -> list[Mutant]:
    """Every mutant of the list, in its order."""
    listed = yaml.safe_load(LIST.read_text())
    return [Mutant(name, **{**entry, "tests": tuple(entry["tests"].split())}) for name, entry in listed.items()]


def read_verified() -> list[Mutant]:
    """Those that a network's miniature must show: of the list by their ids, and some of its own."""
    known = {mutant.id: mutant for mutant in read_mutants()}
    found = []
    for name, entry in yaml.safe_load(OF_VERIFY.read_text()).items():
        if isinstance(entry, str):
            found.append(replace(known[name], tests=(f"{BEHAVES}[{entry}]",)))
        else:
            found.append(Mutant(name, tests=(f"{BEHAVES}[{entry.pop('network')}]",), **entry))
    return found


def copy_tree(to: Path) -> None:
    """The files as they are now, but for those that git ignores."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=REPOSITORY, capture_output=True, check=True).stdout.decode().split("\0")
    for name in filter(None, names):
        source, target = REPOSITORY / name, to / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


def run_pytest(root: Path, tests: Sequence[str], log: Path) -> None:
    """In a process of its own: the tests in a tree, whose status is the process's."""
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(root)
    sys.path[0] = str(root)  # in place of the folder of this script
    import pytest

    options = ["-x", "-q", "-p", "no:cacheprovider", "-m", "not slow and not slurm and not latex"]
    sys.exit(int(pytest.main([*options, *tests])))


def run_tests(root: Path, tests: Sequence[str]) -> tuple[int | None, str]:
    """Status of pytest, None where it did not end in time; and the last lines that it printed."""
    log = root.with_suffix(".log")
    process = multiprocessing.get_context("forkserver").Process(target=run_pytest, args=(root, tests, log))
    process.start()
    process.join(SECONDS)
    process.kill()
    process.join()
    return process.exitcode if process.exitcode != -9 else None, "\n".join(log.read_text().splitlines()[-30:])


def try_mutant(mutant: Mutant, root: Path) -> tuple[str, str]:
    """`caught`, `survived`, `stale` or `broken`, and what there is to say; the tree is left as it was."""
    if (found := mutant.found(root)) != 1:
        return "stale", f"its text is {found} times in {mutant.file}"
    path = root / mutant.file
    whole = path.read_text()
    path.write_text(whole.replace(mutant.old, mutant.new))
    try:
        status, said = run_tests(root, mutant.tests)
    finally:
        path.write_text(whole)
    if status == FAILED and (failed := re.search(r"^(?:FAILED|ERROR) (.+?)(?= - |$)", said, re.MULTILINE)):
        return "caught", failed[1]
    return ("survived", mutant.says) if status == PASSED else ("broken", said)


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the mutants, print a line for each, and say how many are caught."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="ID", help="these alone")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="mutants at once")
    parser.add_argument("--verify", action="store_true", help="those that `verify` must notice")
    options = parser.parse_args(arguments)
    mutants = read_verified() if options.verify else read_mutants()
    if unknown := set(options.only or ()) - {mutant.id for mutant in mutants}:
        parser.error(f"no mutant {', '.join(sorted(unknown))}")
    mutants = [mutant for mutant in mutants if not options.only or mutant.id in options.only]
    # Without compiled files: a change within the same second and of the same length would not be seen.
    os.environ |= {"PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore::FutureWarning"}
    multiprocessing.get_context("forkserver").set_forkserver_preload(list(PRELOADED))
    with tempfile.TemporaryDirectory() as folder:
        trees: SimpleQueue[Path] = SimpleQueue()
        for number in range(options.jobs):
            copy_tree(Path(folder) / str(number))
            trees.put(Path(folder) / str(number))

        def in_a_tree(mutant: Mutant) -> tuple[str, str, float]:
            tree, start = trees.get(), time.monotonic()
            try:
                return *try_mutant(mutant, tree), time.monotonic() - start
            finally:
                trees.put(tree)

        left: list[str] = []
        failed: list[str] = []
        with ThreadPoolExecutor(options.jobs) as pool:
            for mutant, (state, text, seconds) in zip(mutants, pool.map(in_a_tree, mutants), strict=True):
                print(f"{state:8} {mutant.id:28} {seconds:5.1f} s  {text}", flush=True)
                (failed if state == "caught" else left).append(text if state == "caught" else mutant.id)
        status, said = run_tests(Path(folder) / "0", sorted(set(failed))) if failed else (PASSED, "")
    if status != PASSED:
        print(f"Tests that fail without a mutant say nothing of one:\n{said}")
    print(f"{len(failed)} of {len(mutants)} mutants caught{': not ' if left else ''}{', '.join(left)}")
    return 1 if left or status != PASSED else 0


if __name__ == "__main__":
    sys.exit(main())
