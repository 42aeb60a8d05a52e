"""Where a row's settings come from, on the tables that there are: files and lines are looked up in the files."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmark.config.folders import REPOSITORY
from benchmark.config.source import SpecError
from benchmark.runs.key import dotted
from benchmark.spec.explain import Origin, explain
from benchmark.spec.files import table_paths
from benchmark.spec.load import load_table


def written(origin: Origin) -> str:
    """The line that an origin names."""
    return (REPOSITORY / origin.file).read_text().splitlines()[origin.line - 1]


def origins(table: str, row: str, key: str, protocol: str = "embedded", dataset: str | None = None) -> list[Origin]:
    return list(explain(table, [row], protocol, dataset)[row][key])


@pytest.mark.parametrize(
    ("table", "row", "protocol", "values", "files"),
    [
        ("bqn-3a", "Quiet", "paper", [0.12], ["recipe/bqn"]),
        ("thesis-5.3", "Quiet", "paper", [0.12], ["recipe/bqn"]),  # included from bqn-3a
        ("bqn-4", "X3D-M | - | 16x3x2", "paper", [0.2, 0.12], ["recipe/bqn_x3d"]),
        ("thesis-4.6", "SS V1 | baseline", "paper", [0.02, 0.01, 0.12], ["recipe/rnl_something", "recipe/rnl"]),
        ("thesis-3.3", "64", "embedded", [0.012, 0.001, 0.12], ["embedded", "recipe/tsp"]),
    ],
)
def test_the_learning_rate_is_found_where_it_is_written(
    table: str, row: str, protocol: str, values: list[float], files: list[str]
) -> None:
    found = origins(table, row, "train.lr", protocol)
    assert [origin.value for origin in found] == values
    folders = ["bases" if "/" in name else "protocols" for name in files]
    places = [f"tables/{folder}/{name}.yaml" for folder, name in zip(folders, files, strict=True)]
    assert [origin.file for origin in found if origin.file] == places
    for origin in found[: len(files)]:
        assert f"lr: {origin.value}" in written(origin)
    assert [origin.how for origin in found[len(files) :]] == ["default"] * (len(values) - len(files))


def test_a_size_is_the_protocol_s_factor_of_what_the_row_or_its_base_has() -> None:
    quiet, busy = (origins("bqn-3d", "160^2x8 | 256^2x8", key) for key in ("model.quiet_size", "data.size"))
    assert [(origin.value, origin.how) for origin in quiet] == [(40, "0.25 x 160"), (160, ""), (None, "default")]
    assert [origin.value for origin in busy] == [64, 256, 224]
    assert [written(origin).split(":")[0].strip() for origin in busy] == ["spatial", "set", "data"]
    width = origins("bqn-3d", "160^2x8 | 256^2x8", "model.width")
    assert [(origin.value, origin.how) for origin in width] == [(0.125, "0.125 x 1.0"), (1.0, "default")]


def test_a_protocol_s_value_for_a_network_is_over_its_value_for_all() -> None:
    network, everyone, *_ = origins("bqn-4", "X3D-M | - | 16x3x2", "train.epochs")
    assert [(origin.value, origin.file) for origin in (network, everyone)] == [
        (16, "tables/protocols/embedded.yaml"),
        (7, "tables/protocols/embedded.yaml"),
    ]
    assert "epochs: 16" in written(network)


def test_a_value_that_says_what_the_default_says_is_the_default() -> None:
    row = "224^2x8 | 256^2x8"
    assert [o.value for o in origins("thesis-5.8", row, "model.quiet_size", "paper")] == [224, None]
    written_out = origins("bqn-3d", "224^2x8 | 224^2x8", "model.quiet_size", "paper")
    assert [(o.value, o.how) for o in written_out] == [(None, "default")]
    batch = origins("thesis-3.3", "64", "train.device_batch", "paper")
    assert [(o.value, o.how) for o in batch] == [(None, "default")]


def test_another_data_set_is_of_also(tmp_path: Path) -> None:
    found = origins("msnet-2", "MSNet-R50 (ours) | 8x10", "data.dataset", "paper", "hmdb51")
    assert [(o.value, o.file) for o in found][:2] == [
        ("hmdb51", "tables/msnet/2.yaml"),
        ("kinetics400", "tables/bases/data/kinetics400.yaml"),
    ]
    start = origins("msnet-2", "MSNet-R50 (ours) | 8x10", "train.start_from", "paper", "hmdb51")
    assert start[0].value == ["recipe/msnet_kinetics400", "data/kinetics400_10x1"]
    assert "start_from" in written(start[0])


@pytest.mark.parametrize("protocol", ["embedded", "paper"])
def test_every_value_of_every_row_is_explained_and_written_where_it_says(protocol: str) -> None:
    for name in table_paths():
        table = load_table(name, protocol)
        rows = explain(name, [], protocol)
        assert list(rows) == [row.label for row in table.rows if row.config is not None]
        for label, settings in rows.items():
            config = table.row(label).config
            assert config is not None
            plain = dotted(config.model_dump(mode="json"))
            start = settings["train.start_from"][0].value
            shown = {
                key: " + ".join(start) if key == "train.start_from" and start else o[0].value
                for key, o in settings.items()
            }
            assert shown == plain
            for key, found in settings.items():
                for origin in found:
                    assert bool(origin.file) != (origin.how.startswith("default") or origin.how == "computed")
                    if origin.file and not origin.how and key != "data.dataset":
                        assert key.rpartition(".")[2] in written(origin), (label, key, origin)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("Quit", "tables/bqn/3a.yaml: no row 'Quit'. Did you mean 'Quiet'?"),
        ("Quiet+Busy", "row 'Quiet+Busy' averages others and has no settings of its own: Quiet, Busy"),
    ],
)
def test_a_row_without_settings_says_why(row: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        explain("bqn-3a", [row])
    assert message in str(caught.value)
    with pytest.raises(SpecError, match="row 'STM' is quoted: it has no settings"):
        explain("bqn-6", ["STM"])
