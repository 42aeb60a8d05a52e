"""The weights of another run, from which a run starts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch

from benchmark.launch.during import log
from benchmark.launch.rundir import RunDir
from benchmark.models.weights import PretrainedWeightsError, take_over


def start_from(model: torch.nn.Module, run: RunDir, key: str) -> str:
    """Load the weights that the run starts from, and return what distinguishes them.

    Raises:
        PretrainedWeightsError: that run is not finished, its weights are gone, or of another network.
    """
    source, name = RunDir(run.path.parent / key), str(run.config.train.start_from).partition("@")[0]
    if source.state != "done" or not source.checkpoint.is_file():
        state = source.state if source.state != "done" else "without its checkpoint.pt"
        raise PretrainedWeightsError(
            f"the run starts from {name}, whose run {source.path} is {state}: `run` and `submit` of this table train it"
            " first; one that was trained elsewhere can be copied there, the whole folder"
        )
    state = torch.load(source.checkpoint, map_location="cpu", weights_only=True)["model"]
    take_over(model, state, f"{name} ({source.path})")
    log(f"starting from {name}, {source.path}")
    return digest_of(state)


def digest_of(state: Mapping[str, torch.Tensor]) -> str:
    """What distinguishes weights that a run starts from, where they come from a file made here."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
