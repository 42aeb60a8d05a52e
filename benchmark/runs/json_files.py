"""What the JSON files of a run directory say, whatever has become of them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from benchmark.runs.errors import DamagedRunError, damaged
from benchmark.runs.sharing import unreadable

State = Literal["done", "running", "queued", "failed", "interrupted", "pending", "unreadable"]
RECORDED: tuple[State, ...] = ("done", "running", "queued", "failed", "interrupted", "pending")
"""What status.json may say; that a run may not be read is found in reading."""
_NUMBER = (int, float)
Types = Mapping[str, type | tuple[type, ...]]
ENV_TYPES: Types = {
    **{"starts": list, "fingerprints": dict, "versions": dict, "clips": dict, "training": dict, "trained_by": str},
    **{"seconds": _NUMBER, "resumes": int, "weights": str},
}
"""Of the values of env.json."""
STATUS_TYPES: Types = {
    **{"state": str, "phase": str, "host": (str, type(None)), "error": (str, type(None))},
    **{"job": (str, int, type(None)), "pid": (int, type(None)), "beat": _NUMBER, "queued": _NUMBER},
    **{"epoch": int, "epochs": int, "step": int, "steps": int},
}
"""Of the values of status.json."""


def read_json(path: Path) -> dict[str, Any] | None:
    """Content of a JSON file, or None where there is none.

    Raises:
        UnreadableRunError: this user may not read it.
        DamagedRunError: it cannot be read, or is no mapping.
    """
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise ValueError("not a file")
        content = json.loads(path.read_text())
        if not isinstance(content, dict):
            raise ValueError("not a mapping")
    except FileNotFoundError:
        return None
    except PermissionError:
        raise unreadable(path) from None
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(path, str(error)) from None
    return content


def read_typed(path: Path, types: Types) -> dict[str, Any]:
    """Content of a file that decides nothing: without what is not of its type; a damaged file is as good as none."""
    with contextlib.suppress(DamagedRunError):
        return typed(read_json(path) or {}, types)
    return {}


def typed(values: dict[str, Any], types: Types) -> dict[str, Any]:
    """The values without those that are not of their type."""
    kept: dict[str, Any] = {
        name: value for name, value in values.items() if name not in types or isinstance(value, types[name])
    }
    if kept.get("state", "pending") not in RECORDED:
        del kept["state"]
    if not all(isinstance(start, dict) for start in kept.get("starts", ())):
        del kept["starts"]
    if not all(isinstance(value, str) for value in kept.get("fingerprints", {}).values()):
        del kept["fingerprints"]
    return kept
