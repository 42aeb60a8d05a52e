"""Claims: what a paper concludes from a table, between which rows, by how much, and where it says so."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from benchmark.config.fields import Strict
from benchmark.spec.columns import known_column

Relation = Literal[">", ">=", "<", "<=", "best", "monotone", "~"]
EVERY_OTHER = "*"
"""In place of `rhs`: every other row of the table that prints a value in the metric."""

_SIZE = re.compile(r"(?P<kind>[>~]?)(?P<number>\d+(?:\.(?P<digits>\d+))?)(?P<form>% (?:more|less|of))?")
_NEAR = 0.1
_DUST = 1e-9  # 1.7 - 1.4 is not quite 0.3 in binary


@dataclass(frozen=True)
class Size:
    """A stated size of a difference or a ratio, read as its digits and its words allow.

    Attributes:
        text: As written.
        value: The stated number.
        kind: `exact`; `about` ("nearly", "almost"); `at least` ("more than", "over").
        half: Half a unit of the last stated digit; zeros at the end of a whole number are none.
        form: What the number is: a difference; the ratio of the larger to the smaller; by how many percent the larger
            is more than the smaller, or the smaller less than the larger; the smaller in percent of the larger.
    """

    text: str
    value: float
    kind: Literal["exact", "about", "at least"]
    half: float
    form: Literal["difference", "ratio", "more", "less", "of"]

    def stated(self, measured: float) -> float:
        """What a difference, or a ratio of the larger to the smaller, is in the terms of this size."""
        if self.form == "more":
            return 100 * (measured - 1)
        if self.form == "less":
            return 100 * (1 - 1 / measured)
        return 100 / measured if self.form == "of" else measured

    def agrees(self, measured: float) -> bool:
        """Whether a difference, or a ratio of the larger to the smaller, bears the size out.

        Exact: it rounds to the stated digits. About: within a tenth of the stated number, or half a unit of its last
        digit where that is more. At least: not below it by more than half a unit; for `of`, not above.
        """
        off = self.stated(measured) - self.value
        if self.kind == "at least":
            return (-off if self.form == "of" else off) >= -self.half - _DUST
        reach = max(self.half, _NEAR * self.value) if self.kind == "about" else self.half
        return abs(off) <= reach + _DUST


def parse_difference(text: str) -> Size:
    """The size of a difference: "2.3", "~6", ">2.7".

    Raises:
        ValueError: the text is none.
    """
    size = _parsed(text, "difference", "a number such as 2.3, ~6 or >2.7 in the metric's unit")
    if size.form != "difference":
        raise ValueError(f"'{text}' is a ratio: write `factor`")
    return size


def parse_ratio(text: str) -> Size:
    """The size of a ratio: "7" (7 times, a seventh), "~2", ">3.5", "2.5% more", "22% less", "14% of".

    Raises:
        ValueError: the text is none, or states no change.
    """
    size = _parsed(text, "ratio", "a number such as 7, ~2 or >3.5, or one such as 2.5% more, 22% less or 14% of")
    if size.form == "ratio" and size.value <= 1:
        raise ValueError(f"a factor is of the larger to the smaller, so above 1, not {text}")
    if size.form in ("less", "of") and size.value >= 100:
        raise ValueError(f"the smaller cannot be {text} the larger")
    return size


def _parsed(text: str, bare: Literal["difference", "ratio"], wanted: str) -> Size:
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError(f"'{text}' must be {wanted}")
    whole, digits = found["number"], len(found["digits"] or "")
    value = float(whole)
    if not digits:
        digits = len(whole.rstrip("0")) - len(whole)  # of 50, the 5 is the last that is meant
    if value <= 0:
        raise ValueError(f"'{text}' must be above 0")
    kinds: dict[str, Literal["exact", "about", "at least"]] = {"": "exact", "~": "about", ">": "at least"}
    forms: dict[str, Literal["more", "less", "of"]] = {"% more": "more", "% less": "less", "% of": "of"}
    form = forms[found["form"]] if found["form"] else bare
    return Size(text, value, kinds[found["kind"]], 0.5 * 10**-digits, form)


class Claim(Strict):
    """A comparison that the paper draws from the table.

    `lhs relation rhs` on `metric`, of every row of lhs with every row of rhs. `best`: lhs is better than every rhs, in
    the metric's better direction. `monotone`: lhs, then each rhs in turn, is better than the one before; a fall is
    named from its other end, and a column without a better direction rises. `~`: about the same.

    A side is a row of this table, or of another table by `da-5 :: Constant Scale (alpha=0)`; rhs may be `"*"`, every
    other row that prints a value in the metric (every other row at all where none does), which the loader writes out.
    """

    id: str
    relation: Relation
    lhs: tuple[str, ...] = Field(min_length=1)
    rhs: tuple[str, ...] = Field(min_length=1)
    metric: str
    text: str = Field(description="what the paper concludes, in our words")
    margin: float | None = Field(
        None,
        gt=0,
        description="what counts as the same (~) or as no loss (>=, <=), in the metric's unit",
    )
    by: str | None = Field(
        None, description='claimed difference in the metric\'s unit: "2.3", "~6" (about), ">2.7" (more than)'
    )
    factor: str | None = Field(
        None, description='claimed ratio: "7" (7 times, a seventh), "~2", "2.5% more", "22% less", "14% of"'
    )
    where: str = Field("", description="where the paper claims it: section, or caption")
    repeats: str | None = Field(None, description="id of the claim that this one makes again; the two count once")

    @field_validator("lhs", "rhs", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("lhs")
    @classmethod
    def _a_trend_starts_somewhere(cls, lhs: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if info.data.get("relation") == "monotone" and len(lhs) > 1:
            raise ValueError("a monotone claim has one lhs; the rows that follow stand in rhs, in their order")
        if EVERY_OTHER in lhs:
            raise ValueError(f'"{EVERY_OTHER}" can only be the rhs')
        return _each_once(lhs)

    @field_validator("rhs")
    @classmethod
    def _sides_differ(cls, rhs: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        both = [label for label in rhs if label in info.data.get("lhs", ())]
        if both:
            raise ValueError(f"'{both[0]}' is on both sides")
        if EVERY_OTHER in rhs and len(rhs) > 1:
            raise ValueError(f'"{EVERY_OTHER}" stands alone')
        if EVERY_OTHER in rhs and info.data.get("relation") == "monotone":
            raise ValueError("a monotone claim names its rows, in their order")
        return _each_once(rhs)

    _metric = field_validator("metric")(known_column)

    @field_validator("margin")
    @classmethod
    def _margin_of_sameness(cls, margin: float | None, info: ValidationInfo) -> float | None:
        relation = info.data.get("relation")
        if margin is not None and relation not in ("~", ">=", "<="):
            raise ValueError(f"only ~, >= and <= have a margin, not {relation}")
        return margin

    @field_validator("by", "factor", mode="before")
    @classmethod
    def _digits_count(cls, value: Any) -> Any:
        if value is not None and not isinstance(value, str):
            raise ValueError(f'write it in quotes, "{value}", so that its digits count')
        return value

    @field_validator("by", "factor")
    @classmethod
    def _sized(cls, text: str | None, info: ValidationInfo) -> str | None:
        if text is None:
            return text
        relation = info.data.get("relation")
        if relation in ("~", "monotone"):
            raise ValueError(f"a claim of {relation} has no size")
        parse_difference(text) if info.field_name == "by" else parse_ratio(text)
        return text

    @field_validator("repeats")
    @classmethod
    def _not_itself(cls, repeats: str | None, info: ValidationInfo) -> str | None:
        if repeats is not None and repeats == info.data.get("id"):
            raise ValueError("a claim cannot repeat itself")
        return repeats

    @property
    def labels(self) -> tuple[str, ...]:
        """Both sides."""
        return (*self.lhs, *self.rhs)

    @property
    def sizes(self) -> tuple[Size, ...]:
        """What is claimed of each pair's difference (`by`) and ratio (`factor`); for `best`, of the nearest pair's."""
        by = (parse_difference(self.by),) if self.by is not None else ()
        return (*by, parse_ratio(self.factor)) if self.factor is not None else by


def _each_once(labels: tuple[str, ...]) -> tuple[str, ...]:
    twice = next((label for i, label in enumerate(labels) if label in labels[:i]), None)
    if twice is not None:
        raise ValueError(f"'{twice}' is given twice")
    return labels


class IncludeClaims(Strict):
    """Claims of another table whose rows are included, as repeats under this table's ids.

    Labels follow the rows' new ones.
    """

    include: str
    only: tuple[str, ...] = Field(
        (), description="ids in the other table, in the order that they have here; default: all whose rows are here"
    )
    where: str = Field("", description="where they are claimed again; default: nowhere")


def first_made(claims: Mapping[str, Claim]) -> dict[str, str]:
    """For every claim, by id, the one that is first made: itself, or the end of its chain of repeats.

    Raises:
        ValueError: a claim repeats one that is not among them, or itself by way of others.
    """
    firsts = {}
    for name in claims:
        seen = [name]
        while (target := claims[seen[-1]].repeats) is not None:
            if target not in claims:
                raise ValueError(f"{seen[-1]} repeats {target}, which there is not")
            if target in seen:
                raise ValueError(f"{name} repeats itself by way of {', '.join(seen[1:])}")
            seen.append(target)
        firsts[name] = seen[-1]
    return firsts
