"""Accuracy by level, from predictions whose hits are known."""

from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest

from benchmark.data.embedded.graded import levels
from benchmark.report.by_level import NotGradedError, as_cells, as_csv, by_level, picture
from benchmark.report.results import SeedResult
from benchmark.runs.predictions import Predictions
from benchmark.spec.load import load_table
from benchmark.spec.table import Table

SHARES = {"speed": (1.0, 0.75, 0.5, 0.25)}


@pytest.fixture(scope="module")
def table() -> Table:
    return load_table("bqn-3b", "embedded", (0, 1))


def graded_run(seed: int, missed: int = 0) -> SeedResult:
    """Right on a share of the clips of each level of speed, from 1 down to 1/4; `missed` of level 1 are wrong."""
    ids, labels = np.array([f"{i:06d}" for i in range(2560)]), np.arange(2560) % 10
    logits, left = np.zeros((2560, 10), np.float32), missed
    for i in range(2560):
        speed = levels("val", i)[0]
        right = (i // 640) % 4 < 5 - speed
        if speed == 1 and left:
            right, left = False, left - 1
        logits[i, labels[i] if right else (labels[i] + 1) % 10] = 1
    made = Predictions(ids, labels, logits)
    return SeedResult(seed, f"{seed:016x}", "done", {"top1": 0.0}, lambda: made, clips=2560)


def test_hits_are_counted_by_the_level_of_the_clip(table: Table) -> None:
    first, second, *rest = [row.label for row in table.rows]
    rows = by_level(table, {first: [graded_run(0), graded_run(1, missed=64)], second: [graded_run(0)]}, "speed")
    assert [row.label for row in rows] == [first, second, *rest]
    assert [at.top1 for at in rows[1].levels] == [100, 75, 50, 25]
    assert [(at.level, at.seeds, at.clips, at.sd) for at in rows[1].levels] == [(n, 1, 640, None) for n in (1, 2, 3, 4)]
    assert [at.top1 for at in rows[0].levels] == [95, 75, 50, 25]
    assert rows[0].levels[0].sd == pytest.approx(np.std([100, 90], ddof=1))
    assert rows[1].levels[2].error == pytest.approx(100 * np.sqrt(0.25 / 640))
    other = by_level(table, {second: [graded_run(0)]}, "contrast")[1]
    assert [at.top1 for at in other.levels] == [62.5] * 4
    assert as_cells(rows)[0] == [first, "95.0 ± 7.1 (2)", *(f"{v}.0 ± 0.0 (2)" for v in (75, 50, 25))]
    assert as_cells(rows)[2] == [rest[0], *"––––"]
    lines = as_csv(table, "speed", rows).splitlines()
    assert len(lines) == 1 + 8
    assert lines[-1] == f"bqn-3b,{second},speed,4,0.21,25.0,,1,640"


def test_the_picture_has_a_curve_for_each_row_that_is_measured(table: Table) -> None:
    rows = by_level(table, {table.rows[1].label: [graded_run(0)]}, "speed")
    made = picture(table, "speed", rows)
    tree = ElementTree.fromstring(made["svg"].decode())
    ids = [element.get("id", "") for element in tree.iter()]
    assert [name for name in ids if name.startswith("curve-")] == ["curve-2"]
    texts = {element.text for element in tree.iter("{http://www.w3.org/2000/svg}text")}
    assert {
        "level of speed, easy to hard",
        "1",
        "4",
        "measured ± SE of the clips (1 seed) (motionpairs 2; embedded)",
    } <= texts
    assert picture(table, "speed", by_level(table, {}, "speed")) == {}


def test_a_table_on_other_clips_is_refused(make: SimpleNamespace) -> None:
    with pytest.raises(NotGradedError, match="bqn-3b is measured on motionpairs-tiny here, whose clips have no levels"):
        by_level(make.table("bqn-3b", "smoke"), {}, "speed")
