"""How much training varies between seeds, by family of networks: results/noise/<protocol>.csv, read and made.

A family is named in the protocol (`families`). The table pools, over every row that was trained with two seeds or
more, the variance between seeds around the row's own mean, and says what share of a run's variance between clips is
that run's own (the interaction of run and clip). With it one seed has an honest interval.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmark.config.folders import REPOSITORY
from benchmark.report.statistics.stats import Spread, interaction, own_spread, pooled_spread
from benchmark.report.writing import results_root

FIELDS = ("family", "metric", "sd", "df", "run_clip_share", "rows", "runs", "lowest_sd", "highest_sd", "tables")


class NoiseError(Exception):
    """A noise table cannot be read; the message says what to do."""


@dataclass(frozen=True)
class Noise:
    """What a family's repeats tell about one metric.

    Attributes:
        sd: Between seeds, in the metric's unit, pooled over rows.
        df: Its degrees of freedom: runs less rows.
        share: Of a run's variance between clips, the part that another run of the same row does not share.
        lowest: The smallest SD of a row.
        highest: The largest.
        tables: Where the rows stand.
    """

    family: str
    metric: str
    sd: float
    df: int
    share: float
    rows: int
    runs: int
    lowest: float
    highest: float
    tables: tuple[str, ...] = ()

    @property
    def spread(self) -> Spread:
        """As a variance, named by its family."""
        return Spread(self.sd**2, self.df, self.family)


@dataclass(frozen=True)
class NoiseTable:
    """A protocol's noise by (family, metric), and the digest of the file that it was read from ("" for none)."""

    entries: Mapping[tuple[str, str], Noise]
    digest: str = ""
    path: str = ""

    def of(self, family: str, metric: str) -> Noise | None:
        """The family's noise in a metric, if it is known."""
        return self.entries.get((family, metric))


NOTHING_KNOWN = NoiseTable({})


@dataclass(frozen=True)
class Repeats:
    """The finished runs of one row: metrics by name, and hits (runs, clips) of 0 and 1."""

    family: str
    table: str
    values: Mapping[str, Sequence[float]]
    hits: Mapping[str, np.ndarray]


def noise_path(protocol: str) -> Path:
    """The protocol's file in the results folder, or else the one that comes with the repository."""
    own = results_root() / "noise" / f"{protocol}.csv"
    shipped = REPOSITORY / "results" / "noise" / f"{protocol}.csv"
    return own if own.exists() or not shipped.exists() else shipped


def read_noise(protocol: str) -> NoiseTable:
    """The protocol's noise table; an empty one where there is none.

    Raises:
        NoiseError: the file is damaged.
    """
    path = noise_path(protocol)
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return NOTHING_KNOWN
    entries = {}
    try:
        for line in csv.DictReader(io.StringIO(data.decode())):
            sd, share, low, high = (float(line[n]) for n in ("sd", "run_clip_share", "lowest_sd", "highest_sd"))
            counts = (int(line[name]) for name in ("df", "rows", "runs"))
            df, rows, runs = counts
            if not (sd >= 0 and 0 <= share <= 1 and df > 0 and all(map(math.isfinite, (sd, low, high)))):
                raise ValueError(f"{line['family']}, {line['metric']}: impossible values")
            entries[line["family"], line["metric"]] = Noise(
                line["family"], line["metric"], sd, df, share, rows, runs, low, high, tuple(line["tables"].split())
            )
    except (KeyError, TypeError, ValueError) as error:
        raise NoiseError(f"{path} is damaged ({error}); restore it, or make it again with `make noise`") from None
    return NoiseTable(entries, hashlib.sha256(data).hexdigest(), path.name)


def pool(rows: Iterable[Repeats]) -> list[Noise]:
    """The noise of every family and metric that has a row of two runs; families and metrics in their order."""
    by_family: dict[tuple[str, str], list[Repeats]] = {}
    for row in rows:
        for metric, runs in row.values.items():
            if len(runs) > 1:
                by_family.setdefault((row.family, metric), []).append(row)
    found = []
    for (family, metric), repeats in sorted(by_family.items()):
        values = [repeat.values[metric] for repeat in repeats]
        spread = pooled_spread(values)
        sds = [own.sd for each in values if (own := own_spread(each)) is not None]
        assert spread is not None
        found.append(
            Noise(
                family,
                metric,
                spread.sd,
                int(spread.df),
                _share([repeat.hits[metric] for repeat in repeats if metric in repeat.hits]),
                len(repeats),
                sum(map(len, values)),
                min(sds),
                max(sds),
                tuple(sorted({repeat.table for repeat in repeats})),
            )
        )
    return found


def _share(hits: Sequence[np.ndarray]) -> float:
    """Mean over rows, weighted by degrees of freedom, of the interaction's share of the variance between clips.

    Zero where it is not known: then nothing is taken off a one-seed row's error.
    """
    parts = [
        (len(h) - 1, each, float(h.var(axis=1, ddof=1).mean())) for h in hits if (each := interaction(h)) is not None
    ]
    whole = sum(weight * total for weight, _, total in parts)
    return min(1.0, sum(weight * each for weight, each, _ in parts) / whole) if whole else 0.0


def noise_csv(entries: Iterable[Noise]) -> str:
    """The file's content; six digits are more than any of these numbers has."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(FIELDS)
    for n in entries:
        numbers = [f"{value:.6g}" for value in (n.sd, n.df, n.share, n.rows, n.runs, n.lowest, n.highest)]
        writer.writerow([n.family, n.metric, *numbers, " ".join(n.tables)])
    return buffer.getvalue()
