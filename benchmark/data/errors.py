"""What goes wrong between a data set's name and its pixels. The messages say what to do."""

from __future__ import annotations


class DataError(Exception):
    """A data set is missing, incomplete, stale or has no reader."""


class DecodeError(DataError):
    """A video file does not give the frames asked for: missing, empty, corrupt, without video, or too short."""
