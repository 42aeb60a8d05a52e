"""Architecture tables: the committed ones against a transcription, how a cell is read, and what an author is told."""

from pathlib import Path

import pytest

from benchmark.config.source import SpecError
from benchmark.spec.architecture import Operation, Part, differences, load_architecture, parse_operation
from benchmark.spec.files import architecture_paths, spec_paths, table_paths
from benchmark.spec.load import load_table, select

STEM, HEAD = "1x7x7, 64, stride 1,2,2", "global average pool, FC"
THESIS_4_1 = [
    ("conv1", STEM, "8x112x112"),
    ("pool1", "1x3x3, 64, stride 1,2,2", "8x56x56"),
    ("res2", "[1x1x1,64; 1x3x3,64; 1x1x1,256] x3", "8x56x56"),
    ("res3", "[1x1x1,128; 1x3x3,128; 1x1x1,512] x4, RNL / CPA", "8x28x28"),
    ("res4", "[1x1x1,256; 1x3x3,256; 1x1x1,1024] x6, RNL / CPA", "8x14x14"),
    ("res5", "[1x1x1,512; 1x3x3,512; 1x1x1,2048] x3", "8x7x7"),
]
MSNET_9 = {  # stage: channels and repeats of ResNet-18 and of ResNet-50, whose convolutions all print one number
    "res_2": (64, 2, 256, 3, "Tx56x56"),
    "res_3": (128, 2, 512, 4, "Tx28x28"),
    "res_4": (256, 2, 1024, 6, "Tx14x14"),
    "res_5": (512, 2, 2048, 3, "Tx7x7"),
}
MSNET_10 = [
    ("stage_1", "1x7x7, 32, stride 1,2,2", "Tx112x112"),
    ("stage_2", "bottleneck(1,16)", "below"),
    ("stage_2", "bottleneck(6,24) x2", "Tx56x56"),
    ("stage_3", "bottleneck(6,32) x3", "Tx28x28"),
    ("stage_4", "bottleneck(6,64) x4", "below"),
    ("stage_4", "bottleneck(6,96) x3", "Tx14x14"),
    ("stage_5", "bottleneck(6,160) x3", "below"),
    ("stage_5", "bottleneck(6,320)", "below"),
    ("stage_5", "1x1x1, 1280, stride 1,1,1", "Tx7x7"),
    ("head", HEAD, "classes"),
]


def test_the_tables_of_this_kind_are_known_by_it_and_are_no_tables_of_results() -> None:
    assert [*architecture_paths()] == ["msnet-9", "msnet-10", "thesis-4.1"]
    assert not {*architecture_paths()} & {*table_paths()}
    assert {*architecture_paths(), *table_paths()} == {*spec_paths()}
    assert {"thesis-4.1", "thesis-4.2"} <= {*select(["thesis"])}


@pytest.mark.parametrize(("name", "printed"), [("thesis-4.1", THESIS_4_1), ("msnet-10", MSNET_10)])
def test_every_printed_layer_is_in_the_spec(name: str, printed: list[tuple[str, str, str]]) -> None:
    table = load_architecture(name)
    for title in table.networks:
        assert [(layer.label, layer.operations[title], layer.output) for layer in table.layers] == printed


def test_the_four_networks_of_msnet_9_are_in_the_spec() -> None:
    table = load_architecture("msnet-9")
    assert [layer.label for layer in table.layers] == ["conv_1", "max pool", *MSNET_9, "head"]
    first, pool, *stages, head = table.layers
    spanning = {(layer.label, *set(layer.operations.values()), layer.output) for layer in (first, pool, head)}
    assert spanning == {
        ("conv_1", STEM, "lost"),
        ("max pool", "1x3x3 max pool, stride 2", "below"),
        ("head", HEAD, "classes"),
    }
    for layer in stages:
        small, two, large, many, output = MSNET_9[layer.label]
        eighteen = f"1x3x3,{small}; 1x3x3,{small}] x{two}"
        fifty = f"1x1x1,{large}; 1x3x3,{large}; 1x1x1,{large}] x{many}"
        assert layer.output == output
        assert layer.operations == {
            "ResNet-18": f"[{eighteen}",
            "TSM ResNet-18": f"[TSM; {eighteen}",
            "ResNet-50": f"[{fifty}",
            "TSM ResNet-50": f"[TSM; {fifty}",
        }


def test_the_networks_are_at_paper_scale() -> None:
    for name in architecture_paths():
        for config in load_architecture(name).networks.values():
            assert (config.model.width, config.data.size, config.data.segments) == (1.0, 224, 8)


CONV = Part("convolution", "1x1x1", 64)
READ = {
    "1x7x7, 64, stride 1,2,2": Operation((Part(None, "1x7x7", 64, (1, 2, 2)),)),
    "1x3x3 max pool, stride 2": Operation((Part("max pool", "1x3x3", None, (None, 2, 2)),)),
    "[TSM; 1x1x1,64; 3x3x3,8]x2": Operation((Part(None, "1x1x1", 64), Part(None, "3x3x3", 8)), 2, shift=True),
    "[1x3x3,64; 1x3x3,64] x4, RNL / CPA": Operation((Part(None, "1x3x3", 64),) * 2, 4, False, ("RNL", "CPA"), (4,)),
    "bottleneck(6,24) x2": Operation((Part("bottleneck", channels=24, expansion=6),), 2),
    "global average pool, FC": Operation((Part("global average pool"), Part("FC"))),
}


@pytest.mark.parametrize("text", READ)
def test_a_cell_is_read(text: str) -> None:
    assert parse_operation(text) == READ[text]


@pytest.mark.parametrize("text", ["", "7x7, 64", "[1x1x1,64 x2", "1x1x1,64] x2", "bottleneck(6)", "1x1x1, 64, twice"])
def test_a_cell_that_cannot_be_read_to_its_end_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="cannot read"):
        parse_operation(text)


@pytest.mark.parametrize(
    ("text", "ours", "expected"),
    [
        ("1x1x1, 64", Operation((CONV,)), []),
        ("1x1x1, 64, stride 2", Operation((Part("convolution", "1x1x1", 64, (1, 2, 2)),)), []),
        (
            "1x1x1, 64, stride 1,1,1",
            Operation((Part("convolution", "1x1x1", 64, (1, 2, 2)),)),
            ["stride 1x2x2; printed 1x1x1"],
        ),
        ("1x1x1 max pool", Operation((CONV,)), ["kind convolution; printed max pool"]),
        ("1x3x3, 32", Operation((CONV,)), ["kernel 1x1x1; printed 1x3x3", "channels 64; printed 32"]),
        ("[1x1x1,64; 1x1x1,64] x2", Operation((CONV,), 3), ["1 layer; printed 2", "3 blocks; printed 2"]),
        ("[TSM; 1x1x1,64]", Operation((CONV,)), ["no TSM, which is printed"]),
        ("1x1x1,64", Operation((CONV,), shift=True), ["TSM in front, which is not printed"]),
        ("1x1x1,64 x2, RNL / CPA", Operation((CONV,), 2), ["no RNL or CPA, which is printed"]),
        ("1x1x1,64 x2, RNL / CPA", Operation((CONV,), 2, False, ("CPA",), (2,)), []),
        (
            "1x1x1,64 x2, RNL / CPA",
            Operation((CONV,), 2, False, ("RNL",), (1, 2)),
            ["RNL after blocks 1, 2; printed once, after the last"],
        ),
        ("1x1x1,64 x2", Operation((CONV,), 2, False, ("SE",), (1,)), ["SE after block 1, which is not printed"]),
        (
            "bottleneck(6,24)",
            Operation((Part("bottleneck", None, 24, None, 4),)),
            ["expansion 4; printed 6"],
        ),
    ],
)
def test_what_differs_is_said_and_what_is_not_printed_differs_from_nothing(
    text: str, ours: Operation, expected: list[str]
) -> None:
    assert [*differences(parse_operation(text), ours)] == expected


GOOD = """\
kind: architecture
paper: mine
table: layers
caption: Layers.
networks:
  A: {base: network/tsm_r50}
  B: {base: network/tsm_r50, set: {model.depth: 18}}
rows:
  - {label: stem, at: backbone.conv1, operation: "1x7x7, 64", output: Tx112x112}
  - {label: head, at: fc, operation: {A: FC, B: FC}, output: classes}
"""


def problems(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "layers.yaml"
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        load_architecture(str(path))
    return [str(p).replace(f"{tmp_path}/", "") for p in caught.value.problems]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("caption: Layers.", "captoin: Layers.", "layers.yaml:4: unknown key 'captoin'. Did you mean 'caption'?"),
        ("label: stem, at:", "label: stem, att:", "layers.yaml:9: unknown key 'att'. Did you mean 'at'?"),
        (
            "A: {base: network/tsm_r50}",
            "A: {bas: network/tsm_r50}",
            "layers.yaml:6: unknown key 'bas'. Did you mean 'base'?",
        ),
        (
            "A: {base: network/tsm_r50}",
            "A: {base: network/tsm_r5}",
            "layers.yaml:6: no base 'tsm_r5' in tables/bases/network. Did you mean 'tsm_r50'?",
        ),
        (
            "model.depth: 18",
            "model.dept: 18",
            "layers.yaml:7: unknown key 'model.dept'. Did you mean 'model.depth'?",
        ),
        ("1x7x7, 64", "7x7, 64", "layers.yaml:9: operation: cannot read '7x7, 64' from '7x7, 64' on"),
        ("Tx112x112", "112x112", "layers.yaml:9: output: '112x112' is none of 8x28x28"),
        ("{A: FC, B: FC}", "{A: FC, C: FC}", "layers.yaml:10: operation is for A, C; the networks are A, B"),
        ("output: classes", "output: below", "layers.yaml:10: no row is below the last one"),
        ("table: layers", "table: other", "layers.yaml:3: table 'other' is in a file named 'layers.yaml'"),
        ("paper: mine\ntable: layers", "paper: thesis\ntable: '4.1'", "layers.yaml:2: 'thesis-4.1' is tables/thesis"),
    ],
)
def test_a_mistake_names_its_line(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in GOOD
    found = problems(tmp_path, GOOD.replace(old, new))
    assert any(line.startswith(expected) for line in found), found


def test_an_architecture_can_be_neither_loaded_nor_included_as_a_table_of_results(tmp_path: Path) -> None:
    path = tmp_path / "layers.yaml"
    path.write_text(GOOD)
    assert [layer.label for layer in load_architecture(str(path)).layers] == ["stem", "head"]
    with pytest.raises(SpecError, match="unknown key 'kind'"):
        load_table(str(path))
