"""`claims`: fast, without torch, and the committed pages are what it writes."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.cli import claims
from benchmark.cli.main import main
from benchmark.report.claims import all_claims
from benchmark.report.statistics.judgement import STATES
from benchmark.spec.load import load_table

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def entries() -> list[all_claims.Entry]:
    return all_claims.gather_claims([load_table(name) for name in claims.paper_tables()], REPOSITORY / "results")


def test_the_committed_pages_are_those_of_today(entries: list[all_claims.Entry]) -> None:
    for name, content in claims.claims_files(entries).items():
        assert (REPOSITORY / "results" / name).read_text() == content, "run `make claims`"


def test_totals_count_a_claim_once(entries: list[all_claims.Entry]) -> None:
    counts = all_claims.totals(entries)
    repeats = [entry for entry in entries if entry.claim.repeats]
    assert counts["claims"] == len(entries) - len(repeats)
    assert sum(counts[state] for state in STATES) == counts["claims"]
    strict = counts["strict accuracy claims"]
    shares = [counts[f"within the error at {rho:g}"] for rho in (0, 0.4, 0.8)]
    assert strict > shares[0] > shares[1] > shares[2] > 0
    one = all_claims.totals([entry for entry in entries if entry.table.paper == "thesis"])
    assert one["claims"] > 0


def test_the_readme_s_sentence_on_prints_has_the_counts(entries: list[all_claims.Entry]) -> None:
    counts = all_claims.totals(entries)
    readme = " ".join((REPOSITORY / "README.md").read_text().split())
    within, strict = counts["within the error at 0"], counts["strict accuracy claims"]
    assert f"{within} of {strict}" in readme


def test_it_takes_seconds_and_no_torch(cpu_seconds: Callable[..., float], import_seconds: float) -> None:
    code = "import sys; from benchmark.cli.main import main; main(['claims']); assert 'torch' not in sys.modules"
    assert cpu_seconds(sys.executable, "-c", code, cwd=REPOSITORY) < 2 * import_seconds


def test_one_paper_or_table_as_text_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["claims", "--paper", "cmr"]) == 0
    text = capsys.readouterr().out
    assert "cmr-4.01" in text
    assert "bqn-" not in text
    assert main(["claims", "bqn-3b", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    by_id = {claim["id"]: claim for claim in found["claims"]}
    assert by_id["bqn-3b.04"]["printed_difference"] == 2.0
    assert by_id["bqn-3b.04"]["beyond_0"] is True
    assert main(["claims", "--paper", "bqm"]) == 2
    assert "Did you mean 'bqn'?" in capsys.readouterr().err
    assert main(["claims", "bqn-3b", "--write"]) == 2


def test_a_claims_csv_lies_beside_every_rendered_table_with_claims() -> None:
    for path in (REPOSITORY / "results").glob("*/*/cells.csv"):
        with path.open(newline="") as file:
            name = next(csv.DictReader(file))["table"]
        assert (path.parent / "claims.csv").exists() == bool(load_table(name).claims), name
