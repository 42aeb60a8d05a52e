"""Reproduce the ablation tables of motion-representation papers for video action recognition."""

__version__ = "0.1.0"
