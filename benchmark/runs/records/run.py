"""The record of one run, `runs/<key>.json` of the records' folder, and what it shares with others.

`clips/<digest>.json`: ids and labels of the clips that were evaluated. `code/<digest>.json`: what code the run used.
Both are named by their content.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydantic

from benchmark.config.datasets import DATASETS
from benchmark.config.fields import Strict
from benchmark.config.run import RunConfig
from benchmark.runs.code import changes
from benchmark.runs.directory import RunDir
from benchmark.runs.errors import RunDirError
from benchmark.runs.json_files import ENV_TYPES, read_json, typed
from benchmark.runs.key import refuse_other_defaults, run_key
from benchmark.runs.metrics import all_metrics, member_accuracy
from benchmark.runs.predictions import Predictions, read_predictions
from benchmark.runs.records.files import (
    DamagedRecordError,
    damaged_record,
    digest_of,
    finite,
    read_sealed,
    records_root,
    write_sealed,
)
from benchmark.runs.records.predictions import pack, probabilities, unpack

COARSE = 0.25
"""By which an average may differ from that of what the records of its members keep, which may have seven levels."""
LIKE_A_KEY = r"^[0-9a-f]{16}$"


class Kept(Strict):
    """Predictions as `pack` gives them; `clips` names the file of their ids and labels."""

    clips: str = pydantic.Field(pattern=LIKE_A_KEY)
    classes: int
    levels: int
    roots: str
    ranks: str
    predicted: str
    best: str | None = None
    ahead: str | None = None


class Content(Strict):
    """What stands in the file, beside format and seal."""

    key: str = pydantic.Field(pattern=LIKE_A_KEY)
    config: dict[str, Any]
    result: dict[str, Any]
    metrics: dict[str, float]
    epochs: dict[str, list[Any]] = pydantic.Field(description="a column for every quantity of metrics.jsonl")
    env: dict[str, Any]
    code: str = pydantic.Field(pattern=LIKE_A_KEY, description="names the file of the code's symbols")
    behaviour: dict[str, Any]
    verified: Verified | None
    predictions: Kept


class Verified(Strict):
    """What `verify` found of a run's behaviour under later code; `code` names the file of that code's symbols."""

    at: str
    on: dict[str, Any]
    equal: bool
    deviation: float | None
    code: str = pydantic.Field(pattern=LIKE_A_KEY)


class Clips(Strict):
    """What stands in a file of clips."""

    dataset: str
    ids: tuple[str, ...]
    labels: tuple[int, ...]


@dataclass(frozen=True)
class Record:
    """A run as its record has it, checked: what `RunDir` and `read_predictions` say of a finished one.

    symbols: the code that made it. verified_symbols: that by which it was last shown to behave as it did.
    """

    root: Path
    content: Content
    predictions: Predictions
    symbols: dict[str, Any]
    verified_symbols: dict[str, Any] | None

    @property
    def metrics(self) -> dict[str, float]:
        """By name; accuracies in percent."""
        return self.content.metrics

    @property
    def env(self) -> dict[str, Any]:
        """As `RunDir.env`: what is not of the type that a run writes is left out."""
        return typed(self.content.env, ENV_TYPES)


class NotRecordableError(RunDirError):
    """A run directory lacks what a record has; the message says what to do."""


def run_record_path(root: Path, key: str) -> Path:
    """The file of the record of a run."""
    return root / "runs" / f"{key}.json"


def read_record(config: RunConfig, root: Path | None = None) -> Record | None:
    """The record of the run of this config, or None where there is none.

    Args:
        config: of the run that is wanted.
        root: the records' folder; default: `records_root`.

    Raises:
        StaleRunError: it is of other defaults than today's.
        DamagedRecordError: it, or a file that it names, is not as it was written.
    """
    root = records_root() if root is None else root
    path = run_record_path(root, run_key(config))
    content = read_sealed(path)
    if content is None:
        return None
    _refuse_other_defaults(path, content, config)
    return checked_record(path, content, root)


def check_defaults(path: Path, config: RunConfig) -> None:
    """Refuse a record of other defaults than today's by a StaleRunError. A damaged one passes: reading it says so."""
    with contextlib.suppress(DamagedRecordError):
        _refuse_other_defaults(path, read_sealed(path) or {}, config)


def _refuse_other_defaults(path: Path, content: dict[str, Any], config: RunConfig) -> None:
    if isinstance(content.get("config"), dict):
        refuse_other_defaults(content["config"], config, str(path))


def checked_record(path: Path, sealed_content: dict[str, Any], root: Path) -> Record:
    """A record whose seal is right, and all in it that can be checked against the rest of it.

    Raises:
        DamagedRecordError: its key is not its config's, its metrics not its predictions', or the like.
    """
    try:
        content = Content.model_validate(sealed_content, strict=True)
        config = RunConfig.model_validate_json(json.dumps(content.config))
    except pydantic.ValidationError as error:
        detail = error.errors()[0]
        where = ".".join(map(str, detail["loc"])) or "config"
        raise damaged_record(path, f"{where}: {detail['msg']}") from None
    if content.key != path.stem or content.result.get("key") != content.key:
        raise damaged_record(path, f"it is of run {content.result.get('key')}")
    if run_key(config) != content.key:
        raise damaged_record(path, f"its key is not that of its config, which is {run_key(config)}")
    clips = read_clips(root, content.predictions.clips, path)
    kept = content.predictions
    if clips.dataset != config.data.dataset or kept.classes != config.data.num_classes:
        raise damaged_record(path, f"its predictions are not of {config.data.dataset}")
    try:
        found = unpack(kept.model_dump(exclude={"clips"}), np.array(clips.ids), np.array(clips.labels))
    except ValueError as error:
        raise damaged_record(path, f"predictions: {error}") from None
    counted = all_metrics(found.logits, found.labels)
    if kept.ahead is not None and DATASETS[config.data.dataset].mirrored:
        counted["member"] = member_accuracy(found.logits, found.labels)
    for name, value in counted.items():
        if content.metrics.get(name) != value:
            said = content.metrics.get(name, math.nan)
            raise damaged_record(path, f"{name} is {said:g}, but {value:g} by its predictions")
    env = typed(content.env, ENV_TYPES)
    counts = {"result": content.result.get("num_clips"), "env": env.get("clips", {}).get("val", {}).get("found")}
    for where, count in counts.items():
        if count is not None and count != len(clips.ids):
            raise damaged_record(path, f"it has {len(clips.ids)} clips, its {where} says {count}")
    verified = read_symbols(root, content.verified.code, path) if content.verified else None
    return Record(root, content, found, read_symbols(root, content.code, path), verified)


def read_clips(root: Path, digest: str, named_by: Path) -> Clips:
    """The clips of a digest. Raises DamagedRecordError: they are gone, or not these."""
    path = root / "clips" / f"{digest}.json"
    content = _named_by_content(path, named_by)
    try:
        clips = Clips.model_validate_json(json.dumps(content))
    except pydantic.ValidationError as error:
        raise damaged_record(path, str(error.errors()[0]["msg"])) from None
    if not clips.ids or len(clips.ids) != len(clips.labels) or list(clips.ids) != sorted(set(clips.ids)):
        raise damaged_record(path, "its clips are not each there once, in order")
    return clips


def read_symbols(root: Path, digest: str, named_by: Path) -> dict[str, Any]:
    """What code a run used, as its code.json said. Raises DamagedRecordError: it is gone, or not this."""
    path = root / "code" / f"{digest}.json"
    symbols = _named_by_content(path, named_by).get("symbols")
    if not isinstance(symbols, dict):
        raise damaged_record(path, "it names no symbols")
    return symbols


def _named_by_content(path: Path, named_by: Path) -> dict[str, Any]:
    content = read_sealed(path)
    if content is None:
        raise damaged_record(path, f"it is gone, and {named_by.name} needs it")
    if digest_of(content) != path.stem:
        raise damaged_record(path, "it is not what its name says")
    return content


def write_record(run: RunDir, root: Path) -> str:
    """Write the record of a finished run, and what it shares. Returns what came of it, in words; "" for no change.

    Raises:
        NotRecordableError: the run is not finished, or lacks what a record has.
        RunDirError: the run directory is damaged.
    """
    content, shared = record_of(run)
    path = run_record_path(root, run.key)
    lost = _lost(path, content)
    for name, value in shared.items():
        write_sealed(root / name, value)
    was_there = path.exists()
    if not write_sealed(path, content):
        return ""
    if not was_there:
        return "added"
    return f"replaced{f', without the {lost} that it had' if lost else ''}"


def write_verified(record: Record, verified: dict[str, Any] | None) -> bool:
    """Write into a record by which later code its run was shown to behave as it did; whether its file changed.

    A run by code that is today's needs no such word, and one that is there of the same code stays, whenever it was
    found: verifying again changes no byte.

    Args:
        record: as it was read.
        verified: content of verified.json; None if the run behaves otherwise.
    """
    if verified is not None and (verified["symbols"] == record.verified_symbols or not changes(record.symbols)):
        return False
    path = run_record_path(record.root, record.content.key)
    found, shared = _verified(verified)
    for name, value in shared.items():
        write_sealed(record.root / name, value)
    return write_sealed(path, {**(read_sealed(path) or {}), "verified": found})


def _verified(content: dict[str, Any] | None) -> tuple[dict[str, Any] | None, dict[str, dict[str, Any]]]:
    """What a record has of verified.json, and the file of code that it names, by path below the root."""
    if content is None:
        return None, {}
    code = {"symbols": content["symbols"]}
    kept = {name: value for name, value in content.items() if name != "symbols"}
    return finite({**kept, "code": digest_of(code)}), {f"code/{digest_of(code)}.json": code}


def codes_of(content: dict[str, Any]) -> list[str]:
    """The files of code that a record's content names."""
    return [content["code"], *([content["verified"]["code"]] if content["verified"] else [])]


def drop_unnamed(root: Path) -> int:
    """Remove the files of clips and code that no run names any more; how many there were."""
    runs = [read_sealed(path) or {} for path in (root / "runs").glob("*.json")]
    named = {name for run in runs for name in (*codes_of(run), run["predictions"]["clips"])}
    unnamed = [path for kind in ("clips", "code") for path in (root / kind).glob("*.json") if path.stem not in named]
    for path in unnamed:
        path.unlink()
    return len(unnamed)


def record_of(run: RunDir) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """A finished run as the content of its record, and of the files that this names, by path below the root."""
    result = run.result
    if result is None:
        raise NotRecordableError(f"{run.path} is not finished ({run.state}): a record is of a finished run")
    config = run.config
    run.check(config)
    parts = {name: read_json(run.path / f"{name}.json") for name in ("code", "behaviour", "verified")}
    for name in ("code", "behaviour"):
        if parts[name] is None:
            raise NotRecordableError(
                f"{run.path}/{name}.json is not there: the run was made before runs recorded their {name}."
                " `run TABLE --again` makes it anew"
            )
    if not run.env:
        raise NotRecordableError(f"{run.path}/env.json is gone or damaged: what made this run is not known")
    found, metrics = read_predictions(run, result)
    clips = {"dataset": config.data.dataset, "ids": found.ids.astype(str).tolist(), "labels": found.labels.tolist()}
    code = finite(parts["code"])
    verified, shared = _verified(parts["verified"])
    content = {
        "key": run.key,
        "config": read_json(run.path / "config.json"),
        "result": finite(result),
        "metrics": {name: value for name, value in metrics.items() if math.isfinite(value)},
        "epochs": _epochs(run.path / "metrics.jsonl"),
        "env": finite(run.env),
        "code": digest_of(code),
        "behaviour": finite(parts["behaviour"]),
        "verified": verified,
        "predictions": {"clips": digest_of(clips), **pack(found)},
    }
    return content, {**shared, f"clips/{digest_of(clips)}.json": clips, f"code/{digest_of(code)}.json": code}


def _epochs(path: Path) -> dict[str, list[Any]]:
    """metrics.jsonl by column; nothing of a run that another has trained."""
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    names = dict.fromkeys(name for line in lines for name in line)
    columns: dict[str, list[Any]] = finite({name: [line.get(name) for line in lines] for name in names})
    return columns


def _lost(path: Path, content: dict[str, Any]) -> str:
    """What the record that is there has, and the new one has not."""
    with contextlib.suppress(RunDirError):
        before = read_sealed(path) or {}
        return " and ".join(name for name in ("verified", "epochs") if before.get(name) and not content.get(name))
    return ""


def fused_record_path(root: Path, key: str) -> Path:
    """The file of an average over runs; `key` joins theirs by '+'."""
    return root / "fused" / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"


def write_fused(root: Path, key: str, found: Predictions) -> bool:
    """Write what an average of the predictions of several runs came to; whether the file changed.

    From the coarse probabilities in the records of these runs it could only be come near.
    """
    first = read_sealed(run_record_path(root, key.partition("+")[0])) or {}
    clips = first.get("predictions", {}).get("clips")
    if clips is None:
        return False
    content = {"key": key, "predictions": {"clips": clips, **pack(found)}}
    return write_sealed(fused_record_path(root, key), content)


def read_fused(root: Path, key: str, members: Sequence[Predictions]) -> Predictions | None:
    """What an average over runs came to, or None where there is no record of it.

    Raises:
        DamagedRecordError: it is not as it was written, or cannot be the average of the members.
    """
    path = fused_record_path(root, key)
    content = read_sealed(path)
    return None if content is None else checked_fused(path, content, members)


def checked_fused(path: Path, sealed_content: dict[str, Any], members: Sequence[Predictions]) -> Predictions:
    """An average whose seal is right. Raises DamagedRecordError: it cannot be that of the members."""
    try:
        key, kept = sealed_content["key"], Kept.model_validate(sealed_content["predictions"], strict=True)
        if path.stem != fused_record_path(path, key).stem:
            raise ValueError(f"it is of {key}")
        found = unpack(kept.model_dump(exclude={"clips"}), members[0].ids, members[0].labels)
        given = np.mean([probabilities(member.logits) for member in members], axis=0)
        if found.logits.shape != given.shape:
            raise ValueError("it is not of the clips and classes of its members")
        away = np.abs(probabilities(found.logits) - given)
        if np.nanmax(away, initial=0.0) > COARSE or (np.isnan(away).any(axis=1) != np.isnan(given).any(axis=1)).any():
            raise ValueError("its probabilities are not near the average of its members'")
    except (KeyError, TypeError, ValueError) as error:
        raise damaged_record(path, f"predictions: {error}") from None
    return found
