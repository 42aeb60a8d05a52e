"""The columns that a table may have: their titles, units and where their values come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmark.config.datasets import AT_LEVEL, AXES, DATASETS
from benchmark.config.source import did_you_mean

MULTIPLES = {"K": 1e3, "M": 1e6, "G": 1e9}


@dataclass(frozen=True)
class Column:
    """A quantity. What is done with it, from our value's cell to the verdict on a claim, is said by its kind.

    Attributes:
        key, title: Its name in a table's file, and in a rendered table.
        unit: Of the value; counted ones are in 1e9 (G) or 1e6 (M), which a printed cell may override ("7.13K").
        kind: A name in report/columns/kinds.py. The fields from `path` on are each of one kind, and say what our value
            is; in columns of other kinds they mean nothing.
        better: Which way an improvement points.
        decimals: Shown of a value.
        path: Of a config column: the dotted key whose value it shows.
        metric: Of a measured one: its name in the results of a run.
        dataset: The data set that a measured value is of; "" for the table's own.
        quantity: Of a counted one: what is counted, of the network at paper scale.
        scope: The whole network, its representation alone (what it adds to the backbone), or the modules inserted.
        per: One view, or all views of a video.
        batch: Of a timed one: clips of a forward pass.
    """

    key: str
    title: str
    unit: str
    kind: str
    better: Literal["higher", "lower", "neither"]
    decimals: int = 1
    path: str = ""
    metric: str = ""
    dataset: str = ""
    quantity: Literal["macs", "params", ""] = ""
    scope: Literal["network", "representation", "inserts"] = "network"
    per: Literal["view", "video"] = "view"
    batch: int = 0

    @property
    def base(self) -> str:
        """The key without its data set: `top1` of `top1@ucf101`."""
        return self.key.partition("@")[0]


MEASURED = (
    Column("top1", "Top-1", "%", "measured", "higher", metric="top1"),
    Column("top5", "Top-5", "%", "measured", "higher", metric="top5"),
    Column("mean_class_acc", "Mean class acc.", "%", "measured", "higher", metric="mean_class_acc"),
    Column("member", "Member", "%", "measured", "higher", metric="member"),
    Column("enopr", "ENoPR", "", "measured", "lower", decimals=2, metric="residual"),
    Column("mae", "MAE", "", "measured", "lower", decimals=4, metric="residual"),
)
BY_LEVEL = tuple(
    Column(name, f"Top-1, {AXES[axis]} {level}", "%", "measured", "higher", metric=name)
    for name, (axis, level) in AT_LEVEL.items()
)
"""Of graded data sets alone, none of which is printed."""
OTHERS = (
    Column("gmacs", "GMACs", "G", "counted", "lower", decimals=2, quantity="macs"),
    Column("mparams", "Params", "M", "counted", "lower", decimals=2, quantity="params"),
    Column("gmacs_video", "GMACs, all views", "G", "counted", "lower", decimals=0, quantity="macs", per="video"),
    Column("extra_gmacs", "Added GMACs", "G", "counted", "lower", decimals=2, quantity="macs", scope="representation"),
    Column(
        "extra_mparams", "Added params", "M", "counted", "lower", decimals=2, quantity="params", scope="representation"
    ),
    Column("latency_ms", "Latency", "ms", "timed", "lower", batch=1),
    Column("throughput", "Throughput", "videos/s", "timed", "higher", batch=8),
    Column("speed", "Speed", "videos/s", "timed", "higher", batch=1),
    Column("insert_gmacs", "Module's GMACs", "G", "counted", "lower", decimals=2, quantity="macs", scope="inserts"),
    Column(
        "insert_mparams", "Module's params", "M", "counted", "lower", decimals=2, quantity="params", scope="inserts"
    ),
    Column("num_bplc", "# BPLC", "", "config", "neither", decimals=0, path="model.num_bplc"),
    Column("segments", "Segments", "", "config", "neither", decimals=0, path="data.segments"),
    Column("frames", "Frames", "", "config", "neither", decimals=0, path="frames"),
    Column("total_frames", "Frames", "", "config", "neither", decimals=0, path="total_frames"),
    Column("views", "Views", "", "config", "neither", decimals=0, path="views"),
    Column("pwtp_frames", "T", "", "config", "neither", decimals=0, path="model.dynamic_appearance.frames"),
    Column("pwtp_dims", "D", "", "config", "neither", decimals=0, path="model.dynamic_appearance.dims"),
    Column("pwtp_stride", "Stride", "", "config", "neither", decimals=0, path="model.dynamic_appearance.stride"),
    Column("pwtp_features", "Channels", "", "config", "neither", decimals=0, path="model.dynamic_appearance.features"),
    Column("bottleneck", "β", "", "config", "neither", decimals=2, path="model.dynamic_appearance.bottleneck"),
    Column("blocks", "B", "", "config", "neither", decimals=0, path="model.dynamic_appearance.blocks"),
    Column("expansion", "r", "", "config", "neither", decimals=0, path="model.dynamic_appearance.expansion"),
)


def _of_dataset(column: Column, dataset: str) -> Column:
    info = DATASETS[dataset]
    return Column(
        f"{column.key}@{dataset}",
        f"{info.short or info.title} {column.title}",
        column.unit,
        column.kind,
        column.better,
        column.decimals,
        metric=column.metric,
        dataset=dataset,
    )


COLUMNS: dict[str, Column] = {
    column.key: column
    for column in (
        *MEASURED,
        *BY_LEVEL,
        *OTHERS,
        *(
            _of_dataset(column, name)
            for name, info in DATASETS.built_in.items()
            if not info.generated
            for column in MEASURED
        ),
    )
}
"""By key. A measured column also exists for every printed data set: `top1@ucf101`."""


METRICS = {
    "top1": "clips whose first guess is right",
    "top5": "clips whose label is among the first five guesses",
    "mean_class_acc": "mean over the classes of the share that is right",
    "member": "clips whose label gets more than the other class of its mirrored pair",
    "residual": "projection loss, of networks that have one (dynamic_appearance, squeezed_image, tesnet)",
}
COUNTED_OF = {
    "network": "",
    "representation": ", what the representation adds",
    "inserts": ", the inserted modules alone",
}

OF_CONFIG = {"frames": "of a view", "total_frames": "of all views", "views": "of a video: clips times crops"}


def meaning(column: Column) -> str:
    """What a column's values are, in a few words."""
    if column.kind == "measured":
        title = DATASETS[column.dataset].title if column.dataset else ""
        of_level = "top-1 at that level"
        return METRICS.get(column.metric, of_level) + (f"; printed of {title}" if title else "")
    if column.kind == "counted":
        what = "multiply-adds, 1e9" if column.quantity == "macs" else "parameters, 1e6"
        return f"{what}{COUNTED_OF[column.scope]}{', of all views of a video' if column.per == 'video' else ''}"
    if column.kind == "timed":
        return f"forward passes of {column.batch} clip{'s'[: column.batch > 1]} at a time, at paper scale"
    return OF_CONFIG.get(column.path, column.path)


def known_column(key: str) -> str:
    """The key itself.

    Raises:
        ValueError: no column has it.
    """
    if key not in COLUMNS:
        own = [name for name, column in COLUMNS.items() if not column.dataset]
        raise ValueError(f"unknown column '{key}'.{did_you_mean(key, list(COLUMNS) if '@' in key else own)}")
    return key


def multiple_of(text: str) -> str:
    """The multiple that a printed number ends in: "K" of "7.13K", "" where there is none."""
    return text[-1] if text[-1:] in MULTIPLES else ""


def printed_value(text: str, column: Column) -> float:
    """The value of a printed cell, in the column's unit: "7.13K" in a column of M is 0.00713.

    Raises:
        ValueError: the text is no number, or has a multiple where the column has none.
    """
    number = text.strip()
    multiple = multiple_of(number)
    if not multiple:
        return float(number)
    if column.unit not in MULTIPLES:
        raise ValueError(f"'{text}' has a multiple, but {column.key} is not counted in multiples")
    return float(number[:-1]) * (MULTIPLES[multiple] / MULTIPLES[column.unit])


def shown_value(value: float, column: Column, decimals: int, multiple: str = "", least: int = 1) -> str:
    """A counted value in the column's unit; in a smaller one (0.0002 M: `0.20K`) where that shows too few digits.

    Args:
        value: In the column's unit.
        column: What it is of.
        decimals: To show; in `multiple` as many more as two digits take.
        multiple: K, M or G, to show it in that one in any case.
        least: Digits, not counting leading zeros, that the column's own unit must show of it.
    """
    smaller = [name for name, of in MULTIPLES.items() if of < MULTIPLES.get(column.unit, 0)]
    if not multiple and smaller and 0 < abs(value) < 10 ** (least - 1 - decimals):
        enough = (name for name in reversed(smaller) if abs(value) * MULTIPLES[column.unit] >= MULTIPLES[name] / 10)
        multiple = next(enough, smaller[0])
    if not multiple:
        return f"{value:.{decimals}f}"
    number = value * (MULTIPLES[column.unit] / MULTIPLES[multiple])
    while decimals < 6 and number and abs(number) < 10 ** (1 - decimals):
        decimals += 1
    return f"{number:.{decimals}f}{multiple}"
