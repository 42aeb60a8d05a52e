"""The cost audit of a table for a terminal: plain text as wide as that, readings by number below each column."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmark.cli.text import grid, paragraph
from benchmark.cost.audit import AuditRow
from benchmark.cost.conventions import CONVENTIONS
from benchmark.report.text.audit import INTRODUCTION, counted_digits, digits, heading, left_out, name_of, not_audited
from benchmark.spec.columns import COLUMNS, Column
from benchmark.spec.table import Table


def audit_plain(table: Table, rows: Sequence[AuditRow], width: int) -> str:
    """Counts and verdicts, readings, what the counters leave out, and conventions; no line wider than `width`."""
    blocks = [f"Cost audit of {table.id}", paragraph(INTRODUCTION, width)]
    for key in dict.fromkeys(key for row in rows for key in row.cells):
        blocks += [paragraph(f"{heading(COLUMNS[key])}:", width), *_column(COLUMNS[key], rows, width)]
    if rows:
        blocks += [
            paragraph("By torch's counter, what fvcore counts beyond it, and what fvcore leaves out:", width),
            "\n".join(paragraph(f"{name_of(row)}: {_by_torch(row)}", width, "  ") for row in rows),
        ]
    used = dict.fromkeys(cell.convention for row in rows for cell in row.cells.values())
    if used:
        lines = [paragraph(f"{name}: {CONVENTIONS[name].description}", width, "  ") for name in used]
        blocks += ["Conventions:", "\n".join(lines)]
    if missing := not_audited(table, rows):
        blocks.append(paragraph(missing, width))
    return "\n\n".join(blocks) + "\n"


def _column(column: Column, rows: Sequence[AuditRow], width: int) -> Iterator[str]:
    """One cost column, a line a row, and the readings that it names by number."""
    readings: dict[tuple[str, str], int] = {}
    lines, further = [], []
    for row in rows:
        cell = row.cells[column.key]
        verdict = cell.verdict
        entries, more = [name_of(row), "", counted_digits(row, column), "", "", ""], ""
        if verdict:
            number = readings.setdefault((cell.reading, cell.why), len(readings) + 1)
            entries[1], entries[3:5] = verdict.printed, [f"({number})", digits(verdict.count, column, verdict.printed)]
            entries[5] = verdict.how or "no"
            more = "" if verdict.how else verdict.text()
        lines.append(entries)
        further.append(more)
    counter = "counted" if column.quantity == "params" else "fvcore"
    if readings:
        heads = ["row", "printed", counter, "read", "by it", "reproduced"]
        yield grid(heads, lines, right=(1, 2, 3, 4), width=width, further=further)
        words = [f"({number}) {reading}{f': {why}' if why else ''}" for (reading, why), number in readings.items()]
        yield "\n".join(paragraph(text, width, "    ") for text in words)
    else:
        yield grid(["row", counter], [[line[0], line[2]] for line in lines], right=(1,), width=width)


def _by_torch(row: AuditRow) -> str:
    return f"{row.torch_gmacs:.3f} G ({-row.torch_difference:+.2%}); {left_out(row)}"
