"""Clips that are cut on the device are those that the loader cuts, to a grey level or two."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from benchmark.config.run import DataConfig, EvalConfig
from benchmark.data import device_transforms as batched
from benchmark.data.device_transforms import Uncut, cut, matrices, on_device, weights
from benchmark.data.errors import DecodeError
from benchmark.data.frame_store import FrameStore
from benchmark.data.loader import ClipDataset, ClipLoader, Item
from benchmark.data.split import Clip, Split
from benchmark.data.transforms import Box, View, eval_view, to_tensor, train_view, viewed

SIZES = ((60, 80), (80, 60), (47, 91), (64, 64))


def picture(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Noise over a ramp: what resizing gets wrong shows."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 120, height)[:, None, None] + np.linspace(0, 80, width)[None, :, None]
    return (ramp + rng.uniform(0, 55, (height, width, 3))).astype(np.uint8)


@pytest.mark.parametrize(("length", "out"), [(60, 40), (60, 60), (60, 91), (7, 3), (100, 8), (5, 40)])
def test_the_matrix_is_torchs_antialiased_filter(length: int, out: int) -> None:
    x = torch.randn(1, 1, 1, length, dtype=torch.float64)
    theirs = functional.interpolate(x, (1, out), mode="bilinear", antialias=True)
    assert torch.allclose(x @ torch.from_numpy(weights(length, out)).double().T, theirs, atol=1e-6)
    assert np.allclose(weights(length, out).sum(1), 1, atol=1e-6)


def views(height: int, width: int) -> dict[str, View]:
    made = {
        f"{crop} {seed}": train_view(height, width, 40, True, np.random.default_rng(seed), crop, frame, 44)
        for crop in ("multiscale", "multiscale_three", "jitter", "centre")
        for frame in (None, (48, 64))
        for seed in range(3)
    }
    for crops in (1, 3, 5, 10):
        made[f"{crops} views"] = eval_view(height, width, 40, 45, crops)
    return made


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_a_views_two_matrices_do_what_it_asks_for(height: int, width: int) -> None:
    frames = to_tensor(np.stack([picture(height, width, seed) for seed in range(2)]))
    for name, view in views(height, width).items():
        rows, columns = matrices(view, height, width)
        assert rows.shape == (len(view.boxes), view.side, height)
        assert columns.shape == (len(view.boxes), view.side, width)
        ours = rows[:, None, None] @ frames.float() @ columns[:, None, None].transpose(-1, -2)
        gap = (ours - viewed(frames, view).float()).abs()
        assert float(gap.max()) < 2.6, name
        assert float(gap.mean()) < 0.5, name


def test_cutting_and_mirroring_alone_are_exact() -> None:
    frames = to_tensor(picture(30, 40)[None])
    view = View((), (Box(3, 5, 20, 20), Box(3, 5, 20, 20, flip=True)), 20)
    rows, columns = matrices(view, 30, 40)
    ours = (rows[:, None, None] @ frames.float() @ columns[:, None, None].transpose(-1, -2)).to(torch.uint8)
    assert torch.equal(ours, viewed(frames, view))


class Pictures(FrameStore):
    """Clips of several sizes, one of which cannot be read."""

    def __init__(self) -> None:
        super().__init__(Path("nowhere"), [0])

    def read(self, clip: int, indices: Any) -> NDArray[np.uint8]:
        if clip == 2:
            raise DecodeError("b.mp4: broken")
        return np.stack([picture(*SIZES[clip], seed=int(i)) for i in indices])


def batches(mode: Literal["train", "eval"], cut_on_device: bool, workers: int = 0, **views: Any) -> list[Item]:
    clips = [Clip(f"clip{i}", Path("a.mp4"), 30, *size, i) for i, size in enumerate(SIZES)]
    split = Split("drawn", mode, clips, 174, "0" * 64, store=Pictures())
    data = DataConfig(segments=3, size=32, flip=True, train_crop="jitter")
    dataset = ClipDataset(split, data, EvalConfig(**{"scale": 36, **views}), 2, 0, mode, cut_on_device=cut_on_device)
    return list(ClipLoader(dataset, 3, workers).batches(range(4)))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("mode", "views"),
    [
        ("train", {}),
        ("eval", {}),
        ("eval", {"clips": 2, "crops": 3}),
        ("eval", {"clips": 3, "crops": 10}),
        ("eval", {"clips": 4, "crops": 5, "placing": "random"}),
    ],
)
def test_batches_of_clips_of_all_sizes_are_the_same(mode: Any, views: dict[str, Any], workers: int) -> None:
    for here, there in zip(batches(mode, False, **views), batches(mode, True, workers, **views), strict=True):
        assert here.frames.shape == there.frames.shape
        assert there.frames.dtype == torch.uint8
        for name in ("label", "clip_index", "readable"):
            assert torch.equal(getattr(here, name), getattr(there, name))
        gap = (here.frames.int() - there.frames.int()).abs()
        assert int(gap.max()) <= 2
        assert float(gap[here.readable].float().mean()) < 0.5
        assert not there.frames[~there.readable].any()


def test_every_frame_crosses_once_however_many_views_see_it(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, ...]] = []

    def noted(clip: Uncut, device: torch.device) -> torch.Tensor:
        seen.append(tuple(clip.frames.shape))
        return cut(clip, device)

    monkeypatch.setattr(batched, "cut", noted)
    made = batches("eval", True, clips=2, crops=10)
    assert made[0].frames.shape == (3, 20, 6, 3, 32, 32)
    frames = [shape[0] for shape in seen]
    assert frames[0] <= 12  # two clips of three pairs of frames, whatever the crops
    assert [shape[2:] for shape in seen] == [SIZES[0], SIZES[1], (1, 1), SIZES[3]]


def test_a_long_clip_is_cut_in_parts_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    clip = Uncut(
        to_tensor(np.stack([picture(40, 50, seed) for seed in range(7)])),
        *matrices(eval_view(40, 50, 32, 36, 3), 40, 50),
        torch.tensor([[0, 6, 3], [5, 5, 1]]),
        *(torch.tensor(value) for value in (1, 2, True)),
    )
    whole = cut(clip, torch.device("cpu"))
    assert whole.shape == (6, 3, 3, 36, 36)
    monkeypatch.setattr(batched, "FLOATS", 3 * 40 * 50 * 3 * 2)
    assert torch.equal(cut(clip, torch.device("cpu")), whole)


def test_where_it_is_done_is_the_users_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    for said, device in (("", False), ("loader", False), ("device", True)):
        monkeypatch.setenv("BENCHMARK_TRANSFORMS", said)
        assert on_device() == device
    monkeypatch.setenv("BENCHMARK_TRANSFORMS", "gpu")
    with pytest.raises(ValueError, match="BENCHMARK_TRANSFORMS=gpu is neither loader nor device"):
        on_device()
