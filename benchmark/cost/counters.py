"""Count a network with fvcore and with torch's own counter.

Both look at shapes alone: the network is built and run on tensors without storage, half a second for the networks here.
Should tracing that way fail or lose a convolution, which depends on torch's internals and shows in the other
counter, the network gets storage and is traced by running it, which takes seconds and gives the same numbers.
The two counters share no code, so that a slip in one shows as a difference.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from importlib import metadata
from math import prod
from typing import Any, Literal

import torch
from fvcore.nn import FlopCountAnalysis
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, register_flop_formula

from benchmark.cost.record import CostRecord, ModuleParameters, OperatorCount, UncountedOperator
from benchmark.cost.tracing import TraceConvolutionShapes
from benchmark.models.build import build_model
from benchmark.spec.config import RunConfig

_Counted = tuple[list[OperatorCount], list[UncountedOperator]]
Handle = Callable[[list[Any], list[Any]], Any]

# fmt: off
ARITHMETIC = frozenset({
    "abs", "adaptive_avg_pool1d", "adaptive_avg_pool3d", "adaptive_max_pool2d", "adaptive_max_pool3d", "add", "add_",
    "addcmul", "addcmul_", "amax", "amin", "avg_pool1d", "avg_pool2d", "avg_pool3d", "clamp_min", "cosine_similarity",
    "cumsum", "div", "div_", "exp", "gelu", "gru", "hardsigmoid", "hardswish", "hardtanh_", "leaky_relu", "log",
    "log_softmax", "lstm", "max_pool1d", "max_pool2d", "max_pool3d", "maximum", "mean", "minimum", "mul", "mul_",
    "neg", "norm", "pow", "prod", "reciprocal", "relu", "relu_", "rsqrt", "rsub",
    "sigmoid", "sigmoid_", "silu", "silu_", "softmax", "softplus", "sqrt", "square", "std", "sub", "sub_", "sum",
    "tanh", "upsample_bicubic2d", "upsample_linear1d", "upsample_trilinear3d", "var", "where",
})
MOVEMENT = frozenset({
    "alias", "clone", "dropout_", "empty_like", "expand_as", "feature_dropout", "fill_", "flip", "index_select",
    "le", "lift_fresh", "lt", "movedim", "ne", "new_zeros", "numel", "numpy_T", "ones_like", "pad", "pixel_shuffle",
    "reflection_pad1d", "reflection_pad2d", "repeat", "repeat_interleave", "replication_pad2d", "replication_pad3d",
    "reshape_as", "swapaxes", "tile", "topk", "unflatten", "unfold", "view_as", "zero_",
})
# fmt: on


def count(config: RunConfig) -> CostRecord:
    """Cost of the config's network for one clip, at the config's own frame size, width and number of segments.

    The weights do not matter, so none are fetched. A network of the user's own is built and run with real weights,
    since nothing is known of what its constructor does.

    Raises:
        ValueError: The network could not be built.
    """
    custom = config.model.name == "custom"
    with torch.device("cpu" if custom else "meta"):
        network = build_model(config.model.model_copy(update={"pretrained": None}), config.data)
    channels = 2 if config.modality == "flow" else 3
    return count_network(network, (1, config.frames, channels, config.data.size, config.data.size))


def count_network(network: nn.Module, input_shape: tuple[int, ...]) -> CostRecord:
    """Cost of one forward pass in evaluation mode, of a network with its tensors on the CPU or on the meta device.

    A network on the meta device may have been given storage, filled with zeros, on return.
    """
    network.eval()
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    torch_macs = _count_with_torch(network, torch.zeros(input_shape, device=device))
    counted = _count_shapes(network, input_shape, torch_macs) if device.type == "meta" else None
    if counted is None:
        if device.type == "meta":
            give_storage(network)
        counted = _count_with_fvcore(network, torch.zeros(input_shape))
    operators, uncounted = counted
    return CostRecord(
        input_shape=input_shape,
        operators=tuple(operators),
        uncounted=tuple(uncounted),
        parameters=tuple(_parameters(network)),
        classes={path: type(module).__name__ for path, module in network.named_modules()},
        torch_macs=torch_macs,
        versions={name: metadata.version(name) for name in ("torch", "fvcore")},
    )


def give_storage(network: nn.Module) -> None:
    """Move a network from the meta device to the CPU, every parameter and buffer zero."""
    network.to_empty(device="cpu")
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            tensor.zero_()


def _count_shapes(network: nn.Module, input_shape: tuple[int, ...], torch_macs: dict[str, int]) -> _Counted | None:
    """What fvcore counts without storage, or None where it cannot or its convolutions are not those torch counts."""
    try:
        with TraceConvolutionShapes():
            operators, uncounted = _count_with_fvcore(network, torch.zeros(input_shape, device="meta"))
    except (RuntimeError, TypeError, NotImplementedError, AssertionError, AttributeError):
        return None
    convolutions = sum(entry.macs for entry in operators if entry.operator == "conv")
    return (operators, uncounted) if convolutions == torch_macs.get("convolution", 0) else None


def _count_with_torch(network: nn.Module, x: Tensor) -> dict[str, int]:
    with FlopCounterMode(display=False) as mode, torch.no_grad():
        network(x)
    by_operator: Counter[str] = Counter()
    for operator, flops in mode.get_flop_counts().get("Global", {}).items():
        by_operator[str(operator).rpartition(".")[2]] += flops // 2
    return dict(by_operator)


class _Analysis(FlopCountAnalysis):
    """The analysis of fvcore, whose handles also note calls and elements: its keys are (operator, quantity)."""

    def set_op_handle(self, *args: Any, **kwargs: Handle | None) -> _Analysis:
        noted = {kind: _noting(kind, handle) if handle else None for kind, handle in kwargs.items()}
        super().set_op_handle(*args, **noted)
        return self


def _noting(kind: str, handle: Handle) -> Handle:
    name = kind.rpartition("::")[2]

    def note(inputs: list[Any], outputs: list[Any]) -> Counter[tuple[str, str]]:
        macs = handle(inputs, outputs)
        macs = macs if isinstance(macs, Counter) else {name: macs}
        (operator, number), *others = macs.items()
        assert not others, f"{kind} counts as several operators: {macs}"
        out = _elements(outputs[0])
        biased = name in ("_convolution", "linear") and inputs[2].isCompleteTensor()
        at_outputs = _elements(inputs[1]) * _positions(outputs[0]) if name == "_convolution" else 0
        return Counter(
            {
                (operator, "macs"): int(number),
                (operator, "calls"): 1,
                (operator, "inputs"): _elements(inputs[0]),
                (operator, "outputs"): out,
                (operator, "biased"): out if biased else 0,
                (operator, "at_outputs"): at_outputs,
            }
        )

    return note


def _uncounted_handle(name: str) -> Handle:
    def note(inputs: list[Any], outputs: list[Any]) -> Counter[tuple[str, str]]:
        # Tracing turns arithmetic on sizes into operators on whole numbers without dimensions.
        if not _is_feature_map(outputs[0]):
            return Counter()
        elements = max(_elements(value) for value in (inputs[0], outputs[0]))
        return Counter({(name, "uncounted_calls"): 1, (name, "uncounted_elements"): elements})

    return note


def _is_feature_map(value: Any) -> bool:
    if not value.isCompleteTensor():
        return False
    return bool(value.type().sizes()) and value.type().scalarType() in ("Float", "Double", "Half", "BFloat16")


def _attention_macs(inputs: list[Any], outputs: list[Any]) -> int:
    """Of fused attention, the two matrix products: every query with every key, and the weights with the values."""
    (*batch, queries, width), keys, values = (value.type().sizes() for value in inputs[:3])
    return int(prod(batch) * queries * keys[-2] * (width + values[-1]))


def _correlation_macs(inputs: list[Any], outputs: list[Any]) -> int:
    """Of (N, C, H, W) and its scores at P^2 displacements: C each, also for displacements that leave the map."""
    return int(inputs[0].type().sizes()[1] * _elements(outputs[0]))


OWN_HANDLES: dict[str, Handle] = {
    "aten::scaled_dot_product_attention": _attention_macs,
    "benchmark::local_correlation": _correlation_macs,
}
"""Operators that fvcore has no rule for, and that are matrix products in all but name."""


@register_flop_formula(torch.ops.benchmark.local_correlation)
def _correlation_flops(a_shape: Any, b_shape: Any, *args: Any, out_shape: Any, **kwargs: Any) -> int:
    """For torch's counter: two per MAC."""
    return int(2 * a_shape[1] * prod(out_shape))


def _elements(value: Any) -> int:
    return prod(value.type().sizes()) if value.isCompleteTensor() else 0


def _positions(value: Any) -> int:
    """Of (N, C, ...): N times the product of what follows C."""
    sizes = value.type().sizes() if value.isCompleteTensor() else (0, 0)
    return int(prod((sizes[0], *sizes[2:])))


def _count_with_fvcore(network: nn.Module, x: Tensor) -> _Counted:
    analysis = _Analysis(network, x)
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
    analysis.set_op_handle(**OWN_HANDLES)
    FlopCountAnalysis.set_op_handle(analysis, **{f"aten::{name}": _uncounted_handle(name) for name in ARITHMETIC})
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        inclusive = analysis.by_module_and_operator()
    return (
        [entry for path, module in network.named_modules() for entry in _own(path, module, inclusive)],
        list(_uncounted(inclusive[""], analysis.unsupported_ops())),
    )


def _own(path: str, module: nn.Module, inclusive: dict[str, Counter[tuple[str, str]]]) -> Iterable[OperatorCount]:
    """What a module runs itself: its count less that of its children."""
    own = Counter(inclusive[path])
    for child, counts in inclusive.items():
        if child and child.rpartition(".")[0] == path:
            own.subtract(counts)
    for operator in sorted({operator for operator, quantity in own if quantity == "calls"}):
        if own[operator, "calls"]:
            quantities = {q: own[operator, q] for q in ("macs", "calls", "inputs", "outputs", "biased", "at_outputs")}
            yield OperatorCount(path=path, module_class=type(module).__name__, operator=operator, **quantities)


def _uncounted(counts: Counter[tuple[str, str]], unsupported: Counter[str]) -> Iterable[UncountedOperator]:
    for operator in sorted({operator for operator, quantity in counts if quantity == "uncounted_calls"}):
        yield UncountedOperator(
            operator=operator,
            kind="arithmetic",
            calls=counts[operator, "uncounted_calls"],
            elements=counts[operator, "uncounted_elements"],
        )
    for kind, calls in sorted(unsupported.items()):
        operator = kind.removeprefix("aten::")
        known: Literal["movement", "unknown"] = "movement" if operator in MOVEMENT else "unknown"
        yield UncountedOperator(operator=operator, kind=known, calls=calls, elements=0)


def _parameters(network: nn.Module) -> Iterable[ModuleParameters]:
    seen: set[int] = set()
    for path, module in network.named_modules():
        own = [p for p in module.parameters(recurse=False) if id(p) not in seen]
        seen.update(id(p) for p in own)
        if own:
            yield ModuleParameters(
                path=path,
                module_class=type(module).__name__,
                total=sum(p.numel() for p in own),
                trainable=sum(p.numel() for p in own if p.requires_grad),
            )
