from __future__ import annotations

import pytest
import torch
from torch import Tensor

from benchmark.cost.conventions import CONVENTIONS
from benchmark.models.modules.spatial_motion import Form, SpatialMotion, change
from tests.models.modules.costs import record_of
from tests.models.modules.trained import normalised, trained

R50_OUTPUTS = {256: 56, 512: 28, 1024: 14, 2048: 7}
"""Channels and side of the output of the first block of every stage of ResNet-50 at 224 x 224."""
R50_TIM = 33_013_440_512
"""MACs of ResNet-50 with TIM, 8 frames of 224 x 224, 174 classes, by fvcore."""
FORMS: tuple[Form, ...] = ("channelwise", "dense")


def cosines_by_loops(x: Tensor, frames: int) -> Tensor:
    """s of Eq. 7, position by position, s_T copied from s_{T-1}: (N, C, H, W) to (N, H, W)."""
    s = torch.empty(x.shape[0], *x.shape[2:], dtype=x.dtype)
    for n in range(x.shape[0]):
        t = n % frames
        first = n if t < frames - 1 else n - 1
        for i in range(x.shape[2]):
            for j in range(x.shape[3]):
                a, b = x[first, :, i, j], x[first + 1, :, i, j]
                s[n, i, j] = (a @ b) / (a.norm() * b.norm())
    return s


@pytest.mark.parametrize("frames", [2, 3, 5])
@pytest.mark.parametrize("form", FORMS)
def test_equals_eq7_and_8_by_loops(frames: int, form: Form) -> None:
    module = trained(SpatialMotion(6, form)).double().eval()
    x = torch.randn(2 * frames, 6, 3, 4, dtype=torch.float64)
    s = cosines_by_loops(x, frames)
    weight = module.conv.weight.flatten(1)
    matrix = torch.diag(weight.flatten()) if form == "channelwise" else weight
    expected = x.clone()
    for n in range(x.shape[0]):
        for i in range(3):
            for j in range(4):
                moved = matrix @ (x[n, :, i, j] * (1 - s[n, i, j]))
                expected[n, :, i, j] += normalised(module.bn, moved)
    with torch.no_grad():
        torch.testing.assert_close(module(x, frames), expected)


def test_change_has_the_known_values() -> None:
    """Parallel features 0, orthogonal ones 1, opposite ones 2, whatever their lengths; no features 1."""
    a, b, none = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 0.2]), torch.zeros(2)
    pairs = [(a, 5 * a), (a, b), (b, -7 * b), (a, none), (none, none)]
    x = torch.stack([torch.stack([pair[t] for pair in pairs], dim=1) for t in range(2)]).unsqueeze(2)
    torch.testing.assert_close(change(x, 2)[:, 0, 0], torch.tensor([[0.0, 1.0, 2.0, 1.0, 1.0]]).expand(2, -1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_nothing_changes_in_a_static_clip(dtype: torch.dtype) -> None:
    x = torch.rand(1, 64, 6, 6).repeat(4, 1, 1, 1).to(dtype)
    assert change(x, 4).abs().max() < 1e-6


def test_the_last_two_frames_share_their_similarity() -> None:
    x = torch.randn(8, 16, 3, 3)
    changes = change(x, 4)
    assert torch.equal(changes[2::4], changes[3::4])
    assert not torch.allclose(changes[1::4], changes[2::4])


@pytest.mark.parametrize(
    ("form", "total", "params_total"), [("channelwise", 33.050, 11_520), ("dense", 39.614, 5_578_240)]
)
def test_costs_of_resnet50(form: Form, total: float, params_total: int) -> None:
    """A printed 33 G is met channel-wise and missed by 6.577 G otherwise."""
    macs = params = convolutions = 0
    for channels, side in R50_OUTPUTS.items():
        record = record_of(SpatialMotion, channels, side, form=form)
        macs += CONVENTIONS["fvcore"].macs(record)
        params += CONVENTIONS["fvcore"].params(record)
        convolutions += record.torch_macs["convolution"]
        per_position = channels if form == "channelwise" else channels**2
        assert record.torch_macs["convolution"] == 8 * side**2 * per_position
    assert params == params_total
    assert round((R50_TIM + macs) / 1e9, 3) == total
    if form == "dense":
        assert round(convolutions / 1e9, 3) == 6.577


def test_impossible_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="channels must be positive"):
        SpatialMotion(0)
    with pytest.raises(ValueError, match="unknown form 'sparse', choose from channelwise, dense"):
        SpatialMotion(8, "sparse")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="two frames or more"):
        SpatialMotion(8)(torch.rand(6, 8, 2, 2), 1)
