"""Where the attention of a trained network looks, over a clip (thesis Figures 4.1, 4.8 and 4.9).

The clip, and below it the weights that a reference point, marked red, has for all positions, one row a point.
For a block with one map for all positions (CPA, GC, and the gate over positions of CBAM) there is that one.

Weights are shown times the number of positions: softmax weights in multiples of their mean (CPA's are that already),
and otherwise f itself, a dot product, a cosine or a ReLU's output; CBAM's gate is shown as it is.

Choices that the thesis leaves silent:

* The clip is the one that the network reads in evaluation: the centred view, its centre crop.
* A row has one scale, from its lowest weight to the quantile `HIGHEST` of the clip, for the weight of a point on itself
  is often far above all others; both ends and the maximum are printed. Maps are enlarged bilinearly.
* The default place is the last of those with the largest maps: res3's second block of the thesis' five.
* The default points are where the most moves, and the corner where the least does, in one frame: motion is the smaller
  one of a pixel's differences from the frames before and after, averaged over a window of a quarter of the side.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from benchmark.models.gates.channel_gate import over_maps
from benchmark.models.modules.attention import Position
from benchmark.models.modules.cbam import Cbam
from benchmark.models.modules.global_context import GlobalContext
from benchmark.models.modules.nonlocal_block import NonLocal
from benchmark.models.modules.pyramid_attention import PyramidAttention
from benchmark.models.modules.regional_nonlocal import RegionalNonLocal
from benchmark.visualize.colours import Rgb, number
from benchmark.visualize.errors import VisualizeError
from benchmark.visualize.figure import STYLE, write
from benchmark.visualize.rows import Row
from benchmark.visualize.strip import spread, strip
from benchmark.visualize.trained import SHORT, load_trained
from benchmark.visualize.view import Seen, View, choose, open_view

if TYPE_CHECKING:
    pass

Query = tuple[int, int, int] | tuple[int, int]
"""Column of the picture, y and x in pixels of a frame; or y and x in pixels of the video."""
HIGHEST = 0.99
COLUMNS = 8
OPACITY = 0.6
HEAT = "inferno"

ATTENTIONS: dict[str, type[nn.Module]] = {
    "rnl": RegionalNonLocal,
    "nl": NonLocal,
    "cpa": PyramidAttention,
    "gc": GlobalContext,
    "cbam": Cbam,
}
"""Name in `model.insert` -> module."""


@torch.no_grad()
def weights_of(seen: Seen, queries: Sequence[Position]) -> NDArray[np.float32]:
    """What is shown of a module: (Q, T, H, W) for Q positions, or (1, T, H, W) of a map for all."""
    module, x, frames = seen.module, seen.maps, seen.frames
    if isinstance(module, RegionalNonLocal | NonLocal):
        weights = module.attention_map(x, frames, queries)[0]
        weights = weights * weights[0].numel()
    elif isinstance(module, Cbam):
        gate = module.position_gate(x * over_maps(module.gate(x, frames), x, frames), frames)
        weights = gate.transpose(0, 1)
    else:
        weights = module.attention(x, frames)
        weights = weights / weights.mean()
    return weights.float().numpy()


def unit(seen: Seen) -> str:
    """What the numbers of `weights_of` are."""
    if isinstance(seen.module, RegionalNonLocal):
        return {"gaussian": "× mean", "dot": "dot", "dot_relu": "dot", "cosine": "cosine"}[seen.module.similarity]
    if isinstance(seen.module, NonLocal):
        return {"dot_product": "dot", "concatenation": "f"}.get(seen.module.instantiation, "× mean")
    return "gate" if isinstance(seen.module, Cbam) else "× mean"


def reference_points(frames: Rgb) -> list[Position]:
    """A point of the moving region and one of the background, in one frame: (frame, y, x) of (T, S, S, 3) frames.

    The first and the last frame have neighbours on one side only, so they are passed over where there are others. Where
    nothing moves, the first point is the centre of the middle frame.
    """
    values = torch.from_numpy(frames.astype(np.float32)).mean(-1)
    count, side = len(values), values.shape[1]
    window = max(1, side // 4)
    motion = torch.zeros_like(values)
    if count > 1:
        change = values.diff(dim=0).abs()
        motion = torch.minimum(torch.cat([change[:1], change]), torch.cat([change, change[-1:]]))
    # (T, S - window + 1, S - window + 1): the mean of every window that lies in the frame.
    mean = F.avg_pool2d(motion[:, None], window, 1).squeeze(1)
    inner = slice(1, -1) if count > 2 else slice(None)
    most, last = mean[inner].amax((1, 2)), side - window
    frame, found = count // 2, (last // 2, last // 2)
    if float(most.max()):
        frame = int(most.argmax()) + (inner.start or 0)
        y, x = divmod(int(mean[frame].argmax()), last + 1)
        found = (y, x)
    corners = [(y, x) for y in (0, last) for x in (0, last)]
    corner = min(corners, key=lambda place: float(mean[frame][place]))
    return [(frame, y + window // 2, x + window // 2) for y, x in (found, corner)]


def overlay(frames: Rgb, weights: NDArray[np.float32]) -> tuple[Rgb, str]:
    """Weights (T, H, W) in colours over greyed frames (T, S, S, 3), and their scale in words."""
    import matplotlib as mpl

    low, high, most = (float(v) for v in (weights.min(), np.quantile(weights, HIGHEST), weights.max()))
    # Cut off before enlarging: a single high weight would otherwise fill all of the square that it reaches.
    share = np.clip((weights - low) / (high - low), 0, 1) if high > low else np.zeros_like(weights)
    large = F.interpolate(torch.from_numpy(share)[:, None], frames.shape[1:3], mode="bilinear", align_corners=False)
    heat = 255 * mpl.colormaps[HEAT](large.squeeze(1).numpy())[..., :3]
    mixed = OPACITY * heat + (1 - OPACITY) * frames.mean(-1, keepdims=True)
    words = f"{number(low)} to {number(high)}, max {number(most)}" if high > low else f"{number(low)} everywhere"
    return np.rint(mixed).astype(np.uint8), words


def _point(query: Query, view: View, count: int) -> Position:
    """The column, y and x in pixels of a frame, that a query names. Raises VisualizeError: it lies outside."""
    text = f"--query {','.join(map(str, query))}"
    if len(query) == 2:
        try:
            return (count // 2, *view.of_video(*query))
        except VisualizeError as error:
            raise VisualizeError(f"{text}: {error}") from None
    side = view.frames.shape[1]
    if not all(0 <= i < n for i, n in zip(query, (count, side, side), strict=True)):
        raise VisualizeError(
            f"{text}: t is 0 to {count - 1}, y and x are 0 to {side - 1} of what is seen; Y,X alone is of the video"
        )
    return query


def draw_attention(
    folder: Path,
    run: str,
    target: str | None = None,
    place: str | None = None,
    queries: Sequence[Query] = (),
    size: int | None = None,
    columns: int = COLUMNS,
) -> list[Path]:
    """Draw the attention of a run over a clip and return the files.

    Args:
        folder: Where the files go.
        run: Run key.
        target: The clip, see `open_view`.
        place: The module, see `choose`.
        queries: Reference points: column of the picture without `columns`, from 0, then y and x in pixels of a frame;
            or y and x in pixels of the video, in the middle column.
        size: Side of the frames that the network is given, in pixels, if not the run's own.
        columns: Maps shown at most, evenly spread; those with a reference point are among them.

    Raises:
        DataError: The clip or the run cannot be shown, or has no attention, or a point lies outside.
    """
    trained = load_trained(run)
    view = open_view(trained, ATTENTIONS, target, size)
    seen = choose(view.seen, place)
    count, height, width = seen.size
    frames = view.frames[view.stems(count)]
    side = frames.shape[1]
    has_queries = isinstance(seen.module, RegionalNonLocal | NonLocal)
    if queries and not has_queries:
        raise VisualizeError(f"--query: {seen.name} has one map for all positions")
    asked = [_point(query, view, count) for query in queries]
    points = (asked or reference_points(frames)) if has_queries else []
    weights = weights_of(seen, [(t, y * height // side, x * width // side) for t, y, x in points])
    shown = spread(count, columns, [t for t, _, _ in points])
    rows, marks = [Row("Frames", "", "", frames[shown])], {}
    for i, values in enumerate(weights):
        images, words = overlay(frames, values)
        title, origin = "Weights of all positions", "dark to bright:"
        if points:
            t, y, x = points[i]
            marks[i + 1, shown.index(t)] = (y, x)
            title = f"Point {i + 1}" if queries else ("On what moves", "In the background")[i]
            if queries and len(queries[i]) == 2:
                title += f": {queries[i][0]},{queries[i][1]} of the video"
            origin = f"frame {t}, y {y}, x {x}; dark to bright:"
        rows.append(Row(title, origin, f"{unit(seen)}: {words}", images[shown]))
    pooled = "" if weights.shape[2:] == (height, width) else " ({} × {} as keys)".format(*weights.shape[2:])
    what = f"{seen.kind} after {seen.place}, {count} × {height} × {width} positions{pooled}, {trained.origin}"
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        figure = strip(view.title, what, [f"frame {t}" for t in shown], rows, marks)
        return write(figure, folder, f"attention-{trained.run.key[:SHORT]}-{seen.name}-{view.name}")
