"""Claims in symbols, as in 'Top-1: 16 > 0'; one that is best of a set names the set."""

from __future__ import annotations

from benchmark.report.text.layout import flat
from benchmark.spec.claim import Claim
from benchmark.spec.columns import COLUMNS
from benchmark.spec.table import Table


def claim_formula(claim: Claim, table: Table | None = None) -> str:
    """The claim in symbols; given its table, a set that is the whole of it is named so."""
    return f"{COLUMNS[claim.metric].title}: {comparison(claim, table)}"


def comparison(claim: Claim, table: Table | None = None) -> str:
    """The claim's rows and relation, without its metric."""
    first, others = [flat(label) for label in claim.lhs], [flat(label) for label in claim.rhs]
    if claim.relation == "monotone":
        sign = " > " if COLUMNS[claim.metric].better == "lower" else " < "
        return sign.join([*first, *others])
    lhs = first[0] if len(first) == 1 else f"each of {'; '.join(first)}"
    if claim.relation == "best":
        return f"{lhs} best of {_whole(claim, table) or '; '.join([*first, *others])}"
    sign = {">=": "≥", "<=": "≤", "~": "≈"}.get(claim.relation, claim.relation)
    joined = others[0] if len(others) == 1 else f"each of {'; '.join(others)}"
    return f"{lhs} {sign} {joined}"


def _whole(claim: Claim, table: Table | None) -> str:
    """What the compared rows are all of: the table's rows with a value, those that are measured here, or nothing."""
    if table is None:
        return ""
    compared = set(claim.labels)
    column = COLUMNS[claim.metric]
    printed = {row.label for row in table.rows if column.key in row.printed}
    ours = {row.label for row in table.rows if not row.quoted and not column.dataset}
    if printed | ours <= compared:
        return "all rows of this table"
    quoted = {row.label for row in table.rows if row.quoted}
    return "the measured rows of this table" if ours and (printed | ours) - quoted <= compared else ""
