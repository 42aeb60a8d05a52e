"""time: fill the timed columns of tables, one network after the other in this process, then render them."""

from __future__ import annotations

import argparse
import sys

from benchmark.cli.rendering import render_tables, results_folder
from benchmark.config.run import RunConfig
from benchmark.cost.cache import cost_digest
from benchmark.cost.latency import Device, Sample, missing_batches, timed_columns, timed_config
from benchmark.cost.timing import describe_device, time_config
from benchmark.report.sources import Sources
from benchmark.report.writing import check_writable
from benchmark.spec.table import Table


def main(arguments: argparse.Namespace) -> int:
    """`time`."""
    tables = [table for table in arguments.loaded if timed_columns(table)]
    if not tables:
        print("Nothing to time: no column of these tables is timed.", file=sys.stderr)
        return 0
    for table in tables:
        check_writable(results_folder(table))
    return time_tables(tables, arguments.device, arguments.again, arguments.force)


def time_tables(
    tables: list[Table],
    device_name: str | None,
    again: bool = False,
    force: bool = False,
    sources: Sources | None = None,
) -> int:
    """Time the networks of the tables that lack it on this device, or all `again`, and render; 1 if one failed."""
    import torch

    device = torch.device(device_name or ("cuda" if torch.cuda.is_available() else "cpu"))
    where = describe_device(device)
    todo = _todo(tables, where, again)
    failed = False
    for position, (name, config, batches) in enumerate(todo, 1):
        # Plain lines between the timings: a bar that is redrawn would take its time from them.
        title = f"Timing {position} of {len(todo)} on {where.short}, {name}"
        try:
            record = time_config(config, batches, device)
        except Exception as error:  # a network of the user's own may raise anything; a GPU runs out of memory
            print(f"cannot time {name}: {type(error).__name__}: {error}", file=sys.stderr)
            failed = True
            continue
        for batch in batches:
            sample = record.sample(batch)
            if sample is not None:
                print(f"{title}: {_in_words(sample)}", file=sys.stderr, flush=True)
    if not todo:
        print(f"Everything is timed on {where.name} already; --again repeats it.", file=sys.stderr)
    return 1 if render_tables(tables, force, sources=sources).damaged or failed else 0


def _todo(tables: list[Table], where: Device, again: bool) -> list[tuple[str, RunConfig, list[int]]]:
    """The distinct networks that lack a timing on this device: the first row with each, its config and batch sizes."""
    wanted: dict[str, tuple[str, RunConfig, set[int]]] = {}
    for table in tables:
        batches = {column.batch for column in timed_columns(table)}
        for row in table.rows:
            config = timed_config(row)
            if config is not None:
                entry = wanted.setdefault(cost_digest(config), (f"{table.id} '{row.label}'", config, set()))
                entry[2].update(batches)
    found = [
        (name, config, sorted(batches) if again else missing_batches(config, where, sorted(batches)))
        for name, config, batches in wanted.values()
    ]
    return [entry for entry in found if entry[2]]


def _in_words(sample: Sample) -> str:
    text = f"batch {sample.batch}, {1e3 * sample.median:.1f} ms (p90 {1e3 * sample.p90:.1f}), {sample.passes} passes"
    if sample.crowded:
        text += f"; other programs took {sample.load:.1f} cores meanwhile: repeat it with --again once they are done"
    return text
