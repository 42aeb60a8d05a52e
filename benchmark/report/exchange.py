"""Records in one file: what a table rests on, to be checked elsewhere, and to join another's table as rows of its own.

The file is a ZIP of a records' folder. What comes from others is kept in `theirs/<lab>/`, a records' folder of its own.
"""

from __future__ import annotations

import contextlib
import io
import re
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmark.config.source import SpecError
from benchmark.cost.audit import row_configs
from benchmark.cost.latency import timed_config
from benchmark.cost.recorded import checked_cost, checked_timings, cost_record_path, timing_paths
from benchmark.plan import row_runs
from benchmark.report.recorded_tables import TableEntry, read_entry, table_configs, table_entries
from benchmark.report.theirs import labs, other_clips
from benchmark.runs.atomic import write_atomic
from benchmark.runs.errors import RunDirError
from benchmark.runs.key import run_key
from benchmark.runs.predictions import Predictions
from benchmark.runs.records.files import LARGEST, read_sealed, write_sealed
from benchmark.runs.records.run import (
    check_defaults,
    checked_fused,
    checked_record,
    codes_of,
    read_clips,
    read_symbols,
    run_record_path,
)
from benchmark.spec.table import Table

NAMES = re.compile(
    r"(runs|clips|code|fused|costs)/[0-9a-f]{16}\.json|timings/[0-9a-f]{16}-[0-9a-f]{8}\.json"
    r"|tables/[A-Za-z0-9][A-Za-z0-9._-]*\.json"
)
"""What may be in an exchange file. Nothing else is read, and nothing else is written."""
LAB = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
MOST_FILES = 20_000
MOST_BYTES = 2**30
DATE = (1980, 1, 1, 0, 0, 0)
"""Of every file: the same records give the same bytes."""


class ExchangeError(Exception):
    """An exchange file cannot be used; the message has a line for everything that is wrong with it."""


def export_tables(tables: list[Table], root: Path) -> bytes:
    """The records of tables as one file. Raises ExchangeError: a table has none."""
    files: dict[str, bytes] = {}
    for table in tables:
        found = dict(_files_of(table, root))
        if not any(name.startswith("runs/") for name in found):
            raise ExchangeError(f"{table.id} has no records in {root}/: `records add {table.id}` writes them")
        files |= found
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, DATE)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, files[name])
    return buffer.getvalue()


def _files_of(table: Table, root: Path) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of every record of a table: its own, and what these name."""
    wanted = [root / "tables" / TableEntry.of(table).name]
    keys = set()
    for _, config in table_configs(table):
        path = run_record_path(root, run_key(config))
        content = read_sealed(path)
        if content is None:
            continue
        keys.add(path.stem)
        wanted += [path, *(root / "code" / f"{code}.json" for code in codes_of(content))]
        wanted.append(root / "clips" / f"{content['predictions']['clips']}.json")
    for path in sorted((root / "fused").glob("*.json")):
        if keys >= set(str((read_sealed(path) or {}).get("key")).split("+")):
            wanted.append(path)
    for row in table.rows:
        wanted += [cost_record_path(root, config) for config in row_configs(row)]
        timed = timed_config(row)
        wanted += timing_paths(root, timed) if timed else []
    for path in dict.fromkeys(wanted):
        if path.is_file():
            yield path.relative_to(root).as_posix(), path.read_bytes()


def read_file(path: Path) -> dict[str, bytes]:
    """What is in an exchange file, by name: nothing that is not a record by its name, and not too much of that.

    Raises:
        ExchangeError: it is no ZIP, or has other files, one of them twice, or more than a table can have.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            names = [info.filename for info in infos]
            wrong = [f"{path}: '{name[:80]}' is no name of a record" for name in names if not NAMES.fullmatch(name)]
            wrong += (
                [f"{path}: {name} is in it twice" for name in {*names} if names.count(name) > 1] if not wrong else []
            )
            if len(infos) > MOST_FILES or sum(info.file_size for info in infos) > MOST_BYTES:
                wrong = [f"{path} has more than {MOST_FILES} files or {MOST_BYTES >> 20} MB"]
            wrong += [f"{path}: {info.filename} is larger than a record" for info in infos if info.file_size > LARGEST]
            if wrong:
                raise ExchangeError("\n".join(wrong[:20]))
            # No more than the size that it declares is ever unpacked of a file.
            return {info.filename: archive.read(info) for info in infos}
    except ExchangeError:
        raise
    except Exception as error:  # a changed byte can make zipfile and zlib raise nearly anything
        raise ExchangeError(f"{path} cannot be read ({error})") from None


@contextmanager
def opened(path: Path) -> Iterator[Path]:
    """An exchange file as a records' folder, for the time of the block. Raises ExchangeError."""
    with tempfile.TemporaryDirectory() as folder:
        for name, data in read_file(path).items():
            target = Path(folder) / name
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(data)
        yield Path(folder)


def check_folder(root: Path) -> list[str]:
    """What is wrong with a records' folder, a line each: every file by itself, and whether all belong together."""
    wrong: list[str] = []
    found = _checked_runs(root, wrong)
    planned: dict[str, None] = {}
    for path in sorted((root / "tables").glob("*.json")):
        try:
            table = read_entry(path).load()
            for _, config in table_configs(table):
                planned[run_key(config)] = None
                check_defaults(run_record_path(root, run_key(config)), config)
        except (RunDirError, SpecError) as error:
            wrong.append(str(error))
    wrong += [f"runs/{key}.json: no row of the tables here asks for it" for key in found if key not in planned]
    wrong += _of_other_files(root, found)
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir())
    own = [name for name in names if not name.startswith(("theirs/", "architectures/"))]
    wrong += [f"{name} is no name of a record" for name in own if not NAMES.fullmatch(name)]
    if not found and not wrong:
        wrong.append("there is no run in it")
    shown = [line.replace(f"{root}/", "").split("; restore it: git")[0] for line in wrong]
    return [f"{lab}: {line}" for lab in labs(root) for line in check_folder(root / "theirs" / lab)] + shown


def remarks(root: Path, ours: Path) -> list[str]:
    """Of runs that are in order what a reader must know beside our own, a line for a row: they are on other clips.

    Args:
        root: a records' folder without fault, another's or our own with those of labs.
        ours: our own.
    """
    known: dict[str, dict[str, frozenset[str]]] = {}
    for path in sorted((ours / "runs").glob("*.json")):
        with contextlib.suppress(RunDirError):
            content = read_sealed(path) or {}
            _add_clips(known.setdefault(content["config"]["data"]["dataset"], {}), path, content)
    found = []
    for entry in table_entries(root) if root != ours else ():
        table = entry.load()
        for row in table.rows:
            theirs: dict[str, dict[str, frozenset[str]]] = {}
            for _, config in row_runs(row, table.seeds) if row.config else ():
                path = run_record_path(root, run_key(config))
                if (record := read_sealed(path)) is not None:
                    _add_clips(theirs.setdefault(config.data.dataset, {}), path, record)
            said = (other_clips(clips, known.get(dataset, {})) for dataset, clips in theirs.items())
            found += [f"{table.id} '{row.label}': {text}" for text in said if text]
    of_labs = ((lab, remarks(root / "theirs" / lab, ours)) for lab in labs(root))
    return [*found, *(f"{lab}: {line}" for lab, lines in of_labs for line in lines)]


def _add_clips(known: dict[str, frozenset[str]], path: Path, content: Mapping[str, Any]) -> None:
    """Add the ids of a record's validation clips by their fingerprint, if it is a new one."""
    fingerprint = content["env"].get("fingerprints", {}).get("val")
    if fingerprint and fingerprint not in known:
        known[fingerprint] = frozenset(read_clips(path.parent.parent, content["predictions"]["clips"], path).ids)


def _checked_runs(root: Path, wrong: list[str]) -> dict[str, tuple[Predictions, str, list[str]]]:
    """By key what each run predicted and the files of clips and code that it names; also whether these are as they say.

    Runs of one validation set, by its fingerprint, were evaluated on the same clips.
    """
    found: dict[str, tuple[Predictions, str, list[str]]] = {}
    clips_of: dict[str, str] = {}
    for path in sorted((root / "runs").glob("*.json")):
        try:
            content = read_sealed(path) or {}
            record = checked_record(path, content, root)
        except RunDirError as error:
            wrong.append(str(error))
            continue
        clips = record.content.predictions.clips
        fingerprint = record.env.get("fingerprints", {}).get("val")
        if not fingerprint:
            wrong.append(f"{path}: it has no fingerprint of its validation clips")
        elif clips_of.setdefault(fingerprint, clips) != clips:
            wrong.append(f"{path}: other clips than another run's, of one fingerprint")
        found[path.stem] = record.predictions, clips, codes_of(content)
    return found


def _of_other_files(root: Path, runs: Mapping[str, tuple[Predictions, str, list[str]]]) -> list[str]:
    wrong = []
    named = {"clips": {clips for _, clips, _ in runs.values()}}
    named["code"] = {code for _, _, codes in runs.values() for code in codes}
    for kind in ("clips", "code", "fused", "costs", "timings"):
        for path in sorted((root / kind).glob("*.json")):
            try:
                content = read_sealed(path) or {}
                if kind == "clips":
                    read_clips(root, path.stem, path)
                elif kind == "code":
                    # Today's sources are looked up by these names: none may lead elsewhere.
                    if outside := [f for f in read_symbols(root, path.stem, path) if _leads_outside(f)]:
                        wrong.append(f"{path}: names a file outside the repository: {outside[0][:80]}")
                elif kind == "costs":
                    checked_cost(path, content)
                elif kind == "timings":
                    checked_timings(path, content)
                else:
                    members = str(content.get("key")).split("+")
                    if missing := [key for key in members if key not in runs]:
                        wrong.append(f"{path}: its runs are not here: {', '.join(missing)}")
                    else:
                        checked_fused(path, content, [runs[key][0] for key in members])
            except RunDirError as error:
                wrong.append(str(error))
                continue
            if kind in named and path.stem not in named[kind]:
                wrong.append(f"{path}: no run here names it")
    return wrong


def merge(path: Path, lab: str, root: Path) -> int:
    """Let the runs of an exchange file join as those of a lab. Returns how many files are new.

    Raises:
        ExchangeError: something is wrong with the file, all its runs are ours, or the lab has another record of one of
            them; then nothing is written.
    """
    if not LAB.fullmatch(lab):
        raise ExchangeError(f"'{lab}' is no name for a lab: letters, digits, - and _, 40 at most (--name)")
    with opened(path) as folder:
        if wrong := check_folder(folder):
            raise ExchangeError("\n".join(f"{path}: {line}" for line in wrong))
        names = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*.json"))
        given = {name: (folder / name).read_bytes() for name in names}
        entries = {name: read_entry(folder / name) for name in names if name.startswith("tables/")}
    runs = [name for name in names if name.startswith("runs/")]
    if all(_bytes(root / name) == given[name] for name in runs):
        raise ExchangeError(f"{path}: all of its runs are ours already, record by record")
    home = root / "theirs" / lab
    new = {name: data for name, data in given.items() if name not in entries and _bytes(home / name) != data}
    if other := [name for name in new if (home / name).exists()]:
        raise ExchangeError(
            "\n".join(f"{home / name} is there with other content" for name in other)
            + f"\n  Remove {home} to replace what {lab} gave before, or give these another --name."
        )
    for name, data in new.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        write_atomic(home / name, data)
    changed = len(new)
    for name, entry in entries.items():
        before = read_entry(home / name).seeds if (home / name).exists() else ()
        both = entry.model_copy(update={"seeds": tuple(sorted({*before, *entry.seeds}))})
        changed += write_sealed(home / name, both.model_dump(mode="json"))
    return changed


def _leads_outside(name: str) -> bool:
    return Path(name).is_absolute() or ".." in Path(name).parts or not name.endswith(".py")


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
