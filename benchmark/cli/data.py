"""`data list | prepare | check | flow`."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.cli.progress import several_steps
from benchmark.cli.text import grid, say, whole_number
from benchmark.config.datasets import DATASETS
from benchmark.config.folders import config_path, data_root
from benchmark.config.own_data import SUFFIXES, keep_copy, read_own, register
from benchmark.config.source import did_you_mean
from benchmark.data.errors import DataError

if TYPE_CHECKING:
    from benchmark.data.indexing.check import CheckReport

SHOWN = 10
"""Names of a list that are printed; a longer one goes to a file as well."""
HEADINGS = {
    "missing": "missing: listed, but not on the disk",
    "empty": "empty: zero bytes, or a folder without frames",
    "corrupt": "corrupt: cannot be opened, or not decoded to its end",
    "partial": "in part: there, but cut short or damaged within; what can be read of it is used",
    "resized": "of several sizes: frames are scaled, each from its own size, to that of the first",
    "short": "short: fewer frames than the three that a segment may need",
    "duplicates": "listed twice",
    "disagreements": "labels or lengths that disagree",
}


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The actions of `data`, each with its arguments."""
    actions = command.add_subparsers(dest="action", required=True, metavar="ACTION")

    def add(name: str, text: str, call: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        action = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        text = "such as ucf101, or the YAML file of one of yours; `data list` shows all"
        action.add_argument("names", nargs="*", metavar="DATASET", help=text)
        action.set_defaults(act=call)
        return action

    new = actions.add_parser("new", help="a data set of your own: looks at a folder and writes its YAML file")
    new.add_argument("folder", type=Path, metavar="PATH", help="the folder of the clips")
    new.add_argument("--name", help="of the data set (default: the folder's)")
    new.add_argument("--out", type=Path, metavar="FILE", help="default: NAME.yaml, here")
    listing = add("list", "what is known of each data set, and what was found of it", _list)
    prepare = add("prepare", "render or find and index data sets, so that runs can read them", _prepare)
    check = add("check", "what should be there, what is, and what is wrong with it", _check)
    flow = add("flow", "extract TV-L1 optical flow to disk", _flow)
    for action in (listing, check):
        action.add_argument("--json", action="store_true", help="print JSON")
    for action in (prepare, check):
        action.add_argument(
            "--workers", type=whole_number(1), metavar="N", help="processes (default: the usable cores)"
        )
    check.add_argument("--full", action="store_true", help="decode every file; goes on where it stopped")
    check.add_argument("--split", choices=("train", "val"), action="append", help="this split only")
    flow.add_argument(
        "--interval", type=whole_number(1), default=1, metavar="N", help="from each frame to the N-th after it"
    )
    images = "flow that another tool has extracted as images, such as tvl1_flow/{u,v}: taken over, nothing is extracted"
    flow.add_argument("--from", dest="images", type=Path, metavar="FOLDER", help=images)


def main(arguments: argparse.Namespace) -> int:
    """List data sets, draft one, prepare them, check the files of prepared ones, or extract their optical flow."""
    if arguments.action == "new":
        return _new(arguments)
    arguments.names = [register(Path(name)) if name.endswith(SUFFIXES) else name for name in arguments.names]
    for name in arguments.names:
        if name not in DATASETS:
            raise DataError(f"no data set '{name}'.{did_you_mean(name, list(DATASETS))}")
    if not arguments.names and arguments.action != "list":
        raise DataError(f"name a data set to {arguments.action}: {', '.join(DATASETS)}")
    return int(arguments.act(arguments))


def _each(names: Sequence[str], work: Callable[[str], bool]) -> int:
    """Does the work for every data set, whatever becomes of the others, and returns the exit status.

    0: all is well. 1: the work said for one that it is not. 2: one could not be worked on, and the message said why.
    """
    status = 0
    for name in names:
        try:
            status = max(status, 0 if work(name) else 1)
        except DataError as error:
            if len(names) == 1:
                raise
            print(error, file=sys.stderr)
            status = 2
    return status


def prepare_with_progress(name: str, workers: int | None = None) -> None:
    """Prepare a data set behind a progress bar for each piece of the work; at once when there is nothing to do."""
    from benchmark.data.datasets import prepare

    with several_steps() as report:
        prepare(name, workers, progress=report)


def prepare_own(name: str) -> None:
    """Prepare a data set of the user's own, if it is not as its file says: these are small, and asked for by a run."""
    from benchmark.data.datasets import open_split

    try:
        for split in ("train", "val"):
            open_split(name, split)
    except DataError:
        prepare_with_progress(name)
        _say_prepared(name, say)


def extract_flow_with_progress(name: str, interval: int = 1, images: Path | None = None) -> dict[str, str]:
    """Extract what is missing of a data set's optical flow, behind a progress bar. Returns what could not be read.

    The flow leads from each frame to the one `interval` frames later. A generated data set is prepared first.
    `images`: a folder of flow that another tool has extracted, which is taken over instead.
    """
    from benchmark.data.datasets import open_split
    from benchmark.data.flow.extracted import extract_flow
    from benchmark.data.flow.imported import find_flow_images

    if DATASETS[name].generated:
        prepare_with_progress(name)
    splits = [open_split(name, split) for split in ("train", "val")]
    theirs = find_flow_images(images, [clip for split in splits for clip in split.clips]) if images else None
    unreadable: dict[str, str] = {}
    with several_steps() as report:
        for split in splits:
            unreadable |= extract_flow(split, progress=report, interval=interval, images=theirs).unreadable
    return unreadable


def _new(arguments: argparse.Namespace) -> int:
    """`data new`: never over a file that is there."""
    from benchmark.data.layouts.new_own import as_text, draft

    name = arguments.name or re.sub(r"[^a-z0-9_-]+", "-", arguments.folder.resolve().name.lower()).strip("-_")
    file = arguments.out or Path(f"{name}.yaml")
    if file.exists():
        raise DataError(f"{file} is there already: --out writes elsewhere")
    if name in DATASETS.built_in:
        raise DataError(f"'{name}' is {DATASETS[name].title}: give yours another --name")
    found = draft(arguments.folder.resolve(), name)
    file.write_text(as_text(found, file), encoding="utf-8")
    own, counts = read_own(file), found.own.clips
    assert counts is not None
    print("".join(f"{line}\n" for line in found.seen), end="")
    print("".join(f"to check: {line}\n" for line in found.unclear), end="")
    print(f"{counts.train} clips to train, {counts.val} to validate, {len(own.classes)} classes.")
    print(f"Written: {file}. Read it, then: python -m benchmark data prepare {file}")
    return 0


def _flow(arguments: argparse.Namespace) -> int:
    interval, images = arguments.interval, arguments.images
    if images is not None and (interval != 1 or len(arguments.names) > 1):
        raise DataError("--from is for one data set, and flow from each frame to the next")
    over = "" if interval == 1 else f" over {interval} frames"

    def extract(name: str) -> bool:
        unreadable = extract_flow_with_progress(name, interval, images)
        but = f", but for {len(unreadable)} unreadable clips:" if unreadable else ""
        print(f"{name}: flow{over} {'taken over' if images else 'extracted'}{but}")
        for clip, reason in unreadable.items():
            print(f"  {clip}: {reason}")
        return not unreadable

    return _each(arguments.names, extract)


def _list(arguments: argparse.Namespace) -> int:
    from benchmark.data.datasets import describe
    from benchmark.data.roots import variable_of

    records = [record for record in describe() if not arguments.names or record["name"] in arguments.names]
    if arguments.json:
        print(json.dumps(records, indent=1))
        return 0
    rows = [
        [
            str(r["name"]),
            str(r["num_classes"]),
            f"{r['train_clips']:,}" if r["train_clips"] else "",
            f"{r['val_clips']:,}" if r["val_clips"] else "",
            _found(r),
            str(r["state"]),
            f"{int(str(r['bytes'])) / 2**20:.0f} MB" if "bytes" in r else "",
            str(r.get("layout", "")),
            str(r.get("path") or (f"(set {r['variable']})" if "variable" in r else "")),
        ]
        for r in records
    ]
    header = ["data set", "classes", "train", "val", "readable", "state", "size", "layout", "folder"]
    print(grid(header, rows, right=(1, 2, 3, 4, 6)))
    for record in records:
        if "error" in record:
            print(f"\n{record['name']}: {record['error']}")
    print(f"\nWhat is made here goes to {data_root()}/ (set BENCHMARK_DATA to move it).")
    unsaid = [str(record["name"]) for record in records if record["state"] == "no root"]
    if unsaid:
        home = DATASETS[unsaid[0]].root_name
        print(
            "\nSay where a data set of yours is, in one of two ways:\n"
            f"  export {variable_of(unsaid[0])}=/path/to/{home}\n"
            f"or, in {config_path()}, a line:\n"
            f"  {home}: {{root: /path/to/{home}}}\n"
            f"then run: python -m benchmark data prepare {unsaid[0]}"
        )
    return 0


def _found(record: Mapping[str, object]) -> str:
    """`9,530 + 3,780` of a prepared data set of the user's."""
    readable = record.get("readable")
    return " + ".join(f"{count:,}" for count in readable.values()) if isinstance(readable, dict) else ""


def _prepare(arguments: argparse.Namespace) -> int:
    def prepare(name: str) -> bool:
        keep_copy(name)
        prepare_with_progress(name, arguments.workers)
        _say_prepared(name)
        return True

    return _each(arguments.names, prepare)


def _say_prepared(name: str, tell: Callable[[str], None] = print) -> None:
    """What was found of a data set, and what is wrong with it."""
    from benchmark.data.manifest import index_folder, read_manifest

    tell(f"{name}: prepared")
    if DATASETS[name].generated:
        return
    incomplete, problems = False, list[str]()
    for split in ("train", "val"):
        manifest = read_manifest(index_folder(name, split)) or {}
        tell(f"  {split}: {_counts(manifest)}")
        incomplete |= any(manifest[kind] for kind in HEADINGS)
        problems = [*(f"note: {line}" for line in _named(manifest["notes"])), *_named(manifest["problems"])]
    for line in problems:
        tell(f"  {line}")
    tell(f"  the index is in {data_root() / name}/, from {manifest['layout']}")
    if incomplete:
        tell(f"  what is wrong, by name: python -m benchmark data check {name}")


def _counts(record: Mapping[str, object]) -> str:
    """`9,537 published, 9,537 listed, 9,530 found, 9,528 readable`."""
    counts = {key: record[key] for key in ("published", "listed", "found", "readable")}
    return ", ".join(f"{count:,} {key}" for key, count in counts.items() if count or key != "published")


def _check(arguments: argparse.Namespace) -> int:
    from benchmark.data.embedded.dataset import check_generated, setting_of
    from benchmark.data.indexing.check import check_dataset
    from benchmark.runs.atomic import atomic_path
    from benchmark.runs.disk_errors import READ_ONLY

    splits = tuple(dict.fromkeys(arguments.split or ("train", "val")))
    results: dict[str, object] = {}

    def check_one(name: str) -> bool:
        if DATASETS[name].generated:
            problems = check_generated(setting_of(name))
            results[name] = problems
            if not arguments.json:
                print("\n".join(problems) if problems else f"{name}: every clip is there and readable")
            return not problems
        with several_steps() as progress:
            report = check_dataset(name, arguments.full, splits, arguments.workers, progress)
        results[name] = report.as_dict()
        file, unwritten = data_root() / name / "census.json", ""
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(file) as path:
                path.write_text(json.dumps(report.as_dict(), indent=1))
        except OSError as error:
            if error.errno not in READ_ONLY:
                raise
            unwritten = f"the report is not recorded: {file} cannot be written ({error.strerror})"
            print(unwritten, file=sys.stderr)
        if not arguments.json:
            print("\n".join(_report_lines(report, None if unwritten else file)))
        return not report.damaged

    status = _each(arguments.names, check_one)
    if arguments.json:
        print(json.dumps(results, indent=1))
    return status


def _report_lines(report: CheckReport, file: Path | None) -> list[str]:
    lines = [f"{report.title}: {report.layout} in {report.root}"]
    cut = False
    for split, record in report.splits.items():
        lines.append(f"{split}: {_counts(record)}")
        copies, folders = record["copies"], record["folders"]
        assert isinstance(folders, dict)
        if copies:
            example = "; ".join(_named(record["copied"])[:1])
            lines.append(f"  {copies:,} clips lie in more than one place, of which one is used: {example}")
        if len(folders) > 1:
            shown = [f"{folder or '.'} ({count:,})" for folder, count in list(folders.items())[:SHOWN]]
            lines.append(f"  they come from {len(folders)} folders: {', '.join(shown)}")
        for kind, heading in HEADINGS.items():
            named = _named(record[kind])
            if named:
                lines.append(f"  {heading} ({len(named):,})")
                lines += [f"    {line}" for line in named[:SHOWN]]
                if len(named) > SHOWN:
                    lines.append(f"    and {len(named) - SHOWN:,} more")
                    cut = True
    lines += [f"note: {line}" for line in report.notes]
    lines += list(report.problems)
    if not report.damaged:
        how = "decodes to its end" if report.full else "is there and can be opened (--full decodes every file)"
        lines.append(f"every listed clip {how}")
    elif cut:
        lines.append(f"all of them: {file or '--json'}")
    return lines


def _named(found: object) -> Sequence[str]:
    if isinstance(found, dict):
        return [f"{id}: {reason}" for id, reason in found.items()]
    assert isinstance(found, list)
    return found
