"""A worker process that dies takes one item with it, and no more. (Workers import this file: it imports little.)"""

import os
from collections.abc import Sequence

from benchmark.data.probing import surviving


def _dies_on_seven(numbers: Sequence[int]) -> list[int]:
    if 7 in numbers:
        os._exit(1)
    return [-n for n in numbers]


def test_a_crash_costs_the_item_on_which_it_happened() -> None:
    found = dict[int, int | None]()
    for batch, result in surviving(_dies_on_seven, list(range(12)), 2, 2):
        found.update(dict.fromkeys(batch) if result is None else dict(zip(batch, result, strict=True)))
    assert found == {n: None if n == 7 else -n for n in range(12)}
