"""Small real data sets on disk, in the layouts that people have: videos and frame folders, and their label files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

CODECS = {".mp4": "libx264", ".webm": "libvpx-vp9", ".avi": "mpeg4"}
HEIGHT, WIDTH = 48, 64


def pixels(frames: int, seed: int = 0, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A few blocks of colour that move; (frames, height, width, 3) uint8."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 255, (height // 8, width // 8, 3), dtype=np.uint8)
    still = blocks.repeat(8, 0).repeat(8, 1)
    return np.stack([np.roll(still, 2 * t, axis=1) for t in range(frames)])


def write_video(path: Path, frames: int = 8, seed: int = 0) -> Path:
    """A video whose container and codec follow from the suffix, in whatever case it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    suffix = path.suffix.lower()
    with av.open(str(path), "w", format={".mp4": "mp4", ".webm": "webm", ".avi": "avi"}[suffix]) as container:
        stream = container.add_stream(CODECS[suffix], rate=Fraction(12))
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        if suffix == ".webm":
            stream.options = {"cpu-used": "8", "deadline": "realtime"}
        for image in pixels(frames, seed):
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def write_frames(folder: Path, frames: int = 8, pattern: str = "{:05d}.jpg", seed: int = 0) -> Path:
    """A folder of JPEG files, numbered from 1."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(pixels(frames, seed), 1):
        Image.fromarray(image).save(folder / pattern.format(number), quality=90)
    return folder


def something_v1_labels(folder: Path, train: Mapping[str, str], val: Mapping[str, str], classes: Sequence[str]) -> None:
    """The three CSV files; `train` and `val` give each id its class name."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "something-something-v1-labels.csv").write_text("\n".join(classes) + "\n", encoding="utf-8")
    for kind, ids in (("train", train), ("validation", val)):
        lines = "".join(f"{id};{name}\n" for id, name in ids.items())
        (folder / f"something-something-v1-{kind}.csv").write_text(lines, encoding="utf-8")


def something_v2_labels(
    folder: Path, train: Mapping[str, str], val: Mapping[str, str], labels: Mapping[str, str], prefix: str = ""
) -> None:
    """The three JSON files; `train` and `val` give each id its template, such as `Putting [something] down`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{prefix}labels.json").write_text(json.dumps(dict(labels)))
    for kind, ids in (("train", train), ("validation", val)):
        entries = [
            {"id": id, "label": "putting a cup down", "template": text, "placeholders": ["a cup"]}
            for id, text in ids.items()
        ]
        (folder / f"{prefix}{kind}.json").write_text(json.dumps(entries))


def kinetics_csv(path: Path, clips: Sequence[tuple[str, str, int, str]], split_column: bool = True) -> None:
    """A CSV file of (class, youtube id, start, split); clips are ten seconds long."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = "label,youtube_id,time_start,time_end" + (",split" if split_column else "")
    lines = [header]
    for name, id, start, split in clips:
        quoted = f'"{name}"' if "," in name else name
        lines.append(f"{quoted},{id},{start},{start + 10}" + (f",{split}" if split_column else ""))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def ucf_labels(folder: Path, classes: Sequence[str], splits: Mapping[int, tuple[Sequence[str], Sequence[str]]]) -> None:
    """classInd.txt, and of each split number the lists of `Class/file.avi` for training and test."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "classInd.txt").write_text("".join(f"{i} {name}\r\n" for i, name in enumerate(classes, 1)))
    for number, (train, test) in splits.items():
        numbered = "".join(f"{file} {classes.index(file.split('/')[0]) + 1}\n" for file in train)
        (folder / f"trainlist{number:02d}.txt").write_text(numbered)
        (folder / f"testlist{number:02d}.txt").write_text("".join(f"{file}\n" for file in test))


def hmdb_labels(folder: Path, flags: Mapping[str, Mapping[str, Sequence[int]]]) -> None:
    """By class, by file name: the flags of the three splits."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, files in flags.items():
        for number in (1, 2, 3):
            lines = "".join(f"{file} {flag[number - 1]} \n" for file, flag in files.items())
            (folder / f"{name}_test_split{number}.txt").write_text(lines)


def ucf_tree(root: Path, suffix: str = ".avi", frames: int = 8) -> Path:
    """UCF101 in small: 101 classes in classInd.txt, clips of three of them, three official splits.

    Each class has groups g01 to g03 of two clips; split n tests on group n.
    """
    classes = [f"Class{i:03d}" for i in range(101)]
    files = [
        f"{name}/v_{name}_g{group:02d}_c{clip:02d}" for name in classes[:3] for group in (1, 2, 3) for clip in (1, 2)
    ]
    for seed, file in enumerate(files):
        write_video(root / f"{file}{suffix}", frames, seed)
    splits = {}
    for number in (1, 2, 3):
        test = [f"{file}.avi" for file in files if f"_g{number:02d}_" in file]
        splits[number] = ([f"{file}.avi" for file in files if f"{file}.avi" not in test], test)
    ucf_labels(root / "ucfTrainTestlist", classes, splits)
    return root
