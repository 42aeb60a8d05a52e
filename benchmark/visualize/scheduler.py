"""The scale scheduler's weight of the projection loss over training (Dynamic Appearance, Eq. 13; joint.py corrects it).

Its shape depends on the number of iterations, since its steps are logarithmic: curves are drawn for `total` of them,
or, where a run used the scheduler, for the run's own number as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.runs.find import find_run
from benchmark.train.joint import scheduler_alpha
from benchmark.visualize.errors import VisualizeError
from benchmark.visualize.figure import PALETTE, STYLE, new_figure, write
from benchmark.visualize.trained import SHORT, config_of, training_curve

PAPER = ((0.1, 0.1), (0.2, 0.1), (0.2, 0.3), (0.5, 0.3))
"""(gamma, lambda) of the paper's comparison."""

LINES = ("-", (0, (5, 1.5)), (0, (2, 1)), (0, (5, 1, 1, 1)))
POINTS = 1000


@dataclass(frozen=True)
class Used:
    """The weight that a run gave its projection loss: the mean of every epoch, at the middle of the epoch.

    `setting` is the gamma, lambda and M of a run that used the scheduler.
    """

    name: str
    share: tuple[float, ...]
    alpha: tuple[float, ...]
    setting: tuple[float, float, int] | None = None


def curve(gamma: float, lam: float, total: int) -> tuple[np.ndarray, np.ndarray]:
    """(m / M, alpha) at up to 3 POINTS steps, closer together after the start and gamma M, where alpha falls fastest.

    Raises:
        VisualizeError: A value is out of its range.
    """
    if total < 2:
        raise VisualizeError(f"--total {total}: a training has at least two iterations")
    falling = np.geomspace(1, total, POINTS)
    steps = np.concatenate([falling, gamma * total + np.append(0, falling), np.linspace(1, total, POINTS)])
    steps = np.unique(steps.round().astype(int))
    steps = steps[(steps >= 1) & (steps <= total)]
    try:
        alpha = [scheduler_alpha(int(step), total, gamma, lam) for step in steps]
    except ValueError as error:
        raise VisualizeError(f"gamma {gamma:g}, lambda {lam:g}: {error}") from error
    return steps / total, np.array(alpha)


def used_by(name: str) -> Used:
    """What a run used.

    Raises:
        RunDirError: There is no such run.
        VisualizeError: It recorded no weight.
    """
    run = find_run(name)
    config = config_of(run)
    lines = [line for line in training_curve(run) if line.get("alpha") is not None]
    if not lines:
        raise VisualizeError(f"run {run.key} recorded no alpha: its network has no projection loss")
    joint = config.train.joint
    how = joint.strategy + (f" γ {joint.gamma:g}, λ {joint.lam:g}" if joint.strategy == "scheduler" else "")
    share = tuple((line["epoch"] + 0.5) / config.train.epochs for line in lines)
    steps = (
        lines[0]["clips"] + lines[0]["unreadable"]
    ) // config.train.batch_size  # the last, smaller batch is dropped
    total = config.train.epochs * max(1, steps)
    setting = (joint.gamma, joint.lam, total) if joint.strategy == "scheduler" and total > 1 else None
    name = f"run {run.key[:SHORT]}, {how}" + (f", M = {total}" if setting else "")
    return Used(name, share, tuple(float(line["alpha"]) for line in lines), setting)


def draw_scheduler(
    folder: Path, settings: Sequence[tuple[float, float]] = PAPER, runs: Sequence[str] = (), total: int = 10_000
) -> list[Path]:
    """Draw alpha(m) and return the files.

    Args:
        folder: Where the files go.
        settings: (gamma, lambda) of each curve.
        runs: Run keys whose own weights are laid over the curves.
        total: M, iterations of the training.

    Raises:
        VisualizeError: A value is out of its range, or a run has no weights.
    """
    import matplotlib as mpl

    curves = [(gamma, lam, curve(gamma, lam, total)) for gamma, lam in settings]
    overlays = [used_by(name) for name in runs]
    with mpl.rc_context(STYLE):
        above = 0.13 * len(overlays)
        figure = new_figure(3.6, 2.6 + above)
        height = figure.get_figheight()
        ax = figure.add_axes((0.12, 0.4 / height, 0.85, (2.13 - (0.06 if overlays else 0)) / height))
        lines: list[Any] = []
        for i, (gamma, lam, (share, alpha)) in enumerate(curves):
            colour, style = PALETTE[i % len(PALETTE)], LINES[i % len(LINES)]
            lines += ax.plot(share, alpha, color=colour, linestyle=style, linewidth=1, label=f"γ {gamma:g}, λ {lam:g}")
            turn = scheduler_alpha(max(1, round(gamma * total)), total, gamma, lam)
            ax.plot([gamma], [turn], "o", color=colour, markersize=2.5)
        marks: list[Any] = []
        for i, used in enumerate(overlays):
            colour = PALETTE[-1 - i % len(PALETTE)]
            if used.setting:
                ax.plot(*curve(*used.setting), color=colour, linewidth=0.5)
            label = f"{used.name} (epoch means)"
            marks += ax.plot(used.share, used.alpha, "x", color=colour, markersize=4, label=label, clip_on=False)
        ax.set_xlim(0, 1)
        ax.set_ylim(0, 1.02)
        ax.set_xlabel(f"m / M, share of the M = {total} iterations")
        ax.set_ylabel("α, weight of the projection loss")
        ax.add_artist(ax.legend(handles=lines, frameon=False, fontsize=6, loc="upper right", bbox_to_anchor=(1, 0.96)))
        if marks:
            ax.legend(handles=marks, frameon=False, fontsize=6, loc="lower left", bbox_to_anchor=(-0.02, 1.0))
        return write(figure, folder, "scheduler")
