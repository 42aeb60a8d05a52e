"""env.json of a run: by which code, on what, from which data it was made, and how long it took, over all its starts."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import torch

from benchmark.launch.clips import RunClips
from benchmark.runs.atomic import write_json
from benchmark.runs.directory import RunDir
from benchmark.runs.errors import StaleRunError
from benchmark.runs.provenance import code_state, instruction_set, processor, versions


class EnvFile:
    """The env.json of a run that is under way."""

    def __init__(
        self, run: RunDir, device: torch.device, clips: RunClips, fingerprints: dict[str, str], started: float
    ) -> None:
        """Record this start; a start after the first is a resume, and what holds for each start is kept.

        Args:
            run: the run.
            device: where it runs.
            clips: its clips.
            fingerprints: what distinguishes its data and the weights that it starts from.
            started: when it was started, by `time.monotonic`.

        Raises:
            StaleRunError: data or weights are others than at the first start.
        """
        before = run.env
        if before.get("fingerprints", fingerprints) != fingerprints:
            raise StaleRunError(
                f"the data changed since {run.path} was begun, or the weights that it starts from; remove the folder to"
                " run it on the new ones"
            )
        at = datetime.now(UTC).isoformat(timespec="seconds")
        now = {"at": at, **code_state(), "transforms": clips.cut_where, "cpu": instruction_set()}
        starts = [*before.get("starts", []), now]
        self._path, self._started, self._seconds_before = run.path / "env.json", started, before.get("seconds", 0.0)
        self.values: dict[str, Any] = {
            **before,
            "starts": starts,
            "resumes": len(starts) - 1,
            "versions": versions(),
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else processor(),
            "fingerprints": fingerprints,
            "seconds": self._seconds_before,
        }
        write_json(self._path, self.values)
        self.values["clips"] = clips.counts
        for of_another_start in ("trained_by", "training"):
            self.values.pop(of_another_start, None)

    def set(self, **values: Any) -> None:
        """Values to write with the next `write`."""
        self.values |= values

    def write(self) -> None:
        """Write it, with the time of all starts so far, up to their last checkpoint."""
        seconds = round(self._seconds_before + time.monotonic() - self._started, 1)
        write_json(self._path, {**self.values, "seconds": seconds})
