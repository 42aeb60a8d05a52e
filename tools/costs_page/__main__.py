"""Write docs/costs.md, the page on what the papers' printed costs count, over all tables: `make docs`."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmark.cli.running import count
from benchmark.runs.atomic import write_atomic
from benchmark.spec.files import table_paths
from benchmark.spec.load import load_table
from tools.costs_page.costs import Costs
from tools.costs_page.page import costs_page
from tools.pages import StalePageError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "costs.md"


def main() -> int:
    """Count what is not counted yet, then write the page; none that would say what is not so."""
    tables = [load_table(name) for name in table_paths()]
    if not count(tables):
        return 1
    try:
        page = costs_page(Costs(tables))
    except StalePageError as error:
        print(error, file=sys.stderr)
        return 1
    write_atomic(PAGE, page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
