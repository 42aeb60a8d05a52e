"""One run from start or from its last checkpoint to result.json: what a local process and a cluster job both execute.

A run that is stopped at any moment and started again gives the same result.json, bit for bit on the same kind of CPU.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
import traceback
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmark.config.run import RunConfig
from benchmark.data.errors import DataError
from benchmark.data.watchdog import LoaderError
from benchmark.evaluate.views import NonFiniteError
from benchmark.launch.clips import RunClips
from benchmark.launch.env_file import EnvFile
from benchmark.launch.evaluation import evaluate
from benchmark.launch.heartbeat import Heartbeat, ParentGone
from benchmark.launch.initial_weights import initial_network, take_made_weights
from benchmark.launch.log import log
from benchmark.launch.queue import this_job
from benchmark.launch.recording import forget_training_by_other_code, record_code_and_behaviour
from benchmark.launch.result import result_of, write_predictions
from benchmark.launch.training import Training, forget_checkpoint
from benchmark.launch.unreadable import UnreadableError, refuse_unreadable
from benchmark.launch.validation import Validation
from benchmark.models.check import NetworkError
from benchmark.models.weights import PretrainedWeightsError
from benchmark.runs.atomic import write_json
from benchmark.runs.directory import EXIT_CLAIMED, RunDir
from benchmark.runs.disk_errors import what_to_do
from benchmark.runs.errors import ClaimedError, RunDirError
from benchmark.runs.trainings import trained_by
from benchmark.train.finite import DivergedError
from benchmark.train.loop import NoClipsError
from benchmark.train.resumable import resumes_alike

TOLD = (
    *(DataError, DivergedError, LoaderError, NetworkError, NoClipsError, NonFiniteError),
    *(PretrainedWeightsError, RunDirError, UnreadableError),
)
"""Errors whose message says what is wrong."""


def execute(run: RunDir, device: str | None = None, workers: int = 0, parent: int | None = None) -> dict[str, Any]:
    """Bring a prepared run directory to its result.json and return it; a finished run returns at once.

    Args:
        run: a folder with config.json.
        device: `cpu`, `cuda`, ...; default: the accelerator if there is one.
        workers: loader processes; 0 loads in this one.
        parent: stop when this is no longer the parent process.

    Raises:
        ClaimedError: another process is running it.
    """
    with run.claim():
        if (result := run.result) is not None:
            run.drop_replaced()
            log(f"{run.path} is done already")
            return result
        host = {"host": socket.gethostname(), "pid": os.getpid(), "job": this_job()}
        run.set_status(state="running", error=None, beat=time.time(), **host)
        try:
            result = _train_and_evaluate(run, run.config, torch.device(device or best_device()), workers, parent)
        except (KeyboardInterrupt, ParentGone):
            _try_status(run, state="interrupted")
            raise
        except SystemExit:  # how submitit ends a job that it has put back into the queue
            _try_status(run, state="queued", queued=time.time())
            raise
        except BaseException as error:
            _try_status(run, state="failed", error=f"{type(error).__name__}: {error}")
            raise
        run.set_status(state="done")
        run.drop_replaced()
        return result


def _try_status(run: RunDir, **values: Any) -> None:
    """Record how the run ended; on a full disk the dead process id has to tell it."""
    with contextlib.suppress(OSError):
        run.set_status(**values)


def best_device() -> str:
    """A GPU if there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def _train_and_evaluate(
    run: RunDir, config: RunConfig, device: torch.device, workers: int, parent: int | None
) -> dict[str, Any]:
    started, since = time.monotonic(), time.time()
    prepare_torch(device)
    clips = RunClips(config, device, workers)
    forget_training_by_other_code(run)
    build = partial(initial_network, config, device, clips.training.shape, clips.evaluation.shape[1:])
    model, sibling = build(), trained_by(run, config)
    # The networks of this package keep nothing outside.
    if config.entries and not resumes_alike(build, clips.training.shape, config, device):
        forget_checkpoint(run)
        sibling = None
    fingerprints = clips.fingerprints | take_made_weights(model, run, config, clips.fingerprints, sibling)
    env = EnvFile(run, device, clips, fingerprints, started)
    training = Training(run, config, model, device, env)
    # The sibling's network is the one that this run would come to by itself, if its data are the same.
    same_data = sibling is not None and sibling.env.get("fingerprints") == fingerprints
    training.resume_or_take_over(sibling if same_data else None)
    heartbeat = Heartbeat(run, config.train.epochs, parent)
    heartbeat.enter("train", len(training.history))
    record_code_and_behaviour(run, config, device, training.taken_over_from, heartbeat, since)
    training.finish(clips, heartbeat, Validation(run, config, clips, heartbeat))
    heartbeat.enter("evaluate", config.train.epochs)
    predicted = evaluate(model, config, clips, heartbeat)
    if config.eval.unreadable == "refuse":  # again: now of what was found
        refuse_unreadable(clips.val, ~predicted.readable)
    metrics = write_predictions(run, clips, predicted)
    result = result_of(run, config, clips, predicted, metrics, training.history)
    env.write()
    write_json(run.path / "result.json", result)
    return result


def prepare_torch(device: torch.device) -> None:
    """Threads and determinism of a run."""
    if device.type == "cpu":
        # Runs are small there and several go side by side; and the result does not depend on the number of cores.
        torch.set_num_threads(1)
    # As torch.use_deterministic_algorithms, which sets the compiler's too, and imports it for that.
    torch.set_deterministic_debug_mode("error" if device.type == "cpu" else "warn")


def workers_asked() -> int:
    """Loader processes that BENCHMARK_WORKERS says. Raises DataError if it is no such number."""
    text = os.environ.get("BENCHMARK_WORKERS") or "0"
    if not text.isdecimal():
        raise DataError(f"BENCHMARK_WORKERS={text} is not a number of processes")
    return int(text)


def main(arguments: list[str]) -> int:
    """`python -m benchmark.launch.job FOLDER [DEVICE]`: run one folder; the exit status says how it ended."""
    run, parent = RunDir(Path(arguments[0])), os.environ.get("BENCHMARK_PARENT")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    device = arguments[1] if len(arguments) > 1 and arguments[1] else None
    try:
        execute(run, device, workers_asked(), int(parent) if parent else None)
    except ClaimedError as error:
        log(str(error))
        return EXIT_CLAIMED
    except (KeyboardInterrupt, ParentGone):
        log("interrupted")
        return 130
    except TOLD as error:
        log(f"{type(error).__name__}: {error}")  # says what to do; where in the code it was noticed does not help
        return 1
    except Exception as error:
        if isinstance(error, OSError) and (told := what_to_do(error)):
            log(told)
        else:
            traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
