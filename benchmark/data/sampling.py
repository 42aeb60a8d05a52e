"""Segment sampling: which frames of a clip the network sees.

Notation: a clip has `frames` F frames, is divided into `segments` N segments, and every segment contributes `length`
d consecutive frames (d = 1 for RGB, d = 3 for MBPM). Indices are 0-BASED here; the released code and the papers count
from 1, so its values are one larger.

Sources: TSN (Wang et al. 2016, Section 3.1) for uniform sampling, TSM (Lin et al. 2019, released code) for `twice`
and for dense sampling with d = 1, BQN (released code) for d = 3, which DA and the thesis do with any d > 1. A segment
that runs over the end of the clip repeats the last frame.

`dense` has two senses. Of single frames (d = 1) it is N frames spread over a window of 64. Of several frames a segment
(d > 1) it is N d frames in a row: no frame is left out.

Random draws are made as numbers in [0, 1) that are then scaled, so that two rows with different d but the same
generator state look at the same times of the clip.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
Sampling = Literal["uniform", "dense"]

DENSE_WINDOW = 64
"""Frames that a dense clip of single frames spans (TSM); its stride is the window // N. X3D's own is 80 for M."""


def _check(frames: int, segments: int, length: int) -> None:
    if frames < 1 or segments < 1 or length < 1:
        raise ValueError(f"frames, segments and length must be at least 1, got {frames}, {segments}, {length}")


def train_uniform(frames: int, segments: int, length: int, rng: np.random.Generator) -> Indices:
    """One random start per segment, (N,).

    With a = (F - d + 1) // N > 0, segment k starts in [k a, (k + 1) a). A clip too short for that, yet longer than N,
    gets N sorted draws from its possible starts; a still shorter one starts at 0 everywhere.
    """
    _check(frames, segments, length)
    draws = rng.random(segments)
    spacing = (frames - length + 1) // segments
    if spacing > 0:
        return np.arange(segments) * spacing + (draws * spacing).astype(np.int64)
    if frames > segments:
        return np.sort((draws * max(1, frames - length + 1)).astype(np.int64))
    return np.zeros(segments, dtype=np.int64)


def _spaced(frames: int, segments: int, length: int, shift: float) -> Indices:
    spacing = max(0.0, (frames - length + 1) / segments)
    return (spacing * shift + spacing * np.arange(segments)).astype(np.int64)


def val_uniform(frames: int, segments: int, length: int) -> Indices:
    """The centre start of every segment, (N,); all 0 unless F > N + d - 1.

    What the released code validates with during training.
    """
    _check(frames, segments, length)
    if frames > segments + length - 1:
        return _spaced(frames, segments, length, 0.5)
    return np.zeros(segments, dtype=np.int64)


def centred_uniform(frames: int, segments: int, length: int) -> Indices:
    """The centre start of every segment, (N,), for clips of any length.

    What the released code reports accuracies with.
    """
    _check(frames, segments, length)
    return _spaced(frames, segments, length, 0.5)


def twice_uniform(frames: int, segments: int, length: int) -> Indices:
    """Two clips, (2, N): the centred starts, then the first possible start of every segment."""
    _check(frames, segments, length)
    return np.stack([_spaced(frames, segments, length, 0.5), _spaced(frames, segments, length, 0.0)])


def several_uniform(frames: int, segments: int, length: int, clips: int) -> Indices:
    """`clips` sets of starts spread evenly over the segments, (clips, N): set j is (j + 1/2) / clips into each.

    For the twenty clips that the thesis tests (Section 3.3.1) without giving their positions; one clip is the centred.
    """
    _check(frames, segments, length)
    spacing = max(0.0, (frames - length + 1) / segments)
    # In the released code's order of operations: where a start is whole, floats may fall short of it in both.
    offsets = spacing * (2 * np.arange(clips) + 1) / (2 * clips)
    return (offsets[:, None] + spacing * np.arange(segments)).astype(np.int64)


def _dense_span(segments: int, length: int, window: int) -> tuple[int, int]:
    # BQN's dense clip of triples is 3N frames in a row; TSM's clip of single frames is strided over a fixed window.
    if length > 1:
        return segments * length, length
    return window, max(1, window // segments)


def train_dense(
    frames: int, segments: int, length: int, rng: np.random.Generator, window: int = DENSE_WINDOW
) -> Indices:
    """The starts of one randomly placed dense clip, (N,), modulo F.

    The last possible position is never drawn: the released code draws from {0, ..., positions - 2}.
    """
    _check(frames, segments, length)
    span, stride = _dense_span(segments, length, window)
    positions = max(1, 1 + frames - span)
    start = int(rng.random() * max(1, positions - 1))
    return (start + stride * np.arange(segments)) % frames


def spread_dense(frames: int, segments: int, length: int, clips: int, window: int = DENSE_WINDOW) -> Indices:
    """The starts of `clips` dense clips spread evenly from the first to the last possible position, (clips, N).

    A single clip is centred: the released code has only 10 clips, and a random one for validation.
    """
    _check(frames, segments, length)
    if clips < 1:
        raise ValueError(f"clips must be at least 1, got {clips}")
    span, stride = _dense_span(segments, length, window)
    last = max(0, frames - span)
    first = np.linspace(0, last, clips).astype(np.int64) if clips > 1 else np.array([last // 2])
    return (first[:, None] + stride * np.arange(segments)) % frames


def expand(starts: Indices, length: int, frames: int) -> Indices:
    """Every start p becomes p, ..., p + d - 1, clamped to the last frame: (..., N) -> (..., N d), segment-major."""
    runs = np.minimum(starts[..., None] + np.arange(length), frames - 1)
    return runs.reshape(*starts.shape[:-1], -1)


def train_indices(
    frames: int,
    segments: int,
    length: int,
    sampling: Sampling,
    rng: np.random.Generator,
    window: int = DENSE_WINDOW,
) -> Indices:
    """Frame indices of one random training clip, (N d,). `window`: of dense clips of single frames."""
    if sampling == "dense":
        return expand(train_dense(frames, segments, length, rng, window), length, frames)
    return expand(train_uniform(frames, segments, length, rng), length, frames)


def eval_indices(
    frames: int,
    segments: int,
    length: int,
    sampling: Sampling,
    clips: int,
    window: int = DENSE_WINDOW,
    rng: np.random.Generator | None = None,
) -> Indices:
    """Frame indices of the temporal views of a clip, (clips, N d).

    Dense views are spread from the first possible start to the last. Of uniform sampling one view is centred, two are
    the centred and the shifted one (`twice_uniform`), more are spread evenly (`several_uniform`). With `rng` all are
    drawn as training clips are (MotionSqueeze, Section 4.2: ten randomly sampled clips).

    Raises:
        ValueError: less than one frame, segment, frame of a segment, or clip.
    """
    if clips < 1:
        raise ValueError(f"clips must be at least 1, got {clips}")
    if rng is not None:
        return np.stack([train_indices(frames, segments, length, sampling, rng, window) for _ in range(clips)])
    if sampling == "dense":
        starts = spread_dense(frames, segments, length, clips, window)
    elif clips == 2:
        starts = twice_uniform(frames, segments, length)
    else:
        starts = several_uniform(frames, segments, length, clips)
    return expand(starts, length, frames)
