"""Reads frames of videos by their number, from files (PyAV) or folders of images (frame_folder.py).

Files are decoded in order, only as far as the wanted frames need it (packets.py), and only these are converted to RGB.
A frame's index is its rank by presentation time among the frames that the container says to show. Pixels are taken as
square, since networks are trained on the stored shape. `tools/compare_decoders.py` measures it against other readers.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from benchmark.data.decode.frame_folder import Frames as Frames
from benchmark.data.decode.frame_folder import folder_size, read_folder
from benchmark.data.decode.packets import (
    KEPT_BYTES,
    Patience,
    decoded,
    packets_again,
    scan_packets,
    wanted_frames,
)
from benchmark.data.errors import DecodeError

_NOT_ITS_CONTENT = (errno.EACCES, errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT)
_OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE)
"""FFmpeg's ENOMEM is not among them: a damaged file asks for gigabytes. Python's own MemoryError is none of these."""


@dataclass(frozen=True)
class VideoInfo:
    """Size of a video as `read_frames` gives it: number of frames, height and width in pixels, frames per second.

    `fps` (mean over the video) and `seconds` (length) are 0 if the file does not say, as for folders of images.
    """

    frames: int
    height: int
    width: int
    fps: float
    seconds: float = 0.0


@contextmanager
def _opened(
    path: Path, patience: Patience
) -> Iterator[tuple[av.container.InputContainer, av.video.stream.VideoStream]]:
    """The container and its video stream; whatever goes wrong becomes a DecodeError that names the file."""
    try:
        # An absolute path: of a relative one with a colon FFmpeg would take the beginning for a protocol.
        with av.open(str(path.absolute()), timeout=(patience.seconds, patience.seconds)) as container:
            # Cover art is no video.
            pictures = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
            stream = next((s for s in container.streams.video if not s.disposition & pictures), None)
            if stream is None:
                raise DecodeError(f"{path}: no video stream in this file; copy it again")
            if stream.codec_context is None:
                raise DecodeError(f"{path}: this build of PyAV has no decoder for its video; convert the file")
            # One thread a worker process uses a machine's cores better than threads inside the decoder.
            stream.codec_context.thread_type = "NONE"
            stream.codec_context.thread_count = 1
            yield container, stream
    except av.error.ExitError as error:
        raise patience.error() from error
    except (IndexError, OverflowError) as error:  # PyAV meets what it does not expect of a damaged file
        raise DecodeError(f"{path}: cannot be decoded (damaged data); copy it again") from error
    except (av.error.FFmpegError, OSError, UnicodeDecodeError) as error:
        number = getattr(error, "errno", None)
        # Not this file's fault, and every later file would fail, too.
        if number in _OUT_OF_RESOURCES:
            raise
        if number in _NOT_ITS_CONTENT and not _can_be_read(path):
            reason = f"cannot be read ({os.strerror(number)}); check its permissions and the disk"
            raise DecodeError(f"{path}: {reason}") from error
        reason = "damaged data" if number == errno.EPERM else str(error)  # what FFmpeg's decoders mean by -1
        raise DecodeError(f"{path}: cannot be decoded ({reason}); copy it again") from error


def _can_be_read(path: Path) -> bool:
    """Whether the bytes of a file are there: FFmpeg also calls it an input error where there are too few."""
    try:
        with path.open("rb") as file:
            while file.read(2**20):
                pass
    except OSError:
        return False
    return True


def _is_folder(path: Path) -> bool:
    """Whether a path is a folder. Raises DecodeError for what is neither a folder nor a file with something in it."""
    try:
        found = path.stat()
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise DecodeError(f"{path}: no such file; prepare the data set again, or copy the file there") from error
        raise DecodeError(f"{path}: cannot be opened ({error.strerror}); check its permissions and the disk") from error
    if stat.S_ISDIR(found.st_mode):
        return True
    if not stat.S_ISREG(found.st_mode):
        raise DecodeError(f"{path}: no such file, but a device or a pipe; prepare the data set again")
    if not found.st_size:
        raise DecodeError(f"{path}: the file is empty (an interrupted copy?); copy it again")
    return False


def _turn(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """How to turn a frame upright, as phones ask for: swap rows and columns, reverse the rows, reverse the columns.

    The display matrix (a b u; c d v; x y w) shows the pixel of column p and row q at column a p + c q, row b p + d q.
    Angles between the multiples of 90 degrees are left as they are.
    """
    side_data: Any = frame.side_data.get("DISPLAYMATRIX")
    if side_data is None:
        return False, False, False
    a, b, _, c, d = np.frombuffer(bytes(side_data), np.int32)[:5].tolist()
    if min(abs(a), abs(d)) > 16 * max(abs(b), abs(c)):
        return False, d < 0, a < 0
    if min(abs(b), abs(c)) > 16 * max(abs(a), abs(d)):
        return True, b < 0, c < 0
    return False, False, False


def probe(path: str | Path, any_first: bool = False) -> VideoInfo:
    """The number of frames of a video, and its upright size, which is that of the first frame.

    Frames are counted by their packets; only those of a stream without times have to be decoded. Raises DecodeError, of
    a folder of images, too, whose numbers begin later than with 1, unless `any_first`.
    """
    path = Path(path)
    if _is_folder(path):
        return VideoInfo(*folder_size(path, any_first), fps=0.0)
    patience = Patience(path, None)
    with _opened(path, patience) as (container, stream):
        scan = scan_packets(container, stream, path.stat().st_size <= KEPT_BYTES, patience)
        count, first = scan.frames, None
        frames = decoded(stream.codec_context, packets_again(container, stream, scan), patience)
        if scan.frame_at:
            first = next(frames, None)
        else:
            count = 0
            for frame in frames:
                patience.progress()
                first = first or frame
                count += 1
        if not count or first is None:
            raise DecodeError(f"{path}: the video stream has no frames that can be decoded; replace the file")
        height, width = first.height, first.width
        if _turn(first)[0]:
            height, width = width, height
        rate = stream.average_rate or stream.guessed_rate
        fps = float(rate) if rate else 0.0
        return VideoInfo(count, height, width, fps, _seconds(container, stream) or (count / fps if fps else 0.0))


def _seconds(container: av.container.InputContainer, stream: av.video.stream.VideoStream) -> float:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else 0.0


def read_frames(
    path: str | Path,
    indices: Sequence[int] | NDArray[np.int64],
    height: int | None = None,
    width: int | None = None,
    seconds: float | None = None,
    *,
    sizes: dict[int, tuple[int, int]] | None = None,
) -> Frames:
    """Decodes frames of a video, (n, H, W, 3) uint8 RGB.

    Args:
        path: A file, or a folder of images.
        indices: 0-based, in the order in which they are returned; repeats are allowed.
        height: To scale to, bilinearly; with `width`.
        width: To scale to.
        seconds: How long nothing may come out of a file; default: BENCHMARK_DECODE_SECONDS, or 60.
        sizes: Filled with the upright height and width in which each frame of a video file is stored, by index.

    Raises:
        DecodeError: The file cannot be read, takes too long, or ends before an index.
        ValueError: An index is negative, or only one of height and width is given.
    """
    path = Path(path)
    order = [int(index) for index in indices]
    if not order or min(order) < 0:
        raise ValueError(f"indices must be non-negative and at least one, got {order}")
    if (height is None) != (width is None):
        raise ValueError("give both height and width, or neither")
    if _is_folder(path):
        return read_folder(path, order, height, width)
    patience = Patience(path, seconds)
    with _opened(path, patience) as (container, stream):
        scan = scan_packets(container, stream, path.stat().st_size <= KEPT_BYTES, patience)
        if scan.frame_at and max(order) >= scan.frames:
            raise DecodeError(
                f"{path}: frame {max(order)} asked for (counting from 0), the file has {scan.frames} frames"
            )
        stored = stream.codec_context.height, stream.codec_context.width
        frames = wanted_frames(container, stream, scan, set(order), patience)
        found = _converted(path, frames, stored, height, width, {} if sizes is None else sizes)
    missing = sorted(set(order) - found.keys())
    if missing:
        raise DecodeError(
            f"{path}: frames {missing} (counting from 0) could not be decoded; "
            "the file is cut short or damaged, copy it again"
        )
    return np.stack([found[index] for index in order])


def _converted(
    path: Path,
    frames: Iterable[tuple[int, av.VideoFrame]],
    stored: tuple[int, int],
    height: int | None,
    width: int | None,
    sizes: dict[int, tuple[int, int]],
) -> dict[int, Frames]:
    """Upright RGB of the wanted frames, all of the size asked for or of the video's first one's.

    Args:
        path: Of the video.
        frames: The wanted ones.
        stored: Height and width as the file's headers say.
        height: Wanted, or None.
        width: Wanted, or None.
        sizes: Given the size of each.
    """
    found: dict[int, Frames] = {}
    reformatter = VideoReformatter()
    for index, frame in frames:
        swap, upside_down, mirrored = _turn(frame)
        sizes[index] = (frame.width, frame.height) if swap else (frame.height, frame.width)
        if height is None or width is None:
            # All frames get the size of the video's first one, whichever are asked for.
            if (frame.height, frame.width) == stored:
                height, width = sizes[index]
            else:  # a header that is wrong, or a stream that changes its size midway
                first = probe(path)
                height, width = first.height, first.width
        rows, columns = (width, height) if swap else (height, width)
        rgb = reformatter.reformat(frame, columns, rows, "rgb24", interpolation="BILINEAR", threads=1)
        plane: Any = rgb.planes[0]  # seen in place: stacking the frames copies them anyway
        lines = np.frombuffer(plane, np.uint8).reshape(rgb.height, plane.line_size)
        pixels = lines[:, : 3 * rgb.width].reshape(rgb.height, rgb.width, 3)
        if swap:
            pixels = pixels.swapaxes(0, 1)
        found[index] = pixels[:: -1 if upside_down else 1, :: -1 if mirrored else 1]
    return found
