"""Preparing, opening and checking a data set; batches that depend on seed, epoch and clip alone."""

import multiprocessing
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.config.run import DataConfig, EvalConfig
from benchmark.data.datasets import open_split, prepare
from benchmark.data.decode.video import read_frames
from benchmark.data.embedded.dataset import check_generated, split_folder
from benchmark.data.embedded.motionpairs import Setting
from benchmark.data.errors import DataError
from benchmark.data.loader import ClipDataset, ClipLoader, clip_streams, epoch_order

DATA, EVAL = DataConfig(dataset="motionpairs", size=56), EvalConfig(scale=64)


def clips(small: Setting, mode: str = "train", seed: int = 0, frames: int = 3, data: DataConfig = DATA) -> ClipDataset:
    split = open_split(small, "train" if mode == "train" else "val")
    return ClipDataset(split, data, EVAL, frames, seed, mode)  # type: ignore[arg-type]


def test_preparing_again_is_instant_and_the_store_equals_decoding(small: Setting) -> None:
    start = time.monotonic()
    prepare(small)
    assert time.monotonic() - start < 0.05
    split = open_split(small, "train")
    assert split.store is not None
    wanted = np.array([4, 0, 31])
    assert np.array_equal(split.read(3, wanted), read_frames(split.clips[3].path, wanted))


def test_a_killed_preparation_goes_on_and_gives_the_same_data(
    small: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = open_split(small, "train").fingerprint
    monkeypatch.setenv("BENCHMARK_DATA", str(tmp_path))
    code = (
        "import time\n"
        "from benchmark.data.datasets import prepare; from benchmark.data.embedded.motionpairs import Setting\n"
        "def hold(what, done, total): time.sleep(600 if done else 0)\n"
        "prepare(Setting('small', train_clips=16, val_clips=8), workers=1, progress=hold)"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    folder = split_folder(small, "train")
    while len(list(folder.glob("0*.mp4"))) < 4:  # it then waits in its report of them
        time.sleep(0.01)
    process.kill()
    process.wait()
    with pytest.raises(DataError, match="run: python -m benchmark data prepare small"):
        open_split(small, "train")
    prepare(small, workers=1)
    assert open_split(small, "train").fingerprint == whole


def test_check_finds_every_kind_of_damage(small: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCHMARK_DATA", str(tmp_path))
    prepare(small, workers=1)
    assert check_generated(small) == []
    folder = split_folder(small, "val")
    (folder / "000001.mp4").write_bytes(b"")
    (folder / "000002.mp4").unlink()
    (folder / "000003.mp4").write_bytes((folder / "000003.mp4").read_bytes()[:3000])
    found = "\n".join(check_generated(small))
    assert [name in found for name in ("000000", "000001", "000002", "000003")] == [False, True, True, True]


def test_training_items_depend_on_seed_epoch_and_clip_only(small: Setting) -> None:
    one, two = clips(small), clips(small)
    for dataset in (one, two):
        dataset.set_epoch(2)
    shuffled = {
        int(i): f
        for item in ClipLoader(one, 4).batches([9, 2, 7, 1])
        for i, f in zip(item.clip_index, item.frames, strict=True)
    }
    assert torch.equal(shuffled[7], two[7].frames)
    two.set_epoch(3)
    assert not torch.equal(shuffled[7], two[7].frames)
    assert not torch.equal(shuffled[7], clips(small, seed=1)[7].frames)


def test_places_and_crops_are_drawn_anew_for_every_seed_epoch_and_clip() -> None:
    cases = [(0, 0, "a"), (1, 0, "a"), (0, 1, "a"), (0, 0, "b")]
    assert len({stream.random() for case in cases for stream in clip_streams(*case)}) == 2 * len(cases)


def test_worker_processes_live_through_all_epochs_and_change_nothing(small: Setting) -> None:
    loaders, seen, drawn = [ClipLoader(clips(small), 4, workers) for workers in (0, 1, 2)], set(), list[torch.Tensor]()
    for epoch in range(2):
        made = []
        for loader in loaders:
            torch.manual_seed(epoch)
            loader.dataset.set_epoch(epoch)
            made.append(torch.cat([item.frames for item in loader.batches(epoch_order(16, 0, epoch)[epoch:])]))
            drawn.append(torch.rand(1))
        assert all(torch.equal(made[0], other) for other in made[1:])
        seen.add(frozenset(process.pid for process in multiprocessing.active_children()))
    assert [len(pids) for pids in seen] == [3]
    # A network's dropout goes on after the number that a loader draws, and results depend on that.
    torch.manual_seed(0)
    torch.empty((), dtype=torch.int64).random_()
    assert torch.equal(torch.rand(1), drawn[0])
    assert drawn[0] == drawn[1] == drawn[2] != drawn[3] == drawn[4] == drawn[5]


def test_rows_of_one_seed_see_the_same_crop(small: Setting) -> None:
    """One RGB frame per segment against triples: the first frames may differ by a frame or two, the cut may not."""
    order = epoch_order(16, 5, 1)
    assert order.tolist() == epoch_order(16, 5, 1).tolist()
    assert order.tolist() not in (epoch_order(16, 5, 2).tolist(), epoch_order(16, 6, 1).tolist())
    one, three = clips(small, frames=1)[0].frames, clips(small, frames=3)[0].frames
    assert one.shape == (8, 3, 56, 56)
    assert three.shape == (24, 3, 56, 56)
    # The camera hardly moves, so the corner of the background tells whether the cut is the same.
    corner = (one[:, :, :6, :6].float().mean((0, 2, 3)) - three[::3, :, :6, :6].float().mean((0, 2, 3))).abs()
    assert corner.max() < 12


def test_evaluation_views(small: Setting) -> None:
    split = open_split(small, "val")
    views = ClipDataset(split, DATA, EvalConfig(scale=64, clips=2, crops=5), 3, 0, "eval")[0].frames
    assert views.shape == (10, 24, 3, 56, 56)
    centre = ClipDataset(split, DATA, EVAL, 3, 0, "eval")[0].frames[0]
    assert torch.equal(views[4], centre)  # corners first, then the centre
    full = split.read(0, np.array([1]))[0]
    assert torch.equal(centre[0], torch.from_numpy(full[4:60, 12:68]).permute(2, 0, 1))


def test_an_unreadable_clip_is_marked_and_no_other_takes_its_place(small: Setting, tmp_path: Path) -> None:
    split = open_split(small, "val")
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"not a video")
    import dataclasses

    clip = dataclasses.replace(split.clips[2], path=broken)
    split = dataclasses.replace(split, clips=[*split.clips[:2], clip, *split.clips[3:]], store=None)
    items = list(ClipLoader(ClipDataset(split, DATA, EVAL, 1, 0, "eval"), 4).batches(range(8)))
    assert torch.cat([item.readable for item in items]).tolist() == [True, True, False, *[True] * 5]
    assert items[0].frames[2].abs().sum() == 0


def test_an_unknown_or_unreadable_data_set_says_what_to_do() -> None:
    with pytest.raises(DataError, match="--protocol embedded"):
        open_split("something-v1", "train")
    with pytest.raises(DataError, match="unknown data set 'kinetics'"):
        prepare("kinetics")
