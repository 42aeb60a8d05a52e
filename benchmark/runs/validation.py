"""A run's validation curve: what its network came to on the validation clips while it was trained."""

from __future__ import annotations

import json
from typing import Any

from benchmark.runs.directory import RunDir

VALIDATE_EVERY = "BENCHMARK_VALIDATE_EVERY"
"""Variable that says how many epochs lie between two validations; none are made unless it is set."""
FILE = "validation.jsonl"


def validation_curve(run: RunDir) -> list[dict[str, Any]]:
    """A line for each validation, `epoch` counted from 0; [] of a run without, or whose file is damaged."""
    try:
        return [json.loads(line) for line in (run.path / FILE).read_text().splitlines() if line.strip()]
    except (OSError, ValueError):
        return []
