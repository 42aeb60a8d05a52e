"""Video files of every kind that people have: the same frames as by decoding everything, upright, or a clear error."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmark.data.decode import packets
from benchmark.data.decode.video import probe, read_frames
from benchmark.data.errors import DecodeError

FRAMES, HEIGHT, WIDTH = 24, 48, 64


def picture(index: int, height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    """A moving pattern without symmetry; its brightness tells the index."""
    y, x = np.mgrid[:height, :width]
    red = 127 + 100 * np.sin((x + 2 * index) / 9)
    green = 127 + 100 * np.cos((y - index) / 7) * (x / width)
    blue = np.full((height, width), 10 * index % 240)
    return np.stack([red, green, blue], axis=-1).astype(np.uint8)


def write(
    path: Path,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    times: Sequence[int] | None = None,
    size: tuple[int, int] = (HEIGHT, WIDTH),
    turn: tuple[int, bool, bool] | None = None,
    frames: int = FRAMES,
    bitrate: int | None = None,
    b_frames: int | None = None,
    faststart: bool = False,
) -> Path:
    with av.open(str(path), "w", options={"movflags": "faststart"} if faststart else {}) as container:
        track: Any = container.add_stream(codec, rate=25, options=options or {})
        track.height, track.width = size
        track.pix_fmt = "yuv420p"
        track.codec_context.thread_count = 1
        if bitrate is not None:
            track.bit_rate = bitrate
        if b_frames is not None:
            track.codec_context.max_b_frames = b_frames
        if turn is not None:
            track.set_display_rotation(*turn)
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(index, *size), format="rgb24")
            frame.pts, frame.time_base = index if times is None else times[index], Fraction(1, 25)
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
    return path


def decode_everything(path: Path) -> NDArray[np.uint8]:
    """Every frame as the decoder gives it, nothing skipped."""
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="rgb24", interpolation="BILINEAR") for f in container.decode(video=0)])


X264 = "x264-params"
KINDS: dict[str, tuple[str, str, dict[str, str], dict[str, int]]] = {
    "h264": ("a.mp4", "libx264", {}, {}),
    "h264-short-groups": ("a.mp4", "libx264", {"g": "5"}, {}),
    "h264-open-groups": ("a.mkv", "libx264", {"g": "6", X264: "open-gop=1:bframes=3:b-pyramid=normal:scenecut=0"}, {}),
    "h264-intra-refresh": ("a.mp4", "libx264", {"g": "6", X264: "intra-refresh=1:scenecut=0"}, {}),
    "h264-avi": ("a.avi", "libx264", {"g": "6"}, {}),
    "vp9-hidden-frames": ("a.webm", "libvpx-vp9", {"g": "7", "auto-alt-ref": "1", "cpu-used": "8"}, {"bitrate": 90000}),
    "vp8": ("a.webm", "libvpx", {"g": "7", "cpu-used": "8"}, {"bitrate": 90000}),
    "mpeg4": ("a.avi", "mpeg4", {"g": "6"}, {"bitrate": 200000}),
    "mpeg4-b-frames": ("a.avi", "mpeg4", {"g": "6"}, {"bitrate": 200000, "b_frames": 2}),
    "mpeg4-b-frames-mp4": ("a.mp4", "mpeg4", {"g": "6"}, {"bitrate": 200000, "b_frames": 2}),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kept", [True, False])
def test_skipping_changes_no_pixel(kind: str, kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, codec, options, more = KINDS[kind]
    path = write(tmp_path / name, codec, options, **more)  # type: ignore[arg-type]
    if not kept:
        monkeypatch.setattr("benchmark.data.decode.video.KEPT_BYTES", 0)
    every = decode_everything(path)
    info = probe(path)
    assert (info.frames, info.height, info.width, len(every)) == (FRAMES, HEIGHT, WIDTH, FRAMES)
    assert info.seconds == pytest.approx(FRAMES / 25, abs=0.06)
    rng = np.random.default_rng(0)
    choices = [[index] for index in range(FRAMES)] + [rng.integers(0, FRAMES, 4).tolist() for _ in range(12)]
    for wanted in choices:
        assert np.array_equal(read_frames(path, wanted), every[wanted]), wanted


def _kind(packet: bytes) -> str:
    return "IPBS"[packet[packet.find(b"\0\0\1\xb6") + 4] >> 6]


def test_packed_b_frames_of_xvid_come_in_order(tmp_path: Path) -> None:
    # As DivX and XviD write B-frames to AVI: with the frame that they follow in one packet, then an empty packet.
    plain = write(
        tmp_path / "plain.avi", "mpeg4", {"g": "12", "sc_threshold": "1000000000"}, bitrate=400000, b_frames=1
    )
    packed = tmp_path / "packed.avi"
    with av.open(str(plain)) as source, av.open(str(packed), "w") as container:
        track: Any = container.add_stream_from_template(source.streams.video[0])
        pieces: list[bytes] = []
        for piece in (bytes(packet) for packet in source.demux(video=0) if packet.size):
            if _kind(piece) == "B":
                pieces[-1:] = [pieces[-1] + piece, b"\0\0\1\xb6\x50\x7f"]
            else:
                pieces.append(piece)
        start = pieces[0].find(b"\0\0\1\xb6")
        pieces[0] = pieces[0][:start] + b"\0\0\1\xb2DivX503b1393p" + pieces[0][start:]
        for number, piece in enumerate(pieces):
            packet: Any = av.Packet(piece)
            packet.stream, packet.pts, packet.dts, packet.time_base = track, number, number, Fraction(1, 25)
            packet.is_keyframe = _kind(piece) == "I"
            container.mux(packet)
    every = decode_everything(packed)
    assert np.array_equal(every, decode_everything(plain))
    assert len(every) == probe(packed).frames == FRAMES
    for index in range(FRAMES):
        assert np.array_equal(read_frames(packed, [index])[0], every[index])


def test_groups_without_a_wanted_frame_are_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.mp4", options={"g": "4", "bf": "0", X264: "scenecut=0"})
    plans: list[list[bool]] = []
    plan = packets._needed

    def noted(scan: packets.Scan, wanted: set[int]) -> list[bool]:
        plans.append(plan(scan, wanted))
        return plans[-1]

    monkeypatch.setattr(packets, "_needed", noted)
    read_frames(path, [1, 22])
    assert [index for index, needed in enumerate(plans[0]) if needed] == [0, 1, 20, 21, 22]


def test_a_keyframe_that_is_none_costs_time_and_no_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.mp4", options={"g": "50", X264: "scenecut=0"})
    every = decode_everything(path)
    monkeypatch.setattr(packets, "_starts", lambda times, keys: [0, 12])
    assert np.array_equal(read_frames(path, [2, 20]), every[[2, 20]])


def remuxed(source: Path, path: Path, every_packet_a_key: bool = False, skip: int = 0) -> Path:
    """The packets of a file in another container, without the first `skip`, and said to be keyframes if asked for."""
    with av.open(str(source)) as there, av.open(str(path), "w") as here:
        stream: Any = here.add_stream_from_template(there.streams.video[0])
        for number, packet in enumerate(there.demux(video=0)):
            if packet.size and number >= skip:
                packet.is_keyframe |= every_packet_a_key
                packet.pts = packet.dts if packet.pts is None else packet.pts
                packet.stream = stream
                here.mux(packet)
    return path


def test_a_container_that_calls_every_frame_a_keyframe_is_not_believed(tmp_path: Path) -> None:
    """MPEG-4 decodes to grey from where there is none."""
    path = remuxed(write(tmp_path / "a.avi", "mpeg4"), tmp_path / "b.mp4", every_packet_a_key=True)
    every = decode_everything(path)
    for index in range(FRAMES):
        assert np.array_equal(read_frames(path, [index])[0], every[index])


@pytest.mark.parametrize("name", ["b.mp4", "b.mkv", "b.webm"])
def test_a_stream_without_a_keyframe_is_an_unreadable_file_or_is_read(name: str, tmp_path: Path) -> None:
    """What is left of a clip that was cut out of another by copying packets."""
    codec, first = ("libvpx-vp9", "a.webm") if name.endswith("webm") else ("libx264", "a.mp4")
    options = {"g": "50"} if codec != "libx264" else {"g": "50", X264: "scenecut=0"}
    path = remuxed(write(tmp_path / first, codec, options=options), tmp_path / name, skip=1)
    try:
        info = probe(path)
    except DecodeError as error:
        assert str(error).startswith(f"{path}: ")  # noqa: PT017 - either is right
    else:
        assert info.frames <= FRAMES


def test_av1_whose_decoder_listens_once_gives_any_frame(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", "libsvtav1", options={"preset": "12"})
    every = decode_everything(path)
    for index in range(FRAMES):
        assert np.array_equal(read_frames(path, [index])[0], every[index])


def test_a_name_that_looks_like_a_protocol_is_a_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.mp4").rename(tmp_path / "http:a.mp4")
    assert probe(Path("http:a.mp4")).frames == FRAMES


def test_what_pyav_does_not_expect_is_a_damaged_file(tmp_path: Path) -> None:
    """Random bytes in an FLV may announce streams that were never opened: a list's end to PyAV."""
    whole = write(tmp_path / "a.flv").read_bytes()
    for seed in range(60):
        rng, damaged = np.random.default_rng(seed), bytearray(whole)
        start = int(rng.integers(len(whole) // 3, len(whole) - 200))
        damaged[start : start + 150] = rng.bytes(150)
        (tmp_path / "b.flv").write_bytes(damaged)
        try:
            read_frames(tmp_path / "b.flv", [0, 20])
        except DecodeError as error:
            assert "b.flv" in str(error)  # noqa: PT017 - or it can be read


def test_variable_frame_rate_counts_frames_and_not_time(tmp_path: Path) -> None:
    times = np.cumsum([1, 1, 9, 1, 2, 30] * 4).tolist()
    for name, codec in (("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.webm", "libvpx-vp9")):
        path = write(tmp_path / name, codec, {"g": "7"}, times)
        every = decode_everything(path)
        assert probe(path).frames == len(every) == FRAMES
        assert np.array_equal(read_frames(path, [23, 5, 6]), every[[23, 5, 6]])


@pytest.mark.parametrize(("height", "width"), [(47, 63), (49, 33), (17, 131)])
@pytest.mark.parametrize(("name", "codec"), [("a.webm", "libvpx-vp9"), ("a.avi", "mpeg4")])
def test_odd_sizes(name: str, codec: str, height: int, width: int, tmp_path: Path) -> None:
    path = write(tmp_path / name, codec, size=(height, width), frames=5, bitrate=300000)
    info = probe(path)
    assert (info.frames, info.height, info.width) == (5, height, width)
    frames = read_frames(path, [0, 4])
    assert frames.shape == (2, height, width, 3)
    assert np.abs(frames[0].astype(int) - picture(0, height, width)).mean() < 12


def _shown(stored: NDArray[np.uint8], turn: int, mirrored: bool, upside_down: bool) -> NDArray[np.uint8]:
    """Turned counter-clockwise in quarter turns, then mirrored."""
    shown = np.rot90(stored, turn // 90)
    shown = shown[:, ::-1] if mirrored else shown
    return shown[::-1] if upside_down else shown


@pytest.mark.parametrize("turn", [0, 90, 180, -90])
@pytest.mark.parametrize("flips", [(False, False), (True, False), (False, True)])
def test_videos_of_phones_are_upright(turn: int, flips: tuple[bool, bool], tmp_path: Path) -> None:
    path = write(tmp_path / "phone.mp4", turn=(turn, *flips), frames=4)
    plain = decode_everything(path)
    expected = np.stack([_shown(frame, turn, *flips) for frame in plain])
    info = probe(path)
    assert (info.height, info.width) == expected.shape[1:3]
    assert np.array_equal(read_frames(path, [3, 0]), expected[[3, 0]])
    assert read_frames(path, [1], info.height // 2, info.width // 2).shape[1:3] == (info.height // 2, info.width // 2)
    if not any(flips):  # OpenCV turns, too, but knows no mirrors
        video = cv2.VideoCapture(str(path))
        shape = video.read()[1].shape
        assert shape == expected.shape[1:]


def test_scaling_a_turned_video_is_turning_a_scaled_one(tmp_path: Path) -> None:
    plain = read_frames(write(tmp_path / "plain.mp4", frames=3), [2], 24, 32)
    turned = read_frames(write(tmp_path / "turned.mp4", frames=3, turn=(90, False, False)), [2], 32, 24)
    assert np.array_equal(turned[0], np.rot90(plain[0]))


def sizes_in_one_file(path: Path, *sizes: tuple[int, int]) -> Path:
    """A stream of H.264 whose size changes, twelve frames a second and two seconds of each size."""
    with av.open(str(path), "w", format="mpegts") as here:
        track: Any = None
        for number, size in enumerate(sizes):
            part = write(path.with_name(f"{path.stem}_part{number}.ts"), options={"g": "8"}, size=size)
            with av.open(str(part)) as there:
                track = track or here.add_stream_from_template(there.streams.video[0])
                for packet in there.demux(video=0):
                    if packet.size and packet.pts is not None and packet.dts is not None:
                        packet.pts, packet.dts = packet.pts + number * 10**6, packet.dts + number * 10**6
                        packet.stream = track
                        here.mux(packet)
            part.unlink()
    return path


def test_a_size_that_changes_scales_each_frame_from_its_own(tmp_path: Path) -> None:
    path = sizes_in_one_file(tmp_path / "a.ts", (48, 64), (32, 48))
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24", interpolation="BILINEAR") for frame in container.decode(video=0)]
    assert [frame.shape[:2] for frame in frames] == [(48, 64)] * FRAMES + [(32, 48)] * FRAMES
    info = probe(path)
    assert (info.frames, info.height, info.width) == (2 * FRAMES, 48, 64)
    every = read_frames(path, range(2 * FRAMES))
    assert np.array_equal(every[:FRAMES], frames[:FRAMES])
    for height, width in ((32, 48), (20, 30)):  # the size of the later ones, and another
        small = read_frames(path, [FRAMES + 5, 3], height, width)
        assert small.shape == (2, height, width, 3)
        expected = cv2.resize(frames[FRAMES + 5], (width, height), interpolation=cv2.INTER_LINEAR_EXACT)
        assert np.abs(small[0].astype(int) - expected).mean() < 6
    rng = np.random.default_rng(0)
    choices = [[index] for index in range(2 * FRAMES)] + [rng.integers(0, 48, 4).tolist() for _ in range(30)]
    for wanted in choices:
        assert np.array_equal(read_frames(path, wanted), every[wanted]), wanted
    sizes: dict[int, tuple[int, int]] = {}
    read_frames(path, [2, 30], 8, 8, sizes=sizes)
    assert sizes == {2: (48, 64), 30: (32, 48)}


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.webm", "libvpx-vp9"), ("a.avi", "mpeg4")])
def test_one_frame_only(name: str, codec: str, tmp_path: Path) -> None:
    path = write(tmp_path / name, codec, frames=1, bitrate=300000)
    assert probe(path).frames == 1
    assert read_frames(path, [0, 0, 0]).shape == (3, HEIGHT, WIDTH, 3)
    with pytest.raises(DecodeError, match="the file has 1 frames"):
        read_frames(path, [1])


def test_the_ending_and_the_name_do_not_matter(tmp_path: Path) -> None:
    path = write(tmp_path / "a.webm", "libvpx-vp9", frames=3)
    odd = tmp_path / "v_日本 (2) ü %d [x].mp4"
    path.rename(odd)
    assert probe(odd).frames == 3
    assert np.array_equal(read_frames(odd, [0, 1, 2]), decode_everything(odd))


@pytest.mark.parametrize(("name", "codec"), [("a.avi", "mpeg4"), ("a.webm", "libvpx-vp9"), ("a.mkv", "libx264")])
def test_of_a_file_cut_short_what_is_there_can_be_read(name: str, codec: str, tmp_path: Path) -> None:
    path = write(tmp_path / name, codec, {"g": "4"}, bitrate=300000)
    whole = decode_everything(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    found = probe(path).frames
    assert 4 < found < FRAMES
    assert np.array_equal(read_frames(path, range(found - 2)), whole[: found - 2])
    with pytest.raises(DecodeError, match=r"a\.\w+: frame"):
        read_frames(path, [FRAMES - 1])


def test_a_truncated_mp4_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for act in (probe, lambda p: read_frames(p, [0])):
        with pytest.raises(DecodeError, match=r"a\.mp4: cannot be decoded"):
            act(path)


def test_a_half_written_last_frame_is_missing_and_not_grey(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", options={"bf": "0"}, faststart=True)
    with av.open(str(path)) as container:
        last: Any = [packet for packet in container.demux(video=0) if packet.size][-1]
    path.write_bytes(path.read_bytes()[: last.pos + last.size // 2])
    with pytest.raises(DecodeError, match=r"could not be decoded|cannot be decoded|the file has"):
        read_frames(path, [FRAMES - 1])
    assert read_frames(path, [FRAMES - 2]).shape == (1, HEIGHT, WIDTH, 3)


def _with_cover(path: Path, video: bool) -> Path:
    """A file whose first stream is a cover picture."""
    with av.open(str(path), "w") as container:
        cover = container.add_stream("mjpeg", rate=1)
        cover.height, cover.width, cover.pix_fmt = 16, 16, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        track: Any = container.add_stream("libx264", rate=25) if video else container.add_stream("aac", rate=8000)
        if video:
            track.height, track.width, track.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        for packet in cover.encode(av.VideoFrame.from_ndarray(picture(9, 16, 16), format="rgb24")):
            container.mux(packet)
        container.mux(cover.encode(None))
        for index in range(4):
            frame: Any
            if video:
                frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24")
                frame.pts, frame.time_base = index, Fraction(1, 25)
            else:
                frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
                frame.sample_rate = 8000
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
    return path


def test_cover_art_is_not_the_video(tmp_path: Path) -> None:
    path = _with_cover(tmp_path / "a.mp4", video=True)
    info = probe(path)
    assert (info.frames, info.height, info.width) == (4, HEIGHT, WIDTH)
    assert read_frames(path, [3]).shape == (1, HEIGHT, WIDTH, 3)
    with pytest.raises(DecodeError, match="no video stream"):
        read_frames(_with_cover(tmp_path / "b.mp4", video=False), [0])


def test_a_file_that_gives_nothing_in_time_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.mp4")
    clock = iter(range(0, 10**6, 40))
    monkeypatch.setattr(
        "benchmark.data.decode.packets.time.monotonic", lambda: next(clock)
    )  # every look at the clock is 40 s later
    monkeypatch.setenv("BENCHMARK_DECODE_SECONDS", "2000")
    assert read_frames(path, [0]).shape[0] == 1
    monkeypatch.setenv("BENCHMARK_DECODE_SECONDS", "30")
    with pytest.raises(DecodeError, match=r"a\.mp4: nothing could be decoded for 30 s.*BENCHMARK_DECODE_SECONDS"):
        read_frames(path, [0])
    assert read_frames(path, [0], seconds=2000).shape[0] == 1
    with pytest.raises(ValueError, match="must be positive"):
        read_frames(path, [0], seconds=0)
    monkeypatch.setenv("BENCHMARK_DECODE_SECONDS", "soon")
    with pytest.raises(ValueError, match="BENCHMARK_DECODE_SECONDS=soon"):
        read_frames(path, [0])


def test_too_many_open_files_is_not_the_clips_fault(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", frames=2)
    code = """
        import resource, sys
        from benchmark.data.decode.video import read_frames
        from benchmark.data.errors import DecodeError
        read_frames(sys.argv[1], [0])
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
        try:
            read_frames(sys.argv[1], [0])
        except DecodeError:
            print("decode error")
        except OSError as error:
            print(error.errno)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(path)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == ["24"]


def test_a_pipe_is_no_video(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.mp4")
    with pytest.raises(DecodeError, match="a pipe"):
        probe(tmp_path / "a.mp4")


def test_hundreds_of_reads_leave_no_memory_and_no_files(tmp_path: Path) -> None:
    files = [
        write(tmp_path / "a.mp4", options={"g": "5"}, frames=12),
        write(tmp_path / "a.webm", "libvpx-vp9", frames=12),
        write(tmp_path / "a.avi", "mpeg4", frames=12, bitrate=300000, b_frames=2),
    ]
    (tmp_path / "broken.mp4").write_bytes(files[0].read_bytes()[:1000])
    (tmp_path / "folder").mkdir()
    for index in range(12):
        cv2.imwrite(str(tmp_path / "folder" / f"{index + 1:05d}.jpg"), picture(index))
    code = """
        import os, sys
        from pathlib import Path
        from benchmark.data.decode.video import probe, read_frames
        from benchmark.data.errors import DecodeError
        def read(times):
            for _ in range(times):
                for path in sys.argv[1:]:
                    try:
                        read_frames(path, [1, 10], 24, 32), probe(path)
                    except DecodeError:
                        assert "broken" in path
        def state():
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            return pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir("/proc/self/fd"))
        read(40)
        memory, files = state()
        read(120)
        more, still = state()
        print((more - memory) // 2**10, still - files)
    """
    paths = [*map(str, files), str(tmp_path / "broken.mp4"), str(tmp_path / "folder")]
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code), *paths], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    grown, opened = map(int, done.stdout.split())
    assert opened == 0
    assert grown < 3000  # KiB in 1,200 reads: a frame kept from each tenth would be 3,300
