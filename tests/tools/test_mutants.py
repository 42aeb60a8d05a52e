"""The list of mutants fits the code as it is; `make mutants` tries them."""

from __future__ import annotations

from benchmark.config.folders import REPOSITORY
from tests.launch.test_behaviour import CONFIGS
from tools.mutants import read_mutants, read_verified

LISTED, VERIFIED = read_mutants(), read_verified()
MUTANTS = [*LISTED, *VERIFIED]


def test_there_are_forty_in_as_many_files() -> None:
    assert len({mutant.file for mutant in LISTED}) >= 40
    assert all(mutant.old != mutant.new for mutant in MUTANTS)


def test_every_mutant_has_one_place() -> None:
    """Where one has none, its line was changed: give tools/mutants.yaml the new one."""
    assert {mutant.id: mutant.file for mutant in MUTANTS if mutant.found(REPOSITORY) != 1} == {}


def test_every_mutant_names_tests_that_there_are() -> None:
    for mutant in MUTANTS:
        for test in mutant.tests:
            path, *names = test.split("::")
            text = (REPOSITORY / path).read_text()
            names = [name.partition("[")[0] for name in names]
            assert all(f"def {name}(" in text or f"class {name}" in text for name in names), f"{mutant.id}: {test}"


def test_fifty_must_be_noticed_by_verify() -> None:
    assert len(VERIFIED) >= 50
    assert {mutant.tests[0].rpartition("[")[2].rstrip("]") for mutant in VERIFIED} == set(CONFIGS)
