"""From the settings of a gate, a module or a representation to the thing itself."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from benchmark.config.custom import Own
from benchmark.config.fields import Buildable


def maker(config: Buildable) -> Callable[..., nn.Module]:
    """What makes things of these settings, of what a network knows of each; a user's file is executed here, once.

    Args:
        config: The settings; every field is an argument of `config.constructor`, which gives what makes things where
            their class is the user's own.
    """
    module, _, name = config.constructor.partition(":")
    constructor, settings = getattr(importlib.import_module(module), name), dict(config)
    if isinstance(config, Own):
        constructor, settings = constructor(**settings), {}
    return lambda **given: call(constructor, settings, given)


def construct(config: Buildable, **given: Any) -> nn.Module:
    """What `config.constructor` makes of the config's fields.

    Args:
        config: The settings; every field is an argument of the constructor.
        given: What the network knows, such as `channels` or `width`; the constructor gets what it has arguments for.
    """
    return maker(config)(**given)


def call(constructor: Callable[..., nn.Module], settings: Mapping[str, Any], given: Mapping[str, Any]) -> nn.Module:
    """A constructor's result for all of the settings, and for those of the given values that it has arguments for."""
    asked = inspect.signature(constructor).parameters
    return constructor(**{name: value for name, value in given.items() if name in asked}, **settings)
