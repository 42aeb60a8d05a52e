"""The miniature of a run: few clips, three compressed epochs, its views, and what these came to.

A run's result takes too long to make again after every change of the code. Its miniature takes a second: the run's own
network, representation, recipe and views, through the functions that the run itself goes through. What is noted is
sensitive to a mistake and hardly to the processor:

* which frames, crops, flips and views are drawn, as they are;
* the rates of the run's own schedule and of the miniature's steps by group, and how fast weights decay;
* losses and gradients by step, momentum and logits of a network that stands still, so that rounding does not grow,
  and in which nothing is zero that an ordinary one begins with as zero: a block that adds nothing yet hides mistakes.

`benchmark.runs.behaviour` compares two of them.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmark.config.run import RunConfig
from benchmark.data.loader import ClipDataset
from benchmark.data.transforms import View, normalise
from benchmark.evaluate.views import Predicted
from benchmark.launch.clips import RunClips
from benchmark.launch.evaluation import evaluate
from benchmark.launch.few_clips import few_clips, training_clips
from benchmark.launch.initial_weights import digest_of, initial_network
from benchmark.launch.log import log
from benchmark.launch.training import train_one_epoch
from benchmark.models.forward import autocast
from benchmark.models.modules.motion_squeeze import MotionSqueeze
from benchmark.models.weights import PretrainedWeightsError
from benchmark.runs.atomic import write_json
from benchmark.runs.behaviour import BEHAVIOUR, FORMAT, recorded, trained_alike
from benchmark.runs.directory import RunDir
from benchmark.runs.made_by import VERIFIED
from benchmark.runs.provenance import instruction_set, versions
from benchmark.train.generators import generators, seed_all, set_generators
from benchmark.train.optim import AdamW, Sgd, lr_at, make_optimizer, set_lr
from benchmark.train.progress import EpochState

EPOCHS = 3
STEPS = 2
"""Of an epoch."""
SEED = 7919
"""Added to the run's: a miniature shares no draw with its run."""
GENTLY = 1e-9
"""Of the run's learning rate: weights stand still. At the whole rate rounding grows tenfold with every step; so every
loss is that of the first weights, while momentum sums up the gradients as ever."""
FELT_NORM = 0.05
"""Of the limit of the gradient's norm: at the whole limit hardly a gradient is cut."""
CLASSES = 8
"""Whose logits are noted."""
WAKING = 0.1
"""Standard deviation of what takes the place of zeros."""
SCHEDULE_POINTS = 9
SHOWN = 16
"""Characters of notes that are kept as an example beside their digest."""
NUMBERS_DEPEND_ON = ("torch", "torchvision", "numpy")


def miniature(
    config: RunConfig, device: torch.device, start: str = "own", on_step: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """What a miniature of a run comes to, as plain data of a few kilobytes.

    It leaves torch's, numpy's and Python's generators as they were, and nothing else that a run depends on.

    Args:
        config: the run's.
        device: where it runs.
        start: `own`: from pretrained weights where the run has them and their file is at hand; `drawn`: from none.
        on_step: called after every batch with the batches done and their total.

    Raises:
        DataError: the run's generated data set is not prepared.
        NetworkError: its network cannot be trained.
    """
    with _generators_kept(device):
        small, told = compressed(config), on_step or (lambda step, steps: None)
        clips = RunClips(small, device, 0, few_clips(config), NotedClips)
        model, start = _network(small, device, clips, start)
        optimizer = make_optimizer(model, small.train)
        exact, drawn = _sizes(model, optimizer), _lengths(optimizer)
        _wake(model, optimizer, small)
        _settle(model, small, clips, device)
        notes = _Notes(optimizer, told)
        for epoch in range(EPOCHS):
            train_one_epoch(model, optimizer, clips, small, epoch, notes.enter(), notes.step)
        predicted = evaluate(model, small, clips, told)
        return {
            "format": FORMAT,
            "start": start,
            "clips": {split: fingerprint[:16] for split, fingerprint in clips.fingerprints.items()},
            "on": _where(device),
            "jumps": any(isinstance(module, MotionSqueeze) for module in model.modules()),
            "exact": exact | _draws(clips),
            "first weights": drawn,
            "rates": {"schedule": _schedule(config), **notes.rates},
            "training": notes.training,
            "gradients": notes.gradients,
            "momentum": _momentum(optimizer),
            "logits": [_row(logits[:CLASSES], digits=5) for logits in predicted.logits],
            "residual": _row([] if predicted.residual is None else [predicted.residual]),
            "bits": _bits(model, predicted),
            "decay": _decay(model, optimizer),  # last: it moves the weights
        }


def record_behaviour(
    run: RunDir,
    config: RunConfig,
    device: torch.device,
    trained_by: RunDir | None,
    on_step: Callable[[int, int], None],
) -> None:
    """Write behaviour.json of a run that begins.

    A run whose miniature fails goes on without: the run itself says what is wrong, if it fails, too.

    Args:
        run: the run.
        config: its config.
        device: where it runs.
        trained_by: the run that has trained its network, where that is another one: by the same code, as far as that
            shows, or there will be no behaviour.json.
        on_step: see `miniature`.
    """
    for name in (BEHAVIOUR, VERIFIED):
        (run.path / name).unlink(missing_ok=True)
    try:
        now = miniature(config, device, on_step=on_step)
        if trained_by is not None and not trained_alike(recorded(trained_by) or {}, now):
            log(f"no {BEHAVIOUR}: {trained_by.path} has trained the network by other code")
            return
        write_json(run.path / BEHAVIOUR, now)
    except Exception as error:  # whatever a user's network raises on few clips
        log(f"no {BEHAVIOUR}: {type(error).__name__}: {error}")


def compressed(config: RunConfig) -> RunConfig:
    """The config of a run's miniature: its schedule on three epochs of two steps."""
    recipe, shorter = config.train, EPOCHS / config.train.epochs
    batch = training_clips(config) // STEPS
    updates = {
        "epochs": EPOCHS,
        "batch_size": batch,
        "device_batch": batch // 2 if recipe.parts > 1 else None,
        "lr": recipe.lr * GENTLY,
        "warmup_epochs": recipe.warmup_epochs * shorter,
        "milestones": tuple(milestone * shorter for milestone in recipe.milestones),
        "clip_norm": recipe.clip_norm and recipe.clip_norm * FELT_NORM,
        "start_from": None,
    }
    train = recipe.model_copy(update=updates)
    return config.model_copy(update={"train": train, "seed": config.seed + SEED})


@contextlib.contextmanager
def _generators_kept(device: torch.device) -> Iterator[None]:
    kept = generators(device)
    try:
        yield
    finally:
        set_generators(kept, device)


class NotedClips(ClipDataset):
    """Clips whose draws are noted as they are read."""

    def __init__(self, *arguments: Any) -> None:
        """As ClipDataset."""
        super().__init__(*arguments)
        self.order, self.sampled, self.cut = list[str](), list[str](), list[str]()
        self._wanted = np.zeros(0, np.int64)

    def _read(self, index: int, wanted: NDArray[np.int64]) -> NDArray[np.uint8]:
        self._wanted = wanted
        return super()._read(index, wanted)

    def _train(self, index: int) -> tuple[NDArray[np.uint8], View, Tensor]:
        return self._noted(index, super()._train(index))

    def _eval(self, index: int) -> tuple[NDArray[np.uint8], View, Tensor]:
        return self._noted(index, super()._eval(index))

    def _noted(
        self, index: int, given: tuple[NDArray[np.uint8], View, Tensor]
    ) -> tuple[NDArray[np.uint8], View, Tensor]:
        _, view, order = given
        boxes = (f"{box.height}x{box.width}+{box.top}+{box.left}{' mirrored' * box.flip}" for box in view.boxes)
        self.order.append(str(index))
        self.sampled.append(" | ".join(" ".join(map(str, row)) for row in self._wanted[order.numpy()].tolist()))
        self.cut.append(f"{[*view.sizes]} {', '.join(boxes)} to {view.side}")
        return given


def _network(config: RunConfig, device: torch.device, clips: RunClips, start: str) -> tuple[nn.Module, str]:
    """The network, and what it starts from: `own` or `drawn`."""
    shapes = clips.training.shape, clips.evaluation.shape[1:]
    if getattr(config.model, "pretrained", None) is not None:
        if start != "drawn":
            with contextlib.suppress(PretrainedWeightsError):
                return initial_network(config, device, *shapes), start
        config = config.model_copy(update={"model": config.model.model_copy(update={"pretrained": None})})
    return initial_network(config, device, *shapes), "drawn"


def _wake(model: nn.Module, optimizer: Sgd | AdamW, config: RunConfig) -> None:
    """Draw anew what would hide a mistake or is another on every machine."""
    if config.representation == "flownet":  # its weights are trained where there are none
        _draw(list(model.get_submodule("representation").parameters()), config.seed)
    # A classifier begins so small that its biases, which are woken as well, would be all that is seen.
    of = {group["role"]: group["params"] for group in optimizer.param_groups}
    classifiers = of.get("classifier_weight", [])
    _draw([*classifiers, *(p for p in model.parameters() if not p.any())], config.seed + 1)


@torch.no_grad()
def _settle(model: nn.Module, config: RunConfig, clips: RunClips, device: torch.device) -> None:
    """Give batch normalisation the statistics of some clips: from zero and one a deep network says nothing yet."""
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    count = config.train.batch_size
    item = next(iter(clips.batches(clips.training, count, range(count))))
    seed_all(config.seed)
    with autocast(device, config.train.precision):
        model.train()(normalise(item.frames.to(device), config.data.normalisation))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


@torch.no_grad()
def _draw(parameters: Sequence[Tensor], seed: int) -> None:
    """Give parameters other values: small ones, or for kernels such that activations keep their size."""
    source = torch.Generator().manual_seed(seed)
    for parameter in parameters:
        deviation = WAKING if parameter.dim() < 2 else min(WAKING, (2 / parameter[0].numel()) ** 0.5)
        drawn = torch.randn(parameter.shape, dtype=torch.float64, generator=source) * deviation
        parameter.copy_(drawn)


class _Notes:
    """What the steps of a training come to."""

    def __init__(self, optimizer: Sgd | AdamW, told: Callable[[int, int], None]) -> None:
        self._optimizer, self._state, self._told = optimizer, EpochState(), told
        self._groups: dict[str, list[float]] = {group["role"]: [] for group in optimizer.param_groups}
        self._steps, self._alphas = list[tuple[float, ...]](), list[float]()
        self._gradients: dict[str, list[float]] = {role: [] for role in self._groups}
        self._step = optimizer.step
        # Rates are what they are when the weights are moved.
        setattr(optimizer, "step", self._note_rates)  # noqa: B010 - a method

    def _note_rates(self) -> None:
        for role, flat in _gradients(self._optimizer).items():
            self._gradients[role].append(float(flat.norm()))
        for group in self._optimizer.param_groups:
            self._groups[group["role"]].append(group["lr"])
        self._step()

    def enter(self) -> EpochState:
        """The state of an epoch that begins, to be kept up to date."""
        self._state = EpochState()
        return self._state

    def step(self, done: int, steps: int) -> None:
        """After a step."""
        assert self._state.finite is not None
        self._steps.append(tuple(self._state.finite.tolist()[1:]))
        self._alphas.append(self._state.alpha / self._state.clips)
        self._told(done, steps)

    @property
    def rates(self) -> dict[str, str]:
        """Learning rates by group and step."""
        return {role: _row(rates) for role, rates in self._groups.items()}

    @property
    def gradients(self) -> dict[str, str]:
        """Lengths by group and step."""
        return {role: _row(lengths, digits=4) for role, lengths in self._gradients.items()}

    @property
    def training(self) -> dict[str, str]:
        """By step: loss, projection loss, norm of the gradient and mean weight of the projection loss."""
        losses, residuals, gradients = zip(*self._steps, strict=True)
        columns = {"loss": losses, "projection loss": residuals, "gradient": gradients, "alpha": self._alphas}
        return {name: _row(values) for name, values in columns.items() if any(values)}


def _row(values: Any, digits: int = 6) -> str:
    """Numbers as a text: a JSON file has a line for each of a list."""
    return " ".join(f"{value:.{digits}g}" for value in values)


def _where(device: torch.device) -> dict[str, str]:
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else instruction_set()
    found = versions()
    return {"kind": device.type, "device": where, **{name: found[name] for name in NUMBERS_DEPEND_ON}}


def _sizes(model: nn.Module, optimizer: Sgd | AdamW) -> dict[str, str]:
    sizes = {group["role"]: len(group["params"]) for group in optimizer.param_groups}
    return {
        "parameters": str(sum(parameter.numel() for parameter in model.parameters())),
        "groups": ", ".join(f"{count} {role}" for role, count in sizes.items()),
    }


def _lengths(optimizer: Sgd | AdamW) -> dict[str, float]:
    """Of the weights as they are drawn, by group."""
    return {role: _rounded(weights.norm()) for role, weights in _flat_groups(optimizer).items()}


def _momentum(optimizer: Sgd | AdamW) -> dict[str, float]:
    """Length of what the optimiser has summed up of the gradients, by group."""
    name = "exp_avg" if isinstance(optimizer, AdamW) else "momentum_buffer"
    summed = {
        group["role"]: [optimizer.state[p][name] for p in group["params"] if p in optimizer.state]
        for group in optimizer.param_groups
    }
    return {role: _rounded(_flat(buffers).norm()) if buffers else 0.0 for role, buffers in summed.items()}


def _draws(clips: RunClips) -> dict[str, str]:
    training, evaluation = clips.training, clips.evaluation
    assert isinstance(training, NotedClips)
    assert isinstance(evaluation, NotedClips)
    return {
        "order of clips": _listed(training.order),
        "frames in training": _listed(training.sampled),
        "crops in training": _listed(training.cut),
        "frames in evaluation": _listed(evaluation.sampled),
        "crops in evaluation": _listed(evaluation.cut),
    }


def _listed(notes: list[str]) -> str:
    """Notes by their digest, and the first of them, as far as they are short."""
    digest = hashlib.sha256("\n".join(notes).encode()).hexdigest()[:12]
    shown = "; ".join(notes)
    return f"{digest}: {shown[:SHOWN]}{'...' * (len(shown) > SHOWN)}"


def _schedule(config: RunConfig) -> str:
    """Rates of the run's own schedule, at points spread over its epochs and within its warm-up."""
    epochs, warmup = config.train.epochs, config.train.warmup_epochs
    points = [epochs * i / SCHEDULE_POINTS for i in range(SCHEDULE_POINTS)]
    return _row(lr_at(point, config.train) for point in [*points, warmup / 3, 2 * warmup / 3])


@torch.no_grad()
def _decay(model: nn.Module, optimizer: Sgd | AdamW) -> dict[str, float]:
    """By group: how much a step without a gradient shortens the weights, relative to their length, at rate 1."""
    optimizer.state.clear()
    set_lr(optimizer, 1.0)
    before = _flat_groups(optimizer)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
    optimizer.step()
    after = _flat_groups(optimizer)
    return {role: _rounded((old - after[role]).norm() / old.norm()) for role, old in before.items()}


def _flat_groups(optimizer: Sgd | AdamW) -> dict[str, Tensor]:
    return {group["role"]: _flat(group["params"]) for group in optimizer.param_groups}


def _gradients(optimizer: Sgd | AdamW) -> dict[str, Tensor]:
    """By group, as the optimiser sees them: cut to their limit."""
    return {
        group["role"]: _flat([torch.zeros_like(p) if p.grad is None else p.grad for p in group["params"]])
        for group in optimizer.param_groups
    }


def _flat(parameters: Sequence[Tensor]) -> Tensor:
    """All of them as one vector, in double precision."""
    return torch.cat([parameter.detach().double().flatten() for parameter in parameters])


def _rounded(value: Tensor) -> float:
    return float(f"{value.item():.6g}")


def _bits(model: nn.Module, predicted: Predicted) -> dict[str, str]:
    """What distinguishes all weights after the training, and all logits, to the last bit."""
    logits = predicted.logits.tobytes() + repr(predicted.residual).encode()
    return {"weights": digest_of(model.state_dict())[:16], "logits": hashlib.sha256(logits).hexdigest()[:16]}
