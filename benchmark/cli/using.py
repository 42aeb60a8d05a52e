"""`predict` and `export`: what a trained network says of videos, and the network as a file."""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
from pathlib import Path

from benchmark.cli.evaluating import add_how, add_weights, config_asked, row_of, weights_asked
from benchmark.cli.text import say, whole_number
from benchmark.data.errors import DataError
from benchmark.plan import row_runs
from benchmark.report.labels import flat
from benchmark.runs.directory import RunDir
from benchmark.runs.key import run_key
from benchmark.spec.load import load_table


def add_predict(parser: argparse.ArgumentParser) -> None:
    """The options of `predict`."""
    parser.add_argument("videos", nargs="+", type=Path, metavar="VIDEO", help="files, or folders of frames")
    parser.add_argument("--run", metavar="KEY", help="a run, by its key or its folder, or an export")
    add_weights(parser)
    parser.add_argument("--table", help="of --weights that are a file: the table and the row whose network they are")
    parser.add_argument("--row", metavar="LABEL")
    add_how(parser, "paper")
    parser.add_argument(
        "--top", type=whole_number(1), default=5, metavar="K", help="classes that are named (default: 5)"
    )
    parser.add_argument(
        "--strip", type=Path, metavar="FOLDER", help="write a picture of the frames that were seen there"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--csv", action="store_true", help="print CSV")


def add_export(parser: argparse.ArgumentParser) -> None:
    """The options of `export`."""
    parser.add_argument("table", help="table id or YAML file")
    parser.add_argument("--row", required=True, metavar="LABEL")
    parser.add_argument("--seed", type=whole_number(0), default=0, metavar="S", help="default: 0")
    add_how(parser, "embedded")
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: TABLE-ROW-SEED.safetensors")
    parser.add_argument("--onnx", action="store_true", help="the same as an .onnx file beside it")


def predict(arguments: argparse.Namespace) -> int:
    """Print what the network says of each video; 1 where one cannot be read."""
    if bool(arguments.run) == bool(arguments.weights):
        say("name a network: --run KEY, or --weights NAME or FILE")
        return 2
    from benchmark.models.weights import PretrainedWeightsError
    from benchmark.use.loaded import load, of_weights, strip

    try:
        if arguments.run:
            network = load(arguments.run)
        else:
            weights = weights_asked(arguments)
            network = of_weights(config_asked(arguments)[0], weights)
    except PretrainedWeightsError as error:
        raise DataError(str(error)) from None
    found, failed = [], 0
    for video in arguments.videos:
        try:
            guess = network.guess(video)
        except DataError as error:
            print(str(error), file=sys.stderr)
            failed += 1
            continue
        picture = None
        if arguments.strip:
            from PIL import Image

            arguments.strip.mkdir(parents=True, exist_ok=True)
            picture = arguments.strip / f"{video.stem}.png"
            Image.fromarray(strip(guess.seen)).save(picture)
        best = list(zip(guess.classes, guess.probabilities, strict=True))[: arguments.top]
        found.append((video, guess.frames, best, picture))
    if arguments.json:
        entries = [
            {
                "video": str(video),
                "frames": frames,
                "classes": [{"name": name, "probability": p} for name, p in best],
                **({"strip": str(picture)} if picture else {}),
            }
            for video, frames, best, picture in found
        ]
        print(json.dumps({"network": network.origin, "videos": entries}, indent=1, ensure_ascii=False))
    elif arguments.csv:
        rows = csv.writer(sys.stdout, lineterminator="\n")
        rows.writerow(("video", "rank", "class", "probability"))
        rows.writerows((v, i, name, f"{p:.6f}") for v, _, best, _ in found for i, (name, p) in enumerate(best, 1))
    else:
        for video, frames, best, picture in found:
            print(f"{video} ({frames} frames), by {network.origin}" + (f", seen: {picture}" if picture else ""))
            for name, p in best:
                print(f"  {100 * p:5.1f} %  {name}")
    return 1 if failed else 0


def export(arguments: argparse.Namespace) -> int:
    """Write the network of a row and seed."""
    from benchmark.models.weights import PretrainedWeightsError
    from benchmark.use.export import ExportError, export_onnx, export_run

    table = load_table(arguments.table, arguments.protocol, None, arguments.dataset, tuple(arguments.asked))
    row = row_of(table, arguments.row)
    configs = [config for _, config in row_runs(row, (arguments.seed,))]
    if len(configs) > 1:
        raise DataError(f"{flat(row.label)} is a mean over official splits: --dataset names one of them")
    run = RunDir.of(run_key(configs[0]))
    if run.result is None:
        again = f"python -m benchmark run {table.id} --protocol {table.protocol} --seeds {arguments.seed},"
        raise DataError(f"{flat(row.label)}, seed {arguments.seed}, is not trained in {run.path}: {again}")
    name = "".join(letter if letter.isalnum() else "-" for letter in flat(row.label)).strip("-")
    path = arguments.out or Path(f"{table.id}-{name}-{arguments.seed}.safetensors")
    if path.suffix != ".safetensors":
        raise DataError(f"{path}: an export is a .safetensors file")
    try:
        network = export_run(run, path, table=table.id, row=flat(row.label), protocol=table.protocol)
    except PretrainedWeightsError as error:
        raise DataError(str(error)) from None
    shown = ", ".join(f"{metric} {value:.2f}" for metric, value in network.metrics.items())
    print(f"Written: {path} ({path.stat().st_size / 2**20:.1f} MB; {shown}). In Python: benchmark.load({str(path)!r})")
    if arguments.onnx:
        try:
            off = export_onnx(network, path.with_suffix(".onnx"))
        except ExportError as error:
            print(str(error), file=sys.stderr)
            return 1
        compared = "not compared: onnxruntime is not installed" if math.isnan(off) else f"{off:.1e} from torch"
        print(f"Written: {path.with_suffix('.onnx')} ({compared})")
    return 0
