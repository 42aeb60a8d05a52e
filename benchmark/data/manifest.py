"""Where what is made of a data set lies, and what its manifest says. Imports nothing heavy: reports read it, too."""

from __future__ import annotations

import json
from pathlib import Path

from benchmark.config.datasets import DATASETS
from benchmark.config.folders import data_root


def index_folder(name: str, split: str) -> Path:
    """Where the index of a split is."""
    return data_root() / name / split


def read_manifest(folder: Path) -> dict[str, object] | None:
    """The manifest of a split's folder, or None where the split is not complete."""
    try:
        manifest: dict[str, object] = json.loads((folder / "split.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return manifest


def present_fingerprints(name: str) -> dict[str, str]:
    """The fingerprint of either split of a data set that the user holds, as it is prepared now; nothing if it is not.

    Nothing of a generated one, either: a changed generator has a folder, and runs, of its own.
    """
    if DATASETS[name].generated:
        return {}
    manifests = {split: read_manifest(index_folder(name, split)) for split in ("train", "val")}
    return {split: str(manifest["fingerprint"]) for split, manifest in manifests.items() if manifest is not None}
