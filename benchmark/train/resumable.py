"""Whether a network that is loaded from a checkpoint goes on as the one that was saved."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmark.config.run import RunConfig
from benchmark.data.transforms import normalise
from benchmark.models.check import NetworkError, clips_of
from benchmark.models.forward import autocast
from benchmark.train.generators import seed_all
from benchmark.train.optim import freeze_all_but_first_bn, make_optimizer

STEPS = 3
"""Steps before the network is saved, so that counters and running means have left where they start."""

CLIPS = 2
"""Of a batch, the fewest that batch normalisation takes."""

GPU_TOLERANCE = 0.01
"""Of the largest logit: sums on a GPU come out differently from one time to the next."""


def resumes_alike(
    build: Callable[[], nn.Module], shape: Sequence[int], config: RunConfig, device: torch.device
) -> bool:
    """Train a network for a few steps, save it, load it into a fresh one, and compare the next step and what follows.

    State that is not in `state_dict` (a Python counter, a generator of the network's own, a buffer that is not
    persistent) makes the two differ where the logits depend on it.

    Args:
        build: makes the network as a run begins with it.
        shape: of a clip in training, (T, C, S, S).
        config: of the run.
        device: where the network is.

    Raises:
        NetworkError: `get_extra_state` gives what cannot be loaded again.
    """
    trained = _Trial(build(), shape, config, device)
    for number in range(STEPS):
        trained.step(number)
    saved = io.BytesIO()
    torch.save([trained.model.state_dict(), trained.optimizer.state_dict()], saved)
    saved.seek(0)
    loaded = _Trial(build(), shape, config, device)
    try:
        model, optimizer = torch.load(saved, map_location=device, weights_only=True)
    except pickle.UnpicklingError as error:
        raise NetworkError(
            "get_extra_state gives what a checkpoint cannot hold; expected are tensors, numbers, texts, and lists,"
            f" tuples and dicts of them ({str(error).splitlines()[0]})"
        ) from error
    loaded.model.load_state_dict(model)
    loaded.optimizer.load_state_dict(optimizer)
    compared = [(one.step(STEPS), one.evaluate()) for one in (trained, loaded)]
    return all(_alike(a, b) for a, b in zip(*compared, strict=True))


def _alike(a: Tensor, b: Tensor) -> bool:
    margin = 0.0 if a.device.type == "cpu" else GPU_TOLERANCE * float(a.abs().max())
    return torch.allclose(a, b, rtol=0, atol=margin, equal_nan=True)


class _Trial:
    """A network and its optimiser on random clips."""

    def __init__(self, model: nn.Module, shape: Sequence[int], config: RunConfig, device: torch.device) -> None:
        self.model, self._shape, self._config, self._device = model, shape, config, device
        self.optimizer = make_optimizer(model, config.train)

    def step(self, number: int) -> Tensor:
        """A step of training; every number has clips and random draws of its own. Returns the logits."""
        self.model.train()
        if self._config.train.partial_bn:
            freeze_all_but_first_bn(self.model)
        logits = self._logits(number)
        self.optimizer.zero_grad()
        functional.cross_entropy(logits, torch.arange(CLIPS, device=self._device)).backward()
        self.optimizer.step()
        return logits.detach()

    @torch.no_grad()
    def evaluate(self) -> Tensor:
        """Logits in evaluation."""
        self.model.eval()
        return self._logits(0)

    def _logits(self, number: int) -> Tensor:
        clips = clips_of(CLIPS, self._shape, self._device, number)
        seed_all(number)
        with autocast(self._device, self._config.train.precision):
            logits: Tensor = self.model(normalise(clips, self._config.data.normalisation))
        return logits.float()
