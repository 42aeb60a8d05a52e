"""Counted costs and timings among the records: `costs/<network>.json`, `timings/<network>-<device>.json`.

They are found by the network alone, whatever code and packages counted it: a record says how it was.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pydantic

from benchmark.config.run import RunConfig
from benchmark.cost.cache import counted_settings, network_digest, settings_digest
from benchmark.cost.latency import LatencyRecord
from benchmark.cost.record import CostRecord
from benchmark.runs.records.files import damaged_record, packed, read_sealed, unpacked, write_sealed

LARGEST = 64 * 2**20
"""Bytes of an unpacked count; those of the papers' largest networks have 0.2 MB."""


def cost_record_path(root: Path, config: RunConfig) -> Path:
    """The file of the recorded cost of this config's network."""
    return root / "costs" / f"{network_digest(config)}.json"


def write_cost(root: Path, config: RunConfig, record: CostRecord) -> bool:
    """Write a counted cost; whether its file changed."""
    text = json.dumps(record.model_dump(mode="json"), sort_keys=True, separators=(",", ":")).encode()
    content = {
        "network": counted_settings(config),
        "macs": record.macs,
        "params": record.params,
        "versions": record.versions,
        "size": len(text),
        "count": packed(text),
    }
    return write_sealed(cost_record_path(root, config), content)


def read_cost(root: Path, config: RunConfig) -> CostRecord | None:
    """The recorded cost of a network, or None. Raises DamagedRecordError: it is not as it was written."""
    path = cost_record_path(root, config)
    content = read_sealed(path)
    return None if content is None else checked_cost(path, content)


def checked_cost(path: Path, content: dict[str, Any]) -> CostRecord:
    """The count in a record. Raises DamagedRecordError: it is of another network, or does not fit the rest."""
    try:
        size = content["size"]
        if not isinstance(size, int) or not 0 < size < LARGEST:
            raise ValueError(f"a size of {size}")
        record = CostRecord.model_validate_json(unpacked(content["count"], size))
        if path.stem != settings_digest(content["network"]):
            raise ValueError("it is of another network")
        if (record.macs, record.params, record.versions) != (content["macs"], content["params"], content["versions"]):
            raise ValueError("its totals are not those of its count")
    except (KeyError, TypeError, ValueError) as error:
        raise damaged_record(path, _first_line(error)) from None
    return record


def write_timings(root: Path, config: RunConfig, record: LatencyRecord) -> bool:
    """Write the timings of a network on one device; whether the file changed."""
    path = root / "timings" / f"{network_digest(config)}-{record.device.digest}.json"
    return write_sealed(path, {"network": counted_settings(config), **record.model_dump(mode="json")})


def timing_paths(root: Path, config: RunConfig) -> list[Path]:
    """The files of a network's recorded timings."""
    return sorted((root / "timings").glob(f"{network_digest(config)}-*.json"))


def read_timings(root: Path, config: RunConfig) -> list[LatencyRecord]:
    """The recorded timings of a network, one for each device. Raises DamagedRecordError: one is not as it was."""
    found = []
    for path in timing_paths(root, config):
        content = read_sealed(path)
        if content is not None:
            found.append(checked_timings(path, content))
    return found


def checked_timings(path: Path, content: dict[str, Any]) -> LatencyRecord:
    """The timings in a record. Raises DamagedRecordError: they are of another network or device."""
    try:
        network = content.pop("network")
        record = LatencyRecord.model_validate_json(json.dumps(content))
        if path.stem != f"{settings_digest(network)}-{record.device.digest}":
            raise ValueError("it is of another network or device")
    except (KeyError, TypeError, ValueError) as error:
        raise damaged_record(path, _first_line(error)) from None
    return record


def _first_line(error: Exception) -> str:
    if isinstance(error, pydantic.ValidationError):
        detail = error.errors()[0]
        return f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}"
    return f"it has no {error}" if isinstance(error, KeyError) else str(error).splitlines()[0]
