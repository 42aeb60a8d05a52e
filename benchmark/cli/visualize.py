"""`visualize clip | kernels | filters | attention | ...`: pictures of clips and runs, as PNG and SVG."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmark.cli.text import whole_number
from benchmark.spec.load import load_table
from benchmark.visualize.errors import VisualizeError


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Give the command `visualize` its kinds of pictures, each with its options."""
    kinds = command.add_subparsers(dest="picture", required=True, metavar="WHAT")

    def named(name: str, text: str) -> argparse.ArgumentParser:
        kind = kinds.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        kind.add_argument("--out", type=Path, default=Path("figures"), metavar="FOLDER", help="default: figures")
        return kind

    def add(name: str, text: str, run: str, *, needed: bool = False) -> argparse.ArgumentParser:
        kind = named(name, text)
        kind.add_argument(
            "--run", dest="runs", action="extend", nargs="+", metavar="KEY", default=None, required=needed, help=run
        )
        return kind

    def add_over_a_clip(name: str, text: str, columns: int) -> argparse.ArgumentParser:
        kind = named(name, text)
        kind.add_argument("run", metavar="RUN", help="key of a run with such a module")
        clip = "a video file, or a clip such as motionpairs:val:0 (default: the run's first validation clip)"
        kind.add_argument("--clip", metavar="VIDEO", default=None, help=clip)
        kind.add_argument("--place", metavar="PLACE", default=None, help="of the module, such as res3.2")
        kind.add_argument("--size", type=int, default=None, metavar="PIXELS", help="side of the frames given to it")
        kind.add_argument("--columns", type=int, default=columns, metavar="N", help=f"at most (default: {columns})")
        return kind

    clip = add("clip", "a clip in every representation", "take the weights of its representation from this run")
    clip.add_argument("video", metavar="VIDEO", help="a video file, or a clip such as motionpairs:val:0")
    clip.add_argument("--start", type=int, default=0, metavar="N", help="frame of the first column (default: 0)")
    clip.add_argument("--columns", type=int, default=6, metavar="N", help="places of the clip (default: 6)")
    clip.add_argument("--size", type=int, default=160, metavar="PIXELS", help="shorter side, at most (default: 160)")
    kernels = add("kernels", "an MBPM's kernels, before and after training", "a run with an MBPM")
    kernels.add_argument("--kernel-size", type=int, default=9, metavar="K", help="without a run (default: 9)")
    kernels.add_argument("--sigma", type=float, default=1.1, metavar="S", help="without a run (default: 1.1)")
    add("filters", "the first layers of backbones", "runs to show, one below the other", needed=True)
    add("enopr", "ENoPR against the recognition loss, epoch by epoch", "runs with a projection loss", needed=True)
    attention = add_over_a_clip("attention", "the attention of RNL, NL, CPA, GC or CBAM over a clip", 8)
    attention.add_argument(
        "--query",
        type=_point,
        nargs="+",
        default=(),
        metavar="POINT",
        help="reference points: Y,X in pixels of the video, in the middle column; or T,Y,X, a column of the picture"
        " counted from 0 and pixels of the frames that it shows",
    )
    training = named("training", "loss and accuracy of a table's rows by epoch, and validations made on the way")
    training.add_argument("table", metavar="TABLE", help="table id or YAML file")
    training.add_argument("--protocol", default="embedded", help="as for `run`")
    training.add_argument("--dataset", metavar="NAME", help="as for `run`")
    training.add_argument("--seeds", type=whole_number(1), metavar="N", help="of each row; default: the protocol's")
    training.add_argument("--set", dest="asked", action="append", default=[], metavar="KEY=VALUE", help="as for `run`")
    text = "write event files of TensorBoard below this folder instead of a picture (needs tensorboardX)"
    training.add_argument("--tensorboard", type=Path, metavar="FOLDER", help=text)
    add_over_a_clip("displacement", "displacements and confidences of MotionSqueeze over a clip", 6)
    scheduler = add("scheduler", "the scale scheduler's alpha over training", "lay a run's own alpha over the curves")
    scheduler.add_argument(
        "--gamma", type=float, action="append", metavar="G", help="of a curve; with --lam, repeatable"
    )
    scheduler.add_argument(
        "--lam", type=float, action="append", metavar="L", help="of a curve; default: the paper's four"
    )
    scheduler.add_argument("--total", type=int, default=10_000, metavar="M", help="iterations (default: 10000)")


def main(arguments: argparse.Namespace) -> int:
    """Draw the picture and print the paths of its files.

    Raises:
        DataError: The request cannot be met; the message says why.
    """
    draw = {
        "clip": _clip,
        "kernels": _kernels,
        "filters": _filters,
        "enopr": _enopr,
        "attention": _attention,
        "displacement": _displacement,
        "scheduler": _scheduler,
        "training": _training,
    }
    for path in draw[arguments.picture](arguments):
        print(path)
    return 0


def _point(text: str) -> tuple[int, int, int] | tuple[int, int]:
    """`4,28,30` as (4, 28, 30), and `120,64` as (120, 64)."""
    try:
        numbers = [int(part) for part in text.split(",")]
        if len(numbers) == 2:
            return numbers[0], numbers[1]
        t, y, x = numbers
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is no point Y,X or T,Y,X, such as 120,64 or 4,28,30") from None
    return t, y, x


def _check_columns(columns: int) -> None:
    if not 1 <= columns <= 16:
        raise VisualizeError(f"--columns {columns}: give 1 to 16")


def _check_size(size: int) -> None:
    if not 32 <= size <= 512:
        raise VisualizeError(f"--size {size}: give 32 to 512")


def _clip(arguments: argparse.Namespace) -> list[Path]:
    from benchmark.visualize.clip import draw_clip

    _check_columns(arguments.columns)
    _check_size(arguments.size)
    return draw_clip(
        arguments.video,
        arguments.out,
        arguments.runs or (),
        arguments.start,
        arguments.columns,
        arguments.size,
    )


def _kernels(arguments: argparse.Namespace) -> list[Path]:
    from benchmark.visualize.kernels import draw_kernels

    if arguments.runs and len(arguments.runs) > 1:
        raise VisualizeError("kernels shows one run: give --run once")
    run = arguments.runs[0] if arguments.runs else None
    return draw_kernels(arguments.out, run, arguments.kernel_size, arguments.sigma)


def _filters(arguments: argparse.Namespace) -> list[Path]:
    from benchmark.visualize.filters import draw_filters

    return draw_filters(arguments.out, arguments.runs)


def _enopr(arguments: argparse.Namespace) -> list[Path]:
    from benchmark.visualize.enopr import draw_enopr

    return draw_enopr(arguments.out, arguments.runs)


def _attention(arguments: argparse.Namespace) -> list[Path]:
    from benchmark.visualize.attention import draw_attention

    _check_columns(arguments.columns)
    if arguments.size is not None:
        _check_size(arguments.size)
    return draw_attention(
        arguments.out,
        arguments.run,
        arguments.clip,
        arguments.place,
        arguments.query,
        arguments.size,
        arguments.columns,
    )


def _displacement(arguments: argparse.Namespace) -> list[Path]:
    from benchmark.visualize.displacement import draw_displacement

    _check_columns(arguments.columns)
    if arguments.size is not None:
        _check_size(arguments.size)
    return draw_displacement(
        arguments.out, arguments.run, arguments.clip, arguments.place, arguments.size, arguments.columns
    )


def _training(arguments: argparse.Namespace) -> list[Path]:
    from benchmark.visualize.training import draw_training

    seeds = tuple(range(arguments.seeds)) if arguments.seeds else None
    table = load_table(arguments.table, arguments.protocol, seeds, arguments.dataset, tuple(arguments.asked))
    if arguments.tensorboard is not None:
        from benchmark.visualize.tensorboard import write_tensorboard

        return write_tensorboard(arguments.tensorboard, table)
    return draw_training(arguments.out, table)


def _scheduler(arguments: argparse.Namespace) -> list[Path]:
    from benchmark.visualize.scheduler import PAPER, draw_scheduler

    gammas, lams = arguments.gamma or [], arguments.lam or []
    if len(gammas) != len(lams):
        raise VisualizeError(f"{len(gammas)} --gamma and {len(lams)} --lam: a curve needs one of each")
    settings = list(zip(gammas, lams, strict=True)) or PAPER
    return draw_scheduler(arguments.out, settings, arguments.runs or (), arguments.total)
