"""From tables to runs: which are needed, each once, and how long they take. No torch, and no disk."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from benchmark.config.datasets import DATASETS
from benchmark.config.run import RunConfig, input_pixels
from benchmark.runs.key import run_key, training_key, with_start_key
from benchmark.spec.table import Row, Table


def row_runs(row: Row, seeds: Iterable[int]) -> list[tuple[int, RunConfig]]:
    """Seed and config of each run of a measured row, seed by seed; with official splits, one run for each of them.

    `seeds`: of its table.
    """
    assert row.config is not None, f"row {row.label} is not measured"
    # The run that it starts from is one for all seeds.
    base = row.config if row.start is None else with_start_key(row.config, row.start)
    runs = []
    for seed in row.seeds(seeds):
        config = base.model_copy(update={"seed": seed})
        for name in row.splits or (config.data.dataset,):
            data = config.data.model_copy(update={"dataset": name})
            runs.append((seed, config.model_copy(update={"data": data})))
    return runs


@dataclass
class PlannedRun:
    """One run and the cells that need it, as (table id, row label)."""

    key: str
    config: RunConfig
    protocol: str
    used_by: list[tuple[str, str]] = field(default_factory=list)
    for_its_weights: bool = False
    """Whether it is there for others to start from, and for no cell."""
    continued_by: list[str] = field(default_factory=list)
    """Keys of the runs that start from its weights."""


@dataclass(frozen=True)
class Plan:
    """The runs that some tables need, each once, in the order in which the tables first ask for them."""

    tables: tuple[Table, ...]
    runs: dict[str, PlannedRun]
    wanted: int

    @property
    def shared(self) -> int:
        """Runs saved because several rows need the same one."""
        return self.wanted - len(self.runs)

    @property
    def evaluated_only(self) -> int:
        """Runs whose network another of these runs trains."""
        return len(self.runs) - len({training_key(run.config) for run in self.runs.values()})


def make_plan(tables: Iterable[Table]) -> Plan:
    """Expand tables into their distinct runs.

    `wanted` counts every measured row's seeds, times its official splits, and the run that a row starts from; a fused
    row needs none.
    """
    tables = tuple(tables)
    runs: dict[str, PlannedRun] = {}
    wanted = 0
    for table in tables:
        for row in table.rows:
            if row.config is None:
                continue
            if row.start is not None:
                wanted += 1
                key = run_key(row.start)
                first = runs.setdefault(key, PlannedRun(key, row.start, table.protocol, for_its_weights=True))
                first.used_by.append((table.id, f"{row.label} starts from it"))
                first.continued_by += [run_key(config) for _, config in row_runs(row, table.seeds)]
            for _, config in row_runs(row, table.seeds):
                wanted += 1
                key = run_key(config)
                run = runs.setdefault(key, PlannedRun(key, config, table.protocol))
                run.used_by.append((table.id, row.label))
                run.for_its_weights = False
    return Plan(tables, runs, wanted)


def megapixels(config: RunConfig, trained: bool = False) -> float:
    """Million input pixels that a run puts through its backbones: three passes in training, one in evaluation.

    `trained`: another run trains the network, and this one evaluates it.
    """
    info = DATASETS[config.data.dataset]
    training = 0 if trained else 3 * info.train_clips * config.train.epochs
    return (training + info.val_clips * config.views) * input_pixels(config) / 1e6


def estimate_seconds(
    runs: Iterable[PlannedRun], seconds_per_megapixel: float | None, trained: Iterable[str] = ()
) -> dict[str, float | None]:
    """Time that each of these runs takes on the protocol's device, by key; None where no rate is known.

    Runs that train alike count their training once, with the first of them, and not at all where it is `trained`.
    """
    known, seconds = set(trained), dict[str, float | None]()
    for run in runs:
        training = training_key(run.config)
        work = megapixels(run.config, training in known)
        # Of an own data set whose file does not say how many clips it has, the work is not known either.
        seconds[run.key] = None if seconds_per_megapixel is None or not work else work * seconds_per_megapixel
        known.add(training)
    return seconds
