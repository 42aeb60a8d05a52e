from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import TypeVar

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.cost.counters import count_network
from benchmark.cost.record import CostRecord
from benchmark.models.backbones.i3d import ConvBn, I3d, Inception, scaled_to_four
from benchmark.models.clips import to_frames
from benchmark.models.single_path import build_classifier
from benchmark.train.optim import parameter_roles

EPS = 1e-5
Network = TypeVar("Network", bound=nn.Module)

# Channels in, then out of: 1 x 1; 1 x 1 and 3 x 3; 1 x 1 and 3 x 3; the pool's 1 x 1. Then the side of the map at 224.
TABLE = {
    "mixed_3b": (192, 64, 96, 128, 16, 32, 32, 28),
    "mixed_3c": (256, 128, 128, 192, 32, 96, 64, 28),
    "mixed_4b": (480, 192, 96, 208, 16, 48, 64, 14),
    "mixed_4c": (512, 160, 112, 224, 24, 64, 64, 14),
    "mixed_4d": (512, 128, 128, 256, 24, 64, 64, 14),
    "mixed_4e": (512, 112, 144, 288, 32, 64, 64, 14),
    "mixed_4f": (528, 256, 160, 320, 32, 128, 128, 14),
    "mixed_5b": (832, 256, 160, 320, 32, 128, 128, 7),
    "mixed_5c": (832, 384, 192, 384, 48, 128, 128, 7),
}
PLACES = {"conv2c": 192, **{name: row[1] + row[3] + row[5] + row[6] for name, row in TABLE.items()}}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Maps this small are slower on several threads, much slower on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Classified(nn.Module):
    """The backbone and a classifier, on (1, 8, 3, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = I3d()
        self.fc = build_classifier(self.backbone.out_channels, 174)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.backbone.features(x.flatten(0, 1), 8))
        return logits.mean(1)


class Recorder(nn.Module):
    """Keeps what it is called with and returns it changed by a factor."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor
        self.seen: Tensor | None = None
        self.frames = 0

    def forward(self, x: Tensor, frames: int) -> Tensor:
        self.seen, self.frames = x, frames
        return self.factor * x


def with_random_statistics(network: Network) -> Network:
    """Random running statistics and gates, so that a normalisation left out or exchanged shows."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            module.running_mean = 0.1 * torch.randn_like(module.weight.detach())
            module.running_var = 0.5 + torch.rand_like(module.weight.detach())
    return network.eval()


def convolution(network: nn.Module, unit: str) -> nn.Conv3d:
    conv = network.get_submodule(f"{unit}.0")
    assert isinstance(conv, nn.Conv3d)
    return conv


def unit(state: dict[str, Tensor], conv: str, norm: str, x: Tensor, stride: int = 1) -> Tensor:
    """Convolution with as much padding as keeps the size, normalisation and ReLU, by names of the state dict."""
    weight = state[f"{conv}.weight"]
    padding = tuple(side // 2 for side in weight.shape[2:])
    x = F.conv3d(x, weight, stride=(1, stride, stride), padding=padding)
    mean, var, gamma, beta = (
        state[f"{norm}.{key}"].view(1, -1, 1, 1, 1) for key in ("running_mean", "running_var", "weight", "bias")
    )
    return ((x - mean) / (var + EPS).sqrt() * gamma + beta).relu()


def mixed(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    def branch(which: str, x: Tensor) -> Tensor:
        return unit(state, f"{name}.{which}.0", f"{name}.{which}.1", x)

    return torch.cat(
        [
            branch("branch0", x),
            branch("branch1.1", branch("branch1.0", x)),
            branch("branch2.1", branch("branch2.0", x)),
            branch("branch3.1", F.max_pool3d(x, 3, 1, 1)),
        ],
        dim=1,
    )


def network(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """I3D layer by layer, (B, 3, T, H, W) to (B, C)."""
    x = F.max_pool3d(unit(state, "conv1", "bn1", x, stride=2), (1, 3, 3), (1, 2, 2), (0, 1, 1))
    x = unit(state, "conv2c.0", "conv2c.1", unit(state, "conv2b.0", "conv2b.1", x))
    x = F.max_pool3d(x, (1, 3, 3), (1, 2, 2), (0, 1, 1))
    x = mixed(state, "mixed_3c", mixed(state, "mixed_3b", x))
    x = F.max_pool3d(x, 3, 2, 1)
    for letter in "bcdef":
        x = mixed(state, f"mixed_4{letter}", x)
    x = F.max_pool3d(x, 2, 2)
    return mixed(state, "mixed_5c", mixed(state, "mixed_5b", x)).mean((2, 3, 4))


def loop_convolution(x: Tensor, weight: Tensor) -> Tensor:
    """x (C, T, H, W), weight (D, C, k, k, k), position by position with zeros outside."""
    radius = weight.shape[-1] // 2
    padded = F.pad(x, [radius] * 6)
    out = x.new_zeros(weight.shape[0], *x.shape[1:])
    side = weight.shape[-1]
    for t, i, j in product(*map(range, x.shape[1:])):
        window = padded[:, t : t + side, i : i + side, j : j + side]
        for channel in range(weight.shape[0]):
            out[channel, t, i, j] = (weight[channel] * window).sum()
    return out


def loop_unit(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    x = loop_convolution(x, state[f"{name}.0.weight"])
    for channel in range(x.shape[0]):
        mean, var, gamma, beta = (
            state[f"{name}.1.{key}"][channel] for key in ("running_mean", "running_var", "weight", "bias")
        )
        x[channel] = ((x[channel] - mean) / (var + EPS) ** 0.5 * gamma + beta).clamp(min=0)
    return x


def loop_maximum(x: Tensor) -> Tensor:
    out = torch.empty_like(x)
    _, frames, height, width = x.shape
    for t, i, j in product(range(frames), range(height), range(width)):
        near = x[:, max(t - 1, 0) : t + 2, max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2]
        out[:, t, i, j] = near.flatten(1).amax(1)
    return out


@torch.no_grad()
def test_an_inception_module_is_its_four_branches() -> None:
    module = with_random_statistics(Inception(5, (3, 4, 6, 2, 5, 7)).double())
    x = torch.randn(2, 5, 3, 4, 5, dtype=torch.float64)
    out, state = module(x), module.state_dict()
    assert out.shape == (2, 21, 3, 4, 5)
    for clip, found in zip(x, out, strict=True):
        expected = [
            loop_unit(state, "branch0", clip),
            loop_unit(state, "branch1.1", loop_unit(state, "branch1.0", clip)),
            loop_unit(state, "branch2.1", loop_unit(state, "branch2.0", clip)),
            loop_unit(state, "branch3.1", loop_maximum(clip)),
        ]
        torch.testing.assert_close(found, torch.cat(expected))


def test_gradient_of_an_inception_module() -> None:
    module = with_random_statistics(Inception(2, (1, 2, 1, 1, 1, 1)).double())
    x = torch.randn(1, 2, 2, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(module, (x,), fast_mode=False)


@torch.no_grad()
@pytest.mark.parametrize("size", [32, 64])
def test_the_whole_network_layer_by_layer(size: int) -> None:
    model = with_random_statistics(I3d(0.125).double())
    x = torch.randn(2, 3, 8, size, size, dtype=torch.float64)
    expected = network(model.state_dict(), x)
    assert expected.std() > 0.01
    torch.testing.assert_close(model.features(to_frames(x), 8)[:, 0], expected)


@pytest.fixture(scope="module")
def record() -> CostRecord:
    """Cost of I3D with 174 classes at MotionSqueeze's clips."""
    with torch.device("meta"):
        classified = Classified()
    record = count_network(classified, (1, 8, 3, 224, 224))
    assert all(p.device.type == "meta" for p in classified.parameters()), "counted with storage"
    return record


def test_parameters_and_macs_follow_from_the_printed_widths(record: CostRecord) -> None:
    weights = [(3 * 64, 49, 8 * 112**2), (64 * 64, 1, 8 * 56**2), (64 * 192, 27, 8 * 56**2)]
    channels = 64 + 64 + 192
    for name, (before, point, reduced1, wide, reduced2, narrow, pooled, side) in TABLE.items():
        positions = {"3": 8, "4": 4, "5": 2}[name[6]] * side**2
        weights += [(before * out, 1, positions) for out in (point, reduced1, reduced2, pooled)]
        weights += [(reduced1 * wide, 27, positions), (reduced2 * narrow, 27, positions)]
        channels += point + reduced1 + wide + reduced2 + narrow + pooled
    assert record.params == sum(pairs * kernel for pairs, kernel, _ in weights) + 2 * channels + 1025 * 174
    assert record.by_operator()["conv"] == sum(pairs * kernel * positions for pairs, kernel, positions in weights)


def test_cost_by_both_counters(record: CostRecord) -> None:
    by_operator = record.by_operator()
    normalised = sum(entry.inputs for entry in record.operators if entry.operator == "batch_norm")
    assert record.params == 12_409_166
    assert record.gmacs == pytest.approx(22.1676, abs=5e-5)
    # MotionSqueeze's counter: four operations for an element normalised.
    assert (by_operator["conv"] + by_operator["linear"] + 4 * normalised) / 1e9 == pytest.approx(22.21, abs=5e-3)


def maps_at_places(frames: int, size: int, width: float = 0.125) -> dict[str, tuple[int, ...]]:
    """Place -> (maps of one clip, C, H, W) that a module there sees."""
    recorders: dict[str, Recorder] = {}

    def insert(place: str, channels: int) -> nn.Module:
        return recorders.setdefault(place, Recorder())

    with torch.device("meta"):
        I3d(width, insert=insert)(torch.empty(2 * frames, 3, size, size), frames)
    shapes = {}
    for place, recorder in recorders.items():
        assert recorder.seen is not None
        maps, *shape = recorder.seen.shape
        assert maps == 2 * recorder.frames
        shapes[place] = (recorder.frames, *shape)
    return shapes


def test_maps_at_every_place() -> None:
    expected = {"conv2c": (8, 192, 56, 56)}
    for name, row in TABLE.items():
        expected[name] = ({"3": 8, "4": 4, "5": 2}[name[6]], PLACES[name], row[-1], row[-1])
    assert maps_at_places(8, 224, width=1.0) == expected


@pytest.mark.parametrize(
    ("frames", "size", "lengths", "sides"),
    [
        (8, 56, (8, 8, 4, 2), (14, 7, 4, 2)),
        (5, 56, (5, 5, 3, 2), (14, 7, 4, 2)),
        (16, 64, (16, 16, 8, 4), (16, 8, 4, 2)),
        (1, 32, (1, 1, 1, 1), (8, 4, 2, 1)),
    ],
)
def test_odd_maps_round_up(frames: int, size: int, lengths: tuple[int, ...], sides: tuple[int, ...]) -> None:
    shapes = maps_at_places(frames, size)
    chosen = [shapes[place] for place in ("conv2c", "mixed_3b", "mixed_4b", "mixed_5b")]
    assert tuple(shape[0] for shape in chosen) == lengths
    assert tuple(shape[2] for shape in chosen) == sides


@pytest.mark.parametrize(("width", "features"), [(0.125, 128), (0.5, 512)])
def test_narrow_network_has_the_structure_of_the_wide_one(width: float, features: int) -> None:
    narrow = I3d(width)
    with torch.device("meta"):
        wide = I3d()
    assert narrow.state_dict().keys() == wide.state_dict().keys()
    assert narrow.out_channels == narrow.place_channels["mixed_5c"] == features
    assert wide.place_channels == PLACES
    with torch.no_grad():
        assert narrow(torch.randn(8, 3, 56, 56), 8).shape == (1, features, 2, 2, 2)
        assert narrow.features(torch.randn(16, 3, 32, 32), 8).shape == (2, 1, features)


def test_widths_round_to_fours() -> None:
    assert [scaled_to_four(channels, 0.125) for channels in (16, 48, 64, 112, 208)] == [4, 8, 8, 16, 24]
    assert all(scaled_to_four(channels, 1) == channels for row in TABLE.values() for channels in row[:-1])


@torch.no_grad()
def test_the_stem_sees_one_frame_until_conv2c() -> None:
    recorder = Recorder()
    model = I3d(0.125, insert=lambda place, _: recorder if place == "conv2c" else None).eval()
    x = torch.randn(8, 3, 56, 56)
    changed = x.clone()
    changed[3] += 1
    model(x, 8)
    before = recorder.seen
    model(changed, 8)
    assert before is not None
    assert recorder.seen is not None
    changes = [not torch.equal(a, b) for a, b in zip(before, recorder.seen, strict=True)]
    assert changes == [frame in (2, 3, 4) for frame in range(8)]


@torch.no_grad()
def test_clips_do_not_leak_and_the_order_of_frames_matters() -> None:
    model = with_random_statistics(I3d(0.125))
    x = torch.randn(3, 8, 3, 56, 56)
    features = model.features(x.flatten(0, 1), 8)
    changed = x.clone()
    changed[1] = torch.randn(8, 3, 56, 56)
    after = model.features(changed.flatten(0, 1), 8)
    torch.testing.assert_close(after[[0, 2]], features[[0, 2]])
    assert (after[1] - features[1]).abs().max() > 1e-3
    torch.testing.assert_close(model.features(x.flip(0).flatten(0, 1), 8), features.flip(0))
    assert (model.features(x.flip(1).flatten(0, 1), 8) - features).abs().max() > 1e-3


def test_no_gradient_between_clips() -> None:
    model = with_random_statistics(I3d(0.125, insert=lambda place, channels: Recorder()))
    x = torch.randn(2, 8, 3, 32, 32, requires_grad=True)
    model.features(x.flatten(0, 1), 8)[1].sum().backward()
    assert x.grad is not None
    assert not x.grad[0].any()
    assert x.grad[1].flatten(1).any(1).all(), "a frame that no feature depends on"


@pytest.mark.parametrize("bf16", [False, True])
def test_gradients_are_finite_and_reach_every_parameter(bf16: bool) -> None:
    model = I3d(0.125)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        model.features(torch.randn(16, 3, 56, 56), 8).square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@pytest.mark.parametrize("frames", [1, 2, 3, 4])
def test_gradients_in_bf16_on_short_clips(frames: int) -> None:
    module = Inception(24, (8, 24, 48, 8, 16, 8)).eval()
    for unit in module.modules():
        if isinstance(unit, ConvBn):
            unit[2] = nn.Identity()  # Rounding would switch gradients on and off at the kink of ReLU.
    x, direction = torch.randn(8, 24, frames, 2, 2).bfloat16().float(), torch.randn(8, 80, frames, 2, 2)
    gradients = []
    for enabled in (False, True):
        module.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            out = module(x)
        (out * direction).sum().backward()
        gradients.append([p.grad for p in module.parameters() if p.grad is not None])
    for exact, found in zip(*gradients, strict=True):
        assert (found - exact).norm() < 0.03 * exact.norm()


def test_one_eighth_of_the_width_learns_a_batch() -> None:
    torch.manual_seed(0)
    model, fc = I3d(0.125), build_classifier(128, 4)
    clips, labels = torch.randn(32, 3, 32, 32), torch.arange(4)
    optimizer = torch.optim.SGD([*model.parameters(), *fc.parameters()], lr=0.05, momentum=0.9)
    losses = []
    for _ in range(12):
        loss = F.cross_entropy(fc(model.features(clips, 8)[:, 0]), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(1.386, abs=0.05)  # ln 4
    assert losses[-1] < losses[0] / 2


class TestInserts:
    def test_asked_in_the_order_of_the_network(self) -> None:
        asked: list[tuple[str, int]] = []
        with torch.device("meta"):
            model = I3d(insert=lambda place, channels: asked.append((place, channels)))
        assert asked == list(PLACES.items())
        assert not model.inserts
        assert model.state_dict().keys() == I3d(0.125).state_dict().keys()

    @torch.no_grad()
    @pytest.mark.parametrize("place", ["conv2c", "mixed_3c", "mixed_4f", "mixed_5c"])
    def test_runs_right_after_its_place_on_frames(self, place: str) -> None:
        recorder = Recorder(factor=-0.5)
        model = with_random_statistics(I3d(0.125, insert=lambda at, _: recorder if at == place else None))
        assert list(model.inserts) == [place]
        places = list(PLACES)
        # What leaves the place, and what enters the next layer, seen from outside.
        left: list[Tensor] = []
        entered: list[Tensor] = []
        model.get_submodule(place).register_forward_hook(lambda *args: left.append(args[2].clone()))
        following = {"conv2c": "pool3", "mixed_3c": "pool4", "mixed_4f": "pool5"}.get(place)
        if following is not None:
            model.get_submodule(following).register_forward_pre_hook(lambda _, args: entered.append(args[0].clone()))
        out = model(torch.randn(16, 3, 32, 32), 8)
        if following is None:
            entered.append(out)
        assert recorder.seen is not None
        assert recorder.seen.shape[1] == model.place_channels[place]
        assert recorder.frames == left[0].shape[2] == (8 if places.index(place) < 3 else 4 if place[6] == "4" else 2)
        for clip in range(2):
            for t in range(recorder.frames):
                assert torch.equal(recorder.seen[clip * recorder.frames + t], left[0][clip, :, t])
        torch.testing.assert_close(entered[0], -0.5 * left[0])

    def test_sees_channels_last_maps_on_a_cpu(self) -> None:
        recorders = {place: Recorder() for place in PLACES}
        with torch.no_grad():
            I3d(0.125, insert=lambda place, _: recorders[place])(torch.randn(128, 3, 32, 32), 8)
        for place, recorder in recorders.items():
            assert recorder.seen is not None
            assert recorder.seen.is_contiguous(memory_format=torch.channels_last), place

    def test_backbone_and_insert_keep_their_initialisation(self) -> None:
        class Gate(nn.Module):
            def __init__(self, channels: int) -> None:
                super().__init__()
                self.conv = nn.Conv3d(channels, channels, 1)
                nn.init.constant_(self.conv.weight, 0.25)

            def forward(self, x: Tensor, frames: int) -> Tensor:
                return x

        torch.manual_seed(3)
        plain = I3d(0.125).state_dict()
        torch.manual_seed(3)
        model = I3d(0.125, insert=lambda place, channels: Gate(channels) if place == "mixed_3b" else None)
        state = model.state_dict()
        inserted = state["inserts.mixed_3b.conv.weight"]
        assert inserted.shape[0] == 32
        assert (inserted == 0.25).all()
        assert all(torch.equal(state[key], value) for key, value in plain.items())
        assert {key for key in state if key not in plain} == {f"inserts.mixed_3b.conv.{n}" for n in ("weight", "bias")}


def test_initialisation_is_kaimings_by_fan_out() -> None:
    model = I3d()
    for unit in ("conv2c", "mixed_4b.branch1.1", "mixed_5c.branch0"):
        conv = convolution(model, unit)
        fan_out = conv.weight[:, 0].numel()
        assert conv.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.02)


def test_one_stem_convolution() -> None:
    roles = parameter_roles(I3d(0.125))
    assert [name for name, role in roles.items() if role == "stem_conv"] == ["conv1.weight"]


def test_images_that_are_not_clips() -> None:
    with pytest.raises(ValueError, match="12 images are not clips of 8 frames"):
        I3d(0.125)(torch.randn(12, 3, 32, 32), 8)
