from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.cost.counters import count_network
from benchmark.models.backbones.volumes import to_frames, to_volumes
from benchmark.models.backbones.x3d import CHECKPOINTS, X3d, from_pytorchvideo
from benchmark.models.single_path import build_classifier
from benchmark.models.weights import WEIGHTS_VARIABLE, PretrainedWeightsError
from benchmark.train.optim import parameter_roles

# Stage: channels, inner channels, squeeze-and-excitation, blocks.
STAGES = ((24, 54, 8, 3), (48, 108, 8, 5), (96, 216, 16, 11), (192, 432, 32, 7))
EPS = 1e-5


def pytorchvideo_shapes(classes: int = 400) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the parameters and buffers of PyTorchVideo's X3D, by rule."""
    shapes: dict[str, tuple[int, ...]] = {}

    def norm(name: str, channels: int) -> None:
        for key in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{key}"] = (channels,)
        shapes[f"{name}.num_batches_tracked"] = ()

    shapes["blocks.0.conv.conv_t.weight"] = (24, 3, 1, 3, 3)
    shapes["blocks.0.conv.conv_xy.weight"] = (24, 1, 5, 1, 1)
    norm("blocks.0.norm", 24)
    before = 24
    for number, (channels, inner, narrow, blocks) in enumerate(STAGES, start=1):
        for index in range(blocks):
            block = f"blocks.{number}.res_blocks.{index}"
            if index == 0:
                shapes[f"{block}.branch1_conv.weight"] = (channels, before, 1, 1, 1)
                if before != channels:
                    norm(f"{block}.branch1_norm", channels)
            shapes[f"{block}.branch2.conv_a.weight"] = (inner, before, 1, 1, 1)
            norm(f"{block}.branch2.norm_a", inner)
            shapes[f"{block}.branch2.conv_b.weight"] = (inner, 1, 3, 3, 3)
            norm(f"{block}.branch2.norm_b.0", inner)
            if index % 2 == 0:
                shapes[f"{block}.branch2.norm_b.1.block.0.weight"] = (narrow, inner, 1, 1, 1)
                shapes[f"{block}.branch2.norm_b.1.block.0.bias"] = (narrow,)
                shapes[f"{block}.branch2.norm_b.1.block.2.weight"] = (inner, narrow, 1, 1, 1)
                shapes[f"{block}.branch2.norm_b.1.block.2.bias"] = (inner,)
            shapes[f"{block}.branch2.conv_c.weight"] = (channels, inner, 1, 1, 1)
            norm(f"{block}.branch2.norm_c", channels)
            before = channels
    shapes["blocks.5.pool.pre_conv.weight"] = (432, 192, 1, 1, 1)
    norm("blocks.5.pool.pre_norm", 432)
    shapes["blocks.5.pool.post_conv.weight"] = (2048, 432, 1, 1, 1)
    shapes["blocks.5.proj.weight"] = (classes, 2048)
    shapes["blocks.5.proj.bias"] = (classes,)
    return shapes


def random_state(seed: int = 0) -> dict[str, Tensor]:
    """Random weights under those names, with variances that are positive and gates that are not far from 1."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in pytorchvideo_shapes().items():
        values = torch.randn(shape, generator=generator)
        if name.endswith("num_batches_tracked"):
            values = torch.tensor(7)
        elif name.endswith("running_var") or (values.dim() == 1 and name.endswith("weight")):
            values = 1 + 0.2 * values.tanh()
        elif values.dim() == 1:
            values = 0.1 * values
        else:
            values = values * (2 / max(1, values[0].numel())) ** 0.5
        state[name] = values
    return state


def pytorchvideo_forward(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """X3D's feature, (B, 3, T, H, W) to (B, 2048), written on PyTorchVideo's names, layer by layer."""

    def norm(x: Tensor, name: str) -> Tensor:
        mean, var = (state[f"{name}.{key}"].view(1, -1, 1, 1, 1) for key in ("running_mean", "running_var"))
        gamma, beta = (state[f"{name}.{key}"].view(1, -1, 1, 1, 1) for key in ("weight", "bias"))
        return (x - mean) / (var + EPS).sqrt() * gamma + beta

    x = F.conv3d(x, state["blocks.0.conv.conv_t.weight"], stride=(1, 2, 2), padding=(0, 1, 1))
    x = F.conv3d(x, state["blocks.0.conv.conv_xy.weight"], padding=(2, 0, 0), groups=24)
    x = norm(x, "blocks.0.norm").relu()
    for number, (_, inner, _, blocks) in enumerate(STAGES, start=1):
        for index in range(blocks):
            block = f"blocks.{number}.res_blocks.{index}"
            stride = (1, 2, 2) if index == 0 else (1, 1, 1)
            y = norm(F.conv3d(x, state[f"{block}.branch2.conv_a.weight"]), f"{block}.branch2.norm_a").relu()
            y = F.conv3d(y, state[f"{block}.branch2.conv_b.weight"], stride=stride, padding=1, groups=inner)
            y = norm(y, f"{block}.branch2.norm_b.0")
            gate = f"{block}.branch2.norm_b.1.block"
            if f"{gate}.0.weight" in state:
                hidden = F.conv3d(y.mean((2, 3, 4), True), state[f"{gate}.0.weight"], state[f"{gate}.0.bias"]).relu()
                y = y * torch.sigmoid(F.conv3d(hidden, state[f"{gate}.2.weight"], state[f"{gate}.2.bias"]))
            y = y * torch.sigmoid(y)
            y = norm(F.conv3d(y, state[f"{block}.branch2.conv_c.weight"]), f"{block}.branch2.norm_c")
            if f"{block}.branch1_conv.weight" in state:
                x = F.conv3d(x, state[f"{block}.branch1_conv.weight"], stride=stride)
            if f"{block}.branch1_norm.weight" in state:
                x = norm(x, f"{block}.branch1_norm")
            x = (x + y).relu()
    x = norm(F.conv3d(x, state["blocks.5.pool.pre_conv.weight"]), "blocks.5.pool.pre_norm").relu()
    x = x.mean((2, 3, 4), True)
    return F.conv3d(x, state["blocks.5.pool.post_conv.weight"]).relu().flatten(1)


class Classified(nn.Module):
    """The backbone and a classifier, on (1, frames * average, 3, H, W)."""

    def __init__(self, frames: int, classes: int, average: int) -> None:
        super().__init__()
        self.backbone = X3d()
        self.fc = build_classifier(self.backbone.out_channels, classes)
        self.frames, self.average = frames, average

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.backbone.features(x.flatten(0, 1), self.frames, self.average)
        return self.fc(features)


def cost(frames: int, size: int, classes: int = 174, average: int = 1) -> tuple[float, int]:
    """GMACs by fvcore, and parameters."""
    with torch.device("meta"):
        network = Classified(frames, classes, average)
    record = count_network(network, (1, frames * average, 3, size, size))
    return record.gmacs, record.params


def trained(model: X3d) -> X3d:
    """Random running statistics and gates, as after some training."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            module.running_mean = 0.1 * torch.randn_like(module.weight.detach())
            module.running_var = 0.5 + torch.rand_like(module.weight.detach())
    return model


def test_published_weights_give_the_published_network() -> None:
    state = {key: v.double() if v.is_floating_point() else v for key, v in random_state().items()}
    model = X3d().double().eval()
    model.load_state_dict(from_pytorchvideo(state))
    x = torch.randn(2, 3, 4, 64, 64, dtype=torch.float64)
    expected = pytorchvideo_forward(state, x)
    assert expected.std() > 0.01
    with torch.no_grad():
        features = model.features(to_frames(x), 4)
    assert features.shape == (2, 1, 2048)
    torch.testing.assert_close(features[:, 0], expected, rtol=1e-9, atol=1e-9)


def test_every_published_parameter_has_a_place() -> None:
    with torch.device("meta"):
        ours = {key: tuple(value.shape) for key, value in X3d().state_dict().items()}
    state = {name: torch.empty(shape, device="meta") for name, shape in pytorchvideo_shapes().items()}
    assert {key: tuple(value.shape) for key, value in from_pytorchvideo(state).items()} == ours
    assert len(ours) == len(pytorchvideo_shapes()) - 2


@pytest.mark.parametrize(
    ("frames", "size", "gmacs"), [(4, 160, 0.6257), (16, 224, 4.896), (16, 256, 6.394)], ids=["xs", "m", "m 256"]
)
def test_gmacs(frames: int, size: int, gmacs: float) -> None:
    assert cost(frames, size)[0] == pytest.approx(gmacs, abs=5e-4)


@pytest.mark.parametrize(("classes", "parameters"), [(174, 3_331_200), (400, 3_794_274)])
def test_parameters(classes: int, parameters: int) -> None:
    with torch.device("meta"):
        network = Classified(4, classes, 1)
    assert sum(p.numel() for p in network.parameters()) == parameters
    published = sum(
        torch.Size(shape).numel()
        for name, shape in pytorchvideo_shapes(classes).items()
        if not name.endswith(("running_mean", "running_var", "num_batches_tracked"))
    )
    assert published == parameters


@pytest.mark.parametrize("average", [2, 3])
def test_averaging_after_the_spatial_convolution_is_averaging_before(average: int) -> None:
    model = trained(X3d(0.125)).double().eval()
    x = torch.randn(2 * 3 * average, 3, 32, 32, dtype=torch.float64)
    before = torch.stack([x[i : i + average].mean(0) for i in range(0, len(x), average)])
    torch.testing.assert_close(model.features(x, 3, average), model.features(before, 3), rtol=1e-9, atol=1e-9)


def test_averaging_costs_the_convolution_on_the_other_frames() -> None:
    spatial = 3 * 24 * 3 * 3 * 80 * 80 / 1e9
    assert cost(4, 160, average=8)[0] - cost(4, 160)[0] == pytest.approx(4 * 7 * spatial, rel=1e-6)


def test_narrow_network_has_the_structure_of_the_wide_one() -> None:
    narrow = X3d(0.125)
    with torch.device("meta"):
        wide = X3d()
    assert narrow.state_dict().keys() == wide.state_dict().keys()
    assert narrow.stage_channels == {"res2": 8, "res3": 8, "res4": 16, "res5": 24}
    assert wide.stage_channels == {"res2": 24, "res3": 48, "res4": 96, "res5": 192}
    assert narrow.out_channels == 256
    assert narrow(torch.randn(6, 3, 56, 56), 3).shape == (2, 24, 3, 2, 2)
    assert narrow.features(torch.randn(6, 3, 56, 56), 3).shape == (2, 1, 256)


def test_stem_blocks_and_head_are_the_network() -> None:
    model = trained(X3d(0.125)).eval()
    x = torch.randn(4, 3, 32, 32)
    maps, names = model.stem(x, 2), []
    for stage, index, block in model.blocks():
        maps = block(maps)
        names.append((stage, index))
    torch.testing.assert_close(model.head(maps), model.features(x, 2)[:, 0])
    depths = {"res2": 3, "res3": 5, "res4": 11, "res5": 7}
    assert names == [(stage, index) for stage, depth in depths.items() for index in range(depth)]


def test_a_block_starts_as_its_shortcut() -> None:
    model = X3d(0.125).train()
    maps = torch.rand(2, 8, 2, 8, 8)
    for _, _, block in list(model.blocks())[:2]:
        shortcut = maps if block.shortcut is None else block.shortcut(maps)
        torch.testing.assert_close(block(maps), shortcut.relu())


def test_the_stem_sees_two_frames_either_way() -> None:
    model = trained(X3d(0.125)).eval()
    x = torch.randn(7, 3, 16, 16)
    changed = x.clone()
    changed[3] += 1
    difference = (model.stem(x, 7) - model.stem(changed, 7)).abs().amax((0, 1, 3, 4))
    assert [bool(value > 1e-4) for value in difference] == [False, True, True, True, True, True, False]


def test_clips_of_a_batch_do_not_mix() -> None:
    model = trained(X3d(0.125)).eval()
    x = torch.randn(8, 3, 32, 32)
    torch.testing.assert_close(model.features(x, 4)[:1], model.features(x[:4], 4), rtol=1e-4, atol=1e-5)


def test_frames_and_volumes() -> None:
    x = torch.arange(2 * 3 * 4.0).view(6, 4, 1, 1)
    volumes = to_volumes(x, 3)
    assert volumes.shape == (2, 4, 3, 1, 1)
    assert volumes[1, 2, 0, 0, 0] == x[3, 2, 0, 0]
    assert torch.equal(to_frames(volumes), x)


@pytest.mark.parametrize("bf16", [False, True])
def test_gradients_are_finite_and_reach_every_parameter(bf16: bool) -> None:
    model = trained(X3d(0.125))
    x = torch.randn(2 * 4, 3, 32, 32)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        model.features(x, 4).square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_one_stem_convolution_and_biases_without_decay() -> None:
    roles = parameter_roles(X3d(0.125))
    assert [name for name, role in roles.items() if role == "stem_conv"] == ["conv1.weight"]
    assert roles["layer1.0.squeeze.reduce.bias"] == "bias"
    assert roles["layer2.0.shortcut.1.weight"] == "norm"
    assert roles["projection.weight"] == "weight"


class TestPretrained:
    @pytest.mark.parametrize(("variant", "file"), [("xs", "X3D_XS.pyth"), ("m", "X3D_M.pyth")])
    def test_loads_the_variants_file(
        self, variant: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        state = random_state(seed=len(file))
        torch.save({"model_state": state}, tmp_path / file)
        monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path))
        model = X3d(variant=variant, pretrained="kinetics400", in_channels=5)  # type: ignore[arg-type]
        mean = state["blocks.0.conv.conv_t.weight"].mean(1)
        for channel in range(5):
            torch.testing.assert_close(model.conv1.weight[:, channel].detach(), mean)
        loaded = model.state_dict()
        assert torch.equal(loaded["layer3.10.conv_b.weight"], state["blocks.3.res_blocks.10.branch2.conv_b.weight"])

    @pytest.mark.parametrize("variant", ["xs", "m"])
    def test_a_missing_file_says_what_to_put_where(
        self, variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(WEIGHTS_VARIABLE, str(tmp_path))
        with pytest.raises(PretrainedWeightsError) as caught:
            X3d(variant=variant, pretrained="kinetics400")  # type: ignore[arg-type]
        for part in (CHECKPOINTS[variant], "dl.fbaipublicfiles.com", str(tmp_path), "BENCHMARK_WEIGHTS"):
            assert part in str(caught.value)
