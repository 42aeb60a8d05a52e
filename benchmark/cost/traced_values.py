"""What a trace says of a value (`torch._C.Value`): its shape, and what a list is made of."""

from __future__ import annotations

from math import prod
from typing import Any


def is_feature_map(value: Any) -> bool:
    """Whether a value is a tensor of real numbers, with dimensions."""
    if not value.isCompleteTensor():
        return False
    # Sizes are traced, too, as whole numbers without dimensions.
    return bool(value.type().sizes()) and value.type().scalarType() in ("Float", "Double", "Half", "BFloat16")


def elements(value: Any) -> int:
    """Number of elements of a tensor; 0 of anything else."""
    return prod(value.type().sizes()) if value.isCompleteTensor() else 0


def positions(value: Any) -> int:
    """Of (N, C, ...): N times the product of what follows C."""
    n, _, *rest = value.type().sizes() if value.isCompleteTensor() else (0, 0)
    return int(prod((n, *rest)))


def sizes(value: Any) -> list[int]:
    """The shape of a tensor.

    Raises:
        ValueError: it is not known.
    """
    if not value.isCompleteTensor():
        raise ValueError(f"the shape of {value.debugName()} is not known")
    return list(value.type().sizes())


def items(value: Any) -> list[Any]:
    """The values of a list that is put together in the trace.

    Raises:
        ValueError: the list comes from elsewhere.
    """
    if value.node().kind() != "prim::ListConstruct":
        raise ValueError("a list that is not put together in the trace")
    return list(value.node().inputs())


def whole_numbers(value: Any) -> list[int]:
    """A list of constants."""
    given = value.toIValue()
    return list(given) if given is not None else [int(item.toIValue()) for item in items(value)]
