"""Labels and notes as they are shown."""

from __future__ import annotations

from collections.abc import Iterable


def pretty(text: str) -> str:
    """Labels and notes are typed in ASCII: 224^2 is shown as 224²."""
    return text.replace("^2", "²").replace("^3", "³")


def flat(label: str) -> str:
    """A label of several columns on one line."""
    return pretty(label).replace(" | ", ", ")


def listed(labels: Iterable[str]) -> str:
    """Several labels in a sentence."""
    return "; ".join(flat(label) for label in labels)
