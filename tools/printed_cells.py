"""Write tables/printed/: every printed cell and every claim of the papers as two CSV files, from the specs.

    python -m tools.printed_cells

The specs in tables/ are what is edited; these files are for whoever wants the numbers without this program.
"""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path

from benchmark.cli.claims import paper_tables
from benchmark.report.datasets import dataset_title, printed_dataset
from benchmark.runs.atomic import write_atomic
from benchmark.spec.columns import COLUMNS
from benchmark.spec.load import load_table
from benchmark.spec.table import Table

FOLDER = Path(__file__).resolve().parents[1] / "tables" / "printed"
VERSION = "1.0"
"""Of the data: the second number rises with every corrected value, the first with the columns."""
CELLS = ("paper", "table", "row", "label", "column", "title", "unit", "dataset", "printed", "value", "quoted")
CLAIMS = (
    *("id", "paper", "table", "metric", "relation", "lhs", "rhs", "margin", "by", "factor"),
    *("where", "text", "repeats"),
)


def printed_files(tables: list[Table]) -> dict[str, str]:
    """The two files by name, as CSV."""
    return {"cells.csv": _csv(CELLS, _cells(tables)), "claims.csv": _csv(CLAIMS, _claims(tables))}


def _csv(fields: tuple[str, ...], lines: list[dict[str, object]]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fields, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return buffer.getvalue()


def _cells(tables: list[Table]) -> list[dict[str, object]]:
    lines: list[dict[str, object]] = []
    for table in tables:
        for number, row in enumerate(table.rows, 1):
            for key, text in row.printed_text.items():
                column = COLUMNS[key]
                of = column.dataset or (printed_dataset(table, row.label) if column.kind == "measured" else "")
                lines.append(
                    {
                        "paper": table.paper,
                        "table": table.number,
                        "row": number,
                        "label": row.label,
                        "column": key,
                        "title": column.title,
                        "unit": column.unit,
                        "dataset": dataset_title(of) if of else "",
                        "printed": text,
                        "value": row.printed[key],
                        "quoted": int(row.quoted),
                    }
                )
    return lines


def _claims(tables: list[Table]) -> list[dict[str, object]]:
    return [
        {name: getattr(claim, name) for name in CLAIMS if name not in ("paper", "table", "lhs", "rhs")}
        | {"paper": table.paper, "table": table.number, "lhs": "; ".join(claim.lhs), "rhs": "; ".join(claim.rhs)}
        for table in tables
        for claim in table.claims
    ]


def main() -> int:
    """Write what has changed."""
    for name, content in printed_files([load_table(name) for name in paper_tables()]).items():
        path = FOLDER / name
        if not path.exists() or path.read_text(encoding="utf-8") != content:
            path.parent.mkdir(exist_ok=True)
            write_atomic(path, content)
            print(f"{path.name}: {content.count(chr(10)) - 1} lines")
    return 0


if __name__ == "__main__":
    sys.exit(main())
