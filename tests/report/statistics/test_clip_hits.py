"""Metrics that count clips, by level and within pairs: their values, and contrasts on them."""

import numpy as np
import pytest

from benchmark.config.datasets import AT_LEVEL
from benchmark.data.embedded.graded import levels
from benchmark.plan import row_runs
from benchmark.report.columns.measured import lacks
from benchmark.report.fuse import fuse_seed, with_fused
from benchmark.report.results import SeedResult
from benchmark.report.statistics.clip_hits import clip_hits, level_metrics, metrics_like
from benchmark.report.statistics.compare import Comparison, Contrast
from benchmark.runs.metrics import all_metrics, member_accuracy
from benchmark.runs.predictions import Predictions
from benchmark.spec.columns import COLUMNS
from benchmark.spec.load import load_table

CLIPS = 2560


def predictions(seed: int, share: float, at_slow: float) -> Predictions:
    """Right on a share of the clips, and on another one at the lowest speed; misses go to the partner or elsewhere."""
    draw = np.random.default_rng(seed)
    labels = np.arange(CLIPS) % 10
    slow = np.array([levels("val", i)[0] == 4 for i in range(CLIPS)])
    right = draw.random(CLIPS) < np.where(slow, at_slow, share)
    logits = draw.normal(size=(CLIPS, 10)).astype(np.float32)
    missed = np.where(draw.random(CLIPS) < 0.5, labels ^ 1, (labels + 2) % 10)
    logits[np.arange(CLIPS), np.where(right, labels, missed)] += 20
    return Predictions(np.array([f"{i:06d}" for i in range(CLIPS)]), labels, logits)


def run(seed: int, share: float, at_slow: float) -> SeedResult:
    found = predictions(seed, share, at_slow)
    metrics = {**all_metrics(found.logits, found.labels), **level_metrics(found)}
    metrics["member"] = member_accuracy(found.logits, found.labels)
    return SeedResult(seed, f"{seed:016x}", "done", metrics, lambda: found, clips=CLIPS)


def test_hits_at_a_level_are_those_of_its_clips() -> None:
    found = predictions(0, 0.9, 0.4)
    for name, (axis, level) in AT_LEVEL.items():
        mine = [i for i in range(CLIPS) if levels("val", i)[axis] == level]
        expected = [bool(found.logits[i].argmax() == found.labels[i]) for i in mine]
        assert len(mine) == 640
        assert clip_hits(name, found).tolist() == expected
        assert level_metrics(found)[name] == pytest.approx(100 * np.mean(expected))
    assert level_metrics(found)["top1_speed_4"] < 50 < 80 < level_metrics(found)["top1_speed_1"]
    partners = [found.logits[i, found.labels[i]] > found.logits[i, found.labels[i] ^ 1] for i in range(CLIPS)]
    assert clip_hits("member", found).tolist() == partners


def comparison() -> Comparison:
    table = load_table("checks-truth", "embedded", (0, 1, 2))
    runs = {
        "TSM": [run(seed, 0.8, 0.6) for seed in (0, 1, 2)],
        "4 frames": [run(10 + seed, 0.8, 0.5) for seed in (0, 1, 2)],
    }
    for seed, result in enumerate(runs["4 frames"]):
        runs["4 frames"][seed] = SeedResult(seed, **{k: v for k, v in vars(result).items() if k != "seed"})
    return Comparison(table, with_fused(table, runs))


def contrast(column: str) -> Contrast:
    found = comparison().contrast("TSM", "4 frames", column)
    assert found is not None
    return found


def test_rows_are_compared_on_the_clips_of_a_level_and_within_pairs() -> None:
    """Each with the error of the draw of its own clips: 640 at a level have twice that of all."""
    slow, fast = contrast("top1_speed_4"), contrast("top1_speed_1")
    assert slow.difference == pytest.approx(10, abs=3)
    assert fast.difference == pytest.approx(0, abs=3)
    assert slow.estimate is not None
    assert fast.estimate is not None
    assert slow.estimate.low > 0
    assert fast.estimate.low < 0 < fast.estimate.high
    assert 2.0 < slow.estimate.v_clip / contrast("top1").estimate.v_clip < 8.0  # type: ignore[union-attr]
    member = comparison().sample("TSM", "member")
    assert not isinstance(member, str)
    assert member.hits is not None  # its clips can be drawn again
    assert member.hits.shape == (3, CLIPS)


def test_averaged_predictions_have_the_metrics_that_all_members_have() -> None:
    first, second = run(0, 0.8, 0.6), run(1, 0.8, 0.6)
    fused = fuse_seed([first, second])
    assert fused.predictions is not None
    assert fused.metrics["top1_speed_4"] == pytest.approx(100 * clip_hits("top1_speed_4", fused.predictions()).mean())
    assert fused.metrics["member"] == pytest.approx(100 * clip_hits("member", fused.predictions()).mean())
    assert set(metrics_like([{"top1": 1.0}, first.metrics], fused.predictions())) == {"top1", "top5", "mean_class_acc"}


def test_a_level_says_nothing_of_clips_without_levels() -> None:
    column = COLUMNS["top1_clutter_2"]
    assert lacks(load_table("bqn-3b", "embedded"), column) is None
    lack = lacks(load_table("bqn-3b", "paper"), column)
    assert lack is not None
    assert (lack.where, lack.takes) == ("clips without levels", "a graded data set")


def test_a_row_from_other_seeds_is_the_same_network() -> None:
    table = load_table("checks-truth", "embedded", (0, 1))
    own, other = table.row("TSM"), table.row("TSM, other seeds")
    assert [seed for seed, _ in row_runs(own, table.seeds)] == [0, 1]
    assert [(seed, config.seed) for seed, config in row_runs(other, table.seeds)] == [(2, 2), (3, 3)]
    assert own.config == other.config
    assert [seed for seed, _ in row_runs(other, range(5))] == [5, 6, 7, 8, 9]
    complete = with_fused(table, {other.label: [run(3, 0.8, 0.8)]})
    assert [(result.seed, result.state) for result in complete[other.label]] == [(2, "pending"), (3, "done")]
