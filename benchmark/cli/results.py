"""`records render`, which is `make results`: every table that has records, the noise table and the page of claims.

From the records alone, whatever runs and data sets are here; in a process for every core.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from benchmark.cli.claims import claims_files, paper_tables
from benchmark.cli.noise import find_repeats
from benchmark.cli.rendering import Written, architecture_folder, render_tables, results_folder
from benchmark.cost.layer_check import read_checks
from benchmark.data.parallel import by_batches, usable_cores
from benchmark.report.architecture import render_architecture
from benchmark.report.claims import all_claims
from benchmark.report.recorded_tables import TableEntry, table_entries
from benchmark.report.sources import Sources
from benchmark.report.statistics.noise import noise_csv, pool, read_noise
from benchmark.report.writing import replace_together, results_root
from benchmark.runs.records.files import DamagedRecordError, records_root
from benchmark.spec.architecture import load_architecture
from benchmark.spec.files import architecture_paths, table_paths
from benchmark.spec.load import load_table

FROM_RECORDS = Sources(runs=False)


def main(arguments: argparse.Namespace) -> int:
    """`records render`: 1 where a record is damaged, or a folder holds what records do not give."""
    began = time.perf_counter()
    entries = table_entries(records_root())
    named = [line for protocol in dict.fromkeys(entry.protocol for entry in entries) for line in _noise(protocol)]
    drawn, damaged = _architectures()
    done = Written(damaged=damaged)
    for _, part in by_batches(_render, entries, 1, None):
        done.files |= part.files
        done.damaged += part.damaged
        done.kept += part.kept
    claims = all_claims.gather_claims([load_table(name) for name in paper_tables()], results_root())
    replace_together(results_root(), claims_files(claims))
    names = [name for name in (*table_paths(), *drawn) if name in {*done.files, *drawn}]
    print(f"From records: {', '.join([*names, *named, 'claims.csv', 'claims.md'])}", file=sys.stderr)
    folders = [results_folder(entry.load()) for entry in entries]
    left = [
        name
        for name, path in (table_paths() | architecture_paths()).items()
        if (folder := architecture_folder(path.parent.name, path.stem)) not in folders
        and name not in drawn
        and (folder / "table.md").exists()
    ]
    if left:
        print(f"Left as they are, for want of records: {', '.join(left)}", file=sys.stderr)
    seconds = time.perf_counter() - began
    print(f"{len(entries) + len(drawn)} tables in {seconds:.1f} s on {usable_cores()} cores", file=sys.stderr)
    return 1 if done.damaged or done.kept else 0


def _render(entries: Sequence[TableEntry]) -> Written:
    return render_tables([entry.load() for entry in entries], show=False, sources=FROM_RECORDS)


def _architectures() -> tuple[list[str], list[str]]:
    """The architecture tables that are rendered from records, and those whose record is damaged."""
    drawn, damaged = [], []
    for name in architecture_paths():
        table = load_architecture(name)
        try:
            checks = read_checks(records_root(), table)
        except DamagedRecordError as error:
            print(f"{name}: {error}", file=sys.stderr)
            damaged.append(name)
            continue
        if checks is not None:
            render_architecture(table, checks, architecture_folder(table.paper, table.number))
            drawn.append(name)
    return drawn, damaged


def _noise(protocol: str) -> list[str]:
    """Make a protocol's noise table again, where records have all runs that the one that is there was made of."""
    held = read_noise(protocol).entries
    if not held:
        return []
    entries = pool(find_repeats(protocol, FROM_RECORDS))
    runs = {(entry.family, entry.metric): entry.runs for entry in entries}
    if any(runs.get(place, 0) < noise.runs for place, noise in held.items()):
        print(f"noise/{protocol}.csv is left as it is: not all runs behind it have records", file=sys.stderr)
        return []
    replace_together(results_root() / "noise", {f"{protocol}.csv": noise_csv(entries)})
    return [f"noise/{protocol}.csv"]
