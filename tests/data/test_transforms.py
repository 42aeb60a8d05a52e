"""Crops against the rules of the papers' code, worked out by hand, and resizing against Pillow."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from benchmark.data.transforms import (
    SCALES,
    cut,
    eval_transform,
    jitter_range,
    may_mirror,
    multiscale_box,
    normalise,
    resize,
    short_side_size,
    to_tensor,
    train_view,
    view_boxes,
    viewed,
)


def train_transform(frames: NDArray[np.uint8], *settings: Any, **more: Any) -> torch.Tensor:
    height, width = frames.shape[1:3]
    return viewed(to_tensor(frames), train_view(height, width, *settings, **more))[0]


def jittered(frames: torch.Tensor, size: int, flip: bool, rng: np.random.Generator) -> torch.Tensor:
    height, width = frames.shape[-2:]
    return viewed(frames, train_view(height, width, size, flip, rng, "jitter"))[0]


def boxes(height: int, width: int, size: int) -> set[tuple[int, int, int, int]]:
    rng = np.random.default_rng(0)
    drawn = [multiscale_box(height, width, size, False, rng) for _ in range(4000)]
    return {(b.top, b.left, b.height, b.width) for b in drawn}


def test_multiscale_crops_are_the_ten_sizes_at_the_thirteen_places() -> None:
    found = boxes(256, 340, 224)
    sizes = {(height, width) for _, _, height, width in found}
    sides = (256, 224, 192, 168)
    assert sizes == {(a, b) for i, a in enumerate(sides) for j, b in enumerate(sides) if abs(i - j) <= 1}
    at_192 = {(top, left) for top, left, height, width in found if (height, width) == (192, 192)}
    down, across = (256 - 192) // 4, (340 - 192) // 4
    grid = [(0, 0), (0, 4), (4, 0), (4, 4), (2, 2), (0, 2), (4, 2), (2, 0), (2, 4), (1, 1), (1, 3), (3, 1), (3, 3)]
    assert at_192 == {(r * down, c * across) for r, c in grid}


def test_a_crop_within_three_pixels_of_the_input_is_taken_at_the_input_size() -> None:
    assert {height for _, _, height, _ in boxes(258, 258, 224)} == {258, 224, 193, 170}  # int(258 * .875) is 225


def test_crops_of_flow_have_three_scales() -> None:
    rng = np.random.default_rng(0)
    drawn = [multiscale_box(256, 340, 224, False, rng, SCALES[:3]) for _ in range(2000)]
    sides = (256, 224, 192)
    assert {(b.height, b.width) for b in drawn} == {
        (a, b) for i, a in enumerate(sides) for j, b in enumerate(sides) if abs(i - j) <= 1
    }


@pytest.mark.parametrize(("size", "expected"), [(224, (256, 320)), (160, (182, 228))])
def test_the_shorter_side_is_jittered_in_x3d_s_range(size: int, expected: tuple[int, int]) -> None:
    assert jitter_range(size) == expected


def test_jittered_crops_are_anywhere_in_frames_of_every_size_of_the_range() -> None:
    """Of frames whose pixels are their own row, a crop tells its scale and its place."""
    rows = torch.arange(80.0).view(80, 1).expand(1, 3, 80, 100)
    places: dict[int, set[int]] = {}
    for seed in range(1500):
        crop = jittered(rows, 28, False, np.random.default_rng(seed))[0, 0, :, 0]
        short = round(80 * 23 / float(crop[-3] - crop[2]))
        at_14 = (float(crop[14]) + 0.5) * short / 80 - 0.5
        places.setdefault(short, set()).add(round(at_14 - 14))
        assert crop.shape == (28,)
    assert places == {short: set(range(short - 28 + 1)) for short in range(32, 41)}


def test_jittered_crops_are_mirrored_in_half_of_the_cases_only_where_asked() -> None:
    columns = torch.arange(100.0).expand(1, 3, 80, 100)
    mirrored = [bool(jittered(columns, 28, True, np.random.default_rng(s))[0, 0, 0].diff()[0] < 0) for s in range(400)]
    assert 160 < sum(mirrored) < 240
    same = [jittered(columns, 28, flip, np.random.default_rng(7)).sort(-1).values for flip in (False, True)]
    assert torch.equal(*same)


def test_six_classes_are_never_mirrored_in_undirected_flips() -> None:
    assert {c for c in range(174) if not may_mirror("undirected", c)} == {86, 87, 93, 94, 166, 167}
    assert all(may_mirror(True, c) for c in range(174))
    assert not any(may_mirror(False, c) for c in range(174))


@pytest.mark.parametrize(("height", "width"), [(100, 176), (132, 100), (240, 320)])
def test_frames_may_be_resized_before_all_else_whatever_their_shape(height: int, width: int) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (2, height, width, 3), dtype=np.uint8)
    whole = resize(to_tensor(frames), 240, 320)
    [view] = eval_transform(frames, 224, 240, 1, (240, 320))
    assert torch.equal(view, whole[..., 8:232, 48:272])
    crop = train_transform(frames, 224, False, np.random.default_rng(1), frame=(240, 320))
    box = multiscale_box(240, 320, 224, False, np.random.default_rng(1))
    assert torch.equal(crop, resize(cut(whole, box), 224, 224))


def test_three_crops_are_of_the_whole_shorter_side() -> None:
    frames = np.random.default_rng(0).integers(0, 255, (1, 64, 96, 3), dtype=np.uint8)
    views = eval_transform(frames, 56, 64, 3)
    left, right, centre = (to_tensor(frames)[..., at : at + 64] for at in (0, 32, 16))
    assert torch.equal(views, torch.stack([left, right, centre]))


def test_every_training_crop_is_of_the_input_s_size() -> None:
    frames = np.zeros((2, 50, 70, 3), dtype=np.uint8)
    for crop in ("multiscale", "multiscale_three", "jitter"):
        made = train_transform(frames, 40, True, np.random.default_rng(0), crop)
        assert (made.shape, made.dtype) == ((2, 3, 40, 40), torch.uint8)


def test_evaluation_boxes() -> None:
    [centre] = view_boxes(256, 341, 224, 1)
    assert (centre.top, centre.left, centre.height) == (16, 58, 224)
    three = view_boxes(256, 340, 256, 3)
    assert [(b.top, b.left) for b in three] == [(0, 0), (0, 84), (0, 42)]
    ten = view_boxes(256, 340, 224, 10)
    assert [b.flip for b in ten] == [False] * 5 + [True] * 5
    with pytest.raises(ValueError, match="does not fit"):
        view_boxes(64, 80, 72, 1)


def test_resizing_is_pillows_to_one_grey_level() -> None:
    image = np.random.default_rng(0).integers(0, 255, (64, 80, 3), dtype=np.uint8)
    ours = resize(to_tensor(image[None]), 40, 40)[0].permute(1, 2, 0).numpy().astype(int)
    pillow = np.asarray(Image.fromarray(image).resize((40, 40), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(ours - pillow).max() <= 1


def test_the_shorter_side_is_scaled_in_either_orientation() -> None:
    assert short_side_size(240, 320, 256) == (256, 341)
    assert short_side_size(320, 240, 256) == (341, 256)


def test_views_are_cut_from_the_scaled_frame() -> None:
    frames = np.random.default_rng(0).integers(0, 255, (2, 64, 80, 3), dtype=np.uint8)
    views = eval_transform(frames, 56, 64, 10)
    assert views.shape == (10, 2, 3, 56, 56)
    assert torch.equal(views[5], views[0].flip(-1))
    assert torch.equal(views[0], cut(to_tensor(frames), view_boxes(64, 80, 56, 5)[0]))


def test_normalised_pixels() -> None:
    grey = normalise(torch.full((1, 3, 1, 1), 128, dtype=torch.uint8)).flatten()
    expected = [(128 / 255 - m) / s for m, s in zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)]
    assert grey.tolist() == pytest.approx(expected, rel=1e-5)
