"""Put a table's files into its results folder: all of them or none, and never less than the folder holds."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

FREE = ("printed", "quoted", "config", "missing")
"""Kinds of cells that took no work to fill: what the spec says. All others would have to be made again."""
STALE_SECONDS = 3600


class ResultsError(Exception):
    """The results folder cannot be written; the message says what to do."""


def results_root() -> Path:
    """Folder of all rendered tables: BENCHMARK_RESULTS, or `results/` of the working folder."""
    return Path(os.environ.get("BENCHMARK_RESULTS") or "results")


def check_writable(folder: Path) -> None:
    """Make the folder and try it, so that a wrong one is found before the work and not after it.

    Raises:
        ResultsError: nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0" * 4096)
    except OSError as error:
        raise _refused(folder, error) from None


def replace_together(folder: Path, contents: Mapping[str, str | bytes | None]) -> list[Path]:
    """Write the folder's files, and remove those whose content is None; on any error all are as they were.

    Files whose content is as it was are not touched.

    Returns:
        The files that are there now, in the order given.

    Raises:
        ResultsError: the folder cannot be written, or the disk is full.
    """
    wanted = {name: text.encode() if isinstance(text, str) else text for name, text in contents.items()}
    kept = [folder / name for name, data in wanted.items() if data is not None]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        changed = {name: data for name, data in wanted.items() if _content(folder / name) != data}
        if changed:
            _swap(folder, changed)
    except OSError as error:
        raise _refused(folder, error) from None
    return kept


def _swap(folder: Path, changed: Mapping[str, bytes | None]) -> None:
    """All new files are on the disk before the first old one goes, and the old ones until the last new one is there."""
    for left in folder.glob(".new-*"):  # of a process that was killed
        if time.time() - left.stat().st_mtime > STALE_SECONDS:
            shutil.rmtree(left, ignore_errors=True)
    staged = Path(tempfile.mkdtemp(prefix=".new-", dir=folder))
    done: list[str] = []
    try:
        for name, data in changed.items():
            if data is not None:
                with (staged / name).open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
            if (folder / name).exists():
                shutil.copyfile(folder / name, staged / f"old-{name}")
        for name, data in changed.items():
            done.append(name)
            if data is None:
                (folder / name).unlink(missing_ok=True)
            else:
                (staged / name).replace(folder / name)
    except BaseException:
        for name in done:
            with contextlib.suppress(OSError):
                (folder / name).unlink(missing_ok=True)
                (staged / f"old-{name}").replace(folder / name)
        raise
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def lost_cells(folder: Path, cells_csv: str) -> list[str]:
    """What the folder's cells.csv holds and the new one does not: values that are gone, or are of fewer seeds.

    Rows and columns that the table no longer has do not count.

    Args:
        folder: the table's results folder; nothing is lost where it has no cells.csv.
        cells_csv: content of the new one.

    Returns:
        One phrase a cell, as "top1 of 'TSM': 3 seeds, now none".
    """
    try:
        held = list(csv.DictReader(io.StringIO((folder / "cells.csv").read_text())))
        if not held or not {"label", "column", "kind", "value", "n"} <= held[0].keys():
            raise ValueError("not a table of cells")
        seeds_held = [_seeds(line) for line in held]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, csv.Error) as error:
        return [f"cells.csv, which cannot be read ({error})"]
    new: dict[tuple[str, str], list[dict[str, str]]] = {}
    for line in csv.DictReader(io.StringIO(cells_csv)):
        new.setdefault((line["label"], line["column"]), []).append(line)
    lost = []
    for line, seeds in zip(held, seeds_held, strict=True):
        there = new.get((line.get("label", ""), line.get("column", "")))
        if line.get("kind") in FREE or not line.get("value") or there is None:
            continue
        now = next((other for other in there if other["kind"] == line["kind"]), None)
        left = _seeds(now) if now else 0
        if now is None or left < seeds:
            had = f"{seeds} seed{'s'[: seeds != 1]}" if line["kind"] == "measured" else f"{line['kind']} before"
            lost.append(f"{line['column']} of '{line['label']}': {had}, now {left or 'none'}")
    return lost


def _seeds(line: Mapping[str, str]) -> int:
    return int(line["n"]) if line["kind"] == "measured" and line.get("n") else 1


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _refused(folder: Path, error: OSError) -> ResultsError:
    return ResultsError(
        f"{folder} cannot be written ({error.strerror or error}): free some space, or set BENCHMARK_RESULTS to a folder"
        " of yours"
    )
