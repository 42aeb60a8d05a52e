"""Free places for the names of points, found by textalloc (github.com/ckjellson/textalloc, version 1.2).

Of a fixed list of candidates around its point, nearest first, each name in turn takes the first that is free: the same
points get the same places. Names taken in another order get others, so a few orders are tried. All lengths are in
typographic points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any, NamedTuple

import numpy as np

MARKER = 3.2
"""How far a name keeps from the centre of a marker."""
NEAREST, FURTHEST = 4.0, 60.0
CANDIDATES = (84, 400)
"""Those in the eight directions from a point; where they do not do for all, with those of a grid around it."""
BESIDE = MARKER + 2.6
UNMISTAKABLE = 2.0
"""A name nearer than BESIDE needs no line to its point if it is on its level, or so many times further from others."""
GAP = 0.8
"""Between the end of a line and the name."""
MANY = 40
"""Of more names than this, one order is tried: it takes seconds."""
CROWD = 20.0
"""Points within this distance are in each other's way."""
DIRECTIONS = (
    ["east", "northeast", "southeast", "west", "northwest", "southwest", "north", "south"],
    ["north", "south", "northeast", "southwest", "northwest", "southeast", "west", "east"],
)
"""Where a name is looked for first: beside its point, or else above and below it."""

Spot = tuple[float, float]


class Box(NamedTuple):
    """A rectangle."""

    left: float
    bottom: float
    right: float
    top: float

    def distance(self, spot: Spot) -> float:
        """From the nearest of its points; 0 within."""
        return math.dist(spot, (min(max(spot[0], self.left), self.right), min(max(spot[1], self.bottom), self.top)))


@dataclass(frozen=True)
class Place:
    """Where a name stands, and the line from its point to it, None where none is needed."""

    box: Box
    line: tuple[Spot, Spot] | None


@dataclass(frozen=True)
class Places:
    """A place for every name, or None where none is free, and how far the furthest is from its point.

    `crossed`: how many lines to names pass over other points.
    """

    of: tuple[Place | None, ...]
    furthest: float
    crossed: int = 0

    @property
    def faults(self) -> tuple[int, int, float]:
        """The less the better."""
        return self.of.count(None), self.crossed, self.furthest


def find_places(
    anchors: Sequence[Spot],
    sizes: Sequence[Spot],
    markers: Sequence[Spot],
    lines: Sequence[Sequence[Spot]],
    bounds: Box,
    must: bool = False,
) -> Places:
    """Places where names hide neither markers nor each other, nor cross lines, nor leave the bounds.

    Args:
        anchors: (x, y) of what is named.
        sizes: (width, height) of each name.
        markers: Centres of all markers.
        lines: Polylines to keep clear of.
        bounds: Of the axes.
        must: Give those without a free place one that hides a marker or a line.

    Returns:
        Of those tried, the places with the fewest names left out, then with the fewest lines over other points, then
        with the furthest name nearest.
    """
    near = [sum(math.dist(a, b) < CROWD for b in anchors) for a in anchors]
    order = list(range(len(anchors)))
    orders = [
        sorted(order, key=lambda i: (-near[i], -anchors[i][1], i)),
        sorted(order, key=lambda i: (-anchors[i][1], i)),
        sorted(order, key=lambda i: (anchors[i][0], i)),
        sorted(order, key=lambda i: (-anchors[i][0], i)),
    ]
    few = len(anchors) <= MANY
    best: Places | None = None
    for candidates, directions in product(CANDIDATES, DIRECTIONS if few else DIRECTIONS[:1]):
        for one in orders if few else orders[:1]:
            places = _allocate(one, candidates, directions, anchors, sizes, markers, lines, bounds, must)
            if best is None or places.faults < best.faults:
                best = places
            if best.faults <= (0, 0, BESIDE):
                return best
        if best and best.faults <= (0, 0, FURTHEST / 3):
            return best
    assert best is not None
    return best


def _allocate(
    order: Sequence[int],
    candidates: int,
    directions: Sequence[str],
    anchors: Sequence[Spot],
    sizes: Sequence[Spot],
    markers: Sequence[Spot],
    lines: Sequence[Sequence[Spot]],
    bounds: Box,
    must: bool,
) -> Places:
    from textalloc.non_overlapping_boxes import get_non_overlapping_boxes

    allocate: Any = get_non_overlapping_boxes  # its annotations know no None
    segments = [(*a, *b) for line in lines for a, b in pairwise(line)]
    width, height = bounds.right - bounds.left, bounds.top - bounds.bottom
    boxes, _ = allocate(
        [(*anchors[i], *sizes[i], 0) for i in order],
        (bounds.left, bounds.right),
        (bounds.bottom, bounds.top),
        aspect_ratio=width / height,  # so that distances are shares of the width in both directions
        margin=0.7 / width,
        min_distance=NEAREST / width,
        max_distance=FURTHEST / width,
        verbose=False,
        nbr_candidates=candidates,
        draw_all=must,
        scatter_xy=np.array(markers, float),
        lines_xyxy=np.array(segments, float) if segments else None,
        scatter_sizes=np.full(len(markers), MARKER),
        scatter_plot_bbs=None,
        text_scatter_sizes=None,
        direction=directions,
        draw_lines=True,
        avoid_label_lines_overlap=True,
        avoid_crossing_label_lines=True,
        priority_strategy=None,
    )
    found: dict[int, Place] = {}
    furthest, crossed = 0.0, 0
    for x, y, w, h, _, place in boxes:
        i, box = order[place], Box(float(x), float(y), float(x + w), float(y + h))
        found[i] = Place(box, _line(anchors[i], box, markers))
        furthest = max(furthest, box.distance(anchors[i]))
        crossed += sum(_passes(found[i].line, marker) for marker in markers if marker != anchors[i])
    return Places(tuple(found.get(i) for i in range(len(anchors))), furthest, crossed)


def _line(spot: Spot, box: Box, markers: Sequence[Spot]) -> tuple[Spot, Spot] | None:
    """From a point to its name, where they do not obviously belong together."""
    away = box.distance(spot)
    level = abs((box.bottom + box.top) / 2 - spot[1]) < 1.5
    others = [box.distance(marker) for marker in markers if marker != spot]
    if away <= BESIDE and (level or min(others, default=math.inf) >= UNMISTAKABLE * away):
        return None
    end = min(max(spot[0], box.left), box.right), min(max(spot[1], box.bottom), box.top)
    shown = 1 - GAP / max(away, GAP)
    return spot, (spot[0] + shown * (end[0] - spot[0]), spot[1] + shown * (end[1] - spot[1]))


def _passes(line: tuple[Spot, Spot] | None, marker: Spot) -> bool:
    """Whether a line leads over a marker other than the one that it starts at or under."""
    if line is None or math.dist(line[0], marker) < MARKER:
        return False
    (x, y), end = line
    along = (end[0] - x, end[1] - y)
    share = ((marker[0] - x) * along[0] + (marker[1] - y) * along[1]) / (math.hypot(*along) ** 2 or 1.0)
    share = min(max(share, 0.0), 1.0)
    return math.dist((x + share * along[0], y + share * along[1]), marker) < 0.6 * MARKER
