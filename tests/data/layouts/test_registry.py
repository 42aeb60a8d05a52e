"""A new layout is one object: put into the registry, a tree in it is prepared and opened like any other."""

import json
from pathlib import Path

import pytest

from benchmark.config.datasets import DATASETS, DatasetInfo
from benchmark.data.datasets import open_split, prepare
from benchmark.data.errors import DataError
from benchmark.data.layouts import find
from benchmark.data.layouts.layout import Layout
from benchmark.data.layouts.listing import ListedClip, Listing, ListingBuilder
from benchmark.data.layouts.registry import LAYOUTS
from benchmark.data.roots import Root
from tests.data.trees import write_frames, write_video


def _read(info: DatasetInfo, root: Root) -> Listing | None:
    """`clips.json`: by split, by class, the names of clips."""
    file = root.labels / "clips.json"
    if not file.is_file():
        return None
    content = json.loads(file.read_text())
    builder, classes = ListingBuilder(), sorted(content["train"])
    for split, of_split in content.items():
        for name, clips in of_split.items():
            for clip in clips:
                builder.add(split, ListedClip(clip, classes.index(name), (clip,)), file.name)
    return builder.build("clips.json", [file], classes)


DUMMY = Layout("a file clips.json", _read, frozenset(("hmdb51",)))


def test_a_layout_of_ones_own_is_one_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "root"
    write_video(root / "videos/a.avi", 5)
    write_frames(root / "frames/b", 6)
    write_video(root / "c.avi", 7)
    monkeypatch.setenv("BENCHMARK_DATA", str(tmp_path / "made"))
    monkeypatch.setenv("BENCHMARK_HMDB51", str(root))
    with pytest.raises(DataError, match="no label files of HMDB51"):
        prepare("hmdb51", workers=1)
    monkeypatch.setattr(find, "LAYOUTS", (DUMMY, *LAYOUTS))
    with pytest.raises(DataError, match=r"Known layouts: a file clips\.json, or <class>_test_splitN\.txt"):
        prepare("hmdb51", workers=1)
    (root / "clips.json").write_text(json.dumps({"train": {"wave": ["a"], "run": ["b"]}, "val": {"wave": ["c"]}}))
    prepare("hmdb51", workers=1)
    train, val = open_split("hmdb51", "train"), open_split("hmdb51", "val")
    assert [(clip.id, clip.label, clip.frames) for clip in train.clips] == [("a", 1, 5), ("b", 0, 6)]
    assert [(clip.id, clip.label, clip.frames) for clip in val.clips] == [("c", 1, 7)]
    assert train.classes[:2] == ("run", "wave")


def test_every_data_set_that_is_held_has_a_layout_of_its_own() -> None:
    held = {info.root_name for info in DATASETS.values() if not info.generated}
    of_some = {name for layout in LAYOUTS for name in layout.datasets or ()}
    assert of_some == held
    assert len({layout.expected for layout in LAYOUTS}) == len(LAYOUTS)
