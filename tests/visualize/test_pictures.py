"""Every picture end to end on runs that were never trained: their weights are known without any training."""

import json
import shutil
import struct
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboardX.proto import event_pb2

from benchmark.config.run import RunConfig
from benchmark.data.errors import DataError
from benchmark.models.build import build_model
from benchmark.plan import row_runs
from benchmark.runs.directory import RunDir
from benchmark.runs.errors import RunDirError
from benchmark.runs.find import find_run
from benchmark.runs.key import run_key
from benchmark.spec.load import load_table
from benchmark.visualize import filters
from benchmark.visualize.enopr import correlation, legend_text
from benchmark.visualize.errors import VisualizeError
from benchmark.visualize.filters import first_layers, tile
from benchmark.visualize.representation import initial, trained_representation
from benchmark.visualize.rows import build_rows, representations
from benchmark.visualize.scheduler import curve
from benchmark.visualize.tensorboard import write_tensorboard
from benchmark.visualize.trained import load_trained
from benchmark.visualize.training import draw_training, trainings

NARROW = {"name": "tsm_resnet", "width": 0.125, "depth": 18}
MODELS: dict[str, dict[str, Any]] = {
    "aa11": {"name": "bqn", "width": 0.125, "depth": 18, "num_bplc": 0},
    "bb22": {**NARROW, "representation": "dynamic_appearance"},
    "cc33": {**NARROW, "representation": "tvnet"},
    "dd44": {**NARROW},
    "ee55": {**NARROW, "representation": "squeezed_image"},
    "ff66": {**NARROW, "representation": "examples/change.py:Change"},
}


def make_run(key: str, model: dict[str, Any]) -> None:
    joint = {"strategy": "scheduler"} if model.get("representation") == "dynamic_appearance" else {}
    config = RunConfig.model_validate(
        {
            "model": model,
            "data": {"dataset": "motionpairs-tiny", "size": 56},
            "train": {"epochs": 4, "warmup_epochs": 1, "batch_size": 8, "joint": joint},
            "eval": {"scale": 64},
        }
    )
    run = RunDir.of(key)
    run.prepare(config)
    torch.manual_seed(0)
    state = build_model(config.model, config.data).state_dict()
    for name in state:
        if name.endswith("spatial"):
            state[name] = 2 * state[name]
    lines = [{"epoch": e, "loss": 3.0 - e, "residual": None, "alpha": None} for e in range(3)]
    if model.get("representation") in ("dynamic_appearance", "squeezed_image"):
        lines = [{**line, "residual": 1 - 0.2 * i, "alpha": 0.3} for i, line in enumerate(lines)]
    torch.save({"model": state, "optimizer": {}, "history": lines}, run.path / "checkpoint.pt")
    text = "".join(json.dumps({"clips": 48, "unreadable": 0, **line}) + "\n" for line in lines)
    (run.path / "metrics.jsonl").write_text(text)


def test_clip_tells_trained_rows_from_initial_ones(call: Any, capsys: pytest.CaptureFixture[str]) -> None:
    files = call("clip motionpairs-tiny:val:1 --columns 2 --run aa11 --run ee55 bb22")
    assert sorted(capsys.readouterr().out.split()) == sorted(str(path) for path in files.values())
    found = files.texts
    titles = ["RGB", "RGB difference", "TV-L1 flow", "TVNet", "PA", "MBPM, T = 3", "Dynamic appearance, T = 8"]
    titles += ["Dynamic image, T = 6", *(f"Squeezed image {i} of 3, T = 10" for i in (1, 2, 3))]
    assert [text for text in found if text in titles] == titles
    assert found[found.index("MBPM, T = 3") + 1 :][:2] == ["trained, 3 of 4 epochs", "(run aa11)"]
    assert found[found.index("TVNet") + 1] == "as initialised"
    assert found[0].startswith("motionpairs-tiny/val, clip 1: right (48 x 40, 12 frames)")
    assert Image.open(files[".png"]).width > 500


def test_pictures_are_the_same_bytes_again(call: Any) -> None:
    arguments = "clip motionpairs-tiny --columns 1 --start 3"
    first = {kind: path.read_bytes() for kind, path in call(arguments).items()}
    assert {kind: path.read_bytes() for kind, path in call(arguments).items()} == first
    assert b"frame 3" in first[".svg"]


def test_weights_of_a_run_change_its_rows(call: Any) -> None:
    still = np.random.default_rng(0).integers(0, 255, (1, 1, 32, 40, 3), dtype=np.uint8)
    moving = np.concatenate([np.roll(still, step, axis=3) for step in range(10)], axis=1)
    mbpm = trained_representation(load_trained("aa11"))
    (trained,) = [row for row in build_rows(moving, [mbpm]) if row.title.startswith("MBPM")]
    (untrained,) = [row for row in build_rows(moving, [initial("mbpm")]) if row.title.startswith("MBPM")]
    # The run's kernel is twice the initial one: the same colours on twice the scale.
    assert np.abs(trained.images.astype(int) - untrained.images).max() <= 1
    scales = [float(row.scale.partition("±")[2]) for row in (trained, untrained)]
    assert scales[0] == pytest.approx(2 * scales[1], rel=0.01)


def test_what_does_not_move_is_mid_grey_black_or_white() -> None:
    still = np.random.default_rng(0).integers(0, 255, (2, 1, 32, 40, 3), dtype=np.uint8).repeat(10, axis=1)
    rows = {row.title: row for row in build_rows(still, representations([]))}
    assert (rows["RGB difference"].images == 128).all()
    assert rows["RGB difference"].scale == "all zero"
    assert (rows["TV-L1 flow"].images == 255).all()
    assert (rows["RGB"].images == still[:, 0]).all()


def test_the_flow_of_a_clip_to_the_right_is_red() -> None:
    y, x = np.mgrid[:48, :64]
    place = [127 + 60 * np.sin((x - step) / 5) + 60 * np.sin(y / 4 + (x - step) / 9) for step in range(2)]
    frames = np.repeat(np.stack(place)[None, ..., None], 3, axis=-1).astype(np.uint8)
    (_, flow) = build_rows(frames, [])
    red, green, blue = flow.images[0, 12:36, 16:48].reshape(-1, 3).mean(0)
    assert red == 255
    assert max(green, blue) < 128


def test_kernels_before_and_after(call: Any) -> None:
    found = call("kernels --run aa11").texts
    assert [f"trained, {colour}" in found for colour in ("red", "green", "blue")] == [True] * 3
    assert found.count("change by training") == 3
    assert found.count("557") == 4  # twice 278.4, at the ends of the colour bars
    assert found.count("278") == 3  # the largest change


def test_kernels_without_a_run(call: Any) -> None:
    found = call("kernels --kernel-size 5 --sigma 0.7").texts
    assert "MBPM, 5 x 5, σ 0.7" in found
    assert "change by training" not in found
    with pytest.raises(VisualizeError, match="odd side"):
        call("kernels --kernel-size 4")


def test_filters_of_both_pathways_and_of_another_run(call: Any) -> None:
    found = call("filters --run aa11 --run dd44 cc33").texts
    assert [text.split(":")[0].partition(", ")[2] for text in found] == [
        "Busy of bqn, 3 of 4 epochs",
        "Quiet of bqn, 3 of 4 epochs",
        "tsm_resnet on rgb, 3 of 4 epochs",
        "tsm_resnet on tvnet, 3 of 4 epochs",
    ]
    trained = load_trained("aa11")
    for layer, name in zip(first_layers(trained), ("busy", "quiet"), strict=True):
        assert np.array_equal(layer.weights, trained.weights[f"{name}.conv1.weight"].numpy())


def test_a_long_title_widens_the_picture(call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    width = Image.open(call("filters --run aa11")[".png"]).width
    monkeypatch.setattr(
        filters, "_network", lambda trained, pathway: f"{pathway} of a $network_$ {'with a long name ' * 5}"
    )
    longer = call("filters --run aa11")
    assert Image.open(longer[".png"]).width > width + 300
    assert any("$network_$" in text and text.endswith("3 channels") for text in longer.texts)


def test_a_clips_long_name_is_on_several_lines(call: Any, data: Path) -> None:
    long = f"{'long-name_of$a_file$' * 8}.mp4"
    source = next(path for path in sorted(data.rglob("*.mp4")))
    shutil.copy(source, data / long)
    found = call(f"clip {data / long} --columns 1").texts
    assert long in "".join(found[:8])
    (data / long).unlink()


def test_a_filters_colours_are_its_weights() -> None:
    weights = np.random.default_rng(0).normal(size=(20, 3, 7, 7)).astype(np.float32)
    weights[17] *= 100  # a filter has a scale of its own
    board = tile(weights).astype(float)
    assert board.shape == (15, 16 * 8 - 1, 3)
    shown = (board[8:15, 8:15] - 128) / 127.5 * np.abs(weights[17]).max()
    assert np.abs(shown - weights[17].transpose(1, 2, 0)).max() < 0.01 * np.abs(weights[17]).max()
    assert tile(weights.reshape(10, 6, 7, 7)).shape == (6 * 8 - 1, 10 * 8 - 1, 3)


def test_enopr_against_the_loss(call: Any) -> None:
    found = call("enopr --run bb22").texts
    assert "run bb22, scheduler: r = 1.00, n = 3" in found
    with pytest.raises(VisualizeError, match="recorded no ENoPR"):
        call("enopr --run dd44")
    with pytest.raises(VisualizeError, match="draw their runs apart"):
        call("enopr --run bb22 ee55")


def test_correlation_is_pearsons_and_undefined_where_it_means_nothing() -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 30))
    centred = [v - v.mean() for v in (x, y)]
    expected = (centred[0] * centred[1]).sum() / np.sqrt((centred[0] ** 2).sum() * (centred[1] ** 2).sum())
    assert correlation(x, y) == pytest.approx(expected)
    assert correlation([1.0, 2.0], [1.0, 2.0]) is None
    assert correlation([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) is None
    assert legend_text("a", [1.0, 2.0, 4.0], [3.0, 1.0, 0.0]) == "a: r = −0.93, n = 3"


def test_scheduler_with_a_runs_own_weights(call: Any) -> None:
    found = call("scheduler --run bb22 --total 500").texts
    assert [t for t in found if t.startswith("γ")] == ["γ 0.1, λ 0.1", "γ 0.2, λ 0.1", "γ 0.2, λ 0.3", "γ 0.5, λ 0.3"]
    assert "run bb22, scheduler γ 0.2, λ 0.3, M = 24 (epoch means)" in found
    with pytest.raises(VisualizeError, match="needs one of each"):
        call("scheduler --gamma 0.1")
    with pytest.raises(VisualizeError, match="gamma must be between 0 and 1"):
        call("scheduler --gamma 1.5 --lam 0.1")


def test_scheduler_curve_passes_lambda_at_gamma_and_ends_at_zero() -> None:
    share, alpha = curve(0.2, 0.3, 10_000)
    assert alpha[0] == pytest.approx(1)
    assert np.interp(0.2, share, alpha) == pytest.approx(0.3, abs=2e-3)
    assert (share[-1], alpha[-1]) == (1, pytest.approx(0, abs=1e-9))
    assert (np.diff(alpha) <= 1e-12).all()


def test_requests_that_cannot_be_met_say_why(call: Any) -> None:
    for arguments, message in (
        ("clip motionpairs-tiny --run zz", "no run 'zz'"),
        ("clip motionpairs-tiny --run dd44", "tsm_resnet on rgb has no representation with weights"),
        (
            "clip motionpairs-tiny --run ff66",
            "run ff66: examples/change.py:Change is your own, and there is no picture",
        ),
        ("clip motionpairs-tiny:val:99", "has clips 0 to 7, not '99'"),
        ("clip motionpairs-tiny --start 12", "the clip has frames 0 to 11"),
        ("clip motionpairs-tiny --columns 0", "--columns 0"),
        ("kernels --run bb22", "has no MBPM"),
        ("scheduler --run dd44", "recorded no alpha"),
    ):
        with pytest.raises((DataError, RunDirError), match=message):
            call(arguments)


def test_runs_are_found_by_the_beginning_of_their_key(call: Any, tmp_path: Path, monkeypatch: Any) -> None:
    assert find_run("bb").key == "bb22"
    monkeypatch.setenv("BENCHMARK_RUNS", str(tmp_path))
    for key in ("ab12", "ab34"):
        make_run(key, MODELS["dd44"])
    assert find_run("ab3").key == find_run(str(tmp_path / "ab34")).key == "ab34"
    with pytest.raises(RunDirError, match=r"2 runs of .* begin with 'ab'"):
        find_run("ab")
    (tmp_path / "ab12" / "checkpoint.pt").unlink()
    (tmp_path / "ab12" / "metrics.jsonl").unlink()
    with pytest.raises(VisualizeError, match=r"ab12 has no checkpoint.pt"):
        load_trained("ab12")
    with pytest.raises(VisualizeError, match=r"no metrics\.jsonl"):
        call("enopr --run ab12")
    (tmp_path / "ab34" / "checkpoint.pt").write_bytes(b"cut off")
    with pytest.raises(VisualizeError, match=r"checkpoint.pt is damaged"):
        load_trained("ab34")


def test_trainings_of_a_table_are_drawn_row_by_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCHMARK_RUNS", str(tmp_path / "runs"))
    table = load_table("bqn-3b", "smoke", (0, 1))
    with pytest.raises(VisualizeError, match="no run of bqn-3b has finished an epoch here"):
        draw_training(tmp_path, table)
    for number, row in enumerate(table.rows[:2]):
        for seed, config in row_runs(row, table.seeds):
            run = RunDir.of(run_key(config))
            run.prepare(config)
            lines = [{"epoch": e, "loss": 2 - e + number, "top1": 10 * (e + seed)} for e in (0, 1)]
            (run.path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
            if not number:
                (run.path / "validation.jsonl").write_text('{"epoch": 0, "top1": 5.0, "top5": 9.0}\n')
    first, second = trainings(table)
    assert (first.label, first.seeds, first.top1) == (table.rows[0].label, 2, {1: (0.0, 10.0), 2: (10.0, 20.0)})
    assert (first.validation, second.validation) == ({1: (5.0, 5.0)}, {})
    png, svg = draw_training(tmp_path / "figures", table)
    assert png.name == "bqn-3b_training.png"
    ids = {element.get("id", "") for element in ElementTree.parse(svg).iter()}
    assert {"loss-1", "loss-2", "training-1", "training-2", "validation-1"} <= ids
    assert "validation-2" not in ids
    for _ in range(2):  # the second time in the place of the first
        folders = write_tensorboard(tmp_path / "events", table)
        assert [folder.name for folder in folders] == [f"{n}, seed {seed}" for n in ("0", "4") for seed in (0, 1)]
        assert {folder: events_in(folder) for folder in folders[1::2]} == {
            folders[1]: [*epochs_of(0, 1), ("validation/top1", 1, 5.0)],
            folders[3]: epochs_of(1, 1),
        }


def epochs_of(number: int, seed: int) -> list[tuple[str, int, float]]:
    """What `test_trainings_of_a_table_are_drawn_row_by_row` has of a row's run."""
    values = {"loss": (2 + number, 1 + number), "top1": (10 * seed, 10 * (1 + seed))}
    return [(f"train/{name}", e + 1, of_epoch[e]) for e in (0, 1) for name, of_epoch in values.items()]


def events_in(folder: Path) -> list[tuple[str, int, float]]:
    """Name, step and value of every scalar in a folder's event file: records of length, checksum, event, checksum."""
    (file,) = folder.iterdir()
    data, at, found = file.read_bytes(), 0, []
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        event = event_pb2.Event.FromString(data[at + 12 : at + 12 + length])
        found += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
        at += 16 + length
    return found
