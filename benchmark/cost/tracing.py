"""Trace networks that `torch.jit` alone does not: of tensors without storage, with compiled or scripted parts.

Tensors without storage let fvcore count 60 GMACs without computing them.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from fvcore.nn.jit_analysis import _get_scoped_trace_graph
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten


class TraceConvolutionShapes(TorchDispatchMode):
    """Inside it, `torch.jit` traces convolutions of meta tensors as it does those of ordinary ones.

    Plain tracing fails there ("cond must be a bool"): the shape of a convolution of meta tensors is worked out in
    Python while the tracer still records, and sizes are traced values to it. Every other operator switches the tracer
    off first.
    """

    def __init__(self) -> None:
        super().__init__()
        # A tracer records its own thread alone: in another one, shapes can be worked out unseen.
        self._worker = ThreadPoolExecutor(1)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operator."""
        if func is aten.convolution.default:
            # Called where the tracer sees it: the operator that the trace of ordinary tensors contains.
            with torch.overrides.enable_reentrant_dispatch(), self:
                return aten._convolution.default(*args, False, False, False, False)
        if func is aten._convolution.default:
            return self._worker.submit(_convolution, args[:9]).result()
        return func(*args, **(kwargs or {}))


def _convolution(args: tuple[Any, ...]) -> Tensor:
    with torch.no_grad():
        result: Tensor = aten.convolution.default(*args)
    return result


@contextmanager
def written_out(network: nn.Module) -> Iterator[nn.Module]:
    """The network with every part run as it is written, so that all that it computes shows: what to count within.

    `torch.compile` is undone, of submodules and of the network itself, and compiled functions run as they are.
    `nn.MultiheadAttention` and `nn.TransformerEncoderLayer` leave their fast path, which is one operator, so that
    evaluation and training count alike.
    """
    with ExitStack() as stack:
        fast = torch.backends.mha.get_fastpath_enabled()
        stack.callback(torch.backends.mha.set_fastpath_enabled, fast)
        torch.backends.mha.set_fastpath_enabled(False)
        # Whatever was compiled has imported it; importing it takes a second.
        if "torch._dynamo" in sys.modules:
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        network = stack.enter_context(_substituted(network, _uncompiled))
        for module in network.modules():
            if vars(module).get("_compiled_call_impl") is not None:
                stack.callback(setattr, module, "_compiled_call_impl", module._compiled_call_impl)
                module._compiled_call_impl = None
        yield network


def _uncompiled(path: str, module: nn.Module) -> nn.Module:
    original = getattr(module, "_orig_mod", None) if type(module).__name__ == "OptimizedModule" else None
    return original if isinstance(original, nn.Module) else module


@contextmanager
def _substituted(network: nn.Module, substitute: Callable[[str, nn.Module], nn.Module]) -> Iterator[nn.Module]:
    """The network with `substitute(path, module)` in the place of every module; undone in the end."""
    originals: list[tuple[nn.Module, str, nn.Module]] = []
    seen: set[nn.Module] = set()

    def descend(path: str, module: nn.Module) -> nn.Module:
        module = substitute(path, module)
        # The children of a scripted module cannot be exchanged.
        if module not in seen and not isinstance(module, torch.jit.ScriptModule):
            seen.add(module)
            for name, child in module._modules.items():
                if child is not None:
                    stand_in = descend(f"{path}.{name}".lstrip("."), child)
                    if stand_in is not child:
                        originals.append((module, name, child))
                        module._modules[name] = stand_in
        return module

    try:
        yield descend("", network)
    finally:
        for parent, name, child in originals:
            parent._modules[name] = child


class _Opaque(torch.autograd.Function):
    """One node of a trace, which hides what is run."""

    # Without the node, all that leads to its inputs would be dropped from the trace as unused.

    @staticmethod
    def forward(ctx: Any, run: Callable[..., Any], *args: Any) -> Any:
        """`run(*args)` while nothing is traced."""
        tracer: Any = torch._C
        state = tracer._get_tracing_state()
        tracer._set_tracing_state(None)
        try:
            return run(*args)
        finally:
            tracer._set_tracing_state(state)


class _Untraced(nn.Module):
    """Stands for a scripted module, which cannot be called while a trace is made, and says when it runs."""

    def __init__(self, module: nn.Module, on_call: Callable[[], None]) -> None:
        super().__init__()
        self._hidden = (module,)  # in a tuple, so that it is no submodule and stays untraced
        self._on_call = on_call

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """As the module."""
        self._on_call()
        return _Opaque.apply(partial(self._hidden[0], **kwargs), *args)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.__dict__["_hidden"][0], name)


def trace(network: nn.Module, x: Tensor) -> tuple[Any, Counter[str]]:
    """What the network runs, and what of it cannot be traced.

    Returns:
        A `torch._C.Graph` for `traced_operators`, whose nodes live as long as it does, and the calls of scripted
        submodules.

    Raises:
        RuntimeError: as of torch, where the network cannot be traced. Other errors come from operators on tensors
            without storage.
    """
    scripted: Counter[str] = Counter()

    def untraced(path: str, module: nn.Module) -> nn.Module:
        if isinstance(module, torch.jit.ScriptModule):
            name = f"scripted module {path}".rstrip()
            return _Untraced(module, lambda: scripted.update([name]))
        return module

    with _substituted(network, untraced) as traceable:
        paths: dict[str | nn.Module, str] = {module: path for path, module in traceable.named_modules()}
        graph = _get_scoped_trace_graph(traceable, x, paths)
    return graph, scripted


def traced_operators(graph: Any, inside: str | None = None) -> Iterator[tuple[str, Any]]:
    """Every operator of a traced graph, as `torch._C.Node`, with the path of the module that runs it, in order.

    The operators of a `torch.autograd.Function` are those of its forward pass.
    """
    for node in graph.nodes():
        path = node.scopeName().rpartition("/")[2] if inside is None else inside
        if node.kind() == "prim::PythonOp" and node.hasAttribute("Subgraph"):
            yield from traced_operators(node.g("Subgraph"), path)
        else:
            yield path, node
