"""`diff KEY KEY`: why a number changed. Imports without torch."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

from benchmark.cli.text import grid, paragraph, terminal_width, whole_number
from benchmark.report.diff.causes import Code, Difference
from benchmark.report.diff.compare import RunDiff, compare
from benchmark.report.diff.curves import Curves, Observed
from benchmark.report.diff.outcome import Metric, Outcome
from benchmark.report.diff.recorded import Recorded, find_recorded
from benchmark.report.statistics.stats import Estimate
from benchmark.report.text.differences import p_text

EPOCHS = 20
"""Epochs that are printed; of longer trainings every n-th."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `diff`."""
    for name in ("a", "b"):
        text = "a finished run: its key, the beginning of it, the path of its directory or record, or LAB:KEY"
        parser.add_argument(name, metavar="KEY", help=text)
    parser.add_argument(
        "--clips", type=whole_number(0), default=10, metavar="N", help="flipped clips to list (default: 10)"
    )


def main(arguments: argparse.Namespace) -> int:
    """`diff`."""
    found = compare(find_recorded(arguments.a), find_recorded(arguments.b))
    if arguments.json:
        print(json.dumps(as_json(found), indent=1, ensure_ascii=False))
        return 0
    print("\n".join(_text(found, arguments.clips, terminal_width())))
    return 0


def as_json(found: RunDiff) -> dict[str, Any]:
    """All that was found, every flipped clip included; A before B in pairs."""
    return {
        "runs": {"a": _run_json(found.a), "b": _run_json(found.b)},
        "outcome": _plain(found.outcome) | {"metrics": [_metric_json(metric) for metric in found.outcome.metrics]},
        **_plain(found.causes),
        "trained_to_the_same_weights": found.same_weights,
        "behaviour": {"missing": found.without_behaviour, "first_difference": _plain(found.observed)},
        "curves": _plain(found.curves),
        "judgement": found.judgement,
    }


def _run_json(run: Recorded) -> dict[str, Any]:
    return {"key": run.key, "place": run.place, "name": run.name, "at": _at(run)}


def _metric_json(metric: Metric) -> dict[str, Any]:
    differences = {"networks": metric.networks, "training": metric.training}
    return {
        "name": metric.name,
        **{"a": metric.a, "b": metric.b},
        **{name: _estimate_json(estimate) for name, estimate in differences.items()},
    }


def _estimate_json(estimate: Estimate | None) -> dict[str, float] | None:
    if estimate is None:
        return None
    return {"difference": estimate.value, "low": estimate.low, "high": estimate.high, "p": _p(estimate)}


def _plain(value: Any) -> Any:
    """Dataclasses as mappings, and numbers that JSON has none for as null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: _plain(getattr(value, field.name)) for field in fields}
    if isinstance(value, dict):
        return {key: _plain(below) for key, below in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(below) for below in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _text(found: RunDiff, clips: int, width: int) -> Iterator[str]:
    """Everything as a terminal shows it, a paragraph or a table each; what is equal takes a line."""
    causes, a, b = found.causes, found.a, found.b
    for name, run in (("A", a), ("B", b)):
        yield paragraph(f"{name}: {run.key}, {run.name}, {_at(run)}, {run.place}", width, "   ")
    yield from _outcome(found.outcome, width)
    yield from _differences("Settings", causes.settings, width)
    yield from _code(causes.code, width)
    yield from _differences("Versions", causes.versions, width)
    yield from _differences("Hardware", causes.hardware, width)
    yield from _differences("Data", causes.data, width)
    yield from _differences("Starting weights", causes.weights, width)
    yield from _differences("Numbers of starts", causes.starts, width)
    yield from _behaviour(found.without_behaviour, found.observed, width)
    yield from _curves(found.curves, width)
    if not found.outcome.unpaired:
        yield from _flips(found.outcome, clips, width)
    yield f"\n{found.judgement}"


def _outcome(outcome: Outcome, width: int) -> Iterator[str]:
    heads = ["metric", "A", "B", "B - A", "networks", "p", "trainings", "p"]
    rows = []
    for metric in outcome.metrics:
        difference = "–" if metric.a is None or metric.b is None else f"{metric.b - metric.a:+.2f}"
        sides = ["–" if value is None else f"{value:.2f}" for value in (metric.a, metric.b)]
        intervals = [text for estimate in (metric.networks, metric.training) for text in _interval(estimate)]
        rows.append([metric.name, *sides, difference, *intervals])
    kept = [i for i in range(len(heads)) if i < 4 or any(row[i] != "–" for row in rows)]
    shown = [[row[i] for i in kept] for row in rows]
    yield f"\n{grid([heads[i] for i in kept], shown, right=range(1, len(kept)), width=width)}"
    if outcome.unpaired:
        yield paragraph(f"No clips are paired: {outcome.unpaired}.", width)
        return
    a, b = outcome.alone
    alone = f"; {a} clips of A alone and {b} of B alone are left out of the intervals" if a or b else ""
    meaning = "networks: 95 % interval of B - A on other clips, for these two trained networks"
    if any(metric.training for metric in outcome.metrics):
        meaning += "; trainings: and for other seeds, by the spread of trainings in results/noise/"
    else:
        meaning += "; how much trainings of both vary is not known"
    yield paragraph(f"Paired on {outcome.clips} clips{alone}. {meaning[0].upper()}{meaning[1:]}.", width)


def _interval(estimate: Estimate | None) -> list[str]:
    if estimate is None:
        return ["–", "–"]
    return [f"[{estimate.low:+.2f}, {estimate.high:+.2f}]", p_text(_p(estimate))]


def _p(estimate: Estimate) -> float:
    return min(1.0, 2 * min(estimate.p_above(0.0), estimate.p_below(0.0)))


def _differences(title: str, differing: Sequence[Difference], width: int) -> Iterator[str]:
    if not differing:
        yield f"{title}: the same"
        return
    rows = [[d.what, *(_shown(d.values[name]) if name in d.values else "–" for name in ("a", "b"))] for d in differing]
    yield f"\n{grid([title, 'A', 'B'], rows, width=width)}\n"


def _shown(value: Any) -> str:
    """A value as YAML has it; of a digest its beginning."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"{text[:12]}..." if len(text) == 64 and " " not in text else text


def _code(code: Code, width: int) -> Iterator[str]:
    a, b = (", then ".join(_short(commit) for commit in code.commits.get(name, ())) or "none" for name in ("a", "b"))
    commits = f"commit {a}" if a == b else f"commits {a} / {b}"
    commits += ", local changes after a +" if "+" in commits else ""
    missing = (
        f"; no code.json of {' and '.join(code.missing)}: what was executed is not recorded" if code.missing else ""
    )
    said = {
        "same": "the same" if code.missing else "the same in all that was executed by both",
        "differs": "differs",
        "verified": "differs, and was verified to behave alike",
        "unknown": "not known to be the same",
    }
    yield paragraph(f"Code: {said[code.state]} ({commits}){missing}", width)
    rows = [
        [file, *map(", ".join, (change.changed, change.only_a, change.only_b))] for file, change in code.files.items()
    ]
    if rows:
        yield f"\n{grid(['file', 'differs', 'executed by A alone', 'by B alone'], rows, width=width)}\n"


def _short(commit: str) -> str:
    name, plus, changed = commit.partition("+")
    return f"{name[:9]}{plus}{changed}"


def _behaviour(missing: Sequence[str], observed: Observed | None, width: int) -> Iterator[str]:
    if missing:
        yield f"Behaviour: no behaviour.json of {' and '.join(missing)}"
    elif observed is None:
        yield "Behaviour: the miniatures are equal"
    elif observed.of_bits_alone:
        yield "Behaviour: the miniatures are equal to the digits that are noted, not to the last bit"
    else:
        text = f"the miniatures differ first in {observed.what}: {_shown(observed.a)} / {_shown(observed.b)}"
        yield paragraph(f"Behaviour: {text}", width)


def _curves(curves: Curves, width: int) -> Iterator[str]:
    if not curves.epochs:
        yield "Curves: no metrics.jsonl of either"
        return
    if curves.parted is None:
        yield f"Curves: the same over {len(curves.epochs)} epochs"
        return
    every = math.ceil(len(curves.epochs) / EPOCHS)
    kept = [e for e in curves.epochs if e == curves.parted or e.epoch % every == 0]
    rows = [[str(e.epoch), *map(_number, (*e.loss, *e.top1))] for e in kept]
    heads = ["epoch", "loss A", "loss B", "top-1 A", "top-1 B"]
    yield f"\n{grid(heads, rows, right=range(len(heads)), width=width)}"
    part = curves.parted
    apart = [f"{name} by {_apart(*pair)}" for name, pair in (("loss", part.loss), ("top-1", part.top1))]
    yield f"The curves part in epoch {part.epoch}: {', '.join(apart)}.\n"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _apart(a: float | None, b: float | None) -> str:
    return "–" if a is None or b is None else f"{b - a:+.3g}"


def _flips(outcome: Outcome, clips: int, width: int) -> Iterator[str]:
    flips = outcome.flips
    if outcome.equal:
        known = "to the last logit" if outcome.exact else "as far as a record keeps them"
        yield f"Predictions: the same, {known}"
        return
    apart = f"the label has another rank on {flips.ranks} clips"
    if flips.largest is not None:
        apart += f"; logits differ by up to {flips.largest:.2g}"
    if not (flips.lost or flips.gained or flips.both_wrong):
        yield f"Predictions: none changed; {apart}"
        return
    counts = f"{len(flips.lost)} right -> wrong, {len(flips.gained)} wrong -> right"
    others = f"{flips.both_wrong} from one wrong class to another"
    yield paragraph(f"Predictions: {counts}, {others}; {apart}", width)
    heads = ["class", "clips", "right in A", "in B", "right -> wrong", "wrong -> right"]
    rows = [[c.label, *map(str, (c.clips, c.a, c.b, c.lost, c.gained))] for c in flips.by_class if c.lost or c.gained]
    if rows:
        yield f"\n{grid(heads, rows, right=range(1, len(heads)), width=width)}"
    listed = [("right -> wrong", c) for c in flips.lost] + [("wrong -> right", c) for c in flips.gained]
    if listed[:clips]:
        rows = [[kind, c.id, c.label, c.a, c.b] for kind, c in listed[:clips]]
        yield f"\n{grid(['flip', 'clip', 'class', 'A', 'B'], rows, width=width)}"
    if len(listed) > clips:
        yield f"and {len(listed) - clips} more: --clips {len(listed)}, or --json"


def _at(run: Recorded) -> str:
    """When it was first started."""
    starts = run.env.get("starts") or [{}]
    return f"started {starts[0]['at']}" if starts[0].get("at") else "start not recorded"
