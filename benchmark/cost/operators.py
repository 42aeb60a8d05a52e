"""What an operator of a trace costs: rules for products that fvcore has none for, and what the rest is.

A rule takes an operator's inputs and outputs (`torch._C.Value`) and gives its MACs. It counts every multiplication
with the addition that follows it, however the operator goes about it: a product of matrices by any name, a recurrent
layer, distances. Biases, scaling and activations are free, as they are in fvcore's own rules.

What is left has no MACs in fvcore, and is one of three kinds. *Arithmetic* works element by element or reduces:
additions, activations, means, pooling. So does attention that is written as a multiplication and a sum; but as that is
a product of matrices in all but name, it is told apart (`HIDDEN_PRODUCT`). *Movement* copies, reshapes, makes or
compares. Of an *unknown* operator neither is known: it may hide a product, and then no count without it is right.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import prod
from typing import Any, Literal

import torch
from fvcore.nn.flop_count import _DEFAULT_SUPPORTED_OPS
from fvcore.nn.jit_analysis import _IGNORED_OPS

Rule = Callable[[list[Any], list[Any]], Any]
Kind = Literal["arithmetic", "movement", "unknown"]
CONVOLUTIONS = ("aten::_convolution", "aten::_convolution_mode")
HIDDEN_PRODUCT = "product written as mul and sum"
"""A sum over the product of two tensors that is larger than both: fvcore and torch see no product of matrices there."""

# fmt: off
ARITHMETIC = frozenset({
    "_softmax", "_weight_norm", "abs", "adaptive_avg_pool1d", "adaptive_avg_pool3d", "adaptive_max_pool1d",
    "adaptive_max_pool2d", "adaptive_max_pool3d", "add", "add_", "addcmul", "addcmul_", "addr", "amax", "aminmax",
    "amin", "avg_pool1d", "avg_pool2d", "avg_pool3d", "clamp_min", "col2im", "cosine_similarity", "cross", "cummax",
    "cummin", "cumprod", "cumsum", "cumsum_", "diff", "dist", "div", "div_", "exp", "fractional_max_pool2d",
    "fractional_max_pool3d", "gelu", "ger", "glu", "hardsigmoid", "hardswish", "hardswish_", "hardtanh_", "index_add",
    "index_add_", "index_reduce", "kron", "leaky_relu", "linalg_cross", "linalg_norm", "linalg_vector_norm", "log",
    "log_sigmoid", "log_softmax", "logcumsumexp", "logsumexp", "max_pool1d", "max_pool1d_with_indices", "max_pool2d",
    "max_pool2d_with_indices", "max_pool3d", "max_pool3d_with_indices", "maximum", "mean", "median", "minimum", "mish_",
    "mul", "mul_", "multiply", "nanmean", "nansum", "neg", "norm", "outer", "pairwise_distance", "pow", "prelu", "prod",
    "reciprocal", "relu", "relu6_", "relu_", "rms_norm", "rsqrt", "rsub", "scatter_add", "scatter_add_",
    "scatter_reduce", "scatter_reduce_", "sigmoid", "sigmoid_", "silu", "silu_", "softmax", "softplus", "sqrt",
    "square", "std", "std_mean", "sub", "sub_", "subtract", "sum", "tanh", "trace", "upsample_bicubic2d",
    "upsample_linear1d", "upsample_trilinear3d", "var", "var_mean", "where",
})
MOVEMENT = frozenset({
    "_pack_padded_sequence", "_pad_packed_sequence", "_unique2", "alias", "alpha_dropout", "alpha_dropout_",
    "atleast_1d", "atleast_2d", "atleast_3d", "bernoulli", "bernoulli_", "block_diag", "broadcast_tensors",
    "broadcast_to", "cartesian_prod", "channel_shuffle", "clone", "column_stack", "combinations", "complex", "concat",
    "concatenate", "diag", "diag_embed", "diagflat", "dropout_", "dsplit", "dstack", "embedding", "empty_like",
    "expand_as", "feature_alpha_dropout", "feature_dropout", "feature_dropout_", "fill", "fill_", "flip", "fliplr",
    "flipud", "hsplit", "hstack", "im2col", "index_copy", "index_copy_", "index_fill", "index_fill_", "index_put",
    "index_select", "kthvalue", "le", "lift_fresh", "lt", "masked_fill_", "masked_scatter", "masked_scatter_",
    "masked_select", "meshgrid", "movedim", "msort", "multinomial", "native_dropout", "ne", "new_ones", "new_zeros",
    "normal", "normal_", "numel", "numpy_T", "one_hot", "ones_like", "pad", "pixel_shuffle", "pixel_unshuffle", "put",
    "quantile", "rand_like", "randint_like", "randn_like", "reflection_pad1d", "reflection_pad2d", "reflection_pad3d",
    "repeat", "repeat_interleave", "replication_pad1d", "replication_pad2d", "replication_pad3d", "reshape_as", "rot90",
    "row_stack", "scatter", "scatter_", "sort", "swapaxes", "take", "take_along_dim", "tensor_split", "tile", "topk",
    "tril", "tril_", "triu", "triu_", "unflatten", "unfold", "uniform_", "unsafe_chunk", "unsafe_split",
    "unsafe_split_with_sizes", "upsample_nearest1d", "upsample_nearest3d", "view_as", "vsplit", "vstack", "zero_",
})
# fmt: on


def kind_of(node: Any) -> Kind | None:
    """What a node of a trace is that no rule counts; None where fvcore itself takes no notice of it.

    Operators that the tables here do not name are told by their schemas: those that torch marks as pointwise are
    arithmetic; views, and what is made of no tensor or gives no real numbers, are movement.
    """
    name = node.kind().removeprefix("aten::")
    if name in ARITHMETIC:
        return "arithmetic"
    if node.kind() in _IGNORED_OPS:
        return None
    if node.kind().startswith("prim::") and not node.kind().startswith(("prim::PythonOp", "prim::CallFunction")):
        return None
    if name in MOVEMENT:
        return "movement"
    if node.kind().startswith("aten::"):
        if not any(_may_be_real(value) for value in node.outputs()):
            return "movement"
        return _kind_by_schema(name)
    return "unknown"


@cache
def _kind_by_schema(name: str) -> Kind:
    packet = getattr(torch.ops.aten, name, None)
    overloads = [getattr(packet, overload) for overload in packet.overloads()] if packet is not None else []
    if any(torch.Tag.pointwise in overload.tags for overload in overloads):
        return "arithmetic"
    schemas = [overload._schema for overload in overloads if not any(a.is_out for a in overload._schema.arguments)]
    if schemas and all(_is_view(schema) or not _takes_tensors(schema) for schema in schemas):
        return "movement"
    return "unknown"


def _is_view(schema: Any) -> bool:
    return bool(schema.returns) and all(
        returned.alias_info is not None and not returned.alias_info.is_write for returned in schema.returns
    )


def _takes_tensors(schema: Any) -> bool:
    return any("Tensor" in str(argument.type) for argument in schema.arguments)


def _may_be_real(value: Any) -> bool:
    kind = value.type().kind()
    if kind == "TensorType":
        scalar = value.type().scalarType()
        return scalar is None or "Float" in scalar or scalar in ("Double", "Half", "BFloat16", "ComplexDouble")
    return kind == "ListType" and value.type().getElementType().kind() == "TensorType"


def is_hidden_product(node: Any) -> bool:
    """Whether a node sums over the product of two tensors that is larger than both."""
    if node.kind() not in ("aten::sum", "aten::mean") or elements(node.outputsAt(0)) == 0:
        return False
    product = node.inputsAt(0)
    if product.node().kind() not in ("aten::mul", "aten::multiply"):
        return False
    factors = [elements(value) for value in product.node().inputs()]
    return elements(product) > max(*factors, elements(node.outputsAt(0)))


def is_feature_map(value: Any) -> bool:
    """Whether a value is a tensor of real numbers, with dimensions: sizes in a trace are whole numbers without."""
    if not value.isCompleteTensor():
        return False
    return bool(value.type().sizes()) and value.type().scalarType() in ("Float", "Double", "Half", "BFloat16")


def elements(value: Any) -> int:
    """Number of elements of a tensor; 0 of anything else."""
    return prod(value.type().sizes()) if value.isCompleteTensor() else 0


def positions(value: Any) -> int:
    """Of (N, C, ...): N times the product of what follows C."""
    sizes = value.type().sizes() if value.isCompleteTensor() else (0, 0)
    return int(prod((sizes[0], *sizes[2:])))


def _sizes(value: Any) -> list[int]:
    if not value.isCompleteTensor():
        raise ValueError(f"the shape of {value.debugName()} is not known")
    return list(value.type().sizes())


def _several(value: Any) -> list[Any]:
    """The values of a list of tensors that is put together in the trace."""
    if value.node().kind() != "prim::ListConstruct":
        raise ValueError("a list that is not put together in the trace")
    return list(value.node().inputs())


def _whole(value: Any) -> list[int]:
    given = value.toIValue()
    return list(given) if given is not None else [int(item.toIValue()) for item in _several(value)]


def _matmul(inputs: list[Any], outputs: list[Any]) -> int:
    """Where one operand is a vector, which fvcore's rule fails at; otherwise by that rule."""
    left, right = _sizes(inputs[0]), _sizes(inputs[1])
    if len(right) == 1:
        return prod(left)
    if len(left) == 1:
        return prod(right)
    return int(_DEFAULT_SUPPORTED_OPS["aten::matmul"](inputs, outputs))


def _batched(inputs: list[Any], outputs: list[Any]) -> int:
    """(B, N, K) (B, K, M), added to something; also summed over B."""
    return int(elements(inputs[1]) * _sizes(inputs[2])[-1])


def _added_matrix_vector(inputs: list[Any], outputs: list[Any]) -> int:
    return prod(_sizes(inputs[1]))


def _first_operand(inputs: list[Any], outputs: list[Any]) -> int:
    """(N, K) (K,) and (K,) (K,)."""
    return prod(_sizes(inputs[0]))


def _inner(inputs: list[Any], outputs: list[Any]) -> int:
    """(..., K) and (..., K): every pair of rows."""
    left, right = _sizes(inputs[0]), _sizes(inputs[1])
    if not left or not right:
        return 0
    return prod(left) * prod(right[:-1])


def _tensordot(inputs: list[Any], outputs: list[Any]) -> int:
    left, right = _sizes(inputs[0]), _sizes(inputs[1])
    summed = zip(_whole(inputs[2]), _whole(inputs[3]), strict=True)
    # Of a dimension that is 1 on one side, the other side is summed before.
    return prod(_sizes(outputs[0])) * prod(min(left[i], right[j]) for i, j in summed)


def _chain(inputs: list[Any], outputs: list[Any]) -> int:
    """A chain of matrices, in the order that takes the fewest MACs, which is what torch looks for."""
    shapes = [_sizes(value) for value in _several(inputs[0])]
    if len(shapes[0]) == 1:
        shapes[0] = [1, *shapes[0]]
    if len(shapes[-1]) == 1:
        shapes[-1] = [*shapes[-1], 1]
    sides = [shapes[0][0], *(shape[1] for shape in shapes)]

    @cache
    def fewest(i: int, j: int) -> int:
        if j - i == 1:
            return 0
        return min(fewest(i, k) + fewest(k, j) + sides[i] * sides[k] * sides[j] for k in range(i + 1, j))

    return fewest(0, len(shapes))


def _einsum(inputs: list[Any], outputs: list[Any]) -> int:
    """As torch contracts: two operands at a time, from the left or along the path that is given.

    A step costs the product of all sizes that take part, once those of one operand alone that appear nowhere else are
    summed. A step that sums over nothing multiplies element by element, and is free like other arithmetic.
    """
    equation = inputs[0].toIValue().replace(" ", "")
    shapes = [_sizes(value) for value in _several(inputs[1])]
    left, _, result = equation.partition("->")
    sizes: dict[str, int] = {}
    operands: list[set[str]] = []
    for letters, shape in zip(left.split(","), shapes, strict=True):
        named = letters.replace("...", "")
        # Dimensions of an ellipsis are aligned at the right.
        dots = [f".{i}" for i in reversed(range(len(shape) - len(named)))] if "..." in letters else []
        before, _, after = letters.partition("...")
        labels = [*before, *dots, *after]
        for label, size in zip(labels, shape, strict=True):
            sizes[label] = max(size, sizes.get(label, 1))
        operands.append(set(labels))
    kept = {*result.replace("...", "")} if "->" in equation else {x for x in left if left.count(x) == 1}
    kept |= {label for label in sizes if label.startswith(".") and ("->" not in equation or "..." in result)}
    path = inputs[2].toIValue() if len(inputs) > 2 else None
    steps = [*zip(path[::2], path[1::2], strict=True)] if path else [(0, 1)] * (len(operands) - 1)
    macs = 0
    for first, second in steps:
        one, other = operands[first], operands[second]
        rest = [operand for i, operand in enumerate(operands) if i not in (first, second)]
        later = kept.union(*rest)
        one, other = one & (other | later), other & (one | later)
        if (one & other) - later:
            macs += prod(sizes[label] for label in one | other)
        merged = (one | other) & later
        operands = [*rest, merged] if path else [merged, *rest]
    return macs


def _bilinear(inputs: list[Any], outputs: list[Any]) -> int:
    """x1^T A x2 for every output: one for each pair of features."""
    return prod(_sizes(outputs[0])) * _sizes(inputs[0])[-1] * _sizes(inputs[1])[-1]


def _recurrent(inputs: list[Any], outputs: list[Any]) -> int:
    """Every weight of every layer and direction, once for each step of each sequence.

    That holds for (T, B, C), (B, T, C), (T, C) and packed sequences, with projections and without.
    """
    lists = [value for value in inputs if value.node().kind() == "prim::ListConstruct"]
    tensors = [[_sizes(item) for item in _several(value)] for value in lists]
    weights = [shape for shape in tensors[-1] if len(shape) == 2]
    if not weights:
        raise ValueError("no weights")
    *steps, _ = _sizes(inputs[0])
    return prod(steps) * sum(map(prod, weights))


def _cell(inputs: list[Any], outputs: list[Any]) -> int:
    *several, _ = _sizes(inputs[0])
    return prod(several) * (prod(_sizes(inputs[2])) + prod(_sizes(inputs[3])))


def _cdist(inputs: list[Any], outputs: list[Any]) -> int:
    """Euclidean distances: a square, added, for each pair of rows and each feature."""
    if inputs[2].toIValue() != 2:
        raise NotImplementedError("a distance that is no sum of squares")
    return prod(_sizes(outputs[0])) * _sizes(inputs[0])[-1]


def _attention(inputs: list[Any], outputs: list[Any]) -> int:
    """Of fused attention, the two matrix products: every query with every key, and the weights with the values."""
    (*batch, queries, width), keys, values = (_sizes(value) for value in inputs[:3])
    return int(prod(batch) * queries * keys[-2] * (width + values[-1]))


def _correlation(inputs: list[Any], outputs: list[Any]) -> int:
    """Of (N, C, H, W) and its scores at P^2 displacements: C each, also for displacements that leave the map."""
    return int(_sizes(inputs[0])[1] * elements(outputs[0]))


def _padded_convolution(inputs: list[Any], outputs: list[Any]) -> int:
    """Of one whose padding is "same" or "valid", which is never transposed."""
    return positions(outputs[0]) * prod(_sizes(inputs[1]))


OWN_RULES: dict[str, Rule] = {
    "aten::_convolution_mode": _padded_convolution,
    "aten::addbmm": _batched,
    "aten::addbmm_": _batched,
    "aten::addmm_": _DEFAULT_SUPPORTED_OPS["aten::addmm"],
    "aten::addmv": _added_matrix_vector,
    "aten::addmv_": _added_matrix_vector,
    "aten::baddbmm": _batched,
    "aten::baddbmm_": _batched,
    "aten::bilinear": _bilinear,
    "aten::cdist": _cdist,
    "aten::chain_matmul": _chain,
    "aten::dot": _first_operand,
    "aten::einsum": _einsum,
    "aten::gru": _recurrent,
    "aten::gru_cell": _cell,
    "aten::inner": _inner,
    "aten::linalg_matmul": _matmul,
    "aten::linalg_multi_dot": _chain,
    "aten::lstm": _recurrent,
    "aten::lstm_cell": _cell,
    "aten::matmul": _matmul,
    "aten::mv": _first_operand,
    "aten::rnn_relu": _recurrent,
    "aten::rnn_relu_cell": _cell,
    "aten::rnn_tanh": _recurrent,
    "aten::rnn_tanh_cell": _cell,
    "aten::scaled_dot_product_attention": _attention,
    "aten::tensordot": _tensordot,
    "aten::vdot": _first_operand,
    "benchmark::local_correlation": _correlation,
}
"""Operators that fvcore has no rule for, or one that fails or rounds, and that are matrix products in all but name."""

RULES: dict[str, Rule] = {**_DEFAULT_SUPPORTED_OPS, **OWN_RULES}
