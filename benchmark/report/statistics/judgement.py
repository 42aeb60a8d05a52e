"""What a judgement of a claim consists of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmark.report.statistics.compare import Contrast
from benchmark.report.statistics.printed import Trial
from benchmark.report.statistics.relations import SizeCheck
from benchmark.spec.claim import Claim

State = Literal["supported", "contradicted", "not resolved", "not measured yet", "not testable here"]
STATES: tuple[State, ...] = ("supported", "contradicted", "not resolved", "not measured yet", "not testable here")


@dataclass(frozen=True)
class Judgement:
    """A claim's state, with the reason, and what it takes to leave it.

    Attributes:
        claim: The claim.
        state: One of five.
        reason: What the state rests on: the decisive difference, or what is missing.
        takes: What it takes to resolve it; "" where it is resolved.
        contrast: The decisive pair of a measured claim, as (larger, smaller) of the claim.
        p: Two-sided, of this claim alone; None where nothing is tested.
        p_adjusted: The same, corrected for the table's claims on the metric.
        printed: What the printed numbers say; None where one is not printed.
        sizes: The claimed sizes against our own values, where these are of the printed data or are costs.
    """

    claim: Claim
    state: State
    reason: str
    takes: str = ""
    contrast: Contrast | None = None
    p: float | None = None
    p_adjusted: float | None = None
    printed: Trial | None = None
    sizes: tuple[SizeCheck, ...] = ()


@dataclass(frozen=True)
class Tested:
    """A claim that is tested, and whose state waits for the correction over the table's claims.

    Attributes:
        support, contradict: One-sided p of both verdicts.
        for_it, against: The pair that decides each.
        text: What else the verdict rests on.
    """

    support: float
    contradict: float
    for_it: Contrast
    against: Contrast
    text: str = ""

    @property
    def p(self) -> float:
        """Two-sided: of whichever verdict is nearer."""
        return min(1.0, 2 * min(self.support, self.contradict))

    @property
    def decisive(self) -> Contrast:
        """The pair that the nearer verdict rests on."""
        return self.for_it if self.support <= self.contradict else self.against
