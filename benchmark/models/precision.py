"""Which precision a computation has, whatever autocast asks for."""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """The tensor itself, or in float32 where it has half precision."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def without_autocast(x: Tensor) -> contextlib.AbstractContextManager[None]:
    """Matrix products inside keep the precision of their inputs."""
    if x.device.type == "meta":
        return contextlib.nullcontext()
    return torch.autocast(x.device.type, enabled=False)
