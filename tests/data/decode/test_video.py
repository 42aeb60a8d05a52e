"""Decoding real files: the right frames in the right order, and a clear error for every kind of broken file."""

import os
import subprocess
import sys
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmark.data.decode.video import probe, read_frames
from benchmark.data.embedded.motionpairs import SETTINGS
from benchmark.data.embedded.render import render, write_video
from benchmark.data.errors import DecodeError


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "clip with späces.mp4"
    write_video(render(SETTINGS["motionpairs"], "train", 0), path)
    return path


def test_probe_counts_frames_and_size(video: Path) -> None:
    info = probe(video)
    assert (info.frames, info.height, info.width, info.fps) == (32, 64, 80, 12.0)


def test_every_frame_is_near_what_was_rendered(video: Path) -> None:
    decoded, drawn = read_frames(video, range(32)), render(SETTINGS["motionpairs"], "train", 0)
    assert decoded.shape == drawn.shape
    errors = np.abs(decoded.astype(int) - drawn.astype(int)).mean(axis=(1, 2, 3))
    assert errors.max() < 12
    neighbours = np.abs(decoded[1:].astype(int) - drawn[:-1].astype(int)).mean(axis=(1, 2, 3))
    assert (neighbours > errors[1:]).mean() > 0.9  # and nearer to its own frame than to the one before


@pytest.mark.parametrize("wanted", [[0], [31], [5, 5, 2], [30, 1, 17], list(range(0, 32, 3))])
def test_any_choice_of_frames_equals_decoding_them_all(video: Path, wanted: list[int]) -> None:
    assert np.array_equal(read_frames(video, wanted), read_frames(video, range(32))[wanted])


def test_scaling_inside_the_decoder(video: Path) -> None:
    assert read_frames(video, [0, 9], 32, 40).shape == (2, 32, 40, 3)


@pytest.mark.parametrize("index", [4, 8, 9])
def test_the_same_clip_is_the_same_bytes_whatever_was_in_memory(index: int, tmp_path: Path) -> None:
    frames, rng = render(SETTINGS["motionpairs"], "train", index), np.random.default_rng(0)
    seen = set()
    for size in rng.integers(100, 200_000, 20):
        garbage = [rng.integers(0, 255, size, dtype=np.uint8) for _ in range(20)]
        del garbage
        write_video(frames, tmp_path / "clip.mp4")
        seen.add((tmp_path / "clip.mp4").read_bytes())
    assert len(seen) == 1


def _truncated(video: Path, path: Path) -> None:
    path.write_bytes(video.read_bytes()[: video.stat().st_size // 2])


def _scrambled(video: Path, path: Path) -> None:
    path.write_bytes(os.urandom(4000))


def _empty(video: Path, path: Path) -> None:
    path.write_bytes(b"")


def _audio(video: Path, path: Path) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(8000))


@pytest.mark.parametrize("damage", [_truncated, _scrambled, _empty, _audio])
def test_a_broken_file_is_named_in_a_decode_error(
    video: Path, tmp_path: Path, damage: Callable[[Path, Path], None]
) -> None:
    path = tmp_path / "broken.mp4"
    damage(video, path)
    with pytest.raises(DecodeError, match=r"broken\.mp4"):
        read_frames(path, [31])


def test_missing_files_and_frames(video: Path, tmp_path: Path) -> None:
    with pytest.raises(DecodeError, match="no such file"):
        read_frames(tmp_path / "none.mp4", [0])
    with pytest.raises(DecodeError, match=r"frame 32 asked for .* the file has 32 frames"):
        read_frames(video, [32])
    with pytest.raises(ValueError, match="non-negative"):
        read_frames(video, [-1])


def test_many_reads_leave_no_files_open(video: Path) -> None:
    code = (
        "import os, sys; from benchmark.data.decode.video import read_frames\n"
        "for _ in range(200): read_frames(sys.argv[1], [3])\n"
        "print(len(os.listdir('/proc/self/fd')))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(video)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 10
