"""Segment sampling against indices worked out by hand from the papers' rules. Expected values count from 1."""

import numpy as np
import pytest

from benchmark.data.sampling import (
    centred_uniform,
    eval_indices,
    expand,
    several_uniform,
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
    for frames in (34, 36):
        draws = np.stack([train_uniform(frames, 8, 3, rng) for _ in range(500)])
        for k in range(8):
            assert set(draws[:, k].tolist()) == set(range(4 * k, 4 * k + 4))


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
    assert train_dense(40, 8, 1, rng).tolist() == [(8 * k) % 40 for k in range(8)]  # a shorter clip begins again


def test_rows_with_one_and_three_frames_draw_the_same_places_within_their_segments() -> None:
    one = train_indices(801, 8, 1, "uniform", np.random.default_rng(3))
    three = train_indices(803, 8, 3, "uniform", np.random.default_rng(3)).reshape(8, 3)[:, 0]
    assert one.tolist() == three.tolist()  # segments of 100 in both


def from_one(frames: int, segments: int, length: int, shift: float) -> list[int]:
    """Starts by the rule of the released code, counted from 1: each is a whole number of steps past the shift."""
    step, starts = (frames - length + 1) / segments, []
    for k in range(segments):
        start = 1
        while start + 1 <= step * shift + step * k + 1:
            start += 1
        starts.append(start)
    return starts


@pytest.mark.parametrize(("segments", "length"), [(8, 1), (8, 3), (16, 3), (4, 8), (1, 10)])
def test_centred_and_first_starts_restated(segments: int, length: int) -> None:
    for frames in (*range(length, 60), 97, 250):
        first, shifted = twice_uniform(frames, segments, length) + 1
        assert first.tolist() == from_one(frames, segments, length, 0.5), frames
        assert shifted.tolist() == from_one(frames, segments, length, 0.0), frames
        assert several_uniform(frames, segments, length, 1)[0].tolist() == (first - 1).tolist(), frames


def test_test_vectors_of_triples_at_all_frames() -> None:
    starts = [4, 10, 16, 22, 28, 34, 40, 46]  # of 50 frames, counted from 1
    expected = [start - 1 + i for start in starts for i in range(3)]
    assert eval_indices(50, 8, 3, "uniform", 1).tolist() == [expected]


def test_twenty_clips_of_one_frame_are_the_middles_of_twenty_parts() -> None:
    assert eval_indices(200, 1, 1, "uniform", 20)[:, 0].tolist() == list(range(5, 200, 10))
    views = eval_indices(120, 3, 1, "uniform", 20)  # three segments of 40: one frame of each in every view
    assert (views // 40 == [0, 1, 2]).all()
    assert sorted(set(views[:, 0].tolist())) == list(range(1, 40, 2))


@pytest.mark.parametrize(("segments", "stride"), [(8, 8), (16, 4), (24, 2), (4, 16)])
def test_a_dense_clip_of_single_frames_is_strided_over_64(segments: int, stride: int) -> None:
    rng, firsts = np.random.default_rng(0), set()
    for _ in range(600):
        drawn = train_indices(100, segments, 1, "dense", rng).tolist()
        firsts.add(drawn[0])
        assert drawn == [drawn[0] + stride * k for k in range(segments)]
    assert firsts == set(range(36))  # 100 - 64 + 1 places, of which the last is never drawn
    views = eval_indices(300, segments, 1, "dense", 10)
    assert views[:, 0].tolist() == [int(236 * j / 9) for j in range(10)]


def test_a_dense_clip_of_several_frames_leaves_none_out() -> None:
    for length in (3, 4, 8):
        drawn = train_indices(300, 8, length, "dense", np.random.default_rng(length)).tolist()
        assert drawn == list(range(drawn[0], drawn[0] + 8 * length))
    views = eval_indices(250, 16, 3, "dense", 10)
    assert [view.tolist() for view in views] == [list(range(start - 1, start + 47)) for start in
                                                 (1, 23, 45, 68, 90, 113, 135, 158, 180, 203)]  # fmt: skip


def test_a_clip_of_consecutive_frames_is_one_dense_segment() -> None:
    views = eval_indices(100, 1, 10, "dense", 20)
    assert views[:, 0].tolist() == [int(90 * j / 19) for j in range(20)]
    assert (np.diff(views, axis=1) == 1).all()


def test_the_window_of_single_frames_is_an_option() -> None:
    x3d = eval_indices(300, 16, 1, "dense", 1, window=80)[0]
    assert np.diff(x3d).tolist() == [5] * 15
    assert x3d[0] == (300 - 80) // 2
    assert train_indices(79, 16, 1, "dense", np.random.default_rng(0), 80).tolist() == [5 * k % 79 for k in range(16)]
    triples = [eval_indices(300, 8, 3, "dense", 2, window=w).tolist() for w in (64, 80)]
    assert triples[0] == triples[1]


def test_drawn_views_are_training_clips() -> None:
    views = eval_indices(100, 8, 1, "uniform", 10, rng=np.random.default_rng(5))
    rng = np.random.default_rng(5)
    assert views.tolist() == [train_indices(100, 8, 1, "uniform", rng).tolist() for _ in range(10)]
    assert len({tuple(view) for view in views.tolist()}) == 10


def test_views_and_their_limits() -> None:
    assert eval_indices(36, 8, 3, "uniform", 2).tolist() == expand(twice_uniform(36, 8, 3), 3, 36).tolist()
    for sampling in ("uniform", "dense"):
        with pytest.raises(ValueError, match="clips must be at least 1"):
            eval_indices(36, 8, 3, sampling, 0)
    with pytest.raises(ValueError, match="at least 1"):
        val_uniform(0, 8, 3)
