from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn

from benchmark.models.backbones.resnet import ResNet, pooled, scaled_channels
from benchmark.models.modules.temporal_shift import temporal_shift
from benchmark.models.weights import WEIGHTS_VARIABLE, PretrainedWeightsError


def without_fc(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {key: value for key, value in state.items() if not key.startswith("fc.")}


@pytest.mark.parametrize("depth", [18, 50])
def test_agrees_with_torchvision_without_shift(depth: int) -> None:
    reference = getattr(torchvision.models, f"resnet{depth}")(weights=None).eval()
    ours = ResNet(depth, temporal_shift=False).eval()
    ours.load_state_dict(without_fc(reference.state_dict()))
    reference.fc = torch.nn.Identity()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(pooled(ours(x, 1)), reference(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("depth", [18, 50, 101])
def test_state_dict_is_torchvisions(depth: int) -> None:
    with torch.device("meta"):
        reference = without_fc(getattr(torchvision.models, f"resnet{depth}")(weights=None).state_dict())
        ours = ResNet(depth).state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in reference.items()}


@pytest.mark.parametrize(("depth", "parameters"), [(50, 23_508_032), (101, 42_500_160)])
def test_parameter_count(depth: int, parameters: int) -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in ResNet(depth).parameters()) == parameters


@pytest.mark.parametrize("depth", [18, 50])
def test_shift_enters_the_branch_and_not_the_shortcut(depth: int) -> None:
    _, _, block = next(ResNet(depth, width=0.25).eval().blocks())
    x = torch.randn(6, 16, 8, 8)
    shortcut = x if block.downsample is None else block.downsample(x)
    expected = torch.relu(shortcut + block.branch(temporal_shift(x, 3)))
    torch.testing.assert_close(block(x, 3), expected)


@pytest.mark.parametrize("depth", [18, 50, 101])
def test_every_block_shifts_or_none(depth: int) -> None:
    with torch.device("meta"):
        assert all(block.shift is not None for _, _, block in ResNet(depth).blocks())
        assert all(block.shift is None for _, _, block in ResNet(depth, temporal_shift=False).blocks())


def test_without_shift_frames_do_not_mix() -> None:
    x = torch.randn(4, 3, 32, 32)
    changed = torch.cat([x[:3], torch.randn(1, 3, 32, 32)])
    for shift in (False, True):
        model = ResNet(18, width=0.125, temporal_shift=shift).eval()
        assert torch.equal(model(x, 4)[0], model(changed, 4)[0]) is not shift


def test_widths_stay_divisible_by_eight() -> None:
    assert [scaled_channels(c, 1.0) for c in (64, 128, 256, 512)] == [64, 128, 256, 512]
    assert [scaled_channels(c, 0.125) for c in (64, 128, 256, 512)] == [8, 16, 32, 64]
    assert all(scaled_channels(64, width / 100) % 8 == 0 for width in range(1, 200))
    model = ResNet(50, width=0.125)
    assert model.stage_channels == {"res2": 32, "res3": 64, "res4": 128, "res5": 256}
    assert model(torch.randn(2, 3, 64, 64), 2).shape == (2, 256, 2, 2)


def test_blocks_are_named_as_in_the_tables() -> None:
    names = [(stage, index) for stage, index, _ in ResNet(18, width=0.125).blocks()]
    assert names == [(stage, index) for stage in ("res2", "res3", "res4", "res5") for index in range(2)]


class TestPretrained:
    FILE = "resnet18-f37072fd.pth"

    def test_weights_folder_comes_first(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        reference = torchvision.models.resnet18(weights=None)
        torch.save(reference.state_dict(), tmp_path / self.FILE)
        monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path))
        loaded = ResNet(18, pretrained="imagenet").state_dict()
        assert all(torch.equal(loaded[k], v) for k, v in without_fc(reference.state_dict()).items())

    def test_a_missing_file_says_what_to_put_where(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def offline(*_: object, **__: object) -> None:
            raise OSError("no route to host")

        monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path))
        monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
        with pytest.raises(PretrainedWeightsError) as caught:
            ResNet(18, pretrained="imagenet")
        for part in (self.FILE, "ResNet18_Weights.IMAGENET1K_V1", str(tmp_path), "BENCHMARK_WEIGHTS"):
            assert part in str(caught.value)


def test_what_is_inserted_runs_at_its_place_and_leaves_the_backbone_as_it_was() -> None:
    seen: list[tuple[str, tuple[int, ...], int]] = []

    class Note(nn.Module):
        def __init__(self, place: str) -> None:
            super().__init__()
            self.place = place
            self.conv = nn.Conv2d(1, 1, 1)  # takes random numbers, and has weights of its own

        def forward(self, x: Tensor, frames: int) -> Tensor:
            seen.append((self.place, tuple(x.shape), frames))
            return x

    def insert(place: str, channels: int) -> nn.Module | None:
        return Note(f"after {place} of {channels}") if place in ("res3.0", "res5.2") else None

    def before(place: str, channels: int) -> nn.Module | None:
        return Note(f"before {place} of {channels}") if place.endswith(".0") else None

    torch.manual_seed(0)
    plain = ResNet(50, 0.125).eval()
    torch.manual_seed(0)
    filled = ResNet(50, 0.125, insert=insert, before=before).eval()
    x = torch.randn(4, 3, 64, 64)
    torch.testing.assert_close(filled(x, 2), plain(x, 2), rtol=0, atol=0)
    assert [place for place, _, _ in seen] == [
        "before res2.0 of 8",
        "before res3.0 of 32",
        "after res3.0 of 64",
        "before res4.0 of 64",
        "before res5.0 of 128",
        "after res5.2 of 256",
    ]
    assert {frames for _, _, frames in seen} == {2}
    assert {place: shape for place, shape, _ in seen}["after res3.0 of 64"] == (4, 64, 8, 8)
    theirs = {name for name, _ in filled.named_parameters()} - {name for name, _ in plain.named_parameters()}
    assert {name.split(".")[0] for name in theirs if ".before." not in name} == {"inserts"}
