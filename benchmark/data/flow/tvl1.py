"""TV-L1 optical flow of a clip by OpenCV, and how it is quantised to eight bits.

What is computed The flow from each frame to the next one, on grey values, by OpenCV's dual TV-L1 (Zach, Pock and
    Bischof, DAGM 2007; Sánchez, Meinhardt-Llopis and Facciolo, IPOL 2013), at the size of the video. A clip of n frames
    has n - 1 fields of (u, v): pixels to the right and down. With an interval of k, the flow to the k-th frame after
    each one, n - k fields.

How it is quantised On TSN's scale (Wang et al., ECCV 2016), 255 levels for [-BOUND, BOUND] = [-20, 20] pixels, with
    zero at 128: q = round(128 + 6.375 v), halves to even, cut to 1..255. A level is 0.157 pixels, the largest rounding
    error 0.078, the largest flow 19.92. A flow that is mirrored is 256 - q, and both directions are treated alike. By
    TSN's round(127.5 + 6.375 v) zero is 128 too, but the smallest motion to the left is 127.

How it is solved Frames whose short side is above SMALL_SIDE: OpenCV's defaults. Below: SMALL, a ninth of the time.
    Against the exact flow of motionpairs (64 x 80 pixels, 66 pairs of 11 clips, before quantisation; mean end-point
    error in pixels over all pixels and over the sprite's, milliseconds of one core per pair):

    | settings | all | sprite | ms |
    |---|---|---|---|
    | zero flow | 0.955 | 1.253 | |
    | OpenCV's defaults: 5 scales of step 0.8, 5 warps, 10 x 30 iterations, epsilon 0.01 | 0.156 | 0.185 | 56.6 |
    | the same, epsilon 0.03 | 0.186 | 0.178 | 16.8 |
    | 3 scales of step 0.5, 3 warps, 4 x 30, epsilon 0.01 | 0.157 | 0.184 | 28.0 |
    | 3 scales of step 0.5, 3 warps, 4 x 30, epsilon 0.03 | 0.191 | 0.177 | 8.8 |
    | 3 scales of step 0.5, 2 warps, 1 x 15, epsilon 0.01 | 0.187 | 0.181 | 8.9 |
    | SMALL: 3 scales of step 0.5, 2 warps, 1 x 10, epsilon 0.01 | 0.198 | 0.170 | 6.4 |

    Fewer iterations cost accuracy on the background, which is weak in contrast, and none on the sprite.

    Frames that are farther apart are solved with the same settings and kept on the same scale: what is lost so is part
    of what flow at a low frame rate is. By interval, on 66 pairs of 11 other clips, spread evenly over motionpairs/val
    (before quantisation; mean end-point error in pixels over the sprite's pixels):

    | interval, frames | zero flow | SMALL | OpenCV's defaults |
    |---|---|---|---|
    | 1 | 1.28 | 0.34 | 0.46 |
    | 2 | 2.21 | 0.70 | 0.83 |
    | 4 | 4.00 | 1.97 | 1.98 |

    Over 4 frames the error is half of the sprite's motion with either settings. No flow there reaches BOUND.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.data.decode.video import Frames
from benchmark.data.errors import DataError

BOUND = 20.0
"""Largest displacement that is kept, in pixels of a field: from one frame to the next, or over its interval."""
ZERO = 128
"""The level of no motion."""
LEVELS_PER_PIXEL = 255 / (2 * BOUND)
SMALL_SIDE = 96
"""Frames with a short side of up to this many pixels are solved with SMALL."""


@dataclass(frozen=True)
class TvL1:
    """Settings of the solver, with OpenCV's defaults."""

    tau: float = 0.25
    lam: float = 0.15
    theta: float = 0.3
    scales: int = 5
    scale_step: float = 0.8
    warps: int = 5
    outer_iterations: int = 10
    inner_iterations: int = 30
    epsilon: float = 0.01
    median: int = 5


NORMAL = TvL1()
SMALL = TvL1(scales=3, scale_step=0.5, warps=2, outer_iterations=1, inner_iterations=10)


def settings_for(height: int, width: int) -> TvL1:
    """The solver's settings for frames of a size."""
    return SMALL if min(height, width) <= SMALL_SIDE else NORMAL


def quantise(flow: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Pixels to levels, 1..255: zero is ZERO, 6.375 levels a pixel; what lies beyond about 20 pixels is cut off."""
    return np.clip(np.rint(ZERO + LEVELS_PER_PIXEL * flow), 1, 255).astype(np.uint8)


def dequantise(levels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Levels to pixels, within half a level (0.078 pixels) of what was quantised, unless that was cut off."""
    return (levels.astype(np.float32) - ZERO) / np.float32(LEVELS_PER_PIXEL)


def tvl1(frames: Frames, settings: TvL1, interval: int = 1) -> NDArray[np.float32]:
    """Flow from each frame i to frame i + interval, (n, H, W, 3) uint8 RGB -> (n - interval, H, W, 2) float32.

    In pixels over the whole interval. No more frames than `interval` give no field, (0, H, W, 2).

    Raises:
        ValueError: The interval is below 1.
        DataError: OpenCV is missing, or its contributed modules.
    """
    if interval < 1:
        raise ValueError(f"the interval of flow is at least 1 frame, got {interval}")
    try:
        import cv2

        create = cv2.optflow.DualTVL1OpticalFlow.create
    except (ImportError, AttributeError) as error:
        raise DataError(f"TV-L1 needs the package opencv-contrib-python-headless ({error}); install it") from error
    # A process per core is faster than OpenCV's threads, whose work on a small frame is shorter than their start.
    cv2.setNumThreads(1)
    solver = create(
        tau=settings.tau,
        lambda_=settings.lam,
        theta=settings.theta,
        nscales=settings.scales,
        scaleStep=settings.scale_step,
        warps=settings.warps,
        outerIterations=settings.outer_iterations,
        innnerIterations=settings.inner_iterations,
        epsilon=settings.epsilon,
        medianFiltering=settings.median,
    )
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    flow = np.empty((max(0, len(frames) - interval), *frames.shape[1:3], 2), np.float32)
    for i in range(len(flow)):
        flow[i] = solver.calc(grey[i], grey[i + interval], flow[i])
    return flow
