"""The loop on a network whose arithmetic can be done by hand: unreadable clips, smoothing, divergence."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmark.config.run import TrainConfig
from benchmark.data.loader import Item
from benchmark.train.finite import DivergedError, look, watch
from benchmark.train.loop import NoClipsError, train_epoch
from benchmark.train.optim import lr_at, make_optimizer

RECIPE = TrainConfig(epochs=2, warmup_epochs=0, lr=0.1, param_groups="plain", label_smoothing=0.0)


class Mean(nn.Module):
    """Logits are an affine map of the clip's mean pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.mean((1, 2, 3, 4)).unsqueeze(1))


def batch(values: list[int], labels: list[int], readable: list[bool]) -> Item:
    """Clips of one 2 x 2 frame, each of one grey value."""
    frames = torch.tensor(values, dtype=torch.uint8)[:, None, None, None, None].expand(-1, 1, 3, 2, 2)
    return Item(frames, torch.tensor(labels), torch.arange(len(labels)), torch.tensor(readable))


def train(items: list[Item], model: nn.Module, epoch: int = 0, **changes: Any) -> Any:
    recipe = RECIPE.model_copy(update={"batch_size": 1, **changes})
    done: list[tuple[int, int]] = []
    optimizer, steps = make_optimizer(model, recipe), len(items) // recipe.parts
    summary = train_epoch(model, optimizer, items, steps, epoch, recipe, lambda a, b: done.append((a, b)))
    assert done[-1] == (steps, steps)
    return summary


def test_an_unreadable_clip_changes_nothing_but_the_count() -> None:
    torch.manual_seed(0)
    one, two = Mean(), Mean()
    two.load_state_dict(one.state_dict())
    with_it = train([batch([0, 99, 200], [0, 1, 1], [True, False, True])], one)
    without = train([batch([0, 200], [0, 1], [True, True])], two)
    assert (with_it.unreadable, with_it.clips, without.unreadable) == (1, 2, 0)
    assert with_it.loss == pytest.approx(without.loss)
    assert torch.equal(one.fc.weight, two.fc.weight)


def test_a_batch_of_one_is_trained_on() -> None:
    model = Mean()
    before = model.fc.weight.clone()
    assert train([batch([9], [1], [True])], model).clips == 1
    assert not torch.equal(before, model.fc.weight)


def test_the_loss_is_smoothed_as_said() -> None:
    model = Mean()
    nn.init.zeros_(model.fc.weight)
    with torch.no_grad():
        model.fc.bias.copy_(torch.tensor([2.0, 0.0]))
    wrong, right = np.log(1 + np.exp(2.0)), np.log(1 + np.exp(-2.0))
    smoothed = train([batch([0], [0], [True])], model, label_smoothing=0.1)
    assert smoothed.loss == pytest.approx(0.9 * right + 0.1 * (right + wrong) / 2, rel=1e-5)


def test_a_loss_that_is_not_finite_and_an_epoch_without_clips_stop_the_run() -> None:
    model = Mean()
    with pytest.raises(NoClipsError, match="none of the 1 training clips"):
        train([batch([9], [1], [False])], model)
    nn.init.constant_(model.fc.weight, float("nan"))
    with pytest.raises(DivergedError, match="the loss is nan at epoch 1, step 1"):
        train([batch([9], [1], [True])], model)


def test_the_rate_follows_its_schedule_within_an_epoch() -> None:
    items = [batch([9], [1], [True])] * 4
    assert train(items, Mean(), epoch=1).lr == pytest.approx(lr_at(1.75, RECIPE))


def test_the_step_is_no_longer_than_the_gradient_may_be() -> None:
    plain: dict[str, Any] = {"lr": 1.0, "momentum": 0.0, "weight_decay": 0.0, "schedule": "step"}
    for limit, length in ((0.125, 0.125), (1e3, None)):
        model = Mean()
        nn.init.zeros_(model.fc.weight)
        nn.init.zeros_(model.fc.bias)
        train([batch([255], [0], [True])], model, clip_norm=limit, **plain)
        moved = torch.cat([p.detach().flatten() for p in model.parameters()]).norm().item()
        assert moved == pytest.approx(length, rel=1e-4) if length else moved > 0.7


def test_frozen_normalisation_stays_frozen_in_later_epochs() -> None:
    model = nn.Sequential(nn.Flatten(0, 1), nn.BatchNorm2d(3), nn.BatchNorm2d(3), nn.Unflatten(0, (-1, 1)), Mean())
    for epoch in (0, 1):
        train([batch([0, 200], [0, 1], [True, True])], model, epoch, partial_bn=True)
        assert [model.state_dict()[f"{norm}.num_batches_tracked"].item() for norm in (1, 2)] == [epoch + 1, 0]


class Residual(Mean):
    """A projection loss of the square of a parameter that nothing else needs."""

    has_residual = True

    def __init__(self) -> None:
        super().__init__()
        self.alone = nn.Parameter(torch.tensor([2.0]))

    @property
    def residual(self) -> Tensor:
        return self.alone.square().sum()


def test_the_projection_loss_has_the_weight_that_the_recipe_says() -> None:
    model = Residual()
    recipe: dict[str, Any] = {"residual_weight": 0.25, "momentum": 0.0, "weight_decay": 0.0, "clip_norm": None}
    summary = train([batch([9], [1], [True])], model, **recipe)
    assert (summary.residual, summary.alpha) == (4.0, 0.25)
    assert model.alone.item() == pytest.approx(2.0 - 0.1 * 0.25 * 4.0)
    parted, items = Residual(), [batch([9], [1], [True])] * 2
    recipe |= {"batch_size": 2, "device_batch": 1}
    assert train(items, parted, **recipe).residual == 4.0
    assert parted.alone.item() == model.alone.item()


class Fault(Mean):
    """Its forward pass has something wrong with it at the second step."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.calls = kind, 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        logits = super().forward(x)
        if self.calls != 2:
            return logits
        return logits + (logits * 0).sqrt() if self.kind == "gradient" else logits * torch.inf


@pytest.mark.parametrize("clip_norm", [None, 20.0])
def test_a_gradient_of_nan_under_a_finite_loss_stops_the_run(clip_norm: float | None) -> None:
    with pytest.raises(DivergedError, match=r"the gradient is (nan|inf) at epoch 1, step 2, lr 0.0962"):
        train([batch([9], [1], [True])] * 4, Fault("gradient"), clip_norm=clip_norm)


def test_the_first_step_that_is_not_finite_is_named_when_the_device_is_looked_at_later() -> None:
    finite, bad = torch.tensor(1.0), torch.tensor(torch.inf)
    note = watch(None, 1, finite, None, finite)
    for step, loss in ((2, finite), (3, bad), (4, finite), (5, -bad)):
        note = watch(note, step, loss, finite, finite)
    with pytest.raises(DivergedError, match="the loss is inf at epoch 2, step 3, lr"):
        look(note, 1, 10, RECIPE)


def test_a_batch_whose_part_is_infinite_stops_at_its_step() -> None:
    with pytest.raises(DivergedError, match="the loss is nan at epoch 1, step 1"):
        train([batch([9], [1], [True])] * 2, Fault("loss"), batch_size=2, device_batch=1)
