"""Exact optical flow of the clips of `motionpairs`: where every visible point of a frame is in the next one.

Nothing is estimated: a clip is drawn from the state of its camera and of its sprites (render.py), and the same random
draws are made here again. For the pixel p of frame t the flow is p' - p, where p' is the place in
frame t + 1 of the point that p shows:

    background  p' = p + (o_t - o_{t+1}),  o the camera's offset as drawn, rounded to 1 / SUBPIXELS pixels
    sprite      p' = c_{t+1} + (d_{t+1} / d_t) R(a_{t+1} - a_t) (p - c_t),  c its centre, d its diameter, a its angle

A pixel belongs to what is drawn last there with an opacity above one half: the sprite over the distractors over the
background. A point that is hidden in the next frame, or outside of it, still has its place. Flow over several
frames is given likewise, with t + step for t + 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from benchmark.data.embedded.motionpairs import GENERATOR, Floats, Setting, SplitName, stream, texture_seeds, trajectory
from benchmark.data.embedded.render import SPRITE_MAP, SUBPIXELS, sprite


@dataclass(frozen=True)
class Layer:
    """A sprite of a clip, per frame: centre (T, 2) as y, x and diameter (T,) in pixels, angle (T,) in radians."""

    seed: int
    centre: NDArray[np.float64]
    diameter: NDArray[np.float64]
    angle: NDArray[np.float64]


@dataclass(frozen=True)
class Scene:
    """What a clip is drawn from: the camera's offset (T, 2) as y, x in pixels, and its sprites from back to front."""

    camera: NDArray[np.float64]
    layers: tuple[Layer, ...]


def scene(setting: Setting, split: SplitName, index: int) -> Scene:
    """The motion of a clip: the draws of `motion_render.render`, in its order, without any pixel."""
    rng = stream(GENERATOR, setting.name, split, index)
    path = trajectory(setting, setting.motions[setting.label(index)], rng)
    seeds = texture_seeds(setting, split, index)
    short, extent = setting.short_side, np.array([setting.height, setting.width])
    time = np.linspace(0, 2 * np.pi, setting.frames)
    layers = []
    for seed in seeds[2:]:
        waves = [np.sin(rng.uniform(0.5, 1.5) * time + rng.uniform(0, 2 * np.pi)) for _ in range(2)]
        diameter = np.full(setting.frames, rng.uniform(*setting.distractor_diameter) * short)
        angle = np.full(setting.frames, rng.uniform(0, 2 * np.pi))
        sway = setting.distractor_sway * short * np.stack(waves, axis=1)
        layers.append(Layer(seed, rng.random(2) * extent + sway - path.camera, diameter, angle))
    centre = extent / 2 + path.state[:, [1, 0]] * short - path.camera
    layers.append(Layer(seeds[1], centre, path.state[:, 2] * short, 2 * np.pi * path.state[:, 3]))
    # The margin that the renderer adds to the camera is a whole number of pixels: it changes no rounding.
    return Scene(np.rint(path.camera * SUBPIXELS) / SUBPIXELS, tuple(layers))


def _offsets(layer: Layer, height: int, width: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Offsets of the pixels from the layer's centre, down (T, H, 1) and across (T, 1, W)."""
    down = (np.arange(height) - layer.centre[:, :1])[:, :, None]
    across = (np.arange(width) - layer.centre[:, 1:])[:, None, :]
    return down, across


def _covered(layer: Layer, opacity: Floats, height: int, width: int) -> NDArray[np.bool_]:
    """Where the layer is more opaque than one half, (T, H, W), by the texel that the renderer reads."""
    down, across = _offsets(layer, height, width)
    cos, sin = ((f(layer.angle) * 2 / layer.diameter)[:, None, None] for f in (np.cos, np.sin))
    places = (cos * down - sin * across, cos * across + sin * down)  # v, u in [-1, 1]
    inside = np.maximum(np.abs(places[0]), np.abs(places[1])) < 1
    row, column = (((place[inside] + 1) * (SPRITE_MAP / 2)).astype(np.int64) for place in places)
    covered = np.zeros(inside.shape, np.bool_)
    covered[inside] = opacity[np.minimum(row, SPRITE_MAP - 1), np.minimum(column, SPRITE_MAP - 1)] > 0.5
    return covered


@lru_cache(maxsize=2)
def owners(setting: Setting, split: SplitName, index: int) -> NDArray[np.int64]:
    """What every pixel shows, (T, H, W), read-only: 0 the background, 1 .. n - 1 the distractors, n the sprite."""
    owner = np.zeros((setting.frames, setting.height, setting.width), np.int64)
    for place, layer in enumerate(scene(setting, split, index).layers, start=1):
        owner[_covered(layer, sprite(layer.seed)[..., 3], setting.height, setting.width)] = place
    owner.flags.writeable = False  # kept for the next call
    return owner


def ground_truth(setting: Setting, split: SplitName, index: int, step: int = 1) -> Floats:
    """The flow of a clip from each frame t to t + step: (T - step, H, W, 2) float32, (dx, dy) in pixels.

    dx is positive to the right, dy downwards. Raises ValueError for a step that the clip does not hold.
    """
    if not 0 < step < setting.frames:
        raise ValueError(f"a clip of {setting.frames} frames has no flow over {step}")
    drawn, owner = scene(setting, split, index), owners(setting, split, index)[:-step]
    shift = drawn.camera[:-step] - drawn.camera[step:]
    flow = np.empty((*owner.shape, 2), np.float32)
    flow[...] = shift[:, None, None, ::-1]
    for place, layer in enumerate(drawn.layers, start=1):
        down, across = (offsets[:-step] for offsets in _offsets(layer, setting.height, setting.width))
        growth, turn = layer.diameter[step:] / layer.diameter[:-step], layer.angle[step:] - layer.angle[:-step]
        cos, sin = ((growth * f(turn))[:, None, None] for f in (np.cos, np.sin))
        moved = (layer.centre[step:] - layer.centre[:-step])[:, :, None, None]
        dx = moved[:, 1] + cos * across - sin * down - across
        dy = moved[:, 0] + cos * down + sin * across - down
        mine = owner == place
        flow[mine] = np.stack([dx[mine], dy[mine]], axis=-1)
    return flow
