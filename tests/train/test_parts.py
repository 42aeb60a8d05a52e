"""A batch in parts is the papers' batch over several GPUs; an epoch left within goes on as if it had not been."""

import copy
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmark.config.run import TrainConfig
from benchmark.data.loader import Item
from benchmark.data.transforms import normalise
from benchmark.evaluate.views import predict
from benchmark.runs.atomic import write_atomic
from benchmark.train import checkpoint
from benchmark.train.generators import generators
from benchmark.train.loop import train_epoch
from benchmark.train.optim import make_optimizer
from benchmark.train.progress import EpochState, EpochSummary

RECIPE = TrainConfig(
    epochs=2, batch_size=6, device_batch=2, warmup_epochs=0, lr=0.1, param_groups="plain", clip_norm=None
)


class Small(nn.Module):
    """A convolution, batch normalisation unless told otherwise, dropout and a classifier."""

    def __init__(self, norm: bool = True, dropout: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm: nn.Module = nn.BatchNorm2d(4) if norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.norm(self.conv(x.flatten(0, 1))).relu().mean((2, 3))
        return self.fc(self.dropout(maps.unflatten(0, x.shape[:2]).mean(1)))


def clips(count: int, unreadable: tuple[int, ...] = ()) -> Item:
    draw = torch.Generator().manual_seed(5)
    frames = torch.randint(256, (count, 2, 3, 8, 8), generator=draw, dtype=torch.uint8)
    readable = torch.tensor([i not in unreadable for i in range(count)])
    return Item(frames, torch.arange(count) % 3, torch.arange(count), readable)


def parts(item: Item, size: int) -> list[Item]:
    return [Item(*(field[i : i + size] for field in item)) for i in range(0, len(item.label), size)]


def trained(model: nn.Module, batches: Iterable[Item], steps: int, recipe: TrainConfig, **more: Any) -> EpochSummary:
    return train_epoch(
        model, make_optimizer(model, recipe), batches, steps, 0, recipe, more.pop("on_step", lambda a, b: None), **more
    )


@pytest.mark.parametrize("unreadable", [(), (1,), (2, 3), (0, 1, 5)])
def test_parts_make_the_step_of_the_whole_batch(unreadable: tuple[int, ...]) -> None:
    one, other, item = Small(norm=False), Small(norm=False), clips(6, unreadable)
    whole = trained(one, [item], 1, RECIPE.model_copy(update={"device_batch": None}))
    parted = trained(other, parts(item, 2), 1, RECIPE)
    assert (whole.clips, whole.unreadable, whole.top1) == (parted.clips, parted.unreadable, parted.top1)
    assert parted.loss == pytest.approx(whole.loss, rel=1e-6)
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_batch_normalisation_is_that_of_several_devices() -> None:
    """Against a copy for each part: gradients averaged, running statistics those of the first copy."""
    model, item = Small(), clips(6)
    replicas = [copy.deepcopy(model).train() for _ in range(3)]
    for replica, part in zip(replicas, parts(item, 2), strict=True):
        loss = functional.cross_entropy(replica(normalise(part.frames)), part.label, label_smoothing=0.1)
        loss.backward()
    trained(model, parts(item, 2), 1, RECIPE)
    fresh = Small()
    optimizer = make_optimizer(fresh, RECIPE)
    for parameter, *copies in zip(fresh.parameters(), *(r.parameters() for r in replicas), strict=True):
        parameter.grad = torch.stack([c.grad for c in copies if c.grad is not None]).mean(0)
    optimizer.step()
    for a, b in zip(model.parameters(), fresh.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    assert isinstance(model.norm, nn.BatchNorm2d)
    assert isinstance(replicas[0].norm, nn.BatchNorm2d)
    torch.testing.assert_close(model.norm.running_mean, replicas[0].norm.running_mean)
    torch.testing.assert_close(model.norm.running_var, replicas[0].norm.running_var)
    assert model.norm.momentum == 0.1


def test_statistics_are_recorded_though_the_first_part_cannot_be_read() -> None:
    model = Small()
    trained(model, parts(clips(6, (0, 1)), 2), 1, RECIPE)
    assert isinstance(model.norm, nn.BatchNorm2d)
    assert model.norm.running_mean is not None
    assert bool(model.norm.running_mean.any())


@pytest.mark.parametrize("leave_after", [1, 3])
def test_an_epoch_left_within_goes_on_bit_for_bit(leave_after: int, tmp_path: Path) -> None:
    batches, steps, path = parts(clips(24, (4,)), 2), 4, tmp_path / "checkpoint.pt"
    model = Small(dropout=0.5)
    torch.manual_seed(7)
    whole = trained(model, batches, steps, RECIPE)

    class LeftError(Exception):
        pass

    left = Small(dropout=0.5)
    optimizer, state = make_optimizer(left, RECIPE), EpochState()

    def save_and_leave(step: int, steps: int) -> None:
        if step == leave_after:
            state.generators = generators(torch.device("cpu"))
            checkpoint.save(left, optimizer, [], write_atomic, path, state)
            raise LeftError

    torch.manual_seed(7)
    with pytest.raises(LeftError):
        train_epoch(left, optimizer, batches, steps, 0, RECIPE, save_and_leave, state=state)

    again = Small(dropout=0.5)
    optimizer = make_optimizer(again, RECIPE)
    history, within = checkpoint.load(again, optimizer, path)
    assert history == []
    assert within is not None
    assert within.step == leave_after
    torch.manual_seed(99)  # as a process that starts anew has other states
    rest = batches[leave_after * RECIPE.parts :]
    assert train_epoch(again, optimizer, rest, steps, 0, RECIPE, lambda a, b: None, state=within) == whole
    for (name, a), b in zip(model.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_parts_must_fill_a_batch() -> None:
    with pytest.raises(ValueError, match=r"device_batch \(5\) must divide batch_size \(256\)"):
        TrainConfig(device_batch=5)
    assert (TrainConfig().parts, TrainConfig(device_batch=8).parts) == (1, 32)
    small = TrainConfig(batch_size=4, device_batch=8)  # a batch that one device holds
    assert (small.parts, small.clips_at_once) == (1, 4)


def test_a_loader_is_left_at_its_end() -> None:
    """Its processes end by themselves then, instead of being killed."""
    ended = []

    def batches() -> Iterator[Item]:
        yield from parts(clips(12), 2)
        ended.append(True)

    trained(Small(), batches(), 2, RECIPE)
    assert ended == [True]
    with pytest.raises(AssertionError, match="more batches than 1 steps"):
        trained(Small(), iter(parts(clips(12), 2)), 1, RECIPE)


class ThroughError(Exception):
    pass


def leave_at_the_end(step: int, steps: int) -> None:
    if step == steps:
        raise ThroughError


@pytest.mark.parametrize("change", [{}, {"device_batch": None}, {"clip_norm": 20.0}, {"partial_bn": True}])
def test_no_step_waits_for_the_device(change: dict[str, Any]) -> None:
    """On the meta device, whose values can never be read, the steps of an epoch and of an evaluation go through."""
    recipe = RECIPE.model_copy(update=change)
    batches = parts(clips(18, (4,)), recipe.clips_at_once)
    with pytest.raises(ThroughError):
        trained(Small(dropout=0.5).to("meta"), batches, 3, recipe, on_step=leave_at_the_end)
    views = [batch._replace(frames=batch.frames[:, None]) for batch in batches]
    model, steps = Small().to("meta"), len(views)
    with pytest.raises(ThroughError):
        predict(model, views, 18, 3, steps, "fp32", leave_at_the_end)
