from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmark.cost.conventions import CONVENTIONS
from benchmark.cost.counters import count_network
from benchmark.models.modules.attention import explicit_attention
from benchmark.models.modules.nonlocal_block import NonLocal
from benchmark.models.modules.regional_nonlocal import RegionalNonLocal, RegionSimilarity
from benchmark.models.modules.regions import (
    Aggregator,
    DepthwiseRegion,
    Form,
    Kernel,
    RefactorisedRegion,
    build_region,
)
from tests.models.modules.costs import peak_bytes, record_of
from tests.models.modules.trained import trained

SIMILARITIES = get_args(RegionSimilarity)
REGIONS: list[tuple[Aggregator, Form]] = [
    ("conv", "depthwise"),
    ("conv", "refactorised"),
    ("average", "depthwise"),
    ("max", "depthwise"),
]


def region_by_loops(aggregator: Aggregator, weight: Tensor | None, clip: Tensor, kernel: Kernel) -> Tensor:
    """F_theta (Eq. 4.3) on (T, C, H, W), position by position; weight (C, t, h, w)."""
    frames, channels, height, width = clip.shape
    out = torch.empty_like(clip)
    for t in range(frames):
        for i in range(height):
            for j in range(width):
                inside, total = [], torch.zeros(channels, dtype=clip.dtype)
                for a in range(kernel[0]):
                    for b in range(kernel[1]):
                        for c in range(kernel[2]):
                            at = (t + a - kernel[0] // 2, i + b - kernel[1] // 2, j + c - kernel[2] // 2)
                            if all(0 <= x < n for x, n in zip(at, (frames, height, width), strict=True)):
                                inside.append(clip[at[0], :, at[1], at[2]])
                                total += inside[-1] * (1 if weight is None else weight[:, a, b, c])
                if aggregator == "max":
                    total = torch.stack(inside).amax(0)
                if aggregator == "average":
                    total = total / (kernel[0] * kernel[1] * kernel[2])
                out[t, :, i, j] = total
    return out


def channelwise(region: nn.Module) -> Tensor | None:
    """The weights of a channel-wise convolution, (C, t, h, w)."""
    if isinstance(region, DepthwiseRegion):
        return region.weight[:, 0]
    if isinstance(region, RefactorisedRegion):
        channels, group = region.weight.shape[:2]
        return torch.stack([region.weight[c, c % group] for c in range(channels)])
    return None


def block_by_loops(block: RegionalNonLocal, clip: Tensor) -> Tensor:
    """Eq. 4.4 to 4.8 on one clip (T, C, H, W), pair of positions by pair."""
    theta, w, bn = block.theta, block.output.conv, block.output.bn
    assert theta.bias is not None
    assert w.bias is not None
    assert bn.running_mean is not None
    assert bn.running_var is not None
    values = torch.einsum("dc,tchw->tdhw", theta.weight[:, :, 0, 0, 0], clip) + theta.bias.view(-1, 1, 1)
    regions = region_by_loops(block.aggregator, channelwise(block.region), values, block.kernel_size)
    n, inner = clip.shape[0] * clip.shape[2] * clip.shape[3], values.shape[1]
    v, r = (m.permute(0, 2, 3, 1).reshape(n, inner) for m in (values, regions))
    y = torch.zeros(n, inner, dtype=clip.dtype)
    for i in range(n):
        weights = []
        for j in range(n):
            product = sum(r[i, c] * r[j, c] for c in range(inner))
            assert isinstance(product, Tensor)
            if block.similarity == "gaussian":
                product = product.exp()
            if block.similarity == "dot_relu":
                product = torch.relu(product)
            if block.similarity == "cosine":
                product = torch.relu(product / (r[i].square().sum().sqrt() * r[j].square().sum().sqrt()))
            weights.append(product)
        normaliser = sum(weights) if block.similarity == "gaussian" else n
        for j in range(n):
            y[i] += weights[j] / normaliser * v[j]
    mapped = y @ w.weight[:, :, 0, 0, 0].t() + w.bias
    mapped = (mapped - bn.running_mean) / (bn.running_var + bn.eps).sqrt() * bn.weight + bn.bias
    return clip + mapped.view(clip.shape[0], *clip.shape[2:], -1).permute(0, 3, 1, 2)


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize(("aggregator", "form"), REGIONS)
def test_equals_the_equations_by_loops(similarity: RegionSimilarity, aggregator: Aggregator, form: Form) -> None:
    block = trained(RegionalNonLocal(6, similarity, aggregator, (3, 3, 5), form)).double().eval()
    x = torch.randn(4, 6, 3, 4, dtype=torch.float64)
    with torch.no_grad():
        expected = torch.cat([block_by_loops(block, clip) for clip in x.split(2)])
        torch.testing.assert_close(block(x, 2), expected)


@pytest.mark.parametrize("kernel", [(1, 1, 1), (3, 1, 1), (7, 1, 1), (1, 3, 5), (3, 7, 7), (7, 3, 3)])
@pytest.mark.parametrize(("aggregator", "form"), REGIONS)
@pytest.mark.parametrize("frames", [1, 2, 4])
def test_regions_by_loops(kernel: Kernel, aggregator: Aggregator, form: Form, frames: int) -> None:
    region = build_region(aggregator, 5, kernel, form).double()
    x = torch.randn(4, 5, 3, 4, dtype=torch.float64)
    with torch.no_grad():
        expected = [region_by_loops(aggregator, channelwise(region), clip, kernel) for clip in x.split(frames)]
        torch.testing.assert_close(region(x, frames), torch.cat(expected))


def test_depthwise_is_the_diagonal_of_refactorised() -> None:
    shape, kernel = (8, 64, 6, 6), (3, 5, 5)
    depthwise, refactorised = DepthwiseRegion(64, kernel).double(), RefactorisedRegion(64, kernel).double()
    with torch.no_grad():
        for c in range(64):
            depthwise.weight[c, 0] = refactorised.weight[c, c % 32]
    x, g = torch.randn(shape, dtype=torch.float64, requires_grad=True), torch.randn(shape, dtype=torch.float64)
    y, same = depthwise(x, 4), refactorised(x, 4)
    torch.testing.assert_close(y, same)
    of_depthwise = torch.autograd.grad(y, (x, depthwise.weight), g)
    of_refactorised = torch.autograd.grad(same, (x, refactorised.weight), g)
    torch.testing.assert_close(of_depthwise[0], of_refactorised[0])
    for c in range(64):
        torch.testing.assert_close(of_depthwise[1][c, 0], of_refactorised[1][c, c % 32])
    assert torch.equal(of_refactorised[1].flatten(2).any(-1), refactorised.mask.flatten(2).any(-1))
    assert not refactorised.mask.requires_grad


@pytest.mark.parametrize(("channels", "kernel", "bound"), [(256, (3, 7, 7), 0.011905), (512, (3, 3, 3), 0.020211)])
@pytest.mark.parametrize("build", [DepthwiseRegion, RefactorisedRegion])
def test_regions_start_uniform(
    build: type[DepthwiseRegion] | type[RefactorisedRegion], channels: int, kernel: Kernel, bound: float
) -> None:
    weight = build(channels, kernel).weight
    assert weight.abs().max().item() == pytest.approx(bound, rel=1e-3)
    assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.02)


def test_regions_of_one_position_are_a_non_local_block_of_shared_embeddings() -> None:
    block = trained(RegionalNonLocal(6, kernel_size=(1, 1, 1))).double().eval()
    assert isinstance(block.region, DepthwiseRegion)
    nn.init.ones_(block.region.weight)
    plain = NonLocal(6).double().eval()
    assert plain.theta is not None
    assert plain.phi is not None
    for conv in (plain.theta, plain.phi, plain.g):
        conv.load_state_dict(block.theta.state_dict())
    plain.output.load_state_dict(block.output.state_dict())
    x = torch.randn(4, 6, 3, 3, dtype=torch.float64)
    torch.testing.assert_close(block(x, 2), plain(x, 2))


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize(("aggregator", "form"), REGIONS)
def test_what_moves_in_the_clip_moves_in_the_result(
    similarity: RegionSimilarity, aggregator: Aggregator, form: Form
) -> None:
    block = trained(RegionalNonLocal(6, similarity, aggregator, (3, 3, 3), form)).double().eval()
    assert block.theta.bias is not None
    nn.init.zeros_(block.theta.bias)
    x = torch.zeros(5, 6, 9, 9, dtype=torch.float64)
    x[2:3, :, 3:5, 3:6] = torch.randn(1, 6, 2, 3)
    moved = x.roll((1, 2, -1), (0, 2, 3))
    torch.testing.assert_close(block(moved, 5), block(x, 5).roll((1, 2, -1), (0, 2, 3)))


@pytest.mark.parametrize("channels", [2, 6, 64])
@pytest.mark.parametrize(("aggregator", "form"), REGIONS)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gaussian_runs_in_the_fused_kernel(
    channels: int, aggregator: Aggregator, form: Form, layout: torch.memory_format
) -> None:
    block = RegionalNonLocal(channels, aggregator=aggregator, kernel_size=(3, 3, 3), form=form)
    x = torch.randn(4, channels, 5, 6).contiguous(memory_format=layout)
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        block(x, 2).sum().backward()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            block(x, 2).sum().backward()


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_memory_is_linear_in_positions(similarity: RegionSimilarity) -> None:
    block = RegionalNonLocal(8, similarity, kernel_size=(3, 3, 3))

    def call(frames: int) -> None:
        x = torch.randn(frames, 8, 16, 16).contiguous(memory_format=torch.channels_last).requires_grad_()
        block(x, frames).sum().backward()

    assert peak_bytes(lambda: call(16)) < 2.05 * peak_bytes(lambda: call(8))


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize(("aggregator", "form"), REGIONS)
def test_bfloat16_is_close(similarity: RegionSimilarity, aggregator: Aggregator, form: Form) -> None:
    block = RegionalNonLocal(16, similarity, aggregator, (3, 3, 3), form).eval()
    nn.init.ones_(block.output.bn.weight)
    x = torch.randn(8, 16, 6, 6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = block(x, 4)
    torch.testing.assert_close(y.float(), block(x, 4), rtol=0.02, atol=0.02)


def test_cosine_of_vectors_without_length_has_small_gradients() -> None:
    block = RegionalNonLocal(4, "cosine")
    nn.init.ones_(block.output.bn.weight)
    nn.init.zeros_(block.theta.weight)
    assert block.theta.bias is not None
    nn.init.zeros_(block.theta.bias)
    x = torch.randn(4, 4, 4, 4, requires_grad=True)
    block(x, 2).square().sum().backward()
    for tensor in (x.grad, *(p.grad for p in block.parameters())):
        assert tensor is not None
        assert tensor.abs().max() < 1e4


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize(("aggregator", "form"), REGIONS)
def test_attention_map_holds_the_weights_of_forward(
    similarity: RegionSimilarity, aggregator: Aggregator, form: Form
) -> None:
    block = trained(RegionalNonLocal(6, similarity, aggregator, (1, 3, 3), form)).double().eval()
    x = torch.randn(4, 6, 4, 5, dtype=torch.float64)
    queries = [(1, 2, 3), (0, 0, 4), (0, 3, 0)]
    weights = block.attention_map(x, 2, queries)
    assert weights.shape == (2, 3, 2, 4, 5)
    if similarity == "gaussian":
        torch.testing.assert_close(weights.sum((2, 3, 4)), torch.ones(2, 3, dtype=torch.float64))
    if similarity == "cosine":
        assert weights.min() >= 0
        for query, at in enumerate(queries):
            torch.testing.assert_close(weights[:, query, *at], torch.full((2,), 1 / 40, dtype=torch.float64))
    values = block.theta(x.unsqueeze(2)).squeeze(2).unflatten(0, (2, 2))
    y = torch.einsum("bqthw,btchw->bcq", weights, values)[..., None, None]
    mapped = block.output.bn(block.output.conv(y)).flatten(2)
    difference = (block(x, 2) - x).unflatten(0, (2, 2))
    for query, (t, i, j) in enumerate(queries):
        torch.testing.assert_close(difference[:, t, :, i, j], mapped[:, :, query])


@pytest.mark.parametrize(("channels", "side", "kernel"), [(512, 28, (3, 7, 7)), (1024, 14, (3, 3, 3))])
@pytest.mark.parametrize(("aggregator", "form"), REGIONS)
def test_parameters_and_convolutions(
    channels: int, side: int, kernel: Kernel, aggregator: Aggregator, form: Form
) -> None:
    record = record_of(RegionalNonLocal, channels, side, aggregator=aggregator, kernel_size=kernel, form=form)
    n, inner, volume = 8 * side * side, channels // 2, kernel[0] * kernel[1] * kernel[2]
    times = 0 if aggregator != "conv" else 32 if form == "refactorised" else 1
    stored = 64 if form == "refactorised" else times
    assert record.params == 2 * channels * inner + inner + 3 * channels + stored * inner * volume
    by_path = {entry.path: entry.macs for entry in record.operators if entry.operator == "conv"}
    assert by_path["block.theta"] + by_path["block.output.conv"] == 2 * n * channels * inner
    assert by_path.get("block.region", 0) == times * n * inner * volume
    assert record.torch_macs["convolution"] == sum(by_path.values())


def test_costs_of_the_fact_sheet() -> None:
    def cost(channels: int, side: int, kernel: Kernel, form: Form) -> tuple[float, float]:
        record = record_of(RegionalNonLocal, channels, side, kernel_size=kernel, form=form)
        macs = {entry.path: entry.macs / 1e9 for entry in record.operators if entry.operator == "conv"}
        return macs["block.theta"] + macs["block.output.conv"], macs["block.region"]

    assert cost(512, 28, (3, 7, 7), "depthwise") == pytest.approx((1.644, 0.236), abs=5e-4)
    assert cost(512, 28, (3, 7, 7), "refactorised")[1] == pytest.approx(7.553, abs=5e-4)
    assert cost(1024, 14, (3, 3, 3), "depthwise")[1] == pytest.approx(0.0217, abs=5e-5)
    assert cost(1024, 14, (3, 3, 3), "refactorised")[1] == pytest.approx(0.694, abs=5e-4)


@pytest.mark.parametrize(("positions", "inner", "gmacs"), [(6272, 256, 20.141), (1568, 512, 2.518)])
def test_products_of_the_explicit_form(positions: int, inner: int, gmacs: float) -> None:
    class Products(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unused = nn.Parameter(torch.empty(1, device="meta"))

        def forward(self, x: Tensor) -> Tensor:
            return explicit_attention(x, x, x, "gaussian")

    record = count_network(Products(), (1, positions, inner))
    assert record.macs == 2 * positions**2 * inner
    assert record.macs / 1e9 == pytest.approx(gmacs, abs=5e-4)


def test_blocks_cost_what_the_thesis_prints() -> None:
    def cost(channels: int, side: int, kernel: Kernel, aggregator: Aggregator, form: Form) -> tuple[float, float]:
        record = record_of(RegionalNonLocal, channels, side, aggregator=aggregator, kernel_size=kernel, form=form)
        return CONVENTIONS["thop_2001"].macs(record) / 1e9, record.params / 1e6

    # Table 4.3, one block in res3: 1.65 GFLOPs for each, being the difference of totals rounded to 34.54 and 32.89.
    for aggregator, params in (("conv", 2.67), ("average", 0.26), ("max", 0.26)):
        gflops, counted = cost(512, 28, (3, 7, 7), aggregator, "refactorised")  # type: ignore[arg-type]
        assert round(32.8888 + gflops, 2) == 34.54
        assert round(counted, 2) == params
    # Table 4.6, five blocks: 41.15 GFLOPs and 35.48 M parameters; without them 32.8888 and 24.3276 (not rounded).
    res3, res4 = cost(512, 28, (3, 7, 7), "conv", "refactorised"), cost(1024, 14, (3, 3, 3), "conv", "refactorised")
    assert 32.8888 + 2 * res3[0] + 3 * res4[0] == pytest.approx(41.1490, abs=1e-4)
    assert 24.3276 + 2 * res3[1] + 3 * res4[1] == pytest.approx(35.4831, abs=1e-4)
    # The same network with true depthwise convolutions.
    res3, res4 = cost(512, 28, (3, 7, 7), "conv", "depthwise"), cost(1024, 14, (3, 3, 3), "conv", "depthwise")
    assert 24.3276 + 2 * res3[1] + 3 * res4[1] == pytest.approx(28.1287, abs=1e-4)


@pytest.mark.parametrize("channels", [1, 2, 6, 64])
@pytest.mark.parametrize("form", get_args(Form))
def test_narrow_networks(channels: int, form: Form) -> None:
    block = RegionalNonLocal(channels, form=form)
    x = torch.randn(2, channels, 1, 1)
    assert block(x, 2).shape == x.shape
    inner = max(1, channels // 2)
    stored = 147 * (inner if form == "depthwise" else 2 * inner * min(32, inner))
    region = sum(p.numel() for p in block.region.parameters())
    assert region == stored
    assert F.relu(x).shape == block(F.relu(x), 1).shape


def test_refuses_the_impossible() -> None:
    with pytest.raises(ValueError, match="similarity 'euclidean' is none of"):
        RegionalNonLocal(8, "euclidean")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="aggregator 'median' is none of"):
        RegionalNonLocal(8, aggregator="median")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="form 'dense' is none of"):
        RegionalNonLocal(8, form="dense")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs channels, got 0"):
        RegionalNonLocal(0)
    for kernel in ((3, 4, 3), (3, 3), (0, 1, 1), (-1, 1, 1)):
        with pytest.raises(ValueError, match="odd in time, height and width"):
            RegionalNonLocal(8, kernel_size=kernel)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="groups of 32 channels do not divide 48"):
        RegionalNonLocal(96, form="refactorised")
    with pytest.raises(ValueError, match="outside maps of 2 x 3 x 3"):
        RegionalNonLocal(4).attention_map(torch.zeros(4, 4, 3, 3), 2, [(-1, 0, 0)])
