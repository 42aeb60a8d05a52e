"""Validation while a run trains: a curve to look at, of which nothing is ever chosen.

Every N epochs (`run --validate-every N`, or BENCHMARK_VALIDATE_EVERY) the network as it then is predicts the validation
clips, over the run's views, and `validation.jsonl` gets a line. The result of the run stays that of its last epoch, to
the last bit: a copy is evaluated, and every epoch begins with random generators of its own.
"""

from __future__ import annotations

import copy
import json
import os

import numpy as np
import torch

from benchmark.config.run import RunConfig
from benchmark.launch.clips import RunClips
from benchmark.launch.evaluation import evaluate
from benchmark.launch.heartbeat import Heartbeat
from benchmark.launch.log import log
from benchmark.runs.atomic import write_atomic
from benchmark.runs.directory import RunDir
from benchmark.runs.metrics import top_k_accuracy
from benchmark.runs.validation import FILE, VALIDATE_EVERY, validation_curve


def validation_interval() -> int:
    """What VALIDATE_EVERY says; 0 where it is not set. Raises ValueError: it is no such number."""
    text = os.environ.get(VALIDATE_EVERY) or "0"
    if not text.isdecimal():
        raise ValueError(f"{VALIDATE_EVERY}={text} is not a number of epochs")
    return int(text)


class Validation:
    """Called after each epoch of a run's training."""

    def __init__(self, run: RunDir, config: RunConfig, clips: RunClips, heartbeat: Heartbeat) -> None:
        self._run, self._config, self._clips, self._heartbeat = run, config, clips, heartbeat
        self._every = validation_interval()

    def __call__(self, epochs: int, model: torch.nn.Module) -> None:
        """Validate a network after so many epochs, where that is due and not done; not after the last one.

        Args:
            epochs: That are finished.
            model: As it is then; it stays so.
        """
        if not self._every or epochs % self._every or epochs >= self._config.train.epochs:
            return
        lines = [line for line in validation_curve(self._run) if line["epoch"] != epochs - 1]
        self._heartbeat.enter("validate", epochs - 1)
        found = evaluate(copy.deepcopy(model), self._config, self._clips, self._heartbeat)
        labels = np.array([clip.label for clip in self._clips.val.clips])
        line = {"epoch": epochs - 1} | {f"top{k}": top_k_accuracy(found.logits, labels, k) for k in (1, 5)}
        lines = sorted([*lines, line], key=lambda one: one["epoch"])
        write_atomic(self._run.path / FILE, "".join(json.dumps(one) + "\n" for one in lines))
        log(f"epoch {epochs}/{self._config.train.epochs}: validation top-1 {line['top1']:.1f} (a curve, no result)")
