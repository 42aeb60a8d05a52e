"""Flow that another tool has extracted as images, in the layouts in which people keep it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmark.cli.main import main
from benchmark.data.datasets import open_split
from benchmark.data.errors import DataError, DecodeError
from benchmark.data.flow.extracted import open_flow
from benchmark.data.flow.imported import find_flow_images
from tests.data.trees import HEIGHT, WIDTH, write_video

FRAMES = 6
CLIPS = [(name, f"VID_{i}") for name in ("left", "push") for i in range(3)]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A prepared data set of two classes, whose clips have the same names in both."""
    monkeypatch.setenv("BENCHMARK_DATA", str(tmp_path / "made"))
    for seed, (name, clip) in enumerate(CLIPS):
        write_video(tmp_path / "clips" / name / f"{clip}.mp4", FRAMES, seed)
    (tmp_path / "own.yaml").write_text("title: t\nroot: clips\nlayout: folders\nclasses: [left, push]\n")
    assert main(["data", "prepare", str(tmp_path / "own.yaml")]) == 0
    return tmp_path


def level(name: str, clip: str, frame: int, direction: int) -> int:
    return 60 + 40 * (name == "push") + 10 * int(clip[-1]) + frame + 100 * direction


LAYOUTS = {
    "a folder a clip": ("flow/{name}/{clip}", "flow_{axis}_{number:05d}.png", "xy"),
    "x before the number": ("flow/{name}/{clip}", "{axis}_{number:05d}.png", "xy"),
    "u and v": ("tvl1_flow/{axis}/{name}/{clip}", "frame{number:06d}.png", "uv"),
    "flow_x and flow_y": ("flow_{axis}/{name}/{clip}", "{number:05d}.png", "xy"),
}


def write_images(root: Path, layout: str, count: int = FRAMES - 1, size: tuple[int, int] = (HEIGHT, WIDTH)) -> Path:
    folder, file, axes = LAYOUTS[layout]
    for name, clip in CLIPS:
        for direction, axis in enumerate(axes):
            for number in range(1, count + 1):
                values = {"name": name, "clip": clip, "axis": axis, "number": number}
                path = root / folder.format(**values) / file.format(**values)
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), np.full(size, level(name, clip, number, direction), np.uint8))
    return root


@pytest.mark.parametrize("count", [FRAMES - 1, FRAMES])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_images_become_the_flow_of_their_clip(here: Path, layout: str, count: int) -> None:
    root = write_images(here / "others", layout, count)
    assert main(["data", "flow", "own", "--from", str(root)]) == 0
    for split in ("train", "val"):
        flow = open_flow(open_split("own", split))
        for i, clip in enumerate(flow.split.clips):
            name, _, stem = clip.id.partition("__")
            seen = flow.read(i, [0, FRAMES - 2])
            assert seen.shape == (2, HEIGHT, WIDTH, 2)
            wanted = [[level(name, stem, frame, direction) for direction in (0, 1)] for frame in (1, FRAMES - 1)]
            assert (seen == np.array(wanted)[:, None, None]).all()


def test_images_of_another_size_are_scaled_with_their_displacements(here: Path) -> None:
    root = write_images(here / "others", "u and v", size=(2 * HEIGHT, 4 * WIDTH))
    assert main(["data", "flow", "own", "--from", str(root)]) == 0
    flow = open_flow(open_split("own", "val"))
    name, _, stem = flow.split.clips[0].id.partition("__")
    across, down = (level(name, stem, 1, direction) - 128 for direction in (0, 1))
    assert (flow.read(0, [0])[0, 0, 0] == [round(128 + across / 4), round(128 + down / 2)]).all()


def test_what_is_missing_is_named_and_the_rest_taken(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_images(here / "others", "a folder a clip")
    for path in (root / "flow/left/VID_0").glob("flow_y_*"):
        path.unlink()
    (root / "flow/left/VID_1/flow_x_00005.png").unlink()
    (root / "flow/push/VID_2/flow_x_00003.png").write_bytes(b"no image")
    capsys.readouterr()
    assert main(["data", "flow", "own", "--from", str(root)]) == 1
    said = capsys.readouterr().out
    assert "own: flow taken over, but for 3 unreadable clips:" in said
    assert "left/VID_0.mp4: there are no folders with images of its flow y" in said
    assert "left/VID_1: 4 images of flow x, the clip has 6 frames" in said
    assert "flow_x_00003.png: this image cannot be decoded" in said
    for split in ("train", "val"):
        flow = open_flow(open_split("own", split))
        for i, clip in enumerate(flow.split.clips):
            if clip.id in ("left__VID_0", "left__VID_1", "push__VID_2"):
                with pytest.raises(DecodeError):
                    flow.read(i, [0])
            else:
                assert flow.read(i, [0]).any()


def test_a_folder_without_them_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    split = open_split("own", "val")
    with pytest.raises(DataError, match="no such folder"):
        find_flow_images(here / "nowhere", split.clips)
    with pytest.raises(DataError, match=r"no folder of flow images is named as a clip, such as VID_"):
        find_flow_images(here, split.clips)
    assert main(["data", "flow", "own", "--from", str(here), "--interval", "4"]) == 2
    assert "--from is for one data set" in capsys.readouterr().err
