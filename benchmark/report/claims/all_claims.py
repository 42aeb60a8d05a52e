"""All claims of all papers on one page: the printed numbers on trial, and the state of each claim by our own rows.

Our states are those of the claims.csv beside each table, as it was rendered last; of a table without one, what can be
said without a run.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.report.claims.judge import judge_claims
from benchmark.report.statistics.compare import Comparison
from benchmark.report.statistics.judgement import STATES
from benchmark.report.statistics.printed import CORRELATIONS, Trial
from benchmark.report.text.formulas import claim_formula
from benchmark.report.text.markdown_text import bullet, escape, grid, wrapped
from benchmark.report.text.verdicts import CLAIM_FIELDS, OF_LAB, beyond_text, printed_text
from benchmark.spec.claim import Claim, first_made
from benchmark.spec.columns import COLUMNS
from benchmark.spec.not_expressed import NotExpressed
from benchmark.spec.table import Table

STRICT = (">", "<", "best")
FIELDS = (
    *("id", "repeats", "where", "text", "metric", "formula", "printed_difference", "printed_holds", "clips"),
    *("error_0", "error_0.4", "error_0.8", "beyond_0", "beyond_0.4", "beyond_0.8", "ours", "protocol"),
)


@dataclass(frozen=True)
class Entry:
    """A claim with its table, its trial, and the verdict by our rows.

    Attributes:
        ours: Its state; `reason` is what that rests on, `takes` what would resolve it.
        protocol: By which it was judged; "" where the table was not rendered.
        pair: The rows (larger, smaller) whose measured difference decided it.
    """

    table: Table
    claim: Claim
    trial: Trial | None
    ours: str
    protocol: str = ""
    reason: str = ""
    takes: str = ""
    pair: tuple[str, str] | None = None


def gather_claims(tables: Sequence[Table], results: Path) -> list[Entry]:
    """Every claim of the tables, in their order; our states from the rendered tables of the embedded protocol."""
    entries = []
    for table in tables:
        lines = _rendered(results / table.paper / table.number / "claims.csv")
        for unmeasured in judge_claims(table, Comparison(table, {}), {}):
            claim, trial, line = unmeasured.claim, unmeasured.printed, lines.get(unmeasured.claim.id)
            if line is None:
                verdict = Entry(table, claim, trial, unmeasured.state, "", unmeasured.reason, unmeasured.takes)
            else:
                pair = (line["larger"], line["smaller"]) if line["larger"] else None
                said = line["state"], line["protocol"], line["reason"], line["takes"]
                verdict = Entry(table, claim, trial, *said, pair)
            entries.append(verdict)
    return entries


def _rendered(path: Path) -> dict[str, dict[str, str]]:
    try:
        with path.open(newline="") as file:
            lines = list(csv.DictReader(file))
    except OSError:
        return {}
    known = [line for line in lines if set(CLAIM_FIELDS) <= set(line)]
    # What is judged by the runs of others is no state of ours.
    return {line["id"]: line for line in known if OF_LAB not in line["protocol"]}


def distinct(entries: Sequence[Entry]) -> list[Entry]:
    """The claims that repeat none of the others; a repeat of one that is not among them stands for it."""
    claims = {entry.claim.id: entry.claim for entry in entries}
    present = {name: claim if claim.repeats in claims else _alone(claim) for name, claim in claims.items()}
    firsts = first_made(present)
    return [entry for entry in entries if firsts[entry.claim.id] == entry.claim.id]


def _alone(claim: Claim) -> Claim:
    return claim.model_copy(update={"repeats": None})


def totals(entries: Sequence[Entry]) -> dict[str, int]:
    """Counts of distinct claims: all; the strict ones on accuracies, and of these those within their error; states."""
    once = distinct(entries)
    strict = [e for e in once if e.claim.relation in STRICT and e.trial is not None and e.trial.errors]
    counts = {"claims": len(once), "strict accuracy claims": len(strict)}
    for rho in CORRELATIONS:
        counts[f"within the error at {rho:g}"] = sum(not e.trial.beyond[rho] for e in strict if e.trial)
    printed = [e.trial for e in once if e.trial is not None]
    counts["not borne out by the print"] = sum(not trial.holds for trial in printed)
    sizes = [check for trial in printed for check in trial.sizes]
    counts["sizes claimed"], counts["sizes not as printed"] = len(sizes), sum(not check.agrees for check in sizes)
    by_state = Counter(e.ours for e in once)
    return counts | {state: by_state.get(state, 0) for state in STATES}


def lines(entries: Sequence[Entry]) -> list[dict[str, object]]:
    """A record per claim, raw: the fields of claims.csv and of --json."""
    found = []
    for entry in entries:
        claim, trial = entry.claim, entry.trial
        line: dict[str, object] = dict.fromkeys(FIELDS)
        line |= {name: getattr(claim, name) for name in ("id", "repeats", "where", "text", "metric")}
        line |= {
            "formula": claim_formula(claim, entry.table),
            "ours": entry.ours or None,
            "protocol": entry.protocol or None,
        }
        if trial is not None:
            line |= {"printed_difference": trial.difference, "printed_holds": trial.holds, "clips": trial.clips or None}
            line |= {f"error_{rho:g}": error for rho, error in trial.errors.items()}
            line |= {f"beyond_{rho:g}": beyond for rho, beyond in trial.beyond.items()}
        found.append(line)
    return found


def summary(entries: Sequence[Entry]) -> tuple[list[str], list[list[str]]]:
    """Totals by paper as (headings, rows), the last row being all papers; rows are quantities."""
    papers = list(dict.fromkeys(entry.table.paper for entry in entries))
    columns = [totals([entry for entry in entries if entry.table.paper == paper]) for paper in papers]
    if len(papers) > 1:
        columns.append(totals(entries))
    headings = ["", *papers, *(["all"] if len(papers) > 1 else [])]
    return headings, [[name, *(str(column[name]) for column in columns)] for name in columns[0]] if columns else []


def page(entries: Sequence[Entry], left_out: Mapping[str, NotExpressed]) -> str:
    """results/claims.md."""
    headings, rows = summary(entries)
    blocks = [
        "# The papers' claims, and the printed numbers on trial",
        wrapped(
            "Each claim that a paper draws from a table, judged twice: by the printed numbers alone, whose difference"
            " has a sampling error that depends on how alike two rows hit the same clips (their correlation, 0.4 for"
            " rows measured here), and by our own rows. The error leaves out the variance of training, of which a paper"
            " shows none, and the choice of the best epoch or run on the clips that are reported: the true error is"
            " larger. Claims made again, in the thesis too, count once in the totals. The method: docs/statistics.md."
        ),
        grid(headings, rows, [False, *(True for _ in headings[1:])]),
    ]
    for paper in dict.fromkeys(entry.table.paper for entry in entries):
        blocks.append(f"## {paper}")
        blocks.append("\n".join(_item(entry) for entry in entries if entry.table.paper == paper))
    if left_out:
        blocks.append("## Not expressed")
        blocks.append("\n".join(bullet(f"{name}: {escape(item.reason)}") for name, item in left_out.items()))
    return "\n\n".join(blocks) + "\n"


def _item(entry: Entry) -> str:
    claim = entry.claim
    again = f", repeats {claim.repeats}" if claim.repeats else ""
    where = f" ({escape(claim.where)})" if claim.where else ""
    printed = printed_text(claim, entry.trial) if entry.trial else "not printed"
    return "\n".join(
        [
            bullet(f"**{claim.id}**{again}: {escape(claim_formula(claim, entry.table))}{where}"),
            bullet(f"printed: {escape(printed)}", 1),
            bullet(f"ours: {entry.ours}", 1),
        ]
    )


def short(entry: Entry) -> list[str]:
    """A claim as a line of a terminal: id, margin, errors, whether it is beyond them, and our state."""
    trial, digits = entry.trial, COLUMNS[entry.claim.metric].decimals
    if trial is None:
        return [entry.claim.id, "–", *("" for _ in CORRELATIONS), "not printed", entry.ours]
    errors = [f"{trial.errors[rho]:.1f}" if trial.errors else "" for rho in CORRELATIONS]
    says = "does not hold" if not trial.holds else beyond_text(trial) if trial.errors else "holds"
    return [entry.claim.id, f"{trial.difference:+.{digits}f}", *errors, says, entry.ours]
