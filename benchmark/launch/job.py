"""One run from start or from its last checkpoint to result.json: what a local process and a cluster job both execute.

On the CPU a run uses one thread: runs are small there, several go side by side, and the result does not depend on how
many cores the machine has. A run that is stopped at any moment and started again gives the same result.json, bit for
bit on the same kind of CPU, because each epoch draws its random numbers from the seed and the epoch alone, and a
checkpoint within a long epoch has the generators' states. For the same reason a run that differs from another in its
views alone evaluates what that one has trained, with the result that it would have come to by itself.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import pickle
import signal
import socket
import sys
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from benchmark.config.run import RunConfig
from benchmark.data.datasets import Split, open_split
from benchmark.data.device_transforms import on_device
from benchmark.data.errors import DataError
from benchmark.data.flow.extracted import FlowSplit, interval_of, open_flow
from benchmark.data.indexing.census import known_damage
from benchmark.data.loader import ClipDataset, Item, epoch_order, make_loader
from benchmark.launch.during import Keeper, Orphaned, Reporter, Unreadable, log
from benchmark.launch.initial_weights import digest_of, start_from
from benchmark.models.build import build_model
from benchmark.models.weights import PretrainedWeightsError
from benchmark.runs.atomic import write_atomic, write_json
from benchmark.runs.directory import (
    EXIT_CLAIMED,
    RESIDUAL,
    ClaimedError,
    DamagedRunError,
    RunDir,
    RunDirError,
    StaleRunError,
)
from benchmark.runs.key import start_key
from benchmark.runs.metrics import all_metrics
from benchmark.runs.provenance import code_state, instruction_set, processor, versions
from benchmark.train import checkpoint
from benchmark.train.loop import EpochState, EpochSummary, Predicted, predict, train_epoch
from benchmark.train.optim import freeze_all_but_first_bn, make_optimizer

EVALUATION_BYTES = 2**26
"""Pixels of the views that go through the network at once, and of each batch that a loader process prepares."""
NAMED = 5
"""Clips that an error names."""


class UnreadableError(Exception):
    """Evaluation clips cannot be read, and the protocol refuses to count them as wrong."""


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
        if run.result is not None:
            return run.result
        host = {"host": socket.gethostname(), "pid": os.getpid(), "job": os.environ.get("SLURM_JOB_ID")}
        run.set_status(state="running", error=None, beat=time.time(), **host)
        try:
            result = _train_and_evaluate(run, run.config, torch.device(device or _best_device()), workers, parent)
        except (KeyboardInterrupt, Orphaned):
            _try_status(run, state="interrupted")
            raise
        except SystemExit:  # how submitit ends a job that it has put back into the queue
            _try_status(run, state="queued", queued=time.time())
            raise
        except BaseException as error:
            _try_status(run, state="failed", error=f"{type(error).__name__}: {error}")
            raise
        run.set_status(state="done")
        return result


def _try_status(run: RunDir, **values: Any) -> None:
    """Record how the run ended; on a full disk the dead process id has to tell it."""
    with contextlib.suppress(OSError):
        run.set_status(**values)


def _best_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _prepare_torch(device: torch.device) -> None:
    if device.type == "cpu":
        torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True, warn_only=device.type != "cpu")


def _epoch_seed(config: RunConfig, epoch: int) -> int:
    return int(np.random.SeedSequence([config.seed, epoch]).generate_state(1)[0])


def _order(config: RunConfig, clips: int, epoch: int) -> Sequence[int]:
    """The epoch's order without the last, smaller batch, as in the released code."""
    order = epoch_order(clips, config.seed, epoch).tolist()
    whole = clips - clips % config.train.batch_size
    return order[:whole] if whole else order


@dataclass(frozen=True)
class _Clips:
    """How a run reads its clips: with `workers` processes, cut by them or, `late`, on the device."""

    config: RunConfig
    device: torch.device
    workers: int
    late: bool

    def of(self, split: Split, mode: Literal["train", "eval"], flow: FlowSplit | None) -> ClipDataset:
        """The clips of a split as the run's network wants them."""
        config = self.config
        frames = config.model.frames_per_segment
        return ClipDataset(split, config.data, config.eval, frames, config.seed, mode, flow, self.late)

    def batches(self, dataset: ClipDataset, size: int, order: Sequence[int]) -> Iterable[Item]:
        """Batches of clips in an order."""
        return make_loader(dataset, size, order, self.workers, self.device)


def _evaluate(
    model: torch.nn.Module, clips: _Clips, dataset: ClipDataset, report: Reporter, unreadable: Unreadable
) -> Predicted:
    """What the network makes of every clip of a split, over its views.

    As many clips go through it at once as in training, fewer where their views take too much memory.
    """
    config = clips.config
    at_once = min(config.train.batch_size, max(1, EVALUATION_BYTES // math.prod(dataset.shape)))
    batches = unreadable.noted(dataset.split, clips.batches(dataset, at_once, range(len(dataset))))
    return predict(
        model,
        batches,
        len(dataset),
        config.data.num_classes,
        math.ceil(len(dataset) / at_once),
        config.train.precision,
        report,
        config.data.normalisation,
        config.eval.average,
    )


def _train_and_evaluate(
    run: RunDir, config: RunConfig, device: torch.device, workers: int, parent: int | None
) -> dict[str, Any]:
    started, late = time.monotonic(), on_device()
    _prepare_torch(device)
    train_split, val_split = open_split(config.data.dataset, "train"), open_split(config.data.dataset, "val")
    if config.eval.unreadable == "refuse":
        damaged = known_damage(val_split)
        _refuse_unreadable(val_split, [not clip.frames or clip.id in damaged for clip in val_split.clips])
    train_flow = val_flow = None
    if config.modality == "flow":
        train_flow, val_flow = (open_flow(split, interval_of(config.model)) for split in (train_split, val_split))
    torch.manual_seed(config.seed)
    model = build_model(config.model, config.data).to(device)
    for parameter in model.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    if config.train.partial_bn:
        freeze_all_but_first_bn(model)
    optimizer = make_optimizer(model, config.train)
    fingerprints = {"train": train_split.fingerprint, "val": val_split.fingerprint}
    if train_flow is not None and val_flow is not None:
        fingerprints |= {"train_flow": train_flow.fingerprint, "val_flow": val_flow.fingerprint}
    if config.representation == "flownet":
        fingerprints["flownet"] = digest_of(model.get_submodule("representation").state_dict())
    other = run.trained_by(config)
    if start_key(config) is not None:
        fingerprints["start"] = _starting_point(run, config, model, fingerprints, other)
    transforms = "device" if late and config.modality != "flow" else "loader"
    env = _begin_env(run, device, fingerprints, transforms)
    env["clips"] = {split.split: {"found": len(split), "missing": split.missing} for split in (train_split, val_split)}
    history, within = _restore(model, optimizer, run)
    for left in ("trained_by", "training"):
        env.pop(left, None)
    if not history and within is None and other is not None and other.env.get("fingerprints") == fingerprints:
        history, _ = _restore(model, optimizer, other)
        env["trained_by"] = other.key
        env["training"] = {name: other.env.get(name) for name in ("starts", "versions", "device", "seconds")}
        log(f"evaluating the network that {other.path} has trained")
    _write_metrics(run, history)  # a kill may have come between the checkpoint and its line
    report = Reporter(run, config.train.epochs, parent)
    clips = _Clips(config, device, workers, late)
    dataset = clips.of(train_split, "train", train_flow)

    def save(within: EpochState | None = None) -> None:
        checkpoint.save(model, optimizer, history, write_atomic, run.path / "checkpoint.pt", within)
        _write_env(run, env, started)

    recipe, unreadable = config.train, Unreadable()
    for epoch in range(len(history), recipe.epochs):
        report.start("train", epoch)
        torch.manual_seed(_epoch_seed(config, epoch))
        dataset.set_epoch(epoch)
        order = _order(config, len(dataset), epoch)
        state, steps = within or EpochState(), math.ceil(len(order) / recipe.batch_size)
        if within is not None:
            log(f"epoch {epoch + 1}/{recipe.epochs} goes on after step {state.step} of {steps}")
        within = None
        to_come = order[state.step * recipe.batch_size :]
        batches = unreadable.noted(train_split, clips.batches(dataset, recipe.clips_at_once, to_come))
        on_step, normalisation = Keeper(report, save, state, device), config.data.normalisation
        summary = train_epoch(model, optimizer, batches, steps, epoch, recipe, on_step, normalisation, state)
        history.append(summary)
        save()
        _write_metrics(run, history)
        log(f"epoch {epoch + 1}/{recipe.epochs}: loss {summary.loss:.3f}, training top-1 {summary.top1:.1f}")
    if "trained_by" not in env:
        run.record_training(config)
        env["weights"] = digest_of(model.state_dict())
    report.start("evaluate", recipe.epochs)
    predicted = _evaluate(model, clips, clips.of(val_split, "eval", val_flow), report, unreadable)
    if config.eval.unreadable == "refuse":
        _refuse_unreadable(val_split, ~predicted.readable)
    result = _write_result(run, config, val_split, predicted, history)
    result |= {"missing_clips": val_split.missing, "missing_training_clips": train_split.missing}
    _write_env(run, env, started)
    write_json(run.path / "result.json", result)
    return result


def _restore(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer, run: RunDir
) -> tuple[list[EpochSummary], EpochState | None]:
    """The state of a run's checkpoint, put into model and optimiser. Raises DamagedRunError if it cannot be."""
    path = run.path / "checkpoint.pt"
    try:
        return checkpoint.load(model, optimizer, path)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, KeyError, TypeError, ValueError, EOFError, OSError, pickle.UnpicklingError) as error:
        what = (str(error) or type(error).__name__).splitlines()[0]
        raise DamagedRunError(f"{path} is damaged ({what}); remove it to train from the start") from error


def _starting_point(
    run: RunDir, config: RunConfig, model: torch.nn.Module, data: Mapping[str, str], other: RunDir | None
) -> str:
    """What distinguishes the weights that a run starts from. They are loaded, unless a checkpoint goes on from them.

    `data`: fingerprints of everything else. `other`: the run that has trained what this one trains.
    """
    begun = run.env.get("fingerprints", {}) if (run.path / "checkpoint.pt").is_file() else {}
    if not begun and other is not None:
        theirs = other.env.get("fingerprints", {})
        begun = theirs if {name: theirs.get(name) for name in data} == data else {}
    key = start_key(config)
    assert key is not None
    return begun.get("start") or start_from(model, run, key)


def _refuse_unreadable(split: Split, unreadable: Sequence[bool] | np.ndarray) -> None:
    """Before training, of what index and census know to be damaged, and again after the evaluation, of what it found.

    Raises:
        UnreadableError: with the number of clips, and the first of them by id.
    """
    ids = [clip.id for clip, bad in zip(split.clips, unreadable, strict=True) if bad]
    name, wrong = f"{split.name}/{split.split}", []
    if ids:
        named = ", ".join(ids[:NAMED]) + (", ..." if len(ids) > NAMED else "")
        wrong.append(f"{len(ids)} of {len(split)} clips of {name} cannot be read ({named})")
    if split.missing:
        wrong.append(f"{split.missing} of the clips of {name} are not on this disk (`data check` names them)")
    if wrong:
        raise UnreadableError(
            f"{', and '.join(wrong)}, and eval.unreadable is refuse: copy them again and run:"
            f" python -m benchmark data prepare {split.name}"
        )


def _write_metrics(run: RunDir, history: list[EpochSummary]) -> None:
    write_atomic(run.path / "metrics.jsonl", "".join(json.dumps(asdict(summary)) + "\n" for summary in history))


def _write_env(run: RunDir, env: dict[str, Any], started: float) -> None:
    """env.json with the time of all starts so far, up to their last finished epoch."""
    seconds = round(env["seconds"] + time.monotonic() - started, 1)
    write_json(run.path / "env.json", {**env, "seconds": seconds})


def _begin_env(run: RunDir, device: torch.device, fingerprints: dict[str, str], transforms: str) -> dict[str, Any]:
    """Record this start; a start after the first is a resume, and what holds for each start is kept.

    Raises:
        StaleRunError: the data are others than at the first start.
    """
    before = run.env
    if before.get("fingerprints", fingerprints) != fingerprints:
        raise StaleRunError(
            f"the data changed since {run.path} was begun, or the weights that it starts from; remove the folder to run"
            " it on the new ones"
        )
    at = datetime.now(UTC).isoformat(timespec="seconds")
    now = {"at": at, **code_state(), "transforms": transforms, "cpu": instruction_set()}
    starts = [*before.get("starts", []), now]
    env = {
        **before,
        "starts": starts,
        "resumes": len(starts) - 1,
        "versions": versions(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else processor(),
        "fingerprints": fingerprints,
        "seconds": before.get("seconds", 0.0),
    }
    write_json(run.path / "env.json", env)
    return env


def _write_result(
    run: RunDir,
    config: RunConfig,
    split: Split,
    predicted: Predicted,
    history: list[EpochSummary],
) -> dict[str, Any]:
    ids = np.array([clip.id for clip in split.clips])
    labels = np.array([clip.label for clip in split.clips])
    order = np.argsort(ids, kind="stable")
    buffer = io.BytesIO()
    metrics = all_metrics(predicted.logits[order], labels[order])
    arrays: dict[str, Any] = {"ids": ids[order], "labels": labels[order], "logits": predicted.logits[order]}
    if predicted.residual is not None:
        metrics[RESIDUAL] = arrays[RESIDUAL] = predicted.residual
    np.savez_compressed(buffer, **arrays)
    write_atomic(run.path / "predictions.npz", buffer.getvalue())
    return {
        "key": run.key,
        "seed": config.seed,
        "epochs": len(history),
        "metrics": metrics,
        "num_clips": len(labels),
        "unreadable_clips": int((~predicted.readable).sum()),
        "unreadable_training_clips": max(summary.unreadable for summary in history),
        "train_loss": history[-1].loss,
    }


def _workers() -> int:
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
        execute(run, device, _workers(), int(parent) if parent else None)
    except ClaimedError as error:
        log(str(error))
        return EXIT_CLAIMED
    except (KeyboardInterrupt, Orphaned):
        log("interrupted")
        return 130
    except (DataError, PretrainedWeightsError, RunDirError, UnreadableError) as error:
        log(f"{type(error).__name__}: {error}")  # says what to do; where in the code it was noticed does not help
        return 1
    except Exception:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
