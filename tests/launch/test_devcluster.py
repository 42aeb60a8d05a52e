"""The development cluster's script, as far as it goes without SLURM."""

import os
import subprocess
from pathlib import Path

from benchmark.config.folders import REPOSITORY


def _devcluster(*arguments: str, directory: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DEVCLUSTER_DIR": str(directory)}
    command = [str(REPOSITORY / "slurm" / "devcluster"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_env_is_read_back_by_a_shell(tmp_path: Path) -> None:
    printed = _devcluster("env", directory=tmp_path).stdout
    read_back = subprocess.run(
        ["bash", "-c", f'{printed} printf %s "$SLURM_CONF"'], capture_output=True, text=True, check=True
    )
    assert read_back.stdout == f"{tmp_path}/slurm.conf"


def test_wrong_requests_show_the_usage(tmp_path: Path) -> None:
    for arguments in ((), ("restart",), ("start", "now"), ("stop", "--force")):
        done = _devcluster(*arguments, directory=tmp_path)
        assert (done.returncode, done.stderr.splitlines()[0]) == (2, "Usage: slurm/devcluster COMMAND")


def test_nothing_running_is_no_error_to_stop_and_says_so(tmp_path: Path) -> None:
    assert _devcluster("status", directory=tmp_path / "none").returncode == 3
    stopped = _devcluster("stop", directory=tmp_path / "none")
    assert (stopped.returncode, stopped.stdout) == (0, "devcluster: not running\n")


def test_stale_pid_files_never_hit_a_stranger(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        (tmp_path / "run" / "slurmctld.pid").write_text(f"{stranger.pid} 1\n")
        assert _devcluster("status", directory=tmp_path).returncode == 3
        assert _devcluster("stop", directory=tmp_path).returncode == 0
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_directory_too_long_for_sockets_is_refused(tmp_path: Path) -> None:
    done = _devcluster("start", directory=tmp_path / ("long" * 20))
    assert done.returncode == 1
    assert "sockets need at most 60" in done.stderr
