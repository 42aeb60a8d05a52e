from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.config.models import BqnX3dConfig
from benchmark.config.run import DataConfig
from benchmark.cost.conventions import CONVENTIONS
from benchmark.cost.counters import count_network
from benchmark.models.backbones.x3d import X3d
from benchmark.models.bqn_x3d import BqnX3d
from benchmark.models.modules.lateral import LateralConnection
from benchmark.train.optim import parameter_roles

SMALL = DataConfig(dataset="motionpairs", segments=4, size=64)
PAPER = DataConfig(dataset="something-v1", segments=16, size=256)


def bqn(**settings: Any) -> BqnX3d:
    return BqnX3d(BqnX3dConfig.model_validate({"width": 0.125, "quiet_size": 40, **settings}), SMALL)


def paper(**settings: Any) -> BqnX3d:
    with torch.device("meta"):
        return BqnX3d(BqnX3dConfig.model_validate({"quiet_size": 160, **settings}), PAPER)


def open_gates(model: nn.Module) -> None:
    """Random gamma and beta in every normalisation, and classifiers that tell clips apart."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            module.running_var = 0.5 + torch.rand_like(module.weight.detach())
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight)


def connection(model: BqnX3d, key: str) -> LateralConnection:
    lateral = model.laterals[key]
    assert isinstance(lateral, LateralConnection)
    return lateral


def clips(batch: int = 2) -> Tensor:
    return torch.randn(batch, 3 * SMALL.segments, 3, SMALL.size, SMALL.size)


def batch_norm(x: Tensor, bn: nn.Module) -> Tensor:
    """Normalisation with running statistics of (N, C, H, W)."""
    assert isinstance(bn, nn.BatchNorm2d)
    assert bn.running_mean is not None
    assert bn.running_var is not None
    mean, var, gamma, beta = (v.view(1, -1, 1, 1) for v in (bn.running_mean, bn.running_var, bn.weight, bn.bias))
    return (x - mean) / (var + bn.eps).sqrt() * gamma + beta


def by_hand(model: BqnX3d, x: Tensor) -> Tensor:
    """The network of Eq. 5 with phi in both directions, clip by clip, frame by frame where frames do not interact."""
    assert isinstance(model.fc, nn.ModuleDict)
    logits = []
    for clip in x:
        busy = model.busy.stem(model.stem_mbpm(clip, len(clip)), 4)
        small = F.interpolate(clip[[0, 3, 6, 9]], size=(40, 40), mode="bilinear")
        quiet = model.quiet.stem(small, 4)
        blocks = zip(model.busy.blocks(), model.quiet.blocks(), strict=True)
        for number, ((stage, index, of_busy), (_, _, of_quiet)) in enumerate(blocks, start=1):
            busy, quiet = of_busy(busy), of_quiet(quiet)
            lateral = connection(model, f"{stage}_{index}")
            # (1, C, T, H, W) to T maps.
            busy_maps, quiet_maps = busy[0].transpose(0, 1), quiet[0].transpose(0, 1)
            if number % 2 == 1:
                way: Any = lateral.to_quiet
                size = quiet_maps.shape[-2:]
                term = [F.interpolate(m[None], size=size, mode="bilinear") for m in busy_maps]
                weight = way.phi[0].weight
                term = [batch_norm(F.conv2d(m, weight), way.bn)[0] for m in term]
                quiet = quiet + torch.stack(term, 1)[None]
            else:
                way = lateral.to_busy
                size = busy_maps.shape[-2:]
                # phi in front of the resize: the other order of two linear maps, the same function.
                term = [F.conv2d(m[None], way.phi[0].weight) for m in way.mbpm(quiet_maps.contiguous(), 4)]
                term = [batch_norm(F.interpolate(m, size=size, mode="bilinear"), way.bn)[0] for m in term]
                busy = busy + torch.stack(term, 1)[None]
        ways = (("busy", model.busy, busy), ("quiet", model.quiet, quiet))
        logits.append(sum(model.fc[name](net.head(maps))[0] for name, net, maps in ways) / 2)
    return torch.stack(logits)


def test_equals_eq5_by_hand() -> None:
    model = bqn().double().eval()
    open_gates(model)
    x = clips().double()
    expected = by_hand(model, x)
    assert expected.std() > 0.01
    torch.testing.assert_close(model(x), expected, rtol=1e-6, atol=1e-6)


def test_pathways_are_independent_until_a_gamma_moves() -> None:
    model = bqn().eval()
    x = clips()
    busy, quiet = model.inputs(x)
    assert isinstance(model.fc, nn.ModuleDict)
    apart = model.fc["busy"](model.busy.features(busy, 4)) + model.fc["quiet"](model.quiet.features(quiet, 4))
    torch.testing.assert_close(model(x), apart[:, 0] / 2)
    open_gates(model.laterals)
    assert not torch.allclose(model(x), apart[:, 0] / 2, rtol=1e-2)


def test_inputs() -> None:
    model, x = bqn(), clips()
    busy, quiet = model.inputs(x)
    torch.testing.assert_close(busy, model.stem_mbpm(x.flatten(0, 1), 12))
    torch.testing.assert_close(quiet, F.interpolate(x[:, ::3].flatten(0, 1), size=(40, 40), mode="bilinear"))
    assert torch.equal(bqn(quiet_size=None).inputs(x)[1], x[:, ::3].flatten(0, 1))


def test_connections_alternate_over_all_blocks_in_every_network() -> None:
    for _ in range(2):
        model = bqn()
        keys = [f"{stage}_{index}" for stage, index, _ in model.busy.blocks()]
        assert list(model.laterals) == keys
        to_quiet = [connection(model, key).to_quiet is not None for key in keys]
        to_busy = [connection(model, key).to_busy is not None for key in keys]
        assert to_quiet == [True, False] * 13
        assert to_busy == [False, True] * 13


@pytest.mark.parametrize("count", [0, 1, 9])
def test_fewer_connections_are_the_first_ones(count: int) -> None:
    few, all_of_them = bqn(num_bplc=count), bqn()
    assert list(few.laterals) == list(all_of_them.laterals)[:count]
    states = [{k: v.shape for k, v in model.laterals.state_dict().items()} for model in (few, all_of_them)]
    assert states[0].items() <= states[1].items()
    assert few(clips(1)).shape == (1, 8)


def test_kernels_by_stage() -> None:
    model = paper(lateral={"direction": "quiet_to_busy", "phi": "conv1x1"})
    sizes: dict[str, set[int]] = {}
    for key in model.laterals:
        way = connection(model, key).to_busy
        assert way is not None
        assert way.mbpm is not None
        sizes.setdefault(key[:4], set()).add(way.mbpm.kernel_size)
    assert sizes == {"res2": {7}, "res3": {7}, "res4": {7}, "res5": {3}}


LATERALS = (
    {"direction": "alternating", "phi": "identity"},
    {"direction": "bidirectional", "phi": "conv1x1"},
    {"direction": "quiet_to_busy", "phi": "bottleneck"},
    {"direction": "bidirectional", "phi": "conv1x1", "mbpm": False},
)


@pytest.mark.parametrize(
    "settings", [{}, {"shared_classifier": True}, *({"lateral": way} for way in LATERALS)], ids=str
)
def test_gradients_are_finite_and_gates_open(settings: dict[str, Any]) -> None:
    model = bqn(**settings)
    F.cross_entropy(model(clips()), torch.tensor([1, 5])).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        if name.startswith("laterals") and ".bn." not in name:
            assert not parameter.grad.any(), name
    opened = [p.grad for name, p in model.named_parameters() if name.startswith("laterals") and ".bn." in name]
    assert sum(float(grad.abs().sum()) for grad in opened if grad is not None) > 0


def test_bf16_autocast() -> None:
    model = bqn()
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(clips())
        F.cross_entropy(logits.float(), torch.tensor([1, 5])).backward()
    assert logits.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_classifiers() -> None:
    apart, shared = bqn(), bqn(shared_classifier=True)
    names = {name for name, role in parameter_roles(apart).items() if role == "classifier_weight"}
    assert names == {"fc.busy.weight", "fc.quiet.weight"}
    assert [n for n, role in parameter_roles(shared).items() if role == "classifier_weight"] == ["fc.weight"]
    assert {n for n, role in parameter_roles(apart).items() if role == "stem_mbpm"} == {
        "stem_mbpm.spatial",
        "stem_mbpm.temporal",
    }
    assert shared(clips(1)).shape == (1, 8)


def test_a_seed_gives_quiet_the_weights_that_it_gives_the_single_pathway() -> None:
    torch.manual_seed(3)
    pair = bqn()
    torch.manual_seed(3)
    alone = X3d(0.125).state_dict()
    assert all(torch.equal(pair.quiet.state_dict()[name], weight) for name, weight in alone.items())
    assert not torch.equal(pair.busy.conv1.weight, pair.quiet.conv1.weight)


def test_a_clip_does_not_depend_on_its_batch() -> None:
    model, x = bqn().eval(), clips()
    with torch.no_grad():
        torch.testing.assert_close(model(x)[:1], model(x[:1]), rtol=1e-3, atol=1e-5)


def test_refuses_another_number_of_frames() -> None:
    with pytest.raises(ValueError, match="12 frames"):
        bqn()(clips()[:, 1:])


BARE = 2 * (3_331_200 - 2049 * 174)
CLASSIFIER = 2049 * 174
PHI = 3 * 24**2 + 5 * 48**2 + 11 * 96**2 + 7 * 192**2


class TestPaperScale:
    @pytest.mark.parametrize(
        ("settings", "parameters"),
        [
            ({"num_bplc": 0}, BARE + 2 * CLASSIFIER + 252),
            ({"num_bplc": 0, "shared_classifier": True}, BARE + CLASSIFIER + 252),
            ({}, 7_083_660),
            ({"lateral": {"phi": "identity"}}, 7_083_660 - PHI),
            ({"lateral": {"direction": "bidirectional", "phi": "conv1x1"}}, 7_506_108),
        ],
    )
    def test_parameters(self, settings: dict[str, Any], parameters: int) -> None:
        assert sum(p.numel() for p in paper(**settings).parameters()) == parameters

    def test_cost_of_the_released_network(self) -> None:
        record = count_network(paper(), (1, 48, 3, 256, 256))
        assert record.gmacs == pytest.approx(10.535, abs=5e-4)
        # Printed as 9.7: modules that thop knows, so no MBPM.
        assert CONVENTIONS["thop_2001"].macs(record) / 1e9 == pytest.approx(9.7150, abs=2e-4)
        assert CONVENTIONS["thop_2005"].params(record) == pytest.approx(7.0405e6, abs=50)

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("settings", "gmacs"),
        [
            ({"lateral": {"direction": "bidirectional", "phi": "conv1x1"}}, 11.426),
            ({"lateral": {"phi": "identity"}}, 9.853),
            ({"shared_classifier": True}, 10.535),
        ],
    )
    def test_cost_of_other_readings(self, settings: dict[str, Any], gmacs: float) -> None:
        record = count_network(paper(**settings), (1, 48, 3, 256, 256))
        assert record.gmacs == pytest.approx(gmacs, abs=5e-4)
