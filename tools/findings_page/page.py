"""The template findings.md.jinja, filled in: what it can call, and the lists and tables that it shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Template

from benchmark.report.labels import flat
from benchmark.report.statistics.judgement import STATES
from benchmark.report.text.formulas import claim_formula
from benchmark.report.text.markdown_text import bullet, escape, grid
from benchmark.report.text.verdicts import printed_text
from tools.findings_page.findings import RHO, Finding, Findings, Order, Steps, by_reason
from tools.pages import TITLES, Check, checked_page, filled, read_template

TEMPLATE = Path(__file__).with_name("findings.md.jinja")


def findings_page(findings: Findings) -> str:
    """The whole page as Markdown, ending in one newline.

    Raises:
        StalePageError: statements of the page that the results do not bear out.
    """
    return checked_page(template(), lambda check: names(findings, check), "docs/findings.md", "the results")


def template() -> Template:
    """The template as it is on disk."""
    return read_template(TEMPLATE)


def names(findings: Findings, check: Check) -> Mapping[str, Any]:
    """What the template can name."""
    return {
        "by_reason": by_reason,
        "check": check,
        "counts": counts,
        "findings": findings,
        "item": item,
        "open_item": open_item,
        "orders": orders,
        "opposites": opposites,
        "rho": f"{RHO:g}",
        "tables_of": tables_of,
        "titles": TITLES,
    }


def counts(findings: Findings) -> str:
    """Claims by state and paper: those on accuracies, then all others together."""
    papers = findings.papers
    rows = []
    for accuracy, kind in ((True, "accuracy"), (False, "cost, time, setting")):
        for state in STATES:
            each = [len(findings.of(paper, state, accuracy)) for paper in papers]
            if sum(each):
                rows.append([kind, state, *map(str, each), str(sum(each))])
    return grid(["claims on", "verdict", *papers, "all"], rows, [False, False, *(True for _ in papers), True])


def item(finding: Finding) -> str:
    """A claim that has a verdict: what is claimed and where, what our runs and the print say, and at which levels."""
    entry = finding.entry
    lines = [
        bullet(f"**{entry.claim.id}** {escape(claim_formula(entry.claim, entry.table))} {_said(finding)}"),
        bullet(f"ours: {escape(entry.reason)}{_by_levels(finding)}", 1),
    ]
    if entry.trial is not None:
        lines.append(bullet(f"printed: {escape(printed_text(entry.claim, entry.trial))}", 1))
    return "\n".join(lines)


def open_item(finding: Finding) -> str:
    """A claim that is not resolved, in one line: our difference, and what would resolve it."""
    entry = finding.entry
    takes = f" (takes {entry.takes})" if entry.takes else ""
    return bullet(
        f"**{entry.claim.id}** {escape(claim_formula(entry.claim, entry.table))}: {escape(entry.reason + takes)}"
    )


def _said(finding: Finding) -> str:
    claim = finding.entry.claim
    where = [claim.where] if claim.where else []
    again = [f"again in {', '.join(finding.again)}"] if finding.again else []
    return f"({escape('; '.join([claim.text.rstrip('.'), *where, *again]))})"


def _by_levels(finding: Finding) -> str:
    """How the difference changes along an axis, where that is beyond its error; "" where its levels are not known."""
    if not finding.steps:
        return ""
    steps = finding.uneven
    return f"; {along(steps)}" if steps else "; at all levels alike, within their error"


def along(steps: Steps) -> str:
    """As in 'by level of contrast, easy to hard: +0.1, +0.4, +2.0, +6.1 (± 1.9)'."""
    shown = ", ".join(f"{difference:+.1f}" for difference in steps.differences)
    return f"by level of {steps.axis}, easy to hard: {shown} (± {max(steps.halves):.1f})"


def orders(several: Sequence[Order]) -> str:
    """A line per table: rows, seeds, pairs in the printed order, pairs that are told apart, and how these lie."""
    heads = ("table", "rows", "seeds", "pairs in the printed order", "ours tell apart", "both do", "same", "opposite")
    rows = [
        [
            link(one),
            str(one.rows),
            str(one.seeds),
            f"{one.alike} of {one.ordered}",
            f"{one.told_apart} of {len(one.pairs)}",
            str(len(one.both)),
            str(len(one.both) - len(one.opposite)),
            str(len(one.opposite)),
        ]
        for one in several
    ]
    total = ["all", str(sum(one.rows for one in several)), ""]
    total += [f"{sum(one.alike for one in several)} of {sum(one.ordered for one in several)}"]
    total += [f"{sum(one.told_apart for one in several)} of {sum(len(one.pairs) for one in several)}"]
    both, opposite = sum(len(one.both) for one in several), sum(len(one.opposite) for one in several)
    rows.append([*total, str(both), str(both - opposite), str(opposite)])
    return grid(heads, rows, [False, *(True for _ in heads[1:])])


def opposites(order: Order) -> str:
    """The pairs of a table that the print and our runs tell apart in opposite ways."""
    parts = [
        f"{flat(pair.first)} and {flat(pair.second)}: {pair.printed:+.1f} in print, {pair.ours:+.1f} here"
        for pair in order.opposite
    ]
    return bullet(f"{order.table.id}: {escape('; '.join(parts))}")


def link(order: Order) -> str:
    """The table's id, leading to its page."""
    table = order.table
    return f"[{table.id}](../results/{table.paper}/{table.number}/table.md)"


def tables_of(several: Iterable[Finding]) -> str:
    """The tables that claims are on, with how many each."""
    found: dict[str, int] = {}
    for one in several:
        found[one.entry.table.id] = found.get(one.entry.table.id, 0) + 1
    return ", ".join(f"{name} ({count})" for name, count in found.items())


def in_short(findings: Findings) -> str:
    """What README says of the page."""
    seeds = sorted({one.seeds for one in findings.measured})
    several = " to ".join(str(n) for n in dict.fromkeys((seeds[0], seeds[-1]))) if seeds else "no"
    tables = len(findings.measured)
    text = (
        f"- **Measured.** {tables} of {len(findings.tables)} tables and figures, with {several}"
        f" seed{'' if seeds == [1] else 's'} a row. Of {len(findings.of(accuracy=True))} distinct claims on accuracies"
        f" {findings.count('supported')} are supported, {findings.count('contradicted')} contradicted,"
        f" {findings.count('not resolved')} not resolved, {findings.count('not measured yet')} not measured yet, and"
        f" {findings.count('not testable here')} cannot be tested here:"
        " [what our runs say of the papers](docs/findings.md)."
    )
    return filled(text).rstrip()
