"""The three keys of a run, 16 hex digits each.

| key | of | computed by | equal for |
|---|---|---|---|
| run key | a training and its evaluation | `run_key` | equal experiments, whatever table asks for them |
| training key | the training alone | `training_key` | runs that differ in their views alone |
| start key | the training whose weights a run starts from | `with_start_key`, read by `start_key` | - |
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pydantic

from benchmark.config.datasets import DATASETS
from benchmark.config.run import RunConfig
from benchmark.runs.errors import StaleRunError

ALWAYS_KEYED = ("name", "dataset", "seed")
"""Fields that stand in the key even with their default values."""
SEPARATOR = "@"
"""Between name and key in `train.start_from` of a planned run."""


def run_key(config: RunConfig) -> str:
    """What names the run and its directory: a hash of the settings that `keyed_settings` keeps."""
    text = json.dumps(keyed_settings(config), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def training_key(config: RunConfig) -> str:
    """Equal for runs that train alike and differ in their views alone: one of them trains, all are evaluated.

    It is the run key of the run with the plainest views.
    """
    plain = {"clips": 1, "crops": 1, "placing": "fixed", "average": "logits", "unreadable": "wrong"}
    one_view = config.eval.model_copy(update=plain)
    return run_key(config.model_copy(update={"eval": one_view}))


def with_start_key(config: RunConfig, start: RunConfig) -> RunConfig:
    """The config of a run that starts from the weights of the run `start`: named by file, and now by key as well."""
    named = f"{config.train.start_from}{SEPARATOR}{training_key(start)}"
    return config.model_copy(update={"train": config.train.model_copy(update={"start_from": named})})


def start_key(config: RunConfig) -> str | None:
    """The training key of the run whose weights this one starts from; None where it starts from none."""
    return (config.train.start_from or "").partition(SEPARATOR)[2] or None


def start_name(config: RunConfig) -> str:
    """The file of tables/bases/ of the run whose weights this one starts from."""
    return (config.train.start_from or "").partition(SEPARATOR)[0]


def keyed_settings(config: RunConfig) -> dict[str, Any]:
    """What the run key is a hash of, as nested plain data.

    Every setting that differs from its default, the names of network and data set, the seed, and the data's version.
    """
    # A default that changes in the code leaves the key as it was. The run directory that holds the old value is then
    # noticed and refused (`RunDir.check`), instead of the old result being taken for the new experiment's.
    kept = {**differing(config), "data_version": DATASETS[config.data.dataset].version}
    if key := start_key(config):  # without the name: the file may be called otherwise by now
        kept["train"]["start_from"] = key
    return kept


def differing(part: pydantic.BaseModel) -> dict[str, Any]:
    """Settings of a part that differ from their defaults, as nested plain data: a field that is new changes nothing."""
    kept: dict[str, Any] = {}
    for name, info in type(part).model_fields.items():
        value = getattr(part, name)
        if isinstance(value, pydantic.BaseModel):
            if below := differing(value):
                kept[name] = below
        elif name in ALWAYS_KEYED or value != info.default:
            kept[name] = [_plain(item) for item in value] if isinstance(value, tuple) else value
    return kept


def _plain(item: Any) -> Any:
    return item.model_dump(mode="json") if isinstance(item, pydantic.BaseModel) else item


def dotted(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A config's nested plain data by dotted key, leaves only."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= dotted(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def refuse_other_defaults(stored: dict[str, Any], config: RunConfig, where: str) -> None:
    """Refuse a stored config that differs from the one that has its key now: a default changed under it.

    A key that the stored config lacks is a field added since; its default must reproduce what the code did before.

    Args:
        stored: plain data of a config.
        config: the one that has its key now.
        where: what holds it, for the message.

    Raises:
        StaleRunError: with the settings that differ.
    """
    old, new = dotted(stored), dotted(config.model_dump(mode="json"))
    differing = [
        f"    {key}: {value!r} when it was run, {new[key]!r} now" if key in new else f"    {key}: removed since"
        for key, value in old.items()
        if key not in new or new[key] != value
    ]
    if differing:
        raise StaleRunError(
            f"{where} was run with other defaults than today's:\n" + "\n".join(differing) + "\n"
            "  Restore the default, or set the new value in the spec (a new run), or remove it."
        )
