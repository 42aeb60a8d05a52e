"""Whether a video file is as long as its container says: FFmpeg plays what is left of a cut one as if it were whole.

Two signs, neither of which needs decoding:

- bytes: the outermost elements of Matroska and WebM, of MP4 and MOV, and of AVI give their sizes, and these reach past
  the end of the file;
- time: the packets end well before the duration that the container declares, as where the tail is all zeros.

A third is what FFmpeg's readers of containers say of them (`complaints`): PyAV keeps it from everybody unless asked.

Choices:
- What follows the last element that is understood is not counted: bytes that were appended are no damage.
- Sizes that say nothing (a live recording's, an AVI's of 0 or 2^32 - 1) are no sign, and other containers have none.
- An early end is one by more than LATEST seconds and TOLERANCE of the duration, over all streams: sound may go on after
  the pictures, and rounded durations are a frame or two too long.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import av

from benchmark.data.decode.packets import DEFAULT_SECONDS

LATEST, TOLERANCE = 0.5, 0.02
_BOXES = frozenset(b"ftyp styp moov moof mdat mfra meta free skip wide uuid udta sidx ssix prft emsg pdin".split())
_EBML, _SEGMENT = 0x1A45DFA3, 0x18538067
_ELEMENTS = frozenset((_EBML, _SEGMENT, 0xEC, 0xBF)) | {
    # Of a segment: seek head, info, tracks, cluster, cues, attachments, chapters, tags.
    *(0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1F43B675, 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367)
}


def missing_bytes(path: Path) -> int:
    """How many bytes more than the file has its container says that there are; 0 where it does not say."""
    with path.open("rb") as file:
        head, size = file.read(12), os.fstat(file.fileno()).st_size
        if head[:4] == _EBML.to_bytes(4, "big"):
            ends = _matroska(file, size)
        elif head[4:8] in _BOXES:
            ends = _boxes(file, size)
        elif head[:4] == b"RIFF" and head[8:] == b"AVI ":
            ends = _riff(file, size)
        else:
            return 0
        return max([end - size for end in ends], default=0) if size else 0


def _matroska(file: BinaryIO, size: int) -> Iterator[int]:
    """Ends of the segment or, where a recorder left its size open, of the elements in it; no less than 0 past the file.

    An element is an identifier, a size and its content. The first byte of either number has its length in bytes: that
    of the identifier is kept in it, that of the size is not; a size of ones only is unknown.
    """
    at, inside = 0, False
    while at < size:
        file.seek(at)
        head = file.read(12)
        length = 9 - head[0].bit_length()
        if length > 4 or len(head) <= length:
            return
        name, first = int.from_bytes(head[:length], "big"), head[length]
        width = 9 - first.bit_length()
        if width > 8 or len(head) < length + width:
            return
        content = int.from_bytes(head[length : length + width], "big") & ((1 << 7 * width) - 1)
        at += length + width
        if content == (1 << 7 * width) - 1:
            if name != _SEGMENT or inside:
                return
            inside = True
            continue
        at += content
        if name not in _ELEMENTS:
            return
        if name != _EBML:
            yield at
        if name == _SEGMENT:
            return


def _boxes(file: BinaryIO, size: int) -> Iterator[int]:
    """Ends of the top-level boxes: a size in four bytes, a name in four, and where the size is 1 another in eight."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        head = file.read(16)
        length, name = int.from_bytes(head[:4], "big"), head[4:8]
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length < 8 or name not in _BOXES:
            return
        at += length
        yield at


def _riff(file: BinaryIO, size: int) -> Iterator[int]:
    """Ends of the RIFF chunks: an AVI, and its continuations where it is larger than a gigabyte."""
    at = 0
    while at + 12 <= size:
        file.seek(at)
        head = file.read(12)
        length = int.from_bytes(head[4:8], "little")
        if head[:4] != b"RIFF" or head[8:] not in (b"AVI ", b"AVIX") or length in (0, 2**32 - 1):
            return
        at += 8 + length
        yield at
        at += length % 2  # a byte of padding, which not every writer adds at the end


DEMUXERS = frozenset(
    ("matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2", "avi", "asf", "flv", "ogg", "mpeg", "mpegts", "mpegvideo")
)
"""Names under which FFmpeg's readers of containers log."""


@contextmanager
def complaints() -> Iterator[list[str]]:
    """Errors that FFmpeg's readers of containers report in the block; filled when it ends, the same ones every time.

    Decoders are left out: they also complain of what they can deal with, such as the beginning of a clip that was cut
    out of another. Other threads' messages are not among them.
    """
    said: list[str] = []
    level, skips = av.logging.get_level(), av.logging.get_skip_repeated()
    # Without a level PyAV captures nothing, and what it was told for one file it leaves out for the next.
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)
    try:
        with av.logging.Capture() as messages:
            yield said
    finally:
        av.logging.set_level(level)
        av.logging.set_skip_repeated(skips)
        said += [text.strip() for grade, name, text in messages if grade <= av.logging.ERROR and name in DEMUXERS]


def missing_seconds(path: Path) -> float:
    """How much earlier than it should a file's last packet ends; 0 where the difference is none to speak of.

    Raises:
        av.error.FFmpegError: The file cannot be opened.
    """
    with av.open(str(path.absolute()), timeout=(DEFAULT_SECONDS, DEFAULT_SECONDS)) as container:
        # Where no duration is stored, FFmpeg estimates one, or has none.
        if not container.duration or "mpeg" in container.format.name:
            return 0.0
        last = 0.0
        for packet in container.demux():
            if packet.size and packet.pts is not None and packet.time_base:
                last = max(last, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        start = (container.start_time or 0) / av.time_base
        early = container.duration / av.time_base + start - last
        return early if early > max(LATEST, TOLERANCE * container.duration / av.time_base) else 0.0
