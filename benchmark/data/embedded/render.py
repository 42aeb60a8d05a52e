"""Draws the clips of `motionpairs` and writes them as H.264 files, the same bytes for the same clip."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from benchmark.data.embedded.motionpairs import (
    GENERATOR,
    Floats,
    Setting,
    SplitName,
    Trajectory,
    stream,
    texture,
    texture_seeds,
    trajectory,
)
from benchmark.data.errors import DataError
from benchmark.runs.atomic import replacing

SPRITE_MAP = 192
"""Side of the square from which a sprite's colours are read, in texels: several per pixel, so that nearest-texel
reading is smooth."""
SUBPIXELS = 4
"""The camera moves in steps of 1 / SUBPIXELS pixels."""
FPS = 12
ENCODER = {"preset": "veryfast", "crf": "20", "threads": "1", "x264-params": "no-mbtree=1"}
"""Macroblock-tree rate control reads memory that it has not written, for frames this small: its bytes differ by run."""


def sprite(seed: int) -> Floats:
    """A sprite: colours in [-1, 1] and opacity in [0, 1] on [-1, 1]^2, (SPRITE_MAP, SPRITE_MAP, 4).

    Its outline has no symmetry.
    """
    rng = stream(GENERATOR, "outline", seed)
    axis = np.linspace(-1, 1, SPRITE_MAP, dtype=np.float32)
    radius, angle = np.hypot(axis, axis[:, None]), np.arctan2(axis[:, None], axis)
    outline = np.full_like(radius, 0.78)
    for lobes in (1, 2, 3):
        outline += rng.uniform(0.03, 0.07) * np.cos(lobes * angle + rng.uniform(0, 2 * np.pi)).astype(np.float32)
    opacity = np.clip((outline - radius) / 0.1, 0, 1)
    # Without a one-cell pattern some sprites would look alike after a part of a turn.
    return np.dstack([texture(seed, SPRITE_MAP, SPRITE_MAP, (1, 3, 5)), opacity]).astype(np.float32)


def _paste(canvas: Floats, image: Floats, centre: NDArray[np.float64], diameter: Floats, angle: Floats) -> None:
    """Paste a sprite into every frame of `canvas` (T, H, W, 3); centre (T, 2) in y, x; in pixels and radians."""
    _, height, width, _ = canvas.shape
    dy = (np.arange(height) - centre[:, :1]).astype(np.float32)
    dx = (np.arange(width) - centre[:, 1:]).astype(np.float32)
    scale = (2.0 / diameter).astype(np.float32)
    cos, sin = (np.cos(angle) * scale).astype(np.float32), (np.sin(angle) * scale).astype(np.float32)
    u = cos[:, None, None] * dx[:, None, :] + sin[:, None, None] * dy[:, :, None]
    v = cos[:, None, None] * dy[:, :, None] - sin[:, None, None] * dx[:, None, :]
    inside = np.flatnonzero(np.maximum(np.abs(u), np.abs(v)) < 1)
    column = ((u.ravel()[inside] + 1) * (SPRITE_MAP / 2)).astype(np.int32)
    row = ((v.ravel()[inside] + 1) * (SPRITE_MAP / 2)).astype(np.int32)
    texel = image.reshape(-1, 4)[np.minimum(row, SPRITE_MAP - 1) * SPRITE_MAP + np.minimum(column, SPRITE_MAP - 1)]
    alpha = texel[:, 3:]
    flat = canvas.reshape(-1, 3)
    flat[inside] += alpha * (texel[:, :3] - flat[inside])


def _background(setting: Setting, seed: int, camera: NDArray[np.float64]) -> Floats:
    """The background as the moving camera sees it, (T, H, W, 3)."""
    margin = int(np.ceil(3 * setting.jitter * setting.short_side)) + 1
    height, width = ((side + 2 * margin) * SUBPIXELS for side in (setting.height, setting.width))
    scene = texture(seed, height, width, (2, 5, 9)) * np.float32(setting.background_contrast)
    offsets = np.rint((camera + margin) * SUBPIXELS).astype(int)
    views = [
        scene[y : y + setting.height * SUBPIXELS : SUBPIXELS, x : x + setting.width * SUBPIXELS : SUBPIXELS]
        for y, x in offsets
    ]
    return np.stack(views)


def draw(setting: Setting, seeds: tuple[int, ...], path: Trajectory, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draws a clip, (T, H, W, 3) uint8, from its texture seeds and trajectory; `rng` places the distractors."""
    canvas = _background(setting, seeds[0], path.camera)
    extent = np.array([setting.height, setting.width])
    time = np.linspace(0, 2 * np.pi, setting.frames)
    for seed in seeds[2:]:
        waves = [np.sin(rng.uniform(0.5, 1.5) * time + rng.uniform(0, 2 * np.pi)) for _ in range(2)]
        sway = setting.distractor_sway * setting.short_side * np.stack(waves, axis=1)
        diameter = np.full(setting.frames, rng.uniform(*setting.distractor_diameter) * setting.short_side, np.float32)
        turned = np.full(setting.frames, rng.uniform(0, 2 * np.pi), np.float32)
        _paste(canvas, sprite(seed), rng.random(2) * extent + sway - path.camera, diameter, turned)
    centre = extent / 2 + path.state[:, [1, 0]] * setting.short_side - path.camera
    diameter = (path.state[:, 2] * setting.short_side).astype(np.float32)
    _paste(canvas, sprite(seeds[1]), centre, diameter, (2 * np.pi * path.state[:, 3]).astype(np.float32))
    return np.clip(127.5 + 115 * canvas, 0, 255).astype(np.uint8)


def render(setting: Setting, split: SplitName, index: int) -> NDArray[np.uint8]:
    """The frames of a clip before compression, (T, H, W, 3) uint8 RGB."""
    rng = stream(GENERATOR, setting.name, split, index)
    path = trajectory(setting, setting.motions[setting.label(index)], rng)
    return draw(setting, texture_seeds(setting, split, index), path, rng)


def _yuv420p(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(T, H, W, 3) RGB to (T, 3 H / 2, W), the planes of BT.601 in limited range, chroma averaged over 2 x 2 pixels.

    The encoder's own conversion is not used: its result differs from run to run at the edges of small frames.
    """
    count, height, width, _ = frames.shape
    to_yuv = np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]], np.float32)
    yuv = frames.astype(np.float32) @ (to_yuv.T / np.float32(255)) + np.array([16, 128, 128], np.float32)
    chroma = yuv[..., 1:].reshape(count, height // 2, 2, width // 2, 2, 2).mean(axis=(2, 4))
    planes = [yuv[..., 0].reshape(count, -1), chroma[..., 0].reshape(count, -1), chroma[..., 1].reshape(count, -1)]
    return np.rint(np.concatenate(planes, axis=1)).astype(np.uint8).reshape(count, height * 3 // 2, width)


def write_video(frames: NDArray[np.uint8], path: Path) -> None:
    """Writes (T, H, W, 3) uint8 frames as an H.264 mp4, the same bytes each time; `path` appears only when complete.

    Raises DataError if this PyAV build has no libx264.
    """
    if "libx264" not in av.codec.codecs_available:
        raise DataError("this PyAV build has no libx264 encoder; install PyAV from its binary wheel")
    with (
        replacing(path) as unfinished,
        av.open(str(unfinished), "w", format="mp4", options={"fflags": "bitexact"}) as container,
    ):
        track = container.add_stream("libx264", rate=FPS, options=ENCODER)
        track.height, track.width = frames.shape[1:3]
        track.pix_fmt = "yuv420p"
        track.time_base = Fraction(1, FPS)
        track.codec_context.thread_count = 1
        for index, planes in enumerate(_yuv420p(frames)):
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
