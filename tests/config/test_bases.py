"""Bases by axis: what each may set, how they are put together, and what is said where they cannot be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmark.config.bases import AXES, axis_of, composed, read_bases
from benchmark.config.overrides import Setting
from benchmark.config.parse import keys_below
from benchmark.config.run import RunConfig
from benchmark.config.source import Problem
from benchmark.spec.files import spec_paths
from benchmark.spec.load import load_table

FILES = {
    "network/small": "model: {name: x3d}\ndata: {segments: 4}\ntrain: {param_groups: tsm}\neval: {scale: 182}\n",
    "network/tuned": "base: network/small\nmodel: {variant: xs, pretrained: kinetics400}\n",
    "network/third": "base: network/tuned\n",
    "recipe/plain": "model: {dropout: 0.5}\ntrain: {lr: 0.1, epochs: 3}\n",
    "recipe/slow": "base: recipe/plain\ntrain:\n  lr: 0.01\n  param_groups: plain\n",
    "recipe/crossed": "base: network/small\n",
    "recipe/sizes": "train: {lr: 0.1}\ndata:\n  train_crop: jitter\n  size: 112\n",
    "data/clips": "data: {dataset: hmdb51}\neval: {clips: 10, scale: 128}\n",
}


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCHMARK_TABLES", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        path = tmp_path / f"bases/{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def refused(*names: str) -> list[str]:
    problems: list[Problem] = []
    assert read_bases([Setting(name, "t.yaml", 7) for name in names], problems) is None
    return [str(problem) for problem in problems]


def test_every_setting_belongs_to_one_axis() -> None:
    axes = {key: axis_of(key) for key in keys_below(RunConfig) if "." in key}
    assert {axes[key] for key in axes} == set(AXES)
    assert [axes[key] for key in ("train.lr", "data.dataset", "eval.crops")] == ["recipe", "data", "data"]
    assert [axes[key] for key in ("data.size", "eval.scale", "train.joint.strategy")] == ["network"] * 3
    assert [axis_of(f"model.{key}") for key in ("name", "pretrained", "dropout")] == ["network", "recipe", "recipe"]
    assert axis_of("seed") is None


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_where_two_axes_set_a_key_the_later_is_the_stronger_in_any_order_of_names(order: tuple[int, ...]) -> None:
    names = [("network/tuned", "recipe/slow", "data/clips")[i] for i in order]
    bases = read_bases([Setting(name, "t.yaml", 7) for name in names], [])
    assert bases is not None
    layer = composed(bases)
    assert {key: setting.value for key, setting in layer.items()} == {
        "model.name": "x3d",
        "model.variant": "xs",
        "model.pretrained": "kinetics400",
        "model.dropout": 0.5,
        "data.dataset": "hmdb51",
        "data.segments": 4,
        "train.lr": 0.01,
        "train.epochs": 3,
        "train.param_groups": "plain",
        "eval.clips": 10,
        "eval.scale": 128,
    }


def test_a_setting_knows_its_line_and_what_it_overrode() -> None:
    bases = read_bases([Setting(name, "t.yaml", 7) for name in ("network/tuned", "recipe/slow")], [])
    assert bases is not None
    lr, groups = (composed(bases)[key] for key in ("train.lr", "train.param_groups"))
    assert lr == Setting(0.01, "bases/recipe/slow.yaml", 3, over=Setting(0.1, "bases/recipe/plain.yaml", 2))
    assert groups == Setting("plain", "bases/recipe/slow.yaml", 4, over=Setting("tsm", "bases/network/small.yaml", 3))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["network/smal"], "t.yaml:7: no base 'smal' in bases/network. Did you mean 'small'?"),
        (["recipe/sizess"], "t.yaml:7: no base 'sizess' in bases/recipe. Did you mean 'sizes'?"),
        (
            ["networks/small"],
            "t.yaml:7: no base 'networks/small': there is no axis 'networks'. Did you mean 'network'?",
        ),
        (["small"], "t.yaml:7: no base 'small': its axis comes first, as in network/small"),
        (["other"], "t.yaml:7: no base 'other': its axis comes first, as in network/NAME, recipe/NAME, data/NAME"),
        (["recipe/plain", "recipe/slow"], "t.yaml:7: base 'recipe/slow' is the second of its axis, recipe"),
        (
            ["network/third"],
            "bases/network/third.yaml:1: 'network/third' builds on 'network/tuned', which builds on 'network/small':"
            " bases are two deep at most",
        ),
        (
            ["recipe/crossed"],
            "bases/recipe/crossed.yaml:1: 'recipe/crossed' builds on 'network/small', a base of another axis",
        ),
        (
            ["recipe/sizes"],
            "bases/recipe/sizes.yaml:4: 'data.size' is for a base of network; one of recipe sets train, model.dropout,"
            " model.pretrained, model.classifier_init, data.train_crop",
        ),
    ],
)
def test_each_mistake_is_one_clear_sentence(names: list[str], expected: str) -> None:
    assert refused(*names) == [expected]


def test_all_mistakes_are_reported_at_once() -> None:
    assert len(refused("network/smal", "recipe/sizes", "data/clip")) == 3


def test_tables_may_lie_in_several_folders_and_take_the_repository_s_bases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first folder that has a table, a base or a protocol gives it."""
    first, second = tmp_path / "first", tmp_path / "second"
    monkeypatch.setenv("BENCHMARK_TABLES", f"{first}{os.pathsep}{second}")
    text = (
        "paper: mine\ntable: a\ncaption: c\ndataset: something-v1\ncolumns: [top1]\n"
        "base: [network/tsm_r50, recipe/quick, data/something-v1]\nrows: [{label: x}]\n"
    )
    for folder, rate in ((first, 0.5), (second, 0.25)):
        for name, content in (("mine/a", text), ("bases/recipe/quick", f"train: {{lr: {rate}}}\n")):
            path = folder / f"{name}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
    (second / "mine/b.yaml").write_text(text.replace("table: a", "table: b"))
    assert list(spec_paths()) == ["mine-a", "mine-b"]
    for name in spec_paths():
        config = load_table(name, "paper").rows[0].config
        assert config is not None
        assert (config.model.name, config.train.lr) == ("tsm_resnet", 0.5)
    (first / "bases/recipe/quick.yaml").unlink()
    config = load_table("mine-a", "paper").rows[0].config
    assert config is not None
    assert config.train.lr == 0.25
