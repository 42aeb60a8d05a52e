from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch
from timm.layers.attention import Attention
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from benchmark.cost.counters import count_network
from benchmark.models.backbones.vit import IN21K_FILE, Vit, embedding_size, load_imagenet21k, resized_position
from benchmark.models.weights import WEIGHTS_VARIABLE, PretrainedWeightsError


class Classified(nn.Module):
    """Vit on clips of `frames` images, with a classifier."""

    def __init__(self, backbone: Vit, frames: int, classes: int) -> None:
        super().__init__()
        self.backbone, self.frames = backbone, frames
        self.fc = nn.Linear(backbone.out_channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.backbone.features(x.flatten(0, 1), self.frames)).mean(1)


def small(**arguments: object) -> Vit:
    return Vit(**{"width": 1 / 8, "patch_size": 4, "depth": 2, "image_size": 16, "segments": 3, **arguments})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("width", "size"), [(1, (768, 12)), (0.5, (384, 6)), (0.25, (192, 3)), (0.125, (96, 3)), (2, (1536, 24))]
)
def test_narrow_networks_are_the_published_ones(width: float, size: tuple[int, int]) -> None:
    assert embedding_size(width) == size


def test_every_width_gives_whole_heads() -> None:
    for width in range(1, 200):
        dim, heads = embedding_size(width / 100)
        assert dim % heads == 0
        assert dim // heads >= 8
        assert abs(dim - 7.68 * width) <= 4 * heads + 8 * (heads == 3)


def test_is_timms_network_and_averages_the_whole_sequence() -> None:
    reference = VisionTransformer(img_size=16, patch_size=4, num_classes=0, embed_dim=96, depth=2, num_heads=3).eval()
    ours = small().eval()
    ours.load_state_dict(reference.state_dict())
    x = torch.randn(6, 3, 16, 16)
    with torch.no_grad():
        tokens = reference.forward_features(x)
        features = ours.features(x, 3)
    assert tokens.shape == (6, 17, 96)
    assert features.shape == (2, 3, 96)
    expected = torch.stack([sum(sequence[1:], sequence[0]) / 17 for sequence in tokens])
    torch.testing.assert_close(features.flatten(0, 1), expected)


def test_images_do_not_interact() -> None:
    model = small().eval()
    x = torch.randn(3, 3, 16, 16)
    changed = torch.cat([x[:2], torch.randn(1, 3, 16, 16)])
    before, after = model.features(x, 3)[0], model.features(changed, 3)[0]
    torch.testing.assert_close(before[:2], after[:2])
    assert not torch.allclose(before[2], after[2])


@pytest.mark.parametrize("size", [(16, 16), (20, 20), (24, 16), (27, 18)])
@pytest.mark.parametrize("shared", [True, False])
def test_frames_of_other_sizes(size: tuple[int, int], shared: bool) -> None:
    model = small(shared_position=shared)
    assert model(torch.randn(6, 3, *size), 3).shape == (6, 1 + (size[0] // 4) * (size[1] // 4), 96)


def test_resized_position_keeps_the_class_token_and_the_layout() -> None:
    rows = torch.arange(8.0)[:, None].expand(8, 8)
    columns = torch.arange(8.0)[None, :].expand(8, 8)
    patches = torch.stack([rows, columns, torch.full((8, 8), 5.0)], -1).reshape(1, 64, 3)
    position = torch.cat([torch.tensor([[[-1.0, -2.0, -3.0]]]), patches], 1)
    torch.testing.assert_close(resized_position(position, 8, (8, 8)), position)
    resized = resized_position(position, 8, (16, 12))
    assert resized.shape == (1, 1 + 16 * 12, 3)
    torch.testing.assert_close(resized[0, 0], position[0, 0])
    maps = resized[0, 1:].reshape(16, 12, 3)
    torch.testing.assert_close(maps[..., 2], torch.full((16, 12), 5.0))
    # A ramp stays the ramp, sampled at the centres of the new patches, away from the border.
    torch.testing.assert_close(maps[4:12, 3, 0], (torch.arange(4, 12) + 0.5) / 2 - 0.5, atol=1e-4, rtol=0)
    torch.testing.assert_close(maps[3, 3:9, 1], (torch.arange(3, 9) + 0.5) * 8 / 12 - 0.5, atol=2e-2, rtol=0)


def test_copies_of_the_position_are_alike_until_trained() -> None:
    shared, copies = small().eval(), small(shared_position=False).eval()
    assert copies.pos_embed.shape == (3, 17, 96)
    state = shared.state_dict()
    copies.load_state_dict({**state, "pos_embed": state["pos_embed"].repeat(3, 1, 1)})
    # Two clips of three segments, each of two images.
    x = torch.randn(12, 3, 16, 16)
    before = copies.features(x, 6)
    torch.testing.assert_close(before, shared.features(x, 6))
    with torch.no_grad():
        copies.pos_embed[1] += torch.randn(17, 96)
    moved = (copies.features(x, 6) - before).abs().amax(-1) > 1e-4
    assert moved.tolist() == [[False, False, True, True, False, False]] * 2
    with pytest.raises(ValueError, match="4 images a clip do not divide into 3 segments"):
        copies.features(x, 4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_reach_every_parameter(dtype: torch.dtype) -> None:
    model = small(in_channels=5, shared_position=False)
    with torch.autocast("cpu", dtype, enabled=dtype is torch.bfloat16):
        model.features(torch.randn(3, 5, 20, 20), 3).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@pytest.mark.parametrize(("shared", "parameters"), [(True, 85_932_462), (False, 86_991_534)])
def test_cost_of_vit_b16(shared: bool, parameters: int) -> None:
    with torch.device("meta"):
        network = Classified(Vit(shared_position=shared), 8, 174)
    for module in network.modules():
        if isinstance(module, Attention):
            module.fused_attn = False  # type: ignore[misc]
    record = count_network(network, (1, 8, 3, 224, 224))
    assert sum(entry.total for entry in record.parameters) == parameters
    macs: Counter[str] = Counter()
    for entry in record.operators:
        macs[entry.operator] += entry.macs
    n, c = 197, 768
    patches = 8 * 196 * 16 * 16 * 3 * c
    layers = 8 * 12 * n * 12 * c * c
    assert macs["conv"] + macs["linear"] == patches + layers + 8 * c * 174
    assert (macs["conv"] + macs["linear"]) / 1e9 == pytest.approx(134.78, abs=0.005)
    assert macs["matmul"] == 8 * 12 * 2 * n * n * c
    assert sum(macs.values()) / 1e9 == pytest.approx(140.7, abs=0.05)
    # The paper's 269 GFLOPs: two per multiply-accumulate, without attention's products, truncated.
    assert int(2 * (macs["conv"] + macs["linear"]) / 1e9) == 269


def test_fused_attention_is_what_counters_miss() -> None:
    with torch.device("meta"):
        network = Classified(small(), 3, 4)
    record = count_network(network, (1, 3, 3, 16, 16))
    assert not [entry for entry in record.operators if entry.operator == "matmul"]
    assert record.torch_macs["bmm"] == 3 * 2 * 2 * 17 * 17 * 96


def test_pretrained_weights_load_by_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path))
    state = small().state_dict()
    extra = {"head.weight": torch.ones(2, 96), "head.bias": torch.ones(2), "pre_logits.fc.weight": torch.ones(96, 96)}
    torch.save({**state, **extra}, tmp_path / IN21K_FILE)
    target = small(in_channels=2, image_size=24, shared_position=False)
    load_imagenet21k(target)
    projection = state["patch_embed.proj.weight"].mean(1)
    for channel in range(2):
        torch.testing.assert_close(target.patch_embed.proj.weight[:, channel], projection)
    for key, value in target.state_dict().items():
        assert key in ("pos_embed", "patch_embed.proj.weight") or torch.equal(value, state[key])
    assert target.pos_embed.shape == (3, 37, 96)
    for copy in target.pos_embed:
        torch.testing.assert_close(copy[None], resized_position(state["pos_embed"], 4, (6, 6)))


def test_missing_weights_and_wrong_networks_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path))
    with torch.device("meta"), pytest.raises(PretrainedWeightsError, match=IN21K_FILE):
        Vit(pretrained="imagenet21k")
    with pytest.raises(ValueError, match=r"ViT-B/16 .* got width 1.0, patch_size 16, depth 6"):
        Vit(depth=6, pretrained="imagenet21k")
    with pytest.raises(ValueError, match="smaller than a patch"):
        Vit(image_size=14)
