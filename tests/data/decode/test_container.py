"""A video file that was cut short is told from a whole one, in each container, before and after decoding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import pytest

from benchmark.data.decode.container import complaints, missing_bytes, missing_seconds
from benchmark.data.decode.video import probe
from benchmark.data.errors import DecodeError
from tests.data.decode.test_video_files import write
from tests.data.trees import pixels

FILES: dict[str, dict[str, Any]] = {
    "mp4": {"name": "a.mp4"},
    "mp4, index first": {"name": "a.mp4", "faststart": True},
    "mov": {"name": "a.mov"},
    "webm": {"name": "a.webm", "codec": "libvpx-vp9"},
    "mkv": {"name": "a.mkv"},
    "avi, mpeg4": {"name": "a.avi", "codec": "mpeg4"},
    "avi, h264": {"name": "a.avi"},
    "variable frame rate": {"name": "a.mkv", "times": [3 * i + i % 2 for i in range(24)]},
    "one frame": {"name": "a.webm", "codec": "libvpx-vp9", "frames": 1},
}


def make(kind: str, folder: Path) -> Path:
    settings = dict(FILES[kind])
    return write(folder / settings.pop("name"), **settings)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.wmv", "wmv2"),
        ("a.flv", "flv"),
        ("a.mpg", "mpeg2video"),
        ("a.ts", "libx264"),
        ("a.3gp", "libx264"),
        ("a.m4v", "mpeg4"),
    ],
)
def test_of_whole_files_no_demuxer_complains(name: str, codec: str, tmp_path: Path) -> None:
    path = write(tmp_path / name, codec)
    with complaints() as said:
        missing_seconds(path)
        probe(path)
    assert said == []


def test_complaints_are_the_same_each_time_and_leave_the_level_as_it_was(tmp_path: Path) -> None:
    path = write(tmp_path / "a.webm", "libvpx-vp9", frames=60)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 400] = bytes(400)
    path.write_bytes(data)
    heard = []
    for level in (None, av.logging.DEBUG):
        av.logging.set_level(level)
        try:
            for _ in range(2):
                with complaints() as said:
                    missing_seconds(path)
                heard.append(said)
                assert av.logging.get_level() == level
        finally:
            av.logging.set_level(None)
    assert heard[0]
    assert heard == [heard[0]] * 4


def live_webm(path: Path) -> Path:
    """As a recorder writes it to a pipe: neither the length of the whole nor a duration."""
    with av.open(str(path), "w", format="webm", options={"live": "1"}) as container:
        stream: Any = container.add_stream("libvpx", rate=12)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for image in pixels(36):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("kind", FILES)
def test_a_whole_file_lacks_nothing_and_one_with_bytes_after_its_end_neither(kind: str, tmp_path: Path) -> None:
    path = make(kind, tmp_path)
    assert missing_bytes(path) <= 0
    with complaints() as said:
        assert missing_seconds(path) == 0
        probe(path)
    assert said == []
    with path.open("ab") as file:
        file.write(b"\xff\x00 appended by a server" * 40)
    assert missing_bytes(path) <= 0
    assert missing_seconds(path) == 0


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.99, 1.0])
def test_a_cut_is_noticed_wherever_it_is_made(kind: str, share: float, tmp_path: Path) -> None:
    path = make(kind, tmp_path)
    whole = path.read_bytes()
    kept = min(int(share * len(whole)), len(whole) - 2)
    path.write_bytes(whole[:kept])
    if kind in ("mp4", "mov") and missing_bytes(path) <= 0:
        with pytest.raises(DecodeError):  # the index comes last: nothing of it is there
            probe(path)
        return
    assert 0 < missing_bytes(path) <= len(whole) - kept


def test_the_length_of_a_recording_is_that_of_its_clusters(tmp_path: Path) -> None:
    path = live_webm(tmp_path / "live.webm")
    assert missing_bytes(path) <= 0
    assert missing_seconds(path) == 0
    whole = path.read_bytes()
    path.write_bytes(whole[:-50])
    assert missing_bytes(path) in (0, 50)  # an open last cluster says nothing


@pytest.mark.parametrize("kind", ["webm", "mkv", "avi, mpeg4"])
def test_a_tail_of_zeros_ends_early(kind: str, tmp_path: Path) -> None:
    settings = dict(FILES[kind])
    path = write(tmp_path / settings.pop("name"), **settings, frames=120)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 4 // 5] + bytes(len(whole) - len(whole) * 4 // 5))
    assert missing_bytes(path) <= 0
    assert 0.5 < missing_seconds(path) < 4


@pytest.mark.parametrize(
    "head", [b"RIFF\x00\x00\x00\x00AVI ", b"RIFF\xff\xff\xff\xffAVI ", b"OggS", b"", b"\x1a\x45\xdf\xa3"]
)
def test_a_length_that_says_nothing_is_no_sign(head: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(head + bytes(500) * bool(head))
    assert missing_bytes(path) <= 0


def test_a_large_box_has_its_length_in_eight_bytes(tmp_path: Path) -> None:
    path = tmp_path / "large.mp4"
    start = (20).to_bytes(4, "big") + b"ftypisom" + bytes(8)
    path.write_bytes(start + (1).to_bytes(4, "big") + b"mdat" + (5_000_000_000).to_bytes(8, "big") + bytes(84))
    assert missing_bytes(path) == 5_000_000_000 - 100
