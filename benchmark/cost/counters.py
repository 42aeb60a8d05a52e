"""Count a network with fvcore and with torch's own counter.

Both look at shapes alone: the network is built and run on tensors without storage, half a second for the networks here.
Should tracing that way fail or lose a convolution, which depends on torch's internals and shows in the other
counter, the network gets storage and is traced by running it, which takes seconds and gives the same numbers.
The two counters share no code, so that a slip in one shows as a difference. Ours are fvcore's trace and rules, with
rules of our own (`benchmark.cost.operators`) for what it lacks; torch's gets formulas (`benchmark.cost.torch_formulas`)
for the same, which look at the operators that torch runs in the end and not at those that the network calls.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable
from importlib import metadata
from textwrap import shorten
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmark.config.run import RunConfig
from benchmark.cost import torch_formulas
from benchmark.cost.operators import (
    CONVOLUTIONS,
    HIDDEN_PRODUCT,
    RULES,
    Kind,
    elements,
    is_feature_map,
    is_hidden_product,
    kind_of,
    positions,
)
from benchmark.cost.record import CostRecord, ModuleParameters, OperatorCount, UncountedOperator
from benchmark.cost.tracing import TraceConvolutionShapes, operators, trace, written_out
from benchmark.models.build import build_model

_Counted = tuple[list[OperatorCount], list[UncountedOperator]]
FAILURES = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError),
    *(RuntimeError, NotImplementedError),
)
"""What tracing raises at what it cannot do, and a rule for an operator at shapes that it does not expect."""


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

    What cannot be traced, a scripted submodule or the whole of a network, is not counted, and stands among
    `uncounted` as unknown. A network on the meta device may have been given storage, filled with zeros, on return.
    """
    network.eval()
    with written_out(network) as network:
        device = next((p.device for p in network.parameters()), torch.device("cpu"))
        torch_macs = _count_with_torch(network, torch.zeros(input_shape, device=device))
        counted = _count_shapes(network, input_shape, torch_macs) if device.type == "meta" else None
        if counted is None:
            if device.type == "meta":
                give_storage(network)
            counted = _count_running(network, input_shape)
        by_operator, uncounted = counted
        return CostRecord(
            input_shape=input_shape,
            operators=tuple(by_operator),
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
            by_operator, uncounted = _count_with_fvcore(network, torch.zeros(input_shape, device="meta"))
    except FAILURES:
        return None
    convolutions = sum(entry.macs for entry in by_operator if entry.operator == "conv")
    return (by_operator, uncounted) if convolutions == torch_macs.get("convolution", 0) else None


def _count_running(network: nn.Module, input_shape: tuple[int, ...]) -> _Counted:
    """What fvcore counts of a network that it traces by running it, which has been run before."""
    try:
        return _count_with_fvcore(network, torch.zeros(input_shape))
    except FAILURES as error:
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        whole = f"the network, which cannot be traced ({shorten(why, 120, placeholder=' ...')})"
        return [], [UncountedOperator(operator=whole, kind="unknown", calls=1, elements=0)]


def _count_with_torch(network: nn.Module, x: Tensor) -> dict[str, int]:
    torch_formulas.register()
    with FlopCounterMode(display=False) as mode, torch.no_grad():
        network(x)
    by_operator: Counter[str] = Counter()
    for operator, flops in mode.get_flop_counts().get("Global", {}).items():
        by_operator[str(operator).rpartition(".")[2]] += flops // 2
    return dict(by_operator)


def _count_with_fvcore(network: nn.Module, x: Tensor) -> _Counted:
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph, scripted = trace(network, x)
    counts: dict[tuple[str, str], Counter[str]] = {}
    left: dict[Kind, Counter[str]] = {"arithmetic": Counter(), "movement": Counter(), "unknown": Counter(scripted)}
    sizes: Counter[str] = Counter()
    for path, node in operators(graph):
        name = node.kind().removeprefix("aten::")
        counted = _counted(node)
        if isinstance(counted, Counter):
            operator = "conv" if node.kind() in CONVOLUTIONS else name.rpartition("::")[2]
            counts.setdefault((path, operator), Counter()).update(counted)
            continue
        kind = "unknown" if counted == "fails" else kind_of(node)
        if kind is None or (kind == "arithmetic" and not is_feature_map(node.outputsAt(0))):
            continue
        left[kind][_shown(node) if kind == "unknown" else name] += 1
        if kind == "arithmetic":
            sizes[name] += max(elements(value) for value in (node.inputsAt(0), node.outputsAt(0)))
        if is_hidden_product(node):
            left["unknown"][HIDDEN_PRODUCT] += 1
    classes = {path: type(module).__name__ for path, module in network.named_modules()}
    order = {path: i for i, path in enumerate(classes)}
    return (
        [
            OperatorCount(path=path, module_class=classes[path], operator=operator, **counts[path, operator])
            for path, operator in sorted(counts, key=lambda key: (order[key[0]], key[1]))
        ],
        [
            UncountedOperator(operator=operator, kind=kind, calls=left[kind][operator], elements=sizes[operator])
            for kind in left
            for operator in sorted(left[kind])
        ],
    )


def _counted(node: Any) -> Counter[str] | Literal["fails"] | None:
    """What an operator costs by its rule; None where there is no rule."""
    rule = RULES.get(node.kind())
    if rule is None:
        return None
    inputs, outputs = list(node.inputs()), list(node.outputs())
    try:
        macs = rule(inputs, outputs)
    except FAILURES:
        return "fails"
    convolution = node.kind() in CONVOLUTIONS
    (number,) = macs.values() if isinstance(macs, Counter) else (macs,)
    out = elements(outputs[0])
    biased = (convolution or node.kind() == "aten::linear") and inputs[2].isCompleteTensor()
    return Counter(
        macs=int(number),
        calls=1,
        inputs=elements(inputs[0]),
        outputs=out,
        biased=out if biased else 0,
        at_outputs=elements(inputs[1]) * positions(outputs[0]) if convolution else 0,
    )


def _shown(node: Any) -> str:
    """An operator as its writer knows it."""
    if node.kind() == "prim::PythonOp":
        return f"autograd function {node.pyname()}"
    if node.kind() == "prim::CallFunction":
        return f"scripted function {node.inputsAt(0).node().s('name')}"
    return str(node.kind().removeprefix("aten::"))


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
