"""What the graded embedded data set tells of networks: accuracy, by level and pair, its SD, and the cost of training.

    python -m tools.instrument [ROW ...] [--seeds 50 51 ...] [--set train.lr=0.002 ...] [--name TRIAL] [--val]
    python -m tools.instrument --trials tools/instrument/trials.yaml
    python -m tools.instrument --accept
    python -m tools.instrument --write

Rows are those of `networks.yaml`, or of another table file (`--table`), under the recipes of a protocol (`--protocol`);
`--set` changes settings for a trial, which has a name of its own. A file of trials is a list of such requests. Runs go
one at a time through a table's executor. Clips and seeds are for searches (motionpairs-2-dev, seeds from 50 up);
`--val` takes the validation clips.

Every run is a line of `results/instrument/dev.csv` (or `val.csv`) as soon as it is done, and is not repeated; a trial's
summary is printed. `--accept` says what is required of the data set with its recipes, and whether it holds; `--write`
puts both into docs/embedded.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import yaml

from benchmark.runs.atomic import write_atomic
from tools.instrument.results import acceptance, acceptance_table, page_blocks, read_results, summary
from tools.instrument.trial import FIRST_SEED, HERE, PAGE, RESULTS, Trial, run_trial
from tools.pages import filled_in


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("rows", nargs="*", help="labels of rows; default: all of the table")
    parser.add_argument("--seeds", type=int, nargs="+", default=[FIRST_SEED + i for i in range(5)])
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--name", default="recipe", help="of the trial; settings of its own need one")
    parser.add_argument("--table", default=str(HERE / "networks.yaml"))
    parser.add_argument("--protocol", default="embedded")
    parser.add_argument("--trials", type=Path, metavar="FILE", help="run the trials of a file, in its order")
    parser.add_argument("--val", action="store_true", help="the validation clips: once, after everything is fixed")
    parser.add_argument("--show", action="store_true", help="print what is there and run nothing")
    parser.add_argument("--accept", action="store_true", help="print what is required and whether it holds")
    parser.add_argument("--write", action="store_true", help="write what is there into docs/embedded.md")
    given = parser.parse_args()
    if given.settings and given.name == "recipe":
        parser.error("--set is for trials: give this one a --name")
    if not given.val and min(given.seeds) < FIRST_SEED:
        parser.error(f"seeds below {FIRST_SEED} are for what is reported; searches have those from {FIRST_SEED} up")
    return given


def trials(given: argparse.Namespace) -> list[Trial]:
    """The one of the command line, or those of a file."""
    if given.trials is None:
        settings = {key: yaml.safe_load(value) for key, _, value in (text.partition("=") for text in given.settings)}
        return [Trial(given.name, tuple(given.rows), tuple(given.seeds), settings, given.table, given.protocol)]
    found = []
    for entry in yaml.safe_load(given.trials.read_text()):
        table = given.trials.parent / entry.pop("table") if "table" in entry else given.table
        rows, seeds = (tuple(entry.pop(key, default)) for key, default in (("rows", ()), ("seeds", given.seeds)))
        found.append(Trial(entry.pop("name"), rows, seeds, entry.pop("set", {}), str(table), given.protocol))
        if entry:
            raise SystemExit(f"{given.trials}: unknown keys {', '.join(entry)}")
    return found


def main() -> int:
    """Run what is missing, one run at a time, and print the summary of the trials."""
    given = arguments()
    path = RESULTS / ("val.csv" if given.val else "dev.csv")
    if given.accept:
        lines = [line for line in read_results(path) if line["trial"] == given.name]
        found = acceptance(lines)
        print(acceptance_table(found))
        return 0 if all(one.holds for one in found) else 1
    if given.write:
        blocks = page_blocks(read_results(RESULTS / "dev.csv"), read_results(RESULTS / "val.csv"))
        write_atomic(PAGE, filled_in(PAGE.read_text(), blocks))
        return 0
    if given.show:
        print(summary(read_results(path)))
        return 0
    wanted = trials(given)
    failed = [trial.name for trial in wanted if not run_trial(trial, path, given.val)]
    names = {trial.name for trial in wanted}
    print(summary([line for line in read_results(path) if line["trial"] in names]))
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
