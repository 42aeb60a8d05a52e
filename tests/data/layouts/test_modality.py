"""Optical flow under the clips' own names never stands for their RGB frames, and names are found despite capitals."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.data.datasets import prepare
from benchmark.data.errors import DataError
from benchmark.data.indexing.census import take
from benchmark.data.indexing.index import read_index
from benchmark.data.layouts.modality import flow_folder, parents
from benchmark.data.manifest import index_folder
from tests.data.trees import ucf_labels, write_frames, write_video

CLASSES = [f"Class{i:03d}" for i in range(101)]
CLIPS = [f"{name}/v_{name}_g{group:02d}_c01" for name in CLASSES[:2] for group in (1, 2, 3)]
Layout = tuple[Callable[[str], str], tuple[Callable[[str], str], ...]]


def name_of(clip: str) -> str:
    return clip.rpartition("/")[2]


LAYOUTS: dict[str, Layout] = {
    "flow_x sorts before rawframes": (lambda c: f"rawframes/{c}", (lambda c: f"flow_x/{c}", lambda c: f"flow_y/{c}")),
    "tvl1_flow/u and v": (
        lambda c: f"jpegs_256/{name_of(c)}",
        (lambda c: f"tvl1_flow/u/{name_of(c)}", lambda c: f"tvl1_flow/v/{name_of(c)}"),
    ),
    "only the directions are named": (lambda c: f"pictures/{c}", (lambda c: f"a/u/{c}", lambda c: f"a/v/{c}")),
    "OpticalFlow and frames": (lambda c: f"frames/{c}", (lambda c: f"OpticalFlow/{c}",)),
    "motion_x and motion_y": (lambda c: f"z/{c}", (lambda c: f"motion_x/{c}", lambda c: f"motion_y/{c}")),
    "no name says it, grey frames do": (lambda c: f"z/{c}", (lambda c: f"farne/{c}",)),
}


def write_grey(folder: Path, frames: int) -> None:
    folder.mkdir(parents=True)
    for number in range(1, frames + 1):
        Image.fromarray(np.full((48, 64), 128, np.uint8)).save(folder / f"{number:05d}.jpg")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCHMARK_DATA", str(tmp_path / "made"))
    monkeypatch.setenv("BENCHMARK_UCF101", str(tmp_path / "ucf"))
    monkeypatch.delenv("BENCHMARK_UCF101_LABELS", raising=False)
    train = [f"{clip}.avi" for clip in CLIPS if "_g01_" not in clip]
    ucf_labels(
        tmp_path / "ucf/lists", CLASSES, {1: (train, [f"{c}.avi" for c in CLIPS if f"{c}.avi" not in set(train)])}
    )
    return tmp_path / "ucf"


def fill(root: Path, layout: str) -> None:
    rgb, flows = LAYOUTS[layout]
    for clip in CLIPS:
        write_frames(root / rgb(clip), 4)
        for flow in flows:
            write_grey(root / flow(clip), 3)


def indexed() -> dict[str, str]:
    made = {}
    for split in ("train", "val"):
        for clip in read_index(index_folder("ucf101", split), Path()):
            made[clip.id] = clip.path.as_posix()
            assert clip.frames == 4
    return made


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rgb_is_indexed_and_flow_beside_it_is_named(layout: str, root: Path) -> None:
    fill(root, layout)
    census = take("ucf101", workers=1)
    folders = {flow(CLIPS[0]).split("/")[0] for flow in LAYOUTS[layout][1]}
    (note,) = census.notes
    assert note.startswith("left out as optical flow, or grey beside colour")
    assert all(f"{folder}" in note for folder in folders)
    assert census.splits["train"]["copies"] == 0
    prepare("ucf101", workers=1)
    assert indexed() == {name_of(clip): LAYOUTS[layout][0](clip) for clip in CLIPS}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_flow_does_not_hide_that_rgb_frames_are_absent(layout: str, root: Path) -> None:
    fill(root, layout)
    gone = root / LAYOUTS[layout][0](CLIPS[0])
    for path in gone.iterdir():
        path.unlink()
    gone.rmdir()
    assert take("ucf101", workers=1).splits["val"]["missing"] == [name_of(CLIPS[0])]
    prepare("ucf101", workers=1)
    assert indexed() == {name_of(clip): LAYOUTS[layout][0](clip) for clip in CLIPS[1:]}


def test_damaged_rgb_frames_are_not_replaced_by_flow(root: Path) -> None:
    fill(root, "tvl1_flow/u and v")
    (root / "jpegs_256" / name_of(CLIPS[0]) / "00002.jpg").unlink()
    record = take("ucf101", workers=1).splits["val"]
    assert "frame 2 is missing" in str(record["corrupt"])


def test_flow_alone_is_refused_and_a_root_that_is_named_so_is_not(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for clip in CLIPS:
        write_frames(root / "flow" / clip, 4)
    with pytest.raises(DataError, match=r"optical flow or grey pictures only.* flow \(6\).*give that folder itself"):
        take("ucf101", workers=1)
    monkeypatch.setenv("BENCHMARK_UCF101", str(root / "flow"))
    monkeypatch.setenv("BENCHMARK_UCF101_LABELS", str(root / "lists"))
    assert take("ucf101", workers=1).splits["train"]["missing"] == []


def test_folders_that_are_named_by_one_letter_without_the_other_hold_clips(root: Path) -> None:
    for clip in CLIPS:
        write_frames(root / "v" / clip, 4)
    assert take("ucf101", workers=1).notes == ()


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        ("flow_x/a", "flow_x"),
        ("kinetics/tvl1/c/a", "kinetics/tvl1"),
        ("flow_project/rgb/c/a", ""),
        ("flow_project/videos/c/a", ""),
        ("flow/frames/a", "flow"),
        ("flower arranging/a", ""),
        ("workflow_1/a", ""),
        ("frames/water flow/a", ""),
        ("x/a", ""),
    ],
)
def test_which_names_say_flow(path: str, folder: str) -> None:
    assert flow_folder(path, parents([path]), {"waterflow"}) == folder


def test_a_name_in_other_capitals_is_found_if_it_is_the_only_one(root: Path) -> None:
    spelled = {clip: name_of(clip).replace("Class", "class") for clip in CLIPS}
    for clip in CLIPS[1:]:
        write_frames(root / "jpegs_256" / spelled[clip], 4)
    write_frames(root / "jpegs_256" / name_of(CLIPS[0]).upper(), 4)
    census = take("ucf101", workers=1)
    assert [census.splits[s]["missing"] for s in ("train", "val")] == [[], []]
    (note,) = census.notes
    assert note.startswith("6 clips are found under names that differ from the listed ones in capitals")
    write_frames(root / "jpegs_256" / name_of(CLIPS[0]).lower(), 4)  # two could be meant
    assert take("ucf101", workers=1).splits["val"]["missing"] == [name_of(CLIPS[0])]
    write_frames(root / "jpegs_256" / name_of(CLIPS[0]), 4)
    assert take("ucf101", workers=1).splits["val"]["missing"] == []


def test_archives_are_named_where_clips_are_missing(root: Path) -> None:
    (root / "UCF101.rar").write_bytes(b"Rar!")
    with pytest.raises(DataError, match=r"archives are not read: unpack UCF101\.rar"):
        take("ucf101", workers=1)
    for clip in CLIPS[1:]:
        write_video(root / f"{clip}.avi", 4)
    assert take("ucf101", workers=1).notes == ("clips are missing; archives are not read: unpack UCF101.rar",)
