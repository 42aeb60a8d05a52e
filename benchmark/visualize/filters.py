"""The filters of a backbone's first layer, in rows: what a network has learnt to look for in its input.

A filter on three channels is a colour picture around mid-grey, scaled by its own largest weight. A filter on other
channels (flow, distances, differences) is a column of grey ones, a channel each, the first at the top.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmark.config.models import BqnConfig, BqnX3dConfig
from benchmark.visualize.colours import Rgb, signed_colours
from benchmark.visualize.errors import VisualizeError
from benchmark.visualize.figure import STYLE, WIDTH, bare, new_figure, write
from benchmark.visualize.trained import SHORT, Trained, load_trained

COLOURS_PER_LINE, GREYS_PER_LINE = 16, 32
BACKBONES = {"busy.": "Busy", "quiet.": "Quiet", "backbone.": ""}
TITLE = 0.2
NARROWEST = 4.0
"""Inches, for the titles."""


@dataclass(frozen=True)
class Filters:
    """The first layer of one backbone: `weights` (filters, channels, k, k)."""

    title: str
    weights: NDArray[np.float32]


def first_layers(trained: Trained) -> list[Filters]:
    """The first convolutions of a run's backbones, Busy before Quiet.

    Raises:
        VisualizeError: The network has none that is known here.
    """
    found = []
    for prefix, pathway in BACKBONES.items():
        # Weights are listed in the order of construction: the first of a convolution is the stem's.
        kernels = (w for name, w in trained.part(prefix).items() if name.endswith("weight") and w.dim() in (4, 5))
        weight = next((w for w in kernels if w.shape[-1] > 1), None)
        if weight is None:
            continue
        if weight.dim() == 5:
            weight = weight.mean(2)
        found.append(Filters(f"{trained.name}, {_network(trained, pathway)}", weight.float().numpy()))
    if not found:
        name = trained.config.model.name
        raise VisualizeError(f"run {trained.run.key}: the network '{name}' has no backbone with a first convolution")
    return found


def _network(trained: Trained, pathway: str) -> str:
    model, epochs = trained.config.model, trained.config.train.epochs
    of = f"{trained.epochs} of {epochs} epochs" if trained.epochs != epochs else f"{epochs} epochs"
    if isinstance(model, BqnConfig | BqnX3dConfig):
        return f"{pathway} of {model.name}, {of}"
    return f"{model.name} on {getattr(model, 'representation', 'clips')}, {of}"


def tile(weights: NDArray[np.float32]) -> Rgb:
    """Filters (n, C, k, k) side by side on white, `per_line` of them in a line, one pixel apart: (H, W, 3) uint8.

    With three channels a filter is one picture, otherwise C below each other, a pixel apart; lines are then k apart.
    """
    count, channels, side, _ = weights.shape
    scale = np.abs(weights).reshape(count, -1).max(1)
    one_picture = channels == 3
    pictures = []
    for w, largest in zip(weights, scale, strict=True):
        colours = signed_colours(w, float(largest))
        if one_picture:
            pictures.append(colours.transpose(1, 2, 0))
            continue
        spaced = np.full((channels, side + 1, side), 255, np.uint8)
        spaced[:, :side] = colours
        pictures.append(np.repeat(spaced.reshape(-1, side)[:-1, :, None], 3, axis=2))
    high, gap = len(pictures[0]), 1 if one_picture else side
    across = min(count, per_line(channels))
    lines = math.ceil(count / across)
    board = np.full((lines * (high + gap) - gap, across * (side + 1) - 1, 3), 255, np.uint8)
    for i, picture in enumerate(pictures):
        top, left = (i // across) * (high + gap), (i % across) * (side + 1)
        board[top : top + high, left : left + side] = picture
    return board


def per_line(channels: int) -> int:
    """Filters in a line of the picture."""
    return COLOURS_PER_LINE if channels == 3 else GREYS_PER_LINE


def draw_filters(folder: Path, runs: Sequence[str]) -> list[Path]:
    """Draw the first layers of the runs' backbones, one below the other, and return the files.

    Raises:
        RunDirError: There is no such run.
        VisualizeError: A run has no checkpoint, or a network without a known first layer.
    """
    import matplotlib as mpl

    trained = [load_trained(name) for name in runs]
    layers = [layer for one in trained for layer in first_layers(one)]
    boards = [tile(layer.weights) for layer in layers]
    sizes = []
    for layer, board in zip(layers, boards, strict=True):
        _, channels, side, _ = layer.weights.shape
        pixel = (WIDTH - 0.1) / per_line(channels) / (side + 1)  # of the width of a full line
        sizes.append((pixel * board.shape[1], pixel * board.shape[0]))
    width = max(NARROWEST, 0.1 + max(wide for wide, _ in sizes))
    height = sum(high + TITLE + 0.06 for _, high in sizes) + 0.02
    with mpl.rc_context(STYLE):
        figure = new_figure(width, height)
        top = 0.02
        for layer, board, (wide, high) in zip(layers, boards, sizes, strict=True):
            count, channels, side, _ = layer.weights.shape
            text = f"{layer.title}: {count} filters of {side} x {side}, {channels} channels"
            figure.text(0.05 / width, 1 - (top + 0.04) / height, text, va="top", fontsize=7)
            top += TITLE + high
            ax = figure.add_axes((0.05 / width, 1 - top / height, wide / width, high / height))
            ax.imshow(board, interpolation="none", aspect="auto")
            bare(ax)
            top += 0.06
        keys = [one.run.key[:SHORT] for one in trained]
        return write(figure, folder, "-".join(["filters", *keys]))
