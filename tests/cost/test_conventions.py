"""The conventions against counts published for BQN, and against counts worked out by hand."""

from __future__ import annotations

import pytest
from torch import nn

from benchmark.config.models import BqnConfig, LateralConfig, TsmResNetConfig
from benchmark.config.run import DataConfig, EvalConfig, RunConfig
from benchmark.cost.cache import get
from benchmark.cost.conventions import CONVENTIONS
from benchmark.cost.counters import count_network
from benchmark.cost.record import CostRecord, ModuleParameters
from benchmark.models.modules.mbpm import Mbpm


def bqn(
    quiet: int = 224, busy: int = 224, direction: str = "bidirectional", segments: int = 8, **model: object
) -> CostRecord:
    lateral = LateralConfig.model_validate({"direction": direction, "phi": model.pop("phi", "identity")})
    config = BqnConfig.model_validate({"quiet_size": None if quiet == busy else quiet, "lateral": lateral, **model})
    data = DataConfig(size=busy, segments=segments)
    return get(RunConfig(model=config, data=data, eval=EvalConfig(scale=256)))


def giga(convention: str, record: CostRecord) -> float:
    return round(CONVENTIONS[convention].macs(record) / 1e9, 3)


BIDIRECTIONAL_THOP = {
    (224, 224): 65.934,
    (192, 224): 58.041,
    (160, 224): 50.528,
    (128, 224): 44.382,
    (224, 256): 77.158,
    (192, 256): 68.280,
    (160, 256): 60.768,
    (128, 256): 54.622,
}


@pytest.mark.parametrize(
    "sizes",
    [pytest.param(sizes, marks=pytest.mark.slow if sizes[0] in (128, 192) else ()) for sizes in BIDIRECTIONAL_THOP],
    ids=str,
)
def test_the_reading_of_the_printed_costs_of_bqn(sizes: tuple[int, int]) -> None:
    record = bqn(*sizes)
    assert giga("thop_2005", record) == BIDIRECTIONAL_THOP[sizes]
    assert CONVENTIONS["thop_2005"].params(record) == 47_433_006


@pytest.mark.parametrize(
    ("sizes", "phi", "fvcore", "thop"),
    [
        ((224, 224), "identity", 67.079, 65.845),
        ((160, 256), "identity", 60.814, 60.218),
        ((224, 224), "conv1x1", None, None),
    ],
)
def test_the_released_alternating_network(
    sizes: tuple[int, int], phi: str, fvcore: float | None, thop: float | None
) -> None:
    record = bqn(*sizes, direction="alternating", phi=phi)
    if phi == "conv1x1":
        extra = record.macs - bqn(*sizes, direction="alternating").macs
        assert extra == 8 * 8 * 256**2 * 56**2, "one C^2 T H W per odd block, the same in every stage"
        return
    assert giga("fvcore", record) == fvcore
    assert giga("thop_2005", record) == thop
    backbones, norms, lateral_mbpms = 47_372_590, 30_208, 275_456
    assert record.params == backbones + norms + lateral_mbpms + 252


@pytest.mark.slow
def test_more_frames_and_the_deeper_network() -> None:
    assert giga("thop_2005", bqn(160, 256, segments=16)) == 121.536
    assert round(CONVENTIONS["thop_2005"].params(bqn(depth=101, num_bplc=33)) / 1e6, 4) == 85.4869


def test_single_pathways() -> None:
    quiet = get(RunConfig(model=TsmResNetConfig()))
    busy = get(RunConfig(model=TsmResNetConfig(representation="mbpm")))
    assert giga("fvcore", quiet) == giga("thop_2005", quiet) == 32.879
    assert giga("fvcore_core", quiet) == 32.700
    assert giga("fvcore", busy) == 33.175
    assert giga("thop_2005", busy) == 32.879
    assert busy.params - CONVENTIONS["thop_2005"].params(busy) == 252
    assert CONVENTIONS["thop_2001"].params(busy) == busy.params
    fc = 8 * 2048 * 174
    assert CONVENTIONS["thop_2001"].macs(quiet) - CONVENTIONS["thop_2005"].macs(quiet) == fc


def test_thop_by_hand() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5),
    )  # fmt: skip
    record = count_network(network, (2, 3, 8, 8))
    maps = 2 * 4 * 64
    expected = maps * 27 + maps + 2 * maps + 11 * 4 * maps + (4 * maps + 8) + 2 * 4 * 5
    assert CONVENTIONS["thop_2005"].macs(record) == expected
    assert CONVENTIONS["thop_2001"].macs(record) == expected + 2 * 4 * 5
    assert CONVENTIONS["fvcore_core"].macs(record) == maps * 27 + 2 * 4 * 5


def test_thop_is_blind_to_an_mbpm_and_fvcore_is_not() -> None:
    class Stem(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mbpm = Mbpm(3)

        def forward(self, x):  # type: ignore[no-untyped-def]
            return self.mbpm(x, 6)

    record = count_network(Stem(), (6, 3, 16, 16))
    assert CONVENTIONS["fvcore"].macs(record) == 6 * 3 * 256 * 81 + 2 * 3 * 256 * 3
    assert [CONVENTIONS[name].macs(record) for name in ("thop_2005", "thop_2001")] == [0, 0]
    assert [CONVENTIONS[name].params(record) for name in ("thop_2005", "thop_2001")] == [0, 252]


def test_a_part_is_a_module_with_what_is_inside_of_it() -> None:
    held = [
        ModuleParameters(path=path, module_class="Linear", total=total, trainable=0)
        for path, total in (("part", 1), ("part.inner", 2), ("parts", 4), ("other.part", 8))
    ]
    record = bqn().model_copy(update={"parameters": tuple(held)})
    assert [CONVENTIONS["fvcore"].params(record, within) for within in ("", "part")] == [15, 3]


def test_every_convention_survives_json() -> None:
    record = bqn(160, 256)
    again = CostRecord.model_validate_json(record.model_dump_json())
    assert again == record
    for convention in CONVENTIONS.values():
        assert convention.macs(again) == convention.macs(record)
        assert convention.description
