"""Modules as they are after some training, when gains of zero and kernels of zero hide nothing any more."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

Module = TypeVar("Module", bound=nn.Module)


@torch.no_grad()
def trained(module: Module, std: float = 0.3) -> Module:
    """The same module, its learnable parameters moved at random and its running statistics drawn at random."""
    for parameter in module.parameters():
        if parameter.requires_grad:
            parameter.add_(std * torch.randn_like(parameter))
    for norm in module.modules():
        if isinstance(norm, _BatchNorm):
            assert norm.running_mean is not None
            assert norm.running_var is not None
            nn.init.normal_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.5, 2)
    return module


def normalised(bn: _BatchNorm, x: Tensor) -> Tensor:
    """What a normalisation with running statistics does to (..., C)."""
    assert bn.running_mean is not None
    assert bn.running_var is not None
    return (x - bn.running_mean) / (bn.running_var + bn.eps).sqrt() * bn.weight + bn.bias
