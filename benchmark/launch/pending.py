"""Which planned runs have something to do, and which cannot be used as they are. Imports without torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from zipfile import is_zipfile

from benchmark.plan import PlannedRun
from benchmark.runs.directory import RunDir
from benchmark.runs.errors import DamagedRunError, StaleRunError, damaged
from benchmark.runs.key import training_key
from benchmark.runs.made_by import OtherCode, not_current
from benchmark.runs.records.files import DamagedRecordError, read_sealed, records_root
from benchmark.runs.records.run import check_defaults, checked_record, run_record_path
from benchmark.runs.sharing import unreadable
from benchmark.runs.trainings import find_training, other_code


def is_to_do(planned: PlannedRun, again: bool = False) -> bool:
    """Whether a planned run has something to do.

    One that is there for its weights alone has not where another run has trained them, or where all runs that start
    from them have begun. One that is done by other code has if its weights are asked for, or `again` asks for it.
    """
    run = RunDir.of(planned.key)
    if run.state == "done":
        other = other_code(run)
        if other is None or again:
            return other is not None
        return other.recorded and planned.for_its_weights and _weights_are_asked_for(planned)
    return not planned.for_its_weights or _weights_are_asked_for(planned, again)


def _weights_are_asked_for(planned: PlannedRun, again: bool = False) -> bool:
    run = RunDir.of(planned.key)
    continued = map(RunDir.of, planned.continued_by)
    all_begun = all(
        later.state == "unreadable"
        or (later.state == "done" and not (again and other_code(later)))
        or (later.state != "done" and (later.path / "checkpoint.pt").is_file())
        for later in continued
    )
    return not all_begun and find_training(run, training_key(planned.config)) is None


def check_plan(runs: dict[str, PlannedRun]) -> dict[str, str]:
    """Refuse a plan under which a default has changed, and find run directories that are damaged or not to be read.

    Returns:
        What is wrong and what to do, by run key: such a run is neither trained nor shown, and the others stand.

    Raises:
        StaleRunError: naming every run directory and setting under which a default has changed.
    """
    errors, broken = [], {}
    for key, planned in runs.items():
        run = RunDir.of(key)
        try:
            if path := run.unreadable:
                raise unreadable(path)
            run.check(planned.config)
            predictions = run.path / "predictions.npz"
            if run.result is not None and not (predictions.is_file() and is_zipfile(predictions)):
                raise damaged(predictions, "it is gone, or cut")
        except StaleRunError as error:
            errors.append(str(error))
        except DamagedRunError as error:
            broken[key] = str(error)
    if errors:
        raise StaleRunError("\n".join(errors))
    return broken


def taken_from_records(runs: Mapping[str, PlannedRun], again: bool = False) -> set[str]:
    """The planned runs that `run --from-records` leaves out, since their records stand in for them.

    With `again` none does that is not by today's code. A record has no weights: a run that others start from is trained
    if one of them is, and one that is there for its weights alone only then.

    Raises:
        StaleRunError: see `recorded_runs`.
    """
    found = {key for key, path in recorded_runs(runs).items() if not (again and record_by_other_code(path))}

    def for_nobody(run: PlannedRun) -> bool:
        return all(later in found or not is_to_do(runs[later], again) for later in run.continued_by)

    return {key for key, run in runs.items() if (key in found or run.for_its_weights) and for_nobody(run)}


def record_by_other_code(path: Path) -> OtherCode | None:
    """Why a record is not of a run by today's code; None if it is, or is damaged: its cell says that."""
    try:
        record = checked_record(path, read_sealed(path) or {}, path.parent.parent)
    except DamagedRecordError:
        return None
    return not_current(record.symbols, record.verified_symbols)


def recorded_runs(runs: Mapping[str, PlannedRun]) -> dict[str, Path]:
    """The planned runs that are not finished here and have a record, whether or not it is damaged: its file by key.

    Raises:
        StaleRunError: naming every record under which a default has changed.
    """
    found, errors = {}, []
    for key, planned in runs.items():
        path = run_record_path(records_root(), key)
        if path.exists() and RunDir.of(key).state != "done":
            found[key] = path
            try:
                check_defaults(path, planned.config)
            except StaleRunError as error:
                errors.append(str(error))
    if errors:
        raise StaleRunError("\n".join(errors))
    return found
