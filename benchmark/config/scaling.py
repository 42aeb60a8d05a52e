"""A protocol's factors on a config's sizes and widths, and one config for experiments that are spelt differently."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pydantic

from benchmark.config.overrides import Layer, Setting
from benchmark.config.run import RunConfig


def scaled_down(config: RunConfig, factors: Mapping[str, Setting], left: Layer) -> Layer:
    """The sizes and widths of a config at paper scale, times a protocol's factors.

    Args:
        config: At paper scale.
        factors: `spatial` of whole pixels and `width` of channel counts.
        left: What is not scaled, the protocol's own settings.
    """
    layer: Layer = {}

    def walk(part: pydantic.BaseModel, prefix: str) -> None:
        for name, info in type(part).model_fields.items():
            value, key = getattr(part, name), f"{prefix}{name}"
            extra = info.json_schema_extra
            kind = extra.get("scales") if isinstance(extra, dict) else None
            if isinstance(value, pydantic.BaseModel):
                walk(value, f"{key}.")
            elif kind and value is not None and key not in left and (factor := factors[str(kind)]).value != 1:
                small = round(value * factor.value) if kind == "spatial" else value * factor.value
                layer[key] = replace(factor, value=small, factor=factor.value)

    walk(config, "")
    return layer


def canonical(config: RunConfig) -> RunConfig:
    """Two spellings of one experiment become one config.

    A Quiet input as large as Busy's is the default, and so is a batch that one device holds.
    """
    if config.train.parts == 1 and config.train.device_batch:
        config = config.model_copy(update={"train": config.train.model_copy(update={"device_batch": None})})
    model = config.model
    if model.name != "bqn":
        return config
    update: dict[str, Any] = {}
    if model.quiet_size == config.data.size:
        update["quiet_size"] = None
    if model.quiet_segments == config.data.segments:
        update["quiet_segments"] = None
    return config.model_copy(update={"model": model.model_copy(update=update)}) if update else config
