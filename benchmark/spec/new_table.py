"""The file of a new table, commented, from the cells that a paper prints: rows, printed values, drafts of claims.

The cells are a CSV file as one types a table off a page: a column or several for the rows' names, then a column for
each quantity, called as our columns are (`top1`, `gmacs`, `top1@hmdb51`) or as papers call them (`Top-1 (%)`,
`FLOPs`, `#Params`). The long form, a line a cell with the columns label, column and value, is read, too.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.config.datasets import DATASETS
from benchmark.config.source import Problem, SpecError, did_you_mean
from benchmark.spec.columns import COLUMNS, printed_value

NAMED = {
    "top1": ("top1", "acc", "acc1", "accuracy", "top1acc", "top1accuracy", "prec1"),
    "top5": ("top5", "acc5", "top5acc", "top5accuracy", "prec5"),
    "gmacs": ("gmacs", "macs", "flops", "gflops", "flopsg", "macsg"),
    "mparams": ("mparams", "params", "param", "parameters", "paramsm", "mparam"),
    "frames": ("frames", "frame", "numframes"),
    "views": ("views",),
    "segments": ("segments",),
    "latency_ms": ("latency", "latencyms"),
    "throughput": ("throughput", "videoss", "throughputvideoss"),
    "mean_class_acc": ("meanclassacc", "meanclassaccuracy", "meanacc"),
}
"""What papers call our columns, in letters and digits alone."""
NOTHING = frozenset(("", "-", "–", "—", "n/a", "na", "?"))
LONG = ("label", "column", "value")
PLAIN = re.compile(r"[A-Za-z][\w.+()/ -]*")


@dataclass
class Printed:
    """The cells of a printed table: the title of its labels, values by row and column, and what was not understood."""

    header: str
    rows: dict[str, dict[str, str]]
    unclear: list[str] = field(default_factory=list)

    @property
    def columns(self) -> list[str]:
        """Keys in the order in which they first have a value."""
        return list(dict.fromkeys(key for cells in self.rows.values() for key in cells))


def read_printed(path: Path) -> Printed:
    """The cells of a CSV file.

    Raises:
        SpecError: it cannot be read, has no quantity that a table can have, or names two rows alike.
    """
    try:
        lines = [line for line in csv.reader(path.read_text(encoding="utf-8-sig").splitlines()) if any(line)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SpecError([Problem(str(path), 0, f"cannot be read as CSV: {error}")]) from None
    if len(lines) < 2:
        raise SpecError([Problem(str(path), 0, "needs a line of column names, and a line for each row")])
    header = [name.strip() for name in lines[0]]
    for number, line in enumerate(lines[1:], 2):
        if len(line) != len(header):
            text = f"has {len(line)} cells, the first line {len(header)}: put cells with commas in quotation marks"
            raise SpecError([Problem(str(path), number, text)])
    body = [[cell.strip() for cell in line] for line in lines[1:]]
    return _long(path, header, body) if set(LONG) <= set(header) else _wide(path, header, body)


def column_key(name: str) -> str | None:
    """Our column of a name as typed; None where there is none."""
    text, _, dataset = name.partition("@")
    if name in COLUMNS:
        return name
    plain = re.sub(r"[^a-z0-9]", "", text.lower())
    key = next((key for key, names in NAMED.items() if plain in names), None)
    key = f"{key}@{dataset.strip()}" if key and dataset else key
    return key if key in COLUMNS else None


def _wide(path: Path, header: Sequence[str], body: Sequence[Sequence[str]]) -> Printed:
    keys = [column_key(name) for name in header]
    is_number = [all(_is_cell(line[i]) for line in body) for i in range(len(header))]
    first = next((i for i, key in enumerate(keys) if key and is_number[i]), len(header))
    labels = [i for i in range(len(header)) if i < first or (not keys[i] and not is_number[i])]
    values = [i for i, key in enumerate(keys) if key and i not in labels]
    if not labels or not values:
        known = ", ".join(sorted(NAMED))
        text = f"needs a column of the rows' names and one of a quantity: {known}, or any that `list --columns` shows"
        raise SpecError([Problem(str(path), 1, text)])
    found = Printed(" | ".join(header[i] for i in labels), {})
    found.unclear += [
        f"column '{header[i]}' is left out: it is none that tables have"
        for i in range(len(header))
        if i not in labels and i not in values
    ]
    twice = [key for key in {keys[i] for i in values} if sum(keys[i] == key for i in values) > 1]
    if twice:
        text = f"two columns are {twice[0]}: say of which data set one is, as in top1@hmdb51"
        raise SpecError([Problem(str(path), 1, text)])
    for number, line in enumerate(body, 2):
        label = " | ".join(" ".join(line[i].split()) or "-" for i in labels)
        cells = {str(keys[i]): line[i] for i in values}
        _add(found, path, number, label, cells, again=False)
    return found


def _long(path: Path, header: Sequence[str], body: Sequence[Sequence[str]]) -> Printed:
    at = {name: header.index(name) for name in LONG}
    found = Printed("Model", {})
    unknown: dict[str, int] = {}
    for number, line in enumerate(body, 2):
        key = column_key(line[at["column"]])
        if key is None:
            unknown[line[at["column"]]] = unknown.get(line[at["column"]], 0) + 1
            continue
        label = " | ".join(" ".join(part.split()) for part in line[at["label"]].split("|"))
        _add(found, path, number, label, {key: line[at["value"]]}, again=True)
    found.unclear += [f"column '{name}' is left out ({count} cells)" for name, count in unknown.items()]
    if not found.columns:
        raise SpecError([Problem(str(path), 0, "none of its columns is one that a table can have")])
    return found


def _add(found: Printed, path: Path, number: int, label: str, cells: Mapping[str, str], again: bool) -> None:
    if label in found.rows and not again:
        raise SpecError(
            [Problem(str(path), number, f"row '{label}' is there twice: give it a further column of names")]
        )
    row = found.rows.setdefault(label, {})
    for key, text in cells.items():
        value = text.strip().rstrip("%*†‡ ").strip()
        if value.lower() in NOTHING:
            continue
        try:
            printed_value(value, COLUMNS[key])
        except ValueError:
            found.unclear.append(f"line {number}: '{text}' is no value of {key}; left out")
            continue
        row[key] = value


def _is_cell(text: str) -> bool:
    """Whether a text can be a printed number, or the absence of one."""
    return text.lower() in NOTHING or re.fullmatch(r"[-+]?[\d.,]+\s*[KMG%]?[*†‡]?( ?±.*)?", text) is not None


def table_text(paper: str, number: str, dataset: str, printed: Printed | None) -> str:
    """The file. Raises SpecError: the data set is not known."""
    if dataset not in DATASETS:
        raise SpecError(
            [Problem("--printed-on", 0, f"no data set '{dataset}'.{did_you_mean(dataset, list(DATASETS))}")]
        )
    columns = printed.columns if printed else ["top1"]
    lines = [
        f"paper: {_scalar(paper)}",
        f"table: {_quoted(number)}   # the file is called so",
        "caption: What the table is about, in a sentence.   # in your words",
        f"dataset: {_scalar(dataset)}   # of the printed values; other data sets' columns are top1@hmdb51 and the like",
        *([f"label: {_scalar(printed.header)}"] if printed and printed.header != "Model" else []),
        f"columns: [{', '.join(columns)}]   # all there are: python -m benchmark list --columns",
        "# What the rows share, a file of tables/bases/ for each axis. `show TABLE --explain` says what they set.",
        "base: [network/tsm_r50, recipe/bqn, data/something-v1]",
        "# set: {train.lr: 0.01}   # for every row",
        "# A row is measured by its bases and its `set`; a `quoted` one is another paper's number, printed alone.",
        "# Here all are quoted: take that away where you say how a row is made.",
        "rows:",
    ]
    if printed is None:
        lines += [
            "  - {label: plain}",
            "  - {label: on differences, set: {model.representation: rgb_difference}, printed: {top1: 46.6}}",
            '  # - {sweep: {model.segments: [4, 8]}, label: "{segments} segments"}   # a row for each value',
        ]
    else:
        lines += [f"  - {{label: {_scalar(label)}, quoted: true{_cells(row)}}}" for label, row in printed.rows.items()]
    lines += [
        "# What the paper concludes from the table, with the place: >, >=, <, <=, ~ (about the same), best, monotone.",
        "# claims:",
        *_drafts(f"{paper}-{number}", printed),
    ]
    return "".join(f"{line}\n" for line in lines)


def _drafts(table: str, printed: Printed | None) -> Iterator[str]:
    """A claim for each accuracy on the row that is best in it, commented out: whether it is made, the paper says."""
    accuracies = [key for key in (printed.columns if printed else []) if COLUMNS[key].unit == "%"]
    for count, key in enumerate(accuracies, 1):
        assert printed is not None
        values = {label: float(row[key]) for label, row in printed.rows.items() if key in row}
        best = max(values, key=lambda label: values[label])
        if len(values) > 1:
            yield (
                f'#   - {{id: {table}.{count:02d}, lhs: {_scalar(best)}, relation: best, rhs: "*", metric: {key},'
                " where: Section 4, text: it beats all others}"
            )
    if not accuracies:
        rows = 'lhs: on differences, relation: ">", rhs: plain'
        yield f"#   - {{id: {table}.01, {rows}, metric: top1, text: differences help}}"


def _cells(row: Mapping[str, str]) -> str:
    """As in ', printed: {top1: 46.5, gmacs: 33}'."""
    cells = ", ".join(f"{key}: {value}" for key, value in row.items())
    return f", printed: {{{cells}}}" if cells else ""


def _scalar(text: str) -> str:
    """A text as YAML, in quotation marks where it could be anything else."""
    return text if PLAIN.fullmatch(text) and text.lower() not in ("true", "false", "null") else _quoted(text)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
