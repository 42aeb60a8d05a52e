"""table.md: the table, its differences from the baseline row and its claims, aligned to read well as raw text."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill

from benchmark.report.claims import Judgement, towards
from benchmark.report.compare import Contrast
from benchmark.report.layout import Heading, Layout, flat
from benchmark.spec.claim import Claim
from benchmark.spec.columns import COLUMNS
from benchmark.spec.table import Table

SYMBOLS = {"supported": "✓", "contradicted": "✗", "not resolved": "?"}
_WRAP = 110
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def markdown(table: Table, layout: Layout, contrasts: Sequence[Contrast], judgements: Sequence[Judgement]) -> str:
    """The whole file, ending in one newline."""
    blocks = [f"# {layout.title}", _wrapped(layout.caption), _grid(layout)]
    if layout.notes:
        blocks.append("\n".join(f"- {_mark((i,))} {note}" for i, note in enumerate(layout.notes, 1)))
    blocks += [_wrapped(remark) for remark in layout.remarks]
    if contrasts:
        blocks += [f"## Differences from the baseline row, {flat(table.baseline)}", _contrasts(contrasts)]
    if judgements:
        blocks += ["## Claims", "\n".join(_judgement(judgement) for judgement in judgements)]
    return "\n\n".join(blocks) + "\n"


def aligned(headings: Sequence[Heading], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns line up in a terminal; numeric ones are flush right."""
    # The second and third column of a group need not repeat its name.
    titles = [
        h.part if i and h.part and headings[i - 1].group == h.group else f"{h.group} {h.part}".strip()
        for i, h in enumerate(headings)
    ]
    rows = [[_escape(entry) for entry in line] for line in [titles, *lines]]
    widths = [max(3, *(len(row[i]) for row in rows)) for i in range(len(headings))]
    rules = ["-" * (w - 1) + ":" if h.numeric else "-" * w for h, w in zip(headings, widths, strict=True)]

    def line_of(entries: Sequence[str]) -> str:
        padded = [
            entry.rjust(width) if heading.numeric else entry.ljust(width)
            for entry, width, heading in zip(entries, widths, headings, strict=True)
        ]
        return f"| {' | '.join(padded)} |"

    return "\n".join([line_of(rows[0]), line_of(rules), *(line_of(row) for row in rows[1:])])


def claim_formula(claim: Claim) -> str:
    """The claim in symbols, as in 'Top-1: 16 > 0'."""
    title, lhs = COLUMNS[claim.metric].title, "; ".join(flat(label) for label in claim.lhs)
    others = [flat(label) for label in claim.rhs]
    if claim.relation == "monotone":
        sign = " > " if COLUMNS[claim.metric].better == "lower" else " < "
        return f"{title}: {sign.join([lhs, *others])}"
    if claim.relation == "best":
        return f"{title}: {lhs} best of all"
    sign = {">=": "≥", "<=": "≤", "~": "≈"}.get(claim.relation, claim.relation)
    joined = others[0] if len(others) == 1 else f"each of {'; '.join(others)}"
    return f"{title}: {'each of ' if len(claim.lhs) > 1 else ''}{lhs} {sign} {joined}"


def _grid(layout: Layout) -> str:
    return aligned(
        layout.headings,
        [(f"{line.entries[0]}{_mark(line.notes, ' ')}", *line.entries[1:]) for line in layout.lines],
    )


def _contrasts(contrasts: Sequence[Contrast]) -> str:
    unit, digits = COLUMNS[contrasts[0].column].title, COLUMNS[contrasts[0].column].decimals
    with_interval = any(c.low is not None for c in contrasts)
    headings = [Heading("Row", numeric=False), Heading(unit), Heading("Seeds")]
    headings += [Heading("95% CI"), Heading("p, permutation")] if with_interval else []
    headings.append(Heading("p, McNemar"))
    lines = []
    for c in contrasts:
        entries = [flat(c.lhs), f"{c.difference:+.{digits}f}", str(len(c.seeds))]
        if with_interval:
            interval = (
                f"[{c.low:+.{digits}f}, {c.high:+.{digits}f}]" if c.low is not None and c.high is not None else "–"
            )
            entries += [interval, _p(c.p_permutation)]
        lines.append([*entries, _p(c.p_mcnemar)])
    text = "McNemar's test compares these trained networks clip by clip; it does not cover the variance of training."
    if COLUMNS[contrasts[0].column].metric == "residual":
        text = "A projection loss is recorded as a mean over the clips: only the variance of training can be judged."
    if with_interval:
        floors = sorted({c.p_permutation_floor for c in contrasts if c.p_permutation_floor is not None})
        text = (
            "The interval covers training (SD pooled over the rows) and the test clips. The permutation test"
            f" of the seeds cannot go below p = {_p(floors[0])} here. {text}"
            if floors
            else f"The interval covers training (SD pooled over the rows) and the test clips. {text}"
        )
    return f"{aligned(headings, lines)}\n\n{_wrapped(text)}"


def _judgement(judgement: Judgement) -> str:
    claim = judgement.claim
    verdict = f"{SYMBOLS[judgement.verdict]} **{judgement.verdict}**"
    lines = [
        f"- {verdict} {_escape(claim_formula(claim))} ({claim.text.rstrip('.')})",
        f"  - ours: {_escape(judgement.reason)}",
    ]
    printed = judgement.printed
    if printed is not None:
        column = COLUMNS[claim.metric]
        shown = f"  - printed: {towards(claim, printed.difference):+.{column.decimals}f}"
        if printed.error is not None:
            shown += f", {'beyond' if printed.exceeds else 'within'} its sampling error of ±{printed.error:.1f}"
        elif column.unit:
            shown += f" {column.unit}"
        lines.append(shown if printed.agrees else f"{shown}; the printed numbers do not bear the claim out")
    return "\n".join(lines)


def _p(value: float | None) -> str:
    return "–" if value is None else "<0.001" if value < 0.001 else f"{value:.3f}" if value < 0.0995 else f"{value:.2f}"


def _mark(numbers: Sequence[int], lead: str = "") -> str:
    return lead + "˒".join(str(n).translate(_SUPERSCRIPTS) for n in numbers) if numbers else ""


def _wrapped(text: str) -> str:
    return fill(text, _WRAP, break_long_words=False, break_on_hyphens=False)


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*")
