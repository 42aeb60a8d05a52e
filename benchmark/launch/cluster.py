"""Cluster profiles: the only place for a site's own values. One YAML file each in `slurm/clusters/`. Imports without torch."""

from __future__ import annotations

from pathlib import Path

import pydantic
from pydantic import Field

from benchmark.spec.models import Strict
from benchmark.spec.overrides import keys_below, problem_text
from benchmark.spec.source import Problem, SpecError, read_yaml

PROFILES = Path(__file__).resolve().parents[2] / "slurm" / "clusters"


class ClusterError(Exception):
    """A cluster that cannot be used as asked; the message says what to do."""


class ClusterProfile(Strict):
    """What a site needs to know to queue a run. Times are whole minutes: YAML would read 10:30 as something else."""

    name: str
    partition: str
    time_minutes: int = Field(gt=0, description="limit of one job; a run that needs longer goes on from its checkpoint")
    cpus_per_task: int = Field(1, ge=1)
    mem_gb: int = Field(4, ge=1)
    gpus_per_node: int = Field(0, ge=0)
    array_parallelism: int = Field(16, ge=1, description="jobs of an array that may run at once")
    max_array_size: int = Field(1000, ge=1, description="`scontrol show config | grep MaxArraySize`, less one")
    env: dict[str, str] = Field(default_factory=dict, description="set here and in the job")
    setup: tuple[str, ...] = Field((), description="shell lines that the job runs first")


def load_cluster(name: str) -> ClusterProfile:
    """A profile by name, or by the path of its file.

    Raises:
        ClusterError: there is no such profile.
        SpecError: its file has errors.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else PROFILES / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in PROFILES.glob("*.yaml"))) or "none"
        raise ClusterError(f"no cluster profile {path}; there are: {known}. slurm/README.md says how to write one")
    source = read_yaml(path)
    try:
        return ClusterProfile.model_validate({"name": path.stem, **source.data}, strict=True)
    except pydantic.ValidationError as error:
        raise SpecError(
            Problem(
                source.file,
                source.line(*detail["loc"]),
                problem_text(detail, ".".join(map(str, detail["loc"])), keys_below(ClusterProfile)),
            )
            for detail in error.errors()
        ) from None
