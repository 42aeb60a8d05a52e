"""The reading commands as a user types them: output, JSON, exit status and messages."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.cli.main import main
from benchmark.cli.text import grid
from benchmark.plan import make_plan
from benchmark.runs.atomic import write_json
from benchmark.runs.directory import RunDir
from benchmark.spec.columns import COLUMNS
from benchmark.spec.load import load_table


@pytest.fixture(autouse=True)
def _empty_roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCHMARK_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("BENCHMARK_RESULTS", str(tmp_path / "results"))


def test_list_names_every_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert [e["table"] for e in entries][:3] == ["bqn-1", "bqn-2", "bqn-3a"]
    assert [e["table"] for e in entries if e["table"].startswith("thesis-3.")][-2:] == ["thesis-3.12", "thesis-3.13"]
    assert next(e for e in entries if e["table"] == "bqn-3a")["runs"] == 3


def test_list_of_columns_has_every_key(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["list", "--columns", "--json"]) == 0
    assert [entry["key"] for entry in json.loads(capsys.readouterr().out)] == list(COLUMNS)
    monkeypatch.setenv("COLUMNS", "100")
    assert main(["list", "--columns"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 100
    above, below = out.split("\n\n")
    assert [line.split()[0] for line in above.splitlines()[2:] if line[0] != " "] == [
        k for k in COLUMNS if "@" not in k
    ]
    words = set(below.replace(",", " ").replace(";", " ").replace(".\n", " ").split())
    assert {part for key in COLUMNS if "@" in key for part in key.split("@")} <= words


def test_show_has_printed_digits_settings_and_claims(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "bqn-3d"]) == 0
    out = capsys.readouterr().out
    assert "60.7" in out
    assert "model.quiet_size=40 data.size=64" in out
    assert "bqn-3d.02" in out


@pytest.mark.parametrize("width", [80, 120])
def test_explain_fits_a_terminal_and_names_the_line_of_a_learning_rate(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    assert main(["show", "bqn-3a", "msnet-3", "--explain"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= width
    assert main(["show", "bqn-3a", "--row", "Quiet", "--explain", "--protocol", "proxy"]) == 0
    lines = capsys.readouterr().out.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("train.lr "))
    places = {}
    for name in ("protocols/proxy", "bases/recipe/bqn"):
        text = Path(f"tables/{name}.yaml").read_text().splitlines()
        places[name] = f"tables/{name}.yaml:{next(i for i, line in enumerate(text, 1) if 'lr: ' in line)}"
    assert lines[at].split() == ["train.lr", "0.016"]
    assert lines[at + 1].strip() == f"{places['protocols/proxy']}, over 0.12 ({places['bases/recipe/bqn']})"


def test_explain_as_json_has_a_row_s_own_options_and_what_each_value_overrode(
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = "examples/differences.yaml"
    assert main(["show", table, "--row", "frames", "--row", "first differences", "--explain", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["table"], row["row"], row["protocol"]) for row in rows] == [
        (table, label, "embedded") for label in ("frames", "first differences")
    ]
    assert [row["settings"]["model.options.order"]["value"] for row in rows] == [0, 1]
    assert rows[0]["settings"]["model.source"]["how"] == "computed"
    assert next((o["value"], o["file"]) for o in rows[0]["settings"]["model.dropout"]["over"]) == (0.5, table)


SIX = [f"bqn-3{part}" for part in "abcdef"]


def test_plan_counts_shared_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", *SIX, "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["wanted"], plan["runs"], plan["shared"], plan["done"]) == (24, 19, 5, 0)
    assert plan["device_hours"] > 0
    assert main(["plan", *SIX]) == 0
    assert "ask for 24 runs; 5 are shared, so 19 are needed: 0 done, 19 to do" in capsys.readouterr().out


def test_plan_refuses_a_changed_default(capsys: pytest.CaptureFixture[str]) -> None:
    key, run = next(iter(make_plan([load_table("bqn-3b")]).runs.items()))
    directory = RunDir.of(key)
    directory.prepare(run.config)
    stored = json.loads((directory.path / "config.json").read_text())
    stored["train"]["momentum"] = 0.5
    write_json(directory.path / "config.json", stored)
    assert main(["plan", "bqn-3b"]) == 2
    assert "train.momentum: 0.5 when it was run, 0.9 now" in capsys.readouterr().err


def test_status_of_runs_that_never_started(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "bqn-3b", "--json"]) == 0
    assert {e["state"] for e in json.loads(capsys.readouterr().out)} == {"pending"}


@pytest.mark.parametrize("width", [60, 80])
def test_status_fits_a_terminal(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    (failed, run), (running, other) = list(make_plan([load_table("bqn-4")]).runs.items())[:2]
    error = "RuntimeError: " + "the loss is not a number any more, and has not been for a while; " * 3
    for key, planned in ((failed, run), (running, other)):
        RunDir.of(key).prepare(planned.config)
    RunDir.of(failed).set_status(state="failed", error=error.strip())
    RunDir.of(running).set_status(state="interrupted", epoch=2, epochs=30)
    for tables in (["bqn-4"], ["bqn-4", "da-6"]):
        assert main(["status", *tables]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines)) <= width
        assert not any(line != line.rstrip() for line in lines)
        said = [line.strip() for line in lines if line.startswith("    ")]
        assert error.strip() in " ".join(said)
        text = " ".join(" ".join(lines).split())
        assert "BQN_En" not in text  # it averages runs and has none of its own
        assert "interrupted" in text
        assert "epoch 3/30" in text
        assert all(key in text for key in (failed, running))  # a key is never cut


def test_a_grid_wraps_the_widest_column_by_words() -> None:
    rows = [["a label of several words that is long", "1.25", "x"], ["short", "10.50", "y" * 30]]
    text = grid(["row", "n", "key"], rows, right=(1,), width=60, further=["", "and more"])
    assert max(len(line) for line in text.splitlines()) <= 60
    assert text.splitlines()[-1] == "    and more"
    assert "y" * 30 in text
    assert grid(["row", "n"], [["a b", "1"]]) == "row  n\n---  -\na b  1"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plan", "bqn-3x"], "no table 'bqn-3x'"),
        (["plan"], "name a table, or --all"),
        (["plan", "bqn-3b", "--protocol", "embeded"], "Did you mean 'embedded'?"),
        (["plan", "missing.yaml"], "missing.yaml: no such file"),
        (["show", "bqn-3a", "--row", "Quit", "--explain"], "tables/bqn/3a.yaml: no row 'Quit'. Did you mean 'Quiet'?"),
        (["show", "bqn-3a", "--row", "Quiet"], "--row is for --explain"),
        (["show", "msnet-9", "--explain"], "an architecture table has no runs"),
    ],
)
def test_a_wrong_request_is_status_2_and_one_clear_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert len(captured.err.strip().splitlines()) == 1
    assert captured.out == ""


def test_listing_takes_about_a_second(cpu_seconds: Callable[..., float], import_seconds: float) -> None:
    assert cpu_seconds(sys.executable, "-m", "benchmark", "list") < 2 * import_seconds


def test_help_names_every_command() -> None:
    done = subprocess.run([sys.executable, "-m", "benchmark", "--help"], check=True, capture_output=True, text=True)
    for command in (
        "list",
        "show",
        "plan",
        "cost",
        "run",
        "time",
        "submit",
        "status",
        "render",
        "data",
    ):
        assert f"  {command} " in done.stdout


def test_a_plan_says_what_its_runs_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "bqn-6", "--protocol", "paper"]) == 0
    printed = capsys.readouterr().out
    assert "reads kinetics400, ucf101, ucf101-2, ucf101-3; pretrained weights: imagenet of bqn." in printed
    assert main(["plan", "da-6", "--protocol", "paper", "--dataset", "ucf101", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["reads"] == ["ucf101", "ucf101 (flow)"]
    assert found["weights"] == ["imagenet of tsm_resnet"]


def test_a_report_by_level_is_of_graded_clips_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "bqn-3a", "--by", "speed", "--protocol", "smoke"]) == 2
    assert "bqn-3a is measured on motionpairs-tiny here, whose clips have no levels of speed" in capsys.readouterr().err
    assert main(["report", "bqn-3a", "--by", "clutter"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == (
        "Top-1 accuracy by clutter (contrast of the background, and one distractor more at each level), percent."
    )
    assert lines[3].split() == ["Model", "1:", "0.2", "2:", "0.35", "3:", "0.5", "4:", "0.65"]
    assert lines[-1].split()[-4:] == ["–"] * 4
    assert not (tmp_path / "results").exists()
