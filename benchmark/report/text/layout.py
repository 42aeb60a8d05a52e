"""What a rendered table shows, before it is Markdown or LaTeX: headings, body, caption and footnotes as plain text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmark.config.datasets import DATASETS
from benchmark.cost.latency import Device
from benchmark.report.cells import Cell, CountedCost, ReadCost, find_cell, shown_columns
from benchmark.report.text.marks import Marks, best_and_second
from benchmark.spec.columns import COLUMNS, Column
from benchmark.spec.table import Row, Table

OURS = {"measured": "measured", "counted": "counted", "config": "config", "timed": "timed"}
FEWEST_CLASSES = 20
"""Below them a top-k accuracy with k > 1 says little: five guesses among eight classes are nearly always right."""
UNLIKE = "Printed and measured values are of different data sets and must not be compared as equal."


@dataclass(frozen=True)
class Heading:
    """A column of the rendered table: a group such as 'Top-1 (%)', and within it 'printed' or 'measured'."""

    group: str
    part: str = ""
    numeric: bool = True


@dataclass(frozen=True)
class Line:
    """One row: its entries under the headings, the numbers of its footnotes, its entries' marks (`report.marks`)."""

    entries: tuple[str, ...]
    notes: tuple[int, ...] = ()
    marks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layout:
    """A table ready to be typeset, as plain text.

    Attributes:
        notes: The numbered footnotes; `remarks` stand below them without a number.
        warning: What a reader must know before comparing printed and measured values; "" where nothing.
        readings: What the printed costs are read as.
    """

    title: str
    caption: str
    headings: tuple[Heading, ...]
    lines: tuple[Line, ...]
    notes: tuple[str, ...]
    remarks: tuple[str, ...]
    warning: str = ""
    readings: tuple[ReadCost, ...] = ()

    @property
    def marked(self) -> bool:
        """Whether any entry is marked as best."""
        return any(mark for line in self.lines for mark in line.marks)


def lay_out(table: Table, cells: Sequence[Cell], costs: Mapping[str, CountedCost]) -> Layout:
    """Printed beside ours for every column that the paper prints; a config column is one, since it holds no result."""
    columns = shown_columns(table)
    headings = [Heading(pretty(part), numeric=False) for part in table.label_header.split(" | ")]
    label_columns = max([len(headings), *(len(row.label.split(" | ")) for row in table.rows)])
    headings += [Heading("", numeric=False)] * (label_columns - len(headings))
    for column in columns:
        headings += [Heading(_title(column), _shown(part, cells)) for part in _parts(table, column)]
    marks, same = best_and_second(table, cells), _same_runs(table, cells)
    notes: list[str] = []
    lines = []
    for row in table.rows:
        labels = [pretty(part) for part in row.label.split(" | ")]
        entries = [(text, "") for text in labels + [""] * (label_columns - len(labels))]
        for column in columns:
            entries += _entries(table, row, column, cells, marks)
        numbers = []
        for note in [*_row_notes(table, row, columns, cells), *same.get(row.label, ())]:
            if note not in notes:
                notes.append(note)
            numbers.append(notes.index(note) + 1)
        texts, places = zip(*entries, strict=True)
        lines.append(Line(texts, tuple(sorted(numbers)), places))
    return Layout(
        title=f"{table.id}: {pretty(table.caption)}",
        caption=_caption(table, cells),
        headings=tuple(headings),
        lines=tuple(lines),
        notes=tuple(notes),
        remarks=(*_not_timed(table, cells), *([pretty(table.note)] if table.note else [])),
        warning=UNLIKE if _unlike(table, columns) else "",
        readings=tuple(read for row in table.rows if row.label in costs for read in costs[row.label].readings.values()),
    )


def pretty(text: str) -> str:
    """Labels and notes are typed in ASCII: 224^2 is shown as 224²."""
    return text.replace("^2", "²").replace("^3", "³")


def flat(label: str) -> str:
    """A label of several columns on one line."""
    return pretty(label).replace(" | ", ", ")


def measured_dataset(table: Table) -> str:
    """The data set that this protocol measures the table on."""
    configs = [row.config for row in table.rows if row.config is not None]
    return configs[0].data.dataset if configs else table.dataset


def has_meaning(table: Table, column: Column) -> bool:
    """Whether our value in a column says anything: not so for top-5 on a data set of few classes.

    Columns of other kinds always do, as do printed values.
    """
    guesses = column.metric.removeprefix("top")
    if column.source != "measured" or not guesses.isdecimal() or int(guesses) == 1:
        return True
    name = column.dataset or measured_dataset(table)
    return name not in DATASETS or DATASETS[name].num_classes >= FEWEST_CLASSES


def _unlike(table: Table, columns: Sequence[Column]) -> bool:
    """Whether any column has printed and measured values of different data sets."""
    both = [column for column in columns if column.source == "measured" and len(_parts(table, column)) > 1]
    return bool(both) and measured_dataset(table) != table.dataset


def _over_splits(dataset: str, splits: int) -> str:
    """The data set's title, or of how many of its official splits values are the mean."""
    if splits < 2 or not DATASETS[dataset].official_split:
        return dataset_title(dataset)
    return f"{DATASETS[dataset].short.partition(' split ')[0]}, mean over its {splits} official splits"


def dataset_title(name: str) -> str:
    """The data set's full name, or the given one where it is not known here."""
    return DATASETS[name].title if name in DATASETS else name


def _title(column: Column) -> str:
    return column.title if column.unit in column.title else f"{column.title} ({column.unit})"


def _parts(table: Table, column: Column) -> list[str]:
    """A column's parts: printed, where any row prints it, and ours, where there is any; a config column is one."""
    if column.source == "config":
        return [""]
    printed = ["printed"] if any(column.key in row.printed for row in table.rows) else []
    return printed + ([] if column.dataset or not has_meaning(table, column) else [OURS[column.source]])


def _shown(part: str, cells: Sequence[Cell]) -> str:
    """A part as its heading: a timed one names the device."""
    device = _device(cells)
    return f"timed, {device.short}" if part == OURS["timed"] and device else part


def _device(cells: Sequence[Cell]) -> Device | None:
    """The one device that all timed cells are of; None where nothing is timed."""
    return next((cell.timed.device for cell in cells if cell.timed), None)


def _entries(table: Table, row: Row, column: Column, cells: Sequence[Cell], marks: Marks) -> list[tuple[str, str]]:
    """The column's entries of a row with their marks: one for each of its parts."""
    printed = find_cell(cells, row.label, column.key, ours=False)
    ours = find_cell(cells, row.label, column.key, ours=True)
    shown = [
        (cell.display() if cell else "–", marks.get((row.label, column.key, of_us), ""))
        for cell, of_us in ((printed, False), (ours, True))
    ]
    if column.source != "config":
        by_part = dict(zip(("printed", OURS[column.source]), shown, strict=True))
        return [by_part[part] for part in _parts(table, column)]
    return [shown[0] if printed and printed.value is not None else shown[1]]


def _row_notes(table: Table, row: Row, columns: Sequence[Column], cells: Sequence[Cell]) -> list[str]:
    notes = [pretty(row.note)] if row.note else []
    if row.quoted:
        notes.append("Quoted from another paper; not measured here.")
    if row.average:
        members = " and ".join(flat(label) for label in row.average)
        notes.append(f"Average of the predictions of {members}, seed by seed.")
    for column in columns:
        printed = find_cell(cells, row.label, column.key, ours=False)
        ours = find_cell(cells, row.label, column.key, ours=True)
        differ = printed and ours and None not in (printed.value, ours.value) and printed.value != ours.value
        if column.source == "config" and differ and ours:
            notes.append(f"{column.title} is {ours.display()} in the config measured here.")
    measured = [
        cell for column in columns if (cell := find_cell(cells, row.label, column.key, ours=True)) and cell.note
    ]
    notes += [f"{note[0].upper()}{note[1:]}." for note in dict.fromkeys(cell.note.rstrip(".") for cell in measured)]
    return notes


def _same_runs(table: Table, cells: Sequence[Cell]) -> dict[str, list[str]]:
    """A footnote for every row whose numbers are of the very runs of another row."""
    rows_of: dict[tuple[str, ...], dict[str, None]] = {}
    for cell in cells:
        if cell.kind == "measured" and cell.runs:
            rows_of.setdefault(cell.runs, {})[cell.row] = None
    notes: dict[str, list[str]] = {}
    for runs, rows in rows_of.items():
        names = [flat(label) for label in rows]
        which = "the same run" if len(runs) == 1 else "the same runs"
        words = f"{'; '.join(names[:-1])} and {names[-1]} are {which}: they differ in nothing that is measured here."
        for label in rows if len(rows) > 1 else ():
            notes.setdefault(label, []).append(words)
    return notes


def _not_timed(table: Table, cells: Sequence[Cell]) -> list[str]:
    """The rows that have a network of their own and a timed column without a value."""
    labels = [
        flat(cell.row)
        for row in table.rows
        for key in table.columns
        if COLUMNS[key].source == "timed" and row.paper_config is not None
        if (cell := find_cell(cells, row.label, key, ours=True)) and cell.value is None
    ]
    if not labels:
        return []
    device = _device(cells)
    where = f" on {device.short}" if device else ""
    return [f"Not timed yet{where}: {'; '.join(dict.fromkeys(labels))} (python -m benchmark time {table.id})."]


def _timing(table: Table, cells: Sequence[Cell]) -> list[str]:
    """What was timed and where, for the caption."""
    device = _device(cells)
    if device is None:
        return []
    columns = [COLUMNS[key] for key in table.columns if COLUMNS[key].source == "timed"]
    batches = ", ".join(f"{column.title.lower()} at batch {column.batch}" for column in columns)
    threads = f", {device.threads} thread{'s'[: device.threads > 1]}" if device.threads else ""
    return [
        f"Timed: {batches}, the forward pass alone at paper scale, {device.precision}, on {device.name}{threads};"
        " the median, and in parentheses where the slowest tenth of the passes begins.",
        "Printed times are of other hardware and not to be compared with these.",
    ]


def _caption(table: Table, cells: Sequence[Cell]) -> str:
    seeds = f"{len(table.seeds)} seed{'s' if len(table.seeds) > 1 else ''}"
    others = any(COLUMNS[key].dataset for key in table.columns)
    sentences = [
        f"Printed: {_over_splits(table.dataset, table.splits)}{' unless a heading says otherwise' if others else ''}.",
        f"Measured: {_over_splits(measured_dataset(table), table.splits)}, protocol {table.protocol}, {seeds}.",
    ]
    measured = [cell for cell in cells if cell.kind == "measured"]
    if any(COLUMNS[cell.column].source == "measured" and cell.unit == "%" for cell in cells):
        sentences.append("Accuracies in percent.")
    few = [COLUMNS[key].title for key in table.columns if not has_meaning(table, COLUMNS[key])]
    if few:
        classes = DATASETS[measured_dataset(table)].num_classes
        sentences.append(f"{' and '.join(few)} is not measured on a data set of {classes} classes.")
    if any(cell.sd is not None for cell in measured):
        sentences.append("Entries are mean ± SD (n) over seeds.")
    if any(cell.n < cell.wanted for cell in measured):
        sentences.append("(n/m): n of m seeds are done.")
    if any(cell.kind == "missing" and cell.state == "running" for cell in cells):
        sentences.append("… is running.")
    if any(cell.kind == "counted" for cell in cells):
        sentences.append("GMACs and parameters are counted at paper scale.")
    sentences += _timing(table, cells)
    return " ".join(sentences)
