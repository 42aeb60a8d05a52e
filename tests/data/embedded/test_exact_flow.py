"""The exact flow of the generated clips: it explains the next frame, and has the signs of the classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from benchmark.data.embedded.exact_flow import ground_truth, owners
from benchmark.data.embedded.motionpairs import MOTIONS, SETTINGS
from benchmark.data.embedded.render import render

SETTING = SETTINGS["motionpairs"]


def of_class(name: str, skip: int = 0) -> int:
    label = next(i for i, motion in enumerate(MOTIONS) if motion.name == name)
    return label + skip * SETTING.num_classes


def on_sprite(index: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    owner = owners(SETTING, "train", index)[:-1]
    return ground_truth(SETTING, "train", index), owner == owner.max()


@pytest.mark.parametrize(("index", "step"), [(0, 1), (5, 1), (14, 1), (3, 4), (6, 4)])
def test_a_later_frame_fetched_by_the_flow_is_this_frame(index: int, step: int) -> None:
    frames = torch.from_numpy(render(SETTING, "train", index)).float().permute(0, 3, 1, 2)
    flow = torch.from_numpy(ground_truth(SETTING, "train", index, step))
    assert flow.shape == (SETTING.frames - step, SETTING.height, SETTING.width, 2)
    rows, columns = torch.meshgrid(torch.arange(SETTING.height), torch.arange(SETTING.width), indexing="ij")
    x, y = columns + flow[..., 0], rows + flow[..., 1]
    grid = torch.stack([2 * x / (SETTING.width - 1) - 1, 2 * y / (SETTING.height - 1) - 1], dim=-1)
    fetched = F.grid_sample(frames[step:], grid, align_corners=True, padding_mode="border")
    inside = ((x >= 0) & (x <= SETTING.width - 1) & (y >= 0) & (y <= SETTING.height - 1))[:, None]
    with_flow, without = ((frames[:-step] - other).abs() * inside for other in (fetched, frames[step:]))
    assert with_flow.median() < 0.5 * without.median()
    assert with_flow.mean() < 0.6 * without.mean()


@pytest.mark.parametrize(
    ("name", "component", "sign"), [("left", 0, -1), ("right", 0, 1), ("up", 1, -1), ("down", 1, 1)]
)
def test_translations_have_their_signs(name: str, component: int, sign: int) -> None:
    flow, sprite = on_sprite(of_class(name))
    assert sign * flow[sprite][:, component].mean() > 0.2


def derivatives(index: int) -> tuple[float, float]:
    """Mean divergence and curl on the sprite, away from its edge."""
    flow, sprite = on_sprite(index)
    inner = (
        sprite[:, 1:-1, 1:-1] & sprite[:, :-2, 1:-1] & sprite[:, 2:, 1:-1] & sprite[:, 1:-1, :-2] & sprite[:, 1:-1, 2:]
    )
    du_dx, dv_dx = ((flow[:, 1:-1, 2:, i] - flow[:, 1:-1, :-2, i])[inner] / 2 for i in (0, 1))
    du_dy, dv_dy = ((flow[:, 2:, 1:-1, i] - flow[:, :-2, 1:-1, i])[inner] / 2 for i in (0, 1))
    return float((du_dx + dv_dy).mean()), float((dv_dx - du_dy).mean())


def test_approach_diverges_recede_converges_and_rotations_turn_opposite_ways() -> None:
    assert derivatives(of_class("approach"))[0] > 0.01
    assert derivatives(of_class("recede"))[0] < -0.01
    clockwise, anticlockwise = (derivatives(of_class(f"rotate {way}"))[1] for way in ("clockwise", "anticlockwise"))
    assert clockwise * anticlockwise < 0
    assert min(abs(clockwise), abs(anticlockwise)) > 0.05


@pytest.mark.parametrize("step", [0, 32])
def test_flow_over_more_frames_than_there_are_is_refused(step: int) -> None:
    with pytest.raises(ValueError, match="no flow over"):
        ground_truth(SETTING, "train", 0, step)
