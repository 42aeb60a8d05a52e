"""`evaluate`: published or other weights on the validation clips of a data set, by the views of a row; no training."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from benchmark.cli.progress import steps
from benchmark.cli.running import prepare_data
from benchmark.cli.text import grid, say, terminal_width
from benchmark.config.datasets import DATASETS
from benchmark.config.run import RunConfig
from benchmark.config.source import Problem, SpecError, did_you_mean
from benchmark.data.errors import DataError
from benchmark.released.registry import ClassOrder, Format, config_of, find_released, released
from benchmark.released.stored import StoredEvaluation, stored_evaluations
from benchmark.report.datasets import dataset_title
from benchmark.report.labels import flat
from benchmark.spec.load import load_table
from benchmark.spec.table import Row, Table

if TYPE_CHECKING:
    from benchmark.released.evaluation import Weights


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `evaluate`."""
    parser.add_argument(
        "table", nargs="?", help="table id or YAML file, with --row; default: the network of the weights"
    )
    parser.add_argument("--row", metavar="LABEL", help="of the table: its network, clips and views")
    add_weights(parser)
    parser.add_argument("--all-released", action="store_true", help="what is published, what of it is here, and do it")
    add_how(parser, "paper")
    parser.add_argument("--device", help="cpu, cuda, ... (default: a GPU if there is one)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_how(parser: argparse.ArgumentParser, protocol: str) -> None:
    """By what protocol, on what data and with what settings a row is meant."""
    parser.add_argument("--protocol", default=protocol, help=f"of the row (default: {protocol})")
    parser.add_argument("--dataset", metavar="NAME", help="as for `run`")
    parser.add_argument("--set", dest="asked", action="append", default=[], metavar="KEY=VALUE", help="as for `run`")


def add_weights(parser: argparse.ArgumentParser) -> None:
    """How a file of weights is named and read."""
    parser.add_argument("--weights", metavar="NAME or FILE", help="published ones by name (`evaluate --all-released`)")
    parser.add_argument(
        "--format", choices=get_args(Format), help="of a file: whose names it has; default: the one that fits"
    )
    order = parser.add_mutually_exclusive_group()
    order.add_argument(
        "--class-order",
        choices=get_args(ClassOrder),
        help="of its outputs: sorted names, or the labels (default: these for what was trained here, else names)",
    )
    order.add_argument("--classes", type=Path, metavar="FILE", help="the class of each output, one a line")


def main(arguments: argparse.Namespace) -> int:
    """Evaluate and print; 1 where something that is here could not be evaluated."""
    if arguments.all_released:
        return _all_released(arguments)
    if not arguments.weights or bool(arguments.table) != bool(arguments.row):
        say("give --weights NAME or FILE, alone or with a table and its --row; or --all-released")
        return 2
    config, where = config_asked(arguments)
    weights = weights_asked(arguments)
    return _tell([_evaluate(config, weights, where, arguments)], arguments)


def weights_asked(arguments: argparse.Namespace) -> Weights:
    """The file that the options name. Raises DataError: it is not there."""
    from benchmark.models.weights import PretrainedWeightsError
    from benchmark.released.evaluation import weights_of

    try:
        return weights_of(arguments.weights, arguments.format, arguments.classes or arguments.class_order)
    except PretrainedWeightsError as error:
        raise DataError(str(error)) from None


def config_asked(arguments: argparse.Namespace) -> tuple[RunConfig, str]:
    """Network, clips and views: of a table's row, or of the published weights; and what to call them."""
    if not arguments.table:
        if Path(arguments.weights).suffix:
            raise DataError(f"{arguments.weights} does not say its network: name a table and a --row with the same one")
        if arguments.dataset or arguments.asked:
            raise DataError("--dataset and --set are of a table's row")
        return config_of(arguments.weights), ""
    table = load_table(arguments.table, arguments.protocol, None, arguments.dataset, tuple(arguments.asked))
    row = row_of(table, arguments.row)
    assert row.config is not None
    return row.config, f"{table.id}, {flat(row.label)}"


def row_of(table: Table, label: str) -> Row:
    """The measured row of a label, with its parts apart by | or commas. Raises SpecError: there is none."""
    rows = {flat(row.label): row for row in table.rows if row.config is not None}
    found = next((row for row in rows.values() if row.label == label), rows.get(label))
    if found is None:
        text = f"{table.id} has no measured row '{label}'.{did_you_mean(label, list(rows))}"
        raise SpecError([Problem(table.id, 0, text)])
    return found


def _evaluate(config: RunConfig, weights: Weights, where: str, arguments: argparse.Namespace) -> dict[str, Any]:
    import torch

    from benchmark.launch.job import TOLD, best_device, workers_asked
    from benchmark.released.evaluation import evaluate_released

    prepare_data([config])
    try:
        with steps(f"evaluate {weights.name}") as progress:
            device = torch.device(arguments.device or best_device())
            done = evaluate_released(config, weights, device, workers_asked(), progress)
    except TOLD as error:
        raise DataError(str(error)) from None
    return {
        "weights": weights.name,
        "row": where,
        "dataset": config.data.dataset,
        "clips": int((done.run.result or {}).get("num_clips", 0)),
        "views": [config.eval.clips, config.eval.crops],
        "metrics": done.metrics,
        "published": dict(released()[weights.name].published) if weights.name in released() and not where else {},
        "format": done.loaded.format,
        "unused": list(done.loaded.unused),
        "folder": str(done.run.path),
        "doubt": done.doubt,
    }


def _tell(found: list[dict[str, Any]], arguments: argparse.Namespace) -> int:
    if arguments.json:
        print(json.dumps(found, indent=1))
    for one in found:
        if one["doubt"]:
            print(f"{one['weights']}: {one['doubt']}.", file=sys.stderr)
        if arguments.json:
            continue
        clips, crops = one["views"]
        title = f"{one['weights']} in {one['row']}" if one["row"] else one["weights"]
        print(f"{title}, read as '{one['format']}'")
        print(f"{dataset_title(one['dataset'])}, {one['clips']:,} clips, {clips} x {crops} views each")
        for name, value in one["metrics"].items():
            published = f"   published {one['published'][name]}" if name in one["published"] else ""
            print(f"  {name:<16}{value:6.2f}{published}")
        print(f"Kept in {one['folder']}/" + ("; `render` shows it beside its row." if one["row"] else "."))
    return 1 if any(one["doubt"] for one in found) else 0


def _all_released(arguments: argparse.Namespace) -> int:
    """Every published file: evaluated before, evaluated now, or what it lacks."""
    from benchmark.models.weights import weights_path

    lines, done, failed = [], [], 0
    for name, entry in released().items():
        config = config_of(name)
        stored: StoredEvaluation | None = next((e for e in stored_evaluations(config) if e.name == name), None)
        path, state = weights_path(entry.file), ""
        value = ""
        if stored is None and path.is_file():
            arguments.weights, arguments.table = name, None
            try:
                one = _evaluate(config, weights_asked(arguments), "", arguments)
                done.append(one)
                state, value = "evaluated now", f"{one['metrics']['top1']:.2f}"
                state += ", in doubt" if one["doubt"] else ""
            except DataError as error:
                state, failed = str(error).splitlines()[0], failed + 1
        elif stored is not None:
            state, value = "evaluated before", f"{stored.metrics['top1']:.2f}"
        else:
            state = "not here"
        published = entry.published.get("top1")
        lines.append([name, DATASETS[config.data.dataset].title, f"{published:.1f}" if published else "", value, state])
    if arguments.json:
        keys = ("weights", "dataset", "published", "here", "state")
        print(json.dumps([dict(zip(keys, line, strict=True)) for line in lines], indent=1))
    else:
        title = ["weights", "data set", "published", "here", "state"]
        entries = {line[0]: find_released(line[0]) for line in lines if line[4] == "not here"}
        origins = [f"{e.file}, {e.origin}" if (e := entries.get(line[0])) else "" for line in lines]
        print(grid(title, lines, right=(2, 3), width=terminal_width(), further=origins))
        if entries:
            print(f"Those that are not here are looked for in {weights_path('').absolute()}/ (BENCHMARK_WEIGHTS).")
    return 1 if failed or any(one["doubt"] for one in done) else 0
