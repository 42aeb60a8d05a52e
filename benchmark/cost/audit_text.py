"""The cost audit of a table as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from benchmark.cost.audit import PLAIN, AuditRow, Verdict
from benchmark.cost.conventions import CONVENTIONS
from benchmark.spec.table import Table


def audit_markdown(table: Table, rows: Sequence[AuditRow]) -> str:
    """A Markdown section: counts and verdicts, what the counters leave out, the readings and conventions."""
    lines = [
        f"## Cost audit of {table.id}",
        "",
        "Per clip and view, at paper scale. GMACs are 1e9 multiply-adds, parameters 1e6. A print is reproduced where"
        " the reading's count, truncated or rounded to the printed digits, is the print.",
        "",
        "| row | printed | fvcore | torch (difference) | reading | count by the reading | verdict |",
        "|---|--:|--:|--:|---|--:|---|",
    ]
    for row in rows:
        cells = (
            row.label,
            row.gmacs_verdict.printed if row.gmacs_verdict else "",
            f"{row.gmacs:.3f}",
            f"{row.torch_gmacs:.3f} ({-row.torch_difference:+.2%})",
            row.reading,
            f"{row.reading_gmacs:.3f}",
            row.gmacs_verdict.text() if row.gmacs_verdict else "",
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    lines += ["", *_parameters(rows), "", *_left_out(rows)]
    reasons = dict.fromkeys((row.reading, row.why) for row in rows if row.why)
    if reasons:
        lines += ["", "Readings:", "", *(f"- {reading}: {why}" for reading, why in reasons)]
    used = dict.fromkeys([PLAIN, *(row.convention for row in rows)])
    lines += ["", "Conventions:", "", *(f"- {name}: {CONVENTIONS[name].description}" for name in used)]
    missing = [row.label for row in table.rows if row.label not in {audited.label for audited in rows}]
    if missing:
        lines += ["", f"Quoted, or not counted yet: {'; '.join(missing)}."]
    return "\n".join(lines) + "\n"


def _parameters(rows: Sequence[AuditRow]) -> list[str]:
    lines = ["| row | printed params | params | count by the reading | verdict |", "|---|--:|--:|--:|---|"]
    for row in rows:
        verdict: Verdict | None = row.mparams_verdict
        cells = (
            row.label.replace("|", "\\|"),
            verdict.printed if verdict else "",
            f"{row.mparams:.4f}",
            f"{row.reading_mparams:.4f}",
            verdict.text() if verdict else "",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return lines


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
