"""Synthetic runs and costs for the printed tables: accuracies with a known SD, predictions to match, no training."""

from __future__ import annotations

import zlib
from types import SimpleNamespace

import numpy as np
import pytest

from benchmark.report.cells import CountedCost, ReadCost
from benchmark.report.results import SeedResult
from benchmark.runs.metrics import all_metrics
from benchmark.runs.predictions import Predictions
from benchmark.spec.columns import COLUMNS
from benchmark.spec.load import load_table
from benchmark.spec.table import Table

CLIPS, CLASSES = 480, 8


def predictions(label: str, seed: int, accuracy: float, clips: int = CLIPS) -> Predictions:
    """Logits that hit a clip by its difficulty, which all rows and seeds share, and by noise of their own."""
    shared = np.random.default_rng(0)
    labels, difficulty = shared.integers(0, CLASSES, clips), shared.normal(size=clips)
    own = np.random.default_rng([seed, zlib.crc32(label.encode())])
    score = -difficulty + 0.5 * own.normal(size=clips)
    hits = score >= np.quantile(score, 1 - accuracy / 100)
    logits = own.normal(scale=0.5, size=(clips, CLASSES)).astype(np.float32)
    logits[np.arange(clips), labels] += np.where(hits, 4, -0.5)
    return Predictions(np.array([f"clip{i:05d}" for i in range(clips)]), labels, logits)


def seed_result(label: str, seed: int, accuracy: float, state: str = "done", clips: int = CLIPS) -> SeedResult:
    key = f"{zlib.crc32(f'{label}/{seed}'.encode()):08x}" * 2
    if state != "done":
        return SeedResult(seed, key, state)  # type: ignore[arg-type]
    made = predictions(label, seed, accuracy, clips)
    env = {"git": {"commit": "0" * 40, "changes": None}, "started": "2026-01-01T00:00:00"}
    metrics = all_metrics(made.logits, made.labels)
    return SeedResult(seed, key, "done", metrics, lambda: made, env=env, clips=clips)


def synthetic(table: Table, sd: float = 0.6, lift: float = 10.0) -> dict[str, list[SeedResult]]:
    """A run per row and seed, `lift` points above the printed top-1."""
    rng = np.random.default_rng(1)
    return {
        row.label: [seed_result(row.label, s, row.printed["top1"] + lift + sd * rng.normal()) for s in table.seeds]
        for row in table.rows
        if row.config is not None
    }


def synthetic_costs(table: Table) -> dict[str, CountedCost]:
    return {
        row.label: CountedCost(
            {"gmacs": row.printed.get("gmacs", 65.7) + 0.13, "mparams": 48.03},
            {"gmacs": ReadCost(row.printed.get("gmacs", 65.7), "thop 2020-05", "reproduced")},
        )
        for row in table.rows
    }


def fabricated(table: Table) -> tuple[dict[str, list[SeedResult]], dict[str, CountedCost]]:
    """Runs and costs for any table, without predictions: rows with one config have one run, as they do in earnest.

    Accuracies are those of 480 clips, in steps of a clip; some coincide. Costs are near the printed ones.
    """
    runs: dict[str, list[SeedResult]] = {}
    costs: dict[str, CountedCost] = {}
    for row in table.rows:
        config = row.config.model_dump_json() if row.config else row.label
        paper = row.paper_config.model_dump_json() if row.paper_config else row.label
        rng = np.random.default_rng(zlib.crc32(config.encode()))
        usual = {"gmacs": 32.9, "mparams": 24.0}
        columns = [key for key in (*table.columns, *usual) if COLUMNS[key].source == "counted"]
        factor = np.random.default_rng(zlib.crc32(paper.encode())).choice([0.98, 1.0, 1.04])
        costs[row.label] = CountedCost({key: factor * row.printed.get(key, usual.get(key, 0.0)) for key in columns})
        if row.quoted:
            continue
        hits = int(rng.integers(10, 60)) * CLIPS // 72
        runs[row.label] = []
        for seed in table.seeds:
            top1 = 100 * (hits + int(rng.integers(-12, 13))) / CLIPS
            metrics = {"top1": top1, "top5": top1, "mean_class_acc": top1, "residual": 0.2 + top1 / 1000}
            key = f"{zlib.crc32(f'{config}/{seed}'.encode()):08x}" * 2
            runs[row.label].append(SeedResult(seed, key, "done", metrics, clips=CLIPS))
    return runs, costs


@pytest.fixture(scope="session")
def table_3b() -> Table:
    return load_table("bqn-3b", "proxy")


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """The functions above, which tests cannot import from here."""
    return SimpleNamespace(
        predictions=predictions,
        seed_result=seed_result,
        runs=synthetic,
        costs=synthetic_costs,
        table=load_table,
        fabricated=fabricated,
    )
