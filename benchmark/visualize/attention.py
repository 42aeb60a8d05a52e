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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.data.sampling import eval_indices
from benchmark.data.transforms import eval_transform, normalise
from benchmark.launch.rundir import RunDir, runs_root
from benchmark.models.build import build_model
from benchmark.models.modules.cbam import Cbam
from benchmark.models.modules.global_context import GlobalContext
from benchmark.models.modules.nonlocal_block import NonLocal, Position
from benchmark.models.modules.pyramid_attention import PyramidAttention
from benchmark.models.modules.regional_nonlocal import RegionalNonLocal
from benchmark.models.modules.squeeze_excitation import over_maps
from benchmark.visualize.clip import GAP, LINE, MARGIN, TALLEST, WHEEL
from benchmark.visualize.colours import Rgb, flow_wheel, number
from benchmark.visualize.errors import VisualizeError
from benchmark.visualize.figure import STYLE, WIDTH, bare, new_figure, write
from benchmark.visualize.rows import Row
from benchmark.visualize.source import open_source
from benchmark.visualize.trained import SHORT, Trained, config_of, load_trained

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HIGHEST = 0.99
COLUMNS = 8
OPACITY = 0.6
HEAT = "inferno"
TOP = 0.52
"""Inches: two lines of title and the numbers of the frames."""

ATTENTIONS: dict[str, type[nn.Module]] = {
    "rnl": RegionalNonLocal,
    "nl": NonLocal,
    "cpa": PyramidAttention,
    "gc": GlobalContext,
    "cbam": Cbam,
}
"""Name in `model.insert` -> module."""


@dataclass(frozen=True)
class Seen:
    """A module of a network and the maps that it was given for a clip.

    `place` is that of the config, such as res3.2, or the module's path in a network without such places; `maps` is
    (T, C, H, W), of one clip.
    """

    place: str
    kind: str
    module: Any
    maps: Tensor
    frames: int

    @property
    def name(self) -> str:
        """Place and kind, which tell a module from all others: `res3.2.rnl`."""
        return f"{self.place}.{self.kind}"

    @property
    def size(self) -> Position:
        """T, H and W."""
        return self.frames, self.maps.shape[2], self.maps.shape[3]


@dataclass(frozen=True)
class View:
    """A clip as a run's network reads it: `frames` (n, S, S, 3) uint8, and what the modules asked for were given."""

    name: str
    title: str
    frames: Rgb
    seen: list[Seen]

    def stems(self, maps: int) -> NDArray[np.int64]:
        """The frame that each of `maps` maps is shown with: the middle one of its share of the clip."""
        return ((np.arange(maps) + 0.5) * len(self.frames) / maps).astype(np.int64)


def open_view(trained: Trained, kinds: Mapping[str, type[nn.Module]], target: str | None, size: int | None) -> View:
    """Run a run's network on a clip and keep what some of its modules receive.

    Args:
        trained: The run.
        kinds: Name -> class of the modules.
        target: A clip as in `open_source`; the first of the run's validation clips by default.
        size: Side of the crop in pixels, if not the run's own.

    Raises:
        DataError: There is no such clip. VisualizeError: The network has no such module, or reads optical flow, or is
            not of its checkpoint.
    """
    config = trained.config
    network = _network(trained)
    places = {place.replace(".", "_"): place for place in getattr(config.model, "inserted_at", ())}
    given: dict[str, tuple[Tensor, int]] = {}
    found: list[tuple[str, str, str, nn.Module]] = []
    for path, module in network.named_modules():
        for kind, of in kinds.items():
            if isinstance(module, of):
                key = next((part for part in path.split(".") if part in places), "")
                found.append((path, places.get(key, path), kind, module))
                module.register_forward_pre_hook(_keeper(given, path))
    if not found:
        raise VisualizeError(_without(trained, kinds))
    if config.modality != "rgb":
        raise VisualizeError(f"run {trained.run.key} reads optical flow: only runs on frames are shown")
    source = open_source(target or f"{config.data.dataset}:val:0", 4096)
    data, scale = config.data, config.eval.scale
    if size is not None:
        data, scale = data.model_copy(update={"size": size}), round(size * scale / data.size)
    length = config.model.frames_per_segment
    (wanted,) = eval_indices(source.frames, data.segments, length, data.sampling, 1)
    (crop,) = eval_transform(source.read(wanted), data.size, scale, 1)
    with torch.no_grad():
        network(normalise(crop, data.normalisation)[None])
    seen = [Seen(place, kind, module, *given[path]) for path, place, kind, module in found if path in given]
    return View(source.name, source.title, crop.permute(0, 2, 3, 1).numpy(), seen)


def _keeper(given: dict[str, tuple[Tensor, int]], path: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
    def keep(module: nn.Module, arguments: tuple[Any, ...]) -> None:
        # A layer behind may work in place.
        given[path] = (arguments[0].clone(), arguments[1])

    return keep


def _network(trained: Trained) -> nn.Module:
    model = trained.config.model
    # The checkpoint has all weights; the file of the pretrained ones is not needed.
    with torch.random.fork_rng(devices=[]):
        network = build_model(model.model_copy(update={"pretrained": None}), trained.config.data)
    try:
        network.load_state_dict(trained.weights)
    except RuntimeError as error:
        raise VisualizeError(f"{trained.run.path}/checkpoint.pt is not of its config: {error}") from error
    return network.eval()


def _without(trained: Trained, kinds: Mapping[str, type[nn.Module]]) -> str:
    *most, last = kinds
    named = f"{', '.join(most)} or {last}" if most else last
    root, having = runs_root(), []
    for folder in sorted(root.iterdir()) if root.is_dir() else []:
        run = RunDir(folder)
        if not (folder / "config.json").is_file() or not (folder / "checkpoint.pt").is_file():
            continue
        try:
            inserted = [name for name in getattr(config_of(run).model, "insert", ()) if name in kinds]
        except VisualizeError:
            continue
        having += [f"{run.key[:SHORT]} ({', '.join(inserted)})"] if inserted else []
    runs = f"runs of {root}/ that have: {', '.join(having)}" if having else f"no run of {root}/ has one"
    return f"run {trained.run.key}: {trained.config.model.name} has no {named}; {runs}"


def choose(seen: Sequence[Seen], place: str | None) -> Seen:
    """The module at a place, named as `res3.2`, `res3.2.rnl` or, for all of a stage, `res3`; or the default one.

    Where several are possible, those that have a map for every position come first, then those with the largest maps,
    then the last of the network.

    Raises:
        VisualizeError: There is none at that place.
    """
    there = [one for one in seen if place is None or f"{one.name}.".startswith(f"{place}.")]
    if not there:
        raise VisualizeError(f"--place {place}: the run has {', '.join(one.name for one in seen)}")
    return max(
        reversed(there),
        key=lambda one: (isinstance(one.module, RegionalNonLocal | NonLocal), one.maps.shape[2] * one.maps.shape[3]),
    )


@torch.no_grad()
def weights_of(seen: Seen, queries: Sequence[Position]) -> NDArray[np.float32]:
    """What is shown of a module: (Q, T, H, W) for Q positions, or (1, T, H, W) of a map for all."""
    module, x, frames = seen.module, seen.maps, seen.frames
    if isinstance(module, RegionalNonLocal | NonLocal):
        weights = module.attention_map(x, frames, queries)[0]
        weights = weights * weights[0].numel()
    elif isinstance(module, Cbam):
        gate = module.position_gate(x * over_maps(module.channel_gate(x, frames), x, frames), frames)
        weights = gate.transpose(0, 1)
    else:
        weights = module.attention(x, frames)
        weights = weights / weights.mean()
    return weights.float().numpy()


def unit(seen: Seen) -> str:
    """What the numbers of `weights_of` are."""
    if isinstance(seen.module, RegionalNonLocal):
        return {"gaussian": "× mean", "dot": "dot", "cosine": "cosine"}[seen.module.similarity]
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


def draw_attention(
    folder: Path,
    run: str,
    target: str | None = None,
    place: str | None = None,
    queries: Sequence[Position] = (),
    size: int | None = None,
    columns: int = COLUMNS,
) -> list[Path]:
    """Draw the attention of a run over a clip and return the files.

    Args:
        folder: Where the files go.
        run: Run key.
        target: The clip, see `open_view`.
        place: The module, see `choose`.
        queries: Reference points: column of the picture without `columns`, from 0, then y and x in pixels of a frame.
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
    for point in queries:
        if not all(0 <= i < n for i, n in zip(point, (count, side, side), strict=True)):
            text = ",".join(str(i) for i in point)
            raise VisualizeError(f"--query {text}: t is 0 to {count - 1}, y and x are 0 to {side - 1}")
    points = (list(queries) or reference_points(frames)) if has_queries else []
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
            origin = f"frame {t}, y {y}, x {x}; dark to bright:"
        rows.append(Row(title, origin, f"{unit(seen)}: {words}", images[shown]))
    pooled = "" if weights.shape[2:] == (height, width) else " ({} × {} as keys)".format(*weights.shape[2:])
    what = f"{seen.kind} after {seen.place}, {count} × {height} × {width} positions{pooled}, {trained.origin}"
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        figure = strip(view.title, what, [f"frame {t}" for t in shown], rows, marks)
        return write(figure, folder, f"attention-{trained.run.key[:SHORT]}-{seen.name}-{view.name}")


def spread(count: int, columns: int, needed: Sequence[int] = ()) -> list[int]:
    """At most `columns` of `count` places, evenly spread; each needed one takes the place of its nearest."""
    shown = np.unique(np.linspace(0, count - 1, min(columns, count)).round().astype(int)).tolist()
    for t in dict.fromkeys(needed):
        if t not in shown:
            free = [i for i, place in enumerate(shown) if place not in needed]
            if free:
                shown[min(free, key=lambda i: abs(shown[i] - t))] = t
            else:
                shown.append(t)
    return sorted(shown)


def strip(
    title: str,
    subtitle: str,
    columns: Sequence[str],
    rows: Sequence[Row],
    marks: Mapping[tuple[int, int], tuple[int, int]] | None = None,
) -> Figure:
    """Rows of images, a column each place of a clip.

    Args:
        title: First line.
        subtitle: Second line.
        columns: What stands above each.
        rows: Of as many images (S, S, 3).
        marks: (row, column) -> (y, x), a red point there.
    """
    side = min((WIDTH - MARGIN) / len(columns) - GAP, TALLEST)
    pitch = max(side, 3 * LINE + 0.03) + GAP
    total = TOP + len(rows) * pitch
    figure = new_figure(max(WIDTH, MARGIN + len(columns) * (side + GAP)), total)
    width = figure.get_figwidth()
    most = int(width / 0.069)  # characters of bold type
    title = title if len(title) <= most else f"{title[: most - 1]}…"
    for i, (text, weight) in enumerate(((title, "bold"), (subtitle, "normal"))):
        y = 1 - (0.05 + 0.15 * i) / total
        figure.text(0.05 / width, y, text, va="top", fontsize=7.5 - i, weight=weight, parse_math=False)
    for i, text in enumerate(columns):
        centre = MARGIN + i * (side + GAP) + side / 2
        figure.text(centre / width, 1 - (TOP - 0.03) / total, text, ha="center", va="bottom", size=6)
    for r, row in enumerate(rows):
        top = TOP + r * pitch
        for i, text in enumerate(line for line in (row.title, row.origin, row.scale) if line):
            y = 1 - (top + 0.02 + LINE * i) / total
            figure.text(
                0.05 / width, y, text, va="top", fontsize=6.5 if i == 0 else 6, weight="normal" if i else "bold"
            )
        if row.is_flow:
            box = ((MARGIN - WHEEL - 0.06) / width, 1 - (top + WHEEL) / total, WHEEL / width, WHEEL / total)
            ax = figure.add_axes(box)
            ax.imshow(flow_wheel(96), interpolation="none")
            bare(ax)
        for i, image in enumerate(row.images):
            left = MARGIN + i * (side + GAP)
            ax = figure.add_axes((left / width, 1 - (top + side) / total, side / width, side / total))
            ax.imshow(image, interpolation="none", aspect="auto")
            bare(ax)
            if marks and (r, i) in marks:
                y, x = marks[r, i]
                ax.plot([x], [y], marker="o", color="red", markersize=3.5, markeredgecolor="white", markeredgewidth=0.5)
    return figure
