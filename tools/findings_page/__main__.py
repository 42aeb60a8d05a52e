"""Write docs/findings.md, and what README says of it, from the rendered tables and the records: `make results`."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmark.cli.claims import paper_tables
from benchmark.report.recorded_tables import table_entries
from benchmark.report.writing import results_root
from benchmark.runs.atomic import write_atomic
from benchmark.runs.records.files import records_root
from benchmark.spec.load import load_table
from tools.findings_page.findings import gather
from tools.findings_page.page import findings_page, in_short
from tools.pages import StalePageError, filled_in

ROOT = Path(__file__).resolve().parents[2]
PAGE, README = ROOT / "docs" / "findings.md", ROOT / "README.md"


def main() -> int:
    """Nothing is written where a sentence does not hold any more."""
    tables = [load_table(name) for name in paper_tables()]
    findings = gather(tables, table_entries(records_root()), results_root())
    try:
        page = findings_page(findings)
    except StalePageError as error:
        print(error, file=sys.stderr)
        return 1
    write_atomic(PAGE, page)
    write_atomic(README, filled_in(README.read_text(), {"findings": in_short(findings)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
