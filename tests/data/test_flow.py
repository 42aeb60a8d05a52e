"""TV-L1 flow on disk: it is the flow, it survives interruption and damage, and it says what to do."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from benchmark.data import flow as flow_module
from benchmark.data.datasets import Split, open_split, prepare
from benchmark.data.errors import DataError, DecodeError
from benchmark.data.flow import FlowSplit, extract_flow, flow_folder, open_flow
from benchmark.data.motion_flow import ground_truth, owners
from benchmark.data.motionpairs import Setting
from benchmark.data.transforms import mirrored
from benchmark.data.tvl1 import NORMAL, SMALL, dequantise, quantise, settings_for

SHORT = Setting("short", train_clips=8, val_clips=8, frames=8)
FIELDS = SHORT.frames - 1


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with the flow of the training clips of SHORT."""
    root = tmp_path_factory.mktemp("flow")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCHMARK_DATA", str(root))
        prepare(SHORT, workers=1)
        extract_flow(open_split(SHORT, "train"), workers=1)
    return root


@pytest.fixture
def train(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Split:
    """The training clips and their flow, in a copy of the data root that a test may damage."""
    shutil.copytree(original, tmp_path / "data")
    monkeypatch.setenv("BENCHMARK_DATA", str(tmp_path / "data"))
    return open_split(SHORT, "train")


def from_files(split: Split) -> FlowSplit:
    return dataclasses.replace(open_flow(split), store=None)


def everything(flow: FlowSplit) -> np.ndarray:
    return np.stack([flow.read(i, range(FIELDS)) for i in range(len(flow))])


def test_quantised_flow_has_an_exact_zero_a_mirror_image_and_bounds() -> None:
    assert quantise(np.array([0.0, 1.0, -1.0, 25.0, -25.0])).tolist() == [128, 134, 122, 255, 1]
    pixels = np.linspace(-19.9, 19.9, 4001, dtype=np.float32)
    assert np.abs(dequantise(quantise(pixels)) - pixels).max() <= 20 / 255 + 1e-5
    across = np.stack([pixels, pixels])[:, None, :]  # (u, v) of a row of pixels
    image = np.stack([-across[0, :, ::-1], across[1, :, ::-1]])
    assert torch.equal(mirrored(torch.from_numpy(quantise(across))), torch.from_numpy(quantise(image)))


def test_settings_are_opencvs_defaults_but_for_small_frames() -> None:
    solver = cv2.optflow.DualTVL1OpticalFlow.create()
    defaults = [getattr(solver, f"get{name}")() for name in ("Tau", "Lambda", "Theta", "ScalesNumber", "ScaleStep")]
    assert [NORMAL.tau, NORMAL.lam, NORMAL.theta, NORMAL.scales, NORMAL.scale_step] == pytest.approx(defaults)
    names = ("WarpingsNumber", "OuterIterations", "InnerIterations", "Epsilon", "MedianFiltering")
    defaults = [getattr(solver, f"get{name}")() for name in names]
    settings = [NORMAL.warps, NORMAL.outer_iterations, NORMAL.inner_iterations, NORMAL.epsilon, NORMAL.median]
    assert settings == pytest.approx(defaults)
    assert settings_for(64, 80) == SMALL
    assert settings_for(240, 320) == NORMAL


def test_the_flow_is_near_the_true_one(train: Split) -> None:
    """Field i leads from frame i to frame i + 1, u first: swapped, negated or reversed fields are all farther."""
    found = dequantise(everything(open_flow(train)))
    exact = np.stack([ground_truth(SHORT, "train", i) for i in range(len(train))])
    sprite = np.stack([owners(SHORT, "train", i)[:-1] == 2 for i in range(len(train))])
    error, zero = (np.linalg.norm(x, axis=-1)[sprite].mean() for x in (found - exact, exact))
    assert zero > 3  # 8 frames for the whole motion
    assert error < 0.35 * zero
    for wrong in (found[..., ::-1], -found, found[:, ::-1]):
        assert np.linalg.norm(wrong - exact, axis=-1)[sprite].mean() > 1.5 * error


def test_the_store_and_the_files_give_the_same_fields_in_the_order_asked_for(train: Split) -> None:
    stored, files = open_flow(train), from_files(train)
    assert stored.store is not None
    assert np.array_equal(everything(stored), everything(files))
    wanted = [5, 0, 0, 3]
    for flow in (stored, files):
        fields = flow.read(2, wanted)
        assert fields.shape == (4, 64, 80, 2)
        assert fields.dtype == np.uint8
        assert np.array_equal(fields, flow.read(2, range(FIELDS))[wanted])
        for outside in ([FIELDS], [-1], []):
            with pytest.raises(DataError, match=f"has {FIELDS} flow fields") as raised:
                flow.read(2, outside)
            assert not isinstance(raised.value, DecodeError)  # that would pass for an unreadable clip


def test_extracting_again_touches_nothing(train: Split) -> None:
    before = {path: path.stat().st_mtime_ns for path in flow_folder(train).iterdir()}
    called: list[str] = []
    extract_flow(train, progress=lambda what, done, total: called.append(what))
    assert {path: path.stat().st_mtime_ns for path in flow_folder(train).iterdir()} == before
    assert called == []


def test_worker_processes_give_the_same_flow_and_report_every_clip(
    train: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow_module, "BATCH", 3)  # so that there is work for both
    whole, fields = open_flow(train).fingerprint, everything(open_flow(train))
    shutil.rmtree(flow_folder(train))
    told: list[tuple[str, int, int]] = []
    again = extract_flow(train, workers=2, progress=lambda *step: told.append(step))
    assert again.fingerprint == whole
    assert np.array_equal(everything(again), fields)
    steps = [done for what, done, total in told if what == "flow short/train"]
    assert len(steps) == 3
    assert sorted(steps) == steps
    assert steps[-1] == 8


def test_a_killed_extraction_goes_on_where_it_stopped(train: Split) -> None:
    whole, folder = open_flow(train).fingerprint, flow_folder(train)
    shutil.rmtree(folder)
    code = (
        "from benchmark.data.datasets import open_split; from benchmark.data.flow import extract_flow\n"
        "from benchmark.data.motionpairs import Setting\n"
        "extract_flow(open_split(Setting('short', train_clips=8, val_clips=8, frames=8), 'train'), workers=1)"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    while len(list(folder.glob("*.flow"))) < 2:
        assert process.poll() is None
        time.sleep(0.005)
    process.kill()
    process.wait()
    kept = {path: path.stat().st_mtime_ns for path in folder.glob("*.flow")}
    assert len(kept) < 8
    with pytest.raises(DataError, match="has not been extracted; run: python -m benchmark data flow short"):
        open_flow(train)
    assert extract_flow(train, workers=1).fingerprint == whole
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_flow_of_other_settings_or_other_frames_is_refused(train: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    other = dataclasses.replace(train, fingerprint="0" * 64)
    with pytest.raises(DataError, match="other frames or with other settings; run: python -m benchmark data flow"):
        open_flow(other)
    files = from_files(train)
    monkeypatch.setattr(flow_module, "SMALL", dataclasses.replace(SMALL, warps=1))
    with pytest.raises(DataError, match="other settings"):
        open_flow(train)
    before = files.fingerprint
    assert extract_flow(train, workers=1).fingerprint != before
    with pytest.raises(DecodeError, match="not the flow of this clip with the present settings"):
        files.read(0, [0])  # opened before the files were replaced


def test_damaged_files_are_named_and_the_incomplete_ones_extracted_again(train: Split) -> None:
    fields, folder = everything(open_flow(train)), flow_folder(train)
    (folder / "000001.flow").unlink()
    short = folder / "000002.flow"
    short.write_bytes(short.read_bytes()[:-10])
    flipped = bytearray((folder / "000003.flow").read_bytes())
    flipped[-20] ^= 255
    (folder / "000003.flow").write_bytes(flipped)
    files = from_files(train)
    for clip in (1, 2, 3):
        with pytest.raises(DecodeError, match=f"00000{clip}.flow: .*run: python -m benchmark data flow short"):
            files.read(clip, [FIELDS - 1])
    assert np.array_equal(files.read(0, [2]), fields[0, [2]])
    (folder / "000003.flow").unlink()
    extract_flow(train, workers=1)
    assert np.array_equal(everything(files), fields)


def test_an_unreadable_video_costs_its_own_flow_only_and_is_tried_again(train: Split) -> None:
    whole, fields = open_flow(train).fingerprint, everything(open_flow(train))
    shutil.rmtree(flow_folder(train))
    video = train.clips[4].path.read_bytes()
    train.clips[4].path.write_bytes(video[:400])
    found = extract_flow(train, workers=1)
    assert list(found.unreadable) == ["000004"]
    assert found.fingerprint != whole
    for flow in (found, dataclasses.replace(found, store=None)):
        with pytest.raises(DecodeError, match=r"000004.mp4: .*run: python -m benchmark data flow short"):
            flow.read(4, [0])
        assert np.array_equal(flow.read(5, range(FIELDS)), fields[5])
    train.clips[4].path.write_bytes(video)
    repaired = extract_flow(train, workers=1)
    assert repaired.unreadable == {}
    assert repaired.fingerprint == whole
    assert np.array_equal(everything(repaired), fields)


def test_a_video_of_another_size_than_the_index_says_is_unreadable(train: Split) -> None:
    shutil.rmtree(flow_folder(train))
    clips = [dataclasses.replace(train.clips[0], width=78), *train.clips[1:]]
    found = extract_flow(dataclasses.replace(train, clips=clips), workers=1)
    assert "frames of 64 x 80" in found.unreadable["000000"]
    assert found.store is None  # clips of two sizes do not fit one array
