"""code.json of a run: the code that makes it, as a miniature executes it; see `benchmark.runs.code`."""

from __future__ import annotations

from collections.abc import Callable

import torch

from benchmark.config.run import RunConfig
from benchmark.launch.behaviour import record_behaviour
from benchmark.launch.executed import traced, used_by_run
from benchmark.launch.log import log
from benchmark.runs.atomic import write_json
from benchmark.runs.behaviour import BEHAVIOUR
from benchmark.runs.code import digests
from benchmark.runs.directory import RunDir
from benchmark.runs.made_by import CODE, by_other_code, symbols_in


def forget_training_by_other_code(run: RunDir) -> None:
    """Remove the checkpoint of a training that other code has begun: half by one and half by another is neither's.

    One that was begun before code was recorded goes on, and stays one by code that was not recorded.
    """
    checkpoint = run.path / "checkpoint.pt"
    if checkpoint.exists() and symbols_in(run.path / CODE) and (other := by_other_code(run)):
        log(f"training starts anew: what there is of it was {other}")
        checkpoint.unlink()


def record_code_and_behaviour(
    run: RunDir,
    config: RunConfig,
    device: torch.device,
    trained_by: RunDir | None,
    on_step: Callable[[int, int], None],
    since: float,
) -> None:
    """Write behaviour.json and, with the code that was executed for it, code.json of a run that begins.

    One that goes on from its checkpoint keeps those of its beginning.

    Args:
        run: the run.
        config: its config.
        device: where it runs.
        trained_by: see `record_behaviour`.
        on_step: see `record_behaviour`.
        since: see `digests`.
    """
    if (run.path / "checkpoint.pt").exists():
        return
    (run.path / CODE).unlink(missing_ok=True)
    with traced() as found:
        record_behaviour(run, config, device, trained_by, on_step)
    if (run.path / BEHAVIOUR).exists():  # else what a run uses is known in part
        write_json(run.path / CODE, {"symbols": digests(used_by_run(found, config), since=since)})
