"""Which packets of a video file have to be decoded for the wanted frames, and decoding these.

All packets are read once, for their times, and kept. Left out, without another pixel in the result, are frames that no
other refers to; everything after the last wanted frame; and, where keyframes are close together, whole groups of
pictures without a wanted frame.

Choices:
- A file is entered at a keyframe only if nothing that follows it in the file is shown before it (a closed group), and
  in codecs whose keyframes are fresh starts. Seeking in the file is not used: reading all packets of a clip takes half
  a millisecond, and containers differ in where a seek leads.
- Frames come in the order of their presentation times, where the container has such times, and else as decoded.
- What a number means depends on the file alone, never on which others are asked for. Packets that give no picture have
  none (not_shown.py); where that cannot be told from their bits, what comes out is counted from the first.
- A frame that the decoder calls corrupt, or of which the file has a part only, counts as missing.
- Containers may call any packet a keyframe (MP4 without a table of them calls all so). What comes out after an entry
  says whether it was one; if not, everything is decoded.
- Decoders that are no part of FFmpeg (AV1's) are not told to leave frames out: they listen only when they are opened.
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
"""Codecs in which a keyframe that no earlier-shown frame follows is a fresh start."""


class FalseKeyframeError(Exception):
    """What followed an entry into the stream began with no keyframe."""


@dataclass
class Scan:
    """Packets of a stream in the order of decoding.

    `places`: each packet's frame by its rank in presentation order, None for packets that are not shown; empty if a
    frame carries no time, two carry the same, all are made up (AVI with B-frames), or packets do not say what they
    show: then frames can only be counted.
    `rank`: the same from the presentation time. `starts`: packets from which decoding can begin. `corrupt`: frames of
    which the container has a part only. `packets`: the packets themselves, unless the file is large.
    """

    frames: int
    packets: list[av.Packet] | None
    rank: dict[int, int] = field(default_factory=dict)
    places: list[int | None] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    corrupt: set[int] = field(default_factory=set)


class Patience:
    """Ends the reading of a file that gives nothing for some time. It is asked between packets.

    FFmpeg's own timeout ends waiting for a file. One packet that a decoder never finishes ends with the loader's
    watchdog only.
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
        """Something has come out of the file, in time."""
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
    rank = {moment: place for place, moment in enumerate(moments)}
    places = [
        rank[moment] if is_shown and moment is not None else None for moment, is_shown in zip(times, shown, strict=True)
    ]
    starts = _starts(times, keys) if stream.codec_context.name in CLOSED_AT_KEYFRAMES else []
    damaged = {place for index in corrupt if (place := places[index]) is not None}
    return Scan(len(moments), packets, rank, places, starts, damaged)


def _made_up(container: av.container.InputContainer, stream: av.video.stream.VideoStream) -> bool:
    """Whether times are those of decoding, as in AVI, which stores none.

    FFmpeg then counts packets: wrong for H.264 with B-frames, and for the packed B-frames of XviD and DivX.
    """
    return "avi" in container.format.name and bool(stream.codec_context.has_b_frames)


def _starts(times: list[int | None], keys: list[int]) -> list[int]:
    """Of the keyframes those that no packet up to the next one precedes in time.

    After the others come B-frames that refer to the group before.
    """
    starts = []
    for key, following in zip(keys, [*keys[1:], len(times)], strict=False):  # a stream may have no keyframe at all
        begin = times[key]
        if begin is not None and all(moment is not None and moment >= begin for moment in times[key:following]):
            starts.append(key)
    return starts


def _needed(scan: Scan, wanted: set[int]) -> list[bool]:
    """Which packets have to be decoded for the wanted frames: from the latest start to the frame's own packet."""
    needed = [False] * len(scan.places)
    starts = iter([*scan.starts, len(scan.places)])
    start, following, done = 0, next(starts), 0
    for index, place in enumerate(scan.places):
        if index == following:
            start, following = index, next(starts)
        if place in wanted:
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
    """Frames in order of presentation, by default all of them.

    With `scan` and `wanted` at least those, up to the last of them; with `needed` from these packets alone.
    """
    places: Sequence[int | None] | None = None if scan is None or wanted is None else scan.places
    last = None
    if places is not None and wanted is not None:
        last = max(index for index, place in enumerate(places) if place in wanted)
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
        if skips and places is not None and wanted is not None:
            # Only a frame that no other frame refers to may be left undecoded.
            context.skip_frame = "DEFAULT" if places[index] in wanted else "NONREF"
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
    if not scan.rank:
        for index, frame in enumerate(decoded(context, packets_again(container, stream, scan), patience)):
            patience.progress()
            if index in missing and not frame.is_corrupt:
                missing.discard(index)
                yield index, frame
            if not missing:
                return
        return
    needed = _needed(scan, wanted)
    # A writer may call a keyframe what is none. Then frames are missing after a gap, or it is noticed: all are decoded.
    for plan in (None,) if all(needed) else (needed, None):
        with contextlib.suppress(FalseKeyframeError):
            for frame in decoded(context, packets_again(container, stream, scan), patience, scan, missing, plan):
                patience.progress()
                place = None if frame.pts is None else scan.rank.get(frame.pts)
                if place in missing and place not in scan.corrupt and not frame.is_corrupt:
                    missing.discard(place)
                    yield place, frame
                if not missing:
                    return
        context.flush_buffers()
