"""Extracts the TV-L1 optical flow of every clip of a split (tvl1.py) once, and reads it as quickly as frames.

Field i of a clip leads from frame i to frame i + interval: a clip has `interval` fields fewer than frames, or none. An
interval of 1 is ordinary flow. Larger ones are the low-fps flow of MotionSqueeze (Kwon et al., ECCV 2020, Table 6),
which is computed on a video resampled from 12 to 3 frames per second: an interval of 4. The paper gives the frame rate
and no more. Here there is a field at every frame, not only at every interval-th one: resampling may start at any frame,
so that training sees all of them and a segment's field lies at the segment's sampled frame, as at interval 1.

Flow is in `<split folder>/flow/<clip>.flow`, or in `flow_4/` for an interval of 4: a file per clip with a header and
then every field by itself. `flow.json` is written last; a split that is small enough also gets its fields in one
memory-mapped array.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.config.models import ModelConfig
from benchmark.config.representations import RepresentationFields
from benchmark.data.errors import DataError, DecodeError
from benchmark.data.flow.imported import FlowImages, Folders, read_flow_images
from benchmark.data.flow.tvl1 import BOUND, NORMAL, SMALL, SMALL_SIDE, ZERO, quantise, settings_for, tvl1
from benchmark.data.frame_store import STORE_LIMIT, FrameStore, build_store, open_store
from benchmark.data.parallel import by_batches
from benchmark.data.split import Clip, Progress, Split, sampled
from benchmark.runs.atomic import atomic_path

BATCH = 8
"""Clips that a worker process takes at a time."""

FORMAT = "flow-1"
MANIFEST = "flow.json"
HEADER = struct.Struct("<8s8sIII")
"""Format, first bytes of the key, fields, height, width; then fields + 1 positions in the file, of 8 bytes each."""


def interval_of(model: ModelConfig) -> int:
    """Frames from the one that a field leads from to the one it leads to, in the flow that this network reads."""
    return model.flow.interval if isinstance(model, RepresentationFields) else 1


def flow_key(split: Split, interval: int = 1) -> str:
    """What the fields of a split depend on, as a sha256: the settings, the quantisation, the interval, the frames."""
    settings = [asdict(NORMAL), asdict(SMALL), SMALL_SIDE, BOUND, ZERO]
    # Interval 1 is not in the key, so that flow which was extracted before there were other intervals stays valid.
    parts = [FORMAT, settings, split.fingerprint, *([] if interval == 1 else [interval])]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def flow_folder(split: Split, interval: int = 1) -> Path:
    """Where the flow of a split lies. Raises ValueError for an interval below 1."""
    if interval < 1:
        raise ValueError(f"the interval of flow is at least 1 frame, got {interval}")
    return (split.folder or split.clips[0].path.parent) / ("flow" if interval == 1 else f"flow_{interval}")


def _fields(clip: Clip, interval: int) -> int:
    return max(0, clip.frames - interval)


def _file(folder: Path, clip: Clip) -> Path:
    return folder / f"{clip.id}.flow"


def _write(path: Path, fields: NDArray[np.uint8], key: str) -> None:
    """Writes (n, H, W, 2) uint8 fields; the file appears under its name only when complete."""
    count, height, width, _ = fields.shape
    planes = np.ascontiguousarray(fields.transpose(0, 3, 1, 2))
    # Lossless, since it costs little: per field of 64 x 80 1.48 kB and 0.03 ms to read. Both planes as JPEG, as usual,
    # take 0.89 kB and 0.02 ms at quality 95, with errors of up to 6 levels (0.94 pixels), and 1.82 kB at quality 100;
    # PNG takes 1.6 to 2 kB and 0.06 ms.
    streams = [zlib.compress(plane.tobytes(), 6) for plane in planes]
    start = HEADER.size + 8 * (count + 1)
    ends = np.cumsum([start, *map(len, streams)]).astype("<u8")
    header = HEADER.pack(FORMAT.encode(), bytes.fromhex(key[:16]), count, height, width)
    with atomic_path(path) as unfinished:
        unfinished.write_bytes(b"".join([header, ends.tobytes(), *streams]))


def _offsets(path: Path, clip: Clip, key: str, interval: int) -> NDArray[np.uint64]:
    """Where the fields of a clip's file begin, and its end. Raises DecodeError if the file is not all of this clip's.

    The streams themselves are not read.
    """
    count = _fields(clip, interval)
    try:
        with path.open("rb") as file:
            head = file.read(HEADER.size)
            offsets = np.frombuffer(file.read(8 * (count + 1)), "<u8")
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise DecodeError(f"{path}: cannot be read ({error.strerror})") from error
    if head != HEADER.pack(FORMAT.encode(), bytes.fromhex(key[:16]), count, clip.height, clip.width):
        raise DecodeError(f"{path}: not the flow of this clip with the present settings")
    if len(offsets) != count + 1 or offsets[-1] != size or np.any(offsets[1:] < offsets[:-1]):
        raise DecodeError(f"{path}: the file is cut short or damaged")
    return offsets


def _read(split: Split, clip: Clip, key: str, interval: int, indices: Sequence[int]) -> NDArray[np.uint8]:
    """Fields of a clip from its file, (n, H, W, 2) uint8. Raises DecodeError for a missing or damaged file."""
    path, found = _file(flow_folder(split, interval), clip), dict[int, NDArray[np.uint8]]()
    try:
        offsets = _offsets(path, clip, key, interval)
        with path.open("rb") as file:
            for i in sorted(set(indices)):
                file.seek(int(offsets[i]))
                planes = np.frombuffer(zlib.decompress(file.read(int(offsets[i + 1] - offsets[i]))), np.uint8)
                found[i] = planes.reshape(2, clip.height, clip.width).transpose(1, 2, 0)
    except (DecodeError, OSError, zlib.error, ValueError) as error:
        reason = str(error) if isinstance(error, DecodeError) else f"{path}: the file is damaged ({error})"
        raise DecodeError(f"{reason}; delete it if it is there, and {_advice(split, interval)}") from error
    return np.stack([found[i] for i in indices])


def _is_complete(path: Path, clip: Clip, key: str, interval: int) -> bool:
    try:
        _offsets(path, clip, key, interval)
    except DecodeError:
        return False
    return True


def _take_over_batch(folder: Path, key: str, clips: Sequence[tuple[Clip, Folders]]) -> dict[str, str]:
    """Writes the flow of some clips from its images; gives what is wrong with those that have none, by id."""
    unreadable = {}
    for clip, folders in clips:
        try:
            if clip.frames < 2:
                raise DecodeError(f"{clip.path}: has {clip.frames} frames that can be read")
            _write(_file(folder, clip), read_flow_images(clip, folders), key)
        except DecodeError as error:
            unreadable[clip.id] = str(error)
    return unreadable


def _extract_batch(folder: Path, key: str, interval: int, clips: Sequence[Clip]) -> dict[str, str]:
    """Extracts some clips; gives what is wrong with those whose video is unreadable, by id."""
    unreadable = {}
    for clip in clips:
        if not clip.frames:
            unreadable[clip.id] = f"{clip.path}: was unreadable when it was indexed"
            continue
        try:
            frames = clip.decode(range(clip.frames))
        except DecodeError as error:
            unreadable[clip.id] = str(error)
            continue
        if frames.shape[1:3] != (clip.height, clip.width):
            unreadable[clip.id] = f"{clip.path}: frames of {frames.shape[1]} x {frames.shape[2]}, the index differs"
            continue
        flow = tvl1(frames, settings_for(clip.height, clip.width), interval)
        _write(_file(folder, clip), quantise(flow), key)
    return unreadable


@dataclass(frozen=True)
class FlowSplit:
    """The flow of a split; `fingerprint` says which, and `unreadable` names the clips whose video cannot be read."""

    split: Split
    key: str
    fingerprint: str
    unreadable: dict[str, str]
    store: FrameStore | None = field(default=None, repr=False)
    interval: int = 1

    def __len__(self) -> int:
        """Number of clips."""
        return len(self.split)

    def fields(self, clip: int) -> int:
        """Number of fields of a clip; 0 for one of no more than `interval` frames."""
        return _fields(self.split.clips[clip], self.interval)

    def read(self, clip: int, indices: Sequence[int] | NDArray[np.int64]) -> NDArray[np.uint8]:
        """Fields of a clip by 0-based number, in the order given, (n, H, W, 2) uint8, from the store or the file.

        Field i leads from frame i to frame i + interval. Raises DataError for a number outside of the clip,
        DecodeError if the clip's file is missing or damaged or its video is unreadable.
        """
        entry, count, wanted = self.split.clips[clip], self.fields(clip), [int(i) for i in indices]
        if not wanted or min(wanted) < 0 or max(wanted) >= count:
            raise DataError(f"clip {entry.id} has {count} flow fields, asked for {wanted}")
        if entry.id in self.unreadable:
            advice = _advice(self.split, self.interval)
            raise DecodeError(f"no flow of clip {entry.id}: {self.unreadable[entry.id]}; {advice}")
        if self.store is not None:
            return self.store.read(clip, wanted)
        return _read(self.split, entry, self.key, self.interval, wanted)


def _advice(split: Split, interval: int) -> str:
    return f"run: python -m benchmark data flow {split.name}{'' if interval == 1 else f' --interval {interval}'}"


def _named(split: Split, interval: int) -> str:
    return f"{flow_folder(split, interval).name} {split.name}/{split.split}"


def _recorded(split: Split, interval: int) -> dict[str, object] | None:
    """The manifest of a split's flow, or None if there is none for these frames and these settings."""
    try:
        manifest: dict[str, object] = json.loads((flow_folder(split, interval) / MANIFEST).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return manifest if manifest.get("key") == flow_key(split, interval) else None


def open_flow(split: Split, interval: int = 1) -> FlowSplit:
    """Opens the extracted flow of a split, from each frame to the one `interval` frames later.

    Raises:
        DataError: It is not there; the message says which command to run.
        ValueError: The interval is below 1.
    """
    folder, manifest = flow_folder(split, interval), _recorded(split, interval)
    if manifest is None:
        stale = (folder / MANIFEST).is_file()
        what = "was extracted from other frames or with other settings" if stale else "has not been extracted"
        over = "" if interval == 1 else f" over {interval} frames"
        raise DataError(f"the flow{over} of {split.name}/{split.split} {what}; {_advice(split, interval)}")
    fingerprint, unreadable = str(manifest["fingerprint"]), manifest["unreadable"]
    assert isinstance(unreadable, dict)
    store = open_store(folder, fingerprint)
    return FlowSplit(split, flow_key(split, interval), fingerprint, unreadable, store, interval)


def extract_flow(
    split: Split,
    workers: int | None = None,
    progress: Progress | None = None,
    store: bool = True,
    interval: int = 1,
    images: FlowImages | None = None,
) -> FlowSplit:
    """Extracts what is missing of a split's flow and gathers it, if it is small, into a memory-mapped store.

    Complete files are kept, so an interrupted call continues where it stopped. A clip whose video is unreadable is
    recorded as such, and tried again by the next call. `workers` processes extract (default: the usable cores).
    With `images` every clip's flow is theirs, whatever there was before.

    Raises:
        DataError: OpenCV or its contributed modules are missing, or no clip is longer than `interval` frames.
        ValueError: The interval is below 1.
    """
    folder, key = flow_folder(split, interval), flow_key(split, interval)
    fields = [_fields(clip, interval) for clip in split.clips]
    if not any(fields):
        longest = max(clip.frames for clip in split.clips)
        raise DataError(
            f"no clip of {split.name}/{split.split} has flow over {interval} frames: the longest has {longest} frames"
        )
    folder.mkdir(exist_ok=True)
    missing = [clip for clip in split.clips if images or not _is_complete(_file(folder, clip), clip, key, interval)]
    if images is not None:
        (folder / MANIFEST).unlink(missing_ok=True)
    recorded = _recorded(split, interval)
    if recorded is None or missing:
        batches: Iterable[tuple[Sequence[object], dict[str, str]]]
        if images is None:
            batches = by_batches(partial(_extract_batch, folder, key, interval), missing, BATCH, workers)
        else:
            pairs = [(clip, images.of(clip)) for clip in missing]
            batches = by_batches(partial(_take_over_batch, folder, key), pairs, BATCH, workers)
        unreadable = _extract_missing(split, missing, batches, interval, progress)
        if recorded is None or recorded["unreadable"] != unreadable:
            _write_manifest(split, key, interval, unreadable, images)
    opened = open_flow(split, interval)
    sizes = {(clip.height, clip.width) for clip in split.clips}
    if store and opened.store is None and len(sizes) == 1:
        height, width = sizes.pop()
        if sum(fields) * height * width * 2 <= STORE_LIMIT:
            clips = {_file(folder, clip): clip for clip in split.clips}

            def read(path: Path, indices: Sequence[int], height: int, width: int) -> NDArray[np.uint8]:
                if clips[path].id in opened.unreadable or not indices:
                    return np.full((len(indices), height, width, 2), ZERO, np.uint8)
                return _read(split, clips[path], key, interval, indices)

            told = None if progress is None else partial(progress, f"store {_named(split, interval)}")
            build_store(folder, opened.fingerprint, list(clips), fields, height, width, told, channels=2, read=read)
            opened = open_flow(split, interval)
    return opened


def _extract_missing(
    split: Split,
    missing: Sequence[Clip],
    batches: Iterable[tuple[Sequence[object], dict[str, str]]],
    interval: int,
    progress: Progress | None,
) -> dict[str, str]:
    """Extracts clips; gives what is wrong with those whose video is unreadable, by id, in the order of the split."""
    total = len(split.clips)
    found: dict[str, str] = {}
    done = total - len(missing)
    for batch, unreadable in batches:
        done += len(batch)
        found.update(unreadable)
        if progress is not None:
            progress(_named(split, interval), done, total)
    return {clip.id: found[clip.id] for clip in missing if clip.id in found}


def _write_manifest(
    split: Split, key: str, interval: int, unreadable: dict[str, str], images: FlowImages | None
) -> None:
    """Writes `flow.json`. Its fingerprint covers the key and fields of clips that are spread over the split."""
    digest = hashlib.sha256(json.dumps([key, list(unreadable)]).encode())
    for i in sampled(len(split.clips)):
        clip = split.clips[i]
        if clip.id not in unreadable and clip.frames > interval:
            last = clip.frames - interval - 1
            digest.update(_read(split, clip, key, interval, [0, last // 2, last]).tobytes())
    manifest: dict[str, object] = {
        "key": key,
        "fingerprint": digest.hexdigest(),
        "clips": len(split.clips),
        "unreadable": unreadable,
        "settings": {"normal": asdict(NORMAL), "small": asdict(SMALL), "small_side": SMALL_SIDE, "bound": BOUND},
    }
    if interval != 1:
        manifest["interval"] = interval
    if images is not None:
        manifest["images"] = str(images.root.resolve())
    with atomic_path(flow_folder(split, interval) / MANIFEST) as path:
        path.write_text(json.dumps(manifest, indent=1))
