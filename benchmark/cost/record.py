"""One network's cost, operator by operator, in enough detail to apply any counting convention later without torch."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from benchmark.config.fields import Strict

GIGA = 10**9
MEGA = 10**6


class OperatorCount(Strict):
    """All calls of one counted operator that one module makes itself, not through a submodule.

    Attributes:
        path: Dotted name of the module, "" for the network.
        operator: As fvcore names it: conv, linear, matmul, batch_norm, upsample_bilinear2d, ...
        macs: fvcore's count.
        calls: Number of calls.
        inputs, outputs: Elements of the first input and of the first output, summed over the calls.
        biased: Those output elements to which the operator itself adds a bias.
        at_outputs: Of a convolution, its kernel's size times the positions of its output: the MACs of an ordinary one.
    """

    path: str
    module_class: str
    operator: str
    macs: int
    calls: int
    inputs: int
    outputs: int
    biased: int = 0
    at_outputs: int = 0


class UncountedOperator(Strict):
    """An operator that runs and that fvcore counts as nothing.

    Attributes:
        kind: arithmetic; movement (copies, reshapes, pads, questions about sizes); unknown: not classified here.
        calls: Number of calls.
        elements: The larger of its input and output, summed over the calls; 0 unless arithmetic.
    """

    operator: str
    kind: Literal["arithmetic", "movement", "unknown"]
    calls: int
    elements: int


class ModuleParameters(Strict):
    """Parameters that a module holds itself. A tensor shared by several modules stands under the first."""

    path: str
    module_class: str
    total: int
    trainable: int


class CostRecord(Strict):
    """Cost of one forward pass of one clip, that is of one view, in evaluation mode.

    A MAC is a multiplication and the addition that goes with it.

    Attributes:
        input_shape: (1, T, 3, H, W).
        operators: What fvcore counts, by module and operator.
        uncounted: What it leaves out, by operator.
        parameters: By module.
        classes: Class name of every module, by path.
        torch_macs: Half of what torch's own FlopCounterMode counts, by operator.
        versions: Of torch and fvcore.
    """

    input_shape: tuple[int, ...]
    operators: tuple[OperatorCount, ...]
    uncounted: tuple[UncountedOperator, ...]
    parameters: tuple[ModuleParameters, ...]
    classes: dict[str, str]
    torch_macs: dict[str, int]
    versions: dict[str, str]

    @property
    def macs(self) -> int:
        """MACs by fvcore."""
        return sum(entry.macs for entry in self.operators)

    @property
    def gmacs(self) -> float:
        """MACs by fvcore, in units of 1e9."""
        return self.macs / GIGA

    @property
    def torch_gmacs(self) -> float:
        """MACs by torch's counter, in units of 1e9."""
        return sum(self.torch_macs.values()) / GIGA

    @property
    def params(self) -> int:
        """Number of parameters."""
        return sum(entry.total for entry in self.parameters)

    @property
    def trainable_params(self) -> int:
        """Number of parameters that are trained."""
        return sum(entry.trainable for entry in self.parameters)

    @property
    def mparams(self) -> float:
        """Number of parameters, in units of 1e6."""
        return self.params / MEGA

    def by_operator(self) -> dict[str, int]:
        """MACs by fvcore for each operator, the largest first."""
        total: Counter[str] = Counter()
        for entry in self.operators:
            total[entry.operator] += entry.macs
        return dict(total.most_common())

    def inside(self, path: str, module_class: str) -> bool:
        """Whether the module at `path`, or one that it is part of, has this class."""
        parts = path.split(".") if path else []
        return any(self.classes.get(".".join(parts[:n])) == module_class for n in range(len(parts) + 1))
