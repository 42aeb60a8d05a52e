"""Times that a user moves by an environment variable."""

from __future__ import annotations

import os

STALL_SECONDS = "BENCHMARK_STALL_SECONDS"
DEFAULT_STALL_SECONDS = 600.0
"""For a batch to come, and for one file to be examined."""


def positive_seconds(variable: str, default: float) -> float:
    """The seconds that an environment variable says, or the default where it is unset or empty.

    Raises:
        ValueError: It is no positive number; the message names it.
    """
    text = os.environ.get(variable) or str(default)
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise ValueError(f"{variable}={text} is not a positive number of seconds")
    return seconds
