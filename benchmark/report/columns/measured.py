"""Measured columns: a metric of finished runs, mean ± SD over the seeds. Their claims are tested against their error.

A row that averages others is measured on the averaged predictions, seed by seed (`report.fuse`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from benchmark.config.datasets import AT_LEVEL, DATASETS
from benchmark.report.cell import Cell
from benchmark.report.columns.kind import ColumnKind, Evidence, our_cell
from benchmark.report.datasets import dataset_title, measured_dataset
from benchmark.report.results import SeedResult, State
from benchmark.report.statistics.claims_on_runs import judge_on_runs
from benchmark.report.statistics.clip_hits import MEMBER
from benchmark.report.statistics.compare import Comparison, Contrast
from benchmark.report.statistics.judgement import Judgement, Tested
from benchmark.spec.claim import Claim
from benchmark.spec.columns import COLUMNS, Column
from benchmark.spec.table import Row, Table

FEWEST_CLASSES = 20
"""Below them a top-k accuracy with k > 1 says little: five guesses among eight classes are nearly always right."""
GRAVEST_FIRST: tuple[State, ...] = (
    *("damaged", "unreadable", "failed"),
    *("running", "queued", "interrupted", "pending"),
)
"""Of the runs that a cell lacks, a reader needs to know of a failure before one in progress."""


class Measured(ColumnKind):
    """See the file's first line."""

    is_result = True
    axis = "value"

    def cell(self, row: Row, column: Column, evidence: Evidence) -> Cell:
        """The mean over the finished seeds, with the runs behind it and a note on those that are not finished."""
        # A column of another data set holds printed values alone; `--dataset` makes it the table's own.
        if column.dataset:
            return our_cell(row, column, None)
        results = evidence.comparison.runs[row.label]
        values = {r.seed: v for r in results if (v := r.value(column.key)) is not None}
        finished = [r for r in results if r.seed in values]
        unfinished = [r for r in results if r.seed not in values]
        return our_cell(
            row,
            column,
            fmean(values.values()) if values else None,
            sd=stdev(values.values()) if len(values) > 1 else None,
            n=len(values),
            wanted=len(results) if row.theirs else len(evidence.table.seeds),
            runs=tuple(r.key for r in finished),
            state=next((state for state in GRAVEST_FIRST if any(r.state == state for r in unfinished)), "done"),
            values=tuple(values.items()),
            note=_note(results, unfinished),
            clips=min((r.clips for r in finished), default=0),
        )

    def is_shown(self, table: Table, column: Column) -> bool:
        """Not in columns of another data set, nor where the value would say little."""
        return not column.dataset and lacks(table, column) is None

    def text(self, cell: Cell) -> str:
        """`51.4 ± 0.3 (3)`, `51.4` for one seed, `51.5 ± 0.2 (2/3)` while one is not done."""
        shown = super().text(cell)
        if cell.sd is not None:
            shown += f" ± {cell.sd:.{COLUMNS[cell.column].decimals}f}"
        if cell.n < cell.wanted:
            return f"{shown} ({cell.n}/{cell.wanted})"
        return f"{shown} ({cell.n})" if cell.n > 1 else shown

    def caption(self, table: Table, columns: Sequence[Column], cells: Sequence[Cell]) -> list[str]:
        """What the entries are, and which columns are not measured."""
        sentences = ["Accuracies in percent."] if any(column.unit == "%" for column in columns) else []
        lacking: dict[str, list[str]] = {}
        for column in columns:
            if (lack := lacks(table, column)) is not None:
                lacking.setdefault(lack.where, []).append(column.title)
        sentences += [f"{' and '.join(titles)} is not measured on {where}." for where, titles in lacking.items()]
        measured = [cell for cell in cells if cell.kind == "measured"]
        if any(cell.sd is not None for cell in measured):
            sentences.append("Entries are mean ± SD (n) over seeds.")
        if any(cell.n < cell.wanted for cell in measured):
            sentences.append("(n/m): n of m seeds are done.")
        if any(cell.kind == "missing" and cell.state == "running" for cell in cells):
            sentences.append("… is running.")
        return sentences

    def in_table_csv(self, column: Column, ours: Cell | None, contrast: Contrast | None) -> dict[str, Any]:
        """SD and number of seeds; the difference from the baseline row, its simultaneous interval and p."""
        return {
            f"sd_{column.key}": ours.sd if ours else None,
            f"n_{column.key}": ours.n if ours else None,
            f"difference_{column.key}": contrast.difference if contrast else None,
            f"difference_low_{column.key}": contrast.low if contrast else None,
            f"difference_high_{column.key}": contrast.high if contrast else None,
            f"p_dunnett_{column.key}": contrast.p_dunnett if contrast else None,
        }

    def contrasts(self, column: Column, comparison: Comparison) -> list[Contrast]:
        """Those where both rows have finished a run."""
        return comparison.with_baseline(column.key) if self.is_shown(comparison.table, column) else []

    def judge(self, claim: Claim, column: Column, evidence: Evidence) -> Judgement | Tested:
        """By the difference's interval, which covers training and the draw of clips."""
        refused = self.not_testable(claim, column, evidence.table)
        return refused or judge_on_runs(claim, column, evidence.comparison)

    def not_testable(self, claim: Claim, column: Column, table: Table) -> Judgement | None:
        """Nor are claims of another data set, or on a value that says little."""
        if refused := super().not_testable(claim, column, table):
            return refused
        if column.dataset:
            takes = "a run on it: --protocol paper"
            if column.dataset in table.others:
                takes += f" --dataset {column.dataset}"
            reason = f"of {dataset_title(column.dataset)}, which is not measured"
            return Judgement(claim, "not testable here", reason, takes)
        if (lack := lacks(table, column)) is not None:
            reason = f"{column.title} {lack.says} {dataset_title(measured_dataset(table))}"
            return Judgement(claim, "not testable here", reason, lack.takes)
        return None


@dataclass(frozen=True)
class Lack:
    """Why a metric says nothing on a data set: `where` that is, what it `says` of the data set, and what it `takes`."""

    where: str
    says: str
    takes: str


def lacks(table: Table, column: Column) -> Lack | None:
    """What the data set of a metric's values lacks for it: classes for a top-5 accuracy, pairs of them, or levels."""
    info = DATASETS.get(column.dataset or measured_dataset(table))
    if info is None or column.kind != "measured":
        return None
    if column.metric in AT_LEVEL and not info.graded:
        return Lack("clips without levels", "is of clips with levels, unlike those of", "a graded data set")
    if column.metric == MEMBER and not info.mirrored:
        return Lack("classes without known pairs", "is of pairs of classes, not known of", "a data set of such classes")
    guesses = column.metric.removeprefix("top")
    if guesses.isdecimal() and int(guesses) > 1 and info.num_classes < FEWEST_CLASSES:
        where = f"a data set of {info.num_classes} classes"
        return Lack(where, "says little of the few classes of", f"a data set of {FEWEST_CLASSES} classes or more")
    return None


def _note(results: Sequence[SeedResult], unfinished: Sequence[SeedResult]) -> str:
    """What there is to say of single seeds; where no seed is finished, the cell's state says how far they are."""
    without = unfinished if len(unfinished) < len(results) else ()
    return "; ".join(
        f"seed {r.seed}: {r.note}" if r.note else f"seed {r.seed} {r.state}"
        for r in results
        if r.note or (r in without and r.state != "pending")
    )
