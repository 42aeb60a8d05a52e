"""What two runs came to: their metrics, the paired difference on the clips that both saw, and what flipped."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from benchmark.config.datasets import DATASETS
from benchmark.config.run import RunConfig
from benchmark.report.diff.flips import Flips, find_flips
from benchmark.report.diff.recorded import Recorded
from benchmark.report.statistics import stats
from benchmark.report.statistics.clip_hits import HIT_METRICS, clip_hits, strata_of
from benchmark.report.statistics.noise import Noise, read_noise
from benchmark.report.statistics.stats import Estimate, RowSample
from benchmark.runs.key import dotted
from benchmark.runs.predictions import Predictions
from benchmark.runs.records.predictions import as_kept
from benchmark.spec.files import protocol_names
from benchmark.spec.protocol import load_protocol

Pair = tuple[Predictions, Predictions]
KNOWN_BY = ("data.dataset", "train.epochs", "train.batch_size")
"""Settings by which the protocol of a run is recognised: its rows may replace others."""


@dataclass(frozen=True)
class Metric:
    """One metric of both runs, in percent, and B - A on the clips that both have.

    Attributes:
        networks: The difference of these two trained networks: its error is the draw of clips alone.
        training: The same difference with how much training varies, where that is known of both.
    """

    name: str
    a: float | None
    b: float | None
    networks: Estimate | None = None
    training: Estimate | None = None


@dataclass(frozen=True)
class Outcome:
    """What two runs came to.

    Attributes:
        clips: How many clips are paired: both runs have them, with one label.
        alone: How many clips A alone and B alone has.
        unpaired: Why no clip is paired; "" where some are.
        exact: Whether all logits of both are known; of a record's, only what it keeps of them is.
        equal: Whether both have the same clips and every logit is the same, as far as it is known.
        flips: The clips whose prediction changed.
    """

    metrics: tuple[Metric, ...]
    clips: int = 0
    alone: tuple[int, int] = (0, 0)
    unpaired: str = ""
    exact: bool = True
    equal: bool = False
    flips: Flips = field(default_factory=Flips)


def compare_outcomes(a: Recorded, b: Recorded) -> Outcome:
    """Metrics, paired differences and flipped clips of two runs."""
    exact = not (a.coarse or b.coarse)
    pair = _pair(a, b, exact)
    names = dict.fromkeys([*a.metrics, *b.metrics])
    if isinstance(pair, str):
        return Outcome(tuple(Metric(name, a.metrics.get(name), b.metrics.get(name)) for name in names), unpaired=pair)
    clips = len(pair[0].ids)
    alone = (len(a.predictions.ids) - clips, len(b.predictions.ids) - clips)
    return Outcome(
        metrics=tuple(_metric(name, a, b, pair) for name in names),
        clips=clips,
        alone=alone,
        exact=exact,
        equal=alone == (0, 0) and np.array_equal(pair[0].logits, pair[1].logits, equal_nan=True),
        flips=find_flips(*pair, a.config.data.dataset, exact),
    )


def _pair(a: Recorded, b: Recorded, exact: bool) -> Pair | str:
    """The predictions for the clips that both runs have, or why none can be paired."""
    name, other = a.config.data.dataset, b.config.data.dataset
    if name != other:
        return f"A was evaluated on {name}, B on {other}"
    prints = [run.env.get("fingerprints", {}).get("val") for run in (a, b)]
    # What is generated anew has the old names; a user's clips keep theirs, whatever else is in the split.
    if DATASETS[name].generated and None not in prints and prints[0] != prints[1]:
        return f"{name} was generated anew between A and B (other fingerprints)"
    # Beside a record, a run directory's predictions are compared as a record of them would be.
    left, right = (run.predictions if exact or run.coarse else as_kept(run.predictions) for run in (a, b))
    _, ours, theirs = np.intersect1d(left.ids, right.ids, assume_unique=True, return_indices=True)
    same = left.labels[ours] == right.labels[theirs]
    if not same.any():
        return "no clip of A is in B with the same label"
    pair = ((left, ours[same]), (right, theirs[same]))
    left, right = (Predictions(p.ids[kept], p.labels[kept], p.logits[kept]) for p, kept in pair)
    return left, right


def _metric(name: str, a: Recorded, b: Recorded, pair: Pair) -> Metric:
    metric = Metric(name, a.metrics.get(name), b.metrics.get(name))
    if name not in HIT_METRICS or len(pair[0].labels) < 2:
        return metric
    strata = strata_of(name, pair[0])
    hits = [100.0 * clip_hits(name, p) for p in pair]
    values = [_mean(each, strata) for each in hits]
    of_clips = stats.clip_variance(hits[1] - hits[0], strata)
    networks = Estimate(values[1] - values[0], 0.0, float("inf"), of_clips)
    noise = [_noise(run.config, name) for run in (a, b)]
    samples = [
        RowSample((value,), each[None], known.spread, known.share * stats.clip_variance(each, strata) * len(each))
        for value, each, known in zip(values, hits, noise, strict=True)
        if known is not None
    ]
    training = stats.combine(samples, (-1.0, 1.0), strata) if len(samples) == 2 else None
    return Metric(name, metric.a, metric.b, networks, training)


def _mean(hits: NDArray[np.floating], strata: NDArray[np.integer] | None) -> float:
    if strata is None:
        return float(hits.mean())
    return float(np.mean([hits[strata == label].mean() for label in np.unique(strata)]))


def _noise(config: RunConfig, metric: str) -> Noise | None:
    """How much the trainings of such a run vary, if a protocol that it can be of knows it."""
    own = dotted(config.model_dump(mode="json"))
    for name in protocol_names():
        protocol = load_protocol(name).protocol
        if all(protocol.set.get(key) == own[key] for key in KNOWN_BY):
            return read_noise(name).of(protocol.family_of(config), metric)
    return None
