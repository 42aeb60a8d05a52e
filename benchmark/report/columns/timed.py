"""Timed columns: forward passes at paper scale, on whatever device they ran.

A printed time is of another device, so the two are never compared. A row that averages others has no network of its
own, and no time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from benchmark.cost.latency import Device
from benchmark.report.cell import Cell, find_cell
from benchmark.report.columns.kind import ColumnKind, Evidence, our_cell
from benchmark.report.labels import listed
from benchmark.report.statistics.judgement import Judgement, State
from benchmark.report.statistics.relations import check_sizes, directed_pairs, lhs_minus_rhs, margin_of
from benchmark.spec.claim import Claim
from benchmark.spec.columns import COLUMNS, Column
from benchmark.spec.table import Row, Table


class Timed(ColumnKind):
    """See the file's first line."""

    cell_fields: ClassVar[Mapping[str, str]] = {
        **{"device": "", "threads": "Int64", "precision": "", "batch": "Int64", "p10": "float64", "p90": "float64"},
        **{"load": "float64", "date": "", "torch": ""},
    }

    def cell(self, row: Row, column: Column, evidence: Evidence) -> Cell:
        """The median of the passes; a note where other programs were running."""
        timed = evidence.timings.get(row.label, {}).get(column.key)
        if timed is None:
            return our_cell(row, column, None)
        sample = timed.sample
        note = f"timed while other programs took {sample.load:.1f} cores" if sample.crowded else ""
        return our_cell(row, column, timed.value, n=sample.passes, note=note, timed=timed)

    def text(self, cell: Cell) -> str:
        """The median and the slow end, `12.3 (p90 12.9)` of a time and `81.2 (p10 79.0)` of a rate."""
        assert cell.timed is not None
        column = COLUMNS[cell.column]
        name, slow = ("p90", cell.timed.p90) if column.better == "lower" else ("p10", cell.timed.p10)
        return f"{super().text(cell)} ({name} {slow:.{column.decimals}f})"

    def heading(self, column: Column, cells: Sequence[Cell]) -> str:
        """Names the device."""
        device = _device(cells)
        return f"timed, {device.short}" if device else "timed"

    def caption(self, table: Table, columns: Sequence[Column], cells: Sequence[Cell]) -> list[str]:
        """What was timed and where."""
        device = _device(cells)
        if device is None:
            return []
        batches = ", ".join(f"{column.title.lower()} at batch {column.batch}" for column in columns)
        threads = f", {device.threads} thread{'s'[: device.threads > 1]}" if device.threads else ""
        return [
            f"Timed: {batches}, the forward pass alone at paper scale, {device.precision}, on {device.name}{threads};"
            " the median, and in parentheses where the slowest tenth of the passes begins.",
            "Printed times are of other hardware and not to be compared with these.",
        ]

    def remarks(self, table: Table, columns: Sequence[Column], cells: Sequence[Cell]) -> list[str]:
        """The rows that have a network of their own and lack a time."""
        ours = [
            find_cell(cells, row.label, column.key, ours=True)
            for row in table.rows
            if row.paper_config is not None and not row.theirs
            for column in columns
        ]
        labels = dict.fromkeys(cell.row for cell in ours if cell and cell.value is None)
        if not labels:
            return []
        device = _device(cells)
        where = f" on {device.short}" if device else ""
        return [f"Not timed yet{where}: {listed(labels)} (python -m benchmark time {table.id})."]

    def in_cells_csv(self, cell: Cell) -> dict[str, Any]:
        """Device, batch and spread."""
        if cell.timed is None:
            return {}
        timed, sample = cell.timed, cell.timed.sample
        device = {"device": timed.device.name, "threads": timed.device.threads, "precision": timed.device.precision}
        of_sample = {"batch": sample.batch, "load": sample.load, "date": sample.date, "torch": sample.torch}
        return {**device, **of_sample, "p10": timed.p10, "p90": timed.p90}

    def judge(self, claim: Claim, column: Column, evidence: Evidence) -> Judgement:
        """By where the tenth and ninetieth percentiles of the passes lie, on one device, never against a print."""
        table = evidence.table
        if refused := self.not_testable(claim, column, table):
            return refused
        timed = {label: t for label in claim.labels if (t := evidence.timings.get(label, {}).get(column.key))}
        absent = [label for label in claim.labels if label not in timed]
        if absent:
            return Judgement(claim, "not measured yet", f"not timed: {listed(absent)}", f"time {table.id}")
        if len({found.device for found in timed.values()}) > 1:
            reason = "the rows are timed on different devices"
            return Judgement(claim, "not measured yet", reason, f"time {table.id} --again, on one of them")
        pairs = [(timed[larger], timed[smaller]) for larger, smaller in directed_pairs(claim)]
        ranges = [(larger.p10 - smaller.p90, larger.p90 - smaller.p10) for larger, smaller in pairs]
        weakest = min(pairs, key=lambda pair: pair[0].value - pair[1].value)
        margin = margin_of(claim, [found.value for found in timed.values()])
        low = -margin if claim.relation in (">=", "<=", "~") else 0.0
        high = margin if claim.relation == "~" else float("inf")
        state: State = "not resolved"
        if all(low < start and end < high for start, end in ranges):
            state = "supported"
        elif any(end < low or start > high for start, end in ranges):
            state = "contradicted"
        difference = lhs_minus_rhs(claim, weakest[0].value - weakest[1].value)
        reason = f"timed difference {difference:+.{column.decimals}f} {column.unit} on {weakest[0].device.short}"
        if state == "not resolved":
            reason += "; the passes' p10 to p90 overlap"
        if any(found.sample.crowded for found in timed.values()):
            reason += "; other programs were running"
        takes = "" if state != "not resolved" else "timings on a quieter or larger machine"
        values = {label: found.value for label, found in timed.items()}
        return Judgement(claim, state, reason, takes, sizes=check_sizes(claim, values))


def _device(cells: Sequence[Cell]) -> Device | None:
    """The one device that all timed cells are of; None where nothing is timed."""
    return next((cell.timed.device for cell in cells if cell.timed), None)
