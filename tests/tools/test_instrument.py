"""tools/instrument.py: which runs it asks for, and what its summary says."""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from tools.instrument import BY_PAIR, FIELDS, MEASURED, CpuClock, changed, read_results, summary, wanted, write_results


def given(**changes: object) -> argparse.Namespace:
    asked = {"rows": ["BQN"], "seeds": [50, 51], "settings": [], "val": False, "protocol": "embedded2"}
    return argparse.Namespace(table="tools/instrument.yaml", **(asked | changes))


def test_searches_have_clips_and_settings_of_their_own() -> None:
    runs = wanted(given(settings=["train.lr=0.002", "model.num_bplc=8"]))
    assert [(label, seed) for label, seed, _ in runs] == [("BQN", 50), ("BQN", 51)]
    for _, seed, config in runs:
        assert (config.seed, config.data.dataset, config.data.symmetries) == (seed, "motionpairs-2-dev", True)
        assert (config.train.lr, config.model.num_bplc) == (0.002, 8)  # type: ignore[union-attr]
    [(_, _, reported)] = wanted(given(val=True, seeds=[0]))
    assert reported.data.dataset == "motionpairs-2"
    plain = wanted(given())[0][2]
    assert changed(plain, {}) == plain


def test_what_cannot_be_run_is_said() -> None:
    with pytest.raises(SystemExit, match="no row QBN; there are no shift, TSM-R50"):
        wanted(given(rows=["QBN"]))
    with pytest.raises(SystemExit, match=r"unknown key 'train.rate'"):
        wanted(given(settings=["train.rate=1"]))
    asked = [sys.executable, "-m", "tools.instrument", "--seeds", "3"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "seeds below 50 are for what is reported" in done.stderr


def test_the_summary_has_mean_and_sd_over_seeds_by_row(tmp_path: Path) -> None:
    def line(row: str, seed: int, top1: float) -> dict[str, object]:
        values = dict.fromkeys(MEASURED, 50.0) | {"top1": top1, "speed_4": top1 - 20, "train_cpu": 40 + seed}
        return {"trial": "recipe", "row": row, "seed": seed, **values, "key": f"{seed:016x}"}

    path = tmp_path / "folder" / "dev.csv"
    write_results(path, [line("TSM", 51, 80.0), line("TSM", 50, 84.0), line("BQN", 50, 90.0)])
    lines = read_results(path)
    assert list(lines[0]) == list(FIELDS)
    assert [(one["row"], one["seed"]) for one in lines] == [("BQN", "50"), ("TSM", "50"), ("TSM", "51")]
    bqn, tsm = summary(lines).splitlines()[2:]
    assert bqn.split(" | ")[:5] == ["| recipe", "BQN", "1", "90.0", ""]
    assert tsm.split(" | ")[2:8] == ["2", "82.0", "2.8", "50.0", "50.0", "50 50 50 62"]
    assert tsm.endswith(f"{' '.join(['50'] * len(BY_PAIR))} | 90 |")


def test_cpu_seconds_are_those_of_the_phase(tmp_path: Path) -> None:
    """A process that works for a third of a second in one phase and then in another."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        run = SimpleNamespace(key="a", status={"phase": "train"})
        clock = CpuClock([SimpleNamespace(run=run, process=process)])  # type: ignore[list-item]
        used = lambda: sum(map(int, Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]))  # noqa: E731
        for phase in ("train", "evaluate"):
            run.status["phase"] = phase
            clock([], None)  # type: ignore[arg-type]
            until = used() + 30
            while used() < until:
                time.sleep(0.02)
            clock([], None)  # type: ignore[arg-type]
        seconds = clock.seconds("a")
        tick = 1 / os.sysconf("SC_CLK_TCK")
        assert 0.3 <= seconds["train_cpu"] <= 0.3 + 40 * tick
        assert seconds["job_cpu"] >= 0.6
    finally:
        process.kill()
        process.wait()
