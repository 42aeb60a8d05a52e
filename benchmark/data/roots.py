"""Where a user keeps the papers' data sets: an environment variable per data set, or one file for all of them.

    export BENCHMARK_UCF101=/data/ucf101                        # wins over the file
    export BENCHMARK_UCF101_LABELS=/data/ucfTrainTestlist       # only where the label files lie elsewhere

    # ~/.config/benchmark/datasets.yaml, or wherever BENCHMARK_DATASETS says
    ucf101: {root: /data/ucf101, labels: /data/ucfTrainTestlist}

Roots are never part of a table or a run: the same table finds the data wherever it is run. The three official splits of
UCF101 and of HMDB51 share a root. Nothing is ever written below a root.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from benchmark.config.datasets import DATASETS
from benchmark.config.folders import config_path
from benchmark.config.source import SpecError, did_you_mean, read_yaml
from benchmark.data.errors import DataError

KEYS = ("root", "labels")


@dataclass(frozen=True)
class Root:
    """Where the user keeps a data set.

    Attributes:
        name: Of the data set; the official splits of one share a root.
        path: The folder of the clips.
        labels: The folder of the label files; the same one unless the user says otherwise.
        source: The variable or the file that says so.
    """

    name: str
    path: Path
    labels: Path
    source: str


def variable_of(name: str) -> str:
    """The environment variable of a data set's root: BENCHMARK_SOMETHING_V1 for `something-v1`."""
    return f"BENCHMARK_{DATASETS[name].root_name.upper().replace('-', '_')}"


def how_to_say(name: str) -> str:
    """The two lines of which a user has to write one."""
    home = DATASETS[name].root_name
    return (
        f"  export {variable_of(name)}=/path/to/{home}\n"
        f"or, in {config_path()}:\n"
        f"  {home}: {{root: /path/to/{home}}}\n"
        f"(and {variable_of(name)}_LABELS, or labels: beside root:, where the label files lie in another folder)"
    )


def find_root(name: str) -> Root | None:
    """The root of a data set that is not generated, or None where the user has said nothing.

    Raises:
        DataError: The user's file cannot be used, or what it or the variable names is no folder.
    """
    home, variable = DATASETS[name].root_name, variable_of(name)
    path, labels, source = os.environ.get(variable), os.environ.get(f"{variable}_LABELS"), variable
    base = Path.cwd()
    if not path and (own := DATASETS[name].own):
        path, labels, source = own.root, labels or own.labels, f"the file of {name}"
    if not path:
        entry = _file_entries().get(home)
        if entry is None:
            if labels:
                raise DataError(f"{variable}_LABELS is set and {variable} is not: set both, or\n{how_to_say(name)}")
            return None
        path, labels, source = entry["root"], labels or entry.get("labels"), str(config_path())
        base = config_path().parent
    root = _folder(base, path, f"{source} says that the clips of {home}")
    return Root(
        home, root, _folder(base, labels, f"{source} says that the labels of {home}") if labels else root, source
    )


def root_of(name: str) -> Root:
    """The root of a data set.

    Raises:
        DataError: As `find_root`, and where the user has said nothing; the message says both ways to.
    """
    found = find_root(name)
    if found is None:
        raise DataError(
            f"no folder is known for {DATASETS[name].title}: say where its files are, by\n{how_to_say(name)}\n"
            f"then run: python -m benchmark data prepare {name}\n"
            "(without the data: --protocol embedded trains on clips that are made here)"
        )
    return found


def _folder(base: Path, text: str, what: str) -> Path:
    folder = base / Path(os.path.expandvars(text)).expanduser()
    if not folder.is_dir():
        kind = "is a file, not a folder" if folder.exists() else "does not exist (is the disk mounted?)"
        raise DataError(f"{what} are in {folder}, which {kind}")
    return folder


def _file_entries() -> dict[str, dict[str, str]]:
    """The user's file as checked entries by name; nothing where there is no file, or nothing in it."""
    path = config_path()
    try:
        if not any(line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()):
            return {}
        source = read_yaml(path)
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    except SpecError as error:
        raise DataError(str(error)) from None
    for name, entry in source.data.items():
        if problem := _problem_of(name, entry):
            raise DataError(f"{path}:{source.line(name)}: {problem}")
    return dict(source.data)


def _problem_of(name: str, entry: object) -> str:
    """What is wrong with an entry of the user's file, or ""."""
    homes = list(dict.fromkeys(info.root_name for info in DATASETS.built_in.values() if not info.generated))
    if name not in homes:
        return f"unknown data set '{name}'.{did_you_mean(name, homes)}"
    no_root = f"{name} must have a root, as in {name}: {{root: /path/to/{name}}}"
    if not isinstance(entry, dict):
        return no_root
    for key, value in entry.items():
        if key not in KEYS:
            return f"{name} has an unknown key '{key}'.{did_you_mean(key, KEYS)}"
        if not isinstance(value, str) or not value.strip():
            return f"{key} of {name} must be the path of one folder, not {value!r}"
    return "" if "root" in entry else no_root
