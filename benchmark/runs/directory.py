"""The run directory: the only record of a run, and the only thing that reports read.

`runs/<key>/` holds config.json (what was run), status.json (how far it is), lock (held by the process that runs it),
metrics.jsonl, checkpoint.pt (not where another run has trained the network), predictions.npz, env.json, code.json (the
code that makes it), log.txt, and result.json, which is written last: a run counts if and only if result.json is there.
All but the log are replaced atomically, so a process killed at any moment leaves either the old file or the new one.
While a run is made again, `replaced/` holds the files of the one before, until the new one is done.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.config.run import RunConfig
from benchmark.runs.atomic import write_json
from benchmark.runs.errors import ClaimedError, damaged
from benchmark.runs.json_files import ENV_TYPES, STATUS_TYPES, State, read_json, read_typed
from benchmark.runs.key import refuse_other_defaults
from benchmark.runs.sharing import not_writable, owner_of, unreadable, writing

BEAT_SECONDS = 1.0
SILENT_SECONDS = 120.0
RESIDUAL = "residual"
"""Name of the projection loss among a run's metrics, and beside its predictions."""
READ = ("config.json", "status.json", "result.json", "env.json", "predictions.npz")
"""What others than the run's own process read."""
WRITTEN = ("lock", "log.txt")
"""What a run goes on with; all other files it replaces."""
STAYS = ("config.json", "lock", "log.txt")
"""What a run that is made again keeps."""
REPLACED = "replaced"
EXIT_CLAIMED = 75
"""Exit status of a process that finds its run held by another one."""


def runs_root() -> Path:
    """Folder of all run directories: BENCHMARK_RUNS, or `runs/` of the working folder."""
    return Path(os.environ.get("BENCHMARK_RUNS") or "runs")


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
        return read_typed(self.path / "env.json", ENV_TYPES)

    @property
    def status(self) -> dict[str, Any]:
        """status.json: state, epoch, step, host, pid, job; empty before the run was launched.

        What is not of the type that a run writes is left out.
        """
        return read_typed(self.path / "status.json", STATUS_TYPES)

    def set_status(self, **values: Any) -> None:
        """Replace status.json, keeping the values that are not given.

        Raises:
            NotWritableRunError: this user may not.
        """
        with writing(self.path, self.path.parent):
            write_json(self.path / "status.json", {**self.status, **values})

    @property
    def owner(self) -> str | None:
        """Who has recorded its status last, else whose folder it is; None where there is none."""
        return owner_of(self.path / "status.json") or owner_of(self.path)

    @property
    def holder(self) -> str:
        """Who runs it, or did so last: `process 123 on node7, of alice`, or `job 68_3 on node7, of alice`."""
        status = self.status
        who = f"job {status['job']}" if status.get("job") else f"process {status.get('pid', 'unknown')}"
        return f"{who} on {status.get('host') or 'a host unknown'}, of {self.owner or 'someone'}"

    @property
    def held(self) -> bool:
        """Whether a live process has it: its heart beats, or, where that is silent for long, the lock is taken."""
        if self.state == "running":
            return True
        try:
            with self.claim():
                return False
        except ClaimedError:
            return True

    @property
    def unreadable(self) -> Path | None:
        """What of the folder this user may not read: the folder itself, or one of the files that reports read."""
        try:
            names = {path.name for path in self.path.iterdir()}
        except (FileNotFoundError, NotADirectoryError):
            return None
        except PermissionError:
            return self.path
        paths = (self.path / name for name in READ if name in names)
        return next((path for path in paths if not os.access(path, os.R_OK)), None)

    def prepare(self, config: RunConfig) -> None:
        """Make the folder and write config.json, or check that the folder holds this very config.

        Raises:
            StaleRunError: it holds another one.
            UnreadableRunError: this user may not read it.
            NotWritableRunError: this user may not run it.
        """
        with writing(self.path, self.path.parent):
            self.path.mkdir(parents=True, exist_ok=True)
        if path := self.unreadable:
            raise unreadable(path)
        self.check(config)
        for path in (self.path, self.path.parent / ".trained", *map(self.path.joinpath, WRITTEN)):
            if path.exists() and not os.access(path, os.W_OK):
                raise not_writable(path, self.path.parent)
        if not (self.path / "config.json").exists():
            write_json(self.path / "config.json", config.model_dump(mode="json"))

    def set_aside(self) -> None:
        """Put the files of a run into `replaced/`, if it is finished, so that it can be made again.

        Raises:
            ClaimedError: another process holds it.
            NotWritableRunError: this user may not.
        """
        with self.claim(), writing(self.path, self.path.parent):
            if not (self.path / "result.json").exists():
                return
            (self.path / REPLACED).mkdir(exist_ok=True)
            shutil.copy(self.path / "config.json", self.path / REPLACED)
            names = sorted(path.name for path in self.path.iterdir() if path.name not in (*STAYS, REPLACED))
            # First what makes it count: whatever is left behind then is an unfinished run's.
            for name in sorted(names, key=lambda name: name != "result.json"):
                (self.path / name).replace(self.path / REPLACED / name)

    def drop_replaced(self) -> None:
        """Remove the files of the run before this one, which is done."""
        shutil.rmtree(self.path / REPLACED, ignore_errors=True)

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
        refuse_other_defaults(stored, config, str(self.path))

    @property
    def checkpoint(self) -> Path:
        """Where the weights are: here, or in the folder of the run that has trained the network for this one."""
        return self.path.parent / str(self.env.get("trained_by", self.key)) / "checkpoint.pt"

    @property
    def state(self) -> State:
        """What the run is doing, as its own files say."""
        if self.unreadable:
            return "unreadable"
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
            NotWritableRunError: this user may not.
        """
        with writing(self.path / "lock", self.path.parent):
            opened = (self.path / "lock").open("a")
        with opened as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ClaimedError(f"{self.path} is being run by {self.holder}") from None
            except OSError as error:
                if error.errno not in (errno.ENOTSUP, errno.ENOLCK):
                    raise
                if self.state == "running":  # a file system without locks: the heartbeat has to do
                    raise ClaimedError(f"{self.path} is being run by {self.holder}") from None
            for name in ("checkpoint.pt", "predictions.npz"):
                for left in self.path.glob(f".{name}.*"):  # half-written by a killed process
                    left.unlink(missing_ok=True)
            yield


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
