"""Counting conventions: what is an operation, and which operators count. Re-counts of a `CostRecord`, without torch.

A printed "GFLOPs" means nothing without its convention. Most of these count a multiplication and an addition
together as one operation (a MAC), as the papers here do, whatever they call it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmark.cost.record import CostRecord, ModuleParameters, OperatorCount

# fmt: off
MATRIX = frozenset({
    "addbmm", "addbmm_", "addmm", "addmm_", "addmv", "addmv_", "baddbmm", "baddbmm_", "bilinear", "bmm", "cdist",
    "chain_matmul", "conv", "dot", "einsum", "gru", "gru_cell", "inner", "linalg_matmul", "linalg_multi_dot", "linear",
    "local_correlation", "lstm", "lstm_cell", "matmul", "mm", "mv", "rnn_relu", "rnn_relu_cell", "rnn_tanh",
    "rnn_tanh_cell", "scaled_dot_product_attention", "tensordot", "vdot",
})
# fmt: on
"""Operators that are convolutions, or products of matrices by any name: those that torch's counter counts, too."""

THOP_MODULES = frozenset(
    {
        *(f"{kind}{n}d" for kind in ("Conv", "ConvTranspose", "BatchNorm", "AvgPool", "MaxPool") for n in (1, 2, 3)),
        *(f"Adaptive{kind}Pool{n}d" for kind in ("Avg", "Max") for n in (1, 2, 3)),
        *("Linear", "ReLU", "ReLU6", "LeakyReLU", "PReLU", "Dropout", "Upsample"),
    }
)
"""Classes for which thop registers a counting rule."""

MODULE_IN_RELEASED_CODE = frozenset({"upsample_bilinear2d", "upsample_nearest2d", "adaptive_avg_pool2d"})
"""Operators that the papers' code runs as modules, which thop sees, and that the networks here run as functions."""


@dataclass(frozen=True)
class Convention:
    """A rule for counting.

    Attributes:
        description: What one unit is, what is counted and what is not.
        macs_of: Operations that an operator of a module counts for.
        counts_parameters_of: Whether the parameters that a module holds itself are counted.
    """

    name: str
    description: str
    macs_of: Callable[[OperatorCount], int]
    counts_parameters_of: Callable[[ModuleParameters], bool]

    def macs(self, record: CostRecord, within: str = "") -> int:
        """Operations of one clip, in the whole network or in the module named `within`."""
        return sum(self.macs_of(entry) for entry in record.operators if _inside(entry.path, within))

    def params(self, record: CostRecord, within: str = "") -> int:
        """Number of parameters, in the whole network or in the module named `within`."""
        counted = (entry for entry in record.parameters if self.counts_parameters_of(entry))
        return sum(entry.total for entry in counted if _inside(entry.path, within))


def _inside(path: str, module: str) -> bool:
    return not module or path == module or path.startswith(f"{module}.")


def _fvcore(entry: OperatorCount) -> int:
    return entry.macs


def _fvcore_core(entry: OperatorCount) -> int:
    return entry.macs if entry.operator in MATRIX else 0


def _fvcore_2021(entry: OperatorCount) -> int:
    if entry.operator == "upsample_bilinear2d":
        return 0
    return entry.at_outputs if entry.operator == "conv" else entry.macs


def _two_per_mac(entry: OperatorCount) -> int:
    return 2 * entry.macs if entry.operator in ("conv", "linear", "addmm") else 0


def _thop(entry: OperatorCount, linear: int) -> int:
    if entry.module_class not in THOP_MODULES and entry.operator not in MODULE_IN_RELEASED_CODE:
        return 0
    match entry.operator:
        case "conv":
            return entry.macs + entry.biased
        case "linear":
            return linear * entry.macs
        case "batch_norm":
            return 2 * entry.inputs
        case "upsample_bilinear2d":
            return 11 * entry.outputs
        case "upsample_nearest2d":
            return 0
        case "adaptive_avg_pool2d":
            return entry.inputs + entry.outputs
    return 0


def _thop_motionsqueeze(entry: OperatorCount) -> int:
    match entry.operator:
        case "batch_norm":
            return 4 * entry.inputs
        case "local_correlation":
            return 2 * entry.macs - entry.outputs
    return entry.macs + entry.biased if entry.operator in MATRIX else 0


def _every_module(entry: ModuleParameters) -> bool:
    return True


def _thop_modules(entry: ModuleParameters) -> bool:
    return entry.module_class in THOP_MODULES


_THOP = (
    "MACs by thop, which hooks modules and is blind to functions: convolution (plus one per biased output), batch"
    " normalisation 2 per element, bilinear nn.Upsample 11 per output element, average pooling one per input and one"
    " per output element. Nothing: matrix products run as functions, activations, additions, the temporal shift, and"
    " every module of the authors' own, so also the MBPM with its convolutions. Resizes between the pathways count,"
    " since the released code runs them as modules."
)

# A name stands in `Convention` of spec/table.py, too: what a YAML file may say is known without this package.
CONVENTIONS: dict[str, Convention] = {
    convention.name: convention
    for convention in (
        Convention(
            "fvcore",
            "MACs by fvcore: convolutions and matrix products one per multiplication and addition, biases free; those"
            " of fused attention and of local correlation, for which fvcore has no rule, as if written out; batch"
            " normalisation 2 per element (evaluation mode), bilinear resize 4 per output element, adaptive average"
            " pooling 1 per input element. Nothing: activations, additions, means, softmax, max-pooling. All"
            " parameters.",
            _fvcore,
            _every_module,
        ),
        Convention(
            "fvcore_core",
            "MACs of convolutions, linear layers and matrix products alone, as fvcore counts them. All parameters.",
            _fvcore_core,
            _every_module,
        ),
        Convention(
            "fvcore_2021",
            "As fvcore counted early in 2021: a transposed convolution by the positions of its output, four times its"
            " MACs at stride 2, and bilinear resizing free. All parameters.",
            _fvcore_2021,
            _every_module,
        ),
        Convention(
            "two_per_mac",
            "Floating-point operations of convolutions and linear layers, two per MAC; the matrix products of attention"
            " are not counted. All parameters.",
            _two_per_mac,
            _every_module,
        ),
        Convention(
            "thop_2005",
            f"{_THOP} A linear layer counts its MACs. Parameters of the authors' own modules are left out."
            " (thop 0.0.31.post2005241907, May 2020.)",
            lambda entry: _thop(entry, linear=1),
            _thop_modules,
        ),
        Convention(
            "thop_motionsqueeze",
            "As MotionSqueeze's authors count, with the thop that their code comes with: convolutions one per MAC and"
            " per biased output, the classifier (a convolution there) alike; batch normalisation 4 per element; local"
            " correlation 2 C - 1 per score, products of CP's matching one per MAC, both added by hand. Nothing: the"
            " normalisation of features, the Gaussian mask, softmax, activations, pooling. All parameters.",
            _thop_motionsqueeze,
            _every_module,
        ),
        Convention(
            "thop_2001",
            f"{_THOP} A linear layer counts its MACs twice. All parameters."
            " (thop 0.0.31.post2001170342, January 2020.)",
            lambda entry: _thop(entry, linear=2),
            _every_module,
        ),
    )
}
