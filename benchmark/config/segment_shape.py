"""What the harness has to know of a representation of the user's own: the frames of a segment, and its images.

Each is the option of that name, or else the default of the constructor's argument, or else the usual value. The
constructor is given those that it has arguments for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmark.config.custom import GIVEN_TO_REPRESENTATIONS, Fault, accepted, faults, literal_defaults

SHAPE = {"frames": 1, "channels": 3, "images": 1}
"""Frames that are read of a segment, channels of an image, images of a segment, and their usual values."""
OPTIONS = "representation_options"


def with_shape(entry: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options with all that `SHAPE` names, but for what neither they nor the file say."""
    try:
        arguments, defaults = accepted(entry), literal_defaults(entry, SHAPE)
    except (ValueError, OSError):
        return dict(options)  # `faults_of_representation` says what is wrong
    return {**{name: value for name, value in SHAPE.items() if name not in arguments}, **defaults, **options}


def faults_of_representation(entry: str, options: Mapping[str, Any], source: str) -> Iterator[Fault]:
    """What is wrong with a representation of the user's own, by options that `with_shape` made."""
    try:
        arguments = accepted(entry)
    except (ValueError, OSError):
        arguments = []
    for name in SHAPE:
        value = options.get(name, 1)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            yield (OPTIONS, name), f"{name} must be a whole number, 1 or more, got {value!r}"
    of_class = {name: value for name, value in options.items() if name not in SHAPE or name in arguments}
    found = list(
        faults(
            *(entry, of_class, source),
            key="representation",
            options_at=(OPTIONS,),
            given=GIVEN_TO_REPRESENTATIONS,
            forward=("x",),
        )
    )
    yield from found
    unknown = [name for name in SHAPE if name not in options and not found]
    for name in unknown:
        yield ("representation",), f"set model.{OPTIONS}.{name}: its default in the file is not written as a number"
