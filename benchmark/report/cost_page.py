"""The page on printed costs, docs/costs.md: what the papers counted, told by the audit's own numbers. Without torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from textwrap import fill

from benchmark.cost.audit import PLAIN, Lookup
from benchmark.cost.cache import get
from benchmark.cost.conventions import CONVENTIONS
from benchmark.report.cost_figures import WRAP, Cost, Costs, check, paragraph, shown
from benchmark.report.cost_stories import STORIES
from benchmark.report.text.layout import Heading, flat
from benchmark.report.text.markdown import aligned
from benchmark.spec.table import Table

PAPERS = {
    "bqn": "Busy-Quiet Video Disentangling for Video Classification",
    "cmr": "Learning Comprehensive Motion Representation for Action Recognition",
    "da": "Dynamic Appearance: A Video Representation for Action Recognition with Joint Training",
    "msnet": "MotionSqueeze: Neural Motion Feature Learning for Video Understanding",
    "thesis": "Spatio-Temporal Modeling for Action Recognition in Videos",
}


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
        "<!-- Written by `make docs` from the cost audit. Change benchmark/report/cost_*.py, not this file. -->",
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
    check(all(cost.config.model.name == "vit" for cost in doubled), "no operations but ViT's are two per MAC")
    yield paragraph(f"""
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
    yield paragraph("""
        *In full* means, below: by fvcore as it is today, of the network as the paper describes it. Convolutions, linear
        layers and all products of matrices count one per MAC, however they are called.
    """)


def _conventions(costs: Costs) -> Iterator[str]:
    given = [cost for cost in costs.distinct if cost.verdict.reproduced]
    lines = []
    for name in CONVENTIONS:
        read = [cost for cost in given if cost.cell.convention == name]
        found = (_operations(read), _parameters(read), _operations(costs.unaided(name)))
        lines.append([name, *(str(len(several)) for several in found)])
    yield paragraph("""
        How many of the distinct printed costs each convention reproduces. *Operations* and *parameters*: as the reading
        that a table names for the cost, which may be of a variant of the network (its released code, another crop).
        *Unaided*: operations again, all counted by this convention on the networks as described.
    """)
    heads = ("convention", "operations", "parameters", "unaided")
    yield aligned([Heading(head, numeric=head in heads[1:]) for head in heads], lines)
    for name, convention in CONVENTIONS.items():  # headings, which the audits link to
        yield f"### {name}"
        yield paragraph(convention.description)


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
    yield paragraph("""
        What is printed again for the same network, in the same paper or in one further up, is not *distinct*. Costs
        that a paper quotes of other authors' networks are in no column.
    """)


def _not_reproduced(costs: Costs) -> Iterator[str]:
    lines = []
    for cost in costs.distinct:
        verdict = cost.verdict
        if verdict.reproduced or verdict.nearest_count is None:
            continue
        row = [cost.table.id, flat(cost.row.label), cost.column.title, verdict.printed, shown(verdict.count, cost)]
        which = verdict.nearest.replace("that is trained", "as described")
        hit = " (gives it)" if cost.gives(verdict.nearest_count) else ""
        lines.append([*row, verdict.nearest_shown, f"{which}{hit}"])
    yield paragraph(f"""
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
    yield paragraph("""
        A file of `tables/` names the reading of its printed costs: `reading: {convention: ..., set: {...}, why: ...}`,
        where `set` are the settings in which the counted network differs. The conventions are functions of the recorded
        operators, in `benchmark/cost/conventions.py`.
    """)
