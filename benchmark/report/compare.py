"""Differences between two rows, with both sources of error: the seeds of training and the clips of the test."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.report import stats
from benchmark.report.cells import Predictions, SeedResult
from benchmark.report.metrics import TOP_K, hits_at_k
from benchmark.spec.columns import COLUMNS
from benchmark.spec.table import Table


@dataclass(frozen=True)
class Contrast:
    """Difference lhs - rhs on a measured column, in points, over the seeds that both rows have finished.

    low, high and p combine se_seed and se_clip (SE^2 = seed part + clip part, Satterthwaite df; a projection loss has
    the seed part alone). The clip part
    contains what clips and seeds interact, which the seed part holds too: the sum errs on the wide side. They are
    None, and `why_open` says why, where either part is unknown. p_mcnemar is the clips' alone: it speaks of these
    trained networks, not of the method.
    """

    lhs: str
    rhs: str
    column: str
    difference: float
    seeds: tuple[int, ...]
    se_seed: float | None = None
    se_clip: float | None = None
    sd: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_mcnemar: float | None = None
    p_mcnemar_by_seed: tuple[float, ...] = ()
    p_permutation: float | None = None
    p_permutation_floor: float | None = None
    why_open: str = ""


class Comparison:
    """The finished runs of a table, ready to be contrasted. Predictions are read once per run."""

    def __init__(self, table: Table, runs: Mapping[str, Sequence[SeedResult]]):
        """`runs` includes the fused rows (`fuse.with_fused`)."""
        self._table = table
        self._runs = runs
        self._predictions: dict[tuple[str, int], Predictions | None] = {}
        self._hits: dict[tuple[str, int, str], np.ndarray] = {}

    def values(self, label: str, column: str) -> dict[int, float]:
        """The metric in percent by finished seed."""
        return {r.seed: v for r in self._runs.get(label, ()) if (v := r.value(column)) is not None}

    def pooled_sd(self, column: str) -> stats.PooledSd | None:
        """SD over seeds pooled over the trained rows; a fused row repeats its members' runs and stays out."""
        return stats.pool_sd(self._trained(column))

    def contrast(self, lhs: str, rhs: str, column: str) -> Contrast | None:
        """Difference lhs - rhs, or None while the rows have no finished seed in common."""
        left, right = self.values(lhs, column), self.values(rhs, column)
        seeds = tuple(sorted(left.keys() & right.keys()))
        if not seeds:
            return None
        ours, theirs = [left[s] for s in seeds], [right[s] for s in seeds]
        difference = float(np.mean(np.subtract(ours, theirs)))
        pooled = self.pooled_sd(column)
        clip = self._clip_part(lhs, rhs, column, seeds)
        known: dict[str, object] = {}
        if clip is not None:
            known |= {"se_clip": clip[0], "p_mcnemar": clip[1], "p_mcnemar_by_seed": clip[2]}
        if 2 <= len(seeds) <= 10:
            known["p_permutation"], known["p_permutation_floor"] = stats.permutation_p(ours, theirs)
        if pooled is None:
            known["why_open"] = "1 seed: the variance of training is unknown"
            return Contrast(lhs, rhs, column, difference, seeds, **known)  # type: ignore[arg-type]
        alike = stats.variances_are_alike(self._trained(column)) or len(seeds) < 2
        of_seeds = stats.seed_contrast(ours, theirs, pooled if alike else None)
        known |= {"se_seed": of_seeds.se, "sd": of_seeds.se * math.sqrt(len(seeds) / 2)}
        if clip is None:
            known["why_open"] = "the rows have no predictions of the same clips"
            return Contrast(lhs, rhs, column, difference, seeds, **known)  # type: ignore[arg-type]
        se = math.hypot(of_seeds.se, clip[0])
        total = stats.interval(difference, se, stats.add_df([of_seeds.se, clip[0]], [of_seeds.df, clip[3] - 1]))
        known |= {"low": total.low, "high": total.high}
        known["p"] = stats.t_p_value(difference / se, total.df) if se else float(difference == 0)
        return Contrast(lhs, rhs, column, difference, seeds, **known)  # type: ignore[arg-type]

    def _trained(self, column: str) -> list[list[float]]:
        rows = [row.label for row in self._table.rows if not row.quoted and not row.average]
        return [list(self.values(label, column).values()) for label in rows]

    def _clip_part(
        self, lhs: str, rhs: str, column: str, seeds: Sequence[int]
    ) -> tuple[float, float | None, tuple[float, ...], int] | None:
        """Bootstrap SE, McNemar's p over all seeds and by seed, number of clips; None unless these are the same."""
        if COLUMNS[column].metric == "residual":  # stored as a mean: no clips to resample
            return 0.0, None, (), 2**31
        first = self._of(lhs, seeds[0])
        if first is None or len(first.ids) < 2:
            return None
        for label in (lhs, rhs):
            for seed in seeds:
                other = self._of(label, seed)
                if other is None or not np.array_equal(first.ids, other.ids):
                    return None
        left, right = (np.stack([self._hit(label, s, column) for s in seeds]) for label in (lhs, rhs))
        strata = first.labels if COLUMNS[column].metric == "mean_class_acc" else None
        se = float(stats.clip_bootstrap(left, right, strata).std(ddof=1))
        by_seed = tuple(stats.mcnemar_p(a, b) for a, b in zip(left, right, strict=True))
        return se, stats.mcnemar_p(left, right), by_seed, len(first.ids)

    def _of(self, label: str, seed: int) -> Predictions | None:
        if (label, seed) not in self._predictions:
            read = next(r.predictions for r in self._runs[label] if r.seed == seed)
            self._predictions[label, seed] = read() if read else None
        return self._predictions[label, seed]

    def _hit(self, label: str, seed: int, column: str) -> np.ndarray:
        if (label, seed, column) not in self._hits:
            predictions = self._of(label, seed)
            assert predictions is not None
            k = TOP_K.get(COLUMNS[column].metric, 1)
            self._hits[label, seed, column] = hits_at_k(predictions.logits, predictions.labels, k)
        return self._hits[label, seed, column]
