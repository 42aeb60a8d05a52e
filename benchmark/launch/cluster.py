"""Cluster profiles: what a site wants a job to ask for. Only files of slurm/clusters/ hold such values."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pydantic
from pydantic import Field, field_validator

from benchmark.config.fields import Strict
from benchmark.config.folders import REPOSITORY, shown
from benchmark.config.parse import problem_text
from benchmark.config.source import Problem, SpecError, did_you_mean, read_yaml


class ClusterProfile(Strict):
    """What one run asks of a SLURM cluster, and how the cluster is asked.

    An option more is a field here and, where SLURM has to hear of it, a line of `submitit_parameters`.

    `name` is the file's name without its ending unless the file gives another.
    """

    name: str = Field(min_length=1)
    partition: str = Field(min_length=1)
    account: str | None = Field(None, description="what the hours are charged to; None is the user's default")
    time_minutes: int = Field(ge=1, description="limit of one job, in minutes; a run that needs longer is requeued")
    cpus_per_task: int = Field(ge=1, description="cores of one task: of each GPU where there are GPUs")
    mem_gb: float = Field(gt=0, description="memory of one node's share of the job, in GB")
    gpus_per_node: int = Field(0, ge=0, le=1, description="0 trains on CPUs; a run uses one GPU at most")
    array_parallelism: int = Field(ge=1, description="runs of one array at the same time")
    max_array_size: int = Field(
        ge=2,
        description="the cluster's MaxArraySize: indices run from 0 to one less, so it is also a chunk's most runs",
    )
    env: dict[str, str] = Field(default_factory=dict, description="for SLURM's commands and for the job")
    setup: tuple[str, ...] = Field((), description="shell lines of the batch script before the run")

    @field_validator("time_minutes", mode="before")
    @classmethod
    def _integer_minutes(cls, value: object) -> object:
        if isinstance(value, str) and ":" in value:
            raise ValueError(f"is a number of minutes, got {value!r}")
        return value

    @field_validator("mem_gb", mode="before")
    @classmethod
    def _whole_gigabytes(cls, value: object) -> object:
        return float(value) if type(value) is int else value

    def submitit_parameters(self) -> dict[str, object]:
        """The fields under the names by which submitit asks SLURM for them, but for `env` and `setup`."""
        asked = {
            "timeout_min": self.time_minutes,
            "cpus_per_task": self.cpus_per_task,
            "mem_gb": self.mem_gb,
            "gpus_per_node": self.gpus_per_node or None,
            "slurm_partition": self.partition,
            "slurm_account": self.account,
            "slurm_array_parallelism": self.array_parallelism,
            # srun no longer inherits the batch script's cores, so they are named again.
            "slurm_srun_args": [f"--cpus-per-task={self.cpus_per_task}"],
        }
        return {name: value for name, value in asked.items() if value is not None}

    def environment(self, current: Mapping[str, str]) -> dict[str, str]:
        """`current` with the profile's `env` below it: what the caller has set already wins."""
        return {**self.env, **current}


def clusters_root() -> Path:
    """Folder of the profiles: BENCHMARK_CLUSTERS, or `slurm/clusters/` of the repository."""
    return Path(os.environ.get("BENCHMARK_CLUSTERS") or REPOSITORY / "slurm" / "clusters")


def cluster_names() -> list[str]:
    """Names of the profiles that have a file."""
    return sorted(path.stem for path in clusters_root().glob("*.yaml"))


def load_cluster(name_or_path: str) -> ClusterProfile:
    """A profile by its name, or by the path of its file.

    Args:
        name_or_path: `dev` for slurm/clusters/dev.yaml; anything that ends in .yaml or .yml is a path.

    Raises:
        SpecError: there is no such profile, or its file has errors: all of them, with file and line.
    """
    if name_or_path.endswith((".yaml", ".yml")):
        path = Path(name_or_path)
    else:
        path = clusters_root() / f"{name_or_path}.yaml"
        available = cluster_names()
        if name_or_path not in available:
            listed = f" Available: {', '.join(available)}." if available else " There are none."
            near = did_you_mean(name_or_path, available)
            hint = near if near.startswith(" Did") else ""
            raise SpecError([Problem(shown(path), 0, f"no cluster profile '{name_or_path}'.{hint}{listed}")])
    source = read_yaml(path, shown(path))
    try:
        return ClusterProfile.model_validate({"name": path.stem, **source.data}, strict=True)
    except pydantic.ValidationError as error:
        keys = list(ClusterProfile.model_fields)
        problems = [
            Problem(
                source.file,
                source.line(*detail["loc"]),
                problem_text(detail, ".".join(map(str, detail["loc"])), keys),
            )
            for detail in error.errors()
        ]
        raise SpecError(problems) from None
