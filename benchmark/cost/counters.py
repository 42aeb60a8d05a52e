"""Count a network with fvcore and with torch's own counter.

The two share no code, so that a slip in one shows as a difference. fvcore's looks at the operators that the network
calls, by its trace and rules and by ours for what it lacks (`benchmark.cost.operator_rules`); torch's looks at those
that torch runs in the end, with formulas for the same (`benchmark.cost.torch_formulas`).
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
from benchmark.cost.operator_kinds import HIDDEN_PRODUCT, Kind, is_hidden_product, kind_of
from benchmark.cost.operator_rules import CONVOLUTIONS, RULES
from benchmark.cost.record import CostRecord, ModuleParameters, OperatorCount, UncountedOperator
from benchmark.cost.traced_values import elements, is_feature_map, positions
from benchmark.cost.tracing import TraceConvolutionShapes, trace, traced_operators, written_out
from benchmark.models.build import build_model

_ByFvcore = tuple[list[OperatorCount], list[UncountedOperator]]
FAILURES = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError),
    *(RuntimeError, NotImplementedError),
)
"""What tracing raises at what it cannot do, and a rule for an operator at shapes that it does not expect."""


def count(config: RunConfig) -> CostRecord:
    """Cost of the config's network for one clip, at the config's own frame size, width and number of segments.

    Raises:
        ValueError: The network could not be built.
    """
    # Shapes alone are counted, on tensors without storage; the weights do not matter, so none are fetched. Where
    # code is the user's own, it is built and run with real weights: nothing is known of what its constructor does.
    with torch.device("cpu" if config.entries else "meta"):
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
        by_fvcore = _count_shapes(network, input_shape, torch_macs) if device.type == "meta" else None
        if by_fvcore is None:
            if device.type == "meta":
                give_storage(network)
            by_fvcore = _count_running(network, input_shape)
        operators, uncounted = by_fvcore
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


def _count_shapes(network: nn.Module, input_shape: tuple[int, ...], torch_macs: dict[str, int]) -> _ByFvcore | None:
    """What fvcore counts without storage, or None where it cannot or its convolutions are not those torch counts."""
    try:
        with TraceConvolutionShapes():
            operators, uncounted = _count_with_fvcore(network, torch.zeros(input_shape, device="meta"))
    except FAILURES:
        return None
    # Tracing this way depends on torch's internals: should it lose a convolution, the other counter shows it.
    convolutions = sum(entry.macs for entry in operators if entry.operator == "conv")
    return (operators, uncounted) if convolutions == torch_macs.get("convolution", 0) else None


def _count_running(network: nn.Module, input_shape: tuple[int, ...]) -> _ByFvcore:
    """What fvcore counts of a network that it traces by running it: the same, in seconds instead of half of one."""
    try:
        return _count_with_fvcore(network, torch.zeros(input_shape))
    except FAILURES as error:  # the network itself runs: torch's counter has run it before
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


def _count_with_fvcore(network: nn.Module, x: Tensor) -> _ByFvcore:
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph, scripted = trace(network, x)
    classes = {path: type(module).__name__ for path, module in network.named_modules()}
    counts: dict[tuple[str, str], Counter[str]] = {}
    uncounted = _Uncounted(scripted)
    for path, node in traced_operators(graph):
        counted = _counted(node)
        if isinstance(counted, Counter):
            counts.setdefault((path, _counted_name(node)), Counter()).update(counted)
        else:
            uncounted.add(node, rule_fails=counted == "fails")
    order = {path: i for i, path in enumerate(classes)}
    by_module = [
        OperatorCount(path=path, module_class=classes[path], operator=operator, **counts[path, operator])
        for path, operator in sorted(counts, key=lambda key: (order[key[0]], key[1]))
    ]
    return by_module, uncounted.entries()


class _Uncounted:
    """The operators of a trace that are counted as nothing, by kind and name."""

    def __init__(self, scripted: Counter[str]) -> None:
        self._calls: dict[Kind, Counter[str]] = {
            "arithmetic": Counter(),
            "movement": Counter(),
            "unknown": Counter(scripted),
        }
        self._elements: Counter[str] = Counter()

    def add(self, node: Any, rule_fails: bool) -> None:
        """Note one call of an operator that has no rule, or one that fails at its shapes."""
        kind = "unknown" if rule_fails else kind_of(node)
        if kind is None or (kind == "arithmetic" and not is_feature_map(node.outputsAt(0))):
            return
        name = _name(node)
        self._calls[kind][_shown(node) if kind == "unknown" else name] += 1
        if kind == "arithmetic":
            self._elements[name] += max(elements(value) for value in (node.inputsAt(0), node.outputsAt(0)))
        if is_hidden_product(node):
            self._calls["unknown"][HIDDEN_PRODUCT] += 1

    def entries(self) -> list[UncountedOperator]:
        """One for each operator, in the order of kinds and names."""
        return [
            UncountedOperator(operator=name, kind=kind, calls=calls[name], elements=self._elements[name])
            for kind, calls in self._calls.items()
            for name in sorted(calls)
        ]


def _name(node: Any) -> str:
    return str(node.kind().removeprefix("aten::"))


def _counted_name(node: Any) -> str:
    """The operator's name in a record: convolutions of all kinds are `conv`, as fvcore calls them."""
    return "conv" if node.kind() in CONVOLUTIONS else _name(node).rpartition("::")[2]


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
    # fvcore's own rules give a number, or a counter of one.
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
    return _name(node)


def _parameters(network: nn.Module) -> Iterable[ModuleParameters]:
    """What each module holds itself; a shared tensor counts once, where it comes first."""
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
