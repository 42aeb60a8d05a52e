from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.config.models import TsmResNetConfig
from benchmark.config.run import RunConfig
from benchmark.cost.counters import count_network
from benchmark.cost.record import CostRecord
from benchmark.models.representations import flownet_training
from benchmark.models.representations.build import build_representation
from benchmark.models.representations.flownet import MEAN_COLOUR, FlowNet, correlation, multiscale_epe
from benchmark.models.weights import PretrainedWeightsError

WIDTH = 1 / 16


class Whole(nn.Module):
    """Segments of 6 frames through the representation alone."""

    def __init__(self, variant: str) -> None:
        super().__init__()
        self.representation = FlowNet(variant, 6, 1.0, "flying_chairs")

    def forward(self, x: Tensor) -> Tensor:
        return self.representation(x.unflatten(1, (-1, 6)).flatten(0, 1))


@pytest.fixture(scope="module")
def records() -> dict[str, CostRecord]:
    """Costs of 40 pairs of 256 x 256 at width 1, by variant; on the meta device no weights are needed."""
    with torch.device("meta"):
        networks = {variant: Whole(variant) for variant in "sc"}
    return {variant: count_network(network, (1, 48, 3, 256, 256)) for variant, network in networks.items()}


def correlation_by_loops(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(C, h, w) twice to (441, h, w), product by product."""
    channels, height, width = first.shape
    out = np.zeros((21, 21, height, width))
    for i in range(21):
        for j in range(21):
            for y in range(height):
                for x in range(width):
                    other_y, other_x = y + 2 * (i - 10), x + 2 * (j - 10)
                    if 0 <= other_y < height and 0 <= other_x < width:
                        out[i, j, y, x] = (first[:, y, x] * second[:, other_y, other_x]).sum() / channels
    return out.reshape(441, height, width)


@pytest.mark.parametrize(("height", "width"), [(5, 7), (24, 3), (1, 1)])
def test_correlation_equals_loops(height: int, width: int) -> None:
    first, second = torch.randn(2, 2, 4, height, width, dtype=torch.float64)
    expected = np.stack([correlation_by_loops(a, b) for a, b in zip(first.numpy(), second.numpy(), strict=True)])
    np.testing.assert_allclose(correlation(first, second).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize(("variant", "params"), [("s", 38.676), ("c", 39.174)])
def test_parameters_at_width_1(records: dict[str, CostRecord], variant: str, params: float) -> None:
    assert round(records[variant].mparams, 3) == params


@pytest.mark.parametrize(("variant", "macs", "printed"), [("s", 210.5, 355.9), ("c", 298.4, 443.8)])
def test_cost_and_the_cost_under_the_old_rule(
    records: dict[str, CostRecord], variant: str, macs: float, printed: float
) -> None:
    conv = [entry for entry in records[variant].operators if entry.operator == "conv"]
    correct = sum(entry.macs for entry in conv)
    assert round(correct / 1e9, 1) == macs
    old = sum(entry.macs * (4 if entry.module_class == "ConvTranspose2d" else 1) for entry in conv)
    assert round(old / 1e9, 1) == printed
    # A transposed convolution of stride 2 gives 4 positions for each of its input: the old rule is exact.
    network = FlowNet(variant, 2, WIDTH)
    transposed = [m for m in network.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert len(transposed) == 8
    for module in transposed:
        assert module(torch.zeros(1, module.in_channels, 3, 5)).shape[2:] == (6, 10)


def test_correlation_costs_4_6_gmacs_that_are_not_counted(records: dict[str, CostRecord]) -> None:
    uncounted = {entry.operator: entry for entry in records["c"].uncounted}
    assert uncounted["mean"].elements == 40 * 441 * 256 * 32 * 32
    assert round(uncounted["mean"].elements / 1e9, 1) == 4.6
    assert "mean" not in {entry.operator for entry in records["s"].uncounted}
    assert all(entry.kind != "unknown" for record in records.values() for entry in record.uncounted)


def test_flow_is_in_pixels_of_which_the_layers_predict_a_twentieth() -> None:
    module, predicted = FlowNet("s", 2, WIDTH), list[Tensor]()
    layer = module.get_submodule("predict_flow6")
    layer.register_forward_hook(lambda layer, inputs, output: predicted.append(output))
    flows = module.estimate(*torch.randn(2, 1, 3, 64, 64))
    torch.testing.assert_close(flows[-1], 20 * predicted[0])


@pytest.mark.parametrize("variant", ["s", "c"])
@pytest.mark.parametrize(("height", "width"), [(64, 128), (56, 56), (40, 40), (33, 71)])
def test_sizes_that_64_does_not_divide(variant: str, height: int, width: int) -> None:
    module = FlowNet(variant, 3, WIDTH)
    assert module(torch.randn(2, 3, 3, height, width)).shape == (2, 4, height, width)
    flows = module.estimate(*torch.randn(2, 1, 3, height, width))
    sides = [(-(-height // s), -(-width // s)) for s in (4, 8, 16, 32, 64)]
    assert [tuple(flow.shape) for flow in flows] == [(1, 2, *side) for side in sides]


@pytest.mark.parametrize("variant", ["s", "c"])
def test_channels_are_the_pairs_in_the_order_of_time(variant: str) -> None:
    module = FlowNet(variant, 4, WIDTH)
    x = torch.randn(2, 4, 3, 40, 48)
    out = module(x)
    for n in range(2):
        for t in range(3):
            with torch.no_grad():
                finest = module.estimate(x[n : n + 1, t], x[n : n + 1, t + 1])[0]
            expected = F.interpolate(finest, (40, 48), mode="bilinear", align_corners=False)
            torch.testing.assert_close(out[n, 2 * t : 2 * t + 2], expected[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("variant", ["s", "c"])
def test_every_weight_changes_the_flow_and_learns(variant: str) -> None:
    torch.manual_seed(0)
    module = FlowNet(variant, 2, WIDTH, trainable=True).train()
    flows = module.estimate(*torch.randn(2, 2, 3, 64, 64))
    multiscale_epe(flows, torch.randn(2, 2, 64, 64)).backward()
    grads = {name: p.grad for name, p in module.named_parameters()}
    assert all(grad is not None and grad.isfinite().all() and grad.abs().max() > 0 for grad in grads.values())


@pytest.mark.parametrize("variant", ["s", "c"])
def test_bfloat16_autocast_has_finite_gradients(variant: str) -> None:
    module = FlowNet(variant, 2, WIDTH, trainable=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = module(torch.randn(1, 2, 3, 56, 56))
    out.float().square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters() if p.grad is not None)


def test_frozen_network_has_no_graph_and_stays_in_evaluation_mode() -> None:
    module = FlowNet("s", 2, WIDTH).train()
    assert not module.training
    assert not any(p.requires_grad for p in module.parameters())
    assert not module(torch.randn(1, 2, 3, 40, 40, requires_grad=True)).requires_grad
    trained = FlowNet("s", 2, WIDTH, trainable=True)
    assert trained.training
    assert trained(torch.randn(1, 2, 3, 40, 40)).requires_grad


def test_input_is_unnormalised_to_the_colours_of_flying_chairs() -> None:
    module = FlowNet("s", 2, WIDTH)
    seen: list[Tensor] = []
    module.conv1.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    raw = torch.rand(1, 2, 3, 40, 40)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    module((raw - mean) / std)
    torch.testing.assert_close(seen[0], (raw - torch.tensor(MEAN_COLOUR).view(3, 1, 1)).flatten(1, 2))


def test_c_goes_on_with_the_first_frame_and_the_rectified_correlation() -> None:
    module = FlowNet("c", 2, WIDTH)
    maps: list[Tensor] = []
    joined: list[Tensor] = []
    module.conv3.register_forward_hook(lambda _, __, out: maps.append(out))
    module.conv3_1.register_forward_pre_hook(lambda _, args: joined.append(args[0]))
    module(torch.randn(8, 2, 3, 56, 56))
    scores = correlation(*maps)
    assert scores.min() < 0
    expected = torch.cat([module.conv_redir(maps[0]), torch.where(scores < 0, 0.1 * scores, scores)], dim=1)
    torch.testing.assert_close(joined[0], expected)


def test_epe_by_loops() -> None:
    target = torch.randn(2, 2, 16, 16)
    flows = [torch.randn(2, 2, side, side) for side in (8, 4, 2, 1, 1)]
    expected = 0.0
    for flow, weight in zip(flows, (0.005, 0.01, 0.02, 0.08, 0.32), strict=True):
        side = flow.shape[-1]
        block = 16 // side
        for n in range(2):
            for y in range(side):
                for x in range(side):
                    area = target[n, :, y * block : (y + 1) * block, x * block : (x + 1) * block].mean((1, 2))
                    expected += weight * (flow[n, :, y, x] - area).norm().item() / 2
    assert multiscale_epe(flows, target).item() == pytest.approx(expected, rel=1e-5)


def test_epe_of_the_right_flow_is_zero_with_a_finite_gradient() -> None:
    flows = [torch.full((1, 2, side, side), 3.0, requires_grad=True) for side in (16, 8, 4, 2, 1)]
    loss = multiscale_epe(flows, torch.full((1, 2, 64, 64), 3.0))
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-4)
    assert all(flow.grad is not None and flow.grad.isfinite().all() for flow in flows)


@pytest.mark.parametrize("variant", ["s", "c"])
def test_keys_are_those_of_the_pytorch_release(variant: str) -> None:
    levels = ["conv1", "conv2", "conv3", "conv3_1", "conv4", "conv4_1", "conv5", "conv5_1", "conv6", "conv6_1"]
    levels += ["conv_redir"] if variant == "c" else []
    expected = {f"{level}.0.{kind}" for level in levels for kind in ("weight", "bias")}
    expected |= {f"deconv{level}.0.weight" for level in (5, 4, 3, 2)}
    expected |= {f"predict_flow{level}.weight" for level in (6, 5, 4, 3, 2)}
    expected |= {f"upsampled_flow{level}_to_{level - 1}.weight" for level in (6, 5, 4, 3)}
    assert set(FlowNet(variant, 2, WIDTH).state_dict()) == expected


def test_loads_a_file_of_the_weights_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCHMARK_WEIGHTS", str(tmp_path))
    source = FlowNet("c", 2, WIDTH)
    torch.save({"arch": "flownetc", "state_dict": source.state_dict()}, tmp_path / "flownetc_flying_chairs.pth")
    torch.save(source.state_dict(), tmp_path / "mine.pth")
    for weights in ("flying_chairs", "mine.pth"):
        loaded = FlowNet("c", 3, WIDTH, weights).state_dict()
        assert all(torch.equal(loaded[name], tensor) for name, tensor in source.state_dict().items())
    with pytest.raises(RuntimeError, match="conv1"):
        FlowNet("s", 2, WIDTH, "mine.pth")
    with pytest.raises(PretrainedWeightsError, match=r"flownets_flying_chairs\.pth"):
        FlowNet("s", 2, WIDTH, "flying_chairs")


def test_generated_weights_are_asked_for_by_variant_and_width(monkeypatch: pytest.MonkeyPatch) -> None:
    source = FlowNet("s", 2, WIDTH)
    asked: list[tuple[str, float]] = []

    def generated_weights(variant: str, width: float) -> dict[str, Tensor]:
        asked.append((variant, width))
        return source.state_dict()

    monkeypatch.setattr(flownet_training, "generated_weights", generated_weights)
    config = RunConfig.model_validate(
        {
            "model": {"name": "tsm_resnet", "representation": "flownet", "flownet": {"frames": 4}, "width": WIDTH},
            "data": {"dataset": "motionpairs"},
        }
    )
    assert isinstance(config.model, TsmResNetConfig)
    loaded = build_representation(config.model, WIDTH, config.data)
    assert asked == [("s", WIDTH)]
    assert torch.equal(loaded.get_parameter("conv6.0.weight"), source.get_parameter("conv6.0.weight"))
    with torch.device("meta"):
        build_representation(config.model, WIDTH, config.data)
    assert len(asked) == 1


def test_refuses_what_has_no_flow() -> None:
    with pytest.raises(ValueError, match="variants"):
        FlowNet("x", 2)
    with pytest.raises(ValueError, match="two frames"):
        FlowNet("s", 1)
    with pytest.raises(ValueError, match="expected 3 frames, got 2"):
        FlowNet("s", 3, WIDTH)(torch.zeros(1, 2, 3, 40, 40))
