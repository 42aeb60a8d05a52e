"""What a layout is: one form in which people keep the labels of a data set."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from benchmark.config.datasets import DatasetInfo
from benchmark.data.layouts.listing import Listing
from benchmark.data.roots import Root

Reader = Callable[[DatasetInfo, Root], "Listing | None"]
"""From a data set and the user's folders to what the label files list; None where there are no files of the layout.

Raises DataError where there are such files and they are damaged or incomplete.
"""


@dataclass(frozen=True)
class Layout:
    """One form of label files.

    Attributes:
        expected: Which files these are, as said to a user in whose folder no layout was recognised.
        read: Recognises the layout and reads it.
        datasets: The data sets that are kept so, by the name that a root is given for; None: any may be.
        beside_clips: Names of the folders in which the files are distributed, beside the folder of the clips.
    """

    expected: str
    read: Reader
    datasets: frozenset[str] | None = None
    beside_clips: re.Pattern[str] | None = None

    def may_hold(self, dataset: str) -> bool:
        """Whether a data set's labels may be kept so."""
        return self.datasets is None or dataset in self.datasets
