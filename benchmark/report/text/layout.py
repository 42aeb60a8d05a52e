"""What a rendered table shows, before it is Markdown or LaTeX: headings, body, caption and footnotes as plain text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmark.config.datasets import DATASETS
from benchmark.report.cell import Cell, find_cell
from benchmark.report.cells import display, shown_columns
from benchmark.report.columns.kinds import KINDS
from benchmark.report.costs import CountedCost, InterpretedCost
from benchmark.report.datasets import dataset_title, measured_dataset
from benchmark.report.labels import flat, pretty
from benchmark.report.text.marks import Marks, best_and_second
from benchmark.spec.columns import COLUMNS, Column
from benchmark.spec.table import Row, Table

UNLIKE = "Printed and measured values are of different data sets and must not be compared as equal."


@dataclass(frozen=True)
class Heading:
    """A column of the rendered table: a group such as 'Top-1 (%)', and within it 'printed' or 'measured'."""

    group: str
    part: str = ""
    numeric: bool = True


@dataclass(frozen=True)
class Line:
    """One row: its entries under the headings, the numbers of its footnotes, its entries' marks (marks.py)."""

    entries: tuple[str, ...]
    notes: tuple[int, ...] = ()
    marks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layout:
    """A table ready to be typeset, as plain text.

    Attributes:
        notes: The numbered footnotes; `remarks` stand below them without a number.
        warning: What a reader must know before comparing printed and measured values; "" where nothing.
        interpretations: Of the printed costs.
    """

    title: str
    caption: str
    headings: tuple[Heading, ...]
    lines: tuple[Line, ...]
    notes: tuple[str, ...]
    remarks: tuple[str, ...]
    warning: str = ""
    interpretations: tuple[InterpretedCost, ...] = ()

    @property
    def marked(self) -> bool:
        """Whether any entry is marked as best."""
        return any(mark for line in self.lines for mark in line.marks)


def lay_out(table: Table, cells: Sequence[Cell], costs: Mapping[str, CountedCost]) -> Layout:
    """Printed beside ours for every column that the paper prints; a config column is one, since it holds no result."""
    columns = shown_columns(table)
    lines, notes = _body(table, columns, cells)
    remarks = [r for name, kind in KINDS.items() for r in kind.remarks(table, *_of_kind(name, columns, cells))]
    return Layout(
        title=f"{table.id}: {pretty(table.caption)}",
        caption=_caption(table, columns, cells),
        headings=_headings(table, columns, cells),
        lines=lines,
        notes=notes,
        remarks=(*remarks, *([pretty(table.note)] if table.note else [])),
        warning=UNLIKE if _unlike(table, columns) else "",
        interpretations=tuple(
            cost for row in table.rows if row.label in costs for cost in costs[row.label].interpretations.values()
        ),
    )


def _headings(table: Table, columns: Sequence[Column], cells: Sequence[Cell]) -> tuple[Heading, ...]:
    titles = table.label_header.split(" | ")
    titles += [""] * (_label_columns(table) - len(titles))
    headings = [Heading(pretty(title), numeric=False) for title in titles]
    for column in columns:
        ours = KINDS[column.kind].heading(column, cells)
        headings += [Heading(_title(column), ours if part == column.kind else part) for part in _parts(table, column)]
    return tuple(headings)


def _label_columns(table: Table) -> int:
    """Columns that the longest label, or the title above the labels, is split into."""
    return max(len(label.split(" | ")) for label in (table.label_header, *(row.label for row in table.rows)))


def _body(table: Table, columns: Sequence[Column], cells: Sequence[Cell]) -> tuple[tuple[Line, ...], tuple[str, ...]]:
    """The rows, and the footnotes in the order in which rows first refer to them."""
    marks, same = best_and_second(table, cells), _same_runs(table, cells)
    width = _label_columns(table)
    notes: list[str] = []
    lines = []
    for row in table.rows:
        labels = [pretty(part) for part in row.label.split(" | ")]
        entries = [(text, "") for text in labels + [""] * (width - len(labels))]
        for column in columns:
            entries += _entries(table, row, column, cells, marks)
        of_row = [*_row_notes(table, row, columns, cells), *same.get(row.label, ())]
        notes += [note for note in dict.fromkeys(of_row) if note not in notes]
        numbers = sorted(notes.index(note) + 1 for note in of_row)
        texts, of_entries = zip(*entries, strict=True)
        lines.append(Line(texts, tuple(numbers), of_entries))
    return tuple(lines), tuple(notes)


def _unlike(table: Table, columns: Sequence[Column]) -> bool:
    """Whether any column has printed and measured values of different data sets."""
    both = [column for column in columns if KINDS[column.kind].is_result and len(_parts(table, column)) > 1]
    return bool(both) and measured_dataset(table) != table.dataset


def _over_splits(dataset: str, splits: int) -> str:
    """The data set's title, or of how many of its official splits values are the mean."""
    if splits < 2 or not DATASETS[dataset].official_split:
        return dataset_title(dataset)
    return f"{DATASETS[dataset].short.partition(' split ')[0]}, mean over its {splits} official splits"


def _title(column: Column) -> str:
    return column.title if column.unit in column.title else f"{column.title} ({column.unit})"


def _parts(table: Table, column: Column) -> list[str]:
    """A column's parts: printed, where any row prints it, and ours, by the name of its kind, where rows have it."""
    kind = KINDS[column.kind]
    if kind.one_entry:
        return [""]
    printed = ["printed"] if any(column.key in row.printed for row in table.rows) else []
    ours = kind.is_shown(table, column) and not all(row.quoted for row in table.rows)
    return printed + ([column.kind] if ours else [])


def _entries(table: Table, row: Row, column: Column, cells: Sequence[Cell], marks: Marks) -> list[tuple[str, str]]:
    """The column's entries of a row with their marks: one for each of its parts."""
    printed = find_cell(cells, row.label, column.key, ours=False)
    ours = find_cell(cells, row.label, column.key, ours=True)
    shown = [
        (display(cell) if cell else "–", marks.get((row.label, column.key, of_us), ""))
        for cell, of_us in ((printed, False), (ours, True))
    ]
    if KINDS[column.kind].one_entry:
        return [shown[0] if printed and printed.value is not None else shown[1]]
    by_part = dict(zip(("printed", column.kind), shown, strict=True))
    return [by_part[part] for part in _parts(table, column)]


def _row_notes(table: Table, row: Row, columns: Sequence[Column], cells: Sequence[Cell]) -> list[str]:
    notes = [pretty(row.note)] if row.note else []
    if row.quoted:
        notes.append("Quoted from another paper; not measured here.")
    if row.average:
        members = " and ".join(flat(label) for label in row.average)
        notes.append(f"Average of the predictions of {members}, seed by seed.")
    own: dict[str, None] = {}
    for column in columns:
        printed, ours = (find_cell(cells, row.label, column.key, ours=of_us) for of_us in (False, True))
        if note := KINDS[column.kind].note(column, printed, ours):
            notes.append(note)
        if ours and ours.note:
            own[ours.note.rstrip(".")] = None
    return notes + [f"{note[0].upper()}{note[1:]}." for note in own]


def _same_runs(table: Table, cells: Sequence[Cell]) -> dict[str, list[str]]:
    """A footnote for every row whose numbers are of the very runs of another row."""
    theirs = {row.label for row in table.rows if row.theirs}
    rows_of: dict[tuple[str, ...], dict[str, None]] = {}
    for cell in cells:
        if cell.runs and cell.row not in theirs:
            rows_of.setdefault(cell.runs, {})[cell.row] = None
    notes: dict[str, list[str]] = {}
    for runs, rows in rows_of.items():
        names = [flat(label) for label in rows]
        which = "the same run" if len(runs) == 1 else "the same runs"
        words = f"{'; '.join(names[:-1])} and {names[-1]} are {which}: they differ in nothing that is measured here."
        for label in rows if len(rows) > 1 else ():
            notes.setdefault(label, []).append(words)
    return notes


def _caption(table: Table, columns: Sequence[Column], cells: Sequence[Cell]) -> str:
    seeds = f"{len(table.seeds)} seed{'s' if len(table.seeds) > 1 else ''}"
    others = any(COLUMNS[key].dataset for key in table.columns)
    sentences = [
        f"Printed: {_over_splits(table.dataset, table.splits)}{' unless a heading says otherwise' if others else ''}.",
        f"Measured: {_over_splits(measured_dataset(table), table.splits)}, protocol {table.protocol}, {seeds}.",
    ]
    if table.asked:
        sentences.append(f"Every measured row has {', '.join(table.asked)}, whatever the table and its files say.")
    for name, kind in KINDS.items():
        sentences += kind.caption(table, *_of_kind(name, columns, cells))
    return " ".join(sentences)


def _of_kind(name: str, columns: Sequence[Column], cells: Sequence[Cell]) -> tuple[list[Column], list[Cell]]:
    """The columns of a kind, and their cells."""
    return (
        [column for column in columns if column.kind == name],
        [cell for cell in cells if COLUMNS[cell.column].kind == name],
    )
