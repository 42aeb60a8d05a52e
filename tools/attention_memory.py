"""Memory of five region-based non-local blocks, with fused attention and with the matrix of weights, measured.

    python tools/attention_memory.py

The blocks are those of thesis Table 4.4 ("5 RNL") at a crop of 224: two after res3, on 8 x 28 x 28 positions of 512
channels with a kernel of 3 x 7 x 7, and three after res4, on 8 x 14 x 14 of 1,024 with 3 x 3 x 3; a Gaussian f. Forward
and backward pass in float32, in training mode, for growing batches, and for half and double the positions (frames) of
one clip. Memory is the peak of the resident set over its size before the pass, in a process of its own; inputs and
weights are there before, activations, gradients and scratch are not.

The exponent e of memory ~ positions^e comes from the ends of that range: 1 where memory is linear, and the nearer to 2
the more of it the matrices of weights take.

Measured, GB for 1, 2, 4 and 8 clips (torch 2.15, one thread of an x86 server): fused 0.24, 0.45, 0.86 and 1.44, matrix
0.89, 1.73, 3.22 and 6.02. Exponents from 4 to 16 frames: fused 0.95 (0.12 to 0.45 GB), matrix 1.67 (0.29 to 2.94 GB).
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.models.modules.attention import explicit_attention, to_maps
from benchmark.models.modules.regional_nonlocal import SIMILARITIES, RegionalNonLocal
from benchmark.models.modules.regions import Kernel

STAGES: tuple[tuple[int, int, int, Kernel], ...] = ((2, 512, 28, (3, 7, 7)), (3, 1024, 14, (3, 3, 3)))
"""Blocks, channels, side of the maps and kernel of a stage."""

FRAMES = 8
BATCHES = (1, 2, 4, 8)
LENGTHS = (4, 8, 16)
"""Frames of the clip: half, the same and double the positions."""

MATRICES = 4
"""Matrices of weights that exist at once in res3: one that each block keeps, and two in a softmax's backward pass."""


class MatrixRegionalNonLocal(RegionalNonLocal):
    """The same block with the whole matrix of weights."""

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """As `RegionalNonLocal.forward`."""
        regions, values = self._regions_and_values(x, frames)
        return self.output(x, to_maps(explicit_attention(regions, regions, values, SIMILARITIES[self.similarity]), x))


IMPLEMENTATIONS: dict[str, type[RegionalNonLocal]] = {"fused": RegionalNonLocal, "matrix": MatrixRegionalNonLocal}


def _resident(field: str) -> float:
    """GB of this process: VmRSS, now, or VmHWM, at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024e-9 for line in lines if line.startswith(field))


def _pass(blocks: nn.ModuleList, inputs: list[Tensor], frames: int) -> None:
    """Every stage's blocks one after the other, all stages before the backward pass, as in a network."""
    following = iter(blocks)
    outputs = []
    for (count, *_), x in zip(STAGES, inputs, strict=True):
        for _ in range(count):
            x = next(following)(x, frames)
        outputs.append(x)
    torch.autograd.backward(outputs, [x.detach() for x in inputs])


def _measure(send: Any, name: str, batch: int, frames: int, threads: int) -> None:
    torch.set_num_threads(threads)
    kind = IMPLEMENTATIONS[name]
    blocks = nn.ModuleList(
        kind(channels, kernel_size=kernel) for count, channels, _, kernel in STAGES for _ in range(count)
    )

    def inputs(maps: int, largest: int) -> list[Tensor]:
        sizes = [(maps, channels, min(side, largest), min(side, largest)) for _, channels, side, _ in STAGES]
        return [torch.randn(size).contiguous(memory_format=torch.channels_last).requires_grad_() for size in sizes]

    _pass(blocks, inputs(2, 4), 2)  # what libraries keep for themselves is not the blocks'
    maps = inputs(batch * frames, 64)
    before, start = _resident("VmRSS"), time.perf_counter()
    _pass(blocks, maps, frames)
    send.send((_resident("VmHWM") - before, time.perf_counter() - start))


def measure(name: str, batch: int, frames: int, threads: int = 1) -> tuple[float, float]:
    """Peak memory in GB over that before, and seconds, of one forward and backward pass in a process of its own.

    Raises:
        RuntimeError: The process ended without a result, most likely for want of memory.
    """
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(send, name, batch, frames, threads))
    process.start()
    send.close()
    try:
        result: tuple[float, float] = receive.recv()
    except EOFError:
        process.join()
        raise RuntimeError(f"{name}, {batch} clips of {frames} frames: no result (exit {process.exitcode})") from None
    process.join()
    return result


def main() -> None:
    """Print the table, line by line as it is measured."""
    parser = argparse.ArgumentParser(description="Memory of five RNL blocks, forward and backward.")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--limit", type=float, default=16, metavar="GB", help="leave out what needs more (default: 16)")
    arguments = parser.parse_args()
    cases = [(batch, FRAMES) for batch in BATCHES] + [(1, frames) for frames in LENGTHS if frames != FRAMES]
    print(f"{'attention':9} {'clips':>5} {'frames':>6} {'positions of res3':>17} {'GB':>7} {'seconds':>8}", flush=True)
    for name in IMPLEMENTATIONS:
        found: dict[tuple[int, int], float] = {}
        for batch, frames in cases:
            positions = frames * STAGES[0][2] ** 2
            line = f"{name:9} {batch:5} {frames:6} {positions:17}"
            if name == "matrix" and MATRICES * 4e-9 * batch * positions**2 > arguments.limit:
                print(f"{line}   more than {arguments.limit:g}", flush=True)
                continue
            found[batch, frames], seconds = measure(name, batch, frames, arguments.threads)
            print(f"{line} {found[batch, frames]:7.3f} {seconds:8.1f}", flush=True)
        ends = [found.get((1, frames), math.nan) for frames in (LENGTHS[0], LENGTHS[-1])]
        exponent = math.log(ends[1] / ends[0]) / math.log(LENGTHS[-1] / LENGTHS[0])
        print(f"{name}: memory grows with positions to the power of {exponent:.2f}", flush=True)


if __name__ == "__main__":
    main()
