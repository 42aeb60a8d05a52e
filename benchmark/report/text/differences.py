"""The differences from the baseline row as table.md shows them."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.report.labels import flat
from benchmark.report.statistics.compare import Contrast
from benchmark.report.text.layout import Heading
from benchmark.report.text.markdown_text import escape, grid, wrapped
from benchmark.spec.columns import COLUMNS


def contrasts_text(contrasts: Sequence[Contrast]) -> list[str]:
    """The differences from the baseline row as a Markdown table, and why some of them have no interval."""
    column = COLUMNS[contrasts[0].column]
    digits = column.decimals
    with_interval = any(c.low is not None for c in contrasts)
    headings = [Heading("Row", numeric=False), Heading(column.title), Heading("Seeds")]
    headings += [Heading("95% interval"), Heading("p")] if with_interval else []
    lines = []
    for c in contrasts:
        seeds = str(c.runs[0]) if c.runs[0] == c.runs[1] else f"{c.runs[0]} and {c.runs[1]}"
        entries = [flat(c.lhs), f"{c.difference:+.{digits}f}", seeds]
        if with_interval:
            known = c.low is not None and c.high is not None
            entries += [f"[{c.low:+.{digits}f}, {c.high:+.{digits}f}]" if known else "–", p_text(c.p_dunnett)]
        lines.append(entries)
    titles = [escape(heading.group) for heading in headings]
    table = grid(titles, [[escape(entry) for entry in line] for line in lines], [h.numeric for h in headings])
    open_ones = dict.fromkeys(c.why_open for c in contrasts if c.why_open)
    return [table, *(wrapped(escape(f"No interval: {reason}.")) for reason in open_ones)]


def p_text(value: float | None) -> str:
    """A p-value with three digits, or two from 0.1 up; a dash for none."""
    return "–" if value is None else "<0.001" if value < 0.001 else f"{value:.3f}" if value < 0.0995 else f"{value:.2f}"
