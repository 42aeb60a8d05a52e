"""What a run needs to go on after its last finished epoch, saved in one atomic step."""

from __future__ import annotations

import io
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmark.train.loop import EpochSummary


def save(
    model: nn.Module, optimizer: torch.optim.Optimizer, history: list[EpochSummary], write: Any, path: Path
) -> None:
    """Write the state after `len(history)` epochs through `write(path, bytes)`, which must be atomic.

    Random states are not part of it: every epoch seeds its own generators from the seed and the epoch.
    """
    buffer = io.BytesIO()
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "history": [asdict(summary) for summary in history],
    }
    torch.save(state, buffer)
    write(path, buffer.getvalue())


def load(model: nn.Module, optimizer: torch.optim.Optimizer, path: Path) -> list[EpochSummary]:
    """Restore model and optimiser in place and return the finished epochs; nothing to restore is an empty list."""
    if not path.exists():
        return []
    device = next(model.parameters()).device
    state = torch.load(path, map_location=device, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return [EpochSummary(**summary) for summary in state["history"]]
