"""A trial: some rows and seeds with some settings, run one by one through a table's executor."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.cli.data import extract_flow_with_progress, prepare_with_progress
from benchmark.config.datasets import DATASETS
from benchmark.config.overrides import Layer, Setting, resolve
from benchmark.config.run import RunConfig
from benchmark.data.flow.extracted import interval_of
from benchmark.launch.local import Outcome, Slot, last_lines, make_slots, run_all
from benchmark.plan import row_runs
from benchmark.runs.directory import RunDir
from benchmark.runs.key import dotted, run_key
from benchmark.runs.predictions import read_predictions
from benchmark.spec.load import load_table
from tools.instrument.results import add_result, measured, read_results

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parents[1] / "results" / "instrument"
PAGE = HERE.parents[1] / "docs" / "embedded.md"
FIRST_SEED = 50
"""Of searches: those below are for what is reported."""


@dataclass(frozen=True)
class Trial:
    """What to run: rows of a table (all of them where none is named) under a protocol, with some settings changed."""

    name: str
    rows: tuple[str, ...]
    seeds: tuple[int, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    table: str = str(HERE / "networks.yaml")
    protocol: str = "embedded"


def changed(config: RunConfig, settings: dict[str, Any]) -> RunConfig:
    """The config with other settings, by dotted key. Raises SystemExit where these are no settings of it."""
    plain = dotted(config.model_dump(mode="python")) | settings
    read = {key: tuple(value) if isinstance(value, list) else value for key, value in plain.items()}  # as files are
    layer: Layer = {key: Setting(value, "--set", 0) for key, value in read.items()}
    made, problems = resolve(layer, ("--set", 0))
    if made is None:
        raise SystemExit("\n".join(str(problem) for problem in problems))
    return made


def runs_of(trial: Trial, val: bool) -> list[tuple[str, int, RunConfig]]:
    """Label, seed and config of every run of a trial, on the validation clips or on those for searches."""
    table = load_table(trial.table, trial.protocol, trial.seeds)
    labels = [row.label for row in table.rows]
    if unknown := set(trial.rows) - set(labels):
        raise SystemExit(f"no row {', '.join(sorted(unknown))}; there are {', '.join(labels)}")
    found = []
    for row in table.rows:
        if row.config is None or (trial.rows and row.label not in trial.rows):
            continue
        for seed, config in row_runs(row, table.seeds):
            dataset = config.data.dataset if val else f"{config.data.dataset}-dev"
            if dataset not in DATASETS:
                raise SystemExit(f"{trial.protocol} is on {config.data.dataset}, which has no clips for searches")
            found.append((row.label, seed, changed(config, {**trial.settings, "data.dataset": dataset})))
    return found


class CpuClock:
    """CPU seconds of the runs' processes by phase, read from the system while they go on, however busy it is."""

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
        """`train_cpu`, from the first step to the end of training, and `job_cpu` of all of it, once a run is done."""
        train = self._seen[key].get("train", (float("nan"),) * 2)
        last = max((last for _, last in self._seen[key].values()), default=float("nan"))
        return {"train_cpu": round(train[1] - train[0], 1), "job_cpu": round(last, 1)}


def run_trial(trial: Trial, path: Path, val: bool) -> bool:
    """Run what a file of results does not have yet, a line a run as soon as it is done; whether none failed."""
    whole = True
    for label, seed, config in runs_of(trial, val):
        key = run_key(config)
        known = [line for line in read_results(path) if line["key"] == key]
        if any((line["trial"], line["row"]) == (trial.name, label) for line in known):
            continue
        if known:  # another trial came to the same settings
            add_result(path, known[0] | {"trial": trial.name, "row": label})
            continue
        prepare_with_progress(config.data.dataset)
        if config.modality == "flow":
            extract_flow_with_progress(config.data.dataset, interval_of(config.model))
        run, slots = RunDir.of(key), make_slots(1, "cpu")
        run.prepare(config)
        clock = CpuClock(slots)
        if not run_all([run], slots, clock).done:
            print(f"{trial.name}: {label} seed {seed} failed\n{last_lines(run)}", flush=True)
            whole = False
            continue
        result = run.result
        assert result is not None
        found = measured(read_predictions(run, result)[0])
        line = {"trial": trial.name, "row": label, "seed": seed, **found, **clock.seconds(key), "key": key}
        add_result(path, line)
        print(trial.name, label, seed, f"{found['top1']:.1f}", line["train_cpu"], flush=True)
    return whole
