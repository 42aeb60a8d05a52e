"""Two runs compared in everything that is recorded of them, and what that says about why their numbers differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.report.diff.causes import Causes, Difference, FileChange, find_causes
from benchmark.report.diff.curves import Curves, Observed, compare_curves, first_difference
from benchmark.report.diff.outcome import Outcome, compare_outcomes
from benchmark.report.diff.recorded import Recorded

SHOWN = 4
"""Names of a kind that the judgement spells out."""


@dataclass(frozen=True)
class RunDiff:
    """Run `b` against run `a`.

    Attributes:
        without_behaviour: The runs (`A`, `B`) that have no behaviour.json.
        observed: The first observable in which their miniatures differ.
        same_weights: Whether training came to the same weights; None where that is not recorded.
        judgement: One line: what can have changed the number.
    """

    a: Recorded
    b: Recorded
    outcome: Outcome
    causes: Causes
    without_behaviour: tuple[str, ...]
    observed: Observed | None
    curves: Curves
    same_weights: bool | None
    judgement: str


def compare(a: Recorded, b: Recorded) -> RunDiff:
    """Everything in which two runs differ, and what of it can have changed the number."""
    outcome, causes = compare_outcomes(a, b), find_causes(a, b)
    without = tuple(name for name, run in (("A", a), ("B", b)) if run.behaviour is None)
    observed = first_difference(a.behaviour, b.behaviour) if a.behaviour and b.behaviour else None
    alike = not without and (observed is None or observed.of_bits_alone)
    same_weights = _same_weights(a, b)
    return RunDiff(
        a,
        b,
        outcome,
        causes,
        without,
        observed,
        compare_curves(a.epochs, b.epochs),
        same_weights,
        judge(outcome, causes, alike, same_weights),
    )


def judge(outcome: Outcome, causes: Causes, alike: bool, same_weights: bool | None) -> str:
    """What of all that differs can have changed the number, in one line, and what is not known.

    Args:
        outcome: what the runs came to.
        causes: what they were made by.
        alike: whether their miniatures are equal.
        same_weights: whether training came to the same weights, if it is known.
    """
    found = _found(causes, alike)
    known_same = _same(causes)
    unknown = f" Not recorded: {'; '.join(causes.unrecorded)}." if causes.unrecorded else ""
    if outcome.equal:
        if not found and not causes.starts:
            kept = "" if outcome.exact else ", of the predictions all that a record keeps of them"
            return f"Everything recorded is equal{kept}.{unknown}"
        known = "to the last logit" if outcome.exact else "in all that a record keeps of them"
        return f"The predictions are equal {known}, whatever differs: {'; '.join(found) or 'starts'}."
    equal_numbers = all(metric.a == metric.b for metric in outcome.metrics)
    head = (
        f"The numbers are equal, the {'logits' if outcome.exact else 'predictions'} are not. " if equal_numbers else ""
    )
    if not found:
        starts = " but the number of starts, which should leave a result as it is," if causes.starts else ""
        return f"{head}Everything recorded{starts} is equal: what made the difference is not recorded.{unknown}"
    said = f"{known_same}{'; '.join(found)}"
    several = " (which of these did it is not known)" if len(found) > 1 else ""
    trained = " Training came to the same weights: it came about in evaluation." if same_weights else ""
    return f"{head}{said[0].upper()}{said[1:]}{several}.{trained}{unknown}"


def _found(causes: Causes, alike: bool) -> list[str]:
    """What differs, a text a kind; what is recorded of one run alone is no known difference."""
    found = [f"settings differ: {_names(causes.settings)}"] if causes.settings else []
    code = causes.code
    if code.state == "differs":
        files = [_symbols(file, change) for file, change in code.files.items()]
        found.append(f"other code: {_listed(files)}{' (the miniatures are equal)' if alike else ''}")
    if code.state == "unknown" and code.commits.get("a") != code.commits.get("b"):
        found.append("perhaps other code: other commits or local changes")
    for kind, differing in (("versions", causes.versions), ("hardware", causes.hardware)):
        known = [d for d in differing if d.of_both]
        if known:
            values = [f"{d.what} {d.values['a']} / {d.values['b']}" for d in known]
            found.append(f"other {kind}: {_listed(values)}")
    # The data set's name is among the settings.
    data = [d for d in causes.data if d.of_both and d.what != "data set"]
    found += [f"other data: {_names(data)}"] if data else []
    return [*found, *([f"other starting weights: {_names(causes.weights)}"] if causes.weights else [])]


def _same(causes: Causes) -> str:
    """`same settings and code; `, of those kinds that are known to be the same."""
    kinds = {
        "settings": not causes.settings,
        "code": causes.code.state == "same",
        "data": not causes.data and not any("data" in text for text in causes.unrecorded),
        "versions": not causes.versions and not any("versions" in text for text in causes.unrecorded),
        "hardware": not causes.hardware and not any("processor" in text for text in causes.unrecorded),
    }
    same = [kind for kind, equal in kinds.items() if equal]
    listed = " and ".join(filter(None, [", ".join(same[:-1]), *same[-1:]]))
    return f"same {listed}; " if same else ""


def _symbols(file: str, change: FileChange) -> str:
    return f"{file} ({_listed(change.changed or (*change.only_a, *change.only_b))})"


def _names(differing: Sequence[Difference]) -> str:
    return _listed([d.what for d in differing])


def _listed(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _same_weights(a: Recorded, b: Recorded) -> bool | None:
    ours, theirs = a.env.get("weights"), b.env.get("weights")
    if a.env.get("trained_by") == b.key or b.env.get("trained_by") == a.key:
        return True
    return None if ours is None or theirs is None else ours == theirs
