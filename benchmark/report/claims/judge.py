"""The state of every claim that a paper draws from a table, judged by our own rows.

How a claim is judged is a matter of the column that it is on: see `judge` of the kinds in report/columns/. Claims that
are tested against an error (statistics/claims_on_runs.py) are then corrected together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from benchmark.cost.latency import RowTimings
from benchmark.report.cells import NO_TIMINGS
from benchmark.report.columns.kind import Evidence
from benchmark.report.columns.kinds import KINDS
from benchmark.report.costs import CountedCost
from benchmark.report.statistics.claims_on_runs import decide
from benchmark.report.statistics.compare import Comparison
from benchmark.report.statistics.judgement import Judgement, Tested
from benchmark.report.statistics.printed import try_printed
from benchmark.report.statistics.relations import directed_pairs
from benchmark.report.statistics.stats import holm
from benchmark.spec.columns import COLUMNS
from benchmark.spec.table import Table

VERSION = "2"
"""Of the statistics: a new one may judge the same runs otherwise. It is part of PROVENANCE.json."""
SAME_ASSERTION = {"<": ">", "best": ">", "<=": ">="}
"""Relations that say the same of a pair, once it is put in order."""


def judge_claims(
    table: Table, comparison: Comparison, costs: Mapping[str, CountedCost], timings: RowTimings = NO_TIMINGS
) -> list[Judgement]:
    """The state of each of the table's claims at whatever stage the runs are, in their order."""
    evidence = Evidence(comparison, costs, timings)
    judged: list[Judgement] = []
    tested: dict[int, Tested] = {}
    for number, claim in enumerate(table.claims):
        column = COLUMNS[claim.metric]
        found = KINDS[column.kind].judge(claim, column, evidence)
        if isinstance(found, Tested):
            tested[number] = found
            found = Judgement(claim, "not resolved", "", p=found.p)
        judged.append(replace(found, printed=try_printed(claim, table)))
    for number, adjusted in _adjusted(table, tested).items():
        judged[number] = decide(judged[number], tested[number], adjusted, comparison)
    return judged


def _adjusted(table: Table, tested: Mapping[int, Tested]) -> dict[int, float]:
    """Holm's p by claim, over the distinct claims of each metric; a repeat has that of the claim that it repeats."""
    families: dict[str, dict[object, list[int]]] = {}
    for number in tested:
        claim = table.claims[number]
        same = (SAME_ASSERTION.get(claim.relation, claim.relation), frozenset(directed_pairs(claim)), claim.margin)
        families.setdefault(claim.metric, {}).setdefault(same, []).append(number)
    found: dict[int, float] = {}
    for distinct in families.values():
        p_values = holm([tested[numbers[0]].p for numbers in distinct.values()])
        for numbers, p in zip(distinct.values(), p_values, strict=True):
            found |= dict.fromkeys(numbers, p)
    return found
