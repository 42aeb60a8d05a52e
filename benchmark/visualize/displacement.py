"""What a trained MotionSqueeze module takes for motion (Kwon et al., ECCV 2020, Figure 6).

From the top: frames of the clip; the displacements from each to the next one that the network reads, as hues; and their
confidences from black to white, min-max normalised. Displacements are given in pixels of the frames shown.

Choices that the paper leaves silent: the extremes of the normalisation, and the rim of the wheel of hues, are those of
the columns shown, so that these compare; maps are drawn at their own resolution, a square a position. The paper's maps
have 56 x 56 positions, which a network with the module after res3 makes of frames of 448 pixels (`size`). The clip is
the one that the network reads in evaluation: the centred view, its centre crop.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmark.models.modules.motion_squeeze import MotionSqueeze
from benchmark.visualize.colours import Rgb, flow_colours, magnitude_colours, number, robust_scale
from benchmark.visualize.figure import STYLE, write
from benchmark.visualize.rows import Row
from benchmark.visualize.strip import spread, strip
from benchmark.visualize.trained import SHORT, load_trained
from benchmark.visualize.view import Seen, choose, open_view

COLUMNS = 6
MODULES = {"motion_squeeze": MotionSqueeze}


@torch.no_grad()
def motion_of(seen: Seen, side: int) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Displacements to the next frame and their confidence.

    Args:
        seen: A MotionSqueeze module and its maps.
        side: Of the frames, pixels.

    Returns:
        (T - 1, H, W, 2), to the right and down, in pixels of a frame; and (T - 1, H, W) in [0, 1], or None where the
        module has no confidence.
    """
    module = seen.module
    field = module.displacement(seen.maps, seen.frames)[0].float()
    position = torch.tensor([side / seen.size[2], side / seen.size[1]])
    moved = field[:, :2].movedim(1, -1) * (module.patch // 2) * position
    return moved.numpy(), field[:, 2].numpy() if module.confidence else None


def normalised(values: NDArray[np.float32]) -> Rgb:
    """Greys from black at the minimum to white at the maximum: (...) to (..., 3) uint8; all black where they agree."""
    low = values.min()
    return magnitude_colours(values - low, float(values.max() - low))


def draw_displacement(
    folder: Path,
    run: str,
    target: str | None = None,
    place: str | None = None,
    size: int | None = None,
    columns: int = COLUMNS,
) -> list[Path]:
    """Draw the displacements and confidences of a run's MotionSqueeze over a clip and return the files.

    Args:
        folder: Where the files go.
        run: Run key.
        target: A clip as in `open_source`; the first of the run's validation clips by default.
        place: The module's place, such as res3, where there are several.
        size: Side of the frames that the network is given, in pixels, if not the run's own.
        columns: Frames shown at most, evenly spread.

    Raises:
        DataError: The clip or the run cannot be shown, or the run has no MotionSqueeze.
    """
    trained = load_trained(run)
    view = open_view(trained, MODULES, target, size)
    seen = choose(view.seen, place)
    count, height, width = seen.size
    frames = view.frames[view.stems(count)]
    side = frames.shape[1]
    moved, confidence = motion_of(seen, side)
    shown = spread(count - 1, columns)
    moved = moved[shown]
    rim = robust_scale(np.hypot(moved[..., 0], moved[..., 1]))
    rows = [
        Row("Frames", "", "", frames[shown]),
        Row("Displacement", "to the next frame", f"rim {number(rim)} px", flow_colours(moved, rim), is_flow=True),
    ]
    if confidence is not None:
        confidence = confidence[shown]
        ends = f"{number(float(confidence.min()))} to {number(float(confidence.max()))}"
        rows.append(Row("Confidence", "black to white:", ends, normalised(confidence)))
    of = f"motion_squeeze after {seen.place}, {height} × {width} positions, patch {seen.module.patch}, {trained.origin}"
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        figure = strip(view.title, of, [f"frame {t}" for t in shown], rows)
        return write(figure, folder, f"displacement-{trained.run.key[:SHORT]}-{seen.place}-{view.name}")
