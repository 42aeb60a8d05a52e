"""TV-L1 optical flow of every clip of a split, extracted once and read as quickly as frames.

What is computed The flow from each frame to the next one, on grey values, by OpenCV's dual TV-L1 (Zach, Pock and
    Bischof, DAGM 2007; Sánchez, Meinhardt-Llopis and Facciolo, IPOL 2013), at the size of the video. A clip of n frames
    has n - 1 fields of (u, v): pixels to the right and down.

How it is quantised On TSN's scale (Wang et al., ECCV 2016), 255 levels for [-BOUND, BOUND] = [-20, 20] pixels, with
    zero at 128: q = round(128 + 6.375 v), halves to even, cut to 1..255. A level is 0.157 pixels, the largest rounding
    error 0.078, the largest flow 19.92. A flow that is mirrored is 256 - q, and both directions are treated alike. By
    TSN's round(127.5 + 6.375 v) zero is 128 too, but the smallest motion to the left is 127.

How it is solved Frames whose short side is above SMALL_SIDE: OpenCV's defaults. Below: SMALL, a ninth of the time.
    Against the exact flow of motionpairs (64 x 80 pixels, 66 pairs of 11 clips, before quantisation; mean end-point
    error in pixels over all pixels and over the sprite's, milliseconds of one core per pair):

    | settings | all | sprite | ms |
    |---|---|---|---|
    | zero flow | 0.955 | 1.253 | |
    | OpenCV's defaults: 5 scales of step 0.8, 5 warps, 10 x 30 iterations, epsilon 0.01 | 0.156 | 0.185 | 56.6 |
    | the same, epsilon 0.03 | 0.186 | 0.178 | 16.8 |
    | 3 scales of step 0.5, 3 warps, 4 x 30, epsilon 0.01 | 0.157 | 0.184 | 28.0 |
    | 3 scales of step 0.5, 3 warps, 4 x 30, epsilon 0.03 | 0.191 | 0.177 | 8.8 |
    | 3 scales of step 0.5, 2 warps, 1 x 15, epsilon 0.01 | 0.187 | 0.181 | 8.9 |
    | SMALL: 3 scales of step 0.5, 2 warps, 1 x 10, epsilon 0.01 | 0.198 | 0.170 | 6.4 |

    Fewer iterations cost accuracy on the background, which is weak in contrast, and none on the sprite.

How it is stored `<split folder>/flow/<clip>.flow`, a file per clip: a header, then every field by itself as the zlib
    stream (level 6) of its u plane and its v plane. Lossless, since it costs little: per field of 64 x 80 1.48 kB and
    0.03 ms to read, where both planes as JPEG, the field's convention, take 0.89 kB and 0.02 ms at quality 95, with
    errors of up to 6 levels (0.94 pixels), and 1.82 kB at quality 100. PNG takes 1.6 to 2 kB and 0.06 ms. `flow.json`
    is written last; a split that is small enough also gets its fields in one memory-mapped array.

The fingerprint covers the settings, the fingerprint of the frames, and the fields of clips spread over the split.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import struct
import zlib
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.data.datasets import SAMPLED_CLIPS, STORE_LIMIT, Clip, Progress, Split, usable_cores
from benchmark.data.decode import Frames, read_frames
from benchmark.data.errors import DataError, DecodeError
from benchmark.data.frame_store import FrameStore, build_store, open_store

BOUND = 20.0
"""Largest displacement that is kept, in pixels per frame."""
ZERO = 128
"""The level of no motion."""
LEVELS_PER_PIXEL = 255 / (2 * BOUND)
SMALL_SIDE = 96
"""Frames with a short side of up to this many pixels are solved with SMALL."""
BATCH = 8
"""Clips that a worker process takes at a time."""

FORMAT = "flow-1"
MANIFEST = "flow.json"
HEADER = struct.Struct("<8s8sIII")
"""Format, first bytes of the key, fields, height, width; then fields + 1 positions in the file, of 8 bytes each."""


@dataclass(frozen=True)
class TvL1:
    """Settings of the solver, with OpenCV's defaults."""

    tau: float = 0.25
    lam: float = 0.15
    theta: float = 0.3
    scales: int = 5
    scale_step: float = 0.8
    warps: int = 5
    outer_iterations: int = 10
    inner_iterations: int = 30
    epsilon: float = 0.01
    median: int = 5


NORMAL = TvL1()
SMALL = TvL1(scales=3, scale_step=0.5, warps=2, outer_iterations=1, inner_iterations=10)


def settings_for(height: int, width: int) -> TvL1:
    """The solver's settings for frames of a size."""
    return SMALL if min(height, width) <= SMALL_SIDE else NORMAL


def quantise(flow: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Pixels to levels, 1..255: zero is ZERO, 6.375 levels a pixel; what lies beyond about 20 pixels is cut off."""
    return np.clip(np.rint(ZERO + LEVELS_PER_PIXEL * flow), 1, 255).astype(np.uint8)


def dequantise(levels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Levels to pixels, within half a level (0.078 pixels) of what was quantised, unless that was cut off."""
    return (levels.astype(np.float32) - ZERO) / np.float32(LEVELS_PER_PIXEL)


def tvl1(frames: Frames, settings: TvL1) -> NDArray[np.float32]:
    """Flow between neighbouring frames, (n, H, W, 3) uint8 RGB -> (n - 1, H, W, 2) float32, in pixels.

    Raises DataError if OpenCV is not there, or without its contributed modules.
    """
    try:
        import cv2

        create = cv2.optflow.DualTVL1OpticalFlow.create
    except (ImportError, AttributeError) as error:
        raise DataError(f"TV-L1 needs the package opencv-contrib-python-headless ({error}); install it") from error
    # A process per core is faster than OpenCV's threads, whose work on a small frame is shorter than their start.
    cv2.setNumThreads(1)
    solver = create(
        tau=settings.tau,
        lambda_=settings.lam,
        theta=settings.theta,
        nscales=settings.scales,
        scaleStep=settings.scale_step,
        warps=settings.warps,
        outerIterations=settings.outer_iterations,
        innnerIterations=settings.inner_iterations,
        epsilon=settings.epsilon,
        medianFiltering=settings.median,
    )
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    flow = np.empty((len(frames) - 1, *frames.shape[1:3], 2), np.float32)
    for i in range(len(flow)):
        flow[i] = solver.calc(grey[i], grey[i + 1], flow[i])
    return flow


def flow_key(split: Split) -> str:
    """What the fields of a split depend on, as a sha256: the settings, the quantisation and the frames."""
    settings = [asdict(NORMAL), asdict(SMALL), SMALL_SIDE, BOUND, ZERO]
    text = json.dumps([FORMAT, settings, split.fingerprint], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def flow_folder(split: Split) -> Path:
    """Where the flow of a split lies."""
    return split.clips[0].path.parent / "flow"


def _file(folder: Path, clip: Clip) -> Path:
    return folder / f"{clip.id}.flow"


def _replace(path: Path, content: bytes) -> None:
    """Two processes may extract at once: a file changes in one step, and both write the same."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.partial")
    unfinished.write_bytes(content)
    unfinished.replace(path)


def _write(path: Path, fields: NDArray[np.uint8], key: str) -> None:
    """Writes (n, H, W, 2) uint8 fields; the file appears under its name only when complete."""
    count, height, width, _ = fields.shape
    planes = np.ascontiguousarray(fields.transpose(0, 3, 1, 2))
    streams = [zlib.compress(plane.tobytes(), 6) for plane in planes]
    start = HEADER.size + 8 * (count + 1)
    ends = np.cumsum([start, *map(len, streams)]).astype("<u8")
    header = HEADER.pack(FORMAT.encode(), bytes.fromhex(key[:16]), count, height, width)
    _replace(path, b"".join([header, ends.tobytes(), *streams]))


def _positions(path: Path, clip: Clip, key: str) -> NDArray[np.uint64]:
    """Where the fields of a clip's file begin, and its end. Raises DecodeError if the file is not all of this clip's.

    The streams themselves are not read.
    """
    count = clip.frames - 1
    try:
        with path.open("rb") as file:
            head = file.read(HEADER.size)
            places = np.frombuffer(file.read(8 * (count + 1)), "<u8")
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise DecodeError(f"{path}: cannot be read ({error.strerror})") from error
    if head != HEADER.pack(FORMAT.encode(), bytes.fromhex(key[:16]), count, clip.height, clip.width):
        raise DecodeError(f"{path}: not the flow of this clip with the present settings")
    if len(places) != count + 1 or places[-1] != size or np.any(places[1:] < places[:-1]):
        raise DecodeError(f"{path}: the file is cut short or damaged")
    return places


def _read(split: Split, clip: Clip, key: str, indices: Sequence[int]) -> NDArray[np.uint8]:
    """Fields of a clip from its file, (n, H, W, 2) uint8. Raises DecodeError for a missing or damaged file."""
    path, found = _file(flow_folder(split), clip), dict[int, NDArray[np.uint8]]()
    try:
        places = _positions(path, clip, key)
        with path.open("rb") as file:
            for i in sorted(set(indices)):
                file.seek(int(places[i]))
                planes = np.frombuffer(zlib.decompress(file.read(int(places[i + 1] - places[i]))), np.uint8)
                found[i] = planes.reshape(2, clip.height, clip.width).transpose(1, 2, 0)
    except (DecodeError, OSError, zlib.error, ValueError) as error:
        told = str(error) if isinstance(error, DecodeError) else f"{path}: the file is damaged ({error})"
        raise DecodeError(f"{told}; delete it if it is there, and {_advice(split)}") from error
    return np.stack([found[i] for i in indices])


def _is_complete(path: Path, clip: Clip, key: str) -> bool:
    try:
        _positions(path, clip, key)
    except DecodeError:
        return False
    return True


def _extract_batch(clips: Sequence[Clip], folder: Path, key: str) -> dict[str, str]:
    """Extracts some clips; gives what is wrong with those whose video is unreadable, by id."""
    unreadable = {}
    for clip in clips:
        try:
            frames = read_frames(clip.path, range(clip.frames))
        except DecodeError as error:
            unreadable[clip.id] = str(error)
            continue
        if frames.shape[1:3] != (clip.height, clip.width):
            unreadable[clip.id] = f"{clip.path}: frames of {frames.shape[1]} x {frames.shape[2]}, the index differs"
            continue
        _write(_file(folder, clip), quantise(tvl1(frames, settings_for(clip.height, clip.width))), key)
    return unreadable


@dataclass(frozen=True)
class FlowSplit:
    """The flow of a split; `fingerprint` says which, and `unreadable` names the clips whose video cannot be read."""

    split: Split
    key: str
    fingerprint: str
    unreadable: dict[str, str]
    store: FrameStore | None = field(default=None, repr=False)

    def __len__(self) -> int:
        """Number of clips."""
        return len(self.split)

    def read(self, clip: int, indices: Sequence[int] | NDArray[np.int64]) -> NDArray[np.uint8]:
        """Fields of a clip by 0-based number, in the order given, (n, H, W, 2) uint8, from the store or the file.

        Field i leads from frame i to frame i + 1; a clip has one field fewer than frames. Raises DataError for a number
        outside of the clip, DecodeError if the clip's file is missing or damaged or its video is unreadable.
        """
        entry, wanted = self.split.clips[clip], [int(i) for i in indices]
        if not wanted or min(wanted) < 0 or max(wanted) >= entry.frames - 1:
            raise DataError(f"clip {entry.id} has {entry.frames - 1} flow fields, asked for {wanted}")
        if entry.id in self.unreadable:
            raise DecodeError(f"no flow of clip {entry.id}: {self.unreadable[entry.id]}; {_advice(self.split)}")
        if self.store is not None:
            return self.store.read(clip, wanted)
        return _read(self.split, entry, self.key, wanted)


def _advice(split: Split) -> str:
    return f"run: python -m benchmark data flow {split.name}"


def _recorded(split: Split) -> dict[str, object] | None:
    """The manifest of a split's flow, or None if there is none for these frames and these settings."""
    try:
        manifest: dict[str, object] = json.loads((flow_folder(split) / MANIFEST).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return manifest if manifest.get("key") == flow_key(split) else None


def open_flow(split: Split) -> FlowSplit:
    """Opens the extracted flow of a split. Raises DataError, saying which command to run, if it is not there."""
    manifest = _recorded(split)
    if manifest is None:
        stale = (flow_folder(split) / MANIFEST).is_file()
        what = "was extracted from other frames or with other settings" if stale else "has not been extracted"
        raise DataError(f"the flow of {split.name}/{split.split} {what}; {_advice(split)}")
    fingerprint, unreadable = str(manifest["fingerprint"]), manifest["unreadable"]
    assert isinstance(unreadable, dict)
    return FlowSplit(split, flow_key(split), fingerprint, unreadable, open_store(flow_folder(split), fingerprint))


def extract_flow(
    split: Split, workers: int | None = None, progress: Progress | None = None, store: bool = True
) -> FlowSplit:
    """Extracts what is missing of a split's flow and gathers it, if it is small, into a memory-mapped store.

    Complete files are kept, so an interrupted call continues where it stopped. A clip whose video is unreadable is
    recorded as such, and tried again by the next call. `workers` processes extract (default: the usable cores).

    Raises:
        DataError: OpenCV or its contributed modules are missing.
    """
    folder, key = flow_folder(split), flow_key(split)
    folder.mkdir(exist_ok=True)
    missing = [clip for clip in split.clips if not _is_complete(_file(folder, clip), clip, key)]
    recorded = _recorded(split)
    if recorded is None or missing:
        unreadable = _extract_missing(split, missing, key, workers, progress)
        if recorded is None or recorded["unreadable"] != unreadable:
            _write_manifest(split, key, unreadable)
    opened = open_flow(split)
    fields = [clip.frames - 1 for clip in split.clips]
    sizes = {(clip.height, clip.width) for clip in split.clips}
    if store and opened.store is None and len(sizes) == 1:
        height, width = sizes.pop()
        if sum(fields) * height * width * 2 <= STORE_LIMIT:
            clips = {_file(folder, clip): clip for clip in split.clips}

            def read(path: Path, indices: Sequence[int], height: int, width: int) -> NDArray[np.uint8]:
                if clips[path].id in opened.unreadable:
                    return np.full((len(indices), height, width, 2), ZERO, np.uint8)
                return _read(split, clips[path], key, indices)

            told = None if progress is None else partial(progress, f"store flow {split.name}/{split.split}")
            build_store(folder, opened.fingerprint, list(clips), fields, height, width, told, channels=2, read=read)
            opened = open_flow(split)
    return opened


def _extract_missing(
    split: Split, missing: Sequence[Clip], key: str, workers: int | None, progress: Progress | None
) -> dict[str, str]:
    """Extracts clips; gives what is wrong with those whose video is unreadable, by id, in the order of the split."""
    folder, total = flow_folder(split), len(split.clips)
    batches = [missing[i : i + BATCH] for i in range(0, len(missing), BATCH)]
    found: dict[str, str] = {}
    done = total - len(missing)
    workers = min(workers or usable_cores(), len(batches))

    def advance(batch: Sequence[Clip], unreadable: dict[str, str]) -> None:
        nonlocal done
        done += len(batch)
        found.update(unreadable)
        if progress is not None:
            progress(f"flow {split.name}/{split.split}", done, total)

    if workers <= 1:
        for batch in batches:
            advance(batch, _extract_batch(batch, folder, key))
    else:
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            futures = {pool.submit(_extract_batch, batch, folder, key): batch for batch in batches}
            for future in as_completed(futures):
                advance(futures[future], future.result())
    return {clip.id: found[clip.id] for clip in missing if clip.id in found}


def _write_manifest(split: Split, key: str, unreadable: dict[str, str]) -> None:
    digest = hashlib.sha256(json.dumps([key, list(unreadable)]).encode())
    for i in sorted({i * len(split.clips) // SAMPLED_CLIPS for i in range(SAMPLED_CLIPS)}):
        clip = split.clips[i]
        if clip.id not in unreadable and clip.frames > 1:
            last = clip.frames - 2
            digest.update(_read(split, clip, key, [0, last // 2, last]).tobytes())
    manifest = {
        "key": key,
        "fingerprint": digest.hexdigest(),
        "clips": len(split.clips),
        "unreadable": unreadable,
        "settings": {"normal": asdict(NORMAL), "small": asdict(SMALL), "small_side": SMALL_SIDE, "bound": BOUND},
    }
    _replace(flow_folder(split) / MANIFEST, json.dumps(manifest, indent=1).encode())
