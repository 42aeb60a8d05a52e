"""Reproduce the ablation tables of motion-representation papers for video action recognition."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmark.report.frame import cells as cells
    from benchmark.use.loaded import load as load

__version__ = "0.1.0"
__all__ = ["cells", "load"]


def __getattr__(name: str) -> object:
    """What a notebook asks for; read only then, so that no command imports what it does not use."""
    if name == "cells":
        from benchmark.report.frame import cells

        return cells
    if name == "load":
        from benchmark.use.loaded import load

        return load
    raise AttributeError(f"module 'benchmark' has no attribute '{name}'")
