"""The random generators that a network may draw from: torch's, numpy's and Python's global ones."""

from __future__ import annotations

import random
from typing import Any, cast

import numpy as np
import torch


def seed_all(seed: int) -> None:
    """Seed all of them; the networks of this package draw from torch's alone, a user's may draw from any."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def generators(device: torch.device) -> dict[str, Any]:
    """Their states, of tensors, numbers and texts alone, as a checkpoint holds them."""
    name, words, *rest = cast("tuple[Any, ...]", np.random.get_state())
    states = {"torch": torch.get_rng_state(), "numpy": (name, words.tolist(), *rest), "python": random.getstate()}
    return states | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def set_generators(states: dict[str, Any], device: torch.device) -> None:
    """Set them to states that `generators` gave, on a device of the same kind."""
    torch.set_rng_state(states["torch"].cpu())
    name, words, *rest = states["numpy"]
    np.random.set_state((name, np.array(words, np.uint32), *rest))
    random.setstate(states["python"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"].cpu(), device)
