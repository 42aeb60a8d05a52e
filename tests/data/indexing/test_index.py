"""A data set that the user holds: prepared once, opened like any other, and read in whatever form it is."""

import csv
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmark.config.datasets import DATASETS
from benchmark.config.folders import data_root
from benchmark.config.run import DataConfig, EvalConfig
from benchmark.data.datasets import describe, is_prepared, open_split, prepare
from benchmark.data.decode.video import probe
from benchmark.data.errors import DataError, DecodeError
from benchmark.data.indexing.examine import BATCH
from benchmark.data.indexing.file_log import FileLog, FileRecord
from benchmark.data.loader import ClipDataset
from benchmark.data.manifest import index_folder, read_manifest
from benchmark.data.roots import variable_of
from tests.data.trees import (
    HEIGHT,
    WIDTH,
    hmdb_labels,
    kinetics_csv,
    pixels,
    something_v1_labels,
    something_v2_labels,
    ucf_tree,
    write_frames,
    write_video,
)

SS_CLASSES = [f"Doing {i:03d}" for i in range(174)]


@pytest.fixture(scope="session")
def ucf_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ucf_tree(tmp_path_factory.mktemp("trees") / "ucf 101")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place where nothing is prepared and no root is said."""
    monkeypatch.setenv("BENCHMARK_DATA", str(tmp_path / "made"))
    monkeypatch.setenv("BENCHMARK_DATASETS", str(tmp_path / "none.yaml"))
    for info in DATASETS.values():
        monkeypatch.delenv(variable_of(info.name), raising=False)
        monkeypatch.delenv(f"{variable_of(info.name)}_LABELS", raising=False)
    return tmp_path


@pytest.fixture
def ucf(here: Path, ucf_once: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A UCF101 tree of the test's own, as root."""
    shutil.copytree(ucf_once, here / "ucf 101")
    monkeypatch.setenv("BENCHMARK_UCF101", str(here / "ucf 101"))
    return here / "ucf 101"


def mean_error(read: np.ndarray, seed: int, indices: Sequence[int]) -> float:
    return float(np.abs(read.astype(float) - pixels(8, seed)[list(indices)]).mean())


def contents(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def test_official_splits_are_prepared_from_one_tree_that_is_left_alone(ucf: Path) -> None:
    before = contents(ucf)
    for path in [ucf, *ucf.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    names = ("ucf101", "ucf101-2", "ucf101-3")
    assert not is_prepared("ucf101")
    for name in names:
        prepare(name, workers=1)
    for path in [ucf, *ucf.rglob("*")]:
        path.chmod(0o755)
    assert contents(ucf) == before
    assert all(is_prepared(name) for name in names)
    tested = [{clip.id for clip in open_split(name, "val").clips} for name in names]
    assert [len(ids) for ids in tested] == [6, 6, 6]
    assert not tested[0] & tested[1]
    for name, ids in zip(names, tested, strict=True):
        train, val = open_split(name, "train"), open_split(name, "val")
        assert {clip.id for clip in train.clips}.isdisjoint(ids)
        assert (train.num_classes, train.classes[2], len(train.classes)) == (101, "Class002", 101)
        assert {(c.frames, c.height, c.width) for c in [*train.clips, *val.clips]} == {(8, HEIGHT, WIDTH)}
        assert train.fingerprint != val.fingerprint
        assert [clip.label for clip in val.clips] == [int(clip.id[7:10]) for clip in val.clips]


def test_the_index_says_what_the_files_are(ucf: Path) -> None:
    prepare("ucf101", workers=1)
    with (index_folder("ucf101", "train") / "index.csv").open(newline="") as file:
        first = next(csv.DictReader(file))
    assert first == {
        "id": "v_Class000_g02_c01",
        "path": "Class000/v_Class000_g02_c01.avi",
        "frames": "8",
        "height": "48",
        "width": "64",
        "duration": "0.667",
        "label": "0",
    }
    manifest = read_manifest(index_folder("ucf101", "train"))
    assert manifest is not None
    assert (manifest["published"], manifest["listed"], manifest["found"], manifest["readable"]) == (9537, 12, 12, 12)
    read = open_split("ucf101", "train").read(0, [6, 1])  # seed 2: the third file that was written
    assert read.shape == (2, HEIGHT, WIDTH, 3)
    assert mean_error(read, 2, [6, 1]) < mean_error(read, 2, [5, 2])


def test_frame_folders_and_videos_are_interchangeable(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something-Something V1 as folders of JPEGs, as video files, and as a mixture."""
    sets = {}
    for kind in ("frames", "videos", "mixture"):
        root = here / kind
        something_v1_labels(root, {"1": SS_CLASSES[5], "2": SS_CLASSES[7]}, {"30": SS_CLASSES[5]}, SS_CLASSES)
        for i, id in enumerate(("1", "2", "30")):
            if kind == "videos" or (kind == "mixture" and i == 1):
                write_video(root / f"{id}.webm", 8, i)
            else:
                write_frames(root / "20bn-something-something-v1" / id, 8, seed=i)
        monkeypatch.setenv("BENCHMARK_SOMETHING_V1", str(root))
        monkeypatch.setenv("BENCHMARK_DATA", str(here / "made" / kind))
        prepare("something-v1", workers=1)
        sets[kind] = open_split("something-v1", "train")
        for clip in range(2):
            read = sets[kind].read(clip, [6, 1])
            assert mean_error(read, clip, [6, 1]) < min(mean_error(read, clip, [7, 2]), mean_error(read, clip, [5, 0]))
    assert len({tuple((c.id, c.label, c.frames, c.height) for c in split.clips) for split in sets.values()}) == 1
    assert len({split.fingerprint for split in sets.values()}) == 3  # other pixels are another experiment


def test_something_v2_webm_and_kinetics_mp4_and_hmdb_avi(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = here / "ssv2"
    labels = {name: str(i) for i, name in enumerate(SS_CLASSES)}
    something_v2_labels(root / "labels", {"4": "Doing [003]"}, {"5": "Doing [001]"}, labels)
    for id in (4, 5):
        write_video(root / f"20bn-something-something-v2/{id}.webm", 6, id)
    monkeypatch.setenv("BENCHMARK_SOMETHING_V2", str(root))
    prepare("something-v2", workers=1)
    assert [(c.id, c.label, c.frames) for c in open_split("something-v2", "train").clips] == [("4", 3, 6)]

    root = here / "k400"
    clips = [(f"class {i:03d}", f"abcdefgh{i:03d}", 7, "train" if i % 2 else "val") for i in range(400)]
    kinetics_csv(root / "kinetics-400.csv", clips)
    write_video(root / "val_256/class_004/abcdefgh004_000007_000017.mp4", 5)
    write_video(root / "train_256/class_007/abcdefgh007_000007_000017.MP4", 5)
    monkeypatch.setenv("BENCHMARK_KINETICS400", str(root))
    prepare("kinetics400", workers=1)
    split = open_split("kinetics400", "train")
    assert [(c.id, c.label) for c in split.clips] == [("abcdefgh007_000007_000017", 7)]
    assert split.missing == 199

    root = here / "hmdb"
    hmdb_labels(root / "lists", {"wave": {"ä b #1.avi": (1, 2, 0)}, "run": {"c.avi": (2, 1, 1)}})
    write_video(root / "wave/ä b #1.AVI")
    write_video(root / "c.avi")  # flat
    monkeypatch.setenv("BENCHMARK_HMDB51", str(root))
    prepare("hmdb51", workers=1)
    assert [(c.id, c.label) for c in open_split("hmdb51", "train").clips] == [("ä b #1", 1)]
    assert [(c.id, c.label) for c in open_split("hmdb51", "val").clips] == [("c", 0)]


def test_an_unreadable_clip_stays_and_is_counted_and_a_missing_one_is_named(ucf: Path) -> None:
    (ucf / "Class000/v_Class000_g02_c01.avi").write_bytes(b"")
    (ucf / "Class000/v_Class000_g02_c02.avi").write_text("no video")
    (ucf / "Class001/v_Class001_g02_c01.avi").unlink()
    prepare("ucf101", workers=1)
    split = open_split("ucf101", "train")
    assert (len(split), split.missing) == (11, 1)
    data = DataConfig(dataset="ucf101", segments=2, size=32)
    items = ClipDataset(split, data, EvalConfig(scale=36), 3, 0, "train")
    assert [bool(items[i].readable) for i in range(4)] == [False, False, True, True]
    with pytest.raises(DecodeError, match="was unreadable when it was indexed"):
        split.read(0, [0])
    manifest = read_manifest(index_folder("ucf101", "train"))
    assert manifest is not None
    assert (manifest["missing"], manifest["empty"]) == (["v_Class001_g02_c01"], ["v_Class000_g02_c01"])
    assert "cannot be decoded" in str(manifest["corrupt"])


def test_a_file_is_probed_once_unless_it_changed_or_failed(ucf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    probed: list[str] = []

    def counting(path: Path, any_first: bool) -> object:
        probed.append(path.name)
        return probe(path, any_first)

    monkeypatch.setattr("benchmark.data.indexing.probe_file.probe", counting)
    broken = ucf / "Class002/v_Class002_g03_c02.avi"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:100])
    prepare("ucf101", workers=1)
    assert len(probed) == 18
    probed.clear()
    log = data_root() / "ucf101/probed.jsonl"
    log.write_text(log.read_text()[:-30])  # as a kill in mid-line leaves it
    broken.write_bytes(whole)
    prepare("ucf101-2", workers=1)
    assert set(probed) <= {"v_Class002_g03_c02.avi"}
    assert len(probed) == 1
    probed.clear()
    prepare("ucf101", workers=1)
    assert probed == []
    assert len(open_split("ucf101", "train").clips) == 12


def test_an_interrupted_preparation_goes_on(ucf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def stop(what: str, done: int, total: int) -> None:
        if what.startswith("probe"):
            seen.append(done)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare("ucf101", workers=1, progress=stop)
    assert not is_prepared("ucf101")
    with pytest.raises(DataError, match="run: python -m benchmark data prepare ucf101"):
        open_split("ucf101", "train")
    assert len(FileLog(data_root() / "ucf101/probed.jsonl").read()) == seen[0] == BATCH


def test_the_index_serves_a_root_that_has_moved(ucf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare("ucf101", workers=1)
    before = open_split("ucf101", "val").fingerprint
    moved = ucf.rename(ucf.with_name("elsewhere"))
    monkeypatch.setenv("BENCHMARK_UCF101", str(moved))
    split = open_split("ucf101", "val")
    assert split.fingerprint == before
    assert split.read(0, [0]).shape == (1, HEIGHT, WIDTH, 3)
    (ucf.parent / "empty").mkdir()
    monkeypatch.setenv("BENCHMARK_UCF101", str(ucf.parent / "empty"))
    with pytest.raises(DataError, match="none of 6 of its clips"):
        open_split("ucf101", "val")


def test_a_root_without_the_clips_says_which_names_were_looked_for(ucf: Path) -> None:
    for path in ucf.rglob("*.avi"):
        path.unlink()
    with pytest.raises(DataError, match=r"none of the 18 clips .* named v_Class000_g02_c01"):
        prepare("ucf101", workers=1)


def test_the_fingerprint_follows_clips_labels_and_pixels(ucf: Path) -> None:
    prepare("ucf101", workers=1)
    before = open_split("ucf101", "train").fingerprint
    prepare("ucf101", workers=2)
    assert open_split("ucf101", "train").fingerprint == before
    write_video(ucf / "Class000/v_Class000_g02_c01.avi", 8, seed=99)
    prepare("ucf101", workers=1)
    pixels_differ = open_split("ucf101", "train").fingerprint
    (ucf / "Class000/v_Class000_g02_c01.avi").unlink()
    prepare("ucf101", workers=1)
    assert len({before, pixels_differ, open_split("ucf101", "train").fingerprint}) == 3


def test_list_says_of_every_data_set_what_is_known(ucf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare("ucf101", workers=1)
    monkeypatch.setenv("BENCHMARK_HMDB51", str(ucf / "not there"))
    records = {str(record["name"]): record for record in describe()}
    assert list(records) == list(DATASETS)
    assert records["ucf101"]["readable"] == {"train": 12, "val": 6}
    assert records["ucf101"]["layout"] == "UCF101 official split 1"
    assert (records["ucf101-2"]["state"], records["ucf101-2"]["listed"]) == ("not prepared", {"train": 12, "val": 6})
    assert (records["kinetics400"]["state"], records["kinetics400"]["variable"]) == ("no root", "BENCHMARK_KINETICS400")
    assert records["hmdb51"]["state"] == "root unusable"
    assert "does not exist" in str(records["hmdb51"]["error"])

    (ucf.parent / "empty").mkdir()
    monkeypatch.setenv("BENCHMARK_UCF101", str(ucf.parent / "empty"))
    elsewhere = next(record for record in describe() if record["name"] == "ucf101")
    assert elsewhere["state"] == "prepare again"
    assert "none of 12 of its clips" in str(elsewhere["error"])


def test_the_log_keeps_the_last_record_and_any_name(tmp_path: Path) -> None:
    log = FileLog(tmp_path / "deep" / "log.jsonl")
    assert log.read() == {}
    names = ["a b.avi", "ü\n.avi", os.fsdecode(b"\xff.avi")]
    log.add([FileRecord(name, 1, 2, "ok", 3) for name in names])
    with log.path.open("a") as file:
        file.write('{"path": "cut sh')
    log.add([FileRecord(names[0], 5, 6, "corrupt", reason="why")])
    assert log.read() == {
        names[0]: FileRecord(names[0], 5, 6, "corrupt", reason="why"),
        **{name: FileRecord(name, 1, 2, "ok", 3) for name in names[1:]},
    }
