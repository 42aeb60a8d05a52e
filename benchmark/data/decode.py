"""Reading frames of video files with PyAV: sequential, one thread, and only the wanted frames are converted to RGB.

Seeking to each segment costs more than decoding through for clips of a few seconds, and one thread per worker process
uses a machine's cores better than threads inside the decoder. A frame's index is its rank by presentation time among
the frames that the container says to show.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from benchmark.data.errors import DecodeError

Frames = NDArray[np.uint8]


@dataclass(frozen=True)
class VideoInfo:
    """Size of a video: number of frames, height and width in pixels, frames per second (0 if the file does not say)."""

    frames: int
    height: int
    width: int
    fps: float


@contextmanager
def _opened(path: Path) -> Iterator[tuple[av.container.InputContainer, av.video.stream.VideoStream]]:
    """The container and its first video stream; whatever goes wrong becomes a DecodeError that names the file."""
    if not path.is_file():
        raise DecodeError(f"{path}: no such file; prepare the data set again, or copy the file there")
    if path.stat().st_size == 0:
        raise DecodeError(f"{path}: the file is empty (an interrupted copy?); delete it and prepare or copy it again")
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise DecodeError(f"{path}: no video stream in this file; replace it or remove the clip from the index")
            stream = container.streams.video[0]
            stream.codec_context.thread_type = "NONE"
            stream.codec_context.thread_count = 1
            yield container, stream
    except (av.error.FFmpegError, OSError, UnicodeDecodeError) as error:
        raise DecodeError(
            f"{path}: cannot be decoded ({type(error).__name__}: {error}); delete it and prepare or copy it again"
        ) from error


def _presentation_times(
    container: av.container.InputContainer, stream: av.video.stream.VideoStream
) -> list[int] | None:
    """Presentation times of all shown frames in ascending order, read without decoding.

    None if a frame carries no time (AVI with B-frames) or two carry the same: then a frame's index can only be found
    by counting.
    """
    times: list[int] = []
    for packet in container.demux(stream):
        if packet.size == 0 or packet.is_discard:
            continue
        if packet.pts is None:
            return None
        times.append(packet.pts)
    return sorted(times) if len(set(times)) == len(times) else None


def _indexed_frames(
    container: av.container.InputContainer,
    stream: av.video.stream.VideoStream,
    wanted: set[int],
    times: list[int] | None,
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Decodes in order and yields the wanted frames with their indices."""
    if times is None:
        for index, frame in enumerate(container.decode(stream)):
            if index in wanted:
                yield index, frame
        return
    rank = {time: index for index, time in enumerate(times)}
    for packet in container.demux(stream):
        if packet.size:
            # Only a frame that no other frame refers to may be left undecoded.
            unwanted = packet.pts is None or rank.get(packet.pts) not in wanted
            stream.codec_context.skip_frame = "NONREF" if unwanted else "DEFAULT"
        for frame in packet.decode():
            place = None if frame.pts is None else rank.get(frame.pts)
            if place is not None and place in wanted:
                yield place, frame


def probe(path: str | Path) -> VideoInfo:
    """Counts the frames of a video from its packets, without decoding them. Raises DecodeError."""
    path = Path(path)
    with _opened(path) as (container, stream):
        times = _presentation_times(container, stream)
        if times is None:
            container.seek(0)
            count = sum(1 for _ in container.decode(stream))
        else:
            count = len(times)
        if not count:
            raise DecodeError(f"{path}: the video stream has no frames; replace the file")
        rate = stream.average_rate or stream.guessed_rate
        context = stream.codec_context
        return VideoInfo(count, context.height, context.width, float(rate) if rate else 0.0)


def read_frames(
    path: str | Path, indices: Sequence[int] | NDArray[np.int64], height: int | None = None, width: int | None = None
) -> Frames:
    """Decodes the frames at 0-based `indices`, in the order given; repeats are allowed.

    Returns (n, H, W, 3) uint8 RGB, scaled bilinearly to `height` x `width` if both are given. Raises DecodeError for
    a file that cannot be read and for an index beyond its end, ValueError for a negative index or only one of height
    and width.
    """
    path = Path(path)
    order = [int(index) for index in indices]
    if not order or min(order) < 0:
        raise ValueError(f"indices must be non-negative and at least one, got {order}")
    if (height is None) != (width is None):
        raise ValueError("give both height and width, or neither")
    wanted = set(order)
    found: dict[int, Frames] = {}
    with _opened(path) as (container, stream):
        times = _presentation_times(container, stream)
        if times is not None and max(order) >= len(times):
            raise DecodeError(
                f"{path}: frame {max(order)} asked for (counting from 0), the file has {len(times)} frames"
            )
        container.seek(0)
        reformatter = VideoReformatter()
        for index, frame in _indexed_frames(container, stream, wanted, times):
            rgb = reformatter.reformat(frame, width, height, "rgb24", interpolation="BILINEAR", threads=1)
            found[index] = np.asarray(rgb.to_ndarray(), dtype=np.uint8)
            if len(found) == len(wanted):
                break
    missing = sorted(wanted - found.keys())
    if missing:
        raise DecodeError(
            f"{path}: frames {missing} (counting from 0) could not be decoded; "
            "the file is cut short or damaged, prepare or copy it again"
        )
    return np.stack([found[index] for index in order])
