"""What a run records of the code that makes it: code.json, and behaviour.json, by a miniature that is traced."""

from __future__ import annotations

from typing import Any

import torch

from benchmark.config.run import RunConfig
from benchmark.launch.behaviour import miniature
from benchmark.launch.executed import traced, used_by_run
from benchmark.launch.log import log
from benchmark.runs.atomic import write_json
from benchmark.runs.code import Symbols, digests
from benchmark.runs.directory import RunDir
from benchmark.runs.made_by import BEHAVIOUR, CODE, by_other_code, symbols_in


def behaviour_and_code(config: RunConfig, device: torch.device, since: float) -> tuple[dict[str, Any], Symbols]:
    """What the miniature of a run comes to, and the digests of the code that it executes and rests on.

    `since`: when the process had loaded that code; what was edited later is not what was executed, and marked so.
    """
    with traced() as found:
        behaviour = miniature(config, device)
    return behaviour, digests(used_by_run(found, config), since=since)


def record(run: RunDir, config: RunConfig, device: torch.device, since: float) -> None:
    """Write both files before the first step of a training, and begin it anew where the code has changed since then.

    A run whose training was begun before there were these files goes on, and stays one by code that was not recorded.
    """
    checkpoint, code = run.path / "checkpoint.pt", run.path / CODE
    if checkpoint.exists():
        if symbols_in(code) is None or (other := by_other_code(run)) is None:
            return
        log(f"training starts anew: what is there was {other}")
        checkpoint.unlink()
    code.unlink(missing_ok=True)
    try:
        behaviour, symbols = behaviour_and_code(config, device, since)
    except Exception as error:  # a user's network may want more clips; its run will say what else is wrong
        log(f"the code of this run cannot be recorded, its miniature failed: {type(error).__name__}: {error}")
        return
    write_json(run.path / BEHAVIOUR, behaviour)
    write_json(code, {"symbols": symbols})
