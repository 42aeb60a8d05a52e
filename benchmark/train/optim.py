"""Parameter groups, learning-rate schedules and partial batch normalisation as the papers' released code has them.

SGD with momentum, Nesterov's where the recipe says so. Every parameter has a role, and a recipe gives each role
multipliers of the learning rate and of the weight decay. The BQN paper says only that the classifier's learning rate
and weight decay are 5 times the base's; its released code multiplies the rate by 5 and the decay by 0, and the rate of
the stems by 5 too. That code is the `bqn` recipe.
"""

from __future__ import annotations

import inspect
import math
from typing import Any, Literal, get_args

import torch
from torch import nn

from benchmark.config.run import TrainConfig
from benchmark.models.modules.mbpm import Mbpm
from benchmark.models.modules.regional_nonlocal import RegionalNonLocal
from benchmark.models.representations.tvnet import Tvnet

Role = Literal[
    "stem_conv",
    "stem_mbpm",
    "flow_filters",
    "representation",
    "weight",
    "bias",
    "norm",
    "classifier_weight",
    "classifier_bias",
    "region_kernel",
    "block_scale",
    "block_shift",
]

ROLES: tuple[Role, ...] = get_args(Role)
WIDER: dict[Role, Role] = {"region_kernel": "weight", "block_scale": "norm", "block_shift": "norm"}
"""What a parameter counts as where a recipe does not name its role: those of the regional non-local block."""

_FLOW_FILTERS = (0.01, 0)
"""Of TVNet's derivative filters, in every recipe. Their gradient is several times that of all other weights together:
at the common rate they stop being derivatives after a few steps, and the network stays at chance (motionpairs)."""

_TSM: dict[Role, tuple[float, float]] = {
    "stem_conv": (1, 1),
    "stem_mbpm": (5, 1),
    "flow_filters": _FLOW_FILTERS,
    "representation": (1, 1),
    "weight": (1, 1),
    "bias": (2, 0),
    "norm": (1, 0),
    "classifier_weight": (5, 1),
    "classifier_bias": (10, 0),
}
_EQUAL: dict[Role, tuple[float, float]] = {role: (1, 1) for role in ROLES if role not in WIDER}
MULTIPLIERS: dict[str, dict[Role, tuple[float, float]]] = {
    "bqn": {**_TSM, "stem_conv": (5, 1), "classifier_weight": (5, 0)},
    "tsm": _TSM,
    "tsm_flow": {**_TSM, "stem_conv": (5, 1)},
    "msnet": {**_TSM, "classifier_weight": (1, 1), "classifier_bias": (2, 0)},
    "msnet_flow": {**_TSM, "stem_conv": (5, 1), "classifier_weight": (1, 1), "classifier_bias": (2, 0)},
    "vit": {
        **_EQUAL,
        "flow_filters": _FLOW_FILTERS,
        "representation": (5, 1),
        "bias": (1, 0),
        "norm": (1, 0),
    },
    "rnl": {**_TSM, "region_kernel": (2, 0), "block_scale": (1, 1), "block_shift": (2, 0)},
    "plain": {**_EQUAL, "flow_filters": _FLOW_FILTERS},
    "slow_classifier": {
        **_EQUAL,
        "flow_filters": _FLOW_FILTERS,
        "classifier_weight": (0.1, 1),
        "classifier_bias": (0.1, 1),
    },
    "decayed_weights": {
        **_EQUAL,
        "flow_filters": _FLOW_FILTERS,
        "bias": (1, 0),
        "norm": (1, 0),
        "classifier_bias": (1, 0),
    },
}
"""Recipe -> role -> (multiplier of the learning rate, multiplier of the weight decay).

`msnet` is TSM's without the classifier's multipliers, as MotionSqueeze's code comes out: the rule for linear layers
never meets its classifier, a convolution. `rnl` is what trained the published numbers of RNL: its code takes the first
parameter of a module for its weight and the second for its bias, and a region's first parameter is its mask. `vit` is
what the DA paper says of ViT: the rate of PWTP is five times the others'. `slow_classifier` is for batches of a few
clips: there the classifier overshoots at rates that the other weights need. `decayed_weights` is common practice with
AdamW: one rate, and no decay of biases and normalisations.
"""

NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)


def parameter_roles(model: nn.Module) -> dict[str, Role]:
    """Role of every trainable parameter, by its name.

    The classifier is the module named `fc`; the stem convolution of a pathway is its `conv1`; the stem MBPM is
    `stem_mbpm`, or the representation. Other representations' weights and biases have the role of that name. What
    stands in lateral connections, or is inserted into a backbone, has ordinary weights, biases and normalisations; the
    kernel over regions and the normalisation of a regional non-local block have roles of their own. A parameter that is
    used in two places has the role and the name of the first.
    """
    roles: dict[str, Role] = {}
    names = {name for name, _ in model.named_parameters()}
    of_blocks: dict[str, dict[str, Role]] = {}  # module -> name of a parameter in it -> role
    for name, block in model.named_modules():
        if isinstance(block, RegionalNonLocal):
            of_blocks[f"{name}.region"] = {"weight": "region_kernel"}
            of_blocks[f"{name}.output.bn"] = {"weight": "block_scale", "bias": "block_shift"}
    for module_name, module in model.named_modules():
        parts = module_name.split(".")
        joined = bool({"laterals", "inserts", "before"} & set(parts))
        for name, parameter in module.named_parameters(recurse=False):
            full = f"{module_name}.{name}" if module_name else name
            if not parameter.requires_grad or full not in names:
                continue
            if "fc" in parts and not joined:
                roles[full] = "classifier_bias" if name == "bias" else "classifier_weight"
            elif name in of_blocks.get(module_name, {}):
                roles[full] = of_blocks[module_name][name]
            elif isinstance(module, NORMS):
                roles[full] = "norm"
            elif "stem_mbpm" in parts or ("representation" in parts and isinstance(module, Mbpm)):
                roles[full] = "stem_mbpm"
            elif isinstance(module, Tvnet):
                roles[full] = "flow_filters"
            elif "representation" in parts:
                roles[full] = "representation"
            elif name == "bias":
                roles[full] = "bias"
            elif parts[-1] == "conv1" and not joined and not any(p.startswith("layer") for p in parts):
                roles[full] = "stem_conv"
            else:
                roles[full] = "weight"
    return roles


class Sgd(torch.optim.SGD):
    """torch's SGD without what its methods do for torch.compile, which never compiles a step here.

    The first call of such a method imports the compiler, which takes longer than torch itself.
    """

    step = torch.no_grad()(inspect.unwrap(torch.optim.SGD.step))
    add_param_group = inspect.unwrap(torch.optim.SGD.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.SGD.zero_grad)
    state_dict = inspect.unwrap(torch.optim.SGD.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.SGD.load_state_dict)


class AdamW(torch.optim.AdamW):
    """torch's AdamW (Loshchilov and Hutter, ICLR 2019), without what its methods do for torch.compile, as `Sgd`."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))
    add_param_group = inspect.unwrap(torch.optim.AdamW.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.AdamW.zero_grad)
    state_dict = inspect.unwrap(torch.optim.AdamW.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.AdamW.load_state_dict)


BETA_2 = 0.99
"""Of AdamW: the second moment follows the last hundred steps, of the thousand or fewer that a short run has."""


def make_optimizer(model: nn.Module, recipe: TrainConfig) -> Sgd | AdamW:
    """The recipe's optimiser with one group per role; each group carries its `lr_multiplier`."""
    multipliers = MULTIPLIERS[recipe.param_groups]
    named = dict(model.named_parameters())
    by_role: dict[Role, list[nn.Parameter]] = {}
    for name, role in parameter_roles(model).items():
        by_role.setdefault(role if role in multipliers else WIDER[role], []).append(named[name])
    groups: list[dict[str, Any]] = []
    for role, parameters in by_role.items():
        lr_multiplier, decay_multiplier = multipliers[role]
        groups.append(
            {
                "params": parameters,
                "role": role,
                "lr_multiplier": lr_multiplier,
                "lr": recipe.lr * lr_multiplier,
                "weight_decay": recipe.weight_decay * decay_multiplier,
            }
        )
    if recipe.optimizer == "adamw":
        return AdamW(groups, lr=recipe.lr, betas=(recipe.momentum, BETA_2))
    return Sgd(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.nesterov)


def lr_at(epoch: float, recipe: TrainConfig) -> float:
    """Base learning rate at a fractional epoch: linear warm-up from lr/10, then cosine to zero, or steps of 0.1."""
    start, warmup = recipe.lr / 10, recipe.warmup_epochs
    if epoch < warmup:
        return start + (recipe.lr - start) * epoch / warmup
    if recipe.schedule == "step":
        return recipe.lr * 0.1 ** sum(epoch >= milestone for milestone in recipe.milestones)
    return 0.5 * recipe.lr * (1 + math.cos(math.pi * (epoch - warmup) / (recipe.epochs - warmup)))


def set_lr(optimizer: torch.optim.Optimizer, base_lr: float) -> None:
    """Give every group its multiple of the base learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = base_lr * group["lr_multiplier"]


def freeze_all_but_first_bn(model: nn.Module) -> int:
    """Partial batch normalisation (TSN): every BatchNorm2d but the first in module order stops learning and updating.

    Call after `model.train()`, which would undo it. In BQN the first is the Quiet stem's. A
    representation's own normalisation, which the pretrained network knows nothing of, stays live.

    Returns:
        How many were frozen.
    """
    frozen = [
        module
        for name, module in model.named_modules()
        if isinstance(module, nn.BatchNorm2d) and not name.startswith("representation.")
    ][1:]
    for module in frozen:
        module.eval()
        for parameter in module.parameters():
            parameter.requires_grad_(False)
    return len(frozen)
