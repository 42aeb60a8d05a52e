"""Which tables have records, and of a table all that its records hold: runs, averages, costs and timings.

`tables/<id>[.<protocol>[.<data set>]].json` of the records' folder says with which seeds a table is rendered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pydantic

from benchmark.config.fields import Strict
from benchmark.config.run import RunConfig
from benchmark.cost.audit import row_configs
from benchmark.cost.cache import cached
from benchmark.cost.latency import records_of, timed_columns, timed_config
from benchmark.cost.recorded import write_cost, write_timings
from benchmark.plan import row_runs
from benchmark.report.collect import collect
from benchmark.report.fuse import fused_parts
from benchmark.report.sources import Sources
from benchmark.runs.directory import RunDir
from benchmark.runs.errors import RunDirError
from benchmark.runs.key import run_key
from benchmark.runs.records.files import damaged_record, read_sealed, write_sealed
from benchmark.runs.records.run import write_fused, write_record
from benchmark.spec.load import load_table
from benchmark.spec.table import Table


class TableEntry(Strict):
    """A table that has records.

    Attributes:
        dataset: Another data set than the table's own, if it is measured on one.
    """

    table: str
    protocol: str
    dataset: str | None
    seeds: tuple[int, ...]

    @classmethod
    def of(cls, table: Table) -> TableEntry:
        """The entry of a table."""
        return cls(
            table=table.id,
            protocol=table.protocol,
            dataset=table.dataset if table.other else None,
            seeds=table.seeds,
        )

    @property
    def name(self) -> str:
        """The name of its file."""
        of_protocol = "" if self.protocol == "embedded" and not self.dataset else f".{self.protocol}"
        return f"{self.table}{of_protocol}{f'.{self.dataset}' if self.dataset else ''}.json"

    def load(self) -> Table:
        """The table as it is rendered. Raises SpecError: there is none of this id by now."""
        return load_table(self.table, self.protocol, self.seeds, self.dataset)


def table_entries(root: Path) -> list[TableEntry]:
    """The tables that have records, by name. Raises DamagedRecordError: one of them is not as it was written."""
    return [read_entry(path) for path in sorted((root / "tables").glob("*.json"))]


def read_entry(path: Path) -> TableEntry:
    """The table of a file. Raises DamagedRecordError."""
    content = read_sealed(path)
    try:
        entry = TableEntry.model_validate(content)
    except pydantic.ValidationError as error:
        raise damaged_record(path, str(error.errors()[0]["msg"])) from None
    if entry.name != path.name:
        raise damaged_record(path, f"it is of {entry.table}, protocol {entry.protocol}")
    return entry


@dataclass
class Added:
    """What came of adding a table's records: changed files, runs that could not be added, what is to be said."""

    changed: int = 0
    refused: int = 0
    unchanged: int = 0


def table_configs(table: Table) -> Iterator[tuple[str, RunConfig]]:
    """Label and config of every run that the table shows, those of other tables' rows that claims name included."""
    seen = set()
    for row in table.every_row:
        for _, config in row_runs(row, table.seeds) if row.config else ():
            if (key := run_key(config)) not in seen:
                seen.add(key)
                yield row.label, config


def add_table(table: Table, root: Path, say: Callable[[str], None]) -> Added:
    """Write the records of a table's finished runs, of averages over them, and of its costs and timings.

    What is not there, or not fit for a record, is said and left out.
    """
    done = Added()
    for label, config in table_configs(table):
        run = RunDir.of(run_key(config))
        try:
            outcome = write_record(run, root)
        except RunDirError as error:
            done.refused += 1
            say(f"{table.id} '{label}' seed {config.seed}: {error}")
            continue
        done.changed += bool(outcome)
        done.unchanged += not outcome
        if outcome and outcome != "added":
            say(f"{table.id} '{label}' seed {config.seed}: {outcome}")
    if done.changed + done.unchanged:
        done.changed += _add_averages(table, root) + _add_costs(table, root, say)
        done.changed += _add_entry(table, root, say)
    return done


def _add_averages(table: Table, root: Path) -> int:
    """Records of what rows that average others came to: from the coarse probabilities of runs it could only be near."""
    averaging = [row for row in table.every_row if row.average]
    runs = collect(table, sources=Sources(records=False)) if averaging else {}
    changed = 0
    for row in averaging:
        for members in zip(*(runs[member.label] for member in table.members(row)), strict=True):
            for part in fused_parts(members):
                if part.state == "done" and part.predictions is not None:
                    changed += write_fused(root, part.key, part.predictions())
    return changed


def _add_costs(table: Table, root: Path, say: Callable[[str], None]) -> int:
    changed, missing = 0, dict[str, None]()
    for row in table.rows:
        for config in row_configs(row):
            counted = cached(config)
            if counted is None:
                missing[row.label] = None
            else:
                changed += write_cost(root, config, counted)
        timed = timed_config(row) if timed_columns(table) else None
        if timed is not None:
            changed += sum(write_timings(root, timed, record) for record in records_of(timed))
    if missing:
        say(f"{table.id}: not counted yet: {'; '.join(missing)} (python -m benchmark cost {table.id})")
    return changed


def _add_entry(table: Table, root: Path, say: Callable[[str], None]) -> bool:
    entry = TableEntry.of(table)
    path = root / "tables" / entry.name
    before = read_entry(path) if path.exists() else entry
    if lost := set(before.seeds) - set(entry.seeds):
        say(f"{table.id}: it had seeds {', '.join(map(str, sorted(lost)))} as well; their records stay")
    return write_sealed(path, entry.model_dump(mode="json"))
