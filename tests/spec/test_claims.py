"""The claims of the five papers: each stands in a spec, as the paper makes it, or in the list of those that do not."""

import csv
from collections.abc import Iterator
from itertools import pairwise, product
from pathlib import Path

import pytest

from benchmark.spec.claim import Claim, first_made
from benchmark.spec.files import table_paths
from benchmark.spec.load import load_table
from benchmark.spec.not_expressed import claims_not_expressed
from benchmark.spec.table import Table

with (Path(__file__).parent / "printed" / "claims.csv").open() as file:
    TRANSCRIBED = {line["id"]: line for line in csv.DictReader(file)}
TABLES = {name: load_table(name) for name in table_paths() if not name.startswith("checks-")}
CLAIMS = {claim.id: claim for table in TABLES.values() for claim in table.claims}

LATER = {"da-1.50", "msnet-2.50", "msnet-2.51", "thesis-4.6.50", "thesis-4.7.50"}
LATER |= {"thesis-5.1.50", "thesis-5.1.51", "thesis-5.1.52", "thesis-5.3.50", "thesis-5.7.50"}
"""Claims that the transcription does not have, or not by themselves: numbered from .50."""

BEST_ROW = "said of a method, of whose rows the best is meant"
OTHERS = "said of a method beside others, which its own rows are not"
MOST = "most others are those that it is better than by the print"
SETTINGS = "the settings searched are the rows of the figure's curves"
COMPETITIVE = "competitive is no worse, not alike"
JOINT = "the training that it is worse than is not named: each that is joint"
MOTION = "frames are no representation of motion"
LISTED = "differences of frames are not among the representations that the section lists"
NOT_BETTER = "what is not better is not yet worse"
HALVED = "the paper has its two halves as two claims; .50 is the other"
READ_DIFFERENTLY = {
    **dict.fromkeys(("bqn-4.01", "cmr-1.09", "cmr-1.10"), BEST_ROW),
    **dict.fromkeys(("bqn-4.06", "thesis-5.9.06", "msnet-1.02", "da-1.12"), MOST),
    **dict.fromkeys(("da-3.01", "da-3.02", "thesis-3.8.01", "thesis-3.8.02"), MOST),
    **dict.fromkeys(("bqn-fig3.01", "bqn-fig6.01", "thesis-fig5.3.01"), SETTINGS),
    **dict.fromkeys(("msnet-2.03", "msnet-2.04", "thesis-4.7.05"), COMPETITIVE),
    **dict.fromkeys(("da-5.03", "thesis-3.9.06"), JOINT),
    **dict.fromkeys(("da-1.05", "thesis-3.6.04", "thesis-5.9.03"), OTHERS),
    **dict.fromkeys(("thesis-5.1.01", "thesis-5.1.02", "thesis-5.1.03"), MOTION),
    **dict.fromkeys(("da-6.01", "da-6.02", "thesis-3.12.01", "thesis-3.12.02"), MOTION),
    **dict.fromkeys(("bqn-1.05", "bqn-1.06", "bqn-1.07"), LISTED),
    **dict.fromkeys(("thesis-4.5.03", "thesis-4.5.04"), NOT_BETTER),
    **dict.fromkeys(("thesis-5.3.01", "thesis-5.7.01"), HALVED),
    "thesis-5.1.04": "the lowest of four costs is lower than three of them, as in BQN 1",
    "thesis-5.4.03": "second only to averaging, which it also is before the classifier",
    "thesis-5.5.02": "what leads to improvement is better, as in BQN 3f",
    "thesis-5.9.04": "models on ResNet-50 are as in BQN 4, with bLResNet-50",
    "msnet-4.04": "a cost that rises is named from its other end",
    "msnet-fig4.02": "a trend up to 15 goes by way of 9",
}
"""Claims whose sides or relation are not those of the transcription, and why."""

NOT_BORNE_OUT = {
    "bqn-4.08": "four times the frames: 48 of 16",
    "bqn-4.11": "14 %: 9.7 of 65 is 14.9",
    "msnet-1.05": "2.5 % more: 34 of 33, and 33.7 of 33.1 in Table 7",
    "msnet-2.08": "about 4 times: 31.2 of 3.7 is 8.4",
    "thesis-5.9.09": "as bqn-4.08",
    "thesis-5.9.12": "as bqn-4.11",
}
"""Claims whose size the printed numbers contradict."""


def _printed(table: Table, label: str, metric: str) -> float | None:
    return table.row(label).printed.get(metric)


def _sides(table: Table, claim: Claim) -> tuple[set[str], str, set[str], str]:
    """A transcribed claim's sides, with every other row by name and without rows that print nothing."""
    line = TRANSCRIBED[claim.id]
    lhs, rhs, metric = set(line["lhs"].split(" ; ")), set(line["rhs"].split(" ; ")), line["metric"]
    labels = {row.label for row in (*table.rows, *table.elsewhere)}
    if rhs == {"*"}:
        rhs = {row.label for row in table.rows} - lhs
    printing = {name for name in rhs & labels if _printed(table, name, metric) is not None}
    return lhs, line["relation"], printing or rhs, metric


def test_every_claim_stands_in_a_spec_or_in_the_list_of_those_that_do_not() -> None:
    assert len(TRANSCRIBED) == 431
    assert TRANSCRIBED.keys() == (CLAIMS.keys() - LATER) | claims_not_expressed().keys()
    assert {name for name in CLAIMS if int(name.rpartition(".")[2]) >= 50} == LATER
    assert not CLAIMS.keys() & claims_not_expressed().keys()


def test_claims_have_the_sides_relation_and_metric_that_the_papers_give_them() -> None:
    differing = set()
    for table in TABLES.values():
        for claim in (claim for claim in table.claims if claim.id not in LATER):
            if (set(claim.lhs), claim.relation, set(claim.rhs), claim.metric) != _sides(table, claim):
                differing.add(claim.id)
    assert differing == READ_DIFFERENTLY.keys()


def test_trends_have_the_papers_order() -> None:
    trends = [claim for claim in CLAIMS.values() if claim.relation == "monotone" and claim.id not in READ_DIFFERENTLY]
    assert len(trends) == 11
    assert {c.id: " ; ".join(c.rhs) for c in trends} == {c.id: TRANSCRIBED[c.id]["rhs"] for c in trends}


def test_every_claim_says_where_it_stands() -> None:
    assert [claim.id for claim in CLAIMS.values() if not claim.where] == []
    assert [name for name, entry in claims_not_expressed().items() if not entry.where] == []


def _pairs(table: Table, claim: Claim) -> Iterator[frozenset[str | float]]:
    """The rows compared, by what they print: a label differs between tables, a print mostly does not."""
    compared = pairwise(claim.labels) if claim.relation == "monotone" else product(claim.lhs, claim.rhs)
    for pair in compared:
        values = [_printed(table, name, claim.metric) for name in pair]
        yield frozenset(name if value is None else value for name, value in zip(pair, values, strict=True))


def test_a_repeat_makes_no_comparison_of_its_own() -> None:
    """Each of its pairs is one that is made in the table of the claim that it repeats, on the same metric."""
    for table in TABLES.values():
        for claim in table.claims:
            if claim.repeats is None:
                continue
            first = TABLES[claim.repeats.rpartition(".")[0]]
            others = [other for other in first.claims if other.metric == claim.metric and other is not claim]
            made = {pair for other in others for pair in _pairs(first, other)}
            assert set(_pairs(table, claim)) <= made, claim.id


def test_repeats_count_once() -> None:
    firsts = first_made(CLAIMS)
    assert all(CLAIMS[first].metric == CLAIMS[name].metric for name, first in firsts.items())
    assert (len(CLAIMS), len(set(firsts.values()))) == (419, 279)


@pytest.mark.parametrize("relation", ["~", "monotone"])
def test_relations_that_are_neither_a_difference_nor_a_best_are_read_as_such(relation: str) -> None:
    expected = {name for name, line in TRANSCRIBED.items() if line["relation"] == relation}
    expected -= claims_not_expressed().keys() | {n for n, why in READ_DIFFERENTLY.items() if why == COMPETITIVE}
    assert {claim.id for claim in CLAIMS.values() if claim.relation == relation} == expected


def _contradicted(table: Table, claim: Claim) -> bool:
    """Whether the printed numbers of a pair are at odds with a size that is claimed of it."""
    for pair in product(claim.lhs, claim.rhs):
        values = sorted(value for name in pair if (value := _printed(table, name, claim.metric)) is not None)
        if len(values) == 2:
            smaller, larger = values
            measured = [larger - smaller if size.form == "difference" else larger / smaller for size in claim.sizes]
            if not all(size.agrees(value) for size, value in zip(claim.sizes, measured, strict=True)):
                return True
    return False


def test_sizes_are_those_of_the_printed_numbers_but_for_the_ones_named() -> None:
    sized = {c.id for c in CLAIMS.values() if c.sizes}
    found = {c.id for table in TABLES.values() for c in table.claims if c.sizes and _contradicted(table, c)}
    assert found == NOT_BORNE_OUT.keys()
    assert len(sized) == 115
