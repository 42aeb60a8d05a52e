"""How every figure looks, and what all keep to: literal text, nothing cut off, the same bytes for the same input.

Imports without matplotlib.
"""

from __future__ import annotations

import io
import re
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's colours, told apart with any colour vision."""
BLUE, VERMILLION = PALETTE[:2]
GREY = "#595959"
DPI = 300
FONT = "DejaVu Sans"
FALLBACKS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Source Han Sans SC",
    "WenQuanYi Zen Hei",
    "Droid Sans Fallback",
    "PingFang SC",
    "Microsoft YaHei",
    "Arial Unicode MS",
    "Last Resort High-Efficiency",
)
"""For characters that FONT lacks; the last one comes with matplotlib and shows a frame with the script's emblem."""
PAD = 0.03
"""Inches between what is written and the figure's edge, at least."""

STYLE: Any = {
    "font.family": [FONT],
    "font.size": 7,
    "axes.labelsize": 7,
    "axes.titlesize": 7,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    # A dollar sign is a dollar sign: labels are other people's text, not mathematics.
    "text.parse_math": False,
    # Text stays text, so that a figure can be searched and edited; the salt makes element ids reproducible.
    "svg.fonttype": "none",
    "svg.hashsalt": "benchmark",
}
"""For `matplotlib.rc_context`, within which a figure is made and saved."""

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def drawable(text: str) -> str:
    """The text without what no SVG can hold: control characters, and bytes of a file's name that are no UTF-8."""
    return _NOT_XML.sub("�", text).replace("\t", " ").replace("\r", " ")


def families(text: str) -> list[str]:
    """FONT, and for characters that it lacks those of FALLBACKS that are installed."""
    return [FONT] if text.isascii() or all(_has(character) for character in text) else [FONT, *_installed()]


def finish(figure: Figure) -> Figure:
    """Draw what is written with fonts that have it, and enlarge the figure to hold what would be cut off at its edges.

    Axes keep their size and their distances from each other in inches.
    """
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        shown = drawable(text.get_text())
        if shown != text.get_text():
            text.set_text(shown)
        if not shown.isascii() and len(families(shown)) > 1:
            text.set_fontfamily(families(shown))
    canvas: Any = figure.canvas
    needed = figure.get_tightbbox(canvas.get_renderer())
    width, height = figure.get_size_inches()
    left, bottom = (max(PAD - edge, 0.0) for edge in (needed.x0, needed.y0))
    right, top = (max(edge + PAD - size, 0.0) for edge, size in ((needed.x1, width), (needed.y1, height)))
    if not any((left, bottom, right, top)):
        return figure
    wide, high = width + left + right, height + bottom + top
    for ax in figure.axes:
        x, y, w, h = ax.get_position(original=True).bounds
        ax.set_position(((x * width + left) / wide, (y * height + bottom) / high, w * width / wide, h * height / high))
    for text in figure.texts:
        x, y = text.get_position()
        text.set_position(((float(x) * width + left) / wide, (float(y) * height + bottom) / high))
    figure.set_size_inches(wide, high)
    return figure


def saved(figure: Figure, kind: str) -> bytes:
    """The figure as `svg` or `png`, without dates."""
    import matplotlib as mpl

    metadata = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format=kind, metadata=metadata, dpi=DPI)
    return buffer.getvalue()


@cache
def _has(character: str) -> bool:
    from matplotlib.font_manager import findfont, get_font

    return character == "\n" or bool(get_font(findfont(FONT)).get_char_index(ord(character)))


@cache
def _installed() -> tuple[str, ...]:
    from matplotlib.font_manager import fontManager

    known = {font.name for font in fontManager.ttflist}
    return tuple(name for name in FALLBACKS if name in known)
