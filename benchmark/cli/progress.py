"""Progress of runs: bars on a terminal, plain lines elsewhere, both read from the run directories."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from benchmark.cli.text import duration
from benchmark.launch.local import Outcome
from benchmark.runs.directory import RunDir

PLAIN_EVERY_SECONDS = 30.0


class Steps(Protocol):
    """Advance a piece of work: how much is done, of how much."""

    def __call__(self, done: int, total: int) -> None: ...  # noqa: D102


def fraction_done(run: RunDir) -> float:
    """Share of the run's work that is behind it, from its status file."""
    found = run.status
    epochs = found.get("epochs", 0)
    if not epochs:
        return 0.0
    within = found.get("step", 0) / max(found.get("steps", 1), 1)
    if found.get("phase") == "evaluate":
        return (epochs + 0.5 * within) / (epochs + 0.5)
    if found.get("phase") == "validate":  # between two epochs
        return float((found.get("epoch", 0) + 1) / (epochs + 0.5))
    return (found.get("epoch", 0) + within) / (epochs + 0.5)


@contextmanager
def steps(title: str) -> Iterator[Steps]:
    """A bar for one piece of work; without a terminal, one line at its start and one at its end."""
    if sys.stderr.isatty():
        with _bars() as bars:
            task = bars.add_task(title, total=None)
            yield lambda done, total: bars.update(task, completed=done, total=total)
        return
    started, last = time.monotonic(), [0, 0]

    def remember(done: int, total: int) -> None:
        if last == [0, 0]:
            print(f"{title} ...", file=sys.stderr, flush=True)
        last[:] = [done, total]

    yield remember
    if last != [0, 0]:
        print(f"{title}: {last[0]} of {last[1]}, {duration(time.monotonic() - started)}", file=sys.stderr, flush=True)


@contextmanager
def several_steps() -> Iterator[Callable[[str, int, int], None]]:
    """Callback for work in several pieces, each with a title: one bar after the other, or a line when a piece ends."""
    if sys.stderr.isatty():
        with _bars() as bars:
            tasks: dict[str, Any] = {}

            def advance(title: str, done: int, total: int) -> None:
                if title not in tasks:
                    tasks[title] = bars.add_task(title, total=total)
                bars.update(tasks[title], completed=done, total=total)

            yield advance
        return

    def say(title: str, done: int, total: int) -> None:
        if done == total:
            print(f"{title}: {done} clips", file=sys.stderr, flush=True)

    yield say


@contextmanager
def run_progress(names: dict[str, str], total: int) -> Iterator[Any]:
    """Callback for `run_all`: one bar per run in progress and one for all of them.

    Args:
        names: what to call each run, by key.
        total: number of runs to do.
    """
    if not sys.stderr.isatty():
        yield _PlainRuns(names, total)
        return
    with _bars() as bars:
        overall = bars.add_task(f"{total} run{'s'[: total != 1]}", total=float(total))
        tasks, told = dict[str, Any](), set[str]()

        def tick(active: list[RunDir], outcome: Outcome) -> None:
            for run in active:
                if run.key not in tasks:
                    tasks[run.key] = bars.add_task(names[run.key], total=1.0)
                bars.update(tasks[run.key], completed=fraction_done(run))
            for run in outcome.held:
                if run.key not in told:
                    told.add(run.key)
                    bars.console.print(_held(names[run.key], run), markup=False, highlight=False)
            for run in [*outcome.done, *outcome.failed, *outcome.elsewhere, *outcome.held]:
                if run.key in tasks:
                    bars.remove_task(tasks.pop(run.key))
            bars.update(overall, completed=outcome.ended + sum(fraction_done(run) for run in active))

        yield tick


def _held(name: str, run: RunDir) -> str:
    return f"{name} is being run by {run.holder}; it is waited for when nothing else is left"


class _PlainRuns:
    """A line when a run starts and when it ends, and every half minute how far the others are."""

    def __init__(self, names: dict[str, str], total: int):
        self.names, self.total, self.seen = names, total, set[str]()
        self.held, self.started = set[str](), dict[str, float]()
        self.last = time.monotonic()

    def __call__(self, active: list[RunDir], outcome: Outcome) -> None:
        for run in outcome.held:
            if run.key not in self.held:
                self.held.add(run.key)
                self._say(_held(self.names[run.key], run))
        for run in active:
            if run.key not in self.started:
                self.started[run.key] = time.monotonic()
                self._say(f"started  {self.names[run.key]}")
        for state, runs in (("finished", outcome.done), ("FAILED  ", outcome.failed)):
            for run in runs:
                if run.key not in self.seen:
                    self.seen.add(run.key)
                    took = time.monotonic() - self.started.get(run.key, time.monotonic())
                    self._say(f"{state} {self.names[run.key]} ({len(self.seen)} of {self.total}, {duration(took)})")
        if active and time.monotonic() - self.last > PLAIN_EVERY_SECONDS:
            self._say("; ".join(f"{self.names[run.key]} {100 * fraction_done(run):.0f} %" for run in active))

    def _say(self, text: str) -> None:
        self.last = time.monotonic()
        print(text, file=sys.stderr, flush=True)


def _bars() -> Any:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        refresh_per_second=4,
    )
