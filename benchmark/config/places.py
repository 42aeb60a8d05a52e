"""Where modules may stand in a network: the names of its places, and what each of them means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

FIVE = ("res3.0", "res3.2", "res4.0", "res4.2", "res4.4")
"""Where the thesis' five attention blocks stand in ResNet-50, by the released code: after every second block."""


def block_places(blocks: dict[str, int]) -> dict[str, tuple[str, ...]]:
    """Places of a network of stages of blocks: `res3.0` is a block, `res3` the last of its stage, `res3.all` are all.

    `first` are the first blocks of all stages, `all` is every block of the network.
    """
    every = {f"{stage}.{i}": (f"{stage}.{i}",) for stage, count in blocks.items() for i in range(count)}
    last = {stage: (f"{stage}.{count - 1}",) for stage, count in blocks.items()}
    first = tuple(f"{stage}.0" for stage in blocks)
    whole = {f"{stage}.all": tuple(f"{stage}.{i}" for i in range(count)) for stage, count in blocks.items()}
    return {**last, **whole, **every, "first": first, "all": tuple(every)}


def written_out(names: Sequence[Any], known: Mapping[str, tuple[str, ...]]) -> tuple[Any, ...]:
    """Places as they are named, but the blocks of `res3.all` one by one."""
    return tuple(
        place
        for name in names
        for place in (known.get(name, (name,)) if isinstance(name, str) and name.endswith(".all") else (name,))
    )


def named_places(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Places that have one name each."""
    return {name: (name,) for name in names}
