"""Packets that give no picture, told by the first bits of their own: frames are numbered without them.

- MPEG-4: a picture "not coded" (`vop_coded` = 0), as DivX and XviD write where nothing changed or where a recorder
  dropped a frame, and their packet of the one byte 7F, which not every decoder takes. FFmpeg, OpenCV and the frames
  that TSN's tools extract leave it out, and so do the lists that were made of them.
- VP8 and VP9: a frame that is only referred to, in a packet of its own.

FFmpeg may show the picture before a packet "not coded" a second time where decoding ends just there. Numbers that
depended on what comes out of the decoder would then mean one picture or another.
"""

from __future__ import annotations

from collections.abc import Callable

VOP, PREFIX = b"\0\0\1\xb6", b"\0\0\1"
DROPPED = b"\x7f"


class UncountedError(Exception):
    """What a packet shows cannot be told from its bits: the pictures of the file have to be counted by decoding."""


class _Bits:
    """Bits from the first of a string of bytes on."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def take(self, count: int) -> int:
        """The next bits as a number. Raises UncountedError past the end."""
        if count > self._left:
            raise UncountedError
        self._left -= count
        return self._value >> self._left & ((1 << count) - 1)


class _Mpeg4:
    """ISO/IEC 14496-2, 6.2.3 (layer) and 6.2.5 (picture)."""

    def __init__(self, header: bytes) -> None:
        self._time_bits = _time_bits(header)

    def __call__(self, data: bytes) -> bool:
        at = data.find(VOP)
        if at < 0:
            return data == DROPPED
        self._time_bits = _time_bits(data[:at]) or self._time_bits
        # Two in a packet, as DivX packs B-frames: then a picture "not coded" only fills a place.
        if data.find(VOP, at + len(VOP)) >= 0 or self._time_bits is None:
            raise UncountedError
        return _is_not_coded(data[at + len(VOP) : at + 64], self._time_bits)


def _is_not_coded(picture: bytes, time_bits: int) -> bool:
    """Of the header of a picture; of a damaged one it is not said."""
    bits = _Bits(picture)
    try:
        bits.take(2)
        while bits.take(1):  # whole seconds since the last picture
            pass
        first, _, second = bits.take(1), bits.take(time_bits), bits.take(1)
        return bool(first and second and not bits.take(1))
    except UncountedError:
        return False


def _time_bits(header: bytes) -> int | None:
    """How many bits a picture's time has, from the header of its layer; None where that is not there."""
    at = header.find(PREFIX)
    while at >= 0 and not (at + 3 < len(header) and 0x20 <= header[at + 3] <= 0x2F):
        at = header.find(PREFIX, at + 1)
    if at < 0:
        return None
    bits = _Bits(header[at + 4 : at + 40])
    bits.take(1 + 8)
    version = 1
    if bits.take(1):
        version = bits.take(4)
        bits.take(3)
    if bits.take(4) == 15:  # the shape of a pixel, written out
        bits.take(16)
    if bits.take(1):
        bits.take(2 + 1)
        if bits.take(1):
            bits.take(79)  # sizes and rates of a buffer
    if bits.take(2) == 3 and version != 1:
        bits.take(4)
    bits.take(1)
    return max((bits.take(16) - 1).bit_length(), 1)


def _vp8(data: bytes) -> bool:
    """RFC 6386, 9.1: the fifth bit from the lowest is show_frame."""
    return not data[0] >> 4 & 1


def _vp9(data: bytes) -> bool:
    """VP9 bitstream specification, 6.2: show_existing_frame, then frame_type, then show_frame."""
    last = data[-1]
    if last >> 5 == 0b110:  # several frames, of which the last is shown, and then their sizes between equal bytes
        sizes = ((last & 7) + 1) * ((last >> 3 & 3) + 1)
        if len(data) > sizes + 2 and data[-2 - sizes] == last:
            return False
    bits = _Bits(data[:2])
    bits.take(2)
    profile = bits.take(1) + 2 * bits.take(1)
    if profile == 3:
        bits.take(1)
    if bits.take(1):
        return False
    bits.take(1)
    return not bits.take(1)


def shows_nothing(codec: str, header: bytes | None) -> Callable[[bytes], bool] | None:
    """For a codec whose packets may give no picture: whether one gives none. It raises UncountedError.

    It is to be asked of all packets in order. `header` is what the container has of the stream's headers.
    """
    if codec == "mpeg4":
        return _Mpeg4(header or b"")
    return {"vp8": _vp8, "vp9": _vp9}.get(codec)
