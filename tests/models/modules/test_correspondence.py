from __future__ import annotations

import pytest
import torch
from torch import Tensor

from benchmark.cost.conventions import CONVENTIONS
from benchmark.models.modules import correspondence
from benchmark.models.modules.correspondence import CorrespondenceModule, coordinates, nearest_elsewhere
from tests.models.modules.costs import record_of
from tests.models.modules.trained import normalised, trained


def neighbours_by_loops(points: Tensor, frames: int, k: int) -> list[set[int]]:
    """Of every point of one clip, (N, C), the k nearest of other frames."""
    per_frame = points.shape[0] // frames
    found = []
    for i in range(points.shape[0]):
        others = [j for j in range(points.shape[0]) if j // per_frame != i // per_frame]
        found.append(set(sorted(others, key=lambda j: float(((points[i] - points[j]) ** 2).sum()))[:k]))
    return found


def by_loops(module: CorrespondenceModule, x: Tensor, frames: int) -> Tensor:
    """The module, position by position and neighbour by neighbour, in evaluation mode."""
    height, width = x.shape[2:]
    y = torch.empty_like(x)
    for start in range(0, x.shape[0], frames):
        places = [(t, i, j) for t in range(frames) for i in range(height) for j in range(width)]
        points = torch.stack([x[start + t, :, i, j] for t, i, j in places])
        for n, neighbours in enumerate(neighbours_by_loops(points, frames, module.k)):
            hidden = []
            for m in neighbours:
                extent = (frames, height, width)
                offset = [(b - a) / side for a, b, side in zip(places[n], places[m], extent, strict=True)]
                pair = torch.cat([torch.tensor(offset, dtype=x.dtype), points[n], points[m]])
                for conv, bn in ((module.first, module.first_bn), (module.second, module.second_bn)):
                    assert conv.bias is not None
                    pair = normalised(bn, conv.weight.flatten(1) @ pair + conv.bias).relu()
                hidden.append(pair)
            strongest = torch.stack(hidden).amax(0)
            assert module.last.bias is not None
            added = normalised(module.last_bn, module.last.weight.flatten(1) @ strongest + module.last.bias)
            t, i, j = places[n]
            y[start + t, :, i, j] = (points[n] + added).relu()
    return y


@pytest.mark.parametrize(("frames", "k"), [(2, 1), (3, 8), (4, 3)])
def test_equals_the_equations_by_loops(frames: int, k: int) -> None:
    module = trained(CorrespondenceModule(8, k)).double().eval()
    x = torch.rand(2 * frames, 8, 3, 4, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(module(x, frames), by_loops(module, x, frames))


@pytest.mark.parametrize(("frames", "k"), [(2, 1), (3, 8)])
def test_training_computes_the_same_first_layer(frames: int, k: int) -> None:
    """With the statistics fixed, the order of training gives what evaluation's order gives."""
    module = trained(CorrespondenceModule(8, k)).double().eval()
    x = torch.rand(2 * frames, 8, 4, 3, dtype=torch.float64)
    expected = module(x, frames)
    module.training = True
    torch.testing.assert_close(module(x, frames), expected)


def test_finds_the_nearest_of_other_frames() -> None:
    points = torch.randn(2, 3 * 10, 5, dtype=torch.float64)
    found = nearest_elsewhere(points, 3, 4)
    for clip in range(2):
        assert [set(row.tolist()) for row in found[clip]] == neighbours_by_loops(points[clip], 3, 4)


@pytest.mark.parametrize("at_once", [1, 100, 777, 10**9])
def test_the_number_of_distances_at_once_changes_nothing(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    points = torch.randn(2, 4 * 15, 6)
    expected = nearest_elsewhere(points, 4, 5).sort(2).values
    sizes = []
    product = torch.bmm

    def noting(a: Tensor, b: Tensor) -> Tensor:
        result = product(a, b)
        sizes.append(result.numel())
        return result

    monkeypatch.setattr(correspondence, "DISTANCES_AT_ONCE", at_once)
    monkeypatch.setattr(torch, "bmm", noting)
    assert torch.equal(nearest_elsewhere(points, 4, 5).sort(2).values, expected)
    assert sum(sizes) == 2 * 60**2
    assert max(sizes) <= max(at_once, 2 * 60)


def test_follows_a_moving_pattern() -> None:
    """Features that move by one position a frame are found where they went."""
    frame = torch.randn(6, 1, 5, 7)
    clip = torch.cat([frame.roll(t, -1) for t in range(2)], dim=1)
    found = nearest_elsewhere(clip.flatten(1).t().unsqueeze(0), 2, 1).view(2, 5, 7)
    rows, columns = torch.arange(5).view(-1, 1) * 7, torch.arange(7)
    assert torch.equal(found[0], 35 + rows + (columns + 1) % 7)
    assert torch.equal(found[1], rows + (columns - 1) % 7)


def test_coordinates_are_parts_of_the_clip() -> None:
    places = coordinates(4, 2, 5, torch.zeros(()))
    assert places.shape == (40, 3)
    torch.testing.assert_close(places[0], torch.zeros(3))
    torch.testing.assert_close(places[2 * 10 + 1 * 5 + 3], torch.tensor([0.5, 0.5, 0.6]))


@pytest.mark.parametrize("training", [True, False])
def test_starts_as_a_relu(training: bool) -> None:
    x = torch.randn(8, 16, 4, 4)
    assert torch.equal(CorrespondenceModule(16).train(training)(x, 4), x.relu())


def test_the_order_of_frames_matters_by_the_offset_alone() -> None:
    """Without weights on the offset in time, frames may come in any order."""
    module, x = trained(CorrespondenceModule(8, 3)).double().eval(), torch.rand(4, 8, 3, 3, dtype=torch.float64)
    order = torch.tensor([2, 0, 3, 1])
    assert not torch.allclose(module(x[order], 4), module(x, 4)[order])
    with torch.no_grad():
        module.first.weight[:, 0] = 0
    torch.testing.assert_close(module(x[order], 4), module(x, 4)[order])


def test_the_search_has_full_precision_under_autocast() -> None:
    points = 50 + torch.randn(1, 40, 8)
    expected = nearest_elsewhere(points, 4, 3).sort(2).values
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(nearest_elsewhere(points, 4, 3).sort(2).values, expected)


@pytest.mark.parametrize(("k", "total"), [(8, 5.617), (11, 5.815)])
def test_costs_after_res3_of_resnet18(k: int, total: float) -> None:
    """The search takes 5.035 G, the pairs 0.519 G with k = 8, the last layer 0.051 G, normalisations 0.011 G."""
    record = record_of(CorrespondenceModule, 128, 28, k=k)
    positions = 8 * 28 * 28
    search, pairs, last = positions**2 * 128, k * positions * (259 * 32 + 32 * 64), positions * 64 * 128
    norms = 2 * positions * (k * (32 + 64) + 128)
    assert CONVENTIONS["fvcore_core"].macs(record) == search + pairs + last == sum(record.torch_macs.values())
    assert CONVENTIONS["fvcore"].macs(record) == search + pairs + last + norms
    assert round(CONVENTIONS["fvcore"].macs(record) / 1e9, 3) == total
    assert CONVENTIONS["fvcore"].params(record) == 19_200


def test_impossible_arguments_are_refused() -> None:
    for channels in (0, 6):
        with pytest.raises(ValueError, match="multiple of 4"):
            CorrespondenceModule(channels)
    with pytest.raises(ValueError, match="k must be positive"):
        CorrespondenceModule(8, 0)
    with pytest.raises(ValueError, match="1 frames of 100 positions have no 8 neighbours"):
        CorrespondenceModule(8)(torch.rand(6, 8, 10, 10), 1)
    with pytest.raises(ValueError, match="2 frames of 4 positions have no 8 neighbours"):
        CorrespondenceModule(8)(torch.rand(6, 8, 2, 2), 2)
