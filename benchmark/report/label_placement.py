"""Put the labels of points where they hide neither points nor each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

# A label further away is attached by a line, and ambiguous where points are close: so nearer is better, but legible is
# best.
_SHIFTS = tuple(sign * step for step in (0, 2, 4, 6, 8, 11, 14, 18, 22, 27, 32, 40, 50, 60) for sign in (1, -1))
_GAPS = (4.5, 8.0, 14.0, 24.0, 40.0)
_ROUNDS = 4


class Box(NamedTuple):
    """A rectangle, in points."""

    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: Box) -> float:
        """The area shared with another box."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return width * height if width > 0 and height > 0 else 0.0


def place(
    anchors: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    obstacles: Sequence[Box],
    bounds: Box,
) -> list[Box]:
    """A box for every label: beside, above or below its anchor, clear of obstacles and of each other if possible.

    Each label in turn, from the top down, takes its cheapest place given the others; a few rounds settle it.
    Deterministic.

    Args:
        anchors: (x, y) of each point, in typographic points.
        sizes: (width, height) of each label.
        obstacles: markers, error bars, lines, the legend.
        bounds: the axes; labels stay inside.
    """
    order = sorted(range(len(anchors)), key=lambda i: (-anchors[i][1], anchors[i][0], i))
    options = {i: _options(anchors[i], sizes[i], obstacles, bounds) for i in order}
    chosen: dict[int, Box] = {}
    for _ in range(_ROUNDS):
        before = dict(chosen)
        for i in order:
            others = [_padded(box) for j, box in chosen.items() if j != i]
            lines = [(anchors[j], _middle(box)) for j, box in chosen.items() if j != i]
            chosen[i] = min(
                options[i],
                key=lambda option, i=i, others=others, lines=lines: (  # type: ignore[misc]
                    option[0]
                    + 30 * sum(option[1].overlap(other) for other in others)
                    + 60 * sum(_cross(anchors[i], _middle(option[1]), *line) for line in lines)
                ),
            )[1]
        if chosen == before:
            break
    return [chosen[i] for i in range(len(anchors))]


def _options(
    anchor: tuple[float, float], size: tuple[float, float], obstacles: Sequence[Box], bounds: Box
) -> list[tuple[float, Box]]:
    """Candidate places with their cost, other labels left aside."""
    (x, y), (width, height) = anchor, size
    corners = [(x + gap, y + shift - height / 2) for gap in _GAPS for shift in _SHIFTS]
    corners += [(x - gap - width, y + shift - height / 2) for gap in _GAPS for shift in _SHIFTS]
    corners += [(x - width * part, y + gap) for gap in _GAPS for part in (0.5, 0.25, 0.75)]
    corners += [(x - width * part, y - gap - height) for gap in _GAPS for part in (0.5, 0.25, 0.75)]
    priced = []
    for left, bottom in corners:
        box = Box(left, bottom, left + width, bottom + height)
        near = (min(max(x, box.left), box.right), min(max(y, box.bottom), box.top))
        outside = width * height - box.overlap(bounds)
        cost = math.dist(near, anchor) + 0.3 * abs(_middle(box)[1] - y) + (0.5 if box.left < x else 0.0)
        cost += 30 * sum(box.overlap(obstacle) for obstacle in obstacles) + 100 * outside
        priced.append((cost, box))
    return priced


def _middle(box: Box) -> tuple[float, float]:
    return (box.left + box.right) / 2, (box.bottom + box.top) / 2


def _padded(box: Box) -> Box:
    return Box(box.left - 1.5, box.bottom - 0.5, box.right + 1.5, box.top + 0.5)


def _cross(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float], d: tuple[float, float]) -> bool:
    """Whether the segments ab and cd cross; leader lines that do are hard to follow."""

    def side(p: tuple[float, float], q: tuple[float, float], r: tuple[float, float]) -> float:
        return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])

    return side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0
