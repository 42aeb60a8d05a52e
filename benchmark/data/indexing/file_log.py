"""What was found of each file of a data set, logged so that no file is examined twice.

A record holds the file's size and modification time: an interrupted examination goes on where it was, and a later one
looks only at what has changed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmark.runs.atomic import errors_naming
from benchmark.runs.disk_errors import READ_ONLY

State = Literal["ok", "missing", "empty", "corrupt"]


@dataclass(frozen=True)
class FileRecord:
    """What one file, or one folder of frames, was found to be.

    Attributes:
        path: Relative to the root.
        size: In bytes; of a folder that was not decoded -1.
        mtime: When it was last changed, in nanoseconds.
        duration: In seconds, 0 if unknown.
        reason: Why it is not ok.
        partial: Why what can be read is not all.
        resized: Which frames have another size than the first; known only of what has been decoded.
    """

    path: str
    size: int
    mtime: int
    state: State
    frames: int = 0
    height: int = 0
    width: int = 0
    duration: float = 0.0
    reason: str = ""
    partial: str = ""
    resized: str = ""

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder of frames that was probed."""
        return self.size < 0


class FileLog:
    """Records of files, a JSON line each, appended as they come; a line that a kill cut short is ignored.

    Where the file must not be written, what is found is not recorded, and `unwritten` says so.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.unwritten = ""

    def read(self) -> dict[str, FileRecord]:
        """The last record of every file."""
        found: dict[str, FileRecord] = {}
        try:
            text = self.path.read_text(encoding="utf-8", errors="surrogateescape")
        except FileNotFoundError:
            return found
        for line in text.splitlines():
            try:
                values = json.loads(line)
                record = FileRecord(**values)
            except (json.JSONDecodeError, TypeError):
                continue
            # Written by an older version, which counted packets without a picture and heard no complaint.
            if "resized" not in values and record.state == "ok":
                found.pop(record.path, None)
                continue
            found[record.path] = record
        return found

    def add(self, records: Sequence[FileRecord]) -> None:
        """Append records, whole lines at once.

        Raises:
            OSError: The disk is full or away; the file is named.
        """
        if not records or self.unwritten:
            return
        lines = "".join(json.dumps(vars(record)) + "\n" for record in records)
        try:
            with errors_naming(self.path):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with self.path.open("a", encoding="utf-8") as file:
                    if file.tell() and not _ends_a_line(self.path):
                        lines = "\n" + lines
                    file.write(lines)
        except OSError as error:
            if error.errno not in READ_ONLY:
                raise
            self.unwritten = f"not recorded: {self.path} cannot be written ({error.strerror})"


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
