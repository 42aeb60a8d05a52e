"""What every config is made of: a strict base class, fields that a protocol scales, and settings of what is built."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticKnownError


class Strict(BaseModel):
    """Base of every config object: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


def scaled(kind: Literal["spatial", "width"], default: Any, **constraints: Any) -> Any:
    """A field that a protocol multiplies by its `spatial` or `width` factor."""
    return Field(default, json_schema_extra={"scales": kind}, **constraints)


class Buildable(Strict):
    """Settings of a gate, a module or a representation, and what is built from them.

    Attributes:
        constructor: `package.module:name` of what makes it. It is called with the settings by their names, and with
            those of the network's values that it asks for; see `benchmark.models.construct`.
    """

    # A text, so that configs need no torch.
    constructor: ClassVar[str]


B = TypeVar("B", bound=Buildable)


def registered(network: type[BaseModel], kind: type[B]) -> dict[str, B]:
    """What a network may have of a kind: the names of its fields of that kind, and their default settings."""
    defaults = {name: info.default for name, info in network.model_fields.items()}
    return {name: default for name, default in defaults.items() if isinstance(default, kind)}


def check_name(name: str, known: Iterable[str]) -> str:
    """The name, if it is one of those known; otherwise the error of a `Literal` of them."""
    known = [f"'{one}'" for one in known]
    if f"'{name}'" not in known:
        raise PydanticKnownError("literal_error", {"expected": f"{', '.join(known[:-1])} or {known[-1]}"})
    return name


def check_unused(config: BaseModel, kind: type[Buildable], used: Iterable[str], why: str) -> None:
    """Refuse settings of what the network does not have.

    Raises:
        ValueError: Settings of something that is not among `used` differ from their defaults.
    """
    for name, default in registered(type(config), kind).items():
        if name not in used and getattr(config, name) != default:
            raise ValueError(f"'{name}' is set, but {why}")
