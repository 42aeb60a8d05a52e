"""Attention of networks that were never trained: what is shown is what their modules compute."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchmark.data.datasets import open_split
from benchmark.data.errors import DataError
from benchmark.data.loader import ClipDataset
from benchmark.data.transforms import eval_transform
from benchmark.models.gates.channel_gate import over_maps
from benchmark.runs.errors import RunDirError
from benchmark.visualize.attention import ATTENTIONS, overlay, reference_points, weights_of
from benchmark.visualize.errors import VisualizeError
from benchmark.visualize.rows import Row
from benchmark.visualize.strip import spread, strip
from benchmark.visualize.trained import load_trained
from benchmark.visualize.view import Seen, View, choose, open_view

NARROW = {"name": "tsm_resnet", "width": 0.125, "depth": 18}
MODELS: dict[str, dict[str, Any]] = {
    "aa11": {**NARROW, "insert": ["rnl"], "insert_after": ["res2.0", "res2.1", "res3.0"]},
    "bb22": {**NARROW, "insert": ["gc", "nl", "cpa"], "insert_after": ["res3"], "nl": {"sub_sample": True}},
    "cc33": {**NARROW, "insert": ["cbam"], "insert_after": ["res3"]},
    "dd44": {"name": "i3d", "width": 0.125, "insert": ["rnl"], "insert_after": ["mixed_4b"]},
    "ee55": {**NARROW},
    "ff66": {**NARROW, "representation": "flow", "insert": ["gc"], "insert_after": ["res3"]},
    "gg77": {**NARROW, "insert": ["rnl"], "insert_after": ["res3"], "rnl": {"similarity": "cosine"}},
    "hh88": {**NARROW, "insert": ["rnl"], "insert_after": ["res3"], "rnl": {"similarity": "dot"}},
}


pytestmark = pytest.mark.usefixtures("here")


def view(key: str, size: int | None = None) -> View:
    return open_view(load_trained(key), ATTENTIONS, None, size)


def test_frames_are_those_of_the_evaluation() -> None:
    config = load_trained("aa11").config
    data = ClipDataset(open_split("motionpairs-tiny", "val"), config.data, config.eval, 1, 0, "eval")
    assert np.array_equal(view("aa11").frames, data[0].frames[0].permute(0, 2, 3, 1).numpy())


def test_modules_of_a_chain_are_seen_one_after_the_other() -> None:
    gc, nl, cpa = view("bb22").seen
    assert [one.name for one in (gc, nl, cpa)] == ["res3.1.gc", "res3.1.nl", "res3.1.cpa"]
    with torch.no_grad():
        assert torch.equal(gc.module(gc.maps, gc.frames), nl.maps)
        assert torch.equal(nl.module(nl.maps, nl.frames), cpa.maps)


def test_softmax_weights_are_multiples_of_their_mean() -> None:
    for seen in (*view("aa11").seen, *view("bb22").seen):
        weights = weights_of(seen, [(0, 1, 2), (3, 0, 0)])
        assert len(weights) == (2 if seen.kind in ("rnl", "nl") else 1)
        assert weights.mean((1, 2, 3)) == pytest.approx(1, rel=1e-4)
        assert weights.std() > 0


def test_a_cosine_with_itself_is_one_and_a_dot_product_is_symmetric() -> None:
    points = [(0, 1, 2), (3, 4, 0)]
    (seen,) = view("gg77").seen
    weights = weights_of(seen, points)
    assert [weights[i][point] for i, point in enumerate(points)] == pytest.approx([1, 1], rel=1e-4)
    assert (weights.min() >= 0, weights.max() <= 1.0001) == (True, True)
    (seen,) = view("hh88").seen
    weights = weights_of(seen, points)
    assert weights[0][points[1]] == pytest.approx(weights[1][points[0]], rel=1e-4)
    with torch.no_grad():
        regions, _ = seen.module._regions_and_values(seen.maps, seen.frames)
    (place,) = np.ravel_multi_index(np.array(points[0])[:, None], seen.size)
    assert weights[0][points[0]] == pytest.approx(float((regions[0, place] ** 2).sum()), rel=1e-4)


def test_the_gate_of_cbam_is_the_one_of_its_output() -> None:
    (seen,) = view("cc33").seen
    (gate,) = weights_of(seen, [])
    with torch.no_grad():
        channels = over_maps(seen.module.gate(seen.maps, seen.frames), seen.maps, seen.frames)
        expected = seen.module(seen.maps, seen.frames)
    assert torch.allclose(seen.maps * channels * torch.from_numpy(gate)[:, None], expected, rtol=1e-5, atol=1e-7)


def test_the_default_module_has_the_largest_maps_and_is_the_last_of_them() -> None:
    seen = view("aa11").seen
    assert choose(seen, None).name == "res2.1.rnl"
    assert choose(seen, "res2.0").name == "res2.0.rnl"
    assert choose(seen, "res3").name == "res3.0.rnl"
    seen = view("bb22").seen
    assert choose(seen, "res3.1").kind == "nl"  # has a map for every position
    assert choose(seen, "res3.1.cpa").kind == "cpa"
    with pytest.raises(VisualizeError, match=r"--place res4: the run has res3.1.gc, res3.1.nl, res3.1.cpa"):
        choose(seen, "res4")


def test_a_network_with_fewer_maps_than_frames_shows_the_middle_of_each_share() -> None:
    of_i3d = view("dd44")
    assert [one.size[0] for one in of_i3d.seen] == [4]
    assert of_i3d.stems(4).tolist() == [1, 3, 5, 7]
    assert of_i3d.stems(8).tolist() == list(range(8))


def test_larger_frames_give_larger_maps() -> None:
    assert view("aa11").seen[-1].size == (8, 7, 7)
    larger = view("aa11", size=112)
    assert larger.frames.shape == (8, 112, 112, 3)
    assert larger.seen[-1].size == (8, 14, 14)


def test_reference_points_are_on_what_moves_and_where_nothing_does() -> None:
    rng = np.random.default_rng(0)
    frames = np.repeat(rng.integers(100, 140, (1, 64, 64, 3), dtype=np.uint8), 8, axis=0)
    square = rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)
    for t in range(8):
        top = 8 if t < 4 else 8 + 10 * (t - 3)  # moves in the frames from 4 on only
        frames[t, top : top + 16, 40:56] = square
    (t, y, x), (same, far_y, far_x) = reference_points(frames)
    assert t == same
    assert 4 <= t <= 6
    top = 8 + 10 * (t - 3)
    assert top <= y < top + 16
    assert 40 <= x < 56
    assert far_x == 8
    assert far_y in (8, 56)


def test_where_nothing_moves_the_first_point_is_the_centre() -> None:
    still = np.full((5, 40, 40, 3), 90, np.uint8)
    assert reference_points(still)[0] == (2, 20, 20)
    assert reference_points(still[:1])[0] == (0, 20, 20)


def test_bright_is_the_highest_weight() -> None:
    weights = np.zeros((2, 4, 4), np.float32)
    weights[1, 0, 3] = 5
    weights[0] = np.linspace(0, 1, 16).reshape(4, 4)
    grey = np.full((2, 32, 32, 3), 128, np.uint8)
    images, words = overlay(grey, weights)
    brightness = images.astype(int).sum(-1)
    assert np.unravel_index(brightness.argmax(), brightness.shape)[0] == 1
    assert brightness[1, 2, 29] > brightness[0, 29, 29] > brightness[0, 2, 2] == brightness[1, 29, 2]
    assert words == f"0 to {np.quantile(weights, 0.99):.3g}, max 5"
    images, words = overlay(grey, np.full((2, 4, 4), 1, np.float32))
    assert words == "1 everywhere"
    assert len(np.unique(images.reshape(-1, 3), axis=0)) == 1


def test_places_are_spread_and_the_needed_ones_kept() -> None:
    assert spread(8, 8) == list(range(8))
    assert spread(8, 3) == [0, 4, 7]
    assert spread(8, 3, [5, 5]) == [0, 5, 7]
    assert spread(8, 1, [2, 6]) == [2, 6]
    assert spread(1, 6) == [0]


def test_points_are_marked_in_their_own_image() -> None:
    images = np.zeros((3, 40, 40, 3), np.uint8)
    figure = strip("t", "s", ["0", "1", "2"], [Row("a", "", "", images), Row("b", "", "", images)], {(1, 2): (7, 30)})
    marked = [i for i, ax in enumerate(figure.axes) if ax.lines]
    assert marked == [5]
    assert np.array_equal(figure.axes[5].lines[0].get_xydata(), [[30, 7]])


def test_the_picture_of_a_run(call: Any, capsys: pytest.CaptureFixture[str]) -> None:
    files = call("attention aa11 --query 4,0,55 0,28,28 --place res3 --clip motionpairs-tiny:val:2 --columns 2")
    assert sorted(capsys.readouterr().out.split()) == sorted(str(path) for path in files.values())
    assert files[".png"].stem == "attention-aa11-res3.0.rnl-motionpairs-tiny-val-2"
    found = files.texts
    assert found[0].startswith("motionpairs-tiny/val, clip 2: ")
    assert found[1] == "rnl after res3.0, 8 × 7 × 7 positions, trained, 1 of 50 epochs (run aa11)"
    assert found[2:4] == ["frame 0", "frame 4"]
    assert found[found.index("Point 1") + 1] == "frame 4, y 0, x 55; dark to bright:"
    assert found[found.index("Point 2") + 2].startswith("× mean: ")
    first = {kind: path.read_bytes() for kind, path in files.items()}
    again = call("attention aa11 --query 4,0,55 0,28,28 --place res3 --clip motionpairs-tiny:val:2 --columns 2")
    assert {kind: path.read_bytes() for kind, path in again.items()} == first
    assert Image.open(files[".png"]).width == 2100


def test_a_pixel_of_the_video_is_found_in_what_is_seen(data: Path) -> None:
    seen = view("aa11")
    assert seen.video == (40, 48)
    marked = np.zeros((1, 40, 48, 3), np.uint8)
    marked[0, 12:15, 30:33] = 255
    (crop,) = eval_transform(marked, 56, 64, 1)
    bright = crop[0, 0].numpy().astype(float)
    centre = [float((bright.sum(1 - axis) * np.arange(56)).sum() / bright.sum()) for axis in (0, 1)]
    assert seen.of_video(13, 31) == pytest.approx(centre, abs=0.6)
    # A crop of 56 from 64 x 76, of 40 x 48: what is cut off is 4 and 10 of those pixels at each side.
    rows, columns = ([i for i in range(n) if shown(seen, axis, i)] for axis, n in ((0, 40), (1, 48)))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (2, 36, 6, 41)
    with pytest.raises(VisualizeError, match=r"48 x 40: y 2 to 36, x 6 to 41"):
        seen.of_video(20, 42)


def shown(seen: View, axis: int, at: int) -> bool:
    try:
        seen.of_video(*((at, 24) if axis == 0 else (20, at)))
    except VisualizeError:
        return False
    return True


def test_the_picture_of_pixels_of_the_video(call: Any) -> None:
    found = call("attention aa11 --query 20,24 4,28,28 --columns 2").texts
    at = found.index("Point 1: 20,24 of the video")
    assert found[at + 1] == "frame 4, y 28, x 28; dark to bright:"
    assert found[found.index("Point 2") + 1 :][:2] == found[at + 1 : at + 3]


def test_the_picture_of_one_map_for_all(call: Any) -> None:
    found = call("attention bb22 --place res3.1.gc").texts
    assert found[-3:-1] == ["Weights of all positions", "dark to bright:"]
    assert "On what moves" not in found


def test_pooled_keys_are_told(call: Any) -> None:
    found = call("attention bb22 --columns 4").texts
    assert found[1].startswith("nl after res3.1, 8 × 7 × 7 positions (3 × 3 as keys)")
    assert [text for text in found if text in ("On what moves", "In the background")] == [
        "On what moves",
        "In the background",
    ]


def test_requests_that_cannot_be_met_say_why(call: Any, capsys: pytest.CaptureFixture[str]) -> None:
    having = r"aa11 \(rnl\), bb22 \(gc, nl, cpa\), cc33 \(cbam\), dd44 \(rnl\)"
    for arguments, message in (
        ("attention ee55", rf"tsm_resnet has no rnl, nl, cpa, gc or cbam; runs of .* that have: {having}"),
        ("attention ff66", "reads optical flow"),
        ("attention cc33 --query 0,0,0", "has one map for all positions"),
        ("attention aa11 --query 0,56,0", "--query 0,56,0: t is 0 to 7, y and x are 0 to 55"),
        (
            "attention aa11 --query 40,0",
            "--query 40,0: 40,0 lies outside of what is seen of the video's 48 x 40: y 2 to",
        ),
        ("attention aa11 --place res5", "--place res5: the run has res2.0.rnl"),
        ("attention aa11 --size 8", "--size 8"),
        ("attention aa11 --columns 0", "--columns 0"),
        ("attention aa11 --clip nothing.mp4", "no such video file"),
    ):
        with pytest.raises(DataError, match=message):
            call(arguments)
    with pytest.raises(RunDirError, match="no run 'zz'"):
        call("attention zz")
    with pytest.raises(SystemExit):
        call("attention aa11 --query 1")
    assert "'1' is no point Y,X or T,Y,X" in capsys.readouterr().err


def test_a_checkpoint_of_another_network_is_refused() -> None:
    trained = load_trained("aa11")
    other = load_trained("bb22")
    with pytest.raises(VisualizeError, match="is not of its config"):
        open_view(type(trained)(trained.run, trained.config, other.weights, 1), ATTENTIONS, None, None)


def test_seen_is_named_by_place_and_kind() -> None:
    seen = Seen("res3.2", "rnl", None, torch.zeros(8, 3, 5, 6), 8)
    assert (seen.name, seen.size) == ("res3.2.rnl", (8, 5, 6))
