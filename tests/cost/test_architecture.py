"""What is read off our networks: against torchvision's, against layers by hand, and where the print differs."""

from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from benchmark.config.source import SpecError
from benchmark.cost.architecture import check_architecture
from benchmark.cost.layer_check import Check
from benchmark.spec.architecture import load_architecture, parse_operation

NAMES = ("thesis-4.1", "msnet-9", "msnet-10")


@pytest.fixture(scope="module")
def checks() -> dict[str, list[Check]]:
    return {name: check_architecture(load_architecture(name)) for name in NAMES}


def differing(found: list[Check]) -> dict[tuple[str, str], tuple[str, ...]]:
    return {(check.layer, check.network): check.differences for check in found if check.differences}


def test_the_thesis_differs_in_how_often_its_blocks_are_inserted_alone(checks: dict[str, list[Check]]) -> None:
    assert differing(checks["thesis-4.1"]) == {
        (stage, name): (f"{name} after blocks {where}; printed once, after the last",)
        for stage, where in (("res3", "1, 3"), ("res4", "1, 3, 5"))
        for name in ("RNL", "CPA")
    }


def test_msnet_prints_one_number_of_channels_for_all_of_a_bottleneck(checks: dict[str, list[Check]]) -> None:
    assert differing(checks["msnet-9"]) == {
        (f"res_{i}", network): (f"channels {c // 4}, {c // 4}, {c}; printed {c}, {c}, {c}",)
        for i, c in ((2, 256), (3, 512), (4, 1024), (5, 2048))
        for network in ("ResNet-50", "TSM ResNet-50")
    }


def test_mobilenet_agrees_in_all_that_is_printed(checks: dict[str, list[Check]]) -> None:
    assert differing(checks["msnet-10"]) == {}
    shared = {c.our_operation: c.our_output for c in checks["msnet-10"] if c.printed_output == "below"}
    assert shared["bottleneck(1,16)"] == "8x112x112"  # the printed cell, 56x56, is of the group after it too
    assert shared["bottleneck(6,160) x3"] == shared["bottleneck(6,320)"] == "8x7x7"


@pytest.mark.parametrize(("depth", "network"), [(18, "TSM ResNet-18"), (50, "ResNet-50")])
def test_a_resnet_is_described_as_torchvision_builds_it(
    depth: int, network: str, checks: dict[str, list[Check]]
) -> None:
    with torch.device("meta"):
        theirs = getattr(torchvision.models, f"resnet{depth}")()
    ours = {check.layer: check.our_operation for check in checks["msnet-9"] if check.network == network}
    for number, label in enumerate(("res_2", "res_3", "res_4", "res_5"), start=1):
        blocks = list(getattr(theirs, f"layer{number}"))
        convolutions = [m for n, m in blocks[0].named_children() if isinstance(m, nn.Conv2d)]
        layers = [f"1x{c.kernel_size[0]}x{c.kernel_size[1]},{c.out_channels}" for c in convolutions]
        shift = ["TSM"] if network.startswith("TSM") else []
        assert ours[label] == f"[{'; '.join(shift + layers)}] x{len(blocks)}"


def test_the_description_is_itself_a_cell_that_can_be_read(checks: dict[str, list[Check]]) -> None:
    described = [check.our_operation for name in NAMES for check in checks[name]]
    for text in described:
        parse_operation(text.split(", RNL after")[0].split(", CPA after")[0])


SPEC = """\
kind: architecture
paper: mine
table: layers
caption: Layers.
networks:
  net: {base: "@base"}
rows:
  - {label: layer, at: "@at", operation: "@operation", output: "@output"}
"""


def check(tmp_path: Path, base: str, at: str, operation: str, output: str) -> Check:
    path = tmp_path / "layers.yaml"
    text = SPEC
    for name, value in (("base", base), ("at", at), ("operation", operation), ("output", output)):
        text = text.replace(f'"@{name}"', f'"{value}"')
    path.write_text(text)
    (found,) = check_architecture(load_architecture(str(path)))
    return found


@pytest.mark.parametrize(
    ("operation", "output", "expected"),
    [
        ("1x7x7, 64, stride 1,2,2", "8x112x112", ()),
        ("1x7x7, 64, stride 1,1,1", "Tx112x112", ("stride 1x2x2; printed 1x1x1",)),
        ("1x5x5, 48", "16x112x112", ("kernel 1x7x7; printed 1x5x5", "channels 64; printed 48",
                                     "output 8x112x112; printed 16x112x112")),
    ],
)  # fmt: skip
def test_a_stem_by_hand(tmp_path: Path, operation: str, output: str, expected: tuple[str, ...]) -> None:
    assert check(tmp_path, "network/tsm_r50", "backbone.conv1", operation, output).differences == expected


def test_a_stage_whose_blocks_are_not_alike_needs_rows_of_its_own(tmp_path: Path) -> None:
    """With TSM the first block of each stage of MobileNetV2 has no shortcut and does not shift."""
    operation = "[TSM; bottleneck(6,24)]"
    assert check(tmp_path, "network/mobilenet_v2", "backbone.layers.2", operation, "Tx56x56").differences == ()
    with pytest.raises(SpecError, match=r"layers.yaml:8: net: the blocks at 'backbone.layers.1-2' are not alike"):
        check(tmp_path, "network/mobilenet_v2", "backbone.layers.1-2", operation, "Tx56x56")


@pytest.mark.parametrize(
    ("at", "message"),
    [
        ("backbone.convl", "no module 'convl' on the way to 'backbone.convl'. Did you mean 'conv1'?"),
        ("backbone.layer1.0-5", "no module '3' on the way to 'backbone.layer1.3'"),
        ("backbone.bn1", "there are no words for a BatchNorm2d"),
        ("backbone.layer2.0.downsample.0-1", "'backbone.layer2.0.downsample.0-1' are no residual blocks"),
        ("backbone.layer1.2-1", "are no residual blocks"),
        ("backbone.inserts", "is no single layer and no sequence of residual blocks"),
    ],
)
def test_a_path_that_leads_nowhere_is_named_with_its_line(tmp_path: Path, at: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        check(tmp_path, "network/tsm_r50", at, "1x7x7, 64", "Tx112x112")
    assert "layers.yaml:8: net: " in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("at", "operation", "output"),
    [
        ("backbone.conv1", "1x7x7, 64, stride 1,2,2", "Tx112x112"),
        ("backbone.conv2c.0", "3x3x3, 192, stride 1,1,1", "8x56x56"),
        ("backbone.pool4", "3x3x3 max pool, stride 2,2,2", "4x14x14"),
    ],
)
def test_a_network_of_volumes_is_read_in_time_too(tmp_path: Path, at: str, operation: str, output: str) -> None:
    """I3D; its fourth pooling halves the frames of MotionSqueeze's clips."""
    assert check(tmp_path, "network/i3d", at, operation, output).differences == ()
