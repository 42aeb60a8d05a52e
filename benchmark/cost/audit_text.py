"""The cost audit of a table as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.cost.audit import PLAIN, AuditRow, CostCell
from benchmark.cost.conventions import CONVENTIONS
from benchmark.spec.columns import COLUMNS, Column
from benchmark.spec.table import Table

PER = {
    ("network", "view"): "per clip and view",
    ("network", "video"): "all views of a video",
    ("representation", "view"): "of the representation alone, per clip and view",
    ("representation", "video"): "of the representation alone, all views",
    ("inserts", "view"): "of the inserted modules alone, per clip and view",
}


def audit_markdown(table: Table, rows: Sequence[AuditRow]) -> str:
    """A Markdown section: counts and verdicts, what the counters leave out, the readings and conventions."""
    lines = [
        f"## Cost audit of {table.id}",
        "",
        "At paper scale. GMACs are 1e9 multiply-adds, parameters 1e6. A print is reproduced where the reading's count,"
        " truncated or rounded to the printed digits, is the print.",
    ]
    for key in dict.fromkeys(key for row in rows for key in row.cells):
        lines += ["", *_column(COLUMNS[key], rows)]
    lines += ["", *_left_out(rows)]
    cells = [cell for row in rows for cell in row.cells.values()]
    reasons = dict.fromkeys((cell.reading, cell.why) for cell in cells if cell.why)
    if reasons:
        lines += ["", "Readings:", "", *(f"- {reading}: {why}" for reading, why in reasons)]
    used = dict.fromkeys([PLAIN, *(cell.convention for cell in cells)])
    lines += ["", "Conventions:", "", *(f"- {name}: {CONVENTIONS[name].description}" for name in used)]
    missing = [row.label for row in table.rows if row.label not in {audited.label for audited in rows}]
    if missing:
        lines += ["", f"Quoted, or not counted yet: {'; '.join(missing)}."]
    return "\n".join(lines) + "\n"


def _column(column: Column, rows: Sequence[AuditRow]) -> list[str]:
    """One cost column: a line a row."""
    with_torch = column.key == "gmacs"
    heads = ["row", "printed", "fvcore", *(["torch (difference)"] if with_torch else []), "reading", "count by it"]
    if column.quantity == "params":
        heads[2] = "parameters"
    lines = [
        f"{column.title}, {PER[column.scope, column.per]}:",
        "",
        f"| {' | '.join([*heads, 'verdict'])} |",
        f"|---|--:|--:|{'--:|' if with_torch else ''}---|--:|---|",
    ]
    for row in rows:
        cell: CostCell = row.cells[column.key]
        verdict = cell.verdict
        entries = [row.label, verdict.printed if verdict else "", _digits(cell.count, column)]
        if with_torch:
            entries.append(f"{row.torch_gmacs:.3f} ({-row.torch_difference:+.2%})")
        entries += [cell.reading, _digits(verdict.count, column), verdict.text()] if verdict else ["", "", ""]
        lines.append("| " + " | ".join(entry.replace("|", "\\|") for entry in entries) + " |")
    return lines


def _digits(value: float, column: Column) -> str:
    """Enough digits for any print: three decimals of G, four of M, and more below."""
    decimals = 4 if column.quantity == "params" else 3
    if column.scope == "representation":
        decimals += 2
    return f"{value:.{decimals}f}"


def _left_out(rows: Sequence[AuditRow]) -> list[str]:
    lines = [
        "Operators that fvcore counts and torch does not (GMACs); arithmetic that fvcore leaves out (calls, elements):",
        "",
    ]
    for row in rows:
        difference = ", ".join(f"{name} {gmacs:+.3f}" for name, gmacs in row.difference_by_operator.items())
        uncounted = ", ".join(
            f"{name} {calls}x {elements / 1e6:.1f} M" for name, (calls, elements) in row.uncounted.items()
        )
        unknown = ", ".join(f"{name} {calls}x" for name, calls in row.unclassified.items())
        line = f"- {row.label}: {difference or 'none'}; uncounted: {uncounted or 'none'}"
        lines.append(line + (f"; not classified: {unknown}" if unknown else ""))
    return lines
