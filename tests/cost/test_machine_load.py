"""How busy other programs keep the machine."""

from __future__ import annotations

import time

import pytest

from benchmark.cost import machine_load
from benchmark.cost.machine_load import OtherPrograms


def test_other_programs_work_is_all_work_less_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 4.0])
    busy, own = iter([100.0, 108.0]), iter([10.0, 12.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(machine_load, "_busy_seconds", lambda: next(busy))
    monkeypatch.setattr(machine_load, "_own_seconds", lambda: next(own))
    assert OtherPrograms().cores() == pytest.approx((8 - 2) / 4)


def test_the_system_counts_what_this_process_does_as_work() -> None:
    before, own = machine_load._busy_seconds(), machine_load._own_seconds()
    if before is None:
        pytest.skip("this system keeps no count of its cores' work")
    while machine_load._own_seconds() - own < 0.3:
        sum(range(10_000))
    after = machine_load._busy_seconds()
    assert after is not None
    assert after - before > 0.2
