"""One frame number means one picture, whatever else is asked for, where packets of a file give no picture."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from benchmark.data.decode.not_shown import shows_nothing
from benchmark.data.decode.packets import Patience, scan_packets
from benchmark.data.decode.video import probe, read_frames
from benchmark.data.errors import DecodeError
from benchmark.data.sampling import eval_indices, train_indices
from tests.data.decode.test_video_files import FRAMES, write

VOP = b"\0\0\1\xb6"


def not_coded(data: bytes) -> bytes:
    """An MPEG-4 picture of a stream of 25 ticks a second as one that is not coded."""
    at = data.find(VOP) + len(VOP)
    bits = "".join(f"{byte:08b}" for byte in data[at : at + 10])
    place = bits.index("0", 2) + 1 + 1 + 5 + 1  # type; seconds up to a 0; a marker; the time; a marker
    head = f"{bits[:place]}00"  # not coded; then a 0 and ones fill the last byte
    head += "1" * (-len(head) % 8)
    return data[:at] + int(head, 2).to_bytes(len(head) // 8, "big")


def by_divx(data: bytes) -> bytes:
    """A picture that says who made the file: of others FFmpeg takes no packet of one byte."""
    at = data.find(VOP)
    return data[:at] + b"\0\0\1\xb2DivX503b1393" + data[at:]


def dropped(data: bytes) -> bytes:
    return b"\x7f"


def hidden_vp8(data: bytes) -> bytes:
    return bytes([data[0] & ~0x10]) + data[1:]


def changed(source: Path, path: Path, which: set[int], change: Callable[[bytes], bytes]) -> Path:
    """The packets of a file, some of them changed, in another."""
    with av.open(str(source)) as there, av.open(str(path), "w") as here:
        track: Any = here.add_stream_from_template(there.streams.video[0])
        for number, packet in enumerate(there.demux(video=0)):
            if not packet.size:
                continue
            made: Any = packet
            if number in which:
                made = av.Packet(change(bytes(packet)))
                made.pts, made.dts, made.time_base, made.duration = (
                    packet.pts,
                    packet.dts,
                    packet.time_base,
                    packet.duration,
                )
            made.stream = track
            here.mux(made)
    return path


WHICH = {"in the middle": {7, 8, 15}, "every second": set(range(1, FRAMES, 2)), "the last": {FRAMES - 1}}
KINDS: dict[str, tuple[str, str, dict[str, Any], Callable[[bytes], bytes]]] = {
    "avi": ("a.avi", "mpeg4", {"options": {"g": "300"}}, not_coded),
    "avi, short groups": ("a.avi", "mpeg4", {"options": {"g": "5"}}, not_coded),
    "avi, one byte": ("a.avi", "mpeg4", {"options": {"g": "300"}}, dropped),
    "mp4": ("a.mp4", "mpeg4", {"options": {"g": "9"}}, not_coded),
    "mkv": ("a.mkv", "mpeg4", {"options": {"g": "9"}}, not_coded),
    "vp8": ("a.webm", "libvpx", {"options": {"g": "300", "cpu-used": "8"}, "bitrate": 90000}, hidden_vp8),
}


def draws(frames: int) -> list[list[int]]:
    """What training and evaluation ask for, single frames, and any others."""
    rng = np.random.default_rng(0)
    wanted = [train_indices(frames, 8, 1, "uniform", rng).tolist() for _ in range(60)]
    wanted += [np.unique(eval_indices(frames, segments, 1, "uniform", 1)).tolist() for segments in (4, 8)]
    wanted += [[index] for index in range(frames)]
    return wanted + [rng.integers(0, frames, rng.integers(1, 9)).tolist() for _ in range(60)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("which", WHICH)
def test_a_number_means_one_picture_in_every_draw(kind: str, which: str, tmp_path: Path) -> None:
    name, codec, settings, change = KINDS[kind]
    (tmp_path / "whole").mkdir()
    whole = write(tmp_path / "whole" / name, codec, **settings)
    if change is dropped:
        whole = changed(whole, tmp_path / "whole" / f"divx-{name}", {0}, by_divx)
    path = changed(whole, tmp_path / name, WHICH[which], change)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        silent = {p.pts for i, p in enumerate(container.demux(stream)) if i in WHICH[which] and p.size}
        container.seek(0)
        shown = [f for f in container.decode(stream) if f.pts not in silent]
        every = np.stack([f.to_ndarray(format="rgb24", interpolation="BILINEAR") for f in shown])
    assert probe(path).frames == len(every) == FRAMES - len(WHICH[which])
    for wanted in draws(len(every)):
        assert np.array_equal(read_frames(path, wanted), every[wanted]), wanted
    with pytest.raises(DecodeError, match=f"the file has {len(every)} frames"):
        read_frames(path, [len(every)])


@pytest.mark.parametrize("name", ["a.avi", "a.mp4", "a.mkv"])
def test_among_b_frames_a_number_means_one_picture_in_every_draw(name: str, tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    whole = write(tmp_path / "whole" / name, "mpeg4", {"g": "12", "sc_threshold": "1000000000"}, b_frames=2)
    with av.open(str(whole)) as container:  # B-frames alone are replaced: nothing else refers to them
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    b_frames = {i for i, data in enumerate(packets) if data[data.find(VOP) + len(VOP)] >> 6 == 2}
    path = changed(whole, tmp_path / name, set(sorted(b_frames)[1::3]), not_coded)
    frames = probe(path).frames
    assert frames == FRAMES - len(b_frames) + len(b_frames - set(sorted(b_frames)[1::3]))
    every = read_frames(path, range(frames))
    for wanted in draws(frames):
        assert np.array_equal(read_frames(path, wanted), every[wanted]), wanted


def test_a_file_without_such_packets_keeps_its_fast_way(tmp_path: Path) -> None:
    path = write(tmp_path / "a.avi", "mpeg4")
    with av.open(str(path)) as container:
        scan = scan_packets(container, container.streams.video[0], True, Patience(path, None))
    assert scan.frames == len(scan.rank) == FRAMES


def test_a_damaged_picture_header_is_a_missing_frame_and_moves_no_other(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    whole = write(tmp_path / "whole/a.avi", "mpeg4", {"g": "4"})
    path = changed(whole, tmp_path / "a.avi", {10}, lambda data: data[: data.find(VOP) + 4] + b"\xff" * 40)
    assert probe(path).frames == FRAMES
    assert np.array_equal(read_frames(path, [3, 14]), read_frames(whole, [3, 14]))


@pytest.mark.parametrize(
    ("data", "silent"),
    [
        (b"\x86\x00\x40", False),  # profile 0, inter, shown
        (b"\x84\x00\x40", True),  # inter, only referred to
        (b"\x82\x49\x83", False),  # a keyframe, shown
        (b"\x80\x49\x83", True),
        (b"\x88", False),  # one that was decoded before is shown
        (b"\xa6\x00", False),  # profile 1
        (b"\xa4\x00", True),
        (b"\xb2\x00", True),  # profile 3 has a bit more: inter, not shown
        (b"\xb3\x00", False),
        (b"\x84\x00\xc1\x01\x01\xc1", False),  # two frames in a packet, as FFmpeg writes them
        (b"\x84\x00\x00\x00\x00\xc1", True),  # looks like two at its end only
    ],
)
def test_vp9_frames_that_are_only_referred_to_are_told_from_others(data: bytes, silent: bool) -> None:
    nothing = shows_nothing("vp9", None)
    assert nothing is not None
    assert nothing(data) is silent


def test_other_codecs_are_not_asked() -> None:
    assert shows_nothing("h264", None) is None
