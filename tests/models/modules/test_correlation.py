from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from fvcore.nn import FlopCountAnalysis
from torch import Tensor, nn

from benchmark.models.modules import correlation
from benchmark.models.modules.correlation import local_correlation
from tools.correlation_speed import IMPLEMENTATIONS, measure

SHAPES = [
    ((2, 3, 5, 6), 3),
    ((1, 4, 3, 4), 15),  # smaller than the neighbourhood
    ((2, 2, 4, 35), 5),  # three tiles, the last one not full
    ((1, 2, 9, 1), 7),
    ((2, 2, 1, 17), 3),
    ((1, 20, 4, 4), 1),
]


def maps(shape: tuple[int, ...], **settings: Any) -> tuple[Tensor, Tensor]:
    a, b = (torch.randn(shape, dtype=settings.get("dtype", torch.float64)) for _ in range(2))
    return a.requires_grad_(), b.requires_grad_()


def by_loops(a: Tensor, b: Tensor, patch: int) -> np.ndarray:
    """Eq. 1, score by score."""
    (count, _, height, width), k = a.shape, patch // 2
    scores, u, v = np.zeros((count, patch**2, height, width)), a.numpy(), b.numpy()
    for y in range(height):
        for x in range(width):
            for dy in range(-k, k + 1):
                for dx in range(-k, k + 1):
                    if 0 <= y + dy < height and 0 <= x + dx < width:
                        products = u[:, :, y, x] * v[:, :, y + dy, x + dx]
                        scores[:, (dy + k) * patch + dx + k, y, x] = products.sum(1)
    return scores


@pytest.mark.parametrize(("shape", "patch"), SHAPES)
@pytest.mark.parametrize("name", sorted(IMPLEMENTATIONS))
@torch.no_grad()
def test_every_implementation_equals_eq1_by_loops(name: str, shape: tuple[int, ...], patch: int) -> None:
    a, b = maps(shape)
    np.testing.assert_allclose(IMPLEMENTATIONS[name](a, b, patch).numpy(), by_loops(a, b, patch), atol=1e-12)


@pytest.mark.parametrize(("shape", "patch"), [*SHAPES, ((3, 8, 14, 14), 15), ((40, 2, 20, 20), 9)])
def test_scores_and_gradients_equal_those_of_unfolding(shape: tuple[int, ...], patch: int) -> None:
    a, b = maps(shape)
    scores, expected = local_correlation(a, b, patch), IMPLEMENTATIONS["unfold"](a, b, patch)
    torch.testing.assert_close(scores, expected)
    g = torch.randn_like(scores)
    torch.testing.assert_close(torch.autograd.grad(scores, (a, b), g), torch.autograd.grad(expected, (a, b), g))


@pytest.mark.parametrize(("shape", "patch"), [((2, 3, 4, 5), 3), ((1, 2, 2, 17), 3)])
def test_gradients(shape: tuple[int, ...], patch: int) -> None:
    a, b = maps(shape)
    assert torch.autograd.gradcheck(lambda a, b: local_correlation(a, b, patch), (a, b))


def test_maps_of_a_batch_in_groups_are_independent(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = maps((5, 3, 6, 20))
    whole = local_correlation(a, b, 7)
    whole_grads = torch.autograd.grad(whole.square().sum(), (a, b))
    for scratch in (1, 3 * 2 * 10 * 7 * 16):
        monkeypatch.setattr(correlation, "SCRATCH", scratch)
        scores = local_correlation(a, b, 7)
        torch.testing.assert_close(scores, whole)
        torch.testing.assert_close(torch.autograd.grad(scores.square().sum(), (a, b)), whole_grads)
    for n in range(5):
        torch.testing.assert_close(local_correlation(a[n : n + 1], b[n : n + 1], 7), whole[n : n + 1])


def test_memory_layout_of_inputs_does_not_matter() -> None:
    a, b = maps((2, 3, 6, 7))
    expected = local_correlation(a, b, 5)
    assert expected.is_contiguous(memory_format=torch.channels_last)
    for other in (b.contiguous(memory_format=torch.channels_last), b.transpose(2, 3).contiguous().transpose(2, 3)):
        torch.testing.assert_close(local_correlation(a, other, 5), expected)
    g = torch.randn_like(expected)
    torch.testing.assert_close(
        torch.autograd.grad(expected, (a, b), g, retain_graph=True),
        torch.autograd.grad(expected, (a, b), g.contiguous()),
    )


def test_a_map_shifted_by_an_offset_scores_highest_there() -> None:
    a = torch.randn(1, 64, 12, 12)
    best = local_correlation(a, a.roll((2, -3), (2, 3)), 7).argmax(1)
    inner = best[:, 3:-3, 3:-3]
    assert (inner == (2 + 3) * 7 + (-3 + 3)).all()


def test_swapped_maps_give_the_scores_of_opposite_displacements() -> None:
    a, b = maps((1, 3, 6, 6))
    forth, back = local_correlation(a, b, 5), local_correlation(b, a, 5)
    for dy in range(-2, 3):
        for dx in range(-2, 3):
            y, x = slice(max(0, -dy), 6 - max(0, dy)), slice(max(0, -dx), 6 - max(0, dx))
            to_y, to_x = (slice(s.start + d, s.stop + d) for s, d in ((y, dy), (x, dx)))
            there = forth[:, (dy + 2) * 5 + dx + 2, y, x]
            torch.testing.assert_close(back[:, (2 - dy) * 5 + 2 - dx, to_y, to_x], there)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_leaves_the_precision_to_the_inputs(dtype: torch.dtype) -> None:
    a, b = maps((2, 32, 6, 6), dtype=dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = local_correlation(a, b, 5)
        scores.float().sum().backward()
    assert scores.dtype == dtype
    assert a.grad is not None
    assert a.grad.dtype == dtype
    assert torch.isfinite(a.grad).all()
    torch.testing.assert_close(scores, local_correlation(a, b, 5), rtol=0, atol=0)


def test_shapes_and_layouts_without_storage_are_those_with_it() -> None:
    a, b = maps((2, 3, 5, 18))
    scores = local_correlation(a, b, 3)
    grads = torch.autograd.grad(scores.sum(), (a, b))
    bare_a, bare_b = (x.detach().to("meta").requires_grad_() for x in (a, b))
    bare = local_correlation(bare_a, bare_b, 3)
    bare_grads = torch.autograd.grad(bare.sum(), (bare_a, bare_b))
    for real, fake in zip((scores, *grads), (bare, *bare_grads), strict=True):
        assert (fake.shape, fake.stride(), fake.dtype) == (real.shape, real.stride(), real.dtype)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_is_one_operator_of_a_trace(device: str) -> None:
    class Whole(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return local_correlation(x[:-1], x[1:], 5)

    seen = []

    def rule(inputs: list[Any], outputs: list[Any]) -> int:
        seen.append([value.type().sizes() for value in (*inputs[:2], *outputs)])
        return 7

    analysis = FlopCountAnalysis(Whole(), torch.zeros(4, 3, 6, 8, device=device))
    analysis.unsupported_ops_warnings(False).tracer_warnings("none")
    analysis.set_op_handle("benchmark::local_correlation", rule)
    assert analysis.total() == 7
    assert seen == [[[3, 3, 6, 8], [3, 3, 6, 8], [3, 25, 6, 8]]]
    assert not [name for name in analysis.unsupported_ops() if "benchmark" in name or "mm" in name]


def test_impossible_arguments_are_refused() -> None:
    a = torch.zeros(1, 2, 4, 4)
    with pytest.raises(ValueError, match="odd"):
        local_correlation(a, a, 4)
    with pytest.raises(ValueError, match="one shape"):
        local_correlation(a, a[:, :1], 3)
    with pytest.raises(ValueError, match="one shape"):
        local_correlation(a, a.double(), 3)


def test_keeps_the_two_maps_and_nothing_else_for_the_backward_pass() -> None:
    a, b = maps((2, 3, 6, 6))
    kept = []

    def note(tensor: Tensor) -> Tensor:
        kept.append(tensor.shape)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        local_correlation(a, b, 5)
    assert kept == [a.shape, b.shape]


def test_needs_less_memory_and_time_than_unfolding() -> None:
    case = (2, 32, 28)
    slow, written_out = measure("unfold", case, seconds=0)
    fast, memory = measure("operator", case, seconds=0)
    assert fast < slow / 3
    assert memory < written_out / 3
