"""What is stronger than what: bases, the table's `set`, the protocol, the row's `set`."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.config.run import RunConfig
from benchmark.config.source import SpecError
from benchmark.spec.explain import explain
from benchmark.spec.load import load_table

FILES = {
    "bases/network/resnet": "model: {name: tsm_resnet, depth: 18}\ndata: {segments: 8}\n",
    "bases/network/x3d": "model: {name: x3d}\ndata: {segments: 16}\n",
    "bases/recipe/long": "train: {epochs: 90, lr: 0.9, batch_size: 90}\n",
    "bases/recipe/short": "train: {epochs: 20, lr: 0.2, batch_size: 20}\n",
    "bases/data/clips": "data: {dataset: hmdb51}\n",
    "protocols/paper": "title: t\nseeds: [0]\n",
    "protocols/small": "title: s\nseeds: [0]\nspatial: 0.5\n"
    "set: {train.lr: 0.3, train.batch_size: 3, data.size: 64}\nmodels: {x3d: {train.batch_size: 4}}\n",
    "protocols/by_family": "title: f\nseeds: [0]\nset: {train.lr: 0.3}\nmodels: {tsm_resnet: {train.lr: 0.4}}\n"
    "families: {deep: {model.depth: [50, 101]}, wide: {model.name: x3d}}\nrecipes: {deep: {train.lr: 0.5}}\n",
}
TABLE = """\
paper: own
table: t
caption: c
dataset: hmdb51
columns: [top1]
base: [network/resnet, recipe/long, data/clips]
set: {model.depth: 101, data.segments: 4, train: {epochs: 70, lr: 0.7}, eval.scale: 320}
rows:
  - {label: plain}
  - {label: x3d, base: network/x3d}
  - {label: short, base: [recipe/short]}
  - {label: set, base: [network/resnet, recipe/short], set: {model.depth: 50, train.lr: 0.1, data.size: 128}}
"""


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCHMARK_TABLES", str(tmp_path))
    for name, text in FILES.items():
        path = tmp_path / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "own").mkdir()
    path = tmp_path / "own/t.yaml"
    path.write_text(TABLE)
    return path


def configs(protocol: str) -> dict[str, RunConfig]:
    return {row.label: row.config for row in load_table("own-t", protocol).rows if row.config is not None}


@pytest.mark.usefixtures("table")
def test_a_row_replaces_the_base_of_an_axis_and_a_network_what_the_table_sets_for_another() -> None:
    found = configs("paper")
    assert {label: (c.model.name, getattr(c.model, "depth", 0), c.data.segments) for label, c in found.items()} == {
        "plain": ("tsm_resnet", 101, 4),
        "x3d": ("x3d", 0, 16),
        "short": ("tsm_resnet", 101, 4),
        "set": ("tsm_resnet", 50, 8),
    }
    # What the table sets for no network is every row's, whatever bases the row has.
    trained = {label: (c.train.epochs, c.train.lr, c.train.batch_size) for label, c in found.items()}
    assert trained == {"plain": (70, 0.7, 90), "x3d": (70, 0.7, 90), "short": (70, 0.7, 20), "set": (70, 0.1, 20)}
    assert {c.data.dataset for c in found.values()} == {"hmdb51"}


@pytest.mark.usefixtures("table")
def test_a_protocol_is_stronger_than_a_table_and_weaker_than_a_row_and_scales_what_it_does_not_set() -> None:
    found = configs("small")
    trained = {label: (c.train.epochs, c.train.lr, c.train.batch_size) for label, c in found.items()}
    assert trained == {"plain": (70, 0.3, 3), "x3d": (70, 0.3, 4), "short": (70, 0.3, 3), "set": (70, 0.1, 3)}
    assert {label: (c.data.size, c.eval.scale) for label, c in found.items()} == {
        "plain": (64, 160),
        "x3d": (64, 128),  # the table's 320 is for networks that name no clip of their own
        "short": (64, 160),
        "set": (128, 128),
    }


@pytest.mark.usefixtures("table")
def test_a_family_s_recipe_is_stronger_than_its_network_s(table: Path) -> None:
    table.write_text(TABLE.replace("model.depth: 50, train.lr: 0.1,", "model.depth: 18,"))
    rates = {label: config.train.lr for label, config in configs("by_family").items()}
    assert rates == {"plain": 0.5, "x3d": 0.3, "short": 0.5, "set": 0.4}
    path = table.parents[1] / "protocols/by_family.yaml"
    path.write_text(path.read_text().replace("recipes: {deep:", "recipes: {dep:"))
    with pytest.raises(SpecError, match=r"by_family\.yaml:6: .*'dep' is none of the protocol's families.*'deep'"):
        load_table("own-t", "by_family")


def test_a_measured_row_needs_a_base(table: Path) -> None:
    table.write_text("".join(line for line in TABLE.splitlines(True) if not line.startswith("base:")))
    with pytest.raises(SpecError) as caught:
        load_table("own-t", "paper")
    assert [str(problem).partition("own/t.yaml:")[2] for problem in caught.value.problems] == [
        "8: row 'plain' has no base, and the table has none",
        "10: 'model' has no name: a base of a network gives it one, network/NAME",
    ]
    # Of a table that prints other papers' numbers alone there is nothing to say.
    table.write_text(table.read_text().split("rows:")[0] + "rows: [{label: a, quoted: true, printed: {top1: 1.0}}]\n")
    assert load_table("own-t", "paper").row("a").printed == {"top1": 1.0}


@pytest.mark.usefixtures("table")
def test_settings_of_a_request_are_stronger_than_any_file_s() -> None:
    asked = load_table("own-t", "small", asked=("train.lr=0.9", "data.size = 32", "train={epochs: 8}"))
    found = {row.label: row.config for row in asked.rows if row.config is not None}
    assert {(c.train.lr, c.data.size, c.train.epochs) for c in found.values()} == {(0.9, 32, 8)}
    assert {label: c.train.batch_size for label, c in found.items()} == {"plain": 3, "x3d": 4, "short": 3, "set": 3}
    assert {row.paper_config.data.size for row in asked.rows if row.paper_config} == {32}
    origins = explain("own-t", ["set"], "small", asked=("train.lr=0.9",))["set"]["train.lr"]
    assert [(str(one).partition("own/t.yaml")[2] or str(one), one.value) for one in origins[:2]] == [
        ("--set train.lr=0.9", 0.9),
        (":12", 0.1),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("train.lr", "--set train.lr: must be KEY=VALUE, such as train.lr=0.1"),
        ("train lr=3", "must be KEY=VALUE"),
        ("train.lr=", "'train.lr' has no value; nothing is written null"),
        ("seed=3", "seeds are chosen by --seeds"),
        ("train.lr=[1,", "--set train.lr=[1,: is not valid YAML"),
        ("train.lrr=1", "--set train.lrr=1: unknown key 'train.lrr'. Did you mean 'train.lr'?"),
        ("train.lr=-1", "--set train.lr=-1: 'train.lr'"),
        ("model.depth=50", "--set model.depth=50: unknown key 'model.depth'"),
        ("train.epochs=3\nseed: 4", "is not valid YAML"),
    ],
)
@pytest.mark.usefixtures("table")
def test_a_setting_that_cannot_be_is_refused_by_its_text(text: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_table("own-t", "small", asked=(text,))
    assert said in str(caught.value)


@pytest.mark.usefixtures("table")
def test_a_setting_is_given_once() -> None:
    with pytest.raises(SpecError, match=r"'train\.lr' is given twice"):
        load_table("own-t", "small", asked=("train.lr=0.1", "train.lr=0.2"))
