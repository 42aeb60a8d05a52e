"""table.md: the table, its differences from the baseline row and its claims, aligned to read well as raw text.

A quantity is one column, its cells read `printed / measured`. Where the headings make that wider than a page of text,
they leave to a line above the table what its cells hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from benchmark.report.labels import flat
from benchmark.report.statistics.compare import Contrast
from benchmark.report.statistics.judgement import Judgement
from benchmark.report.statistics.noise import NOTHING_KNOWN, NoiseTable
from benchmark.report.text.differences import contrasts_text
from benchmark.report.text.layout import Heading, Layout, Line
from benchmark.report.text.markdown_text import bullet, escape, grid, wrapped
from benchmark.report.text.marks import BEST, SECOND
from benchmark.report.text.verdicts import method_text, verdict_text
from benchmark.spec.table import Table

WIDEST = 120
COSTS_PAGE = "docs/costs.md"
_EMPHASIS = {BEST: "**{}**", SECOND: "_{}_"}
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_MARKED = "Bold: best, italic: second best; marks say nothing about significance."


def markdown(
    table: Table,
    layout: Layout,
    contrasts: Sequence[Contrast],
    judgements: Sequence[Judgement],
    costs_page: str = "",
    noise: NoiseTable = NOTHING_KNOWN,
    lab: str = "",
) -> str:
    """The whole file, ending in one newline.

    Args:
        table: What is rendered.
        layout: The same, laid out.
        contrasts: Of one column.
        judgements: Of the table's claims.
        costs_page: The link from the file's folder to docs/costs.md, which is named without one where it is "".
        noise: How much training varies, by family of networks.
        lab: By whose runs the claims are judged, if not by ours.
    """
    blocks = [f"# {escape(layout.title)}"]
    if layout.warning:
        blocks.append(f"**{escape(layout.warning)}**")
    legend, shown = _paired(layout)
    caption = [layout.caption, legend, _MARKED if layout.marked else ""]
    blocks += [wrapped(escape(" ".join(sentence for sentence in caption if sentence))), shown]
    if layout.notes:
        blocks.append("\n".join(bullet(f"{_raised((i,))} {escape(note)}") for i, note in enumerate(layout.notes, 1)))
    blocks += [wrapped(escape(remark)) for remark in layout.remarks]
    if layout.interpretations:
        blocks.append(wrapped(_reproduced(layout, costs_page)))
    if contrasts:
        title = f"## Differences from the baseline row, {escape(flat(table.baseline))}"
        blocks += [title, *contrasts_text(contrasts)]
    if judgements:
        blocks += ["## Claims", "\n".join(verdict_text(judgement, table, lab) for judgement in judgements)]
    if contrasts or judgements:
        blocks.append(wrapped(escape(method_text(judgements, noise))))
    return "\n\n".join(blocks) + "\n"


def aligned(headings: Sequence[Heading], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table of plain text whose columns line up in a terminal; numeric ones are flush right."""
    titles = [escape(f"{heading.group} {heading.part}") for heading in headings]
    return grid(titles, [[escape(entry) for entry in line] for line in lines], [h.numeric for h in headings])


def _paired(layout: Layout) -> tuple[str, str]:
    """The table with one column per quantity, and the sentence that its headings may need."""
    groups = [list(several) for _, several in groupby(enumerate(layout.headings), key=_quantity)]
    parts = [" / ".join(heading.part for _, heading in group if heading.part) for group in groups]
    titles = [group[0][1].group for group in groups]
    rows = [
        [_entry(line, [i for i, _ in group], raised=not g) for g, group in enumerate(groups)] for line in layout.lines
    ]
    right = [group[0][1].numeric for group in groups]
    whole = [f"{title} {part}".strip() for title, part in zip(titles, parts, strict=True)]
    shown = grid([escape(title) for title in whole], rows, right)
    if len(shown.partition("\n")[0]) <= WIDEST:
        return "", shown
    short = [title.removesuffix(" (%)") if part else title for title, part in zip(titles, parts, strict=True)]
    named: dict[str, list[str]] = {}
    for title, part in zip(short, parts, strict=True):
        if part:
            named.setdefault(part, []).append(title)
    legend = "; ".join(f"{part}: {', '.join(several)}" for part, several in named.items())
    return f"{legend[:1].upper()}{legend[1:]}.", grid([escape(title) for title in short], rows, right)


def _quantity(indexed: tuple[int, Heading]) -> tuple[str, int]:
    """What headings of one quantity have in common; one without parts stands for itself."""
    i, heading = indexed
    return heading.group, -1 if heading.part else i


def _entry(line: Line, columns: Sequence[int], raised: bool) -> str:
    """A cell of the Markdown table: `printed / ours`, or one value where neither is there or only one can be."""
    marks = line.marks or ("",) * len(line.entries)
    texts = [_EMPHASIS.get(marks[i], "{}").format(escape(line.entries[i])) for i in columns]
    text = texts[0] if len(set(texts)) == 1 and texts[0] == "–" else " / ".join(texts)
    return f"{text} {_raised(line.notes)}".strip() if raised else text


def _reproduced(layout: Layout, costs_page: str) -> str:
    """How many printed costs their interpretation reproduces, and where more is said."""
    costs = layout.interpretations
    count = sum(cost.verdict.startswith("reproduced") for cost in costs)
    example = next((cost.name.partition(" ")[0] for cost in costs if cost.name.startswith("thop")), None)
    convention = example or costs[0].name.partition(" ")[0]
    page = f"[{COSTS_PAGE}]({costs_page})" if costs_page else COSTS_PAGE
    return (
        f"Printed costs: {count} of {len(costs)} reproduced by a named reading; [audit.md](audit.md) has"
        f" them, {page} says what a convention such as {escape(convention)} counts."
    )


def _raised(numbers: Sequence[int]) -> str:
    return "˒".join(str(n).translate(_SUPERSCRIPTS) for n in numbers)
