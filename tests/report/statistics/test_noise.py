"""The noise table: what repeats give it, and what reads it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmark.cli.main import main
from benchmark.plan import row_runs
from benchmark.report.render import render
from benchmark.report.statistics.noise import NoiseError, Repeats, noise_csv, pool, read_noise
from benchmark.runs.atomic import write_json
from benchmark.runs.directory import RunDir
from benchmark.runs.key import run_key
from benchmark.runs.metrics import all_metrics
from benchmark.spec.load import load_table
from benchmark.spec.protocol import load_protocol


@pytest.fixture(autouse=True)
def _roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCHMARK_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("BENCHMARK_RESULTS", str(tmp_path / "results"))


def test_spread_is_pooled_by_family_around_each_row_s_mean() -> None:
    rng = np.random.default_rng(0)
    rows = []
    for family, sd in (("quiet", 0.5), ("loud", 3.0)):
        for number in range(60):
            values = (60 + 5 * rng.normal() + sd * rng.normal(size=3)).tolist()
            hits = (rng.random((3, 200)) < 0.6).astype(float)
            rows.append(Repeats(family, f"t-{number % 2}", {"top1": values}, {"top1": hits}))
    rows.append(Repeats("quiet", "t-9", {"top1": [1.0]}, {}))
    loud, quiet = pool(rows)
    assert (loud.family, quiet.family, quiet.tables) == ("loud", "quiet", ("t-0", "t-1"))
    assert (quiet.df, quiet.rows, quiet.runs) == (120, 60, 180)
    assert quiet.sd == pytest.approx(0.5, rel=0.15)
    assert loud.sd == pytest.approx(3.0, rel=0.15)
    assert quiet.share == pytest.approx(1.0, abs=0.05)  # hits that no other run shares


def test_share_is_what_a_run_s_clips_do_not_share() -> None:
    rng = np.random.default_rng(1)
    clips = rng.random(400) < 0.6
    alike = np.stack([clips, clips, clips]).astype(float)
    (found,) = pool([Repeats("f", "t", {"top1": [60.0, 61.0, 62.0]}, {"top1": alike})])
    assert found.share == 0.0


def test_share_weighs_rows_by_their_runs() -> None:
    rng = np.random.default_rng(2)
    clips = rng.random(400) < 0.5
    alike, apart = np.stack([clips] * 2).astype(float), (rng.random((5, 400)) < 0.5).astype(float)
    (found,) = pool(Repeats("f", "t", {"top1": [60.0] * len(hits)}, {"top1": hits}) for hits in (alike, apart))
    assert found.share == pytest.approx(4 / 5, abs=0.02)


def _finish(table_id: str, seeds: tuple[int, ...]) -> None:
    table = load_table(table_id)
    for number, row in enumerate(table.rows):
        for seed, config in row_runs(row, seeds) if row.config else ():
            rng = np.random.default_rng([number, seed])
            labels, logits = rng.integers(0, 10, 60), rng.normal(size=(60, 10)).astype(np.float32)
            ids = np.array([f"{i:06d}" for i in range(60)])
            run = RunDir.of(run_key(config))
            run.prepare(config)
            np.savez_compressed(run.path / "predictions.npz", ids=ids, labels=labels, logits=logits)
            metrics = all_metrics(logits, labels)
            write_json(run.path / "result.json", {"key": run.key, "metrics": metrics, "num_clips": 60})
            write_json(run.path / "env.json", {"seconds": 1.0})


def test_make_noise_reads_every_repeat_and_tables_cite_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: SimpleNamespace
) -> None:
    assert main(["noise", "--write"]) == 1  # no runs: nothing is written
    assert "nothing is written" in capsys.readouterr().err
    _finish("msnet-8", (0, 1, 7))
    assert main(["noise", "--write"]) == 0
    table = read_noise("embedded")
    noise = table.of("TSM-R18", "top1")
    assert noise is not None
    assert (noise.rows, noise.runs, noise.df) == (3, 9, 6)
    assert table.of("TSM-R18", "top5") is None  # says nothing of ten classes
    written = (tmp_path / "results" / "noise" / "embedded.csv").read_bytes()
    assert main(["noise", "--write"]) == 0
    assert (tmp_path / "results" / "noise" / "embedded.csv").read_bytes() == written
    one = make.table("msnet-8", "embedded")
    runs = {row.label: [make.seed_result(row.label, 0, 60.0)] for row in one.rows}
    found = render(one, runs, {}, tmp_path / "out")
    assert f"results/noise/embedded.csv ({table.digest[:8]})" in " ".join(found.markdown.split())
    assert table.digest in (tmp_path / "out" / "PROVENANCE.json").read_text()


def test_a_damaged_noise_table_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "results" / "noise" / "embedded.csv"
    path.parent.mkdir(parents=True)
    for text in ("family,metric\na,b\n", noise_csv([]).rstrip() + "\nTSM,top1,-1,2,0,1,3,0,0,t\n", "\xff"):
        path.write_text(text, encoding="latin-1")
        with pytest.raises(NoiseError, match=r"embedded.csv is damaged .*make noise"):
            read_noise("embedded")
        assert main(["noise"]) == 2
        assert "is damaged" in capsys.readouterr().err


def test_a_family_may_be_known_by_several_values_of_a_setting() -> None:
    families = {row.label: row.family for row in load_table("da-6").rows if row.config is not None}
    assert families["RGB (baseline)"] == "TSM-R50"
    assert {families[label] for label in ("Flow", "RGB Diff", "FlowNetC", "TVNet")} == {"TSM-R50 on motion"}


def test_every_measured_row_has_a_family_that_the_protocol_names() -> None:
    protocol = load_protocol("embedded").protocol
    for name in ("bqn-4", "da-1", "msnet-6", "cmr-2", "thesis-3.4"):
        for row in load_table(name).rows:
            assert (row.family in protocol.families) == (row.config is not None)
