"""The loop on a network whose arithmetic can be done by hand: views, unreadable clips, divergence."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmark.config.run import TrainConfig
from benchmark.data.loader import Item
from benchmark.train.loop import DivergedError, NoClipsError, predict, train_epoch
from benchmark.train.optim import make_optimizer

RECIPE = TrainConfig(epochs=2, warmup_epochs=0, lr=0.1, param_groups="plain", label_smoothing=0.0)


class Mean(nn.Module):
    """Logits are an affine map of the clip's mean pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.mean((1, 2, 3, 4)).unsqueeze(1))


def batch(values: list[list[int]], labels: list[int], readable: list[bool], first: int = 0) -> Item:
    """Clips of one 2 x 2 frame per view, each of one grey value."""
    frames = torch.tensor(values, dtype=torch.uint8)[:, :, None, None, None, None].expand(-1, -1, 1, 3, 2, 2)
    return Item(frames, torch.tensor(labels), torch.arange(first, first + len(labels)), torch.tensor(readable))


def train(items: list[Item], model: nn.Module, **changes: Any) -> Any:
    recipe = RECIPE.model_copy(update=changes)
    squeezed = [item._replace(frames=item.frames[:, 0]) for item in items]
    steps: list[tuple[int, int]] = []
    optimizer = make_optimizer(model, recipe)
    summary = train_epoch(model, optimizer, squeezed, len(items), 0, recipe, lambda a, b: steps.append((a, b)))
    assert steps[-1] == (len(items), len(items))
    return summary


def test_predictions_average_the_views_and_leave_unreadable_clips_without_one() -> None:
    model = Mean()
    items = [batch([[0, 200], [50, 50]], [0, 1], [True, False]), batch([[10, 30]], [1], [True], first=2)]
    predicted = predict(model, items, 3, 2, 2, "fp32", lambda a, b: None)
    logits = predicted.logits
    assert predicted.residual is None
    assert predicted.readable.tolist() == [True, False, True]
    assert np.isnan(logits[1]).all()
    single = predict(model, [batch([[100]], [0], [True])], 1, 2, 1, "fp32", lambda a, b: None).logits
    assert logits[0] == pytest.approx(
        single[0], abs=1e-5
    )  # the map is affine: the mean of views is the view of the mean


def test_an_unreadable_clip_changes_nothing_but_the_count() -> None:
    torch.manual_seed(0)
    one, two = Mean(), Mean()
    two.load_state_dict(one.state_dict())
    with_it = train([batch([[0], [99], [200]], [0, 1, 1], [True, False, True])], one)
    without = train([batch([[0], [200]], [0, 1], [True, True])], two)
    assert (with_it.unreadable, with_it.clips, without.unreadable) == (1, 2, 0)
    assert with_it.loss == pytest.approx(without.loss)
    assert torch.equal(one.fc.weight, two.fc.weight)


def test_a_batch_of_one_is_trained_on() -> None:
    model = Mean()
    before = model.fc.weight.clone()
    assert train([batch([[9]], [1], [True])], model).clips == 1
    assert not torch.equal(before, model.fc.weight)


def test_the_loss_is_smoothed_as_said() -> None:
    model = Mean()
    nn.init.zeros_(model.fc.weight)
    with torch.no_grad():
        model.fc.bias.copy_(torch.tensor([2.0, 0.0]))
    wrong, right = np.log(1 + np.exp(2.0)), np.log(1 + np.exp(-2.0))
    smoothed = train([batch([[0]], [0], [True])], model, label_smoothing=0.1)
    assert smoothed.loss == pytest.approx(0.9 * right + 0.1 * (right + wrong) / 2, rel=1e-5)


def test_a_loss_that_is_not_finite_and_an_epoch_without_clips_stop_the_run() -> None:
    model = Mean()
    with pytest.raises(NoClipsError, match="none of the 1 training clips"):
        train([batch([[9]], [1], [False])], model)
    nn.init.constant_(model.fc.weight, float("nan"))
    with pytest.raises(DivergedError, match="the loss is nan at epoch 1, step 1"):
        train([batch([[9]], [1], [True])], model)
