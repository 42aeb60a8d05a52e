"""Counts that can be worked out by hand, and agreement of the ways to count."""

from __future__ import annotations

import pytest
import torch
from fvcore.nn import FlopCountAnalysis
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import resnet50

from benchmark.config.models import BqnConfig, LateralConfig, TsmResNetConfig
from benchmark.config.run import DataConfig, RunConfig
from benchmark.cost import counters
from benchmark.cost.counters import count, count_network, give_storage
from benchmark.cost.tracing import TraceConvolutionShapes
from benchmark.models.build import build_model


class Resize(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, size=(5, 7), mode="bilinear", align_corners=False)


class Functional(nn.Module):
    """A convolution, a resize and a residual addition that no submodule runs."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(4, 1, 3, 3), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        y = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), self.weight, groups=4)
        return torch.relu(y + x)


OPERATORS = {
    # 3x3 kernel, 4 to 8 channels in 2 groups, stride 2 on 9x9: 5x5 positions, each 8 * 2 * 9.
    "grouped convolution": (
        nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2),
        (2, 4, 9, 9),
        2 * 8 * 25 * 18,
        2 * 8 * 25,
    ),
    "3D convolution": (nn.Conv3d(4, 8, (3, 1, 1), padding=(1, 0, 0), bias=False), (1, 4, 6, 5, 5), 6 * 25 * 8 * 12, 0),
    "transposed convolution": (nn.ConvTranspose2d(4, 8, 2, stride=2, bias=False), (1, 4, 5, 5), 25 * 4 * 8 * 4, 0),
    "linear": (nn.Linear(6, 5), (3, 6), 3 * 6 * 5, 3 * 5),
    "batch normalisation": (nn.BatchNorm2d(4), (2, 4, 9, 9), 2 * 2 * 4 * 81, 0),
    "batch normalisation, not affine": (nn.BatchNorm2d(4, affine=False), (2, 4, 9, 9), 2 * 4 * 81, 0),
    "average pooling": (nn.AdaptiveAvgPool2d(1), (2, 4, 9, 9), 2 * 4 * 81, 0),
    "bilinear resize": (Resize(), (2, 4, 9, 9), 4 * 2 * 4 * 35, 0),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_one_operator_by_hand(name: str) -> None:
    network, shape, macs, biased = OPERATORS[name]
    record = count_network(network, shape)
    (entry,) = record.operators
    assert (entry.macs, entry.calls, entry.biased) == (macs, 1, biased)
    assert entry.inputs == torch.zeros(shape).numel()
    assert entry.outputs == network(torch.zeros(shape)).numel()


@pytest.mark.parametrize("name", ["grouped convolution", "3D convolution", "transposed convolution", "linear"])
def test_torch_counts_the_same_products(name: str) -> None:
    network, shape, macs, _ = OPERATORS[name]
    assert sum(count_network(network, shape).torch_macs.values()) == macs


@pytest.mark.parametrize("name", ["batch normalisation", "average pooling", "bilinear resize"])
def test_torch_leaves_the_rest_out(name: str) -> None:
    network, shape, _, _ = OPERATORS[name]
    assert count_network(network, shape).torch_macs == {}


def test_what_is_left_out_is_said_and_sizes_are_not_arithmetic() -> None:
    record = count_network(nn.Sequential(Functional(), nn.Flatten(), nn.Softmax(1)), (2, 4, 6, 6))
    left_out = {entry.operator: (entry.kind, entry.calls, entry.elements) for entry in record.uncounted}
    assert left_out["add"] == ("arithmetic", 1, 2 * 4 * 36)
    assert left_out["relu"] == ("arithmetic", 1, 2 * 4 * 36)
    assert left_out["softmax"] == ("arithmetic", 1, 2 * 4 * 36)
    assert left_out["pad"][0] == "movement"
    assert {"mul", "floor_divide"}.isdisjoint(left_out)


def test_a_functional_convolution_belongs_to_the_module_that_runs_it() -> None:
    record = count_network(nn.Sequential(nn.Conv2d(4, 4, 1), Functional()), (1, 4, 6, 6))
    assert [(e.path, e.module_class, e.macs) for e in record.operators] == [
        ("0", "Conv2d", 36 * 16),
        ("1", "Functional", 36 * 36),
    ]
    assert record.inside("1", "Functional")
    assert record.inside("1", "Sequential")
    assert not record.inside("0", "Functional")


def test_parameters_count_shared_tensors_once_and_tell_frozen_ones() -> None:
    first, second = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
    second.weight = first.weight
    record = count_network(nn.Sequential(nn.Unflatten(1, (4, 6, 6)), Functional(), nn.Flatten(2)), (1, 144))
    assert (record.params, record.trainable_params) == (36, 0)
    assert count_network(nn.Sequential(first, second), (1, 4)).params == 16


def test_resnet50_is_what_fvcore_says_with_and_without_storage() -> None:
    with torch.device("meta"):
        network = resnet50(num_classes=174)
    record = count_network(network, (8, 3, 224, 224))
    assert record.macs == 32_878_567_424
    assert record.params == 23_864_558
    assert next(network.parameters()).is_meta, "counted without storage"
    give_storage(network)
    assert count_network(network, (1, 3, 64, 64)).operators == count_network(_meta_resnet(), (1, 3, 64, 64)).operators


def _meta_resnet() -> nn.Module:
    with torch.device("meta"):
        return resnet50(num_classes=174)


SMALL = {
    "bqn": BqnConfig(width=0.125, quiet_size=40, lateral=LateralConfig(direction="bidirectional")),
    "bqn in half the time": BqnConfig(
        depth=18, width=0.125, quiet_segments=4, num_bplc=8, lateral=LateralConfig(phi="bottleneck")
    ),
    "bqn, complement": BqnConfig(
        depth=18, width=0.125, quiet_input="complement", fusion="concat_before_fc", num_bplc=3
    ),
    "tsm": TsmResNetConfig(width=0.125),
    "mbpm": TsmResNetConfig(width=0.125, representation="mbpm"),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name == "bqn" else name for name in SMALL]
)
def test_counting_shapes_equals_running_the_network(name: str) -> None:
    config = RunConfig(model=SMALL[name], data=DataConfig(size=64))
    record = count(config)
    network = build_model(config.model, config.data).eval()
    reference = count_network(network, record.input_shape)
    assert record == reference
    with torch.no_grad():
        plain = FlopCountAnalysis(network, torch.zeros(record.input_shape))
        plain.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        assert record.macs == plain.total()
        ours = record.by_operator()
        assert ours == dict(plain.by_operator())


def test_a_trace_that_loses_convolutions_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    config = RunConfig(model=SMALL["tsm"], data=DataConfig(size=64))
    expected = count(config)

    class Broken(TraceConvolutionShapes):
        def __torch_dispatch__(self, func: object, types: object, args: object = (), kwargs: object = None) -> object:
            raise RuntimeError("tracing changed")

    monkeypatch.setattr(counters, "TraceConvolutionShapes", Broken)
    assert count(config) == expected
    monkeypatch.setattr(counters, "TraceConvolutionShapes", lambda: _WithoutConvolutions())
    assert count(config) == expected


class _WithoutConvolutions(torch.utils._python_dispatch.TorchDispatchMode):
    """Runs operators as they come: convolutions then miss from the trace."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        if func is torch.ops.aten.convolution.default:
            return TraceConvolutionShapes().__torch_dispatch__(torch.ops.aten._convolution.default, types, args, kwargs)
        return func(*args, **(kwargs or {}))
