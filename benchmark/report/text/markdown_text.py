"""Plain text as Markdown shows it literally, on GitHub too; paragraphs, bullets and tables of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from textwrap import fill

WIDTH = 118

_ACTIVE = re.compile(
    r"[\\`*|~$\[\]]"  # code, emphasis, cells, strikethrough, mathematics, links
    r"|(?<![^\W_])_|_(?![^\W_])"  # emphasis by _ begins and ends at a word's edge only
    r"|<(?=[A-Za-z/!?])"  # tags and autolinks
    r"|&(?=#?\w+;)"  # entities
)
_BLOCK = re.compile(r"(?m)^(\s*)(?:([-+=#](?=\s|[-=#]|$)|>)|(\d+)([.)])(?=\s|$))")


def escape(text: str) -> str:
    """One line of text, with a backslash before whatever Markdown would take for its own."""
    return _ACTIVE.sub(r"\\\g<0>", " ".join(text.split()))


def wrapped(text: str) -> str:
    """A paragraph of Markdown, none of whose lines begins a list, a heading or a quotation."""
    return _BLOCK.sub(_literal_start, _fill(text))


def bullet(text: str, level: int = 0) -> str:
    """A list item of Markdown; lines that continue it begin no block of their own."""
    lead = "  " * level
    head, _, rest = _fill(f"{lead}- {text}", f"{lead}  ").partition("\n")
    return "\n".join([head, *([_BLOCK.sub(_literal_start, rest)] if rest else [])])


def grid(headings: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    """A table of cells that are Markdown already, lined up to be read as raw text; `right` flushes a column right."""
    # Half a second, and only a rendered page needs them. The first is what the second writes Markdown with.
    import tabulate
    from pandas import DataFrame

    tabulate.MIN_PADDING = 0  # else every heading is two wider than its longest cell
    frame = DataFrame([list(row) for row in rows], columns=list(headings), dtype=object)
    sides = tuple("right" if flush else "left" for flush in right)
    return frame.to_markdown(index=False, disable_numparse=True, colalign=sides)


def _fill(text: str, indent: str = "") -> str:
    return fill(text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _literal_start(match: re.Match[str]) -> str:
    space, sign, number, end = match.groups()
    return f"{space}\\{sign}" if sign else f"{space}{number}\\{end}"
