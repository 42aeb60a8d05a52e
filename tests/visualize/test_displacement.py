"""Displacements as MotionSqueeze computes them, in pixels; networks were never trained."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchmark.models.modules.motion_squeeze import MotionSqueeze
from benchmark.visualize.displacement import motion_of, normalised
from benchmark.visualize.errors import VisualizeError
from benchmark.visualize.view import Seen

NARROW = {"name": "tsm_resnet", "width": 0.125, "depth": 18, "insert_after": ["res3"]}
MODELS: dict[str, dict[str, Any]] = {
    "aa11": {**NARROW, "insert": ["motion_squeeze"], "motion_squeeze": {"patch": 5}},
    "bb22": {**NARROW, "insert": ["motion_squeeze"], "motion_squeeze": {"patch": 5, "confidence": False}},
    "cc33": {**NARROW, "insert": ["gc"]},
}


def moving(dx: int, dy: int, frames: int = 3) -> torch.Tensor:
    """Maps of random vectors (T, 32, 9, 12) that move by (dx, dy) positions a frame, coming in anew at the rims."""
    whole = torch.randn(32, 40, 40, generator=torch.Generator().manual_seed(0))
    tops, lefts = ([15 - step * t for t in range(frames)] for step in (dy, dx))
    return torch.stack([whole[:, y : y + 9, x : x + 12] for y, x in zip(tops, lefts, strict=True)])


@pytest.mark.parametrize(("dx", "dy"), [(2, 1), (-1, 0), (0, -2)])
def test_displacements_are_pixels_to_the_right_and_down(dx: int, dy: int) -> None:
    # A cosine with another random vector is small beside 1, so the softmax over cosines / 0.01 picks the match.
    module = MotionSqueeze(32, reduced=None, patch=7)
    moved, confidence = motion_of(Seen("res3", "motion_squeeze", module, moving(dx, dy), 3), side=72)
    inner = moved[:, 2:-2, 2:-2]
    assert moved.shape == (2, 9, 12, 2)
    # A position is 72 / 12 pixels wide and 72 / 9 high.
    assert np.abs(inner - np.array([6 * dx, 8 * dy])).max() < 0.05
    assert confidence is not None
    assert confidence[:, 2:-2, 2:-2] == pytest.approx(1, abs=1e-4)


def test_the_way_back_and_the_confidence_are_not_taken_for_displacements() -> None:
    maps = moving(1, 2)
    shown = []
    for settings in ({}, {"backward_displacement": True}, {"confidence": False}):
        module = MotionSqueeze(32, reduced=None, patch=7, **settings)  # type: ignore[arg-type]
        shown.append(motion_of(Seen("res3", "motion_squeeze", module, maps, 3), side=72))
    for moved, _ in shown[1:]:
        assert np.array_equal(moved, shown[0][0])
    assert [confidence is None for _, confidence in shown] == [False, False, True]


def test_confidence_reaches_from_black_to_white() -> None:
    greys = normalised(np.array([[0.5, 0.75], [0.6, 1.0]], np.float32))
    assert greys[..., 0].tolist() == [[0, 128], [51, 255]]
    assert (greys[..., 0] == greys[..., 2]).all()
    assert (normalised(np.full((2, 2), 0.7, np.float32)) == 0).all()


def test_the_picture_of_a_run(call: Any, capsys: pytest.CaptureFixture[str]) -> None:
    files = call("displacement aa11 --clip motionpairs-tiny:val:1 --columns 3 --size 112")
    assert sorted(capsys.readouterr().out.split()) == sorted(str(path) for path in files.values())
    assert files[".png"].stem == "displacement-aa11-res3.1-motionpairs-tiny-val-1"
    found = files.texts
    assert found[1] == "motion_squeeze after res3.1, 14 × 14 positions, patch 5, trained, 1 of 50 epochs (run aa11)"
    assert found[2:5] == ["frame 0", "frame 3", "frame 6"]  # the last has no next one
    assert [text for text in found if text in ("Frames", "Displacement", "Confidence")] == [
        "Frames",
        "Displacement",
        "Confidence",
    ]
    assert found[found.index("Displacement") + 2].startswith("rim ")
    assert Image.open(files[".png"]).width == 2100


def test_a_module_without_confidence_has_no_such_row(call: Any) -> None:
    found = call("displacement bb22").texts
    assert "Displacement" in found
    assert "Confidence" not in found


def test_a_run_without_the_module_names_those_that_have_one(call: Any) -> None:
    message = r"run cc33: tsm_resnet has no motion_squeeze; runs of .* that have: aa11 \(.*\), bb22 \(motion_squeeze\)"
    with pytest.raises(VisualizeError, match=message):
        call("displacement cc33")
    with pytest.raises(VisualizeError, match=r"--place res4: the run has res3.1.motion_squeeze"):
        call("displacement aa11 --place res4")
