"""Data sets as large as the papers': how long they take to index and to open, and what loader processes hold of them.

    make large                                             # half an hour, 2 GB of disk in a temporary folder
    python -m tools.large_data_sets --clips 20000          # smaller
    python -m tools.large_data_sets --keep FOLDER          # keeps and uses again the trees and their indices

Two trees are made of hard links to a few tiny files, so that what is measured is the number of clips and not their
pixels: `kinetics400` as CSV files and class folders of videos, `something-v2` as JSON files and folders of frames.
Every step runs in a process of its own. An epoch goes once through the training clips as a run does, with four loader
processes; the memory of a loader process is what it does not share with others, after the first batch and after the
last.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import os
import resource
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import av
import numpy as np
from PIL import Image

from benchmark.data.datasets import open_split, prepare
from benchmark.data.roots import variable_of

FILES = 20
"""What links lead to: file systems allow about 65,000 to one file."""
SIDE, FRAMES, FOLDER_FRAMES = 32, 8, 3
WORKERS, BATCH = 4, 64
SEGMENTS = 8


def make_kinetics(root: Path, files: Sequence[Path], clips: int) -> None:
    """`train/<class>/<id>_<start>_<end>.mp4`, `val/...` and a CSV file of each split, a twelfth of it validation."""
    for split, numbers in _splits(clips).items():
        rows = ["label,youtube_id,time_start,time_end,split"]
        for name in (f"class {i}" for i in range(400)):
            (root / split / name).mkdir(parents=True)
        for i in numbers:
            label, id = f"class {i % 400}", f"v{i:010d}"
            os.link(files[i % len(files)], root / split / label / f"{id}_000010_000020.mp4")
            rows.append(f"{label},{id},10,20,{split}")
        (root / f"{split}.csv").write_text("\n".join(rows) + "\n")


def make_something(root: Path, files: Sequence[Path], clips: int) -> None:
    """`frames/<id>/00001.jpg`, and the three JSON files of labels, training and validation clips."""
    (root / "frames").mkdir()
    (root / "labels.json").write_text(json.dumps({f"Doing {i}": str(i) for i in range(174)}))
    for split, numbers in _splits(clips).items():
        for i in numbers:
            folder = root / "frames" / str(i + 1)
            folder.mkdir()
            for frame in range(1, FOLDER_FRAMES + 1):
                os.link(files[i % len(files)], folder / f"{frame:05d}.jpg")
        entries = [{"id": str(i + 1), "template": f"Doing {i % 174}"} for i in numbers]
        (root / f"{'train' if split == 'train' else 'validation'}.json").write_text(json.dumps(entries))


def _splits(clips: int) -> dict[str, range]:
    return {"train": range(clips - clips // 12), "val": range(clips - clips // 12, clips)}


def _video() -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", 25, options={"preset": "ultrafast"})
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuv420p"
        for i in range(FRAMES):
            picture = np.full((SIDE, SIDE, 3), 20 * i, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode(None))
    return file.getvalue()


def _picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (SIDE, SIDE), "green").save(file, "jpeg")
    return file.getvalue()


def measure_prepare(name: str) -> dict[str, float]:
    """Seconds of `data prepare`, and peak memory of the process that the command is."""
    start = time.monotonic()
    prepare(name)
    return {"seconds": time.monotonic() - start, "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def measure_open(name: str) -> dict[str, float]:
    """Seconds to open both splits, and the memory that they take."""
    before, start = _memory(os.getpid())["Rss"], time.monotonic()
    splits = [open_split(name, split) for split in ("train", "val")]
    seconds = time.monotonic() - start
    return {"clips": sum(map(len, splits)), "seconds": seconds, "mib": _memory(os.getpid())["Rss"] - before}


def measure_epoch(name: str, clips: int | None = None) -> dict[str, float]:
    """An epoch of the training clips: seconds, and MiB of a loader process of its own at the first and last batch."""
    from benchmark.config.run import DataConfig, EvalConfig  # here: processes that probe need no torch
    from benchmark.data.loader import ClipDataset, ClipLoader, epoch_order

    warnings.filterwarnings("ignore", message="This DataLoader will create")
    data, split = DataConfig(dataset=name, segments=SEGMENTS, size=SIDE), open_split(name, "train")
    dataset = ClipDataset(split, data, EvalConfig(scale=SIDE), 1, 0, "train")
    loader = ClipLoader(dataset, BATCH, WORKERS).batches(epoch_order(len(split), 0, 0)[:clips])
    start, first, readable, own, pss = time.monotonic(), 0.0, 0, [0.0], [0.0]
    for number, item in enumerate(loader):
        readable += int(item.readable.sum())
        pids = [process.pid or 0 for process in multiprocessing.active_children()]
        if number == 4 * WORKERS:  # all of them have read a batch
            first = max(_own(pid) for pid in pids)
        elif number % 32 == 0 and number > 4 * WORKERS:
            own, pss = [_own(pid) for pid in pids], [_memory(pid)["Pss"] for pid in pids]
    of_parent = _memory(os.getpid())["Rss"]
    return {
        "seconds": time.monotonic() - start,
        "readable": readable,
        "mib_parent": of_parent,
        "mib_worker_first": first,
        "mib_worker_last": max(own),
        "mib_worker_pss_last": max(pss),
    }


def _memory(pid: int) -> dict[str, float]:
    """Of a process in MiB, by the names of Linux."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {name: int(value.split()[0]) / 1024 for name, value in (line.split(":") for line in lines)}


def _own(pid: int) -> float:
    """What a process shares with no other."""
    return _memory(pid)["Private_Dirty"]


TREES = {"kinetics400": (make_kinetics, _video), "something-v2": (make_something, _picture)}


def _measure(name: str, folder: Path, clips: int, epoch: int | None) -> Iterator[tuple[str, dict[str, float]]]:
    """Makes a tree where it is not there, and measures."""
    root, (make, content) = folder / name, TREES[name]
    os.environ[variable_of(name)] = str(root)
    files = [folder / f"{name}-{i}" for i in range(FILES)]
    for file in files:
        file.write_bytes(content())
    if not root.is_dir():
        root.mkdir()
        make(root, files, clips)
    yield "prepare", _apart(measure_prepare, name)
    yield "prepare again", _apart(measure_prepare, name)
    yield "open", _apart(measure_open, name)
    for file in files:  # decoding them all would take half an hour, and shows nothing more
        file.write_bytes(b"")
    yield "epoch", _apart(measure_epoch, name, epoch)


def _apart(work: Callable[..., dict[str, float]], *arguments: object) -> dict[str, float]:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        return pool.submit(work, *arguments).result()


def main(arguments: Sequence[str] | None = None) -> None:
    """Makes the trees and prints what was measured, a line a step."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clips", type=int, default=240_000, help="of either tree")
    parser.add_argument("--epoch", type=int, help="clips of the epoch; default: all of the split")
    parser.add_argument("--keep", type=Path, help="an existing folder for trees and indices, used again")
    parser.add_argument("only", nargs="*", default=list(TREES), help=f"of {', '.join(TREES)}")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        os.environ["BENCHMARK_DATA"] = str(folder / "data")
        for name in options.only:
            for step, found in _measure(name, folder, options.clips, options.epoch):
                print(f"{name}, {step}:", ", ".join(f"{key} {value:,.1f}" for key, value in found.items()), flush=True)


if __name__ == "__main__":
    main()
