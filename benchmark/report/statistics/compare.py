"""Differences between rows from their finished runs, with both sources of error: seeds of training, and clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from benchmark.report.labels import flat
from benchmark.report.results import SeedResult
from benchmark.report.statistics import stats
from benchmark.report.statistics.clip_hits import HIT_METRICS, clip_hits, strata_of
from benchmark.report.statistics.noise import NOTHING_KNOWN, NoiseTable
from benchmark.report.statistics.stats import Estimate, RowSample, Spread
from benchmark.runs.predictions import Predictions
from benchmark.spec.columns import COLUMNS
from benchmark.spec.table import Row, Table

NO_PREDICTIONS = "no predictions, clip by clip"


@dataclass(frozen=True)
class Contrast:
    """Difference lhs - rhs on a measured column, in its unit, over all runs that each row has finished.

    `estimate` is None, and `why_open` says why, where a source of its error is unknown. `v_run` is the sum of the rows'
    variances between runs, with the `df` of its estimate: what a forecast of further seeds is made of. `p_dunnett`,
    `low` and `high` are simultaneous over the contrasts with a baseline, where this is one of them.
    """

    lhs: str
    rhs: str
    column: str
    difference: float
    runs: tuple[int, int]
    estimate: Estimate | None = None
    v_run: Spread | None = None
    why_open: str = ""
    p_dunnett: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass
class Comparison:
    """The finished runs of a table, ready to be contrasted. Predictions are read once per run.

    Attributes:
        table: The table.
        runs: By row, the fused ones included (`fuse.with_fused`).
        noise: How much training varies, by family of networks.
    """

    table: Table
    runs: Mapping[str, Sequence[SeedResult]]
    noise: NoiseTable = NOTHING_KNOWN
    _samples: dict[tuple[str, str], RowSample | str] = field(default_factory=dict, repr=False)
    _read: dict[str, list[Predictions]] = field(default_factory=dict, repr=False)

    def values(self, label: str, column: str) -> dict[int, float]:
        """The metric by finished seed."""
        return {r.seed: v for r in self.runs.get(label, ()) if (v := r.value(column)) is not None}

    def sample(self, label: str, column: str) -> RowSample | str:
        """The row's runs with what is known of their spread, or why that is not known."""
        if (label, column) not in self._samples:
            self._samples[label, column] = self._make_sample(label, column)
        return self._samples[label, column]

    def unstable(self, label: str, column: str) -> str | None:
        """What a table says of a row whose SD between seeds exceeds its family's (F test, 1 %); None for the others.

        The family's SD is that of the protocol's noise table, or else that of this table's other rows of the family.
        """
        values = list(self.values(label, column).values())
        own, family = stats.own_spread(values), self._family_spread(label, column, without=label)
        if own is None or family is None or stats.exceeds_p(own, family) >= stats.UNSTABLE_ALPHA:
            return None
        digits = COLUMNS[column].decimals
        return (
            f"unstable training (SD {own.sd:.{digits}f} over {len(values)} seeds, its family's {family.sd:.{digits}f})"
        )

    def contrast(self, lhs: str, rhs: str, column: str) -> Contrast | None:
        """Difference lhs - rhs, or None while one of the rows has no finished run."""
        left, right = (list(self.values(label, column).values()) for label in (lhs, rhs))
        if not left or not right:
            return None
        difference = float(np.mean(left) - np.mean(right))
        counts = (len(left), len(right))
        found = self._combined((lhs, rhs), (1.0, -1.0), column)
        if isinstance(found, str):
            return Contrast(lhs, rhs, column, difference, counts, why_open=found)
        estimate, samples = found
        dfs = {sample.spread.family or i: sample.spread.df for i, sample in enumerate(samples)}
        v_run = Spread(sum(sample.spread.variance for sample in samples), sum(dfs.values()))
        return Contrast(lhs, rhs, column, difference, counts, estimate, v_run)

    def trend(self, labels: Sequence[str], column: str) -> Estimate | str:
        """The mean rise from each row to the next (least-squares slope), or why it is not known."""
        found = self._combined(labels, stats.trend_weights(len(labels)), column)
        return found if isinstance(found, str) else found[0]

    def with_baseline(self, column: str) -> list[Contrast]:
        """Every other measured row against the table's baseline, simultaneously (Dunnett)."""
        base = self.table.baseline
        found = [
            contrast
            for row in self.table.rows
            if row.label != base and not row.theirs and (contrast := self.contrast(row.label, base, column)) is not None
        ]
        known = [(c, c.estimate) for c in found if c.estimate is not None and c.estimate.se]
        if not known:
            return found
        variances = [estimate.se**2 for _, estimate in known]
        correlation = np.eye(len(known))
        for i, (first, _) in enumerate(known):
            for j, (second, _) in enumerate(known[:i]):
                between = self._combined((first.lhs, second.lhs), (1.0, -1.0), column)
                assert not isinstance(between, str)
                shared = (variances[i] + variances[j] - between[0].se ** 2) / 2
                correlation[i, j] = correlation[j, i] = np.clip(shared / np.sqrt(variances[i] * variances[j]), 0, 1)
        dfs = [estimate.common_df for _, estimate in known]
        p_values, critical = stats.joint_p([e.value / e.se for _, e in known], correlation, dfs)
        joint = {
            contrast.lhs: (p, estimate.value - c * estimate.se, estimate.value + c * estimate.se)
            for (contrast, estimate), p, c in zip(known, p_values, critical, strict=True)
        }
        return [_with_joint(contrast, joint.get(contrast.lhs)) for contrast in found]

    def _combined(
        self, labels: Sequence[str], weights: Sequence[float], column: str
    ) -> tuple[Estimate, list[RowSample]] | str:
        samples = []
        for label in labels:
            sample = self.sample(label, column)
            if isinstance(sample, str):
                return sample
            samples.append(sample)
        strata = None
        if all(sample.hits is not None for sample in samples):
            first = self._predictions(labels[0])[0]
            if not all(_same_clips(first, other) for label in labels for other in self._predictions(label)):
                return "the rows were not evaluated on the same clips"
            strata = strata_of(COLUMNS[column].metric, first)
        return stats.combine(samples, weights, strata), samples

    def _make_sample(self, label: str, column: str) -> RowSample | str:
        values = tuple(self.values(label, column).values())
        if not values:
            return f"not measured yet: {flat(label)}"
        hits = self._hits(label, column)
        if hits is None and COLUMNS[column].metric in HIT_METRICS:
            return NO_PREDICTIONS
        strata = strata_of(COLUMNS[column].metric, self._predictions(label)[0]) if hits is not None else None
        own = stats.own_spread(values)
        if own is not None:
            between = stats.interaction(hits, strata) if hits is not None else 0.0
            return RowSample(values, hits, own, between or 0.0)
        family = self._family_spread(label, column)
        if family is None:
            return "1 seed, and no other of its family: how much training varies is unknown"
        run_clip = 0.0
        if hits is not None and hits.shape[1] > 1:
            run_clip = self._family_share(label, column) * stats.clip_variance(hits[0], strata) * hits.shape[1]
        return RowSample(values, hits, family, run_clip)

    def _hits(self, label: str, column: str) -> np.ndarray | None:
        """(runs, clips) of 0 and 100; None for a metric without hits, or where runs lack predictions."""
        metric, predictions = COLUMNS[column].metric, self._predictions(label)
        if metric not in HIT_METRICS or not predictions or len(predictions) < len(self.values(label, column)):
            return None
        if not all(_same_clips(predictions[0], other) for other in predictions):
            return None
        return np.stack([100.0 * clip_hits(metric, p) for p in predictions])

    def _predictions(self, label: str) -> list[Predictions]:
        if label not in self._read:
            done = [r for r in self.runs.get(label, ()) if r.state == "done"]
            self._read[label] = [r.predictions() for r in done if r.predictions is not None]
        return self._read[label]

    def _families(self, label: str) -> list[str]:
        """The row's family; those of its members, for a row that averages others."""
        row = self.table.row(label)
        return [member.family for member in self.table.members(row) if member.family]

    def _family_spread(self, label: str, column: str, without: str = "") -> Spread | None:
        """The family's variance between seeds; the largest of them, for a row that averages several."""
        found = []
        for family in self._families(label):
            noise = self.noise.of(family, COLUMNS[column].metric)
            rows = [row for row in self._of_family(family) if row.label != without]
            pooled = stats.pooled_spread([list(self.values(row.label, column).values()) for row in rows])
            if noise is not None:
                found.append(noise.spread)
            elif pooled is not None:
                found.append(Spread(pooled.variance, pooled.df, family))
            else:
                return None
        return max(found, key=lambda spread: spread.variance, default=None)

    def _family_share(self, label: str, column: str) -> float:
        """The part of a run's variance between clips that is the run's own; 0, on the wide side, if it is unknown."""
        known = [self.noise.of(family, COLUMNS[column].metric) for family in self._families(label)]
        return min((noise.share if noise else 0.0 for noise in known), default=0.0)

    def _of_family(self, family: str) -> list[Row]:
        ours = (row for row in self.table.rows if row.config is not None and not row.theirs)
        return [row for row in ours if row.family == family]


def _with_joint(contrast: Contrast, joint: tuple[float, float, float] | None) -> Contrast:
    if joint is None:
        return contrast
    p, low, high = joint
    return replace(contrast, p_dunnett=p, low=low, high=high)


def _same_clips(one: Predictions, other: Predictions) -> bool:
    return np.array_equal(one.ids, other.ids) and np.array_equal(one.labels, other.labels)
