"""The template costs.md.jinja, filled in: what it can call, the tables that it shows, and its paragraphs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Template

from benchmark.cost.audit import PLAIN
from benchmark.cost.conventions import CONVENTIONS
from benchmark.report.labels import flat
from benchmark.report.text.layout import Heading
from benchmark.report.text.markdown import aligned
from tools.costs_page.costs import Cost, Costs, Variant
from tools.pages import TITLES, Check, checked_page, read_template

TEMPLATE = Path(__file__).with_name("costs.md.jinja")


def costs_page(costs: Costs) -> str:
    """The whole page as Markdown, ending in one newline.

    Raises:
        StalePageError: statements of the page that the counts do not bear out, all of them, one a line.
    """
    return checked_page(template(), lambda check: names(costs, check), "docs/costs.md", "the counts")


def template() -> Template:
    """The template as it is on disk."""
    return read_template(TEMPLATE)


def names(costs: Costs, check: Check) -> dict[str, Any]:
    """What the template can name."""
    return {
        "all_reproduced": lambda several: all(cost.reproduced for cost in several),
        "by_convention": by_convention,
        "by_paper": by_paper,
        "check": check,
        "claim": costs.claim,
        "comparison": comparison,
        "conventions": CONVENTIONS,
        "cost": costs.at,
        "costs": costs,
        "not_reproduced": not_reproduced,
        "recounts": recounts,
        "titles": TITLES,
    }


def recounts(costs: Iterable[Cost], variant: Variant) -> list[float]:
    """The counts by fvcore, of the same variant of every cost's network."""
    return [cost.recount(PLAIN, variant) for cost in costs]


def comparison(costs: Sequence[Cost], more: Mapping[str, Sequence[float]] | None = None) -> str:
    """Printed beside counted, a line a cost; `more` are further columns of counts, by title."""
    further = more or {}
    headings = [Heading(head, numeric=False) for head in ("row", "cost")]
    headings += [Heading("printed"), Heading("reading", numeric=False), Heading("by it")]
    headings += [Heading(title) for title in ("in full", *further)]
    lines = []
    for i, cost in enumerate(costs):
        reading = cost.cell.interpretation if cost.reproduced else f"none; {cost.cell.interpretation}"
        counts = [cost.by_reading, cost.full, *(column[i] for column in further.values())]
        lines.append([cost.name, cost.column.title, cost.as_printed, reading, *map(cost.shown, counts)])
    return aligned(headings, lines)


def by_convention(costs: Costs) -> str:
    """How many of the distinct printed costs each convention reproduces."""
    reproduced = [cost for cost in costs.distinct if cost.reproduced]
    lines = []
    for name in CONVENTIONS:
        read = [cost for cost in reproduced if cost.convention == name]
        found = (of_quantity("macs", read), of_quantity("params", read), of_quantity("macs", costs.unaided(name)))
        lines.append([name, *(str(len(several)) for several in found)])
    heads = ("convention", "operations", "parameters", "unaided")
    return aligned([Heading(head, numeric=head in heads[1:]) for head in heads], lines)


def by_paper(costs: Costs) -> str:
    """How many costs each paper prints, and which conventions reproduce how many of them."""
    lines = []
    for paper in costs.papers:
        for kind, quantity in (("operations", "macs"), ("parameters", "params")):
            printed, distinct = (
                [cost for cost in of_quantity(quantity, several) if cost.table.paper == paper]
                for several in (costs.printed, costs.distinct)
            )
            reproduced = [cost for cost in distinct if cost.reproduced]
            by = Counter(cost.convention for cost in reproduced).most_common()
            counts = (len(printed), len(distinct), len(reproduced), len(distinct) - len(reproduced))
            lines.append([paper, kind, *map(str, counts), ", ".join(f"{name} {n}" for name, n in by) or "–"])
    heads = ("paper", "cost", "printed", "distinct", "reproduced", "not", "by")
    return aligned([Heading(head, numeric=head in heads[2:6]) for head in heads], lines)


def not_reproduced(costs: Costs) -> str:
    """The distinct costs that their reading does not give, and what comes nearest."""
    lines = []
    for cost in costs.distinct:
        verdict = cost.verdict
        if verdict.nearest_count is None:  # only of what is reproduced
            continue
        row = [cost.table.id, flat(cost.row.label), cost.column.title, verdict.printed, cost.shown(verdict.count)]
        which = verdict.nearest.replace("that is trained", "as described")
        hit = " (gives it)" if cost.gives(verdict.nearest_count) else ""
        lines.append([*row, verdict.nearest_shown, f"{which}{hit}"])
    heads = ("table", "row", "cost", "printed", "by its reading", "nearest", "which is")
    return aligned([Heading(head, numeric=head in heads[3:6]) for head in heads], lines)


def of_quantity(quantity: str, costs: Iterable[Cost]) -> list[Cost]:
    """Those of the costs that are operations (`macs`), or parameters (`params`)."""
    return [cost for cost in costs if cost.column.quantity == quantity]
