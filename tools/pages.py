"""Pages of docs/ that are written from data: Jinja templates whose sentences are checked as they are filled in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import fill
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

WIDTH = 118

TITLES = {
    "bqn": "Busy-Quiet Video Disentangling for Video Classification",
    "cmr": "Learning Comprehensive Motion Representation for Action Recognition",
    "da": "Dynamic Appearance: A Video Representation for Action Recognition with Joint Training",
    "msnet": "MotionSqueeze: Neural Motion Feature Learning for Video Understanding",
    "thesis": "Spatio-Temporal Modeling for Action Recognition in Videos",
}
"""Of the papers, by key."""

Check = Callable[[str, bool], None]
"""Takes a statement of the page, and whether it holds."""


class StalePageError(Exception):
    """The page says what its data do not say, or no longer."""


def checked_page(template: Template, names: Callable[[Check], Mapping[str, Any]], page: str, data: str) -> str:
    """The template filled in, as Markdown that ends in one newline.

    Args:
        template: of the page; its statements stand in calls of `check`.
        names: what the template can name, given `check`.
        page: its path, for the error.
        data: what it is made of, for the error; a plural.

    Raises:
        StalePageError: statements that the data do not bear out, all of them, one a line.
    """
    stale: list[str] = []

    def check(statement: str, holds: bool) -> None:
        if not holds:
            stale.append(f"{page} says that {statement}; {data} no longer say so")

    text = template.render(names(check))
    if stale:
        raise StalePageError("\n".join(stale))
    return filled(text)


def read_template(path: Path) -> Template:
    """The template as it is on disk; a name in it that there is not raises an error."""
    environment = Environment(
        loader=FileSystemLoader(path.parent),
        undefined=StrictUndefined,
        extensions=["jinja2.ext.do"],
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: in_a_sentence(value) if isinstance(value, float) else value,
        autoescape=False,  # Markdown, no HTML
    )
    environment.filters["format_as"] = format
    return environment.get_template(path.name)


def filled_in(page: str, blocks: Mapping[str, str]) -> str:
    """A Markdown page with what stands between `<!-- NAME -->` and `<!-- end of NAME -->` replaced, by name."""
    for name, block in blocks.items():
        start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        before, _, rest = page.partition(start)
        _, found, after = rest.partition(end)
        if not found:
            raise ValueError(f"the page has no place for {name}: {start} and {end}")
        page = f"{before}{start}\n{block}\n{end}{after}"
    return page


def in_a_sentence(number: float) -> str:
    """Two decimals; one from a hundred, none from a thousand."""
    return f"{number:.{0 if number >= 1e3 else 1 if number >= 100 else 2}f}"


def filled(markdown: str) -> str:
    """The same Markdown with paragraphs and bullets filled to lines of WIDTH characters, and single blank lines."""
    return "\n\n".join(map(_filled_block, re.split(r"\n\s*\n", markdown.strip()))) + "\n"


def _filled_block(block: str) -> str:
    if block.startswith(("#", "|", "```", "<!--")):
        return block
    return "\n".join(_filled_part(part) for part in re.split(r"\n(?=\s*- )", block))


def _filled_part(part: str) -> str:
    lead = " " * (len(part) - len(part.lstrip())) if part.lstrip().startswith("- ") else ""
    indent = f"{lead}  " if part.lstrip().startswith("- ") else ""
    return fill(
        " ".join(part.split()),
        WIDTH,
        initial_indent=lead,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
