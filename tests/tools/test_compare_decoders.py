"""The comparison of decoders: what it asks for, what it compares, and that it runs."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmark.data.decode.video import read_frames
from tools.compare_decoders import Timing, compare, draw, encode, leak, main, readers, table, wanted_frames


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("videos")
    encode(draw(24, 0), made / "a.mp4", "libx264", {"g": "6"}, 0)
    return made


@pytest.mark.parametrize(
    ("length", "frames", "wanted"),
    [(16, 1, [1, 3, 5, 7, 9, 11, 13, 15]), (80, 3, [4, 5, 6, 14, 15, 16]), (2, 3, [0, 1, 1]), (1, 1, [0] * 8)],
)
def test_wanted_frames_lie_in_the_middle_of_segments(length: int, frames: int, wanted: list[int]) -> None:
    found = wanted_frames(length, frames)
    assert found[: len(wanted)] == wanted
    assert len(found) == 8 * frames
    assert max(found) < length


def test_opencv_gives_the_same_frames(folder: Path) -> None:
    rivals, missing = readers(folder / "a.mp4")
    assert next(iter(rivals)) == "read_frames"
    assert "OpenCV" in rivals
    assert len(rivals) + len(missing) == 4
    theirs = rivals["OpenCV"](folder / "a.mp4", [7, 2, 7], None, None)
    assert np.abs(theirs.astype(int) - read_frames(folder / "a.mp4", [7, 2, 7])).mean() < 1
    timings = compare("mp4", [folder / "a.mp4"], {"read_frames": read_frames, "OpenCV": rivals["OpenCV"]}, 1, True, 1)
    assert [timing.reader for timing in timings] == ["read_frames", "OpenCV"]
    assert all(timing.same_frames and timing.cpu_ms > 0 for timing in timings)


def test_a_reader_of_other_frames_is_told(folder: Path) -> None:
    def late(path: Path, indices: list[int], height: int | None, width: int | None) -> np.ndarray:
        return read_frames(path, [23 - index for index in indices], height, width)

    timings = compare("mp4", [folder / "a.mp4"], {"read_frames": read_frames, "late": late}, 1, False, 1)  # type: ignore[dict-item]
    assert [timing.same_frames for timing in timings] == [True, False]
    assert "(other frames)" in table(timings).splitlines()[-1]


def test_the_ratio_is_to_the_best_other_reader_of_the_same_setting() -> None:
    def timing(reader: str, cpu: float, frames: int = 1) -> Timing:
        return Timing("mp4", frames, True, reader, 10.0, cpu, 0.0, 0.0, True)

    timings = [timing("read_frames", 20), timing("a", 40), timing("b", 25), timing("a", 10, frames=3)]
    assert "| 20.0 | 0.80 |" in table(timings).splitlines()[2]


def test_a_broken_file_among_many_reads_leaves_nothing(folder: Path) -> None:
    found = leak([folder / "a.mp4"], 200)
    assert found["open_files_at_the_end"] == found["open_files_after_a_tenth"]


def test_the_command_reads_a_folder_of_ones_own(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    threads = cv2.getNumThreads()
    try:
        assert main(["--videos", str(folder), "--repeats", "1", "--json"]) == 0
        assert {line["frames_per_segment"] for line in json.loads(capsys.readouterr().out)} == {1, 3}
        assert main(["--videos", str(folder / "none")]) == 2
        assert "none" in capsys.readouterr().err
        for option in ("--clips", "--frames", "--repeats", "--reads"):
            with pytest.raises(SystemExit, match="2"):
                main([option, "0"])
            assert f"argument {option}: '0' is not a whole number from 1 up" in capsys.readouterr().err
    finally:
        cv2.setNumThreads(threads)
