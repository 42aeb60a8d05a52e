"""What every module must satisfy that a network places between its blocks, forward(x, frames) on (B * frames, C, H, W).

The table says of each what is its own: which frames see which, whether positions and the order of frames matter,
whether it starts as the identity. The converse is tested too, so an entry that says too little fails like one that says
too much.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from benchmark.config.fields import registered
from benchmark.config.modules import GateConfig, GateFields, InsertFields, ModuleConfig
from benchmark.models.gates.channel_gate import Norm
from benchmark.models.gates.channel_motion import ChannelMotion
from benchmark.models.gates.motion_enhance import MotionEnhance
from benchmark.models.gates.progressive_enhance import ProgressiveEnhance
from benchmark.models.modules import spatial_motion
from benchmark.models.modules.cbam import Cbam
from benchmark.models.modules.correspondence import CorrespondenceModule
from benchmark.models.modules.global_context import GlobalContext
from benchmark.models.modules.motion_squeeze import MotionSqueeze
from benchmark.models.modules.nonlocal_block import Instantiation, NonLocal
from benchmark.models.modules.pyramid_attention import PyramidAttention
from benchmark.models.modules.regional_nonlocal import RegionalNonLocal, RegionSimilarity
from benchmark.models.modules.spatial_motion import SpatialMotion
from benchmark.models.modules.squeeze_excitation import SqueezeExcitation
from benchmark.models.modules.temporal_interaction import TemporalInteraction
from tests.models.modules.trained import trained

Sees = Callable[[int, int, int], bool]
"""Whether frame t of the result depends on frame s of the clip, of T: (t, s, T)."""


def whole_clip(t: int, s: int, frames: int) -> bool:
    return True


def itself(t: int, s: int, frames: int) -> bool:
    return t == s


def neighbours(t: int, s: int, frames: int) -> bool:
    return abs(t - s) <= 1


def the_next(t: int, s: int, frames: int) -> bool:
    return s in (t, t + 1)


def the_next_or_the_last_two(t: int, s: int, frames: int) -> bool:
    return s in (t, t + 1) or (t == frames - 1 and s == t - 1)


def the_past(t: int, s: int, frames: int) -> bool:
    return s <= t


@dataclass(frozen=True)
class Case:
    """A module and what is known of it.

    Attributes:
        build: From channels.
        sees: Which frames of a clip a frame of the result depends on.
        symmetry: Positions, or frames as well, may come in any order, and the result comes in it.
        starts: Where it starts as the identity (of maps after a ReLU), what the names of the parameters begin with that
            have a gradient then, "" being all of them. None: it does not start so.
        blind: Parameters without an influence on the result in training.
        precise: Methods whose results stay in float32 where convolutions run in bfloat16.
        gradients: The values of `training` at which gradients are compared with finite differences here. None where
            that takes long and another case, or its own file, compares those of the same parts.
        layout: The memory format of the result: that of the maps, of the maps if the weights have it too, or one alone.
    """

    build: Callable[[int], nn.Module]
    sees: Sees = whole_clip
    symmetry: Literal["none", "positions", "positions and frames"] = "none"
    starts: str | None = None
    blind: tuple[str, ...] = ()
    precise: tuple[str, ...] = ()
    gradients: tuple[bool, ...] = (True,)
    layout: Literal["maps", "maps and weights", "channels_last"] = "maps"

    def layout_of_result(self, layout: torch.memory_format) -> torch.memory_format:
        return torch.channels_last if self.layout == "channels_last" else layout


def of(module: Callable[..., nn.Module], *args: Any, **settings: Any) -> Callable[[int], nn.Module]:
    """A module's constructor from channels alone."""
    return lambda channels: module(channels, *args, **settings)


def motion_squeeze(**settings: Any) -> Case:
    small = {"reduced": 6, "patch": 3, "temperature": 0.5, "transformation": "1x(3,3)", **settings}
    convolved = settings.get("fusion") in ("concat", "replace")
    layout: Literal["maps", "maps and weights"] = "maps and weights" if convolved else "maps"
    build = of(MotionSqueeze, **small)
    return Case(build, the_next_or_the_last_two, precise=("displacement",), gradients=(), layout=layout)


def pyramid(channels: int, rescale: bool) -> nn.Module:
    return PyramidAttention(((1, 1, 1), (3, 3, 3), (1, 3, 5)), rescale)


BOTH = (True, False)

CASES: dict[str, Case] = {
    "cme": Case(of(ChannelMotion, 2, 4), symmetry="positions and frames", precise=("gate",)),
    "mem": Case(of(MotionEnhance, 2), the_next, symmetry="positions", precise=("gate",)),
    "pem": Case(of(ProgressiveEnhance, 2), the_past, symmetry="positions", precise=("gate",)),
    "tim": Case(TemporalInteraction, neighbours, symmetry="positions", layout="channels_last"),
    "correspondence": Case(of(CorrespondenceModule, 3), starts="last_bn.", gradients=BOTH),
    "motion_squeeze add": motion_squeeze(),
    "motion_squeeze separable": motion_squeeze(transformation="separable", temperature=0.01),
    **{f"motion_squeeze {fusion}": motion_squeeze(fusion=fusion) for fusion in ("multiply", "concat", "replace")},
    "motion_squeeze both ways": motion_squeeze(backward_displacement=True, confidence=False),
    "cpa": Case(of(pyramid, rescale=True), starts="", precise=("attention",)),
    "cpa to the letter": Case(of(pyramid, rescale=False), precise=("attention",)),
}
for form in get_args(spatial_motion.Form):
    CASES[f"sme {form}"] = Case(
        of(SpatialMotion, form), the_next_or_the_last_two, symmetry="positions", starts="bn.", gradients=BOTH
    )
for kernel, normalised in itertools.product((3, (1, 3, 3)), (True, False)):
    CASES[f"cbam {kernel} {normalised=}"] = Case(
        of(Cbam, 2, kernel, normalised),
        precise=("gate", "position_gate"),
        gradients=() if kernel != 3 else BOTH if normalised else (True,),
    )
for norm, bias in itertools.product(get_args(Norm), (True, False)):
    CASES[f"gc {norm} {bias=}"] = Case(
        of(GlobalContext, 2, norm, bias),
        symmetry="positions and frames",
        starts="mlp.expand.",
        # A softmax, and batch normalisation, are blind to the bias in front of them.
        blind=("mask.bias", "mlp.reduce.bias") if norm == "batch" else ("mask.bias",),
        precise=("attention",),
        gradients=() if not bias else BOTH if norm == "batch" else (True,),
    )
for pool, form, bias in itertools.product(("clip", "frame"), ("gate", "additive"), (True, False)):
    CASES[f"se {pool} {form} {bias=}"] = Case(
        of(SqueezeExcitation, 2, pool, form, bias),
        whole_clip if pool == "clip" else itself,
        symmetry="positions and frames",
        starts="mlp.expand." if form == "additive" else None,
        blind=("mlp.reduce.bias",) if form == "additive" else (),
        gradients=() if not bias else BOTH if form == "additive" else (True,),
    )
for instantiation, sub_sample in itertools.product(get_args(Instantiation), (False, True)):
    CASES[f"nl {instantiation} {sub_sample=}"] = Case(
        of(NonLocal, instantiation, sub_sample),
        symmetry="none" if sub_sample else "positions and frames",
        starts="output.bn.",
        gradients=(True,) if sub_sample else (),
    )
for similarity, (aggregator, form) in itertools.product(
    get_args(RegionSimilarity),
    (("conv", "depthwise"), ("conv", "refactorised"), ("average", "depthwise"), ("max", "depthwise")),
):
    CASES[f"rnl {similarity} {aggregator} {form}"] = Case(
        of(RegionalNonLocal, similarity, aggregator, (3, 3, 1), form),
        starts="output.bn.",
        gradients=(True,) if similarity == "gaussian" or (aggregator, form) == ("conv", "depthwise") else (),
    )

every_case = pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
LAYOUTS = (torch.contiguous_format, torch.channels_last)
PRECISIONS = (torch.float32, torch.bfloat16)


def in_precision(dtype: torch.dtype) -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16)


def with_fixed_statistics(module: nn.Module) -> Iterator[nn.Module]:
    """The module in evaluation, then in training with all normalisations left in evaluation."""
    yield module.eval()
    module.train()
    for norm in module.modules():
        if isinstance(norm, _BatchNorm):
            norm.eval()
    yield module


def in_layout(module: nn.Module, layout: torch.memory_format) -> nn.Module:
    """A copy with its 4-D weights in a memory format, as networks have them."""
    module = copy.deepcopy(module)
    for parameter in module.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=layout)
    return module


def learnable(module: nn.Module) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}


def test_the_table_has_every_module_that_a_config_can_name() -> None:
    assert {name.split()[0] for name in CASES} == {
        "tim",
        *registered(InsertFields, ModuleConfig),
        *registered(GateFields, GateConfig),
    }


@every_case
def test_a_frame_sees_the_frames_of_its_clip_that_it_should_and_no_others(case: Case) -> None:
    x, frames = torch.randn(12, 8, 4, 4, dtype=torch.float64), 4
    for module in with_fixed_statistics(trained(case.build(8)).double()):
        with torch.no_grad():
            y = module(x, frames)
            torch.testing.assert_close(module(x[4:8], frames), y[4:8])
            for s in range(frames):
                changed = x.clone()
                changed[4 + s] = 2 * torch.randn(8, 4, 4)
                moved = (module(changed, frames) - y).flatten(1).abs().amax(1)
                assert (moved > 1e-9).tolist() == [4 <= n < 8 and case.sees(n - 4, s, frames) for n in range(12)], s
                assert moved[(moved <= 1e-9)].sum() < 1e-11


@every_case
def test_positions_and_frames_matter_where_the_table_says_so(case: Case) -> None:
    x, frames = torch.randn(4, 8, 4, 4, dtype=torch.float64), 4
    for module in with_fixed_statistics(trained(case.build(8)).double()):
        for order in (torch.arange(4), torch.tensor([2, 0, 3, 1])):
            positions = torch.randperm(16)

            def shuffle(x: Tensor, order: Tensor = order, positions: Tensor = positions) -> Tensor:
                return x[order].flatten(2)[:, :, positions].view_as(x)

            same = torch.allclose(module(shuffle(x), frames), shuffle(module(x, frames)))
            in_order = torch.equal(order, torch.arange(4))
            assert same is (case.symmetry == "positions and frames" or (in_order and case.symmetry == "positions"))


@every_case
def test_starts_as_the_identity_where_the_table_says_so(case: Case) -> None:
    for dtype, training in itertools.product(PRECISIONS, (False, True)):
        module, x = case.build(32).train(training), torch.randn(16, 32, 5, 5).relu().to(dtype)
        with in_precision(dtype):
            y = module(x, 4)
        assert torch.equal(y, x) is (case.starts is not None)
        if case.starts is None:
            continue
        (y * torch.randn_like(y)).float().sum().backward()
        for name, parameter in learnable(module).items():
            assert parameter.grad is not None, name
            assert bool(parameter.grad.any()) is name.startswith(case.starts), name


@every_case
def test_keeps_shape_and_memory_format(case: Case) -> None:
    x = torch.randn(8, 8, 6, 5, dtype=torch.float64)
    for module in with_fixed_statistics(trained(case.build(8)).double()):
        expected = module(x, 4)
        for layout in LAYOUTS:
            for converted in (True,) if case.layout == "maps and weights" else (False, True):
                y = (in_layout(module, layout) if converted else module)(x.contiguous(memory_format=layout), 4)
                assert y.shape == x.shape
                assert y.is_contiguous(memory_format=case.layout_of_result(layout))
                torch.testing.assert_close(y, expected)


@every_case
def test_keeps_precision_and_trains_every_parameter(case: Case) -> None:
    for dtype, layout in itertools.product(PRECISIONS, LAYOUTS):
        module = in_layout(trained(case.build(32)), layout)
        x = torch.randn(8, 32, 4, 6).to(dtype, memory_format=layout).requires_grad_()
        with in_precision(dtype):
            y = module(x, 4)
            assert all(getattr(module, method)(x, 4).dtype == torch.float32 for method in case.precise)
        (y * torch.randn_like(y)).float().sum().backward()
        assert (y.shape, y.dtype) == (x.shape, dtype)
        assert y.is_contiguous(memory_format=case.layout_of_result(layout))
        for name, tensor in (("x", x), *learnable(module).items()):
            assert tensor.grad is not None, name
            assert tensor.grad.isfinite().all(), name
            assert tensor.grad.abs().max() > 0 or name in case.blind, name


@every_case
def test_large_maps_and_maps_without_features_have_finite_gradients(case: Case) -> None:
    x = 100 * torch.randn(8, 16, 6, 6).relu()
    x[:, :, :3] = 0
    x[1] = 0
    for dtype, training in itertools.product(PRECISIONS, (False, True)):
        module, maps = trained(case.build(16)).train(training), x.to(dtype, copy=True).requires_grad_()
        with in_precision(dtype):
            y = module(maps, 4)
        y.float().square().mean().backward()
        assert y.isfinite().all()
        for name, tensor in (("x", maps), *learnable(module).items()):
            assert tensor.grad is not None, name
            assert tensor.grad.isfinite().all(), name


@pytest.mark.parametrize(
    ("name", "training"), [(name, training) for name, case in CASES.items() for training in case.gradients]
)
def test_gradients(name: str, training: bool) -> None:
    module = trained(CASES[name].build(4)).double().train(training)
    x = torch.randn(4, 4, 2, 2, dtype=torch.float64, requires_grad=True)
    weights = learnable(module)

    def call(x: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(module, dict(zip(weights, values, strict=True)), (x, 2))

    assert torch.autograd.gradcheck(call, (x, *weights.values()))


@every_case
def test_runs_without_storage(case: Case) -> None:
    with torch.device("meta"):
        module = case.build(8)
    for training in (False, True):
        y = module.train(training)(torch.empty(8, 8, 6, 5, device="meta"), 4)
        assert (y.shape, y.is_meta) == ((8, 8, 6, 5), True)


@every_case
def test_refuses_maps_that_are_no_clips(case: Case) -> None:
    for frames in (0, 3, 16):
        with pytest.raises(ValueError, match=rf"(no|not) clips of {frames} frames"):
            case.build(8)(torch.randn(8, 8, 2, 2), frames)
