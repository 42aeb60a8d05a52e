"""How often verdicts are wrong and intervals cover, on simulated tables with known truth: `make calibrate`.

Tables of four rows are drawn by three models, none of which is the estimator's own, and judged by the very code that
judges real ones:

* threshold: a clip is hit where a normal score passes a threshold; score = clip + clip by row + clip by run;
* logit: the log odds of a hit are ability of the run - difficulty of the clip - a row's own difficulties;
* replay: clips and their difficulties are those of stored predictions of real runs, drawn with replacement.

A run's ability varies between seeds by the SD of its row, or falls by 25 points in a quarter of the runs (bimodal).
"""

from __future__ import annotations

import argparse
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.special import expit, ndtri

from benchmark.report.results import SeedResult
from benchmark.report.statistics.claims import Judgement, judge_claims
from benchmark.report.statistics.compare import Comparison
from benchmark.report.statistics.noise import NOTHING_KNOWN, Noise, NoiseTable
from benchmark.runs.predictions import Predictions
from benchmark.spec.claim import Claim
from benchmark.spec.load import load_table
from benchmark.spec.table import Table

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = REPOSITORY / "docs" / "statistics.md"
BEGIN, END = "<!-- calibration: begin (make calibrate) -->", "<!-- calibration: end -->"
REAL_HITS = REPOSITORY / "tests" / "report" / "real_hits.npz"
ROWS = ("0", "4", "8", "16")
CLIPS = 2000
FAILS, FALL = 0.25, 25.0
Model = Literal["threshold", "logit", "replay"]
MODELS: tuple[Model, ...] = ("threshold", "logit", "replay")


@dataclass(frozen=True)
class Case:
    """Tables to draw: the rows' true accuracies, their SD between runs (None: bimodal), the seeds, and the claim.

    `true` says whether the claim is: a verdict is wrong that says otherwise; None if neither verdict is right.
    `of_family`: the SD that the noise table gives, with 20 degrees of freedom; None for no noise table.
    """

    name: str
    means: tuple[float, float, float, float]
    sds: tuple[float | None, ...]
    seeds: int
    relation: str
    true: bool | None
    rhs: tuple[str, ...] = ("0",)
    margin: float | None = None
    of_family: float | None = None
    model: Model = "threshold"
    clips: int = CLIPS

    def claim(self) -> Claim:
        """Row 16 against row 0 or against all others, or the ladder from 0 to 16."""
        lhs, rhs = ("0", ROWS[1:]) if self.relation == "monotone" else ("16", self.rhs)
        values = {"id": "c", "lhs": lhs, "relation": self.relation, "rhs": rhs, "metric": "top1", "text": ""}
        return Claim.model_validate(values | ({"margin": self.margin} if self.margin else {}))


@dataclass(frozen=True)
class Outcome:
    """Shares of the tables of a case, in percent."""

    covered: float
    half_width: float
    supported: float
    contradicted: float
    unstable: float
    wrong: float


def cases() -> Iterator[Case]:
    """All of them: what a row of docs/statistics.md shows."""
    even = (60.0,) * 4
    spreads: tuple[tuple[str, tuple[float | None, ...]], ...] = (
        ("equal SD 0.6", (0.6,) * 4),
        ("equal SD 2", (2.0,) * 4),
        ("no SD", (0.0,) * 4),
        ("two noisy (3), two quiet (0.3)", (3.0, 0.3, 0.3, 3.0)),
        ("noisy (3) against quiet (0.3)", (0.3, 0.3, 0.3, 3.0)),
        ("bimodal, all", (None,) * 4),
        ("two bimodal, two quiet (0.3)", (None, 0.3, 0.3, None)),
    )
    for seeds in (3, 5, 10):
        for name, sds in spreads:
            means = tuple(m if sd is not None else m - FAILS * FALL for m, sd in zip(even, sds, strict=True))
            yield Case(f"null, {name}", (means[0], means[1], means[2], means[3]), sds, seeds, ">", None)
    for model in MODELS[1:]:
        for seeds in (3, 5):
            for name, sds in spreads[:5]:
                yield Case(f"null, {name}", even, sds, seeds, ">", None, model=model)
    quiet = (0.6,) * 4
    for seeds in (1, 3, 5, 10):
        family = 0.6 if seeds == 1 else None
        more = {"sds": quiet, "seeds": seeds, "of_family": family}
        if seeds == 1:
            yield Case("null, equal SD 0.6", even, relation=">", true=None, **more)  # type: ignore[arg-type]
        yield Case("2 points better", (60, 60, 60, 62), relation=">", true=True, **more)  # type: ignore[arg-type]
        yield Case("2 points worse", (60, 60, 60, 58), relation=">", true=False, **more)  # type: ignore[arg-type]
        yield Case("best of four, none is", even, relation="best", true=None, rhs=ROWS[:3], **more)  # type: ignore[arg-type]
        yield Case("best of four by 3", (60, 60, 60, 63), relation="best", true=True, rhs=ROWS[:3], **more)  # type: ignore[arg-type]
        yield Case("~ within 2, equal", even, relation="~", true=True, margin=2.0, **more)  # type: ignore[arg-type]
        yield Case("~ within 2, 2 apart", (60, 60, 60, 62), relation="~", true=None, margin=2.0, **more)  # type: ignore[arg-type]
        yield Case("~ within 0.5, 4 apart", (60, 60, 60, 64), relation="~", true=False, margin=0.5, **more)  # type: ignore[arg-type]
        yield Case(">= within 0.5, equal", even, relation=">=", true=True, margin=0.5, **more)  # type: ignore[arg-type]
        yield Case(">= within 0.5, 0.5 worse", (60, 60, 60, 59.5), relation=">=", true=None, margin=0.5, **more)  # type: ignore[arg-type]
        yield Case("ladder of 1 point", (60, 61, 62, 63), relation="monotone", true=True, margin=None, **more)  # type: ignore[arg-type]
        yield Case("no ladder", even, relation="monotone", true=None, **more)  # type: ignore[arg-type]
        yield Case("ladder of 0.5 points", (60, 60.5, 61, 61.5), relation="monotone", true=True, **more)  # type: ignore[arg-type]
        yield Case("ladder with a fall of 1", (60, 62, 61, 63), relation="monotone", true=False, **more)  # type: ignore[arg-type]
        yield Case("ladder with a fall of 2", (60, 63, 61, 64), relation="monotone", true=False, **more)  # type: ignore[arg-type]
    for seeds in (3, 5):
        means, sds = (60, 60.5, 61, 61.5), (0.3,) * 4
        name = "ladder of 0.5 points, 11,522 clips"
        yield Case(name, means, sds, seeds, "monotone", True, clips=11_522)


def simulate(case: Case, tables: int, seed: int = 0) -> Outcome:
    """Draw the tables, judge each, and count."""
    rng = np.random.default_rng([seed, hash_of(case)])
    claim, noise = case.claim(), _noise(case, rng)
    table = _table().model_copy(update={"claims": (claim,)})
    difference = _truth(case)
    covered, widths, states, unstable = 0, [], [], 0
    for _ in range(tables):
        comparison = Comparison(table, draw(case, rng), noise)
        found: Judgement = judge_claims(table, comparison, {})[0]
        states.append(found.state)
        unstable += "unstable" in found.reason
        contrast = comparison.contrast("16", "0", "top1")
        if contrast is not None and contrast.estimate is not None:
            covered += contrast.estimate.low <= difference <= contrast.estimate.high
            widths.append(contrast.estimate.half_width())
    supported, contradicted = (100 * states.count(s) / tables for s in ("supported", "contradicted"))
    wrong = {True: contradicted, False: supported, None: supported + contradicted}[case.true]
    if case.true is None and case.relation in ("~", ">="):  # at the very edge of the margin either is one-sided
        wrong = max(supported, contradicted)
    return Outcome(
        100 * covered / max(len(widths), 1),
        float(np.mean(widths)) if widths else float("nan"),
        supported,
        contradicted,
        100 * unstable / tables,
        wrong,
    )


def hash_of(case: Case) -> int:
    """A number that a case's draws start from, the same on every machine."""
    return zlib.crc32(repr(case).encode())


def draw(case: Case, rng: np.random.Generator) -> dict[str, list[SeedResult]]:
    """The runs of one table."""
    clips = _clip_scores(case, rng)
    return {
        label: [_run(seed, hits) for seed, hits in enumerate(_row_hits(case, row, clips, rng))]
        for row, label in enumerate(ROWS)
    }


def _clip_scores(case: Case, rng: np.random.Generator) -> np.ndarray:
    """(clips,) of what all rows find difficult."""
    if case.model == "replay":
        return rng.choice(_real_difficulty(), case.clips)
    return rng.normal(size=case.clips)


def _row_hits(case: Case, row: int, clips: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """(clips,) of hits of each run of a row."""
    own, sd, mean = rng.normal(size=case.clips), case.sds[row], case.means[row]
    for _ in range(case.seeds):
        fallen = FALL * (rng.random() < FAILS)
        accuracy = mean + FAILS * FALL - fallen if sd is None else mean + sd * rng.normal()
        if case.model == "threshold":
            score = np.sqrt(0.5) * clips + np.sqrt(0.2) * own + np.sqrt(0.3) * rng.normal(size=case.clips)
            yield score < ndtri(np.clip(accuracy / 100, 1e-4, 1 - 1e-4))
        else:
            ability = _ability(case.model)(accuracy)
            scale = 1.0 if case.model == "replay" else 1.5
            yield rng.random(case.clips) < expit(ability - scale * clips - 0.7 * own)


@cache
def _ability(model: Model) -> Callable[[float], float]:
    """The ability that gives an accuracy, averaged over clips and rows: read off a fine table."""
    rng = np.random.default_rng(1)
    clips = _real_difficulty() if model == "replay" else 1.5 * rng.normal(size=4000)
    scores = clips[:, None] + 0.7 * ndtri((np.arange(60) + 0.5) / 60)
    grid = np.linspace(-8, 8, 400)
    accuracy = np.array([100 * expit(ability - scores).mean() for ability in grid])
    return lambda wanted: float(np.interp(wanted, accuracy, grid))


@cache
def _real_difficulty() -> np.ndarray:
    """(clips,) difficulty in log odds from the hits of real runs, a little towards the middle."""
    with np.load(REAL_HITS) as stored:
        hits = stored["hits"]
    share = (hits.sum(axis=0) + 0.5) / (len(hits) + 1)
    return np.asarray(-np.log(share / (1 - share)))


def _truth(case: Case) -> float:
    """The difference of rows 16 and 0, over all runs and clips that there could be."""
    return case.means[3] - case.means[0]


def _noise(case: Case, rng: np.random.Generator) -> NoiseTable:
    """What a noise table would say of the family, itself estimated with 20 degrees of freedom."""
    if case.of_family is None:
        return NOTHING_KNOWN
    # Between runs of one row the accuracy varies by its SD and by chance hits: what a noise table sees is both.
    chance = 100**2 * 0.24 * 0.3 / case.clips
    sd = float(np.sqrt((case.of_family**2 + chance) * rng.chisquare(20) / 20))
    noise = Noise("family", "top1", sd, 20, 0.25, 10, 30, sd, sd)
    return NoiseTable({("family", "top1"): noise}, "0" * 64, "simulated.csv")


@cache
def _table() -> Table:
    table = load_table("bqn-3b")
    rows = tuple(row.model_copy(update={"family": "family"}) for row in table.rows)
    return table.model_copy(update={"rows": rows})


def _run(seed: int, hits: np.ndarray) -> SeedResult:
    logits = np.stack([hits, ~hits], axis=1).astype(np.float32)
    clips = len(hits)
    made = Predictions(np.arange(clips), np.zeros(clips, dtype=int), logits)
    return SeedResult(seed, "simulated", "done", {"top1": 100 * float(hits.mean())}, lambda: made, clips=clips)


def markdown(found: Sequence[tuple[Case, Outcome]], tables: int) -> str:
    """The table of docs/statistics.md."""
    head = "| case | model | seeds | covers | ± | supported | contradicted | unstable | wrong |"
    lines = [
        f"{tables:,} tables a case, of four rows and, if not said otherwise, {CLIPS:,} clips; percent, and the mean"
        " half width of the interval in points.",
        "",
        head,
        "| --- | --- | --: | --: | --: | --: | --: | --: | --: |",
    ]
    for case, outcome in found:
        numbers = [
            *(f"{outcome.covered:.1f}", f"{outcome.half_width:.2f}", f"{outcome.supported:.1f}"),
            *(f"{outcome.contradicted:.1f}", f"{outcome.unstable:.1f}", f"{outcome.wrong:.1f}"),
        ]
        lines.append(f"| {case.name} (`{case.relation}`) | {case.model} | {case.seeds} | {' | '.join(numbers)} |")
    return "\n".join(lines)


def main() -> int:
    """Simulate every case and write the table into docs/statistics.md; with --tables fewer, print it instead."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, help="tables a case, printed; default: 1,000, written to the page")
    parser.add_argument("--seed", type=int, default=0, help="of the simulation")
    arguments = parser.parse_args()
    tables = arguments.tables or 1000
    found = []
    for case in cases():
        outcome = simulate(case, tables, arguments.seed)
        found.append((case, outcome))
        print(f"{case.name}, {case.model}, {case.seeds} seeds: {outcome}", file=sys.stderr, flush=True)
    text = markdown(found, tables)
    if arguments.tables:
        print(text)
        return 0
    page = PAGE.read_text()
    before, after = page.partition(BEGIN)[0], page.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
