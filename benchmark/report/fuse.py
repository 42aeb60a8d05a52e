"""Rows that average the predictions of other rows: their runs with the same seed are one fused result."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from benchmark.report.results import LEAST_ADVANCED, RowRuns, SeedResult
from benchmark.report.splits import over_splits
from benchmark.report.statistics.clip_hits import metrics_like
from benchmark.runs.predictions import Predictions
from benchmark.runs.records.files import DamagedRecordError
from benchmark.runs.records.predictions import probabilities
from benchmark.runs.records.run import read_fused
from benchmark.spec.table import Row, Table

COARSELY = "averaged from probabilities as records keep them: not to the last digit"


def average_predictions(members: Sequence[Predictions]) -> Predictions:
    """Average the softmax probabilities of each clip; the result's logits are their logarithm.

    Raises:
        ValueError: the members were not evaluated on the same clips with the same labels and classes.
    """
    first = members[0]
    for other in members[1:]:
        if not (np.array_equal(first.ids, other.ids) and np.array_equal(first.labels, other.labels)):
            raise ValueError("predictions to average are of different clips or labels")
        if first.logits.shape != other.logits.shape:
            raise ValueError(f"predictions to average have shapes {first.logits.shape} and {other.logits.shape}")
    # Not logits, as the released ensemble code averages: a network would count for more because its own are larger. The
    # papers say "prediction scores".
    mean = np.mean([probabilities(member.logits) for member in members], axis=0)
    return Predictions(first.ids, first.labels, np.log(np.maximum(mean, np.finfo(np.float64).tiny)))


def fuse_seed(members: Sequence[SeedResult]) -> SeedResult:
    """One seed of a fused row from the same seed of its members, its metrics recomputed from averaged predictions.

    Members that are measured on several splits are fused split by split.
    """
    parts = fused_parts(members)
    return over_splits(parts) if all(member.members for member in members) else parts[0]


def fused_parts(members: Sequence[SeedResult]) -> list[SeedResult]:
    """The fused result of every split; a single one where the members are of none."""
    if all(member.members for member in members):
        return [_fuse(runs) for runs in zip(*(member.members for member in members), strict=True)]
    return [_fuse(members)]


def _fuse(members: Sequence[SeedResult]) -> SeedResult:
    state = next(s for s in LEAST_ADVANCED if any(member.state == s for member in members))
    key = "+".join(member.key for member in members)
    sources = [member.predictions for member in members]
    available = [source for source in sources if source is not None]
    if state != "done" or len(available) < len(members):
        note = "a member has no stored predictions" if state == "done" else ""
        return SeedResult(
            members[0].seed, key, "failed" if state == "done" else state, members=tuple(members), note=note
        )
    roots = {member.recorded for member in members}
    root = roots.pop() if len(roots) == 1 else None

    @cache
    def predictions() -> tuple[Predictions, str]:
        given = [source() for source in available]
        if all(member.recorded is None for member in members):
            return average_predictions(given), ""
        kept = read_fused(root, key, given) if root else None
        return (kept, "") if kept else (average_predictions(given), COARSELY)

    try:
        fused, note = predictions()
    except (ValueError, DamagedRecordError) as error:
        return SeedResult(members[0].seed, key, "damaged", members=tuple(members), note=str(error))
    return SeedResult(
        members[0].seed,
        key,
        "done",
        metrics_like([member.metrics for member in members], fused),
        lambda: predictions()[0],
        tuple(members),
        note=note,
        clips=len(fused.labels),
    )


def with_fused(table: Table, runs: RowRuns) -> dict[str, tuple[SeedResult, ...]]:
    """The runs of every row that is not quoted, fused rows included; a seed without a run is pending.

    A fused row that `runs` holds already is kept, so that applying this twice costs nothing.
    """
    complete: dict[str, tuple[SeedResult, ...]] = {}
    for row in table.every_row:
        if row.quoted:
            continue
        if (row.average or row.theirs) and row.label in runs:
            complete[row.label] = tuple(runs[row.label])
            continue
        members = [_by_seed(table, member, runs) for member in table.members(row)]
        complete[row.label] = tuple(
            fuse_seed(group) if row.average else group[0] for group in zip(*members, strict=True)
        )
    return complete


def _by_seed(table: Table, row: Row, runs: RowRuns) -> list[SeedResult]:
    """A result for each seed of the table, in their order."""
    found = {result.seed: result for result in runs.get(row.label, ())}
    return [found.get(seed, SeedResult(seed, "", "pending")) for seed in row.seeds(table.seeds)]
