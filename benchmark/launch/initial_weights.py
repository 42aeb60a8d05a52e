"""The weights of another run, from which a run starts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch

from benchmark.launch.during import log
from benchmark.models.weights import PretrainedWeightsError, take_over
from benchmark.runs.directory import RunDir


def start_from(model: torch.nn.Module, run: RunDir, key: str) -> str:
    """Load the weights that the run starts from, and return what distinguishes them.

    Args:
        model: the run's network.
        run: the run.
        key: the training key of what it starts from.

    Raises:
        PretrainedWeightsError: that training is not finished, its weights are gone, or of another network.
    """
    name = str(run.config.train.start_from).partition("@")[0]
    source = run.trained(key)
    state = None if source is None else torch.load(source.path / "checkpoint.pt", map_location="cpu", weights_only=True)
    finished = source is not None and state is not None and len(state["history"]) == source.config.train.epochs
    if source is None or state is None or not finished or state.get("within") is not None:
        raise PretrainedWeightsError(
            f"the run starts from {name}, which is not trained in {run.path.parent} (training {key}): `run` of this"
            " table trains it first, `submit` sends it first; the folder of one that was trained elsewhere, with its"
            " checkpoint.pt, can be copied there; if it is done and lost its checkpoint.pt, remove its folder"
        )
    take_over(model, state["model"], f"{name} ({source.path})")
    log(f"starting from {name}, {source.path}")
    return digest_of(state["model"])


def digest_of(state: Mapping[str, torch.Tensor]) -> str:
    """What distinguishes weights that a run starts from, where they come from a file made here."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
