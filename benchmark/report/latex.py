"""table.tex: a booktabs table to include in a paper; the booktabs package is all that it needs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from benchmark.report.layout import Heading, Layout
from benchmark.spec.table import Table

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"$<$",
    ">": r"$>$",
    "|": r"$|$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "²": r"$^2$",
    "³": r"$^3$",
    "…": r"\ldots{}",
    "–": "--",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "−": "$-$",
    "σ": r"$\sigma$",
    "φ": r"$\phi$",
}


def escape(text: str) -> str:
    """Plain text as LaTeX shows it."""
    return "".join(_SPECIAL.get(character, character) for character in text)


def latex(table: Table, layout: Layout) -> str:
    """A table environment with caption, label, grouped headings and footnotes."""
    headings = layout.headings
    labels = sum(not heading.numeric for heading in headings)
    spec = "l" * labels + "r" * (len(headings) - labels)
    grouped = _groups(headings[labels:])
    upper = [escape(h.group) for h in headings[:labels]]
    rules, at = [], labels + 1
    for group, parts in grouped:
        upper.append(rf"\multicolumn{{{len(parts)}}}{{c}}{{{escape(group)}}}" if len(parts) > 1 else escape(group))
        if len(parts) > 1:
            rules.append(rf"\cmidrule(lr){{{at}-{at + len(parts) - 1}}}")
        at += len(parts)
    lower = [""] * labels + [escape(h.part) for h in headings[labels:]]
    body = []
    for line in layout.lines:
        mark = rf"\textsuperscript{{{','.join(map(str, line.notes))}}}" if line.notes else ""
        body.append([escape(line.entries[0]) + mark, *(escape(entry) for entry in line.entries[1:])])
    lines = [
        "% needs \\usepackage{booktabs}",
        r"\begin{table}[t]",
        r"\centering",
        rf"\caption{{{escape(layout.title)} {escape(layout.caption)}}}",
        rf"\label{{tab:{table.id}}}",
        r"\small",
        r"\setlength{\tabcolsep}{4pt}",
        rf"\begin{{tabular}}{{{spec}}}",
        r"\toprule",
        _row(upper),
        *(["".join(rules)] if rules else []),
        _row(lower),
        r"\midrule",
        *(_row(entries) for entries in body),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    if layout.notes:
        notes = r"\\ ".join(rf"\textsuperscript{{{i}}}{escape(note)}" for i, note in enumerate(layout.notes, 1))
        lines += ["", r"\smallskip", rf"\parbox{{\linewidth}}{{\footnotesize {notes}}}"]
    return "\n".join([*lines, r"\end{table}", ""])


def _groups(headings: Sequence[Heading]) -> list[tuple[str, list[Heading]]]:
    return [(name, list(parts)) for name, parts in groupby(headings, key=lambda heading: heading.group)]


def _row(entries: Sequence[str]) -> str:
    return " & ".join(entries) + r" \\"
