from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmark.cost.counters import count_network
from benchmark.models.modules import attention as attention_file
from benchmark.models.modules.attention import Similarity, attention, explicit_attention
from benchmark.models.modules.nonlocal_block import Instantiation, NonLocal, ResidualOutput
from tests.models.modules.costs import BASELINE_PARAMS, BASELINE_THOP, of_five_blocks, peak_bytes, record_of
from tests.models.modules.trained import normalised, trained

SIMILARITIES = get_args(Similarity)
INSTANTIATIONS = get_args(Instantiation)


def after_attention(output: ResidualOutput, x: Tensor, y: Tensor) -> Tensor:
    """z = x + BN(W y) of one position, x (C), y (C')."""
    assert output.conv.bias is not None
    mapped = output.conv.weight[:, :, 0, 0, 0] @ y + output.conv.bias
    return x + normalised(output.bn, mapped)


def block_by_loops(block: NonLocal, clip: Tensor) -> Tensor:
    """Eq. 4.1 on one clip (T, C, H, W), pair of positions by pair."""

    def conv(module: nn.Conv3d | None, x: Tensor) -> Tensor:
        if module is None:
            return x
        y = module.weight[:, :, 0, 0, 0] @ x
        return y if module.bias is None else y + module.bias

    def pooled(module: nn.Conv3d | None) -> list[Tensor]:
        step = 2 if block.sub_sample else 1
        found = []
        for t in range(frames):
            for i in range(0, height - step + 1, step):
                for j in range(0, width - step + 1, step):
                    window = [conv(module, clip[t, :, i + a, j + b]) for a in range(step) for b in range(step)]
                    found.append(torch.stack(window).amax(0))
        return found

    def f(q: Tensor, k: Tensor) -> Tensor:
        if block.instantiation in ("gaussian", "embedded_gaussian"):
            return torch.exp(q @ k)
        if block.instantiation == "dot_product":
            return q @ k
        assert block.query_score is not None
        assert block.key_score is not None
        return torch.relu(block.query_score.weight.flatten() @ q + block.key_score.weight.flatten() @ k)

    frames, _, height, width = clip.shape
    keys, values = pooled(block.phi), pooled(block.g)
    z = torch.empty_like(clip)
    for t in range(frames):
        for i in range(height):
            for j in range(width):
                weights = [f(conv(block.theta, clip[t, :, i, j]), key) for key in keys]
                normaliser = sum(weights) if "gaussian" in block.instantiation else len(keys)
                y = sum(w * value for w, value in zip(weights, values, strict=True)) / normaliser
                assert isinstance(y, Tensor)
                z[t, :, i, j] = after_attention(block.output, clip[t, :, i, j], y)
    return z


@pytest.mark.parametrize("instantiation", INSTANTIATIONS)
@pytest.mark.parametrize("sub_sample", [False, True])
def test_equals_eq_4_1_by_loops(instantiation: Instantiation, sub_sample: bool) -> None:
    block = trained(NonLocal(6, instantiation, sub_sample)).double().eval()
    x = torch.randn(4, 6, 4, 5, dtype=torch.float64)
    expected = torch.cat([block_by_loops(block, clip) for clip in x.split(2)])
    torch.testing.assert_close(block(x, 2), expected)


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize(("queries", "keys", "width", "values"), [(600, 600, 4, 4), (7, 300, 6, 3), (300, 7, 9, 12)])
def test_attention_and_its_gradients_are_those_of_the_matrix(
    similarity: Similarity, queries: int, keys: int, width: int, values: int
) -> None:
    q, k, v = (torch.randn(2, n, d).double() for n, d in ((queries, width), (keys, width), (keys, values)))
    g = torch.randn(2, queries, values).double()
    results = []
    for compute in (attention, explicit_attention):
        inputs = q.clone().requires_grad_(), k.clone().requires_grad_(), v.clone().requires_grad_()
        y = compute(*inputs, similarity)
        results.append((y, *torch.autograd.grad(y, inputs, g)))
    torch.testing.assert_close(results[0], results[1])
    with torch.no_grad():
        torch.testing.assert_close(attention(q, k, v, similarity), results[1][0])


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_gradients_of_attention(similarity: Similarity, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention_file, "QUERIES", 2)
    q, k, v = (torch.randn(2, 5, d, dtype=torch.float64, requires_grad=True) for d in (3, 3, 4))
    assert torch.autograd.gradcheck(lambda q, k, v: attention(q, k, v, similarity), (q, k, v))


@pytest.mark.parametrize("channels", [2, 6, 10, 16, 64])
@pytest.mark.parametrize("frames", [1, 2])
@pytest.mark.parametrize("instantiation", ["gaussian", "embedded_gaussian"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gaussians_run_in_the_fused_kernel(
    channels: int, frames: int, instantiation: Instantiation, layout: torch.memory_format
) -> None:
    block = NonLocal(channels, instantiation)
    x = torch.randn(4, channels, 5, 6).contiguous(memory_format=layout)
    # Where that kernel cannot run, this raises: see the next test.
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        block(x, frames).sum().backward()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            block(x, frames).sum().backward()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_fused_kernel_refuses_channels_that_are_not_next_to_one_another() -> None:
    apart = torch.randn(1, 1, 8, 30).transpose(2, 3)
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION), pytest.raises(RuntimeError, match="No available kernel"):
        nn.functional.scaled_dot_product_attention(apart, apart, apart)


@pytest.mark.parametrize("instantiation", INSTANTIATIONS)
def test_memory_is_linear_in_positions(instantiation: Instantiation) -> None:
    block = NonLocal(8, instantiation)

    def call(frames: int) -> None:
        x = torch.randn(frames, 8, 16, 16).contiguous(memory_format=torch.channels_last).requires_grad_()
        block(x, frames).sum().backward()

    assert peak_bytes(lambda: call(16)) < 2.05 * peak_bytes(lambda: call(8))


def test_memory_of_the_explicit_form_is_not() -> None:
    few, many = (torch.randn(1, n, 8, requires_grad=True) for n in (1024, 2048))

    def call(x: Tensor) -> None:
        explicit_attention(x, x, x, "gaussian").sum().backward()

    assert peak_bytes(lambda: call(many)) > 3.8 * peak_bytes(lambda: call(few))


@pytest.mark.parametrize("instantiation", INSTANTIATIONS)
def test_the_order_of_positions_does_not_matter(instantiation: Instantiation) -> None:
    block = trained(NonLocal(6, instantiation)).double().eval()
    x = torch.randn(1, 24, 6, dtype=torch.float64)
    order = torch.randperm(24)

    def call(x: Tensor) -> Tensor:
        return block(x.view(2, 3, 4, 6).permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1).reshape(1, 24, 6)

    torch.testing.assert_close(call(x[:, order]), call(x)[:, order])


@pytest.mark.parametrize("instantiation", INSTANTIATIONS)
def test_bfloat16_is_close(instantiation: Instantiation) -> None:
    block = NonLocal(16, instantiation).eval()
    nn.init.ones_(block.output.bn.weight)
    x = torch.randn(8, 16, 6, 6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = block(x, 4)
    torch.testing.assert_close(y.float(), block(x, 4), rtol=0.05, atol=0.05)


def test_large_exponents_stay_finite() -> None:
    q = (1e3 * torch.randn(1, 300, 64)).requires_grad_()
    for dtype in (torch.float32, torch.bfloat16):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            y = attention(q, q, q, "gaussian")
        # A query's own key exceeds all others by thousands, so every position keeps its value.
        torch.testing.assert_close(y, q.to(dtype))
        (grad,) = torch.autograd.grad(y.float().sum(), q)
        assert torch.isfinite(grad).all()


@pytest.mark.parametrize("instantiation", INSTANTIATIONS)
@pytest.mark.parametrize("sub_sample", [False, True])
def test_attention_map_holds_the_weights_of_forward(instantiation: Instantiation, sub_sample: bool) -> None:
    block = trained(NonLocal(6, instantiation, sub_sample)).double().eval()
    x = torch.randn(4, 6, 4, 5, dtype=torch.float64)
    weights = block.attention_map(x, 2, [(1, 2, 3), (0, 0, 4)])
    assert weights.shape == ((2, 2, 2, 2, 2) if sub_sample else (2, 2, 2, 4, 5))
    if "gaussian" in instantiation:
        torch.testing.assert_close(weights.sum((2, 3, 4)), torch.ones(2, 2, dtype=torch.float64))
    values = block.g(x.unsqueeze(2)).squeeze(2)
    if sub_sample:
        values = nn.functional.max_pool2d(values, 2)
    y = torch.einsum("bqthw,btchw->bqc", weights, values.unflatten(0, (2, 2)))
    for clip in range(2):
        for query, (t, i, j) in enumerate([(1, 2, 3), (0, 0, 4)]):
            at = x[2 * clip + t, :, i, j]
            torch.testing.assert_close(
                block(x, 2)[2 * clip + t, :, i, j], after_attention(block.output, at, y[clip, query])
            )


def test_five_blocks_cost_what_the_thesis_prints() -> None:
    added = of_five_blocks(NonLocal)
    # Table 4.6: 49.38 GFLOPs and 31.69 M parameters.
    assert (BASELINE_THOP + added["thop_2001"]) / 1e9 == pytest.approx(49.3811, abs=1e-4)
    assert (BASELINE_PARAMS + added["params"]) / 1e6 == pytest.approx(31.6861, abs=1e-4)


@pytest.mark.parametrize("instantiation", INSTANTIATIONS)
def test_parameters_and_convolutions(instantiation: Instantiation) -> None:
    channels, inner, positions = 512, 256, 8 * 28 * 28
    record = record_of(NonLocal, channels, 28, instantiation=instantiation)
    convolutions = sum(entry.macs for entry in record.operators if entry.operator == "conv")
    pairs = 2 if instantiation == "gaussian" else 4
    scores = 2 * inner if instantiation == "concatenation" else 0
    assert record.params == pairs * channels * inner + (pairs - 1) * inner + 3 * channels + scores
    assert convolutions == pairs * positions * channels * inner + positions * scores


def test_cost_of_products() -> None:
    class Products(nn.Module):
        def __init__(self, similarity: Similarity, explicit: bool) -> None:
            super().__init__()
            self.unused = nn.Parameter(torch.empty(1, device="meta"))
            self.compute, self.similarity = (explicit_attention if explicit else attention), similarity

        def forward(self, x: Tensor) -> Tensor:
            return self.compute(x, x, x, self.similarity)

    def macs(similarity: Similarity, explicit: bool) -> int:
        record = count_network(Products(similarity, explicit), (1, 6272, 256))
        assert record.macs == sum(record.torch_macs.values())
        return record.macs

    for similarity in SIMILARITIES:
        assert macs(similarity, explicit=True) == 2 * 6272**2 * 256 == pytest.approx(20.141e9, rel=1e-4)
    assert macs("rectified", explicit=False) == 2 * 6272**2 * 256
    assert macs("dot", explicit=False) == 2 * 6272 * 256**2


def test_refuses_the_impossible() -> None:
    with pytest.raises(ValueError, match="instantiation 'cosine' is none of"):
        NonLocal(8, "cosine")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs channels, got 0"):
        NonLocal(0)
    with pytest.raises(ValueError, match="too small to be sub-sampled"):
        NonLocal(4, sub_sample=True)(torch.zeros(4, 4, 1, 2), 2)
    with pytest.raises(ValueError, match="outside maps of 2 x 3 x 3"):
        NonLocal(4).attention_map(torch.zeros(4, 4, 3, 3), 2, [(0, 0, 3)])


def test_one_channel_and_one_position_are_enough() -> None:
    block = trained(NonLocal(1)).double().eval()
    assert math.prod(block(torch.randn(2, 1, 1, 1, dtype=torch.float64), 1).shape) == 2
