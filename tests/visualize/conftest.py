from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch

from benchmark.cli import visualize
from benchmark.config.run import RunConfig
from benchmark.data.datasets import prepare
from benchmark.data.embedded.motionpairs import SETTINGS, Setting
from benchmark.models.build import build_model
from benchmark.report.plots import style
from benchmark.report.plots.style import saved
from benchmark.runs.directory import RunDir

SMALL = Setting("motionpairs-tiny", train_clips=8, val_clips=8, frames=12, height=40, width=48)


class Pictures(dict[str, Path]):
    """The files of a picture by ending."""

    @property
    def texts(self) -> list[str]:
        """The words of the SVG, in their order."""
        elements = ElementTree.parse(self[".svg"]).iter("{http://www.w3.org/2000/svg}text")
        return ["".join(element.itertext()) for element in elements]


def make_run(key: str, model: dict[str, Any]) -> None:
    """A run of one epoch that was never trained."""
    config = RunConfig.model_validate(
        {"model": model, "data": {"dataset": "motionpairs-tiny", "size": 56}, "eval": {"scale": 64}}
    )
    run = RunDir.of(key)
    run.prepare(config)
    torch.manual_seed(0)
    state = build_model(config.model, config.data).state_dict()
    for name, value in state.items():
        if ".cpa.convs" in name:  # zero at first, when all weights agree
            value.normal_(std=0.3)
    torch.save({"model": state, "optimizer": {}, "history": [{"epoch": 0}]}, run.path / "checkpoint.pt")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few short clips."""
    data = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCHMARK_DATA", str(data))
        patch.setitem(SETTINGS, "motionpairs-tiny", SMALL)
        prepare(SMALL, workers=1)
    return data


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of the test file's MODELS, written by its own `make_run` where it has one."""
    runs = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCHMARK_RUNS", str(runs))
        patch.setitem(SETTINGS, "motionpairs-tiny", SMALL)
        for key, model in request.module.MODELS.items():
            getattr(request.module, "make_run", make_run)(key, model)
    return runs


@pytest.fixture
def here(data: Path, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setenv("BENCHMARK_DATA", str(data))
    monkeypatch.setenv("BENCHMARK_RUNS", str(runs))
    monkeypatch.setitem(SETTINGS, "motionpairs-tiny", SMALL)


@pytest.fixture
def call(
    here: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts_cut_off: Callable[[Any], list[str]]
) -> Callable[[str], Pictures]:
    """Run `visualize` with some arguments; whatever it draws, no text is cut off at the edges of the picture."""

    def save(figure: Any, kind: str) -> bytes:
        assert texts_cut_off(figure) == []
        return saved(figure, kind)

    monkeypatch.setattr(style, "saved", save)

    def run(arguments: str) -> Pictures:
        parser = argparse.ArgumentParser()
        visualize.add_arguments(parser)
        assert visualize.main(parser.parse_args([*arguments.split(), "--out", str(tmp_path / "out")])) == 0
        return Pictures({path.suffix: path for path in (tmp_path / "out").iterdir()})

    return run
