"""A loader that stalls or loses a process fails with an error that names the clip, instead of hanging."""

import gc
import multiprocessing
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import Dataset

from benchmark.config.run import DataConfig, EvalConfig
from benchmark.data.loader import ClipDataset, ClipLoader
from benchmark.data.now_reading import reading
from benchmark.data.split import Clip, Split
from benchmark.data.watchdog import LoaderError, WatchedLoader

DATA = DataConfig(dataset="motionpairs", size=56)


class Numbers(Dataset[torch.Tensor]):
    """The numbers from 0 to 7; what is to happen at 5 is given."""

    def __init__(self, at_five: str = "") -> None:
        self.at_five = at_five

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> torch.Tensor:
        with reading(index):
            if index == 5 and self.at_five == "sleep":
                time.sleep(600)
            if index == 5 and self.at_five == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if index == 5 and self.at_five == "raise":
                raise RuntimeError("five")
        return torch.tensor(index)


def _loader(at_five: str, workers: int, seconds: float | None = None) -> WatchedLoader[torch.Tensor]:
    return WatchedLoader(Numbers(at_five), lambda place: f"clip {place}.mp4", workers, seconds, batch_size=2)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_those_of_a_data_loader_every_time(workers: int) -> None:
    loader = _loader("", workers)
    assert len(loader) == 4
    for _ in range(2):
        assert [batch.tolist() for batch in loader] == [[0, 1], [2, 3], [4, 5], [6, 7]]


class Frozen(Numbers):
    """How many objects a garbage collection of this process leaves alone."""

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.tensor(gc.get_freeze_count())


def test_a_loader_process_does_not_collect_its_parents_objects_and_so_copies_none() -> None:
    assert next(iter(WatchedLoader(Frozen(), str, 1)))[0] > 10_000


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stalled_loader_dumps_stacks_and_fails_with_the_clip(workers: int, capfd: pytest.CaptureFixture[str]) -> None:
    batches, start = iter(_loader("sleep", workers, 1.0)), time.monotonic()
    assert [next(batches).tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(LoaderError, match=r"no batch for 1 s\. Being read: clip 5\.mp4 for \d s.*BENCHMARK_STALL_SEC"):
        next(batches)
    assert time.monotonic() - start < 8
    log = capfd.readouterr().err
    assert log.count("clip 5.mp4") == 1
    assert re.search(r"test_watchdog\.py\", line \d+ in __getitem__", log)
    assert f"stacks of process {os.getpid()}" in log
    assert log.count("stacks of loader process") == workers
    deadline = time.monotonic() + 5
    while multiprocessing.active_children() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not multiprocessing.active_children()


def test_time_between_batches_does_not_count() -> None:
    for number, _ in enumerate(_loader("", 0, 0.5)):
        time.sleep(1.0 if number == 1 else 0)
    for number, _ in enumerate(_loader("", 1, 2.0)):
        time.sleep(2.5 if number == 1 else 0)


def test_a_killed_worker_fails_at_once_with_its_clip() -> None:
    start = time.monotonic()
    with pytest.raises(LoaderError, match=r"(Killed|exited unexpectedly)\. Being read: clip 5\.mp4 for"):
        list(_loader("die", 2))
    assert time.monotonic() - start < 20  # and not after the 600 seconds of a stall


@pytest.mark.parametrize("after", [1, 4])
def test_a_death_between_two_batches_or_two_epochs_is_told_when_the_next_is_asked_for(after: int) -> None:
    loader = _loader("", 2)
    batches = iter(loader)
    for _ in range(after):
        next(batches)
    assert next(batches, None) is None or after < 4
    for process in multiprocessing.active_children():
        os.kill(process.pid or 0, signal.SIGKILL)
    time.sleep(0.3)  # where a network is trained: nothing is raised here
    with pytest.raises(LoaderError, match=r"Killed\. No clip was being read\. .* use fewer loader processes"):
        list(loader if after == 4 else batches)
    assert [batch.tolist() for batch in loader] == [[0, 1], [2, 3], [4, 5], [6, 7]]


@pytest.mark.parametrize("workers", [0, 2])
def test_errors_of_the_data_set_stay_what_they_are(workers: int) -> None:
    with pytest.raises(RuntimeError, match="five") as raised:
        list(_loader("raise", workers))
    assert not isinstance(raised.value, LoaderError)


def _blocked() -> None:
    # Signals do not reach a thread that blocks them; so it is with one call of a decoder that never returns.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    list(_loader("sleep", 0, 0.5))


def test_a_read_that_cannot_be_interrupted_ends_the_process(capfd: pytest.CaptureFixture[str]) -> None:
    process = multiprocessing.get_context("fork").Process(target=_blocked)
    process.start()
    process.join(30)
    assert process.exitcode == 1
    log = capfd.readouterr().err
    assert "clip 5.mp4" in log
    assert "cannot be interrupted" in log


@pytest.mark.parametrize("text", ["0", "-3", "ten", "nan"])
def test_an_impossible_limit_is_named(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCHMARK_STALL_SECONDS", text)
    with pytest.raises(ValueError, match=f"BENCHMARK_STALL_SECONDS={text}"):
        _loader("", 0)


class Slow(ClipDataset):
    """Clips of which the one at place 2 never arrives."""

    def _train(self, index: int) -> Any:
        if index == 2:
            time.sleep(600)
        return super()._train(index)


def _split(folder: Path) -> Split:
    clips = [Clip(f"{i:06d}", folder / f"{i:06d}.mp4", 32, 64, 80, 0) for i in range(4)]
    return Split("none", "train", clips, 2, "")


def test_the_loader_of_a_run_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCHMARK_STALL_SECONDS", "1")
    dataset = Slow(_split(tmp_path), DATA, EvalConfig(scale=64), 1, 0, "train")
    with pytest.raises(LoaderError, match=r"clip 000002 \(.*000002\.mp4\)"):
        list(ClipLoader(dataset, 2).batches(range(4)))


def test_an_error_that_is_no_decode_error_names_the_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = ClipDataset(_split(tmp_path), DATA, EvalConfig(scale=64), 1, 0, "train")
    assert not bool(dataset[3].readable)
    monkeypatch.setattr(ClipDataset, "_read", lambda *_: 1 // 0)
    with pytest.raises(ZeroDivisionError) as raised:
        dataset[3]
    assert "clip 000003" in raised.value.__notes__[0]
