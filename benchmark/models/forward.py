"""What a forward pass has wherever it runs: its precision, how weights lie, and the network's projection loss."""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor, nn


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[None]:
    """Mixed precision for bf16, nothing for fp32."""
    if precision == "bf16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()


def lay_out_weights(model: nn.Module) -> None:
    """Put the weights of 2D convolutions into channels_last, as runs and timings have them."""
    for parameter in model.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


def residual_of(model: nn.Module) -> Tensor | None:
    """The projection loss of the last forward pass, summed over the modules that have one (`has_residual`)."""
    losses = [module.residual for module in model.modules() if getattr(module, "has_residual", False)]
    known = {id(loss): loss for loss in losses if isinstance(loss, Tensor)}  # a module may hand on that of its part
    return torch.stack(list(known.values())).sum() if known else None
