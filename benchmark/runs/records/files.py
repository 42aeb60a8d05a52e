"""The files of records: JSON in one spelling, sealed by its sha256, so that a changed byte is noticed in reading."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
import zlib
from pathlib import Path
from typing import Any

from benchmark.runs.atomic import write_atomic
from benchmark.runs.errors import DamagedRunError

FORMAT = 1
"""Of all files; a reader refuses another."""
LARGEST = 64 * 2**20
"""Bytes of a file that is read. The largest known, a run of 20,000 clips and 400 classes, has 0.3 MB."""
SEAL = "sha256"


class DamagedRecordError(DamagedRunError):
    """A record is not as it was written: the message names the file and what does not fit."""


def records_root() -> Path:
    """Folder of all records: BENCHMARK_RECORDS, or `results/records/` of the working folder."""
    return Path(os.environ.get("BENCHMARK_RECORDS") or Path("results") / "records")


def damaged_record(path: Path, what: str) -> DamagedRecordError:
    """The error of a record that is not as it was written."""
    return DamagedRecordError(f"{path} is damaged ({what}); restore it: git checkout -- {path}")


def spelled(content: dict[str, Any]) -> bytes:
    """The one spelling of a record: a line for every key at the top, in order, and no blanks. Strict JSON.

    Raises:
        ValueError: a number is not finite.
    """
    lines = [f"{json.dumps(key)}:{_compact(content[key])}" for key in sorted(content)]
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def digest_of(content: dict[str, Any]) -> str:
    """16 hex digits of a record's content: the name of files that are named by what they hold."""
    return hashlib.sha256(spelled(content)).hexdigest()[:16]


def sealed(content: dict[str, Any]) -> bytes:
    """The bytes of a record, with its format and the sha256 of all else in it."""
    whole = {"format": FORMAT, **content}
    return spelled({**whole, SEAL: hashlib.sha256(spelled(whole)).hexdigest()})


def unsealed(path: Path, data: bytes) -> dict[str, Any]:
    """The content of a record's bytes. `path` is for messages.

    Raises:
        DamagedRecordError: they are not JSON in the one spelling, of another format, or the seal is not theirs.
    """
    try:
        content = json.loads(data, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise damaged_record(path, f"no strict JSON: {error}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        said = content.get("format") if isinstance(content, dict) else None
        raise damaged_record(path, f"its format is {said}, and {FORMAT} is known here")
    seal = content.pop(SEAL, None)
    # Both: the seal alone would let pass what JSON does not tell apart, as 1.0 from 1.00.
    if seal != hashlib.sha256(_or_refused(path, content)).hexdigest():
        raise damaged_record(path, "its sha256 is not that of its content")
    if data != spelled({**content, SEAL: seal}):
        raise damaged_record(path, "it is not spelled as records are written")
    del content["format"]
    return content


def read_sealed(path: Path) -> dict[str, Any] | None:
    """The content of a record's file; None where there is none.

    Raises:
        DamagedRecordError: see `unsealed`.
    """
    try:
        if not path.is_file():
            if path.exists():
                raise damaged_record(path, "not a file")
            return None
        if path.stat().st_size > LARGEST:
            raise damaged_record(path, f"larger than {LARGEST} bytes")
        return unsealed(path, path.read_bytes())
    except OSError as error:
        raise damaged_record(path, error.strerror or str(error)) from None


def write_sealed(path: Path, content: dict[str, Any]) -> bool:
    """Write a record; whether its file was not there or had other bytes."""
    data = sealed(content)
    if path.is_file() and path.read_bytes() == data:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, data)
    return True


def finite(value: Any) -> Any:
    """Plain data with None for what is no finite number: strict JSON has no other."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def packed(data: bytes) -> str:
    """Bytes as text: compressed, in base 85, which JSON need not escape."""
    return base64.b85encode(zlib.compress(data, 9)).decode()


def unpacked(text: str, size: int) -> bytes:
    """The bytes of `packed`. No more than `size` of them are ever made.

    Raises:
        ValueError: it is no such text, or not of `size` bytes.
    """
    stream = zlib.decompressobj()
    try:
        data = stream.decompress(base64.b85decode(text), size + 1)
    except zlib.error as error:
        raise ValueError(f"cannot be unpacked: {error}") from None
    if len(data) != size or not stream.eof or stream.unused_data:
        raise ValueError(f"does not unpack to {size} bytes")
    return data


def _compact(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _or_refused(path: Path, content: dict[str, Any]) -> bytes:
    try:
        return spelled(content)
    except (ValueError, RecursionError) as error:  # a lone surrogate, which UTF-8 cannot spell; 1e999
        raise damaged_record(path, str(error)) from None


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")
