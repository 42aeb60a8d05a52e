"""Data sets of the user's own: a YAML file each, which says where the clips are and how their labels are kept.

    title: Gestures at the window
    root: clips                    # relative to this file, or absolute
    layout: folders                # one folder a class; or csv, lists, or a known data set's: kinetics400
    classes: [push, left, right]   # their labels are their places
    val_share: 0.25                # of folders without train and val: of each class, by the digest of a clip's name

`OwnDataset` has everything that a file may say. It is found by its path (`--dataset my.yaml`), or by its name in the
folder that BENCHMARK_OWN_DATASETS names, by default `datasets/` beside the user's file of roots. What is run by path is
copied to `<data root>/own/`, so that jobs find it. The digest of all that decides which clips there are and what their
labels mean is part of a run's key; title and root are not.
"""

from __future__ import annotations

import hashlib
import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, get_args

import yaml
from pydantic import Field, field_validator, model_validator

from benchmark.config.fields import Strict
from benchmark.config.folders import config_path, data_root, shown
from benchmark.config.parse import parse_as
from benchmark.config.source import Problem, SpecError, did_you_mean, read_yaml

NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
SUFFIXES = (".yaml", ".yml")
COLUMNS = ("path", "label", "split", "start", "end")
Layouts = Literal[
    "folders",
    "csv",
    "lists",
    "something-v1",
    "something-v2",
    "kinetics400",
    "minikinetics",
    "ucf101",
    "ucf101-2",
    "ucf101-3",
    "hmdb51",
    "hmdb51-2",
    "hmdb51-3",
]
KNOWN: tuple[str, ...] = get_args(Layouts)[3:]
"""Data sets whose layouts may be named."""
UNKEYED = {"name", "title", "root", "labels", "clips"}
Pair = Annotated[tuple[str, ...], Field(min_length=2, max_length=2)]


class SplitNames(Strict):
    """What holds each split: files of labels, or folders of class folders."""

    train: str
    val: str


class ClipCounts(Strict):
    """Clips of each split, for estimates before the data set is prepared."""

    train: int = Field(ge=0)
    val: int = Field(ge=0)


class OwnDataset(Strict):
    """A data set of the user's, as its file says."""

    name: str = Field(
        "", description="what runs and folders call it: small letters, digits, - and _; default: the file's"
    )
    title: str = Field(min_length=1)
    root: str = Field(min_length=1, description="folder of the clips; relative to the file; $VARIABLES are filled in")
    labels: str = Field("", description="folder of the label files, where that is another one")
    layout: Layouts = Field(
        description="a folder a class; CSV files with a header; lines of `path label` or `path n_frames label`; or kept"
        " as a known data set is, by its name"
    )
    classes: tuple[str, ...] = Field(
        (),
        description="by label; of a known data set's layout, those of its classes that are meant, by default all",
    )
    subset: bool = Field(
        False, description="clips that the label files list and that are not there are not meant; else they are missing"
    )
    splits: SplitNames | None = Field(
        None, description="files of the labels of each split, or folders of class folders"
    )
    file: str = Field("", description="of csv: one file of both splits, by the column `split`")
    columns: dict[str, str] = Field(
        default_factory=dict, description=f"of csv: what the file calls {', '.join(COLUMNS)}; default: the same"
    )
    first_label: int = Field(0, ge=0, description="what the files call the first class, where their labels are numbers")
    val_share: float = Field(0.2, gt=0, lt=1, description="of folders without splits: the clips that are held out")
    mirrored: tuple[Pair, ...] | None = Field(
        None,
        description="pairs of classes that become each other when a clip is mirrored; [] where no class does, and null"
        " where that is not known: clips are not mirrored then",
    )
    clips: ClipCounts | None = None

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str) -> str:
        if name and not NAME.fullmatch(name):
            raise ValueError("small letters, digits, - and _ only")
        return name

    @field_validator("classes")
    @classmethod
    def _differ(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        twice = next((name for i, name in enumerate(classes) if name in classes[:i]), None)
        if twice is not None:
            raise ValueError(f"'{twice}' is there twice")
        return classes

    @field_validator("columns")
    @classmethod
    def _known_columns(cls, columns: dict[str, str]) -> dict[str, str]:
        for name in columns:
            if name not in COLUMNS:
                raise ValueError(f"there is no '{name}'.{did_you_mean(name, COLUMNS)}")
        return columns

    @model_validator(mode="after")
    def _consistent(self) -> OwnDataset:
        if self.file and (self.layout != "csv" or self.splits):
            raise ValueError("`file` is of layout csv, in the place of `splits`")
        if self.layout in ("csv", "lists") and not self.splits and not self.file:
            raise ValueError(f"layout {self.layout} needs `splits: {{train: FILE, val: FILE}}`")
        if self.layout in KNOWN and self.splits:
            raise ValueError(f"`splits` are of layouts folders, csv and lists; {self.layout} has its own")
        if len(self.classes) < 2 and (self.classes or self.layout not in KNOWN):
            raise ValueError("`classes` is required and names two classes or more")
        if self.subset and self.layout == "folders":
            raise ValueError("`subset` is of label files: of folders, what is there is what is meant")
        if self.mirrored and not self.classes:
            raise ValueError("`mirrored` needs `classes`")
        if self.columns and self.layout != "csv":
            raise ValueError("`columns` are of layout csv")
        both = [name for pair in self.mirrored or () for name in pair]
        for name in both:
            if name not in self.classes:
                raise ValueError(f"mirrored: no class '{name}'.{did_you_mean(name, self.classes)}")
            if both.count(name) > 1:
                raise ValueError(f"mirrored: '{name}' is there twice")
        return self

    @property
    def digest(self) -> str:
        """12 hex digits of what decides which clips there are and what their labels mean."""
        text = self.model_dump_json(exclude=UNKEYED)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def labels_mirrored(self) -> tuple[int, ...]:
        """The label of a mirrored clip, by its label; () where that is not known."""
        if self.mirrored is None:
            return ()
        other = {one: two for pair in self.mirrored for one, two in (pair, pair[::-1])}
        return tuple(self.classes.index(other.get(name, name)) for name in self.classes)


_BY_PATH: dict[str, Path] = {}
"""Files that this process was given by path, by the name of their data set."""


def own_folder() -> Path:
    """Where files of own data sets are looked for by name."""
    return Path(os.environ.get("BENCHMARK_OWN_DATASETS") or config_path().parent / "datasets").expanduser()


def copies() -> Path:
    """Where those that were run by path are kept."""
    return data_root() / "own"


def own_names() -> list[str]:
    """Every own data set that can be named."""
    files = [path for folder in (own_folder(), copies()) for path in folder.glob("*.yaml")]
    return sorted({*_BY_PATH, *(path.stem for path in files if NAME.fullmatch(path.stem))})


def find_own(name: str) -> OwnDataset | None:
    """The own data set of a name; None where there is none. Raises SpecError: its file has errors."""
    places = [own_folder() / f"{name}.yaml", copies() / f"{name}.yaml"]
    if name in _BY_PATH:
        places = [_BY_PATH[name]]
    path = next((path for path in places if NAME.fullmatch(name) and path.is_file()), None)
    return None if path is None else read_own(path)


def register(path: Path) -> str:
    """Makes the data set of a file known to this process, and returns its name. Raises SpecError."""
    own = read_own(path)
    _BY_PATH[own.name] = path
    return own.name


def read_own(path: Path) -> OwnDataset:
    """The data set of a file, named, its folders as absolute paths. Raises SpecError."""
    try:
        found = path.stat()
    except OSError:
        return _read_own(path, 0, 0)
    return _read_own(path, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=64)
def _read_own(path: Path, changed: int, size: int) -> OwnDataset:
    source = read_yaml(path, shown(path))
    own, problems = parse_as(OwnDataset, source)
    if own is None or problems:
        raise SpecError(problems)
    name = own.name or path.stem.lower()
    if not NAME.fullmatch(name):
        text = f"'{name}' is no name for a data set: give it one, as in `name: gestures`"
        raise SpecError([Problem(source.file, 0, text)])
    folder = path.resolve().parent

    def absolute(text: str) -> str:
        return str(folder / Path(os.path.expandvars(text)).expanduser()) if text else ""

    return own.model_copy(update={"name": name, "root": absolute(own.root), "labels": absolute(own.labels)})


def keep_copy(name: str) -> None:
    """Copies the file of a data set that was given by path to where jobs look, if it is not there as it is."""
    if name not in _BY_PATH:
        return
    own, path = read_own(_BY_PATH[name]), copies() / f"{name}.yaml"
    text = f"# A copy of {_BY_PATH[name].resolve()}\n" + as_yaml(own)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def as_yaml(own: OwnDataset) -> str:
    """What a file has to say to be read as this."""
    return yaml.safe_dump(own.model_dump(mode="json", exclude_defaults=True), sort_keys=False, allow_unicode=True)
