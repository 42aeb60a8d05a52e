"""Tables as a reviewer reads them: rows with their overrides and printed values, and the claims drawn from them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from benchmark.config.bases import BaseNames
from benchmark.config.datasets import known_dataset
from benchmark.config.fields import Strict
from benchmark.config.run import RunConfig
from benchmark.config.source import did_you_mean
from benchmark.spec.claim import Claim
from benchmark.spec.columns import COLUMNS, known_column, printed_value

Convention = Literal[
    "fvcore", "fvcore_core", "fvcore_2021", "two_per_mac", "thop_2005", "thop_2001", "thop_motionsqueeze"
]


class IncludeRows(Strict):
    """Rows of another table, taken over with their settings, printed values and notes.

    With `row` one row, whose label, printed cells and note may be replaced; else those of `rows`, or all.
    """

    include: str
    rows: tuple[str, ...] = ()
    row: str | None = None
    label: str | None = None
    printed: dict[str, float | str] = Field(default_factory=dict)
    note: str | None = None
    prefix: str = Field("", description="put before every label")
    suffix: str = Field("", description="put after every label")

    @model_validator(mode="after")
    def _one_or_several(self) -> IncludeRows:
        if self.row is None and (self.label or self.printed or self.note is not None):
            raise ValueError("label, printed and note change one row: name it with `row`")
        if self.row is not None and self.rows:
            raise ValueError("give `row` or `rows`, not both")
        return self


class CostReading(Strict):
    """A way to arrive at a printed cost: a counting convention, on the row's config or on a variant of it.

    The released code or the text may differ from what the authors counted; `set` then names the variant they counted.
    """

    convention: Convention
    set: dict[str, Any] = Field(default_factory=dict)
    why: str


class OnDataset(Strict):
    """What is otherwise on another data set."""

    base: BaseNames = Field((), description="instead of those of their axes")
    set: dict[str, Any] = Field(default_factory=dict, description="overrides that follow those of the `set` beside it")


class RowSpec(Strict):
    """One line of the table as written in YAML, before its config is resolved."""

    label: str
    base: BaseNames = Field((), description="instead of the table's of their axes")
    set: dict[str, Any] = Field(default_factory=dict)
    also: dict[str, OnDataset] = Field(default_factory=dict, description="by another data set: what is this row's own")
    average: tuple[str, ...] = Field((), description="labels of the rows whose predictions this row averages")
    quoted: bool = Field(False, description="another paper's number, printed for comparison; never measured here")
    other_seeds: bool = Field(False, description="from as many seeds after the table's: 5 to 9 where those are 0 to 4")
    printed: dict[str, float | str] = Field(default_factory=dict, description='costs may carry a multiple: "7.13K"')
    reading: CostReading | None = Field(
        None, description="how this row's printed costs come about; default: the table's"
    )
    reading_of: dict[str, CostReading] = Field(
        default_factory=dict, description="by column, where not all of the row's costs come about alike"
    )
    note: str = ""

    @field_validator("printed")
    @classmethod
    def _cells_are_numbers(cls, printed: dict[str, float | str]) -> dict[str, float | str]:
        for key, value in printed.items():
            known_column(key)
            printed_value(str(value), COLUMNS[key])
        return printed

    @field_validator("reading_of")
    @classmethod
    def _columns_counted(cls, readings: dict[str, CostReading]) -> dict[str, CostReading]:
        for key in readings:
            if not COLUMNS[known_column(key)].quantity:
                raise ValueError(f"'{key}' is not counted, so it has no reading")
        return readings

    @model_validator(mode="after")
    def _one_kind(self) -> RowSpec:
        if sum((bool(self.set or self.base), bool(self.average), self.quoted)) > 1:
            raise ValueError(f"row '{self.label}': give one of set/base (measured), average (fused) and quoted")
        if self.label != " ".join(self.label.split()):  # labels that differ by blanks alone would look the same
            raise ValueError(f"label '{self.label}' has a blank too many, at an end or beside another")
        return self


class SweepRows(Strict):
    """A row for every combination of values, the last key varying fastest."""

    sweep: dict[str, tuple[Any, ...]] = Field(min_length=1, description="dotted key -> its values")
    label: str = Field(description="with {name} for the value of the key that ends in name; a list as `res3, res4`")
    base: BaseNames = ()
    set: dict[str, Any] = Field(default_factory=dict)
    note: str = ""

    def expand(self) -> list[RowSpec]:
        """The rows.

        Raises:
            ValueError: the label names no key of the sweep.
        """
        rows = []
        for values in product(*self.sweep.values()):
            chosen = dict(zip(self.sweep, values, strict=True))
            names = {key.rpartition(".")[2]: _in_a_label(value) for key, value in chosen.items()}
            try:
                label = self.label.format(**names)
            except (KeyError, IndexError, AttributeError) as error:
                raise ValueError(f"the label asks for {error}; the sweep has {', '.join(names)}") from None
            rows.append(RowSpec(label=label, base=self.base, set={**self.set, **chosen}, note=self.note))
        return rows


def _in_a_label(value: Any) -> Any:
    """A list as its values, `res3, res4`, and one within it in parentheses; anything else as it is."""
    if not isinstance(value, list | tuple):
        return value
    items = (f"({_in_a_label(item)})" if isinstance(item, list | tuple) else str(item) for item in value)
    return ", ".join(items) or "none"


class CurvesSpec(Strict):
    """The figure that the table's rows are points of: the last part of a label is x, the others name the curve."""

    x: str = Field(description="title of the x axis")
    metric: str = "top1"

    _metric = field_validator("metric")(known_column)


class TableSpec(Strict):
    """A table as written in YAML, before its rows are resolved."""

    paper: str
    table: str
    caption: str
    dataset: str = Field(description="the data set of the printed values")
    label: str = Field("Model", description="title of the label column; ' | ' splits it, and every label, into several")
    columns: tuple[str, ...] = Field(min_length=1, description="the printed columns, in order")
    base: BaseNames = Field((), description="network/NAME, recipe/NAME and data/NAME: files of tables/bases/")
    set: dict[str, Any] = Field(default_factory=dict, description="overrides for every row")
    also: dict[str, OnDataset] = Field(
        default_factory=dict, description="by another data set of its columns, on which `--dataset` measures the table"
    )
    splits: int = Field(
        1, ge=1, description="official splits that a measured cell is the mean over, where the data set has them"
    )
    counted: dict[str, Any] = Field(
        default_factory=dict, description="overrides for its costs alone, where they are of other views than accuracies"
    )
    curves: CurvesSpec | None = Field(None, description="draw the rows as curves too")
    baseline: str | None = Field(None, description="label of the row that contrasts are against; default: the first")
    reading: CostReading | None = None
    rows: tuple[RowSpec, ...] = Field(min_length=1)
    claims: tuple[Claim, ...] = ()
    note: str = ""

    _dataset_known = field_validator("dataset")(known_dataset)

    @field_validator("columns")
    @classmethod
    def _columns_known(cls, columns: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(known_column(key) for key in columns)


class Reading(Strict):
    """How one printed cost of a row comes about, and the config at paper scale that it is counted on."""

    convention: Convention
    set: dict[str, Any] = Field(default_factory=dict)
    why: str
    config: RunConfig | None = Field(None, description="None for a row that averages others")


class Row(Strict):
    """A row ready to plan. Its values come from exactly one of `config` (measured), `average` (fused) and `quoted`."""

    label: str
    family: str = Field("", description="of networks that train alike, by the protocol; none without a config")
    config: RunConfig | None = Field(None, description="at the protocol's scale, seed 0")
    start: RunConfig | None = Field(None, description="the run that `train.start_from` names, at the protocol's scale")
    splits: tuple[str, ...] = Field((), description="data sets that a value is the mean over; none: the config's own")
    paper_config: RunConfig | None = Field(None, description="at paper scale: what the cost is counted on")
    readings: dict[str, Reading] = Field(default_factory=dict, description="by printed cost column")
    average: tuple[str, ...] = ()
    quoted: bool = False
    other_seeds: bool = False
    theirs: str = Field("", description="the lab whose runs these are; none of a row of the spec")
    printed: dict[str, float] = Field(default_factory=dict, description="in the column's unit")
    printed_text: dict[str, str] = Field(default_factory=dict, description="as printed, digits and all")
    note: str = ""

    def seeds(self, of_table: Iterable[int]) -> tuple[int, ...]:
        """The row's own seeds, by those of its table, none of which is one of `other_seeds`."""
        seeds = tuple(of_table)
        return tuple(seed + max(seeds) + 1 for seed in seeds) if self.other_seeds else seeds


class Table(Strict):
    """One printed table, resolved for a protocol."""

    id: str
    paper: str
    number: str
    caption: str
    dataset: str = Field(description="the data set of the printed values of columns that name none")
    other: bool = Field(False, description="whether that is another data set than the file's, by `--dataset`")
    others: tuple[str, ...] = Field((), description="further data sets of its columns that it can be measured on")
    label_header: str = Field(description="title of the label column; ' | ' splits it, and every label, into several")
    columns: tuple[str, ...] = Field(min_length=1, description="the printed columns, in order")
    baseline: str = Field(description="label of the row that contrasts are taken against")
    rows: tuple[Row, ...]
    claims: tuple[Claim, ...] = ()
    elsewhere: tuple[Row, ...] = Field((), description="rows of other tables that claims name, as they name them")
    curves: CurvesSpec | None = None
    protocol: str
    seeds: tuple[int, ...]
    splits: int = Field(1, ge=1, description="official splits that printed values are the mean over")
    on: str = Field("", description="one of the user's own data sets, on which it is measured in the place of its own")
    asked: tuple[str, ...] = Field((), description="settings of the request that every measured row has: train.lr=0.1")
    note: str = ""

    def row(self, label: str) -> Row:
        """The row with this label, of this table or of another that a claim names."""
        return next(row for row in self.every_row if row.label == label)

    @property
    def every_row(self) -> tuple[Row, ...]:
        """The rows, and those of other tables that claims name."""
        return (*self.rows, *self.elsewhere)

    def members(self, row: Row) -> tuple[Row, ...]:
        """The measured rows whose runs make up `row`: itself, or those that it averages."""
        return tuple(self.row(label) for label in row.average) if row.average else (row,)


class Protocol(Strict):
    """Where and how rows are measured. Scale factors and overrides turn the paper's config into this protocol's."""

    name: str
    title: str
    seeds: tuple[int, ...] = Field(min_length=1)
    spatial: float = Field(1.0, gt=0, le=1, description="factor of every spatial size")
    width: float = Field(1.0, gt=0, le=1, description="factor of every channel count")
    set: dict[str, Any] = Field(default_factory=dict)
    models: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="further overrides for the rows of a network, by its name; stronger than set"
    )
    families: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="networks whose training varies alike: a name, and the settings by which its rows are known; the"
        " first that fits counts, and a network of none is a family of its own name",
    )
    recipes: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="further overrides for the rows of a family; stronger than models"
    )
    device: str = Field("", description="the machine that `seconds_per_megapixel` was measured on")
    seconds_per_megapixel: float | None = Field(
        None, gt=0, description="time per million input pixels, for the estimate; None where it was never measured"
    )
    note: str = ""

    def family_of(self, config: RunConfig) -> str:
        """The family of networks that a config belongs to."""
        for name, settings in self.families.items():
            if all(_at(config, path) in (v if isinstance(v, list | tuple) else [v]) for path, v in settings.items()):
                return name
        return config.model.name

    @field_validator("families")
    @classmethod
    def _families_are_known_by_settings(cls, families: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for name, settings in families.items():
            for path in settings:
                if path.partition(".")[0] not in RunConfig.model_fields or "." not in path:
                    raise ValueError(f"family '{name}': '{path}' is no setting, such as model.depth")
        return families

    @field_validator("recipes")
    @classmethod
    def _recipes_are_of_families(
        cls, recipes: dict[str, dict[str, Any]], info: ValidationInfo
    ) -> dict[str, dict[str, Any]]:
        families = list(info.data.get("families", ()))
        for name in recipes:
            if name not in families:
                raise ValueError(f"'{name}' is none of the protocol's families.{did_you_mean(name, families)}")
        return recipes

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) != len(seeds) or min(seeds) < 0:
            raise ValueError(f"seeds must be distinct and not negative, got {list(seeds)}")
        return seeds


def _at(config: RunConfig, path: str) -> Any:
    """The value at a dotted path; None where the config has none."""
    node: Any = config
    for name in path.split("."):
        node = getattr(node, name, None)
    return node
