"""Clips that cannot be read: named in the log, and refused where the protocol says so (`eval.unreadable`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from benchmark.data.loader import Item
from benchmark.data.split import Split
from benchmark.launch.log import log

NAMED = 5
"""Clips that an error names."""


class UnreadableError(Exception):
    """Evaluation clips cannot be read, and the protocol refuses to count them as wrong."""


class UnreadableLog:
    """Names in the log, once each, the clips that could not be read."""

    def __init__(self) -> None:
        self._named: set[tuple[str, int]] = set()

    def watch(self, split: Split, batches: Iterable[Item]) -> Iterator[Item]:
        """The batches as they come."""
        for item in batches:
            for index in item.clip_index[~item.readable].tolist():
                if (split.split, index) not in self._named:
                    self._named.add((split.split, index))
                    clip = split.clips[index]
                    log(f"cannot be read: {split.split} clip {clip.id} ({clip.path})")
            yield item


def refuse_unreadable(split: Split, unreadable: Sequence[bool] | np.ndarray) -> None:
    """Refuse a split of which clips cannot be read, or are not there.

    Args:
        split: the evaluation clips.
        unreadable: of each clip, whether it cannot be read.

    Raises:
        UnreadableError: with the number of clips, and the first of them by id.
    """
    ids = [clip.id for clip, bad in zip(split.clips, unreadable, strict=True) if bad]
    name, wrong = f"{split.name}/{split.split}", []
    if ids:
        named = ", ".join(ids[:NAMED]) + (", ..." if len(ids) > NAMED else "")
        wrong.append(f"{len(ids)} of {len(split)} clips of {name} cannot be read ({named})")
    if split.missing:
        wrong.append(f"{split.missing} of the clips of {name} are not on this disk (`data check` names them)")
    if wrong:
        raise UnreadableError(
            f"{', and '.join(wrong)}, and eval.unreadable is refuse: copy them again and run:"
            f" python -m benchmark data prepare {split.name}"
        )
