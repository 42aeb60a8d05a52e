"""list, show, plan and status, none of which imports torch or writes anything."""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
from collections.abc import Sequence
from typing import Any

from benchmark.cli.current import not_by_todays_code, sentences
from benchmark.cli.text import duration, grid, paragraph, say, split_of, terminal_width
from benchmark.config.run import RunConfig
from benchmark.launch.pending import is_to_do, recorded_runs
from benchmark.launch.states import RunState, run_states
from benchmark.plan import Plan, estimate_seconds, make_plan, megapixels, row_runs
from benchmark.report.text.formulas import comparison
from benchmark.runs.directory import RunDir
from benchmark.runs.key import dotted, keyed_settings, run_key, start_key, training_key
from benchmark.runs.trainings import trained_by
from benchmark.spec.architecture import Architecture
from benchmark.spec.columns import COLUMNS, meaning
from benchmark.spec.protocol import load_protocol
from benchmark.spec.table import Row, Table


def list_tables(arguments: argparse.Namespace) -> int:
    """`list`."""
    entries = [
        {"table": table.id, "caption": table.caption, "rows": len(table.layers), "claims": 0, "runs": 0, "done": 0}
        for table in arguments.architectures
    ]
    for table in arguments.loaded:
        keys = make_plan([table]).runs
        done = sum(RunDir.of(key).state == "done" for key in keys)
        entries.append(
            {
                "table": table.id,
                "caption": table.caption,
                "rows": len(table.rows),
                "claims": len(table.claims),
                "runs": len(keys),
                "done": done,
            }
        )
    entries.sort(key=lambda e: arguments.order.index(e["table"]))
    if arguments.json:
        return _print_json(entries)
    rows = [
        [str(e["table"]), str(e["rows"]), str(e["claims"]), f"{e['done']}/{e['runs']}", str(e["caption"])]
        for e in entries
    ]
    print(grid(["table", "rows", "claims", "runs done", "caption"], rows, right=(1, 2, 3)))
    return 0


def list_columns(arguments: argparse.Namespace) -> int:
    """`list --columns`."""
    if arguments.json:
        entries = [{**dataclasses.asdict(column), "meaning": meaning(column)} for column in COLUMNS.values()]
        return _print_json(entries)
    own = [column for column in COLUMNS.values() if not column.dataset]
    rows = [[c.key, c.title, c.unit, c.kind, meaning(c)] for c in own]
    print(grid(["key", "title", "unit", "kind", "what it is"], rows, width=terminal_width()))
    others = [column for column in COLUMNS.values() if column.dataset]
    metrics = ", ".join(dict.fromkeys(column.base for column in others))
    names = ", ".join(dict.fromkeys(column.dataset for column in others))
    text = f"KEY@DATASET is what is printed of another data set than the table's, such as {others[0].key}."
    print("\n" + paragraph(f"{text} KEY is one of {metrics}; DATASET one of {names}.", terminal_width()))
    return 0


def show(arguments: argparse.Namespace) -> int:
    """`show`."""
    if arguments.json:
        return _print_json([table.model_dump(mode="json") for table in arguments.loaded + arguments.architectures])
    for table in arguments.loaded:
        print(f"{table.id}: {table.caption}")
        print(
            f"printed values: {table.dataset}; measured on: {table.protocol}, seeds {', '.join(map(str, table.seeds))}"
        )
        if table.others and not table.other:
            print(f"with --protocol paper --dataset NAME, measured on: {', '.join(table.others)}")
        print()
        header = [
            table.label_header,
            *(f"{COLUMNS[key].title} (printed)" for key in table.columns),
            f"settings, {table.protocol}",
        ]
        rows = [
            [row.label, *(row.printed_text.get(key, "–") for key in table.columns), _settings(row, table)]
            for row in table.rows
        ]
        print(grid(header, rows, right=range(1, len(header) - 1)))
        if table.claims:
            print("\nclaims")
            claims = [[c.id, comparison(c, table), c.metric, c.text] for c in table.claims]
            print(grid(["id", "comparison", "metric", "in words"], claims))
        notes = [f"{row.label}: {row.note}" for row in table.rows if row.note] + ([table.note] if table.note else [])
        print("".join(f"\nnote: {note}" for note in notes) + "\n")
    for architecture in arguments.architectures:
        _show_layers(architecture)
    return 0


def _show_layers(table: Architecture) -> None:
    """The printed layers, one line for all networks where the page has one."""
    rows = []
    for layer in table.layers:
        texts = list(dict.fromkeys(layer.operations.values()))
        for text in texts:
            networks = [title for title, other in layer.operations.items() if other == text]
            shown = "all" if len(texts) == 1 < len(table.networks) else ", ".join(networks)
            rows.append([layer.label, shown, text, layer.output, layer.at])
    print(f"{table.id}: {table.caption}\nprinted layers, compared by `run` with our networks at paper scale\n")
    print(grid(["layer", "network", "operation (printed)", "output (printed)", "our module"], rows))
    notes = [f"{layer.label}: {layer.note}" for layer in table.layers if layer.note]
    print("".join(f"\nnote: {note}" for note in [*notes, *([table.note] if table.note else [])]) + "\n")


def _settings(row: Row, table: Table) -> str:
    """How the row's config differs from that of the baseline, or what it averages."""
    if row.average:
        return f"average of {', '.join(row.average)}"
    if row.config is None:
        return "quoted"
    baseline = next((r.config for r in (table.row(table.baseline), *table.rows) if r.config), row.config)
    ours, theirs = dotted(row.config.model_dump(mode="json")), dotted(baseline.model_dump(mode="json"))
    if row.config == baseline:
        return f"baseline, seeds {', '.join(map(str, row.seeds(table.seeds)))}" if row.other_seeds else "baseline"
    if row.config.model.name != baseline.model.name:
        own = keyed_settings(row.config)["model"]
        return " ".join(f"model.{key}={value}" for key, value in dotted(own).items() if key not in ("width", "dropout"))
    return " ".join(f"{key}={value}" for key, value in ours.items() if theirs.get(key) != value)


def plan(arguments: argparse.Namespace) -> int:
    """`plan`."""
    made = arguments.plan
    protocol = load_protocol(arguments.protocol).protocol
    rate, source = _rate(made, protocol.seconds_per_megapixel, protocol.device)
    found = run_states(made.runs, say)
    states = {key: _shown_state(run.state, key in arguments.damaged) for key, run in found.items()}
    todo = [key for key, run in made.runs.items() if key not in arguments.damaged and is_to_do(run)]
    recorded = recorded_runs(made.runs)
    others = not_by_todays_code(made.runs, recorded)
    trained = {training_key(run.config) for run in made.runs.values() if trained_by(RunDir.of(run.key), run.config)}
    seconds = estimate_seconds(made.runs.values(), rate, trained)
    total = None if rate is None else sum(seconds[key] or 0 for key in todo)
    needs = _needs([made.runs[key].config for key in todo])
    summary = {
        "protocol": protocol.name,
        "wanted": made.wanted,
        "runs": len(made.runs),
        "shared": made.shared,
        "evaluated_only": made.evaluated_only,
        "done": len(made.runs) - len(todo) - len(arguments.damaged),
        "to_do": len(todo),
        "device_hours": None if total is None else total / 3600,
        "estimated_from": source,
        **needs,
    }
    if arguments.json:
        runs = [
            {
                "key": key,
                "state": states[key],
                "seed": run.config.seed,
                "used_by": run.used_by,
                "seconds": seconds[key],
                "other_code": others[key].as_dict() if key in others else None,
                "science": keyed_settings(run.config),
            }
            for key, run in made.runs.items()
        ]
        return _print_json({**summary, "run_list": runs})
    rows = []
    for key, run in made.runs.items():
        split = split_of(run.config.data.dataset)
        users = [f"{table}: {label}{split}" for table, label in dict.fromkeys(run.used_by)]
        rows.append([key, str(run.config.seed), states[key], duration(seconds[key]), "; ".join(users)])
    print(grid(["run", "seed", "state", "estimate", "used by"], rows, right=(1, 3)))
    print(
        f"\nThe rows ask for {made.wanted} runs; {made.shared} are shared, so {len(made.runs)} are needed:"
        f" {summary['done']} done, {len(todo)} to do."
    )
    if made.evaluated_only:
        print(
            f"{made.evaluated_only} of the runs differ from another in their views alone, and take over its training."
        )
    if stood_in_for := recorded.keys() & set(todo):
        print(f"{len(stood_in_for)} of these to do have records, which `render` and `run --from-records` take.")
    if todo:
        weights = f"; pretrained weights: {', '.join(needs['weights'])}" if needs["weights"] else ""
        print(f"What is to do reads {', '.join(needs['reads'])}{weights}.")
    print(f"Estimate: {duration(total)} of one process, {source}.")
    print("".join(f"{line}\n" for line in sentences(others, made, recorded)), end="")
    return 0


def _needs(configs: Sequence[RunConfig]) -> dict[str, list[str]]:
    """What these runs read: data sets, or their flow, and published weights with the networks that they are of."""
    reads = [f"{config.data.dataset}{' (flow)' if config.modality == 'flow' else ''}" for config in configs]
    pretrained = [(getattr(config.model, "pretrained", None), config.model.name) for config in configs]
    weights = [f"{name} of {network}" for name, network in pretrained if name]
    return {"reads": list(dict.fromkeys(reads)), "weights": list(dict.fromkeys(weights))}


def _rate(made: Plan, declared: float | None, device: str) -> tuple[float | None, str]:
    """Seconds per megapixel: the median of the plan's finished runs, else what the protocol declares."""
    rates = []
    for key, run in made.runs.items():
        directory = RunDir.of(key)
        env = directory.env
        if directory.state == "done" and env.get("seconds") and not env.get("resumes"):
            rates.append(env["seconds"] / megapixels(run.config, "trained_by" in env))
    if rates:
        return statistics.median(rates), f"from {len(rates)} finished run{'s'[: len(rates) > 1]} of this plan"
    if declared is None:
        return None, "since no run of this plan is finished and the protocol was never timed"
    return declared, f"from the protocol's figure for {device}"


def status(arguments: argparse.Namespace) -> int:
    """`status`."""
    made = arguments.plan
    states = run_states(made.runs, say)
    recorded = recorded_runs(made.runs)
    others = not_by_todays_code(made.runs, recorded)
    entries = [
        _entry(run.used_by[0][0], run.used_by[0][1], run.config, run.key, states[run.key])
        for run in made.runs.values()
        if run.for_its_weights
    ]
    for table in arguments.loaded:
        for row in table.rows:
            for _, config in row_runs(row, table.seeds) if row.config else ():
                key = run_key(config)
                entries.append(_entry(table.id, row.label, config, key, states[key]))
    to_come = {training_key(run.config): run.key for run in made.runs.values() if is_to_do(run)}
    for entry in entries:
        first = to_come.get(str(entry.pop("start")))
        if first is not None and entry["state"] != "done":
            entry["error"] = entry["error"] or f"waits for {first}"
        if entry["key"] in arguments.damaged:
            entry |= {"state": _shown_state(entry["state"], True), "error": arguments.damaged[entry["key"]]}
    job_texts = [entry.pop("job_text") for entry in entries]
    if arguments.json:
        for entry in entries:
            entry["other_code"] = others[entry["key"]].as_dict() if entry["key"] in others else None
        return _print_json(entries)
    several = len({e["table"] for e in entries}) > 1
    rows = [
        [
            *([e["table"]] if several else []),
            e["row"].replace(" | ", ", ") + split_of(e["dataset"]),
            str(e["seed"]),
            e["key"],
            ", ".join(filter(None, [e["state"], e["progress"], _took(e), "has a record" * (e["key"] in recorded)])),
        ]
        for e in entries
    ]
    codes = [str(others.get(entry["key"], "")) for entry in entries]
    further = [
        "; ".join(filter(None, [job, e["error"], code])) for job, e, code in zip(job_texts, entries, codes, strict=True)
    ]
    head = [*(["table"] if several else []), "row", "seed", "run", "state"]
    print(grid(head, rows, right=(head.index("seed"),), width=terminal_width(), further=further))
    unique = {e["key"]: e["state"] for e in entries}
    counts = [f"{list(unique.values()).count(s)} {s}" for s in dict.fromkeys(unique.values())]
    print(f"\n{len(unique)} runs: {', '.join(counts)}.")
    print("".join(f"{line}\n" for line in sentences(others, made, recorded)), end="")
    return 0


def _shown_state(state: str, damaged: bool) -> str:
    return "damaged" if damaged and state != "unreadable" else state


def _entry(table: str, label: str, config: RunConfig, key: str, known: RunState) -> dict[str, Any]:
    run = RunDir.of(key)
    return {
        "table": table,
        "row": label,
        "seed": config.seed,
        "dataset": config.data.dataset,
        "key": key,
        "state": known.state,
        "progress": _progress(known.state, run.status),
        "job": known.job,
        "owner": known.owner,
        "slurm": known.slurm,
        "seconds": run.env.get("seconds"),
        "error": known.error,
        "start": start_key(config),
        "job_text": known.job_text,
    }


def _took(entry: dict[str, Any]) -> str:
    return duration(entry["seconds"]) if entry["seconds"] else ""


def _progress(state: str, found: dict[str, Any]) -> str:
    if state not in ("running", "interrupted") or not {"epochs", "epoch"} <= found.keys():
        return ""
    if found.get("phase") == "evaluate":
        return "evaluating"
    validating = ", validating" if found.get("phase") == "validate" else ""
    return f"epoch {found['epoch'] + 1}/{found['epochs']}{validating}"


def _print_json(value: Any) -> int:
    print(json.dumps(value, indent=1, ensure_ascii=False))
    return 0
