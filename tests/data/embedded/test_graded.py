"""motionpairs-2: what its clips are drawn from, written out a second time; balance, levels and symmetries."""

from collections import Counter
from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmark.config.datasets import DATASETS
from benchmark.data.embedded.graded import (
    CLASSES,
    GRADED,
    LEVELS,
    Layer,
    _interpolation,
    draw,
    levels,
    render,
    scene,
    texture,
    texture_seeds,
)
from benchmark.data.embedded.motionpairs import stream

SETTING = GRADED["motionpairs-2"]
INFO = DATASETS["motionpairs-2"]
PINNED = {"motionpairs-2": "8b4ed736", "motionpairs-2-dev": "e0f041fb", "motionpairs-2-large": "ee0bb289"}


@pytest.mark.parametrize("name", list(GRADED))
def test_the_registry_agrees_and_other_clips_need_another_version(name: str) -> None:
    """Run keys hold the version: where the digest differs, raise `version` in config/datasets.py and pin it here."""
    info, setting = DATASETS[name], GRADED[name]
    sizes = (setting.num_classes, setting.train_clips, setting.val_clips)
    assert (info.num_classes, info.train_clips, info.val_clips) == sizes
    assert (info.version, setting.digest) == ("1", PINNED[name])


def test_dev_has_the_training_clips_and_clips_of_its_own() -> None:
    dev = GRADED["motionpairs-2-dev"]
    assert np.array_equal(render(dev, "train", 7), render(SETTING, "train", 7))
    assert not np.array_equal(render(dev, "val", 7), render(SETTING, "val", 7))


def test_every_class_has_every_combination_of_levels_equally_often() -> None:
    cells = Counter((SETTING.label(i), levels("val", i)) for i in range(SETTING.val_clips))
    assert set(cells) == set(product(range(10), product((1, 2, 3, 4), repeat=3)))
    assert set(cells.values()) == {4}
    trained = Counter((SETTING.label(i), levels("train", i)) for i in range(SETTING.train_clips))
    assert {trained[label, (1, 1, 1)] for label in range(10)} == {65}
    spread = Counter(found for (_, cell), n in trained.items() for found in enumerate(cell) for _ in range(n))
    assert {spread[axis, level] for axis in range(3) for level in (2, 3, 4)} == {80}


def test_no_texture_is_used_twice() -> None:
    used = [seed for split in ("train", "val", "dev") for i in range(2560) for seed in texture_seeds(split, i)]
    assert len(set(used)) == len(used)


@cache
def noise(seed: int, height: int, width: int, cells: tuple[int, ...]) -> NDArray[np.float64]:
    """Smooth noise of the documented kind, knot by knot."""
    rng, total = stream("motionpairs-2", "texture", seed), np.zeros((height, width, 3))
    for cell in cells:
        n = [int(np.ceil(cell * side / min(height, width))) for side in (height, width)]
        grid = rng.standard_normal((n[0] + 1, n[1] + 1, 3)).astype(np.float32)
        y, x = ((np.arange(side) + 0.5) * k / side for side, k in zip((height, width), n, strict=True))
        for i, j in product(range(n[0] + 1), range(n[1] + 1)):
            near = [np.clip(1 - np.abs(position - knot), 0, 1) for position, knot in ((y, i), (x, j))]
            down, across = (d * d * (3 - 2 * d) for d in near)
            total += down[:, None, None] * across[None, :, None] * grid[i, j]
    return np.tanh(0.9 * total / total.std())


def test_a_texture_is_the_noise_of_its_documentation() -> None:
    assert texture(11, 40, 60, (2, 5)) == pytest.approx(noise(11, 40, 60, (2, 5)), abs=1e-4)


def shape(seed: int, u: float, v: float) -> float:
    """Opacity of a sprite at a point of [-1, 1]^2."""
    rng, outline, turn = stream("motionpairs-2", "outline", seed), 0.78, np.arctan2(v, u)
    for lobes in (1, 2, 3):
        outline += rng.uniform(0.03, 0.07) * np.cos(lobes * turn + rng.uniform(0, 2 * np.pi))
    return float(np.clip((outline - np.hypot(u, v)) / 0.1, 0, 1))


@pytest.mark.parametrize("index", [0, 335, 1297, 638, 639])
def test_a_clip_is_drawn_as_documented(index: int) -> None:
    """Pixel by pixel from the documented parameters: three frames, every ninth pixel."""
    label, block = index % 10, index // 10 % 64
    speed, opacity, contrast = (0.55, 0.4, 0.29, 0.21), (1, 0.75, 0.55, 0.4), (0.2, 0.35, 0.5, 0.65)
    s, o, c = speed[block // 16], opacity[block // 4 % 4], contrast[block % 4]
    rng, t = stream("motionpairs-2", "val", index), np.linspace(0, 1, 32)
    either = ("warm", "cold")[rng.integers(2)]
    x, y = (lambda place: (place[1], place[0]))(rng.uniform(-0.1, 0.1, 2))
    d, a = rng.uniform(0.42, 0.54), rng.uniform(0, 2 * np.pi)
    s, e, b, n = s * rng.uniform(0.92, 1.08), rng.uniform(-0.5, 0.5), rng.random(), rng.uniform(0.9, 1.2)
    p = t + e * np.sin(2 * np.pi * t) / (2 * np.pi) - 0.5
    q = p if label in (1, 3, 5, 6, 8) else -p
    xs, ys, ds = np.full(32, x), np.full(32, y), np.full(32, d)
    if label < 4:
        xs = x + s * q
    elif label < 6:
        ys = y + s * q
    elif label < 8:
        ds = d * np.exp(1.5 * s * q)
    else:
        xs, ys = (m + 0.28 * s * f(2 * np.pi * (b + n * q)) for m, f in ((x, np.cos), (y, np.sin)))
    steps = rng.standard_normal((32, 2))
    shake = [steps[0]]
    for step in steps[1:]:
        shake.append(0.7 * shake[-1] + np.sqrt(0.51) * step)
    camera = np.clip(np.array(shake), -3, 3) * 0.015 * 64
    seeds = [3 * (5 * index + i) + 1 for i in range(5)]
    sprites = []
    for i in range(block % 4):
        waves = []
        for _ in range(2):
            w = rng.uniform(0.5, 1.5)
            waves.append(np.sin(w * 2 * np.pi * t + rng.uniform(0, 2 * np.pi)))
        place = rng.random(2) * 64 - 0.5
        size, turned = rng.uniform(0.14, 0.2) * 64, rng.uniform(0, 2 * np.pi)
        way = [place[k] + 0.05 * 64 * waves[k] - camera[:, k] for k in range(2)]
        sprites.append((seeds[2 + i], ("warm", "cold")[rng.integers(2)], 0.7, *way, np.full(32, size), turned))
    colour = "warm" if label < 2 else "cold" if label < 4 else either
    sprites.append((seeds[1], colour, o, 31.5 + 64 * ys - camera[:, 0], 31.5 + 64 * xs - camera[:, 1], 64 * ds, a))
    background = c * noise(seeds[0], 285, 285, (2, 5, 9))
    frames = render(SETTING, "val", index)
    for at, row, column in product((0, 13, 31), range(0, 64, 9), range(2, 64, 9)):
        y0, x0 = (int(np.rint((camera[at, k] + 4) * 4)) for k in range(2))
        pixel = background[y0 + 4 * row, x0 + 4 * column]
        for seed, kind, opaque, cy, cx, size, turned in sprites:
            dx, dy = ((z - w[at]) * 2 / size[at] for z, w in ((column, cx), (row, cy)))
            u, v = np.cos(turned) * dx + np.sin(turned) * dy, np.cos(turned) * dy - np.sin(turned) * dx
            if max(abs(u), abs(v)) >= 1:
                continue
            i, j = (min(int((z + 1) * 48), 95) for z in (v, u))
            u, v = ((z + 0.5) / 48 - 1 for z in (j, i))
            tint = np.array([0.45, 0, -0.45]) * (1 if kind == "warm" else -1)
            texel = np.clip(0.4 * noise(seed, 96, 96, (3, 5))[i, j] + (0.55 if v > 0 else -0.55) + tint, -1, 1)
            pixel = pixel + opaque * shape(seed, u, v) * (texel - pixel)
        expected = np.clip(127.5 + 115 * pixel, 0, 255)
        assert frames[at, row, column] == pytest.approx(expected, abs=1.1)


def test_a_scene_played_backwards_is_a_scene_of_the_label_that_the_registry_says() -> None:
    """With equal draws the sprite's states in reverse are the partner's, so no set of frames tells the two apart."""
    for index in range(20):
        forward = scene(SETTING, "val", index)
        partner = scene(SETTING, "val", index, INFO.reversed[SETTING.label(index)])
        steady = forward.camera - forward.camera[::-1]
        mine, theirs = forward.layers[-1], partner.layers[-1]
        assert mine.centre[::-1] - steady == pytest.approx(theirs.centre)
        assert mine.diameter[::-1] == pytest.approx(theirs.diameter)
        assert (mine.seed, mine.colour, mine.angle[0]) == (theirs.seed, theirs.colour, theirs.angle[0])


def test_frames_are_drawn_one_by_one() -> None:
    """So that a scene in reverse is the clip in reverse, pixel for pixel."""
    forward = scene(SETTING, "val", 633)

    def turned(layer: Layer) -> Layer:
        return replace(layer, centre=layer.centre[::-1], diameter=layer.diameter[::-1], angle=layer.angle[::-1])

    backward = replace(forward, camera=forward.camera[::-1], layers=tuple(map(turned, forward.layers)))
    assert np.array_equal(draw(backward, 64, 64), draw(forward, 64, 64)[::-1])


def movement(label: int, index: int) -> tuple[int, int, int, int, str]:
    """Signs of what a sprite does over a clip: across, down, growth, turn about the middle of its way; its colour."""
    found = scene(SETTING, "val", index, label)
    centre = (found.layers[-1].centre + found.camera)[:, ::-1]
    about = centre - (centre[0] + centre[-1]) / 2
    turn = (about[:-1, 0] * about[1:, 1] - about[:-1, 1] * about[1:, 0]).sum()
    circles = np.ptp(centre, axis=0).min() > 1
    gone = [0, 0] if circles else np.sign(np.rint(centre[-1] - centre[0]))
    grown = np.sign(np.rint(found.layers[-1].diameter[-1] - found.layers[-1].diameter[0]))
    colour = CLASSES[label].colour or ""
    return int(gone[0]), int(gone[1]), int(grown), int(np.sign(turn)) if circles else 0, colour


def test_mirrored_and_reversed_motions_have_the_labels_of_the_registry() -> None:
    for index in range(40):
        moves = [movement(label, index) for label in range(10)]
        assert len(set(moves)) == 10
        for label, (across, down, grown, turn, colour) in enumerate(moves):
            assert moves[INFO.mirrored[label]] == (-across, down, grown, -turn, colour)
            assert moves[INFO.reversed[label]] == (-across, -down, -grown, -turn, colour)


def test_a_mirrored_clip_is_as_likely() -> None:
    """Places lie evenly to either side of the middle column, and the knots of textures to either side of theirs."""
    many = [scene(SETTING, "val", i) for i in range(0, 2560, 5)]
    for pick in (-1, 0):
        places = np.array([one.layers[pick].centre[:, 1].mean() for one in many])
        assert abs(places.mean() - 31.5) < 4 * places.std() / np.sqrt(len(places))
    for size, cells in ((285, 5), (96, 3)):
        matrix = _interpolation(size, cells)
        assert matrix[::-1, ::-1] == pytest.approx(matrix, abs=1e-6)


def test_colours_are_told_apart_by_red_and_blue_alone() -> None:
    """Either colour is as likely in the classes that have none of their own, whatever the label."""
    kinds = Counter(
        (SETTING.label(i), scene(SETTING, "val", i).layers[-1].colour)
        for i in range(2560)
        if SETTING.label(i) > 3 and i % 3 == 0
    )
    for label in range(4, 10):
        warm, cold = kinds[label, "warm"], kinds[label, "cold"]
        assert abs(warm - cold) < 4 * np.sqrt(warm + cold)


def test_each_level_is_harder_in_its_own_way() -> None:
    """Along each axis alone: shorter travel; a fainter sprite; more distractors over a stronger background."""
    easy, *others = (next(i for i in range(0, 640, 10) if levels("val", i) == cell) for cell in
                     ((1, 1, 1), (4, 1, 1), (1, 4, 1), (1, 1, 4)))  # fmt: skip
    slow, faint, full = (scene(SETTING, "val", i) for i in others)
    plain = scene(SETTING, "val", easy)
    ways = [float(np.ptp((one.layers[-1].centre + one.camera)[:, 1])) / 64 for one in (plain, slow)]
    for way, s in zip(ways, (LEVELS["speed"][0], LEVELS["speed"][3]), strict=True):
        assert 0.92 * s <= way <= 1.08 * s
    assert (plain.layers[-1].opacity, faint.layers[-1].opacity) == (1.0, 0.4)
    assert (len(plain.layers), plain.contrast, len(full.layers), full.contrast) == (1, 0.2, 4, 0.65)
