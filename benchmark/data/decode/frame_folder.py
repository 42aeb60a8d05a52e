"""Reads videos that are folders of numbered images, as Something-Something V1 is distributed: 00001.jpg, 00002.jpg, ...

The number is the last run of digits before the ending; what precedes it must be one prefix. Numbers run without a gap,
and from 0 or 1 unless what is examined may begin later (`folder_size`). A folder without frames has those of its only
subfolder that has any: `clip/img/`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmark.data.errors import DecodeError

Frames = NDArray[np.uint8]

_NUMBERED = re.compile(r"(.*?)(\d+)\.(jpe?g|png|webp)", re.IGNORECASE)
_FLOW = re.compile(r"(flow|x_|y_|u_|v_)")
_ONLY_FLOW = re.compile(r"((.*[^a-z])?(flow|tvl1)([_-]?[xyuv])?|[xyuv])[_-]?")
"""Prefixes that say flow where there is no other: of `v_YoYo_g01_c01_00001.jpg`, too, the first letter is one."""
_UNREAD = frozenset((".bmp", ".gif", ".tif", ".tiff", ".ppm", ".jp2", ".heic", ".avif", ".npy"))
_ARCHIVES = frozenset((".zip", ".tar", ".rar", ".tgz", ".gz", ".7z"))
# An orientation in EXIF is ignored, as by the readers with which the frames were made and used.
_WHOLE = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
# The names are of grey decoding: each sets the scale alone, and with the colour flag the decoding is in colour.
_REDUCED = {
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8 | _WHOLE,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4 | _WHOLE,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2 | _WHOLE,
}


def list_frames(folder: Path) -> list[str]:
    """Frames of a folder in order, as paths below it. Reads the folder once and no file.

    Raises DecodeError if there are none, if a number between two is missing or is there twice, and for more than one
    series of frames.
    """
    numbers, below = _numbered(folder)
    return [f"{below}{numbers[number]}" for number in sorted(numbers)]


def _numbered(folder: Path) -> tuple[dict[int, str], str]:
    """Names of frames by number, and the subfolder that they are in, `img/`, or "". Raises DecodeError."""
    series: dict[str, dict[int, str]] = {}
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries]
    except OSError as error:
        raise DecodeError(f"{folder}: the folder cannot be listed ({error.strerror})") from error
    for name in names:
        match = None if name.startswith(".") else _NUMBERED.fullmatch(name)
        if match is None:
            continue
        numbers, number = series.setdefault(match[1], {}), int(match[2])
        if number in numbers:
            raise DecodeError(f"{folder}: frame {number} is there twice, {numbers[number]} and {name}; remove one")
        numbers[number] = name
    if not series and (below := _subfolder(folder, names)):
        numbers, further = _numbered(folder / below)
        return numbers, f"{below}/{further}"
    if not series:
        raise DecodeError(
            f"{folder}: no numbered .jpg, .png or .webp files in this folder{_instead(folder, names)};"
            " extract the video again, or give the video file"
        )
    # TSN's layout has optical flow in the folder, too: flow_x_00001.jpg beside img_00001.jpg.
    if len(series) > 1:
        series = {prefix: numbers for prefix, numbers in series.items() if not _FLOW.match(prefix.lower())} or series
    if len(series) > 1:
        raise DecodeError(
            f"{folder}: several series of frames: {', '.join(f'{prefix}*' for prefix in sorted(series))}; leave one"
        )
    prefix, numbers = next(iter(series.items()))
    if _ONLY_FLOW.fullmatch(prefix.lower()):
        raise DecodeError(
            f"{folder}: the frames {prefix}* are optical flow by their name, and there are no others; extract the"
            " video's own frames"
        )
    _check_gaps(folder, numbers)
    return numbers, ""


def _check_first(folder: Path, numbers: Mapping[int, str]) -> None:
    """Raises DecodeError where frames may be lost before the first: all later ones would be shifted."""
    if min(numbers) > 1:
        raise DecodeError(
            f"{folder}: frame 1 is missing: the numbers begin with {min(numbers)} ({numbers[min(numbers)]}) and have no"
            " gap after it; extract the video again, or, if these are all its frames, number them from 1"
        )


def _check_gaps(folder: Path, numbers: Mapping[int, str]) -> None:
    """Raises DecodeError where frames are lost within: all later ones would be shifted."""
    first, last = min(numbers), max(numbers)
    if last - first + 1 != len(numbers):
        missing = next(number for number in range(first, last + 1) if number not in numbers)
        raise DecodeError(
            f"{folder}: frame {missing} is missing ({len(numbers)} of {first} to {last} are there);"
            " extract the video again"
        )


def _subfolder(folder: Path, names: Sequence[str]) -> str:
    """The only subfolder with frames, those of optical flow by their names aside; "" where there is none such."""
    shown = [name for name in names if not name.startswith(".") and not _ONLY_FLOW.fullmatch(name.lower())]
    found = [name for name in shown if _has_frames(folder / name)]
    return found[0] if len(found) == 1 else ""


def _has_frames(folder: Path) -> bool:
    try:
        return folder.is_dir() and any(_NUMBERED.fullmatch(entry.name) for entry in folder.iterdir())
    except OSError:
        return False


def _instead(folder: Path, names: Sequence[str]) -> str:
    """What a folder without frames has that a user may take for them."""
    shown = sorted(name for name in names if not name.startswith("."))
    folders = [name for name in shown if (folder / name).is_dir()]
    with_frames = [name for name in folders if _has_frames(folder / name)]
    if with_frames:
        several = "s" if len(with_frames) > 1 else ""
        return f", but there are in its subfolder{several} {', '.join(with_frames)}: move those that are meant up"
    for name in shown:
        suffix = Path(name).suffix.lower()
        if suffix in _UNREAD:
            return f", but files such as {name}, which are not read: convert them"
        if suffix in _ARCHIVES:
            return f", but an archive, {name}: unpack it"
    return ""


def folder_size(folder: Path, any_first: bool = False) -> tuple[int, int, int]:
    """Number of frames, and height and width of the first, whose header alone is read.

    Raises DecodeError, and where the numbers begin later than with 1 unless `any_first`.
    """
    numbers, below = _numbered(folder)
    if not any_first:
        _check_first(folder / below, numbers)
    path = folder / below / numbers[min(numbers)]
    try:
        with Image.open(path) as image:
            return len(numbers), image.height, image.width
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise _damaged(path, error) from error


def read_folder(folder: Path, indices: Sequence[int], height: int | None = None, width: int | None = None) -> Frames:
    """Frames by their 0-based rank in the series, in the order given, (n, H, W, 3) uint8 RGB.

    They are scaled bilinearly, with antialiasing, to `height` x `width` if given. Raises DecodeError for a folder or an
    image that cannot be read, for an index beyond the end, and for images of different sizes.
    """
    names = list_frames(folder)
    if max(indices) >= len(names):
        raise DecodeError(
            f"{folder}: frame {max(indices)} asked for (counting from 0), the folder has {len(names)} frames"
        )
    found: dict[int, Frames] = {}
    stored: tuple[int, int] | None = None
    for index in sorted(set(indices)):
        path = folder / names[index]
        try:
            found[index], size = _read_image(path, height, width)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, cv2.error) as error:
            raise _damaged(path, error) from error
        stored = stored or size
        if size != stored:
            raise DecodeError(
                f"{path}: {size[1]}x{size[0]} pixels, other frames of the folder {stored[1]}x{stored[0]};"
                " extract the video again"
            )
    return np.stack([found[index] for index in indices])


def _damaged(path: Path, error: Exception) -> DecodeError:
    return DecodeError(f"{path}: this frame cannot be decoded ({error}); extract the video again")


def _read_image(path: Path, height: int | None, width: int | None) -> tuple[Frames, tuple[int, int]]:
    """Pixels, scaled where a size is given, and the height and width in which they are stored."""
    if not path.is_file():
        raise ValueError("not a file")  # reading a pipe would wait for ever
    data = path.read_bytes()
    if not data:
        raise ValueError("the file is empty")
    pixels, box, stored = None, None, None
    # OpenCV is a third faster than Pillow, with the same pixels (both are libjpeg-turbo). But it fills a file that was
    # cut short with grey and says nothing: what has no end marker after the last scan's start goes to Pillow, which
    # refuses it, as it does cut PNGs and WebPs. Inside of the compressed data markers cannot occur.
    if data.startswith(b"\xff\xd8") and data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda"):
        flags = _WHOLE
        if height is not None and width is not None:
            flags, box, stored = _reduced(path, height, width)
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if pixels is None:
        box = None
        with Image.open(path) as image:
            pixels = np.asarray(_eight_bits(image).convert("RGB"))
    stored = stored or (pixels.shape[0], pixels.shape[1])
    if height is not None and width is not None and pixels.shape[:2] != (height, width):
        scaled = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR, box)
        pixels = np.asarray(scaled)
    return np.asarray(pixels, np.uint8), stored


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey images of 16 bits as those of 8, where Pillow would cut all bright values off."""
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image, np.int64) // 256).clip(0, 255).astype(np.uint8))


def _reduced(
    path: Path, height: int, width: int
) -> tuple[int, tuple[float, float, float, float] | None, tuple[int, int]]:
    """Flags with which OpenCV decodes a JPEG at 1, 1/2, 1/4 or 1/8, but no smaller than wanted.

    Also the part of the result that is picture, since a size that is no multiple of the factor is padded, and the
    height and width of the whole.
    """
    # Saves two fifths of the time of 340x256 to 149x112 and moves values by 1.0 of 255 in the mean (at most 23 at
    # edges), as much as readers differ.
    with Image.open(path) as image:
        for factor, flags in _REDUCED.items():
            if image.height >= factor * height and image.width >= factor * width:
                return flags, (0.0, 0.0, image.width / factor, image.height / factor), (image.height, image.width)
        return _WHOLE, None, (image.height, image.width)
