from types import SimpleNamespace

import numpy as np
import pytest

from benchmark.report.fuse import average_predictions, fuse_seed, with_fused
from benchmark.runs.metrics import all_metrics
from benchmark.runs.predictions import Predictions


def _two_clips(logits: list[list[float]]) -> Predictions:
    return Predictions(np.array(["a", "b"]), np.array([0, 1]), np.array(logits))


def test_probabilities_are_averaged_not_logits() -> None:
    sure, unsure = _two_clips([[9.0, 0.0], [0.0, 0.0]]), _two_clips([[0.0, 1.0], [0.0, 2.0]])
    fused = np.exp(average_predictions([sure, unsure]).logits)
    softmax = lambda a: 1 / (1 + np.exp(-a))  # noqa: E731
    np.testing.assert_allclose(fused[0, 0], (softmax(9) + softmax(-1)) / 2)
    np.testing.assert_allclose(fused.sum(axis=1), 1)


def test_a_constant_added_to_one_member_changes_nothing() -> None:
    first, second = _two_clips([[1.0, 0.0], [0.0, 3.0]]), _two_clips([[0.0, 1.0], [0.0, 2.0]])
    moved = Predictions(second.ids, second.labels, second.logits + 1000)
    np.testing.assert_allclose(average_predictions([first, moved]).logits, average_predictions([first, second]).logits)


def test_different_clips_are_refused() -> None:
    one = _two_clips([[1.0, 0.0], [0.0, 3.0]])
    other = Predictions(np.array(["a", "c"]), one.labels, one.logits)
    with pytest.raises(ValueError, match="different clips"):
        average_predictions([one, other])


def test_the_fused_row_of_3a_is_recomputed_from_pairs_of_the_same_seed(make: SimpleNamespace) -> None:
    table = make.table("bqn-3a", "proxy")
    runs = make.runs(table)
    fused = with_fused(table, runs)["Quiet+Busy"]
    for seed, result in zip(table.seeds, fused, strict=True):
        pair = [runs[label][seed].predictions() for label in ("Quiet", "Busy")]
        expected = average_predictions(pair)
        assert result.metrics == all_metrics(expected.logits, expected.labels)
        assert result.key == "+".join(runs[label][seed].key for label in ("Quiet", "Busy"))


def test_a_fused_seed_is_as_far_as_its_least_advanced_member(make: SimpleNamespace) -> None:
    done = make.seed_result("Quiet", 0, 50.0)
    for state in ("running", "failed", "interrupted", "pending", "queued"):
        assert fuse_seed([done, make.seed_result("Busy", 0, 50.0, state)]).state == state


def test_fusing_twice_changes_nothing(make: SimpleNamespace) -> None:
    table = make.table("bqn-3a", "proxy")
    once = with_fused(table, make.runs(table))
    assert with_fused(table, once) == once
