"""The README tells the truth: its commands run, and the table and figures that it shows are those of results/."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmark.cli.main import build_parser
from benchmark.config.models import TsmResNetConfig
from benchmark.data.embedded.motionpairs import SETTINGS
from benchmark.data.embedded.render import render, write_video
from benchmark.models.build import build_model
from benchmark.plan import make_plan
from benchmark.spec.files import spec_paths, table_paths
from benchmark.spec.load import load_table

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.S | re.M)
"""Language and text of each."""
LINES = [line.split("#")[0].strip() for language, block in BLOCKS if not language for line in block.split("\n")]
COMMANDS = [line for line in LINES if line.startswith("python -m benchmark")]
ON_HELD_DATA = [line.partition(" ")[2] for line in LINES if line.startswith("BENCHMARK_")]
"""These need data sets that nobody has here; tests/data/test_held_run.py runs them on small trees."""
TARGETS = [line for line in LINES if line.startswith("make ")]


def test_there_are_commands_to_check() -> None:
    assert len(COMMANDS) >= 9
    assert {"make table-bqn-3b", "make test"} <= set(TARGETS)


@pytest.mark.parametrize("command", COMMANDS + ON_HELD_DATA)
def test_every_command_is_one_that_the_program_takes(command: str) -> None:
    build_parser().parse_args(shlex.split(command)[3:])


@pytest.mark.parametrize("target", TARGETS)
def test_every_make_target_exists(target: str) -> None:
    done = subprocess.run(["make", "-n", *target.split()[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", [c for c in COMMANDS if " submit " not in c])
def test_every_command_runs(command: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Trainings run on the smoke protocol, flow is the tiny data set's, and the reader's video is one of its clips.

    One set of folders serves all commands, as for a reader.
    """
    folder = tmp_path_factory.getbasetemp() / "reader"
    arguments = shlex.split(command)[3:]
    if arguments[:2] == ["data", "flow"]:
        arguments[2] = "motionpairs-tiny"
    if arguments[0] == "new":
        (folder / "new").mkdir(parents=True, exist_ok=True)
        (folder / "new/cells.csv").write_text("Method,Top-1 (%),FLOPs\nTSN,19.7,33G\nTDN,52.3,36G\n")
        arguments = [str(folder / "new/cells.csv") if word == "cells.csv" else word for word in arguments]
        arguments += ["--in", str(folder / "new")]
    if arguments[0] == "diff":  # of the runs that the commands above it have left
        keys = sorted(path.parent.name for path in (folder / "runs").glob("*/result.json"))
        arguments[1:] = [keys[0], keys[-1]]
    if arguments[0] == "visualize":
        write_video(render(SETTINGS["motionpairs-tiny"], "val", 0), tmp_path_factory.getbasetemp() / "video.mp4")
        arguments[arguments.index("video.mp4")] = str(tmp_path_factory.getbasetemp() / "video.mp4")
        arguments += ["--out", str(folder / "figures")]
    if arguments[0] in ("export", "predict"):  # the one of the other
        exported = str(folder / "bqn.safetensors")
        arguments += ["--out", exported] if arguments[0] == "export" else []
        places = {"bqn.safetensors": exported, "seen": str(folder / "seen"), "video.mp4": a_video(folder)}
        arguments = [places.get(word, word) for word in arguments]
    own = "gestures" in command
    if own:
        arguments = of_gestures(arguments, tmp_path_factory.getbasetemp())
    of_runs = ("run", "records", "verify", "report", "export")
    if arguments[0] in of_runs and "--protocol" not in arguments and "--by" not in arguments:
        arguments += ["--protocol", "smoke"]
    environment = {**os.environ, **{f"BENCHMARK_{n.upper()}": str(folder / n) for n in ("runs", "results", "records")}}
    if own:
        environment["BENCHMARK_DATA"] = str(folder / "data")
    done = subprocess.run(
        [sys.executable, "-m", "benchmark", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def a_video(folder: Path) -> str:
    write_video(render(SETTINGS["motionpairs-tiny"], "val", 0), folder / "video.mp4")
    return str(folder / "video.mp4")


def of_gestures(arguments: list[str], base: Path) -> list[str]:
    """A command with the reader's folder of videos, and the file that is drafted of it, where tests may write."""
    videos, file = base / "gestures", base / "gestures.yaml"
    if not videos.exists():
        for i in range(12):
            path = videos / ("left", "push", "right")[i % 3] / f"VID_{i}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_video(render(SETTINGS["motionpairs-tiny"], "val", i), path)
    changed = [{"gestures": str(videos), "gestures.yaml": str(file)}.get(word, word) for word in arguments]
    return [*changed, "--out", str(file)] if changed[:2] == ["data", "new"] else changed


def test_the_example_table_is_the_committed_one() -> None:
    def rows(text: str) -> list[list[str]]:
        cells = [[c.strip(" ¹²³") for c in line.strip("|").split("|")] for line in text.split("\n") if "|" in line]
        return [row for row in cells if row[0] in ("# BPLC", "0", "4", "8", "16") and len(row) == 5]

    shown = rows(TEXT)
    assert len(shown) == 5
    assert shown == rows((ROOT / "results/bqn/3b/table.md").read_text())[:5]


def test_what_it_says_of_all_tables_is_so() -> None:
    names = list(spec_paths())
    figures = [name for name in names if "-fig" in name]
    plan = make_plan(load_table(name) for name in table_paths())
    counts = f"{len(names) - len(figures)} tables and {len(figures)} figures ask for {plan.wanted} runs and need"
    assert f"{counts} {len(plan.runs)}, since rows repeat" in TEXT
    of_bqn = make_plan(load_table(name) for name in table_paths() if name.startswith("bqn-"))
    assert f"{len(of_bqn.runs)}, since {of_bqn.shared} of {of_bqn.wanted} are shared" in TEXT
    page = " ".join((ROOT / "docs/costs.md").read_text().split())
    distinct = re.search(r"print (\d+) distinct costs", page)
    reproduced = re.search(r"(\d+) are \*reproduced\*", page)
    assert distinct is not None
    assert reproduced is not None
    assert f"Of {distinct[1]} distinct printed GFLOPs" in TEXT
    assert f"{reproduced[1]} are reproduced" in TEXT


def test_the_recipe_of_a_module_is_the_example() -> None:
    """What the slow test of every command trains."""
    shown = {language: [block for of, block in BLOCKS if of == language] for language in ("python", "yaml")}
    for name in ("eca.py", "change.py"):
        assert (ROOT / "examples" / name).read_text() in shown["python"]
    assert (ROOT / "examples/attention.yaml").read_text() in shown["yaml"]
    assert "python -m benchmark run examples/attention.yaml --protocol smoke" in COMMANDS


def test_the_recipe_says_what_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    table = load_table("examples/attention.yaml", "smoke")
    assert [row.label for row in table.rows][1:3] == ["after res3", "after res3.all, res4.all"]
    configs = [row.config for row in table.rows if row.config is not None]
    models = [config.model for config in configs if isinstance(config.model, TsmResNetConfig)]
    places = [("res3.1",), ("res3.0", "res3.1", "res4.0", "res4.1")]
    assert [model.inserted_at for model in models[1:3]] == places
    for config in configs:
        network = build_model(config.model, config.data)
        clip = torch.randn(1, config.frames, 3, config.data.size, config.data.size)
        assert network(clip).shape == (1, config.data.num_classes)


def test_every_file_that_it_names_exists() -> None:
    named = re.findall(r"`((?:benchmark|tables|tests|tools|examples|slurm|results)/[\w./-]+\.\w+)`", TEXT)
    assert named
    missing = [name for name in named if not (ROOT / name).exists()]
    assert missing == []


def test_the_number_of_shared_runs_is_the_planned_one() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmark", "plan", "bqn", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    plan = json.loads(done.stdout)
    assert (
        f"needed: {plan['runs']}" in TEXT or f"need: {plan['runs']}, since {plan['shared']} of {plan['wanted']}" in TEXT
    )
