"""What the miniature of a run came to, then and now, and whether it behaves alike. Imports without torch.

`behaviour.json` of a run directory is what `benchmark.launch.behaviour.miniature` gave when the run was made,
`verified.json` beside it says that today's code gave the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.runs.directory import RunDir
from benchmark.runs.json_files import read_json

FORMAT = 3
BEHAVIOUR = "behaviour.json"

TOLERANCES = {
    "first weights": 1e-4,
    "rates": 1e-5,
    "decay": 1e-3,
    "loss": 5e-4,
    "projection loss": 1e-3,
    "gradient": 1e-1,
    "gradients": 1e-1,
    "alpha": 5e-3,
    "momentum": 5e-2,
    "logits": 3e-3,
    "residual": 1e-3,
}
"""How far a miniature may be off on another kind of processor or under other versions, by what was noted.

Rates, decay, first weights and momentum are relative, each by itself; losses and residuals to the largest of all steps;
logits to their spread over the clips. Of gradients it is the median of all steps, of which a rare one may be mostly
rounding. docs/reproducibility.md says how far processors are apart.
"""
OF_JUMPS = {"loss": 5e-3, "momentum": 2.5e-1, "logits": 3e-2}
"""Of networks with a MotionSqueeze, which jump where another of almost equal scores becomes the best."""
BY_ITSELF = ("first weights", "rates", "decay")
OF_GROUPS = ("gradients", "momentum")
"""Lengths, of which one far below that of all groups together is rounding: of a bias before a normalisation, say."""
NEGLIGIBLE = 1e-3


@dataclass(frozen=True)
class Difference:
    """What a miniature came to otherwise, then and now; `deviation` in multiples of the tolerance, infinite if none."""

    what: str
    then: str
    now: str
    deviation: float = math.inf


@dataclass(frozen=True)
class Comparison:
    """Two miniatures of one run.

    Attributes:
        equal: They are the same to the last bit.
        same_kind: They were made on one kind of processor, under the same versions: then they must be equal.
        off: What they differ in, largest first, differences within the tolerance included.
    """

    equal: bool
    same_kind: bool
    off: tuple[Difference, ...]

    @property
    def beyond(self) -> tuple[Difference, ...]:
        """What exceeds its tolerance."""
        return tuple(difference for difference in self.off if difference.deviation > 1)

    @property
    def alike(self) -> bool:
        """Whether the run behaves as then."""
        return self.equal or (not self.same_kind and not self.beyond)

    @property
    def deviation(self) -> float:
        """The largest deviation, in multiples of its tolerance."""
        return max((difference.deviation for difference in self.off), default=0.0)


def compare(then: Mapping[str, Any], now: Mapping[str, Any]) -> Comparison:
    """Compare what two miniatures of one run came to.

    Args:
        then: as recorded.
        now: as today's code gives it.

    Raises:
        ValueError: the record is damaged, or from before miniatures had today's form.
    """
    if then.get("format") != now["format"]:
        raise ValueError(f"it has the form {then.get('format')} of a miniature, not today's {now['format']}")
    try:
        off = sorted(_differences(then, now), key=lambda difference: -difference.deviation)
        same_kind = then["on"] == now["on"]
        equal = not off and then["bits"] == now["bits"]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"it is damaged ({type(error).__name__}: {error})") from error
    return Comparison(equal, same_kind, tuple(off))


def trained_alike(then: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether two runs that differ in their views alone are trained alike; not where the record has another form."""

    def training(one: Mapping[str, Any]) -> dict[str, Any]:
        exact = {name: text for name, text in one["exact"].items() if not name.endswith(" in evaluation")}
        bits, clips = {"weights": one["bits"]["weights"]}, {"train": one["clips"]["train"]}
        return {**one, "exact": exact, "clips": clips, "logits": [], "residual": "", "bits": bits}

    try:
        return compare(training(then), training(now)).alike
    except (KeyError, TypeError, AttributeError, ValueError):
        return False


def recorded(run: RunDir) -> dict[str, Any] | None:
    """behaviour.json of a run; None where there is none. Raises DamagedRunError if it cannot be read."""
    return read_json(run.path / BEHAVIOUR)


def kind_of_device(then: Mapping[str, Any]) -> str:
    """`cuda`, or `cpu` where a record says anything else."""
    on = then.get("on")
    return "cuda" if isinstance(on, dict) and on.get("kind") == "cuda" else "cpu"


def _differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Difference]:
    exact_then, exact_now = _exact(then), _exact(now)
    for name in {**exact_then, **exact_now}:
        if exact_then.get(name) != exact_now.get(name):
            yield Difference(name, exact_then.get(name, "none"), exact_now.get(name, "none"))
    noted_then, noted_now = _noted(then), _noted(now)
    tolerances = TOLERANCES | (OF_JUMPS if then["jumps"] else {})
    for kind, name in {**noted_then, **noted_now}:
        before, after = noted_then.get((kind, name), ""), noted_now.get((kind, name), "")
        if before != after:
            title = name if name == kind else f"{kind}, {name}"
            whole = _length(then[kind]) if kind in OF_GROUPS else 0.0
            yield Difference(title, before, after, _deviation(kind, before, after, whole) / tolerances[kind])


def _length(groups: Mapping[str, Any]) -> float:
    """Of all groups together, at the longest step."""
    rows = np.array([str(row).split() for row in groups.values()], np.float64)
    return float(np.sqrt(np.square(rows).sum(0)).max())


def _exact(one: Mapping[str, Any]) -> dict[str, str]:
    """What must be the same everywhere."""
    clips = {f"{split} clips": fingerprint for split, fingerprint in one["clips"].items()}
    return {"first weights are": one["start"], "kind of device": one["on"]["kind"], **clips, **one["exact"]}


def _noted(one: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """Numbers as texts, by kind and name."""
    found = {(kind, name): str(row) for kind in (*BY_ITSELF, *OF_GROUPS) for name, row in one[kind].items()}
    found |= {(name, name): row for name, row in one["training"].items()}
    return found | {("logits", "logits"): "\n".join(one["logits"]), ("residual", "residual"): one["residual"]}


def _deviation(kind: str, then: str, now: str, whole: float) -> float:
    """How far numbers are off, as TOLERANCES has it; infinite where they are not as many or not finite."""
    a, b = (np.array([row.split() for row in text.split("\n")], np.float64) for text in (then, now))
    if a.shape != b.shape or not np.isfinite([a, b]).all():
        return math.inf
    off, largest = np.abs(a - b), np.maximum(np.abs(a), np.abs(b))
    if kind in ("gradient", *BY_ITSELF, *OF_GROUPS):
        scale = np.maximum(largest, NEGLIGIBLE * whole)
        relative = off[scale > 0] / scale[scale > 0]
        return float(np.median(relative) if kind.startswith("gradient") else relative.max(initial=0))
    return float(off.max() / (_spread(a) if kind == "logits" else np.abs(a).max()))


def _spread(logits: NDArray[np.float64]) -> float:
    """Standard deviation over clips; of all logits where all clips have the same."""
    spread = float((logits - logits.mean(0)).std())
    return spread if spread > 1e-6 * np.abs(logits).max() else float(np.abs(logits).max())
