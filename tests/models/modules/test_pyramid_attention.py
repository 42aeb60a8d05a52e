from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmark.models.modules.pyramid_attention import PYRAMID, PyramidAttention
from tests.models.modules.costs import of_five_blocks
from tests.models.modules.trained import trained

SMALL = ((1, 1, 1), (3, 3, 3), (1, 3, 5))


def by_loops(block: PyramidAttention, x: Tensor, frames: int) -> Tensor:
    """Eq. 4.10 and 4.11, clip by clip and position by position."""
    y, (height, width) = x.clone(), x.shape[2:]
    kernels = [p[0, 0] for p in block.parameters()]
    for start in range(0, x.shape[0], frames):
        mean = x[start : start + frames].mean(1)
        exponentials = {}
        for t in range(frames):
            for i in range(height):
                for j in range(width):
                    f = 0.0
                    for kernel in kernels:
                        for kt in range(kernel.shape[0]):
                            for ki in range(kernel.shape[1]):
                                for kj in range(kernel.shape[2]):
                                    s = t + kt - kernel.shape[0] // 2
                                    a, b = i + ki - kernel.shape[1] // 2, j + kj - kernel.shape[2] // 2
                                    if 0 <= s < frames and 0 <= a < height and 0 <= b < width:
                                        f += float(kernel[kt, ki, kj] * mean[s, a, b])
                    exponentials[t, i, j] = math.exp(f)
        total = sum(exponentials.values())
        for (t, i, j), value in exponentials.items():
            y[start + t, :, i, j] *= value / total * (len(exponentials) if block.rescale else 1)
    return y


@pytest.mark.parametrize("rescale", [True, False])
@torch.no_grad()
def test_equals_the_equations_by_loops(rescale: bool) -> None:
    block = trained(PyramidAttention(SMALL, rescale)).double()
    x = torch.randn(6, 5, 3, 4, dtype=torch.float64)
    torch.testing.assert_close(block(x, 3), by_loops(block, x, 3))


@pytest.mark.parametrize("shape", [(8, 16, 7, 7), (6, 3, 5, 9), (24, 8, 28, 28)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_is_exactly_the_identity_at_first(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x = torch.randn(shape).to(dtype)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        assert torch.equal(PyramidAttention()(x, shape[0] // 2), x)


def test_the_equation_to_the_letter_takes_the_signal_away() -> None:
    x = torch.randn(8, 4, 28, 28)
    y = PyramidAttention(rescale=False)(x, 8)
    torch.testing.assert_close(y, x / 6272)


def test_weights_average_one_or_sum_to_one() -> None:
    x = torch.randn(6, 5, 3, 4, dtype=torch.float64)
    ones = torch.ones(2, dtype=torch.float64)
    rescaled, literal = (trained(PyramidAttention(rescale=rescale)).double() for rescale in (True, False))
    torch.testing.assert_close(rescaled.attention(x, 3).mean((1, 2, 3)), ones)
    torch.testing.assert_close(literal.attention(x, 3).sum((1, 2, 3)), ones)


def test_the_pyramid_is_one_convolution() -> None:
    pyramid, single = trained(PyramidAttention()).double(), PyramidAttention([(3, 9, 9)]).double()
    (merged,) = single.parameters()
    for (time, height, width), kernel in zip(PYRAMID, pyramid.parameters(), strict=True):
        around = [(9 - width) // 2] * 2 + [(9 - height) // 2] * 2 + [(3 - time) // 2] * 2
        merged.data.add_(F.pad(kernel.detach(), around))
    x = torch.randn(8, 6, 7, 8, dtype=torch.float64)
    torch.testing.assert_close(pyramid(x, 4), single(x, 4))


def test_every_kernel_learns_from_the_first_step() -> None:
    block = PyramidAttention()
    x = torch.randn(8, 16, 9, 9)
    (block(x, 4) * torch.randn_like(x)).sum().backward()
    gradients = [parameter.grad for parameter in block.parameters()]
    for gradient in gradients:
        assert gradient is not None
        assert (gradient != 0).all()
    # The centre of every kernel has the same gradient.
    centres = torch.stack(
        [g[0, 0, g.shape[2] // 2, g.shape[3] // 2, g.shape[4] // 2] for g in gradients if g is not None]
    )
    torch.testing.assert_close(centres, centres[:1].expand(4), rtol=1e-4, atol=1e-4)


def test_huge_logits_stay_finite() -> None:
    block = trained(PyramidAttention(), std=100)
    x = (100 * torch.randn(8, 4, 9, 9)).requires_grad_()
    y = block(x, 4)
    y.square().sum().backward()
    assert y.isfinite().all()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_a_constant_added_to_all_logits_changes_nothing() -> None:
    block = trained(PyramidAttention([(1, 1, 1)])).double()
    x = torch.randn(8, 4, 5, 5, dtype=torch.float64)
    torch.testing.assert_close(block.attention(x, 4), block.attention(x + 7, 4))


def test_channels_are_weighed_alike_in_any_order() -> None:
    block = trained(PyramidAttention()).double()
    x, order = torch.randn(8, 6, 5, 5, dtype=torch.float64), torch.randperm(6)
    torch.testing.assert_close(block(x[:, order], 4), block(x, 4)[:, order])


def test_a_shift_of_the_content_shifts_the_result() -> None:
    block = trained(PyramidAttention(SMALL)).double()
    x = torch.zeros(8, 4, 11, 11, dtype=torch.float64)
    x[2:5, :, 3:6, 3:6] = torch.rand(3, 4, 3, 3, dtype=torch.float64)

    def shift(x: Tensor) -> Tensor:
        return x.roll((1, 2, 1), (0, 2, 3))

    torch.testing.assert_close(block(shift(x), 8), shift(block(x, 8)))


def test_cost() -> None:
    added = of_five_blocks(lambda channels: PyramidAttention())
    assert (added["params"], added["fvcore"]) == (5 * 418, 418 * (2 * 6272 + 3 * 1568))


@pytest.mark.parametrize(
    ("kernels", "message"),
    [
        ([], "needs a kernel"),
        ([(3, 3, 3), (3, 4, 4)], "three odd sides, got \\(3, 4, 4\\)"),
        ([(3, 3)], "three odd sides, got \\(3, 3\\)"),
        ([(0, 3, 3)], "three odd sides, got \\(0, 3, 3\\)"),
    ],
)
def test_refuses_what_it_cannot_be(kernels: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PyramidAttention(kernels)
