"""What tests of several folders share, which they cannot import from here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


def texts_shown(figure: Any) -> list[Any]:
    """The texts of a figure that are drawn: not those of ticks beyond the limits of their axis."""
    from matplotlib.text import Text

    figure.draw_without_rendering()
    beyond = set()
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis, *([ax.zaxis] if hasattr(ax, "zaxis") else [])):
            low, high = sorted(axis.get_view_interval())
            slack = 1e-9 * (high - low)
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not low - slack <= tick.get_loc() <= high + slack:
                    beyond |= {id(tick.label1), id(tick.label2)}
    return [
        text
        for text in figure.findobj(Text)
        if text.get_visible() and text.get_text().strip() and id(text) not in beyond
    ]


def cut_off(figure: Any) -> list[str]:
    """The texts of a figure of which a part lies outside of it."""
    renderer = figure.canvas.get_renderer()
    extents = ((text.get_text(), text.get_window_extent(renderer)) for text in texts_shown(figure))
    edge = figure.bbox
    return [
        text
        for text, box in extents
        if box.x0 < edge.x0 - 1 or box.y0 < edge.y0 - 1 or box.x1 > edge.x1 + 1 or box.y1 > edge.y1 + 1
    ]


@pytest.fixture(autouse=True)
def _no_records(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The records that are committed stand in for no run of a test."""
    monkeypatch.setenv("BENCHMARK_RECORDS", str(tmp_path_factory.getbasetemp() / "no records"))


@pytest.fixture(scope="session")
def texts_cut_off() -> Callable[[Any], list[str]]:
    """`cut_off`, which gives the texts of a matplotlib figure that are cut off at its edges."""
    return cut_off
