"""What a rendered table shows, before it is Markdown or LaTeX: headings, body, caption and footnotes as plain text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmark.cost.latency import Device
from benchmark.report.cells import Cell, CountedCost, find_cell, shown_columns
from benchmark.spec.columns import COLUMNS, Column, multiple_of
from benchmark.spec.datasets import DATASETS
from benchmark.spec.table import Row, Table

OURS = {"measured": "measured", "counted": "counted", "config": "config", "timed": "timed"}


@dataclass(frozen=True)
class Heading:
    """A column of the rendered table: a group such as 'Top-1 (%)', and within it 'printed' or 'measured'."""

    group: str
    part: str = ""
    numeric: bool = True


@dataclass(frozen=True)
class Line:
    """One row: its entries under the headings, and the numbers of its footnotes."""

    entries: tuple[str, ...]
    notes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Layout:
    """A table ready to be typeset. `notes` are the numbered footnotes; `remarks` stand below them without a number."""

    title: str
    caption: str
    headings: tuple[Heading, ...]
    lines: tuple[Line, ...]
    notes: tuple[str, ...]
    remarks: tuple[str, ...]


def lay_out(table: Table, cells: Sequence[Cell], costs: Mapping[str, CountedCost]) -> Layout:
    """Printed beside ours for every column that the paper prints; a config column is one, since it holds no result."""
    columns = shown_columns(table)
    headings = [Heading(pretty(part), numeric=False) for part in table.label_header.split(" | ")]
    label_columns = max([len(headings), *(len(row.label.split(" | ")) for row in table.rows)])
    headings += [Heading("", numeric=False)] * (label_columns - len(headings))
    for column in columns:
        headings += [Heading(_title(column), _shown(part, cells)) for part in _parts(table, column)]
    notes: list[str] = []
    lines = []
    for row in table.rows:
        labels = [pretty(part) for part in row.label.split(" | ")]
        entries = labels + [""] * (label_columns - len(labels))
        for column in columns:
            entries += _entries(table, row, column, cells)
        numbers = []
        for note in _row_notes(table, row, columns, cells):
            if note not in notes:
                notes.append(note)
            numbers.append(notes.index(note) + 1)
        lines.append(Line(tuple(entries), tuple(numbers)))
    remarks = [*_readings(table, costs), *_not_timed(table, cells), *([pretty(table.note)] if table.note else [])]
    title = f"{table.id}: {pretty(table.caption)}"
    return Layout(title, _caption(table, cells), tuple(headings), tuple(lines), tuple(notes), tuple(remarks))


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
    return printed + ([] if column.dataset else [OURS[column.source]])


def _shown(part: str, cells: Sequence[Cell]) -> str:
    """A part as its heading: a timed one names the device."""
    device = _device(cells)
    return f"timed, {device.short}" if part == OURS["timed"] and device else part


def _device(cells: Sequence[Cell]) -> Device | None:
    """The one device that all timed cells are of; None where nothing is timed."""
    return next((cell.timed.device for cell in cells if cell.timed), None)


def _entries(table: Table, row: Row, column: Column, cells: Sequence[Cell]) -> list[str]:
    printed = find_cell(cells, row.label, column.key, ours=False)
    ours = find_cell(cells, row.label, column.key, ours=True)
    shown = [cell.display() if cell else "–" for cell in (printed, ours)]
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


def _readings(table: Table, costs: Mapping[str, CountedCost]) -> list[str]:
    """One sentence per convention and verdict on how the printed GMACs come about."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for row in table.rows:
        for key, read in (costs[row.label].readings if row.label in costs else {}).items():
            multiple = multiple_of(row.printed_text.get(key, ""))
            shown = Cell(row.label, key, "counted", read.value, unit=COLUMNS[key].unit, multiple=multiple).display()
            groups.setdefault((COLUMNS[key].title, read.name, read.verdict), []).append(f"{shown} ({flat(row.label)})")
    return [
        f"Printed {title} read as {pretty(name)}: {', '.join(values)}: {pretty(verdict)}."
        for (title, name, verdict), values in groups.items()
    ]


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
    if any(COLUMNS[cell.column].source == "measured" for cell in cells):
        sentences.append("Accuracies in percent.")
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
