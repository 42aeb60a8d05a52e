"""What a run needs to go on where it was, after an epoch or within one, saved in one atomic step."""

from __future__ import annotations

import io
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmark.train.progress import EpochState, EpochSummary


def save(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    history: list[EpochSummary],
    write: Any,
    path: Path,
    within: EpochState | None = None,
) -> None:
    """Write the state after `len(history)` epochs through `write(path, bytes)`, which must be atomic.

    Random states are not part of it, since every epoch seeds its own generators from the seed and the epoch; they are
    part of `within`, the state of an epoch that is not finished.
    """
    buffer = io.BytesIO()
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "history": [asdict(summary) for summary in history],
        "within": None if within is None else asdict(within),
    }
    torch.save(state, buffer)
    write(path, buffer.getvalue())


def load(
    model: nn.Module, optimizer: torch.optim.Optimizer, path: Path
) -> tuple[list[EpochSummary], EpochState | None]:
    """Restore model and optimiser in place; nothing to restore is no epochs and None.

    Returns:
        The finished epochs, and where in the next one the state is, or None at its beginning.
    """
    if not path.exists():
        return [], None
    device = next(model.parameters()).device
    state = torch.load(path, map_location=device, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    within = state.get("within")
    history = [EpochSummary(**summary) for summary in state["history"]]
    return history, None if within is None else EpochState(**within)
