"""Segment sampling against indices worked out by hand from the papers' rules. Expected values count from 1."""

import numpy as np
import pytest

from benchmark.data.sampling import (
    centred_uniform,
    eval_indices,
    expand,
    spread_dense,
    train_dense,
    train_indices,
    train_uniform,
    twice_uniform,
    val_uniform,
)


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        (20, [2, 4, 6, 8, 11, 13, 15, 17]),
        (36, [3, 7, 11, 15, 20, 24, 28, 32]),
        (50, [4, 10, 16, 22, 28, 34, 40, 46]),
        (10, [1] * 8),
    ],
)
def test_validation_starts_of_triples(frames: int, expected: list[int]) -> None:
    assert (val_uniform(frames, 8, 3) + 1).tolist() == expected


def test_test_time_starts_have_no_length_guard() -> None:
    assert (centred_uniform(10, 8, 3) + 1).tolist() == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize(
    ("frames", "second"), [(20, [1, 3, 5, 7, 10, 12, 14, 16]), (36, [1, 5, 9, 13, 18, 22, 26, 30])]
)
def test_twice_is_the_centred_set_and_the_first_starts(frames: int, second: list[int]) -> None:
    first, shifted = twice_uniform(frames, 8, 3)
    assert first.tolist() == centred_uniform(frames, 8, 3).tolist()
    assert (shifted + 1).tolist() == second


def test_ten_dense_clips_of_triples() -> None:
    starts = spread_dense(250, 16, 3, 10)
    assert (starts[:, 0] + 1).tolist() == [1, 23, 45, 68, 90, 113, 135, 158, 180, 203]
    assert (np.diff(starts, axis=1) == 3).all()


def test_dense_single_frames_span_64_and_wrap_around() -> None:
    starts = spread_dense(40, 8, 1, 1)[0]
    assert starts.tolist() == [(8 * k) % 40 for k in range(8)]


def test_training_starts_cover_each_segment_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    draws = np.stack([train_uniform(36, 8, 3, rng) for _ in range(500)])
    spacing = (36 - 3 + 1) // 8
    for k in range(8):
        assert set(draws[:, k].tolist()) == set(range(k * spacing, (k + 1) * spacing))


def test_training_on_a_clip_shorter_than_its_segments_allow() -> None:
    rng = np.random.default_rng(0)
    starts = train_uniform(9, 8, 3, rng)  # spacing 0, but more frames than segments
    assert (np.diff(starts) >= 0).all()
    assert starts.max() <= 6
    assert train_uniform(5, 8, 3, rng).tolist() == [0] * 8


def test_a_segment_at_the_end_repeats_the_last_frame() -> None:
    assert expand(np.array([0, 3]), 3, 5).tolist() == [0, 1, 2, 3, 4, 4]


def test_dense_training_never_draws_the_last_position() -> None:
    rng = np.random.default_rng(0)
    firsts = {int(train_dense(27, 8, 3, rng)[0]) for _ in range(200)}
    assert firsts == {0, 1, 2}  # four positions would fit


def test_rows_with_one_and_three_frames_draw_the_same_places_within_their_segments() -> None:
    one = train_indices(801, 8, 1, "uniform", np.random.default_rng(3))
    three = train_indices(803, 8, 3, "uniform", np.random.default_rng(3)).reshape(8, 3)[:, 0]
    assert one.tolist() == three.tolist()  # segments of 100 in both


def test_views_and_their_limits() -> None:
    assert eval_indices(36, 8, 3, "uniform", 2).shape == (2, 24)
    with pytest.raises(ValueError, match="uniform sampling has 1 or 2 clips"):
        eval_indices(36, 8, 3, "uniform", 3)
    with pytest.raises(ValueError, match="at least 1"):
        val_uniform(0, 8, 3)
