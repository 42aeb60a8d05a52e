"""The list of mutants fits the code as it is; `make mutants` tries them."""

from __future__ import annotations

from benchmark.config.folders import REPOSITORY
from tools.mutants import read_mutants

MUTANTS = read_mutants()


def test_there_are_forty_in_as_many_files() -> None:
    assert len({mutant.file for mutant in MUTANTS}) >= 40
    assert all(mutant.old != mutant.new for mutant in MUTANTS)


def test_every_mutant_has_one_place() -> None:
    """Where one has none, its line was changed: give tools/mutants.yaml the new one."""
    assert {mutant.id: mutant.file for mutant in MUTANTS if mutant.found(REPOSITORY) != 1} == {}


def test_every_mutant_names_tests_that_there_are() -> None:
    for mutant in MUTANTS:
        for test in mutant.tests:
            path, *names = test.split("::")
            text = (REPOSITORY / path).read_text()
            assert all(f"def {name}(" in text or f"class {name}" in text for name in names), f"{mutant.id}: {test}"
