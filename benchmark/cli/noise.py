"""`noise`: how much training varies between seeds, from all runs that there are; `make noise` is `noise --write`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from benchmark.cli.text import grid
from benchmark.report.sources import Sources
from benchmark.report.statistics.noise import FIELDS, Noise, Repeats, noise_csv, pool, read_noise
from benchmark.report.writing import replace_together, results_root
from benchmark.runs.directory import runs_root
from benchmark.runs.key import run_key
from benchmark.runs.records.files import records_root
from benchmark.spec.files import table_paths
from benchmark.spec.load import load_table
from benchmark.spec.protocol import load_protocol

if TYPE_CHECKING:
    from benchmark.spec.table import Table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `noise`."""
    parser.add_argument("--protocol", default="embedded", help="whose runs (default: embedded)")
    parser.add_argument("--write", action="store_true", help="make results/noise/PROTOCOL.csv anew from the runs here")


def main(arguments: argparse.Namespace) -> int:
    """`noise`: print the table as it is on the disk or, with --write, as the runs give it now."""
    load_protocol(arguments.protocol)  # one that does not exist is named
    if not arguments.write:
        entries = list(read_noise(arguments.protocol).entries.values())
        if not entries and not arguments.json:
            print(
                f"No noise is known of {arguments.protocol}: `noise --protocol {arguments.protocol} --write` makes it"
            )
    else:
        entries = pool(find_repeats(arguments.protocol, Sources(records=False)))
        if not entries:
            print("No row has two finished seeds here (BENCHMARK_RUNS): nothing is written.", file=sys.stderr)
            return 1
        folder = results_root() / "noise"
        replace_together(folder, {f"{arguments.protocol}.csv": noise_csv(entries)})
        print(f"Written to {folder}/{arguments.protocol}.csv", file=sys.stderr)
    if arguments.json:
        print(json.dumps([vars(entry) for entry in entries], indent=1))
    elif entries:
        print(grid([*FIELDS[:-1], "tables"], [_line(entry) for entry in entries], right=range(2, 9)))
    return 0


def find_repeats(protocol: str, sources: Sources) -> Iterator[Repeats]:
    """Every distinct row of all tables of which two seeds or more are finished, whatever seeds these are."""
    seeds = tuple(sorted(set(_seeds_there(sources))))
    if not seeds:
        return
    tables = [load_table(name, protocol, seeds) for name in table_paths()]
    wanted: dict[str, list[str]] = {}
    for table in tables:
        for row in table.rows:
            if row.config is not None:
                wanted.setdefault(run_key(row.config), []).append(table.id)
    known: set[str] = set()
    for table in tables:
        yield from _of_table(table, wanted, known, sources)


def _of_table(table: Table, wanted: dict[str, list[str]], known: set[str], sources: Sources) -> Iterator[Repeats]:
    import numpy as np

    from benchmark.config.datasets import DATASETS
    from benchmark.report.collect import collect
    from benchmark.report.columns.measured import FEWEST_CLASSES
    from benchmark.report.statistics.clip_hits import HIT_METRICS, clip_hits
    from benchmark.runs.metrics import TOP_K

    new = [row for row in table.rows if row.config is not None and run_key(row.config) not in known]
    results = collect(table.model_copy(update={"rows": tuple(new), "elsewhere": ()}), sources=sources)
    for row in new:
        assert row.config is not None
        key = run_key(row.config)
        known.add(key)
        done = [result for result in results[row.label] if result.state == "done" and result.predictions is not None]
        if len(done) < 2:
            continue
        few = DATASETS[row.config.data.dataset].num_classes < FEWEST_CLASSES
        metrics = [m for m in done[0].metrics if not (few and TOP_K.get(m, 1) > 1)]
        predictions = [result.predictions() for result in done if result.predictions is not None]
        hits = {m: np.stack([clip_hits(m, p) for p in predictions]).astype(float) for m in metrics if m in HIT_METRICS}
        yield Repeats(row.family, wanted[key][0], {m: [r.metrics[m] for r in done] for m in metrics}, hits)


def _seeds_there(sources: Sources) -> Iterable[int]:
    of_runs = runs_root().glob("*/config.json") if sources.runs else ()
    of_records = (records_root() / "runs").glob("*.json") if sources.records else ()
    for path in (*of_runs, *of_records):
        try:
            content = json.loads(path.read_bytes())
            seed = content.get("config", content).get("seed", 0)
        except (OSError, ValueError, AttributeError):  # a damaged run is named where its table is rendered
            continue
        if isinstance(seed, int):
            yield seed


def _line(n: Noise) -> list[str]:
    counts, sds = [str(n.rows), str(n.runs)], [f"{n.lowest:.2f}", f"{n.highest:.2f}"]
    return [n.family, n.metric, f"{n.sd:.2f}", str(n.df), f"{n.share:.2f}", *counts, *sds, " ".join(n.tables)]
