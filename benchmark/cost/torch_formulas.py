"""Formulas for torch's own counter, of operators that it takes for free: it then counts what our rules count.

They are of the operators that torch runs in the end, two operations per MAC, and share no code with the rules in
`benchmark.cost.operator_rules`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import prod
from typing import Any

import torch
from torch.utils.flop_counter import flop_registry, register_flop_formula

from benchmark.models.modules import correlation  # registers its operator

aten = torch.ops.aten


@cache
def register() -> None:
    """Give torch's counter the formulas that it lacks."""
    for operator, formula in FORMULAS.items():
        if operator not in flop_registry:
            register_flop_formula(operator)(formula)


def _correlation(a_shape: Any, b_shape: Any, *args: Any, out_shape: Any, **kwargs: Any) -> int:
    return int(2 * a_shape[1] * prod(out_shape))


def _matrix_vector(matrix_shape: Any, *args: Any, **kwargs: Any) -> int:
    return 2 * prod(matrix_shape)


def _added_matrix_vector(added_shape: Any, matrix_shape: Any, *args: Any, **kwargs: Any) -> int:
    return 2 * prod(matrix_shape)


def _summed_products(added_shape: Any, left_shape: Any, right_shape: Any, *args: Any, **kwargs: Any) -> int:
    b, n, k = left_shape
    return int(2 * b * n * k * right_shape[2])


def _distances(left_shape: Any, right_shape: Any, *args: Any, out_shape: Any, **kwargs: Any) -> int:
    return int(2 * prod(out_shape) * right_shape[-1])


def _trilinear(
    a_shape: Any, b_shape: Any, c_shape: Any, expand_a: Any, expand_b: Any, expand_c: Any, *args: Any, **kwargs: Any
) -> int:
    """Of three tensors, each with dimensions inserted, multiplied and summed over some of what they span."""
    spanned = []
    for shape, expand in ((a_shape, expand_a), (b_shape, expand_b), (c_shape, expand_c)):
        sizes = list(shape)
        for dimension in sorted(expand):
            sizes.insert(dimension, 1)
        spanned.append(sizes)
    return 2 * prod(map(max, zip(*spanned, strict=True)))


def _recurrent_layer(x_shape: Any, from_input: Any, from_hidden: Any, *args: Any, **kwargs: Any) -> int:
    """One layer in one direction: two products for every step."""
    return int(2 * prod(x_shape[:-1]) * from_input[0] * (from_input[1] + from_hidden[1]))


FORMULAS: dict[Any, Callable[..., int]] = {
    aten._cdist_forward: _distances,
    aten._euclidean_dist: _distances,
    aten._trilinear: _trilinear,
    aten.addbmm: _summed_products,
    aten.addmv: _added_matrix_vector,
    aten.dot: _matrix_vector,
    aten.mkldnn_rnn_layer: _recurrent_layer,
    aten.mv: _matrix_vector,
    aten.vdot: _matrix_vector,
    getattr(torch.ops, correlation.OPERATOR.partition("::")[0]).local_correlation: _correlation,
}
