"""Counted costs on disk, one file per distinct network. Imports without torch.

A file is found by the digest of all that its count depends on: the network's part of the config, the sources of the
networks and of the counters, and the versions of torch and fvcore. So none is ever stale: what no longer holds is no
longer found.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import pydantic

from benchmark.config.run import RunConfig
from benchmark.cost.record import CostRecord
from benchmark.runs.atomic import write_atomic
from benchmark.runs.directory import runs_root
from benchmark.runs.key import differing

PACKAGE = Path(__file__).resolve().parents[1]
COUNTING = (
    *("cost/counters.py", "cost/operator_kinds.py", "cost/operator_rules.py", "cost/traced_values.py"),
    *("cost/torch_formulas.py", "cost/tracing.py", "cost/record.py"),
    *("config/custom.py", "config/models.py", "config/modules.py", "config/places.py", "config/representations.py"),
    "config/segment_shape.py",
)


@cache
def _code_digest() -> str:
    """Of all sources that a count depends on."""
    hashed = hashlib.sha256()
    for path in (*sorted((PACKAGE / "models").rglob("*.py")), *(PACKAGE / name for name in COUNTING)):
        hashed.update(f"{path.relative_to(PACKAGE).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return hashed.hexdigest()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def cost_digest(config: RunConfig) -> str:
    """16 hex digits, equal for configs whose networks are the same and are counted by the same code and packages.

    The recipe, the seed, the views, the weights to start from and dropout are no part of it.
    """
    versions = {name: _version(name) for name in ("torch", "fvcore")}
    return settings_digest({**counted_settings(config), "code": _code_digest(), "versions": versions})


def network_digest(config: RunConfig) -> str:
    """16 hex digits, equal for configs whose networks are the same, whatever code counts them."""
    return settings_digest(counted_settings(config))


def counted_settings(config: RunConfig) -> dict[str, Any]:
    """What the count of a network depends on, as nested plain data."""
    # A custom network may do with its rate of dropout what it likes.
    no_part = {"pretrained"} if config.model.name == "custom" else {"pretrained", "dropout", "classifier_init"}
    model = differing(config.model)
    return {
        "model": {name: value for name, value in model.items() if name not in no_part},
        "segments": config.data.segments,
        "size": config.data.size,
        "num_classes": config.data.num_classes,
    }


def settings_digest(parts: dict[str, Any]) -> str:
    """16 hex digits of plain data."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def cost_path(config: RunConfig) -> Path:
    """The file of the cost of this config's network."""
    return runs_root() / ".costs" / f"{cost_digest(config)}.json"


def cached(config: RunConfig) -> CostRecord | None:
    """The counted cost, or None where it has not been counted or the file is damaged."""
    try:
        return CostRecord.model_validate_json(cost_path(config).read_bytes())
    except (OSError, pydantic.ValidationError):
        return None


def get(config: RunConfig) -> CostRecord:
    """The cost, counted now (half a second to two seconds, and torch is imported) unless it has been before."""
    record = cached(config)
    if record is None:
        from benchmark.cost.counters import count

        record = count(config)
        path = cost_path(config)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, record.model_dump_json())
    return record
