"""table.tex: a booktabs table to include in a paper, no wider than the line. Its first line names the packages."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from textwrap import wrap

from benchmark.report.text.latex_fit import LINE, Fit, fit
from benchmark.report.text.latex_text import escape, prose, substitutes
from benchmark.report.text.layout import Heading, Layout, Line
from benchmark.report.text.marks import BEST, SECOND
from benchmark.spec.table import Table

PAGE = 500.0
"""Points of a page's height that are there for the rows, the caption and the footnotes."""
PACKAGES = ("amssymb", "array", "booktabs", "graphicx")
_MARKED = "Bold: best, underlined: second best; marks say nothing about significance."
_SHORT = "Paper: as printed; ours: measured, counted or timed."
_EMPHASIS = {BEST: r"\textbf{%s}", SECOND: r"\underline{%s}"}


@dataclass(frozen=True)
class _Group:
    """Neighbouring columns under one title: its lines, and the columns' places."""

    title: tuple[str, ...]
    places: tuple[int, ...]


def latex(table: Table, layout: Layout) -> str:
    """A table environment with caption, label, grouped headings and footnotes, in ASCII."""
    title = layout.title if layout.title.endswith((".", "?", "!")) else f"{layout.title}."
    caption = [title, layout.warning, layout.caption, _MARKED if layout.marked else ""]
    fitted, groups = _fitted(layout, caption)
    if fitted.width > LINE and any(heading.part for heading in layout.headings):
        layout = replace(layout, headings=tuple(replace(h, part=_short(h.part)) for h in layout.headings))
        caption.append(_SHORT)
        fitted, groups = _fitted(layout, caption)
    lines = [
        rf"% Needs \usepackage{{{','.join(PACKAGES)}}}.",
        *_substituted(layout),
        r"\begin{table}[t]",
        r"\centering\sloppy",
        rf"\caption{{{prose(' '.join(sentence for sentence in caption if sentence))}}}",
        rf"\label{{tab:{re.sub('[^A-Za-z0-9.:-]', '-', table.id)}}}",
        rf"\{fitted.size}",
        rf"\setlength{{\tabcolsep}}{{{fitted.spacing:g}pt}}",
        # As it is where it fits, which the document's own line decides.
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{_preamble(layout.headings, fitted)}}}",
        r"\toprule",
        *_head(layout.headings, groups, fitted),
        r"\midrule",
        *(_row(_body(line)) for line in layout.lines),
        r"\bottomrule",
        r"\end{tabular}}",
    ]
    if layout.notes:
        size = "footnotesize" if fitted.size == "small" else "scriptsize"
        notes = "\\\\\n".join(rf"\textsuperscript{{{i}}}{prose(note)}" for i, note in enumerate(layout.notes, 1))
        lines += ["", r"\smallskip", rf"\parbox{{\linewidth}}{{\raggedright\{size}", f"{notes}}}"]
    return "\n".join([*lines, r"\end{table}", ""])


def _fitted(layout: Layout, caption: Sequence[str]) -> tuple[Fit, list[_Group]]:
    groups = list(_groups(layout))
    around = 12 * (2 + sum(map(len, caption)) // 70) + 9 * sum(1 + len(note) // 90 for note in layout.notes)
    text = [not heading.numeric for heading in layout.headings]
    return fit(_columns(layout, groups), text, PAGE - around), groups


def _short(part: str) -> str:
    return {"printed": "paper", "": ""}.get(part, "ours")


def _groups(layout: Layout) -> Iterator[_Group]:
    """The columns by title, which takes as many lines as keep it from being wider than what is below."""
    indexed = enumerate(layout.headings)
    for (title, _), several in groupby(indexed, key=lambda at: (at[1].group, -1 if at[1].part else at[0])):
        places = tuple(i for i, _ in several)
        below = sum(max(len(entry) for entry in _column(layout, i)) for i in places) + 2 * (len(places) - 1)
        longest = max((len(word) for word in title.split()), default=1)
        yield _Group(tuple(wrap(title, max(below, longest), break_on_hyphens=False)) or ("",), places)


def _column(layout: Layout, place: int) -> list[str]:
    """A column's texts, without its title but with what stands directly above the numbers."""
    marks = [f"{line.entries[place]}{','.join(map(str, line.notes)) if place == 0 else ''}" for line in layout.lines]
    return [layout.headings[place].part, *marks]


def _columns(layout: Layout, groups: Sequence[_Group]) -> list[list[str]]:
    """Every column's texts, with its title's lines where that is its own."""
    titles = {group.places[0]: group.title for group in groups if len(group.places) == 1}
    return [[*titles.get(i, ()), *_column(layout, i)] for i in range(len(layout.headings))]


def _preamble(headings: Sequence[Heading], fitted: Fit) -> str:
    return "".join(
        "r" if heading.numeric else "l" if wide is None else rf">{{\raggedright\arraybackslash}}p{{{wide:g}pt}}"
        for heading, wide in zip(headings, fitted.wraps, strict=True)
    )


def _head(headings: Sequence[Heading], groups: Sequence[_Group], fitted: Fit) -> list[str]:
    upper, rules = [], []
    for group in groups:
        first, count = group.places[0], len(group.places)
        title = [escape(line) for line in group.title]
        side = "c" if count > 1 else "r" if headings[first].numeric else "l"
        stacked = r"\\".join(map(_row_start, title))
        text = stacked if len(title) == 1 else rf"\shortstack[{side}]{{{stacked}}}"
        if fitted.wraps[first] is not None:
            text = escape(" ".join(group.title))
        upper.append(rf"\multicolumn{{{count}}}{{c}}{{{text}}}" if count > 1 else text)
        if count > 1:
            rules.append(rf"\cmidrule(lr){{{first + 1}-{first + count}}}")
    lines = [_row(upper), *(["".join(rules)] if rules else [])]
    if any(heading.part for heading in headings):
        lines.append(_row([escape(heading.part) for heading in headings]))
    return lines


def _body(line: Line) -> list[str]:
    marks = line.marks or ("",) * len(line.entries)
    entries = [
        _EMPHASIS[mark] % escape(entry) if mark else escape(entry)
        for entry, mark in zip(line.entries, marks, strict=True)
    ]
    if line.notes:
        entries[0] += rf"\textsuperscript{{{','.join(map(str, line.notes))}}}"
    return entries


def _row(entries: Sequence[str]) -> str:
    return _row_start(" & ".join(entries)) + r" \\"


def _row_start(text: str) -> str:
    """What follows a row's end and begins so would be that end's option."""
    return f"{{}}{text}" if text.startswith(("[", "*", "(")) else text


def _substituted(layout: Layout) -> list[str]:
    """A comment for every character that is not shown as itself."""
    texts = [layout.title, layout.warning, layout.caption, *layout.notes]
    texts += [part for heading in layout.headings for part in (heading.group, heading.part)]
    texts += [entry for line in layout.lines for entry in line.entries]
    return [
        f"% U+{ord(character):04X} ({unicodedata.name(character, 'unnamed')}) is shown as {shown}:"
        " pdflatex has no glyph for it."
        for character, shown in substitutes(" ".join(texts)).items()
    ]
