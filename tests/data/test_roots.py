"""Where a user says that data sets are: by a variable or in a file, and what is said when neither is of use."""

from pathlib import Path

import pytest

from benchmark.config.datasets import DATASETS
from benchmark.config.folders import config_path
from benchmark.data.errors import DataError
from benchmark.data.roots import find_root, root_of, variable_of


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's file, which does not exist yet; no variable says anything."""
    for info in DATASETS.values():
        for suffix in ("", "_LABELS"):
            monkeypatch.delenv(variable_of(info.name) + suffix, raising=False)
    path = tmp_path / "datasets.yaml"
    monkeypatch.setenv("BENCHMARK_DATASETS", str(path))
    return path


def test_the_file_is_in_the_users_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("BENCHMARK_DATASETS", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert config_path() == tmp_path / ".config/benchmark/datasets.yaml"


def test_without_a_root_both_ways_to_say_it_are_shown(config: Path) -> None:
    assert find_root("something-v1") is None
    with pytest.raises(DataError) as caught:
        root_of("something-v1")
    text = str(caught.value)
    assert "export BENCHMARK_SOMETHING_V1=/path/to/something-v1" in text
    assert "something-v1: {root: /path/to/something-v1}" in text
    assert str(config) in text
    assert "--protocol embedded" in text


def test_the_variable_wins_over_the_file(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("in file", "in väriable", "lists"):
        (tmp_path / name).mkdir()
    config.write_text(f"ucf101: {{root: {tmp_path}/in file, labels: lists}}\n")
    said = root_of("ucf101")
    assert (said.path, said.labels, said.source) == (tmp_path / "in file", tmp_path / "lists", str(config))
    monkeypatch.setenv("BENCHMARK_UCF101", str(tmp_path / "in väriable"))
    said = root_of("ucf101")
    assert (said.path, said.labels) == (tmp_path / "in väriable", tmp_path / "in väriable")
    assert said.source == "BENCHMARK_UCF101"
    monkeypatch.setenv("BENCHMARK_UCF101_LABELS", str(tmp_path / "lists"))
    assert root_of("ucf101").labels == tmp_path / "lists"


def test_official_splits_share_a_root(config: Path, tmp_path: Path) -> None:
    config.write_text(f"hmdb51: {{root: {tmp_path}}}\n")
    assert root_of("hmdb51") == root_of("hmdb51-2") == root_of("hmdb51-3")
    config.write_text(f"hmdb51-2: {{root: {tmp_path}}}\n")
    with pytest.raises(DataError, match=r"unknown data set 'hmdb51-2'. Did you mean 'hmdb51'"):
        root_of("hmdb51")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ucf101: {root: /nowhere/at/all}", "does not exist"),
        ("ucf101: {root: datasets.yaml}", "is a file, not a folder"),
        ("ucf101: /data", "must have a root, as in ucf101: {root: /path/to/ucf101}"),
        ("ucf101: {root: 7}", "root of ucf101 must be the path of one folder, not 7"),
        ("ucf101: {root: ''}", "must be the path of one folder, not ''"),
        ("ucf101: {root: [/a, /b]}", "must be the path of one folder"),
        ("ucf101: {labels: .}", "ucf101 must have a root"),
        ("ucf101: {rot: .}", "unknown key 'rot'. Did you mean 'root'"),
        ("ucf101: {root: .}\nucf101: {root: ..}", "datasets.yaml:2: key 'ucf101' is given twice"),
        ("ucf101: {root: ., label: .}", "unknown key 'label'. Did you mean 'labels'"),
        ("ufc101: {root: .}", "unknown data set 'ufc101'. Did you mean 'ucf101'"),
        ("- ucf101", "must hold a mapping"),
        ("ucf101: {root: ", "not valid YAML"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_mistake(config: Path, text: str, says: str) -> None:
    config.write_text(text)
    with pytest.raises(DataError) as caught:
        root_of("ucf101")
    assert says in str(caught.value)
    assert str(config) in str(caught.value)


def test_variables_in_a_path_are_filled_in(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRATCH", str(tmp_path))
    config.write_text("ucf101: {root: $SCRATCH}")
    assert root_of("ucf101").path == tmp_path


def test_an_empty_file_says_nothing(config: Path) -> None:
    config.write_text("# none yet\n")
    assert find_root("ucf101") is None


def test_labels_without_a_root_are_noticed(config: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BENCHMARK_UCF101_LABELS", str(tmp_path))
    with pytest.raises(DataError, match="BENCHMARK_UCF101 is not"):
        find_root("ucf101")


@pytest.mark.parametrize("name", ["ucf101", "hmdb51"])
def test_three_official_splits_have_one_number_of_clips(name: str) -> None:
    splits = [DATASETS[f"{name}{suffix}"] for suffix in ("", "-2", "-3")]
    assert [info.official_split for info in splits] == [1, 2, 3]
    # Every UCF101 clip is in one half or the other of each split; HMDB51 splits take 70 and 30 of each class.
    totals = {"ucf101": [13_320] * 3, "hmdb51": [51 * 100] * 3}
    assert [info.train_clips + info.val_clips for info in splits] == totals[name]
