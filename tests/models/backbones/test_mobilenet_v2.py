from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
import torch
import torchvision
from torch import Tensor, nn

from benchmark.cost.counters import count_network
from benchmark.models.backbones.mobilenet_v2 import InvertedResidual, MobileNetV2, from_torchvision
from benchmark.models.modules.temporal_shift import temporal_shift
from benchmark.models.single_path import build_classifier
from benchmark.models.weights import WEIGHTS_VARIABLE, PretrainedWeightsError
from benchmark.train.optim import parameter_roles


def torchvision_network() -> nn.Module:
    """Torchvision's network with random running statistics and gates."""
    network: nn.Module = torchvision.models.mobilenet_v2(weights=None)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            module.running_mean = 0.1 * torch.randn_like(module.weight.detach())
            module.running_var = 0.5 + torch.rand_like(module.weight.detach())
    return network


def inverted(model: MobileNetV2) -> list[InvertedResidual]:
    return [layer for layer in model.layers if isinstance(layer, InvertedResidual)]


class Classified(nn.Module):
    """The backbone and a classifier, on (1, 8, 3, H, W)."""

    def __init__(self, stem_kernel: Literal[3, 7] = 3) -> None:
        super().__init__()
        self.backbone = MobileNetV2(stem_kernel=stem_kernel)
        self.fc = build_classifier(self.backbone.out_channels, 174)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.backbone.features(x.flatten(0, 1), 8))
        return logits.mean(1)


def test_agrees_with_torchvision_without_shift() -> None:
    reference = torchvision_network().eval()
    ours = MobileNetV2(temporal_shift=False).eval()
    ours.load_state_dict(from_torchvision(reference.state_dict()))
    reference.classifier = nn.Identity()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = reference(x)
        assert expected.std() > 0.01
        torch.testing.assert_close(ours.features(x, 2)[0], expected, rtol=1e-4, atol=1e-4)


def test_every_torchvision_parameter_has_a_place() -> None:
    with torch.device("meta"):
        reference = from_torchvision(torchvision.models.mobilenet_v2(weights=None).state_dict())
        ours = MobileNetV2().state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in reference.items()}


def test_cost() -> None:
    with torch.device("meta"):
        network = Classified()
    record = count_network(network, (1, 8, 3, 224, 224))
    by_operator = record.by_operator()
    assert (by_operator["conv"] + by_operator["linear"]) / 1e9 == pytest.approx(2.398, abs=5e-4)
    assert record.gmacs == pytest.approx(2.505, abs=5e-4)
    assert record.params == 2_223_872 + 1281 * 174  # 2.4468 M


@pytest.mark.parametrize(("stem_kernel", "msnet_gmacs"), [(3, 2.611), (7, 2.997)])
def test_cost_of_either_stem_by_the_counter_of_motionsqueeze(stem_kernel: Literal[3, 7], msnet_gmacs: float) -> None:
    with torch.device("meta"):
        network = Classified(stem_kernel)
    record = count_network(network, (1, 8, 3, 224, 224))
    by_operator = record.by_operator()
    # Four operations for an element normalised; a pool is none.
    normalised = sum(entry.inputs for entry in record.operators if entry.operator == "batch_norm")
    counted = by_operator["conv"] + by_operator["linear"] + 4 * normalised
    assert counted / 1e9 == pytest.approx(msnet_gmacs, abs=5e-4)
    assert record.params == 2_446_766 + 32 * 3 * (stem_kernel**2 - 9)


def test_a_stem_of_another_size() -> None:
    with pytest.raises(ValueError, match="3 or 7, got 5"):
        MobileNetV2(0.125, stem_kernel=5)  # type: ignore[arg-type]


def test_the_ten_blocks_with_a_shortcut_shift() -> None:
    with torch.device("meta"):
        layers = inverted(MobileNetV2())
        unshifted = inverted(MobileNetV2(temporal_shift=False))
    shifting = [i for i, layer in enumerate(layers) if layer.shift is not None]
    assert shifting == [i for i, layer in enumerate(layers) if layer.shortcut]
    assert shifting == [2, 4, 5, 7, 8, 9, 11, 12, 14, 15]
    assert all(layer.shift is None for layer in unshifted)


def test_shift_enters_the_branch_and_not_the_shortcut() -> None:
    layer = inverted(MobileNetV2().eval())[2]
    x = torch.randn(6, 24, 8, 8)
    torch.testing.assert_close(layer(x, 3), x + layer.conv(temporal_shift(x, 3)))


def test_without_shift_frames_do_not_mix() -> None:
    x = torch.randn(4, 3, 32, 32)
    changed = torch.cat([x[:3], torch.randn(1, 3, 32, 32)])
    for shift in (False, True):
        model = MobileNetV2(width=0.25, temporal_shift=shift).eval()
        assert torch.equal(model(x, 4)[0], model(changed, 4)[0]) is not shift


@pytest.mark.parametrize(("width", "features"), [(0.125, 160), (0.5, 640)])
def test_narrow_network_has_the_structure_of_the_wide_one(width: float, features: int) -> None:
    narrow = MobileNetV2(width)
    with torch.device("meta"):
        wide = MobileNetV2()
    assert narrow.state_dict().keys() == wide.state_dict().keys()
    assert [layer.shortcut for layer in inverted(narrow)] == [layer.shortcut for layer in inverted(wide)]
    assert narrow.out_channels == features
    assert narrow(torch.randn(2, 3, 64, 64), 2).shape == (2, features, 2, 2)
    assert narrow.features(torch.randn(6, 3, 64, 64), 3).shape == (2, 3, features)


@pytest.mark.parametrize("bf16", [False, True])
def test_gradients_are_finite_and_reach_every_parameter(bf16: bool) -> None:
    model = MobileNetV2(0.125)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        model.features(torch.randn(8, 3, 56, 56), 4).square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_one_stem_convolution() -> None:
    roles = parameter_roles(MobileNetV2(0.125))
    assert [name for name, role in roles.items() if role == "stem_conv"] == ["conv1.weight"]


# Stage: its channels and the index of its last block.
STAGES = {1: (16, 0), 2: (24, 2), 3: (32, 5), 4: (64, 9), 5: (96, 12), 6: (160, 15), 7: (320, 16)}


class Affine(nn.Module):
    """Keeps the map that it is called with and returns another one of its own."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1)
        nn.init.constant_(self.conv.weight, 0.5)
        self.seen: Tensor | None = None

    def forward(self, x: Tensor, frames: int) -> Tensor:
        assert x.shape[0] % frames == 0
        self.seen = x
        return x.roll(frames // 2, 0) * 0.5


class TestInserts:
    def test_asked_in_the_order_of_the_network(self) -> None:
        asked: list[tuple[str, int]] = []
        with torch.device("meta"):
            model = MobileNetV2(insert=lambda place, channels: asked.append((place, channels)))
        assert asked == [(f"stage{number}", channels) for number, (channels, _) in STAGES.items()]
        assert not model.inserts

    @torch.no_grad()
    @pytest.mark.parametrize("number", STAGES)
    def test_runs_right_after_its_stage(self, number: int) -> None:
        inserted: list[Affine] = []

        def insert(place: str, channels: int) -> nn.Module | None:
            if place != f"stage{number}":
                return None
            inserted.append(Affine(channels))
            return inserted[0]

        model = MobileNetV2(0.25, insert=insert).eval()
        assert list(model.inserts) == [f"stage{number}"]
        x = torch.randn(8, 3, 64, 64)
        out = model(x, 4)
        x = model.relu(model.bn1(model.conv1(x)))
        for index, layer in enumerate(model.layers):
            x = layer(x, 4)
            if index == STAGES[number][1]:
                assert inserted[0].seen is not None
                assert torch.equal(x, inserted[0].seen)
                x = x.roll(2, 0) * 0.5
        torch.testing.assert_close(out, model.relu(model.bn_last(model.conv_last(x))))

    def test_motionsqueeze_sees_32_channels_at_an_eighth_of_the_side(self) -> None:
        seen = Affine(32)
        with torch.device("meta"):
            model = MobileNetV2(insert=lambda place, _: seen if place == "stage3" else None)
            model(torch.empty(8, 3, 224, 224), 8)
        assert seen.seen is not None
        assert seen.seen.shape == (8, 32, 28, 28)

    def test_backbone_and_insert_keep_their_initialisation(self) -> None:
        torch.manual_seed(3)
        plain = MobileNetV2(0.125).state_dict()
        torch.manual_seed(3)
        state = MobileNetV2(0.125, insert=lambda place, channels: Affine(channels)).state_dict()
        assert all(torch.equal(state[key], value) for key, value in plain.items())
        added = {key for key in state if key not in plain}
        assert added == {f"inserts.stage{n}.conv.{name}" for n in STAGES for name in ("weight", "bias")}
        assert all((state[f"inserts.stage{n}.conv.weight"] == 0.5).all() for n in STAGES)


class TestPretrained:
    FILE = "mobilenet_v2-b0353104.pth"

    @torch.no_grad()
    def test_a_stem_of_7_pixels_starts_as_the_same_function(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        torch.save(torchvision_network().state_dict(), tmp_path / self.FILE)
        monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path))
        usual = MobileNetV2(pretrained="imagenet").eval()
        large = MobileNetV2(pretrained="imagenet", stem_kernel=7, insert=lambda _, channels: Affine(channels)).eval()
        assert large.conv1.weight.shape == (32, 3, 7, 7)
        assert int(large.conv1.weight.count_nonzero()) == 32 * 3 * 9
        assert (large.inserts["stage1"].get_submodule("conv").get_parameter("weight") == 0.5).all()
        x = torch.randn(2, 3, 64, 64)
        torch.testing.assert_close(large.conv1(x), usual.conv1(x), rtol=1e-4, atol=1e-5)

    def test_weights_folder_comes_first(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        state = torchvision_network().state_dict()
        torch.save(state, tmp_path / self.FILE)
        monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path))
        model = MobileNetV2(pretrained="imagenet", in_channels=10)
        for channel in range(10):
            torch.testing.assert_close(model.conv1.weight[:, channel].detach(), state["features.0.0.weight"].mean(1))
        loaded = model.state_dict()
        assert torch.equal(loaded["layers.16.conv.2.weight"], state["features.17.conv.2.weight"])
        assert torch.equal(loaded["bn_last.running_var"], state["features.18.1.running_var"])

    def test_a_missing_file_says_what_to_put_where(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def offline(*_: object, **__: object) -> None:
            raise OSError("no route to host")

        monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path))
        monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
        with pytest.raises(PretrainedWeightsError) as caught:
            MobileNetV2(pretrained="imagenet")
        for part in (self.FILE, "MobileNet_V2_Weights.IMAGENET1K_V1", str(tmp_path), "BENCHMARK_WEIGHTS"):
            assert part in str(caught.value)
