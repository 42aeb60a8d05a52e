"""`show T --row R --explain`: every setting of a row's run, where it was set, and what that overrode."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence

from benchmark.cli.text import grid, terminal_width
from benchmark.config.source import SpecError
from benchmark.spec.explain import Explained, Origin, explain


def main(arguments: argparse.Namespace) -> int:
    """Print the settings of the rows that are named, or of all that are measured."""
    if not arguments.targets:
        print("Nothing to explain: an architecture table has no runs.", file=sys.stderr)
        return 2
    found: list[tuple[str, str, Explained]] = []
    problems = []
    for target in arguments.targets:
        try:
            rows = explain(target, arguments.row, arguments.protocol, arguments.dataset, arguments.asked)
        except SpecError as error:
            problems += error.problems
        else:
            found += [(target, label, settings) for label, settings in rows.items()]
    if problems:
        raise SpecError(problems)
    if arguments.json:
        print(json.dumps([_as_json(*one, arguments.protocol) for one in found], indent=1, ensure_ascii=False))
        return 0
    for target, label, settings in found:
        print(f"{target}, {label.replace(' | ', ', ')}, {arguments.protocol}\n")
        cells = [[key, _shown(first) + ("" if first.file else f" ({first})")] for key, (first, *_) in settings.items()]
        further = [_places(origins) for origins in settings.values()]
        print(grid(["setting", "value"], cells, width=terminal_width(), further=further) + "\n")
    return 0


def _places(origins: Sequence[Origin]) -> str:
    """Where a value is set, and what it overrode; "" for a default."""
    first, *others = origins
    set_by = [str(first)] if first.file else []
    return ", ".join([*set_by, *(f"over {_shown(other)} ({other})" for other in others)])


def _shown(origin: Origin) -> str:
    """A value as YAML has it."""
    value = origin.value
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _as_json(target: str, label: str, settings: Explained, protocol: str) -> dict[str, object]:
    plain = {key: [dataclasses.asdict(origin) for origin in origins] for key, origins in settings.items()}
    return {
        "table": target,
        "row": label,
        "protocol": protocol,
        "settings": {key: {**first, "over": over} for key, (first, *over) in plain.items()},
    }
