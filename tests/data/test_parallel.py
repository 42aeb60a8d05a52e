"""Batches over processes: all of them, an interrupt that stops at once, and no process that outlives its parent."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from benchmark.data.parallel import by_batches

SLEEPERS = """
import sys, time
from benchmark.data.parallel import by_batches
from tests_work import nap
for batch, _ in by_batches(nap, range(400), 1, 2):
    print(batch[0], flush=True)
"""
WORK = """
import os, sys, time
def nap(batch):
    time.sleep(0.1)
    return os.getpid()
"""


def squares(batch: Sequence[int]) -> list[int]:
    return [n * n for n in batch]


@pytest.mark.parametrize("workers", [1, 2])
def test_every_batch_is_done_once(workers: int) -> None:
    found: dict[int, int] = {}
    for batch, result in by_batches(squares, range(7), 2, workers):
        found |= dict(zip(batch, result, strict=True))
    assert found == {n: n * n for n in range(7)}


@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_goes_on_after_the_first_is_stopped(tmp_path: Path, kill: signal.Signals) -> None:
    (tmp_path / "tests_work.py").write_text(WORK)
    script = tmp_path / "sleepers.py"
    script.write_text(f"if __name__ == '__main__':\n{textwrap.indent(SLEEPERS, '    ')}")
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(tmp_path)])}
    process = subprocess.Popen(
        [sys.executable, str(script)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    assert process.stdout is not None
    process.stdout.readline()
    started = time.monotonic()
    process.send_signal(kill)
    process.stdout.read()  # ends when the last process that has it open is gone
    process.wait()
    assert time.monotonic() - started < 15  # 400 naps of two processes take 20 s
