"""A printed layer beside the same of one of our networks, and the record of a table of these.

`architectures/<table>.json` of the records' folder: with it an architecture table is rendered without torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pydantic

from benchmark.runs.records.files import damaged_record, read_sealed, write_sealed
from benchmark.spec.architecture import Architecture


@dataclass(frozen=True)
class Check:
    """One printed layer beside the same of one of our networks.

    Attributes:
        differences: In words, what does not agree; empty where all that is printed holds.
    """

    layer: str
    network: str
    printed_operation: str
    our_operation: str
    printed_output: str
    our_output: str
    differences: tuple[str, ...]
    note: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "agrees": not self.differences}


_CHECKS = pydantic.TypeAdapter(tuple[Check, ...])


def write_checks(root: Path, table: Architecture, checks: Sequence[Check]) -> bool:
    """Write the record of a table's checks; whether the file changed."""
    content = {"table": table.id, "checks": [asdict(check) for check in checks]}
    return write_sealed(root / "architectures" / f"{table.id}.json", content)


def read_checks(root: Path, table: Architecture) -> tuple[Check, ...] | None:
    """The recorded checks of a table, or None.

    Raises:
        DamagedRecordError: they are not as they were written, or of other layers than the table prints.
    """
    path = root / "architectures" / f"{table.id}.json"
    content = read_sealed(path)
    if content is None:
        return None
    try:
        checks = _CHECKS.validate_python(content.get("checks"))
    except pydantic.ValidationError as error:
        raise damaged_record(path, str(error.errors()[0]["msg"])) from None
    printed = [(layer.label, title) for layer in table.layers for title in table.networks]
    if content.get("table") != table.id or [(check.layer, check.network) for check in checks] != printed:
        raise damaged_record(path, f"it is of other layers than {table.id} prints")
    return checks
