"""What is recorded of a finished run, whatever holds it, in the form in which two runs are compared."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.config.run import RunConfig
from benchmark.runs.directory import RunDir
from benchmark.runs.errors import RunDirError, damaged
from benchmark.runs.find import find_run_or_record
from benchmark.runs.json_files import read_json
from benchmark.runs.key import dotted
from benchmark.runs.metrics import all_metrics
from benchmark.runs.predictions import Predictions, read_predictions
from benchmark.runs.records.files import damaged_record, read_sealed
from benchmark.runs.records.run import checked_record
from benchmark.runs.sharing import unreadable


@dataclass(frozen=True)
class Recorded:
    """A finished run.

    Attributes:
        place: Where it was read from.
        settings: Its config by dotted key, as stored; a field that was added since has the value that it stands for.
        result: Content of result.json.
        metrics: By name, in percent.
        env: Content of env.json.
        epochs: Lines of metrics.jsonl; empty where they are gone.
        behaviour: Content of behaviour.json; None for a run of before that file.
        symbols: Digests by file and symbol of the code that it executed; None for a run of before code.json.
        verified: Those of later code that was shown to behave alike; None where none was.
        coarse: Whether predictions are as a record keeps them: ranks of labels and predicted classes alone are exact.
    """

    key: str
    place: str
    config: RunConfig
    settings: Mapping[str, Any]
    result: Mapping[str, Any]
    metrics: Mapping[str, float]
    predictions: Predictions
    env: Mapping[str, Any]
    epochs: Sequence[Mapping[str, Any]] = ()
    behaviour: Mapping[str, Any] | None = None
    symbols: Mapping[str, Mapping[str, str]] | None = None
    verified: Mapping[str, Mapping[str, str]] | None = None
    coarse: bool = False

    @property
    def name(self) -> str:
        """What was trained on what."""
        return f"{self.config.model.name} on {self.config.data.dataset}, seed {self.config.seed}"


def find_recorded(name: str) -> Recorded:
    """A finished run by its key, or by what else `find_run_or_record` knows it by.

    Raises:
        RunDirError: there is no such run, it is not finished, or it is damaged.
    """
    found = find_run_or_record(name)
    return of_record(found) if isinstance(found, Path) else of_directory(found)


def of_record(path: Path) -> Recorded:
    """What a record's file says of its run. Raises DamagedRecordError: it is not as it was written."""
    content = read_sealed(path)
    if content is None:
        raise damaged_record(path, "it is gone")
    record = checked_record(path, content, path.parent.parent)
    config, columns = RunConfig.model_validate_json(json.dumps(record.content.config)), record.content.epochs
    found = record.predictions
    return Recorded(
        key=record.content.key,
        place=str(path),
        config=config,
        settings=dotted(config.model_dump(mode="json")) | dotted(record.content.config),
        result=record.content.result,
        metrics=all_metrics(found.logits, found.labels) | record.metrics,  # in the order of a run's
        predictions=found,
        env=record.env,
        epochs=[dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)],
        behaviour=record.content.behaviour,
        symbols=record.symbols,
        verified=record.verified_symbols,
        coarse=True,
    )


def of_directory(run: RunDir) -> Recorded:
    """What a run directory records; the directory may have been renamed.

    Raises:
        RunDirError: the run is not finished or damaged.
    """
    if path := run.unreadable:
        raise unreadable(path)
    config, result = run.config, read_json(run.path / "result.json")
    if result is None:
        raise RunDirError(
            f"{run.path} is not finished ({run.state}): it has no result to compare; run its table until it is done"
        )
    predictions, metrics = read_predictions(run, result)
    code, verified = (_symbols(run, name) for name in ("code.json", "verified.json"))
    return Recorded(
        key=str(result.get("key", run.key)),
        place=str(run.path),
        config=config,
        settings=dotted(config.model_dump(mode="json")) | dotted(read_json(run.path / "config.json") or {}),
        result=result,
        metrics=metrics,
        predictions=predictions,
        env=run.env,
        epochs=_epochs(run),
        behaviour=read_json(run.path / "behaviour.json"),
        symbols=code,
        verified=verified,
    )


def _symbols(run: RunDir, name: str) -> dict[str, dict[str, str]] | None:
    content = read_json(run.path / name)
    if content is None:
        return None
    symbols = content.get("symbols")
    if not isinstance(symbols, dict) or not all(isinstance(of_file, dict) for of_file in symbols.values()):
        raise damaged(run.path / name, "it has no symbols by file")
    return symbols


def _epochs(run: RunDir) -> list[dict[str, Any]]:
    path = run.path / "metrics.jsonl"
    try:
        lines = [json.loads(line) for line in path.read_text().splitlines()]
    except FileNotFoundError:
        return []
    except ValueError as error:
        raise damaged(path, str(error)) from None
    if not all(isinstance(line, dict) for line in lines):
        raise damaged(path, "a line is no mapping")
    return lines
