"""What every config is made of: a strict base class, and fields that a protocol scales."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Strict(BaseModel):
    """Base of every config object: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


def scaled(kind: Literal["spatial", "width"], default: Any, **constraints: Any) -> Any:
    """A field that a protocol multiplies by its `spatial` or `width` factor."""
    return Field(default, json_schema_extra={"scales": kind}, **constraints)
