from __future__ import annotations

from pathlib import Path

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

    def __init__(self) -> None:
        super().__init__()
        self.backbone = MobileNetV2()
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


class TestPretrained:
    FILE = "mobilenet_v2-b0353104.pth"

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
