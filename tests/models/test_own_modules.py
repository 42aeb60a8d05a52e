"""Modules, gates and representations of the user's own: files named by a table, without any edit of the package."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmark.config.models import I3dConfig, MobileNetV2Config, TsmResNetConfig
from benchmark.config.run import DataConfig, RunConfig
from benchmark.config.source import SpecError
from benchmark.cost.audit import audit_row
from benchmark.cost.cache import counted_settings
from benchmark.cost.counters import count
from benchmark.cost.record import CostRecord
from benchmark.models.build import build_model
from benchmark.models.check import NetworkError
from benchmark.runs.directory import RunDir
from benchmark.runs.key import run_key
from benchmark.spec.load import load_table
from benchmark.spec.table import Table

ECA = """
from torch import nn


class Eca(nn.Module):
    def __init__(self, channels, kernel_size=3):
        super().__init__()
        self.conv = nn.Conv1d(1, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def forward(self, x, frames):
        means = x.mean((2, 3)).unsqueeze(1)
        return x * self.conv(means).sigmoid().squeeze(1)[:, :, None, None]


class Later(Eca):
    pass


class Needs(nn.Module):
    def __init__(self, channels, place, *, ratio, norm="batch"):
        super().__init__()
        self.seen = (channels, place, ratio, norm)
        self.conv = nn.Conv2d(channels, 2 * channels, 1)

    def forward(self, x, frames):
        return self.conv(x)


class Alone(nn.Module):
    def forward(self, x):
        return x


class Nothing:
    def forward(self, x, frames):
        return x


class Other(dict):
    def __init__(self, channels):
        super().__init__()
"""
TINT = """
import torch
from torch import nn

N = 3


class Tint(nn.Module):
    def __init__(self, frames=2, gain=1.0):
        super().__init__()
        self.frames, self.gain = frames, nn.Parameter(torch.tensor(gain))

    def forward(self, x):
        return x.diff(dim=1).flatten(1, 2) * self.gain


class Vague(Tint):
    def __init__(self, frames=N):
        super().__init__(frames)
"""
TABLE = """\
paper: own
table: mine
caption: Channel attention.
dataset: motionpairs-2
columns: [top1, gmacs, insert_gmacs, insert_mparams]
base: [network/tsm_r18, recipe/bqn, data/something-v1]
rows:
  - {label: none}
  - label: ECA
    set:
      model.insert: [ENTRY]
      model.insert_after: [res3]
      model.insert_options.Eca.kernel_size: 5
"""
SMALL = {"depth": 18, "width": 0.125, "insert_after": ["res3"]}
DATA = DataConfig(dataset="motionpairs", segments=4, size=56)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the user's files."""
    monkeypatch.setenv("BENCHMARK_TABLES", str(Path("tables").resolve()))
    monkeypatch.chdir(tmp_path)
    Path("my_eca.py").write_text(ECA)
    Path("my_repr.py").write_text(TINT)
    return tmp_path


@pytest.fixture
def table(here: Path) -> Callable[..., Table]:
    """The table, with a text of it replaced."""

    def load(old: str = "", new: str = "") -> Table:
        assert old in TABLE
        Path("mine.yaml").write_text(TABLE.replace(old, new, 1).replace("ENTRY", "my_eca.py:Eca"))
        return load_table("mine.yaml")

    return load


def small(**settings: Any) -> TsmResNetConfig:
    return TsmResNetConfig.model_validate({**SMALL, **settings})


def built(config: TsmResNetConfig | MobileNetV2Config | I3dConfig) -> nn.Module:
    return build_model(config, DATA)


def key(table: Table, label: str) -> str:
    config = table.row(label).config
    assert config is not None
    return run_key(config)


def test_a_table_names_it_by_file_and_its_options_and_digest_are_part_of_the_run(table: Callable[..., Table]) -> None:
    config = table().row("ECA").config
    assert config is not None
    model = config.model
    assert isinstance(model, TsmResNetConfig)
    assert model.insert == ("my_eca.py:Eca",)
    assert model.insert_options == {"Eca": {"kernel_size": 5}}
    assert model.insert_sources == {"my_eca.py:Eca": hashlib.sha256(ECA.encode()).hexdigest()[:12]}
    keys = [key(table(), label) for label in ("none", "ECA")]
    keys.append(key(table("kernel_size: 5", "kernel_size: 7"), "ECA"))
    Path("my_eca.py").write_text(ECA + "# edited\n")
    assert key(table(), "none") == keys[0]
    keys.append(key(table(), "ECA"))
    assert len(set(keys)) == 4


def test_a_file_that_changed_since_planning_is_refused_and_its_stored_config_still_reads(here: Path) -> None:
    planned = RunConfig(model=small(insert=["my_eca.py:Eca"]), data=DATA)
    RunDir(here / "run").prepare(planned)
    for change in (lambda file: file.write_text(ECA.replace("kernel_size=3", "size=3")), Path.unlink):
        change(Path("my_eca.py"))
        stored = RunDir(here / "run").config
        assert run_key(stored) == run_key(planned)
        with pytest.raises(NetworkError, match=r"my_eca\.py changed since this run was planned|no file 'my_eca\.py'"):
            build_model(stored.model, stored.data)


def slow_eca(x: Tensor, weight: Tensor) -> Tensor:
    """Every gate one by one: a sigmoid of the weighted means of its channel and of its neighbours."""
    count, channels = x.shape[:2]
    out = torch.empty_like(x)
    reach = len(weight) // 2
    for n in range(count):
        means = [float(x[n, c].mean()) for c in range(channels)]
        for c in range(channels):
            near = range(max(0, c - reach), min(channels, c + reach + 1))
            score = sum(float(weight[j - c + reach]) * means[j] for j in near)
            out[n, c] = x[n, c] / (1 + math.exp(-score))
    return out


def test_it_computes_what_its_file_says_where_the_table_puts_it(here: Path) -> None:
    network = built(small(insert=["my_eca.py:Eca"], insert_options={"Eca": {"kernel_size": 5}}))
    assert list(network.get_submodule("backbone.inserts")._modules) == ["res3_1"]
    module = network.get_submodule("backbone.inserts.res3_1")
    passed: list[tuple[Tensor, Tensor]] = []

    def keep(module: nn.Module, arguments: tuple[Any, ...], output: Tensor) -> None:
        passed.append((arguments[0], output))

    module.register_forward_hook(keep)
    network.eval()
    with torch.no_grad():
        network(torch.randn(1, 4, 3, 56, 56))
    (weight,) = module.parameters()
    assert weight.shape == (1, 1, 5)
    ((x, y),) = passed
    torch.testing.assert_close(y, slow_eca(x, weight.detach().flatten()))


def test_it_trains_with_the_network(here: Path) -> None:
    network = built(small(insert=["my_eca.py:Eca"], gate="my_eca.py:Eca", gate_in="first"))
    mine = {name: p for name, p in network.named_parameters() if p.shape == (1, 1, 3)}
    assert sorted(mine) == [
        "backbone.inserts.res3_1.conv.weight",
        *(f"backbone.layer{stage}.0.before.0.conv.weight" for stage in (1, 2, 3, 4)),
    ]
    before = {name: p.detach().clone() for name, p in mine.items()}
    nn.functional.cross_entropy(network(torch.randn(2, 4, 3, 56, 56)), torch.tensor([0, 1])).backward()
    torch.optim.SGD(network.parameters(), 1.0).step()
    assert all(not torch.equal(p, before[name]) for name, p in mine.items())


@pytest.mark.parametrize(
    "chain", [["se", "my_eca.py:Eca", "my_eca.py:Later"], ["my_eca.py:Later", "se", "my_eca.py:Eca"]]
)
def test_a_chain_has_the_order_of_the_table_and_may_take_several_of_one_file(here: Path, chain: list[str]) -> None:
    options = {"Later": {"kernel_size": 7}}
    place = built(small(insert=chain, insert_options=options)).get_submodule("backbone.inserts.res3_1")
    assert [type(part).__name__ for part in place.children()] == [
        {"se": "SqueezeExcitation"}.get(name, name.rpartition(":")[2]) for name in chain
    ]
    assert place.get_submodule("Later.conv").kernel_size == (7,)
    assert place.get_submodule("Eca.conv").kernel_size == (3,)


def test_it_stands_in_every_network_that_takes_modules(here: Path) -> None:
    for config in (
        MobileNetV2Config(width=0.125, insert=("my_eca.py:Eca",), insert_after=("stage3",)),
        I3dConfig(width=0.125, insert=("my_eca.py:Eca",), insert_after=("mixed_3c",)),
    ):
        assert built(config)(torch.randn(1, 4, 3, 56, 56)).shape == (1, 8)


def test_its_cost_is_counted(table: Callable[..., Table]) -> None:
    loaded = table()
    records: dict[str, CostRecord] = {}

    def lookup(config: RunConfig) -> CostRecord:
        records[run_key(config)] = records.get(run_key(config)) or count(config)
        return records[run_key(config)]

    (none, eca) = (audit_row(loaded, loaded.row(label), lookup) for label in ("none", "ECA"))
    assert none is not None
    assert eca is not None
    # One convolution of 5 weights over 128 channels, for each of 8 frames.
    assert eca.cells["insert_gmacs"].count == pytest.approx(8 * 128 * 5 / 1e9)
    assert eca.cells["insert_mparams"].count == pytest.approx(5 / 1e6)
    assert eca.cells["gmacs"].count - none.cells["gmacs"].count == pytest.approx(8 * 128 * 5 / 1e9)
    assert eca.cells["mparams"].count - none.cells["mparams"].count == pytest.approx(5 / 1e6)
    assert not eca.doubt


def test_a_count_is_of_the_file_as_it_is(table: Callable[..., Table]) -> None:
    counted = []
    for text in (ECA, ECA + "# edited\n"):
        Path("my_eca.py").write_text(text)
        config = table().row("ECA").paper_config
        assert config is not None
        counted.append(counted_settings(config))
    assert counted[0] != counted[1]


BAD = {
    "model.insert_options.Eca.kernel_size": {
        "model.insert_options.Eca.kernel_sze": (
            "13: model.insert_options.Eca.kernel_sze: unknown option 'kernel_sze' of Eca. Did you mean 'kernel_size'?"
        ),
        "model.insert_options.Eca.channels": (
            "13: model.insert_options.Eca.channels: Eca is given 'channels' by the network: leave it out"
        ),
        "model.insert_options.Ecca.kernel_size": (
            "13: model.insert_options.Ecca.kernel_size: insert names no class 'Ecca' of your own; an option is"
            " insert_options.CLASS.OPTION. Did you mean 'Eca'?"
        ),
        "model.insert_options.kernel_size": (
            "13: model.insert_options.kernel_size: insert names no class 'kernel_size' of your own; an option is"
            " insert_options.CLASS.OPTION. Valid: Eca."
        ),
        "model.insert_options.Eca": "13: model.insert_options.Eca: options have names: write insert_options.Eca.OPTION",
        "model.gate_options.kernel_size": (
            "13: model.gate_options.kernel_size: options are for a gate of your own: gate is 'none'"
        ),
        "model.representation_options.kernel_size": (
            "13: model.representation_options.kernel_size: options are for a representation of your own:"
            " representation is 'rgb'"
        ),
    },
    "[ENTRY]": {
        "[my_ecca.py:Eca]": "11: model.insert: no file 'my_ecca.py' (paths are taken from the working folder)",
        "[my_eca.py:Ecca]": "11: model.insert: my_eca.py has no class 'Ecca'. Did you mean 'Eca'?",
        "[my_eca.py]": "11: model.insert: entry must be 'path/to/file.py:Class', got 'my_eca.py'",
        "[Eca]": "11: model.insert: no module 'Eca'. Did you mean 'cpa'? Your own: path/to/file.py:Class",
        "[my_eca.py:Needs, my_eca.py:Eca]": (
            "11: model.insert: Needs needs the option ratio: set model.insert_options.Needs.ratio, or give the argument"
            " a default; without an option it may ask for channels, place, width"
        ),
        "[my_eca.py:Nothing]": "11: model.insert: my_eca.py:34: write `class Nothing(nn.Module)`: it is no module yet",
        "[my_eca.py:Alone]": ("11: model.insert: my_eca.py:30: write `def forward(self, x, frames)`: it is called so"),
        "[my_eca.py:Eca, ./my_eca.py:Eca]": (
            "11: model.insert: two modules of ['my_eca.py:Eca', './my_eca.py:Eca'] have one name: rename a class"
        ),
        "[my_eca.py:Eca, my_eca.py:Eca]": ("9: model: insert names a module twice: ['my_eca.py:Eca', 'my_eca.py:Eca']"),
    },
}


@pytest.mark.parametrize(("old", "new"), [(old, new) for old, changes in BAD.items() for new in changes])
def test_mistakes_are_found_with_their_line_before_anything_runs(
    table: Callable[..., Table], old: str, new: str
) -> None:
    with pytest.raises(SpecError) as caught:
        table(old, new)
    assert f"mine.yaml:{BAD[old][new]}" in str(caught.value).split("\n")


def test_a_file_that_does_not_parse_is_named_with_its_line(table: Callable[..., Table]) -> None:
    Path("my_eca.py").write_text("def broken(:\n")
    with pytest.raises(SpecError, match=r"mine\.yaml:11: model\.insert: my_eca\.py:1: invalid syntax"):
        table()


def test_several_mistakes_are_named_at_once(table: Callable[..., Table]) -> None:
    with pytest.raises(SpecError) as caught:
        table("model.insert_options.Eca.kernel_size", "model.insert_options.Eca.a: 1\n      model.insert_options.Eca.b")
    assert [problem.line for problem in caught.value.problems] == [13, 14]


def test_what_only_a_forward_pass_shows_names_the_class_and_the_shapes(here: Path) -> None:
    config = small(insert=["my_eca.py:Needs"], insert_options={"Needs": {"ratio": 2}})
    network = built(config)
    assert network.get_submodule("backbone.inserts.res3_1").seen == (16, "res3.1", 2, "batch")
    message = (
        r"my_eca\.py:Needs at res3\.1 makes of maps .* \(4, 16, 7, 7\) a tensor \(4, 32, 7, 7\); expected is their"
    )
    with pytest.raises(NetworkError, match=message):
        network(torch.randn(1, 4, 3, 56, 56))
    with pytest.raises(NetworkError, match=r"my_eca\.py:Other is not an nn\.Module"):
        built(small(insert=["my_eca.py:Other"]))


def test_a_representation_says_frames_and_channels_by_option_or_default(here: Path) -> None:
    config = TsmResNetConfig(
        depth=18, width=0.125, representation="my_repr.py:Tint", representation_options={"channels": 6, "frames": 3}
    )
    assert config.representation_options == {"channels": 6, "frames": 3, "images": 1}
    assert (config.frames_per_segment, config.input_channels, config.images_per_segment) == (3, 6, 1)
    network = built(config)
    assert network.get_submodule("representation").frames == 3
    clip = torch.randn(1, 12, 3, 56, 56)
    images = network.get_submodule("representation")(clip[0].unflatten(0, (4, 3)))
    assert torch.equal(images[1, 3:], clip[0, 5] - clip[0, 4])
    assert network(clip).shape == (1, 8)
    unsaid = TsmResNetConfig(depth=18, width=0.125, representation="my_repr.py:Tint")
    assert unsaid.representation_options == {"frames": 2, "channels": 3, "images": 1}
    three = TsmResNetConfig(
        depth=18, width=0.125, representation="my_repr.py:Tint", representation_options={"frames": 3}
    )
    with pytest.raises(NetworkError, match=r"Tint makes of segments .* \(4, 6, 56, 56\); expected is \(4, 3, H, W\)"):
        built(three)(clip)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("Tint", {"frames": 0}, "frames must be a whole number, 1 or more, got 0"),
        ("Tint", {"gian": 2.0}, "unknown option 'gian' of Tint. Did you mean 'gain'?"),
        ("Tint", {"data": 2}, "Tint is given 'data' by the network: leave it out"),
        ("Vague", {}, "set model.representation_options.frames: its default in the file is not written as a number"),
    ],
)
def test_mistakes_in_a_representation(here: Path, name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r"representation") as caught:
        TsmResNetConfig(representation=f"my_repr.py:{name}", representation_options=options)
    assert message in str(caught.value)


def test_all_blocks_of_stages_are_named_by_the_stage(here: Path) -> None:
    by_stage = TsmResNetConfig(insert=("se",), insert_after=("res3.all", "res4.all"))
    listed = tuple(f"res3.{i}" for i in range(4)) + tuple(f"res4.{i}" for i in range(6))
    assert by_stage == TsmResNetConfig(insert=("se",), insert_after=listed)
    assert by_stage.inserted_at == listed
    assert TsmResNetConfig(insert=("se",), insert_after=("res3",)).inserted_at == ("res3.3",)
    assert TsmResNetConfig(depth=18, insert=("se",), insert_after=("res5.all",)).inserted_at == ("res5.0", "res5.1")
    with pytest.raises(ValueError, match=r"no place 'res3\.al' in this network\. Did you mean 'res3\.all'"):
        TsmResNetConfig(insert=("se",), insert_after=("res3.al",))
    with pytest.raises(ValueError, match="names a place twice"):
        TsmResNetConfig(insert=("se",), insert_after=("res3.all", "res3.0"))
