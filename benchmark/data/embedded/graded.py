"""motionpairs-2: clips whose label is a motion, or a motion and what moves, graded in difficulty along three axes.

Classes. Ten, in five pairs of mirrored or reversed motions. A warm (orange) or a cold (blue) sprite that moves left or
    right is two pairs: what moves says which pair, where it moves which member. A sprite of either colour that moves
    up or down, grows or shrinks, or goes round on a circle either way is the other three.

Axes. Each has four levels, 1 (easy) to 4 (hard), `LEVELS`:

    speed       how far the sprite goes from the first frame to the last, s short sides: left, right, up and down s;
                the largest diameter is exp(GROWTH s) times the smallest; circles have a radius of RADIUS s
    contrast    the sprite's opacity: at 0.4 it is as faint as a shadow
    clutter     how many smaller sprites sway about (distractors), and the contrast of the background

    The level of a clip follows from its split and its index (`levels`), no pixel is needed. Validation clips have all
    64 combinations equally often in every class, 640 clips at each level of an axis. Two thirds of the training clips
    are at level 1 of all axes, the others are spread over all combinations: trained on hard clips alike, a network
    learns nothing in minutes, and trained on easy ones only, nothing that holds for the others.

What a clip is made of (`scene`), in short sides from the middle of the frame, t = 0 ... 1 over its frames:

    p(t)        t + e sin(2 pi t) / (2 pi) - 1/2, e uniform in [-1/2, 1/2]: it sweeps [-1/2, 1/2] once
    travel      s times a factor uniform in TRAVEL_SPREAD
    sprite      centre c, diameter d and angle a drawn alike for every class. Of a class with direction +-1, the moving
                coordinate is q(t) = +-p(t): x or y is c + s q; the diameter is d exp(GROWTH s q); or the centre is
                c + RADIUS s (cos, sin)(2 pi (b + n q)), b uniform and n turns uniform in TURNS
    camera      trembles: a stationary first-order process of standard deviation JITTER with memory MEMORY, along each
                axis; background and sprites shift by it in common
    distractors centre uniform over the frame, plus SWAY sin(w tau + phi) along each axis, tau = 0 ... 2 pi over the
                clip, w uniform in [1/2, 3/2]; diameter and angle constant

Symmetries. p(1 - t) = -p(t), and everything else is drawn alike for the members of a pair and as likely backwards: a
    clip played backwards is a clip of the other member, and as likely there. Neither a frame nor any set of frames
    without their order says which member a clip shows. All is as likely mirrored left for right, too. The label that a
    mirrored or reversed clip has is part of the data set's definition (`config.datasets`), and training uses both
    (`data.symmetries`).

Determinism
    A clip depends on (GENERATOR, split, index) and the size of its frames only. `train`, `val` and `dev` never share a
    texture. `dev` is for every search, with seeds from 50 up; `val` and the seeds below are for what is reported.
    `motionpairs-2-dev` is `motionpairs-2` with `dev` in the place of `val`; `motionpairs-2-large`
    has more clips, and frames twice as wide, for one GPU.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmark.config.datasets import AXES, LEVEL_COUNT
from benchmark.data.embedded.motionpairs import Floats, Motion, SplitName, progress, stream

GENERATOR = "motionpairs-2"
"""Changes whenever any pixel of any clip would."""


class Coloured(NamedTuple):
    """A class: its motion, and the colour of what moves; None: either."""

    motion: Motion
    colour: Literal["warm", "cold"] | None

    @property
    def name(self) -> str:
        """Colour, if it has one, and motion."""
        return f"{self.colour} {self.motion.name}" if self.colour else self.motion.name


LEFT, RIGHT = Motion("left", "x", -1), Motion("right", "x", 1)
CLASSES: tuple[Coloured, ...] = (
    Coloured(LEFT, "warm"),
    Coloured(RIGHT, "warm"),
    Coloured(LEFT, "cold"),
    Coloured(RIGHT, "cold"),
    Coloured(Motion("up", "y", -1), None),
    Coloured(Motion("down", "y", 1), None),
    Coloured(Motion("approach", "size", 1), None),
    Coloured(Motion("recede", "size", -1), None),
    Coloured(Motion("circle clockwise", "angle", 1), None),
    Coloured(Motion("circle anticlockwise", "angle", -1), None),
)
"""Neighbours (0, 1), (2, 3), ... are the pairs."""
LEVELS: dict[str, tuple[float, ...]] = {
    "speed": (0.55, 0.4, 0.29, 0.21),
    "contrast": (1.0, 0.75, 0.55, 0.4),
    "clutter": (0.2, 0.35, 0.5, 0.65),
}
"""Travel in short sides; opacity of the sprite; contrast of the background, which has as many distractors as its level
is above 1."""

GROWTH, RADIUS = 1.5, 0.28
TRAVEL_SPREAD, TURNS = (0.92, 1.08), (0.9, 1.2)
PLACE, DIAMETER = 0.1, (0.42, 0.54)
"""Of the sprite: largest distance of c from the middle along each axis, and range of d."""
JITTER, MEMORY = 0.015, 0.7
DISTRACTOR_DIAMETER, DISTRACTOR_OPACITY, SWAY = (0.14, 0.2), 0.7, 0.05
MAP = 96
"""Side of the square that a sprite's colours are read from, in texels."""
SUBPIXELS = 4
"""The background moves in steps of 1 / SUBPIXELS pixels."""


@dataclass(frozen=True)
class GradedSetting:
    """How many clips, and of what size. `evaluated` is the split that stands in the place of `val`."""

    name: str
    train_clips: int = 960
    val_clips: int = 2560
    frames: int = 32
    height: int = 64
    width: int = 64
    evaluated: Literal["val", "dev"] = "val"

    @property
    def generator(self) -> str:
        """What makes the clips."""
        return GENERATOR

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(CLASSES)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, by label."""
        return tuple(one.name for one in CLASSES)

    def clips(self, split: SplitName) -> int:
        """Number of clips of a split."""
        return self.train_clips if split == "train" else self.val_clips

    def label(self, index: int) -> int:
        """The label of a clip."""
        return index % len(CLASSES)

    def drawn(self, split: SplitName) -> Literal["train", "val", "dev"]:
        """The split whose clips are drawn."""
        return "train" if split == "train" else self.evaluated

    @property
    def digest(self) -> str:
        """Eight hex digits that change with the generator, its levels and every field of the setting."""
        text = json.dumps([GENERATOR, LEVELS, asdict(self)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]


GRADED: dict[str, GradedSetting] = {
    setting.name: setting
    for setting in (
        GradedSetting("motionpairs-2"),
        GradedSetting("motionpairs-2-dev", evaluated="dev"),
        GradedSetting("motionpairs-2-large", train_clips=24_000, val_clips=5_120, height=128, width=128),
    )
}


def levels(split: SplitName, index: int) -> tuple[int, int, int]:
    """Levels of a clip along AXES, each 1 to LEVEL_COUNT, from its place in its split alone."""
    block = index // len(CLASSES)
    combination = block % LEVEL_COUNT**3
    if split == "train":  # 25 is odd: it steps through all 64, and of 32 every level of an axis is a quarter
        combination = 0 if block % 3 else 25 * (block // 3) % LEVEL_COUNT**3
    speed, rest = divmod(combination, LEVEL_COUNT**2)
    return speed + 1, rest // LEVEL_COUNT + 1, rest % LEVEL_COUNT + 1


def levels_of(ids: Sequence[str] | NDArray[np.str_]) -> NDArray[np.int64]:
    """Levels (clips, axes) of evaluated clips, from the ids that predictions have.

    Raises:
        ValueError: an id is no number.
    """
    combinations = np.array([levels("val", len(CLASSES) * i) for i in range(LEVEL_COUNT**3)])  # then they come again
    return combinations[np.asarray(ids).astype(np.int64) // len(CLASSES) % len(combinations)]


@dataclass(frozen=True)
class Layer:
    """A sprite of a clip, per frame: centre (T, 2) as y, x and diameter (T,) in pixels, angle (T,) in radians."""

    seed: int
    colour: str
    opacity: float
    centre: NDArray[np.float64]
    diameter: NDArray[np.float64]
    angle: NDArray[np.float64]


@dataclass(frozen=True)
class Scene:
    """What a clip is drawn from: its background, how the camera moves over it, and its sprites from back to front.

    `seed` and `contrast` are the background's; `camera` (T, 2) is the offset in pixels, as y, x.
    """

    seed: int
    contrast: float
    camera: NDArray[np.float64]
    layers: tuple[Layer, ...]


def texture_seeds(split: str, index: int) -> tuple[int, ...]:
    """Seeds of the textures of a clip: background, sprite, distractors. No two clips of any splits share one."""
    per_clip = 1 + LEVEL_COUNT
    return tuple(3 * (index * per_clip + i) + ("train", "val", "dev").index(split) for i in range(per_clip))


def scene(setting: GradedSetting, split: SplitName, index: int, label: int | None = None) -> Scene:
    """What is drawn in a clip; of another `label`, the same draws with that class's motion."""
    drawn = setting.drawn(split)
    rng, seeds = stream(GENERATOR, drawn, index), texture_seeds(drawn, index)
    motion, colour = CLASSES[setting.label(index) if label is None else label]
    speed, contrast, clutter = (LEVELS[axis][n - 1] for axis, n in zip(AXES, levels(split, index), strict=True))
    short, extent = min(setting.height, setting.width), np.array([setting.height, setting.width])
    middle, frames = (extent - 1) / 2, setting.frames
    either = ("warm", "cold")[int(rng.integers(2))]
    centre, diameter, angle = _path(motion, speed, frames, rng)
    camera = _camera(frames, rng) * short
    layers = []
    for seed in seeds[2 : 1 + levels(split, index)[2]]:
        time = np.linspace(0, 2 * np.pi, frames)
        waves = [np.sin(rng.uniform(0.5, 1.5) * time + rng.uniform(0, 2 * np.pi)) for _ in range(2)]
        place = rng.random(2) * extent - 0.5 + SWAY * short * np.stack(waves, axis=1) - camera
        size, turned = rng.uniform(*DISTRACTOR_DIAMETER) * short, rng.uniform(0, 2 * np.pi)
        kind = ("warm", "cold")[int(rng.integers(2))]
        constant = np.full(frames, size), np.full(frames, turned)
        layers.append(Layer(seed, kind, DISTRACTOR_OPACITY, place, *constant))
    placed = middle + centre * short - camera
    layers.append(Layer(seeds[1], colour or either, contrast, placed, diameter * short, np.full(frames, angle)))
    return Scene(seeds[0], clutter, camera, tuple(layers))


def _path(
    motion: Motion, speed: float, frames: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Centre (T, 2) as y, x and diameter (T,) of the sprite in short sides, and its angle; the same draws for all."""
    place, size, angle = rng.uniform(-PLACE, PLACE, 2), rng.uniform(*DIAMETER), rng.uniform(0, 2 * np.pi)
    travel, ease = speed * rng.uniform(*TRAVEL_SPREAD), rng.uniform(-0.5, 0.5)
    begun, turns = rng.random(), rng.uniform(*TURNS)
    centre, diameter = np.tile(place, (frames, 1)), np.full(frames, size)
    moved = motion.direction * progress(frames, ease)
    if motion.coordinate == "size":
        diameter *= np.exp(GROWTH * travel * moved)
    elif motion.coordinate == "angle":
        phase = 2 * np.pi * (begun + turns * moved)
        centre += RADIUS * travel * np.stack([np.sin(phase), np.cos(phase)], axis=1)
    else:
        centre[:, 1 if motion.coordinate == "x" else 0] += travel * moved
    return centre, diameter, angle


def _camera(frames: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """The camera's offsets (T, 2) in short sides; a trembling hand has no direction in time."""
    steps = rng.standard_normal((frames, 2))
    path = np.empty_like(steps)
    path[0] = steps[0]
    for i in range(1, frames):
        path[i] = MEMORY * path[i - 1] + np.sqrt(1 - MEMORY**2) * steps[i]
    return np.clip(path, -3, 3) * JITTER


def texture(seed: int, height: int, width: int, cells: Sequence[int]) -> Floats:
    """Random colours in [-1, 1], (height, width, 3): smooth noise over grids of `cells` cells on the shorter side."""
    rng = stream(GENERATOR, "texture", seed)
    pattern = np.zeros((height, width, 3), np.float32)
    for cell in cells:
        down, across = (_interpolation(side, -(-cell * side // min(height, width))) for side in (height, width))
        grid = rng.standard_normal((down.shape[1], across.shape[1], 3)).astype(np.float32)
        rows = down @ grid.reshape(len(grid), -1)
        pattern += np.matmul(across, rows.reshape(height, -1, 3))
    return np.tanh(pattern * (0.9 / pattern.std()))


def _interpolation(size: int, cells: int) -> Floats:
    """Matrix (size, cells + 1) that interpolates between knots at the ends of cells, eased so that no grid shows."""
    position = (np.arange(size) + 0.5) * (cells / size)
    low = position.astype(np.int64)
    fraction = position - low
    fraction = fraction * fraction * (3 - 2 * fraction)
    matrix = np.zeros((size, cells + 1), np.float32)
    matrix[np.arange(size), low] = 1 - fraction
    matrix[np.arange(size), low + 1] += fraction
    return matrix


def sprite(seed: int, colour: str) -> Floats:
    """A sprite: colours in [-1, 1] and opacity in [0, 1] on [-1, 1]^2, (MAP, MAP, 4).

    It has a bright half and a dark one, texture, and an outline without symmetry. Red exceeds blue where it is warm.
    """
    rng = stream(GENERATOR, "outline", seed)
    axis = ((np.arange(MAP) + 0.5) * (2 / MAP) - 1).astype(np.float32)
    radius, angle = np.hypot(axis, axis[:, None]), np.arctan2(axis[:, None], axis)
    outline = np.full_like(radius, 0.78)
    for lobes in (1, 2, 3):
        outline += rng.uniform(0.03, 0.07) * np.cos(lobes * angle + rng.uniform(0, 2 * np.pi)).astype(np.float32)
    opacity = np.clip((outline - radius) / 0.1, 0, 1)
    tint = np.array([0.45, 0, -0.45], np.float32) * (1 if colour == "warm" else -1)
    halves = np.where(axis > 0, np.float32(0.55), np.float32(-0.55))[:, None, None]
    colours = 0.4 * texture(seed, MAP, MAP, (3, 5)) + halves + tint
    return np.dstack([np.clip(colours, -1, 1), opacity]).astype(np.float32)


def _paste(canvas: Floats, layer: Layer) -> None:
    """Paste a sprite into every frame of `canvas` (T, H, W, 3), each pixel from the nearest texel."""
    _, height, width, _ = canvas.shape
    dy = (np.arange(height) - layer.centre[:, :1]).astype(np.float32)
    dx = (np.arange(width) - layer.centre[:, 1:]).astype(np.float32)
    cos, sin = ((f(layer.angle) * 2 / layer.diameter).astype(np.float32) for f in (np.cos, np.sin))
    u = cos[:, None, None] * dx[:, None, :] + sin[:, None, None] * dy[:, :, None]
    v = cos[:, None, None] * dy[:, :, None] - sin[:, None, None] * dx[:, None, :]
    inside = np.flatnonzero(np.maximum(np.abs(u), np.abs(v)) < 1)
    row, column = (((axis.ravel()[inside] + 1) * (MAP / 2)).astype(np.int32) for axis in (v, u))
    image = sprite(layer.seed, layer.colour).reshape(-1, 4)
    texel = image[np.minimum(row, MAP - 1) * MAP + np.minimum(column, MAP - 1)]
    flat = canvas.reshape(-1, 3)
    flat[inside] += np.float32(layer.opacity) * texel[:, 3:] * (texel[:, :3] - flat[inside])


def render(setting: GradedSetting, split: SplitName, index: int) -> NDArray[np.uint8]:
    """The frames of a clip before compression, (T, H, W, 3) uint8 RGB."""
    return draw(scene(setting, split, index), setting.height, setting.width)


def draw(what: Scene, height: int, width: int) -> NDArray[np.uint8]:
    """The frames of a scene, (T, height, width, 3) uint8."""
    margin = int(np.ceil(3 * JITTER * min(height, width))) + 1
    # As many texels to either side of the frame, so that the background is as likely mirrored.
    tall, wide = ((side - 1 + 2 * margin) * SUBPIXELS + 1 for side in (height, width))
    background = texture(what.seed, tall, wide, (2, 5, 9)) * np.float32(what.contrast)
    corners = np.rint((what.camera + margin) * SUBPIXELS).astype(int)
    down, across = (np.arange(side) * SUBPIXELS for side in (height, width))
    canvas = np.stack([background[np.ix_(y + down, x + across)] for y, x in corners])
    for layer in what.layers:
        _paste(canvas, layer)
    return np.clip(127.5 + 115 * canvas, 0, 255).astype(np.uint8)
