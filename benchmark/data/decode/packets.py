"""Decides which packets of a video file have to be decoded for the wanted frames, and decodes these.

All packets are read once, for their times, and kept. Three kinds are then not decoded, which changes no pixel of the
result: frames that no other refers to, everything after the last wanted frame, and, where keyframes are close together,
whole groups of pictures without a wanted frame.

A frame's number is its rank by presentation time where the container has such times, and else by the order of decoding.
It depends on the file alone, never on which other frames are asked for.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import av

from benchmark.data.decode.not_shown import DROPPED, UncountedError, shows_nothing
from benchmark.data.errors import DecodeError
from benchmark.data.limits import positive_seconds

DECODE_SECONDS = "BENCHMARK_DECODE_SECONDS"
DEFAULT_SECONDS = 60.0

KEPT_BYTES = 2**28
"""Packets of larger files are read a second time instead of kept in memory."""

CLOSED_AT_KEYFRAMES = frozenset({"h264", "hevc", "vp8", "vp9", "av1", "mpeg4", "mjpeg"})
"""Codecs in which decoding can begin at a keyframe, if no frame after it in the file is shown before it."""


class FalseKeyframeError(Exception):
    """Decoding began at a packet that is no keyframe, although the container calls it one."""


@dataclass
class Scan:
    """Packets of a stream in the order of decoding.

    Attributes:
        frames: How many frames are shown.
        packets: The packets themselves, unless the file is large.
        frame_at: The number of the frame that is shown at a presentation time. Empty where frames can only be counted
            as they come out of the decoder: one carries no time, two carry the same, all times are made up (AVI with
            B-frames), or packets do not say what they show.
        frame_of: The number of each packet's frame, None for packets that show none; empty as `frame_at`.
        starts: Packets from which decoding can begin.
        corrupt: Frames of which the container has a part only.
    """

    frames: int
    packets: list[av.Packet] | None
    frame_at: dict[int, int] = field(default_factory=dict)
    frame_of: list[int | None] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    corrupt: set[int] = field(default_factory=set)


class Patience:
    """A time limit for a file that gives nothing, checked between packets.

    FFmpeg's own timeout ends waiting for a file; only the loader's watchdog ends one call of a decoder.
    """

    def __init__(self, path: Path, seconds: float | None) -> None:
        self.path = path
        self.seconds = positive_seconds(DECODE_SECONDS, DEFAULT_SECONDS) if seconds is None else seconds
        if not self.seconds > 0:
            raise ValueError(f"the time limit must be positive, got {self.seconds} s")
        self._since = time.monotonic()

    def check(self) -> None:
        """Raises DecodeError if the last progress was too long ago."""
        if time.monotonic() - self._since > self.seconds:
            raise self.error()

    def progress(self) -> None:
        """Begins the time anew, since something came out of the file."""
        self.check()
        self._since = time.monotonic()

    def error(self) -> DecodeError:
        """What to raise when time is up."""
        return DecodeError(
            f"{self.path}: nothing could be decoded for {self.seconds:g} s; replace the file, or, if the disk is that"
            f" slow, raise {DECODE_SECONDS}"
        )


def scan_packets(
    container: av.container.InputContainer, stream: av.video.stream.VideoStream, keep: bool, patience: Patience
) -> Scan:
    """Reads all packets without decoding any."""
    # Instead of seeking: reading all packets of a clip takes half a millisecond, and containers differ in where a seek
    # leads.
    kept: list[av.Packet] = []
    times: list[int | None] = []
    shown: list[bool] = []
    keys: list[int] = []
    corrupt: list[int] = []
    nothing, counted = shows_nothing(stream.codec_context.name, stream.codec_context.extradata), False
    for packet in container.demux(stream):
        patience.progress()
        if not packet.size:
            continue
        if packet.is_keyframe:
            keys.append(len(times))
        if packet.is_corrupt:
            corrupt.append(len(times))
        times.append(packet.pts)
        is_shown = not packet.is_discard
        if is_shown and nothing is not None and not counted:
            try:
                is_shown = not nothing(bytes(packet))
            except UncountedError:
                counted = True
        shown.append(is_shown)
        if keep:
            kept.append(packet)
    showing = [moment for moment, is_shown in zip(times, shown, strict=True) if is_shown]
    moments = sorted(moment for moment in showing if moment is not None)
    packets = kept if keep else None
    if counted or len(moments) < len(showing) or len(set(moments)) < len(moments) or _made_up(container, stream):
        return Scan(len(showing), packets)
    frame_at = {moment: number for number, moment in enumerate(moments)}
    frame_of = [
        frame_at[moment] if is_shown and moment is not None else None
        for moment, is_shown in zip(times, shown, strict=True)
    ]
    starts = _starts(times, keys) if stream.codec_context.name in CLOSED_AT_KEYFRAMES else []
    damaged = {number for index in corrupt if (number := frame_of[index]) is not None}
    return Scan(len(moments), packets, frame_at, frame_of, starts, damaged)


def _made_up(container: av.container.InputContainer, stream: av.video.stream.VideoStream) -> bool:
    """Whether times are those of decoding, as in AVI, which stores none.

    FFmpeg then counts packets: wrong for H.264 with B-frames, and for the packed B-frames of XviD and DivX.
    """
    return "avi" in container.format.name and bool(stream.codec_context.has_b_frames)


def _starts(times: list[int | None], keys: list[int]) -> list[int]:
    """The keyframes at which decoding can begin: no packet up to the next one is shown earlier."""
    # After the other keyframes come B-frames that refer to the group before.
    starts = []
    for key, following in zip(keys, [*keys[1:], len(times)], strict=False):  # a stream may have no keyframe at all
        begin = times[key]
        if begin is not None and all(moment is not None and moment >= begin for moment in times[key:following]):
            starts.append(key)
    return starts


def _needed(scan: Scan, wanted: set[int]) -> list[bool]:
    """Which packets have to be decoded for the wanted frames: from the latest start to the frame's own packet."""
    needed = [False] * len(scan.frame_of)
    starts = iter([*scan.starts, len(scan.frame_of)])
    start, following, done = 0, next(starts), 0
    for index, frame in enumerate(scan.frame_of):
        if index == following:
            start, following = index, next(starts)
        if frame in wanted:
            first = max(start, done)
            needed[first : index + 1] = [True] * (index + 1 - first)
            done = index + 1
    return needed


def decoded(
    context: av.video.codeccontext.VideoCodecContext,
    packets: Iterable[av.Packet],
    patience: Patience,
    scan: Scan | None = None,
    wanted: set[int] | None = None,
    needed: list[bool] | None = None,
) -> Iterator[av.VideoFrame]:
    """Frames in order of presentation.

    Args:
        context: The decoder.
        packets: Of the stream.
        patience: The time limit.
        scan: Of the packets; with `wanted`.
        wanted: Give at least these frames, up to the last of them; None gives all.
        needed: Decode only these packets; None decodes all.

    Raises:
        FalseKeyframeError: With `needed`, where decoding began at a packet that is no keyframe.
    """
    frame_of: Sequence[int | None] | None = None if scan is None or wanted is None else scan.frame_of
    last = None
    if frame_of is not None and wanted is not None:
        last = max(index for index, frame in enumerate(frame_of) if frame in wanted)
    # Decoders that are no part of FFmpeg (AV1's) can be told to leave frames out only when they are opened.
    skips = not context.codec.name.startswith("lib")
    started = gap = False
    entered = needed is not None and not needed[0]
    for index, packet in enumerate(packets):
        patience.check()
        if needed is not None and not needed[index]:
            gap = started
            continue
        if gap:
            # Frames that wait for their turn come out first; then the decoder forgets what precedes the gap.
            yield from context.decode(None)
            context.flush_buffers()
            gap, entered = False, True
        started = True
        if packet.size == len(DROPPED) and context.name == "mpeg4" and bytes(packet) == DROPPED:
            continue
        if skips and frame_of is not None and wanted is not None:
            # Only a frame that no other frame refers to may be left undecoded.
            context.skip_frame = "DEFAULT" if frame_of[index] in wanted else "NONREF"
        for frame in context.decode(packet):
            if entered and not frame.key_frame:
                raise FalseKeyframeError
            entered = False
            yield frame
        if index == last:
            break
    yield from context.decode(None)


def packets_again(
    container: av.container.InputContainer, stream: av.video.stream.VideoStream, scan: Scan
) -> Iterable[av.Packet]:
    """The packets of a scan again, those that it kept or from the file."""
    if scan.packets is not None:
        return scan.packets
    container.seek(0)
    return (packet for packet in container.demux(stream) if packet.size)


def wanted_frames(
    container: av.container.InputContainer,
    stream: av.video.stream.VideoStream,
    scan: Scan,
    wanted: set[int],
    patience: Patience,
) -> Iterator[tuple[int, av.VideoFrame]]:
    """The wanted frames, as far as they can be decoded, with their indices."""
    context = stream.codec_context
    missing = set(wanted)
    if not scan.frame_at:
        for index, frame in enumerate(decoded(context, packets_again(container, stream, scan), patience)):
            patience.progress()
            if index in missing and not frame.is_corrupt:
                missing.discard(index)
                yield index, frame
            if not missing:
                return
        return
    needed = _needed(scan, wanted)
    # A container may call any packet a keyframe (MP4 without a table of them calls all so). Where one was none, frames
    # are missing after it or FalseKeyframeError is raised, and everything is decoded.
    for plan in (None,) if all(needed) else (needed, None):
        with contextlib.suppress(FalseKeyframeError):
            for frame in decoded(context, packets_again(container, stream, scan), patience, scan, missing, plan):
                patience.progress()
                # A frame that is corrupt, or of which the file has a part only, counts as missing.
                number = None if frame.pts is None else scan.frame_at.get(frame.pts)
                if number in missing and number not in scan.corrupt and not frame.is_corrupt:
                    missing.discard(number)
                    yield number, frame
                if not missing:
                    return
        context.flush_buffers()
