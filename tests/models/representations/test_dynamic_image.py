from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmark.cost.counters import count_network
from benchmark.models.representations.dynamic_image import DynamicImage, rank_pooling_weights


def by_harmonic_numbers(n: int) -> list[float]:
    """The closed form with harmonic numbers, a formula of its own."""

    def harmonic(k: int) -> float:
        return sum(1 / j for j in range(1, k + 1))

    return [2 * (n - i + 1) - (n + 1) * (harmonic(n) - harmonic(i - 1)) for i in range(1, n + 1)]


def by_ranking_running_means(clip: np.ndarray) -> np.ndarray:
    """Minus the gradient at d = 0 of sum over q > t of max(0, 1 - S_q + S_t), where S_t = <d, mean of x_1..x_t>."""
    means = [clip[: t + 1].mean(0) for t in range(len(clip))]
    total = np.zeros_like(clip[0])
    for t in range(len(clip)):
        for q in range(t + 1, len(clip)):
            total += means[q] - means[t]
    return total


@pytest.mark.parametrize(
    ("frames", "known"),
    [
        (6, [-5.15, -0.15, 1.35, 1.6833, 1.4333, 0.8333]),
        (10, [-12.2187, -3.2187, 0.2813, 1.9480, 2.6980, 2.8980, 2.7313, 2.3028, 1.6778, 0.9]),
    ],
)
def test_weights_have_the_known_values(frames: int, known: list[float]) -> None:
    np.testing.assert_allclose(rank_pooling_weights(frames), known, atol=1e-4)


@pytest.mark.parametrize("frames", [2, 3, 7, 64])
def test_weights_equal_the_harmonic_form_and_sum_to_zero(frames: int) -> None:
    weights = rank_pooling_weights(frames)
    np.testing.assert_allclose(weights, by_harmonic_numbers(frames), atol=1e-10)
    assert sum(weights) == pytest.approx(0, abs=1e-10)


def test_equals_the_ranking_of_running_means() -> None:
    x = torch.randn(2, 6, 3, 4, 5, dtype=torch.float64)
    expected = np.stack([0.1 * by_ranking_running_means(clip) for clip in x.numpy()])
    np.testing.assert_allclose(DynamicImage(6, 0.1)(x).numpy(), expected, atol=1e-12)


def test_static_clip_gives_nothing_and_the_mean_does_not_matter() -> None:
    module = DynamicImage(6, 0.1)
    still = torch.randn(2, 1, 3, 8, 8)
    assert module(still.expand(-1, 6, -1, -1, -1)).abs().max() < 1e-5
    moving = torch.randn(2, 6, 3, 8, 8)
    torch.testing.assert_close(module(moving + still), module(moving), atol=1e-5, rtol=1e-5)


def test_static_clip_gives_nothing_in_bfloat16() -> None:
    still = torch.randn(2, 1, 3, 8, 8).bfloat16().expand(-1, 6, -1, -1, -1)
    out = DynamicImage(6, 0.1)(still)
    assert out.dtype == torch.bfloat16
    assert out.abs().max() < 1e-5


def test_reversed_clips_differ() -> None:
    x = torch.randn(1, 6, 3, 8, 8)
    module = DynamicImage(6)
    assert (module(x) - module(x.flip(1))).abs().max() > 0.1


def test_gradient_is_the_weights() -> None:
    x = torch.randn(1, 6, 3, 2, 2, requires_grad=True)
    DynamicImage(6, 0.5)(x).sum().backward()
    assert x.grad is not None
    expected = 0.5 * torch.tensor(rank_pooling_weights(6)).float()
    torch.testing.assert_close(x.grad[0, :, 0, 0, 0], expected)


def test_has_no_parameters_and_the_formula_of_multiplications() -> None:
    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.representation = DynamicImage(6)

        def forward(self, x: Tensor) -> Tensor:
            return self.representation(x.unflatten(1, (-1, 6)).flatten(0, 1))

    record = count_network(Whole(), (1, 12, 3, 32, 32))
    assert (record.macs, record.params) == (0, 0)
    (multiplications,) = (entry for entry in record.uncounted if entry.operator == "mul")
    assert multiplications.elements == 2 * 6 * 3 * 32 * 32
    assert not DynamicImage(6).state_dict()


def test_refuses_what_has_no_order() -> None:
    with pytest.raises(ValueError, match="two frames"):
        DynamicImage(1)
    with pytest.raises(ValueError, match="expected 6 frames, got 5"):
        DynamicImage(6)(torch.zeros(1, 5, 3, 4, 4))
