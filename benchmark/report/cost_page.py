"""The page on printed costs, docs/costs.md: what the papers counted, told by the audit's own numbers. Without torch.

Every number on the page is a printed cell, or a count of `benchmark.cost`; the sentences are templates. A story that
says how two numbers compare asks the counts first (`_check`), so that a page which is no longer true is not written.

A print that several tables repeat for one network is one *distinct* print. It belongs to the first table that has it,
papers in the order of their keys, so that what the thesis repeats of its papers is not counted twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from textwrap import fill
from typing import Any

from benchmark.cost.audit import PLAIN, SCOPES, AuditRow, CostCell, Lookup, Verdict, audit_row, shortened
from benchmark.cost.cache import cost_digest, get
from benchmark.cost.conventions import CONVENTIONS
from benchmark.cost.record import CostRecord
from benchmark.report.layout import Heading, flat
from benchmark.report.markdown import aligned
from benchmark.spec.columns import COLUMNS, MULTIPLES, Column, multiple_of, printed_value
from benchmark.spec.config import RunConfig, of_one_view
from benchmark.spec.table import Reading, Row, Table

PAPERS = {
    "bqn": "Busy-Quiet Video Disentangling for Video Classification",
    "cmr": "Learning Comprehensive Motion Representation for Action Recognition",
    "da": "Dynamic Appearance: A Video Representation for Action Recognition with Joint Training",
    "msnet": "MotionSqueeze: Neural Motion Feature Learning for Video Understanding",
    "thesis": "Spatio-Temporal Modeling for Action Recognition in Videos",
}
OURS = "checks"
"""Tables that are no paper's."""

WRAP = 118

Variant = Mapping[str, Any]


class StaleProseError(Exception):
    """A sentence of the page asserts what the counts no longer say."""


def _check(holds: bool, sentence: str) -> None:
    if not holds:
        raise StaleProseError(f"docs/costs.md says that {sentence}; the counts no longer say so")


@dataclass(frozen=True)
class Cost:
    """One cost of one row, in its column's unit: as printed, by the row's reading, in full, and recounted at will."""

    table: Table
    row: Row
    cell: CostCell
    lookup: Lookup

    @property
    def column(self) -> Column:
        """What is counted."""
        return COLUMNS[self.cell.column]

    @property
    def verdict(self) -> Verdict:
        """How the reading's count compares with the print.

        Raises:
            StaleProseError: nothing is printed.
        """
        if self.cell.verdict is None:
            raise StaleProseError(f"docs/costs.md has a print of {self.name}, {self.column.title}; the table has none")
        return self.cell.verdict

    @property
    def name(self) -> str:
        """Table and row, in words."""
        return f"{self.table.id}, {flat(self.row.label)}"

    @property
    def text(self) -> str:
        """As printed, digits and all."""
        return self.verdict.printed

    @property
    def printed(self) -> float:
        """The printed value."""
        return printed_value(self.text, self.column)

    @property
    def full(self) -> float:
        """By fvcore, of the network as the paper describes it."""
        return self.cell.count

    def recount(self, convention: str = PLAIN, variant: Variant | None = None) -> float:
        """By another convention, of the row's network or of a variant of it; of one view, and of no fused row."""
        record = self.lookup(of_one_view(varied(self.config, variant or {})))
        if record is None:
            raise StaleProseError(f"docs/costs.md has a count of a variant of {self.name}; it could not be counted")
        measure = CONVENTIONS[convention].macs if self.column.quantity == "macs" else CONVENTIONS[convention].params
        return measure(record, SCOPES[self.column.scope]) / MULTIPLES[self.column.unit]

    def gives(self, value: float) -> bool:
        """Whether a count, in the column's unit, is the print once it is shortened to as many digits."""
        unit = MULTIPLES[self.column.unit]
        return shortened(round(value * unit), unit, self.text) is not None

    @property
    def config(self) -> RunConfig:
        """The row's config at paper scale.

        Raises:
            StaleProseError: the row averages others.
        """
        if self.row.paper_config is None:
            raise StaleProseError(f"docs/costs.md takes {self.name} for one network; it is several, or none")
        return self.row.paper_config

    @property
    def side(self) -> int:
        """Side of the crop, in pixels, that the reading counts."""
        return of_one_view(varied(self.config, self.cell.variant)).data.size

    @property
    def identity(self) -> tuple[Any, ...]:
        """Equal for the same print of the same network, in whichever tables."""
        members = (member.paper_config for member in self.table.members(self.row))
        networks = tuple((cost_digest(of_one_view(c)), c.views * (self.column.per == "video")) for c in members if c)
        return self.cell.column, self.text, networks


def _reproduced(audit: AuditRow | None, column: str) -> bool:
    verdict = audit.cells[column].verdict if audit else None
    return verdict is not None and verdict.reproduced


def varied(config: RunConfig, variant: Variant) -> RunConfig:
    """The config with other settings, by dotted key.

    Raises:
        pydantic.ValidationError: a key or a value that the config does not take.
    """
    data = config.model_dump()
    for dotted, value in variant.items():
        *parents, leaf = dotted.split(".")
        node = data
        for parent in parents:
            node = node[parent]
        node[leaf] = value
    return RunConfig.model_validate(data, strict=True)


class Costs:
    """Every printed cost of the tables; networks that are not counted yet are counted when they are asked for."""

    def __init__(self, tables: Iterable[Table], lookup: Lookup = get) -> None:
        self.tables = {table.id: table for table in tables if table.paper != OURS}
        self._lookup = lookup
        self._records: dict[str, CostRecord | None] = {}
        self._audits: dict[tuple[str, str], AuditRow | None] = {}

    def lookup(self, config: RunConfig) -> CostRecord | None:
        """The record of a config, read or counted once."""
        digest = cost_digest(config)
        if digest not in self._records:
            self._records[digest] = self._lookup(config)
        return self._records[digest]

    def at(self, table_id: str, label: str, column: str) -> Cost:
        """One cost, by table, row and column.

        Raises:
            StaleProseError: there is no such row or column, or it is not counted.
        """
        table = self.tables[table_id]
        row = next((row for row in table.rows if row.label == label), None)
        audit = self._audit(table, row) if row else None
        if row is None or audit is None or column not in audit.cells:
            raise StaleProseError(f"docs/costs.md has {table_id}, {label}, {column}; there is no such row, or no count")
        return Cost(table, row, audit.cells[column], self.lookup)

    def claim(self, claim_id: str) -> str:
        """What the paper concludes, in the table's words."""
        table = self.tables[claim_id.rpartition(".")[0]]
        return next(claim.text for claim in table.claims if claim.id == claim_id)

    @cached_property
    def printed(self) -> list[Cost]:
        """Every printed cost of a network that is built here, in the order of the tables."""
        found = []
        for table in self.tables.values():
            for row in table.rows:
                audit = self._audit(table, row)
                cells = audit.cells.values() if audit else ()
                found += [Cost(table, row, cell, self.lookup) for cell in cells if cell.verdict is not None]
        return found

    @cached_property
    def distinct(self) -> list[Cost]:
        """Those of them that repeat no earlier one."""
        first: dict[tuple[Any, ...], Cost] = {}
        for cost in self.printed:
            first.setdefault(cost.identity, cost)
        return list(first.values())

    @property
    def papers(self) -> list[str]:
        """Keys of the papers that print costs, in the order of the tables."""
        return list(dict.fromkeys(cost.table.paper for cost in self.printed))

    def unaided(self, convention: str) -> list[Cost]:
        """The distinct costs that a convention gives on the networks as the papers describe them."""
        bare = Reading(convention=convention, why="")
        audits: dict[tuple[str, str], AuditRow | None] = {}
        for table, row in {(cost.table.id, cost.row.label): (cost.table, cost.row) for cost in self.distinct}.values():
            rows = {r.label: r.model_copy(update={"readings": dict.fromkeys(r.printed, bare)}) for r in table.rows}
            bare_table = table.model_copy(update={"rows": tuple(rows.values())})
            audits[table.id, row.label] = audit_row(bare_table, rows[row.label], self.lookup)
        return [cost for cost in self.distinct if _reproduced(audits[cost.table.id, cost.row.label], cost.cell.column)]

    def _audit(self, table: Table, row: Row) -> AuditRow | None:
        key = (table.id, row.label)
        if key not in self._audits:
            self._audits[key] = audit_row(table, row, self.lookup)
        return self._audits[key]


# ---------------------------------------------------------------------------------------------------------- the page


def cost_page(tables: Iterable[Table], lookup: Lookup = get) -> str:
    """The whole page as Markdown, ending in one newline.

    Args:
        tables: All tables; a story whose tables are not among them is left out.
        lookup: Where the counts are from; by default they are counted where they have not been before.

    Raises:
        StaleProseError: a sentence of a story is no longer true.
    """
    costs = Costs(tables, lookup)
    blocks = [
        "# What a printed GFLOP means",
        "<!-- Written by `make docs` from the cost audit. Change benchmark/report/cost_page.py, not this file. -->",
        *_introduction(costs),
        "## Conventions",
        *_conventions(costs),
        "## Paper by paper",
        *_by_paper(costs),
    ]
    for title, blocks_of_story in stories(costs).items():
        blocks += [f"## {title}", *blocks_of_story]
    blocks += ["## Not reproduced", *_not_reproduced(costs), "## Look for yourself", *_commands()]
    return "\n\n".join(blocks) + "\n"


def stories(costs: Costs) -> dict[str, list[str]]:
    """Title and blocks of every story whose tables are there.

    Raises:
        StaleProseError: a sentence is no longer true.
    """
    told = [story for story in STORIES if set(story.tables) <= set(costs.tables)]
    return {story.title: story.tell(costs) for story in told}


def _paragraph(text: str) -> str:
    return fill(" ".join(text.split()), WRAP, break_long_words=False, break_on_hyphens=False)


def _bullet(text: str) -> str:
    return fill(f"- {text}", WRAP, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _operations(costs: Iterable[Cost]) -> list[Cost]:
    return [cost for cost in costs if cost.column.quantity == "macs"]


def _parameters(costs: Iterable[Cost]) -> list[Cost]:
    return [cost for cost in costs if cost.column.quantity == "params"]


def _introduction(costs: Costs) -> Iterator[str]:
    given = [cost for cost in costs.distinct if cost.verdict.reproduced]
    plain, operations = _operations(costs.unaided(PLAIN)), _operations(costs.distinct)
    doubled = [cost for cost in given if cost.cell.convention == "two_per_mac"]
    _check(all(cost.config.model.name == "vit" for cost in doubled), "no operations but ViT's are two per MAC")
    yield _paragraph(f"""
        A table says GFLOPs as if they were a property of a network. They are the reading of a counter, and the papers
        here do not share one: not with each other, and often not within a table. Of the networks that this benchmark
        builds, {len(costs.papers)} papers print {len(costs.distinct)} distinct costs. Each was counted again, operator
        by operator and at the printed size. {len(given)} are *reproduced*: a stated way of counting gives the print to
        its last digit, truncated or rounded, without any tolerance. Today's fvcore, on the networks as the papers
        describe them, gives {len(plain)} of the {len(operations)} printed operations.
    """)
    yield "Two counts of one network differ in"
    yield "\n".join(
        _bullet(text)
        for text in (
            "**the unit**: a multiplication and its addition are one operation, a MAC, or two. What these papers call"
            " FLOPs are MACs, but for ViT's;",
            "**what is seen**: a counter that hooks modules sees no product of matrices, and no convolution, that is"
            " called as a function, and no module that it has no rule for. All these are nothing to it;",
            "**small change**: batch normalisation is nothing, two or four operations an element, a bias one or none, a"
            " resized element nothing, four or eleven;",
            "**the network**: it is the code that was counted, which is not always the network of the text;",
            "**the input**: crop, frames, views and classes are not always those of the row beside.",
        )
    )
    yield _paragraph("""
        *In full* means, below: by fvcore as it is today, of the network as the paper describes it. Convolutions, linear
        layers and all products of matrices count one per MAC, however they are called.
    """)


def _conventions(costs: Costs) -> Iterator[str]:
    given = [cost for cost in costs.distinct if cost.verdict.reproduced]
    lines = []
    for name, convention in CONVENTIONS.items():
        read = [cost for cost in given if cost.cell.convention == name]
        found = (_operations(read), _parameters(read), _operations(costs.unaided(name)))
        lines.append([name, *(str(len(several)) for several in found), convention.description])
    yield _paragraph("""
        How many of the distinct printed costs each convention reproduces. *Operations* and *parameters*: as the reading
        that a table names for the cost, which may be of a variant of the network (its released code, another crop).
        *Unaided*: operations again, all counted by this convention on the networks as described.
    """)
    heads = ("convention", "operations", "parameters", "unaided", "what it counts")
    yield aligned([Heading(head, numeric=head in heads[1:4]) for head in heads], lines)


def _by_paper(costs: Costs) -> Iterator[str]:
    lines = []
    for paper in costs.papers:
        for kind, choose in (("operations", _operations), ("parameters", _parameters)):
            printed, distinct = (
                choose(cost for cost in several if cost.table.paper == paper)
                for several in (costs.printed, costs.distinct)
            )
            given = [cost for cost in distinct if cost.verdict.reproduced]
            by = Counter(cost.cell.convention for cost in given).most_common()
            counts = (len(printed), len(distinct), len(given), len(distinct) - len(given))
            lines.append([paper, kind, *map(str, counts), ", ".join(f"{name} {n}" for name, n in by) or "–"])
    heads = ("paper", "cost", "printed", "distinct", "reproduced", "not", "by")
    yield aligned([Heading(head, numeric=head in heads[2:6]) for head in heads], lines)
    yield "\n".join(_bullet(f"{paper}: {PAPERS.get(paper, paper)}") for paper in costs.papers)
    yield _paragraph("""
        What is printed again for the same network, in the same paper or in one further up, is not *distinct*. Costs
        that a paper quotes of other authors' networks are in no column.
    """)


def _not_reproduced(costs: Costs) -> Iterator[str]:
    lines = []
    for cost in costs.distinct:
        verdict = cost.verdict
        if verdict.reproduced or verdict.nearest_count is None:
            continue
        row = [cost.table.id, flat(cost.row.label), cost.column.title, verdict.printed, _shown(verdict.count, cost)]
        which = verdict.nearest.replace("that is trained", "as described")
        hit = " (gives it)" if cost.gives(verdict.nearest_count) else ""
        lines.append([*row, verdict.nearest_shown, f"{which}{hit}"])
    yield _paragraph(f"""
        The {len(lines)} distinct costs that their reading does not give. *Nearest* is the nearest count of all
        conventions, on the network as described and on the reading's. Where it gives the print, it is still no reading:
        the other rows of the table are counted otherwise.
    """)
    heads = ("table", "row", "cost", "printed", "by its reading", "nearest", "which is")
    yield aligned([Heading(head, numeric=head in heads[3:6]) for head in heads], lines)


def _commands() -> Iterator[str]:
    yield (
        "```\n"
        "python -m benchmark cost bqn-3b     # a table: two counters, readings, verdicts, what the counters leave out\n"
        "python -m benchmark cost --all      # every table; minutes the first time, then the counts are kept\n"
        "python -m benchmark costs           # this page\n"
        "make docs                           # this page, into docs/costs.md\n"
        "```"
    )
    yield _paragraph("""
        A file of `tables/` names the reading of its printed costs: `reading: {convention: ..., set: {...}, why: ...}`,
        where `set` are the settings in which the counted network differs. The conventions are functions of the recorded
        operators, in `benchmark/cost/conventions.py`.
    """)


def _shown(value: float, cost: Cost) -> str:
    """A count with three decimals, in the multiple of the print; one decimal where it is large."""
    multiple = multiple_of(cost.text) if cost.cell.verdict else ""
    scaled = value * MULTIPLES[cost.column.unit] / MULTIPLES[multiple or cost.column.unit]
    return f"{scaled:.{1 if scaled >= 1e3 else 3}f}{multiple}"


def _g(value: float) -> str:
    """A number in a sentence."""
    return f"{value:.{0 if value >= 1e3 else 1 if value >= 100 else 2}f}"


def _comparison(costs: Sequence[Cost], **more: Sequence[float]) -> str:
    """Printed beside counted, a line a cost; `more` are further columns by title, with _ for a space."""
    titles = [name.replace("_", " ") for name in more]
    headings = [Heading(head, numeric=False) for head in ("row", "cost")]
    headings += [Heading("printed"), Heading("reading", numeric=False), Heading("by it")]
    headings += [Heading(title) for title in ("in full", *titles)]
    lines = []
    for i, cost in enumerate(costs):
        reading = cost.cell.reading if cost.verdict.reproduced else f"none; {cost.cell.reading}"
        counts = [cost.verdict.count, cost.full, *(column[i] for column in more.values())]
        numbers = [_shown(count, cost) for count in counts]
        lines.append([cost.name, cost.column.title, cost.text, reading, *numbers])
    return aligned(headings, lines)


# ------------------------------------------------------------------------------------------------------- the stories


def _one_resnet(costs: Costs) -> list[str]:
    prints = [
        costs.at("bqn-3a", "Quiet", "gmacs"),
        costs.at("thesis-4.6", "SS V1 | baseline", "gmacs"),
        costs.at("msnet-1", "TSM | 8x1", "gmacs"),
        costs.at("msnet-7", "TSM-R50 | -", "gmacs"),
        costs.at("da-7", "TSM R50", "gmacs"),
    ]
    x3d = [
        costs.at("da-1", "X3D-M | RGB", "gmacs"),
        costs.at("bqn-4", "X3D-M | - | 16x3x2", "gmacs"),
        costs.at("da-2", "X3D-M", "gmacs_video"),
        costs.at("bqn-5", "X3D-M | - | 16x30", "gmacs_video"),
    ]
    near = sorted(cost.printed for cost in prints[:-1])
    span = near[-1] - near[0]
    connections = costs.at("bqn-3b", "16", "gmacs").printed - costs.at("bqn-3b", "0", "gmacs").printed
    _check(len({cost.full for cost in prints}) == 1, "five rows are one ResNet-50")
    _check(x3d[0].full == x3d[1].full and x3d[2].full == x3d[3].full, "two pairs of rows are one X3D-M each")
    _check(all(cost.verdict.reproduced for cost in (*prints, *x3d)), "every print of the two networks has a reading")
    _check([x3d[0].verdict.how, x3d[1].verdict.how] == ["truncated", "rounded"], "X3D-M is truncated, then rounded")
    _check([x3d[2].cell.convention, x3d[3].cell.convention] == ["fvcore_2021", "fvcore_core"], "BQN leaves out norms")
    _check(prints[-1].side > prints[0].side, "DA 7 counts ResNet-50 on a larger crop")
    _check(span > connections > 0, "prints of one ResNet-50 differ by more than sixteen connections add")
    return [
        _paragraph(f"""
            TSM-ResNet-50 on {prints[0].config.data.segments} frames of {prints[0].side} pixels takes
            {_g(prints[0].full)} G in full: the shift moves data and costs nothing. It is printed as
            {", ".join(cost.text for cost in prints[:-1])} and, on {prints[-1].side} pixels, as {prints[-1].text}. The
            same X3D-M is {x3d[0].text} and {x3d[1].text}, truncated and rounded, and over all views {x3d[2].text} and
            {x3d[3].text}, with and without its batch normalisation.
        """),
        _comparison([*prints, *x3d]),
        _paragraph(f"""
            On one crop the prints of this one network span {_g(span)} G. All sixteen lateral connections of BQN are
            printed to add {_g(connections)} G.
        """),
    ]


def _matrix_products(costs: Costs) -> list[str]:
    models = ("baseline", "+ 5 NL", "+ 5 RNL", "+ 5 [SE+RNL]")
    base, nl, rnl, chain = (costs.at("thesis-4.6", f"K400 | {model}", "gmacs") for model in models)
    weights = [costs.at("thesis-4.6", f"K400 | {model}", "mparams") for model in models[1:]]
    block = [costs.at("thesis-4.3", label, "insert_gmacs") for label in ("channel-wise conv", "average pooling")]
    block_weights = [costs.at("thesis-4.3", cost.row.label, "insert_mparams") for cost in block]
    shown = [base, nl, rnl, chain, *weights, *block, *block_weights]
    released = rnl.recount(PLAIN, rnl.cell.variant)
    less, less_printed = nl.full - rnl.full, nl.printed - rnl.printed
    _check(all(cost.verdict.reproduced for cost in shown), "the costs of the thesis' blocks are reproduced")
    _check(all(cost.cell.convention == "thop_2001" for cost in shown), "by a counter that is blind to products")
    _check(nl.full - base.full > 2 * (nl.printed - base.printed), "NL blocks cost more than twice what is printed")
    _check(0 < less < less_printed, "RNL takes less than NL, by less than is printed")
    _check(released > nl.full, "the released form of RNL takes more than NL")
    _check(weights[1].full < weights[1].printed, "RNL has fewer parameters than are printed")
    _check(block[0].printed == block[1].printed, "the aggregators are printed with one cost")
    _check(block[1].full < block[0].full, "pooling takes less than the convolution")
    return [
        _paragraph(f"""
            Self-attention is two products of matrices, and a counter that hooks modules sees neither. The thesis prints
            {nl.text} G for a network with five non-local blocks and {rnl.text} G for one with five of its RNL blocks,
            and such a counter gives exactly that. In full they take {_g(nl.full)} and {_g(rnl.full)} G: the blocks of
            NL add {_g(nl.full - base.full)} G and not {_g(nl.printed - base.printed)}. The parameters err the other
            way. The released code keeps a channel-wise kernel as a dense one under a fixed mask, and the counter takes
            both for parameters: {weights[1].text} M are printed for RNL, which needs {_g(weights[1].full)}.
        """),
        _comparison(shown, in_full_as_released=[cost.recount(PLAIN, cost.cell.variant) for cost in shown]),
        _paragraph(f"""
            What the thesis concludes of RNL, "{costs.claim("thesis-4.6.05")}", is {_g(less)} in full:
            {less / nl.full:.0%} less than NL and not {less_printed / nl.printed:.0%}. As released, with the masked
            kernels multiplied out, RNL takes {_g(released)} G, {_g(released - nl.full)} G more than NL. Of one block
            the thesis says that "{costs.claim("thesis-4.3.04")}" than the convolution, and prints {block[0].text} G for
            both; in full they take {_g(block[1].full)} and {_g(block[0].full)} G.
        """),
    ]


def _motion_squeeze(costs: Costs) -> list[str]:
    small = [costs.at("msnet-3", label, "gmacs") for label in ("baseline", "KS + CM", "KS + CM + BD")]
    alone = costs.at("msnet-5", "MS only", "gmacs")
    large = [costs.at("msnet-7", label, "gmacs") for label in ("TSM-R50 | -", "MSNet-R50 | ours")]
    pair = [costs.at("msnet-1", f"{model} | 8x1", "gmacs") for model in ("TSM", "MSNet-R50 (ours)")]
    weights = [costs.at("msnet-1", cost.row.label, "mparams") for cost in pair]
    channels = large[1].config.model_dump()["model"]["motion_squeeze"]["reduced"]
    wider = large[1].recount(large[1].cell.convention, {"model.motion_squeeze.reduced": HALF_OF_RES3})
    printed, theirs = pair[1].printed / pair[0].printed - 1, pair[1].verdict.count / pair[0].verdict.count - 1
    full, full_weights = pair[1].full / pair[0].full - 1, weights[1].full / weights[0].full - 1
    _check(all(cost.verdict.reproduced for cost in (*small[:2], *large, *pair)), "MotionSqueeze's costs are reproduced")
    _check(not small[0].gives(small[0].full), "fvcore does not give the print of TSM-ResNet-18")
    _check(channels < HALF_OF_RES3 and not large[1].gives(wider), "half of the channels do not give MSNet-R50's print")
    _check(alone.printed < small[0].printed <= small[0].full + 0.1 < alone.full, "'MS only' is below its baseline")
    _check(not alone.verdict.reproduced and not weights[1].verdict.reproduced, "two prints of MSNet have no reading")
    _check(full < theirs < printed, "MSNet adds less than the rounded prints say")
    return [
        _paragraph(f"""
            MotionSqueeze's counter takes four operations for an element of a batch normalisation, where others take two
            or none, and its authors add the correlation by hand, multiplications and additions apart, although those of
            a convolution count as one. The former is why TSM-ResNet-18 is printed as {small[0].text} G; in full it is
            {_g(small[0].full)}. The {large[1].text} G of MSNet-R50 also tell how many channels are correlated: the
            released code has {channels} everywhere, the text half of what comes in, which would cost {_g(wider)} G.
        """),
        _comparison([*small, alone, *large, *pair, *weights]),
        _paragraph(f"""
            MSNet comes "{costs.claim("msnet-1.05")} {costs.claim("msnet-1.06")}", says the paper. Its operations are
            {theirs:.1%} more by the authors' own counter and {full:.1%} in full (the whole GFLOPs of the table would
            make it {printed:.1%}), and its parameters {full_weights:.1%}: {weights[0].text} M become
            {_g(weights[1].verdict.count)} and not {weights[1].text}. "MS only" leaves out an addition and is printed
            {_g(small[0].printed - alone.printed)} G below a network without MotionSqueeze, which no counter will give.
        """),
    ]


HALF_OF_RES3 = 256
"""Half of the channels that MotionSqueeze gets in ResNet-50."""


def _busy_quiet(costs: Costs) -> list[str]:
    none, every = (costs.at("bqn-3b", label, "gmacs") for label in ("0", "16"))
    small = costs.at("bqn-3d", "160^2x8 | 256^2x8", "gmacs")
    mbpm = costs.at("bqn-1", "MBPM", "extra_gmacs")
    x3d, tsm = costs.at("bqn-4", "X3D-M | - | 16x3x2", "gmacs"), costs.at("bqn-4", "TSM R50 | R50 | 16x1x1", "gmacs")
    light = costs.at("bqn-4", "BQN | None, X3D-M | 48x3x2", "gmacs")
    weights = costs.at("bqn-4", light.row.label, "mparams")
    shown = [none, every, small, mbpm, tsm, x3d, light, weights]
    linear = every.recount(PLAIN, {"model.lateral.phi": "conv1x1"})
    same = weights.recount(weights.cell.convention, light.cell.variant)
    saved, saved_full = every.printed - small.printed, every.full - small.full
    _check(all(cost.verdict.reproduced for cost in shown), "BQN's costs are reproduced")
    _check(every.cell.variant == {"model.lateral.direction": "bidirectional"}, "both directions are counted")
    _check(not none.gives(none.full) and not every.gives(every.full), "fvcore does not give BQN's prints")
    _check(mbpm.full > every.printed - none.printed, "one MBPM costs more than the connections are printed to add")
    _check(not every.gives(linear) and linear > every.full, "the linear map of the text would show")
    _check(saved_full > saved, "small Quiet inputs save more than is printed")
    _check(not weights.gives(same), "no one network gives BQN-X3D's operations and parameters")
    _check(light.full / x3d.full > light.printed / x3d.printed, "BQN on X3D costs more than is printed")
    return [
        _paragraph(f"""
            The Busy pathway begins with an MBPM, and another stands in every connection from Quiet to Busy. A counter
            with rules for known classes alone takes them for nothing; the same paper's Table 1 has {mbpm.text} G for
            one. The connections alternate in the text and are counted in both directions, without the 1x1x1 convolution
            that Eq. 5 suggests; with it BQN would take {_g(linear)} G. Of the two networks in the released code one has
            both directions and the convolution, the other neither: the prints are of a third.
        """),
        _comparison(shown),
        _paragraph(f"""
            A smaller Quiet input "{costs.claim("bqn-3d.02")}", from {every.text} to {small.text}; in full it saves
            {_g(saved_full)}, since the connections' MBPMs run at Quiet's size. BQN on X3D-M comes
            "{costs.claim("bqn-4.09")}" beside X3D-M, that is, {light.printed / x3d.printed:.2f} times by the prints
            and {light.full / x3d.full:.2f} times in full; and "{costs.claim("bqn-4.11")}" of TSM-ResNet-50 on sixteen
            frames, {light.printed / tsm.printed:.1%} and {light.full / tsm.full:.1%}. Its {light.text} G and
            {weights.text} M are of different networks: the one that takes the former has {_g(same)} M.
        """),
    ]


def _flow_networks(costs: Costs) -> list[str]:
    flow = [costs.at("bqn-1", label, "extra_gmacs") for label in ("FlowNetC", "FlowNetS")]
    others = [costs.at("bqn-1", label, "extra_gmacs") for label in ("PA", "MBPM")]
    shown = [*flow, *others]
    present = [cost.recount(PLAIN, cost.cell.variant) for cost in shown]
    _check(all(cost.verdict.reproduced for cost in shown), "the representations' costs are reproduced")
    _check(all(cost.cell.convention == "fvcore_2021" for cost in flow), "FlowNet is counted under the old rule")
    _check(flow[0].side == flow[1].side > others[0].side == others[1].side, "FlowNet is counted on larger crops")
    _check(all(c.printed > now > c.full for c, now in zip(flow, present, strict=False)), "the old rule counts more")
    return [
        _paragraph(f"""
            A transposed convolution multiplies its kernel with every position of its input. Early in 2021 fvcore
            counted it like an ordinary one, over the positions of its output, of which there are four times as many at
            stride two, and so {flow[0].text} and {flow[1].text} G come about. By the present rule the same networks
            take {_g(present[0])} and {_g(present[1])} G. They are also counted on crops of {flow[0].side} pixels, where
            the representations beside them have {others[0].side}; there FlowNet takes {_g(flow[0].full)} and
            {_g(flow[1].full)} G.
        """),
        _comparison(shown, present_rule_on_that_crop=present),
        _paragraph(f"""
            That MBPM comes "{costs.claim("bqn-1.04")}" is true by any count: FlowNetC takes
            {flow[0].printed / others[1].printed:.0f} times as much by the prints and
            {flow[0].full / others[1].full:.0f} times in full.
        """),
    ]


def _tvnet(costs: Costs) -> list[str]:
    operations, weights = costs.at("bqn-1", "TVNet", "extra_gmacs"), costs.at("bqn-1", "TVNet", "extra_mparams")
    appearance = costs.at("bqn-1", "PA", "extra_gmacs")
    many, few = (cost.cell.variant["model.tvnet.iterations"] for cost in (operations, weights))
    used = operations.config.model_dump()["model"]["tvnet"]["iterations"]
    weights_then = weights.recount(PLAIN, operations.cell.variant)
    operations_then = operations.recount(PLAIN, weights.cell.variant)
    _check(operations.verdict.reproduced and weights.verdict.reproduced, "TVNet's two costs have a reading each")
    _check(many > 2 * few and weights_then > 2 * weights.printed, "many iterations have too many parameters")
    _check(operations.full < operations_then < operations.printed / 2, "few iterations take too little")
    _check(operations.full < appearance.full < operations.printed, "TVNet takes less than PA, and is printed above it")
    return [
        _paragraph(f"""
            TVNet unrolls an optimisation, and both of its costs grow with the number of iterations, which is not
            printed. {operations.text} G are those of {many} iterations, {weights.text} parameters those of {few}. With
            {many} there would be {_shown(weights_then, weights)} parameters, with {few} it would take
            {_g(operations_then)} G. With the {used} that are trained here, the default of a released port, it takes
            {_g(operations.full)} G and stands below Persistent Appearance, above which it is printed.
        """),
        _comparison([operations, weights, appearance]),
    ]


def _dynamic_appearance(costs: Costs) -> list[str]:
    base, small = (costs.at("da-1", f"X3D-XS{row}", "gmacs") for row in (" | RGB", " (ours) | DA S=4,T=8"))
    frames = [costs.at("da-4b", f"T={count},D=1", "gmacs") for count in (4, 8, 16)]
    coarse, dense = (costs.at("da-4a", f"s={stride},k=7x7,C'=24", "gmacs") for stride in (4, 1))
    nl = costs.tables["da-1"].row("NL I3D | RGB").printed["gmacs"]
    eight = frames[1]
    _check(all(cost.verdict.reproduced for cost in (base, small, *frames, coarse)), "X3D with PWTP is reproduced")
    _check(all(c.cell.variant == {AFTER_STEM: True} for c in (small, *frames)), "the mean is counted after the stem")
    _check(base.full < eight.full < eight.verdict.count, "PWTP takes something, and less than is printed")
    return [
        _paragraph(f"""
            PWTP ends in a mean over the frames of a segment, and the first convolution of X3D is linear: with the mean
            before or after it, the network computes the same. The print is that of after, where the convolution runs on
            every frame: {eight.text} G, where {_g(eight.full)} will do. In front of X3D-XS, which takes {_g(base.full)}
            G, PWTP adds {_g(eight.full - base.full)} and not {_g(eight.verdict.count - base.full)} G.
        """),
        _comparison([base, *frames, small, coarse, dense]),
        _paragraph(f"""
            In PWTP "{costs.claim("da-4a.04")} {costs.claim("da-4a.05")}" of a stride of one, that is,
            {coarse.printed / dense.printed:.0%} by the prints and {coarse.full / dense.full:.0%} in full. The
            operations "{costs.claim("da-1.07")}" than those of NL I3D are {small.text} G beside the {nl:.0f} that
            others print for it; what the network needs is {nl / small.full:.0f} times fewer.
        """),
    ]


AFTER_STEM = "model.dynamic_appearance.average_after_stem"


def _vision_transformer(costs: Costs) -> list[str]:
    vit, resnet = costs.at("da-1", "ViT-B | RGB", "gmacs"), costs.at("da-1", "TSM | RGB", "gmacs")
    views, appearance = (costs.at("da-2", label, "gmacs_video") for label in ("ViT-B", "DA_8x8 ViT-B"))
    _check([vit.cell.convention, resnet.cell.convention] == ["two_per_mac", PLAIN], "ViT and ResNet differ in unit")
    _check(all(cost.verdict.reproduced for cost in (vit, resnet, views)), "ViT-B is reproduced")
    _check(not appearance.verdict.reproduced, "ViT-B with dynamic appearance is not reproduced")
    _check(appearance.gives(views.verdict.count + appearance.full - views.full), "PWTP is added in MACs")
    _check(vit.full / resnet.full < vit.printed / resnet.printed, "ViT-B is nearer to ResNet-50 than is printed")
    return [
        _paragraph(f"""
            The {vit.text} G of ViT-B are two operations per MAC, without the two products of attention, which the
            counter did not see; the CNNs beside it are in MACs. In MACs, and with attention, ViT-B takes {_g(vit.full)}
            G. It is printed as {vit.printed / resnet.printed:.1f} times the TSM-ResNet-50 of the same table and takes
            {vit.full / resnet.full:.1f} times as much. With dynamic appearance it is printed, over all views, as
            {appearance.text} G, {appearance.printed - views.printed:.0f} more than without, which is PWTP in MACs on
            top of ViT-B in operations. By ViT-B's own convention it is {_g(appearance.verdict.count)}.
        """),
        _comparison([vit, resnet, views, appearance]),
    ]


def _crops(costs: Costs) -> list[str]:
    small, deep, appearance = (costs.at("da-7", label, "gmacs") for label in ("TSM R50", "TSM R101", "DA TSM R50"))
    bare = deep.recount("fvcore_core")
    large = [cost.recount(PLAIN, {"data.size": small.side}) for cost in (small, deep, appearance)]
    _check(deep.side < small.side == appearance.side, "ResNet-101 is counted on a smaller crop")
    _check(bare < deep.printed < deep.full, "the print of ResNet-101 lies between two counts")
    _check(large[2] / large[1] < appearance.printed / deep.printed, "the mixed crops make ResNet-101 look light")
    return [
        _paragraph(f"""
            Where dynamic appearance is compared with heavier networks, ResNet-50 is counted on crops of {small.side}
            pixels and ResNet-101 on {deep.side}: its {deep.text} G lie between {_g(bare)} without batch normalisation
            and {_g(deep.full)} with it. On the larger crop it takes {_g(large[1])} G.
        """),
        _comparison([small, deep, appearance], **{f"at_{small.side}_pixels": large}),
        _paragraph(f"""
            The mixture is to the authors' own disadvantage. Dynamic appearance on ResNet-50 is better than ResNet-101
            "{costs.claim("da-7.02")}", {appearance.printed / deep.printed:.0%} of it by the prints and
            {large[2] / large[1]:.0%} on one crop.
        """),
    ]


def _comprehensive_motion(costs: Costs) -> list[str]:
    ours = [costs.at("cmr-1", f"CMR (ours) | ResNet2D-50 | {clip}", "gmacs_video") for clip in ("8f", "16f")]
    table = [costs.at("cmr-3", label, "gmacs") for label in ("1", "4", "8", "16")]
    weights = [costs.at("cmr-3", label, "mparams").full for label in ("1", "16")]
    base = costs.at("cmr-4", "Res50+TIM", "gmacs")
    bare = [cost.recount("fvcore_core") for cost in table[2:]]
    dense = table[2].recount(PLAIN, {"model.sme.form": "dense"})
    spread_printed, spread = (max(v) - min(v) for v in ([c.printed for c in table], [c.full for c in table]))
    _check(all(cost.verdict.reproduced for cost in (*ours, table[2])), "CMR's own rows are reproduced")
    _check(not table[2].gives(dense), "a dense convolution in SME does not give the print")
    _check(not any(table[i].verdict.reproduced for i in (0, 1, 3)), "the other rows of Table 3 are not reproduced")
    _check(table[3].printed < base.full < table[3].full, "one print of Table 3 is below the backbone")
    _check(int(bare[1]) == int(bare[0]) == int(table[3].printed), "without norms two rows would be printed alike")
    _check(spread < 0.05 * spread_printed, "the networks of Table 3 take nearly the same")
    return [
        _paragraph(f"""
            The text gives SME a 1x1 convolution over all channels; so built, CMR takes {_g(dense)} G. The printed
            {ours[0].text} G are reached with one weight a channel. The table on CME's reduction of channels has
            {", ".join(cost.text for cost in table)} G. CME averages over positions before its layers, so that the four
            networks lie within {_g(spread)} G and not {spread_printed:.0f}. The last print is below the backbone with
            TIM, {_g(base.full)} G; without batch normalisation it would be {_g(bare[1])} truncated, but then the row
            above, {_g(bare[0])}, would be {table[3].text} as well.
        """),
        _comparison([*ours, *table]),
        _paragraph(f"""
            So the accuracies of that table are of equal operations, which it does not look like. What the reduction
            changes is the parameters: {_g(weights[0])} M without it and {_g(weights[1])} M at its strongest.
        """),
    ]


def _classifiers(costs: Costs) -> list[str]:
    borrowed = [
        costs.at("thesis-4.6", "SS V1 | baseline", "mparams"),
        costs.at("bqn-4", "TSM R50 | R50 | 16x1x1", "mparams"),
        costs.at("msnet-1", "TSM | 8x1", "mparams"),
    ]
    own = costs.at("da-1", "TSM | RGB", "mparams")
    shown = [*borrowed, own]
    kinetics = [cost.recount(PLAIN, {"data.dataset": "kinetics400"}) for cost in shown]
    _check(len({cost.full for cost in shown}) == 1, "four rows are one ResNet-50")
    _check(all(cost.gives(kinetics[0]) and not cost.gives(cost.full) for cost in borrowed), "three have 400 classes")
    _check(own.gives(own.full) and not own.gives(kinetics[0]), "one has the classes of its data")
    return [
        _paragraph(f"""
            On Something-Something, with {own.config.data.num_classes} classes, TSM-ResNet-50 has {_g(own.full)} M
            parameters. Three papers print those of the network for Kinetics, {_g(kinetics[0] - own.full)} M more, one
            its own. A module that is compared across papers seems to add, or to save, that much.
        """),
        _comparison(shown, with_the_classes_of_Kinetics=kinetics),
    ]


@dataclass(frozen=True)
class Story:
    """A section on one way of counting. `tell` gives its blocks; it is told where all `tables` are there."""

    title: str
    tables: tuple[str, ...]
    tell: Callable[[Costs], list[str]]


def _story(title: str, tell: Callable[[Costs], list[str]], tables: str) -> Story:
    return Story(title, tuple(tables.split()), tell)


STORIES = (
    _story(
        "One ResNet-50, five prints",
        _one_resnet,
        "bqn-3a bqn-3b bqn-4 bqn-5 da-1 da-2 da-7 msnet-1 msnet-7 thesis-4.6",
    ),
    _story("Attention that costs nothing", _matrix_products, "thesis-4.3 thesis-4.6"),
    _story("MotionSqueeze: what a batch normalisation is", _motion_squeeze, "msnet-1 msnet-3 msnet-5 msnet-7"),
    _story("BQN: the filter that its tables leave out", _busy_quiet, "bqn-1 bqn-3b bqn-3d bqn-4"),
    _story("FlowNet: a rule that has changed", _flow_networks, "bqn-1"),
    _story("TVNet: two costs, two networks", _tvnet, "bqn-1"),
    _story("PWTP: a mean taken too late", _dynamic_appearance, "da-1 da-4a da-4b"),
    _story("ViT: two operations beside one", _vision_transformer, "da-1 da-2"),
    _story("ResNet-101: two crops in one table", _crops, "da-7"),
    _story("CMR: one weight a channel", _comprehensive_motion, "cmr-1 cmr-3 cmr-4"),
    _story("Parameters: a classifier of another data set", _classifiers, "bqn-4 da-1 msnet-1 thesis-4.6"),
)
