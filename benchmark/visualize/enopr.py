"""ENoPR against the recognition loss, a point per epoch: do the two losses of dynamic appearance fall together?

ENoPR is the projection loss (Huang and Bors, "Dynamic Appearance", AAAI 2023, Eq. 7 and 8), the expected squared norm
of the projection's residual; both losses are means over an epoch's training clips as they were seen. Pearson's r is
given without a p-value: the epochs of a run follow from each other and are no independent sample.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.runs.find import find_run
from benchmark.visualize.errors import VisualizeError
from benchmark.visualize.figure import PALETTE, STYLE, new_figure, write
from benchmark.visualize.trained import SHORT, config_of, training_curve

MARKERS = "osD^vPX"


@dataclass(frozen=True)
class Losses:
    """ENoPR, or another projection loss (`kind` says which), and the recognition loss of a run's epochs."""

    name: str
    key: str
    kind: str
    enopr: tuple[float, ...]
    loss: tuple[float, ...]


def read_losses(name: str) -> Losses:
    """The two losses of a run by epoch.

    Raises:
        RunDirError: There is no such run.
        VisualizeError: It has not finished an epoch, or its network has no projection loss.
    """
    run = find_run(name)
    config = config_of(run)
    lines = [line for line in training_curve(run) if line.get("residual") is not None]
    if not lines:
        raise VisualizeError(
            f"run {run.key} recorded no ENoPR: its network has no projection loss; name a run of dynamic_appearance,"
            " squeezed_image or tesnet"
        )
    strategy = config.train.joint.strategy
    text = f"run {run.key[:SHORT]}" + (f", {strategy}" if strategy != "none" else "")
    enopr, loss = (tuple(float(line[key]) for line in lines) for key in ("residual", "loss"))
    is_pwtp = config.representation == "dynamic_appearance"
    kind = "ENoPR" if is_pwtp else "projection loss"
    return Losses(text, run.key, kind, enopr, loss)


def correlation(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Pearson's r, or None where it is not defined: fewer than three points, or one quantity that does not change."""
    from scipy.stats import pearsonr

    finite = [(a, b) for a, b in zip(x, y, strict=True) if math.isfinite(a) and math.isfinite(b)]
    if len(finite) < 3 or any(len(set(values)) < 2 for values in zip(*finite, strict=True)):
        return None
    return float(pearsonr(*zip(*finite, strict=True)).statistic)


def legend_text(name: str, x: Sequence[float], y: Sequence[float]) -> str:
    """Such as `run 1a2b3c4d: r = 0.93, n = 7`."""
    r = correlation(x, y)
    return f"{name}: " + ("r undefined" if r is None else f"r = {r:.2f}".replace("-", "−")) + f", n = {len(x)}"


def draw_enopr(folder: Path, runs: Sequence[str]) -> list[Path]:
    """Draw ENoPR against the recognition loss of some runs and return the files.

    Raises:
        VisualizeError: See `read_losses`.
    """
    import matplotlib as mpl

    several = [read_losses(name) for name in runs]
    if len({losses.kind for losses in several}) > 1:
        raise VisualizeError(
            "ENoPR is a squared norm, the projection loss of squeezed images is not: draw their runs apart"
        )
    with mpl.rc_context(STYLE):
        figure = new_figure(3.6, 2.9 + 0.13 * len(several))
        ax = figure.add_axes(
            (0.14, 0.15, 0.83, 0.83 - 0.15 * (len(several) + (len(several) > 1)) / figure.get_figheight())
        )
        for i, losses in enumerate(several):
            colour, marker = PALETTE[i % len(PALETTE)], MARKERS[i % len(MARKERS)]
            ax.plot(losses.enopr, losses.loss, color=colour, linewidth=0.5, alpha=0.5, zorder=1)
            label = legend_text(losses.name, losses.enopr, losses.loss)
            ax.plot(losses.enopr, losses.loss, marker, color=colour, markersize=3.5, label=label, zorder=2)
            ax.annotate("1", (losses.enopr[0], losses.loss[0]), (3, 3), textcoords="offset points", fontsize=5.5)
            if len(losses.loss) > 1:
                last = str(len(losses.loss))
                ax.annotate(
                    last,
                    (losses.enopr[-1], losses.loss[-1]),
                    (-3, -3),
                    textcoords="offset points",
                    ha="right",
                    va="top",
                    fontsize=5.5,
                )
        if len(several) > 1:
            x, y = ([value for one in several for value in getattr(one, key)] for key in ("enopr", "loss"))
            ax.plot([], [], linestyle="none", label=legend_text("all runs", x, y))
        ax.margins(0.08)
        ax.set_xlabel(f"{several[0].kind}, mean over an epoch (numbers: first and last epoch)")
        ax.set_ylabel("recognition loss, mean over an epoch")
        ax.legend(frameon=False, fontsize=6, loc="lower left", bbox_to_anchor=(-0.02, 1.0), handletextpad=0.3)
        return write(figure, folder, "-".join(["enopr", *(losses.key[:SHORT] for losses in several)]))
