"""From numbers to colours: signed images around mid-grey, magnitudes from black, flow by a wheel of hues.

Choices: the scale of a signed image is symmetric, so that mid-grey is zero in every channel, and robust: the given
quantile of the absolute values is the end of the scale and what lies beyond it is cut off, so that a few extreme values
do not leave the rest grey. The hue of flow is its direction, red to the right and going on clockwise as the picture is
seen: yellow-green down, cyan to the left, violet up (the order of the wheel of Baker et al., "A Database and Evaluation
Methodology for Optical Flow", IJCV 2011, evenly spaced); its saturation is the length, white being no motion.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

QUANTILE = 0.995
Floats = NDArray[np.floating]
Rgb = NDArray[np.uint8]


def robust_scale(values: Floats, quantile: float = QUANTILE) -> float:
    """The quantile of the absolute values; their maximum where that is zero; 0 for values that are all zero."""
    size = np.abs(values)
    found = float(np.quantile(size, quantile))
    return found if found > 0 else float(size.max())


def signed_colours(values: Floats, scale: float) -> Rgb:
    """Signed values as bytes: -scale is 0, zero is 128 and scale is 255; (..., 3) stay RGB, all zero is mid-grey.

    Returns:
        uint8, of the shape of `values`.
    """
    if scale <= 0:
        return np.full(values.shape, 128, np.uint8)
    return np.clip(np.rint(128 + 127.5 * values / scale), 0, 255).astype(np.uint8)


def magnitude_colours(values: Floats, scale: float) -> Rgb:
    """Values that are not negative as greys, black at zero and white at `scale`: (...) to (..., 3) uint8."""
    grey = np.clip(values / scale, 0, 1) if scale > 0 else np.zeros(values.shape)
    return np.rint(255 * np.stack([grey] * 3, axis=-1)).astype(np.uint8)


def flow_colours(flow: Floats, largest: float) -> Rgb:
    """Flow as hue and saturation.

    Args:
        flow: (..., 2): (u, v), to the right and down.
        largest: Length that is fully saturated; longer vectors look the same.

    Returns:
        (..., 3) uint8.
    """
    u, v = flow[..., 0], flow[..., 1]
    turn = 6 * (np.arctan2(v, u) / (2 * np.pi) % 1)
    # A hue is a trapezium of each primary around the circle.
    offsets = (np.abs((turn[..., None] - place + 3) % 6 - 3) for place in np.array([[0.0], [2.0], [4.0]]))
    pure = np.concatenate([np.clip(2 - distance, 0, 1) for distance in offsets], axis=-1)
    length = np.clip(np.hypot(u, v) / largest, 0, 1) if largest > 0 else np.zeros(u.shape)
    return np.rint(255 * (1 - length[..., None] * (1 - pure))).astype(np.uint8)


def flow_wheel(side: int) -> Rgb:
    """The legend: the colour of every direction and length, (side, side, 4) uint8, transparent outside of the rim."""
    axis = (np.arange(side) + 0.5) / (side / 2) - 1
    flow = np.stack(np.meshgrid(axis, axis), axis=-1)
    inside = np.hypot(flow[..., 0], flow[..., 1]) <= 1
    alpha = np.where(inside, 255, 0).astype(np.uint8)[..., None]
    return np.concatenate([flow_colours(flow, 1.0), alpha], axis=-1)


def number(value: float) -> str:
    """Three significant digits, without an exponent up to a million: 0.0123, 4.56, 789, 5420, 2.34e+06."""
    shown = f"{value:.3g}"
    return f"{float(shown):.0f}" if 1000 <= value < 1e6 else shown
