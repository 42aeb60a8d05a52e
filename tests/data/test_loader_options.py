"""Options of sampling and views as a run sees them: through the data set, from settings of a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from benchmark.config.datasets import DATASETS
from benchmark.config.run import DataConfig, EvalConfig
from benchmark.data.frame_store import FrameStore
from benchmark.data.loader import ClipDataset, view_stream
from benchmark.data.sampling import train_indices
from benchmark.data.split import Clip, Split
from benchmark.data.transforms import may_mirror, opposite

FRAMES, HEIGHT, WIDTH = 100, 30, 60


class Drawn(FrameStore):
    """Frames whose red is their number, whose green is their column and whose blue is their row."""

    def __init__(self) -> None:
        super().__init__(Path("nowhere"), [0])

    def read(self, clip: int, indices: Any) -> NDArray[np.uint8]:
        frames = np.zeros((len(indices), HEIGHT, WIDTH, 3), np.uint8)
        frames[..., 0] = np.asarray(indices)[:, None, None]
        frames[..., 1] = 4 * np.arange(WIDTH)
        frames[..., 2] = 8 * np.arange(HEIGHT)[:, None]
        return frames


def dataset(
    mode: Literal["train", "eval"], labels: tuple[int, ...] = (5,), views: dict[str, Any] | None = None, **settings: Any
) -> ClipDataset:
    clips = [Clip(f"clip{i}", Path("a.mp4"), FRAMES, HEIGHT, WIDTH, label) for i, label in enumerate(labels)]
    split = Split("drawn", mode, clips, 174, "0" * 64, store=Drawn())
    data = DataConfig(segments=4, size=24, **settings)
    return ClipDataset(split, data, EvalConfig(**{"scale": 24, **(views or {})}), 1, 0, mode)


def is_mirrored(clip: torch.Tensor) -> bool:
    return bool(clip[0, 1, 0, 2] > clip[0, 1, 0, -3])


@pytest.mark.parametrize("crop", ["multiscale", "jitter", "centre"])
def test_clips_of_the_six_classes_are_not_mirrored(crop: str) -> None:
    labels = (86, 87, 93, 94, 166, 167, 0, 1, 85, 88, 165, 168)
    made = dataset("train", labels, train_crop=crop, flip="undirected")
    seen: dict[int, set[bool]] = {label: set() for label in labels}
    for epoch in range(12):
        made.set_epoch(epoch)
        for index, label in enumerate(labels):
            seen[label].add(is_mirrored(made[index].frames))
    assert seen == {label: {False, True} if may_mirror(True, label) and label not in labels[:6] else {False}
                    for label in labels}  # fmt: skip


def test_undirected_flips_are_refused_on_another_data_set() -> None:
    with pytest.raises(ValueError, match="of Something-Something's classes, not motionpairs's"):
        dataset("train", dataset="motionpairs", flip="undirected")


def test_a_frame_resized_first_loses_its_shape() -> None:
    kept = dataset("eval")[0].frames[0, 0]
    squeezed = dataset("eval", resize=(24, 32))[0].frames[0, 0]
    assert kept.shape == squeezed.shape == (3, 24, 24)
    across = [float(view[1].float().diff(dim=-1).mean()) for view in (kept, squeezed)]
    assert across[0] == pytest.approx(4 * WIDTH / 48, rel=0.02)  # 60 columns over 48 pixels, and over 32
    assert across[1] == pytest.approx(4 * WIDTH / 32, rel=0.02)
    down = [float(view[2].float().diff(dim=-2).mean()) for view in (kept, squeezed)]
    assert down[0] == pytest.approx(down[1], rel=0.02)


def test_drawn_views_are_a_function_of_seed_and_clip() -> None:
    views = {"clips": 10, "placing": "random"}
    first, again = (dataset("eval", (5, 5), views) for _ in range(2))
    assert torch.equal(first[0].frames, again[0].frames)
    assert not torch.equal(first[0].frames, first[1].frames)
    rng = view_stream(0, "clip0")
    expected = [train_indices(FRAMES, 4, 1, "uniform", rng).tolist() for _ in range(10)]
    assert first[0].frames[:, :, 0, 0, 0].tolist() == expected


@pytest.mark.parametrize(("window", "stride"), [(64, 16), (80, 20)])
def test_the_window_of_a_dense_clip_reaches_the_loader(window: int, stride: int) -> None:
    for mode in ("train", "eval"):
        made = dataset(mode, sampling="dense", window=window)[0].frames
        numbers = made.reshape(-1, *made.shape[-3:])[:, 0, 0, 0].tolist()
        assert np.diff(numbers).tolist() == [stride] * 3


def test_a_frame_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 8 x 8 pixels"):
        DataConfig(resize=(0, 320))


def test_symmetries_mirror_and_reverse_and_change_the_label_as_the_data_set_says() -> None:
    info, labels = DATASETS["motionpairs-2"], tuple(range(10))
    made = dataset("train", labels, dataset="motionpairs-2", symmetries=True, train_crop="centre")
    seen = set()
    for epoch in range(8):
        made.set_epoch(epoch)
        for index, label in enumerate(labels):
            item = made[index]
            mirrored, backwards = is_mirrored(item.frames), bool(item.frames[0, 0, 0, 0] > item.frames[-1, 0, 0, 0])
            expected = info.mirrored[label] if mirrored else label
            assert int(item.label) == (info.reversed[expected] if backwards else expected)
            seen.add((mirrored, backwards))
    assert len(seen) == 4
    plain = dataset("train", labels, dataset="motionpairs-2", train_crop="centre")
    plain.set_epoch(7)
    assert [int(plain[i].label) for i in labels] == list(labels)
    same = [i for i in labels if int(made[i].label) == i and not is_mirrored(made[i].frames)]
    assert all(torch.equal(plain[i].frames, made[i].frames) for i in same)  # the other draws are the same
    evaluated = dataset("eval", labels, dataset="motionpairs-2", symmetries=True)
    assert [int(evaluated[i].label) for i in labels] == list(labels)


def test_shuffled_frames_are_the_same_frames_in_another_order_of_the_clip_and_epoch() -> None:
    def numbers(mode: Literal["train", "eval"], epoch: int = 0, index: int = 0, **settings: Any) -> list[int]:
        made = dataset(mode, (5, 5), train_crop="centre", **settings)
        made.set_epoch(epoch)
        frames = made[index].frames
        found: list[int] = frames.reshape(-1, *frames.shape[-3:])[:, 0, 0, 0].tolist()
        return found

    for mode in ("train", "eval"):
        orders = [numbers(mode, epoch, index, order="shuffled") for epoch in range(4) for index in range(2)]
        plain = [numbers(mode, epoch, index) for epoch in range(4) for index in range(2)]
        assert [sorted(order) for order in orders] == plain
        assert orders != plain
        assert orders[::2] == [numbers(mode, epoch, 0, order="shuffled") for epoch in range(4)]
    once = {tuple(numbers("eval", epoch, order="shuffled")) for epoch in range(4)}
    assert len(once) == 1


def test_flow_played_backwards_changes_its_sign() -> None:
    flow = np.array([[[[1, 128], [255, 0]]]], np.uint8)
    assert opposite(flow).tolist() == [[[[255, 128], [1, 255]]]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dataset": "motionpairs"}, "motionpairs does not say which label a mirrored clip has"),
        ({"dataset": "motionpairs-2", "flip": True}, "data.symmetries needs it false"),
    ],
)
def test_symmetries_that_would_give_wrong_labels_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DataConfig(symmetries=True, **settings)
