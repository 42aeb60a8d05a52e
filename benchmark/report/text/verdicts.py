"""What a verdict prints: a claim's state and what it rests on, in table.md and in claims.csv.

The reason itself is worded where it is found: by the kind of the claim's column (report/columns/), for measured columns
in statistics/claims_on_runs.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from benchmark.report.labels import flat
from benchmark.report.statistics.judgement import Judgement
from benchmark.report.statistics.noise import NoiseTable
from benchmark.report.statistics.printed import Trial
from benchmark.report.statistics.relations import SizeCheck, lhs_minus_rhs
from benchmark.report.text.formulas import claim_formula
from benchmark.report.text.markdown_text import bullet, escape
from benchmark.spec.claim import Claim
from benchmark.spec.columns import COLUMNS
from benchmark.spec.table import Table

if TYPE_CHECKING:
    from pandas import DataFrame

SYMBOLS = {
    "supported": "✓",
    "contradicted": "✗",
    "not resolved": "?",
    "not measured yet": "…",
    "not testable here": "–",
}


def method_text(judgements: Sequence[Judgement], noise: NoiseTable) -> str:
    """How intervals and verdicts come about, in two sentences."""
    tested = sum(judgement.p_adjusted is not None for judgement in judgements)
    holm = f"; Holm's correction over the {tested} claims tested here, by metric" if tested > 1 else ""
    text = (
        "Intervals are of 95 % and cover training and the draw of clips; those of differences from the baseline hold"
        f" together (Dunnett){holm} (docs/statistics.md)."
    )
    if noise.digest:
        text += f" A row of one seed has its family's SD, of results/noise/{noise.path} ({noise.digest[:8]})."
    return text


def verdict_text(judgement: Judgement, table: Table, lab: str = "") -> str:
    """A claim as a list item: its state, what it rests on, what it takes, and what the print says.

    `lab`: by whose runs it is judged, if not by ours.
    """
    claim = judgement.claim
    state = f"{SYMBOLS[judgement.state]} **{judgement.state}**"
    where = f"; {claim.where}" if claim.where else ""
    again = f"; repeats {claim.repeats}" if claim.repeats else ""
    said = escape(f"{claim.text.rstrip('.')}{where}{again}")
    lines = [
        bullet(f"{state} {escape(claim_formula(claim, table))} ({said})"),
        bullet(f"{escape(lab) or 'ours'}: {escape(judgement.reason)}{_sizes_text(judgement.sizes, claim)}", 1),
    ]
    if judgement.takes:
        lines.append(bullet(f"takes: {escape(judgement.takes)}", 1))
    if judgement.printed is not None:
        lines.append(bullet(f"printed: {escape(printed_text(claim, judgement.printed))}", 1))
    return "\n".join(lines)


def printed_text(claim: Claim, trial: Trial) -> str:
    """What the printed numbers say of a claim, in words."""
    column = COLUMNS[claim.metric]
    unit = "" if column.unit in ("", "%") else f" {column.unit}"
    text = f"{lhs_minus_rhs(claim, trial.difference):+.{column.decimals}f}{unit}"
    if len(claim.labels) > 2:
        text += f" ({flat(trial.pair[0])} and {flat(trial.pair[1])})"
    if not trial.holds:
        text += ", which does not bear the claim out"
    elif trial.errors:
        errors = ", ".join(f"±{error:.1f} at {rho:g}" for rho, error in trial.errors.items())
        text += f"; sampling error by correlation of the rows {errors}: {beyond_text(trial)}"
    return text + _sizes_text(trial.sizes, claim)


def beyond_text(trial: Trial) -> str:
    """Whether a printed claim holds beyond its sampling error, and at which correlations."""
    if all(trial.beyond.values()):
        return "beyond it"
    if not any(trial.beyond.values()):
        return "within it"
    return "beyond it at " + ", ".join(f"{rho:g}" for rho, beyond in trial.beyond.items() if beyond)


def _sizes_text(sizes: Sequence[SizeCheck], claim: Claim) -> str:
    parts = []
    for check in sizes:
        digits = max(len(check.size.text.partition(".")[2].rstrip("% aefhlmorst")), 1)
        unit = {"difference": "", "ratio": " times", "more": "% more", "less": "% less", "of": "% of"}[check.size.form]
        verdict = "as claimed" if check.agrees else "not as claimed"
        claimed = check.size.text.replace("~", "about ").replace(">", "more than ")
        parts.append(
            f"size {check.found:.{digits}f}{unit}, {verdict} ({claimed}{' times' if unit == ' times' else ''})"
        )
    return "".join(f"; {part}" for part in parts)


def claims_frame(table: Table, judgements: Sequence[Judgement]) -> DataFrame:
    """A row per claim: what is claimed and where, its state and what it rests on, and the trial of the print. Raw."""
    import pandas as pd

    return pd.DataFrame([_line(table, judgement) for judgement in judgements], columns=list(CLAIM_FIELDS))


def claims_csv(table: Table, judgements: Sequence[Judgement], lab: str = "") -> str:
    """claims.csv. `lab`: by whose runs the claims are judged, if not by ours; the protocol then says so."""
    frame = claims_frame(table, judgements)
    if lab:
        frame["protocol"] += f" ({OF_LAB} {lab})"
    return str(frame.to_csv(index=False, lineterminator="\n"))


OF_LAB = "runs of"
CLAIM_FIELDS = (
    *("id", "repeats", "where", "text", "metric", "relation", "lhs", "rhs", "margin", "by", "factor"),
    *("protocol", "state", "reason", "takes", "larger", "smaller", "difference", "low", "high", "seeds"),
    *("p", "p_adjusted", "sizes_agree"),
    *("printed_larger", "printed_smaller", "printed_difference", "printed_holds", "clips"),
    *("error_0", "error_0.4", "error_0.8", "beyond_0", "beyond_0.4", "beyond_0.8", "printed_sizes_agree"),
)


def _line(table: Table, judgement: Judgement) -> dict[str, Any]:
    claim, contrast, trial = judgement.claim, judgement.contrast, judgement.printed
    line: dict[str, Any] = {name: getattr(claim, name) for name in CLAIM_FIELDS[:11]}
    line |= {"lhs": "; ".join(claim.lhs), "rhs": "; ".join(claim.rhs), "protocol": table.protocol}
    line |= {name: getattr(judgement, name) for name in ("state", "reason", "takes", "p", "p_adjusted")}
    line["sizes_agree"] = _all_agree(judgement.sizes)
    if contrast is not None:
        line |= {"larger": contrast.lhs, "smaller": contrast.rhs, "difference": contrast.difference}
        line["seeds"] = "/".join(map(str, contrast.runs))
        if contrast.estimate is not None:
            line |= {"low": contrast.estimate.low, "high": contrast.estimate.high}
    if trial is not None:
        larger, smaller = trial.pair
        line |= {"printed_larger": larger, "printed_smaller": smaller, "printed_difference": trial.difference}
        line |= {"printed_holds": trial.holds, "clips": trial.clips or None}
        line |= {f"error_{rho:g}": error for rho, error in trial.errors.items()}
        line |= {f"beyond_{rho:g}": beyond for rho, beyond in trial.beyond.items()}
        line["printed_sizes_agree"] = _all_agree(trial.sizes)
    return line


def _all_agree(sizes: Sequence[SizeCheck]) -> bool | None:
    return all(check.agrees for check in sizes) if sizes else None
