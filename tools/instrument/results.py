"""The lines of results/instrument/*.csv, one a run: what is measured, the summary of trials, and what is required."""

from __future__ import annotations

import csv
import fcntl
import math
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.config.datasets import AT_LEVEL, AXES, LEVEL_COUNT
from benchmark.data.embedded.graded import CLASSES, levels_of
from benchmark.data.embedded.motionpairs import pair_accuracies
from benchmark.report.statistics.clip_hits import level_metrics
from benchmark.report.statistics.stats import binomial_se
from benchmark.runs.atomic import atomic_path
from benchmark.runs.metrics import hits_at_k
from benchmark.runs.predictions import Predictions

BY_LEVEL = tuple(name.removeprefix("top1_") for name in AT_LEVEL)
BY_PAIR = tuple(f"pair_{i}" for i in range(len(CLASSES) // 2))
MEASURED = ("top1", "pair", "member", "easiest", *BY_LEVEL, *BY_PAIR, "train_cpu", "job_cpu")
FIELDS = ("trial", "row", "seed", *MEASURED, "key")
POOLED = ("TSM-R18", "TSM-R50", "BQN", "MSNet", "TIM", "X3D-XS", "MobileNetV2")
"""Networks over which the SD between seeds is pooled."""
CLIPS_AT_LEVEL = 640


def measured(found: Predictions) -> dict[str, float]:
    """Accuracies in percent: all, which pair, which member, the easiest clips, by level of each axis, by pair."""
    hits = hits_at_k(found.logits, found.labels, 1)
    pair, member = pair_accuracies(found.logits, found.labels)
    shares = {"easiest": (levels_of(found.ids) == 1).all(1)}
    shares |= {name: found.labels // 2 == i for i, name in enumerate(BY_PAIR)}
    values = {"top1": 100 * float(hits.mean()), "pair": pair, "member": member}
    values |= {name: 100 * float(hits[mine].mean()) for name, mine in shares.items()}
    values |= {name.removeprefix("top1_"): value for name, value in level_metrics(found).items()}
    return {name: round(value, 3) for name, value in values.items()}


def read_results(path: Path) -> list[dict[str, str]]:
    """The lines of a file of results; none where there is no file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def add_result(path: Path, line: Mapping[str, Any]) -> None:
    """One more line, sorted in by trial, row and seed; another process may add its own meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        lines = [*read_results(path), {name: str(value) for name, value in line.items()}]
        with atomic_path(path) as unfinished, unfinished.open("w", newline="") as file:
            writer = csv.DictWriter(file, FIELDS)
            writer.writeheader()
            writer.writerows(sorted(lines, key=lambda line: (line["trial"], line["row"], int(line["seed"]))))
    finally:
        os.close(folder)


def columns_of(lines: Iterable[dict[str, str]]) -> dict[str, np.ndarray]:
    """What is measured, each over the lines."""
    lines = list(lines)
    return {name: np.array([float(line[name]) for line in lines]) for name in MEASURED}


def grouped(lines: Iterable[dict[str, str]], *by: str) -> list[tuple[tuple[str, ...], dict[str, np.ndarray]]]:
    """What is measured, each over the lines that agree in some fields, sorted by these."""
    groups: dict[tuple[str, ...], list[dict[str, str]]] = defaultdict(list)
    for line in lines:
        groups[tuple(line[name] for name in by)].append(line)
    return [(names, columns_of(group)) for names, group in sorted(groups.items())]


def markdown_table(title: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [f"| {' | '.join(cells)} |" for cells in (title, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(title), *lines[1:]])


def _sd(values: np.ndarray) -> str:
    return f"{values.std(ddof=1):.1f}" if len(values) > 1 else ""


def summary(lines: Iterable[dict[str, str]]) -> str:
    """A line per trial and row: mean and SD over seeds, pair and member, by level and by pair, CPU seconds."""
    rows = []
    for names, values in grouped(lines, "trial", "row"):
        top1, cpu = values["top1"], f"{np.nanmean(values['train_cpu']):.0f}"
        axes = [" ".join(f"{values[f'{axis}_{i}'].mean():.0f}" for i in range(1, LEVEL_COUNT + 1)) for axis in AXES]
        pairs = " ".join(f"{values[name].mean():.0f}" for name in BY_PAIR)
        means = [f"{values[name].mean():.1f}" for name in ("pair", "member", "easiest")]
        rows.append([*names, str(len(top1)), f"{top1.mean():.1f}", _sd(top1), *means, *axes, pairs, cpu])
    title = ["trial", "row", "n", "top1", "SD", "pair", "member", "easiest", *AXES, "pairs", "train CPU s"]
    return markdown_table(title, rows)


def brief(lines: Iterable[dict[str, str]]) -> str:
    """The summary in few columns, for a page: top-1 as mean ± SD over seeds."""
    rows = []
    for names, values in grouped(lines, "row", "trial"):
        top1, cpu = values["top1"], f"{np.nanmean(values['train_cpu']):.0f}"
        means = [f"{values[name].mean():.1f}" for name in ("member", "easiest")]
        accuracy = " ± ".join(filter(None, (f"{top1.mean():.1f}", _sd(top1))))
        rows.append([*names, str(len(top1)), accuracy, *means, cpu])
    title = ["network", "trial", "seeds", "top-1", "member", "easiest", "CPU seconds of training"]
    return markdown_table(title, rows)


@dataclass(frozen=True)
class Criterion:
    """What is required of the data set with its recipes: in words, what was measured, and whether it holds."""

    text: str
    found: str
    holds: bool | None

    def cells(self) -> list[str]:
        """Of a table; None, the runs are not there yet."""
        verdict = "not measured yet" if self.holds is None else "yes" if self.holds else "**no**"
        return [self.text, self.found or "–", verdict]


def acceptance(lines: Sequence[dict[str, str]]) -> list[Criterion]:
    """Every criterion, from the lines of one trial; those whose networks were not run yet are not decided."""
    rows = {name: columns_of(line for line in lines if line["row"] == name) for name in {line["row"] for line in lines}}

    def criterion(text: str, needs: Sequence[str], test: Any) -> Criterion:
        if any(name not in rows or not len(rows[name]["top1"]) for name in needs):
            return Criterion(text, "", None)
        found, holds = test(*(rows[name] for name in needs))
        return Criterion(text, found, bool(holds))

    def bounded(column: str, low: float, high: float) -> Any:
        return lambda row: (f"{row[column].mean():.1f}", low <= row[column].mean() <= high)

    def behind(shift: dict[str, np.ndarray], none: dict[str, np.ndarray]) -> tuple[str, bool]:
        gap = shift["top1"].mean() - none["top1"].mean()
        return f"{gap:.1f}", gap >= 25

    def at_chance(row: dict[str, np.ndarray]) -> tuple[str, bool]:
        share = row["member"].mean()
        return f"{share:.1f}", abs(share - 50) <= 3

    found = [
        criterion("flow below 97 % in all", ["flow"], bounded("top1", 0, 97)),
        criterion("TSM-R50 between 65 and 92 %", ["TSM-R50"], bounded("top1", 65, 92)),
        criterion("without shift 50 ± 3 % of members", ["no shift"], at_chance),
        criterion("without shift at least 25 points below TSM-R50", ["TSM-R50", "no shift"], behind),
        criterion("TSM-R50 trains in 60 CPU seconds", ["TSM-R50"], bounded("train_cpu", 0, 60)),
        criterion("BQN trains in 80 CPU seconds", ["BQN"], bounded("train_cpu", 0, 80)),
    ]
    return [*found, *_spread(rows), *(_monotone(name, rows.get(name)) for name in POOLED)]


def _spread(rows: dict[str, dict[str, np.ndarray]]) -> list[Criterion]:
    """SD between seeds, pooled and of each network, once all have five."""
    sds = {name: rows[name]["top1"].std(ddof=1) for name in POOLED if name in rows and len(rows[name]["top1"]) > 4}
    texts = f"SD over 5 seeds at most 2 over {', '.join(POOLED)}", "none above 3"
    if len(sds) < len(POOLED):
        return [Criterion(text, "", None) for text in texts]
    pooled = math.sqrt(np.mean([sd**2 for sd in sds.values()]))
    worst = max(sds, key=lambda name: sds[name])
    return [
        Criterion(texts[0], f"{pooled:.2f}", pooled <= 2),
        Criterion(texts[1], f"{sds[worst]:.2f} ({worst})", bool(sds[worst] <= 3)),
    ]


def _monotone(name: str, row: dict[str, np.ndarray] | None) -> Criterion:
    """Whether accuracy falls from level to level, within two standard errors of the difference."""
    text = f"{name}: falls with every level of every axis, within its error"
    if row is None or not len(row["top1"]):
        return Criterion(text, "", None)
    rises = []
    for axis in AXES:
        means = [float(row[f"{axis}_{n}"].mean()) for n in range(1, LEVEL_COUNT + 1)]
        for n, (easier, harder) in enumerate(pairwise(means), 1):
            error = math.hypot(*(binomial_se(mean, CLIPS_AT_LEVEL) for mean in (easier, harder)))
            if harder - easier > 2 * error:
                rises.append(f"{axis} {n} to {n + 1}: +{harder - easier:.1f}")
    return Criterion(text, "; ".join(rises) or "no rise", not rises)


def acceptance_table(found: Iterable[Criterion]) -> str:
    """What is required, what was found, and whether it holds."""
    return markdown_table(["required", "found", "holds"], (one.cells() for one in found))


def page_blocks(dev: Sequence[dict[str, str]], val: Sequence[dict[str, str]]) -> dict[str, str]:
    """What docs/embedded.md has of the files of results: trials, and what is required, on dev and on val."""

    def of_recipe(lines: Sequence[dict[str, str]]) -> str:
        mine = [line for line in lines if line["trial"] == "recipe"]
        return f"{brief(mine)}\n\n{acceptance_table(acceptance(mine))}" if mine else "Not run yet."

    return {
        "trials": brief(line for line in dev if line["trial"] != "recipe"),
        "recipe on dev": of_recipe(dev),
        "recipe on val": of_recipe(val),
    }
