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

from benchmark.config.models import TesNetConfig, TsmResNetConfig
from benchmark.config.representations import FlowConfig
from benchmark.config.run import DataConfig, RunConfig
from benchmark.data.datasets import Split, open_split, prepare
from benchmark.data.decode.video import read_frames
from benchmark.data.embedded.exact_flow import ground_truth, owners
from benchmark.data.embedded.motionpairs import Setting
from benchmark.data.errors import DataError, DecodeError
from benchmark.data.flow import extracted as flow_module
from benchmark.data.flow.extracted import (
    FlowSplit,
    extract_flow,
    flow_folder,
    flow_key,
    interval_of,
    open_flow,
)
from benchmark.data.flow.tvl1 import NORMAL, SMALL, dequantise, quantise, settings_for, tvl1
from benchmark.data.transforms import mirrored
from benchmark.runs.key import run_key

SHORT = Setting("short", train_clips=8, val_clips=8, frames=8)
FIELDS = SHORT.frames - 1
APART = 3
"""An interval of frames, which leaves a clip of SHORT five fields."""


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with the flow of the training clips of SHORT, ordinary and over APART frames."""
    root = tmp_path_factory.mktemp("flow")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCHMARK_DATA", str(root))
        prepare(SHORT, workers=1)
        extract_flow(open_split(SHORT, "train"), workers=1)
        extract_flow(open_split(SHORT, "train"), workers=1, interval=APART)
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
        "from benchmark.data.datasets import open_split; from benchmark.data.flow.extracted import extract_flow\n"
        "from benchmark.data.embedded.motionpairs import Setting\n"
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


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_flow_of_a_shifted_picture_grows_with_the_interval() -> None:
    """A smooth texture that moves 1 pixel to the right and 0.5 up a frame."""
    noise = cv2.GaussianBlur(np.random.default_rng(0).uniform(0, 255, (96, 112, 3)).astype(np.float32), (0, 0), 3)
    texture = np.clip(127 + 4 * (noise - noise.mean()), 0, 255)
    moves = [np.array([[1, 0, t - 10], [0, 1, -0.5 * t - 10]], np.float32) for t in range(6)]
    frames = np.stack([cv2.warpAffine(texture, move, (80, 64)) for move in moves]).astype(np.uint8)
    for interval in (1, 2, 4):
        flow = tvl1(frames, SMALL, interval)
        assert flow.shape == (6 - interval, 64, 80, 2)
        middle = np.median(flow[:, 16:48, 16:64], axis=(1, 2))
        assert middle == pytest.approx(np.tile([interval, -0.5 * interval], (6 - interval, 1)), abs=0.15)
    for interval in (6, 9):
        assert tvl1(frames, SMALL, interval).shape == (0, 64, 80, 2)
    with pytest.raises(ValueError, match="at least 1 frame, got 0"):
        tvl1(frames, SMALL, 0)


def test_a_field_over_three_frames_is_opencvs_flow_between_these_two_frames(train: Split) -> None:
    solver = cv2.optflow.DualTVL1OpticalFlow.create(
        nscales=3, scaleStep=0.5, warps=2, outerIterations=1, innnerIterations=10
    )
    stored = open_flow(train, APART)
    assert stored.store is not None
    assert stored.fields(1) == SHORT.frames - 3
    for clip in (1, 6):
        grey = [cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in read_frames(train.clips[clip].path, range(SHORT.frames))]
        for i in (0, 2, SHORT.frames - 4):
            expected = quantise(np.asarray(solver.calc(grey[i], grey[i + 3], np.empty((64, 80, 2), np.float32))))
            for flow in (stored, dataclasses.replace(stored, store=None)):
                assert np.array_equal(flow.read(clip, [i])[0], expected)
    with pytest.raises(DataError, match=f"has {SHORT.frames - 3} flow fields"):
        stored.read(1, [SHORT.frames - 3])


def test_flow_of_an_interval_lies_by_itself_and_has_its_own_fingerprint(train: Split) -> None:
    assert (flow_folder(train).name, flow_folder(train, APART).name) == ("flow", "flow_3")
    assert open_flow(train).fingerprint != open_flow(train, APART).fingerprint
    assert (open_flow(train).interval, open_flow(train, APART).interval) == (1, APART)
    ordinary, apart = contents(flow_folder(train)), contents(flow_folder(train, APART))
    extract_flow(train, workers=1, interval=5)
    assert contents(flow_folder(train)) == ordinary
    assert contents(flow_folder(train, APART)) == apart
    with pytest.raises(DataError, match=r"flow over 2 frames of short/train has not .* data flow short --interval 2$"):
        open_flow(train, 2)
    for call in (open_flow, flow_folder):
        with pytest.raises(ValueError, match="at least 1 frame, got 0"):
            call(train, 0)


def test_fields_of_another_interval_are_not_taken_for_these(train: Split) -> None:
    """Neither a whole folder in the place of another, nor a file, even where the number of fields agrees."""
    shutil.copytree(flow_folder(train, APART), flow_folder(train, 2))
    with pytest.raises(DataError, match="other settings; run: python -m benchmark data flow short --interval 2"):
        open_flow(train, 2)
    longer = dataclasses.replace(train.clips[0], frames=SHORT.frames + 2)
    files = dataclasses.replace(open_flow(train, APART), store=None)
    shutil.copy(flow_folder(train) / "000000.flow", flow_folder(train, APART))
    as_long = dataclasses.replace(files, split=dataclasses.replace(train, clips=[longer]))
    assert as_long.fields(0) == FIELDS
    for flow in (files, as_long):
        with pytest.raises(DecodeError, match=r"not the flow of this clip .* data flow short --interval 3$"):
            flow.read(0, [0])


def test_extraction_over_an_interval_keeps_what_is_complete(train: Split) -> None:
    folder, before = flow_folder(train, APART), contents(flow_folder(train, APART))
    times = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    (folder / "000002.flow").unlink()
    (folder / "000005.flow").write_bytes(before["000005.flow"][:-7])
    (folder / "flow.json").unlink()
    told: list[tuple[str, int, int]] = []
    extract_flow(train, workers=1, interval=APART, progress=lambda *step: told.append(step))
    assert contents(folder) == before
    changed = {path.name for path, time in times.items() if path.stat().st_mtime_ns != time}
    assert changed == {"000002.flow", "000005.flow", "flow.json"}
    assert told == [("flow_3 short/train", 8, 8)]


def test_clips_too_short_for_the_interval_have_no_field_and_cost_the_others_nothing(train: Split) -> None:
    for interval in (1, APART):
        fields = open_flow(train, interval).read(3, range(2))
        shutil.rmtree(flow_folder(train, interval))
        clips = [dataclasses.replace(train.clips[0], frames=interval), *train.clips[1:]]
        found = extract_flow(dataclasses.replace(train, clips=clips), workers=1, interval=interval)
        assert found.store is not None
        assert [found.fields(i) for i in range(2)] == [0, SHORT.frames - interval]
        assert np.array_equal(found.read(3, range(2)), fields)
        with pytest.raises(DataError, match="has 0 flow fields"):
            found.read(0, [0])
    with pytest.raises(DataError, match="no clip of short/train has flow over 8 frames: the longest has 8"):
        extract_flow(train, workers=1, interval=SHORT.frames)
    assert not flow_folder(train, SHORT.frames).exists()


def test_an_interval_of_one_is_the_flow_and_the_run_that_were_there_before_intervals(train: Split) -> None:
    """Keys as they were computed when there was no such setting."""
    known = dataclasses.replace(train, fingerprint="0" * 64)
    assert flow_key(known) == flow_key(known, 1) == "a5df56f35da23a50f7d5088b33076c7361e9beb6936a5be8fc6e5f509566ab53"
    assert flow_key(known, 4) != flow_key(known, 2) != flow_key(known)
    assert b"interval" not in (flow_folder(train) / "flow.json").read_bytes()

    def key(flow: FlowConfig) -> str:
        model = TsmResNetConfig(representation="flow", flow=flow)
        return run_key(RunConfig(model=model, data=DataConfig(dataset="motionpairs-tiny")))

    assert key(FlowConfig(frames=1)) == key(FlowConfig(frames=1, interval=1)) == "e0ce1df90315be21"
    assert key(FlowConfig()) == "c662612d8827c869"
    assert len({key(FlowConfig(interval=interval)) for interval in (1, 2, 4)}) == 3


def test_the_interval_is_the_configs_where_there_is_one() -> None:
    assert interval_of(TsmResNetConfig(representation="flow", flow=FlowConfig(interval=4))) == 4
    assert interval_of(TsmResNetConfig(representation="flow")) == 1
    assert interval_of(TesNetConfig(modality="flow")) == 1
    with pytest.raises(ValueError, match="interval"):
        FlowConfig(interval=0)
    with pytest.raises(ValueError, match="'flow' is set, but the representation is 'rgb'"):
        TsmResNetConfig(flow=FlowConfig(interval=4))
