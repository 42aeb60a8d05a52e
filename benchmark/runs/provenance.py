"""Where a run came from: commit, local changes, versions and hardware. Imports without torch."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark.config.folders import REPOSITORY

VECTORS = (("avx512f", "AVX-512"), ("avx2", "AVX2"), ("sve", "SVE"), ("asimd", "NEON"))
"""Flags of /proc/cpuinfo, widest first."""
PACKAGES = ("torch", "torchvision", "numpy", "av", "fvcore", "submitit")


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout


def code_state() -> dict[str, Any]:
    """Commit of the code, and a hash of what differs from it, new files included (None: nothing does, or no git)."""
    commit = _git("rev-parse", "HEAD")
    changes = _git("diff", "HEAD", "--", ".", ":!results") or ""
    for name in (_git("ls-files", "--others", "--exclude-standard", "--", "*.py", "*.yaml") or "").splitlines():
        changes += f"{name}\n{(REPOSITORY / name).read_text(errors='replace')}"
    digest = hashlib.sha256(changes.encode()).hexdigest()[:12] if changes else None
    return {"commit": commit.strip() if commit else None, "changes": digest}


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that a result depends on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def instruction_set() -> str:
    """The kind of processor, on which the order of additions depends: `AuthenticAMD 25.1, AVX2`.

    Vendor, family and model as the processor says them, and the widest vectors that PyTorch's kernels use on it;
    runs of one key on two kinds need not agree (docs/reproducibility.md).
    """
    said: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            said.setdefault(name.strip(), value.strip())
    flags = said.get("flags", said.get("Features", "")).split()
    widest = next((name for flag, name in VECTORS if flag in flags), "no vectors")
    kind = " ".join(filter(None, [said.get("vendor_id", platform.machine()), _number(said)]))
    chosen = os.environ.get("ATEN_CPU_CAPABILITY")
    return f"{kind}, {widest}{f' (ATEN_CPU_CAPABILITY={chosen})' if chosen else ''}"


def _number(said: Mapping[str, str]) -> str:
    return ".".join(said[name] for name in ("cpu family", "model") if name in said)


def processor() -> str:
    """Name of the processor and how many cores this process may use."""
    model = platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{model}, {cores} cores"
