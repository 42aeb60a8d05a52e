"""Checking finds the damage that was done, all of it and nothing else, and decodes only what has changed."""

import json
import os
from argparse import ArgumentParser
from errno import ENOSPC, EROFS
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from benchmark.cli import data
from benchmark.cli.main import main
from benchmark.config.datasets import DATASETS, DatasetInfo
from benchmark.config.folders import data_root
from benchmark.data.datasets import prepare
from benchmark.data.decode.video import read_frames
from benchmark.data.errors import DataError
from benchmark.data.indexing.check import KINDS, check_dataset
from benchmark.data.manifest import index_folder
from tests.data.decode.test_video_files import sizes_in_one_file
from tests.data.trees import something_v1_labels, write_frames, write_video

IDS = [str(i) for i in range(1, 11)]
CLASSES = [f"Doing {i:03d}" for i in range(174)]


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Something-Something V1 with ten clips, as the registry has it here, too; video files and frame folders."""
    root = tmp_path / "ss v1"
    something_v1_labels(root, dict.fromkeys(IDS[:7], CLASSES[0]), dict.fromkeys(IDS[7:], CLASSES[1]), CLASSES)
    for i, id in enumerate(IDS):
        write_frames(root / "frames" / id, 6) if i % 2 else write_video(root / "videos" / f"{id}.mp4", 6)
    monkeypatch.setenv("BENCHMARK_DATA", str(tmp_path / "made"))
    monkeypatch.setenv("BENCHMARK_SOMETHING_V1", str(root))
    monkeypatch.delenv("BENCHMARK_SOMETHING_V1_LABELS", raising=False)
    monkeypatch.setitem(DATASETS.built_in, "something-v1", DatasetInfo("something-v1", "Ten clips", 174, 7, 3))
    return root


def check(*options: str) -> int:
    parser = ArgumentParser()
    data.add_arguments(parser)
    return data.main(parser.parse_args(["check", "--workers", "1", *options, "something-v1"]))


def found(full: bool = False) -> dict[str, dict[str, list[str]]]:
    """What is wrong, as ids by kind and split, without the kinds of which there is none."""
    records = check_dataset("something-v1", full, workers=1).splits
    return {
        split: {kind: [str(line).split(":")[0] for line in record[kind]] for kind in KINDS if record[kind]}  # type: ignore[attr-defined]
        for split, record in records.items()
    }


def test_a_whole_data_set_has_no_damage_before_and_after_it_is_prepared(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert found() == {"train": {}, "val": {}}
    prepare("something-v1", workers=1)
    assert check("--full") == 0
    printed = capsys.readouterr().out
    assert "train: 7 published, 7 listed, 7 found, 7 readable" in printed
    assert "every listed clip decodes to its end" in printed
    assert check() == 0
    assert "--full decodes every file" in capsys.readouterr().out


def _damage(tree: Path) -> None:
    (tree / "videos/1.mp4").unlink()
    (tree / "videos/3.mp4").write_bytes(b"")
    (tree / "videos/5.mp4").write_bytes(b"RIFF and then nothing" * 9)
    for path in (tree / "frames/2").iterdir():
        path.unlink()
    (tree / "frames/4/00003.jpg").unlink()
    for number in (3, 4, 5, 6):
        (tree / f"frames/8/{number:05d}.jpg").unlink()
    (tree / "videos/9.mp4").unlink()
    (tree / "videos/9.mp4").symlink_to(tree / "gone.mp4")
    file = tree / "something-something-v1-train.csv"
    file.write_text(file.read_text() + f"6;{CLASSES[0]}\n7;{CLASSES[3]}\n77;Nothing known\n")


DAMAGE = {
    "train": {
        "missing": ["1"],
        "empty": ["2", "3"],
        "corrupt": ["4", "5"],
        "duplicates": ["6"],
        "disagreements": ["7", "77"],
    },
    "val": {"missing": ["9"], "short": ["8"]},
}


def test_every_kind_of_damage_is_named(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _damage(tree)
    assert found() == found(full=True) == DAMAGE
    assert check() == 1
    printed = capsys.readouterr().out
    assert "val: 3 published, 3 listed, 2 found, 2 readable" in printed
    assert "missing: listed, but not on the disk (1)\n    1\n" in printed
    assert check("--split", "val") == 1
    assert "train" not in capsys.readouterr().out.replace("training", "")


def test_only_decoding_finds_what_is_damaged_inside(tree: Path) -> None:
    jpeg = tree / "frames/2/00004.jpg"
    jpeg.write_bytes(jpeg.read_bytes()[: jpeg.stat().st_size // 2])
    assert found() == {"train": {}, "val": {}}
    assert found(full=True) == {"train": {"corrupt": ["2"]}, "val": {}}


def test_decoding_goes_on_where_it_stopped_and_again_where_a_file_changed(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []

    def counting(path: Path, *rest: Any, **more: Any) -> object:
        decoded.append(path.name)
        return read_frames(path, *rest, **more)

    monkeypatch.setattr("benchmark.data.indexing.decode_file.read_frames", counting)
    check_dataset("something-v1", True, ("val",), workers=1)
    assert sorted(decoded) == ["10", "8", "9.mp4"]
    decoded.clear()
    check_dataset("something-v1", True, workers=1)
    assert len(decoded) == 7
    decoded.clear()
    write_video(tree / "videos/3.mp4", 6, seed=5)
    (tree / "frames/4/00002.jpg").write_bytes((tree / "frames/4/00003.jpg").read_bytes() + b"\0")
    check_dataset("something-v1", True, workers=1)
    assert sorted(decoded) == ["3.mp4", "4"]


def test_what_changed_since_preparing_is_said(tree: Path) -> None:
    prepare("something-v1", workers=1)
    assert check_dataset("something-v1", workers=1).problems == ()
    write_video(tree / "videos/3.mp4", 9)
    (tree / "videos/9.mp4").unlink()
    problems = check_dataset("something-v1", workers=1).problems
    assert "train: 1 clips are not what the index says, such as 3" in problems[0]
    assert "val: since the index was written 1 clips went and 0 came" in problems[1]
    prepare("something-v1", workers=1)
    assert check_dataset("something-v1", workers=1).problems == ()


def test_another_number_of_clips_than_published_is_said_unless_that_is_round(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DATASETS.built_in, "something-v1", DatasetInfo("something-v1", "SS", 174, 86_017, 3))
    assert check_dataset("something-v1", workers=1).problems == ("train: the label files list 7 clips, SS has 86,017",)
    monkeypatch.setitem(
        DATASETS.built_in, "something-v1", DatasetInfo("something-v1", "SS", 174, 86_017, 3, exact=False)
    )
    assert check_dataset("something-v1", workers=1).problems == (
        "train: the label files list 7 clips, of the 86,017 of SS",
    )
    monkeypatch.setitem(DATASETS.built_in, "something-v1", DatasetInfo("something-v1", "SS", 174, 8, 3, exact=False))
    assert not check_dataset("something-v1", workers=1).damaged


def test_videos_cut_short_are_named_before_and_after_decoding(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = write_video(tree / "videos/1.webm", 24)
    (tree / "videos/1.mp4").unlink()
    whole.write_bytes(whole.read_bytes()[:-40])
    assert found()["train"] == found(full=True)["train"] == {"partial": ["1"]}
    assert check() == 1
    assert "1: cut short: 40 bytes less than its container says" in capsys.readouterr().out
    write_video(whole, 48)
    data = bytearray(whole.read_bytes())
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    whole.write_bytes(data)
    assert found()["train"] == found(full=True)["train"] == {"partial": ["1"]}
    write_video(whole, 24)
    assert found()["train"] == {}


def test_what_a_demuxer_complains_of_is_named_before_and_after_decoding(tree: Path) -> None:
    whole = write_video(tree / "videos/1.webm", 48)
    (tree / "videos/1.mp4").unlink()
    assert found(full=True)["train"] == {}
    data = bytearray(whole.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = bytes(400)
    for number in (1, 3):  # the same complaint twice is two complaints
        (tree / f"videos/{number}.webm").write_bytes(data)
    (tree / "videos/3.mp4").unlink()
    partial: Any = check_dataset("something-v1", workers=1).splits["train"]["partial"]
    assert sorted(partial) == ["1", "3"]
    assert "invalid as first byte of an EBML number" in partial["1"]
    assert found(full=True)["train"] == {"partial": ["1", "3"]}
    assert av.logging.get_level() is None


def test_a_video_that_changes_its_size_is_named(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes_in_one_file(tree / "videos/1.ts", (48, 64), (32, 48)).rename(tree / "videos/1.mp4")
    assert found()["train"] == {}
    assert found(full=True)["train"] == {"resized": ["1"]}
    assert check() == 1  # known from then on
    assert "1: 64x48, from frame 24 48x32; all are scaled to one size" in capsys.readouterr().out


def test_what_must_not_be_written_is_said_and_a_full_disk_is_named(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made, whole = data_root(), Path.open
    error = EROFS

    def refused(path: Path, mode: str = "r", *rest: Any, **more: Any) -> Any:
        if made in path.parents and mode[0] in "aw":
            raise OSError(error, os.strerror(error))
        return whole(path, mode, *rest, **more)

    monkeypatch.setattr(Path, "open", refused)
    assert check("--full") == 0
    printed = capsys.readouterr()
    assert "note: what was found is not recorded" in printed.out
    assert "every listed clip decodes to its end" in printed.out
    assert "census.json cannot be written (Read-only file system)" in printed.err
    error = ENOSPC
    with pytest.raises(OSError, match=r"No space left on device: .*probed\.jsonl"):
        check()


def test_nothing_is_written_where_nothing_is_new(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_dataset("something-v1", True, workers=1)
    before = (data_root() / "something-v1/probed.jsonl").stat().st_mtime_ns
    monkeypatch.setattr(Path, "mkdir", lambda *_, **__: pytest.fail("wrote"))
    assert check_dataset("something-v1", True, workers=1).notes == ()
    assert (data_root() / "something-v1/probed.jsonl").stat().st_mtime_ns == before


def test_a_jpeg_that_decodes_to_something_else_is_named(tree: Path, capfd: pytest.CaptureFixture[str]) -> None:
    frame = tree / "frames/4/00003.jpg"
    data = bytearray(frame.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 200] = np.random.default_rng(0).bytes(200)
    frame.write_bytes(data)
    assert found() == {"train": {}, "val": {}}
    assert found(full=True)["train"] == {"corrupt": ["4"]}
    assert "Corrupt JPEG" not in capfd.readouterr().err


def test_of_two_copies_the_readable_one_is_used(tree: Path) -> None:
    write_video(tree / "again/1.mp4", 6)
    (tree / "videos/1.mp4").write_text("no video")
    record = check_dataset("something-v1", workers=1).splits["train"]
    assert record["corrupt"] == {}
    assert (record["copies"], record["folders"]) == (1, {"videos": 4, "frames": 3})
    assert "1: videos/1.mp4, again/1.mp4" in str(record["copied"])
    prepare("something-v1", workers=1)
    assert "again/1.mp4" in (index_folder("something-v1", "train") / "index.csv").read_text()


def test_an_error_in_one_data_set_leaves_the_others(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", "--workers", "1", "hmdb51", "something-v1"]) == 2
    printed = capsys.readouterr()
    assert "every listed clip is there" in printed.out
    assert "no folder is known for HMDB51" in printed.err


def test_long_lists_go_to_a_file_and_json_has_them_all(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ids = [str(1000 + i) for i in range(40)]
    something_v1_labels(tree, dict.fromkeys([*IDS[:7], *ids], CLASSES[0]), dict.fromkeys(IDS[7:], CLASSES[1]), CLASSES)
    assert check() == 1
    printed = capsys.readouterr().out
    file = data_root() / "something-v1/census.json"
    assert "and 30 more" in printed
    assert str(file) in printed
    assert json.loads(file.read_text())["splits"]["train"]["missing"] == ids
    assert check("--json") == 1
    assert json.loads(capsys.readouterr().out)["something-v1"]["splits"]["train"]["missing"] == ids


def test_options_of_another_action_and_unknown_splits_are_refused(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = ArgumentParser()
    data.add_arguments(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["prepare", "--full", "something-v1"])
    assert "unrecognized arguments: --full" in capsys.readouterr().err
    with pytest.raises(DataError, match="unknown split 'test'"):
        check_dataset("something-v1", splits=("test",))
