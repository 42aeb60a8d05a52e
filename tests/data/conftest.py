"""A few clips of a small setting, rendered once for all tests of this folder."""

from pathlib import Path

import pytest

from benchmark.data.datasets import prepare
from benchmark.data.embedded.motionpairs import Setting

SMALL = Setting("small", train_clips=16, val_clips=8)


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def small(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Setting:
    """The small setting, prepared; BENCHMARK_DATA points at it."""
    monkeypatch.setenv("BENCHMARK_DATA", str(data_folder))
    prepare(SMALL, workers=1)
    return SMALL
