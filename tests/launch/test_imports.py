"""A run imports what its network needs: compilers and other people's networks take longer to import than torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.config.models import TsmResNetConfig
from benchmark.config.run import DataConfig, EvalConfig, RunConfig, TrainConfig
from benchmark.runs.directory import RunDir

HEAVY = ("torch._dynamo", "torch._inductor", "sympy", "torchvision", "timm", "pandas", "scipy", "matplotlib", "fvcore")

JOB = f"""
import sys
from benchmark.launch.job import main
status = main(sys.argv[1:])
sys.exit(status or str([name for name in {HEAVY} if name in sys.modules] or "") or 0)
"""


@pytest.mark.parametrize("clip_norm", [20.0, pytest.param(None, marks=pytest.mark.slow)])
def test_a_run_imports_nothing_slow_that_it_does_not_need(
    ucf101: None, tmp_path: Path, clip_norm: float | None
) -> None:
    run = RunDir(tmp_path / "run")
    run.prepare(
        RunConfig(
            model=TsmResNetConfig(depth=18, width=0.125),
            data=DataConfig(dataset="ucf101", size=32, segments=2),
            train=TrainConfig(epochs=1, warmup_epochs=0, batch_size=4, clip_norm=clip_norm),
            eval=EvalConfig(scale=36),
        )
    )
    command = [sys.executable, "-c", JOB, str(run.path), "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert run.state == "done"
