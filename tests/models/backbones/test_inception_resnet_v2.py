from __future__ import annotations

from pathlib import Path

import pytest
import torch
from timm.models.inception_resnet_v2 import InceptionResnetV2
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.cost.counters import count_network
from benchmark.models.backbones.inception_resnet_v2 import IMAGENET_FILE, InceptionResNetV2, load_imagenet
from benchmark.models.weights import WEIGHTS_VARIABLE, PretrainedWeightsError


class Classified(nn.Module):
    """Inception-ResNet-v2 on one image, with a classifier."""

    def __init__(self, backbone: InceptionResNetV2, classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.fc = nn.Linear(backbone.out_channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.backbone.features(x.flatten(0, 1), 1)).mean(1)


def test_is_timms_network() -> None:
    torch.manual_seed(0)
    with torch.device("meta"):
        reference = InceptionResnetV2().eval()
    ours = InceptionResNetV2().eval()
    state = ours.state_dict()
    wanted = {key: value.shape for key, value in reference.state_dict().items() if not key.startswith("classif.")}
    assert {key: value.shape for key, value in state.items()} == wanted
    reference.load_state_dict(state, strict=False, assign=True)
    x = torch.randn(2, 3, 75, 79)
    with torch.no_grad():
        maps = reference.forward_features(x)
        torch.testing.assert_close(ours(x), maps)
        torch.testing.assert_close(ours.features(x, 2), maps.mean((2, 3))[None])


def test_parts_have_tf_slims_names_and_order() -> None:
    with torch.device("meta"):
        stages = dict(InceptionResNetV2().stages())
    names = (
        "conv2d_1a conv2d_2a conv2d_2b maxpool_3a conv2d_3b conv2d_4a maxpool_5a mixed_5b block_a mixed_6a block_b"
        " mixed_7a block_c block8 conv2d_7b"
    )
    assert list(stages) == names.split()
    blocks = {name: [type(block).__name__ for block in stages[name].children()] for name in ("block_a", "block_b")}
    assert blocks == {"block_a": ["Block35"] * 10, "block_b": ["Block17"] * 20}


def test_maps_have_the_published_sides_and_channels() -> None:
    x = torch.empty(1, 3, 299, 299, device="meta")
    with torch.device("meta"):
        backbone = InceptionResNetV2()
    shapes = {}
    for name, stage in backbone.stages():
        x = stage(x)
        shapes[name] = tuple(x.shape[1:])
    assert shapes["conv2d_1a"] == (32, 149, 149)
    assert shapes["conv2d_4a"] == (192, 71, 71)
    assert shapes["block_a"] == (320, 35, 35)
    assert shapes["block_b"] == (1088, 17, 17)
    assert shapes["conv2d_7b"] == (1536, 8, 8)


def test_an_eighth_of_the_channels() -> None:
    backbone = InceptionResNetV2(1 / 8)
    x, channels = torch.randn(2, 3, 75, 75), {}
    for name, stage in backbone.stages():
        x = stage(x)
        channels[name] = x.shape[1]
    # A concatenation is the sum of its branches, each rounded: Mixed_5b 16 + 8 + 16 + 8, 6a 48 + 48 + 48, 7a
    # 48 + 32 + 40 + 144.
    assert (channels["conv2d_1a"], channels["conv2d_4a"]) == (8, 24)
    assert (channels["block_a"], channels["block_b"], channels["block_c"]) == (48, 144, 264)
    assert backbone.out_channels == channels["conv2d_7b"] == 192
    assert sum(p.numel() for p in backbone.parameters()) < 54.3e6 / 60


@pytest.mark.parametrize("width", [0.01, 0.2, 0.55])
def test_every_width_runs(width: float) -> None:
    with torch.device("meta"):
        backbone = InceptionResNetV2(width).eval()
        assert backbone(torch.empty(1, 3, 75, 75)).shape == (1, backbone.out_channels, 1, 1)
    norms = [module for module in backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms
    assert all(norm.weight.shape == norm.running_var.shape == (norm.num_features,) for norm in norms)  # type: ignore[union-attr]


@pytest.mark.parametrize("size", [27, 56, 75])
def test_small_frames_give_maps(size: int) -> None:
    backbone = InceptionResNetV2(1 / 8).eval()
    assert backbone.features(torch.randn(4, 3, size, size), 2).shape == (2, 2, 192)


def test_padding_starts_where_a_map_is_smaller_than_the_window() -> None:
    backbone = InceptionResNetV2(1 / 8).eval()
    reduction = backbone.get_submodule("mixed_7a")
    for side, padded in ((1, (1, 1)), (2, (0, 1)), (3, (0, 0)), (4, (0, 0))):
        x = torch.rand(1, 144, side, side)
        before = F.pad(x, (*padded, *padded))
        branches = [reduction.get_submodule(f"branch{number}")(before) for number in range(4)]
        torch.testing.assert_close(reduction(x), torch.cat(branches, 1))


def test_starts_as_pytorch_starts_its_layers() -> None:
    torch.manual_seed(0)
    backbone = InceptionResNetV2(1 / 8)
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            bound = module.weight[0].numel() ** -0.5
            assert bound / 2 < module.weight.abs().max() <= bound
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            assert not module.running_mean.any()
            assert (module.running_var == 1).all()
            assert (module.weight == 1).all()
            assert module.eps == 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_reach_every_parameter(dtype: torch.dtype) -> None:
    backbone = InceptionResNetV2(1 / 8, in_channels=2)
    with torch.autocast("cpu", dtype, enabled=dtype is torch.bfloat16):
        backbone.features(torch.randn(4, 2, 75, 75), 2).square().sum().backward()
    for name, parameter in backbone.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_cost() -> None:
    with torch.device("meta"):
        network = Classified(InceptionResNetV2(), 101)
    record = count_network(network, (1, 1, 3, 299, 299))
    assert next(network.parameters()).is_meta, "counted without storage"
    assert sum(entry.total for entry in record.parameters) == 54_461_701
    convolutions = sum(entry.macs for entry in record.operators if entry.operator in ("conv", "linear"))
    assert convolutions / 1e9 == pytest.approx(13.154, abs=5e-4)
    assert sum(entry.macs for entry in record.operators) / 1e9 == pytest.approx(13.182, abs=5e-4)


def test_pretrained_weights_load_by_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path))
    source, target = InceptionResNetV2(1 / 8), InceptionResNetV2(1 / 8, in_channels=10)
    state = source.state_dict()
    torch.save({**state, "classif.weight": torch.ones(3, 192), "classif.bias": torch.ones(3)}, tmp_path / IMAGENET_FILE)
    load_imagenet(target)
    first = "conv2d_1a.conv.weight"
    loaded = target.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in state.items() if key != first)
    torch.testing.assert_close(loaded[first], state[first].mean(1, keepdim=True).repeat(1, 10, 1, 1))


def test_missing_weights_and_wrong_widths_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path))
    with torch.device("meta"), pytest.raises(PretrainedWeightsError, match=IMAGENET_FILE):
        InceptionResNetV2(pretrained="imagenet")
    with pytest.raises(ValueError, match=r"width 1\.0 only, got width 0\.5"):
        InceptionResNetV2(0.5, pretrained="imagenet")
