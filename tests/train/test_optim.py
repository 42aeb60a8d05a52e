"""Parameter groups, schedules and partial batch normalisation against the recipes' own figures."""

import math

import pytest
import torch
from torch import nn

from benchmark.config.models import BqnConfig, LateralConfig, TsmResNetConfig, VitConfig
from benchmark.config.run import DataConfig, TrainConfig
from benchmark.models.build import build_model
from benchmark.models.modules.regional_nonlocal import RegionalNonLocal
from benchmark.train.optim import MULTIPLIERS, freeze_all_but_first_bn, lr_at, make_optimizer, parameter_roles, set_lr

DATA = DataConfig(dataset="motionpairs", size=56)
RECIPE = TrainConfig(lr=0.1, weight_decay=1e-3, epochs=50, warmup_epochs=7)


@pytest.fixture(scope="module")
def bqn() -> nn.Module:
    lateral = LateralConfig(phi="conv1x1")
    return build_model(BqnConfig(width=0.125, lateral=lateral), DATA)


def groups(model: nn.Module, recipe: TrainConfig) -> dict[str, tuple[float, float]]:
    return {g["role"]: (g["lr"] / recipe.lr, g["weight_decay"]) for g in make_optimizer(model, recipe).param_groups}


def test_bqn_multipliers(bqn: nn.Module) -> None:
    assert groups(bqn, RECIPE) == {
        "stem_conv": (5, 1e-3),
        "stem_mbpm": (5, 1e-3),
        "weight": (1, 1e-3),
        "norm": (1, 0),
        "classifier_weight": (5, 0),
        "classifier_bias": (10, 0),
    }


def test_tsm_decays_the_classifier_and_leaves_the_stem_alone(bqn: nn.Module) -> None:
    found = groups(bqn, RECIPE.model_copy(update={"param_groups": "tsm"}))
    assert found["classifier_weight"] == (5, 1e-3)
    assert found["stem_conv"] == (1, 1e-3)


def test_msnet_has_nothing_special_for_the_classifier(bqn: nn.Module) -> None:
    recipe = RECIPE.model_copy(update={"param_groups": "msnet", "nesterov": True})
    assert groups(bqn, recipe)["classifier_weight"] == (1, 1e-3)
    assert groups(bqn, recipe)["classifier_bias"] == (2, 0)
    assert all(group["nesterov"] for group in make_optimizer(bqn, recipe).param_groups)
    assert not any(group["nesterov"] for group in make_optimizer(bqn, RECIPE).param_groups)


def test_plain_treats_every_parameter_alike(bqn: nn.Module) -> None:
    assert set(groups(bqn, RECIPE.model_copy(update={"param_groups": "plain"})).values()) == {(1, 1e-3)}


def test_adamw_decays_weights_alone_by_the_rate_and_not_through_the_gradient(bqn: nn.Module) -> None:
    recipe = TrainConfig(optimizer="adamw", lr=1e-2, weight_decay=0.5, param_groups="decayed_weights")
    decays = {role: decay for role, (lr, decay) in groups(bqn, recipe).items() if lr == 1}
    assert decays == {
        **dict.fromkeys(("stem_conv", "stem_mbpm", "weight", "classifier_weight"), 0.5),
        **dict.fromkeys(("norm", "classifier_bias"), 0),
    }
    layer = nn.Linear(1, 1)  # a role of its own name: weight and bias
    optimizer = make_optimizer(layer, recipe)
    before = layer.weight.item(), layer.bias.item()
    layer.weight.grad, layer.bias.grad = torch.tensor([[3.0]]), torch.tensor([-2.0])
    optimizer.step()
    assert layer.weight.item() == pytest.approx(before[0] * (1 - 1e-2 * 0.5) - 1e-2)  # the first step is the sign
    assert layer.bias.item() == pytest.approx(before[1] + 1e-2)


def test_adamw_has_no_nesterov_momentum() -> None:
    with pytest.raises(ValueError, match="nesterov is an option of sgd: adamw has none"):
        TrainConfig(optimizer="adamw", nesterov=True)


def test_biases_and_normalisations_of_a_transformer_do_not_decay() -> None:
    with torch.device("meta"):
        vit = build_model(VitConfig(width=0.125, depth=2), DATA.model_copy(update={"size": 64, "segments": 2}))
    normed = {name for name, role in parameter_roles(vit).items() if role == "norm"}
    assert normed == {name for name, p in vit.named_parameters() if ".norm" in name}
    for recipe, bias in (("vit", (1, 0)), ("tsm", (2, 0))):
        found = groups(vit, RECIPE.model_copy(update={"param_groups": recipe}))
        assert (found["weight"], found["bias"], found["norm"]) == ((1, 1e-3), bias, (1, 0))


def test_every_trainable_parameter_has_one_role(bqn: nn.Module) -> None:
    roles = parameter_roles(bqn)
    assert roles.keys() == {name for name, p in bqn.named_parameters() if p.requires_grad}
    optimizer = make_optimizer(bqn, RECIPE)
    assert sum(len(g["params"]) for g in optimizer.param_groups) == len(roles)


def test_roles_of_telling_parameters(bqn: nn.Module) -> None:
    by_role: dict[str, list[str]] = {}
    for name, role in parameter_roles(bqn).items():
        by_role.setdefault(role, []).append(name)
    assert sorted(by_role["stem_conv"]) == ["busy.conv1.weight", "quiet.conv1.weight"]
    assert all(name.startswith("stem_mbpm") for name in by_role["stem_mbpm"])
    assert len(by_role["stem_mbpm"]) == 2
    assert all(".bn" in n or ".downsample.1." in n or n.split(".")[-2].startswith("bn") for n in by_role["norm"])
    lateral_mbpm = [n for n in by_role["weight"] if n.startswith("laterals") and "mbpm" in n]
    assert len(lateral_mbpm) == 16  # eight connections from Quiet to Busy, LoG and high-pass each


def test_an_untrained_mbpm_is_not_optimised() -> None:
    from benchmark.config.representations import MbpmConfig

    frozen = TsmResNetConfig(width=0.125, representation="mbpm", mbpm=MbpmConfig(trainable=False))
    assert "stem_mbpm" not in set(parameter_roles(build_model(frozen, DATA)).values())


def test_warm_up_then_cosine() -> None:
    assert lr_at(0, RECIPE) == pytest.approx(0.01)
    assert lr_at(3.5, RECIPE) == pytest.approx(0.055)
    assert lr_at(7, RECIPE) == pytest.approx(0.1)
    assert lr_at(7 + 43 / 2, RECIPE) == pytest.approx(0.05)
    assert lr_at(7 + 43 / 3, RECIPE) == pytest.approx(0.5 * 0.1 * (1 + math.cos(math.pi / 3)))
    assert lr_at(50, RECIPE) == pytest.approx(0, abs=1e-12)


def test_steps() -> None:
    recipe = RECIPE.model_copy(update={"schedule": "step", "warmup_epochs": 0})
    assert [lr_at(e, recipe) for e in (0, 19.99, 20, 40)] == pytest.approx([0.1, 0.1, 0.01, 0.001])


def test_set_lr_keeps_the_multipliers(bqn: nn.Module) -> None:
    optimizer = make_optimizer(bqn, RECIPE)
    set_lr(optimizer, 1.0)
    assert {g["role"]: g["lr"] for g in optimizer.param_groups}["classifier_bias"] == 10


def test_partial_bn_keeps_only_the_quiet_stem() -> None:
    model = build_model(BqnConfig(width=0.125), DATA)
    model.train()
    bns = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert freeze_all_but_first_bn(model) == len(bns) - 1
    active = [name for name, m in model.named_modules() if isinstance(m, nn.BatchNorm2d) and m.training]
    assert active == ["quiet.bn1"]
    before = {name: buffer.clone() for name, buffer in model.named_buffers() if "running_mean" in name}
    model(torch.randn(2, 24, 3, 56, 56))
    moved = [name for name, buffer in model.named_buffers() if name in before and not torch.equal(buffer, before[name])]
    assert moved == ["quiet.bn1.running_mean"]


def test_representations_have_roles_of_their_own() -> None:
    roles = {}
    for name in ("mbpm", "tvnet", "dynamic_appearance"):
        config = TsmResNetConfig.model_validate({"width": 0.125, "depth": 18, "representation": name})
        named = parameter_roles(build_model(config, DATA))
        roles[name] = {role for key, role in named.items() if key.startswith("representation.")}
    assert roles == {
        "mbpm": {"stem_mbpm"},
        "tvnet": {"flow_filters"},
        "dynamic_appearance": {"representation", "norm"},
    }
    assert MULTIPLIERS["vit"]["representation"] == (5, 1)
    assert all(recipe["flow_filters"][0] < recipe["weight"][0] for recipe in MULTIPLIERS.values())


def test_partial_bn_spares_the_representation() -> None:
    config = TsmResNetConfig.model_validate({"width": 0.125, "depth": 18, "representation": "dynamic_appearance"})
    model = build_model(config, DATA).train()
    freeze_all_but_first_bn(model)
    live = [name for name, m in model.named_modules() if isinstance(m, torch.nn.BatchNorm2d) and m.training]
    assert [name for name in live if not name.startswith("representation.")] == ["backbone.bn1"]
    assert "representation.local_norm" in live


def test_rnl_s_code_takes_a_block_s_kernel_and_shift_for_biases_and_decays_its_scale() -> None:
    config = TsmResNetConfig(depth=18, width=0.125, insert=("rnl",), insert_after=("res3",))
    model = build_model(config, DATA)
    (block,) = [name for name, module in model.named_modules() if isinstance(module, RegionalNonLocal)]
    roles = parameter_roles(model)
    assert [roles[f"{block}.{name}"] for name in ("region.weight", "output.bn.weight", "output.bn.bias")] == [
        "region_kernel",
        "block_scale",
        "block_shift",
    ]
    found = groups(model, RECIPE.model_copy(update={"param_groups": "rnl"}))
    assert [found[role] for role in ("region_kernel", "block_scale", "block_shift")] == [(2, 0), (1, 1e-3), (2, 0)]
    plain = make_optimizer(model, RECIPE.model_copy(update={"param_groups": "tsm"}))
    assert {group["role"] for group in plain.param_groups} == {
        *("stem_conv", "weight", "bias", "norm", "classifier_weight", "classifier_bias")
    }
