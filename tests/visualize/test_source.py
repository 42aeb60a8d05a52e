from pathlib import Path

import av
import numpy as np
import pytest

from benchmark.data.errors import DataError, DecodeError
from benchmark.visualize.rows import gather
from benchmark.visualize.source import open_source, shown_size, starts


def write_video(path: Path, width: int, height: int, frames: int) -> Path:
    """Frames whose grey value is ten times their number."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(frames):
            picture = np.full((height, width, 3), 10 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_a_users_video_is_read_at_its_aspect_and_reduced(tmp_path: Path) -> None:
    source = open_source(str(write_video(tmp_path / "my clip.mp4", 256, 128, 12)), size=64)
    assert (source.frames, source.height, source.width, source.fps) == (12, 64, 128, 10)
    frames = source.read([11, 3])
    assert frames.shape == (2, 64, 128, 3)
    assert frames.mean((1, 2, 3)) == pytest.approx([110, 30], abs=4)


@pytest.mark.parametrize(
    ("given", "shown"),
    [((720, 1280), (160, 284)), ((1280, 720), (284, 160)), ((64, 80), (64, 80)), ((8, 16), (32, 64))],
)
def test_shown_size(given: tuple[int, int], shown: tuple[int, int]) -> None:
    assert shown_size(*given, 160) == shown


def test_columns_begin_where_asked_and_leave_room_for_the_longest_segment() -> None:
    assert starts(100, 0, 4, 10).tolist() == [0, 30, 60, 90]
    assert starts(100, 40, 3, 10).tolist() == [40, 65, 90]
    assert starts(5, 0, 6, 10).tolist() == [0, 1, 2, 3]  # too short: to the last frame but one
    assert starts(1, 0, 6, 10).tolist() == [0]
    assert starts(100, 99, 6, 10).tolist() == [99]
    with pytest.raises(DataError, match="frames 0 to 99"):
        starts(100, 100, 6, 10)
    with pytest.raises(DataError, match="--start -1"):
        starts(100, -1, 6, 10)


def test_frames_are_read_once_and_the_last_one_repeats() -> None:
    asked: list[list[int]] = []

    def read(numbers: np.ndarray) -> np.ndarray:
        asked.append(numbers.tolist())
        return np.broadcast_to(numbers[:, None, None, None], (len(numbers), 2, 2, 3)).astype(np.uint8)

    frames = gather(read, np.array([0, 2]), 4, frames=5)
    assert asked == [[0, 1, 2, 3, 4]]
    assert frames[:, :, 0, 0, 0].tolist() == [[0, 1, 2, 3], [2, 3, 4, 4]]


def test_what_is_no_video_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCHMARK_DATA", str(tmp_path))
    text = tmp_path / "notes.mp4"
    text.write_text("not a video")
    with pytest.raises(DecodeError, match=r"notes.mp4: cannot be decoded.*give another video"):
        open_source(str(text), 64)
    with pytest.raises(DataError, match="no such video file"):
        open_source(str(tmp_path / "missing.mp4"), 64)
    with pytest.raises(DataError, match="is a folder"):
        open_source(str(tmp_path), 64)
    with pytest.raises(DataError, match="a clip such as motionpairs:val:0"):
        open_source("motionpair:val:0", 64)
    with pytest.raises(DataError, match="data prepare motionpairs-tiny"):
        open_source("motionpairs-tiny:val:0", 64)
    with pytest.raises(DataError, match="unknown split 'test'"):
        open_source("motionpairs-tiny:test", 64)
    with pytest.raises(DataError, match="<data set>:<split>:<index>"):
        open_source("motionpairs-tiny:val:0:1", 64)
    with pytest.raises(DataError, match="say where its files are"):
        open_source("something-v1:val:0", 64)
