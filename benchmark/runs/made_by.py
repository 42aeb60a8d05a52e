"""Whether a finished run is current: made by code that says what today's says, or shown to behave as today's does.

`code.json` of its directory holds the digests of the code that made it (`runs.code`); `verified.json`, those of later
code by which its miniature came to the same. A run is current if either has nothing that changed since.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.runs.code import PACKAGE, Symbols, changes
from benchmark.runs.directory import RunDir
from benchmark.runs.errors import RunDirError
from benchmark.runs.json_files import read_json

CODE = "code.json"
VERIFIED = "verified.json"
NAMED = 3
"""Files that a sentence names."""


@dataclass(frozen=True)
class OtherCode:
    """Why a run is not current.

    changed: symbols that are not as they were when it was made, by file. recorded: whether it is known what made it.
    weights: the run whose weights it started from, which has others now.
    """

    changed: Symbols = field(default_factory=dict)
    recorded: bool = True
    weights: str = ""

    def __str__(self) -> str:
        """`trained by other code: models/modules/mbpm.py changed`."""
        if self.changed:
            files = [file.removeprefix(PACKAGE) for file in sorted(self.changed)]
            more = f" and {len(files) - NAMED} more files" if len(files) > NAMED else ""
            return f"trained by other code: {', '.join(files[:NAMED])}{more} changed"
        if not self.recorded:
            return "trained by code that was not recorded"
        return f"started from other weights than {self.weights} has now"

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the sentence, and the symbols by file."""
        return {"what": str(self), "changed": {file: sorted(symbols) for file, symbols in self.changed.items()}}


def symbols_in(path: Path) -> Symbols | None:
    """The digests that a file of a run directory holds; None where it is gone or damaged, since it decides nothing."""
    try:
        content = (read_json(path) or {}).get("symbols")
    except RunDirError:
        return None
    if not isinstance(content, dict) or not all(isinstance(symbols, dict) for symbols in content.values()):
        return None
    return content


def not_current(recorded: Symbols | None, verified: Symbols | None) -> OtherCode | None:
    """Why a run is not current by the digests of the code that made it and of that by which it was verified last."""
    known = [symbols for symbols in (recorded, verified) if symbols]
    differing = [changes(symbols) for symbols in known]
    if not all(differing):
        return None
    # By the later of the two: what changed since then is what is not known to be harmless.
    return OtherCode(differing[-1]) if differing else OtherCode(recorded=False)


def by_other_code(run: RunDir) -> OtherCode | None:
    """Why a run is not current, as far as its own files say; None if it is."""
    return not_current(symbols_in(run.path / CODE), symbols_in(run.path / VERIFIED))
