"""A table's trainings as event files of TensorBoard: a folder for each row and seed, rewritten at every call.

    python -m benchmark visualize training bqn-3b --tensorboard events && tensorboard --logdir events

Written from what each run keeps of its epochs, so that nothing is slower for it and runs made before can be seen, too:
`train/loss`, `train/top1`, `train/lr`, with a projection loss `train/residual` and `train/alpha`, and where validations
were made on the way `validation/top1`. A step is an epoch, counted from 1. Needs tensorboardX, which nothing else does.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from benchmark.plan import row_runs
from benchmark.report.labels import flat
from benchmark.runs.directory import RunDir
from benchmark.runs.key import run_key
from benchmark.spec.table import Table
from benchmark.visualize.errors import VisualizeError
from benchmark.visualize.trained import training_curve
from benchmark.visualize.training import with_result

OF_TRAINING = ("loss", "top1", "lr", "residual", "alpha")


def write_tensorboard(folder: Path, table: Table) -> list[Path]:
    """Writes `<folder>/<table>/<row>, seed <n>/`, and returns these folders.

    Raises:
        VisualizeError: tensorboardX is not installed, or no run has finished an epoch.
    """
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        raise VisualizeError("--tensorboard needs a package: uv pip install tensorboardX") from None
    written: dict[Path, str] = {}
    for row in table.rows:
        for seed, config in row_runs(row, table.seeds) if row.config else []:
            key = run_key(config)
            run = RunDir.of(key)
            if not (run.path / "metrics.jsonl").is_file():
                continue
            name = f"{_as_folder(flat(row.label))}, seed {seed}"
            place = folder / table.id / name
            if place in written and written[place] != key:
                place = folder / table.id / f"{name}, {key[:8]}"
            written[place] = key
            shutil.rmtree(place, ignore_errors=True)  # a training that was begun again has fewer epochs
            with SummaryWriter(str(place)) as writer:
                _add(writer, "train", training_curve(run), OF_TRAINING)
                _add(writer, "validation", with_result(run), ("top1",))
    if not written:
        raise VisualizeError(f"no run of {table.id} has finished an epoch here: python -m benchmark run {table.id}")
    return list(written)


def _add(writer: Any, group: str, lines: list[dict[str, Any]], quantities: tuple[str, ...]) -> None:
    for line in lines:
        for quantity in quantities:
            if line.get(quantity) is not None:
                writer.add_scalar(f"{group}/{quantity}", line[quantity], int(line["epoch"]) + 1)


def _as_folder(label: str) -> str:
    return re.sub(r"[^\w.,=+() -]+", "_", label).strip(" .") or "row"
