"""The kernels of an MBPM before and after training (Huang and Bors, WACV 2022, Section 3): LoG and temporal filter.

The LoG of each channel is drawn as an image and as a surface, on one scale; the change that training made, which is
small beside the kernel, on a scale of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmark.models.modules.mbpm import HIGH_PASS, laplacian_of_gaussian
from benchmark.visualize.colours import number
from benchmark.visualize.errors import VisualizeError
from benchmark.visualize.figure import DIVERGING, PALETTE, STYLE, new_figure, write
from benchmark.visualize.representation import mbpm_config
from benchmark.visualize.trained import SHORT, load_trained

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMN, IMAGE_ROW, SURFACE_ROW, BAR_ROW = 1.75, 1.6, 1.65, 1.15


@dataclass(frozen=True)
class Kernel:
    """One channel's filters: `spatial` (k, k) and `temporal` (3,)."""

    title: str
    spatial: NDArray[np.float32]
    temporal: NDArray[np.float32]


def initial_kernel(kernel_size: int, sigma: float) -> Kernel:
    """The filters that every channel starts with."""
    return Kernel("as initialised", laplacian_of_gaussian(kernel_size, sigma).numpy(), np.array(HIGH_PASS, np.float32))


def draw_kernels(folder: Path, run: str | None = None, kernel_size: int = 9, sigma: float = 1.1) -> list[Path]:
    """Draw the kernels of a run's MBPM (of BQN, that before the Busy pathway), or those that an MBPM starts with.

    `kernel_size` and `sigma` are for the latter. Returns the files.

    Raises:
        RunDirError: There is no such run.
        VisualizeError: It has no MBPM, or an initial kernel cannot be made.
    """
    import matplotlib as mpl

    if run is None:
        if kernel_size % 2 == 0 or not 3 <= kernel_size <= 31 or not sigma > 0:
            raise VisualizeError(f"a LoG needs an odd side of 3 to 31 and sigma > 0, got {kernel_size} and {sigma:g}")
        kernels, name = [initial_kernel(kernel_size, sigma)], f"kernels-{kernel_size}-{sigma:g}"
        title = f"MBPM, {kernel_size} x {kernel_size}, σ {sigma:g}"
    else:
        trained = load_trained(run)
        config, prefix = mbpm_config(trained)
        weights = trained.part(prefix)
        spatial, temporal = weights["spatial"].float().numpy(), weights["temporal"].float().numpy()
        kernels = [initial_kernel(config.kernel_size, config.sigma)]
        kernels += [
            Kernel(f"trained, {colour}", spatial[c, 0], temporal[c, 0])
            for c, colour in enumerate(("red", "green", "blue"))
        ]
        origin = trained.origin if config.trainable else f"kept fixed in training ({trained.name})"
        title = f"MBPM, {config.kernel_size} x {config.kernel_size}, σ {config.sigma:g}: {origin}"
        name = f"kernels-{trained.run.key[:SHORT]}"
    with mpl.rc_context({**STYLE, "grid.linewidth": 0.3}):
        return write(_figure(title, kernels), folder, name)


def _figure(title: str, kernels: list[Kernel]) -> Figure:
    rows = [IMAGE_ROW, SURFACE_ROW, IMAGE_ROW, BAR_ROW] if len(kernels) > 1 else [IMAGE_ROW, SURFACE_ROW, BAR_ROW]
    width, height = max(2.6, COLUMN * len(kernels) + 0.75), sum(rows) + 0.3
    figure = new_figure(width, height)
    figure.text(0.08 / width, 1 - 0.06 / height, title, va="top", fontsize=7.5, weight="bold")
    largest = max(float(np.abs(kernel.spatial).max()) for kernel in kernels)
    initial = kernels[0]
    change = max(float(np.abs(kernel.spatial - initial.spatial).max()) for kernel in kernels)
    weights = [0.0, *(float(w) for kernel in kernels for w in kernel.temporal)]
    room = 0.3 * (max(weights) - min(weights))  # for the numbers at the bars' ends
    span = (min(weights) - room, max(weights) + room)
    for column, kernel in enumerate(kernels):
        left, bottom = 0.35 + COLUMN * column, height - 0.22
        image = _axes(figure, left + 0.1, bottom - rows[0] + 0.25, COLUMN - 0.35, rows[0] - 0.4)
        _image(image, kernel.spatial, largest, kernel.title)
        bottom -= rows[0]
        _surface(figure, (left - 0.05, bottom - rows[1], COLUMN, rows[1]), kernel.spatial, largest)
        bottom -= rows[1]
        if len(kernels) > 1:
            if column:
                ax = _axes(figure, left + 0.1, bottom - rows[2] + 0.25, COLUMN - 0.35, rows[2] - 0.4)
                _image(ax, kernel.spatial - initial.spatial, change, "change by training")
            bottom -= rows[2]
        bars = _axes(figure, left + 0.2, bottom - rows[-1] + 0.2, COLUMN - 0.45, rows[-1] - 0.4)
        _bars(bars, kernel, initial, span)
        if not column:
            bars.set_ylabel("weight", labelpad=1)
    return figure


def _axes(figure: Figure, left: float, bottom: float, wide: float, high: float, **more: Any) -> Axes:
    """Axes at a place in inches."""
    width, height = figure.get_figwidth(), figure.get_figheight()
    return figure.add_axes((left / width, bottom / height, wide / width, high / height), **more)


def _image(ax: Axes, kernel: NDArray[np.float32], largest: float, title: str) -> None:
    scale = largest or 1.0
    drawn = ax.imshow(kernel, cmap=DIVERGING, vmin=-scale, vmax=scale, interpolation="none")
    ax.set_title(title, pad=3)
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(True)
    bar = ax.figure.colorbar(drawn, ax=ax, fraction=0.05, pad=0.04, ticks=[-scale, 0, scale])
    bar.ax.set_yticklabels([f"−{number(scale)}", "0", number(scale)], fontsize=5.5)
    bar.outline.set_linewidth(0.4)


def _surface(
    figure: Figure, box: tuple[float, float, float, float], kernel: NDArray[np.float32], largest: float
) -> None:
    ax: Any = _axes(figure, *box, projection="3d")
    reach = kernel.shape[0] // 2
    x, y = np.meshgrid(np.arange(-reach, reach + 1), np.arange(-reach, reach + 1))
    ax.plot_surface(
        x,
        y,
        kernel,
        cmap=DIVERGING,
        vmin=-largest,
        vmax=largest,
        rcount=31,
        ccount=31,
        linewidth=0.2,
        edgecolor="#595959",
    )
    low = min(0.0, float(kernel.min()))
    ax.set_zlim(min(low, -0.1 * largest), largest)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_ticks([-reach, 0, reach])
    ax.locator_params(axis="z", nbins=4)
    ax.tick_params(labelsize=5, pad=-4)
    ax.view_init(elev=24, azim=-55)
    ax.set_box_aspect((1, 1, 0.8), zoom=0.9)


def _bars(ax: Axes, kernel: Kernel, initial: Kernel, span: tuple[float, float]) -> None:
    places = np.arange(3)
    ax.bar(places, kernel.temporal, width=0.6, color=PALETTE[0])
    if kernel is not initial:
        ax.plot(places, initial.temporal, linestyle="none", marker="_", markersize=14, color="black", label="initially")
    ax.axhline(0, color="black", linewidth=0.5)
    ax.set_ylim(*span)
    ax.set_xticks(places, ["t − 1", "t", "t + 1"])
    for place, weight in zip(places, kernel.temporal, strict=True):
        above = weight >= 0
        ax.annotate(
            f"{'' if above else '−'}{number(abs(float(weight)))}",
            (place, max(weight, 0) if above else min(weight, 0)),
            (0, 2 if above else -2),
            textcoords="offset points",
            ha="center",
            va="bottom" if above else "top",
            fontsize=5.5,
        )
    ax.set_title("temporal filter", pad=3)
