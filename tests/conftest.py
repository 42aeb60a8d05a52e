"""What tests of several folders share, which they cannot import from here."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from benchmark.config import own_data


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


@pytest.fixture(autouse=True)
def _no_own_data(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor do data sets of whoever runs the tests, or of another test."""
    monkeypatch.setenv("BENCHMARK_OWN_DATASETS", str(tmp_path_factory.getbasetemp() / "no data sets"))
    monkeypatch.setattr(own_data, "_BY_PATH", {})


@pytest.fixture(scope="session")
def texts_cut_off() -> Callable[[Any], list[str]]:
    """`cut_off`, which gives the texts of a matplotlib figure that are cut off at its edges."""
    return cut_off


def _cpu_seconds(*command: str, **options: Any) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    subprocess.run(command, check=True, capture_output=True, **options)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


@pytest.fixture
def cpu_seconds() -> Callable[..., float]:
    """CPU seconds that a command takes, which must succeed."""
    return _cpu_seconds


@pytest.fixture(scope="session")
def import_seconds() -> float:
    """CPU seconds that pandas and matplotlib take to import: the measure of what a command may take.

    Seconds themselves differ threefold between machines, and on one that is busy.
    """
    libraries = "import pandas, matplotlib.figure, matplotlib.backends.backend_agg"
    return min(_cpu_seconds(sys.executable, "-c", libraries) for _ in range(2))
