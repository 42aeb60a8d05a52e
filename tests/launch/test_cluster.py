"""Cluster profiles: the committed ones load, and a wrong one says where and why."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.config.folders import REPOSITORY
from benchmark.config.source import SpecError
from benchmark.launch.cluster import ClusterProfile, cluster_names, load_cluster
from benchmark.launch.slurm import _parameters

VALID = {
    "partition": "gpu",
    "time_minutes": "600",
    "cpus_per_task": "4",
    "mem_gb": "16",
    "array_parallelism": "8",
    "max_array_size": "1001",
}


def _write(path: Path, **changes: str | None) -> Path:
    lines = [f"{key}: {value}" for key, value in {**VALID, **changes}.items() if value is not None]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("name", cluster_names())
def test_every_committed_profile_loads_by_name_and_by_path(name: str) -> None:
    profile = load_cluster(name)
    assert profile.name == name
    assert load_cluster(str(REPOSITORY / "slurm" / "clusters" / f"{name}.yaml")) == profile


def test_dev_profile_fits_the_development_cluster() -> None:
    profile = load_cluster("dev")
    script = (REPOSITORY / "slurm" / "devcluster").read_text()
    assert f"MaxArraySize={profile.max_array_size}\n" in script
    assert f"PartitionName={profile.partition} " in script
    directory = script.split("DIR=${DEVCLUSTER_DIR:-", 1)[1].split("}", 1)[0]
    assert profile.env["SLURM_CONF"] == f"{directory}/slurm.conf"


def test_unknown_name_lists_what_there_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("alpha", "beta"):
        _write(tmp_path / f"{name}.yaml")
    monkeypatch.setenv("BENCHMARK_CLUSTERS", str(tmp_path))
    with pytest.raises(SpecError, match=r"gamma\.yaml: no cluster profile 'gamma'\. Available: alpha, beta\."):
        load_cluster("gamma")
    with pytest.raises(SpecError, match=r"Did you mean 'alpha'\? Available: alpha, beta\."):
        load_cluster("alfa")


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"site\.yaml: no such file"):
        load_cluster(str(tmp_path / "site.yaml"))


def test_all_errors_of_a_file_come_at_once_with_their_lines(tmp_path: Path) -> None:
    path = _write(tmp_path / "site.yaml", cpus_per_task="0", mem_gb=None, partitions="gpu")
    with pytest.raises(SpecError) as caught:
        load_cluster(str(path))
    found = {(problem.line, problem.message) for problem in caught.value.problems}
    assert len(found) == 3
    assert (6, "unknown key 'partitions'. Did you mean 'partition'?") in found
    assert (1, "'mem_gb' is required") in found
    assert any(line == 3 and "'cpus_per_task'" in message for line, message in found)


@pytest.mark.parametrize("time", ["10:30", '"10:30"', "1-00:00:00", "90.5", '"90"', "1.5h", "0", "true"])
def test_times_are_whole_minutes_only(tmp_path: Path, time: str) -> None:
    path = _write(tmp_path / "site.yaml", time_minutes=time)
    with pytest.raises(SpecError, match=r"site\.yaml:2: '?time_minutes"):
        load_cluster(str(path))


def test_environment_variables_are_text_and_the_callers_win(tmp_path: Path) -> None:
    profile = load_cluster(str(_write(tmp_path / "site.yaml", env="{SLURM_CONF: /a, THREADS: '1'}")))
    assert profile.environment({"SLURM_CONF": "/b", "HOME": "/h"}) == {"SLURM_CONF": "/b", "THREADS": "1", "HOME": "/h"}
    with pytest.raises(SpecError, match=r"site\.yaml:7: 'env\.THREADS'"):
        load_cluster(str(_write(tmp_path / "site.yaml", env="{THREADS: 1}")))


def test_profile_is_frozen() -> None:
    profile = load_cluster("dev")
    with pytest.raises(ValueError, match="frozen"):
        profile.partition = "other"  # type: ignore[misc]
    assert isinstance(profile, ClusterProfile)


def test_profiles_load_without_torch() -> None:
    code = "import sys, benchmark.launch.cluster as c; c.load_cluster('dev'); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)


def test_what_the_user_has_said_by_variable_holds_for_the_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ucf 101").mkdir()
    for name, value in (("UCF101", "ucf 101"), ("TRANSFORMS", "device"), ("DECODE_SECONDS", "5"), ("WEIGHTS", "")):
        monkeypatch.setenv(f"BENCHMARK_{name}", value)
    monkeypatch.delenv("BENCHMARK_DATA", raising=False)
    monkeypatch.setenv("SLURM_CONF", f"{tmp_path}/slurm.conf")
    lines = _parameters(load_cluster("dev"))["slurm_setup"]
    assert f"export BENCHMARK_UCF101='{tmp_path}/ucf 101'" in lines
    assert "export BENCHMARK_TRANSFORMS=device" in lines
    assert f"export SLURM_CONF={tmp_path}/slurm.conf" in lines  # and wins over the profile's
    assert "export BENCHMARK_DECODE_SECONDS=5" in lines
    assert f"export BENCHMARK_DATA={tmp_path}/data" in lines
    assert not any("WEIGHTS" in line for line in lines)
