from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from fvcore.nn import FlopCountAnalysis
from torch import Tensor, nn

from benchmark.config.fields import registered
from benchmark.config.models import (
    BqnConfig,
    BqnX3dConfig,
    CustomConfig,
    I3dConfig,
    InceptionResNetV2Config,
    MobileNetV2Config,
    ModelConfig,
    TesNetConfig,
    TsmResNetConfig,
    VitConfig,
    X3dConfig,
)
from benchmark.config.representations import RepresentationConfig, RepresentationFields
from benchmark.config.run import DataConfig
from benchmark.models.bqn import Bqn, subsampled_segments
from benchmark.models.build import MODELS, build_model
from benchmark.models.forward import residual_of
from benchmark.models.gates.channel_motion import ChannelMotion
from benchmark.models.modules.lateral import LateralConnection
from benchmark.models.modules.mbpm import Mbpm
from benchmark.models.modules.regional_nonlocal import RegionalNonLocal
from benchmark.models.single_path import SinglePath, build_classifier
from benchmark.spec.load import load_table

SMALL = DataConfig(dataset="motionpairs", segments=4, size=56)
PAPER = DataConfig(dataset="something-v1", segments=8, size=224)

EXAMPLE = Path(__file__).parents[2] / "examples" / "frame_difference.py"

NETWORKS: dict[str, ModelConfig] = {
    "custom": CustomConfig(entry=f"{EXAMPLE}:FrameDifference", frames_per_segment=3, width=0.125),
    "tsn": TsmResNetConfig(width=0.125, depth=18, temporal_shift=False),
    "tsm rgb": TsmResNetConfig(width=0.125),
    "tsm mbpm": TsmResNetConfig(width=0.125, representation="mbpm"),
    "tsm fixed mbpm": TsmResNetConfig.model_validate(
        {"width": 0.125, "depth": 18, "representation": "mbpm", "mbpm": {"trainable": False}}
    ),
    "tsm, every second block": TsmResNetConfig(width=0.125, depth=18, shift_every=2),
    "tsm gc at one of the places of rnl": TsmResNetConfig(
        width=0.125, insert=("gc", "rnl"), insert_only={"gc": ("res3.0",)}
    ),
    "bqn": BqnConfig(width=0.125),
    "bqn both ways": BqnConfig.model_validate(
        {
            "width": 0.125,
            "depth": 18,
            "num_bplc": 8,
            "lateral": {"direction": "bidirectional", "phi": "conv1x1", "phi_after_mbpm": True},
        }
    ),
    "bqn r18": BqnConfig(width=0.125, depth=18, num_bplc=8, quiet_size=40),
    "bqn r101": BqnConfig(width=0.125, depth=101, num_bplc=33, quiet_size=40),
    "bqn slow quiet": BqnConfig(width=0.125, quiet_size=40, quiet_segments=3),
    "bqn no lateral": BqnConfig(width=0.125, depth=18, num_bplc=0),
    "bqn average": BqnConfig(width=0.125, depth=18, num_bplc=4, quiet_input="average"),
    **{
        f"tsm {name}": TsmResNetConfig.model_validate({"width": 0.125, "depth": 18, "representation": name})
        for name in (
            *("rgb_difference", "flow", "dynamic_image", "tvnet", "persistent_appearance", "convolution"),
            *("squeezed_image", "dynamic_appearance"),
        )
    },
    "mobilenet": MobileNetV2Config(width=0.125),
    "mobilenet mbpm": MobileNetV2Config(width=0.125, representation="mbpm"),
    "x3d": X3dConfig(width=0.125),
    "x3d pa": X3dConfig(width=0.125, representation="persistent_appearance"),
    "x3d da after stem": X3dConfig.model_validate(
        {
            "width": 0.125,
            "representation": "dynamic_appearance",
            "dynamic_appearance": {"frames": 4, "average_after_stem": True},
        }
    ),
    "vit da": VitConfig(width=0.125, patch_size=14, depth=2, representation="dynamic_appearance"),
    "inception squeezed": InceptionResNetV2Config(width=0.125, representation="squeezed_image"),
    "tesnet": TesNetConfig.model_validate(
        {"width": 0.125, "layers": [{"after": "conv2d_1a", "images": 3}, {"after": "block_b", "images": 2}]}
    ),
    "tesnet flow": TesNetConfig(width=0.125, modality="flow", frames=5),
    "bqn x3d": BqnX3dConfig(width=0.125, quiet_size=40),
    **{
        f"tsm {' '.join(chain)}": TsmResNetConfig(width=0.125, insert=chain)
        for chain in (("nl",), ("gc", "rnl"), ("se", "cbam", "cpa"))
    },
    "tsm ms": TsmResNetConfig(width=0.125, depth=18, insert=("motion_squeeze",), insert_after=("res3",)),
    "tsm cp": TsmResNetConfig(width=0.125, depth=18, insert=("correspondence",), insert_after=("res3",)),
    "cmr": TsmResNetConfig(
        width=0.125, temporal_shift=False, tim=True, gate="cme", insert=("sme",), insert_after=("first",)
    ),
    "tim mem": TsmResNetConfig(width=0.125, depth=18, temporal_shift=False, tim=True, gate="mem"),
    "tim pem": TsmResNetConfig(width=0.125, depth=18, temporal_shift=False, tim=True, gate="pem", gate_in="first"),
    "mobilenet ms": MobileNetV2Config.model_validate(
        {
            "width": 0.125,
            "stem_kernel": 7,
            "insert": ("motion_squeeze",),
            "insert_after": ("stage3",),
            "motion_squeeze": {"reduced": None},
        }
    ),
    "i3d ms": I3dConfig(width=0.125, insert=("motion_squeeze",), insert_after=("mixed_3b",)),
    "bqn complement": BqnConfig(width=0.125, depth=18, num_bplc=4, quiet_input="complement"),
}


def clips(model: ModelConfig, batch: int = 2, data: DataConfig = SMALL) -> Tensor:
    channels = 2 if getattr(model, "modality", "rgb") == "flow" else 3
    return torch.randn(batch, data.segments * model.frames_per_segment, channels, data.size, data.size)


def bqn(data: DataConfig = SMALL, **settings: Any) -> Bqn:
    return Bqn(BqnConfig.model_validate({"width": 0.125, "depth": 18, "num_bplc": 8, **settings}), data)


def count(module: nn.Module, only: str = "") -> int:
    return sum(p.numel() for name, p in module.named_parameters() if only in name)


def before_zero_gamma(model: nn.Module) -> set[str]:
    """Parameters whose gradient a zero gamma blocks: everything of a lateral connection but its normalisation."""
    return {
        f"{name}.{key}"
        for name, module in model.named_modules()
        if isinstance(module, LateralConnection)
        for key, _ in module.named_parameters()
        if ".bn." not in key
    }


def assert_trains(model: nn.Module, x: Tensor, classes: int) -> None:
    logits = model(x)
    assert logits.shape == (len(x), classes)
    nn.functional.cross_entropy(logits, torch.arange(len(x)) % classes).backward()
    blocked = before_zero_gamma(model)
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            assert parameter.grad is None, name
            continue
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        # The gradient of a weight before batch normalisation may underflow, so only blocked ones are told apart by it.
        assert name not in blocked or not parameter.grad.any(), name


def test_every_network_is_tried() -> None:
    assert {config.name for config in NETWORKS.values()} == set(MODELS)


def test_every_representation_is_tried_but_flownet_which_needs_weights() -> None:
    tried = {config.representation for config in NETWORKS.values() if isinstance(config, RepresentationFields)}
    assert tried == {"rgb", *registered(RepresentationFields, RepresentationConfig)} - {"flownet"}


def test_averaging_after_the_stem_is_the_same_function() -> None:
    settings = {"width": 0.125, "representation": "dynamic_appearance"}
    outputs = []
    for after in (False, True):
        torch.manual_seed(0)
        part = {"frames": 4, "average_after_stem": after}
        model = build_model(X3dConfig.model_validate({**settings, "dynamic_appearance": part}), SMALL).eval().double()
        nn.init.normal_(model.get_parameter("fc.weight"))
        torch.manual_seed(1)
        outputs.append(model(torch.randn(2, 16, 3, 56, 56, dtype=torch.float64)))
    torch.testing.assert_close(*outputs)


@pytest.mark.parametrize("name", NETWORKS)
def test_trains(name: str) -> None:
    torch.manual_seed(0)
    config = NETWORKS[name]
    assert_trains(build_model(config, SMALL), clips(config), SMALL.num_classes)


@pytest.mark.parametrize("name", [name for name, config in NETWORKS.items() if config.name != "custom"])
def test_gradients_are_finite_in_bf16_with_the_projection_loss(name: str) -> None:
    torch.manual_seed(0)
    config = NETWORKS[name]
    model = build_model(config, SMALL)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(clips(config))
    loss = nn.functional.cross_entropy(logits.float(), torch.arange(2))
    residual = residual_of(model)
    (loss if residual is None else loss + residual).backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_seed_decides_the_weights(name: str) -> None:
    states = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        states.append(build_model(NETWORKS[name], SMALL).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not all(torch.equal(states[0][key], states[2][key]) for key in states[0])


@pytest.mark.parametrize("name", NETWORKS)
def test_a_clip_does_not_depend_on_its_batch(name: str) -> None:
    config = NETWORKS[name]
    model = build_model(config, SMALL).eval()
    x = clips(config)
    with torch.no_grad():
        torch.testing.assert_close(model(x)[:1], model(x[:1]), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["tsm rgb", "bqn"])
def test_refuses_another_number_of_frames(name: str) -> None:
    config = NETWORKS[name]
    with pytest.raises(ValueError, match="frames"):
        build_model(config, SMALL)(clips(config)[:, 1:])


FUSIONS = ("average_after_fc", "average_before_fc", "max_after_fc", "concat_before_fc")
DIRECTIONS = ("alternating", "bidirectional", "quiet_to_busy", "busy_to_quiet")


@pytest.mark.parametrize(
    ("fusion", "direction", "phi"), [*itertools.product(FUSIONS, DIRECTIONS, ("identity", "conv1x1", "bottleneck"))]
)
def test_every_fusion_direction_and_phi_trains(fusion: str, direction: str, phi: str) -> None:
    data = DataConfig(dataset="motionpairs", segments=2, size=56)
    mbpm = phi != "conv1x1"
    model = bqn(data, quiet_size=40, fusion=fusion, lateral={"direction": direction, "phi": phi, "mbpm": mbpm})
    assert_trains(model, torch.randn(2, 6, 3, 56, 56), 8)


class TestSinglePath:
    def test_is_the_mean_over_segments_of_a_linear_classifier(self) -> None:
        model = SinglePath(TsmResNetConfig(width=0.125, depth=18, temporal_shift=False), SMALL).eval()
        x = torch.randn(1, 4, 3, 56, 56)
        per_segment = [model.fc(model.backbone(x[:, t], 1).mean((2, 3))) for t in range(4)]
        torch.testing.assert_close(model(x), torch.stack(per_segment).mean(0))

    def test_without_shift_the_order_of_the_segments_is_lost(self) -> None:
        x = torch.randn(1, 4, 3, 56, 56)
        for shift in (False, True):
            model = SinglePath(TsmResNetConfig(width=0.125, depth=18, temporal_shift=shift), SMALL).eval()
            nn.init.normal_(model.fc.weight)
            assert torch.allclose(model(x), model(x.flip(1)), rtol=1e-3, atol=1e-4) is not shift

    def test_regions_are_smaller_from_res4_on(self) -> None:
        config = TsmResNetConfig(width=0.125, insert=("rnl",), insert_after=("res3", "res4", "res5"))
        with torch.device("meta"):
            blocks = SinglePath(config, SMALL).modules()
        kernels = [block.kernel_size for block in blocks if isinstance(block, RegionalNonLocal)]
        assert kernels == [(3, 7, 7), (3, 3, 3), (3, 3, 3)]

    def test_a_gate_stands_in_every_block_or_in_the_first_of_each_stage(self) -> None:
        for where, blocks in (("all", 8), ("first", 4)):
            config = TsmResNetConfig(width=0.125, depth=18, gate="cme", gate_in=where)
            with torch.device("meta"):
                named = [name for name, m in SinglePath(config, SMALL).named_modules() if isinstance(m, ChannelMotion)]
            assert len(named) == blocks
            assert all(".0.before." in name for name in named) == (where == "first")

    def test_the_classifier_starts_small(self) -> None:
        fc = build_classifier(512, 400)
        assert fc.weight.std().item() == pytest.approx(0.001, rel=0.01)
        assert not fc.bias.any()

    def test_mbpm_is_blind_to_a_still_clip(self) -> None:
        model = SinglePath(TsmResNetConfig(width=0.125, depth=18, representation="mbpm"), SMALL).eval()
        nn.init.normal_(model.fc.weight)
        one, other = (torch.randn(1, 1, 3, 56, 56).expand(1, 12, 3, 56, 56) for _ in range(2))
        torch.testing.assert_close(model(one), model(other), rtol=0, atol=1e-2)
        moving = torch.randn(1, 12, 3, 56, 56)
        assert not torch.allclose(model(one), model(moving), atol=1)


class TestBqn:
    def test_busy_sees_motion_and_quiet_the_first_frame_of_each_triple(self) -> None:
        model = bqn(quiet_size=40)
        x = torch.randn(2, 12, 3, 56, 56)
        busy, quiet = model.inputs(x)
        assert busy.shape == (8, 3, 56, 56)
        torch.testing.assert_close(busy, model.stem_mbpm(x.flatten(0, 1), 12))
        first = nn.functional.interpolate(x[:, ::3].flatten(0, 1), size=(40, 40), mode="bilinear")
        torch.testing.assert_close(quiet, first)

    def test_quiet_input_of_eq_4(self) -> None:
        x = torch.randn(1, 12, 3, 56, 56)
        busy, complement = bqn(quiet_input="complement").inputs(x)
        mean = torch.stack([x[0, 3 * i : 3 * i + 3].mean(0) for i in range(4)])
        torch.testing.assert_close(complement, mean - busy)
        torch.testing.assert_close(bqn(quiet_input="average").inputs(x)[1], mean)

    def test_segments_that_quiet_keeps(self) -> None:
        assert subsampled_segments(8, 8) == list(range(8))
        assert subsampled_segments(8, 6) == [0, 2, 3, 4, 6, 7]
        assert subsampled_segments(8, 4) == [1, 3, 5, 7]
        assert subsampled_segments(8, 1) == [4]
        x = torch.randn(1, 12, 3, 56, 56)
        torch.testing.assert_close(bqn(quiet_segments=2).inputs(x)[1], x[0, [3, 9]])

    def test_pathways_are_independent_until_a_gamma_moves(self) -> None:
        model = bqn(quiet_size=40).eval()
        x = torch.randn(2, 12, 3, 56, 56)
        busy, quiet = model.inputs(x)
        logits = [
            model.fc(net(v, 4).mean((2, 3))).view(2, 4, -1).mean(1)
            for net, v in ((model.busy, busy), (model.quiet, quiet))
        ]
        torch.testing.assert_close(model(x), (logits[0] + logits[1]) / 2)
        for lateral in model.laterals.values():
            for module in lateral.modules():
                if isinstance(module, nn.BatchNorm2d):
                    nn.init.ones_(module.weight)
        assert not torch.allclose(model(x), (logits[0] + logits[1]) / 2, rtol=1e-2)

    def test_fusions(self) -> None:
        busy, quiet = torch.randn(2, 2, 4, 64)
        rows = range(4)
        for fusion in FUSIONS:
            model = bqn(fusion=fusion).eval()
            nn.init.normal_(model.fc.weight)
            fc = model.fc
            per_segment = {
                "average_after_fc": lambda t, fc=fc: (fc(busy[:, t]) + fc(quiet[:, t])) / 2,
                "average_before_fc": lambda t, fc=fc: fc((busy[:, t] + quiet[:, t]) / 2),
                "max_after_fc": lambda t, fc=fc: torch.maximum(fc(busy[:, t]), fc(quiet[:, t])),
                "concat_before_fc": lambda t, fc=fc: fc(torch.cat([busy[:, t], quiet[:, t]], 1)),
            }[fusion]
            expected = torch.stack([per_segment(t) for t in rows]).mean(0)
            torch.testing.assert_close(model.fuse(busy, quiet), expected, rtol=1e-4, atol=1e-4)

    def test_dropout_acts_on_what_enters_the_classifier(self) -> None:
        """Opposite features cancel before the classifier, whatever the mask; after it, only if both masks were one."""
        busy = torch.randn(2, 4, 64)
        before, after = bqn(dropout=0.5, fusion="average_before_fc"), bqn(dropout=0.5, fusion="average_after_fc")
        for model in (before, after):
            nn.init.normal_(model.fc.weight)
        assert before.fuse(busy, -busy).abs().max() == 0
        assert after.fuse(busy, -busy).abs().max() > 0.1
        torch.testing.assert_close(after.eval().fuse(busy, -busy), torch.zeros(2, 8), rtol=0, atol=1e-5)

    def test_a_seed_gives_quiet_the_weights_that_it_gives_the_single_pathway(self) -> None:
        torch.manual_seed(3)
        pair = bqn()
        torch.manual_seed(3)
        alone = SinglePath(TsmResNetConfig(width=0.125, depth=18), SMALL)
        for name, weight in alone.backbone.state_dict().items():
            assert torch.equal(weight, pair.quiet.state_dict()[name]), name

    @pytest.mark.parametrize(
        ("parity", "directions"),
        [("connection", ["to_quiet", "to_busy"] * 2), ("block", ["to_quiet", "to_busy", "to_busy", "to_busy"])],
    )
    def test_sparse_connections_alternate_by_parity(self, parity: str, directions: list[str]) -> None:
        model = bqn(depth=50, num_bplc=4, lateral={"parity": parity})
        assert list(model.laterals) == ["res2_0", "res3_0", "res4_0", "res5_0"]
        found = [
            "to_busy" if lateral.to_busy is not None else "to_quiet"
            for lateral in model.laterals.values()
            if isinstance(lateral, LateralConnection)
        ]
        assert found == directions

    def test_parity_starts_afresh_in_every_network(self) -> None:
        first, second = bqn(depth=101, num_bplc=33), bqn(depth=101, num_bplc=33)
        assert first.state_dict().keys() == second.state_dict().keys()
        assert first.laterals["res2_0"].to_quiet is not None


class TestPaperScale:
    @pytest.mark.parametrize(
        ("config", "parameters"),
        [
            (TsmResNetConfig(), 23_864_558),
            (TsmResNetConfig(representation="mbpm"), 23_864_558 + 252),
            (BqnConfig(num_bplc=0), 2 * 23_508_032 + 356_526 + 252),
            (BqnConfig(), 47_678_506),
            (BqnConfig.model_validate({"lateral": {"phi": "conv1x1"}}), 47_678_506 + 7_995_392),
            (BqnConfig(fusion="concat_before_fc"), 47_678_506 + 2048 * 174),
        ],
    )
    def test_parameters(self, config: ModelConfig, parameters: int) -> None:
        with torch.device("meta"):
            assert count(build_model(config, PAPER)) == parameters

    @pytest.mark.parametrize(("direction", "parameters"), [("alternating", 30_208), ("bidirectional", 60_416)])
    def test_lateral_normalisation(self, direction: str, parameters: int) -> None:
        with torch.device("meta"):
            model = build_model(BqnConfig.model_validate({"lateral": {"direction": direction}}), PAPER)
        assert isinstance(model, Bqn)
        assert count(model.laterals, ".bn.") == parameters

    def test_lateral_mbpms_of_the_alternating_net(self) -> None:
        with torch.device("meta"):
            model = build_model(BqnConfig(), PAPER)
        assert isinstance(model, Bqn)
        assert sum(count(m) for m in model.laterals.modules() if isinstance(m, Mbpm)) == 275_456

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("settings", "gmacs"),
        [
            ({}, 67.079),
            ({"num_bplc": 0}, 66.053),
            ({"quiet_size": 160, "num_bplc": 0}, 49.953),
            ({"quiet_size": 160}, 50.624),
            ({"lateral": {"phi": "conv1x1"}}, 80.233),
        ],
    )
    def test_gmacs_of_every_operator(self, settings: dict[str, Any], gmacs: float) -> None:
        assert total_gmacs(BqnConfig.model_validate(settings), PAPER) == pytest.approx(gmacs, abs=1e-3)

    def test_gmacs_on_small_frames(self) -> None:
        """The first count above, scaled: all but the classifier goes with the number of pixels."""
        data = DataConfig(dataset="something-v1", segments=8, size=64)
        classifier = 2 * 8 * 2048 * 174 / 1e9
        expected = (67.0794 - classifier) * (64 / 224) ** 2 + classifier
        assert total_gmacs(BqnConfig(), data) == pytest.approx(expected, rel=1e-5)


def total_gmacs(config: ModelConfig, data: DataConfig) -> float:
    model = build_model(config, data).eval()
    analysis = FlopCountAnalysis(model, clips(config, 1, data))
    return float(analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total() / 1e9)


def test_a_classifier_starts_as_its_recipe_s_code_has_it() -> None:
    """Xavier's uniform in MotionSqueeze's: of ResNet-18 with 174 classes, a standard deviation of 0.054."""
    for init, sd in (("normal", 0.001), ("xavier", math.sqrt(2 / (512 + 174)))):
        fc = build_classifier(512, 174, init)
        assert fc.weight.std().item() == pytest.approx(sd, rel=0.02)
        assert not fc.bias.any()
    config = load_table("msnet-8", "embedded").rows[0].config
    assert config is not None
    network = build_model(config.model, config.data)
    assert network.get_parameter("fc.weight").std().item() > 0.05
