"""What keeps a picture from being drawn as it was asked for. The messages say what to do."""

from __future__ import annotations

from benchmark.data.errors import DataError


class VisualizeError(DataError):
    """No such run, a run that lacks what the picture shows, or a setting out of its range."""
