"""Arguments, dispatch and exit status: 0 done, 1 a run failed, 2 the request or a spec is wrong, 130 interrupted."""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmark.cli import (
    claims,
    data,
    diff,
    evaluating,
    explain,
    looking,
    new,
    noise,
    reading,
    records,
    running,
    timing,
    using,
    verify,
    visualize,
)
from benchmark.cli.text import whole_number
from benchmark.config.source import SpecError, did_you_mean
from benchmark.data.errors import DataError
from benchmark.launch.pending import check_plan
from benchmark.launch.slurm import ClusterError
from benchmark.plan import make_plan
from benchmark.report.by_level import NotGradedError
from benchmark.report.exchange import ExchangeError
from benchmark.report.statistics.noise import NoiseError
from benchmark.report.writing import ResultsError
from benchmark.runs.disk_errors import what_to_do
from benchmark.runs.errors import RunDirError
from benchmark.spec.architecture import Architecture, load_architecture
from benchmark.spec.doubtful import doubtful_settings
from benchmark.spec.files import architecture_paths, is_architecture, protocol_names, spec_paths
from benchmark.spec.load import load_table, select
from benchmark.spec.table import Table

EPILOG = """\
A table is named by its id (bqn-3b), by its paper (bqn: all its tables) or by the path of a YAML file.

environment:
  BENCHMARK_RUNS     run directories, costs and timings    (default: runs)
  BENCHMARK_DATA     data sets made here, and indexes      (default: data)
  BENCHMARK_<NAME>   a data set of yours: BENCHMARK_UCF101=/path/to/ucf101; `data list` shows all
  BENCHMARK_DATASETS the same for all of them in one file  (default: ~/.config/benchmark/datasets.yaml)
  BENCHMARK_RESULTS  rendered tables                       (default: results)
  BENCHMARK_RECORDS  records of runs, costs and timings    (default: results/records)
  BENCHMARK_TABLES   table specs, one folder or several    (default: tables)
  BENCHMARK_WEIGHTS  torchvision's ImageNet weights        (default: weights)
"""


TRAINING = ("plan", "status", "submit", "time", "verify")
"""Commands that have nothing to do for a table that prints an architecture."""
RENDERING = ("run", "render", "time")
"""Commands that show tables, in which a damaged run is a cell that says so."""
OF_AUTHORS = ("show", "plan", "run", "submit")
"""Commands that say what a user's own table sets in vain."""
OF_RUNS = ("list", "plan", "status", "submit", *RENDERING)
"""Commands that end with 1 where a run directory is damaged."""


class RequestError(Exception):
    """The request cannot be carried out as it stands; the message says what to do."""


REFUSALS = (
    *(SpecError, RunDirError, RequestError, ClusterError),
    *(DataError, ResultsError, NoiseError, NotGradedError, ExchangeError),
)
"""What a message says in full, without a traceback."""


def build_parser() -> argparse.ArgumentParser:
    """The parser of every command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmark",
        description="Reproduce the ablation tables of motion-representation papers for video action recognition.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, text: str, *, json: bool = False, tables: bool = True) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        if tables:
            _add_tables(command)
        if json:
            command.add_argument("--json", action="store_true", help="print JSON")
        return command

    listed = add("list", "the tables, their rows and how many of their runs are done", json=True)
    listed.add_argument(
        "--columns",
        dest="list_columns",
        action="store_true",
        help="instead the columns that a table may have: keys, titles, units and what they are",
    )
    listed.set_defaults(call=reading.list_tables, default_all=True)
    shown = add("show", "a table's rows, printed values, settings and claims", json=True)
    shown.add_argument(
        "--explain", action="store_true", help="every setting of a row, where it is set and what it overrode"
    )
    shown.add_argument("--row", action="append", default=[], metavar="LABEL", help="explain this row; may be repeated")
    shown.set_defaults(call=_show)
    add("plan", "the runs that tables need: done, shared, to do, and the time they take", json=True).set_defaults(
        call=reading.plan
    )
    cost = add("cost", "the cost audit: printed, counted, and the convention that reproduces the print", json=True)
    cost.set_defaults(call=running.cost)
    run = add("run", "train and evaluate what is missing on this machine, then render")
    run.add_argument("--jobs", type=whole_number(1), help="runs side by side (default: one per GPU, else one per core)")
    run.add_argument("--device", type=_device, help="cpu, cuda, ... (default: a GPU if there is one)")
    run.add_argument(
        "--from-records", action="store_true", help="train only what has no record either (results/records)"
    )
    every = "validate every N epochs, too: a curve (`visualize training`), of which nothing is chosen"
    run.add_argument("--validate-every", type=whole_number(1), metavar="N", help=every)
    run.add_argument("--time", action="store_true", help="then fill the timed columns, as `time` does")
    again = "train runs anew that are not by today's code, too"
    run.add_argument("--again", action="store_true", help=again)
    _add_force(run)
    run.set_defaults(call=running.run)
    timed = add("time", "time what is missing of the timed columns (latency, throughput) on this machine, then render")
    timed.add_argument("--again", action="store_true", help="time what has been timed on this device, too")
    timed.add_argument("--device", type=_device, help="cpu, cuda, ... (default: a GPU if there is one)")
    _add_force(timed)
    timed.set_defaults(call=timing.main)
    submit = add("submit", "send what is missing to a SLURM cluster and return at once")
    submit.add_argument("--cluster", required=True, help="a profile of slurm/clusters/, or the path of one")
    submit.add_argument("--again", action="store_true", help=again)
    submit.set_defaults(call=running.submit)
    add("status", "every run of the tables: state, progress, time", json=True).set_defaults(call=reading.status)
    verified = add("verify", "whether today's code behaves as that which made the finished runs", json=True)
    verified.add_argument("--row", action="append", default=[], metavar="LABEL", help="only this row; may be repeated")
    verified.set_defaults(call=verify.main)
    rendered = add("render", "write results/ from the runs as they are now, and print the tables", json=True)
    _add_force(rendered)
    rendered.set_defaults(call=running.render)
    graded = add("report", "accuracy by level of difficulty, on the graded embedded data set", json=True)
    looking.add_arguments(graded)
    graded.set_defaults(call=looking.main)
    judged = add("evaluate", "published weights on a data set, by a row's views and without training", tables=False)
    evaluating.add_arguments(judged)
    judged.set_defaults(call=evaluating.main)
    guessed = add("predict", "what a trained network says of videos: classes, and the frames seen", tables=False)
    using.add_predict(guessed)
    guessed.set_defaults(call=using.predict)
    exported = add("export", "a row's trained network as one file: weights, config, classes, metrics", tables=False)
    using.add_export(exported)
    exported.set_defaults(call=using.export)
    begun = add("new", "files to begin with: a paper's folder, a table from its printed cells", tables=False)
    new.add_arguments(begun)
    begun.set_defaults(call=new.main)
    changed = add("diff", "why a number changed: two runs in all that is recorded of them", json=True, tables=False)
    diff.add_arguments(changed)
    changed.set_defaults(call=diff.main)
    sets = add("data", "data sets: list, prepare, check, extract optical flow", tables=False)
    data.add_arguments(sets)
    sets.set_defaults(call=data.main)
    varying = add("noise", "how much training varies between seeds, by family of networks", json=True, tables=False)
    noise.add_arguments(varying)
    varying.set_defaults(call=noise.main)
    claimed = add("claims", "the papers' claims: the printed numbers on trial, and our states", json=True, tables=False)
    claims.add_arguments(claimed)
    claimed.set_defaults(call=claims.main)
    recorded = add("records", "runs as records to commit, tables from records, and exchange of them", tables=False)
    records.add_arguments(recorded, _add_tables)
    recorded.set_defaults(call=records.main)
    pictures = add("visualize", "pictures of clips, kernels, filters and training curves, PNG and SVG", tables=False)
    visualize.add_arguments(pictures)
    pictures.set_defaults(call=visualize.main)
    return parser


def commands_of(parser: argparse.ArgumentParser) -> list[str]:
    """The names of the parser's commands."""
    chosen = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return list(chosen.choices)


def _add_tables(command: argparse.ArgumentParser) -> None:
    command.add_argument("tables", nargs="*", metavar="TABLE", help="table id, paper key or YAML file")
    command.add_argument("--all", action="store_true", help="every table there is")
    command.add_argument("--protocol", default="embedded", help=f"one of {', '.join(protocol_names())}")
    of_data = "another data set that the table prints (hmdb51), or one of yours: its name, or its YAML file's path"
    command.add_argument("--dataset", metavar="NAME", help=of_data)
    command.add_argument("--seeds", type=_seeds, metavar="N or A,B,..", help="how many seeds (3), or which (0,4 or 4,)")
    command.add_argument(
        "--set",
        dest="asked",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a setting of every measured row, such as train.lr=0.1; results go to a folder of their own",
    )


def _add_force(command: argparse.ArgumentParser) -> None:
    text = "replace a results folder even where it holds values that these runs do not have"
    command.add_argument("--force", action="store_true", help=text)


def _device(text: str) -> str:
    """`cpu`, `cuda` or `cuda:N`; a GPU must be there."""
    if not re.fullmatch(r"cpu|cuda(:\d+)?", text):
        raise argparse.ArgumentTypeError(f"'{text}' is not cpu, cuda or cuda:N")
    if text != "cpu" and not any(Path("/dev").glob("nvidia[0-9]*")):
        raise argparse.ArgumentTypeError(f"'{text}': this machine has no GPU that CUDA can use")
    return text


def _seeds(text: str) -> tuple[int, ...]:
    """`3` is seeds 0, 1, 2; `0,4` are those two; `4,` is that one."""
    try:
        values = tuple(int(part) for part in text.removesuffix(",").split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is neither a number nor a list such as 0,1,2") from None
    if "," not in text:
        values = tuple(range(min(values[0], 101)))
    if not 1 <= len(values) <= 100 or not all(0 <= v < 2**31 for v in values) or len(set(values)) != len(values):
        raise argparse.ArgumentTypeError(f"'{text}' must be how many seeds, 1 to 100, or distinct seeds such as 0,4")
    return values


def _load(arguments: argparse.Namespace) -> dict[str, Table | Architecture]:
    """The tables by the names that ask for them; every table's errors are collected before any is reported."""
    everything = arguments.all or (getattr(arguments, "default_all", False) and not arguments.tables)
    targets = list(spec_paths()) if everything else select(arguments.tables)
    if not targets:
        raise RequestError(f"name a table, or --all. There are: {', '.join(spec_paths())}")
    printed = architecture_paths()
    tables: dict[str, Table | Architecture] = {}
    problems = []
    request = (arguments.protocol, arguments.seeds, arguments.dataset, tuple(arguments.asked))
    for target in targets:
        try:
            if target in printed or is_architecture(Path(target)):
                tables[target] = load_architecture(target)
            else:
                tables[target] = load_table(target, *request)
        except SpecError as error:
            problems += error.problems
    if problems:
        raise SpecError(problems)
    if arguments.command in OF_AUTHORS:
        # Those of the papers set what the papers say, whatever a protocol makes of it.
        own = [name for name, table in tables.items() if isinstance(table, Table) and name not in spec_paths()]
        for target in own:
            for doubt in doubtful_settings(target, arguments.protocol, arguments.dataset):
                print(doubt, file=sys.stderr)
    return tables


def _show(arguments: argparse.Namespace) -> int:
    """`show`, and with `--explain` the settings of rows."""
    if arguments.row and not arguments.explain:
        raise RequestError("--row is for --explain")
    return explain.main(arguments) if arguments.explain else reading.show(arguments)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    given = sys.argv[1:] if argv is None else list(argv)
    parser = build_parser()
    if given and not given[0].startswith("-") and given[0] not in (commands := commands_of(parser)):
        print(f"no command '{given[0]}'.{did_you_mean(given[0], commands)}", file=sys.stderr)
        return 2
    arguments = parser.parse_args(given)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if getattr(arguments, "list_columns", False):
            return reading.list_columns(arguments)
        if hasattr(arguments, "protocol") and hasattr(arguments, "tables"):
            found = _load(arguments)
            arguments.order = [table.id for table in found.values()]
            arguments.targets = [target for target, table in found.items() if isinstance(table, Table)]
            arguments.loaded = [table for table in found.values() if isinstance(table, Table)]
            arguments.architectures = [table for table in found.values() if isinstance(table, Architecture)]
            if arguments.command in TRAINING and not arguments.loaded and not getattr(arguments, "json", False):
                names = ", ".join(arguments.order)
                print(f"Nothing to train or time for {names}: `run` compares the printed layers with ours.")
                return 0
            arguments.plan = make_plan(arguments.loaded)
            arguments.damaged = check_plan(arguments.plan.runs)
        status = int(arguments.call(arguments))
        if getattr(arguments, "damaged", None) and arguments.command in OF_RUNS:
            shown = arguments.damaged.values() if arguments.command not in RENDERING else ()
            print("".join(f"{text}\n" for text in shown), end="", file=sys.stderr)
            return status or 1
        return status
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - the reader left; nothing more can be said
        return 0
    except REFUSALS as error:
        print(str(error), file=sys.stderr)
        return 2
    except OSError as error:
        print(f"cannot go on: {what_to_do(error) or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. What is finished is kept: the same command goes on from there.", file=sys.stderr)
        return 130
