"""The product as its user meets it: a table from nothing to its files, interrupted and gone on with, and rendered
again.
"""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.slow

FILES = {"cells.csv", "table.csv", "table.md", "table.tex", "plot.svg", "plot.png", "PROVENANCE.json"}
COMMAND = [sys.executable, "-m", "benchmark"]


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], env=roots(folder), capture_output=True, text=True, check=False)


def roots(folder: Path) -> dict[str, str]:
    names = {"RUNS": "runs", "RESULTS": "results"}
    return {**os.environ, **{f"BENCHMARK_{name}": str(folder / value) for name, value in names.items()}}


def test_a_table_from_nothing_then_rendered_again_from_its_runs(
    tmp_path: Path, cpu_seconds: Callable[..., float], import_seconds: float
) -> None:
    first = run("run", "bqn-3a", "--protocol", "smoke", folder=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "3 of 3 runs done" in first.stderr
    results = tmp_path / "results" / "bqn" / "3a" / "smoke"
    assert {path.name for path in results.iterdir()} >= FILES
    assert (results / "table.md").read_text().rstrip() in first.stdout
    with (results / "cells.csv").open() as file:
        cells = {(c["label"], c["column"], c["kind"]): c for c in csv.DictReader(file)}
    fused = cells["Quiet+Busy", "top1", "measured"]
    assert len(fused["runs"].split("+")) == 2
    assert cells["BQN", "gmacs", "printed"]["value"] == "65.9"
    assert float(cells["BQN", "gmacs", "counted"]["value"]) == pytest.approx(67.079, abs=1e-3)

    contents = {path.name: path.read_bytes() for path in results.iterdir()}
    again = cpu_seconds(*COMMAND, "run", "bqn-3a", "--protocol", "smoke", env=roots(tmp_path))
    assert again < 3 * import_seconds
    assert {path.name: path.read_bytes() for path in results.iterdir()} == contents


def test_two_at_once_share_the_runs_and_both_end_with_the_table(tmp_path: Path) -> None:
    command = [*COMMAND, "run", "bqn-3a", "--protocol", "smoke"]
    both = [
        subprocess.Popen(command, env=roots(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    ended = [process.communicate(timeout=600) for process in both]
    said = "".join(err for _, err in ended)
    assert [process.returncode for process in both] == [0, 0], said
    assert "Traceback" not in said
    for out, err in ended:
        assert "3 of 3 runs done" in err
        assert "**51.6** / " in out
    runs = [folder for folder in (tmp_path / "runs").iterdir() if not folder.name.startswith(".")]
    assert len(runs) == 3
    for folder in runs:
        assert (folder / "log.txt").read_text().count("epoch 2/2") == 1  # trained once
        assert json.loads((folder / "env.json").read_text())["resumes"] == 0


def test_ctrl_c_in_mid_training_and_again(tmp_path: Path) -> None:
    command = [*COMMAND, "run", "bqn-3b", "--protocol", "smoke"]
    process = subprocess.Popen(command, env=roots(tmp_path), stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not list(tmp_path.glob("runs/*/checkpoint.pt")):
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as the terminal does: to every process of the group
    _, message = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on from there" in message
    assert "Traceback" not in message
    status = json.loads(run("status", "bqn-3b", "--protocol", "smoke", "--json", folder=tmp_path).stdout)
    assert "running" not in {entry["state"] for entry in status}
    assert run("render", "bqn-3b", "--protocol", "smoke", folder=tmp_path).returncode == 0
    assert run("run", "bqn-3b", "--protocol", "smoke", folder=tmp_path).returncode == 0
    resumes = [json.loads(path.read_text())["resumes"] for path in tmp_path.glob("runs/*/env.json")]
    assert max(resumes) == 1


def test_a_killed_launcher_leaves_no_process_behind(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "run", "bqn-3b", "--protocol", "smoke"], env=roots(tmp_path), stderr=subprocess.DEVNULL
    )
    while not list(tmp_path.glob("runs/*/checkpoint.pt")):
        time.sleep(0.05)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        states = json.loads(run("status", "bqn-3b", "--protocol", "smoke", "--json", folder=tmp_path).stdout)
        if "running" not in {entry["state"] for entry in states}:
            break
    assert "running" not in {entry["state"] for entry in states}


def test_a_table_and_a_network_of_ones_own(tmp_path: Path) -> None:
    done = run("run", "examples/differences.yaml", "--protocol", "smoke", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "first differences" in done.stdout


def test_a_run_that_fails_leaves_the_others_alone_and_is_shown(tmp_path: Path) -> None:
    network = tmp_path / "broken.py"
    network.write_text(
        "from torch import nn\n\n\nclass Broken(nn.Module):\n    def __init__(self, fail: bool, num_classes: int):\n"
        "        super().__init__()\n        self.fc = nn.Linear(3, num_classes)\n        self.fail = fail\n\n"
        "    def forward(self, x):\n        if self.fail:\n            raise RuntimeError('deliberately broken')\n"
        "        return self.fc(x.mean((1, 3, 4)))\n"
    )
    table = tmp_path / "mine.yaml"
    table.write_text(
        "paper: own\ntable: mine\ncaption: One of two fails.\ndataset: motionpairs\ncolumns: [top1]\nbase: recipe/bqn\n"
        f"set: {{model: {{name: custom, entry: '{network}:Broken'}}}}\n"
        "rows:\n  - {label: broken, set: {model.options.fail: true}}\n"
        "  - {label: whole, set: {model.options.fail: false}}\n"
    )
    done = run("run", str(table), "--protocol", "smoke", folder=tmp_path)
    assert done.returncode == 1
    assert "deliberately broken" in done.stderr
    assert "1 of 2 runs done" in done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| broken") or line.startswith("| whole")]
    assert "failed" in rows[0]
    assert "failed" not in rows[1]


OWN = """\
import torch
from torch import nn


class Eca(nn.Module):
    def __init__(self, channels, kernel_size=3):
        super().__init__()
        self.conv = nn.Conv1d(1, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def forward(self, x, frames):
        return x * self.conv(x.mean((2, 3)).unsqueeze(1)).sigmoid().squeeze(1)[:, :, None, None]


class Change(nn.Module):
    def __init__(self, frames=2):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(3, 1, 1))

    def forward(self, x):
        return x.diff(dim=1).mean(1) * self.gain
"""


def test_a_module_a_gate_and_a_representation_of_ones_own(tmp_path: Path) -> None:
    mine, table = tmp_path / "mine.py", tmp_path / "own.yaml"
    mine.write_text(OWN)
    table.write_text(
        "paper: mine\ntable: own\ncaption: Attention of my own.\ndataset: something-v1\n"
        "columns: [top1, insert_gmacs, insert_mparams]\nbase: [network/tsm_r18, recipe/bqn, data/something-v1]\nrows:\n"
        f"  - {{label: module, set: {{model.insert: [se, '{mine}:Eca'], model.insert_after: [res3.all]}}}}\n"
        f"  - {{label: gate, set: {{model.gate: '{mine}:Eca', model.gate_options.kernel_size: 5}}}}\n"
        f"  - {{label: representation, set: {{model.representation: '{mine}:Change'}}}}\n"
    )
    done = run("run", str(table), "--protocol", "smoke", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "3 of 3 runs done" in done.stderr
    with (tmp_path / "results" / "mine" / "own" / "smoke" / "cells.csv").open() as file:
        cells = {(c["label"], c["column"]): c["value"] for c in csv.DictReader(file)}
    # At paper scale: two convolutions of 3 weights over 128 channels of 8 frames, and two of SE's pairs of layers.
    assert float(cells["module", "insert_gmacs"]) == pytest.approx(2 * (8 * 128 * 3 + 2 * 128 * 8) / 1e9)
    assert float(cells["module", "insert_mparams"]) == pytest.approx(2 * (3 + 2 * 128 * 8) / 1e6)
    trained = 0
    for folder in (tmp_path / "runs").glob("[0-9a-f]*"):
        assert str(mine) in json.loads((folder / "code.json").read_text())["symbols"]
        assert "training starts anew" not in (folder / "log.txt").read_text()
        weights = torch.load(folder / "checkpoint.pt", weights_only=True)["model"]
        gains = [value for name, value in weights.items() if name.endswith("representation.gain")]
        trained += sum(not torch.equal(gain, torch.ones_like(gain)) for gain in gains)
    assert trained == 1
    states = json.loads(run("status", str(table), "--protocol", "smoke", "--json", folder=tmp_path).stdout)
    assert {state["state"] for state in states} == {"done"}
    mine.write_text(OWN + "# edited\n")
    states = json.loads(run("status", str(table), "--protocol", "smoke", "--json", folder=tmp_path).stdout)
    assert {state["state"] for state in states} == {"pending"}


EVERY_KIND = """\
paper: mine
table: kinds
caption: One row of every network, representation and training that the papers' tables have.
dataset: something-v1
columns: [top1, enopr]
base: [network/tsm_r50, recipe/bqn, data/something-v1]
rows:
  - {label: RGB difference, set: {model.representation: rgb_difference}}
  - {label: flow, base: network/flow_r50}
  - {label: low flow, base: network/flow_r50, set: {model.flow: {frames: 1, interval: 4}}}
  - {label: TVNet, set: {model.representation: tvnet}}
  - {label: PA, set: {model.representation: persistent_appearance}}
  - {label: dynamic image, set: {model.representation: dynamic_image}}
  - {label: squeezed, set: {model.representation: squeezed_image, train.residual_weight: 10.0}}
  - {label: MobileNetV2, base: network/mobilenet_v2}
  - {label: X3D, base: [network/x3d_m, recipe/bqn_x3d]}
  - {label: DA, base: [network/da_x3d_xs, recipe/da_x3d]}
  - {label: separate, base: [network/da_x3d_xs, recipe/da_x3d], set: {train.joint.strategy: separate}}
  - {label: scheduler, base: [network/da_x3d_xs, recipe/da_x3d], set: {train.joint.strategy: scheduler}}
  - {label: ViT, base: [network/vit_b16, recipe/da_vit],
     set: {model.representation: dynamic_appearance, train.joint.strategy: mgda}}
  - {label: BQN X3D, base: [network/bqn_x3d, recipe/bqn_x3d]}
  - {label: TeSNet, base: &tesnet [network/tesnet, recipe/tsp, data/ucf101_tsp]}
  - {label: TeSNet flow, base: *tesnet, set: {model.modality: flow}}
  - {label: chain, set: {model.insert: [gc, rnl]}}
  - {label: NL, set: {model.insert: [nl]}}
  - {label: gates, set: {model.insert: [se, cbam, cpa]}}
  - {label: MS, set: {model.depth: 18, model.insert: [motion_squeeze], model.insert_after: [res3]}}
  - {label: CP, set: {model.depth: 18, model.insert: [correspondence], model.insert_after: [res3]}}
  - {label: CMR, base: [network/cmr_r50, recipe/cmr]}
  - {label: MEM, base: [network/tim_r50, recipe/cmr], set: {model.gate: mem}}
  - {label: PEM, base: [network/tim_r50, recipe/cmr], set: {model.gate: pem}}
  - {label: MobileNetV2 MS, base: [network/mobilenet_v2, recipe/msnet], set: {model: {temporal_shift: false,
     stem_kernel: 7, insert: [motion_squeeze], insert_after: [stage3]}, model.motion_squeeze.reduced: null}}
  - {label: I3D MS, base: [network/i3d, recipe/msnet],
     set: {model.insert: [motion_squeeze], model.insert_after: [mixed_3b]}}
  - {label: two streams, average: [TeSNet, TeSNet flow]}
"""


def test_every_kind_of_network_trains_and_is_counted(tmp_path: Path) -> None:
    spec = tmp_path / "kinds.yaml"
    spec.write_text(EVERY_KIND)
    done = run("run", str(spec), "--protocol", "smoke", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "26 of 26 runs done" in done.stderr
    with (tmp_path / "results" / "mine" / "kinds" / "smoke" / "cells.csv").open() as file:
        cells = {(c["label"], c["column"], c["kind"]): c for c in csv.DictReader(file)}
    labels = {label for label, _, _ in cells}
    assert len(labels) == 27
    for label in labels:
        assert 0 <= float(cells[label, "top1", "measured"]["value"]) <= 100
        assert float(cells[label, "gmacs", "counted"]["value"]) > 0.5
    with_residual = {label for label, column, kind in cells if column == "enopr" and kind == "measured"}
    assert with_residual == {"squeezed", "DA", "separate", "scheduler", "ViT", "TeSNet", "TeSNet flow"}
