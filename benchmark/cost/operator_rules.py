"""What an operator of a trace costs, in MACs: fvcore's rules, and our own for products that it has none for.

A rule takes an operator's inputs and outputs (`torch._C.Value`) and gives its MACs. It counts every multiplication
with the addition that follows it, however the operator goes about it: a product of matrices by any name, a recurrent
layer, distances. Biases, scaling and activations are free, as they are in fvcore's own rules.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import prod
from typing import Any

from fvcore.nn.flop_count import _DEFAULT_SUPPORTED_OPS

from benchmark.cost.traced_values import elements, items, positions, sizes, whole_numbers

Rule = Callable[[list[Any], list[Any]], Any]
CONVOLUTIONS = ("aten::_convolution", "aten::_convolution_mode")


def _matmul(inputs: list[Any], outputs: list[Any]) -> int:
    left, right = sizes(inputs[0]), sizes(inputs[1])
    # fvcore's rule fails where one operand is a vector.
    if len(right) == 1:
        return prod(left)
    if len(left) == 1:
        return prod(right)
    return int(_DEFAULT_SUPPORTED_OPS["aten::matmul"](inputs, outputs))


def _batched(inputs: list[Any], outputs: list[Any]) -> int:
    """(B, N, K) (B, K, M), added to something; also summed over B."""
    return int(elements(inputs[1]) * sizes(inputs[2])[-1])


def _added_matrix_vector(inputs: list[Any], outputs: list[Any]) -> int:
    return prod(sizes(inputs[1]))


def _first_operand(inputs: list[Any], outputs: list[Any]) -> int:
    """(N, K) (K,) and (K,) (K,)."""
    return prod(sizes(inputs[0]))


def _inner(inputs: list[Any], outputs: list[Any]) -> int:
    """(..., K) and (..., K): every pair of rows."""
    left, right = sizes(inputs[0]), sizes(inputs[1])
    if not left or not right:
        return 0
    return prod(left) * prod(right[:-1])


def _tensordot(inputs: list[Any], outputs: list[Any]) -> int:
    left, right = sizes(inputs[0]), sizes(inputs[1])
    summed = zip(whole_numbers(inputs[2]), whole_numbers(inputs[3]), strict=True)
    # Of a dimension that is 1 on one side, the other side is summed before.
    return prod(sizes(outputs[0])) * prod(min(left[i], right[j]) for i, j in summed)


def _chain(inputs: list[Any], outputs: list[Any]) -> int:
    """A chain of matrices, in the order that takes the fewest MACs, which is what torch looks for."""
    shapes = [sizes(value) for value in items(inputs[0])]
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

    A step costs the product of all sizes that take part. A step that sums over nothing multiplies element by element,
    and is free like other arithmetic.
    """
    operands, size_of, result = _labels(inputs[0].toIValue().replace(" ", ""), [sizes(v) for v in items(inputs[1])])
    path = inputs[2].toIValue() if len(inputs) > 2 else None
    steps = [*zip(path[::2], path[1::2], strict=True)] if path else [(0, 1)] * (len(operands) - 1)
    macs = 0
    for first, second in steps:
        rest = [operand for i, operand in enumerate(operands) if i not in (first, second)]
        later = result.union(*rest)
        # What one operand alone has and nothing later needs is summed before the two are multiplied.
        left = operands[first] & (operands[second] | later)
        right = operands[second] & (left | later)
        if (left & right) - later:
            macs += prod(size_of[label] for label in left | right)
        merged = (left | right) & later
        operands = [*rest, merged] if path else [merged, *rest]
    return macs


def _labels(equation: str, shapes: list[list[int]]) -> tuple[list[set[str]], dict[str, int], set[str]]:
    """The dimensions of every operand of an einsum by label, the size of each label, and the labels of the result."""
    terms, arrow, result = equation.partition("->")
    size_of: dict[str, int] = {}
    operands: list[set[str]] = []
    for term, shape in zip(terms.split(","), shapes, strict=True):
        before, dots, after = term.partition("...")
        # Dimensions of an ellipsis are aligned at the right, so that they are numbered from there.
        unnamed = [f".{i}" for i in reversed(range(len(shape) - len(before) - len(after)))] if dots else []
        labels = [*before, *unnamed, *after]
        for label, size in zip(labels, shape, strict=True):
            size_of[label] = max(size, size_of.get(label, 1))
        operands.append(set(labels))
    # Without an arrow, the result has what is named once.
    named = set(result.replace("...", "")) if arrow else {label for label in terms if terms.count(label) == 1}
    unnamed_too = not arrow or "..." in result
    return operands, size_of, named | {label for label in size_of if unnamed_too and label.startswith(".")}


def _bilinear(inputs: list[Any], outputs: list[Any]) -> int:
    """x1^T A x2 for every output: one for each pair of features."""
    return prod(sizes(outputs[0])) * sizes(inputs[0])[-1] * sizes(inputs[1])[-1]


def _recurrent(inputs: list[Any], outputs: list[Any]) -> int:
    """Every weight of every layer and direction, once for each step of each sequence.

    That holds for (T, B, C), (B, T, C), (T, C) and packed sequences, with projections and without.
    """
    lists = [value for value in inputs if value.node().kind() == "prim::ListConstruct"]
    tensors = [[sizes(item) for item in items(value)] for value in lists]
    weights = [shape for shape in tensors[-1] if len(shape) == 2]
    if not weights:
        raise ValueError("no weights")
    *steps, _ = sizes(inputs[0])
    return prod(steps) * sum(map(prod, weights))


def _cell(inputs: list[Any], outputs: list[Any]) -> int:
    *several, _ = sizes(inputs[0])
    return prod(several) * (prod(sizes(inputs[2])) + prod(sizes(inputs[3])))


def _cdist(inputs: list[Any], outputs: list[Any]) -> int:
    """Euclidean distances: a square, added, for each pair of rows and each feature."""
    if inputs[2].toIValue() != 2:
        raise NotImplementedError("a distance that is no sum of squares")
    return prod(sizes(outputs[0])) * sizes(inputs[0])[-1]


def _attention(inputs: list[Any], outputs: list[Any]) -> int:
    """Of fused attention, the two matrix products: every query with every key, and the weights with the values."""
    (*batch, queries, width), keys, values = (sizes(value) for value in inputs[:3])
    return int(prod(batch) * queries * keys[-2] * (width + values[-1]))


def _correlation(inputs: list[Any], outputs: list[Any]) -> int:
    """Of (N, C, H, W) and its scores at P^2 displacements: C each, also for displacements that leave the map."""
    return int(sizes(inputs[0])[1] * elements(outputs[0]))


def _padded_convolution(inputs: list[Any], outputs: list[Any]) -> int:
    """Of one whose padding is "same" or "valid", which is never transposed."""
    return positions(outputs[0]) * prod(sizes(inputs[1]))


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
