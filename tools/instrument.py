"""What the graded embedded data set tells of networks: accuracy, by level and pair, its SD, and the cost of training.

    python -m tools.instrument [ROW ...] [--seeds 50 51 ...] [--set train.lr=0.002 ...] [--name TRIAL] [--val]

Rows are those of `tools/instrument.yaml`, or of another table file (`--table`), under the recipes of a protocol
(`--protocol`); `--set` changes settings for a trial, which has a name of its own. Runs go one at a time through a
table's executor. Clips and seeds are for searches (motionpairs-2-dev, seeds from 50 up); `--val` takes the validation
clips.

Every run is a line of `results/instrument/dev.csv` (or `val.csv`) as soon as it is done, and is not repeated; a trial's
summary is printed. CPU seconds are those of the run's process, read while it trains and evaluates, so that they hold
on a busy machine: `train_cpu` from the first step to the end of training, `job_cpu` of all of it.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmark.cli.data import extract_flow_with_progress, prepare_with_progress
from benchmark.config.overrides import Layer, Setting, resolve
from benchmark.config.run import RunConfig
from benchmark.data.embedded.graded import AXES, CLASSES, COUNT, levels
from benchmark.data.embedded.motionpairs import pair_accuracies
from benchmark.data.flow.extracted import interval_of
from benchmark.launch.local import Outcome, Slot, last_lines, make_slots, run_all
from benchmark.plan import row_runs
from benchmark.runs.atomic import atomic_path
from benchmark.runs.directory import RunDir
from benchmark.runs.key import dotted, run_key
from benchmark.runs.predictions import read_predictions
from benchmark.spec.load import load_table

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results" / "instrument"
DEV, VAL = "motionpairs-2-dev", "motionpairs-2"
FIRST_SEED = 50
"""Of searches: those below are for what is reported."""
BY_LEVEL = tuple(f"{axis}_{level}" for axis in AXES for level in range(1, COUNT + 1))
BY_PAIR = tuple(f"pair_{i}" for i in range(len(CLASSES) // 2))
MEASURED = ("top1", "pair", "member", *BY_LEVEL, *BY_PAIR, "train_cpu", "job_cpu")
FIELDS = ("trial", "row", "seed", *MEASURED, "key")


def changed(config: RunConfig, settings: dict[str, Any]) -> RunConfig:
    """The config with other settings, by dotted key. Raises SystemExit where these are no settings of it."""
    plain = dotted(config.model_dump(mode="python")) | settings
    layer: Layer = {key: Setting(value, "--set", 0) for key, value in plain.items()}
    made, problems = resolve(layer, ("--set", 0))
    if made is None:
        raise SystemExit("\n".join(str(problem) for problem in problems))
    return made


class CpuClock:
    """CPU seconds of the runs' processes, by phase, read from the system while they go on."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        """`slots`: where the runs go on."""
        self._slots = slots
        self._seen: dict[str, dict[str, tuple[float, float]]] = defaultdict(dict)  # key -> phase -> first and last

    def __call__(self, running: list[RunDir], outcome: Outcome) -> None:
        """Reads the clocks; called several times a second."""
        for slot in self._slots:
            if slot.run is None or slot.process is None:
                continue
            phase = str(slot.run.status.get("phase"))
            try:
                fields = Path(f"/proc/{slot.process.pid}/stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has just ended
                continue
            now = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            first, _ = self._seen[slot.run.key].get(phase, (now, now))
            self._seen[slot.run.key][phase] = (first, now)

    def seconds(self, key: str) -> dict[str, float]:
        """Of training and of the whole run, once it is done."""
        train = self._seen[key].get("train", (float("nan"),) * 2)
        last = max((last for _, last in self._seen[key].values()), default=float("nan"))
        return {"train_cpu": round(train[1] - train[0], 1), "job_cpu": round(last, 1)}


def measured(run: RunDir) -> dict[str, float]:
    """Accuracies of a finished run in percent: all, which pair, which member, by level of each axis, by pair."""
    result = run.result
    assert result is not None
    found, metrics = read_predictions(run, result)
    hits = found.logits.argmax(1) == found.labels
    graded = np.array([levels("val", int(name)) for name in found.ids])
    pair, member = pair_accuracies(found.logits, found.labels)
    values = {"top1": metrics["top1"], "pair": pair, "member": member}
    for axis, name in enumerate(AXES):
        for level in range(1, COUNT + 1):
            values[f"{name}_{level}"] = 100 * float(hits[graded[:, axis] == level].mean())
    for i, name in enumerate(BY_PAIR):
        values[name] = 100 * float(hits[found.labels // 2 == i].mean())
    return {name: round(value, 3) for name, value in values.items()}


def read_results(path: Path) -> list[dict[str, str]]:
    """The lines of a file of results; none where there is no file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write_results(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    """All lines, sorted by trial, row and seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as unfinished, unfinished.open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        writer.writerows(sorted(lines, key=lambda line: (line["trial"], line["row"], int(line["seed"]))))


def summary(lines: Sequence[dict[str, str]]) -> str:
    """A line per trial and row: mean and SD over seeds, pair and member, by level and by pair, CPU seconds."""
    grouped: dict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
    for line in lines:
        grouped[line["trial"], line["row"]].append(line)
    title = ["trial", "row", "n", "top1", "SD", "pair", "member", *AXES, "pairs", "train CPU s"]
    table = ["| " + " | ".join(title) + " |", "|" + "---|" * len(title)]
    for (trial, row), group in sorted(grouped.items()):
        values = {name: np.array([float(line[name]) for line in group]) for name in MEASURED}
        top1 = values["top1"]
        spread = f"{top1.std(ddof=1):.1f}" if len(group) > 1 else ""
        axes = [" ".join(f"{values[f'{axis}_{i}'].mean():.0f}" for i in range(1, COUNT + 1)) for axis in AXES]
        pairs = " ".join(f"{values[name].mean():.0f}" for name in BY_PAIR)
        means = [f"{values[name].mean():.1f}" for name in ("pair", "member")]
        cpu = f"{np.nanmean(values['train_cpu']):.0f}"
        cells = [trial, row, str(len(group)), f"{top1.mean():.1f}", spread, *means, *axes, pairs, cpu]
        table.append("| " + " | ".join(cells) + " |")
    return "\n".join(table)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("rows", nargs="*", help="labels of rows; default: all of the table")
    parser.add_argument("--seeds", type=int, nargs="+", default=[FIRST_SEED + i for i in range(5)])
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--name", default="recipe", help="of the trial; settings of its own need one")
    parser.add_argument("--table", default=str(ROOT / "tools" / "instrument.yaml"))
    parser.add_argument("--protocol", default="embedded2")
    parser.add_argument("--val", action="store_true", help="the validation clips: once, after everything is fixed")
    parser.add_argument("--show", action="store_true", help="print what is there and run nothing")
    given = parser.parse_args()
    if given.settings and given.name == "recipe":
        parser.error("--set is for trials: give this one a --name")
    if not given.val and min(given.seeds) < FIRST_SEED:
        parser.error(f"seeds below {FIRST_SEED} are for what is reported; searches have those from {FIRST_SEED} up")
    return given


def wanted(given: argparse.Namespace) -> list[tuple[str, int, RunConfig]]:
    """Label, seed and config of every run asked for."""
    table = load_table(given.table, given.protocol, tuple(given.seeds))
    if unknown := set(given.rows) - {row.label for row in table.rows}:
        raise SystemExit(f"no row {', '.join(sorted(unknown))}; there are {', '.join(row.label for row in table.rows)}")
    settings = {key: yaml.safe_load(value) for key, _, value in (text.partition("=") for text in given.settings)}
    settings["data.dataset"] = VAL if given.val else DEV
    return [
        (row.label, seed, changed(config, settings))
        for row in table.rows
        if row.config is not None and (not given.rows or row.label in given.rows)
        for seed, config in row_runs(row, table.seeds)
    ]


def main() -> int:
    """Run what is missing, one run at a time, and print the summary of the trial."""
    given = arguments()
    path = RESULTS / ("val.csv" if given.val else "dev.csv")
    status = 0
    for label, seed, config in [] if given.show else wanted(given):
        lines = read_results(path)
        key = run_key(config)
        if any((line["trial"], line["row"], line["key"]) == (given.name, label, key) for line in lines):
            continue
        prepare_with_progress(config.data.dataset)
        if config.modality == "flow":
            extract_flow_with_progress(config.data.dataset, interval_of(config.model))
        run, slots = RunDir.of(key), make_slots(1, "cpu")
        run.prepare(config)
        clock = CpuClock(slots)
        if not run_all([run], slots, clock).done:
            print(f"{label} seed {seed} failed\n{last_lines(run)}")
            status = 1
            continue
        line = {"trial": given.name, "row": label, "seed": seed, **measured(run), **clock.seconds(key), "key": key}
        write_results(path, [*read_results(path), line])
        print(label, seed, line["top1"], line["train_cpu"], flush=True)
    print(summary([line for line in read_results(path) if given.show or line["trial"] == given.name]))
    return status


if __name__ == "__main__":
    raise SystemExit(main())
