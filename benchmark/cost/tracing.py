"""Trace a network whose tensors have no storage, so that fvcore counts 60 GMACs without computing them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten


class TraceConvolutionShapes(TorchDispatchMode):
    """Inside it, `torch.jit` traces convolutions of meta tensors as it does those of ordinary ones.

    Plain tracing fails there ("cond must be a bool"): the shape of a convolution of meta tensors is worked out in
    Python while the tracer still records, and sizes are traced values to it. Every other operator switches the tracer
    off first. So the operator that the trace of ordinary tensors contains, `_convolution`, is called in the
    convolution's place, where the tracer sees it, and its shape is worked out in another thread: a tracer records its
    own thread alone.
    """

    def __init__(self) -> None:
        super().__init__()
        self._worker = ThreadPoolExecutor(1)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operator."""
        if func is aten.convolution.default:
            with torch.overrides.enable_reentrant_dispatch(), self:
                return aten._convolution.default(*args, False, False, False, False)
        if func is aten._convolution.default:
            return self._worker.submit(_convolution, args[:9]).result()
        return func(*args, **(kwargs or {}))


def _convolution(args: tuple[Any, ...]) -> Tensor:
    with torch.no_grad():
        result: Tensor = aten.convolution.default(*args)
    return result
