from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmark.config.models import SqueezeLayerConfig, TesNetConfig
from benchmark.config.run import DataConfig
from benchmark.cost.counters import count_network
from benchmark.models.tesnet import TesNet

UCF = DataConfig(dataset="ucf101", segments=1, size=299)
EMBEDDED = DataConfig(dataset="motionpairs", segments=1, size=75)


def layers(*pairs: tuple[str, int]) -> tuple[SqueezeLayerConfig, ...]:
    """Squeeze layers; places that a table cannot name are taken too."""
    return tuple(SqueezeLayerConfig.model_construct(after=after, images=images) for after, images in pairs)  # type: ignore[arg-type]


def config(*pairs: tuple[str, int], **fields: Any) -> TesNetConfig:
    return TesNetConfig(**{"width": 1 / 8, "frames": 4, **fields}).model_copy(update={"layers": layers(*pairs)})


def by_hand(network: TesNet, clip: Tensor, squeezed: dict[str, int]) -> Tensor:
    """Logits of one segment, (K, C, H, W): the layers one after another, images one by one."""
    images = clip
    if "input" in squeezed:
        images = network.squeezes["input"](images[None])[0]
    for place, stage in network.backbone.stages():
        images = torch.cat([stage(image[None]) for image in images])
        if place in squeezed:
            images = network.squeezes[place](images[None])[0]
            assert len(images) == squeezed[place]
    return torch.stack([network.fc(image.mean((1, 2))) for image in images]).mean(0)


@pytest.mark.parametrize(
    "squeezed", [{"input": 2}, {"conv2d_1a": 3, "conv2d_4a": 1}, {"conv2d_1a": 3, "block_a": 2, "block_b": 1}]
)
@pytest.mark.parametrize("segments", [1, 2])
def test_squeezes_each_segment_where_it_says(squeezed: dict[str, int], segments: int) -> None:
    torch.manual_seed(0)
    data = EMBEDDED.model_copy(update={"segments": segments})
    network = TesNet(config(*squeezed.items()), data).eval()
    x = torch.randn(2, segments * 4, 3, 75, 75)
    with torch.no_grad():
        expected = torch.stack(
            [torch.stack([by_hand(network, segment, squeezed) for segment in clip.split(4)]).mean(0) for clip in x]
        )
        torch.testing.assert_close(network(x), expected, rtol=1e-3, atol=1e-6)


# G MACs at 299 x 299 with 101 classes, without the TSP layers; a three-hundredth of it is batch normalisation.
SETTINGS = [
    ((("input", 3),), 39.544),
    ((("input", 1),), 13.182),
    ((("conv2d_1a", 3), ("conv2d_4a", 1)), 16.024),
    ((("conv2d_1a", 3), ("block_a", 1)), 19.691),
    ((("conv2d_1a", 3), ("block_b", 1)), 35.504),
    ((("conv2d_1a", 3), ("mixed_6a", 1)), 22.491),
]


@pytest.mark.parametrize(("pairs", "expected"), SETTINGS)
def test_cost_of_table_3_2(pairs: tuple[tuple[str, int], ...], expected: float) -> None:
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        network = TesNet(config(*pairs, width=1.0, frames=10), UCF).eval()
        network(torch.empty(1, 10, 3, 299, 299))
    flops = counter.get_flop_counts()["Global"]
    convolutions = sum(count for operator, count in flops.items() if "convolution" in str(operator)) / 2e9
    assert 0.9965 * expected < convolutions < expected


def test_cost_of_the_default_setting_by_fvcore() -> None:
    with torch.device("meta"):
        network = TesNet(config(("input", 3), width=1.0, frames=10), UCF)
    record = count_network(network, (1, 10, 3, 299, 299))
    backbone = sum(entry.macs for entry in record.operators if not entry.path.startswith("squeezes"))
    assert backbone / 1e9 == pytest.approx(39.544, abs=1e-3)
    # Two products of 10 x 3 with 10 values at every place of every channel are the most that the projection takes.
    assert 0 <= sum(entry.macs for entry in record.operators) - backbone <= 2 * 10 * 3 * 3 * 299**2 + 1000
    squeezes = sum(entry.total for entry in record.parameters if entry.path.startswith("squeezes"))
    assert squeezes in (10 * 10 + 10 * 30, 10 * 10 + 10 * 30 + 10 + 30)


def residuals(network: TesNet) -> list[Tensor]:
    found = [layer.residual for layer in network.squeezes.values()]
    assert all(isinstance(residual, Tensor) for residual in found)
    return found  # type: ignore[return-value]


def test_every_layer_has_its_residual() -> None:
    network = TesNet(config(("conv2d_1a", 3), ("block_b", 1)), EMBEDDED)
    assert [layer.residual for layer in network.squeezes.values()] == [None, None]
    network(torch.randn(2, 4, 3, 75, 75))
    first, second = residuals(network)
    assert first.shape == second.shape == ()
    assert min(first, second) > 0
    second.backward()
    # The loss of a layer trains its own excitation, not the layers that make its maps.
    assert network.backbone.get_parameter("conv2d_1a.conv.weight").grad is None
    gradients = [p.grad for p in network.squeezes.parameters() if p.grad is not None]
    assert any(gradient.any() for gradient in gradients)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_reach_every_parameter(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    network = TesNet(config(("conv2d_1a", 3), ("block_b", 2)), EMBEDDED)
    with torch.autocast("cpu", dtype, enabled=dtype is torch.bfloat16):
        logits = network(torch.randn(3, 4, 3, 75, 75))
        loss = logits.square().sum() + torch.stack(residuals(network)).sum()
    loss.backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_clips_do_not_mix() -> None:
    network = TesNet(config(("input", 2), ("block_a", 1)), EMBEDDED).eval()
    x = torch.randn(2, 4, 3, 75, 75)
    changed = torch.cat([x[:1], torch.randn(1, 4, 3, 75, 75)])
    before, after = network(x), network(changed)
    torch.testing.assert_close(before[0], after[0])
    assert not torch.equal(before[1], after[1])


def test_flow_has_two_channels_and_other_sizes_run() -> None:
    network = TesNet(config(("input", 1), modality="flow"), EMBEDDED).eval()
    for size in ((75, 75), (90, 110)):
        assert network(torch.randn(2, 4, 2, *size)).shape == (2, 8)


def test_wrong_clips_and_wrong_places_are_named() -> None:
    network = TesNet(config(("input", 1)), EMBEDDED)
    with pytest.raises(ValueError, match="expected clips of 4 frames, got 5"):
        network(torch.randn(1, 5, 3, 75, 75))
    for wrong in ([("block_b", 3), ("conv2d_1a", 1)], [("input", 3), ("input", 1)], [("conv9", 1)]):
        with pytest.raises(ValueError, match=f"squeeze layers after {wrong[0][0]}.*in its order"):
            TesNet(config(*wrong), EMBEDDED)
