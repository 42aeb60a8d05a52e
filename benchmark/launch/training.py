"""The training of a run: resumed from its checkpoint, taken over from another run, or done epoch by epoch."""

from __future__ import annotations

import json
import math
import pickle
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

import numpy as np
import torch

from benchmark.config.run import RunConfig
from benchmark.data.limits import positive_seconds
from benchmark.data.loader import epoch_order
from benchmark.launch.clips import RunClips
from benchmark.launch.env_file import EnvFile
from benchmark.launch.heartbeat import Heartbeat
from benchmark.launch.initial_weights import digest_of
from benchmark.launch.log import log
from benchmark.runs.atomic import write_atomic
from benchmark.runs.directory import RunDir
from benchmark.runs.errors import DamagedRunError
from benchmark.runs.trainings import record_training
from benchmark.train import checkpoint
from benchmark.train.finite import DivergedError, non_finite
from benchmark.train.generators import generators, seed_all
from benchmark.train.loop import OnStep, train_epoch
from benchmark.train.optim import make_optimizer
from benchmark.train.progress import EpochState, EpochSummary

AfterEpoch = Callable[[int, torch.nn.Module], None]
"""Called with how many epochs are finished, and the network as it then is, which it leaves so."""
CHECKPOINT_SECONDS = "BENCHMARK_CHECKPOINT_SECONDS"
"""Variable that says how old the last checkpoint may be within an epoch: 600 seconds unless set."""


class Training:
    """Network and optimiser of a run, and how far their training is.

    Attributes:
        model: the network.
        history: what the finished epochs came to.
        within: where in the next epoch the state is; None at its beginning.
        taken_over_from: the run that has trained the network, where it is not this one.
    """

    def __init__(self, run: RunDir, config: RunConfig, model: torch.nn.Module, device: torch.device, env: EnvFile):
        self.model, self.history = model, list[EpochSummary]()
        self.within: EpochState | None = None
        self._run, self._config, self._device, self._env = run, config, device, env
        self._optimizer = make_optimizer(model, config.train)
        self.taken_over_from: RunDir | None = None
        self._never_finite = non_finite(model.state_dict())  # a mask of -inf, say

    def resume_or_take_over(self, sibling: RunDir | None) -> None:
        """Go on from the run's own checkpoint if it has one, else with all that another run has trained.

        Args:
            sibling: a run that differs from this one in its views alone and has trained on the same data; or None.

        Raises:
            DamagedRunError: the checkpoint cannot be read.
        """
        self._restore(self._run)
        if sibling is not None and not self.history and self.within is None:
            self._restore(sibling)
            training = {name: sibling.env.get(name) for name in ("starts", "versions", "device", "seconds")}
            self._env.set(trained_by=sibling.key, training=training)
            self.taken_over_from = sibling
            log(f"evaluating the network that {sibling.path} has trained")
        self._write_metrics()  # a kill may have come between the checkpoint and its line

    def finish(self, clips: RunClips, heartbeat: Heartbeat, after_epoch: AfterEpoch) -> None:
        """Train the epochs that are left, each with its checkpoint and its line of metrics.jsonl.

        `after_epoch` is called after each, and after those of before a stop once more.
        """
        if self.history and self.within is None:
            after_epoch(len(self.history), self.model)
        for epoch in range(len(self.history), self._config.train.epochs):
            heartbeat.enter("train", epoch)
            self._train_epoch(epoch, clips, heartbeat)
            self._check_weights()
            self._save()
            self._write_metrics()
            summary, epochs = self.history[-1], self._config.train.epochs
            log(f"epoch {epoch + 1}/{epochs}: loss {summary.loss:.3f}, training top-1 {summary.top1:.1f}")
            after_epoch(epoch + 1, self.model)
        if self.taken_over_from is None:
            record_training(self._run, self._config)
            self._env.set(weights=digest_of(self.model.state_dict()))

    def _train_epoch(self, epoch: int, clips: RunClips, heartbeat: Heartbeat) -> None:
        state, self.within = self.within or EpochState(), None
        periodic = PeriodicCheckpoint(lambda: self._save(replace(state, generators=generators(self._device))))

        def on_step(step: int, steps: int) -> None:
            heartbeat(step, steps)
            if step < steps:
                periodic.save_if_due()

        self.history.append(train_one_epoch(self.model, self._optimizer, clips, self._config, epoch, state, on_step))

    def _check_weights(self) -> None:
        """Raises DivergedError if weights or running statistics are not finite."""
        if bad := sorted(non_finite(self.model.state_dict()) - self._never_finite):
            named = ", ".join(bad[:5]) + (", ..." if len(bad) > 5 else "")
            raise DivergedError(
                f"{len(bad)} tensors of the network are not finite after epoch {len(self.history)}: {named}"
            )

    def _save(self, within: EpochState | None = None) -> None:
        path = self._run.path / "checkpoint.pt"
        checkpoint.save(self.model, self._optimizer, self.history, write_atomic, path, within)
        self._env.write()

    def _restore(self, run: RunDir) -> None:
        """Put a run's checkpoint into network and optimiser. Raises DamagedRunError if it cannot be."""
        path = run.path / "checkpoint.pt"
        try:
            self.history, self.within = checkpoint.load(self.model, self._optimizer, path)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, KeyError, TypeError, ValueError, EOFError, OSError, pickle.UnpicklingError) as error:
            what = (str(error) or type(error).__name__).splitlines()[0]
            raise DamagedRunError(f"{path} is damaged ({what}); remove it to train from the start") from error

    def _write_metrics(self) -> None:
        lines = "".join(json.dumps(asdict(summary)) + "\n" for summary in self.history)
        write_atomic(self._run.path / "metrics.jsonl", lines)


def forget_checkpoint(run: RunDir) -> None:
    """Say that the run's network cannot go on from a checkpoint, and remove the one that it has, if any."""
    path = run.path / "checkpoint.pt"
    when = "training starts anew" if path.exists() else "if this run is stopped, its training starts anew"
    log(
        f"{when}: the network"
        " keeps something outside its state_dict that its logits depend on, such as a counter, a torch.Generator of its"
        " own or a buffer with persistent=False; loaded from a checkpoint it goes on in another way. Save it by"
        " get_extra_state and set_extra_state of torch.nn.Module, and runs are resumed"
    )
    path.unlink(missing_ok=True)


class PeriodicCheckpoint:
    """Saves a checkpoint within an epoch when the last one is older than BENCHMARK_CHECKPOINT_SECONDS."""

    def __init__(self, save: Callable[[], None]) -> None:
        self._save, self._seconds = save, positive_seconds(CHECKPOINT_SECONDS, 600.0)
        self._last = time.monotonic()

    def save_if_due(self) -> None:
        """Called after a step."""
        if time.monotonic() - self._last >= self._seconds:
            self._save()
            self._last = time.monotonic()


def train_one_epoch(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    clips: RunClips,
    config: RunConfig,
    epoch: int,
    state: EpochState,
    on_step: OnStep,
) -> EpochSummary:
    """An epoch of a run by 0-based number, or the rest of one from `state`, which is kept up to date."""
    recipe = config.train
    # Each epoch draws from the seed and the epoch alone, so that a resumed run comes to the same result.
    seed_all(epoch_seed(config, epoch))
    clips.training.set_epoch(epoch)
    order = _order(config, len(clips.training), epoch)
    steps = math.ceil(len(order) / recipe.batch_size)
    if state.step:
        log(f"epoch {epoch + 1}/{recipe.epochs} goes on after step {state.step} of {steps}")
    batches = clips.batches(clips.training, recipe.clips_at_once, order[state.step * recipe.batch_size :])
    return train_epoch(model, optimizer, batches, steps, epoch, recipe, on_step, config.data.normalisation, state)


def epoch_seed(config: RunConfig, epoch: int) -> int:
    """Of an epoch of a run, by 0-based number; the evaluation has that of the epoch after the last."""
    return int(np.random.SeedSequence([config.seed, epoch]).generate_state(1)[0])


def _order(config: RunConfig, clips: int, epoch: int) -> Sequence[int]:
    """The epoch's order without the last, smaller batch, as in the released code."""
    order = epoch_order(clips, config.seed, epoch).tolist()
    whole = clips - clips % config.train.batch_size
    return order[:whole] if whole else order
