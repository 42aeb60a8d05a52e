"""The three keys: of a run, of the training that several runs share, and of the training that a run starts from.

A key is a hash of the settings that differ from their defaults (and of the data set's version). A default that changes
in the code therefore leaves the key as it was, and the run directory that holds the old value is noticed and refused
(`benchmark.runs.directory`), instead of the old result being taken for the new experiment's or silently trained again.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pydantic

from benchmark.config.datasets import DATASETS
from benchmark.config.run import RunConfig

ALWAYS_KEYED = ("name", "dataset", "seed")


def run_key(config: RunConfig) -> str:
    """16 hex digits that name the run: equal for equal experiments, whatever table asks for them."""
    text = json.dumps(science(config), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def training_key(config: RunConfig) -> str:
    """Equal for runs that train alike and differ in their views alone: one of them trains, all are evaluated."""
    plain = {"clips": 1, "crops": 1, "placing": "fixed", "average": "logits", "unreadable": "wrong"}
    one_view = config.eval.model_copy(update=plain)
    return run_key(config.model_copy(update={"eval": one_view}))


def start_key(config: RunConfig) -> str | None:
    """The training key of the run whose weights a planned run starts from: `plan` writes it behind the base's name."""
    return (config.train.start_from or "").partition("@")[2] or None


def science(config: RunConfig) -> dict[str, Any]:
    """What the run key is a hash of: every setting that differs from its default, as nested plain data."""

    def differing(part: pydantic.BaseModel) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for name, info in type(part).model_fields.items():
            value = getattr(part, name)
            if isinstance(value, pydantic.BaseModel):
                if below := differing(value):
                    kept[name] = below
            elif name in ALWAYS_KEYED or value != info.default:
                kept[name] = [_plain(item) for item in value] if isinstance(value, tuple) else value
        return kept

    kept = {**differing(config), "data_version": DATASETS[config.data.dataset].version}
    if key := start_key(config):  # whatever the file is called that says what it was
        kept["train"]["start_from"] = key
    return kept


def _plain(item: Any) -> Any:
    return item.model_dump(mode="json") if isinstance(item, pydantic.BaseModel) else item


def dotted(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A config's nested plain data by dotted key, leaves only."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= dotted(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
