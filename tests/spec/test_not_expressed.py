from pathlib import Path

import pytest

from benchmark.config.source import SpecError
from benchmark.spec.not_expressed import FILE, claims_not_expressed


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCHMARK_TABLES", str(tmp_path))
    return tmp_path / FILE


def test_reasons_are_read_by_id(file: Path) -> None:
    file.write_text("bqn-4.14: {reason: names no rows, where: Abstract}\nthesis-fig4.7.01: {reason: curves}\n")
    found = claims_not_expressed()
    assert [(name, entry.reason, entry.where) for name, entry in found.items()] == [
        ("bqn-4.14", "names no rows", "Abstract"),
        ("thesis-fig4.7.01", "curves", ""),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bqn-4.14: {reasn: x}", "1: unknown key 'reasn'. Did you mean 'reason'?"),
        ("bqn-4.14: {where: x}", "1: 'reason' is required"),
        ("bqn-4.14: names no rows", "1: 'bqn-4.14' needs {reason: ...}"),
        ("bqn-4: {reason: x}", "1: 'bqn-4' is not the id of a claim, such as bqn-4.14"),
        ("bqn-4.14: {reason: x}\nbqn-4.14: {reason: y}", "2: key 'bqn-4.14' is given twice"),
    ],
)
def test_each_mistake_is_named_with_its_line(file: Path, text: str, expected: str) -> None:
    file.write_text(text + "\n")
    with pytest.raises(SpecError) as caught:
        claims_not_expressed()
    assert f"{file}:{expected}" in str(caught.value).splitlines()
