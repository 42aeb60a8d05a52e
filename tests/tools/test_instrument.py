"""tools/instrument: which runs it asks for, and what its summary says."""

import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from benchmark.data.embedded.graded import levels
from benchmark.runs.predictions import Predictions
from tools.instrument.results import (
    BY_PAIR,
    FIELDS,
    MEASURED,
    POOLED,
    acceptance,
    add_result,
    measured,
    page_blocks,
    read_results,
    summary,
)
from tools.instrument.trial import HERE, PAGE, RESULTS, CpuClock, Trial, changed, runs_of
from tools.pages import filled_in


def test_searches_have_clips_and_settings_of_their_own() -> None:
    runs = runs_of(Trial("slow", ("BQN",), (50, 51), {"train.lr": 0.002, "model.num_bplc": 8}), val=False)
    assert [(label, seed) for label, seed, _ in runs] == [("BQN", 50), ("BQN", 51)]
    for _, seed, config in runs:
        assert (config.seed, config.data.dataset, config.data.symmetries) == (seed, "motionpairs-2-dev", True)
        assert (config.train.lr, config.model.num_bplc) == (0.002, 8)  # type: ignore[union-attr]
    [(_, _, reported)] = runs_of(Trial("recipe", ("BQN",), (0,)), val=True)
    assert reported.data.dataset == "motionpairs-2"
    plain = runs_of(Trial("recipe", ("BQN",), (50,)), val=False)[0][2]
    assert changed(plain, {}) == plain


def test_what_cannot_be_run_is_said() -> None:
    with pytest.raises(SystemExit, match="no row QBN; there are no shift, TSM-R50"):
        runs_of(Trial("recipe", ("QBN",), (50,)), val=False)
    with pytest.raises(SystemExit, match=r"unknown key 'train.rate'"):
        runs_of(Trial("other", ("BQN",), (50,), {"train.rate": 1}), val=False)
    with pytest.raises(SystemExit, match="smoke is on motionpairs-tiny, which has no clips for searches"):
        runs_of(Trial("recipe", ("BQN",), (50,), protocol="smoke"), val=False)
    asked = [sys.executable, "-m", "tools.instrument", "--seeds", "3"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "seeds below 50 are for what is reported" in done.stderr


def test_the_files_of_networks_and_trials_can_be_run() -> None:
    for entry in yaml.safe_load((HERE / "trials.yaml").read_text()):
        table = str(HERE / entry.get("table", "networks.yaml"))
        assert runs_of(
            Trial(entry["name"], tuple(entry.get("rows", ())), (50,), entry.get("set", {}), table), val=False
        )


def test_what_is_measured_of_known_predictions() -> None:
    """Right but for the other member of a pair on the slowest clips, and for the next pair on the last pair."""
    ids, labels = np.array([f"{i:06d}" for i in range(640)]), np.arange(640) % 10
    logits = np.zeros((640, 10))
    for i, label in enumerate(labels):
        logits[i, label], logits[i, label ^ 1] = (0.5, 0.1) if levels("val", i)[0] < 4 else (0.1, 0.5)
        if label > 7:
            logits[i, 0] = 1
    found = measured(Predictions(ids, labels, logits))
    assert (found["top1"], found["pair"], found["member"]) == (60, 80, 75)
    assert [found[f"speed_{n}"] for n in (1, 2, 3, 4)] == [80, 80, 80, 0]
    assert [found[f"contrast_{n}"] for n in (1, 2, 3, 4)] == [60] * 4
    assert [found[name] for name in BY_PAIR] == [75, 75, 75, 75, 0]
    assert found["easiest"] == 80


def line(row: str, seed: int, top1: float, **others: float) -> dict[str, str]:
    values = dict.fromkeys(MEASURED, 50.0) | {"top1": top1} | others
    return {"trial": "recipe", "row": row, "seed": str(seed), "key": f"{seed:016x}"} | {
        name: str(value) for name, value in values.items()
    }


def test_what_is_required_is_decided_when_its_networks_were_run() -> None:
    seeds = [(seed, off) for seed, off in zip(range(50, 55), (-2, -1, 0, 1, 2), strict=True)]
    lines = [line(name, seed, 80 + off) for name in POOLED for seed, off in seeds]
    lines += [line("no shift", seed, 30 + off, member=52) for seed, off in seeds]
    found = {one.text: one for one in acceptance(lines)}
    assert found["flow below 97 % in all"].holds is None
    assert found["TSM-R50 between 65 and 92 %"].holds
    assert found["without shift at least 25 points below TSM-R50"].found == "50.0"
    assert found["without shift 50 ± 3 % of members"].holds
    assert [one.found for text, one in found.items() if "SD over" in text] == ["1.58"]
    assert all(one.holds for one in found.values() if one.holds is not None)
    worse = [line("BQN", seed, 80 + 3 * off, contrast_3=50 + 9) for seed, off in seeds]
    found = {one.text: one for one in acceptance([*(one for one in lines if one["row"] != "BQN"), *worse])}
    assert (found["none above 3"].found, found["none above 3"].holds) == ("4.74 (BQN)", False)
    assert found["BQN: falls with every level of every axis, within its error"].found == "contrast 2 to 3: +9.0"
    assert found["TIM: falls with every level of every axis, within its error"].holds


def test_the_summary_has_mean_and_sd_over_seeds_by_row(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "dev.csv"
    for one in (line("TSM", 51, 80, train_cpu=91), line("TSM", 50, 84, train_cpu=90), line("BQN", 50, 90)):
        add_result(path, one)
    lines = read_results(path)
    assert list(lines[0]) == list(FIELDS)
    assert [(one["row"], one["seed"]) for one in lines] == [("BQN", "50"), ("TSM", "50"), ("TSM", "51")]
    bqn, tsm = summary(lines).splitlines()[2:]
    assert bqn.split(" | ")[:5] == ["| recipe", "BQN", "1", "90.0", ""]
    assert tsm.split(" | ")[2:9] == ["2", "82.0", "2.8", "50.0", "50.0", "50.0", "50 50 50 50"]
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


def test_two_processes_add_lines_to_one_file(tmp_path: Path) -> None:
    path = tmp_path / "dev.csv"
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(add_result, [path] * 40, [line("TSM", seed, 80) for seed in range(50, 90)]))
    assert [int(one["seed"]) for one in read_results(path)] == list(range(50, 90))


def test_the_page_has_what_the_files_of_results_say() -> None:
    blocks = page_blocks(read_results(RESULTS / "dev.csv"), read_results(RESULTS / "val.csv"))
    page = PAGE.read_text()
    assert filled_in(page, blocks) == page, "python -m tools.instrument --write"
    assert "| TSM-R50 | recipe |" in blocks["recipe on dev"]
    with pytest.raises(ValueError, match="no place for trials"):
        filled_in("# a page", {"trials": ""})
