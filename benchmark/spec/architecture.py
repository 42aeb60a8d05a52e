"""Tables that print an architecture: their layers as printed, what a cell says, and where two descriptions differ.

Such a table has `kind: architecture`. It holds no results, so nothing trains; its layers are compared with those of our
networks (`benchmark.cost.architecture`), always at paper scale.

An operation is written as on the page, in ASCII: `1x7x7, 64, stride 1,2,2` (kernel, channels, stride),
`1x3x3 max pool, stride 2`, `[TSM; 1x3x3,64; 1x3x3,64] x2`, `bottleneck(6,24) x2`, `global average pool, FC`. What
stands below a stage follows it: `[...] x4, RNL / CPA`. Two operations are compared fact by fact, and only in the facts
that the page prints, so that spelling is of no account.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from benchmark.config.bases import BaseNames, composed, layer_at, names_at, read_bases
from benchmark.config.fields import Strict
from benchmark.config.folders import shown
from benchmark.config.overrides import resolve, stacked
from benchmark.config.parse import parse_as
from benchmark.config.run import RunConfig
from benchmark.config.source import Problem, SpecError, read_yaml
from benchmark.spec.files import architecture_paths
from benchmark.spec.load import misplaced

OUTPUT = re.compile(r"(T|\d+)x(\d+)x(\d+)|classes|below|lost")
PART = re.compile(
    r"bottleneck\((?P<expansion>\d+), ?(?P<to>\d+)\)|(?P<named>global average pool|FC)|"
    r"(?P<kernel>\d+x\d+x\d+)(?P<kind> max pool)?(, ?(?P<channels>\d+))?(, ?stride (?P<stride>\d+(,\d+,\d+)?))?"
)
SEPARATOR = re.compile(r"[;,] ?")
ENDING = re.compile(r"( ?x(?P<repeats>\d+))?(, (?P<followed>[A-Z]+( / [A-Z]+)*))?")


@dataclass(frozen=True)
class Part:
    """One layer of an operation. None: the page does not say."""

    kind: str | None
    kernel: str | None = None
    channels: int | None = None
    stride: tuple[int | None, int, int] | None = None
    expansion: int | None = None

    def text(self) -> str:
        """As the tables write it, for a part of which everything is known."""
        if self.kind == "bottleneck":
            return f"bottleneck({self.expansion},{self.channels})"
        if self.kernel is None:
            return str(self.kind)
        pool = "" if self.kind == "convolution" else f" {self.kind}"
        stride = f", stride {','.join(map(str, self.stride))}" if self.stride else ""
        return f"{self.kernel}{pool}, {self.channels}{stride}"


@dataclass(frozen=True)
class Operation:
    """A cell: `parts` in a row, `repeats` times.

    Attributes:
        shift: A temporal shift stands in front of the parts.
        followed: Names of what stands after the blocks `after`, counted from 1; printed, any one of them.
    """

    parts: tuple[Part, ...]
    repeats: int = 1
    shift: bool = False
    followed: tuple[str, ...] = ()
    after: tuple[int, ...] = ()

    def text(self) -> str:
        """As the tables write it."""
        texts = [part.text() for part in self.parts]
        if self.shift or (len(texts) > 1 and self.repeats > 1):
            texts = [f"[{'; '.join(['TSM'] * self.shift + [text.replace(', ', ',') for text in texts])}]"]
        text = ", ".join(texts) + (f" x{self.repeats}" if self.repeats > 1 else "")
        return f"{text}, {self._insertion()}" if self.followed else text

    def _insertion(self) -> str:
        return f"{' / '.join(self.followed)} after block{'s'[: len(self.after) > 1]} {', '.join(map(str, self.after))}"


def parse_operation(text: str) -> Operation:
    """What a printed cell says.

    Raises:
        ValueError: the text cannot be read to its end.
    """
    parts: list[Part] = []
    bracket = text.startswith("[")
    shift = text.startswith("[TSM; ")
    at = len("[TSM; ") if shift else int(bracket)
    while found := PART.match(text, at):
        parts.append(_part(found))
        at = found.end()
        separator = SEPARATOR.match(text, at)
        if separator is None or not PART.match(text, separator.end()):
            break
        at = separator.end()
    closed = not bracket or text[at : at + 1] == "]"
    ending = ENDING.fullmatch(text, at + bracket)
    if not parts or not closed or ending is None:
        raise ValueError(
            f"cannot read '{text}' from '{text[at:]}' on; see benchmark/spec/architecture.py for the forms"
        )
    repeats = int(ending["repeats"] or 1)
    followed = tuple(ending["followed"].split(" / ")) if ending["followed"] else ()
    return Operation(tuple(parts), repeats, shift, followed, (repeats,) if followed else ())


def _part(found: re.Match[str]) -> Part:
    if found["named"]:
        return Part(found["named"])
    if found["expansion"]:
        return Part("bottleneck", channels=int(found["to"]), expansion=int(found["expansion"]))
    sides = [int(side) for side in (found["stride"] or "").split(",") if side]
    # "stride 2" speaks of space: these networks keep every frame, as the printed sizes show.
    stride = (None, sides[0], sides[0]) if len(sides) == 1 else (sides[0], sides[1], sides[2]) if sides else None
    kind = found["kind"].strip() if found["kind"] else None
    return Part(kind, found["kernel"], int(found["channels"]) if found["channels"] else None, stride)


def differences(printed: Operation, ours: Operation) -> Iterator[str]:
    """In words, every printed fact that does not hold of ours; what the page leaves open agrees with anything."""
    if ours.shift != printed.shift:
        yield "TSM in front, which is not printed" if ours.shift else "no TSM, which is printed"
    if len(ours.parts) != len(printed.parts):
        yield f"{_counted(len(ours.parts), 'layer')}; printed {len(printed.parts)}"
    else:
        for fact in ("kind", "kernel", "channels", "stride", "expansion"):
            pairs = [(getattr(o, fact), getattr(p, fact)) for o, p in zip(ours.parts, printed.parts, strict=True)]
            if any(p is not None and not _same(o, p) for o, p in pairs):
                yield f"{fact} {_listed([o for o, _ in pairs])}; printed {_listed([p for _, p in pairs])}"
    if ours.repeats != printed.repeats:
        yield f"{_counted(ours.repeats, 'block')}; printed {printed.repeats}"
    if ours.followed and not printed.followed:
        yield f"{ours._insertion()}, which is not printed"
    elif printed.followed and not set(ours.followed) & set(printed.followed):
        yield f"no {' or '.join(printed.followed)}, which is printed"
    elif ours.after != printed.after:
        yield f"{ours._insertion()}; printed once, after the last"


def _same(ours: Any, printed: Any) -> bool:
    if isinstance(printed, tuple):
        return all(p is None or o == p for o, p in zip(ours or (), printed, strict=True)) if ours else False
    return bool(ours == printed)


def _listed(values: Sequence[Any]) -> str:
    def one(value: Any) -> str:
        if isinstance(value, tuple):
            return "x".join(str(side) for side in value if side is not None)
        return "–" if value is None else str(value)

    return ", ".join(map(one, values))


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s'[: number != 1]}"


class NetworkSpec(Strict):
    """One of our networks, that a column of the printed table is compared with."""

    base: BaseNames
    set: dict[str, Any] = Field(default_factory=dict)


class LayerSpec(Strict):
    """One printed layer."""

    label: str
    at: str = Field(description="path of our module; `layers.3-5` are children 3 to 5 of `layers`")
    operation: str | dict[str, str] = Field(description="as printed: of all networks, or by network")
    output: str = Field(description="TxHxW or classes; below: one cell with the next row; lost: illegible on the scan")
    note: str = ""

    @field_validator("operation")
    @classmethod
    def _operations_are_read(cls, operation: str | dict[str, str]) -> str | dict[str, str]:
        for text in operation.values() if isinstance(operation, dict) else [operation]:
            parse_operation(text)
        return operation

    @field_validator("output")
    @classmethod
    def _output_is_read(cls, output: str) -> str:
        if not OUTPUT.fullmatch(output):
            raise ValueError(f"'{output}' is none of 8x28x28, Tx28x28, classes, below and lost")
        return output


class ArchitectureSpec(Strict):
    """The file of an architecture table."""

    kind: Literal["architecture"]
    paper: str
    table: str
    caption: str
    networks: dict[str, NetworkSpec] = Field(min_length=1, description="by column title")
    every_block: Literal["TSM"] | None = Field(None, description="in front of every block by the text, in no cell")
    rows: tuple[LayerSpec, ...] = Field(min_length=1)
    note: str = ""


class Layer(Strict):
    """One printed layer, with its operation for every network, and where it was written."""

    label: str
    at: str
    operations: dict[str, str]
    output: str
    note: str
    where: tuple[str, int] = Field(description="file and line")


class Architecture(Strict):
    """A printed architecture and the networks, at paper scale, that it is compared with."""

    id: str
    paper: str
    number: str
    caption: str
    networks: dict[str, RunConfig]
    every_block: Literal["TSM"] | None
    layers: tuple[Layer, ...]
    note: str


def load_architecture(target: str) -> Architecture:
    """An architecture table by id or path.

    Raises:
        SpecError: with every problem of the file and of the bases that it names.
    """
    path = architecture_paths().get(target, Path(target))
    source = read_yaml(path, shown(path))
    spec, problems = parse_as(ArchitectureSpec, source)
    if spec is None:
        raise SpecError(problems)
    problems += misplaced(spec.paper, spec.table, source, path)
    networks: dict[str, RunConfig] = {}
    for title, network in spec.networks.items():
        bases = read_bases(names_at(source, network.base, ("networks", title, "base")), problems)
        if bases is not None:
            own = layer_at(source, network.set, ("networks", title, "set"))
            config, found = resolve(stacked(composed(bases), own), (source.file, source.line("networks", title)))
            problems += found
            networks |= {title: config} if config else {}
    layers = []
    for i, row in enumerate(spec.rows):
        by_network = row.operation if isinstance(row.operation, dict) else dict.fromkeys(spec.networks, row.operation)
        if by_network.keys() != spec.networks.keys():
            message = f"operation is for {', '.join(by_network)}; the networks are {', '.join(spec.networks)}"
            problems.append(Problem(source.file, source.line("rows", i, "operation"), message))
        where = (source.file, source.line("rows", i))
        layers.append(
            Layer(label=row.label, at=row.at, operations=by_network, output=row.output, note=row.note, where=where)
        )
    if spec.rows[-1].output == "below":
        problems.append(Problem(source.file, layers[-1].where[1], "no row is below the last one"))
    if problems:
        raise SpecError(problems)
    return Architecture(
        id=f"{spec.paper}-{spec.table}",
        paper=spec.paper,
        number=spec.table,
        caption=spec.caption,
        networks=networks,
        every_block=spec.every_block,
        layers=tuple(layers),
        note=spec.note,
    )
