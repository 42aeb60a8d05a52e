"""Commands that do the work: cost, run, submit, render."""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Collection, Iterable
from pathlib import Path

from benchmark.cli.current import not_by_todays_code, sentences
from benchmark.cli.progress import run_progress, steps
from benchmark.cli.rendering import architecture_folder, render_architectures, render_tables, results_folder
from benchmark.cli.text import duration, say, split_of, tables_as_typed, terminal_width
from benchmark.config.datasets import DATASETS
from benchmark.config.own_data import keep_copy
from benchmark.config.run import RunConfig
from benchmark.cost.audit import Lookup, audit_table, row_configs
from benchmark.cost.cache import cached, get
from benchmark.cost.latency import timed_columns
from benchmark.launch.local import Outcome, last_lines, make_slots, run_all
from benchmark.launch.pending import is_to_do, recorded_runs, taken_from_records
from benchmark.launch.states import run_states
from benchmark.plan import Plan, megapixels
from benchmark.report.sources import Sources
from benchmark.report.writing import check_writable
from benchmark.runs.directory import RunDir
from benchmark.runs.disk_errors import FULL, full_folders
from benchmark.runs.key import start_key, training_key
from benchmark.runs.validation import VALIDATE_EVERY
from benchmark.spec.table import Table

TO_SUBMIT = ("pending", "failed", "interrupted")
"""States of a run that nobody is to run."""


def cost(arguments: argparse.Namespace) -> int:
    """`cost`: count what is not counted yet, then print the audit."""
    counted = count(arguments.loaded)
    if arguments.json:
        from benchmark.cost.architecture import check_architecture

        found = {table.id: [row.as_dict() for row in audit_table(table)] for table in arguments.loaded}
        found |= {table.id: [c.as_dict() for c in check_architecture(table)] for table in arguments.architectures}
        print(json.dumps(found, indent=1, ensure_ascii=False))
    else:
        from benchmark.cli.audit import audit_plain

        width = terminal_width()
        print("".join(f"{audit_plain(table, audit_table(table), width)}\n" for table in arguments.loaded), end="")
        render_architectures(arguments.architectures, show=True)
    return 0 if counted else 1


def run(arguments: argparse.Namespace) -> int:
    """`run`: prepare the data, train what is missing, count costs, render, print; with --time fill timed columns.

    With --from-records what has a record is not missing, and with --again as well what has one by today's code. No
    record stands in for a run that is trained here and fails.
    """
    made = arguments.plan
    if arguments.validate_every:
        os.environ[VALIDATE_EVERY] = str(arguments.validate_every)  # which the jobs inherit
    for folder in _folders(arguments):
        check_writable(folder)
    recorded = taken_from_records(made.runs, arguments.again) if arguments.from_records else ()
    sources = Sources(trained_here=made.runs.keys() - recorded)
    # The longest first, so that no core is left with one of them at the end.
    todo = sorted(
        (
            key
            for key, run in made.runs.items()
            if key not in {*arguments.damaged, *recorded} and is_to_do(run, arguments.again)
        ),
        key=lambda key: megapixels(made.runs[key].config),
        reverse=True,
    )
    # Its job would come to it twice: what waits in a cluster's queue is left there.
    queued = {key: known for key, known in run_states(todo, say).items() if known.state == "queued"}
    for key, known in queued.items():
        say(f"{_name(made, key)} is in a queue, {known.job_text or 'just submitted'}: it is left there.")
    prepare_data(made.runs[key].config for key in todo if key not in queued)
    count(arguments.loaded, sources.cost if arguments.from_records else cached)
    outcome = _train(made, todo, queued, arguments.jobs, arguments.device) if todo else Outcome()
    to_time = [table for table in arguments.loaded if arguments.time and timed_columns(table)]
    untimed = [table for table in arguments.loaded if table not in to_time]
    whole = render_tables(untimed, arguments.force, sources=sources)
    render_architectures(arguments.architectures, show=True)
    for broken in outcome.failed:
        _say_failed(broken)
    _say_not_by_todays_code(made)
    not_timed = 0
    if to_time:
        from benchmark.cli.timing import time_tables

        not_timed = time_tables(to_time, arguments.device, force=arguments.force, sources=sources)
    return 1 if not_timed or outcome.failed or outcome.elsewhere or whole.damaged else 0


def submit(arguments: argparse.Namespace) -> int:
    """`submit`: queue what is neither done nor on its way, whoever submitted it, and return."""
    from benchmark.launch.cluster import load_cluster
    from benchmark.launch.slurm import submission
    from benchmark.launch.slurm import submit as submit_runs

    profile = load_cluster(arguments.cluster)
    os.environ.update(profile.environment(os.environ))  # its roots are where the jobs will look
    made = arguments.plan
    if not arguments.again:
        _say_not_by_todays_code(made)
    found = run_states(made.runs, say)
    states = {key: run.state for key, run in found.items()}
    training = {key: training_key(run.config) for key, run in made.runs.items()}
    on_its_way = {training[key] for key, state in states.items() if state in ("queued", "running")}
    to_do = [key for key, run in made.runs.items() if key not in arguments.damaged and is_to_do(run, arguments.again)]
    todo = [key for key in to_do if states[key] in (*TO_SUBMIT, "done")]
    unfinished = {training[key] for key in to_do}
    waiting = [key for key in todo if training[key] in on_its_way or start_key(made.runs[key].config) in unfinished]
    if waiting:
        print(f"{len(waiting)} of the runs wait for a training that comes first: submit them again when it is done.")
        todo = [key for key in todo if key not in waiting]
    if unanswered := [key for key in todo if found[key].unanswered]:
        # Whether they wait for a node cannot be told, and submitted twice they would fight for the same folder.
        print(f"Not submitted, since SLURM does not say whether their jobs still go on ({len(unanswered)} runs):")
        print("".join(f"    {RunDir.of(key).path}: {found[key].job_text}\n" for key in unanswered), end="")
        print("  Where a job is over for certain, remove job.json and status.json of its run and submit again.")
        todo = [key for key in todo if key not in unanswered]
    if not todo and unanswered:
        return 1
    if not todo:
        print("Nothing to submit: every run is done or on its way.")
        return 0
    prepare_data(made.runs[key].config for key in todo)
    runs = []
    for key in todo:
        directory = RunDir.of(key)
        directory.prepare(made.runs[key].config)
        runs.append(directory)
    with submission():
        for run in runs:
            run.set_aside()  # one that is done, and is to be made again
        # Somebody else may have submitted them while the data were prepared.
        now = run_states(todo, say)
        runs = [run for run in runs if now[run.key].state in TO_SUBMIT]
        ids = submit_runs(runs, arguments.cluster) if runs else []
    if not runs:
        print("Nothing to submit: somebody else has submitted the runs by now.")
        return 0
    jobs = f" in {len(ids)} job{'s'[: len(ids) != 1]}" if len(ids) != len(runs) else ""
    print(f"Submitted {len(runs)} run{'s'[: len(runs) != 1]}{jobs} to {profile.name}: {', '.join(ids)}.")
    print(f"Follow them with: python -m benchmark status {tables_as_typed(arguments)}")
    return 0


def render(arguments: argparse.Namespace) -> int:
    """`render`: tables as the runs are now; 1 where a run is damaged, or a folder holds what the runs do not."""
    recorded_runs(arguments.plan.runs)  # one of other defaults is refused
    found = render_tables(arguments.loaded, arguments.force, show=not arguments.json)
    found.files |= render_architectures(arguments.architectures, show=not arguments.json)
    if arguments.json:
        print(json.dumps({name: [str(path) for path in paths] for name, paths in found.files.items()}, indent=1))
    return 1 if found.damaged or found.kept else 0


def _folders(arguments: argparse.Namespace) -> list[Path]:
    tables = [results_folder(table) for table in arguments.loaded]
    return tables + [architecture_folder(table.paper, table.number) for table in arguments.architectures]


def count(tables: list[Table], known: Lookup = cached) -> bool:
    """Count every config of the tables at paper scale that is not known; whether all could be counted."""
    configs: dict[str, RunConfig] = {}
    failures: dict[str, None] = {}
    for table in tables:
        for row in table.rows:
            for config in row_configs(row):
                if known(config) is None:
                    configs[config.model_dump_json()] = config
    if not configs:
        return True
    with steps(f"Counting {len(configs)} networks at paper scale") as advance, warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of torch's tracer, which fvcore uses
        for i, config in enumerate(configs.values()):
            advance(i, len(configs))
            try:
                get(config)
            except OSError as error:
                if error.errno in FULL:
                    raise
                failures[f"cannot count {config.model.name}: {error}"] = None
            except Exception as error:  # a network of the user's own may raise anything; its run will say more
                failures[f"cannot count {config.model.name}: {type(error).__name__}: {error}"] = None
        advance(len(configs), len(configs))
    for failure in failures:
        print(failure, file=sys.stderr)
    return not failures


def prepare_data(to_run: Iterable[RunConfig]) -> None:
    """Prepare what these runs read: data sets made here, and flow; an error where a user's data set is not ready."""
    from benchmark.cli.data import extract_flow_with_progress, prepare_own, prepare_with_progress
    from benchmark.data.datasets import open_split
    from benchmark.data.flow.extracted import interval_of

    configs = list(to_run)
    names = dict.fromkeys(config.data.dataset for config in configs)
    if any(config.representation == "flownet" and DATASETS[config.data.dataset].generated for config in configs):
        names["motionpairs"] = None  # what FlowNet's weights are trained on
    for name in names:
        if DATASETS[name].generated:
            prepare_with_progress(name)
        elif DATASETS[name].own is not None:
            keep_copy(name)
            prepare_own(name)
        else:
            open_split(name, "train")  # says what to do where it cannot be read
    with_flow = (config for config in configs if config.modality == "flow")
    for name, interval in dict.fromkeys((config.data.dataset, interval_of(config.model)) for config in with_flow):
        extract_flow_with_progress(name, interval)


def _train(made: Plan, todo: list[str], queued: Collection[str], jobs: int | None, device: str | None) -> Outcome:
    directories = [RunDir.of(key) for key in todo]
    for directory in directories:
        if directory.key not in queued:
            directory.prepare(made.runs[directory.key].config)
    names = {key: _name(made, key) for key in todo}
    slots = make_slots(jobs, device)
    with run_progress(names, len(todo)) as tick:
        outcome = run_all(directories, slots, tick, [run for run in directories if run.key in queued])
    took = sum(float(run.env.get("seconds", 0)) for run in outcome.done)
    say(f"{len(outcome.done)} of {len(todo)} runs done, {duration(took)} of training and evaluation.")
    if left := outcome.elsewhere:
        say("Missing, and left to jobs in a queue (`scancel` a job, and `run` trains its run here):")
        say("\n".join(f"    {names[run.key]}" for run in left))
    return outcome


def _say_not_by_todays_code(made: Plan) -> None:
    print("".join(f"{line}\n" for line in sentences(not_by_todays_code(made.runs), made)), end="", file=sys.stderr)


def _name(made: Plan, key: str) -> str:
    """What to call a run: the first row that uses it, and its seed."""
    (table, label), config = made.runs[key].used_by[0], made.runs[key].config
    return f"{table} '{label}'{split_of(config.data.dataset)} seed {config.seed}"


def _say_failed(run: RunDir) -> None:
    indented = "\n".join(f"    {line}" for line in last_lines(run).splitlines())
    print(f"\n{run.path} {run.state}: {run.status.get('error') or ''}\n{indented}", file=sys.stderr)
    if full := full_folders():  # of which neither the run's status nor its log could tell
        print(full, file=sys.stderr)
