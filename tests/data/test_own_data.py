"""Data sets of the user's own: what their files say, what is found, and how tables run on them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.cli.main import main
from benchmark.cli.rendering import results_folder
from benchmark.config.datasets import DATASETS
from benchmark.config.own_data import copies, keep_copy, read_own, register
from benchmark.config.run import DataConfig, EvalConfig
from benchmark.config.source import SpecError
from benchmark.data.datasets import describe, open_split, prepare
from benchmark.data.errors import DataError
from benchmark.data.indexing.check import check_dataset
from benchmark.data.layouts.new_own import as_text, draft
from benchmark.data.loader import ClipDataset, Item
from benchmark.plan import make_plan
from benchmark.spec.load import load_table
from tests.data.trees import kinetics_csv, pixels, ucf_tree, write_frames, write_video

FOLDERS = "title: Gestures\nroot: clips\nlayout: folders\nclasses: [push, go left, go right]\n"


@pytest.fixture(scope="module")
def clips_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five clips of each of three classes, the last of a class as a folder of frames."""
    root = tmp_path_factory.mktemp("own") / "clips"
    for c, name in enumerate(("push", "go left", "go right")):
        for i in range(4):
            write_video(root / name / f"VID_{i}.mp4", seed=10 * c + i)
        write_frames(root / name / "VID_4", seed=10 * c + 4)
    return root


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clips_once: Path) -> Path:
    """A working folder with the clips in it."""
    monkeypatch.setenv("BENCHMARK_DATA", str(tmp_path / "made"))
    monkeypatch.setenv("BENCHMARK_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("BENCHMARK_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("BENCHMARK_DATASETS", str(tmp_path / "none.yaml"))
    (tmp_path / "clips").symlink_to(clips_once)
    return tmp_path


def own(folder: Path, text: str, name: str = "gestures") -> str:
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return register(path)


def listed(name: str) -> dict[str, dict[str, int]]:
    """Ids and labels by split, prepared."""
    prepare(name, workers=1)
    return {split: {clip.id: clip.label for clip in open_split(name, split).clips} for split in ("train", "val")}


def test_folders_of_classes_are_split_class_by_class_and_always_alike(here: Path) -> None:
    found = listed(own(here, FOLDERS + "val_share: 0.4\n"))
    assert {split: np.bincount(list(ids.values())).tolist() for split, ids in found.items()} == {
        "train": [3, 3, 3],
        "val": [2, 2, 2],
    }
    assert found["train"].keys() | found["val"].keys() == {
        f"{name}__VID_{i}" for name in ("push", "go left", "go right") for i in range(5)
    }
    assert found == listed(own(here, FOLDERS + "val_share: 0.4\n", "again"))
    split = open_split("gestures", "val")
    assert split.classes == ("push", "go left", "go right")
    for i, clip in enumerate(split.clips):
        seen = pixels(8, 10 * clip.label + int(clip.path.stem[-1]))[2]
        assert np.abs(split.read(i, [2])[0].astype(float) - seen).mean() < 12


def test_folders_of_splits(here: Path, clips_once: Path) -> None:
    for split, numbers in (("train", (0, 1)), ("validation", (2, 3))):
        for name in ("push", "go left"):
            (here / "sorted" / split / name).mkdir(parents=True)
            for i in numbers:
                shutil.copy(clips_once / name / f"VID_{i}.mp4", here / "sorted" / split / name)
    text = (
        "title: t\nroot: sorted\nlayout: folders\nclasses: [go left, push]\nsplits: {train: train, val: validation}\n"
    )
    assert listed(own(here, text))["val"] == {
        f"validation__{name}__VID_{i}": label for label, name in enumerate(("go left", "push")) for i in (2, 3)
    }


def test_csv_with_columns_of_its_own_and_parts_of_videos(here: Path) -> None:
    """Eight frames at 12 frames/s: from 0.25 s to 0.5 s are frames 3 to 5."""
    (here / "all.csv").write_text(
        "clip,what,part,from,to\npush/VID_0.mp4,1,train,0.25,0.5\npush/VID_0.mp4,2,test,,\n"
        "go left/VID_1.mp4,2,train,0,9\ngo left/VID_1.mp4,2,train,7,9\n"
    )
    columns = "columns: {path: clip, label: what, split: part, start: from, end: to}\n"
    text = f"title: t\nroot: clips\nlabels: .\nlayout: csv\nfile: all.csv\nclasses: [a, b]\nfirst_label: 1\n{columns}"
    found = listed(own(here, text))
    assert found == {
        "train": {"go left__VID_1__0__9": 1, "go left__VID_1__7__9": 1, "push__VID_0__0.25__0.5": 0},
        "val": {"push__VID_0": 1},
    }
    train, whole = open_split("gestures", "train"), open_split("gestures", "val")
    assert [clip.frames for clip in train.clips] == [8, 0, 3]  # to the end; beyond it; three of them
    assert np.array_equal(train.read(2, [0, 2]), whole.read(0, [3, 5]))


def kinetics_tree(folder: Path) -> Path:
    """Kinetics' files for four classes, of which no clip of the last is there, and one clip of each split is not."""
    listed = [(f"class {c}", f"id{c}{i:09d}", 5, ("train", "train", "val")[i]) for c in range(4) for i in range(3)]
    kinetics_csv(folder / "kinetics.csv", listed)
    for name, id, _, split in listed[1:7]:
        write_video(folder / split / name / f"{id}_000005_000015.mp4")
    return folder


def test_a_known_layout_of_some_classes(here: Path) -> None:
    """Labels follow the file's order of classes, which is not the label files'; what is listed and gone is damage."""
    kinetics_tree(here / "k")
    text = "title: t\nroot: k\nlayout: kinetics400\nclasses: [class 2, class 1]\n"
    found = listed(own(here, text))
    there = [(1, 0), (1, 1), (2, 0)]  # of class 2 the second clip and the one of val are gone
    assert found["train"] == {f"id{c}{i:09d}_000005_000015": 2 - c for c, i in there}
    assert DATASETS["gestures"].num_classes == 2
    assert check_dataset("gestures").damaged
    assert open_split("gestures", "val").classes == ("class 2", "class 1")
    with pytest.raises(DataError, match=r"'clas 2', which is no class of kinetics\.csv\. Did you mean 'class 2'"):
        prepare(own(here, text.replace("class 2", "clas 2")), workers=1)


def test_a_subset_that_is_meant_lacks_nothing(here: Path) -> None:
    kinetics_tree(here / "k")
    whole = "title: t\nroot: k\nlayout: kinetics400\n"
    name = own(here, whole)
    assert DATASETS[name].num_classes == 400
    assert sum(map(len, listed(name).values())) == 6
    missing = open_split(name, "train").missing
    assert missing == 4
    name = own(here, whole + "subset: true\nclasses: [class 0, class 1, class 2, class 3]\n", "part")
    assert {split: len(ids) for split, ids in listed(name).items()} == {"train": 4, "val": 2}
    assert open_split(name, "train").missing == 0
    report = check_dataset(name)
    assert not report.damaged, report.as_dict()
    assert report.notes == ("a subset of what is listed: 4 of 8 in train, 2 of 4 in val",)
    for path in (here / "k/val").rglob("*.mp4"):
        path.unlink()
    with pytest.raises(DataError, match="none of the 4 clips that are listed for val is there"):
        prepare(name, workers=1)


def test_frames_cut_out_of_a_longer_video_begin_anywhere(here: Path) -> None:
    root = here / "cut"
    for name in ("push", "pull"):
        for i in range(2):
            write_frames(root / name / f"clip{i}")
            for number in range(8, 0, -1):
                folder = root / name / f"clip{i}"
                (folder / f"{number:05d}.jpg").rename(folder / f"{number + 70:05d}.jpg")
    name = own(here, "title: t\nroot: cut\nlayout: folders\nclasses: [pull, push]\n")
    assert sum(map(len, listed(name).values())) == 4
    split = open_split(name, "train")
    assert split.clips[0].frames == 8
    assert np.abs(split.read(0, [7])[0].astype(float) - pixels(8)[7]).mean() < 12
    assert not check_dataset(name, full=True).damaged


def test_lists_with_numbers_or_names(here: Path) -> None:
    (here / "train.txt").write_text("push/VID_0.mp4 0\ngo left/VID_0.mp4 8 1\n")
    (here / "val.txt").write_text("go left/VID_4 8 1\n")
    files = "splits: {train: train.txt, val: val.txt}\n"
    text = f"title: t\nroot: clips\nlabels: .\nlayout: lists\nclasses: [push, left]\n{files}"
    assert listed(own(here, text)) == {"train": {"go left__VID_0": 1, "push__VID_0": 0}, "val": {"go left__VID_4": 1}}
    (here / "val.txt").write_text("go left/VID_4 8 2\n")
    with pytest.raises(DataError, match=r"val\.txt:1: label 2 is none of 0 to 1; `first_label`"):
        prepare("gestures", workers=1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("layout: folders\n", ":1: 'root' is required"),
        (FOLDERS.replace(", go left, go right", ""), "`classes` is required and names two classes or more"),
        (FOLDERS.replace("folders", "ucf101") + "splits: {train: a, val: b}\n", "ucf101 has its own"),
        ("title: t\nroot: clips\nlayout: hmdb51\nmirrored: [[a, b]]\n", "`mirrored` needs `classes`"),
        (FOLDERS + "subset: true\n", "of folders, what is there is what is meant"),
        (FOLDERS.replace("folders", "folder"), ":3: 'layout' cannot be 'folder'. Did you mean 'folders'?"),
        (FOLDERS + "val_sare: 0.4\n", ":5: unknown key 'val_sare'. Did you mean 'val_share'?"),
        (FOLDERS + "mirrored: [[go left, go rigt]]\n", "no class 'go rigt'. Did you mean 'go right'?"),
        (FOLDERS + "mirrored: [[go left]]\n", ":5: "),
        (FOLDERS.replace("push", "go left"), ":4: classes: 'go left' is there twice"),
        (FOLDERS + "name: My Set\n", ":5: name: small letters, digits, - and _ only"),
        (FOLDERS.replace("folders", "csv"), "needs `splits: {train: FILE, val: FILE}`"),
        (FOLDERS + "columns: {path: clip}\n", "`columns` are of layout csv"),
    ],
)
def test_a_file_that_says_what_cannot_be_is_refused(here: Path, text: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        own(here, text)
    assert said in str(caught.value)


def test_what_is_not_there_is_said(here: Path) -> None:
    name = own(here, FOLDERS.replace("push", "pull"))
    with pytest.raises(DataError, match=r"clips/pull: cannot be listed .*; each class has a folder"):
        prepare(name, workers=1)
    with pytest.raises(DataError, match=r"in .*/nowhere, which does not exist"):
        prepare(own(here, FOLDERS.replace("root: clips", "root: nowhere")), workers=1)


def test_the_key_follows_the_meaning_and_not_the_place(here: Path) -> None:
    first = read_own(here / f"{own(here, FOLDERS)}.yaml")
    moved = FOLDERS.replace("Gestures", "Another title").replace("root: clips", f"root: {here / 'clips'}")
    assert read_own(here / f"{own(here, moved, 'b')}.yaml").digest == first.digest
    for change in ("val_share: 0.3\n", "mirrored: []\n"):
        assert read_own(here / f"{own(here, FOLDERS + change, 'c')}.yaml").digest != first.digest
    swapped = FOLDERS.replace("push, go left", "go left, push")
    assert read_own(here / f"{own(here, swapped, 'd')}.yaml").digest != first.digest


def test_a_changed_file_asks_for_another_preparation(here: Path) -> None:
    listed(own(here, FOLDERS))
    own(here, FOLDERS + "val_share: 0.4\n")
    with pytest.raises(DataError, match=r"says something else by now than what was prepared; run: .* prepare gestures"):
        open_split("gestures", "train")


def test_jobs_find_what_was_given_by_path(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = own(here, FOLDERS.replace("title", "name: mine\ntitle"))
    assert name == "mine"
    keep_copy(name)
    version = DATASETS["mine"].version
    monkeypatch.setattr("benchmark.config.own_data._BY_PATH", {})  # as in a process of its own
    assert DATASETS["mine"].version == version
    assert read_own(copies() / "mine.yaml").root == str(here / "clips")
    assert "mine" in [record["name"] for record in describe()]
    (copies() / "bad.yaml").write_text("title: t\n")
    states = {record["name"]: record["state"] for record in describe()}
    assert (states["bad"], states["mine"]) == ("file unusable", "not prepared")


def test_a_mirrored_clip_has_the_label_of_its_mirror_image(here: Path) -> None:
    name = own(here, FOLDERS + "mirrored: [[go left, go right]]\n")
    listed(name)
    split = open_split(name, "train")
    data = DataConfig(dataset=name, size=32, flip=True, segments=2, train_crop="multiscale")
    dataset, plain = (
        ClipDataset(split, data.model_copy(update={"flip": flip}), EvalConfig(scale=36), 1, 0, "train")
        for flip in (True, False)
    )
    labels = set()
    for epoch in range(4):
        dataset.set_epoch(epoch)
        plain.set_epoch(epoch)
        for i, clip in enumerate(split.clips):
            seen, straight = dataset[i], plain[i]
            assert isinstance(seen, Item)
            assert isinstance(straight, Item)
            mirrored = not torch.equal(seen.frames, straight.frames)
            assert mirrored == torch.equal(seen.frames, straight.frames.flip(-1))
            assert int(seen.label) == ((0, 2, 1)[clip.label] if mirrored else clip.label)
            labels.add((clip.label, mirrored))
    assert len(labels) == 6


def test_any_table_runs_on_it_with_its_own_classes_and_the_printed_costs(here: Path) -> None:
    own(here, FOLDERS + "mirrored: []\n")
    table = load_table("bqn-3b", dataset=str(here / "gestures.yaml"))
    configs = [row.config for row in table.rows if row.config]
    assert {(c.data.dataset, c.data.num_classes, c.data.flip, c.data.symmetries) for c in configs} == {
        ("gestures", 3, True, False)
    }
    assert {row.paper_config.data.dataset for row in table.rows if row.paper_config} == {"something-v1"}
    assert results_folder(table) == here / "results/bqn/3b/gestures"
    keys = set(make_plan([table]).runs)
    assert not keys & set(make_plan([load_table("bqn-3b")]).runs)
    own(here, FOLDERS + "mirrored: []\nval_share: 0.3\n")
    assert not keys & set(make_plan([load_table("bqn-3b", dataset="gestures")]).runs)
    with pytest.raises(SpecError, match=r"'hmdb51' is HMDB51.*: give yours another `name`"):
        load_table("bqn-3b", dataset=str(shutil.copy(here / "gestures.yaml", here / "hmdb51.yaml")))


DRAFTS: Mapping[str, tuple[Mapping[str, str], str, str]] = {
    "csv": (
        {"all.csv": "file,class,split\npush/VID_0.mp4,b,train\npush/VID_1.mp4,a,val\n"},
        "classes: [a, b]",
        "columns: {path: file, label: class}",
    ),
    "lists": ({"my_train.txt": "push/VID_0.mp4 1\n", "my_val.txt": "push/VID_1.mp4 2\n"}, "first_label: 1", "lists"),
    "folders": ({}, "classes: [go left, go right, push]", "mirrored: [[go left, go right]]"),
}


@pytest.mark.parametrize("kind", DRAFTS)
def test_a_draft_can_be_prepared_as_it_is(here: Path, clips_once: Path, kind: str) -> None:
    files, *wanted = DRAFTS[kind]
    shutil.copytree(clips_once, here / "set/clips")
    for name, text in files.items():
        (here / "set" / name).write_text(text)
    found = draft(here / "set", "gestures")
    text = as_text(found, here / "gestures.yaml")
    assert all(line in text for line in wanted)
    counts = {split: len(ids) for split, ids in listed(own(here, text)).items()}
    assert found.own.clips is not None
    assert found.own.clips.model_dump() == counts


def test_a_draft_knows_the_papers_label_files(here: Path) -> None:
    """Of UCF101 all classes are there; the CSV file names four, of which some clips are gone."""
    found = draft(ucf_tree(here / "u"), "mine")
    text = as_text(found, here / "mine.yaml")
    assert "layout: ucf101\n" in text
    assert "classes:" not in text
    name = own(here, text, "mine")
    assert DATASETS[name].num_classes == 101
    assert {split: len(ids) for split, ids in listed(name).items()} == {"train": 12, "val": 6}
    found = draft(kinetics_tree(here / "k"), "some")
    text = as_text(found, here / "some.yaml")
    assert "layout: kinetics400\n" in text
    assert "classes: [class 0, class 1, class 2, class 3]" in text
    assert "6 of the 12 listed clips are not there: say `subset: true` if only a part is meant" in found.unclear


def test_drafting_says_what_it_did_not_understand(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(here)
    shutil.copytree(here / "clips", here / "set")
    for name in ("rest.zip", "notes.doc"):
        (here / "set" / name).write_bytes(b"")
    write_video(here / "set/one/only.mp4")
    assert main(["data", "new", "set"]) == 0
    said = capsys.readouterr().out
    for line in (
        "unpack what is meant: rest.zip",
        "not used: notes.doc",
        "could be held out: one",
        "go left and go right",
    ):
        assert line in said
    assert main(["data", "new", "set"]) == 2
    assert "set.yaml is there already" in capsys.readouterr().err
    assert main(["data", "prepare", "set.yaml"]) == 0
    assert "train: 12 listed, 12 found, 12 readable" in capsys.readouterr().out
    for folder, text in (
        ("set/one", "1 videos lie there without a class"),
        ("set/rest.zip", "unpack it"),
        ("no", "exist"),
    ):
        assert main(["data", "new", folder, "--name", "other"]) == 2
        assert text in capsys.readouterr().err
