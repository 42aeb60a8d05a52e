"""Build a network of the user's own from its Python file (`benchmark.config.custom` says how a table names it)."""

from __future__ import annotations

import importlib.util
import inspect

from torch import nn

from benchmark.config.custom import GIVEN, digest, locate
from benchmark.config.models import CustomConfig
from benchmark.config.run import DataConfig


def build_custom(config: CustomConfig, data: DataConfig) -> nn.Module:
    """Call the class with its options and with those of the harness's values that it names.

    Raises:
        ValueError: the file changed since the run was planned, or the class is not an nn.Module.
    """
    path, cls = locate(config.entry)
    if digest(config.entry) != config.source:
        raise ValueError(f"{path} changed since this run was planned: plan again, and the edited network is a new run")
    spec = importlib.util.spec_from_file_location(f"benchmark_custom_{config.source}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network = getattr(module, cls)
    if not (isinstance(network, type) and issubclass(network, nn.Module)):
        raise ValueError(f"{config.entry} is not an nn.Module")
    given = {
        "segments": data.segments,
        "size": data.size,
        "num_classes": data.num_classes,
        "width": config.width,
        "dropout": config.dropout,
    }
    named = inspect.signature(network).parameters
    return network(**{name: given[name] for name in GIVEN if name in named}, **config.options)
