"""One seed of a row that is measured on several official splits of its data set, as UCF101 and HMDB51 are.

A cell takes the mean over the splits of each seed, then mean and SD over the seeds, so that the SD is that of training
and not of the splits, which are fixed. The predictions of all splits are kept together, each by the network of its own
split: the sampling error of a difference between rows is that of all test clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from statistics import fmean

import numpy as np

from benchmark.report.results import LEAST_ADVANCED, SeedResult
from benchmark.runs.predictions import Predictions


def over_splits(results: Sequence[SeedResult]) -> SeedResult:
    """The results of one seed on each split, in order, as one: the mean of their metrics.

    Its `members` are the runs that it is made of, those of fused results included. Predictions are pooled, their ids
    headed by the split's number; they are missing where those of a split are.
    """
    state = next(s for s in LEAST_ADVANCED if any(result.state == s for result in results))
    notes = [f"split {number}: {result.note}" for number, result in enumerate(results, 1) if result.note]
    sources = [result.predictions for result in results]
    available = [source for source in sources if source is not None]
    shared = set.intersection(*(set(result.metrics) for result in results)) if state == "done" else set()

    @cache
    def pooled() -> Predictions:
        parts = [source() for source in available]
        ids = [np.char.add(f"{number}/", part.ids.astype(str)) for number, part in enumerate(parts, 1)]
        labels, logits = ([getattr(part, name) for part in parts] for name in ("labels", "logits"))
        return Predictions(np.concatenate(ids), np.concatenate(labels), np.concatenate(logits))

    return SeedResult(
        results[0].seed,
        "+".join(result.key for result in results),
        state,
        {name: fmean(result.metrics[name] for result in results) for name in sorted(shared)},
        pooled if state == "done" and len(available) == len(results) else None,
        tuple(run for result in results for run in (result.members or (result,))),
        note="; ".join(notes),
        clips=sum(result.clips for result in results),
    )
