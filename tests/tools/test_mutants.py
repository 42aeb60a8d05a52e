"""The list of mutants fits the code as it is; `make mutants` tries them."""

from __future__ import annotations

import pytest

from benchmark.config.folders import REPOSITORY
from tools.mutants import Mutant, read_mutants

MUTANTS = read_mutants()


def test_there_are_forty_of_different_kinds() -> None:
    assert len(MUTANTS) >= 40
    assert len({mutant.file for mutant in MUTANTS}) >= 40


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.id)
def test_a_mutant_finds_its_place_and_its_tests(mutant: Mutant) -> None:
    assert mutant.found(REPOSITORY) == 1, f"{mutant.file} changed: give tools/mutants.yaml its new line"
    assert mutant.old != mutant.new
    for test in mutant.tests:
        path, *names = test.split("::")
        text = (REPOSITORY / path).read_text()
        assert all(f"def {name}(" in text or f"class {name}" in text for name in names), test
