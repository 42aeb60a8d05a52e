"""Reading clips with `read_frames` against torchcodec, decord and OpenCV on the same files in one run.

    make decode                                               # two to five minutes on a laptop's core
    PYTHONPATH=. python tools/compare_decoders.py --leak           # 10,000 reads: memory and open files
    PYTHONPATH=. python tools/compare_decoders.py --videos FOLDER  # your own files instead of those made here

One process reads every clip with each reader in turn, once to warm up and `--repeats` times on the clock. Wanted are
the middle frame of each of 8 segments, and 3 consecutive ones of each, unscaled and with a short side of 112, as uint8
RGB in memory. A reader that cannot be imported is named and left out. Every reader has one thread, since a training job
has a loader process per core already.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from benchmark.cli.text import whole_number
from benchmark.data.decode.video import Frames, probe, read_frames
from benchmark.data.errors import DecodeError

HEIGHT, WIDTH, FPS, SHORT_SIDE, SEGMENTS = 256, 340, 25, 112, 8

Reader = Callable[[Path, Sequence[int], int | None, int | None], Frames]
"""From a file, frame numbers, and height and width to scale to, to (n, H, W, 3) uint8 RGB."""

ENCODINGS: dict[str, tuple[str, str, dict[str, str], int]] = {
    "mp4, H.264": (".mp4", "libx264", {"crf": "23"}, 0),
    "mp4, H.264, groups of 12": (".mp4", "libx264", {"crf": "23", "g": "12"}, 0),
    "webm, VP9": (".webm", "libvpx-vp9", {"crf": "32", "deadline": "realtime", "cpu-used": "6"}, 0),
    "avi, MPEG-4": (".avi", "mpeg4", {"qscale": "4"}, 1_500_000),
}
"""Ending, encoder, its options and bits per second (0: by quality) of the files made here; JPEG folders besides."""

READ_FOLDERS = ("read_frames", "OpenCV")
OTHER_FRAME = 6
"""Other conversions and scalings differ by a few units in the mean, another frame of the clip by more than this."""


@dataclass(frozen=True)
class Timing:
    """One reader on one kind of files: medians over the repeats, per clip.

    CPU time is that of the process, all threads. Differences are from `read_frames`, in units of 1/255.
    """

    files: str
    frames_per_segment: int
    scaled: bool
    reader: str
    clips_per_second: float
    cpu_ms: float
    mean_difference: float
    max_difference: float
    same_frames: bool


def draw(frames: int, seed: int) -> Frames:
    """A textured patch that moves before a panning texture, with sensor noise: (T, 256, 340, 3) uint8 RGB."""
    rng = np.random.default_rng(seed)
    ground: Any = sum(
        weight * cv2.resize(rng.random((2 * HEIGHT // cell, 2 * WIDTH // cell, 3), np.float32), (2 * WIDTH, 2 * HEIGHT))
        for weight, cell in ((0.25, 8), (0.35, 32), (0.4, 96))
    )
    side = HEIGHT // 2
    patch = cv2.resize(rng.random((14, 14, 3), np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    speed, drawn = rng.uniform(0.02, 0.1, 4), np.empty((frames, HEIGHT, WIDTH, 3), np.uint8)
    for i in range(frames):
        where = 0.5 + 0.5 * np.sin(speed * i + seed)
        top, left = int(where[0] * HEIGHT), int(where[1] * WIDTH)
        frame = np.array(ground[top : top + HEIGHT, left : left + WIDTH])
        top, left = int(where[2] * (HEIGHT - side)), int(where[3] * (WIDTH - side))
        frame[top : top + side, left : left + side] = patch
        drawn[i] = np.clip(255 * frame + rng.normal(0, 4, frame.shape), 0, 255)
    return drawn


def encode(frames: Frames, path: Path, encoder: str, options: dict[str, str], bitrate: int) -> None:
    """Writes (T, H, W, 3) uint8 RGB frames as a video."""
    with av.open(str(path), "w") as container:
        track: Any = container.add_stream(encoder, rate=FPS, options=options)
        track.height, track.width = frames.shape[1:3]
        track.pix_fmt, track.bit_rate = "yuv420p", bitrate
        for index, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            container.mux(track.encode(frame))
        container.mux(track.encode(None))


def make_files(folder: Path, clips: int, frames: int) -> dict[str, list[Path]]:
    """The benchmark's files by kind: every clip in each encoding of ENCODINGS, and as a folder of JPEGs."""
    made: dict[str, list[Path]] = {}
    for seed in range(clips):
        drawn = draw(frames, seed)
        for number, (kind, (ending, encoder, options, bitrate)) in enumerate(ENCODINGS.items()):
            path = folder / f"{number}-{seed:03d}{ending}"
            encode(drawn, path, encoder, options, bitrate)
            made.setdefault(kind, []).append(path)
        path = folder / f"jpeg-{seed:03d}"
        path.mkdir()
        for index, pixels in enumerate(drawn):
            cv2.imwrite(str(path / f"{index + 1:05d}.jpg"), pixels[..., ::-1])
        made.setdefault("folder of JPEGs", []).append(path)
    return made


def _resized(pixels: Any, height: int | None, width: int | None) -> Any:
    if height is None or width is None:
        return pixels
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)


def _read_opencv(path: Path, indices: Sequence[int], height: int | None, width: int | None) -> Frames:
    found: dict[int, Any] = {}
    if path.is_dir():
        names = sorted(os.listdir(path))  # noqa: PTH208 - what one writes for speed
        for index in set(indices):
            pixels = cv2.imread(str(path / names[index]), cv2.IMREAD_COLOR_RGB)
            found[index] = _resized(pixels, height, width)
        return np.stack([found[index] for index in indices])
    video = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    wanted = set(indices)
    # Stepping through the video and converting what is wanted is faster than OpenCV's seeking, and exact.
    for index in range(max(indices) + 1):
        if not video.grab():
            break
        if index in wanted:
            pixels = _resized(video.retrieve()[1], height, width)
            found[index] = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    video.release()
    return np.stack([found[index] for index in indices])


def _torchcodec() -> Reader:
    decoders = importlib.import_module("torchcodec.decoders")
    resize = importlib.import_module("torchcodec.transforms").Resize

    def read(path: Path, indices: Sequence[int], height: int | None, width: int | None) -> Frames:
        scaling = None if height is None else [resize((height, width))]
        video = decoders.VideoDecoder(str(path), num_ffmpeg_threads=1, dimension_order="NHWC", transforms=scaling)
        return np.asarray(video.get_frames_at(list(indices)).data)

    return read


def _decord() -> Reader:
    decord = importlib.import_module("decord")

    def read(path: Path, indices: Sequence[int], height: int | None, width: int | None) -> Frames:
        size = {} if height is None else {"height": height, "width": width}
        return np.asarray(decord.VideoReader(str(path), num_threads=1, **size).get_batch(list(indices)).asnumpy())

    return read


def readers(sample: Path) -> tuple[dict[str, Reader], list[str]]:
    """The readers that work here, ours first, and a line on each that does not. `sample` is a video file."""
    found: dict[str, Reader] = {"read_frames": read_frames}
    missing = []
    makers: dict[str, Callable[[], Reader]] = {
        "torchcodec": _torchcodec,
        "decord": _decord,
        "OpenCV": lambda: _read_opencv,
    }
    for name, make in makers.items():
        try:
            reader = make()
            reader(sample, [0], None, None)
        except Exception as error:  # whatever keeps it from loading its libraries
            missing.append(f"{name} is left out: {str(error).strip().splitlines()[0]}")
        else:
            found[name] = reader
    return found, missing


def wanted_frames(length: int, frames_per_segment: int) -> list[int]:
    """`frames_per_segment` consecutive frames from the middle of each of 8 segments, within the clip."""
    middles = ((np.arange(SEGMENTS) + 0.5) * length / SEGMENTS).astype(int) - frames_per_segment // 2
    starts = np.clip(middles, 0, max(length - frames_per_segment, 0))
    return [min(int(start) + i, length - 1) for start in starts for i in range(frames_per_segment)]


def compare(
    kind: str,
    files: Sequence[Path],
    rivals: dict[str, Reader],
    frames_per_segment: int,
    scaled: bool,
    repeats: int,
) -> list[Timing]:
    """Times all readers on these files, interleaved, and compares their pixels with ours."""
    if files[0].is_dir():  # the others read none, and decord says so on the terminal
        rivals = {name: reader for name, reader in rivals.items() if name in READ_FOLDERS}
    jobs = [_job(path, frames_per_segment, scaled) for path in files]
    gaps = {name: gap for name, reader in rivals.items() if (gap := _gaps(name, reader, jobs)) is not None}
    times = _times({name: rivals[name] for name in gaps}, jobs, repeats)
    return [
        Timing(
            kind,
            frames_per_segment,
            scaled,
            name,
            statistics.median(rate for rate, _ in times[name]),
            statistics.median(cpu for _, cpu in times[name]),
            statistics.fmean(mean for mean, _ in gap),
            max(largest for _, largest in gap),
            max(mean for mean, _ in gap) < OTHER_FRAME,
        )
        for name, gap in gaps.items()
    ]


Job = tuple[Path, list[int], int | None, int | None]
"""What a reader is called with."""


def _job(path: Path, frames_per_segment: int, scaled: bool) -> Job:
    info = probe(path)
    wanted = wanted_frames(info.frames, frames_per_segment)
    if not scaled:
        return path, wanted, None, None
    shrink = SHORT_SIDE / min(info.height, info.width)
    return path, wanted, round(info.height * shrink), round(info.width * shrink)


def _gaps(name: str, reader: Reader, jobs: Sequence[Job]) -> list[tuple[float, float]] | None:
    """Mean and largest difference of each clip's pixels from ours; None, said on the terminal, if one is not read."""
    gaps = []
    for job in jobs:
        try:
            gap = np.abs(reader(*job) - read_frames(*job).astype(np.int16))
        except Exception as error:
            print(f"{name} is left out: {job[0]}: {str(error).strip().splitlines()[0]}", file=sys.stderr)
            return None
        gaps.append((float(gap.mean()), float(gap.max())))
    return gaps


def _times(rivals: dict[str, Reader], jobs: Sequence[Job], repeats: int) -> dict[str, list[tuple[float, float]]]:
    """Clips per second and CPU milliseconds a clip of each repeat, with the readers in another order each time."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in rivals}
    for repeat in range(repeats):
        names = list(rivals)
        for name in names[repeat % len(names) :] + names[: repeat % len(names)]:
            gc.collect()
            wall, cpu = time.perf_counter(), time.process_time()
            for job in jobs:
                rivals[name](*job)
            spent = time.perf_counter() - wall, time.process_time() - cpu
            times[name].append((len(jobs) / spent[0], 1000 * spent[1] / len(jobs)))
    return times


def table(timings: Sequence[Timing]) -> str:
    """Markdown: a line for each reader and setting, and how much CPU time we take of the best other reader's."""
    lines = [
        "| files | frames | size | reader | clips/s | CPU ms/clip | ours / best other | pixels: mean, max difference |",
        "|---|---|---|---|---:|---:|---:|---|",
    ]
    for timing in timings:
        rivals = [
            other.cpu_ms
            for other in timings
            if other.reader != "read_frames"
            and (other.files, other.frames_per_segment, other.scaled)
            == (timing.files, timing.frames_per_segment, timing.scaled)
        ]
        own = timing.reader == "read_frames"
        ratio = f"{timing.cpu_ms / min(rivals):.2f}" if own and rivals else ""
        pixels = "" if own else f"{timing.mean_difference:.2f}, {timing.max_difference:.0f}"
        if not timing.same_frames:
            pixels += " (other frames)"
        lines.append(
            f"| {timing.files} | {SEGMENTS}x{timing.frames_per_segment} | {SHORT_SIDE if timing.scaled else 'whole'} |"
            f" {timing.reader} | {timing.clips_per_second:.1f} | {timing.cpu_ms:.1f} | {ratio} | {pixels} |"
        )
    return "\n".join(lines)


def leak(files: Sequence[Path], reads: int) -> dict[str, int]:
    """Reads files in turn, every hundredth one broken: resident KiB and open files after a tenth, and at the end."""
    page = os.sysconf("SC_PAGE_SIZE") // 1024
    seen: list[tuple[int, int]] = []
    with tempfile.TemporaryDirectory() as folder:
        broken = Path(folder) / "broken.mp4"
        whole = next(path for path in files if path.is_file())
        broken.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
        for number in range(reads):
            path = broken if number % 100 == 99 else files[number % len(files)]
            try:
                read_frames(path, [1, 5], 56, 74)
            except DecodeError:
                assert path == broken, path
            if number + 1 in (reads // 10, reads):
                gc.collect()
                resident = int(Path("/proc/self/statm").read_text().split()[1]) * page
                seen.append((resident, len(os.listdir("/proc/self/fd"))))  # noqa: PTH208
    return {
        "reads": reads,
        "kib_after_a_tenth": seen[0][0],
        "kib_at_the_end": seen[-1][0],
        "open_files_after_a_tenth": seen[0][1],
        "open_files_at_the_end": seen[-1][1],
    }


def _own_files(folder: Path) -> dict[str, list[Path]]:
    files = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    if not files:
        raise DecodeError(f"{folder}: no files")
    return {folder.name: files}


def main(argv: Sequence[str] | None = None) -> int:
    """Make or find the files, read them, print the table (or JSON) and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=whole_number(1), default=12, help="clips of each kind (default 12)")
    parser.add_argument("--frames", type=whole_number(1), default=100, help="frames of a clip (default 100, 4 seconds)")
    parser.add_argument("--repeats", type=whole_number(1), default=5, help="timed passes over the clips (default 5)")
    parser.add_argument("--videos", type=Path, metavar="FOLDER", help="time these files or folders of frames instead")
    parser.add_argument("--leak", action="store_true", help="instead of timing, read many files and look at memory")
    parser.add_argument("--reads", type=whole_number(1), default=10_000, help="how many with --leak (default 10,000)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(argv)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        try:
            made = _own_files(options.videos) if options.videos else None
        except (OSError, DecodeError) as error:
            print(error, file=sys.stderr)
            return 2
        files = made or make_files(Path(folder), options.clips, options.frames)
        if options.leak:
            print(json.dumps(leak([path for paths in files.values() for path in paths], options.reads), indent=1))
            return 0
        sample = next((path for paths in files.values() for path in paths if path.is_file()), Path())
        rivals, missing = readers(sample)
        for line in missing:
            print(line, file=sys.stderr)
        timings = [
            timing
            for kind, paths in files.items()
            for frames_per_segment in (1, 3)
            for scaled in (True, False)
            for timing in compare(kind, paths, rivals, frames_per_segment, scaled, options.repeats)
        ]
    print(json.dumps([asdict(timing) for timing in timings], indent=1) if options.json else table(timings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
