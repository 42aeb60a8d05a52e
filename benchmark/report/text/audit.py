"""The cost audit of a table as Markdown: audit.md. `cli.audit` has it for terminals."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from benchmark.cost.audit import PLAIN, AuditRow
from benchmark.cost.conventions import CONVENTIONS
from benchmark.report.text.markdown_text import bullet, escape, grid, wrapped
from benchmark.spec.columns import COLUMNS, Column, multiple_of, shown_value
from benchmark.spec.table import Table

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "costs.md"
INTRODUCTION = (
    "At paper scale. GMACs are 1e9 multiply-adds, parameters 1e6. A print is reproduced where the reading's count,"
    " truncated or rounded to the printed digits, is the print."
)
PER = {
    ("network", "view"): "per clip and view",
    ("network", "video"): "all views of a video",
    ("representation", "view"): "of the representation alone, per clip and view",
    ("representation", "video"): "of the representation alone, all views",
    ("inserts", "view"): "of the inserted modules alone, per clip and view",
}


def link_to_costs(folder: Path) -> str:
    """The relative link from a results folder to docs/costs.md; "" where the folder is outside the repository."""
    folder = folder.resolve()
    return Path(os.path.relpath(PAGE, folder)).as_posix() if folder.is_relative_to(ROOT) else ""


def audit_markdown(table: Table, rows: Sequence[AuditRow], costs_page: str = "") -> str:
    """A Markdown page: counts and verdicts, what the counters leave out, the readings and conventions.

    Args:
        table: The audited table.
        rows: Its audit.
        costs_page: The link to docs/costs.md, which says what each convention counts; "" for none.
    """
    blocks = [f"# Cost audit of {escape(table.id)}", wrapped(INTRODUCTION)]
    for key in dict.fromkeys(key for row in rows for key in row.cells):
        blocks += [f"{heading(COLUMNS[key])}:", _column(COLUMNS[key], rows, costs_page)]
    blocks += [
        wrapped("Operators that fvcore counts and torch does not (GMACs); arithmetic that fvcore leaves out:"),
        "\n".join(bullet(escape(f"{name_of(row)}: {left_out(row)}")) for row in rows) or "- none",
    ]
    cells = [cell for row in rows for cell in row.cells.values()]
    reasons = dict.fromkeys((cell.convention, cell.reading, cell.why) for cell in cells if cell.why)
    if reasons:
        lines = [bullet(f"{_linked(name, reading, costs_page)}: {escape(why)}") for name, reading, why in reasons]
        blocks += ["Readings:", "\n".join(lines)]
    used = dict.fromkeys([PLAIN, *(cell.convention for cell in cells)])
    lines = [bullet(f"{_linked(name, name, costs_page)}: {escape(CONVENTIONS[name].description)}") for name in used]
    blocks += ["Conventions:", "\n".join(lines)]
    if missing := not_audited(table, rows):
        blocks.append(wrapped(escape(missing)))
    return "\n\n".join(blocks) + "\n"


def heading(column: Column) -> str:
    """What a cost column counts."""
    return f"{column.title}, {PER[column.scope, column.per]}"


def name_of(row: AuditRow) -> str:
    """A label of several columns on one line."""
    return row.label.replace(" | ", ", ")


def digits(value: float, column: Column, printed: str = "") -> str:
    """Enough digits for any print: three decimals of G, four of M, more below; few parameters in K, to the last one.

    A count beside a print that has a multiple of its own is in that one.
    """
    params = column.quantity == "params"
    multiple = multiple_of(printed) or ("K" if params and 0 < abs(value) < 0.01 else "")
    if multiple == "K" or value == 0:
        return shown_value(value, column, 3 if value else 0, multiple)
    decimals = (4 if params else 3) + (2 if column.scope == "representation" else 0)
    return shown_value(value, column, decimals, multiple, least=2)


def counted_digits(row: AuditRow, column: Column) -> str:
    """The plain count of a column; of MACs that are not all counted, that there are as many at least."""
    least = ">= " if row.unclassified and column.quantity == "macs" else ""
    return least + digits(row.cells[column.key].count, column)


def left_out(row: AuditRow) -> str:
    """Where the two counters differ, what fvcore counts as nothing, and why the count is in doubt, if it is."""
    difference = ", ".join(f"{name} {gmacs:+.3f}" for name, gmacs in row.difference_by_operator.items())
    uncounted = ", ".join(
        f"{name} {calls}x {elements / 1e6:.1f} M" for name, (calls, elements) in row.uncounted.items()
    )
    line = f"{difference or 'none'}; uncounted (calls, elements): {uncounted or 'none'}"
    return line + (f"; {row.doubt.removesuffix(' (audit.md)')}" if row.doubt else "")


def not_audited(table: Table, rows: Sequence[AuditRow]) -> str:
    """The rows that have no audit; "" where all have one."""
    audited = {row.label for row in rows}
    missing = [row.label.replace(" | ", ", ") for row in table.rows if row.label not in audited]
    return f"Quoted, or not counted yet: {'; '.join(missing)}." if missing else ""


def _column(column: Column, rows: Sequence[AuditRow], costs_page: str) -> str:
    """One cost column: a line a row."""
    with_torch = column.key == "gmacs"
    heads = ["row", "printed", "fvcore", *(["torch (difference)"] if with_torch else []), "reading", "count by it"]
    if column.quantity == "params":
        heads[2] = "parameters"
    lines = []
    for row in rows:
        cell = row.cells[column.key]
        verdict = cell.verdict
        entries = [escape(name_of(row)), verdict.printed if verdict else "", counted_digits(row, column)]
        if with_torch:
            entries.append(f"{row.torch_gmacs:.3f} ({-row.torch_difference:+.2%})")
        if verdict:
            entries.append(_linked(cell.convention, cell.reading, costs_page))
            entries += [digits(verdict.count, column, verdict.printed), escape(verdict.text())]
        else:
            entries += ["", "", ""]
        lines.append(entries)
    heads.append("verdict")
    return grid(heads, lines, [head not in ("row", "reading", "verdict") for head in heads])


def _linked(convention: str, text: str, costs_page: str) -> str:
    """A reading, its convention linked to what the page on costs says of it."""
    settings = escape(text.removeprefix(convention))
    name = escape(convention)
    linked = f"[{name}]({costs_page}#{convention})" if costs_page else name
    return f"{linked} {settings}".strip()
