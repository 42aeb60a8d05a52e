"""The run directory: the only record of a run, and the only thing that reports read. Imports without torch.

`runs/<key>/` holds config.json (what was run), status.json (how far it is), lock (held by the process that runs it),
metrics.jsonl, checkpoint.pt (not where another run has trained the network), predictions.npz, env.json, log.txt, and
result.json, which is written last: a run counts if and only if result.json is there. All but the log are replaced
atomically, so a process killed at any moment leaves either the old file or the new one. `runs/.trained/` says which run
has trained what.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmark.config.run import RunConfig
from benchmark.runs.atomic import write_atomic, write_json
from benchmark.runs.key import dotted, training_key

State = Literal["done", "running", "queued", "failed", "interrupted", "pending"]
STATES: tuple[State, ...] = ("done", "running", "queued", "failed", "interrupted", "pending")
_NUMBER = (int, float)
ENV_TYPES: dict[str, type | tuple[type, ...]] = {
    **{"starts": list, "fingerprints": dict, "versions": dict, "clips": dict, "training": dict, "trained_by": str},
    **{"seconds": _NUMBER, "resumes": int, "weights": str},
}
STATUS_TYPES: dict[str, type | tuple[type, ...]] = {
    **{
        "state": str,
        "phase": str,
        "host": (str, type(None)),
        "error": (str, type(None)),
        "job": (str, int, type(None)),
    },
    **{"pid": (int, type(None)), "beat": _NUMBER, "queued": _NUMBER},
    **{"epoch": int, "epochs": int, "step": int, "steps": int},
}
BEAT_SECONDS = 1.0
SILENT_SECONDS = 120.0
RESIDUAL = "residual"
"""Name of the projection loss among a run's metrics, and beside its predictions."""
EXIT_CLAIMED = 75
"""Exit status of a process that finds its run held by another one."""


class RunDirError(Exception):
    """A run directory cannot be used as it is; the message says what to do."""


class StaleRunError(RunDirError):
    """A run directory holds a run of another config than the one that now has its key."""


class DamagedRunError(RunDirError):
    """A file of a run directory is not as a run has written it: cut, edited, gone, or another run's."""


class ClaimedError(Exception):
    """Another live process holds the run."""


def runs_root() -> Path:
    """Folder of all run directories: BENCHMARK_RUNS, or `runs/` of the working folder."""
    return Path(os.environ.get("BENCHMARK_RUNS") or "runs")


def read_json(path: Path) -> dict[str, Any] | None:
    """Content of a JSON file, or None where there is none.

    Raises:
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
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(path, str(error)) from None
    return content


def damaged(path: Path, what: str) -> DamagedRunError:
    """The error of a file of a run directory that is not as a run has written it, with what to do about it."""
    return DamagedRunError(f"{path} is damaged ({what}); remove {path.parent} to run it again")


@dataclass(frozen=True)
class RunDir:
    """One run's folder, named by its key."""

    path: Path

    @classmethod
    def of(cls, key: str) -> RunDir:
        """The folder of the run with this key, whether or not it exists yet."""
        return cls(runs_root() / key)

    @property
    def key(self) -> str:
        """The run key."""
        return self.path.name

    @property
    def config(self) -> RunConfig:
        """The config that the folder was made for.

        Raises:
            DamagedRunError: config.json is gone, or not one.
        """
        path = self.path / "config.json"
        try:
            return RunConfig.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise damaged(path, "it is gone") from None
        except (OSError, ValueError) as error:
            raise damaged(path, str(error).splitlines()[0]) from None

    @property
    def result(self) -> dict[str, Any] | None:
        """result.json, or None while the run does not count.

        Raises:
            DamagedRunError: it is damaged, or another run's.
        """
        path = self.path / "result.json"
        result = read_json(path)
        if result is None:
            return None
        if result.get("key") != self.key:
            raise damaged(path, f"it is of run {result.get('key')}")
        if not isinstance(metrics := result.get("metrics"), dict) or not all(map(_is_number, metrics.values())):
            raise damaged(path, "its metrics are not numbers")
        return result

    @property
    def env(self) -> dict[str, Any]:
        """env.json: commit, versions, hardware, time taken, resumes; empty before the first start.

        It decides nothing: what is not of the type that a run writes is left out.
        """
        return _typed(_readable(self.path / "env.json"), ENV_TYPES)

    @property
    def status(self) -> dict[str, Any]:
        """status.json: state, epoch, step, host, pid, job; empty before the run was launched.

        What is not of the type that a run writes is left out.
        """
        return _typed(_readable(self.path / "status.json"), STATUS_TYPES)

    def set_status(self, **values: Any) -> None:
        """Replace status.json, keeping the values that are not given."""
        write_json(self.path / "status.json", {**self.status, **values})

    def prepare(self, config: RunConfig) -> None:
        """Make the folder and write config.json, or check that the folder holds this very config.

        Raises:
            StaleRunError: it holds another one.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        self.check(config)
        if not (self.path / "config.json").exists():
            write_json(self.path / "config.json", config.model_dump(mode="json"))

    def check(self, config: RunConfig) -> None:
        """Refuse a folder whose config differs from the one that has its key now: a default changed under it.

        A key that the stored config lacks is a field added since; its default must reproduce what the code did before.

        Raises:
            StaleRunError: with the settings that differ.
            DamagedRunError: config.json is damaged, or gone from beside a result.
        """
        stored = read_json(self.path / "config.json")
        if stored is None:
            if (self.path / "result.json").exists():
                raise damaged(self.path / "config.json", "it is gone")
            return
        if not all(isinstance(stored.get(part), dict) for part in ("model", "data", "train", "eval")):
            raise damaged(self.path / "config.json", "it is no config")
        old, new = dotted(stored), dotted(config.model_dump(mode="json"))
        differing = [
            f"    {key}: {value!r} when it was run, {new[key]!r} now" if key in new else f"    {key}: removed since"
            for key, value in old.items()
            if key not in new or new[key] != value
        ]
        if differing:
            raise StaleRunError(
                f"{self.path} was run with other defaults than today's:\n" + "\n".join(differing) + "\n"
                "  Restore the default, or set the new value in the spec (a new run), or remove the folder."
            )

    @property
    def checkpoint(self) -> Path:
        """Where the weights are: here, or in the folder of the run that has trained the network for this one."""
        return self.path.parent / str(self.env.get("trained_by", self.key)) / "checkpoint.pt"

    def record_training(self, config: RunConfig) -> None:
        """Note that the checkpoint is of the last epoch, for runs that train alike (`trained_by`)."""
        path = self._training(config)
        path.parent.mkdir(exist_ok=True)
        write_atomic(path, self.key)

    def trained_by(self, config: RunConfig) -> RunDir | None:
        """The run beside this one that has trained what this one's config trains, if it is still there.

        Not a run under other defaults than today's, whatever its key, and not one that is being trained anew.
        """
        try:
            run = RunDir(self.path.parent / self._training(config).read_text())
            same_views = config.model_copy(update={"eval": run.config.eval, "seed": run.config.seed})
            run.check(same_views)
            epochs = len((run.path / "metrics.jsonl").read_text().splitlines())
        except (OSError, ValueError, RunDirError):
            return None
        return run if epochs == config.train.epochs and (run.path / "checkpoint.pt").is_file() else None

    def trained(self, key: str) -> RunDir | None:
        """The run beside this one that has the weights of a training, by its key (`training_key`).

        One that was copied here is found by its config.
        """
        root = self.path.parent
        noted = root / ".trained" / key
        named = [root / noted.read_text()] if noted.is_file() else []
        for folder in [*named, *(sorted(root.iterdir()) if root.is_dir() else [])]:
            with contextlib.suppress(OSError, ValueError, RunDirError):
                if (folder / "checkpoint.pt").is_file() and training_key(RunDir(folder).config) == key:
                    return RunDir(folder)
        return None

    def _training(self, config: RunConfig) -> Path:
        return self.path.parent / ".trained" / training_key(config)

    @property
    def state(self) -> State:
        """What the run is doing, decided from its own files first."""
        if (self.path / "result.json").exists():
            return "done"
        status = self.status
        state: State = status.get("state", "pending")
        if state == "done":  # its result is gone: it does not count, and goes on from its checkpoint
            return "interrupted"
        if state == "running" and not self._alive(status):
            return "interrupted"
        return state

    def _alive(self, status: dict[str, Any]) -> bool:
        if status.get("host") == socket.gethostname() and not Path(f"/proc/{status.get('pid')}").exists():
            return False
        return time.time() - status.get("beat", 0) < SILENT_SECONDS

    @contextlib.contextmanager
    def claim(self) -> Iterator[None]:
        """Hold the run: no two processes train it at once. The lock goes with the process, however it ends.

        Raises:
            ClaimedError: another process holds it.
        """
        with (self.path / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                status = self.status
                holder = f"process {status.get('pid')} on {status.get('host')}"
                raise ClaimedError(f"{self.path} is being run by {holder}") from None
            except OSError as error:
                if error.errno not in (errno.ENOTSUP, errno.ENOLCK):
                    raise
                if self.state == "running":  # a file system without locks: the heartbeat has to do
                    raise ClaimedError(f"{self.path} is being run by {self.status.get('host')}") from None
            for name in ("checkpoint.pt", "predictions.npz"):
                for left in self.path.glob(f".{name}.*"):  # half-written by a killed process
                    left.unlink(missing_ok=True)
            yield


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _typed(values: dict[str, Any], types: Mapping[str, type | tuple[type, ...]]) -> dict[str, Any]:
    kept: dict[str, Any] = {
        name: value for name, value in values.items() if name not in types or isinstance(value, types[name])
    }
    if kept.get("state", "pending") not in STATES:
        del kept["state"]
    if not all(isinstance(start, dict) for start in kept.get("starts", ())):
        del kept["starts"]
    if not all(isinstance(value, str) for value in kept.get("fingerprints", {}).values()):
        del kept["fingerprints"]
    return kept


def _readable(path: Path) -> dict[str, Any]:
    """Content of a file that decides nothing: a damaged one is as good as none."""
    with contextlib.suppress(DamagedRunError):
        return read_json(path) or {}
    return {}
