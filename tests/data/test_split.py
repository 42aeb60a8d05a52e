"""An index in memory: as it was written, in as many objects whatever its length."""

import gc
import types
from pathlib import Path

import pytest

from benchmark.config.run import DataConfig, EvalConfig
from benchmark.data.frame_store import FrameStore
from benchmark.data.loader import ClipDataset
from benchmark.data.split import Clip, Split, read_index


def index(folder: Path, clips: int) -> Path:
    rows = [f"id {i},class {i % 7}/\u00e4 {i}.mp4,{i + 300},240,{320 + i},{i % 400}" for i in range(clips)]
    folder.mkdir()
    (folder / "index.csv").write_text("\n".join(["id,path,frames,height,width,label", *rows]) + "\n")
    return folder


def test_clips_are_those_of_the_file(tmp_path: Path) -> None:
    folder = index(tmp_path / "made", 12)
    with (folder / "index.csv").open("ab") as file:
        file.write(b"\xff,a\xe9/\xff.mp4,0,0,0,3\n")  # a name that is no UTF-8
    clips = read_index(folder, tmp_path)
    assert clips[5] == Clip("id 5", tmp_path / "class 5/\u00e4 5.mp4", 305, 240, 325, 5)
    assert clips[-1] == clips[12] == Clip("\udcff", tmp_path / "a\udce9/\udcff.mp4", 0, 0, 0, 3)
    assert [clip.label for clip in clips] == [*range(12), 3]
    assert clips[10:] == [clips[10], clips[11], clips[12]]
    with pytest.raises(IndexError):
        clips[13]


def objects(root: object) -> int:
    """How many Python objects belong to one, itself included; classes, functions and modules are no part of it."""
    seen, open_ones = dict[int, object](), [root]
    while open_ones:
        one = open_ones.pop()
        if id(one) not in seen and not isinstance(one, type | types.ModuleType | types.FunctionType):
            seen[id(one)] = one
            open_ones += gc.get_referents(one)
    return len(seen)


def test_a_loader_process_has_no_object_of_each_clip(tmp_path: Path) -> None:
    """Looking at an object writes to its page, which a loader process then holds for itself."""
    folder = index(tmp_path / "made", 3000)
    split = Split("none", "train", read_index(folder), 400, "", FrameStore(folder, range(3001)))
    dataset = ClipDataset(split, DataConfig(dataset="motionpairs"), EvalConfig(), 1, 0, "train")
    assert split.clips[2999].label == 2999 % 400
    assert objects(dataset) < 1000
    listed = [Clip(str(i), Path("a"), 1, 1, 1, 1) for i in range(3000)]
    assert objects(listed) > 6000  # which is what it was
