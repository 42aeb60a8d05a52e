from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor, nn

from benchmark.train.joint import JointGradient, mgda_alpha, scheduler_alpha


class TwoPart(nn.Module):
    """A representation with a residual loss of its own, and a classifier behind it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.representation, self.fc = nn.Linear(6, 5), nn.Linear(5, 3)
        self.x, self.labels = torch.randn(8, 6), torch.randint(3, (8,))

    def losses(self) -> tuple[Tensor, Tensor]:
        z = torch.tanh(self.representation(self.x))
        return (z - 0.3).square().mean(), nn.functional.cross_entropy(self.fc(z), self.labels)

    def parts(self) -> tuple[list[Tensor], list[Tensor]]:
        return list(self.representation.parameters()), list(self.fc.parameters())


def backward(
    l1: Tensor, l2: Tensor, theta1: list[Tensor], theta2: list[Tensor], strategy: str, **settings: Any
) -> float:
    """A batch in one part."""
    gradient = JointGradient(theta1, theta2, strategy, **settings)
    gradient.add(l1, l2)
    return gradient.finish()


def explicit(model: TwoPart) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Gradients of L1 and of L2 of the representation, and of L2 of the rest."""
    theta1, theta2 = model.parts()
    l1, l2 = model.losses()
    g1 = list(torch.autograd.grad(l1, theta1, retain_graph=True))
    g2 = list(torch.autograd.grad(l2, [*theta1, *theta2]))
    return g1, g2[:2], g2[2:]


def gradients(parameters: list[Tensor]) -> list[Tensor]:
    assert all(p.grad is not None for p in parameters)
    return [p.grad for p in parameters if p.grad is not None]


def test_constant_and_scheduler_minimise_the_weighted_sum_over_everything() -> None:
    for strategy, weight in (("constant", 0.9), ("scheduler", scheduler_alpha(30, 100, 0.2, 0.4))):
        model = TwoPart()
        g1, g2, rest = explicit(model)
        theta1, theta2 = model.parts()
        schedule: dict[str, Any] = {"gamma": 0.2, "lam": 0.4, "step": 30, "total": 100}
        alpha = backward(*model.losses(), theta1, theta2, strategy, alpha=0.9, **schedule)
        assert alpha == weight
        expected = [weight * a + (1 - weight) * b for a, b in zip(g1, g2, strict=True)]
        torch.testing.assert_close(gradients(theta1), expected)
        torch.testing.assert_close(gradients(theta2), [(1 - weight) * b for b in rest])


def test_constant_0_is_recognition_alone() -> None:
    model = TwoPart()
    _, g2, rest = explicit(model)
    theta1, theta2 = model.parts()
    assert backward(*model.losses(), theta1, theta2, "constant", alpha=0) == 0
    torch.testing.assert_close(gradients(theta1), g2)
    torch.testing.assert_close(gradients(theta2), rest)


def test_separate_gives_each_part_its_own_loss() -> None:
    model = TwoPart()
    g1, _, rest = explicit(model)
    theta1, theta2 = model.parts()
    assert backward(*model.losses(), theta1, theta2, "separate") == 1
    torch.testing.assert_close(gradients(theta1), g1)
    torch.testing.assert_close(gradients(theta2), rest)


def test_mgda_combines_the_representation_and_leaves_the_rest_unscaled() -> None:
    model = TwoPart()
    g1, g2, rest = explicit(model)
    theta1, theta2 = model.parts()
    alpha = backward(*model.losses(), theta1, theta2, "mgda")
    flat1, flat2 = (torch.cat([g.flatten() for g in part]).double().numpy() for part in (g1, g2))
    by_search = minimize_scalar(lambda a: np.sum((a * flat1 + (1 - a) * flat2) ** 2), bounds=(0, 1), method="bounded")
    assert 0 < alpha < 1
    assert alpha == pytest.approx(by_search.x, abs=1e-5)
    torch.testing.assert_close(gradients(theta1), [alpha * a + (1 - alpha) * b for a, b in zip(g1, g2, strict=True)])
    torch.testing.assert_close(gradients(theta2), rest)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("ratio", [1e-3, 0.5, 1.0, 30.0])
def test_mgda_alpha_is_the_minimiser_on_the_interval(seed: int, ratio: float) -> None:
    rng = np.random.default_rng(seed)
    g1, g2 = rng.normal(size=7), ratio * rng.normal(size=7)
    alpha = mgda_alpha([torch.tensor(g1[:3]), torch.tensor(g1[3:])], [torch.tensor(g2[:3]), torch.tensor(g2[3:])])
    grid = np.linspace(0, 1, 10_001)
    norms = np.linalg.norm(grid[:, None] * g1 + (1 - grid[:, None]) * g2, axis=1)
    assert abs(alpha - grid[norms.argmin()]) <= 1e-4
    assert np.linalg.norm(alpha * g1 + (1 - alpha) * g2) <= norms.min() + 1e-12


@pytest.mark.parametrize(
    ("g1", "g2", "alpha"),
    [
        ([1.0, 0.0], [0.0, 1.0], 0.5),
        ([1.0, 0.0], [3.0, 0.0], 1.0),
        ([3.0, 0.0], [1.0, 0.0], 0.0),
        ([1.0, 0.0], [-3.0, 0.0], 0.75),
        ([2.0, 5.0], [2.0, 5.0], 0.5),
        ([0.0, 0.0], [0.0, 0.0], 0.5),
        ([0.0, 0.0], [1.0, 0.0], 1.0),
    ],
)
def test_mgda_alpha_where_it_is_known(g1: list[float], g2: list[float], alpha: float) -> None:
    assert mgda_alpha([torch.tensor(g1)], [torch.tensor(g2)]) == alpha


def test_the_combined_direction_lowers_both_losses() -> None:
    model = TwoPart()
    theta1, theta2 = model.parts()
    before = [loss.item() for loss in model.losses()]
    backward(*model.losses(), theta1, theta2, "mgda")
    with torch.no_grad():
        for parameter, gradient in zip(theta1, gradients(theta1), strict=True):
            parameter -= 1e-3 * gradient
    after = [loss.item() for loss in model.losses()]
    assert after[0] < before[0]
    assert after[1] < before[1]


@pytest.mark.parametrize("strategy", ["separate", "constant", "scheduler", "mgda"])
def test_unused_and_frozen_parameters_are_left_alone(strategy: str) -> None:
    model = TwoPart()
    theta1, theta2 = model.parts()
    unused, frozen = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2), requires_grad=False)
    backward(*model.losses(), [*theta1, unused, frozen], [*theta2, unused, frozen], strategy)
    assert unused.grad is None
    assert frozen.grad is None
    assert len(gradients([*theta1, *theta2])) == 4


@pytest.mark.parametrize("strategy", ["separate", "constant", "mgda"])
def test_gradients_add_up(strategy: str) -> None:
    model = TwoPart()
    theta1, theta2 = model.parts()
    backward(*model.losses(), theta1, theta2, strategy)
    once = [g.clone() for g in gradients([*theta1, *theta2])]
    backward(*model.losses(), theta1, theta2, strategy)
    torch.testing.assert_close(gradients([*theta1, *theta2]), [2 * g for g in once])


@pytest.mark.parametrize(("gamma", "lam"), [(0.1, 0.1), (0.2, 0.1), (0.2, 0.3), (0.5, 0.3)])
@pytest.mark.parametrize("total", [100, 10_000])
def test_scheduler_has_its_end_points_and_falls_without_a_jump(gamma: float, lam: float, total: int) -> None:
    assert scheduler_alpha(1, total, gamma, lam) == pytest.approx(1)
    assert scheduler_alpha(round(gamma * total), total, gamma, lam) == pytest.approx(lam)
    assert scheduler_alpha(total, total, gamma, lam) == pytest.approx(0, abs=1e-12)
    values = [scheduler_alpha(m, total, gamma, lam) for m in range(1, total + 1)]
    assert all(later <= earlier + 1e-12 for earlier, later in itertools.pairwise(values))
    turn = round(gamma * total)
    assert values[turn - 2] - values[turn - 1] < 0.2 / turn**0.5


def test_scheduler_follows_the_first_branch_as_printed_in_the_thesis() -> None:
    total, gamma, lam = 10_000, 0.1, 0.1
    base = (gamma * total) ** (math.pi / math.acos(2 * lam - 1))
    for m in (1, 2, 17, 400, 999):
        printed = 0.5 * (1 + math.cos(math.pi * math.log(m, base)))
        assert scheduler_alpha(m, total, gamma, lam) == pytest.approx(printed)


@pytest.mark.parametrize("lam", [0.0, 1.0])
def test_scheduler_at_the_extremes_of_lambda(lam: float) -> None:
    values = [scheduler_alpha(m, 50, 0.4, lam) for m in range(1, 51)]
    assert values[19] == pytest.approx(lam)
    assert all(0 <= value <= 1 for value in values)


def test_scheduler_of_a_training_shorter_than_its_first_branch() -> None:
    assert [scheduler_alpha(m, 3, 0.1, 0.3) for m in (1, 3)][-1] == pytest.approx(0, abs=1e-12)
    assert scheduler_alpha(1, 1, 0.1, 0.3) == pytest.approx(0, abs=1e-12)


def test_refusals() -> None:
    model = TwoPart()
    with pytest.raises(ValueError, match="none of separate"):
        backward(*model.losses(), [], [], "sum")
    with pytest.raises(ValueError, match="alpha"):
        backward(*model.losses(), *model.parts(), "constant", alpha=1.5)
    for step, gamma, lam in ((0, 0.5, 0.5), (11, 0.5, 0.5), (1, 1.0, 0.5), (1, 0.5, 1.1)):
        with pytest.raises(ValueError, match="must be"):
            scheduler_alpha(step, 10, gamma, lam)


@pytest.mark.parametrize("strategy", ["constant", "scheduler", "separate", "mgda"])
def test_a_batch_in_parts_has_the_gradient_of_the_batch(strategy: str) -> None:
    """Parts of 3 and 5 clips of 8, each with its share; alpha is the whole batch's, not a mean of the parts'."""
    settings: dict[str, Any] = {"alpha": 0.7, "gamma": 0.2, "lam": 0.4, "step": 30, "total": 100}
    whole, parted = TwoPart(), TwoPart()
    weight = backward(*whole.losses(), *whole.parts(), strategy, **settings)
    gradient = JointGradient(*parted.parts(), strategy, **settings)
    x, labels = parted.x, parted.labels
    for part in (slice(0, 3), slice(3, 8)):
        parted.x, parted.labels = x[part], labels[part]
        l1, l2 = parted.losses()
        gradient.add(l1 * len(parted.x) / 8, l2 * len(parted.x) / 8)
    assert gradient.finish() == pytest.approx(weight, rel=1e-5)
    for ours, theirs in zip(parted.parts(), whole.parts(), strict=True):
        torch.testing.assert_close(gradients(ours), gradients(theirs))
