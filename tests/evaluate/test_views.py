"""What is averaged over views, on numbers that can be worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmark.data.loader import Item
from benchmark.evaluate.views import average_over_views, predict


class Mean(nn.Module):
    """Logits are an affine map of the clip's mean pixel."""

    has_residual: bool
    residual: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.mean((1, 2, 3, 4)).unsqueeze(1))


def batch(values: list[list[int]], labels: list[int], readable: list[bool], first: int = 0) -> Item:
    """Clips of one 2 x 2 frame per view, each of one grey value."""
    frames = torch.tensor(values, dtype=torch.uint8)[:, :, None, None, None, None].expand(-1, -1, 1, 3, 2, 2)
    return Item(frames, torch.tensor(labels), torch.arange(first, first + len(labels)), torch.tensor(readable))


def test_predictions_average_the_views_and_leave_unreadable_clips_without_one() -> None:
    model = Mean()
    items = [batch([[0, 200], [50, 50]], [0, 1], [True, False]), batch([[10, 30]], [1], [True], first=2)]
    predicted = predict(model, items, 3, 2, 2, "fp32", lambda a, b: None)
    logits = predicted.logits
    assert predicted.residual is None
    assert predicted.readable.tolist() == [True, False, True]
    assert np.isnan(logits[1]).all()
    single = predict(model, [batch([[100]], [0], [True])], 1, 2, 1, "fp32", lambda a, b: None).logits
    # The map is affine: the mean of views is the view of the mean.
    assert logits[0] == pytest.approx(single[0], abs=1e-5)


def test_logits_or_probabilities_are_averaged() -> None:
    of_two_views = torch.tensor([[[0.0, math.log(3)], [math.log(9), 0.0]]])  # probabilities 1/4, 3/4 and 9/10, 1/10
    assert average_over_views(of_two_views, "logits")[0].tolist() == pytest.approx([math.log(3), math.log(3) / 2])
    assert average_over_views(of_two_views, "probabilities").exp()[0].tolist() == pytest.approx([0.575, 0.425])


def test_the_projection_loss_is_the_mean_over_clips_of_batches_of_any_size() -> None:
    model = Mean()
    model.has_residual = True
    items = [batch([[9]] * 3, [0] * 3, [True] * 3), batch([[9]], [0], [True], first=3)]

    def lose(step: int, steps: int) -> None:
        model.residual = torch.tensor(5.0)

    model.residual = torch.tensor(1.0)
    assert predict(model, items, 4, 2, 2, "fp32", lose).residual == (3 * 1.0 + 5.0) / 4


def test_evaluation_leaves_no_unit_out() -> None:
    model = nn.Sequential(Mean(), nn.Dropout(0.5)).train()
    first, again = (predict(model, [batch([[9] * 8], [0], [True])], 1, 2, 1, "fp32", lambda a, b: None) for _ in "ab")
    assert first.logits == pytest.approx(again.logits)
    assert not model.training
