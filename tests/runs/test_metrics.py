import numpy as np
import pytest

from benchmark.runs.metrics import all_metrics, hits_at_k, mean_class_accuracy, top_k_accuracy


def test_hits_agree_with_a_stable_sort_even_with_many_ties() -> None:
    rng = np.random.default_rng(3)
    logits, labels = rng.integers(0, 4, (500, 9)).astype(float), rng.integers(0, 9, 500)
    order = np.argsort(-logits, axis=1, kind="stable")
    for k in (1, 2, 5):
        expected = (order[:, :k] == labels[:, None]).any(axis=1)
        np.testing.assert_array_equal(hits_at_k(logits, labels, k), expected)


def test_constant_logits_hit_the_first_classes_only() -> None:
    labels = np.arange(10)
    assert hits_at_k(np.zeros((10, 10)), labels, 3).tolist() == [True] * 3 + [False] * 7


def test_k_of_all_classes_or_more_is_always_a_hit() -> None:
    assert top_k_accuracy(np.random.default_rng(0).normal(size=(20, 3)), np.zeros(20, int), 5) == 100.0


def test_a_clip_without_prediction_is_a_miss_at_any_k() -> None:
    logits = np.array([[np.nan, np.nan], [1.0, 0.0]])
    assert hits_at_k(logits, np.array([0, 0]), 2).tolist() == [False, True]


def test_mean_class_accuracy_weights_classes_equally_and_skips_absent_ones() -> None:
    labels = np.array([0, 0, 0, 2])
    logits = np.eye(4)[[0, 0, 1, 1]]
    assert mean_class_accuracy(logits, labels) == pytest.approx(100 * (2 / 3 + 0) / 2)
    assert all_metrics(logits, labels)["top1"] == 50.0


@pytest.mark.parametrize(
    ("logits", "labels", "k"),
    [(np.zeros((2, 3)), np.array([0]), 1), (np.zeros((1, 3)), np.array([3]), 1), (np.zeros((1, 3)), np.array([0]), 0)],
)
def test_what_does_not_fit_is_refused(logits: np.ndarray, labels: np.ndarray, k: int) -> None:
    with pytest.raises(ValueError, match=r"labels|k must"):
        hits_at_k(logits, labels, k)
